//! The container superblock and the checkpoint that is read ("Container", "Mounting").

use mip_base::bytes::{le_u32, le_u64, slice};
use mip_base::{Code, Error, Job, ReadAt as _, Result, Source, len64, read_full_at};

use crate::object::{Device, Header, checksum_ok, kind};

const MAGIC: &[u8] = b"NXSB";
/// Blocks of a descriptor area that are looked at; Apple's own areas have some hundreds.
const MAX_DESCRIPTORS: u32 = 16_384;
/// The format itself has room for so many volumes.
const MAX_VOLUMES: u32 = 100;

const FUSION: u64 = 0x100;
/// `NX_INCOMPAT_VERSION1` and `NX_INCOMPAT_VERSION2`.
const KNOWN_INCOMPATIBLE: u64 = 1 | 2;
/// `NX_CRYPTO_SW`: keys are in the container, not in the machine.
const CRYPTO_SW: u64 = 4;

/// `nx_superblock_t` of the newest good checkpoint.
#[derive(Debug, Clone)]
pub(crate) struct Superblock {
    pub(crate) xid: u64,
    pub(crate) omap: u64,
    pub(crate) uuid: [u8; 16],
    /// Object identifiers of the volumes, by slot; 0 is an empty slot.
    pub(crate) volumes: Vec<u64>,
    /// First block and blocks of the keybag.
    pub(crate) keybag: (u64, u64),
    pub(crate) software_keys: bool,
}

fn bad(what: impl Into<String>) -> Error {
    Error::new(Code::ApfsContainer, what)
}

/// Reads block 0 and finds the newest checkpoint whose superblock and maps are good. One
/// older checkpoint is tried when that is damaged; a note says so.
pub(crate) fn read(
    source: Source,
    notes: &mut Vec<String>,
    job: &Job,
) -> Result<(Device, Superblock)> {
    let mut head = [0; 48];
    if source.size() < 4096 {
        return Err(bad(format!("{} bytes are too few for an APFS container", source.size())));
    }
    read_full_at(&*source, 0, &mut head, Code::Truncated)?;
    if slice(&head, 32, 4) != Some(MAGIC) {
        return Err(bad("block 0 is not an APFS container superblock (no NXSB)"));
    }
    let block_size = le_u32(&head, 36).unwrap_or(0);
    if !(4096..=65536).contains(&block_size) || !block_size.is_power_of_two() {
        return Err(bad(format!("a container has blocks of {block_size} bytes")).at(36));
    }
    let block_count = le_u64(&head, 40).unwrap_or(0);
    let device = Device { source, block_size, block_count };
    let (header, first) = device.object(0, job)?;
    if header.kind != kind::NX_SUPERBLOCK {
        return Err(bad(format!("block 0 has object type {}, not a superblock's", header.kind)));
    }
    let bytes = block_count.saturating_mul(u64::from(block_size));
    if bytes > device.source.size() {
        notes.push(format!(
            "the container is cut: {bytes} bytes by its superblock, {} are there",
            device.source.size()
        ));
    }
    // What the medium is, before a damaged checkpoint can hide it.
    refuse_unknown(&first)?;
    let ring = Ring::of(&first)?;
    let mut found = ring.superblocks(&device, job)?;
    // Newest first; of two with one number the later in the ring.
    found.sort_by_key(|(xid, index)| std::cmp::Reverse((*xid, *index)));
    let mut failure = None;
    for (xid, index) in found.iter().take(2) {
        match ring.checkpoint(&device, *index, job) {
            Ok(block) => {
                if failure.is_some() {
                    notes.push(format!(
                        "the newest checkpoint is damaged; checkpoint {xid} before it is read"
                    ));
                }
                return Ok((device, parse(&block, job)?));
            }
            Err(e) if matches!(e.code(), Code::ApfsChecksum | Code::ApfsContainer) => {
                failure.get_or_insert(e);
            }
            Err(e) => return Err(e),
        }
    }
    let why = failure.map_or_else(|| "there is none".to_owned(), |e| e.message().to_owned());
    Err(bad(format!("no checkpoint of the container is good: {why}")))
}

/// The checkpoint descriptor area: a ring of checkpoint maps and superblocks.
struct Ring {
    base: u64,
    blocks: u32,
}

impl Ring {
    fn of(superblock: &[u8]) -> Result<Self> {
        let blocks = le_u32(superblock, 0x68).unwrap_or(0);
        let base = le_u64(superblock, 0x70).unwrap_or(0);
        if blocks & 0x8000_0000 != 0 {
            return Err(Error::new(
                Code::Unsupported,
                "an APFS container with a scattered checkpoint area is not supported",
            ));
        }
        if blocks == 0 || blocks > MAX_DESCRIPTORS {
            return Err(bad(format!("a checkpoint area of {blocks} blocks")).at(0x68));
        }
        Ok(Self { base, blocks })
    }

    fn block(&self, index: u32) -> u64 {
        self.base.saturating_add(index.into())
    }

    /// Transaction and index of all that look like superblocks.
    fn superblocks(&self, device: &Device, job: &Job) -> Result<Vec<(u64, u32)>> {
        if device.position(self.base, self.blocks.into()).is_none() {
            return Err(bad(format!(
                "the checkpoint area (block {}, {} blocks) leaves the container",
                self.base, self.blocks
            )));
        }
        let mut found = Vec::new();
        for index in 0..self.blocks {
            job.check()?;
            let at = device.shown(self.block(index));
            let mut head = [0; 36];
            read_full_at(&*device.source, at, &mut head, Code::Truncated)?;
            if slice(&head, 32, 4) == Some(MAGIC)
                && let Some(h) = Header::parse(&head)
                && h.kind == kind::NX_SUPERBLOCK
            {
                found.push((h.xid, index));
            }
        }
        Ok(found)
    }

    /// The superblock at `index`, when it and the maps of its checkpoint are good.
    fn checkpoint(&self, device: &Device, index: u32, job: &Job) -> Result<Vec<u8>> {
        let (header, block) = device.object(self.block(index), job)?;
        let size = le_u32(&block, 36).unwrap_or(0);
        let count = le_u64(&block, 40).unwrap_or(0);
        if size != device.block_size || count != device.block_count {
            return Err(bad(format!(
                "the superblock of checkpoint {} says {count} blocks of {size} bytes, block 0 {} of {}",
                header.xid, device.block_count, device.block_size
            )));
        }
        let start = le_u32(&block, 0x88).unwrap_or(u32::MAX);
        let len = le_u32(&block, 0x8c).unwrap_or(0);
        if start >= self.blocks || len < 2 || len > self.blocks {
            return Err(bad(format!(
                "checkpoint {} is at {start}, {len} blocks, in an area of {}",
                header.xid, self.blocks
            )));
        }
        // The last block of a checkpoint is its superblock, the others are its maps.
        for i in 0..len {
            let at = start.saturating_add(i).checked_rem(self.blocks).unwrap_or(0);
            if at == index {
                return Ok(block);
            }
            let data = device.raw(self.block(at), job)?;
            let map = Header::parse(&data)
                .is_some_and(|h| h.kind == kind::CHECKPOINT_MAP && h.xid == header.xid);
            if !map || !checksum_ok(&data) {
                return Err(bad(format!("a map of checkpoint {} is damaged", header.xid)));
            }
        }
        Err(bad(format!("checkpoint {} does not end in its superblock", header.xid)))
    }
}

/// Refuses by name what a reader must not guess at.
fn refuse_unknown(block: &[u8]) -> Result<()> {
    let features = le_u64(block, 0x40).unwrap_or(0);
    let fusion = slice(block, 0x500, 16).is_some_and(|id| id.iter().any(|b| *b != 0));
    if features & FUSION != 0 || fusion {
        return Err(Error::new(
            Code::Unsupported,
            "Fusion drives (one APFS container on two devices) are not supported",
        ));
    }
    let unknown = features & !KNOWN_INCOMPATIBLE;
    if unknown != 0 {
        return Err(Error::new(
            Code::Unsupported,
            format!("the APFS container has the unknown incompatible features {unknown:#x}"),
        ));
    }
    if features & 2 == 0 {
        return Err(Error::new(
            Code::Unsupported,
            "APFS containers of the first version (macOS 10.12 beta) are not supported",
        ));
    }
    Ok(())
}

fn parse(block: &[u8], job: &Job) -> Result<Superblock> {
    refuse_unknown(block)?;
    let short = || bad("the container superblock is too short");
    let u64_at = |at| le_u64(block, at).ok_or_else(short);
    let slots = le_u32(block, 0xb4).ok_or_else(short)?;
    if slots > MAX_VOLUMES {
        let (limit, value) = (MAX_VOLUMES.into(), slots.into());
        return Err(Error::limit(Code::Limit, "volumes of an APFS container", limit, value));
    }
    let mut volumes = Vec::new();
    for slot in 0..usize::try_from(slots).unwrap_or(0) {
        volumes.push(u64_at(0xb8_usize.saturating_add(slot.saturating_mul(8)))?);
    }
    let used = len64(volumes.iter().filter(|oid| **oid != 0).count());
    if used > job.limits().apfs_volumes {
        let limit = job.limits().apfs_volumes;
        return Err(Error::limit(Code::Limit, "volumes of an APFS container", limit, used));
    }
    let mut uuid = [0; 16];
    uuid.copy_from_slice(slice(block, 0x48, 16).ok_or_else(short)?);
    Ok(Superblock {
        xid: u64_at(16)?,
        omap: u64_at(0xa0)?,
        uuid,
        volumes,
        keybag: (u64_at(0x510)?, u64_at(0x518)?),
        software_keys: u64_at(0x4f0)? & CRYPTO_SW != 0,
    })
}
