//! Where the structures of a finished volume are.

use std::collections::HashMap;

use super::btree::{NodePlace, RecordPlace};

/// One B-tree file. All offsets are from the start of the image.
#[derive(Debug, Clone, Default)]
pub struct TreeLayout {
    /// Offset and length of each extent, in the order of the file.
    pub extents: Vec<(u64, u64)>,
    /// Bytes in a node.
    pub node_size: u64,
    /// Leaves first, then index levels upwards; the last one is the root. The header node
    /// (node 0, at the start of the first extent) is not among them.
    pub nodes: Vec<NodePlace>,
    /// Leaf records in order.
    pub records: Vec<RecordPlace>,
}

impl TreeLayout {
    /// Offset of the header node's descriptor; the header record is 14 bytes further.
    #[must_use]
    pub fn header(&self) -> u64 {
        self.extents[0].0
    }

    /// Offset of the byte `at` of the file.
    #[must_use]
    pub fn offset(&self, at: u64) -> u64 {
        let mut left = at;
        for &(start, len) in &self.extents {
            if left < len {
                return start + left;
            }
            left -= len;
        }
        panic!("{at} is beyond the tree")
    }

    /// The node with this number.
    #[must_use]
    pub fn node(&self, number: u32) -> &NodePlace {
        self.nodes.iter().find(|n| n.number == number).unwrap()
    }
}

/// Which record of a tree belongs to what.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Owner {
    /// The catalog's file or folder record at a path; for a hard link, the link's record.
    Path(String),
    /// The record in the private folder of a file or folder that has hard links.
    Inode(String),
    /// The thread record of an id.
    Thread(u32),
    /// The extended attribute of an id: its first record.
    Attribute(u32, String),
    /// The n-th overflow record of a fork (id, resource fork?).
    Extents(u32, bool, usize),
}

/// Offsets of what is in the image. Panics when asked for what is not there.
#[derive(Debug, Clone, Default)]
pub struct Layout {
    /// Bytes in an allocation block.
    pub block_size: u32,
    /// Blocks of the volume.
    pub total_blocks: u32,
    /// Where the volume starts: not 0 when it is wrapped or in a partition.
    pub base: u64,
    /// The allocation file: offset and length.
    pub bitmap: (u64, u64),
    /// Journal info block and journal header.
    pub journal: Option<(u64, u64)>,
    /// The catalog.
    pub catalog: TreeLayout,
    /// The extents overflow tree.
    pub extents: TreeLayout,
    /// The attributes tree; without extents when the volume has no attributes.
    pub attributes: TreeLayout,
    pub(super) ids: HashMap<String, u32>,
    pub(super) owners: HashMap<Owner, RecordPlace>,
    pub(super) forks: HashMap<(u32, bool), Vec<(u64, u64)>>,
}

impl Layout {
    /// Bytes of the volume.
    #[must_use]
    pub fn size(&self) -> u64 {
        u64::from(self.block_size) * u64::from(self.total_blocks)
    }

    /// Offset of the volume header.
    #[must_use]
    pub fn volume_header(&self) -> u64 {
        self.base + 1024
    }

    /// Offset of its copy at the end.
    #[must_use]
    pub fn alternate_header(&self) -> u64 {
        self.base + self.size() - 1024
    }

    /// The catalog node id of the entry at `path` (of the shared file, for a hard link).
    #[must_use]
    pub fn id(&self, path: &str) -> u32 {
        self.ids[path]
    }

    /// The file or folder record at `path`; for a hard link the link's own record. In a file
    /// record the data fork is 88 bytes into the data, the resource fork 168.
    #[must_use]
    pub fn record(&self, path: &str) -> RecordPlace {
        self.owned(&Owner::Path(path.to_owned()))
    }

    /// The record in the private folder of the hard-linked file or folder first added at `path`.
    #[must_use]
    pub fn inode_record(&self, path: &str) -> RecordPlace {
        self.owned(&Owner::Inode(path.to_owned()))
    }

    /// The thread record of the entry at `path`.
    #[must_use]
    pub fn thread(&self, path: &str) -> RecordPlace {
        self.owned(&Owner::Thread(self.id(path)))
    }

    /// The (first) record of an extended attribute.
    #[must_use]
    pub fn attribute(&self, path: &str, name: &str) -> RecordPlace {
        self.owned(&Owner::Attribute(self.id(path), name.to_owned()))
    }

    /// The `n`-th record of the extents overflow tree for a fork.
    #[must_use]
    pub fn overflow(&self, path: &str, resource: bool, n: usize) -> RecordPlace {
        self.owned(&Owner::Extents(self.id(path), resource, n))
    }

    /// The `n`-th record of the extents overflow tree for a special file (4 catalog, 8 attributes).
    #[must_use]
    pub fn overflow_of_id(&self, id: u32, n: usize) -> RecordPlace {
        self.owned(&Owner::Extents(id, false, n))
    }

    /// Offset and length of each extent of a fork, in the order of the file.
    #[must_use]
    pub fn fork(&self, path: &str, resource: bool) -> Vec<(u64, u64)> {
        self.forks.get(&(self.id(path), resource)).cloned().unwrap_or_default()
    }

    /// Moves everything by `n` bytes: the volume is put into something.
    pub fn shift(&mut self, n: u64) {
        let record = |r: &mut RecordPlace| {
            r.key += n;
            r.data += n;
            r.end += n;
        };
        self.base += n;
        self.bitmap.0 += n;
        if let Some((info, journal)) = &mut self.journal {
            *info += n;
            *journal += n;
        }
        for tree in [&mut self.catalog, &mut self.extents, &mut self.attributes] {
            tree.extents.iter_mut().for_each(|e| e.0 += n);
            tree.records.iter_mut().for_each(record);
            for node in &mut tree.nodes {
                node.offset += n;
                node.records.iter_mut().for_each(record);
            }
        }
        self.owners.values_mut().for_each(record);
        self.forks.values_mut().flatten().for_each(|e| e.0 += n);
    }

    fn owned(&self, owner: &Owner) -> RecordPlace {
        self.owners.get(owner).unwrap_or_else(|| panic!("no record for {owner:?}")).clone()
    }
}
