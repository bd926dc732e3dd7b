//! The catalog file (TN1150, "Catalog File"): keys, and the records of folders and files.

use std::cmp::Ordering;

use mip_base::bytes::{be_u16, be_u32, slice};
use mip_base::{Code, EntryKind, Error, Result};

use crate::extents::Fork;
use crate::names::{NameOrder, units};

/// CNID of the root folder.
pub(crate) const ROOT: u32 = 2;
/// CNID that is the parent of the root folder.
pub(crate) const ROOT_PARENT: u32 = 1;
/// Difference between 1904-01-01 and 1970-01-01 in seconds.
const EPOCH: i64 = 2_082_844_800;

const ALIAS: u16 = 0x8000;
const HAS_LINK_CHAIN: u16 = 0x20;
const COMPRESSED: u8 = 0x20;

/// `HFSPlusCatalogKey`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CatalogKey {
    pub(crate) parent: u32,
    pub(crate) name: Vec<u16>,
}

impl CatalogKey {
    pub(crate) fn parse(key: &[u8]) -> Result<Self> {
        let cut = || Error::new(Code::HfsRecord, "a key of the catalog is cut");
        let parent = be_u32(key, 0).ok_or_else(cut)?;
        let n = usize::from(be_u16(key, 4).ok_or_else(cut)?);
        let text = slice(key, 6, n.saturating_mul(2)).ok_or_else(cut)?;
        if n > 255 {
            return Err(Error::new(Code::HfsRecord, format!("a name of {n} units is over 255")));
        }
        Ok(Self { parent, name: units(text) })
    }

    /// How the stored key `key` stands to `parent`, `name` in the order of the catalog.
    pub(crate) fn compare(
        key: &[u8],
        by: NameOrder,
        parent: u32,
        name: &[u16],
    ) -> Result<Ordering> {
        match be_u32(key, 0).map(|p| p.cmp(&parent)) {
            Some(Ordering::Equal) => Ok(by.compare(&Self::parse(key)?.name, name)),
            Some(other) => Ok(other),
            None => Self::parse(key).map(|_| Ordering::Equal),
        }
    }
}

/// What a file record stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// Itself.
    None,
    /// A hard link to `iNode<n>` of the private folder.
    File(u32),
    /// A hard link to the folder `dir_<n>` of the private folder of folders.
    Folder(u32),
}

/// A folder or file record.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) id: u32,
    pub(crate) kind: EntryKind,
    pub(crate) link: Link,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Link count of an indirect node, device number of a device.
    pub(crate) special: u32,
    pub(crate) modified: u32,
    /// The `UF_COMPRESSED` flag: an attribute may hold the data.
    pub(crate) compressed: bool,
    pub(crate) alias: bool,
    pub(crate) data: Fork,
    pub(crate) resource: Fork,
}

impl Record {
    /// Reads a record; `None` for a thread.
    pub(crate) fn parse(b: &[u8]) -> Result<Option<Self>> {
        let cut = || Error::new(Code::HfsRecord, "a record of the catalog is cut");
        let u32_at = |at| be_u32(b, at).ok_or_else(cut);
        let u16_at = |at| be_u16(b, at).ok_or_else(cut);
        let folder = match u16_at(0)? {
            1 => true,
            2 => false,
            3 | 4 => return Ok(None),
            other => {
                let m = format!("catalog record type {other} is not known");
                return Err(Error::new(Code::HfsRecord, m));
            }
        };
        let (mode, special, flags) = (u16_at(42)?, u32_at(44)?, u16_at(2)?);
        let (finder_type, finder_creator) = (slice(b, 48, 4), slice(b, 52, 4));
        let finder =
            |t: &[u8], c: &[u8]| !folder && finder_type == Some(t) && finder_creator == Some(c);
        let link = if finder(b"hlnk", b"hfs+") {
            Link::File(special)
        } else if finder(b"fdrp", b"MACS") && flags & HAS_LINK_CHAIN != 0 {
            Link::Folder(special)
        } else {
            Link::None
        };
        let kind = match EntryKind::from_mode(u32::from(mode)) {
            _ if folder => EntryKind::Directory,
            // The permissions were never set: the Finder's word is all there is.
            None if finder(b"slnk", b"rhap") => EntryKind::Symlink,
            None | Some(EntryKind::Directory) => EntryKind::File,
            Some(k) => k,
        };
        let set = mode & 0o170_000 != 0;
        let fork = |at| if folder { Some(Fork::default()) } else { Fork::parse(b, at) };
        Ok(Some(Self {
            id: u32_at(8)?,
            kind,
            link,
            mode: match (set, folder) {
                (true, _) => u32::from(mode) & 0o7777,
                (false, true) => 0o755,
                (false, false) => 0o644,
            },
            uid: if set { u32_at(32)? } else { NOBODY },
            gid: if set { u32_at(36)? } else { NOBODY },
            special,
            modified: u32_at(16)?,
            compressed: b.get(41).copied().ok_or_else(cut)? & COMPRESSED != 0,
            alias: !folder && link == Link::None && u16_at(56)? & ALIAS != 0,
            data: fork(88).ok_or_else(cut)?,
            resource: fork(168).ok_or_else(cut)?,
        }))
    }
}

/// Owner and group where a record has none: "unknown" of macOS.
const NOBODY: u32 = 99;

/// Seconds since 1970 of a date; an unset date and dates before 1970 are 0, as macOS has it.
pub(crate) fn unix_time(mac: u32) -> i64 {
    i64::from(mac).saturating_sub(EPOCH).max(0)
}
