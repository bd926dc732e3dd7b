//! A zip file as a tree (PKWARE APPNOTE 6.3.10; methods stored and deflate).
//!
//! Read by our own code, strictly: one reading of the central directory, no entry over another,
//! local headers that say the same. Memory is what the paths need, not what the file claims.

use std::io::{self, BufReader, Read};

use flate2::bufread::DeflateDecoder;
use mip_base::bytes::{le_u16, le_u32, le_u64, slice};
use mip_base::{
    Code, Cursor, EntryKind, EntryPath, Error, Job, ReadAt, Result, Section, Source, len64,
};
use mip_base::{escape_bytes, read_full_at};

use super::listing::{Builder, Listing};
use super::{Tree, TreeEntry, UseData, Visit, read_all, read_head};
use crate::app::{RUNS_HEAD, runs};

/// A zip file.
#[derive(Debug)]
pub struct ZipTree {
    file: Section,
    listing: Listing,
    stored: Vec<Stored>,
    job: Job,
}

/// What the central directory says of an entry's data.
#[derive(Debug, Clone, Copy)]
struct Stored {
    header: u64,
    compressed: u64,
    crc: u32,
    deflated: bool,
    /// Sizes follow the data (flag bit 3).
    descriptor: bool,
    /// The attributes hold Unix permission bits.
    has_mode: bool,
}

/// Where the central directory is.
struct Directory {
    offset: u64,
    size: u64,
    count: u64,
    zip64: bool,
}

const END: u64 = 22;
const END64_LOCATOR: u64 = 20;
const END64: u64 = 56;
const CENTRAL: usize = 46;
const LOCAL: usize = 30;

fn bad(why: impl Into<String>) -> Error {
    Error::new(Code::Zip, why)
}

impl ZipTree {
    /// Reads the central directory and the targets of symbolic links.
    ///
    /// # Errors
    /// [`Code::Zip`] for a damaged or ambiguous file; [`Code::Unsupported`] for encrypted or
    /// split files and for methods other than stored and deflate; [`Code::PathUnsafe`],
    /// [`Code::PathCollision`], [`Code::SpecialFile`]; limits.
    pub fn open(source: Source, job: &Job) -> Result<Self> {
        let file = Section::whole(source);
        let directory = find_directory(&file, job)?;
        let (builder, mut stored, links) = read_directory(&file, &directory, job)?;
        // The ranges are not needed any more when the table is sorted: that is the most memory.
        check_overlap(std::mem::take(&mut stored.ranges), directory.offset, job)?;
        let mut tree =
            Self { file, listing: builder.finish()?, stored: stored.kept, job: job.clone() };
        tree.guess_programs(job)?;
        let mut targets = Vec::with_capacity(links.len());
        for index in links {
            targets.push((index, tree.link_target(index, job)?));
        }
        if !targets.is_empty() {
            tree.listing.set_links(targets);
        }
        Ok(tree)
    }

    fn entry(&self, index: usize) -> Result<(&TreeEntry, Stored)> {
        match (self.listing.entries().get(index), self.stored.get(index)) {
            (Some(e), Some(s)) => Ok((e, *s)),
            _ => Err(Error::new(Code::Internal, "no such entry")),
        }
    }

    /// Zips made on Windows have no modes, and an app whose programs may not be executed does
    /// not start: where the mode is missing, what starts like a program or a script is one.
    /// Damage is for the reader of the file to report.
    fn guess_programs(&mut self, job: &Job) -> Result<()> {
        let mut programs = Vec::new();
        for (index, (entry, stored)) in self.listing.entries().iter().zip(&self.stored).enumerate()
        {
            if entry.kind != EntryKind::File || stored.has_mode || entry.size < 4 {
                continue;
            }
            job.check()?;
            if self.head(index, RUNS_HEAD, job).is_ok_and(|h| runs(&h)) {
                programs.push(index);
            }
        }
        self.listing.set_executable(&programs);
        Ok(())
    }

    fn link_target(&self, index: usize, job: &Job) -> Result<String> {
        let (entry, stored) = self.entry(index)?;
        let within = |e: Error| e.within(entry.path.as_str());
        let data = self.data(entry, stored).map_err(within)?;
        let mut reader = Reader::new(&data, stored, entry.size, job);
        let target = read_all(&mut reader, entry, job.limits().link_bytes, Code::Zip, job)?;
        String::from_utf8(target).map_err(|e| {
            let shown = escape_bytes(e.as_bytes());
            Error::new(Code::PathUnsafe, format!("the link's target \"{shown}\" is not UTF-8"))
                .within(entry.path.as_str())
        })
    }

    /// The stored bytes, after the local header was checked against the central directory.
    fn data(&self, entry: &TreeEntry, stored: Stored) -> Result<Section> {
        let mut h = [0; LOCAL];
        read_full_at(&self.file, stored.header, &mut h, Code::Zip)?;
        let at = |e: Error| e.at(stored.header);
        if le_u32(&h, 0) != Some(0x0403_4b50) {
            return Err(at(bad("no local header where the central directory says")));
        }
        let field = |o| le_u16(&h, o).unwrap_or(0);
        let (flags, method) = (field(6), field(8));
        let (name_len, extra_len) = (u64::from(field(26)), u64::from(field(28)));
        let mut name = self.job.buffer("name", name_len, 0xFFFF)?;
        let name_at = stored.header.saturating_add(len64(LOCAL));
        read_full_at(&self.file, name_at, &mut name, Code::Zip)?;
        let same = EntryPath::parse(&name, self.job.limits())?.as_ref() == Some(&entry.path)
            && flags & ENCRYPTED == 0
            && (flags & DESCRIPTOR != 0) == stored.descriptor
            && method == if stored.deflated { 8 } else { 0 }
            && (stored.descriptor || le_u32(&h, 14) == Some(stored.crc));
        if !same {
            return Err(at(bad("the local header and the central directory differ")));
        }
        let start = name_at.saturating_add(name_len).saturating_add(extra_len);
        self.file.slice(start, stored.compressed).ok_or_else(|| at(bad("the data leaves the file")))
    }

    fn open_file(&self, index: usize) -> Result<(&TreeEntry, Stored, Section)> {
        let (entry, stored) = self.entry(index)?;
        let within = |e: Error| e.within(entry.path.as_str());
        if entry.kind != EntryKind::File {
            return Err(within(Error::new(Code::Internal, "is not a file")));
        }
        let data = self.data(entry, stored).map_err(within)?;
        Ok((entry, stored, data))
    }
}

impl Tree for ZipTree {
    fn listing(&self) -> &Listing {
        &self.listing
    }

    fn walk(&self, below: Option<&EntryPath>, job: &Job, visit: &mut Visit<'_>) -> Result<()> {
        for (index, entry) in self.listing.entries().iter().enumerate() {
            job.check()?;
            if !super::listing::is_below(&entry.path, below) {
                continue;
            }
            if entry.kind != EntryKind::File {
                visit(entry, None)?;
                continue;
            }
            let (entry, stored, data) = self.open_file(index)?;
            visit(entry, Some(&mut Reader::new(&data, stored, entry.size, job)))?;
        }
        Ok(())
    }

    fn section(&self, index: usize) -> Result<Option<Section>> {
        match self.entry(index)? {
            (e, s) if e.kind == EntryKind::File && !s.deflated => {
                Ok(Some(self.open_file(index)?.2))
            }
            _ => Ok(None),
        }
    }

    fn stream(&self, index: usize, job: &Job, use_data: &mut UseData<'_>) -> Result<()> {
        let (entry, stored, data) = self.open_file(index)?;
        use_data(&mut Reader::new(&data, stored, entry.size, job))
    }

    fn read(&self, index: usize, limit: u64, job: &Job) -> Result<Vec<u8>> {
        let (entry, stored, data) = self.open_file(index)?;
        read_all(&mut Reader::new(&data, stored, entry.size, job), entry, limit, Code::Zip, job)
    }

    fn head(&self, index: usize, len: usize, job: &Job) -> Result<Vec<u8>> {
        let (entry, stored, data) = self.open_file(index)?;
        read_head(&mut Reader::new(&data, stored, entry.size, job), len, Code::Zip)
            .map_err(|e| e.within(entry.path.as_str()))
    }
}

const ENCRYPTED: u16 = 1 | 1 << 6 | 1 << 13;
const DESCRIPTOR: u16 = 1 << 3;

/// APPNOTE 4.3.16, 4.3.14, 4.3.15: the end record is the last thing in the file but zeros.
fn find_directory(file: &Section, job: &Job) -> Result<Directory> {
    let size = file.size();
    let window = size.min(END.saturating_add(0xFFFF));
    let start = size.saturating_sub(window);
    let mut tail = job.buffer("end of the zip", window, window)?;
    read_full_at(file, start, &mut tail, Code::Zip)?;
    // What comes after may be zeros: bsdtar fills its last block when it writes to a pipe.
    let zeros = tail.iter().rposition(|b| *b != 0).map_or(0, |i| i.saturating_add(1));
    let at = (0..=tail.len().saturating_sub(22))
        .rev()
        .find(|&i| {
            let comment = le_u16(&tail, i.saturating_add(20)).map(usize::from);
            let end = comment.and_then(|c| i.checked_add(22)?.checked_add(c));
            le_u32(&tail, i) == Some(0x0605_4b50)
                && end.is_some_and(|e| (zeros..=tail.len()).contains(&e))
        })
        .ok_or_else(|| bad("no end of central directory: the file is cut, or not a zip"))?;
    let record = slice(&tail, at, 22).unwrap_or_default();
    let short = |o| le_u16(record, o).unwrap_or(0);
    let long = |o| le_u32(record, o).unwrap_or(0);
    let end = start.saturating_add(len64(at));
    let mut directory = Directory {
        offset: long(16).into(),
        size: long(12).into(),
        count: short(10).into(),
        zip64: false,
    };
    let mut disks = [u32::from(short(4)), u32::from(short(6))];
    let mut directory_end = end;
    if let Some(end64) = find_end64(file, end)? {
        let mut r = [0; 56];
        read_full_at(file, end64, &mut r, Code::Zip)?;
        let wide = |o| le_u64(&r, o).unwrap_or(0);
        if le_u32(&r, 0) != Some(0x0606_4b50) || wide(4) < 44 {
            return Err(bad("a damaged ZIP64 end of central directory").at(end64));
        }
        directory = Directory { offset: wide(48), size: wide(40), count: wide(32), zip64: true };
        disks = [le_u32(&r, 16).unwrap_or(0), le_u32(&r, 20).unwrap_or(0)];
        directory_end = end64;
    }
    if disks != [0, 0] {
        return Err(Error::new(Code::Unsupported, "the zip is split over several files"));
    }
    if directory.offset.checked_add(directory.size) != Some(directory_end) {
        let why = format!(
            "the central directory (at {}, {} bytes) does not end where the end record starts",
            directory.offset, directory.size
        );
        return Err(bad(why).at(end));
    }
    // A record has at least 46 bytes.
    if directory.count.saturating_mul(len64(CENTRAL)) > directory.size {
        return Err(
            bad(format!("{} entries do not fit the central directory", directory.count)).at(end)
        );
    }
    let limit = job.limits().entries;
    if directory.count > limit {
        return Err(Error::limit(Code::LimitEntries, "entries", limit, directory.count));
    }
    Ok(directory)
}

/// Where the ZIP64 end record is, if the file has one.
fn find_end64(file: &Section, end: u64) -> Result<Option<u64>> {
    let Some(at) = end.checked_sub(END64_LOCATOR) else { return Ok(None) };
    let mut l = [0; 20];
    read_full_at(file, at, &mut l, Code::Zip)?;
    if le_u32(&l, 0) != Some(0x0706_4b50) {
        return Ok(None);
    }
    let end64 = le_u64(&l, 8).unwrap_or(0);
    match end64.checked_add(END64) {
        Some(e) if e <= at => Ok(Some(end64)),
        _ => Err(bad("the ZIP64 end of central directory leaves the file").at(at)),
    }
}

/// What is kept of all records.
#[derive(Default)]
struct Records {
    kept: Vec<Stored>,
    /// Header offset, and least bytes of header and data: of every entry, dropped ones too.
    ranges: Vec<(u64, u64)>,
}

fn read_directory(
    file: &Section,
    directory: &Directory,
    job: &Job,
) -> Result<(Builder, Records, Vec<usize>)> {
    let section = file
        .slice(directory.offset, directory.size)
        .ok_or_else(|| bad("the central directory leaves the file"))?;
    let mut input = BufReader::with_capacity(1 << 16, section.reader());
    let mut builder = Builder::new(Code::Zip, job);
    let mut records = Records::default();
    let mut links = Vec::new();
    let mut left = directory.size;
    let mut seen: u64 = 0;
    while left > 0 {
        job.check()?;
        let at = directory.offset.saturating_add(directory.size.saturating_sub(left));
        let record = read_record(&mut input, &mut left, job).map_err(|e| e.at(at))?;
        seen = seen.saturating_add(1);
        let limit = job.limits().entries;
        if len64(records.ranges.len()) > limit.saturating_mul(2) {
            return Err(Error::limit(Code::LimitEntries, "entries", limit, seen));
        }
        let least = len64(LOCAL)
            .saturating_add(len64(record.name.len()))
            .saturating_add(record.stored.compressed);
        records.ranges.push((record.stored.header, least));
        let stored = record.stored;
        let Some(entry) = record.entry(job).map_err(|e| e.at(at))? else { continue };
        let is_link = entry.kind == EntryKind::Symlink;
        if let Some(index) = builder.add(entry)? {
            records.kept.push(stored);
            if is_link {
                links.push(index);
            }
        }
    }
    // Archive Utility writes more than 65,535 entries without ZIP64: the count then wraps.
    let count = if directory.zip64 { seen } else { seen & 0xFFFF };
    if count != directory.count {
        return Err(bad(format!("{seen} entries where the end record says {}", directory.count)));
    }
    Ok((builder, records, links))
}

/// One record of the central directory (APPNOTE 4.3.12).
struct Record {
    name: Vec<u8>,
    stored: Stored,
    size: u64,
    unix: bool,
    attributes: u32,
    mtime: u64,
}

fn read_record(input: &mut impl Read, left: &mut u64, job: &Job) -> Result<Record> {
    let mut take = |input: &mut dyn Read, buf: &mut [u8]| -> Result<()> {
        *left = left
            .checked_sub(len64(buf.len()))
            .ok_or_else(|| bad("the central directory ends inside a record"))?;
        input.read_exact(buf).map_err(|e| Error::from_io(Code::Zip, "the central directory", e))
    };
    let mut h = [0; CENTRAL];
    take(input, &mut h)?;
    if le_u32(&h, 0) != Some(0x0201_4b50) {
        return Err(bad("not a record of the central directory"));
    }
    let short = |o| le_u16(&h, o).unwrap_or(0);
    let long = |o| le_u32(&h, o).unwrap_or(0);
    let mut name = job.buffer("name", short(28).into(), 0xFFFF)?;
    let mut extra = job.buffer("extra field", short(30).into(), 0xFFFF)?;
    let mut comment = job.buffer("comment", short(32).into(), 0xFFFF)?;
    take(input, &mut name)?;
    take(input, &mut extra)?;
    take(input, &mut comment)?;
    let (flags, method) = (short(8), short(10));
    if flags & ENCRYPTED != 0 {
        let why = format!("\"{}\" is encrypted", escape_bytes(&name));
        return Err(Error::new(Code::Unsupported, why).hint("make the zip without a password"));
    }
    if method != 0 && method != 8 {
        let why = format!("\"{}\" is compressed by {}", escape_bytes(&name), method_name(method));
        return Err(
            Error::new(Code::Unsupported, why).hint("make the zip with deflate, the usual method")
        );
    }
    let mut wide = [u64::from(long(24)), u64::from(long(20)), u64::from(long(42))];
    let mtime = extra_fields(&extra, &mut wide)?;
    let [size, compressed, header] = wide;
    if short(34) != 0 && short(34) != 0xFFFF {
        return Err(Error::new(Code::Unsupported, "the zip is split over several files"));
    }
    if method == 0 && size != compressed {
        return Err(bad(format!("\"{}\" is stored, but with two sizes", escape_bytes(&name))));
    }
    // Made by Unix (3) or macOS (19): the high half of the attributes is a mode.
    let unix = matches!(short(4) >> 8, 3 | 19);
    let stored = Stored {
        has_mode: unix && (long(38) >> 16) & 0o7777 != 0,
        header,
        compressed,
        crc: long(16),
        deflated: method == 8,
        descriptor: flags & DESCRIPTOR != 0,
    };
    Ok(Record { name, stored, size, unix, attributes: long(38), mtime })
}

/// The name of a compression method that is not read (APPNOTE 4.4.5).
fn method_name(method: u16) -> String {
    let name = match method {
        9 => "Deflate64",
        12 => "bzip2",
        14 => "LZMA",
        93 => "Zstandard",
        95 => "xz",
        _ => return format!("method {method}"),
    };
    format!("{name} (method {method})")
}

/// ZIP64 sizes (APPNOTE 4.5.3) go into `wide`; returns the time of an extended timestamp.
fn extra_fields(extra: &[u8], wide: &mut [u64; 3]) -> Result<u64> {
    let mut rest = extra;
    let mut mtime = 0;
    let mut zip64 = None;
    while let (Some(id), Some(len)) = (le_u16(rest, 0), le_u16(rest, 2)) {
        let Some(field) = slice(rest, 4, usize::from(len)) else {
            return Err(bad("an extra field is longer than its record"));
        };
        rest = rest.get(usize::from(len).saturating_add(4)..).unwrap_or_default();
        match id {
            1 if zip64.is_some() => return Err(bad("two ZIP64 extra fields")),
            1 => zip64 = Some(field),
            0x5455 if field.first().is_some_and(|f| f & 1 != 0) => {
                mtime = le_u32(field, 1).map_or(0, u64::from);
            }
            _ => {}
        }
    }
    let mut at = 0_usize;
    for value in wide.iter_mut().filter(|v| **v == 0xFFFF_FFFF) {
        let Some(field) = zip64 else { break };
        *value = le_u64(field, at).ok_or_else(|| bad("a ZIP64 extra field is too short"))?;
        at = at.saturating_add(8);
    }
    Ok(mtime)
}

impl Record {
    /// `None` for the root itself.
    fn entry(self, job: &Job) -> Result<Option<TreeEntry>> {
        let Some(path) = EntryPath::parse(&self.name, job.limits())? else { return Ok(None) };
        let within = |e: Error| e.within(path.as_str());
        let slash = self.name.last() == Some(&b'/');
        let mode = if self.unix { self.attributes >> 16 } else { 0 };
        let kind = match (EntryKind::from_mode(mode), slash) {
            (Some(EntryKind::Directory), _) | (None, true) => EntryKind::Directory,
            (Some(EntryKind::File) | None, false) => EntryKind::File,
            (Some(EntryKind::Symlink), false) => EntryKind::Symlink,
            (Some(EntryKind::File | EntryKind::Symlink), true) => {
                return Err(within(bad("the name is a folder's, the mode is not")));
            }
            _ => return Err(within(Error::new(Code::SpecialFile, "is a device, pipe or socket"))),
        };
        if kind == EntryKind::Directory && (self.size != 0 || self.stored.compressed > 2) {
            return Err(within(bad("is a folder with data")));
        }
        let given = mode & 0o7777;
        let mode = match kind {
            _ if given != 0 => given,
            EntryKind::Directory => 0o755,
            _ => 0o644,
        };
        Ok(Some(TreeEntry { path, kind, mode, size: self.size, link: None, mtime: self.mtime }))
    }
}

/// No entry may lie over another or over the central directory: that is how bombs are built
/// (Fifield, "A better zip bomb"), and how two readers are shown two trees.
fn check_overlap(mut ranges: Vec<(u64, u64)>, directory: u64, job: &Job) -> Result<()> {
    job.check()?;
    ranges.sort_unstable();
    let ends = ranges.iter().skip(1).map(|r| r.0).chain(Some(directory));
    for ((start, least), next) in ranges.iter().zip(ends) {
        if start.checked_add(*least).is_none_or(|end| end > next) {
            return Err(bad("an entry lies over another, or over the central directory").at(*start));
        }
    }
    Ok(())
}

/// The data of one file, with its size and CRC-32 checked at its end.
struct Reader<'j> {
    input: Decoder,
    job: &'j Job,
    stored: Stored,
    size: u64,
    produced: u64,
    crc: crc32fast::Hasher,
    done: bool,
}

enum Decoder {
    Plain(Cursor<Section>),
    Deflate(Box<DeflateDecoder<BufReader<Cursor<Section>>>>),
}

impl<'j> Reader<'j> {
    fn new(data: &Section, stored: Stored, size: u64, job: &'j Job) -> Self {
        let input = if stored.deflated {
            let buffered = BufReader::with_capacity(1 << 16, data.reader());
            Decoder::Deflate(Box::new(DeflateDecoder::new(buffered)))
        } else {
            Decoder::Plain(data.reader())
        };
        Self { input, job, stored, size, produced: 0, crc: crc32fast::Hasher::new(), done: false }
    }

    fn end(&mut self) -> Result<()> {
        if self.produced != self.size {
            return Err(bad(format!(
                "{} bytes where the directory says {}",
                self.produced, self.size
            )));
        }
        if let Decoder::Deflate(d) = &self.input
            && d.total_in() != self.stored.compressed
        {
            return Err(bad(format!(
                "the deflate stream has {} bytes where the directory says {}",
                d.total_in(),
                self.stored.compressed
            )));
        }
        let crc = self.crc.clone().finalize();
        if crc != self.stored.crc {
            return Err(bad(format!(
                "CRC-32 is {crc:08x} where the directory says {:08x}",
                self.stored.crc
            )));
        }
        self.done = true;
        Ok(())
    }
}

impl Read for Reader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.done || buf.is_empty() {
            return Ok(0);
        }
        let at = self.stored.header;
        let n = match &mut self.input {
            Decoder::Plain(r) => r.read(buf)?,
            Decoder::Deflate(r) => r.read(buf).map_err(|e| match e.kind() {
                io::ErrorKind::Interrupted => e,
                _ => Error::from_io(Code::Zip, "a damaged deflate stream", e).at(at).into(),
            })?,
        };
        let bytes = buf.get(..n).unwrap_or_default();
        if bytes.is_empty() {
            self.end().map_err(|e| e.at(at))?;
            return Ok(0);
        }
        self.crc.update(bytes);
        self.produced = self.produced.saturating_add(len64(n));
        if self.produced > self.size {
            return Err(bad(format!("more than the {} bytes of the directory", self.size))
                .at(at)
                .into());
        }
        if let Decoder::Deflate(d) = &self.input {
            self.job.expanded(len64(n))?;
            self.job.ratio(d.total_in(), self.produced)?;
        } else {
            self.job.check()?;
        }
        Ok(n)
    }
}
