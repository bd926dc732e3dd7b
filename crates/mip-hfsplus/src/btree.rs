//! B-trees (TN1150, "B-Trees"): nodes, the way down the index, the chain of leaves.
//!
//! A key is handed on without its length field. No lock is held while a node is read.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::Arc;

use mip_base::bytes::{be_u16, be_u32};
use mip_base::{Code, Error, Job, ReadAt, Recent, Result, len64, read_full_at};

use crate::extents::ForkSource;

const DESCRIPTOR: usize = 14;
const MAX_DEPTH: u16 = 16;
/// Memory for nodes of one tree.
const CACHE_BYTES: usize = 1 << 20;
const LEAF: u8 = 0xFF;
const INDEX: u8 = 0;
const HEADER: u8 = 1;
const VARIABLE_INDEX_KEYS: u32 = 4;

/// How a stored key stands to the one that is looked for.
pub(crate) type Compare<'a> = dyn Fn(&[u8]) -> Result<Ordering> + 'a;
/// Takes the key and the data of a leaf record; `false` stops.
pub(crate) type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> Result<bool> + 'a;

/// One node, its table of record offsets checked.
struct Node {
    number: u32,
    data: Vec<u8>,
    records: u16,
}

impl Node {
    fn next(&self) -> u32 {
        be_u32(&self.data, 0).unwrap_or(0)
    }

    fn kind(&self) -> u8 {
        self.data.get(8).copied().unwrap_or(0)
    }

    fn height(&self) -> u8 {
        self.data.get(9).copied().unwrap_or(0)
    }

    /// Offset `i` of the table at the node's end; the one past the last record is free space.
    fn offset(&self, i: u16) -> Option<usize> {
        let back = usize::from(i).checked_add(1)?.checked_mul(2)?;
        be_u16(&self.data, self.data.len().checked_sub(back)?).map(usize::from)
    }

    fn record(&self, i: u16) -> Option<&[u8]> {
        self.data.get(self.offset(i)?..self.offset(i.checked_add(1)?)?)
    }
}

/// A B-tree in a fork.
pub(crate) struct BTree {
    fork: ForkSource,
    name: &'static str,
    node_size: usize,
    depth: u16,
    root: u32,
    first_leaf: u32,
    total_nodes: u32,
    leaf_records: u32,
    max_key: u16,
    /// `keyCompareType`, of HFSX catalogs only.
    pub(crate) key_compare: u8,
    variable_index_keys: bool,
    cache: Recent<u32, Arc<Node>>,
}

impl BTree {
    /// Reads the header node. `name` stands in messages.
    pub(crate) fn open(fork: ForkSource, name: &'static str) -> Result<Self> {
        let place = fork.place(0);
        let bad = |m: String| Error::new(Code::HfsBtree, format!("{name}: {m}")).at(place);
        let mut b = [0_u8; 256];
        if fork.size() < 512 {
            return Err(bad(format!("{} bytes are too few for a B-tree", fork.size())));
        }
        read_full_at(&fork, 0, &mut b, Code::Truncated)?;
        let short = || bad("the header node is cut".into());
        let r = |at: usize| DESCRIPTOR.saturating_add(at);
        let u16_at = |at| be_u16(&b, r(at)).ok_or_else(short);
        let u32_at = |at| be_u32(&b, r(at)).ok_or_else(short);
        if b.get(8) != Some(&HEADER) {
            return Err(bad("the first node is not a header node".into()));
        }
        let node_size = u16_at(18)?;
        if !node_size.is_power_of_two() || !(512..=32768).contains(&node_size) {
            return Err(bad(format!(
                "a node size of {node_size} is not a power of two from 512 to 32768"
            )));
        }
        let (depth, root, total_nodes) = (u16_at(0)?, u32_at(2)?, u32_at(22)?);
        if u64::from(total_nodes).saturating_mul(u64::from(node_size)) > fork.size() {
            return Err(bad(format!(
                "{total_nodes} nodes of {node_size} bytes do not fit its {} bytes",
                fork.size()
            )));
        }
        if depth > MAX_DEPTH {
            return Err(bad(format!("a depth of {depth} is over {MAX_DEPTH}")));
        }
        let first_leaf = u32_at(10)?;
        if root >= total_nodes || first_leaf >= total_nodes || (root == 0) != (depth == 0) {
            return Err(bad(format!(
                "root node {root} and first leaf {first_leaf} of {total_nodes} nodes, depth {depth}"
            )));
        }
        Ok(Self {
            name,
            node_size: usize::from(node_size),
            depth,
            root,
            first_leaf,
            total_nodes,
            leaf_records: u32_at(6)?,
            max_key: u16_at(20)?,
            key_compare: b.get(r(37)).copied().unwrap_or(0),
            variable_index_keys: u32_at(38)? & VARIABLE_INDEX_KEYS != 0,
            cache: Recent::new(CACHE_BYTES.checked_div(node_size.into()).unwrap_or(0).max(32)),
            fork,
        })
    }

    /// Number of leaf records as the header gives it, at most what the tree's bytes can hold.
    pub(crate) fn leaf_records(&self) -> u64 {
        // A record needs its offset (2), a key length (2), a key (6) and data (2).
        u64::from(self.leaf_records).min(self.fork.size() / 12)
    }

    fn bad(&self, node: u32, m: &str) -> Error {
        let at = u64::from(node).saturating_mul(len64(self.node_size));
        Error::new(Code::HfsBtree, format!("{}: node {node}: {m}", self.name))
            .at(self.fork.place(at))
    }

    fn load(&self, number: u32) -> Result<Node> {
        if number >= self.total_nodes {
            return Err(self.bad(number, &format!("the tree has {} nodes", self.total_nodes)));
        }
        let mut data = vec![0_u8; self.node_size];
        let at = u64::from(number).saturating_mul(len64(self.node_size));
        read_full_at(&self.fork, at, &mut data, Code::Truncated)?;
        let records = be_u16(&data, 10).unwrap_or(0);
        let node = Node { number, data, records };
        let table = usize::from(records).saturating_add(1).saturating_mul(2);
        let end = self.node_size.saturating_sub(table);
        let mut last = DESCRIPTOR;
        if end < DESCRIPTOR {
            return Err(self.bad(number, &format!("{records} records do not fit it")));
        }
        for i in 0..=records {
            let at = node.offset(i).unwrap_or(0);
            if at < last || at > end || (i == 0 && at != DESCRIPTOR) {
                return Err(self.bad(number, &format!("record {i} of {records} at {at}")));
            }
            last = at;
        }
        Ok(node)
    }

    /// A node through the cache.
    fn node(&self, number: u32) -> Result<Arc<Node>> {
        if let Some(node) = self.cache.get(&number) {
            return Ok(node);
        }
        let node = Arc::new(self.load(number)?);
        self.cache.put(number, node.clone());
        Ok(node)
    }

    /// Key (without its length) and data of a leaf record.
    fn leaf_record<'a>(&self, node: &'a Node, i: u16) -> Result<(&'a [u8], &'a [u8])> {
        let cut = || self.bad(node.number, &format!("record {i} is cut"));
        let record = node.record(i).ok_or_else(cut)?;
        let len = usize::from(be_u16(record, 0).ok_or_else(cut)?);
        let end = len.saturating_add(2);
        let key = record.get(2..end).ok_or_else(cut)?;
        let data = record.get(end.next_multiple_of(2)..).ok_or_else(cut)?;
        Ok((key, data))
    }

    /// Key and child of an index record.
    fn index_record<'a>(&self, node: &'a Node, i: u16) -> Result<(&'a [u8], u32)> {
        let cut = || self.bad(node.number, &format!("index record {i} is cut"));
        let record = node.record(i).ok_or_else(cut)?;
        let len = be_u16(record, 0).ok_or_else(cut)?;
        let key = record.get(2..usize::from(len).saturating_add(2)).ok_or_else(cut)?;
        // Without this attribute every index key takes the room of the longest.
        let room = if self.variable_index_keys { len } else { self.max_key.max(len) };
        let at = usize::from(room).saturating_add(2).next_multiple_of(2);
        let child = be_u32(record, at).ok_or_else(cut)?;
        Ok((key, child))
    }

    /// The first of `n` records that is not less than what is looked for, and whether it is equal.
    fn search<'a>(
        n: u16,
        key: impl Fn(u16) -> Result<&'a [u8]>,
        order: &Compare<'_>,
    ) -> Result<(u16, bool)> {
        let (mut low, mut high) = (0_u16, n);
        while low < high {
            let mid = low.midpoint(high);
            match order(key(mid)?)? {
                Ordering::Less => low = mid.saturating_add(1),
                Ordering::Equal => return Ok((mid, true)),
                Ordering::Greater => high = mid,
            }
        }
        Ok((low, false))
    }

    /// The leaf in which the record would be, and the first record there that is not less.
    fn descend(&self, job: &Job, order: &Compare<'_>) -> Result<Option<(Arc<Node>, u16, bool)>> {
        let (mut number, mut height) = (self.root, self.depth);
        if height == 0 {
            return Ok(None);
        }
        loop {
            job.check()?;
            let node = self.node(number)?;
            let wanted = if height == 1 { LEAF } else { INDEX };
            if node.kind() != wanted || u16::from(node.height()) != height {
                return Err(self.bad(
                    number,
                    &format!("kind {} at height {}, not {height}", node.kind(), node.height()),
                ));
            }
            if height == 1 {
                let key = |i| self.leaf_record(&node, i).map(|(k, _)| k);
                let (i, equal) = Self::search(node.records, key, order)?;
                return Ok(Some((node, i, equal)));
            }
            let key = |i| self.index_record(&node, i).map(|(k, _)| k);
            let (i, equal) = Self::search(node.records, key, order)?;
            if node.records == 0 {
                return Err(self.bad(number, "an index node without records"));
            }
            let i = if equal { i } else { i.saturating_sub(1) };
            number = self.index_record(&node, i)?.1;
            height = height.saturating_sub(1);
        }
    }

    /// Hands the record that `order` calls equal to `take`.
    pub(crate) fn find<T>(
        &self,
        job: &Job,
        order: &Compare<'_>,
        take: impl FnOnce(&[u8], &[u8]) -> Result<T>,
    ) -> Result<Option<T>> {
        match self.descend(job, order)? {
            Some((node, i, true)) => {
                let (key, data) = self.leaf_record(&node, i)?;
                take(key, data).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Hands every record from the first that is not less to `visit`, until it says `false`.
    pub(crate) fn range(
        &self,
        job: &Job,
        order: &Compare<'_>,
        visit: &mut Visit<'_>,
    ) -> Result<()> {
        let Some((node, first, _)) = self.descend(job, order)? else { return Ok(()) };
        self.chain(job, node, first, true, visit)
    }

    /// Hands every leaf record to `visit`, in the order of the chain of leaves.
    pub(crate) fn scan(&self, job: &Job, visit: &mut Visit<'_>) -> Result<()> {
        if self.depth == 0 {
            return Ok(());
        }
        self.chain(job, Arc::new(self.load(self.first_leaf)?), 0, false, visit)
    }

    fn chain(
        &self,
        job: &Job,
        mut node: Arc<Node>,
        mut first: u16,
        cached: bool,
        visit: &mut Visit<'_>,
    ) -> Result<()> {
        let mut seen = HashSet::new();
        loop {
            job.check()?;
            if !seen.insert(node.number) {
                return Err(self.bad(node.number, "the chain of leaves comes back to it"));
            }
            if node.kind() != LEAF {
                return Err(self.bad(node.number, "it is in the chain of leaves, but is no leaf"));
            }
            for i in first..node.records {
                let (key, data) = self.leaf_record(&node, i)?;
                if !visit(key, data)? {
                    return Ok(());
                }
            }
            first = 0;
            match node.next() {
                0 => return Ok(()),
                next if cached => node = self.node(next)?,
                next => node = Arc::new(self.load(next)?),
            }
        }
    }
}
