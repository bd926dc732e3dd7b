//! The records that the TOC's elements become, and the rules that fill their fields.

use std::collections::BTreeMap;

use mip_base::{Code, Error, Result, escape};
use mip_codec::Compression;

use crate::checksum::{Checksum, ChecksumStyle};
use crate::text::base64;
use crate::{SignatureStyle, XarSignature};

/// What the XML says, before ranges, names and links are judged.
#[derive(Default)]
pub(crate) struct RawToc {
    pub(crate) checksum: Option<RawChecksum>,
    pub(crate) signatures: Vec<RawSignature>,
    pub(crate) signature_time: Option<String>,
    /// In document order: a parent stands before its children.
    pub(crate) files: Vec<RawFile>,
    /// Ranges of extended attributes; what they hold is not read.
    pub(crate) attributes: Vec<RawData>,
    pub(crate) notes: Notes,
}

/// Tolerated deviations and how often each occurs.
#[derive(Default)]
pub(crate) struct Notes(BTreeMap<String, u64>);

impl Notes {
    pub(crate) fn add(&mut self, what: impl Into<String>) {
        let n = self.0.entry(what.into()).or_default();
        *n = n.saturating_add(1);
    }

    pub(crate) fn into_lines(self) -> Vec<String> {
        self.0.into_iter().map(|(what, n)| format!("{what} ({n} times)")).collect()
    }
}

#[derive(Default)]
pub(crate) struct RawChecksum {
    pub(crate) style: String,
    pub(crate) offset: Option<u64>,
    pub(crate) size: Option<u64>,
}

pub(crate) struct RawSignature {
    pub(crate) style: SignatureStyle,
    pub(crate) extended: bool,
    pub(crate) offset: Option<u64>,
    pub(crate) size: Option<u64>,
    pub(crate) certificates: Vec<Vec<u8>>,
}

impl RawSignature {
    pub(crate) fn finish(self) -> Result<XarSignature> {
        let (Some(offset), Some(size)) = (self.offset, self.size) else {
            return Err(Error::new(Code::XarToc, "a signature has no offset or no size"));
        };
        let Self { style, extended, certificates, .. } = self;
        Ok(XarSignature { style, extended, offset, size, certificates })
    }
}

#[derive(Default)]
pub(crate) struct RawFile {
    pub(crate) parent: Option<usize>,
    pub(crate) id: u64,
    pub(crate) name: Option<String>,
    /// The text of `<type>` and its `link` attribute.
    pub(crate) kind: Option<(String, Option<String>)>,
    pub(crate) mode: Option<u32>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) mtime: Option<String>,
    pub(crate) link: Option<String>,
    pub(crate) data: Option<RawData>,
}

#[derive(Default)]
pub(crate) struct RawData {
    pub(crate) offset: Option<u64>,
    pub(crate) length: Option<u64>,
    pub(crate) size: Option<u64>,
    pub(crate) encoding: Option<Compression>,
    pub(crate) archived: Option<Checksum>,
    pub(crate) extracted: Option<Checksum>,
}

/// Fills a field. Apple's product packages repeat elements with the same text; a repetition
/// that differs has no one reading.
pub(crate) fn set<T: PartialEq>(
    slot: &mut Option<T>,
    value: T,
    what: &str,
    code: Code,
    notes: &mut Notes,
) -> Result<()> {
    match slot {
        None => *slot = Some(value),
        Some(old) if *old == value => notes.add(format!("<{what}> is repeated with the same text")),
        Some(_) => {
            return Err(Error::new(code, format!("<{what}> is repeated with another text")));
        }
    }
    Ok(())
}

/// A name or link target, which may be base64 when it is not plain text.
pub(crate) fn decoded(text: String, enctype: Option<&str>) -> Result<String> {
    match enctype {
        None => Ok(text),
        Some("base64") => base64(&text)
            .ok_or_else(|| Error::new(Code::XarName, "a base64 name is not base64"))
            .and_then(|b| {
                String::from_utf8(b)
                    .map_err(|_| Error::new(Code::PathUnsafe, "a base64 name is not UTF-8"))
            }),
        Some(other) => {
            let shown: String = other.chars().take(40).collect();
            Err(Error::new(
                Code::XarUnsupported,
                format!("a name has the enctype \"{}\"", escape(&shown)),
            ))
        }
    }
}

/// The codec of an `<encoding style="…">`.
pub(crate) fn encoding(style: Option<&str>) -> Result<Compression> {
    let style = style.unwrap_or("");
    Ok(match style.to_ascii_lowercase().as_str() {
        "application/octet-stream" => Compression::None,
        // In truth a zlib stream; which of the two it is shows in its first bytes.
        "application/x-gzip" | "application/zlib" => Compression::Zlib,
        "application/x-bzip2" => Compression::Bzip2,
        "application/x-xz" => Compression::Xz,
        "application/x-lzma" => Compression::Lzma,
        _ => {
            let shown: String = style.chars().take(60).collect();
            return Err(Error::new(
                Code::XarUnsupported,
                format!("the encoding \"{}\" is not known", escape(&shown)),
            ));
        }
    })
}

/// The TOC checksum's style, once it is known that the element has one.
pub(crate) fn toc_style(raw: &RawChecksum) -> Result<ChecksumStyle> {
    ChecksumStyle::from_name(&raw.style).ok_or_else(|| {
        let shown: String = raw.style.chars().take(40).collect();
        Error::new(
            Code::XarChecksum,
            format!("the TOC checksum style \"{}\" is not known", escape(&shown)),
        )
    })
}
