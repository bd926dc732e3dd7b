//! Every real image in the shared fixtures, against independent decoders.
#![allow(
    missing_docs,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use std::path::Path;
use std::sync::Arc;

use mip_base::{Code, FileAt, Job, ReadAt as _, Source, hex, read_full_at};
use mip_testkit::shared::fixtures;
use mip_udif::Udif;
use sha2::{Digest as _, Sha256};

/// The SHA-256 of the decoded disk, by Python's zlib, bz2 and lzma, chunk by chunk; for ADC and
/// LZFSE by libmodi (pymodi 20260902). Where the codecs differ but the disk is one, so is the sum.
const DISKS: &[(&str, &str)] = &[
    (
        "appledmg-example-fat32.dmg",
        "77bbda1f6ee94e7ec29bc0686d4283c8d6a2c6aef75804656d72b20c29720e63",
    ),
    ("autopkg-Test.dmg", "5667beaae573616e272e789a15caa6e14652d27a1284c2034554200f8012bfab"),
    ("dfvfs-hfsplus_zlib.dmg", "c86d3616818e175caca2f6022f49e190e5b1cfe39b2e8f9373119e22aa7eaf58"),
    (
        "dmgforensic-hfsplus_bzip2.dmg",
        "a99720a126a9e6bcbfb7b7b97771942e3f90ce197d507d4b4b1aee588d111f21",
    ),
    (
        "dmgforensic-hfsplus_compressed.dmg",
        "a99720a126a9e6bcbfb7b7b97771942e3f90ce197d507d4b4b1aee588d111f21",
    ),
    (
        "dmgforensic-hfsplus_lzma.dmg",
        "a99720a126a9e6bcbfb7b7b97771942e3f90ce197d507d4b4b1aee588d111f21",
    ),
    (
        "dmgforensic-hfsplus_udro.dmg",
        "a99720a126a9e6bcbfb7b7b97771942e3f90ce197d507d4b4b1aee588d111f21",
    ),
    ("dmgwiz-bzip2.dmg", "1407509ff44696aab011815d84951ad2c53cb7345a71d9803b73817c2d2d83cf"),
    ("dmgwiz-lzfse.dmg", "1407509ff44696aab011815d84951ad2c53cb7345a71d9803b73817c2d2d83cf"),
    ("dmgwiz-lzma.dmg", "1407509ff44696aab011815d84951ad2c53cb7345a71d9803b73817c2d2d83cf"),
    (
        "dmgwiz-non_null_data_offset.dmg",
        "3dabc11a062d044ff75043e6bddeea3821a2fdb9132d3b89d31ecb83bbaf6e7d",
    ),
    ("goapfs-basic.dmg", "bd84d42881d2937376017b9dde384ea3f791278e77f4c9743700827a4e494c75"),
    (
        "goapfs-hfs-basic-adc.dmg",
        "901cb5b1491cfd7c9728e369857d0cd6d266df7b9e1c44a6b3951b5b6006bcab",
    ),
    ("goapfs-hfs-basic.dmg", "901cb5b1491cfd7c9728e369857d0cd6d266df7b9e1c44a6b3951b5b6006bcab"),
    (
        "homebrew-container-apfs.dmg",
        "61833dc9072031966547d12b4aa5faa9f1f74e8f160ee38e2deb5c4c403ff52f",
    ),
    ("homebrew-container.dmg", "c29a633edae75e46c02e311e2af5df472a3299ff3a672963f3457076e98ec8d8"),
    (
        "keramics-hfsplus_lzfse.dmg",
        "5f3091e9c5698a1de3006f3dba629b60c0c88585d0202f1b65cfdca876848aa9",
    ),
    (
        "keramics-hfsplus_lzma.dmg",
        "b144d0fedfa63d6c4dfa65904bca85fda67aa40b166f1d147ef5de28b7db8bc8",
    ),
    (
        "keramics-hfsplus_zlib.dmg",
        "d3fc84894c6a387275cd71087096268873031221db7fd29647de4ddad88316ad",
    ),
    ("plaso-hfsplus_zlib.dmg", "aaa0aeaa062801b1a3abcc3a0695d2739cb6861cbd8d5eaf6ae8f0589d53e0a5"),
    ("plaso-spotlight.12.dmg", "c656e1a65cf28a297e6b5404d403be1d959ea75d91a10372abd7b0f39456cb3b"),
    ("relic-dummy.dmg", "86088b375697793f48601ba54a81e91445679cb79ee881be767fcc8b08c27d07"),
    (
        "sparkle-SparkleTestCodeSignApp.dmg",
        "c45a5fd694b67ef971fd3543a5c27384b223b3a24d6510135e60a9da11dbf2c5",
    ),
    (
        "sparkle-SparkleTestCodeSign_apfs.dmg",
        "af3741de4f094d04b251238d344fa8e95af617bacb232d3955e0406c89e5356d",
    ),
    (
        "sparkle-SparkleTestCodeSign_pkg.dmg",
        "634ffe8a67cec1f85c1e1b84fa1ed6f4dadd6f14f31131558b935a2c2e197d88",
    ),
];

fn open(path: &Path) -> Udif {
    let source: Source = Arc::new(FileAt::open(path).unwrap());
    Udif::open(source, &Job::default()).unwrap_or_else(|e| panic!("{}: {e:?}", path.display()))
}

fn all(test: &str) -> impl Iterator<Item = (&'static str, &'static str, Udif)> {
    let dir = fixtures(test).map(|d| d.join("dmg-udif"));
    let dir = dir.into_iter();
    dir.flat_map(|d| DISKS.iter().map(move |(n, s)| (*n, *s, open(&d.join(n)))))
}

#[test]
fn every_image_is_listed_here() {
    let Some(dir) = fixtures("every_image_is_listed_here") else { return };
    let mut names: Vec<String> = std::fs::read_dir(dir.join("dmg-udif"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, DISKS.iter().map(|d| d.0).collect::<Vec<_>>());
}

#[test]
fn every_disk_is_what_other_decoders_read() {
    for (name, sum, image) in all("every_disk_is_what_other_decoders_read") {
        let mut disk = vec![0xAA; image.size() as usize];
        read_full_at(&image, 0, &mut disk, Code::InputIo).unwrap();
        assert_eq!(hex(&Sha256::digest(&disk)), sum, "{name}");
    }
}

#[test]
fn odd_reads_give_the_same_bytes() {
    for (name, sum, image) in all("odd_reads_give_the_same_bytes") {
        // Sizes around sectors and chunks, in turn; a 64 MiB disk has 16,000 reads.
        let sizes = [1, 511, 512, 513, 4093, 65_537, 3, 1_048_577];
        let (mut at, mut turn) = (0_u64, 0_usize);
        let mut sha = Sha256::new();
        let mut buf = vec![0; 1_048_577];
        while at < image.size() {
            let n = image.read_at(at, &mut buf[..sizes[turn % sizes.len()]]).unwrap();
            assert!(n > 0);
            sha.update(&buf[..n]);
            at += n as u64;
            turn += 1;
        }
        assert_eq!(hex(&sha.finalize()), sum, "{name}");
        assert_eq!(image.read_at(at, &mut buf).unwrap(), 0);
        assert_eq!(image.read_at(u64::MAX, &mut buf).unwrap(), 0);
    }
}

#[test]
fn backwards_and_from_several_threads() {
    for (name, _, image) in all("backwards_and_from_several_threads") {
        let size = image.size() as usize;
        let mut whole = vec![0; size];
        read_full_at(&image, 0, &mut whole, Code::InputIo).unwrap();
        std::thread::scope(|s| {
            for step in [4096, 70_001, 524_288] {
                let (image, whole) = (&image, &whole);
                s.spawn(move || {
                    let mut buf = vec![0; step];
                    for at in (0..size).step_by(step * 3 + 1).rev() {
                        let n = image.read_at(at as u64, &mut buf).unwrap();
                        assert!(n > 0 && buf[..n] == whole[at..at + n], "{name} at {at}");
                    }
                });
            }
        });
    }
}

#[test]
fn every_image_matches_its_own_checksums() {
    for (name, _, image) in all("every_image_matches_its_own_checksums") {
        for threads in [1, 3] {
            let found = image.verify(threads, &Job::default()).unwrap();
            assert_eq!(found.tables_checked, image.tables().len() as u64, "{name}");
            assert_eq!((found.tables_without, found.tables_unknown), (0, 0), "{name}");
            assert_eq!(found.master, Some(true), "{name}");
            // hdiutil's newer writer leaves the checksum of the data fork out.
            let expect = (image.trailer().segment_count == 1).then_some(true);
            assert_eq!(found.data_fork, expect, "{name}");
        }
    }
}

#[test]
fn codecs_and_tables_of_real_images() {
    let images: std::collections::BTreeMap<_, _> =
        all("codecs_and_tables_of_real_images").map(|(n, _, i)| (n, i)).collect();
    let Some(adc) = images.get("goapfs-hfs-basic-adc.dmg") else { return };
    assert_eq!(adc.codecs(), ["ADC"]);
    assert_eq!(images["dmgwiz-lzfse.dmg"].codecs(), ["LZFSE"]);
    assert_eq!(images["dmgwiz-lzma.dmg"].codecs(), ["LZMA"]);
    assert_eq!(images["dmgwiz-bzip2.dmg"].codecs(), ["bzip2"]);
    assert_eq!(images["dmgforensic-hfsplus_udro.dmg"].codecs(), ["raw"]);
    // The table's own data offset is what is not zero in this one.
    let image = &images["dmgwiz-non_null_data_offset.dmg"];
    assert_eq!(image.codecs(), ["raw", "zlib"]);
    let names: Vec<&str> = image.tables().iter().map(|t| t.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "DDM",
            "Apple (Apple_partition_map : 0)",
            "disk image (Apple_HFS : 1)",
            " (Apple_Free : 2)"
        ]
    );
    let hfs = &image.tables()[2];
    assert_eq!((hfs.id, hfs.first_sector, hfs.sectors, hfs.chunks), (1, 64, 7488, 15));
    assert_eq!(hfs.checksum, Some(0x3a83_493f));
    for (name, image) in &images {
        assert!(image.notes().is_empty(), "{name}: {:?}", image.notes());
        let has = image.licence().is_some();
        assert_eq!(has, *name == "sparkle-SparkleTestCodeSignApp.dmg", "{name}");
    }
}

#[test]
fn the_licence_agreement_of_a_real_image() {
    for (_, _, image) in all("the_licence_agreement_of_a_real_image")
        .filter(|i| i.0 == "sparkle-SparkleTestCodeSignApp.dmg")
    {
        let licence = image.licence().unwrap();
        assert!(licence.notes.is_empty(), "{:?}", licence.notes);
        assert_eq!(licence.default_region, Some(0));
        let a = licence.default_agreement().unwrap();
        assert_eq!((a.id, a.region, a.rtf), (5000, Some(0), false));
        assert_eq!(a.language.as_deref(), Some("en-US"));
        assert_eq!(a.name.as_deref(), Some("English"));
        assert_eq!(a.text, "Blah blah blah blah blah blah, ok.. Agree.");
    }
}

/// The fork says the same as the list, in an image that has both.
#[test]
fn the_resource_fork_alone_gives_the_same_disk() {
    let Some(dir) = fixtures("the_resource_fork_alone_gives_the_same_disk") else { return };
    for name in ["dmgwiz-non_null_data_offset.dmg", "sparkle-SparkleTestCodeSignApp.dmg"] {
        let mut bytes = std::fs::read(dir.join("dmg-udif").join(name)).unwrap();
        let trailer = bytes.len() - 512;
        bytes[trailer + 216..trailer + 232].fill(0);
        let image = Udif::open(Arc::new(bytes), &Job::default()).unwrap();
        let mut disk = vec![0; image.size() as usize];
        read_full_at(&image, 0, &mut disk, Code::InputIo).unwrap();
        let sum = DISKS.iter().find(|d| d.0 == name).unwrap().1;
        assert_eq!(hex(&Sha256::digest(&disk)), sum, "{name}");
        let has_licence = name.starts_with("sparkle");
        assert_eq!(image.licence().is_some_and(|l| l.agreements.len() == 1), has_licence);
    }
}

/// A flipped bit in any stored byte is found by `verify`, wherever it is.
#[test]
fn damage_is_found() {
    let Some(dir) = fixtures("damage_is_found") else { return };
    for name in ["autopkg-Test.dmg", "dmgwiz-lzfse.dmg", "dmgforensic-hfsplus_lzma.dmg"] {
        let bytes = std::fs::read(dir.join("dmg-udif").join(name)).unwrap();
        let clean = Udif::open(Arc::new(bytes.clone()), &Job::default()).unwrap();
        let (at, len) = clean.trailer().data_fork;
        for i in (0..len as usize).step_by(97) {
            let mut bytes = bytes.clone();
            bytes[at as usize + i] ^= 1 << (i % 8);
            let image = Udif::open(Arc::new(bytes), &Job::default()).unwrap();
            // The old writer has no checksum of the data fork, and some bytes are in no chunk
            // or say nothing (a compression level, a date): the disk is then the same.
            if image.verify(2, &Job::default()).is_ok() {
                assert!(clean.trailer().data_checksum.is_none(), "{name} byte {i}");
                let (mut a, mut b) =
                    (vec![0; clean.size() as usize], vec![0; clean.size() as usize]);
                read_full_at(&clean, 0, &mut a, Code::InputIo).unwrap();
                read_full_at(&image, 0, &mut b, Code::InputIo).unwrap();
                assert!(a == b, "{name} byte {i}");
            }
        }
    }
}
