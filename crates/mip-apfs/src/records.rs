//! File system records: keys and values ("File-System Objects" and what follows there).

use std::cmp::Ordering;

use mip_base::bytes::{le_u16, le_u32, le_u64, slice};
use mip_base::{Code, EntryKind, Error, Result, escape_bytes};

use crate::names::{self, Rules};

/// Record types: the top four bits of a key.
pub(crate) mod kind {
    pub(crate) const INODE: u8 = 3;
    pub(crate) const XATTR: u8 = 4;
    pub(crate) const SIBLING_LINK: u8 = 5;
    pub(crate) const FILE_EXTENT: u8 = 8;
    pub(crate) const DIR_REC: u8 = 9;
    pub(crate) const SIBLING_MAP: u8 = 12;
}

/// The inode number of the root folder.
pub(crate) const ROOT_DIR: u64 = 2;

/// `UF_COMPRESSED`: the data is in `com.apple.decmpfs`.
const COMPRESSED: u32 = 0x20;
/// `SF_DATALESS`: the data is somewhere else (a cloud provider).
const DATALESS: u32 = 0x4000_0000;

const ID_BITS: u64 = 0x0fff_ffff_ffff_ffff;

pub(crate) fn bad(what: impl Into<String>) -> Error {
    Error::new(Code::ApfsRecord, what)
}

/// Object identifier and record type of a key.
pub(crate) fn split(key: &[u8]) -> Option<(u64, u8)> {
    let word = le_u64(key, 0)?;
    Some((word & ID_BITS, u8::try_from(word.wrapping_shr(60)).ok()?))
}

/// Order of two keys of a file system tree.
///
/// Folder entries with a hash are compared by hash and length only: nothing here depends on
/// the order of names that share both.
pub(crate) fn compare(a: &[u8], b: &[u8], hashed: bool) -> Ordering {
    let (ka, kb) = (split(a), split(b));
    ka.cmp(&kb).then_with(|| match ka {
        Some((_, kind::DIR_REC)) if hashed => le_u32(a, 8).cmp(&le_u32(b, 8)),
        Some((_, kind::DIR_REC | kind::XATTR)) => a.get(10..).cmp(&b.get(10..)),
        Some((_, kind::FILE_EXTENT | kind::SIBLING_LINK)) => le_u64(a, 8).cmp(&le_u64(b, 8)),
        _ => Ordering::Equal,
    })
}

/// A name field of `len` bytes at `at`, which ends in a NUL.
fn name(b: &[u8], at: usize, len: usize) -> Result<&str> {
    let raw = slice(b, at, len).ok_or_else(|| bad("a name leaves its record"))?;
    let raw = raw.strip_suffix(&[0]).ok_or_else(|| bad("a name does not end in NUL"))?;
    std::str::from_utf8(raw)
        .map_err(|_| bad(format!("the name \"{}\" is not UTF-8", escape_bytes(raw))))
}

/// The name of a folder entry, from its key, after its hash was checked.
pub(crate) fn entry_name(key: &[u8], rules: Rules) -> Result<&str> {
    let short = || bad("the key of a folder entry is too short");
    let hashed = rules.hashed();
    let (at, len) = if hashed {
        (12, le_u32(key, 8).ok_or_else(short)? & 0x3ff)
    } else {
        (10, u32::from(le_u16(key, 8).ok_or_else(short)?))
    };
    let text = name(key, at, usize::try_from(len).unwrap_or(usize::MAX))?;
    // A name that is a path, or leads up, must not reach whoever joins it to one.
    if text.is_empty() || text == "." || text == ".." || text.contains(['/', '\0']) {
        return Err(bad(format!("a folder entry has the name \"{}\"", mip_base::escape(text))));
    }
    // A search goes by the hash. It can rightly be another one only where the writer had
    // letters of another Unicode version.
    let stored = le_u32(key, 8).map(|word| word.wrapping_shr(10));
    if hashed && text.is_ascii() && stored != Some(names::hash(&rules.key(text))) {
        return Err(bad(format!(
            "the folder entry \"{}\" has the hash of another name",
            mip_base::escape(text)
        )));
    }
    Ok(text)
}

/// The name of an extended attribute, from its key.
pub(crate) fn attribute_name(key: &[u8]) -> Result<&str> {
    let len = le_u16(key, 8).ok_or_else(|| bad("the key of an attribute is too short"))?;
    name(key, 10, usize::from(len))
}

/// `j_drec_val_t`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) id: u64,
    /// The type that the entry claims, as in `dirent.h`.
    pub(crate) kind: u16,
    pub(crate) sibling: Option<u64>,
}

impl Entry {
    pub(crate) fn parse(value: &[u8]) -> Result<Self> {
        let short = || bad("a folder entry is too short");
        let id = le_u64(value, 0).ok_or_else(short)?;
        let flags = le_u16(value, 16).ok_or_else(short)?;
        let mut sibling = None;
        fields(value, 18, &mut |kind, data| {
            if kind == 1 {
                sibling = le_u64(data, 0);
            }
        })?;
        Ok(Self { id, kind: flags & 0xf, sibling })
    }

    /// The claimed type.
    pub(crate) fn file_type(&self) -> Option<EntryKind> {
        EntryKind::from_mode(u32::from(self.kind).wrapping_shl(12))
    }
}

/// Extended fields (`xf_blob_t`) at `at`: each with its type and bytes.
fn fields<'a>(value: &'a [u8], at: usize, each: &mut dyn FnMut(u8, &'a [u8])) -> Result<()> {
    let Some(blob) = value.get(at..).filter(|b| !b.is_empty()) else { return Ok(()) };
    let wrong = || bad("the extended fields of a record leave it");
    let count = usize::from(le_u16(blob, 0).ok_or_else(wrong)?);
    let mut at = count.checked_mul(4).and_then(|n| n.checked_add(4)).ok_or_else(wrong)?;
    let table = blob.get(4..at).ok_or_else(wrong)?;
    for entry in table.chunks_exact(4) {
        let kind = entry.first().copied().ok_or_else(wrong)?;
        let len = usize::from(le_u16(entry, 2).ok_or_else(wrong)?);
        each(kind, slice(blob, at, len).ok_or_else(wrong)?);
        // Each field takes whole units of eight bytes, wherever it starts.
        at = at.saturating_add(len.checked_next_multiple_of(8).ok_or_else(wrong)?);
    }
    Ok(())
}

/// `j_inode_val_t`, as far as it is needed.
#[derive(Debug, Clone)]
pub(crate) struct Inode {
    /// The object whose extents hold the data.
    pub(crate) stream_id: u64,
    /// Bytes of the data; `None` where there are none (`j_dstream_t`).
    pub(crate) size: Option<u64>,
    pub(crate) kind: EntryKind,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Nanoseconds since 1970.
    pub(crate) modified: i64,
    /// Hard links of a file; entries of a folder.
    pub(crate) links: u32,
    pub(crate) flags: u32,
    pub(crate) alias: bool,
}

impl Inode {
    pub(crate) fn parse(id: u64, value: &[u8]) -> Result<Self> {
        let short = || bad(format!("inode {id} is too short"));
        let u64_at = |at| le_u64(value, at).ok_or_else(short);
        let u32_at = |at| le_u32(value, at).ok_or_else(short);
        let mode = u32::from(le_u16(value, 0x50).ok_or_else(short)?);
        let kind = EntryKind::from_mode(mode).ok_or_else(|| {
            bad(format!("inode {id} has the mode {mode:o}, which is no file type"))
        })?;
        let (mut size, mut alias) = (None, false);
        fields(value, 0x5c, &mut |kind, data| match kind {
            7 => alias = finder_alias(data),
            8 => size = le_u64(data, 0),
            _ => {}
        })?;
        Ok(Self {
            stream_id: u64_at(8)?,
            size,
            kind,
            mode: mode & 0o7777,
            uid: u32_at(0x48)?,
            gid: u32_at(0x4c)?,
            modified: u64_at(0x18)?.cast_signed(),
            links: u32_at(0x38)?,
            flags: u32_at(0x44)?,
            alias,
        })
    }

    pub(crate) fn compressed(&self) -> bool {
        self.flags & COMPRESSED != 0 && self.kind == EntryKind::File
    }

    pub(crate) fn dataless(&self) -> bool {
        self.flags & DATALESS != 0
    }
}

/// Whether 32 bytes of Finder information are those of an alias (`kIsAlias`).
pub(crate) fn finder_alias(info: &[u8]) -> bool {
    mip_base::bytes::be_u16(info, 8).is_some_and(|flags| flags & 0x8000 != 0)
}

/// `j_xattr_val_t`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Attribute<'a> {
    /// The bytes themselves.
    Embedded(&'a [u8]),
    /// In the extents of an object.
    Stream {
        /// The object.
        id: u64,
        /// Bytes.
        size: u64,
    },
}

impl<'a> Attribute<'a> {
    pub(crate) fn parse(value: &'a [u8]) -> Result<Self> {
        let find = || {
            let flags = le_u16(value, 0)?;
            let len = usize::from(le_u16(value, 2)?);
            let data = slice(value, 4, len)?;
            match flags & 3 {
                1 => Some(Self::Stream { id: le_u64(data, 0)?, size: le_u64(data, 8)? }),
                2 => Some(Self::Embedded(data)),
                _ => None,
            }
        };
        find().ok_or_else(|| bad("an extended attribute is neither embedded nor a stream"))
    }

    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Embedded(b) => mip_base::len64(b.len()),
            Self::Stream { size, .. } => *size,
        }
    }
}

/// `j_file_extent_key_t` with its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Byte of the file where it starts.
    pub(crate) logical: u64,
    /// Bytes.
    pub(crate) len: u64,
    /// The first block; 0 is a hole.
    pub(crate) block: u64,
    /// The tweak of the first block, in blocks.
    pub(crate) crypto: u64,
}

impl Extent {
    pub(crate) fn parse(key: &[u8], value: &[u8]) -> Result<Self> {
        let find = || {
            Some(Self {
                logical: le_u64(key, 8)?,
                // The high byte holds flags.
                len: le_u64(value, 0)? & 0x00ff_ffff_ffff_ffff,
                block: le_u64(value, 8)?,
                crypto: le_u64(value, 16)?,
            })
        };
        find().ok_or_else(|| bad("a file extent is too short"))
    }

    /// The first byte behind it.
    pub(crate) fn end(&self) -> u64 {
        self.logical.saturating_add(self.len)
    }
}

/// `j_sibling_val_t`: the folder and name of a hard link.
pub(crate) fn sibling(value: &[u8]) -> Result<(u64, &str)> {
    let short = || bad("a hard link record is too short");
    let parent = le_u64(value, 0).ok_or_else(short)?;
    let len = le_u16(value, 8).ok_or_else(short)?;
    Ok((parent, name(value, 10, usize::from(len))?))
}

/// The number behind the header of a key.
pub(crate) fn number(key: &[u8]) -> Result<u64> {
    le_u64(key, 8).ok_or_else(|| bad("a key is too short"))
}

/// A value that is one number.
pub(crate) fn number_value(value: &[u8]) -> Result<u64> {
    le_u64(value, 0).ok_or_else(|| bad("a record is too short"))
}
