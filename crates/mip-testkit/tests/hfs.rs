//! What independent readers (7-Zip, libfshfs) find on the volumes of `mip_testkit::hfs`.
//!
//! Each is left out, with a note, where it is not installed.
#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use mip_testkit::hfs::{Layout, Volume};

/// Text that compresses, different for each seed.
fn text(seed: u32, len: usize) -> Vec<u8> {
    (0..).flat_map(|i: u32| format!("{seed}:{i} line of words\n").into_bytes()).take(len).collect()
}

/// One of everything.
fn rich(name: &str) -> Volume {
    let mut v = Volume::new(name)
        .file("Read Me.txt", "hello\n")
        .file("docs/Ünï/naïve.txt", text(1, 5000))
        .file("docs/a:b", "slash on disk")
        .file("docs/empty", "")
        .link("Applications", "/Applications")
        .link("docs/up", "../Read Me.txt")
        .file("tool", text(2, 70_000))
        .mode("tool", 0o4755)
        .owner("tool", 0, 80)
        .dates("tool", 1_000_000_000, 1_100_000_000)
        .file("in pieces", text(3, 40 * 4096 + 17))
        .fragment("in pieces", 30)
        .file("forked", "data")
        .resource_fork("forked", text(4, 90_000))
        .fragment_resource("forked", 12)
        .xattr("forked", "org.example.small", "value")
        .xattr("forked", "org.example.big", text(5, 30_000))
        .xattr_fork("tool", "org.example.pieces", text(6, 100_000), 20)
        .file("linked", text(7, 300))
        .hard_link("docs/linked too", "linked")
        .hard_link("third", "linked")
        .alias("an alias")
        .decmpfs("small zlib", 3, &text(8, 900))
        .decmpfs("big zlib", 4, &text(9, 200_000))
        .decmpfs("stored", 1, b"plain")
        .file("more room", "x")
        .extra_blocks("more room", 3);
    for i in 0..300 {
        v = v.file(&format!("many/File number {i:03}"), text(i, 10));
    }
    v
}

/// Variants of a volume that must all read the same.
pub fn variants() -> Vec<(&'static str, Volume)> {
    vec![
        ("plain", rich("Rich")),
        ("journaled", rich("Rich").journaled(512 << 10)),
        ("sensitive", rich("Rich").case_sensitive(true)),
        ("blocks", rich("Rich").block_size(512)),
        ("nodes", rich("Rich").block_size(1024).node_size(1024, 1024).spare_nodes(5)),
        ("trees", rich("Rich").block_size(512).node_size(4096, 4096).fragment_trees(17, 11)),
        ("wrapped", rich("Rich").wrapped()),
    ]
}

fn have(tool: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {tool}")]).output().unwrap();
    if !found.status.success() {
        eprintln!("SKIPPED: {tool} is not installed");
    }
    found.status.success()
}

/// Files and links below `dir`: path to (what, bytes or target).
fn files(dir: &Path) -> BTreeMap<String, (char, Vec<u8>)> {
    let mut out = BTreeMap::new();
    let mut todo = vec![dir.to_path_buf()];
    while let Some(at) = todo.pop() {
        for e in std::fs::read_dir(at).unwrap() {
            let path = e.unwrap().path();
            let name = path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
            let meta = path.symlink_metadata().unwrap();
            if meta.is_dir() {
                todo.push(path);
            } else if meta.is_symlink() {
                let to = std::fs::read_link(&path).unwrap();
                out.insert(name, ('l', to.to_str().unwrap().as_bytes().to_vec()));
            } else {
                out.insert(name, ('f', std::fs::read(&path).unwrap()));
            }
        }
    }
    out
}

#[test]
fn seven_zip_reads_every_variant() {
    if !have("7zz") {
        return;
    }
    for (name, volume) in variants() {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("v.hfs");
        std::fs::write(&image, volume.build()).unwrap();
        let out = dir.path().join("out");
        // -sns-: forks are not wanted as files; -snl: links as they are.
        let done = Command::new("7zz")
            .args(["x", "-y", "-bd", "-snld20"])
            .arg(&image)
            .arg(format!("-o{}", out.display()))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success(), "{name}: {said}{}", String::from_utf8_lossy(&done.stderr));
        eprintln!("{name}: {:?}", files(&out).keys().filter(|k| !k.contains("many")).collect::<Vec<_>>());
    }
}
