//! Trees: finding nodes, and moving over records in key order.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::Arc;

use mip_base::{Code, Error, Job, Recent, Result};

use crate::btree::{INFO_PHYSICAL, Kind, Node};
use crate::crypto::VolumeKey;
use crate::object::Device;
use crate::omap::Omap;

/// How a tree names its nodes.
#[derive(Clone)]
pub(crate) enum Names {
    /// By block number.
    Physical,
    /// By virtual object identifier.
    Virtual(Arc<Omap>),
}

/// A tree.
pub(crate) struct Tree {
    pub(crate) device: Device,
    pub(crate) kind: Kind,
    names: Names,
    key: Option<Arc<VolumeKey>>,
    root: Arc<Node>,
    root_block: u64,
    cache: Recent<u64, Arc<Node>>,
}

impl Tree {
    /// Reads and checks the root node `oid`.
    pub(crate) fn open(
        device: Device,
        kind: Kind,
        names: Names,
        oid: u64,
        key: Option<Arc<VolumeKey>>,
        job: &Job,
    ) -> Result<Self> {
        let (root_block, encrypted) = names.find(oid, job)?;
        let data = read(&device, root_block, encrypted, key.as_deref(), job)?;
        let root = parse(&device, root_block, data, kind, true)?;
        if root.oid != oid {
            return Err(Error::new(
                Code::ApfsObject,
                format!("a block holds object {}, not {oid}", root.oid),
            )
            .at(device.shown(root_block)));
        }
        let bytes = job.limits().image_cache.wrapping_shr(2);
        let nodes = bytes.checked_div(u64::from(device.block_size)).unwrap_or(0);
        let cache = Recent::new(usize::try_from(nodes).unwrap_or(usize::MAX).max(16));
        let names = if root.info_flags & INFO_PHYSICAL == 0 { names } else { Names::Physical };
        Ok(Self { device, kind, names, key, root: Arc::new(root), root_block, cache })
    }

    /// Child `i` of `parent`, and the block that it is in. `keep`: put it into the cache.
    fn child(&self, parent: &Node, i: usize, keep: bool, job: &Job) -> Result<(u64, Arc<Node>)> {
        let oid = parent.child(i)?;
        let (block, encrypted) = self.names.find(oid, job)?;
        let node = match self.cache.get(&block) {
            Some(node) => node,
            None => {
                let key = self.key.as_deref();
                let data = read(&self.device, block, encrypted, key, job)?;
                let node = Arc::new(parse(&self.device, block, data, self.kind, false)?);
                if keep {
                    self.cache.put(block, node.clone());
                }
                node
            }
        };
        self.check_child(parent, i, oid, &node).map_err(|e| e.at(self.device.shown(block)))?;
        Ok((block, node))
    }

    /// A child must be the one that its parent names, one level below it, with keys between
    /// the parent's: a search and a pass over the leaves must find the same.
    fn check_child(&self, parent: &Node, i: usize, oid: u64, node: &Node) -> Result<()> {
        if node.oid != oid {
            return Err(Error::new(
                Code::ApfsObject,
                format!("a block holds object {}, not {oid}", node.oid),
            ));
        }
        if node.level.checked_add(1) != Some(parent.level) {
            return Err(Error::new(
                Code::ApfsBtree,
                format!("a tree node of level {} is not one below its parent", node.level),
            ));
        }
        let (first, _) = node.record(0)?;
        let (last, _) = node.record(node.len().saturating_sub(1))?;
        let next = i.saturating_add(1);
        let early = i > 0 && self.kind.compare(first, parent.record(i)?.0) == Ordering::Less;
        let late = match parent.len().checked_sub(next) {
            None | Some(0) => false,
            Some(_) => {
                let bound = parent.record(next)?.0;
                last == bound || self.kind.compare(last, bound) == Ordering::Greater
            }
        };
        if early || late {
            return Err(Error::new(Code::ApfsBtree, "a tree node has keys that belong beside it"));
        }
        Ok(())
    }

    /// A cursor at the first record whose key is not less than what `order` looks for.
    /// `order` tells how a key compares to that.
    pub(crate) fn seek(&self, order: impl Fn(&[u8]) -> Ordering, job: &Job) -> Result<Cursor<'_>> {
        let mut c = Cursor::new(self, true);
        c.descend(|k| order(k) == Ordering::Less, job)?;
        c.settle(job)?;
        Ok(c)
    }

    /// A cursor at the last record whose key is not greater than what `order` looks for.
    pub(crate) fn floor(&self, order: impl Fn(&[u8]) -> Ordering, job: &Job) -> Result<Cursor<'_>> {
        let mut c = Cursor::new(self, true);
        c.descend(|k| order(k) != Ordering::Greater, job)?;
        c.back(job)?;
        Ok(c)
    }

    /// A cursor at the first record, for one pass over all of them: leaves are not cached.
    pub(crate) fn first(&self, job: &Job) -> Result<Cursor<'_>> {
        let mut c = Cursor::new(self, false);
        c.descend(|_| false, job)?;
        c.settle(job)?;
        Ok(c)
    }
}

impl Names {
    /// The block of object `oid`, and whether it is encrypted.
    fn find(&self, oid: u64, job: &Job) -> Result<(u64, bool)> {
        match self {
            Names::Physical => Ok((oid, false)),
            Names::Virtual(map) => map.find(oid, job).map(|f| (f.block, f.encrypted)),
        }
    }
}

/// Reads and decrypts a block.
fn read(
    device: &Device,
    block: u64,
    encrypted: bool,
    key: Option<&VolumeKey>,
    job: &Job,
) -> Result<Vec<u8>> {
    let mut data = device.raw(block, job)?;
    if encrypted {
        let Some(key) = key else {
            return Err(Error::new(
                Code::ApfsObject,
                "an object of a volume without encryption is encrypted",
            )
            .at(device.shown(block)));
        };
        key.decrypt_blocks(&mut data, block, device.block_size);
    }
    Ok(data)
}

/// Checks a block that holds a node.
fn parse(device: &Device, block: u64, data: Vec<u8>, kind: Kind, root: bool) -> Result<Node> {
    let header = device.check(block, &data)?;
    Node::parse(data, header, kind, root).map_err(|e| e.at(device.shown(block)))
}

/// A node on the way to a place, with the index of the record or child.
struct Level {
    block: u64,
    node: Arc<Node>,
    index: usize,
}

/// A place in a tree. Each node is entered at most once in each direction.
pub(crate) struct Cursor<'t> {
    tree: &'t Tree,
    /// From the root to a leaf.
    stack: Vec<Level>,
    entered: HashSet<u64>,
    keep: bool,
    /// The last key before the current leaf: keys must go on from there.
    before: Vec<u8>,
}

impl<'t> Cursor<'t> {
    fn new(tree: &'t Tree, keep: bool) -> Self {
        Self { tree, stack: Vec::new(), entered: HashSet::new(), keep, before: Vec::new() }
    }

    fn enter(&mut self, block: u64, node: Arc<Node>, index: usize) -> Result<()> {
        if !self.entered.insert(block) {
            return Err(Error::new(Code::ApfsBtree, "a tree leads to the same node twice")
                .at(self.tree.device.shown(block)));
        }
        self.stack.push(Level { block, node, index });
        Ok(())
    }

    /// From the root to the leaf where the keys end for which `before` holds, and to the first
    /// record there for which it does not. That place may be behind the leaf's last record.
    fn descend(&mut self, before: impl Fn(&[u8]) -> bool, job: &Job) -> Result<()> {
        let mut block = self.tree.root_block;
        let mut node = self.tree.root.clone();
        loop {
            let less = node.partition(&before);
            if node.level == 0 {
                return self.enter(block, node, less);
            }
            if node.len() == 0 {
                return Ok(());
            }
            // The child whose first key is the last one before may hold more of them.
            let index = less.saturating_sub(1);
            let (b, child) = self.tree.child(&node, index, self.keep || node.level > 1, job)?;
            self.enter(block, node, index)?;
            (block, node) = (b, child);
        }
    }

    /// Moves on to the next leaf while the place is behind the last record of one.
    fn settle(&mut self, job: &Job) -> Result<()> {
        loop {
            let Some(Level { node, index, .. }) = self.stack.last() else { return Ok(()) };
            if *index < node.len() {
                if node.level == 0 {
                    return Ok(());
                }
                let (b, child) = self.tree.child(node, *index, self.keep || node.level > 1, job)?;
                self.check_follows(&child)?;
                self.enter(b, child, 0)?;
                continue;
            }
            if node.level == 0
                && let Some(last) = node.len().checked_sub(1)
            {
                self.before = node.record(last)?.0.to_vec();
            }
            self.stack.pop();
            if let Some(up) = self.stack.last_mut() {
                up.index = up.index.saturating_add(1);
            }
        }
    }

    /// The keys of the next leaf must be greater than those of the one before.
    fn check_follows(&self, node: &Node) -> Result<()> {
        if node.level > 0 || self.before.is_empty() {
            return Ok(());
        }
        let (first, _) = node.record(0)?;
        if self.tree.kind.compare(&self.before, first) == Ordering::Greater || self.before == first
        {
            return Err(Error::new(Code::ApfsBtree, "the leaves of a tree are not in order"));
        }
        Ok(())
    }

    /// Moves to the record before; behind the last record when there is none.
    fn back(&mut self, job: &Job) -> Result<()> {
        loop {
            let Some(level) = self.stack.last_mut() else { return Ok(()) };
            if let Some(i) = level.index.checked_sub(1) {
                level.index = i;
                return self.rightmost(job);
            }
            // Going on from here may enter it again.
            self.entered.remove(&level.block);
            self.stack.pop();
        }
    }

    /// Down to the last record below the current child.
    fn rightmost(&mut self, job: &Job) -> Result<()> {
        loop {
            let Some(Level { node, index, .. }) = self.stack.last() else { return Ok(()) };
            if node.level == 0 {
                return Ok(());
            }
            let (b, child) = self.tree.child(node, *index, self.keep, job)?;
            let last = child.len().saturating_sub(1);
            self.enter(b, child, last)?;
        }
    }

    /// Key and value at the place; `None` behind the last record.
    pub(crate) fn record(&self) -> Result<Option<(&[u8], &[u8])>> {
        match self.stack.last() {
            Some(Level { node, index, .. }) => node.record(*index).map(Some),
            None => Ok(None),
        }
    }

    /// Moves to the next record.
    pub(crate) fn advance(&mut self, job: &Job) -> Result<()> {
        if let Some(level) = self.stack.last_mut() {
            level.index = level.index.saturating_add(1);
        }
        self.settle(job)
    }
}
