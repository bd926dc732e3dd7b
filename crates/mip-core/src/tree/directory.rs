//! A folder on disk as a tree: no link is followed, nothing outside is opened, and a file that
//! changes while it is read is noticed.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use mip_base::{
    Code, EntryKind, EntryPath, Error, FileAt, Job, ReadAt, Result, Section, escape_bytes, len64,
};

use super::listing::{Builder, Listing};
use super::{Tree, TreeEntry, Visit, read_all, read_head};

#[cfg(unix)]
#[path = "directory_unix.rs"]
mod sys;
#[cfg(not(unix))]
#[path = "directory_portable.rs"]
mod sys;

/// What a file system says about one entry.
#[derive(Debug, Clone)]
struct Found {
    kind: Option<EntryKind>,
    mode: u32,
    size: u64,
    mtime: u64,
    stamp: sys::Stamp,
}

/// A folder on disk.
pub struct DirectoryTree {
    root: sys::Root,
    listing: Listing,
    stamps: Vec<sys::Stamp>,
    job: Job,
}

impl std::fmt::Debug for DirectoryTree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DirectoryTree").field("listing", &self.listing).finish_non_exhaustive()
    }
}

impl DirectoryTree {
    /// Lists everything below `path`. A symbolic link at `path` itself is followed; below it
    /// none is. Hard links are files of their own.
    ///
    /// # Errors
    /// [`Code::InputIo`]; [`Code::SpecialFile`] for a device, pipe or socket, and for a mount
    /// point; [`Code::PathUnsafe`] for a name that is not UTF-8 or over a limit;
    /// [`Code::PathCollision`]; [`Code::InputChanged`]; [`Code::LimitEntries`] and other limits.
    pub fn open(path: &Path, job: &Job) -> Result<Self> {
        let root =
            sys::Root::open(path).map_err(|e| Error::from_io(Code::InputIo, "cannot open", e))?;
        let mut scan = Scan {
            root: &root,
            builder: Builder::new(Code::PathUnsafe, job),
            stamps: Vec::new(),
            seen: 0,
            job,
        };
        scan.folder(None)?;
        let (builder, stamps) = (scan.builder, scan.stamps);
        Ok(Self { root, listing: builder.finish()?, stamps, job: job.clone() })
    }

    fn open_file(&self, index: usize) -> Result<(&TreeEntry, Watched)> {
        let (Some(entry), Some(stamp)) =
            (self.listing.entries().get(index), self.stamps.get(index))
        else {
            return Err(Error::new(Code::Internal, "no such entry"));
        };
        let within = |e: Error| e.within(entry.path.as_str());
        if entry.kind != EntryKind::File {
            return Err(within(Error::new(Code::Internal, "is not a file")));
        }
        let file = self.root.open_file(&entry.path).map_err(|e| within(opening(e)))?;
        let watched =
            Watched { file: FileAt::from_file(file).map_err(within)?, stamp: stamp.clone() };
        watched.check().map_err(within)?;
        Ok((entry, watched))
    }
}

/// What could be listed a moment ago but is now missing or another kind of thing has changed.
fn opening(e: io::Error) -> Error {
    if sys::is_gone(&e) {
        return Error::new(Code::InputChanged, "was replaced or removed while the folder was read");
    }
    Error::from_io(Code::InputIo, "cannot open", e)
}

impl Tree for DirectoryTree {
    fn listing(&self) -> &Listing {
        &self.listing
    }

    fn walk(&self, below: Option<&EntryPath>, job: &Job, visit: &mut Visit<'_>) -> Result<()> {
        for (index, entry) in self.listing.below(below) {
            job.check()?;
            if entry.kind != EntryKind::File {
                visit(entry, None)?;
                continue;
            }
            let (_, watched) = self.open_file(index)?;
            let mut reader = WatchedReader { watched: &watched, at: 0, size: entry.size };
            visit(entry, Some(&mut reader))?;
        }
        Ok(())
    }

    fn section(&self, index: usize) -> Result<Option<Section>> {
        match self.listing.entries().get(index) {
            Some(e) if e.kind == EntryKind::File => {
                self.job.check()?;
                Ok(Some(Section::whole(Arc::new(self.open_file(index)?.1))))
            }
            _ => Ok(None),
        }
    }

    fn read(&self, index: usize, limit: u64, job: &Job) -> Result<Vec<u8>> {
        let (entry, watched) = self.open_file(index)?;
        let mut reader = WatchedReader { watched: &watched, at: 0, size: entry.size };
        read_all(&mut reader, entry, limit, Code::InputIo, job)
    }

    fn head(&self, index: usize, len: usize, _: &Job) -> Result<Vec<u8>> {
        let (entry, watched) = self.open_file(index)?;
        let mut reader = WatchedReader { watched: &watched, at: 0, size: entry.size };
        read_head(&mut reader, len, Code::InputIo)
    }
}

/// A file that must stay what it was when the folder was listed.
struct Watched {
    file: FileAt,
    stamp: sys::Stamp,
}

impl Watched {
    fn check(&self) -> Result<()> {
        let now = sys::stat(self.file.file())
            .map_err(|e| Error::from_io(Code::InputIo, "cannot stat", e))?;
        if now.stamp == self.stamp {
            return Ok(());
        }
        Err(Error::new(Code::InputChanged, "changed while the folder was read"))
    }
}

impl ReadAt for Watched {
    fn size(&self) -> u64 {
        self.file.size()
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read_at(offset, buf)?;
        // Asked after the read, so that no byte of a changed file is handed on.
        self.check()?;
        Ok(n)
    }
}

/// Reads a watched file from start to end: exactly the bytes it had when it was listed.
struct WatchedReader<'w> {
    watched: &'w Watched,
    at: u64,
    size: u64,
}

impl Read for WatchedReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let n = self.watched.read_at(self.at, buf)?.min(buf.len());
        self.at = self.at.saturating_add(len64(n));
        if self.at > self.size || (n == 0 && self.at != self.size) {
            let why = format!("{} bytes were read of a file of {}", self.at, self.size);
            return Err(Error::new(Code::InputChanged, why).into());
        }
        Ok(n)
    }
}

struct Scan<'s> {
    root: &'s sys::Root,
    builder: Builder,
    stamps: Vec<sys::Stamp>,
    seen: u64,
    job: &'s Job,
}

impl Scan<'_> {
    /// One folder and what is below it. The depth is bounded by [`EntryPath`].
    fn folder(&mut self, folder: Option<&EntryPath>) -> Result<()> {
        let shown = folder.map_or("", EntryPath::as_str);
        let within = |e: Error| e.within(shown);
        let limits = self.job.limits();
        let left = limits.entries.saturating_add(NOISE).saturating_sub(self.seen);
        let mut names = self.root.list(folder, left).map_err(|e| within(opening(e)))?;
        self.seen = self.seen.saturating_add(len64(names.len()));
        if self.seen > limits.entries.saturating_add(NOISE) {
            return Err(Error::limit(Code::LimitEntries, "entries", limits.entries, self.seen));
        }
        names.sort();
        for name in names {
            self.job.check()?;
            let path = join(folder, &name, self.job).map_err(within)?;
            let found = self.root.stat(&path).map_err(|e| opening(e).within(path.as_str()))?;
            self.add(path, found)?;
        }
        Ok(())
    }

    fn add(&mut self, path: EntryPath, found: Found) -> Result<()> {
        let within = |e: Error| e.within(path.as_str());
        if !self.root.same_device(&found.stamp) {
            let why = "is on another file system than its folder (a mount point)";
            return Err(within(Error::new(Code::SpecialFile, why)));
        }
        let (size, link) = match found.kind {
            Some(EntryKind::File) => (found.size, None),
            Some(EntryKind::Directory) => (0, None),
            Some(EntryKind::Symlink) => {
                let target = self.root.read_link(&path).map_err(|e| within(opening(e)))?;
                let target = String::from_utf8(target).map_err(|e| {
                    let shown = escape_bytes(e.as_bytes());
                    within(Error::new(
                        Code::PathUnsafe,
                        format!("the link's target \"{shown}\" is not UTF-8"),
                    ))
                })?;
                (0, Some(target))
            }
            other => {
                let what = match other {
                    Some(EntryKind::CharDevice | EntryKind::BlockDevice) => "a device",
                    Some(EntryKind::Fifo) => "a named pipe",
                    Some(EntryKind::Socket) => "a socket",
                    _ => "neither a file, a folder nor a symbolic link",
                };
                return Err(within(Error::new(Code::SpecialFile, format!("is {what}"))));
            }
        };
        let kind = found.kind.unwrap_or(EntryKind::File);
        let entry = TreeEntry {
            path: path.clone(),
            kind,
            mode: found.mode,
            size,
            link,
            mtime: found.mtime,
        };
        if self.builder.add(entry)?.is_some() {
            self.stamps.push(found.stamp);
            if kind == EntryKind::Directory {
                self.folder(Some(&path))?;
            }
        }
        Ok(())
    }
}

/// Entries beside the limit that a folder may hold: what is dropped does not count.
const NOISE: u64 = 100_000;

fn join(folder: Option<&EntryPath>, name: &[u8], job: &Job) -> Result<EntryPath> {
    let mut raw = Vec::new();
    if let Some(f) = folder {
        raw.extend_from_slice(f.as_str().as_bytes());
        raw.push(b'/');
    }
    raw.extend_from_slice(name);
    EntryPath::parse(&raw, job.limits())?
        .ok_or_else(|| Error::new(Code::PathUnsafe, "a name that names nothing"))
}
