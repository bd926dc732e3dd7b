//! The containers of `mip_testkit::apfs`, read by other programs: `apfsck`, 7-Zip, libfsapfs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::print_stderr,
    reason = "tests"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use mip_testkit::apfs::{Container, Decmpfs, Names, Volume};

fn noise(seed: u32, n: usize) -> Vec<u8> {
    let mut x = seed;
    let mut next = || {
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        x.to_be_bytes()[0]
    };
    (0..n).map(|_| next()).collect()
}

/// Everything that a volume can hold.
fn full(name: &str, names: Names) -> Volume {
    Volume::new(name)
        .names(names)
        .file("a.txt", "alpha\n")
        .mode(0o600)
        .owner(501, 20)
        .time(1_600_000_000)
        .file("dir/sub/deep.bin", noise(1, 100_000))
        .file("empty", "")
        .folder("empty folder")
        .symlink("link", "dir/sub/deep.bin")
        .symlink("dir/absolute", "/etc/passwd")
        .hard_link("dir/again", "a.txt")
        .hard_link("zz", "a.txt")
        .file("suid", "#!/bin/sh\n")
        .mode(0o4755)
        .sparse("sparse", 1_000_000, &[(65_536, b"in the middle"), (524_288, &noise(2, 70_000))])
        .clone_of("clone", "dir/sub/deep.bin")
        .file("attributes", "x")
        .xattr("attributes", "com.apple.quarantine", b"0081;0;x;")
        .xattr("attributes", "org.example.big", &noise(3, 9000))
        .xattr_stream("attributes", "org.example.stream", b"small stream")
        .file("ünïcödé Å.txt", "u")
        .file("한글.txt", "k")
        .special("pipe", 0o010_644)
        .special("device", 0o020_644)
}

/// Compressed files as 7-Zip and libfsapfs read them.
fn compressed(mut v: Volume) -> Volume {
    let text = b"compressed text, compressed text. ".repeat(100);
    let long = b"a longer text that takes more than one block of 65536 bytes ".repeat(3000);
    for (path, how) in
        [("c3", Decmpfs::ZlibInline), ("c7", Decmpfs::LzvnInline), ("c9", Decmpfs::MarkedInline)]
    {
        v = v.decmpfs(&format!("compressed/{path}"), how, &text);
    }
    for (path, how) in [("c4", Decmpfs::ZlibFork), ("c8", Decmpfs::LzvnFork)] {
        v = v.decmpfs(&format!("compressed/{path}"), how, &long);
    }
    v
}

/// What 7-Zip does not read. libfsapfs reads all but the types 1 and 12.
fn beyond_7zip(v: Volume) -> Volume {
    let text = b"text that is compressed. ".repeat(100);
    let long = b"a longer text that takes more than one block of 65536 bytes ".repeat(3000);
    v.shared_stream("shared", "dir/sub/deep.bin")
        .decmpfs("compressed/c10", Decmpfs::MarkedFork, &long)
        .decmpfs("compressed/c11", Decmpfs::LzfseInline, &text)
}

fn many(name: &str, files: usize) -> Volume {
    let mut v = Volume::new(name).names(Names::NormalizationInsensitive);
    for i in 0..files {
        v = v.file(&format!("d{:02}/file {i:05}.txt", i % 17), format!("file {i}\n"));
    }
    v
}

/// Name, container, its newest volumes. No compressed files: the `apfsck` at hand (2023) calls
/// their signature unsupported.
fn images() -> Vec<(&'static str, Container, Vec<Volume>)> {
    let one = |name, v: Volume| (name, Container::new().volume(v.clone()), vec![v]);
    let deep = full("Deep", Names::NormalizationInsensitive).node_records(3).extent_blocks(2);
    let newest = full("Newest", Names::CaseInsensitive);
    let old = Container::new()
        .volume(Volume::new("Old").file("old.txt", "old"))
        .checkpoint()
        .volume(Volume::new("Newer").file("newer.txt", "newer"));
    vec![
        one("empty", Volume::new("Empty")),
        one("full", full("Full", Names::CaseInsensitive)),
        one("exact", full("Exact", Names::Exact)),
        one("deep", deep),
        one("many", many("Many", 2000)),
        ("checkpoints", old.checkpoint().volume(newest.clone()), vec![newest]),
    ]
}

fn has(tool: &str) -> bool {
    let found = Command::new("sh").arg("-c").arg(format!("command -v {tool}")).output();
    let found = found.is_ok_and(|o| o.status.success());
    if !found {
        eprintln!("{tool} is not installed: not compared");
    }
    found
}

fn run(command: &mut Command) -> String {
    let out = command.output().unwrap();
    let text =
        [String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr)].concat();
    assert!(out.status.success(), "{command:?}: {text}");
    text
}

#[test]
fn apfsck_finds_nothing_wrong() {
    if !has("apfsck") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for (name, container, _) in images() {
        let path = dir.path().join(name);
        std::fs::write(&path, container.large().build().0).unwrap();
        run(Command::new("apfsck").arg("-cuw").arg(&path));
        std::fs::remove_file(path).unwrap();
    }
    // It does look: one count in an inode, with a checksum that fits.
    let (mut image, layout) = Container::new().volume(many("x", 3)).large().build();
    let inode = layout.newest().volumes[0].record("d01", 3);
    layout.patch(&mut image, inode.value.start + 56, &[9]);
    let path = dir.path().join("wrong");
    std::fs::write(&path, image).unwrap();
    let out = Command::new("apfsck").arg("-cuw").arg(&path).output().unwrap();
    assert!(!out.status.success());
}

#[test]
fn seven_zip_unpacks_what_was_put_in() {
    if !has("7zz") {
        return;
    }
    let v = compressed(full("Compressed", Names::CaseInsensitive).node_records(5));
    let more = [("compressed", Container::new().volume(v.clone()), vec![v])];
    for (name, container, volumes) in images().into_iter().chain(more) {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join(name);
        std::fs::write(&image, container.build().0).unwrap();
        let out = dir.path().join("out");
        std::fs::create_dir(&out).unwrap();
        // -snld20: links that point outside are made, too.
        run(Command::new("7zz").args(["x", "-bd", "-y", "-snld20"]).arg(&image).current_dir(&out));
        for c in volumes.iter().flat_map(Volume::contents) {
            let path = out.join(&c.path);
            match (c.mode >> 12, c.link) {
                (4, _) => assert!(path.is_dir(), "{name}: {path:?}"),
                // 7-Zip turns absolute targets into ones inside the folder.
                (10, Some(to)) if !to.starts_with('/') => {
                    assert_eq!(std::fs::read_link(&path).unwrap(), Path::new(&to), "{name}");
                }
                // 7-Zip 26.02 reads block 0 where an extent is a hole (block number 0); libfsapfs
                // and apfsck agree with us.
                (8, _) if c.path == "sparse" => {}
                (8, _) => assert!(std::fs::read(&path).unwrap() == c.bytes, "{name}: {path:?}"),
                _ => {}
            }
        }
    }
}

/// Paths with mode, size, and digest or link target.
const LIBFSAPFS: &str = r#"
import hashlib, pyfsapfs, sys
c = pyfsapfs.container(); c.open(sys.argv[1])
def walk(e, path):
    for s in e.sub_file_entries:
        p = path + s.name
        kind = s.file_mode >> 12
        what = s.symbolic_link_target if kind == 10 else ""
        if kind == 8:
            what = hashlib.sha256(s.read(s.size) if s.size else b"").hexdigest()
        print(p, "%o" % s.file_mode, s.owner_identifier, s.group_identifier, what, sep="\t")
        if kind == 4: walk(s, p + "/")
for i in range(c.number_of_volumes):
    print("volume", c.get_volume(i).name, sep="\t")
    walk(c.get_volume(i).get_root_directory(), "")
"#;

#[test]
fn libfsapfs_reads_what_was_put_in() {
    let there = Command::new("python3").args(["-c", "import pyfsapfs"]).output();
    if !there.is_ok_and(|o| o.status.success()) {
        eprintln!("no pyfsapfs: not compared");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let two = [beyond_7zip(compressed(full("One", Names::Exact))), many("Two", 30)];
    let more =
        [("two", Container::new().volume(two[0].clone()).volume(two[1].clone()), two.to_vec())];
    for (name, container, volumes) in images().into_iter().chain(more) {
        let path = dir.path().join(name);
        std::fs::write(&path, container.build().0).unwrap();
        let text = run(Command::new("python3").args(["-c", LIBFSAPFS]).arg(&path));
        let mut found: Vec<BTreeMap<&str, String>> = Vec::new();
        let mut named = Vec::new();
        for line in text.lines() {
            let (path, rest) = line.split_once('\t').unwrap();
            if path == "volume" {
                named.push(rest);
                found.push(BTreeMap::new());
            } else {
                found.last_mut().unwrap().insert(path, rest.to_owned());
            }
        }
        assert_eq!(found.len(), volumes.len(), "{name}: {named:?}");
        for (found, volume) in found.into_iter().zip(&volumes) {
            let contents = volume.contents();
            let expected: BTreeMap<&str, String> = contents
                .iter()
                .map(|c| {
                    let what = match c.mode >> 12 {
                        8 => mip_testkit::sha256(&c.bytes),
                        _ => c.link.clone().unwrap_or_default(),
                    };
                    let line = format!("{:o}\t{}\t{}\t{what}", c.mode, c.uid, c.gid);
                    (c.path.as_str(), line)
                })
                .collect();
            assert_eq!(found, expected, "{name}");
        }
    }
}
