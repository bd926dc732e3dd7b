//! Disk images with code signatures. No public sample of a signed one was found: these are
//! synthetic, built from what `diskimagerep.cpp` of Security says is covered.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::cast_possible_truncation
)]

mod common;

use common::image;
use mip_codesign::ClaimState;
use mip_testkit::macho::{Hash, Signature, sign_image};
use mip_testkit::udif::{Image, Pack};

/// A signed image, and where its signature is.
fn signed(signature: &Signature) -> (Vec<u8>, (u64, u64)) {
    let disk: Vec<u8> = (0..512 * 64_u32).map(|i| (i / 5) as u8).collect();
    let plain = Image::of(&[(Pack::Zlib, &disk[..])]).build();
    let file = sign_image(&plain, signature);
    let at = (plain.len() - 512) as u64;
    let len = file.len() as u64 - 512 - at;
    (file, (at, len))
}

/// `codesign` signs images as one page with SHA-256; `hdiutil` images of older systems had both.
fn forms() -> Vec<Signature> {
    let base = Signature { identifier: "Example-1.0".to_owned(), ..Signature::default() };
    [(vec![Hash::Sha256], 0), (vec![Hash::Sha1, Hash::Sha256], 12), (vec![Hash::Sha1], 0)]
        .map(|(hashes, page_log)| Signature { hashes, page_log, ..base.clone() })
        .to_vec()
}

#[test]
fn a_signed_image_matches() {
    for form in forms() {
        let (file, range) = signed(&form);
        let found = image(&file, range);
        assert_eq!(found.problems, [""; 0]);
        assert_eq!(found.state, ClaimState::AdHoc);
        assert_eq!(found.architecture, None);
        assert_eq!(found.identifier.as_deref(), Some("Example-1.0"));
        assert_eq!(found.pages.bytes, range.0);
        assert_eq!(found.slots.sealed, [6]);
    }
}

#[test]
fn a_ticket_in_its_slot_is_where_the_bytes_are() {
    let mut form = forms()[0].clone();
    form.others = vec![(0x1_0002, 0xfade_0b01, b"s8ch: a ticket".to_vec())];
    let (file, range) = signed(&form);
    let found = image(&file, range);
    assert_eq!(found.state, ClaimState::AdHoc, "{:?}", found.problems);
    let (at, len) = found.ticket.unwrap();
    assert_eq!(&file[at as usize..][..len as usize], b"s8ch: a ticket");
    assert_eq!(image(&signed(&forms()[0]).0, signed(&forms()[0]).1).ticket, None);
}

#[test]
fn each_changed_byte_of_a_signed_image_is_found() {
    for form in forms() {
        let (file, range) = signed(&form);
        let trailer = file.len() - 512;
        let data = (0..range.0 as usize).step_by(41);
        // All of the trailer but the length of the signature, which nothing can cover.
        let covered = (trailer..file.len()).filter(|i| !(304..312).contains(&(i - trailer)));
        for at in data.chain(covered) {
            let mut bad = file.clone();
            bad[at] ^= 0x20;
            let found = image(&bad, range);
            assert_eq!(found.state, ClaimState::Invalid, "byte {at}");
            if at < trailer {
                let page = if form.page_log == 0 { 0 } else { at as u64 & !0xfff };
                assert_eq!(found.pages.first_altered, Some(page));
            } else {
                assert_eq!(found.pages.altered, 0);
                assert!(found.problems[0].starts_with("the disk image's trailer: not what was"));
            }
        }
    }
}

#[test]
fn bytes_around_the_signature_of_an_image_are_found() {
    let (file, range) = signed(&forms()[0]);
    let trailer = file.len() - 512;
    let mut stuffed = file[..trailer].to_vec();
    stuffed.extend(b"stuffing");
    stuffed.extend(&file[trailer..]);
    let found = image(&stuffed, range);
    assert_eq!(found.state, ClaimState::Invalid);
    assert!(found.problems[0].contains("do not end at the trailer"), "{:?}", found.problems);
    // The room is larger than the superblob, and ends at the trailer.
    let found = image(&stuffed, (range.0, range.1 + 8));
    assert_eq!(found.state, ClaimState::Invalid, "{:?}", found.problems);
    let found = image(&file, (range.0 + 4, range.1 - 4));
    assert_eq!(found.state, ClaimState::Invalid);
    assert!(found.problems[0].contains("is not the start of a code signature"));
}

#[test]
fn an_image_whose_signature_leaves_out_the_trailer_is_invalid() {
    let (file, range) = signed(&forms()[0]);
    let at = file.windows(4).position(|w| w == [0xfa, 0xde, 0x0c, 0x02]).unwrap();
    let mut bad = file;
    // No special slots: their hashes are bytes without a meaning.
    bad[at + 24..at + 28].fill(0);
    let found = image(&bad, range);
    assert_eq!(found.state, ClaimState::Invalid);
    assert_eq!(
        found.problems,
        ["the disk image's trailer: there, and not covered by the signature"]
    );
}

#[test]
fn a_detached_or_missing_signature_is_no_panic() {
    for len in [0_usize, 1, 511, 512, 513, 600] {
        let bytes = vec![0; len];
        let job = mip_base::Job::default();
        let budget = std::sync::atomic::AtomicU64::new(u64::MAX);
        let check = mip_codesign::Check { job: &job, at: 0, budget: &budget };
        for range in [(0, 0), (0, u64::MAX), (u64::MAX, 1), (u64::MAX, u64::MAX), (10, 20)] {
            let found = mip_codesign::check_image(&common::source(&bytes), range, &check);
            if let Ok(found) = found {
                assert_eq!(found.state, ClaimState::Invalid);
            }
        }
    }
}
