//! Apple Partition Maps (Inside Macintosh: Devices, chapter 3).

use mip_base::bytes::{be_u16, be_u32};
use mip_base::{Code, Error, Job, ReadAt as _, Result, Source, read_full_at};

use super::{Map, Partition, Scheme, check_count, fit, overlap};
use crate::read_up_to_at;

/// Size of an entry's fixed fields; the rest of its block is not used.
const ENTRY: usize = 512;
/// Block size of a map whose disk has no driver descriptor, and of most that have one.
const BLOCK: u64 = 512;

/// The APM of `disk`; `None` when there is none. `sector`: the first 512 bytes.
pub(super) fn read(disk: &Source, sector: &[u8], job: &Job) -> Result<Option<Map>> {
    let driver_map = sector.get(..2) == Some(b"ER".as_slice());
    let named = be_u16(sector, 2).map(u64::from).filter(|_| driver_map);
    // Hybrid discs say 2048 in the driver descriptor and count the map in blocks of 512.
    let mut blocks = Vec::from_iter(named.filter(|b| matches!(b, 1024 | 2048 | 4096)));
    blocks.push(BLOCK);
    for block in blocks {
        let mut magic = [0_u8; 2];
        let n = read_up_to_at(disk, block, &mut magic)?;
        if n == 2 && &magic == b"PM" {
            return map(disk, block, job).map(Some);
        }
    }
    Ok(None)
}

fn map(disk: &Source, block: u64, job: &Job) -> Result<Map> {
    let mut map = Map { scheme: Scheme::Apm, partitions: Vec::new(), notes: Vec::new() };
    let mut count = 1_u32;
    let mut index = 1_u32;
    // Every entry repeats the number of entries; the first one counts.
    while index <= count {
        job.check()?;
        let at = u64::from(index).saturating_mul(block);
        let mut entry = [0_u8; ENTRY];
        read_full_at(disk, at, &mut entry, Code::PartitionMap)?;
        if entry.get(..2) != Some(b"PM".as_slice()) {
            let what = format!("entry {index} of {count} of the partition map has no PM signature");
            return Err(Error::new(Code::PartitionMap, what).at(at));
        }
        let claimed = be_u32(&entry, 4).unwrap_or(0);
        if index == 1 {
            check_count(u64::from(claimed), job)?;
            if claimed == 0 {
                let what = "the partition map says that it has no entries";
                return Err(Error::new(Code::PartitionMap, what).at(at));
            }
            count = claimed;
        } else if claimed != count {
            map.notes.push(format!(
                "entry {index} of the partition map says {claimed} entries, the first {count}"
            ));
        }
        let (first, blocks) = (be_u32(&entry, 8).unwrap_or(0), be_u32(&entry, 12).unwrap_or(0));
        let p = Partition {
            index,
            name: text(entry.get(16..48)),
            kind: text(entry.get(48..80)),
            // 32 bits times at most 4096: cannot overflow.
            start: u64::from(first).saturating_mul(block),
            size: u64::from(blocks).saturating_mul(block),
        };
        if p.size == 0 {
            // An empty entry holds nothing to read.
        } else if p.kind == "Apple_Free" && p.start >= disk.size() {
            map.notes.push(format!("partition {index} is free space past the end of the disk"));
        } else {
            map.partitions.push(fit(p, disk.size(), &mut map.notes)?);
        }
        index = index.saturating_add(1);
    }
    // Hybrid discs describe the same bytes twice, on purpose; each partition is read by itself.
    if let Some((a, b)) = overlap(&map.partitions) {
        map.notes.push(format!("partitions {a} and {b} overlap"));
    }
    Ok(map)
}

/// Text that ends at the first NUL.
fn text(field: Option<&[u8]>) -> String {
    let raw = field.unwrap_or_default().split(|b| *b == 0).next().unwrap_or_default();
    String::from_utf8_lossy(raw).into_owned()
}
