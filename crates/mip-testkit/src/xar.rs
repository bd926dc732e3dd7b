//! Builders of xar archives, valid and broken.
//!
//! ```
//! use mip_testkit::xar::{Encoding, Style, XarBuilder};
//!
//! let package = XarBuilder::new()
//!     .toc_checksum(Style::Sha256)
//!     .file("PackageInfo", "<pkg-info/>", Encoding::Gzip)
//!     .file("Payload", vec![0; 10], Encoding::None)
//!     .build();
//! assert_eq!(&package[..4], b"xar!");
//!
//! // A header that lies about the table's size.
//! let broken = XarBuilder::new().header(|h| h.toc_inflated += 1).build();
//! assert_eq!(broken.len(), XarBuilder::new().build().len());
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;

use sha2::Digest as _;

/// A digest algorithm, for the table of contents or for files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// No checksum.
    None,
    /// MD5.
    Md5,
    /// SHA-1: what Apple's tools write.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Style {
    /// The name in a `style` attribute.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Style::None => "none",
            Style::Md5 => "md5",
            Style::Sha1 => "sha1",
            Style::Sha256 => "sha256",
            Style::Sha512 => "sha512",
        }
    }

    /// The digest of `bytes`.
    #[must_use]
    pub fn digest(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Style::None => Vec::new(),
            Style::Md5 => md5::Md5::digest(bytes).to_vec(),
            Style::Sha1 => sha1::Sha1::digest(bytes).to_vec(),
            Style::Sha256 => sha2::Sha256::digest(bytes).to_vec(),
            Style::Sha512 => sha2::Sha512::digest(bytes).to_vec(),
        }
    }

    fn id(self) -> u32 {
        match self {
            Style::None => 0,
            Style::Sha1 => 1,
            Style::Md5 => 2,
            Style::Sha256 => 3,
            Style::Sha512 => 4,
        }
    }
}

/// How a file's bytes are stored, and what the table says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As they are: `application/octet-stream`.
    None,
    /// A zlib stream, called `application/x-gzip` as the xar tools do.
    Gzip,
    /// A true gzip file, called `application/x-gzip`.
    RealGzip,
    /// `application/x-bzip2`.
    Bzip2,
    /// An .xz file, called `application/x-xz`.
    Xz,
    /// An .lzma file, called `application/x-lzma`.
    Lzma,
    /// An .xz file, called `application/x-lzma`.
    XzAsLzma,
}

impl Encoding {
    /// The `style` of the `<encoding>` element.
    #[must_use]
    pub fn style(self) -> &'static str {
        match self {
            Encoding::None => "application/octet-stream",
            Encoding::Gzip | Encoding::RealGzip => "application/x-gzip",
            Encoding::Bzip2 => "application/x-bzip2",
            Encoding::Xz => "application/x-xz",
            Encoding::Lzma | Encoding::XzAsLzma => "application/x-lzma",
        }
    }

    /// `bytes` as they are stored.
    ///
    /// # Panics
    /// When an encoder fails, which writing to memory cannot cause.
    #[must_use]
    pub fn pack(self, bytes: &[u8]) -> Vec<u8> {
        let level = flate2::Compression::default();
        match self {
            Encoding::None => bytes.to_vec(),
            Encoding::Gzip => {
                let mut w = flate2::write::ZlibEncoder::new(Vec::new(), level);
                w.write_all(bytes).unwrap();
                w.finish().unwrap()
            }
            Encoding::RealGzip => {
                let mut w = flate2::write::GzEncoder::new(Vec::new(), level);
                w.write_all(bytes).unwrap();
                w.finish().unwrap()
            }
            Encoding::Bzip2 => {
                let level = bzip2::Compression::best();
                let mut w = bzip2::write::BzEncoder::new(Vec::new(), level);
                w.write_all(bytes).unwrap();
                w.finish().unwrap()
            }
            Encoding::Xz | Encoding::XzAsLzma => {
                let options = lzma_rust2::XzOptions::with_preset(1);
                let mut w = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
                w.write_all(bytes).unwrap();
                w.finish().unwrap()
            }
            Encoding::Lzma => {
                let options = lzma_rust2::LzmaOptions::with_preset(1);
                let mut w =
                    lzma_rust2::LzmaWriter::new_use_header(Vec::new(), &options, None).unwrap();
                w.write_all(bytes).unwrap();
                w.finish().unwrap()
            }
        }
    }
}

/// The fields of the header, as they are about to be written.
#[derive(Debug, Clone)]
pub struct Header {
    /// `xar!`.
    pub magic: [u8; 4],
    /// Bytes of the header.
    pub size: u16,
    /// 1.
    pub version: u16,
    /// Bytes of the compressed table.
    pub toc_stored: u64,
    /// Bytes of the inflated table.
    pub toc_inflated: u64,
    /// 0 none, 1 SHA-1, 2 MD5, 3 SHA-256 or "named", 4 SHA-512.
    pub checksum: u32,
    /// What follows the 28 fixed bytes.
    pub more: Vec<u8>,
}

enum Node {
    Directory,
    File {
        bytes: Vec<u8>,
        encoding: Encoding,
    },
    Symlink(String),
    Hardlink(String),
    /// The whole `<type>` element and what may follow it.
    Other(String),
}

struct Signature {
    element: &'static str,
    style: String,
    bytes: Vec<u8>,
    certificates: Vec<Vec<u8>>,
}

type Edit<T> = Box<dyn Fn(T) -> T>;
type EditHeader = Box<dyn Fn(&mut Header)>;

/// Builds a xar archive. Folders above a path are added by themselves.
pub struct XarBuilder {
    toc_style: Style,
    file_style: Style,
    named_checksum: bool,
    repeat_names: bool,
    nodes: Vec<(String, Node)>,
    signatures: Vec<Signature>,
    trailing: Vec<u8>,
    raw: Option<(String, Vec<u8>)>,
    header: Option<EditHeader>,
    toc: Option<Edit<String>>,
    stored_toc: Option<Edit<Vec<u8>>>,
    heap: Option<Edit<Vec<u8>>>,
}

impl std::fmt::Debug for XarBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("XarBuilder").field("nodes", &self.nodes.len()).finish_non_exhaustive()
    }
}

impl Default for XarBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl XarBuilder {
    /// An empty archive with SHA-1 checksums, as Apple's tools write.
    #[must_use]
    pub fn new() -> Self {
        Self {
            toc_style: Style::Sha1,
            file_style: Style::Sha1,
            named_checksum: false,
            repeat_names: false,
            nodes: Vec::new(),
            signatures: Vec::new(),
            trailing: Vec::new(),
            raw: None,
            header: None,
            toc: None,
            stored_toc: None,
            heap: None,
        }
    }

    /// The checksum of the table of contents.
    #[must_use]
    pub fn toc_checksum(mut self, style: Style) -> Self {
        self.toc_style = style;
        self
    }

    /// Names the checksum in a 64-byte header with id 3, as one other xar does.
    #[must_use]
    pub fn named_checksum(mut self) -> Self {
        self.named_checksum = true;
        self
    }

    /// The checksums of files.
    #[must_use]
    pub fn file_checksum(mut self, style: Style) -> Self {
        self.file_style = style;
        self
    }

    /// Writes each `<name>` twice, as Apple's product packages have it.
    #[must_use]
    pub fn repeat_names(mut self) -> Self {
        self.repeat_names = true;
        self
    }

    /// A file.
    #[must_use]
    pub fn file(mut self, path: &str, bytes: impl Into<Vec<u8>>, encoding: Encoding) -> Self {
        self.nodes.push((path.into(), Node::File { bytes: bytes.into(), encoding }));
        self
    }

    /// A folder.
    #[must_use]
    pub fn directory(mut self, path: &str) -> Self {
        self.nodes.push((path.into(), Node::Directory));
        self
    }

    /// A symbolic link.
    #[must_use]
    pub fn symlink(mut self, path: &str, target: &str) -> Self {
        self.nodes.push((path.into(), Node::Symlink(target.into())));
        self
    }

    /// A hard link to the file at `original`.
    #[must_use]
    pub fn hardlink(mut self, path: &str, original: &str) -> Self {
        self.nodes.push((path.into(), Node::Hardlink(original.into())));
        self
    }

    /// An entry with any inner XML beside its name, for example `<type>fifo</type>`.
    #[must_use]
    pub fn entry(mut self, path: &str, xml: &str) -> Self {
        self.nodes.push((path.into(), Node::Other(xml.into())));
        self
    }

    /// A `<signature>` (or `<x-signature>`) with its heap bytes.
    #[must_use]
    pub fn signature(
        mut self,
        extended: bool,
        style: &str,
        bytes: impl Into<Vec<u8>>,
        certificates: &[&[u8]],
    ) -> Self {
        self.signatures.push(Signature {
            element: if extended { "x-signature" } else { "signature" },
            style: style.into(),
            bytes: bytes.into(),
            certificates: certificates.iter().map(|c| c.to_vec()).collect(),
        });
        self
    }

    /// Bytes after the heap.
    #[must_use]
    pub fn trailing(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.trailing = bytes.into();
        self
    }

    /// Takes this XML as the table of contents and these bytes as the heap after the table's
    /// checksum, instead of the files.
    #[must_use]
    pub fn raw(mut self, toc: impl Into<String>, heap: impl Into<Vec<u8>>) -> Self {
        self.raw = Some((toc.into(), heap.into()));
        self
    }

    /// Changes the header last of all, after everything is computed.
    #[must_use]
    pub fn header(mut self, edit: impl Fn(&mut Header) + 'static) -> Self {
        self.header = Some(Box::new(edit));
        self
    }

    /// Changes the XML of the table before it is compressed and digested.
    #[must_use]
    pub fn edit_toc(mut self, edit: impl Fn(String) -> String + 'static) -> Self {
        self.toc = Some(Box::new(edit));
        self
    }

    /// Changes the compressed table; the header and the checksum follow the change, the
    /// inflated size does not.
    #[must_use]
    pub fn edit_stored_toc(mut self, edit: impl Fn(Vec<u8>) -> Vec<u8> + 'static) -> Self {
        self.stored_toc = Some(Box::new(edit));
        self
    }

    /// Changes the heap, which starts with the table's checksum.
    #[must_use]
    pub fn edit_heap(mut self, edit: impl Fn(Vec<u8>) -> Vec<u8> + 'static) -> Self {
        self.heap = Some(Box::new(edit));
        self
    }

    /// The archive.
    ///
    /// # Panics
    /// When a hard link names no file of the builder.
    #[must_use]
    pub fn build(self) -> Vec<u8> {
        let digest_len = self.toc_style.digest(b"").len();
        let (mut xml, rest) = match &self.raw {
            Some((toc, heap)) => (toc.clone(), heap.clone()),
            None => self.compose(digest_len),
        };
        if let Some(edit) = &self.toc {
            xml = edit(xml);
        }
        let inflated = xml.len();
        let mut stored = Encoding::Gzip.pack(xml.as_bytes());
        if let Some(edit) = &self.stored_toc {
            stored = edit(stored);
        }
        let mut heap = self.toc_style.digest(&stored);
        heap.extend(rest);
        if let Some(edit) = &self.heap {
            heap = edit(heap);
        }
        let mut more = Vec::new();
        if self.named_checksum {
            more = vec![0; 36];
            more[..self.toc_style.name().len()].copy_from_slice(self.toc_style.name().as_bytes());
        }
        let mut header = Header {
            magic: *b"xar!",
            size: u16::try_from(28 + more.len()).unwrap(),
            version: 1,
            toc_stored: stored.len() as u64,
            toc_inflated: inflated as u64,
            checksum: if self.named_checksum { 3 } else { self.toc_style.id() },
            more,
        };
        if let Some(edit) = &self.header {
            edit(&mut header);
        }
        let mut out = header.magic.to_vec();
        out.extend(header.size.to_be_bytes());
        out.extend(header.version.to_be_bytes());
        out.extend(header.toc_stored.to_be_bytes());
        out.extend(header.toc_inflated.to_be_bytes());
        out.extend(header.checksum.to_be_bytes());
        out.extend(header.more);
        out.extend(stored);
        out.extend(heap);
        out.extend(self.trailing);
        out
    }

    /// The XML of the table and the heap after the table's checksum.
    fn compose(&self, digest_len: usize) -> (String, Vec<u8>) {
        let mut heap = Vec::new();
        let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<xar>\n <toc>\n");
        xml.push_str("  <creation-time>2026-01-01T00:00:00</creation-time>\n");
        if self.toc_style != Style::None {
            let name = self.toc_style.name();
            let _ = writeln!(
                xml,
                "  <checksum style=\"{name}\">\n   <offset>0</offset>\n   \
                 <size>{digest_len}</size>\n  </checksum>"
            );
        }
        for s in &self.signatures {
            let offset = digest_len + heap.len();
            let _ = writeln!(
                xml,
                "  <{0} style=\"{1}\">\n   <offset>{offset}</offset>\n   <size>{2}</size>\n   \
                 <KeyInfo xmlns=\"http://www.w3.org/2000/09/xmldsig#\">\n    <X509Data>",
                s.element,
                s.style,
                s.bytes.len()
            );
            for c in &s.certificates {
                let _ = writeln!(xml, "     <X509Certificate>{}</X509Certificate>", base64(c));
            }
            let _ = writeln!(xml, "    </X509Data>\n   </KeyInfo>\n  </{}>", s.element);
            heap.extend(&s.bytes);
        }
        let tree = self.tree();
        let ids: BTreeMap<&str, usize> =
            tree.iter().enumerate().map(|(i, (path, _))| (path.as_str(), i + 1)).collect();
        let mut open: Vec<&str> = Vec::new();
        for (path, node) in &tree {
            while open.last().is_some_and(|p| !path.starts_with(&format!("{p}/"))) {
                open.pop();
                xml.push_str("</file>\n");
            }
            let _ = writeln!(xml, "<file id=\"{}\">", ids[path.as_str()]);
            match node {
                None | Some(Node::Directory) => xml.push_str(" <type>directory</type>\n"),
                Some(Node::File { bytes, encoding }) => {
                    self.data(&mut xml, &mut heap, digest_len, bytes, *encoding);
                    let linked =
                        self.nodes.iter().any(|(_, n)| matches!(n, Node::Hardlink(o) if o == path));
                    xml.push_str(if linked {
                        " <type link=\"original\">hardlink</type>\n"
                    } else {
                        " <type>file</type>\n"
                    });
                }
                Some(Node::Symlink(to)) => {
                    let _ = writeln!(xml, " <link type=\"file\">{}</link>", escape(to));
                    xml.push_str(" <type>symlink</type>\n");
                }
                Some(Node::Hardlink(to)) => {
                    let _ = writeln!(xml, " <type link=\"{}\">hardlink</type>", ids[to.as_str()]);
                }
                Some(Node::Other(inner)) => {
                    xml.push_str(inner);
                    xml.push('\n');
                }
            }
            let mode = if matches!(node, None | Some(Node::Directory)) { "0755" } else { "0644" };
            let _ = writeln!(
                xml,
                " <mode>{mode}</mode>\n <uid>0</uid>\n <gid>0</gid>\n \
                 <mtime>2026-01-01T00:00:00Z</mtime>"
            );
            let name = escape(path.rsplit('/').next().unwrap());
            for _ in 0..if self.repeat_names { 2 } else { 1 } {
                let _ = writeln!(xml, " <name>{name}</name>");
            }
            open.push(path);
        }
        for _ in open {
            xml.push_str("</file>\n");
        }
        xml.push_str(" </toc>\n</xar>\n");
        (xml, heap)
    }

    fn data(
        &self,
        xml: &mut String,
        heap: &mut Vec<u8>,
        digest_len: usize,
        bytes: &[u8],
        encoding: Encoding,
    ) {
        let packed = encoding.pack(bytes);
        let offset = digest_len + heap.len();
        let _ = writeln!(
            xml,
            " <data>\n  <length>{}</length>\n  <offset>{offset}</offset>\n  <size>{}</size>\n  \
             <encoding style=\"{}\"/>",
            packed.len(),
            bytes.len(),
            encoding.style()
        );
        if self.file_style != Style::None {
            let style = self.file_style;
            for (element, of) in [("extracted", bytes), ("archived", &packed)] {
                let digest = hex(&style.digest(of));
                let _ = writeln!(
                    xml,
                    "  <{element}-checksum style=\"{}\">{digest}</{element}-checksum>",
                    style.name()
                );
            }
        }
        xml.push_str(" </data>\n");
        heap.extend(packed);
    }

    /// All paths in pre-order, with the folders that were not named.
    fn tree(&self) -> Vec<(String, Option<&Node>)> {
        let mut all: BTreeMap<Vec<&str>, Option<&Node>> = BTreeMap::new();
        for (path, node) in &self.nodes {
            let parts: Vec<&str> = path.split('/').collect();
            for n in 1..parts.len() {
                all.entry(parts[..n].to_vec()).or_default();
            }
            all.insert(parts, Some(node));
        }
        all.into_iter().map(|(parts, node)| (parts.join("/"), node)).collect()
    }
}

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Standard base64 with padding.
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let n = group.iter().fold(0u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - group.len()));
        for i in 0..4 {
            if i <= group.len() {
                out.push(char::from(DIGITS[(n >> (18 - 6 * i)) as usize & 63]));
            } else {
                out.push('=');
            }
        }
    }
    out
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
