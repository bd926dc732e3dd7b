//! A bounded, positioned reader for xar archives: the container of flat macOS packages.
//!
//! A xar file is a short header, a zlib-compressed XML table of contents (TOC) and a heap.
//! [`Xar::open`] reads the header and the TOC, and nothing else, however large the file is;
//! [`Xar::open_file`] streams one file out of the heap.
//!
//! What is checked, and when:
//!
//! * at opening: header, sizes against limits, the TOC's checksum, the XML (no document type,
//!   no entities, bounded depth), names, hard links, and that every heap range lies inside the
//!   file and overlaps no other;
//! * while a file is read: its stored and decoded length and both of its checksums. The read
//!   that reaches the end fails when one is wrong, so damaged data is never a success.
//!
//! Signatures are found and their certificates listed; judging them is another crate's work.
//! Known deviations of real writers are accepted and listed in [`Xar::notes`]; everything
//! else that has no single reading is refused.
//!
//! ```
//! use std::sync::Arc;
//! use mip_base::Job;
//! use mip_testkit::xar::{Encoding, XarBuilder};
//! use mip_xar::Xar;
//!
//! # fn main() -> mip_base::Result<()> {
//! let package = XarBuilder::new().file("a/Hello", b"hello", Encoding::Gzip).build();
//! let job = Job::default();
//! let xar = Xar::open(Arc::new(package), &job)?;
//! let file = xar.find("a/Hello").expect("it is listed");
//! assert_eq!(xar.read_file(file, 1024, &job)?, b"hello");
//! # Ok(())
//! # }
//! ```
#![cfg_attr(
    test,
    allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation, clippy::string_slice)
)]

mod checksum;
mod header;
mod reader;
mod records;
mod text;
mod toc;
mod tree;

use std::fmt;
use std::io::Read;

use mip_base::{
    Code, EntryKind, EntryPath, Error, Job, ReadAt as _, Result, Section, Source, len64,
};
use mip_codec::Compression;

pub use checksum::{Checksum, ChecksumStyle};

/// An open xar archive.
pub struct Xar {
    source: Source,
    heap_start: u64,
    heap_used: u64,
    gaps: Vec<(u64, u64)>,
    files: Vec<XarFile>,
    by_path: Vec<usize>,
    attributes: Vec<XarAttribute>,
    checksum: TocChecksum,
    signatures: Vec<XarSignature>,
    signature_time: Option<String>,
    notes: Vec<String>,
}

/// One `<file>` of the table of contents.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct XarFile {
    /// The id that hard links name.
    pub id: u64,
    /// The path from the archive's root.
    pub path: EntryPath,
    /// The kind. The original of hard links is a [`EntryKind::File`].
    pub kind: EntryKind,
    /// Mode bits as written, at most `0o177777`.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Time of last change as written, usually `YYYY-MM-DDThh:mm:ssZ`. Not checked.
    pub mtime: Option<String>,
    /// The target of a symbolic link as written (it may lead anywhere), or the path of the
    /// file that a hard link names.
    pub link: Option<String>,
    /// Where the bytes are; `None` for an empty file. A hard link has its original's.
    pub data: Option<XarData>,
}

/// The heap data of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct XarData {
    /// First stored byte, counted from the start of the heap.
    pub offset: u64,
    /// Stored bytes.
    pub length: u64,
    /// Decoded bytes.
    pub size: u64,
    /// The declared encoding. `application/x-gzip` is [`Compression::Zlib`] here, which is
    /// what the xar tools write; opening the file looks at its first bytes.
    pub encoding: Compression,
    /// Digest of the stored bytes.
    pub archived: Option<Checksum>,
    /// Digest of the decoded bytes.
    pub extracted: Option<Checksum>,
}

/// The heap range of an extended attribute. What it holds is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct XarAttribute {
    /// First stored byte, counted from the start of the heap.
    pub offset: u64,
    /// Stored bytes.
    pub length: u64,
    /// Digest of the stored bytes.
    pub archived: Option<Checksum>,
}

/// The digest of the stored (compressed) table of contents: what signatures cover.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TocChecksum {
    /// The algorithm; [`ChecksumStyle::None`] when the archive has none.
    pub style: ChecksumStyle,
    /// Where it is stored, counted from the start of the heap. Always 0.
    pub offset: u64,
    /// Bytes of the digest.
    pub size: u64,
    /// The digest in the heap.
    pub stored: Vec<u8>,
    /// The digest of the table as it is read here. Equal to `stored`.
    pub computed: Vec<u8>,
}

/// How a signature is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignatureStyle {
    /// A bare RSA signature over the TOC digest.
    Rsa,
    /// A CMS blob (BER, often padded) over the TOC digest.
    Cms,
}

/// One `<signature>` or `<x-signature>`. Nothing of it is verified here.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct XarSignature {
    /// How it is made.
    pub style: SignatureStyle,
    /// Whether the element is `<x-signature>`.
    pub extended: bool,
    /// First byte, counted from the start of the heap.
    pub offset: u64,
    /// Bytes reserved for it.
    pub size: u64,
    /// Certificates of `<KeyInfo>`, DER, in document order.
    pub certificates: Vec<Vec<u8>>,
}

impl fmt::Debug for Xar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Xar")
            .field("heap_start", &self.heap_start)
            .field("heap_used", &self.heap_used)
            .field("files", &self.files.len())
            .field("signatures", &self.signatures.len())
            .finish_non_exhaustive()
    }
}

impl Xar {
    /// Opens an archive: reads and checks its header and table of contents.
    ///
    /// # Errors
    /// The `E_XAR_…` codes, [`Code::Xml`], [`Code::XmlDtd`], [`Code::PathUnsafe`] for names,
    /// [`Code::LimitToc`], [`Code::LimitXml`], [`Code::LimitDepth`], [`Code::LimitEntries`],
    /// [`Code::InputIo`], [`Code::Cancelled`].
    pub fn open(source: Source, job: &Job) -> Result<Self> {
        let header = header::Header::read(&*source, job)?;
        let (xml, computed) = header.toc(&*source, job)?;
        let raw = toc::parse(&xml, job)?;
        drop(xml);
        let in_toc = |e: Error| e.within("table of contents");
        let mut notes = raw.notes;
        let files = tree::files(raw.files, job, &mut notes).map_err(in_toc)?;
        let by_path = tree::by_path(&files).map_err(in_toc)?;
        let signatures: Vec<XarSignature> = raw
            .signatures
            .into_iter()
            .map(records::RawSignature::finish)
            .collect::<Result<_>>()
            .map_err(in_toc)?;
        let heap_start = header.size.saturating_add(header.toc_stored);
        let heap = source.size().saturating_sub(heap_start);
        let (style, size) = checksum_place(header.style, raw.checksum.as_ref()).map_err(in_toc)?;
        let (heap_used, gaps) =
            tree::ranges(heap, (0, size), &signatures, &files, &raw.attributes).map_err(in_toc)?;
        let mut stored = job.buffer("TOC checksum", size, 64)?;
        mip_base::read_full_at(&*source, heap_start, &mut stored, Code::XarTruncated)?;
        if stored != computed {
            return Err(Error::new(
                Code::XarChecksum,
                format!("the table of contents does not match its {}", style.name()),
            )
            .at(heap_start));
        }
        Ok(Self {
            source,
            heap_start,
            heap_used,
            gaps,
            files,
            by_path,
            attributes: tree::attributes(raw.attributes),
            checksum: TocChecksum { style, offset: 0, size, stored, computed },
            signatures,
            signature_time: raw.signature_time,
            notes: notes.into_lines(),
        })
    }

    /// All files and folders, in the order of the table: a folder before what is in it.
    #[must_use]
    pub fn files(&self) -> &[XarFile] {
        &self.files
    }

    /// The file at `path`, by binary search.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<&XarFile> {
        let at = |i: &usize| self.files.get(*i);
        let found = self
            .by_path
            .binary_search_by(|i| at(i).map(|f| f.path.as_str()).cmp(&Some(path)))
            .ok()?;
        self.by_path.get(found).and_then(at)
    }

    /// The stored bytes of `file` in the heap, as they are.
    ///
    /// # Errors
    /// [`Code::XarRange`] when the file is not one of this archive's.
    pub fn stored(&self, file: &XarFile) -> Result<Section> {
        match &file.data {
            Some(d) => self.heap_range(d.offset, d.length),
            None => self.heap_range(0, 0),
        }
        .map_err(|e| e.within(file.path.as_str()))
    }

    /// `length` bytes of the heap from `offset`, for example those of a signature.
    ///
    /// # Errors
    /// [`Code::XarRange`] when they are not inside the heap.
    pub fn heap_range(&self, offset: u64, length: u64) -> Result<Section> {
        self.heap_start
            .checked_add(offset)
            .and_then(|at| Section::new(self.source.clone(), at, length))
            .ok_or_else(|| {
                Error::new(
                    Code::XarRange,
                    format!("{length} bytes from {offset} are not inside the heap"),
                )
            })
    }

    /// The decoded bytes of a regular file or hard link.
    ///
    /// The reader counts and digests what it hands out. When the length or a checksum is wrong
    /// it fails before its last bytes, with [`Code::XarChecksum`] inside the [`std::io::Error`]
    /// ([`Error::from_io`] gets it out).
    ///
    /// # Errors
    /// [`Code::XarUnsupported`] when `file` is a folder, symbolic link or device;
    /// [`Code::XarRange`]; what the decoder says of its first bytes.
    pub fn open_file(&self, file: &XarFile, job: &Job) -> Result<Box<dyn Read + Send>> {
        if !matches!(file.kind, EntryKind::File | EntryKind::Hardlink) {
            return Err(Error::new(Code::XarUnsupported, "is not a regular file")
                .within(file.path.as_str()));
        }
        let Some(data) = &file.data else { return Ok(Box::new(std::io::empty())) };
        let section = self.stored(file)?;
        let reader =
            reader::Checked::open(section, data, job).map_err(|e| e.within(file.path.as_str()))?;
        Ok(Box::new(reader))
    }

    /// The decoded bytes of a small file, checked.
    ///
    /// # Errors
    /// [`Code::LimitMemory`] when the file is larger than `limit` bytes; as
    /// [`open_file`](Self::open_file) and its reader.
    pub fn read_file(&self, file: &XarFile, limit: u64, job: &Job) -> Result<Vec<u8>> {
        let size = file.data.as_ref().map_or(0, |d| d.size);
        if size > limit {
            let e = Error::limit(Code::LimitMemory, "bytes of a file read whole", limit, size);
            return Err(e.within(file.path.as_str()));
        }
        // Grows as bytes arrive: the size is a claim until then.
        let mut out = Vec::new();
        self.open_file(file, job)?
            .read_to_end(&mut out)
            .map_err(|e| Error::from_io(Code::InputIo, "reading", e).within(file.path.as_str()))?;
        Ok(out)
    }

    /// The checksum of the table of contents.
    #[must_use]
    pub fn toc_checksum(&self) -> &TocChecksum {
        &self.checksum
    }

    /// The signatures, unverified, in document order.
    #[must_use]
    pub fn signatures(&self) -> &[XarSignature] {
        &self.signatures
    }

    /// `<signature-creation-time>` as written: seconds since 2001-01-01 in Apple's packages.
    #[must_use]
    pub fn signature_creation_time(&self) -> Option<&str> {
        self.signature_time.as_deref()
    }

    /// Where the heap starts in the file: header size plus stored TOC size.
    #[must_use]
    pub fn heap_start(&self) -> u64 {
        self.heap_start
    }

    /// The end of the last used range, counted from the start of the heap.
    #[must_use]
    pub fn heap_used(&self) -> u64 {
        self.heap_used
    }

    /// The heap ranges of extended attributes, in document order.
    #[must_use]
    pub fn attributes(&self) -> &[XarAttribute] {
        &self.attributes
    }

    /// Whether `length` heap bytes from `offset` have this digest. Reads all of them.
    ///
    /// # Errors
    /// [`Code::XarRange`] when they are not inside the heap; [`Code::InputIo`];
    /// [`Code::Cancelled`].
    pub fn matches(&self, offset: u64, length: u64, want: &Checksum, job: &Job) -> Result<bool> {
        let section = self.heap_range(offset, length)?;
        let mut hasher = checksum::Hasher::new(want.style);
        let mut buf = job.buffer("read buffer", length.min(1 << 20), 1 << 20)?;
        let mut at = 0;
        while at < length {
            job.check()?;
            let n = usize::try_from(length.saturating_sub(at)).unwrap_or(usize::MAX).min(buf.len());
            let window = buf.get_mut(..n).unwrap_or_default();
            mip_base::read_full_at(&section, at, window, Code::XarTruncated)?;
            hasher.update(window);
            at = at.saturating_add(len64(n));
        }
        Ok(hasher.finish() == want.digest)
    }

    /// Heap bytes before [`trailing`](Self::trailing) that no file, attribute or signature uses:
    /// offset in the file and length, in their order. No checksum or signature covers them.
    #[must_use]
    pub fn gaps(&self) -> Vec<(u64, u64)> {
        self.gaps.iter().map(|(at, len)| (self.heap_start.saturating_add(*at), *len)).collect()
    }

    /// What follows the last used range: offset in the file and length. A notarization
    /// ticket stands there; no checksum or signature covers it.
    #[must_use]
    pub fn trailing(&self) -> Option<(u64, u64)> {
        let end = self.heap_start.saturating_add(self.heap_used);
        let len = self.source.size().saturating_sub(end);
        (len > 0).then_some((end, len))
    }

    /// Deviations from the format that were accepted, one line each.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

/// The TOC checksum's style and size. Header and table must agree: two answers to which
/// digest is signed have been a way around signatures (CVE-2022-42841).
fn checksum_place(
    header: ChecksumStyle,
    raw: Option<&records::RawChecksum>,
) -> Result<(ChecksumStyle, u64)> {
    let wrong = |what: String| Err(Error::new(Code::XarChecksum, what));
    let size = len64(header.digest_len());
    let Some(raw) = raw else {
        if header == ChecksumStyle::None {
            return Ok((header, 0));
        }
        return wrong(format!("the header says {}, the table has no checksum", header.name()));
    };
    let style = records::toc_style(raw)?;
    if style != header {
        return wrong(format!(
            "the header says {} for the table's checksum, the table says {}",
            header.name(),
            style.name()
        ));
    }
    if raw.offset.unwrap_or(0) != 0 || raw.size.unwrap_or(0) != size {
        return wrong(format!(
            "the table's checksum is at {} with {} bytes, not at 0 with {size}",
            raw.offset.unwrap_or(0),
            raw.size.unwrap_or(0)
        ));
    }
    Ok((style, size))
}
