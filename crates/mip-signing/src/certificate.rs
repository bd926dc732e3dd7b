//! X.509 certificates (RFC 5280): exactly what signing and the chain policy need.

use aws_lc_rs::digest;
use der::Decode;
use mip_base::{Code, Error, Result};
use x509_cert::name::Name;
use x509_cert::time::Time;

use crate::algorithm::PublicKey;
use crate::asn1::{self, Reader};
use crate::oid;

/// What a certificate says. All texts are as the certificate has them: escape them before
/// they reach a terminal or a log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CertificateInfo {
    /// The subject as text (RFC 4514, most specific part first).
    pub subject: String,
    /// The (last) common name of the subject.
    pub common_name: Option<String>,
    /// The issuer as text (RFC 4514).
    pub issuer: String,
    /// The serial number in hexadecimal, lower case, whole bytes.
    pub serial_hex: String,
    /// Start of validity, Unix seconds.
    pub not_before: u64,
    /// End of validity (inclusive), Unix seconds.
    pub not_after: u64,
    /// SHA-256 of the DER certificate in hexadecimal: its fingerprint.
    pub sha256: String,
}

/// Reads one DER certificate.
///
/// # Errors
/// [`Code::Certificate`] when it breaks the format.
pub fn parse_certificate_info(der: &[u8]) -> Result<CertificateInfo> {
    match Certificate::parse(der) {
        Ok(c) => Ok(c.info),
        Err(why) => {
            Err(Error::new(Code::Certificate, format!("the certificate cannot be read: {why}")))
        }
    }
}

/// The policy extensions of a certificate.
#[derive(Debug, Clone, Default)]
pub(crate) struct Extensions {
    /// `cA` and `pathLenConstraint`.
    pub(crate) basic: Option<(bool, Option<u64>)>,
    /// The named bits, first bit first.
    pub(crate) key_usage: Option<Vec<u8>>,
    pub(crate) purposes: Option<Vec<Vec<u8>>>,
    pub(crate) name_constraints: bool,
    /// Identifiers of critical extensions that are not understood.
    pub(crate) unknown_critical: Vec<Vec<u8>>,
    pub(crate) subject_key_id: Option<Vec<u8>>,
    /// Identifiers of Apple's own extensions, critical or not.
    pub(crate) apple: Vec<Vec<u8>>,
}

impl Extensions {
    pub(crate) fn is_ca(&self) -> bool {
        matches!(self.basic, Some((true, _)))
    }

    fn usage_bit(&self, mask: u8) -> bool {
        self.key_usage.as_ref().is_none_or(|bits| bits.first().is_some_and(|b| b & mask != 0))
    }

    /// digitalSignature, or no keyUsage at all.
    pub(crate) fn may_sign(&self) -> bool {
        self.usage_bit(0x80)
    }

    /// keyCertSign, or no keyUsage at all.
    pub(crate) fn may_issue(&self) -> bool {
        self.usage_bit(0x04)
    }

    /// codeSigning or any purpose is named; `None` when the extension is absent.
    pub(crate) fn for_code(&self) -> Option<bool> {
        let ok = |p: &Vec<u8>| p == oid::CODE_SIGNING || p == oid::ANY_PURPOSE;
        self.purposes.as_ref().map(|p| p.iter().any(ok))
    }
}

/// A certificate, read.
#[derive(Debug, Clone)]
pub(crate) struct Certificate {
    /// The whole certificate as it came.
    pub(crate) der: Vec<u8>,
    /// The signed part.
    pub(crate) tbs: Vec<u8>,
    /// `AlgorithmIdentifier` of the issuer's signature (inner and outer are equal).
    pub(crate) signature_algorithm: Vec<u8>,
    pub(crate) signature: Vec<u8>,
    /// INTEGER element.
    pub(crate) serial: Vec<u8>,
    /// Name elements.
    pub(crate) issuer: Vec<u8>,
    pub(crate) subject: Vec<u8>,
    pub(crate) key: PublicKey,
    pub(crate) extensions: Extensions,
    pub(crate) info: CertificateInfo,
}

type Parsed<T> = std::result::Result<T, String>;

impl Certificate {
    /// Reads `der`, which must be one certificate and nothing else. The error says what is wrong.
    pub(crate) fn parse(der: &[u8]) -> Parsed<Self> {
        let Envelope { tbs: signed, algorithm, signature } =
            envelope(der).ok_or("it is not a DER certificate")?;
        let mut tbs = Reader::new(signed.value);
        let bad = "its signed part breaks the format";
        let version = match tbs.optional(asn1::context(0)).ok_or(bad)? {
            // Version 1 must be left out in DER, so only 2 and 3 are spelled.
            Some(v) => {
                let mut r = Reader::new(v.value);
                let n =
                    r.small().filter(|n| matches!(n, 1 | 2)).ok_or("its version is not known")?;
                r.end().ok_or(bad)?;
                n
            }
            None => 0,
        };
        let serial = tbs.element(asn1::INTEGER).ok_or(bad)?;
        let serial_number = match asn1::unsigned(serial.value) {
            Some(n) if serial.value.len() <= 21 => mip_base::hex(n),
            _ => return Err("its serial number is negative or too long".into()),
        };
        if tbs.element(asn1::SEQUENCE).ok_or(bad)?.raw != algorithm {
            return Err("its two signature algorithms differ".into());
        }
        let issuer = tbs.element(asn1::SEQUENCE).ok_or(bad)?.raw;
        let mut validity = tbs.inside(asn1::SEQUENCE).ok_or(bad)?;
        let (not_before, not_after) = (time(&mut validity)?, time(&mut validity)?);
        validity.end().ok_or(bad)?;
        let subject = tbs.element(asn1::SEQUENCE).ok_or(bad)?.raw;
        let spki = tbs.element(asn1::SEQUENCE).ok_or(bad)?.raw;
        let key = PublicKey::from_spki(spki).ok_or("its public key breaks the format")?;
        for unique_id in 1..=2 {
            tbs.optional(asn1::context_primitive(unique_id)).ok_or(bad)?;
        }
        let extensions = match tbs.optional(asn1::context(3)).ok_or(bad)? {
            Some(_) if version != 2 => return Err("it has extensions but is not version 3".into()),
            Some(e) => extensions(e.value)?,
            None => Extensions::default(),
        };
        tbs.end().ok_or(bad)?;
        let info = CertificateInfo {
            subject: name(subject)?,
            common_name: name_part(subject, oid::COMMON_NAME),
            issuer: name(issuer)?,
            serial_hex: serial_number,
            not_before,
            not_after,
            sha256: mip_base::hex(digest::digest(&digest::SHA256, der).as_ref()),
        };
        Ok(Self {
            der: der.to_vec(),
            tbs: signed.raw.to_vec(),
            signature_algorithm: algorithm.to_vec(),
            signature: signature.to_vec(),
            serial: serial.raw.to_vec(),
            issuer: issuer.to_vec(),
            subject: subject.to_vec(),
            key,
            extensions,
            info,
        })
    }

    /// Issuer and subject are the same name: a root, for all that matters here. (A certificate
    /// for a change of a root's key is treated as one; it is never needed to reach that root.)
    pub(crate) fn self_issued(&self) -> bool {
        self.issuer == self.subject
    }
}

/// The three parts of a certificate.
struct Envelope<'a> {
    tbs: asn1::Element<'a>,
    /// `AlgorithmIdentifier` element.
    algorithm: &'a [u8],
    signature: &'a [u8],
}

fn envelope(der: &[u8]) -> Option<Envelope<'_>> {
    let mut r = asn1::whole(der, asn1::SEQUENCE)?;
    let tbs = r.element(asn1::SEQUENCE)?;
    let algorithm = r.element(asn1::SEQUENCE)?.raw;
    let signature = r.bytes_of_bits()?;
    r.end()?;
    Some(Envelope { tbs, algorithm, signature })
}

fn time(r: &mut Reader<'_>) -> Parsed<u64> {
    r.any()
        .and_then(|e| Time::from_der(e.raw).ok())
        .map(|t| t.to_unix_duration().as_secs())
        .ok_or_else(|| "its validity is not a time".into())
}

/// Each part of a name costs a search in a table, so a name may not have any number of them.
const LONGEST_NAME: usize = 4096;

fn name(der: &[u8]) -> Parsed<String> {
    if der.len() > LONGEST_NAME {
        return Err(format!("a name in it is longer than {LONGEST_NAME} bytes"));
    }
    Name::from_der(der).map(|n| n.to_string()).map_err(|_| "a name in it breaks the format".into())
}

/// The last attribute `wanted` of a name, when it is text of a kind that is in use.
pub(crate) fn name_part(der: &[u8], wanted: &[u8]) -> Option<String> {
    let mut found = None;
    let mut parts = asn1::whole(der, asn1::SEQUENCE)?;
    while !parts.is_empty() {
        let mut set = parts.inside(asn1::SET)?;
        while !set.is_empty() {
            let mut pair = set.inside(asn1::SEQUENCE)?;
            let id = pair.value(asn1::OID)?;
            let text = pair.any()?;
            if id != wanted {
                continue;
            }
            found = match text.tag {
                // UTF8String, PrintableString, IA5String
                asn1::UTF8_STRING | 0x13 | 0x16 => {
                    std::str::from_utf8(text.value).ok().map(str::to_owned)
                }
                // TeletexString, in practice Latin-1
                0x14 => Some(text.value.iter().map(|b| char::from(*b)).collect()),
                // BMPString
                0x1e => {
                    let units = text
                        .value
                        .chunks_exact(2)
                        .map(|c| mip_base::bytes::be_u16(c, 0).unwrap_or(0xfffd));
                    char::decode_utf16(units).collect::<std::result::Result<_, _>>().ok()
                }
                _ => None,
            };
        }
    }
    found
}

fn extensions(der: &[u8]) -> Parsed<Extensions> {
    let bad = || String::from("its extensions break the format");
    let mut out = Extensions::default();
    let mut list = asn1::whole(der, asn1::SEQUENCE).ok_or_else(bad)?;
    let mut seen: Vec<&[u8]> = Vec::new();
    while !list.is_empty() {
        let mut e = list.inside(asn1::SEQUENCE).ok_or_else(bad)?;
        let id = e.value(asn1::OID).ok_or_else(bad)?;
        let critical = match e.optional(asn1::BOOLEAN).ok_or_else(bad)?.map(|b| b.value) {
            // Real issuers spell the default out, against DER.
            None | Some([0]) => false,
            Some([0xff]) => true,
            Some(_) => return Err(bad()),
        };
        let value = e.value(asn1::OCTET_STRING).ok_or_else(bad)?;
        e.end().ok_or_else(bad)?;
        if seen.len() >= 64 {
            return Err("it has more than 64 extensions".into());
        }
        if seen.contains(&id) {
            return Err(format!("extension {} is there twice", oid::text(id)));
        }
        seen.push(id);
        if id.starts_with(oid::APPLE) {
            out.apple.push(id.to_vec());
        }
        match id {
            oid::BASIC_CONSTRAINTS => out.basic = Some(basic_constraints(value).ok_or_else(bad)?),
            oid::KEY_USAGE => out.key_usage = Some(key_usage(value).ok_or_else(bad)?),
            oid::EXTENDED_KEY_USAGE => out.purposes = Some(purposes(value).ok_or_else(bad)?),
            oid::NAME_CONSTRAINTS => out.name_constraints = true,
            oid::SUBJECT_KEY_ID => out.subject_key_id = key_id(value),
            oid::AUTHORITY_KEY_ID | oid::SUBJECT_ALT_NAME | oid::CERTIFICATE_POLICIES => {}
            _ if critical => out.unknown_critical.push(id.to_vec()),
            _ => {}
        }
    }
    Ok(out)
}

fn basic_constraints(value: &[u8]) -> Option<(bool, Option<u64>)> {
    let mut r = asn1::whole(value, asn1::SEQUENCE)?;
    let ca = match r.optional(asn1::BOOLEAN)?.map(|b| b.value) {
        None | Some([0]) => false,
        Some([0xff]) => true,
        Some(_) => return None,
    };
    let path = if r.is_empty() { None } else { Some(r.small()?) };
    r.end()?;
    Some((ca, path))
}

fn key_usage(value: &[u8]) -> Option<Vec<u8>> {
    let mut r = Reader::new(value);
    let (unused, bits) = r.value(asn1::BIT_STRING)?.split_first()?;
    r.end()?;
    (*unused < 8).then(|| bits.to_vec())
}

/// `None` where it breaks the format: nothing of a chain depends on it.
fn key_id(value: &[u8]) -> Option<Vec<u8>> {
    let mut r = Reader::new(value);
    let id = r.value(asn1::OCTET_STRING)?;
    r.end()?;
    Some(id.to_vec())
}

fn purposes(value: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut r = asn1::whole(value, asn1::SEQUENCE)?;
    let mut out = Vec::new();
    while !r.is_empty() {
        out.push(r.value(asn1::OID)?.to_vec());
    }
    Some(out)
}
