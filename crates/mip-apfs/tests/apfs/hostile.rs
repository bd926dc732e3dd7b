//! The cases of `docs/hostile-inputs.md`, section D. Each ends in the error that is named, and
//! soon; checksums are right unless they are what is wrong.

use std::sync::Arc;
use std::time::Instant;

use mip_apfs::Container as Reader;
use mip_base::{CancelToken, Code, Job, Limits, ReadAt as _, SilentProgress};
use mip_testkit::apfs::{Container, Layout, Names, RecordAt, Volume, VolumeLayout, fix_checksum};

use crate::common::{bytes, code_of, mount, open, read_all, walk};

const BLOCK: u64 = 4096;

/// A volume with trees of three levels.
fn volume() -> Volume {
    Volume::new("v")
        .file("a/b/file", vec![7; 10_000])
        .hard_link("a/other name", "a/b/file")
        .file("z/two", "2")
        .symlink("z/link", "two")
        .xattr("z/two", "com.example", b"x")
        .extent_blocks(1)
        .node_records(3)
}

fn build() -> (Vec<u8>, Layout) {
    Container::new().volume(volume()).build()
}

fn first(layout: &Layout) -> &VolumeLayout {
    &layout.newest().volumes[0]
}

fn u16_at(image: &[u8], at: u64) -> u64 {
    let at = at as usize;
    u16::from_le_bytes([image[at], image[at + 1]]).into()
}

/// Where the value of record `i` of the node in the block at `node` is.
fn value_of(image: &[u8], node: u64, i: u64) -> u64 {
    let flags = u16_at(image, node + 32);
    let (width, field) = if flags & 4 != 0 { (4, 2) } else { (8, 4) };
    let back = u16_at(image, node + 56 + i * width + field);
    let info = if flags & 1 != 0 { 40 } else { 0 };
    node + BLOCK - info - back
}

/// Patches a copy and says how reading it ends.
fn with(image: &[u8], layout: &Layout, at: u64, to: &[u8]) -> Code {
    let mut copy = image.to_vec();
    layout.patch(&mut copy, at, to);
    let start = Instant::now();
    let code = code_of(&copy);
    mip_testkit::not_hanging(start);
    code
}

fn strict(change: impl Fn(&mut Limits)) -> Job {
    let mut limits = Limits::default();
    change(&mut limits);
    Job::new(limits, CancelToken::new(), Arc::new(SilentProgress))
}

#[test]
fn the_image_itself_is_read() {
    assert!(read_all(&build().0).unwrap() > 10_000);
}

#[test]
fn d01_block_size() {
    let (image, layout) = build();
    for size in [0, 1, 512, 2048, 4095, 4097, 12_288, 1 << 17, 1 << 31, u32::MAX] {
        let code = with(&image, &layout, 36, &size.to_le_bytes());
        assert_eq!(code, Code::ApfsContainer, "{size}");
    }
    // A block size that could be, but is not the container's: another checksum, or no ring.
    let mut copy = image.clone();
    copy[36..40].copy_from_slice(&8192_u32.to_le_bytes());
    fix_checksum(&mut copy, 8192, 0);
    assert!(read_all(&copy).is_err());
}

#[test]
fn d01_cut_container() {
    let (image, _) = build();
    for len in (0..5000).step_by(499).chain((5000..image.len()).step_by(4099)) {
        let cut = open(&image[..len]);
        if len < 4096 {
            assert_eq!(cut.unwrap_err().code(), Code::ApfsContainer, "{len}");
        } else if let Ok(c) = cut {
            assert!(c.notes()[0].contains("cut"), "{len}");
        }
    }
}

#[test]
fn d02_ring_length_and_place() {
    let (image, layout) = build();
    for blocks in [0, 16_385, 0x7fff_ffff_u32] {
        assert_eq!(with(&image, &layout, 0x68, &blocks.to_le_bytes()), Code::ApfsContainer);
    }
    assert_eq!(with(&image, &layout, 0x68, &u32::MAX.to_le_bytes()), Code::Unsupported);
    for base in [image.len() as u64 / BLOCK - 1, 1 << 40, u64::MAX] {
        assert_eq!(with(&image, &layout, 0x70, &base.to_le_bytes()), Code::ApfsContainer);
    }
    let top = layout.newest().superblock;
    for (start, len) in [(0, 0), (0, 1), (1000, 2), (0, 1000), (u32::MAX, u32::MAX), (2, 3)] {
        let mut copy = image.clone();
        layout.patch(&mut copy, top + 0x88, &start.to_le_bytes());
        layout.patch(&mut copy, top + 0x8c, &len.to_le_bytes());
        assert_eq!(code_of(&copy), Code::ApfsContainer, "{start} {len}");
    }
}

#[test]
fn d02_no_good_checkpoint() {
    let (mut image, layout) = build();
    for at in layout.descriptors.clone().step_by(BLOCK as usize) {
        image[at as usize + 100] ^= 1;
    }
    assert_eq!(code_of(&image), Code::ApfsContainer);
}

#[test]
fn d02_one_older_checkpoint_is_tried_and_named() {
    let old = |name: &str| Volume::new(name).file(name, "");
    let (image, layout) = Container::new()
        .volume(old("one"))
        .checkpoint()
        .volume(old("two"))
        .checkpoint()
        .volume(old("three"))
        .build();
    let name = |image: &[u8]| walk(&mount(image).unwrap()).unwrap()[0].path.clone();
    assert_eq!(name(&image), "three");
    for at in [layout.newest().superblock, layout.newest().map] {
        let mut copy = image.clone();
        copy[at as usize + 200] ^= 1;
        assert_eq!(name(&copy), "two");
        let container = open(&copy).unwrap();
        assert!(container.notes()[0].contains("newest checkpoint is damaged"));
        // And not a second time.
        copy[layout.checkpoints[1].superblock as usize + 200] ^= 1;
        assert_eq!(code_of(&copy), Code::ApfsContainer);
    }
}

#[test]
fn d03_a_wrong_checksum_on_any_object() {
    let (image, layout) = build();
    let (top, v) = (layout.newest(), first(&layout));
    let mut objects = vec![0, top.omap, v.superblock, v.omap];
    for nodes in [&top.omap_nodes, &v.omap_nodes, &v.fs_nodes] {
        objects.extend(nodes.iter().map(|n| n.offset));
    }
    assert!(objects.len() > 15);
    for at in objects {
        for byte in [0, 17, 2000, 4095] {
            let mut copy = image.clone();
            copy[at as usize + byte] ^= 0x40;
            assert_eq!(code_of(&copy), Code::ApfsChecksum, "{at} {byte}");
        }
    }
}

#[test]
fn d04_loops_in_object_maps_and_trees() {
    let (image, layout) = build();
    let v = first(&layout);
    for nodes in [&v.omap_nodes, &v.fs_nodes] {
        let root = nodes.last().unwrap();
        assert!(root.level >= 2);
        for parent in nodes.iter().filter(|n| n.level > 0) {
            let at = value_of(&image, parent.offset, 0);
            // The node itself, the root, each other node, nothing.
            let others = nodes.iter().map(|n| n.oid).chain([0, 1, u64::MAX]);
            let right = u64::from_le_bytes(image[at as usize..][..8].try_into().unwrap());
            for oid in others.filter(|oid| *oid != right) {
                let code = with(&image, &layout, at, &oid.to_le_bytes());
                let fine = [Code::ApfsBtree, Code::ApfsObject, Code::ApfsChecksum];
                assert!(fine.contains(&code), "{parent:?} to {oid}: {code:?}");
            }
        }
    }
}

#[test]
fn d04_levels_that_lie() {
    let (image, layout) = build();
    let v = first(&layout);
    for node in v.omap_nodes.iter().chain(&v.fs_nodes) {
        for level in [0_u16, 1, 2, 3, 15, 16, 1000, u16::MAX] {
            if level == node.level {
                continue;
            }
            let code = with(&image, &layout, node.offset + 34, &level.to_le_bytes());
            assert!(matches!(code, Code::ApfsBtree | Code::LimitDepth), "{node:?} {level}");
        }
    }
    let root = v.fs_nodes.last().unwrap();
    assert_eq!(with(&image, &layout, root.offset + 34, &1000_u16.to_le_bytes()), Code::LimitDepth);
}

#[test]
fn d04_objects_of_another_number_or_type() {
    let (image, layout) = build();
    let (top, v) = (layout.newest(), first(&layout));
    for at in [top.omap, v.superblock, v.omap, v.omap_nodes[0].offset, v.fs_nodes[0].offset] {
        assert_eq!(with(&image, &layout, at + 8, &9_u64.to_le_bytes()), Code::ApfsObject);
        assert_eq!(with(&image, &layout, at + 24, &0x1e_u32.to_le_bytes()), Code::ApfsObject);
    }
    // The map has no entry for the root, or only a newer or a deleted one.
    let root = v.fs_nodes.last().unwrap().oid;
    for leaf in v.omap_nodes.iter().filter(|n| n.level == 0) {
        let count = u16_at(&image, leaf.offset + 36);
        for i in 0..count {
            let value = value_of(&image, leaf.offset, i);
            let key = leaf.offset
                + 56
                + u16_at(&image, leaf.offset + 42)
                + u16_at(&image, leaf.offset + 56 + 4 * i);
            let oid = u64::from_le_bytes(image[key as usize..][..8].try_into().unwrap());
            if oid == root {
                assert_eq!(with(&image, &layout, value, &1_u32.to_le_bytes()), Code::ApfsObject);
                assert_eq!(with(&image, &layout, value + 4, &[0; 4]), Code::ApfsObject);
                for block in [u64::MAX, 1 << 40, 0] {
                    let code = with(&image, &layout, value + 8, &block.to_le_bytes());
                    assert_eq!(code, Code::ApfsObject, "{block}");
                }
                // The flag for "encrypted" in a volume that is not.
                assert_eq!(with(&image, &layout, value, &4_u32.to_le_bytes()), Code::ApfsObject);
            }
        }
    }
}

#[test]
fn d05_counts_and_areas_of_nodes() {
    let (image, layout) = build();
    let (top, v) = (layout.newest(), first(&layout));
    let trees = [&top.omap_nodes, &v.omap_nodes, &v.fs_nodes];
    for node in trees.into_iter().flatten() {
        for count in [u32::MAX, 1 << 31, 0x1_0000, 513] {
            let code = with(&image, &layout, node.offset + 36, &count.to_le_bytes());
            assert_eq!(code, Code::ApfsBtree, "{node:?} {count}");
        }
        // The table, the free space: anywhere but where they are.
        for field in [40, 42, 44, 46] {
            for to in [0x7fff_u16, 0x8000, 0xfff0, u16::MAX] {
                let code = with(&image, &layout, node.offset + field, &to.to_le_bytes());
                assert_eq!(code, Code::ApfsBtree, "{node:?} {field} {to}");
            }
        }
        // Key and value of the first record: outside, negative, across the areas.
        let fields: &[u64] =
            if u16_at(&image, node.offset + 32) & 4 != 0 { &[0, 2] } else { &[0, 2, 4, 6] };
        for field in fields {
            for to in [0x0fff_u16, 0x7fff, 0x8000, 0xfff8, u16::MAX] {
                let code = with(&image, &layout, node.offset + 56 + field, &to.to_le_bytes());
                assert_eq!(code, Code::ApfsBtree, "{node:?} {field} {to}");
            }
        }
    }
}

#[test]
fn d06_fixed_records_in_a_tree_of_variable_ones_and_the_reverse() {
    let (image, layout) = build();
    let v = first(&layout);
    for node in v.omap_nodes.iter().chain(&v.fs_nodes) {
        let flags = u16::try_from(u16_at(&image, node.offset + 32)).unwrap() ^ 4;
        let code = with(&image, &layout, node.offset + 32, &flags.to_le_bytes());
        assert_eq!(code, Code::ApfsBtree, "{node:?}");
    }
    // Keys and values of an object map that are not of 16 bytes.
    let info = v.omap_nodes.last().unwrap().offset + BLOCK - 40;
    for at in [info + 8, info + 12] {
        assert_eq!(with(&image, &layout, at, &8_u32.to_le_bytes()), Code::ApfsBtree);
    }
    assert_eq!(with(&image, &layout, info + 4, &8192_u32.to_le_bytes()), Code::ApfsBtree);
}

/// The place of the inode number in a folder entry.
fn names(v: &VolumeLayout, path: &str) -> u64 {
    v.dirent(path).value.start
}

#[test]
fn d07_folders_in_circles_and_with_two_parents() {
    let v = Volume::new("v").folder("a/b/x").folder("c").file("a/file", "1").file("a/last", "2");
    let (image, layout) = Container::new().volume(v).build();
    let at = first(&layout);
    let id = |path: &str| at.inodes[path].to_le_bytes();
    // Its grandfather, its father, itself, the root, a folder elsewhere.
    for to in ["a", "a/b", "a/b/x", "c"] {
        if to != "a/b/x" {
            assert_eq!(with(&image, &layout, names(at, "a/b/x"), &id(to)), Code::ApfsRecord);
        }
    }
    assert_eq!(with(&image, &layout, names(at, "a/b/x"), &2_u64.to_le_bytes()), Code::ApfsRecord);
    // No such inode, and one of another type.
    for to in [0, 1, 99_999, u64::MAX] {
        assert_eq!(with(&image, &layout, names(at, "a/file"), &to.to_le_bytes()), Code::ApfsRecord);
    }
    assert_eq!(with(&image, &layout, names(at, "a/file"), &id("c")), Code::ApfsRecord);
    // Two names of a file that has one.
    assert_eq!(with(&image, &layout, names(at, "a/file"), &id("a/last")), Code::ApfsRecord);
    // A circle that the root does not lead to is not seen, and holds nothing up.
    let mut copy = image.clone();
    layout.patch(&mut copy, names(at, "a/b/x"), &id("a"));
    layout.patch(&mut copy, names(at, "a"), &id("a/b/x"));
    let paths: Vec<String> =
        walk(&mount(&copy).unwrap()).unwrap().into_iter().map(|f| f.path).collect();
    assert_eq!(paths, ["a", "c"]);
}

#[test]
fn d07_names_that_are_none() {
    let v = Volume::new("v").file("ab", "1").file("abc", "2").names(Names::Exact);
    let (image, layout) = Container::new().volume(v).build();
    let at = first(&layout);
    let name = |path: &str| at.dirent(path).key.end - path.len() as u64 - 1;
    for to in [&b".."[..], b"a/", b".\0", b"/a", b"aaa"] {
        assert_eq!(with(&image, &layout, name("ab"), to), Code::ApfsRecord, "{to:?}");
    }
    assert_eq!(with(&image, &layout, name("abc"), b"\xff\xff\xff"), Code::ApfsRecord);
    // Out of order.
    assert_eq!(with(&image, &layout, name("ab"), b"zz"), Code::ApfsBtree);
    // The hash of another name: a search would not find what a walk does.
    let v = Volume::new("v").file("ab", "1");
    let (image, layout) = Container::new().volume(v).build();
    let at = first(&layout).dirent("ab").key.end - 3;
    assert_eq!(with(&image, &layout, at, b"cd"), Code::ApfsRecord);
}

#[test]
fn d08_extents_that_cannot_be() {
    let (image, layout) = build();
    let at = first(&layout);
    let extents: Vec<&RecordAt> = {
        let id = at.inodes["a/b/file"];
        at.records.iter().filter(|r| r.oid == id && r.kind == 8).collect()
    };
    assert_eq!(extents.len(), 3);
    let value = extents[1].value.start;
    for len in [0, 1, 4095, 8192, (1 << 56) - 4096, (1 << 56) - 1] {
        assert_eq!(with(&image, &layout, value, &u64::to_le_bytes(len)), Code::ApfsExtent, "{len}");
    }
    let blocks = image.len() as u64 / BLOCK;
    for block in [blocks, 1 << 40, u64::MAX] {
        let code = with(&image, &layout, value + 8, &block.to_le_bytes());
        assert_eq!(code, Code::ApfsExtent, "{block}");
    }
    // Not at a block of the file.
    let key = extents[1].key.start + 8;
    assert_eq!(with(&image, &layout, key, &4097_u64.to_le_bytes()), Code::ApfsExtent);
}

#[test]
fn d09_hard_links_that_contradict_each_other() {
    let (image, layout) = build();
    let at = first(&layout);
    let file = at.inodes["a/b/file"];
    let all =
        |kind: u8| -> Vec<&RecordAt> { at.records.iter().filter(|r| r.kind == kind).collect() };
    assert_eq!((all(5).len(), all(12).len()), (2, 2));
    for map in all(12) {
        let code = with(&image, &layout, map.value.start, &(file + 1).to_le_bytes());
        assert_eq!(code, Code::ApfsRecord);
    }
    for link in all(5) {
        for to in [0, 2, file] {
            let code = with(&image, &layout, link.value.start, &u64::to_le_bytes(to));
            assert_eq!(code, Code::ApfsRecord);
        }
        assert_eq!(with(&image, &layout, link.value.start + 10, b"#"), Code::ApfsRecord);
        assert_eq!(with(&image, &layout, link.value.start + 8, &[0xff; 2]), Code::ApfsRecord);
    }
    // The sibling number in an entry: its only extended field.
    for path in ["a/b/file", "a/other name"] {
        let entry = at.dirent(path);
        let code = with(&image, &layout, entry.value.end - 8, &77_u64.to_le_bytes());
        assert_eq!(code, Code::ApfsRecord);
    }
    // Fewer links than names.
    let inode = at.record("a/b/file", 3).value.start;
    assert_eq!(with(&image, &layout, inode + 0x38, &1_u32.to_le_bytes()), Code::ApfsRecord);
}

#[test]
fn d10_an_encrypted_volume_is_never_read_as_if_it_were_not() {
    let (image, _) = Container::new().volume(volume().encrypted_marker()).build();
    let (job, container) = (Job::default(), open(&image).unwrap());
    assert!(container.volumes()[0].encrypted);
    let e = container.volume(0, &job).unwrap_err();
    // A generated volume may say that it has a key per file; then no password helps.
    assert!(matches!(e.code(), Code::PasswordMissing | Code::Unsupported));
    let e = container.unlock(0, b"password", &job).unwrap_err();
    assert!(matches!(e.code(), Code::Unsupported | Code::ApfsKeybag), "{e}");
}

#[test]
fn d11_dataless_files_are_listed_and_not_opened() {
    let v = Volume::new("v").file("cloud", "data").bsd_flags(0x4000_0000);
    let (image, _) = Container::new().volume(v).build();
    let (job, volume) = (Job::default(), mount(&image).unwrap());
    let node = &walk(&volume).unwrap()[0].node;
    let e = volume.open_file(node, &job).err().unwrap();
    assert_eq!(e.code(), Code::Unsupported);
    assert!(e.message().contains("dataless"));
}

#[test]
fn d11_a_sparse_file_of_8_eib_costs_nothing() {
    let size = i64::MAX as u64;
    let (mut image, layout) = Container::new().volume(Volume::new("v").file("f", "data")).build();
    let inode = first(&layout).record("f", 3).clone();
    // The data stream is the extended field that has the size 4.
    let bytes_of = &image[inode.value.start as usize..inode.value.end as usize];
    let at = (0x5c..=bytes_of.len() - 40)
        .rev()
        .find(|at| {
            bytes_of[*at..*at + 16] == [4_u64.to_le_bytes(), 4096_u64.to_le_bytes()].concat()
        })
        .unwrap();
    layout.patch(&mut image, inode.value.start + at as u64, &size.to_le_bytes());
    let (job, volume) = (Job::default(), mount(&image).unwrap());
    let node = walk(&volume).unwrap()[0].node.clone();
    assert_eq!(node.size, size);
    let source = volume.open_file(&node, &job).unwrap();
    let mut buf = [1; 100];
    assert_eq!(source.read_at(size - 50, &mut buf).unwrap(), 50);
    assert_eq!(buf[..50], [0; 50]);
    assert_eq!(source.read_at(0, &mut buf[..4]).unwrap(), 4);
    assert_eq!(&buf[..4], b"data");
    // What is copied out counts.
    let job = strict(|l| l.expanded_bytes = 1000);
    let source = volume.open_file(&node, &job).unwrap();
    let e = source.read_at(1 << 40, &mut [0; 2000]).unwrap_err();
    let e = mip_base::Error::from_io(Code::InputIo, "reading", e);
    assert_eq!(e.code(), Code::LimitExpanded);
}

#[test]
fn d12_what_is_refused_by_name() {
    let job = Job::default();
    let (image, _) = Container::new().volume(volume()).fusion_marker().build();
    let e = open(&image).unwrap_err();
    assert_eq!(e.code(), Code::Unsupported);
    assert!(e.message().contains("Fusion"));

    let (image, _) =
        Container::new().volume(volume().sealed_marker()).volume(Volume::new("plain")).build();
    let container = open(&image).unwrap();
    assert!(container.volumes()[0].sealed);
    let e = container.volume(0, &job).unwrap_err();
    assert_eq!(e.code(), Code::Unsupported);
    assert!(e.message().contains("sealed"));
    container.volume(1, &job).unwrap();

    let (image, layout) = build();
    let v = first(&layout).superblock;
    assert_eq!(with(&image, &layout, v + 0x38, &0x41_u64.to_le_bytes()), Code::Unsupported);
    assert_eq!(with(&image, &layout, v + 0xa0, &1_u64.to_le_bytes()), Code::Unsupported);
    for features in [1, 0x8002, u64::MAX] {
        assert_eq!(with(&image, &layout, 0x40, &u64::to_le_bytes(features)), Code::Unsupported);
    }
    // A hashed node in a volume that is not marked as sealed.
    let leaf = first(&layout).fs_nodes[0].offset;
    assert_eq!(with(&image, &layout, leaf + 32, &0xa_u16.to_le_bytes()), Code::Unsupported);
}

#[test]
fn d12_too_many_volumes() {
    let (image, layout) = build();
    for slots in [101, u32::MAX] {
        let at = layout.newest().superblock + 0xb4;
        assert_eq!(with(&image, &layout, at, &slots.to_le_bytes()), Code::Limit);
    }
    let two = Container::new().volume(Volume::new("a")).volume(Volume::new("b")).build().0;
    let job = strict(|l| l.apfs_volumes = 1);
    let e = Reader::open(Arc::new(two), &job).unwrap_err();
    assert_eq!((e.code(), e.limit_and_value()), (Code::Limit, Some((1, 2))));
}

#[test]
fn a_window_of_zeros_is_not_invented() {
    // A hole in the middle reads as zeros, the data behind it as it is.
    let v = Volume::new("v").sparse("f", 5 * BLOCK, &[(0, b"a"), (4 * BLOCK, b"b")]);
    let (image, _) = Container::new().volume(v).build();
    let (job, volume) = (Job::default(), mount(&image).unwrap());
    let node = volume.lookup("f", &job).unwrap().unwrap();
    let data = bytes(&volume.open_file(&node, &job).unwrap()).unwrap();
    assert_eq!((data[0], data[1], data[4 * 4096]), (b'a', 0, b'b'));
}
