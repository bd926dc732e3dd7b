//! Strict readings of the text inside TOC elements.

use mip_base::{Code, Error, Result, escape};

/// A decimal number: ASCII digits only, no sign, no space, and it must fit 64 bits.
pub(crate) fn decimal(what: &str, text: &str) -> Result<u64> {
    number(what, text, 10)
}

/// An octal number (a mode), as strict as [`decimal`].
pub(crate) fn octal(what: &str, text: &str) -> Result<u64> {
    number(what, text, 8)
}

fn number(what: &str, text: &str, radix: u32) -> Result<u64> {
    let digits = !text.is_empty() && text.chars().all(|c| c.is_digit(radix));
    digits.then(|| u64::from_str_radix(text, radix).ok()).flatten().ok_or_else(|| {
        let shown: String = text.chars().take(40).collect();
        let kind = if radix == 8 { "an octal" } else { "a decimal" };
        Error::new(
            Code::XarNumber,
            format!("<{what}> is not {kind} number of 64 bits: \"{}\"", escape(&shown)),
        )
    })
}

/// Standard base64 with padding; line breaks and spaces between the digits are ignored.
pub(crate) fn base64(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let (mut bits, mut held, mut digits, mut pads) = (0u32, 0u32, 0usize, 0usize);
    for b in text.bytes() {
        let value = match b {
            b' ' | b'\t' | b'\r' | b'\n' => continue,
            b'=' => {
                pads = pads.saturating_add(1);
                continue;
            }
            _ if pads > 0 => return None,
            b'A'..=b'Z' => b.wrapping_sub(b'A'),
            b'a'..=b'z' => b.wrapping_sub(b'a').wrapping_add(26),
            b'0'..=b'9' => b.wrapping_sub(b'0').wrapping_add(52),
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        digits = digits.saturating_add(1);
        bits = bits.wrapping_shl(6) | u32::from(value);
        held = held.wrapping_add(6);
        if held >= 8 {
            held = held.wrapping_sub(8);
            out.push(bits.wrapping_shr(held).to_le_bytes()[0]);
            bits &= (1u32.wrapping_shl(held)).wrapping_sub(1);
        }
    }
    // A last group has two or three digits and is padded to four; unused bits are zero.
    let want = match digits & 3 {
        0 => 0,
        2 => 2,
        3 => 1,
        _ => return None,
    };
    (pads == want && bits == 0).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 4648 section 10.
    #[test]
    fn base64_vectors() {
        for (text, bytes) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9v\n YmE=", "fooba"),
            ("Zm9vYmFy", "foobar"),
        ] {
            assert_eq!(base64(text).unwrap(), bytes.as_bytes());
        }
        for bad in ["Z", "Zg", "Zg=", "Zh==", "Zg===", "Z=g=", "Zm9v=", "Zm-v", "YWJjA", "="] {
            assert!(base64(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a13_numbers_are_plain_digits() {
        assert_eq!(decimal("size", "18446744073709551615").unwrap(), u64::MAX);
        assert_eq!(octal("mode", "0755").unwrap(), 0o755);
        for bad in ["", " 1", "1 ", "+1", "-1", "0x10", "1e3", "18446744073709551616", "١", "1_0"]
        {
            assert_eq!(decimal("size", bad).unwrap_err().code(), Code::XarNumber, "{bad}");
        }
        assert!(octal("mode", "8").is_err());
    }
}
