//! Encrypted disk images of version 1 and 2, with keys that are always the same.
//!
//! Only encryption happens here. The bytes that come out were compared with those of a second
//! writer in Python (pycryptodome); the tests of `mip-disk` keep the digests.

use aes::{Aes128, Aes192, Aes256};
use cbc::Encryptor;
use cbc::cipher::block_padding::{NoPadding, Pkcs7};
use cbc::cipher::{BlockModeEncrypt, KeyIvInit};
use des::TdesEde3;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;

/// Offsets of fields in the header of version 2, for tests that lie.
pub mod v2 {
    /// Version, 32 bits.
    pub const VERSION: usize = 0x08;
    /// Bytes of the initialization vector.
    pub const IV_BYTES: usize = 0x0C;
    /// Bits of the AES key.
    pub const KEY_BITS: usize = 0x18;
    /// Bytes of a block.
    pub const BLOCK: usize = 0x34;
    /// Bytes of the plain image, 64 bits.
    pub const DATA_SIZE: usize = 0x38;
    /// First byte of the data, 64 bits.
    pub const DATA_AT: usize = 0x40;
    /// Number of keys.
    pub const KEYS: usize = 0x48;
    /// Kind of the first key.
    pub const KEY_KIND: usize = 0x4C;
    /// Offset of the first key, 64 bits.
    pub const KEY_AT: usize = 0x50;
    /// Bytes of the first key, 64 bits.
    pub const KEY_SIZE: usize = 0x58;
    /// The first password entry, as this generator places it.
    pub const ENTRY: usize = 0x400;
    /// Iterations, 64 bits.
    pub const ITERATIONS: usize = ENTRY + 0x04;
    /// Bytes of the salt.
    pub const SALT_BYTES: usize = ENTRY + 0x0C;
    /// Bytes of the vector of the wrapped keys.
    pub const WRAP_IV_BYTES: usize = ENTRY + 0x30;
    /// Cipher of the wrapped keys.
    pub const WRAP: usize = ENTRY + 0x58;
    /// Bytes of the wrapped keys.
    pub const BLOB_BYTES: usize = ENTRY + 0x64;
    /// The wrapped keys.
    pub const BLOB: usize = ENTRY + 0x68;
}

/// How the keys of version 2 are wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrap {
    /// Triple-DES, as hdiutil did for 18 years.
    TripleDes,
    /// AES-192 with a vector of 8 bytes and 8 zeros, as newer systems do.
    Aes192,
}

/// A recipe for an encrypted image.
#[derive(Debug, Clone)]
pub struct Encryption {
    /// The passwords; each gets an entry (version 1: only the first).
    pub passwords: Vec<String>,
    /// Certificate entries in front of them.
    pub certificates: u32,
    /// Iterations of the key derivation.
    pub iterations: u64,
    /// Bits of the AES key.
    pub key_bits: usize,
    /// Bytes of a block.
    pub block: usize,
    /// How the keys are wrapped.
    pub wrap: Wrap,
    /// Bytes of the salt.
    pub salt: usize,
}

impl Encryption {
    /// One password, AES-256, 1000 iterations, blocks of 512 bytes.
    #[must_use]
    pub fn new(password: &str) -> Self {
        Self {
            passwords: vec![password.to_owned()],
            certificates: 0,
            iterations: 1000,
            key_bits: 256,
            block: 512,
            wrap: Wrap::TripleDes,
            salt: 20,
        }
    }

    fn aes_key(&self) -> Vec<u8> {
        (0x10..).take(self.key_bits / 8).collect()
    }

    fn hmac_key(&self) -> Vec<u8> {
        (0x60..).take(20).collect()
    }

    fn salt(&self) -> Vec<u8> {
        (0xA0..).take(self.salt).collect()
    }

    fn derive(&self, password: &str, bytes: usize) -> Vec<u8> {
        let mut key = vec![0; bytes];
        let rounds = self.iterations.try_into().unwrap_or(1);
        pbkdf2::pbkdf2_hmac::<Sha1>(password.as_bytes(), &self.salt(), rounds, &mut key);
        key
    }

    /// The blocks of `plain`, the last one filled up with zeros.
    #[must_use]
    pub fn blocks(&self, plain: &[u8]) -> Vec<u8> {
        let mut out = plain.to_vec();
        out.resize(plain.len().div_ceil(self.block) * self.block, 0);
        for (block, number) in out.chunks_mut(self.block).zip(0_u32..) {
            let mut mac = Hmac::<Sha1>::new_from_slice(&self.hmac_key()).unwrap();
            mac.update(&number.to_be_bytes());
            let iv = &mac.finalize().into_bytes()[..16];
            let n = block.len();
            match self.key_bits {
                128 => raw::<Encryptor<Aes128>>(&self.aes_key(), iv, block, n),
                _ => raw::<Encryptor<Aes256>>(&self.aes_key(), iv, block, n),
            }
        }
        out
    }

    /// The header of version 2, 4096 bytes; `plain` is the size of the image.
    #[must_use]
    pub fn header(&self, plain: u64) -> Vec<u8> {
        let mut h = vec![0; 4096];
        h[..8].copy_from_slice(b"encrcdsa");
        let keys = self.certificates + self.passwords.len() as u32;
        let words = [2, 16, 5, 0x8000_0001, self.key_bits as u32, 91, 160];
        for (word, at) in words.into_iter().zip((8..).step_by(4)) {
            put32(&mut h, at, word);
        }
        h[0x24..0x34].fill(0x77);
        put32(&mut h, v2::BLOCK, self.block as u32);
        put64(&mut h, v2::DATA_SIZE, plain);
        put64(&mut h, v2::DATA_AT, 4096);
        put32(&mut h, v2::KEYS, keys);
        let mut slot = v2::KEY_KIND;
        for i in 0..self.certificates {
            put32(&mut h, slot, 2);
            put64(&mut h, slot + 4, 0xE00 + u64::from(i));
            put64(&mut h, slot + 12, 0x134);
            slot += 20;
        }
        for (password, i) in self.passwords.iter().zip(0..) {
            let at = v2::ENTRY + i * 0x268;
            put32(&mut h, slot, 1);
            put64(&mut h, slot + 4, at as u64);
            put64(&mut h, slot + 12, 0x268);
            slot += 20;
            let entry = self.password_entry(password);
            h[at..at + entry.len()].copy_from_slice(&entry);
        }
        h
    }

    fn password_entry(&self, password: &str) -> Vec<u8> {
        let mut e = vec![0; 0x68];
        put32(&mut e, 0, 103);
        put64(&mut e, 4, self.iterations);
        put32(&mut e, 0x0C, self.salt as u32);
        e[0x10..0x10 + self.salt].copy_from_slice(&self.salt());
        put32(&mut e, 0x30, 8);
        let mut iv: Vec<u8> = (0xC0..0xC8).collect();
        e[0x34..0x3C].copy_from_slice(&iv);
        put32(&mut e, 0x54, 192);
        let keys = [self.aes_key(), self.hmac_key(), b"CKIE\0".to_vec()].concat();
        let derived = self.derive(password, 24);
        let (algorithm, blob) = match self.wrap {
            Wrap::TripleDes => (17, padded::<Encryptor<TdesEde3>>(&derived, &iv, &keys)),
            Wrap::Aes192 => {
                iv.resize(16, 0);
                (0x8000_0001, padded::<Encryptor<Aes192>>(&derived, &iv, &keys))
            }
        };
        put32(&mut e, 0x58, algorithm);
        put32(&mut e, 0x5C, 7);
        put32(&mut e, 0x60, 6);
        put32(&mut e, 0x64, blob.len() as u32);
        e.extend(blob);
        e
    }

    /// An image of version 2.
    #[must_use]
    pub fn v2(&self, plain: &[u8]) -> Vec<u8> {
        [self.header(plain.len() as u64), self.blocks(plain)].concat()
    }

    /// An image of version 1: the blocks, then the header.
    #[must_use]
    pub fn v1(&self, plain: &[u8]) -> Vec<u8> {
        let mut h = vec![0; 0x4FC];
        h[..16].fill(0x77);
        put32(&mut h, 0x10, self.block as u32);
        for (word, at) in [17, 7, 6, 192, 8, 103].into_iter().zip((0x14..).step_by(4)) {
            put32(&mut h, at, word);
        }
        put32(&mut h, 0x30, self.iterations as u32);
        put32(&mut h, 0x34, self.salt as u32);
        h[0x38..0x38 + self.salt].copy_from_slice(&self.salt());
        for (word, at) in
            [16, 5, 0x8000_0001, self.key_bits as u32].into_iter().zip((0x58..).step_by(4))
        {
            put32(&mut h, at, word);
        }
        let derived = self.derive(&self.passwords[0], 24);
        for (at, key) in [(0x88, self.aes_key()), (0x1B4, self.hmac_key()), (0x2E0, vec![0x55; 20])]
        {
            let wrapped = rfc_3217(&derived, &key);
            put32(&mut h, at, wrapped.len() as u32);
            h[at + 4..at + 4 + wrapped.len()].copy_from_slice(&wrapped);
        }
        put32(&mut h, 0x18C, 91);
        put32(&mut h, 0x190, 160);
        put64(&mut h, 0x4E8, plain.len() as u64);
        put32(&mut h, 0x4F0, 1);
        h[0x4F4..].copy_from_slice(b"cdsaencr");
        [self.blocks(plain), h].concat()
    }
}

/// Apple's variant of the key wrap of RFC 3217.
fn rfc_3217(derived: &[u8], key: &[u8]) -> Vec<u8> {
    let iv: Vec<u8> = (0xD0..0xD8).collect();
    let inner = padded::<Encryptor<TdesEde3>>(derived, &iv, &[&[0; 4], key].concat());
    let mut joined = [iv, inner].concat();
    joined.reverse();
    padded::<Encryptor<TdesEde3>>(derived, &0x4ADD_A22C_79E8_2105_u64.to_be_bytes(), &joined)
}

fn padded<C: KeyIvInit + BlockModeEncrypt>(key: &[u8], iv: &[u8], data: &[u8]) -> Vec<u8> {
    let mut buf = data.to_vec();
    buf.resize(data.len() + 32, 0);
    let cipher = C::new_from_slices(key, iv).unwrap();
    cipher.encrypt_padded::<Pkcs7>(&mut buf, data.len()).unwrap().to_vec()
}

fn raw<C: KeyIvInit + BlockModeEncrypt>(key: &[u8], iv: &[u8], data: &mut [u8], n: usize) {
    C::new_from_slices(key, iv).unwrap().encrypt_padded::<NoPadding>(data, n).unwrap();
}

fn put32(b: &mut [u8], at: usize, value: u32) {
    b[at..at + 4].copy_from_slice(&value.to_be_bytes());
}

fn put64(b: &mut [u8], at: usize, value: u64) {
    b[at..at + 8].copy_from_slice(&value.to_be_bytes());
}
