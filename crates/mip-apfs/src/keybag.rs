//! Keybags: from a password to the key of a volume ("Encryption" in Apple's reference; the
//! form of the key blobs is known from public readers).
//!
//! The container's keybag is encrypted with the container's UUID, and names for each volume
//! its wrapped key and the place of the volume's own keybag. That one is encrypted with the
//! volume's UUID and holds, for each user, a key that the user's password unwraps. That key
//! unwraps the volume's key.

use aes::cipher::KeyInit as _;
use aes_kw::{KwAes128, KwAes256};
use hmac::{Hmac, Mac as _};
use mip_base::bytes::{le_u16, le_u32, le_u64, slice};
use mip_base::{Code, Error, Job, Result, read_full_at};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::crypto::VolumeKey;
use crate::object::{Device, checksum_ok, text};

/// A keybag is a few blocks; nothing bigger is read.
const MAX_BYTES: u64 = 1 << 20;
/// Object header and locker header.
const ENTRIES: usize = 48;
const LOCKER_VERSION: u16 = 2;

/// `o_type` of a container's keybag (`keys`) and of a volume's (`recs`).
const CONTAINER_BAG: u32 = 0x6b65_7973;
const VOLUME_BAG: u32 = 0x7265_6373;

/// Entry tags.
const VOLUME_KEY: u16 = 2;
const UNLOCK_RECORDS: u16 = 3;
const PASSPHRASE_HINT: u16 = 4;

/// Before the salt in the key of a blob's HMAC.
const BLOB_MAGIC: [u8; 6] = [1, 0x16, 0x20, 0x17, 0x15, 5];

/// The institutional recovery key: a certificate unlocks it, no password does.
const INSTITUTIONAL: [u8; 16] =
    [0xc0, 0x64, 0xeb, 0xc6, 0, 0, 0x11, 0xaa, 0xaa, 0x11, 0, 0x30, 0x65, 0x43, 0xec, 0xac];

fn bad(what: impl Into<String>) -> Error {
    Error::new(Code::ApfsKeybag, what)
}

/// An entry of a keybag: UUID, tag and data.
type Entry<'a> = ([u8; 16], u16, &'a [u8]);

/// A decrypted keybag whose checksum was right.
struct Keybag(Zeroizing<Vec<u8>>);

impl Keybag {
    fn read(
        device: &Device,
        (block, count): (u64, u64),
        uuid: &[u8; 16],
        kind: u32,
        job: &Job,
    ) -> Result<Self> {
        let at = device
            .position(block, count)
            .filter(|_| count > 0)
            .ok_or_else(|| bad(format!("a keybag ({count} blocks at {block}) is not there")))?;
        let size = count.saturating_mul(u64::from(device.block_size));
        let mut data = Zeroizing::new(job.buffer("keybag", size, MAX_BYTES)?);
        read_full_at(&*device.source, at, &mut data, Code::Truncated)?;
        let mut key = Zeroizing::new([0; 32]);
        for half in key.chunks_exact_mut(16) {
            half.copy_from_slice(uuid);
        }
        volume_key(&key)?.decrypt_blocks(&mut data, block, device.block_size);
        if !checksum_ok(&data) {
            return Err(bad("a keybag does not match its checksum").at(at));
        }
        if le_u32(&data, 24) != Some(kind) || le_u16(&data, 32) != Some(LOCKER_VERSION) {
            return Err(bad("a keybag has another type or version than the one known").at(at));
        }
        Ok(Self(data))
    }

    /// The entries that lie in the bag.
    fn entries(&self) -> Result<Vec<Entry<'_>>> {
        let short = || bad("an entry of a keybag leaves it");
        let data = self.0.as_slice();
        let count = le_u16(data, 34).ok_or_else(short)?;
        let mut at = ENTRIES;
        let mut out = Vec::new();
        for _ in 0..count {
            let head = slice(data, at, 24).ok_or_else(short)?;
            let (uuid, rest) = head.split_first_chunk::<16>().ok_or_else(short)?;
            let tag = le_u16(rest, 0).ok_or_else(short)?;
            let len = usize::from(le_u16(rest, 2).ok_or_else(short)?);
            out.push((*uuid, tag, slice(data, at.saturating_add(24), len).ok_or_else(short)?));
            // Entries stand at multiples of 16 bytes.
            at = at.saturating_add(24).saturating_add(len).saturating_add(15) & !15;
        }
        Ok(out)
    }

    fn find(&self, uuid: &[u8; 16], tag: u16) -> Result<Option<&[u8]>> {
        let found = self.entries()?.into_iter().find(|(id, t, _)| id == uuid && *t == tag);
        Ok(found.map(|(_, _, data)| data))
    }
}

fn volume_key(key: &[u8; 32]) -> Result<VolumeKey> {
    VolumeKey::new(key).map_err(|_| Error::new(Code::Internal, "AES refuses a key of 128 bits"))
}

/// One element of a key blob (DER): tag, contents, whole element, what follows.
struct Element<'a> {
    tag: u8,
    body: &'a [u8],
    whole: &'a [u8],
    rest: &'a [u8],
}

fn element(b: &[u8]) -> Option<Element<'_>> {
    let (tag, first) = (*b.first()?, *b.get(1)?);
    let (len, at) = match first {
        0..=0x7f => (usize::from(first), 2_usize),
        0x81 => (usize::from(*b.get(2)?), 3),
        0x82 => (usize::from(mip_base::bytes::be_u16(b, 2)?), 4),
        _ => return None,
    };
    let end = at.checked_add(len)?;
    Some(Element { tag, body: b.get(at..end)?, whole: b.get(..end)?, rest: b.get(end..)? })
}

/// The contents of element `tag` among those in `b`.
fn field(mut b: &[u8], tag: u8) -> Option<&[u8]> {
    while !b.is_empty() {
        let e = element(b)?;
        if e.tag == tag {
            return Some(e.body);
        }
        b = e.rest;
    }
    None
}

/// A wrapped key: that of a volume, or that of a user.
struct Blob<'a> {
    uuid: &'a [u8],
    /// Keys that were taken over from CoreStorage have 128 bits.
    short: bool,
    wrapped: &'a [u8],
    /// Iterations and salt of the key derivation, for a user's.
    derivation: Option<(u64, &'a [u8])>,
}

impl<'a> Blob<'a> {
    /// `Ok(None)`: not a blob of the known form. An error: it is one, and is damaged.
    fn parse(data: &'a [u8]) -> Result<Option<Self>> {
        let Some(outer) = element(data).filter(|e| e.tag == 0x30) else { return Ok(None) };
        let parts = (|| {
            let mut rest = outer.body;
            while !rest.is_empty() {
                let e = element(rest)?;
                if e.tag == 0xa3 {
                    return Some((field(outer.body, 0x81)?, field(outer.body, 0x82)?, e));
                }
                rest = e.rest;
            }
            None
        })();
        let Some((mac, salt, inner)) = parts else { return Ok(None) };
        let mut key = Sha256::new();
        key.update(BLOB_MAGIC);
        key.update(salt);
        let check = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(&key.finalize())
            .map(|h| h.chain_update(inner.whole).verify_slice(mac).is_ok());
        if check != Ok(true) {
            return Err(bad("a wrapped key does not match its checksum"));
        }
        Ok((|| {
            let flags = field(inner.body, 0x82)?;
            let count = field(inner.body, 0x84);
            Some(Self {
                uuid: field(inner.body, 0x81)?,
                short: flags.first()? & 2 != 0,
                wrapped: field(inner.body, 0x83)?,
                derivation: match count {
                    Some(n) => Some((integer(n)?, field(inner.body, 0x85)?)),
                    None => None,
                },
            })
        })())
    }

    /// The key in the blob; `None` when `with` is not the key that wrapped it.
    fn unwrap_with(&self, with: &[u8; 32]) -> Result<Option<Zeroizing<[u8; 32]>>> {
        let mut out = Zeroizing::new([0; 32]);
        let (size, done) = if self.short {
            let (half, _) = with.split_at(16);
            let cipher = KwAes128::new_from_slice(half);
            (24, cipher.map(|c| c.unwrap_key(self.wrapped, out.as_mut_slice()).map(<[u8]>::len)))
        } else {
            let cipher = KwAes256::new_from_slice(with);
            (40, cipher.map(|c| c.unwrap_key(self.wrapped, out.as_mut_slice()).map(<[u8]>::len)))
        };
        if self.wrapped.len() != size {
            return Err(bad(format!("a wrapped key has {} bytes, not {size}", self.wrapped.len())));
        }
        Ok(matches!(done, Ok(Ok(_))).then_some(out))
    }
}

fn integer(b: &[u8]) -> Option<u64> {
    b.iter().try_fold(0_u64, |n, byte| n.checked_mul(256)?.checked_add((*byte).into()))
}

/// Where keybags are looked for.
pub(crate) struct Place<'a> {
    pub(crate) device: &'a Device,
    /// First block and blocks of the container's keybag.
    pub(crate) keybag: (u64, u64),
    pub(crate) container: &'a [u8; 16],
    pub(crate) volume: &'a [u8; 16],
}

impl Place<'_> {
    fn bags(&self, job: &Job) -> Result<(Keybag, Keybag)> {
        let outer = Keybag::read(self.device, self.keybag, self.container, CONTAINER_BAG, job)?;
        let at = outer
            .find(self.volume, UNLOCK_RECORDS)?
            .and_then(|d| Some((le_u64(d, 0)?, le_u64(d, 8)?)))
            .ok_or_else(|| bad("the container's keybag does not lead to that of the volume"))?;
        let inner = Keybag::read(self.device, at, self.volume, VOLUME_BAG, job)?;
        Ok((outer, inner))
    }

    /// The hint that was left for a person who forgot the password.
    pub(crate) fn hint(&self, job: &Job) -> Result<Option<String>> {
        let (_, bag) = self.bags(job)?;
        let entries = bag.entries()?;
        let hint = entries.iter().find(|(_, tag, _)| *tag == PASSPHRASE_HINT);
        Ok(hint.map(|(_, _, data)| text(data)).filter(|t| !t.is_empty()))
    }

    /// The volume's key.
    pub(crate) fn unlock(&self, password: &[u8], job: &Job) -> Result<VolumeKey> {
        let (outer, inner) = self.bags(job)?;
        let wrapped = outer
            .find(self.volume, VOLUME_KEY)?
            .ok_or_else(|| bad("the container's keybag has no key for the volume"))?;
        let wrapped = Blob::parse(wrapped)?
            .ok_or_else(|| bad("the volume's wrapped key is not of the known form"))?;
        let limit = job.limits().image_kdf_iterations;
        let (mut spent, mut tried) = (0_u64, false);
        for (user, tag, data) in inner.entries()? {
            if tag != UNLOCK_RECORDS || user == INSTITUTIONAL {
                continue;
            }
            let Some(blob) = Blob::parse(data)? else { continue };
            let Some((iterations, salt)) = blob.derivation else { continue };
            spent = spent.saturating_add(iterations);
            if spent > limit {
                let what = "iterations of the key derivation";
                return Err(Error::limit(Code::Limit, what, limit, spent));
            }
            let rounds = u32::try_from(iterations)
                .ok()
                .filter(|n| *n > 0)
                .ok_or_else(|| bad(format!("a key derivation of {iterations} iterations")))?;
            job.check()?;
            tried = true;
            let mut derived = Zeroizing::new([0; 32]);
            pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, rounds, derived.as_mut_slice());
            let Some(user_key) = blob.unwrap_with(&derived)? else { continue };
            return open_volume_key(&wrapped, &user_key);
        }
        if !tried {
            return Err(Error::new(
                Code::Unsupported,
                "the volume opens only by a certificate or hardware, not by a password",
            ));
        }
        Err(Error::new(Code::Password, "the password does not open the volume"))
    }
}

fn open_volume_key(wrapped: &Blob<'_>, user_key: &[u8; 32]) -> Result<VolumeKey> {
    let mut key = wrapped
        .unwrap_with(user_key)?
        .ok_or_else(|| bad("the volume's key does not unwrap with the key of the password"))?;
    if wrapped.short {
        let mut digest = Sha256::new();
        digest.update(key.get(..16).unwrap_or_default());
        digest.update(wrapped.uuid);
        let digest = Zeroizing::new(<[u8; 32]>::from(digest.finalize()));
        if let (Some(to), Some(from)) = (key.get_mut(16..), digest.get(..16)) {
            to.copy_from_slice(from);
        }
    }
    volume_key(&key)
}
