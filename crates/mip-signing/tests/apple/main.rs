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

use std::ops::Range;
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

/// Runs openssl; `None` when it is not installed.
fn openssl(dir: &Path, line: &str) -> Option<(bool, String)> {
    let out = Command::new("openssl").args(line.split(' ')).current_dir(dir).output().ok()?;
    let text = [out.stdout, out.stderr].concat();
    Some((out.status.success(), String::from_utf8_lossy(&text).into_owned()))
}

fn pem_of_roots() -> String {
    roots().iter().map(|r| format!("{}\n", r.pem)).collect()
}

#[test]
fn openssl_reads_the_roots() {
    let dir = tempfile::tempdir().unwrap();
    for root in roots() {
        std::fs::write(dir.path().join("root.pem"), root.pem).unwrap();
        let line = "x509 -in root.pem -noout -fingerprint -sha256 -subject";
        let Some((ok, text)) = openssl(dir.path(), line) else {
            eprintln!("skipped: the openssl command is not installed");
            return;
        };
        assert!(ok, "{text}");
        assert!(text.replace(':', "").to_lowercase().contains(root.sha256), "{text}");
        assert!(text.trim_end().contains(&format!("CN = {}", root.name)), "{text}");
    }
}

/// The token of a real signature: the value of 1.2.840.113549.1.9.16.2.14, found by its bytes.
fn token(cms: &[u8]) -> &[u8] {
    let id = b"\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x02\x0e\x31\x82";
    let at = cms.windows(id.len()).position(|w| w == id).unwrap() + id.len();
    let size = usize::from(u16::from_be_bytes([cms[at], cms[at + 1]]));
    &cms[at + 2..at + 2 + size]
}

/// openssl reads the BER itself, checks the signature, leads the chain to the same root at the
/// time of the timestamp, and checks the timestamp.
#[test]
fn openssl_agrees_about_real_signatures() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
    write("roots.pem", pem_of_roots().as_bytes());
    for (path, package, _) in signed("openssl and apple signatures") {
        let blob = &package.cms.as_ref().unwrap().bytes;
        write("blob", blob);
        write("content", &package.toc_digest);
        let ours = cms(&package, AT);
        let stamp = ours.timestamp.as_ref().unwrap();
        let at = stamp.unix.unwrap();
        let verify = "cms -verify -inform DER -in blob -binary -out out -content";
        let Some((ok, text)) = openssl(dir.path(), &format!("{verify} content -noverify")) else {
            eprintln!("skipped: the openssl command is not installed");
            return;
        };
        assert!(ok && ours.state == ClaimState::Valid, "{}: {text}", path.display());
        // Whole chain. Apple's own critical extensions are unknown to openssl.
        let chain = format!(
            "{verify} content -CAfile roots.pem -purpose any -ignore_critical -attime {at} \
             -auth_level 0"
        );
        let (ok, text) = openssl(dir.path(), &chain).unwrap();
        assert!(ok, "{}: {text}", path.display());
        // Another content.
        write("other", &[7; 20]);
        assert!(!openssl(dir.path(), &format!("{verify} other -noverify")).unwrap().0);
        let other = check_cms(blob, Content::Bytes(&[7; 20]), AT, &Limits::default());
        assert_eq!(other.state, ClaimState::Invalid);
        assert!(other.problem.unwrap().starts_with("the content is not what was signed"));
        // The timestamp: over the signature value, which is the last thing before it.
        write("token", token(blob));
        write("value", &blob[signature_value(blob)]);
        let line = format!(
            "ts -verify -token_in -in token -data value -CAfile roots.pem -attime {at} \
             -ignore_critical -auth_level 0"
        );
        let (ok, text) = openssl(dir.path(), &line).unwrap();
        assert!(ok, "{}: {text}", path.display());
        let (_, text) = openssl(dir.path(), "ts -reply -token_in -in token -text").unwrap();
        let line = text.lines().find_map(|l| l.strip_prefix("Time stamp: ")).unwrap();
        let p: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(stamp.time.as_deref().unwrap(), date(&p.join(" ")));
    }
}

fn offset(of: &[u8], inside: &[u8]) -> usize {
    of.as_ptr() as usize - inside.as_ptr() as usize
}

/// Where the signature value of the signer is: the 256 bytes before the unsigned attributes.
fn signature_value(cms: &[u8]) -> Range<usize> {
    let head = &cms[..offset(token(cms), cms)];
    let at = head.windows(4).rposition(|w| w == [4, 0x82, 1, 0]).unwrap() + 4;
    at..at + 256
}

/// Every byte of a real signature changed, in one bit. Only these may change and leave a valid
/// signature, with the same signer:
/// * the list of digest algorithms, which is a hint (each signer names its own);
/// * the copy of the root, in whose place the pinned root stands;
/// * the unsigned attributes. Nothing in them is covered by the signature: changing the
///   timestamp is like leaving it out, and it is not reported as valid any more, or with the
///   same time and authority.
fn change_every_byte(package: &Package) {
    let blob = &package.cms.as_ref().unwrap().bytes;
    let good = cms(package, AT);
    let root = package::base64(
        &roots()[0].pem.lines().filter(|l| !l.starts_with('-')).collect::<String>(),
    );
    let root_at = blob.windows(root.len()).position(|w| w == root).unwrap();
    // SEQUENCE, type, [0], SEQUENCE, version: the list is the 13 bytes after them.
    assert_eq!(blob[17..22], [2, 1, 1, 0x31, 11]);
    let free = [22..33, root_at..root_at + root.len(), signature_value(blob).end..blob.len()];
    let used = blob.len() - blob.iter().rev().take_while(|b| **b == 0).count() + 8;
    let (mut signature, mut stamp) = (0, 0);
    for at in 0..used + 8 {
        let mut changed = blob.clone();
        changed[at] ^= 1 << (at % 8);
        let claim =
            check_cms(&changed, Content::Bytes(&package.toc_digest), AT, &Limits::default());
        if claim.state == ClaimState::Valid {
            signature += 1;
            assert!(free.iter().any(|r| r.contains(&at)) && at < used, "byte {at} of {used}");
            let (ours, theirs) = (claim.signer.unwrap(), good.signer.as_ref().unwrap());
            assert_eq!((&ours.chain, &ours.team_id), (&theirs.chain, &theirs.team_id), "{at}");
            let (ours, theirs) = (claim.timestamp, good.timestamp.as_ref());
            if ours.as_ref().is_some_and(|t| t.state == ClaimState::Valid) {
                stamp += 1;
                assert_eq!(ours.as_ref(), theirs, "byte {at}");
            }
        }
    }
    eprintln!("{used} bytes: {signature} stay valid, {stamp} of them with the timestamp");
    assert!(signature > stamp && stamp > 0);
}

#[test]
fn every_byte_of_a_real_signature_without_signed_attributes() {
    let found =
        signed("every byte").into_iter().find(|(_, p, _)| cms(p, AT).signing_time.is_none());
    if let Some((_, package, _)) = found {
        change_every_byte(&package);
    }
}

#[test]
fn every_byte_of_a_real_signature_with_signed_attributes() {
    let found =
        signed("every byte").into_iter().find(|(_, p, _)| cms(p, AT).signing_time.is_some());
    if let Some((_, package, _)) = found {
        change_every_byte(&package);
    }
}

#[test]
fn a_real_signature_cut_anywhere() {
    let Some((_, package, _)) = signed("cut").into_iter().next() else { return };
    let blob = &package.cms.as_ref().unwrap().bytes;
    let valid = |len: usize| {
        let content = Content::Bytes(&package.toc_digest);
        check_cms(&blob[..len], content, AT, &Limits::default()).state == ClaimState::Valid
    };
    let first = (0..=blob.len()).find(|len| valid(*len)).unwrap();
    // The indefinite lengths that are open around the last value end with two zero bytes each.
    let (end, rest) = (&blob[first - 6..first], &blob[first..]);
    assert!(end.iter().chain(rest).all(|b| *b == 0));
    assert!((first..=blob.len()).all(valid));
}

#[test]
fn every_byte_of_a_real_ticket() {
    let Some((_, package, _)) = signed("every byte").into_iter().next() else { return };
    let ticket = package.ticket.unwrap();
    for at in 0..ticket.len() {
        let mut changed = ticket.clone();
        changed[at] ^= 1 << (at % 8);
        let state = read_ticket(&changed, AT, &Limits::default()).state;
        assert_ne!(state, ClaimState::Valid, "byte {at}");
    }
}

#[test]
fn bare_signatures_that_cannot_be() {
    let Some((_, package, _)) =
        signed("bare").into_iter().find(|(_, _, e)| e["signature"]["rsa_verifies"] == true)
    else {
        return;
    };
    let rsa = package.rsa.unwrap();
    let check = |style: &str, digest: &[u8], value: &[u8], certificates: &[Vec<u8>]| {
        let claim = check_rsa(style, digest, value, certificates, AT, &Limits::default());
        (claim.state, claim.problem.unwrap_or_default())
    };
    let (digest, value, all) = (&package.toc_digest, &rsa.bytes, &rsa.certificates);
    assert_eq!(check("SHA1", digest, value, all), (ClaimState::Valid, String::new()));
    for at in 0..value.len() {
        let mut changed = value.clone();
        changed[at] ^= 1;
        assert_eq!(check("sha1", digest, &changed, all).0, ClaimState::Invalid);
    }
    assert_eq!(check("sha1", &[7; 20], value, all).0, ClaimState::Invalid);
    assert!(check("sha256", digest, value, all).1.contains("has 20 bytes, sha256 has 32"));
    assert_eq!(check("md5", &[7; 16], value, all).0, ClaimState::Unsupported);
    assert_eq!(check("sha1", digest, value, &[]).0, ClaimState::Invalid);
    assert_eq!(check("sha1", digest, &[], all).0, ClaimState::Invalid);
    // Another certificate first; the authority left out; too many.
    let swapped = [&all[1..], &all[..1]].concat();
    assert_eq!(check("sha1", digest, value, &swapped).0, ClaimState::Invalid);
    let (state, problem) = check("sha1", digest, value, &all[..1]);
    assert_eq!(state, ClaimState::Untrusted);
    assert!(problem.contains("issued by one that is not there"), "{problem}");
    // The root may be left out.
    assert_eq!(check("sha1", digest, value, &all[..2]).0, ClaimState::Valid);
    let many = vec![all[0].clone(); 33];
    assert_eq!(check("sha1", digest, value, &many).0, ClaimState::Unsupported);
}

/// Code directory and CMS blob of each embedded signature in a tar of an app: files lie in one
/// piece there, so the magic of the superblob (0xfade0cc0) is enough to find them.
fn embedded(tar: &[u8]) -> Vec<(&[u8], &[u8])> {
    let number =
        |at: usize| tar.get(at..at + 4).map(|b| u32::from_be_bytes(b.try_into().unwrap()) as usize);
    let mut out = Vec::new();
    for at in (0..tar.len()).step_by(4) {
        if number(at) != Some(0xfade_0cc0) {
            continue;
        }
        let Some(count) = number(at + 8).filter(|n| *n < 16) else { continue };
        let part = |slot: usize| {
            let i = (0..count).find(|i| number(at + 12 + i * 8) == Some(slot))?;
            let start = at + number(at + 16 + i * 8)?;
            tar.get(start..start + number(start + 4)?)
        };
        if let (Some(directory), Some(cms)) = (part(0), part(0x1_0000))
            && cms.len() > 8
        {
            out.push((directory, &cms[8..]));
        }
    }
    out
}

#[test]
fn code_signatures_and_the_ticket_of_an_app() {
    let Some(dir) = mip_testkit::shared::fixtures("code signatures") else { return };
    let tar = std::fs::read(dir.join("app/mitmproxy-Redirector.app.tar")).unwrap();
    let found = embedded(&tar);
    assert!(found.len() >= 2, "{}", found.len());
    let folder = tempfile::tempdir().unwrap();
    let mut directories = Vec::new();
    for (directory, cms) in &found {
        let claim = check_cms(cms, Content::Bytes(directory), AT, &Limits::default());
        assert_eq!((claim.state, claim.problem), (ClaimState::Valid, None));
        let signer = claim.signer.unwrap();
        assert_eq!(signer.kind, LeafKind::DeveloperIdApplication);
        assert!(signer.team_id.is_some() && signer.root.is_some());
        assert_eq!(claim.timestamp.unwrap().state, ClaimState::Valid);
        assert_eq!(claim.digest_algorithm.as_deref(), Some("sha256"));
        // The signer names the code directory once more: shortened, and in full.
        let digest = mip_testkit::sha256(directory);
        let agility = &claim.agility;
        assert!(agility.iter().any(|(a, d)| a == "sha256" && *d == digest), "{agility:?}");
        assert!(agility.iter().any(|(a, d)| a == "cdhash" && *d == digest[..40]), "{agility:?}");
        directories.push(digest[..40].to_owned());

        std::fs::write(folder.path().join("blob"), cms).unwrap();
        std::fs::write(folder.path().join("content"), directory).unwrap();
        let line = "cms -verify -inform DER -in blob -binary -out out -content content -noverify";
        if let Some((ok, text)) = openssl(folder.path(), line) {
            assert!(ok, "{text}");
        }
        let mut changed = directory.to_vec();
        changed[20] ^= 1;
        let claim = check_cms(cms, Content::Bytes(&changed), AT, &Limits::default());
        assert_eq!(claim.state, ClaimState::Invalid);
        assert_eq!(claim.problem.as_deref(), Some("the content is not what was signed"));
    }

    // The ticket, Contents/CodeResources, names the code directories of the app's programs.
    let start = tar.windows(8).position(|w| w == b"s8ch\x01\0\0\0").unwrap();
    let ticket = read_ticket(&tar[start..start + 1716], AT, &Limits::default());
    assert_eq!((ticket.state, ticket.problem.as_deref()), (ClaimState::Valid, None));
    let named: Vec<String> = ticket.digests.iter().map(|d| hex(d)).collect();
    for directory in &directories {
        assert!(named.contains(directory), "{directory} {named:?}");
    }
}

/// Signatures that openssl makes in all its forms (BER with pieces too): the signature holds, so
/// all that is wrong is who signed; with other content it does not hold.
#[test]
fn signatures_made_by_openssl() {
    let dir = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..40_000u32).map(|i| (i % 251) as u8).collect();
    std::fs::write(dir.path().join("content"), &content).unwrap();
    let run = |line: &str| openssl(dir.path(), line);
    if run("version").is_none() {
        eprintln!("skipped: the openssl command is not installed");
        return;
    }
    let keys = [
        ("rsa", "rsa:2048", "rsa-pkcs1"),
        ("p256", "ec -pkeyopt ec_paramgen_curve:P-256", "ecdsa-p256"),
        ("p384", "ec -pkeyopt ec_paramgen_curve:P-384", "ecdsa-p384"),
        ("p521", "ec -pkeyopt ec_paramgen_curve:P-521", "ecdsa-p521"),
    ];
    for (name, key, ours) in keys {
        let (ok, text) = run(&format!(
            "req -x509 -newkey {key} -nodes -keyout {name}.key -out {name}.pem -days 30 -subj \
             /CN={name} -addext extendedKeyUsage=codeSigning"
        ))
        .unwrap();
        assert!(ok, "{text}");
        for digest in ["sha1", "sha256", "sha384", "sha512"] {
            for form in ["", "-keyid", "-noattr", "-nodetach", "-stream -nodetach", "-nosmimecap"] {
                let line = format!(
                    "cms -sign -in content -binary -signer {name}.pem -inkey {name}.key -md \
                     {digest} -outform DER -out blob {form}"
                );
                let (ok, text) = run(line.trim_end()).unwrap();
                assert!(ok, "{text}");
                let blob = std::fs::read(dir.path().join("blob")).unwrap();
                let claim = check_cms(&blob, Content::Bytes(&content), AT, &Limits::default());
                let what = format!("{name} {digest} {form}");
                if digest == "sha1" && matches!(name, "p384" | "p521") {
                    assert_eq!(claim.state, ClaimState::Unsupported, "{what}");
                    continue;
                }
                assert_eq!(claim.state, ClaimState::Untrusted, "{what}: {:?}", claim.problem);
                assert!(claim.problem.unwrap().ends_with("is not a root of Apple's"), "{what}");
                assert_eq!(claim.signature_algorithm, Some(format!("{ours}-{digest}")), "{what}");
                let mut other = content.clone();
                other[39_999] ^= 1;
                let claim = check_cms(&blob, Content::Bytes(&other), AT, &Limits::default());
                assert_eq!(claim.state, ClaimState::Invalid, "{what}");
            }
        }
        if name == "rsa" {
            continue;
        }
        // Two signers.
        let (ok, text) = run(&format!(
            "cms -sign -in content -binary -signer {name}.pem -inkey {name}.key -signer rsa.pem \
             -inkey rsa.key -outform DER -out blob"
        ))
        .unwrap();
        assert!(ok, "{text}");
        let blob = std::fs::read(dir.path().join("blob")).unwrap();
        let claim = check_cms(&blob, Content::Bytes(&content), AT, &Limits::default());
        assert_eq!(claim.state, ClaimState::Untrusted, "{name} and rsa: {:?}", claim.problem);
    }
    let (ok, text) = run("cms -sign -in content -binary -signer rsa.pem -inkey rsa.key -keyopt \
         rsa_padding_mode:pss -outform DER -out blob")
    .unwrap();
    assert!(ok, "{text}");
    let blob = std::fs::read(dir.path().join("blob")).unwrap();
    let claim = check_cms(&blob, Content::Bytes(&content), AT, &Limits::default());
    assert_eq!(claim.state, ClaimState::Unsupported);
    assert!(claim.problem.unwrap().contains("1.2.840.113549.1.1.10"));
}
