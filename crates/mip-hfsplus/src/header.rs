//! The volume header, its alternate copy, the HFS wrapper and the journal (TN1150, "Volume
//! Header", "HFS Wrapper", "Journal").

use mip_base::bytes::{be_u16, be_u32, be_u64, le_u32, le_u64};
use mip_base::{Code, Error, Result, Section, Source, read_full_at};

use crate::extents::Fork;

/// Byte offset of the volume header (and of a classic MDB) in a volume.
pub(crate) const HEADER_AT: u64 = 1024;
const HEADER_LEN: u64 = 512;
const HFS_PLUS: u16 = 0x482B;
const HFSX: u16 = 0x4858;
const CLASSIC: u16 = 0x4244;
/// Largest allocation block that is believed. Formatters stop far below.
const MAX_BLOCK: u32 = 1 << 27;
const JOURNALED: u32 = 1 << 13;

/// `HFSPlusVolumeHeader`, the fields that a reader needs.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    pub(crate) hfsx: bool,
    pub(crate) attributes: u32,
    pub(crate) journal_info_block: u32,
    pub(crate) created: u32,
    pub(crate) modified: u32,
    pub(crate) files: u32,
    pub(crate) folders: u32,
    pub(crate) block_size: u32,
    pub(crate) total_blocks: u32,
    pub(crate) free_blocks: u32,
    pub(crate) allocation: Fork,
    pub(crate) extents: Fork,
    pub(crate) catalog: Fork,
    pub(crate) attributes_file: Fork,
}

impl Header {
    /// Checks and reads one copy of the header.
    fn parse(b: &[u8], volume_size: u64) -> Result<Self> {
        let bad = |m: String| Error::new(Code::HfsHeader, m);
        let short = || bad("the volume header is cut".into());
        let u32_at = |at| be_u32(b, at).ok_or_else(short);
        let signature = be_u16(b, 0).ok_or_else(short)?;
        let hfsx = match signature {
            HFS_PLUS => false,
            HFSX => true,
            other => {
                return Err(bad(format!(
                    "the volume header starts with 0x{other:04x}, neither \"H+\" nor \"HX\""
                )));
            }
        };
        let version = be_u16(b, 2).ok_or_else(short)?;
        if !(4..=5).contains(&version) {
            return Err(bad(format!("volume format version {version} is not known")));
        }
        let (block_size, total_blocks) = (u32_at(40)?, u32_at(44)?);
        if !block_size.is_power_of_two() || !(512..=MAX_BLOCK).contains(&block_size) {
            return Err(bad(format!(
                "an allocation block of {block_size} bytes is not a power of two from 512"
            )));
        }
        let bytes = u64::from(block_size).saturating_mul(u64::from(total_blocks));
        if total_blocks == 0 || bytes > volume_size {
            return Err(bad(format!(
                "{total_blocks} blocks of {block_size} bytes do not fit the {volume_size} bytes of the volume"
            )));
        }
        let fork = |at: usize| Fork::parse(b, at).ok_or_else(short);
        Ok(Self {
            hfsx,
            attributes: u32_at(4)?,
            journal_info_block: u32_at(12)?,
            created: u32_at(16)?,
            modified: u32_at(20)?,
            files: u32_at(32)?,
            folders: u32_at(36)?,
            block_size,
            total_blocks,
            free_blocks: u32_at(48)?,
            allocation: fork(112)?,
            extents: fork(192)?,
            catalog: fork(272)?,
            attributes_file: fork(352)?,
        })
    }

    pub(crate) fn journaled(&self) -> bool {
        self.attributes & JOURNALED != 0
    }

    /// Bytes of all allocation blocks.
    pub(crate) fn size(&self) -> u64 {
        u64::from(self.block_size).saturating_mul(u64::from(self.total_blocks))
    }
}

/// A volume that was found in a source.
pub(crate) struct Located {
    /// The bytes of the HFS+ volume alone.
    pub(crate) volume: Source,
    pub(crate) header: Header,
    /// Where it starts in the source, when an HFS wrapper stands around it.
    pub(crate) wrapped_at: Option<u64>,
    pub(crate) notes: Vec<String>,
}

fn read_header(volume: &Source, at: u64) -> Result<Vec<u8>> {
    let mut b = vec![0_u8; 512];
    read_full_at(volume, at, &mut b, Code::Truncated)?;
    Ok(b)
}

/// Finds the volume: directly, inside an HFS wrapper, or by its alternate header.
pub(crate) fn locate(source: Source) -> Result<Located> {
    let size = source.size();
    if size < HEADER_AT.saturating_add(HEADER_LEN) {
        return Err(Error::new(
            Code::HfsHeader,
            format!("{size} bytes are too few for an HFS+ volume"),
        ));
    }
    let head = read_header(&source, HEADER_AT)?;
    let (volume, wrapped_at, head) = if be_u16(&head, 0) == Some(CLASSIC) {
        let (start, len) = embedded(&head)?;
        let inner = Section::new(source, start, len).ok_or_else(|| {
            Error::new(
                Code::HfsHeader,
                format!("the embedded volume ({len} bytes at {start}) leaves the HFS wrapper"),
            )
            .at(HEADER_AT.saturating_add(124))
        })?;
        let inner: Source = std::sync::Arc::new(inner);
        let head = read_header(&inner, HEADER_AT)?;
        (inner, Some(start), head)
    } else {
        (source, None, head)
    };
    let size = volume.size();
    let mut notes = Vec::new();
    let header = match Header::parse(&head, size) {
        Ok(h) => h,
        Err(first) => {
            let at = size.saturating_sub(HEADER_AT);
            let tail = read_header(&volume, at)?;
            let h = Header::parse(&tail, size).map_err(|_| first.at(HEADER_AT))?;
            notes.push(
                "the volume header is damaged; its copy at the end of the volume was used".into(),
            );
            h
        }
    };
    if wrapped_at.is_some() {
        notes.push("the volume stands inside an HFS wrapper".into());
    }
    let mut out = Located { volume, header, wrapped_at, notes };
    if out.header.journaled() {
        journal(&mut out);
    }
    Ok(out)
}

/// Start and length of the volume that an HFS wrapper embeds (`drEmbedExtent`).
fn embedded(mdb: &[u8]) -> Result<(u64, u64)> {
    let short = || Error::new(Code::HfsHeader, "the HFS master directory block is cut");
    let u16_at = |at| be_u16(mdb, at).map(u64::from).ok_or_else(short);
    if u16_at(124)? != u64::from(HFS_PLUS) {
        return Err(Error::new(
            Code::Unsupported,
            "this is a classic HFS volume, not HFS+: classic HFS is not supported",
        ));
    }
    let block = u64::from(be_u32(mdb, 20).ok_or_else(short)?);
    if block == 0 || !block.is_multiple_of(512) {
        return Err(Error::new(
            Code::HfsHeader,
            format!("the HFS wrapper has allocation blocks of {block} bytes"),
        ));
    }
    // 16-bit counts times a 32-bit size: cannot pass 2^48.
    let start = u16_at(28)?.saturating_mul(512).saturating_add(u16_at(126)?.saturating_mul(block));
    Ok((start, u16_at(128)?.saturating_mul(block)))
}

/// Notes a journal whose transactions may not have reached their places yet.
fn journal(l: &mut Located) {
    if let Some(dirty) = journal_dirty(&l.volume, &l.header) {
        if dirty {
            l.notes.push(
                "the journal is not empty: the volume was not unmounted cleanly; it is read as it lies, without replay"
                    .into(),
            );
        }
    } else {
        l.notes.push("the journal cannot be read; the volume is read as it lies".into());
    }
}

/// Whether `start` and `end` of the journal header differ; `None` when it cannot be told.
fn journal_dirty(volume: &Source, h: &Header) -> Option<bool> {
    let at = u64::from(h.journal_info_block).checked_mul(u64::from(h.block_size))?;
    let mut info = [0_u8; 52];
    read_full_at(volume, at, &mut info, Code::Truncated).ok()?;
    let flags = be_u32(&info, 0)?;
    // The journal is in this volume, and it was initialised.
    if flags & 1 == 0 || flags & 4 != 0 {
        return Some(false);
    }
    let mut b = [0_u8; 24];
    read_full_at(volume, be_u64(&info, 36)?, &mut b, Code::Truncated).ok()?;
    // The journal header is in the byte order of the machine that wrote it.
    let little = le_u32(&b, 4)? == 0x1234_5678;
    let (magic, start, end) = if little {
        (le_u32(&b, 0)?, le_u64(&b, 8)?, le_u64(&b, 16)?)
    } else {
        (be_u32(&b, 0)?, be_u64(&b, 8)?, be_u64(&b, 16)?)
    };
    (magic == 0x4A4E_4C78).then_some(start != end)
}
