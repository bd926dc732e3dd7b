//! Nodes of B-trees, checked once when they are read ("B-Trees" in Apple's reference).

use std::cmp::Ordering;

use mip_base::bytes::{le_u16, le_u32, le_u64, slice};
use mip_base::{Code, Error, Result};

use crate::object::{HEADER, Header, kind};
use crate::records;

/// Deepest tree that is followed. Sixteen levels of even two children hold more records
/// than a container has blocks for.
pub(crate) const MAX_DEPTH: u16 = 16;

/// Bytes from the start of a node to its storage area.
const DATA: usize = HEADER + 24;
/// Bytes of `btree_info_t` at the end of a root node.
const INFO: usize = 40;

const ROOT: u16 = 1;
const LEAF: u16 = 2;
const FIXED: u16 = 4;
const HASHED: u16 = 8;
const NO_HEADER: u16 = 0x10;

/// `BTREE_PHYSICAL`: children are named by block number.
pub(crate) const INFO_PHYSICAL: u32 = 0x10;

/// Which tree: the order of its keys and the form of its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Object map: 16-byte keys and 16-byte values.
    Omap,
    /// File system records; `hashed`: folder entries have a hash before their name.
    Fs {
        /// See [`Kind::Fs`].
        hashed: bool,
    },
}

impl Kind {
    fn subtype(self) -> u32 {
        match self {
            Kind::Omap => kind::OMAP,
            Kind::Fs { .. } => kind::FSTREE,
        }
    }

    /// Order of two whole keys.
    pub(crate) fn compare(self, a: &[u8], b: &[u8]) -> Ordering {
        match self {
            Kind::Omap => (le_u64(a, 0), le_u64(a, 8)).cmp(&(le_u64(b, 0), le_u64(b, 8))),
            Kind::Fs { hashed } => records::compare(a, b, hashed),
        }
    }
}

/// Where key and value of a record lie in a node's block.
#[derive(Debug, Clone, Copy)]
struct Place {
    key: u16,
    key_len: u16,
    value: u16,
    value_len: u16,
}

/// A node whose table, keys and values are inside it, with its keys in order.
#[derive(Debug)]
pub(crate) struct Node {
    data: Vec<u8>,
    places: Vec<Place>,
    pub(crate) oid: u64,
    /// 0 for a leaf.
    pub(crate) level: u16,
    /// `bt_flags` of a root node.
    pub(crate) info_flags: u32,
}

fn bad(what: impl Into<String>) -> Error {
    Error::new(Code::ApfsBtree, what)
}

fn usize16(b: &[u8], at: usize) -> Option<usize> {
    le_u16(b, at).map(usize::from)
}

impl Node {
    /// Checks a block that holds a node. `root`: it must be a root node.
    pub(crate) fn parse(data: Vec<u8>, header: Header, tree: Kind, root: bool) -> Result<Self> {
        let want = if root { kind::BTREE } else { kind::BTREE_NODE };
        if header.kind != want || header.subtype != tree.subtype() {
            return Err(Error::new(
                Code::ApfsObject,
                format!(
                    "object {} has type {}/{}, not the tree node {want}/{} that was looked for",
                    header.oid,
                    header.kind,
                    header.subtype,
                    tree.subtype()
                ),
            ));
        }
        let short = || bad("a tree node is shorter than its header");
        let d = data.as_slice();
        let flags = le_u16(d, HEADER).ok_or_else(short)?;
        let level = le_u16(d, 34).ok_or_else(short)?;
        let count = le_u32(d, 36).ok_or_else(short)?;
        let [table_at, table_len, free_at, free_len] =
            [40, 42, 44, 46].map(|at| usize16(d, at).unwrap_or(usize::MAX));
        if flags & (HASHED | NO_HEADER) != 0 {
            return Err(Error::new(
                Code::Unsupported,
                "sealed APFS volumes (hashed trees) are not supported",
            ));
        }
        if (flags & ROOT != 0) != root || (flags & LEAF != 0) != (level == 0) {
            return Err(bad(format!("a tree node of level {level} has the flags {flags:#x}")));
        }
        if level >= MAX_DEPTH {
            return Err(Error::limit(
                Code::LimitDepth,
                "levels of a tree",
                u64::from(MAX_DEPTH),
                u64::from(level).saturating_add(1),
            ));
        }
        let fixed = flags & FIXED != 0;
        if fixed != (tree == Kind::Omap) {
            return Err(bad("the form of a tree node's table is not that of its tree"));
        }
        let mut end = d.len();
        let mut info_flags = 0;
        if root {
            end = end.checked_sub(INFO).ok_or_else(short)?;
            info_flags = le_u32(d, end).ok_or_else(short)?;
            let size = le_u32(d, end.saturating_add(4)).ok_or_else(short)?;
            if usize::try_from(size) != Ok(d.len()) {
                return Err(bad(format!("a tree has nodes of {size} bytes, not of one block")));
            }
            let sizes = (le_u32(d, end.saturating_add(8)), le_u32(d, end.saturating_add(12)));
            if fixed && sizes != (Some(16), Some(16)) {
                return Err(bad("an object map has keys or values that are not of 16 bytes"));
            }
        }
        // Table, keys (growing up), free space, values (growing down), in this order.
        let keys = DATA.saturating_add(table_at).saturating_add(table_len);
        let keys_end = keys.saturating_add(free_at);
        let values = keys_end.saturating_add(free_len);
        if values > end {
            return Err(bad("the areas of a tree node leave the node"));
        }
        let width: usize = if fixed { 4 } else { 8 };
        let n = usize::try_from(count).unwrap_or(usize::MAX);
        if n.checked_mul(width).is_none_or(|bytes| bytes > table_len) {
            return Err(bad(format!("a tree node claims {count} records, more than its table")));
        }
        if n == 0 && !root {
            return Err(bad("a tree node that is not the root is empty"));
        }
        let mut places = Vec::with_capacity(n);
        let table = slice(d, DATA.saturating_add(table_at), table_len).ok_or_else(short)?;
        for entry in table.chunks_exact(width).take(n) {
            let field = |i: usize| usize16(entry, i).unwrap_or(usize::MAX);
            let (key, key_len, back, value_len) = if fixed {
                (field(0), 16, field(2), if level == 0 { 16 } else { 8 })
            } else {
                (field(0), field(2), field(4), field(6))
            };
            // 8 bytes is the smallest key of all trees.
            let inside = key_len >= 8
                && key.saturating_add(key_len) <= free_at
                && value_len <= back
                && back <= end.saturating_sub(values);
            if !inside {
                return Err(bad("a record of a tree node leaves its area"));
            }
            if level > 0 && value_len != 8 {
                return Err(bad(format!("a tree node names a child in {value_len} bytes")));
            }
            let place = |at: usize| u16::try_from(at).map_err(|_| short());
            places.push(Place {
                key: place(keys.saturating_add(key))?,
                key_len: place(key_len)?,
                value: place(end.saturating_sub(back))?,
                value_len: place(value_len)?,
            });
        }
        let node = Self { data, places, oid: header.oid, level, info_flags };
        node.check_order(tree)?;
        Ok(node)
    }

    fn check_order(&self, tree: Kind) -> Result<()> {
        let mut before: Option<&[u8]> = None;
        for i in 0..self.len() {
            let (key, _) = self.record(i)?;
            if let Some(b) = before
                && (tree.compare(b, key) == Ordering::Greater || b == key)
            {
                return Err(bad("the keys of a tree node are not in order"));
            }
            before = Some(key);
        }
        Ok(())
    }

    /// Records in the node.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// Key and value of record `i`.
    pub(crate) fn record(&self, i: usize) -> Result<(&[u8], &[u8])> {
        let find = || {
            let p = self.places.get(i)?;
            let key = slice(&self.data, usize::from(p.key), usize::from(p.key_len))?;
            let value = slice(&self.data, usize::from(p.value), usize::from(p.value_len))?;
            Some((key, value))
        };
        find().ok_or_else(|| bad("a record of a tree node leaves the node"))
    }

    /// The object identifier of child `i` of an inner node.
    pub(crate) fn child(&self, i: usize) -> Result<u64> {
        le_u64(self.record(i)?.1, 0).ok_or_else(|| bad("a tree node names no child"))
    }

    /// How many records have a key for which `before` holds; such keys come first.
    pub(crate) fn partition(&self, before: impl Fn(&[u8]) -> bool) -> usize {
        let key = |p: &Place| {
            slice(&self.data, usize::from(p.key), usize::from(p.key_len)).unwrap_or_default()
        };
        self.places.partition_point(|p| before(key(p)))
    }
}
