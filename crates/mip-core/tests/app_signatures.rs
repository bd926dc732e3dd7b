//! Code signatures of apps, as `inspect` gives them, whatever the app comes in.
#![allow(clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use mip_base::{CancelToken, Job, Limits, SilentProgress};
use mip_core::inspection::{AppInfo, Inspection};
use mip_core::{Input, InspectOptions, PayloadScan, SignatureScan, inspect};
use mip_signing::apple::ClaimState;
use mip_testkit::shared::fixtures;

fn options(signatures: SignatureScan) -> InspectOptions {
    let mut options = InspectOptions::new();
    options.signatures = signatures;
    options.at = Some(1_795_300_000);
    options
}

fn look(path: &Path) -> Inspection {
    inspect(&Input::path(path), &options(SignatureScan::Auto), &Job::default()).unwrap()
}

fn main_apps(found: &Inspection) -> Vec<&AppInfo> {
    found.apps.iter().filter(|a| !a.nested).collect()
}

fn state(app: &AppInfo) -> ClaimState {
    app.signature.as_ref().unwrap_or_else(|| panic!("{}: no signature", app.place)).state
}

fn codes(found: &Inspection) -> Vec<&'static str> {
    found.warnings.iter().map(|w| w.code).filter(|c| c.starts_with("W_APP_")).collect()
}

/// What the fixtures are, by Python readers of their load commands and seals (see the tests of
/// mip-codesign): three are signed, one by its linker alone, the others not at all.
#[test]
fn apps_of_the_fixtures() {
    let Some(dir) = fixtures("apps_of_the_fixtures") else { return };
    for (file, want, code) in [
        ("app/sparkle-DevSignedApp.zip", ClaimState::Valid, None),
        ("app/mitmproxy-Redirector.app.tar", ClaimState::Valid, None),
        ("app/MuJoCo_mjpython.app.zip", ClaimState::Unsigned, Some("W_APP_UNSIGNED")),
        ("app/relic-slimfile.app.zip", ClaimState::Unsigned, Some("W_APP_UNSIGNED")),
        ("app/terminal-notifier.app.zip", ClaimState::Unsigned, Some("W_APP_UNSIGNED")),
        ("app/sudo-prompt-applet.zip", ClaimState::Unsigned, Some("W_APP_UNSIGNED")),
        ("app/sparkle-SparkleTestCodeSignApp.tar.gz", ClaimState::Unsigned, Some("W_APP_UNSIGNED")),
        (
            "dmg-udif/sparkle-SparkleTestCodeSignApp.dmg",
            ClaimState::Unsigned,
            Some("W_APP_UNSIGNED"),
        ),
        (
            "dmg-udif/sparkle-SparkleTestCodeSign_apfs.dmg",
            ClaimState::Unsigned,
            Some("W_APP_UNSIGNED"),
        ),
    ] {
        let found = look(&dir.join(file));
        let apps = main_apps(&found);
        assert_eq!(apps.len(), 1, "{file}");
        assert_eq!(state(apps[0]), want, "{file}: {:#?}", apps[0].signature);
        assert_eq!(codes(&found).first().copied(), code, "{file}");
        if want == ClaimState::Valid {
            let s = apps[0].signature.as_ref().unwrap();
            assert!(s.findings.is_empty() && s.not_checked.is_empty(), "{file}: {s:#?}");
        }
    }
}

#[test]
fn a_stapled_app_has_its_ticket() {
    let Some(dir) = fixtures("a_stapled_app_has_its_ticket") else { return };
    let found = look(&dir.join("app/mitmproxy-Redirector.app.tar"));
    let ticket = main_apps(&found)[0].ticket.as_ref().unwrap();
    assert_eq!((ticket.state, ticket.names_this), (ClaimState::Valid, Some(true)));
    let other = look(&dir.join("app/sparkle-DevSignedApp.zip"));
    assert!(main_apps(&other)[0].ticket.is_none());
}

/// The driver managers that these packages install: signed with a Developer ID, with a driver
/// extension inside.
#[test]
fn apps_in_payloads() {
    let Some(dir) = fixtures("apps_in_payloads") else { return };
    for version in ["1.6.0", "1.16.0", "1.23.0", "1.31.0", "3.2.0", "5.0.0", "6.14.0", "7.3.0"] {
        let file = format!("pkg-signed/Karabiner-DriverKit-VirtualHIDDevice-{version}.pkg");
        let found = look(&dir.join(&file));
        let apps = main_apps(&found);
        assert!(!apps.is_empty(), "{file}");
        for app in apps {
            let s = app.signature.as_ref().unwrap();
            assert_eq!(s.state, ClaimState::Valid, "{file}: {}: {s:#?}", app.place);
            assert!(s.findings.is_empty() && s.not_checked.is_empty(), "{file}: {s:#?}");
            assert!(s.seal.checked > 0, "{file}: {s:#?}");
            assert_eq!(s.slices[0].team_id.as_deref(), Some("G43BCU2T37"), "{file}");
        }
    }
}

#[test]
fn never_and_full() {
    let Some(dir) = fixtures("never_and_full") else { return };
    let path = dir.join("pkg-signed/Karabiner-DriverKit-VirtualHIDDevice-7.3.0.pkg");
    let with = |scan, payloads: bool| {
        let mut options = options(scan);
        if !payloads {
            options.payload_scan = PayloadScan::Never;
        }
        inspect(&Input::path(&path), &options, &Job::default()).unwrap()
    };
    let never = with(SignatureScan::Never, true);
    assert!(never.apps.iter().all(|a| a.signature.is_none()));
    let full = with(SignatureScan::Full, false);
    assert!(main_apps(&full).iter().all(|a| state(a) == ClaimState::Valid));
}

fn limited(change: impl FnOnce(&mut Limits)) -> Job {
    let mut limits = Limits::default();
    change(&mut limits);
    Job::new(limits, CancelToken::new(), Arc::new(SilentProgress))
}

/// Beyond the budget, programs and certificates are looked at, and what was not compared is said.
#[test]
fn a_small_budget_is_said() {
    let Some(dir) = fixtures("a_small_budget_is_said") else { return };
    for file in [
        "pkg-signed/Karabiner-DriverKit-VirtualHIDDevice-7.3.0.pkg",
        "app/mitmproxy-Redirector.app.tar",
    ] {
        let job = limited(|l| l.signature_scan = 1000);
        let input = Input::path(dir.join(file));
        let found = inspect(&input, &options(SignatureScan::Auto), &job).unwrap();
        for app in main_apps(&found) {
            let s = app.signature.as_ref().unwrap();
            assert_eq!(s.state, ClaimState::NotChecked, "{file}: {s:#?}");
            assert!(!s.not_checked.is_empty() && s.findings.is_empty(), "{file}: {s:#?}");
            assert!(s.slices.iter().all(|c| c.identifier.is_some()), "{file}");
        }
        let full = inspect(&input, &options(SignatureScan::Full), &job).unwrap();
        assert!(main_apps(&full).iter().all(|a| state(a) == ClaimState::Valid), "{file}");
    }
    let job = limited(|l| l.payload_scan = 1000);
    let input = Input::path(dir.join("pkg-signed/Karabiner-DriverKit-VirtualHIDDevice-7.3.0.pkg"));
    let found = inspect(&input, &options(SignatureScan::Auto), &job).unwrap();
    for app in main_apps(&found) {
        assert_eq!(state(app), ClaimState::NotChecked);
    }
}

/// An ad-hoc signed app in a folder: what `codesign -s -` makes of a program and its Info.plist.
/// `rules` are further rules of its seal.
fn adhoc(folder: &Path, rules: &str) -> std::path::PathBuf {
    use mip_testkit::macho::{Program, Signature};
    let app = folder.join("Tool.app");
    let contents = app.join("Contents");
    let plist = mip_testkit::app::plist(&[
        ("CFBundleIdentifier", "org.example.tool"),
        ("CFBundleExecutable", "Tool"),
        ("CFBundlePackageType", "APPL"),
        ("CFBundleShortVersionString", "1.2"),
    ]);
    let seal = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><plist version=\"1.0\"><dict><key>files</key><dict/><key>files2</key><dict/>\
         <key>rules</key><dict><key>^.*</key><true/></dict>\
         <key>rules2</key><dict><key>^.*</key><true/>\
         <key>^Info\\.plist$</key><dict><key>omit</key><true/><key>weight</key><real>20</real></dict>\
         {rules}</dict></dict></plist>"
    );
    let signature = Signature {
        outside: vec![(1, plist.clone().into_bytes()), (3, seal.clone().into_bytes())],
        ..Signature::default()
    };
    for (path, bytes) in [
        ("Info.plist", plist.into_bytes()),
        ("_CodeSignature/CodeResources", seal.into_bytes()),
        ("MacOS/Tool", Program::signed(signature).build()),
    ] {
        let path = contents.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    app
}

#[test]
fn signed_by_nobody_and_sealed_with_gaps() {
    let temp = tempfile::tempdir().unwrap();
    let found = look(&adhoc(temp.path(), ""));
    assert_eq!(state(main_apps(&found)[0]), ClaimState::AdHoc, "{:#?}", found.apps);
    assert_eq!(codes(&found), ["W_APP_ADHOC"]);

    let temp = tempfile::tempdir().unwrap();
    let open = "<key>^Resources/</key><dict><key>omit</key><true/>\
                <key>weight</key><real>5000</real></dict>";
    let app = adhoc(temp.path(), open);
    std::fs::create_dir(app.join("Contents/Resources")).unwrap();
    std::fs::write(app.join("Contents/Resources/anything"), "not sealed").unwrap();
    let found = look(&app);
    assert!(codes(&found).contains(&"W_APP_SEAL_WEAK"), "{:#?}", found.warnings);
}

/// A disk image that is signed like a program. No real one is at hand: the builder writes what
/// `diskimagerep.cpp` reads.
#[test]
fn a_signed_disk_image() {
    use mip_testkit::macho::{Signature, sign_image};
    let plain = std::fs::read(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../fixtures/dmg/drag-and-drop/Sample.dmg"
    ))
    .unwrap();
    let state = |bytes: Vec<u8>| {
        let input = Input::source("Sample.dmg", Arc::new(bytes));
        let found = inspect(&input, &options(SignatureScan::Full), &Job::default()).ok()?;
        Some(found.trust.image.map(|i| i.state))
    };
    assert_eq!(state(plain.clone()), Some(None));
    let signed = sign_image(&plain, &Signature::default());
    assert_eq!(state(signed.clone()), Some(Some(ClaimState::AdHoc)));
    let mut seen = 0;
    for at in (0..signed.len()).step_by(signed.len() / 60) {
        let mut bytes = signed.clone();
        bytes[at] ^= 1;
        // Either the image itself cannot be read any more, or its signature does not hold.
        match state(bytes) {
            None => {}
            Some(found) => {
                let refused =
                    matches!(found, None | Some(ClaimState::Invalid | ClaimState::Unsupported));
                assert!(refused, "byte {at}: {found:?}");
                seen += 1;
            }
        }
    }
    assert!(seen > 5, "{seen}");
}

/// The same app gets the same verdict as a folder, zip and tar, and one changed byte is named.
#[test]
fn whatever_it_comes_in() {
    let Some(dir) = fixtures("whatever_it_comes_in") else { return };
    let mut tar = tar::Archive::new(
        std::fs::File::open(dir.join("app/mitmproxy-Redirector.app.tar")).unwrap(),
    );
    let temp = tempfile::tempdir().unwrap();
    tar.unpack(temp.path()).unwrap();
    let app = temp.path().join("Mitmproxy Redirector.app");
    assert_eq!(state(main_apps(&look(&app))[0]), ClaimState::Valid);

    let packed = temp.path().join("app.tar.gz");
    let gz = flate2::write::GzEncoder::new(
        std::fs::File::create(&packed).unwrap(),
        flate2::Compression::fast(),
    );
    let mut out = tar::Builder::new(gz);
    out.append_dir_all("Mitmproxy Redirector.app", &app).unwrap();
    out.into_inner().unwrap().finish().unwrap();
    assert_eq!(state(main_apps(&look(&packed))[0]), ClaimState::Valid);

    for file in ["Resources/Assets.car", "Info.plist", "MacOS/Mitmproxy Redirector"] {
        let path = app.join("Contents").join(file);
        let mut bytes = Vec::new();
        std::fs::File::open(&path).unwrap().read_to_end(&mut bytes).unwrap();
        let good = bytes.clone();
        // Inside the text of the Info.plist's last value, a page of code, the middle of a resource.
        let at = bytes.len() * 9 / 20;
        bytes[at] ^= 1;
        std::fs::File::create(&path).unwrap().write_all(&bytes).unwrap();
        let found = inspect(&Input::path(&app), &options(SignatureScan::Auto), &Job::default());
        std::fs::File::create(&path).unwrap().write_all(&good).unwrap();
        let Ok(found) = found else { continue };
        let s = main_apps(&found)[0].signature.clone().unwrap();
        assert_eq!(s.state, ClaimState::Invalid, "{file}");
        let path = format!("Contents/{file}");
        assert!(s.findings.iter().any(|f| f.path == path), "{file}: {s:#?}");
        assert!(codes(&found).contains(&"W_APP_SIGNATURE_INVALID"), "{file}");
        let warning = found.warnings.iter().find(|w| w.code == "W_APP_SIGNATURE_INVALID");
        assert!(warning.unwrap().message.contains(&path), "{file}");
    }
}
