//! The header of one Apple Archive entry: its fields, read strictly.
//!
//! Magic (`AA01`, older `YAA1`), header size (u16 LE, with the magic), then fields. A field
//! is a key of three characters, a type character, and a value whose length the type gives;
//! numbers are little-endian. Blobs only give their size here: their bytes follow the
//! header, in the order of the fields.
//!
//! Sources: Apple's public `AppleArchive` headers (keys, entry types), the public
//! descriptions of the format, and the archive in the shared fixtures.

use mip_base::bytes::{le_u16, le_u32, le_u64};
use mip_base::{Code, EntryKind, Error, Result, escape_bytes, len64};

use crate::pump::tail;

/// Magic and header size.
pub(crate) const PREFIX: usize = 6;

pub(crate) fn damaged(what: impl Into<String>) -> Error {
    Error::new(Code::AppleArchive, what)
}

/// A value of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Flag,
    Number(u64),
    Text(Vec<u8>),
    Hash(Vec<u8>),
    /// Whole seconds since 1970, as a two's complement number.
    Time(u64),
    Blob(u64),
}

/// A blob behind the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Blob {
    pub(crate) data: bool,
    pub(crate) size: u64,
}

/// The fields of one header that mean something here.
#[derive(Debug, Default)]
pub(crate) struct Header {
    pub(crate) kind: Option<u8>,
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) link: Option<Vec<u8>>,
    pub(crate) mode: Option<u64>,
    pub(crate) uid: Option<u64>,
    pub(crate) gid: Option<u64>,
    pub(crate) size: Option<u64>,
    pub(crate) mtime: Option<u64>,
    pub(crate) cluster: Option<u64>,
    pub(crate) sha256: Option<Vec<u8>>,
    pub(crate) blobs: Vec<Blob>,
}

/// Size of the header in the 6 bytes of `prefix`.
pub(crate) fn size(prefix: &[u8]) -> Result<usize> {
    if !prefix.starts_with(b"AA01") && !prefix.starts_with(b"YAA1") {
        let got = escape_bytes(prefix.get(..4).unwrap_or(prefix));
        return Err(damaged(format!("an entry starts with \"{got}\", not with AA01 or YAA1")));
    }
    let size = le_u16(prefix, 4).map_or(0, usize::from);
    if size < PREFIX {
        return Err(damaged(format!("an entry header of {size} bytes is too short")));
    }
    Ok(size)
}

/// Splits the first field off `b`: key, value, rest.
fn field(b: &[u8]) -> Result<([u8; 3], Value, &[u8])> {
    let cut = || damaged("an entry header ends inside a field");
    let [a0, a1, a2, kind, rest @ ..] = b else { return Err(cut()) };
    let take = |n: usize| rest.get(..n).ok_or_else(cut);
    let (value, used) = match *kind {
        b'*' => (Value::Flag, 0),
        b'1' => (Value::Number(u64::from(take(1)?.first().copied().unwrap_or(0))), 1),
        b'2' => (Value::Number(le_u16(take(2)?, 0).map_or(0, u64::from)), 2),
        b'4' => (Value::Number(le_u32(take(4)?, 0).map_or(0, u64::from)), 4),
        b'8' => (Value::Number(le_u64(take(8)?, 0).unwrap_or(0)), 8),
        b'P' => {
            let n = le_u16(take(2)?, 0).map_or(0, usize::from);
            let end = n.saturating_add(2);
            (Value::Text(tail(take(end)?, 2).to_vec()), end)
        }
        b'F' => (Value::Hash(take(4)?.to_vec()), 4),
        b'G' => (Value::Hash(take(20)?.to_vec()), 20),
        b'H' => (Value::Hash(take(32)?.to_vec()), 32),
        b'I' => (Value::Hash(take(48)?.to_vec()), 48),
        b'J' => (Value::Hash(take(64)?.to_vec()), 64),
        b'S' => (Value::Time(le_u64(take(8)?, 0).unwrap_or(0)), 8),
        b'T' => (Value::Time(le_u64(take(12)?, 0).unwrap_or(0)), 12),
        b'A' => (Value::Blob(le_u16(take(2)?, 0).map_or(0, u64::from)), 2),
        b'B' => (Value::Blob(le_u32(take(4)?, 0).map_or(0, u64::from)), 4),
        b'C' => (Value::Blob(le_u64(take(8)?, 0).unwrap_or(0)), 8),
        _ => {
            let shown = escape_bytes(b.get(..4).unwrap_or(b));
            return Err(damaged(format!("the field \"{shown}\" has a type that is not known")));
        }
    };
    Ok(([*a0, *a1, *a2], value, tail(rest, used)))
}

impl Header {
    /// Reads the fields in `body`, the header without its first 6 bytes.
    pub(crate) fn parse(body: &[u8]) -> Result<Self> {
        let mut h = Self::default();
        let mut seen: Vec<[u8; 3]> = Vec::new();
        let mut rest = body;
        while !rest.is_empty() {
            let (key, value, after) = field(rest)?;
            rest = after;
            let name = escape_bytes(&key);
            // A few dozen keys exist; the bound keeps the search below linear in the header.
            if seen.len() >= 64 {
                return Err(damaged("an entry header has more than 64 fields"));
            }
            if seen.contains(&key) {
                return Err(damaged(format!("the field {name} stands twice in one entry header")));
            }
            seen.push(key);
            match (&key, value) {
                (_, Value::Blob(size)) => h.blobs.push(Blob { data: &key == b"DAT", size }),
                (b"TYP", Value::Number(n)) => {
                    h.kind = Some(
                        u8::try_from(n).map_err(|_| damaged("the entry type is not one byte"))?,
                    );
                }
                (b"PAT", Value::Text(t)) => h.path = Some(t),
                (b"LNK", Value::Text(t)) => h.link = Some(t),
                (b"MOD", Value::Number(n)) => h.mode = Some(n),
                (b"UID", Value::Number(n)) => h.uid = Some(n),
                (b"GID", Value::Number(n)) => h.gid = Some(n),
                (b"SIZ", Value::Number(n)) => h.size = Some(n),
                (b"HLC", Value::Number(n)) => h.cluster = Some(n),
                (b"MTM", Value::Time(t)) => h.mtime = Some(t),
                (b"SH2", Value::Hash(d)) if d.len() == 32 => h.sha256 = Some(d),
                (
                    b"TYP" | b"PAT" | b"LNK" | b"MOD" | b"UID" | b"GID" | b"SIZ" | b"HLC" | b"MTM"
                    | b"SH2" | b"DAT",
                    _,
                ) => {
                    return Err(damaged(format!("the field {name} has a value of the wrong type")));
                }
                _ => {}
            }
        }
        Ok(h)
    }

    /// The kind of the entry; `None` for a record that is no file (type `M`).
    pub(crate) fn entry_kind(&self) -> Result<Option<EntryKind>> {
        let t = self.kind.ok_or_else(|| damaged("an entry has no type"))?;
        Ok(Some(match t {
            b'F' if self.cluster.is_some() && !self.blobs.iter().any(|b| b.data) => {
                EntryKind::Hardlink
            }
            b'F' => EntryKind::File,
            b'D' => EntryKind::Directory,
            b'L' => EntryKind::Symlink,
            b'P' => EntryKind::Fifo,
            b'C' => EntryKind::CharDevice,
            b'B' => EntryKind::BlockDevice,
            b'S' => EntryKind::Socket,
            b'M' => return Ok(None),
            _ => {
                let what = format!("Apple Archive entry type \"{}\"", escape_bytes(&[t]));
                return Err(Error::new(Code::Unsupported, format!("{what} is not supported")));
            }
        }))
    }

    /// Size of the `DAT` blob, 0 without one.
    pub(crate) fn data(&self) -> u64 {
        self.blobs.iter().find(|b| b.data).map_or(0, |b| b.size)
    }

    /// Refuses sizes that contradict each other.
    pub(crate) fn check(&self, kind: EntryKind) -> Result<()> {
        let has_data = self.blobs.iter().any(|b| b.data);
        if has_data && kind != EntryKind::File {
            return Err(damaged("an entry that is not a file has data"));
        }
        if let (true, Some(size)) = (has_data, self.size)
            && size != self.data()
        {
            return Err(damaged(format!("an entry says {size} bytes and has {}", self.data())));
        }
        if !has_data && kind == EntryKind::File && self.size.unwrap_or(0) != 0 {
            let what = format!(
                "an Apple Archive without the data of its files ({} bytes)",
                self.size.unwrap_or(0)
            );
            return Err(Error::new(Code::Unsupported, what));
        }
        if (kind == EntryKind::Symlink) != self.link.is_some() {
            return Err(damaged("a link target and the entry type disagree"));
        }
        Ok(())
    }
}

/// A 32-bit number of a field, whole.
pub(crate) fn narrow(name: &str, v: Option<u64>) -> Result<u32> {
    u32::try_from(v.unwrap_or(0)).map_err(|_| damaged(format!("the field {name} is over 32 bits")))
}

/// The bytes of all blobs together, for the check that they can be counted.
pub(crate) fn blob_bytes(blobs: &[Blob]) -> Result<u64> {
    blobs
        .iter()
        .try_fold(len64(0), |n, b| n.checked_add(b.size))
        .ok_or_else(|| damaged("the blobs of an entry are larger than any file"))
}
