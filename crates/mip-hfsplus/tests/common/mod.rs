//! What the tests share: open bytes, read everything there is, count what is read.

#![allow(dead_code, reason = "each test file uses a part")]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mip_base::{Code, EntryKind, Error, Job, ReadAt, Result, Source, read_full_at};
use mip_hfsplus::{Node, Volume};

/// Opens a volume that is in memory.
pub(crate) fn open(bytes: &[u8]) -> Result<Volume> {
    Volume::open(Arc::new(bytes.to_vec()), &Job::default())
}

/// The code that `what` fails with.
#[track_caller]
pub(crate) fn code<T>(what: Result<T>) -> Code {
    what.err().expect("an error").code()
}

/// All bytes of a source that is not absurdly big.
pub(crate) fn bytes(source: &Source) -> Result<Vec<u8>> {
    assert!(source.size() < 64 << 20, "{} bytes", source.size());
    let mut out = vec![0; source.size() as usize];
    read_full_at(source, 0, &mut out, Code::Truncated)?;
    Ok(out)
}

/// The data of the file at `path`.
pub(crate) fn data(volume: &Volume, path: &str) -> Result<Vec<u8>> {
    let job = Job::default();
    let node = volume.lookup(path, &job)?.unwrap_or_else(|| panic!("{path} is there"));
    bytes(&volume.open_file(&node, &job)?)
}

/// The entry at `path`.
#[track_caller]
pub(crate) fn node(volume: &Volume, path: &str) -> Node {
    volume.lookup(path, &Job::default()).unwrap().unwrap_or_else(|| panic!("{path} is there"))
}

/// Paths in the order of the walk.
pub(crate) fn paths(volume: &Volume) -> Result<Vec<String>> {
    let mut out = Vec::new();
    volume.walk(&Job::default(), &mut |f| {
        out.push(f.path);
        Ok(())
    })?;
    Ok(out)
}

/// Reads everything of a volume by every way there is; the first error.
pub(crate) fn read_all(bytes: &[u8]) -> Result<Vec<String>> {
    let job = Job::default();
    let volume = open(bytes)?;
    let mut out = vec![format!("{:?}", volume.info())];
    let touch = |source: Source| -> Result<u64> {
        let mut buf = vec![0; 100_000];
        let (mut at, mut sum) = (0, 0_u64);
        // The beginning and the end of what may be huge.
        while at < source.size() && at < 2_000_000 {
            let n =
                source.read_at(at, &mut buf).map_err(|e| Error::from_io(Code::InputIo, "", e))?;
            assert!(n > 0, "nothing at {at} of {}", source.size());
            sum = buf[..n].iter().fold(sum, |s, b| s.wrapping_mul(31).wrapping_add(u64::from(*b)));
            at += n as u64;
        }
        Ok(sum)
    };
    let mut folders = vec![volume.root()];
    volume.walk(&job, &mut |f| {
        let mut line = format!("{} {:?}", f.path, f.node);
        match f.node.kind {
            EntryKind::File => line += &touch(volume.open_file(&f.node, &job)?)?.to_string(),
            EntryKind::Symlink => line += &volume.read_link(&f.node, &job)?,
            EntryKind::Directory => folders.push(f.node.clone()),
            _ => {}
        }
        if let Some(fork) = volume.resource_fork(&f.node, &job)? {
            line += &touch(fork)?.to_string();
        }
        for x in volume.xattrs(&f.node, &job)? {
            let v = volume.xattr(&f.node, &x.name, 1 << 20, &job)?;
            line += &format!("{} {:?}", x.name, v.map(|v| v.len()));
        }
        volume.lookup(&f.path, &job)?;
        out.push(line);
        Ok(())
    })?;
    for folder in folders {
        volume.children(&folder, &job)?;
    }
    Ok(out)
}

/// Gives at most `step` bytes at a time, and counts.
pub(crate) struct Slow {
    pub(crate) bytes: Vec<u8>,
    pub(crate) step: usize,
    pub(crate) read: AtomicU64,
    pub(crate) calls: AtomicU64,
}

impl Slow {
    pub(crate) fn new(bytes: Vec<u8>, step: usize) -> Arc<Self> {
        Arc::new(Self { bytes, step, read: AtomicU64::new(0), calls: AtomicU64::new(0) })
    }

    /// Bytes and calls since the last time.
    pub(crate) fn take(&self) -> (u64, u64) {
        (self.read.swap(0, Ordering::Relaxed), self.calls.swap(0, Ordering::Relaxed))
    }
}

impl ReadAt for Slow {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let n = buf.len().min(self.step);
        let n = self.bytes.read_at(offset, &mut buf[..n])?;
        self.read.fetch_add(n as u64, Ordering::Relaxed);
        self.calls.fetch_add(1, Ordering::Relaxed);
        Ok(n)
    }
}

/// Writes `value` at `offset`.
pub(crate) fn put(bytes: &mut [u8], offset: u64, value: &[u8]) {
    let at = offset as usize;
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// Bytes that do not repeat soon.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut x = 0x2545_F491_4F6C_DD1D_u64;
    (0..len)
        .map(|_| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x as u8
        })
        .collect()
}
