//! Every header of an archive, rebuilt from its index and signature.

use mip_base::{Result, len64};

use crate::Index;
use crate::index::ambiguous;
use crate::profile::{INDEX, SIGNATURE};
use crate::records::{self, Fields};

/// Bytes that an archive must have at a position.
pub(crate) struct Piece {
    pub at: u64,
    pub bytes: Vec<u8>,
    /// The entry that they belong to, for messages.
    pub of: String,
}

/// All header bytes of an archive, and where its parts are.
pub(crate) struct Layout {
    /// Local headers of the body's entries.
    pub body: Vec<Piece>,
    /// Local header of the index, at the end of the body.
    pub index: Piece,
    /// Local header of the signature.
    pub signature: Option<Piece>,
    /// Central directory and the three end records.
    pub end: Piece,
    /// Length of the archive.
    pub len: u64,
}

impl Layout {
    /// The layout of an archive of `index` (whose bytes are `index_bytes`) and `signature`.
    pub(crate) fn new(index: &Index, index_bytes: &[u8], signature: Option<&[u8]>) -> Result<Self> {
        Self::build(index, index_bytes, signature)
            .ok_or_else(|| ambiguous("the archive ends past all numbers"))
    }

    fn build(index: &Index, index_bytes: &[u8], signature: Option<&[u8]>) -> Option<Self> {
        let mut directory = Vec::new();
        let mut body = Vec::new();
        let mut piece = |f: &Fields<'_>| {
            records::central_record(f, &mut directory);
            Some(Piece { at: f.header, bytes: records::local_header(f)?, of: f.name.to_owned() })
        };
        for e in &index.entries {
            body.push(piece(&e.fields())?);
        }
        let of_index = own(INDEX, index.body, index_bytes)?;
        let index_piece = piece(&of_index)?;
        let mut at = end(&index_piece, index_bytes)?;
        let mut entries = u64::try_from(body.len()).ok()?.checked_add(1)?;
        let signature = match signature {
            None => None,
            Some(bytes) => {
                let p = piece(&own(SIGNATURE, at, bytes)?)?;
                at = end(&p, bytes)?;
                entries = entries.checked_add(1)?;
                Some(p)
            }
        };
        let tail = records::tail(entries, at, len64(directory.len()))?;
        directory.extend_from_slice(&tail);
        let total = at.checked_add(len64(directory.len()))?;
        let end = Piece { at, bytes: directory, of: "central directory".into() };
        Some(Self { body, index: index_piece, signature, end, len: total })
    }

    /// All pieces, from the start of the archive to its end.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &Piece> {
        self.body.iter().chain([&self.index]).chain(&self.signature).chain([&self.end])
    }
}

/// The header of one of the container's own entries.
fn own<'a>(name: &'a str, header: u64, content: &[u8]) -> Option<Fields<'a>> {
    Some(Fields {
        name,
        mode: 0o644,
        size: len64(content.len()),
        crc32: crc32fast::hash(content),
        header,
        payload: false,
    })
}

fn end(header: &Piece, content: &[u8]) -> Option<u64> {
    header.at.checked_add(len64(header.bytes.len()))?.checked_add(len64(content.len()))
}

/// Length of the local header of one of the container's own entries.
pub(crate) fn own_header_len(name: &str) -> u64 {
    records::local_len(name, 0, false).unwrap_or(u64::MAX)
}
