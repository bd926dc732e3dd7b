//! Checking a signature: one signer, one form, every byte accounted for.

use mip_base::{Code, Error, Limits, Result, len64};

use crate::algorithm::{Check, SignatureAlgorithm, split, weak_digest, weak_signature};
use crate::asn1::{self, Reader, context};
use crate::certificate::{Certificate, CertificateInfo};
use crate::chain::{self, Anchors, Trust};
use crate::cms::{Parts, encode, signed_attributes};
use crate::oid;

/// What a valid signature says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verdict {
    /// Whether the signer can be believed.
    pub trust: Trust,
    /// The signer's certificate. Unless trusted, this is only what the signer says of itself:
    /// anyone can make a certificate with any name.
    pub signer: CertificateInfo,
    /// The certificates in the signature, signer first.
    pub chain: Vec<CertificateInfo>,
    /// Digest of the content, for example `sha256`.
    pub digest_algorithm: &'static str,
    /// Signature algorithm, for example `ecdsa-p256-sha256`.
    pub signature_algorithm: &'static str,
}

/// Checks the detached signature `cms` over `content`.
///
/// `at` is the time, in Unix seconds, for which the certificates must be valid. The blob must
/// be exactly the bytes that [`sign_detached`](crate::sign_detached) makes of its parts:
/// nothing in it can be changed, added or left out without notice.
///
/// An `Ok` means that the content is what the holder of the certificate's key signed. Who that
/// is depends on [`Verdict::trust`]: without anchors it is never [`Trust::Trusted`].
///
/// # Errors
/// [`Code::Limit`] when the blob or its number of certificates exceeds `limits`;
/// [`Code::WeakAlg`] for algorithms and keys that are too weak; else [`Code::MipSignature`].
pub fn verify_detached(
    cms: &[u8],
    content: &[u8],
    anchors: &Anchors,
    at: u64,
    limits: &Limits,
) -> Result<Verdict> {
    let size = len64(cms.len());
    if size > limits.cms_bytes {
        return Err(
            Error::limit(Code::Limit, "cms-bytes", limits.cms_bytes, size).within("signature")
        );
    }
    let found = take_apart(cms, limits)?;
    // The reader above is for good messages; this is what makes the form unique.
    let again = encode(&Parts {
        certificates: found.certificates.clone(),
        issuer: found.issuer,
        serial: found.serial,
        algorithm: found.algorithm,
        digest: found.digest,
        signature: found.signature,
    });
    if again != cms {
        return Err(bad("the signature is not in its one canonical form"));
    }
    let read = |der: &&[u8]| {
        Certificate::parse(der).map_err(|why| bad(format!("a certificate cannot be read: {why}")))
    };
    let bag = found.certificates.iter().map(read).collect::<Result<Vec<_>>>()?;
    let path = chain::order(bag, found.issuer, found.serial)?;
    let leaf = path.first().ok_or_else(|| bad("there is no certificate"))?;
    for c in &path {
        if let Some(what) = c.key.weakness() {
            return Err(chain::weak(&what));
        }
        // The signature of a self-signed certificate says nothing, so it may be weak.
        if let (false, Some((id, _))) = (c.self_issued(), split(&c.signature_algorithm))
            && let Some(what) = weak_signature(id)
        {
            return Err(chain::weak(&format!("a certificate signed by {what}")));
        }
    }
    let algorithm = found.algorithm;
    if leaf.key.signs_with() != Some(algorithm) {
        return Err(bad(format!("{} cannot sign with {}", leaf.key.describe(), algorithm.name())));
    }
    if algorithm.canonical(found.signature).as_deref() != Some(found.signature) {
        return Err(bad("the signature value is not in its one canonical form"));
    }
    if algorithm.digest(content) != found.digest {
        return Err(bad("the content is not what was signed"));
    }
    match leaf.key.check(&algorithm.identifier(), &signed_attributes(found.digest), found.signature)
    {
        Check::Holds => {}
        Check::Weak(what) => return Err(chain::weak(&what)),
        Check::Fails | Check::Unsupported(_) => {
            return Err(bad("the signature does not match the signer's key"));
        }
    }
    Ok(Verdict {
        trust: chain::judge(&path, anchors, at),
        signer: leaf.info.clone(),
        chain: path.iter().map(|c| c.info.clone()).collect(),
        digest_algorithm: algorithm.digest_name(),
        signature_algorithm: algorithm.name(),
    })
}

fn bad(why: impl Into<String>) -> Error {
    Error::new(Code::MipSignature, why).within("signature")
}

struct Found<'a> {
    certificates: Vec<&'a [u8]>,
    issuer: &'a [u8],
    serial: &'a [u8],
    algorithm: SignatureAlgorithm,
    digest: &'a [u8],
    signature: &'a [u8],
}

fn take_apart<'a>(cms: &'a [u8], limits: &Limits) -> Result<Found<'a>> {
    let form = || bad("the signature is not a CMS SignedData in DER");
    let mut outer = Reader::new(cms);
    let mut info = outer.inside(asn1::SEQUENCE).ok_or_else(form)?;
    outer.end().ok_or_else(|| bad("there are bytes after the signature"))?;
    if info.value(asn1::OID).ok_or_else(form)? != oid::SIGNED_DATA {
        return Err(form());
    }
    let mut explicit = info.inside(context(0)).ok_or_else(form)?;
    let mut data = explicit.inside(asn1::SEQUENCE).ok_or_else(form)?;
    if data.small().ok_or_else(form)? != 3 {
        return Err(bad("the SignedData version is not 3"));
    }
    let mut digests = data.inside(asn1::SET).ok_or_else(form)?;
    digests.element(asn1::SEQUENCE).ok_or_else(form)?;
    digests.end().ok_or_else(|| bad("there is more than one digest algorithm"))?;
    let mut content = data.inside(asn1::SEQUENCE).ok_or_else(form)?;
    let content_type = content.value(asn1::OID).ok_or_else(form)?;
    if content_type != oid::MIP_INDEX {
        return Err(bad(format!(
            "the content type is {}, not that of a MIP index",
            oid::text(content_type)
        )));
    }
    content.end().ok_or_else(|| bad("the signature carries content of its own"))?;
    let mut bag = data.inside(context(0)).ok_or_else(|| bad("there are no certificates"))?;
    let mut certificates = Vec::new();
    while !bag.is_empty() {
        let count = len64(certificates.len()).saturating_add(1);
        if count > limits.certificates {
            return Err(Error::limit(Code::Limit, "certificates", limits.certificates, count)
                .within("signature"));
        }
        certificates.push(bag.element(asn1::SEQUENCE).ok_or_else(form)?.raw);
    }
    if data.peek() == Some(context(1)) {
        return Err(bad("there are revocation lists, which profile 1 does not have"));
    }
    let mut signers = data.inside(asn1::SET).ok_or_else(form)?;
    data.end().ok_or_else(form)?;
    let mut signer = signers.inside(asn1::SEQUENCE).ok_or_else(|| bad("there is no signer"))?;
    signers.end().ok_or_else(|| bad("there is more than one signer"))?;
    if signer.small().ok_or_else(form)? != 1 {
        return Err(bad("the SignerInfo version is not 1"));
    }
    let mut id = signer.inside(asn1::SEQUENCE).ok_or_else(form)?;
    let issuer = id.element(asn1::SEQUENCE).ok_or_else(form)?.raw;
    let serial = id.element(asn1::INTEGER).ok_or_else(form)?.raw;
    let digest_algorithm = signer.element(asn1::SEQUENCE).ok_or_else(form)?.raw;
    if signer.peek() != Some(context(0)) {
        return Err(bad("there are no signed attributes"));
    }
    let attributes = signer.inside(context(0)).ok_or_else(form)?;
    let signature_algorithm = signer.element(asn1::SEQUENCE).ok_or_else(form)?.raw;
    let signature = signer.value(asn1::OCTET_STRING).ok_or_else(form)?;
    if signer.peek() == Some(context(1)) {
        return Err(bad("there are unsigned attributes, which profile 1 does not have"));
    }
    signer.end().ok_or_else(form)?;
    let algorithm = algorithm(digest_algorithm, signature_algorithm)?;
    let digest = message_digest(attributes)?;
    Ok(Found { certificates, issuer, serial, algorithm, digest, signature })
}

/// The algorithm that both identifiers name.
fn algorithm(digest: &[u8], signature: &[u8]) -> Result<SignatureAlgorithm> {
    let form = || bad("an algorithm breaks its format");
    let (digest, _) = split(digest).ok_or_else(form)?;
    let (signature, _) = split(signature).ok_or_else(form)?;
    if let Some(what) = weak_digest(digest).or_else(|| weak_signature(signature)) {
        return Err(chain::weak(what));
    }
    let found = SignatureAlgorithm::ALL.into_iter().find(|a| a.oid() == signature);
    let found = found.ok_or_else(|| {
        bad(format!("the signature algorithm {} is not one of profile 1", oid::text(signature)))
    })?;
    if found.digest_oid() != digest {
        return Err(bad(format!(
            "the digest {} does not belong to {}",
            oid::text(digest),
            found.name()
        )));
    }
    Ok(found)
}

/// The digest in the signed attributes, which must be exactly the two that belong there.
fn message_digest<'a>(mut attributes: Reader<'a>) -> Result<&'a [u8]> {
    let form = || bad("the signed attributes break their format");
    let mut content_type = None;
    let mut digest = None;
    while !attributes.is_empty() {
        let mut attribute = attributes.inside(asn1::SEQUENCE).ok_or_else(form)?;
        let id = attribute.value(asn1::OID).ok_or_else(form)?;
        let mut values = attribute.inside(asn1::SET).ok_or_else(form)?;
        attribute.end().ok_or_else(form)?;
        let before = match id {
            oid::CONTENT_TYPE => content_type.replace(values.value(asn1::OID).ok_or_else(form)?),
            oid::MESSAGE_DIGEST => {
                digest.replace(values.value(asn1::OCTET_STRING).ok_or_else(form)?)
            }
            _ => {
                return Err(bad(format!(
                    "there is a signed attribute that is not known ({})",
                    oid::text(id)
                )));
            }
        };
        if before.is_some() {
            return Err(bad("a signed attribute is there twice"));
        }
        values.end().ok_or_else(|| bad("a signed attribute has more than one value"))?;
    }
    match (content_type, digest) {
        (Some(oid::MIP_INDEX), Some(digest)) => Ok(digest),
        (Some(_), Some(_)) => Err(bad("the signed content type is not that of a MIP index")),
        _ => Err(bad("a signed attribute is missing")),
    }
}
