//! The members of a tar stream: ustar, POSIX pax and GNU headers (POSIX.1-2017 `pax`, tar(5)).
//!
//! Extended headers are read as a stream, and only what is used is kept: a pax record or a GNU
//! long name of any claimed size costs no memory.

use std::io::{self, Read};

use mip_base::{Code, EntryKind, Error, Job, Result, escape_bytes, len64, read_some};

const BLOCK: usize = 512;

/// Most bytes of a name, a link target or a pax value that is used.
const MAX_NAME: u64 = 64 << 10;

/// One member.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) kind: EntryKind,
    pub(super) mode: u64,
    pub(super) size: u64,
    pub(super) mtime: u64,
    /// Where its header and its data start in the decoded stream.
    pub(super) header: u64,
    pub(super) data: u64,
}

/// What extended headers say about the member that follows.
#[derive(Debug, Default)]
struct Extended {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    mtime: Option<u64>,
}

fn bad(why: impl Into<String>) -> Error {
    Error::new(Code::Tar, why)
}

fn not_read(what: &str) -> Error {
    Error::new(Code::Unsupported, format!("holds {what}"))
        .hint("make the tar again with plain files, folders and links")
}

/// Reads members one after the other; `Read` gives the data of the current one.
pub(super) struct TarReader<R> {
    input: R,
    at: u64,
    left: u64,
    padding: u64,
    attributes: u64,
    job: Job,
    since_check: u64,
}

impl<R: Read> TarReader<R> {
    pub(super) fn new(input: R, job: &Job) -> Self {
        Self { input, at: 0, left: 0, padding: 0, attributes: 0, job: job.clone(), since_check: 0 }
    }

    /// Bytes of the stream that were read.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Extended attributes seen, which are not kept.
    pub(super) fn attributes(&self) -> u64 {
        self.attributes
    }

    /// The next member; `None` after the end mark, when all that follows was read and is zeros.
    pub(super) fn next_member(&mut self) -> Result<Option<Member>> {
        let mut extended = Extended::default();
        let mut pending = false;
        loop {
            self.job.check()?;
            self.skip_data()?;
            let header = self.at;
            let within = |e: Error| e.at(header);
            let mut block = [0; BLOCK];
            self.fill(&mut block, "a header")?;
            if block.iter().all(|b| *b == 0) {
                if pending {
                    return Err(within(bad("ends after an extended header")));
                }
                self.rest_is_zeros()?;
                return Ok(None);
            }
            check_sum(&block).map_err(within)?;
            let size = number(field(&block, 124, 12)).map_err(within)?;
            self.begin(size);
            let kind = match block.get(156).copied().unwrap_or(0) {
                b'x' => {
                    pending = true;
                    self.pax(&mut extended).map_err(within)?;
                    continue;
                }
                b'g' => {
                    self.global().map_err(within)?;
                    continue;
                }
                b'L' => {
                    pending = true;
                    extended.name = Some(self.long_name().map_err(within)?);
                    continue;
                }
                b'K' => {
                    pending = true;
                    extended.link = Some(self.long_name().map_err(within)?);
                    continue;
                }
                t => self.kind(t, &block).map_err(within)?,
            };
            let member = self.member(kind, size, &block, extended, header).map_err(within)?;
            return Ok(Some(member));
        }
    }

    fn kind(&self, kind: u8, block: &[u8]) -> Result<EntryKind> {
        Ok(match kind {
            // Before ustar a folder was a file whose name ends with a slash.
            0 | b'0' | b'7' if text(field(block, 0, 100)).last() == Some(&b'/') => {
                EntryKind::Directory
            }
            0 | b'0' | b'7' => EntryKind::File,
            b'1' => EntryKind::Hardlink,
            b'2' => EntryKind::Symlink,
            b'3' => EntryKind::CharDevice,
            b'4' => EntryKind::BlockDevice,
            b'5' => EntryKind::Directory,
            b'6' => EntryKind::Fifo,
            b'S' => return Err(not_read("a sparse file (GNU format)")),
            other => {
                return Err(not_read(&format!("a member of type '{}'", escape_bytes(&[other]))));
            }
        })
    }

    fn member(
        &mut self,
        kind: EntryKind,
        size: u64,
        block: &[u8],
        extended: Extended,
        header: u64,
    ) -> Result<Member> {
        let mut name = Vec::new();
        // GNU's own format keeps times where ustar keeps the prefix.
        let prefix = text(field(block, 345, 155));
        if field(block, 257, 6) == b"ustar\0" && !prefix.is_empty() {
            name.extend_from_slice(prefix);
            name.push(b'/');
        }
        name.extend_from_slice(text(field(block, 0, 100)));
        let name = extended.name.unwrap_or(name);
        let link = extended.link.unwrap_or_else(|| text(field(block, 157, 100)).to_vec());
        let size = extended.size.unwrap_or(size);
        if kind != EntryKind::File && size != 0 {
            let shown = escape_bytes(name.get(..200).unwrap_or(&name));
            return Err(bad(format!("\"{shown}\" is not a file, but has {size} bytes of data")));
        }
        self.begin(size);
        let mtime = extended.mtime.or_else(|| number(field(block, 136, 12)).ok()).unwrap_or(0);
        let mode = number(field(block, 100, 8))?;
        Ok(Member { name, link, kind, mode, size, mtime, header, data: self.at })
    }

    /// The data of the header that was just read is `size` bytes.
    fn begin(&mut self, size: u64) {
        self.left = size;
        let over = size % 512;
        self.padding = if over == 0 { 0 } else { 512_u64.saturating_sub(over) };
    }

    /// The data of an `L` or `K` header, without its NUL.
    fn long_name(&mut self) -> Result<Vec<u8>> {
        if self.left > MAX_NAME {
            return Err(Error::limit(Code::PathUnsafe, "a name", MAX_NAME, self.left));
        }
        let mut name = self.job.buffer("a name", self.left, MAX_NAME)?;
        self.read_exact(&mut name).map_err(|e| Error::from_io(Code::Tar, "cannot read", e))?;
        while name.last() == Some(&0) {
            name.pop();
        }
        Ok(name)
    }

    fn pax(&mut self, extended: &mut Extended) -> Result<()> {
        while let Some((key, value)) = self.record()? {
            match key.as_slice() {
                b"path" => extended.name = Some(value),
                b"linkpath" => extended.link = Some(value),
                b"size" => extended.size = Some(decimal(&value, "size")?),
                // A fraction of a second is cut; a time before 1970 counts as none.
                b"mtime" => {
                    let whole = value.split(|b| *b == b'.').next().unwrap_or_default();
                    extended.mtime = decimal(whole, "mtime").ok();
                }
                k if k.starts_with(b"GNU.sparse.") => {
                    return Err(not_read("a sparse file (pax format)"));
                }
                k if k.starts_with(b"SCHILY.xattr.") || k.starts_with(b"LIBARCHIVE.xattr.") => {
                    self.attributes = self.attributes.saturating_add(1);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Global headers carry comments (git writes one). One that names or sizes members would
    /// give all that follow the same name.
    fn global(&mut self) -> Result<()> {
        while let Some((key, _)) = self.record()? {
            if matches!(key.as_slice(), b"path" | b"linkpath" | b"size") {
                return Err(bad("a global header gives names or sizes"));
            }
        }
        Ok(())
    }

    /// One record `length key=value\n` of a pax header. The value of a key that is not used is
    /// skipped.
    fn record(&mut self) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
        let damaged = || bad("a damaged pax header");
        if self.left == 0 {
            return Ok(None);
        }
        let digits = self.until(b' ', 20)?;
        let len = decimal(&digits, "length")?;
        let used = len64(digits.len()).saturating_add(1);
        let key = self.until(b'=', 1024)?;
        let used = used.saturating_add(len64(key.len())).saturating_add(1);
        let value_len = len.checked_sub(used).and_then(|l| l.checked_sub(1)).ok_or_else(damaged)?;
        if value_len >= self.left {
            return Err(damaged());
        }
        let wanted = matches!(key.as_slice(), b"path" | b"linkpath" | b"size" | b"mtime");
        let mut value = Vec::new();
        if wanted {
            if value_len > MAX_NAME {
                return Err(Error::limit(Code::PathUnsafe, "a name", MAX_NAME, value_len));
            }
            value = self.job.buffer("a name", value_len, MAX_NAME)?;
            self.read_exact(&mut value).map_err(|e| Error::from_io(Code::Tar, "cannot read", e))?;
        } else {
            self.skip(value_len)?;
        }
        if self.until(b'\n', 0)?.is_empty() { Ok(Some((key, value))) } else { Err(damaged()) }
    }

    /// Bytes of the data up to `end`, at most `most`.
    fn until(&mut self, end: u8, most: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut one = [0];
        loop {
            self.read_exact(&mut one).map_err(|e| match e.kind() {
                io::ErrorKind::UnexpectedEof => bad("a damaged pax header"),
                _ => Error::from_io(Code::Tar, "cannot read", e),
            })?;
            match one {
                [b] if b == end => return Ok(bytes),
                [b] if bytes.len() < most => bytes.push(b),
                _ => return Err(bad("a damaged pax header")),
            }
        }
    }

    fn skip_data(&mut self) -> Result<()> {
        self.skip(self.left)?;
        let padding = std::mem::take(&mut self.padding);
        let mut pad = [0; BLOCK];
        let n = usize::try_from(padding).unwrap_or(0);
        self.fill(pad.get_mut(..n).unwrap_or_default(), "the padding of a file")
    }

    /// Skips bytes of the data.
    fn skip(&mut self, len: u64) -> Result<()> {
        let mut left = len;
        let mut buf = [0; 1 << 14];
        while left > 0 {
            let n = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
            let chunk = buf.get_mut(..n).unwrap_or_default();
            self.read_exact(chunk).map_err(|e| Error::from_io(Code::Tar, "cannot read", e))?;
            left = left.saturating_sub(len64(n));
        }
        Ok(())
    }

    /// Everything after the end mark: zeros to the end of a record, as tar writes them.
    fn rest_is_zeros(&mut self) -> Result<()> {
        let mut buf = [0; 1 << 14];
        loop {
            self.job.check()?;
            let n = read_some(&mut self.input, &mut buf)
                .map_err(|e| Error::from_io(Code::InputIo, "cannot read", e))?;
            let bytes = buf.get(..n).unwrap_or_default();
            if bytes.is_empty() {
                return Ok(());
            }
            if bytes.iter().any(|b| *b != 0) {
                return Err(bad("there is data after the end mark").at(self.at));
            }
            self.at = self.at.saturating_add(len64(n));
        }
    }

    /// Fills `buf` from the stream itself.
    fn fill(&mut self, buf: &mut [u8], what: &str) -> Result<()> {
        let mut rest = buf;
        while !rest.is_empty() {
            let n = read_some(&mut self.input, rest)
                .map_err(|e| Error::from_io(Code::InputIo, "cannot read", e))?;
            if n == 0 {
                return Err(bad(format!("the tar ends inside {what}")).at(self.at));
            }
            self.at = self.at.saturating_add(len64(n));
            rest = rest.get_mut(n..).unwrap_or_default();
        }
        Ok(())
    }
}

impl<R: Read> Read for TarReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
        let Some(buf) = buf.get_mut(..most).filter(|b| !b.is_empty()) else { return Ok(0) };
        let n = read_some(&mut self.input, buf)?;
        if n == 0 {
            return Err(bad("the tar ends inside a file's data").at(self.at).into());
        }
        let done = len64(n);
        self.left = self.left.saturating_sub(done);
        self.at = self.at.saturating_add(done);
        self.since_check = self.since_check.saturating_add(done);
        if self.since_check >= 1 << 20 {
            self.since_check = 0;
            self.job.check()?;
        }
        Ok(n)
    }
}

fn field(block: &[u8], at: usize, len: usize) -> &[u8] {
    mip_base::bytes::slice(block, at, len).unwrap_or_default()
}

/// Up to the first NUL.
fn text(field: &[u8]) -> &[u8] {
    field.split(|b| *b == 0).next().unwrap_or_default()
}

/// A number: octal digits between spaces and NULs, or (GNU) base 256 behind a set high bit.
fn number(field: &[u8]) -> Result<u64> {
    let wrong = || bad(format!("\"{}\" is not a number", escape_bytes(field)));
    if let [0x80..=0xFF, rest @ ..] = field {
        // 0xFF starts a negative number.
        if field.first() != Some(&0x80) {
            return Err(wrong());
        }
        return rest.iter().try_fold(0_u64, |n, b| {
            n.checked_mul(256).and_then(|n| n.checked_add((*b).into())).ok_or_else(wrong)
        });
    }
    let digits = text(field).trim_ascii();
    digits.iter().try_fold(0_u64, |n, b| match b {
        b'0'..=b'7' => {
            let digit = u64::from(b.wrapping_sub(b'0'));
            n.checked_mul(8).and_then(|n| n.checked_add(digit)).ok_or_else(wrong)
        }
        _ => Err(wrong()),
    })
}

fn decimal(digits: &[u8], what: &str) -> Result<u64> {
    std::str::from_utf8(digits)
        .ok()
        .filter(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|d| d.parse().ok())
        .ok_or_else(|| bad(format!("a pax header whose {what} is not a number")))
}

/// The sum of the header's bytes, its own field counted as spaces. Old programs added signed
/// bytes.
fn check_sum(block: &[u8; BLOCK]) -> Result<()> {
    let stored = number(field(block, 148, 8))?;
    let bytes =
        || block.iter().enumerate().map(|(i, b)| if (148..156).contains(&i) { b' ' } else { *b });
    let unsigned: u64 = bytes().fold(0, |n, b| n.saturating_add(b.into()));
    let signed: i64 = bytes().fold(0, |n, b| n.saturating_add(i64::from(b.cast_signed())));
    if stored == unsigned || i64::try_from(stored) == Ok(signed) {
        return Ok(());
    }
    Err(bad("the checksum of a header is wrong: damaged, or not a tar"))
}
