//! Signed packages of the shared fixtures: against openssl, and with a byte changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use mip_base::{CancelToken, Code, Job, Kind, Limits, SilentProgress};
use mip_core::inspection::{
    CertificateClaim, ClaimState, Inspection, LeafKind, PackageTrust, SignerClaim, Validity,
};
use mip_core::{Input, SignatureScan, SourcePolicy, inspect};
use mip_testkit::shared::fixtures;
use mip_xar::{SignatureStyle, Xar};
use serde_json::Value;

use super::{codes, flipped, look, options, package, read, spread, xar};

const SMALL: &str = "pkg-signed/installomator-Installomator-0.5-018b06.pkg";
const BOTH: &str = "pkg-signed/Karabiner-DriverKit-VirtualHIDDevice-7.3.0.pkg";

/// `Sep 21 02:01:08 2023 GMT`, as openssl writes it.
fn openssl_time(text: &str) -> String {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let p: Vec<&str> = text.split_whitespace().collect();
    let month = MONTHS.find(p[0]).unwrap() / 3 + 1;
    format!("{}-{month:02}-{:0>2}T{}Z", p[3], p[1], p[2])
}

fn same_chain(file: &str, ours: &[CertificateClaim], expected: &Value) {
    let expected = expected["chain"].as_array().unwrap();
    assert_eq!(ours.len(), expected.len(), "{file}");
    for (c, e) in ours.iter().zip(expected) {
        let text = |key: &str| e[key].as_str().unwrap();
        assert_eq!(c.subject, text("subject"), "{file}");
        assert_eq!(c.issuer, text("issuer"), "{file}");
        assert_eq!(c.not_before, openssl_time(text("notBefore")), "{file}");
        assert_eq!(c.not_after, openssl_time(text("notAfter")), "{file}");
        assert_eq!(c.sha256, text("sha256").replace(':', "").to_lowercase(), "{file}");
    }
}

#[test]
fn packages_of_the_fixtures_are_judged_as_by_openssl() {
    let Some(dir) = fixtures("packages_of_the_fixtures_are_judged_as_by_openssl") else { return };
    let text = std::fs::read_to_string(dir.join("expected/trust.jsonl")).unwrap();
    let (mut signed, mut unsigned) = (0, 0);
    for line in text.lines() {
        let e: Value = serde_json::from_str(line).unwrap();
        let Some(file) = e["file"].as_str().filter(|_| e["toc_style"].is_string()) else {
            continue;
        };
        let bytes = read(&dir, file);
        let archive = Xar::open(Arc::new(bytes.clone()), &Job::default()).unwrap();
        let tail = archive.trailing().map_or(0, |t| t.1);
        assert_eq!(tail, e["trailer_after_heap"].as_u64().unwrap(), "{file}");
        let found = match look(bytes) {
            Ok(found) => found,
            // Archives that are no packages, and one whose payload no version of macOS has.
            Err(x) if file.starts_with("xar/") && x.code() == Code::NotAPackage => continue,
            Err(x) => panic!("{file}: {x}"),
        };
        let p = package(&found);
        assert_eq!(p.toc_algorithm, e["toc_style"].as_str().unwrap(), "{file}");
        assert_eq!(p.toc_digest, e["toc_digest"].as_str().unwrap(), "{file}");
        assert_eq!(e["toc_digest_matches"], true, "{file}");
        if e.get("signature").is_none() {
            unsigned += 1;
            assert_eq!(
                (p.state, &p.counts, &p.rsa, &p.cms),
                (ClaimState::Unsigned, &None, &None, &None)
            );
            assert!(found.trust.tickets.is_empty() && p.uncovered.is_empty(), "{file}");
            continue;
        }
        signed += 1;
        let (rsa, cms) = (p.rsa.as_ref().unwrap(), p.cms.as_ref().unwrap());
        assert_eq!(
            rsa.state == ClaimState::Valid,
            e["signature"]["rsa_verifies"] == true,
            "{file}"
        );
        assert_eq!(
            cms.state == ClaimState::Valid,
            e["x-signature"]["cms_verifies"] == true,
            "{file}"
        );
        assert_eq!(
            (p.counts.as_deref(), p.state),
            (Some("cms"), ClaimState::Valid),
            "{file}: {:?}",
            p.problem
        );
        let signer = p.signer().unwrap();
        same_chain(file, &signer.chain, &e["x-signature"]);
        if rsa.state == ClaimState::Valid {
            same_chain(file, &rsa.signer.as_ref().unwrap().chain, &e["signature"]);
        }
        let subject = e["x-signature"]["chain"][0]["subject"].as_str().unwrap();
        let team = subject.split("OU=").nth(1).unwrap().split(',').next().unwrap();
        let name = subject.split("Developer ID Installer: ").nth(1).unwrap();
        let name = name.split(" (").next().unwrap();
        assert_eq!((signer.team_id.as_deref(), signer.name.as_deref()), (Some(team), Some(name)));
        assert_eq!(signer.kind, LeafKind::DeveloperIdInstaller, "{file}");
        assert_eq!(signer.root.as_deref(), Some("Apple Root CA"), "{file}");
        // Each was signed while its certificate was valid, as a timestamp of Apple's says.
        assert_eq!(signer.validity_at_timestamp, Some(Validity::Valid), "{file}");
        let end = &signer.chain[0].not_after;
        let expired = end.as_str() < "2026-06-01T00:00:00Z";
        assert_eq!(signer.validity_now == Some(Validity::Expired), expired, "{file}");
        assert!(!codes(&found).contains(&"W_SIGNER_EXPIRED"), "{file}");

        assert_eq!((p.contents.state, p.contents.damaged.len()), (ClaimState::Valid, 0), "{file}");
        let all: u64 =
            archive.files().iter().filter_map(|f| f.data.as_ref()).map(|d| d.length).sum();
        assert_eq!(p.contents.bytes, all, "{file}");
        // A ticket that Apple signed, for this very table, is all that is not covered.
        assert_eq!(e["ticket"], true);
        let [t] = found.trust.tickets.as_slice() else { panic!("{file}") };
        assert_eq!(
            (t.state, t.names_this),
            (ClaimState::Valid, Some(true)),
            "{file}: {:?}",
            t.problem
        );
        assert!(t.digests.contains(&p.toc_digest), "{file}");
        assert_eq!(t.bytes + 32, tail, "{file}");
        let [u] = p.uncovered.as_slice() else { panic!("{file}: {:?}", p.uncovered) };
        assert_eq!((u.place, u.length, u.holds), ("tail", tail, "notarization-ticket"), "{file}");
        let bad: Vec<_> = codes(&found)
            .into_iter()
            .filter(|c| c.starts_with("W_SI") || c.starts_with("W_UNS"))
            .collect();
        assert!(bad.is_empty(), "{file}: {bad:?}");
        let mismatch = found.notes.iter().any(|n| n.contains("RSA signature does not match"));
        assert_eq!(mismatch, rsa.state != ClaimState::Valid, "{file}");
        assert_eq!(found.trust.not_known.len(), 1, "{file}: revocation only");
    }
    assert!(signed >= 9 && unsigned >= 6, "{signed} {unsigned}");
}

#[test]
fn a18_a_changed_byte_of_the_table_is_refused() {
    let Some(dir) = fixtures("a18_a_changed_byte_of_the_table_is_refused") else { return };
    for file in [SMALL, BOTH] {
        let bytes = read(&dir, file);
        let start = xar(&bytes).heap_start();
        // Header, table, and the digest of the table in the heap.
        for at in spread(0, 28, 28).into_iter().chain(spread(28, start - 28, 400)) {
            let e = look(flipped(&bytes, at)).unwrap_err();
            let known = matches!(e.kind(), Kind::Malformed | Kind::Unsupported | Kind::Limit);
            assert!(known, "{file} at {at}: {e}");
        }
        for at in start..start + 20 {
            let e = look(flipped(&bytes, at)).unwrap_err();
            assert_eq!(e.code(), Code::XarChecksum, "{file} at {at}: {e}");
            assert!(e.message().contains("table of contents"), "{e}");
        }
    }
}

#[test]
fn a18_a_changed_byte_of_a_file_is_found_and_the_file_is_named() {
    let Some(dir) = fixtures("a18_a_changed_byte_of_a_file_is_found_and_the_file_is_named") else {
        return;
    };
    for file in [SMALL, BOTH] {
        let bytes = read(&dir, file);
        let archive = xar(&bytes);
        let mut named = 0;
        for f in archive.files() {
            let Some(d) = f.data.as_ref().filter(|d| d.length > 0) else { continue };
            for at in spread(archive.heap_start() + d.offset, d.length, 12) {
                match look(flipped(&bytes, at)) {
                    Ok(found) => {
                        let p = package(&found);
                        assert_eq!(p.state, ClaimState::Invalid, "{file} {} at {at}", f.path);
                        assert_eq!(p.contents.damaged, [f.path.as_str()], "{file} at {at}");
                        assert!(p.problem.as_ref().unwrap().contains(f.path.as_str()));
                        assert!(codes(&found).contains(&"W_SIGNATURE_INVALID"), "{file} at {at}");
                        // What was signed is still what was signed.
                        assert_eq!(p.cms.as_ref().unwrap().state, ClaimState::Valid);
                        named += 1;
                    }
                    // Tables must be read to know what it is: then nothing is known.
                    Err(e) => {
                        assert!(
                            e.path().unwrap().ends_with(f.path.as_str()),
                            "{file} at {at}: {e:?}"
                        );
                        assert_eq!(e.kind(), Kind::Malformed, "{file} at {at}: {e}");
                    }
                }
            }
        }
        assert!(named > 12, "{file}: {named}");
    }
}

/// What a package claims of its signer, without what depends on the bytes of the signature.
fn facts(p: &PackageTrust) -> (Option<String>, Option<String>, Option<String>, String) {
    let s = p.signer();
    let of = |f: fn(&SignerClaim) -> Option<String>| s.and_then(f);
    (
        of(|s| s.name.clone()),
        of(|s| s.team_id.clone()),
        of(|s| s.root.clone()),
        p.toc_digest.clone(),
    )
}

#[test]
fn a18_a_changed_byte_of_a_signature_never_makes_another_signer() {
    let Some(dir) = fixtures("a18_a_changed_byte_of_a_signature_never_makes_another_signer") else {
        return;
    };
    let bytes = read(&dir, BOTH);
    let archive = xar(&bytes);
    let plain = look(bytes.clone()).unwrap();
    let of = |style| archive.signatures().iter().find(|s| s.style == style).unwrap();

    // The RSA signature does not count beside a CMS signature: a fact, and a note.
    let rsa = of(SignatureStyle::Rsa);
    for at in spread(archive.heap_start() + rsa.offset, rsa.size, 40) {
        let found = look(flipped(&bytes, at)).unwrap();
        let p = package(&found);
        assert_eq!(
            (p.state, p.rsa.as_ref().unwrap().state),
            (ClaimState::Valid, ClaimState::Invalid)
        );
        assert!(found.notes.iter().any(|n| n.contains("RSA signature does not match")));
    }

    let cms = of(SignatureStyle::Cms);
    let start = archive.heap_start() + cms.offset;
    let region = &bytes[start as usize..(start + cms.size) as usize];
    let used = region.len() as u64 - region.iter().rev().take_while(|b| **b == 0).count() as u64;
    let (mut bad, mut harmless) = (0, 0);
    for at in spread(start, used, 400) {
        let found = look(flipped(&bytes, at)).unwrap();
        let p = package(&found);
        if p.state == ClaimState::Valid {
            // Parts that nothing refers to: a copy of the root, unsigned attributes.
            assert_eq!(facts(p), facts(package(&plain)), "at {at}");
            harmless += 1;
        } else {
            assert!(p.state < ClaimState::Valid && p.problem.is_some(), "at {at}: {:?}", p.state);
            assert!(codes(&found).iter().any(|c| c.starts_with("W_SIGNATURE_")), "at {at}");
            bad += 1;
        }
    }
    assert!(bad > 100, "{bad} bad, {harmless} harmless");

    // The padding behind it is covered by nothing, and must be zeros.
    assert!(used < cms.size);
    for at in spread(start + used, cms.size - used, 60) {
        let found = look(flipped(&bytes, at)).unwrap();
        assert_ne!(package(&found).state, ClaimState::Valid, "padding at {at}");
    }
}

#[test]
fn a18_a_changed_byte_of_the_tail_leaves_the_signature_and_takes_the_ticket() {
    let Some(dir) = fixtures("a18_a_changed_byte_of_the_tail_leaves_the_signature") else { return };
    let bytes = read(&dir, SMALL);
    let (start, len) = xar(&bytes).trailing().unwrap();
    let mut seen = BTreeMap::new();
    for at in spread(start, len, 300).into_iter().chain(start + len - 16..start + len) {
        let found = look(flipped(&bytes, at)).unwrap();
        assert_eq!(package(&found).state, ClaimState::Valid, "at {at}");
        match found.trust.tickets.as_slice() {
            [] => {
                assert!(codes(&found).contains(&"W_UNSIGNED_BYTES"), "at {at}");
                assert_eq!(package(&found).uncovered[0].holds, "unknown");
                *seen.entry("no ticket").or_insert(0) += 1;
            }
            [t] => {
                // The copy of an issuer's certificate may be altered where the root vouches for
                // nothing of it; else no altered ticket is one.
                assert_ne!(t.state, ClaimState::Valid, "at {at} of {start}");
                assert!(t.problem.is_some(), "at {at}");
                *seen.entry("bad ticket").or_insert(0) += 1;
            }
            more => panic!("{more:?}"),
        }
        assert_ne!(found.trust.not_known.len(), 1, "at {at}: notarization is not known either");
    }
    assert_eq!(seen.len(), 2, "{seen:?}");

    // Cut off, and something else in its place.
    let found = look(bytes[..start as usize].to_vec()).unwrap();
    assert!(found.trust.tickets.is_empty() && package(&found).uncovered.is_empty());
    assert_eq!(package(&found).state, ClaimState::Valid);
    for (tail, holds) in [(vec![0; 700], "zeros"), (b"hello".to_vec(), "unknown")] {
        let mut changed = bytes[..start as usize].to_vec();
        changed.extend(&tail);
        let found = look(changed).unwrap();
        let [u] = package(&found).uncovered.as_slice() else { panic!() };
        assert_eq!(
            (u.place, u.offset, u.length, u.holds),
            ("tail", start, tail.len() as u64, holds)
        );
        assert_eq!(codes(&found).contains(&"W_UNSIGNED_BYTES"), holds == "unknown");
    }
    // Bytes between the heap and the ticket.
    let mut changed = bytes[..start as usize].to_vec();
    changed.extend(b"something");
    changed.extend(&bytes[start as usize..]);
    let found = look(changed).unwrap();
    let holds: Vec<_> = package(&found).uncovered.iter().map(|u| (u.length, u.holds)).collect();
    assert_eq!(holds, [(9, "unknown"), (len, "notarization-ticket")]);
    assert_eq!(found.trust.tickets[0].state, ClaimState::Valid);
    assert!(codes(&found).contains(&"W_UNSIGNED_BYTES"));
    // The ticket of another package.
    let other = read(&dir, BOTH);
    let (from, _) = xar(&other).trailing().unwrap();
    let mut changed = bytes[..start as usize].to_vec();
    changed.extend(&other[from as usize..]);
    let found = look(changed).unwrap();
    let t = &found.trust.tickets[0];
    assert_eq!((t.state, t.names_this), (ClaimState::Invalid, Some(false)));
    assert!(codes(&found).contains(&"W_TICKET_INVALID"));
}

#[test]
fn how_far_it_goes_is_the_callers_choice() {
    let Some(dir) = fixtures("how_far_it_goes_is_the_callers_choice") else { return };
    let bytes = read(&dir, SMALL);
    let input = Input::source("Test.pkg", Arc::new(bytes.clone()));
    let mut limits = Limits::default();
    limits.signature_scan = 1000;
    let small = Job::new(limits, CancelToken::new(), Arc::new(SilentProgress));
    let with = |scan, job: &Job| {
        let mut o = options();
        o.signatures = scan;
        inspect(&input, &o, job).unwrap()
    };
    let state = |i: &Inspection| (package(i).state, package(i).contents.state);
    let auto = with(SignatureScan::Auto, &small);
    assert_eq!(state(&auto), (ClaimState::NotChecked, ClaimState::NotChecked));
    assert_eq!(package(&auto).cms.as_ref().unwrap().state, ClaimState::Valid);
    assert!(package(&auto).problem.as_ref().unwrap().contains("not compared"));
    let full = with(SignatureScan::Full, &small);
    assert_eq!(state(&full), (ClaimState::Valid, ClaimState::Valid));
    let never = with(SignatureScan::Never, &Job::default());
    assert_eq!(state(&never), (ClaimState::NotChecked, ClaimState::NotChecked));
    assert!(package(&never).cms.is_none() && never.trust.tickets.is_empty());

    // The time of the inspection changes what is valid now, and nothing else.
    let mut o = options();
    o.at = Some(1_600_000_000); // 2020-09-13, before the package was made
    let then = inspect(&input, &o, &Job::default()).unwrap();
    let now = |i: &Inspection| package(i).signer().unwrap().validity_now;
    assert_eq!((now(&then), now(&full)), (Some(Validity::Valid), Some(Validity::Expired)));
    assert_eq!(package(&then).state, ClaimState::Valid);

    // Stopped between two files.
    let cancel = CancelToken::new();
    cancel.cancel();
    let job = Job::new(Limits::default(), cancel, Arc::new(SilentProgress));
    assert_eq!(inspect(&input, &options(), &job).unwrap_err().code(), Code::Cancelled);
}

#[test]
fn policies_turn_claims_into_refusals() {
    let Some(dir) = fixtures("policies_turn_claims_into_refusals") else { return };
    let bytes = read(&dir, SMALL);
    let good = look(bytes.clone()).unwrap();
    let check = |edit: fn(&mut SourcePolicy), i: &Inspection| {
        let mut p = SourcePolicy::default();
        edit(&mut p);
        p.check(i, &i.warnings).map_err(|e| e.code())
    };
    let signed: fn(&mut SourcePolicy) = |p| p.signed = true;
    let team: fn(&mut SourcePolicy) = |p| p.team_id = Some("JME5BW3F3R".to_owned());
    let other: fn(&mut SourcePolicy) = |p| p.team_id = Some("G43BCU2T37".to_owned());
    let notarized: fn(&mut SourcePolicy) = |p| p.notarized = true;
    assert_eq!(check(signed, &good), Ok(()));
    assert_eq!(check(team, &good), Ok(()));
    assert_eq!(check(other, &good), Err(Code::SourceTeam));
    assert_eq!(check(notarized, &good), Ok(()));

    let (start, _) = xar(&bytes).trailing().unwrap();
    let no_ticket = look(bytes[..start as usize].to_vec()).unwrap();
    assert_eq!(check(signed, &no_ticket), Ok(()));
    assert_eq!(check(notarized, &no_ticket), Err(Code::SourceNotarization));
    let bad_ticket = look(flipped(&bytes, start + 1600)).unwrap();
    assert_eq!(check(notarized, &bad_ticket), Err(Code::SourceNotarization));

    let archive = xar(&bytes);
    let payload = archive.files().iter().find(|f| f.path.as_str().ends_with("Payload")).unwrap();
    let at = archive.heap_start() + payload.data.as_ref().unwrap().offset + 20;
    let damaged = look(flipped(&bytes, at)).unwrap();
    for (edit, code) in [
        (signed, Code::SourceSignature),
        (team, Code::SourceSignature),
        // The ticket names the table, and the file is not what the table says.
        (notarized, Code::SourceSignature),
    ] {
        assert_eq!(check(edit, &damaged), Err(code));
    }
    assert_eq!(
        check(|p| p.deny = vec!["W_SIGNATURE_INVALID".to_owned()], &damaged),
        Err(Code::Denied)
    );
    assert_eq!(check(|p| p.deny = vec!["W_SIGNATURE_INVALID".to_owned()], &good), Ok(()));
    assert_eq!(check(|p| p.deny = vec!["W_NO_SUCH".to_owned()], &good), Err(Code::Usage));

    let unsigned = look(read(&dir, "pkg-flat/arcade-test.pkg")).unwrap();
    assert_eq!(check(signed, &unsigned), Err(Code::SourceUnsigned));
    assert_eq!(check(team, &unsigned), Err(Code::SourceUnsigned));
    assert_eq!(check(|_| {}, &unsigned), Ok(()));
}

/// Without its timestamp a signature is only as good as its certificate is today: the attribute
/// is made one that nobody knows (1.2.840.113549.1.9.16.2.14 becomes …15). The bytes of it are
/// not signed, so the signature still holds.
#[test]
fn without_a_timestamp_an_expired_signer_is_said() {
    let Some(dir) = fixtures("without_a_timestamp") else { return };
    let good = read(&dir, "pkg-signed/Karabiner-DriverKit-VirtualHIDDevice-1.16.0.pkg");
    let attribute = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 2, 14];
    let places: Vec<usize> = good
        .windows(attribute.len())
        .enumerate()
        .filter(|(_, w)| *w == attribute)
        .map(|(i, _)| i + attribute.len() - 1)
        .collect();
    let [at] = places[..] else { panic!("{places:?}") };
    let mut bytes = good.clone();
    bytes[at] = 15;
    let before = look(good).unwrap();
    assert!(!codes(&before).contains(&"W_SIGNER_EXPIRED"));
    let found = look(bytes).unwrap();
    let p = package(&found);
    assert_eq!(p.state, ClaimState::Valid, "{:?}", p.problem);
    let cms = p.cms.as_ref().unwrap();
    assert!(cms.timestamp.is_none(), "{:?}", cms.timestamp);
    assert!(codes(&found).contains(&"W_SIGNER_EXPIRED"), "{:?}", found.warnings);
    let points = &found.apple_mdm.points;
    let expiry = points.iter().find(|p| p.code == "not-expired").unwrap();
    assert_eq!(expiry.met, mip_core::inspection::Met::No, "{}", expiry.detail);
}
