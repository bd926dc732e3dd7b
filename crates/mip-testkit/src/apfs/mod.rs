//! Small APFS containers in memory.
//!
//! Written from the "Apple File System Reference" and checked with `apfsck`, 7-Zip and libfsapfs.
//! Names, folders, links, extended attributes, compressed, sparse and shared files, deep trees,
//! several volumes and several checkpoints. [`Layout`] says where each structure lies, and
//! [`Layout::patch`] changes it and computes its checksum again: the way to hostile containers.
//!
//! ```
//! use mip_testkit::apfs::{Container, Volume};
//!
//! let volume = Volume::new("Data").file("docs/read me.txt", "Hello").symlink("link", "docs");
//! let (mut image, layout) = Container::new().volume(volume).build();
//! // The link count of the inode is another now, the checksum of its node fits.
//! let inode = layout.newest().volumes[0].record("docs/read me.txt", 3);
//! layout.patch(&mut image, inode.value.start + 56, &7u32.to_le_bytes());
//! ```

mod btree;
mod decmpfs;
mod fstree;
mod layout;
mod name;
mod object;
mod records;
mod space;
mod volume;

pub use decmpfs::Decmpfs;
pub use layout::{CheckpointLayout, Layout, NodeAt, RecordAt, VolumeLayout, fix_checksum};
pub use name::Names;
pub use object::fletcher64;
pub use volume::{Content, Volume};

use btree::{Omap, Record, omap, omap_record};
use object::{Block, Disk, EPHEMERAL, PHYSICAL, kind};
use space::{Ephemeral, Pool};

/// Transactions between two checkpoints.
const STEP: u64 = 10;
/// Ephemeral objects of a checkpoint.
const EPHEMERALS: u64 = 4;

/// A container to build.
#[derive(Debug, Clone)]
pub struct Container {
    block_size: usize,
    states: Vec<Vec<Volume>>,
    fusion: bool,
    free: u64,
    first_block: u64,
}

impl Default for Container {
    fn default() -> Self {
        Self { block_size: 4096, states: vec![Vec::new()], fusion: false, free: 16, first_block: 0 }
    }
}

/// One written state of the volumes.
struct State {
    xid: u64,
    used: Vec<std::ops::Range<u64>>,
    omap: Omap,
    next_oid: u64,
    volumes: Vec<fstree::Done>,
}

impl Container {
    /// An empty container: blocks of 4096 bytes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes of a block: 4096, 8192… 65536.
    #[must_use]
    pub fn block_size(mut self, bytes: usize) -> Self {
        self.block_size = bytes;
        self
    }

    /// Adds a volume to the newest checkpoint.
    #[must_use]
    pub fn volume(mut self, volume: Volume) -> Self {
        if let Some(newest) = self.states.last_mut() {
            newest.push(volume);
        }
        self
    }

    /// What was added becomes an older checkpoint; the volumes added from now on are those of a
    /// newer one. Checkpoints share no blocks.
    #[must_use]
    pub fn checkpoint(mut self) -> Self {
        self.states.push(Vec::new());
        self
    }

    /// Marks the container as one half of a Fusion drive.
    #[must_use]
    pub fn fusion_marker(mut self) -> Self {
        self.fusion = true;
        self
    }

    /// Free blocks at the end.
    #[must_use]
    pub fn free_blocks(mut self, blocks: u64) -> Self {
        self.free = blocks;
        self
    }

    /// Keeps the rules for a container of 128 MiB and more, which are all that `apfsck` knows:
    /// such a size, and no block below 1024 (`OID_RESERVED_COUNT`) is the id of an object.
    #[must_use]
    pub fn large(mut self) -> Self {
        self.first_block = 1024;
        self.free = 32_768;
        self
    }

    /// The image, and where everything lies in it.
    ///
    /// # Panics
    ///
    /// When something does not fit: a name over 1022 bytes, a part of a sparse file that does not
    /// start at a block.
    #[must_use]
    pub fn build(&self) -> (Vec<u8>, Layout) {
        let mut disk = Disk { block_size: self.block_size, bytes: Vec::new(), used: Vec::new() };
        disk.allocate(1);
        let count = self.states.len() as u64;
        let descriptors = disk.allocate((2 * count).next_power_of_two().max(8));
        let descriptors = descriptors..disk.blocks();
        let data = disk.allocate((EPHEMERALS * count).next_power_of_two().max(16));
        let data = data..disk.blocks();
        let fixed = disk.used.clone();
        disk.allocate(self.first_block.saturating_sub(disk.blocks()));

        let mut states = Vec::new();
        for (i, volumes) in self.states.iter().enumerate() {
            let xid = STEP * (i as u64 + 1);
            disk.used.clone_from(&fixed);
            let mut next_oid = space::NEXT;
            let mut done = Vec::new();
            for (index, volume) in (0u32..).zip(volumes) {
                done.push(fstree::write(&mut disk, xid, index, volume, &mut next_oid));
            }
            let records: Vec<Record> =
                done.iter().map(|v| omap_record(v.oid, xid, self.block_size, v.block)).collect();
            // OMAP_MANUALLY_MANAGED
            let omap = omap(&mut disk, xid, 1, &records, usize::MAX);
            let used = disk.used.clone();
            states.push(State { xid, used, omap, next_oid, volumes: done });
        }

        let pool = Pool::allocate(&mut disk, self.free);
        let mut checkpoints = Vec::new();
        for (i, state) in (0u64..).zip(states) {
            let ephemerals = space::write(&mut disk, state.xid, pool, &state.used);
            let slots = (descriptors.start + 2 * i, data.start + EPHEMERALS * i);
            let map = checkpoint_map(self.block_size, state.xid, slots, &ephemerals);
            let mut b = self.superblock(&disk, &state, i);
            b.u32(104, small(descriptors.end - descriptors.start));
            b.u32(108, small(data.end - data.start));
            b.u64(112, descriptors.start);
            b.u64(120, data.start);
            let superblock = b.sealed();
            for (n, (.., bytes)) in (0u64..).zip(ephemerals) {
                disk.write(slots.1 + n, &bytes);
            }
            disk.write(slots.0, &map);
            disk.write(slots.0 + 1, &superblock);
            disk.write(0, &superblock);
            checkpoints.push(CheckpointLayout {
                xid: state.xid,
                superblock: disk.offset(slots.0 + 1),
                map: disk.offset(slots.0),
                omap: disk.offset(state.omap.block),
                omap_nodes: state
                    .omap
                    .nodes
                    .iter()
                    .map(|n| NodeAt { oid: n.oid, offset: disk.offset(n.block), level: n.level })
                    .collect(),
                volumes: state.volumes.into_iter().map(|v| v.layout).collect(),
            });
        }
        let layout = Layout {
            block_size: self.block_size as u64,
            descriptors: disk.offset(descriptors.start)..disk.offset(descriptors.end),
            data: disk.offset(data.start)..disk.offset(data.end),
            checkpoints,
        };
        (disk.bytes, layout)
    }

    fn superblock(&self, disk: &Disk, state: &State, index: u64) -> Block {
        let size = self.block_size;
        let mut b = Block::object(size, 1, state.xid, EPHEMERAL | kind::NX_SUPERBLOCK, 0);
        b.bytes(32, b"NXSB");
        b.u32(36, small(size as u64));
        b.u64(40, disk.blocks());
        // NX_INCOMPAT_VERSION2, NX_INCOMPAT_FUSION
        b.u64(64, if self.fusion { 0x102 } else { 2 });
        b.bytes(72, b"mip-testkit APFS");
        b.u64(88, state.next_oid);
        b.u64(96, state.xid + 1);
        b.u32(128, small(2 * index + 2));
        b.u32(132, small(EPHEMERALS * (index + 1)));
        b.u32(136, small(2 * index));
        b.u32(140, 2);
        b.u32(144, small(EPHEMERALS * index));
        b.u32(148, small(EPHEMERALS));
        b.u64(152, space::SPACEMAN);
        b.u64(160, state.omap.block);
        b.u64(168, space::REAPER);
        b.u32(180, small(state.volumes.len().max(1) as u64));
        for (i, volume) in state.volumes.iter().enumerate() {
            b.u64(184 + 8 * i, volume.oid);
        }
        // Version 1, 4 ephemeral structures for each of the file systems, blocks of the queue.
        b.u64(1312, 1 | 4 << 16 | 8 << 32);
        b
    }
}

fn checkpoint_map(size: usize, xid: u64, slots: (u64, u64), objects: &[Ephemeral]) -> Vec<u8> {
    let mut b = Block::object(size, slots.0, xid, PHYSICAL | kind::CHECKPOINT_MAP, 0);
    // CHECKPOINT_MAP_LAST
    b.u32(32, 1);
    b.u32(36, small(objects.len() as u64));
    for (i, (oid, kind, subtype, bytes)) in objects.iter().enumerate() {
        let at = 40 + 40 * i;
        b.u32(at, *kind);
        b.u32(at + 4, *subtype);
        b.u32(at + 8, small(bytes.len() as u64));
        b.u64(at + 24, *oid);
        b.u64(at + 32, slots.1 + i as u64);
    }
    b.sealed()
}

fn small(n: u64) -> u32 {
    u32::try_from(n).expect("a small number")
}
