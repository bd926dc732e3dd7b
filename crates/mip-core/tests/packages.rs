//! Packages of the shared fixtures against what independent tools read in them, and packages
//! that are broken or ambiguous in one way.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use std::path::Path;
use std::sync::Arc;

use mip_base::{CancelToken, Code, Job, Limits, SilentProgress, Source};
use mip_core::inspection::{
    Fact, InputInfo, Inspection, InstallerKind, PayloadState, RestartAction,
};
use mip_core::metadata::decide;
use mip_core::package::{FlatPackage, PackageFindings, PayloadScan, bundle};
use mip_core::tree::{self, Container};
use mip_testkit::app::App;
use mip_testkit::pkg::{Component, Packing, Product};
use mip_testkit::shared::{expected, fixtures};
use mip_testkit::tree::Tree;
use mip_testkit::xar::{Encoding, XarBuilder};
use serde_json::Value;

fn look(
    bytes: Vec<u8>,
    name: &str,
    scan: PayloadScan,
    job: &Job,
) -> mip_base::Result<PackageFindings> {
    FlatPackage::open(Arc::new(bytes), name, job)?.examine(scan, job)
}

fn found(bytes: Vec<u8>, name: &str) -> Inspection {
    let job = Job::default();
    inspection(look(bytes, name, PayloadScan::Auto, &job).unwrap(), name)
}

/// What the facade does with findings, without the choice.
fn inspection(f: PackageFindings, name: &str) -> Inspection {
    let mut info = InputInfo::default();
    info.name = name.to_owned();
    info.kind = f.kind;
    let mut i = Inspection::new(info);
    (i.installer, i.apps, i.warnings, i.notes) = (f.installer, f.apps, f.warnings, f.notes);
    i
}

fn decided(bytes: Vec<u8>, name: &str) -> Inspection {
    let mut i = found(bytes, name);
    assert!(decide(&mut i, None).unwrap().is_none(), "{:?}", i.warnings);
    i
}

fn text(f: &Option<Fact<String>>) -> &str {
    f.as_ref().map_or("", |f| f.value.as_str())
}

fn rule(f: &Option<Fact<String>>) -> &str {
    f.as_ref().map_or("", |f| f.source.rule)
}

fn codes(i: &Inspection) -> Vec<&'static str> {
    i.warnings.iter().map(|w| w.code).collect()
}

/// Everything that `expected` says of a package equals what was found.
fn compare(path: &str, i: &Inspection, want: &Value) {
    let pkg = &want["pkg"];
    let list = pkg["components"].as_array().unwrap();
    assert_eq!(i.installer.components.len(), list.len(), "{path}");
    for want in list {
        let dir = want["dir"].as_str().unwrap();
        let ends = if dir == "." { String::new() } else { format!("//{dir}") };
        let at = i.installer.components.iter().position(|c| c.place.ends_with(&ends)).unwrap();
        let c = &i.installer.components[at];
        let s = |key: &str| want[key].as_str();
        assert_eq!(c.id.as_deref(), s("identifier"), "{path} {dir}");
        assert_eq!(c.version.as_deref(), s("version"), "{path} {dir}");
        assert_eq!(c.install_location.as_deref(), s("install_location"), "{path} {dir}");
        assert_eq!(c.auth.as_deref(), s("auth"), "{path} {dir}");
        assert_eq!(
            c.install_kbytes,
            s("install_kbytes").and_then(|v| v.parse().ok()),
            "{path} {dir}"
        );
        assert_eq!(c.files, s("files").and_then(|v| v.parse().ok()), "{path} {dir}");
        let scripts: Vec<String> = c
            .scripts
            .iter()
            .filter_map(|s| Some(format!("{}:./{}", s.role.as_ref()?, s.name)))
            .collect();
        let mut wanted: Vec<&str> =
            want["scripts"].as_array().unwrap().iter().map(|s| s.as_str().unwrap()).collect();
        let mut scripts: Vec<&str> = scripts.iter().map(String::as_str).collect();
        scripts.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(scripts, wanted, "{path} {dir}");
        assert!(c.scripts.iter().all(|s| s.size.is_some()), "{path} {dir}: scripts were read");
        let bundles: Vec<[&str; 3]> = c
            .bundles
            .iter()
            .map(|b| {
                [
                    b.path.as_str(),
                    b.id.as_deref().unwrap_or(""),
                    b.short_version.as_deref().unwrap_or(""),
                ]
            })
            .collect();
        assert_eq!(serde_json::json!(bundles), want["bundles"], "{path} {dir}");
        let Some(apps) = want.get("apps").and_then(Value::as_array) else { continue };
        let payload =
            if dir == "." { "//Payload//".to_owned() } else { format!("//{dir}/Payload//") };
        let have: Vec<_> = i.apps.iter().filter(|a| a.place.contains(&payload)).collect();
        assert_eq!(have.len(), apps.len(), "{path} {dir}: {have:#?}");
        for app in apps {
            let a = have.iter().find(|a| a.path == app["path"].as_str().unwrap()).unwrap();
            let k = |key: &str| app[key].as_str().unwrap_or("");
            assert_eq!(text(&a.bundle_id), k("CFBundleIdentifier"), "{path}");
            // Sparkle's test app has a version in PackageInfo only.
            if !k("CFBundleShortVersionString").is_empty() {
                assert_eq!(text(&a.short_version), k("CFBundleShortVersionString"), "{path}");
            }
            if !k("CFBundleVersion").is_empty() {
                assert_eq!(text(&a.bundle_version), k("CFBundleVersion"), "{path}");
            }
            assert_eq!(text(&a.min_os), k("LSMinimumSystemVersion"), "{path}");
            assert_eq!(a.executable.as_deref().unwrap_or(""), k("CFBundleExecutable"), "{path}");
            assert_eq!(a.icon_file.as_deref().unwrap_or(""), k("CFBundleIconFile"), "{path}");
            assert_eq!(a.package_type.as_deref().unwrap_or(""), k("CFBundlePackageType"), "{path}");
            let name =
                ["CFBundleDisplayName", "CFBundleName"].into_iter().map(k).find(|n| !n.is_empty());
            if let Some(name) = name {
                assert_eq!(text(&a.name), name, "{path}");
            }
            let source = &a.bundle_id.as_ref().unwrap().source;
            assert_eq!(source.key.as_deref(), Some("CFBundleIdentifier"));
            assert!(source.place.ends_with("/Info.plist"), "{path}: {source:?}");
        }
    }
    let d = &pkg["distribution"];
    if d.is_null() {
        assert_eq!(i.input.kind, InstallerKind::ComponentPackage, "{path}");
        return;
    }
    assert_eq!(i.input.kind, InstallerKind::DistributionPackage, "{path}");
    let p = &i.installer;
    assert_eq!(p.title.as_ref().map(|f| f.value.as_str()), d["title"].as_str(), "{path}");
    assert_eq!(text(&p.product_id), d["product"]["id"].as_str().unwrap_or(""), "{path}");
    assert_eq!(text(&p.product_version), d["product"]["version"].as_str().unwrap_or(""), "{path}");
    let min: Vec<&str> = p.allowed_os.iter().filter_map(|r| r.value.min.as_deref()).collect();
    assert_eq!(serde_json::json!(min), d["os_min"], "{path}");
    let mut ids: Vec<&str> = p.packages.iter().map(|r| r.id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(serde_json::json!(ids), d["pkg_refs"], "{path}");
    if let Some(host) = d["host"][0].as_str() {
        let mut host: Vec<&str> = host.split(',').collect();
        host.sort_unstable();
        assert_eq!(p.host_architectures.as_ref().unwrap().value, host, "{path}");
    }
}

#[test]
fn every_flat_package_of_the_fixtures_is_read_as_independent_tools_read_it() {
    let Some(dir) = fixtures("flat packages") else { return };
    let mut count = 0;
    for folder in ["pkg-flat", "pkg-signed", "synthetic"] {
        for entry in std::fs::read_dir(dir.join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if !name.ends_with(".pkg") {
                continue;
            }
            let path = format!("{folder}/{name}");
            let bytes = std::fs::read(dir.join(&path)).unwrap();
            let mut i = found(bytes, &name);
            compare(&path, &i, &expected(&dir, &path));
            assert!(decide(&mut i, None).unwrap().is_none(), "{path}");
            assert!(i.identity.bundle_id.is_some() && i.identity.version.is_some(), "{path}");
            assert!(!codes(&i).iter().any(|c| c.contains("READ")), "{path}: {:?}", i.warnings);
            count += 1;
        }
    }
    assert_eq!(count, 17);
}

/// What the rules make of the fixtures: identifier, name, version, lowest macOS and why.
#[test]
fn identities_of_the_fixtures() {
    let Some(dir) = fixtures("identities") else { return };
    for (path, id, name, version, min_os, rules) in [
        (
            "pkg-flat/arcade-Simple.pkg",
            "com.example.simple",
            "arcade-Simple",
            "1.0",
            "",
            ["first-component", "file-name", "first-component"],
        ),
        (
            "pkg-flat/arcade-WithApp.pkg",
            "com.example.test",
            "test",
            "1.0",
            "",
            ["only-app", "primary-app", "bundle-version"],
        ),
        (
            "pkg-flat/arcade-test.pkg",
            "com.NestedPkg.NestedPkg",
            "Test Package",
            "1.0",
            "",
            ["first-choice", "title", "product"],
        ),
        (
            "pkg-flat/munki-munkitools-2.8.1.2847.pkg",
            "com.googlecode.munki.ManagedSoftwareCenter",
            "Munki - Managed software installation for OS X",
            "4.2.2759",
            "10.6",
            ["only-app", "title", "short-version"],
        ),
        (
            "pkg-flat/relic-dummy.pkg",
            "com.sas.dummy",
            "dummy",
            "1.0",
            "11.0",
            ["only-app", "title", "short-version"],
        ),
        (
            "pkg-flat/sparkle-test.pkg",
            "org.sparkle-project.testapp",
            "sparklepkgtest",
            "0",
            "",
            ["only-app", "primary-app", "first-component"],
        ),
        (
            "pkg-signed/Karabiner-DriverKit-VirtualHIDDevice-6.14.0.pkg",
            "org.pqrs.Karabiner-VirtualHIDDevice-Manager",
            "Karabiner-VirtualHIDDevice-Manager",
            "6.14.0",
            "13.0",
            ["applications-folder", "primary-app", "short-version"],
        ),
        (
            "pkg-signed/installomator-Installomator-0.5-018b06.pkg",
            "com.scriptingosx.Installomator",
            "Installomator",
            "0.5",
            "",
            ["product", "component-name", "product"],
        ),
        (
            "synthetic/syn-component-rawcpio-sha1.pkg",
            "org.example.bigapp",
            "BigApp",
            "9.9.9",
            "11.0",
            ["only-app", "primary-app", "short-version"],
        ),
        (
            "synthetic/syn-component-pbzx-sha256.pkg",
            "org.example.bigapp",
            "BigApp",
            "9.9.9",
            "11.0",
            ["only-app", "primary-app", "short-version"],
        ),
    ] {
        let name_of = Path::new(path).file_name().unwrap().to_str().unwrap();
        let i = decided(std::fs::read(dir.join(path)).unwrap(), name_of);
        let d = &i.identity;
        assert_eq!(
            (text(&d.bundle_id), text(&d.name), text(&d.version), text(&d.min_os)),
            (id, name, version, min_os),
            "{path}"
        );
        assert_eq!([rule(&d.bundle_id), rule(&d.name), rule(&d.version)], rules, "{path}");
    }
}

#[test]
fn facts_of_single_fixtures() {
    let Some(dir) = fixtures("facts") else { return };
    let read = |p: &str| std::fs::read(dir.join(p)).unwrap();

    // What PackageInfo says loses against the Info.plist, and both are told.
    let i = decided(read("synthetic/syn-component-pbzx-sha256.pkg"), "syn.pkg");
    assert!(codes(&i).contains(&"W_BUNDLE_DIFFERS"));
    let lost = &i.apps[0].short_version.as_ref().unwrap().others;
    assert_eq!((lost[0].value.as_str(), lost[0].source.rule), ("1.2.3", "listed"));
    assert_eq!(i.installer.components[0].payload_format.as_deref(), Some("pbzx"));

    // The severest of what the parts ask for; the receipts of all parts.
    let i = decided(read("pkg-flat/munki-munkitools-2.8.1.2847.pkg"), "munki.pkg");
    let restart = i.installer.restart.as_ref().unwrap();
    assert_eq!((restart.value, restart.source.rule), (RestartAction::Restart, "severest"));
    let receipts: Vec<&str> = i.installer.receipts.iter().map(|r| r.id.as_str()).collect();
    assert_eq!(receipts.len(), 4);
    assert!(receipts.contains(&"com.googlecode.munki.launchd"));
    assert_eq!(i.installer.installed_kbytes.as_ref().unwrap().value, 677 + 159 + 4450 + 9);
    assert_eq!(i.installer.installed_kbytes.as_ref().unwrap().source.place, "munki.pkg");
    let nested: Vec<&str> = i.apps.iter().filter(|a| a.nested).map(|a| a.path.as_str()).collect();
    assert_eq!(
        nested,
        ["Applications/Managed Software Center.app/Contents/Resources/MunkiStatus.app"]
    );
    let place = &i.identity.version.as_ref().unwrap().source.place;
    assert_eq!(
        place,
        "munki.pkg//munkitools_app-4.2.2759.pkg/Payload//Applications/Managed Software Center.app/Contents/Info.plist"
    );
    assert_eq!(
        i.apps[0].install_path.as_deref(),
        Some("/Applications/Managed Software Center.app")
    );
    assert!(i.apps[0].icon.is_some());
    assert_eq!(i.identity.architectures.as_ref().unwrap().value, ["x86_64"]);

    // A placeholder from a package is said to be one.
    let i = decided(read("pkg-flat/sparkle-test.pkg"), "sparkle.pkg");
    assert!(
        codes(&i).contains(&"W_SUSPICIOUS_VERSION")
            && codes(&i).contains(&"W_OUTSIDE_APPLICATIONS")
    );

    let i = decided(read("pkg-flat/relic-dummy.pkg"), "dummy.pkg");
    assert!(codes(&i).contains(&"W_RELOCATABLE"));
    let min = i.identity.min_os.as_ref().unwrap();
    assert_eq!((min.source.rule, min.others.len()), ("highest", 1));
    let archs = &i.identity.architectures.as_ref().unwrap();
    assert_eq!(archs.value, ["arm64", "x86_64"]);
    assert_eq!(archs.source.key.as_deref(), Some("Mach-O"));
}

/// Component packages in zip files: values from 7-Zip, gzip and cpio.
#[test]
fn packages_in_zips_of_the_fixtures() {
    let Some(dir) = fixtures("packages in zips") else { return };
    for (path, id, version, payload) in [
        (
            "pkg-flat/rtrouton-Fix_Zoom_Vulnerability.zip",
            "com.github.fix_zoom_vulnerability",
            "1.1",
            true,
        ),
        ("pkg-flat/rtrouton-Hush_Login_Banner.zip", "com.github.hush_login", "1.0", true),
        (
            "pkg-flat/rtrouton-Uninstall_FileWave_Agent.zip",
            "com.github.uninstall_filewave",
            "0",
            false,
        ),
        (
            "pkg-flat/rtrouton-install_latest_adobe_flash_player.zip",
            "com.github.install_latest_adobe_flash_player",
            "1.0",
            true,
        ),
        (
            "pkg-flat/rtrouton-install_latest_vmware_tools.zip",
            "com.github.install_latest_vmware_tools",
            "2.0",
            true,
        ),
        (
            "pkg-signed/rtrouton-Disable_Gatekeeper.zip",
            "com.company.pkg.disable_gatekeeper",
            "0",
            false,
        ),
        ("pkg-signed/rtrouton-re-enable_java_6.zip", "com.company.re_enable_java_6", "0", false),
    ] {
        let job = Job::default();
        let source: Source = Arc::new(std::fs::read(dir.join(path)).unwrap());
        let tree = tree::open_archive(source, Container::Zip, &job).unwrap();
        let index = tree.entries().iter().position(|e| e.path.as_str().ends_with(".pkg")).unwrap();
        let i = decided(tree.read(index, 1 << 20, &job).unwrap(), "x.pkg");
        assert_eq!(
            (text(&i.identity.bundle_id), text(&i.identity.version)),
            (id, version),
            "{path}"
        );
        let c = &i.installer.components[0];
        assert_eq!(
            (c.payload, i.installer.receipts.len()),
            (payload, usize::from(payload)),
            "{path}"
        );
        assert_eq!(
            c.payload_state,
            if payload { PayloadState::NotRead } else { PayloadState::None }
        );
        assert_eq!(codes(&i).contains(&"W_NO_PAYLOAD"), !payload, "{path}");
        let scripts: Vec<_> =
            c.scripts.iter().map(|s| (s.name.as_str(), s.role.as_deref())).collect();
        assert_eq!(scripts, [("postinstall", Some("postinstall"))], "{path}");
        let run = c.scripts[0].interpreter.as_deref().unwrap();
        assert!(run.starts_with("/bin/"), "{path}: {run}");
    }
}

/// Bundle-style packages: values from Python's plistlib and bsdtar.
#[test]
fn bundle_packages_of_the_fixtures() {
    let Some(dir) = fixtures("bundle packages") else { return };
    for (path, id, title, location, kbytes, app) in [
        ("Keychain_Minder_1_3", "com.nhgri.pkg.Keychain Minder", "Keychain Minder", "/", 256, true),
        (
            "Keychain_Minder_1_5",
            "com.nhgri.pkg.Keychain Minder 1.5",
            "Keychain Minder 1.5",
            "/",
            264,
            true,
        ),
        (
            "Office_2011_SP_2_World-Writable_Permissions_Fix",
            "(null).office2011Sp2WorldwritablePermissionsFix.root.pkg",
            "Office 2011 SP 2 World-Writable Permissions Fix",
            "/private/tmp",
            0,
            false,
        ),
        (
            "Reset_User_and_System_Font_Caches",
            "(null).resetUserAndSystemFontCaches.root.pkg",
            "Reset User and System Font Caches",
            "/private/tmp",
            0,
            false,
        ),
        (
            "Retrospect_Client_Uninstaller",
            "(null).retrospectClientUninstaller.root.pkg",
            "Retrospect Client Uninstaller",
            "/private/tmp",
            0,
            false,
        ),
        (
            "VMWare_Java_Patch",
            "org.janelia.pkg.VMWare Java Patch",
            "VMWare Java Patch",
            "/private/tmp",
            0,
            false,
        ),
    ] {
        let job = Job::default();
        let file = dir.join(format!("pkg-bundle/rtrouton-{path}.zip"));
        let source: Source = Arc::new(std::fs::read(file).unwrap());
        let tree = tree::open_archive(source, Container::Zip, &job).unwrap();
        let all = bundle::find_packages(tree.as_ref(), "x.zip", &job).unwrap();
        assert_eq!(all.len(), 1, "{path}");
        let f = bundle::examine(tree.as_ref(), &all[0], "x.zip//p.pkg", PayloadScan::Auto, &job)
            .unwrap();
        assert_eq!(f.kind, InstallerKind::BundlePackage);
        let mut i = inspection(f, "x.zip");
        assert!(decide(&mut i, None).unwrap().is_none());
        let c = &i.installer.components[0];
        assert_eq!((c.id.as_deref(), c.version.as_deref()), (Some(id), Some("1.0")), "{path}");
        assert_eq!(
            (c.install_location.as_deref(), c.install_kbytes),
            (Some(location), Some(kbytes)),
            "{path}"
        );
        assert_eq!((text(&i.identity.name), rule(&i.identity.name)), (title, "title"), "{path}");
        assert_eq!(i.installer.restart, None, "{path}");
        assert!(c.auth.as_deref().is_some_and(|a| a.ends_with("Authorization")), "{path}");
        if app {
            let want = "/Applications/Utilities/Keychain Minder/Keychain Minder.app";
            assert_eq!(i.primary_app().unwrap().install_path.as_deref(), Some(want), "{path}");
            assert_eq!(c.payload_format.as_deref(), Some("gzip"));
        } else {
            assert_eq!(text(&i.identity.bundle_id), id, "{path}");
            let roles: Vec<_> = c.scripts.iter().filter_map(|s| s.role.as_deref()).collect();
            assert_eq!(roles, ["postflight", "preflight"], "{path}");
        }
    }
}

fn app(name: &str, id: &str, version: &str) -> Tree {
    App::new(name, id, version, "7").tree()
}

fn component(id: &str, version: &str) -> Component {
    Component::new(id, version).install_location("/Applications")
}

#[test]
fn several_apps_are_ambiguous_until_one_is_chosen() {
    let tree = app("One", "com.x.one", "1.1").tree("", &app("Two", "com.x.two", "2.2"));
    let bytes = component("com.x.pkg", "3.0").payload(tree).flat();
    let mut i = found(bytes, "x.pkg");
    let e = decide(&mut i, None).unwrap().unwrap();
    assert_eq!(e.code(), Code::Ambiguous);
    for word in ["com.x.one", "com.x.two", "/Applications/One.app"] {
        assert!(e.message().contains(word), "{e}");
    }
    assert!(e.next_step().unwrap().contains("--primary-app"));
    assert!(codes(&i).contains(&"W_AMBIGUOUS"));
    assert_eq!((i.primary_app().is_none(), i.identity.bundle_id.is_none()), (true, true));
    assert!(i.identity.version.is_none());

    for given in ["com.x.two", "Two.app", "/Applications/Two.app"] {
        assert!(decide(&mut i, Some(given)).unwrap().is_none());
        assert_eq!(text(&i.identity.bundle_id), "com.x.two");
        assert_eq!((text(&i.identity.version), rule(&i.identity.bundle_id)), ("2.2", "given"));
    }
    let e = decide(&mut i, Some("com.x.three")).unwrap_err();
    assert_eq!(e.code(), Code::Usage);
    assert!(e.message().contains("com.x.one") && e.message().contains("com.x.three"), "{e}");
}

#[test]
fn the_package_may_say_which_app_is_meant() {
    let tree = || app("One", "com.x.one", "1.1").tree("", &app("Two", "com.x.two", "2.2"));
    // By its own identifier.
    let i = decided(component("com.x.two", "3.0").payload(tree()).flat(), "x.pkg");
    assert_eq!(
        (text(&i.identity.bundle_id), rule(&i.identity.bundle_id)),
        ("com.x.two", "same-id")
    );
    // What must be closed goes before the product.
    let product = Product::new("T").product("com.x.two", "9").element(
        "<pkg-ref id=\"com.x.pkg\"><must-close><app id=\"com.x.one\"/></must-close></pkg-ref>",
    );
    let i = decided(
        product.component("c.pkg", component("com.x.pkg", "3").payload(tree())).flat(),
        "x.pkg",
    );
    assert_eq!(text(&i.identity.bundle_id), "com.x.one");
    // An app in /Applications goes before one elsewhere, and nested ones never count.
    let tree = Tree::new()
        .tree("Applications", &app("One", "com.x.one", "1.1"))
        .tree("Applications/One.app/Contents/Helpers", &app("Help", "com.x.help", "5"))
        .tree("Applications/Vendor", &app("Two", "com.x.two", "2.2"))
        .tree("Library/Vendor", &app("Three", "com.x.three", "2.2"));
    let i = decided(Component::new("com.x.pkg", "3").payload(tree).flat(), "x.pkg");
    let won = i.identity.bundle_id.as_ref().unwrap();
    assert_eq!((won.value.as_str(), won.source.rule), ("com.x.one", "applications-folder"));
    assert_eq!(i.apps.iter().filter(|a| a.nested).count(), 1);
}

#[test]
fn an_app_is_found_when_the_payload_is_what_is_inside_it() {
    let inside = App::new("Tool", "com.x.tool", "1.5", "9").tree();
    let mut tree = Tree::new();
    for (path, _) in inside.nodes() {
        if let (Some(rest), Some(bytes)) = (path.strip_prefix("Tool.app/"), inside.bytes(path)) {
            tree = tree.file(rest, 0o755, bytes);
        }
    }
    let c =
        Component::new("com.x.pkg", "3").install_location("/Applications/Tool.app").payload(tree);
    let i = decided(c.flat(), "x.pkg");
    assert_eq!(text(&i.identity.bundle_id), "com.x.tool");
    assert_eq!(i.apps[0].install_path.as_deref(), Some("/Applications/Tool.app"));
    assert_eq!((i.apps[0].path.as_str(), i.apps[0].nested), (".", false));
}

#[test]
fn titles_are_looked_up_and_placeholders_passed_over() {
    let c = || component("com.x.pkg", "3").payload(app("Tool", "com.x.tool", "1.5"));
    let utf16: Vec<u8> =
        "\u{feff}\"SU_TITLE\" = \"Werkzeug\";".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let p = Product::new("SU_TITLE")
        .resource("de.lproj/Localizable.strings", utf16.clone())
        .resource("en.lproj/Distribution.strings", "\"SU_TITLE\" = \"The Tool\";")
        .component("c.pkg", c());
    let i = decided(p.flat(), "x.pkg");
    let name = i.identity.name.as_ref().unwrap();
    assert_eq!((name.value.as_str(), name.source.rule), ("The Tool", "localized-title"));
    assert_eq!(name.source.place, "x.pkg//Resources/en.lproj");
    // Without English the language that is there.
    let p = Product::new("SU_TITLE")
        .resource("de.lproj/Localizable.strings", utf16)
        .component("c.pkg", c());
    assert_eq!(text(&decided(p.flat(), "x.pkg").identity.name), "Werkzeug");
    for title in ["DISTRIBUTION_TITLE", "MacFULL", "SU_TITLE", ""] {
        let i = decided(Product::new(title).component("c.pkg", c()).flat(), "x.pkg");
        assert_eq!(
            (text(&i.identity.name), rule(&i.identity.name)),
            ("Tool", "primary-app"),
            "{title}"
        );
    }
    // A damaged table is noted and does no harm.
    let p = Product::new("T")
        .resource("en.lproj/Localizable.strings", "\"a\" = ")
        .component("c.pkg", c());
    let i = decided(p.flat(), "x.pkg");
    assert_eq!(text(&i.identity.name), "T");
    assert!(
        i.notes.iter().any(|n| n.contains("en.lproj") && n.contains("E_PLIST")),
        "{:?}",
        i.notes
    );
}

#[test]
fn versions_and_bounds_follow_the_rules() {
    let build = |short: &str, product: Option<&str>| {
        let app = App::new("Tool", "com.x.tool", short, "77").tree();
        let mut p =
            Product::new("T").component("c.pkg", component("com.x.pkg", "3.3").payload(app));
        if let Some(v) = product {
            p = p.product("com.x", v);
        }
        let i = decided(p.flat(), "x.pkg");
        (text(&i.identity.version).to_owned(), rule(&i.identity.version).to_owned())
    };
    let is = |v: &str, r: &str| (v.to_owned(), r.to_owned());
    assert_eq!(build("1.5", Some("9")), is("1.5", "short-version"));
    assert_eq!(build("beta", Some("9")), is("9", "product"));
    assert_eq!(build("beta", None), is("77", "bundle-version"));

    let os = "<volume-check><allowed-os-versions><os-version min=\"10.13\" before=\"11\"/><os-version min=\"11.2\"/></allowed-os-versions></volume-check>";
    let tool = App::new("Tool", "com.x.tool", "1", "1").key("LSMinimumSystemVersion", Some("10.9"));
    let p = Product::new("T")
        .element(os)
        .component("c.pkg", component("a.b", "1").payload(tool.tree()));
    let i = decided(p.flat(), "x.pkg");
    // The ranges are alternatives: 10.13 is enough. 10.13 is more than 10.9.
    assert_eq!((text(&i.identity.min_os), rule(&i.identity.min_os)), ("10.13", "highest"));
    assert_eq!(i.identity.max_os, None);
}

#[test]
fn a_large_payload_is_left_unread_and_said_so() {
    let limits = || {
        let mut l = Limits::default();
        l.payload_scan = 100;
        l
    };
    let job = || Job::new(limits(), CancelToken::new(), Arc::new(SilentProgress));
    let bytes = component("com.x.pkg", "3")
        .payload(app("Tool", "com.x.tool", "1.5"))
        .bundle("Tool.app", "com.x.listed", "1.4", "6")
        .flat();
    let mut i =
        inspection(look(bytes.clone(), "x.pkg", PayloadScan::Auto, &job()).unwrap(), "x.pkg");
    assert!(decide(&mut i, None).unwrap().is_none());
    assert_eq!(codes(&i), ["W_PAYLOAD_NOT_READ", "W_RECEIPT_BLOCKS"]);
    assert!(i.warnings[0].message.contains("--payload-scan always"));
    let a = i.primary_app().unwrap();
    assert_eq!((text(&a.bundle_id), rule(&a.bundle_id)), ("com.x.listed", "listed"));
    assert_eq!((text(&i.identity.version), text(&a.name)), ("1.4", "Tool"));
    let f = look(bytes.clone(), "x.pkg", PayloadScan::Always, &job()).unwrap();
    assert_eq!(text(&f.apps[0].bundle_id), "com.x.tool");
    let f = look(bytes, "x.pkg", PayloadScan::Never, &Job::default()).unwrap();
    assert_eq!(f.installer.components[0].payload_state, PayloadState::NotRead);
}

/// Counts the bytes that are read.
struct Counted(Vec<u8>, std::sync::atomic::AtomicU64);

impl mip_base::ReadAt for Counted {
    fn size(&self) -> u64 {
        self.0.size()
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<usize> {
        let n = self.0.read_at(offset, buf)?;
        self.1.fetch_add(n as u64, std::sync::atomic::Ordering::Relaxed);
        Ok(n)
    }
}

#[test]
fn only_what_is_needed_is_read() {
    let read = |tree: Tree, scan: PayloadScan, limits: Limits| {
        let bytes = component("com.x.pkg", "3").payload(tree).packing(Packing::Plain).flat();
        let total = bytes.len() as u64;
        let source = Arc::new(Counted(bytes, Default::default()));
        let job = Job::new(limits, CancelToken::new(), Arc::new(SilentProgress));
        let f =
            FlatPackage::open(source.clone(), "x.pkg", &job).unwrap().examine(scan, &job).unwrap();
        (f, source.1.load(std::sync::atomic::Ordering::Relaxed), total)
    };
    let small = || {
        let mut l = Limits::default();
        l.payload_scan = 1 << 20;
        l
    };
    let app = || app("Tool", "com.x.tool", "1.5");
    // The payload is over the limit: the tables only.
    let (f, n, total) = read(app().file("z", 0o644, vec![7; 8 << 20]), PayloadScan::Auto, small());
    assert!(n < 64 << 10 && total > 8 << 20, "{n} of {total}");
    assert_eq!(f.installer.components[0].payload_state, PayloadState::NotRead);
    // All that is wanted stands before the large file: the walk stops there.
    let (f, n, _) = read(app().file("z", 0o644, vec![7; 8 << 20]), PayloadScan::Always, small());
    assert!(n < 512 << 10, "{n}");
    assert_eq!(text(&f.apps[0].bundle_id), "com.x.tool");
    // No app in the file list: the payload is not touched.
    let (f, n, _) =
        read(Tree::new().file("z", 0o644, vec![7; 8 << 20]), PayloadScan::Always, small());
    assert!(n < 64 << 10, "{n}");
    assert!(f.warnings.is_empty() && f.installer.components[0].payload);
}

#[test]
fn a_damaged_payload_leaves_what_the_tables_say() {
    for packing in [Packing::Gzip, Packing::Xz, Packing::Plain] {
        let c = component("com.x.pkg", "3")
            .payload(app("Tool", "com.x.tool", "1.5"))
            .bundle("Tool.app", "com.x.tool", "1.5", "7")
            .packing(packing);
        let mut payload = packing_of(&c);
        let at = payload.len() / 10;
        payload[at] ^= 0x55;
        payload[at + 1] ^= 0x55;
        let xar = XarBuilder::new().file("PackageInfo", c.package_info(), Encoding::Gzip).file(
            "Payload",
            payload,
            Encoding::None,
        );
        let mut i = found(xar.build(), "x.pkg");
        assert!(decide(&mut i, None).unwrap().is_none());
        let w = i.warnings.iter().find(|w| w.code == "W_PAYLOAD_UNREADABLE");
        if let Some(w) = w {
            assert!(w.message.contains("E_"), "{}", w.message);
            assert_eq!(i.installer.components[0].payload_state, PayloadState::Unreadable);
        } else {
            assert!(matches!(packing, Packing::Plain), "{packing:?}: damage must show");
        }
        assert_eq!(text(&i.identity.bundle_id), "com.x.tool");
    }
}

/// The payload that the builder makes, taken out of the package by its own reader.
fn packing_of(c: &Component) -> Vec<u8> {
    let job = Job::default();
    let xar = mip_xar::Xar::open(Arc::new(c.flat()), &job).unwrap();
    xar.read_file(xar.find("Payload").unwrap(), 1 << 20, &job).unwrap()
}

#[test]
fn packages_in_packages() {
    let inner = component("com.x.pkg", "3").payload(app("Tool", "com.x.tool", "1.5")).flat();
    let script = "<installer-gui-script><title>T</title><pkg-ref id='com.x.pkg' version='3' onConclusion='RequireLogout'>#in%20ner.pkg</pkg-ref></installer-gui-script>";
    for how in [Encoding::None, Encoding::Gzip] {
        let outer = XarBuilder::new().file("Distribution", script, Encoding::Gzip).file(
            "in ner.pkg",
            inner.clone(),
            how,
        );
        let i = decided(outer.build(), "x.pkg");
        assert_eq!(text(&i.identity.bundle_id), "com.x.tool");
        assert_eq!(i.installer.components[0].place, "x.pkg//in ner.pkg");
        assert_eq!(
            i.installer.components[0].id_fact.as_ref().unwrap().source.place,
            "x.pkg//in ner.pkg//PackageInfo"
        );
        assert_eq!(i.installer.restart.as_ref().unwrap().value, RestartAction::Logout);
    }
    // As deep as the limit says, and not deeper.
    let mut deep = inner;
    for _ in 0..5 {
        deep = XarBuilder::new()
            .file("Distribution", script, Encoding::Gzip)
            .file("inner.pkg", deep, Encoding::None)
            .build();
    }
    let e = FlatPackage::open(Arc::new(deep), "x.pkg", &Job::default()).unwrap_err();
    assert_eq!(e.code(), Code::LimitNesting);
}

#[test]
fn a_xar_archive_that_is_no_package_says_so() {
    let xar = XarBuilder::new().file("a.txt", "x", Encoding::Gzip).build();
    let e = FlatPackage::open(Arc::new(xar), "x.pkg", &Job::default()).unwrap_err();
    assert_eq!(e.code(), Code::NotAPackage);
    assert!(e.next_step().unwrap().contains("PackageInfo"));
}

#[test]
fn f07_the_same_key_twice_in_an_app_is_reported() {
    let twice = "<plist version=\"1.0\"><dict><key>CFBundleIdentifier</key><string>a.b</string><key>CFBundleIdentifier</key><string>c.d</string></dict></plist>";
    let tree = Tree::new().file("Tool.app/Contents/Info.plist", 0o644, twice);
    let i = decided(component("com.x.pkg", "3").payload(tree).flat(), "x.pkg");
    let w = i.warnings.iter().find(|w| w.code == "W_APP_UNREADABLE").unwrap();
    assert!(w.message.contains("E_PLIST_DUP_KEY"), "{}", w.message);
}

#[test]
fn f10_a_distribution_is_never_run_and_nothing_is_fetched() {
    let p = Product::new("T")
        .element("<script>while (true) { system.run('/bin/rm', '-rf', '/'); }</script>")
        .element("<installation-check script='f()'/>")
        .element("<pkg-ref id='far'>http://127.0.0.1:1/x.pkg</pkg-ref>")
        .component("c.pkg", component("com.x.pkg", "3"));
    let i = decided(p.flat(), "x.pkg");
    assert!(i.installer.javascript);
    assert_eq!(i.installer.components.len(), 1);
    assert_eq!(codes(&i), ["W_ROSETTA_TO_INSTALL", "W_JAVASCRIPT", "W_NO_PAYLOAD"]);

    for (bad, code) in [
        ("<!DOCTYPE x [<!ENTITY a 'b'>]><installer-gui-script/>", Code::XmlDtd),
        ("<installer-gui-script>", Code::Xml),
        ("<html/>", Code::Xml),
    ] {
        let xar = XarBuilder::new().file("Distribution", bad, Encoding::Gzip).build();
        let e = FlatPackage::open(Arc::new(xar), "x.pkg", &Job::default()).unwrap_err();
        assert_eq!(e.code(), code);
        assert_eq!(e.path().as_deref(), Some("Distribution"));
    }
}

#[test]
fn f10_a_damaged_bom_is_a_warning_and_the_payload_is_read_instead() {
    let c = component("com.x.pkg", "3").payload(app("Tool", "com.x.tool", "1.5"));
    let xar = XarBuilder::new()
        .file("PackageInfo", c.package_info(), Encoding::Gzip)
        .file("Bom", "BOMStore rubbish", Encoding::Gzip)
        .file("Payload", packing_of(&c), Encoding::None);
    let i = decided(xar.build(), "x.pkg");
    assert_eq!(codes(&i), ["W_BOM_UNREADABLE", "W_RECEIPT_BLOCKS"]);
    assert_eq!(text(&i.identity.bundle_id), "com.x.tool");
}

#[test]
fn the_json_form_is_stable_and_has_a_schema() {
    let bytes = component("com.x.pkg", "3").payload(app("Tool", "com.x.tool", "1.5")).flat();
    let json = serde_json::to_value(decided(bytes, "x.pkg")).unwrap();
    assert_eq!(json["schema_version"], 1);
    assert_eq!(json["input"]["kind"], "component-package");
    let id = &json["identity"]["bundle_id"];
    assert_eq!(id["value"], "com.x.tool");
    assert_eq!(
        id["source"],
        serde_json::json!({
            "place": "x.pkg//Payload//Tool.app/Contents/Info.plist",
            "key": "CFBundleIdentifier",
            "rule": "only-app",
        })
    );
    assert_eq!(json["apps"][0]["primary"], true);
    assert_eq!(json["installer"]["receipts"][0]["id"], "com.x.pkg");
    // The schema names every key of the top, and every rule that is used is documented.
    let schema = mip_core::inspection::inspection_schema();
    for key in json.as_object().unwrap().keys() {
        assert!(schema["properties"].get(key).is_some(), "{key}");
    }
    let known: Vec<&str> = mip_core::metadata::rules::ALL.iter().map(|(w, _)| *w).collect();
    assert!(known.contains(&"only-app") && known.len() > 20);
}

#[test]
fn what_is_kept_of_hostile_tables_is_bounded() {
    // An Info.plist of megabytes of text.
    let big = App::new("Tool", "com.x.tool", &"1".repeat(4 << 20), "7").tree();
    let i = decided(component("com.x.pkg", "3").payload(big).flat(), "x.pkg");
    let w = i.warnings.iter().find(|w| w.code == "W_APP_UNREADABLE").unwrap();
    assert!(w.message.contains("E_LIMIT") && w.message.len() < 500, "{}", w.message);
    // More apps than are looked at.
    let mut c = component("com.x.pkg", "3");
    for n in 0..1100 {
        c = c.bundle(&format!("A{n}.app"), &format!("com.x.a{n}"), "1", "1");
    }
    let xar = XarBuilder::new().file("PackageInfo", c.package_info(), Encoding::Gzip).file(
        "Payload",
        vec![0; 10],
        Encoding::None,
    );
    let i = found(xar.build(), "x.pkg");
    assert_eq!(i.apps.len(), 1000);
    assert!(codes(&i).contains(&"W_MANY_APPS"));
    // More bundles than a package can have.
    let many = "<bundle path='x.bundle'/>".repeat(40_000);
    let info = format!("<pkg-info identifier='a'>{many}</pkg-info>");
    let xar = XarBuilder::new()
        .file("Distribution", "<installer-gui-script/>", Encoding::Gzip)
        .directory("a.pkg")
        .file("a.pkg/PackageInfo", info.clone(), Encoding::Gzip)
        .directory("b.pkg")
        .file("b.pkg/PackageInfo", info, Encoding::Gzip);
    let e = FlatPackage::open(Arc::new(xar.build()), "x.pkg", &Job::default()).unwrap_err();
    assert_eq!(e.code(), Code::LimitEntries);
}

#[test]
fn a_cancelled_job_stops() {
    let token = CancelToken::new();
    let job = Job::new(Limits::default(), token.clone(), Arc::new(SilentProgress));
    let bytes = component("com.x.pkg", "3").payload(app("Tool", "com.x.tool", "1.5")).flat();
    let package = FlatPackage::open(Arc::new(bytes), "x.pkg", &job).unwrap();
    token.cancel();
    assert_eq!(package.examine(PayloadScan::Auto, &job).unwrap_err().code(), Code::Cancelled);
}

#[test]
fn a_metapackage_holds_bundle_and_flat_packages() {
    let old = mip_testkit::pkg::bundle_style(
        "Old.pkg",
        &[
            ("CFBundleIdentifier", "com.x.old"),
            ("CFBundleShortVersionString", "1"),
            ("IFPkgFlagDefaultLocation", "/Applications"),
            ("IFPkgFlagRestartAction", "RequiredRestart"),
        ],
        &app("Tool", "com.x.tool", "1.5"),
    );
    let flat = component("com.x.flat", "2").payload(Tree::new().file("x", 0o644, "y")).flat();
    let info = mip_testkit::app::plist(&[
        ("CFBundleIdentifier", "com.x.meta"),
        ("CFBundleShortVersionString", "4"),
    ]);
    let tree = Tree::new()
        .file("All.mpkg/Contents/Info.plist", 0o644, info)
        .tree("All.mpkg/Contents/Packages", &old)
        .file("All.mpkg/Contents/Packages/Flat.pkg", 0o644, flat);
    let job = Job::default();
    for (bytes, how) in
        [(tree.zip(), Container::Zip), (tree.tar(), Container::Tar(mip_codec::Compression::None))]
    {
        let tree = tree::open_archive(Arc::new(bytes), how, &job).unwrap();
        let all = bundle::find_packages(tree.as_ref(), "x.zip", &job).unwrap();
        assert_eq!(all.len(), 1);
        let f = bundle::examine(tree.as_ref(), &all[0], "x.zip//All.mpkg", PayloadScan::Auto, &job)
            .unwrap();
        let mut i = inspection(f, "x.zip");
        assert!(decide(&mut i, None).unwrap().is_none());
        assert_eq!(i.input.kind, InstallerKind::BundleMetapackage);
        let ids: Vec<_> = i.installer.components.iter().map(|c| c.id.as_deref().unwrap()).collect();
        assert_eq!(ids, ["com.x.flat", "com.x.old"]);
        assert_eq!(i.installer.restart.as_ref().unwrap().value, RestartAction::Restart);
        assert_eq!((text(&i.identity.bundle_id), text(&i.identity.version)), ("com.x.tool", "1.5"));
        assert_eq!(text(&i.installer.product_id), "com.x.meta");
    }
}
