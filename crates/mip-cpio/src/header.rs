//! Member headers: odc (`070707`) and newc (`070701`, `070702`).
//!
//! Source: cpio(5) of FreeBSD and POSIX.1-2001 `pax` (octet-oriented cpio).

use mip_base::{Code, Error, Result, escape_bytes};

/// Bytes of the magic that every text header starts with.
pub(crate) const MAGIC: usize = 6;

/// The variants of the format that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    /// `070707`: octal, no padding.
    Odc,
    /// `070701`: hexadecimal, padded to 4.
    Newc,
    /// `070702`: as newc, with a sum of the data.
    Crc,
}

impl Variant {
    /// The variant that `magic` names.
    pub(crate) fn of(magic: &[u8; MAGIC]) -> Result<Self> {
        let binary = |order: &str| {
            let what = format!("old binary cpio ({order}) is not supported");
            Err(Error::new(Code::Unsupported, what))
        };
        match magic {
            b"070707" => Ok(Self::Odc),
            b"070701" => Ok(Self::Newc),
            b"070702" => Ok(Self::Crc),
            [0xc7, 0x71, ..] => binary("little-endian"),
            [0x71, 0xc7, ..] => binary("big-endian"),
            b"070727" => {
                Err(Error::new(Code::Unsupported, "cpio with an afio header is not supported"))
            }
            _ => Err(Error::new(
                Code::Cpio,
                format!("\"{}\" is not the magic of a cpio member", escape_bytes(magic)),
            )),
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Odc => "odc",
            Self::Newc => "newc",
            Self::Crc => "crc",
        }
    }

    /// Bytes of the header behind the magic.
    pub(crate) const fn rest(self) -> usize {
        match self {
            Self::Odc => 70,
            Self::Newc | Self::Crc => 104,
        }
    }

    /// Zeros that follow `len` bytes that started at a multiple of 4.
    pub(crate) const fn padding(self, len: u64) -> u64 {
        match self {
            Self::Odc => 0,
            Self::Newc | Self::Crc => (len & 3).wrapping_neg() & 3,
        }
    }
}

/// The numbers of a header.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) dev: u64,
    pub(crate) ino: u64,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) nlink: u32,
    pub(crate) mtime: u64,
    pub(crate) size: u64,
    /// With the NUL.
    pub(crate) name_size: u64,
    pub(crate) sum: u32,
}

/// Takes digits off the front of a header.
struct Fields<'a> {
    rest: &'a [u8],
    radix: u32,
}

impl Fields<'_> {
    /// A number of exactly `width` digits: no sign, blank or NUL among them.
    fn number(&mut self, width: usize, name: &str) -> Result<u64> {
        let (digits, rest) = self.rest.split_at_checked(width).unwrap_or_default();
        self.rest = rest;
        let mut n = 0_u64;
        for d in digits {
            let v = char::from(*d).to_digit(self.radix).ok_or_else(|| {
                let shown = escape_bytes(digits);
                let base = if self.radix == 8 { "octal" } else { "hexadecimal" };
                Error::new(Code::Cpio, format!("the {name} \"{shown}\" is not an {base} number"))
            })?;
            n = n.saturating_mul(u64::from(self.radix)).saturating_add(u64::from(v));
        }
        Ok(n)
    }

    /// As [`number`](Self::number), for fields whose width keeps them within 32 bits.
    fn small(&mut self, width: usize, name: &str) -> Result<u32> {
        let n = self.number(width, name)?;
        u32::try_from(n).map_err(|_| Error::new(Code::Cpio, format!("the {name} {n} is too large")))
    }
}

impl Header {
    /// Reads `b`, the header without its magic.
    pub(crate) fn parse(variant: Variant, b: &[u8]) -> Result<Self> {
        match variant {
            Variant::Odc => Self::odc(b),
            Variant::Newc | Variant::Crc => Self::newc(b),
        }
    }

    fn odc(b: &[u8]) -> Result<Self> {
        let mut f = Fields { rest: b, radix: 8 };
        let mut h = Self {
            dev: f.number(6, "device")?,
            ino: f.number(6, "inode")?,
            mode: f.small(6, "mode")?,
            uid: f.small(6, "owner")?,
            gid: f.small(6, "group")?,
            nlink: f.small(6, "link count")?,
            ..Self::default()
        };
        f.number(6, "device number")?;
        h.mtime = f.number(11, "time")?;
        h.name_size = f.number(6, "name size")?;
        h.size = f.number(11, "file size")?;
        Ok(h)
    }

    fn newc(b: &[u8]) -> Result<Self> {
        let mut f = Fields { rest: b, radix: 16 };
        let mut h = Self {
            ino: f.number(8, "inode")?,
            mode: f.small(8, "mode")?,
            uid: f.small(8, "owner")?,
            gid: f.small(8, "group")?,
            nlink: f.small(8, "link count")?,
            mtime: f.number(8, "time")?,
            size: f.number(8, "file size")?,
            ..Self::default()
        };
        let (major, minor) = (f.number(8, "device")?, f.number(8, "device")?);
        h.dev = (major << 32) | minor;
        f.number(8, "device number")?;
        f.number(8, "device number")?;
        h.name_size = f.number(8, "name size")?;
        h.sum = f.small(8, "sum")?;
        Ok(h)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e03_numbers_are_digits_and_nothing_else() {
        let good = [
            "000003",
            "000001",
            "100644",
            "000765",
            "000024",
            "000001",
            "000000",
            "00000000000",
            "000002",
            "00000000077",
        ];
        let good = good.concat().into_bytes();
        let h = Header::parse(Variant::Odc, &good).unwrap();
        assert_eq!((h.mode, h.name_size, h.size), (0o100_644, 2, 0o77));
        for bad in [b' ', b'+', b'-', b'8', b'x', 0] {
            let mut b = good.clone();
            b[69] = bad;
            assert_eq!(Header::parse(Variant::Odc, &b).unwrap_err().code(), Code::Cpio);
        }
        assert_eq!(Header::parse(Variant::Newc, &[b'f'; 104]).unwrap().size, 0xffff_ffff);
        assert_eq!(Header::parse(Variant::Newc, &[b'g'; 104]).unwrap_err().code(), Code::Cpio);
    }

    #[test]
    fn padding_goes_to_multiples_of_four() {
        let p: Vec<u64> = (0..6).map(|n| Variant::Newc.padding(n)).collect();
        assert_eq!(p, [0, 3, 2, 1, 0, 3]);
        assert_eq!(Variant::Odc.padding(5), 0);
    }
}
