//! bzip2: one or more streams, back to back.

use bzip2::{Decompress, Status};
use mip_base::{Code, Error, Result};

use crate::pump::{Machine, Step};

/// A sequence of bzip2 streams. Each stream's CRCs are checked by the library.
pub(crate) struct Bzip2 {
    /// The stream that is being read; `None` between streams.
    stream: Option<Decompress>,
    /// At least one stream was complete.
    any: bool,
}

impl Bzip2 {
    pub(crate) fn new() -> Self {
        Self { stream: None, any: false }
    }
}

impl Machine for Bzip2 {
    fn step(&mut self, input: &[u8], out: &mut [u8], last: bool) -> Result<Step> {
        if self.stream.is_none() && input.is_empty() {
            return Ok(Step { done: last && self.any, ..Step::default() });
        }
        let z = self.stream.get_or_insert_with(|| Decompress::new(false));
        let (read, made) = (z.total_in(), z.total_out());
        let status = z.decompress(input, out);
        let used = usize::try_from(z.total_in().saturating_sub(read)).unwrap_or(usize::MAX);
        let made = usize::try_from(z.total_out().saturating_sub(made)).unwrap_or(usize::MAX);
        match status {
            Ok(Status::StreamEnd) => {
                self.stream = None;
                self.any = true;
            }
            Ok(Status::MemNeeded) => {
                return Err(Error::new(Code::LimitMemory, "no memory to decode bzip2"));
            }
            Ok(_) => {}
            Err(bzip2::Error::DataMagic) if self.any => {
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
