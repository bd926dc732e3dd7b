//! The fixed header and the compressed table of contents.
//!
//! Layout (big-endian), from the xar format's public header file: `xar!`, u16 header size,
//! u16 version (1), u64 stored TOC length, u64 inflated TOC length, u32 checksum id.
//! Ids: 0 none, 1 SHA-1, 2 MD5. Id 3 means SHA-256 in Apple's xar (with 4 for SHA-512), and
//! "named in the header" in another, whose longer header then holds the name.

use flate2::{Decompress, FlushDecompress, Status};
use mip_base::bytes::{be_u16, be_u32, be_u64};
use mip_base::{Code, Error, Job, ReadAt, Result, read_full_at};

use crate::checksum::{ChecksumStyle, Hasher};

const FIXED: u64 = 28;
/// The longest header that any known writer makes: 28 bytes and a name of 36.
const LONGEST: u64 = 64;

/// The header, checked against the size of the file.
pub(crate) struct Header {
    pub(crate) size: u64,
    pub(crate) toc_stored: u64,
    pub(crate) toc_inflated: u64,
    pub(crate) style: ChecksumStyle,
}

impl Header {
    pub(crate) fn read(source: &dyn ReadAt, job: &Job) -> Result<Self> {
        let bad = |what: String, at: u64| Err(Error::new(Code::XarHeader, what).at(at));
        let mut magic = [0; 4];
        read_full_at(source, 0, &mut magic, Code::XarTruncated)?;
        if &magic != b"xar!" {
            return bad("the file does not start with \"xar!\"".into(), 0);
        }
        let mut fixed = [0; 28];
        read_full_at(source, 0, &mut fixed, Code::XarTruncated)?;
        let size = u64::from(be_u16(&fixed, 4).unwrap_or(0));
        let version = be_u16(&fixed, 6).unwrap_or(0);
        let toc_stored = be_u64(&fixed, 8).unwrap_or(0);
        let toc_inflated = be_u64(&fixed, 16).unwrap_or(0);
        let id = be_u32(&fixed, 24).unwrap_or(0);
        if !(FIXED..=LONGEST).contains(&size) || size & 3 != 0 {
            return bad(format!("the header size {size} is not 28, nor 32 to 64 in steps of 4"), 4);
        }
        if version != 1 {
            return bad(format!("the header version {version} is not 1"), 6);
        }
        let mut name = job.buffer("xar header", size.saturating_sub(FIXED), LONGEST)?;
        read_full_at(source, FIXED, &mut name, Code::XarTruncated)?;

        let limits = job.limits();
        let room = source.size().saturating_sub(size);
        if toc_stored == 0 || toc_stored > room {
            return Err(Error::new(
                Code::XarTocRange,
                format!(
                    "the table of contents takes {toc_stored} bytes of {room} after the header"
                ),
            )
            .at(8));
        }
        if toc_stored > limits.toc_compressed {
            return Err(Error::limit(
                Code::LimitToc,
                "stored table of contents",
                limits.toc_compressed,
                toc_stored,
            ));
        }
        if toc_inflated > limits.toc_bytes {
            return Err(Error::limit(
                Code::LimitToc,
                "inflated table of contents",
                limits.toc_bytes,
                toc_inflated,
            ));
        }
        Ok(Self { size, toc_stored, toc_inflated, style: style(id, &name)? })
    }

    /// Reads the table of contents: its XML, and the digest of its stored bytes.
    pub(crate) fn toc(&self, source: &dyn ReadAt, job: &Job) -> Result<(Vec<u8>, Vec<u8>)> {
        let mut stored =
            job.buffer("stored table of contents", self.toc_stored, job.limits().toc_compressed)?;
        read_full_at(source, self.size, &mut stored, Code::XarTruncated)?;
        let mut hasher = Hasher::new(self.style);
        hasher.update(&stored);
        let xml = self.inflate(&stored, job)?;
        Ok((xml, hasher.finish()))
    }

    /// Exactly one zlib stream of exactly the size in the header.
    fn inflate(&self, stored: &[u8], job: &Job) -> Result<Vec<u8>> {
        let at = |e: Error| e.at(self.size).within("table of contents");
        let wrong_size = |more: &str| {
            Err(at(Error::new(
                Code::XarTocSize,
                format!("inflates to {more} than the {} bytes in the header", self.toc_inflated),
            )))
        };
        // Deflate cannot expand more than 1032 times: a claim beyond that allocates nothing.
        if self.toc_inflated > self.toc_stored.saturating_mul(1032) {
            return wrong_size("fewer bytes");
        }
        let mut xml =
            job.buffer("inflated table of contents", self.toc_inflated, job.limits().toc_bytes)?;
        let mut zlib = Decompress::new(true);
        let mut extra = [0];
        loop {
            job.check()?;
            let (read, made) = (zlib.total_in(), zlib.total_out());
            let input = usize::try_from(read).ok().and_then(|n| stored.get(n..)).unwrap_or(&[]);
            let output = usize::try_from(made).ok().and_then(|n| xml.get_mut(n..));
            let output = match output {
                Some(o) if !o.is_empty() => o,
                _ => &mut extra,
            };
            let status = zlib
                .decompress(input, output, FlushDecompress::None)
                .map_err(|e| at(Error::new(Code::XarTocZlib, format!("is not zlib: {e}"))))?;
            if zlib.total_out() > self.toc_inflated {
                return wrong_size("more bytes");
            }
            if status == Status::StreamEnd {
                break;
            }
            if zlib.total_in() == read && zlib.total_out() == made {
                return Err(at(Error::new(Code::XarTocZlib, "the zlib stream is cut")));
            }
        }
        if zlib.total_in() != self.toc_stored {
            let left = self.toc_stored.saturating_sub(zlib.total_in());
            return Err(at(Error::new(
                Code::XarTocZlib,
                format!("{left} bytes follow the end of the zlib stream"),
            )));
        }
        if zlib.total_out() != self.toc_inflated {
            return wrong_size("fewer bytes");
        }
        Ok(xml)
    }
}

/// The digest of the TOC by its id. `name` is what a longer header holds.
fn style(id: u32, name: &[u8]) -> Result<ChecksumStyle> {
    let unknown = |what: String| Err(Error::new(Code::XarUnsupported, what).at(24));
    match id {
        0 => Ok(ChecksumStyle::None),
        1 => Ok(ChecksumStyle::Sha1),
        2 => Ok(ChecksumStyle::Md5),
        // A longer header whose name is empty names nothing: then the id means what Apple says.
        3 if name.iter().all(|b| *b == 0) => Ok(ChecksumStyle::Sha256),
        3 => {
            let text = name.split(|b| *b == 0).next().unwrap_or(&[]);
            let tail = name.get(text.len()..).unwrap_or(&[]);
            let known = std::str::from_utf8(text).ok().and_then(ChecksumStyle::from_name);
            match known {
                Some(s) if !tail.is_empty() && tail.iter().all(|b| *b == 0) => Ok(s),
                _ => unknown(format!(
                    "the header names the checksum \"{}\"",
                    mip_base::escape_bytes(text)
                )),
            }
        }
        4 => Ok(ChecksumStyle::Sha512),
        _ => unknown(format!("the header's checksum id is {id}")),
    }
}
