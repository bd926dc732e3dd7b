//! `PackageInfo`: what a component package says of itself (`pkg-info` format version 2, as
//! `pkgbuild` and PackageMaker write it).

use mip_base::{Code, Error, Job, Result, escape};

use super::xml::{Element, Node, Xml};
use crate::inspection::BundleInfo;

/// A parsed PackageInfo. Numbers that are not numbers are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackageInfo {
    /// `pkg-info@identifier`
    pub identifier: Option<String>,
    /// `pkg-info@version`
    pub version: Option<String>,
    /// `pkg-info@install-location`
    pub install_location: Option<String>,
    /// `pkg-info@auth`: `root` or `none`
    pub auth: Option<String>,
    /// `pkg-info@relocatable`
    pub relocatable: bool,
    /// `pkg-info@postinstall-action`: `none`, `logout`, `restart`, `shutdown`
    pub postinstall_action: Option<String>,
    /// Whether there is a `payload` element.
    pub payload: bool,
    /// `payload@numberOfFiles`
    pub files: Option<u64>,
    /// `payload@installKBytes`
    pub install_kbytes: Option<u64>,
    /// Every `bundle` element with a path, in file order; the path of a nested one is joined.
    pub bundles: Vec<BundleInfo>,
    /// Identifiers under `relocate`.
    pub relocate: Vec<String>,
    /// Identifiers under `upgrade-bundle`.
    pub upgrade: Vec<String>,
    /// Identifiers under `strict-identifier`.
    pub strict: Vec<String>,
    /// Identifiers under `must-close`.
    pub must_close: Vec<String>,
    /// Scripts: role (`preinstall`, `postinstall`, …) and file as written.
    pub scripts: Vec<(String, String)>,
}

impl PackageInfo {
    /// Parses a PackageInfo file.
    ///
    /// # Errors
    /// [`Code::Xml`], [`Code::XmlDtd`], [`Code::LimitXml`], [`Code::LimitDepth`];
    /// [`Code::Xml`] when the root is not `pkg-info`.
    pub fn parse(bytes: &[u8], job: &Job) -> Result<Self> {
        let mut xml = Xml::new(bytes, job)?;
        let mut out = Self::default();
        // Open elements, with the joined path of those that are bundles.
        let mut open: Vec<(String, Option<String>)> = Vec::new();
        loop {
            match xml.next()? {
                Node::Start(e) => {
                    let path = out.element(&e, &open)?;
                    open.push((e.name, path));
                }
                Node::End => {
                    open.pop();
                }
                Node::Text(_) => {}
                Node::Eof => return Ok(out),
            }
        }
    }

    fn element(
        &mut self,
        e: &Element,
        open: &[(String, Option<String>)],
    ) -> Result<Option<String>> {
        if open.is_empty() {
            if e.name != "pkg-info" {
                let what = format!("the root element is \"{}\", not \"pkg-info\"", escape(&e.name));
                return Err(Error::new(Code::Xml, what));
            }
            self.identifier = e.owned("identifier");
            self.version = e.owned("version");
            self.install_location = e.owned("install-location");
            self.auth = e.owned("auth");
            self.relocatable = e.flag("relocatable").unwrap_or(false);
            self.postinstall_action = e.owned("postinstall-action");
            return Ok(None);
        }
        let inside = |name: &str| open.iter().any(|(n, _)| n == name);
        match e.name.as_str() {
            "payload" => {
                self.payload = true;
                self.files = e.get("numberOfFiles").and_then(|v| v.parse().ok());
                self.install_kbytes = e.get("installKBytes").and_then(|v| v.parse().ok());
            }
            "app" if inside("must-close") => self.must_close.extend(e.owned("id")),
            "bundle" => {
                for (group, list) in [
                    ("relocate", &mut self.relocate),
                    ("upgrade-bundle", &mut self.upgrade),
                    ("strict-identifier", &mut self.strict),
                ] {
                    if inside(group) {
                        list.extend(e.owned("id").or_else(|| e.owned("CFBundleIdentifier")));
                    }
                }
                let parent = open.iter().rev().find_map(|(_, p)| p.as_deref());
                if let Some(bundle) = bundle(e, parent) {
                    let path = bundle.path.clone();
                    self.bundles.push(bundle);
                    return Ok(Some(path));
                }
            }
            role if open.last().is_some_and(|(n, _)| n == "scripts") => {
                let file = e.get("file").unwrap_or(role);
                self.scripts.push((role.to_owned(), file.to_owned()));
            }
            _ => {}
        }
        Ok(None)
    }
}

/// A `bundle` element that names a path; one without is a reference to such a one.
pub(super) fn bundle(e: &Element, parent: Option<&str>) -> Option<BundleInfo> {
    let own = e.get("path")?;
    let path = match parent {
        Some(parent) if !own.starts_with(parent) => {
            format!(
                "{}/{}",
                parent.trim_end_matches('/'),
                own.trim_start_matches("./").trim_start_matches('/')
            )
        }
        _ => own.to_owned(),
    };
    Some(BundleInfo {
        path,
        id: e.owned("id").or_else(|| e.owned("CFBundleIdentifier")),
        short_version: e.owned("CFBundleShortVersionString"),
        bundle_version: e.owned("CFBundleVersion"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_pkgbuild_writes() {
        let text = br#"<?xml version="1.0"?><pkg-info format-version="2" identifier="com.x.y" version="1.2"
            install-location="/Applications" auth="root" relocatable="true" postinstall-action="restart" unknown="1">
            <payload numberOfFiles="9" installKBytes="172"/>
            <bundle path="./A.app" id="com.x.a" CFBundleShortVersionString="1.2" CFBundleVersion="7">
              <bundle path="./Contents/PlugIns/P.bundle" id="com.x.p"/>
            </bundle>
            <bundle-version><bundle id="com.x.a"/></bundle-version>
            <relocate><bundle id="com.x.a"/></relocate>
            <must-close><app id="com.x.a"/></must-close>
            <scripts><preinstall file="./preinstall"/><postinstall file="./post.sh" timeout="600"/></scripts>
            <later><thing/></later></pkg-info>"#;
        let p = PackageInfo::parse(text, &Job::default()).unwrap();
        assert_eq!(p.identifier.as_deref(), Some("com.x.y"));
        assert_eq!(
            (p.files, p.install_kbytes, p.payload, p.relocatable),
            (Some(9), Some(172), true, true)
        );
        let paths: Vec<_> = p.bundles.iter().map(|b| b.path.as_str()).collect();
        assert_eq!(paths, ["./A.app", "./A.app/Contents/PlugIns/P.bundle"]);
        assert_eq!(p.relocate, ["com.x.a"]);
        assert_eq!(p.must_close, ["com.x.a"]);
        let scripts = [
            ("preinstall".to_owned(), "./preinstall".to_owned()),
            ("postinstall".to_owned(), "./post.sh".to_owned()),
        ];
        assert_eq!(p.scripts, scripts);
    }

    #[test]
    fn f10_numbers_that_are_none_are_left_out() {
        for n in ["-1", "0x10", "1e3", "99999999999999999999", ""] {
            let text = format!("<pkg-info><payload installKBytes=\"{n}\"/></pkg-info>");
            let p = PackageInfo::parse(text.as_bytes(), &Job::default()).unwrap();
            assert_eq!((p.install_kbytes, p.payload), (None, true), "{n}");
        }
    }

    #[test]
    fn another_root_is_refused() {
        let e = PackageInfo::parse(b"<html/>", &Job::default()).unwrap_err();
        assert_eq!(e.code(), Code::Xml);
    }
}
