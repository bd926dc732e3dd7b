//! The reader of members.

use std::fmt;
use std::io::{self, BufReader, Read};

use mip_base::{Code, EntryKind, EntryPath, Error, Job, Result, escape_bytes, len64};

use crate::header::{Header, MAGIC, Variant};

/// Name of the member that ends an archive.
const TRAILER: &[u8] = b"TRAILER!!!";
/// Bytes read at once while skipping.
const SKIP: usize = 32 << 10;
/// A name size over this is damage; below, and over the limit, it is a name too long.
const NAME_SIZE: u64 = 0xffff;

/// A member of a cpio archive.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CpioEntry {
    /// Where it lies; `None` for the root folder `.` itself.
    pub path: Option<EntryPath>,
    /// What it is. Hard links are files that share [`ino`](Self::ino) and [`dev`](Self::dev)
    /// and have a [`nlink`](Self::nlink) over 1.
    pub kind: EntryKind,
    /// Permission bits, with set-user-id, set-group-id and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Links to the same file. In odc each of them carries the data; in newc all but the
    /// last have size 0.
    pub nlink: u32,
    /// Inode number (odc: 18 bits, so writers number files anew).
    pub ino: u64,
    /// Device number; of newc, the major number in the high 32 bits.
    pub dev: u64,
    /// Seconds since 1970.
    pub mtime: u64,
    /// Bytes of data of a file; 0 for all other kinds.
    pub size: u64,
    /// Target of a symbolic link, as it is: it may be absolute or lead out of the tree.
    pub link: Option<String>,
}

/// Reads a cpio archive member by member. `Read` gives the data of the current member.
pub struct CpioReader<R: Read> {
    input: BufReader<R>,
    job: Job,
    /// Bytes of the archive that were read.
    at: u64,
    variant: Option<Variant>,
    entries: u64,
    /// Data left of the current member, and the zeros behind it.
    left: u64,
    padding: u64,
    /// What the data of the current member must sum to, and does so far.
    sum: Option<(u32, u32)>,
    ended: bool,
    failed: Option<(Code, String)>,
}

impl<R: Read> fmt::Debug for CpioReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CpioReader").field("at", &self.at).field("entries", &self.entries).finish()
    }
}

fn damaged(what: impl Into<String>) -> Error {
    Error::new(Code::Cpio, what)
}

impl<R: Read> CpioReader<R> {
    /// A reader of the archive in `input`, which must be unpacked already.
    pub fn new(input: R, job: &Job) -> Self {
        Self {
            input: BufReader::with_capacity(64 << 10, input),
            job: job.clone(),
            at: 0,
            variant: None,
            entries: 0,
            left: 0,
            padding: 0,
            sum: None,
            ended: false,
            failed: None,
        }
    }

    /// Goes to the next member, over what is left of the current one. `None` after the
    /// trailer, when only zeros follow it up to the end of the input.
    ///
    /// # Errors
    /// [`Code::Cpio`] for a header, name or padding that breaks the format, or a wrong sum;
    /// [`Code::CpioTruncated`] when the input ends before the trailer;
    /// [`Code::CpioAfterTrailer`] when it goes on behind it, or the trailer is not empty;
    /// [`Code::PathUnsafe`] for a name, or a link target that is empty, has a NUL, is not
    /// UTF-8 or is over the limit; [`Code::LimitEntries`]; [`Code::Unsupported`] for binary
    /// cpio; [`Code::Cancelled`]; [`Code::InputIo`] or what the input itself reports.
    /// After an error, every call gives it again.
    pub fn next_entry(&mut self) -> Result<Option<CpioEntry>> {
        if let Some((code, message)) = &self.failed {
            return Err(Error::new(*code, message.clone()).at(self.at));
        }
        self.advance().map_err(|e| self.fail(e))
    }

    fn fail(&mut self, e: Error) -> Error {
        self.failed = Some((e.code(), e.message().to_owned()));
        e.at(self.at)
    }

    fn advance(&mut self) -> Result<Option<CpioEntry>> {
        if self.ended {
            return Ok(None);
        }
        self.skip_data()?;
        self.zeros(self.padding, "behind the data of a member")?;
        self.padding = 0;
        self.job.check()?;

        let start = self.at;
        let mut magic = [0; MAGIC];
        let got = self.fill(&mut magic)?;
        if got < MAGIC {
            return Err(self.cut("before its trailer").at(start));
        }
        let variant = Variant::of(&magic).map_err(|e| e.at(start))?;
        let first = *self.variant.get_or_insert(variant);
        if first != variant {
            let what =
                format!("a {} member in an archive of {} members", variant.name(), first.name());
            return Err(damaged(what).at(start));
        }
        let mut rest = [0; 104];
        let rest = rest.get_mut(..variant.rest()).unwrap_or_default();
        self.exact(rest, "inside a member header")?;
        let h = Header::parse(variant, rest).map_err(|e| e.at(start))?;
        let name = self.name(&h, variant).map_err(|e| e.at(start))?;

        if name == TRAILER {
            return self.trailer(&h).map(|()| None);
        }
        self.entries = self.entries.saturating_add(1);
        let limit = self.job.limits().entries;
        if self.entries > limit {
            return Err(Error::limit(Code::LimitEntries, "entries", limit, self.entries));
        }
        self.entry(h, &name, variant).map(Some).map_err(|e| e.at(start))
    }

    fn name(&mut self, h: &Header, variant: Variant) -> Result<Vec<u8>> {
        let n = h.name_size;
        // "./" in front and the NUL behind are not part of the path.
        let limit = self.job.limits().path_bytes.saturating_add(3);
        if n < 2 || n > NAME_SIZE.max(limit) {
            return Err(damaged(format!("a member gives its name {n} bytes")));
        }
        if n > limit {
            let what = format!("a name of {n} bytes is longer than the limit");
            return Err(Error::new(Code::PathUnsafe, what));
        }
        let mut name = self.job.buffer("member name", n, limit)?;
        self.exact(&mut name, "inside a member name")?;
        if name.pop() != Some(0) {
            return Err(damaged("a member name does not end with a NUL"));
        }
        if name.contains(&0) {
            let shown = escape_bytes(&name);
            return Err(damaged(format!("the member name \"{shown}\" holds a NUL")));
        }
        let header = len64(MAGIC).saturating_add(len64(variant.rest()));
        self.zeros(variant.padding(header.saturating_add(n)), "behind a member name")?;
        Ok(name)
    }

    fn entry(&mut self, h: Header, name: &[u8], variant: Variant) -> Result<CpioEntry> {
        let shown = || escape_bytes(name);
        let path = EntryPath::parse(name, self.job.limits())?;
        let kind =
            EntryKind::from_mode(h.mode).filter(|_| h.mode <= 0o177_777).ok_or_else(|| {
                damaged(format!("the mode {:o} of \"{}\" names no file type", h.mode, shown()))
            })?;
        if path.is_none() && kind != EntryKind::Directory {
            return Err(damaged("the root of the archive is not a folder"));
        }
        self.left = h.size;
        self.padding = variant.padding(h.size);
        // All but the last of several links have no data, and no sum of it.
        let summed = kind == EntryKind::File && (h.size > 0 || h.nlink < 2);
        self.sum = (variant == Variant::Crc && summed).then_some((h.sum, 0));
        let mut link = None;
        let size = match kind {
            EntryKind::File => h.size,
            EntryKind::Symlink => {
                link = Some(self.link(h.size).map_err(|e| e.within(shown()))?);
                0
            }
            _ if h.size == 0 => 0,
            _ => {
                let what = format!("\"{}\" is no file but has {} bytes of data", shown(), h.size);
                return Err(damaged(what));
            }
        };
        Ok(CpioEntry {
            path,
            kind,
            mode: h.mode & 0o7777,
            uid: h.uid,
            gid: h.gid,
            nlink: h.nlink,
            ino: h.ino,
            dev: h.dev,
            mtime: h.mtime,
            size,
            link,
        })
    }

    fn link(&mut self, size: u64) -> Result<String> {
        let bad = |why: &str| Error::new(Code::PathUnsafe, format!("the link target {why}"));
        let limit = self.job.limits().link_bytes;
        if size == 0 {
            return Err(bad("is empty"));
        }
        if size > limit {
            return Err(bad(&format!("has {size} bytes, the limit is {limit}")));
        }
        let mut target = self.job.buffer("link target", size, limit)?;
        self.exact(&mut target, "inside a link target")?;
        self.left = 0;
        if target.contains(&0) {
            return Err(bad("holds a NUL"));
        }
        String::from_utf8(target).map_err(|_| bad("is not UTF-8"))
    }

    /// The end of the archive: an empty member, then zeros.
    fn trailer(&mut self, h: &Header) -> Result<()> {
        let after = |what: &str| Err(Error::new(Code::CpioAfterTrailer, what));
        // Writers give the trailer no type or that of a file; any other is a member in hiding.
        if !matches!(h.mode & !0o7777, 0 | 0o100_000) {
            return after("a member has the name of the trailer");
        }
        if h.size != 0 {
            return after("the trailer has data");
        }
        let mut buf = vec![0; SKIP];
        loop {
            let n = self.fill(&mut buf)?;
            if buf.get(..n).unwrap_or_default().iter().any(|b| *b != 0) {
                return after("the archive goes on behind its trailer");
            }
            if n < buf.len() {
                self.ended = true;
                return Ok(());
            }
            self.job.check()?;
        }
    }

    fn skip_data(&mut self) -> Result<()> {
        let mut buf = vec![0; if self.left == 0 { 0 } else { SKIP }];
        while self.left > 0 {
            self.pull(&mut buf)?;
        }
        self.check_sum()
    }

    /// Reads data of the current member, which has some left.
    fn pull(&mut self, buf: &mut [u8]) -> Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
        let n = self.some(buf.get_mut(..most).unwrap_or_default())?;
        if n == 0 {
            let left = self.left;
            return Err(self.cut(&format!("{left} bytes before the end of a member")));
        }
        if let Some((_, sum)) = &mut self.sum {
            let data = buf.get(..n).unwrap_or_default();
            *sum = data.iter().fold(*sum, |s, b| s.wrapping_add(u32::from(*b)));
        }
        self.left = self.left.saturating_sub(len64(n));
        self.job.check()?;
        Ok(n)
    }

    /// Compares the sum of a crc member when its data is complete.
    fn check_sum(&mut self) -> Result<()> {
        if self.left == 0
            && let Some((stored, sum)) = self.sum.take()
            && stored != sum
        {
            return Err(damaged(format!(
                "the sum of a member is {sum:08x}, its header says {stored:08x}"
            )));
        }
        Ok(())
    }

    /// Reads what there is, up to the length of `buf`; 0 only at the end.
    fn some(&mut self, buf: &mut [u8]) -> Result<usize> {
        loop {
            match self.input.read(buf) {
                Ok(n) => {
                    let n = n.min(buf.len());
                    self.at = self.at.saturating_add(len64(n));
                    return Ok(n);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::from_io(Code::InputIo, "reading", e)),
            }
        }
    }

    /// Fills `buf` as far as the input goes.
    fn fill(&mut self, buf: &mut [u8]) -> Result<usize> {
        let mut n = 0_usize;
        while let Some(rest) = buf.get_mut(n..).filter(|r| !r.is_empty()) {
            match self.some(rest)? {
                0 => break,
                m => n = n.saturating_add(m),
            }
        }
        Ok(n)
    }

    fn exact(&mut self, buf: &mut [u8], place: &str) -> Result<()> {
        if self.fill(buf)? < buf.len() {
            return Err(self.cut(place));
        }
        Ok(())
    }

    /// Reads `n` zeros, at most 3.
    fn zeros(&mut self, n: u64, place: &str) -> Result<()> {
        let mut pad = [0; 3];
        let n = usize::try_from(n).unwrap_or(pad.len()).min(pad.len());
        let pad = pad.get_mut(..n).unwrap_or_default();
        self.exact(pad, place)?;
        if pad.iter().any(|b| *b != 0) {
            return Err(damaged(format!("the padding {place} is not zero")));
        }
        Ok(())
    }

    fn cut(&self, place: &str) -> Error {
        Error::new(Code::CpioTruncated, format!("the archive ends {place}")).at(self.at)
    }
}

impl<R: Read> Read for CpioReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if let Some((code, message)) = &self.failed {
            return Err(Error::new(*code, message.clone()).at(self.at).into());
        }
        if buf.is_empty() {
            return Ok(0);
        }
        let r = if self.left == 0 { self.check_sum().map(|()| 0) } else { self.pull(buf) };
        r.map_err(|e| self.fail(e).into())
    }
}
