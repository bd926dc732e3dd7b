//! Signatures of packages: those of the shared fixtures against what openssl says, every kind of
//! changed byte, and packages that are signed in odd ways.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::string_slice,
    clippy::panic
)]

mod fixtures;
mod own;

use std::path::Path;
use std::sync::Arc;

use mip_base::{Error, Job};
use mip_core::inspection::{Inspection, PackageTrust};
use mip_core::{Input, InspectOptions, inspect};
use mip_xar::Xar;

/// 2026-06-01, a fixed day after the fixtures were made.
const AT: u64 = 1_780_272_000;

fn options() -> InspectOptions {
    let mut options = InspectOptions::new();
    options.at = Some(AT);
    options
}

fn look(bytes: Vec<u8>) -> Result<Inspection, Error> {
    inspect(&Input::source("Test.pkg", Arc::new(bytes)), &options(), &Job::default())
}

fn package(i: &Inspection) -> &PackageTrust {
    i.trust.package.as_ref().unwrap()
}

fn codes(i: &Inspection) -> Vec<&str> {
    i.warnings.iter().map(|w| w.code).collect()
}

fn xar(bytes: &[u8]) -> Xar {
    Xar::open(Arc::new(bytes.to_vec()), &Job::default()).unwrap()
}

fn read(dir: &Path, name: &str) -> Vec<u8> {
    std::fs::read(dir.join(name)).unwrap()
}

/// The bytes with one bit changed.
fn flipped(bytes: &[u8], at: u64) -> Vec<u8> {
    let mut out = bytes.to_vec();
    out[at as usize] ^= 0x20;
    out
}

/// About `n` positions of a range, first and last among them.
fn spread(start: u64, len: u64, n: u64) -> Vec<u64> {
    let mut out: Vec<u64> = (0..n.min(len)).map(|i| start + i * len / n.min(len)).collect();
    out.push(start + len - 1);
    out.dedup();
    out
}
