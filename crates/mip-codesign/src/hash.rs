//! The digests that code directories use (`cs_blobs.h`: `CS_HASHTYPE_…`).

use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha384};

/// A kind of digest. The order is that of preference, as `Security.framework` chooses: the
/// least is the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum HashKind {
    Sha384,
    Sha256,
    /// SHA-256 of which 20 bytes are stored.
    Sha256Cut,
    Sha1,
}

impl HashKind {
    /// The kind that a code directory's `hashType` names.
    pub(crate) fn of(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Sha1),
            2 => Some(Self::Sha256),
            3 => Some(Self::Sha256Cut),
            4 => Some(Self::Sha384),
            _ => None,
        }
    }

    /// Bytes of one stored hash.
    pub(crate) fn stored(self) -> usize {
        match self {
            Self::Sha384 => 48,
            Self::Sha256 => 32,
            Self::Sha256Cut | Self::Sha1 => 20,
        }
    }

    /// The algorithm's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sha384 => "sha384",
            Self::Sha256 | Self::Sha256Cut => "sha256",
            Self::Sha1 => "sha1",
        }
    }

    pub(crate) fn hasher(self) -> Hasher {
        match self {
            Self::Sha384 => Hasher::Sha384(Sha384::new()),
            Self::Sha256 | Self::Sha256Cut => Hasher::Sha256(Sha256::new()),
            Self::Sha1 => Hasher::Sha1(Sha1::new()),
        }
    }

    /// The whole digest of `bytes`.
    pub(crate) fn digest(self, bytes: &[u8]) -> Vec<u8> {
        let mut hasher = self.hasher();
        hasher.update(bytes);
        hasher.finish()
    }

    /// Whether `stored` is the hash of `bytes`.
    pub(crate) fn matches(self, bytes: &[u8], stored: &[u8]) -> bool {
        self.digest(bytes).get(..self.stored()) == Some(stored)
    }
}

/// A digest in the making.
#[derive(Debug, Clone)]
pub(crate) enum Hasher {
    Sha1(Sha1),
    Sha256(Sha256),
    Sha384(Sha384),
}

impl Hasher {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(h) => h.update(bytes),
            Self::Sha256(h) => h.update(bytes),
            Self::Sha384(h) => h.update(bytes),
        }
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        match self {
            Self::Sha1(h) => h.finalize().to_vec(),
            Self::Sha256(h) => h.finalize().to_vec(),
            Self::Sha384(h) => h.finalize().to_vec(),
        }
    }
}
