//! Forks and their extents (TN1150, "Fork Data Structure" and "Extents Overflow File").

use std::fmt;
use std::io;

use mip_base::bytes::{be_u32, be_u64};
use mip_base::{Code, Error, Job, ReadAt, Result, Source, len64};

use crate::btree::{BTree, Compare};

/// A run of allocation blocks (`HFSPlusExtentDescriptor`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) start: u32,
    pub(crate) count: u32,
}

/// `HFSPlusForkData`: the size of a fork and its first extents, empty ones left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fork {
    /// `logicalSize`, bytes.
    pub(crate) size: u64,
    /// `totalBlocks`: may be more than the size needs.
    pub(crate) blocks: u32,
    pub(crate) extents: Box<[Extent]>,
}

impl Fork {
    pub(crate) fn parse(b: &[u8], at: usize) -> Option<Self> {
        Some(Self {
            size: be_u64(b, at)?,
            blocks: be_u32(b, at.checked_add(12)?)?,
            extents: parse_extents(b, at.checked_add(16)?)?,
        })
    }
}

/// Eight extent descriptors at `at`; the list ends at the first empty one.
pub(crate) fn parse_extents(b: &[u8], at: usize) -> Option<Box<[Extent]>> {
    let b = mip_base::bytes::slice(b, at, 64)?;
    let mut out = Vec::new();
    for d in b.chunks_exact(8) {
        let e = Extent { start: be_u32(d, 0)?, count: be_u32(d, 4)? };
        if e.count == 0 {
            break;
        }
        out.push(e);
    }
    Some(out.into_boxed_slice())
}

/// Most extents of one fork: 24 MiB when laid out. A volume in as many pieces would be no use.
const MAX_EXTENTS: usize = 500_000;

/// Adds `more` to the extents of a fork.
pub(crate) fn extend(all: &mut Vec<Extent>, more: &[Extent]) -> Result<()> {
    all.extend_from_slice(more);
    if all.len() > MAX_EXTENTS {
        let (limit, n) = (len64(MAX_EXTENTS), len64(all.len()));
        return Err(Error::limit(Code::LimitMemory, "extents of one fork", limit, n));
    }
    Ok(())
}

/// Which fork of a file, as the extents overflow file numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ForkKind {
    Data = 0x00,
    Resource = 0xFF,
}

/// A fork of a file in words, for messages.
pub(crate) fn fork_name(id: u32, kind: ForkKind) -> String {
    let which = if kind == ForkKind::Data { "data" } else { "resource" };
    format!("the {which} fork of file {id}")
}

/// What every extent of a volume is checked against.
#[derive(Debug, Clone)]
pub(crate) struct Geometry {
    pub(crate) block_size: u32,
    pub(crate) total_blocks: u32,
    /// Extents of the volume's own files, by start: no other fork may touch them.
    pub(crate) own: Vec<Extent>,
}

impl Geometry {
    /// Whether `e` shares a block with one of the volume's own files.
    fn touches_own(&self, e: Extent) -> bool {
        let end = e.start.saturating_add(e.count);
        let after = self.own.partition_point(|o| o.start < end);
        // `own` does not overlap itself, so only the last one that starts before `end` can reach.
        after
            .checked_sub(1)
            .and_then(|i| self.own.get(i))
            .is_some_and(|o| o.start.saturating_add(o.count) > e.start)
    }

    /// Adds the extents of one of the volume's own files; [`seal`](Self::seal) ends the list.
    pub(crate) fn claim(&mut self, extents: &[Extent]) {
        self.own.extend_from_slice(extents);
    }

    /// Orders the claimed extents, and checks that they are apart.
    pub(crate) fn seal(&mut self) -> Result<()> {
        self.own.sort_unstable_by_key(|e| (e.start, e.count));
        for pair in self.own.windows(2) {
            if let [a, b] = pair
                && a.start.saturating_add(a.count) > b.start
            {
                return Err(Error::new(
                    Code::HfsExtent,
                    format!("two of the volume's own files share block {}", b.start),
                ));
            }
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy)]
struct Run {
    /// Where the run starts in the fork, bytes.
    at: u64,
    /// Where it lies in the volume, bytes.
    from: u64,
    len: u64,
}

/// The bytes of one fork.
pub(crate) struct ForkSource {
    volume: Source,
    runs: Box<[Run]>,
    size: u64,
}

impl fmt::Debug for ForkSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForkSource").field("size", &self.size).field("runs", &self.runs).finish()
    }
}

impl ForkSource {
    /// Lays `extents` out. `own`: this is one of the volume's own files.
    pub(crate) fn new(
        volume: Source,
        geometry: &Geometry,
        what: &str,
        size: u64,
        extents: &[Extent],
        own: bool,
    ) -> Result<Self> {
        let bad = |m: String| Error::new(Code::HfsExtent, m);
        let block = u64::from(geometry.block_size);
        let mut runs: Vec<Run> = Vec::new();
        let mut at = 0_u64;
        for e in extents {
            if e.start.checked_add(e.count).is_none_or(|end| end > geometry.total_blocks) {
                return Err(bad(format!(
                    "{what}: {} blocks from block {} leave the volume of {} blocks",
                    e.count, e.start, geometry.total_blocks
                )));
            }
            if !own && geometry.touches_own(*e) {
                return Err(bad(format!(
                    "{what}: the extent at block {} lies in the volume's own files",
                    e.start
                )));
            }
            let from = u64::from(e.start).saturating_mul(block);
            let len = u64::from(e.count).saturating_mul(block);
            match runs.last_mut() {
                Some(r) if r.from.saturating_add(r.len) == from => {
                    r.len = r.len.saturating_add(len);
                }
                _ => runs.push(Run { at, from, len }),
            }
            at = at.saturating_add(len);
        }
        if size > at {
            return Err(bad(format!("{what}: {size} bytes, but its extents hold only {at}")));
        }
        let mut by_place: Vec<(u64, u64)> = runs.iter().map(|r| (r.from, r.len)).collect();
        by_place.sort_unstable();
        for pair in by_place.windows(2) {
            if let [a, b] = pair
                && a.0.saturating_add(a.1) > b.0
            {
                return Err(bad(format!("{what}: two of its extents overlap")).at(b.0));
            }
        }
        Ok(Self { volume, runs: runs.into_boxed_slice(), size })
    }

    /// Where byte `offset` of the fork lies in the volume, for messages.
    pub(crate) fn place(&self, offset: u64) -> u64 {
        self.run(offset).map_or(offset, |r| r.from.saturating_add(offset.saturating_sub(r.at)))
    }

    fn run(&self, offset: u64) -> Option<&Run> {
        let i = self.runs.partition_point(|r| r.at <= offset).checked_sub(1)?;
        self.runs.get(i)
    }
}

impl ReadAt for ForkSource {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let want = left.min(buf.len());
        let mut rest = buf.get_mut(..want).unwrap_or_default();
        let mut at = offset;
        while !rest.is_empty() {
            let Some(run) = self.run(at) else { break };
            let skip = at.saturating_sub(run.at);
            let here = usize::try_from(run.len.saturating_sub(skip)).unwrap_or(usize::MAX);
            let n = here.min(rest.len());
            let Some((part, after)) = rest.split_at_mut_checked(n) else { break };
            if n == 0 {
                break;
            }
            let got = self.volume.read_at(run.from.saturating_add(skip), part)?.min(n);
            at = at.saturating_add(len64(got));
            if got < n {
                break;
            }
            rest = after;
        }
        usize::try_from(at.saturating_sub(offset)).map_err(|_| io::ErrorKind::InvalidData.into())
    }
}

/// The extents overflow file.
pub(crate) struct Overflow {
    pub(crate) tree: Option<BTree>,
}

/// Bytes that an extent of the extents overflow file is charged as. Thousands of hard links to one
/// file in many pieces have these collected each time, which no read of data would pay for.
const CHARGE: u64 = 2 << 10;

impl Overflow {
    /// All extents of a fork: those of its record, then those of the extents overflow file.
    pub(crate) fn extents(
        &self,
        id: u32,
        kind: ForkKind,
        fork: &Fork,
        job: &Job,
    ) -> Result<Vec<Extent>> {
        let mut out = fork.extents.to_vec();
        let mut have = blocks(&out);
        let want = u64::from(fork.blocks);
        if have >= want {
            return Ok(out);
        }
        let what = || fork_name(id, kind);
        let missing = |have: u64| {
            Error::new(
                Code::HfsExtent,
                format!("{}: {want} blocks, but only {have} are described", what()),
            )
        };
        let Some(tree) = &self.tree else { return Err(missing(have)) };
        let first = u32::try_from(have).map_err(|_| missing(have))?;
        let wanted = (id, kind as u8, first);
        let order: &Compare<'_> = &|key| Ok(key_of(key)?.cmp(&wanted));
        tree.range(job, order, &mut |key, data| {
            let (file, fork_type, start) = key_of(key)?;
            if (file, fork_type) != (id, kind as u8) || have >= want {
                return Ok(false);
            }
            if u64::from(start) != have {
                return Err(missing(have));
            }
            let more = parse_extents(data, 0).ok_or_else(|| missing(have))?;
            if more.is_empty() {
                return Err(missing(have));
            }
            have = have.saturating_add(blocks(&more));
            extend(&mut out, &more)?;
            job.expanded(len64(more.len()).saturating_mul(CHARGE))?;
            Ok(true)
        })?;
        if have < want {
            return Err(missing(have));
        }
        Ok(out)
    }
}

/// Blocks of a list of extents.
pub(crate) fn blocks(extents: &[Extent]) -> u64 {
    extents.iter().fold(0, |n, e| n.saturating_add(u64::from(e.count)))
}

/// `HFSPlusExtentKey` in the order of the tree: file, fork, first block.
pub(crate) fn key_of(key: &[u8]) -> Result<(u32, u8, u32)> {
    let parts = (be_u32(key, 2), key.first(), be_u32(key, 6));
    if let (Some(file), Some(fork), Some(start)) = parts {
        return Ok((file, *fork, start));
    }
    Err(Error::new(Code::HfsBtree, "a key of the extents overflow file is cut"))
}
