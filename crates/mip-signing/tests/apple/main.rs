//! Apple's signatures on the shared fixtures: against what `openssl` and other tools read
//! (`expected/trust.jsonl`), against `openssl` itself, and with every byte of a real one changed.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::string_slice,
    clippy::print_stderr
)]

mod package;

use std::path::{Path, PathBuf};
use std::process::Command;

use mip_base::{Limits, hex};
use mip_signing::apple::{
    CertificateClaim, ClaimState, Content, LeafKind, SignatureClaim, Validity, check_cms,
    check_rsa, read_ticket, roots,
};
use package::Package;

/// 2026-01-01, when some of the fixtures' certificates had expired and some had not.
const AT: u64 = 1_767_225_600;

fn cms(package: &Package, at: u64) -> SignatureClaim {
    let signature = package.cms.as_ref().unwrap();
    check_cms(&signature.bytes, Content::Bytes(&package.toc_digest), at, &Limits::default())
}

/// All signed packages with what is expected of them.
fn signed(test: &str) -> Vec<(PathBuf, Package, serde_json::Value)> {
    let Some(dir) = mip_testkit::shared::fixtures(test) else { return Vec::new() };
    let text = std::fs::read_to_string(dir.join("expected/trust.jsonl")).unwrap();
    let found: Vec<_> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|e| !e["x-signature"].is_null())
        .map(|e| {
            let path = dir.join(e["file"].as_str().unwrap());
            let package = package::read(&std::fs::read(&path).unwrap());
            (path, package, e)
        })
        .collect();
    assert!(found.len() >= 9);
    found
}

/// `C=JP,O=X,CN=Y` as openssl prints it (in the order of the certificate) and as RFC 4514 has it.
fn same_name(expected: &str, ours: &str) -> bool {
    let sorted = |text: &str| {
        let mut parts: Vec<String> = text
            .replace("0.9.2342.19200300.100.1.1=", "UID=")
            .split(',')
            .map(str::to_owned)
            .collect();
        parts.sort();
        parts
    };
    sorted(expected) == sorted(ours)
}

/// `Sep 20 02:01:08 2018 GMT` of openssl as RFC 3339.
fn date(openssl: &str) -> String {
    let p: Vec<&str> = openssl.split_whitespace().collect();
    let months = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let month = months.find(p[0]).unwrap() / 3 + 1;
    format!("{}-{month:02}-{:02}T{}Z", p[3], p[1].parse::<u8>().unwrap(), p[2])
}

fn assert_chain(expected: &serde_json::Value, ours: &[CertificateClaim], what: &Path) {
    let expected = expected.as_array().unwrap();
    assert_eq!(expected.len(), ours.len(), "{}", what.display());
    for (e, c) in expected.iter().zip(ours) {
        let text = |key: &str| e[key].as_str().unwrap();
        assert!(same_name(text("subject"), &c.subject), "{} {}", text("subject"), c.subject);
        assert!(same_name(text("issuer"), &c.issuer), "{} {}", text("issuer"), c.issuer);
        assert_eq!(date(text("notBefore")), c.not_before);
        assert_eq!(date(text("notAfter")), c.not_after);
        assert_eq!(text("sha256").replace(':', "").to_lowercase(), c.sha256);
    }
}

#[test]
fn signed_packages_are_what_independent_tools_say() {
    for (path, package, expected) in signed("apple signatures") {
        let name = path.display();
        assert_eq!(expected["toc_digest"], hex(&package.toc_digest), "{name}");
        let claim = cms(&package, AT);
        let verifies = expected["x-signature"]["cms_verifies"].as_bool().unwrap();
        assert_eq!(claim.state == ClaimState::Valid, verifies, "{name}: {:?}", claim.problem);
        assert_eq!(claim.problem, None, "{name}");
        let signer = claim.signer.as_ref().unwrap();
        assert_chain(&expected["x-signature"]["chain"], &signer.chain, &path);
        assert_eq!(signer.root.as_deref(), Some("Apple Root CA"));
        assert_eq!(signer.kind, LeafKind::DeveloperIdInstaller);
        let team = signer.team_id.as_deref().unwrap();
        let whole = signer.chain[0].common_name.as_deref().unwrap();
        let developer = signer.name.as_deref().unwrap();
        assert_eq!(whole, format!("Developer ID Installer: {developer} ({team})"));
        assert_eq!(claim.digest_algorithm.as_deref(), Some("sha1"));
        assert_eq!(claim.signature_algorithm.as_deref(), Some("rsa-pkcs1-sha1"));
        let stamp = claim.timestamp.as_ref().unwrap();
        assert_eq!(stamp.state, ClaimState::Valid, "{name}: {:?}", stamp.problem);
        assert_eq!(signer.validity_at_timestamp, Some(Validity::Valid));
        assert!(stamp.chain.len() >= 3 && stamp.chain[0].subject.contains("Timestamp"));

        let rsa = package.rsa.as_ref().unwrap();
        let claim = check_rsa(
            &package.toc_style,
            &package.toc_digest,
            &rsa.bytes,
            &rsa.certificates,
            AT,
            &Limits::default(),
        );
        let verifies = expected["signature"]["rsa_verifies"].as_bool().unwrap();
        let state = if verifies { ClaimState::Valid } else { ClaimState::Invalid };
        assert_eq!(claim.state, state, "{name}: {:?}", claim.problem);
        assert_chain(&expected["signature"]["chain"], &claim.signer.unwrap().chain, &path);
    }
}

#[test]
fn tickets_of_signed_packages_name_their_tables() {
    for (path, package, _) in signed("tickets") {
        let ticket = read_ticket(package.ticket.as_ref().unwrap(), AT, &Limits::default());
        let name = path.display();
        assert_eq!(ticket.state, ClaimState::Valid, "{name}: {:?}", ticket.problem);
        assert!(ticket.names(&package.toc_digest), "{name}");
        assert!(!ticket.names(&[7; 20]) && !ticket.names(&[]));
        let signer = ticket.signer.unwrap();
        assert_eq!(signer.root.as_deref(), Some("Apple Root CA - G3"));
        assert_eq!(signer.chain[0].common_name.as_deref(), Some("Software Ticket Signing"));
        assert_eq!(signer.chain.len(), 3);
    }
}
