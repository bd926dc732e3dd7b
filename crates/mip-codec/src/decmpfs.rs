//! Compressed files of HFS+ and APFS volumes (`com.apple.decmpfs`).
//!
//! The extended attribute starts with a header: magic `fpmc`, type (u32 LE), size of the file's
//! data (u64 LE). An odd type packs the data behind the header, an even one packs blocks of
//! 64 KiB into the resource fork:
//!
//! | type | packing | where | a block that is stored as it is starts with |
//! |---|---|---|---|
//! | 1 | none | attribute | – |
//! | 3, 4 | zlib | attribute, fork | a byte whose low four bits are set |
//! | 7, 8 | LZVN | attribute, fork | 0x06 |
//! | 9, 10 | none | attribute, fork | 0xCC |
//! | 11, 12 | LZFSE | attribute, fork | 0xFF |
//!
//! Fork of type 4: four u32 BE (offset of the data, offset of the map, length of the data, length of
//! the map); at the data a length (u32 BE), then, as the base of all offsets, a count (u32 LE) and
//! (offset, size) of each block (u32 LE). Fork of the others: offsets (u32 LE), the first one that
//! of the first block (so the size of the table), each further one the end of a block. Readers
//! disagree on which of the two type 10 has; both are read.
//!
//! Sources: `bsd/sys/decmpfs.h` of XNU for the attribute; public readers for the forks; files
//! of the shared fixtures.
//!
//! ```
//! use mip_base::{Job, ReadAt};
//!
//! let mut xattr = b"fpmc\x01\0\0\0\x05\0\0\0\0\0\0\0".to_vec();
//! xattr.extend_from_slice(b"hello");
//! let file = mip_codec::decmpfs::open(xattr, None, &Job::default())?;
//! let mut text = [0; 5];
//! assert_eq!(file.read_at(0, &mut text)?, 5);
//! assert_eq!(&text, b"hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use mip_base::bytes::{be_u32, le_u32, le_u64};
use mip_base::{Code, Error, Job, ReadAt, Result, Section, Source, len64, read_full_at};

use crate::block::{Codec, decode};

/// Name of the extended attribute.
pub const XATTR: &str = "com.apple.decmpfs";

/// Decoded bytes of every block but the last.
const BLOCK: u64 = 64 << 10;
/// Most bytes that a packed block can have: one of zlib or LZFSE that did not shrink.
const PACKED: u64 = BLOCK + (16 << 10);
/// Bytes of the attribute's header.
const HEADER: usize = 16;
/// Most bytes of an attribute. HFS+ and APFS keep inline attributes far below.
const INLINE: u64 = 1 << 20;

fn damaged(what: impl Into<String>) -> Error {
    Error::new(Code::Decmpfs, what)
}

/// The header of a `com.apple.decmpfs` attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// The type: how and where the data is packed.
    pub kind: u32,
    /// Bytes of the file's data when decoded.
    pub size: u64,
}

impl Header {
    /// Reads the header at the start of the attribute. The type may be one that is not known.
    ///
    /// # Errors
    /// [`Code::Decmpfs`] when the attribute is too short or has another magic.
    pub fn parse(xattr: &[u8]) -> Result<Self> {
        if !xattr.starts_with(b"fpmc") {
            return Err(damaged("the compression attribute has no fpmc magic").at(0));
        }
        match (le_u32(xattr, 4), le_u64(xattr, 8)) {
            (Some(kind), Some(size)) => Ok(Self { kind, size }),
            _ => Err(damaged(format!("the compression attribute has {} bytes", xattr.len()))),
        }
    }

    /// Whether the data is in the resource fork, not in the attribute.
    #[must_use]
    pub fn in_resource_fork(&self) -> bool {
        matches!(self.kind, 4 | 8 | 10 | 12 | 14)
    }

    /// The packing as users know it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self.kind {
            1 | 9 | 10 => "stored",
            3 | 4 => "zlib",
            5 => "de-duplicated",
            7 | 8 => "LZVN",
            11 | 12 => "LZFSE",
            13 | 14 => "LZBitmap",
            0x8000_0001..=0x8000_0003 => "dataless",
            _ => "unknown",
        }
    }

    /// The codec; `None` for data that is stored.
    fn codec(&self) -> Result<Option<Codec>> {
        Ok(match self.kind {
            1 | 9 | 10 => None,
            3 | 4 => Some(Codec::Zlib),
            7 | 8 => Some(Codec::Lzvn),
            11 | 12 => Some(Codec::Lzfse),
            kind => {
                let what = match self.name() {
                    "unknown" => format!("file compression of type {kind} is not known"),
                    name => format!("{name} file compression (type {kind}) is not supported"),
                };
                return Err(Error::new(Code::Unsupported, what));
            }
        })
    }
}

/// The decoded data of a compressed file.
///
/// Blocks are decoded when they are read and charged to the job each time; the last one is
/// kept. Nothing is allocated for the sizes that the header and the table give.
///
/// # Errors
/// [`Code::Decmpfs`] when the header or the table of blocks cannot be; [`Code::Unsupported`] for
/// a packing that cannot be read (LZBitmap, de-duplicated, dataless). Reading fails, with an
/// [`Error`] inside the `io::Error`, with [`Code::Decmpfs`] when a block is damaged or has
/// another size, [`Code::LimitExpanded`], [`Code::Cancelled`], or what the fork reports.
pub fn open(xattr: Vec<u8>, resource_fork: Option<Source>, job: &Job) -> Result<Source> {
    let header = Header::parse(&xattr)?;
    let codec = header.codec()?;
    if header.size == 0 {
        return Ok(Arc::new(Vec::new()));
    }
    if header.in_resource_fork() {
        let fork = resource_fork.filter(|f| f.size() > 0).ok_or_else(|| {
            damaged(format!("the file has no resource fork for its {} data", header.name()))
        })?;
        return Ok(Arc::new(Blocks::open(header, codec, fork, job)?));
    }
    inline(header, codec, xattr, job)
}

/// The data in the attribute, decoded at once: attributes are small.
fn inline(header: Header, codec: Option<Codec>, xattr: Vec<u8>, job: &Job) -> Result<Source> {
    let stored = len64(xattr.len());
    if stored > INLINE {
        return Err(Error::limit(Code::LimitMemory, "compression attribute", INLINE, stored));
    }
    let data = xattr.get(HEADER..).unwrap_or_default();
    if codec.is_none() {
        let from = stored_from(header.kind, data, header.size).ok_or_else(|| {
            wrong_size("the attribute", len64(data.len()), header.size).at(len64(HEADER))
        })?;
        let start = len64(HEADER).saturating_add(from);
        let whole: Source = Arc::new(xattr);
        let section = Section::new(whole, start, header.size)
            .ok_or_else(|| damaged("the compression attribute is cut"))?;
        return Ok(Arc::new(section));
    }
    // One block, so at most the largest block that any encoder makes of an attribute.
    if header.size > INLINE {
        return Err(damaged(format!(
            "the size is {} bytes, the attribute holds {stored}",
            header.size
        )));
    }
    let mut out = job.buffer("compressed file", header.size, INLINE)?;
    block(header, codec, data, &mut out, job)?;
    job.expanded(header.size)?;
    Ok(Arc::new(out))
}

fn wrong_size(what: &str, got: u64, want: u64) -> Error {
    damaged(format!("{what} holds {got} bytes, not {want}"))
}

/// Where stored data of `size` bytes starts in `data`: at once, or behind a mark of one byte.
fn stored_from(kind: u32, data: &[u8], size: u64) -> Option<u64> {
    match len64(data.len()).checked_sub(size)? {
        0 => Some(0),
        1 if kind != 1 => Some(1),
        _ => None,
    }
}

/// Whether a block that starts with `mark` is stored behind it.
fn is_stored(codec: Codec, mark: u8) -> bool {
    match codec {
        Codec::Zlib => mark & 0x0f == 0x0f,
        Codec::Lzvn => mark == 0x06,
        Codec::Lzfse => mark == 0xff,
        _ => false,
    }
}

/// Decodes one block, which must fill `out`.
fn block(
    header: Header,
    codec: Option<Codec>,
    data: &[u8],
    out: &mut [u8],
    job: &Job,
) -> Result<()> {
    let want = len64(out.len());
    let plain = match (codec, data.split_first()) {
        (None, _) => {
            let from = stored_from(header.kind, data, want)
                .ok_or_else(|| wrong_size("a stored block", len64(data.len()), want))?;
            usize::try_from(from).ok().and_then(|f| data.get(f..))
        }
        (Some(codec), Some((mark, rest))) if is_stored(codec, *mark) => Some(rest),
        _ => None,
    };
    if let Some(plain) = plain {
        if plain.len() != out.len() {
            return Err(wrong_size("a stored block", len64(plain.len()), want));
        }
        out.copy_from_slice(plain);
        return Ok(());
    }
    let codec = codec.ok_or_else(|| damaged("a stored block is cut"))?;
    let done = decode(codec, data, out, job).map_err(|e| match e.code() {
        Code::Cancelled | Code::LimitMemory => e,
        // The offset is one inside the block, which the caller's place does not show.
        _ => damaged(e.message().to_owned()).caused_by(e),
    })?;
    if done.more {
        return Err(damaged(format!("a block decodes to more than its {want} bytes")));
    }
    if done.produced != out.len() {
        return Err(wrong_size("a block", len64(done.produced), want));
    }
    Ok(())
}

/// The blocks of a resource fork.
struct Blocks {
    header: Header,
    codec: Option<Codec>,
    fork: Source,
    /// Blocks that the size needs.
    count: u64,
    /// Whether the fork is laid out as one of type 4.
    classic: bool,
    /// Where the first table entry is, and the base of the offsets in it.
    table: u64,
    base: u64,
    job: Job,
    /// The block that was decoded last.
    last: Mutex<Option<(u64, Arc<Vec<u8>>)>>,
    /// Packed and decoded bytes so far.
    read: AtomicU64,
    made: AtomicU64,
}

impl fmt::Debug for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocks").field("header", &self.header).finish_non_exhaustive()
    }
}

impl Blocks {
    fn open(header: Header, codec: Option<Codec>, fork: Source, job: &Job) -> Result<Self> {
        let count = header.size.div_ceil(BLOCK);
        let mut b = Self {
            header,
            codec,
            count,
            classic: header.kind == 4,
            table: 0,
            base: 0,
            job: job.clone(),
            last: Mutex::new(None),
            read: AtomicU64::new(0),
            made: AtomicU64::new(0),
            fork,
        };
        let first = b.first_entry()?;
        if header.kind == 10 && first != count.saturating_add(1).saturating_mul(4) {
            b.classic = true;
        }
        if b.classic {
            let mut word = [0; 4];
            b.fork_bytes(0, &mut word)?;
            b.base = u64::from(be_u32(&word, 0).unwrap_or(0)).saturating_add(4);
            b.table = b.base.saturating_add(4);
            b.fork_bytes(b.base, &mut word)?;
            b.holds(u64::from(le_u32(&word, 0).unwrap_or(0)), 8)?;
        } else {
            // One offset more than blocks.
            b.holds((first / 4).saturating_sub(1), 4)?;
        }
        Ok(b)
    }

    /// The first offset of a table that starts the fork: the table's size.
    fn first_entry(&self) -> Result<u64> {
        let mut word = [0; 4];
        self.fork_bytes(0, &mut word)?;
        Ok(u64::from(le_u32(&word, 0).unwrap_or(0)))
    }

    /// Checks the number of blocks in a table of `entry` bytes each.
    fn holds(&self, told: u64, entry: u64) -> Result<()> {
        if told < self.count {
            return Err(damaged(format!(
                "the table has {told} blocks, the size of {} bytes needs {}",
                self.header.size, self.count
            )));
        }
        let end = told.saturating_mul(entry).saturating_add(self.table);
        if end > self.fork.size() {
            return Err(damaged(format!(
                "the table of {told} blocks leaves the resource fork of {} bytes",
                self.fork.size()
            )));
        }
        Ok(())
    }

    fn fork_bytes(&self, at: u64, buf: &mut [u8]) -> Result<()> {
        read_full_at(&self.fork, at, buf, Code::Decmpfs).map_err(|e| e.within("resource fork"))
    }

    /// Where block `index` is in the fork: start and length.
    fn place(&self, index: u64) -> Result<(u64, u64)> {
        let mut e = [0; 16];
        let field = |e: &[u8], i: usize| u64::from(le_u32(e, i).unwrap_or(0));
        let (before, start, end) = if self.classic {
            // With the entry before it, so that blocks which overlap or go back are seen.
            let first = index.saturating_sub(1);
            let n = if index == 0 { 8 } else { 16 };
            let at = self.table.saturating_add(first.saturating_mul(8));
            self.fork_bytes(at, e.get_mut(..n).unwrap_or_default())?;
            let own = n.saturating_sub(8);
            let from = |i: usize| self.base.saturating_add(field(&e, i));
            let start = from(own);
            let end = start.saturating_add(field(&e, own.saturating_add(4)));
            let table_end = self.table.saturating_add(self.count.saturating_mul(8));
            let before = if index == 0 { table_end } else { from(0).saturating_add(field(&e, 4)) };
            (before.max(table_end), start, end)
        } else {
            self.fork_bytes(index.saturating_mul(4), e.get_mut(..8).unwrap_or_default())?;
            (self.count.saturating_add(1).saturating_mul(4), field(&e, 0), field(&e, 4))
        };
        let len = end.checked_sub(start).filter(|_| start >= before && end <= self.fork.size());
        let len = len.ok_or_else(|| {
            damaged(format!(
                "block {index} is at {start} to {end}; it must start from {before} on and end \
                 in the resource fork of {} bytes",
                self.fork.size()
            ))
        })?;
        if len == 0 || len > PACKED {
            return Err(damaged(format!("block {index} has {len} packed bytes")));
        }
        Ok((start, len))
    }

    /// Decoded bytes of block `index`.
    fn plain_len(&self, index: u64) -> u64 {
        self.header.size.saturating_sub(index.saturating_mul(BLOCK)).min(BLOCK)
    }

    /// Decodes block `index` into `out`, which has its size.
    fn decode(&self, index: u64, out: &mut [u8]) -> Result<()> {
        let (start, len) = self.place(index)?;
        let mut packed = self.job.buffer("packed block", len, PACKED)?;
        self.fork_bytes(start, &mut packed)?;
        block(self.header, self.codec, &packed, out, &self.job)
            .map_err(|e| e.at(start).within("resource fork"))?;
        let made = len64(out.len());
        self.job.expanded(made)?;
        let read = self.read.fetch_add(len, Ordering::Relaxed).saturating_add(len);
        let made = self.made.fetch_add(made, Ordering::Relaxed).saturating_add(made);
        self.job.ratio(read, made)
    }

    fn kept(&self, index: u64) -> Option<Arc<Vec<u8>>> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().filter(|(i, _)| *i == index).map(|(_, b)| b.clone())
    }

    /// Copies from one block, starting `skip` bytes into it. Returns bytes copied.
    fn copy(&self, index: u64, skip: u64, out: &mut [u8]) -> Result<usize> {
        let len = self.plain_len(index);
        let n = usize::try_from(len.saturating_sub(skip)).unwrap_or(usize::MAX).min(out.len());
        let out = out.get_mut(..n).unwrap_or_default();
        let block = match self.kept(index) {
            Some(b) => b,
            // A read of a whole block needs no copy, and will hardly be repeated.
            None if skip == 0 && len64(n) == len => {
                self.decode(index, out)?;
                return Ok(n);
            }
            None => {
                let mut b = self.job.buffer("decoded block", len, BLOCK)?;
                self.decode(index, &mut b)?;
                let b = Arc::new(b);
                *self.last.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some((index, b.clone()));
                b
            }
        };
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        let from = block.get(skip..).and_then(|b| b.get(..n)).unwrap_or_default();
        if from.len() == n {
            out.copy_from_slice(from);
        }
        Ok(from.len())
    }
}

impl ReadAt for Blocks {
    fn size(&self) -> u64 {
        self.header.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut done = 0_usize;
        while let Some(out) = buf.get_mut(done..).filter(|o| !o.is_empty()) {
            let at = offset.saturating_add(len64(done));
            if at >= self.header.size {
                break;
            }
            match self.copy(at / BLOCK, at % BLOCK, out) {
                Ok(0) => break,
                Ok(n) => done = done.saturating_add(n),
                // What was read is good; the next read will meet the error again.
                Err(_) if done > 0 => break,
                Err(e) => return Err(e.into()),
            }
        }
        Ok(done)
    }
}
