//! A guarded pull reader for the XML of packages: bounded depth, attributes, text and
//! elements; document types and entities refused; nothing fetched, nothing evaluated.

use mip_base::{Code, Error, Job, Limits, Result, escape, len64};
use quick_xml::events::{BytesStart, Event};

/// A start tag.
#[derive(Debug, Default)]
pub(super) struct Element {
    /// Local name.
    pub(super) name: String,
    attributes: Vec<(String, String)>,
}

impl Element {
    /// The attribute `name`, when it is there and not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(k, _)| k == name);
        found.map(|(_, v)| v.trim()).filter(|v| !v.is_empty())
    }

    /// As [`get`](Self::get), owned.
    pub(super) fn owned(&self, name: &str) -> Option<String> {
        self.get(name).map(str::to_owned)
    }

    /// A yes or no attribute as Apple's tools write it.
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        match self.get(name)?.to_ascii_lowercase().as_str() {
            "true" | "yes" | "1" => Some(true),
            "false" | "no" | "0" => Some(false),
            _ => None,
        }
    }
}

/// What the reader meets.
#[derive(Debug)]
pub(super) enum Node {
    /// A start tag; every one is followed by its [`Node::End`].
    Start(Element),
    /// Text, with references resolved. One text may come in several pieces.
    Text(String),
    /// The end of the innermost open element.
    End,
    /// The end of the document.
    Eof,
}

/// The reader.
pub(super) struct Xml<'a> {
    reader: quick_xml::Reader<&'a [u8]>,
    limits: &'a Limits,
    job: &'a Job,
    depth: u64,
    elements: u64,
    text: u64,
    root_seen: bool,
}

impl<'a> Xml<'a> {
    /// A reader of `bytes`, which must be UTF-8 (a byte order mark is dropped).
    ///
    /// # Errors
    /// [`Code::Xml`] for another encoding.
    pub(super) fn new(bytes: &'a [u8], job: &'a Job) -> Result<Self> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
            return Err(Error::new(Code::Xml, "the XML is UTF-16, not UTF-8"));
        }
        let text = std::str::from_utf8(bytes).map_err(|e| {
            let at = len64(e.valid_up_to());
            Error::new(Code::Xml, "the XML is not UTF-8").at(at)
        })?;
        if let Some(at) = text.find('\0') {
            let at = len64(at);
            return Err(Error::new(Code::Xml, "the XML holds a NUL").at(at));
        }
        let mut reader = quick_xml::Reader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        let limits = job.limits();
        Ok(Self { reader, limits, job, depth: 0, elements: 0, text: 0, root_seen: false })
    }

    /// The next node.
    ///
    /// # Errors
    /// [`Code::Xml`] when it is not well formed, [`Code::XmlDtd`] for a document type,
    /// [`Code::LimitXml`] and [`Code::LimitDepth`].
    pub(super) fn next(&mut self) -> Result<Node> {
        loop {
            let at = self.reader.buffer_position();
            let event = self.reader.read_event().map_err(|e| {
                Error::new(Code::Xml, format!("not well formed: {}", escape(&e.to_string()))).at(at)
            })?;
            match event {
                Event::Start(e) | Event::Empty(e) => return self.start(&e).map_err(|e| e.at(at)),
                Event::End(_) => {
                    self.depth = self.depth.saturating_sub(1);
                    self.text = 0;
                    return Ok(Node::End);
                }
                Event::Text(t) => {
                    let t = t.into_inner();
                    if self.depth == 0 {
                        if t.trim().is_empty() {
                            continue;
                        }
                        return Err(Error::new(Code::Xml, "text outside the root element").at(at));
                    }
                    self.count_text(t.len()).map_err(|e| e.at(at))?;
                    return Ok(Node::Text(t.into_owned()));
                }
                Event::CData(t) => {
                    self.count_text(t.len()).map_err(|e| e.at(at))?;
                    return Ok(Node::Text(t.into_inner().into_owned()));
                }
                Event::GeneralRef(r) => {
                    self.count_text(1).map_err(|e| e.at(at))?;
                    return Ok(Node::Text(reference(&r.into_inner()).map_err(|e| e.at(at))?));
                }
                Event::DocType(_) => {
                    return Err(
                        Error::new(Code::XmlDtd, "a document type is not allowed here").at(at)
                    );
                }
                Event::Eof => {
                    if self.depth > 0 {
                        return Err(Error::new(Code::Xml, "ends inside an element").at(at));
                    }
                    if !self.root_seen {
                        return Err(Error::new(Code::Xml, "has no element"));
                    }
                    return Ok(Node::Eof);
                }
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            }
        }
    }

    fn start(&mut self, e: &BytesStart<'_>) -> Result<Node> {
        if self.depth == 0 && self.root_seen {
            return Err(Error::new(Code::Xml, "has a second root element"));
        }
        self.root_seen = true;
        self.text = 0;
        self.depth = self.depth.saturating_add(1);
        if self.depth > self.limits.xml_depth {
            return Err(Error::limit(
                Code::LimitDepth,
                "XML depth",
                self.limits.xml_depth,
                self.depth,
            ));
        }
        self.elements = self.elements.saturating_add(1);
        // A package file has as many elements as its contents list has files, at most.
        if self.elements > self.limits.toc_files {
            let limit = self.limits.toc_files;
            return Err(Error::limit(Code::LimitXml, "XML elements", limit, self.elements));
        }
        if self.elements.is_multiple_of(1024) {
            self.job.check()?;
        }
        let mut attributes: Vec<(String, String)> = Vec::new();
        let mut raw = e.attributes();
        // The check for doubles is quadratic; with the limit below the loop here is not.
        for a in raw.with_checks(false) {
            let a = a.map_err(|e| {
                Error::new(Code::Xml, format!("bad attribute: {}", escape(&e.to_string())))
            })?;
            let n = len64(attributes.len());
            if n >= self.limits.xml_attributes {
                let limit = self.limits.xml_attributes;
                return Err(Error::limit(
                    Code::LimitXml,
                    "attributes of an XML element",
                    limit,
                    n.saturating_add(1),
                ));
            }
            let len = len64(a.value.len());
            if len > self.limits.xml_text {
                return Err(Error::limit(
                    Code::LimitXml,
                    "XML attribute value",
                    self.limits.xml_text,
                    len,
                ));
            }
            let key = AsRef::<str>::as_ref(&a.key).to_owned();
            if attributes.iter().any(|(k, _)| *k == key) {
                let what = format!("attribute \"{}\" given twice", escape(&key));
                return Err(Error::new(Code::Xml, what));
            }
            attributes.push((key, unescape(&a.value)?));
        }
        let name = e.local_name();
        Ok(Node::Start(Element { name: AsRef::<str>::as_ref(&name).to_owned(), attributes }))
    }

    fn count_text(&mut self, len: usize) -> Result<()> {
        self.text = self.text.saturating_add(len64(len));
        if self.text > self.limits.xml_text {
            return Err(Error::limit(Code::LimitXml, "XML text", self.limits.xml_text, self.text));
        }
        Ok(())
    }
}

/// Resolves `&…;` in an attribute value.
fn unescape(raw: &str) -> Result<String> {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let Some((name, tail)) = after.split_once(';') else {
            return Err(Error::new(Code::Xml, "a \"&\" that begins no reference"));
        };
        out.push_str(&reference(name)?);
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}

/// The five predefined entities and character references; nothing else can be declared here.
fn reference(name: &str) -> Result<String> {
    let known = match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => name.strip_prefix('#').and_then(|n| {
            let code = match n.strip_prefix('x') {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => n.parse().ok()?,
            };
            char::from_u32(code).filter(|&c| c != '\0')
        }),
    };
    let shown = || escape(&name.chars().take(32).collect::<String>());
    known.map(String::from).ok_or_else(|| {
        Error::new(Code::XmlDtd, format!("the entity \"{}\" is not declared", shown()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(text: &[u8]) -> Result<Vec<String>> {
        let job = Job::default();
        let mut xml = Xml::new(text, &job)?;
        let mut out = Vec::new();
        loop {
            match xml.next()? {
                Node::Start(e) => out.push(format!("<{} {:?}>", e.name, e.attributes)),
                Node::Text(t) => out.push(t),
                Node::End => out.push("/".into()),
                Node::Eof => return Ok(out),
            }
        }
    }

    #[test]
    fn reads_elements_attributes_text_and_references() {
        let got = drain(b"\xef\xbb\xbf<?xml version='1.0'?><a b='1&amp;2' c=\"&#x41;\">x&lt;y<![CDATA[<z>]]><d/></a>");
        let want = [r#"<a [("b", "1&2"), ("c", "A")]>"#, "x", "<", "y", "<z>", "<d []>", "/", "/"];
        assert_eq!(got.unwrap(), want);
    }

    #[test]
    fn a08_a09_document_types_and_entities_are_refused() {
        for bad in [
            "<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>",
            "<!DOCTYPE a [<!ENTITY x SYSTEM \"http://example.invalid/\">]><a>&x;</a>",
            "<!DOCTYPE a [<!ENTITY l \"lol\"><!ENTITY m \"&l;&l;&l;&l;\">]><a>&m;</a>",
            "<a>&undeclared;</a>",
            "<a b='&undeclared;'/>",
        ] {
            assert_eq!(drain(bad.as_bytes()).unwrap_err().code(), Code::XmlDtd, "{bad}");
        }
    }

    #[test]
    fn a10_many_attributes_stop_at_the_limit() {
        let mut s = String::from("<a");
        for i in 0..800_000 {
            s.push_str(&format!(" a{i}=''"));
        }
        s.push_str("/>");
        let start = std::time::Instant::now();
        assert_eq!(drain(s.as_bytes()).unwrap_err().code(), Code::LimitXml);
        assert!(start.elapsed().as_secs() < 2);
        let many: String = (0..64).map(|i| format!(" a{i}=''")).collect();
        assert!(drain(format!("<a{many}/>").as_bytes()).is_ok());
        assert!(drain(format!("<a{many} z=''/>").as_bytes()).is_err());
    }

    #[test]
    fn a11_depth_and_number_of_elements_are_bounded() {
        let deep = "<a>".repeat(1_000_000);
        assert_eq!(drain(deep.as_bytes()).unwrap_err().code(), Code::LimitDepth);
        let ok = format!("{}{}", "<a>".repeat(128), "</a>".repeat(128));
        assert!(drain(ok.as_bytes()).is_ok());
        let wide = format!("<r>{}</r>", "<a/>".repeat(100_000));
        assert_eq!(drain(wide.as_bytes()).unwrap_err().code(), Code::LimitXml);
    }

    #[test]
    fn a12_only_utf8_without_nul() {
        for bad in [
            &b"\xff\xfe<\0a\0/\0>\0"[..],
            b"<a>\xff</a>",
            b"<a>\0</a>",
            b"",
            b"text",
            b"<a>",
            b"<a></b>",
            b"<a/><b/>",
            b"<a b='1' b='2'/>",
        ] {
            assert_eq!(drain(bad).unwrap_err().code(), Code::Xml, "{bad:?}");
        }
    }

    #[test]
    fn one_text_is_bounded_however_it_is_cut() {
        let text = format!("<a>{}</a>", "x&amp;".repeat(600_000));
        assert_eq!(drain(text.as_bytes()).unwrap_err().code(), Code::LimitXml);
    }
}
