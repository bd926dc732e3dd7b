//! HFS+ and HFSX volumes.
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
