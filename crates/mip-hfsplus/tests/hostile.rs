//! The cases of docs/hostile-inputs.md C, each patched into a volume that is fine otherwise.

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
use std::time::Instant;

use common::{code, data, node, noise, open, paths, put, read_all};
use mip_base::{CancelToken, Code, Job, Kind, Limits, SilentProgress};
use mip_testkit::hfs::{Layout, Volume};

/// Enough entries for an index level in the catalog and several leaves.
fn sample() -> Volume {
    let mut v = Volume::new("Sample").node_size(1024, 1024).block_size(512).extents_node_size(512);
    for i in 0..30 {
        v = v.file(&format!("folder/file {i:02}"), format!("file {i}"));
    }
    v.file("pieces", noise(20_000))
        .fragment("pieces", 20)
        .file("tail", "t")
        .xattr("tail", "com.example.a", "value")
        .xattr_fork("tail", "com.example.fork", noise(9000), 10)
        .folder("a/b/c")
        .file("a/b/c/deep", "deep")
        .link("link", "tail")
        .file("one", "shared")
        .hard_link("two", "one")
        .folder("d")
        .file("d/in", "in")
        .hard_link("d again", "d")
        .decmpfs("packed", 4, &noise(100_000))
        .decmpfs("inline", 3, b"packed in the attribute")
}

/// Builds, patches, and reads everything: what comes of it, and in how long.
#[track_caller]
fn patched(
    volume: &Volume,
    patch: impl FnOnce(&mut Vec<u8>, &Layout),
) -> mip_base::Result<Vec<String>> {
    let (mut bytes, layout) = volume.build_with_layout();
    patch(&mut bytes, &layout);
    let start = Instant::now();
    let out = read_all(&bytes);
    mip_testkit::not_hanging(start);
    if let Err(e) = &out {
        assert!(!e.to_string().contains('\n'), "{e}");
    }
    out
}

/// As [`patched`], the code of the error.
#[track_caller]
fn refused(volume: &Volume, patch: impl FnOnce(&mut Vec<u8>, &Layout)) -> Code {
    code(patched(volume, patch))
}

#[test]
fn the_sample_is_fine() {
    let lines = patched(&sample(), |_, _| {}).unwrap();
    assert_eq!(lines.len(), 1 + 46);
}

#[test]
fn c01_block_size() {
    for size in [0_u32, 1, 2, 256, 511, 513, 1000, 768, 1 << 28, 1 << 31, u32::MAX] {
        let c = refused(&sample(), |b, l| {
            put(b, l.volume_header() + 40, &size.to_be_bytes());
            put(b, l.alternate_header() + 40, &size.to_be_bytes());
        });
        assert_eq!(c, Code::HfsHeader, "{size}");
    }
}

#[test]
fn c02_more_blocks_than_the_image_has() {
    for more in [1_u32, 1000, u32::MAX / 2, u32::MAX] {
        let c = refused(&sample(), |b, l| {
            let n = if more == u32::MAX { 0 } else { l.total_blocks + more }.to_be_bytes();
            put(b, l.volume_header() + 44, &n);
            put(b, l.alternate_header() + 44, &n);
        });
        assert_eq!(c, Code::HfsHeader, "{more}");
    }
    let c = refused(&sample(), |b, _| b.truncate(b.len() - 512));
    assert_eq!(c, Code::HfsHeader, "a cut image");
    for len in [0, 1, 1023, 1024, 1535, 1536] {
        assert_eq!(refused(&sample(), |b, _| b.truncate(len)), Code::HfsHeader, "{len}");
    }
}

#[test]
fn c03_wrapper_that_embeds_itself() {
    let v = sample().wrapped();
    let mdb = 1024;
    // Blocks start at sector 0, and the embedded volume at block 0: the wrapper itself.
    let c = refused(&v, |b, _| {
        put(b, mdb + 28, &[0, 0]);
        put(b, mdb + 126, &[0, 0]);
    });
    assert_eq!(c, Code::HfsHeader);
    for (at, value) in [(126, [0xFF, 0xFF]), (128, [0xFF, 0xFF]), (22, [0, 0]), (22, [0, 1])] {
        let c = refused(&v, |b, _| put(b, mdb + at, &value));
        assert_eq!(c, Code::HfsHeader, "{at}");
    }
    assert_eq!(refused(&v, |b, _| put(b, mdb + 128, &[0, 0])), Code::Truncated, "no blocks");
    assert_eq!(refused(&v, |b, _| put(b, mdb + 124, b"XX")), Code::Unsupported, "classic HFS");
}

#[test]
fn c04_header_node() {
    type Tree = fn(&Layout) -> u64;
    let trees: [Tree; 3] =
        [|l| l.catalog.header(), |l| l.extents.header(), |l| l.attributes.header()];
    for tree in trees {
        let set =
            |at: u64, value: &[u8]| refused(&sample(), |b, l| put(b, tree(l) + 14 + at, value));
        for size in [0_u16, 1, 511, 513, 768, 65535, 32769] {
            assert_eq!(set(18, &size.to_be_bytes()), Code::HfsBtree, "node size {size}");
        }
        assert_eq!(set(2, &[0xFF; 4]), Code::HfsBtree, "root node");
        assert_eq!(set(2, &[0; 4]), Code::HfsBtree, "root node 0 with a depth");
        assert_eq!(set(10, &[0xFF; 4]), Code::HfsBtree, "first leaf");
        assert_eq!(set(22, &[0xFF; 4]), Code::HfsBtree, "total nodes");
        assert_eq!(set(22, &[0; 4]), Code::HfsBtree, "total nodes");
        for depth in [0_u16, 17, 65535] {
            assert_eq!(set(0, &depth.to_be_bytes()), Code::HfsBtree, "depth {depth}");
        }
        assert_eq!(refused(&sample(), |b, l| put(b, tree(l) + 8, &[0])), Code::HfsBtree, "kind");
    }
    // A depth that the nodes do not have.
    let set = |depth: u16| {
        refused(&sample(), |b, l| put(b, l.catalog.header() + 14, &depth.to_be_bytes()))
    };
    assert_eq!(set(1), Code::HfsBtree);
    assert_eq!(set(9), Code::HfsBtree);
}

/// The leaves of the catalog in the order of their chain.
fn leaves(l: &Layout) -> Vec<(u32, u64)> {
    l.catalog.nodes.iter().filter(|n| n.height == 1).map(|n| (n.number, n.offset)).collect()
}

#[test]
fn c05_loops_in_the_chain_of_leaves() {
    let count = leaves(&sample().build_with_layout().1).len();
    assert!(count > 6, "{count} leaves");
    for from in 0..count {
        for to in 0..=from {
            let c = refused(&sample(), |b, l| {
                let leaves = leaves(l);
                put(b, leaves[from].1, &leaves[to].0.to_be_bytes());
            });
            // Seen by the order of the folders, or by the node that comes back.
            assert_eq!(c, Code::HfsBtree, "{from} to {to}");
        }
    }
    // Beyond the tree; and to an index node.
    assert_eq!(refused(&sample(), |b, l| put(b, leaves(l)[1].1, &[0xFF; 4])), Code::HfsBtree);
    let c = refused(&sample(), |b, l| {
        let root = l.catalog.nodes.iter().find(|n| n.height > 1).unwrap().number;
        put(b, leaves(l)[1].1, &root.to_be_bytes());
    });
    assert_eq!(c, Code::HfsBtree);
}

#[test]
fn c05_loops_in_the_index() {
    let (_, layout) = sample().build_with_layout();
    let root = layout.catalog.nodes.last().unwrap().clone();
    assert!(root.height > 1);
    let mut seen = 0;
    for r in &root.records {
        // The root as its own child, and the header node as a child.
        for child in [root.number, 0] {
            // The way to records that nothing looks up (threads of files) may go unseen.
            if let Err(e) = patched(&sample(), |b, _| put(b, r.data, &child.to_be_bytes())) {
                assert_eq!(e.code(), Code::HfsBtree);
                seen += 1;
            }
        }
    }
    assert!(seen >= root.records.len(), "{seen}");
}

#[test]
fn c06_record_tables() {
    let (_, layout) = sample().build_with_layout();
    for n in layout.catalog.nodes.iter().chain(&layout.attributes.nodes) {
        let end = n.offset + 1024;
        for records in [65535_u16, 510, 505] {
            let c = refused(&sample(), |b, _| put(b, n.offset + 10, &records.to_be_bytes()));
            assert_eq!(c, Code::HfsBtree, "node {}: {records}", n.number);
        }
        if n.records.len() < 2 {
            continue;
        }
        // The second record: before the first, in the descriptor, behind the node, at an end.
        for at in [13_u16, 0, 1024, 1023, 65535, 40_000] {
            let c = refused(&sample(), |b, _| put(b, end - 4, &at.to_be_bytes()));
            assert_eq!(c, Code::HfsBtree, "node {}: {at}", n.number);
        }
        let c = refused(&sample(), |b, _| put(b, end - 2, &16_u16.to_be_bytes()));
        assert_eq!(c, Code::HfsBtree, "the first record does not follow the descriptor");
    }
}

#[test]
fn c07_keys_and_names() {
    let record = |l: &Layout| l.record("folder/file 07").key;
    for len in [0_u16, 1, 5, 900, 0x7FFF, 0xFFFF] {
        let c = refused(&sample(), |b, l| put(b, record(l), &len.to_be_bytes()));
        assert!(matches!(c, Code::HfsBtree | Code::HfsRecord), "{len}: {c:?}");
    }
    for units in [0_u16, 8, 256, 0x8000, 0xFFFF] {
        let r = patched(&sample(), |b, l| put(b, record(l) + 6, &units.to_be_bytes()));
        assert_eq!(code(r), Code::HfsRecord, "{units} units");
    }
    for bad in [[0xD8, 0x00], [0xDC, 0x00], [0xDF, 0xFF]] {
        let c = refused(&sample(), |b, l| put(b, record(l) + 8, &bad));
        assert_eq!(c, Code::HfsRecord, "an unpaired surrogate");
    }
    for bad in ["", ".", ".."] {
        let units: Vec<u16> = bad.encode_utf16().collect();
        let v = Volume::new("N").file("x", "1").stored_name("x", &units);
        assert_eq!(refused(&v, |_, _| {}), Code::HfsRecord, "{bad:?}");
    }
    // An attribute's key.
    for units in [200_u16, 0xFFFF] {
        let c = refused(&sample(), |b, l| {
            put(b, l.attribute("tail", "com.example.a").key + 12, &units.to_be_bytes());
        });
        assert_eq!(c, Code::HfsRecord);
    }
}

/// Start and count of the first extent of a file's data fork, in its record.
fn extent(l: &Layout, path: &str) -> u64 {
    l.record(path).data + 88 + 16
}

#[test]
fn c08_extents() {
    let file = "folder/file 03";
    let set = |start: u32, count: u32| {
        refused(&sample(), |b, l| {
            put(b, extent(l, file), &start.to_be_bytes());
            put(b, extent(l, file) + 4, &count.to_be_bytes());
        })
    };
    assert_eq!(set(0, u32::MAX), Code::HfsExtent);
    assert_eq!(set(u32::MAX, 1), Code::HfsExtent);
    assert_eq!(set(u32::MAX, u32::MAX), Code::HfsExtent);
    // In the volume's own files.
    let (_, layout) = sample().build_with_layout();
    let own = [&layout.catalog, &layout.attributes, &layout.extents];
    for (offset, _) in own.iter().map(|t| t.extents[0]).chain([layout.bitmap]) {
        assert_eq!(set((offset / 512) as u32, 1), Code::HfsExtent, "at {offset}");
    }
    // On another file.
    let other = layout.fork("folder/file 04", false)[0].0;
    assert_eq!(set((other / 512) as u32, 1), Code::HfsExtent);
    // A size far over the blocks.
    for size in [513_u64, 1 << 40, 1 << 63, u64::MAX] {
        let c = refused(&sample(), |b, l| put(b, l.record(file).data + 88, &size.to_be_bytes()));
        assert_eq!(c, Code::HfsExtent, "{size}");
    }
    // More blocks than are described anywhere.
    for blocks in [2_u32, u32::MAX] {
        let c = refused(&sample(), |b, l| {
            put(b, l.record(file).data + 88 + 12, &blocks.to_be_bytes());
        });
        assert_eq!(c, Code::HfsExtent, "{blocks} blocks");
    }
}

#[test]
fn c08_extents_overflow() {
    for n in 0..2 {
        // Empty, and twice the first one.
        let c = refused(&sample(), |b, l| put(b, l.overflow("pieces", false, n).data, &[0; 64]));
        assert_eq!(c, Code::HfsExtent, "record {n}");
        let c = refused(&sample(), |b, l| {
            let at = l.overflow("pieces", false, n).data;
            let first = b[at as usize..at as usize + 8].to_vec();
            put(b, at + 8, &first);
        });
        assert_eq!(c, Code::HfsExtent, "record {n} overlaps itself");
        // Of another place in the fork.
        let c = refused(&sample(), |b, l| {
            put(b, l.overflow("pieces", false, n).key + 8, &[0, 0, 0, 9 + n as u8]);
        });
        assert_eq!(c, Code::HfsExtent, "record {n} of another block");
    }
    // The trees themselves.
    let v = sample().fragment_trees(12, 1);
    assert!(patched(&v, |_, _| {}).is_ok());
    let c = refused(&v, |b, l| put(b, l.overflow_of_id(4, 0).data, &[0; 64]));
    assert_eq!(c, Code::HfsExtent);
    let c = refused(&sample(), |b, l| {
        // The catalog's first extent moved onto the attributes file.
        let at = l.attributes.extents[0].0 / 512;
        put(b, l.volume_header() + 272 + 16, &(at as u32).to_be_bytes());
    });
    assert!(matches!(c, Code::HfsExtent | Code::HfsBtree), "{c:?}");
    // An attribute's fork.
    let c = refused(&sample(), |b, l| {
        put(b, l.attribute("tail", "com.example.fork").data + 8 + 12, &[0xFF; 4]);
    });
    assert_eq!(c, Code::HfsExtent);
    let c = refused(&sample(), |b, l| {
        put(b, l.attribute("tail", "com.example.fork").data + 8, &(1_u64 << 62).to_be_bytes());
    });
    assert!(matches!(c, Code::HfsExtent | Code::LimitMemory), "{c:?}");
}

/// Thousands of hard links to a file in many pieces: the pieces are collected each time, and charged.
#[test]
fn c08_extents_collected_over_and_over() {
    let v = Volume::new("Pieces").block_size(512).file("f", noise(400 * 512)).fragment("f", 400);
    let mut limits = Limits::default();
    limits.expanded_bytes = 8 << 20;
    let job = Job::new(limits, CancelToken::new(), Arc::new(SilentProgress));
    let volume = mip_hfsplus::Volume::open(Arc::new(v.build()), &job).unwrap();
    let node = volume.lookup("f", &job).unwrap().unwrap();
    let failed = (0..100).find_map(|i| volume.open_file(&node, &job).err().map(|e| (i, e.code())));
    // 392 extents of 2 KiB each time.
    assert_eq!(failed, Some((10, Code::LimitExpanded)));
}

#[test]
fn c09_folders_that_are_no_tree() {
    let id = |l: &Layout, path: &str| l.id(path).to_be_bytes();
    // A folder gets the CNID of another one: two folders with one CNID.
    for other in ["a", "folder", "d", "a/b/c"] {
        let c = refused(&sample(), |b, l| put(b, l.record("a/b").data + 8, &id(l, other)));
        assert_eq!(c, Code::HfsRecord, "a/b is {other}");
    }
    // Two files with one CNID: they would pass for one file of two names.
    let c = refused(&sample(), |b, l| put(b, l.record("tail").data + 8, &id(l, "pieces")));
    assert_eq!(c, Code::HfsRecord);
    // The root folder's CNID.
    let c = refused(&sample(), |b, l| put(b, l.record("a/b").data + 8, &[0, 0, 0, 2]));
    assert_eq!(c, Code::HfsRecord);
    // A CNID that nothing has: what was in the folder has no parent now.
    let c = refused(&sample(), |b, l| put(b, l.record("a/b").data + 8, &[0, 0, 1, 0xFF]));
    assert_eq!(c, Code::HfsRecord);
    // The folder becomes a file: its entries lie in a file.
    let c = refused(&sample(), |b, l| put(b, l.record("a/b").data, &[0, 2]));
    assert!(matches!(c, Code::HfsRecord | Code::HfsExtent), "{c:?}");
    // A thread that leads to itself, to a child, to nothing.
    for to in ["a/b", "a/b/c", "folder"] {
        let c = refused(&sample(), |b, l| put(b, l.thread("a/b").data + 4, &id(l, to)));
        assert_eq!(c, Code::HfsRecord, "thread to {to}");
    }
    // No root folder.
    let c = refused(&sample(), |b, l| put(b, l.record("").data + 8, &[0, 0, 0, 3]));
    assert_eq!(c, Code::HfsRecord);
    let c = refused(&sample(), |b, l| put(b, l.record("").data, &[0, 2]));
    assert_eq!(c, Code::HfsRecord);
    // Two folders that contain each other, out of reach of the root: the keys' parents swapped.
    let v = Volume::new("N").folder("p/q").folder("z");
    let c = refused(&v, |b, l| {
        // "q" (in p) becomes p itself: p is its own parent, and is no longer in the root.
        let p = l.id("p");
        put(b, l.record("p").data + 8, &l.id("p/q").to_be_bytes());
        put(b, l.record("p/q").data + 8, &p.to_be_bytes());
    });
    assert_eq!(c, Code::HfsRecord);
}

#[test]
fn c09_deep_nesting_is_a_limit() {
    let nested = |depth: usize| Volume::new("N").file(&vec!["d"; depth].join("/"), "x");
    assert_eq!(refused(&nested(65), |_, _| {}), Code::LimitDepth);
    let v = nested(64);
    assert!(patched(&v, |_, _| {}).is_ok());
}

#[test]
fn c10_hard_links() {
    // The number of a target that does not exist.
    for path in ["two", "d again"] {
        let c = refused(&sample(), |b, l| put(b, l.record(path).data + 44, &[0, 9, 9, 9]));
        assert_eq!(c, Code::HfsLink, "{path}");
    }
    // The target is a hard link itself, to itself.
    let c = refused(&sample(), |b, l| {
        let at = l.inode_record("one").data;
        put(b, at + 48, b"hlnkhfs+");
        let link = l.record("two").data + 44;
        let number = b[link as usize..link as usize + 4].to_vec();
        put(b, at + 44, &number);
    });
    assert_eq!(c, Code::HfsLink);
    // A link to a file that leads to a folder.
    let c = refused(&sample(), |b, l| put(b, l.inode_record("one").data, &[0, 1]));
    assert!(matches!(c, Code::HfsLink | Code::HfsRecord), "{c:?}");
    // A folder that contains a hard link to itself.
    let v = Volume::new("N")
        .folder("d/x")
        .file("d/y", "")
        .hard_link("e", "d")
        .hard_link("d/x/loop", "d");
    assert_eq!(refused(&v, |_, _| {}), Code::HfsLink);
    let (bytes, _) = v.build_with_layout();
    let v = open(&bytes).unwrap();
    let e = v.walk(&Job::default(), &mut |_| Ok(())).unwrap_err();
    assert_eq!(e.path().as_deref(), Some("d/x/loop"));
    // By name one may go round, as with `cd` on a Mac; each step is one that was asked for.
    assert_eq!(node(&v, "d/x/loop").id, node(&v, "d").id);
}

#[test]
fn c10_links_that_double_are_bounded() {
    // Each of 40 folders holds the next one twice: 2^40 paths.
    let mut v = Volume::new("N");
    for i in 0..40 {
        v = v.folder(&format!("f{i:02}"));
    }
    for i in 0..39 {
        let next = format!("f{:02}", i + 1);
        v = v.hard_link(&format!("f{i:02}/a"), &next).hard_link(&format!("f{i:02}/b"), &next);
    }
    let volume = open(&v.build()).unwrap();
    let mut n = 0;
    let e = volume.walk(&Job::default(), &mut |_| {
        n += 1;
        Ok(())
    });
    assert_eq!(code(e), Code::LimitEntries);
    // Those that come for the first time, and 100,000 more.
    assert!((100_000..100_200).contains(&n), "{n}");
}

#[test]
fn c11_decmpfs() {
    let kinds = [0_u32, 2, 5, 6, 13, 14, 99, u32::MAX];
    for path in ["packed", "inline"] {
        let attribute = |l: &Layout| l.attribute(path, "com.apple.decmpfs").data + 16;
        for kind in kinds {
            let e = patched(&sample(), |b, l| put(b, attribute(l) + 4, &kind.to_le_bytes()));
            let e = e.unwrap_err();
            assert!(
                matches!(e.kind(), Kind::Unsupported | Kind::Malformed),
                "{path} {kind}: {e:?}"
            );
        }
        for size in [1_u64, 1 << 20, 1 << 63, u64::MAX] {
            let r = patched(&sample(), |b, l| put(b, attribute(l) + 8, &size.to_le_bytes()));
            assert!(r.is_err(), "{path} {size}");
        }
        assert!(patched(&sample(), |b, l| put(b, attribute(l), b"XXXX")).is_err(), "{path}");
    }
    // The resource fork is shorter than its table, and tables that lie.
    let (_, layout) = sample().build_with_layout();
    let fork = layout.fork("packed", true)[0].0;
    let table = fork + 0x100;
    for (at, value) in [(4, [0xFF; 4]), (4, [0; 4]), (8, [0xFF; 4]), (12, [0xFF; 4]), (16, [0; 4])]
    {
        let r = patched(&sample(), |b, _| put(b, table + at, &value));
        assert!(r.is_err(), "{at}: {value:?}");
    }
    for size in [0_u64, 1, 15, 260, 300] {
        let r =
            patched(&sample(), |b, l| put(b, l.record("packed").data + 168, &size.to_be_bytes()));
        assert!(r.is_err(), "a resource fork of {size} bytes");
    }
    // Listing goes on over a damaged header; the flag alone means nothing.
    let v = Volume::new("N").file("x", "as it is").flags("x", 0x20);
    assert_eq!(data(&open(&v.build()).unwrap(), "x").unwrap(), b"as it is");
}

#[test]
fn c12_names_at_the_edge() {
    let long = "n".repeat(255);
    let v = Volume::new("N")
        .file(&long, "long")
        .file("a:b", "colon")
        .file("z", "nul")
        .stored_name("z", &[0, 0, 0x7A]);
    let v = open(&v.build()).unwrap();
    assert_eq!(paths(&v).unwrap(), ["a:b", &long, "\u{2400}\u{2400}z"]);
    assert_eq!(data(&v, &long).unwrap(), b"long");
    assert_eq!(data(&v, "a:b").unwrap(), b"colon");
    // One name in two spellings that the volume takes for the same: the order of the catalog is
    // broken, and the second is another entry of the listing, not a second file of one name.
    let twice: Vec<u16> = "a\u{200d}".encode_utf16().collect();
    let v = Volume::new("N").file("a", "1").file("b", "2").stored_name("b", &twice);
    assert_eq!(paths(&open(&v.build()).unwrap()).unwrap(), ["a", "a\u{200d}"]);
    // Twice the same name is none.
    let v = Volume::new("N").file("a", "1").file("b", "2").stored_name("b", &[0x61]);
    assert_eq!(refused(&v, |_, _| {}), Code::HfsRecord);
}

#[test]
fn c13_a_dirty_journal_is_noted() {
    let v = sample().journaled(1 << 16);
    let (mut bytes, layout) = v.build_with_layout();
    let clean = read_all(&bytes).unwrap();
    assert!(clean[0].contains("notes: []"), "{}", clean[0]);
    let (info, header) = layout.journal.unwrap();
    let end = u64::from_be_bytes(bytes[header as usize + 16..][..8].try_into().unwrap());
    let little = u64::from_le_bytes(end.to_be_bytes());
    let moved =
        if end < 1 << 32 { (end + 512).to_be_bytes() } else { (little + 512).to_le_bytes() };
    put(&mut bytes, header + 16, &moved);
    let dirty = read_all(&bytes).unwrap();
    assert!(dirty[0].contains("the journal is not empty"), "{}", dirty[0]);
    assert_eq!(clean[1..], dirty[1..]);
    // A journal that cannot be read is no reason to stop.
    put(&mut bytes, header, b"XXXX");
    assert!(read_all(&bytes).unwrap()[0].contains("journal cannot be read"));
    put(&mut bytes, info + 36, &[0xFF; 8]);
    assert!(read_all(&bytes).unwrap()[0].contains("journal cannot be read"));
    put(&mut bytes, layout.volume_header() + 12, &[0xFF; 4]);
    assert!(read_all(&bytes).unwrap()[0].contains("journal cannot be read"));
}

#[test]
fn c14_names_that_differ_by_case_are_two_files() {
    let v = Volume::new("N").case_sensitive(true).file("readme", "1").file("README", "2");
    let v = open(&v.build()).unwrap();
    assert!(v.info().case_sensitive);
    assert_eq!(paths(&v).unwrap(), ["README", "readme"]);
    assert_eq!(data(&v, "README").unwrap(), b"2");
    assert_eq!(data(&v, "readme").unwrap(), b"1");
}

#[test]
fn c14_hfsx_that_folds() {
    let v = Volume::new("N").case_sensitive(true).file("Readme", "1");
    let (mut bytes, layout) = v.build_with_layout();
    put(&mut bytes, layout.catalog.header() + 14 + 37, &[0xCF]);
    let v = open(&bytes).unwrap();
    assert!(v.info().hfsx && !v.info().case_sensitive);
    assert_eq!(data(&v, "README").unwrap(), b"1");
    put(&mut bytes, layout.catalog.header() + 14 + 37, &[0x17]);
    assert_eq!(code(open(&bytes)), Code::HfsHeader);
}

/// Every byte of every structure, each set to a few values: an error or another reading, but no
/// panic, no loop, no hang.
#[test]
fn sweep_of_all_structures() {
    let v = Volume::new("S")
        .block_size(512)
        .node_size(512, 512)
        .extents_node_size(512)
        .file("f/pieces", noise(6000))
        .fragment("f/pieces", 10)
        .file("f/x", "x")
        .hard_link("h", "f/x")
        .xattr("f/x", "a", "value")
        .link("l", "f/x")
        .decmpfs("c", 3, b"packed packed packed");
    let (bytes, layout) = v.build_with_layout();
    let good = read_all(&bytes).unwrap();
    let mut places: Vec<u64> = (0..512).map(|i| layout.volume_header() + i).collect();
    for tree in [&layout.catalog, &layout.extents, &layout.attributes] {
        places.extend((0..128).map(|i| tree.header() + i));
        for n in &tree.nodes {
            places.extend((0..14).map(|i| n.offset + i));
            places.extend(n.records.iter().flat_map(|r| r.key..r.end));
            places.extend((500..512).map(|i| n.offset + i));
        }
    }
    let (mut refused, mut same, mut other) = (0, 0, 0);
    let mut image = bytes.clone();
    for at in places {
        let at = at as usize;
        for value in [0, 0xFF, bytes[at] ^ 1, bytes[at] ^ 0x80, bytes[at].wrapping_add(2)] {
            image[at] = value;
            let one = Instant::now();
            match read_all(&image) {
                Err(e) => {
                    assert!(
                        matches!(e.kind(), Kind::Malformed | Kind::Limit | Kind::Unsupported),
                        "{at}: {e:?}"
                    );
                    refused += 1;
                }
                Ok(lines) if lines == good => same += 1,
                Ok(_) => other += 1,
            }
            mip_testkit::not_hanging(one);
        }
        image[at] = bytes[at];
    }
    assert!(refused > 1000 && same > 1000 && other > 1000, "{refused} {same} {other}");
}
