//! What is handed to the library: a path, a stream, or any positioned source.

use std::fmt;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mip_base::{Code, Error, FileAt, Job, ReadAt, Result, Section, Source, escape, read_some};
use mip_codec::Compression;

/// An installer or an archive to read.
#[derive(Clone)]
pub struct Input {
    name: String,
    from: From,
}

#[derive(Clone)]
enum From {
    Path(PathBuf),
    Source(Source),
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Input").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Input {
    /// A file or a folder (an `.app`, a bundle-style package). Nothing is opened yet.
    #[must_use]
    pub fn path(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        // `Foo.app/` and `.` have no file name of their own spelling.
        let name = path.file_name().map_or_else(
            || path.canonicalize().ok().and_then(|p| p.file_name().map(|n| n.to_owned())),
            |n| Some(n.to_owned()),
        );
        let name = name.map_or_else(|| "input".to_owned(), |n| n.to_string_lossy().into_owned());
        Self { name, from: From::Path(path) }
    }

    /// Bytes that the caller holds: an upload, an object in a store. `name` is the file name
    /// that they came with; it decides nothing but the names of payload and output.
    #[must_use]
    pub fn source(name: impl Into<String>, source: Source) -> Self {
        Self { name: name.into(), from: From::Source(source) }
    }

    /// A stream that cannot be read at positions, such as a pipe: copied into an unnamed
    /// temporary file first.
    ///
    /// # Errors
    /// [`Code::InputIo`], [`Code::OutputIo`] (the temporary file), [`Code::Limit`]
    /// ([`Limits::input_bytes`](mip_base::Limits::input_bytes)), [`Code::Cancelled`].
    pub fn stream(name: impl Into<String>, stream: &mut dyn Read, job: &Job) -> Result<Self> {
        let spool = spool(stream, None, job.limits().input_bytes, job)?;
        Ok(Self { name: name.into(), from: From::Source(spool) })
    }

    /// The file name, without folders.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The path, where the input is one.
    #[must_use]
    pub fn as_path(&self) -> Option<&Path> {
        match &self.from {
            From::Path(p) => Some(p),
            From::Source(_) => None,
        }
    }

    /// How errors name it: the path as it was given, else the name.
    pub(crate) fn shown(&self) -> String {
        match &self.from {
            From::Path(p) => p.to_string_lossy().into_owned(),
            From::Source(_) => self.name.clone(),
        }
    }

    pub(crate) fn open(&self, job: &Job) -> Result<Opened> {
        match &self.from {
            From::Source(s) => {
                check_size(s.size(), job)?;
                Ok(Opened::File { source: s.clone(), stamp: None })
            }
            From::Path(p) => {
                let shown = escape(&p.to_string_lossy());
                let meta = std::fs::metadata(p)
                    .map_err(|e| Error::from_io(Code::InputIo, "cannot open", e).within(&shown))?;
                if meta.is_dir() {
                    return Ok(Opened::Folder(p.clone()));
                }
                let file = Arc::new(FileAt::open(p)?);
                check_size(file.size(), job).map_err(|e| e.within(&shown))?;
                let stamp = Stamp::of(&file)?;
                Ok(Opened::File { source: file.clone(), stamp: Some((file, stamp)) })
            }
        }
    }
}

fn check_size(size: u64, job: &Job) -> Result<()> {
    let limit = job.limits().input_bytes;
    if size > limit {
        return Err(Error::limit(Code::Limit, "input-bytes", limit, size));
    }
    Ok(())
}

/// An input that is open.
pub(crate) enum Opened {
    Folder(PathBuf),
    File { source: Source, stamp: Option<(Arc<FileAt>, Stamp)> },
}

impl Opened {
    /// The input must be what it was when it was opened: what was inspected is what was packed.
    pub(crate) fn unchanged(&self) -> Result<()> {
        match self {
            Opened::File { stamp: Some((file, stamp)), .. } if Stamp::of(file)? != *stamp => {
                Err(Error::new(Code::InputChanged, "the input changed while it was being read"))
            }
            _ => Ok(()),
        }
    }
}

/// What must not change about a file while it is read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    len: u64,
    modified: Option<std::time::SystemTime>,
    /// Device, inode, change time where the platform has them.
    ids: [i128; 4],
}

impl Stamp {
    fn of(file: &FileAt) -> Result<Self> {
        let meta =
            file.file().metadata().map_err(|e| Error::from_io(Code::InputIo, "cannot stat", e))?;
        #[cfg(unix)]
        let ids = {
            use std::os::unix::fs::MetadataExt;
            [meta.dev().into(), meta.ino().into(), meta.ctime().into(), meta.ctime_nsec().into()]
        };
        #[cfg(not(unix))]
        let ids = [0; 4];
        Ok(Self { len: meta.len(), modified: meta.modified().ok(), ids })
    }
}

/// Above this a copy that must be positioned goes to an unnamed temporary file.
const IN_MEMORY: usize = 8 << 20;

/// A temporary file that cannot be made or written.
pub(crate) fn no_temporary(e: std::io::Error) -> Error {
    Error::from_io(Code::OutputIo, "cannot write a temporary file", e)
        .hint("free space in the folder for temporary files, or name another with TMPDIR")
}

/// Copies a stream to where it can be read at positions: memory when small, else an unnamed
/// temporary file that vanishes with its last handle. `size`, when known, must be exact.
pub(crate) fn spool(
    stream: &mut dyn Read,
    size: Option<u64>,
    limit: u64,
    job: &Job,
) -> Result<Source> {
    let out = no_temporary;
    let mut small: Vec<u8> = Vec::new();
    let mut file: Option<std::fs::File> = None;
    let mut buf = job.buffer("copy buffer", 1 << 18, 1 << 18)?;
    let mut total: u64 = 0;
    loop {
        job.check()?;
        let n =
            read_some(stream, &mut buf).map_err(|e| Error::from_io(Code::InputIo, "reading", e))?;
        let Some(bytes) = buf.get(..n).filter(|b| !b.is_empty()) else { break };
        total = total.saturating_add(bytes.size());
        if total > limit {
            return Err(Error::limit(Code::Limit, "input-bytes", limit, total));
        }
        match &mut file {
            Some(f) => f.write_all(bytes).map_err(out)?,
            None if small.len().saturating_add(n) <= IN_MEMORY => small.extend_from_slice(bytes),
            None => {
                let mut f = tempfile::tempfile().map_err(out)?;
                f.write_all(&small).map_err(out)?;
                f.write_all(bytes).map_err(out)?;
                small = Vec::new();
                file = Some(f);
            }
        }
    }
    if size.is_some_and(|s| s != total) {
        let want = size.unwrap_or(0);
        return Err(Error::new(Code::Truncated, format!("{total} bytes instead of {want}")));
    }
    Ok(match file {
        Some(f) => Arc::new(FileAt::from_file(f)?),
        None => Arc::new(small),
    })
}

/// Decompresses a file to where it can be read at positions. `size`, when known, must be exact.
pub(crate) fn unpacked(
    data: &Section,
    how: Compression,
    size: Option<u64>,
    job: &Job,
) -> Result<Source> {
    let input = Box::new(std::io::BufReader::with_capacity(1 << 18, data.reader()));
    let mut decoder = mip_codec::decoder(how, input, job)?;
    spool(decoder.as_mut(), size, job.limits().expanded_bytes, job)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mip_base::Limits;

    #[test]
    fn streams_become_positioned_in_memory_and_on_disk() {
        for len in [0usize, 10, IN_MEMORY, IN_MEMORY + 70_000] {
            let data: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
            let s =
                spool(&mut data.as_slice(), Some(len as u64), u64::MAX, &Job::default()).unwrap();
            assert_eq!(s.size(), len as u64);
            let mut back = vec![0; len];
            mip_base::read_full_at(&s, 0, &mut back, Code::Truncated).unwrap();
            assert!(back == data);
        }
    }

    #[test]
    fn a_stream_of_another_length_than_promised_is_refused() {
        let e = spool(&mut &b"abc"[..], Some(4), 10, &Job::default()).err().unwrap();
        assert_eq!(e.code(), Code::Truncated);
        let e = spool(&mut &b"abc"[..], None, 2, &Job::default()).err().unwrap();
        assert_eq!(e.code(), Code::Limit);
    }

    #[test]
    fn a_file_that_grows_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.pkg");
        std::fs::write(&path, b"xar!").unwrap();
        let opened = Input::path(&path).open(&Job::default()).unwrap();
        opened.unchanged().unwrap();
        std::fs::write(&path, b"xar!more").unwrap();
        assert_eq!(opened.unchanged().unwrap_err().code(), Code::InputChanged);
    }

    #[test]
    fn the_size_limit_is_checked_at_open() {
        let mut limits = Limits::default();
        limits.input_bytes = 3;
        let job = Job::new(limits, Default::default(), Arc::new(mip_base::SilentProgress));
        let e = Input::source("x", Arc::new(vec![0; 4])).open(&job).err().unwrap();
        assert_eq!(e.code(), Code::Limit);
    }

    #[test]
    fn names_come_from_the_path() {
        assert_eq!(Input::path("/a/Foo.app/").name(), "Foo.app");
    }
}
