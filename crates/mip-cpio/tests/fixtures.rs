//! The shared fixtures: cpio files, and the payloads of all packages, against what
//! independent tools (7-Zip, bsdtar) read in them.
#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use mip_base::{Code, EntryKind, Job, Result};
use mip_codec::{Compression, decoder, sniff};
use mip_cpio::CpioReader;
use mip_testkit::heap::stored;
use mip_testkit::shared::{expected, fixtures};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Path, then kind, size and SHA-256 or link target.
type List = BTreeMap<String, (String, u64, String)>;

fn hex(b: &[u8]) -> String {
    b.iter().map(|b| format!("{b:02x}")).collect()
}

/// Walks an archive. Hard links of newc get the data of the last of them, as on disk.
fn walk(input: impl Read, job: &Job) -> Result<List> {
    let mut r = CpioReader::new(input, job);
    let (mut list, mut links) = (List::new(), BTreeMap::<_, Vec<String>>::new());
    while let Some(e) = r.next_entry()? {
        let mut sha = Sha256::new();
        std::io::copy(&mut r, &mut HashWriter(&mut sha))
            .map_err(|e| mip_base::Error::from_io(Code::Internal, "bare", e))?;
        let Some(path) = e.path else { continue };
        let path = path.as_str().to_owned();
        let row = match e.kind {
            EntryKind::File => ("file".to_owned(), e.size, hex(&sha.finalize())),
            EntryKind::Directory => ("dir".to_owned(), 0, String::new()),
            EntryKind::Symlink => {
                let link = e.link.unwrap();
                ("symlink".to_owned(), link.len() as u64, link)
            }
            other => (format!("{other:?}"), 0, String::new()),
        };
        if e.kind == EntryKind::File && e.nlink > 1 {
            let same = links.entry((e.dev, e.ino)).or_default();
            if e.size > 0 {
                for other in same.drain(..) {
                    list.insert(other, row.clone());
                }
            } else {
                same.push(path.clone());
            }
        }
        assert!(list.insert(path.clone(), row).is_none(), "{path} twice");
    }
    Ok(list)
}

struct HashWriter<'a>(&'a mut Sha256);

impl std::io::Write for HashWriter<'_> {
    fn write(&mut self, b: &[u8]) -> std::io::Result<usize> {
        self.0.update(b);
        Ok(b.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn list(rows: &Value) -> List {
    let rows = rows.as_array().unwrap().iter();
    rows.map(|r| {
        let text = |i: usize| r[i].as_str().unwrap().to_owned();
        (text(0), (text(1), r[2].as_u64().unwrap(), text(3)))
    })
    .collect()
}

#[test]
fn cpio_files_list_as_other_tools_list_them() {
    let Some(dir) = fixtures("cpio_files_list_as_other_tools_list_them") else { return };
    let job = Job::default();
    let mut n = 0;
    for (name, format) in [
        ("dfvfs-syslog.odc.cpio", "odc"),
        ("libarchive-test_compat_cpio_1.cpio", "newc"),
        ("libarchive-test_gcpio_compat_ref.newc", "newc"),
        ("libarchive-test_option_t.cpio", "odc"),
        ("dfvfs-syslog.bin.cpio", ""),
        ("libarchive-test_read_format_cpio_bin_be.cpio", ""),
        ("libarchive-test_read_format_cpio_bin_le.cpio", ""),
        ("dissect-bin.cpio.gz", ""),
        ("dissect-hpbin.cpio.gz", ""),
    ] {
        let file = File::open(dir.join("cpio").join(name)).unwrap();
        let kind = if name.ends_with(".gz") { Compression::Gzip } else { Compression::None };
        let got = walk(decoder(kind, Box::new(file), &job).unwrap(), &job);
        if format.is_empty() {
            let e = got.unwrap_err();
            assert_eq!(e.code(), Code::Unsupported, "{name}: {e}");
            assert!(e.message().contains("binary cpio"), "{name}: {e}");
        } else {
            let want = list(&expected(&dir, &format!("cpio/{name}"))["members"]);
            assert_eq!(got.unwrap(), want, "{name}");
        }
        n += 1;
    }
    assert_eq!(n, std::fs::read_dir(dir.join("cpio")).unwrap().count(), "a fixture is not tested");
}

/// Walks the payload at `path` of a package.
fn payload(package: &[u8], path: &str, job: &Job) -> Result<Option<List>> {
    let Some((bytes, encoding)) = stored(package, path) else { return Ok(None) };
    assert_eq!(encoding, "application/octet-stream", "{path}");
    let kind = sniff(bytes).unwrap_or(Compression::None);
    walk(decoder(kind, Box::new(bytes), job)?, job).map(Some)
}

fn packages(dir: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for folder in ["pkg-flat", "pkg-signed", "synthetic"] {
        for e in std::fs::read_dir(dir.join(folder)).unwrap() {
            let name = e.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".pkg") {
                all.push(format!("{folder}/{name}"));
            }
        }
    }
    all.sort();
    all
}

#[test]
fn payloads_walk_to_what_other_tools_unpack() {
    let Some(dir) = fixtures("payloads_walk_to_what_other_tools_unpack") else { return };
    let (mut compared, mut walked) = (0, 0);
    for name in packages(&dir) {
        let job = Job::default();
        let package = std::fs::read(dir.join(&name)).unwrap();
        let want = expected(&dir, &name);
        for c in want["pkg"]["components"].as_array().unwrap() {
            let path = match c["dir"].as_str().unwrap() {
                "." => "Payload".to_owned(),
                d => format!("{d}/Payload"),
            };
            let got =
                payload(&package, &path, &job).unwrap_or_else(|e| panic!("{name} {path}: {e}"));
            walked += usize::from(got.is_some());
            // Where bsdtar could not read the payload, there is no list to compare with.
            if let Some(rows) = c.get("payload").filter(|p| p.is_array()) {
                assert_eq!(got.unwrap_or_default(), list(rows), "{name} {path}");
                compared += 1;
            }
        }
    }
    assert!(compared >= 15, "only {compared} payloads were compared");
    assert!(walked >= compared, "{walked} walked, {compared} compared");
}

/// The same tree was packed with pbzx and not at all, so the two lists must agree.
#[test]
fn the_pbzx_payload_has_the_tree_of_the_plain_one() {
    let Some(dir) = fixtures("the_pbzx_payload_has_the_tree_of_the_plain_one") else { return };
    let job = Job::default();
    let [a, b] = ["pbzx-sha256", "rawcpio-sha1"].map(|n| {
        let path = dir.join(format!("synthetic/syn-component-{n}.pkg"));
        payload(&std::fs::read(path).unwrap(), "Payload", &job).unwrap().unwrap()
    });
    assert!(a.len() > 100, "{}", a.len());
    assert_eq!(a, b);
}
