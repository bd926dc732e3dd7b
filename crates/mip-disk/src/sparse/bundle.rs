//! `.sparsebundle`: a folder of bands.

use std::io;
use std::sync::Arc;

use mip_base::{Code, Error, Job, ReadAt, Recent, Result, Source};
use mip_plist::Value;

use super::zeros;

/// Bands whose sources are kept open.
const OPEN: usize = 8;

/// Where the bands of a bundle are.
pub trait Bands: Send + Sync {
    /// The file of band `index`, from 0; `None` when there is none: the band is zero then. Its
    /// name is [`band_name`]. Asked for again when it was not used for a while.
    ///
    /// # Errors
    /// Any; they come out of the read that needs the band.
    fn band(&self, index: u64) -> Result<Option<Source>>;
}

/// The name of band `index` in the folder `bands`: lower-case hexadecimal.
#[must_use]
pub fn band_name(index: u64) -> String {
    format!("{index:x}")
}

struct Bundle {
    bands: Arc<dyn Bands>,
    size: u64,
    band: u64,
    /// The bands used last.
    open: Recent<u64, Option<Source>>,
    job: Job,
}

fn bad(what: impl Into<String>) -> Error {
    Error::new(Code::Sparse, what)
}

/// The disk in a `.sparsebundle`, from its `Info.plist` and its bands.
///
/// Bands are asked for when they are read, and a few are kept open. For an encrypted bundle (its
/// `token` file is not empty) this is ciphertext.
///
/// # Errors
/// [`Code::Sparse`] when `Info.plist` is not that of a sparse bundle, or has sizes that cannot
/// be; what [`mip_plist::read`] reports; [`Code::Unsupported`] for a version of the bundle that is not
/// known.
pub fn open_bundle(info_plist: &[u8], bands: Arc<dyn Bands>, job: &Job) -> Result<Source> {
    let info = mip_plist::read(info_plist, job)?;
    match info.get("diskimage-bundle-type").and_then(Value::as_str) {
        Some("com.apple.diskimage.sparsebundle") => {}
        _ => return Err(bad("Info.plist is not that of a sparse bundle")),
    }
    // 2 is what the disk image system of macOS 12 and later writes; the bands are the same.
    match info.get("bundle-backingstore-version") {
        None | Some(Value::Integer(1 | 2)) => {}
        Some(other) => {
            let version = other.scalar_text().unwrap_or_else(|| other.kind().to_owned());
            let what = format!("a sparse bundle of version {}", mip_base::escape(&version));
            return Err(Error::new(Code::Unsupported, what));
        }
    }
    let number = |key: &str| match info.get(key) {
        Some(Value::Integer(n)) => u64::try_from(*n).ok().filter(|n| *n > 0),
        _ => None,
    };
    let size = number("size").ok_or_else(|| bad("the sparse bundle has no valid size"))?;
    let band =
        number("band-size").ok_or_else(|| bad("the sparse bundle has no valid band-size"))?;
    if !band.is_multiple_of(512) {
        return Err(bad(format!("bands of {band} bytes are no whole sectors")));
    }
    Ok(Arc::new(Bundle { bands, size, band, open: Recent::new(OPEN), job: job.clone() }))
}

impl Bundle {
    fn band(&self, index: u64) -> Result<Option<Source>> {
        if let Some(band) = self.open.get(&index) {
            return Ok(band);
        }
        self.job.check()?;
        let step = || format!("bands/{}", band_name(index));
        let band = self.bands.band(index).map_err(|e| e.within(step()))?;
        let size = band.as_ref().map_or(0, |b| b.size());
        if size > self.band {
            let what = format!("the band has {size} bytes, and bands have {}", self.band);
            return Err(bad(what).within(step()));
        }
        self.open.put(index, band.clone());
        Ok(band)
    }
}

impl ReadAt for Bundle {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.size.saturating_sub(offset);
        let inside = offset.checked_rem(self.band).unwrap_or(0);
        let in_band = self.band.saturating_sub(inside).min(left);
        let n = usize::try_from(in_band).unwrap_or(usize::MAX).min(buf.len());
        let Some(buf) = buf.get_mut(..n).filter(|b| !b.is_empty()) else { return Ok(0) };
        let band = self.band(offset.checked_div(self.band).unwrap_or(0))?;
        let stored = match band {
            Some(band) => band.read_at(inside, buf)?.min(n),
            None => 0,
        };
        if stored == 0 {
            zeros(buf, &self.job)?;
            return Ok(n);
        }
        Ok(stored)
    }
}
