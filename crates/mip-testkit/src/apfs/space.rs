//! The ephemeral objects of a checkpoint: space manager, its free queues, reaper. No reader of
//! files needs them; with them `apfsck` checks the whole container.

use super::btree::{Shape, flag};
use super::object::{Block, Disk, EPHEMERAL, PHYSICAL, kind, usize_of};

/// Copies of the bitmap of the internal pool.
const POOL_BITMAPS: u64 = 16;
/// `sizeof(cib_phys)` before its entries, and of an entry.
const CIB: (usize, usize) = (40, 32);

/// Where the space manager keeps its own blocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pool {
    bitmaps: u64,
    base: u64,
    chunks: u64,
    cibs: u64,
}

impl Pool {
    /// Allocates the pool at the end of the disk, which gets `free` more blocks.
    pub(super) fn allocate(disk: &mut Disk, free: u64) -> Self {
        let per_chunk = disk.block_size as u64 * 8;
        let per_cib = ((disk.block_size - CIB.0) / CIB.1) as u64;
        let mut chunks = 1;
        loop {
            let cibs = u64::div_ceil(chunks, per_cib);
            let blocks = disk.blocks() + POOL_BITMAPS + 3 * (chunks + cibs) + free;
            if blocks <= chunks * per_chunk {
                let bitmaps = disk.allocate(POOL_BITMAPS);
                let base = disk.allocate(3 * (chunks + cibs));
                disk.allocate(free);
                if free > 0 {
                    disk.used.pop();
                }
                return Self { bitmaps, base, chunks, cibs };
            }
            chunks += 1;
        }
    }

    /// The blocks that are in use by the pool.
    fn used(self) -> [std::ops::Range<u64>; 2] {
        [
            self.bitmaps..self.bitmaps + POOL_BITMAPS,
            self.base..self.base + 3 * (self.chunks + self.cibs),
        ]
    }
}

/// Object ids of the ephemeral objects of every checkpoint.
pub(super) const SPACEMAN: u64 = 0x400;
pub(super) const REAPER: u64 = 0x401;
const POOL_QUEUE: u64 = 0x402;
const MAIN_QUEUE: u64 = 0x403;
/// The next id after them.
pub(super) const NEXT: u64 = 0x404;

/// An ephemeral object: id, type, subtype, content.
pub(super) type Ephemeral = (u64, u32, u32, Vec<u8>);

/// Most nodes of the main free queue: as `mkapfs` has it and `apfsck` expects it.
fn main_queue_limit(blocks: u64) -> u64 {
    1 + (blocks - 1) / 4544
}

/// Writes chunk bitmaps and their index, and returns the ephemeral objects of this checkpoint.
pub(super) fn write(
    disk: &mut Disk,
    xid: u64,
    pool: Pool,
    used: &[std::ops::Range<u64>],
) -> Vec<Ephemeral> {
    let size = disk.block_size;
    let blocks = disk.blocks();
    let per_chunk = size as u64 * 8;
    let per_cib = ((size - CIB.0) / CIB.1) as u64;
    let mut map = vec![false; usize_of(pool.chunks * per_chunk)];
    for range in used.iter().chain(&pool.used()) {
        for block in range.clone() {
            map[usize_of(block)] = true;
        }
    }

    // Index blocks first, then a bitmap for each chunk that has something in use.
    let mut next = pool.base + pool.cibs;
    let mut free_total = 0;
    let mut chunk = 0;
    for index in 0..pool.cibs {
        let block = pool.base + index;
        let here = per_cib.min(pool.chunks - chunk);
        let mut b = Block::object(size, block, xid, PHYSICAL | kind::SPACEMAN_CIB, 0);
        b.u32(32, small(index));
        b.u32(36, small(here));
        for i in 0..here {
            let first = chunk * per_chunk;
            let count = per_chunk.min(blocks - first);
            let bits = &map[usize_of(first)..usize_of(first + count)];
            let in_use = bits.iter().filter(|b| **b).count() as u64;
            let bitmap = if in_use > 0 {
                let mut bytes = vec![0u8; size];
                for (n, _) in bits.iter().enumerate().filter(|(_, b)| **b) {
                    bytes[n / 8] |= 1 << (n % 8);
                }
                disk.write(next, &bytes);
                next += 1;
                next - 1
            } else {
                0
            };
            let at = CIB.0 + usize_of(i) * CIB.1;
            b.u64(at, xid);
            b.u64(at + 8, first);
            b.u32(at + 16, small(count));
            b.u32(at + 20, small(count - in_use));
            b.u64(at + 24, bitmap);
            free_total += count - in_use;
            chunk += 1;
        }
        let bytes = b.sealed();
        disk.write(block, &bytes);
    }
    // The pool's own bitmap.
    let mut bytes = vec![0u8; size];
    for n in 0..usize_of(next - pool.base) {
        bytes[n / 8] |= 1 << (n % 8);
    }
    disk.write(pool.bitmaps, &bytes);

    let mut b = Block::object(size, SPACEMAN, xid, EPHEMERAL | kind::SPACEMAN, 0);
    b.u32(32, small(size as u64));
    b.u32(36, small(per_chunk));
    b.u32(40, small(per_cib));
    b.u32(44, small(((size - 40) / 8) as u64));
    b.u64(48, blocks);
    b.u64(56, pool.chunks);
    b.u32(64, small(pool.cibs));
    b.u64(72, free_total);
    let addresses = 384;
    b.u32(80, addresses);
    b.u32(128, addresses + 8 * small(pool.cibs));
    b.u32(148, 16);
    b.u64(152, 3 * (pool.chunks + pool.cibs));
    b.u32(160, 1);
    b.u32(164, small(POOL_BITMAPS));
    b.u64(168, pool.bitmaps);
    b.u64(176, pool.base);
    b.u64(208, POOL_QUEUE);
    b.u16(224, 1);
    b.u64(248, MAIN_QUEUE);
    b.u16(264, u16::try_from(main_queue_limit(blocks)).expect("a small container"));
    // The ring of the pool's bitmap: the first of the 16 is in use.
    b.u16(320, 1);
    b.u16(322, 15);
    b.u32(324, 0x150);
    b.u32(328, 0x158);
    b.u32(332, 0x160);
    b.u32(336, 1);
    b.u64(0x150, xid);
    for i in 0..16usize {
        let next =
            if matches!(i, 0 | 15) { u16::MAX } else { u16::try_from(i + 1).expect("≤ 16") };
        b.u16(0x160 + 2 * i, next);
    }
    for i in 0..pool.cibs {
        b.u64(usize_of(u64::from(addresses) + 8 * i), pool.base + i);
    }
    let spaceman = b.sealed();

    let mut b = Block::object(size, REAPER, xid, EPHEMERAL | kind::NX_REAPER, 0);
    b.u64(32, 1);
    b.u32(64, 1);
    b.u32(108, small(size as u64 - 112));
    let reaper = b.sealed();

    let shape = Shape {
        subtype: kind::SPACEMAN_FREE_QUEUE,
        flags: flag::ALLOW_GHOSTS | flag::EPHEMERAL,
        fixed: Some((16, 8)),
        node_records: usize::MAX,
    };
    let tree = EPHEMERAL | kind::BTREE;
    let queue = |oid| super::btree::lone_root(size, oid, xid, shape);
    vec![
        (REAPER, EPHEMERAL | kind::NX_REAPER, 0, reaper),
        (SPACEMAN, EPHEMERAL | kind::SPACEMAN, 0, spaceman),
        (POOL_QUEUE, tree, kind::SPACEMAN_FREE_QUEUE, queue(POOL_QUEUE)),
        (MAIN_QUEUE, tree, kind::SPACEMAN_FREE_QUEUE, queue(MAIN_QUEUE)),
    ]
}

fn small(n: u64) -> u32 {
    u32::try_from(n).expect("a small number")
}
