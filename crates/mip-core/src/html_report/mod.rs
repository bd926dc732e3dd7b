//! One page about an installer: to attach to a change request, to print, to keep.
//!
//! The page needs nothing but itself: no script, no font, no picture from elsewhere, which its
//! own Content-Security-Policy says too. Every text out of the installer is escaped, so that a
//! hostile name is seen and does nothing. Long texts and lists are cut, and say so. The same
//! inspection gives the same bytes.

mod contents;
mod escape;
mod page;
mod style;
mod trust;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use self::escape::{attribute, text};
use self::page::{Facts, LIST, Page, Tone, badge, bytes, code, count, lines, small};
use crate::inspection::{Fact, Inspection, InstallerKind, Met, Provenance};

/// Largest icon that is put into a page, in bytes.
const ICON: usize = 4 << 20;

/// An [`Inspection`] as one HTML page. `icon`: the PNG that
/// [`inspect_full`](crate::inspect_full) gives beside it; anything else, or more than 4 MiB, is
/// left out.
///
/// ```
/// use mip_core::{Input, InspectOptions, Job, html_report, inspect_full};
///
/// let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/pkg/distribution/Sample.pkg");
/// let found = inspect_full(&Input::path(fixture), &InspectOptions::new(), &Job::default())?;
/// let page = html_report(&found.inspection, found.icon_png.as_deref());
/// assert!(page.starts_with("<!DOCTYPE html>"));
/// # Ok::<(), mip_core::Error>(())
/// ```
#[must_use]
pub fn html_report(found: &Inspection, icon: Option<&[u8]>) -> String {
    let mut page = Page::default();
    let id = &found.identity;
    let name = id.name.as_ref().map_or(found.input.name.as_str(), |f| f.value.as_str());
    let version = id.version.as_ref().map(|f| f.value.as_str()).unwrap_or_default();
    let title = format!("{name} {version}");
    page.html("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n");
    page.html("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n");
    page.html("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    page.html("<meta name=\"color-scheme\" content=\"light dark\">\n");
    page.html(&format!(
        "<title>{}</title>\n<style>{}</style></head>\n<body>\n",
        attribute(&format!("{}: installer report", title.trim())),
        style::STYLE
    ));
    head(&mut page, found, icon, name, version);
    page.html("<main>\n");
    warnings(&mut page, found);
    identity(&mut page, found);
    contents::write(&mut page, found);
    trust::write(&mut page, found);
    trust::mdm(&mut page, found);
    if !found.notes.is_empty() {
        page.h2("notes", "Tolerated quirks");
        page.html(&lines(found.notes.iter().map(String::as_str)));
    }
    page.html("</main>\n");
    footer(&mut page, found);
    page.html("</body></html>\n");
    page.finish()
}

fn head(page: &mut Page, i: &Inspection, icon: Option<&[u8]>, name: &str, version: &str) {
    page.html("<header>\n");
    let png = |b: &&[u8]| b.starts_with(b"\x89PNG\r\n\x1a\n") && b.len() <= ICON;
    if let Some(icon) = icon.filter(png) {
        page.html(&format!(
            "<img alt=\"Icon of {}\" src=\"data:image/png;base64,{}\">\n",
            attribute(name),
            STANDARD.encode(icon)
        ));
    }
    page.html(&format!("<div><h1>{} {}</h1>\n", text(name), text(version)));
    let kind = match i.input.kind {
        InstallerKind::DistributionPackage => "distribution package",
        InstallerKind::ComponentPackage => "component package",
        InstallerKind::BundlePackage => "old bundle-style package",
        InstallerKind::BundleMetapackage => "old bundle-style metapackage",
        InstallerKind::App => "app",
        InstallerKind::Unknown => "nothing to install was found",
    };
    let id = i.identity.bundle_id.as_ref().map(|f| format!(" · {}", code(&f.value)));
    page.html(&format!("<p class=\"soft\">{}{}</p>\n", text(kind), id.unwrap_or_default()));
    page.html("<ul class=\"glance\">\n");
    for (what, html) in glance(i) {
        page.html(&format!("<li>{what} {html}</li>\n"));
    }
    page.html("</ul></div>\n</header>\n");
}

/// The states that a reader looks for first.
fn glance(i: &Inspection) -> Vec<(&'static str, String)> {
    let mut out = Vec::new();
    if let Some(p) = &i.trust.package {
        out.push(("Package signature", trust::state(p.state)));
    }
    if let Some(s) = i.primary_app().and_then(|a| a.signature.as_ref()) {
        out.push(("App signature", trust::state(s.state)));
    }
    let answer = match i.apple_mdm.qualifies {
        Met::Yes => badge(Tone::Good, "takes it"),
        Met::No => badge(Tone::Bad, "does not take it"),
        Met::Unknown => badge(Tone::Open, "not known"),
    };
    out.push(("Apple’s MDM channel", answer));
    let special = i.warnings.iter().filter(|w| !w.is_usual()).count();
    let warnings = u64::try_from(special).unwrap_or(u64::MAX);
    let tone = if warnings == 0 { Tone::Good } else { Tone::Open };
    out.push(("To look at", badge(tone, &count(warnings, "warning"))));
    out
}

fn warnings(page: &mut Page, i: &Inspection) {
    page.h2("warnings", "Warnings");
    if i.warnings.is_empty() {
        return page.html("<p>There are none.</p>\n");
    }
    // What almost every package has comes last.
    let (usual, special): (Vec<_>, Vec<_>) = i.warnings.iter().partition(|w| w.is_usual());
    let rows: Vec<Vec<String>> = special
        .into_iter()
        .chain(usual)
        .take(LIST)
        .map(|w| vec![format!("{}{}", text(&w.message), small(w.code)), text(w.advice)])
        .collect();
    page.table(&["What", "What to do"], &rows, false);
    page.more(i.warnings.len());
}

fn identity(page: &mut Page, i: &Inspection) {
    page.h2("identity", "Identity");
    let id = &i.identity;
    let mut facts = Facts::new();
    let text_of = |s: &String| text(s);
    fact(&mut facts, "Identifier", id.bundle_id.as_ref(), i, |s| code(s));
    fact(&mut facts, "Name", id.name.as_ref(), i, text_of);
    fact(&mut facts, "Version", id.version.as_ref(), i, text_of);
    fact(&mut facts, "Short version", id.short_version.as_ref(), i, text_of);
    fact(&mut facts, "Bundle version", id.bundle_version.as_ref(), i, text_of);
    fact(&mut facts, "Lowest macOS", id.min_os.as_ref(), i, text_of);
    fact(&mut facts, "Highest macOS", id.max_os.as_ref(), i, text_of);
    fact(&mut facts, "Processors", id.architectures.as_ref(), i, |l| text(&l.join(", ")));
    fact(&mut facts, "Category", id.category.as_ref(), i, text_of);
    fact(&mut facts, "Copyright", id.copyright.as_ref(), i, text_of);
    fact(&mut facts, "Icon", id.icon.as_ref(), i, |icon| {
        let pixels = icon.pixels.map(|p| format!(", {p} pixels")).unwrap_or_default();
        format!("{}{pixels}", code(&icon.path))
    });
    fact(&mut facts, "Localized names", id.localized_names.as_ref(), i, |names| {
        let all: Vec<String> = names.iter().map(|(l, n)| format!("{l}: {n}")).collect();
        lines(all.iter().map(String::as_str))
    });
    page.facts(&facts);
}

fn footer(page: &mut Page, i: &Inspection) {
    page.html("<footer>\n");
    let mut parts = vec![text(&i.input.name), bytes(i.input.size)];
    if let Some(inside) = &i.input.path_in_container {
        parts.insert(1, format!("inside: {}", text(inside)));
    }
    page.html(&format!("<p>{}</p>\n", parts.join(" · ")));
    if let Some(sum) = &i.input.sha256 {
        page.html(&format!("<p>SHA-256 {}</p>\n", code(sum)));
    }
    page.html(&format!(
        "<p>Made by mip {} from the file alone, without a network and without a Mac.</p>\n",
        text(env!("CARGO_PKG_VERSION"))
    ));
    page.html("</footer>\n");
}

/// One row for a fact, with where it was read.
fn fact<T>(
    facts: &mut Facts,
    label: &str,
    f: Option<&Fact<T>>,
    i: &Inspection,
    html: impl Fn(&T) -> String,
) {
    if let Some(f) = f {
        facts.html(label, format!("{}{}", html(&f.value), small(&source(&f.source, i))));
    }
}

/// Where a value was read: the place without the input's own name, the key, the rule.
fn source(p: &Provenance, i: &Inspection) -> String {
    let inside = p.place.strip_prefix(&i.input.name).and_then(|rest| rest.strip_prefix("//"));
    let place = inside.unwrap_or(&p.place);
    let key = p.key.as_deref().map(|k| format!(" {k}")).unwrap_or_default();
    if place.is_empty() { p.rule.to_owned() } else { format!("{place}{key} · {}", p.rule) }
}

#[cfg(test)]
mod tests;
