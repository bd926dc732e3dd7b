//! The library under attack, end to end: damaged archives, mutated installers, cut files, and
//! the cases of `docs/hostile-inputs.md` that no single crate can show.
//!
//! Everything is deterministic: a failure names the seed of the mutation that made it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::print_stderr,
    reason = "tests"
)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use mip_core::signing::{Anchors, FileSigner, IdentityOptions, Signer, create_identity};
use mip_core::{
    Access, Code, Convert, Input, InspectOptions, Job, Limits, MemoryFile, Output, PayloadScan,
    SignHow, VerifyPolicy, extract, inspect, list, sign, verify,
};
use mip_testkit::app::{App, plist};
use mip_testkit::cpio::Member;
use mip_testkit::pkg::{Component, Packing, Product, bundle_style};
use mip_testkit::tree::{Tree, gzip};
use mip_testkit::xar::{Encoding, XarBuilder};

/// A signer and the anchor that trusts it.
fn identity() -> (Arc<dyn Signer>, Anchors) {
    let id = create_identity(&IdentityOptions::new("Hostile tests")).unwrap();
    let (key, chain) = (id.key_pem.as_bytes(), id.certificate_pem.as_bytes());
    let signer = FileSigner::from_pem(key, chain, None, &Limits::default()).unwrap();
    (Arc::new(signer), Anchors::from_pem(id.ca_certificate_pem.as_bytes()).unwrap())
}

fn policy(anchors: &Anchors) -> VerifyPolicy {
    VerifyPolicy { anchors: anchors.clone(), threads: Some(1), ..VerifyPolicy::default() }
}

fn input(name: &str, bytes: &[u8]) -> Input {
    Input::source(name, Arc::new(bytes.to_vec()))
}

/// Converts in memory; the archive, when that works.
fn convert(from: &Input, how: &Convert) -> mip_core::Result<Vec<u8>> {
    let out = Arc::new(MemoryFile::new());
    how.run(from, &Output::sink(out.clone()), &Job::default())?;
    Ok(out.to_vec())
}

fn signed(signer: &Arc<dyn Signer>) -> Convert {
    Convert::new().signer(signer.clone()).threads(1)
}

fn trusted(archive: &[u8], policy: &VerifyPolicy) -> bool {
    verify(&input("a.mip", archive), policy, &Job::default()).is_ok_and(|v| v.error().is_none())
}

fn small_app() -> Tree {
    App::new("Tool", "org.example.tool", "1.2", "12").cpus(&[]).tree()
}

// ---- a signed archive, changed in every way of one step ----

/// Runs `each` over `0..n` on all cores.
fn spread(n: usize, each: impl Fn(usize) + Sync) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|s| {
        for core in 0..cores {
            let each = &each;
            s.spawn(move || (core..n).step_by(cores).for_each(each));
        }
    });
}

#[test]
fn h18_h19_h20_no_change_of_a_signed_archive_is_trusted() {
    let (signer, anchors) = identity();
    let good = convert(&input("Tool.app.zip", &small_app().zip()), &signed(&signer)).unwrap();
    let policy = policy(&anchors);
    assert!(trusted(&good, &policy));
    let never = |bytes: &[u8], what: &dyn std::fmt::Display| {
        assert!(!trusted(bytes, &policy), "{what} of {} is trusted", good.len());
    };
    spread(good.len(), |at| {
        let mut b = good.clone();
        for bit in 0..8 {
            b[at] ^= 1 << bit;
            never(&b, &format_args!("bit {bit} of byte {at}"));
            b[at] = good[at];
        }
        never(&good[..at], &format_args!("cut to {at}"));
        never(&good[at + 1..], &format_args!("without the first {}", at + 1));
        b.remove(at);
        never(&b, &format_args!("without byte {at}"));
        for byte in [0, 0xFF, good[at]] {
            let mut b = good.clone();
            b.insert(at, byte);
            never(&b, &format_args!("{byte:#x} before byte {at}"));
        }
        if good.get(at + 1).is_some_and(|next| *next != good[at]) {
            let mut b = good.clone();
            b.swap(at, at + 1);
            never(&b, &format_args!("bytes {at} and {} swapped", at + 1));
        }
    });
    for byte in [0, b'P', 0xFF] {
        never(&[good.as_slice(), &[byte]].concat(), &"one byte appended");
    }
}

#[test]
fn h21_signatures_do_not_move_between_archives() {
    let (signer, anchors) = identity();
    let (other, _) = identity();
    let policy = policy(&anchors);
    let app = |v: &str| App::new("Tool", "org.example.tool", v, "12").cpus(&[]).tree().zip();
    let one = convert(&input("Tool.app.zip", &app("1.2")), &signed(&signer)).unwrap();
    let two = convert(&input("Tool.app.zip", &app("1.3")), &signed(&signer)).unwrap();
    assert_eq!(one.len() / 64, two.len() / 64);
    // Every splice of the head of one and the tail of the other.
    for at in (1..one.len().min(two.len())).step_by(7) {
        let from_end = one.len() - at;
        let spliced = [&one[..at], &two[two.len().saturating_sub(from_end)..]].concat();
        if spliced != one && spliced != two {
            assert!(!trusted(&spliced, &policy), "spliced at {at}");
        }
    }
    let by_other = convert(&input("Tool.app.zip", &app("1.2")), &signed(&other)).unwrap();
    let e = verify(&input("a", &by_other), &policy, &Job::default()).unwrap().error().unwrap();
    assert_eq!(e.code(), Code::SignerUntrusted);
}

// ---- mutated installers ----

/// SplitMix64: all that is needed of chance, and the same everywhere.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

/// Changes bytes: flips, edge values of integers, cuts, copies of other parts.
fn mutate(bytes: &mut Vec<u8>, chance: &mut Chance) {
    for _ in 0..=chance.below(4) {
        if bytes.is_empty() {
            return;
        }
        let at = chance.below(bytes.len());
        match chance.below(9) {
            0..=2 => bytes[at] ^= 1 << chance.below(8),
            3 => bytes[at] = [0, 1, 0x7F, 0x80, 0xFF, b'/', b'.', b'<'][chance.below(8)],
            4 => {
                let width = [2, 4, 8][chance.below(3)];
                let value = [0, 1, 0x7FFF_FFFF, u64::MAX, 1 << 32, u64::MAX / 2][chance.below(6)];
                let end = (at + width).min(bytes.len());
                let (le, be) = (value.to_le_bytes(), value.to_be_bytes());
                let from = if chance.below(2) == 0 { &le[..width] } else { &be[8 - width..] };
                bytes[at..end].copy_from_slice(&from[..end - at]);
            }
            5 => drop(bytes.drain(at..(at + 1 + chance.below(16)).min(bytes.len()))),
            6 => bytes.truncate(at),
            7 => {
                let end = (at + 1 + chance.below(64)).min(bytes.len());
                let part = bytes[at..end].to_vec();
                let to = chance.below(bytes.len());
                bytes.splice(to..to, part);
            }
            _ => {
                let from = chance.below(bytes.len());
                let n = chance.below(32).min(bytes.len() - at.max(from));
                bytes.copy_within(from..from + n, at);
            }
        }
    }
}

/// A binary property list of one dictionary of strings (at most 100, each below 65,536 units):
/// unlike XML it can hold every character.
fn binary_plist(keys: &[(&str, &str)]) -> Vec<u8> {
    let n = keys.len();
    let mut out = b"bplist00".to_vec();
    let mut offsets = vec![out.len()];
    out.extend([0xDF, 0x10, n as u8]);
    out.extend(1..=2 * n as u8);
    for text in keys.iter().map(|k| k.0).chain(keys.iter().map(|k| k.1)) {
        offsets.push(out.len());
        let units: Vec<u16> = text.encode_utf16().collect();
        out.extend([0x6F, 0x11]);
        out.extend((units.len() as u16).to_be_bytes());
        out.extend(units.iter().flat_map(|u| u.to_be_bytes()));
    }
    let table = out.len() as u64;
    for offset in &offsets {
        out.extend((*offset as u16).to_be_bytes());
    }
    out.extend([0, 0, 0, 0, 0, 0, 2, 1]);
    out.extend((offsets.len() as u64).to_be_bytes());
    out.extend(0u64.to_be_bytes());
    out.extend(table.to_be_bytes());
    out
}

/// How a mutated seed becomes an input.
type Build = fn(Vec<u8>) -> Vec<u8>;

/// Name, bytes that are mutated, and what is built around them, so that mutations also reach
/// what lies behind checksums and compression.
fn seeds() -> Vec<(&'static str, Vec<u8>, Build)> {
    let app = App::new("Tool", "org.example.tool", "1.2", "12").icon().framework("Kit").tree();
    let component = |packing| {
        Component::new("org.example.pkg", "3.4")
            .install_location("/Applications")
            .payload(app.clone())
            .script("postinstall", "#!/bin/sh\nexit 0\n")
            .bundle("./Tool.app", "org.example.tool", "1.2", "12")
            .packing(packing)
    };
    let product = Product::new("Tool")
        .product("org.example.product", "5.6")
        .minimum_os("11.0")
        .component("Tool.pkg", component(Packing::Gzip));
    let info = [("CFBundleIdentifier", "org.example.old"), ("CFBundleShortVersionString", "2.0")];
    let same: Build = |b| b;
    let with_plist: Build = |b| {
        let tree = Tree::new().file("Tool.app/Contents/Info.plist", 0o644, b);
        tree.file("Tool.app/Contents/MacOS/Tool", 0o755, *b"#!/bin/sh\n").zip()
    };
    let with_payload: Build = |b| pkg(&gzip(&b), INFO);
    let plain_tar_gz: Build = |b| gzip(&b);
    let with_info: Build = |b| pkg(&gzip(&empty_cpio()), &b);
    let with_distribution: Build = |b| {
        let xar = XarBuilder::new().file("Distribution", b, Encoding::Gzip);
        xar.file("Tool.pkg/PackageInfo", INFO, Encoding::Gzip).build()
    };
    let with_toc: Build = |b| {
        let toc = String::from_utf8_lossy(&b).into_owned();
        pkg_builder(&gzip(&empty_cpio()), INFO).edit_toc(move |_| toc.clone()).build()
    };
    let toc = {
        let seen = std::rc::Rc::new(std::cell::RefCell::new(String::new()));
        let see = seen.clone();
        let keep = move |t: String| {
            see.borrow_mut().clone_from(&t);
            t
        };
        drop(pkg_builder(&gzip(&empty_cpio()), INFO).edit_toc(keep).build());
        let toc = seen.borrow().clone();
        toc.into_bytes()
    };
    let binary = binary_plist(&[
        ("CFBundleIdentifier", "org.example.tool"),
        ("CFBundleShortVersionString", "1.2"),
        ("CFBundleName", "Tool"),
        ("NSHumanReadableCopyright", "nobody"),
    ]);
    vec![
        ("component.pkg", component(Packing::Gzip).flat(), same),
        ("distribution.pkg", product.flat(), same),
        ("pbzx.pkg", pkg(&mip_testkit::chunks::pbzx(&app.cpio(0, 0), 512), INFO), same),
        ("Tool.app.zip", app.zip(), same),
        ("Tool.app.tar", app.tar(), same),
        ("Tool.app.tar.gz", app.tar_gz(), same),
        ("tar-inside.tar.gz", app.tar(), plain_tar_gz),
        ("Old.pkg.zip", bundle_style("Old.pkg", &info, &app).zip(), same),
        (
            "xml-plist.zip",
            plist(&[
                ("CFBundleIdentifier", "a.b"),
                ("CFBundleVersion", "1"),
                ("CFBundleName", "x"),
            ])
            .into_bytes(),
            with_plist,
        ),
        ("binary-plist.zip", binary, with_plist),
        ("cpio.pkg", app.cpio(0, 0), with_payload),
        ("PackageInfo.pkg", INFO.to_vec(), with_info),
        ("Distribution.pkg", product.distribution().into_bytes(), with_distribution),
        ("toc.pkg", toc, with_toc),
    ]
}

const INFO: &[u8] = br#"<?xml version="1.0" encoding="utf-8"?>
<pkg-info format-version="2" identifier="org.example.pkg" version="1.0" install-location="/Applications" auth="root" postinstall-action="restart">
<payload numberOfFiles="2" installKBytes="1"/><bundle path="./Tool.app" id="org.example.tool" CFBundleShortVersionString="1.2" CFBundleVersion="12"/>
<bundle-version><bundle id="org.example.tool"/></bundle-version><relocate><bundle id="org.example.tool"/></relocate>
<must-close><app id="org.example.tool"/></must-close><scripts><postinstall file="./postinstall"/></scripts></pkg-info>"#;

fn empty_cpio() -> Vec<u8> {
    mip_testkit::cpio::archive(mip_testkit::cpio::Format::Odc, &[Member::dir(".")])
}

fn pkg_builder(payload: &[u8], info: &[u8]) -> XarBuilder {
    XarBuilder::new().file("PackageInfo", info, Encoding::Gzip).file(
        "Payload",
        payload,
        Encoding::None,
    )
}

fn pkg(payload: &[u8], info: &[u8]) -> Vec<u8> {
    pkg_builder(payload, info).build()
}

/// One hostile input through everything. Panics when a promise is broken.
fn attack(name: &str, bytes: &[u8], how: &Convert, policy: &VerifyPolicy, what: &str) {
    let from = input(name, bytes);
    let start = Instant::now();
    let done = catch_unwind(AssertUnwindSafe(|| {
        let job = Job::default();
        let mut options = InspectOptions::new();
        options.payload_scan = PayloadScan::Always;
        let seen = inspect(&from, &options, &job);
        if let Err(e) = &seen {
            assert!(e.code().text().starts_with("E_"), "{what}: {e}");
            assert_ne!(e.code(), Code::Internal, "{what}: {e}");
            assert!(e.to_string().is_ascii() || !e.to_string().contains('\u{1b}'), "{what}: {e}");
        }
        match convert(&from, how) {
            Ok(archive) => {
                let v = verify(&input("a.mip", &archive), policy, &job)
                    .unwrap_or_else(|e| panic!("{what}: the output does not verify: {e}"));
                assert!(v.error().is_none(), "{what}: {:?}", v.problem);
            }
            Err(e) => {
                assert_ne!(e.code(), Code::Internal, "{what}: {e}");
                assert_ne!(e.code(), Code::OutputIo, "{what}: {e}");
                let place = e.path().unwrap_or_default();
                assert!(place.starts_with(name), "{what}: no place: {place:?}: {e}");
                assert_eq!(place.matches(name).count(), 1, "{what}: {place:?}");
            }
        }
    }));
    assert!(done.is_ok(), "{what}: panicked");
    mip_testkit::not_hanging(start);
}

/// Mutations per seed; 14 seeds make 21,000.
const MUTATIONS: usize = 1500;

#[test]
fn mutated_installers_give_errors_or_sound_archives() {
    let (signer, anchors) = identity();
    let (how, policy) = (signed(&signer), policy(&anchors));
    for (name, seed, build) in seeds() {
        // The seed itself is good.
        convert(&input(name, &build(seed.clone())), &how.clone().id("a.b").version("1").name("n"))
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        spread(MUTATIONS, |n| {
            let mut chance = Chance(n as u64);
            let mut bytes = seed.clone();
            mutate(&mut bytes, &mut chance);
            attack(name, &build(bytes), &how, &policy, &format!("{name}, mutation {n}"));
        });
    }
}

// ---- cut inputs ----

fn cut_points(len: usize) -> impl Iterator<Item = usize> {
    let step = (len / 56).max(1);
    (0..8.min(len)).chain((8..len).step_by(step))
}

fn our_installers() -> Vec<PathBuf> {
    let at = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    [
        "pkg/component-with-app/Sample.pkg",
        "pkg/distribution/Sample.pkg",
        "pkg/scripts-only/Enroll.pkg",
        "pkg/bundle-style/Old.pkg.zip",
        "app/zip/Sample.app.zip",
        "app/tar-gz/Sample.app.tar.gz",
    ]
    .map(|p| at.join(p))
    .to_vec()
}

fn names(dir: &Path) -> Vec<String> {
    let all = std::fs::read_dir(dir).unwrap();
    all.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

/// Converts the file's cut copies to a file: an error leaves nothing behind.
fn cut(file: &Path, policy: &VerifyPolicy, how: &Convert) {
    let bytes = std::fs::read(file).unwrap();
    let name = file.file_name().unwrap().to_str().unwrap().to_owned();
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.mip");
    for n in cut_points(bytes.len()) {
        let from = input(&name, &bytes[..n]);
        let what = format!("{}, cut to {n}", file.display());
        let done =
            catch_unwind(AssertUnwindSafe(|| how.run(&from, &Output::file(&out), &Job::default())))
                .unwrap_or_else(|_| panic!("{what}: panicked"));
        match done {
            Ok(_) => {
                let v = verify(&Input::path(&out), policy, &Job::default()).unwrap();
                assert!(v.error().is_none(), "{what}: {:?}", v.problem);
                // The archive, and the scripts beside it.
                for made in names(dir.path()) {
                    std::fs::remove_file(dir.path().join(made)).unwrap();
                }
            }
            Err(e) => {
                assert_ne!(e.code(), Code::Internal, "{what}: {e}");
                assert_ne!(e.code(), Code::OutputIo, "{what}: {e}");
                assert!(!e.message().is_empty() && e.next_step().is_some(), "{what}: {e}");
            }
        }
        assert!(names(dir.path()).is_empty(), "{what}: left {:?}", names(dir.path()));
    }
}

#[test]
fn cut_installers_leave_nothing_behind() {
    let (signer, anchors) = identity();
    let (how, policy) = (signed(&signer), policy(&anchors));
    our_installers().iter().for_each(|f| cut(f, &policy, &how));
}

#[test]
fn cut_real_installers_leave_nothing_behind() {
    let Some(dir) = mip_testkit::shared::fixtures("cut_real_installers") else { return };
    let (signer, anchors) = identity();
    let (how, policy) = (signed(&signer), policy(&anchors));
    let mut files = Vec::new();
    let mut open = vec![dir];
    while let Some(at) = open.pop() {
        for e in std::fs::read_dir(&at).unwrap() {
            let e = e.unwrap();
            if e.file_type().unwrap().is_dir() {
                open.push(e.path());
            } else if e.metadata().unwrap().len() < 1 << 20 {
                files.push(e.path());
            }
        }
    }
    files.sort();
    assert!(files.len() > 10);
    spread(files.len(), |n| cut(&files[n], &policy, &how));
}

// ---- cases by name ----

fn zip_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    files.iter().fold(Tree::new(), |t, (p, b)| t.file(p, 0o644, *b)).zip()
}

fn code(name: &str, bytes: &[u8]) -> Code {
    convert(&input(name, bytes), &Convert::new().unsigned()).unwrap_err().code()
}

#[test]
fn a01_nothing_and_almost_nothing() {
    assert_eq!(code("a.pkg", b""), Code::Empty);
    for n in 1..28 {
        let bytes = &pkg(b"", INFO)[..n];
        let e = convert(&input("a.pkg", bytes), &Convert::new().unsigned()).unwrap_err();
        assert_ne!(e.code(), Code::Internal);
    }
}

#[test]
fn a18_bytes_outside_the_ranges_do_not_reach_what_is_read() {
    // They travel with the package, which is carried as it is, and nothing says that they do not.
    let mut bytes = pkg(&gzip(&empty_cpio()), INFO);
    bytes.extend_from_slice(b"after the last range");
    let i = inspect(&input("a.pkg", &bytes), &InspectOptions::new(), &Job::default()).unwrap();
    assert!(!i.notes.is_empty());
}

#[test]
fn b16_disk_images_that_are_only_a_trailer_or_a_magic() {
    let mut dmg = vec![0; 4096];
    dmg.extend_from_slice(b"koly");
    dmg.resize(4096 + 512, 0);
    assert_eq!(code("a.dmg", &dmg), Code::Unsupported); // version 0
    assert_eq!(code("a.dmg", b"encrcdsa\0\0\0\0"), Code::Truncated);
}

#[test]
fn e12_a_payload_that_is_cut_is_said_to_be() {
    let whole = small_app().cpio(0, 0);
    let bytes = pkg(&gzip(&whole[..whole.len() - 200]), INFO);
    let mut options = InspectOptions::new();
    options.payload_scan = PayloadScan::Always;
    let i = inspect(&input("a.pkg", &bytes), &options, &Job::default()).unwrap();
    assert!(i.warnings.iter().any(|w| w.code == "W_PAYLOAD_UNREADABLE"), "{:?}", i.warnings);
}

#[test]
fn f08_f09_texts_of_any_size_and_kind_never_make_an_archive_that_cannot_be_read() {
    let (signer, anchors) = identity();
    let (how, policy) = (signed(&signer), policy(&anchors));
    for text in
        ["\u{1}\u{8}\u{b}", "\u{fffe}\u{ffff}", "\u{85}\u{2028}\u{202e}", "]]>&<\"'", "\r\n\t"]
    {
        let binary = binary_plist(&[
            ("CFBundleIdentifier", "org.example.a"),
            ("CFBundleShortVersionString", "1.0"),
            ("CFBundleName", "A"),
            ("NSHumanReadableCopyright", text),
            ("LSApplicationCategoryType", text),
        ]);
        let bytes = zip_of(&[("A.app/Contents/Info.plist", &binary)]);
        for name in ["A.app.zip", "\u{1}\u{ffff}A.app.zip"] {
            attack(name, &bytes, &how, &policy, &format!("{text:?} in {name:?}"));
        }
        let archive = convert(&input("A.zip", &bytes), &how).unwrap();
        assert!(trusted(&archive, &policy), "{text:?}");
    }
    // What an app says in 16 KiB is kept, what it says in 1 MiB is not.
    let long = "&".repeat(1 << 20);
    let app = App::new("A", "a.b", "1", "1").key("NSHumanReadableCopyright", Some(&long));
    assert_eq!(code("A.zip", &app.tree().zip()), Code::Limit);
}

#[test]
fn g15_many_apps_take_linear_time_and_little_memory() {
    let info = plist(&[("CFBundleIdentifier", "a.b"), ("CFBundleShortVersionString", "1")]);
    let many = |n: usize| {
        (0..n).fold(Tree::new(), |t, i| {
            t.file(&format!("d{i}/A.app/Contents/Info.plist"), 0o644, info.as_bytes()).file(
                &format!("p{i}.pkg"),
                0o644,
                *b"",
            )
        })
    };
    let start = Instant::now();
    let i = inspect(&input("a.zip", &many(3000).zip()), &InspectOptions::new(), &Job::default());
    let i = i.unwrap();
    assert_eq!(i.apps.len(), 1000);
    assert!(i.warnings.iter().any(|w| w.code == "W_MANY_APPS"));
    assert!(i.warnings.iter().any(|w| w.code == "W_AMBIGUOUS"));
    mip_testkit::not_hanging(start);
}

#[test]
fn g15_files_of_a_compressed_tar_are_not_decoded_once_each() {
    let mut tree = Tree::new()
        .file("M.mpkg/Contents/Info.plist", 0o644, plist(&[("CFBundleIdentifier", "a.b")]))
        .file("M.mpkg/Contents/pad", 0o644, vec![0; 32 << 20]);
    for i in 0..400 {
        let at = format!("M.mpkg/Contents/Packages/{i}.pkg/Contents");
        tree = tree.file(&format!("{at}/Archive.bom"), 0o644, *b"BOMStore").file(
            &format!("{at}/Resources/postflight"),
            0o755,
            *b"#!/bin/sh\n",
        );
    }
    // 800 times 32 MiB would be 25 GiB.
    let mut limits = Limits::default();
    limits.expanded_bytes = 1 << 30;
    let job = Job::new(limits, Default::default(), Arc::new(mip_core::SilentProgress));
    let i = inspect(&input("M.tar.gz", &tree.tar_gz()), &InspectOptions::new(), &job).unwrap();
    assert_eq!(i.installer.components.len(), 400);
}

#[cfg(unix)]
#[test]
fn k15_the_output_is_never_the_input_or_a_part_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("Tool.app.zip");
    std::fs::write(&file, small_app().zip()).unwrap();
    let before = std::fs::read(&file).unwrap();
    let hard = dir.path().join("hard.zip");
    std::fs::hard_link(&file, &hard).unwrap();
    let how = Convert::new().unsigned();
    let dotted = dir.path().join(".").join("Tool.app.zip");
    for to in [&file, &hard, &dotted] {
        let out = Output::file(to).force(true);
        let e = how.run(&Input::path(&file), &out, &Job::default()).unwrap_err();
        assert_eq!(e.code(), Code::OutputPath, "{e}");
        assert!(e.message().contains("input"), "{e}");
    }
    let soft = dir.path().join("soft.zip");
    std::os::unix::fs::symlink(&file, &soft).unwrap();
    let e = how.run(&Input::path(&soft), &Output::file(&file).force(true), &Job::default());
    assert_eq!(e.unwrap_err().code(), Code::OutputPath);
    assert_eq!(std::fs::read(&file).unwrap(), before);
    // Nor does it become a part of the app that is carried.
    let app = dir.path().join("Tool.app");
    small_app().write_dir(dir.path()).unwrap();
    let inside = app.join("Contents");
    for out in [
        Output::file(app.join("a.mip")),
        Output::file(inside.join("a.mip")),
        Output::folder(&inside),
    ] {
        let e = how.run(&Input::path(&app), &out, &Job::default()).unwrap_err();
        assert_eq!(e.code(), Code::OutputPath, "{e}");
    }
    assert_eq!(names(&inside).len(), 3, "{:?}", names(&inside));
    how.run(&Input::path(&app), &Output::folder(dir.path()), &Job::default()).unwrap();
}

#[test]
fn k15_a_sink_that_is_not_empty_is_refused() {
    let out = Arc::new(MemoryFile::new());
    mip_core::WriteAt::write_all_at(&*out, 0, b"something").unwrap();
    let from = input("Tool.app.zip", &small_app().zip());
    let to = Output::sink(out.clone());
    let e = Convert::new().unsigned().run(&from, &to, &Job::default()).unwrap_err();
    assert_eq!(e.code(), Code::OutputPath, "{e}");
    assert_eq!(out.to_vec(), b"something");
}

#[test]
fn k17_the_place_of_an_error_is_named_once() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("no.pkg");
    let e = Convert::new()
        .unsigned()
        .run(&Input::path(&missing), &Output::folder(dir.path()), &Job::default())
        .unwrap_err();
    assert_eq!(e.path().as_deref(), missing.to_str());
    let inner = pkg(b"", b"<pkg-info");
    let bytes = zip_of(&[("in/x.pkg", &inner)]);
    let e = convert(&input("a.zip", &bytes), &Convert::new().unsigned()).unwrap_err();
    assert_eq!(e.path().as_deref(), Some("a.zip//in/x.pkg//PackageInfo"));
    let e = inspect(&input("a.zip", &bytes), &InspectOptions::new(), &Job::default()).unwrap_err();
    assert_eq!(e.path().as_deref(), Some("a.zip//in/x.pkg//PackageInfo"));
}

#[test]
fn what_verify_refuses_is_not_signed_listed_as_ours_or_extracted() {
    let (signer, anchors) = identity();
    let good = convert(&input("Tool.app.zip", &small_app().zip()), &signed(&signer)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut chance = Chance(1);
    for n in 0..2000 {
        let mut bad = good.clone();
        mutate(&mut bad, &mut chance);
        if bad == good {
            continue;
        }
        let from = input("a.mip", &bad);
        let job = Job::default();
        let what = format!("mutation {n}");
        let done = catch_unwind(AssertUnwindSafe(|| {
            let _ = list(&from, &job);
            let to = dir.path().join("out");
            let access = Access::Verified(policy(&anchors));
            assert!(extract(&from, &to, &[], &access, &job).is_err(), "{what}");
            let loose = extract(&from, &to, &[], &Access::Unverified, &job).is_ok();
            if loose {
                std::fs::remove_dir_all(&to).unwrap();
            }
            assert!(names(dir.path()).is_empty(), "{what}: {:?}", names(dir.path()));
            // Signing anew is for what is sound but for its signature.
            let out = Arc::new(MemoryFile::new());
            let how = SignHow::Sign(signer.clone());
            if sign(&from, &Output::sink(out.clone()), &how, &job).is_ok() {
                assert!(trusted(&out.to_vec(), &policy(&anchors)), "{what}");
            }
        }));
        assert!(done.is_ok(), "{what}: panicked");
    }
}
