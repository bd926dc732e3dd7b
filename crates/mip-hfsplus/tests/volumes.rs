//! Volumes that are as they should be, from the testkit's own writer.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

mod common;

use std::sync::Arc;

use common::{Slow, bytes, code, data, node, noise, open, paths, read_all};
use mip_base::{CancelToken, Code, EntryKind, Job, Limits, ReadAt as _, SilentProgress, Source};
use mip_hfsplus::Volume;
use mip_testkit::hfs::{self, resource_fork};

/// A little of everything.
fn rich() -> hfs::Volume {
    hfs::Volume::new("Träger")
        .folder("empty")
        .file("docs/read me.txt", "hello")
        .file("docs/zero", "")
        .file("docs/pieces", noise(60_000))
        .fragment("docs/pieces", 13)
        .extra_blocks("docs/pieces", 3)
        .link("docs/again", "read me.txt")
        .file("tool", "#!/bin/sh\n")
        .mode("tool", 0o4755)
        .owner("tool", 0, 80)
        .dates("tool", 1_000_000_000, 1_234_567_890)
        .resource_fork("tool", resource_fork(*b"TEXT", 128, &noise(30_000)))
        .fragment_resource("tool", 10)
        .hard_link("tool again", "tool")
        .xattr("docs/read me.txt", "com.example.small", "value")
        .xattr_fork("docs/read me.txt", "com.example.big", noise(50_000), 1)
        .xattr_fork("docs/read me.txt", "com.example.pieces", noise(60_000), 12)
        .xattr("docs", "com.example.folder", "on a folder")
        .file("bundle/in/deep", "deep")
        .hard_link("bundle again", "bundle")
        .alias("alias")
        .special("pipe", 0o010_644, 0)
        .special("disk", 0o060_640, 0x0100_0003)
        .decmpfs("stored", 1, b"stored in the attribute")
        .decmpfs("inline", 3, &[b'x'; 3000])
        .decmpfs("blocks", 4, &noise(200_000))
        .decmpfs("raw", 9, b"raw in the attribute")
        .file("a:b", "slash on disk")
        .file("naïve", "decomposed")
}

fn variants() -> Vec<(&'static str, hfs::Volume)> {
    vec![
        ("plain", rich()),
        ("wrapped", rich().wrapped()),
        ("hfsx", rich().case_sensitive(true)),
        ("journaled", rich().journaled(1 << 19)),
        ("blocks of 512", rich().block_size(512)),
        ("blocks of 64 KiB", rich().block_size(65_536)),
        ("nodes of 1024 and 512", rich().node_size(1024, 512).extents_node_size(512)),
        ("nodes of 32768", rich().node_size(32_768, 32_768).extents_node_size(32_768)),
        ("trees in pieces", rich().block_size(512).fragment_trees(20, 11).spare_nodes(40)),
    ]
}

#[test]
fn everything_is_read_in_every_variant() {
    for (name, volume) in variants() {
        let v = open(&volume.build()).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        let job = Job::default();
        assert_eq!(v.info().name, "Tra\u{308}ger", "{name}");
        assert_eq!(v.info().case_sensitive, name == "hfsx");
        assert_eq!(v.info().journaled, name == "journaled");
        assert_eq!(v.info().wrapped_at.is_some(), name == "wrapped");
        assert_eq!(v.info().notes.len(), usize::from(name == "wrapped"), "{:?}", v.info().notes);
        assert_eq!(
            paths(&v).unwrap(),
            [
                "a:b",
                "alias",
                "blocks",
                "bundle",
                "bundle/in",
                "bundle/in/deep",
                "bundle again",
                "bundle again/in",
                "bundle again/in/deep",
                "disk",
                "docs",
                "docs/again",
                "docs/pieces",
                "docs/read me.txt",
                "docs/zero",
                "empty",
                "inline",
                "nai\u{308}ve",
                "pipe",
                "raw",
                "stored",
                "tool",
                "tool again",
            ],
            "{name}"
        );
        assert_eq!(data(&v, "docs/read me.txt").unwrap(), b"hello");
        assert_eq!(data(&v, "docs/zero").unwrap(), b"");
        assert_eq!(data(&v, "docs/pieces").unwrap(), noise(60_000), "{name}");
        assert_eq!(data(&v, "a:b").unwrap(), b"slash on disk");
        assert_eq!(data(&v, "bundle again/in/deep").unwrap(), b"deep");
        assert_eq!(data(&v, "stored").unwrap(), b"stored in the attribute");
        assert_eq!(data(&v, "inline").unwrap(), [b'x'; 3000]);
        assert_eq!(data(&v, "blocks").unwrap(), noise(200_000));
        assert_eq!(data(&v, "raw").unwrap(), b"raw in the attribute");
        let link = node(&v, "docs/again");
        assert_eq!((link.kind, link.size), (EntryKind::Symlink, 11));
        assert_eq!(v.read_link(&link, &job).unwrap(), "read me.txt");
        let tool = node(&v, "tool");
        assert_eq!((tool.mode, tool.uid, tool.gid, tool.links), (0o4755, 0, 80, 2), "{name}");
        assert_eq!(tool.mtime, 1_234_567_890);
        assert_eq!(tool.id, node(&v, "tool again").id);
        let fork = v.resource_fork(&tool, &job).unwrap().unwrap();
        assert_eq!(fork.size(), tool.resource_fork);
        assert_eq!(bytes(&fork).unwrap(), resource_fork(*b"TEXT", 128, &noise(30_000)), "{name}");
        let again = node(&v, "bundle again");
        assert_eq!((again.kind, again.id), (EntryKind::Directory, node(&v, "bundle").id));
        let names: Vec<_> = v.children(&again, &job).unwrap().into_iter().map(|c| c.0).collect();
        assert_eq!(names, ["in"]);
        assert!(node(&v, "alias").finder_alias);
        assert!(!tool.finder_alias);
        assert_eq!(node(&v, "pipe").kind, EntryKind::Fifo);
        let disk = node(&v, "disk");
        assert_eq!(
            (disk.kind, disk.device, disk.mode),
            (EntryKind::BlockDevice, 0x0100_0003, 0o640)
        );
        for (path, kind, size) in
            [("stored", 1, 23), ("inline", 3, 3000), ("blocks", 4, 200_000), ("raw", 9, 20)]
        {
            let n = node(&v, path);
            assert_eq!((n.compressed, n.size, n.resource_fork), (Some(kind), size, 0), "{path}");
            assert!(v.resource_fork(&n, &job).unwrap().is_none(), "macOS hides it");
            assert!(v.xattrs(&n, &job).unwrap().is_empty(), "macOS hides it");
        }
    }
}

#[test]
fn attributes_are_read_wherever_they_are() {
    for (name, volume) in variants() {
        let v = open(&volume.build()).unwrap();
        let job = Job::default();
        let n = node(&v, "docs/read me.txt");
        let list: Vec<_> =
            v.xattrs(&n, &job).unwrap().into_iter().map(|x| (x.name, x.size)).collect();
        let wanted = [
            ("com.example.big".to_owned(), 50_000),
            ("com.example.pieces".to_owned(), 60_000),
            ("com.example.small".to_owned(), 5),
        ];
        assert_eq!(list, wanted, "{name}");
        let get = |x: &str, limit| v.xattr(&n, x, limit, &job);
        assert_eq!(get("com.example.small", 5).unwrap().unwrap(), b"value");
        assert_eq!(code(get("com.example.small", 4)), Code::LimitMemory);
        assert_eq!(get("com.example.big", 1 << 20).unwrap().unwrap(), noise(50_000), "{name}");
        assert_eq!(code(get("com.example.big", 49_999)), Code::LimitMemory);
        assert_eq!(get("com.example.pieces", 1 << 20).unwrap().unwrap(), noise(60_000), "{name}");
        assert_eq!(get("com.example", 1 << 20).unwrap(), None);
        assert_eq!(v.xattrs(&node(&v, "docs"), &job).unwrap().len(), 1);
        assert!(v.xattrs(&v.root(), &job).unwrap().is_empty());
    }
}

#[test]
fn odd_reads_give_the_same_bytes() {
    for (name, volume) in variants() {
        let image = volume.build();
        let job = Job::default();
        for step in [1, 7, 1000] {
            let slow = Volume::open(Slow::new(image.clone(), step), &job).unwrap();
            for path in ["docs/pieces", "blocks", "inline", "tool"] {
                let n = node(&slow, path);
                let source = slow.open_file(&n, &job).unwrap();
                let all = bytes(&source).unwrap();
                assert_eq!(all, data(&open(&image).unwrap(), path).unwrap(), "{name} {path}");
                // Positions around the borders of blocks, of pieces and of the end.
                for at in [0, 1, 511, 512, 4095, 4096, 4097, 12_288, 59_999, 60_000, 65_535, 65_536]
                {
                    let mut buf = [0xEE; 5000];
                    let n = source.read_at(at, &mut buf).unwrap();
                    let rest = all.get(at as usize..).unwrap_or(&[]);
                    assert_eq!(n == 0, rest.is_empty(), "{name} {path} {at}");
                    assert_eq!(buf[..n], rest[..n], "{name} {path} {at}");
                }
            }
        }
    }
}

#[test]
fn walk_children_and_lookup_agree() {
    for (name, volume) in variants() {
        let v = open(&volume.build()).unwrap();
        let job = Job::default();
        let mut todo = vec![(String::new(), v.root())];
        let mut found = Vec::new();
        while let Some((at, folder)) = todo.pop() {
            let children = v.children(&folder, &job).unwrap();
            assert!(children.is_sorted_by(|a, b| a.0 < b.0), "{name}");
            for (child, node) in children {
                let path = format!("{at}{child}");
                if node.kind == EntryKind::Directory {
                    todo.push((format!("{path}/"), node.clone()));
                }
                found.push((path, format!("{node:?}")));
            }
        }
        found.sort();
        let mut walked = Vec::new();
        v.walk(&job, &mut |f| {
            let again = v.lookup(&f.path, &job)?.unwrap();
            assert_eq!(format!("{again:?}"), format!("{:?}", f.node), "{name} {}", f.path);
            walked.push((f.path, format!("{:?}", f.node)));
            Ok(())
        })
        .unwrap();
        walked.sort();
        assert_eq!(found, walked, "{name}");
    }
}

#[test]
fn the_copy_of_the_header_stands_in() {
    let (mut image, layout) = rich().build_with_layout();
    let good = read_all(&image).unwrap();
    image[layout.volume_header() as usize] = b'X';
    let bad = read_all(&image).unwrap();
    assert!(bad[0].contains("its copy at the end"), "{}", bad[0]);
    assert_eq!(good[1..], bad[1..]);
    image[layout.alternate_header() as usize] = b'X';
    let e = open(&image).unwrap_err();
    assert_eq!((e.code(), e.offset()), (Code::HfsHeader, Some(1024)));
}

#[test]
fn names_are_found_by_the_rules_of_the_volume() {
    let volume = hfs::Volume::new("N")
        .file("Straße/Ångström.txt", "1")
        .file("ǄЖΩ", "2")
        .file("zero\u{200d}width", "3");
    let folded = open(&volume.clone().build()).unwrap();
    let exact = open(&volume.case_sensitive(true).build()).unwrap();
    let job = Job::default();
    let is = |v: &Volume, path: &str| v.lookup(path, &job).unwrap().is_some();
    for path in ["Straße/Ångström.txt", "Straße/A\u{30a}ngstro\u{308}m.txt", "ǄЖΩ"] {
        assert!(is(&folded, path) && is(&exact, path), "{path}");
    }
    for path in ["STRAßE/åNGSTRÖM.TXT", "ǅжω", "zerowidth", "zero\u{feff}w\u{200c}idth"] {
        assert!(is(&folded, path) && !is(&exact, path), "{path}");
    }
    for path in ["STRASSE/Ångström.txt", "Straße/Angstrom.txt", "Straße/", "Straße//Ångström.txt"]
    {
        assert_eq!(is(&folded, path), path.contains("//") || path.ends_with('/'), "{path}");
    }
    assert!(is(&folded, ""), "the root folder");
}

#[test]
fn a_name_that_another_system_stored_composed_is_found() {
    let composed: Vec<u16> = "é".encode_utf16().collect();
    let image = hfs::Volume::new("N").file("x", "1").stored_name("x", &composed).build();
    let v = open(&image).unwrap();
    assert_eq!(paths(&v).unwrap(), ["é"]);
    assert_eq!(data(&v, "é").unwrap(), b"1");
}

#[test]
fn twenty_thousand_files_are_one_pass_and_one_lookup_is_a_few_nodes() {
    let mut volume = hfs::Volume::new("Big");
    for i in 0..20_000 {
        volume = volume.file(&format!("Big.app/Contents/r{:03}/file {i:05}.txt", i % 100), "");
    }
    volume = volume.file("Big.app/Contents/Info.plist", "plist");
    let (image, layout) = volume.build_with_layout();
    let catalog: u64 = layout.catalog.extents.iter().map(|e| e.1).sum();
    let source = Slow::new(image, usize::MAX);
    let job = Job::default();
    let v = Volume::open(source.clone(), &job).unwrap();
    source.take();
    assert_eq!(data(&v, "Big.app/Contents/Info.plist").unwrap(), b"plist");
    let (read, calls) = source.take();
    assert!(read < 16 * layout.catalog.node_size && calls < 16, "{read} bytes, {calls} calls");
    assert_eq!(paths(&v).unwrap().len(), 20_103);
    let (read, _) = source.take();
    assert!(read <= catalog, "{read} of {catalog} bytes of the catalog");
}

/// A job with the limits that `change` makes of the defaults.
fn limited(change: impl FnOnce(&mut Limits)) -> Job {
    let mut limits = Limits::default();
    change(&mut limits);
    Job::new(limits, CancelToken::new(), Arc::new(SilentProgress))
}

#[test]
fn limits_hold() {
    let image: Source = Arc::new(rich().build());
    let walk = |job: Job| Volume::open(image.clone(), &job)?.walk(&job, &mut |_| Ok(()));
    // 23 that are shown; the private folders, a moved file and a moved folder besides.
    assert!(walk(limited(|l| l.entries = 40)).is_ok());
    assert_eq!(code(walk(limited(|l| l.entries = 20))), Code::LimitEntries);
    assert!(walk(limited(|l| l.path_bytes = 20)).is_ok());
    assert_eq!(code(walk(limited(|l| l.path_bytes = 18))), Code::LimitMemory);
    assert!(walk(limited(|l| l.path_depth = 3)).is_ok());
    assert_eq!(code(walk(limited(|l| l.path_depth = 2))), Code::LimitDepth);
    assert_eq!(code(walk(limited(|l| l.path_bytes_kept = 100))), Code::LimitMemory);
    let v = Volume::open(image, &Job::default()).unwrap();
    let link = node(&v, "docs/again");
    assert_eq!(code(v.read_link(&link, &limited(|l| l.link_bytes = 10))), Code::HfsRecord);
}

#[test]
fn a_cancelled_job_stops() {
    let token = CancelToken::new();
    let job = Job::new(Limits::default(), token.clone(), Arc::new(SilentProgress));
    let v = Volume::open(Arc::new(rich().build()), &job).unwrap();
    token.cancel();
    assert_eq!(code(v.walk(&job, &mut |_| Ok(()))), Code::Cancelled);
    assert_eq!(code(v.lookup("tool", &job)), Code::Cancelled);
}

#[test]
fn many_threads_read_at_once() {
    let v = open(&rich().build()).unwrap();
    std::thread::scope(|s| {
        for _ in 0..8 {
            s.spawn(|| {
                for _ in 0..20 {
                    assert_eq!(data(&v, "docs/pieces").unwrap(), noise(60_000));
                    assert_eq!(paths(&v).unwrap().len(), 23);
                }
            });
        }
    });
}
