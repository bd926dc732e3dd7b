//! Master boot records (UEFI specification §5.2).

use mip_base::bytes::{le_u16, le_u32};
use mip_base::{Code, Error, Job, ReadAt as _, Result, Source, read_full_at};

use super::{Map, Partition, Scheme, check_count, fit, overlap};
use crate::volume::boot_sector;

const SECTOR: u64 = 512;

/// One used entry of a table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    index: u32,
    kind: u8,
    first: u32,
    sectors: u32,
}

/// The used entries of the first sector; empty when it is no MBR.
pub(super) fn table(sector: &[u8]) -> Vec<Entry> {
    if le_u16(sector, 510) != Some(0xAA55) || boot_sector(sector).is_some() {
        return Vec::new();
    }
    let entries = entries(sector);
    // The status byte is 0x80 or 0 in every table; boot code and file systems have other bytes.
    let sane = entries
        .iter()
        .all(|(status, e)| matches!(status, 0 | 0x80) && e.first != 0 && e.sectors != 0);
    if sane { entries.into_iter().map(|(_, e)| e).collect() } else { Vec::new() }
}

fn entries(sector: &[u8]) -> Vec<(u8, Entry)> {
    let raw = sector.get(446..510).unwrap_or_default();
    let entry = |(e, index): (&[u8], u32)| {
        let kind = *e.get(4)?;
        let entry = Entry { index, kind, first: le_u32(e, 8)?, sectors: le_u32(e, 12)? };
        (kind != 0).then_some((*e.first()?, entry))
    };
    raw.chunks(16).zip(1..).filter_map(entry).collect()
}

/// Whether the table announces a GPT.
pub(super) fn protective(table: &[Entry]) -> bool {
    table.iter().any(|e| e.kind == 0xEE)
}

/// The map that the table describes; `None` when it is empty.
pub(super) fn read(disk: &Source, table: &[Entry], job: &Job) -> Result<Option<Map>> {
    if table.is_empty() {
        return Ok(None);
    }
    let mut map = Map { scheme: Scheme::Mbr, partitions: Vec::new(), notes: Vec::new() };
    let mut next = 5;
    for e in table {
        if matches!(e.kind, 0x05 | 0x0F | 0x85) {
            next = logical(disk, e, next, &mut map, job)?;
        } else {
            let p = partition(e, 0)?;
            map.partitions.push(fit(p, disk.size(), &mut map.notes)?);
        }
    }
    if let Some((a, b)) = overlap(&map.partitions) {
        map.notes.push(format!("partitions {a} and {b} overlap"));
    }
    Ok(Some(map))
}

fn partition(e: &Entry, base: u64) -> Result<Partition> {
    let first = base.saturating_add(u64::from(e.first));
    let start = first.checked_mul(SECTOR).ok_or_else(|| {
        Error::new(Code::PartitionMap, format!("partition {} is past all disks", e.index))
    })?;
    let size = u64::from(e.sectors).saturating_mul(SECTOR);
    Ok(Partition { index: e.index, name: String::new(), kind: type_name(e.kind), start, size })
}

/// The logical partitions of an extended one: a chain of tables, each with one partition and a
/// link to the next. The chain must go forward, so that it ends. `index` is the number of the
/// first one; returns that of the next, which a second extended partition goes on with.
fn logical(
    disk: &Source,
    extended: &Entry,
    mut index: u32,
    map: &mut Map,
    job: &Job,
) -> Result<u32> {
    let base = u64::from(extended.first);
    let mut at = base;
    let mut tables = 0_u64;
    loop {
        job.check()?;
        tables = tables.saturating_add(1);
        check_count(tables.max(u64::from(index)), job)?;
        let mut sector = [0_u8; 512];
        let offset = at.saturating_mul(SECTOR);
        read_full_at(disk, offset, &mut sector, Code::PartitionMap)?;
        if le_u16(&sector, 510) != Some(0xAA55) {
            let what = "a table of the extended partition has no signature";
            return Err(Error::new(Code::PartitionMap, what).at(offset));
        }
        let mut next = None;
        for (_, mut e) in entries(&sector) {
            if matches!(e.kind, 0x05 | 0x0F | 0x85) {
                next = next.or_else(|| base.checked_add(u64::from(e.first)));
            } else {
                e.index = index;
                index = index.saturating_add(1);
                let p = partition(&e, at)?;
                if p.size > 0 {
                    map.partitions.push(fit(p, disk.size(), &mut map.notes)?);
                }
            }
        }
        match next {
            None => return Ok(index),
            Some(n) if n > at => at = n,
            Some(_) => {
                let what = "the tables of the extended partition lead backwards";
                return Err(Error::new(Code::PartitionMap, what).at(offset));
            }
        }
    }
}

/// Apple's name of a type where it has one.
fn type_name(kind: u8) -> String {
    let name = match kind {
        0x01 => "DOS_FAT_12",
        0x04 | 0x06 | 0x0E => "DOS_FAT_16",
        0x0B | 0x0C => "DOS_FAT_32",
        0x07 => "Windows_NTFS", // exFAT has the same number
        0xA8 => "Apple_UFS",
        0xAB => "Apple_Boot",
        0xAF => "Apple_HFS",
        0xEF => "EFI",
        _ => return format!("MBR type {kind:#04x}"),
    };
    name.to_owned()
}
