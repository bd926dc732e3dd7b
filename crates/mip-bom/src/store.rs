//! The container: header, block table, named blocks ("variables") and trees.
//!
//! All numbers are big-endian. Header: `BOMStore`, u32 version (1), u32 used blocks, then
//! offset and length of the block table and of the variables. The block table is a u32 count
//! and that many (u32 offset, u32 length); everything else names blocks by their index in it.
//! Layout from the public descriptions by the bomutils and stuckliste projects, checked
//! against Apple's files.

use mip_base::bytes::{be_u16, be_u32, slice};
use mip_base::{Code, Error, Job, Result, escape_bytes, len64};

/// More levels than a tree of 2³² blocks could need.
const DEEPEST: u32 = 16;

pub(crate) fn bad(what: impl Into<String>) -> Error {
    Error::new(Code::Bom, what)
}

/// A Bom file in memory.
pub(crate) struct Store {
    data: Vec<u8>,
    /// The pairs of the block table: where they start in `data`, and how many there are.
    table: usize,
    blocks: u32,
    variables: Vec<u8>,
}

impl Store {
    pub(crate) fn new(data: Vec<u8>) -> Result<Self> {
        if !data.starts_with(b"BOMStore") {
            return Err(bad("the file does not start with \"BOMStore\"").at(0));
        }
        let field = |at| be_u32(&data, at).ok_or_else(|| bad("the file ends inside its header"));
        let version = field(8)?;
        if version != 1 {
            return Err(bad(format!("the version {version} is not 1")).at(8));
        }
        let (index_at, index_len) = (field(16)?, field(20)?);
        let (variables_at, variables_len) = (field(24)?, field(28)?);
        let index = range(&data, index_at, index_len)
            .ok_or_else(|| bad("the block table is not inside the file").at(16))?;
        let blocks = be_u32(index, 0).ok_or_else(|| bad("the block table has no count").at(16))?;
        // The count must fit before anything is sized by it.
        let bytes = u64::from(blocks).saturating_mul(8).saturating_add(4);
        if bytes > u64::from(index_len) {
            return Err(bad(format!(
                "the block table of {index_len} bytes cannot hold {blocks} blocks"
            ))
            .at(u64::from(index_at)));
        }
        let variables = range(&data, variables_at, variables_len)
            .ok_or_else(|| bad("the variables are not inside the file").at(24))?
            .to_vec();
        let table = usize::try_from(index_at)
            .ok()
            .and_then(|at| at.checked_add(4))
            .ok_or_else(|| bad("the block table is not inside the file").at(16))?;
        Ok(Self { data, table, blocks, variables })
    }

    /// The bytes of the block `index`.
    pub(crate) fn block(&self, index: u32) -> Result<&[u8]> {
        if index >= self.blocks {
            return Err(bad(format!("block {index} of {} is named", self.blocks)));
        }
        let at = usize::try_from(index)
            .ok()
            .and_then(|i| i.checked_mul(8))
            .and_then(|i| i.checked_add(self.table));
        let pair = at.and_then(|at| {
            Some((be_u32(&self.data, at)?, be_u32(&self.data, at.checked_add(4)?)?))
        });
        let (offset, len) = pair.ok_or_else(|| bad("the block table is cut"))?;
        range(&self.data, offset, len).ok_or_else(|| {
            bad(format!("block {index} ({len} bytes) is not inside the file")).at(u64::from(offset))
        })
    }

    /// The block that the variable `name` names.
    pub(crate) fn variable(&self, name: &[u8]) -> Result<Option<u32>> {
        let cut = || bad("the list of variables is cut");
        let v = self.variables.as_slice();
        let count = be_u32(v, 0).ok_or_else(cut)?;
        let mut at = 4usize;
        let mut found = None;
        // Each variable takes five bytes or more, so a forged count ends at the list's end.
        for _ in 0..count {
            let index = be_u32(v, at).ok_or_else(cut)?;
            let len = at.checked_add(4).and_then(|i| v.get(i)).copied().ok_or_else(cut)?;
            let start = at.saturating_add(5);
            let text = slice(v, start, usize::from(len)).ok_or_else(cut)?;
            if text == name && found.replace(index).is_some() {
                return Err(bad(format!("two variables are named \"{}\"", escape_bytes(name))));
            }
            at = start.saturating_add(usize::from(len));
        }
        Ok(found)
    }

    /// The pairs of blocks in the leaves of a tree, in the order of the leaf chain.
    ///
    /// A tree block: `tree`, u32 version (1), u32 root node, u32 node size, u32 pairs in all.
    /// A node: u16 1 for a leaf, u16 pairs, u32 next node, u32 previous node, then the pairs.
    /// The first of each pair in an inner node is the node below.
    pub(crate) fn tree(&self, index: u32, job: &Job) -> Result<Vec<(u32, u32)>> {
        let head = self.block(index)?;
        let field = |at| be_u32(head, at).ok_or_else(|| bad("a tree's block is cut"));
        if !head.starts_with(b"tree") || field(4)? != 1 {
            return Err(bad(format!("block {index} is not a tree of version 1")));
        }
        let claimed = field(16)?;
        let mut node = field(8)?;
        for _ in 0..DEEPEST {
            let n = self.node(node)?;
            if n.leaf {
                return self.leaves(node, claimed, job);
            }
            node = n.pair(0).ok_or_else(|| bad("an inner node of a tree is empty"))?.0;
        }
        Err(bad(format!("a tree is deeper than {DEEPEST} levels or a circle")))
    }

    fn leaves(&self, first: u32, claimed: u32, job: &Job) -> Result<Vec<(u32, u32)>> {
        let limit = job.limits().entries;
        let mut out = Vec::new();
        let mut seen = vec![false; usize::try_from(self.blocks).unwrap_or(0)];
        let mut next = Some(first);
        while let Some(index) = next {
            job.check()?;
            let node = self.node(index)?;
            let mark = usize::try_from(index).ok().and_then(|i| seen.get_mut(i));
            if mark.is_none_or(|m| std::mem::replace(m, true)) {
                return Err(bad(format!("the leaves of a tree form a circle at block {index}")));
            }
            if !node.leaf {
                return Err(bad(format!("the leaves of a tree lead to the inner node {index}")));
            }
            let total = len64(out.len()).saturating_add(node.count.into());
            if total > limit {
                return Err(Error::limit(Code::LimitEntries, "paths in a Bom", limit, total));
            }
            for i in 0..node.count {
                out.push(node.pair(i).ok_or_else(|| bad("a tree's leaf is cut"))?);
            }
            next = Some(node.next).filter(|n| *n != 0);
        }
        if u32::try_from(out.len()).ok() != Some(claimed) {
            return Err(bad(format!("a tree of {claimed} entries has {}", out.len())));
        }
        Ok(out)
    }

    fn node(&self, index: u32) -> Result<Node<'_>> {
        let bytes = self.block(index)?;
        let cut = || bad(format!("the tree node in block {index} is cut"));
        let kind = be_u16(bytes, 0).ok_or_else(cut)?;
        let count = be_u16(bytes, 2).ok_or_else(cut)?;
        let next = be_u32(bytes, 4).ok_or_else(cut)?;
        let pairs = bytes.get(12..).ok_or_else(cut)?;
        if usize::from(count).saturating_mul(8) > pairs.len() {
            return Err(bad(format!(
                "the tree node in block {index} has no room for its {count} entries"
            )));
        }
        match kind {
            0 | 1 => Ok(Node { leaf: kind == 1, count, next, pairs }),
            _ => Err(bad(format!("block {index} is not a tree node"))),
        }
    }
}

struct Node<'a> {
    leaf: bool,
    count: u16,
    next: u32,
    pairs: &'a [u8],
}

impl Node<'_> {
    fn pair(&self, i: u16) -> Option<(u32, u32)> {
        let at = usize::from(i).checked_mul(8)?;
        (i < self.count).then_some(())?;
        Some((be_u32(self.pairs, at)?, be_u32(self.pairs, at.checked_add(4)?)?))
    }
}

fn range(data: &[u8], offset: u32, len: u32) -> Option<&[u8]> {
    slice(data, usize::try_from(offset).ok()?, usize::try_from(len).ok()?)
}
