//! Helpers of the tests of this crate.
#![allow(
    unreachable_pub,
    clippy::expect_used,
    dead_code,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used
)]

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use mip_base::{CancelToken, Code, Error, Job, Limits, Result, SilentProgress};
use mip_codec::{Compression, decoder};

/// The vectors of `tests/vectors`, all of the same text.
pub const VECTORS: &[(&str, Compression)] = &[
    ("gzip", Compression::Gzip),
    ("gzip-fields", Compression::Gzip),
    ("gzip-members", Compression::Gzip),
    ("zlib", Compression::Zlib),
    ("bzip2", Compression::Bzip2),
    ("bzip2-streams", Compression::Bzip2),
    ("xz-none", Compression::Xz),
    ("xz-crc32", Compression::Xz),
    ("xz-crc64", Compression::Xz),
    ("xz-sha256", Compression::Xz),
    ("xz-blocks", Compression::Xz),
    ("xz-streams", Compression::Xz),
    ("xz-filters", Compression::Xz),
    ("xz-arm64", Compression::Xz),
    ("lzma", Compression::Lzma),
    ("pbzx", Compression::Pbzx),
    ("pbzx-raw", Compression::Pbzx),
    ("pbzx-full", Compression::Pbzx),
];

pub fn vector(name: &str) -> Vec<u8> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    std::fs::read(dir.join(name)).unwrap()
}

pub fn plain() -> Vec<u8> {
    vector("plain")
}

/// Gives out at most `.1` bytes at a time.
pub struct Pieces<'a>(pub &'a [u8], pub usize);

impl Read for Pieces<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.1.min(buf.len());
        self.0.read(&mut buf[..n])
    }
}

/// Decodes all of `v`, `input` bytes at a time, into buffers of `output` bytes.
pub fn read_in(
    kind: Compression,
    v: &[u8],
    input: usize,
    output: usize,
    job: &Job,
) -> Result<Vec<u8>> {
    let mut r = decoder(kind, Box::new(Pieces(v, input)), job)?;
    drain(&mut *r, output)
}

/// Reads to the end. An error must come again when asked again.
pub fn drain(r: &mut dyn Read, output: usize) -> Result<Vec<u8>> {
    let (mut all, mut buf) = (Vec::new(), vec![0; output]);
    loop {
        match r.read(&mut buf) {
            Ok(0) => return Ok(all),
            Ok(n) => all.extend(&buf[..n]),
            Err(e) => {
                let e = Error::from_io(Code::Internal, "a bare error", e);
                let again = r.read(&mut buf).expect_err("reading on after an error gave no error");
                assert_eq!(Error::from_io(Code::Internal, "a bare error", again).code(), e.code());
                return Err(e);
            }
        }
    }
}

pub fn decode(kind: Compression, v: &[u8]) -> Result<Vec<u8>> {
    read_in(kind, v, usize::MAX, 8192, &Job::default())
}

pub fn code<T: std::fmt::Debug>(r: Result<T>) -> Code {
    r.unwrap_err().code()
}

pub fn job(change: impl FnOnce(&mut Limits)) -> Job {
    let mut limits = Limits::default();
    change(&mut limits);
    Job::new(limits, CancelToken::new(), Arc::new(SilentProgress))
}
