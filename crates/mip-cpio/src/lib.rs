//! A streaming, bounded reader for cpio archives, as the payloads of macOS packages are.
//!
//! Reads odc (`070707`), newc (`070701`) and crc (`070702`, sums checked). Old binary cpio
//! and afio headers are refused by name. What other readers pass over is an error here: an
//! archive without its trailer, members or other bytes behind the trailer, a trailer that is
//! not empty, numbers with blanks, names with a NUL, a change of variant between members.
//!
//! ```
//! use std::io::Read;
//! use mip_base::{EntryKind, Job};
//! use mip_cpio::CpioReader;
//!
//! // One file "hi" with the data "yo", then the trailer, as `cpio -o -H odc` writes it.
//! let mut archive = b"070707000001000002100644000000000000000001\
//!                     0000000000000000000000300000000002hi\0yo".to_vec();
//! archive.extend(b"070707000000000000000000000000000000000001\
//!                     0000000000000000000001300000000000TRAILER!!!\0");
//! archive.resize(512, 0);
//!
//! let mut r = CpioReader::new(&archive[..], &Job::default());
//! let e = r.next_entry()?.unwrap();
//! assert_eq!((e.path.unwrap().as_str(), e.kind, e.mode, e.size), ("hi", EntryKind::File, 0o644, 2));
//! let mut text = String::new();
//! r.read_to_string(&mut text)?;
//! assert_eq!(text, "yo");
//! assert!(r.next_entry()?.is_none());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation))]

mod header;
mod reader;

pub use reader::{CpioEntry, CpioReader};
