//! What lies around the volumes of an Apple disk image: encryption, sparse images, partition
//! maps, and what kind of volume a run of bytes is.
//!
//! Each layer takes a [`Source`](mip_base::Source) (bytes that can be read at any position) and
//! gives one, so that layers stack: an encrypted sparse image with a partition map is
//! [`encrypted::Encrypted::unlock`], then [`sparse::open_image`], then [`partition::read`].
//! Nothing is unpacked ahead; what is not read is not decoded.
//!
//! * [`encrypted`]: `encrcdsa` images of version 1 and 2, AES-128 and AES-256, with a password.
//! * [`sparse`]: `.sparseimage` files and the bands of `.sparsebundle` folders, encrypted or not.
//! * [`partition`]: GPT, Apple Partition Map, MBR, or none.
//! * [`volume`]: which file system a volume holds, by its magic numbers.
//!
//! ```
//! use std::sync::Arc;
//! use mip_base::{Job, Section, Source};
//! use mip_disk::{partition, volume};
//!
//! # fn main() -> mip_base::Result<()> {
//! let disk: Source = Arc::new(mip_testkit::partition::gpt_disk(b"a volume"));
//! let map = partition::read(&disk, &Job::default())?;
//! assert_eq!(map.scheme, partition::Scheme::Gpt);
//! for p in &map.partitions {
//!     let volume: Source = Arc::new(p.section(&disk)?);
//!     println!("{} {} {}", p.index, p.kind, volume::identify(&volume)?.name());
//! }
//! # Ok(())
//! # }
//! ```
#![cfg_attr(
    test,
    allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation, clippy::string_slice)
)]

pub mod encrypted;
pub mod partition;
pub mod sparse;
pub mod volume;

use mip_base::{Code, Error, ReadAt, Result, len64};

/// Reads up to `buf.len()` bytes at `offset`; how many there were. Short only at the end.
fn read_up_to_at(source: &(impl ReadAt + ?Sized), offset: u64, buf: &mut [u8]) -> Result<usize> {
    let mut have = 0_usize;
    while let Some(rest) = buf.get_mut(have..).filter(|r| !r.is_empty()) {
        let at = offset.saturating_add(len64(have));
        match source.read_at(at, rest) {
            Ok(0) => break,
            Ok(n) => have = have.saturating_add(n.min(rest.len())),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Error::from_io(Code::InputIo, "reading", e)),
        }
    }
    Ok(have)
}
