//! The one CMS form of a MIP signature (RFC 5652), and making it.

use mip_base::{Code, Error, Limits, Result};

use crate::algorithm::SignatureAlgorithm;
use crate::asn1::{self, context};
use crate::certificate::Certificate;
use crate::chain::Anchors;
use crate::oid;
use crate::signer::Signer;
use crate::verify::verify_detached;

/// Everything that varies between two MIP signatures.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    /// DER certificates, in any order.
    pub(crate) certificates: Vec<&'a [u8]>,
    /// Name element of the signer's issuer.
    pub(crate) issuer: &'a [u8],
    /// INTEGER element of the signer's serial number.
    pub(crate) serial: &'a [u8],
    pub(crate) algorithm: SignatureAlgorithm,
    /// Digest of the content.
    pub(crate) digest: &'a [u8],
    pub(crate) signature: &'a [u8],
}

/// The signed attributes as the SET that is signed: content type and digest, nothing else.
/// No signing time: the same key and content give the same attributes.
pub(crate) fn signed_attributes(digest: &[u8]) -> Vec<u8> {
    attributes(asn1::SET, digest)
}

fn attributes(tag: u8, digest: &[u8]) -> Vec<u8> {
    let attribute = |id: &[u8], value: &[u8]| {
        asn1::sequence(&[&asn1::tlv(asn1::OID, id), &asn1::tlv(asn1::SET, value)])
    };
    let content_type = attribute(oid::CONTENT_TYPE, &asn1::tlv(asn1::OID, oid::MIP_INDEX));
    let message_digest = attribute(oid::MESSAGE_DIGEST, &asn1::tlv(asn1::OCTET_STRING, digest));
    asn1::set_of(tag, &[&content_type, &message_digest])
}

/// The DER of a signature. The only function that knows its layout: a verifier takes a blob
/// apart, builds it again here, and compares.
pub(crate) fn encode(parts: &Parts<'_>) -> Vec<u8> {
    let digest_algorithm = parts.algorithm.digest_identifier();
    let signer = asn1::sequence(&[
        &asn1::integer(&[1]),
        &asn1::sequence(&[parts.issuer, parts.serial]),
        &digest_algorithm,
        &attributes(context(0), parts.digest),
        &parts.algorithm.identifier(),
        &asn1::tlv(asn1::OCTET_STRING, parts.signature),
    ]);
    let signed_data = asn1::sequence(&[
        // Version 3: the content type is not id-data (RFC 5652 §5.1).
        &asn1::integer(&[3]),
        &asn1::tlv(asn1::SET, &digest_algorithm),
        &asn1::sequence(&[&asn1::tlv(asn1::OID, oid::MIP_INDEX)]),
        &asn1::set_of(context(0), &parts.certificates),
        &asn1::tlv(asn1::SET, &signer),
    ]);
    asn1::sequence(&[&asn1::tlv(asn1::OID, oid::SIGNED_DATA), &asn1::tlv(context(0), &signed_data)])
}

/// Signs `content`: a detached CMS SignedData in DER with exactly one form.
///
/// The certificates of the signer go in, without a self-signed root (unless the signer's own
/// certificate is self-signed). The result is checked with the certificate's public key
/// before it is returned, so a faulty key or device cannot publish a bad signature.
///
/// # Errors
/// [`Code::Certificate`] when the chain cannot be used; [`Code::Key`] when signing fails or
/// the signature does not verify; what [`Signer::sign`] returns.
pub fn sign_detached(signer: &dyn Signer, content: &[u8]) -> Result<Vec<u8>> {
    let algorithm = signer.algorithm();
    let mut chain = Vec::new();
    for der in signer.certificates() {
        let certificate = Certificate::parse(der).map_err(|why| {
            Error::new(
                Code::Certificate,
                format!("a certificate of the signer cannot be read: {why}"),
            )
        })?;
        if chain.is_empty() || !certificate.self_issued() {
            chain.push(certificate);
        }
    }
    let leaf = chain
        .first()
        .ok_or_else(|| Error::new(Code::Certificate, "the signer has no certificate"))?;
    if leaf.key.signs_with() != Some(algorithm) {
        let why = format!("{} does not sign with {}", leaf.key.describe(), algorithm.name());
        return Err(Error::new(Code::KeyMismatch, why));
    }
    let digest = algorithm.digest(content);
    let signature = signer.sign(&signed_attributes(&digest))?;
    let signature = algorithm
        .canonical(&signature)
        .ok_or_else(|| Error::new(Code::Key, "the key gave something that is not a signature"))?;
    let certificates = if leaf.self_issued() {
        vec![leaf.der.as_slice()]
    } else {
        chain.iter().map(|c| c.der.as_slice()).collect()
    };
    let der = encode(&Parts {
        certificates,
        issuer: &leaf.issuer,
        serial: &leaf.serial,
        algorithm,
        digest: &digest,
        signature: &signature,
    });
    verify_detached(&der, content, &Anchors::none(), 0, &Limits::default()).map_err(|e| {
        Error::new(
            Code::Key,
            format!("the new signature does not verify, so it is not used: {}", e.message()),
        )
        .hint("check that key and certificates belong together, and that the key device works")
    })?;
    Ok(der)
}
