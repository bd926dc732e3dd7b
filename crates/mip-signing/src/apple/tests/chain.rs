//! The policy for chains.

use super::super::{LeafKind, Validity};
use super::*;

#[test]
fn a_good_chain() {
    let w = World::new();
    let claim = w.check(&w.blob(|_, _| {}));
    assert_eq!((claim.state, claim.problem), (ClaimState::Valid, None));
    let signer = claim.signer.unwrap();
    assert_eq!(signer.root.as_deref(), Some("test root"));
    assert_eq!(signer.kind, LeafKind::DeveloperIdInstaller);
    assert_eq!(signer.name.as_deref(), Some("Müller, Söhne (Köln)"));
    assert_eq!(signer.team_id.as_deref(), Some(TEAM));
    let names: Vec<_> = signer.chain.iter().map(|c| c.common_name.clone().unwrap()).collect();
    assert_eq!(names, [NAME, "authority", "root"], "the pinned root is added");
    assert_eq!(signer.validity_now, Some(Validity::Valid));
    assert_eq!(signer.validity_at_timestamp, None);
}

/// Apple's real roots do not know this root, whatever it calls itself.
#[test]
fn another_root_with_the_same_name() {
    let w = World::new();
    let other = World::new();
    let blob = other.blob(|_, _| {});
    let claim = w.check(&blob);
    assert_eq!(claim.state, ClaimState::Untrusted);
    let problem = claim.problem.unwrap();
    assert!(problem.contains("was not issued by \"CN=root\""), "{problem}");
    let signer = claim.signer.unwrap();
    assert_eq!((signer.kind, signer.team_id, signer.root), (LeafKind::Other, None, None));
    assert_eq!(signer.problem.unwrap(), problem);

    let mut with_root = software(&[&other.developer, &other.authority, &other.root]);
    with_root.signers.push(other.signer().encode());
    let claim = w.check(&with_root.encode());
    assert_eq!(claim.state, ClaimState::Untrusted);
    assert!(claim.problem.unwrap().contains("has the name of a root of Apple's and is another"));
    assert_eq!(claim.signer.unwrap().chain.len(), 3);

    let real = super::super::check_cms(&blob, Content::Bytes(CONTENT), NOW, &Limits::default());
    assert_eq!(real.state, ClaimState::Untrusted);
    assert!(real.problem.unwrap().contains("was issued by one that is not there"));
}

/// `change` of the developer's certificate, and what is said of it.
fn of_developer(validity: &[u8], extensions: &[Vec<u8>]) -> (ClaimState, String) {
    let mut w = World::new();
    w.developer = developer(&w.authority, NAME, TEAM, validity, extensions);
    w.verdict(|_, _| {})
}

fn assert_untrusted((state, problem): (ClaimState, String), words: &str) {
    assert_eq!(state, ClaimState::Untrusted, "{problem}");
    assert!(problem.contains(words), "{problem:?} does not say {words:?}");
}

#[test]
fn i09_i10_expiry_is_a_fact_and_no_verdict() {
    let mut w = World::new();
    let old = validity(NOW - 500_000, NOW - 400_000);
    w.developer = developer(&w.authority, NAME, TEAM, &old, &installer_extensions());
    let blob = w.blob(|_, _| {});
    for (at, expected) in [
        (NOW - 600_000, Validity::NotYetValid),
        (NOW - 450_000, Validity::Valid),
        (NOW, Validity::Expired),
        (NOW + 9_000_000, Validity::Expired),
    ] {
        let claim = w.check_at(&blob, at);
        assert_eq!((claim.state, claim.problem), (ClaimState::Valid, None));
        assert_eq!(claim.signer.unwrap().validity_now, Some(expected));
    }
}

#[test]
fn there_must_be_a_time_at_which_all_were_valid() {
    let mut w = World::new();
    let mut with_authority = |from, to| {
        let extensions = [ca_extensions(Some(0)), vec![mark(&[6, 2, 6], true)]].concat();
        w.authority = entity("authority", Some(&w.root), &validity(from, to), &extensions);
        w.developer = developer(&w.authority, NAME, TEAM, &around_now(), &installer_extensions());
        w.verdict(|_, _| {})
    };
    assert_untrusted(with_authority(NOW - 900_000, NOW - 800_000), "was never valid together");
    assert_untrusted(with_authority(NOW + 1001, NOW + 9000), "was never valid together");
    // Issued anew, after what it had issued.
    assert_eq!(with_authority(NOW + 1000, NOW + 9000), (ClaimState::Valid, String::new()));
    assert_eq!(with_authority(NOW - 9000, NOW - 1000), (ClaimState::Valid, String::new()));
}

#[test]
fn i06_a_developer_is_no_authority() {
    let mut w = World::new();
    let victim = developer(&w.developer, "Victim", TEAM, &around_now(), &installer_extensions());
    let mut blob = software(&[&victim, &w.developer, &w.authority]);
    blob.signers.push(Signer::new(&victim).encode());
    let claim = w.check(&blob.encode());
    assert_untrusted((claim.state, claim.problem.unwrap()), "is not a certificate authority");
    // Nor signs an authority.
    let extensions = [ca_extensions(None), installer_extensions()].concat();
    w.developer = entity("both", Some(&w.authority), &around_now(), &extensions[..1]);
    assert_untrusted(w.verdict(|_, _| {}), "is a certificate authority, not a signer");
}

#[test]
fn i06_authorities_keep_to_their_limits() {
    let mut w = World::new();
    let no_issuing = vec![
        extension(oid::BASIC_CONSTRAINTS, true, &sequence(&[&[1, 1, 0xff]])),
        extension(oid::KEY_USAGE, true, &tlv(asn1::BIT_STRING, &[7, 0x80])),
        mark(&[6, 2, 6], true),
    ];
    w.authority = entity("authority", Some(&w.root), &long(), &no_issuing);
    w.developer = developer(&w.authority, NAME, TEAM, &around_now(), &installer_extensions());
    assert_untrusted(w.verdict(|_, _| {}), "does not allow issuing");

    let mut w = World::new();
    let below = [ca_extensions(None), vec![mark(&[6, 2, 6], true)]].concat();
    let second = entity("second", Some(&w.authority), &around_now(), &below);
    let late = validity(NOW - 500, NOW + 500);
    w.developer = developer(&second, NAME, TEAM, &late, &installer_extensions());
    let mut blob = software(&[&w.developer, &w.authority, &second]);
    blob.signers.push(w.signer().encode());
    let claim = w.check(&blob.encode());
    assert_untrusted((claim.state, claim.problem.unwrap()), "is longer than it allows");
}

#[test]
fn i06_certificates_for_other_things_do_not_sign_software() {
    // 1.3.6.1.5.5.7.3.2, client authentication: Apple gives these to anyone for push messages.
    let client: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 2];
    let not = "is not for signing software";
    assert_untrusted(of_developer(&around_now(), &[purposes(&[client])]), not);
    assert_untrusted(of_developer(&around_now(), &[purposes(&[oid::TIME_STAMPING])]), not);
    // A pass for Wallet is in Apple's arc of purposes too.
    assert_untrusted(of_developer(&around_now(), &[purposes(&[&apple(&[4, 14])])]), not);
    assert_untrusted(of_developer(&around_now(), &[]), not);
    let (state, problem) = of_developer(&around_now(), &[purposes(&[client, oid::CODE_SIGNING])]);
    assert_eq!((state, problem.as_str()), (ClaimState::Valid, ""));
}

#[test]
fn i06_only_apples_extensions_may_be_critical() {
    let mut with = installer_extensions();
    with.push(mark(&[6, 99], true));
    assert_eq!(of_developer(&around_now(), &with).0, ClaimState::Valid);
    with.push(extension(&[0x2a, 3, 4], true, &[5, 0]));
    assert_untrusted(of_developer(&around_now(), &with), "not known (1.2.3.4)");
    let mut with = installer_extensions();
    with.push(extension(oid::NAME_CONSTRAINTS, true, &[0x30, 0]));
    assert_untrusted(of_developer(&around_now(), &with), "name constraints");
}

#[test]
fn developer_id_needs_its_authority() {
    let mut w = World::new();
    w.authority = entity("authority", Some(&w.root), &long(), &ca_extensions(Some(0)));
    w.developer = developer(&w.authority, NAME, TEAM, &around_now(), &installer_extensions());
    assert_untrusted(w.verdict(|_, _| {}), "was not issued by a Developer ID authority");
    // Others do not.
    let others = [mark(&[6, 1, 8], true), purposes(&[&apple(&[4, 9])])];
    w.developer = developer(&w.authority, NAME, TEAM, &around_now(), &others);
    assert_eq!(w.verdict(|_, _| {}), (ClaimState::Valid, String::new()));
}

/// Marks, a purpose, the kind, and whether the unit is a Team ID.
type Kind<'a> = (&'a [&'a [u8]], &'a [u8], LeafKind, bool);

#[test]
fn kinds_by_mark() {
    let code = code_signing();
    let installer = purposes(&[&apple(&[4, 9])]);
    let cases: [Kind<'_>; 10] = [
        (&[&[6, 1, 14]], &installer, LeafKind::DeveloperIdInstaller, true),
        (&[&[6, 1, 13]], &code, LeafKind::DeveloperIdApplication, true),
        (&[&[6, 1, 8]], &installer, LeafKind::MacInstallerDistribution, true),
        (&[&[6, 1, 7]], &code, LeafKind::AppDistribution, true),
        (&[&[6, 1, 4], &[6, 1, 7]], &code, LeafKind::AppDistribution, true),
        (&[&[6, 1, 2], &[6, 1, 12]], &code, LeafKind::Development, true),
        (&[&[6, 1, 9]], &code, LeafKind::MacAppStore, false),
        (&[&[6, 1, 10]], &installer, LeafKind::MacAppStore, false),
        (&[&[6, 22]], &code, LeafKind::Apple, false),
        (&[&[6, 1, 5]], &code, LeafKind::Other, false),
    ];
    for (marks, purpose, kind, team) in cases {
        let mut w = World::new();
        let mut extensions: Vec<Vec<u8>> = marks.iter().map(|m| mark(m, true)).collect();
        extensions.push(purpose.to_vec());
        w.developer = developer(&w.authority, "Somebody", TEAM, &around_now(), &extensions);
        let signer = w.check(&w.blob(|_, _| {})).signer.unwrap();
        assert_eq!(signer.problem, None);
        assert_eq!(signer.kind, kind, "{marks:?}");
        assert_eq!(signer.team_id.is_some(), team, "{marks:?}");
        assert_eq!(signer.name.as_deref(), Some("Somebody"));
    }
    // What is no Team ID is not given as one.
    let mut w = World::new();
    w.developer =
        developer(&w.authority, NAME, "Some unit", &around_now(), &installer_extensions());
    assert_eq!(w.check(&w.blob(|_, _| {})).signer.unwrap().team_id, None);
}

/// Certificates that issue one another in a ring, and many with one name.
#[test]
fn i07_i08_the_search_ends() {
    let w = World::new();
    let (first, second) = (root("ring"), root("ring"));
    let mut ring = Vec::new();
    for i in 0..15u64 {
        for (by, of) in [(&first, &second), (&second, &first)] {
            let public = spki(&of.key.public()).unwrap();
            let times = validity(NOW - 1000 - i, NOW + 1000);
            let extensions = ca_extensions(None);
            let der =
                issue(&by.key, &by.name, &w.authority.name, &times, &public, &extensions).unwrap();
            let (key, _) = generate(KeyAlgorithm::EcdsaP256).unwrap();
            ring.push(Entity { name: w.authority.name.clone(), key, der });
        }
    }
    // All have the name "authority" and are issued by "ring"; two lead back into the ring.
    let back = |by: &Entity, of: &Entity| {
        let public = spki(&of.key.public()).unwrap();
        let extensions = ca_extensions(None);
        issue(&by.key, &w.authority.name, &of.name, &around_now(), &public, &extensions).unwrap()
    };
    for (by, of) in [(&first, &second), (&second, &first)] {
        let der = back(by, of);
        let (key, _) = generate(KeyAlgorithm::EcdsaP256).unwrap();
        ring.push(Entity { name: of.name.clone(), key, der });
    }
    let leaf = developer(&first, NAME, TEAM, &around_now(), &installer_extensions());
    let mut list: Vec<&Entity> = ring.iter().take(31).collect();
    list.push(&leaf);
    let mut blob = software(&list);
    blob.signers.push(Signer::new(&leaf).encode());
    let start = std::time::Instant::now();
    let claim = w.check(&blob.encode());
    assert_eq!(claim.state, ClaimState::Untrusted);
    assert!(claim.signer.unwrap().chain.len() <= 6);
    mip_testkit::not_hanging(start);
}
