//! Digests and signature values as Apple's tools have used them since 2012. SHA-1 is among
//! them: every package that macOS 10.13 and older must read is signed with it.

use aws_lc_rs::digest as aws;
use aws_lc_rs::signature::{self as sig, UnparsedPublicKey, VerificationAlgorithm};

use crate::algorithm::{PublicKey, RSA_MAX_BITS, RSA_MIN_BITS, split, without_parameters};
use crate::oid;

/// A digest that is read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Digest {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl Digest {
    pub(super) const ALL: [Self; 4] = [Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512];

    /// The name in JSON and in xar tables.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    pub(super) const fn size(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    pub(super) const fn oid(self) -> &'static [u8] {
        match self {
            Self::Sha1 => oid::SHA1,
            Self::Sha256 => oid::SHA256,
            Self::Sha384 => oid::SHA384,
            Self::Sha512 => oid::SHA512,
        }
    }

    pub(super) fn from_oid(id: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|d| d.oid() == id)
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|d| name.eq_ignore_ascii_case(d.name()))
    }

    fn algorithm(self) -> &'static aws::Algorithm {
        match self {
            Self::Sha1 => &aws::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &aws::SHA256,
            Self::Sha384 => &aws::SHA384,
            Self::Sha512 => &aws::SHA512,
        }
    }

    /// The digest of `bytes`.
    pub(super) fn of(self, bytes: &[u8]) -> Vec<u8> {
        aws::digest(self.algorithm(), bytes).as_ref().to_vec()
    }
}

/// What came out of checking a signature value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Holds {
    Yes,
    No,
    /// Nothing can be said; the text says what it uses.
    Unsupported(String),
}

/// The digest that a signature algorithm (`AlgorithmIdentifier`) works with; `digest` where it
/// leaves that to the digest algorithm beside it, as Apple's tools do (`rsaEncryption`).
pub(super) fn signature_digest(
    identifier: &[u8],
    digest: Option<Digest>,
) -> Result<Digest, String> {
    let id = without_parameters(identifier).ok_or_else(|| match split(identifier) {
        Some((id, _)) => format!("the signature algorithm {} with parameters", oid::text(id)),
        None => "a signature algorithm that breaks its format".into(),
    })?;
    let own = match id {
        oid::RSA | oid::EC => None,
        oid::SHA1_RSA | oid::ECDSA_SHA1 => Some(Digest::Sha1),
        oid::SHA256_RSA | oid::ECDSA_SHA256 => Some(Digest::Sha256),
        oid::SHA384_RSA | oid::ECDSA_SHA384 => Some(Digest::Sha384),
        oid::SHA512_RSA | oid::ECDSA_SHA512 => Some(Digest::Sha512),
        _ => return Err(format!("the signature algorithm {}", oid::text(id))),
    };
    match (own, digest) {
        (Some(own), Some(beside)) if own != beside => {
            Err(format!("a signature with {} over a digest with {}", own.name(), beside.name()))
        }
        (Some(d), _) | (None, Some(d)) => Ok(d),
        (None, None) => Err("a signature algorithm without a digest".into()),
    }
}

/// The name of what `key` makes with `digest`: `rsa-pkcs1-sha256`, `ecdsa-p256-sha256`, …
pub(super) fn signature_name(key: &PublicKey, digest: Digest) -> Option<String> {
    let kind = match key {
        PublicKey::Rsa { .. } => "rsa-pkcs1",
        PublicKey::P256(_) => "ecdsa-p256",
        PublicKey::P384(_) => "ecdsa-p384",
        PublicKey::P521(_) => "ecdsa-p521",
        PublicKey::Other(_) => return None,
    };
    Some(format!("{kind}-{}", digest.name()))
}

/// Whether `value` is a signature of `key` over the message that has the digest `hash`.
pub(super) fn holds(key: &PublicKey, digest: Digest, hash: &[u8], value: &[u8]) -> Holds {
    let (with, bytes): (&'static dyn VerificationAlgorithm, &[u8]) = match (key, digest) {
        (PublicKey::Rsa { bits, .. }, _) if !(RSA_MIN_BITS..=RSA_MAX_BITS).contains(bits) => {
            return Holds::Unsupported(format!("an RSA key of {bits} bits"));
        }
        (PublicKey::Rsa { der, .. }, _) => {
            let with = match digest {
                Digest::Sha1 => &sig::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
                Digest::Sha256 => &sig::RSA_PKCS1_2048_8192_SHA256,
                Digest::Sha384 => &sig::RSA_PKCS1_2048_8192_SHA384,
                Digest::Sha512 => &sig::RSA_PKCS1_2048_8192_SHA512,
            };
            (with, der)
        }
        (PublicKey::P256(p), Digest::Sha1) => (&sig::ECDSA_P256_SHA1_ASN1, p),
        (PublicKey::P256(p), Digest::Sha256) => (&sig::ECDSA_P256_SHA256_ASN1, p),
        (PublicKey::P256(p), Digest::Sha384) => (&sig::ECDSA_P256_SHA384_ASN1, p),
        (PublicKey::P256(p), Digest::Sha512) => (&sig::ECDSA_P256_SHA512_ASN1, p),
        (PublicKey::P384(p), Digest::Sha256) => (&sig::ECDSA_P384_SHA256_ASN1, p),
        (PublicKey::P384(p), Digest::Sha384) => (&sig::ECDSA_P384_SHA384_ASN1, p),
        (PublicKey::P384(p), Digest::Sha512) => (&sig::ECDSA_P384_SHA512_ASN1, p),
        (PublicKey::P521(p), Digest::Sha256) => (&sig::ECDSA_P521_SHA256_ASN1, p),
        (PublicKey::P521(p), Digest::Sha384) => (&sig::ECDSA_P521_SHA384_ASN1, p),
        (PublicKey::P521(p), Digest::Sha512) => (&sig::ECDSA_P521_SHA512_ASN1, p),
        (PublicKey::P384(_) | PublicKey::P521(_), Digest::Sha1) | (PublicKey::Other(_), _) => {
            return Holds::Unsupported(format!("{} with {}", key.describe(), digest.name()));
        }
    };
    let Ok(hash) = aws::Digest::import_less_safe(hash, digest.algorithm()) else {
        return Holds::No;
    };
    match UnparsedPublicKey::new(with, bytes).verify_digest(&hash, value) {
        Ok(()) => Holds::Yes,
        Err(_) => Holds::No,
    }
}
