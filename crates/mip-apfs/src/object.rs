//! Blocks, object headers and their checksum ("Objects" in Apple's reference).

use mip_base::bytes::{le_u32, le_u64};
use mip_base::{Code, Error, Job, ReadAt as _, Result, Source, read_full_at};

/// Bytes of `obj_phys_t`, the header of every object.
pub(crate) const HEADER: usize = 32;

/// Values of the low 16 bits of `o_type` and of `o_subtype`.
pub(crate) mod kind {
    pub(crate) const NX_SUPERBLOCK: u32 = 1;
    pub(crate) const BTREE: u32 = 2;
    pub(crate) const BTREE_NODE: u32 = 3;
    pub(crate) const OMAP: u32 = 0x0b;
    pub(crate) const CHECKPOINT_MAP: u32 = 0x0c;
    pub(crate) const FS: u32 = 0x0d;
    pub(crate) const FSTREE: u32 = 0x0e;
    /// `OBJ_PHYSICAL` in the high bits: the object identifier is a block number.
    pub(crate) const PHYSICAL: u32 = 0x4000_0000;
    /// The bits of the type proper.
    pub(crate) const MASK: u32 = 0xffff;
}

/// The header of an object whose checksum was right.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    pub(crate) oid: u64,
    pub(crate) xid: u64,
    /// `o_type` without its flags.
    pub(crate) kind: u32,
    pub(crate) subtype: u32,
}

impl Header {
    pub(crate) fn parse(block: &[u8]) -> Option<Self> {
        Some(Self {
            oid: le_u64(block, 8)?,
            xid: le_u64(block, 16)?,
            kind: le_u32(block, 24)? & kind::MASK,
            subtype: le_u32(block, 28)?,
        })
    }
}

/// The checksum of an object: Fletcher-64 over all 32-bit words behind the checksum itself,
/// stored so that the sum over the whole block is zero. Blocks are whole words.
pub(crate) fn fletcher64(block: &[u8]) -> u64 {
    const M: u64 = 0xffff_ffff;
    let (mut a, mut b) = (0_u64, 0_u64);
    // 1024 words keep both sums far below 2^64, so the remainder is taken once per chunk.
    for chunk in block.get(8..).unwrap_or_default().chunks(4096) {
        let (words, _) = chunk.as_chunks::<4>();
        for w in words {
            a = a.wrapping_add(u64::from(u32::from_le_bytes(*w)));
            b = b.wrapping_add(a);
        }
        a = a.checked_rem(M).unwrap_or(0);
        b = b.checked_rem(M).unwrap_or(0);
    }
    let low = M.wrapping_sub(a.wrapping_add(b).checked_rem(M).unwrap_or(0));
    let high = M.wrapping_sub(a.wrapping_add(low).checked_rem(M).unwrap_or(0));
    high.wrapping_shl(32) | low
}

/// Whether the block's stored checksum is its own.
pub(crate) fn checksum_ok(block: &[u8]) -> bool {
    le_u64(block, 0) == Some(fletcher64(block))
}

/// The blocks of a container.
#[derive(Clone)]
pub(crate) struct Device {
    pub(crate) source: Source,
    /// Bytes of a block, a power of two from 4096 to 65536.
    pub(crate) block_size: u32,
    /// Blocks of the container, as its superblock says.
    pub(crate) block_count: u64,
}

impl Device {
    /// The position of `block` in bytes, when `count` blocks from there lie in the container.
    pub(crate) fn position(&self, block: u64, count: u64) -> Option<u64> {
        let end = block.checked_add(count)?;
        (end <= self.block_count).then_some(())?;
        let last = end.checked_mul(u64::from(self.block_size))?;
        (last <= self.source.size()).then_some(())?;
        block.checked_mul(u64::from(self.block_size))
    }

    /// One block, unchecked.
    pub(crate) fn raw(&self, block: u64, job: &Job) -> Result<Vec<u8>> {
        job.check()?;
        let at = self.position(block, 1).ok_or_else(|| {
            Error::new(Code::ApfsObject, format!("block {block} is not in the container"))
        })?;
        let size = u64::from(self.block_size);
        let mut data = job.buffer("APFS block", size, size)?;
        read_full_at(&*self.source, at, &mut data, Code::Truncated)?;
        Ok(data)
    }

    /// The position of a block for an error message.
    pub(crate) fn shown(&self, block: u64) -> u64 {
        block.saturating_mul(u64::from(self.block_size))
    }

    /// The object in `block`, after its checksum.
    pub(crate) fn object(&self, block: u64, job: &Job) -> Result<(Header, Vec<u8>)> {
        let data = self.raw(block, job)?;
        let header = self.check(block, &data)?;
        Ok((header, data))
    }

    /// Checks the checksum of an object that was read from `block`.
    pub(crate) fn check(&self, block: u64, data: &[u8]) -> Result<Header> {
        if !checksum_ok(data) {
            return Err(Error::new(
                Code::ApfsChecksum,
                format!("the object in block {block} does not match its checksum"),
            )
            .at(self.shown(block)));
        }
        Header::parse(data).ok_or_else(|| Error::new(Code::ApfsObject, "an object has no header"))
    }
}

/// Bytes up to the first NUL as text for people; what is not UTF-8 is replaced.
pub(crate) fn text(field: &[u8]) -> String {
    let end = field.iter().position(|b| *b == 0).unwrap_or(field.len());
    String::from_utf8_lossy(field.get(..end).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sum as the reference words it: two running sums, one remainder per word.
    fn slow(block: &[u8]) -> u64 {
        let (mut a, mut b) = (0_u64, 0_u64);
        for w in block[8..].chunks(4) {
            a = (a + u64::from(u32::from_le_bytes(w.try_into().unwrap()))) % 0xffff_ffff;
            b = (b + a) % 0xffff_ffff;
        }
        let low = 0xffff_ffff - ((a + b) % 0xffff_ffff);
        let high = 0xffff_ffff - ((a + low) % 0xffff_ffff);
        high << 32 | low
    }

    #[test]
    fn the_checksum_is_the_plain_sum() {
        let mut x = 1_u32;
        for size in [4096, 8192, 65536] {
            let block: Vec<u8> = (0..size)
                .map(|_| {
                    x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (x >> 24) as u8
                })
                .collect();
            assert_eq!(fletcher64(&block), slow(&block));
            assert_eq!(fletcher64(&vec![0xff; size]), slow(&vec![0xff; size]));
        }
    }
}
