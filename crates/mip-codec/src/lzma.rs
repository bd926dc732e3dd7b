//! The `.lzma` format ("LZMA alone"): properties, dictionary size, decoded size, LZMA data.

use lzma_rust2::{Action, LzmaStream, Status};
use mip_base::bytes::{le_u32, le_u64};
use mip_base::{Code, Error, Limits, Result, len64};

use crate::pump::{Gather, Machine, Step, tail};

/// Bytes of the header.
const HEADER: usize = 13;

/// One `.lzma` stream.
pub(crate) struct Lzma {
    header: Gather,
    stream: Option<LzmaStream>,
    limit: u64,
}

impl Lzma {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { header: Gather::new(HEADER), stream: None, limit: limits.lzma_memory }
    }
}

/// Turns a failure of the LZMA library into ours.
pub(crate) fn failure(e: std::io::Error) -> Error {
    if e.kind() == std::io::ErrorKind::OutOfMemory {
        return Error::new(Code::LimitMemory, "no memory to decode LZMA").caused_by(e);
    }
    Error::new(Code::Xz, format!("the LZMA data is damaged: {e}")).caused_by(e)
}

/// Whether `h` can be the 13-byte header of a `.lzma` file. There is no magic: this asks for
/// the properties that every encoder writes and a size that a file can have.
pub(crate) fn looks_like_lzma(h: &[u8]) -> bool {
    let (Some(dict), Some(size)) = (le_u32(h, 1), le_u64(h, 5)) else { return false };
    // 2^n or 2^n + 2^(n-1), at least 4 KiB.
    let usual = dict >= 4096
        && (dict.is_power_of_two()
            || dict.trailing_zeros().saturating_add(2)
                == 32_u32.saturating_sub(dict.leading_zeros())
                && dict.count_ones() == 2);
    h.first() == Some(&0x5d) && usual && (size == u64::MAX || size < 1 << 38)
}

/// KiB that a decoder with `dictionary` bytes and these properties needs.
fn need(dictionary: u64, props: u8) -> u64 {
    let rest = props % 45;
    let (lp, lc) = (rest / 9, rest % 9);
    let literals = 0x600_u64 << u32::from(lc.saturating_add(lp));
    dictionary.max(4096).saturating_add(literals.saturating_mul(2)).saturating_add(128 << 10)
}

impl Machine for Lzma {
    fn step(&mut self, input: &[u8], out: &mut [u8], last: bool) -> Result<Step> {
        let mut used = 0;
        let stream = match &mut self.stream {
            Some(s) => s,
            None => {
                used = self.header.take(input);
                let Some(h) = self.header.full() else {
                    return Ok(Step { used, ..Step::default() });
                };
                let props = h.first().copied().unwrap_or(0xff);
                if props > 224 {
                    return Err(Error::new(
                        Code::Xz,
                        format!("LZMA properties {props:#04x} are not valid"),
                    ));
                }
                let dictionary = u64::from(le_u32(h, 1).unwrap_or(u32::MAX));
                let need = need(dictionary, props);
                if need > self.limit {
                    return Err(Error::limit(
                        Code::LimitMemory,
                        "memory to decode LZMA",
                        self.limit,
                        need,
                    ));
                }
                let mut s = LzmaStream::new_mem_limit(u32::MAX, None);
                s.process(h, &mut [], Action::Run).map_err(failure)?;
                self.stream.insert(s)
            }
        };
        let action = if last { Action::Finish } else { Action::Run };
        let r = stream.process(tail(input, used), out, action).map_err(failure)?;
        let done = r.status == Status::StreamEnd;
        if done && !stream.unused_input().is_empty() {
            return Err(Error::new(Code::Xz, "the LZMA stream is followed by other data")
                .at(stream.total_in().saturating_sub(len64(stream.unused_input().len()))));
        }
        Ok(Step { used: used.saturating_add(r.bytes_consumed), made: r.bytes_produced, done })
    }
    fn code(&self) -> Code {
        Code::Xz
    }
    fn name(&self) -> &'static str {
        "LZMA"
    }
}
