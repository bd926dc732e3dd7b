//! The chunked containers of Apple's parallel compression: `pbzx` payloads of packages, and
//! the same layout with other letters around an Apple Archive.
//!
//! Magic (4 bytes), block size (u64 BE), then chunks: decoded size (u64 BE), stored size
//! (u64 BE), data. Every chunk but the last decodes to exactly the block size; a chunk whose
//! two sizes are equal is stored as it is. There is no end mark: a chunk below the block
//! size is the last one, and so is a full one with nothing behind it. With the usual
//! block size of 2^24 this is what other readers call "flag bit 24: more chunks follow".
//!
//! Sources: the layout as seen in the packages and archives of the shared fixtures, and the
//! public notes on `pbzx`.

use std::io::Read;

use lzfse_rust::LzfseRingDecoder;
use mip_base::bytes::be_u64;
use mip_base::{Code, Error, Job, Result, len64};

use crate::gzip::Zlib;
use crate::pump::{Gather, Machine, Step, head, head_mut, tail};
use crate::xz::Xz;

/// Largest block size that is taken. Apple's tools write 1, 4 or 16 MiB.
pub(crate) const BLOCK: u64 = 64 << 20;
/// As [`BLOCK`], where a chunk must be in memory twice: packed and unpacked.
pub(crate) const BLOCK_WHOLE: u64 = 32 << 20;
/// What a coder may add to data that it cannot make smaller.
const SLACK: u64 = 64 << 10;

/// How the chunks are packed: the last letter of the magic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Letter {
    /// `pbz-`
    Raw,
    /// `pbzz`
    Zlib,
    /// `pbzx`
    Xz,
    /// `pbze`
    Lzfse,
}

enum Decoder {
    Raw,
    Stream(Box<dyn Machine>),
    Whole(Vec<u8>),
    /// Decoded, and given up to this byte.
    Ready(Vec<u8>, usize),
}

struct Chunk {
    plain: u64,
    made: u64,
    left: u64,
    decoder: Decoder,
}

enum State {
    Header(Gather),
    /// Before a chunk; `true` when there must be one.
    Start(bool),
    Sizes(Gather),
    Data(Chunk),
    Finished,
}

/// A chunked container.
pub(crate) struct Chunks {
    letter: Letter,
    code: Code,
    state: State,
    block: u64,
    lzfse: Option<Box<LzfseRingDecoder>>,
    job: Job,
}

impl Chunks {
    /// The payload of a package.
    pub(crate) fn pbzx(job: &Job) -> Self {
        Self::new(Letter::Xz, Code::Pbzx, job)
    }

    /// The container of an Apple Archive.
    pub(crate) fn archive(letter: Letter, job: &Job) -> Self {
        Self::new(letter, Code::AppleArchive, job)
    }

    fn new(letter: Letter, code: Code, job: &Job) -> Self {
        Self {
            letter,
            code,
            state: State::Header(Gather::new(12)),
            block: 0,
            lzfse: None,
            job: job.clone(),
        }
    }

    fn damaged(&self, what: impl Into<String>) -> Error {
        Error::new(self.code, what)
    }

    fn magic(&self) -> &'static [u8; 4] {
        match self.letter {
            Letter::Raw => b"pbz-",
            Letter::Zlib => b"pbzz",
            Letter::Xz => b"pbzx",
            Letter::Lzfse => b"pbze",
        }
    }

    fn header(&mut self, h: &[u8]) -> Result<()> {
        if !h.starts_with(self.magic()) {
            return Err(self.damaged(format!("the stream has no {} magic", self.name())));
        }
        self.block = be_u64(h, 4).unwrap_or(0);
        let most = if self.letter == Letter::Lzfse { BLOCK_WHOLE } else { BLOCK };
        if self.block == 0 {
            return Err(self.damaged("the block size is 0"));
        }
        if self.block > most {
            return Err(self.damaged(format!(
                "the block size {} is over the {most} that are read",
                self.block
            )));
        }
        Ok(())
    }

    fn sizes(&mut self, h: &[u8]) -> Result<Chunk> {
        let (plain, left) = (be_u64(h, 0).unwrap_or(0), be_u64(h, 8).unwrap_or(0));
        if plain == 0 || plain > self.block {
            return Err(self.damaged(format!(
                "a chunk gives its decoded size as {plain}, the block size is {}",
                self.block
            )));
        }
        if left == 0 || left > plain.saturating_add(SLACK) {
            return Err(
                self.damaged(format!("a chunk stores {left} bytes for {plain} decoded bytes"))
            );
        }
        let decoder = if left == plain {
            Decoder::Raw
        } else {
            match self.letter {
                Letter::Raw => {
                    return Err(
                        self.damaged(format!("an unpacked chunk stores {left} bytes for {plain}"))
                    );
                }
                Letter::Zlib => Decoder::Stream(Box::new(Zlib::new())),
                Letter::Xz => Decoder::Stream(Box::new(Xz::stream(self.job.limits()))),
                Letter::Lzfse => Decoder::Whole(Vec::new()),
            }
        };
        Ok(Chunk { plain, made: 0, left, decoder })
    }

    /// Decodes a whole LZFSE chunk.
    fn lzfse(&mut self, stored: &[u8], plain: u64) -> Result<Vec<u8>> {
        let mut out = self.job.buffer("LZFSE chunk", plain, BLOCK_WHOLE)?;
        let ring = self.lzfse.get_or_insert_with(Box::default);
        let mut r = ring.reader_bytes(stored);
        let bad = |what: String| Error::new(Code::Lzfse, what);
        let mut at = 0_usize;
        loop {
            self.job.check()?;
            let mut spill = [0; 1];
            let room = out.get_mut(at..).unwrap_or_default();
            let full = room.is_empty();
            let n = r
                .read(if full { &mut spill } else { head_mut(room, 1 << 20) })
                .map_err(|e| bad(format!("the LZFSE data is damaged: {e}")).caused_by(e))?;
            if full && n > 0 {
                return Err(bad(format!("an LZFSE chunk decodes to more than its {plain} bytes")));
            }
            if n == 0 {
                break;
            }
            at = at.saturating_add(n);
        }
        if at != out.len() {
            return Err(bad(format!("an LZFSE chunk decodes to {at} bytes, not to {plain}")));
        }
        Ok(out)
    }

    fn data(&mut self, c: &mut Chunk, input: &[u8], out: &mut [u8]) -> Result<Step> {
        let avail = head(input, c.left);
        let whole = len64(avail.len()) == c.left;
        let mut step = Step::default();
        match &mut c.decoder {
            Decoder::Raw => {
                step.used = avail.len().min(out.len());
                step.made = step.used;
                if let (Some(to), Some(from)) = (out.get_mut(..step.made), avail.get(..step.made)) {
                    to.copy_from_slice(from);
                }
                step.done = len64(step.used) == c.left;
            }
            Decoder::Stream(m) => {
                let room = c.plain.saturating_sub(c.made);
                let mut spill = [0; 1];
                let to = if room == 0 { &mut spill[..] } else { head_mut(out, room) };
                step = m.step(avail, to, whole)?;
                if room == 0 && step.made > 0 {
                    return Err(
                        self.damaged(format!("a chunk decodes to more than its {} bytes", c.plain))
                    );
                }
                if step == Step::default() && whole {
                    return Err(self.damaged("a chunk ends inside its packed data"));
                }
                let used_up = len64(step.used) == c.left;
                let made = c.made.saturating_add(len64(step.made));
                if step.done && !used_up {
                    return Err(self.damaged("a chunk holds other data behind its packed data"));
                }
                if step.done && made != c.plain {
                    return Err(self
                        .damaged(format!("a chunk decodes to {made} bytes, not to {}", c.plain)));
                }
            }
            Decoder::Whole(have) => {
                step.used = avail.len();
                have.extend_from_slice(avail);
                if whole {
                    let have = std::mem::take(have);
                    c.decoder = Decoder::Ready(self.lzfse(&have, c.plain)?, 0);
                }
            }
            Decoder::Ready(plain, given) => {
                let rest = tail(plain, *given);
                step.made = rest.len().min(out.len());
                if let (Some(to), Some(from)) = (out.get_mut(..step.made), rest.get(..step.made)) {
                    to.copy_from_slice(from);
                }
                *given = given.saturating_add(step.made);
                step.done = *given >= plain.len();
            }
        }
        c.left = c.left.saturating_sub(len64(step.used));
        c.made = c.made.saturating_add(len64(step.made));
        Ok(step)
    }

    fn advance(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step> {
        let mut step = Step::default();
        self.state = match std::mem::replace(&mut self.state, State::Finished) {
            State::Header(mut g) => {
                step.used = g.take(input);
                match g.full() {
                    Some(h) => {
                        self.header(h)?;
                        State::Start(true)
                    }
                    None => State::Header(g),
                }
            }
            State::Start(_) => State::Sizes(Gather::new(16)),
            State::Sizes(mut g) => {
                step.used = g.take(input);
                match g.full() {
                    Some(h) => State::Data(self.sizes(h)?),
                    None => State::Sizes(g),
                }
            }
            State::Data(mut c) => {
                step = self.data(&mut c, input, out)?;
                match (std::mem::take(&mut step.done), c.plain == self.block) {
                    (false, _) => State::Data(c),
                    (true, true) => State::Start(false),
                    (true, false) => State::Finished,
                }
            }
            State::Finished => State::Finished,
        };
        Ok(step)
    }
}

impl Machine for Chunks {
    fn step(&mut self, input: &[u8], out: &mut [u8], last: bool) -> Result<Step> {
        let mut total = Step::default();
        loop {
            let rest = tail(input, total.used);
            let data = match &self.state {
                State::Finished => {
                    total.done = true;
                    return Ok(total);
                }
                State::Data(c) => Some(matches!(c.decoder, Decoder::Whole(_))),
                _ => None,
            };
            if rest.is_empty() && data.is_none() {
                total.done = last && matches!(self.state, State::Start(false));
                return Ok(total);
            }
            let step = self.advance(rest, out)?;
            total.used = total.used.saturating_add(step.used);
            total.made = step.made;
            if step.made > 0 {
                return Ok(total);
            }
            let ready =
                matches!(&self.state, State::Data(c) if matches!(c.decoder, Decoder::Ready(..)));
            if data.is_some()
                && !ready
                && matches!(self.state, State::Data(_))
                && (step.used == 0 || step.used >= rest.len())
            {
                return Ok(total);
            }
        }
    }
    fn code(&self) -> Code {
        self.code
    }
    fn name(&self) -> &'static str {
        match self.letter {
            Letter::Raw => "pbz-",
            Letter::Zlib => "pbzz",
            Letter::Xz => "pbzx",
            Letter::Lzfse => "pbze",
        }
    }
}
