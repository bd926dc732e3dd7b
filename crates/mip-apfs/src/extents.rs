//! The data of a file: its extents, read where they are needed.

use std::cmp::Ordering;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use mip_base::bytes::le_u64;
use mip_base::{Code, Error, Job, ReadAt, Result, len64, read_full_at};

use crate::crypto::{SECTOR, first_sector};
use crate::records::{self, Extent, kind};
use crate::volume::Fs;

/// Extents that are kept at a time: a file of any number of them costs the same memory.
const WINDOW: usize = 1024;

/// Extents in order, and the stretch of the file that they and the holes between them cover.
struct Window {
    start: u64,
    end: u64,
    extents: Vec<Extent>,
}

/// The bytes of a data stream.
pub(crate) struct Data {
    fs: Arc<Fs>,
    /// The object that the extents belong to.
    id: u64,
    size: u64,
    window: Mutex<Arc<Window>>,
    job: Job,
}

impl Data {
    /// Opens the stream of `size` bytes in the extents of object `id`. The first extents are
    /// read and checked.
    pub(crate) fn open(fs: Arc<Fs>, id: u64, size: u64, job: &Job) -> Result<Self> {
        let empty = Window { start: 0, end: 0, extents: Vec::new() };
        let first = if size == 0 { empty } else { load(&fs, id, 0, size, job)? };
        let window = Mutex::new(Arc::new(first));
        Ok(Self { fs, id, size, window, job: job.clone() })
    }

    fn window(&self, offset: u64) -> Result<Arc<Window>> {
        let now = self.window.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if (now.start..now.end).contains(&offset) {
            return Ok(now);
        }
        let next = Arc::new(load(&self.fs, self.id, offset, self.size, &self.job)?);
        *self.window.lock().unwrap_or_else(PoisonError::into_inner) = next.clone();
        Ok(next)
    }

    /// Reads `buf` from one extent or hole; how much of it was filled.
    fn piece(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let window = self.window(offset)?;
        let next = window.extents.partition_point(|e| e.logical <= offset);
        let here = next.checked_sub(1).and_then(|i| window.extents.get(i));
        let (extent, end) = match here {
            Some(e) if offset < e.end() => (Some(e).filter(|e| e.block != 0), e.end()),
            _ => (None, window.extents.get(next).map_or(window.end, |e| e.logical)),
        };
        let left = usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX);
        let n = left.min(buf.len());
        let out = buf.get_mut(..n).unwrap_or_default();
        match extent {
            None => {
                self.job.expanded(len64(n))?;
                out.fill(0);
            }
            Some(e) => self.read(e, offset.saturating_sub(e.logical), out)?,
        }
        Ok(n)
    }

    /// Reads from byte `within` of an extent.
    fn read(&self, extent: &Extent, within: u64, out: &mut [u8]) -> Result<()> {
        let device = &self.fs.shared.device;
        let base = device.shown(extent.block);
        let Some(key) = &self.fs.key else {
            self.job.check()?;
            return read_full_at(
                &*device.source,
                base.saturating_add(within),
                out,
                Code::Truncated,
            );
        };
        self.job.expanded(len64(out.len()))?;
        let first = first_sector(extent.crypto, device.block_size);
        let sector = len64(SECTOR);
        let (mut at, mut rest) = (within, out);
        while !rest.is_empty() {
            let skip = usize::try_from(at.checked_rem(sector).unwrap_or(0)).unwrap_or(0);
            let index = at.checked_div(sector).unwrap_or(0);
            let number = first.wrapping_add(index);
            let place = base.saturating_add(index.saturating_mul(sector));
            let whole = rest.len().saturating_sub(rest.len().checked_rem(SECTOR).unwrap_or(0));
            let n = if skip == 0 && whole > 0 {
                let whole = rest.get_mut(..whole).unwrap_or_default();
                read_full_at(&*device.source, place, whole, Code::Truncated)?;
                key.decrypt(whole, number);
                whole.len()
            } else {
                let mut one = [0; SECTOR];
                read_full_at(&*device.source, place, &mut one, Code::Truncated)?;
                key.decrypt(&mut one, number);
                let part = one.get(skip..).unwrap_or_default();
                let n = part.len().min(rest.len());
                if let (Some(to), Some(from)) = (rest.get_mut(..n), part.get(..n)) {
                    to.copy_from_slice(from);
                }
                n
            };
            at = at.saturating_add(len64(n));
            rest = rest.get_mut(n..).unwrap_or_default();
        }
        Ok(())
    }
}

/// Reads up to [`WINDOW`] extents of object `id` from the one that holds `offset` on.
fn load(fs: &Fs, id: u64, offset: u64, size: u64, job: &Job) -> Result<Window> {
    let want = (Some((id, kind::FILE_EXTENT)), Some(offset));
    let order = |k: &[u8]| (records::split(k), le_u64(k, 8)).cmp(&want);
    let mut cursor = fs.tree.floor(order, job)?;
    let before = match cursor.record()? {
        Some((key, _)) => records::split(key) == Some((id, kind::FILE_EXTENT)),
        None => false,
    };
    if !before {
        cursor = fs.tree.seek(order, job)?;
    }
    let mut w = Window { start: offset, end: size, extents: Vec::new() };
    while let Some((key, value)) = cursor.record()? {
        if records::split(key) != Some((id, kind::FILE_EXTENT)) {
            break;
        }
        let e = Extent::parse(key, value)?;
        if e.logical >= size {
            break;
        }
        check(fs, &e)?;
        match w.extents.last() {
            Some(last) if last.end() > e.logical => {
                return Err(bad(&e, "overlaps the one before it"));
            }
            None => w.start = offset.min(e.logical),
            Some(_) => {}
        }
        if w.extents.len() >= WINDOW {
            w.end = e.logical;
            break;
        }
        w.extents.push(e);
        cursor.advance(job)?;
    }
    Ok(w)
}

fn bad(e: &Extent, what: &str) -> Error {
    Error::new(
        Code::ApfsExtent,
        format!("the extent at byte {} ({} bytes from block {}) {what}", e.logical, e.len, e.block),
    )
}

fn check(fs: &Fs, e: &Extent) -> Result<()> {
    let device = &fs.shared.device;
    let size = u64::from(device.block_size);
    let whole = e.len.checked_rem(size) == Some(0) && e.logical.checked_rem(size) == Some(0);
    if e.len == 0 || !whole || e.logical.checked_add(e.len).is_none() {
        return Err(bad(e, "is not of whole blocks"));
    }
    let blocks = e.len.checked_div(size).unwrap_or(u64::MAX);
    if e.block != 0 && device.position(e.block, blocks).is_none() {
        return Err(bad(e, "leaves the container"));
    }
    Ok(())
}

impl ReadAt for Data {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let n = left.min(buf.len());
        let mut done = 0_usize;
        while let Some(rest) = buf.get_mut(done..n).filter(|r| !r.is_empty()) {
            // A long read stays cancellable, and is long enough for a source that decodes
            // several chunks at once.
            let some = rest.len().min(8 << 20);
            let at = offset.saturating_add(len64(done));
            match self.piece(at, rest.get_mut(..some).unwrap_or_default()) {
                Ok(0) => break,
                Ok(n) => done = done.saturating_add(n),
                Err(_) if done > 0 => break,
                Err(e) => return Err(e.into()),
            }
        }
        Ok(done)
    }
}

/// Whether a key's object and type are those looked for, for ranges over one object.
pub(crate) fn at_object(id: u64, from: u8) -> impl Fn(&[u8]) -> Ordering {
    // A key of the same object and type is not less, whatever follows.
    move |k: &[u8]| records::split(k).cmp(&Some((id, from))).then(Ordering::Greater)
}
