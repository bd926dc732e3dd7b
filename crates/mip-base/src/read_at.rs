//! Positioned reads and writes.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::{Code, Error, Result, len64};

/// Bytes that can be read at any position by any thread.
pub trait ReadAt: Send + Sync {
    /// Length in bytes. Constant for the life of the value.
    fn size(&self) -> u64;

    /// Reads up to `buf.len()` bytes at `offset`. May return fewer; returns 0 only when
    /// `offset` is at or past the end, or `buf` is empty.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;
}

/// A shared source of bytes.
pub type Source = Arc<dyn ReadAt>;

/// Bytes that can also be written at any position, for an output that is being built.
pub trait WriteAt: ReadAt {
    /// Writes all of `buf` at `offset`, growing the file as needed.
    fn write_all_at(&self, offset: u64, buf: &[u8]) -> io::Result<()>;
}

impl<T: ReadAt + ?Sized> ReadAt for Arc<T> {
    fn size(&self) -> u64 {
        (**self).size()
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        (**self).read_at(offset, buf)
    }
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    fn size(&self) -> u64 {
        (**self).size()
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        (**self).read_at(offset, buf)
    }
}

impl ReadAt for [u8] {
    fn size(&self) -> u64 {
        len64(self.len())
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let tail = usize::try_from(offset).ok().and_then(|o| self.get(o..)).unwrap_or(&[]);
        let mut tail = tail;
        tail.read(buf)
    }
}

impl ReadAt for Vec<u8> {
    fn size(&self) -> u64 {
        self.as_slice().size()
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.as_slice().read_at(offset, buf)
    }
}

/// Fills `buf` from `offset` on; a short source is an error of `code`.
///
/// # Errors
/// `code` when the source ends first; [`Code::InputIo`] when reading fails.
pub fn read_full_at<R: ReadAt + ?Sized>(
    src: &R,
    offset: u64,
    buf: &mut [u8],
    code: Code,
) -> Result<()> {
    let mut at = offset;
    let mut rest = buf;
    while !rest.is_empty() {
        match src.read_at(at, rest) {
            Ok(0) => {
                return Err(
                    Error::new(code, "the file ends before its own numbers say it should").at(at)
                );
            }
            Ok(n) => {
                // A source that claims more than it was asked for must not shift the window.
                let n = n.min(rest.len());
                at = at.saturating_add(len64(n));
                rest = rest.get_mut(n..).unwrap_or_default();
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Error::from_io(Code::InputIo, "reading", e).at(at)),
        }
    }
    Ok(())
}

/// One read, again after an interrupt. Never returns more than `buf.len()`, whatever `input`
/// claims.
///
/// # Errors
/// What `input` reports.
pub fn read_some<R: Read + ?Sized>(input: &mut R, buf: &mut [u8]) -> io::Result<usize> {
    loop {
        match input.read(buf) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            done => return done.map(|n| n.min(buf.len())),
        }
    }
}

/// Reads until `buf` is full or `input` ends; how many bytes there were.
///
/// # Errors
/// What `input` reports.
pub fn read_up_to<R: Read + ?Sized>(input: &mut R, buf: &mut [u8]) -> io::Result<usize> {
    let mut have = 0_usize;
    while let Some(rest) = buf.get_mut(have..).filter(|r| !r.is_empty()) {
        match read_some(input, rest)? {
            0 => break,
            n => have = have.saturating_add(n),
        }
    }
    Ok(have)
}

/// A window of a source: positions start at 0, and nothing outside can be read.
#[derive(Clone)]
pub struct Section {
    source: Source,
    start: u64,
    len: u64,
}

impl fmt::Debug for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Section").field("start", &self.start).field("len", &self.len).finish()
    }
}

impl Section {
    /// The whole source.
    #[must_use]
    pub fn whole(source: Source) -> Self {
        let len = source.size();
        Self { source, start: 0, len }
    }

    /// `len` bytes of `source` from `start`; `None` when that range leaves the source.
    #[must_use]
    pub fn new(source: Source, start: u64, len: u64) -> Option<Self> {
        (start.checked_add(len)? <= source.size()).then_some(Self { source, start, len })
    }

    /// A window inside this window; `None` when it leaves it.
    #[must_use]
    pub fn slice(&self, start: u64, len: u64) -> Option<Self> {
        (start.checked_add(len)? <= self.len).then_some(())?;
        Some(Self { source: self.source.clone(), start: self.start.checked_add(start)?, len })
    }

    /// Where the window starts in its source.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.start
    }

    /// A sequential reader from the window's start.
    #[must_use]
    pub fn reader(&self) -> Cursor<Section> {
        Cursor::new(self.clone())
    }
}

impl ReadAt for Section {
    fn size(&self) -> u64 {
        self.len
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.len.saturating_sub(offset);
        let n = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        let Some(buf) = buf.get_mut(..n) else { return Ok(0) };
        if n == 0 {
            return Ok(0);
        }
        let Some(at) = self.start.checked_add(offset) else { return Ok(0) };
        Ok(self.source.read_at(at, buf)?.min(n))
    }
}

/// `Read + Seek` over a [`ReadAt`].
#[derive(Debug, Clone)]
pub struct Cursor<R> {
    source: R,
    at: u64,
}

impl<R: ReadAt> Cursor<R> {
    /// A cursor at position 0.
    #[must_use]
    pub fn new(source: R) -> Self {
        Self { source, at: 0 }
    }

    /// The position of the next read.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.at
    }
}

impl<R: ReadAt> Read for Cursor<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.source.read_at(self.at, buf)?.min(buf.len());
        self.at = self.at.saturating_add(len64(n));
        Ok(n)
    }
}

impl<R: ReadAt> Seek for Cursor<R> {
    fn seek(&mut self, pos: SeekFrom) -> io::Result<u64> {
        let to = match pos {
            SeekFrom::Start(n) => Some(n),
            SeekFrom::End(d) => self.source.size().checked_add_signed(d),
            SeekFrom::Current(d) => self.at.checked_add_signed(d),
        };
        self.at = to.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

/// A regular file, read and written at positions. Never mapped into memory: a file that is
/// cut while it is read must give an error, not a signal.
#[derive(Debug)]
pub struct FileAt {
    file: File,
    len: u64,
    writable: bool,
}

fn not_a_file() -> Error {
    Error::new(Code::SpecialFile, "is not a regular file")
        .hint("give a regular file or a folder; the command line reads a pipe as - (stdin)")
}

impl FileAt {
    /// Opens `path` for reading. The path is followed if it is a symbolic link; what it leads
    /// to must be a regular file. Never blocks on a pipe or a device.
    ///
    /// # Errors
    /// [`Code::InputIo`]; [`Code::SpecialFile`] when it is not a regular file.
    pub fn open(path: &Path) -> Result<Self> {
        let shown = crate::escape(&path.to_string_lossy());
        let io = |e| Error::from_io(Code::InputIo, "cannot open", e).within(&shown);
        // Look before opening: opening a pipe would block.
        let meta = std::fs::metadata(path).map_err(io)?;
        if !meta.is_file() {
            return Err(not_a_file().within(&shown));
        }
        let mut options = File::options();
        options.read(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            // O_NONBLOCK: the path may have been swapped for a pipe since the look above.
            options.custom_flags(o_nonblock());
        }
        let file = options.open(path).map_err(io)?;
        Self::from_file(file).map_err(|e| e.within(&shown))
    }

    /// Takes an open file for reading.
    ///
    /// # Errors
    /// [`Code::InputIo`]; [`Code::SpecialFile`] when it is not a regular file.
    pub fn from_file(file: File) -> Result<Self> {
        let meta = file.metadata().map_err(|e| Error::from_io(Code::InputIo, "cannot stat", e))?;
        if !meta.is_file() {
            return Err(not_a_file());
        }
        Ok(Self { len: meta.len(), file, writable: false })
    }

    /// Takes an open file that is being built: its length is asked for at each call.
    #[must_use]
    pub fn growing(file: File) -> Self {
        Self { len: 0, file, writable: true }
    }

    /// The file itself.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }
}

#[cfg(unix)]
fn o_nonblock() -> i32 {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        0o4000
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        0x0004
    }
}

impl ReadAt for FileAt {
    fn size(&self) -> u64 {
        if self.writable { self.file.metadata().map_or(0, |m| m.len()) } else { self.len }
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        #[cfg(unix)]
        {
            std::os::unix::fs::FileExt::read_at(&self.file, buf, offset)
        }
        #[cfg(windows)]
        {
            std::os::windows::fs::FileExt::seek_read(&self.file, buf, offset)
        }
    }
}

impl WriteAt for FileAt {
    fn write_all_at(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        #[cfg(unix)]
        {
            std::os::unix::fs::FileExt::write_all_at(&self.file, buf, offset)
        }
        #[cfg(windows)]
        {
            let (mut at, mut rest) = (offset, buf);
            while !rest.is_empty() {
                match std::os::windows::fs::FileExt::seek_write(&self.file, rest, at) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(n) => {
                        at = at.saturating_add(len64(n));
                        rest = rest.get(n..).unwrap_or_default();
                    }
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) => return Err(e),
                }
            }
            Ok(())
        }
    }
}

/// A file in memory, for tests and for embedders with small archives.
#[derive(Debug, Default)]
pub struct MemoryFile(Mutex<Vec<u8>>);

impl MemoryFile {
    /// An empty file.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The bytes so far.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ReadAt for MemoryFile {
    fn size(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).size()
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).read_at(offset, buf)
    }
}

impl WriteAt for MemoryFile {
    fn write_all_at(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        let mut v = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bad = || io::Error::from(io::ErrorKind::OutOfMemory);
        let at = usize::try_from(offset).map_err(|_| bad())?;
        let end = at.checked_add(buf.len()).ok_or_else(bad)?;
        if end > v.len() {
            let grow = end.saturating_sub(v.len());
            v.try_reserve(grow).map_err(|_| bad())?;
            v.resize(end, 0);
        }
        if let Some(to) = v.get_mut(at..end) {
            to.copy_from_slice(buf);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One byte at a time, an interrupt before each, and a lie at the end.
    struct Slow<'a>(&'a [u8], bool);

    impl Read for Slow<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(io::ErrorKind::Interrupted.into());
            }
            if self.0 == b"!" {
                return Ok(buf.len() + 7);
            }
            let n = 1.min(buf.len());
            self.0.read(&mut buf[..n])
        }
    }

    #[test]
    fn reading_goes_on_after_interrupts_and_never_past_the_buffer() {
        let mut buf = [0; 4];
        assert_eq!(read_up_to(&mut Slow(b"abc", false), &mut buf).unwrap(), 3);
        assert_eq!(&buf, b"abc\0");
        assert_eq!(read_some(&mut Slow(b"!", false), &mut buf).unwrap(), 4);
        assert_eq!(read_up_to(&mut Slow(b"a!", false), &mut buf).unwrap(), 4);
    }

    #[test]
    fn a_section_cannot_be_left() {
        let src: Source = Arc::new((0u8..100).collect::<Vec<_>>());
        assert!(Section::new(src.clone(), 90, 11).is_none());
        assert!(Section::new(src.clone(), u64::MAX, 1).is_none());
        let s = Section::new(src, 10, 20).unwrap();
        assert!(s.slice(15, 6).is_none());
        let t = s.slice(15, 5).unwrap();
        let mut buf = [0; 10];
        assert_eq!(t.read_at(2, &mut buf).unwrap(), 3);
        assert_eq!(buf[..3], [27, 28, 29]);
        assert_eq!(t.read_at(5, &mut buf).unwrap(), 0);
        assert_eq!(t.read_at(u64::MAX, &mut buf).unwrap(), 0);
    }

    #[test]
    fn a_cursor_reads_and_seeks() {
        let mut c = Cursor::new(b"hello world".to_vec());
        c.seek(SeekFrom::End(-5)).unwrap();
        let mut s = String::new();
        c.read_to_string(&mut s).unwrap();
        assert_eq!(s, "world");
        assert!(c.seek(SeekFrom::Current(-100)).is_err());
    }

    #[test]
    fn a_source_that_lies_about_its_count_is_not_believed() {
        struct Liar;
        impl ReadAt for Liar {
            fn size(&self) -> u64 {
                10
            }
            fn read_at(&self, _: u64, buf: &mut [u8]) -> io::Result<usize> {
                Ok(buf.len() + 1000)
            }
        }
        read_full_at(&Liar, 0, &mut [0; 10], Code::Truncated).unwrap();
        let s = Section::new(Arc::new(Liar), 0, 10).unwrap();
        assert_eq!(s.read_at(0, &mut [0; 4]).unwrap(), 4);
    }

    #[test]
    fn pipes_and_folders_are_refused_without_blocking() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(FileAt::open(dir.path()).unwrap_err().code(), Code::SpecialFile);
        assert_eq!(FileAt::open(&dir.path().join("no")).unwrap_err().code(), Code::InputIo);
    }

    #[test]
    fn memory_files_grow_where_written() {
        let m = MemoryFile::new();
        m.write_all_at(3, b"xy").unwrap();
        m.write_all_at(0, b"ab").unwrap();
        assert_eq!(m.to_vec(), b"ab\0xy");
    }
}
