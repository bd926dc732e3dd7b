//! One volume: its data, its trees, its superblock.

use std::collections::{BTreeMap, BTreeSet};

use super::btree::{self, Record, Shape, Written, flag, omap, omap_record, physical, place};
use super::layout::{NodeAt, RecordAt, VolumeLayout};
use super::name::Names;
use super::object::{Block, Disk, PHYSICAL, kind};
use super::records::{Inode, Records, Stream};
use super::volume::{Data, Item, Volume};

/// Inode numbers below are Apple's (`MIN_USER_INO_NUM`).
const FIRST_INODE: u64 = 16;
const ROOT: u64 = 2;
const PRIVATE: u64 = 3;

/// A run of blocks of a stream: logical offset, length in bytes, block (0: a hole).
type Extent = (u64, u64, u64);

/// A volume on its way to the image.
struct Writer<'a> {
    disk: &'a mut Disk,
    volume: &'a Volume,
    next: u64,
    records: Records,
    /// Blocks in use by data: first → count, owner, references.
    blocks: BTreeMap<u64, (u64, u64, u32)>,
    /// Streams of files: path → id, extents, size.
    streams: BTreeMap<String, (u64, Vec<Extent>, u64)>,
    /// Files in each stream.
    references: BTreeMap<u64, u32>,
}

/// What the container needs to know of a written volume.
pub(super) struct Done {
    pub(super) oid: u64,
    pub(super) block: u64,
    pub(super) layout: VolumeLayout,
}

impl Writer<'_> {
    fn id(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    fn rounded(&self, n: u64) -> u64 {
        n.next_multiple_of(self.disk.block_size as u64)
    }

    /// Stores the parts of a stream and returns its extents with the holes between them.
    fn store(&mut self, owner: u64, size: u64, parts: &[(u64, Vec<u8>)]) -> Vec<Extent> {
        let unit = self.disk.block_size as u64;
        let mut extents = Vec::new();
        let mut at = 0;
        for (offset, bytes) in parts {
            assert!(offset % unit == 0 && *offset >= at, "a part at {offset}");
            if *offset > at {
                extents.push((at, offset - at, 0));
            }
            let run = self.volume.extent_blocks;
            let total = (bytes.len() as u64).div_ceil(unit);
            let mut runs: Vec<Extent> = Vec::new();
            // From the last run to the first: the order on disk is not that of the file.
            for first in (0..total.div_ceil(run)).rev().map(|n| n * run) {
                let count = run.min(total - first);
                let block = self.disk.allocate(count);
                let from = super::object::usize_of(first * unit);
                let to = bytes.len().min(super::object::usize_of((first + count) * unit));
                self.disk.write(block, &bytes[from..to]);
                self.blocks.insert(block, (count, owner, 1));
                runs.push((offset + first * unit, count * unit, block));
            }
            extents.extend(runs.into_iter().rev());
            at = offset + total * unit;
        }
        let end = self.rounded(size);
        if end > at {
            extents.push((at, end - at, 0));
        }
        extents
    }

    fn extent_records(&mut self, id: u64, extents: &[Extent]) {
        for (logical, length, block) in extents {
            self.records.file_extent(id, *logical, *length, *block);
        }
    }

    /// The stream of one file: `private_id`, what the inode says of it, bytes in holes.
    fn data(&mut self, path: &str, inode: u64, item: &Item) -> (u64, Option<Stream>, Option<u64>) {
        let (id, extents, size) = match &item.data {
            Data::None => return (inode, None, None),
            Data::Parts { size, parts } => {
                let extents = self.store(inode, *size, parts);
                self.extent_records(inode, &extents);
                (inode, extents, *size)
            }
            Data::Clone(of) => {
                let (_, extents, size) = self.streams[of].clone();
                for (_, _, block) in &extents {
                    if let Some((_, _, references)) = self.blocks.get_mut(block) {
                        *references += 1;
                    }
                }
                self.extent_records(inode, &extents);
                (inode, extents, size)
            }
            Data::SharedStream(of) => self.streams[of].clone(),
        };
        *self.references.entry(id).or_default() += 1;
        let holes: u64 = extents.iter().filter(|e| e.2 == 0).map(|e| e.1).sum();
        self.streams.insert(path.to_owned(), (id, extents, size));
        let stream = Stream { size, allocated: self.rounded(size) };
        (id, Some(stream), (holes > 0).then_some(holes))
    }

    fn xattrs(&mut self, inode: u64, item: &Item) -> u64 {
        // INODE_NO_RSRC_FORK
        let mut flags = 0x8000;
        for x in &item.xattrs {
            if x.name == "com.apple.ResourceFork" {
                flags = flags & !0x8000 | 0x4000;
            }
            if x.name == "com.apple.FinderInfo" {
                flags |= 0x100;
            }
            if x.stream {
                let id = self.id();
                let size = x.value.len() as u64;
                let extents = self.store(id, size, &[(0, x.value.clone())]);
                self.extent_records(id, &extents);
                let stream = Stream { size, allocated: self.rounded(size) };
                self.records.xattr_stream(inode, &x.name, id, stream);
            } else {
                self.records.xattr_embedded(inode, &x.name, x.owned, &x.value);
            }
        }
        flags
    }

    /// All records of files and folders; the number of each path's inode.
    fn items(&mut self) -> BTreeMap<String, u64> {
        let volume = self.volume;
        let mut inodes = BTreeMap::new();
        let mut children: BTreeMap<&str, u32> = BTreeMap::new();
        let mut names: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (path, item) in &volume.items {
            if item.hard_link_to.is_none() {
                inodes.insert(path.clone(), self.id());
                names.entry(path).or_default().insert(0, path);
            }
            *children.entry(split(path).0).or_default() += 1;
        }
        for (path, item) in &volume.items {
            if let Some(to) = item.hard_link_to.as_deref() {
                let id = inodes[to];
                inodes.insert(path.clone(), id);
                names.entry(to).or_default().push(path);
            }
        }
        let parent_of = |path: &str| match split(path).0 {
            "" => ROOT,
            parent => inodes[parent],
        };
        let top = Item::top();
        for (id, name, links) in
            [(ROOT, "root", children.get("").copied().unwrap_or(0)), (PRIVATE, "private-dir", 0)]
        {
            let inode = Inode {
                id,
                parent: 1,
                private: id,
                flags: 0,
                links,
                name,
                stream: None,
                sparse: None,
            };
            self.records.inode(&top, &inode);
            self.records.dirent(volume.names, 1, name, &top, id, None);
        }
        // Streams that others share come first.
        let own = |i: &Item| !matches!(i.data, Data::Clone(_) | Data::SharedStream(_));
        let clones: BTreeSet<&str> = volume
            .items
            .values()
            .filter_map(|i| match &i.data {
                Data::Clone(of) | Data::SharedStream(of) => Some(of.as_str()),
                _ => None,
            })
            .collect();
        let (first, then): (Vec<_>, Vec<_>) = volume.items.iter().partition(|(_, i)| own(i));
        for (path, item) in first.into_iter().chain(then) {
            if item.hard_link_to.is_some() {
                continue;
            }
            let id = inodes[path];
            let mut flags = self.xattrs(id, item);
            let (private, stream, sparse) = self.data(path, id, item);
            if sparse.is_some() {
                // INODE_IS_SPARSE
                flags |= 0x200;
            }
            if clones.contains(path.as_str()) || !own(item) {
                // INODE_WAS_CLONED, INODE_WAS_EVER_CLONED
                flags |= 0x410;
            }
            if item.plain.is_some() {
                // INODE_HAS_UNCOMPRESSED_SIZE
                flags |= 0x4_0000;
            }
            let all = &names[path.as_str()];
            let links = match item.is_folder() {
                true => children.get(path.as_str()).copied().unwrap_or(0),
                false => u32::try_from(all.len()).expect("few links"),
            };
            let (parent, name) = (parent_of(path), split(path).1);
            let inode = Inode { id, parent, private, flags, links, name, stream, sparse };
            self.records.inode(item, &inode);
            for path in all {
                let (parent, name) = (parent_of(path), split(path).1);
                let sibling = (all.len() > 1).then(|| self.id());
                if let Some(sibling) = sibling {
                    self.records.sibling(id, sibling, parent, name);
                }
                self.records.dirent(volume.names, parent, name, item, id, sibling);
            }
        }
        for (id, references) in std::mem::take(&mut self.references) {
            self.records.dstream_id(id, references);
        }
        inodes
    }
}

/// The path of the folder, and the name in it.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// Writes one volume. `next_oid` is the container's next virtual object id.
pub(super) fn write(
    disk: &mut Disk,
    xid: u64,
    index: u32,
    volume: &Volume,
    next_oid: &mut u64,
) -> Done {
    let oid = *next_oid;
    *next_oid += 1;
    let block = disk.allocate(1);
    let used_before: u64 = disk.used.iter().map(|r| r.end - r.start).sum();
    let mut w = Writer {
        disk,
        volume,
        next: FIRST_INODE,
        records: Records::default(),
        blocks: BTreeMap::new(),
        streams: BTreeMap::new(),
        references: BTreeMap::new(),
    };
    let inodes = w.items();
    let Writer { next: next_inode, records, blocks, .. } = w;

    let (places, records): (Vec<_>, Vec<Record>) = records.sorted().into_iter().unzip();
    let shape = Shape {
        subtype: kind::FSTREE,
        flags: flag::KV_NONALIGNED,
        fixed: None,
        node_records: volume.node_records,
    };
    let tree = btree::write(disk, xid, shape, &records, |disk| {
        *next_oid += 1;
        (*next_oid - 1, disk.allocate(1))
    });
    let mut mappings: Vec<Record> = Vec::new();
    for node in &tree {
        mappings.push(omap_record(node.oid, xid, disk.block_size, node.block));
    }

    let mut extents = Records::default();
    for (first, (count, owner, references)) in &blocks {
        extents.physical_extent(*first, *count, *owner, *references);
    }
    let physical_tree = |disk: &mut Disk, subtype, records: Records| {
        let shape = Shape {
            subtype,
            flags: flag::PHYSICAL | flag::KV_NONALIGNED,
            fixed: None,
            node_records: volume.node_records,
        };
        let records: Vec<Record> = records.sorted().into_iter().map(|r| r.1).collect();
        btree::write(disk, xid, shape, &records, physical)
    };
    let extentref = physical_tree(disk, kind::BLOCKREFTREE, extents);
    let snapshots = physical_tree(disk, kind::SNAPMETATREE, Records::default());
    let map = omap(disk, xid, 0, &mappings, volume.node_records);
    let used: u64 = disk.used.iter().map(|r| r.end - r.start).sum();

    let mut b = Block::object(disk.block_size, oid, xid, kind::FS, 0);
    b.bytes(32, b"APSB");
    b.u32(36, index);
    // APFS_FEATURE_HARDLINK_MAP_RECORDS
    b.u64(40, 2);
    let mut incompatible = match volume.names {
        Names::Exact => 0,
        Names::NormalizationInsensitive => 8,
        Names::CaseInsensitive => 1,
    };
    if volume.sealed {
        incompatible |= 0x20;
    }
    b.u64(56, incompatible);
    b.u64(88, used - used_before);
    // wrapped_meta_crypto_state: version 5.0, class F, key revision 1.
    b.u16(96, 5);
    b.u32(104, 6);
    b.u16(112, 1);
    b.u32(116, kind::BTREE);
    b.u32(120, PHYSICAL | kind::BTREE);
    b.u32(124, PHYSICAL | kind::BTREE);
    b.u64(128, map.block);
    let root = |tree: &[Written]| tree.last().map_or(0, |n| n.oid);
    b.u64(136, root(&tree));
    b.u64(144, root(&extentref));
    b.u64(152, root(&snapshots));
    b.u64(176, next_inode);
    let count = |f: &dyn Fn(u16) -> bool| {
        let own = volume.items.values().filter(|i| i.hard_link_to.is_none());
        own.filter(|i| f(i.mode >> 12)).count() as u64
    };
    b.u64(184, count(&|t| t == 8));
    b.u64(192, count(&|t| t == 4));
    b.u64(200, count(&|t| t == 10));
    b.u64(208, count(&|t| !matches!(t, 4 | 8 | 10)));
    b.u64(224, used - used_before);
    b.bytes(240, &[0xA0 + u8::try_from(index).unwrap_or(0); 16]);
    b.u64(256, Item::top().time);
    // APFS_FS_UNENCRYPTED, or APFS_FS_ONEKEY
    b.u64(264, if volume.encrypted { 8 } else { 1 });
    b.bytes(272, b"mip-testkit");
    b.u64(304, Item::top().time);
    b.u64(312, xid);
    b.bytes(704, volume.name.as_bytes());
    b.u32(960, 3);
    b.u16(964, volume.role);
    let bytes = b.sealed();
    disk.write(block, &bytes);

    let node_at = |n: &Written| NodeAt { oid: n.oid, offset: disk.offset(n.block), level: n.level };
    let mut at = Vec::new();
    let leaves = tree.iter().filter(|n| n.level == 0);
    let parts = leaves.flat_map(|n| n.records.iter().map(move |r| (n.block, r)));
    for ((oid, kind, _, name), (block, [key, value])) in places.into_iter().zip(parts) {
        at.push(RecordAt {
            oid,
            kind,
            name: String::from_utf8(name).expect("names are text"),
            key: place(disk, block, key),
            value: place(disk, block, value),
        });
    }
    let layout = VolumeLayout {
        superblock: disk.offset(block),
        omap: disk.offset(map.block),
        omap_nodes: map.nodes.iter().map(node_at).collect(),
        fs_nodes: tree.iter().map(node_at).collect(),
        extent_nodes: extentref.iter().map(node_at).collect(),
        inodes,
        records: at,
    };
    Done { oid, block, layout }
}
