//! Apple's signatures on packages, disk images and programs, read as claims.
//!
//! Nothing here is trust in a MIP archive, and nothing of it uses [`Anchors`](crate::Anchors):
//! the only roots are Apple's own, pinned in [`roots`]. What cannot be known without a network
//! (revocation, notarization that is not stapled) is not guessed.
//!
//! * [`check_cms`]: the CMS signature of a package (xar `<x-signature>`) or of code.
//! * [`check_rsa`]: the bare RSA signature of a package (xar `<signature>`).
//! * [`read_ticket`]: a stapled notarization ticket.
//!
//! Which signature counts and what each state means: docs/decisions/0011-source-signatures.md.

mod ber;
mod chain;
mod claims;
mod cms;
mod digest;
mod leaf;
mod roots;
mod rsa;
mod signed_data;
#[cfg(test)]
mod tests;
mod ticket;
mod timestamp;

use std::fmt;

pub use claims::{
    CertificateClaim, ClaimState, LeafKind, RsaClaim, SignatureClaim, SignerClaim, TimestampClaim,
    Validity,
};
pub use cms::check_cms;
pub use roots::{Root, roots};
pub use rsa::check_rsa;
pub use ticket::{Ticket, read_ticket};

/// What a CMS signature is over.
#[derive(Clone, Copy)]
pub enum Content<'a> {
    /// The bytes themselves.
    Bytes(&'a [u8]),
    /// A digest of them by its name: `sha1`, `sha256`, `sha384` or `sha512`; `None`: not known.
    Digests(&'a dyn Fn(&str) -> Option<Vec<u8>>),
}

impl fmt::Debug for Content<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => f.debug_tuple("Bytes").field(&bytes.len()).finish(),
            Self::Digests(_) => f.write_str("Digests"),
        }
    }
}
