//! bzip2: one or more streams, back to back.

use bzip2::{Decompress, Status};
use mip_base::{Code, Error, Result};

use crate::pump::{Machine, Step};

/// Streams that may be tiny. Each stream costs the library an allocation of up to 4 MB, so
/// a file of nothing but tiny ones would take far longer than its size says.
const TINY_STREAMS: u64 = 1000;
/// From [`TINY_STREAMS`] on, the streams must have this many bytes on average.
const MEAN_STREAM: u64 = 1024;

/// A sequence of bzip2 streams. Each stream's CRCs are checked by the library.
pub(crate) struct Bzip2 {
    /// The stream that is being read; `None` between streams.
    stream: Option<Decompress>,
    /// Streams that were complete, and their bytes.
    streams: u64,
    read: u64,
}

impl Bzip2 {
    pub(crate) fn new() -> Self {
        Self { stream: None, streams: 0, read: 0 }
    }
}

impl Machine for Bzip2 {
    fn step(&mut self, input: &[u8], out: &mut [u8], last: bool) -> Result<Step> {
        if self.stream.is_none() && input.is_empty() {
            return Ok(Step { done: last && self.streams > 0, ..Step::default() });
        }
        let z = self.stream.get_or_insert_with(|| Decompress::new(false));
        let (read, made) = (z.total_in(), z.total_out());
        let status = z.decompress(input, out);
        let used = usize::try_from(z.total_in().saturating_sub(read)).unwrap_or(usize::MAX);
        let made = usize::try_from(z.total_out().saturating_sub(made)).unwrap_or(usize::MAX);
        match status {
            Ok(Status::StreamEnd) => {
                self.read = self.read.saturating_add(z.total_in());
                self.stream = None;
                self.streams = self.streams.saturating_add(1);
                if self.streams > TINY_STREAMS
                    && self.read < self.streams.saturating_mul(MEAN_STREAM)
                {
                    let what = "bzip2 streams of less than 1 KiB";
                    return Err(Error::limit(Code::Limit, what, TINY_STREAMS, self.streams));
                }
            }
            Ok(Status::MemNeeded) => {
                return Err(Error::new(Code::LimitMemory, "no memory to decode bzip2"));
            }
            Ok(_) => {}
            Err(bzip2::Error::DataMagic) if self.streams > 0 => {
                return Err(Error::new(Code::Bzip2, "the bzip2 stream is followed by other data"));
            }
            Err(e) => {
                return Err(Error::new(Code::Bzip2, "the bzip2 data is damaged").caused_by(e));
            }
        }
        Ok(Step { used, made, done: false })
    }
    fn code(&self) -> Code {
        Code::Bzip2
    }
    fn name(&self) -> &'static str {
        "bzip2"
    }
}
