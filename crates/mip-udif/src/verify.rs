//! Checking an image against its own checksums, with several threads.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crc32fast::Hasher;
use mip_base::{Code, Error, Job, Result, escape, len64, read_full_at};

use crate::koly::Checksum;
use crate::reader::Disk;
use crate::runs::Kind;
use crate::{Table, Trailer};

/// Bytes of the data fork that are one piece of work.
const PIECE: u64 = 4 << 20;
/// Raw bytes are read in parts of this size.
const READ: u64 = 1 << 20;

/// What [`Udif::verify`](crate::Udif::verify) found to be right. What is wrong is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Verified {
    /// Tables whose decoded bytes match their CRC-32.
    pub tables_checked: u64,
    /// Tables without a checksum.
    pub tables_without: u64,
    /// Tables whose checksum is of a kind that is not known, and was not checked.
    pub tables_unknown: u64,
    /// `Some(true)`: the bytes of the data fork match. `Some(false)`: a checksum of an unknown
    /// kind, not checked. `None`: there is none.
    pub data_fork: Option<bool>,
    /// The same for the checksum of the tables' checksums.
    pub master: Option<bool>,
    /// Bytes of the disk that were decoded.
    pub decoded: u64,
}

/// Each part of the work gives one CRC-32; the parts are put together in order at the end.
struct Parts<'d> {
    disk: &'d Disk,
    job: &'d Job,
    data_fork: Option<(u64, u64)>,
    /// CRC-32 of run 0, 1, …, then of the pieces of the data fork.
    done: Vec<Mutex<u32>>,
    next: AtomicUsize,
    failed: AtomicBool,
}

pub(crate) fn verify(
    disk: &Disk,
    trailer: &Trailer,
    tables: &[Table],
    threads: usize,
    job: &Job,
) -> Result<Verified> {
    let mut out = Verified::default();
    for table in tables {
        match table.checksum {
            Some(_) => out.tables_checked = out.tables_checked.saturating_add(1),
            None if table.stored_checksum.is_none() => {
                out.tables_without = out.tables_without.saturating_add(1);
            }
            None => out.tables_unknown = out.tables_unknown.saturating_add(1),
        }
    }
    let known = |c: &Checksum| (!c.is_none()).then_some(c.crc32().is_some());
    (out.data_fork, out.master) = (known(&trailer.data_checksum), known(&trailer.master_checksum));

    // Cheap, and a damaged table explains what follows.
    if let Some(stored) = trailer.master_checksum.crc32() {
        master(tables, stored).map_err(|e| e.at(trailer.offset))?;
    }
    let fork = trailer.data_checksum.crc32().map(|_| trailer.data_fork);
    let pieces = fork.map_or(0, |(_, len)| len.div_ceil(PIECE));
    let runs = disk.runs.all();
    let parts = usize::try_from(pieces).unwrap_or(usize::MAX).saturating_add(runs.len());
    let work = Parts {
        disk,
        job,
        data_fork: fork,
        done: std::iter::repeat_with(Mutex::default).take(parts).collect(),
        next: AtomicUsize::new(0),
        failed: AtomicBool::new(false),
    };
    run_on(threads.clamp(1, parts.max(1)), &work)?;

    for run in runs.iter().filter(|r| matches!(r.kind, Kind::Packed(_))) {
        out.decoded = out.decoded.saturating_add(run.len());
    }
    for table in tables {
        let Some(stored) = table.checksum else { continue };
        job.check()?;
        let mut crc = Hasher::new();
        let first = table.first_run;
        let last = first.saturating_add(usize::try_from(table.chunks).unwrap_or(usize::MAX));
        for i in first..last.min(runs.len()) {
            let Some(run) = runs.get(i) else { break };
            match run.kind {
                Kind::Ignore => {}
                Kind::Zero => {
                    crc.combine(&Hasher::new_with_initial_len(zeros(run.len()), run.len()))
                }
                _ => crc.combine(&Hasher::new_with_initial_len(work.crc(i), run.len())),
            }
        }
        let what = format!("table {} \"{}\"", table.id, escape(&table.name));
        compare(&what, stored, crc.finalize())?;
    }
    if let Some(((at, len), stored)) = fork.zip(trailer.data_checksum.crc32()) {
        let mut crc = Hasher::new();
        for i in 0..pieces {
            let index = runs.len().saturating_add(usize::try_from(i).unwrap_or(usize::MAX));
            let piece = len.saturating_sub(i.saturating_mul(PIECE)).min(PIECE);
            crc.combine(&Hasher::new_with_initial_len(work.crc(index), piece));
        }
        compare("the data fork", stored, crc.finalize()).map_err(|e| e.at(at))?;
    }
    Ok(out)
}

fn run_on(threads: usize, work: &Parts<'_>) -> Result<()> {
    std::thread::scope(|scope| {
        let more: Vec<_> = (1..threads)
            .map_while(|_| {
                let name = std::thread::Builder::new().name("udif-verify".into());
                name.spawn_scoped(scope, || work.run()).ok()
            })
            .collect();
        let mut first = work.run();
        for thread in more {
            let result = thread
                .join()
                .unwrap_or_else(|_| Err(Error::new(Code::Internal, "a verify thread panicked")));
            // The first error in the order of the threads; each is one of the same image.
            first = first.and(result);
        }
        first
    })
}

/// The master checksum: CRC-32 of the tables' checksums, in the order of the property list,
/// which is that of the disk.
fn master(tables: &[Table], stored: u32) -> Result<()> {
    let mut by_file: Vec<&Table> = tables.iter().collect();
    by_file.sort_by_key(|t| t.position);
    let mut crc = Hasher::new();
    for table in by_file {
        crc.update(table.stored_checksum.value());
    }
    compare("the checksums of all tables", stored, crc.finalize())
}

fn compare(what: &str, stored: u32, computed: u32) -> Result<()> {
    if stored == computed {
        return Ok(());
    }
    let why = format!("{what}: the CRC-32 is {computed:08x}, the image says {stored:08x}");
    Err(Error::new(Code::DmgChecksum, why))
}

/// The CRC-32 of `len` zeros, by squaring: a run may be longer than anything that can be read.
/// A zero byte multiplies the state by x^8 in the field of CRC-32.
fn zeros(len: u64) -> u32 {
    // Reflected: the highest bit is x^0, and 2^23 is x^8.
    let (mut state, mut power) = (u32::MAX, 1 << 23);
    let mut left = len;
    while left != 0 {
        if left & 1 == 1 {
            state = multiply(state, power);
        }
        power = multiply(power, power);
        left >>= 1;
    }
    !state
}

/// `a` × `b` modulo the polynomial of CRC-32, both reflected.
fn multiply(a: u32, mut b: u32) -> u32 {
    let mut product = 0;
    for bit in (0..u32::BITS).rev() {
        if a.checked_shr(bit).is_some_and(|a| a & 1 == 1) {
            product ^= b;
        }
        let carry = b & 1 == 1;
        b >>= 1;
        if carry {
            b ^= 0xEDB8_8320;
        }
    }
    product
}

impl Parts<'_> {
    fn crc(&self, index: usize) -> u32 {
        self.done.get(index).map_or(0, |c| *c.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes parts until there are none left.
    fn run(&self) -> Result<()> {
        let mut memory = Vec::new();
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(slot) = self.done.get(index) else { return Ok(()) };
            if self.failed.load(Ordering::Relaxed) {
                return Ok(());
            }
            let crc = self.part(index, &mut memory).inspect_err(|_| {
                self.failed.store(true, Ordering::Relaxed);
            })?;
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = crc;
        }
    }

    fn part(&self, index: usize, memory: &mut Vec<u8>) -> Result<u32> {
        let runs = self.disk.runs.all();
        let Some(run) = runs.get(index) else {
            let piece = len64(index.saturating_sub(runs.len())).saturating_mul(PIECE);
            let (at, len) = self.data_fork.unwrap_or_default();
            let here = len.saturating_sub(piece).min(PIECE);
            return self.stored(at.saturating_add(piece), here, memory);
        };
        match run.kind {
            Kind::Zero | Kind::Ignore => Ok(0),
            Kind::Raw => self.stored(run.offset, run.len(), memory),
            Kind::Packed(codec) => {
                let limit = self.job.limits().image_chunk;
                if len64(memory.len()) < run.len() {
                    *memory = self.job.buffer("image-chunk", run.len(), limit)?;
                }
                let n = usize::try_from(run.len()).unwrap_or(usize::MAX);
                let out = memory.get_mut(..n).unwrap_or_default();
                self.disk.unpack(index, run, codec, out, self.job)?;
                Ok(crc32fast::hash(out))
            }
        }
    }

    /// The CRC-32 of bytes of the file.
    fn stored(&self, at: u64, len: u64, memory: &mut Vec<u8>) -> Result<u32> {
        let read = READ.min(len);
        if len64(memory.len()) < read {
            *memory = self.job.buffer("bytes read at once", read, READ)?;
        }
        let mut crc = Hasher::new();
        let mut done = 0_u64;
        while done < len {
            self.job.check()?;
            let n = usize::try_from(len.saturating_sub(done).min(READ)).unwrap_or(usize::MAX);
            let part = memory.get_mut(..n).unwrap_or_default();
            read_full_at(&self.disk.source, at.saturating_add(done), part, Code::DmgChunk)?;
            crc.update(part);
            done = done.saturating_add(len64(n));
        }
        Ok(crc.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_by_doubling() {
        for len in [0, 1, 2, 3, 511, 512, 4096 * 3 + 7] {
            assert_eq!(zeros(len), crc32fast::hash(&vec![0; len as usize]), "{len}");
        }
    }

    #[test]
    fn zeros_that_nobody_can_read() {
        // Python: zlib.crc32 over 2^32 zeros in pieces of 16 MiB.
        assert_eq!(zeros(1 << 32), 0xD202_EF8D);
        zeros(u64::MAX);
    }
}
