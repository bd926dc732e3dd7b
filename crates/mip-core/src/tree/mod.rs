//! Trees of files: a folder, a zip or a tar, read through one trait and never unpacked to disk.
//!
//! What Finder and macOS archivers leave beside the files ([`Dropped`]) is not part of a tree.

mod collisions;
mod directory;
mod listing;
mod tar;
mod zip;

use std::io::Read;
use std::path::Path;

use mip_base::{
    Code, EntryKind, EntryPath, Error, Job, Result, Section, Source, read_some, read_up_to,
};
use mip_codec::Compression;

use crate::input::spool;

pub use directory::DirectoryTree;
pub(crate) use listing::Builder;
pub use listing::{Dropped, Listing};
pub use tar::TarTree;
pub use zip::ZipTree;

/// One file, folder or link of a tree. The root itself is not an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeEntry {
    /// Path below the root of the tree.
    pub path: EntryPath,
    /// What it is: a file, a folder, a symbolic link, or (tar only) a hard link.
    pub kind: EntryKind,
    /// Permission bits, with setuid, setgid and sticky (`0o7777`).
    pub mode: u32,
    /// Bytes of a file's data; 0 for everything else.
    pub size: u64,
    /// A symbolic link's target as it is written; a hard link's target as a path of the tree.
    /// In the listing of a disk image it is `None`: [`Tree::link`] reads it.
    pub link: Option<String>,
    /// Modification time, seconds since 1970; 0 where the source has none.
    pub mtime: u64,
}

/// What [`Tree::walk`] calls for each entry, with the data of files. Data that is read to its
/// end has been checked (size, checksum, no change while reading); data that is not read to its
/// end has not.
pub type Visit<'v> = dyn FnMut(&TreeEntry, Option<&mut (dyn Read + Send)>) -> Result<()> + 'v;

/// What is called with the data of one file.
pub type UseData<'u> = dyn FnMut(&mut dyn Read) -> Result<()> + 'u;

/// Files below one root.
pub trait Tree: std::fmt::Debug + Send + Sync {
    /// The table of what is in the tree.
    fn listing(&self) -> &Listing;

    /// Calls `visit` for the entries below `below` (all, if `None`; never for `below` itself).
    /// Archives in the order of the archive, folders in the order of [`Listing::sorted`].
    ///
    /// # Errors
    /// What `visit` returns, and errors of reading: [`Code::InputIo`], [`Code::InputChanged`],
    /// the code of the format, limits, [`Code::Cancelled`].
    fn walk(&self, below: Option<&EntryPath>, job: &Job, visit: &mut Visit<'_>) -> Result<()>;

    /// Where the bytes of entry `index` are stored as they are, so that a package inside can be
    /// read at positions; `None` when they are compressed, or the entry is not a file.
    ///
    /// # Errors
    /// As [`walk`](Self::walk).
    fn section(&self, index: usize) -> Result<Option<Section>>;

    /// Hands the data of file `index` over, from its start. Nothing beside it is opened. What is
    /// read to its end has been checked, as in [`walk`](Self::walk).
    ///
    /// # Errors
    /// As [`walk`](Self::walk); what `use_data` returns.
    fn stream(&self, index: usize, job: &Job, use_data: &mut UseData<'_>) -> Result<()> {
        job.check()?;
        match self.section(index)? {
            Some(section) => use_data(&mut section.reader()),
            None => Err(Error::new(Code::Internal, "is not a file")),
        }
    }

    /// All bytes of file `index`, checked.
    ///
    /// # Errors
    /// [`Code::LimitMemory`] over `limit`; as [`walk`](Self::walk).
    fn read(&self, index: usize, limit: u64, job: &Job) -> Result<Vec<u8>>;

    /// The first `len` bytes of file `index` (fewer if it is shorter), not checked.
    ///
    /// # Errors
    /// As [`walk`](Self::walk).
    fn head(&self, index: usize, len: usize, job: &Job) -> Result<Vec<u8>>;

    /// The target of the symbolic link at entry `index`, as it is written; of a hard link its
    /// target as a path of the tree. `None` for everything else.
    ///
    /// # Errors
    /// As [`walk`](Self::walk).
    fn link(&self, index: usize, _job: &Job) -> Result<Option<String>> {
        Ok(self.entries().get(index).and_then(|e| e.link.clone()))
    }

    /// The entries, in the order of the source.
    fn entries(&self) -> &[TreeEntry] {
        self.listing().entries()
    }

    /// The index of the entry at `path`.
    fn find(&self, path: &str) -> Option<usize> {
        self.listing().find(path)
    }

    /// The entry at `path`.
    fn get(&self, path: &str) -> Option<&TreeEntry> {
        self.find(path).and_then(|i| self.entries().get(i))
    }
}

/// How the files of a tree are kept together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// A zip file.
    Zip,
    /// A tar file, compressed or not.
    Tar(Compression),
}

/// Opens an archive as a tree.
///
/// # Errors
/// [`Code::Zip`], [`Code::Tar`], the codes of the decoders, [`Code::PathUnsafe`],
/// [`Code::PathCollision`], [`Code::SpecialFile`], [`Code::Unsupported`], limits.
pub fn open_archive(source: Source, container: Container, job: &Job) -> Result<Box<dyn Tree>> {
    Ok(match container {
        Container::Zip => Box::new(ZipTree::open(source, job)?),
        Container::Tar(kind) => Box::new(TarTree::open(source, kind, job)?),
    })
}

/// Opens a folder as a tree.
///
/// # Errors
/// As [`DirectoryTree::open`].
pub fn open_directory(path: &Path, job: &Job) -> Result<Box<dyn Tree>> {
    Ok(Box::new(DirectoryTree::open(path, job)?))
}

/// The bytes of a file in a tree, where they can be read at positions.
pub(crate) fn positioned(tree: &dyn Tree, index: usize, job: &Job) -> Result<Section> {
    if let Some(section) = tree.section(index)? {
        return Ok(section);
    }
    let Some(entry) = tree.entries().get(index) else {
        return Err(Error::new(Code::Internal, "no such entry"));
    };
    if entry.kind != EntryKind::File {
        let why = "is not a file";
        return Err(Error::new(Code::Unsupported, why).within(entry.path.as_str()));
    }
    let mut copy = None;
    tree.stream(index, job, &mut |data| {
        copy = Some(spool(data, Some(entry.size), job.limits().expanded_bytes, job)?);
        Ok(())
    })?;
    let copy = copy.ok_or_else(|| Error::new(Code::Truncated, "the entry has no data"))?;
    Ok(Section::whole(copy))
}

/// Reads all of a file of `size` bytes into memory; less or more than `size` is `code`.
fn read_all(
    input: &mut dyn Read,
    entry: &TreeEntry,
    limit: u64,
    code: Code,
    job: &Job,
) -> Result<Vec<u8>> {
    let within = |e: Error| e.within(entry.path.as_str());
    let mut data = job.buffer(entry.path.file_name(), entry.size, limit).map_err(within)?;
    input.read_exact(&mut data).map_err(|e| within(Error::from_io(code, "cannot read", e)))?;
    // One read past the end makes the reader check what it can check there.
    match read_some(input, &mut [0]).map_err(|e| within(Error::from_io(code, "cannot read", e)))? {
        0 => Ok(data),
        _ => Err(within(Error::new(code, format!("more than its {} bytes", entry.size)))),
    }
}

/// Reads up to `len` bytes.
fn read_head(input: &mut dyn Read, len: usize, code: Code) -> Result<Vec<u8>> {
    let mut head = vec![0; len.min(MAX_HEAD)];
    let have = read_up_to(input, &mut head).map_err(|e| Error::from_io(code, "cannot read", e))?;
    head.truncate(have);
    Ok(head)
}

/// Most bytes that [`Tree::head`] returns.
pub(crate) const MAX_HEAD: usize = 64 << 10;

#[cfg(test)]
mod tests;
