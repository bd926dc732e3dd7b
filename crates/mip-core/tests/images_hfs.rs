//! Every HFS+ volume of the shared fixtures against what 7-Zip reads in it
//! (`docs/decisions/0008-hfsplus-readings.md` says where the two differ, and who is right).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use mip_base::{Cursor, EntryKind, FileAt, Job, ReadAt as _, Source};
use mip_disk::{partition, volume};
use mip_hfsplus::{Node, Volume};
use mip_testkit::shared::{expected, fixtures};
use mip_testkit::{digest, sha256};

const IMAGES: &[&str] = &[
    "dmg-udif/autopkg-Test.dmg",
    "dmg-udif/dfvfs-hfsplus_zlib.dmg",
    "dmg-udif/dmgforensic-hfsplus_bzip2.dmg",
    "dmg-udif/dmgforensic-hfsplus_compressed.dmg",
    "dmg-udif/dmgforensic-hfsplus_lzma.dmg",
    "dmg-udif/dmgforensic-hfsplus_udro.dmg",
    "dmg-udif/dmgwiz-non_null_data_offset.dmg",
    "dmg-udif/goapfs-hfs-basic-adc.dmg",
    "dmg-udif/goapfs-hfs-basic.dmg",
    "dmg-udif/homebrew-container.dmg",
    "dmg-udif/keramics-hfsplus_lzfse.dmg",
    "dmg-udif/keramics-hfsplus_lzma.dmg",
    "dmg-udif/keramics-hfsplus_zlib.dmg",
    "dmg-udif/plaso-hfsplus_zlib.dmg",
    "dmg-udif/plaso-spotlight.12.dmg",
    "dmg-udif/relic-dummy.dmg",
    "dmg-udif/sparkle-SparkleTestCodeSignApp.dmg",
    "hfs-raw/tika-test-documents.dmg",
    "synthetic/syn-hfsplus-nopart-lzma.dmg",
    "synthetic/syn-hfsx-journaled-gpt-zlib.dmg",
];

/// The one HFS+ volume of a disk.
fn volume_of(disk: &Source, job: &Job) -> Volume {
    let map = partition::read(disk, job).unwrap();
    let mut found = map.partitions.iter().filter_map(|p| {
        let section: Source = Arc::new(p.section(disk).unwrap());
        let kind = volume::identify(&section).unwrap();
        matches!(kind, volume::Kind::HfsPlus | volume::Kind::Hfsx | volume::Kind::HfsWrapped)
            .then_some(section)
    });
    let section = found.next().expect("an HFS+ volume");
    assert!(found.next().is_none(), "one volume");
    Volume::open(section, job).unwrap()
}

fn image(path: &Path, job: &Job) -> Source {
    let file: Source = Arc::new(FileAt::open(path).unwrap());
    let mut tail = vec![0; 512];
    let n = file.read_at(file.size() - 512, &mut tail).unwrap();
    if n == 512 && tail.starts_with(b"koly") {
        return Arc::new(mip_udif::Udif::open(file, job).unwrap());
    }
    file
}

/// The volume's own entries, which 7-Zip lists and macOS does not.
fn private(path: &str) -> bool {
    ["[HFS+ Private Data]", ".HFS+ Private Directory Data\r", ".journal", ".journal_info_block"]
        .iter()
        .any(|p| path == *p || path.strip_prefix(p).is_some_and(|r| r.starts_with(['/', ':'])))
}

/// Members of the expectation without the volume's own name in front.
fn members(name: &str, path: &str, dir: &Path) -> (BTreeMap<String, (String, u64, String)>, bool) {
    let json = expected(dir, path);
    let out = json["members"].as_array().unwrap().iter().filter_map(|m| {
        let full = m[0].as_str().unwrap();
        let inner = full.strip_prefix(&format!("{name}/"))?;
        let text = |i: usize| m[i].as_str().unwrap().to_owned();
        Some((inner.to_owned(), (text(1), m[2].as_u64().unwrap(), text(3))))
    });
    (out.collect(), json["rc"] == 0)
}

struct Checker<'a> {
    volume: &'a Volume,
    job: &'a Job,
    members: BTreeMap<String, (String, u64, String)>,
    complete: bool,
    /// Content of the targets of hard links, as 7-Zip reads them in the private folder.
    inodes: Vec<(u64, String)>,
}

impl Checker<'_> {
    fn entry(&mut self, path: &str, node: &Node) {
        let leaves = |target: &str| target.starts_with('/') || target.starts_with("..");
        // 7-Zip writes "_" where a name holds a slash, which POSIX shows as a colon.
        let shown = path.replace(':', "_");
        let Some((kind, size, what)) = self.members.remove(&shown) else {
            panic!("{path}: not expected");
        };
        match node.kind {
            EntryKind::Directory => assert_eq!(kind, "dir", "{path}"),
            EntryKind::Symlink => {
                let target = self.volume.read_link(node, self.job).unwrap();
                if !self.complete && leaves(&target) && kind == "file" {
                    assert_eq!(size, 0, "{path}: 7-Zip makes no link that leaves the folder");
                    return;
                }
                assert_eq!((kind.as_str(), size, &what), ("symlink", node.size, &target), "{path}");
            }
            EntryKind::File => {
                let mine = digest(Cursor::new(self.volume.open_file(node, self.job).unwrap()));
                assert_eq!((kind.as_str(), node.size), ("file", mine.0), "{path}");
                if node.links > 1 {
                    assert_eq!(size, 0, "{path}: 7-Zip does not follow hard links");
                    assert!(self.inodes.contains(&mine), "{path}");
                } else {
                    assert_eq!(mine, (size, what), "{path}");
                }
            }
            other => panic!("{path}: {other:?}"),
        }
        self.streams(path, &shown, node);
    }

    fn streams(&mut self, path: &str, shown: &str, node: &Node) {
        if let Some(fork) = self.volume.resource_fork(node, self.job).unwrap() {
            let (_, size, what) = self.members.remove(&format!("{shown}:rsrc")).expect(path);
            assert_eq!(digest(Cursor::new(fork)), (size, what), "{path}:rsrc");
        }
        for x in self.volume.xattrs(node, self.job).unwrap() {
            let value = self.volume.xattr(node, &x.name, 1 << 20, self.job).unwrap().unwrap();
            assert_eq!(value.len() as u64, x.size, "{path}:{}", x.name);
            if node.links > 1 {
                continue; // listed at the target, in the private folder
            }
            let m = self.members.remove(&format!("{shown}:{}", x.name));
            let (_, size, what) = m.unwrap_or_else(|| panic!("{path}:{}", x.name));
            assert_eq!((x.size, sha256(&value)), (size, what), "{path}:{}", x.name);
        }
    }
}

#[test]
fn volumes_of_the_fixtures_are_what_7zip_reads() {
    let Some(dir) = fixtures("volumes_of_the_fixtures_are_what_7zip_reads") else { return };
    for path in IMAGES {
        let job = Job::default();
        let volume = volume_of(&image(&dir.join(path), &job), &job);
        let (all, complete) = members(&volume.info().name, path, &dir);
        let (own, members): (BTreeMap<_, _>, BTreeMap<_, _>) =
            all.into_iter().partition(|(p, _)| private(p));
        let inodes = own.into_values().map(|(_, size, what)| (size, what)).collect();
        let mut c = Checker { volume: &volume, job: &job, members, complete, inodes };
        let mut last = Vec::new();
        volume
            .walk(&job, &mut |f| {
                let parts: Vec<String> = f.path.split('/').map(str::to_owned).collect();
                assert!(last < parts, "{path}: {parts:?} after {last:?}");
                last = parts;
                c.entry(&f.path, &f.node);
                let again = volume.lookup(&f.path, &job)?.expect("what was walked is found");
                assert_eq!(format!("{again:?}"), format!("{:?}", f.node), "{path}: {}", f.path);
                Ok(())
            })
            .unwrap();
        assert!(c.members.is_empty(), "{path}: only 7-Zip has {:?}", c.members.keys());
        assert!(volume.info().notes.is_empty(), "{path}: {:?}", volume.info().notes);
    }
}

#[test]
fn names_of_the_keramics_volume_are_found_as_macos_finds_them() {
    let Some(dir) = fixtures("names_of_the_keramics_volume_are_found_as_macos_finds_them") else {
        return;
    };
    let job = Job::default();
    let disk = image(&dir.join("dmg-udif/keramics-hfsplus_zlib.dmg"), &job);
    let volume = volume_of(&disk, &job);
    let id = |name: &str| volume.lookup(name, &job).unwrap().map(|n| n.id);
    for (a, b) in [
        ("case_folding_µ", "CASE_folding_µ"),
        // Stored decomposed; both forms lead there, in any case.
        ("nfc_te\u{301}stfile\u{300}", "NFC_T\u{c9}STFIL\u{c8}"),
        ("nfd_te\u{301}stfile\u{300}", "nfd_t\u{e9}stfil\u{e8}"),
        ("forward:slash", "Forward:Slash"),
        ("testdir1/testfile1", "TESTDIR1/TestFile1"),
        ("nfd_\u{be}", "NFD_\u{be}"),
        ("nfkd_3\u{2044}4", "nfkd_3\u{2044}4"),
    ] {
        assert!(id(a).is_some(), "{a}");
        assert_eq!(id(a), id(b), "{a} and {b}");
    }
    // The folding is that of the format: the micro sign is no Greek letter in it.
    assert_eq!(id("case_folding_\u{3bc}"), None);
    assert_eq!(id("testdir1/testfile1/x"), None);
    assert_eq!(id("\u{2400}\u{2400}\u{2400}\u{2400}HFS+ Private Data"), None);
    assert_eq!(id(".HFS+ Private Directory Data\r"), None);
    let (a, b) = (id("file_hardlink1"), id("testdir1/testfile1"));
    assert!(a.is_some() && a == b, "one file of two names: {a:?} {b:?}");
}

/// A raw disk with an Apple partition map, packed with gzip; 7-Zip extracts from it what is here.
#[test]
fn the_volume_of_an_apple_partition_map_is_read() {
    let Some(dir) = fixtures("the_volume_of_an_apple_partition_map_is_read") else { return };
    let file = std::fs::File::open(dir.join("hfs-raw/goapfs-hfs-apm.img.gz")).unwrap();
    let mut disk = Vec::new();
    flate2::read::GzDecoder::new(file).read_to_end(&mut disk).unwrap();
    let job = Job::default();
    let volume = volume_of(&(Arc::new(disk) as Source), &job);
    assert_eq!(volume.info().name, "APMTest");
    let mut paths = Vec::new();
    volume
        .walk(&job, &mut |f| {
            paths.push(f.path);
            Ok(())
        })
        .unwrap();
    assert_eq!(paths, ["f.txt"]);
    let node = volume.lookup("F.TXT", &job).unwrap().unwrap();
    assert_eq!(
        digest(Cursor::new(volume.open_file(&node, &job).unwrap())),
        (12, "7cfa0059e5d32af34fa3deb07e12ffc2472ca0ff2deda4b1e673907fa5a108e0".to_owned())
    );
    let value = volume.xattr(&node, "com.apple.provenance", 100, &job).unwrap().unwrap();
    assert_eq!(sha256(&value), "42792b5d3fdc4c191e7444e3299b830a018cee5daa9628f1b0b95dd51828d44b");
}
