//! A reader for HFS+ and HFSX volumes, also inside an HFS wrapper: what most Mac disk images
//! hold. It reads any [`ReadAt`](mip_base::ReadAt), on any system, and never writes.
//!
//! * [`Volume::open`] reads the volume header (or its copy) and the headers of the B-trees.
//! * [`Volume::lookup`] finds one path: one way down the catalog per name, by the volume's own
//!   rules of case and Unicode form. [`Volume::children`] lists one folder.
//! * [`Volume::walk`] comes by every entry in one pass over the leaves of the catalog.
//! * [`Volume::open_file`] gives the data of a file as a `ReadAt`: fragments from the extents
//!   overflow file are put together, decmpfs compression is undone.
//! * [`Volume::resource_fork`], [`Volume::xattrs`] and [`Volume::xattr`] give the rest.
//!
//! Hard links to files and to folders come out as what they lead to: two [`Node`]s with one id
//! are one file. Symbolic links are not followed. The folders in which HFS+ keeps the targets of
//! hard links, and the journal, are not shown. A journal that was not played back is noted
//! ([`Info::notes`]), and the volume read as it lies.
//!
//! ```
//! use std::sync::Arc;
//! use mip_base::{Cursor, EntryKind, Job};
//! use mip_hfsplus::Volume;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let image = mip_testkit::hfs::Volume::new("Tool 1.0")
//! #     .file("Tool.app/Contents/Info.plist", "<plist/>")
//! #     .link("Applications", "/Applications")
//! #     .build();
//! let job = Job::default();
//! let volume = Volume::open(Arc::new(image), &job)?; // a Vec<u8>, a FileAt, a decoded image, …
//! assert_eq!(volume.info().name, "Tool 1.0");
//!
//! volume.walk(&job, &mut |found| {
//!     println!("{} {:o} {}", found.path, found.node.mode, found.node.size);
//!     Ok(())
//! })?;
//!
//! // Case does not matter on this volume.
//! let node = volume.lookup("tool.app/contents/INFO.plist", &job)?.ok_or("not there")?;
//! let mut text = String::new();
//! std::io::Read::read_to_string(&mut Cursor::new(volume.open_file(&node, &job)?), &mut text)?;
//! assert_eq!(text, "<plist/>");
//!
//! let link = volume.lookup("Applications", &job)?.ok_or("not there")?;
//! assert_eq!(link.kind, EntryKind::Symlink);
//! assert_eq!(volume.read_link(&link, &job)?, "/Applications");
//! # Ok(())
//! # }
//! ```
//!
//! # Damaged and hostile volumes
//!
//! Nothing on a volume is believed. Sizes and counts are held against the bytes that could hold
//! them, B-trees against loops, extents against the volume, against the volume's own files and
//! (in a walk) against each other. Memory does not depend on what a volume claims: about 100
//! bytes an entry in a walk, at most 1 MiB of nodes for each B-tree otherwise. The limits of
//! [`Job`](mip_base::Job) bound entries, names, depth and link targets. What is wrong is an
//! [`Error`](mip_base::Error) with a stable code and the byte where it is.
//!
//! # Sources
//!
//! Apple's Technical Note TN1150, "HFS Plus Volume Format", for all structures, and the published
//! sources of XNU's HFS for what came later: hard links to folders, extended attributes, the flag
//! of compressed files.
#![cfg_attr(
    test,
    allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation, clippy::string_slice)
)]

mod attributes;
mod btree;
mod catalog;
mod extents;
mod fold;
mod header;
mod links;
mod names;
mod table;
mod volume;
mod walk;

pub use volume::{Found, Info, Node, Volume, Xattr};
