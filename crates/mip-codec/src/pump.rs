//! The one reader behind every decoder: it feeds a [`Machine`] and counts what comes out.

use std::fmt;
use std::io::{self, Read};

use mip_base::{Code, Error, Job, Result, len64, read_some};

/// Bytes asked from the input at once.
const INPUT: usize = 64 << 10;
/// Most bytes decoded between two looks at the job.
const OUTPUT: usize = 1 << 20;

/// What one step of a [`Machine`] did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    /// Bytes taken from the input.
    pub(crate) used: usize,
    /// Bytes written to the output.
    pub(crate) made: usize,
    /// The stream is complete; the input that was not used lies behind it.
    pub(crate) done: bool,
}

/// A decoder that is handed its input in slices of any size.
pub(crate) trait Machine: Send {
    /// Decodes from `input` to `out`. `last` says that nothing follows `input`.
    ///
    /// A step that is not done uses all of `input` or fills `out`, or both; one that does
    /// neither although it could says that the stream is cut.
    fn step(&mut self, input: &[u8], out: &mut [u8], last: bool) -> Result<Step>;

    /// The code of damage in this format.
    fn code(&self) -> Code;

    /// The format's name for messages.
    fn name(&self) -> &'static str;
}

/// `Read` over a [`Machine`]: budget, ratio, cancellation, truncation, bytes after the end.
pub(crate) struct Pump<'a, M> {
    input: Box<dyn Read + Send + 'a>,
    machine: M,
    job: Job,
    buffer: Vec<u8>,
    at: usize,
    len: usize,
    ended: bool,
    done: bool,
    read: u64,
    made: u64,
    failed: Option<(Code, String)>,
}

impl<M> fmt::Debug for Pump<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pump").field("read", &self.read).field("made", &self.made).finish()
    }
}

impl<'a, M: Machine> Pump<'a, M> {
    pub(crate) fn new(input: Box<dyn Read + Send + 'a>, machine: M, job: &Job) -> Self {
        Self {
            input,
            machine,
            job: job.clone(),
            buffer: vec![0; INPUT],
            at: 0,
            len: 0,
            ended: false,
            done: false,
            read: 0,
            made: 0,
            failed: None,
        }
    }

    fn refill(&mut self) -> Result<()> {
        self.job.check()?;
        self.at = 0;
        self.len = read_some(&mut self.input, &mut self.buffer)
            .map_err(|e| Error::from_io(Code::InputIo, "reading", e))?;
        self.ended = self.len == 0;
        Ok(())
    }

    fn pull(&mut self, buf: &mut [u8]) -> Result<usize> {
        let most = buf.len().min(OUTPUT);
        loop {
            if self.at >= self.len && !self.ended {
                self.refill()?;
            }
            let input = self.buffer.get(self.at..self.len).unwrap_or_default();
            let out = buf.get_mut(..most).unwrap_or_default();
            let step = self.machine.step(input, out, self.ended).map_err(|e| e.at(self.read))?;
            let stuck = step == Step::default();
            if stuck && self.ended {
                return Err(self.damage("ends inside its data"));
            }
            if stuck && !input.is_empty() {
                return Err(self.damage("cannot be decoded"));
            }
            self.at = self.at.saturating_add(step.used);
            self.read = self.read.saturating_add(len64(step.used));
            if step.made > 0 {
                self.made = self.made.saturating_add(len64(step.made));
                self.job.expanded(len64(step.made))?;
                self.job.ratio(self.read, self.made)?;
            }
            if step.done {
                if self.at >= self.len && !self.ended {
                    self.refill()?;
                }
                if self.at < self.len {
                    return Err(self.damage("is followed by other data"));
                }
                self.done = true;
            }
            if step.done || step.made > 0 {
                return Ok(step.made);
            }
        }
    }

    fn damage(&self, what: &str) -> Error {
        let name = self.machine.name();
        Error::new(self.machine.code(), format!("the {name} stream {what}")).at(self.read)
    }
}

impl<M: Machine> Read for Pump<'_, M> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if let Some((code, message)) = &self.failed {
            return Err(Error::new(*code, message.clone()).at(self.read).into());
        }
        if buf.is_empty() || self.done {
            return Ok(0);
        }
        self.pull(buf).map_err(|e| {
            // A caller that reads on after an error must not take it for the end.
            self.failed = Some((e.code(), e.message().to_owned()));
            e.into()
        })
    }
}

/// A header that is collected from slices.
#[derive(Debug, Default)]
pub(crate) struct Gather {
    want: usize,
    have: Vec<u8>,
}

impl Gather {
    /// Collects `want` bytes; a small constant or a size that was checked.
    pub(crate) fn new(want: usize) -> Self {
        Self { want, have: Vec::new() }
    }

    /// Takes what is missing from the front of `input`; returns how much that was.
    pub(crate) fn take(&mut self, input: &[u8]) -> usize {
        let n = self.want.saturating_sub(self.have.len()).min(input.len());
        self.have.extend_from_slice(input.get(..n).unwrap_or_default());
        n
    }

    /// The bytes, once all are there.
    pub(crate) fn full(&self) -> Option<&[u8]> {
        (self.have.len() >= self.want).then_some(&self.have)
    }
}

/// `b` without its first `n` bytes; empty when there are fewer.
pub(crate) fn tail(b: &[u8], n: usize) -> &[u8] {
    b.get(n..).unwrap_or_default()
}

/// At most the first `n` bytes of `b`.
pub(crate) fn head(b: &[u8], n: u64) -> &[u8] {
    let n = usize::try_from(n).unwrap_or(usize::MAX).min(b.len());
    b.get(..n).unwrap_or_default()
}

/// At most the first `n` bytes of `b`, for writing.
pub(crate) fn head_mut(b: &mut [u8], n: u64) -> &mut [u8] {
    let n = usize::try_from(n).unwrap_or(usize::MAX).min(b.len());
    b.get_mut(..n).unwrap_or_default()
}
