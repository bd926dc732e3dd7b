#![allow(clippy::field_reassign_with_default, reason = "one line per value reads better here")]

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::*;
use crate::inspection::{
    AppInfo, ComponentInfo, InputInfo, MdmPoint, PackageTrust, Receipt, ScriptInfo, Warning,
};

/// A name that would do harm wherever it got into markup.
const EVIL: &str = "<script>alert(1)</script>\"onload=\"x\" '><img src=https://evil.example/x onerror=y>\u{202e}gkp.\u{1b}[2J\0&amp;<!--]]>";

fn fact(value: &str) -> Option<Fact<String>> {
    Some(Fact::new(value.to_owned(), value, Some("CFBundleName"), "stated"))
}

/// An inspection in which everything that can be a text is `value`.
fn full(value: &str) -> Inspection {
    let mut input = InputInfo::default();
    input.name = value.to_owned();
    input.path_in_container = Some(value.to_owned());
    input.sha256 = Some(value.to_owned());
    input.kind = InstallerKind::DistributionPackage;
    let mut i = Inspection::new(input);
    i.identity.bundle_id = fact(value);
    i.identity.name = fact(value);
    i.identity.version = fact(value);
    i.identity.copyright = fact(value);
    let names = std::collections::BTreeMap::from([(value.to_owned(), value.to_owned())]);
    i.identity.localized_names = Some(Fact::new(names, value, Some(value), "stated"));
    i.installer.title = fact(value);
    i.installer.must_close = fact(value).into_iter().collect();
    let source = Provenance { place: value.to_owned(), key: None, rule: "stated" };
    i.installer.receipts =
        vec![Receipt { id: value.to_owned(), version: value.to_owned(), source }];
    let mut script = ScriptInfo::default();
    script.name = value.to_owned();
    script.role = Some(value.to_owned());
    script.interpreter = Some(value.to_owned());
    script.head = vec![value.to_owned(), format!("\t{value}")];
    let mut component = ComponentInfo::default();
    component.id = Some(value.to_owned());
    component.place = value.to_owned();
    component.install_location = Some(value.to_owned());
    component.relocatable_bundles = vec![value.to_owned()];
    component.scripts = vec![script];
    i.installer.components = vec![component];
    let mut app = AppInfo::default();
    app.path = value.to_owned();
    app.install_path = Some(value.to_owned());
    app.bundle_id = fact(value);
    app.signature = Some(serde_bundle(value));
    i.apps = vec![app];
    let mut trust = PackageTrust::default();
    trust.state = crate::inspection::ClaimState::Invalid;
    trust.problem = Some(value.to_owned());
    trust.toc_digest = value.to_owned();
    trust.contents.damaged = vec![value.to_owned()];
    i.trust.package = Some(trust);
    i.trust.not_known = vec![value.to_owned()];
    i.apple_mdm.points = vec![MdmPoint::new("signed", "signed", Met::No, value)];
    i.warnings.push(Warning::new("W_ICON", value));
    i.notes.push(value.to_owned());
    i
}

fn serde_bundle(value: &str) -> crate::inspection::BundleSignature {
    let mut slice = crate::inspection::CodeSignature::default();
    slice.identifier = Some(value.to_owned());
    slice.requirement = Some(value.to_owned());
    slice.problems = vec![value.to_owned()];
    slice.flags = vec![value.to_owned()];
    slice.entitlements = Some(serde_json::json!({ value: value }));
    let mut bundle = crate::inspection::BundleSignature::default();
    bundle.slices = vec![slice];
    bundle.not_checked = vec![value.to_owned()];
    bundle
}

/// Names of the tags and of the attributes that a page has.
fn markup(page: &str) -> std::collections::BTreeSet<String> {
    let mut out = std::collections::BTreeSet::new();
    for tag in page.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').expect("every < is that of a tag");
        let mut rest = tag;
        let name: String =
            rest.chars().take_while(|c| c.is_ascii_alphanumeric() || "/!".contains(*c)).collect();
        rest = &rest[name.len()..];
        out.insert(name);
        while let Some((attribute, value)) = rest.split_once("=\"") {
            out.insert(format!("@{}", attribute.trim()));
            rest = value.split_once('"').expect("every attribute is closed").1;
        }
    }
    out
}

#[test]
fn hostile_texts_are_shown_and_do_nothing() {
    let page = html_report(&full(EVIL), None);
    // What the style sheet has of > is no tag.
    let (before, rest) = page.split_once("<style>").unwrap();
    let (_, after) = rest.split_once("</style>").unwrap();
    let body = format!("{before}<style>{}{after}", "</style>");
    let known = [
        "!DOCTYPE",
        "@charset",
        "@class",
        "@content",
        "@http-equiv",
        "@id",
        "@lang",
        "@name",
        "@scope",
        "/body",
        "/code",
        "/div",
        "/footer",
        "/h1",
        "/h2",
        "/h3",
        "/head",
        "/header",
        "/html",
        "/li",
        "/main",
        "/p",
        "/pre",
        "/small",
        "/span",
        "/strong",
        "/style",
        "/table",
        "/tbody",
        "/td",
        "/th",
        "/thead",
        "/title",
        "/tr",
        "/ul",
        "body",
        "code",
        "div",
        "footer",
        "h1",
        "h2",
        "h3",
        "head",
        "header",
        "html",
        "li",
        "main",
        "meta",
        "p",
        "pre",
        "small",
        "span",
        "strong",
        "style",
        "table",
        "tbody",
        "td",
        "th",
        "thead",
        "title",
        "tr",
        "ul",
    ];
    for found in markup(&body) {
        assert!(known.contains(&found.as_str()), "{found}");
    }
    assert!(body.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;onload=&quot;x"));
    let hidden = |c: char| mip_base::is_hidden(c) && c != '\n';
    assert!(!page.chars().any(hidden), "{:?}", page.chars().find(|c| hidden(*c)));
    assert!(body.contains("<span class=\"esc\">\\u{202e}</span>gkp."));
}

#[test]
fn a_page_has_a_size_that_the_input_does_not_choose() {
    let page = html_report(&full(&"a<".repeat(500_000)), None);
    assert!(page.len() < 1 << 20, "{}", page.len());
    assert!(page.contains("999000 more characters"));
    let mut i = full("x");
    for _ in 0..3000 {
        i.apps.push(i.apps[0].clone());
        i.installer.receipts.push(i.installer.receipts[0].clone());
        i.warnings.push(Warning::new("W_ICON", "x"));
    }
    let page = html_report(&i, None);
    assert!(page.len() < 1 << 20, "{}", page.len());
    assert!(page.contains("2801 more are left out"));
}

#[test]
fn nothing_is_loaded_from_anywhere() {
    let png = b"\x89PNG\r\n\x1a\nrest";
    let page = html_report(&full("x"), Some(png));
    assert!(page.contains("default-src 'none'; img-src data:; style-src 'unsafe-inline'"));
    assert!(page.contains("src=\"data:image/png;base64,iVBORw0KGgpyZXN0\""));
    for absent in ["<script", "<link", "href=", "http:", "https:", "url(", "@import"] {
        assert!(!page.contains(absent), "{absent}");
    }
    assert!(!html_report(&full("x"), Some(b"<svg onload=x>")).contains("<img"));
    assert_eq!(page, html_report(&full("x"), Some(png)));
}

#[test]
fn empty_inspections_are_pages_too() {
    let page = html_report(&Inspection::new(InputInfo::default()), None);
    assert!(page.contains("There are none.") && page.contains("nothing to install"));
}

/// html5lib in strict mode: another's reading of the standard. Skipped where it is not installed.
#[test]
fn html5lib_finds_no_error() {
    const SCRIPT: &str = "
import sys
try:
    import html5lib
except ImportError:
    print('absent'); sys.exit(0)
parser = html5lib.HTMLParser(strict=False)
parser.parse(sys.stdin.buffer.read(), transport_encoding='utf-8')
print(parser.errors or 'valid')";
    for value in ["x", EVIL, "Größe \u{FDD0}\u{FFFE}\u{10FFFF}"] {
        let child = Command::new("python3")
            .args(["-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut child) = child else {
            eprintln!("skipped: no python3");
            return;
        };
        let page = html_report(&full(value), Some(b"\x89PNG\r\n\x1a\n"));
        child.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
        let out = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&out.stdout);
        if said.trim() == "absent" {
            eprintln!("skipped: no html5lib");
            return;
        }
        assert_eq!(said.trim(), "valid");
    }
}
