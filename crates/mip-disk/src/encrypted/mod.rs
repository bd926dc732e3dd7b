//! Encrypted disk images (`encrcdsa`): version 1 with its header at the end of the file, version 2
//! with its header at the start, and the `token` file of an encrypted sparse bundle.
//!
//! The data is cut into blocks (512 bytes; 4096 in version 1). Each block is AES-CBC with an
//! initialization vector of its own: the first 16 bytes of HMAC-SHA1 over the block's number as
//! a big-endian 32-bit integer. The AES key and the HMAC key are wrapped with a key that
//! PBKDF2-HMAC-SHA1 derives from the password.
//!
//! The wrapped keys end in padding and, in version 2, in a marker (`CKIE`): that is how a wrong
//! password is told, before any data is looked at. The data itself carries no checksum: damage
//! to it gives wrong bytes for the layers above to find, never a complaint about the password.
//! Damage to the salt or to the wrapped keys cannot be told from a wrong password by anyone,
//! unless it spares one of the two keys of version 1.
//!
//! Passwords are bytes. `hdiutil -stdinpass` hands on the bytes it reads, so a password with
//! accents must be given in the same Unicode form, and nothing is normalized here.
//!
//! Sources, read and not copied: vfdecrypt and dmg2john (layout of both headers, block vectors),
//! nlitsme/encrypteddmg (names of the CSSM constants, kinds of unlock entries), apfs-fuse (tokens
//! of sparse bundles), openwall/john pull request 6029 and citruz/dmgwiz pull request 26 (keys
//! wrapped with AES-192 since 2026), RFC 3217 (Triple-DES key wrap of version 1).

//!
//! ```
//! use std::sync::Arc;
//! use mip_base::{Code, Job, ReadAt as _};
//! use mip_disk::encrypted::Encrypted;
//! use mip_testkit::crypt::Encryption;
//!
//! # fn main() -> mip_base::Result<()> {
//! let job = Job::default();
//! let file = Arc::new(Encryption::new("secret").v2(b"a disk image"));
//! let image = Encrypted::open(file, &job)?;
//! assert_eq!(image.info().key_bits, 256);
//! let wrong = image.unlock(b"guess", &job).err().map(|e| e.code());
//! assert_eq!(wrong, Some(Code::Password));
//! let disk = image.unlock(b"secret", &job)?;
//! assert_eq!(disk.size(), 12);
//! # Ok(())
//! # }
//! ```

mod header;
mod reader;
mod unwrap;

use std::fmt;
use std::sync::Arc;

use mip_base::{Code, Error, Job, ReadAt as _, Result, Source};

use header::Header;
use reader::Decrypted;

const MAGIC_V2: &[u8] = b"encrcdsa";
const MAGIC_V1: &[u8] = b"cdsaencr";

/// Whether a file with this start and end (8 bytes each, or more) is an encrypted image.
#[must_use]
pub fn sniff(head: &[u8], tail: &[u8]) -> bool {
    head.starts_with(MAGIC_V2) || tail.ends_with(MAGIC_V1)
}

/// One way to unlock an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Lock {
    /// A password.
    Password,
    /// The private key of a certificate (`hdiutil -certificate`, institutional recovery keys).
    Certificate,
    /// A key bag that a system service holds.
    Keybag,
    /// A kind that is not known.
    Unknown(u32),
}

impl Lock {
    /// What it is, in words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Lock::Password => "a password",
            Lock::Certificate => "a certificate",
            Lock::Keybag => "a key bag",
            Lock::Unknown(_) => "an unknown kind of key",
        }
    }
}

/// What the header of an encrypted image says. None of it is secret.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// 1 or 2.
    pub version: u32,
    /// Bits of the AES key: 128 or 256.
    pub key_bits: u32,
    /// Bytes of a block.
    pub block_size: u32,
    /// Bytes of the decrypted image.
    pub data_size: u64,
    /// Each way to unlock it, in the order of the file.
    pub locks: Vec<Lock>,
    /// Iterations of the key derivation, summed over all passwords.
    pub iterations: u64,
}

/// An encrypted image whose header was read.
pub struct Encrypted {
    header: Header,
    /// Where the ciphertext is.
    data: Source,
    /// Ciphertext of nothing but zeros is a hole, not data.
    holes: bool,
}

impl fmt::Debug for Encrypted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encrypted").field("info", &self.header.info).finish_non_exhaustive()
    }
}

impl Encrypted {
    /// Reads the header of an encrypted image. No password is needed, no key is derived.
    ///
    /// # Errors
    /// [`Code::DmgEncrypted`] when the header breaks the format; [`Code::Truncated`] when the file
    /// holds less than the header says; [`Code::Unsupported`] for algorithms that are not known.
    pub fn open(source: Source, job: &Job) -> Result<Self> {
        job.check()?;
        let header = header::read(&source, job)?;
        // CBC works on pieces of 16 bytes, so the last block may be stored short.
        let need = header.info.data_size.checked_next_multiple_of(16).unwrap_or(u64::MAX);
        if need > header.stored {
            let what = format!(
                "the encrypted image says that it holds {} bytes, and {} are there",
                header.info.data_size, header.stored
            );
            return Err(Error::new(Code::Truncated, what));
        }
        Ok(Self { header, data: source, holes: false })
    }

    /// Reads the `token` file of an encrypted sparse bundle. `bands` is the bundle as
    /// [`open_bundle`](crate::sparse::open_bundle) gives it: the blocks are numbered through it from its
    /// first byte, and its size is the size of the decrypted image.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_bundle(token: &Source, bands: Source, job: &Job) -> Result<Self> {
        job.check()?;
        let mut header = header::read(token, job)?;
        if header.info.version != 2 {
            let what = "the token of the sparse bundle is not of version 2";
            return Err(Error::new(Code::Unsupported, what));
        }
        header.data_at = 0;
        header.stored = bands.size();
        // A disk has whole sectors; a rest could not have been encrypted.
        header.info.data_size = bands.size() & !15;
        header::check_block_count(&header.info)?;
        Ok(Self { header, data: bands, holes: true })
    }

    /// What the header says.
    #[must_use]
    pub fn info(&self) -> &Info {
        &self.header.info
    }

    /// Whether a password could open the image at all: to ask before a person is asked.
    ///
    /// # Errors
    /// [`Code::Unsupported`] and [`Code::Limit`] as from [`unlock`](Self::unlock).
    pub fn check(&self, job: &Job) -> Result<()> {
        unwrap::check(&self.header, job)
    }

    /// The decrypted image. Each password entry of the header is tried.
    ///
    /// Blocks are decrypted when they are read; a few are kept. Memory: less than 1 MiB, or eight
    /// blocks where those are larger than 16 KiB. Deriving a key takes about a second for a few
    /// million iterations, and a cancel does not interrupt it.
    ///
    /// # Errors
    /// [`Code::Password`] when `password` opens none of them; [`Code::Unsupported`] when the image
    /// has no password, or a kind of wrapping that is not known; [`Code::Limit`] when the key
    /// derivation asks for more iterations than
    /// [`Limits::image_kdf_iterations`](mip_base::Limits::image_kdf_iterations), before it starts.
    pub fn unlock(&self, password: &[u8], job: &Job) -> Result<Source> {
        job.check()?;
        let keys = unwrap::keys(&self.header, password, job)?;
        let image = Decrypted::new(self.data.clone(), &self.header, &keys, self.holes, job)?;
        Ok(Arc::new(image))
    }
}
