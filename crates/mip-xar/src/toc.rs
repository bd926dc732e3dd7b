//! The XML of the table of contents, read by a pull parser into flat records.
//!
//! Elements that the format does not need here are skipped whole, whatever they hold. The
//! tree of `<file>` elements becomes a list in document order with parent indexes: nothing
//! recurses, neither here nor when the records are dropped.

use mip_base::{Code, Error, Job, Limits, Result, escape, len64};
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use crate::SignatureStyle;
use crate::checksum::Checksum;
use crate::records::{
    Notes, RawChecksum, RawData, RawFile, RawSignature, RawToc, decoded, encoding, set,
};
use crate::text::{base64, decimal, octal};

/// More signatures than any writer makes (two).
const MOST_SIGNATURES: usize = 16;

/// Where the parser stands. Indexes point into [`RawToc::files`].
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Document,
    Xar,
    Toc,
    TocChecksum,
    Signature,
    KeyInfo,
    X509Data,
    File(usize),
    Data(Owner),
    Leaf(Leaf),
    Ignored,
}

/// Whose heap data an element describes.
#[derive(Clone, Copy, PartialEq)]
enum Owner {
    File(usize),
    /// The extended attribute that was opened last.
    Attribute,
}

/// Elements whose text is kept.
#[derive(Clone, Copy, PartialEq)]
enum Leaf {
    TocOffset,
    TocSize,
    SignatureOffset,
    SignatureSize,
    SignatureTime,
    Certificate,
    Name(usize),
    Type(usize),
    Mode(usize),
    Uid(usize),
    Gid(usize),
    Mtime(usize),
    Link(usize),
    Offset(Owner),
    Length(Owner),
    Size(Owner),
    Archived(Owner),
    Extracted(Owner),
}

/// Parses the inflated table of contents.
///
/// # Errors
/// [`Code::Xml`], [`Code::XmlDtd`], [`Code::XarToc`], [`Code::XarNumber`], [`Code::XarName`],
/// [`Code::XarChecksum`], [`Code::XarLink`], the limits of XML and of files.
pub(crate) fn parse(xml: &[u8], job: &Job) -> Result<RawToc> {
    let bad = |what: &str, at| Error::new(Code::XarToc, what).at(at).within("table of contents");
    let text = std::str::from_utf8(xml)
        .map_err(|e| bad("is not UTF-8", u64::try_from(e.valid_up_to()).unwrap_or(0)))?;
    if text.starts_with('\u{feff}') {
        return Err(bad("starts with a byte order mark", 0));
    }
    if let Some(at) = text.find('\0') {
        return Err(bad("holds a NUL", u64::try_from(at).unwrap_or(0)));
    }
    let mut reader = Reader::from_str(text);
    let config = reader.config_mut();
    config.expand_empty_elements = true;
    config.check_end_names = true;
    let mut parser = Parser {
        job,
        limits: job.limits(),
        toc: RawToc::default(),
        stack: Vec::new(),
        text: String::new(),
        attribute: None,
        seen_root: false,
        seen_toc: false,
        certificate_bytes: 0,
    };
    let mut first = true;
    loop {
        let at = reader.buffer_position();
        let event = reader.read_event().map_err(|e| Error::new(Code::Xml, format!("{e}")));
        match event.and_then(|e| parser.event(e, first)) {
            Ok(true) => first = false,
            Ok(false) => break,
            Err(e) => return Err(e.at(at).within("table of contents")),
        }
    }
    Ok(parser.toc)
}

struct Parser<'j> {
    job: &'j Job,
    limits: &'j Limits,
    toc: RawToc,
    stack: Vec<Place>,
    /// Text of the open leaf.
    text: String,
    /// The one attribute of the open leaf that matters (`style`, `enctype` or `link`).
    attribute: Option<String>,
    seen_root: bool,
    seen_toc: bool,
    certificate_bytes: u64,
}

impl Parser<'_> {
    /// Takes one event; `false` at the end of the document.
    fn event(&mut self, event: Event<'_>, first: bool) -> Result<bool> {
        match event {
            Event::Start(e) | Event::Empty(e) => self.start(&e)?,
            Event::End(_) => {
                if let Some(Place::Leaf(leaf)) = self.stack.pop() {
                    self.leaf(leaf)?;
                }
            }
            Event::Text(t) => self.add(&t)?,
            Event::CData(t) => self.add(&t)?,
            Event::GeneralRef(r) => {
                let mut utf8 = [0; 4];
                let c = resolve(&r)?;
                self.add(c.encode_utf8(&mut utf8))?;
            }
            Event::Decl(d) => {
                if !first {
                    return Err(Error::new(Code::Xml, "an XML declaration stands inside"));
                }
                if let Some(encoding) = d.encoding() {
                    let name = encoding.map_err(|e| Error::new(Code::Xml, format!("{e}")))?;
                    if !name.eq_ignore_ascii_case("utf-8") {
                        return Err(Error::new(
                            Code::XarToc,
                            "declares another encoding than UTF-8",
                        ));
                    }
                }
            }
            Event::DocType(_) => {
                return Err(Error::new(Code::XmlDtd, "declares a document type"));
            }
            Event::Comment(_) | Event::PI(_) => {}
            Event::Eof => {
                return match (self.stack.is_empty(), self.seen_toc) {
                    (true, true) => Ok(false),
                    (false, _) => Err(Error::new(Code::Xml, "ends inside an element")),
                    (true, false) => Err(Error::new(Code::XarToc, "has no <xar><toc>")),
                };
            }
        }
        Ok(true)
    }

    fn here(&self) -> Place {
        self.stack.last().copied().unwrap_or(Place::Document)
    }

    fn add(&mut self, text: &str) -> Result<()> {
        match self.here() {
            Place::Leaf(_) => {
                let len = self.text.len().saturating_add(text.len());
                let len = len64(len);
                if len > self.limits.xml_text {
                    let limit = self.limits.xml_text;
                    return Err(Error::limit(Code::LimitXml, "text of one element", limit, len));
                }
                self.text.push_str(text);
                Ok(())
            }
            Place::Document if !text.trim_ascii().is_empty() => {
                Err(Error::new(Code::Xml, "has text outside its root element"))
            }
            _ => Ok(()),
        }
    }

    fn start(&mut self, e: &BytesStart<'_>) -> Result<()> {
        let depth = len64(self.stack.len()).saturating_add(1);
        if depth > self.limits.xml_depth {
            let limit = self.limits.xml_depth;
            return Err(Error::limit(Code::LimitDepth, "nested XML elements", limit, depth));
        }
        let name = e.name().into_inner();
        let place = child(self.here(), name);
        // Attributes are counted and checked on every element, kept only where they matter.
        let wanted = match (place, name) {
            (Place::File(_), _) => "id",
            (Place::Leaf(Leaf::Type(_)), _) => "link",
            (Place::Leaf(Leaf::Name(_) | Leaf::Link(_)), _) => "enctype",
            _ => "style",
        };
        let value = self.attribute(e, wanted)?;
        let place = self.enter(place, name, value)?;
        self.stack.push(place);
        Ok(())
    }

    /// The value of the attribute `wanted`; all attributes are checked.
    fn attribute(&self, e: &BytesStart<'_>, wanted: &str) -> Result<Option<String>> {
        let mut found = None;
        let mut count: u64 = 0;
        for a in e.attributes() {
            count = count.saturating_add(1);
            if count > self.limits.xml_attributes {
                let limit = self.limits.xml_attributes;
                return Err(Error::limit(
                    Code::LimitXml,
                    "attributes of one element",
                    limit,
                    count,
                ));
            }
            let a = a.map_err(|e| Error::new(Code::Xml, format!("{e}")))?;
            let len = len64(a.value.len());
            if len > self.limits.xml_text {
                let limit = self.limits.xml_text;
                return Err(Error::limit(Code::LimitXml, "an attribute value", limit, len));
            }
            if a.key.into_inner() == wanted || a.value.contains('&') {
                let value = a.normalized_value(XmlVersion::Implicit1_0).map_err(|e| {
                    Error::new(Code::XmlDtd, format!("an attribute has an unknown entity: {e}"))
                })?;
                if a.key.into_inner() == wanted {
                    found = Some(value.into_owned());
                }
            }
        }
        Ok(found)
    }

    /// Opens an element at `place`.
    fn enter(&mut self, place: Place, name: &str, value: Option<String>) -> Result<Place> {
        let twice = |what: &str| Err(Error::new(Code::XarToc, format!("has two <{what}>")));
        match place {
            Place::Document => {
                return Err(Error::new(Code::XarToc, "the root element is not <xar>"));
            }
            Place::Xar => {
                if std::mem::replace(&mut self.seen_root, true) {
                    return Err(Error::new(Code::Xml, "has two root elements"));
                }
            }
            Place::Toc => {
                if std::mem::replace(&mut self.seen_toc, true) {
                    return twice("toc");
                }
            }
            Place::TocChecksum => {
                if self.toc.checksum.is_some() {
                    return twice("checksum");
                }
                let style = value.unwrap_or_default();
                self.toc.checksum = Some(RawChecksum { style, ..RawChecksum::default() });
            }
            Place::Signature => self.open_signature(name, value.as_deref().unwrap_or(""))?,
            Place::File(_) => return self.open_file(value),
            Place::Data(Owner::File(i)) => {
                if let Some(f) = self.toc.files.get_mut(i)
                    && f.data.replace(RawData::default()).is_some()
                {
                    return twice("data");
                }
            }
            Place::Data(Owner::Attribute) => {
                let limit = self.limits.toc_files;
                let n = len64(self.toc.attributes.len());
                if n >= limit {
                    let n = n.saturating_add(1);
                    return Err(Error::limit(Code::LimitEntries, "extended attributes", limit, n));
                }
                self.toc.attributes.push(RawData::default());
            }
            Place::Leaf(_) => {
                self.text.clear();
                self.attribute = value;
            }
            Place::Ignored => match self.here() {
                // Text with markup in it can be read in two ways.
                Place::Leaf(_) => {
                    return Err(Error::new(
                        Code::XarToc,
                        format!("an element that holds text has a child <{}>", escape(name)),
                    ));
                }
                Place::Data(owner) if name == "encoding" => {
                    let encoding = encoding(value.as_deref())?;
                    let (data, notes) = self.data(owner)?;
                    set(&mut data.encoding, encoding, "encoding", Code::XarToc, notes)?;
                }
                _ => {}
            },
            Place::KeyInfo | Place::X509Data => {}
        }
        Ok(place)
    }

    fn open_file(&mut self, id: Option<String>) -> Result<Place> {
        self.job.check()?;
        let limit = self.limits.toc_files;
        let index = self.toc.files.len();
        let count = len64(index).saturating_add(1);
        if count > limit {
            return Err(Error::limit(Code::LimitEntries, "files in the table", limit, count));
        }
        let parent = match self.here() {
            Place::File(i) => Some(i),
            _ => None,
        };
        let id = id.ok_or_else(|| Error::new(Code::XarToc, "a <file> has no id"))?;
        let id = decimal("file id", &id)?;
        self.toc.files.push(RawFile { parent, id, ..RawFile::default() });
        Ok(Place::File(index))
    }

    fn open_signature(&mut self, name: &str, style: &str) -> Result<()> {
        let style = match style {
            "RSA" => SignatureStyle::Rsa,
            "CMS" => SignatureStyle::Cms,
            _ => {
                return Err(Error::new(
                    Code::XarUnsupported,
                    format!("a signature has the style \"{}\"", escape(style)),
                ));
            }
        };
        if self.toc.signatures.len() >= MOST_SIGNATURES {
            return Err(Error::new(
                Code::XarToc,
                format!("has more than {MOST_SIGNATURES} signatures"),
            ));
        }
        self.toc.signatures.push(RawSignature {
            style,
            extended: name == "x-signature",
            offset: None,
            size: None,
            certificates: Vec::new(),
        });
        Ok(())
    }

    fn data(&mut self, owner: Owner) -> Result<(&mut RawData, &mut Notes)> {
        let RawToc { files, attributes, notes, .. } = &mut self.toc;
        let data = match owner {
            Owner::File(i) => files.get_mut(i).and_then(|f| f.data.as_mut()),
            Owner::Attribute => attributes.last_mut(),
        };
        data.map(|d| (d, notes)).ok_or_else(lost)
    }

    /// Closes a leaf: its text becomes a field.
    fn leaf(&mut self, leaf: Leaf) -> Result<()> {
        let text = std::mem::take(&mut self.text);
        let attribute = self.attribute.take();
        match leaf {
            Leaf::TocOffset | Leaf::TocSize => {
                let RawToc { checksum, notes, .. } = &mut self.toc;
                let c = checksum.as_mut().ok_or_else(lost)?;
                if leaf == Leaf::TocOffset {
                    set(&mut c.offset, decimal("offset", &text)?, "offset", Code::XarToc, notes)
                } else {
                    set(&mut c.size, decimal("size", &text)?, "size", Code::XarToc, notes)
                }
            }
            Leaf::SignatureOffset | Leaf::SignatureSize => {
                let RawToc { signatures, notes, .. } = &mut self.toc;
                let s = signatures.last_mut().ok_or_else(lost)?;
                if leaf == Leaf::SignatureOffset {
                    set(&mut s.offset, decimal("offset", &text)?, "offset", Code::XarToc, notes)
                } else {
                    set(&mut s.size, decimal("size", &text)?, "size", Code::XarToc, notes)
                }
            }
            Leaf::SignatureTime => {
                let RawToc { signature_time, notes, .. } = &mut self.toc;
                set(signature_time, text, "signature-creation-time", Code::XarToc, notes)
            }
            Leaf::Certificate => self.certificate(&text),
            Leaf::Name(i)
            | Leaf::Type(i)
            | Leaf::Mode(i)
            | Leaf::Uid(i)
            | Leaf::Gid(i)
            | Leaf::Mtime(i)
            | Leaf::Link(i) => {
                let RawToc { files, notes, .. } = &mut self.toc;
                file_leaf(files.get_mut(i).ok_or_else(lost)?, leaf, text, attribute, notes)
            }
            Leaf::Offset(o)
            | Leaf::Length(o)
            | Leaf::Size(o)
            | Leaf::Archived(o)
            | Leaf::Extracted(o) => {
                let (d, notes) = self.data(o)?;
                data_leaf(d, leaf, &text, attribute.as_deref().unwrap_or(""), notes)
            }
        }
    }

    fn certificate(&mut self, text: &str) -> Result<()> {
        let der = base64(text)
            .filter(|d| !d.is_empty())
            .ok_or_else(|| Error::new(Code::XarToc, "a signature's certificate is not base64"))?;
        let len = len64(der.len());
        self.certificate_bytes = self.certificate_bytes.saturating_add(len);
        if self.certificate_bytes > self.limits.cms_bytes {
            let limit = self.limits.cms_bytes;
            let n = self.certificate_bytes;
            return Err(Error::limit(Code::LimitXml, "bytes of certificates", limit, n));
        }
        let list = &mut self.toc.signatures.last_mut().ok_or_else(lost)?.certificates;
        let n = len64(list.len()).saturating_add(1);
        if n > self.limits.certificates {
            let limit = self.limits.certificates;
            return Err(Error::limit(Code::LimitXml, "certificates of a signature", limit, n));
        }
        list.push(der);
        Ok(())
    }
}

/// The place of the element `name` inside `parent`.
fn child(parent: Place, name: &str) -> Place {
    match (parent, name) {
        (Place::Document, "xar") => Place::Xar,
        (Place::Document, _) => Place::Document,
        (Place::Xar, "toc") => Place::Toc,
        (Place::Toc, "checksum") => Place::TocChecksum,
        (Place::Toc, "signature" | "x-signature") => Place::Signature,
        (Place::Toc, "signature-creation-time") => Place::Leaf(Leaf::SignatureTime),
        (Place::Toc | Place::File(_), "file") => Place::File(usize::MAX),
        (Place::TocChecksum, "offset") => Place::Leaf(Leaf::TocOffset),
        (Place::TocChecksum, "size") => Place::Leaf(Leaf::TocSize),
        (Place::Signature, "offset") => Place::Leaf(Leaf::SignatureOffset),
        (Place::Signature, "size") => Place::Leaf(Leaf::SignatureSize),
        (Place::Signature, "KeyInfo") => Place::KeyInfo,
        (Place::KeyInfo, "X509Data") => Place::X509Data,
        (Place::X509Data, "X509Certificate") => Place::Leaf(Leaf::Certificate),
        (Place::File(i), "data") => Place::Data(Owner::File(i)),
        (Place::File(_), "ea") => Place::Data(Owner::Attribute),
        (Place::File(i), "name") => Place::Leaf(Leaf::Name(i)),
        (Place::File(i), "type") => Place::Leaf(Leaf::Type(i)),
        (Place::File(i), "mode") => Place::Leaf(Leaf::Mode(i)),
        (Place::File(i), "uid") => Place::Leaf(Leaf::Uid(i)),
        (Place::File(i), "gid") => Place::Leaf(Leaf::Gid(i)),
        (Place::File(i), "mtime") => Place::Leaf(Leaf::Mtime(i)),
        (Place::File(i), "link") => Place::Leaf(Leaf::Link(i)),
        (Place::Data(o), "offset") => Place::Leaf(Leaf::Offset(o)),
        (Place::Data(o), "length") => Place::Leaf(Leaf::Length(o)),
        (Place::Data(o), "size") => Place::Leaf(Leaf::Size(o)),
        (Place::Data(o), "archived-checksum") => Place::Leaf(Leaf::Archived(o)),
        (Place::Data(o), "extracted-checksum") => Place::Leaf(Leaf::Extracted(o)),
        _ => Place::Ignored,
    }
}

fn file_leaf(
    file: &mut RawFile,
    leaf: Leaf,
    text: String,
    attribute: Option<String>,
    notes: &mut Notes,
) -> Result<()> {
    let id = |what: &str| {
        let n = decimal(what, &text)?;
        u32::try_from(n)
            .map_err(|_| Error::new(Code::XarNumber, format!("<{what}> {n} is over 32 bits")))
    };
    match leaf {
        Leaf::Name(_) => {
            let name = decoded(text, attribute.as_deref())?;
            set(&mut file.name, name, "name", Code::XarName, notes)
        }
        Leaf::Type(_) => {
            if file.kind.is_some() {
                let code = if text == "hardlink" { Code::XarLink } else { Code::XarToc };
                return Err(Error::new(code, "a file has two <type>"));
            }
            file.kind = Some((text, attribute));
            Ok(())
        }
        Leaf::Mode(_) => {
            let mode = octal("mode", &text)?;
            let mode = u32::try_from(mode).ok().filter(|m| *m <= 0o177_777).ok_or_else(|| {
                Error::new(Code::XarNumber, format!("<mode> {mode:o} is over 177777"))
            })?;
            set(&mut file.mode, mode, "mode", Code::XarToc, notes)
        }
        Leaf::Uid(_) => set(&mut file.uid, id("uid")?, "uid", Code::XarToc, notes),
        Leaf::Gid(_) => set(&mut file.gid, id("gid")?, "gid", Code::XarToc, notes),
        // A time is shown, never computed with: its form is not checked.
        Leaf::Mtime(_) if text.len() > 64 => {
            Err(Error::new(Code::XarToc, "an <mtime> is longer than 64 bytes"))
        }
        Leaf::Mtime(_) => set(&mut file.mtime, text, "mtime", Code::XarToc, notes),
        Leaf::Link(_) => {
            let link = decoded(text, attribute.as_deref())?;
            set(&mut file.link, link, "link", Code::XarLink, notes)
        }
        _ => Err(lost()),
    }
}

fn data_leaf(
    d: &mut RawData,
    leaf: Leaf,
    text: &str,
    style: &str,
    notes: &mut Notes,
) -> Result<()> {
    match leaf {
        Leaf::Offset(_) => {
            set(&mut d.offset, decimal("offset", text)?, "offset", Code::XarToc, notes)
        }
        Leaf::Length(_) => {
            set(&mut d.length, decimal("length", text)?, "length", Code::XarToc, notes)
        }
        Leaf::Size(_) => set(&mut d.size, decimal("size", text)?, "size", Code::XarToc, notes),
        Leaf::Archived(_) => {
            let c = Checksum::parse(style, text)?;
            set(&mut d.archived, c, "archived-checksum", Code::XarChecksum, notes)
        }
        Leaf::Extracted(_) => {
            let c = Checksum::parse(style, text)?;
            set(&mut d.extracted, c, "extracted-checksum", Code::XarChecksum, notes)
        }
        _ => Err(lost()),
    }
}

/// A predefined entity or a character reference; any other entity needs a DTD.
fn resolve(r: &BytesRef<'_>) -> Result<char> {
    if r.is_char_ref() {
        let c = r.resolve_char_ref().ok().flatten().filter(|c| legal(*c));
        return c.ok_or_else(|| Error::new(Code::Xml, "a character reference is not legal"));
    }
    match &**r {
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "amp" => Ok('&'),
        "apos" => Ok('\''),
        "quot" => Ok('"'),
        other => {
            let shown: String = other.chars().take(40).collect();
            Err(Error::new(Code::XmlDtd, format!("uses the entity \"{}\"", escape(&shown))))
        }
    }
}

/// XML 1.0 `Char`.
fn legal(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

fn lost() -> Error {
    Error::new(Code::Internal, "the TOC parser lost its place")
}
