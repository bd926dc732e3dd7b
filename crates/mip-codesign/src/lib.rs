//! Apple code signatures of programs (Mach-O), app bundles and disk images, checked without a Mac.
//!
//! What is found are claims: who says to have signed, and whether the bytes are what was signed.
#![cfg_attr(
    test,
    allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation, clippy::string_slice)
)]

mod claims;

pub use claims::{
    BundleSignature, CodeDirectoryHash, CodeSignature, Finding, FindingKind, NestedCode, PageCheck,
    SealCheck,
};
pub use mip_signing::apple::{ClaimState, SignatureClaim};
