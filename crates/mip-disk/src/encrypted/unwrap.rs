//! From the password to the keys.

use aes::{Aes128, Aes192, Aes256};
use cbc::Decryptor;
use cbc::cipher::block_padding::NoPadding;
use cbc::cipher::{BlockModeDecrypt, KeyIvInit};
use des::TdesEde3;
use mip_base::{Code, Error, Job, Result};
use sha1::Sha1;
use zeroize::Zeroizing;

use super::header::{Blob, Header, Kdf, Keys, Wrap};

/// Bytes of the HMAC-SHA1 key.
const HMAC_KEY: usize = 20;
/// What follows the keys in the blob of version 2.
const MARKER: &[u8] = b"CKIE\0";
/// The initialization vector of the outer pass of RFC 3217.
const RFC_3217: [u8; 8] = [0x4A, 0xDD, 0xA2, 0x2C, 0x79, 0xE8, 0x21, 0x05];

/// Both keys of an image.
pub(super) struct Unwrapped {
    pub(super) aes: Zeroizing<Vec<u8>>,
    pub(super) hmac: Zeroizing<Vec<u8>>,
}

/// Refuses what no password could open.
pub(super) fn check(header: &Header, job: &Job) -> Result<()> {
    if matches!(&header.keys, Keys::V2(blobs) if blobs.is_empty()) {
        return Err(no_password(header));
    }
    let limit = job.limits().image_kdf_iterations;
    if header.info.iterations > limit {
        let what = "iterations of the image's key derivation";
        return Err(Error::limit(Code::Limit, what, limit, header.info.iterations)
            .hint("if the image is trusted, raise --limit image-kdf-iterations"));
    }
    Ok(())
}

/// Tries `password` on every entry.
pub(super) fn keys(header: &Header, password: &[u8], job: &Job) -> Result<Unwrapped> {
    check(header, job)?;
    let key_bytes = usize::try_from(header.info.key_bits.div_euclid(8)).unwrap_or(0);
    match &header.keys {
        Keys::V1 { kdf, aes, hmac } => {
            let derived = derive(kdf, password, 24)?;
            let (aes, hmac) = (unwrap_v1(aes, &derived), unwrap_v1(hmac, &derived));
            // The wrap ends a wrong password surely enough: one key that opens says that the
            // password is right. What is wrong then is the image.
            match (aes, hmac) {
                (None, None) => Err(wrong()),
                (Some(aes), Some(hmac)) if aes.len() == key_bytes && hmac.len() == HMAC_KEY => {
                    Ok(Unwrapped { aes, hmac })
                }
                (aes, hmac) => {
                    let size = |key: Option<Zeroizing<Vec<u8>>>| match key {
                        Some(key) => format!("{} bytes", key.len()),
                        None => "damage".to_owned(),
                    };
                    let what = format!(
                        "the image's AES key has {}, its HMAC key {}; they must have \
                         {key_bytes} and {HMAC_KEY} bytes",
                        size(aes),
                        size(hmac)
                    );
                    Err(Error::new(Code::DmgEncrypted, what))
                }
            }
        }
        Keys::V2(blobs) => {
            for blob in blobs {
                job.check()?;
                if let Some(keys) = unwrap_v2(blob, password, key_bytes)? {
                    return Ok(keys);
                }
            }
            Err(wrong())
        }
    }
}

fn wrong() -> Error {
    Error::new(Code::Password, "the password does not open the encrypted image")
        .hint("check the password, and for accents that they are typed as when the image was made")
}

fn no_password(header: &Header) -> Error {
    if let Some(why) = &header.unsupported {
        let what = format!("the image's password is stored in an unknown way: {why}");
        return Error::new(Code::Unsupported, what);
    }
    let mut locks: Vec<_> = header.info.locks.iter().map(|lock| lock.name()).collect();
    locks.dedup();
    let what = if locks.is_empty() {
        "the encrypted image has no key that could open it".to_owned()
    } else {
        format!("the encrypted image has no password: it opens only with {}", locks.join(" or "))
    };
    Error::new(Code::Unsupported, what)
        .hint("add a password on a Mac with `hdiutil chpass`, or make the image again with one")
}

fn derive(kdf: &Kdf, password: &[u8], bytes: usize) -> Result<Zeroizing<Vec<u8>>> {
    let mut key = Zeroizing::new(vec![0; bytes]);
    // The limit was checked, and no limit is above 32 bits' worth of hours.
    let rounds = u32::try_from(kdf.iterations).map_err(|_| {
        let what = "iterations of the image's key derivation";
        Error::limit(Code::Limit, what, u64::from(u32::MAX), kdf.iterations)
    })?;
    pbkdf2::pbkdf2_hmac::<Sha1>(password, &kdf.salt, rounds, &mut key);
    Ok(key)
}

/// One CBC pass over `data`; `None` when key, vector or data do not fit the cipher.
fn cbc<C: KeyIvInit + BlockModeDecrypt>(
    key: &[u8],
    iv: &[u8],
    data: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    let mut out = Zeroizing::new(data.to_vec());
    let cipher = C::new_from_slices(key, iv).ok()?;
    cipher.decrypt_padded::<NoPadding>(&mut out).ok()?;
    Some(out)
}

/// Removes PKCS #7 padding; `None` when it is none, as after a wrong key.
fn unpad(mut data: Zeroizing<Vec<u8>>, block: usize) -> Option<Zeroizing<Vec<u8>>> {
    let pad = usize::from(*data.last()?);
    let keep = data.len().checked_sub(pad)?;
    let padding = data.get(keep..)?;
    let right = (1..=block).contains(&pad) && padding.iter().all(|b| usize::from(*b) == pad);
    right.then(|| {
        data.truncate(keep);
        data
    })
}

/// The keys in a blob of version 2; `None` when the password is wrong.
fn unwrap_v2(blob: &Blob, password: &[u8], key_bytes: usize) -> Result<Option<Unwrapped>> {
    let bytes = match blob.wrap {
        Wrap::TripleDes => 24,
        Wrap::Aes { key_bytes } => key_bytes,
    };
    let derived = derive(&blob.kdf, password, bytes)?;
    let block = blob.wrap.block();
    // hdiutil says 8 bytes even where the cipher needs 16: the rest is zero.
    let mut iv = blob.iv.clone();
    iv.resize(block, 0);
    let plain = match (blob.wrap, bytes) {
        (Wrap::TripleDes, _) => cbc::<Decryptor<TdesEde3>>(&derived, &iv, &blob.data),
        (_, 16) => cbc::<Decryptor<Aes128>>(&derived, &iv, &blob.data),
        (_, 24) => cbc::<Decryptor<Aes192>>(&derived, &iv, &blob.data),
        _ => cbc::<Decryptor<Aes256>>(&derived, &iv, &blob.data),
    };
    let Some(plain) = plain.and_then(|p| unpad(p, block)) else { return Ok(None) };
    let Some(keys) = plain.strip_suffix(MARKER) else { return Ok(None) };
    // Padding and marker are right: so was the password. What is wrong now is the image.
    match keys.split_at_checked(key_bytes) {
        Some((aes, hmac)) if hmac.len() == HMAC_KEY => Ok(Some(Unwrapped {
            aes: Zeroizing::new(aes.to_vec()),
            hmac: Zeroizing::new(hmac.to_vec()),
        })),
        _ => {
            let what = format!("the image's keys have {} bytes together", keys.len());
            Err(Error::new(Code::DmgEncrypted, what))
        }
    }
}

/// The key in a field of version 1; `None` when the password is wrong.
///
/// RFC 3217, as Apple wrote it: the key behind four bytes (length of a description, 0), padded,
/// is encrypted with a random vector; that vector is put in front, all of it is reversed, padded
/// and encrypted again with a fixed vector.
fn unwrap_v1(data: &[u8], derived: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut outer = unpad(cbc::<Decryptor<TdesEde3>>(derived, &RFC_3217, data)?, 8)?;
    outer.reverse();
    let (iv, inner) = outer.split_at_checked(8)?;
    let inner = unpad(cbc::<Decryptor<TdesEde3>>(derived, iv, inner)?, 8)?;
    let key = inner.strip_prefix(&[0; 4])?;
    Some(Zeroizing::new(key.to_vec()))
}
