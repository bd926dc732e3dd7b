//! Nothing but the signed bytes is accepted: hostile-inputs.md, H.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

mod common;

use std::sync::Arc;

use common::{check, fake_signature, open, small, vector_entries, verify, verify_full, write};
use mip_archive::{Archive, Index, resign};
use mip_base::{Code, Error, Job, Kind, MemoryFile, Source};
use sha2::{Digest, Sha256};

fn refused(bytes: Vec<u8>, what: &dyn std::fmt::Display) -> Error {
    match verify(bytes) {
        Ok(_) => panic!("accepted: {what}"),
        Err(e) => {
            assert!(
                matches!(e.kind(), Kind::Tampered | Kind::Unsigned | Kind::Limit),
                "{what}: {e:?}"
            );
            e
        }
    }
}

#[test]
fn h19_every_bit_flip_is_refused() {
    let good = small();
    verify(good.clone()).unwrap();
    verify_full(good.clone()).unwrap();
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut b = good.clone();
            b[at] ^= 1 << bit;
            refused(b, &format_args!("bit {bit} of byte {at}"));
        }
    }
}

#[test]
fn h18_h20_cut_grown_and_shifted_archives_are_refused() {
    let good = small();
    for n in 0..good.len() {
        refused(good[..n].to_vec(), &format_args!("cut to {n}"));
        refused(good[n + 1..].to_vec(), &format_args!("without the first {}", n + 1));
        let mut b = good.clone();
        b.remove(n);
        refused(b, &format_args!("without byte {n}"));
        let mut b = good.clone();
        b.insert(n, good[n]);
        refused(b, &format_args!("byte {n} twice"));
    }
    for byte in [0, b'P', 0xFF] {
        refused([good.as_slice(), &[byte]].concat(), &"one byte appended");
        refused([&[byte], good.as_slice()].concat(), &"one byte in front");
    }
    refused([good.as_slice(), &good].concat(), &"the archive twice");
}

/// The parts of an archive.
struct Parts {
    /// Everything before the index's local header.
    body: Vec<u8>,
    index: Vec<u8>,
    signature: Vec<u8>,
    /// Records of the directory.
    records: Vec<Vec<u8>>,
}

fn u16_at(b: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes(b[at..at + 2].try_into().unwrap()))
}

fn u32_at(b: &[u8], at: usize) -> usize {
    u32::from_le_bytes(b[at..at + 4].try_into().unwrap()) as usize
}

impl Parts {
    fn of(b: &[u8]) -> Self {
        let directory = u32_at(b, b.len() - 6);
        let mut records = Vec::new();
        let mut at = directory;
        while at < b.len() - 98 {
            let len = 46 + u16_at(b, at + 28) + u16_at(b, at + 30) + u16_at(b, at + 32);
            records.push(b[at..at + len].to_vec());
            at += len;
        }
        let [.., index, signature] = records.as_slice() else { panic!() };
        let (index, signature) = (u32_at(index, 42), u32_at(signature, 42));
        Self {
            body: b[..index].to_vec(),
            index: b[index..signature].to_vec(),
            signature: b[signature..directory].to_vec(),
            records,
        }
    }

    /// Puts the parts together with a tail that fits them.
    fn join(&self) -> Vec<u8> {
        let mut b = [self.body.as_slice(), &self.index, &self.signature].concat();
        let start = b.len() as u64;
        b.extend(self.records.concat());
        let (end, count) = (b.len() as u64, self.records.len() as u64);
        b.extend(*b"PK\x06\x06\x2c\0\0\0\0\0\0\0\x2d\x03\x2d\0\0\0\0\0\0\0\0\0");
        for v in [count, count, end - start, start] {
            b.extend(v.to_le_bytes());
        }
        b.extend(*b"PK\x06\x07\0\0\0\0");
        b.extend(end.to_le_bytes());
        b.extend(*b"\x01\0\0\0PK\x05\x06\0\0\0\0");
        b.extend([count as u8, 0, count as u8, 0]);
        b.extend(((end - start) as u32).to_le_bytes());
        b.extend((start as u32).to_le_bytes());
        b.extend([0, 0]);
        b
    }

    fn shift_offset(&mut self, record: usize, by: usize) {
        let r = &mut self.records[record];
        let v = (u32_at(r, 42) + by) as u32;
        r[42..46].copy_from_slice(&v.to_le_bytes());
    }
}

#[test]
fn structural_attacks_that_keep_the_tail_consistent_are_refused() {
    let good = small();
    let last = Parts::of(&good).records.len() - 1;
    assert!(Parts::of(&good).join() == good, "the test's own idea of the layout");
    type Attack = fn(&mut Parts);
    let attacks: &[(&str, Attack)] = &[
        ("h01 record twice", |p| p.records.insert(0, p.records[0].clone())),
        ("h01 index record twice", |p| {
            let n = p.records.len();
            p.records.insert(n - 2, p.records[n - 2].clone());
        }),
        ("h03 record without local header", |p| {
            let mut r = p.records[0].clone();
            r[46..56].copy_from_slice(b"Evil.plist");
            p.records.insert(1, r);
        }),
        ("h03 local header without record", |p| drop(p.records.remove(1))),
        ("h20 records swapped", |p| p.records.swap(0, 1)),
        ("h20 entry renamed in the directory", |p| p.records[0][46] = b'J'),
        ("h20 mode only", |p| p.records[0][40] ^= 0x40),
        ("h20 time only", |p| p.records[0][12] = 1),
        ("h10 symlink", |p| p.records[0][41] = 0xA1),
        ("h11 encryption flag", |p| p.records[0][8] |= 1),
        ("h12 method 8", |p| p.records[0][10] = 8),
        ("h13 stored sizes differ", |p| p.records[0][20] += 1),
        ("h16 disk", |p| p.records[0][34] = 1),
        ("h04 comment of a record", |p| {
            p.records[0][32] = 1;
            p.records[0].push(b'x');
        }),
        ("h17 extra field", |p| {
            p.records[0][30] = 4;
            p.records[0].extend([0xFE, 0xCA, 0, 0]);
        }),
        ("h06 redundant ZIP64 field", |p| {
            let n = p.records.len() - 1;
            let offset = u32_at(&p.records[n], 42) as u64;
            p.records[n][30] = 12;
            p.records[n][42..46].fill(0xFF);
            p.records[n].extend([1, 0, 8, 0]);
            p.records[n].extend(offset.to_le_bytes());
        }),
        ("h04 gap before the directory", |p| p.signature.push(0)),
        ("h04 gap before the signature", |p| {
            p.index.push(0);
            let n = p.records.len() - 1;
            p.shift_offset(n, 1);
        }),
        ("h04 gap before the index", |p| {
            p.body.push(0);
            let n = p.records.len() - 1;
            p.shift_offset(n, 1);
            p.shift_offset(n - 1, 1);
        }),
        ("h04 prefix, all offsets moved", |p| {
            p.body.insert(0, 0);
            (0..p.records.len()).for_each(|n| p.shift_offset(n, 1));
        }),
        ("h14 overlapping entries", |p| {
            let at = u32_at(&p.records[0], 42) as u32;
            p.records[1][42..46].copy_from_slice(&at.to_le_bytes());
        }),
        ("h21 signature entry before the index entry", |p| {
            let n = p.records.len();
            p.records.swap(n - 1, n - 2);
        }),
        ("signature removed", |p| {
            p.signature.clear();
            p.records.pop();
        }),
        ("index and signature removed", |p| {
            p.signature.clear();
            p.index.clear();
            p.records.truncate(p.records.len() - 2);
        }),
        ("empty directory", |p| p.records.clear()),
    ];
    for (what, attack) in attacks {
        let mut parts = Parts::of(&good);
        attack(&mut parts);
        refused(parts.join(), what);
    }
    // The same entry twice, of which a plain reader may take either.
    let mut parts = Parts::of(&good);
    parts.signature = [parts.signature.clone(), parts.signature.clone()].concat();
    let again = parts.records[last].clone();
    parts.records.push(again);
    parts.shift_offset(last + 1, parts.signature.len() / 2);
    refused(parts.join(), &"h21 two signature entries");
}

#[test]
fn parts_that_do_not_touch_are_refused_before_the_signature_is_looked_at() {
    let good = small();
    let at_open = |bytes: Vec<u8>, what: &str| {
        let e = open(bytes).expect_err(what);
        assert_eq!(e.code(), Code::MipAmbiguous, "{what}");
    };
    let mut p = Parts::of(&good);
    p.signature.push(0);
    at_open(p.join(), "gap before the directory");
    let mut p = Parts::of(&good);
    p.index.push(0);
    p.shift_offset(6, 1);
    at_open(p.join(), "gap before the signature");
    let mut b = good.clone();
    b.insert(good.len() - 98, 0);
    at_open(b, "gap before the tail");
    let mut p = Parts::of(&good);
    p.signature.truncate(52);
    p.records[6][20..28].fill(0);
    at_open(p.join(), "empty signature");

    // Two archives in one file, with the end of the second one made to fit.
    let mut p = Parts::of(&good);
    let moved = good.len();
    p.body = [good.as_slice(), &p.body].concat();
    p.shift_offset(5, moved);
    p.shift_offset(6, moved);
    let e = refused(p.join(), &"an archive in front of the archive");
    assert!(e.message().contains("another number") || e.message().contains("body of"), "{e:?}");
}

#[test]
fn h05_h15_h16_fields_of_the_tail_are_the_only_ones_possible() {
    let good = small();
    for at in good.len() - 98..good.len() {
        for value in [0, 1, 0x7F, 0xFF] {
            if good[at] != value {
                let mut b = good.clone();
                b[at] = value;
                refused(b, &format_args!("byte {at} = {value}"));
            }
        }
    }
    let mut commented = good.clone();
    let n = commented.len();
    commented[n - 2] = 22;
    commented.extend(&good[n - 22..]);
    refused(commented, &"an end record inside the comment");
}

#[test]
fn h21_the_signature_of_another_archive_is_refused() {
    let a = small();
    let mut entries = vector_entries();
    entries[0].2 = b"<PLIST/>\n".to_vec();
    let (b, _) = write(&entries, true);
    assert_eq!(a.len(), b.len());
    let (pa, pb) = (Parts::of(&a), Parts::of(&b));
    let mut mixed = Parts::of(&b);
    mixed.signature = pa.signature;
    mixed.records[6].clone_from(&pa.records[6]);
    assert_eq!(refused(mixed.join(), &"signature of a").code(), Code::MipSignature);
    let mut mixed = Parts::of(&a);
    mixed.body = pb.body;
    refused(mixed.join(), &"body of b");
}

#[test]
fn a_lying_signer_is_found_by_the_full_depth() {
    // An index that is signed, canonical and fits its headers, but states a wrong CRC and digest.
    let job = Job::default();
    let good = small();
    let parts = Parts::of(&good);
    let mut index = Index::decode(open(good.clone()).unwrap().index_bytes(), job.limits()).unwrap();
    index.entries[0].sha256[0] ^= 1;
    let bytes = index.encode().unwrap();
    let rebuilt = |mut parts: Parts, bytes: &[u8]| {
        let crc = crc32(bytes).to_le_bytes();
        parts.index[14..18].copy_from_slice(&crc);
        parts.index.splice(48.., bytes.iter().copied());
        parts.records[5][16..20].copy_from_slice(&crc);
        let signature = fake_signature(bytes);
        let crc = crc32(&signature).to_le_bytes();
        parts.signature[14..18].copy_from_slice(&crc);
        parts.signature.splice(52.., signature);
        parts.records[6][16..20].copy_from_slice(&crc);
        parts.join()
    };
    let lie = rebuilt(parts, &bytes);
    verify(lie.clone()).unwrap();
    let e = verify_full(lie).unwrap_err();
    assert_eq!((e.code(), e.path().as_deref()), (Code::MipTampered, Some("Info.plist")));

    // A CRC that index, header and directory agree on, and that is wrong.
    index.entries[0].sha256[0] ^= 1;
    index.entries[0].crc32 ^= 1;
    let crc = index.entries[0].crc32.to_le_bytes();
    let mut parts = Parts::of(&good);
    parts.body[14..18].copy_from_slice(&crc);
    parts.records[0][16..20].copy_from_slice(&crc);
    index.blocks[0] = Sha256::digest(&parts.body).into();
    let lie = rebuilt(parts, &index.encode().unwrap());
    verify(lie.clone()).unwrap();
    let e = verify_full(lie).unwrap_err();
    assert_eq!((e.code(), e.path().as_deref()), (Code::MipTampered, Some("Info.plist")));
    // A CRC that the header does not share.
    let e = verify(rebuilt(Parts::of(&good), &index.encode().unwrap())).unwrap_err();
    assert_eq!((e.code(), e.offset()), (Code::MipAmbiguous, Some(14)), "{e:?}");
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[test]
fn what_is_not_of_the_profile_is_said_to_be_unknown() {
    for bytes in [vec![], vec![0; 97], vec![0; 98], vec![b'P'; 5000]] {
        assert_eq!(open(bytes).unwrap_err().code(), Code::MipUnknown);
    }
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file("Info.plist", zip::write::SimpleFileOptions::default()).unwrap();
    let foreign = zip.finish().unwrap().into_inner();
    assert_eq!(open(foreign.clone()).unwrap_err().code(), Code::MipUnknown);
    // …and can still be listed.
    let listed = mip_archive::list_unverified(Arc::new(foreign), &Job::default()).unwrap();
    assert_eq!(listed[0].name, "Info.plist");
}

#[test]
fn index_and_signature_are_bounded_before_they_are_read() {
    let good = small();
    for limits in ["index", "signature"] {
        let mut l = mip_base::Limits::default();
        match limits {
            "index" => l.index_bytes = 100,
            _ => l.cms_bytes = 31,
        }
        let job = Job::new(l, mip_base::CancelToken::new(), Arc::new(mip_base::SilentProgress));
        let e = Archive::open(Arc::new(good.clone()) as Source, &job).unwrap_err();
        assert_eq!(e.code(), Code::LimitMemory, "{limits}");
    }
}

#[test]
fn resign_refuses_what_it_cannot_vouch_for() {
    let good = small();
    let try_it = |bytes: Vec<u8>| {
        let out = Arc::new(MemoryFile::new());
        resign(Arc::new(bytes), out, Some(&mut common::sign), &Job::default())
    };
    try_it(good.clone()).unwrap();
    let payload = Parts::of(&good).body.len() - 1;
    let mut b = good;
    b[payload] ^= 1;
    let e = try_it(b).unwrap_err();
    assert_eq!(e.code(), Code::MipTampered);
    assert_eq!(e.path().as_deref(), Some("payload/Größe 大.pkg"));
}

/// An archive without a signature whose index states another SHA-256 of its payload, in every
/// other respect as it should be.
fn with_a_wrong_digest() -> Vec<u8> {
    let (mut bytes, _) = write(&vector_entries(), false);
    let old = open(bytes.clone()).unwrap().index_bytes().to_vec();
    let mut index = Index::decode(&old, Job::default().limits()).unwrap();
    index.entries.last_mut().unwrap().sha256 = [7; 32];
    let new = index.encode().unwrap();
    let at = index.body as usize + 48;
    bytes[at..at + old.len()].copy_from_slice(&new);
    let crc = crc32(&new).to_le_bytes();
    bytes[at - 48 + 14..at - 48 + 18].copy_from_slice(&crc);
    let record = bytes.windows(18).rposition(|w| w == b"META-MIP/index.bin").unwrap() - 46;
    bytes[record + 16..record + 20].copy_from_slice(&crc);
    bytes
}

#[test]
fn nobody_is_made_to_sign_a_digest_that_is_wrong() {
    let lie = with_a_wrong_digest();
    // The blocks alone do not show it.
    let job = Job::default();
    let (archive, ()) = open(lie.clone()).unwrap().verify(|_, _| Ok(()), 1, &job).unwrap();
    let mut asked = 0;
    let mut sign = |index: &[u8]| {
        asked += 1;
        common::sign(index)
    };
    let out = Arc::new(MemoryFile::new());
    let e = resign(Arc::new(lie), out, Some(&mut sign), &job).unwrap_err();
    assert_eq!(e.code(), Code::MipTampered);
    assert_eq!(e.path().as_deref(), Some("payload/Größe 大.pkg"));
    assert_eq!(asked, 0, "the key was used");

    // Nor is it handed out by a reader that was told to compare.
    let read = |entry, compare: bool| {
        let reader = archive.entry_reader(entry, &job).unwrap();
        let mut reader = if compare { reader.check_content() } else { reader };
        std::io::Read::read_to_end(&mut reader, &mut Vec::new())
    };
    let (first, last) = (&archive.entries()[0], archive.entries().last().unwrap());
    assert_eq!(read(first, true).unwrap() as u64, first.size);
    assert_eq!(read(last, false).unwrap() as u64, last.size);
    let e = Error::from_io(Code::InputIo, "reading", read(last, true).unwrap_err());
    assert_eq!(e.code(), Code::MipTampered);
}

#[test]
fn an_unsigned_archive_is_what_the_check_says_it_is() {
    let (bytes, _) = write(&vector_entries(), false);
    assert_eq!(verify(bytes.clone()).unwrap_err().code(), Code::MipUnsigned);
    let accept = |_: &[u8], s: Option<&[u8]>| Ok::<_, Error>(s.is_none());
    let (_, unsigned) = open(bytes).unwrap().verify(accept, 4, &Job::default()).unwrap();
    assert!(unsigned);
    assert!(check(b"", None).is_err());
}
