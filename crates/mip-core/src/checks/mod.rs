//! Checks that an admin would make by hand: each is a warning with a stable code.
//!
//! They need the decided identity and nothing that changes with time, so that they can be part of
//! what a conversion writes.

pub(crate) mod script;

use std::cmp::Ordering;

use mip_base::escape;

use crate::inspection::{
    AppInfo, ComponentInfo, Fact, Identity, Inspection, InstallerInfo, InstallerKind, OsRange,
    ScriptFinding, Warning,
};
use crate::metadata::{compare_versions, is_placeholder, is_suspicious, rules};

/// Things that one warning names.
const SHOWN: usize = 5;
/// Warnings about scripts of one installer.
const SCRIPT_WARNINGS: usize = 50;

/// All warnings about what was found and decided. `open` says that several apps could be meant.
pub(crate) fn warnings(found: &Inspection, identity: &Identity, open: bool) -> Vec<Warning> {
    let app = found.apps.iter().find(|a| a.primary);
    let mut out = Vec::new();
    version(found, identity, open, &mut out);
    name(found, identity, &mut out);
    if !open {
        identifier(app, identity, &mut out);
    }
    systems(&found.installer, app, &mut out);
    architectures(found, app, &mut out);
    places(found, app, &mut out);
    package(found, &mut out);
    scripts(&found.installer.components, &mut out);
    out
}

fn say(out: &mut Vec<Warning>, code: &'static str, text: impl Into<String>) {
    out.push(Warning::new(code, text));
}

/// The first few of a list, escaped, and how many more there are.
fn some<'a>(all: impl Iterator<Item = &'a str>) -> String {
    let all: Vec<&str> = all.collect();
    let mut text: Vec<String> = all.iter().take(SHOWN).map(|s| escape(s)).collect();
    if let Some(more) = all.len().checked_sub(SHOWN).filter(|n| *n > 0) {
        text.push(format!("{more} more"));
    }
    text.join(", ")
}

fn is_package(found: &Inspection) -> bool {
    !matches!(found.input.kind, InstallerKind::App | InstallerKind::Unknown)
}

fn version(found: &Inspection, identity: &Identity, open: bool, out: &mut Vec<Warning>) {
    let components = &found.installer.components;
    let Some(version) = &identity.version else {
        if !open && found.input.kind != InstallerKind::Unknown {
            say(out, "W_NO_VERSION", "nothing in the installer gives a version");
        }
        return;
    };
    let shown = escape(&version.value);
    let rule = version.source.rule;
    let of_part = [rules::FIRST_PKG_REF, rules::FIRST_COMPONENT].contains(&rule);
    if (of_part || rule == rules::PRODUCT) && is_suspicious(&version.value) {
        let text =
            format!("the version \"{shown}\" comes from the package and looks like a placeholder");
        say(out, "W_SUSPICIOUS_VERSION", text);
    } else if version.value.chars().all(|c| !c.is_ascii_digit() || c == '0') {
        let text = format!("the version \"{shown}\" is no version that can go up from another");
        say(out, "W_SUSPICIOUS_VERSION", text);
    }
    if rule == rules::UNUSABLE_VERSION {
        let text = format!("the version \"{shown}\" does not start with a digit");
        say(out, "W_UNUSUAL_VERSION", text);
    }
    let mut versions = components.iter().filter_map(|c| c.version.as_deref());
    if of_part && versions.next().is_some_and(|one| versions.any(|v| v != one)) {
        let text =
            "the component packages have different versions, and nothing gives one for the whole";
        say(out, "W_SEVERAL_VERSIONS", text);
    }
}

fn name(found: &Inspection, identity: &Identity, out: &mut Vec<Warning>) {
    let of_file =
        |f: &&Fact<String>| [rules::FILE_NAME, rules::COMPONENT_NAME].contains(&f.source.rule);
    let Some(name) = identity.name.as_ref().filter(of_file).filter(|_| is_package(found)) else {
        return;
    };
    let why = match &found.installer.title {
        Some(t) if is_placeholder(&t.value) => {
            format!("the title \"{}\" is a placeholder", escape(&t.value))
        }
        _ => "the package gives none".to_owned(),
    };
    let text = format!("the name \"{}\" is that of a file: {why}", escape(&name.value));
    say(out, "W_PLACEHOLDER_NAME", text);
}

fn identifier(app: Option<&AppInfo>, identity: &Identity, out: &mut Vec<Warning>) {
    // An app that was not read has no name from its Info.plist either.
    let unread = |a: &AppInfo| a.package_type.is_none() && a.executable.is_none();
    if let Some(a) = app.filter(|a| a.bundle_id.is_none() && !unread(a)) {
        let text = format!("the app {} has no CFBundleIdentifier", escape(&a.path));
        return say(out, "W_NO_IDENTIFIER", text);
    }
    let Some(id) = identity.bundle_id.as_ref().map(|f| f.value.as_str()) else {
        return say(out, "W_NO_IDENTIFIER", "nothing in the installer gives an identifier");
    };
    // What a build tool leaves where a variable had no value.
    if id.contains("(null)") || id.contains("${") || id.contains("$(") {
        let text = format!("the identifier \"{}\" was never filled in", escape(id));
        say(out, "W_NO_IDENTIFIER", text);
    } else if !id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')) {
        let text = format!(
            "the identifier \"{}\" has characters other than letters, digits, \".\", \"-\" and \"_\"",
            escape(id)
        );
        say(out, "W_UNUSUAL_IDENTIFIER", text);
    }
}

/// Lowest and highest macOS that cannot both be.
fn systems(p: &InstallerInfo, app: Option<&AppInfo>, out: &mut Vec<Warning>) {
    const CODE: &str = "W_OS_CONTRADICTION";
    let above = |a: &str, b: &str| compare_versions(a, b) == Ordering::Greater;
    // Whether nothing from `min` on is inside the upper end of a range.
    let beyond = |min: &str, r: &OsRange| {
        r.max.as_deref().is_some_and(|max| above(min, max))
            || r.before.as_deref().is_some_and(|end| !above(end, min))
    };
    for r in &p.allowed_os {
        if let Some(min) = r.value.min.as_deref().filter(|min| beyond(min, &r.value)) {
            let end = r.value.max.as_deref().or(r.value.before.as_deref()).unwrap_or_default();
            let text = format!(
                "the package allows macOS from {} to {}, which is none",
                escape(min),
                escape(end)
            );
            say(out, CODE, text);
        }
    }
    let Some(app) = app else { return };
    let Some(min) = app.min_os.as_ref().map(|f| f.value.as_str()) else { return };
    if let Some(max) = app.max_os.as_ref().map(|f| f.value.as_str()).filter(|m| above(min, m)) {
        let (min, max) = (escape(min), escape(max));
        say(out, CODE, format!("the app needs macOS {min} at least and {max} at most"));
    }
    if !p.allowed_os.is_empty() && p.allowed_os.iter().all(|r| beyond(min, &r.value)) {
        let text =
            format!("the app needs macOS {}, and the package allows only older ones", escape(min));
        say(out, CODE, text);
    }
}

fn architectures(found: &Inspection, app: Option<&AppInfo>, out: &mut Vec<Warning>) {
    let host = found.installer.host_architectures.as_ref().map(|f| f.value.as_slice());
    let host = host.unwrap_or_default();
    let is_arm = |a: &String| a.starts_with("arm64");
    let fact = app.and_then(|a| a.architectures.as_ref());
    let read = fact.filter(|f| f.source.rule != rules::PLIST_ARCHITECTURES);
    let have = read.map(|f| f.value.as_slice()).unwrap_or_default();
    let has = |family: &str| have.iter().any(|a| a.starts_with(family));
    let arm = have.iter().any(is_arm);
    let intel_only = !have.is_empty() && !arm && has("x86_64");
    if intel_only {
        let text = "the app is for Intel only: Apple silicon needs Rosetta for it, which macOS 28 has only for some games";
        say(out, "W_INTEL_ONLY", text);
    } else if !arm && has("i386") {
        let text = "the app is 32-bit only: macOS 10.15 and later cannot run it";
        say(out, "W_32_BIT_ONLY", text);
    } else if !arm && has("ppc") {
        let text = "the app is for PowerPC only: Mac OS X 10.7 and later cannot run it";
        say(out, "W_POWERPC", text);
    }
    if let Some(said) =
        read.and_then(|f| f.others.iter().find(|o| o.source.rule == rules::PLIST_ARCHITECTURES))
    {
        let known = ["arm64", "x86_64", "i386", "ppc"];
        let missing = |a: &&String| {
            known.contains(&a.as_str()) && !have.iter().any(|h| h.starts_with(a.as_str()))
        };
        let missing: Vec<&str> = said.value.iter().filter(missing).map(String::as_str).collect();
        if !missing.is_empty() {
            let text = format!(
                "LSArchitecturePriority names {}, which the app's program does not have",
                some(missing.into_iter())
            );
            say(out, "W_ARCHITECTURES_DIFFER", text);
        }
    }
    let only_arm = arm && have.iter().all(is_arm);
    if only_arm && !host.is_empty() && !host.iter().any(is_arm) {
        let text = format!(
            "the app is for Apple silicon only, the package for {} only",
            some(host.iter().map(String::as_str))
        );
        say(out, "W_ARCHITECTURES_DIFFER", text);
    }
    if found.input.kind == InstallerKind::DistributionPackage
        && !intel_only
        && !host.iter().any(is_arm)
    {
        let text = "the package does not say that it is for arm64 (options@hostArchitectures): a Mac with Apple silicon asks for Rosetta to install it";
        say(out, "W_ROSETTA_TO_INSTALL", text);
    }
}

/// Where apps land.
fn places(found: &Inspection, app: Option<&AppInfo>, out: &mut Vec<Warning>) {
    // Without a primary app each one may be meant.
    let meant = || found.apps.iter().filter(|a| !a.nested && (app.is_none() || a.primary));
    let outside: Vec<&str> = meant()
        .filter_map(|a| a.install_path.as_deref())
        .filter(|p| !p.starts_with("/Applications/"))
        .collect();
    if !outside.is_empty() {
        let what = if outside.len() == 1 { "the app lands" } else { "apps land" };
        let text = format!(
            "{what} in {}, outside /Applications: inventories may not see it",
            some(outside.into_iter())
        );
        say(out, "W_OUTSIDE_APPLICATIONS", text);
    }
    let moved: Vec<&AppInfo> =
        found.apps.iter().filter(|a| !a.nested && a.relocatable == Some(true)).collect();
    let text = match (app, moved.as_slice()) {
        (_, []) => return,
        (Some(a), _) if a.relocatable == Some(true) => {
            "the Installer may put the app where the user moved an older copy".to_owned()
        }
        (_, all) => format!(
            "the Installer may put {} where the user moved an older copy",
            some(all.iter().map(|a| a.path.as_str()))
        ),
    };
    say(out, "W_RELOCATABLE", text);
}

fn package(found: &Inspection, out: &mut Vec<Warning>) {
    let p = &found.installer;
    if p.javascript {
        let text =
            "the package decides with JavaScript what is installed where; it is not run here";
        say(out, "W_JAVASCRIPT", text);
    }
    if !is_package(found) {
        return;
    }
    if !p.components.iter().any(|c| c.payload) {
        let text =
            "no component has a payload: the package only runs scripts and leaves no receipt";
        say(out, "W_NO_PAYLOAD", text);
    }
    if p.licence {
        let text =
            "the package has a licence agreement, which an unattended installation does not show";
        say(out, "W_LICENCE", text);
    }
    if !p.receipts.is_empty() && found.apps.iter().any(|a| !a.nested) {
        let text = format!(
            "the receipt stays when a user deletes the app ({}): then it may not be installed again",
            some(p.receipts.iter().map(|r| r.id.as_str()))
        );
        say(out, "W_RECEIPT_BLOCKS", text);
    }
    let runs = p.components.iter().flat_map(|c| &c.scripts).filter_map(|s| s.role.as_deref());
    let mut roles: Vec<&str> = runs.collect();
    roles.sort_unstable();
    roles.dedup();
    if !roles.is_empty() {
        let text = format!(
            "the package runs scripts ({}): what they do is not in the file lists",
            some(roles.into_iter())
        );
        say(out, "W_RUNS_SCRIPTS", text);
    }
}

/// One warning for each script and code.
fn scripts(components: &[ComponentInfo], out: &mut Vec<Warning>) {
    let mut count = 0usize;
    for c in components {
        for s in &c.scripts {
            let mut codes: Vec<&'static str> = s.findings.iter().map(|f| f.code).collect();
            codes.sort_unstable();
            codes.dedup();
            for code in codes {
                if count >= SCRIPT_WARNINGS {
                    return;
                }
                count = count.saturating_add(1);
                let of_code = s.findings.iter().filter(|f| f.code == code);
                let name = s.role.as_deref().unwrap_or(&s.name);
                let place = match components {
                    [_] => String::new(),
                    _ => format!("{}: ", c.place),
                };
                let text = format!("{place}{}: {}", escape(name), lines(of_code));
                say(out, code, text);
            }
        }
    }
}

/// `line 3: curl -O x; line 9: …`
fn lines<'a>(all: impl Iterator<Item = &'a ScriptFinding>) -> String {
    let all: Vec<&ScriptFinding> = all.collect();
    let mut text: Vec<String> =
        all.iter().take(SHOWN).map(|f| format!("line {}: {}", f.line, f.text)).collect();
    if let Some(more) = all.len().checked_sub(SHOWN).filter(|n| *n > 0) {
        text.push(format!("{more} more"));
    }
    text.join("; ")
}
