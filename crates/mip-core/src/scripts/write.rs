//! The scripts as text: a header for people, the values of the installer, and the fixed parts.

use super::facts::{App, Facts, Receipt};
use super::quote::{assign, comment};

const START: &str = include_str!("sh/start.sh");
const COMMON: &str = include_str!("sh/common.sh");
const VERSION: &str = include_str!("sh/version.sh");
const APP: &str = include_str!("sh/app.sh");
const RECEIPT: &str = include_str!("sh/receipt.sh");
const DETECTION_OPTIONS: &str = include_str!("sh/detection_options.sh");
const DETECT_APP: &str = include_str!("sh/detect_app.sh");
const DETECT_APP_RECEIPT: &str = include_str!("sh/detect_app_receipt.sh");
const DETECT_RECEIPT: &str = include_str!("sh/detect_receipt.sh");
const UNINSTALL_OPTIONS: &str = include_str!("sh/uninstall_options.sh");
const UNINSTALL_APP: &str = include_str!("sh/uninstall_app.sh");
const UNINSTALL_RECEIPT: &str = include_str!("sh/uninstall_receipt.sh");
const UNINSTALL_END: &str = include_str!("sh/uninstall_end.sh");

/// What the detection script says when nothing can be looked for.
const UNKNOWN: &str = "
# The package installs no app and leaves no receipt: what its scripts do is not known. Put a check
# of your own here, with exit status 0 when the product is there and 1 when it is not.
echo 'cannot tell: this installer has no app and leaves no receipt'
exit 2
";

/// What the uninstall script says when nothing is known that could be removed.
const NOTHING: &str = "
# The package installs no app and leaves no receipt: what its scripts do is not known. Put what
# removes it here.
echo 'nothing was done: this installer has no app and leaves no receipt'
exit 2
";

pub(super) fn detection(facts: &Facts) -> String {
    let mut checks = Vec::new();
    for app in &facts.apps {
        let place = comment(&app.path);
        let id = comment(&app.id);
        let elsewhere = if app.moves { ", or wherever it was moved to" } else { "" };
        checks.push(match &app.version {
            Some((key, version)) => format!(
                "the app {id} at {place}{elsewhere}, with {key} {} or newer",
                comment(version)
            ),
            None => format!("the app {id} at {place}{elsewhere}, in any version"),
        });
    }
    if facts.apps.is_empty() {
        for r in &facts.receipts {
            checks.push(format!(
                "the receipt of {}, for {} or newer",
                comment(&r.id),
                comment(&r.version)
            ));
        }
    } else {
        checks.push(
            "an app that is not at its path is looked for by its identifier (Spotlight), and by its name in the folders for apps".to_owned(),
        );
        if !facts.receipts.is_empty() {
            checks.push("receipts do not count: one can be there without the app".to_owned());
        }
    }
    let mut out = header(
        facts,
        "detection",
        "Exit status: 0 it is installed, in this version or a newer one. 1 it is not, or it is older.\n\
         2 that cannot be told. One line on stdout says why. Nothing is changed.",
        "What is checked, all of it:",
        &checks,
        "--root DIR looks at the volume at DIR. --tools DIR takes PlistBuddy, pkgutil and mdfind\n\
         from DIR, for tests. Other arguments are ignored.",
    );
    if facts.apps.is_empty() && facts.receipts.is_empty() {
        out.push_str(UNKNOWN);
        return out;
    }
    out.push_str(START);
    let by_app = !facts.apps.is_empty();
    if by_app {
        out.push_str(&apps(&facts.apps.iter().collect::<Vec<_>>(), true));
    }
    let all: Vec<&Receipt> = facts.receipts.iter().collect();
    out.push_str(&receipts(&all, !by_app, "receipt"));
    for part in [COMMON, DETECTION_OPTIONS, VERSION] {
        out.push_str(part);
    }
    let rest: &[&str] = match (by_app, facts.receipts.is_empty()) {
        (true, true) => &[APP, DETECT_APP],
        (true, false) => &[APP, RECEIPT, DETECT_APP_RECEIPT, DETECT_APP],
        (false, _) => &[RECEIPT, DETECT_RECEIPT],
    };
    out.extend(rest.iter().copied());
    out
}

pub(super) fn uninstall(facts: &Facts) -> String {
    let whole: Vec<&App> = facts.apps.iter().filter(|a| !a.inside_another()).collect();
    let listed: Vec<&Receipt> = facts.receipts.iter().filter(|r| r.listed).collect();
    let (has_apps, has_receipts) = (!whole.is_empty(), !listed.is_empty());
    let mut steps = Vec::new();
    for app in &whole {
        steps.push(format!("the app {} at {}", comment(&app.id), comment(&app.path)));
    }
    if has_apps {
        let text = "copies of it elsewhere below /Applications; others are named and stay";
        steps.push(text.to_owned());
    }
    for r in &listed {
        let id = comment(&r.id);
        steps.push(format!("the files that the receipt of {id} lists, and the receipt"));
    }
    if has_receipts {
        let text = "folders of the receipts that are empty then; never one that is shared, never a file that another receipt has too";
        steps.push(text.to_owned());
    }
    let mut out = header(
        facts,
        "uninstall",
        "Exit status: 0 nothing of it is left. 1 something stays, and is named. 2 nothing was done.\n\
         Must be run as root. Running apps are asked to quit, then ended.",
        "What is removed:",
        &steps,
        "--dry-run says what would be done, and does nothing. --root DIR works on the volume at\n\
         DIR. --tools DIR takes the commands of macOS from DIR, for tests.",
    );
    if !has_apps && !has_receipts {
        out.push_str(NOTHING);
        return out;
    }
    out.push_str(START);
    if has_apps {
        out.push_str(&apps(&whole, false));
    }
    if has_receipts {
        out.push_str(&receipts(&listed, false, "receipt \"$1\""));
    }
    out.push_str(COMMON);
    out.push_str(UNINSTALL_OPTIONS);
    if has_apps {
        out.push_str(APP);
        out.push_str(UNINSTALL_APP);
    }
    if has_receipts {
        out.push_str(RECEIPT);
        out.push_str(UNINSTALL_RECEIPT);
    }
    let mut run = |yes: bool, line: &str| {
        if yes {
            out.push_str(line);
            out.push('\n');
        }
    };
    run(true, "");
    run(has_apps, "each_app check");
    run(has_receipts, "list");
    run(has_receipts, "[ \"$live\" = no ] || stop_jobs");
    run(has_apps, "[ \"$live\" = no ] || each_app quit");
    run(has_apps, "each_app remove");
    run(has_receipts, "remove_files");
    run(has_receipts, "remove_folders");
    run(has_apps, "each_app copies");
    run(has_receipts, "[ \"$left\" = yes ] || each_receipt forget");
    out.push_str(UNINSTALL_END);
    out
}

fn header(
    facts: &Facts,
    kind: &str,
    status: &str,
    what: &str,
    list: &[String],
    options: &str,
) -> String {
    let mut out = String::from("#!/bin/sh\n");
    let mut line = |text: &str| {
        out.push_str(if text.is_empty() { "#" } else { "# " });
        out.push_str(text);
        out.push('\n');
    };
    let p = &facts.product;
    let (name, version, id) = (comment(&p.name), comment(&p.version), comment(&p.id));
    line(&format!("The {kind} script for {name} {version} ({id})."));
    let sum = facts.sha256.as_ref().map(|s| format!(", SHA-256 {s}")).unwrap_or_default();
    // The name is escaped where it was read.
    line(&format!("Made by mip {} from {}{sum}.", env!("CARGO_PKG_VERSION"), facts.installer));
    line("");
    status.lines().for_each(&mut line);
    if !list.is_empty() {
        line("");
        line(what);
        list.iter().for_each(|item| line(&format!("- {item}")));
        line("To adapt it, change the values at the top.");
    }
    for note in &facts.notes {
        line("");
        line(&format!("Note: {note}."));
    }
    if !list.is_empty() {
        line("");
        options.lines().for_each(&mut line);
    }
    line("");
    out
}

/// The function that goes through the apps.
fn apps(list: &[&App], detection: bool) -> String {
    let mut out =
        String::from("\n# The apps, the one that the version is of first.\neach_app() {\n");
    for a in list {
        let flag = |yes: bool| if yes { "yes" } else { "no" };
        let mut put = |name: &str, value: &str| {
            // What holds a NUL never gets this far.
            out.push_str(&format!("    {}\n", assign(name, value).unwrap_or_default()));
        };
        put("name", &a.name);
        put("id", &a.id);
        put("path", &a.path);
        if detection {
            let (key, version) = match &a.version {
                Some((key, version)) => (*key, version.as_str()),
                None => ("CFBundleShortVersionString", ""),
            };
            put("key", key);
            put("version", version);
            out.push_str(&format!("    moves={}\n", flag(a.moves)));
        }
        // Whether the identifier can be put into a query.
        out.push_str(&format!("    indexed={}\n", flag(a.plain_id())));
        out.push_str(if detection { "    app\n" } else { "    app \"$1\"\n" });
    }
    out.push_str("}\n");
    out
}

/// The function that goes through the receipts.
fn receipts(list: &[&Receipt], versions: bool, call: &str) -> String {
    let mut out = String::from("\n# The packages that leave receipts.\neach_receipt() {\n");
    for r in list {
        let mut put = |name: &str, value: &str| {
            out.push_str(&format!("    {}\n", assign(name, value).unwrap_or_default()));
        };
        put("package", &r.id);
        if versions {
            put("version", &r.version);
        }
        out.push_str(&format!("    {call}\n"));
    }
    if list.is_empty() {
        out.push_str("    :\n");
    }
    out.push_str("}\n");
    out
}
