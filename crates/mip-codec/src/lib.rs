//! Bounded decoders for what macOS installers and disk images are packed with: gzip, zlib,
//! bzip2, xz, LZMA, pbzx and Apple Archive as streams, [`block`]s of disk images in memory, and
//! the compressed files of macOS volumes ([`decmpfs`]).
//!
//! Every stream decoder is a plain [`Read`] over any other, takes input in pieces of
//! any size, and trusts nothing that it reads:
//!
//! * a cut stream, a wrong check or bytes behind the end are errors, never a short success,
//!   and reading on after an error gives the error again;
//! * what comes out is charged to the [`Job`] (total and ratio), which can
//!   also be cancelled;
//! * the dictionary of xz and LZMA is held against
//!   [`Limits::lzma_memory`](mip_base::Limits::lzma_memory) before it is allocated. Other
//!   decoders need a few MiB; a `pbze` archive needs two of its blocks (at most 64 MiB).
//!
//! ```
//! use std::io::Read;
//! use mip_base::Job;
//! use mip_codec::{Compression, decoder, sniff};
//!
//! // "hello\n", as `gzip -n` writes it.
//! let packed = [
//!     0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xcb, 0x48, 0xcd, 0xc9, 0xc9, 0xe7, 2, 0, 0x20, 0x30,
//!     0x3a, 0x36, 6, 0, 0, 0,
//! ];
//! let kind = sniff(&packed).unwrap();
//! assert_eq!(kind, Compression::Gzip);
//! let mut text = String::new();
//! decoder(kind, Box::new(&packed[..]), &Job::default())?.read_to_string(&mut text)?;
//! assert_eq!(text, "hello\n");
//!
//! // Without its last byte it is not a shorter text but an error.
//! let cut = &packed[..packed.len() - 1];
//! let e = decoder(kind, Box::new(cut), &Job::default())?.read_to_string(&mut text).unwrap_err();
//! let e = mip_base::Error::from_io(mip_base::Code::InputIo, "reading", e);
//! assert_eq!(e.code().text(), "E_GZIP");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation))]

pub mod aa;
mod aa_header;
mod adc;
pub mod block;
mod bzip2;
mod chunks;
pub mod decmpfs;
mod gzip;
mod lzma;
mod lzvn;
mod pump;
mod window;
mod xz;
mod xz_block;

use std::fmt;
use std::io::{self, Read};

use mip_base::{Code, Error, Job, Result};

pub use gzip::{zlib_all, zlib_exact};

use pump::Pump;

/// How a stream of bytes is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip (RFC 1952), any number of members.
    Gzip,
    /// zlib (RFC 1950), one stream.
    Zlib,
    /// bzip2, any number of streams.
    Bzip2,
    /// `.xz`, any number of streams.
    Xz,
    /// `.lzma` (LZMA alone), one stream.
    Lzma,
    /// The chunked format of newer package payloads, with xz inside.
    Pbzx,
}

impl Compression {
    /// The name as users know it, in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zlib => "zlib",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
            Self::Lzma => "lzma",
            Self::Pbzx => "pbzx",
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the first bytes of a stream say about its packing; 16 bytes are enough.
///
/// `None` means: not packed, as far as the first bytes tell. zlib and LZMA have no real
/// magic; they are named only for the headers that encoders write. A `pbzx` stream can be
/// the payload of a package or an Apple Archive: decode it, then ask [`aa::sniff`].
#[must_use]
pub fn sniff(head: &[u8]) -> Option<Compression> {
    if head.starts_with(b"\x1f\x8b\x08") {
        return Some(Compression::Gzip);
    }
    if head.starts_with(xz::MAGIC) {
        return Some(Compression::Xz);
    }
    if head.starts_with(b"pbzx") {
        return Some(Compression::Pbzx);
    }
    // Level digit, then the magic of a block or of the end of an empty stream.
    if let [b'B', b'Z', b'h', b'1'..=b'9', rest @ ..] = head
        && (rest.starts_with(b"1AY&SY") || rest.starts_with(b"\x17rE8P\x90"))
    {
        return Some(Compression::Bzip2);
    }
    // 32 KiB window, no dictionary, check bits right: 7801, 785e, 789c, 78da.
    if let [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..] = head {
        return Some(Compression::Zlib);
    }
    lzma::looks_like_lzma(head).then_some(Compression::Lzma)
}

/// A reader of the decoded bytes of `input`.
///
/// The reader checks that `input` is one whole stream of `kind` and nothing else. gzip,
/// bzip2 and xz may be several streams back to back; zeros may follow the last gzip member
/// (as tape blocks leave them), and xz may be padded in fours as its format says.
///
/// # Errors
/// Opening fails for a kind that is not known to this function. Reading fails, with an
/// [`Error`] inside the `io::Error`, with [`Code::Gzip`], [`Code::Bzip2`], [`Code::Xz`] or
/// [`Code::Pbzx`] when the stream is damaged, cut or followed by other data;
/// [`Code::Unsupported`] for an xz check or filter that is not known;
/// [`Code::LimitMemory`] when the decoder would need more than
/// [`Limits::lzma_memory`](mip_base::Limits::lzma_memory); [`Code::LimitExpanded`] when the
/// budget or the ratio of the job ends; [`Code::Cancelled`]; [`Code::InputIo`], or what
/// `input` itself reports.
pub fn decoder<'a>(
    kind: Compression,
    input: Box<dyn Read + Send + 'a>,
    job: &Job,
) -> Result<Box<dyn Read + Send + 'a>> {
    Ok(match kind {
        Compression::None => Box::new(Plain { input, job: job.clone() }),
        Compression::Gzip => Box::new(Pump::new(input, gzip::Gzip::new(), job)),
        Compression::Zlib => Box::new(Pump::new(input, gzip::Zlib::new(), job)),
        Compression::Bzip2 => Box::new(Pump::new(input, bzip2::Bzip2::new(), job)),
        Compression::Xz => Box::new(Pump::new(input, xz::Xz::file(job.limits()), job)),
        Compression::Lzma => Box::new(Pump::new(input, lzma::Lzma::new(job.limits()), job)),
        Compression::Pbzx => Box::new(Pump::new(input, chunks::Chunks::pbzx(job), job)),
    })
}

/// Bytes that are not packed: counted like all others, so that a budget holds for them too.
struct Plain<'a> {
    input: Box<dyn Read + Send + 'a>,
    job: Job,
}

impl Read for Plain<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = match self.input.read(buf) {
            Ok(n) => n.min(buf.len()),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return Err(e),
            Err(e) => return Err(Error::from_io(Code::InputIo, "reading", e).into()),
        };
        self.job.expanded(mip_base::len64(n))?;
        Ok(n)
    }
}
