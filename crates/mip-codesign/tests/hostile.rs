//! Hostile programs: every truncation, seeded mutations, and lies about counts and sizes.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::cast_possible_truncation
)]

mod common;

use std::time::Instant;

use common::{one, program_with, source};
use mip_base::{Code, Job, Limits};
use mip_codesign::{ClaimState, MachO, Special};
use mip_testkit::macho::{Hash, Program, Signature, argument, designated, fat, requirement};
use mip_testkit::not_hanging;

fn small() -> Vec<u8> {
    let words = [&2_u32.to_be_bytes()[..], &argument(b"org.example.tool")].concat();
    let signature = Signature {
        hashes: vec![Hash::Sha1, Hash::Sha256],
        outside: vec![(1, b"info".to_vec()), (3, b"resources".to_vec())],
        inside: vec![
            (2, 0xfade_0c01, designated(&requirement(&words))),
            (5, 0xfade_7171, b"<plist><dict><key>a</key><true/></dict></plist>".to_vec()),
            (7, 0xfade_7172, b"\x70\x0d\x02\x01\x01\xb0\x08\x30\x06\x0c\x01a\x01\x01\xff".to_vec()),
        ],
        others: vec![(0x1_0000, 0xfade_0b01, vec![0x30, 0x80, 0, 0])],
        page_log: 8,
        ..Signature::default()
    };
    Program { code: vec![0x90; 700], ..Program::signed(signature) }.build()
}

const SPECIAL: Special<'static> =
    Special { info_plist: Some(b"info"), code_resources: Some(b"resources") };

/// Puts a number over a big-endian word.
fn put(bytes: &mut [u8], at: usize, n: u32) {
    bytes[at..at + 4].copy_from_slice(&n.to_be_bytes());
}

fn find(bytes: &[u8], word: u32) -> usize {
    bytes.windows(4).position(|w| w == word.to_be_bytes()).unwrap()
}

#[test]
fn every_truncation_is_an_error_or_invalid() {
    let start = Instant::now();
    let good = small();
    for cut in 0..good.len() {
        match program_with(&good[..cut], &SPECIAL) {
            Err(e) => assert_eq!(e.code(), Code::MachO, "{cut}"),
            Ok(found) => assert_eq!(found[0].state, ClaimState::Invalid, "{cut}"),
        }
    }
    not_hanging(start);
}

#[test]
fn every_truncation_of_a_fat_file_is_an_error() {
    let one = Program { code: vec![7; 50], ..Program::default() }.build();
    let good = fat(&[((0x0100_000c, 0), one.clone()), ((0x0100_000c, 2), one)], true);
    for cut in (0..good.len()).step_by(7) {
        let e = MachO::open(source(&good[..cut]), &Job::default()).unwrap_err();
        assert_eq!(e.code(), Code::MachO, "{cut}");
    }
}

#[test]
fn twenty_thousand_mutations_neither_panic_nor_pass_unnoticed() {
    let start = Instant::now();
    let good = small();
    let base = program_with(&good, &SPECIAL).unwrap();
    let code = Program::CODE..Program::CODE + 700;
    let mut seed = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = |n: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % n as u64) as usize
    };
    for round in 0..20_000 {
        let mut bad = good.clone();
        let mut in_code = false;
        for _ in 0..=next(4) {
            let at = next(bad.len());
            in_code |= code.contains(&at) && bad[at] != 0xff;
            match next(4) {
                0 => bad[at] ^= 1 << next(8),
                1 => bad[at] = 0xff,
                2 => bad[at] = bad[at].wrapping_add(1),
                _ => {
                    let n = next(8).min(bad.len() - at);
                    bad[at..at + n].fill([0, 0xff, 0x7f, 0x80][next(4)]);
                    in_code = false;
                }
            }
        }
        if next(8) == 0 {
            bad.truncate(next(bad.len()));
            in_code = false;
        }
        match program_with(&bad, &SPECIAL) {
            Ok(found) if in_code && bad.len() == good.len() && bad != good => {
                let same = found == base && bad[code.clone()] != good[code.clone()];
                assert!(!same, "round {round}: a change of the code went unnoticed");
            }
            Ok(_) => {}
            Err(e) => {
                assert!(matches!(e.code(), Code::MachO | Code::LimitMemory), "round {round}: {e}");
            }
        }
    }
    not_hanging(start);
}

#[test]
fn lies_of_the_mach_o_header_are_errors() {
    let good = small();
    for (at, n, why) in [
        (16, u32::MAX, "4294967295 load commands do not fit"),
        (16, 500, "500 load commands do not fit"),
        (16, 5, "load command 4 of 5 has a wrong length"),
        (20, u32::MAX, "bytes of load commands leave the"),
        (20, 40, "load command 0 of 4 has a wrong length"),
        // The length of the first command.
        (36, 0, "load command 0 of 4 has a wrong length"),
        (36, 7, "load command 0 of 4 has a wrong length"),
        (36, u32::MAX, "load command 0 of 4 has a wrong length"),
    ] {
        let mut bad = good.clone();
        bad[at..at + 4].copy_from_slice(&n.to_le_bytes());
        let e = MachO::open(source(&bad), &Job::default()).unwrap_err();
        assert_eq!(e.code(), Code::MachO);
        assert!(e.to_string().contains(why), "{e}");
    }
}

#[test]
fn more_load_commands_than_sixteen_mebibytes_are_a_limit() {
    let mut bad = vec![0; (17 << 20) + 64];
    bad[..32].copy_from_slice(&small()[..32]);
    bad[16..20].copy_from_slice(&1_u32.to_le_bytes());
    bad[20..24].copy_from_slice(&(17_u32 << 20).to_le_bytes());
    let e = MachO::open(source(&bad), &Job::default()).unwrap_err();
    assert_eq!(e.code(), Code::LimitMemory);
}

#[test]
fn what_is_no_program_is_an_error() {
    // A Java class of version 52 begins like a fat file of 52 slices.
    let class = [&[0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 52][..], &[0; 400]].concat();
    let archive = [&b"!<arch>\n"[..], &[b' '; 100]].concat();
    let of_archives = fat(&[((0x0100_000c, 0), archive.clone())], false);
    for bytes in [class, archive, of_archives, b"#!/bin/sh\n".to_vec(), vec![0; 100], vec![]] {
        let e = program_with(&bytes, &SPECIAL).unwrap_err();
        assert_eq!(e.code(), Code::MachO, "{e}");
    }
}

#[test]
fn lies_of_a_fat_header_are_errors() {
    let one = Program::default().build();
    let good = fat(&[((0x0100_0007, 3), one.clone()), ((0x0100_000c, 0), one)], false);
    // The first slice is for another processor than the header says: that, too, is a lie.
    let e = MachO::open(source(&good), &Job::default()).unwrap_err();
    assert!(e.to_string().contains("different processors"), "{e}");
    let cpu = (0x0100_000c, 0);
    let part = Program::default().build();
    let good = fat(&[(cpu, part.clone()), (cpu, part)], false);
    assert!(MachO::open(source(&good), &Job::default()).is_ok());
    let second = u32::from_be_bytes(good[36..40].try_into().unwrap());
    for (at, n, why) in [
        (4, 0, "a fat header with 0 slices"),
        (4, 43, "a fat header with 43 slices"),
        (4, u32::MAX, "a fat header with 4294967295 slices"),
        (16, 8, "at byte 8 is not inside the file"),
        (16, u32::MAX, "is not inside the file"),
        (20, u32::MAX, "is not inside the file"),
        (36, 0x4000, "overlap"),
        (20, second - 0x4000 + 1, "overlap"),
    ] {
        let mut bad = good.clone();
        put(&mut bad, at, n);
        let e = MachO::open(source(&bad), &Job::default()).unwrap_err();
        assert_eq!(e.code(), Code::MachO);
        assert!(e.to_string().contains(why), "{e} // {why}");
    }
}

#[test]
fn lies_of_the_superblob_are_invalid() {
    let good = small();
    let at = find(&good, 0xfade_0cc0);
    let len = u32::from_be_bytes(good[at + 4..at + 8].try_into().unwrap());
    for (offset, n, why) in [
        (0, 0xfade_0cc2, "0xfade0cc2 is not the start of a code signature"),
        (4, 11, "a signature of 11 bytes"),
        (4, len + 1, "in a place of"),
        (8, u32::MAX, "an index of 4294967295 blobs"),
        (8, 100_000, "an index of 100000 blobs"),
        // Slot 0 at another place: inside the index, outside of all, inside another blob.
        (16, 12, "the code directory is not inside the signature"),
        (16, u32::MAX, "the code directory is not inside the signature"),
        (16, len - 4, "the code directory is not inside the signature"),
        // The slot of the first entry is that of the second.
        (12, 1, "the signature has no code directory"),
    ] {
        let mut bad = good.clone();
        put(&mut bad, at + offset, n);
        let found = program_with(&bad, &SPECIAL).unwrap().remove(0);
        assert_eq!(found.state, ClaimState::Invalid, "{why}");
        assert!(found.problems[0].contains(why), "{:?} // {why}", found.problems);
    }
    let mut twice = good.clone();
    put(&mut twice, at + 20, 0);
    let found = one(&twice);
    assert!(found.problems[0].contains("the code directory is there twice"), "{found:?}");
    let mut overlap = good.clone();
    let first: [u8; 4] = good[at + 16..at + 20].try_into().unwrap();
    put(&mut overlap, at + 24, u32::from_be_bytes(first));
    assert!(one(&overlap).problems[0].contains("overlap"));
    let mut detached = good;
    put(&mut detached, at, 0xfade_0cc1);
    assert_eq!(one(&detached).state, ClaimState::Unsupported);
}

#[test]
fn lies_of_a_code_directory_are_invalid() {
    let good = small();
    let at = find(&good, 0xfade_0c02);
    for (offset, n, why) in [
        (16, 0, "has no room for"),
        (16, u32::MAX, "has no room for"),
        (20, 8, "has its identifier outside of it"),
        (20, u32::MAX, "has its identifier outside of it"),
        (24, u32::MAX, "has no room for"),
        (28, u32::MAX, "has 4294967295 hashes where"),
        (28, 0, "has 0 hashes where"),
        (32, u32::MAX, "hashes where 4294967295 bytes need"),
    ] {
        let mut bad = good.clone();
        put(&mut bad, at + offset, n);
        let found = program_with(&bad, &SPECIAL).unwrap().remove(0);
        assert_eq!(found.state, ClaimState::Invalid, "{why}");
        assert!(found.problems[0].contains(why), "{:?} // {why}", found.problems);
    }
    for (offset, byte, why) in [
        (36, 32, "says sha1 hashes are 32 bytes"),
        (39, 64, "has a page size over 2^63"),
        (39, 255, "has a page size over 2^63"),
    ] {
        let mut bad = good.clone();
        bad[at + offset] = byte;
        let found = one(&bad);
        assert_eq!(found.state, ClaimState::Invalid, "{why}");
        assert!(found.problems[0].contains(why), "{:?} // {why}", found.problems);
    }
    for (offset, n, why) in [
        (8, 0x1_0000, "a code directory of version 0x10000"),
        (8, 0x3_0000, "a code directory of version 0x30000"),
        (44, 100, "a code directory with a scatter list"),
        (36, 0x1463_000c, "hash type 99"),
    ] {
        let mut bad = good.clone();
        put(&mut bad, at + offset, n);
        let found = one(&bad);
        assert_eq!(found.state, ClaimState::Unsupported, "{why}");
        assert!(found.problems[0].contains(why), "{:?} // {why}", found.problems);
    }
}

#[test]
fn a_code_limit_beyond_the_program_is_invalid_and_reads_nothing() {
    // One page of 2^63 bytes: the hashes fit, the bytes do not.
    let signature = Signature { page_log: 0, version: 0x2_0300, ..Signature::default() };
    let mut bad = Program::signed(signature).build();
    let at = find(&bad, 0xfade_0c02);
    bad[at + 56..at + 64].copy_from_slice(&(u64::MAX / 2).to_be_bytes());
    let found = one(&bad);
    assert_eq!(found.state, ClaimState::Invalid);
    assert_eq!(found.pages.state, ClaimState::Invalid);
    assert!(found.problems[0].starts_with("the hashes cover 9223372036854775807 bytes"));
}

#[test]
fn a_signature_range_outside_the_file_is_invalid() {
    let good = small();
    let at = good.windows(8).position(|w| w == [0x1d, 0, 0, 0, 16, 0, 0, 0]).unwrap();
    for (offset, n) in [(8, u32::MAX), (12, u32::MAX), (8, good.len() as u32), (12, 4)] {
        let mut bad = good.clone();
        bad[at + offset..at + offset + 4].copy_from_slice(&n.to_le_bytes());
        let found = one(&bad);
        assert_eq!(found.state, ClaimState::Invalid);
        assert!(found.problems[0].contains("for the signature are not in the file"));
    }
    let mut twice = good.clone();
    // LC_BUILD_VERSION becomes a second LC_CODE_SIGNATURE.
    let build = good.windows(8).position(|w| w == [0x32, 0, 0, 0, 24, 0, 0, 0]).unwrap();
    twice[build] = 0x1d;
    let e = MachO::open(source(&twice), &Job::default()).unwrap_err();
    assert!(e.to_string().contains("two load commands give a code signature"));
}

#[test]
fn an_embedded_info_plist_over_the_limit_is_a_limit() {
    let program = Program { info_plist: Some(vec![b' '; 5000]), ..Program::default() };
    let mut limits = Limits::default();
    limits.plist_bytes = 4096;
    let job = Job::new(
        limits,
        mip_base::CancelToken::new(),
        std::sync::Arc::new(mip_base::SilentProgress),
    );
    let budget = std::sync::atomic::AtomicU64::new(u64::MAX);
    let check = mip_codesign::Check { job: &job, at: 0, budget: &budget };
    let found = mip_codesign::check_program(&source(&program.build()), &Special::default(), &check);
    assert_eq!(found.unwrap_err().code(), Code::LimitMemory);
}

/// A few kilobytes of a zip became 340 MB of memory and a report of 100 MB.
#[test]
fn entitlements_and_names_of_megabytes_are_not_kept() {
    let tlv = |tag: u8, content: &[u8]| {
        let len = (content.len() as u32).to_be_bytes();
        [&[tag, 0x84][..], &len, content].concat()
    };
    let list = tlv(0x30, &[0x0C, 0].repeat(1 << 20));
    let pair = tlv(0x30, &[&[0x0C, 1, b'k'][..], &list].concat());
    let der = tlv(0x70, &[&[2, 1, 1][..], &tlv(0xB0, &pair)].concat());
    let large = Signature { inside: vec![(7, 0xFADE_7172, der)], ..Signature::default() };
    let found = one(&Program::signed(large).build());
    assert_eq!((found.state, found.entitlements), (ClaimState::AdHoc, None));
    assert!(found.problems[0].contains("too many"), "{:?}", found.problems);

    let identifier = "x".repeat(5000);
    let found = one(&Program::signed(Signature { identifier, ..Signature::default() }).build());
    assert_eq!((found.state, found.identifier), (ClaimState::Invalid, None));
}
