//! Sparse disk images: a disk of which only the bands that were ever written are stored.
//!
//! * `.sparseimage` (UDSP) is one file: a table says which stored band is which band of the disk.
//! * `.sparsebundle` (UDSB) is a folder: `Info.plist` has the sizes, and `bands/` has one file for
//!   each band, named by its number in hexadecimal. A band that is missing or short is zero from
//!   there on.
//!
//! Where the bands of a bundle are kept is the caller's business: [`Bands`] may read a folder or
//! a zip file. An encrypted bundle has a `token` file that is not empty; see
//! [`Encrypted::open_bundle`](crate::encrypted::Encrypted::open_bundle). An encrypted sparse image is
//! encrypted as a whole: unlock it first.
//!
//! Zeros of bands that are not stored cost nothing until they are read; then they count as
//! decoded bytes of the job.
//!
//! Sources, read and not copied: libmodi's and keramics' documentation of both formats,
//! apfs-fuse (nodes after the first, sizes of 64 bits).

//!
//! ```
//! use std::sync::Arc;
//! use mip_base::{Code, Job, ReadAt as _, read_full_at};
//! use mip_disk::sparse;
//!
//! # fn main() -> mip_base::Result<()> {
//! let mut disk = vec![0; 1 << 20];
//! disk[900_000] = 7;
//! let file = mip_testkit::sparse::image(&disk, 4096, false);
//! assert!(file.len() < 10_000);
//! let image = sparse::open_image(Arc::new(file), &Job::default())?;
//! let mut byte = [0];
//! read_full_at(&image, 900_000, &mut byte, Code::Truncated)?;
//! assert_eq!((image.size(), byte[0]), (1 << 20, 7));
//! # Ok(())
//! # }
//! ```

mod bundle;
mod image;

use std::io;

use mip_base::{Job, Result, Source, len64};

pub use bundle::{Bands, band_name, open_bundle};

/// Whether a file with this start is a `.sparseimage`.
#[must_use]
pub fn sniff(head: &[u8]) -> bool {
    head.starts_with(image::MAGIC)
}

/// The disk in a `.sparseimage`.
///
/// Memory: 16 bytes for each stored band.
///
/// # Errors
/// [`Code::Sparse`](mip_base::Code::Sparse) when the tables break the format;
/// [`Code::Truncated`](mip_base::Code::Truncated) when a band starts past the end of the file (and
/// from a read, when it ends there); [`Code::Unsupported`](mip_base::Code::Unsupported) for a version
/// that is not known; [`Code::LimitEntries`](mip_base::Code::LimitEntries) when the tables have
/// more places than [`Limits::image_chunks`](mip_base::Limits::image_chunks).
pub fn open_image(source: Source, job: &Job) -> Result<Source> {
    image::open(source, job)
}

/// Writes the zeros of a hole.
fn zeros(buf: &mut [u8], job: &Job) -> io::Result<()> {
    job.expanded(len64(buf.len()))?;
    buf.fill(0);
    Ok(())
}
