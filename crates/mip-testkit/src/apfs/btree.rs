//! B-trees, written from the leaves up.

use super::object::{Block, Disk, EPHEMERAL, HEADER, PHYSICAL, kind, usize_of};

/// `btree_info_t` at the end of a root node.
const INFO: usize = 40;
/// Where the table of contents starts.
const DATA: usize = HEADER + 24;

/// `BTREE_*` flags of the tree.
pub(super) mod flag {
    pub(crate) const ALLOW_GHOSTS: u32 = 4;
    pub(crate) const EPHEMERAL: u32 = 8;
    pub(crate) const PHYSICAL: u32 = 0x10;
    pub(crate) const KV_NONALIGNED: u32 = 0x40;
}

/// What kind of tree.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    /// `OBJECT_TYPE_*` of what the tree is for.
    pub(super) subtype: u32,
    /// Flags of the tree.
    pub(super) flags: u32,
    /// Sizes of key and value where both are fixed.
    pub(super) fixed: Option<(usize, usize)>,
    /// At most so many records in a node.
    pub(super) node_records: usize,
}

impl Shape {
    /// Bytes of the table of contents of a node with records of fixed sizes: it has room for all
    /// that the node could hold. (So in Apple's containers; the footer of a root is not counted.)
    fn table(self, block_size: usize, leaf: bool) -> Option<usize> {
        let (key, value) = self.fixed?;
        let value = if leaf { value } else { 8 };
        Some((block_size - DATA) / (key + value + 4) * 4)
    }
}

/// One record: key and value.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
}

/// A node that was written.
#[derive(Debug, Clone)]
pub(super) struct Written {
    pub(super) oid: u64,
    pub(super) block: u64,
    pub(super) level: u16,
    /// Bytes of the block that each record's key and value take, in order.
    pub(super) records: Vec<[std::ops::Range<usize>; 2]>,
}

/// Splits `records` into runs that fit one node each.
fn runs(records: &[Record], shape: Shape, block_size: usize, leaf: bool) -> Vec<&[Record]> {
    let mut out = Vec::new();
    let mut rest = records;
    while !rest.is_empty() {
        // An index node must get smaller level by level.
        let limit = if leaf { shape.node_records } else { shape.node_records.max(2) };
        let table = shape.table(block_size, leaf);
        let entry = if table.is_some() { 0 } else { 8 };
        let mut room = block_size - DATA - INFO - table.unwrap_or(0);
        let mut n = 0;
        while n < rest.len() && n < limit {
            let cost = entry + rest[n].key.len() + rest[n].value.len();
            if cost > room {
                break;
            }
            room -= cost;
            n += 1;
        }
        assert!(n > 0, "a record larger than a node");
        let (run, left) = rest.split_at(n);
        out.push(run);
        rest = left;
    }
    out
}

/// Writes a tree of `records`, which are in order. `id` names each new node: its oid and block.
/// The root comes last.
pub(super) fn write(
    disk: &mut Disk,
    xid: u64,
    shape: Shape,
    records: &[Record],
    mut id: impl FnMut(&mut Disk) -> (u64, u64),
) -> Vec<Written> {
    let mut written: Vec<Written> = Vec::new();
    let mut level_records = records.to_vec();
    let mut level = 0u16;
    loop {
        let mut parts = runs(&level_records, shape, disk.block_size, level == 0);
        if parts.is_empty() {
            parts.push(&[]);
        }
        let root = parts.len() == 1;
        let mut above = Vec::new();
        for part in parts {
            let (oid, block) = id(disk);
            if let Some(first) = part.first() {
                above.push(Record { key: first.key.clone(), value: oid.to_le_bytes().to_vec() });
            }
            let nodes = written.len() as u64 + 1;
            let info = root.then(|| info(shape, disk.block_size, records, nodes));
            let (bytes, places) = node(disk.block_size, oid, xid, shape, level, part, info);
            disk.write(block, &bytes);
            written.push(Written { oid, block, level, records: places });
        }
        if root {
            return written;
        }
        level_records = above;
        level += 1;
    }
}

fn info(shape: Shape, block_size: usize, records: &[Record], nodes: u64) -> [u8; INFO] {
    let mut b = Block(vec![0; INFO]);
    let (key, value) = shape.fixed.unwrap_or((0, 0));
    let longest = |of: fn(&Record) -> usize, least: usize| {
        records.iter().map(of).max().unwrap_or(0).max(least)
    };
    let fields = [
        shape.flags as usize,
        block_size,
        key,
        value,
        longest(|r| r.key.len(), key),
        longest(|r| r.value.len(), value),
    ];
    for (i, field) in fields.into_iter().enumerate() {
        b.u32(4 * i, u32::try_from(field).expect("a small number"));
    }
    b.u64(24, records.len() as u64);
    b.u64(32, nodes);
    b.0.try_into().expect("its size")
}

fn node(
    block_size: usize,
    oid: u64,
    xid: u64,
    shape: Shape,
    level: u16,
    records: &[Record],
    info: Option<[u8; INFO]>,
) -> (Vec<u8>, Vec<[std::ops::Range<usize>; 2]>) {
    let storage = match shape.flags {
        f if f & flag::PHYSICAL != 0 => PHYSICAL,
        f if f & flag::EPHEMERAL != 0 => EPHEMERAL,
        _ => 0,
    };
    let object = if info.is_some() { kind::BTREE } else { kind::BTREE_NODE };
    let mut b = Block::object(block_size, oid, xid, storage | object, shape.subtype);
    let flags = u16::from(info.is_some())
        | u16::from(level == 0) << 1
        | u16::from(shape.fixed.is_some()) << 2;
    b.u16(32, flags);
    b.u16(34, level);
    b.u32(36, u32::try_from(records.len()).expect("a small number"));

    let entry = if shape.fixed.is_some() { 4 } else { 8 };
    let table = shape.table(block_size, level == 0).unwrap_or(records.len().max(1) * entry);
    let keys = DATA + table;
    let end = block_size - if info.is_some() { INFO } else { 0 };
    let (mut key_at, mut value_at) = (keys, end);
    let mut places = Vec::new();
    for (i, record) in records.iter().enumerate() {
        value_at -= record.value.len();
        b.bytes(key_at, &record.key);
        b.bytes(value_at, &record.value);
        places.push([key_at..key_at + record.key.len(), value_at..value_at + record.value.len()]);
        let toc = DATA + i * entry;
        let (key_off, value_off) = (short(key_at - keys), short(end - value_at));
        if shape.fixed.is_some() {
            b.u16(toc, key_off);
            b.u16(toc + 2, value_off);
        } else {
            b.u16(toc, key_off);
            b.u16(toc + 2, short(record.key.len()));
            b.u16(toc + 4, value_off);
            b.u16(toc + 6, short(record.value.len()));
        }
        key_at += record.key.len();
    }
    assert!(key_at <= value_at, "a node that is too full");
    b.u16(40, 0);
    b.u16(42, short(table));
    b.u16(44, short(key_at - keys));
    b.u16(46, short(value_at - key_at));
    // Empty free lists.
    for list in [48, 52] {
        b.u16(list, u16::MAX);
        b.u16(list + 2, 0);
    }
    if let Some(info) = info {
        b.bytes(end, &info);
    }
    (b.sealed(), places)
}

fn short(n: usize) -> u16 {
    u16::try_from(n).expect("an offset inside a node")
}

/// Ids of physical nodes: the block is the oid.
pub(super) fn physical(disk: &mut Disk) -> (u64, u64) {
    let block = disk.allocate(1);
    (block, block)
}

/// One record of an object map.
pub(super) fn omap_record(oid: u64, xid: u64, block_size: usize, block: u64) -> Record {
    let mut value = Vec::new();
    value.extend(0u32.to_le_bytes());
    value.extend(u32::try_from(block_size).expect("a block size").to_le_bytes());
    value.extend(block.to_le_bytes());
    Record { key: [oid.to_le_bytes(), xid.to_le_bytes()].concat(), value }
}

/// An object map as it was written.
pub(super) struct Omap {
    pub(super) block: u64,
    pub(super) nodes: Vec<Written>,
}

/// Writes an object map of `records` ([`omap_record`]), in order of oid and xid.
pub(super) fn omap(
    disk: &mut Disk,
    xid: u64,
    flags: u32,
    records: &[Record],
    node_records: usize,
) -> Omap {
    let block = disk.allocate(1);
    let shape =
        Shape { subtype: kind::OMAP, flags: flag::PHYSICAL, fixed: Some((16, 16)), node_records };
    let nodes = write(disk, xid, shape, records, physical);
    let mut b = Block::object(disk.block_size, block, xid, PHYSICAL | kind::OMAP, 0);
    b.u32(32, flags);
    b.u32(40, PHYSICAL | kind::BTREE);
    b.u32(44, PHYSICAL | kind::BTREE);
    b.u64(48, nodes.last().map_or(0, |n| n.oid));
    let bytes = b.sealed();
    disk.write(block, &bytes);
    Omap { block, nodes }
}

/// A part of a block as bytes of the image.
pub(super) fn place(
    disk: &Disk,
    block: u64,
    part: &std::ops::Range<usize>,
) -> std::ops::Range<u64> {
    let start = disk.offset(block);
    debug_assert!(usize_of(start) + part.end <= disk.bytes.len());
    start + part.start as u64..start + part.end as u64
}

/// The bytes of a tree without records.
pub(super) fn lone_root(block_size: usize, oid: u64, xid: u64, shape: Shape) -> Vec<u8> {
    let info = info(shape, block_size, &[], 1);
    node(block_size, oid, xid, shape, 0, &[], Some(info)).0
}
