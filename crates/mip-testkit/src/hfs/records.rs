//! Keys and records of the three trees, and the volume header, byte by byte.

use super::Entry;

/// Seconds from 1904-01-01 to 1970-01-01.
pub(super) const EPOCH: u32 = 2_082_844_800;

/// `kHFSThreadExistsMask`.
pub(super) const HAS_THREAD: u16 = 0x02;
/// `kHFSHasAttributesMask`.
pub(super) const HAS_ATTRIBUTES: u16 = 0x04;
/// `kHFSHasSecurityMask`.
pub(super) const HAS_SECURITY: u16 = 0x08;
/// `kHFSHasFolderCountMask`.
pub(super) const HAS_FOLDER_COUNT: u16 = 0x10;
/// `kHFSHasLinkChainMask`.
pub(super) const HAS_LINK_CHAIN: u16 = 0x20;
/// `kHFSHasChildLinkMask`.
pub(super) const HAS_CHILD_LINK: u16 = 0x40;

/// Start and count of blocks.
pub(super) type Extent = (u32, u32);

/// `HFSPlusForkData`, 80 bytes.
pub(super) fn fork(size: u64, extents: &[Extent]) -> Vec<u8> {
    let mut out = size.to_be_bytes().to_vec();
    out.extend([0; 4]); // clump size
    let blocks: u32 = extents.iter().map(|e| e.1).sum();
    out.extend(blocks.to_be_bytes());
    out.extend(eight(extents));
    out
}

/// `HFSPlusExtentRecord`: the first eight extents, 64 bytes.
pub(super) fn eight(extents: &[Extent]) -> Vec<u8> {
    let mut out = Vec::new();
    for &(start, count) in extents.iter().take(8) {
        out.extend(start.to_be_bytes());
        out.extend(count.to_be_bytes());
    }
    out.resize(64, 0);
    out
}

fn name(units: &[u16]) -> Vec<u8> {
    let mut out = u16::try_from(units.len()).unwrap().to_be_bytes().to_vec();
    out.extend(units.iter().flat_map(|u| u.to_be_bytes()));
    out
}

fn with_length(key: Vec<u8>) -> Vec<u8> {
    let mut out = u16::try_from(key.len()).unwrap().to_be_bytes().to_vec();
    out.extend(key);
    out
}

pub(super) fn catalog_key(parent: u32, units: &[u16]) -> Vec<u8> {
    with_length([&parent.to_be_bytes()[..], &name(units)].concat())
}

pub(super) fn extents_key(id: u32, resource: bool, block: u32) -> Vec<u8> {
    let mut key = vec![if resource { 0xff } else { 0 }, 0];
    key.extend(id.to_be_bytes());
    key.extend(block.to_be_bytes());
    with_length(key)
}

pub(super) fn attribute_key(id: u32, attribute: &[u16], block: u32) -> Vec<u8> {
    let mut key = vec![0, 0];
    key.extend(id.to_be_bytes());
    key.extend(block.to_be_bytes());
    key.extend(name(attribute));
    with_length(key)
}

/// `kHFSPlusAttrInlineData`.
pub(super) fn attribute_inline(data: &[u8]) -> Vec<u8> {
    let mut out = vec![0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0];
    out.extend(u32::try_from(data.len()).unwrap().to_be_bytes());
    out.extend(data);
    out.resize(out.len().next_multiple_of(2), 0);
    out
}

/// `kHFSPlusAttrForkData`.
pub(super) fn attribute_fork(size: u64, extents: &[Extent]) -> Vec<u8> {
    let mut out = vec![0, 0, 0, 0x20, 0, 0, 0, 0];
    out.extend(fork(size, extents));
    out
}

/// `kHFSPlusAttrExtents`.
pub(super) fn attribute_extents(extents: &[Extent]) -> Vec<u8> {
    let mut out = vec![0, 0, 0, 0x30, 0, 0, 0, 0];
    out.extend(eight(extents));
    out
}

/// Thread record: 3 for folders, 4 for files.
pub(super) fn thread(folder: bool, parent: u32, units: &[u16]) -> Vec<u8> {
    let mut out = vec![0, if folder { 3 } else { 4 }, 0, 0];
    out.extend(parent.to_be_bytes());
    out.extend(name(units));
    out
}

/// What a file or folder record says besides what the entry says.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Head {
    pub(super) flags: u16,
    /// Valence of a folder; first link of a hard-linked file.
    pub(super) second: u32,
    pub(super) id: u32,
    /// `iNodeNum`, `linkCount` or `rawDevice`.
    pub(super) special: u32,
    /// `folderCount`; 0 in files.
    pub(super) last: u32,
}

/// The 88 bytes that file and folder records have in common.
pub(super) fn head(e: &Entry, folder: bool, h: Head) -> Vec<u8> {
    let mut out = vec![0, if folder { 1 } else { 2 }];
    out.extend(h.flags.to_be_bytes());
    out.extend(h.second.to_be_bytes());
    out.extend(h.id.to_be_bytes());
    let (created, modified) = (e.dates.0.wrapping_add(EPOCH), e.dates.1.wrapping_add(EPOCH));
    for date in [created, modified, modified, modified, 0] {
        out.extend(date.to_be_bytes());
    }
    out.extend(e.owner.0.to_be_bytes());
    out.extend(e.owner.1.to_be_bytes());
    out.extend([0, e.flags]);
    out.extend(e.mode.to_be_bytes());
    out.extend(h.special.to_be_bytes());
    out.extend(e.finder);
    out.extend([0; 4]); // text encoding: MacRoman
    out.extend(h.last.to_be_bytes());
    assert_eq!(out.len(), 88);
    out
}

/// What the volume header counts.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) files: u32,
    pub(super) folders: u32,
    pub(super) block_size: u32,
    pub(super) total: u32,
    pub(super) free: u32,
    pub(super) next_block: u32,
    pub(super) next_id: u32,
    pub(super) journal_block: Option<u32>,
    pub(super) case_sensitive: bool,
    pub(super) created: u32,
}

/// The volume header, 512 bytes; `forks` are allocation, extents, catalog, attributes, startup.
pub(super) fn volume_header(c: &Counts, forks: [Vec<u8>; 5]) -> Vec<u8> {
    let mut out = if c.case_sensitive { b"HX\0\x05" } else { b"H+\0\x04" }.to_vec();
    // Unmounted cleanly; journaled.
    let attributes: u32 = 0x100 | if c.journal_block.is_some() { 0x2000 } else { 0 };
    out.extend(attributes.to_be_bytes());
    out.extend(if c.journal_block.is_some() { b"HFSJ" } else { b"10.0" });
    out.extend(c.journal_block.unwrap_or(0).to_be_bytes());
    let date = c.created.wrapping_add(EPOCH);
    for n in [date, date, 0, date, c.files, c.folders, c.block_size, c.total, c.free] {
        out.extend(n.to_be_bytes());
    }
    for n in [c.next_block, c.block_size, c.block_size, c.next_id, 1] {
        out.extend(n.to_be_bytes());
    }
    out.extend([0, 0, 0, 0, 0, 0, 0, 1]); // encodings: MacRoman
    out.extend([0; 24]); // Finder info: nothing is blessed
    out.extend(*b"mip-test"); // a volume's unique id
    out.extend(forks.concat());
    assert_eq!(out.len(), 512);
    out
}

/// The fixed part of a journal, one 512-byte header of an empty log, little-endian as on Intel
/// and Apple silicon.
pub(super) fn journal_header(size: u64) -> Vec<u8> {
    let mut out = b"xLNJ".to_vec(); // 'JNLx'
    out.extend(0x1234_5678u32.to_le_bytes());
    for n in [512, 512, size] {
        out.extend(u64::to_le_bytes(n)); // start, end, size
    }
    out.extend(4096u32.to_le_bytes()); // block list header
    out.extend([0; 4]);
    out.extend(512u32.to_le_bytes()); // this header
    let sum = out.iter().fold(0u32, |sum, &b| (sum << 8) ^ sum.wrapping_add(u32::from(b)));
    out[36..40].copy_from_slice(&(!sum).to_le_bytes());
    out.resize(512, 0);
    out
}

/// The journal info block: where the journal is.
pub(super) fn journal_info(offset: u64, size: u64) -> Vec<u8> {
    let mut out = 1u32.to_be_bytes().to_vec(); // in this file system
    out.extend([0; 32]);
    out.extend(offset.to_be_bytes());
    out.extend(size.to_be_bytes());
    out.extend([0; 128]);
    out
}
