//! Whole blocks in memory: the chunks of disk images and the blocks of compressed files.
//!
//! ```
//! use mip_base::Job;
//! use mip_codec::block::{Codec, decode};
//!
//! // "ab" as plain bytes, then four bytes from two back.
//! let mut out = [0; 6];
//! let done = decode(Codec::Adc, &[0x81, b'a', b'b', 0x04, 0x01], &mut out, &Job::default())?;
//! assert_eq!((done.produced, &out), (6, b"ababab"));
//! # Ok::<(), mip_base::Error>(())
//! ```

use std::fmt;
use std::io::Read;

use flate2::{Decompress, FlushDecompress, Status};
use lzfse_rust::LzfseRingDecoder;
use mip_base::{Code, Error, Job, Result, len64};

use crate::bzip2::Bzip2;
use crate::pump::{Machine, tail};
use crate::xz::Xz;
use crate::{adc, lzvn};

/// Most bytes decoded between two looks at the job.
const PIECE: usize = 1 << 20;

/// How a block is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Codec {
    /// Apple Data Compression.
    Adc,
    /// One zlib stream (RFC 1950).
    Zlib,
    /// bzip2, any number of streams.
    Bzip2,
    /// One LZFSE stream of `bvx` blocks, `bvxn` (LZVN) among them, up to its `bvx$`.
    Lzfse,
    /// LZVN without a block around it.
    Lzvn,
    /// One `.xz` stream: what disk images call LZMA.
    Xz,
}

impl Codec {
    /// The name as users know it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Adc => "ADC",
            Self::Zlib => "zlib",
            Self::Bzip2 => "bzip2",
            Self::Lzfse => "LZFSE",
            Self::Lzvn => "LZVN",
            Self::Xz => "xz",
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What [`decode`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoded {
    /// Input bytes up to the end of the stream; what lies behind was not looked at. When
    /// `more` is set, bytes up to where decoding stopped.
    pub used: usize,
    /// Bytes written to the start of the output.
    pub produced: usize,
    /// The stream holds more bytes than the output has room for.
    pub more: bool,
}

/// Decodes the stream at the start of `input` to the start of `out`.
///
/// Bytes of `out` behind what was produced are zero afterwards, and all of them after an
/// error, so that nothing of a buffer's earlier use is left. ADC has no end mark: all of
/// `input` is its stream. bzip2 must be nothing but streams, and LZFSE nothing but one stream,
/// to the end of `input`. The caller charges what came out to the budget of the job.
///
/// # Errors
/// [`Code::Adc`], [`Code::Gzip`] (zlib), [`Code::Bzip2`], [`Code::Lzfse`] (and LZVN) or
/// [`Code::Xz`] when the stream is damaged or cut; [`Code::Unsupported`] for an xz check or
/// filter that is not known; [`Code::LimitMemory`] when xz would need more than
/// [`Limits::lzma_memory`](mip_base::Limits::lzma_memory); [`Code::Limit`] for a flood of tiny
/// bzip2 streams; [`Code::Cancelled`].
pub fn decode(codec: Codec, input: &[u8], out: &mut [u8], job: &Job) -> Result<Decoded> {
    let done = job.check().and_then(|()| match codec {
        Codec::Adc => adc::decode(input, out),
        Codec::Zlib => zlib(input, out),
        Codec::Bzip2 => machine(&mut Bzip2::new(), input, out, job),
        Codec::Lzfse => lzfse(input, out, job),
        Codec::Lzvn => lzvn::decode(input, out),
        Codec::Xz => machine(&mut Xz::stream(job.limits()), input, out, job),
    });
    let kept = done.as_ref().map_or(0, |d| d.produced);
    if let Some(rest) = out.get_mut(kept..) {
        rest.fill(0);
    }
    done
}

fn zlib(input: &[u8], out: &mut [u8]) -> Result<Decoded> {
    let mut z = Decompress::new(true);
    let mut spill = [0; 1];
    let (mut used, mut produced) = (0_usize, 0_usize);
    loop {
        let room = out.get_mut(produced..).unwrap_or_default();
        let full = room.is_empty();
        let to = if full { &mut spill[..] } else { room };
        let (read, made) = (z.total_in(), z.total_out());
        let status = z.decompress(tail(input, used), to, FlushDecompress::Finish);
        let here = usize::try_from(z.total_in().saturating_sub(read)).unwrap_or(usize::MAX);
        let made = usize::try_from(z.total_out().saturating_sub(made)).unwrap_or(usize::MAX);
        used = used.saturating_add(here);
        let bad = |what: &str| Error::new(Code::Gzip, what).at(len64(used));
        let status = status.map_err(|e| match e.needs_dictionary() {
            Some(_) => bad("the zlib stream needs a preset dictionary"),
            None => bad("the deflate data is damaged").caused_by(e),
        })?;
        if full && made > 0 {
            return Ok(Decoded { used, produced, more: true });
        }
        produced = produced.saturating_add(made);
        if status == Status::StreamEnd {
            return Ok(Decoded { used, produced, more: false });
        }
        if here == 0 && made == 0 {
            return Err(bad("the zlib stream ends inside its data"));
        }
    }
}

/// A block through one of the streaming decoders.
fn machine<M: Machine>(m: &mut M, input: &[u8], out: &mut [u8], job: &Job) -> Result<Decoded> {
    let mut spill = [0; 1];
    let (mut used, mut produced) = (0_usize, 0_usize);
    loop {
        job.check()?;
        let room = out.get_mut(produced..).unwrap_or_default();
        let full = room.is_empty();
        let most = room.len().min(PIECE);
        let to = if full { &mut spill[..] } else { room.get_mut(..most).unwrap_or_default() };
        let step = m.step(tail(input, used), to, true).map_err(|e| e.at(len64(used)))?;
        used = used.saturating_add(step.used);
        if full && step.made > 0 {
            return Ok(Decoded { used, produced, more: true });
        }
        produced = produced.saturating_add(step.made);
        if step.done {
            return Ok(Decoded { used, produced, more: false });
        }
        if step.used == 0 && step.made == 0 {
            let what = format!("the {} stream ends inside its data", m.name());
            return Err(Error::new(m.code(), what).at(len64(used)));
        }
    }
}

fn lzfse(input: &[u8], out: &mut [u8], job: &Job) -> Result<Decoded> {
    // A new decoder each time: its tables and window then hold nothing of another stream.
    let mut ring = Box::<LzfseRingDecoder>::default();
    let mut reader = ring.reader_bytes(input);
    let mut produced = 0_usize;
    loop {
        job.check()?;
        let mut spill = [0; 1];
        let room = out.get_mut(produced..).unwrap_or_default();
        let full = room.is_empty();
        let most = room.len().min(PIECE);
        let to = if full { &mut spill[..] } else { room.get_mut(..most).unwrap_or_default() };
        let n = reader.read(to).map_err(|e| {
            Error::new(Code::Lzfse, format!("the LZFSE data is damaged: {e}")).caused_by(e)
        })?;
        if full && n > 0 {
            return Ok(Decoded { used: input.len(), produced, more: true });
        }
        if n == 0 {
            return Ok(Decoded { used: input.len(), produced, more: false });
        }
        produced = produced.saturating_add(n);
    }
}
