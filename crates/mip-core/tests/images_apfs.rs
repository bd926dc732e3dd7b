//! Every APFS volume inside a disk image of the shared fixtures against what 7-Zip reads in it,
//! and where 7-Zip is silent or wrong, against libfsapfs
//! (`docs/decisions/0009-apfs-readings.md` says where they differ, and who is right).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use mip_apfs::{Container, Volume};
use mip_base::{Cursor, EntryKind, FileAt, Job, Source};
use mip_disk::{encrypted, partition, volume};
use mip_testkit::shared::{expected, fixtures};
use mip_testkit::{digest, sha256};

/// Kind, size, and SHA-256 or target of each path; attributes are `path:name`.
type Listing = BTreeMap<String, (String, u64, String)>;

/// The one APFS volume of a disk.
fn volume_of(disk: &Source, job: &Job) -> Volume {
    let map = partition::read(disk, job).unwrap();
    let mut found = map.partitions.iter().filter_map(|p| {
        let section: Source = Arc::new(p.section(disk).unwrap());
        (volume::identify(&section).unwrap() == volume::Kind::Apfs).then_some(section)
    });
    let container = Container::open(found.next().expect("an APFS container"), job).unwrap();
    assert!(container.notes().is_empty(), "{:?}", container.notes());
    assert_eq!(container.volumes().len(), 1);
    container.volume(0, job).unwrap()
}

fn open(path: &Path, password: Option<&str>, job: &Job) -> Volume {
    let mut source: Source = Arc::new(FileAt::open(path).unwrap());
    if let Some(password) = password {
        let image = encrypted::Encrypted::open(source, job).unwrap();
        source = image.unlock(password.as_bytes(), job).unwrap();
    }
    let disk: Source = Arc::new(mip_udif::Udif::open(source, job).unwrap());
    volume_of(&disk, job)
}

fn listing(volume: &Volume, job: &Job) -> Listing {
    let mut out = Listing::new();
    volume
        .walk(job, &mut |f| {
            let (kind, last) = match f.node.kind {
                EntryKind::Directory => ("dir", String::new()),
                EntryKind::Symlink => ("symlink", volume.read_link(&f.node, job)?),
                EntryKind::File => {
                    let (size, sha256) = digest(Cursor::new(volume.open_file(&f.node, job)?));
                    assert_eq!(size, f.node.size, "{}", f.path);
                    ("file", sha256)
                }
                other => panic!("{other:?}"),
            };
            for x in volume.xattrs(&f.node, job)? {
                let value = volume.xattr(&f.node, &x.name, x.size, job)?.unwrap();
                let row = ("file".to_owned(), x.size, sha256(&value));
                out.insert(format!("{}:{}", f.path, x.name), row);
            }
            assert_eq!(volume.lookup(&f.path, job)?.as_ref(), Some(&f.node));
            out.insert(f.path, (kind.to_owned(), f.node.size, last));
            Ok(())
        })
        .unwrap();
    out
}

fn members(dir: &Path, image: &str) -> Listing {
    expected(dir, image)["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| {
            let text = |i: usize| m[i].as_str().unwrap().to_owned();
            (text(0), (text(1), m[2].as_u64().unwrap(), text(3)))
        })
        .collect()
}

#[test]
fn volumes_hold_what_seven_zip_reads() {
    let Some(dir) = fixtures("volumes_hold_what_seven_zip_reads") else { return };
    let job = Job::default();
    for (image, password) in [
        ("dmg-udif/goapfs-basic.dmg", None),
        ("dmg-udif/homebrew-container-apfs.dmg", None),
        ("dmg-udif/sparkle-SparkleTestCodeSign_apfs.dmg", None),
        ("dmg-udif/sparkle-SparkleTestCodeSign_pkg.dmg", None),
        ("dmg-encrypted/sparkle-SparkleTestCodeSignApp.enc.nolicense.dmg", Some("testpass")),
        ("synthetic/syn-apfs-gpt-lzfse.dmg", None),
    ] {
        let ours = listing(&open(&dir.join(image), password, &job), &job);
        let theirs = members(&dir, image);
        assert!(!theirs.is_empty());
        for (path, row) in &theirs {
            // 7-Zip unpacks a link that leads up as an empty file.
            let leads_up = ours[path].0 == "symlink" && ours[path].2.starts_with("../");
            if leads_up && row.0 == "file" {
                assert_eq!(row.1, 0, "{image}: {path}");
                continue;
            }
            assert_eq!(&ours[path], row, "{image}: {path}");
        }
        for path in ours.keys().filter(|p| !theirs.contains_key(*p)) {
            // 7-Zip leaves out the attributes of folders.
            let (of, _) = path.split_once(':').expect(path);
            assert_eq!(ours[of].0, "dir", "{image}: {path}");
        }
    }
}

#[test]
fn volumes_that_are_empty() {
    let Some(dir) = fixtures("volumes_that_are_empty") else { return };
    let job = Job::default();
    for image in ["bzip2", "lzfse", "lzma"] {
        let path = format!("dmg-udif/dmgwiz-{image}.dmg");
        assert!(members(&dir, &path).is_empty());
        let volume = open(&dir.join(path), None, &job);
        assert_eq!(volume.info().name, "empty");
        // libfsapfs finds nothing either.
        assert_eq!(listing(&volume, &job), Listing::new());
    }
    let encrypted = "dmg-encrypted/dmgwiz-aes256.dmg";
    assert!(members(&dir, encrypted).is_empty());
    let volume = open(&dir.join(encrypted), Some("test123"), &job);
    assert_eq!(listing(&volume, &job), Listing::new());
}
