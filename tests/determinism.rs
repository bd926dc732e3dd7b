//! Same input, same options: same bytes, whatever surrounds the process.

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

use std::path::Path;

use common::{mip, ok, own_installers};

/// The unsigned archive of `installer`, made in a given environment.
fn archive(installer: &Path, threads: &str, environment: &[(&str, &str)]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("a.mip");
    let mut c = mip();
    c.arg("convert").arg(installer).args(["--unsigned", "--threads", threads, "-o"]).arg(&out);
    c.envs(environment.iter().copied());
    ok(&mut c);
    std::fs::read(out).unwrap()
}

#[test]
fn threads_time_zone_locale_and_user_change_nothing() {
    for installer in own_installers() {
        let base = archive(&installer, "1", &[("TZ", "UTC"), ("LC_ALL", "C")]);
        let other = archive(
            &installer,
            "7",
            &[("TZ", "Pacific/Kiritimati"), ("LC_ALL", "tr_TR.UTF-8"), ("USER", "somebody")],
        );
        assert!(base == other, "{}", installer.display());
    }
}

/// The same app, its files created in another order, at other times, on another place.
#[test]
fn order_times_and_place_of_an_app_change_nothing() {
    let app = common::root().join("fixtures/app/folder/Sample.app");
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("elsewhere/Sample.app");
    let mut paths: Vec<String> = common::contents(&app).into_keys().collect();
    paths.reverse();
    for path in paths {
        let (from, to) = (app.join(&path), copy.join(&path));
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        let kind = std::fs::symlink_metadata(&from).unwrap().file_type();
        if kind.is_symlink() {
            std::os::unix::fs::symlink(std::fs::read_link(&from).unwrap(), &to).unwrap();
        } else if kind.is_file() {
            std::fs::copy(&from, &to).unwrap();
            let old =
                std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
            std::fs::File::options().append(true).open(&to).unwrap().set_modified(old).unwrap();
        }
    }
    assert!(archive(&app, "2", &[]) == archive(&copy, "2", &[]));
}

/// A stream gives the bytes of the file, and stdout gives the bytes of an output file.
#[test]
fn pipes_change_nothing() {
    let installer = common::root().join("fixtures/pkg/distribution/Sample.pkg");
    let mut c = mip();
    c.args(["convert", "-", "--stdin-name", "Sample.pkg", "--unsigned", "-o", "-"]);
    c.stdin(std::fs::File::open(&installer).unwrap());
    let out = common::run(&mut c);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert!(out.stdout == archive(&installer, "2", &[]));
}
