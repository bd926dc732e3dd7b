//! Apple's signatures on packages, disk images and programs, read as claims.
//!
//! Nothing here is trust in a MIP archive, and nothing of it uses [`Anchors`](crate::Anchors):
//! the only roots are Apple's own, pinned in [`roots`]. What cannot be known without a network
//! (revocation, notarization that is not stapled) is not guessed.

mod claims;
mod ticket;

use mip_base::Limits;

pub use claims::{
    CertificateClaim, ClaimState, LeafKind, RsaClaim, SignatureClaim, SignerClaim, TimestampClaim,
    Validity,
};
pub use ticket::{Ticket, read_ticket};

/// A root of Apple's, pinned in the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Root {
    /// Its common name.
    pub name: &'static str,
    /// SHA-256 fingerprint, lower-case hex.
    pub sha256: &'static str,
    /// Where Apple publishes it.
    pub source: &'static str,
    /// The certificate, PEM.
    pub pem: &'static str,
}

/// The pinned roots.
#[must_use]
pub fn roots() -> &'static [Root] {
    &[]
}

/// What a CMS signature is over.
#[derive(Clone, Copy)]
pub enum Content<'a> {
    /// The bytes themselves.
    Bytes(&'a [u8]),
    /// A digest of them by its name: `sha1`, `sha256`, `sha384` or `sha512`.
    Digests(&'a dyn Fn(&str) -> Option<Vec<u8>>),
}

/// Checks a CMS signature (BER or DER, zero bytes after it allowed) over `content`.
#[must_use]
pub fn check_cms(
    _blob: &[u8],
    _content: Content<'_>,
    _at: u64,
    _limits: &Limits,
) -> SignatureClaim {
    SignatureClaim { state: ClaimState::Unsupported, ..SignatureClaim::default() }
}

/// Checks a bare RSA signature over a digest that was already computed. `certificates`: DER, signer first.
#[must_use]
pub fn check_rsa(
    _style: &str,
    _digest: &[u8],
    _signature: &[u8],
    _certificates: &[Vec<u8>],
    _at: u64,
    _limits: &Limits,
) -> RsaClaim {
    RsaClaim { state: ClaimState::Unsupported, ..RsaClaim::default() }
}
