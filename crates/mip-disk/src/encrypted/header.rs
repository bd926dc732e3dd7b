//! Both headers. Every length is checked against the field that holds it.

use mip_base::bytes::{be_u32, be_u64, slice};
use mip_base::{Code, Error, Job, ReadAt as _, Result, Source, len64, read_full_at};

use super::{Info, Lock, MAGIC_V1, MAGIC_V2};
use crate::read_up_to_at;

// Constants of Apple's CDSA (cssmtype.h, cssmapple.h).
const PBKDF2: u32 = 103;
const TRIPLE_DES: u32 = 17;
const AES: u32 = 0x8000_0001;
const HMAC_SHA1: u32 = 91;
const CBC: u32 = 5;
const PADDING_PKCS7: u32 = 7;
const CBC_PADDED: u32 = 6;

/// Bytes of the version 1 header, which is the end of the file.
const V1_HEADER: u64 = 0x4FC;
/// Bytes of the version 2 header before its table of keys.
const V2_HEADER: usize = 0x4C;
/// Keys that are looked at; images have one to three.
const KEYS: u32 = 32;
/// Fixed fields of a password entry.
const KEY_FIELDS: u64 = 0x68;
/// Largest entry that is read; hdiutil writes 616 bytes.
const KEY_MAX: u64 = 4096;
/// Largest wrapped key.
const BLOB_MAX: u32 = 512;
/// Block sizes that are read: hdiutil writes 512 (version 2) and 4096 (version 1).
const BLOCK: std::ops::RangeInclusive<u32> = 512..=1 << 20;

/// How the password becomes a key.
pub(super) struct Kdf {
    pub(super) iterations: u64,
    pub(super) salt: Vec<u8>,
}

/// The cipher that wraps the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrap {
    TripleDes,
    Aes { key_bytes: usize },
}

impl Wrap {
    /// Bytes of the cipher's block.
    pub(super) fn block(self) -> usize {
        match self {
            Wrap::TripleDes => 8,
            Wrap::Aes { .. } => 16,
        }
    }
}

/// What a password entry of version 2 holds: both keys in one blob.
pub(super) struct Blob {
    pub(super) kdf: Kdf,
    pub(super) wrap: Wrap,
    pub(super) iv: Vec<u8>,
    pub(super) data: Vec<u8>,
}

/// The wrapped keys.
pub(super) enum Keys {
    /// Version 1: each key by itself.
    V1 { kdf: Kdf, aes: Vec<u8>, hmac: Vec<u8> },
    /// Version 2: one blob for each password.
    V2(Vec<Blob>),
}

pub(super) struct Header {
    pub(super) info: Info,
    /// First byte of the ciphertext.
    pub(super) data_at: u64,
    /// Bytes of ciphertext that the file can hold.
    pub(super) stored: u64,
    pub(super) keys: Keys,
    /// Why a password entry was left out.
    pub(super) unsupported: Option<String>,
}

fn bad(what: impl Into<String>) -> Error {
    Error::new(Code::DmgEncrypted, what)
}

fn unsupported(what: impl Into<String>) -> Error {
    Error::new(Code::Unsupported, what)
}

/// Fields of a structure that was read whole.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn u32(&self, at: usize) -> Result<u32> {
        be_u32(self.0, at).ok_or_else(|| bad("a field of the encryption header is cut"))
    }

    fn u64(&self, at: usize) -> Result<u64> {
        be_u64(self.0, at).ok_or_else(|| bad("a field of the encryption header is cut"))
    }

    /// Bytes behind their length: `length` at `at`, at most `max` (and at least 1) bytes after it.
    fn counted(&self, at: usize, max: u32, what: &str) -> Result<&'a [u8]> {
        let length = self.u32(at)?;
        let range = || {
            let start = at.checked_add(4)?;
            slice(self.0, start, usize::try_from(length).ok()?)
        };
        match range() {
            Some(bytes) if (1..=max).contains(&length) => Ok(bytes),
            _ => Err(bad(format!("{what} of {length} bytes cannot be"))),
        }
    }
}

pub(super) fn read(source: &Source, job: &Job) -> Result<Header> {
    let mut magic = [0_u8; 8];
    let n = read_up_to_at(source, 0, &mut magic)?;
    if magic.get(..n) == Some(MAGIC_V2) {
        return v2(source, job);
    }
    v1(source)
}

/// Refuses more blocks than their 32-bit number can count.
pub(super) fn check_block_count(info: &Info) -> Result<()> {
    let blocks = info.data_size.div_ceil(u64::from(info.block_size).max(1));
    if blocks > 1 << 32 {
        let what = format!("an encrypted image of {blocks} blocks: their numbers have 32 bits");
        return Err(unsupported(what));
    }
    Ok(())
}

fn check_info(info: &Info) -> Result<()> {
    if !matches!(info.key_bits, 128 | 256) {
        return Err(unsupported(format!("AES keys of {} bits", info.key_bits)));
    }
    if !BLOCK.contains(&info.block_size) || !info.block_size.is_multiple_of(16) {
        return Err(bad(format!("encrypted blocks of {} bytes cannot be", info.block_size)));
    }
    check_block_count(info)
}

fn v2(source: &Source, job: &Job) -> Result<Header> {
    let mut raw = [0_u8; V2_HEADER];
    read_full_at(source, 0, &mut raw, Code::Truncated)?;
    let f = Fields(&raw);
    let version = f.u32(0x08)?;
    if version != 2 {
        return Err(unsupported(format!("an encrypted image of version {version}")));
    }
    if f.u32(0x0C)? != 16 {
        return Err(bad(format!("an initialization vector of {} bytes cannot be", f.u32(0x0C)?)));
    }
    for (at, known, what) in [
        (0x10, CBC, "block mode"),
        (0x14, AES, "block cipher"),
        (0x1C, HMAC_SHA1, "algorithm of initialization vectors"),
        (0x20, 160, "size of the initialization vectors' key"),
    ] {
        let value = f.u32(at)?;
        if value != known {
            return Err(unsupported(format!("an encrypted image with {what} {value:#x}")));
        }
    }
    let info = Info {
        version,
        key_bits: f.u32(0x18)?,
        block_size: f.u32(0x34)?,
        data_size: f.u64(0x38)?,
        locks: Vec::new(),
        iterations: 0,
    };
    check_info(&info)?;
    let data_at = f.u64(0x40)?;
    let count = f.u32(0x48)?;
    if count > KEYS {
        return Err(bad(format!("the encryption header claims {count} keys")));
    }
    // A token ends before its data would begin: what is there is asked for by `open`.
    let stored = source.size().saturating_sub(data_at);
    let keys = Keys::V2(Vec::new());
    let mut header = Header { info, data_at, stored, keys, unsupported: None };
    for index in 0..count {
        job.check()?;
        key(source, index, &mut header)?;
    }
    Ok(header)
}

/// One entry of the table of keys of version 2: kind, offset, length.
fn key(source: &Source, index: u32, header: &mut Header) -> Result<()> {
    let at = len64(V2_HEADER).saturating_add(u64::from(index).saturating_mul(20));
    let mut raw = [0_u8; 20];
    read_full_at(source, at, &mut raw, Code::Truncated)?;
    let f = Fields(&raw);
    let (offset, length) = (f.u64(4)?, f.u64(12)?);
    let lock = match f.u32(0)? {
        1 => Lock::Password,
        2 => Lock::Certificate,
        3 => Lock::Keybag,
        other => Lock::Unknown(other),
    };
    header.info.locks.push(lock);
    if lock != Lock::Password {
        return Ok(());
    }
    if !(KEY_FIELDS..=KEY_MAX).contains(&length) {
        return Err(bad(format!("a password entry of {length} bytes cannot be")).at(at));
    }
    let mut entry = vec![0; usize::try_from(length).unwrap_or(0)];
    read_full_at(source, offset, &mut entry, Code::DmgEncrypted)?;
    match password_entry(&Fields(&entry)) {
        Ok(blob) => {
            let sum = header.info.iterations.saturating_add(blob.kdf.iterations);
            header.info.iterations = sum;
            if let Keys::V2(blobs) = &mut header.keys {
                blobs.push(blob);
            }
            Ok(())
        }
        Err(e) if e.code() == Code::Unsupported => {
            header.unsupported.get_or_insert_with(|| e.message().to_owned());
            Ok(())
        }
        Err(e) => Err(e.at(offset)),
    }
}

fn password_entry(f: &Fields<'_>) -> Result<Blob> {
    if f.u32(0)? != PBKDF2 {
        return Err(unsupported(format!("key derivation {:#x}", f.u32(0)?)));
    }
    let kdf = Kdf { iterations: f.u64(0x04)?, salt: f.counted(0x0C, 32, "a salt")?.to_vec() };
    let iv = f.counted(0x30, 32, "an initialization vector")?.to_vec();
    let (bits, algorithm) = (f.u32(0x54)?, f.u32(0x58)?);
    let wrap = match (algorithm, bits) {
        (TRIPLE_DES, 192) => Wrap::TripleDes,
        (AES, 128) => Wrap::Aes { key_bytes: 16 },
        (AES, 192) => Wrap::Aes { key_bytes: 24 },
        (AES, 256) => Wrap::Aes { key_bytes: 32 },
        _ => {
            return Err(unsupported(format!("keys wrapped by {algorithm:#x} with {bits} bits")));
        }
    };
    let (padding, mode) = (f.u32(0x5C)?, f.u32(0x60)?);
    if (padding, mode) != (PADDING_PKCS7, CBC_PADDED) {
        return Err(unsupported(format!("keys wrapped with padding {padding}, mode {mode}")));
    }
    let data = f.counted(0x64, BLOB_MAX, "a wrapped key")?.to_vec();
    if !data.len().is_multiple_of(wrap.block()) {
        return Err(bad(format!("a wrapped key of {} bytes cannot be", data.len())));
    }
    check_iterations(&kdf)?;
    Ok(Blob { kdf, wrap, iv, data })
}

fn check_iterations(kdf: &Kdf) -> Result<()> {
    if kdf.iterations == 0 {
        return Err(bad("a key derivation of 0 iterations cannot be"));
    }
    Ok(())
}

fn v1(source: &Source) -> Result<Header> {
    let at = source.size().checked_sub(V1_HEADER);
    let at = at.ok_or_else(|| Error::new(Code::Truncated, "no header of an encrypted image"))?;
    let mut raw = [0_u8; 0x4FC];
    read_full_at(source, at, &mut raw, Code::Truncated)?;
    let f = Fields(&raw);
    if !raw.ends_with(MAGIC_V1) {
        return Err(bad("neither the start nor the end of the file is that of an encrypted image"));
    }
    let version = f.u32(0x4F0)?;
    if version != 1 {
        return Err(unsupported(format!("an encrypted image of version {version}")));
    }
    for (field, known, what) in [
        (0x14, TRIPLE_DES, "key wrap"),
        (0x20, 192, "size of the wrapping key"),
        (0x28, PBKDF2, "key derivation"),
        (0x60, AES, "block cipher"),
    ] {
        let value = f.u32(field)?;
        if value != known {
            return Err(unsupported(format!("an encrypted image with {what} {value:#x}")));
        }
    }
    if f.u32(0x58)? != 16 {
        return Err(bad(format!("an initialization vector of {} bytes cannot be", f.u32(0x58)?)));
    }
    // The word before the iterations names a generator in this version; it is not used.
    let iterations = u64::from(f.u32(0x30)?);
    let kdf = Kdf { iterations, salt: f.counted(0x34, 32, "a salt")?.to_vec() };
    check_iterations(&kdf)?;
    let aes = f.counted(0x88, 256, "a wrapped AES key")?.to_vec();
    let hmac = f.counted(0x1B4, 256, "a wrapped HMAC key")?.to_vec();
    if let Some(key) = [&aes, &hmac].into_iter().find(|key| !key.len().is_multiple_of(8)) {
        return Err(bad(format!("a wrapped key of {} bytes cannot be", key.len())));
    }
    let info = Info {
        version,
        key_bits: f.u32(0x64)?,
        block_size: f.u32(0x10)?,
        data_size: f.u64(0x4E8)?,
        locks: vec![Lock::Password],
        iterations: kdf.iterations,
    };
    check_info(&info)?;
    let keys = Keys::V1 { kdf, aes, hmac };
    Ok(Header { info, data_at: 0, stored: at, keys, unsupported: None })
}
