//! Sparse images and bundles: golden bytes, shared fixtures, hostile tables.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    missing_docs
)]

mod common;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use common::{Lcg, job, read_every_way, read_in_steps, source, unzip};
use mip_base::{Code, Error, Job, ReadAt as _, Result, Source, read_full_at};
use mip_disk::encrypted::Encrypted;
use mip_disk::sparse::{Bands, band_name, open_bundle, open_image, sniff};
use mip_disk::{partition, volume};
use mip_testkit::crypt::Encryption;
use mip_testkit::sha256;
use mip_testkit::shared::fixtures;
use mip_testkit::sparse::{field, image, info_plist};

/// A disk of `bands` bands of `band` bytes in which every third band is zero.
fn disk(band: usize, bands: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for number in 0..bands {
        for at in 0..band {
            out.push(if number % 3 == 1 { 0 } else { (number * 31 + at / 7 + 1) as u8 });
        }
    }
    out
}

fn open(bytes: Vec<u8>) -> Result<Source> {
    open_image(source(bytes), &Job::default())
}

fn code<T>(result: Result<T>) -> Code {
    match result {
        Ok(_) => panic!("this must fail"),
        Err(e) => e.code(),
    }
}

fn put(image: &mut [u8], at: usize, bytes: &[u8]) {
    image[at..at + bytes.len()].copy_from_slice(bytes);
}

#[derive(Default)]
struct Folder {
    bands: HashMap<String, Vec<u8>>,
    asked: Mutex<Vec<u64>>,
    fail: AtomicUsize,
}

impl Folder {
    fn new(bands: impl IntoIterator<Item = (u64, Vec<u8>)>) -> Arc<Self> {
        let bands = bands.into_iter().map(|(i, b)| (band_name(i), b)).collect();
        Arc::new(Self { bands, ..Self::default() })
    }
}

impl Bands for Folder {
    fn band(&self, index: u64) -> Result<Option<Source>> {
        self.asked.lock().unwrap().push(index);
        if self.fail.load(Ordering::Relaxed) == index as usize + 1 {
            return Err(Error::new(Code::InputIo, "cannot open"));
        }
        Ok(self.bands.get(&band_name(index)).map(|b| source(b.clone())))
    }
}

#[test]
fn an_image_is_the_disk_that_it_was_made_from() {
    for (band, bands) in [(512, 7), (1536, 40), (4096, 9)] {
        for reversed in [false, true] {
            let mut disk = disk(band, bands);
            disk.truncate(disk.len() - 512 * (band / 512 / 2));
            let image = image(&disk, band, reversed);
            assert!(sniff(&image));
            assert!(image.len() < disk.len() + 4096, "holes are not stored");
            assert!(read_every_way(&open(image).unwrap()) == disk);
        }
    }
}

#[test]
fn an_image_of_many_bands_has_several_tables() {
    let disk = disk(512, 4000);
    let image = image(&disk, 512, true);
    assert!(read_in_steps(&open(image.clone()).unwrap(), 70_000).unwrap() == disk);
    // The chain of tables is walked to its end, so cutting it is noticed.
    let next = u64::from_be_bytes(image[20..28].try_into().unwrap()) as usize;
    let mut bad = image.clone();
    bad[next] = b'X';
    assert_eq!(code(open(bad)), Code::Sparse);
    assert_eq!(code(open(image[..next + 10].to_vec())), Code::Truncated);
}

#[test]
fn fixtures_are_what_libmodi_and_7_zip_read() {
    let Some(dir) = fixtures("sparse") else { return };
    let files = unzip(&dir.join("synthetic/syn-hfsplus.sparseimage.zip"));
    let disk = open(files[0].1.clone()).unwrap();
    let bytes = read_every_way(&disk);
    // libmodi (pymodi 20240305) over the same file.
    let golden = "ff8a0090dfc0fd06d7966661e7f442b2514e1491b40fb09559bc636ba5302658";
    assert_eq!(sha256(&bytes), golden);
    assert_eq!(volume::identify(&disk).unwrap(), volume::Kind::HfsPlus);
    assert_eq!(partition::read(&disk, &Job::default()).unwrap().scheme, partition::Scheme::None);

    let files = unzip(&dir.join("sparse/dmgforensic-synthetic.sparsebundle.zip"));
    let file = |name: &str| {
        let name = format!("synthetic.sparsebundle/{name}");
        files.iter().find(|(n, _)| *n == name).unwrap().1.clone()
    };
    let bands = [(0, file("bands/0")), (2, file("bands/2"))];
    let disk = open_bundle(&file("Info.plist"), Folder::new(bands), &Job::default()).unwrap();
    let mut want = file("bands/0");
    want.resize(2048, 0);
    want.extend(file("bands/2"));
    want.resize(3072, 0);
    assert!(read_every_way(&disk) == want);
}

#[test]
fn b16_a_sparse_image_with_lies_in_its_header_is_refused() {
    let good = image(&disk(512, 6), 512, false);
    let cases: &[(usize, &[u8], Code)] = &[
        (0, b"SPRS", Code::Sparse),
        (field::VERSION, &[0, 0, 0, 4], Code::Unsupported),
        (field::BAND, &[0; 4], Code::Sparse),
        (field::SECTORS, &[0; 4], Code::Sparse),
        (field::SECTORS_64, &[0xFF; 8], Code::Sparse),
        (field::LIST, &[0, 0, 0, 7], Code::Sparse),
        (field::LIST, &[0xFF; 4], Code::Sparse),
        (field::LIST, &[0, 0, 0, 3], Code::Sparse), // stored twice
        (field::LIST + 4 * 500, &[0, 0, 0, 2], Code::Truncated),
        (field::NEXT, &[0, 0, 0, 0, 0, 0, 0, 1], Code::Sparse),
        (field::NEXT, &[0, 0, 0, 0, 0, 0, 0x10, 0], Code::Sparse), // into the bands
        (field::NEXT, &[0xFF; 8], Code::Truncated),
        (field::BAND, &[0xFF; 4], Code::Sparse), // more bands than the disk has
    ];
    for (at, bytes, want) in cases {
        let mut bad = good.clone();
        put(&mut bad, *at, bytes);
        assert_eq!(code(open(bad)), *want, "{bytes:?} at {at}");
    }
    for len in [0, 3, 4, 64, 4095] {
        assert_eq!(code(open(good[..len].to_vec())), Code::Truncated, "{len}");
    }
}

#[test]
fn b16_a_cut_band_is_an_error_and_never_zeros() {
    let good = image(&disk(4096, 6), 4096, false);
    let disk = open(good[..good.len() - 100].to_vec()).unwrap();
    let mut buf = vec![0; 4096];
    read_full_at(&disk, 3 * 4096, &mut buf, Code::Internal).unwrap();
    let e = read_full_at(&disk, 5 * 4096, &mut buf, Code::Internal).unwrap_err();
    assert_eq!(e.code(), Code::Truncated);
}

#[test]
fn b16_a_chain_of_empty_tables_ends() {
    // 8000 tables that lead to each other, then a loop back to the first.
    let mut bytes = image(&disk(512, 1), 512, false);
    let first = bytes.len();
    bytes[20..28].copy_from_slice(&(first as u64).to_be_bytes());
    for i in 0..8000_u64 {
        let mut node = vec![0; 4096];
        node[..4].copy_from_slice(b"sprs");
        let next = if i == 7999 { first as u64 } else { first as u64 + 4096 * (i + 1) };
        node[12..20].copy_from_slice(&next.to_be_bytes());
        bytes.extend(node);
    }
    let start = Instant::now();
    assert_eq!(code(open(bytes.clone())), Code::LimitEntries);
    let more = job(|l| l.image_chunks = 100_000_000);
    assert_eq!(code(open_image(source(bytes), &more)), Code::Sparse);
    mip_testkit::not_hanging(start);
}

#[test]
fn b16_holes_cost_nothing_until_they_are_read_and_then_count() {
    let mut bytes = image(&disk(512, 3), 512, false);
    put(&mut bytes, field::BAND, &0x0100_0000_u32.to_be_bytes());
    put(&mut bytes, field::SECTORS_64, &(1_u64 << 54).to_be_bytes());
    put(&mut bytes, field::SECTORS, &[0; 4]);
    put(&mut bytes, field::LIST, &[0; 400]);
    let small = job(|l| l.expanded_bytes = 1 << 20);
    let start = Instant::now();
    let disk = open_image(source(bytes), &small).unwrap();
    assert_eq!(disk.size(), 1 << 63);
    let mut buf = vec![1; 1 << 19];
    for _ in 0..2 {
        read_full_at(&disk, 1 << 60, &mut buf, Code::Internal).unwrap();
    }
    assert!(buf.iter().all(|b| *b == 0));
    let e = read_full_at(&disk, 1 << 61, &mut buf, Code::Internal).unwrap_err();
    assert_eq!(e.code(), Code::LimitExpanded);
    mip_testkit::not_hanging(start);
}

#[test]
fn a_bundle_is_the_disk_that_it_was_made_from() {
    let disk = disk(4096, 40);
    let bands = disk.chunks(4096).zip(0..).filter(|(b, _)| b.iter().any(|x| *x != 0));
    let folder = Folder::new(bands.map(|(b, i)| {
        // Short where it ends in zeros, as the system leaves it.
        let used = b.iter().rposition(|x| *x != 0).unwrap() + 1;
        (i, b[..used].to_vec())
    }));
    let plist = info_plist(4096, disk.len() as u64);
    let bundle = open_bundle(&plist, folder.clone(), &Job::default()).unwrap();
    assert!(folder.asked.lock().unwrap().is_empty(), "nothing is opened before it is read");
    assert!(read_every_way(&bundle) == disk);
    // 40 bands, read in order a few times and backwards once: each is opened once a pass.
    assert!(folder.asked.lock().unwrap().len() <= 40 * 8);
    assert_eq!(band_name(0xAB), "ab");
}

#[test]
fn b16_a_bundle_with_lies_in_its_plist_is_refused() {
    let text = String::from_utf8(info_plist(4096, 8192)).unwrap();
    let job = Job::default();
    let open = |text: &str| code(open_bundle(text.as_bytes(), Folder::new([]), &job));
    for (from, to, want) in [
        ("<integer>4096</integer>", "<integer>0</integer>", Code::Sparse),
        ("<integer>4096</integer>", "<integer>-4096</integer>", Code::Sparse),
        ("<integer>4096</integer>", "<integer>1000</integer>", Code::Sparse),
        ("<integer>4096</integer>", "<string>4096</string>", Code::Sparse),
        ("<integer>4096</integer>", "<integer>99999999999999999999</integer>", Code::Sparse),
        ("<integer>8192</integer>", "<integer>0</integer>", Code::Sparse),
        ("<key>size</key>", "<key>sise</key>", Code::Sparse),
        ("diskimage.sparsebundle", "diskimage.other", Code::Sparse),
        ("<integer>1</integer>", "<integer>3</integer>", Code::Unsupported),
        ("<integer>1</integer>", "<string>\u{1b}[31m</string>", Code::Plist),
    ] {
        assert!(text.contains(from), "{from}");
        assert_eq!(open(&text.replace(from, to)), want, "{to}");
    }
    assert_eq!(open("<plist version=\"1.0\"><array/></plist>"), Code::Sparse);
    assert_eq!(open("nonsense"), Code::Plist);
}

#[test]
fn b16_bands_that_are_too_long_or_fail_are_named() {
    let plist = info_plist(512, 1 << 20);
    let folder = Folder::new([(10, vec![1; 513])]);
    folder.fail.store(12, Ordering::Relaxed);
    let bundle = open_bundle(&plist, folder, &Job::default()).unwrap();
    let read = |at| read_full_at(&bundle, at, &mut [0; 8], Code::Internal).unwrap_err();
    let e = read(5120);
    assert_eq!(e.code(), Code::Sparse);
    assert_eq!(e.path().unwrap(), "bands/a");
    let e = read(5640);
    assert_eq!(e.code(), Code::InputIo);
    assert_eq!(e.path().unwrap(), "bands/b");
}

#[test]
fn an_encrypted_bundle_opens_with_its_token() {
    let recipe = Encryption { key_bits: 128, ..Encryption::new("pw") };
    let disk = disk(4096, 9);
    let blocks = recipe.blocks(&disk);
    let plist = info_plist(4096, disk.len() as u64);
    // The fourth band was never written.
    let bands = blocks.chunks(4096).zip(0_u64..).filter(|(_, i)| *i != 3);
    let folder = Folder::new(bands.map(|(b, i)| (i, b.to_vec())));
    let job = Job::default();
    let bundle = open_bundle(&plist, folder, &job).unwrap();
    // A token knows nothing of the disk's size.
    let token = source(recipe.header(0));
    let image = Encrypted::open_bundle(&token, bundle.clone(), &job).unwrap();
    assert_eq!(image.info().data_size, disk.len() as u64);
    let mut want = disk;
    want[3 * 4096..4 * 4096].fill(0);
    assert!(read_every_way(&image.unlock(b"pw", &job).unwrap()) == want);
    assert_eq!(code(image.unlock(b"wp", &job)), Code::Password);
    let old = source(recipe.v1(&[]));
    assert_eq!(code(Encrypted::open_bundle(&old, bundle.clone(), &job)), Code::Unsupported);
    assert!(Encrypted::open_bundle(&source(vec![1]), bundle, &job).is_err());
}

#[test]
fn an_encrypted_sparse_image_is_unlocked_first() {
    let disk = disk(1024, 20);
    let image = Encryption::new("pw").v2(&image(&disk, 1024, true));
    let job = Job::default();
    let plain = Encrypted::open(source(image), &job).unwrap().unlock(b"pw", &job).unwrap();
    assert!(read_every_way(&open_image(plain, &job).unwrap()) == disk);
}

#[test]
fn mutated_tables_never_panic() {
    let mut random = Lcg(3);
    let good = image(&disk(512, 1200), 512, false);
    for _ in 0..3000 {
        let mut bad = good.clone();
        for _ in 0..=random.below(3) {
            let at = [random.below(80), random.below(bad.len())][random.below(2)];
            bad[at] = [0, 1, 0x7F, 0x80, 0xFF, bad[at] ^ 1][random.below(6)];
        }
        let job = job(|l| l.expanded_bytes = 1 << 20);
        if let Ok(disk) = open_image(source(bad), &job) {
            for at in [0, disk.size() / 2, disk.size() - 1] {
                let _ = disk.read_at(at, &mut [0; 600]);
            }
        }
    }
}
