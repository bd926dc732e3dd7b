//! Blocks of disk images: vectors of other encoders, room that does not fit, and the cases
//! B10 to B13 of the hostile inputs.
#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::cast_possible_truncation
)]

mod common;

use std::time::Instant;

use common::{code, job, plain, vector};
use mip_base::{CancelToken, Code, Job, Limits, Result, SilentProgress};
use mip_codec::block::{Codec, Decoded, decode};

/// Vector, text that it decodes to, codec.
const BLOCKS: &[(&str, &str, Codec)] = &[
    ("adc", "plain", Codec::Adc),
    ("zlib", "plain", Codec::Zlib),
    ("bzip2", "plain", Codec::Bzip2),
    ("bzip2-streams", "plain", Codec::Bzip2),
    ("lzfse-vn", "plain", Codec::Lzfse),
    ("lzfse-mixed", "mixed", Codec::Lzfse),
    ("lzvn", "plain", Codec::Lzvn),
    ("lzvn-mixed", "mixed", Codec::Lzvn),
    ("xz-crc64", "plain", Codec::Xz),
    ("xz-blocks", "plain", Codec::Xz),
];

/// Decodes into a buffer that held other bytes before; what the call promises of it holds.
fn run(codec: Codec, input: &[u8], room: usize) -> Result<(Decoded, Vec<u8>)> {
    let mut out = vec![0xa5; room];
    let done = decode(codec, input, &mut out, &Job::default());
    let kept = done.as_ref().map_or(0, |d| d.produced);
    assert!(out[kept..].iter().all(|b| *b == 0), "{codec}: earlier bytes are left");
    let done = done?;
    assert!(done.used <= input.len() && (!done.more || done.produced == room));
    Ok((done, out))
}

#[test]
fn every_vector_decodes_into_room_of_any_size() {
    for (name, text, codec) in BLOCKS {
        let (v, text) = (vector(name), vector(text));
        for room in [0, 1, 2, text.len() - 1, text.len(), text.len() + 1, text.len() + 5000] {
            let (done, out) = run(*codec, &v, room).unwrap_or_else(|e| panic!("{name}: {e}"));
            let n = room.min(text.len());
            assert_eq!(done.more, room < text.len(), "{name} {room}");
            assert_eq!(done.produced, n, "{name} {room}");
            assert!(out[..n] == text[..n], "{name} {room}");
            assert!(done.more || done.used == v.len(), "{name} {room}: used {}", done.used);
        }
    }
}

#[test]
fn bytes_behind_the_stream_are_reported_not_read() {
    for name in ["zlib", "lzvn", "lzvn-mixed", "xz-crc64"] {
        let (_, text, codec) = *BLOCKS.iter().find(|b| b.0 == name).unwrap();
        let (mut v, text) = (vector(name), vector(text));
        let len = v.len();
        v.extend([0, 6, 0xff, 0x78]);
        let (done, out) = run(codec, &v, text.len()).unwrap();
        assert_eq!(done, Decoded { used: len, produced: text.len(), more: false }, "{name}");
        assert!(out == text);
    }
}

#[test]
fn a_block_cut_anywhere_is_an_error_or_what_came_before() {
    for (name, text, codec) in BLOCKS {
        let (v, text) = (vector(name), vector(text));
        for n in 0..v.len() {
            match run(*codec, &v[..n], text.len()) {
                Err(e) => assert_ne!(e.code(), Code::Internal, "{name} {n}"),
                Ok((done, out)) => {
                    assert!(out[..done.produced] == text[..done.produced], "{name} {n}");
                    // ADC has no end; LZVN may lack its mark when all bytes are there; an
                    // empty stream of bzip2 follows the first one of that vector.
                    let fine = match codec {
                        Codec::Adc => true,
                        Codec::Lzvn => done.produced == text.len(),
                        Codec::Bzip2 => *name == "bzip2-streams" && v[n..].starts_with(b"BZh"),
                        _ => false,
                    };
                    assert!(fine, "{name} cut at {n} is taken as whole");
                }
            }
        }
    }
}

#[test]
fn damage_never_panics_and_streams_with_a_check_tell() {
    for (name, text, codec) in BLOCKS {
        let (v, text) = (vector(name), vector(text));
        for bit in 0..v.len() * 8 {
            let mut bad = v.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let got = run(*codec, &bad, text.len() + 100);
            let checked = matches!(codec, Codec::Zlib | Codec::Bzip2 | Codec::Xz);
            // Where more follows, the check was not reached. The level of bzip2 and unused
            // header bits change nothing.
            if checked
                && let Ok((done, out)) = got
                && !done.more
            {
                assert!(out[..done.produced] == text, "{name}: bit {bit} goes unseen {done:?}");
            }
        }
    }
}

fn adc(input: &[u8]) -> Code {
    code(run(Codec::Adc, input, 100))
}

#[test]
fn b10_adc() {
    // Copies from before the start, in both forms, at the start and behind one byte.
    assert_eq!(adc(&[0x00, 0x00]), Code::Adc);
    assert_eq!(adc(&[0x40, 0x00, 0x00]), Code::Adc);
    assert_eq!(adc(&[0x80, b'a', 0x00, 0x01]), Code::Adc);
    assert_eq!(adc(&[0x80, b'a', 0x7f, 0xff, 0xff]), Code::Adc);
    // Every form cut.
    for cut in [&[0x81, b'a'][..], &[0x80], &[0x80, b'a', 0x00], &[0x80, b'a', 0x40, 0x00]] {
        assert_eq!(adc(cut), Code::Adc, "{cut:02x?}");
    }
    // The shortest lengths are 1, 3 and 4: no operation is of length 0.
    let (done, out) = run(Codec::Adc, &[0x80, b'a', 0x00, 0x00, 0x40, 0x00, 0x03], 100).unwrap();
    assert_eq!((done.produced, &out[..8]), (8, &b"aaaaaaaa"[..]));
    // A run past the end of the room is cut there and told.
    let (done, out) = run(Codec::Adc, &[0x80, b'a', 0x7f, 0x00, 0x00], 10).unwrap();
    assert!(done.more && out == b"aaaaaaaaaa");
    assert_eq!(run(Codec::Adc, &[], 0).unwrap().0.produced, 0);
}

#[test]
fn b11_bzip2() {
    let v = vector("bzip2");
    // Concatenated streams count together, and the room holds for their sum.
    let two = [v.clone(), v.clone()].concat();
    let text = plain();
    assert!(run(Codec::Bzip2, &two, text.len()).unwrap().0.more);
    let (done, out) = run(Codec::Bzip2, &two, text.len() * 2).unwrap();
    assert_eq!((done.more, done.used), (false, two.len()));
    assert!(out == [text.clone(), text].concat());
    // Other bytes behind the stream.
    assert_eq!(code(run(Codec::Bzip2, &[&v[..], b"BZx"].concat(), 9000)), Code::Bzip2);
    // origPtr past the block: the 24 bits behind the block's magic, CRC and flag.
    let mut bad = v.clone();
    bad[14] |= 0x7f;
    bad[15] = 0xff;
    assert_eq!(code(run(Codec::Bzip2, &bad, 9000)), Code::Bzip2);
    // 45 MB of one byte in 45 bytes of a real encoder, many times: room bounds the work.
    let bomb = {
        use std::io::Write as _;
        let mut w = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
        for _ in 0..45 {
            w.write_all(&vec![b'a'; 1_000_000]).unwrap();
        }
        w.finish().unwrap()
    };
    let started = Instant::now();
    assert!(run(Codec::Bzip2, &bomb, 1 << 20).unwrap().0.more);
    // Streams that hold nothing cost an allocation each.
    let flood = b"BZh9\x17rE8P\x90\0\0\0\0".repeat(100_000);
    assert_eq!(code(run(Codec::Bzip2, &flood, 100)), Code::Limit);
    mip_testkit::not_hanging(started);
}

/// An LZFSE stream of the blocks.
fn bvx(blocks: &[&[u8]]) -> Vec<u8> {
    blocks.concat()
}

#[test]
fn b12_lzfse() {
    let lzfse = |v: &[u8]| run(Codec::Lzfse, v, 8192);
    // "test" stored, from the format: bvx-, length, bytes, bvx$.
    let stored: &[u8] = b"bvx-\x04\0\0\0test";
    let (done, out) = lzfse(&bvx(&[stored, b"bvx$"])).unwrap();
    assert_eq!((done.produced, &out[..4]), (4, &b"test"[..]));
    // No end block, another magic, a magic in the middle, a length past the end.
    for bad in [
        stored.to_vec(),
        bvx(&[stored, b"bvx"]),
        bvx(&[stored, b"bvxq"]),
        b"bvzz".to_vec(),
        vec![],
        bvx(&[b"bvx-\xff\xff\xff\xfftest", b"bvx$"]),
        bvx(&[b"bvxn\xff\xff\xff\xff\xff\xff\xff\xff", b"bvx$"]),
        bvx(&[b"bvx2", &[0xff; 28], b"bvx$"]),
        bvx(&[b"bvx1", &[0xff; 800], b"bvx$"]),
    ] {
        assert_eq!(code(lzfse(&bad)), Code::Lzfse, "{bad:02x?}");
    }
    // Each header field of a bvx2 block at its extremes.
    let v = vector("lzfse-mixed");
    for at in 4..32 {
        for b in [0, 0x7f, 0x80, 0xff] {
            let mut bad = v.clone();
            bad[at] = b;
            if let Err(e) = lzfse(&bad) {
                assert_eq!(e.code(), Code::Lzfse, "{at} {b}");
            }
        }
    }
    // A match that reaches before the start must not find what an earlier stream left: first a
    // stream of secrets, then one that copies from 40 back at its own start. (LZVN: one
    // literal, then a match of 3; lengths in the block header.)
    let secret = bvx(&[b"bvx-\x40\0\0\0", &[b'S'; 64], b"bvx$"]);
    lzfse(&secret).unwrap();
    for distance in [0_u8, 2, 40] {
        let ops = [0x40, distance, b'a', 0x06, 0, 0, 0, 0, 0, 0, 0];
        let block = bvx(&[b"bvxn\x04\0\0\0", &[ops.len() as u8, 0, 0, 0], &ops, b"bvx$"]);
        assert_eq!(code(lzfse(&block)), Code::Lzfse, "D = {distance}");
        let raw = run(Codec::Lzvn, &ops, 8192);
        assert_eq!(code(raw), Code::Lzfse, "LZVN D = {distance}");
    }
}

#[test]
fn lzvn_operations() {
    let lzvn = |v: &[u8]| run(Codec::Lzvn, v, 64).map(|(d, out)| out[..d.produced].to_vec());
    const END: &[u8] = &[6, 0, 0, 0, 0, 0, 0, 0];
    let ok = |ops: &[u8], want: &[u8]| {
        assert_eq!(lzvn(&[ops, END].concat()).unwrap(), want, "{ops:02x?}");
    };
    // By the table: literals short and long, matches near, far, medium, repeated, gaps.
    ok(b"\xe3abc", b"abc");
    ok(b"\xe0\x00abcdefghijklmnop", b"abcdefghijklmnop");
    ok(b"\x40\x01a", b"aaaa");
    ok(b"\x48\x01a", b"aaaaa");
    ok(b"\x47\x01\x00a", b"aaaa");
    // 1010 1000: one literal; M = 3 + 1, D = 1: the word is 1 | 1 << 2.
    ok(b"\xa8\x05\x00a", b"aaaaa");
    ok(b"\x80\x02ab\x46c", b"ababacaca");
    ok(b"\x80\x02ab\xf2", b"abababa");
    ok(b"\x40\x01a\xf0\x00", &[b'a'; 20]);
    ok(b"\x0e\x16\xe1a\x0e", b"a");
    // Undefined ones, and a match without a distance before it.
    for op in [0x1e, 0x26, 0x2e, 0x36, 0x3e, 0x70, 0x7f, 0xd0, 0xdf] {
        assert_eq!(code(lzvn(&[op, 0, 0, 0])), Code::Lzfse, "{op:02x}");
    }
    assert_eq!(code(lzvn(b"\xe1a\xf5")), Code::Lzfse);
    assert_eq!(code(lzvn(b"\xe1a\x46b")), Code::Lzfse);
}

#[test]
fn b13_xz_dictionary() {
    // The block header of a real stream with its dictionary set to 4 GiB - 1 (code 40), and
    // the header's CRC-32 made right again.
    let mut v = vector("xz-crc64");
    let at = 12;
    let len = (usize::from(v[at]) + 1) * 4;
    let filter = v[at..at + len].windows(2).position(|w| w == [0x21, 0x01]).unwrap();
    v[at + filter + 2] = 40;
    let mut crc = flate2::Crc::new();
    crc.update(&v[at..at + len - 4]);
    v[at + len - 4..at + len].copy_from_slice(&crc.sum().to_le_bytes());
    let e = run(Codec::Xz, &v, 8192).unwrap_err();
    assert_eq!(e.code(), Code::LimitMemory);
    assert!(e.limit_and_value().is_some_and(|(l, v)| l == 72 << 20 && v >= u64::from(u32::MAX)));
    // A limit below what this stream honestly needs holds too.
    let tight = job(|l| l.lzma_memory = 1 << 10);
    let mut out = [0; 10];
    let e = decode(Codec::Xz, &vector("xz-crc64"), &mut out, &tight).unwrap_err();
    assert_eq!(e.code(), Code::LimitMemory);
}

#[test]
fn a_cancelled_job_decodes_nothing() {
    let token = CancelToken::new();
    let job = Job::new(Limits::default(), token.clone(), std::sync::Arc::new(SilentProgress));
    token.cancel();
    for (name, _, codec) in BLOCKS {
        let mut out = [7; 10];
        assert_eq!(code(decode(*codec, &vector(name), &mut out, &job)), Code::Cancelled);
        assert_eq!(out, [0; 10]);
    }
}
