//! Tests that build what no honest tool builds: each differs from a good one in one thing.

mod chain;
mod cms;
mod keys;

use crate::algorithm::SignatureAlgorithm;
use crate::asn1::{self, context, sequence, tlv};
use crate::certificate::Certificate;
use crate::identity::{KeyAlgorithm, common_name, extension, generate, issue, spki, time};
use crate::key::PrivateKey;
use crate::{Anchors, oid};

pub(super) const NOW: u64 = 1_800_000_000;
pub(super) const CONTENT: &[u8] = b"an index";

/// A name with a key, and the certificate that another name gave it.
pub(super) struct Entity {
    pub(super) name: Vec<u8>,
    pub(super) key: PrivateKey,
    pub(super) der: Vec<u8>,
}

impl Entity {
    pub(super) fn certificate(&self) -> Certificate {
        Certificate::parse(&self.der).unwrap()
    }
    pub(super) fn anchor(&self) -> Anchors {
        Anchors::from_pem(&self.der).unwrap()
    }
}

pub(super) fn validity(from: u64, to: u64) -> Vec<u8> {
    sequence(&[&time(from).unwrap(), &time(to).unwrap()])
}

pub(super) fn around_now() -> Vec<u8> {
    validity(NOW - 1000, NOW + 1000)
}

pub(super) fn ca_extensions(path_length: Option<u8>) -> Vec<Vec<u8>> {
    let length = path_length.map(|n| asn1::integer(&[n])).unwrap_or_default();
    vec![
        extension(oid::BASIC_CONSTRAINTS, true, &sequence(&[&[1, 1, 0xff], &length])),
        extension(oid::KEY_USAGE, true, &tlv(asn1::BIT_STRING, &[1, 0x06])),
    ]
}

pub(super) fn code_signing() -> Vec<u8> {
    extension(oid::EXTENDED_KEY_USAGE, false, &sequence(&[&tlv(asn1::OID, oid::CODE_SIGNING)]))
}

pub(super) fn leaf_extensions() -> Vec<Vec<u8>> {
    vec![extension(oid::KEY_USAGE, true, &tlv(asn1::BIT_STRING, &[7, 0x80])), code_signing()]
}

/// Somebody new, certified by `by` (by itself when there is none).
pub(super) fn entity(
    name: &str,
    by: Option<&Entity>,
    validity: &[u8],
    extensions: &[Vec<u8>],
) -> Entity {
    let (key, _) = generate(KeyAlgorithm::EcdsaP256).unwrap();
    let name = common_name(name);
    let public = spki(&key.public()).unwrap();
    let (issuer, issuer_name) = by.map_or((&key, &name), |e| (&e.key, &e.name));
    let der = issue(issuer, issuer_name, &name, validity, &public, extensions).unwrap();
    Entity { name, key, der }
}

pub(super) fn root(name: &str) -> Entity {
    entity(name, None, &around_now(), &ca_extensions(None))
}

pub(super) fn leaf(by: &Entity) -> Entity {
    entity("signer", Some(by), &around_now(), &leaf_extensions())
}

/// A CMS blob with every part replaceable.
pub(super) struct Blob {
    pub(super) version: u8,
    pub(super) digest_algorithms: Vec<Vec<u8>>,
    pub(super) content: Vec<u8>,
    pub(super) certificates: Vec<u8>,
    pub(super) after_certificates: Vec<u8>,
    pub(super) signers: Vec<Vec<u8>>,
}

/// A SignerInfo with every part replaceable; the signature is made over what is there.
pub(super) struct Info {
    pub(super) signer_id: Vec<u8>,
    pub(super) digest_algorithm: Vec<u8>,
    /// The attributes, in this order.
    pub(super) attributes: Option<Vec<Vec<u8>>>,
    pub(super) signature_algorithm: Vec<u8>,
    pub(super) unsigned: Vec<u8>,
    pub(super) key: PrivateKey,
}

pub(super) fn attribute(id: &[u8], values: &[&[u8]]) -> Vec<u8> {
    sequence(&[&tlv(asn1::OID, id), &asn1::node(asn1::SET, values)])
}

pub(super) fn content_type(id: &[u8]) -> Vec<u8> {
    attribute(oid::CONTENT_TYPE, &[&tlv(asn1::OID, id)])
}

pub(super) fn message_digest(content: &[u8]) -> Vec<u8> {
    let digest = SignatureAlgorithm::EcdsaP256Sha256.digest(content);
    attribute(oid::MESSAGE_DIGEST, &[&tlv(asn1::OCTET_STRING, &digest)])
}

impl Info {
    /// As our own signer makes it.
    pub(super) fn good(signer: Entity) -> Self {
        let c = signer.certificate();
        let algorithm = SignatureAlgorithm::EcdsaP256Sha256;
        Self {
            signer_id: sequence(&[&c.issuer, &c.serial]),
            digest_algorithm: algorithm.digest_identifier(),
            attributes: Some(vec![content_type(oid::MIP_INDEX), message_digest(CONTENT)]),
            signature_algorithm: algorithm.identifier(),
            unsigned: Vec::new(),
            key: signer.key,
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let parts = |tag| {
            let list: Vec<&[u8]> = self.attributes.iter().flatten().map(Vec::as_slice).collect();
            asn1::node(tag, &list)
        };
        let (signed, shown) = match &self.attributes {
            Some(_) => (parts(asn1::SET), parts(context(0))),
            None => (CONTENT.to_vec(), Vec::new()),
        };
        let value = self.key.sign(&signed).unwrap();
        let value = self.key.algorithm().canonical(&value).unwrap();
        sequence(&[
            &asn1::integer(&[1]),
            &self.signer_id,
            &self.digest_algorithm,
            &shown,
            &self.signature_algorithm,
            &tlv(asn1::OCTET_STRING, &value),
            &self.unsigned,
        ])
    }
}

impl Blob {
    pub(super) fn good(certificates: &[&Entity], signers: Vec<Vec<u8>>) -> Self {
        let list: Vec<&[u8]> = certificates.iter().map(|e| e.der.as_slice()).collect();
        Self {
            version: 3,
            digest_algorithms: vec![SignatureAlgorithm::EcdsaP256Sha256.digest_identifier()],
            content: sequence(&[&tlv(asn1::OID, oid::MIP_INDEX)]),
            certificates: asn1::set_of(context(0), &list),
            after_certificates: Vec::new(),
            signers,
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let set = |list: &[Vec<u8>]| tlv(asn1::SET, &list.concat());
        let data = sequence(&[
            &asn1::integer(&[self.version]),
            &set(&self.digest_algorithms),
            &self.content,
            &self.certificates,
            &self.after_certificates,
            &set(&self.signers),
        ]);
        sequence(&[&tlv(asn1::OID, oid::SIGNED_DATA), &tlv(context(0), &data)])
    }
}
