//! The cases B1 to B9, B14, B15 and B20 of the list of hostile inputs, and sweeps.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs
)]

mod chunks;
mod licence;

use std::sync::Arc;
use std::time::Instant;

use mip_base::{
    CancelToken, Code, Error, Job, Kind, Limits, ReadAt as _, SilentProgress, read_full_at,
};
use mip_testkit::udif::{COMMENT, Chunk, Image, Pack, Resources, TERMINATOR, lpic};
use mip_udif::Udif;

fn open(image: &Image) -> Result<Udif, Error> {
    Udif::open(Arc::new(image.build()), &Job::default())
}

fn code(image: &Image) -> Code {
    open(image).unwrap_err().code()
}

fn read_all(image: &Udif) -> Result<Vec<u8>, Error> {
    let mut out = vec![0xEE; usize::try_from(image.size()).unwrap()];
    read_full_at(image, 0, &mut out, Code::InputIo)?;
    Ok(out)
}

fn limited(change: impl FnOnce(&mut Limits)) -> Job {
    let mut limits = Limits::default();
    change(&mut limits);
    Job::new(limits, CancelToken::new(), Arc::new(SilentProgress))
}

/// Bytes that pack a little.
fn noise(sectors: usize) -> Vec<u8> {
    (0..sectors * 512).map(|i| ((i * i / 7) % 249) as u8).collect()
}

/// Three chunks of 4 sectors, zlib, and raw and zero ones.
fn sample() -> Image {
    let data = noise(20);
    let mut image = Image::of(&[
        (Pack::Zlib, &data[..2048]),
        (Pack::Ignore, &[0; 1024]),
        (Pack::Raw, &data[2048..4096]),
    ]);
    image.table("second (Apple_Free : 1)");
    image.push(Pack::Zero, &[0; 512]).push(Pack::Zlib, &data[4096..6144]);
    image
}

#[test]
fn the_sample_is_right() {
    for form in [Resources::Plist, Resources::Fork, Resources::Both] {
        let image = Image { form, ..sample() };
        let udif = open(&image).unwrap();
        assert_eq!(read_all(&udif).unwrap(), image.disk, "{form:?}");
        assert!(udif.notes().is_empty(), "{:?}", udif.notes());
        let found = udif.verify(2, &Job::default()).unwrap();
        assert_eq!(
            (found.tables_checked, found.data_fork, found.master),
            (2, Some(true), Some(true))
        );
        let names: Vec<&str> = udif.tables().iter().map(|t| t.name.as_str()).collect();
        assert_eq!(names, ["whole disk (Apple_HFS : 0)", "second (Apple_Free : 1)"]);
        assert_eq!(udif.codecs(), ["raw", "zlib"]);
    }
}

#[test]
fn b01_trailer() {
    let good = sample().build();
    // No trailer at all; too short for one.
    let mut none = good.clone();
    let at = none.len() - 512;
    none[at] = b'K';
    let e = Udif::open(Arc::new(none), &Job::default()).unwrap_err();
    assert_eq!(e.code(), Code::DmgTrailer);
    for n in [0, 1, 511] {
        let e = Udif::open(Arc::new(good[at..at + n].to_vec()), &Job::default()).unwrap_err();
        assert_eq!(e.code(), Code::DmgTrailer);
    }
    // Only at the start: read there.
    let image = Image { trailer_first: true, ..sample() };
    let udif = open(&image).unwrap();
    assert_eq!(udif.trailer().offset, 0);
    assert_eq!(read_all(&udif).unwrap(), image.disk);
    // Two: the one at the end counts, whatever the first says.
    let mut image = sample();
    image.before = good[at..].to_vec();
    image.before[4..8].fill(0xFF);
    let udif = open(&image).unwrap();
    assert_eq!(udif.trailer().data_fork.0, 512);
    assert_eq!(read_all(&udif).unwrap(), image.disk);
    // Version and length.
    let patched = |at: usize, word: u32| Image {
        patches: vec![(at, word.to_be_bytes().to_vec())],
        ..sample()
    };
    for version in [0, 3, 5, u32::MAX] {
        assert_eq!(code(&patched(4, version)), Code::Unsupported, "version {version}");
    }
    for len in [0, 511, 513, 1024, u32::MAX] {
        assert_eq!(code(&patched(8, len)), Code::DmgTrailer, "length {len}");
    }
    // A trailer and nothing else.
    let e = Udif::open(Arc::new(good[at..].to_vec()), &Job::default()).unwrap_err();
    assert_eq!(e.code(), Code::DmgTrailer);
}

/// Bytes in front of a finished image, which its ranges do not count (7-Zip reads these, too).
#[test]
fn b01_bytes_before_the_image() {
    let image = sample();
    for n in [1, 128, 5000] {
        let file = [vec![0xA5; n], image.build()].concat();
        let udif = Udif::open(Arc::new(file), &Job::default()).unwrap();
        assert_eq!(udif.trailer().prefix, n as u64);
        assert_eq!(udif.notes().len(), 1);
        assert_eq!(read_all(&udif).unwrap(), image.disk);
        udif.verify(1, &Job::default()).unwrap();
    }
    // A code signature counts as a part of the image; garbage in its place does not.
    let end = image.build().len() as u64 - 512;
    for (range, shown) in [((end, 0_u64), false), ((3, 4), true), ((u64::MAX, 9), false)] {
        let bytes = [range.0.to_be_bytes(), range.1.to_be_bytes()].concat();
        let udif = open(&Image { patches: vec![(296, bytes)], ..sample() }).unwrap();
        assert_eq!(udif.trailer().code_signature, shown.then_some(range));
    }
}

#[test]
fn b02_property_list_range() {
    let good = sample().build();
    let len = good.len() as u64;
    let range = |at: u64, n: u64| Image {
        patches: vec![(216, [at.to_be_bytes(), n.to_be_bytes()].concat())],
        ..sample()
    };
    for (at, n) in [(len, 1), (len - 512, 1), (u64::MAX, 1), (1, u64::MAX), (0, len - 511)] {
        assert_eq!(code(&range(at, n)), Code::DmgTrailer, "{at}+{n}");
    }
    // No list and no fork.
    assert_eq!(code(&range(0, 0)), Code::DmgResources);
    assert_eq!(code(&Image { form: Resources::None, ..sample() }), Code::DmgResources);
    // Bytes that are no list.
    assert_eq!(open(&range(0, 64)).unwrap_err().kind(), Kind::Malformed);
    // Longer than the limit.
    let job = limited(|l| l.image_resources = 1000);
    let e = Udif::open(Arc::new(good), &job).unwrap_err();
    assert_eq!(e.code(), Code::LimitMemory);
    // The limit on other property lists is not this one.
    let job = limited(|l| l.plist_bytes = 10);
    Udif::open(Arc::new(sample().build()), &job).unwrap();
}

#[test]
fn b03_tables_missing_or_too_many() {
    let with = |xml: &str| Image {
        plist: Some(format!("<plist version=\"1.0\">{xml}</plist>").into_bytes()),
        ..sample()
    };
    let fork = |inner: &str| with(&format!("<dict><key>resource-fork</key>{inner}</dict>"));
    for xml in [
        with("<array/>"),
        with("<dict/>"),
        fork("<array/>"),
        fork("<dict/>"),
        fork("<dict><key>blkx</key><dict/></dict>"),
        fork("<dict><key>blkx</key><array/></dict>"),
        fork("<dict><key>blkx</key><array><string>x</string></array></dict>"),
        fork("<dict><key>blkx</key><array><dict/></array></dict>"),
        fork(
            "<dict><key>blkx</key><array><dict><key>ID</key><string>0</string><key>Data</key><string>x</string></dict></array></dict>",
        ),
    ] {
        assert_eq!(code(&xml), Code::DmgResources);
    }
    let mut image = Image::default();
    for _ in 0..129 {
        image.table("t").push(Pack::Ignore, &[0; 512]);
    }
    let e = open(&image).unwrap_err();
    assert_eq!((e.code(), e.limit_and_value()), (Code::Limit, Some((128, 129))));
    // A fork that says it has 65,535 resources.
    let mut fork = mip_testkit::udif::resource_fork(&[(*b"blkx", 0, "x".into(), vec![0; 204])]);
    let types = fork.len() - 2 - 12 - 8 - 2;
    fork[types + 6..types + 8].copy_from_slice(&[0xFF, 0xFE]);
    assert_eq!(open_fork(fork).unwrap_err().code(), Code::DmgResources);
}

/// A million tables of nothing, in the list and in the fork.
#[test]
fn b03_a_million_tables() {
    let start = Instant::now();
    let tables = "<dict/>".repeat(1_000_000);
    let xml = format!("<plist><dict><key>resource-fork</key><dict><key>blkx</key><array>{tables}");
    let xml = format!("{xml}</array></dict></dict></plist>").into_bytes();
    let e = open(&Image { plist: Some(xml), ..sample() }).unwrap_err();
    assert!(matches!(e.code(), Code::DmgResources | Code::Limit), "{e:?}");
    let rows = vec![(*b"blkx", 0, String::new(), Vec::new()); 5000];
    let e = open_fork(mip_testkit::udif::resource_fork(&rows)).unwrap_err();
    assert_eq!((e.code(), e.limit_and_value()), (Code::Limit, Some((128, 5000))));
    mip_testkit::not_hanging(start);
}

/// As many chunks as fit the limit on the property list.
#[test]
fn b04_a_table_of_200_000_chunks() {
    let mut image = Image::of(&[(Pack::Raw, &noise(1))]);
    let (first, end) = (image.tables[0].chunks[0], image.tables[0].chunks[1]);
    let count = 200_000;
    image.tables[0].chunks = (0..count)
        .map(|start| match start % 2 {
            0 => Chunk { kind: 0, start, sectors: 1, offset: 0, length: 0 },
            _ => Chunk { kind: if start == 77_777 { 1 } else { 2 }, start, ..first },
        })
        .chain([end])
        .collect();
    image.tables[0].sectors = count;
    let bytes = Arc::new(image.build());
    let start = Instant::now();
    let udif = Udif::open(bytes, &Job::default()).unwrap();
    let mut buf = vec![0xEE; 1 << 20];
    udif.read_at(77_777 * 512 - (1 << 19), &mut buf).unwrap();
    assert_eq!(buf[1 << 19..][..512], noise(1));
    let _ = udif.verify(1, &Job::default());
    mip_testkit::not_hanging(start);
}

/// An image whose resource fork is these bytes.
fn open_fork(fork: Vec<u8>) -> Result<Udif, Error> {
    let image = sample();
    let (at, len) = (image.data.len() as u64, fork.len() as u64);
    let image = Image {
        plist: Some(fork),
        patches: vec![(40, [at.to_be_bytes(), len.to_be_bytes()].concat()), (216, vec![0; 16])],
        ..image
    };
    open(&image)
}

#[test]
fn b03_resource_fork_swept() {
    let mut rows = Vec::new();
    for t in &sample().tables {
        rows.push((*b"blkx", t.id as i16, t.name.clone(), mip_testkit::udif::mish(t)));
    }
    rows.push((*b"LPic", 5000, String::new(), lpic(0, &[(0, 0)])));
    let good = mip_testkit::udif::resource_fork(&rows);
    assert_eq!(open_fork(good.clone()).unwrap().tables().len(), 2);
    // Every byte of header and map set to every telling value; every cut.
    let map = 256 + rows.iter().map(|r| r.3.len() + 4).sum::<usize>();
    for at in (0..16).chain(map..good.len()) {
        for value in [0, 1, 0x7F, 0x80, 0xFF] {
            let mut fork = good.clone();
            fork[at] = value;
            if let Err(e) = open_fork(fork) {
                assert!(matches!(e.kind(), Kind::Malformed | Kind::Unsupported), "{at}: {e:?}");
            }
        }
    }
    for n in 0..good.len() {
        let e = open_fork(good[..n].to_vec()).unwrap_err();
        assert_eq!(e.code(), Code::DmgResources, "cut to {n}");
    }
}

#[test]
fn b04_chunk_count_beyond_the_table() {
    for count in [u32::MAX, u32::MAX / 40, 5, 1 << 31] {
        let mut image = sample();
        image.tables[0].count = Some(count);
        assert_eq!(code(&image), Code::DmgMish, "{count}");
    }
    // Fewer than there are leaves out the terminator.
    let mut image = sample();
    image.tables[0].count = Some(3);
    assert_eq!(code(&image), Code::DmgMish);
    // More chunks than the limit.
    let job = limited(|l| l.image_chunks = 4);
    let e = Udif::open(Arc::new(sample().build()), &job).unwrap_err();
    assert_eq!((e.code(), e.limit_and_value()), (Code::Limit, Some((4, 5))));
}

#[test]
fn b05_chunks_that_do_not_tile_their_table() {
    let changed = |change: fn(&mut Image)| {
        let mut image = sample();
        change(&mut image);
        code(&image)
    };
    // Longer than the table; a gap; an overlap; backwards; shorter than the table.
    assert_eq!(changed(|i| i.tables[0].sectors -= 1), Code::DmgMish);
    assert_eq!(changed(|i| i.tables[0].chunks[1].start += 1), Code::DmgMish);
    assert_eq!(changed(|i| i.tables[0].chunks[1].start -= 1), Code::DmgMish);
    assert_eq!(changed(|i| i.tables[0].chunks.swap(0, 1)), Code::DmgMish);
    assert_eq!(changed(|i| i.tables[0].sectors += 1), Code::DmgMish);
    assert_eq!(changed(|i| i.tables[0].chunks[1].kind = COMMENT), Code::DmgMish);
    // Two tables for the same sectors, or one inside the other.
    assert_eq!(changed(|i| i.tables[1].first_sector -= 1), Code::DmgMish);
    assert_eq!(changed(|i| i.tables[1].first_sector = 0), Code::DmgMish);
}

#[test]
fn b05_sectors_that_no_table_has_are_zeros() {
    // Between two tables, before the first, and behind the last as far as the trailer says.
    let mut image = sample();
    image.tables[0].first_sector = 3;
    image.tables[1].first_sector = 20;
    image.sector_count = Some(30);
    let udif = open(&image).unwrap();
    assert_eq!(udif.notes().len(), 2, "{:?}", udif.notes());
    let mut want = vec![0; 30 * 512];
    want[3 * 512..13 * 512].copy_from_slice(&image.disk[..10 * 512]);
    want[20 * 512..25 * 512].copy_from_slice(&image.disk[10 * 512..]);
    assert_eq!(read_all(&udif).unwrap(), want);
    // One byte at a time, too.
    let single: Vec<u8> = (0..want.len() as u64)
        .map(|at| {
            let mut b = [0xEE];
            assert_eq!(udif.read_at(at, &mut b).unwrap(), 1);
            b[0]
        })
        .collect();
    assert_eq!(single, want);
    // Tables in another order in the file are the same disk.
    let mut image = sample();
    image.tables.swap(0, 1);
    let udif = open(&image).unwrap();
    assert_eq!(read_all(&udif).unwrap(), image.disk);
    udif.verify(1, &Job::default()).unwrap();
    // A trailer that counts too little hides nothing.
    let image = Image { sector_count: Some(0), ..sample() };
    let udif = open(&image).unwrap();
    assert_eq!(read_all(&udif).unwrap(), image.disk);
    assert_eq!(udif.notes().len(), 1);
}

#[test]
fn b14_unknown_chunks_comments_and_terminators() {
    for kind in [3, 4, 0x8000_0003, 0x8000_0009, 0x7FFF_FFFF, 0x8000_0001] {
        let mut image = sample();
        image.tables[0].chunks[0].kind = kind;
        let e = open(&image).unwrap_err();
        assert_eq!(e.code(), Code::Unsupported);
        assert!(e.message().contains(&format!("{kind:#010x}")), "{e:?}");
    }
    // Comments anywhere, whatever their numbers say.
    let mut image = sample();
    let comment =
        Chunk { kind: COMMENT, start: u64::MAX, sectors: u64::MAX, offset: u64::MAX, length: 9 };
    for i in [4, 3, 2, 1, 0] {
        image.tables[0].chunks.insert(i.min(3), comment);
    }
    let udif = open(&image).unwrap();
    assert_eq!(read_all(&udif).unwrap(), image.disk);
    assert_eq!(udif.tables()[0].chunks, 3);
    // No terminator; one in the middle; two.
    let mut image = sample();
    image.tables[0].chunks.pop();
    assert_eq!(code(&image), Code::DmgMish);
    let mut image = sample();
    image.tables[0].chunks[1].kind = TERMINATOR;
    assert_eq!(code(&image), Code::DmgMish);
    let mut image = sample();
    let end = image.tables[0].chunks[3];
    image.tables[0].chunks.push(end);
    assert_eq!(code(&image), Code::DmgMish);
    // Nothing but comments is a table of no sectors.
    let mut image = sample();
    image.tables[1].chunks = vec![comment, comment, end];
    image.tables[1].sectors = 0;
    open(&image).unwrap();
}

#[test]
fn b15_checksums_that_do_not_match() {
    let wrong = |image: &Image| {
        let udif = open(image).unwrap();
        // Reading does not look at them.
        read_all(&udif).unwrap();
        let e = udif.verify(2, &Job::default()).unwrap_err();
        assert_eq!(e.code(), Code::DmgChecksum);
        e.message().to_owned()
    };
    let patched = |at: usize| {
        let good = sample().build();
        let mut word = good[good.len() - 512 + at..][..4].to_vec();
        word[3] ^= 1;
        Image { patches: vec![(at, word)], ..sample() }
    };
    assert!(wrong(&patched(88)).starts_with("the data fork"));
    assert!(wrong(&patched(360)).starts_with("the checksums of all tables"));
    let mut image = sample();
    image.tables[1].checksum.2 ^= 1;
    assert!(wrong(&image).starts_with("table 0 \"second"), "{}", wrong(&image));
    // One byte of raw data.
    let mut image = sample();
    let at = image.tables[0].chunks[2].offset as usize;
    image.data[at] ^= 1;
    assert!(wrong(&image).starts_with("table -1"));
    // Kinds that nobody knows are said to be unchecked, and so is none.
    let mut image = sample();
    image.tables[0].checksum = (9, 160, 1);
    image.tables[1].checksum = (0, 0, 0);
    // The checksum of checksums takes 20 bytes of the one and none of the other.
    let found = open(&image).unwrap().verify(1, &Job::default()).unwrap();
    assert_eq!((found.data_fork, found.master), (Some(true), Some(true)));
    image.patches = vec![(80, vec![0, 0, 0, 9]), (352, vec![0; 8])];
    let found = open(&image).unwrap().verify(1, &Job::default()).unwrap();
    assert_eq!((found.tables_checked, found.tables_unknown, found.tables_without), (0, 1, 1));
    assert_eq!((found.data_fork, found.master), (Some(false), None));
}

#[test]
fn b16_segments_and_ndif() {
    for (number, count) in [(1_u32, 2_u32), (2, 2), (2, 0), (1, u32::MAX)] {
        let words = [number.to_be_bytes(), count.to_be_bytes()].concat();
        let e = open(&Image { patches: vec![(56, words)], ..sample() }).unwrap_err();
        assert_eq!(e.code(), Code::Unsupported);
        assert!(e.message().contains("segments") && e.next_step().is_some());
    }
    for (number, count) in [(0_u32, 0_u32), (1, 1), (1, 0), (0, 1)] {
        let words = [number.to_be_bytes(), count.to_be_bytes()].concat();
        open(&Image { patches: vec![(56, words)], ..sample() }).unwrap();
    }
    let mut image = sample();
    image.tables.clear();
    image.resources.push((*b"bcem", 128, vec![0; 128]));
    let e = open(&image).unwrap_err();
    assert_eq!(e.code(), Code::Unsupported);
    assert!(e.message().contains("NDIF"));
}

/// A read/write image (UDRW) is its data fork, with nothing but a trailer behind it.
#[test]
fn b16_a_trailer_behind_a_raw_disk() {
    let disk = noise(9);
    let image = Image {
        data: disk.clone(),
        form: Resources::None,
        sector_count: Some(9),
        ..Image::default()
    };
    let udif = open(&image).unwrap();
    assert_eq!(read_all(&udif).unwrap(), disk);
    assert_eq!(udif.notes().len(), 1);
    udif.verify(1, &Job::default()).unwrap();
    let image = Image { sector_count: Some(8), ..image };
    assert_eq!(code(&image), Code::DmgResources);
}

#[test]
fn every_byte_of_trailer_and_table_swept() {
    let mut image = sample();
    image.form = Resources::Fork;
    let good = image.build();
    let table = good.windows(4).position(|w| w == b"mish").unwrap();
    let trailer = good.len() - 512;
    let start = Instant::now();
    for at in (table..table + 204 + 160).chain(trailer..good.len()) {
        for value in [0, 1, 0x7F, 0x80, 0xFF] {
            let mut bytes = good.clone();
            bytes[at] = value;
            let result = Udif::open(Arc::new(bytes), &Job::default()).and_then(|udif| {
                let mut buf = vec![0; 64 << 10];
                udif.read_at(0, &mut buf).map_err(|e| Error::from_io(Code::InputIo, "x", e))?;
                udif.verify(1, &Job::default()).map(|_| ())
            });
            if let Err(e) = result {
                let kinds = [Kind::Malformed, Kind::Unsupported, Kind::Limit];
                assert!(kinds.contains(&e.kind()), "byte {at} = {value}: {e:?}");
            }
        }
    }
    mip_testkit::not_hanging(start);
}

#[test]
fn an_image_cut_anywhere_is_an_error() {
    let good = sample().build();
    for n in 0..good.len() {
        let e = Udif::open(Arc::new(good[..n].to_vec()), &Job::default()).unwrap_err();
        assert_eq!(e.code(), Code::DmgTrailer, "cut to {n}");
    }
}

#[test]
fn a_cancelled_job_stops() {
    let token = CancelToken::new();
    let job = Job::new(Limits::default(), token.clone(), Arc::new(SilentProgress));
    let udif = Udif::open(Arc::new(sample().build()), &job).unwrap();
    token.cancel();
    assert_eq!(read_all(&udif).unwrap_err().code(), Code::Cancelled);
    assert_eq!(udif.verify(2, &job).unwrap_err().code(), Code::Cancelled);
}
