//! Where everything lies in a built image, for tests that patch it.

use std::collections::BTreeMap;
use std::ops::Range;

/// A node of a B-tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeAt {
    /// Its object id: virtual in a file-system tree, else its block.
    pub oid: u64,
    /// Byte offset of its block.
    pub offset: u64,
    /// 0 for leaves.
    pub level: u16,
}

/// A record in a leaf of a file-system tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordAt {
    /// Object id of its key.
    pub oid: u64,
    /// Type of its key: 3 inode, 4 attribute, 8 file extent, 9 directory record…
    pub kind: u8,
    /// Name in its key; empty for types without.
    pub name: String,
    /// Bytes of the image with the key.
    pub key: Range<u64>,
    /// Bytes of the image with the value.
    pub value: Range<u64>,
}

/// One volume of one checkpoint.
#[derive(Debug, Clone)]
pub struct VolumeLayout {
    /// Byte offset of its superblock.
    pub superblock: u64,
    /// Byte offset of its object map.
    pub omap: u64,
    /// Nodes of the object map's tree, leaves first, the root last.
    pub omap_nodes: Vec<NodeAt>,
    /// Nodes of the file-system tree, leaves first, the root last.
    pub fs_nodes: Vec<NodeAt>,
    /// Nodes of the extent-reference tree, leaves first, the root last.
    pub extent_nodes: Vec<NodeAt>,
    /// Inode number of each path.
    pub inodes: BTreeMap<String, u64>,
    /// All records of the file-system tree in its order.
    pub records: Vec<RecordAt>,
}

impl VolumeLayout {
    /// The first record of this type for the inode of `path` ("" is the root folder).
    ///
    /// # Panics
    ///
    /// Without such a path or record.
    #[must_use]
    pub fn record(&self, path: &str, kind: u8) -> &RecordAt {
        let oid = if path.is_empty() { 2 } else { self.inodes[path] };
        self.records
            .iter()
            .find(|r| r.oid == oid && r.kind == kind)
            .unwrap_or_else(|| panic!("{path} has no record of type {kind}"))
    }

    /// The directory record of `path`.
    ///
    /// # Panics
    ///
    /// Without such a path.
    #[must_use]
    pub fn dirent(&self, path: &str) -> &RecordAt {
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        let parent = if above.is_empty() { 2 } else { self.inodes[above] };
        self.records
            .iter()
            .find(|r| r.oid == parent && r.kind == 9 && r.name == name)
            .unwrap_or_else(|| panic!("{path} has no directory record"))
    }
}

/// One checkpoint.
#[derive(Debug, Clone)]
pub struct CheckpointLayout {
    /// Its transaction.
    pub xid: u64,
    /// Byte offset of its superblock in the ring.
    pub superblock: u64,
    /// Byte offset of its checkpoint map in the ring.
    pub map: u64,
    /// Byte offset of the container's object map.
    pub omap: u64,
    /// Nodes of that object map's tree, leaves first, the root last.
    pub omap_nodes: Vec<NodeAt>,
    /// The volumes in order.
    pub volumes: Vec<VolumeLayout>,
}

/// Byte offsets of the structures of an image.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Bytes of a block.
    pub block_size: u64,
    /// The checkpoint descriptor area: maps and superblocks.
    pub descriptors: Range<u64>,
    /// The checkpoint data area: ephemeral objects.
    pub data: Range<u64>,
    /// Oldest first.
    pub checkpoints: Vec<CheckpointLayout>,
}

impl Layout {
    /// The checkpoint that counts.
    ///
    /// # Panics
    ///
    /// Never: a container has one.
    #[must_use]
    pub fn newest(&self) -> &CheckpointLayout {
        self.checkpoints.last().expect("a checkpoint")
    }

    /// Computes the checksum of the object that the byte at `offset` belongs to again.
    ///
    /// # Panics
    ///
    /// When `offset` is not in the image.
    pub fn fix(&self, image: &mut [u8], offset: u64) {
        fix_checksum(image, super::object::usize_of(self.block_size), offset / self.block_size);
    }

    /// Writes `bytes` at `offset` and computes the checksum of that block again.
    ///
    /// # Panics
    ///
    /// When the range is not in the image.
    pub fn patch(&self, image: &mut [u8], offset: u64, bytes: &[u8]) {
        let at = super::object::usize_of(offset);
        image[at..at + bytes.len()].copy_from_slice(bytes);
        self.fix(image, offset);
    }
}

/// Computes the checksum of the object in block number `block` again.
///
/// # Panics
///
/// When the block is not in the image.
pub fn fix_checksum(image: &mut [u8], block_size: usize, block: u64) {
    let at = super::object::usize_of(block) * block_size;
    super::object::seal(&mut image[at..at + block_size]);
}
