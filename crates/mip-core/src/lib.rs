//! Inspect macOS installers, convert them into signed MIP archives, verify and unpack those.
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation, clippy::string_slice))]

pub mod app;
pub mod icon;
mod input;
pub mod inspection;
pub mod metadata;
mod output;
pub mod plist;
mod probe;
pub mod report;
pub mod tarball;
pub mod tree;
mod verify;

pub use input::Input;
pub use output::Output;
pub use probe::{FORMATS, Format, FormatInfo, TarCompression};
pub use verify::{Access, SignHow, VerifyPolicy, extract, extract_entry, list, sign, verify};
