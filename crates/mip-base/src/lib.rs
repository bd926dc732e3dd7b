//! What every `mip` crate stands on: positioned reads, jobs with limits, safe entry
//! paths, and one error model.
//!
//! Nothing here knows a file format. The rules that follow from "every input is hostile"
//! live here once, so that a parser cannot forget them:
//!
//! * [`ReadAt`] reads at positions through `&self`; [`Section`] is a window that cannot be left.
//! * [`Job`] carries [`Limits`], cancellation and progress, and is the only way to turn a
//!   number from a file into an allocation ([`Job::buffer`]).
//! * [`Recent`] keeps what was read last, within a bound.
//! * [`EntryPath`] is a path that cannot leave the folder it is joined to.
//! * [`escape`] makes names out of a file harmless before they enter a message; [`hex`], [`unhex`], [`len64`],
//!   [`read_some`] and [`read_up_to`] are the small things that would otherwise stand in every crate.
//! * [`Error`] has a stable [`Code`], a [`Kind`] that is the exit status, and the place.
#![cfg_attr(
    test,
    allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation, clippy::string_slice)
)]

pub mod bytes;
mod entry;
mod error;
mod escape;
mod job;
mod limits;
mod path;
mod read_at;
mod recent;

pub use bytes::{hex, len64, unhex};
pub use entry::EntryKind;
pub use error::{CODES, Code, CodeInfo, Error, Kind, Result};
pub use escape::{escape, escape_bytes, is_hidden};
pub use job::{CancelToken, Event, Job, Phase, Progress, SilentProgress};
pub use limits::Limits;
pub use path::{CONTAINER_STEP, EntryPath};
pub use read_at::{
    Cursor, FileAt, MemoryFile, ReadAt, Section, Source, WriteAt, read_full_at, read_some,
    read_up_to,
};
pub use recent::Recent;
