//! APFS containers and volumes.
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
    /// Bytes of a file as [`Volume::open`] gives them (decoded), of a link's target, else 0.
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
