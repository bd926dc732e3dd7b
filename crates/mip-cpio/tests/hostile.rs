//! The cases E1 to E12 of the hostile inputs that are cpio's.
#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::cast_possible_truncation
)]

use std::io::{self, Read};
use std::sync::Arc;

use mip_base::{CancelToken, Code, EntryKind, Error, Job, Limits, Result, SilentProgress};
use mip_cpio::{CpioEntry, CpioReader};
use mip_testkit::cpio::{Field, Format, Member, archive, members};

const ALL: [Format; 3] = [Format::Odc, Format::Newc, Format::Crc];

/// Gives out at most `.1` bytes at a time.
struct Pieces<'a>(&'a [u8], usize);

impl Read for Pieces<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.1.min(buf.len());
        self.0.read(&mut buf[..n])
    }
}

type Walked = Vec<(CpioEntry, Vec<u8>)>;

fn walk_job(bytes: &[u8], piece: usize, job: &Job) -> Result<Walked> {
    let mut r = CpioReader::new(Pieces(bytes, piece), job);
    let mut out = Vec::new();
    loop {
        match r.next_entry() {
            Ok(None) => return Ok(out),
            Ok(Some(e)) => {
                let mut data = Vec::new();
                r.read_to_end(&mut data).map_err(|e| Error::from_io(Code::Internal, "bare", e))?;
                assert_eq!(data.len() as u64, e.size);
                out.push((e, data));
            }
            Err(e) => {
                assert_eq!(r.next_entry().unwrap_err().code(), e.code(), "an error is for good");
                return Err(e);
            }
        }
    }
}

fn walk(bytes: &[u8]) -> Result<Walked> {
    walk_job(bytes, usize::MAX, &Job::default())
}

fn code(bytes: &[u8]) -> Code {
    walk(bytes).unwrap_err().code()
}

fn sample() -> Vec<Member> {
    vec![
        Member::dir("."),
        Member::dir("./bin"),
        Member::file("./bin/tool", 0o4755, b"#!/bin/sh\n"),
        Member::link("./bin/alias", "tool"),
        Member::file("./empty", 0o644, b""),
        Member::file("./three", 0o600, b"abc"),
    ]
}

#[test]
fn members_come_out_as_they_went_in() {
    for format in ALL {
        let got = walk(&archive(format, &sample())).unwrap();
        let paths: Vec<_> =
            got.iter().map(|(e, _)| e.path.as_ref().map(|p| p.as_str().to_owned())).collect();
        let want =
            [None, Some("bin"), Some("bin/tool"), Some("bin/alias"), Some("empty"), Some("three")];
        assert_eq!(paths, want.map(|p| p.map(str::to_owned)));
        let (tool, data) = &got[2];
        assert_eq!(
            (tool.kind, tool.mode, data.as_slice()),
            (EntryKind::File, 0o4755, &b"#!/bin/sh\n"[..])
        );
        assert_eq!((tool.mtime, tool.nlink), (1_600_000_000, 1));
        let alias = &got[3].0;
        assert_eq!(
            (alias.kind, alias.link.as_deref(), alias.size),
            (EntryKind::Symlink, Some("tool"), 0)
        );
    }
}

#[test]
fn pieces_of_any_size_give_the_same_members() {
    for format in ALL {
        let a = archive(format, &sample());
        let whole = walk(&a).unwrap();
        for piece in [1, 3, 7, 64, 511] {
            assert_eq!(walk_job(&a, piece, &Job::default()).unwrap(), whole);
        }
    }
}

#[test]
fn data_that_is_not_read_is_skipped() {
    let a = archive(Format::Crc, &sample());
    let mut r = CpioReader::new(&a[..], &Job::default());
    let mut n = 0;
    while r.next_entry().unwrap().is_some() {
        n += 1;
    }
    assert_eq!(n, 6);
    assert!(r.next_entry().unwrap().is_none(), "the end stays the end");
}

#[test]
fn e01_bad_magic_and_mixed_variants() {
    for format in ALL {
        let bad = Member::file("b", 0o644, b"x").raw(Field::Magic, b"070708");
        assert_eq!(code(&archive(format, &[Member::file("a", 0o644, b"x"), bad])), Code::Cpio);
    }
    let mut mixed = members(Format::Odc, &[Member::file("a", 0o644, b"xy")]);
    mixed.extend(archive(Format::Newc, &[Member::file("b", 0o644, b"xy")]));
    let e = walk(&mixed).unwrap_err();
    assert_eq!((e.code(), e.message()), (Code::Cpio, "a newc member in an archive of odc members"));
    assert_eq!(e.offset(), Some(80));
    for binary in [b"\xc7\x71", b"\x71\xc7"] {
        let mut v = binary.to_vec();
        v.resize(100, 0);
        assert_eq!(code(&v), Code::Unsupported);
    }
    assert_eq!(code(b"this is not cpio at all"), Code::Cpio);
}

#[test]
fn e02_name_sizes() {
    for (format, sizes) in [
        (Format::Odc, &[&b"000000"[..], b"000001", b"777777"][..]),
        (Format::Newc, &[b"00000000", b"00000001", b"ffffffff", b"fffffffc"]),
    ] {
        for size in sizes {
            let m = Member::file("abc", 0o644, b"x").raw(Field::NameSize, size);
            assert_eq!(code(&archive(format, &[m])), Code::Cpio, "{size:?}");
        }
    }
    for format in ALL {
        let no_nul = Member { name_end: b"d".to_vec(), ..Member::file("abc", 0o644, b"x") };
        assert_eq!(code(&archive(format, &[no_nul])), Code::Cpio);
        assert_eq!(code(&archive(format, &[Member::file("a\0b", 0o644, b"")])), Code::Cpio);
        assert_eq!(code(&archive(format, &[Member::file("a\0", 0o644, b"")])), Code::Cpio);
        let long = Member::file(&"n/".repeat(600), 0o644, b"");
        assert_eq!(code(&archive(format, &[long])), Code::PathUnsafe);
    }
}

#[test]
fn e03_file_sizes() {
    for bad in [
        &b"0000000000 "[..],
        b"-0000000001",
        b"+0000000001",
        b"0x000000001",
        b"00000000009",
        b"0000000000\0",
    ] {
        let m = Member::file("a", 0o644, b"x").raw(Field::FileSize, bad);
        assert_eq!(code(&archive(Format::Odc, &[m])), Code::Cpio, "{bad:?}");
    }
    // The largest that the fields can hold: 8 GiB and 4 GiB less one.
    for (format, huge) in [(Format::Odc, &b"77777777777"[..]), (Format::Newc, b"ffffffff")] {
        let m = Member::file("a", 0o644, b"x").raw(Field::FileSize, huge);
        assert_eq!(code(&archive(format, &[m])), Code::CpioTruncated);
    }
    let m = Member::file("a", 0o644, b"").raw(Field::FileSize, b"77777777777");
    let a = archive(Format::Odc, &[m]);
    let e = CpioReader::new(&a[..], &Job::default()).next_entry().unwrap().unwrap();
    assert_eq!(e.size, (8 << 30) - 1);
    for kind in [0o040_755, 0o020_644, 0o060_644, 0o010_644, 0o140_644] {
        let m = Member { mode: kind, ..Member::file("a", 0, b"data") };
        assert_eq!(code(&archive(Format::Odc, &[m])), Code::Cpio, "{kind:o}");
    }
    for kind in [0, 0o644, 0o150_644, 0o170_644, 0o700_644] {
        let m = Member { mode: kind, ..Member::file("a", 0, b"") };
        assert_eq!(code(&archive(Format::Odc, &[m])), Code::Cpio, "{kind:o}");
    }
}

#[test]
fn e04_nothing_hides_behind_a_trailer() {
    let more = [Member::file("hidden", 0o644, b"x")];
    for format in ALL {
        let fake = |m: Member| code(&archive(format, &[&[m][..], &more].concat()));
        assert_eq!(fake(Member::trailer()), Code::CpioAfterTrailer);
        assert_eq!(fake(Member::file("TRAILER!!!", 0o644, b"")), Code::CpioAfterTrailer);
        assert_eq!(fake(Member::file("TRAILER!!!", 0o644, b"data")), Code::CpioAfterTrailer);
        assert_eq!(fake(Member::link("TRAILER!!!", "x")), Code::CpioAfterTrailer);
        assert_eq!(fake(Member::dir("TRAILER!!!")), Code::CpioAfterTrailer);
        // With data, or as another kind, it is wrong even as the last one.
        let last = |m: Member| code(&members(format, &[m]));
        assert_eq!(last(Member::file("TRAILER!!!", 0o644, b"data")), Code::CpioAfterTrailer);
        assert_eq!(last(Member::link("TRAILER!!!", "x")), Code::CpioAfterTrailer);
        // A path that only ends so is a name as any other.
        let inner =
            [Member::file("./TRAILER!!!", 0o644, b"x"), Member::file("a/TRAILER!!!", 0o644, b"x")];
        assert_eq!(walk(&archive(format, &inner)).unwrap().len(), 2);
    }
}

#[test]
fn e05_trailer_missing_or_followed() {
    for format in ALL {
        assert_eq!(code(b""), Code::CpioTruncated);
        assert_eq!(code(&members(format, &sample())), Code::CpioTruncated);
        let mut a = archive(format, &sample());
        a.extend([0; 10_240]);
        assert!(walk(&a).is_ok());
        a.extend([0; 100_000]);
        *a.last_mut().unwrap() = 1;
        assert_eq!(code(&a), Code::CpioAfterTrailer);
        let mut two = archive(format, &sample());
        two.extend(archive(format, &sample()));
        assert_eq!(code(&two), Code::CpioAfterTrailer);
    }
}

#[test]
fn e06_link_targets() {
    for format in ALL {
        let link = |t: &str| walk(&archive(format, &[Member::link("l", t)]));
        for fine in ["/etc/passwd", "../../..", "a b", "Größe"] {
            assert_eq!(link(fine).unwrap()[0].0.link.as_deref(), Some(fine));
        }
        assert!(link(&"x".repeat(1024)).is_ok());
        for bad in ["", "a\0b", "\0", &"x".repeat(1025)] {
            assert_eq!(link(bad).unwrap_err().code(), Code::PathUnsafe, "{bad:?}");
        }
        let m = Member { data: b"a\xff".to_vec(), ..Member::link("l", "") };
        assert_eq!(code(&archive(format, &[m])), Code::PathUnsafe);
        let m = Member::link("l", "x")
            .raw(Field::FileSize, if format == Format::Odc { b"77777777777" } else { b"ffffffff" });
        assert_eq!(code(&archive(format, &[m])), Code::PathUnsafe);
    }
}

#[test]
fn e07_hard_links_keep_their_numbers() {
    let odc = [
        Member::file("a", 0o644, b"same").linked(2, 9),
        Member::file("b", 0o644, b"same").linked(2, 9),
    ];
    let got = walk(&archive(Format::Odc, &odc)).unwrap();
    assert!(got.iter().all(|(e, d)| (e.ino, e.nlink, d.as_slice()) == (9, 2, &b"same"[..])));
    for format in [Format::Newc, Format::Crc] {
        let newc = [
            Member::file("a", 0o644, b"").linked(2, 9),
            Member::file("b", 0o644, b"same").linked(2, 9),
        ];
        let got = walk(&archive(format, &newc)).unwrap();
        assert_eq!(got.iter().map(|(e, _)| e.size).collect::<Vec<_>>(), [0, 4]);
        assert!(got.iter().all(|(e, _)| (e.ino, e.nlink) == (9, 2)));
    }
}

#[test]
fn e12_cut_anywhere_is_never_a_success() {
    for format in ALL {
        let mut a = members(format, &sample());
        a.extend(Member::trailer().bytes(format));
        for n in 0..a.len() {
            let e = walk(&a[..n]).unwrap_err();
            assert_eq!(e.code(), Code::CpioTruncated, "{format:?} cut to {n}");
            assert!(e.offset().is_some());
        }
    }
}

#[test]
fn unsafe_names_are_refused() {
    for bad in ["/x", "../x", "a/../../x", "a//b", "a/./b", ".."] {
        for format in ALL {
            assert_eq!(
                code(&archive(format, &[Member::file(bad, 0o644, b"")])),
                Code::PathUnsafe,
                "{bad}"
            );
        }
    }
    let m = Member { name: b"a\xff".to_vec(), ..Member::file("", 0o644, b"") };
    assert_eq!(code(&archive(Format::Odc, &[m])), Code::PathUnsafe);
    assert_eq!(code(&archive(Format::Odc, &[Member::file(".", 0o644, b"x")])), Code::Cpio);
}

#[test]
fn sums_and_padding_are_checked() {
    let m = Member::file("a", 0o644, b"abc").raw(Field::Check, b"00000001");
    assert_eq!(code(&archive(Format::Crc, std::slice::from_ref(&m))), Code::Cpio);
    // Also when the data is skipped.
    let a = archive(Format::Crc, &[m]);
    let mut r = CpioReader::new(&a[..], &Job::default());
    r.next_entry().unwrap();
    assert_eq!(r.next_entry().unwrap_err().code(), Code::Cpio);
    for format in [Format::Newc, Format::Crc] {
        let m = Member { pad: b'x', ..Member::file("ab", 0o644, b"abc") };
        assert_eq!(code(&archive(format, &[m])), Code::Cpio);
    }
}

#[test]
fn entries_and_cancellation_stop_the_walk() {
    let mut limits = Limits::default();
    limits.entries = 5;
    let job = Job::new(limits, CancelToken::new(), Arc::new(SilentProgress));
    let a = archive(Format::Odc, &sample());
    assert_eq!(walk_job(&a, 4096, &job).unwrap_err().code(), Code::LimitEntries);
    let cancel = CancelToken::new();
    let job = Job::new(Limits::default(), cancel.clone(), Arc::new(SilentProgress));
    let mut r = CpioReader::new(&a[..], &job);
    r.next_entry().unwrap();
    cancel.cancel();
    assert_eq!(r.next_entry().unwrap_err().code(), Code::Cancelled);
}

#[test]
fn an_error_of_the_input_comes_through_whole() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(Error::new(Code::XarChecksum, "wrong checksum").into())
        }
    }
    let e = CpioReader::new(Broken, &Job::default()).next_entry().unwrap_err();
    assert_eq!(e.code(), Code::XarChecksum);
}

#[test]
fn deterministic_damage_never_panics_or_hangs() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for format in ALL {
        let good = archive(format, &sample());
        for _ in 0..4000 {
            let mut v = good.clone();
            for _ in 0..=next() % 4 {
                let at = next() as usize % v.len();
                v[at] = match next() % 3 {
                    0 => next() as u8,
                    1 => v[at] ^ (1 << (next() % 8)),
                    _ => b"0177fF-"[next() as usize % 7],
                };
            }
            if next() % 4 == 0 {
                v.truncate(next() as usize % v.len());
            }
            if let Err(e) = walk(&v) {
                assert_ne!(e.code(), Code::Internal);
            }
        }
    }
}
