//! The disk images of the shared fixtures, read by `mip files` and by others: what `expected`
//! records, 7-Zip as it runs here, and libmodi, libfshfs and libfsapfs where Python finds them.
//!
//! What a reader does not see at all (7-Zip: the password of an image; libmodi: FAT) is said on
//! stderr as SKIPPED. Where a reader sees something else than we do is in [`known`], path by
//! path, with the page that says who is right; a difference that is not in it fails, and so does
//! an entry of it that is a difference no more.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::print_stderr,
    reason = "tests"
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{contents, has, mip, ok, root, run};
use mip_testkit::sha256;
use mip_testkit::shared::fixtures;
use serde_json::Value;

/// An image of the shared fixtures, and where it is in its file.
struct Image {
    file: &'static str,
    password: Option<&'static str>,
    /// Name of the image in a zip file.
    member: Option<&'static str>,
}

const fn image(file: &'static str) -> Image {
    Image { file, password: None, member: None }
}

const fn locked(file: &'static str, password: &'static str) -> Image {
    Image { file, password: Some(password), member: None }
}

const fn zipped(file: &'static str, member: &'static str) -> Image {
    Image { file, password: None, member: Some(member) }
}

/// All of them; a test makes sure that none is missing.
const IMAGES: &[Image] = &[
    image("apfs-raw/dfvfs-apfs.raw"),
    locked("apfs-raw/goapfs-encrypted.img.gz", "hunter2hunter2"),
    locked("dmg-encrypted/dmgwiz-aes256.dmg", "test123"),
    locked("dmg-encrypted/sparkle-SparkleTestCodeSignApp.enc.nolicense.dmg", "testpass"),
    image("dmg-udif/appledmg-example-fat32.dmg"),
    image("dmg-udif/autopkg-Test.dmg"),
    image("dmg-udif/dfvfs-hfsplus_zlib.dmg"),
    image("dmg-udif/dmgforensic-hfsplus_bzip2.dmg"),
    image("dmg-udif/dmgforensic-hfsplus_compressed.dmg"),
    image("dmg-udif/dmgforensic-hfsplus_lzma.dmg"),
    image("dmg-udif/dmgforensic-hfsplus_udro.dmg"),
    image("dmg-udif/dmgwiz-bzip2.dmg"),
    image("dmg-udif/dmgwiz-lzfse.dmg"),
    image("dmg-udif/dmgwiz-lzma.dmg"),
    image("dmg-udif/dmgwiz-non_null_data_offset.dmg"),
    image("dmg-udif/goapfs-basic.dmg"),
    image("dmg-udif/goapfs-hfs-basic-adc.dmg"),
    image("dmg-udif/goapfs-hfs-basic.dmg"),
    image("dmg-udif/homebrew-container-apfs.dmg"),
    image("dmg-udif/homebrew-container.dmg"),
    image("dmg-udif/keramics-hfsplus_lzfse.dmg"),
    image("dmg-udif/keramics-hfsplus_lzma.dmg"),
    image("dmg-udif/keramics-hfsplus_zlib.dmg"),
    image("dmg-udif/plaso-hfsplus_zlib.dmg"),
    image("dmg-udif/plaso-spotlight.12.dmg"),
    image("dmg-udif/relic-dummy.dmg"),
    image("dmg-udif/sparkle-SparkleTestCodeSignApp.dmg"),
    image("dmg-udif/sparkle-SparkleTestCodeSign_apfs.dmg"),
    image("dmg-udif/sparkle-SparkleTestCodeSign_pkg.dmg"),
    image("hfs-raw/goapfs-hfs-apm.img.gz"),
    image("hfs-raw/homebrew-test.dmg.gz"),
    image("hfs-raw/tika-test-documents.dmg"),
    zipped("nested/homebrew-NestedApp.dmg.zip", "NestedApp.dmg"),
    image("synthetic/syn-apfs-gpt-lzfse.dmg"),
    locked("synthetic/syn-enc-aes256.dmg", "pässwörd"),
    image("synthetic/syn-hfsplus-nopart-lzma.dmg"),
    zipped("synthetic/syn-hfsplus.sparseimage.zip", "s.sparseimage"),
    image("synthetic/syn-hfsx-journaled-gpt-zlib.dmg"),
];

/// Images that hold no volume that anything reads, or none at all.
const NOT_COMPARED: &[&str] = &[
    // Two bands of a hand-made bundle without a file system: the crate's own tests read it.
    "sparse/dmgforensic-synthetic.sparsebundle.zip",
    // Damaged on purpose: hostile tests.
    "malformed/dmgforensic-oversized_alloc.dmg",
];

/// What an entry is, as far as readers can be compared.
type Listing = BTreeMap<String, String>;

fn file(size: u64, digest: &str) -> String {
    format!("file {size} {digest}")
}

fn link(target: &str) -> String {
    format!("link {target}")
}

const FOLDER: &str = "folder";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reader {
    /// `expected/*.json`: 7-Zip 26.02 on another machine.
    Expected,
    /// 7-Zip as installed here.
    SevenZip,
    /// libfshfs and libfsapfs.
    Libyal,
}

use Reader::{Expected, Libyal, SevenZip};

/// A difference that is known.
#[derive(Debug)]
struct Known {
    readers: &'static [Reader],
    image: &'static str,
    /// `*` is every path.
    paths: &'static [&'static str],
    /// What the reader shows there.
    theirs: Theirs,
    /// The page of `docs/decisions` that says who is right.
    page: &'static str,
}

#[derive(Debug)]
enum Theirs {
    /// The path is not there.
    Absent,
    /// A file of 0 bytes.
    Empty,
    /// The path is there, and we do not have it.
    Further,
    /// Neither file, folder nor link.
    Other,
}

impl Theirs {
    fn is(&self, ours: &str, theirs: &str) -> bool {
        match self {
            Self::Absent => theirs == ABSENT,
            Self::Empty => theirs.starts_with("file 0 "),
            Self::Further => ours == ABSENT,
            Self::Other => theirs == "other",
        }
    }
}

const ABSENT: &str = "absent";
const HFS: &str = "0008-hfsplus-readings.md";
const APFS: &str = "0009-apfs-readings.md";
const BY_7ZIP: &[Reader] = &[Expected, SevenZip];

/// Links that 7-Zip does not follow.
const fn hard_links(image: &'static str, paths: &'static [&'static str]) -> Known {
    Known { readers: BY_7ZIP, image, paths, theirs: Theirs::Empty, page: HFS }
}

/// "/" in a stored name.
const fn slash(image: &'static str) -> [Known; 2] {
    let (ours, theirs) = (&["forward:slash"], &["forward_slash"]);
    [
        Known { readers: BY_7ZIP, image, paths: ours, theirs: Theirs::Absent, page: HFS },
        Known { readers: BY_7ZIP, image, paths: theirs, theirs: Theirs::Further, page: HFS },
    ]
}

/// Links that 7-Zip leaves out without `-snld`: `expected` was made without.
const fn refused_links(image: &'static str, page: &'static str) -> Known {
    let paths = &[
        "BigApp.app/Contents/Resources/escape-symlink",
        "BigApp.app/Contents/Resources/ok-symlink",
    ];
    Known { readers: &[Expected], image, paths, theirs: Theirs::Empty, page }
}

/// Hard links that Linux made.
const LINUX_LINKS: &[&str] = &[
    "BigApp.app/Contents/Resources/d000/f000000.txt",
    "BigApp.app/Contents/Resources/hardlink.txt",
];

const fn linux_links_of_libfshfs(image: &'static str) -> Known {
    let theirs = Theirs::Other;
    Known { readers: &[Libyal], image, paths: LINUX_LINKS, theirs, page: HFS }
}

fn known() -> Vec<Known> {
    let keramics = ["lzfse", "lzma", "zlib"].map(|k| match k {
        "lzfse" => "dmg-udif/keramics-hfsplus_lzfse.dmg",
        "lzma" => "dmg-udif/keramics-hfsplus_lzma.dmg",
        _ => "dmg-udif/keramics-hfsplus_zlib.dmg",
    });
    let mut all: Vec<Known> = keramics.into_iter().flat_map(slash).collect();
    all.extend(keramics.map(|i| hard_links(i, &["file_hardlink1", "testdir1/testfile1"])));
    all.extend([
        hard_links("dmg-udif/goapfs-hfs-basic-adc.dmg", &["hardlink-to-hello", "hello.txt"]),
        hard_links("dmg-udif/goapfs-hfs-basic.dmg", &["hardlink-to-hello", "hello.txt"]),
        hard_links("synthetic/syn-hfsplus-nopart-lzma.dmg", LINUX_LINKS),
        hard_links("synthetic/syn-hfsx-journaled-gpt-zlib.dmg", LINUX_LINKS),
        linux_links_of_libfshfs("synthetic/syn-hfsplus-nopart-lzma.dmg"),
        linux_links_of_libfshfs("synthetic/syn-hfsplus.sparseimage.zip"),
        linux_links_of_libfshfs("synthetic/syn-hfsx-journaled-gpt-zlib.dmg"),
        refused_links("synthetic/syn-hfsplus-nopart-lzma.dmg", HFS),
        refused_links("synthetic/syn-hfsx-journaled-gpt-zlib.dmg", HFS),
        refused_links("synthetic/syn-apfs-gpt-lzfse.dmg", APFS),
        refused_links("synthetic/syn-enc-aes256.dmg", APFS),
        // 7-Zip opens the partition map, and not the container in it.
        Known {
            readers: &[SevenZip],
            image: "hfs-raw/homebrew-test.dmg.gz",
            paths: &["*"],
            theirs: Theirs::Absent,
            page: APFS,
        },
    ]);
    all
}

/// The image as a file that holds nothing else, unless `mip` opens what is around it by itself.
fn plain(dir: &Path, image: &Image, work: &Path) -> PathBuf {
    let path = dir.join(image.file);
    if !image.file.ends_with(".gz") {
        return path;
    }
    let out = run(Command::new("gzip").arg("-dc").arg(&path));
    assert!(out.status.success());
    let name = path.file_stem().unwrap();
    std::fs::write(work.join(name), out.stdout).unwrap();
    work.join(name)
}

/// What `mip files` says; the paths inside the image.
fn ours(plain: &Path, image: &Image) -> Listing {
    let mut c = mip();
    c.args(["files", "--json", "--sha256"]).arg(plain);
    let inside = image.member.map(|m| format!("{m}//"));
    c.args(&inside);
    if let Some(password) = image.password {
        c.env("IMAGE_PASSWORD", password).args(["--image-password-env", "IMAGE_PASSWORD"]);
    }
    let json: Value = serde_json::from_str(&ok(&mut c)).unwrap();
    let inside = inside.unwrap_or_default();
    let mut out = Listing::new();
    for e in json["entries"].as_array().unwrap() {
        let path = e["path"].as_str().unwrap().strip_prefix(&inside).unwrap();
        let what = match e["kind"].as_str().unwrap() {
            "directory" => FOLDER.to_owned(),
            "symlink" => link(e["link"].as_str().unwrap()),
            "file" => file(e["bytes"].as_u64().unwrap(), e["sha256"].as_str().unwrap()),
            other => other.to_owned(),
        };
        assert!(out.insert(path.to_owned(), what).is_none(), "{}: {path} twice", image.file);
    }
    out
}

/// What HFS+ keeps for itself at the top of a volume, as readers show it; we do not (0008).
const PRIVATE: &[&str] =
    &["[HFS+ Private Data]", ".HFS+ Private Directory Data\r", ".journal", ".journal_info_block"];

fn is_private(path: &str) -> bool {
    PRIVATE.contains(&path.split('/').next().unwrap_or_default())
}

/// Takes the folder away that 7-Zip puts around an HFS+ volume, and what is no file of it:
/// streams of attributes (`path:name`), private folders, the journal.
fn files_of_7zip(all: Listing, ours: &Listing) -> Listing {
    let top = all.iter().next().map(|(p, what)| (p.clone(), what.clone()));
    let around = top.filter(|(p, what)| {
        let below = format!("{p}/");
        what == FOLDER
            && !ours.contains_key(p)
            && all.keys().all(|k| k == p || k.starts_with(&below))
    });
    let all: Listing = match around {
        Some((top, _)) => {
            let below = format!("{top}/");
            let inner = all
                .into_iter()
                .filter_map(|(p, what)| Some((p.strip_prefix(&below)?.to_owned(), what)));
            inner.collect()
        }
        None => all,
    };
    let is_stream = |p: &str| p.match_indices(':').any(|(at, _)| all.contains_key(&p[..at]));
    all.iter()
        .filter(|(p, _)| !is_stream(p) && !is_private(p))
        .map(|(p, what)| (p.clone(), what.clone()))
        .collect()
}

/// How the two differ, as `(path, ours, theirs)`.
fn differences(ours: &Listing, theirs: &Listing) -> Vec<(String, String, String)> {
    let paths: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    let at = |of: &Listing, p: &String| of.get(p).cloned().unwrap_or_else(|| ABSENT.to_owned());
    paths
        .into_iter()
        .map(|p| (p.clone(), at(ours, p), at(theirs, p)))
        .filter(|(_, a, b)| a != b)
        .collect()
}

/// Fails for differences that are not known, and for known ones that are none.
fn judge(reader: Reader, found: &BTreeMap<&'static str, Vec<(String, String, String)>>) {
    let all = known();
    let mut wrong = String::new();
    let mut used = BTreeSet::new();
    for (image, differences) in found {
        for (path, ours, theirs) in differences {
            let fits = |k: &Known| {
                let here = k.paths.iter().any(|p| *p == "*" || p == path);
                here && k.image == *image
                    && k.readers.contains(&reader)
                    && k.theirs.is(ours, theirs)
            };
            match all.iter().position(fits) {
                Some(n) => drop(used.insert(n)),
                None => {
                    wrong += &format!("{image}: {path:?}\n  ours:   {ours}\n  theirs: {theirs}\n");
                }
            }
        }
    }
    for (n, known) in all.iter().enumerate() {
        let tried = known.readers.contains(&reader) && found.contains_key(known.image);
        if tried && !used.contains(&n) {
            wrong += &format!("{known:?} is no difference any more\n");
        }
        let page = root().join("docs/decisions").join(known.page);
        assert!(page.is_file(), "{}", page.display());
    }
    assert!(wrong.is_empty(), "{reader:?}:\n{wrong}");
}

#[test]
fn every_image_of_the_fixtures_is_compared() {
    let Some(dir) = fixtures("every_image_of_the_fixtures_is_compared") else { return };
    let mut missing = Vec::new();
    for folder in [
        "apfs-raw",
        "dmg-encrypted",
        "dmg-udif",
        "hfs-raw",
        "malformed",
        "nested",
        "sparse",
        "synthetic",
    ] {
        for e in std::fs::read_dir(dir.join(folder)).unwrap() {
            let name = e.unwrap().file_name().into_string().unwrap();
            let path = format!("{folder}/{name}");
            let is_image = [".dmg", ".img", ".raw", ".sparse"].iter().any(|s| name.contains(s));
            let known = IMAGES.iter().map(|i| i.file).chain(NOT_COMPARED.iter().copied());
            if is_image && !known.into_iter().any(|k| k == path) {
                missing.push(path);
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn expected() {
    let Some(dir) = fixtures("images: expected") else { return };
    let mut found = BTreeMap::new();
    for image in IMAGES {
        let work = tempfile::tempdir().unwrap();
        let ours = ours(&plain(&dir, image, work.path()), image);
        if image.member.is_some() || image.file.ends_with(".gz") {
            eprintln!("SKIPPED expected/{}: it lists the file around the image", image.file);
            continue;
        }
        let json = mip_testkit::shared::expected(&dir, image.file);
        let mut theirs = Listing::new();
        for m in json["members"].as_array().unwrap() {
            let [path, kind, size, what] = [0, 1, 2, 3].map(|i| &m[i]);
            let what = match kind.as_str().unwrap() {
                "dir" => FOLDER.to_owned(),
                "symlink" => link(what.as_str().unwrap()),
                _ => file(size.as_u64().unwrap(), what.as_str().unwrap()),
            };
            theirs.insert(path.as_str().unwrap().to_owned(), what);
        }
        let theirs = files_of_7zip(theirs, &ours);
        found.insert(image.file, differences(&ours, &theirs));
    }
    judge(Expected, &found);
}

#[test]
fn seven_zip() {
    let Some(dir) = fixtures("images: 7-Zip") else { return };
    if !has("7zz") {
        return;
    }
    let mut found = BTreeMap::new();
    for image in IMAGES {
        if image.password.is_some() {
            eprintln!("SKIPPED {} with 7-Zip: it takes no password of a disk image", image.file);
            continue;
        }
        let work = tempfile::tempdir().unwrap();
        let plain = plain(&dir, image, work.path());
        let ours = ours(&plain, image);
        let inner = match image.member {
            None => plain,
            Some(member) => {
                ok(Command::new("7zz")
                    .args(["x", "-bd", "-y", "-o."])
                    .arg(plain)
                    .current_dir(&work));
                work.path().join(member)
            }
        };
        if inner.extension().is_some_and(|e| e == "sparseimage") {
            eprintln!("SKIPPED {} with 7-Zip: it does not read sparse images", image.file);
            continue;
        }
        let out = work.path().join("out");
        std::fs::create_dir(&out).unwrap();
        let out = out.canonicalize().unwrap();
        let here = out.to_str().unwrap();
        // -snld20: also links that lead outside. It fails for what it leaves out: judged below.
        run(Command::new("7zz").args(["x", "-bd", "-y", "-snld20"]).arg(inner).current_dir(&out));
        let theirs = contents(&out).into_iter().map(|(p, what)| match what.strip_prefix("link ") {
            // 7-Zip turns an absolute target into one inside the folder that it unpacks to.
            Some(to) => {
                let to = to.strip_prefix(here).filter(|to| to.starts_with('/')).unwrap_or(to);
                (p, link(to))
            }
            None if what == FOLDER => (p, what),
            None => {
                let size = std::fs::metadata(out.join(&p)).unwrap().len();
                (p, file(size, &what))
            }
        });
        let theirs = files_of_7zip(theirs.collect(), &ours);
        found.insert(image.file, differences(&ours, &theirs));
    }
    judge(SevenZip, &found);
}

#[test]
fn libmodi_libfshfs_libfsapfs() {
    let Some(dir) = fixtures("images: libyal") else { return };
    let modules = Command::new("python3").args(["-c", "import pyfsapfs, pyfshfs, pymodi"]).output();
    if !modules.is_ok_and(|o| o.status.success()) {
        eprintln!("SKIPPED libyal: python3 does not import pyfsapfs, pyfshfs and pymodi");
        return;
    }
    let mut found = BTreeMap::new();
    for image in IMAGES {
        let work = tempfile::tempdir().unwrap();
        let ours = ours(&plain(&dir, image, work.path()), image);
        let mut c = Command::new("python3");
        c.arg(root().join("tests/images_oracle.py")).arg(dir.join(image.file)).args(image.password);
        let mut theirs = Listing::new();
        let mut skipped = false;
        for line in ok(&mut c).lines() {
            let e: Value = serde_json::from_str(line).unwrap();
            if let Some(why) = e["skipped"].as_str() {
                eprintln!("SKIPPED {} with libyal: {why}", image.file);
                skipped = true;
                continue;
            }
            if let Some(note) = e["note"].as_str() {
                eprintln!("{}: {note}", image.file);
                continue;
            }
            let what = match e["kind"].as_str() {
                None => format!("error {}", e["error"]),
                Some("directory") => FOLDER.to_owned(),
                Some("symlink") => link(e["link"].as_str().unwrap()),
                Some("file") => file(e["size"].as_u64().unwrap(), e["sha256"].as_str().unwrap()),
                Some(other) => other.to_owned(),
            };
            let path = e["path"].as_str().unwrap();
            if !is_private(path) {
                theirs.insert(path.to_owned(), what);
            }
        }
        if !skipped {
            found.insert(image.file, differences(&ours, &theirs));
        }
    }
    judge(Libyal, &found);
}

/// `mip cat` gives the bytes that `mip files` has the digest of, for a sample of the files.
#[test]
fn cat_gives_what_is_listed() {
    let Some(dir) = fixtures("images: cat") else { return };
    for image in IMAGES {
        let work = tempfile::tempdir().unwrap();
        let plain = plain(&dir, image, work.path());
        let files: Vec<(String, String)> =
            ours(&plain, image).into_iter().filter(|(_, w)| w.starts_with("file ")).collect();
        let inside = image.member.map(|m| format!("{m}//")).unwrap_or_default();
        for (path, what) in files.iter().step_by(files.len() / 5 + 1) {
            let mut c = mip();
            c.arg("cat").arg(&plain).arg(format!("{inside}{path}"));
            if let Some(password) = image.password {
                c.env("IMAGE_PASSWORD", password).args(["--image-password-env", "IMAGE_PASSWORD"]);
            }
            let out = run(&mut c);
            assert!(out.status.success(), "{}: {path}", image.file);
            let got = file(out.stdout.len() as u64, &sha256(&out.stdout));
            assert_eq!(got, *what, "{}: {path}", image.file);
        }
    }
}
