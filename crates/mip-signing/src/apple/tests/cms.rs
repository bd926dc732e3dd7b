//! The outside of a signature: what is signed, by whom, and how it is written.

use super::*;

#[test]
fn i01_the_content_must_be_what_was_signed() {
    let w = World::new();
    let invalid = |change: &dyn Fn(&mut Signer<'_>, &mut Blob), words: &str| {
        let (state, problem) = w.verdict(change);
        assert_eq!(state, ClaimState::Invalid, "{problem}");
        assert!(problem.contains(words), "{problem:?} does not say {words:?}");
    };
    invalid(
        &|s, _| s.attributes.as_mut().unwrap()[1] = message_digest(b"another"),
        "the content is not what was signed",
    );
    invalid(
        &|s, _| s.attributes.as_mut().unwrap()[0] = content_type(oid::MIP_INDEX),
        "the content type is not what was signed",
    );
    invalid(&|s, _| drop(s.attributes.as_mut().unwrap().remove(0)), "content type is missing");
    invalid(&|s, _| drop(s.attributes.as_mut().unwrap().remove(1)), "digest is missing");
    invalid(
        &|s, _| s.attributes.as_mut().unwrap().push(message_digest(b"another")),
        "is there twice",
    );
    invalid(
        &|s, _| {
            let digest = tlv(asn1::OCTET_STRING, &[1; 32]);
            s.attributes.as_mut().unwrap()[1] = attribute(oid::MESSAGE_DIGEST, &[&digest, &digest]);
        },
        "digest is missing",
    );
    invalid(
        &|_, b| b.certificates = Blob::good(&[&w.authority], Vec::new()).certificates,
        "certificate is not in the signature",
    );
    invalid(
        &|_, b| {
            let tst = tlv(context(0), &tlv(asn1::OCTET_STRING, b"another"));
            b.content = sequence(&[&tlv(asn1::OID, oid::DATA), &tst]);
        },
        "carries other content",
    );
    let claim = w.check(&w.blob(|s, _| s.attributes = None));
    assert_eq!(claim.state, ClaimState::Valid, "without attributes the content itself is signed");
    invalid(
        &|s, b| {
            s.attributes = None;
            b.content = sequence(&[&tlv(asn1::OID, oid::MIP_INDEX)]);
        },
        "no signed attributes",
    );
}

#[test]
fn content_may_be_carried_too_and_given_by_digest() {
    let w = World::new();
    let blob = w.blob(|_, b| {
        let carried = tlv(context(0), &tlv(asn1::OCTET_STRING, CONTENT));
        b.content = sequence(&[&tlv(asn1::OID, oid::DATA), &carried]);
    });
    assert_eq!(w.check(&blob).state, ClaimState::Valid);
    let (anchors, limits) = (w.anchors(), Limits::default());
    let by_digest = |given: Option<Vec<u8>>| {
        let digests = move |name: &str| {
            assert_eq!(name, "sha256");
            given.clone()
        };
        let mut check = Check::new(NOW, &limits, &anchors);
        under_test::check(&w.blob(|_, _| {}), Content::Digests(&digests), &mut check)
    };
    let right = super::super::digest::Digest::Sha256.of(CONTENT);
    assert_eq!(by_digest(Some(right)).state, ClaimState::Valid);
    assert_eq!(by_digest(Some(vec![0; 32])).state, ClaimState::Invalid);
    let none = by_digest(None);
    assert_eq!(none.state, ClaimState::Unsupported);
    assert!(none.problem.unwrap().contains("no sha256 of the content"));
}

#[test]
fn i02_apples_algorithms() {
    let w = World::new();
    let id = |oid: &[u8]| sequence(&[&tlv(asn1::OID, oid)]);
    let verdict = |digest: &[u8], signature: &[u8]| {
        w.verdict(|s, _| {
            s.digest_algorithm = id(digest);
            s.signature_algorithm = id(signature);
        })
    };
    // Apple's tools name the key's algorithm where others name the signature's.
    assert_eq!(verdict(oid::SHA256, oid::EC).0, ClaimState::Valid);
    let (state, problem) = verdict(oid::MD5, oid::EC);
    assert_eq!(state, ClaimState::Unsupported);
    assert!(problem.contains("1.2.840.113549.2.5"), "{problem}");
    let (state, problem) = verdict(oid::SHA256, oid::ECDSA_SHA384);
    assert_eq!(state, ClaimState::Unsupported);
    assert!(problem.contains("sha384 over a digest with sha256"), "{problem}");
    let (state, problem) = verdict(oid::SHA256, oid::DSA);
    assert_eq!(state, ClaimState::Unsupported);
    assert!(problem.contains("1.2.840.10040.4.1"), "{problem}");
    assert_eq!(verdict(oid::SHA384, oid::EC).0, ClaimState::Invalid, "another digest");
}

#[test]
fn i03_all_signers_must_hold() {
    let w = World::new();
    let good = || w.signer().encode();
    let broken = |change: &dyn Fn(&mut Signer<'_>)| {
        let mut s = w.signer();
        change(&mut s);
        s.encode()
    };
    let with = |second: Vec<u8>| w.verdict(|_, b| b.signers.push(second));
    assert_eq!(with(good()), (ClaimState::Valid, String::new()));
    let (state, problem) =
        with(broken(&|s| s.attributes.as_mut().unwrap()[1] = message_digest(b"another")));
    assert_eq!(state, ClaimState::Invalid);
    assert_eq!(problem, "of another signer: the content is not what was signed");
    let (state, problem) =
        with(broken(&|s| s.digest_algorithm = sequence(&[&tlv(asn1::OID, oid::MD5)])));
    assert_eq!(state, ClaimState::Unsupported);
    assert!(problem.starts_with("of another signer"), "{problem}");
    let (state, _) = w.verdict(|_, b| b.signers.extend(vec![good(); 8]));
    assert_eq!(state, ClaimState::Unsupported, "nine signers");
    let none = software(&[&w.developer, &w.authority]).encode();
    assert!(w.check(&none).problem.unwrap().contains("no signer"));
}

#[test]
fn a_signer_by_key_identifier() {
    let mut w = World::new();
    let key_id = tlv(asn1::OCTET_STRING, &[7; 20]);
    let mut extensions = installer_extensions();
    extensions.push(extension(oid::SUBJECT_KEY_ID, false, &key_id));
    w.developer = developer(&w.authority, NAME, TEAM, &around_now(), &extensions);
    let by_key = |id: [u8; 20]| {
        w.verdict(|s, b| {
            s.version = 3;
            s.id = tlv(asn1::context_primitive(0), &id);
            b.version = 3;
        })
    };
    assert_eq!(by_key([7; 20]), (ClaimState::Valid, String::new()));
    assert_eq!(by_key([8; 20]).0, ClaimState::Invalid);
}

#[test]
fn i08_limits_are_kept() {
    let w = World::new();
    let blob = w.blob(|_, _| {});
    let anchors = w.anchors();
    let with = |limits: &Limits| {
        let mut check = Check::new(NOW, limits, &anchors);
        let claim = under_test::check(&blob, Content::Bytes(CONTENT), &mut check);
        (claim.state, claim.problem.unwrap_or_default())
    };
    let mut limits = Limits::default();
    limits.certificates = 1;
    let (state, problem) = with(&limits);
    assert_eq!(state, ClaimState::Unsupported);
    assert!(problem.contains("more than 1 certificates"), "{problem}");
    limits.certificates = 2;
    limits.cms_bytes = 100;
    let (state, problem) = with(&limits);
    assert_eq!(state, ClaimState::Unsupported);
    assert!(problem.contains("the limit is 100"), "{problem}");
}

/// What tools write: SET OF in any order, revocation lists, other kinds of certificates.
#[test]
fn what_is_not_needed_is_passed_over() {
    let w = World::new();
    let blob = w.blob(|_, b| {
        let [first, second] = [&w.developer.der, &w.authority.der];
        let other = tlv(context(3), &[5, 0]);
        b.certificates = asn1::node(context(0), &[&other, first, second, first]);
        b.after_certificates = tlv(context(1), &[0x30, 0]);
    });
    assert_eq!(w.check(&blob).state, ClaimState::Valid);
    let blob = w.blob(|s, _| s.attributes.as_mut().unwrap().reverse());
    assert_eq!(w.check(&blob).state, ClaimState::Valid);
    let mut padded = w.blob(|_, _| {});
    padded.extend([0; 1000]);
    assert_eq!(w.check(&padded).state, ClaimState::Valid);
    padded.push(1);
    let claim = w.check(&padded);
    assert_eq!(claim.state, ClaimState::Invalid);
    assert!(claim.problem.unwrap().contains("bytes after the signature"));
}

#[test]
fn what_the_signer_says_beside_the_content() {
    let w = World::new();
    let plist = "<?xml version=\"1.0\"?><plist version=\"1.0\"><dict><key>cdhashes</key>\n\t<array>\n\t\t\
                 <data>\n\t\tAQIDBAUGBwgJCgsMDQ4PEBESExQ=\n\t\t</data><data>AAAA</data></array></dict></plist>";
    let pair = |id: &[u8], digest: &[u8]| {
        sequence(&[&tlv(asn1::OID, id), &tlv(asn1::OCTET_STRING, digest)])
    };
    let claim = w.check(&w.blob(|s, _| {
        let list = s.attributes.as_mut().unwrap();
        list.push(attribute(&apple(&[9, 1]), &[&tlv(asn1::OCTET_STRING, plist.as_bytes())]));
        let (one, two) = (pair(oid::SHA1, &[1; 20]), pair(oid::SHA256, &[2; 32]));
        list.push(attribute(&apple(&[9, 2]), &[&one, &two]));
        list.push(attribute(oid::SIGNING_TIME, &[&time(NOW).unwrap()]));
    }));
    assert_eq!(claim.state, ClaimState::Valid);
    assert_eq!(claim.signing_time.as_deref(), Some("2027-01-15T08:00:00Z"));
    let expected = [
        ("cdhash", "0102030405060708090a0b0c0d0e0f1011121314".to_owned()),
        ("cdhash", "000000".to_owned()),
        ("sha1", "01".repeat(20)),
        ("sha256", "02".repeat(32)),
    ];
    let got: Vec<_> = claim.agility.iter().map(|(a, d)| (a.as_str(), d.clone())).collect();
    assert_eq!(got, expected);
    // Nothing is taken from a signature that does not hold.
    let claim = w.check(&w.blob(|s, _| {
        let list = s.attributes.as_mut().unwrap();
        list[1] = message_digest(b"another");
        list.push(attribute(&apple(&[9, 2]), &[&pair(oid::SHA1, &[1; 20])]));
    }));
    assert_eq!((claim.state, claim.agility.len()), (ClaimState::Invalid, 0));
}

/// One byte of a signature changed anywhere: never valid with other bytes signed, and the same
/// signer where it stays valid.
#[test]
fn truncated_and_changed() {
    let w = World::new();
    let blob = w.blob(|_, _| {});
    let good = w.check(&blob);
    for len in 0..blob.len() {
        assert_ne!(w.check(&blob[..len]).state, ClaimState::Valid, "{len} bytes");
    }
    for at in 0..blob.len() {
        for bit in 0..8 {
            let mut changed = blob.clone();
            changed[at] ^= 1 << bit;
            let claim = w.check(&changed);
            if claim.state == ClaimState::Valid {
                assert_eq!(claim.signer, good.signer, "byte {at}");
                assert_eq!(claim.signature_algorithm, good.signature_algorithm, "byte {at}");
            }
        }
    }
}

/// Bytes set, left out, put in and repeated, several at once; a fixed seed.
#[test]
fn mutants() {
    let w = World::new();
    let blob = w.blob(|_, _| {});
    let good = w.check(&blob).signer;
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    for round in 0..3000 {
        let mut changed = blob.clone();
        for _ in 0..=random(4) {
            let at = random(changed.len());
            match random(5) {
                0 => changed[at] = [0, 1, 0x7f, 0x80, 0xff, 0x24, 0x30, 0x31][random(8)],
                1 => drop(changed.remove(at)),
                2 => changed.insert(at, [0, 0x30, 0x80, 0x24, 0xff][random(5)]),
                3 => {
                    let part = changed[at..(at + random(64)).min(changed.len())].to_vec();
                    changed.splice(at..at, part);
                }
                _ => changed.truncate(at + 1),
            }
        }
        let claim = w.check(&changed);
        if claim.state == ClaimState::Valid {
            assert_eq!(claim.signer, good, "round {round}");
        }
        assert_eq!(claim.state == ClaimState::Valid, claim.problem.is_none(), "round {round}");
    }
}
