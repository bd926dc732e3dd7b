//! The decoded disk: which run a position is in, and its bytes.

use std::sync::atomic::{AtomicU64, Ordering};

use mip_base::{Code, Error, Job, Kind as ErrorKind, Result, Source, len64, read_full_at};
use mip_codec::block::{self, Codec};

use crate::ahead::Streams;
use crate::cache::Cache;
use crate::runs::{Kind, Place, Run, Runs};

/// How often all chunks together may be decoded: `Limits::ratio` is for one time through.
const TIMES: u64 = 4;

/// What reading needs, shared with the read-ahead threads.
pub(crate) struct Disk {
    pub(crate) source: Source,
    pub(crate) runs: Runs,
    pub(crate) cache: Cache,
    pub(crate) streams: Streams,
    pub(crate) job: Job,
    /// Stored bytes of all packed runs.
    stored: u64,
    /// Bytes that were decoded, those that were decoded again too.
    decoded: AtomicU64,
}

impl Disk {
    pub(crate) fn new(source: Source, runs: Runs, job: &Job) -> Self {
        let packed = runs.all().iter().map(|r| u64::from(r.packed));
        let stored = packed.fold(0, u64::saturating_add);
        let cache = Cache::new(job.limits().image_cache);
        let (streams, job) = (Streams::new(), job.clone());
        Self { source, runs, cache, streams, job, stored, decoded: AtomicU64::new(0) }
    }

    /// Counts decoded bytes against what is stored. Small reads here and there in large chunks
    /// decode these each time: a few KB could keep a reader busy for an hour.
    fn count(&self, bytes: u64, job: &Job) -> Result<()> {
        let now = self.decoded.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let l = job.limits();
        let once = self.stored.saturating_mul(l.ratio.max(1)).max(l.ratio_from);
        let most = once.saturating_mul(TIMES);
        if now > most {
            let what = "bytes decoded from an image's chunks, each time counted";
            return Err(Error::limit(Code::LimitExpanded, what, most, now));
        }
        Ok(())
    }

    /// Reads bytes at `at` up to the end of the run that is there or of `buf`, which lies inside
    /// the disk. `touched` is told of a packed run before it is decoded.
    pub(crate) fn piece(
        &self,
        at: u64,
        buf: &mut [u8],
        touched: impl FnOnce(usize),
    ) -> Result<usize> {
        let (index, run) = match self.runs.find(at) {
            Place::Run(index, run) => (index, run),
            Place::Gap(end) => return self.zeros(end.saturating_sub(at), buf),
        };
        let skip = at.saturating_sub(run.first_byte());
        let left = run.len().saturating_sub(skip);
        let codec = match run.kind {
            Kind::Zero | Kind::Ignore => return self.zeros(left, buf),
            Kind::Packed(codec) => codec,
            Kind::Raw => {
                self.job.check()?;
                let part = part(buf, left);
                let from = run.offset.saturating_add(skip);
                read_full_at(&self.source, from, part, Code::DmgChunk)?;
                return Ok(part.len());
            }
        };
        self.job.check()?;
        let part = part(buf, left);
        touched(index);
        if len64(part.len()) == run.len() {
            // A whole chunk needs no copy, unless someone decoded it already.
            match self.cache.ready(index) {
                Some(chunk) => part.copy_from_slice(&chunk),
                None => self.unpack(index, run, codec, part, &self.job)?,
            }
            return Ok(part.len());
        }
        let chunk = self.cache.get(index, run.len(), || self.chunk(index, run, codec))?;
        let bytes = usize::try_from(skip).ok().and_then(|s| chunk.get(s..)?.get(..part.len()));
        // A chunk is as long as its run, or it is an error.
        part.copy_from_slice(bytes.ok_or_else(|| short(index))?);
        Ok(part.len())
    }

    fn zeros(&self, left: u64, buf: &mut [u8]) -> Result<usize> {
        let part = part(buf, left);
        self.job.expanded(len64(part.len()))?;
        part.fill(0);
        Ok(part.len())
    }

    /// Decodes a chunk into memory of its own.
    pub(crate) fn chunk(&self, index: usize, run: &Run, codec: Codec) -> Result<Vec<u8>> {
        let limit = self.job.limits().image_chunk;
        let mut out = self.job.buffer("image-chunk", run.len(), limit)?;
        self.unpack(index, run, codec, &mut out, &self.job)?;
        Ok(out)
    }

    /// Decodes a chunk to `out`, which is as long as the chunk.
    pub(crate) fn unpack(
        &self,
        index: usize,
        run: &Run,
        codec: Codec,
        out: &mut [u8],
        job: &Job,
    ) -> Result<()> {
        job.expanded(len64(out.len()))?;
        self.count(len64(out.len()), job)?;
        let packed = u64::from(run.packed);
        let mut input = job.buffer("stored bytes of an image chunk", packed, packed)?;
        read_full_at(&self.source, run.offset, &mut input, Code::DmgChunk)?;
        let error = |code, why: String| {
            Error::new(code, format!("chunk {index} ({}): {why}", name(codec))).at(run.offset)
        };
        let done = block::decode(codec, &input, out, job).map_err(|e| match e.kind() {
            ErrorKind::Malformed => error(Code::DmgChunk, e.message().to_owned()).caused_by(e),
            _ => e,
        })?;
        if done.more || done.produced != out.len() {
            // What is wrong must not reach a reader that ignores the error.
            out.fill(0);
            let why = match done.more {
                true => format!("holds more than {} bytes", out.len()),
                false => format!("holds {} of {} bytes", done.produced, out.len()),
            };
            return Err(error(Code::DmgChunkSize, why));
        }
        Ok(())
    }
}

/// The name under which users know the codec in disk images.
pub(crate) fn name(codec: Codec) -> &'static str {
    match codec {
        Codec::Xz => "LZMA",
        other => other.name(),
    }
}

/// At most `left` bytes of `buf`.
fn part(buf: &mut [u8], left: u64) -> &mut [u8] {
    let n = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
    buf.get_mut(..n).unwrap_or_default()
}

fn short(index: usize) -> Error {
    Error::new(Code::DmgChunkSize, format!("chunk {index} is shorter than its table says"))
}
