//! Apple code signatures of programs (Mach-O), app bundles and disk images, checked without a Mac.
//!
//! What is found are claims: who says to have signed, and whether the bytes are what was signed.
#![cfg_attr(
    test,
    allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation, clippy::string_slice)
)]

mod blob;
mod check;
mod claims;
mod directory;
mod entitlements;
mod hash;
mod image;
mod macho;
mod pages;
mod program;
mod requirement;
mod seal;
mod signature;

pub use check::{Check, Special};
pub use claims::{
    BundleSignature, CodeDirectoryHash, CodeSignature, Finding, FindingKind, NestedCode, PageCheck,
    SealCheck, SlotCheck,
};
pub use image::check_image;
pub use macho::{MachO, Slice, architecture};
pub use mip_signing::apple::{ClaimState, SignatureClaim};
pub use program::check_program;
pub use requirement::requirement_text;
pub use seal::{BundleEntry, BundleFiles, UseFile, check_bundle};
