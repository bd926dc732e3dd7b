//! Private keys: PKCS#8 (plain and PBES2), PKCS#1, SEC1. Only here do key bytes exist.

use std::fmt;
use std::num::NonZeroU32;

use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::pbkdf2;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair,
    RSA_PKCS1_SHA256, RsaKeyPair,
};
use mip_base::{Code, Error, Limits, Result};
use zeroize::Zeroizing;

use crate::algorithm::{PublicKey, RSA_MAX_BITS, RSA_MIN_BITS, SignatureAlgorithm, bit_length};
use crate::asn1::{self, Reader};
use crate::password::Password;
use crate::{oid, pem};

/// The one text for every password that does not fit.
pub(crate) const WRONG_PASSWORD: &str = "the password is wrong";
const CONVERT_KEY: &str =
    "convert it: openssl pkcs8 -topk8 -v2 aes-256-cbc -in key.pem -out key-new.pem";

/// A private key that can sign.
pub(crate) enum PrivateKey {
    Rsa(Box<RsaKeyPair>),
    P256(Box<EcdsaKeyPair>),
    P384(Box<EcdsaKeyPair>),
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({})", self.algorithm().name())
    }
}

fn refused(why: impl Into<String>) -> Error {
    Error::new(Code::Key, why)
}

fn damaged() -> Error {
    refused("the private key breaks its format")
}

impl PrivateKey {
    /// The only private key of a PEM file; certificates and other blocks beside it are left alone.
    pub(crate) fn from_pem(
        text: &[u8],
        password: Option<&Password>,
        limits: &Limits,
    ) -> Result<Self> {
        let mut keys = pem::blocks(text, Code::Key)?;
        keys.retain(|b| b.label.ends_with("PRIVATE KEY"));
        let [block] = keys.as_slice() else {
            return Err(match keys.len() {
                0 => refused("there is no private key in the PEM file")
                    .hint("give a PEM file with a PRIVATE KEY block"),
                n => refused(format!("there are {n} private keys in the PEM file"))
                    .hint("give a file with one key"),
            });
        };
        if block.headers {
            return Err(refused(
                "the key is encrypted in the old OpenSSL way, which protects it badly",
            )
            .hint(CONVERT_KEY));
        }
        match block.label.as_str() {
            "PRIVATE KEY" => Self::from_pkcs8(&block.der),
            "ENCRYPTED PRIVATE KEY" => {
                let password = password.ok_or_else(|| {
                    Error::new(Code::PasswordMissing, "the private key is encrypted")
                })?;
                let plain = decrypt_pkcs8(&block.der, password, limits)?;
                // A wrong password can by chance leave valid padding, never a key.
                if asn1::whole(&plain, asn1::SEQUENCE).is_none() {
                    return Err(Error::new(Code::Password, WRONG_PASSWORD));
                }
                Self::from_pkcs8(&plain)
            }
            "RSA PRIVATE KEY" => Self::from_pkcs1(&block.der),
            "EC PRIVATE KEY" => Self::from_sec1(&block.der),
            other => Err(refused(format!(
                "keys of the kind \"{}\" are not supported",
                mip_base::escape(other)
            ))
            .hint("use an RSA, P-256 or P-384 key in PKCS#8, PKCS#1 or SEC1 form")),
        }
    }

    /// `PrivateKeyInfo` (RFC 5208).
    pub(crate) fn from_pkcs8(der: &[u8]) -> Result<Self> {
        let mut r = asn1::whole(der, asn1::SEQUENCE).ok_or_else(damaged)?;
        r.small().filter(|v| *v <= 1).ok_or_else(damaged)?;
        let mut algorithm = r.inside(asn1::SEQUENCE).ok_or_else(damaged)?;
        let id = algorithm.value(asn1::OID).ok_or_else(damaged)?;
        let inner = r.value(asn1::OCTET_STRING).ok_or_else(damaged)?;
        match id {
            oid::RSA => Self::from_pkcs1(inner),
            oid::EC => {
                let curve = algorithm.value(asn1::OID).ok_or_else(damaged)?;
                Self::elliptic(curve, der)
            }
            _ => Err(refused(format!("keys of the kind {} are not supported", oid::text(id)))
                .hint("use RSA of 2048 bits or more, or ECDSA P-256 or P-384")),
        }
    }

    /// `RSAPrivateKey` (RFC 8017 A.1.2).
    fn from_pkcs1(der: &[u8]) -> Result<Self> {
        let mut r = asn1::whole(der, asn1::SEQUENCE).ok_or_else(damaged)?;
        r.small().filter(|v| *v == 0).ok_or_else(damaged)?;
        let mut number = || r.value(asn1::INTEGER).and_then(asn1::unsigned).ok_or_else(damaged);
        let (modulus, exponent) = (number()?, number()?);
        let bits = bit_length(modulus);
        let odd = |n: &[u8]| n.last().is_some_and(|b| b & 1 == 1);
        if bits < RSA_MIN_BITS {
            return Err(Error::new(
                Code::KeyWeak,
                format!("the RSA key has {bits} bits, less than {RSA_MIN_BITS}"),
            ));
        }
        if !odd(modulus) || !odd(exponent) || exponent == [1] {
            return Err(Error::new(
                Code::KeyWeak,
                "the RSA key has an even modulus, or an exponent that is 1 or even",
            ));
        }
        if bits > RSA_MAX_BITS {
            return Err(refused(format!("the RSA key has {bits} bits, more than {RSA_MAX_BITS}")));
        }
        let pair =
            RsaKeyPair::from_der(der).map_err(|_| refused("the RSA key does not hold together"))?;
        Ok(Self::Rsa(Box::new(pair)))
    }

    /// `ECPrivateKey` (RFC 5915) that names its curve.
    fn from_sec1(der: &[u8]) -> Result<Self> {
        let mut r = asn1::whole(der, asn1::SEQUENCE).ok_or_else(damaged)?;
        r.small().filter(|v| *v == 1).ok_or_else(damaged)?;
        r.value(asn1::OCTET_STRING).ok_or_else(damaged)?;
        let mut parameters = r
            .inside(asn1::context(0))
            .ok_or_else(|| refused("the EC key does not name its curve"))?;
        let curve = parameters
            .value(asn1::OID)
            .ok_or_else(|| refused("the EC key does not name its curve"))?;
        Self::elliptic(curve, der)
    }

    fn elliptic(curve: &[u8], der: &[u8]) -> Result<Self> {
        let bad = |_| refused("the EC key does not hold together");
        match curve {
            oid::P256 => EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_ASN1_SIGNING, der)
                .map(|k| Self::P256(Box::new(k)))
                .map_err(bad),
            oid::P384 => EcdsaKeyPair::from_private_key_der(&ECDSA_P384_SHA384_ASN1_SIGNING, der)
                .map(|k| Self::P384(Box::new(k)))
                .map_err(bad),
            _ => Err(refused(format!("the elliptic curve {} is not supported", oid::text(curve)))
                .hint("use ECDSA P-256 or P-384, or RSA of 2048 bits or more")),
        }
    }

    pub(crate) fn algorithm(&self) -> SignatureAlgorithm {
        match self {
            Self::Rsa(_) => SignatureAlgorithm::RsaPkcs1Sha256,
            Self::P256(_) => SignatureAlgorithm::EcdsaP256Sha256,
            Self::P384(_) => SignatureAlgorithm::EcdsaP384Sha384,
        }
    }

    /// The public half, in the form that a certificate has it.
    pub(crate) fn public(&self) -> PublicKey {
        match self {
            Self::Rsa(k) => PublicKey::Rsa {
                der: k.public_key().as_ref().to_vec(),
                bits: k.public_modulus_len().saturating_mul(8),
            },
            Self::P256(k) => PublicKey::P256(k.public_key().as_ref().to_vec()),
            Self::P384(k) => PublicKey::P384(k.public_key().as_ref().to_vec()),
        }
    }

    /// Whether a certificate is for this key.
    pub(crate) fn fits(&self, certificate: &PublicKey) -> bool {
        match (self.public(), certificate) {
            // The bit count above is rounded to bytes; the numbers decide.
            (PublicKey::Rsa { der: a, .. }, PublicKey::Rsa { der: b, .. }) => a == *b,
            (a, b) => a == *b,
        }
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let random = SystemRandom::new();
        let failed = |_| refused("signing failed");
        match self {
            Self::Rsa(k) => {
                let mut out = vec![0; k.public_modulus_len()];
                k.sign(&RSA_PKCS1_SHA256, &random, message, &mut out).map_err(failed)?;
                Ok(out)
            }
            Self::P256(k) | Self::P384(k) => {
                Ok(k.sign(&random, message).map_err(failed)?.as_ref().to_vec())
            }
        }
    }
}

/// What a password-based encryption asks for before a key comes out of a password.
pub(crate) enum Derivation<'a> {
    Pbkdf2 {
        salt: &'a [u8],
        iterations: u64,
        hash: pbkdf2::Algorithm,
    },
    /// Anything else that PBES2 can name.
    Other(&'a [u8]),
}

/// Reads `PBES2-params` (RFC 8018 A.4): derivation, cipher, initialisation vector.
pub(crate) fn pbes2<'a>(parameters: &'a [u8]) -> Option<(Derivation<'a>, &'a [u8], &'a [u8])> {
    let mut r = asn1::whole(parameters, asn1::SEQUENCE)?;
    let mut kdf = r.inside(asn1::SEQUENCE)?;
    let mut cipher = r.inside(asn1::SEQUENCE)?;
    r.end()?;
    let derivation = match kdf.value(asn1::OID)? {
        oid::PBKDF2 => pbkdf2_parameters(kdf.inside(asn1::SEQUENCE)?)?,
        other => Derivation::Other(other),
    };
    let id = cipher.value(asn1::OID)?;
    let iv = if cipher.peek() == Some(asn1::OCTET_STRING) {
        cipher.value(asn1::OCTET_STRING)?
    } else {
        &[]
    };
    Some((derivation, id, iv))
}

fn pbkdf2_parameters(mut r: Reader<'_>) -> Option<Derivation<'_>> {
    let salt = r.value(asn1::OCTET_STRING)?;
    let iterations = r.small()?;
    if r.peek() == Some(asn1::INTEGER) {
        // The key length, which the cipher gives as well.
        r.small()?;
    }
    let prf =
        if r.is_empty() { oid::HMAC_SHA1 } else { r.inside(asn1::SEQUENCE)?.value(asn1::OID)? };
    let hash = match prf {
        oid::HMAC_SHA1 => pbkdf2::PBKDF2_HMAC_SHA1,
        oid::HMAC_SHA256 => pbkdf2::PBKDF2_HMAC_SHA256,
        oid::HMAC_SHA384 => pbkdf2::PBKDF2_HMAC_SHA384,
        oid::HMAC_SHA512 => pbkdf2::PBKDF2_HMAC_SHA512,
        other => return Some(Derivation::Other(other)),
    };
    Some(Derivation::Pbkdf2 { salt, iterations, hash })
}

/// Decrypts `EncryptedPrivateKeyInfo` (RFC 5208 §6). The iteration count is looked at first.
fn decrypt_pkcs8(der: &[u8], password: &Password, limits: &Limits) -> Result<Zeroizing<Vec<u8>>> {
    let mut r = asn1::whole(der, asn1::SEQUENCE).ok_or_else(damaged)?;
    let mut scheme = r.inside(asn1::SEQUENCE).ok_or_else(damaged)?;
    let data = r.value(asn1::OCTET_STRING).ok_or_else(damaged)?;
    r.end().ok_or_else(damaged)?;
    let id = scheme.value(asn1::OID).ok_or_else(damaged)?;
    let unsupported = |what: &[u8]| {
        refused(format!("the key is encrypted with {}, which is not supported", oid::text(what)))
            .hint(CONVERT_KEY)
    };
    if id != oid::PBES2 {
        return Err(unsupported(id));
    }
    let (derivation, cipher, iv) =
        pbes2(scheme.any().ok_or_else(damaged)?.raw).ok_or_else(damaged)?;
    let (salt, iterations, hash) = match derivation {
        Derivation::Pbkdf2 { salt, iterations, hash } => (salt, iterations, hash),
        Derivation::Other(what) => return Err(unsupported(what)),
    };
    let (algorithm, key_len) = match cipher {
        oid::AES_128_CBC => (&AES_128, 16),
        oid::AES_192_CBC => (&AES_192, 24),
        oid::AES_256_CBC => (&AES_256, 32),
        other => return Err(unsupported(other)),
    };
    if iterations > limits.kdf_iterations {
        return Err(Error::limit(Code::Limit, "kdf-iterations", limits.kdf_iterations, iterations));
    }
    let count = u32::try_from(iterations).ok().and_then(NonZeroU32::new).ok_or_else(damaged)?;
    let iv: [u8; 16] = iv.try_into().map_err(|_| damaged())?;
    let mut key = Zeroizing::new(vec![0; key_len]);
    pbkdf2::derive(hash, count, salt, password.text().as_bytes(), &mut key);
    let wrong = |_| Error::new(Code::Password, WRONG_PASSWORD);
    let cipher =
        UnboundCipherKey::new(algorithm, &key).and_then(PaddedBlockDecryptingKey::cbc_pkcs7);
    let cipher = cipher.map_err(|_| refused("the cipher cannot be set up"))?;
    let mut plain = Zeroizing::new(data.to_vec());
    let len = cipher
        .decrypt(&mut plain, DecryptionContext::Iv128(FixedLength::from(iv)))
        .map_err(wrong)?
        .len();
    plain.truncate(len);
    Ok(plain)
}
