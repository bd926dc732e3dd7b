//! Containers of an independent generator, read whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use mip_apfs::Found;
use mip_base::{Code, EntryKind, Job, Limits, ReadAt as _, SilentProgress};
use mip_testkit::apfs::{Container, Decmpfs, Names, Volume};

use crate::common::{bytes, mount, open, walk};

/// Bytes that no two blocks have in common.
fn noise(len: usize, seed: u32) -> Vec<u8> {
    let mut x = seed;
    (0..len)
        .map(|_| {
            x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (x >> 24) as u8
        })
        .collect()
}

const TYPES: [Decmpfs; 9] = [
    Decmpfs::Plain,
    Decmpfs::ZlibInline,
    Decmpfs::ZlibFork,
    Decmpfs::LzvnInline,
    Decmpfs::LzvnFork,
    Decmpfs::MarkedInline,
    Decmpfs::MarkedFork,
    Decmpfs::LzfseInline,
    Decmpfs::LzfseFork,
];

/// A volume with one of everything.
fn full(block: u64) -> Volume {
    let text = b"all work and no play makes a dull reader; ".repeat(4000);
    let mut v = Volume::new("Everything")
        .file("read me.txt", "Hello")
        .mode(0o4755)
        .owner(501, 20)
        .time(1_600_000_000)
        .file("empty", "")
        .file("docs/large.bin", noise(700_001, 1))
        .hard_link("docs/again.bin", "docs/large.bin")
        .hard_link("third.bin", "docs/large.bin")
        .clone_of("clone.bin", "docs/large.bin")
        .shared_stream("shared.bin", "docs/large.bin")
        .sparse("holes.bin", 9 * block + 5, &[(block, b"one"), (6 * block, b"two")])
        .symlink("link", "docs/large.bin")
        .symlink("broken", "../nowhere/at all")
        .folder("a folder/with/many/levels")
        .file("Caf\u{e9}/\u{212b}ngstr\u{f6}m", "composed")
        .file("stra\u{df}e", "sharp s")
        .special("pipe", 0o010_644)
        .special("device", 0o020_644)
        .special("socket", 0o140_644)
        .xattr("read me.txt", "com.example.small", b"value")
        .xattr("read me.txt", "com.example.large", &noise(9000, 2))
        .xattr_stream("docs", "com.example.stream", b"of a folder")
        .xattr("empty", "com.apple.ResourceFork", b"a fork");
    for how in TYPES {
        let data = if how as u32 % 2 == 1 { &text[..3000] } else { &text[..] };
        v = v.decmpfs(&format!("packed/{how:?}"), how, data);
    }
    v
}

fn check(volume: &Volume, container: Container) {
    let (image, _) = container.volume(volume.clone()).build();
    let job = Job::default();
    let read = mount(&image).unwrap();
    let found: BTreeMap<String, Found> =
        walk(&read).unwrap().into_iter().map(|f| (f.path.clone(), f)).collect();
    let want = volume.contents();
    assert_eq!(found.keys().collect::<Vec<_>>(), want.iter().map(|c| &c.path).collect::<Vec<_>>());
    for c in want {
        let node = &found[&c.path].node;
        assert_eq!(EntryKind::from_mode(c.mode.into()), Some(node.kind), "{}", c.path);
        assert_eq!(node.mode, u32::from(c.mode) & 0o7777, "{}", c.path);
        assert_eq!((node.uid, node.gid), (c.uid, c.gid), "{}", c.path);
        assert_eq!(node.mtime, c.seconds as i64, "{}", c.path);
        assert_eq!(read.lookup(&c.path, &job).unwrap().as_ref(), Some(node), "{}", c.path);
        match node.kind {
            EntryKind::File => {
                assert_eq!(node.size, c.bytes.len() as u64, "{}", c.path);
                assert!(
                    bytes(&read.open_file(node, &job).unwrap()).unwrap() == c.bytes,
                    "{}",
                    c.path
                );
            }
            EntryKind::Symlink => {
                assert_eq!(Some(read.read_link(node, &job).unwrap()), c.link);
                assert_eq!(node.size, c.link.unwrap().len() as u64);
            }
            EntryKind::Directory => {
                let below = format!("{}/", c.path);
                let names: Vec<String> = found
                    .keys()
                    .filter_map(|p| p.strip_prefix(&below))
                    .filter(|p| !p.contains('/'))
                    .map(str::to_owned)
                    .collect();
                let listed = read.children(node, &job).unwrap();
                assert_eq!(listed.iter().map(|(n, _)| n.clone()).collect::<Vec<_>>(), names);
                for (name, child) in listed {
                    assert_eq!(child, found[&format!("{below}{name}")].node);
                }
            }
            _ => {}
        }
    }
}

#[test]
fn everything_reads_with_every_block_size() {
    for block in [4096, 8192, 16384, 65536] {
        check(&full(block), Container::new().block_size(block as usize));
    }
}

#[test]
fn everything_reads_with_every_way_to_compare_names() {
    for names in [Names::Exact, Names::NormalizationInsensitive, Names::CaseInsensitive] {
        check(&full(4096).names(names), Container::new());
    }
}

#[test]
fn everything_reads_from_deep_trees_and_small_extents() {
    for records in [2, 3, 5, 17] {
        check(&full(4096).node_records(records).extent_blocks(2), Container::new());
    }
}

#[test]
fn a_file_of_more_extents_than_are_kept_at_a_time() {
    let data = noise(3000 * 4096 - 17, 9);
    let v = Volume::new("v").file("many", data.clone()).extent_blocks(1);
    let (image, _) = Container::new().volume(v).build();
    let (job, volume) = (Job::default(), mount(&image).unwrap());
    let node = volume.lookup("many", &job).unwrap().unwrap();
    let source = volume.open_file(&node, &job).unwrap();
    assert!(bytes(&source).unwrap() == data);
    // Back and forth across the windows.
    for at in [2999 * 4096, 0, 1024 * 4096 - 1, 2048 * 4096, 1023 * 4096, 5] {
        let mut buf = [0; 5000];
        let n = source.read_at(at as u64, &mut buf).unwrap();
        assert!(n > 0);
        assert_eq!(buf[..n], data[at..at + n]);
    }
}

#[test]
fn the_order_is_parents_first_and_bytes_of_names() {
    let v = Volume::new("v")
        .file("b/2", "")
        .file("b/1", "")
        .file("b.x", "")
        .file("A", "")
        .file("a", "");
    let (image, _) = Container::new().volume(v.names(Names::Exact)).build();
    let order: Vec<String> =
        walk(&mount(&image).unwrap()).unwrap().into_iter().map(|f| f.path).collect();
    assert_eq!(order, ["A", "a", "b", "b/1", "b/2", "b.x"]);
}

#[test]
fn names_compare_as_the_volume_says() {
    let job = Job::default();
    let build = |names| {
        let v = Volume::new("v").file("Caf\u{e9}/Stra\u{df}e", "x").names(names);
        mount(&Container::new().volume(v).build().0).unwrap()
    };
    let has = |v: &mip_apfs::Volume, path: &str| v.lookup(path, &job).unwrap().is_some();
    let v = build(Names::CaseInsensitive);
    assert!(!v.info().case_sensitive);
    for path in ["Caf\u{e9}/Stra\u{df}e", "cafe\u{301}/strasse", "CAF\u{c9}/STRASSE"] {
        assert!(has(&v, path), "{path}");
    }
    assert!(!has(&v, "cafe/strasse"));
    let v = build(Names::NormalizationInsensitive);
    assert!(v.info().case_sensitive && v.info().normalization_insensitive);
    assert!(has(&v, "Cafe\u{301}/Stra\u{df}e"));
    assert!(!has(&v, "caf\u{e9}/Stra\u{df}e"));
    let v = build(Names::Exact);
    assert!(has(&v, "Caf\u{e9}/Stra\u{df}e"));
    assert!(!has(&v, "Cafe\u{301}/Stra\u{df}e"));
    assert!(!has(&v, "Caf\u{e9}/Stra\u{df}e/x"));
    assert_eq!(v.lookup("", &job).unwrap().unwrap(), v.root());
}

#[test]
fn hard_links_are_one_file_and_clones_are_not() {
    let (image, _) = Container::new().volume(full(4096)).build();
    let (job, v) = (Job::default(), mount(&image).unwrap());
    let node = |path: &str| v.lookup(path, &job).unwrap().unwrap();
    let file = node("docs/large.bin");
    assert_eq!((file.links, file.id), (3, node("third.bin").id));
    assert_eq!(file, node("docs/again.bin"));
    assert_ne!(file.id, node("clone.bin").id);
    assert_eq!(node("clone.bin").links, 1);
}

#[test]
fn attributes_and_forks() {
    let (image, _) = Container::new().volume(full(4096)).build();
    let (job, v) = (Job::default(), mount(&image).unwrap());
    let node = |path: &str| v.lookup(path, &job).unwrap().unwrap();
    let list = |path: &str| -> Vec<(String, u64)> {
        let all = v.xattrs(&node(path), &job).unwrap();
        all.into_iter().map(|x| (x.name, x.size)).collect()
    };
    let file = node("read me.txt");
    assert_eq!(
        list("read me.txt"),
        [("com.example.large".to_owned(), 9000), ("com.example.small".to_owned(), 5)]
    );
    let read = |name: &str, limit| v.xattr(&file, name, limit, &job);
    assert_eq!(read("com.example.small", 5).unwrap().unwrap(), b"value");
    assert_eq!(read("com.example.large", 9000).unwrap().unwrap(), noise(9000, 2));
    assert_eq!(read("com.example.large", 8999).unwrap_err().code(), Code::LimitMemory);
    assert_eq!(read("com.example", 9).unwrap(), None);
    assert_eq!(list("docs"), [("com.example.stream".to_owned(), 11)]);
    let empty = node("empty");
    assert_eq!(empty.resource_fork, 6);
    assert_eq!(bytes(&v.resource_fork(&empty, &job).unwrap().unwrap()).unwrap(), b"a fork");
    // What holds the data of a compressed file or the target of a link is not listed.
    assert_eq!(list("link"), []);
    for how in TYPES {
        let packed = node(&format!("packed/{how:?}"));
        assert_eq!(packed.compressed, Some(how as u32));
        assert_eq!(packed.resource_fork, 0);
        assert!(v.resource_fork(&packed, &job).unwrap().is_none());
        assert_eq!(list(&format!("packed/{how:?}")), []);
    }
}

#[test]
fn a_finder_alias_is_known_by_its_flag() {
    let mut info = [0; 32];
    info[..8].copy_from_slice(b"alisMACS");
    info[8] = 0x80;
    let v = Volume::new("v")
        .file("alias", "")
        .file("plain", "")
        .xattr("alias", "com.apple.FinderInfo", &info)
        .xattr("plain", "com.apple.FinderInfo", &[0; 32]);
    let (image, _) = Container::new().volume(v).build();
    let found = walk(&mount(&image).unwrap()).unwrap();
    let flags: Vec<bool> = found.iter().map(|f| f.node.finder_alias).collect();
    assert_eq!(flags, [true, false]);
}

#[test]
fn reads_of_any_size_give_the_same_bytes() {
    let v = Volume::new("v")
        .file("plain", noise(20_000, 3))
        .sparse("holes", 30_000, &[(4096, b"one"), (20_480, b"two")])
        .decmpfs("packed", Decmpfs::LzvnFork, &noise(70_000, 4))
        .extent_blocks(1);
    let want = v.contents();
    let (image, _) = Container::new().volume(v).build();
    let (job, volume) = (Job::default(), mount(&image).unwrap());
    for c in want {
        let node = volume.lookup(&c.path, &job).unwrap().unwrap();
        let source = volume.open_file(&node, &job).unwrap();
        for step in [1, 7, 511, 4097, 65_537] {
            let mut at = 0;
            let mut buf = vec![0; step];
            while at < c.bytes.len() {
                let n = source.read_at(at as u64, &mut buf).unwrap();
                assert!(n > 0, "{} at {at}", c.path);
                assert!(buf[..n] == c.bytes[at..at + n], "{} at {at} by {step}", c.path);
                at += n;
            }
            assert_eq!(source.read_at(at as u64, &mut buf).unwrap(), 0);
            assert_eq!(source.read_at(u64::MAX, &mut buf).unwrap(), 0);
        }
    }
}

#[test]
fn all_volumes_of_a_container_and_the_newest_checkpoint() {
    let (image, _) = Container::new()
        .volume(Volume::new("old").file("old", "o"))
        .checkpoint()
        .volume(Volume::new("System").role(1).file("a", "1"))
        .volume(Volume::new("Data").role(0x40).names(Names::Exact).file("b", "2"))
        .build();
    let (job, container) = (Job::default(), open(&image).unwrap());
    let list = container.volumes();
    assert_eq!(list.len(), 2);
    assert_eq!((list[0].name.as_str(), list[0].role), ("System", Some("System")));
    assert_eq!((list[1].name.as_str(), list[1].role), ("Data", Some("Data")));
    assert!(!list[0].case_sensitive && list[1].case_sensitive);
    assert!(container.notes().is_empty());
    let names = |i| -> Vec<String> {
        walk(&container.volume(i, &job).unwrap()).unwrap().into_iter().map(|f| f.path).collect()
    };
    assert_eq!((names(0), names(1)), (vec!["a".to_owned()], vec!["b".to_owned()]));
    assert_eq!(container.volume(2, &job).unwrap_err().code(), Code::NoEntry);
}

#[test]
fn limits_on_entries_depth_and_names_hold() {
    let v = Volume::new("v").file("a/b/c/d", "").file("a/b/c/e", "");
    let (image, _) = Container::new().volume(v).build();
    let volume = mount(&image).unwrap();
    let run = |limits: Limits| {
        let job = Job::new(limits, mip_base::CancelToken::new(), Arc::new(SilentProgress));
        volume.walk(&job, &mut |_| Ok(())).map_err(|e| e.code())
    };
    let base = Limits::default;
    assert_eq!(run(base()), Ok(()));
    let mut l = base();
    l.entries = 3;
    assert_eq!(run(l), Err(Code::LimitEntries));
    let mut l = base();
    l.path_depth = 3;
    assert_eq!(run(l), Err(Code::Limit));
    let mut l = base();
    l.path_bytes = 6;
    assert_eq!(run(l), Err(Code::Limit));
    let mut l = base();
    l.path_bytes_kept = 4;
    assert_eq!(run(l), Err(Code::LimitMemory));
}

#[test]
fn many_threads_read_one_volume() {
    let v = full(4096).node_records(4);
    let want = v.contents();
    let (image, _) = Container::new().volume(v).build();
    let volume = mount(&image).unwrap();
    std::thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| {
                let job = Job::default();
                for c in want.iter().filter(|c| c.mode & 0o170_000 == 0o100_000) {
                    let node = volume.lookup(&c.path, &job).unwrap().unwrap();
                    assert!(bytes(&volume.open_file(&node, &job).unwrap()).unwrap() == c.bytes);
                }
            });
        }
    });
}
