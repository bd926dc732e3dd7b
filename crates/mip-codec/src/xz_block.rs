//! One block of an `.xz` stream: its header, its filters, its check.

use flate2::Crc;
use lzma_rust2::filter::StreamFilter;
use lzma_rust2::{Action, FilterConfig, FilterType, Lzma2Stream, Status};
use mip_base::bytes::le_u32;
use mip_base::{Code, Error, Result, len64};
use sha2::{Digest, Sha256};

use crate::lzma::failure;
use crate::pump::{Step, head, tail};
use crate::xz::{Vli, crc32, damaged};

/// What a filtered block decodes before it hands out.
const WORK: usize = 16 << 10;

/// Filter id of LZMA2, the last filter of every block.
const LZMA2: u64 = 0x21;
/// Filter id of Delta; its property is the distance minus one.
const DELTA: u64 = 3;

/// CRC-64 of ECMA-182, reflected.
#[derive(Clone)]
pub(crate) struct Crc64(u64);

const CRC64: [u64; 256] = crc64_table();

// Evaluated by the compiler: an index out of range would not compile.
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
const fn crc64_table() -> [u64; 256] {
    let mut table = [0; 256];
    let mut i = 0;
    let mut first = 0_u64;
    while i < 256 {
        let mut c = first;
        let mut bit = 0;
        while bit < 8 {
            c = if c & 1 == 1 { (c >> 1) ^ 0xc96c_5795_d787_0f42 } else { c >> 1 };
            bit += 1;
        }
        table[i] = c;
        i += 1;
        first += 1;
    }
    table
}

impl Crc64 {
    fn new() -> Self {
        Self(!0)
    }
    fn update(&mut self, b: &[u8]) {
        for b in b {
            let [low, ..] = self.0.to_le_bytes();
            let t = CRC64.get(usize::from(low ^ b)).copied().unwrap_or_default();
            self.0 = t ^ (self.0 >> 8);
        }
    }
    fn sum(&self) -> u64 {
        !self.0
    }
}

/// The integrity check of the blocks of a stream.
pub(crate) enum Check {
    None,
    Crc32(Crc),
    Crc64(Crc64),
    Sha256(Sha256),
}

impl Check {
    /// The check that the stream flags name.
    pub(crate) fn new(flags: [u8; 2]) -> Result<Self> {
        Ok(match flags {
            [0, 0] => Self::None,
            [0, 1] => Self::Crc32(Crc::new()),
            [0, 4] => Self::Crc64(Crc64::new()),
            [0, 10] => Self::Sha256(Sha256::new()),
            [a, b] => {
                let what = format!("xz stream flags {a:02x}{b:02x} (check type) are not supported");
                return Err(Error::new(Code::Unsupported, what));
            }
        })
    }

    fn size(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Crc32(_) => 4,
            Self::Crc64(_) => 8,
            Self::Sha256(_) => 32,
        }
    }

    fn update(&mut self, b: &[u8]) {
        match self {
            Self::None => {}
            Self::Crc32(c) => c.update(b),
            Self::Crc64(c) => c.update(b),
            Self::Sha256(c) => c.update(b),
        }
    }

    fn holds(self, stored: &[u8]) -> bool {
        match self {
            Self::None => stored.is_empty(),
            Self::Crc32(c) => stored == c.sum().to_le_bytes(),
            Self::Crc64(c) => stored == c.sum().to_le_bytes(),
            Self::Sha256(c) => stored == c.finalize().as_slice(),
        }
    }
}

/// A filter before LZMA2 (BCJ or Delta), with the bytes that it cannot settle yet.
struct Stage {
    filter: StreamFilter,
    held: Vec<u8>,
}

impl Stage {
    /// Decodes `data`; returns what is settled. `last` says that nothing follows.
    fn push(&mut self, data: &[u8], last: bool) -> Vec<u8> {
        self.held.extend_from_slice(data);
        let mut n = self.filter.decode(&mut self.held).min(self.held.len());
        if last {
            self.filter.finish();
            n = self.held.len();
        }
        let rest = self.held.split_off(n);
        std::mem::replace(&mut self.held, rest)
    }
}

/// A block that is being decoded.
pub(crate) struct Block {
    lzma: Lzma2Stream,
    /// In the order in which data passes them when decoding.
    stages: Vec<Stage>,
    work: Vec<u8>,
    ready: Vec<u8>,
    given: usize,
    ended: bool,
    check: Check,
    header_size: u64,
    stored: Option<u64>,
    plain: Option<u64>,
    used: u64,
    made: u64,
}

/// Reads numbers and bytes out of a block header.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn byte(&mut self) -> Result<u8> {
        let (b, rest) = self.0.split_first().ok_or_else(|| damaged("an xz block header is cut"))?;
        self.0 = rest;
        Ok(*b)
    }
    fn number(&mut self) -> Result<u64> {
        let mut v = Vli::default();
        loop {
            if let Some(n) = v.push(self.byte()?)? {
                return Ok(n);
            }
        }
    }
    fn bytes(&mut self, n: u64) -> Result<Vec<u8>> {
        let b = head(self.0, n);
        if len64(b.len()) != n {
            return Err(damaged("an xz block header is cut"));
        }
        self.0 = tail(self.0, b.len());
        Ok(b.to_vec())
    }
}

/// Dictionary size in bytes from the one property byte of LZMA2.
fn dictionary(p: u8) -> Result<u64> {
    match p {
        0..=39 => Ok((2 | u64::from(p & 1)) << (u32::from(p >> 1).saturating_add(11))),
        40 => Ok(u64::from(u32::MAX)),
        _ => Err(damaged(format!("xz dictionary size code {p} is not valid"))),
    }
}

fn stage(id: u64, props: &[u8]) -> Result<Stage> {
    let bad = || damaged(format!("xz filter {id:#x} has properties that are not valid"));
    let filter_type = FilterType::try_from(id).map_err(|()| {
        Error::new(Code::Unsupported, format!("xz filter {id:#x} is not supported"))
    })?;
    let property = match (id, props) {
        (DELTA, [d]) => u32::from(*d).saturating_add(1),
        (DELTA, _) => return Err(bad()),
        (_, []) => 0,
        (_, p) if p.len() == 4 => {
            let start = le_u32(p, 0).unwrap_or(1);
            let step = match filter_type {
                FilterType::BcjX86 => 1,
                FilterType::BcjArmThumb | FilterType::BcjRiscv => 2,
                FilterType::BcjIa64 => 16,
                _ => 4,
            };
            if !start.is_multiple_of(step) {
                return Err(bad());
            }
            start
        }
        _ => return Err(bad()),
    };
    let filter = StreamFilter::new(&FilterConfig { filter_type, property }).map_err(failure)?;
    Ok(Stage { filter, held: Vec::new() })
}

impl Block {
    /// Reads the header `h` (with its size byte and CRC). The dictionary is held against
    /// `limit` bytes before anything is allocated.
    pub(crate) fn open(h: &[u8], check: Check, limit: u64) -> Result<Self> {
        let end = h.len().saturating_sub(4);
        let body = h.get(..end).unwrap_or_default();
        if le_u32(h, end) != Some(crc32(body)) {
            return Err(damaged("the CRC-32 of an xz block header is wrong"));
        }
        let mut f = Fields(tail(body, 1));
        let flags = f.byte()?;
        if flags & 0x3c != 0 {
            return Err(Error::new(Code::Unsupported, "xz block flags set reserved bits"));
        }
        let stored = if flags & 0x40 != 0 { Some(f.number()?) } else { None };
        let plain = if flags & 0x80 != 0 { Some(f.number()?) } else { None };
        let mut stages = Vec::new();
        let mut dict = None;
        for i in 0..=(flags & 3) {
            let id = f.number()?;
            let n = f.number()?;
            let props = f.bytes(n)?;
            match (id, i == flags & 3) {
                (LZMA2, true) => match props.as_slice() {
                    [p] => dict = Some(dictionary(*p)?),
                    _ => return Err(damaged("xz filter LZMA2 has properties that are not valid")),
                },
                (LZMA2, false) => return Err(damaged("xz filter LZMA2 is not the last one")),
                (_, true) => return Err(damaged("the last xz filter is not LZMA2")),
                (_, false) => stages.push(stage(id, &props)?),
            }
        }
        if f.0.iter().any(|b| *b != 0) {
            return Err(damaged("the padding of an xz block header is not zero"));
        }
        stages.reverse();
        let dict = dict.unwrap_or(0);
        // Probabilities and buffers of the decoder, on top of the dictionary.
        let need = dict.max(4096).saturating_add(256 << 10);
        if need > limit {
            return Err(Error::limit(Code::LimitMemory, "memory to decode xz", limit, need));
        }
        let dict = u32::try_from(dict).unwrap_or(u32::MAX);
        Ok(Self {
            lzma: Lzma2Stream::new(dict),
            work: if stages.is_empty() { Vec::new() } else { vec![0; WORK] },
            stages,
            ready: Vec::new(),
            given: 0,
            ended: false,
            check,
            header_size: len64(h.len()),
            stored,
            plain,
            used: 0,
            made: 0,
        })
    }

    /// Decodes the block's data; `done` when all of it came out.
    pub(crate) fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step> {
        let mut s = Step::default();
        if self.stages.is_empty() {
            let r = self.lzma.process(input, out, Action::Run).map_err(failure)?;
            s = Step {
                used: r.bytes_consumed,
                made: r.bytes_produced,
                done: r.status == Status::StreamEnd,
            };
        } else {
            if self.given >= self.ready.len() && !self.ended {
                let r = self.lzma.process(input, &mut self.work, Action::Run).map_err(failure)?;
                s.used = r.bytes_consumed;
                self.ended = r.status == Status::StreamEnd;
                let mut data = self.work.get(..r.bytes_produced).unwrap_or_default().to_vec();
                for stage in &mut self.stages {
                    data = stage.push(&data, self.ended);
                }
                self.ready = data;
                self.given = 0;
            }
            let ready = tail(&self.ready, self.given);
            s.made = ready.len().min(out.len());
            if let (Some(to), Some(from)) = (out.get_mut(..s.made), ready.get(..s.made)) {
                to.copy_from_slice(from);
            }
            self.given = self.given.saturating_add(s.made);
            s.done = self.ended && self.given >= self.ready.len();
        }
        self.check.update(out.get(..s.made).unwrap_or_default());
        self.used = self.used.saturating_add(len64(s.used));
        self.made = self.made.saturating_add(len64(s.made));
        for (told, is, what) in
            [(self.stored, self.used, "stored"), (self.plain, self.made, "decoded")]
        {
            if told.is_some_and(|told| is > told || (s.done && is != told)) {
                return Err(damaged(format!(
                    "an xz block gives its {what} size as {}, it has {is} or more",
                    told.unwrap_or(0)
                )));
            }
        }
        Ok(s)
    }

    /// Zeros after the data, up to a multiple of 4.
    pub(crate) fn padding(&self) -> usize {
        match self.used & 3 {
            1 => 3,
            2 => 2,
            3 => 1,
            _ => 0,
        }
    }

    /// Bytes of the check.
    pub(crate) fn check_size(&self) -> usize {
        self.check.size()
    }

    /// Compares the check; returns the sizes that the index must give.
    pub(crate) fn close(self, stored: &[u8]) -> Result<(u64, u64)> {
        let unpadded =
            self.header_size.saturating_add(self.used).saturating_add(len64(self.check.size()));
        if !self.check.holds(stored) {
            return Err(damaged("the check of an xz block does not match its data"));
        }
        Ok((unpadded, self.made))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc64_has_the_published_check_value() {
        let mut c = Crc64::new();
        c.update(b"123456789");
        assert_eq!(c.sum(), 0x995d_c9bb_df19_39fa);
    }
}
