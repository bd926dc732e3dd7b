//! Disks with partition maps, valid and broken.

const SECTOR: usize = 512;

/// Type GUIDs as they are stored.
pub mod guid {
    /// Apple HFS and HFS+.
    pub const HFS: [u8; 16] = *b"\x00SFH\x00\x00\xAA\x11\xAA\x11\x00\x30\x65\x43\xEC\xAC";
    /// Apple APFS.
    pub const APFS: [u8; 16] = *b"\xEF\x57\x34\x7C\x00\x00\xAA\x11\xAA\x11\x00\x30\x65\x43\xEC\xAC";
}

/// One entry of a GPT: type, first and last sector, name.
#[derive(Debug, Clone)]
pub struct GptEntry {
    /// Type GUID as stored.
    pub kind: [u8; 16],
    /// First sector.
    pub first: u64,
    /// Last sector, inclusive.
    pub last: u64,
    /// Name.
    pub name: String,
}

/// A GPT and its disk. Fields can be set to lies; checksums are computed last and are right.
#[derive(Debug, Clone)]
pub struct Gpt {
    /// Bytes of a sector.
    pub sector: usize,
    /// Sectors of the disk.
    pub sectors: usize,
    /// The entries.
    pub entries: Vec<GptEntry>,
    /// Claimed number of entries.
    pub count: u32,
    /// Claimed size of an entry.
    pub entry_size: u32,
}

impl Gpt {
    /// A disk of `sectors` sectors of 512 bytes with `entries`.
    #[must_use]
    pub fn new(sectors: usize, entries: Vec<GptEntry>) -> Self {
        Self { sector: SECTOR, sectors, entries, count: 128, entry_size: 128 }
    }

    /// The disk.
    #[must_use]
    pub fn build(&self) -> Vec<u8> {
        let s = self.sector;
        let mut disk = vec![0; self.sectors * s];
        disk[446 + 4] = 0xEE;
        disk[446 + 8..446 + 12].copy_from_slice(&1_u32.to_le_bytes());
        disk[446 + 12..446 + 16].copy_from_slice(&(self.sectors as u32 - 1).to_le_bytes());
        disk[510..512].copy_from_slice(&[0x55, 0xAA]);
        let mut table = vec![0; 128 * 128];
        for (e, slot) in self.entries.iter().zip(table.chunks_mut(128)) {
            slot[..16].copy_from_slice(&e.kind);
            slot[16..32].fill(0x11);
            slot[32..40].copy_from_slice(&e.first.to_le_bytes());
            slot[40..48].copy_from_slice(&e.last.to_le_bytes());
            for (unit, at) in e.name.encode_utf16().zip((56..).step_by(2)) {
                slot[at..at + 2].copy_from_slice(&unit.to_le_bytes());
            }
        }
        let table_sectors = table.len().div_ceil(s);
        let last = self.sectors - 1;
        for (own, other, entries) in [(1, last, 2), (last, 1, last - table_sectors)] {
            disk[entries * s..entries * s + table.len()].copy_from_slice(&table);
            let mut h = vec![0; 92];
            h[..8].copy_from_slice(b"EFI PART");
            h[8..12].copy_from_slice(&0x0001_0000_u32.to_le_bytes());
            h[12..16].copy_from_slice(&92_u32.to_le_bytes());
            h[24..32].copy_from_slice(&(own as u64).to_le_bytes());
            h[32..40].copy_from_slice(&(other as u64).to_le_bytes());
            h[40..48].copy_from_slice(&(2 + table_sectors as u64).to_le_bytes());
            h[48..56].copy_from_slice(&((last - table_sectors - 1) as u64).to_le_bytes());
            h[72..80].copy_from_slice(&(entries as u64).to_le_bytes());
            h[80..84].copy_from_slice(&self.count.to_le_bytes());
            h[84..88].copy_from_slice(&self.entry_size.to_le_bytes());
            h[88..92].copy_from_slice(&crc32fast::hash(&table).to_le_bytes());
            let crc = crc32fast::hash(&h);
            h[16..20].copy_from_slice(&crc.to_le_bytes());
            disk[own * s..own * s + 92].copy_from_slice(&h);
        }
        disk
    }
}

/// A disk with a GPT that has one Apple_HFS partition, which begins with `content`.
#[must_use]
pub fn gpt_disk(content: &[u8]) -> Vec<u8> {
    let used = content.len().div_ceil(SECTOR).max(1);
    let e =
        GptEntry { kind: guid::HFS, first: 40, last: 39 + used as u64, name: "disk image".into() };
    let mut disk = Gpt::new(40 + used + 40, vec![e]).build();
    disk[40 * SECTOR..40 * SECTOR + content.len()].copy_from_slice(content);
    disk
}

/// One entry of an APM.
#[derive(Debug, Clone)]
pub struct ApmEntry {
    /// Name.
    pub name: &'static str,
    /// Type.
    pub kind: &'static str,
    /// First block.
    pub first: u32,
    /// Blocks.
    pub blocks: u32,
}

/// A disk of `blocks` blocks of `block` bytes with an APM; `count` is what the map claims.
/// `driver_block` is the block size in the driver descriptor (0: no descriptor).
#[must_use]
pub fn apm_disk(
    block: usize,
    blocks: usize,
    driver_block: u16,
    count: u32,
    entries: &[ApmEntry],
) -> Vec<u8> {
    let mut disk = vec![0; block * blocks];
    if driver_block != 0 {
        disk[..2].copy_from_slice(b"ER");
        disk[2..4].copy_from_slice(&driver_block.to_be_bytes());
        disk[4..8].copy_from_slice(&(blocks as u32).to_be_bytes());
    }
    for (e, i) in entries.iter().zip(1..) {
        let slot = &mut disk[i * block..i * block + 512];
        slot[..2].copy_from_slice(b"PM");
        slot[4..8].copy_from_slice(&count.to_be_bytes());
        slot[8..12].copy_from_slice(&e.first.to_be_bytes());
        slot[12..16].copy_from_slice(&e.blocks.to_be_bytes());
        slot[16..16 + e.name.len()].copy_from_slice(e.name.as_bytes());
        slot[48..48 + e.kind.len()].copy_from_slice(e.kind.as_bytes());
    }
    disk
}

/// Writes an MBR table at sector `at` of `disk`: type, first sector, sectors.
pub fn put_mbr(disk: &mut [u8], at: usize, entries: &[(u8, u32, u32)]) {
    let sector = &mut disk[at * SECTOR..(at + 1) * SECTOR];
    for (&(kind, first, sectors), i) in entries.iter().zip(0..) {
        let e = &mut sector[446 + 16 * i..446 + 16 * (i + 1)];
        e[4] = kind;
        e[8..12].copy_from_slice(&first.to_le_bytes());
        e[12..16].copy_from_slice(&sectors.to_le_bytes());
    }
    sector[510..512].copy_from_slice(&[0x55, 0xAA]);
}
