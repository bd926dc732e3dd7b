//! Digest styles of a xar archive.

use sha2::Digest as _;

use mip_base::{Code, Error, Result, escape, unhex};

/// A digest algorithm that a xar archive names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChecksumStyle {
    /// No checksum (only for the table of contents).
    None,
    /// MD5.
    Md5,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl ChecksumStyle {
    /// The style in a `style` attribute, in any case. `None` for a name that is not known.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "none" => Self::None,
            "md5" => Self::Md5,
            "sha1" => Self::Sha1,
            "sha256" => Self::Sha256,
            "sha512" => Self::Sha512,
            _ => return None,
        })
    }

    /// The name, as a `style` attribute spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// Bytes of a digest.
    #[must_use]
    pub const fn digest_len(self) -> usize {
        match self {
            Self::None => 0,
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

/// A digest that the table of contents gives.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Checksum {
    /// The algorithm; never [`ChecksumStyle::None`].
    pub style: ChecksumStyle,
    /// The digest, [`ChecksumStyle::digest_len`] bytes.
    pub digest: Vec<u8>,
}

impl Checksum {
    /// From the `style` attribute and the hexadecimal text of an element.
    pub(crate) fn parse(style: &str, hex: &str) -> Result<Self> {
        let known = ChecksumStyle::from_name(style).filter(|s| *s != ChecksumStyle::None);
        let Some(style) = known else {
            let shown = escape(style.get(..40).unwrap_or(style));
            return Err(Error::new(
                Code::XarChecksum,
                format!("the checksum style \"{shown}\" is not known"),
            ));
        };
        let digest = unhex(hex).filter(|d| d.len() == style.digest_len()).ok_or_else(|| {
            Error::new(
                Code::XarChecksum,
                format!(
                    "a {} checksum is not {} hexadecimal digits",
                    style.name(),
                    style.digest_len().saturating_mul(2)
                ),
            )
        })?;
        Ok(Self { style, digest })
    }
}

/// A running digest.
#[derive(Clone)]
pub(crate) enum Hasher {
    None,
    Md5(md5::Md5),
    Sha1(sha1::Sha1),
    Sha256(sha2::Sha256),
    Sha512(sha2::Sha512),
}

impl Hasher {
    pub(crate) fn new(style: ChecksumStyle) -> Self {
        match style {
            ChecksumStyle::None => Self::None,
            ChecksumStyle::Md5 => Self::Md5(md5::Md5::new()),
            ChecksumStyle::Sha1 => Self::Sha1(sha1::Sha1::new()),
            ChecksumStyle::Sha256 => Self::Sha256(sha2::Sha256::new()),
            ChecksumStyle::Sha512 => Self::Sha512(sha2::Sha512::new()),
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::None => {}
            Self::Md5(h) => h.update(bytes),
            Self::Sha1(h) => h.update(bytes),
            Self::Sha256(h) => h.update(bytes),
            Self::Sha512(h) => h.update(bytes),
        }
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        match self {
            Self::None => Vec::new(),
            Self::Md5(h) => h.finalize().to_vec(),
            Self::Sha1(h) => h.finalize().to_vec(),
            Self::Sha256(h) => h.finalize().to_vec(),
            Self::Sha512(h) => h.finalize().to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Golden values: RFC 1321 A.5, FIPS 180-4 example "abc".
    #[test]
    fn digests_match_the_standards() {
        for (style, hex) in [
            ("MD5", "900150983cd24fb0d6963f7d28e17f72"),
            ("Sha1", "a9993e364706816aba3e25717850c26c9cd0d89d"),
            ("sha256", "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD"),
            (
                "SHA512",
                "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                 2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
            ),
        ] {
            let c = Checksum::parse(style, hex).unwrap();
            let mut h = Hasher::new(c.style);
            h.update(b"a");
            h.update(b"bc");
            assert_eq!(h.finish(), c.digest, "{style}");
        }
    }

    #[test]
    fn digests_of_the_wrong_length_or_alphabet_are_refused() {
        for (style, hex) in [
            ("sha1", "a9993e364706816aba3e25717850c26c9cd0d8"),
            ("sha1", "a9993e364706816aba3e25717850c26c9cd0d89g"),
            ("sha1", "a9993e364706816aba3e25717850c26c9cd0d89"),
            ("sha1", " a9993e364706816aba3e25717850c26c9cd0d89"),
            ("sha1", ""),
            ("none", ""),
            ("crc32", "00000000"),
        ] {
            assert_eq!(Checksum::parse(style, hex).unwrap_err().code(), Code::XarChecksum);
        }
    }
}
