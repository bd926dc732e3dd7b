//! `mip inspect`: everything that is known of an installer, and where it was read.

use mip_base::{Code, Error, Result, escape};
use mip_core::inspection::{
    AppInfo, ComponentInfo, Fact, Inspection, OsRange, Provenance, Warning,
};
use mip_core::signing::Password;
use mip_core::{InspectOptions, Output, PayloadScan, SignatureScan, SourcePolicy, html_report};

use crate::args::{
    InspectArgs, LookArgs, PolicyOfSource, Scan, SignatureChoice, check_streams, is_dash,
};
use crate::commands::shown;
use crate::context::{Context, Reply, about};
use crate::output::json;
use crate::output::text::{Rows, bytes, wrapped};
use crate::password::Source;

mod explain;
mod image;
mod mdm;
mod scripts;
pub(crate) mod trust;

pub(crate) fn run(args: &InspectArgs, context: &Context) -> Result<Reply> {
    check_streams(std::slice::from_ref(&args.file), args.html.as_ref(), context.json)?;
    let name = shown(&args.file, &args.stdin.stdin_name);
    let job = context.job(&name);
    let place = |e| about(&args.file, e);
    let policy = policy(&args.look.policy)?;
    let input = context.input(&args.file, &args.stdin.stdin_name, &job).map_err(place)?;
    let mut options = policy.applied_to(options(&args.look));
    options.at = args.at;
    options.hash = args.hash;
    options.licence_text = args.licence;
    options.script_lines = args.scripts;
    let mut work = |password: Option<&Password>| {
        options.image_password = password.cloned();
        mip_core::inspect_full(&input, &options, &job)
    };
    let found = Source::image(&args.look.password).with(&args.file, &mut work).map_err(place)?;
    let mut inspection = found.inspection;
    let page = args.html.as_ref().map(|_| html_report(&inspection, found.icon_png.as_deref()));
    if let Some(path) = &args.icon {
        let none = || {
            Error::new(Code::NoEntry, "the installer has no icon that can be read")
                .hint("see the warnings and the apps that `mip inspect` shows without --icon")
        };
        let png = found.icon_png.ok_or_else(none).map_err(place)?;
        let lost = Output::file(path).force(args.force).write(&input, &png)?;
        inspection.warnings.extend(lost.map(|w| Warning::new("W_DURABILITY", w)));
    }
    let mut of_report = None;
    match (page, args.html.as_deref()) {
        (Some(page), Some(path)) if is_dash(path) => of_report = Some(page),
        (Some(page), Some(path)) => {
            let lost = Output::file(path).force(args.force).write(&input, page.as_bytes())?;
            inspection.warnings.extend(lost.map(|w| Warning::new("W_DURABILITY", w)));
        }
        _ => {}
    }
    let shown = of_report.unwrap_or_else(|| text(&inspection, args.explain));
    let mut reply = Reply::done(shown, json::value(&inspection)?);
    // The report is given, and then the refusal.
    if let Err(e) = policy.check(&inspection, &inspection.warnings).map_err(place) {
        reply.exit = context.exit(&e);
        let error = context.failure(&e);
        if let Some(o) = reply.json.as_object_mut() {
            o.insert("error".to_owned(), error);
        }
    }
    Ok(reply)
}

/// The library's form of what the input must be.
pub(crate) fn policy(args: &PolicyOfSource) -> Result<SourcePolicy> {
    let mut policy = SourcePolicy::default();
    policy.signed = args.require_signed;
    policy.team_id.clone_from(&args.require_team_id);
    policy.notarized = args.require_notarized;
    policy.deny.clone_from(&args.deny);
    policy.known()?;
    Ok(policy)
}

/// The library's form of the options, all but the password.
pub(crate) fn options(args: &LookArgs) -> InspectOptions {
    let mut options = InspectOptions::default();
    options.primary_app = args.primary_app.clone();
    options.select = args.select.clone();
    options.payload_scan = match args.payload_scan {
        Scan::Auto => PayloadScan::Auto,
        Scan::Never => PayloadScan::Never,
        Scan::Always => PayloadScan::Always,
    };
    options.verify_image = args.verify_image;
    options.signatures = match args.signatures {
        SignatureChoice::Auto => SignatureScan::Auto,
        SignatureChoice::Never => SignatureScan::Never,
        SignatureChoice::Full => SignatureScan::Full,
    };
    options
}

fn text(i: &Inspection, explain: bool) -> String {
    // The name is escaped already.
    let mut out = format!("{}\n", i.input.name);
    out.push_str(&input(i).text());
    if let Some(image) = &i.image {
        section(&mut out, "Disk image", &image::rows(image));
    }
    if explain {
        out.push_str(&explain::text(i));
    } else {
        section(&mut out, "Identity", &identity(i));
    }
    section(&mut out, "Installer", &installer(i));
    for (n, c) in i.installer.components.iter().enumerate() {
        let title = format!("Component {}", n.saturating_add(1));
        section(&mut out, &title, &component(c));
        out.push_str(&scripts::text(c));
    }
    let mut apps: Vec<&AppInfo> = i.apps.iter().collect();
    apps.sort_by_key(|a| !a.primary);
    for app in apps {
        let note = match (app.primary, app.nested) {
            (true, _) if i.apps.len() > 1 => " (the primary app)",
            (false, true) => " (inside another bundle)",
            _ => "",
        };
        let name = app.path.rsplit('/').next().unwrap_or(&app.path);
        section(&mut out, &format!("App {}{note}", escape(name)), &self::app(app, i, explain));
    }
    let mut receipts = Rows::new();
    for r in &i.installer.receipts {
        receipts.origin(&escape(&r.id), escape(&r.version), &source(&r.source, i));
    }
    section(&mut out, "Receipts", &receipts);
    trust::sections(&mut out, i);
    trust::not_known(&mut out, i);
    section(&mut out, "Apple MDM", &mdm::rows(i, explain));
    // Places start with the input's name, which is said already.
    let name = format!("{}//", i.input.name);
    out.push_str(&notes(&i.notes, &name));
    out.push_str(&warnings(&i.warnings, &name));
    if let Some(licence) = i.image.as_ref().and_then(|image| image.licence.as_ref()) {
        out.push_str(&image::agreement(licence));
    }
    out
}

fn section(out: &mut String, title: &str, rows: &Rows) {
    if !rows.is_empty() {
        out.push_str(&format!("\n{title}\n{}", rows.text()));
    }
}

/// What was odd about the input and did not matter.
fn notes(all: &[String], name: &str) -> String {
    let mut out = String::new();
    for n in all {
        let n = escape(n).replace(name, "");
        let whole = format!("{}: ", name.trim_end_matches('/'));
        let n = n.strip_prefix(&whole).unwrap_or(&n);
        out.push_str(&wrapped(&format!("  {n}"), "    "));
    }
    if !out.is_empty() {
        out.insert_str(0, "\nTolerated\n");
    }
    out
}

/// The warnings, what to do after the last one of each code; then, in one line each, those that
/// come with almost every package.
fn warnings(all: &[Warning], name: &str) -> String {
    let mut out = String::new();
    let line =
        |w: &Warning| wrapped(&format!("  {}  {}", w.code, w.message.replace(name, "")), "      ");
    let (usual, special): (Vec<_>, Vec<_>) = all.iter().partition(|w| w.is_usual());
    if !special.is_empty() {
        out.push_str("\nWarnings\n");
    }
    for (n, w) in special.iter().enumerate() {
        out.push_str(&line(w));
        let next = special.get(n.saturating_add(1));
        if !w.advice.is_empty() && next.is_none_or(|next| next.code != w.code) {
            out.push_str(&wrapped(&format!("      -> {}", w.advice), "         "));
        }
    }
    if !usual.is_empty() {
        out.push_str("\nUsual for packages\n");
    }
    for w in usual {
        out.push_str(&line(w));
    }
    out
}

/// Where a value comes from, short: `CFBundleVersion`, `Distribution title`, `Mach-O`. The place
/// in full is what `--explain` and JSON give.
fn source(p: &Provenance, i: &Inspection) -> String {
    let Some(key) = &p.key else { return p.rule.replace('-', " ") };
    let key = escape(key);
    let file = p.place.rsplit('/').next().unwrap_or_default();
    if p.place == i.input.name || matches!(file, "" | "Info.plist") || key == "Mach-O" {
        return key;
    }
    format!("{file} {key}")
}

/// One row for a fact, where there is one.
fn fact<T>(
    rows: &mut Rows,
    label: &str,
    f: Option<&Fact<T>>,
    i: &Inspection,
    show: impl Fn(&T) -> String,
) {
    if let Some(f) = f {
        rows.origin(label, show(&f.value), &source(&f.source, i));
    }
}

fn strings(list: &[String]) -> String {
    list.iter().map(|s| escape(s)).collect::<Vec<_>>().join(", ")
}

/// The JSON word of an enum of the library.
fn word(of: &impl serde::Serialize) -> String {
    json::value(of).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

fn input(i: &Inspection) -> Rows {
    let mut rows = Rows::new();
    rows.add("kind", i.input.kind.word());
    if let Some(c) = &i.input.container {
        // Escaped where it was read, as every place is.
        let inside = i.input.path_in_container.as_deref().unwrap_or_default();
        let of = word(c).replace('-', " ");
        if inside.is_empty() {
            rows.add("packed in", of);
        } else {
            rows.add("packed in", format!("{of}, at {inside}"));
        }
    }
    rows.add("size", bytes(i.input.size));
    rows.maybe("sha256", i.input.sha256.as_deref());
    trust::summary(&mut rows, i);
    rows.add("Apple MDM", mdm::answer(i.apple_mdm.qualifies));
    let mut codes: Vec<&str> =
        i.warnings.iter().filter(|w| !w.is_usual()).map(|w| w.code).collect();
    codes.dedup();
    rows.add("warnings", if codes.is_empty() { "none".to_owned() } else { codes.join(", ") });
    rows
}

fn identity(i: &Inspection) -> Rows {
    let id = &i.identity;
    let mut rows = Rows::new();
    fact(&mut rows, "identifier", id.bundle_id.as_ref(), i, |s| escape(s));
    fact(&mut rows, "name", id.name.as_ref(), i, |s| escape(s));
    fact(&mut rows, "version", id.version.as_ref(), i, |s| escape(s));
    let version = id.version.as_ref().map(|f| f.value.as_str());
    let other = |f: &&Fact<String>| Some(f.value.as_str()) != version;
    fact(&mut rows, "short version", id.short_version.as_ref().filter(other), i, |s| escape(s));
    fact(&mut rows, "bundle version", id.bundle_version.as_ref().filter(other), i, |s| escape(s));
    fact(&mut rows, "lowest macOS", id.min_os.as_ref(), i, |s| escape(s));
    fact(&mut rows, "highest macOS", id.max_os.as_ref(), i, |s| escape(s));
    fact(&mut rows, "architectures", id.architectures.as_ref(), i, |l| strings(l));
    fact(&mut rows, "category", id.category.as_ref(), i, |s| escape(s));
    fact(&mut rows, "copyright", id.copyright.as_ref(), i, |s| escape(s));
    if let Some(icon) = id.icon.as_ref().map(|f| &f.value) {
        let pixels = icon.pixels.map(|p| format!("{p} pixels")).unwrap_or_default();
        rows.path("icon", escape(&icon.path), &pixels);
    }
    fact(&mut rows, "localized names", id.localized_names.as_ref(), i, |names| {
        let pairs = names.iter().map(|(l, n)| format!("{}: {}", escape(l), escape(n)));
        pairs.collect::<Vec<_>>().join(", ")
    });
    rows
}

fn installer(i: &Inspection) -> Rows {
    let t = &i.installer;
    let mut rows = Rows::new();
    fact(&mut rows, "title", t.title.as_ref(), i, |s| escape(s));
    fact(&mut rows, "product", t.product_id.as_ref(), i, |s| escape(s));
    fact(&mut rows, "product version", t.product_version.as_ref(), i, |s| escape(s));
    for range in &t.allowed_os {
        fact(&mut rows, "allowed macOS", Some(range), i, os_range);
    }
    fact(&mut rows, "host architectures", t.host_architectures.as_ref(), i, |l| strings(l));
    fact(&mut rows, "at the end", t.restart.as_ref(), i, word);
    fact(&mut rows, "domains", t.domains.as_ref(), i, |d| {
        let all = [
            ("anywhere", d.anywhere),
            ("current user's home", d.current_user_home),
            ("system volume", d.local_system),
        ];
        let allowed = all.iter().filter(|(_, yes)| *yes == Some(true)).map(|(n, _)| *n);
        allowed.collect::<Vec<_>>().join(", ")
    });
    if t.licence {
        let files = t.licence_files.iter().map(|f| match &f.language {
            Some(language) => format!("{} ({})", escape(&f.file), escape(language)),
            None => escape(&f.file),
        });
        let files = files.collect::<Vec<_>>().join(", ");
        rows.add("licence", if files.is_empty() { "must be accepted".to_owned() } else { files });
    }
    for app in &t.must_close {
        fact(&mut rows, "must close", Some(app), i, |s| escape(s));
    }
    for choice in &t.choices {
        let title = choice.title.as_deref().unwrap_or(&choice.id);
        let packages = strings(&choice.packages);
        let colon = if packages.is_empty() { "" } else { ": " };
        rows.add("choice", format!("{}{colon}{packages}", escape(title)));
    }
    if t.javascript {
        rows.add("JavaScript", "present, never run: what it decides is not known");
    }
    fact(&mut rows, "installed KB", t.installed_kbytes.as_ref(), i, u64::to_string);
    fact(&mut rows, "installed files", t.installed_files.as_ref(), i, u64::to_string);
    fact(&mut rows, "installed bytes", t.installed_bytes.as_ref(), i, |n| bytes(*n));
    rows
}

fn os_range(r: &OsRange) -> String {
    let part =
        |word: &str, v: &Option<String>| v.as_deref().map(|v| format!("{word} {}", escape(v)));
    let parts = [part("from", &r.min), part("to", &r.max), part("before", &r.before)];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn component(c: &ComponentInfo) -> Rows {
    let mut rows = Rows::new();
    rows.maybe("identifier", c.id.as_deref());
    rows.maybe("version", c.version.as_deref());
    rows.maybe("install location", c.install_location.as_deref());
    // The place is escaped already, and starts with the input's name.
    if let Some((_, inside)) = c.place.split_once("//") {
        rows.add("place", inside);
    }
    rows.maybe("authorisation", c.auth.as_deref());
    if let Some(n) = c.files {
        rows.add("files", n.to_string());
    }
    if let Some(n) = c.install_kbytes {
        rows.add("installed KB", n.to_string());
    }
    if c.payload {
        let format = c.payload_format.as_deref().map(|f| format!("{}, ", escape(f)));
        let size = bytes(c.payload_stored_bytes);
        let format = format.unwrap_or_default();
        rows.add(
            "payload",
            format!("{format}{size} as stored, {}", word(&c.payload_state).replace('-', " ")),
        );
    } else {
        rows.add("payload", "none");
    }
    for s in &c.scripts {
        let label = s.role.as_deref().unwrap_or("script file");
        let with = s.interpreter.as_deref().map(|w| format!("{}, ", escape(w))).unwrap_or_default();
        let size = s.size.map_or_else(|| "size not known".to_owned(), bytes);
        rows.with(&escape(label), escape(&s.name), &format!("{with}{size}"));
    }
    for b in &c.bundles {
        let id = b.id.as_deref().unwrap_or("no identifier");
        let version =
            b.short_version.as_deref().or(b.bundle_version.as_deref()).unwrap_or("no version");
        rows.path("bundle", escape(&b.path), &format!("{}, {}", escape(id), escape(version)));
    }
    if !c.relocatable_bundles.is_empty() {
        rows.add("relocatable", strings(&c.relocatable_bundles));
    }
    rows.maybe("at the end", c.postinstall_action.as_deref().filter(|a| *a != "none"));
    if !c.must_close.is_empty() {
        rows.add("must close", strings(&c.must_close));
    }
    rows
}

fn app(a: &AppInfo, i: &Inspection, explain: bool) -> Rows {
    let mut rows = Rows::new();
    if a.install_path.is_none() && a.path.contains('/') {
        rows.path("path", escape(&a.path), "");
    }
    fact(&mut rows, "identifier", a.bundle_id.as_ref(), i, |s| escape(s));
    fact(&mut rows, "name", a.name.as_ref(), i, |s| escape(s));
    fact(&mut rows, "short version", a.short_version.as_ref(), i, |s| escape(s));
    fact(&mut rows, "bundle version", a.bundle_version.as_ref(), i, |s| escape(s));
    if let Some(path) = &a.install_path {
        rows.path("lands at", escape(path), "");
    }
    fact(&mut rows, "lowest macOS", a.min_os.as_ref(), i, |s| escape(s));
    fact(&mut rows, "highest macOS", a.max_os.as_ref(), i, |s| escape(s));
    fact(&mut rows, "architectures", a.architectures.as_ref(), i, |l| strings(l));
    fact(&mut rows, "category", a.category.as_ref(), i, |s| escape(s));
    trust::app(&mut rows, a, explain);
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use mip_core::inspection::{InputInfo, Warning};

    fn sample() -> Inspection {
        let mut input = InputInfo::default();
        input.name = "Sample.pkg".to_owned();
        input.size = 12_345;
        let mut i = Inspection::new(input);
        let place = "Sample.pkg//PackageInfo";
        let id = Fact::new(
            "com.\u{1b}[2Jexample".to_owned(),
            place,
            Some("pkg-info@identifier"),
            "stated",
        );
        i.identity.bundle_id = Some(id);
        i.identity.name = Some(Fact::new("Sample".to_owned(), "Sample.pkg", None, "file-name"));
        i.warnings.push(Warning::new("W_TEST", "something to know"));
        i
    }

    #[test]
    fn values_show_their_source_and_cannot_move_the_cursor() {
        let shown = text(&sample(), false);
        assert!(
            shown.contains("com.\\u{1b}[2Jexample  (PackageInfo pkg-info@identifier)"),
            "{shown}"
        );
        assert!(shown.contains("Sample                (file name)"), "{shown}");
        assert!(shown.contains("12345 bytes (12.0 KiB)"), "{shown}");
        assert!(shown.contains("Warnings\n  W_TEST  something to know"), "{shown}");
        assert!(!shown.contains('\u{1b}'));
    }

    #[test]
    fn advice_follows_the_last_warning_of_a_code() {
        let two = [Warning::new("W_NO_VERSION", "a"), Warning::new("W_NO_VERSION", "A.pkg//b")];
        assert_eq!(
            warnings(&two, "A.pkg//"),
            "\nWarnings\n  W_NO_VERSION  a\n  W_NO_VERSION  b\n      -> give one with --set-version\n"
        );
    }

    #[test]
    fn what_comes_with_almost_every_package_is_one_line_at_the_end() {
        let two = [Warning::new("W_RUNS_SCRIPTS", "it does"), Warning::new("W_NO_VERSION", "a")];
        let shown = warnings(&two, "A.pkg//");
        assert!(shown.starts_with("\nWarnings\n  W_NO_VERSION  a\n"), "{shown}");
        assert!(shown.ends_with("\nUsual for packages\n  W_RUNS_SCRIPTS  it does\n"));
    }

    #[test]
    fn an_explanation_has_the_winner_the_losers_and_the_rules() {
        let mut i = sample();
        let lost = Fact::new(
            "2".to_owned(),
            "Sample.pkg//Distribution",
            Some("product@version"),
            "product",
        );
        let mut version = Fact::new(
            "1.5".to_owned(),
            "Sample.pkg//Payload//A.app/Contents/Info.plist",
            Some("CFBundleShortVersionString"),
            "short-version",
        );
        version.others =
            vec![mip_core::inspection::Candidate { value: lost.value, source: lost.source }];
        i.identity.version = Some(version);
        let shown = text(&i, true);
        let want = "\
version: 1.5
  won   1.5
        in    Payload//A.app/Contents/Info.plist, CFBundleShortVersionString
        rule  short-version: The app's short version: it is not empty and starts with a digit.
  lost  2
        in    Distribution, product@version
        rule  product: The product of the Distribution.
";
        assert!(shown.contains(want), "{shown}");
        assert!(shown.contains("name: Sample\n"), "{shown}");
        assert!(!shown.contains("\nIdentity\n") && !shown.contains('\u{1b}'));
    }

    #[test]
    fn sections_without_content_are_left_out() {
        let shown = text(&Inspection::new(InputInfo::default()), false);
        for absent in ["Installer", "Receipts", "Warnings", "App ", "Usual"] {
            assert!(!shown.contains(absent), "{absent}: {shown}");
        }
    }
}
