//! Code signatures of bundles: real ones of the shared fixtures, and ones made here with every
//! part that a seal can have.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::string_slice,
    clippy::unwrap_used
)]

mod bundles;

use std::process::Command;
use std::time::{Duration, Instant};

use bundles::{
    Memory, Node, RULES2, app, code_entry, code_resources, hash_entry, info_plist, program, sign,
    tarred, tool, zipped,
};
use mip_codesign::{BundleSignature, ClaimState, FindingKind};
use mip_testkit::macho::{Program, Signature, fat};
use mip_testkit::shared::fixtures;

const DEV: (&str, &str) = ("app/sparkle-DevSignedApp.zip", "DevSignedApp.app");
const REDIRECTOR: (&str, &str) = ("app/mitmproxy-Redirector.app.tar", "Mitmproxy Redirector.app");
const IPA: (&str, &str) = ("app/tika-testIPA.ipa", "Payload/GPA Locator.app");

fn real(test: &str, (file, root): (&str, &str)) -> Option<Memory> {
    let path = fixtures(test)?.join(file);
    Some(if file.ends_with(".tar") { tarred(&path, root) } else { zipped(&path, root) })
}

fn named(found: &BundleSignature, path: &str) -> bool {
    found.findings.iter().any(|f| f.path == path)
}

fn kinds(found: &BundleSignature) -> Vec<(FindingKind, &str)> {
    found.findings.iter().map(|f| (f.kind, f.path.as_str())).collect()
}

#[test]
fn real_apps_verify() {
    let Some(dev) = real("real_apps_verify", DEV) else { return };
    let found = dev.check();
    assert_eq!((found.state, kinds(&found)), (ClaimState::Valid, vec![]), "{found:#?}");
    assert_eq!((found.seal.version, found.seal.sealed, found.seal.checked), (2, 1, 1));
    assert_eq!(found.slices[0].team_id.as_deref(), Some("ZCK58M894E"));

    let redirector = real("real_apps_verify", REDIRECTOR).unwrap();
    let found = redirector.check();
    assert_eq!((found.state, kinds(&found)), (ClaimState::Valid, vec![]), "{found:#?}");
    assert_eq!((found.slices.len(), found.seal.sealed, found.seal.checked), (2, 7, 7));
    assert!(found.not_checked.is_empty(), "{:?}", found.not_checked);
    // Its rules seal a system extension file by file; it has a signature of its own all the same.
    let [extension] = found.nested.as_slice() else { panic!("{:?}", found.nested) };
    assert!(extension.path.ends_with(".network-extension.systemextension"));
    assert_eq!(
        (extension.state, extension.team_id.as_deref()),
        (ClaimState::Valid, Some("S8XHQB96PW"))
    );
}

/// An app for iOS of 2011: flat, a seal of version 1, SHA-1. Its main seal holds; the program is
/// encrypted by the App Store, which changes its pages after Apple signed them, or not.
#[test]
fn a_flat_app_with_an_old_seal() {
    let Some(ipa) = real("a_flat_app_with_an_old_seal", IPA) else { return };
    let found = ipa.check();
    assert_eq!((found.seal.version, found.seal.state), (1, ClaimState::Valid), "{found:#?}");
    assert_eq!((found.seal.sealed, found.seal.checked), (9, 9));
    let altered = ipa.flipped("Icon.png", 100).check();
    assert!(altered.findings.iter().any(|f| f.path == "Icon.png"), "{altered:#?}");
    let mut missing = ipa.clone();
    missing.0.remove("Default.png");
    assert!(named(&missing.check(), "Default.png"));
    let mut added = ipa.clone();
    added.file("extra.bin", "x");
    assert!(named(&added.check(), "extra.bin"));
    // Old seals pass links over, and rules of this one leave out a folder.
    let mut passed = ipa;
    passed.link("link", "Icon.png");
    passed.file("SC_Info/x.sinf", "x");
    assert_eq!(passed.check().findings, found.findings);
}

/// Places in a file to change: its start, its end, and some between. Zeros at the end of a program
/// are room that a signature did not need: nothing covers them, on a Mac neither.
fn places(data: &[u8]) -> Vec<usize> {
    let len = data.iter().rposition(|b| *b != 0).map_or(data.len(), |last| last + 1);
    let mut out = vec![0, len / 5, len / 3, len / 2, len * 3 / 4, len - 1];
    out.dedup();
    out
}

/// Every file of a real app, changed at several places, is named. The exceptions are what macOS
/// does not cover either.
fn every_file_is_named(bundle: &Memory, exempt: &[&str]) -> usize {
    let mut count = 0;
    for path in bundle.files() {
        for at in places(bundle.data(&path)) {
            let found = bundle.flipped(&path, at).check();
            if exempt.contains(&path.as_str()) {
                assert_eq!(found.findings, [], "{path}");
                continue;
            }
            assert!(named(&found, &path), "{path} at {at}: {found:#?}");
            assert_eq!(found.state, ClaimState::Invalid, "{path} at {at}");
            count += 1;
        }
        let mut gone = bundle.clone();
        gone.0.remove(&path);
        let found = gone.check();
        assert!(
            exempt.contains(&path.as_str()) || found.state != ClaimState::Valid,
            "{path} removed: {found:#?}"
        );
    }
    count
}

#[test]
fn one_byte_of_any_file_of_real_apps_is_found_and_named() {
    let test = "one_byte_of_any_file_of_real_apps_is_found_and_named";
    let Some(dev) = real(test, DEV) else { return };
    // Rules of codesign leave PkgInfo out, and no slot of the program is for it.
    assert!(every_file_is_named(&dev, &["Contents/PkgInfo"]) >= 20);
    let redirector = real(test, REDIRECTOR).unwrap();
    // Contents/CodeResources is the ticket, which is signed by itself.
    let exempt = ["Contents/PkgInfo", "Contents/CodeResources"];
    assert!(every_file_is_named(&redirector, &exempt) >= 50);
}

#[test]
fn places_in_every_part_of_each_slice_are_found() {
    let Some(app) = real("places_in_every_part_of_each_slice_are_found", REDIRECTOR) else {
        return;
    };
    let program = "Contents/MacOS/Mitmproxy Redirector";
    let signatures = [16_384 + 1_308_976, 1_359_872 + 1_258_448];
    let mut all = vec![16_384, 20_480, 500_000, 1_324_000, 1_359_872, 1_400_000, 2_000_000];
    // Fat header, superblob header, code directory, CMS, the padding behind it.
    all.extend([5, 20, places(app.data(program)).pop().unwrap()]);
    all.extend(signatures.iter().flat_map(|s| [s + 1, s + 8, s + 200, s + 15_000, s + 18_000]));
    for at in all {
        let found = app.flipped(program, at).check();
        // In a certificate of the chain: the signature itself holds, and leads nowhere.
        if found.state == ClaimState::Untrusted {
            let mut problems = found.slices.iter().flat_map(|s| &s.problems);
            assert!(problems.any(|p| p.contains("issued by")), "byte {at}: {found:#?}");
            continue;
        }
        assert_eq!(found.state, ClaimState::Invalid, "byte {at}: {found:#?}");
        assert!(named(&found, program), "byte {at}: {:?}", found.findings);
    }
}

/// Python's hashlib and plistlib say the same of every sealed file.
#[test]
fn an_independent_reader_agrees() {
    let Some(dir) = fixtures("an_independent_reader_agrees") else { return };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/seal_oracle.py");
    for (case, want) in [(DEV, "1 0"), (REDIRECTOR, "7 0"), (IPA, "9 0")] {
        let Ok(out) =
            Command::new("python3").arg(script).arg(dir.join(case.0)).arg(case.1).output()
        else {
            eprintln!("SKIPPED an_independent_reader_agrees: no python3");
            return;
        };
        let text = String::from_utf8(out.stdout).unwrap();
        assert_eq!(text.trim(), want, "{}", String::from_utf8_lossy(&out.stderr));
        let bundle = real("an_independent_reader_agrees", case).unwrap();
        let seal = bundle.check().seal;
        assert_eq!(format!("{} 0", seal.checked), want);
    }
}

#[test]
fn a_bundle_with_every_part_holds() {
    let found = app().check();
    assert_eq!((found.state, kinds(&found)), (ClaimState::AdHoc, vec![]), "{found:#?}");
    assert_eq!(found.seal.state, ClaimState::Valid);
    let paths: Vec<_> = found.nested.iter().map(|n| n.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "Contents/Frameworks/Kit.framework",
            "Contents/Frameworks/libx.dylib",
            "Contents/Helpers/Helper.app",
            "Contents/MacOS/tool"
        ]
    );
    assert!(found.not_checked.is_empty(), "{:?}", found.not_checked);
}

#[test]
fn every_change_to_a_bundle_is_named() {
    let whole = app();
    let exempt = [
        "Contents/PkgInfo",
        "Contents/Resources/.DS_Store",
        "Contents/Resources/de.lproj/locversion.plist",
    ];
    every_file_is_named(&whole, &exempt);

    let of = |change: &dyn Fn(&mut Memory)| {
        let mut bundle = whole.clone();
        change(&mut bundle);
        bundle.check()
    };
    use FindingKind::{Added, Altered, Code, Missing};
    let expect = |found: &BundleSignature, kind: FindingKind, path: &str| {
        assert!(kinds(found).contains(&(kind, path)), "{path}: {:#?}", found.findings);
        assert_eq!(found.state, ClaimState::Invalid, "{path}");
    };
    // Missing, and optional.
    for (path, kind) in [
        ("Contents/Resources/icon.icns", Some(Missing)),
        ("Contents/Resources/Base.lproj/Main.nib", Some(Missing)),
        ("Contents/Resources/link", Some(Missing)),
        ("Contents/MacOS/tool", Some(Missing)),
        ("Contents/Resources/de.lproj/a.strings", None),
        ("Contents/PkgInfo", None),
        ("Contents/Resources/.DS_Store", None),
        ("Contents/Info.plist", Some(Missing)),
        ("Contents/_CodeSignature/CodeResources", Some(Missing)),
    ] {
        let found = of(&|b| _ = b.0.remove(path));
        match kind {
            Some(kind) => expect(&found, kind, path),
            None => assert_eq!((found.state, found.findings), (ClaimState::AdHoc, vec![])),
        }
    }
    // Added.
    for path in [
        "Contents/Resources/new.txt",
        "Contents/new",
        "Contents/MacOS/new",
        "Contents/Frameworks/new.dylib",
        "Contents/Frameworks/new.framework/Versions/A/new",
        "Contents/Resources/de.lproj/new.strings",
        "Contents/Helpers/Helper.app/Contents/Resources/new",
        "Contents/Frameworks/Kit.framework/Versions/B/new",
        "Contents/Frameworks/Kit.framework/new",
        "new",
    ] {
        let found = of(&|b| _ = b.file(path, "x"));
        let path = path.strip_suffix("/Versions/A/new").unwrap_or(path);
        expect(&found, Added, path);
    }
    for path in [
        "Contents/Resources/x.lproj/locversion.plist",
        ".DS_Store",
        "Contents/CodeResources",
        "Contents/_MASReceipt/receipt",
    ] {
        let found = of(&|b| _ = b.file(path, "x"));
        assert_eq!((found.state, found.findings), (ClaimState::AdHoc, vec![]), "{path}");
    }
    // Links.
    let link = "Contents/Resources/link";
    expect(&of(&|b| _ = b.link(link, "icon2.icns")), Altered, link);
    expect(&of(&|b| _ = b.file(link, "icon.icns")), Altered, link);
    expect(
        &of(&|b| _ = b.link("Contents/Resources/icon.icns", "x")),
        Altered,
        "Contents/Resources/icon.icns",
    );
    expect(&of(&|b| _ = b.link("Contents/MacOS/tool", "x")), Altered, "Contents/MacOS/tool");
    expect(&of(&|b| _ = b.link("Contents/Resources/new", "x")), Added, "Contents/Resources/new");
    let kit = "Contents/Frameworks/Kit.framework";
    let resources = format!("{kit}/Resources");
    expect(&of(&|b| _ = b.link(&resources, "Versions/A/Resources")), Added, &resources);
    // A folder in place of a file.
    let icon = "Contents/Resources/icon.icns";
    let found = of(&|b| {
        b.0.remove(icon);
        b.file("Contents/Resources/icon.icns/x", "y");
    });
    expect(&found, Missing, icon);
    // Another version of the framework, signed by itself, is not what was sealed.
    let found = of(&|b| {
        let base = format!("{kit}/Versions/C");
        b.file(&format!("{base}/Resources/Info.plist"), info_plist("Kit"));
        b.file(&format!("{base}/Resources/other"), "x");
        sign(b, &base, "Resources/Info.plist", "Kit", RULES2, &[]);
    });
    expect(&found, Code, &format!("{kit}/Versions/C"));
    let found = of(&|b| _ = b.link(&format!("{kit}/Versions/Current"), "../../../x"));
    assert_eq!(found.state, ClaimState::Invalid);
    // Code inside that is signed, and is another one.
    let found = of(&|b| _ = b.file("Contents/MacOS/tool", tool("other")));
    expect(&found, Code, "Contents/MacOS/tool");
    let found = of(&|b| {
        let helper = "Contents/Helpers/Helper.app/Contents";
        b.file(&format!("{helper}/Resources/a.txt"), "changed");
        sign(b, helper, "Info.plist", "MacOS/Helper", RULES2, &[]);
    });
    expect(&found, Code, "Contents/Helpers/Helper.app");
}

#[test]
fn links_that_leave_the_bundle_are_findings() {
    for (target, fine) in [
        ("icon.icns", true),
        ("../../x", true),
        ("../../../x", false),
        ("/etc/passwd", false),
        ("/System/Library/x", true),
        ("/Library/x", true),
        ("a/../../../../x", false),
        ("./../Resources/icon.icns", true),
    ] {
        let mut b = Memory::default();
        b.file("Contents/Info.plist", info_plist("T"));
        b.file("Contents/Resources/icon.icns", "x");
        b.link("Contents/Resources/link", target);
        sign(&mut b, "Contents", "Info.plist", "MacOS/T", RULES2, &[]);
        let found = b.check();
        assert_eq!(!named(&found, "Contents/Resources/link"), fine, "{target}: {found:#?}");
    }
}

#[test]
fn what_was_not_compared_is_said() {
    let whole = app();
    let all = whole.check();
    for budget in [0, 100, 5000, 50_000, 104_000, 120_000] {
        let found = whole.check_within(budget);
        assert!(found.seal.checked <= all.seal.checked);
        if budget < 120_000 {
            assert_eq!(found.state, ClaimState::NotChecked, "{budget}");
            assert!(!found.not_checked.is_empty(), "{budget}");
        }
        assert_eq!(found.findings, [], "{budget}");
        // What is missing or new is found without reading.
        let mut changed = whole.clone();
        changed.0.remove("Contents/Resources/icon.icns");
        changed.file("Contents/Resources/new", "x");
        let found = changed.check_within(budget);
        assert_eq!(found.state, ClaimState::Invalid);
        assert_eq!(found.findings.len(), 2);
    }
}

#[test]
fn rules_decide_by_weight() {
    let mut b = Memory::default();
    b.file("Contents/Info.plist", info_plist("T"));
    b.file("Contents/Data/kept/a", "a");
    b.file("Contents/Data/left/b", "b");
    b.file("Contents/Data/left/but/c", "c");
    let rules = [
        ("^.*", "<true/>"),
        ("^Info\\.plist$", "<dict><key>omit</key><true/><key>weight</key><real>20</real></dict>"),
        (
            "^Data/left/",
            "<dict><key>omit</key><true/><key>weight</key><integer>30</integer></dict>",
        ),
        ("^Data/left/but/", "<dict><key>weight</key><real>40</real></dict>"),
        ("^Other/", "<false/>"),
    ];
    let files = [
        ("Data/kept/a".to_owned(), hash_entry(b"a", false)),
        ("Data/left/but/c".to_owned(), hash_entry(b"c", false)),
        ("Data/gone".to_owned(), hash_entry(b"c", true)),
    ];
    let resources = code_resources(&rules, &files);
    b.file("Contents/MacOS/T", program(&info_plist("T"), &resources));
    b.file("Contents/_CodeSignature/CodeResources", resources);
    let found = b.check();
    assert_eq!((found.state, kinds(&found)), (ClaimState::AdHoc, vec![]), "{found:#?}");
    assert_eq!(found.seal.weak_rules, ["^Data/left/", "^Other/"]);
    b.file("Contents/Data/left/new", "x").file("Contents/Data/left/but/new", "x");
    b.file("Contents/Data/gone", "other");
    let mut paths: Vec<String> = b.check().findings.iter().map(|f| f.path.clone()).collect();
    paths.sort();
    assert_eq!(paths, ["Contents/Data/gone", "Contents/Data/left/but/new"]);
}

/// An app whose sealed paths and rules are these, bound by its program.
fn with_resources(resources: Vec<u8>) -> Memory {
    let mut b = Memory::default();
    b.file("Contents/Info.plist", info_plist("T"));
    b.file("Contents/MacOS/T", program(&info_plist("T"), &resources));
    b.file("Contents/Resources/a", "a");
    b.file("Contents/_CodeSignature/CodeResources", resources);
    b
}

#[test]
fn sealed_paths_lead_nowhere() {
    let tricks = [
        "../Info.plist",
        "/etc/passwd",
        "",
        ".",
        "..",
        "a//b",
        "Resources/../Resources/a",
        "Resources/A",
        "\u{202e}x",
    ];
    let mut files: Vec<(String, String)> =
        tricks.iter().map(|p| ((*p).to_owned(), hash_entry(b"a", false))).collect();
    files.push(("Resources/a".to_owned(), hash_entry(b"a", false)));
    let found = with_resources(code_resources(RULES2, &files)).check();
    assert_eq!(found.findings.len(), tricks.len(), "{found:#?}");
    assert!(found.findings.iter().all(|f| f.kind == FindingKind::Missing));
    assert!(found.findings.iter().all(|f| !f.path.contains('\u{202e}')));
    // Names that differ by case alone are two names.
    let upper = [("Resources/A".to_owned(), hash_entry(b"a", false))];
    let found = with_resources(code_resources(RULES2, &upper)).check();
    assert_eq!(
        kinds(&found),
        [
            (FindingKind::Added, "Contents/Resources/a"),
            (FindingKind::Missing, "Contents/Resources/A")
        ]
    );
}

#[test]
fn names_of_another_composition_are_the_same_name() {
    let decomposed = "Resources/e\u{301}";
    let files = [
        (decomposed.to_owned(), hash_entry(b"x", false)),
        ("Resources/a".to_owned(), hash_entry(b"a", false)),
    ];
    let mut b = with_resources(code_resources(RULES2, &files));
    b.file("Contents/Resources/\u{e9}", "x");
    assert_eq!(b.check().findings, []);
}

#[test]
fn a_hundred_thousand_sealed_paths_take_seconds() {
    let start = Instant::now();
    let files: Vec<(String, String)> = (0..100_000)
        .map(|i| (format!("Resources/{}/{i}", "d".repeat(i % 50)), hash_entry(b"x", false)))
        .collect();
    let mut b = with_resources(code_resources(RULES2, &files));
    for i in 0..50_000 {
        b.file(&format!("Contents/Resources/{}/{i}", "d".repeat(i % 50)), "x");
    }
    let found = b.check();
    assert_eq!((found.seal.sealed, found.seal.checked), (100_000, 50_000));
    assert_eq!(found.findings.len() as u64 + found.more_findings, 50_001);
    assert!(start.elapsed() < Duration::from_secs(120), "{:?}", start.elapsed());
}

#[test]
fn bundles_in_bundles_end_somewhere() {
    let mut b = Memory::default();
    let mut root = String::new();
    let mut roots = Vec::new();
    for _ in 0..30 {
        roots.push(root.clone());
        root = format!("{root}Contents/Helpers/H.app/");
    }
    for (i, root) in roots.iter().enumerate().rev() {
        let base = format!("{root}Contents");
        b.file(&format!("{base}/Info.plist"), info_plist("H"));
        let inner = [("Helpers/H.app", "Helpers/H.app/Contents/MacOS/H")];
        let code = if i + 1 < roots.len() { &inner[..] } else { &[] };
        sign(&mut b, &base, "Info.plist", "MacOS/H", RULES2, code);
    }
    let found = b.check();
    assert_eq!(found.state, ClaimState::NotChecked);
    assert!(found.not_checked.iter().any(|s| s.contains("more than 8 deep")), "{found:#?}");
}

#[test]
fn a_seal_that_makes_no_sense_is_no_seal() {
    for (resources, state) in [
        (&b"not a plist"[..], ClaimState::Unsupported),
        (b"<plist><dict/></plist>", ClaimState::Unsupported),
        (b"<plist><dict><key>files2</key><string/><key>rules2</key><dict/></dict></plist>", ClaimState::Unsupported),
        (b"<plist><dict><key>files2</key><dict><key>a</key><integer>1</integer></dict><key>rules2</key><dict/></dict></plist>", ClaimState::Unsupported),
        (b"<plist><dict><key>files2</key><dict/><key>rules2</key><dict><key>((</key><true/></dict></dict></plist>", ClaimState::Unsupported),
    ] {
        let found = with_resources(resources.to_vec()).check();
        assert_eq!(found.state, state, "{found:#?}");
        assert!(!found.not_checked.is_empty());
    }
}

/// xorshift64*, seeded.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % n
    }
}

#[test]
fn mutations_of_the_seal_neither_panic_nor_hang() {
    let whole = app();
    let sealed = "Contents/_CodeSignature/CodeResources";
    let good = whole.data(sealed).to_vec();
    let words: &[&[u8]] = &[
        b"<true/>",
        b"</dict>",
        b"<dict>",
        b"<key>",
        b"symlink",
        b"requirement",
        b"nested",
        b"(.*)*",
        b"[[:alpha:]]",
        b"../",
        b"\xff",
        b"<data>AA==</data>",
        b"optional",
    ];
    let start = Instant::now();
    let mut random = Random(0x5EA1);
    for round in 0..5000 {
        let mut bytes = good.clone();
        for _ in 0..=random.below(4) {
            let at = random.below(bytes.len());
            match random.below(4) {
                0 => bytes[at] ^= 1 << random.below(8),
                1 => bytes.truncate(at + 1),
                2 => {
                    let word = words[random.below(words.len())];
                    bytes.splice(at..at, word.iter().copied());
                }
                _ => {
                    let end = (at + random.below(60)).min(bytes.len());
                    bytes.drain(at..end);
                    if bytes.is_empty() {
                        bytes.push(b'<');
                    }
                }
            }
        }
        let same = bytes == good;
        let mut bundle = whole.clone();
        if round % 2 == 0 {
            // Bound again, so that what it says counts.
            let info = bundle.data("Contents/Info.plist").to_vec();
            bundle.file("Contents/MacOS/Tool", program(&info, &bytes));
        }
        bundle.0.insert(sealed.to_owned(), Node::File(bytes));
        let found = bundle.check();
        if round % 2 == 1 && !same {
            assert_eq!(found.state, ClaimState::Invalid, "round {round}");
            assert!(named(&found, sealed));
        }
    }
    assert!(start.elapsed() < Duration::from_secs(300), "{:?}", start.elapsed());
}

/// The app of [`with_helper`] with `slices` as its helper, of which `sealed` is in the seal.
fn with_helper(
    slices: &[((u32, u32), Vec<u8>)],
    sealed: &[u8],
    requirement: Option<&str>,
) -> Memory {
    let mut b = Memory::default();
    b.file("Contents/Info.plist", info_plist("T"));
    b.file("Contents/MacOS/helper", fat(slices, false));
    let mut entry = code_entry(sealed);
    if let Some(text) = requirement {
        let at = entry.find("<string>").unwrap() + 8;
        let end = entry.find("</string>").unwrap();
        entry.replace_range(at..end, text);
    }
    let resources = code_resources(RULES2, &[("MacOS/helper".to_owned(), entry)]);
    b.file("Contents/MacOS/T", program(&info_plist("T"), &resources));
    b.file("Contents/_CodeSignature/CodeResources", resources);
    b
}

/// The CDHash in a seal is that of one slice. The other slice of a nested program is not what was
/// sealed because of that.
#[test]
fn a_second_slice_is_not_vouched_for_by_the_cdhash_of_the_first() {
    let (arm, intel) = ((0x0100_000C, 0), (0x0100_0007, 3));
    let of = |cpu: (u32, u32), name: &str| {
        let signature = Signature { identifier: name.to_owned(), ..Signature::default() };
        let program = Program { cpu, ..Program::signed(signature) };
        (cpu, program.build())
    };
    let genuine = [of(arm, "helper"), of(intel, "helper")];
    let hash = |of: &[u8]| {
        let entry = code_entry(of);
        entry.split("cdhash H\"").nth(1).unwrap()[..40].to_owned()
    };
    let both =
        format!("cdhash H\"{}\" or cdhash H\"{}\"", hash(&genuine[0].1), hash(&genuine[1].1));
    let found = with_helper(&genuine, &genuine[0].1, Some(&both)).check();
    assert_eq!(found.findings, []);
    assert_eq!(found.nested[0].state, ClaimState::AdHoc);

    let swapped = [genuine[0].clone(), of(intel, "evil")];
    for requirement in
        [Some(both.as_str()), None, Some("identifier helper and anchor apple generic")]
    {
        let found = with_helper(&swapped, &genuine[0].1, requirement).check();
        assert_eq!(found.state, ClaimState::Invalid, "{requirement:?}");
        assert_eq!(kinds(&found), [(FindingKind::Code, "Contents/MacOS/helper")]);
    }
}

#[test]
fn nothing_lies_beside_the_seal() {
    for path in [
        "Contents/_CodeSignature/run.sh",
        "Contents/_CodeSignature/x/y",
        "Contents/CodeResources/x",
    ] {
        let mut b = app();
        b.file(path, "#!/bin/sh");
        let found = b.check();
        assert_eq!(found.state, ClaimState::Invalid, "{path}");
        assert_eq!(found.findings.len(), 1, "{path}");
        assert_eq!(found.findings[0].kind, FindingKind::Added);
    }
}

/// Without the rule for all files, a seal of an app lets anybody add programs.
#[test]
fn a_seal_that_does_not_cover_all_files_is_said() {
    let rules = [("^Resources/", "<true/>")];
    let files = [("Resources/a".to_owned(), hash_entry(b"a", false))];
    let mut b = with_resources(code_resources(&rules, &files));
    b.file("Contents/MacOS/evil", tool("evil"));
    let found = b.check();
    assert_eq!(found.seal.weak_rules, ["there is no rule ^.* for all files"]);
    assert!(found.not_checked.iter().any(|t| t.contains("leaves out files")), "{found:#?}");
}

/// Bundles in bundles that seal the same files, each with rules of its own: the time does not
/// grow with their number.
#[test]
fn many_seals_over_the_same_files_end() {
    let resources = code_resources(RULES2, &[]);
    let mut b = Memory::default();
    b.file("Contents/Info.plist", info_plist("T"));
    b.file("Contents/MacOS/T", program(&info_plist("T"), &resources));
    b.file("Contents/_CodeSignature/CodeResources", resources.clone());
    let mut at = "Contents/Resources".to_owned();
    for _ in 0..60 {
        at.push_str("/b");
        b.file(&format!("{at}/Info.plist"), info_plist("T"));
        b.file(&format!("{at}/T"), program(&info_plist("T"), &resources));
        b.file(&format!("{at}/_CodeSignature/CodeResources"), resources.clone());
    }
    for n in 0..5000 {
        b.file(&format!("{at}/{n}"), "");
    }
    let found = b.check();
    assert_eq!(found.state, ClaimState::Invalid);
    let states: Vec<ClaimState> = found.nested.iter().map(|n| n.state).collect();
    assert!(states.contains(&ClaimState::NotChecked), "{states:?}");
}

/// Hard links give every bundle inside the same large property lists: 70 KB of a tar file took
/// 0.7 seconds for each of up to 5,000.
#[test]
fn large_property_lists_are_not_read_again_and_again() {
    let mut b = Memory::default();
    b.file("Contents/Info.plist", info_plist("T"));
    b.file("Contents/MacOS/T", program(&info_plist("T"), b""));
    let large = format!("<plist><dict/></plist>{}", " ".repeat(15 << 20));
    for n in 0..12 {
        b.file(&format!("Contents/Resources/{n}.bundle/Contents/Info.plist"), large.as_str());
        b.file(
            &format!("Contents/Resources/{n}.bundle/Contents/_CodeSignature/CodeResources"),
            "x",
        );
    }
    let found = b.check();
    let unread = found.nested.iter().filter(|n| n.state == ClaimState::NotChecked).count();
    assert!((6..12).contains(&unread), "{unread}");
}
