//! Real programs against what Python reads in them (`oracle.py`), and single bytes changed.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::cast_possible_truncation
)]

mod common;

use common::{program_with, unpack};
use mip_base::Job;
use mip_codesign::{ClaimState, CodeSignature, MachO, Special};
use mip_signing::apple::LeafKind;
use mip_testkit::shared::fixtures;
use serde_json::Value;

/// The archive, the bundle's folder, the program in it, and what Python reads.
fn expectations() -> Vec<Value> {
    serde_json::from_str(include_str!("programs.json")).unwrap()
}

struct Real {
    program: Vec<u8>,
    info: Option<Vec<u8>>,
    resources: Option<Vec<u8>>,
}

impl Real {
    fn of(dir: &std::path::Path, e: &Value) -> Self {
        let (archive, bundle) = (e["archive"].as_str().unwrap(), e["bundle"].as_str().unwrap());
        let get = |name: &str| unpack(dir, archive, &format!("{bundle}{name}"));
        // Sealed by the signature, or there in spite of it: without one, nothing is looked at.
        let signed = e["slices"].as_array().unwrap().iter().any(|s| !s["signature"].is_null());
        let sealed = |n: &str| {
            let slices = e["slices"].as_array().unwrap();
            slices
                .iter()
                .any(|s| s.pointer(&format!("/signature/directories/0/specials/{n}")).is_some())
        };
        Self {
            program: get(e["program"].as_str().unwrap()),
            info: signed.then(|| get("Info.plist")),
            resources: sealed("3").then(|| get("_CodeSignature/CodeResources")),
        }
    }

    fn check(&self, program: &[u8]) -> Vec<CodeSignature> {
        let special =
            Special { info_plist: self.info.as_deref(), code_resources: self.resources.as_deref() };
        program_with(program, &special).unwrap()
    }
}

fn texts(v: &Value) -> Vec<String> {
    v.as_array().unwrap().iter().map(|t| t.as_str().unwrap().to_owned()).collect()
}

#[test]
fn real_programs_say_what_python_reads() {
    let Some(dir) = fixtures("real_programs_say_what_python_reads") else { return };
    let (mut signed, mut unsigned) = (0, 0);
    for e in expectations() {
        let real = Real::of(&dir, &e);
        let what = format!("{} {}", e["archive"], e["program"]);
        let parts = MachO::open(common::source(&real.program), &Job::default()).unwrap();
        let found = real.check(&real.program);
        let expected = e["slices"].as_array().unwrap();
        assert_eq!(found.len(), expected.len(), "{what}");
        for ((slice, f), e) in parts.slices().iter().zip(&found).zip(expected) {
            assert_eq!(slice.architecture, e["architecture"], "{what}");
            assert_eq!(f.architecture.as_ref(), Some(&slice.architecture), "{what}");
            assert_eq!(
                (slice.offset, slice.size),
                (e["offset"].as_u64().unwrap(), e["size"].as_u64().unwrap())
            );
            assert_eq!(slice.min_os.as_deref(), e["min_os"].as_str(), "{what}");
            let s = &e["signature"];
            if s.is_null() {
                assert_eq!(f.state, ClaimState::Unsigned, "{what}");
                assert_eq!(slice.signature, None);
                unsigned += 1;
                continue;
            }
            signed += 1;
            let (at, len) = slice.signature.unwrap();
            assert_eq!(at + len - slice.offset, s["end"].as_u64().unwrap(), "{what}");
            let directories = s["directories"].as_array().unwrap();
            let ours: Vec<_> =
                f.code_directories.iter().map(|d| (&d.algorithm, &d.cdhash)).collect();
            let theirs: Vec<_> = directories
                .iter()
                .map(|d| (d["algorithm"].as_str().unwrap(), d["cdhash"].as_str().unwrap()))
                .collect();
            assert_eq!(ours.len(), theirs.len());
            for (a, b) in ours.iter().zip(&theirs) {
                assert_eq!((a.0.as_str(), a.1.as_str()), *b, "{what}");
            }
            let d = &directories[0];
            assert_eq!(f.identifier.as_deref(), d["identifier"].as_str(), "{what}");
            assert_eq!(f.team_id.as_deref(), d["team_id"].as_str(), "{what}");
            assert_eq!(f.flags, texts(&d["flags"]), "{what}");
            assert_eq!(f.hardened_runtime, f.flags.iter().any(|n| n == "runtime"));
            let runtime = d["runtime"].as_u64().unwrap();
            let dotted = format!("{}.{}", runtime >> 16, runtime >> 8 & 0xff);
            assert_eq!(f.runtime_version, (runtime != 0).then_some(dotted), "{what}");
            assert_eq!(f.entitlements.clone().unwrap_or(Value::Null), s["entitlements"], "{what}");
            assert_eq!(f.pages.state, ClaimState::Valid, "{what}");
            assert_eq!((f.pages.bytes, f.pages.altered), (d["limit"].as_u64().unwrap(), 0));
            let sealed: Vec<_> = f.slots.sealed.iter().map(u32::to_string).collect();
            let specials: Vec<_> = d["specials"].as_object().unwrap().keys().cloned().collect();
            assert_eq!(sealed, specials, "{what}");
            assert_eq!(f.signature.is_some(), s["cms_bytes"] != 0, "{what}");
            if what.contains("tika") {
                // The Info.plist of that sample is not the one that was signed.
                assert_eq!(f.slots.altered, [1]);
                assert_eq!(f.problems[0], "the Info.plist: not what was signed (sha1)");
            } else if what.contains("mjpython") {
                assert_eq!(f.state, ClaimState::AdHoc);
                assert_eq!(f.problems, ["the Info.plist: not covered by the linker's signature"]);
            } else {
                assert_eq!(f.state, ClaimState::Valid, "{what}: {:?}", f.problems);
                let signer = f.signature.as_ref().unwrap().signer.as_ref().unwrap();
                assert_eq!(signer.team_id, f.team_id, "{what}");
                assert_eq!(signer.kind, LeafKind::DeveloperIdApplication, "{what}");
                // Entitlements as XML and as DER are the same, the designated requirement holds.
                assert_eq!(f.problems, [""; 0], "{what}");
                assert_eq!(f.slots.altered, [0_u32; 0]);
            }
        }
    }
    assert!(signed > 20 && unsigned > 4, "{signed} {unsigned}");
}

/// `codesign -d -r-` prints such texts for Developer ID and Mac App Store programs (Apple TN3127).
#[test]
fn real_designated_requirements_read_as_apple_writes_them() {
    let Some(dir) = fixtures("real_designated_requirements") else { return };
    let text = |archive: &str, program: &str| {
        let all = expectations();
        let e = all.iter().find(|e| e["archive"] == archive && e["program"] == program).unwrap();
        let real = Real::of(&dir, e);
        let found = real.check(&real.program);
        found[0].requirement.clone().unwrap()
    };
    assert_eq!(
        text("app/sparkle-DevSignedApp.zip", "MacOS/SignedApp"),
        "anchor apple generic and identifier \"com.zoo.SignedApp\" and (certificate leaf\
         [field.1.2.840.113635.100.6.1.9] /* exists */ or certificate 1\
         [field.1.2.840.113635.100.6.2.6] /* exists */ and certificate leaf\
         [field.1.2.840.113635.100.6.1.13] /* exists */ and certificate leaf[subject.OU] = \
         ZCK58M894E)"
    );
    assert_eq!(
        text(
            "pkg-signed/Karabiner-DriverKit-VirtualHIDDevice-7.3.0.pkg",
            "MacOS/Karabiner-VirtualHIDDevice-Manager"
        ),
        "identifier \"org.pqrs.Karabiner-VirtualHIDDevice-Manager\" and anchor apple generic and \
         certificate 1[field.1.2.840.113635.100.6.2.6] /* exists */ and certificate leaf\
         [field.1.2.840.113635.100.6.1.13] /* exists */ and certificate leaf[subject.OU] = \
         G43BCU2T37"
    );
}

fn real(dir: &std::path::Path, archive: &str) -> (Real, Value) {
    let e = expectations().into_iter().find(|e| e["archive"] == archive).unwrap();
    (Real::of(dir, &e), e)
}

#[test]
fn one_changed_byte_is_found_in_each_page_of_each_slice() {
    let Some(dir) = fixtures("one_changed_byte_in_each_page") else { return };
    let start = std::time::Instant::now();
    for (archive, step) in
        [("app/sparkle-DevSignedApp.zip", 1), ("app/mitmproxy-Redirector.app.tar", 29)]
    {
        let (real, e) = real(&dir, archive);
        let mut changed = real.program.clone();
        let mut pages = 0;
        for (n, s) in e["slices"].as_array().unwrap().iter().enumerate() {
            let d = &s["signature"]["directories"][0];
            let base = s["offset"].as_u64().unwrap();
            let page = 1_u64 << d["page"].as_u64().unwrap();
            let limit = d["limit"].as_u64().unwrap();
            for p in (0..d["pages"].as_u64().unwrap()).step_by(step) {
                let last = ((p + 1) * page).min(limit) - 1;
                // In the middle: the header's numbers would make another file of it.
                for at in [p * page + (last - p * page) / 2 + 2000 % page / 2, last] {
                    let at = base + at.min(last);
                    changed[at as usize] ^= 0x10;
                    let found = real.check(&changed);
                    changed[at as usize] ^= 0x10;
                    assert_eq!(found[n].state, ClaimState::Invalid, "{archive} byte {at}");
                    assert_eq!(found[n].pages.state, ClaimState::Invalid);
                    assert_eq!(found[n].pages.altered, 1, "{archive} byte {at}");
                    assert_eq!(found[n].pages.first_altered, Some(base + p * page));
                    // The other slice is not to blame.
                    for (m, other) in found.iter().enumerate().filter(|(m, _)| *m != n) {
                        assert_eq!(other.pages.state, ClaimState::Valid, "{m}");
                    }
                    pages += 1;
                }
            }
        }
        assert!(pages >= 26, "{archive}: {pages}");
    }
    mip_testkit::not_hanging(start);
}

#[test]
fn a_changed_file_of_a_special_slot_is_named() {
    let Some(dir) = fixtures("a_changed_file_of_a_special_slot") else { return };
    for archive in ["app/sparkle-DevSignedApp.zip", "app/mitmproxy-Redirector.app.tar"] {
        let (mut real, _) = real(&dir, archive);
        for slice in real.check(&real.program) {
            assert_eq!(slice.problems.iter().filter(|p| !p.contains("CMS")).count(), 0);
        }
        let info = real.info.clone();
        real.info.as_mut().unwrap()[100] ^= 1;
        for slice in real.check(&real.program) {
            assert_eq!(slice.state, ClaimState::Invalid);
            assert_eq!(slice.slots.altered, [1]);
            assert!(!slice.slots.more);
            assert_eq!(slice.problems[0], "the Info.plist: not what was signed (sha256)");
        }
        real.info = None;
        for slice in real.check(&real.program) {
            assert_eq!(slice.problems[0], "the Info.plist: signed, and not there");
        }
        real.info = info;
        real.resources.as_mut().unwrap().push(b'\n');
        for slice in real.check(&real.program) {
            assert_eq!(slice.slots.altered, [3]);
            assert_eq!(slice.problems[0], "the CodeResources: not what was signed (sha256)");
        }
        real.resources = None;
        for slice in real.check(&real.program) {
            assert_eq!(slice.problems[0], "the CodeResources: signed, and not there");
        }
    }
}

#[test]
fn each_changed_byte_of_the_signed_blobs_is_found() {
    let Some(dir) = fixtures("each_changed_byte_of_the_signed_blobs") else { return };
    let start = std::time::Instant::now();
    let (real, _) = real(&dir, "app/sparkle-DevSignedApp.zip");
    let program = MachO::open(common::source(&real.program), &Job::default()).unwrap();
    let (at, _) = program.slices()[0].signature.unwrap();
    let word =
        |at: usize| u32::from_be_bytes(real.program[at..at + 4].try_into().unwrap()) as usize;
    let at = at as usize;
    let mut changed = real.program.clone();
    let mut tried = 0;
    for entry in (at + 12..).step_by(8).take(word(at + 8)) {
        let (slot, from) = (word(entry), at + word(entry + 4));
        // The code directory, requirements, entitlements, DER entitlements.
        if !matches!(slot, 0 | 2 | 5 | 7) {
            continue;
        }
        for i in from..from + word(from + 4) {
            changed[i] ^= 1;
            let found = real.check(&changed);
            changed[i] ^= 1;
            // Another version or hash type may be one that is not supported.
            assert!(found[0].state <= ClaimState::Unsupported, "slot {slot} byte {i}");
            tried += 1;
        }
    }
    assert!(tried > 1000, "{tried}");
    mip_testkit::not_hanging(start);
}
