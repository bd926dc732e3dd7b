//! The MIP container: a plain ZIP that every tool opens, with one canonical layout and a
//! signed index that covers every byte. `docs/mip-format.md` is the normative description.
//!
//! * [`Writer`] builds an archive in one pass and constant memory.
//! * [`Archive`] is a type per state: [`Unverified`] knows where index and signature are,
//!   [`IndexVerified`] has a checked index and headers and checks the blocks of what is read,
//!   [`Verified`] has been checked to the last byte.
//! * [`resign`] replaces, adds or removes the signature.
//! * [`list_unverified`] lists any ZIP, leniently, and says nothing about trust.
//! * [`profile`] is the seam: names, order, keys, magic and sizes live there only.
//!
//! This crate knows nothing of CMS or certificates: the signature is a byte string that one
//! closure makes and another one judges.
//!
//! ```
//! use std::sync::Arc;
//! use mip_archive::{Archive, EntryRole, Product, Writer};
//! use mip_base::{EntryPath, Job, MemoryFile};
//!
//! let job = Job::default();
//! let path = |p: &str| EntryPath::new(p, job.limits());
//! let out = Arc::new(MemoryFile::new());
//! let product = Product { id: "com.example.tool".into(), version: "1.2".into() };
//! let mut w = Writer::new(out.clone(), product, &job)?;
//! w.add(&path("Info.plist")?, EntryRole::Metadata, 0o644, b"<plist/>")?;
//! w.payload(&path("payload/Tool.pkg")?, 0o644, &mut &b"xar!"[..])?;
//! w.finish(Some(&mut |index| Ok(index.iter().rev().copied().collect())))?;
//!
//! let archive = Archive::open(out, &job)?;
//! let (archive, signer) = archive.verify(
//!     |index, signature| {
//!         assert!(signature.is_some_and(|s| s.iter().rev().eq(index)));
//!         Ok("someone")
//!     },
//!     2,
//!     &job,
//! )?;
//! assert_eq!((archive.entries().len(), signer), (2, "someone"));
//! # Ok::<(), mip_base::Error>(())
//! ```
#![cfg_attr(
    test,
    allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation, clippy::string_slice)
)]

mod blocks;
mod hash;
mod index;
mod layout;
mod list;
pub mod profile;
mod pump;
mod reader;
mod records;
mod resign;
mod verify;
mod writer;

pub use index::{EntryRole, Index, IndexEntry, Product};
pub use list::{ListedEntry, list_unverified};
pub use reader::{Archive, Checked, EntryReader, IndexVerified, Unverified, Verified};
pub use resign::resign;
pub use verify::{VerifyDepth, VerifyOptions};
pub use writer::{Sign, Stored, Writer, Written};

/// A SHA-256 digest.
pub type Digest = [u8; 32];
