//! How fast blocks decode: `cargo test --release -p mip-codec --test speed -- --ignored --nocapture`.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::cast_precision_loss
)]

use std::io::Write as _;
use std::time::Instant;

use mip_base::Job;
use mip_codec::block::{Codec, decode};

/// A codec, its encoder, the size of a block.
type Row = (Codec, fn(&[u8]) -> Vec<u8>, usize);

fn zlib(data: &[u8]) -> Vec<u8> {
    let mut w = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    w.write_all(data).unwrap();
    w.finish().unwrap()
}

fn bzip2(data: &[u8]) -> Vec<u8> {
    let mut w = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    w.write_all(data).unwrap();
    w.finish().unwrap()
}

fn lzfse(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    lzfse_rust::encode_bytes(data, &mut out).unwrap();
    out
}

#[test]
#[ignore = "measures; asserts only that the bytes are right"]
fn blocks() {
    // Machine code and symbols: what installers hold most of.
    let mut text = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    text.truncate(8 << 20);
    let rows: [Row; 8] = [
        (Codec::Zlib, zlib, 64 << 10),
        (Codec::Zlib, zlib, 512 << 10),
        (Codec::Bzip2, bzip2, 512 << 10),
        (Codec::Lzfse, lzfse, 64 << 10),
        (Codec::Lzfse, lzfse, 512 << 10),
        (Codec::Lzfse, lzfse, 1 << 20),
        (Codec::Xz, mip_testkit::chunks::xz, 512 << 10),
        (Codec::Xz, mip_testkit::chunks::xz, 1 << 20),
    ];
    let job = Job::default();
    for (codec, pack, size) in rows {
        let blocks: Vec<_> = text.chunks(size).map(|b| (b, pack(b))).collect();
        let mut out = vec![0; size];
        let mut best = f64::MAX;
        for _ in 0..3 {
            let started = Instant::now();
            for (plain, packed) in &blocks {
                let out = out.get_mut(..plain.len()).unwrap();
                let done = decode(codec, packed, out, &job).unwrap();
                assert!(!done.more && out == *plain);
            }
            best = best.min(started.elapsed().as_secs_f64());
        }
        let packed: usize = blocks.iter().map(|b| b.1.len()).sum();
        eprintln!(
            "{codec:6} blocks of {:5} KiB: {:5.0} MB/s, {:.1} : 1",
            size >> 10,
            text.len() as f64 / best / 1e6,
            text.len() as f64 / packed as f64
        );
    }
}
