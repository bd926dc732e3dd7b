//! The ZIP records of the profile, as bytes. Every field is a function of the arguments;
//! names and numbers are those of PKWARE's APPNOTE 6.3.x, section 4.3 and 4.5.

use mip_base::bytes::{le_u16, le_u32, le_u64};

use crate::profile::{PAYLOAD_ALIGNMENT, TAIL};

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const ZIP64_END: u32 = 0x0606_4b50;
const ZIP64_LOCATOR: u32 = 0x0706_4b50;
const END: u32 = 0x0605_4b50;

/// Made by Unix (3), by the rules of ZIP 4.5.
const MADE_BY: u16 = 3 << 8 | 45;
/// 4.5: ZIP64.
const NEEDED: u16 = 45;
/// Bit 11: the name is UTF-8.
const FLAGS: u16 = 1 << 11;
const STORED: u16 = 0;
const TIME: u16 = 0;
/// 1980-01-01, the first day that the format knows.
const DATE: u16 = 1 << 5 | 1;
const ZIP64_EXTRA: u16 = 0x0001;
/// The alignment extra field of Android's zipalign.
const ALIGNMENT_EXTRA: u16 = 0xD935;
const REGULAR_FILE: u32 = 0o100_000;

/// Fixed part of a local header.
pub(crate) const LOCAL_FIXED: u64 = 30;
/// Fixed part of a record of the central directory.
pub(crate) const CENTRAL_FIXED: usize = 46;
/// ZIP64 extra field with two sizes, and an alignment extra field without padding.
const PAYLOAD_EXTRA: u64 = 20 + 6;

/// What the headers say of one entry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a> {
    pub name: &'a str,
    pub mode: u32,
    pub size: u64,
    pub crc32: u32,
    /// Offset of the local header.
    pub header: u64,
    /// Whether the local header has the extra fields of the payload.
    pub payload: bool,
}

struct Bytes(Vec<u8>);

impl Bytes {
    fn u16(&mut self, v: u16) -> &mut Self {
        self.0.extend_from_slice(&v.to_le_bytes());
        self
    }
    fn u32(&mut self, v: u32) -> &mut Self {
        self.0.extend_from_slice(&v.to_le_bytes());
        self
    }
    fn u64(&mut self, v: u64) -> &mut Self {
        self.0.extend_from_slice(&v.to_le_bytes());
        self
    }
}

/// The value of a 32-bit field; `0xFFFFFFFF` when the value is in a ZIP64 field instead.
fn short(v: u64) -> u32 {
    u32::try_from(v).unwrap_or(u32::MAX)
}

fn is_long(v: u64) -> bool {
    short(v) == u32::MAX
}

/// Names of the profile are far shorter than 64 KiB.
fn name_len(name: &str) -> u16 {
    u16::try_from(name.len()).unwrap_or(u16::MAX)
}

/// Length of a local header at `start`; `None` past the end of numbers.
pub(crate) fn local_len(name: &str, start: u64, payload: bool) -> Option<u64> {
    let len = LOCAL_FIXED.checked_add(u64::from(name_len(name)))?;
    if !payload {
        return Some(len);
    }
    let len = len.checked_add(PAYLOAD_EXTRA)?;
    let data = start.checked_add(len)?.checked_next_multiple_of(PAYLOAD_ALIGNMENT.into())?;
    data.checked_sub(start)
}

/// The local header (4.3.7).
pub(crate) fn local_header(f: &Fields<'_>) -> Option<Vec<u8>> {
    let len = local_len(f.name, f.header, f.payload)?;
    let extra = len.checked_sub(LOCAL_FIXED)?.checked_sub(u64::from(name_len(f.name)))?;
    let size = if f.payload { u32::MAX } else { u32::try_from(f.size).ok()? };
    let mut b = Bytes(Vec::new());
    b.u32(LOCAL).u16(NEEDED).u16(FLAGS).u16(STORED).u16(TIME).u16(DATE).u32(f.crc32);
    b.u32(size).u32(size).u16(name_len(f.name)).u16(u16::try_from(extra).ok()?);
    b.0.extend_from_slice(f.name.as_bytes());
    if f.payload {
        b.u16(ZIP64_EXTRA).u16(16).u64(f.size).u64(f.size);
        let padding = extra.checked_sub(PAYLOAD_EXTRA)?;
        b.u16(ALIGNMENT_EXTRA).u16(u16::try_from(padding.checked_add(2)?).ok()?);
        b.u16(PAYLOAD_ALIGNMENT);
        b.0.resize(usize::try_from(len).ok()?, 0);
    }
    Some(b.0)
}

/// Appends the record of the central directory (4.3.12). ZIP64 values only for the fields that
/// do not fit, in the order of 4.5.3.
pub(crate) fn central_record(f: &Fields<'_>, out: &mut Vec<u8>) {
    let mut long = Bytes(Vec::new());
    if is_long(f.size) {
        long.u64(f.size).u64(f.size);
    }
    if is_long(f.header) {
        long.u64(f.header);
    }
    let extra = match long.0.len() {
        0 => 0,
        n => n.saturating_add(4),
    };
    let extra = u16::try_from(extra).unwrap_or(u16::MAX);
    let mut b = Bytes(std::mem::take(out));
    b.u32(CENTRAL).u16(MADE_BY).u16(NEEDED).u16(FLAGS).u16(STORED).u16(TIME).u16(DATE);
    b.u32(f.crc32).u32(short(f.size)).u32(short(f.size));
    b.u16(name_len(f.name)).u16(extra).u16(0).u16(0).u16(0);
    b.u32((REGULAR_FILE | f.mode) << 16).u32(short(f.header));
    b.0.extend_from_slice(f.name.as_bytes());
    if !long.0.is_empty() {
        b.u16(ZIP64_EXTRA).u16(extra.saturating_sub(4));
        b.0.extend_from_slice(&long.0);
    }
    *out = b.0;
}

/// The end of an archive: ZIP64 end record (4.3.14), its locator (4.3.15), end record (4.3.16).
pub(crate) fn tail(entries: u64, directory: u64, directory_len: u64) -> Option<Vec<u8>> {
    let zip64_end = directory.checked_add(directory_len)?;
    let count = u16::try_from(entries).unwrap_or(u16::MAX);
    let mut b = Bytes(Vec::new());
    b.u32(ZIP64_END).u64(44).u16(MADE_BY).u16(NEEDED).u32(0).u32(0);
    b.u64(entries).u64(entries).u64(directory_len).u64(directory);
    b.u32(ZIP64_LOCATOR).u32(0).u64(zip64_end).u32(1);
    b.u32(END).u16(0).u16(0).u16(count).u16(count);
    b.u32(short(directory_len)).u32(short(directory)).u16(0);
    Some(b.0)
}

/// What the end of an archive says: offset and length of the central directory.
pub(crate) struct Tail {
    pub directory: u64,
    pub directory_len: u64,
}

/// Reads the last [`TAIL`] bytes; `None` when the three records are not there.
pub(crate) fn parse_tail(b: &[u8]) -> Option<Tail> {
    let found = u64::try_from(b.len()) == Ok(TAIL)
        && le_u32(b, 0) == Some(ZIP64_END)
        && le_u32(b, 56) == Some(ZIP64_LOCATOR)
        && le_u32(b, 76) == Some(END);
    found.then_some(())?;
    Some(Tail { directory: le_u64(b, 48)?, directory_len: le_u64(b, 40)? })
}

/// Size, local header offset and record length of the entry `name`, when its record (with no
/// extra field, or one with a ZIP64 offset only) is the last thing in `directory`.
pub(crate) fn last_record(directory: &[u8], name: &str) -> Option<(u64, u64, usize)> {
    [0usize, 12].into_iter().find_map(|extra| {
        let len = CENTRAL_FIXED.checked_add(name.len())?.checked_add(extra)?;
        let r = directory.get(directory.len().checked_sub(len)?..)?;
        let at_extra = CENTRAL_FIXED.checked_add(name.len())?;
        let matches = le_u32(r, 0) == Some(CENTRAL)
            && le_u16(r, 28) == Some(name_len(name))
            && le_u16(r, 30).map(usize::from) == Some(extra)
            && le_u16(r, 32) == Some(0)
            && r.get(CENTRAL_FIXED..at_extra) == Some(name.as_bytes());
        matches.then_some(())?;
        let offset = if extra == 0 {
            le_u32(r, 42).map(u64::from)?
        } else {
            le_u64(r, at_extra.checked_add(4)?)?
        };
        Some((u64::from(le_u32(r, 20)?), offset, len))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(size: u64, header: u64, payload: bool) -> Fields<'static> {
        Fields { name: "payload/x", mode: 0o755, size, crc32: 0x0102_0304, header, payload }
    }

    #[test]
    fn the_directory_holds_zip64_values_only_where_needed() {
        let extra = |size, header| {
            let mut r = Vec::new();
            central_record(&fields(size, header, true), &mut r);
            assert_eq!(le_u16(&r, 30).unwrap() as usize, r.len() - 46 - 9);
            r.split_off(46 + 9)
        };
        let (fits, over) = (0xFFFF_FFFEu64, 0xFFFF_FFFFu64);
        assert_eq!(extra(fits, fits), b"");
        // id 1, 8 bytes: the offset alone (the case that a well-known reader gets wrong).
        assert_eq!(extra(fits, over), b"\x01\0\x08\0\xff\xff\xff\xff\0\0\0\0");
        assert_eq!(extra(over, 7), b"\x01\0\x10\0\xff\xff\xff\xff\0\0\0\0\xff\xff\xff\xff\0\0\0\0");
        assert_eq!(extra(1 << 32, 1 << 33)[..4], [1, 0, 24, 0]);
    }

    #[test]
    fn payload_data_is_aligned_from_any_start() {
        for start in (0..9000).chain([u64::from(u32::MAX) - 3000, 1 << 40]) {
            let h = local_header(&fields(5, start, true)).unwrap();
            assert_eq!((start + h.len() as u64) % 4096, 0, "{start}");
            assert!(h.len() < 30 + 9 + 26 + 4096);
            assert_eq!(Some(h.len() as u64), local_len("payload/x", start, true));
        }
        assert!(local_header(&fields(5, u64::MAX - 10, true)).is_none());
    }

    #[test]
    fn the_tail_reads_back() {
        for (entries, at, len) in [(3, 10, 200), (300, 0xFFFF_FFFF, 5), (2, 1 << 40, 1 << 33)] {
            let t = tail(entries, at, len).unwrap();
            assert_eq!(t.len() as u64, TAIL);
            let p = parse_tail(&t).unwrap();
            assert_eq!((p.directory, p.directory_len), (at, len));
            assert_eq!(le_u64(&t, 24), Some(entries));
        }
    }
}
