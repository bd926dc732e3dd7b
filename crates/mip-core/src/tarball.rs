//! A bundle out of a tree as a deterministic `tar.gz`.
//!
//! The bytes depend on the bundle and the options alone: not on threads, time, user, locale or
//! the order in which a file system lists a folder. Folders are written in sorted order, archives
//! in their own order. Nothing is held in memory but a few blocks of [`BLOCK`] bytes per thread.

mod gzip;
mod header;
mod links;

use std::collections::HashSet;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use mip_base::{Code, EntryKind, EntryPath, Error, Job, Result, len64, read_some};

pub use self::gzip::BLOCK;
use self::gzip::{Output, Sink};
use self::header::Header;
use crate::tree::{Tree, TreeEntry};

/// Deflate level unless the caller says otherwise: 2 % larger than level 6 for half of its time, and
/// 4 % smaller than `pigz -1` (docs/benchmarks.md).
const DEFAULT_LEVEL: u32 = 4;

/// 1980-01-01T00:00:00Z, the modification time of every member unless another is chosen.
pub const DEFAULT_MTIME: u64 = 315_532_800;

/// How a bundle is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TarballOptions {
    /// Modification time of every member, seconds since 1970, up to 8,589,934,591.
    pub mtime: u64,
    /// Deflate level, 1 to 9.
    pub level: u32,
    /// Threads that compress, 1 to 8. They change the time, not the bytes.
    pub threads: usize,
}

impl Default for TarballOptions {
    fn default() -> Self {
        let threads = crate::verify::threads(None);
        Self { mtime: DEFAULT_MTIME, level: DEFAULT_LEVEL, threads }
    }
}

/// What was written, and what was changed on the way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TarballReport {
    /// Files, hard links included.
    pub files: u64,
    /// Folders, the bundle itself included.
    pub folders: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Bytes of the tar before compression.
    pub tar_bytes: u64,
    /// Members that lost setuid, setgid, sticky or the right of everyone to write.
    pub special_modes: u64,
}

/// Reads the `tar.gz` of a bundle. Errors of the tree come out of `read` as
/// [`Error`] in an [`io::Error`]. Dropping it stops the threads behind it.
pub struct Tarball {
    output: Output,
    report: Arc<Mutex<Option<TarballReport>>>,
}

impl std::fmt::Debug for Tarball {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tarball").finish_non_exhaustive()
    }
}

impl Tarball {
    /// What was written; `None` before everything was read.
    #[must_use]
    pub fn report(&self) -> Option<TarballReport> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Read for Tarball {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.output.read(buf)
    }
}

/// Starts writing the bundle at `root` (the whole tree, if `None`) below a folder `name`
/// (`Tool.app`). Files are 0755 when anyone may execute them, else 0644; folders and links are
/// 0755; owner and group are 0.
///
/// # Errors
/// [`Code::PathUnsafe`] when `name` is not one name; [`Code::Usage`] for options out of range;
/// [`Code::Internal`] when no thread can be started. All others come out of the reader:
/// [`Code::PathUnsafe`] for a link that leads out of the bundle, those of
/// [`Listing::check_carried`](crate::tree::Listing::check_carried) and of [`Tree::walk`].
pub fn app_tarball(
    tree: Arc<dyn Tree>,
    root: Option<EntryPath>,
    name: &str,
    options: &TarballOptions,
    job: &Job,
) -> Result<Tarball> {
    let folder = EntryPath::new(name, job.limits())?;
    if folder.components().count() != 1 {
        return Err(Error::new(Code::PathUnsafe, "the name of a bundle has no folders"));
    }
    if options.mtime > header::MAX_MTIME || !(1..=9).contains(&options.level) {
        return Err(Error::new(Code::Usage, "a modification time or deflate level out of range"));
    }
    let report = Arc::new(Mutex::new(None));
    let (to, job, mtime) = (report.clone(), job.clone(), options.mtime);
    let output = gzip::start(options.level, options.threads, move |sink| {
        let mut writer = Writer {
            tree: &*tree,
            root: root.as_ref(),
            folder: &folder,
            mtime,
            sink,
            written: HashSet::new(),
            report: TarballReport::default(),
        };
        writer.bundle(&job)?;
        *to.lock().unwrap_or_else(PoisonError::into_inner) = Some(writer.report);
        Ok(())
    })?;
    Ok(Tarball { output, report })
}

struct Writer<'w> {
    tree: &'w dyn Tree,
    root: Option<&'w EntryPath>,
    folder: &'w EntryPath,
    mtime: u64,
    sink: &'w mut Sink,
    /// Folders that are written.
    written: HashSet<EntryPath>,
    report: TarballReport,
}

impl Writer<'_> {
    fn bundle(&mut self, job: &Job) -> Result<()> {
        self.tree.listing().check_carried(self.root, job)?;
        self.member(None, b'5', "", 0, 0o755)?;
        self.report.folders = 1;
        let mut buf = job.buffer("copy buffer", 1 << 16, 1 << 16)?;
        let (tree, root) = (self.tree, self.root);
        tree.walk(root, job, &mut |entry, data| {
            self.entry(entry, data, &mut buf).map_err(|e| match e.path() {
                None => e.within(entry.path.as_str()),
                Some(_) => e,
            })
        })?;
        // The end mark: two blocks of zeros.
        self.sink.write(&[0; 1024])?;
        self.report.tar_bytes = self.sink.written();
        Ok(())
    }

    fn entry(
        &mut self,
        entry: &TreeEntry,
        data: Option<&mut (dyn Read + Send)>,
        buf: &mut [u8],
    ) -> Result<()> {
        let Some(path) = self.below(&entry.path) else { return Ok(()) };
        self.parents(&path)?;
        match (entry.kind, data) {
            (EntryKind::Directory, _) => {
                self.count_mode(entry, 0o7000);
                self.folder(&path)
            }
            (EntryKind::Symlink, _) => {
                let target = entry.link.as_deref().unwrap_or("");
                links::check(self.tree, self.root, &path, target)?;
                self.report.symlinks = self.report.symlinks.saturating_add(1);
                self.member(Some(&path), b'2', target, 0, 0o755)
            }
            (EntryKind::Hardlink, _) => {
                let target = links::hard(self.root, entry)?;
                self.report.files = self.report.files.saturating_add(1);
                let target = self.folder.join(&target);
                self.member(Some(&path), b'1', target.as_str(), 0, 0o644)
            }
            (EntryKind::File, Some(data)) => self.file(entry, &path, data, buf),
            _ => Err(Error::new(Code::SpecialFile, "is neither a file, a folder nor a link")),
        }
    }

    /// The path below the bundle.
    fn below(&self, path: &EntryPath) -> Option<EntryPath> {
        match self.root {
            Some(root) => path.below(root),
            None => Some(path.clone()),
        }
    }

    /// Folders before what is in them, also where the archive has them later or not at all.
    fn parents(&mut self, path: &EntryPath) -> Result<()> {
        let mut missing = Vec::new();
        let mut at = path.parent();
        while let Some(p) = at.filter(|p| !self.written.contains(p)) {
            at = p.parent();
            missing.push(p);
        }
        missing.iter().rev().try_for_each(|p| self.folder(p))
    }

    fn folder(&mut self, path: &EntryPath) -> Result<()> {
        if !self.written.insert(path.clone()) {
            return Ok(());
        }
        self.report.folders = self.report.folders.saturating_add(1);
        self.member(Some(path), b'5', "", 0, 0o755)
    }

    fn file(
        &mut self,
        entry: &TreeEntry,
        path: &EntryPath,
        data: &mut dyn Read,
        buf: &mut [u8],
    ) -> Result<()> {
        self.count_mode(entry, 0o7002);
        let mode = if entry.mode & 0o111 == 0 { 0o644 } else { 0o755 };
        self.member(Some(path), b'0', "", entry.size, mode)?;
        let mut total: u64 = 0;
        loop {
            let n = read_some(data, buf)
                .map_err(|e| Error::from_io(Code::InputIo, "cannot read", e))?;
            let Some(bytes) = buf.get(..n).filter(|b| !b.is_empty()) else { break };
            total = total.saturating_add(len64(n));
            if total > entry.size {
                break;
            }
            self.sink.write(bytes)?;
        }
        if total != entry.size {
            let why = format!("{total} bytes were read of a file of {}", entry.size);
            return Err(Error::new(Code::InputChanged, why));
        }
        self.report.files = self.report.files.saturating_add(1);
        self.report.bytes = self.report.bytes.saturating_add(total);
        self.sink.write(header::padding(entry.size))
    }

    fn count_mode(&mut self, entry: &TreeEntry, special: u32) {
        if entry.mode & special != 0 {
            self.report.special_modes = self.report.special_modes.saturating_add(1);
        }
    }

    fn member(
        &mut self,
        path: Option<&EntryPath>,
        kind: u8,
        link: &str,
        size: u64,
        mode: u32,
    ) -> Result<()> {
        let mut name =
            path.map_or_else(|| self.folder.clone(), |p| self.folder.join(p)).to_string();
        if kind == b'5' {
            name.push('/');
        }
        let bytes = Header { name: &name, link, kind, mode, size, mtime: self.mtime }.to_bytes()?;
        self.sink.write(&bytes)
    }
}

#[cfg(test)]
mod tests;
