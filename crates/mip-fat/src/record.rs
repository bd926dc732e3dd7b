//! Directory records: short names, long names, times.

use mip_base::bytes::{le_u16, le_u32};
use mip_base::{EntryKind, Result};

use crate::boot::damaged;

const READ_ONLY: u8 = 0x01;
const LABEL: u8 = 0x08;
const DIRECTORY: u8 = 0x10;
/// Read-only, hidden, system and label at once: part of a long name.
const LONG: u8 = 0x0f;
/// Bits of the attributes that are defined.
const DEFINED: u8 = 0x3f;

/// Bytes 0x80 to 0xff of code page 437, the one that short names are taken to be in.
const CP437: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";

fn oem(bytes: &[u8]) -> String {
    let high = |b: u8| CP437.chars().nth(usize::from(b & 0x7f)).unwrap_or('\u{fffd}');
    bytes.iter().map(|b| if b.is_ascii() { char::from(*b) } else { high(*b) }).collect()
}

/// A label of 11 bytes without its padding; empty for the two ways to say "none".
pub(crate) fn label(bytes: &[u8]) -> String {
    let mut bytes = bytes.to_vec();
    if let Some(b) = bytes.first_mut().filter(|b| **b == 0x05) {
        *b = 0xe5;
    }
    let text = oem(&bytes);
    match text.trim_end_matches([' ', '\0']) {
        "NO NAME" => String::new(),
        t => t.to_owned(),
    }
}

/// A file or folder in a directory.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) name: String,
    pub(crate) kind: EntryKind,
    pub(crate) attributes: u8,
    pub(crate) mode: u32,
    pub(crate) size: u32,
    pub(crate) cluster: u32,
    pub(crate) mtime: i64,
    /// Where the record is in the bytes of the directory.
    pub(crate) at: usize,
}

/// What the records of a directory say.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    pub(crate) records: Vec<Record>,
    pub(crate) label: Option<String>,
}

/// A long name that is being put together, last part first.
#[derive(Default)]
struct Long {
    /// Number of the part that must come next; 0 when all are there.
    next: u8,
    checksum: u8,
    /// The parts in the order of the records, each backwards.
    units: Vec<u16>,
    valid: bool,
}

impl Long {
    fn part(&mut self, r: &[u8]) {
        let (order, sum) = (r.first().copied().unwrap_or(0), r.get(13).copied().unwrap_or(0));
        let number = order & 0x3f;
        if order & 0x40 != 0 {
            *self = Self { next: number, checksum: sum, units: Vec::new(), valid: true };
        }
        // 20 parts of 13 units hold the 255 that a name may have.
        if !self.valid || number == 0 || number > 20 || number != self.next || sum != self.checksum
        {
            *self = Self::default();
            return;
        }
        self.next = number.saturating_sub(1);
        let pieces = [r.get(28..32), r.get(14..26), r.get(1..11)];
        for piece in pieces.into_iter().flatten() {
            self.units.extend(piece.chunks_exact(2).rev().filter_map(|u| le_u16(u, 0)));
        }
    }

    /// The name, when all parts came and belong to the short name.
    fn take(&mut self, short: &[u8]) -> Result<Option<String>> {
        let done = std::mem::take(self);
        if !done.valid || done.next != 0 || done.checksum != checksum(short) {
            return Ok(None);
        }
        let units: Vec<u16> = done.units.into_iter().rev().take_while(|u| *u != 0).collect();
        if units.len() > 255 {
            return Err(damaged(format!("a long name has {} units", units.len())));
        }
        String::from_utf16(&units).map(Some).map_err(|_| damaged("a long name is not valid UTF-16"))
    }
}

/// The checksum that ties a long name to the 11 bytes of its short one.
fn checksum(short: &[u8]) -> u8 {
    short.iter().fold(0_u8, |sum, b| sum.rotate_right(1).wrapping_add(*b))
}

/// `NAME.EXT` out of 11 bytes; the flags of Windows NT say which of the two is lower case.
fn short_name(bytes: &[u8], flags: u8) -> String {
    let (base, ext) = bytes.split_at_checked(8).unwrap_or((bytes, &[]));
    let part = |b: &[u8], lower: bool| {
        let mut b = b.to_vec();
        if lower {
            b.make_ascii_lowercase();
        }
        oem(&b).trim_end_matches(' ').to_owned()
    };
    let mut first = base.to_vec();
    // 0xe5 as a first byte means "deleted", so a name that starts with it has 5.
    if let Some(b) = first.first_mut().filter(|b| **b == 0x05) {
        *b = 0xe5;
    }
    let (base, ext) = (part(&first, flags & 0x08 != 0), part(ext, flags & 0x10 != 0));
    if ext.is_empty() { base } else { format!("{base}.{ext}") }
}

/// Days from 1970 to the first day of 1980.
const DAYS_TO_1980: u32 = 3652;

/// Seconds since 1970 of a FAT date and time, taken as UTC; 0 when there is no date.
fn unix(date: u16, time: u16) -> i64 {
    let (day, month, years) = (u32::from(date & 31), usize::from(date >> 5 & 15), date >> 9);
    let before = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let Some(month_days) = month.checked_sub(1).and_then(|m| before.get(m)) else { return 0 };
    if day == 0 {
        return 0;
    }
    let years = u32::from(years);
    // Leap years since 1980 are all multiples of 4 but 2100.
    let leap = years.is_multiple_of(4) && years != 120;
    let leap_days = years.div_ceil(4).saturating_sub(u32::from(years > 120));
    let days = DAYS_TO_1980
        .saturating_add(years.saturating_mul(365))
        .saturating_add(leap_days)
        .saturating_add(*month_days)
        .saturating_add(u32::from(leap && month > 2))
        .saturating_add(day.saturating_sub(1));
    let (hour, minute, second) = (time >> 11, time >> 5 & 63, (time & 31).saturating_mul(2));
    let seconds = i64::from(hour)
        .saturating_mul(3600)
        .saturating_add(i64::from(minute).saturating_mul(60))
        .saturating_add(i64::from(second));
    i64::from(days).saturating_mul(86400).saturating_add(seconds)
}

/// Reads the records of a directory up to its end mark.
pub(crate) fn parse(bytes: &[u8], fat32: bool) -> Result<Directory> {
    let mut out = Directory::default();
    let mut long = Long::default();
    for (n, r) in bytes.chunks_exact(32).enumerate() {
        let at = n.saturating_mul(32);
        let byte = |i: usize| r.get(i).copied().unwrap_or(0);
        let word = |i: usize| le_u16(r, i).unwrap_or(0);
        let short = r.get(..11).unwrap_or_default();
        match (byte(0), byte(11)) {
            (0, _) => break,
            (0xe5, _) => long = Long::default(),
            (_, a) if a & DEFINED == LONG => long.part(r),
            (_, a) if a & LABEL != 0 => {
                long = Long::default();
                out.label.get_or_insert_with(|| label(short));
            }
            _ if matches!(short, b".          " | b"..         ") => long = Long::default(),
            (_, attributes) => {
                let name = match long.take(short)? {
                    Some(name) => name,
                    None => short_name(short, byte(12)),
                };
                let bad = |c: char| c == '/' || c.is_control();
                if name.is_empty() || name == "." || name == ".." || name.contains(bad) {
                    return Err(damaged(format!(
                        "the name \"{}\" cannot be one",
                        mip_base::escape(&name)
                    )));
                }
                let directory = attributes & DIRECTORY != 0;
                // The upper half has another use on the older two.
                let high = if fat32 { u32::from(word(20)) << 16 } else { 0 };
                let write = if attributes & READ_ONLY != 0 { 0o555 } else { 0o755 };
                out.records.push(Record {
                    name,
                    kind: if directory { EntryKind::Directory } else { EntryKind::File },
                    attributes,
                    mode: write,
                    size: if directory { 0 } else { le_u32(r, 28).unwrap_or(0) },
                    cluster: high | u32::from(word(26)),
                    mtime: unix(word(24), word(22)),
                    at,
                });
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_match_python() {
        // calendar.timegm of the same moments.
        let date = |y: u16, m: u16, d: u16| (y - 1980) << 9 | m << 5 | d;
        for (d, t, want) in [
            (date(1980, 1, 1), 0, 315_532_800),
            (date(2000, 2, 29), 0xbf7d, 951_868_798),
            (date(2000, 3, 1), 0, 951_868_800),
            (date(2024, 12, 31), 12 << 11, 1_735_646_400),
            (date(2100, 2, 28), 0, 4_107_456_000),
            (date(2100, 3, 1), 0, 4_107_542_400),
            (date(2107, 12, 31), 0, 4_354_732_800),
            (0, 0, 0),
            (date(2000, 13, 1), 0, 0),
        ] {
            assert_eq!(unix(d, t), want, "{d:#x}");
        }
    }

    #[test]
    fn short_names() {
        for (bytes, flags, want) in [
            (b"README  TXT", 0, "README.TXT"),
            (b"README  TXT", 0x08, "readme.TXT"),
            (b"README  TXT", 0x18, "readme.txt"),
            (b"MAKEFILE   ", 0x10, "MAKEFILE"),
            (b"\x05BC     X  ", 0, "σBC.X"),
            (b"\x80\xff      \xe1  ", 0, "Ç\u{a0}.ß"),
        ] {
            assert_eq!(short_name(bytes, flags), want);
        }
        assert_eq!(CP437.chars().count(), 128);
    }
}
