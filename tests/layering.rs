//! The layers of docs/architecture.md, read from `cargo metadata`.

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

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// What each crate may name of ours. A new crate must be added here: that is the point.
const ALLOWED: &[(&str, &[&str])] = &[
    ("mip-base", &[]),
    ("mip-codec", &["mip-base"]),
    ("mip-plist", &["mip-base"]),
    ("mip-xar", &["mip-base", "mip-codec"]),
    ("mip-udif", &["mip-base", "mip-codec", "mip-plist"]),
    ("mip-disk", &["mip-base", "mip-plist"]),
    ("mip-hfsplus", &["mip-base", "mip-codec"]),
    ("mip-apfs", &["mip-base", "mip-codec"]),
    ("mip-fat", &["mip-base"]),
    ("mip-cpio", &["mip-base", "mip-codec"]),
    ("mip-bom", &["mip-base", "mip-codec"]),
    ("mip-archive", &["mip-base"]),
    ("mip-signing", &["mip-base"]),
    ("mip-codesign", &["mip-base", "mip-plist", "mip-signing"]),
    (
        "mip-core",
        &[
            "mip-base",
            "mip-codec",
            "mip-plist",
            "mip-xar",
            "mip-cpio",
            "mip-bom",
            "mip-udif",
            "mip-disk",
            "mip-hfsplus",
            "mip-apfs",
            "mip-fat",
            "mip-archive",
            "mip-signing",
            "mip-codesign",
        ],
    ),
    ("mip-cli", &["mip-base", "mip-core"]),
    ("mip", &["mip-cli"]),
    // Independent of every reader under test, so that a wrong idea cannot be written and read back.
    ("mip-testkit", &[]),
    ("xtask", &["mip-base", "mip-core", "mip-cli", "mip-testkit"]),
];

/// Our crates with what they name of ours: normal and build dependencies, then dev-dependencies.
fn workspace() -> BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)> {
    let out = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let json: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let packages = json["packages"].as_array().unwrap();
    let ours: BTreeSet<&str> = packages.iter().map(|p| p["name"].as_str().unwrap()).collect();
    packages
        .iter()
        .map(|p| {
            let (mut normal, mut dev) = (BTreeSet::new(), BTreeSet::new());
            for d in p["dependencies"].as_array().unwrap() {
                let name = d["name"].as_str().unwrap();
                if ours.contains(name) {
                    let of = if d["kind"] == "dev" { &mut dev } else { &mut normal };
                    of.insert(name.to_owned());
                }
            }
            (p["name"].as_str().unwrap().to_owned(), (normal, dev))
        })
        .collect()
}

#[test]
fn dependencies_point_downwards_only() {
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    for (name, (normal, _)) in workspace() {
        let may = allowed
            .get(name.as_str())
            .unwrap_or_else(|| panic!("{name} is new: give it a place in tests/layering.rs"));
        for d in &normal {
            assert!(may.contains(&d.as_str()), "{name} must not depend on {d}");
        }
    }
}

#[test]
fn the_testkit_reaches_no_user() {
    for (name, (normal, _)) in workspace() {
        assert!(
            !normal.contains("mip-testkit") || name == "xtask",
            "{name}: mip-testkit is for dev-dependencies only"
        );
    }
}

#[test]
fn tests_of_a_lower_layer_do_not_name_a_higher_one() {
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    for (name, (_, dev)) in workspace() {
        if name == "mip" {
            continue; // the tests of the whole may name every part
        }
        for d in dev.iter().filter(|d| *d != "mip-testkit") {
            assert!(allowed[name.as_str()].contains(&d.as_str()), "tests of {name} name {d}");
        }
    }
}
