//! Passwords that are wiped when they are dropped and never shown.

use std::fmt;

use zeroize::Zeroizing;

pub(crate) const NOT_FOR_PKCS12: &str =
    "the password has a character that PKCS#12 cannot hold (beyond U+FFFF)";

/// A password. Its memory is wiped when it is dropped; `Debug` never shows it.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Takes a password. Where it comes from (prompt, file, descriptor) is the caller's matter.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The password itself, for a reader of something else that it protects. Do not keep it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// PKCS#12 hashes passwords as BMPString (RFC 7292 B.1): two bytes for each character.
    pub(crate) fn fits_pkcs12(&self) -> bool {
        self.0.chars().all(|c| u32::from(c) <= 0xffff)
    }
}

impl From<String> for Password {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(hidden)")
    }
}
