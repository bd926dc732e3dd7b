//! Blocks, the object header, and its checksum.

/// Bytes of `obj_phys_t`: checksum, object id, transaction id, type, subtype.
pub(super) const HEADER: usize = 32;

/// Storage class "ephemeral" (`OBJ_EPHEMERAL`).
pub(super) const EPHEMERAL: u32 = 0x8000_0000;
/// Storage class "physical" (`OBJ_PHYSICAL`).
pub(super) const PHYSICAL: u32 = 0x4000_0000;

/// `OBJECT_TYPE_*`.
pub(super) mod kind {
    pub(crate) const NX_SUPERBLOCK: u32 = 1;
    pub(crate) const BTREE: u32 = 2;
    pub(crate) const BTREE_NODE: u32 = 3;
    pub(crate) const SPACEMAN: u32 = 5;
    pub(crate) const SPACEMAN_CIB: u32 = 7;
    pub(crate) const SPACEMAN_FREE_QUEUE: u32 = 9;
    pub(crate) const OMAP: u32 = 0x0B;
    pub(crate) const CHECKPOINT_MAP: u32 = 0x0C;
    pub(crate) const FS: u32 = 0x0D;
    pub(crate) const FSTREE: u32 = 0x0E;
    pub(crate) const BLOCKREFTREE: u32 = 0x0F;
    pub(crate) const SNAPMETATREE: u32 = 0x10;
    pub(crate) const NX_REAPER: u32 = 0x11;
}

/// Little-endian fields written at fixed offsets of one block.
pub(super) struct Block(pub(super) Vec<u8>);

impl Block {
    /// A zeroed block with an object header (its checksum comes last, with [`Block::sealed`]).
    pub(super) fn object(size: usize, oid: u64, xid: u64, kind: u32, subtype: u32) -> Self {
        let mut b = Self(vec![0; size]);
        b.u64(8, oid);
        b.u64(16, xid);
        b.u32(24, kind);
        b.u32(28, subtype);
        b
    }

    pub(super) fn bytes(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    pub(super) fn u16(&mut self, at: usize, value: u16) {
        self.bytes(at, &value.to_le_bytes());
    }

    pub(super) fn u32(&mut self, at: usize, value: u32) {
        self.bytes(at, &value.to_le_bytes());
    }

    pub(super) fn u64(&mut self, at: usize, value: u64) {
        self.bytes(at, &value.to_le_bytes());
    }

    /// The block with its checksum.
    pub(super) fn sealed(mut self) -> Vec<u8> {
        seal(&mut self.0);
        self.0
    }
}

/// Writes the checksum of the object that `block` is.
pub(super) fn seal(block: &mut [u8]) {
    let sum = fletcher64(&block[8..]);
    block[..8].copy_from_slice(&sum.to_le_bytes());
}

/// The Fletcher-64 of an object: over its little-endian 32-bit words after the checksum field,
/// modulo 2³² − 1, with check values chosen so that the sums of the whole object are zero
/// ("Apple File System Reference", `o_cksum`).
#[must_use]
pub fn fletcher64(after_checksum: &[u8]) -> u64 {
    const MODULUS: u64 = 0xFFFF_FFFF;
    let (mut low, mut high) = (0u64, 0u64);
    for word in after_checksum.chunks_exact(4) {
        low = (low + u64::from(u32::from_le_bytes([word[0], word[1], word[2], word[3]]))) % MODULUS;
        high = (high + low) % MODULUS;
    }
    let first = MODULUS - (low + high) % MODULUS;
    let second = MODULUS - (low + first) % MODULUS;
    (second << 32) | first
}

/// The growing image and the blocks in use by the state that is being written.
pub(super) struct Disk {
    pub(super) block_size: usize,
    pub(super) bytes: Vec<u8>,
    pub(super) used: Vec<std::ops::Range<u64>>,
}

impl Disk {
    /// The number of the first of `count` new zeroed blocks in use.
    pub(super) fn allocate(&mut self, count: u64) -> u64 {
        let first = self.blocks();
        self.bytes.resize(self.bytes.len() + usize_of(count) * self.block_size, 0);
        if count > 0 {
            self.used.push(first..first + count);
        }
        first
    }

    pub(super) fn blocks(&self) -> u64 {
        (self.bytes.len() / self.block_size) as u64
    }

    /// Writes whole or part blocks that were allocated.
    pub(super) fn write(&mut self, block: u64, bytes: &[u8]) {
        let at = usize_of(block) * self.block_size;
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    pub(super) fn offset(&self, block: u64) -> u64 {
        block * self.block_size as u64
    }
}

pub(super) fn usize_of(n: u64) -> usize {
    usize::try_from(n).expect("an image in memory")
}
