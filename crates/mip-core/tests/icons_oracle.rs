//! Icon files and asset catalogs that Python makes, decoded here, and compared pixel for pixel by
//! Pillow. Skipped, and said so, where Python or Pillow with OpenJPEG is missing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests"
)]

use std::path::Path;
use std::process::{Command, Output};

use mip_core::Job;
use mip_core::icon::{Icon, from_catalog, from_icns, icns_pixels};

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
