//! Signatures that no tool of Apple's makes: each differs from a good one in one thing. The
//! root is one of the tests' own, so that there can be good ones.

mod chain;
mod cms;
mod ticket;
mod timestamp;

use mip_base::Limits;

use super::chain::Check;
use super::roots::{Anchor, pinned, roots};
use super::{ClaimState, Content, SignatureClaim, cms as under_test};
use crate::asn1::{self, context, sequence, tlv};
use crate::identity::{KeyAlgorithm, extension, generate, issue, spki, time};
use crate::oid;
pub(super) use crate::tests::{
    Blob, CONTENT, Entity, NOW, around_now, attribute, ca_extensions, code_signing, content_type,
    entity, message_digest, root, validity,
};

/// An identifier below Apple's arc.
fn apple(arcs: &[u8]) -> Vec<u8> {
    [oid::APPLE, arcs].concat()
}

/// A marker extension.
fn mark(arcs: &[u8], critical: bool) -> Vec<u8> {
    extension(&apple(arcs), critical, &[5, 0])
}

fn purposes(ids: &[&[u8]]) -> Vec<u8> {
    let list: Vec<Vec<u8>> = ids.iter().map(|id| tlv(asn1::OID, id)).collect();
    extension(oid::EXTENDED_KEY_USAGE, true, &sequence(&[&list.concat()]))
}

fn digital_signature() -> Vec<u8> {
    extension(oid::KEY_USAGE, true, &tlv(asn1::BIT_STRING, &[7, 0x80]))
}

/// A developer: common name and organizational unit.
fn developer(by: &Entity, name: &str, unit: &str, validity: &[u8], more: &[Vec<u8>]) -> Entity {
    let part = |id: &[u8], text: &str| {
        let pair = sequence(&[&tlv(asn1::OID, id), &tlv(asn1::UTF8_STRING, text.as_bytes())]);
        tlv(asn1::SET, &pair)
    };
    let name = sequence(&[&part(oid::COMMON_NAME, name), &part(oid::ORGANIZATIONAL_UNIT, unit)]);
    let (key, _) = generate(KeyAlgorithm::EcdsaP256).unwrap();
    let public = spki(&key.public()).unwrap();
    let extensions = [&[digital_signature()][..], more].concat();
    let der = issue(&by.key, &by.name, &name, validity, &public, &extensions).unwrap();
    Entity { name, key, der }
}

fn installer_extensions() -> Vec<Vec<u8>> {
    vec![mark(&[6, 1, 14], true), purposes(&[&apple(&[4, 13])])]
}

/// A root, a Developer ID authority and a developer.
struct World {
    root: Entity,
    authority: Entity,
    developer: Entity,
}

const NAME: &str = "Developer ID Installer: Müller, Söhne (Köln) (ABCDE12345)";
const TEAM: &str = "ABCDE12345";

fn long() -> Vec<u8> {
    validity(NOW - 1_000_000, NOW + 1_000_000)
}

fn authority(root: &Entity) -> Entity {
    let extensions = [ca_extensions(Some(0)), vec![mark(&[6, 2, 6], true)]].concat();
    entity("authority", Some(root), &long(), &extensions)
}

impl World {
    fn new() -> Self {
        let root = entity("root", None, &long(), &ca_extensions(None));
        let authority = authority(&root);
        let developer = developer(&authority, NAME, TEAM, &around_now(), &installer_extensions());
        Self { root, authority, developer }
    }

    fn anchors(&self) -> Vec<Anchor> {
        vec![Anchor { name: "test root", certificate: self.root.certificate() }]
    }

    fn signer(&self) -> Signer<'_> {
        Signer::new(&self.developer)
    }

    /// A good signature but for `change`.
    fn blob<'a>(&'a self, change: impl FnOnce(&mut Signer<'a>, &mut Blob)) -> Vec<u8> {
        let mut signer = self.signer();
        let mut blob = software(&[&self.developer, &self.authority]);
        change(&mut signer, &mut blob);
        blob.signers.insert(0, signer.encode());
        blob.encode()
    }

    fn check(&self, blob: &[u8]) -> SignatureClaim {
        self.check_at(blob, NOW)
    }

    fn check_at(&self, blob: &[u8], at: u64) -> SignatureClaim {
        let anchors = self.anchors();
        let limits = Limits::default();
        under_test::check(blob, Content::Bytes(CONTENT), &mut Check::new(at, &limits, &anchors))
    }

    /// State and problem of a good signature but for `change`.
    fn verdict(&self, change: impl FnOnce(&mut Signer<'_>, &mut Blob)) -> (ClaimState, String) {
        let claim = self.check(&self.blob(change));
        (claim.state, claim.problem.unwrap_or_default())
    }
}

/// A blob for software, without signers yet.
fn software(certificates: &[&Entity]) -> Blob {
    let mut blob = Blob::good(certificates, Vec::new());
    blob.version = 1;
    blob.content = sequence(&[&tlv(asn1::OID, oid::DATA)]);
    blob
}

/// Makes a timestamp token over a signature value.
type Stamp<'a> = dyn Fn(&[u8]) -> Vec<u8> + 'a;

/// A `SignerInfo` with every part replaceable; the signature is made over what is there.
struct Signer<'a> {
    version: u8,
    id: Vec<u8>,
    digest_algorithm: Vec<u8>,
    attributes: Option<Vec<Vec<u8>>>,
    signature_algorithm: Vec<u8>,
    by: &'a Entity,
    /// Values of timestamp attributes, made of the signature value.
    stamps: Vec<Box<Stamp<'a>>>,
}

impl<'a> Signer<'a> {
    fn new(by: &'a Entity) -> Self {
        let c = by.certificate();
        Self {
            version: 1,
            id: sequence(&[&c.issuer, &c.serial]),
            digest_algorithm: sequence(&[&tlv(asn1::OID, oid::SHA256)]),
            attributes: Some(vec![content_type(oid::DATA), message_digest(CONTENT)]),
            signature_algorithm: sequence(&[&tlv(asn1::OID, oid::ECDSA_SHA256)]),
            by,
            stamps: Vec::new(),
        }
    }

    fn encode(&self) -> Vec<u8> {
        let parts = |tag| {
            let list: Vec<&[u8]> = self.attributes.iter().flatten().map(Vec::as_slice).collect();
            asn1::node(tag, &list)
        };
        let (signed, shown) = match &self.attributes {
            Some(_) => (parts(asn1::SET), parts(context(0))),
            None => (CONTENT.to_vec(), Vec::new()),
        };
        let value = self.by.key.sign(&signed).unwrap();
        let stamps: Vec<Vec<u8>> = self
            .stamps
            .iter()
            .map(|make| attribute(oid::TIMESTAMP_TOKEN, &[&make(&value)]))
            .collect();
        let unsigned =
            if stamps.is_empty() { Vec::new() } else { tlv(context(1), &stamps.concat()) };
        sequence(&[
            &asn1::integer(&[self.version]),
            &self.id,
            &self.digest_algorithm,
            &shown,
            &self.signature_algorithm,
            &tlv(asn1::OCTET_STRING, &value),
            &unsigned,
        ])
    }
}

/// Fingerprints as Apple and the trust stores of macOS have them, written down from there.
#[test]
fn roots_are_apples() {
    let known = [
        ("Apple Root CA", "B0B1730ECBC7FF4505142C49F1295E6EDA6BCAED7E2C68C5BE91B5A11001F024"),
        ("Apple Root CA - G2", "C2B9B042DD57830E7D117DAC55AC8AE19407D38E41D88F3215BC3A890444A050"),
        ("Apple Root CA - G3", "63343ABFB89A6A03EBB57E9B3F5FA7BE7C4F5C756F3017B3A8C488C3653E9179"),
    ];
    assert_eq!(roots().len(), known.len());
    assert_eq!(pinned().len(), known.len(), "all can be read and have their fingerprints");
    for ((root, anchor), (name, sha256)) in roots().iter().zip(pinned()).zip(known) {
        assert_eq!((root.name, root.sha256), (name, sha256.to_lowercase().as_str()));
        let info = &anchor.certificate.info;
        assert_eq!((anchor.name, info.common_name.as_deref()), (name, Some(name)));
        assert_eq!(info.sha256, root.sha256);
        assert!(anchor.certificate.self_issued() && anchor.certificate.extensions.is_ca());
        assert!(root.source.starts_with("https://www.apple.com/"));
    }
}
