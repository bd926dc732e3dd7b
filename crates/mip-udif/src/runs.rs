//! All chunks of all tables as one sorted table.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use mip_codec::block::Codec;

/// Bytes of a sector. All counts of sectors in UDIF are of this size.
pub(crate) const SECTOR: u64 = 512;

/// How the bytes of a run are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Zeros that checksums include.
    Zero,
    /// Space that the file system does not use: zeros that checksums leave out.
    Ignore,
    /// As they are.
    Raw,
    /// Compressed.
    Packed(Codec),
}

/// A stretch of the disk that is stored in one way. Kept small: an image of 1 TiB has millions.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    /// First sector on the disk.
    pub(crate) start: u64,
    pub(crate) sectors: u64,
    /// Where the stored bytes are in the file.
    pub(crate) offset: u64,
    /// Stored bytes of a packed run.
    pub(crate) packed: u32,
    pub(crate) kind: Kind,
}

const _: () = assert!(size_of::<Run>() <= 32, "32 bytes per chunk");

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}+{} {:?} @{}+{}",
            self.start, self.sectors, self.kind, self.offset, self.packed
        )
    }
}

impl Run {
    pub(crate) fn new(start: u64, sectors: u64, kind: Kind) -> Self {
        Self { start, sectors, offset: 0, packed: 0, kind }
    }

    pub(crate) fn at(self, offset: u64, packed: u32) -> Self {
        Self { offset, packed, ..self }
    }

    /// The sector behind the last.
    pub(crate) fn end(&self) -> u64 {
        self.start.saturating_add(self.sectors)
    }

    /// First byte on the disk. Cannot overflow: the disk's size was checked.
    pub(crate) fn first_byte(&self) -> u64 {
        self.start.saturating_mul(SECTOR)
    }

    /// Decoded bytes.
    pub(crate) fn len(&self) -> u64 {
        self.sectors.saturating_mul(SECTOR)
    }

    pub(crate) fn end_byte(&self) -> u64 {
        self.first_byte().saturating_add(self.len())
    }
}

/// The sorted runs, which never overlap but may leave gaps.
pub(crate) struct Runs {
    runs: Vec<Run>,
    /// The run of the last search: reads tend to go on where they were.
    hint: AtomicUsize,
}

/// What is at a position.
pub(crate) enum Place<'r> {
    Run(usize, &'r Run),
    /// No table has it: zeros up to this byte.
    Gap(u64),
}

impl Runs {
    /// Takes runs that are sorted and do not overlap.
    pub(crate) fn new(runs: Vec<Run>) -> Self {
        Self { runs, hint: AtomicUsize::new(0) }
    }

    pub(crate) fn get(&self, index: usize) -> Option<&Run> {
        self.runs.get(index)
    }

    pub(crate) fn all(&self) -> &[Run] {
        &self.runs
    }

    /// What is at byte `at`; a gap at the end has no end.
    pub(crate) fn find(&self, at: u64) -> Place<'_> {
        let hint = self.hint.load(Ordering::Relaxed);
        for i in [hint, hint.wrapping_add(1)] {
            if let Some(run) = self.runs.get(i)
                && (run.first_byte()..run.end_byte()).contains(&at)
            {
                if i != hint {
                    self.hint.store(i, Ordering::Relaxed);
                }
                return Place::Run(i, run);
            }
        }
        let after = self.runs.partition_point(|r| r.first_byte() <= at);
        let before = after.checked_sub(1);
        if let Some((i, run)) = before.and_then(|i| Some((i, self.runs.get(i)?)))
            && at < run.end_byte()
        {
            self.hint.store(i, Ordering::Relaxed);
            return Place::Run(i, run);
        }
        Place::Gap(self.runs.get(after).map_or(u64::MAX, Run::first_byte))
    }
}
