//! PKCS#12 files (RFC 7292): a look at what they ask for first, then `p12-keystore`.

use aws_lc_rs::pbkdf2::PBKDF2_HMAC_SHA1;
use mip_base::{Code, Error, Limits, Result, len64};
use p12_keystore::{Pkcs12Archive, error::Error as P12Error};
use zeroize::Zeroizing;

use crate::asn1::{self, Reader, context, context_primitive};
use crate::key::{Derivation, WRONG_PASSWORD, pbes2};
use crate::oid;
use crate::password::{NOT_FOR_PKCS12, Password};

const CONVERT: &str = "convert it: openssl pkcs12 -legacy -in old.p12 -nodes -out all.pem, then openssl pkcs12 -export -in all.pem -out new.p12";
/// `p12-keystore` itself stops at this many rounds.
const MOST_ITERATIONS: u64 = 1_000_000;

/// What a PKCS#12 file holds.
pub(crate) struct Content {
    /// PKCS#8.
    pub(crate) key: Zeroizing<Vec<u8>>,
    pub(crate) certificates: Vec<Vec<u8>>,
}

fn refused(why: impl Into<String>) -> Error {
    Error::new(Code::Key, why)
}

fn damaged() -> Error {
    refused("the PKCS#12 file breaks its format, or is not DER").hint(CONVERT)
}

/// Reads a PKCS#12 file with one key.
pub(crate) fn read(der: &[u8], password: Option<&Password>, limits: &Limits) -> Result<Content> {
    let size = len64(der.len());
    if size > limits.pkcs12_bytes {
        return Err(Error::limit(Code::Limit, "pkcs12-bytes", limits.pkcs12_bytes, size));
    }
    if der.starts_with(b"-----BEGIN") {
        return Err(refused("this is a PEM file, not PKCS#12")
            .hint("give the key with --sign-key and its certificates with --sign-cert"));
    }
    look(der, limits)?;
    if password.is_some_and(|p| !p.fits_pkcs12()) {
        return Err(Error::new(Code::Password, NOT_FOR_PKCS12));
    }
    let text = password.map_or("", Password::text);
    let archive = Pkcs12Archive::from_pkcs12(der, text).map_err(|e| match e {
        P12Error::MacError(_) if password.is_none() => {
            Error::new(Code::PasswordMissing, "the PKCS#12 file is protected by a password")
        }
        // The MAC comes first: whatever cannot be decrypted after it was made with two passwords.
        P12Error::MacError(_) | P12Error::UnpadError | P12Error::Pkcs5Error(_) => {
            Error::new(Code::Password, WRONG_PASSWORD)
        }
        P12Error::UnsupportedEncryptionScheme | P12Error::UnsupportedMacAlgorithm => {
            refused("the PKCS#12 file uses an algorithm that is not supported").hint(CONVERT)
        }
        P12Error::InvalidParameters => {
            Error::new(Code::Limit, "the PKCS#12 file asks for too much work or memory")
        }
        _ => damaged(),
    })?;
    let [bag] = archive.keys.as_slice() else {
        return Err(match archive.keys.len() {
            0 => refused("there is no private key in the PKCS#12 file"),
            n => refused(format!("there are {n} private keys in the PKCS#12 file"))
                .hint("give a file with one key"),
        });
    };
    let key = Zeroizing::new(bag.key.as_der().to_vec());
    let certificates = archive.certs.iter().map(|c| c.cert.as_der().to_vec()).collect();
    Ok(Content { key, certificates })
}

/// Walks the unencrypted outside of the file, so that nothing is derived from a password
/// before the work that this takes is known: `p12-keystore` derives while it parses.
fn look(der: &[u8], limits: &Limits) -> Result<()> {
    let limit = limits.kdf_iterations.min(MOST_ITERATIONS);
    let mut work = Work { limit, total: 0 };
    let mut pfx = asn1::whole(der, asn1::SEQUENCE).ok_or_else(damaged)?;
    pfx.small().filter(|v| *v == 3).ok_or_else(damaged)?;
    let safe = pfx.inside(asn1::SEQUENCE).ok_or_else(damaged)?;
    if pfx.is_empty() {
        return Err(refused("the PKCS#12 file has no integrity check (MAC)")
            .hint("export it again with a password: openssl pkcs12 -export"));
    }
    work.mac(pfx.inside(asn1::SEQUENCE).ok_or_else(damaged)?)?;
    pfx.end().ok_or_else(damaged)?;
    let safes = data(safe).ok_or_else(damaged)?;
    let mut safes = asn1::whole(safes, asn1::SEQUENCE).ok_or_else(damaged)?;
    while !safes.is_empty() {
        let mut info = safes.inside(asn1::SEQUENCE).ok_or_else(damaged)?;
        let again = info.clone();
        match info.value(asn1::OID).ok_or_else(damaged)? {
            oid::DATA => work.bags(data(again).ok_or_else(damaged)?)?,
            oid::ENCRYPTED_DATA => work.scheme(encryption(info).ok_or_else(damaged)?)?,
            _ => {
                return Err(refused(
                    "the PKCS#12 file is encrypted to a certificate, not to a password",
                ));
            }
        }
    }
    Ok(())
}

/// The content of a `ContentInfo` of type data.
fn data(mut info: Reader<'_>) -> Option<&[u8]> {
    if info.value(asn1::OID)? != oid::DATA {
        return None;
    }
    let mut explicit = info.inside(context(0))?;
    info.end()?;
    let content = explicit.value(asn1::OCTET_STRING)?;
    explicit.end()?;
    Some(content)
}

/// The algorithm of a `ContentInfo` of type encrypted data, behind its type.
fn encryption(mut info: Reader<'_>) -> Option<Reader<'_>> {
    let mut explicit = info.inside(context(0))?;
    let mut encrypted = explicit.inside(asn1::SEQUENCE)?;
    encrypted.small()?;
    let mut content = encrypted.inside(asn1::SEQUENCE)?;
    content.value(asn1::OID)?;
    let scheme = content.inside(asn1::SEQUENCE)?;
    content.optional(context_primitive(0))?;
    content.end()?;
    Some(scheme)
}

struct Work {
    limit: u64,
    total: u64,
}

impl Work {
    /// Counts the rounds of all derivations together.
    fn rounds(&mut self, iterations: u64) -> Result<()> {
        self.total = self.total.saturating_add(iterations);
        if iterations == 0 {
            return Err(damaged());
        }
        if self.total > self.limit {
            return Err(Error::limit(Code::Limit, "kdf-iterations", self.limit, self.total).hint(
                "export the file again with fewer iterations: openssl pkcs12 -export -iter 100000",
            ));
        }
        Ok(())
    }

    fn mac(&mut self, mut mac: Reader<'_>) -> Result<()> {
        mac.inside(asn1::SEQUENCE).ok_or_else(damaged)?;
        mac.value(asn1::OCTET_STRING).ok_or_else(damaged)?;
        let iterations = if mac.is_empty() { 1 } else { mac.small().ok_or_else(damaged)? };
        mac.end().ok_or_else(damaged)?;
        self.rounds(iterations)
    }

    fn bags(&mut self, safe: &[u8]) -> Result<()> {
        let mut bags = asn1::whole(safe, asn1::SEQUENCE).ok_or_else(damaged)?;
        while !bags.is_empty() {
            let mut bag = bags.inside(asn1::SEQUENCE).ok_or_else(damaged)?;
            let id = bag.value(asn1::OID).ok_or_else(damaged)?;
            let mut value = bag.inside(context(0)).ok_or_else(damaged)?;
            if id == oid::PKCS12_SHROUDED_KEY {
                let mut key = value.inside(asn1::SEQUENCE).ok_or_else(damaged)?;
                self.scheme(key.inside(asn1::SEQUENCE).ok_or_else(damaged)?)?;
            }
        }
        Ok(())
    }

    fn scheme(&mut self, mut scheme: Reader<'_>) -> Result<()> {
        let id = scheme.value(asn1::OID).ok_or_else(damaged)?;
        let parameters = scheme.any().ok_or_else(damaged)?;
        let unsupported = |id: &[u8]| {
            refused(format!(
                "the PKCS#12 file is encrypted with {}, which is not supported",
                oid::text(id)
            ))
            .hint(CONVERT)
        };
        match id {
            oid::PBES2 => {
                let (derivation, cipher, _) = pbes2(parameters.raw).ok_or_else(damaged)?;
                if !matches!(cipher, oid::AES_128_CBC | oid::AES_192_CBC | oid::AES_256_CBC) {
                    return Err(unsupported(cipher));
                }
                match derivation {
                    // `p12-keystore` is built without it.
                    Derivation::Pbkdf2 { hash, .. } if hash == PBKDF2_HMAC_SHA1 => {
                        Err(unsupported(oid::HMAC_SHA1))
                    }
                    Derivation::Pbkdf2 { iterations, .. } => self.rounds(iterations),
                    Derivation::Other(what) => Err(unsupported(what)),
                }
            }
            // What macOS and older tools still export (PBES1, RFC 7292 Appendix C).
            oid::PKCS12_SHA1_3DES | oid::PKCS12_SHA1_RC2_40 => {
                let mut r = asn1::whole(parameters.raw, asn1::SEQUENCE).ok_or_else(damaged)?;
                r.value(asn1::OCTET_STRING).ok_or_else(damaged)?;
                self.rounds(r.small().ok_or_else(damaged)?)
            }
            other => Err(unsupported(other)),
        }
    }
}
