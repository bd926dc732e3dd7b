//! gzip (RFC 1952) and zlib (RFC 1950).

use flate2::{Crc, Decompress, FlushDecompress, Status};
use mip_base::bytes::{le_u16, le_u32};
use mip_base::{Code, Error, Job, Result, len64};

use crate::pump::{Gather, Machine, Step, tail};

/// Longest name or comment of a gzip header. The extra field has its own 16-bit length.
const TEXT: usize = 4096;

const FHCRC: u8 = 2;
const FEXTRA: u8 = 4;
const FNAME: u8 = 8;
const FCOMMENT: u8 = 16;
const RESERVED: u8 = 0xe0;

fn damaged(what: impl Into<String>) -> Error {
    Error::new(Code::Gzip, what)
}

/// One call of the inflater: bytes used, bytes made, whether the deflate stream ended.
fn inflate(z: &mut Decompress, input: &[u8], out: &mut [u8]) -> Result<Step> {
    let (read, made) = (z.total_in(), z.total_out());
    let status = z.decompress(input, out, FlushDecompress::None);
    let used = usize::try_from(z.total_in().saturating_sub(read)).unwrap_or(usize::MAX);
    let made = usize::try_from(z.total_out().saturating_sub(made)).unwrap_or(usize::MAX);
    match status {
        Ok(s) => Ok(Step { used, made, done: s == Status::StreamEnd }),
        Err(e) if e.needs_dictionary().is_some() => {
            Err(damaged("the zlib stream needs a preset dictionary"))
        }
        Err(e) => Err(damaged("the deflate data is damaged").caused_by(e)),
    }
}

/// One zlib stream.
pub(crate) struct Zlib(Decompress);

impl Zlib {
    pub(crate) fn new() -> Self {
        Self(Decompress::new(true))
    }
}

impl Machine for Zlib {
    fn step(&mut self, input: &[u8], out: &mut [u8], _: bool) -> Result<Step> {
        inflate(&mut self.0, input, out)
    }
    fn code(&self) -> Code {
        Code::Gzip
    }
    fn name(&self) -> &'static str {
        "zlib"
    }
}

enum State {
    /// Before a member; `true` for the first one, which must be there.
    Start(bool),
    Fixed(Gather),
    ExtraLength(Gather),
    Extra(usize),
    Name(usize),
    Comment(usize),
    HeaderCrc(Gather),
    Body,
    Trailer(Gather),
    Padding,
}

/// A sequence of gzip members, then zeros or nothing.
pub(crate) struct Gzip {
    state: State,
    flags: u8,
    header: Crc,
    body: Crc,
    inflater: Decompress,
}

impl Gzip {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Start(true),
            flags: 0,
            header: Crc::new(),
            body: Crc::new(),
            inflater: Decompress::new(false),
        }
    }

    /// The next part of the header after the one whose flag is `after`.
    fn next_part(&mut self, after: u8) -> State {
        for (flag, state) in [
            (FEXTRA, State::ExtraLength(Gather::new(2))),
            (FNAME, State::Name(0)),
            (FCOMMENT, State::Comment(0)),
        ] {
            if flag > after && self.flags & flag != 0 {
                return state;
            }
        }
        // FHCRC has the smallest flag of the four but stands last.
        if self.flags & FHCRC != 0 && after != FHCRC {
            return State::HeaderCrc(Gather::new(2));
        }
        self.inflater.reset(false);
        self.body.reset();
        State::Body
    }

    fn fixed(&mut self, h: &[u8]) -> Result<State> {
        let [0x1f, 0x8b, method, flags, ..] = h else {
            return Err(damaged("a gzip member has no gzip magic"));
        };
        if *method != 8 {
            return Err(damaged(format!("gzip compression method {method} is not known")));
        }
        if flags & RESERVED != 0 {
            return Err(damaged(format!("gzip flags {flags:#04x} set reserved bits")));
        }
        self.flags = *flags;
        // The lowest flag, FTEXT, has no field.
        Ok(self.next_part(1))
    }

    fn trailer(&self, t: &[u8]) -> Result<()> {
        let (crc, size) = (le_u32(t, 0).unwrap_or(0), le_u32(t, 4).unwrap_or(0));
        if crc != self.body.sum() {
            return Err(damaged(format!(
                "the gzip CRC-32 is {crc:08x}, the data gives {:08x}",
                self.body.sum()
            )));
        }
        // ISIZE and the counter of the CRC are both modulo 2^32.
        if size != self.body.amount() {
            return Err(damaged(format!(
                "the gzip size is {size} (modulo 2^32), the data has {}",
                self.body.amount()
            )));
        }
        Ok(())
    }

    /// Header bytes up to and with the next NUL; `None` while it has not come yet.
    fn text(&mut self, input: &[u8], seen: usize) -> Result<(usize, Option<usize>)> {
        let end = input.iter().position(|b| *b == 0);
        let n = end.map_or(input.len(), |e| e.saturating_add(1));
        let seen = seen.saturating_add(n);
        if seen > TEXT {
            return Err(damaged(format!("a gzip name or comment is longer than {TEXT} bytes")));
        }
        self.header.update(input.get(..n).unwrap_or_default());
        Ok((n, end.is_none().then_some(seen)))
    }

    /// One transition on non-empty input, or on any input in the body.
    fn advance(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step> {
        let mut step = Step::default();
        match std::mem::replace(&mut self.state, State::Padding) {
            State::Start(first) => {
                self.state = if !first && input.first() == Some(&0) {
                    State::Padding
                } else if first || input.first() == Some(&0x1f) {
                    self.header.reset();
                    State::Fixed(Gather::new(10))
                } else {
                    return Err(damaged("the gzip stream is followed by other data"));
                };
            }
            State::Fixed(mut g) => {
                step.used = g.take(input);
                self.state = if let Some(h) = g.full() {
                    self.header.update(h);
                    self.fixed(h)?
                } else {
                    State::Fixed(g)
                };
            }
            State::ExtraLength(mut g) => {
                step.used = g.take(input);
                self.state = if let Some(b) = g.full() {
                    self.header.update(b);
                    State::Extra(le_u16(b, 0).map_or(0, usize::from))
                } else {
                    State::ExtraLength(g)
                };
            }
            State::Extra(left) => {
                step.used = left.min(input.len());
                self.header.update(input.get(..step.used).unwrap_or_default());
                self.state = match left.saturating_sub(step.used) {
                    0 => self.next_part(FEXTRA),
                    left => State::Extra(left),
                };
            }
            State::Name(seen) => {
                let (used, more) = self.text(input, seen)?;
                step.used = used;
                self.state = more.map_or_else(|| self.next_part(FNAME), State::Name);
            }
            State::Comment(seen) => {
                let (used, more) = self.text(input, seen)?;
                step.used = used;
                self.state = more.map_or_else(|| self.next_part(FCOMMENT), State::Comment);
            }
            State::HeaderCrc(mut g) => {
                step.used = g.take(input);
                self.state = if let Some(b) = g.full() {
                    let want = u32::from(le_u16(b, 0).unwrap_or(0));
                    if want != self.header.sum() & 0xffff {
                        return Err(damaged("the CRC-16 of a gzip header is wrong"));
                    }
                    self.inflater.reset(false);
                    self.body.reset();
                    State::Body
                } else {
                    State::HeaderCrc(g)
                };
            }
            State::Body => {
                let s = inflate(&mut self.inflater, input, out)?;
                self.body.update(out.get(..s.made).unwrap_or_default());
                step = Step { done: false, ..s };
                self.state = if s.done { State::Trailer(Gather::new(8)) } else { State::Body };
            }
            State::Trailer(mut g) => {
                step.used = g.take(input);
                self.state = if let Some(t) = g.full() {
                    self.trailer(t)?;
                    State::Start(false)
                } else {
                    State::Trailer(g)
                };
            }
            State::Padding => {
                // As tar does: zeros up to the end of a block are not data.
                if input.iter().any(|b| *b != 0) {
                    return Err(damaged("the gzip stream is followed by other data"));
                }
                step.used = input.len();
            }
        }
        Ok(step)
    }
}

impl Machine for Gzip {
    fn step(&mut self, input: &[u8], out: &mut [u8], last: bool) -> Result<Step> {
        let mut total = Step::default();
        loop {
            let rest = tail(input, total.used);
            if rest.is_empty() && !matches!(self.state, State::Body) {
                total.done = last && matches!(self.state, State::Start(false) | State::Padding);
                return Ok(total);
            }
            let body = matches!(self.state, State::Body);
            let step = self.advance(rest, out)?;
            total.used = total.used.saturating_add(step.used);
            total.made = step.made;
            // Only the body can be held up by a full output or by missing input.
            if body && (step.made > 0 || step.used == 0 || step.used >= rest.len()) {
                return Ok(total);
            }
        }
    }
    fn code(&self) -> Code {
        Code::Gzip
    }
    fn name(&self) -> &'static str {
        "gzip"
    }
}

/// Inflates `input`, which must be exactly one zlib stream of at most `limit` decoded bytes.
///
/// # Errors
/// [`Code::Gzip`] when the stream is damaged, cut, needs a dictionary or is followed by
/// other bytes; [`Code::LimitExpanded`] when more than `limit` bytes come out, or the
/// job's budget ends; [`Code::LimitMemory`]; [`Code::Cancelled`].
pub fn zlib_all(input: &[u8], limit: u64, job: &Job) -> Result<Vec<u8>> {
    let mut z = Decompress::new(true);
    let mut out: Vec<u8> = Vec::new();
    let mut piece = vec![0; 64 << 10];
    let mut at = 0_usize;
    loop {
        let s = inflate(&mut z, tail(input, at), &mut piece).map_err(|e| e.at(len64(at)))?;
        at = at.saturating_add(s.used);
        let made = piece.get(..s.made).unwrap_or_default();
        job.expanded(len64(s.made))?;
        let total = len64(out.len()).saturating_add(len64(s.made));
        if total > limit {
            return Err(Error::limit(Code::LimitExpanded, "inflated bytes", limit, total));
        }
        out.try_reserve(made.len())
            .map_err(|_| Error::new(Code::LimitMemory, format!("no memory for {total} bytes")))?;
        out.extend_from_slice(made);
        if s.done {
            break;
        }
        if s.used == 0 && s.made == 0 {
            return Err(damaged("the zlib stream ends inside its data").at(len64(at)));
        }
    }
    if at < input.len() {
        return Err(damaged("the zlib stream is followed by other data").at(len64(at)));
    }
    Ok(out)
}

/// Inflates `input`, which must be exactly one zlib stream of exactly `expected` bytes.
///
/// Nothing is allocated for `expected` before the bytes are there. A caller that reports a
/// wrong size under a code of its own uses [`zlib_all`] and compares.
///
/// # Errors
/// [`Code::LimitMemory`] when `expected` is over `limit`; [`Code::Gzip`] when the stream is
/// damaged, cut, needs a dictionary, is followed by other bytes or has another size;
/// [`Code::LimitExpanded`] when the job's budget ends; [`Code::Cancelled`].
pub fn zlib_exact(input: &[u8], expected: u64, limit: u64, job: &Job) -> Result<Vec<u8>> {
    if expected > limit {
        return Err(Error::limit(Code::LimitMemory, "inflated bytes", limit, expected));
    }
    let wrong = |got: String| {
        damaged(format!("the zlib stream inflates to {got} bytes, not to {expected}"))
    };
    match zlib_all(input, expected, job) {
        Ok(out) if len64(out.len()) == expected => Ok(out),
        Ok(out) => Err(wrong(out.len().to_string())),
        // The limit here is the expected size, unless the job's own budget ended.
        Err(e)
            if e.code() == Code::LimitExpanded
                && e.limit_and_value().map(|l| l.0) == Some(expected) =>
        {
            Err(wrong(format!("more than {expected}")))
        }
        Err(e) => Err(e),
    }
}
