//! Timestamps.

use super::super::{TimestampClaim, Validity};
use super::*;

/// An authority for timestamps below `root`.
fn tsa(root: &Entity, purposes: &[Vec<u8>]) -> Entity {
    let extensions = [&[digital_signature()][..], purposes].concat();
    entity("tsa", Some(root), &long(), &extensions)
}

fn stamping() -> Vec<Vec<u8>> {
    vec![purposes(&[oid::TIME_STAMPING])]
}

/// A `TSTInfo` over `imprint`.
fn tst_info(imprint: &[u8], when: &str) -> Vec<u8> {
    let digest = super::super::digest::Digest::Sha256.of(imprint);
    let algorithm = sequence(&[&tlv(asn1::OID, oid::SHA256)]);
    sequence(&[
        &asn1::integer(&[1]),
        &tlv(asn1::OID, &[0x2a, 3]),
        &sequence(&[&algorithm, &tlv(asn1::OCTET_STRING, &digest)]),
        &asn1::integer(&[42]),
        &tlv(0x18, when.as_bytes()),
    ])
}

/// A token with `content`, signed by `by`.
fn token(by: &Entity, content: &[u8], change: impl FnOnce(&mut Signer<'_>, &mut Blob)) -> Vec<u8> {
    let mut blob = Blob::good(&[by], Vec::new());
    let carried = tlv(context(0), &tlv(asn1::OCTET_STRING, content));
    blob.content = sequence(&[&tlv(asn1::OID, oid::TST_INFO), &carried]);
    let mut signer = Signer::new(by);
    signer.attributes = Some(vec![content_type(oid::TST_INFO), message_digest(content)]);
    change(&mut signer, &mut blob);
    blob.signers.insert(0, signer.encode());
    blob.encode()
}

/// 2027-01-15 08:00:00 is [`NOW`].
const WHEN: &str = "20270115080000Z";

fn stamped<'a>(
    w: &'a World,
    make: &'a dyn Fn(&[u8]) -> Vec<u8>,
) -> (ClaimState, TimestampClaim, Option<Validity>) {
    let claim = w.check_at(&w.blob(|s, _| s.stamps.push(Box::new(make))), NOW + 50_000_000);
    let at = claim.signer.unwrap().validity_at_timestamp;
    (claim.state, claim.timestamp.unwrap(), at)
}

#[test]
fn i09_a_timestamp_outlives_the_certificate() {
    let w = World::new();
    let tsa = tsa(&w.root, &stamping());
    let (state, stamp, at) = stamped(&w, &|s| token(&tsa, &tst_info(s, WHEN), |_, _| {}));
    assert_eq!((stamp.state, stamp.problem), (ClaimState::Valid, None));
    assert_eq!((stamp.time.as_deref(), stamp.unix), (Some("2027-01-15T08:00:00Z"), Some(NOW)));
    assert_eq!(stamp.chain.len(), 2);
    assert_eq!((state, at), (ClaimState::Valid, Some(Validity::Valid)));
}

#[test]
fn i13_a_time_outside_of_the_certificate() {
    let w = World::new();
    let tsa = tsa(&w.root, &stamping());
    for (when, expected, words) in [
        ("20270115083000Z", Validity::Expired, "had expired at the time of the timestamp"),
        ("20270115073000Z", Validity::NotYetValid, "was not valid yet at the time"),
    ] {
        let blob = w.blob(|s, _| {
            s.stamps.push(Box::new(|v| token(&tsa, &tst_info(v, when), |_, _| {})));
        });
        let claim = w.check(&blob);
        assert_eq!(claim.state, ClaimState::Untrusted);
        assert!(claim.problem.unwrap().contains(words));
        assert_eq!(claim.timestamp.unwrap().state, ClaimState::Valid);
        assert_eq!(claim.signer.unwrap().validity_at_timestamp, Some(expected));
    }
}

/// A timestamp that is not good is reported and counts for nothing.
#[test]
fn i13_bad_timestamps_count_for_nothing() {
    let w = World::new();
    let good = tsa(&w.root, &stamping());
    let both = tsa(&w.root, &[purposes(&[oid::TIME_STAMPING, oid::CODE_SIGNING])]);
    let code = tsa(&w.root, &[code_signing()]);
    let none = tsa(&w.root, &[]);
    let elsewhere = tsa(&root("other root"), &stamping());
    let old = entity(
        "tsa",
        Some(&w.root),
        &validity(NOW - 900_000, NOW - 800_000),
        &[&[digital_signature()][..], &stamping()].concat(),
    );
    let extensions = [ca_extensions(None), stamping()].concat();
    let issuer = entity("tsa", Some(&w.root), &long(), &extensions);
    let cases: [(&Entity, ClaimState, &str); 6] = [
        (&issuer, ClaimState::Untrusted, "does not allow signatures"),
        (&both, ClaimState::Untrusted, "not for timestamps"),
        (&code, ClaimState::Untrusted, "not for timestamps"),
        (&none, ClaimState::Untrusted, "not for timestamps"),
        (&elsewhere, ClaimState::Untrusted, "issued by one that is not there"),
        (&old, ClaimState::Untrusted, "had expired"),
    ];
    for (by, expected, words) in cases {
        let (state, stamp, at) = stamped(&w, &|s| token(by, &tst_info(s, WHEN), |_, _| {}));
        assert_eq!(stamp.state, expected, "{words}");
        assert!(stamp.problem.as_ref().unwrap().contains(words), "{:?}", stamp.problem);
        assert_eq!((state, at), (ClaimState::Valid, None), "{words}");
    }
    let invalid = |make: &dyn Fn(&[u8]) -> Vec<u8>, words: &str| {
        let (state, stamp, at) = stamped(&w, make);
        assert_eq!(stamp.state, ClaimState::Invalid, "{words}");
        assert!(stamp.problem.as_ref().unwrap().contains(words), "{:?}", stamp.problem);
        assert_eq!((state, at), (ClaimState::Valid, None), "{words}");
    };
    invalid(&|_| token(&good, &tst_info(b"another", WHEN), |_, _| {}), "not over this signature");
    invalid(&|s| token(&good, &tst_info(s, "2027"), |_, _| {}), "breaks its format");
    invalid(
        &|s| {
            token(&good, &tst_info(s, WHEN), |i, _| {
                i.attributes.as_mut().unwrap()[1] = message_digest(b"x");
            })
        },
        "content is not what was signed",
    );
    invalid(
        &|s| {
            token(&good, &tst_info(s, WHEN), |i, b| {
                let bytes = i.encode();
                b.signers.push(bytes);
            })
        },
        "more than one signer",
    );
    invalid(
        &|_| {
            let mut blob = software(&[&good]);
            blob.signers.push(Signer::new(&good).encode());
            blob.encode()
        },
        "no time in it",
    );
    invalid(
        &|s| token(&good, &tst_info(s, WHEN), |_, b| b.certificates = Vec::new()),
        "authority is not there",
    );
}

/// A token moved to another signature of the same signer.
#[test]
fn i13_a_timestamp_of_another_signature() {
    let w = World::new();
    let good = tsa(&w.root, &stamping());
    let first = std::cell::RefCell::new(Vec::new());
    let (_, stamp, _) = stamped(&w, &|s| {
        let made = token(&good, &tst_info(s, WHEN), |_, _| {});
        first.borrow_mut().clone_from(&made);
        made
    });
    assert_eq!(stamp.state, ClaimState::Valid);
    let (_, stamp, at) = stamped(&w, &|_| first.borrow().clone());
    assert_eq!((stamp.state, at), (ClaimState::Invalid, None));
    assert!(stamp.problem.unwrap().contains("not over this signature"));
}

#[test]
fn i13_the_first_valid_timestamp_counts() {
    let w = World::new();
    let good = tsa(&w.root, &stamping());
    let elsewhere = tsa(&root("other root"), &stamping());
    let blob = w.blob(|s, _| {
        s.stamps.push(Box::new(|v| token(&elsewhere, &tst_info(v, WHEN), |_, _| {})));
        s.stamps.push(Box::new(|v| token(&good, &tst_info(v, WHEN), |_, _| {})));
    });
    assert_eq!(w.check(&blob).timestamp.unwrap().state, ClaimState::Valid);
}
