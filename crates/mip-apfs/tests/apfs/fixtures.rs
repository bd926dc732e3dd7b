//! Real volumes that need no other reader: a raw container and an encrypted one. What they
//! hold was read by 7-Zip (`expected`) and libfsapfs. Those inside disk images are tested in
//! `mip-core`.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use mip_apfs::{Container, Volume};
use mip_base::{CancelToken, Code, EntryKind, Error, Job, Limits, ReadAt as _, SilentProgress};
use mip_testkit::apfs::fix_checksum;
use mip_testkit::sha256;
use mip_testkit::shared::{expected, fixtures};

use crate::common::{bytes, open, walk};

const PASSWORD: &[u8] = b"hunter2hunter2";

/// Path, kind, size and SHA-256 or target of everything, attributes as `path:name`.
fn listing(volume: &Volume) -> BTreeMap<String, (String, u64, String)> {
    let job = Job::default();
    let mut out = BTreeMap::new();
    for f in walk(volume).unwrap() {
        let (kind, last) = match f.node.kind {
            EntryKind::Directory => ("dir", String::new()),
            EntryKind::Symlink => ("symlink", volume.read_link(&f.node, &job).unwrap()),
            _ => ("file", sha256(&bytes(&volume.open_file(&f.node, &job).unwrap()).unwrap())),
        };
        for x in volume.xattrs(&f.node, &job).unwrap() {
            let value = volume.xattr(&f.node, &x.name, x.size, &job).unwrap().unwrap();
            let row = ("file".to_owned(), x.size, sha256(&value));
            out.insert(format!("{}:{}", f.path, x.name), row);
        }
        out.insert(f.path, (kind.to_owned(), f.node.size, last));
    }
    out
}

#[test]
fn a_raw_container_holds_what_seven_zip_reads() {
    let Some(dir) = fixtures("a_raw_container_holds_what_seven_zip_reads") else { return };
    let image = std::fs::read(dir.join("apfs-raw/dfvfs-apfs.raw")).unwrap();
    let container = open(&image).unwrap();
    assert!(container.notes().is_empty());
    let volume = container.volume(0, &Job::default()).unwrap();
    assert_eq!(volume.info().name, "apfs_test");
    let want = expected(&dir, "apfs-raw/dfvfs-apfs.raw");
    let want: BTreeMap<String, (String, u64, String)> = want["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| {
            let text = |i: usize| m[i].as_str().unwrap().to_owned();
            (text(0), (text(1), m[2].as_u64().unwrap(), text(3)))
        })
        .collect();
    assert_eq!(listing(&volume), want);
}

fn encrypted(dir: &Path) -> Vec<u8> {
    let packed = std::fs::File::open(dir.join("apfs-raw/goapfs-encrypted.img.gz")).unwrap();
    let mut out = Vec::new();
    mip_codec::decoder(mip_codec::Compression::Gzip, Box::new(packed), &Job::default())
        .unwrap()
        .read_to_end(&mut out)
        .unwrap();
    out
}

/// As libfsapfs 20260921 reads it with the password.
const INSIDE: [(&str, u64, &str); 4] = [
    (
        ".fseventsd/000000000dddaf6b",
        108,
        "d25023da9ca72bf1e06fcc95ee647e19ac0488ad4d8e32690891899ee0105380",
    ),
    (
        ".fseventsd/fseventsd-uuid",
        36,
        "1f9d5ed79cb3a558be2bc3dc9163292279eea884e97d9447c5dff963178b9ddb",
    ),
    ("dir/nested.txt", 14, "470d30407c79de54e0a578dc40183d52619a4ae23d84cdc0a612cf3339f5bf40"),
    ("secret.txt", 40, "a4730fc4e2ed7c7b7cafdc182094bdc60ee5bd94989878a8061d6e356043baa2"),
];

#[test]
fn an_encrypted_volume_opens_with_its_password_only() {
    let Some(dir) = fixtures("an_encrypted_volume_opens_with_its_password_only") else { return };
    let (job, container) = (Job::default(), open(&encrypted(&dir)).unwrap());
    assert!(container.volumes()[0].encrypted);
    assert_eq!(container.volume(0, &job).unwrap_err().code(), Code::PasswordMissing);
    for wrong in [&b""[..], b"hunter2", b"Hunter2hunter2", b"hunter2hunter2\n"] {
        assert_eq!(container.unlock(0, wrong, &job).unwrap_err().code(), Code::Password);
    }
    let volume = container.unlock(0, PASSWORD, &job).unwrap();
    assert_eq!(volume.info().name, "Enc");
    let found = listing(&volume);
    assert_eq!(found.len(), 11);
    for (path, size, digest) in INSIDE {
        assert_eq!(found[path], ("file".to_owned(), size, digest.to_owned()), "{path}");
        let node = volume.lookup(path, &job).unwrap().unwrap();
        let source = volume.open_file(&node, &job).unwrap();
        for step in [1, 7, 33] {
            let mut all = Vec::new();
            let mut buf = vec![0; step];
            loop {
                match source.read_at(all.len() as u64, &mut buf).unwrap() {
                    0 => break,
                    n => all.extend_from_slice(&buf[..n]),
                }
            }
            assert_eq!(sha256(&all), digest, "{path} by {step}");
        }
    }
}

#[test]
fn d10_a_changed_bit_in_an_encrypted_container_is_damage_and_not_a_wrong_password() {
    let Some(dir) = fixtures("d10_a_changed_bit") else { return };
    let mut image = encrypted(&dir);
    // All that is used is in the first MiB; the rest would only have to be copied.
    image.truncate(1 << 20);
    let (job, mut damaged_keybags) = (Job::default(), 0);
    for at in (0..image.len()).step_by(4096) {
        if image[at..at + 4096].iter().all(|b| *b == 0) {
            continue;
        }
        image[at + 90] ^= 4;
        let container = open(&image);
        // The hint is behind both keybags, and needs no key derivation.
        let hint = container.as_ref().map(|c| c.password_hint(0, &job));
        match hint.map_err(|e: &Error| e.code()) {
            Ok(Err(e)) => {
                assert_eq!(e.code(), Code::ApfsKeybag, "block {}", at / 4096);
                let e = container.unwrap().unlock(0, PASSWORD, &job).unwrap_err();
                assert_eq!(e.code(), Code::ApfsKeybag, "block {}", at / 4096);
                damaged_keybags += 1;
            }
            Ok(Ok(_)) | Err(Code::ApfsChecksum | Code::ApfsContainer) => {}
            Err(other) => panic!("block {}: {other:?}", at / 4096),
        }
        image[at + 90] ^= 4;
    }
    assert_eq!(damaged_keybags, 2);
}

#[test]
fn d10_a_limit_on_iterations_holds() {
    let Some(dir) = fixtures("d10_a_limit_on_iterations_holds") else { return };
    let mut limits = Limits::default();
    limits.image_kdf_iterations = 1000;
    let job = Job::new(limits, CancelToken::new(), Arc::new(SilentProgress));
    let e = open(&encrypted(&dir)).unwrap().unlock(0, PASSWORD, &job).unwrap_err();
    assert_eq!(e.code(), Code::Limit);
    assert_eq!(e.limit_and_value().unwrap().0, 1000);
}

#[test]
fn d10_the_place_of_a_keybag_is_checked() {
    let Some(dir) = fixtures("d10_the_place_of_a_keybag_is_checked") else { return };
    let image = encrypted(&dir);
    // The newest superblock, wherever it is in the ring: the field is changed in all.
    for (block, count) in [(0, 0), (1 << 40, 1), (0, 1), (172, 1 << 40), (172, 257), (u64::MAX, 2)]
    {
        let mut copy = image.clone();
        for at in (0..9).map(|n| n * 4096) {
            if &copy[at + 32..at + 36] == b"NXSB" {
                copy[at + 0x510..at + 0x518].copy_from_slice(&u64::to_le_bytes(block));
                copy[at + 0x518..at + 0x520].copy_from_slice(&u64::to_le_bytes(count));
                fix_checksum(&mut copy, 4096, at as u64 / 4096);
            }
        }
        let e = open(&copy).unwrap().unlock(0, PASSWORD, &Job::default()).unwrap_err();
        assert!(matches!(e.code(), Code::ApfsKeybag | Code::LimitMemory), "{block} {count}: {e:?}");
    }
}

#[test]
fn a_container_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Container>();
    shared::<Volume>();
}
