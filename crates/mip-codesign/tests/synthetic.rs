//! Built programs: every form of a file and a code directory, right and wrong.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::cast_possible_truncation
)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::{NOW, one, program, program_with, source};
use mip_base::{Code, Job};
use mip_codesign::{Check, ClaimState, MachO, Special, check_program};
use mip_testkit::macho::{Hash, Program, Signature, argument, designated, fat, requirement};
use serde_json::json;

const ALL: [Hash; 4] = [Hash::Sha1, Hash::Sha256, Hash::Sha256Cut, Hash::Sha384];

#[test]
fn all_forms_of_a_thin_file() {
    for (wide, big_endian, cpu, name) in [
        (true, false, (0x0100_000c, 0), "arm64"),
        (true, false, (0x0100_000c, 0x8000_0002), "arm64e"),
        (true, false, (0x0100_0007, 3), "x86_64"),
        (true, false, (0x0100_0007, 8), "x86_64h"),
        (true, true, (0x0100_0012, 0), "ppc64"),
        (false, false, (7, 3), "i386"),
        (false, false, (12, 9), "armv7"),
        (false, true, (18, 0), "ppc"),
    ] {
        let file = Program { cpu, wide, big_endian, ..Program::default() }.build();
        let parts = MachO::open(source(&file), &Job::default()).unwrap();
        let slice = &parts.slices()[0];
        assert_eq!(slice.architecture, name);
        assert_eq!(slice.min_os.as_deref(), Some("11.3.1"));
        assert_eq!(slice.platform.as_deref(), Some("macos"));
        assert_eq!(slice.file_type, 2);
        let found = one(&file);
        assert_eq!(found.state, ClaimState::AdHoc, "{name}: {:?}", found.problems);
        assert_eq!(found.problems, [""; 0]);
        assert_eq!(found.identifier.as_deref(), Some("org.example.tool"));
        assert_eq!(found.flags, ["adhoc"]);
    }
}

#[test]
fn all_hashes_versions_and_page_sizes() {
    for hash in ALL {
        for version in [0x2_0001, 0x2_0100, 0x2_0200, 0x2_0300, 0x2_0400, 0x2_0500, 0x2_0600] {
            for page_log in [0, 6, 12, 14, 20] {
                let team = (version >= 0x2_0200).then(|| "ABCDE12345".to_owned());
                let signature = Signature {
                    hashes: vec![hash],
                    version,
                    page_log,
                    team_id: team.clone(),
                    runtime: 0x000d_0300,
                    ..Signature::default()
                };
                let found = one(&Program::signed(signature).build());
                let what = format!("{hash:?} {version:#x} {page_log} {:?}", found.problems);
                assert_eq!(found.state, ClaimState::AdHoc, "{what}");
                assert_eq!(found.team_id, team, "{what}");
                assert_eq!(found.runtime_version.is_some(), version >= 0x2_0500, "{what}");
                assert_eq!(found.pages.state, ClaimState::Valid, "{what}");
                assert_eq!(found.code_directories[0].cdhash.len(), 40);
            }
        }
    }
}

#[test]
fn a_changed_byte_is_found_by_all_code_directories() {
    let signature = Signature { hashes: ALL[..2].to_vec(), ..Signature::default() };
    let mut file = Program::signed(signature).build();
    assert_eq!(one(&file).state, ClaimState::AdHoc);
    file[0x1234] ^= 1;
    let found = one(&file);
    assert_eq!(found.state, ClaimState::Invalid);
    assert_eq!((found.pages.altered, found.pages.first_altered), (1, Some(0x1000)));
    assert_eq!(
        found.problems,
        [
            "1 of 4 pages are not what was signed (sha256), the first at byte 4096",
            "1 of 4 pages are not what was signed (sha1), the first at byte 4096"
        ]
    );
}

#[test]
fn alternates_are_shown_best_first() {
    let signature = Signature { hashes: ALL.to_vec(), ..Signature::default() };
    let found = one(&Program::signed(signature).build());
    assert_eq!(found.state, ClaimState::AdHoc, "{:?}", found.problems);
    let names: Vec<_> = found.code_directories.iter().map(|d| d.algorithm.as_str()).collect();
    assert_eq!(names, ["sha384", "sha256", "sha256", "sha1"]);
}

#[test]
fn an_alternate_that_says_something_else_is_invalid() {
    let signature = Signature { hashes: ALL[..2].to_vec(), ..Signature::default() };
    let file = Program::signed(signature.clone()).build();
    let at = file.windows(16).rposition(|w| w == b"org.example.tool").unwrap();
    let mut other = file.clone();
    other[at] = b'O';
    let found = one(&other);
    assert_eq!(found.state, ClaimState::Invalid);
    assert_eq!(found.problems, ["the code directories do not say the same"]);
    let twice = Signature { hashes: vec![Hash::Sha256; 2], ..signature };
    let found = one(&Program::signed(twice).build());
    assert_eq!(found.problems, ["two code directories use the same hash"]);
}

#[test]
fn a_page_that_only_an_older_system_would_look_at_counts() {
    // A wrong hash in the SHA-1 directory alone: what signs it would run changed on an old system.
    let signature = Signature { hashes: ALL[..2].to_vec(), ..Signature::default() };
    let mut file = Program::signed(signature).build();
    let hash = Hash::Sha1.of(&file[0x1000..0x2000]);
    let at = file.windows(20).position(|w| w == hash).unwrap();
    file[at] ^= 1;
    let found = one(&file);
    assert_eq!(found.state, ClaimState::Invalid);
    // The best directory has nothing to say against its pages.
    assert_eq!(found.pages.altered, 0);
    assert_eq!(
        found.problems,
        ["1 of 4 pages are not what was signed (sha1), the first at byte 4096"]
    );
}

/// What the builder makes is what Python, too, takes for a signed program.
#[test]
fn built_programs_read_the_same_in_python() {
    let oracle = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracle.py");
    for version in [0x2_0100, 0x2_0400, 0x2_0500] {
        let signature = Signature {
            hashes: ALL.to_vec(),
            version,
            flags: 0x1_0002,
            page_log: 11,
            runtime: 0x000d_0301,
            ..full(b"info", b"resources")
        };
        let bytes = Program::signed(signature).build();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &bytes).unwrap();
        let out = std::process::Command::new("python3").arg(oracle).arg(file.path()).output();
        let out = out.expect("python3 is installed");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let said: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
        let theirs = &said["slices"][0]["signature"]["directories"];
        let special = Special { info_plist: Some(b"info"), code_resources: Some(b"resources") };
        let ours = program_with(&bytes, &special).unwrap().remove(0);
        assert_eq!(ours.problems, [""; 0]);
        for (i, d) in ours.code_directories.iter().enumerate() {
            assert_eq!(theirs[i]["cdhash"], d.cdhash, "{version:#x} {i}");
            assert_eq!(theirs[i]["altered"], json!([]));
            assert_eq!(theirs[i]["flags"], json!(ours.flags));
            assert_eq!(theirs[i]["identifier"], "org.example.tool");
            assert!(theirs[i]["inside"].as_object().unwrap().values().all(|v| v == true));
        }
        assert_eq!(theirs[3]["algorithm"], "sha1");
    }
}

/// A signature with every kind of special slot.
fn full(info: &[u8], resources: &[u8]) -> Signature {
    let words = [&2_u32.to_be_bytes()[..], &argument(b"org.example.tool")].concat();
    let plist = mip_testkit::app::plist(&[("com.apple.security.network.client", "yes")]);
    // { com.apple.security.network.client: "yes" } as DER.
    let key = b"com.apple.security.network.client";
    let tlv = |tag: u8, b: &[u8]| [&[tag, b.len() as u8][..], b].concat();
    let pair = tlv(0x30, &[tlv(0x0c, key), tlv(0x0c, b"yes")].concat());
    let der = tlv(0x70, &[tlv(0x02, &[1]), tlv(0xb0, &pair)].concat());
    Signature {
        hashes: ALL[..2].to_vec(),
        outside: vec![(1, info.to_vec()), (3, resources.to_vec())],
        inside: vec![
            (2, 0xfade_0c01, designated(&requirement(&words))),
            (5, 0xfade_7171, plist.into_bytes()),
            (7, 0xfade_7172, der),
            (8, 0xfade_8181, b"launch constraint".to_vec()),
        ],
        others: vec![(0x1_0000, 0xfade_0b01, Vec::new()), (0x1_0002, 0xfade_7172, vec![1; 9])],
        ..Signature::default()
    }
}

#[test]
fn every_special_slot_is_compared() {
    let (info, resources) = (b"<plist/>".to_vec(), b"<plist>2</plist>".to_vec());
    let file = Program::signed(full(&info, &resources)).build();
    let special = Special { info_plist: Some(&info), code_resources: Some(&resources) };
    let found = program_with(&file, &special).unwrap().remove(0);
    assert_eq!(found.problems, [""; 0]);
    assert_eq!(found.state, ClaimState::AdHoc);
    assert_eq!(found.slots.sealed, [1, 2, 3, 5, 7, 8]);
    assert_eq!(found.requirement.as_deref(), Some("identifier \"org.example.tool\""));
    assert_eq!(found.entitlements, Some(json!({"com.apple.security.network.client": "yes"})));

    for (magic, slot, name) in [
        (0xfade_0c01_u32, 2, "the requirements"),
        (0xfade_7171, 5, "the entitlements"),
        (0xfade_7172, 7, "the DER entitlements"),
        (0xfade_8181, 8, "the launch constraint on itself"),
    ] {
        let mut bad = file.clone();
        let at = bad.windows(4).position(|w| w == magic.to_be_bytes()).unwrap();
        bad[at + 15] ^= 4;
        let found = program_with(&bad, &special).unwrap().remove(0);
        assert_eq!(found.state, ClaimState::Invalid, "{slot}");
        assert_eq!(found.slots.altered, [slot]);
        assert_eq!(found.problems[0], format!("{name}: not what was signed (sha256)"));
        assert_eq!(found.problems[1], format!("{name}: not what was signed (sha1)"));
    }
    let none = program(&file).remove(0);
    assert_eq!(none.slots.altered, [1, 3]);
    assert!(!none.slots.more);
    assert_eq!(none.problems[0], "the Info.plist: signed, and not there");
}

#[test]
fn what_is_there_and_not_covered_is_invalid() {
    let bare = Program::default().build();
    let special = Special { info_plist: Some(b"<plist/>"), code_resources: None };
    let found = program_with(&bare, &special).unwrap().remove(0);
    assert_eq!(found.state, ClaimState::Invalid);
    assert_eq!(found.problems, ["the Info.plist: there, and not covered by the signature"]);
    // Entitlements slipped in beside the code directory.
    let slipped = Signature {
        others: vec![(5, 0xfade_7171, b"<plist><dict/></plist>".to_vec())],
        ..Signature::default()
    };
    let found = one(&Program::signed(slipped).build());
    assert_eq!(found.problems, ["the entitlements: there, and not covered by the signature"]);
    // A linker signs a program before there is a bundle.
    let linked = Signature { flags: 0x2_0002, ..Signature::default() };
    let file = Program::signed(linked).build();
    let found = program_with(&file, &special).unwrap().remove(0);
    assert_eq!(found.state, ClaimState::AdHoc);
    assert_eq!(found.flags, ["adhoc", "linker-signed"]);
}

#[test]
fn an_info_plist_in_the_program_is_found() {
    let info = b"<plist><dict/></plist>".to_vec();
    let signature = Signature { outside: vec![(1, info.clone())], ..Signature::default() };
    for wide in [true, false] {
        let program =
            Program { wide, info_plist: Some(info.clone()), ..Program::signed(signature.clone()) };
        assert_eq!(one(&program.build()).state, ClaimState::AdHoc);
        let other = Program { info_plist: Some(b"<plist><dicT/></plist>".to_vec()), ..program };
        assert_eq!(one(&other.build()).slots.altered, [1]);
        // The pages cover it, with a slot or without.
        let unsealed = Program { signature: Some(Signature::default()), ..other };
        assert_eq!(one(&unsealed.build()).state, ClaimState::AdHoc);
    }
}

#[test]
fn flags_are_named_as_codesign_names_them() {
    let signature = Signature { flags: 0x3_3f03, ..Signature::default() };
    let found = one(&Program::signed(signature).build());
    assert_eq!(
        found.flags,
        [
            "host",
            "adhoc",
            "hard",
            "kill",
            "expires",
            "restrict",
            "enforcement",
            "library-validation",
            "runtime",
            "linker-signed"
        ]
    );
    assert!(found.hardened_runtime);
}

#[test]
fn without_cms_and_not_ad_hoc_is_invalid() {
    let found = one(&Program::signed(Signature { flags: 0, ..Signature::default() }).build());
    assert_eq!(found.state, ClaimState::Invalid);
    assert_eq!(found.problems, ["has no CMS signature, and does not say that it is ad-hoc"]);
    let signature = Signature {
        others: vec![(0x1_0000, 0xfade_0b02, vec![0x30, 0])],
        flags: 0,
        ..Signature::default()
    };
    let found = one(&Program::signed(signature).build());
    assert_eq!(found.signature.unwrap().state, ClaimState::Invalid);
    assert_eq!(found.state, ClaimState::Invalid);
}

#[test]
fn bytes_that_no_hash_covers_are_found() {
    let tail = Program { tail: b"payload".to_vec(), ..Program::default() };
    let found = one(&tail.build());
    assert_eq!(found.state, ClaimState::Invalid);
    assert!(found.problems[0].starts_with("7 bytes follow the signature"), "{:?}", found.problems);
    assert!(found.problems[1].contains("__LINKEDIT"));
    // Room that the signature does not fill belongs to it.
    let padded = Program::signed(Signature { padding: 9000, ..Signature::default() });
    let mut file = padded.build();
    assert_eq!(one(&file).state, ClaimState::AdHoc);
    // Nothing covers it: it must be empty.
    let at = file.len() - 3000;
    file[at] = 1;
    let found = one(&file);
    assert_eq!(found.state, ClaimState::Invalid);
    let why = format!("bytes from {at} on, behind the signature in its place, are not covered");
    assert_eq!(found.problems, [why]);
    // The code limit stops short of the signature, with a hash for each page that it covers.
    let file = Program::default().build();
    let at = file.windows(4).position(|w| w == 0xfade_0c02_u32.to_be_bytes()).unwrap();
    let mut short = file.clone();
    let limit = u32::from_be_bytes(short[at + 32..at + 36].try_into().unwrap());
    short[at + 32..at + 36].copy_from_slice(&(limit - 8).to_be_bytes());
    let found = one(&short);
    assert_eq!(found.state, ClaimState::Invalid);
    let why = format!(
        "the hashes cover {} bytes; there are {limit} bytes before the signature",
        limit - 8
    );
    assert_eq!(found.problems[0], why);
}

fn two() -> Vec<((u32, u32), Vec<u8>)> {
    [(0x0100_0007, 3), (0x0100_000c, 0)]
        .map(|cpu| (cpu, Program { cpu, ..Program::default() }.build()))
        .to_vec()
}

#[test]
fn fat_files_of_both_widths() {
    for wide in [false, true] {
        let mut file = fat(&two(), wide);
        let found = program(&file);
        let names: Vec<_> = found.iter().map(|f| f.architecture.as_deref().unwrap()).collect();
        assert_eq!(names, ["x86_64", "arm64"]);
        assert!(found.iter().all(|f| f.state == ClaimState::AdHoc));
        let second = MachO::open(source(&file), &Job::default()).unwrap().slices()[1].offset;
        file[second as usize + 0x2001] ^= 1;
        let found = program(&file);
        assert_eq!(found[0].state, ClaimState::AdHoc);
        assert_eq!(found[1].pages.first_altered, Some(second + 0x2000));
    }
}

#[test]
fn bytes_between_and_after_slices_are_found() {
    let file = fat(&two(), false);
    let parts = MachO::open(source(&file), &Job::default()).unwrap();
    let gap = (parts.slices()[0].offset + parts.slices()[0].size) as usize;
    let mut bad = file.clone();
    bad[gap + 5] = 1;
    let found = program(&bad);
    assert!(found.iter().all(|f| f.state == ClaimState::Invalid));
    let why = format!("bytes from {} on are in no slice and in no signature", gap + 5);
    assert_eq!(found[0].problems, [why]);
    let end = file.len();
    let mut bad = file;
    bad.push(7);
    let why = format!("bytes from {end} on are in no slice and in no signature");
    assert_eq!(program(&bad)[1].problems, [why]);
}

#[test]
fn a_budget_that_is_spent_leaves_pages_unchecked() {
    let file = fat(&two(), false);
    let limit = program(&file)[0].pages.bytes;
    let job = Job::default();
    let budget = AtomicU64::new(limit + 5);
    let check = Check { job: &job, at: NOW, budget: &budget };
    let found = check_program(&source(&file), &Special::default(), &check).unwrap();
    assert_eq!(found[0].pages.state, ClaimState::Valid);
    assert_eq!(found[0].state, ClaimState::AdHoc);
    assert_eq!(found[1].pages.state, ClaimState::NotChecked);
    assert_eq!(found[1].state, ClaimState::NotChecked);
    assert_eq!(found[1].identifier.as_deref(), Some("org.example.tool"));
    assert_eq!(budget.load(Ordering::Relaxed), 5);
}

#[test]
fn an_unsatisfied_designated_requirement_is_a_problem() {
    let words = [&2_u32.to_be_bytes()[..], &argument(b"org.example.other")].concat();
    let signature = Signature {
        inside: vec![(2, 0xfade_0c01, designated(&requirement(&words)))],
        ..Signature::default()
    };
    let found = one(&Program::signed(signature).build());
    assert_eq!(found.state, ClaimState::AdHoc);
    assert_eq!(found.problems, ["does not satisfy its own designated requirement"]);
}

#[test]
fn a_source_that_gives_one_byte_at_a_time_reads_the_same() {
    struct Slow(Vec<u8>);
    impl mip_base::ReadAt for Slow {
        fn size(&self) -> u64 {
            self.0.len() as u64
        }
        fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<usize> {
            let n = buf.len().min(1);
            self.0.as_slice().read_at(offset, &mut buf[..n])
        }
    }
    let file = Program::signed(full(b"a", b"b")).build();
    let special = Special { info_plist: Some(b"a"), code_resources: Some(b"b") };
    let (job, budget) = (Job::default(), AtomicU64::new(u64::MAX));
    let check = Check { job: &job, at: NOW, budget: &budget };
    let slow: mip_base::Source = Arc::new(Slow(file.clone()));
    assert_eq!(
        check_program(&slow, &special, &check).unwrap(),
        program_with(&file, &special).unwrap()
    );
}

#[test]
fn a_cancelled_job_stops() {
    let token = mip_base::CancelToken::new();
    token.cancel();
    let job = Job::new(mip_base::Limits::default(), token, Arc::new(mip_base::SilentProgress));
    let budget = AtomicU64::new(u64::MAX);
    let check = Check { job: &job, at: NOW, budget: &budget };
    let file = source(&Program::default().build());
    let e = check_program(&file, &Special::default(), &check).unwrap_err();
    assert_eq!(e.code(), Code::Cancelled);
}
