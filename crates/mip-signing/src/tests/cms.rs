//! Hostile signatures (cases I1 to I5, I11 and I17), and every bit of good ones.

use std::time::Instant;

use mip_base::{Code, Limits};

use super::*;
use crate::{Trust, Verdict, verify_detached};

fn check(cms: &[u8], anchors: &Anchors) -> mip_base::Result<Verdict> {
    verify_detached(cms, CONTENT, anchors, NOW, &Limits::default())
}

/// The error of a blob that differs from a good one in what `change` does.
fn refusal(change: impl FnOnce(&mut Info, &mut Blob)) -> (Code, String) {
    let ca = root("ca");
    let signer = leaf(&ca);
    let mut blob = Blob::good(&[&signer], Vec::new());
    let mut info = Info::good(signer);
    change(&mut info, &mut blob);
    blob.signers.insert(0, info.encode());
    let e = check(&blob.encode(), &ca.anchor()).unwrap_err();
    (e.code(), e.message().to_owned())
}

fn assert_refused(change: impl FnOnce(&mut Info, &mut Blob), code: Code, words: &str) {
    let (found, message) = refusal(change);
    assert_eq!(found, code, "{message}");
    assert!(message.contains(words), "{message:?} does not say {words:?}");
}

#[test]
fn the_unchanged_blob_is_good() {
    let ca = root("ca");
    let signer = leaf(&ca);
    let mut blob = Blob::good(&[&signer], Vec::new());
    blob.signers.push(Info::good(signer).encode());
    assert!(check(&blob.encode(), &ca.anchor()).unwrap().trust.is_trusted());
}

#[test]
fn i01_signed_attributes() {
    let bad = Code::MipSignature;
    assert_refused(|i, _| i.attributes = None, bad, "no signed attributes");
    assert_refused(|i, _| drop(i.attributes.as_mut().unwrap().pop()), bad, "missing");
    assert_refused(|i, _| drop(i.attributes.as_mut().unwrap().remove(0)), bad, "missing");
    assert_refused(|i, _| i.attributes.as_mut().unwrap().reverse(), bad, "canonical form");
    assert_refused(
        |i, _| i.attributes.as_mut().unwrap().push(message_digest(b"another")),
        bad,
        "twice",
    );
    assert_refused(
        |i, _| {
            let digest = tlv(asn1::OCTET_STRING, &[1; 32]);
            i.attributes.as_mut().unwrap()[1] = attribute(oid::MESSAGE_DIGEST, &[&digest, &digest]);
        },
        bad,
        "more than one value",
    );
    assert_refused(
        |i, _| {
            // signingTime, 1.2.840.113549.1.9.5
            let id = [&oid::MESSAGE_DIGEST[..8], &[5]].concat();
            i.attributes.as_mut().unwrap().push(attribute(&id, &[&time(NOW).unwrap()]));
        },
        bad,
        "not known",
    );
    // A length in more bytes than it needs.
    assert_refused(
        |i, _| {
            let a = &mut i.attributes.as_mut().unwrap()[0];
            let len = a[1];
            a.splice(1..2, [0x81, len]);
        },
        bad,
        "attributes break",
    );
    assert_refused(
        |i, _| i.attributes.as_mut().unwrap()[1] = message_digest(b"x"),
        bad,
        "not what was signed",
    );
}

#[test]
fn i02_algorithms() {
    let id = |oid: &[u8]| sequence(&[&tlv(asn1::OID, oid)]);
    assert_refused(|i, _| i.digest_algorithm = id(oid::SHA1), Code::WeakAlg, "SHA-1");
    assert_refused(|i, _| i.digest_algorithm = id(oid::MD5), Code::WeakAlg, "MD5");
    assert_refused(|i, _| i.signature_algorithm = id(oid::ECDSA_SHA1), Code::WeakAlg, "SHA-1");
    assert_refused(|i, _| i.signature_algorithm = id(oid::DSA_SHA1), Code::WeakAlg, "DSA");
    assert_refused(
        |i, _| i.digest_algorithm = id(oid::SHA384),
        Code::MipSignature,
        "does not belong",
    );
    assert_refused(
        |i, _| i.signature_algorithm = id(oid::ECDSA_SHA512),
        Code::MipSignature,
        "not one of profile 1",
    );
    assert_refused(
        |i, _| i.signature_algorithm = SignatureAlgorithm::RsaPkcs1Sha256.identifier(),
        Code::MipSignature,
        "cannot sign with",
    );
    // The list of digests must be the signer's one.
    let other = SignatureAlgorithm::EcdsaP384Sha384.digest_identifier();
    assert_refused(
        |_, b| b.digest_algorithms.push(other.clone()),
        Code::MipSignature,
        "more than one digest",
    );
    assert_refused(
        |_, b| b.digest_algorithms = vec![other.clone()],
        Code::MipSignature,
        "canonical form",
    );
    // Parameters where there are none.
    assert_refused(
        |i, _| i.signature_algorithm = sequence(&[&tlv(asn1::OID, oid::ECDSA_SHA256), &[5, 0]]),
        Code::MipSignature,
        "canonical form",
    );
}

#[test]
fn i03_several_signers() {
    assert_refused(
        |_, b| {
            let other = root("other");
            b.signers.push(Info::good(leaf(&other)).encode());
        },
        Code::MipSignature,
        "more than one signer",
    );
}

#[test]
fn profile_1_has_no_extras() {
    let bad = Code::MipSignature;
    let empty = tlv(context(1), &[]);
    assert_refused(|i, _| i.unsigned = empty.clone(), bad, "unsigned attributes");
    assert_refused(|_, b| b.after_certificates = empty.clone(), bad, "revocation lists");
    assert_refused(|_, b| b.certificates = Vec::new(), bad, "no certificates");
    assert_refused(|_, b| b.certificates = tlv(context(0), &[]), bad, "not in the signature");
    assert_refused(|_, b| b.version = 1, bad, "version");
    assert_refused(
        |_, b| {
            let inner = tlv(context(0), &tlv(asn1::OCTET_STRING, CONTENT));
            b.content = sequence(&[&tlv(asn1::OID, oid::MIP_INDEX), &inner]);
        },
        bad,
        "content of its own",
    );
}

#[test]
fn i04_not_der() {
    let ca = root("ca");
    let signer = leaf(&ca);
    let mut blob = Blob::good(&[&signer], Vec::new());
    blob.signers.push(Info::good(signer).encode());
    let good = blob.encode();
    let mut indefinite = vec![0x30, 0x80];
    indefinite.extend_from_slice(&good[4..]);
    indefinite.extend_from_slice(&[0, 0]);
    let mut trailing = good.clone();
    trailing.push(0);
    let mut nested = Vec::new();
    for _ in 0..100_000 {
        nested.extend_from_slice(&[0x30, 0x80]);
    }
    // The same with definite lengths that are right.
    let mut lengths = vec![0usize];
    for _ in 0..100_000 {
        let inner = lengths.last().unwrap();
        lengths.push(
            inner + asn1::tlv(0x30, &vec![0; *inner.min(&70_000)]).len() - inner.min(&70_000),
        );
    }
    let mut definite = Vec::new();
    for len in lengths.iter().rev().skip(1) {
        definite.push(0x30);
        match len {
            0..0x80 => definite.push(*len as u8),
            0x80..0x100 => definite.extend_from_slice(&[0x81, *len as u8]),
            0x100..0x1_0000 => definite.extend_from_slice(&[0x82, (len >> 8) as u8, *len as u8]),
            _ => {
                definite.extend_from_slice(&[0x83, (len >> 16) as u8, (len >> 8) as u8, *len as u8])
            }
        }
    }
    assert!(asn1::whole(&definite, asn1::SEQUENCE).is_some());
    let start = Instant::now();
    let huge = [0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 6, 9];
    let more = [0x30, 0x85, 1, 0, 0, 0, 0, 6, 9];
    for bad in
        [&indefinite[..], &trailing, &nested, &definite, &huge, &more, &[], &[0x30], &[0x30, 0]]
    {
        assert_eq!(check(bad, &ca.anchor()).unwrap_err().code(), Code::MipSignature);
    }
    mip_testkit::not_hanging(start);
}

#[test]
fn i05_signature_values() {
    let ca = root("ca");
    let signer = leaf(&ca);
    let c = signer.certificate();
    let algorithm = SignatureAlgorithm::EcdsaP256Sha256;
    let digest = algorithm.digest(CONTENT);
    let value = signer.key.sign(&crate::cms::signed_attributes(&digest)).unwrap();
    let low = algorithm.canonical(&value).unwrap();
    let with = |signature: &[u8]| {
        crate::cms::encode(&crate::cms::Parts {
            certificates: vec![&signer.der],
            issuer: &c.issuer,
            serial: &c.serial,
            algorithm,
            digest: &digest,
            signature,
        })
    };
    assert!(check(&with(&low), &ca.anchor()).unwrap().trust.is_trusted());
    let mut pair = asn1::whole(&low, asn1::SEQUENCE).unwrap();
    let r = asn1::unsigned(pair.value(asn1::INTEGER).unwrap()).unwrap().to_vec();
    let s = asn1::unsigned(pair.value(asn1::INTEGER).unwrap()).unwrap().to_vec();
    let pair = |r: &[u8], s: &[u8]| sequence(&[&asn1::integer(r), &asn1::integer(s)]);
    assert_eq!(pair(&r, &s), low);
    // The twin of s: it verifies mathematically, and must not be accepted.
    let n = num(
        &[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[
            0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63,
            0x25, 0x51,
        ],
    );
    let twin = pair(&r, &minus(n, &s));
    let key = c.key.clone();
    let attributes = crate::cms::signed_attributes(&digest);
    let identifier = algorithm.identifier();
    assert_eq!(key.check(&identifier, &attributes, &twin), crate::algorithm::Check::Holds);
    for bad in [
        twin,
        pair(&[], &s),
        pair(&r, &[]),
        pair(&r, &r),
        vec![],
        vec![0; 64],
        [&low[..], &[0]].concat(),
    ] {
        assert_eq!(check(&with(&bad), &ca.anchor()).unwrap_err().code(), Code::MipSignature);
    }
}

fn num(high: &[u8], low: &[u8]) -> [u8; 32] {
    [high, low].concat().try_into().unwrap()
}

/// Schoolbook subtraction, written apart from the one under test.
fn minus(mut n: [u8; 32], s: &[u8]) -> Vec<u8> {
    let mut carry = 0i32;
    for i in 0..32 {
        let b = if i < s.len() { i32::from(s[s.len() - 1 - i]) } else { 0 };
        let d = i32::from(n[31 - i]) - b - carry;
        carry = i32::from(d < 0);
        n[31 - i] = u8::try_from(d + carry * 256).unwrap();
    }
    n.to_vec()
}

#[test]
fn i05_a_point_that_is_not_on_the_curve() {
    let ca = root("ca");
    let signer = leaf(&ca);
    let mut point = vec![4];
    point.extend_from_slice(&[7; 64]);
    let public = spki(&crate::algorithm::PublicKey::P256(point)).unwrap();
    let der =
        issue(&ca.key, &ca.name, &signer.name, &around_now(), &public, &leaf_extensions()).unwrap();
    let signer = Entity { der, ..signer };
    let mut blob = Blob::good(&[&signer], Vec::new());
    blob.signers.push(Info::good(signer).encode());
    assert_eq!(check(&blob.encode(), &ca.anchor()).unwrap_err().code(), Code::MipSignature);
}

#[test]
fn i11_no_anchors_is_never_trusted() {
    let ca = root("ca");
    let signer = leaf(&ca);
    let mut blob = Blob::good(&[&signer], Vec::new());
    blob.signers.push(Info::good(signer).encode());
    let verdict = check(&blob.encode(), &Anchors::none()).unwrap();
    assert!(matches!(verdict.trust, Trust::UnknownSigner { code: Code::NoAnchor, .. }));
    assert_eq!(verdict.signer.common_name.as_deref(), Some("signer"));
}

#[test]
fn i17_signatures_for_other_purposes() {
    assert_refused(
        |i, b| {
            b.content = sequence(&[&tlv(asn1::OID, oid::DATA)]);
            i.attributes.as_mut().unwrap()[0] = content_type(oid::DATA);
        },
        Code::MipSignature,
        "1.2.840.113549.1.7.1",
    );
    assert_refused(
        |i, _| i.attributes.as_mut().unwrap()[0] = content_type(oid::DATA),
        Code::MipSignature,
        "content type",
    );
}

/// Flips every bit. Only inside the last certificate may one change without an error, because
/// only an anchor can check that one; and then the signer must not be trusted.
fn flip_every_bit(good: &[u8], last: &Entity, anchors: &Anchors) {
    assert!(check(good, anchors).unwrap().trust.is_trusted());
    let start = good.windows(last.der.len()).position(|w| w == last.der).unwrap();
    let end = start + last.der.len();
    for bit in 0..good.len() * 8 {
        let mut cms = good.to_vec();
        cms[bit / 8] ^= 1 << (bit % 8);
        match check(&cms, anchors) {
            Err(e) => {
                assert!(matches!(e.code(), Code::MipSignature | Code::WeakAlg), "bit {bit}: {e}")
            }
            Ok(v) => {
                assert!(!v.trust.is_trusted(), "bit {bit} of byte {}", bit / 8);
                assert!((start..end).contains(&(bit / 8)), "byte {} is not covered", bit / 8);
            }
        }
        assert!(!check(&cms, &Anchors::none()).is_ok_and(|v| v.trust.is_trusted()));
    }
}

#[test]
fn every_bit_of_a_signature_matters() {
    let ca = root("ca");
    let signer = leaf(&ca);
    let last = Entity {
        name: Vec::new(),
        key: generate(KeyAlgorithm::EcdsaP256).unwrap().0,
        der: signer.der.clone(),
    };
    let mut blob = Blob::good(&[&signer], Vec::new());
    blob.signers.push(Info::good(signer).encode());
    flip_every_bit(&blob.encode(), &last, &ca.anchor());
}

#[test]
fn every_bit_of_a_signature_with_a_chain_matters() {
    let ca = root("ca");
    let middle = entity("middle", Some(&ca), &around_now(), &ca_extensions(Some(0)));
    let signer = leaf(&middle);
    let mut blob = Blob::good(&[&signer, &middle], Vec::new());
    blob.signers.push(Info::good(signer).encode());
    flip_every_bit(&blob.encode(), &middle, &ca.anchor());
}

#[test]
fn every_cut_and_every_doubled_or_missing_byte_is_refused() {
    let ca = root("ca");
    let signer = leaf(&ca);
    let mut blob = Blob::good(&[&signer], Vec::new());
    blob.signers.push(Info::good(signer).encode());
    let good = blob.encode();
    let anchors = ca.anchor();
    for i in 0..good.len() {
        assert!(check(&good[..i], &anchors).is_err(), "cut at {i}");
        let mut longer = good.clone();
        longer.insert(i, good[i]);
        assert!(check(&longer, &anchors).is_err(), "doubled {i}");
        let mut shorter = good.clone();
        shorter.remove(i);
        assert!(check(&shorter, &anchors).is_err(), "missing {i}");
    }
}
