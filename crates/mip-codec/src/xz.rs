//! The `.xz` container (format description 1.2.1): streams, blocks, index, footer.
//!
//! The LZMA2 data itself is decoded by `lzma-rust2`. The container is read here, because its
//! promises are what tells damage from data: block sizes, checks, the index and its size.
//! Nothing is kept per block, so an index of any length costs no memory.

use flate2::Crc;
use mip_base::bytes::{be_u32, le_u32};
use mip_base::{Code, Error, Limits, Result, len64};
use sha2::{Digest, Sha256};

use crate::pump::{Gather, Machine, Step, tail};
use crate::xz_block::{Block, Check};

/// First bytes of every stream.
pub(crate) const MAGIC: &[u8; 6] = b"\xfd7zXZ\0";

pub(crate) fn damaged(what: impl Into<String>) -> Error {
    Error::new(Code::Xz, what)
}

pub(crate) fn crc32(b: &[u8]) -> u32 {
    let mut c = Crc::new();
    c.update(b);
    c.sum()
}

/// A number of 7-bit groups, lowest first, at most 9 of them.
#[derive(Debug, Default)]
pub(crate) struct Vli {
    value: u64,
    shift: u32,
}

impl Vli {
    /// Adds one byte; the number when it was the last one.
    pub(crate) fn push(&mut self, b: u8) -> Result<Option<u64>> {
        if self.shift > 56 || (b == 0 && self.shift > 0) {
            return Err(damaged("a number in the xz stream is not written as the format says"));
        }
        self.value |= u64::from(b & 0x7f) << self.shift;
        self.shift = self.shift.saturating_add(7);
        Ok((b & 0x80 == 0).then(|| std::mem::take(self).value))
    }
}

/// What is left to read of an index.
enum Field {
    Count,
    Unpadded,
    Plain,
    Padding,
}

struct Index {
    field: Field,
    vli: Vli,
    left: u64,
    unpadded: u64,
    size: u64,
    crc: Crc,
    blocks: Blocks,
}

/// The blocks as they were, and the blocks as the index says: equal when these are.
#[derive(Default, Clone)]
struct Blocks {
    count: u64,
    sizes: Sha256,
}

impl Blocks {
    fn add(&mut self, unpadded: u64, plain: u64) {
        self.count = self.count.saturating_add(1);
        self.sizes.update(unpadded.to_le_bytes());
        self.sizes.update(plain.to_le_bytes());
    }
}

impl Index {
    fn new() -> Self {
        let mut crc = Crc::new();
        crc.update(&[0]);
        Self {
            field: Field::Count,
            vli: Vli::default(),
            left: 0,
            unpadded: 0,
            size: 1,
            crc,
            blocks: Blocks::default(),
        }
    }

    /// Takes one byte.
    fn push(&mut self, b: u8) -> Result<()> {
        self.crc.update(&[b]);
        self.size = self.size.saturating_add(1);
        match self.field {
            Field::Count => {
                if let Some(n) = self.vli.push(b)? {
                    self.left = n;
                    self.field = if n == 0 { Field::Padding } else { Field::Unpadded };
                }
            }
            Field::Unpadded => {
                if let Some(n) = self.vli.push(b)? {
                    self.unpadded = n;
                    self.field = Field::Plain;
                }
            }
            Field::Plain => {
                if let Some(n) = self.vli.push(b)? {
                    self.blocks.add(self.unpadded, n);
                    self.left = self.left.saturating_sub(1);
                    self.field = if self.left == 0 { Field::Padding } else { Field::Unpadded };
                }
            }
            Field::Padding => {
                if b != 0 {
                    return Err(damaged("the padding of the xz index is not zero"));
                }
            }
        }
        Ok(())
    }

    fn complete(&self) -> bool {
        matches!(self.field, Field::Padding) && self.size.is_multiple_of(4)
    }
}

enum State {
    StreamHeader(Gather),
    BlockStart,
    BlockHeader(u64, Gather),
    Data(Box<Block>),
    Padding(Box<Block>, Gather),
    Check(Box<Block>, Gather),
    Index(Box<Index>),
    IndexCrc(Box<Index>, Gather),
    Footer(u64, Gather),
    /// Between streams, after this many zeros.
    Between(u64),
    Finished,
}

/// One `.xz` stream, or several with padding between them.
pub(crate) struct Xz {
    state: State,
    several: bool,
    limit: u64,
    flags: [u8; 2],
    blocks: Blocks,
}

impl Xz {
    /// A whole `.xz` file.
    pub(crate) fn file(limits: &Limits) -> Self {
        Self { several: true, ..Self::stream(limits) }
    }

    /// Exactly one stream.
    pub(crate) fn stream(limits: &Limits) -> Self {
        Self {
            state: State::StreamHeader(Gather::new(12)),
            several: false,
            limit: limits.lzma_memory,
            flags: [0; 2],
            blocks: Blocks::default(),
        }
    }

    fn stream_header(&mut self, h: &[u8]) -> Result<State> {
        if !h.starts_with(MAGIC) {
            return Err(damaged("an xz stream has no xz magic"));
        }
        let flags = tail(h, 6).first_chunk::<2>().copied().unwrap_or_default();
        if le_u32(h, 8) != Some(crc32(&flags)) {
            return Err(damaged("the CRC-32 of an xz stream header is wrong"));
        }
        Check::new(flags)?;
        self.flags = flags;
        self.blocks = Blocks::default();
        Ok(State::BlockStart)
    }

    fn footer(&self, f: &[u8], index_size: u64) -> Result<()> {
        if be_u32(f, 8).map(|v| v & 0xffff) != Some(0x595a) {
            return Err(damaged("an xz stream footer has no xz magic"));
        }
        if le_u32(f, 0) != Some(crc32(f.get(4..10).unwrap_or_default())) {
            return Err(damaged("the CRC-32 of an xz stream footer is wrong"));
        }
        if f.get(8..10) != Some(self.flags.as_slice()) {
            return Err(damaged("header and footer of an xz stream disagree"));
        }
        let stored = u64::from(le_u32(f, 4).unwrap_or(0)).saturating_add(1).saturating_mul(4);
        if stored != index_size {
            return Err(damaged(format!(
                "the xz footer gives the index {stored} bytes, it has {index_size}"
            )));
        }
        Ok(())
    }

    /// One transition. Uses input or makes output, or changes the state, or needs more input.
    fn advance(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step> {
        let mut step = Step::default();
        self.state = match std::mem::replace(&mut self.state, State::Finished) {
            State::StreamHeader(mut g) => {
                step.used = g.take(input);
                match g.full() {
                    Some(h) => self.stream_header(h)?,
                    None => State::StreamHeader(g),
                }
            }
            State::BlockStart => match input.first() {
                None => State::BlockStart,
                Some(0) => {
                    step.used = 1;
                    State::Index(Box::new(Index::new()))
                }
                Some(n) => {
                    // The size byte is part of the header and of its CRC.
                    let size = usize::from(*n).saturating_add(1).saturating_mul(4);
                    State::BlockHeader(len64(size), Gather::new(size))
                }
            },
            State::BlockHeader(size, mut g) => {
                step.used = g.take(input);
                match g.full() {
                    Some(h) => {
                        let check = Check::new(self.flags)?;
                        State::Data(Box::new(Block::open(h, check, self.limit)?))
                    }
                    None => State::BlockHeader(size, g),
                }
            }
            State::Data(mut b) => {
                step = b.step(input, out)?;
                if std::mem::take(&mut step.done) {
                    let n = b.padding();
                    State::Padding(b, Gather::new(n))
                } else {
                    State::Data(b)
                }
            }
            State::Padding(b, mut g) => {
                step.used = g.take(input);
                match g.full() {
                    Some(p) if p.iter().any(|b| *b != 0) => {
                        return Err(damaged("the padding of an xz block is not zero"));
                    }
                    Some(_) => {
                        let n = b.check_size();
                        State::Check(b, Gather::new(n))
                    }
                    None => State::Padding(b, g),
                }
            }
            State::Check(b, mut g) => {
                step.used = g.take(input);
                match g.full() {
                    Some(c) => {
                        let (unpadded, plain) = b.close(c)?;
                        self.blocks.add(unpadded, plain);
                        State::BlockStart
                    }
                    None => State::Check(b, g),
                }
            }
            State::Index(mut i) => {
                while !i.complete() {
                    let Some(b) = input.get(step.used) else { break };
                    i.push(*b)?;
                    step.used = step.used.saturating_add(1);
                }
                if i.complete() { State::IndexCrc(i, Gather::new(4)) } else { State::Index(i) }
            }
            State::IndexCrc(i, mut g) => {
                step.used = g.take(input);
                match g.full() {
                    Some(c) => {
                        if le_u32(c, 0) != Some(i.crc.sum()) {
                            return Err(damaged("the CRC-32 of the xz index is wrong"));
                        }
                        let told = i.blocks.clone();
                        let seen = std::mem::take(&mut self.blocks);
                        if told.count != seen.count
                            || told.sizes.finalize() != seen.sizes.finalize()
                        {
                            return Err(damaged("the xz index does not describe the blocks"));
                        }
                        State::Footer(i.size.saturating_add(4), Gather::new(12))
                    }
                    None => State::IndexCrc(i, g),
                }
            }
            State::Footer(size, mut g) => {
                step.used = g.take(input);
                match g.full() {
                    Some(f) => {
                        self.footer(f, size)?;
                        if self.several { State::Between(0) } else { State::Finished }
                    }
                    None => State::Footer(size, g),
                }
            }
            State::Between(zeros) => {
                step.used = input.iter().take_while(|b| **b == 0).count();
                let zeros = zeros.saturating_add(len64(step.used));
                match input.get(step.used) {
                    None => State::Between(zeros),
                    Some(0xfd) if zeros.is_multiple_of(4) => State::StreamHeader(Gather::new(12)),
                    Some(_) => return Err(damaged("the xz stream is followed by other data")),
                }
            }
            State::Finished => State::Finished,
        };
        Ok(step)
    }
}

impl Machine for Xz {
    fn step(&mut self, input: &[u8], out: &mut [u8], last: bool) -> Result<Step> {
        let mut total = Step::default();
        loop {
            let rest = tail(input, total.used);
            let data = matches!(self.state, State::Data(_));
            if let State::Finished = self.state {
                total.done = true;
                return Ok(total);
            }
            if rest.is_empty() && !data {
                total.done = last && matches!(self.state, State::Between(z) if z.is_multiple_of(4));
                // A padding or a check of no bytes needs no input to pass.
                let passes = match &self.state {
                    State::Padding(_, g) | State::Check(_, g) => g.full().is_some(),
                    _ => false,
                };
                if total.done || !passes {
                    return Ok(total);
                }
            }
            let step = self.advance(rest, out)?;
            total.used = total.used.saturating_add(step.used);
            total.made = step.made;
            let still = matches!(self.state, State::Data(_));
            if step.made > 0 || (data && still && (step.used == 0 || step.used >= rest.len())) {
                return Ok(total);
            }
        }
    }
    fn code(&self) -> Code {
        Code::Xz
    }
    fn name(&self) -> &'static str {
        "xz"
    }
}
