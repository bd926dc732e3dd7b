//! The index: the bytes that are signed.

use mip_base::bytes::{le_u16, le_u32, le_u64};
use mip_base::{Code, EntryPath, Error, Limits, Result, escape, len64};

use crate::profile::{
    BLOCK, BLOCK_LOG2, FORMAT_VERSION, INDEX_MAGIC, MAX_ENTRIES, MAX_PRODUCT_TEXT, MODES, PURPOSE,
    SMALL_ENTRY_LIMIT, role_of,
};
use crate::{Digest, records};

/// The product that an archive carries. Both texts are 1 to 255 bytes of UTF-8 without control
/// characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// Identifier, as in `CFBundleIdentifier`.
    pub id: String,
    /// Version, as in `CFBundleShortVersionString`.
    pub version: String,
}

/// What an entry of the body is for. The profile's order of entries is the order here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum EntryRole {
    /// `Info.plist`.
    Metadata,
    /// `icon.png`.
    Icon,
    /// `scripts/…`.
    Script,
    /// `payload/…`, the installer.
    Payload,
}

impl EntryRole {
    /// The role's byte in the index.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Metadata => 1,
            Self::Icon => 2,
            Self::Script => 3,
            Self::Payload => 4,
        }
    }
}

/// One entry of the body.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IndexEntry {
    /// Name in the archive.
    pub path: EntryPath,
    /// What it is for.
    pub role: EntryRole,
    /// Permission bits: 0644 or 0755.
    pub mode: u32,
    /// Bytes of the content, which is stored as it is.
    pub size: u64,
    /// CRC-32 of the content, as ZIP defines it.
    pub crc32: u32,
    /// Where the local header starts in the archive.
    pub header_offset: u64,
    /// Where the content starts in the archive.
    pub offset: u64,
    /// SHA-256 of the content.
    pub sha256: Digest,
}

impl IndexEntry {
    pub(crate) fn fields(&self) -> records::Fields<'_> {
        records::Fields {
            name: self.path.as_str(),
            mode: self.mode,
            size: self.size,
            crc32: self.crc32,
            header: self.header_offset,
            payload: self.role == EntryRole::Payload,
        }
    }
}

/// The signed table: product, entries, and the SHA-256 of every block of the body.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Index {
    /// The product.
    pub product: Product,
    /// Length of the body: from byte 0 to the local header of the index itself.
    pub body: u64,
    /// The entries, in the order of the archive.
    pub entries: Vec<IndexEntry>,
    /// SHA-256 of each block of 2^20 bytes of the body; the last block may be short.
    pub blocks: Vec<Digest>,
}

/// Fixed bytes of an entry: role, mode, name length, size, CRC, two offsets, digest.
const ENTRY_FIXED: usize = 1 + 2 + 2 + 8 + 4 + 8 + 8 + 32;

impl Index {
    /// The entry with this name.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<&IndexEntry> {
        self.entries.iter().find(|e| e.path.as_str() == path)
    }

    /// The payload. Every index that was decoded or written has one.
    #[must_use]
    pub fn payload(&self) -> Option<&IndexEntry> {
        self.entries.iter().find(|e| e.role == EntryRole::Payload)
    }

    /// The bytes of the index.
    ///
    /// # Errors
    /// [`Code::Internal`] when a number does not fit its field: only for an index that breaks
    /// the profile.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let no_fit = || Error::new(Code::Internal, "a field of the index does not fit");
        let mut b = Vec::new();
        let text = |b: &mut Vec<u8>, t: &str| -> Result<()> {
            let len = u16::try_from(t.len()).map_err(|_| no_fit())?;
            b.extend_from_slice(&len.to_le_bytes());
            b.extend_from_slice(t.as_bytes());
            Ok(())
        };
        b.extend_from_slice(&INDEX_MAGIC);
        b.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        text(&mut b, PURPOSE)?;
        text(&mut b, &self.product.id)?;
        text(&mut b, &self.product.version)?;
        b.extend_from_slice(&self.body.to_le_bytes());
        b.push(BLOCK_LOG2);
        let count = u32::try_from(self.entries.len()).map_err(|_| no_fit())?;
        b.extend_from_slice(&count.to_le_bytes());
        for e in &self.entries {
            b.push(e.role.number());
            b.extend_from_slice(&u16::try_from(e.mode).map_err(|_| no_fit())?.to_le_bytes());
            text(&mut b, e.path.as_str())?;
            b.extend_from_slice(&e.size.to_le_bytes());
            b.extend_from_slice(&e.crc32.to_le_bytes());
            b.extend_from_slice(&e.header_offset.to_le_bytes());
            b.extend_from_slice(&e.offset.to_le_bytes());
            b.extend_from_slice(&e.sha256);
        }
        let count = u64::try_from(self.blocks.len()).map_err(|_| no_fit())?;
        b.extend_from_slice(&count.to_le_bytes());
        for digest in &self.blocks {
            b.extend_from_slice(digest);
        }
        Ok(b)
    }

    /// Reads an index and checks everything that can be checked without the archive: the
    /// profile's names, order, modes and layout, and that these bytes are the only way to
    /// write it.
    ///
    /// # Errors
    /// [`Code::MipUnknown`] for another magic, version, purpose or a name that the profile does
    /// not have; [`Code::MipAmbiguous`] for everything else that breaks the format.
    pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Self> {
        let mut r = Fields { bytes, at: 0 };
        if r.take(8)? != INDEX_MAGIC {
            return Err(Error::new(Code::MipUnknown, "the index has another magic").at(0));
        }
        let version = r.u32()?;
        if version != FORMAT_VERSION {
            let text = format!("the index has format version {version}, known is {FORMAT_VERSION}");
            return Err(Error::new(Code::MipUnknown, text).at(8));
        }
        if r.text(255)? != PURPOSE {
            return Err(Error::new(Code::MipUnknown, "the index is for another purpose").at(12));
        }
        let product = Product {
            id: r.text(MAX_PRODUCT_TEXT)?.to_owned(),
            version: r.text(MAX_PRODUCT_TEXT)?.to_owned(),
        };
        let body = r.u64()?;
        let at = r.at;
        if r.u8()? != BLOCK_LOG2 {
            return Err(ambiguous("another block size than 2^20").at(len64(at)));
        }
        let entries = r.entries(limits)?;
        let at = r.at;
        let count = r.u64()?;
        if count != body.div_ceil(BLOCK) || u64::try_from(r.left() / 32) != Ok(count) {
            let text = format!("{count} block digests for a body of {body} bytes");
            return Err(ambiguous(text).at(len64(at)));
        }
        let (blocks, rest) = r.take(r.left())?.as_chunks::<32>();
        if !rest.is_empty() {
            return Err(ambiguous("bytes after the last block digest").at(len64(r.at)));
        }
        let index = Self { product, body, entries, blocks: blocks.to_vec() };
        index.check()?;
        if index.encode()? != bytes {
            return Err(ambiguous("these bytes are not the canonical form of the index"));
        }
        Ok(index)
    }

    /// Checks the rules of the profile that no single name breaks: product, order, modes, sizes
    /// and offsets.
    pub(crate) fn check(&self) -> Result<()> {
        check_product(&self.product, Code::MipAmbiguous)?;
        let mut at = 0u64;
        let mut last: Option<&IndexEntry> = None;
        for e in &self.entries {
            let bad = |why: &str| Err(ambiguous(why).within(&e.path));
            if !MODES.contains(&e.mode) {
                return bad("the entry has a mode other than 0644 and 0755");
            }
            if e.role != EntryRole::Payload && e.size >= SMALL_ENTRY_LIMIT {
                return bad("the entry is too large for its role");
            }
            if last.is_some_and(|l| (l.role, &l.path) >= (e.role, &e.path)) {
                return bad("the entry is not in its place, or twice");
            }
            let data = records::local_len(e.path.as_str(), at, e.role == EntryRole::Payload)
                .and_then(|len| at.checked_add(len));
            if e.header_offset != at || Some(e.offset) != data {
                return bad("the entry is not where the layout puts it");
            }
            let Some(end) = e.offset.checked_add(e.size) else {
                return bad("the entry ends past all numbers");
            };
            at = end;
            last = Some(e);
        }
        let count = |role| self.entries.iter().filter(|e| e.role == role).count();
        if count(EntryRole::Metadata) != 1 || count(EntryRole::Payload) != 1 {
            return Err(ambiguous("not exactly one Info.plist and one payload"));
        }
        if count(EntryRole::Icon) > 1 || self.entries.len() > MAX_ENTRIES {
            return Err(ambiguous("more entries than the profile allows"));
        }
        // The other names cannot differ in case only: two are fixed, the payload is alone.
        let mut folded: Vec<String> =
            self.entries.iter().map(|e| e.path.as_str().to_ascii_lowercase()).collect();
        folded.sort_unstable();
        if folded.windows(2).any(|w| w.first() == w.last()) {
            return Err(ambiguous("two names differ in case only"));
        }
        if at != self.body {
            let text = format!("the entries end at {at}, the body at {}", self.body);
            return Err(ambiguous(text));
        }
        if u64::try_from(self.blocks.len()) != Ok(self.body.div_ceil(BLOCK)) {
            return Err(ambiguous("another number of block digests than blocks"));
        }
        Ok(())
    }
}

/// Checks the two texts; `code` says whose fault a bad one is.
pub(crate) fn check_product(product: &Product, code: Code) -> Result<()> {
    for (what, text) in [("product id", &product.id), ("product version", &product.version)] {
        if text.is_empty() || text.len() > MAX_PRODUCT_TEXT || text.chars().any(char::is_control) {
            let text =
                format!("the {what} \"{}\" is empty, too long or has controls", escape(text));
            return Err(Error::new(code, text));
        }
    }
    Ok(())
}

pub(crate) fn ambiguous(what: impl Into<String>) -> Error {
    Error::new(Code::MipAmbiguous, what)
}

/// Fields of the index, in order.
struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let short = || ambiguous("the index ends inside a field").at(len64(self.at));
        let end = self.at.checked_add(len).ok_or_else(short)?;
        let taken = self.bytes.get(self.at..end).ok_or_else(short)?;
        self.at = end;
        Ok(taken)
    }

    fn field<T>(&mut self, len: usize, read: fn(&[u8], usize) -> Option<T>) -> Result<T> {
        let at = self.at;
        let bytes = self.take(len)?;
        read(bytes, 0).ok_or_else(|| ambiguous("the index ends inside a field").at(len64(at)))
    }

    fn u8(&mut self) -> Result<u8> {
        self.field(1, |b, at| b.get(at).copied())
    }
    fn u16(&mut self) -> Result<u16> {
        self.field(2, le_u16)
    }
    fn u32(&mut self) -> Result<u32> {
        self.field(4, le_u32)
    }
    fn u64(&mut self) -> Result<u64> {
        self.field(8, le_u64)
    }
    fn digest(&mut self) -> Result<Digest> {
        self.field(32, |b, at| b.get(at..)?.first_chunk().copied())
    }

    fn text(&mut self, limit: usize) -> Result<&'a str> {
        let at = len64(self.at);
        let len = usize::from(self.u16()?);
        if len > limit {
            return Err(ambiguous(format!("a text of {len} bytes, allowed are {limit}")).at(at));
        }
        std::str::from_utf8(self.take(len)?)
            .map_err(|_| ambiguous("a text of the index is not UTF-8").at(at))
    }

    fn entries(&mut self, limits: &Limits) -> Result<Vec<IndexEntry>> {
        let at = len64(self.at);
        let count = usize::try_from(self.u32()?).unwrap_or(usize::MAX);
        if count > MAX_ENTRIES || count > self.left() / ENTRY_FIXED {
            let text = format!("{count} entries, allowed are {MAX_ENTRIES}, and their bytes");
            return Err(ambiguous(text).at(at));
        }
        (0..count).map(|_| self.entry(limits)).collect()
    }

    fn entry(&mut self, limits: &Limits) -> Result<IndexEntry> {
        let at = len64(self.at);
        let number = self.u8()?;
        let mode = u32::from(self.u16()?);
        let name = self.text(1024)?;
        let role = role_of(name).map_err(|e| e.at(at))?;
        if role.number() != number {
            return Err(ambiguous("the entry has the role of another name").at(at).within(name));
        }
        let path = EntryPath::new(name, limits).map_err(|e| e.at(at))?;
        if path.as_str() != name {
            return Err(ambiguous("the entry name has another spelling").at(at));
        }
        Ok(IndexEntry {
            path,
            role,
            mode,
            size: self.u64()?,
            crc32: self.u32()?,
            header_offset: self.u64()?,
            offset: self.u64()?,
            sha256: self.digest()?,
        })
    }
}
