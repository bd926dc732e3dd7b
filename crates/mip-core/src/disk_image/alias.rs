//! Finder aliases: files that lead elsewhere, by an alias record in the resource fork or by a
//! bookmark in the data fork.

use mip_base::bytes::{be_u16, be_u32, le_u32, slice};
use mip_base::{Code, Job, ReadAt as _, Result, Source, read_full_at};

/// Most bytes of an alias that are looked at: they hold a path, and an icon beside it.
const MOST: u64 = 256 << 10;

/// Whether an alias leads to `/Applications`. What cannot be made out leads elsewhere.
pub(super) fn to_applications(data: &Source, fork: Option<&Source>, job: &Job) -> Result<bool> {
    let bookmark = bytes(data, job)?;
    if bookmark.starts_with(b"book\0\0\0\0mark") {
        return Ok(bookmark_path(&bookmark).as_deref() == Some("/Applications"));
    }
    let Some(fork) = fork else { return Ok(false) };
    let fork = bytes(fork, job)?;
    Ok(alias_record(&fork).is_some_and(record_is_applications))
}

fn bytes(source: &Source, job: &Job) -> Result<Vec<u8>> {
    let mut out = job.buffer("alias", source.size().min(MOST), MOST)?;
    read_full_at(source, 0, &mut out, Code::Truncated)?;
    Ok(out)
}

fn at(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// The path in a bookmark (Wim Lewis, "Bookmark data", and the `mac_alias` library):
/// a header with the offset of a table of contents, in which key 0x1004 is an array of names.
fn bookmark_path(b: &[u8]) -> Option<String> {
    let body = at(le_u32(b, 12)?);
    let body = b.get(body..)?;
    let mut table = at(le_u32(body, 0)?);
    // Tables are chained; a bookmark has one or two.
    for _ in 0..8 {
        let toc = body.get(table..)?;
        let count = at(le_u32(toc, 16)?).min(1000);
        for n in 0..count {
            let entry = n.checked_mul(12)?.checked_add(20)?;
            if le_u32(toc, entry)? == 0x1004 {
                return names(body, at(le_u32(toc, entry.checked_add(4)?)?));
            }
        }
        table = match at(le_u32(toc, 12)?) {
            0 => return None,
            next => next,
        };
    }
    None
}

/// An array (type 0x601) of offsets of texts (type 0x101).
fn names(body: &[u8], array: usize) -> Option<String> {
    let (len, kind) = (le_u32(body, array)?, le_u32(body, array.checked_add(4)?)?);
    if kind != 0x601 {
        return None;
    }
    let mut path = String::new();
    for n in 0..at(len / 4).min(64) {
        let offset = at(le_u32(body, array.checked_add(8)?.checked_add(n.checked_mul(4)?)?)?);
        let (len, kind) = (le_u32(body, offset)?, le_u32(body, offset.checked_add(4)?)?);
        let text = slice(body, offset.checked_add(8)?, at(len))?;
        if kind & 0xFFFF_FF00 != 0x100 {
            return None;
        }
        path.push('/');
        path.push_str(std::str::from_utf8(text).ok()?);
    }
    Some(path)
}

/// The first `alis` resource of a resource fork (Inside Macintosh: More Macintosh Toolbox 1-121).
fn alias_record(fork: &[u8]) -> Option<&[u8]> {
    let (data, map) = (at(be_u32(fork, 0)?), at(be_u32(fork, 4)?));
    let map = fork.get(map..)?;
    let types = map.get(usize::from(be_u16(map, 24)?)..)?;
    // Counts are one less than they say.
    let count = usize::from(be_u16(types, 0)?.wrapping_add(1));
    for n in 0..count {
        let entry = types.get(n.checked_mul(8)?.checked_add(2)?..)?;
        if entry.get(..4)? == b"alis" {
            let list = types.get(usize::from(be_u16(entry, 6)?)..)?;
            let from = data.checked_add(at(be_u32(list, 4)? & 0x00FF_FFFF))?;
            return slice(fork, from.checked_add(4)?, at(be_u32(fork, from)?));
        }
    }
    None
}

/// Alias records of version 2: a folder (kind 1), its name as a Pascal text, the folder that it
/// is in (2: the root of the volume); then tagged values, of which 18 is the POSIX path.
fn record_is_applications(r: &[u8]) -> bool {
    let inner = || -> Option<bool> {
        let version = be_u16(r, 6)?;
        let mut tags = match version {
            2 => {
                let name = slice(r, 51, usize::from(*r.get(50)?))?;
                if be_u16(r, 8)? == 1 && be_u32(r, 46)? == 2 && name == b"Applications" {
                    return Some(true);
                }
                r.get(150..)?
            }
            3 => r.get(58..)?,
            _ => return None,
        };
        loop {
            let (tag, len) = (be_u16(tags, 0)?, usize::from(be_u16(tags, 2)?));
            if tag == 18 {
                let path = slice(tags, 4, len)?;
                return Some(path == b"/Applications" || path == b"Applications");
            }
            if tag == 0xFFFF {
                return None;
            }
            // Values are padded to an even length.
            tags = tags.get(len.checked_add(4)?.checked_add(len % 2)?..)?;
        }
    };
    inner().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn applications(data: Vec<u8>, fork: Option<Vec<u8>>) -> bool {
        let fork = fork.map(|f| Arc::new(f) as Source);
        let data: Source = Arc::new(data);
        to_applications(&data, fork.as_ref(), &Job::default()).unwrap()
    }

    /// An alias record of version 2 with the fixed fields that count, and tagged values.
    fn record(name: &str, parent: u32, tags: &[(u16, &[u8])]) -> Vec<u8> {
        let mut r = vec![0; 150];
        r[6..8].copy_from_slice(&2u16.to_be_bytes());
        r[8..10].copy_from_slice(&1u16.to_be_bytes());
        r[46..50].copy_from_slice(&parent.to_be_bytes());
        r[50] = name.len() as u8;
        r[51..51 + name.len()].copy_from_slice(name.as_bytes());
        for (tag, value) in tags {
            r.extend(tag.to_be_bytes());
            r.extend((value.len() as u16).to_be_bytes());
            r.extend(*value);
            r.resize(r.len().next_multiple_of(2), 0);
        }
        r.extend([0xFF, 0xFF, 0, 0]);
        r
    }

    fn fork(record: &[u8]) -> Vec<u8> {
        mip_testkit::hfs::resource_fork(*b"alis", 0, record)
    }

    #[test]
    fn alias_records() {
        let by_name = record("Applications", 2, &[]);
        assert!(applications(Vec::new(), Some(fork(&by_name))));
        // A folder of that name elsewhere is not the one, unless its path says so.
        let elsewhere =
            record("Applications", 77, &[(0, b"Users"), (18, b"/Users/x/Applications")]);
        assert!(!applications(Vec::new(), Some(fork(&elsewhere))));
        let by_path = record("Programme", 77, &[(0, b"odd"), (18, b"/Applications")]);
        assert!(applications(Vec::new(), Some(fork(&by_path))));
        assert!(!applications(Vec::new(), None));
    }

    /// A bookmark with one table of contents that holds the path alone.
    fn bookmark(names: &[&str]) -> Vec<u8> {
        let mut body = vec![0; 4];
        let mut offsets = Vec::new();
        for n in names {
            offsets.push(body.len() as u32);
            body.extend((n.len() as u32).to_le_bytes());
            body.extend(0x101u32.to_le_bytes());
            body.extend(n.as_bytes());
            body.resize(body.len().next_multiple_of(4), 0);
        }
        let array = body.len() as u32;
        body.extend((offsets.len() as u32 * 4).to_le_bytes());
        body.extend(0x601u32.to_le_bytes());
        offsets.iter().for_each(|o| body.extend(o.to_le_bytes()));
        let table = (body.len() as u32).to_le_bytes();
        body[..4].copy_from_slice(&table);
        for word in [32u32, 0xFFFF_FFFE, 1, 0, 1, 0x1004, array, 0] {
            body.extend(word.to_le_bytes());
        }
        let mut out = b"book\0\0\0\0mark".to_vec();
        out.extend(16u32.to_le_bytes());
        out.extend(body);
        out
    }

    #[test]
    fn bookmarks() {
        assert!(applications(bookmark(&["Applications"]), None));
        assert!(!applications(bookmark(&["Users", "Applications"]), None));
        assert!(!applications(bookmark(&[]), None));
    }

    /// Every cut and every flipped byte is an answer, not a panic.
    #[test]
    fn damaged_aliases_lead_elsewhere_or_there() {
        let (mark, alias) = (bookmark(&["Applications"]), fork(&record("A", 2, &[(18, b"/A")])));
        for n in 0..mark.len() {
            applications(mark[..n].to_vec(), None);
            let mut bad = mark.clone();
            bad[n] ^= 0xFF;
            applications(bad, None);
        }
        for n in 0..alias.len() {
            applications(Vec::new(), Some(alias[..n].to_vec()));
            let mut bad = alias.clone();
            bad[n] ^= 0xFF;
            applications(Vec::new(), Some(bad));
        }
    }
}
