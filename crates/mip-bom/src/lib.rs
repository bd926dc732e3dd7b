//! A bounded reader for macOS bills of materials (Bom files).
//!
//! A Bom lists the files that an installer package puts in place, with mode, owner, size and
//! a checksum of each. It is the file `Bom` of a flat package's component and `Archive.bom`
//! of an old bundle-style package, so the list can be had without unpacking a payload.
//!
//! The file is read into memory once (at most [`Limits::small_file`](mip_base::Limits)
//! bytes). Every block index and count is checked against the bytes that are there; circles
//! among tree nodes and parents are refused; nothing recurses.
//!
//! ```
//! use std::sync::Arc;
//! use mip_base::{Code, Job};
//! use mip_bom::Bom;
//!
//! let job = Job::default();
//! // Twelve bytes cannot hold the header.
//! let e = Bom::open(Arc::new(b"BOMStore\0\0\0\x01".to_vec()), &job).unwrap_err();
//! assert_eq!(e.code(), Code::Bom);
//!
//! # fn list(file: mip_base::Source) -> mip_base::Result<()> {
//! # let job = Job::default();
//! for p in Bom::open(file, &job)?.paths(&job)? {
//!     println!("{:o} {} {}", p.mode, p.size, p.path);
//! }
//! # Ok(())
//! # }
//! ```
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation))]

mod paths;
mod store;

use std::fmt;

use mip_base::{Code, EntryKind, EntryPath, Job, ReadAt as _, Result, Source, read_full_at};

/// An open Bom file.
pub struct Bom(store::Store);

impl fmt::Debug for Bom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bom").finish_non_exhaustive()
    }
}

/// One path of a Bom. The root itself (`.`) is not listed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BomPath {
    /// The path below the package's install location.
    pub path: EntryPath,
    /// The kind. Hard links are listed as files, as the package's payload has them.
    pub kind: EntryKind,
    /// Permission bits with set-uid, set-gid and sticky; 0 when the Bom records paths only.
    pub mode: u32,
    /// Whether owner, time, size, link target and checksum are recorded. Apple's tools leave
    /// them out for the AppleDouble files (`._name`) that they add; then those fields are 0.
    pub complete: bool,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of last change, in seconds since 1970.
    pub mtime: u32,
    /// Bytes of a file, with sizes over 4 GiB whole. For other kinds what the file system
    /// said when the package was built.
    pub size: u64,
    /// The target of a symbolic link as written; it may lead anywhere.
    pub link: Option<String>,
    /// The POSIX `cksum` of a file's bytes or of a link's target; 0 for other kinds.
    pub checksum: u32,
}

impl Bom {
    /// Reads a Bom file and checks its header and block table.
    ///
    /// # Errors
    /// [`Code::Bom`]; [`Code::LimitMemory`] when it is larger than
    /// [`Limits::small_file`](mip_base::Limits::small_file); [`Code::InputIo`].
    pub fn open(source: Source, job: &Job) -> Result<Self> {
        let mut data = job.buffer("Bom", source.size(), job.limits().small_file)?;
        read_full_at(&*source, 0, &mut data, Code::Bom)?;
        Ok(Self(store::Store::new(data)?))
    }

    /// All paths below the root, in the order of their components: a folder stands before
    /// what is in it.
    ///
    /// # Errors
    /// [`Code::Bom`] when a block, node or record is not where it should be, an id or path
    /// occurs twice, or a parent is missing; [`Code::PathUnsafe`] for a name that is not the
    /// name of one file; [`Code::LimitEntries`]; [`Code::Cancelled`].
    pub fn paths(&self, job: &Job) -> Result<Vec<BomPath>> {
        paths::read(&self.0, job)
    }

    /// The bytes of the block with this name. Other files than bills of materials are Bom
    /// files too: the asset catalogs of apps.
    ///
    /// # Errors
    /// [`Code::Bom`] when the list of names is cut, names two blocks so, or the block is not
    /// inside the file.
    pub fn named(&self, name: &str) -> Result<Option<&[u8]>> {
        match self.0.variable(name.as_bytes())? {
            Some(index) => self.0.block(index).map(Some),
            None => Ok(None),
        }
    }

    /// The entries of the tree with this name, in its order.
    ///
    /// Entries may share blocks: the sum of their lengths can be far more than the file has.
    ///
    /// # Errors
    /// As [`named`](Self::named); [`Code::Bom`] also for a tree that is damaged or whose keys
    /// are no blocks; [`Code::LimitEntries`]; [`Code::Cancelled`].
    pub fn tree(&self, name: &str, job: &Job) -> Result<Option<Vec<TreeEntry<'_>>>> {
        let Some(index) = self.0.variable(name.as_bytes())? else { return Ok(None) };
        let entry =
            |(value, key)| Ok(TreeEntry { key: self.0.block(key)?, value: self.0.block(value)? });
        self.0.tree(index, job)?.into_iter().map(entry).collect::<Result<_>>().map(Some)
    }
}

/// One entry of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeEntry<'a> {
    /// What it is found by.
    pub key: &'a [u8],
    /// What is found.
    pub value: &'a [u8],
}
