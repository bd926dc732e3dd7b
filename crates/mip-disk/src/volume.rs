//! Which file system a volume holds.

use mip_base::bytes::{be_u16, le_u16, le_u32};
use mip_base::{Result, Source};

use crate::read_up_to_at;

/// What a volume is, as far as its magic numbers tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// HFS+.
    HfsPlus,
    /// HFSX: HFS+ that may be case-sensitive.
    Hfsx,
    /// An HFS+ volume inside the wrapper of a classic HFS volume.
    HfsWrapped,
    /// Classic HFS ("Mac OS Standard").
    Hfs,
    /// An APFS container.
    Apfs,
    /// FAT12, FAT16 or FAT32.
    Fat,
    /// exFAT.
    ExFat,
    /// NTFS.
    Ntfs,
    /// ISO 9660.
    Iso9660,
    /// UDF.
    Udf,
    /// A physical volume of CoreStorage (FileVault 2 before APFS, Fusion drives).
    CoreStorage,
    /// Nothing but zeros in every place that was looked at.
    Empty,
    /// None of these.
    Unknown,
}

impl Kind {
    /// The usual name of the file system.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Kind::HfsPlus => "HFS+",
            Kind::Hfsx => "HFSX",
            Kind::HfsWrapped => "HFS+ in an HFS wrapper",
            Kind::Hfs => "HFS (Mac OS Standard)",
            Kind::Apfs => "APFS",
            Kind::Fat => "FAT",
            Kind::ExFat => "exFAT",
            Kind::Ntfs => "NTFS",
            Kind::Iso9660 => "ISO 9660",
            Kind::Udf => "UDF",
            Kind::CoreStorage => "CoreStorage",
            Kind::Empty => "empty",
            Kind::Unknown => "unknown",
        }
    }
}

/// Where ISO 9660 and UDF keep their volume descriptors: sector 16 of 2048 bytes.
const DESCRIPTORS: u64 = 32768;
/// Descriptors of 2048 bytes that are looked at; real volumes have three to six.
const DESCRIPTOR_BYTES: usize = 16 * 2048;

/// Names the file system of `volume` by the magic numbers at their documented places.
///
/// A Macintosh file system wins over ISO 9660, because a hybrid disc has both and the first is
/// the one that a Mac shows. Reads at most 4 KiB, and 32 KiB more when those say nothing; a
/// volume that is shorter is no error.
///
/// Sources: Apple TN1150 (volume header and HFS wrapper at byte 1024), Apple File System
/// Reference (`nx_magic` at 32), Microsoft's FAT, exFAT and NTFS boot sectors, ECMA-119 and
/// ECMA-167 (descriptors from byte 32768 on), libfvde (CoreStorage `CS` at 88).
///
/// # Errors
/// What reading `volume` reports.
pub fn identify(volume: &Source) -> Result<Kind> {
    let mut head = [0_u8; 4096];
    let n = read_up_to_at(volume, 0, &mut head)?;
    let head = head.get(..n).unwrap_or_default();
    if let Some(kind) = by_head(head) {
        return Ok(kind);
    }
    let mut descriptors = vec![0_u8; DESCRIPTOR_BYTES];
    let n = read_up_to_at(volume, DESCRIPTORS, &mut descriptors)?;
    let descriptors = descriptors.get(..n).unwrap_or_default();
    if let Some(kind) = by_descriptors(descriptors) {
        return Ok(kind);
    }
    let zero = head.iter().chain(descriptors).all(|b| *b == 0);
    Ok(if zero { Kind::Empty } else { Kind::Unknown })
}

fn by_head(head: &[u8]) -> Option<Kind> {
    if head.get(32..36) == Some(b"NXSB".as_slice()) {
        return Some(Kind::Apfs);
    }
    let version = be_u16(head, 1026);
    match (head.get(1024..1026), version) {
        (Some(b"H+"), Some(4)) => return Some(Kind::HfsPlus),
        (Some(b"HX"), Some(5)) => return Some(Kind::Hfsx),
        // drEmbedSigWord, byte 124 of the master directory block, names what is embedded.
        (Some(b"BD"), _) => {
            return Some(match head.get(1148..1150) {
                Some(b"H+" | b"HX") => Kind::HfsWrapped,
                _ => Kind::Hfs,
            });
        }
        _ => {}
    }
    if head.get(88..90) == Some(b"CS".as_slice()) && le_u16(head, 8) == Some(1) {
        return Some(Kind::CoreStorage);
    }
    boot_sector(head)
}

/// FAT, exFAT and NTFS, by the boot sector at the start of the volume.
pub(crate) fn boot_sector(sector: &[u8]) -> Option<Kind> {
    match sector.get(3..11) {
        Some(b"EXFAT   ") => return Some(Kind::ExFat),
        Some(b"NTFS    ") => return Some(Kind::Ntfs),
        _ => {}
    }
    let jump = matches!(sector.get(..3), Some([0xEB, _, 0x90] | [0xE9, _, _]));
    let bytes = matches!(le_u16(sector, 11)?, 512 | 1024 | 2048 | 4096);
    let cluster = sector.get(13)?.is_power_of_two();
    let reserved = le_u16(sector, 14)? != 0;
    let tables = matches!(sector.get(16)?, 1 | 2);
    let total = le_u16(sector, 19)? != 0 || le_u32(sector, 32)? != 0;
    let media = matches!(sector.get(21)?, 0xF0 | 0xF8..=0xFF);
    let table = le_u16(sector, 22)? != 0 || le_u32(sector, 36)? != 0;
    let fat = jump && bytes && cluster && reserved && tables && total && media && table;
    fat.then_some(Kind::Fat)
}

/// The volume recognition sequence: UDF wins over the ISO 9660 descriptors of a bridge disc
/// only where there are none of the latter.
fn by_descriptors(area: &[u8]) -> Option<Kind> {
    let ids = || area.chunks(2048).filter_map(|sector| sector.get(1..6));
    if ids().next() == Some(b"CD001".as_slice()) {
        return Some(Kind::Iso9660);
    }
    ids().any(|id| matches!(id, b"NSR02" | b"NSR03")).then_some(Kind::Udf)
}
