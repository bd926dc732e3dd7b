//! A lenient listing of any ZIP: what it claims to hold, and no word on whether that is true.

use std::io::{BufReader, Read};

use mip_base::bytes::{le_u16, le_u32, le_u64};
use mip_base::{
    Code, Cursor, Error, Job, ReadAt, Result, Section, Source, escape_bytes, len64, read_full_at,
};

const CENTRAL: u32 = 0x0201_4b50;
const ZIP64_END: u32 = 0x0606_4b50;
const ZIP64_LOCATOR: u32 = 0x0706_4b50;
const END: u32 = 0x0605_4b50;
/// Fixed part of the end record.
const END_LEN: u64 = 22;
const CENTRAL_LEN: u64 = 46;

/// What a ZIP's central directory claims of one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedEntry {
    /// The name, escaped for showing: not a path to open.
    pub name: String,
    /// Bytes of the content.
    pub size: u64,
    /// Bytes as stored.
    pub stored_size: u64,
    /// Compression method (0: stored, 8: deflate).
    pub method: u16,
    /// CRC-32 of the content.
    pub crc32: u32,
    /// Offset of the local header, as claimed.
    pub header_offset: u64,
    /// Unix mode with type bits, where the entry was made on Unix.
    pub mode: Option<u32>,
    /// The content is encrypted.
    pub encrypted: bool,
}

/// Lists a ZIP of any maker. Nothing is verified, local headers are not looked at.
///
/// # Errors
/// [`Code::MipUnknown`] when `source` does not end like a ZIP; [`Code::Zip`] when its directory
/// is damaged; [`Code::LimitEntries`]; [`Code::InputIo`].
pub fn list_unverified(source: Source, job: &Job) -> Result<Vec<ListedEntry>> {
    let (start, size) = directory(&source, job)?;
    let section = Section::new(source, start, size)
        .ok_or_else(|| damaged("the central directory is not inside the file").at(start))?;
    let mut input = BufReader::with_capacity(1 << 16, Cursor::new(section));
    let mut entries = Vec::new();
    let (mut at, mut names) = (0u64, 0u64);
    let limits = job.limits();
    while size.saturating_sub(at) >= CENTRAL_LEN {
        job.check()?;
        let here = start.saturating_add(at);
        let (entry, bytes) = record(&mut input, job).map_err(|e| e.at(here))?;
        at = at.saturating_add(bytes);
        names = names.saturating_add(bytes);
        let count = len64(entries.len()).saturating_add(1);
        if count > limits.entries {
            return Err(Error::limit(Code::LimitEntries, "entries", limits.entries, count));
        }
        if names > limits.path_bytes_kept {
            let limit = limits.path_bytes_kept;
            return Err(Error::limit(Code::LimitMemory, "bytes of the directory", limit, names));
        }
        entries.push(entry);
    }
    if at != size {
        return Err(
            damaged("bytes after the last record of the directory").at(start.saturating_add(at))
        );
    }
    Ok(entries)
}

/// Offset and length of the central directory, from the last end record of the file.
fn directory(source: &Source, job: &Job) -> Result<(u64, u64)> {
    let size = source.size();
    let window = size.min(END_LEN.saturating_add(0xFFFF));
    let start = size.saturating_sub(window);
    let mut bytes = job.buffer("end of the file", window, window)?;
    read_full_at(source, start, &mut bytes, Code::Truncated)?;
    let last = bytes.len().checked_sub(22);
    let found = last.and_then(|last| {
        (0..=last).rev().find(|&i| {
            le_u32(&bytes, i) == Some(END)
                && le_u16(&bytes, i.saturating_add(20)).map(usize::from) <= last.checked_sub(i)
        })
    });
    let Some(end) = found else {
        return Err(Error::new(Code::MipUnknown, "the file does not end like a ZIP archive")
            .hint("this is not a MIP archive, nor any other ZIP"));
    };
    let end_at = start.saturating_add(u64::try_from(end).unwrap_or(0));
    let short =
        |skip: usize| le_u32(&bytes, end.saturating_add(skip)).map(u64::from).unwrap_or(u64::MAX);
    let (mut len, mut at) = (short(12), short(16));
    let mut limit = end_at;
    if let Some(zip64) = zip64_end(source, end_at)? {
        (len, at, limit) = zip64;
    }
    if at.checked_add(len).is_none_or(|e| e > limit) {
        return Err(damaged("the central directory is not before its end record").at(end_at));
    }
    Ok((at, len))
}

/// Length and offset of the directory from the ZIP64 end record, and where that is.
fn zip64_end(source: &Source, end_at: u64) -> Result<Option<(u64, u64, u64)>> {
    let Some(locator_at) = end_at.checked_sub(20) else { return Ok(None) };
    let mut locator = [0u8; 20];
    read_full_at(source, locator_at, &mut locator, Code::Zip)?;
    if le_u32(&locator, 0) != Some(ZIP64_LOCATOR) {
        return Ok(None);
    }
    let at = le_u64(&locator, 8).unwrap_or(u64::MAX);
    if at.checked_add(56).is_none_or(|e| e > locator_at) {
        return Err(damaged("the ZIP64 end record is not before its locator").at(locator_at));
    }
    let mut b = [0u8; 56];
    read_full_at(source, at, &mut b, Code::Zip)?;
    if le_u32(&b, 0) != Some(ZIP64_END) {
        return Err(damaged("the ZIP64 locator does not lead to an end record").at(at));
    }
    Ok(le_u64(&b, 40).zip(le_u64(&b, 48)).map(|(len, start)| (len, start, at)))
}

/// One record of the directory, and its length.
fn record(input: &mut impl Read, job: &Job) -> Result<(ListedEntry, u64)> {
    let mut b = [0u8; 46];
    fill(input, &mut b)?;
    if le_u32(&b, 0) != Some(CENTRAL) {
        return Err(damaged("a record of the directory does not start like one"));
    }
    let short = |at| le_u16(&b, at).unwrap_or(0);
    let long = |at| le_u32(&b, at).unwrap_or(0);
    let mut variable = |at| -> Result<Vec<u8>> {
        let mut v = job.buffer("field of a record", short(at).into(), 0xFFFF)?;
        fill(input, &mut v)?;
        Ok(v)
    };
    let (name, extra, comment) = (variable(28)?, variable(30)?, variable(32)?);
    let [size, stored_size, header_offset] = zip64_values(&extra, [long(24), long(20), long(42)]);
    let entry = ListedEntry {
        name: escape_bytes(&name),
        size,
        stored_size,
        method: short(10),
        crc32: long(16),
        header_offset,
        mode: (short(4) >> 8 == 3).then_some(long(38) >> 16),
        encrypted: short(8) & 1 != 0,
    };
    let bytes = [&name, &extra, &comment]
        .into_iter()
        .fold(CENTRAL_LEN, |sum, v| sum.saturating_add(len64(v.len())));
    Ok((entry, bytes))
}

/// Replaces the values that are `0xFFFFFFFF` by those of the ZIP64 extra field, which holds
/// only them, in this order (4.5.3).
fn zip64_values(mut extra: &[u8], values: [u32; 3]) -> [u64; 3] {
    let mut field: &[u8] = &[];
    while let (Some(id), Some(size)) = (le_u16(extra, 0), le_u16(extra, 2)) {
        let end = usize::from(size).saturating_add(4);
        if id == 1 {
            field = extra.get(4..end).unwrap_or(&[]);
            break;
        }
        extra = extra.get(end..).unwrap_or(&[]);
    }
    values.map(|v| {
        if v != u32::MAX {
            return u64::from(v);
        }
        let long = le_u64(field, 0).unwrap_or(u64::from(v));
        field = field.get(8..).unwrap_or(&[]);
        long
    })
}

fn fill(input: &mut impl Read, buf: &mut [u8]) -> Result<()> {
    input
        .read_exact(buf)
        .map_err(|e| Error::from_io(Code::Zip, "the central directory ends inside a record", e))
}

fn damaged(what: &str) -> Error {
    Error::new(Code::Zip, what)
}
