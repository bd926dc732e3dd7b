//! The chain policy (cases I6 to I10), and bags that are not one chain.

use std::time::Instant;

use mip_base::{Code, Limits, Result};

use super::*;
use crate::algorithm::PublicKey;
use crate::{Trust, Verdict, verify_detached};

fn blob(signer: Entity, others: &[&Entity]) -> Vec<u8> {
    let all: Vec<&Entity> = [&signer].into_iter().chain(others.iter().copied()).collect();
    let mut blob = Blob::good(&all, Vec::new());
    drop(all);
    blob.signers.push(Info::good(signer).encode());
    blob.encode()
}

fn at(cms: &[u8], anchors: &Anchors, at: u64) -> Result<Verdict> {
    verify_detached(cms, CONTENT, anchors, at, &Limits::default())
}

fn untrusted(verdict: Result<Verdict>, words: &str) {
    match verdict.unwrap().trust {
        Trust::UnknownSigner { code: Code::SignerUntrusted, reason } => {
            assert!(reason.contains(words), "{reason:?} does not say {words:?}");
        }
        other => panic!("{other:?}"),
    }
}

fn refused(verdict: Result<Verdict>, words: &str) {
    let e = verdict.unwrap_err();
    assert_eq!(e.code(), Code::MipSignature, "{e}");
    assert!(e.message().contains(words), "{e} does not say {words:?}");
}

#[test]
fn i06_the_signer_certificate() {
    let ca = root("ca");
    let signer = |extensions: &[Vec<u8>]| entity("signer", Some(&ca), &around_now(), extensions);
    let judged = |extensions: &[Vec<u8>]| at(&blob(signer(extensions), &[]), &ca.anchor(), NOW);
    assert!(judged(&leaf_extensions()).unwrap().trust.is_trusted());
    assert!(judged(&[code_signing()]).unwrap().trust.is_trusted());
    let any =
        extension(oid::EXTENDED_KEY_USAGE, true, &sequence(&[&tlv(asn1::OID, oid::ANY_PURPOSE)]));
    assert!(judged(&[any]).unwrap().trust.is_trusted());

    untrusted(judged(&[]), "not for code signing");
    // serverAuth, 1.3.6.1.5.5.7.3.1
    let server = [&oid::CODE_SIGNING[..7], &[1]].concat();
    let server = extension(oid::EXTENDED_KEY_USAGE, false, &sequence(&[&tlv(asn1::OID, &server)]));
    untrusted(judged(&[server]), "not for code signing");
    // keyEncipherment only
    let usage = extension(oid::KEY_USAGE, true, &tlv(asn1::BIT_STRING, &[5, 0x20]));
    untrusted(judged(&[code_signing(), usage]), "key usage");
    let authority = [ca_extensions(None)[0].clone(), code_signing()];
    untrusted(judged(&authority), "certificate authority");
    let unknown = extension(&[0x2a, 3, 4], true, &[5, 0]);
    untrusted(judged(&[code_signing(), unknown]), "1.2.3.4");
    let unknown = extension(&[0x2a, 3, 4], false, &[5, 0]);
    assert!(judged(&[code_signing(), unknown]).unwrap().trust.is_trusted());
    let twice = crate::parse_certificate_info(&signer(&[code_signing(), code_signing()]).der);
    assert!(twice.unwrap_err().message().contains("twice"));
}

#[test]
fn i06_the_certificate_of_another_key() {
    let ca = root("ca");
    let (signer, other) = (leaf(&ca), leaf(&ca));
    let mixed = Entity { key: other.key, ..signer };
    refused(at(&blob(mixed, &[]), &ca.anchor(), NOW), "does not match");
}

#[test]
fn i06_a_certificate_that_is_not_one() {
    let ca = root("ca");
    let mut signer = leaf(&ca);
    let info = Info::good(Entity { name: vec![], key: leaf(&ca).key, der: signer.der.clone() });
    // One more element inside: the outer lengths are right.
    signer.der = asn1::node(
        asn1::SEQUENCE,
        &[asn1::whole(&signer.der, asn1::SEQUENCE).unwrap().any().unwrap().raw, &[5, 0]],
    );
    let mut b = Blob::good(&[&signer], Vec::new());
    b.signers.push(info.encode());
    refused(at(&b.encode(), &ca.anchor(), NOW), "not a DER certificate");
}

#[test]
fn i06_issuers() {
    let ca = root("ca");
    let judged = |extensions: &[Vec<u8>]| {
        let middle = entity("middle", Some(&ca), &around_now(), extensions);
        at(&blob(leaf(&middle), &[&middle]), &ca.anchor(), NOW)
    };
    assert!(judged(&ca_extensions(Some(0))).unwrap().trust.is_trusted());
    untrusted(judged(&[]), "not a certificate authority");
    untrusted(judged(&leaf_extensions()), "not a certificate authority");
    let usage = extension(oid::KEY_USAGE, true, &tlv(asn1::BIT_STRING, &[7, 0x80]));
    untrusted(judged(&[ca_extensions(None)[0].clone(), usage]), "issuing");
    let constraints = extension(oid::NAME_CONSTRAINTS, true, &sequence(&[]));
    untrusted(judged(&[ca_extensions(None)[0].clone(), constraints]), "name constraints");
    let server = [&oid::CODE_SIGNING[..7], &[1]].concat();
    let server = extension(oid::EXTENDED_KEY_USAGE, false, &sequence(&[&tlv(asn1::OID, &server)]));
    untrusted(judged(&[ca_extensions(None)[0].clone(), server]), "code signing");

    // pathLenConstraint: the middle authority allows none below it, and there is one.
    let upper = entity("upper", Some(&ca), &around_now(), &ca_extensions(Some(0)));
    let lower = entity("lower", Some(&upper), &around_now(), &ca_extensions(None));
    untrusted(
        at(&blob(leaf(&lower), &[&lower, &upper]), &ca.anchor(), NOW),
        "longer than it allows",
    );
    // An issuer that did not issue, with the right name.
    let (real, fake) = (root("same"), root("same"));
    let signer = leaf(&real);
    untrusted(at(&blob(signer, &[]), &fake.anchor(), NOW), "no trust anchor issued");
}

#[test]
fn chains_that_are_too_long() {
    let ca = root("ca");
    let mut path = vec![entity("1", Some(&ca), &around_now(), &ca_extensions(None))];
    for i in 2..=5 {
        let next = entity(&i.to_string(), path.last(), &around_now(), &ca_extensions(None));
        path.push(next);
    }
    let of = |n: usize| {
        let issuers: Vec<&Entity> = path[..n].iter().collect();
        at(&blob(leaf(issuers[n - 1]), &issuers), &ca.anchor(), NOW)
    };
    assert!(of(4).unwrap().trust.is_trusted());
    untrusted(of(5), "7 certificates");
}

#[test]
fn i07_many_anchors_of_one_name_are_bounded() {
    let ca = root("same");
    let cms = blob(leaf(&ca), &[]);
    let mut anchors = Anchors::none();
    let other = root("same");
    for _ in 0..300 {
        anchors.extend(other.anchor());
    }
    let start = Instant::now();
    untrusted(at(&cms, &anchors, NOW), "more than 100");
    mip_testkit::not_hanging(start);
}

#[test]
fn i08_bags() {
    let ca = root("ca");
    let middle = entity("middle", Some(&ca), &around_now(), &ca_extensions(None));
    let stranger = root("stranger");
    refused(at(&blob(leaf(&ca), &[&stranger]), &ca.anchor(), NOW), "one chain");
    refused(at(&blob(leaf(&middle), &[&middle, &stranger]), &ca.anchor(), NOW), "one chain");
    refused(at(&blob(leaf(&middle), &[&middle, &middle]), &ca.anchor(), NOW), "one chain");
    refused(at(&blob(leaf(&middle), &[&middle, &ca]), &ca.anchor(), NOW), "root certificate");
    // A circle: a issued b, b issued a.
    let a = root("a");
    let b = entity("b", Some(&a), &around_now(), &ca_extensions(None));
    let public = spki(&a.key.public()).unwrap();
    let der =
        issue(&b.key, &b.name, &a.name, &around_now(), &public, &ca_extensions(None)).unwrap();
    let a = Entity { der, ..a };
    untrusted(at(&blob(leaf(&a), &[&a, &b]), &ca.anchor(), NOW), "no trust anchor");
    // Too many, too large: refused by their number alone.
    let many: Vec<&Entity> = std::iter::repeat_n(&stranger, 1000).collect();
    let start = Instant::now();
    assert_eq!(at(&blob(leaf(&ca), &many), &ca.anchor(), NOW).unwrap_err().code(), Code::Limit);
    assert_eq!(at(&vec![0x30; (1 << 20) + 1], &ca.anchor(), NOW).unwrap_err().code(), Code::Limit);
    let large = extension(&[0x2a, 3, 4], false, &vec![0; 1 << 20]);
    let signer = entity("signer", Some(&ca), &around_now(), &[large]);
    assert_eq!(at(&blob(signer, &[]), &ca.anchor(), NOW).unwrap_err().code(), Code::Limit);
    mip_testkit::not_hanging(start);
}

#[test]
fn i09_i10_validity_at_the_given_time() {
    let ca = entity("ca", None, &validity(NOW - 2000, NOW + 500), &ca_extensions(None));
    let cms = blob(leaf(&ca), &[]);
    for good in [NOW - 1000, NOW, NOW + 500] {
        assert!(at(&cms, &ca.anchor(), good).unwrap().trust.is_trusted());
    }
    untrusted(at(&cms, &ca.anchor(), NOW - 1001), "not valid yet");
    // The anchor's own validity counts.
    untrusted(at(&cms, &ca.anchor(), NOW + 501), "expired");
    untrusted(at(&cms, &ca.anchor(), NOW + 1001), "expired");
    untrusted(at(&cms, &ca.anchor(), 0), "not valid yet");
    untrusted(at(&cms, &ca.anchor(), u64::MAX), "expired");
}

#[test]
fn pins() {
    let ca = root("ca");
    let middle = entity("middle", Some(&ca), &around_now(), &ca_extensions(None));
    let (pin, cms) = {
        let signer = leaf(&middle);
        (signer.anchor(), blob(signer, &[&middle]))
    };
    assert!(at(&cms, &middle.anchor(), NOW).unwrap().trust.is_trusted());
    untrusted(at(&cms, &pin, NOW), "no anchor covers");
    let mut both = pin;
    both.extend(middle.anchor());
    assert!(at(&cms, &both, NOW).unwrap().trust.is_trusted());
    // A self-signed signer without any extension: only as a pin.
    let lone = entity("lone", None, &around_now(), &[]);
    let (pin, cms) = (lone.anchor(), blob(lone, &[]));
    assert!(at(&cms, &pin, NOW).unwrap().trust.is_trusted());
    untrusted(at(&cms, &ca.anchor(), NOW), "no trust anchor issued");
    untrusted(at(&cms, &pin, NOW + 1001), "expired");
}

#[test]
fn i02_weak_keys_and_weak_certificate_signatures() {
    let ca = root("ca");
    let signer = leaf(&ca);
    let mut modulus = vec![0xc1; 128];
    modulus[127] = 1;
    let der = sequence(&[&asn1::integer(&modulus), &asn1::integer(&[1, 0, 1])]);
    let public = spki(&PublicKey::Rsa { der, bits: 1024 }).unwrap();
    let der =
        issue(&ca.key, &ca.name, &signer.name, &around_now(), &public, &leaf_extensions()).unwrap();
    let weak = Entity { der, ..signer };
    assert_eq!(at(&blob(weak, &[]), &ca.anchor(), NOW).unwrap_err().code(), Code::WeakAlg);

    // The certificate says, inside and outside, that it was signed with SHA-1.
    let signer = leaf(&ca);
    let c = signer.certificate();
    let sha1 = sequence(&[&tlv(asn1::OID, oid::ECDSA_SHA1)]);
    let mut fields = asn1::whole(&c.tbs, asn1::SEQUENCE).unwrap();
    let mut parts: Vec<&[u8]> = Vec::new();
    while !fields.is_empty() {
        parts.push(fields.any().unwrap().raw);
    }
    parts[2] = &sha1;
    let tbs = sequence(&parts);
    let der = sequence(&[&tbs, &sha1, &asn1::bit_string(&c.signature)]);
    let weak = Entity { der, ..signer };
    assert_eq!(at(&blob(weak, &[]), &ca.anchor(), NOW).unwrap_err().code(), Code::WeakAlg);
    // Only outside: the two algorithms differ.
    let signer = leaf(&ca);
    let c = signer.certificate();
    let der = sequence(&[&c.tbs, &sha1, &asn1::bit_string(&c.signature)]);
    let info = Info::good(Entity { name: vec![], key: leaf(&ca).key, der: signer.der });
    let mut b = Blob::good(&[&Entity { name: vec![], key: signer.key, der }], Vec::new());
    b.signers.push(info.encode());
    refused(at(&b.encode(), &ca.anchor(), NOW), "algorithms differ");
}

#[test]
fn names_that_are_too_long_are_refused() {
    let ca = root("ca");
    let long = "x".repeat(5000);
    let signer = entity_der(&long, &ca);
    let e = crate::parse_certificate_info(&signer).unwrap_err();
    assert!(e.message().contains("longer than"), "{e}");
}

fn entity_der(name: &str, by: &Entity) -> Vec<u8> {
    entity(name, Some(by), &around_now(), &leaf_extensions()).der
}

#[test]
fn damaged_certificates_are_errors() {
    let signer = leaf(&root("ca"));
    for i in 0..signer.der.len() {
        assert_eq!(
            crate::parse_certificate_info(&signer.der[..i]).unwrap_err().code(),
            Code::Certificate
        );
    }
    for bit in 0..signer.der.len() * 8 {
        let mut der = signer.der.clone();
        der[bit / 8] ^= 1 << (bit % 8);
        // Whatever comes out, it is not the same certificate, and nothing panics.
        if let Ok(info) = crate::parse_certificate_info(&der) {
            assert_ne!(info.sha256, signer.certificate().info.sha256);
        }
    }
}
