//! A bounded, read-only reader for APFS, the file system of macOS since 10.13.
//!
//! A **container** fills a partition, or an image without a partition map. It holds one or more
//! **volumes**, which share its space:
//!
//! ```
//! use std::sync::Arc;
//! use mip_apfs::Container;
//! use mip_base::{Job, ReadAt as _};
//!
//! # let volume = mip_testkit::apfs::Volume::new("Data").file("docs/read me.txt", "Hello");
//! # let (image, _) = mip_testkit::apfs::Container::new().volume(volume).build();
//! let job = Job::default();
//! // `image` is anything that can be read at positions: bytes, a file, a decoded disk image.
//! let container = Container::open(Arc::new(image), &job)?;
//! for info in container.volumes() {
//!     println!("{} {:?} encrypted: {}", info.name, info.role, info.encrypted);
//! }
//! let volume = container.volume(0, &job)?; // or `unlock` with a password
//! volume.walk(&job, &mut |found| {
//!     println!("{:o} {:>9} {}", found.node.mode, found.node.size, found.path);
//!     Ok(())
//! })?;
//! // One file: a descent of the tree per component. Names compare as on the volume.
//! let node = volume.lookup("DOCS/Read Me.txt", &job)?.expect("is there");
//! let mut text = [0; 5];
//! assert_eq!(volume.open_file(&node, &job)?.read_at(0, &mut text)?, 5);
//! assert_eq!(&text, b"Hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is read
//!
//! * The newest checkpoint whose superblock and maps are good. If it is damaged, the one before
//!   it, and a note says so ([`Container::notes`]).
//! * All volumes: case-sensitive and not, normalization-insensitive, with or without hashed
//!   names. Of a volume with snapshots the live state.
//! * Files of any number of extents, holes, clones, hard links, symbolic links, extended
//!   attributes (embedded and in streams), resource forks, compressed files (decmpfs).
//! * Volumes encrypted with a password: the key is unwrapped from the keybags and is wiped
//!   from memory when the volume is dropped.
//!
//! Refused by name ([`Code::Unsupported`](mip_base::Code::Unsupported)): Fusion drives, sealed
//! system volumes, volumes with a key per file or keys in hardware, volumes that are about to
//! be reverted to a snapshot, unknown features; and, when opened, files whose data is in a cloud.
//!
//! # Hostile containers
//!
//! The checksum of every object is verified; file data has none in APFS. A node of a tree is
//! checked whole before anything in it is used: table, keys and values lie in their areas, the
//! keys are in order and between those of the parent, levels go down by one, and no pass enters
//! a node twice. So every operation ends after at most as many nodes as the container has
//! blocks. [`Volume::walk`] also refuses what only the whole shows: folders with two parents,
//! entries without inode, hard links that contradict each other. Memory: a cache of nodes
//! ([`Limits::image_cache`](mip_base::Limits::image_cache)), a bounded window of a file's
//! extents, and for a walk about 250 bytes per entry.
//!
//! # Sources
//!
//! "Apple File System Reference" (Apple, 2020-06-22) for all structures, whose field names the
//! comments use. Two things are not in it, and are known from public readers (libfsapfs,
//! apfs-fuse) and real volumes: the DER form of wrapped keys in keybags, and that a hole can be
//! an extent in block 0. How other readers differ is in `docs/decisions/0009-apfs-readings.md`.
#![cfg_attr(
    test,
    allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation, clippy::string_slice)
)]

mod btree;
mod checkpoint;
mod container;
mod crypto;
mod extents;
mod keybag;
mod names;
mod object;
mod omap;
mod records;
mod tree;
mod volume;
mod walk;

use mip_base::EntryKind;

pub use container::{Container, VolumeInfo};
pub use volume::Volume;

/// What a volume is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Info {
    /// Its name.
    pub name: String,
    /// Its role; `None` for a plain volume.
    pub role: Option<&'static str>,
    /// Whether `A` and `a` are different names.
    pub case_sensitive: bool,
    /// Whether composed and decomposed letters are the same.
    pub normalization_insensitive: bool,
    /// Whether it was opened with a password.
    pub encrypted: bool,
    /// Bytes of a block.
    pub block_size: u32,
    /// Bytes of the container, which its volumes share.
    pub size: u64,
    /// Bytes that the volume uses, by its own count.
    pub used: u64,
    /// What was tolerated, and what is there but not read.
    pub notes: Vec<String>,
}

/// A file, folder or link of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Node {
    /// Inode number; the same number is the same file (hard links).
    pub id: u64,
    /// The kind; never [`EntryKind::Hardlink`].
    pub kind: EntryKind,
    /// Permission bits with set-uid, set-gid and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes of a file as [`Volume::open_file`] gives them (decoded), of a link's target, else 0.
    pub size: u64,
    /// Time of last change, in seconds since 1970.
    pub mtime: i64,
    /// Hard links; 1 for a folder.
    pub links: u32,
    /// The type of a compressed file (decmpfs).
    pub compressed: Option<u32>,
    /// Whether it is a Finder alias.
    pub finder_alias: bool,
    /// Bytes of the resource fork, when it is not the packed data of a compressed file.
    pub resource_fork: u64,
    /// The object whose extents hold the data.
    stream: u64,
    /// Bytes in those extents.
    plain_size: u64,
    dataless: bool,
}

/// What [`Volume::walk`] finds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// The path from the root, separated by `/`.
    pub path: String,
    /// What is there.
    pub node: Node,
}

/// An extended attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Xattr {
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub size: u64,
}
