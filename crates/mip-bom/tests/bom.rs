//! Real Bom files against what bsdtar unpacks, and built ones, right and wrong.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    clippy::panic,
    clippy::string_slice,
    missing_docs
)]

mod build;

use std::io::Read as _;
use std::sync::Arc;

use build::{BomBuilder, Item};
use mip_base::{Code, EntryKind, Error, Job, Limits, ReadAt};
use mip_bom::{Bom, BomPath};
use mip_codec::Compression;
use mip_testkit::shared::{expected, fixtures};

fn paths(bytes: Vec<u8>) -> Result<Vec<BomPath>, Error> {
    let job = Job::default();
    Bom::open(Arc::new(bytes), &job)?.paths(&job)
}

fn code(bytes: Vec<u8>) -> Code {
    paths(bytes).unwrap_err().code()
}

/// The text between `open` and `close`, for a look into a TOC that no reader of ours takes.
fn between<'a>(text: &'a str, open: &str, close: &str) -> &'a str {
    let at = text.find(open).unwrap() + open.len();
    &text[at..at + text[at..].find(close).unwrap()]
}

fn decode(kind: Compression, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    mip_codec::decoder(kind, Box::new(bytes), &Job::default())
        .unwrap()
        .read_to_end(&mut out)
        .unwrap();
    out
}

/// All members named `Bom` of a flat package.
fn boms_of(package: &[u8]) -> Vec<Vec<u8>> {
    let toc_len = u64::from_be_bytes(package[8..16].try_into().unwrap()) as usize;
    let heap = &package[28 + toc_len..];
    let toc = String::from_utf8(decode(Compression::Zlib, &package[28..28 + toc_len])).unwrap();
    let mut out = Vec::new();
    for file in toc.split("<file ").filter(|f| f.contains("<name>Bom</name>")) {
        let data = between(file, "<data>", "</data>");
        let offset: usize = between(data, "<offset>", "<").parse().unwrap();
        let length: usize = between(data, "<length>", "<").parse().unwrap();
        let stored = &heap[offset..offset + length];
        out.push(match between(data, "<encoding style=\"", "\"") {
            "application/octet-stream" => stored.to_vec(),
            "application/x-gzip" => decode(Compression::Zlib, stored),
            "application/x-bzip2" => decode(Compression::Bzip2, stored),
            other => panic!("{other}"),
        });
    }
    out
}

/// Path, type and size as the expectations have them: folders have size 0, links the length
/// of their target.
fn listed(p: &BomPath) -> (String, String, u64) {
    let (kind, size) = match p.kind {
        EntryKind::File => ("file", p.size),
        EntryKind::Directory => ("dir", 0),
        EntryKind::Symlink => ("symlink", p.link.as_deref().unwrap_or("").len() as u64),
        _ => ("other", p.size),
    };
    (p.path.as_str().to_owned(), kind.to_owned(), size)
}

#[test]
fn the_paths_of_every_shared_package_are_what_its_payload_holds() {
    let Some(dir) = fixtures("mip-bom packages") else { return };
    let mut compared = 0;
    for folder in ["pkg-flat", "pkg-signed", "synthetic"] {
        let mut names: Vec<_> = std::fs::read_dir(dir.join(folder))
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .filter(|n| n.ends_with(".pkg"))
            .collect();
        names.sort();
        for name in names {
            let boms = boms_of(&std::fs::read(dir.join(folder).join(&name)).unwrap());
            let mut lists: Vec<Vec<BomPath>> =
                boms.into_iter().map(|b| paths(b).unwrap()).collect();
            let json = expected(&dir, &format!("{folder}/{name}"));
            for component in json["pkg"]["components"].as_array().unwrap() {
                // bsdtar cannot read pbzx: that payload is not in the expectation.
                let Some(payload) = component["payload"].as_array() else { continue };
                let mut want: Vec<(String, String, u64)> = payload
                    .iter()
                    .map(|p| {
                        (
                            p[0].as_str().unwrap().into(),
                            p[1].as_str().unwrap().into(),
                            p[2].as_u64().unwrap(),
                        )
                    })
                    .collect();
                want.sort();
                // Where a record has no size, only the path and the kind can be compared.
                let same = |list: &Vec<BomPath>| {
                    let mut got: Vec<_> = list.iter().map(listed).collect();
                    got.sort();
                    got.len() == want.len()
                        && got.iter().zip(&want).all(|(g, w)| {
                            let p = list.iter().find(|p| p.path.as_str() == g.0).unwrap();
                            let apple_double = p.path.file_name().starts_with("._");
                            assert!(p.complete || p.kind == EntryKind::Directory || apple_double);
                            (&g.0, &g.1) == (&w.0, &w.1) && (g.2 == w.2 || !p.complete)
                        })
                };
                let found = lists.iter().position(same).unwrap_or_else(|| {
                    let all: Vec<_> = lists.iter().flatten().map(listed).collect();
                    let missing: Vec<_> = want.iter().filter(|w| !all.contains(w)).collect();
                    let more: Vec<_> = all.iter().filter(|l| !want.contains(l)).take(20).collect();
                    panic!("{folder}/{name}: no Bom has {missing:?}; Boms also have {more:?}")
                });
                lists.remove(found);
                compared += 1;
            }
        }
    }
    assert!(compared >= 19, "{compared} components compared");
}

// `cksum` and `stat` over the file as cpio unpacks it: arcade-Simple.pkg, Sample.txt.
#[test]
fn a_record_of_apples_says_what_the_file_system_says() {
    let Some(dir) = fixtures("mip-bom record") else { return };
    let package = std::fs::read(dir.join("pkg-flat/arcade-Simple.pkg")).unwrap();
    let list = paths(boms_of(&package).remove(0)).unwrap();
    let [file] = list.as_slice() else { panic!("{list:?}") };
    assert_eq!(file.path.as_str(), "Sample.txt");
    assert_eq!((file.mode, file.size), (0o644, 12));
    assert_eq!((file.uid, file.gid, file.mtime), (0, 0, 0x671a_8cfd));
    assert_eq!(file.checksum, 2_146_730_865);
}

fn sample() -> Vec<Item> {
    vec![
        Item::root(),
        // Children may come before their parent in the tree.
        Item::file(4, 3, "b", 5),
        Item::folder(3, 1, "a"),
        Item::file(5, 1, "a.txt", 6),
        Item::link(6, 3, "l", b"../x\0"),
    ]
}

#[test]
fn paths_are_sorted_with_folders_before_what_is_in_them() {
    for per_leaf in [1, 2, 100] {
        let list = paths(BomBuilder::paths(&sample(), per_leaf).build()).unwrap();
        let names: Vec<_> = list.iter().map(|p| p.path.as_str()).collect();
        assert_eq!(names, ["a", "a/b", "a/l", "a.txt"]);
        assert_eq!(list[2].link.as_deref(), Some("../x"));
        assert_eq!(list[2].checksum, 7);
        assert_eq!((list[1].uid, list[1].gid, list[1].mtime), (501, 20, 1_700_000_000));
        assert_eq!(list[1].checksum, 0x1234_5678);
        assert_eq!(list[0].checksum, 0);
    }
}

#[test]
fn a_bom_of_paths_only_has_kinds_and_no_more() {
    let mut items = sample();
    for i in &mut items {
        i.record.truncate(4);
    }
    let list = paths(BomBuilder::paths(&items, 100).build()).unwrap();
    assert_eq!(list[0].kind, EntryKind::Directory);
    assert_eq!(list[2].kind, EntryKind::Symlink);
    assert_eq!(list[2].link, None);
    assert_eq!((list[1].mode, list[1].size, list[1].complete), (0, 0, false));
}

/// The record of `sample()[1]` is in block 4 of the builder: three blocks for each item.
fn with_size64(size: u64) -> Vec<u8> {
    let mut b = BomBuilder::paths(&sample(), 100);
    let large = b.block(size.to_be_bytes().to_vec());
    let record = b.block(4u32.to_be_bytes().to_vec());
    b.tree(b"Size64", &[(large, record)], 100);
    b.build()
}

#[test]
fn sizes_over_32_bits_come_from_their_own_tree() {
    let list = paths(with_size64((7 << 32) + 5)).unwrap();
    assert_eq!(list[1].size, (7 << 32) + 5);
    assert_eq!(list[3].size, 6);
    // The low half stands in the record too: if it differs, one of the two is wrong.
    assert_eq!(code(with_size64((7 << 32) + 6)), Code::Bom);
}

#[test]
fn f10_block_indexes_and_ranges_that_leave_the_file_are_refused() {
    let good = BomBuilder::paths(&sample(), 100).build();
    assert_eq!(paths(good.clone()).unwrap().len(), 4);
    // Header: offsets and lengths of the block table and the variables.
    for at in [16, 20, 24, 28] {
        for value in [0, 1, good.len() as u32, u32::MAX] {
            let mut bad = good.clone();
            bad[at..at + 4].copy_from_slice(&u32::to_be_bytes(value));
            if bad != good {
                assert_eq!(code(bad), Code::Bom, "{at} {value}");
            }
        }
    }
    // The count of blocks, where the table has no room for it.
    let table = u32::from_be_bytes(good[16..20].try_into().unwrap()) as usize;
    for count in [u32::MAX, 0x2000_0000, 0] {
        let mut bad = good.clone();
        bad[table..table + 4].copy_from_slice(&count.to_be_bytes());
        assert_eq!(code(bad), Code::Bom, "{count}");
    }
    // Each block's offset and length in turn.
    // (The first is the root's record, which nothing reads.)
    for block in 2..17 {
        for field in [0, 4] {
            let at = table + 4 + block * 8 + field;
            let mut bad = good.clone();
            bad[at..at + 4].copy_from_slice(&u32::MAX.to_be_bytes());
            assert_eq!(code(bad), Code::Bom, "block {block}");
        }
    }
    // An index that no block has, in a pair and in a record.
    let mut b = BomBuilder::paths(&sample(), 100);
    let leaf = b.blocks.len() - 2;
    b.blocks[leaf][12..16].copy_from_slice(&9999u32.to_be_bytes());
    assert_eq!(code(b.build()), Code::Bom);
    let mut b = BomBuilder::paths(&sample(), 100);
    b.blocks[5][4..8].copy_from_slice(&u32::MAX.to_be_bytes());
    assert_eq!(code(b.build()), Code::Bom);
}

#[test]
fn f10_circles_of_nodes_and_parents_are_refused() {
    // A leaf that leads to itself, and to the inner node above.
    let mut b = BomBuilder::paths(&sample(), 2);
    let (last_leaf, inner) = (b.blocks.len() - 3, b.blocks.len() - 2);
    b.blocks[last_leaf][4..8].copy_from_slice(&(last_leaf as u32).to_be_bytes());
    assert_eq!(code(b.build()), Code::Bom);
    b.blocks[last_leaf][4..8].copy_from_slice(&(inner as u32).to_be_bytes());
    assert_eq!(code(b.build()), Code::Bom);
    // An inner node that is its own child.
    let mut b = BomBuilder::paths(&sample(), 2);
    b.blocks[inner][12..16].copy_from_slice(&(inner as u32).to_be_bytes());
    assert_eq!(code(b.build()), Code::Bom);
    // Parents: itself, two in a circle, none.
    for parents in [[3, 1], [4, 3], [99, 1]] {
        let items =
            [Item::root(), Item::folder(3, parents[0], "a"), Item::folder(4, parents[1], "b")];
        let items: Vec<_> = if parents == [4, 3] {
            vec![items[0].clone(), Item::folder(3, 4, "a"), Item::folder(4, 3, "b")]
        } else {
            items.to_vec()
        };
        assert_eq!(code(BomBuilder::paths(&items, 100).build()), Code::Bom, "{parents:?}");
    }
}

#[test]
fn f10_counts_ids_and_records_that_contradict_are_refused() {
    // A node that claims more entries than it has room for.
    let mut b = BomBuilder::paths(&sample(), 100);
    let leaf = b.blocks.len() - 2;
    b.blocks[leaf][2..4].copy_from_slice(&u16::MAX.to_be_bytes());
    assert_eq!(code(b.build()), Code::Bom);
    // A tree that claims more, or fewer, than its leaves have.
    for count in [4u32, 6, u32::MAX] {
        let mut b = BomBuilder::paths(&sample(), 100);
        let tree = b.blocks.len() - 1;
        b.blocks[tree][16..20].copy_from_slice(&count.to_be_bytes());
        assert_eq!(code(b.build()), Code::Bom);
    }
    let twice = |a: Item| {
        let mut items = sample();
        items.push(a);
        code(BomBuilder::paths(&items, 100).build())
    };
    assert_eq!(twice(Item::file(4, 1, "other", 1)), Code::Bom, "id twice");
    assert_eq!(twice(Item::file(9, 3, "b", 1)), Code::Bom, "path twice");
    assert_eq!(twice(Item::file(0, 1, "zero", 1)), Code::Bom, "id 0");
    for record in [
        vec![],
        vec![1, 1, 0],
        vec![1, 1, 0, 15, 0x81],
        build::record(1, 0o040_755, 1),
        build::record(2, 0o100_755, 1),
        build::record(9, 0, 1),
        build::record(4, 0, 1),
        build::record(1, 0o100_644, 1),
    ] {
        assert_eq!(twice(Item::new(9, 1, "r", record.clone())), Code::Bom, "{record:?}");
    }
    for target in [&b"no-nul"[..], b"a\0b\0", b"\xff\0"] {
        assert_eq!(twice(Item::link(9, 1, "r", target)), Code::Bom, "{target:?}");
    }
    let mut long = Item::link(9, 1, "r", b"x\0");
    long.record[27..31].copy_from_slice(&u32::MAX.to_be_bytes());
    assert_eq!(twice(long), Code::Bom);
}

#[test]
fn names_that_are_not_the_name_of_one_file_are_refused() {
    for name in ["", ".", "..", "a/b", "/"] {
        let mut items = sample();
        items.push(Item::file(9, 3, name, 1));
        assert_eq!(code(BomBuilder::paths(&items, 100).build()), Code::PathUnsafe, "{name:?}");
    }
    let mut items = sample();
    items.push(Item::file(9, 3, "x", 1));
    items.last_mut().unwrap().name = vec![0xff];
    assert_eq!(code(BomBuilder::paths(&items, 100).build()), Code::PathUnsafe);
    items.last_mut().unwrap().name = vec![b'x'; 300];
    assert_eq!(code(BomBuilder::paths(&items, 100).build()), Code::Bom);
}

#[test]
fn many_entries_that_share_one_long_block_cost_nothing() {
    let mut b = BomBuilder::new();
    // One name of a mebibyte without an end, named by every entry.
    let record = b.block(Item::root().record);
    let name = b.block([&1u32.to_be_bytes()[..], &vec![b'x'; 1 << 20]].concat());
    let mut pairs = Vec::new();
    for id in 1..20_000u32 {
        pairs.push((b.block([id.to_be_bytes(), record.to_be_bytes()].concat()), name));
    }
    b.tree(b"Paths", &pairs, 500);
    let start = std::time::Instant::now();
    assert_eq!(code(b.build()), Code::Bom);
    assert!(start.elapsed().as_secs() < 5);
}

#[test]
fn limits_hold() {
    let bytes = BomBuilder::paths(&sample(), 100).build();
    let job = |change: fn(&mut Limits)| {
        let mut limits = Limits::default();
        change(&mut limits);
        Job::new(limits, mip_base::CancelToken::new(), Arc::new(mip_base::SilentProgress))
    };
    let run = |job: Job| Bom::open(Arc::new(bytes.clone()), &job)?.paths(&job);
    assert_eq!(run(job(|l| l.small_file = 600)).unwrap_err().code(), Code::LimitMemory);
    assert_eq!(run(job(|l| l.entries = 4)).unwrap_err().code(), Code::LimitEntries);
    assert_eq!(run(job(|l| l.path_bytes_kept = 5)).unwrap_err().code(), Code::LimitEntries);
    assert_eq!(run(job(|l| l.entries = 5)).unwrap().len(), 4);
}

/// A source that hands out one byte at a time.
struct OneByte(Vec<u8>);

impl ReadAt for OneByte {
    fn size(&self) -> u64 {
        self.0.size()
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<usize> {
        let n = buf.len().min(1);
        self.0.read_at(offset, &mut buf[..n])
    }
}

#[test]
fn reads_of_one_byte_give_the_same() {
    let bytes = with_size64((1 << 32) + 5);
    let job = Job::default();
    let slow = Bom::open(Arc::new(OneByte(bytes.clone())), &job).unwrap().paths(&job).unwrap();
    assert_eq!(slow, paths(bytes).unwrap());
}

#[test]
fn no_changed_byte_and_no_cut_panics() {
    let good = BomBuilder::paths(&sample(), 2).build();
    for i in (0..32).chain(512..good.len()) {
        for value in [0, 0xff, good[i].wrapping_add(1), good[i].wrapping_sub(1)] {
            let mut bad = good.clone();
            bad[i] = value;
            let _ = paths(bad);
        }
    }
    for len in 0..good.len() {
        assert!(paths(good[..len].to_vec()).is_err(), "cut to {len}");
    }
}

#[test]
fn a_record_with_a_mode_and_zeros_is_not_complete() {
    let flags = |fill: bool| {
        let mut items = sample();
        let r = &mut items[1].record;
        r[3] = 1;
        if !fill {
            r[6..22].fill(0);
        }
        paths(BomBuilder::paths(&items, 100).build()).unwrap()[1].clone()
    };
    // As Apple's tools record the AppleDouble files that they add.
    let bare = flags(false);
    assert_eq!((bare.complete, bare.mode, bare.size, bare.checksum), (false, 0o644, 0, 0));
    let filled = flags(true);
    assert_eq!((filled.complete, filled.size, filled.uid), (true, 5, 501));
}
