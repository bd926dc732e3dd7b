//! Icons and localized names.
//!
//! Icon files and asset catalogs that Python makes are decoded here, and compared pixel for pixel
//! by Pillow (skipped, and said so, where Python or Pillow with OpenJPEG is missing); real apps of
//! the shared fixtures have the icons and names that they have.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::path::Path;
use std::process::{Command, Output};

use mip_core::icon::{Icon, from_catalog, from_icns, icns_pixels};
use mip_core::{Input, InspectOptions, Inspected, Job, inspect_full};
use mip_testkit::shared::fixtures;

fn python(verb: &str, folder: &Path) -> Option<Output> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/icons_oracle.py");
    let out = Command::new("python3").arg(script).arg(verb).arg(folder).output().ok()?;
    if out.status.code() == Some(77) {
        return None;
    }
    assert!(
        out.status.success(),
        "{verb}: {}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    Some(out)
}

#[test]
fn every_kind_of_image_comes_out_as_it_went_in() {
    let dir = tempfile::tempdir().unwrap();
    if python("make", dir.path()).is_none() {
        eprintln!("SKIPPED: icons_oracle needs python3 with Pillow and OpenJPEG");
        return;
    }
    let mut count = 0;
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let data = || std::fs::read(&path).unwrap();
        let icon: Result<Icon, String> = match name.rsplit_once('.').unwrap().1 {
            "icns" => {
                let icon = from_icns(&data());
                // What is said before decoding is what comes out, but for the damaged one.
                let told = icns_pixels(&data());
                let came = icon.as_ref().map_or(0, |i| i.pixels);
                assert!(told == came || name == "damaged.icns", "{name}: {told}, {came}");
                icon
            }
            "car" => from_catalog(data(), Some("AppIcon"), &Job::default()),
            _ => continue,
        };
        let icon = icon.unwrap_or_else(|why| panic!("{name}: {why}"));
        std::fs::write(path.with_extension("png"), icon.png).unwrap();
        count += 1;
    }
    assert!(count > 50, "{count}");
    python("check", dir.path()).expect("it was there a moment ago");
}

fn look(file: &Path) -> Inspected {
    inspect_full(&Input::path(file), &InspectOptions::new(), &Job::default()).unwrap()
}

/// Width of a PNG by its header.
fn width(png: &[u8]) -> u32 {
    u32::from_be_bytes(png[16..20].try_into().unwrap())
}

#[test]
fn real_apps_have_the_icons_that_they_name() {
    let Some(dir) = fixtures("real_apps_have_the_icons_that_they_name") else { return };
    // Sizes as Pillow reads them out of the same files.
    for (file, path, pixels) in [
        ("app/mitmproxy-Redirector.app.tar", "Resources/AppIcon.icns", 256),
        ("app/MuJoCo_mjpython.app.zip", "Resources/mjpython.icns", 1024),
        ("app/terminal-notifier.app.zip", "Resources/Terminal.icns", 512),
        ("app/sudo-prompt-applet.zip", "Resources/applet.icns", 1024),
        ("app/sparkle-SparkleTestCodeSignApp.tar.gz", "Resources/AppIcon.icns", 256),
        ("dmg-udif/appledmg-example-fat32.dmg", "Resources/AppIcon.icns", 512),
        ("pkg-flat/munki-munkitools-2.8.1.2847.pkg", "Center.icns", 1024),
        ("pkg-signed/Karabiner-DriverKit-VirtualHIDDevice-7.3.0.pkg", "Resources/app.icns", 1024),
    ] {
        let found = look(&dir.join(file));
        let icon = found.inspection.identity.icon.unwrap_or_else(|| panic!("{file}")).value;
        assert!(icon.path.ends_with(path), "{file}: {}", icon.path);
        assert_eq!((icon.format.as_str(), icon.pixels), ("icns", Some(pixels)), "{file}");
        assert_eq!(width(&found.icon_png.unwrap()), pixels, "{file}");
    }
}

/// The one real catalog: with the app's icon file gone, it is what the icon comes from.
#[test]
fn a_real_asset_catalog_stands_in_for_an_icon_file() {
    let Some(dir) = fixtures("a_real_asset_catalog_stands_in_for_an_icon_file") else { return };
    let file = std::fs::File::open(dir.join("app/mitmproxy-Redirector.app.tar")).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    tar::Archive::new(file).unpack(scratch.path()).unwrap();
    let app = scratch.path().join("Mitmproxy Redirector.app");
    let resources = app.join("Contents/Resources");
    std::fs::remove_file(resources.join("AppIcon.icns")).unwrap();
    let found = look(&app);
    let icon = found.inspection.identity.icon.unwrap();
    assert_eq!(icon.value.path, "Contents/Resources/Assets.car");
    assert_eq!((icon.value.format.as_str(), icon.value.pixels), ("asset-catalog", Some(1024)));
    assert_eq!(icon.source.key.as_deref(), Some("CFBundleIconName"));
    assert_eq!(width(&found.icon_png.unwrap()), 1024);
    assert!(found.inspection.warnings.iter().all(|w| w.code != "W_ICON"));
    // Cut, it is a warning, and no more.
    let catalog = std::fs::read(resources.join("Assets.car")).unwrap();
    std::fs::write(resources.join("Assets.car"), &catalog[..catalog.len() / 2]).unwrap();
    let found = look(&app);
    assert!(found.icon_png.is_none());
    let warning = found.inspection.warnings.iter().find(|w| w.code == "W_ICON").unwrap();
    assert!(warning.message.contains("Assets.car: an asset catalog that cannot be read"));
}

/// What Python (its codecs, `plistlib`, a regular expression) reads from the same files.
#[test]
fn names_in_other_languages() {
    let Some(dir) = fixtures("names_in_other_languages") else { return };
    let names = |file: &str| {
        let found = look(&dir.join(file)).inspection.identity.localized_names;
        found.map(|f| f.value.into_iter().collect::<Vec<_>>()).unwrap_or_default()
    };
    let pairs = |list: &[(&str, &str)]| {
        list.iter().map(|(l, n)| ((*l).to_owned(), (*n).to_owned())).collect::<Vec<_>>()
    };
    let munki = pairs(&[
        ("da", "Managed Software Center"),
        ("de", "Gef\u{fc}hrte Softwareaktualisierung"),
        ("en", "Managed Software Center"),
        ("en_AU", "Managed Software Centre"),
        ("en_CA", "Managed Software Centre"),
        ("en_GB", "Managed Software Centre"),
        ("es", "Centro de aplicaciones"),
        ("fi", "Managed Software Center"),
        ("fr", "Centre de gestion des logiciels"),
        ("it", "Centro Gestione Applicazioni"),
        ("ja", "Managed Software Center"),
        ("nb", "Managed Software Center"),
        ("nl", "Managed Software Center"),
        (
            "ru",
            "\u{426}\u{435}\u{43d}\u{442}\u{440} \u{423}\u{43f}\u{440}\u{430}\u{432}\u{43b}\u{435}\u{43d}\u{438}\u{44f} \u{41f}\u{41e}",
        ),
        ("sv", "Managed Software Center"),
    ]);
    assert_eq!(names("pkg-flat/munki-munkitools-2.8.1.2847.pkg"), munki);
}

#[test]
fn names_of_the_sample_app_in_every_container() {
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures");
    for file in ["app/zip/Sample.app.zip", "pkg/distribution/Sample.pkg"] {
        let found = look(&Path::new(fixtures).join(file));
        let names = found.inspection.identity.localized_names.unwrap_or_else(|| panic!("{file}"));
        let names: Vec<_> = names.value.into_iter().collect();
        assert_eq!(names, [("de".to_owned(), "Beispiel".to_owned())], "{file}");
        assert_eq!(width(&found.icon_png.unwrap()), 128, "{file}");
    }
}
