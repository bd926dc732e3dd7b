use std::path::Path;
use std::sync::Arc;

use mip_base::{FileAt, Limits, Source};
use mip_testkit::shared::{expected, fixtures};

use super::*;
use crate::tree::{Container, open_archive};

fn open(bytes: Vec<u8>, container: Container) -> Box<dyn Tree> {
    open_archive(Arc::new(bytes), container, &Job::default()).unwrap()
}

fn container(name: &str) -> Container {
    use mip_codec::Compression::{Gzip, None};
    match name {
        n if n.ends_with(".tar.gz") => Container::Tar(Gzip),
        n if n.ends_with(".tar") => Container::Tar(None),
        _ => Container::Zip,
    }
}

fn fixture(dir: &Path, path: &str) -> Box<dyn Tree> {
    let source: Source = Arc::new(FileAt::open(&dir.join(path)).unwrap());
    open_archive(source, container(path), &Job::default()).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// 7-Zip listed only the inner tar of `.tar.gz`, so its `apps` says nothing about those; and it
/// looks for `.app` folders, so an archive of a bundle's inside has none.
const NOT_SEEN_BY_7ZIP: &[&str] =
    &["sparkle-SparkleTestCodeSignApp.tar.gz", "sudo-prompt-applet.zip"];

#[test]
fn apps_of_all_fixtures_are_what_python_reads() {
    let Some(dir) = fixtures("apps_of_all_fixtures_are_what_python_reads") else { return };
    let job = Job::default();
    let mut compared = 0;
    let mut names: Vec<_> =
        std::fs::read_dir(dir.join("app")).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    for name in names {
        let name = name.into_string().unwrap();
        let path = format!("app/{name}");
        let tree = fixture(&dir, &path);
        let found = find_apps(&*tree, &name, &job).unwrap();
        if NOT_SEEN_BY_7ZIP.contains(&name.as_str()) {
            assert_eq!(found.iter().filter(|a| !a.nested).count(), 1, "{name}");
            continue;
        }
        let expected = expected(&dir, &path);
        let expected = expected["apps"].as_array().unwrap();
        let paths: Vec<_> = expected.iter().map(|a| a["path"].as_str().unwrap()).collect();
        let found: Vec<_> = found.iter().filter(|a| !a.nested).collect();
        assert_eq!(found.iter().map(|a| a.path()).collect::<Vec<_>>(), paths, "{name}");
        for (app, want) in found.iter().zip(expected) {
            let facts = match read_facts(&*tree, app, &job) {
                Ok(f) => f,
                Err(e) => {
                    assert_eq!(
                        (want["error"].as_str(), e.code()),
                        (Some("Invalid file"), Code::Plist),
                        "{name}"
                    );
                    compared += 1;
                    continue;
                }
            };
            for (key, value) in [
                ("CFBundleIdentifier", &facts.bundle_id),
                ("CFBundleName", &facts.name),
                ("CFBundleDisplayName", &facts.display_name),
                ("CFBundleShortVersionString", &facts.short_version),
                ("CFBundleVersion", &facts.version),
                ("LSMinimumSystemVersion", &facts.min_os),
                ("CFBundleExecutable", &facts.executable),
                ("CFBundleIconFile", &facts.icon_file),
                ("CFBundlePackageType", &facts.package_type),
            ] {
                assert_eq!(value.as_deref(), want[key].as_str(), "{name} {key}");
            }
            let ios = ["relic-slimfile.app.zip", "tika-testIPA.ipa"].contains(&name.as_str());
            assert_eq!(facts.require_macos(app).is_err(), ios, "{name}");
            compared += 1;
        }
    }
    assert!(compared >= 10, "{compared}");
}

#[test]
fn a_bundle_without_its_folder_is_named_after_the_zip() {
    let Some(dir) = fixtures("a_bundle_without_its_folder_is_named_after_the_zip") else { return };
    let job = Job::default();
    let tree = fixture(&dir, "app/sudo-prompt-applet.zip");
    let apps = find_apps(&*tree, "sudo-prompt-applet.zip", &job).unwrap();
    assert_eq!((apps.len(), apps[0].path(), &apps[0].root), (1, "sudo-prompt-applet.app", &None));
    let facts = read_facts(&*tree, &apps[0], &job).unwrap();
    // As Python's plistlib and struct read them.
    assert_eq!(facts.executable.as_deref(), Some("applet"));
    assert_eq!(facts.architectures, ["i386", "x86_64"]);
    assert_eq!(facts.executable_bit, Some(true));
}

#[test]
fn architectures_of_real_programs() {
    let Some(dir) = fixtures("architectures_of_real_programs") else { return };
    let job = Job::default();
    for (path, want, bit) in REAL {
        let tree = fixture(&dir, path);
        let apps = find_apps(&*tree, path, &job).unwrap();
        let facts = read_facts(&*tree, &apps[0], &job).unwrap();
        assert_eq!(facts.architectures, *want, "{path}");
        assert_eq!(facts.executable_bit, Some(*bit), "{path}");
    }
}

/// As `struct.unpack` in Python reads the headers.
const REAL: &[(&str, &[&str], bool)] = &[
    ("app/mitmproxy-Redirector.app.tar", &["x86_64", "arm64"], true),
    ("app/sparkle-SparkleTestCodeSignApp.tar.gz", &["x86_64"], true),
    ("app/terminal-notifier.app.zip", &["x86_64"], true),
    ("app/relic-slimfile.app.zip", &["arm64"], false),
];

#[test]
fn nested_apps_are_parts() {
    let zip = mip_testkit::tree::Tree::new()
        .file("T/A.app/Contents/Info.plist", 0o644, mip_testkit::app::plist(&[]))
        .file("T/A.app/Contents/Library/H.app/Contents/Info.plist", 0o644, "x")
        .file("T/K.framework/Versions/A/B.app/Contents/Info.plist", 0o644, "x")
        .file("T/C.APP/Contents/Info.plist", 0o644, "x")
        .dir("T/D.app")
        .file("T/not.app", 0o644, "x")
        .file("T/.app/Contents/Info.plist", 0o644, "x")
        .zip();
    let tree = open(zip, Container::Zip);
    let apps = find_apps(&*tree, "T.zip", &Job::default()).unwrap();
    let seen: Vec<_> = apps.iter().map(|a| (a.path(), a.nested, a.info_plist.is_some())).collect();
    assert_eq!(
        seen,
        [
            ("T/A.app", false, true),
            ("T/A.app/Contents/Library/H.app", true, true),
            ("T/C.APP", false, true),
            ("T/D.app", false, false),
            ("T/K.framework/Versions/A/B.app", true, true),
        ]
    );
    let e = read_facts(&*tree, &apps[3], &Job::default()).unwrap_err();
    assert!(e.to_string().contains("looked for Contents/Info.plist and Info.plist"), "{e}");
    assert!(e.to_string().starts_with("T/D.app: "), "{e}");
}

fn facts_of(plist: &str) -> Result<AppFacts> {
    let zip = mip_testkit::tree::Tree::new().file("A.app/Contents/Info.plist", 0o644, plist).zip();
    let tree = open(zip, Container::Zip);
    let apps = find_apps(&*tree, "A.zip", &Job::default()).unwrap();
    let facts = read_facts(&*tree, &apps[0], &Job::default())?;
    facts.require_macos(&apps[0]).map(|()| facts)
}

#[test]
fn f08_keys_of_the_wrong_type() {
    let p = |body: &str| format!("<plist><dict>{body}</dict></plist>");
    let e = facts_of(&p("<key>CFBundleIdentifier</key><array/>")).unwrap_err();
    assert_eq!(e.code(), Code::Plist);
    assert!(e.to_string().ends_with("CFBundleIdentifier is an array, not a string"), "{e}");
    assert_eq!(facts_of("<plist><array/></plist>").unwrap_err().code(), Code::Plist);
    let f = facts_of(&p(
        "<key>NSHumanReadableCopyright</key><array/><key>CFBundleName</key><string>A</string>",
    ));
    let f = f.unwrap();
    assert_eq!((f.copyright, f.name.as_deref()), (None, Some("A")));
    let f = facts_of(&p(
        "<key>CFBundleVersion</key><integer>12</integer><key>CFBundleName</key><string> </string>",
    ))
    .unwrap();
    assert_eq!((f.version.as_deref(), f.name), (Some("12"), None));
    let f = facts_of(&p("<key>LSMinimumSystemVersionByArchitecture</key><dict><key>arm64</key><string>11.0</string></dict><key>LSUIElement</key><string>1</string>")).unwrap();
    assert_eq!(f.min_os_by_arch, [("arm64".to_owned(), "11.0".to_owned())]);
    assert!(f.ui_element);
}

#[test]
fn f09_an_executable_is_a_name() {
    for bad in ["../../bin/sh", "/bin/sh", "a/b", "..", "."] {
        let e = facts_of(&mip_testkit::app::plist(&[("CFBundleExecutable", bad)])).unwrap_err();
        assert_eq!(e.code(), Code::MetaInvalid, "{bad}");
    }
}

#[test]
fn apps_for_other_platforms_are_refused_by_name() {
    for keys in [
        "<key>LSRequiresIPhoneOS</key><true/>",
        "<key>DTPlatformName</key><string>iphoneos</string>",
        "<key>UIDeviceFamily</key><array/>",
        "<key>CFBundleSupportedPlatforms</key><array><string>XROS</string></array>",
    ] {
        let e = facts_of(&format!("<plist><dict>{keys}</dict></plist>")).unwrap_err();
        assert_eq!(e.code(), Code::Unsupported, "{keys}");
        assert!(e.next_step().is_some());
    }
    facts_of("<plist><dict><key>UIDeviceFamily</key><array/><key>LSMinimumSystemVersion</key><string>11</string></dict></plist>").unwrap();
    let zip =
        mip_testkit::tree::Tree::new().file("A.app/Wrapper/B.app/Info.plist", 0o644, "x").zip();
    let tree = open(zip, Container::Zip);
    let apps = find_apps(&*tree, "A.zip", &Job::default()).unwrap();
    assert_eq!(
        read_facts(&*tree, &apps[0], &Job::default()).unwrap_err().code(),
        Code::Unsupported
    );
}

#[test]
fn names_of_a_tree_that_is_a_bundle() {
    let job = Job::default();
    for (container, want) in [
        ("Tool.app", "Tool.app"),
        ("Tool.app.zip", "Tool.app"),
        ("Tool.tar.GZ", "Tool.app"),
        ("Tool 2.1.tgz", "Tool 2.1.app"),
        (".zip", "Application.app"),
        ("..", "...app"),
    ] {
        assert_eq!(root_name(container, &job), want);
    }
}

#[test]
fn mach_o_headers_are_told_from_others() {
    use super::macho::architectures;
    use mip_testkit::app::{Cpu, fat, macho};
    assert_eq!(architectures(&fat(&[Cpu::X86_64, Cpu::Arm64])), ["x86_64", "arm64"]);
    assert_eq!(architectures(&macho(Cpu::Arm64)), ["arm64"]);
    // A Java class: the same magic number, then its version (65 is Java 21).
    let class = [0xCA, 0xFE, 0xBA, 0xBE, 0, 0, 0, 65, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 9];
    assert!(architectures(&class).is_empty());
    // A count that the head cannot hold, and a cut header.
    assert!(
        architectures(&[0xCA, 0xFE, 0xBA, 0xBE, 0, 0, 0, 42, 1, 0, 0, 7, 0, 0, 0, 3]).is_empty()
    );
    assert!(architectures(&[0xCF, 0xFA, 0xED, 0xFE, 7, 0, 0]).is_empty());
    assert!(architectures(b"#!/bin/sh\n").is_empty());
}

#[test]
fn an_unlisted_limit_of_the_plist_is_kept() {
    let mut limits = Limits::default();
    limits.plist_bytes = 10;
    let job = Job::new(limits, Default::default(), Arc::new(mip_base::SilentProgress));
    let zip = mip_testkit::tree::Tree::new()
        .file("A.app/Contents/Info.plist", 0o644, "<plist>xxxxxx")
        .zip();
    let tree = open(zip, Container::Zip);
    let apps = find_apps(&*tree, "A.zip", &job).unwrap();
    assert_eq!(read_facts(&*tree, &apps[0], &job).unwrap_err().code(), Code::Limit);
}
