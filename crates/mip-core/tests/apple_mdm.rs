//! The verdict of Apple's MDM channel over the shared fixtures, against the table in the docs and
//! against what other tools read in the same files.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests"
)]

use std::collections::BTreeSet;
use std::path::Path;

use mip_core::inspection::{AppleMdm, Met};
use mip_core::{Input, InspectOptions, Job, SignatureScan, inspect};
use mip_testkit::shared::{expected, fixtures};

const DOCS: &str = include_str!("../../../docs/apple-mdm.md");

fn verdict(path: &Path) -> AppleMdm {
    let mut options = InspectOptions::new();
    options.signatures = SignatureScan::Full;
    // 2026-11-23: certificates without a timestamp expire.
    options.at = Some(1_795_392_000);
    inspect(&Input::path(path), &options, &Job::default()).unwrap().apple_mdm
}

fn point(of: &AppleMdm, code: &str) -> Option<Met> {
    of.points.iter().find(|p| p.code == code).map(|p| p.met)
}

/// File, answer, codes of what is not met.
fn table() -> Vec<(String, String, BTreeSet<String>)> {
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|').split(" | ").map(|c| c.trim().to_owned()).collect()
    };
    let codes = |cell: &str| -> BTreeSet<String> {
        cell.split(", ").filter(|c| *c != "–").map(|c| c.trim_matches('`').to_owned()).collect()
    };
    DOCS.lines()
        .filter(|l| l.starts_with("| `pkg-") || l.starts_with("| `synthetic/"))
        .map(cells)
        .map(|c| (c[0].trim_matches('`').to_owned(), c[2].clone(), codes(&c[3])))
        .collect()
}

#[test]
fn the_table_in_the_docs_is_what_is_found() {
    let Some(dir) = fixtures("apple_mdm: table") else { return };
    let rows = table();
    assert!(rows.len() > 20, "{}", rows.len());
    for (file, answer, want) in rows {
        let found = verdict(&dir.join(&file));
        let said = match found.qualifies {
            Met::Yes => "yes",
            Met::No => "no",
            Met::Unknown => "unknown",
        };
        let not_met: BTreeSet<String> = found
            .points
            .iter()
            .filter(|p| p.counts && p.met != Met::Yes)
            .map(|p| p.code.to_owned())
            .collect();
        assert_eq!((said, not_met), (answer.as_str(), want), "{file}");
    }
}

/// `Distribution` and `Payload` as 7-Zip lists them; the signature as openssl verifies it.
#[test]
fn other_tools_see_the_same() {
    let Some(dir) = fixtures("apple_mdm: other tools") else { return };
    let trust = std::fs::read_to_string(dir.join("expected/trust.jsonl")).unwrap();
    let mut seen = 0;
    for line in trust.lines() {
        let claim: serde_json::Value = serde_json::from_str(line).unwrap();
        let file = claim["file"].as_str().unwrap();
        let package = (file.starts_with("pkg-flat/") || file.starts_with("pkg-signed/"))
            && file.ends_with(".pkg")
            && claim["toc_style"].is_string();
        if !package {
            continue;
        }
        seen += 1;
        let found = verdict(&dir.join(file));
        let met = |yes: bool| Some(if yes { Met::Yes } else { Met::No });
        let listed = expected(&dir, file);
        let members = listed["members"].as_array().unwrap();
        let names: Vec<&str> = members.iter().map(|m| m[0].as_str().unwrap()).collect();
        assert_eq!(point(&found, "distribution"), met(names.contains(&"Distribution")), "{file}");
        let payload = names.iter().any(|n| *n == "Payload" || n.ends_with("/Payload"));
        assert_eq!(point(&found, "has-payload"), met(payload), "{file}");
        let signed = claim["signature"].is_object() || claim["x-signature"].is_object();
        assert_eq!(point(&found, "signed"), met(signed), "{file}");
        if !signed {
            assert_eq!(point(&found, "chain-apple"), None, "{file}");
            continue;
        }
        let cms = &claim["x-signature"];
        let holds = if cms.is_object() {
            &cms["cms_verifies"]
        } else {
            &claim["signature"]["rsa_verifies"]
        };
        assert_eq!(point(&found, "signature-intact"), met(*holds == true), "{file}");
        let ticket = !claim["ticket"].is_null() && claim["ticket"] != false;
        let stapled = if ticket { Met::Yes } else { Met::Unknown };
        assert_eq!(point(&found, "notarized"), Some(stapled), "{file}");
    }
    assert!(seen >= 10, "{seen}");
}
