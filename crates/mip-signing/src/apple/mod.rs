//! Apple's signatures on packages, disk images and programs, read as claims.
//!
//! Nothing here is trust in a MIP archive, and nothing of it uses [`Anchors`](crate::Anchors):
//! the only roots are Apple's own, pinned in [`roots`]. What cannot be known without a network
//! (revocation, notarization that is not stapled) is not guessed.

mod claims;

pub use claims::{
    CertificateClaim, ClaimState, LeafKind, RsaClaim, SignatureClaim, SignerClaim, TimestampClaim,
    Validity,
};
