//! Headers of tar members: ustar, with pax records where ustar has no room (POSIX.1-2017 `pax`).

use mip_base::{Code, Error, Result, len64};

/// Largest number of 11 octal digits.
const MAX_OCTAL: u64 = 0o77_777_777_777;
/// Latest modification time that fits a header.
pub(super) const MAX_MTIME: u64 = MAX_OCTAL;

/// One member.
pub(super) struct Header<'h> {
    pub(super) name: &'h str,
    pub(super) link: &'h str,
    pub(super) kind: u8,
    pub(super) mode: u32,
    pub(super) size: u64,
    pub(super) mtime: u64,
}

impl Header<'_> {
    /// The header's blocks, with a pax header before it where one is needed.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut records = Vec::new();
        let split = split(self.name);
        if split.is_none() {
            record(&mut records, "path", self.name);
        }
        if !fits(self.link, 100) {
            record(&mut records, "linkpath", self.link);
        }
        if self.size > MAX_OCTAL {
            record(&mut records, "size", &self.size.to_string());
        }
        let mut out = Vec::new();
        if !records.is_empty() {
            let len = len64(records.len());
            out.extend(block(("", "././@PaxHeader"), "", b'x', 0o644, len, self.mtime)?);
            out.extend_from_slice(&records);
            out.extend_from_slice(padding(len));
        }
        let (stand_in, link) = (plain(self.name), plain(self.link));
        let name = split.unwrap_or(("", &stand_in));
        let size = if self.size > MAX_OCTAL { 0 } else { self.size };
        out.extend(block(name, &link, self.kind, self.mode, size, self.mtime)?);
        Ok(out)
    }
}

/// Zeros from the end of `size` bytes of data to the next block.
pub(super) fn padding(size: u64) -> &'static [u8] {
    const ZEROS: &[u8] = &[0; 512];
    let over = usize::try_from(size % 512).unwrap_or(0);
    ZEROS.get(over..).filter(|_| over > 0).unwrap_or_default()
}

fn fits(text: &str, room: usize) -> bool {
    text.len() <= room && text.is_ascii()
}

/// A name as ustar keeps it: up to 100 bytes, and up to 155 before a slash.
fn split(name: &str) -> Option<(&str, &str)> {
    if fits(name, 100) {
        return Some(("", name));
    }
    if !fits(name, 256) {
        return None;
    }
    // The first slash that leaves no more than 100 bytes; not the one that ends a folder's name.
    let from = name.len().saturating_sub(101);
    let to = name.len().saturating_sub(1);
    let slash = name.get(from..to)?.find('/')?.checked_add(from)?;
    let (prefix, rest) = (name.get(..slash)?, name.get(slash.checked_add(1)?..)?);
    (!prefix.is_empty() && prefix.len() <= 155).then_some((prefix, rest))
}

/// What stands in the ustar field when the pax record has the real text.
fn plain(text: &str) -> String {
    text.chars().take(100).map(|c| if c.is_ascii() { c } else { '_' }).collect()
}

/// `length key=value\n`, where the length counts itself.
fn record(out: &mut Vec<u8>, key: &str, value: &str) {
    let rest = key.len().saturating_add(value.len()).saturating_add(3);
    let mut len = rest;
    loop {
        let with = rest.saturating_add(len.to_string().len());
        if with == len {
            break;
        }
        len = with;
    }
    out.extend_from_slice(format!("{len} {key}={value}\n").as_bytes());
}

fn block(
    (prefix, name): (&str, &str),
    link: &str,
    kind: u8,
    mode: u32,
    size: u64,
    mtime: u64,
) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(512);
    let mut field = |bytes: &[u8], width: usize| {
        let end = out.len().saturating_add(width);
        out.extend_from_slice(bytes.get(..width).unwrap_or(bytes));
        out.resize(end, 0);
    };
    field(name.as_bytes(), 100);
    field(format!("{mode:07o}").as_bytes(), 8);
    field(b"0000000", 8);
    field(b"0000000", 8);
    field(format!("{size:011o}").as_bytes(), 12);
    field(format!("{mtime:011o}").as_bytes(), 12);
    field(b"        ", 8);
    field(&[kind], 1);
    field(link.as_bytes(), 100);
    field(b"ustar\x0000", 8);
    field(b"", 64);
    field(b"0000000", 8);
    field(b"0000000", 8);
    field(prefix.as_bytes(), 155);
    field(b"", 12);
    let sum: u32 = out.iter().fold(0, |n, b| n.saturating_add(u32::from(*b)));
    match out.get_mut(148..156) {
        Some(to) if sum <= 0o777_777 => to.copy_from_slice(format!("{sum:06o}\0 ").as_bytes()),
        _ => return Err(Error::new(Code::Internal, "a tar header of the wrong size")),
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pax_records_count_themselves() {
        let mut out = Vec::new();
        record(&mut out, "path", "x");
        assert_eq!(out, b"9 path=x\n");
        // 97 bytes without the length: with two digits 99, with one more byte 101.
        for (len, all) in [(90, 99), (91, 101)] {
            out.clear();
            record(&mut out, "path", &"y".repeat(len));
            assert_eq!(out.len(), all);
            assert!(out.starts_with(format!("{all} path=").as_bytes()));
        }
    }

    #[test]
    fn names_are_split_where_ustar_allows() {
        let hundred = "n".repeat(100);
        assert_eq!(split(&hundred), Some(("", hundred.as_str())));
        assert_eq!(split(&format!("{hundred}n")), None);
        let two = format!("{}/{hundred}", "p".repeat(155));
        assert_eq!(split(&two), Some(("p".repeat(155).as_str(), hundred.as_str())));
        assert_eq!(split(&format!("p{two}")), None);
        let folder = format!("{}/{}/", "p".repeat(60), "d".repeat(60));
        assert_eq!(split(&folder).map(|(p, n)| (p.len(), n.len())), Some((60, 61)));
        assert_eq!(split("é"), None);
    }
}
