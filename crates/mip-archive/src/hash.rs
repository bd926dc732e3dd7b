//! SHA-256 and CRC-32 of streams.

use aws_lc_rs::digest::{Context, SHA256};
use mip_base::len64;

use crate::Digest;

/// SHA-256 of a byte string.
pub(crate) fn sha256(bytes: &[u8]) -> Digest {
    let mut sha = Sha256::new();
    sha.update(bytes);
    sha.finish()
}

/// A running SHA-256.
#[derive(Clone)]
pub(crate) struct Sha256(Context);

impl Sha256 {
    pub(crate) fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(self) -> Digest {
        let mut out = [0; 32];
        // A SHA-256 digest has 32 bytes; zip() keeps that from being a way to panic.
        for (to, from) in out.iter_mut().zip(self.0.finish().as_ref()) {
            *to = *from;
        }
        out
    }
}

/// What the index says about the content of an entry.
pub(crate) struct Content {
    sha: Sha256,
    crc: crc32fast::Hasher,
    size: u64,
}

impl Content {
    pub(crate) fn new() -> Self {
        Self { sha: Sha256::new(), crc: crc32fast::Hasher::new(), size: 0 }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.sha.update(bytes);
        self.crc.update(bytes);
        self.size = self.size.saturating_add(len64(bytes.len()));
    }

    /// Size, SHA-256 and CRC-32.
    pub(crate) fn finish(self) -> (u64, Digest, u32) {
        (self.size, self.sha.finish(), self.crc.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        // FIPS 180-4 "abc"; CRC-32 check value of "123456789".
        assert_eq!(sha256(b"abc")[..4], [0xba, 0x78, 0x16, 0xbf]);
        let mut c = Content::new();
        c.update(b"1234");
        c.update(b"56789");
        let (size, _, crc) = c.finish();
        assert_eq!((size, crc), (9, 0xcbf4_3926));
    }
}
