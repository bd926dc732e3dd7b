//! B6 to B9: chunks whose sizes and places lie.

use std::sync::Arc;
use std::time::Instant;

use mip_base::{Code, Error, Job, Kind, ReadAt as _};
use mip_testkit::udif::{Chunk, Image, Pack};
use mip_udif::Udif;

use crate::{code, limited, noise, open, read_all, sample};

#[test]
fn b06_sectors_that_overflow() {
    for sectors in [u64::MAX, u64::MAX / 512, 1 << 55, 1 << 63] {
        let mut image = sample();
        image.tables[0].chunks[1].sectors = sectors;
        assert_eq!(code(&image), Code::DmgMish, "chunk of {sectors}");
        let mut image = sample();
        image.tables[1].first_sector = sectors;
        let e = open(&image).unwrap_err();
        assert!(matches!(e.code(), Code::DmgMish | Code::LimitExpanded), "{sectors}: {e:?}");
        let image = Image { sector_count: Some(sectors), ..sample() };
        assert_eq!(code(&image), Code::LimitExpanded, "disk of {sectors}");
    }
    let mut image = sample();
    image.tables[0].data_offset = u64::MAX;
    assert_eq!(code(&image), Code::DmgChunk);
}

#[test]
fn b07_stored_bytes_outside_the_data_fork() {
    let fork = sample().data.len() as u64;
    for chunk in [0, 2] {
        for (offset, length) in
            [(fork, 1), (fork - 1, 2), (u64::MAX, 1), (1, u64::MAX), (u64::MAX, u64::MAX)]
        {
            let mut image = sample();
            let c = &mut image.tables[0].chunks[chunk];
            (c.offset, c.length) = (offset, length);
            assert_eq!(code(&image), Code::DmgChunk, "{offset}+{length}");
        }
    }
    // A data fork that leaves the file.
    let long = |at: u64, len: u64| Image {
        patches: vec![(24, [at.to_be_bytes(), len.to_be_bytes()].concat())],
        ..sample()
    };
    for (at, len) in [(0, u64::MAX), (u64::MAX, 1), (1 << 40, 1)] {
        assert_eq!(code(&long(at, len)), Code::DmgTrailer);
    }
}

#[test]
fn b07_the_same_bytes_used_over_and_over() {
    // 10,000 chunks of one 2 KiB zlib stream.
    let zeros = vec![0; 1 << 20];
    let mut image = Image::of(&[(Pack::Zlib, &zeros)]);
    let (first, end) = (image.tables[0].chunks[0], image.tables[0].chunks[1]);
    image.tables[0].chunks =
        (0..10_000).map(|i| Chunk { start: i * 2048, ..first }).chain([end]).collect();
    image.tables[0].sectors = 10_000 * 2048;
    let start = Instant::now();
    assert_eq!(code(&image), Code::DmgMish);
    mip_testkit::not_hanging(start);
    // A few duplicates are fine.
    image.tables[0].chunks =
        (0..8).map(|i| Chunk { start: i * 2048, ..first }).chain([end]).collect();
    image.tables[0].sectors = 8 * 2048;
    open(&image).unwrap();
}

#[test]
fn b08_chunks_that_hold_more_or_less() {
    for pack in [Pack::Adc, Pack::Zlib, Pack::Bzip2, Pack::Lzfse, Pack::Lzma] {
        for (sectors, held) in [(4_u64, 3_usize), (4, 5), (4, 0), (4, 40)] {
            let stored = pack.pack(&noise(40)[..held * 512]);
            let mut image = Image::of(&[(pack, &noise(4)), (Pack::Raw, &noise(1))]);
            image.data.splice(..image.tables[0].chunks[0].length as usize, stored.clone());
            let moved = stored.len() as u64;
            image.tables[0].chunks[0] =
                Chunk { sectors, length: moved, ..image.tables[0].chunks[0] };
            image.tables[0].chunks[1].offset = moved;
            let udif = open(&image).unwrap();
            // Whole and in part, both ways to decode.
            let mut buf = vec![0xEE; 2048];
            for n in [2048, 100] {
                let e = udif.read_at(0, &mut buf[..n]).unwrap_err();
                let e = Error::from_io(Code::InputIo, "x", e);
                let expect: &[Code] = if held == 0 {
                    &[Code::DmgChunkSize, Code::DmgChunk]
                } else {
                    &[Code::DmgChunkSize]
                };
                assert!(expect.contains(&e.code()), "{pack:?} {held}: {e:?}");
            }
            assert!(buf[..2048].iter().all(|b| matches!(b, 0 | 0xEE)), "{pack:?} {held}: leaked");
            // The next chunk is not touched by it.
            let n = udif.read_at(2048, &mut buf[..512]).unwrap();
            assert_eq!(&buf[..n], noise(1));
            assert_eq!(udif.verify(1, &Job::default()).unwrap_err().kind(), Kind::Malformed);
        }
    }
    // Raw chunks are as long as they are.
    for delta in [-1_i64, 1] {
        let mut image = sample();
        let c = &mut image.tables[0].chunks[2];
        c.length = c.length.wrapping_add_signed(delta);
        assert_eq!(code(&image), Code::DmgChunkSize);
    }
    // Larger than the limit: refused when opened.
    let job = limited(|l| l.image_chunk = 2047);
    let e = Udif::open(Arc::new(sample().build()), &job).unwrap_err();
    assert_eq!((e.code(), e.limit_and_value()), (Code::Limit, Some((2047, 2048))));
}

#[test]
fn b08_chunks_that_are_damaged() {
    for pack in [Pack::Zlib, Pack::Bzip2, Pack::Lzfse, Pack::Lzma] {
        let mut image = Image::of(&[(pack, &noise(4))]);
        image.data[0] ^= 0xFF;
        let e = read_all(&open(&image).unwrap()).unwrap_err();
        assert_eq!(e.code(), Code::DmgChunk, "{pack:?}");
        assert!(e.offset().is_some() && e.message().contains("chunk 0"), "{e:?}");
    }
    // Four bytes from 1,024 back, at the start.
    let mut image = Image::of(&[(Pack::Adc, &noise(1))]);
    image.data[..3].copy_from_slice(&[0x40, 4, 0]);
    assert_eq!(read_all(&open(&image).unwrap()).unwrap_err().code(), Code::DmgChunk);
}

#[test]
fn b09_zero_fill_of_16_eib() {
    let start = Instant::now();
    for kind in [0, 2] {
        let mut image = Image::of(&[(Pack::Zero, &[0; 512])]);
        image.tables[0].chunks[0].kind = kind;
        // 16 EiB and more is no disk.
        image.tables[0].chunks[0].sectors = 1 << 55;
        image.tables[0].sectors = 1 << 55;
        assert_eq!(code(&image), Code::LimitExpanded);
        // Just under 8 EiB can be opened, read at its end, and verified.
        let sectors = (1 << 54) - 1;
        image.tables[0].chunks[0].sectors = sectors;
        image.tables[0].sectors = sectors;
        let udif = open(&image).unwrap();
        assert_eq!(udif.size(), sectors * 512);
        let mut b = [0xEE; 16];
        assert_eq!(udif.read_at(udif.size() - 16, &mut b).unwrap(), 16);
        assert_eq!(b, [0; 16]);
        let verified = udif.verify(1, &Job::default());
        assert_eq!(verified.unwrap_err().code(), Code::DmgChecksum);
    }
    mip_testkit::not_hanging(start);
    // Zeros that are copied out are charged.
    let image = Image { sector_count: Some(1 << 40), ..sample() };
    let job = limited(|l| l.expanded_bytes = 1 << 20);
    let udif = Udif::open(Arc::new(image.build()), &job).unwrap();
    let mut buf = vec![0; 64 << 10];
    let mut at = udif.size() - (4 << 20);
    let e = loop {
        match udif.read_at(at, &mut buf) {
            Ok(n) => at += n as u64,
            Err(e) => break Error::from_io(Code::InputIo, "x", e),
        }
    };
    assert_eq!(e.code(), Code::LimitExpanded);
}

/// Small reads here and there, as of a B-tree whose nodes are spread, decode large chunks again
/// and again: a few KB would keep a reader busy for an hour.
#[test]
fn b07_chunks_decoded_over_and_over() {
    let half = vec![7; 4 << 20];
    let image = Image::of(&[(Pack::Zlib, &half), (Pack::Zlib, &half)]).build();
    let job = limited(|l| {
        l.image_cache = 1 << 20;
        (l.ratio, l.ratio_from) = (1, 16 << 20);
    });
    let udif = Udif::open(Arc::new(image), &job).unwrap();
    // As often as the limit allows: 64 MiB are 16 chunks.
    let turns = |n: u64| {
        (0..n).find_map(|i| {
            let mut b = [0; 4];
            let e = udif.read_at((i % 2) * (4 << 20) + i * 8, &mut b).err()?;
            Some((i, Error::from_io(Code::InputIo, "", e)))
        })
    };
    let (at, e) = turns(1000).unwrap();
    assert_eq!((at, e.code()), (16, Code::LimitExpanded));
    assert_eq!(e.limit_and_value(), Some((64 << 20, 68 << 20)));
}
