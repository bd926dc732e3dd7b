//! A bounded, positioned, read-only reader for FAT12, FAT16 and FAT32 volumes with long names.
//!
//! [`Volume::open`] reads the boot sector and the root folder. Files are [`ReadAt`] sources that
//! can be read at any position by any thread; [`Volume::walk`] visits everything in a fixed order.
//!
//! Everything in a volume is taken as hostile:
//!
//! * the boot sector's numbers are held against the source before anything is read by them;
//! * a chain of clusters is followed for as many clusters as its file or folder can have, and
//!   a loop is found in constant memory;
//! * a walk refuses clusters that two files or folders share, so a small volume cannot hold
//!   more bytes than it has, and folders cannot be in each other;
//! * a folder has at most 2 MiB, as the format says; depth, entries and path lengths follow
//!   [`Limits`](mip_base::Limits).
//!
//! What FAT does not have: owners (0), permissions (0o755, or 0o555 for read-only files), links,
//! extended attributes. Times are local times of an unknown zone and taken as UTC. Short names
//! are taken as code page 437, with the lower-case flags of Windows NT. A long name whose parts
//! are incomplete or do not belong to the short name is passed over, as other readers do.
//!
//! Source of the format: Microsoft's "FAT: General Overview of On-Disk Format" 1.03, and
//! volumes of `mkfs.fat` and macOS.
//!
//! ```
//! use std::sync::Arc;
//! use mip_base::{Job, ReadAt};
//! use mip_fat::Volume;
//! use mip_testkit::fat::{Fat, Item};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let image = Fat::new(12, 100).build(vec![Item::file("Read me.txt", b"hello")]);
//! let job = Job::default();
//! let volume = Volume::open(Arc::new(image.bytes), &job)?;
//! let node = volume.lookup("read me.TXT", &job)?.expect("it is there");
//! let mut text = [0; 5];
//! volume.open_file(&node, &job)?.read_at(0, &mut text)?;
//! assert_eq!(&text, b"hello");
//! # Ok(())
//! # }
//! ```
//!
//! [`ReadAt`]: mip_base::ReadAt
#![cfg_attr(
    test,
    allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation, clippy::string_slice)
)]

mod boot;
mod record;
mod table;
mod volume;

pub use boot::Kind;
pub use volume::{Found, Info, Node, Volume};
