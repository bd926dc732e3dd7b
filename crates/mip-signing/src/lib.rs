//! CMS signatures, X.509 policy and signing keys for MIP archives.
//!
//! A MIP archive is signed by one detached CMS `SignedData` over its index. This crate makes
//! and checks that blob, and knows nothing of archives.
//!
//! * [`FileSigner`] reads keys (PEM, PKCS#12); [`Signer`] is the trait for anything else that
//!   holds a key.
//! * [`sign_detached`] makes the one canonical form of a signature; [`verify_detached`]
//!   accepts no other: it takes the blob apart, builds it again, and compares.
//! * [`Anchors`] are explicit. Without them the best answer is "intact, signer unknown".
//! * [`create_identity`] makes a throw-away authority and signer for trying out and tests.
//!
//! * [`apple`] reads the signatures of packages, disk images and programs, as claims.
//!
//! It reads no files, no environment and no clock (but for the default of
//! [`IdentityOptions::new`]): all times are given by the caller, in Unix seconds.
//!
//! ```
//! use mip_base::Limits;
//! use mip_signing::{Anchors, FileSigner, IdentityOptions, create_identity, sign_detached, verify_detached};
//!
//! # fn main() -> mip_base::Result<()> {
//! let limits = Limits::default();
//! let options = IdentityOptions::new("example");
//! let identity = create_identity(&options)?;
//!
//! let signer = FileSigner::from_pem(identity.key_pem.as_bytes(), identity.certificate_pem.as_bytes(), None, &limits)?;
//! let signature = sign_detached(&signer, b"the index of an archive")?;
//!
//! let anchors = Anchors::from_pem(identity.ca_certificate_pem.as_bytes())?;
//! let verdict = verify_detached(&signature, b"the index of an archive", &anchors, options.now, &limits)?;
//! assert!(verdict.trust.is_trusted());
//! assert_eq!(verdict.signer.common_name.as_deref(), Some("example"));
//!
//! // No anchors: never trusted. Other content: an error.
//! let verdict = verify_detached(&signature, b"the index of an archive", &Anchors::none(), options.now, &limits)?;
//! assert!(!verdict.trust.is_trusted());
//! assert!(verify_detached(&signature, b"another index", &anchors, options.now, &limits).is_err());
//! # Ok(())
//! # }
//! ```
#![cfg_attr(
    test,
    allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation, clippy::string_slice)
)]

mod algorithm;
pub mod apple;
mod asn1;
mod certificate;
mod chain;
mod cms;
mod identity;
mod key;
mod oid;
mod password;
mod pem;
mod pkcs12;
mod signer;
#[cfg(test)]
mod tests;
mod verify;

pub use algorithm::SignatureAlgorithm;
pub use certificate::{CertificateInfo, parse_certificate_info};
pub use chain::{Anchors, Trust};
pub use cms::sign_detached;
pub use identity::{IdentityOptions, KeyAlgorithm, TestIdentity, create_identity};
pub use password::Password;
pub use signer::{FileSigner, Signer, check_signer};
pub use verify::{Verdict, verify_detached};
