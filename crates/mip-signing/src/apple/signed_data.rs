//! A CMS `SignedData` (RFC 5652 §5) taken apart. Everything is in DER by then.

use mip_base::{Limits, len64};

use super::digest::{Digest, Holds, holds, signature_digest};
use super::{ClaimState, Content};
use crate::algorithm::without_parameters;
use crate::asn1::{self, Reader, context, context_primitive};
use crate::certificate::Certificate;
use crate::oid;

/// Signers of one blob. Apple's tools make one.
const MAX_SIGNERS: usize = 8;
/// Attributes of one signer. Apple's tools make up to five.
const MAX_ATTRIBUTES: usize = 64;

/// Why a signature cannot be called good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Problem {
    Invalid(String),
    Unsupported(String),
}

impl Problem {
    /// The same of another signature beside or inside this one.
    pub(super) fn of(self, whose: &str) -> Self {
        match self {
            Self::Invalid(why) => Self::Invalid(format!("of {whose}: {why}")),
            Self::Unsupported(why) => Self::Unsupported(format!("of {whose}: {why}")),
        }
    }
}

/// What a check comes to. `Ok`: the bytes are what was signed; with why the signer does not count.
pub(super) fn judged(result: Result<Option<String>, Problem>) -> (ClaimState, Option<String>) {
    match result {
        Ok(None) => (ClaimState::Valid, None),
        Ok(why) => (ClaimState::Untrusted, why),
        Err(Problem::Invalid(why)) => (ClaimState::Invalid, Some(why)),
        Err(Problem::Unsupported(why)) => (ClaimState::Unsupported, Some(why)),
    }
}

/// Refuses more certificates than `limits` allow.
pub(super) fn countable(certificates: u64, limits: &Limits) -> Result<(), Problem> {
    if certificates > limits.certificates {
        let why = format!("there are more than {} certificates", limits.certificates);
        return Err(unsupported(why));
    }
    Ok(())
}

pub(super) fn invalid(why: impl Into<String>) -> Problem {
    Problem::Invalid(why.into())
}

pub(super) fn unsupported(why: impl Into<String>) -> Problem {
    Problem::Unsupported(why.into())
}

fn form() -> Problem {
    invalid("the signature is not a CMS SignedData")
}

/// The parts of a blob.
pub(super) struct SignedData<'a> {
    pub(super) content_type: &'a [u8],
    /// The content, where the blob carries it.
    pub(super) content: Option<&'a [u8]>,
    /// DER, in the order of the blob.
    pub(super) certificates: Vec<&'a [u8]>,
    pub(super) signers: Vec<SignerInfo<'a>>,
}

enum SignerId<'a> {
    /// Name and INTEGER element.
    Issuer(&'a [u8], &'a [u8]),
    /// Subject key identifier.
    Key(&'a [u8]),
}

/// One signer.
pub(super) struct SignerInfo<'a> {
    id: SignerId<'a>,
    /// Identifier of the digest algorithm.
    digest: &'a [u8],
    /// Content of the signed attributes.
    attributes: Option<&'a [u8]>,
    /// `AlgorithmIdentifier` element.
    signature_algorithm: &'a [u8],
    pub(super) signature: &'a [u8],
    /// Content of the unsigned attributes.
    unsigned: &'a [u8],
}

/// Identifier and values of an attribute.
pub(super) type Attribute<'a> = (&'a [u8], Reader<'a>);

impl<'a> SignedData<'a> {
    /// Takes `der` apart, which must be one `ContentInfo`.
    pub(super) fn read(der: &'a [u8], limits: &Limits) -> Result<Self, Problem> {
        let mut info = asn1::whole(der, asn1::SEQUENCE).ok_or_else(form)?;
        if info.value(asn1::OID).ok_or_else(form)? != oid::SIGNED_DATA {
            return Err(form());
        }
        let mut explicit = info.inside(context(0)).ok_or_else(form)?;
        info.end().ok_or_else(form)?;
        let mut data = explicit.inside(asn1::SEQUENCE).ok_or_else(form)?;
        explicit.end().ok_or_else(form)?;
        match data.small().ok_or_else(form)? {
            1 | 3..=5 => {}
            version => return Err(unsupported(format!("a SignedData of version {version}"))),
        }
        // The list is a hint for reading in one pass; each signer names its own digest.
        data.element(asn1::SET).ok_or_else(form)?;
        let mut encapsulated = data.inside(asn1::SEQUENCE).ok_or_else(form)?;
        let content_type = encapsulated.value(asn1::OID).ok_or_else(form)?;
        let content = match encapsulated.optional(context(0)).ok_or_else(form)? {
            None => None,
            Some(e) => {
                let mut r = Reader::new(e.value);
                let content = r.value(asn1::OCTET_STRING).ok_or_else(form)?;
                r.end().ok_or_else(form)?;
                Some(content)
            }
        };
        encapsulated.end().ok_or_else(form)?;
        let certificates = match data.optional(context(0)).ok_or_else(form)? {
            None => Vec::new(),
            Some(bag) => certificates(bag.value, limits)?,
        };
        // Revocation lists: what they say is old, and is not looked at.
        data.optional(context(1)).ok_or_else(form)?;
        let mut set = data.inside(asn1::SET).ok_or_else(form)?;
        data.end().ok_or_else(form)?;
        let mut signers = Vec::new();
        while !set.is_empty() {
            if signers.len() >= MAX_SIGNERS {
                return Err(unsupported(format!("there are more than {MAX_SIGNERS} signers")));
            }
            let info = set.inside(asn1::SEQUENCE).ok_or_else(form)?;
            signers.push(SignerInfo::read(info).ok_or_else(form)?);
        }
        if signers.is_empty() {
            return Err(invalid("there is no signer"));
        }
        Ok(Self { content_type, content, certificates, signers })
    }

    /// The certificates that can be read; nobody can have signed with the others.
    pub(super) fn bag(&self) -> Vec<Certificate> {
        self.certificates.iter().filter_map(|der| Certificate::parse(der).ok()).collect()
    }
}

fn certificates<'a>(bag: &'a [u8], limits: &Limits) -> Result<Vec<&'a [u8]>, Problem> {
    let mut out = Vec::new();
    let mut r = Reader::new(bag);
    let mut count = 0u64;
    while !r.is_empty() {
        count = count.saturating_add(1);
        countable(count, limits)?;
        let e = r.any().ok_or_else(form)?;
        // Other kinds of certificates have tags of their own.
        if e.tag == asn1::SEQUENCE {
            out.push(e.raw);
        }
    }
    Ok(out)
}

impl<'a> SignerInfo<'a> {
    fn read(mut info: Reader<'a>) -> Option<Self> {
        let version = info.small()?;
        let id = match (version, info.peek()?) {
            (1, asn1::SEQUENCE) => {
                let mut r = info.inside(asn1::SEQUENCE)?;
                let issuer = r.element(asn1::SEQUENCE)?.raw;
                let serial = r.element(asn1::INTEGER)?.raw;
                r.end()?;
                SignerId::Issuer(issuer, serial)
            }
            (3, _) => SignerId::Key(info.value(context_primitive(0))?),
            _ => return None,
        };
        let digest = without_parameters(info.element(asn1::SEQUENCE)?.raw)?;
        let attributes = info.optional(context(0))?.map(|e| e.value);
        let signature_algorithm = info.element(asn1::SEQUENCE)?.raw;
        let signature = info.value(asn1::OCTET_STRING)?;
        let unsigned = info.optional(context(1))?.map(|e| e.value).unwrap_or_default();
        info.end()?;
        Some(Self { id, digest, attributes, signature_algorithm, signature, unsigned })
    }

    /// The signer's certificate in `bag`.
    pub(super) fn certificate<'b>(&self, bag: &'b [Certificate]) -> Option<&'b Certificate> {
        bag.iter().find(|c| match self.id {
            SignerId::Issuer(issuer, serial) => c.issuer == issuer && c.serial == serial,
            SignerId::Key(id) => c.extensions.subject_key_id.as_deref() == Some(id),
        })
    }

    /// The digest algorithm over the content.
    pub(super) fn digest(&self) -> Result<Digest, Problem> {
        Digest::from_oid(self.digest)
            .ok_or_else(|| unsupported(format!("the digest {}", oid::text(self.digest))))
    }

    /// The signed attributes, each once.
    pub(super) fn signed_attributes(&self) -> Result<Vec<Attribute<'a>>, Problem> {
        let list = attributes(self.attributes.unwrap_or_default())?;
        let mut ids: Vec<_> = list.iter().map(|(id, _)| *id).collect();
        ids.sort_unstable();
        if ids.windows(2).any(|pair| pair.first() == pair.get(1)) {
            return Err(invalid("a signed attribute is there twice"));
        }
        Ok(list)
    }

    pub(super) fn unsigned_attributes(&self) -> Result<Vec<Attribute<'a>>, Problem> {
        attributes(self.unsigned)
    }

    /// Checks the signature of `certificate` over the content, of type `content_type`.
    pub(super) fn check(
        &self,
        certificate: &Certificate,
        content_type: &[u8],
        content: Content<'_>,
    ) -> Result<(), Problem> {
        let digest = self.digest()?;
        let over = signature_digest(self.signature_algorithm, Some(digest))
            .map_err(|what| unsupported(format!("it uses {what}, which is not supported")))?;
        let of_content = match content {
            Content::Bytes(bytes) => digest.of(bytes),
            Content::Digests(digests) => digests(digest.name()).ok_or_else(|| {
                unsupported(format!("there is no {} of the content", digest.name()))
            })?,
        };
        let hash = match self.attributes {
            None if content_type != oid::DATA => {
                return Err(invalid("there are no signed attributes"));
            }
            None => of_content,
            Some(raw) => {
                let attributes = self.signed_attributes()?;
                let value = |id: &[u8], tag: u8| {
                    let mut values = attributes.iter().find(|(i, _)| *i == id)?.1.clone();
                    let value = values.value(tag)?;
                    values.end().map(|()| value)
                };
                match value(oid::CONTENT_TYPE, asn1::OID) {
                    Some(signed) if signed == content_type => {}
                    Some(_) => return Err(invalid("the content type is not what was signed")),
                    None => return Err(invalid("the signed content type is missing")),
                }
                match value(oid::MESSAGE_DIGEST, asn1::OCTET_STRING) {
                    Some(signed) if signed == of_content => {}
                    Some(_) => return Err(invalid("the content is not what was signed")),
                    None => return Err(invalid("the signed digest is missing")),
                }
                // RFC 5652 §5.4: what is signed is the SET, not the tag it is sent with.
                over.of(&asn1::tlv(asn1::SET, raw))
            }
        };
        match holds(&certificate.key, over, &hash, self.signature) {
            Holds::Yes => Ok(()),
            Holds::No if self.attributes.is_none() => {
                Err(invalid("the content is not what was signed, or not by this signer"))
            }
            Holds::No => Err(invalid("the signature does not match the signer's certificate")),
            Holds::Unsupported(what) => {
                Err(unsupported(format!("it uses {what}, which is not supported")))
            }
        }
    }
}

fn attributes(content: &[u8]) -> Result<Vec<Attribute<'_>>, Problem> {
    let bad = || invalid("the attributes of the signer break their format");
    let mut r = Reader::new(content);
    let mut out = Vec::new();
    while !r.is_empty() {
        if out.len() >= MAX_ATTRIBUTES {
            return Err(unsupported(format!("there are more than {MAX_ATTRIBUTES} attributes")));
        }
        let mut attribute = r.inside(asn1::SEQUENCE).ok_or_else(bad)?;
        let id = attribute.value(asn1::OID).ok_or_else(bad)?;
        let values = attribute.inside(asn1::SET).ok_or_else(bad)?;
        attribute.end().ok_or_else(bad)?;
        out.push((id, values));
    }
    Ok(out)
}

/// Whether a blob of `len` bytes is within the limits.
pub(super) fn within(len: usize, limits: &Limits) -> Result<(), Problem> {
    let size = len64(len);
    if size > limits.cms_bytes {
        return Err(unsupported(format!(
            "the signature has {size} bytes, the limit is {}",
            limits.cms_bytes
        )));
    }
    Ok(())
}
