//! Signature algorithms and public keys.

use aws_lc_rs::digest;
use aws_lc_rs::signature::{self as sig, UnparsedPublicKey, VerificationAlgorithm};

use crate::{asn1, oid};

/// RSA keys below this are refused.
pub(crate) const RSA_MIN_BITS: usize = 2048;
/// RSA keys above this are refused: checking them costs too much.
pub(crate) const RSA_MAX_BITS: usize = 8192;

const NULL: &[u8] = &[5, 0];

/// The orders of the curves' base points (FIPS 186-4 D.1.2.3 and D.1.2.4), big endian.
const N_P256: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6,
    0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];
const N_P384: [u8; 48] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xc7, 0x63, 0x4d, 0x81, 0xf4, 0x37, 0x2d, 0xdf,
    0x58, 0x1a, 0x0d, 0xb2, 0x48, 0xb0, 0xa7, 0x7a, 0xec, 0xec, 0x19, 0x6a, 0xcc, 0xc5, 0x29, 0x73,
];

/// The algorithms that a MIP archive may be signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignatureAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256, keys of 2048 to 8192 bits. Deterministic.
    RsaPkcs1Sha256,
    /// ECDSA on P-256 with SHA-256.
    EcdsaP256Sha256,
    /// ECDSA on P-384 with SHA-384.
    EcdsaP384Sha384,
}

impl SignatureAlgorithm {
    pub(crate) const ALL: [Self; 3] =
        [Self::RsaPkcs1Sha256, Self::EcdsaP256Sha256, Self::EcdsaP384Sha384];

    /// The name in JSON and for people. Stable.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RsaPkcs1Sha256 => "rsa-pkcs1-sha256",
            Self::EcdsaP256Sha256 => "ecdsa-p256-sha256",
            Self::EcdsaP384Sha384 => "ecdsa-p384-sha384",
        }
    }

    /// The name of the digest that belongs to it. Stable.
    #[must_use]
    pub const fn digest_name(self) -> &'static str {
        match self {
            Self::RsaPkcs1Sha256 | Self::EcdsaP256Sha256 => "sha256",
            Self::EcdsaP384Sha384 => "sha384",
        }
    }

    /// The digest of `content`.
    pub(crate) fn digest(self, content: &[u8]) -> Vec<u8> {
        let with = match self {
            Self::RsaPkcs1Sha256 | Self::EcdsaP256Sha256 => &digest::SHA256,
            Self::EcdsaP384Sha384 => &digest::SHA384,
        };
        digest::digest(with, content).as_ref().to_vec()
    }

    pub(crate) const fn digest_oid(self) -> &'static [u8] {
        match self {
            Self::RsaPkcs1Sha256 | Self::EcdsaP256Sha256 => oid::SHA256,
            Self::EcdsaP384Sha384 => oid::SHA384,
        }
    }

    pub(crate) const fn oid(self) -> &'static [u8] {
        match self {
            Self::RsaPkcs1Sha256 => oid::SHA256_RSA,
            Self::EcdsaP256Sha256 => oid::ECDSA_SHA256,
            Self::EcdsaP384Sha384 => oid::ECDSA_SHA384,
        }
    }

    /// The `AlgorithmIdentifier` of the digest: no parameters (RFC 5754 §2).
    pub(crate) fn digest_identifier(self) -> Vec<u8> {
        asn1::sequence(&[&asn1::tlv(asn1::OID, self.digest_oid())])
    }

    /// The `AlgorithmIdentifier` of the signature: NULL for RSA, nothing for ECDSA (RFC 5754 §3).
    pub(crate) fn identifier(self) -> Vec<u8> {
        let parameters = if self == Self::RsaPkcs1Sha256 { NULL } else { &[] };
        asn1::sequence(&[&asn1::tlv(asn1::OID, self.oid()), parameters])
    }

    /// The one spelling that is accepted of a signature value: for ECDSA strict DER with
    /// s in the lower half of its range. `None` when `value` is no such signature at all.
    pub(crate) fn canonical(self, value: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::RsaPkcs1Sha256 => Some(value.to_vec()),
            Self::EcdsaP256Sha256 => low_s(value, &N_P256),
            Self::EcdsaP384Sha384 => low_s(value, &N_P384),
        }
    }
}

/// Replaces s by n - s when that is smaller: both verify, so one of them must be the only one.
fn low_s<const N: usize>(value: &[u8], order: &[u8; N]) -> Option<Vec<u8>> {
    let mut pair = asn1::whole(value, asn1::SEQUENCE)?;
    let r = asn1::unsigned(pair.value(asn1::INTEGER)?)?;
    let s = asn1::unsigned(pair.value(asn1::INTEGER)?)?;
    pair.end()?;
    let s = padded::<N>(s)?;
    if r.is_empty() || padded::<N>(r)? >= *order || s == [0; N] || s >= *order {
        return None;
    }
    let other = subtract(order, &s);
    Some(asn1::sequence(&[&asn1::integer(r), &asn1::integer(&s.min(other))]))
}

fn padded<const N: usize>(magnitude: &[u8]) -> Option<[u8; N]> {
    let mut out = [0; N];
    out.get_mut(N.checked_sub(magnitude.len())?..)?.copy_from_slice(magnitude);
    Some(out)
}

/// `a - b` for `a >= b`, big endian.
fn subtract<const N: usize>(a: &[u8; N], b: &[u8; N]) -> [u8; N] {
    let mut out = [0; N];
    let mut borrow = false;
    for ((o, a), b) in out.iter_mut().zip(a).zip(b).rev() {
        let (d, first) = a.overflowing_sub(*b);
        let (d, second) = d.overflowing_sub(u8::from(borrow));
        *o = d;
        borrow = first || second;
    }
    out
}

/// A public key of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PublicKey {
    /// `RSAPublicKey` (RFC 8017 A.1.1) in DER, and the size of its modulus.
    Rsa {
        der: Vec<u8>,
        bits: usize,
    },
    /// Uncompressed points.
    P256(Vec<u8>),
    P384(Vec<u8>),
    P521(Vec<u8>),
    /// What this crate does not work with; the text says what it is.
    Other(String),
}

impl PublicKey {
    /// Reads a `SubjectPublicKeyInfo`. `None` when it breaks its format.
    pub(crate) fn from_spki(spki: &[u8]) -> Option<Self> {
        let mut r = asn1::whole(spki, asn1::SEQUENCE)?;
        let mut algorithm = r.inside(asn1::SEQUENCE)?;
        let bits = r.bytes_of_bits()?;
        r.end()?;
        let id = algorithm.value(asn1::OID)?;
        if id == oid::RSA {
            let mut key = asn1::whole(bits, asn1::SEQUENCE)?;
            let modulus = asn1::unsigned(key.value(asn1::INTEGER)?)?;
            let exponent = asn1::unsigned(key.value(asn1::INTEGER)?)?;
            key.end()?;
            let odd = |n: &[u8]| n.last().is_some_and(|b| b & 1 == 1);
            if !odd(modulus) || !odd(exponent) || exponent == [1] {
                return Some(Self::Other(
                    "an RSA key that is not one (even modulus, or a bad exponent)".into(),
                ));
            }
            return Some(Self::Rsa { der: bits.to_vec(), bits: bit_length(modulus) });
        }
        if id == oid::EC {
            let curve = algorithm.value(asn1::OID)?;
            algorithm.end()?;
            let point = bits.to_vec();
            return Some(match (curve, point.len(), point.first()) {
                (oid::P256, 65, Some(4)) => Self::P256(point),
                (oid::P384, 97, Some(4)) => Self::P384(point),
                (oid::P521, 133, Some(4)) => Self::P521(point),
                (oid::P256 | oid::P384 | oid::P521, ..) => {
                    Self::Other("a compressed or damaged point".into())
                }
                _ => Self::Other(format!(
                    "an elliptic curve that is not supported ({})",
                    oid::text(curve)
                )),
            });
        }
        Some(Self::Other(format!("a key of a kind that is not supported ({})", oid::text(id))))
    }

    /// Why the key is too weak to trust anything that it signed.
    pub(crate) fn weakness(&self) -> Option<String> {
        match self {
            Self::Rsa { bits, .. } if *bits < RSA_MIN_BITS => {
                Some(format!("an RSA key of {bits} bits, less than {RSA_MIN_BITS}"))
            }
            _ => None,
        }
    }

    /// The one algorithm that this key signs MIP archives with.
    pub(crate) fn signs_with(&self) -> Option<SignatureAlgorithm> {
        match self {
            Self::Rsa { bits, .. } => (RSA_MIN_BITS..=RSA_MAX_BITS)
                .contains(bits)
                .then_some(SignatureAlgorithm::RsaPkcs1Sha256),
            Self::P256(_) => Some(SignatureAlgorithm::EcdsaP256Sha256),
            Self::P384(_) => Some(SignatureAlgorithm::EcdsaP384Sha384),
            Self::P521(_) | Self::Other(_) => None,
        }
    }

    /// What kind of key it is, for messages.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Rsa { bits, .. } => format!("an RSA key of {bits} bits"),
            Self::P256(_) => "a P-256 key".into(),
            Self::P384(_) => "a P-384 key".into(),
            Self::P521(_) => "a P-521 key".into(),
            Self::Other(what) => what.clone(),
        }
    }

    /// Whether `signature` over `message` holds, made with the algorithm whose
    /// `AlgorithmIdentifier` is `identifier`.
    pub(crate) fn check(&self, identifier: &[u8], message: &[u8], signature: &[u8]) -> Check {
        let Some((id, parameters)) = split(identifier) else {
            return Check::Unsupported("a signature algorithm that breaks its format".into());
        };
        if let Some(name) = weak_signature(id) {
            return Check::Weak(name.into());
        }
        if let Some(why) = self.weakness() {
            return Check::Weak(why);
        }
        let (with, key): (&'static dyn VerificationAlgorithm, &[u8]) = match (self, id) {
            (Self::Rsa { der, bits }, oid::SHA256_RSA | oid::SHA384_RSA | oid::SHA512_RSA)
                if *bits <= RSA_MAX_BITS && (parameters == NULL || parameters.is_empty()) =>
            {
                let with = match id {
                    oid::SHA256_RSA => &sig::RSA_PKCS1_2048_8192_SHA256,
                    oid::SHA384_RSA => &sig::RSA_PKCS1_2048_8192_SHA384,
                    _ => &sig::RSA_PKCS1_2048_8192_SHA512,
                };
                (with, der)
            }
            (Self::P256(p), oid::ECDSA_SHA256) if parameters.is_empty() => {
                (&sig::ECDSA_P256_SHA256_ASN1, p)
            }
            (Self::P256(p), oid::ECDSA_SHA384) if parameters.is_empty() => {
                (&sig::ECDSA_P256_SHA384_ASN1, p)
            }
            (Self::P256(p), oid::ECDSA_SHA512) if parameters.is_empty() => {
                (&sig::ECDSA_P256_SHA512_ASN1, p)
            }
            (Self::P384(p), oid::ECDSA_SHA256) if parameters.is_empty() => {
                (&sig::ECDSA_P384_SHA256_ASN1, p)
            }
            (Self::P384(p), oid::ECDSA_SHA384) if parameters.is_empty() => {
                (&sig::ECDSA_P384_SHA384_ASN1, p)
            }
            (Self::P384(p), oid::ECDSA_SHA512) if parameters.is_empty() => {
                (&sig::ECDSA_P384_SHA512_ASN1, p)
            }
            (Self::P521(p), oid::ECDSA_SHA256) if parameters.is_empty() => {
                (&sig::ECDSA_P521_SHA256_ASN1, p)
            }
            (Self::P521(p), oid::ECDSA_SHA384) if parameters.is_empty() => {
                (&sig::ECDSA_P521_SHA384_ASN1, p)
            }
            (Self::P521(p), oid::ECDSA_SHA512) if parameters.is_empty() => {
                (&sig::ECDSA_P521_SHA512_ASN1, p)
            }
            _ => {
                return Check::Unsupported(format!(
                    "algorithm {} with {}",
                    oid::text(id),
                    self.describe()
                ));
            }
        };
        match UnparsedPublicKey::new(with, key).verify(message, signature) {
            Ok(()) => Check::Holds,
            Err(_) => Check::Fails,
        }
    }
}

/// What came out of checking a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Check {
    Holds,
    Fails,
    Weak(String),
    Unsupported(String),
}

/// Identifier and parameters of an `AlgorithmIdentifier`.
pub(crate) fn split(identifier: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut r = asn1::whole(identifier, asn1::SEQUENCE)?;
    let id = r.value(asn1::OID)?;
    let parameters = if r.is_empty() { &[][..] } else { r.any()?.raw };
    r.end()?;
    Some((id, parameters))
}

/// The identifier of an algorithm that has no parameters, left out or spelled as NULL.
pub(crate) fn without_parameters(identifier: &[u8]) -> Option<&[u8]> {
    let (id, parameters) = split(identifier)?;
    (parameters.is_empty() || parameters == NULL).then_some(id)
}

/// The name of a signature algorithm that is too weak.
pub(crate) fn weak_signature(id: &[u8]) -> Option<&'static str> {
    match id {
        oid::MD2_RSA => Some("RSA with MD2"),
        oid::MD5_RSA => Some("RSA with MD5"),
        oid::SHA1_RSA => Some("RSA with SHA-1"),
        oid::ECDSA_SHA1 => Some("ECDSA with SHA-1"),
        oid::DSA | oid::DSA_SHA1 => Some("DSA"),
        _ => None,
    }
}

/// The name of a digest that is too weak.
pub(crate) fn weak_digest(id: &[u8]) -> Option<&'static str> {
    match id {
        oid::MD5 => Some("MD5"),
        oid::SHA1 => Some("SHA-1"),
        _ => None,
    }
}

/// Bits of a magnitude without leading zero bytes.
pub(crate) fn bit_length(magnitude: &[u8]) -> usize {
    let unused = magnitude.first().map_or(0, |b| b.leading_zeros());
    magnitude.len().saturating_mul(8).saturating_sub(usize::try_from(unused).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i05_ecdsa_values_have_one_spelling() {
        let value = |r: &[u8], s: &[u8]| asn1::sequence(&[&asn1::integer(r), &asn1::integer(s)]);
        let a = SignatureAlgorithm::EcdsaP256Sha256;
        let low = value(&[1], &[2]);
        assert_eq!(a.canonical(&low).unwrap(), low);
        let mut high = N_P256;
        high[31] -= 2;
        assert_eq!(a.canonical(&value(&[1], &high)).unwrap(), low);
        for (r, s) in
            [(&[][..], &[1][..]), (&[1], &[]), (&[1], &N_P256), (&N_P256, &[1]), (&[1; 33], &[1])]
        {
            assert_eq!(a.canonical(&value(r, s)), None);
        }
        let mut trailing = low.clone();
        trailing.push(0);
        assert_eq!(a.canonical(&trailing), None);
        assert_eq!(a.canonical(&[0x30, 7, 2, 2, 0, 1, 2, 1, 2]), None, "r with a leading zero");
    }

    #[test]
    fn subtraction_borrows() {
        assert_eq!(subtract(&[1, 0, 0], &[0, 0, 1]), [0, 0xff, 0xff]);
        assert_eq!(subtract(&[1, 0, 0], &[1, 0, 0]), [0, 0, 0]);
    }

    #[test]
    fn identifiers_match_the_standards() {
        let hex = |a: SignatureAlgorithm| mip_base::hex(&a.identifier());
        assert_eq!(hex(SignatureAlgorithm::RsaPkcs1Sha256), "300d06092a864886f70d01010b0500");
        assert_eq!(hex(SignatureAlgorithm::EcdsaP256Sha256), "300a06082a8648ce3d040302");
        assert_eq!(hex(SignatureAlgorithm::EcdsaP384Sha384), "300a06082a8648ce3d040303");
    }

    #[test]
    fn lengths_in_bits() {
        assert_eq!(bit_length(&[]), 0);
        assert_eq!(bit_length(&[1, 0]), 9);
        assert_eq!(bit_length(&[0x80; 256]), 2048);
    }
}
