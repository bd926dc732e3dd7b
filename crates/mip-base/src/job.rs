//! What every long operation is handed: limits, cancellation, progress, the expansion budget.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::{Code, Error, Limits, Result};

/// Stops a job from another thread. Clones share one flag.
#[derive(Debug, Clone, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// A token that is not cancelled.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks every job that holds this token to stop soon (within about 1 MiB of work).
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether [`cancel`](Self::cancel) was called.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A stretch of work that progress is reported for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Reading the installer's metadata.
    Inspect,
    /// Copying the payload into the archive.
    Pack,
    /// Checking an archive.
    Verify,
    /// Unpacking an archive.
    Extract,
}

/// What a [`Progress`] is told. Bytes count the work of the phase, not file positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A phase begins; `total` bytes where that is known.
    Started {
        /// The phase.
        phase: Phase,
        /// Expected bytes.
        total: Option<u64>,
    },
    /// `bytes` more are done.
    Advanced {
        /// The phase.
        phase: Phase,
        /// Bytes since the last event.
        bytes: u64,
    },
    /// The phase is complete.
    Finished {
        /// The phase.
        phase: Phase,
    },
}

/// Receives progress, possibly from several threads.
pub trait Progress: Send + Sync {
    /// Called often (about once per MiB); must return quickly.
    fn report(&self, event: Event);
}

/// A [`Progress`] that says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct SilentProgress;

impl Progress for SilentProgress {
    fn report(&self, _: Event) {}
}

/// A unit of work: limits, cancellation, progress. Clones share all three and the budget,
/// so a reader that outlives a call can keep one.
#[derive(Clone)]
pub struct Job {
    inner: Arc<Inner>,
}

struct Inner {
    limits: Limits,
    cancel: CancelToken,
    progress: Arc<dyn Progress>,
    expanded: AtomicU64,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("limits", &self.inner.limits).finish_non_exhaustive()
    }
}

impl Default for Job {
    fn default() -> Self {
        Self::new(Limits::default(), CancelToken::new(), Arc::new(SilentProgress))
    }
}

impl Job {
    /// A job of its own budget.
    #[must_use]
    pub fn new(limits: Limits, cancel: CancelToken, progress: Arc<dyn Progress>) -> Self {
        Self { inner: Arc::new(Inner { limits, cancel, progress, expanded: AtomicU64::new(0) }) }
    }

    /// The limits.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// Asked once per MiB and once per entry or node: `Err` with [`Code::Cancelled`] after a cancel.
    pub fn check(&self) -> Result<()> {
        if self.inner.cancel.is_cancelled() {
            return Err(Error::new(Code::Cancelled, "cancelled"));
        }
        Ok(())
    }

    /// Reports progress.
    pub fn report(&self, event: Event) {
        self.inner.progress.report(event);
    }

    /// A zeroed buffer of `len` bytes: the only way from a number in a file to an allocation.
    ///
    /// # Errors
    /// [`Code::LimitMemory`] when `len` is over `limit` (named `what` in the message) or
    /// memory is short.
    pub fn buffer(&self, what: &str, len: u64, limit: u64) -> Result<Vec<u8>> {
        if len > limit {
            return Err(Error::limit(Code::LimitMemory, what, limit, len));
        }
        let n = usize::try_from(len).map_err(|_| {
            Error::new(Code::LimitMemory, format!("{what}: {len} bytes do not fit"))
        })?;
        let mut v = Vec::new();
        v.try_reserve_exact(n).map_err(|_| {
            Error::new(Code::LimitMemory, format!("{what}: no memory for {len} bytes"))
        })?;
        v.resize(n, 0);
        Ok(v)
    }

    /// Counts `bytes` that a decoder produced against the job's budget, and asks [`check`](Self::check).
    ///
    /// # Errors
    /// [`Code::LimitExpanded`] when the decoders of this job produced more than
    /// [`Limits::expanded_bytes`]; [`Code::Cancelled`].
    pub fn expanded(&self, bytes: u64) -> Result<()> {
        self.check()?;
        let before = self.inner.expanded.fetch_add(bytes, Ordering::Relaxed);
        let now = before.saturating_add(bytes);
        let limit = self.inner.limits.expanded_bytes;
        if now > limit {
            return Err(Error::limit(Code::LimitExpanded, "decoded bytes", limit, now));
        }
        Ok(())
    }

    /// Checks one decoder's totals against [`Limits::ratio`].
    ///
    /// # Errors
    /// [`Code::LimitExpanded`] when more than [`Limits::ratio_from`] bytes came out and they
    /// are more than [`Limits::ratio`] times the bytes that went in.
    pub fn ratio(&self, read: u64, produced: u64) -> Result<()> {
        let l = &self.inner.limits;
        if produced > l.ratio_from && produced > read.saturating_mul(l.ratio.max(1)) {
            let limit = read.saturating_mul(l.ratio);
            return Err(Error::limit(
                Code::LimitExpanded,
                "decoded bytes of one stream",
                limit,
                produced,
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forged_length_never_allocates() {
        let job = Job::default();
        let e = job.buffer("TOC", u64::MAX, 64 << 20).unwrap_err();
        assert_eq!(e.code(), Code::LimitMemory);
        assert_eq!(e.limit_and_value(), Some((64 << 20, u64::MAX)));
        let e = job.buffer("TOC", u64::MAX / 2, u64::MAX).unwrap_err();
        assert_eq!(e.code(), Code::LimitMemory);
    }

    #[test]
    fn the_budget_is_shared_between_clones() {
        let job = Job::new(
            Limits { expanded_bytes: 10, ..Limits::default() },
            CancelToken::new(),
            Arc::new(SilentProgress),
        );
        job.clone().expanded(6).unwrap();
        job.expanded(4).unwrap();
        assert_eq!(job.expanded(1).unwrap_err().code(), Code::LimitExpanded);
    }

    #[test]
    fn ratio_counts_only_past_the_threshold() {
        let job = Job::default();
        job.ratio(1, 64 << 20).unwrap();
        assert_eq!(job.ratio(1 << 10, 65 << 20).unwrap_err().code(), Code::LimitExpanded);
    }

    #[test]
    fn cancel_reaches_every_clone() {
        let t = CancelToken::new();
        let job = Job::new(Limits::default(), t.clone(), Arc::new(SilentProgress));
        job.check().unwrap();
        t.cancel();
        assert_eq!(job.check().unwrap_err().code(), Code::Cancelled);
        assert_eq!(job.expanded(1).unwrap_err().code(), Code::Cancelled);
    }
}
