//! The generated scripts, run on trees as a Mac has them, in every shell that is here. The
//! commands of macOS are stood in for by `macos.py`.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::print_stderr,
    reason = "tests"
)]

mod common;
#[path = "scripts/mac.rs"]
mod mac;

use std::io::Write as _;
use std::process::{Command, Stdio};

use mac::{Mac, shells};
use mip_core::inspection::{
    AppInfo, ComponentInfo, Fact, InputInfo, Inspection, Provenance, Receipt,
};
use mip_core::{ProductReport, detection_script, uninstall_script};
use serde_json::json;

const SHORT: &str = "CFBundleShortVersionString";
const BUILD: &str = "CFBundleVersion";

fn fact(value: &str) -> Option<Fact<String>> {
    Some(Fact::new(value.to_owned(), "test", None, "stated"))
}

/// An installer as an inspection describes it.
struct Installer(Inspection);

impl Installer {
    fn new() -> Self {
        let mut input = InputInfo::default();
        input.name = "Tool.pkg".to_owned();
        Self(Inspection::new(input))
    }

    /// Adds an app; the first is the primary one.
    fn app(mut self, path: &str, id: &str, keys: &[(&str, &str)]) -> Self {
        let mut a = AppInfo::default();
        a.path = path.trim_start_matches("/Applications/").to_owned();
        a.install_path = Some(path.to_owned());
        a.bundle_id = fact(id);
        a.primary = self.0.apps.is_empty();
        let get = |key| keys.iter().find(|(k, _)| *k == key).and_then(|(_, v)| fact(v));
        (a.short_version, a.bundle_version) = (get(SHORT), get(BUILD));
        self.0.apps.push(a);
        self
    }

    fn change(mut self, change: impl Fn(&mut AppInfo)) -> Self {
        change(self.0.apps.last_mut().unwrap());
        self
    }

    fn receipt(mut self, id: &str, version: &str) -> Self {
        let source = Provenance { place: String::new(), key: None, rule: "stated" };
        self.0.installer.receipts.push(Receipt::new(id, version, source));
        self
    }

    fn product() -> ProductReport {
        ProductReport::new("com.example.tool", "Tool", "2.5.1")
    }

    fn detection(&self) -> String {
        detection_script(&self.0, &Self::product())
    }

    fn uninstall(&self) -> String {
        uninstall_script(&self.0, &Self::product())
    }
}

const TOOL: &str = "/Applications/Tool.app";
const ID: &str = "com.example.tool";

/// A package with the app Tool 2.5.1 and a receipt.
fn tool() -> Installer {
    Installer::new()
        .app(TOOL, ID, &[(SHORT, "2.5.1"), (BUILD, "2510")])
        .receipt("com.example.pkg", "2.5.1")
}

/// Runs the detection script in every shell: the exit status, and a part of what it says.
#[track_caller]
fn detects(mac: &Mac, installer: &Installer, status: i32, word: &str) {
    let before = mac.contents();
    let (got, said) = mac.everywhere(&installer.detection());
    assert_eq!((got, said.contains(word)), (status, true), "said: {said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(mac.contents() == before, "a detection script changes nothing");
}

#[test]
fn absent_older_same_and_newer_app() {
    let mut mac = Mac::new();
    detects(
        &mac,
        &tool(),
        1,
        "not present: Tool.app is neither at /Applications/Tool.app nor found",
    );
    for (have, status, word) in [
        ("2.4.9", 1, "older: Tool.app 2.4.9 is at /Applications/Tool.app, and 2.5.1 is wanted"),
        ("2.5", 1, "older"),
        ("2.5.1", 0, "present: Tool.app 2.5.1 at /Applications/Tool.app"),
        ("2.5.1.0", 0, "present"),
        ("2.5.1b3", 1, "older"),
        // As text, this would be older.
        ("2.10", 0, "present"),
        ("10.0", 0, "present"),
    ] {
        mac.app(TOOL, ID, &[(SHORT, have), (BUILD, "1")]);
        detects(&mac, &tool(), status, word);
    }
    mac.app(TOOL, ID, &[(BUILD, "9999")]);
    detects(
        &mac,
        &tool(),
        2,
        "cannot tell: /Applications/Tool.app has no CFBundleShortVersionString",
    );
    mac.app(TOOL, "com.example.other", &[(SHORT, "9")]);
    detects(
        &mac,
        &tool(),
        1,
        "not present: what is at /Applications/Tool.app is not com.example.tool",
    );
}

/// Where the short version says nothing, the version is of the other key.
#[test]
fn the_key_is_the_one_that_the_version_was_taken_from() {
    let installer = Installer::new().app(TOOL, ID, &[(SHORT, "${VERSION}"), (BUILD, "310")]);
    let mut mac = Mac::new();
    mac.app(TOOL, ID, &[(SHORT, "${VERSION}"), (BUILD, "309")]);
    detects(&mac, &installer, 1, "older: Tool.app 309");
    mac.app(TOOL, ID, &[(SHORT, "${VERSION}"), (BUILD, "310")]);
    detects(&mac, &installer, 0, "present");
    // An app without any version is there or not.
    let installer = Installer::new().app(TOOL, ID, &[]);
    detects(&mac, &installer, 0, "present");
}

#[test]
fn a_moved_app_is_found() {
    for (place, spotlight) in [
        ("/Applications/Vendor/Tool.app", true),
        ("/Applications/Vendor/Tool.app", false),
        ("/Users/anna/Applications/Tool.app", false),
        ("/Library/Tools/Renamed.app", true),
    ] {
        let mut mac = Mac::new();
        mac.set("spotlight", json!(spotlight));
        mac.app(place, ID, &[(SHORT, "2.5.1")]);
        detects(&mac, &tool(), 0, &format!("present: Tool.app 2.5.1 at {place}"));
        mac.app(place, ID, &[(SHORT, "2.5.0")]);
        detects(&mac, &tool(), 1, "older");
    }
    // What nobody starts does not count.
    for place in [
        "/Users/anna/.Trash/Tool.app",
        "/Volumes/Backup/Tool.app",
        "/Applications/Big.app/Contents/Tool.app",
    ] {
        let mut mac = Mac::new();
        mac.app(place, ID, &[(SHORT, "2.5.1")]);
        detects(&mac, &tool(), 1, "not present");
    }
}

/// The Installer updates a relocatable app where it is: an old copy at the usual place does not
/// decide.
#[test]
fn of_a_relocatable_app_the_newest_copy_counts() {
    let relocatable = tool().change(|a| a.relocatable = Some(true));
    let mut mac = Mac::new();
    mac.app(TOOL, ID, &[(SHORT, "2.0")]).app("/Library/Elsewhere/Tool.app", ID, &[(SHORT, "2.6")]);
    detects(&mac, &relocatable, 0, "present: Tool.app 2.6 at /Library/Elsewhere/Tool.app");
    detects(&mac, &tool(), 1, "older: Tool.app 2.0 is at /Applications/Tool.app");
}

#[test]
fn receipts_do_not_stand_for_apps_nor_the_other_way_round() {
    let mut mac = Mac::new();
    mac.receipt("com.example.pkg", "2.5.1", "Applications", &["Tool.app/Contents/Info.plist"]);
    detects(
        &mac,
        &tool(),
        1,
        "the receipt of com.example.pkg is there, but a receipt is not the app",
    );
    let mut mac = Mac::new();
    mac.app(TOOL, ID, &[(SHORT, "2.5.1")]);
    detects(&mac, &tool(), 0, "present");
}

#[test]
fn every_app_must_be_there_and_the_first_has_the_version() {
    let suite = tool()
        .app(
            "/Applications/Suite/Über “Edit” $(reboot) 'it'.app",
            "com.example.edit",
            &[(SHORT, "7")],
        )
        .app("/Library/Helpers/Agent.app", "com.example.agent", &[]);
    let mut mac = Mac::new();
    mac.app(TOOL, ID, &[(SHORT, "2.5.1")]).app(
        "/Library/Helpers/Agent.app",
        "com.example.agent",
        &[],
    );
    detects(&mac, &suite, 1, "not present: Über “Edit” $(reboot) 'it'.app is neither");
    mac.app(
        "/Applications/Suite/Über “Edit” $(reboot) 'it'.app",
        "com.example.edit",
        &[(SHORT, "6")],
    );
    detects(&mac, &suite, 0, "present: Tool.app 2.5.1 at /Applications/Tool.app, Über");
}

#[test]
fn copies_of_one_app_are_one_app() {
    let both = Installer::new().app("/Applications/Tool 10.app", ID, &[(SHORT, "1.2")]).app(
        "/Applications/Tool 11.app",
        ID,
        &[(SHORT, "1.2")],
    );
    let mut mac = Mac::new();
    mac.app("/Applications/Tool 11.app", ID, &[(SHORT, "1.2")]);
    detects(&mac, &both, 0, "present");
}

#[test]
fn odd_names_and_folders() {
    for path in [
        "/Applications/A B/Ca fé.app",
        "/Applications/it's \"quoted\" \\n `reboot` $HOME $(reboot) ${IFS};&|<>*?[a]~#!.app",
        "/Applications/-rf.app",
        "/Applications/大きい アプリ.app",
        "/Applications/line\nbreak\n.app",
        "/Applications/tab\tand\u{1b}[31m\u{202e}.app",
        "/Library/Deep/er/and/Deeper/Tool.app",
        "/Applications/100%s %d.app",
    ] {
        let installer =
            Installer::new().app(path, "com.example.o'dd \"$(id)`id`", &[(SHORT, "1.5")]);
        let mut mac = Mac::new();
        detects(&mac, &installer, 1, "not present");
        mac.app(path, "com.example.o'dd \"$(id)`id`", &[(SHORT, "1.5")]);
        detects(&mac, &installer, 0, "present");
        let script = installer.detection();
        assert!(
            !script
                .chars()
                .any(|c| c != '\n' && mip_core::escape(&c.to_string()).starts_with("\\u"))
        );
        let said = mac.run(shells()[0], &installer.uninstall(), &[]);
        assert_eq!(said.0, 0, "{path}: {said:?}");
        assert!(!mac.has(path), "{path}");
        assert!(mac.has("/Applications/Utilities"));
    }
}

#[test]
fn packages_without_apps_are_told_by_their_receipts() {
    let package =
        Installer::new().receipt("com.example.cli", "1.10").receipt("com.example.doc", "");
    let mut mac = Mac::new();
    detects(&mac, &package, 1, "not present: there is no receipt of com.example.cli");
    mac.receipt("com.example.cli", "1.9", "/", &["usr/local/bin/tool"]);
    detects(
        &mac,
        &package,
        1,
        "older: the receipt of com.example.cli is for 1.9, and 1.10 is wanted",
    );
    mac.receipt("com.example.cli", "1.10", "/", &["usr/local/bin/tool"]);
    detects(&mac, &package, 1, "no receipt of com.example.doc");
    mac.receipt("com.example.doc", "3", "/", &["usr/local/share/man/man1/tool.1"]);
    detects(&mac, &package, 0, "present by receipt: com.example.cli 1.10, com.example.doc 3");
}

#[test]
fn of_a_package_without_files_nothing_can_be_told() {
    let mac = Mac::new();
    detects(&mac, &Installer::new(), 2, "cannot tell");
    let (status, said) = mac.everywhere(&Installer::new().uninstall());
    assert_eq!((status, said.contains("nothing was done")), (2, true));
}

/// An app that is put where nothing stays is moved by a script of its package.
#[test]
fn an_app_in_a_temporary_folder_is_looked_for_in_applications() {
    let installer = Installer::new().app("/private/tmp/work/Tool.app", ID, &[(SHORT, "2.5.1")]);
    assert!(
        installer
            .detection()
            .contains("# Note: the package puts the app into /private/tmp/work/Tool.app")
    );
    let mut mac = Mac::new();
    mac.app(TOOL, ID, &[(SHORT, "2.5.1")]);
    detects(&mac, &installer, 0, "present");
}

/// What must never be taken for an app's own folder.
#[test]
fn unusual_places_and_identifiers_are_left_out_and_said() {
    for path in [
        "/",
        "",
        "/Applications",
        "Applications/Tool.app",
        "/Applications/../Tool.app",
        "/Applications//Tool.app",
        "/Tool.app",
        "/Applications/Tool.app/.",
        "/Applications/To\0ol.app",
        "/Library/Tool.bundle",
    ] {
        let installer = Installer::new().app(path, ID, &[(SHORT, "1")]);
        for script in [installer.detection(), installer.uninstall()] {
            assert!(script.contains("is not checked: its path is unusual"), "{path}: {script}");
            assert!(script.contains("exit 2\n") && !script.contains("each_app"), "{path}");
        }
    }
    for id in ["", " ", "a\0b"] {
        let script = Installer::new().app(TOOL, id, &[]).uninstall();
        assert!(script.contains("it has no identifier") && !script.contains("each_app"), "{id}");
    }
    for id in ["--forget", "a\0b", ""] {
        assert!(!Installer::new().receipt(id, "1").uninstall().contains("each_receipt"), "{id}");
    }
}

#[test]
fn a_mac_without_the_commands_cannot_tell() {
    let mac = Mac::new();
    std::fs::remove_file(mac.root().join("../tools/PlistBuddy")).unwrap();
    std::fs::remove_file(mac.root().join("../tools/pkgutil")).unwrap();
    detects(&mac, &Installer::new().app(TOOL, ID, &[]), 2, "cannot tell: there is no ");
    detects(&mac, &Installer::new().receipt("a", "1"), 2, "cannot tell: there is no ");
    for shell in shells() {
        let (status, said) = mac.run(shell, &tool().detection(), &["--root"]);
        assert_eq!((status, said.as_str()), (2, "cannot tell: --root needs a folder"));
    }
}

/// The table that the Rust code is held to, in every shell.
#[test]
fn versions_compare_as_the_written_table_says() {
    let table = common::root().join("crates/mip-core/tests/data/versions.tsv");
    let table = std::fs::read_to_string(table).unwrap();
    let rows: Vec<Vec<&str>> =
        table.lines().filter(|l| !l.starts_with("# ")).map(|l| l.split('\t').collect()).collect();
    assert!(rows.len() >= 130);
    // The script's own text, up to where it does something.
    let script = tool().detection();
    let (functions, _) = script.split_once("\nplistbuddy=").unwrap();
    let (values, functions) = functions.split_once("\nroot=\n").unwrap();
    let (_, functions) = functions.split_once("\ndone\n").unwrap();
    let compare = "while [ $# -gt 0 ]; do\n\
        if at_least \"$1\" \"$2\"; then a=y; else a=n; fi\n\
        if at_least \"$2\" \"$1\"; then echo ${a}y; else echo ${a}n; fi\n\
        shift 2\ndone\n";
    let program = format!("{values}\n{functions}\n{compare}");
    for shell in shells() {
        let mut c = Command::new(shell[0]);
        c.args(&shell[1..]).args(["-c", &program, "sh"]);
        c.args(rows.iter().flat_map(|r| [r[0], r[2]]));
        let out = c.output().unwrap();
        assert!(out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
        let got = String::from_utf8(out.stdout).unwrap();
        assert_eq!(got.lines().count(), rows.len(), "{shell:?}");
        for (row, got) in rows.iter().zip(got.lines()) {
            let want = match row[1] {
                "<" => "ny",
                "=" => "yy",
                ">" => "yn",
                other => panic!("{other}"),
            };
            assert_eq!(got, want, "{shell:?} {row:?}");
        }
    }
}

// ---- uninstall

/// A Mac with Tool, what belongs to it, and what belongs to others.
fn full_mac() -> Mac {
    let mut mac = Mac::new();
    mac.app(TOOL, ID, &[(SHORT, "2.5.1")]);
    mac.file("/Applications/Tool.app/Contents/Resources/added later");
    for path in [
        "/usr/local/bin/tool",
        "/usr/local/bin/other",
        "/usr/local/shared/both",
        "/Library/Tool/Icon\r",
        "/Library/Tool/a b/$(reboot) 'x'.txt",
        "/Library/Tool/empty/gone",
        "/Library/Tool/foreign/theirs",
        "/Library/Tool/foreign/ours",
        "/Library/LaunchDaemons/com.example.tool.plist",
        "/Library/LaunchDaemons/com.other.plist",
        "/Library/LaunchAgents/com.example.agent.plist",
        "/Users/anna/Library/Preferences/com.example.tool.plist",
        "/private/etc/paths.d/tool",
    ] {
        mac.file(path);
    }
    std::os::unix::fs::symlink("/bin/sh", mac.root().join("usr/local/bin/tool-link")).unwrap();
    std::os::unix::fs::symlink("private/etc", mac.root().join("etc")).unwrap();
    mac.receipt(
        "com.example.pkg",
        "2.5.1",
        "/",
        &[
            "Applications/Tool.app/Contents/Info.plist",
            "Applications/Tool.app/Contents/MacOS/program",
            "usr/local/bin/tool",
            "usr/local/bin/tool-link",
            "usr/local/shared/both",
            "Library/Tool/Icon\r",
            "Library/Tool/a b/$(reboot) 'x'.txt",
            "Library/Tool/empty/gone",
            "Library/Tool/foreign/ours",
            "Library/Tool/not there",
            "Library/LaunchDaemons/com.example.tool.plist",
            "Library/LaunchAgents/com.example.agent.plist",
            "etc/paths.d/tool",
            "../outside",
        ],
    );
    mac.receipt("com.example.second", "1", "Library/Second/", &["deep/er/file"]);
    mac.file("/Library/Second/deep/er/file");
    mac.receipt("org.other.pkg", "1", "usr/local", &["shared/both", "bin/other"]);
    mac.file("/../outside");
    mac
}

fn both() -> Installer {
    tool().receipt("com.example.second", "1")
}

#[test]
fn uninstall_removes_what_the_installer_brought_and_nothing_else() {
    for shell in shells() {
        let mac = full_mac();
        let before = mac.contents();
        let (status, said) = mac.run(shell, &both().uninstall(), &[]);
        assert_eq!(status, 0, "{shell:?}: {said}");
        let after = mac.contents();
        let gone: Vec<&str> =
            before.keys().filter(|k| !after.contains_key(*k)).map(String::as_str).collect();
        let expected = [
            "Applications/Tool.app",
            "Applications/Tool.app/Contents",
            "Applications/Tool.app/Contents/Info.plist",
            "Applications/Tool.app/Contents/MacOS",
            "Applications/Tool.app/Contents/MacOS/program",
            "Applications/Tool.app/Contents/Resources",
            "Applications/Tool.app/Contents/Resources/added later",
            "Library/LaunchAgents/com.example.agent.plist",
            "Library/LaunchDaemons/com.example.tool.plist",
            "Library/Second/deep",
            "Library/Second/deep/er",
            "Library/Second/deep/er/file",
            "Library/Tool/Icon\r",
            "Library/Tool/a b",
            "Library/Tool/a b/$(reboot) 'x'.txt",
            "Library/Tool/empty",
            "Library/Tool/empty/gone",
            "Library/Tool/foreign/ours",
            "private/etc/paths.d/tool",
            "usr/local/bin/tool",
            "usr/local/bin/tool-link",
        ];
        assert_eq!(gone, expected, "{shell:?}: {said}");
        assert!(after.iter().all(|(k, v)| before.get(k) == Some(v)), "nothing is changed");
        assert!(mac.root().join("../outside").exists());
        assert_eq!(mac.receipts(), ["org.other.pkg"]);
        assert_eq!(
            mac.calls("launchctl"),
            [
                "bootout gui/501 /Library/LaunchAgents/com.example.agent.plist",
                "bootout system /Library/LaunchDaemons/com.example.tool.plist"
            ]
        );
        // Then it is gone, also for the other script, and doing it again does nothing.
        assert_eq!(mac.run(shell, &both().detection(), &[]).0, 1);
        let (status, said) = mac.run(shell, &both().uninstall(), &[]);
        assert_eq!((status, said.lines().count()), (0, 1), "{said}");
        assert!(mac.contents() == after);
    }
}

#[test]
fn a_dry_run_says_all_of_it_and_changes_nothing() {
    for shell in shells() {
        let mac = full_mac();
        let before = mac.contents();
        let (status, dry) = mac.run(shell, &both().uninstall(), &["--dry-run"]);
        assert_eq!(status, 0, "{dry}");
        assert!(mac.contents() == before, "{dry}");
        assert_eq!(mac.receipts().len(), 3);
        assert!(mac.calls("launchctl").is_empty());
        let (_, done) = mac.run(shell, &both().uninstall(), &[]);
        // Files in an app are removed with it; folders are decided by what is in them then.
        let plan: Vec<&str> = dry
            .lines()
            .filter(|l| !l.ends_with("if it is empty then") && !l.contains("Tool.app/"))
            .filter_map(|l| l.strip_prefix("would "))
            .collect();
        for line in &plan {
            assert!(done.lines().any(|d| d == *line), "{line}\n{done}");
        }
        assert!(plan.len() >= 14, "{dry}");
    }
}

#[test]
fn another_app_at_the_place_stops_everything() {
    for shell in shells() {
        let mut mac = full_mac();
        mac.app(TOOL, "com.example.successor", &[(SHORT, "9")]);
        let before = mac.contents();
        let (status, said) = mac.run(shell, &both().uninstall(), &[]);
        assert_eq!(
            (status, said.as_str()),
            (2, "nothing was done: what is at /Applications/Tool.app is not com.example.tool")
        );
        assert!(mac.contents() == before);
        assert_eq!(mac.receipts().len(), 3);
    }
}

/// A link in the way, of the app or of a folder above a file, leads to somebody else's files.
#[test]
fn links_are_not_followed() {
    for shell in shells() {
        let mut mac = full_mac();
        mac.app("/Library/Precious/Tool.app", ID, &[(SHORT, "1")]);
        std::fs::remove_dir_all(mac.root().join("Applications/Tool.app")).unwrap();
        std::os::unix::fs::symlink(
            "../Library/Precious/Tool.app",
            mac.root().join("Applications/Tool.app"),
        )
        .unwrap();
        let before = mac.contents();
        let (status, said) = mac.run(shell, &both().uninstall(), &[]);
        assert_eq!(
            (status, said.as_str()),
            (2, "nothing was done: /Applications/Tool.app is a link")
        );
        assert!(mac.contents() == before);

        let mut mac = full_mac();
        mac.file("/Library/Precious/gone");
        std::fs::remove_dir_all(mac.root().join("Library/Tool/empty")).unwrap();
        std::os::unix::fs::symlink("../Precious", mac.root().join("Library/Tool/empty")).unwrap();
        let (status, said) = mac.run(shell, &both().uninstall(), &[]);
        assert_eq!(status, 1, "{said}");
        assert!(said.contains("left: /Library/Tool/empty/gone is behind a link"), "{said}");
        assert!(mac.has("/Library/Precious/gone") && mac.has("/Library/Tool/empty"));
        // What could not be finished keeps its receipt.
        assert_eq!(mac.receipts().len(), 3);
    }
}

#[test]
fn files_of_the_system_and_of_people_stay_whatever_a_receipt_says() {
    let mut mac = Mac::new();
    let files =
        ["usr/bin/awk", "bin/sh", "System/Library/x", "Users/anna/Documents/x", "Volumes/D/x"];
    for f in files {
        mac.file(&format!("/{f}"));
    }
    mac.file("/Users/Shared/Tool/x");
    let mut listed = files.to_vec();
    listed.push("Users/Shared/Tool/x");
    mac.receipt("com.example.pkg", "1", "", &listed);
    let script = Installer::new().receipt("com.example.pkg", "1").uninstall();
    let (status, said) = mac.run(shells()[0], &script, &[]);
    assert_eq!(status, 1, "{said}");
    assert_eq!(said.matches("belongs to the system or to a person").count(), files.len());
    assert!(files.iter().all(|f| mac.has(f)));
    assert!(!mac.has("/Users/Shared/Tool") && mac.has("/Users/Shared"));
}

/// Folders that are empty afterwards, of the kinds that stay.
#[test]
fn shared_folders_stay_even_when_they_are_empty() {
    let mut mac = Mac::new();
    let files = [
        "Applications/Vendor/x",
        "Library/Application Support/Vendor/x",
        "Library/Fonts/x",
        "Library/Audio/Plug-Ins/VST/Vendor.vst/x",
        "usr/local/lib/vendor/x",
        "usr/local/bin/x",
        "usr/local/share/man/man1/x",
        "opt/vendor/bin/x",
        "private/etc/vendor/deep/x",
        "Library/PreferencePanes/V.prefPane/x",
        "Users/Shared/Vendor/x",
        "usr/local/vendor/x",
    ];
    for f in files {
        mac.file(&format!("/{f}"));
    }
    mac.receipt("p", "1", "/", &files);
    let (status, said) = mac.run(shells()[0], &Installer::new().receipt("p", "1").uninstall(), &[]);
    assert_eq!(status, 0, "{said}");
    let stay = [
        "Applications",
        "Library/Application Support",
        "Library/Fonts",
        "Library/Audio/Plug-Ins/VST",
        "usr/local/lib",
        "usr/local/bin",
        "usr/local/share/man/man1",
        "opt",
        "private/etc/vendor",
        "Library/PreferencePanes",
        "Users/Shared",
    ];
    let go = [
        "Applications/Vendor",
        "Library/Application Support/Vendor",
        "Library/Audio/Plug-Ins/VST/Vendor.vst",
        "usr/local/lib/vendor",
        "opt/vendor",
        "private/etc/vendor/deep",
        "Library/PreferencePanes/V.prefPane",
        "Users/Shared/Vendor",
        "usr/local/vendor",
    ];
    assert_eq!(
        stay.iter().filter(|p| !mac.has(p)).collect::<Vec<_>>(),
        Vec::<&&str>::new(),
        "{said}"
    );
    assert_eq!(go.iter().filter(|p| mac.has(p)).collect::<Vec<_>>(), Vec::<&&str>::new(), "{said}");
}

#[test]
fn copies_elsewhere_below_applications_go_and_others_are_named() {
    for shell in shells() {
        let mut mac = Mac::new();
        mac.app("/Applications/Vendor/Tool.app", ID, &[(SHORT, "2.5.1")]);
        mac.app("/Users/anna/Applications/Tool.app", ID, &[(SHORT, "2.5.1")]);
        mac.app("/Applications/Other/Tool.app", "com.example.other", &[(SHORT, "2.5.1")]);
        let (status, said) = mac.run(shell, &tool().uninstall(), &[]);
        assert_eq!(status, 1, "{said}");
        assert!(
            said.contains(
                "left: /Users/anna/Applications/Tool.app is a copy outside /Applications"
            ),
            "{said}"
        );
        assert!(!mac.has("/Applications/Vendor/Tool.app"), "{said}");
        assert!(
            mac.has("/Users/anna/Applications/Tool.app") && mac.has("/Applications/Other/Tool.app")
        );
    }
}

#[test]
fn a_running_app_is_asked_to_quit_then_ended() {
    for stubborn in [false, true] {
        let mut mac = Mac::new();
        mac.app(TOOL, ID, &[(SHORT, "2.5.1")]);
        mac.set("stubborn", json!(stubborn));
        let mut child = mac.program("/Applications/Tool.app/Contents/MacOS/program");
        let mut other = mac.program("/Applications/Tool.app Other.app/Contents/MacOS/program");
        // Twenty seconds are for people.
        let script = tool().uninstall().replace("patience=20", "patience=1");
        let started = std::time::Instant::now();
        let (status, said) = mac.run(shells()[0], &script, &[]);
        assert_eq!(status, 0, "{said}");
        assert!(said.starts_with("quit Tool.app\nremove /Applications/Tool.app\n"), "{said}");
        assert_eq!(
            mac.calls("osascript"),
            ["-e tell application id \"com.example.tool\" to quit"],
            "asked, as the person at the Mac"
        );
        assert!(mac.calls("launchctl")[0].starts_with("asuser 501 "));
        use std::os::unix::process::ExitStatusExt as _;
        assert_eq!(child.wait().unwrap().signal(), Some(15));
        if stubborn {
            assert!(other.try_wait().unwrap().is_none(), "another app's program goes on");
        }
        let _ = other.kill();
        let _ = other.wait();
        mip_testkit::not_hanging(started);
    }
}

#[test]
fn options_that_are_not_known_and_people_without_rights_do_nothing() {
    let mac = full_mac();
    let before = mac.contents();
    for shell in shells() {
        for args in [["--dryrun"], ["--root"], ["-f"]] {
            let (status, said) = mac.run(shell, &both().uninstall(), &args);
            assert_eq!(status, 2, "{said}");
            assert!(said.starts_with("nothing was done"), "{said}");
        }
    }
    assert!(mac.contents() == before);
    // Without --root, only root may go on. Nothing of it is on this machine.
    if common::has("setpriv") && Command::new("id").arg("-u").output().unwrap().stdout == b"0\n" {
        let mut c = Command::new("setpriv");
        c.args(["--reuid=65534", "--clear-groups", "sh", "-c", &both().uninstall()]);
        let (status, said) = mac::said(&mut c, std::path::Path::new("/nowhere"));
        assert_eq!(status, 2);
        assert!(said.contains("only root can remove this"), "{said}");
    }
}

/// No variable of the environment leads the script to other commands or another disk.
#[test]
fn the_environment_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["tr", "id", "expr", "sed", "rm", "PlistBuddy"] {
        let at = dir.path().join(name);
        std::fs::write(&at, "#!/bin/sh\ntouch \"$0.was-run\"\n").unwrap();
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&at, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut mac = Mac::new();
    mac.app(TOOL, ID, &[(SHORT, "2.5.1")]);
    for shell in shells() {
        let script = dir.path().join("script");
        std::fs::write(&script, tool().detection()).unwrap();
        let mut c = Command::new(shell[0]);
        c.args(&shell[1..]).arg(&script).arg("--root").arg(mac.root()).arg("--tools");
        c.arg(mac.root().join("../tools"));
        for (name, value) in [
            ("PATH", dir.path()),
            ("root", dir.path()),
            ("tools", dir.path()),
            ("plistbuddy", dir.path()),
            ("CDPATH", dir.path()),
        ] {
            c.env(name, value);
        }
        c.env("IFS", "/a").env("LC_ALL", "C.UTF-8").env("POSIXLY_CORRECT", "1");
        // The shell itself is found by its path.
        let path = ["/usr/bin", "/bin"].map(|d| std::path::Path::new(d).join(shell[0]));
        let mut real = Command::new(path.iter().find(|p| p.exists()).unwrap());
        real.args(c.get_args()).envs(c.get_envs().filter_map(|(k, v)| Some((k, v?))));
        assert_eq!(mac::said(&mut real, &mac.root()).0, 0);
    }
    assert!(
        std::fs::read_dir(dir.path()).unwrap().all(|e| !e
            .unwrap()
            .file_name()
            .to_string_lossy()
            .contains("was-run"))
    );
}

// ---- the text

fn shellcheck(script: &str, what: &str) {
    let mut child = Command::new("shellcheck")
        .args(["-s", "sh", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success(), "{what}: {}", String::from_utf8_lossy(&out.stdout));
}

/// Every form of both scripts passes shellcheck, with nothing turned off.
#[test]
fn shellcheck_finds_nothing() {
    if !common::has("shellcheck") {
        return;
    }
    let odd = "/Applications/$(reboot) `x` 'it' \"q\" \n \t.app";
    let mut broken = tool();
    let mut component = ComponentInfo::default();
    component.id = Some("com.example.pkg".to_owned());
    component.line_breaks = true;
    broken.0.installer.components.push(component);
    assert!(
        !broken.uninstall().contains("each_receipt"),
        "names with line breaks cannot be listed"
    );
    for installer in [
        tool(),
        both().app(odd, "a'b", &[(SHORT, "1\n")]),
        Installer::new().app(TOOL, ID, &[]),
        Installer::new().receipt("a $(b) 'c'", "1"),
        Installer::new(),
        broken,
    ] {
        for script in [installer.detection(), installer.uninstall()] {
            assert!(!script.contains("shellcheck"), "nothing is turned off");
            shellcheck(&script, "a generated script");
        }
    }
}

#[test]
fn the_same_installer_gives_the_same_text() {
    assert_eq!(both().detection(), both().detection());
    assert_eq!(both().uninstall(), both().uninstall());
    let text = both().detection();
    assert!(
        text.starts_with("#!/bin/sh\n# The detection script for Tool 2.5.1 (com.example.tool).\n")
    );
    assert!(text.lines().all(|l| !l.ends_with(' ') && l.len() < 220), "{text}");
}

// ---- from real installers

/// Puts what an independent reader found in an installer onto a Mac; false when that is nothing.
fn lay_out(mac: &mut Mac, expected: &serde_json::Value, version: Option<&str>) -> bool {
    let mut apps: Vec<(String, serde_json::Value)> = Vec::new();
    let list = |v: &serde_json::Value| v.as_array().cloned().unwrap_or_default();
    for app in list(&expected["apps"]) {
        let path = app["path"].as_str().unwrap().to_owned();
        let below = path.split('/').filter(|p| p.ends_with(".app")).count();
        if below == 1 && path.ends_with(".app") {
            apps.push((format!("/Applications/{}", path.rsplit('/').next().unwrap()), app));
        }
    }
    for c in list(&expected["pkg"]["components"]) {
        let location = c["install_location"].as_str().unwrap_or("/").to_owned();
        for app in list(&c["apps"]) {
            let path = format!("/{location}/{}", app["path"].as_str().unwrap());
            apps.push((
                path.replace("//", "/").replace("//", "/").trim_end_matches('/').to_owned(),
                app,
            ));
        }
        let files: Vec<String> = list(&c["payload"])
            .iter()
            .filter(|f| f[1] == "file")
            .map(|f| f[0].as_str().unwrap().to_owned())
            .collect();
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        if let (Some(id), false) = (c["identifier"].as_str(), files.is_empty()) {
            let own = c["version"].as_str().unwrap_or("0");
            mac.receipt(id, version.unwrap_or(own), location.trim_matches('/'), &files);
        }
    }
    let mut any = !mac.receipts().is_empty();
    for (path, app) in apps {
        let Some(id) = app["CFBundleIdentifier"].as_str() else { continue };
        let keys = [SHORT, BUILD].map(|k| (k, app[k].as_str().map(|v| version.unwrap_or(v))));
        let keys: Vec<(&str, &str)> = keys.iter().filter_map(|(k, v)| Some((*k, (*v)?))).collect();
        mac.app(&path, id, &keys);
        any = true;
    }
    any
}

/// The scripts of every shared installer pass shellcheck, and tell right from wrong on the trees
/// that an independent reader's lists make.
#[test]
fn scripts_of_real_installers() {
    let Some(dir) = mip_testkit::shared::fixtures("scripts_of_real_installers") else { return };
    let all = common::shared_files(
        &dir,
        &["app", "dmg-udif", "pkg-flat", "pkg-signed", "pkg-bundle", "nested", "synthetic"],
    );
    let (mut made, mut run, mut skipped) = (0, 0, 0);
    let out = tempfile::tempdir().unwrap();
    let mut to_check = Vec::new();
    for (n, file) in all.iter().enumerate() {
        let folder = out.path().join(n.to_string());
        std::fs::create_dir(&folder).unwrap();
        let mut c = common::mip();
        let done =
            common::run(c.arg("scripts").arg(file).args(["--json", "--quiet", "-o"]).arg(&folder));
        if !done.status.success() {
            skipped += 1; // no installer, or one that needs a choice or a password
            continue;
        }
        made += 1;
        let said: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
        let path = |n: usize| said["scripts"][n]["beside"].as_str().unwrap().to_owned();
        to_check.extend([path(0), path(1)]);
        let script = std::fs::read_to_string(path(0)).unwrap();
        let name = common::short(file, &dir);
        let shell = shells()[made % shells().len()];
        let mac = Mac::new();
        if !script.contains("each_receipt") {
            assert_eq!(mac.run(shell, &script, &[]).0, 2, "{name}");
            continue;
        }
        assert_eq!(mac.run(shell, &script, &[]).0, 1, "{name}");
        if !dir.join("expected").join(format!("{name}.json")).exists() {
            continue;
        }
        let expected = mip_testkit::shared::expected(&dir, name);
        let mut mac = Mac::new();
        if !lay_out(&mut mac, &expected, None) {
            continue;
        }
        run += 1;
        let (status, text) = mac.run(shell, &script, &[]);
        assert_eq!(status, 0, "{name}: {text}\n{script}");
        let mut old = Mac::new();
        lay_out(&mut old, &expected, Some("0.0.0a"));
        let (status, text) = old.run(shell, &script, &[]);
        assert!(status == 1 || status == 0 && !script.contains("or newer"), "{name}: {text}");
        // Removing takes it away, and nothing that was there before.
        let bare = Mac::new().contents();
        let uninstall = std::fs::read_to_string(path(1)).unwrap();
        let (status, text) = mac.run(shell, &uninstall, &[]);
        assert_eq!(status, 0, "{name}: {text}");
        assert_eq!(mac.run(shell, &script, &[]).0, 1, "{name}: {text}");
        let left = mac.contents();
        assert!(bare.keys().all(|k| left.contains_key(k)), "{name}: {text}");
    }
    eprintln!(
        "{made} installers with scripts, {run} of them run on their trees, {skipped} without"
    );
    assert!(made >= 40 && run >= 25, "{made} {run} {skipped}");
    if common::has("shellcheck") {
        common::ok(Command::new("shellcheck").args(["-s", "sh"]).args(&to_check));
    }
}

// ---- in an archive, and beside it

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn names(&self, name: &str) -> Vec<String> {
        common::contents(&self.at(name)).into_keys().collect()
    }
}

fn sample() -> std::path::PathBuf {
    common::root().join("fixtures/pkg/distribution/Sample.pkg")
}

fn mip(command: &str) -> Command {
    let mut c = common::mip();
    c.arg(command);
    c
}

#[test]
fn an_archive_has_its_scripts_and_the_files_beside_it_are_the_same() {
    let place = Place::new();
    let given = place.at("pre");
    std::fs::write(&given, "#!/bin/zsh\necho before\n").unwrap();
    std::fs::write(place.at("post"), "#!/usr/bin/python3\nprint('after')\n").unwrap();
    std::fs::create_dir(place.at("out")).unwrap();
    let mut c = mip("convert");
    c.arg(sample()).args(["--unsigned", "--json", "-o"]).arg(place.at("out"));
    c.arg("--preinstall").arg(&given).arg("--postinstall").arg(place.at("post"));
    let said: serde_json::Value = serde_json::from_str(&common::ok(&mut c)).unwrap();
    let report = &said["results"][0]["report"];
    let stem = "Sample Suite-2.5.1";
    let names = ["detection.sh", "mip", "uninstall.sh"].map(|e| format!("{stem}.{e}"));
    assert_eq!(place.names("out"), names);

    let archive = place.at("out").join(&names[1]);
    common::ok(mip("extract").arg(&archive).arg("--unverified").arg("-o").arg(place.at("x")));
    let scripts = report["scripts"].as_array().unwrap();
    assert_eq!(
        scripts.iter().map(|s| s["path"].as_str().unwrap()).collect::<Vec<_>>(),
        [
            "scripts/detection.sh",
            "scripts/postinstall",
            "scripts/preinstall",
            "scripts/uninstall.sh"
        ]
    );
    for s in scripts {
        let inside = std::fs::read(place.at("x").join(s["path"].as_str().unwrap())).unwrap();
        assert_eq!(s["sha256"], mip_testkit::sha256(&inside).as_str());
        assert_eq!(s["bytes"], inside.len());
        assert_eq!(s["generated"], s["beside"].is_string());
        if let Some(beside) = s["beside"].as_str() {
            use std::os::unix::fs::PermissionsExt as _;
            assert!(std::fs::read(beside).unwrap() == inside);
            assert_eq!(std::fs::metadata(beside).unwrap().permissions().mode() & 0o500, 0o500);
        }
    }
    assert_eq!(
        std::fs::read(place.at("x/scripts/preinstall")).unwrap(),
        std::fs::read(&given).unwrap()
    );
    let entries =
        mip_core::list(&mip_core::Input::path(&archive), &mip_core::Job::default()).unwrap();
    assert_eq!(entries.entries.iter().filter(|e| e.path.starts_with("scripts/")).count(), 4);
    // Python is not on every Mac.
    let warned =
        report["warnings"].as_array().unwrap().iter().any(|w| w["code"] == "W_GIVEN_SCRIPT");
    assert!(warned, "{report}");

    // The command for only the scripts writes the same bytes.
    std::fs::create_dir(place.at("only")).unwrap();
    common::ok(mip("scripts").arg(sample()).arg("-o").arg(place.at("only")));
    assert_eq!(place.names("only"), [names[0].clone(), names[2].clone()]);
    for n in [&names[0], &names[2]] {
        assert!(
            std::fs::read(place.at("only").join(n)).unwrap()
                == std::fs::read(place.at("out").join(n)).unwrap()
        );
    }
    // With the hash of the installer only when it is asked for.
    let only = |hash: &[&str]| {
        common::ok(
            mip("scripts").arg(sample()).arg("-f").args(hash).arg("-o").arg(place.at("only")),
        );
        std::fs::read_to_string(place.at("only").join(&names[0])).unwrap()
    };
    let sum = mip_testkit::sha256(&std::fs::read(sample()).unwrap());
    assert!(only(&["--hash"]).contains(&format!("from Sample.pkg, SHA-256 {sum}.\n")));
    assert!(!only(&[]).contains(&sum));
}

#[test]
fn without_scripts_there_are_none_and_a_pipe_has_none_beside_it() {
    let place = Place::new();
    let out = place.at("a.mip");
    common::ok(mip("convert").arg(sample()).args(["--unsigned", "--no-scripts", "-o"]).arg(&out));
    assert_eq!(place.names(""), ["a.mip"]);
    assert!(!common::ok(mip("list").arg(&out)).contains("scripts/"));
    let mut c = mip("convert");
    let done =
        common::run(c.arg(sample()).args(["--unsigned", "-o", "-"]).current_dir(place.0.path()));
    assert!(done.status.success());
    assert_eq!(place.names(""), ["a.mip"]);
    std::fs::write(place.at("b.mip"), &done.stdout).unwrap();
    assert!(common::ok(mip("list").arg(place.at("b.mip"))).contains("scripts/detection.sh"));
}

#[test]
fn what_stands_beside_is_whole_or_absent_and_replaced_only_on_request() {
    let place = Place::new();
    let out = place.at("a.mip");
    let convert = |input: &std::path::Path, extra: &[&str]| {
        let mut c = mip("convert");
        common::run(c.arg(input).args(["--unsigned", "-o"]).arg(&out).args(extra))
            .status
            .code()
            .unwrap()
    };
    // A script that exists: nothing is written, it stays.
    std::fs::write(place.at("a.uninstall.sh"), "mine").unwrap();
    assert_eq!(convert(&sample(), &[]), 7);
    assert_eq!(place.names(""), ["a.uninstall.sh"]);
    assert_eq!(std::fs::read(place.at("a.uninstall.sh")).unwrap(), b"mine");
    assert_eq!(convert(&sample(), &["--force"]), 0);
    assert_eq!(place.names(""), ["a.detection.sh", "a.mip", "a.uninstall.sh"]);
    assert!(std::fs::read(place.at("a.uninstall.sh")).unwrap().starts_with(b"#!/bin/sh\n"));
    for name in place.names("") {
        std::fs::remove_file(place.at(&name)).unwrap();
    }
    // What fails leaves nothing.
    std::fs::write(place.at("bad.pkg"), "no package").unwrap();
    assert_eq!(convert(&place.at("bad.pkg"), &[]), 4);
    for (text, status) in [("echo", 2), ("\u{7f}ELF", 2)] {
        std::fs::write(place.at("given"), text).unwrap();
        let given = place.at("given");
        assert_eq!(convert(&sample(), &["--preinstall", given.to_str().unwrap()]), status);
        std::fs::remove_file(given).unwrap();
    }
    assert_eq!(place.names(""), ["bad.pkg"]);
    // A file that was not read has no scripts, and that is said.
    let mut c = mip("convert");
    c.arg(place.at("bad.pkg")).args([
        "--unsigned",
        "--allow-unreadable",
        "--id",
        "a.b",
        "--name",
        "N",
    ]);
    let done = common::run(c.args(["--set-version", "1", "-o"]).arg(&out));
    assert!(done.status.success());
    assert!(String::from_utf8_lossy(&done.stderr).contains("warning[W_NO_DETECTION]"));
    assert_eq!(place.names(""), ["a.mip", "bad.pkg"]);
}
