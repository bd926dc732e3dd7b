//! Parts of a stream of entries, copied to where they can be read at positions: a tree.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::sync::Arc;

use mip_base::{
    Code, EntryKind, EntryPath, Error, FileAt, Job, Result, Section, Source, len64, read_some,
};

use crate::input::no_temporary;
use crate::package::payload::{Archive, ArchiveEntry};
use crate::tree::{Builder, Listing, Tree, TreeEntry, Visit};

/// Above this a copy goes to an unnamed temporary file.
const IN_MEMORY: u64 = 8 << 20;
/// Bytes of programs that are kept when everything is too much.
const PROGRAMS: u64 = 256 << 20;

/// What was copied of a stream.
pub(super) struct SpooledTree {
    listing: Listing,
    /// For each entry of the listing where its data is; `None`: there is none, or it was not kept.
    places: Vec<Option<u64>>,
    data: Source,
}

impl std::fmt::Debug for SpooledTree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SpooledTree").field("listing", &self.listing).finish_non_exhaustive()
    }
}

/// What to copy.
pub(super) struct Wanted<'w> {
    /// Folders: what is in one of them. None: everything.
    pub(super) folders: &'w [EntryPath],
    /// Most bytes. Beyond that, only what a signature itself is made of is kept: programs and
    /// the files that describe them.
    pub(super) most: u64,
}

impl SpooledTree {
    /// Copies; gives also whether everything was kept that is wanted.
    ///
    /// # Errors
    /// Those of the stream; [`Code::PathUnsafe`] for a tree that cannot be; [`Code::OutputIo`] for
    /// the temporary file; limits.
    pub(super) fn copy(
        archive: &mut Archive,
        wanted: &Wanted<'_>,
        job: &Job,
    ) -> Result<(Self, bool)> {
        let mut builder = Builder::new(Code::PathUnsafe, job).lenient(false);
        let mut places: Vec<Option<u64>> = Vec::new();
        let mut copy = Copy { at: 0, small: Vec::new(), file: None };
        let mut shared: HashMap<(u64, u64), Shared> = HashMap::new();
        let mut all = true;
        while let Some(entry) = archive.next_entry()? {
            job.check()?;
            let Some((added, key)) = tree_entry(entry, wanted) else { continue };
            let (file, size) = (added.kind == EntryKind::File, added.size);
            let program = added.mode & 0o111 != 0;
            let path = added.path.clone();
            let Some(index) = builder.add(added)? else { continue };
            let within = |e: Error| e.within(path.as_str());
            places.resize(index.saturating_add(1), None);
            if !file {
                continue;
            }
            let total = copy.at.saturating_add(size);
            all &= total <= wanted.most;
            let keep = total <= wanted.most
                || (total <= wanted.most.saturating_add(PROGRAMS)
                    && (program || describes(path.as_str())));
            if !keep {
                continue;
            }
            let at = copy.take(archive, size, job).map_err(within)?;
            if let Some(p) = places.get_mut(index) {
                *p = Some(at);
            }
            if let Some(key) = key {
                let group = shared.entry(key).or_default();
                group.links.push(index);
                // All but one may be written without data.
                if size > 0 || group.data.is_none() {
                    group.data = Some((at, size));
                }
            }
        }
        for group in shared.into_values() {
            let Some((at, size)) = group.data else { continue };
            for index in group.links {
                builder.set_size(index, size);
                if let Some(p) = places.get_mut(index) {
                    *p = Some(at);
                }
            }
        }
        Ok((Self { listing: builder.finish()?, places, data: copy.finish()? }, all))
    }
}

/// Hard links to one file.
#[derive(Default)]
struct Shared {
    links: Vec<usize>,
    data: Option<(u64, u64)>,
}

/// Files that say what the signature of a bundle is, beside its programs.
fn describes(path: &str) -> bool {
    path.ends_with("/Info.plist")
        || path.ends_with("/CodeResources")
        || path.contains("/MacOS/")
        || path == "Info.plist"
}

fn tree_entry(e: ArchiveEntry, wanted: &Wanted<'_>) -> Option<(TreeEntry, Option<(u64, u64)>)> {
    let path = e.path?;
    let inside = |f: &EntryPath| *f == path || path.below(f).is_some();
    if !wanted.folders.is_empty() && !wanted.folders.iter().any(inside) {
        return None;
    }
    // The data of a hard link without any is that of the file that it shares.
    let kind = if e.kind == EntryKind::Hardlink { EntryKind::File } else { e.kind };
    if !matches!(kind, EntryKind::File | EntryKind::Directory | EntryKind::Symlink) {
        return None;
    }
    let link = if kind == EntryKind::Symlink { e.link } else { None };
    let size = if kind == EntryKind::File { e.size } else { 0 };
    let mtime = e.mtime.unwrap_or(0);
    Some((TreeEntry { path, kind, mode: e.mode & 0o7777, size, link, mtime }, e.shared))
}

/// Where data is copied to.
struct Copy {
    at: u64,
    small: Vec<u8>,
    file: Option<File>,
}

impl Copy {
    /// Copies all of `input`, which must have `size` bytes; gives where it is.
    fn take(&mut self, input: &mut dyn Read, size: u64, job: &Job) -> Result<u64> {
        let out = no_temporary;
        let limit = job.limits().expanded_bytes;
        let start = self.at;
        let end = start.saturating_add(size);
        if end > limit {
            return Err(Error::limit(Code::LimitExpanded, "bytes of all files", limit, end));
        }
        if self.file.is_none() && end > IN_MEMORY {
            let mut file = tempfile::tempfile().map_err(out)?;
            file.write_all(&self.small).map_err(out)?;
            self.small = Vec::new();
            self.file = Some(file);
        }
        let mut buf = job.buffer("copy buffer", 1 << 18, 1 << 18)?;
        loop {
            job.check()?;
            let n = read_some(input, &mut buf)
                .map_err(|e| Error::from_io(Code::InputIo, "reading", e))?;
            let Some(bytes) = buf.get(..n).filter(|b| !b.is_empty()) else { break };
            self.at = self.at.saturating_add(len64(n));
            if self.at > end {
                break;
            }
            match &mut self.file {
                Some(file) => file.write_all(bytes).map_err(out)?,
                None => self.small.extend_from_slice(bytes),
            }
        }
        if self.at != end {
            return Err(Error::new(Code::Truncated, format!("is not {size} bytes long")));
        }
        Ok(start)
    }

    fn finish(self) -> Result<Source> {
        Ok(match self.file {
            Some(file) => Arc::new(FileAt::from_file(file)?),
            None => Arc::new(self.small),
        })
    }
}

impl Tree for SpooledTree {
    fn listing(&self) -> &Listing {
        &self.listing
    }

    fn walk(&self, below: Option<&EntryPath>, job: &Job, visit: &mut Visit<'_>) -> Result<()> {
        for (index, entry) in self.listing.below(below) {
            job.check()?;
            match self.section(index)? {
                Some(section) => visit(entry, Some(&mut section.reader()))?,
                None => visit(entry, None)?,
            }
        }
        Ok(())
    }

    fn section(&self, index: usize) -> Result<Option<Section>> {
        let entry = self.listing.entries().get(index);
        let Some(entry) = entry.filter(|e| e.kind == EntryKind::File) else { return Ok(None) };
        let not_kept = || {
            Error::new(Code::Unsupported, "was not looked at, because the whole is too large")
                .within(entry.path.as_str())
        };
        let at = self.places.get(index).copied().flatten().ok_or_else(not_kept)?;
        Section::new(self.data.clone(), at, entry.size).ok_or_else(not_kept).map(Some)
    }

    fn read(&self, index: usize, limit: u64, job: &Job) -> Result<Vec<u8>> {
        let Some(section) = self.section(index)? else {
            return Err(Error::new(Code::Internal, "is not a file"));
        };
        let size = mip_base::ReadAt::size(&section);
        let mut data = job.buffer("file", size, limit)?;
        mip_base::read_full_at(&section, 0, &mut data, Code::Truncated)?;
        Ok(data)
    }

    fn head(&self, index: usize, len: usize, job: &Job) -> Result<Vec<u8>> {
        let Some(section) = self.section(index)? else { return Ok(Vec::new()) };
        let len = mip_base::ReadAt::size(&section).min(len64(len));
        let mut data = job.buffer("head", len, len64(crate::tree::MAX_HEAD))?;
        mip_base::read_full_at(&section, 0, &mut data, Code::Truncated)?;
        Ok(data)
    }
}
