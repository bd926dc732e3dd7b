//! `mip inspect --explain`: for every value the rule that picked it, and what lost against it.

use mip_base::escape;
use mip_core::inspection::{Fact, Inspection, Provenance};
use mip_core::metadata::{AppRank, rules};

use super::strings;
use crate::output::text::wrapped;

/// Apps that are listed as candidates.
const MOST: usize = 50;

pub(super) fn text(i: &Inspection) -> String {
    let id = &i.identity;
    let mut out = apps(i);
    let text = |s: &String| escape(s);
    let name = i.input.name.as_str();
    field(&mut out, "identifier", id.bundle_id.as_ref(), name, text);
    field(&mut out, "name", id.name.as_ref(), name, text);
    field(&mut out, "version", id.version.as_ref(), name, text);
    field(&mut out, "short version", id.short_version.as_ref(), name, text);
    field(&mut out, "bundle version", id.bundle_version.as_ref(), name, text);
    field(&mut out, "lowest macOS", id.min_os.as_ref(), name, text);
    field(&mut out, "highest macOS", id.max_os.as_ref(), name, text);
    field(&mut out, "architectures", id.architectures.as_ref(), name, |l| strings(l));
    field(&mut out, "category", id.category.as_ref(), name, text);
    field(&mut out, "copyright", id.copyright.as_ref(), name, text);
    field(&mut out, "icon", id.icon.as_ref(), name, |icon| escape(&icon.path));
    field(&mut out, "localized names", id.localized_names.as_ref(), name, |names| {
        let pairs = names.iter().map(|(l, n)| format!("{}: {}", escape(l), escape(n)));
        pairs.collect::<Vec<_>>().join(", ")
    });
    out
}

/// Why the primary app is the primary one: all apps, likeliest first.
fn apps(i: &Inspection) -> String {
    let mut all: Vec<_> = i.apps.iter().map(|a| (!a.primary, AppRank::of(a), a)).collect();
    all.sort_by_key(|(other, rank, _)| (*other, *rank));
    let mut out = String::from("\nPrimary app\n");
    let rule = i.identity.bundle_id.as_ref().map(|f| f.source.rule).unwrap_or_default();
    let chosen = i.primary_app().is_some();
    match (i.apps.is_empty(), chosen) {
        (true, _) => out.push_str("  none: the installer has no app that could be read\n"),
        (false, true) => {
            let why = format!("  rule  {rule}: {}", rules::meaning(rule));
            out.push_str(&wrapped(&why, "        "));
        }
        (false, false) => {
            out.push_str("  none: nothing tells these apart; choose with --primary-app\n");
        }
    }
    for (_, rank, app) in all.iter().take(MOST) {
        let word = if app.primary {
            "won   "
        } else if chosen {
            "lost  "
        } else {
            "  -   "
        };
        let path = escape(app.install_path.as_deref().unwrap_or(&app.path));
        let id = app.bundle_id.as_ref().map(|f| format!(" ({})", escape(&f.value)));
        let line = format!("  {word}{path}{}: {}", id.unwrap_or_default(), rank.meaning());
        out.push_str(&wrapped(&line, "        "));
    }
    if let Some(more) = all.len().checked_sub(MOST).filter(|n| *n > 0) {
        out.push_str(&format!("        {more} more\n"));
    }
    out
}

fn field<T>(
    out: &mut String,
    label: &str,
    fact: Option<&Fact<T>>,
    input: &str,
    show: impl Fn(&T) -> String,
) {
    let Some(fact) = fact else { return };
    out.push_str(&format!("\n{label}: {}\n", show(&fact.value)));
    entry(out, "won", &show(&fact.value), &fact.source, input);
    for other in &fact.others {
        entry(out, "lost", &show(&other.value), &other.source, input);
    }
}

fn entry(out: &mut String, word: &str, value: &str, source: &Provenance, input: &str) {
    let inside = source.place.strip_prefix(input).and_then(|rest| rest.strip_prefix("//"));
    let place = inside.unwrap_or(&source.place);
    let key = source.key.as_deref().map(|k| format!(", {}", escape(k))).unwrap_or_default();
    out.push_str(&format!("  {word:<4}  {value}\n        in    {place}{key}\n"));
    let rule = format!("        rule  {}: {}", source.rule, rules::meaning(source.rule));
    out.push_str(&wrapped(&rule, "              "));
}
