//! `.sparseimage`: a header node, the bands that it lists, and further nodes with theirs.

use std::io;
use std::sync::Arc;

use mip_base::bytes::{be_u32, be_u64};
use mip_base::{Code, Error, Job, ReadAt, Result, Source, len64, read_full_at};

use super::zeros;

pub(super) const MAGIC: &[u8] = b"sprs";
const SECTOR: u64 = 512;
/// Bytes of a node, the header included; the bands that it lists follow it.
const NODE: u64 = 4096;
/// Where the list of bands starts in the header, and in each further node.
const HEADER_LIST: usize = 64;
const NODE_LIST: usize = 56;

struct Image {
    source: Source,
    size: u64,
    band: u64,
    /// Number of each stored band (from 0) and its first byte in the file, by number.
    bands: Vec<(u32, u64)>,
    job: Job,
}

fn bad(what: impl Into<String>) -> Error {
    Error::new(Code::Sparse, what)
}

pub(super) fn open(source: Source, job: &Job) -> Result<Source> {
    let mut node = [0_u8; 4096];
    read_full_at(&source, 0, &mut node, Code::Truncated)?;
    if !node.starts_with(MAGIC) {
        return Err(bad("the sparse image has no sprs signature"));
    }
    let field = |at| be_u32(&node, at).unwrap_or(0);
    let version = field(4);
    if version != 3 {
        let what = format!("a sparse image of version {version}");
        return Err(Error::new(Code::Unsupported, what));
    }
    // Bytes 16 and 28 both have the size; writers of small images may leave the long one empty.
    let (short, long) = (field(16), be_u64(&node, 28).unwrap_or(0));
    let sectors = match long {
        0 => u64::from(short),
        long if long & 0xFFFF_FFFF == u64::from(short) || u64::from(short) == 0xFFFF_FFFF => long,
        _ => return Err(bad(format!("the sparse image has {short} and {long} sectors"))),
    };
    let band = u64::from(field(8)).saturating_mul(SECTOR);
    let size = sectors.checked_mul(SECTOR).ok_or_else(|| bad("the disk has too many sectors"))?;
    if band == 0 || size == 0 {
        return Err(bad("the sparse image has bands or a disk of 0 sectors"));
    }
    let count = size.div_ceil(band);
    let mut image = Image { source, size, band, bands: Vec::new(), job: job.clone() };
    let mut at = 0_u64;
    let mut list = HEADER_LIST;
    let mut next = be_u64(&node, 20).unwrap_or(0);
    let mut places = 0_u64;
    loop {
        job.check()?;
        let stored = image.list(node.get(list..).unwrap_or_default(), at, count)?;
        places = places.saturating_add(len64(node.len().saturating_sub(list).div_euclid(4)));
        let limit = job.limits().image_chunks;
        if places > limit.saturating_add(1010) {
            return Err(Error::limit(Code::LimitEntries, "bands of a sparse image", limit, places));
        }
        if next == 0 {
            break;
        }
        // Nodes are written as the image grows, so each one lies behind the bands of the last:
        // a chain that goes forward ends.
        let bands_end = stored.saturating_mul(band).saturating_add(at).saturating_add(NODE);
        if next < bands_end {
            return Err(bad("the tables of the sparse image lead backwards").at(next));
        }
        at = next;
        read_full_at(&image.source, at, &mut node, Code::Truncated)?;
        if !node.starts_with(MAGIC) {
            return Err(bad("a table of the sparse image has no sprs signature").at(at));
        }
        list = NODE_LIST;
        next = be_u64(&node, 12).unwrap_or(0);
    }
    image.bands.sort_unstable();
    let twice = image.bands.windows(2).find_map(|pair| match pair {
        [(a, _), (b, _)] if a == b => Some(*a),
        _ => None,
    });
    match twice {
        Some(number) => Err(bad(format!("band {number} is stored twice"))),
        None => Ok(Arc::new(image)),
    }
}

impl Image {
    /// Takes in the list of the node at `at`; how many of its places are used up to the last one.
    fn list(&mut self, list: &[u8], at: u64, count: u64) -> Result<u64> {
        let mut used = 0_u64;
        for (raw, place) in list.chunks_exact(4).zip(0_u64..) {
            // 0 is an empty place; numbers count from 1.
            let Some(number) = be_u32(raw, 0).unwrap_or(0).checked_sub(1) else { continue };
            if u64::from(number) >= count {
                return Err(bad(format!("band {number} of a disk with {count} bands")).at(at));
            }
            let data =
                place.checked_mul(self.band).and_then(|o| o.checked_add(at)?.checked_add(NODE));
            match data {
                Some(data) if data < self.source.size() => self.bands.push((number, data)),
                _ => {
                    let what = format!("band {number} starts past the end of the file");
                    return Err(Error::new(Code::Truncated, what).at(at));
                }
            }
            used = place.saturating_add(1);
        }
        Ok(used)
    }
}

impl ReadAt for Image {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.size.saturating_sub(offset);
        let number = offset.checked_div(self.band).unwrap_or(0);
        let inside = offset.checked_rem(self.band).unwrap_or(0);
        let in_band = self.band.saturating_sub(inside).min(left);
        let n = usize::try_from(in_band).unwrap_or(usize::MAX).min(buf.len());
        let Some(buf) = buf.get_mut(..n).filter(|b| !b.is_empty()) else { return Ok(0) };
        let found = self.bands.binary_search_by(|(have, _)| u64::from(*have).cmp(&number));
        match found.ok().and_then(|i| self.bands.get(i)) {
            Some((_, data)) => {
                self.job.check()?;
                let n = self.source.read_at(data.saturating_add(inside), buf)?;
                if n == 0 {
                    let what = format!("band {number} of the sparse image is cut");
                    return Err(Error::new(Code::Truncated, what).into());
                }
                Ok(n.min(buf.len()))
            }
            None => {
                zeros(buf, &self.job)?;
                Ok(n)
            }
        }
    }
}
