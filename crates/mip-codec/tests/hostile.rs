//! The cases E9 to E11 of the hostile inputs, limits, and damage to lengths and counts.
#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::cast_possible_truncation
)]

mod common;

use std::io::{Read, Write};
use std::time::Instant;

use common::{VECTORS, code, decode, job, plain, read_in, vector};
use mip_base::{CancelToken, Code, Job, Limits, SilentProgress};
use mip_codec::{Compression, decoder, zlib_all, zlib_exact};
use mip_testkit::chunks::{Chunk, container, pbzx, xz};

fn pbz(block: u64, chunks: &[Chunk]) -> mip_base::Result<Vec<u8>> {
    decode(Compression::Pbzx, &container(b'x', block, chunks))
}

#[test]
fn e09_pbzx_sizes() {
    let text = plain();
    assert_eq!(decode(Compression::Pbzx, &pbzx(&text, 700)).unwrap(), text);
    let chunk = Chunk::xz(&text);
    for block in [0, 1, text.len() as u64 - 1, (64 << 20) + 1, 1 << 63, u64::MAX] {
        assert_eq!(code(pbz(block, std::slice::from_ref(&chunk))), Code::Pbzx, "block {block}");
    }
    for plain in [0, (1 << 24) + 1, 1 << 63, u64::MAX] {
        let c = Chunk { plain, ..chunk.clone() };
        assert_eq!(code(pbz(1 << 24, &[c])), Code::Pbzx, "decoded {plain}");
    }
    // What the data gives, and one more or less than that.
    for plain in [text.len() as u64 - 1, text.len() as u64 + 1] {
        let c = Chunk { plain, ..chunk.clone() };
        assert_eq!(code(pbz(1 << 24, &[c])), Code::Pbzx, "decoded {plain}");
    }
    for stored in [0, 1 << 63, u64::MAX, u64::MAX - 16] {
        let c = Chunk { stored, ..chunk.clone() };
        assert_eq!(code(pbz(1 << 24, &[c])), Code::Pbzx, "stored {stored}");
    }
    for stored in [chunk.stored - 1, chunk.stored + 1] {
        let c = Chunk { stored, ..chunk.clone() };
        assert!(pbz(1 << 24, &[c]).is_err(), "stored {stored}");
    }
    assert_eq!(code(decode(Compression::Pbzx, b"pbzx\0\0\0\0\x01\0\0\0")), Code::Pbzx);
}

#[test]
fn e09_pbzx_chunks() {
    let text = plain();
    let half = text.len() / 2;
    let block = half as u64;
    let mix = [Chunk::raw(&text[..half]), Chunk::xz(&text[half..])];
    assert_eq!(pbz(block, &mix).unwrap(), text);
    // A chunk below the block size is the last one.
    let after = [Chunk::xz(&text[..half]), Chunk::xz(b"end"), Chunk::xz(b"more")];
    assert_eq!(code(pbz(block, &after)), Code::Pbzx);
    // One xz stream per chunk, whole, and nothing behind it.
    let two = Chunk::packed(&text, [xz(&text[..half]), xz(&text[half..])].concat());
    assert_eq!(code(pbz(1 << 24, &[two])), Code::Pbzx);
    let padded = Chunk::packed(&text, [xz(&text), vec![0; 4]].concat());
    assert_eq!(code(pbz(1 << 24, &[padded])), Code::Pbzx);
    let mut bad = Chunk::xz(&text);
    let at = bad.data.len() / 2;
    bad.data[at] ^= 1;
    assert_eq!(code(pbz(1 << 24, &[bad])), Code::Xz);
    let no_magic = Chunk::packed(&text, b"something that is no xz".to_vec());
    assert_eq!(code(pbz(1 << 24, &[no_magic])), Code::Xz);
}

/// Puts the right CRC-32 behind the first `n` bytes of `v[at..]`.
fn fix_crc(v: &mut [u8], at: usize, n: usize) {
    let mut c = flate2::Crc::new();
    c.update(&v[at..at + n]);
    v[at + n..at + n + 4].copy_from_slice(&c.sum().to_le_bytes());
}

#[test]
fn e10_xz_dictionary_is_held_against_the_limit_first() {
    // Block header of 12 bytes at 12: size, flags, id, length, dictionary code, zeros, CRC.
    let mut v = vector("xz-crc64");
    assert_eq!(v[12..16], [2, 0, 0x21, 1]);
    for (dictionary, want) in [(28, None), (29, Some(96 << 20)), (40, Some((4_u64 << 30) - 1))] {
        v[16] = dictionary;
        fix_crc(&mut v, 12, 8);
        let got = decode(Compression::Xz, &v);
        match want {
            None => assert_eq!(got.unwrap(), plain()),
            Some(size) => {
                let e = got.unwrap_err();
                assert_eq!(e.code(), Code::LimitMemory);
                assert!(e.limit_and_value().unwrap().1 >= size);
            }
        }
    }
    v[16] = 41;
    fix_crc(&mut v, 12, 8);
    assert_eq!(code(decode(Compression::Xz, &v)), Code::Xz);
    let small = job(|l| l.lzma_memory = 1 << 20);
    assert_eq!(
        code(read_in(Compression::Xz, &vector("xz-crc64"), 99, 99, &small)),
        Code::LimitMemory
    );
    assert_eq!(
        code(read_in(Compression::Lzma, &vector("lzma"), 99, 99, &small)),
        Code::LimitMemory
    );
    assert_eq!(
        code(read_in(Compression::Pbzx, &vector("pbzx"), 99, 99, &small)),
        Code::LimitMemory
    );
    let mut v = vector("lzma");
    v[1..5].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(code(decode(Compression::Lzma, &v)), Code::LimitMemory);
}

#[test]
fn e10_xz_headers_that_are_not_known_or_lie() {
    let set = |at: usize, with: &[u8]| {
        let mut v = vector("xz-crc64");
        v[at..at + with.len()].copy_from_slice(with);
        fix_crc(&mut v, 12, 8);
        code(decode(Compression::Xz, &v))
    };
    assert_eq!(set(13, &[4]), Code::Unsupported, "reserved flag");
    assert_eq!(set(13, &[1]), Code::Xz, "two filters, one given");
    assert_eq!(set(13, &[0x40]), Code::Xz, "a size that is not there");
    assert_eq!(set(14, &[0x03]), Code::Xz, "the last filter is not LZMA2");
    assert_eq!(set(15, &[9]), Code::Xz, "properties longer than the header");
    assert_eq!(set(17, &[1]), Code::Xz, "padding");
    let mut v = vector("xz-crc64");
    v[7] = 2;
    fix_crc(&mut v, 6, 2);
    assert_eq!(code(decode(Compression::Xz, &v)), Code::Unsupported, "check type 2");
    // xz -T writes the sizes of each block into its header: flags c0 at 13.
    let mut v = vector("xz-blocks");
    assert_eq!(v[13] & 0xc0, 0xc0);
    let size = (usize::from(v[12]) + 1) * 4;
    for at in [14, 16] {
        let mut w = v.clone();
        w[at] ^= 1;
        fix_crc(&mut w, 12, size - 4);
        assert_eq!(code(decode(Compression::Xz, &w)), Code::Xz, "block size at {at}");
    }
    // The index is held against the blocks, also when its own CRC is right.
    let footer = v.len() - 12;
    let index =
        (u32::from_le_bytes(v[footer + 4..footer + 8].try_into().unwrap()) as usize + 1) * 4;
    let start = footer - index;
    assert_eq!((v[start], v[start + 1]), (0, 5), "five blocks");
    for (at, to) in [(1, 4), (1, 6), (2, 0x55), (4, 0x55)] {
        let mut w = v.clone();
        w[start + at] = to;
        fix_crc(&mut w, start, index - 4);
        assert!(decode(Compression::Xz, &w).is_err(), "index byte {at}");
    }
    v[footer + 4] ^= 1;
    let mut c = flate2::Crc::new();
    c.update(&v[footer + 4..footer + 10]);
    v[footer..footer + 4].copy_from_slice(&c.sum().to_le_bytes());
    assert_eq!(code(decode(Compression::Xz, &v)), Code::Xz, "size of the index");
}

/// A stream of `n` empty blocks costs time in proportion, and no memory per block.
#[test]
fn e10_xz_index_bomb() {
    let mut v = b"\xfd7zXZ\0\0\0".to_vec();
    v.extend([0; 4]);
    fix_crc(&mut v, 6, 2);
    let mut block = vec![2, 0, 0x21, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    fix_crc(&mut block, 0, 8);
    let n = 50_000_u64;
    for _ in 0..n {
        v.extend(&block);
    }
    let vli = |out: &mut Vec<u8>, mut n: u64| {
        while n >= 0x80 {
            out.push(n as u8 | 0x80);
            n >>= 7;
        }
        out.push(n as u8);
    };
    let mut index = vec![0];
    vli(&mut index, n);
    for _ in 0..n {
        index.extend([13, 0]);
    }
    index.resize(index.len().next_multiple_of(4) + 4, 0);
    let len = index.len();
    fix_crc(&mut index, 0, len - 4);
    let words = (index.len() / 4 - 1) as u32;
    v.extend(&index);
    let mut tail = words.to_le_bytes().to_vec();
    tail.extend([0, 0]);
    let mut c = flate2::Crc::new();
    c.update(&tail);
    v.extend(c.sum().to_le_bytes());
    v.extend(tail);
    v.extend(b"YZ");
    let start = Instant::now();
    assert_eq!(decode(Compression::Xz, &v).unwrap(), b"");
    mip_testkit::not_hanging(start);
}

fn gzip_header(flags: u8, rest: &[u8]) -> Vec<u8> {
    let mut v = vec![0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 3];
    v.extend(rest);
    v.extend(&vector("gzip")[10..]);
    v
}

#[test]
fn e11_gzip_headers() {
    let mut extra = vec![0xff, 0xff];
    extra.extend(vec![b'x'; 0xffff]);
    assert_eq!(decode(Compression::Gzip, &gzip_header(4, &extra)).unwrap(), plain());
    for flag in [8, 16] {
        let name = |n: usize| [vec![b'n'; n], vec![0]].concat();
        assert_eq!(decode(Compression::Gzip, &gzip_header(flag, &name(4095))).unwrap(), plain());
        assert_eq!(code(decode(Compression::Gzip, &gzip_header(flag, &name(4096)))), Code::Gzip);
        assert_eq!(code(decode(Compression::Gzip, &gzip_header(flag, &name(1 << 20)))), Code::Gzip);
    }
    assert_eq!(decode(Compression::Gzip, &gzip_header(4, &[0, 0])).unwrap(), plain());
    for reserved in [0x20, 0x40, 0x80] {
        assert_eq!(code(decode(Compression::Gzip, &gzip_header(reserved, &[]))), Code::Gzip);
    }
    assert_eq!(code(decode(Compression::Gzip, &gzip_header(2, &[0, 0]))), Code::Gzip, "CRC-16");
    let v = vector("gzip");
    for (at, what) in [(2, "method"), (v.len() - 8, "CRC-32"), (v.len() - 4, "size")] {
        let mut v = v.clone();
        v[at] ^= 1;
        assert_eq!(code(decode(Compression::Gzip, &v)), Code::Gzip, "{what}");
    }
}

#[test]
fn e11_many_members_and_streams_in_linear_time() {
    let pack = |data: &[u8], bz: bool| {
        if bz {
            let mut w = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
            w.write_all(data).unwrap();
            w.finish().unwrap()
        } else {
            let mut w = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            w.write_all(data).unwrap();
            w.finish().unwrap()
        }
    };
    let start = Instant::now();
    let v = [pack(b"", false).repeat(100_000), pack(b"x", false)].concat();
    assert_eq!(decode(Compression::Gzip, &v).unwrap(), b"x");
    // A bzip2 stream costs 4 MB to open, however small it is: so many are refused.
    let v = pack(b"x", true).repeat(1000);
    assert_eq!(decode(Compression::Bzip2, &v).unwrap(), vec![b'x'; 1000]);
    assert_eq!(code(decode(Compression::Bzip2, &v.repeat(100))), Code::Limit);
    assert_eq!(code(decode(Compression::Bzip2, &pack(b"", true).repeat(100_000))), Code::Limit);
    mip_testkit::not_hanging(start);
}

#[test]
fn bombs_trip_the_limits() {
    let zeros = vec![0; 1 << 20];
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let mut bz = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    for _ in 0..80 {
        gz.write_all(&zeros).unwrap();
        bz.write_all(&zeros).unwrap();
    }
    let (gz, bz) = (gz.finish().unwrap(), bz.finish().unwrap());
    let lz = container(b'x', 64 << 20, &[Chunk::xz(&vec![0; 64 << 20]), Chunk::xz(&zeros)]);
    for (kind, v) in [(Compression::Gzip, gz), (Compression::Bzip2, bz), (Compression::Pbzx, lz)] {
        let mut out = [0; 1 << 16];
        let mut r = decoder(kind, Box::new(&v[..]), &Job::default()).unwrap();
        let mut total = 0;
        let e = loop {
            match r.read(&mut out) {
                Ok(n) => total += n,
                Err(e) => break mip_base::Error::from_io(Code::Internal, "bare", e),
            }
        };
        assert_eq!(e.code(), Code::LimitExpanded, "{kind}");
        assert!((64 << 20..=66 << 20).contains(&total), "{kind}: {total}");
        let small = job(|l| l.expanded_bytes = 5000);
        assert_eq!(code(read_in(kind, &v, 4096, 1000, &small)), Code::LimitExpanded);
    }
    // The budget is one for the whole job, and holds for what is not packed.
    let small = job(|l| l.expanded_bytes = 5000);
    assert!(read_in(Compression::None, &plain(), 100, 100, &small).is_ok());
    assert!(read_in(Compression::Xz, &vector("xz-crc32"), 100, 100, &small).is_ok());
    let e = read_in(Compression::Gzip, &vector("gzip"), 100, 100, &small).unwrap_err();
    assert_eq!(e.limit_and_value().unwrap().0, 5000);
}

#[test]
fn a_cancelled_job_stops() {
    let cancel = CancelToken::new();
    let job = Job::new(Limits::default(), cancel.clone(), std::sync::Arc::new(SilentProgress));
    for (name, kind) in VECTORS {
        let v = vector(name);
        let mut r = decoder(*kind, Box::new(&v[..]), &job).unwrap();
        cancel.cancel();
        let e = mip_base::Error::from_io(Code::Internal, "bare", r.read(&mut [0; 9]).unwrap_err());
        assert_eq!(e.code(), Code::Cancelled, "{name}");
    }
}

#[test]
fn an_error_of_the_input_comes_through_whole() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(mip_base::Error::new(Code::XarChecksum, "wrong checksum").into())
        }
    }
    for (_, kind) in VECTORS {
        let mut r = decoder(*kind, Box::new(Broken), &Job::default()).unwrap();
        assert_eq!(code(common::drain(&mut *r, 100)), Code::XarChecksum);
    }
}

#[test]
fn zlib_exact_takes_one_stream_of_one_size() {
    let job = Job::default();
    let (v, text) = (vector("zlib"), plain());
    let n = text.len() as u64;
    assert_eq!(zlib_exact(&v, n, n, &job).unwrap(), text);
    assert_eq!(zlib_all(&v, n, &job).unwrap(), text);
    for wrong in [0, n - 1, n + 1] {
        assert_eq!(code(zlib_exact(&v, wrong, 1 << 20, &job)), Code::Gzip, "{wrong}");
    }
    assert_eq!(code(zlib_exact(&v, n, n - 1, &job)), Code::LimitMemory);
    assert_eq!(code(zlib_exact(&v, u64::MAX, u64::MAX, &job)), Code::Gzip, "no allocation");
    assert_eq!(code(zlib_all(&v, n - 1, &job)), Code::LimitExpanded);
    for n in 0..v.len() {
        assert_eq!(code(zlib_all(&v[..n], 1 << 20, &job)), Code::Gzip, "cut to {n}");
    }
    assert_eq!(code(zlib_all(&[&v[..], b"x"].concat(), 1 << 20, &job)), Code::Gzip);
    assert_eq!(code(zlib_all(&[&v[..], &v].concat(), 1 << 20, &job)), Code::Gzip);
    // CM 8, window 32 KiB, FDICT set, check bits right.
    assert_eq!(code(zlib_all(&[0x78, 0xbb, 0, 0, 0, 1, 3, 0], 1 << 20, &job)), Code::Gzip);
    let spent = common::job(|l| l.expanded_bytes = 10);
    assert_eq!(code(zlib_exact(&v, n, n, &spent)), Code::LimitExpanded);
}

#[test]
fn deterministic_damage_never_panics_or_hangs() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed as usize
    };
    for (name, kind) in VECTORS {
        let good = vector(name);
        for _ in 0..400 {
            let mut v = good.clone();
            for _ in 0..=next() % 6 {
                let at = next() % v.len();
                v[at] = next() as u8;
            }
            match next() % 4 {
                0 => v.truncate(next() % good.len()),
                1 => v.extend_from_within(next() % good.len()..),
                _ => {}
            }
            let small = job(|l| l.expanded_bytes = 1 << 22);
            if let Err(e) = read_in(*kind, &v, 1 + next() % 300, 1 + next() % 300, &small) {
                assert_ne!(e.code(), Code::Internal, "{name}: {e}");
            }
        }
    }
}
