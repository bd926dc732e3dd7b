//! The file allocation table: chains of clusters.

use std::collections::HashMap;
use std::sync::Arc;

use mip_base::bytes::{le_u16, le_u32};
use mip_base::{Code, Error, Job, ReadAt, Result, Source, len64, read_full_at};

use crate::boot::{Boot, Kind, damaged};

/// Bytes of the table that are read at once.
const PAGE: u64 = 4096;
/// Most bytes of the table that are kept: entries of 16 million clusters.
const KEPT: u64 = 64 << 20;
/// Steps between two looks at the job.
const STEPS: u32 = 1 << 16;
/// Most runs of neighbouring clusters in a file: 8 MiB of them.
const RUNS: usize = 1 << 20;

/// A table entry as the next step of a chain.
pub(crate) enum Next {
    Cluster(u32),
    End,
}

/// Reads entries. Keeps the pages of the table that it read: a chain may lead from page to page
/// with each step, and a page of an encrypted or packed image costs far more than a step should.
pub(crate) struct Table<'a> {
    boot: &'a Boot,
    source: &'a Source,
    pages: HashMap<u64, Vec<u8>>,
    /// The page that was used last, and its number.
    page: Vec<u8>,
    number: Option<u64>,
}

impl<'a> Table<'a> {
    pub(crate) fn new(boot: &'a Boot, source: &'a Source) -> Self {
        Self { boot, source, pages: HashMap::new(), page: Vec::new(), number: None }
    }

    /// Makes page `number` the one in use.
    fn turn_to(&mut self, number: u64) -> Result<()> {
        let kept = self.pages.remove(&number);
        let used = std::mem::take(&mut self.page);
        if let Some(before) = self.number.take() {
            self.pages.insert(before, used);
        }
        self.page = match kept {
            Some(page) => page,
            None => {
                let bytes = len64(self.pages.len()).saturating_add(1).saturating_mul(PAGE);
                if bytes > KEPT {
                    let what = "pages of an allocation table";
                    return Err(Error::limit(Code::LimitMemory, what, KEPT, bytes));
                }
                let start = number.saturating_mul(PAGE);
                // A little more than the page: 12-bit entries cross pages.
                let len = self.boot.fat_bytes.saturating_sub(start).min(PAGE.saturating_add(4));
                let mut page = vec![0; usize::try_from(len).unwrap_or(0)];
                let from = self.boot.fat.saturating_add(start);
                read_full_at(self.source, from, &mut page, Code::Fat)?;
                page
            }
        };
        self.number = Some(number);
        Ok(())
    }

    /// The entry of any number below the clusters + 2, as stored.
    pub(crate) fn entry(&mut self, cluster: u32) -> Result<u32> {
        let n = u64::from(cluster);
        let at = match self.boot.kind {
            Kind::Fat12 => n.saturating_add(n / 2),
            Kind::Fat16 => n.saturating_mul(2),
            Kind::Fat32 => n.saturating_mul(4),
        };
        if self.number != Some(at / PAGE) {
            self.turn_to(at / PAGE)?;
        }
        let i = usize::try_from(at % PAGE).unwrap_or(usize::MAX);
        let value = match self.boot.kind {
            Kind::Fat12 => le_u16(&self.page, i)
                .map(|v| u32::from(if n.is_multiple_of(2) { v & 0xfff } else { v >> 4 })),
            Kind::Fat16 => le_u16(&self.page, i).map(u32::from),
            Kind::Fat32 => le_u32(&self.page, i).map(|v| v & 0x0fff_ffff),
        };
        value.ok_or_else(|| damaged(format!("cluster {cluster} has no table entry")))
    }

    /// What follows `cluster` in its chain.
    pub(crate) fn next(&mut self, cluster: u32) -> Result<Next> {
        let value = self.entry(cluster)?;
        let end = match self.boot.kind {
            Kind::Fat12 => 0xff8,
            Kind::Fat16 => 0xfff8,
            Kind::Fat32 => 0x0fff_fff8,
        };
        if value >= end {
            return Ok(Next::End);
        }
        if self.boot.has(value) {
            return Ok(Next::Cluster(value));
        }
        Err(damaged(format!(
            "cluster {cluster} is followed by {value}, the volume has {} clusters",
            self.boot.clusters
        )))
    }
}

/// One chain, step by step, with the detection of a loop in constant memory (Brent).
pub(crate) struct Chain<'t, 'a> {
    table: &'t mut Table<'a>,
    job: &'t Job,
    at: Option<u32>,
    steps: u32,
    /// The cluster at the last power of two of steps.
    mark: u32,
    mark_steps: u32,
}

impl<'t, 'a> Chain<'t, 'a> {
    /// The chain that starts at `first`.
    pub(crate) fn new(table: &'t mut Table<'a>, first: u32, job: &'t Job) -> Result<Self> {
        if !table.boot.has(first) {
            return Err(damaged(format!(
                "data starts at cluster {first}, the volume has {} clusters",
                table.boot.clusters
            )));
        }
        Ok(Self { table, job, at: Some(first), steps: 0, mark: first, mark_steps: 1 })
    }

    /// The next cluster of the chain; `None` behind its end.
    pub(crate) fn step(&mut self) -> Result<Option<u32>> {
        let Some(at) = self.at else { return Ok(None) };
        self.steps = self.steps.saturating_add(1);
        if self.steps.is_multiple_of(STEPS) {
            self.job.check()?;
        }
        self.at = match self.table.next(at)? {
            Next::End => None,
            Next::Cluster(next) => {
                if next == self.mark || self.steps > self.table.boot.clusters {
                    return Err(damaged(format!("the chain of cluster {at} is a loop")));
                }
                if self.steps >= self.mark_steps {
                    self.mark = next;
                    self.mark_steps = self.mark_steps.saturating_mul(2);
                }
                Some(next)
            }
        };
        Ok(Some(at))
    }
}

/// Neighbouring clusters of a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    /// Number of the first one in the file.
    pub(crate) index: u32,
    /// Its number on the volume.
    pub(crate) cluster: u32,
}

/// The runs of the first `count` clusters of the chain at `first`.
pub(crate) fn runs(table: &mut Table<'_>, first: u32, count: u32, job: &Job) -> Result<Vec<Run>> {
    let mut runs: Vec<Run> = Vec::new();
    let mut chain = Chain::new(table, first, job)?;
    let mut following = None;
    for index in 0..count {
        let cluster = chain.step()?.ok_or_else(|| too_short(index, count))?;
        if following != Some(cluster) {
            if runs.len() >= RUNS {
                let n = len64(runs.len()).saturating_add(1);
                return Err(Error::limit(Code::Limit, "runs of one file", len64(RUNS), n));
            }
            runs.push(Run { index, cluster });
        }
        following = cluster.checked_add(1);
    }
    Ok(runs)
}

fn too_short(clusters: u32, needed: u32) -> Error {
    damaged(format!("the chain has {clusters} clusters, the size needs {needed}"))
}

/// Clusters that belong to something already: one bit each.
pub(crate) struct Claims(Vec<u8>);

impl Claims {
    pub(crate) fn new(boot: &Boot, job: &Job) -> Result<Self> {
        let bytes = u64::from(boot.clusters).div_ceil(8).saturating_add(1);
        Ok(Self(job.buffer("map of clusters", bytes, 64 << 20)?))
    }

    /// Takes `cluster`; an error when it was taken before.
    pub(crate) fn take(&mut self, cluster: u32) -> Result<()> {
        let n = cluster.saturating_sub(2);
        let (byte, bit) = (usize::try_from(n / 8).unwrap_or(usize::MAX), 1_u8 << (n % 8));
        match self.0.get_mut(byte) {
            Some(b) if *b & bit == 0 => {
                *b |= bit;
                Ok(())
            }
            _ => Err(damaged(format!("cluster {cluster} belongs to two files or folders"))),
        }
    }

    /// Takes the first `count` clusters of a chain, which must have as many, or all of it.
    pub(crate) fn take_chain(
        &mut self,
        table: &mut Table<'_>,
        first: u32,
        count: Option<u32>,
        job: &Job,
    ) -> Result<()> {
        let mut chain = Chain::new(table, first, job)?;
        let mut taken = 0_u32;
        while count.is_none_or(|c| taken < c) {
            match (chain.step()?, count) {
                (Some(cluster), _) => self.take(cluster)?,
                (None, Some(needed)) => return Err(too_short(taken, needed)),
                (None, None) => break,
            }
            taken = taken.saturating_add(1);
        }
        Ok(())
    }
}

/// Bytes of a file on a volume.
pub(crate) struct File {
    pub(crate) boot: Arc<Boot>,
    pub(crate) source: Source,
    pub(crate) runs: Vec<Run>,
    pub(crate) size: u64,
}

impl ReadAt for File {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<usize> {
        let cluster = self.boot.cluster;
        let index = offset.checked_div(cluster).unwrap_or(0);
        let after = self.runs.partition_point(|r| u64::from(r.index) <= index);
        let Some(run) = after.checked_sub(1).and_then(|i| self.runs.get(i)) else { return Ok(0) };
        let start = u64::from(run.index).saturating_mul(cluster);
        let end = self
            .runs
            .get(after)
            .map_or(self.size, |next| u64::from(next.index).saturating_mul(cluster).min(self.size));
        let left = usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX);
        let n = left.min(buf.len());
        let Some(buf) = buf.get_mut(..n).filter(|b| !b.is_empty()) else { return Ok(0) };
        let at = self.boot.position(run.cluster).saturating_add(offset.saturating_sub(start));
        Ok(self.source.read_at(at, buf)?.min(n))
    }
}
