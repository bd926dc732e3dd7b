//! GUID partition tables (UEFI specification §5.3).

use mip_base::bytes::{le_u16, le_u32, le_u64};
use mip_base::{Code, Error, Job, ReadAt as _, Result, Source, read_full_at};

use super::{Map, Partition, Scheme, check_count, overlap};
use crate::read_up_to_at;

const MAGIC: &[u8] = b"EFI PART";
/// Sector sizes that images come in, the usual one first.
const SECTORS: [u64; 3] = [512, 4096, 2048];
/// Fixed fields of the header, and so its smallest size.
const HEADER: u64 = 92;
/// Largest entry that is read; the format says 128 × 2ⁿ, and nobody uses more than 128.
const ENTRY_MAX: u64 = 4096;

struct Header {
    entries_at: u64,
    count: u64,
    entry_size: u64,
    entries_crc: u32,
}

fn bad(what: impl Into<String>) -> Error {
    Error::new(Code::PartitionMap, what)
}

/// The GPT of `disk`; `None` when there is no sign of one. `protective`: its MBR says that there
/// is one.
pub(super) fn read(disk: &Source, protective: bool, job: &Job) -> Result<Option<Map>> {
    let mut primary = None;
    for sector in SECTORS {
        if magic_at(disk, sector)? {
            primary = Some(sector);
            break;
        }
    }
    let first = match primary {
        Some(sector) => match copy(disk, sector, sector, job) {
            Ok(map) => return Ok(Some(map)),
            // Only damage is a reason to look at the other copy.
            Err(e) if e.code() != Code::PartitionMap => return Err(e),
            Err(e) => e,
        },
        None if protective => bad("the MBR announces a GPT, and there is none"),
        None => return Ok(None),
    };
    for sector in SECTORS {
        if primary.is_some_and(|p| p != sector) {
            continue;
        }
        let Some(at) = disk.size().checked_sub(sector) else { continue };
        if !at.is_multiple_of(sector) || !magic_at(disk, at)? {
            continue;
        }
        let mut map = copy(disk, sector, at, job).map_err(|second| {
            bad(format!(
                "both copies of the GPT are bad: {}; {}",
                first.message(),
                second.message()
            ))
        })?;
        map.notes.insert(0, format!("the GPT is read from its backup: {}", first.message()));
        return Ok(Some(map));
    }
    Err(first)
}

fn magic_at(disk: &Source, at: u64) -> Result<bool> {
    let mut magic = [0_u8; 8];
    let n = read_up_to_at(disk, at, &mut magic)?;
    Ok(magic.get(..n) == Some(MAGIC))
}

/// One copy of the GPT: the header at byte `at`, and its entries.
fn copy(disk: &Source, sector: u64, at: u64, job: &Job) -> Result<Map> {
    let header = header(disk, sector, at, job)?;
    check_count(header.count, job)?;
    let bytes = header.count.saturating_mul(header.entry_size);
    if header.entries_at.checked_add(bytes).is_none_or(|end| end > disk.size()) {
        return Err(bad("the entries of the GPT do not lie on the disk").at(header.entries_at));
    }
    let limit = job.limits().partitions.saturating_mul(ENTRY_MAX);
    let mut entries = job.buffer("GPT entries", bytes, limit)?;
    read_full_at(disk, header.entries_at, &mut entries, Code::PartitionMap)?;
    if crc32fast::hash(&entries) != header.entries_crc {
        return Err(bad("the checksum of the GPT entries is wrong").at(header.entries_at));
    }
    let size = usize::try_from(header.entry_size).unwrap_or(usize::MAX).max(1);
    let mut map = Map { scheme: Scheme::Gpt, partitions: Vec::new(), notes: Vec::new() };
    for (entry, index) in entries.chunks(size).zip(1_u32..) {
        job.check()?;
        if let Some(p) = partition(entry, index, sector)? {
            if p.end() > disk.size() {
                return Err(bad(format!(
                    "partition {index} ends at byte {}, but the disk has {} bytes",
                    p.end(),
                    disk.size()
                )));
            }
            map.partitions.push(p);
        }
    }
    if let Some((a, b)) = overlap(&map.partitions) {
        return Err(bad(format!("partitions {a} and {b} overlap")));
    }
    Ok(map)
}

fn header(disk: &Source, sector: u64, at: u64, job: &Job) -> Result<Header> {
    let mut block = job.buffer("GPT header", sector, 4096)?;
    read_full_at(disk, at, &mut block, Code::PartitionMap)?;
    let field = |o| le_u32(&block, o).ok_or_else(|| bad("the GPT header is cut").at(at));
    let long = |o| le_u64(&block, o).ok_or_else(|| bad("the GPT header is cut").at(at));
    if field(8)? != 0x0001_0000 {
        return Err(bad(format!("GPT revision {:#x} is not known", field(8)?)).at(at));
    }
    let size = u64::from(field(12)?);
    if !(HEADER..=sector).contains(&size) {
        return Err(bad(format!("the GPT header claims {size} bytes")).at(at));
    }
    let stored = field(16)?;
    let used = usize::try_from(size).unwrap_or(usize::MAX);
    let mut sum = crc32fast::Hasher::new();
    sum.update(block.get(..16).unwrap_or_default());
    sum.update(&[0; 4]); // the checksum itself counts as 0
    sum.update(block.get(20..used).unwrap_or_default());
    if sum.finalize() != stored {
        return Err(bad("the checksum of the GPT header is wrong").at(at));
    }
    if long(24)?.checked_mul(sector) != Some(at) {
        return Err(bad("the GPT header is not where it says it is").at(at));
    }
    let entry_size = u64::from(field(84)?);
    if !(128..=ENTRY_MAX).contains(&entry_size) || !entry_size.is_multiple_of(8) {
        return Err(bad(format!("GPT entries of {entry_size} bytes cannot be")).at(at));
    }
    let entries_at = long(72)?.checked_mul(sector);
    Ok(Header {
        entries_at: entries_at.ok_or_else(|| bad("the GPT entries are past all disks").at(at))?,
        count: u64::from(field(80)?),
        entry_size,
        entries_crc: field(88)?,
    })
}

/// One entry; `None` when it is not in use.
fn partition(entry: &[u8], index: u32, sector: u64) -> Result<Option<Partition>> {
    let kind = entry.get(..16).unwrap_or_default();
    if kind.iter().all(|b| *b == 0) {
        return Ok(None);
    }
    let (first, last) = (le_u64(entry, 32).unwrap_or(0), le_u64(entry, 40).unwrap_or(0));
    let range = || {
        let sectors = last.checked_sub(first)?.checked_add(1)?;
        let (start, size) = (first.checked_mul(sector)?, sectors.checked_mul(sector)?);
        start.checked_add(size)?;
        Some((start, size))
    };
    let (start, size) = range().ok_or_else(|| {
        bad(format!("partition {index} goes from sector {first} to sector {last}"))
    })?;
    let units: Vec<u16> = (0..36_usize)
        .map_while(|i| le_u16(entry, i.saturating_mul(2).saturating_add(56)))
        .take_while(|unit| *unit != 0)
        .collect();
    Ok(Some(Partition {
        index,
        name: String::from_utf16_lossy(&units),
        kind: type_name(kind),
        start,
        size,
    }))
}

/// Apple's name of a partition type where it has one, else the GUID.
fn type_name(raw: &[u8]) -> String {
    let guid = guid(raw);
    let name = match guid.as_str() {
        "48465300-0000-11AA-AA11-00306543ECAC" => "Apple_HFS",
        "7C3457EF-0000-11AA-AA11-00306543ECAC" => "Apple_APFS",
        "52637672-7900-11AA-AA11-00306543ECAC" => "Apple_APFS_Recovery",
        "69646961-6700-11AA-AA11-00306543ECAC" => "Apple_APFS_ISC",
        "426F6F74-0000-11AA-AA11-00306543ECAC" => "Apple_Boot",
        "53746F72-6167-11AA-AA11-00306543ECAC" => "Apple_CoreStorage",
        "55465300-0000-11AA-AA11-00306543ECAC" => "Apple_UFS",
        "4C616265-6C00-11AA-AA11-00306543ECAC" => "Apple_Label",
        "52414944-0000-11AA-AA11-00306543ECAC" => "Apple_RAID",
        "52414944-5F4F-11AA-AA11-00306543ECAC" => "Apple_RAID_Offline",
        "C12A7328-F81F-11D2-BA4B-00A0C93EC93B" => "EFI",
        "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7" => "Microsoft Basic Data",
        "E3C9E316-0B5C-4DB8-817D-F92DF00215AE" => "Microsoft Reserved",
        _ => return guid,
    };
    name.to_owned()
}

/// The text of a GUID: its first three fields are little-endian.
fn guid(raw: &[u8]) -> String {
    let (a, b, c) = (le_u32(raw, 0), le_u16(raw, 4), le_u16(raw, 6));
    let tail = mip_base::hex(raw.get(8..).unwrap_or_default()).to_uppercase();
    let (d, e) = tail.split_at_checked(4).unwrap_or_default();
    format!("{:08X}-{:04X}-{:04X}-{d}-{e}", a.unwrap_or(0), b.unwrap_or(0), c.unwrap_or(0))
}
