//! The reader against containers of an independent generator, right and wrong, and against
//! real ones.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::string_slice
)]

mod common;
mod encrypted;
mod fixtures;
mod hostile;
mod mutation;
mod volumes;
