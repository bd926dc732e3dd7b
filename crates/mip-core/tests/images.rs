//! Disk images, from the shared fixtures and made by the testkit: what is found in them, what of
//! them is carried, and what is refused.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mip_core::disk_image::DiskImage;
use mip_core::inspection::{ChecksumState, Inspection};
use mip_core::signing::Password;
use mip_core::tree::Tree as _;
use mip_core::{
    Access, Code, Convert, Error, FileAt, Input, InspectOptions, Job, Limits, LookOptions,
    MemoryFile, Output, PayloadChoice, Report, VerifyPolicy, extract_entry, inspect, verify,
};
use mip_testkit::app::App;
use mip_testkit::crypt::Encryption;
use mip_testkit::hfs::Volume;
use mip_testkit::shared::{expected, fixtures};
use mip_testkit::udif::{Image, Pack};
use mip_testkit::{apfs, sha256, sparse};
use serde_json::Value;

fn options(password: Option<&str>) -> InspectOptions {
    let mut o = InspectOptions::new();
    o.image_password = password.map(|p| Password::new(p.to_owned()));
    o
}

fn look(name: &str, bytes: &[u8], options: &InspectOptions) -> Result<Inspection, Error> {
    inspect(&Input::source(name, Arc::new(bytes.to_vec())), options, &Job::default())
}

/// Converts, verifies, and takes the payload out again.
fn carry(
    input: &Input,
    options: InspectOptions,
    choice: PayloadChoice,
) -> Result<(Report, Vec<u8>), Error> {
    let job = Job::default();
    let out = Arc::new(MemoryFile::new());
    let convert = Convert::new().unsigned().inspect_options(options).payload(choice);
    let report = convert.run(input, &Output::sink(out.clone()), &job)?;
    let archive = Input::source("a.mip", Arc::new(out.to_vec()));
    let found = verify(&archive, &VerifyPolicy::default(), &job).unwrap();
    assert_eq!(found.package_digest, report.package_digest);
    let mut payload = Vec::new();
    extract_entry(&archive, &report.payload.path, &mut payload, &Access::Unverified, &job).unwrap();
    assert_eq!(sha256(&payload), report.payload.sha256);
    Ok((report, payload))
}

fn carry_bytes(
    name: &str,
    bytes: &[u8],
    choice: PayloadChoice,
) -> Result<(Report, Vec<u8>), Error> {
    carry(&Input::source(name, Arc::new(bytes.to_vec())), InspectOptions::new(), choice)
}

/// A key of the archive's Info.plist.
fn manifest(input: &Input, convert: Convert, key: &str) -> Option<String> {
    let (job, out) = (Job::default(), Arc::new(MemoryFile::new()));
    convert.unsigned().run(input, &Output::sink(out.clone()), &job).unwrap();
    let archive = Input::source("a.mip", Arc::new(out.to_vec()));
    let mut info = Vec::new();
    extract_entry(&archive, "Info.plist", &mut info, &Access::Unverified, &job).unwrap();
    let plist = mip_core::plist::read(&info, &job).unwrap();
    plist.get(key).and_then(|v| v.as_str()).map(str::to_owned)
}

/// What the test expects of a fixture.
struct Case {
    file: &'static str,
    password: Option<&'static str>,
    volume: Option<&'static str>,
    file_system: &'static str,
    /// What it installs, and what is carried of it.
    purpose: Option<(&'static str, &'static str)>,
}

const fn case(
    file: &'static str,
    volume: &'static str,
    file_system: &'static str,
    purpose: Option<(&'static str, &'static str)>,
) -> Case {
    Case { file, password: None, volume: Some(volume), file_system, purpose }
}

const DRAG: Option<(&str, &str)> = Some(("drag-and-drop-app", "image"));
const APP: Option<(&str, &str)> = Some(("app", "image"));

fn cases() -> Vec<Case> {
    let with = |c: Case, password| Case { password: Some(password), ..c };
    let fat = case("dmg-udif/appledmg-example-fat32.dmg", "", "FAT", APP);
    let big = "synthetic/syn-enc-aes256.dmg";
    let drag = "dmg-encrypted/sparkle-SparkleTestCodeSignApp.enc.nolicense.dmg";
    vec![
        Case { volume: None, ..fat },
        case("dmg-udif/autopkg-Test.dmg", "resources", "HFS+", APP),
        case("dmg-udif/dfvfs-hfsplus_zlib.dmg", "hfsplus_test", "HFS+", None),
        case("dmg-udif/dmgforensic-hfsplus_bzip2.dmg", "ForensicCorpus", "HFS+", None),
        case("dmg-udif/dmgforensic-hfsplus_compressed.dmg", "ForensicCorpus", "HFS+", None),
        case("dmg-udif/dmgforensic-hfsplus_lzma.dmg", "ForensicCorpus", "HFS+", None),
        case("dmg-udif/dmgforensic-hfsplus_udro.dmg", "ForensicCorpus", "HFS+", None),
        case("dmg-udif/dmgwiz-bzip2.dmg", "empty", "APFS", None),
        case("dmg-udif/dmgwiz-lzfse.dmg", "empty", "APFS", None),
        case("dmg-udif/dmgwiz-lzma.dmg", "empty", "APFS", None),
        case("dmg-udif/dmgwiz-non_null_data_offset.dmg", "SquidMan 1.5", "HFS+", APP),
        case("dmg-udif/goapfs-basic.dmg", "ACCEPT", "APFS", None),
        case("dmg-udif/goapfs-hfs-basic-adc.dmg", "HFSTEST", "HFS+", None),
        case("dmg-udif/goapfs-hfs-basic.dmg", "HFSTEST", "HFS+", None),
        case("dmg-udif/homebrew-container-apfs.dmg", "container-apfs", "APFS", None),
        case("dmg-udif/homebrew-container.dmg", "container.dmg", "HFS+", None),
        case("dmg-udif/keramics-hfsplus_lzfse.dmg", "hfsplus_test", "HFS+", None),
        case("dmg-udif/keramics-hfsplus_lzma.dmg", "hfsplus_test", "HFS+", None),
        case("dmg-udif/keramics-hfsplus_zlib.dmg", "hfsplus_test", "HFS+", None),
        case("dmg-udif/plaso-hfsplus_zlib.dmg", "hfsplus_test", "HFS+", None),
        case("dmg-udif/plaso-spotlight.12.dmg", "TestVolume", "HFS+", None),
        case("dmg-udif/relic-dummy.dmg", "dummy", "HFS+", APP),
        case(
            "dmg-udif/sparkle-SparkleTestCodeSignApp.dmg",
            "Sparkle Test App",
            "HFS+",
            Some(("drag-and-drop-app", "app")),
        ),
        case("dmg-udif/sparkle-SparkleTestCodeSign_apfs.dmg", "SparkleTest", "APFS", DRAG),
        case(
            "dmg-udif/sparkle-SparkleTestCodeSign_pkg.dmg",
            "SparkleTest",
            "APFS",
            Some(("package", "image")),
        ),
        case("hfs-raw/goapfs-hfs-apm.img.gz", "APMTest", "HFS+", None),
        case("hfs-raw/homebrew-test.dmg.gz", "untitled", "APFS", None),
        case("hfs-raw/tika-test-documents.dmg", "TikaTest", "HFS+", None),
        case("apfs-raw/dfvfs-apfs.raw", "apfs_test", "APFS", None),
        with(case("apfs-raw/goapfs-encrypted.img.gz", "Enc", "APFS", None), "hunter2hunter2"),
        with(case("dmg-encrypted/dmgwiz-aes256.dmg", "empty", "APFS", None), "test123"),
        with(case(drag, "SparkleTest", "APFS", Some(("drag-and-drop-app", "app"))), "testpass"),
        with(case(big, "SynApfs", "APFS", Some(("app", "app"))), "pässwörd"),
        case("synthetic/syn-apfs-gpt-lzfse.dmg", "SynApfs", "APFS", APP),
        case("synthetic/syn-hfsplus-nopart-lzma.dmg", "Syn", "HFS+", APP),
        case("synthetic/syn-hfsx-journaled-gpt-zlib.dmg", "SynX", "HFSX", APP),
        case("synthetic/syn-hfsplus.sparseimage.zip", "Syn", "HFS+", APP),
    ]
}

/// Paths of the apps that Python found; 7-Zip puts the volume's name before those on HFS+.
fn apps(expected: &Value, volume: Option<&str>) -> BTreeSet<String> {
    let prefix = format!("{}/", volume.unwrap_or_default());
    let path = |a: &Value| a["path"].as_str().or(a.as_str()).unwrap().to_owned();
    let all = expected["apps"].as_array().into_iter().flatten().map(path);
    all.map(|p| p.strip_prefix(&prefix).map(str::to_owned).unwrap_or(p)).collect()
}

#[test]
fn every_image_of_the_fixtures() {
    let Some(dir) = fixtures("every_image_of_the_fixtures") else { return };
    for c in cases() {
        let mut o = options(c.password);
        o.verify_image = true;
        let found = inspect(&Input::path(dir.join(c.file)), &o, &Job::default())
            .unwrap_or_else(|e| panic!("{}: {e}", c.file));
        let image = found.image.as_ref().unwrap();
        assert_eq!(image.volumes.len(), 1, "{}", c.file);
        let volume = &image.volumes[0];
        assert_eq!(volume.name.as_deref(), c.volume, "{}", c.file);
        assert_eq!(volume.file_system, c.file_system, "{}", c.file);
        let purpose = image.decided.as_ref().map(|d| d.installs);
        let carried = image.payload.as_ref().map(|p| p.carries);
        assert_eq!(purpose.zip(carried), c.purpose, "{}", c.file);
        let encrypted = image.encryption.is_some() || volume.encrypted;
        assert_eq!(encrypted, c.password.is_some(), "{}", c.file);
        // All of these images with a trailer carry checksums, and they hold.
        let sums = if image.format == "UDIF" { ChecksumState::Ok } else { ChecksumState::None };
        assert_eq!(image.checksums, sums, "{}", c.file);
        let want = expected(&dir, c.file);
        // Where the image is packed once more, 7-Zip saw only the outer file.
        let seen = !c.file.ends_with("gz") && !c.file.ends_with("zip");
        if seen && found.input.path_in_container.as_deref() != Some("SparkleTestCodeSignApp.pkg") {
            let have: BTreeSet<String> = found.apps.iter().map(|a| a.path.clone()).collect();
            assert_eq!(have, apps(&want, c.volume), "{}", c.file);
            let ids = |a: &Value| {
                a["CFBundleIdentifier"].as_str().filter(|s| !s.is_empty()).map(str::to_owned)
            };
            let want: BTreeSet<_> =
                want["apps"].as_array().into_iter().flatten().filter_map(ids).collect();
            let have: BTreeSet<_> = found
                .apps
                .iter()
                .filter_map(|a| Some(a.bundle_id.as_ref()?.value.clone()))
                .collect();
            assert_eq!(have, want, "{}", c.file);
        }
    }
}

/// Path to digest of a file, or target of a link, of everything in an app.
fn members(want: &Value, root: &str) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    for m in want["members"].as_array().unwrap() {
        let (path, kind) = (m[0].as_str().unwrap(), m[1].as_str().unwrap());
        let Some(below) = path.strip_prefix(root).filter(|b| b.starts_with('/')) else { continue };
        let name = below.rsplit('/').next().unwrap();
        if kind != "dir" && name != ".DS_Store" && !name.starts_with("._") {
            out.insert(below.to_owned(), m[3].as_str().unwrap().to_owned());
        }
    }
    out
}

fn unpack(payload: &[u8]) -> BTreeMap<String, String> {
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(payload));
    let mut out = BTreeMap::new();
    for entry in tar.entries().unwrap() {
        let mut e = entry.unwrap();
        let path = e.path().unwrap().to_str().unwrap().to_owned();
        let Some((_, below)) = path.split_once('/') else { continue };
        let value = match e.header().entry_type() {
            tar::EntryType::Directory => continue,
            tar::EntryType::Symlink => e.link_name().unwrap().unwrap().to_str().unwrap().to_owned(),
            _ => {
                let mut data = Vec::new();
                e.read_to_end(&mut data).unwrap();
                sha256(&data)
            }
        };
        out.insert(format!("/{below}"), value);
    }
    out
}

#[test]
fn an_app_out_of_an_image_is_the_app() {
    let Some(dir) = fixtures("an_app_out_of_an_image_is_the_app") else { return };
    let spark = "SparkleTestCodeSignApp.app";
    let in_hfs = format!("Sparkle Test App/{spark}");
    for (file, password, root, choice) in [
        ("dmg-udif/sparkle-SparkleTestCodeSignApp.dmg", None, in_hfs.as_str(), PayloadChoice::Auto),
        ("dmg-udif/sparkle-SparkleTestCodeSign_apfs.dmg", None, spark, PayloadChoice::App),
        (
            "dmg-encrypted/sparkle-SparkleTestCodeSignApp.enc.nolicense.dmg",
            Some("testpass"),
            spark,
            PayloadChoice::Auto,
        ),
        ("dmg-udif/relic-dummy.dmg", None, "dummy/dummy.app", PayloadChoice::App),
        ("dmg-udif/appledmg-example-fat32.dmg", None, "raqote-winit.app", PayloadChoice::App),
    ] {
        let input = Input::path(dir.join(file));
        let (report, payload) =
            carry(&input, options(password), choice).unwrap_or_else(|e| panic!("{file}: {e}"));
        assert_eq!(
            (report.payload.form.as_str(), report.payload.carried.as_str()),
            ("app", "tar.gz")
        );
        assert!(report.payload.reason.is_some(), "{file}");
        assert_eq!(unpack(&payload), members(&expected(&dir, file), root), "{file}");
    }
}

#[test]
fn an_image_that_mounts_silently_is_carried_as_it_is() {
    let Some(dir) = fixtures("an_image_that_mounts_silently") else { return };
    for file in [
        "dmg-udif/autopkg-Test.dmg",
        "dmg-udif/sparkle-SparkleTestCodeSign_apfs.dmg",
        "dmg-udif/sparkle-SparkleTestCodeSign_pkg.dmg",
        "synthetic/syn-hfsplus-nopart-lzma.dmg",
    ] {
        let mut o = options(None);
        o.hash = true;
        let convert = carry(&Input::path(dir.join(file)), o, PayloadChoice::Auto);
        let (report, payload) = convert.unwrap_or_else(|e| panic!("{file}: {e}"));
        assert_eq!(report.payload.form, "image", "{file}");
        assert_eq!(payload, std::fs::read(dir.join(file)).unwrap(), "{file}");
    }
    // The identity is that of what is in it.
    let input = Input::path(dir.join("dmg-udif/autopkg-Test.dmg"));
    let key = |k| manifest(&input, Convert::new(), k);
    assert_eq!(key("CFBundleIdentifier").as_deref(), Some("com.github.autopkg.test"));
    assert_eq!(key("MIPPayloadKind").as_deref(), Some("disk-image"));
    assert_eq!(key("MIPPayloadHolds").as_deref(), Some("app"));
    assert_eq!(key("MIPPayloadInstaller").as_deref(), Some("Test.app"));
}

#[test]
fn a_package_out_of_an_image_is_the_package() {
    let Some(dir) = fixtures("a_package_out_of_an_image") else { return };
    let file = "dmg-udif/sparkle-SparkleTestCodeSign_pkg.dmg";
    let input = Input::path(dir.join(file));
    let (report, payload) = carry(&input, options(None), PayloadChoice::Package).unwrap();
    let want = expected(&dir, file);
    let member =
        want["members"].as_array().unwrap().iter().find(|m| m[0] == "SparkleTestCodeSignApp.pkg");
    assert_eq!(member.unwrap()[3].as_str(), Some(sha256(&payload).as_str()));
    assert_eq!(report.payload.path, "payload/SparkleTestCodeSignApp.pkg");
    let e = carry(&input, options(None), PayloadChoice::App).unwrap_err();
    assert_eq!(e.code(), Code::Usage);
}

#[test]
fn a_licence_agreement_is_shown_on_request_and_never_carried_unsaid() {
    let Some(dir) = fixtures("a_licence_agreement") else { return };
    let input = Input::path(dir.join("dmg-udif/sparkle-SparkleTestCodeSignApp.dmg"));
    let mut o = options(None);
    let found = inspect(&input, &o, &Job::default()).unwrap();
    let licence = found.image.unwrap().licence.unwrap();
    assert_eq!(licence.languages.len(), 1);
    assert!(licence.texts.is_empty());
    o.licence_text = true;
    let found = inspect(&input, &o, &Job::default()).unwrap();
    let texts = found.image.unwrap().licence.unwrap().texts;
    assert!(texts.iter().any(|t| !t.text.trim().is_empty()), "{texts:?}");
    let (report, payload) = carry(&input, options(None), PayloadChoice::Original).unwrap();
    assert_eq!(payload.len() as u64, 1_129_865);
    assert!(report.warnings.iter().any(|w| w.code == "W_ASKS_USER"), "{:?}", report.warnings);
}

#[test]
fn b18_passwords() {
    let Some(dir) = fixtures("b18_passwords") else { return };
    for file in [
        "dmg-encrypted/dmgwiz-aes256.dmg",
        "synthetic/syn-enc-aes256.dmg",
        "apfs-raw/goapfs-encrypted.img.gz",
    ] {
        let input = Input::path(dir.join(file));
        let e = inspect(&input, &options(None), &Job::default()).unwrap_err();
        assert_eq!(e.code(), Code::PasswordMissing, "{file}");
        assert!(e.next_step().unwrap().contains("--image-password-env"), "{file}");
        let e = inspect(&input, &options(Some("s3cret-guess")), &Job::default()).unwrap_err();
        assert_eq!(e.code(), Code::Password, "{file}");
        assert!(!format!("{e} {e:?}").contains("s3cret-guess"), "{file}");
    }
    assert!(!format!("{:?}", options(Some("s3cret-guess"))).contains("s3cret"));
}

#[test]
fn a_zip_with_an_image_carries_the_image() {
    let Some(dir) = fixtures("a_zip_with_an_image") else { return };
    // Its app has no readable Info.plist: the place is named through all containers.
    let input = Input::path(dir.join("nested/homebrew-NestedApp.dmg.zip"));
    let e = inspect(&input, &options(None), &Job::default()).unwrap_err();
    assert_eq!(e.code(), Code::Plist);
    assert!(e.path().unwrap().ends_with("NestedApp.dmg//MyNestedApp.app/Info.plist"), "{e}");
    let input = Input::path(dir.join("synthetic/syn-hfsplus.sparseimage.zip"));
    let (report, payload) = carry(&input, options(None), PayloadChoice::Auto).unwrap();
    assert_eq!(
        (report.payload.form.as_str(), report.payload.path.as_str()),
        ("image", "payload/s.sparseimage")
    );
    assert!(payload.starts_with(b"sprs"));
}

#[test]
fn b16_a_sparse_bundle_without_a_volume_is_refused_by_what_it_lacks() {
    let Some(dir) = fixtures("b16_a_sparse_bundle") else { return };
    let input = Input::path(dir.join("sparse/dmgforensic-synthetic.sparsebundle.zip"));
    let e = inspect(&input, &options(None), &Job::default()).unwrap_err();
    assert_eq!(e.code(), Code::Unsupported);
    assert!(e.message().contains("no file system"), "{e}");
}

fn app(name: &str, id: &str) -> mip_testkit::tree::Tree {
    App::new(name, id, "1.2", "34").tree()
}

fn hfs(name: &str) -> Volume {
    Volume::new(name)
}

fn sample_pkg() -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    std::fs::read(path.join("../../fixtures/pkg/distribution/Sample.pkg")).unwrap()
}

/// A compressed image of these bytes.
fn dmg(disk: &[u8]) -> Vec<u8> {
    let mut disk = disk.to_vec();
    disk.resize(disk.len().next_multiple_of(512), 0);
    Image::of(&[(Pack::Zlib, &disk)]).build()
}

fn decided(i: &Inspection) -> (&str, &str) {
    let d = i.image.as_ref().unwrap().decided.as_ref().unwrap();
    (d.installs, d.path.as_str())
}

#[test]
fn the_rules_of_what_an_image_is_for() {
    let (a, b) = (app("A", "com.x.a"), app("B", "com.x.b"));
    // A link to /Applications: the app, although a package is beside it.
    let linked =
        hfs("V").tree("", &a).file("Z.pkg", sample_pkg()).link("Applications", "/Applications");
    let found = look("v.dmg", &linked.build(), &options(None)).unwrap();
    assert_eq!(decided(&found), ("drag-and-drop-app", "A.app"));
    // A Finder alias does the same.
    let alias = hfs("V").tree("", &a).file("Z.pkg", sample_pkg()).alias("Applications");
    let found = look("v.dmg", &alias.build(), &options(None)).unwrap();
    assert_eq!(decided(&found), ("drag-and-drop-app", "A.app"));
    // Without either the package at the root, and not what Finder does not show.
    let package =
        hfs("V").tree("", &a).file("Z.pkg", sample_pkg()).file(".hidden/Y.pkg", sample_pkg());
    let found = look("v.dmg", &package.build(), &options(None)).unwrap();
    assert_eq!(decided(&found), ("package", "Z.pkg"));
    // What lies deeper counts when there is nothing at the root.
    let deep = hfs("V").tree("Stuff", &a).tree(".background", &b);
    let found = look("v.dmg", &deep.build(), &options(None)).unwrap();
    assert_eq!(decided(&found), ("app", "Stuff/A.app"));
    assert_eq!(found.image.unwrap().volumes[0].name.as_deref(), Some("V"));
}

#[test]
fn several_candidates_are_refused_until_one_is_chosen() {
    let two = hfs("V").tree("", &app("A", "com.x.a")).tree("", &app("B", "com.x.b"));
    let bytes = dmg(&two.link("Applications", "/Applications").build());
    let found = look("v.dmg", &bytes, &options(None)).unwrap();
    assert!(found.warnings.iter().any(|w| w.code == "W_AMBIGUOUS"));
    let names: Vec<_> = found.apps.iter().map(|a| a.path.as_str()).collect();
    assert_eq!(names, ["A.app", "B.app"]);
    let e = carry_bytes("v.dmg", &bytes, PayloadChoice::Auto).unwrap_err();
    assert_eq!(e.code(), Code::Ambiguous);
    assert!(e.message().contains("A.app (app), B.app (app)"), "{e}");
    assert!(e.next_step().unwrap().contains("--select"));
    // One that is chosen is carried itself: the client could not tell which of the two.
    let input = Input::source("v.dmg", Arc::new(bytes));
    for chosen in ["select", "identifier"] {
        let mut o = InspectOptions::new();
        match chosen {
            "select" => o.select = Some("B.app".into()),
            _ => o.primary_app = Some("com.x.b".into()),
        }
        let (report, payload) = carry(&input, o.clone(), PayloadChoice::Auto).unwrap();
        assert_eq!((report.product.id.as_str(), report.payload.form.as_str()), ("com.x.b", "app"));
        assert!(unpack(&payload).contains_key("/Contents/Info.plist"));
        let (report, _) = carry(&input, o, PayloadChoice::Original).unwrap();
        assert!(report.warnings.iter().any(|w| w.code == "W_SEVERAL_INSTALLERS"));
    }
    let mut o = InspectOptions::new();
    o.select = Some("C.app".into());
    assert_eq!(carry(&input, o, PayloadChoice::Auto).unwrap_err().code(), Code::Usage);
}

#[test]
fn b19_images_in_images_up_to_the_limit() {
    let mut bytes = dmg(&hfs("V").file("Tool.pkg", sample_pkg()).build());
    let inner = bytes.clone();
    bytes = dmg(&hfs("Outer").file("Inner.dmg", bytes).build());
    let zip = mip_testkit::tree::Tree::new().file("Outer.dmg", 0o644, bytes.clone()).zip();
    // zip, image, image, package: four.
    let found = look("all.zip", &zip, &options(None)).unwrap();
    assert_eq!(found.input.path_in_container.as_deref(), Some("Outer.dmg//Inner.dmg//Tool.pkg"));
    let id = found.identity.bundle_id.unwrap();
    assert!(id.source.place.starts_with("all.zip//Outer.dmg//Inner.dmg//Tool.pkg"), "{id:?}");
    // The innermost image is what a client can use.
    let (report, payload) = carry_bytes("all.zip", &zip, PayloadChoice::Auto).unwrap();
    assert_eq!(report.payload.path, "payload/Inner.dmg");
    assert_eq!(payload, inner);
    let deeper = dmg(&hfs("More").file("Outer.dmg", bytes).build());
    let zip = mip_testkit::tree::Tree::new().file("More.dmg", 0o644, deeper).zip();
    let e = look("all.zip", &zip, &options(None)).unwrap_err();
    assert_eq!(e.code(), Code::LimitNesting);
    // Encryption in encryption counts too.
    let mut bytes = vec![0; 8192];
    for _ in 0..6 {
        bytes = Encryption { iterations: 10, ..Encryption::new("p") }.v2(&bytes);
    }
    let e = look("e.dmg", &bytes, &options(Some("p"))).unwrap_err();
    assert_eq!(e.code(), Code::LimitNesting);
}

#[test]
fn c14_names_that_collide_matter_where_they_are_carried() {
    let outside =
        hfs("V").case_sensitive(true).tree("", &app("A", "com.x.a")).file("x", "1").file("X", "2");
    let found = look("v.dmg", &outside.build(), &options(None)).unwrap();
    assert_eq!(decided(&found), ("app", "A.app"));
    carry_bytes("v.dmg", &outside.build(), PayloadChoice::App).unwrap();
    let inside = outside.file("A.app/Contents/data", "1").file("A.app/Contents/Data", "2").build();
    let e = carry_bytes("v.dmg", &inside, PayloadChoice::App).unwrap_err();
    assert_eq!(e.code(), Code::PathCollision);
    // The image as it is holds both, and that is the vendor's matter.
    assert_eq!(carry_bytes("v.dmg", &inside, PayloadChoice::Auto).unwrap().1, inside);
    let image = DiskImage::open(Arc::new(inside), &[], &Job::default()).unwrap();
    let tree = image.tree(true, &Job::default()).unwrap();
    assert!(tree.get("x").is_some() && tree.get("X").is_some());
}

#[test]
fn hard_links_are_files_and_links_keep_their_targets() {
    let volume = hfs("V")
        .tree("", &app("A", "com.x.a"))
        .file("A.app/Contents/one", "same bytes")
        .hard_link("A.app/Contents/two", "A.app/Contents/one")
        .link("A.app/Contents/to", "one");
    let (_, payload) = carry_bytes("v.dmg", &volume.build(), PayloadChoice::App).unwrap();
    let have = unpack(&payload);
    assert_eq!(have["/Contents/one"], sha256(b"same bytes"));
    assert_eq!(have["/Contents/two"], have["/Contents/one"]);
    assert_eq!(have["/Contents/to"], "one");
}

#[test]
fn forks_and_signatures_beside_the_data_are_left_out_and_said() {
    let script = "A.app/Contents/MacOS/helper.sh";
    let volume = hfs("V")
        .tree("", &app("A", "com.x.a"))
        .resource_fork("A.app/Contents/Info.plist", *b"fork")
        .file(script, "#!/bin/sh\n")
        .mode(script, 0o755)
        .xattr(script, "com.apple.cs.CodeSignature", *b"signature");
    let (report, _) = carry_bytes("v.dmg", &volume.build(), PayloadChoice::App).unwrap();
    let left_out = |r: &Report| {
        let codes = ["W_RESOURCE_FORK", "W_SIGNATURE_ATTRIBUTE"];
        r.warnings.iter().filter(|w| codes.contains(&w.code)).count()
    };
    assert_eq!(left_out(&report), 2, "{:?}", report.warnings);
    let (report, _) = carry_bytes("v.dmg", &volume.build(), PayloadChoice::Auto).unwrap();
    assert_eq!(left_out(&report), 0);
}

#[test]
fn one_file_is_found_without_a_list() {
    let job = Job::default();
    let bytes = dmg(&hfs("V").file("docs/Read me", "hello").link("docs/l", "Read me").build());
    let image = DiskImage::open(Arc::new(bytes), &[], &job).unwrap();
    let file = image.find("docs/read ME", &job).unwrap().unwrap();
    let mut text = String::new();
    let mut from = mip_core::Cursor::new(image.open_file(&file, &job).unwrap());
    from.read_to_string(&mut text).unwrap();
    assert_eq!((text.as_str(), file.size(), file.mode()), ("hello", 5, 0o644));
    let link = image.find("docs/l", &job).unwrap().unwrap();
    assert_eq!(image.read_link(&link, &job).unwrap(), "Read me");
    assert_eq!(image.open_file(&link, &job).err().unwrap().code(), Code::Unsupported);
    assert!(image.find("docs/nothing", &job).unwrap().is_none());
    let root = image.find("", &job).unwrap().unwrap();
    let names: Vec<String> =
        image.children(&root, &job).unwrap().into_iter().map(|(n, _)| n).collect();
    assert_eq!(names, ["docs"]);
}

/// Beyond so many, entries are looked up when they are opened.
#[test]
fn more_files_than_records_are_kept() {
    let job = Job::default();
    let mut volume = hfs("V");
    for n in 0..100_100 {
        volume = volume.file(&format!("f/{n:06}"), "");
    }
    let volume = volume.file("f/z", "the last").link("f/zz", "z");
    let image = DiskImage::open(Arc::new(volume.build()), &[], &job).unwrap();
    let tree = image.tree(false, &job).unwrap();
    let last = tree.find("f/z").unwrap();
    assert!(last > 100_000);
    assert_eq!(tree.read(last, 100, &job).unwrap(), b"the last");
    assert_eq!(tree.link(tree.find("f/zz").unwrap(), &job).unwrap().as_deref(), Some("z"));
}

#[test]
fn several_volumes_are_folders() {
    let job = Job::default();
    let one = apfs::Volume::new("Data").file("a.txt", "1");
    let two = apfs::Volume::new("data").file("b.txt", "2");
    let (bytes, _) = apfs::Container::new().volume(one).volume(two).build();
    let image = DiskImage::open(Arc::new(bytes), &[], &job).unwrap();
    let tree = image.tree(true, &job).unwrap();
    let paths: Vec<_> = tree.listing().sorted().map(|(_, e)| e.path.to_string()).collect();
    assert_eq!(paths, ["Data", "Data/a.txt", "data 2", "data 2/b.txt"]);
    let node = image.find("data 2/b.txt", &job).unwrap().unwrap();
    assert_eq!(image.open_file(&node, &job).unwrap().size(), 1);
    assert!(image.find("a.txt", &job).unwrap().is_none());
}

#[test]
fn a_sparse_bundle_is_read_in_its_folder_and_in_a_zip() {
    let disk = hfs("V").tree("", &app("A", "com.x.a")).build();
    let (band, size) = (65_536, disk.len() as u64);
    let mut tree = mip_testkit::tree::Tree::new()
        .file("Tool.sparsebundle/Info.plist", 0o644, sparse::info_plist(band, size))
        .file("Tool.sparsebundle/token", 0o600, "");
    for (n, bytes) in disk.chunks(65_536).enumerate().filter(|(_, b)| b.iter().any(|x| *x != 0)) {
        tree = tree.file(&format!("Tool.sparsebundle/bands/{n:x}"), 0o600, bytes);
    }
    let dir = tempfile::tempdir().unwrap();
    tree.write_dir(dir.path()).unwrap();
    let folder = Input::path(dir.path().join("Tool.sparsebundle"));
    let zip = Input::source("Tool.zip", Arc::new(tree.zip()));
    for input in [&folder, &zip] {
        let (report, payload) = carry(input, options(None), PayloadChoice::Auto).unwrap();
        let (form, reason) = (report.payload.form.as_str(), report.payload.reason.unwrap());
        assert_eq!((form, report.product.id.as_str()), ("app", "com.x.a"));
        assert!(reason.contains("folder"), "{reason}");
        assert!(unpack(&payload).contains_key("/Contents/Info.plist"));
        let e = carry(input, options(None), PayloadChoice::Original).unwrap_err();
        assert_eq!(e.code(), Code::Usage);
    }
}

#[test]
fn what_is_not_a_mac_volume_is_refused_by_name() {
    let mut iso = vec![0; 64 << 10];
    iso[32768..32774].copy_from_slice(b"\x01CD001");
    let mut ntfs = vec![0; 64 << 10];
    ntfs[..11].copy_from_slice(b"\xEB\x52\x90NTFS    ");
    for (bytes, name) in [(iso, "ISO 9660"), (ntfs, "NTFS")] {
        let e = look("x.dmg", &dmg(&bytes), &options(None)).unwrap_err();
        assert_eq!(e.code(), Code::Unsupported);
        assert!(e.message().contains(name), "{e}");
        assert_eq!(look("x.img", &bytes, &options(None)).unwrap_err().code(), Code::Unsupported);
    }
}

#[test]
fn an_image_that_is_not_opened_can_be_carried_on_request() {
    let bytes = Encryption { iterations: 10, ..Encryption::new("p") }.v2(&vec![0; 8192]);
    let convert =
        Convert::new().unsigned().allow_unreadable(true).id("com.x").name("X").version("1");
    let out = Arc::new(MemoryFile::new());
    let input = Input::source("e.dmg", Arc::new(bytes));
    let report = convert.run(&input, &Output::sink(out), &Job::default()).unwrap();
    assert_eq!((report.payload.form.as_str(), report.payload.read), ("file", false));
    assert!(report.warnings.iter().any(|w| w.code == "W_ASKS_USER"));
}

#[test]
fn an_image_that_changes_while_it_is_read_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("v.dmg");
    std::fs::write(&path, hfs("V").tree("", &app("A", "com.x.a")).build()).unwrap();
    struct Touch(PathBuf);
    impl mip_core::Progress for Touch {
        fn report(&self, event: mip_core::Event) {
            if let mip_core::Event::Started { .. } = event {
                let file = std::fs::File::options().append(true).open(&self.0).unwrap();
                std::io::Write::write_all(&mut &file, b"more").unwrap();
            }
        }
    }
    let job = Job::new(Limits::default(), Default::default(), Arc::new(Touch(path.clone())));
    let sink = Output::sink(Arc::new(MemoryFile::new()));
    let convert = Convert::new().unsigned().payload(PayloadChoice::App);
    let e = convert.run(&Input::path(&path), &sink, &job).unwrap_err();
    assert_eq!(e.code(), Code::InputChanged, "{e}");
}

#[test]
fn the_same_app_gives_the_same_bytes_from_any_image() {
    let tree = app("A", "com.x.a");
    let hfs = hfs("V").tree("", &tree).build();
    let zip = tree.zip();
    let (_, from_image) = carry_bytes("v.dmg", &hfs, PayloadChoice::App).unwrap();
    let (_, from_dmg) = carry_bytes("v.dmg", &dmg(&hfs), PayloadChoice::App).unwrap();
    let (_, from_zip) = carry_bytes("v.zip", &zip, PayloadChoice::App).unwrap();
    assert!(from_image == from_dmg);
    assert_eq!(unpack(&from_image), unpack(&from_zip));
}

#[test]
fn a_compressed_image_is_read_and_its_content_carried() {
    use std::io::Write as _;
    let disk = hfs("V").tree("", &app("A", "com.x.a")).build();
    for (name, bytes) in [("v.dmg.gz", dmg(&disk)), ("anything.gz", disk)] {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gz.write_all(&bytes).unwrap();
        let (report, _) = carry_bytes(name, &gz.finish().unwrap(), PayloadChoice::Auto).unwrap();
        assert_eq!(
            (report.payload.form.as_str(), report.product.id.as_str()),
            ("app", "com.x.a"),
            "{name}"
        );
    }
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gz.write_all(&[7; 100_000]).unwrap();
    let e = look("x.gz", &gz.finish().unwrap(), &options(None)).unwrap_err();
    assert_eq!(e.code(), Code::Unsupported);
}

/// The list of a fixture read through a file, as `mip files` shows it.
#[test]
fn files_of_a_real_image() {
    let Some(dir) = fixtures("files_of_a_real_image") else { return };
    let path: &Path = &dir.join("dmg-udif/sparkle-SparkleTestCodeSign_apfs.dmg");
    let job = Job::default();
    let image = DiskImage::open(Arc::new(FileAt::open(path).unwrap()), &[], &job).unwrap();
    let tree = image.tree(true, &job).unwrap();
    let want = expected(&dir, "dmg-udif/sparkle-SparkleTestCodeSign_apfs.dmg");
    let want: BTreeSet<&str> =
        want["members"].as_array().unwrap().iter().map(|m| m[0].as_str().unwrap()).collect();
    let have: BTreeSet<&str> = tree.entries().iter().map(|e| e.path.as_str()).collect();
    assert_eq!(have, want);
}

#[test]
fn d11_a_file_of_holes_is_refused_before_it_is_read() {
    let volume = apfs::Volume::new("Data").sparse("hole.bin", 1 << 40, &[(0, b"x".as_slice())]);
    let (bytes, _) = apfs::Container::new().volume(volume).build();
    let input = Input::source("Data.img", Arc::new(bytes));
    let mut options = LookOptions::new();
    let mut sizes = Vec::new();
    let job = Job::default();
    mip_core::files(&input, &[], &options, &job, &mut |e| {
        sizes.push(e.bytes);
        Ok(())
    })
    .unwrap();
    assert_eq!(sizes, [1 << 40]);
    options.sha256 = true;
    for paths in [vec![], vec!["hole.bin".to_owned()]] {
        let e = mip_core::files(&input, &paths, &options, &job, &mut |_| Ok(())).unwrap_err();
        assert_eq!(e.code(), Code::LimitExpanded);
    }
    let mut out = Vec::new();
    let e = mip_core::cat(&input, "hole.bin", &mut out, &options, &job).unwrap_err();
    assert_eq!((e.code(), out.len()), (Code::LimitExpanded, 0));
}
