//! Keys and ciphers of encrypted volumes.

use std::fmt;

use aes::cipher::KeyInit as _;
use aes::{Aes128, cipher::InvalidLength};
use xts_mode::{Xts128, get_tweak_default};

/// The unit that APFS encrypts, whatever the block size.
pub(crate) const SECTOR: usize = 512;

/// AES-XTS with 128-bit keys, as keybags, metadata and files are encrypted.
pub(crate) struct VolumeKey(Xts128<Aes128>);

impl fmt::Debug for VolumeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VolumeKey")
    }
}

impl VolumeKey {
    /// A key of two halves: for the data and for the tweak.
    pub(crate) fn new(key: &[u8; 32]) -> Result<Self, InvalidLength> {
        let (data, tweak) = key.split_at(16);
        Ok(Self(Xts128::new(Aes128::new_from_slice(data)?, Aes128::new_from_slice(tweak)?)))
    }

    /// Decrypts whole sectors, the first of which has the number `sector`.
    pub(crate) fn decrypt(&self, data: &mut [u8], sector: u64) {
        let (sectors, _) = data.as_chunks_mut::<SECTOR>();
        self.0.decrypt_area(sectors.as_flattened_mut(), SECTOR, sector.into(), get_tweak_default);
    }

    /// Decrypts whole blocks, the first of which counts as `block`.
    pub(crate) fn decrypt_blocks(&self, data: &mut [u8], block: u64, block_size: u32) {
        self.decrypt(data, first_sector(block, block_size));
    }
}

/// The number of a block's first sector; it wraps, as a number from a file may do.
pub(crate) fn first_sector(block: u64, block_size: u32) -> u64 {
    block.wrapping_mul(u64::from(block_size.wrapping_shr(9)))
}
