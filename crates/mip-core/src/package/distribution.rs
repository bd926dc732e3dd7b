//! The Distribution file of a product archive: title, product, requirements, choices and
//! package references. Its JavaScript is never evaluated and nothing it names is fetched.

use std::collections::HashMap;

use mip_base::{Code, Error, Job, Result, escape};

use super::package_info::bundle;
use super::xml::{Element, Node, Xml};
use crate::inspection::{BundleInfo, Domains, LicenceFile, OsRange};

/// A parsed Distribution. Titles are as written; they may be localization keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Distribution {
    /// `title`
    pub title: Option<String>,
    /// `product@id`
    pub product_id: Option<String>,
    /// `product@version`
    pub product_version: Option<String>,
    /// `options@hostArchitectures`, split at commas
    pub host_architectures: Vec<String>,
    /// `options@customize`: `allow`, `always`, `never`
    pub customize: Option<String>,
    /// `options@require-scripts`
    pub require_scripts: Option<bool>,
    /// `domains`
    pub domains: Option<Domains>,
    /// `allowed-os-versions/os-version`; the ranges are alternatives
    pub allowed_os: Vec<OsRange>,
    /// `pkg-ref` elements, those of the same id merged, in the order of first mention
    pub pkg_refs: Vec<PkgRef>,
    /// `choice` elements
    pub choices: Vec<Choice>,
    /// `must-close/app@id`
    pub must_close: Vec<String>,
    /// `license@file`
    pub licences: Vec<LicenceFile>,
    /// Whether a licence must be accepted, in a file or inline.
    pub licence: bool,
    /// Whether it holds JavaScript or check expressions.
    pub javascript: bool,
}

/// A merged `pkg-ref`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PkgRef {
    /// `@id`
    pub id: String,
    /// `@version`
    pub version: Option<String>,
    /// `@installKBytes`
    pub install_kbytes: Option<u64>,
    /// `@auth`
    pub auth: Option<String>,
    /// `@onConclusion`: `None`, `RequireLogout`, `RequireRestart`, `RecommendRestart`, `RequireShutdown`
    pub on_conclusion: Option<String>,
    /// The package: `#Name.pkg` (percent-encoded) for one inside, else a URL that is not followed
    pub file: Option<String>,
    /// `bundle-version/bundle`
    pub bundles: Vec<BundleInfo>,
    /// `must-close/app@id`
    pub must_close: Vec<String>,
}

/// A `choice`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// `@id`
    pub id: String,
    /// `@title`
    pub title: Option<String>,
    /// Ids of its `pkg-ref` elements
    pub pkg_refs: Vec<String>,
}

/// What the text of an open element belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Other,
    Title,
    PkgRef(usize),
    Choice(usize),
    Licence,
}

#[derive(Default)]
struct Parser {
    out: Distribution,
    by_id: HashMap<String, usize>,
    /// Name, role and collected text of each open element.
    open: Vec<(String, Role, String)>,
}

impl Distribution {
    /// Parses a Distribution file.
    ///
    /// # Errors
    /// [`Code::Xml`], [`Code::XmlDtd`], [`Code::LimitXml`], [`Code::LimitDepth`];
    /// [`Code::Xml`] when the root is not an installer script.
    pub fn parse(bytes: &[u8], job: &Job) -> Result<Self> {
        let mut xml = Xml::new(bytes, job)?;
        let mut p = Parser::default();
        loop {
            match xml.next()? {
                Node::Start(e) => {
                    let role = p.start(&e)?;
                    p.open.push((e.name, role, String::new()));
                }
                Node::Text(t) => {
                    if let Some((_, role, text)) = p.open.last_mut()
                        && matches!(role, Role::Title | Role::PkgRef(_) | Role::Licence)
                    {
                        text.push_str(&t);
                    }
                }
                Node::End => p.end(),
                Node::Eof => return Ok(p.out),
            }
        }
    }

    /// A table to find the reference of a component by.
    #[must_use]
    pub fn index(&self) -> RefIndex<'_> {
        let mut index = RefIndex { by_file: HashMap::new(), by_id: HashMap::new() };
        for r in &self.pkg_refs {
            index.by_id.entry(r.id.as_str()).or_insert(r);
            if let Some(file) = r.file.as_deref().and_then(inside) {
                index.by_file.entry(file).or_insert(r);
            }
        }
        index
    }
}

/// Package references by file and by id.
#[derive(Debug)]
pub struct RefIndex<'a> {
    by_file: HashMap<String, &'a PkgRef>,
    by_id: HashMap<&'a str, &'a PkgRef>,
}

impl<'a> RefIndex<'a> {
    /// The reference to the package that is stored as `folder`, else to the one of that id.
    #[must_use]
    pub fn find(&self, folder: &str, id: Option<&str>) -> Option<&'a PkgRef> {
        self.by_file.get(folder).or_else(|| self.by_id.get(id?)).copied()
    }
}

impl Parser {
    fn start(&mut self, e: &Element) -> Result<Role> {
        let d = &mut self.out;
        if self.open.is_empty() {
            // Apple's tools write these; PackageMaker wrote the second.
            if !matches!(e.name.as_str(), "installer-gui-script" | "installer-script") {
                let what =
                    format!("the root element is \"{}\", not an installer script", escape(&e.name));
                return Err(Error::new(Code::Xml, what));
            }
            return Ok(Role::Other);
        }
        let around = self.open.iter().rev().map(|(_, role, _)| *role).find(|r| *r != Role::Other);
        match e.name.as_str() {
            "title" if self.open.len() == 1 => return Ok(Role::Title),
            "product" => {
                d.product_id = d.product_id.take().or_else(|| e.owned("id"));
                d.product_version = d.product_version.take().or_else(|| e.owned("version"));
            }
            "options" => {
                let list = e.get("hostArchitectures").unwrap_or_default();
                let archs = list.split([',', ' ']).map(str::trim).filter(|a| !a.is_empty());
                d.host_architectures.extend(archs.map(str::to_owned));
                d.customize = d.customize.take().or_else(|| e.owned("customize"));
                d.require_scripts = d.require_scripts.or_else(|| e.flag("require-scripts"));
            }
            "domains" => {
                d.domains = Some(Domains {
                    anywhere: e.flag("enable_anywhere"),
                    current_user_home: e.flag("enable_currentUserHome"),
                    local_system: e.flag("enable_localSystem"),
                });
            }
            "os-version" if self.open.iter().any(|(n, _, _)| n == "allowed-os-versions") => {
                let range =
                    OsRange { min: e.owned("min"), max: e.owned("max"), before: e.owned("before") };
                d.allowed_os.push(range);
            }
            "license" => {
                d.licence = true;
                if let Some(file) = e.get("file") {
                    let language = e.owned("language");
                    d.licences.push(LicenceFile { file: file.to_owned(), language });
                }
                return Ok(Role::Licence);
            }
            "script" => d.javascript = true,
            "installation-check" | "volume-check" if e.get("script").is_some() => {
                d.javascript = true
            }
            "choice" => {
                let id = e.get("id").unwrap_or_default().to_owned();
                d.choices.push(Choice { id, title: e.owned("title"), pkg_refs: Vec::new() });
                return Ok(Role::Choice(d.choices.len().saturating_sub(1)));
            }
            "pkg-ref" => return Ok(self.pkg_ref(e, around)),
            "app" if self.open.iter().any(|(n, _, _)| n == "must-close") => {
                let list = match around {
                    Some(Role::PkgRef(i)) => d.pkg_refs.get_mut(i).map(|r| &mut r.must_close),
                    _ => None,
                };
                list.unwrap_or(&mut d.must_close).extend(e.owned("id"));
            }
            "bundle" => {
                if let Some(Role::PkgRef(i)) = around
                    && let Some(r) = d.pkg_refs.get_mut(i)
                {
                    r.bundles.extend(bundle(e, None));
                }
            }
            _ => {}
        }
        Ok(Role::Other)
    }

    fn pkg_ref(&mut self, e: &Element, around: Option<Role>) -> Role {
        let Some(id) = e.get("id") else { return Role::Other };
        let d = &mut self.out;
        if let Some(Role::Choice(c)) = around
            && let Some(choice) = d.choices.get_mut(c)
        {
            choice.pkg_refs.push(id.to_owned());
        }
        let next = d.pkg_refs.len();
        let i = *self.by_id.entry(id.to_owned()).or_insert(next);
        if i == next {
            d.pkg_refs.push(PkgRef { id: id.to_owned(), ..PkgRef::default() });
        }
        if let Some(r) = d.pkg_refs.get_mut(i) {
            r.version = r.version.take().or_else(|| e.owned("version"));
            r.auth = r.auth.take().or_else(|| e.owned("auth"));
            r.on_conclusion = r.on_conclusion.take().or_else(|| e.owned("onConclusion"));
            let kbytes = || e.get("installKBytes").and_then(|v| v.parse().ok());
            r.install_kbytes = r.install_kbytes.or_else(kbytes);
        }
        Role::PkgRef(i)
    }

    fn end(&mut self) {
        let Some((_, role, text)) = self.open.pop() else { return };
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        match role {
            Role::Title if self.out.title.is_none() => self.out.title = Some(text.to_owned()),
            Role::PkgRef(i) => {
                if let Some(r) = self.out.pkg_refs.get_mut(i) {
                    r.file.get_or_insert_with(|| text.to_owned());
                }
            }
            _ => {}
        }
    }
}

/// The path inside the package that a file reference names: `#Foo%20Bar.pkg` or
/// `file:./Contents/Packages/x.pkg`; `None` for anything outside.
#[must_use]
pub fn inside(file: &str) -> Option<String> {
    let raw = file
        .strip_prefix('#')
        .or_else(|| file.strip_prefix("file:./"))
        .or_else(|| file.strip_prefix("file:#"))?;
    let mut out = Vec::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(b) = bytes.next() {
        if b == b'%' {
            let hex = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
            let (hi, lo) = (bytes.next().and_then(hex)?, bytes.next().and_then(hex)?);
            out.push((hi << 4) | lo);
        } else {
            out.push(b);
        }
    }
    String::from_utf8(out).ok().map(|s| s.trim_start_matches("./").trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_productbuild_writes() {
        let text = br##"<?xml version="1.0"?><installer-gui-script minSpecVersion="2">
            <title>TITLE &amp; more</title><product id="com.x" version="3.1"/>
            <options customize="never" require-scripts="false" hostArchitectures="arm64,x86_64"/>
            <domains enable_anywhere="true" enable_localSystem="false"/>
            <license file="License.rtf"/><background file="b.png"/>
            <volume-check><allowed-os-versions><os-version min="11.0" before="13"/><os-version min="13.1"/></allowed-os-versions></volume-check>
            <choice id="default" title="Everything"><pkg-ref id="com.x.pkg"/></choice>
            <pkg-ref id="com.x.pkg"><bundle-version><bundle id="com.x.a" path="A.app" CFBundleVersion="7"/></bundle-version>
              <must-close><app id="com.x.a"/></must-close></pkg-ref>
            <pkg-ref id="com.x.pkg" version="3.1" installKBytes="12" onConclusion="RequireRestart" auth="Root">#x%20y.pkg</pkg-ref>
            <pkg-ref id="com.x.far">https://example.invalid/x.pkg</pkg-ref>
            <script>function f() { return 1 &lt; 2; }</script></installer-gui-script>"##;
        let d = Distribution::parse(text, &Job::default()).unwrap();
        assert_eq!(d.title.as_deref(), Some("TITLE & more"));
        assert_eq!(d.host_architectures, ["arm64", "x86_64"]);
        assert_eq!(d.allowed_os.len(), 2);
        assert_eq!(d.pkg_refs.len(), 2);
        let r = d.index().find("x y.pkg", None).unwrap();
        assert_eq!((r.id.as_str(), r.install_kbytes, r.bundles.len()), ("com.x.pkg", Some(12), 1));
        assert_eq!(r.on_conclusion.as_deref(), Some("RequireRestart"));
        assert_eq!(r.must_close, ["com.x.a"]);
        assert_eq!(d.choices[0].pkg_refs, ["com.x.pkg"]);
        assert!(d.licence && d.javascript);
        assert_eq!(d.pkg_refs[1].file.as_deref().and_then(inside), None);
    }

    #[test]
    fn f10_many_choices_are_linear_or_refused() {
        let build = |n: usize| {
            let mut s = String::from("<installer-gui-script>");
            for i in 0..n {
                s.push_str(&format!("<choice id='{i}'><pkg-ref id='p{i}'/></choice>"));
            }
            s + "</installer-gui-script>"
        };
        let start = std::time::Instant::now();
        let d = Distribution::parse(build(40_000).as_bytes(), &Job::default()).unwrap();
        assert_eq!(d.pkg_refs.len(), 40_000);
        let e = Distribution::parse(build(100_000).as_bytes(), &Job::default()).unwrap_err();
        assert_eq!(e.code(), Code::LimitXml);
        assert!(start.elapsed().as_secs() < 5);
    }

    #[test]
    fn f10_a_choice_that_names_itself_is_only_text() {
        let text = b"<installer-gui-script><choices-outline><line choice='a'><line choice='a'/></line></choices-outline><choice id='a'/></installer-gui-script>";
        assert_eq!(Distribution::parse(text, &Job::default()).unwrap().choices.len(), 1);
    }

    #[test]
    fn file_references_are_decoded_once() {
        assert_eq!(inside("#a%2520b.pkg").as_deref(), Some("a%20b.pkg"));
        assert_eq!(inside("#a%zz"), None);
        assert_eq!(inside("http://x/y.pkg"), None);
        assert_eq!(
            inside("file:./Contents/Packages/x.pkg").as_deref(),
            Some("Contents/Packages/x.pkg")
        );
    }
}
