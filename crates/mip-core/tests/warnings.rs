//! Every warning is in the table, every row of the table is given somewhere and tested, and each
//! check of an admin's is triggered by an installer that deserves it, and by no other.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mip_core::inspection::{Inspection, WARNINGS};
use mip_core::{Input, InspectOptions, Job, inspect};
use mip_testkit::apfs;
use mip_testkit::app::{App, Cpu, plist};
use mip_testkit::pkg::{Component, Product, bundle_style};
use mip_testkit::tree::Tree;

fn look(name: &str, bytes: Vec<u8>) -> Inspection {
    inspect(&Input::source(name, Arc::new(bytes)), &InspectOptions::new(), &Job::default()).unwrap()
}

fn app() -> App {
    App::new("Tool", "com.example.tool", "1.5", "15").cpus(&[Cpu::Arm64, Cpu::X86_64])
}

fn zip(app: App) -> Inspection {
    look("Tool.zip", app.tree().zip())
}

fn component(tree: &Tree) -> Component {
    Component::new("com.example.pkg", "1.5").install_location("/Applications").payload(tree.clone())
}

fn package(c: Component) -> Inspection {
    look("Tool.pkg", c.flat())
}

fn product(edit: impl FnOnce(Product) -> Product) -> Inspection {
    let p = Product::new("Tool").component("c.pkg", component(&app().tree()));
    look("Tool.pkg", edit(p).flat())
}

fn scripted(text: &str) -> Inspection {
    package(component(&app().tree()).script("postinstall", text))
}

#[test]
fn a_good_installer_has_no_warning() {
    let codes = |i: &Inspection| i.warnings.iter().map(|w| w.code).collect::<Vec<_>>();
    // Whether the test's app and package are signed is another matter.
    let about_trust = |c: &&str| {
        !["SIGN", "TICKET", "ADHOC", "SEAL", "APPLE"].iter().any(|part| c.contains(part))
    };
    let quiet = |i: &Inspection| codes(i).into_iter().filter(about_trust).collect::<Vec<_>>();
    assert_eq!(quiet(&zip(app())), Vec::<&str>::new());
    let i = product(|p| p.host_architectures("arm64,x86_64"));
    assert_eq!(quiet(&i), ["W_RECEIPT_BLOCKS"]);
    let i = scripted("#!/bin/sh\n/usr/bin/true\n");
    assert_eq!(quiet(&i), ["W_RECEIPT_BLOCKS", "W_RUNS_SCRIPTS"]);
}

#[test]
fn each_check_is_triggered_by_what_it_is_for() {
    let none = Tree::new();
    let nameless = || Component::new("com.example.pkg", "2.1").payload(none.clone());
    let cases: Vec<(&str, Inspection, &str)> = vec![
        ("W_INTEL_ONLY", zip(app().cpus(&[Cpu::X86_64])), "macOS 28"),
        ("W_32_BIT_ONLY", zip(app().cpus(&[Cpu::I386])), "10.15"),
        (
            "W_POWERPC",
            // A header for CPU_TYPE_POWERPC, big-endian (`mach/machine.h`).
            zip(app().file("Contents/MacOS/Tool", 0o755, {
                [0xfeed_face_u32, 18, 0, 2, 0, 0, 0]
                    .iter()
                    .flat_map(|w| w.to_be_bytes())
                    .collect::<Vec<u8>>()
            })),
            "PowerPC",
        ),
        ("W_ROSETTA_TO_INSTALL", product(|p| p), "hostArchitectures"),
        ("W_LICENCE", product(|p| p.element("<license file=\"l.rtf\"/>")), "agreement"),
        ("W_JAVASCRIPT", product(|p| p.element("<script>1</script>")), "not run"),
        (
            "W_NO_VERSION",
            zip(app().key("CFBundleVersion", None).key("CFBundleShortVersionString", None)),
            "",
        ),
        ("W_SUSPICIOUS_VERSION", zip(App::new("Tool", "com.example.tool", "0.0", "0")), "0.0"),
        ("W_UNUSUAL_VERSION", zip(App::new("Tool", "com.example.tool", "beta", "x")), "beta"),
        ("W_NO_IDENTIFIER", zip(app().key("CFBundleIdentifier", None)), "Tool.app"),
        (
            "W_NO_IDENTIFIER",
            package(Component::new("(null).x.pkg", "2.1").payload(none.clone())),
            "(null)",
        ),
        ("W_UNUSUAL_IDENTIFIER", zip(App::new("Tool", "com.example.my tool", "1", "1")), "my tool"),
        ("W_PLACEHOLDER_NAME", package(nameless()), "Tool"),
        (
            "W_PLACEHOLDER_NAME",
            look("Suite.pkg", Product::new("SU_TITLE").component("c.pkg", nameless()).flat()),
            "\"SU_TITLE\" is a placeholder",
        ),
        (
            "W_OS_CONTRADICTION",
            product(|p| {
                p.element("<volume-check><allowed-os-versions><os-version min=\"13\" before=\"12\"/></allowed-os-versions></volume-check>")
            }),
            "from 13 to 12",
        ),
        (
            "W_OS_CONTRADICTION",
            zip(app()
                .key("LSMinimumSystemVersion", Some("14.0"))
                .key("LSMaximumSystemVersion", Some("12.9"))),
            "14.0 at least and 12.9 at most",
        ),
        (
            "W_OS_CONTRADICTION",
            look(
                "Tool.pkg",
                Product::new("Tool")
                    .component(
                        "c.pkg",
                        component(&app().key("LSMinimumSystemVersion", Some("14.0")).tree()),
                    )
                    .element("<allowed-os-versions><os-version max=\"13\"/></allowed-os-versions>")
                    .flat(),
            ),
            "only older ones",
        ),
        ("W_RECEIPT_BLOCKS", package(component(&app().tree())), "com.example.pkg"),
        (
            "W_NO_PAYLOAD",
            package(Component::new("com.example.pkg", "2.1").script("postinstall", "#!/bin/sh\n")),
            "",
        ),
        (
            "W_OUTSIDE_APPLICATIONS",
            package(component(&app().tree()).install_location("/opt")),
            "/opt/Tool.app",
        ),
        (
            "W_RELOCATABLE",
            package(
                component(&app().tree())
                    .bundle("Tool.app", "com.example.tool", "1.5", "15")
                    .relocatable(),
            ),
            "moved",
        ),
        (
            "W_SEVERAL_VERSIONS",
            look(
                "S.pkg",
                Product::new("S")
                    .component("a.pkg", nameless())
                    .component("b.pkg", Component::new("com.example.b", "9").payload(none.clone()))
                    .flat(),
            ),
            "different versions",
        ),
        ("W_RUNS_SCRIPTS", scripted("#!/bin/sh\n"), "postinstall"),
        ("W_SCRIPT_INTERPRETER", scripted("#!/usr/bin/python\nprint 1\n"), "macOS 12.3"),
        ("W_SCRIPT_NO_INTERPRETER", scripted("echo x\n"), "line 1"),
        (
            "W_SCRIPT_COMMAND",
            scripted("#!/bin/sh\n\n/usr/bin/php x\n"),
            "postinstall: line 3: /usr/bin/php",
        ),
        (
            "W_SCRIPT_DOWNLOADS",
            scripted("#!/bin/sh\ncurl -O https://example.com/x\n"),
            "line 2: curl",
        ),
        ("W_SCRIPT_INSTALLS", scripted("#!/bin/sh\ninstaller -pkg x.pkg -target /\n"), "line 2"),
        ("W_SCRIPT_USER", scripted("#!/bin/sh\nopen -a Tool\n"), "line 2: open"),
        ("W_SCRIPT_SYSTEM", scripted("#!/bin/sh\nrm -rf /System/Library/x\n"), "/System/Library/x"),
    ];
    for (code, found, part) in cases {
        let all: Vec<_> = found.warnings.iter().filter(|w| w.code == code).collect();
        assert_eq!(all.len(), 1, "{code}: {:#?}", found.warnings);
        assert!(all[0].message.contains(part), "{code}: {}", all[0].message);
        assert!(!all[0].advice.is_empty(), "{code}");
    }
    let only = Product::new("T")
        .component("c.pkg", component(&app().cpus(&[Cpu::Arm64]).tree()))
        .host_architectures("x86_64");
    let i = look("T.pkg", only.flat());
    let w = i.warnings.iter().find(|w| w.code == "W_ARCHITECTURES_DIFFER").unwrap();
    assert!(w.message.contains("for x86_64 only"), "{}", w.message);
}

#[test]
fn heads_of_scripts_are_given_on_request() {
    let bytes = component(&app().tree()).script("postinstall", "#!/bin/sh\necho x\n").flat();
    let input = Input::source("Tool.pkg", Arc::new(bytes));
    let mut options = InspectOptions::new();
    let head = |o: &InspectOptions| {
        let i = inspect(&input, o, &Job::default()).unwrap();
        i.installer.components[0].scripts[0].head.clone()
    };
    assert!(head(&options).is_empty());
    options.script_lines = true;
    assert_eq!(head(&options), ["#!/bin/sh", "echo x", ""]);
}

#[test]
fn a_payload_that_is_not_read_leaves_the_apps_of_its_file_list() {
    let bytes = component(&app().tree()).flat();
    let input = Input::source("Tool.pkg", Arc::new(bytes));
    let mut options = InspectOptions::new();
    options.payload_scan = mip_core::PayloadScan::Never;
    let i = inspect(&input, &options, &Job::default()).unwrap();
    let a = i.primary_app().unwrap();
    assert_eq!(a.install_path.as_deref(), Some("/Applications/Tool.app"));
    assert_eq!(a.name.as_ref().unwrap().value, "Tool");
    assert!(a.bundle_id.is_none());
    assert_eq!(i.identity.bundle_id.as_ref().unwrap().value, "com.example.pkg");
}

/// All Rust files of the workspace's crates, with whether they are tests, by path.
fn sources() -> Vec<(PathBuf, bool, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut out = Vec::new();
    let mut waiting = vec![root.join("crates"), root.join("tests")];
    while let Some(dir) = waiting.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let shown = path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
                let test = shown.starts_with("tests/")
                    || shown.contains("/tests/")
                    || shown.ends_with("tests.rs");
                let text = std::fs::read_to_string(&path).unwrap();
                match text.split_once("#[cfg(test)]\nmod tests {") {
                    Some((code, tests)) if !test => {
                        out.push((path.clone(), false, code.to_owned()));
                        out.push((path, true, tests.to_owned()));
                    }
                    _ => out.push((path, test, text)),
                }
            }
        }
    }
    out
}

fn codes_in(text: &str) -> BTreeSet<String> {
    let words = text.split('"').filter(|w| {
        w.strip_prefix("W_").is_some_and(|rest| {
            !rest.is_empty()
                && rest.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
        })
    });
    words.map(str::to_owned).collect()
}

/// Placeholders that stand for any code.
const NO_CODES: &[&str] = &["W_CODE", "W_TEST"];

/// Rows without a test: what gives them cannot be brought about everywhere.
const UNTESTED: &[&str] = &[
    // A disk that takes the bytes and then does not say that it has them.
    "W_DURABILITY",
    // A signer that verifiers accept only when they name it; the notes themselves are tested in
    // mip-signing, for which no certificate of that kind is made here.
    "W_SIGNER",
    // An app that leads to a root of somebody else: the claim behind it is tested in mip-codesign.
    "W_APP_SIGNATURE_UNTRUSTED",
];

#[test]
fn every_warning_is_in_the_table_and_every_row_is_given_and_tested() {
    let mut given: BTreeMap<String, PathBuf> = BTreeMap::new();
    let mut tested = BTreeSet::new();
    for (path, test, text) in sources() {
        if path.ends_with("inspection/warning.rs") {
            continue;
        }
        for code in codes_in(&text).into_iter().filter(|c| !NO_CODES.contains(&c.as_str())) {
            if test {
                tested.insert(code);
            } else {
                given.insert(code, path.clone());
            }
        }
    }
    let rows: Vec<&str> = WARNINGS.iter().map(|w| w.code).collect();
    assert!(rows.windows(2).all(|w| w[0] < w[1]), "sorted, each once: {rows:?}");
    let unknown: Vec<_> = given.iter().filter(|(c, _)| !rows.contains(&c.as_str())).collect();
    assert!(unknown.is_empty(), "given, but in no row: {unknown:?}");
    let never: Vec<_> = rows.iter().filter(|r| !given.contains_key(**r)).collect();
    assert!(never.is_empty(), "rows that nothing gives: {never:?}");
    let untested: Vec<_> =
        rows.iter().filter(|r| !tested.contains(**r) && !UNTESTED.contains(r)).collect();
    assert!(untested.is_empty(), "rows without a test that names them: {untested:?}");
    for w in WARNINGS {
        assert!(w.meaning.ends_with('.') && w.meaning.len() > 15, "{}: {}", w.code, w.meaning);
        assert!(!w.advice.is_empty() && !w.advice.ends_with('.'), "{}: {}", w.code, w.advice);
    }
}

/// What cannot be read is a warning that names it, and the rest of the installer is still told.
#[test]
fn what_cannot_be_read_or_used_is_said() {
    use mip_testkit::xar::{Encoding, XarBuilder};
    let has = |i: &Inspection, code: &str| {
        assert!(i.warnings.iter().any(|w| w.code == code), "{code}: {:#?}", i.warnings);
    };
    has(&zip(app().key("DTPlatformName", Some("iphoneos"))), "W_OTHER_PLATFORM");
    let icon = app().key("CFBundleIconFile", Some("Bad"));
    has(&zip(icon.file("Contents/Resources/Bad.icns", 0o644, "rubbish")), "W_ICON");

    let c = component(&app().tree()).script("postinstall", "#!/bin/sh\n");
    let input = Input::source("Tool.pkg", Arc::new(c.flat()));
    let mut options = InspectOptions::new();
    options.payload_scan = mip_core::PayloadScan::Never;
    has(&inspect(&input, &options, &Job::default()).unwrap(), "W_SCRIPTS_NOT_READ");
    let xar = XarBuilder::new().file("PackageInfo", c.package_info(), Encoding::Gzip).file(
        "Scripts",
        "rubbish that is no archive",
        Encoding::None,
    );
    has(&look("Tool.pkg", xar.build()), "W_SCRIPTS_UNREADABLE");

    let old = bundle_style(
        "Old.pkg",
        &[("CFBundleIdentifier", "com.example.old"), ("CFBundleShortVersionString", "3")],
        &app().tree(),
    );
    let meta = Tree::new()
        .file(
            "All.mpkg/Contents/Info.plist",
            0o644,
            plist(&[("CFBundleIdentifier", "com.example")]),
        )
        .tree("All.mpkg/Contents/Packages", &old)
        .file("All.mpkg/Contents/Packages/Flat.pkg", 0o644, "rubbish")
        .file("All.mpkg/Contents/distribution.dist", 0o644, "<html/>");
    let i = look("All.zip", meta.zip());
    has(&i, "W_COMPONENT_NOT_READ");
    has(&i, "W_DISTRIBUTION_UNREADABLE");
    assert_eq!(i.installer.components.len(), 1);

    let volume = apfs::Volume::new("Data").file("a.txt", "1");
    let (image, _) = apfs::Container::new().volume(volume).build();
    has(&look("Data.dmg", image), "W_NOTHING_TO_INSTALL");
}

/// Warnings of a conversion.
#[test]
fn a_conversion_says_what_it_did_not_read_and_what_runs() {
    use mip_core::{Convert, MemoryFile, Output};
    let run = |convert: Convert, bytes: &[u8]| {
        let input = Input::source("Tool.pkg", Arc::new(bytes.to_vec()));
        let out = Output::sink(Arc::new(MemoryFile::new()));
        convert.run(&input, &out, &Job::default()).unwrap().warnings
    };
    let blind = Convert::new().id("com.example").name("X").version("1").allow_unreadable(true);
    let all = run(blind.unsigned(), b"xar!rubbish that nobody reads......");
    assert!(all.iter().any(|w| w.code == "W_UNREAD"), "{all:#?}");

    let scripted = Convert::new().unsigned().preinstall(b"#!/usr/bin/python\n".to_vec());
    let all = run(scripted, &component(&app().tree()).flat());
    assert!(all.iter().any(|w| w.code == "W_GIVEN_SCRIPT"), "{all:#?}");
    let bytes =
        Component::new("com.example.pkg", "2.1").script("postinstall", "#!/bin/sh\n").flat();
    let all = run(Convert::new().unsigned(), &bytes);
    assert!(all.iter().any(|w| w.code == "W_NO_DETECTION"), "{all:#?}");
}
