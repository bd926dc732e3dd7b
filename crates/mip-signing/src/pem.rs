//! PEM files (RFC 7468), as tolerant as real files need: text between blocks, any line width.

use mip_base::{Code, Error, Result};
use zeroize::Zeroizing;

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// One block of a PEM file. The bytes may be a key, so they are wiped when dropped.
pub(crate) struct Block {
    pub(crate) label: String,
    pub(crate) der: Zeroizing<Vec<u8>>,
    /// The block has headers such as `Proc-Type: 4,ENCRYPTED` (the old OpenSSL form).
    pub(crate) headers: bool,
}

/// All blocks of `pem`, in order.
pub(crate) fn blocks(pem: &[u8], code: Code) -> Result<Vec<Block>> {
    let bad = |why: &str| Error::new(code, format!("the PEM file cannot be read: {why}"));
    let mut out = Vec::new();
    let mut open: Option<Block> = None;
    let mut bits = Bits::default();
    for line in pem.split(|b| *b == b'\n') {
        let line = line.trim_ascii();
        match open.as_mut() {
            None => {
                if let Some(label) = line.strip_prefix(BEGIN).and_then(|l| l.strip_suffix(DASHES)) {
                    let label = String::from_utf8_lossy(label).into_owned();
                    // Sized once: a vector that grows would leave copies of a key behind.
                    let der = Zeroizing::new(Vec::with_capacity(pem.len()));
                    open = Some(Block { label, der, headers: false });
                    bits = Bits::default();
                }
            }
            Some(block) => {
                if let Some(label) = line.strip_prefix(END).and_then(|l| l.strip_suffix(DASHES)) {
                    if label != block.label.as_bytes() {
                        return Err(bad("the END line does not match the BEGIN line"));
                    }
                    if !bits.complete() {
                        return Err(bad("a block ends in the middle of its base64 text"));
                    }
                    out.extend(open.take());
                } else if line.contains(&b':') {
                    block.headers = true;
                } else if !(block.headers && block.der.is_empty() && line.is_empty()) {
                    bits.decode(line, &mut block.der).ok_or_else(|| bad("a line is not base64"))?;
                }
            }
        }
    }
    if open.is_some() {
        return Err(bad("the last block has no END line"));
    }
    Ok(out)
}

/// The certificates of a PEM file; other blocks are left alone.
pub(crate) fn certificates(pem: &[u8], code: Code) -> Result<Vec<Vec<u8>>> {
    let is_certificate = |b: &Block| matches!(b.label.as_str(), "CERTIFICATE" | "X509 CERTIFICATE");
    Ok(blocks(pem, code)?.into_iter().filter(is_certificate).map(|b| b.der.to_vec()).collect())
}

/// Base64 text with any white space in it. `None`: it is not that.
pub(crate) fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut bits = Bits::default();
    for word in text.split(u8::is_ascii_whitespace) {
        bits.decode(word, &mut out)?;
    }
    bits.complete().then_some(out)
}

/// One PEM block, lines of 64 characters.
pub(crate) fn encode(label: &str, der: &[u8]) -> Zeroizing<String> {
    let size = der.len().saturating_mul(3).saturating_div(2).saturating_add(128);
    let mut out = Zeroizing::new(String::with_capacity(size));
    out.push_str(&format!("-----BEGIN {label}-----\n"));
    for line in der.chunks(48) {
        for group in line.chunks(3) {
            let byte = |i: usize| group.get(i).copied().unwrap_or(0);
            let n = u32::from_be_bytes([0, byte(0), byte(1), byte(2)]);
            for (i, shift) in [18u32, 12, 6, 0].into_iter().enumerate() {
                let digit = usize::try_from((n >> shift) & 63).unwrap_or(0);
                let c = if i > group.len() {
                    b'='
                } else {
                    ALPHABET.get(digit).copied().unwrap_or(b'=')
                };
                out.push(char::from(c));
            }
        }
        out.push('\n');
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}

/// Base64 across lines.
#[derive(Default)]
struct Bits {
    value: u32,
    count: u32,
    padding: u32,
}

impl Bits {
    fn decode(&mut self, line: &[u8], out: &mut Vec<u8>) -> Option<()> {
        for c in line {
            if *c == b'=' {
                self.padding = self.padding.saturating_add(1);
                continue;
            }
            let digit = u32::try_from(ALPHABET.iter().position(|a| a == c)?).ok()?;
            if self.padding > 0 {
                return None;
            }
            self.value = (self.value << 6) | digit;
            self.count = self.count.saturating_add(6);
            if self.count >= 8 {
                self.count = self.count.saturating_sub(8);
                out.push(u8::try_from((self.value >> self.count) & 0xff).ok()?);
                self.value &= 0xff;
            }
        }
        Some(())
    }

    /// Whole bytes, with the padding that belongs to them.
    fn complete(&self) -> bool {
        let left = self.value & (1u32.checked_shl(self.count).unwrap_or(0)).wrapping_sub(1);
        left == 0 && matches!((self.count, self.padding), (0, 0) | (4, 2) | (2, 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_at_every_length() {
        for len in 0..200usize {
            let data: Vec<u8> = (0..len).map(|i| (i * 37) as u8).collect();
            let text = encode("THING", &data);
            let back = blocks(text.as_bytes(), Code::Key).unwrap();
            assert_eq!(back.len(), 1);
            assert_eq!(back[0].label, "THING");
            assert_eq!(*back[0].der, data);
        }
        // Golden, from RFC 4648 §10.
        assert!(encode("T", b"foobar").contains("\nZm9vYmFy\n"));
        assert!(encode("T", b"foob").contains("\nZm9vYg==\n"));
    }

    #[test]
    fn text_around_blocks_and_crlf_are_fine() {
        let pem = b"subject=x\r\n-----BEGIN A-----\r\nZm9v\r\nYmFy\r\n-----END A-----\r\nmore\n";
        let b = blocks(pem, Code::Key).unwrap();
        assert_eq!(*b[0].der, b"foobar");
    }

    #[test]
    fn broken_blocks_are_refused() {
        for bad in [
            "-----BEGIN A-----\nZm9v\n",
            "-----BEGIN A-----\nZm9v\n-----END B-----\n",
            "-----BEGIN A-----\nZm9\n-----END A-----\n",
            "-----BEGIN A-----\nZm!v\n-----END A-----\n",
            "-----BEGIN A-----\nZg==Zg==\n-----END A-----\n",
            "-----BEGIN A-----\nZh==\n-----END A-----\n",
        ] {
            assert_eq!(blocks(bad.as_bytes(), Code::Key).err().unwrap().code(), Code::Key, "{bad}");
        }
    }
}
