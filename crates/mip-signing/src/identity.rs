//! Throw-away identities: a small certificate authority and a signing certificate, for
//! trying things out and for tests.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair,
};
use aws_lc_rs::{digest, rand};
use der::{DateTime, Encode};
use mip_base::{Code, Error, Result};
use p12_keystore::{
    Certificate as P12Certificate, KeyStore, KeyStoreEntry, PrivateKey as P12Key, PrivateKeyChain,
};
use x509_cert::time::Time;
use zeroize::Zeroizing;

use crate::algorithm::PublicKey;
use crate::asn1::{self, bit_string, context, context_primitive, integer, sequence, tlv};
use crate::key::PrivateKey;
use crate::password::{NOT_FOR_PKCS12, Password};
use crate::{oid, pem};

/// The key of a signing certificate. The throw-away authority always has P-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum KeyAlgorithm {
    /// ECDSA P-256.
    #[default]
    EcdsaP256,
    /// ECDSA P-384.
    EcdsaP384,
    /// RSA, 2048 bits.
    Rsa2048,
    /// RSA, 3072 bits.
    Rsa3072,
    /// RSA, 4096 bits (takes seconds to make).
    Rsa4096,
}

/// What [`create_identity`] makes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct IdentityOptions {
    /// Common name of the signing certificate: 1 to 64 bytes, no control characters.
    pub name: String,
    /// Days of validity, 1 to 3650.
    pub days: u32,
    /// Kind of signing key.
    pub algorithm: KeyAlgorithm,
    /// The time it is made, Unix seconds. Validity starts an hour earlier, for clocks that differ.
    pub now: u64,
    /// Make a PKCS#12 file too, protected by this password.
    pub pkcs12_password: Option<Password>,
}

impl IdentityOptions {
    /// P-256, valid for a year from now, no PKCS#12 file.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        Self {
            name: name.into(),
            days: 365,
            algorithm: KeyAlgorithm::default(),
            now,
            pkcs12_password: None,
        }
    }
}

/// A throw-away identity. The key of its authority was used once and is gone.
#[derive(Clone)]
#[non_exhaustive]
pub struct TestIdentity {
    /// The authority's self-signed certificate: the trust anchor.
    pub ca_certificate_pem: String,
    /// The signing certificate.
    pub certificate_pem: String,
    /// The signing key (PKCS#8, not encrypted).
    pub key_pem: Zeroizing<String>,
    /// Key and both certificates as PKCS#12 (PBES2, AES-256), when a password was given.
    pub pkcs12: Option<Vec<u8>>,
}

impl fmt::Debug for TestIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestIdentity")
            .field("certificate_pem", &self.certificate_pem)
            .finish_non_exhaustive()
    }
}

fn failed(what: &str) -> Error {
    Error::new(Code::Internal, format!("{what} failed"))
}

/// Makes a throw-away certificate authority and a code signing certificate issued by it.
///
/// For trying out and for tests: nothing protects the authority, and nobody vouches for it.
/// Its name says so.
///
/// # Errors
/// [`Code::Usage`] when the name, the number of days or the password cannot be used.
pub fn create_identity(options: &IdentityOptions) -> Result<TestIdentity> {
    let name = options.name.as_str();
    if name.is_empty() || name.len() > 64 || name.chars().any(char::is_control) {
        return Err(Error::new(
            Code::Usage,
            "the name must have 1 to 64 bytes and no control characters",
        ));
    }
    if !(1..=3650).contains(&options.days) {
        return Err(Error::new(
            Code::Usage,
            format!("{} days are not between 1 and 3650", options.days),
        ));
    }
    let from = options.now.saturating_sub(3600);
    let until = options.now.saturating_add(u64::from(options.days).saturating_mul(86_400));
    let validity = sequence(&[&time(from)?, &time(until)?]);

    let ca_name = common_name(&format!("mip throw-away CA (not for production): {name}"));
    let (ca_key, _) = generate(KeyAlgorithm::EcdsaP256)?;
    let ca_spki = spki(&ca_key.public())?;
    let ca_extensions = [
        // cA, and nothing below it but signers.
        extension(oid::BASIC_CONSTRAINTS, true, &sequence(&[&[1, 1, 0xff], &integer(&[])])),
        // keyCertSign and cRLSign
        extension(oid::KEY_USAGE, true, &tlv(asn1::BIT_STRING, &[1, 0x06])),
        extension(oid::SUBJECT_KEY_ID, false, &tlv(asn1::OCTET_STRING, &key_id(&ca_spki))),
    ];
    let ca = issue(&ca_key, &ca_name, &ca_name, &validity, &ca_spki, &ca_extensions)?;

    let (key, key_der) = generate(options.algorithm)?;
    let leaf_spki = spki(&key.public())?;
    let extensions = [
        extension(oid::BASIC_CONSTRAINTS, true, &sequence(&[])),
        // digitalSignature
        extension(oid::KEY_USAGE, true, &tlv(asn1::BIT_STRING, &[7, 0x80])),
        extension(oid::EXTENDED_KEY_USAGE, false, &sequence(&[&tlv(asn1::OID, oid::CODE_SIGNING)])),
        extension(oid::SUBJECT_KEY_ID, false, &tlv(asn1::OCTET_STRING, &key_id(&leaf_spki))),
        extension(
            oid::AUTHORITY_KEY_ID,
            false,
            &sequence(&[&tlv(context_primitive(0), &key_id(&ca_spki))]),
        ),
    ];
    let leaf = issue(&ca_key, &ca_name, &common_name(name), &validity, &leaf_spki, &extensions)?;

    let pkcs12 = match &options.pkcs12_password {
        Some(password) => Some(pkcs12(&key_der, &[&leaf, &ca], password)?),
        None => None,
    };
    Ok(TestIdentity {
        ca_certificate_pem: pem::encode("CERTIFICATE", &ca).to_string(),
        certificate_pem: pem::encode("CERTIFICATE", &leaf).to_string(),
        key_pem: pem::encode("PRIVATE KEY", &key_der),
        pkcs12,
    })
}

/// A new key, ready to sign and as PKCS#8.
pub(crate) fn generate(algorithm: KeyAlgorithm) -> Result<(PrivateKey, Zeroizing<Vec<u8>>)> {
    let bad = |_| failed("making a key");
    let ec = |with| -> Result<Zeroizing<Vec<u8>>> {
        let pair = EcdsaKeyPair::generate(with).map_err(bad)?;
        Ok(Zeroizing::new(pair.to_pkcs8v1().map_err(bad)?.as_ref().to_vec()))
    };
    let rsa = |size| -> Result<Zeroizing<Vec<u8>>> {
        let pair = RsaKeyPair::generate(size).map_err(bad)?;
        Ok(Zeroizing::new(pair.as_der().map_err(bad)?.as_ref().to_vec()))
    };
    let der = match algorithm {
        KeyAlgorithm::EcdsaP256 => ec(&ECDSA_P256_SHA256_ASN1_SIGNING)?,
        KeyAlgorithm::EcdsaP384 => ec(&ECDSA_P384_SHA384_ASN1_SIGNING)?,
        KeyAlgorithm::Rsa2048 => rsa(KeySize::Rsa2048)?,
        KeyAlgorithm::Rsa3072 => rsa(KeySize::Rsa3072)?,
        KeyAlgorithm::Rsa4096 => rsa(KeySize::Rsa4096)?,
    };
    Ok((PrivateKey::from_pkcs8(&der)?, der))
}

pub(crate) fn issue(
    issuer_key: &PrivateKey,
    issuer: &[u8],
    subject: &[u8],
    validity: &[u8],
    spki: &[u8],
    extensions: &[Vec<u8>],
) -> Result<Vec<u8>> {
    let algorithm = issuer_key.algorithm();
    let extensions: Vec<&[u8]> = extensions.iter().map(Vec::as_slice).collect();
    let tbs = sequence(&[
        // Version 3.
        &tlv(context(0), &integer(&[2])),
        &serial()?,
        &algorithm.identifier(),
        issuer,
        validity,
        subject,
        spki,
        &tlv(context(3), &sequence(&extensions)),
    ]);
    let signature = issuer_key.sign(&tbs)?;
    let signature =
        algorithm.canonical(&signature).ok_or_else(|| failed("signing a certificate"))?;
    Ok(sequence(&[&tbs, &algorithm.identifier(), &bit_string(&signature)]))
}

/// 16 random bytes, positive and of full length.
fn serial() -> Result<Vec<u8>> {
    let mut bytes = [0u8; 16];
    rand::fill(&mut bytes).map_err(|_| failed("getting random bytes"))?;
    if let Some(first) = bytes.first_mut() {
        *first = (*first & 0x7f) | 0x40;
    }
    Ok(integer(&bytes))
}

pub(crate) fn time(unix: u64) -> Result<Vec<u8>> {
    let bad = |_| Error::new(Code::Usage, "the validity does not fit into a certificate");
    let time = DateTime::from_unix_duration(Duration::from_secs(unix)).map_err(bad)?;
    Time::from(time).to_der().map_err(bad)
}

pub(crate) fn common_name(name: &str) -> Vec<u8> {
    let pair =
        sequence(&[&tlv(asn1::OID, oid::COMMON_NAME), &tlv(asn1::UTF8_STRING, name.as_bytes())]);
    sequence(&[&tlv(asn1::SET, &pair)])
}

pub(crate) fn extension(id: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let flag: &[u8] = if critical { &[1, 1, 0xff] } else { &[] };
    sequence(&[&tlv(asn1::OID, id), flag, &tlv(asn1::OCTET_STRING, value)])
}

/// The first 20 bytes of the SHA-256 of the key (after RFC 7093 §2, method 1).
fn key_id(spki: &[u8]) -> Vec<u8> {
    let digest = digest::digest(&digest::SHA256, spki);
    digest.as_ref().get(..20).unwrap_or_default().to_vec()
}

pub(crate) fn spki(key: &PublicKey) -> Result<Vec<u8>> {
    let id = |a: &[u8], b: &[u8]| sequence(&[&tlv(asn1::OID, a), b]);
    let curve = |c: &[u8]| id(oid::EC, &tlv(asn1::OID, c));
    let (algorithm, bits) = match key {
        PublicKey::Rsa { der, .. } => (id(oid::RSA, &[5, 0]), der),
        PublicKey::P256(point) => (curve(oid::P256), point),
        PublicKey::P384(point) => (curve(oid::P384), point),
        PublicKey::P521(_) | PublicKey::Other(_) => return Err(failed("encoding a key")),
    };
    Ok(sequence(&[&algorithm, &bit_string(bits)]))
}

fn pkcs12(key: &[u8], chain: &[&[u8]], password: &Password) -> Result<Vec<u8>> {
    if !password.fits_pkcs12() {
        return Err(Error::new(Code::Usage, NOT_FOR_PKCS12));
    }
    let bad = |_| failed("making a PKCS#12 file");
    let certificates = chain
        .iter()
        .map(|c| P12Certificate::from_der(c))
        .collect::<Result<Vec<_>, _>>()
        .map_err(bad)?;
    let mut id = [0u8; 8];
    rand::fill(&mut id).map_err(|_| failed("getting random bytes"))?;
    let entry =
        PrivateKeyChain::new(id.as_slice(), P12Key::from_der(key).map_err(bad)?, certificates);
    let mut store = KeyStore::new();
    store.add_entry("mip signing identity", KeyStoreEntry::PrivateKeyChain(entry));
    store.writer(password.text()).write().map_err(bad)
}
