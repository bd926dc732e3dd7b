//! Block tables: the `blkx` resources, which begin with `mish`. A header of 204 bytes, then 40
//! bytes per chunk, big-endian (`BLKXTable`, `BLKXRun` of newosxbook.com/DMG.html).

use mip_base::bytes::{be_u32, be_u64};
use mip_base::{Code, Error, Job, Result, escape, len64};
use mip_codec::block::Codec;

use crate::koly::Checksum;
use crate::resources::Resource;
use crate::runs::{Kind, Run};

const HEADER: usize = 204;
const CHUNK: usize = 40;
const COMMENT: u32 = 0x7FFF_FFFE;
const TERMINATOR: u32 = 0xFFFF_FFFF;

/// One block table: a stretch of the disk, usually a partition or a part of its map.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Table {
    /// The name, for example `disk image (Apple_HFS : 4)`.
    pub name: String,
    /// The number of the resource.
    pub id: i64,
    /// The first sector on the disk.
    pub first_sector: u64,
    /// Length in sectors.
    pub sectors: u64,
    /// The CRC-32 of the decoded bytes without those of "ignore" chunks, where there is one.
    pub checksum: Option<u32>,
    /// The checksum field as stored.
    pub stored_checksum: Checksum,
    /// Chunks, without comments and terminator.
    pub chunks: u64,
    /// Where the table's chunks start among all runs.
    pub(crate) first_run: usize,
    /// Its place among the tables of the file.
    pub(crate) position: usize,
}

impl Table {
    /// The sector behind the last. Cannot overflow: it was checked.
    pub(crate) fn end(&self) -> u64 {
        self.first_sector.saturating_add(self.sectors)
    }
}

/// The first sector that a table says it has; what is no table is looked at later.
pub(crate) fn first_sector(table: &[u8]) -> u64 {
    be_u64(table, 8).unwrap_or(0)
}

/// The data fork and what a chunk may be.
pub(crate) struct Bounds {
    pub(crate) data_at: u64,
    pub(crate) data_len: u64,
    pub(crate) chunk: u64,
    pub(crate) chunks: u64,
}

/// Parses one table and appends its runs to `runs`. `stored` sums the stored bytes of all chunks.
pub(crate) fn read(
    resource: &Resource,
    bounds: &Bounds,
    runs: &mut Vec<Run>,
    stored: &mut u64,
    job: &Job,
) -> Result<Table> {
    let b = resource.data.as_slice();
    let name = resource.name.clone().unwrap_or_default();
    let within = |e: Error| e.within(format!("table {} \"{}\"", resource.id, escape(&name)));
    let bad = |why: String| within(Error::new(Code::DmgMish, why));
    let (Some(header), Some(body)) = (b.get(..HEADER), b.get(HEADER..)) else {
        return Err(bad(format!("a block table of {} bytes is cut", b.len())));
    };
    if !header.starts_with(b"mish") {
        return Err(bad("does not begin with mish".into()));
    }
    let wide = |at| be_u64(header, at).unwrap_or(0);
    let word = |at| be_u32(header, at).unwrap_or(0);
    if word(4) != 1 {
        let why = format!("a block table of version {}, not 1", word(4));
        return Err(within(Error::new(Code::Unsupported, why)));
    }
    let (first, sectors, data_offset, count) = (wide(8), wide(16), wide(24), word(200));
    let room = body.len() / CHUNK;
    if usize::try_from(count).map_or(true, |c| c > room) {
        return Err(bad(format!("{count} chunks, but room for {room}")));
    }
    if first.checked_add(sectors).is_none() {
        return Err(bad(format!("{sectors} sectors from {first} on are more than a disk has")));
    }
    let first_run = runs.len();
    let mut next = 0_u64;
    let mut ended = false;
    for (i, c) in body.chunks_exact(CHUNK).take(usize::try_from(count).unwrap_or(0)).enumerate() {
        if i & 0xFFF == 0 {
            job.check()?;
        }
        let bad = |why: String| bad(format!("chunk {i}: {why}"));
        let wide = |at| be_u64(c, at).unwrap_or(0);
        if ended {
            return Err(bad("follows the terminator".into()));
        }
        let kind = match be_u32(c, 0).unwrap_or(0) {
            TERMINATOR => {
                ended = true;
                continue;
            }
            COMMENT => continue,
            0 => Kind::Zero,
            1 => Kind::Raw,
            2 => Kind::Ignore,
            0x8000_0004 => Kind::Packed(Codec::Adc),
            0x8000_0005 => Kind::Packed(Codec::Zlib),
            0x8000_0006 => Kind::Packed(Codec::Bzip2),
            0x8000_0007 => Kind::Packed(Codec::Lzfse),
            0x8000_0008 => Kind::Packed(Codec::Xz),
            other => {
                let why = format!("chunk {i} is of the unknown type {other:#010x}");
                return Err(within(Error::new(Code::Unsupported, why)));
            }
        };
        let (start, len) = (wide(8), wide(16));
        let (offset, packed) = (wide(24), wide(32));
        let end = start.checked_add(len).filter(|e| *e <= sectors);
        let Some(end) = end else {
            return Err(bad(format!("{len} sectors from {start} on leave a table of {sectors}")));
        };
        if len == 0 {
            continue;
        }
        if start != next {
            let what = if start < next { "overlaps the chunk before" } else { "leaves a gap" };
            return Err(bad(format!("starts at sector {start}, not {next}: it {what}")));
        }
        next = end;
        let run = Run::new(first.saturating_add(start), len, kind);
        let run = match kind {
            Kind::Zero | Kind::Ignore => run,
            Kind::Raw | Kind::Packed(_) => {
                let at = data_offset.checked_add(offset);
                let inside = at.and_then(|a| a.checked_add(packed));
                let (Some(at), true) = (at, inside.is_some_and(|e| e <= bounds.data_len)) else {
                    let why = format!(
                        "{packed} bytes at byte {offset} leave a data fork of {} bytes",
                        bounds.data_len
                    );
                    return Err(within(Error::new(Code::DmgChunk, format!("chunk {i}: {why}"))));
                };
                // Each byte may be used several times by small duplicates, not to multiply a file.
                *stored = stored.saturating_add(packed);
                if *stored > bounds.data_len.saturating_mul(8) {
                    return Err(bad("the chunks use the same bytes over and over".into()));
                }
                stored_run(run, at.saturating_add(bounds.data_at), packed, bounds)
                    .map_err(|e| within(e.within(format!("chunk {i}"))))?
            }
        };
        if len64(runs.len()) >= bounds.chunks {
            let found = bounds.chunks.saturating_add(1);
            return Err(Error::limit(Code::Limit, "image-chunks", bounds.chunks, found));
        }
        runs.push(run);
    }
    if !ended {
        return Err(bad("has no terminator".into()));
    }
    if next != sectors {
        return Err(bad(format!("chunks for {next} of {sectors} sectors")));
    }
    let stored_checksum = Checksum::read(header, 64).unwrap_or(Checksum::NONE);
    Ok(Table {
        name,
        id: resource.id,
        first_sector: first,
        sectors,
        checksum: stored_checksum.crc32(),
        stored_checksum,
        chunks: len64(runs.len().saturating_sub(first_run)),
        first_run,
        position: 0,
    })
}

/// Checks the sizes of a chunk that has bytes.
fn stored_run(run: Run, at: u64, packed: u64, bounds: &Bounds) -> Result<Run> {
    let size = run.len();
    if run.kind == Kind::Raw {
        if packed != size {
            let why = format!("raw data of {packed} bytes for {size}");
            return Err(Error::new(Code::DmgChunkSize, why));
        }
        return Ok(run.at(at, 0));
    }
    if size > bounds.chunk {
        return Err(Error::limit(Code::Limit, "image-chunk", bounds.chunk, size));
    }
    // No codec makes data much longer; what a codec leaves unread is not worth its memory.
    let most = bounds.chunk.saturating_mul(2);
    let packed32 = u32::try_from(packed).ok().filter(|_| packed <= most);
    packed32
        .map(|p| run.at(at, p))
        .ok_or_else(|| Error::limit(Code::Limit, "stored bytes of an image chunk", most, packed))
}
