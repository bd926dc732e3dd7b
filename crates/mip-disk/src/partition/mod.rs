//! Partition maps: GPT, Apple Partition Map (APM), MBR, or none.
//!
//! A disk may carry several maps. The order is: a GPT that holds, then an APM, then an MBR. A bad
//! GPT is an error, unless there is an APM.
//! A hybrid disc that has an APM beside ISO 9660 is read by its APM. What a FAT, exFAT or NTFS
//! volume has in its first sector looks like an MBR and is not taken for one.

mod apm;
mod gpt;
mod mbr;

use mip_base::{Code, Error, Job, Result, Section, Source};

use crate::read_up_to_at;

/// Which kind of map a disk has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// GUID partition table.
    Gpt,
    /// Apple Partition Map.
    Apm,
    /// Master boot record.
    Mbr,
    /// No map: the whole disk is one volume.
    None,
}

impl Scheme {
    /// The usual name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Scheme::Gpt => "GPT",
            Scheme::Apm => "APM",
            Scheme::Mbr => "MBR",
            Scheme::None => "none",
        }
    }
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Partition {
    /// Its number in the map, from 1 (1 for a disk without a map).
    pub index: u32,
    /// Its name in the map; empty where the map has no names. Not escaped.
    pub name: String,
    /// What the map says it holds: Apple's name (`Apple_HFS`, `Apple_APFS`, `DOS_FAT_32`, …)
    /// where there is one, else the type GUID in upper case or `MBR type 0x83`; empty without a
    /// map. For an APM this is text from the file, not escaped.
    pub kind: String,
    /// First byte on the disk.
    pub start: u64,
    /// Bytes.
    pub size: u64,
}

impl Partition {
    /// The bytes of the partition. `disk` is the source that the map was read from.
    ///
    /// # Errors
    /// [`Code::PartitionMap`] when it does not lie on `disk`.
    pub fn section(&self, disk: &Source) -> Result<Section> {
        Section::new(disk.clone(), self.start, self.size).ok_or_else(|| {
            Error::new(
                Code::PartitionMap,
                format!("partition {} does not lie on the disk", self.index),
            )
            .at(self.start)
        })
    }

    fn end(&self) -> u64 {
        self.start.saturating_add(self.size)
    }
}

/// What a disk's partition map says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Map {
    /// Which map was read.
    pub scheme: Scheme,
    /// The partitions in the order of the map, free space and drivers included. None is empty,
    /// and each lies on the disk. Without a map: one that is the whole disk.
    pub partitions: Vec<Partition>,
    /// Deviations that were tolerated, in words.
    pub notes: Vec<String>,
}

/// Reads the partition map of `disk`.
///
/// Sources: UEFI specification 2.10 §5 (MBR and GPT), Apple's Inside Macintosh: Devices (driver
/// descriptor `ER`, partition map entry `PM`).
///
/// # Errors
/// [`Code::PartitionMap`] when there is a map, and it cannot be: bad checksums in both copies of
/// a GPT, a protective MBR without a GPT, partitions outside the disk, overlaps in a GPT.
/// [`Code::LimitEntries`] when it has more entries than
/// [`Limits::partitions`](mip_base::Limits::partitions). What reading `disk` reports.
pub fn read(disk: &Source, job: &Job) -> Result<Map> {
    job.check()?;
    let mut head = [0_u8; 512];
    let n = read_up_to_at(disk, 0, &mut head)?;
    let sector = head.get(..n).unwrap_or_default();
    let table = mbr::table(sector);
    let bad_gpt = match gpt::read(disk, mbr::protective(&table), job) {
        Ok(Some(map)) => return Ok(map),
        Ok(None) => None,
        Err(e) if e.code() == Code::PartitionMap => Some(e),
        Err(e) => return Err(e),
    };
    if let Some(mut map) = apm::read(disk, sector, job)? {
        // Hybrid discs carry both, and tools that copy them leave the GPT behind.
        map.notes.extend(bad_gpt.map(|e| format!("the GPT is not used: {}", e.message())));
        return Ok(map);
    }
    if let Some(e) = bad_gpt {
        return Err(e);
    }
    if let Some(map) = mbr::read(disk, &table, job)? {
        return Ok(map);
    }
    let whole = Partition {
        index: 1,
        name: String::new(),
        kind: String::new(),
        start: 0,
        size: disk.size(),
    };
    Ok(Map { scheme: Scheme::None, partitions: vec![whole], notes: Vec::new() })
}

/// Refuses more entries than the job allows, before any of them is read.
fn check_count(count: u64, job: &Job) -> Result<()> {
    let limit = job.limits().partitions;
    if count > limit {
        return Err(Error::limit(Code::LimitEntries, "partition map entries", limit, count)
            .hint("if the input is trusted, raise --limit partitions"));
    }
    Ok(())
}

/// The first two partitions that share bytes, by start.
fn overlap(partitions: &[Partition]) -> Option<(u32, u32)> {
    let mut order: Vec<&Partition> = partitions.iter().collect();
    order.sort_by_key(|p| (p.start, p.size));
    order.windows(2).find_map(|pair| match pair {
        [a, b] if a.end() > b.start => Some((a.index, b.index)),
        _ => None,
    })
}

/// Puts a partition of a map without checksums on the disk: one that starts past the end is an
/// error, one that ends past it is cut with a note (hybrid discs and images that were shortened
/// have those; the file system inside knows its own size).
fn fit(mut p: Partition, disk: u64, notes: &mut Vec<String>) -> Result<Partition> {
    if p.start >= disk {
        return Err(Error::new(
            Code::PartitionMap,
            format!(
                "partition {} starts at byte {}, but the disk has {disk} bytes",
                p.index, p.start
            ),
        ));
    }
    let room = disk.saturating_sub(p.start);
    if p.size > room {
        notes.push(format!(
            "partition {} ends {} bytes past the end of the disk",
            p.index,
            p.size.saturating_sub(room)
        ));
        p.size = room;
    }
    Ok(p)
}
