//! Checking the body of an archive against its index.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::Builder;

use mip_base::{Code, Error, Event, Job, Phase, Result, Source, len64, read_full_at};

use crate::hash::Content;
use crate::profile::BLOCK;
use crate::pump::pump;
use crate::reader::{check_block, read_block};
use crate::{Index, IndexEntry};

/// How much of what the index says is computed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum VerifyDepth {
    /// The SHA-256 of every block: every byte of the archive is then covered. The digests and
    /// CRCs of the entries are the signer's word; the headers agree with them.
    #[default]
    Blocks,
    /// Also SHA-256 and CRC-32 of the content of every entry: shows a signer or writer that is
    /// wrong about its own archive. Costs one more core, or twice the time on one.
    Full,
}

/// How to verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyOptions {
    /// Threads that hash blocks. [`VerifyDepth::Full`] uses two and one that reads, always.
    pub threads: usize,
    /// How much is computed again.
    pub depth: VerifyDepth,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self { threads, depth: VerifyDepth::Blocks }
    }
}

impl VerifyOptions {
    /// The same with this many threads.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// The same with this depth.
    #[must_use]
    pub fn depth(mut self, depth: VerifyDepth) -> Self {
        self.depth = depth;
        self
    }
}

/// Most threads: each holds a block of 1 MiB.
const MAX_THREADS: usize = 64;

pub(crate) fn hash_body(
    source: &Source,
    index: &Index,
    options: &VerifyOptions,
    job: &Job,
) -> Result<()> {
    job.report(Event::Started { phase: Phase::Verify, total: Some(index.body) });
    match options.depth {
        VerifyDepth::Blocks => hash_blocks(source, index, options.threads, job)?,
        VerifyDepth::Full => hash_all(source, index, job)?,
    }
    job.report(Event::Finished { phase: Phase::Verify });
    Ok(())
}

/// Blocks in any order, on `threads` threads.
fn hash_blocks(source: &Source, index: &Index, threads: usize, job: &Job) -> Result<()> {
    let count = len64(index.blocks.len());
    let threads = threads.clamp(1, MAX_THREADS).min(usize::try_from(count).unwrap_or(1));
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    // The failing block with the lowest number: the message does not depend on timing alone.
    let failed: Mutex<Option<(u64, Error)>> = Mutex::new(None);
    let work = || {
        let mut block = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return;
            }
            let one = job.check().and_then(|()| read_block(source, index, number, &mut block));
            if let Err(e) = one {
                stop.store(true, Ordering::Relaxed);
                let mut first = failed.lock().unwrap_or_else(PoisonError::into_inner);
                if first.as_ref().is_none_or(|(n, _)| number < *n) {
                    *first = Some((number, e));
                }
                return;
            }
            job.report(Event::Advanced { phase: Phase::Verify, bytes: len64(block.len()) });
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            // Fewer threads than wished for only make it slower.
            if Builder::new().spawn_scoped(scope, work).is_err() {
                break;
            }
        }
        work();
    });
    match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some((_, e)) => Err(e),
        None => Ok(()),
    }
}

/// Every block and the content of every entry, from one reading of the file.
fn hash_all(source: &Source, index: &Index, job: &Job) -> Result<()> {
    let mut next = 0u64;
    let mut number = 0u64;
    let mut contents = Contents::new(index);
    pump(
        |buffer| {
            job.check()?;
            let left = index.body.saturating_sub(next);
            buffer.resize(usize::try_from(left.min(BLOCK)).unwrap_or(0), 0);
            read_full_at(source, next, buffer, Code::MipTampered)?;
            next = next.saturating_add(len64(buffer.len()));
            job.report(Event::Advanced { phase: Phase::Verify, bytes: len64(buffer.len()) });
            Ok(!buffer.is_empty())
        },
        |buffer| {
            check_block(index, number, buffer)?;
            number = number.saturating_add(1);
            Ok(())
        },
        |buffer| contents.update(buffer),
    )
}

/// The content of the entries, out of the body as it goes by.
pub(crate) struct Contents<'a> {
    /// Those that are not complete.
    entries: &'a [IndexEntry],
    at: u64,
    open: Option<Content>,
}

impl<'a> Contents<'a> {
    pub(crate) fn new(index: &'a Index) -> Self {
        Self { entries: &index.entries, at: 0, open: None }
    }

    /// Takes the next bytes of the body; an entry that they complete is compared.
    pub(crate) fn update(&mut self, bytes: &[u8]) -> Result<()> {
        let end = self.at.saturating_add(len64(bytes.len()));
        while let [entry, rest @ ..] = self.entries {
            let to = entry.offset.saturating_add(entry.size);
            let open = self.open.get_or_insert_with(Content::new);
            if entry.offset < end {
                let from = position(entry.offset.max(self.at).saturating_sub(self.at));
                let until = position(to.min(end).saturating_sub(self.at));
                open.update(bytes.get(from..until).unwrap_or(&[]));
            }
            if to > end {
                break;
            }
            check_content(self.open.take().unwrap_or_else(Content::new), entry)?;
            self.entries = rest;
        }
        self.at = end;
        Ok(())
    }
}

/// Compares what was read of an entry with what the index says of it.
pub(crate) fn check_content(content: Content, entry: &IndexEntry) -> Result<()> {
    if content.finish() == (entry.size, entry.sha256, entry.crc32) {
        return Ok(());
    }
    let text = "the content is not what the index says of the entry";
    Err(Error::new(Code::MipTampered, text).at(entry.offset).within(&entry.path))
}

fn position(at: u64) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}
