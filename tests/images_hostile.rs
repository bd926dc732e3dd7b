//! Disk images under attack, end to end: mutated images of every kind through `inspect`, and
//! through a listing that reads every file.
//!
//! Everything is deterministic: a failure names the seed and the number of the mutation. Images
//! whose structures carry checksums (APFS) get right ones again after each mutation, so that
//! readers are reached behind them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::print_stderr,
    reason = "tests"
)]

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use mip_core::signing::Password;
use mip_core::{
    CancelToken, Code, Input, InspectOptions, Job, Limits, LookOptions, SilentProgress, files,
    inspect,
};
use mip_testkit::apfs::{Container, Decmpfs, Names, fix_checksum, fletcher64};
use mip_testkit::app::App;
use mip_testkit::crypt::Encryption;
use mip_testkit::tree::Tree;
use mip_testkit::udif::Pack;
use mip_testkit::{apfs, hfs, partition, sparse, udif};

const PASSWORD: &str = "open sesame";
/// Bytes of a block of the APFS seeds.
const BLOCK: usize = 4096;

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

/// One image to mutate.
struct Seed {
    name: &'static str,
    bytes: Vec<u8>,
    /// Where something is that is not zero: most mutations hit there.
    places: Vec<usize>,
    /// Blocks that carry a checksum.
    objects: Vec<usize>,
    locked: bool,
}

impl Seed {
    fn new(name: &'static str, bytes: Vec<u8>) -> Self {
        let places = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
        Self { name, bytes, places, objects: Vec::new(), locked: false }
    }

    /// Of a container of APFS at `start`, whose objects are sealed after each mutation. Data of
    /// files is not mutated: nothing but bytes.
    fn apfs(name: &'static str, bytes: Vec<u8>, start: usize) -> Self {
        let mut seed = Self::new(name, bytes);
        let objects = seed.bytes[start..].chunks_exact(BLOCK).enumerate();
        seed.objects = objects
            .filter(|(_, b)| fletcher64(&b[8..]).to_le_bytes() == b[..8] && b[24..28] != [0; 4])
            .map(|(n, _)| start + n * BLOCK)
            .collect();
        seed.places.retain(|at| seed.objects.iter().any(|o| (*o..*o + BLOCK).contains(at)));
        seed
    }

    fn locked(mut self) -> Self {
        self.locked = true;
        self
    }

    /// Mutation number `n`: flips, edge values of integers, cuts, copies, doubled ranges.
    fn mutant(&self, n: usize) -> Vec<u8> {
        let mut chance = Chance(n as u64);
        let mut bytes = self.bytes.clone();
        // What moves bytes would move the objects away from their checksums.
        let ways = if self.objects.is_empty() { 9 } else { 6 };
        for _ in 0..=chance.below(3) {
            if bytes.len() < 2 {
                break;
            }
            let at = match chance.below(8) {
                0 => chance.below(bytes.len()),
                _ => self.places[chance.below(self.places.len())].min(bytes.len() - 1),
            };
            match chance.below(ways) {
                0 | 1 => bytes[at] ^= 1 << chance.below(8),
                2 => bytes[at] = [0, 1, 0x7F, 0x80, 0xFF][chance.below(5)],
                3 | 4 => {
                    let width = [2, 4, 8][chance.below(3)];
                    let at = at & !(width - 1);
                    let value =
                        [0, 1, 2, 0x7FFF_FFFF, u64::MAX, 1 << 32, u64::MAX / 2][chance.below(7)];
                    let end = (at + width).min(bytes.len());
                    let (le, be) = (value.to_le_bytes(), value.to_be_bytes());
                    let from = if chance.below(2) == 0 { &le[..width] } else { &be[8 - width..] };
                    bytes[at..end].copy_from_slice(&from[..end - at]);
                }
                5 => {
                    let from = self.places[chance.below(self.places.len())].min(bytes.len() - 1);
                    let n = chance.below(64).min(bytes.len() - at.max(from));
                    bytes.copy_within(from..from + n, at);
                }
                6 => drop(bytes.drain(at..(at + 1 + chance.below(600)).min(bytes.len()))),
                7 => bytes.truncate(at),
                _ => {
                    let end = (at + 1 + chance.below(2048)).min(bytes.len());
                    let part = bytes[at..end].to_vec();
                    bytes.splice(at..at, part);
                }
            }
        }
        for object in &self.objects {
            let block = &mut bytes[*object..*object + BLOCK];
            if block[8..] != self.bytes[object + 8..object + BLOCK] {
                fix_checksum(block, BLOCK, 0);
            }
        }
        bytes
    }
}

/// What the volumes hold: an app with what apps have, a package, and files of every kind.
fn app() -> Tree {
    App::new("Tool", "org.example.tool", "1.2", "12").icon().cpus(&[]).framework("Kit").tree()
}

fn package() -> Vec<u8> {
    mip_testkit::pkg::Component::new("org.example.pkg", "3.4")
        .install_location("/Applications")
        .payload(Tree::new().file("tool", 0o755, *b"#!/bin/sh\n"))
        .flat()
}

fn text() -> Vec<u8> {
    b"text that is compressed, text that is compressed. ".repeat(40)
}

fn hfs_volume(name: &str) -> hfs::Volume {
    let (attribute, fork) = Decmpfs::LzvnFork.encode(&text());
    hfs::Volume::new(name)
        .tree("", &app())
        .file("Tool.pkg", package())
        .file("big.bin", (0..40_000u32).map(|n| (n * 7) as u8).collect::<Vec<u8>>())
        .fragment("big.bin", 12)
        .hard_link("again", "Tool.pkg")
        .decmpfs("three", 3, &text())
        .decmpfs("four", 4, &text())
        .decmpfs_encoded("eight", 8, text().len() as u64, &attribute[16..], fork.unwrap())
        .xattr("Tool.pkg", "com.apple.quarantine", *b"0081;0;x;")
        .resource_fork("big.bin", *b"a fork")
        .alias("alias")
}

fn apfs_volume(name: &str, names: Names) -> apfs::Volume {
    apfs::Volume::new(name)
        .names(names)
        .tree("", &app())
        .file("Tool.pkg", package())
        .hard_link("again", "Tool.pkg")
        .clone_of("clone", "Tool.pkg")
        .shared_stream("shared", "Tool.pkg")
        .sparse("sparse", 200_000, &[(65_536, b"in the middle")])
        .decmpfs("three", Decmpfs::ZlibInline, &text())
        .decmpfs("four", Decmpfs::ZlibFork, &text())
        .decmpfs("eight", Decmpfs::LzvnFork, &text())
        .decmpfs("twelve", Decmpfs::LzfseFork, &text())
        .xattr("Tool.pkg", "com.apple.quarantine", b"0081;0;x;")
        .xattr_stream("Tool.pkg", "org.example.stream", b"stream")
}

/// A UDIF image of `disk` in chunks of one kind; zeros are "ignore" chunks.
fn packed(disk: &[u8], pack: Pack) -> Vec<u8> {
    let mut disk = disk.to_vec();
    disk.resize(disk.len().next_multiple_of(512), 0);
    let chunks: Vec<(Pack, &[u8])> = disk
        .chunks(32 * 512)
        .map(|c| (if c.iter().all(|b| *b == 0) { Pack::Ignore } else { pack }, c))
        .collect();
    udif::Image::of(&chunks).build()
}

fn apm(content: &[u8]) -> Vec<u8> {
    let (first, blocks) = (64, content.len().div_ceil(512));
    let entry = |name, kind, first, blocks: usize| partition::ApmEntry {
        name,
        kind,
        first,
        blocks: blocks as u32,
    };
    let entries = [
        entry("Apple", "Apple_partition_map", 1, 63),
        entry("disk image", "Apple_HFS", first, blocks),
    ];
    let mut disk = partition::apm_disk(512, 64 + blocks, 512, 2, &entries);
    let at = first as usize * 512;
    disk[at..at + content.len()].copy_from_slice(content);
    disk
}

fn seeds() -> Vec<Seed> {
    let small = hfs::Volume::new("Small").tree("", &app()).file("Tool.pkg", package()).build();
    let whole = hfs_volume("Whole").build();
    let container = |v: apfs::Volume| Container::new().free_blocks(0).volume(v).build().0;
    let apfs = container(apfs_volume("Data", Names::CaseInsensitive));
    let deep = apfs_volume("Deep", Names::Exact).node_records(4).extent_blocks(1);
    let several = Container::new()
        .free_blocks(0)
        .volume(apfs::Volume::new("Old").file("old", "old"))
        .checkpoint()
        .volume(apfs_volume("One", Names::NormalizationInsensitive))
        .volume(apfs::Volume::new("Two").file("two", "two"))
        .build()
        .0;
    let locked = Encryption { iterations: 2, ..Encryption::new(PASSWORD) };
    let udif = packed(&small, Pack::Zlib);
    vec![
        Seed::new("raw.dmg", packed(&small, Pack::Raw)),
        Seed::new("zlib.dmg", packed(&partition::gpt_disk(&whole), Pack::Zlib)),
        Seed::new("bzip2.dmg", packed(&small, Pack::Bzip2)),
        Seed::new("lzma.dmg", packed(&small, Pack::Lzma)),
        Seed::new("adc.dmg", packed(&apm(&small), Pack::Adc)),
        Seed::new("lzfse.dmg", packed(&small, Pack::Lzfse)),
        Seed::new("hfs.img", whole.clone()),
        Seed::new("hfsx.img", hfs_volume("X").case_sensitive(true).journaled(4096).build()),
        Seed::new("gpt.img", partition::gpt_disk(&small)),
        Seed::new("apm.img", apm(&small)),
        Seed::apfs("apfs.img", apfs.clone(), 0),
        Seed::apfs("deep.img", container(deep), 0),
        Seed::apfs("several.img", several, 0),
        Seed::new("apfs.dmg", packed(&apfs, Pack::Zlib)),
        Seed::new("encrypted.dmg", locked.v2(&udif)).locked(),
        Seed::new("encrypted-1.dmg", locked.v1(&udif)).locked(),
        Seed::new("image.sparseimage", sparse::image(&small, 8192, true)),
    ]
}

/// A job that ends mutants that lie about sizes: reading 8 EiB of zeros is no error as such.
fn job() -> Job {
    let mut limits = Limits::strict();
    limits.expanded_bytes = 16 << 20;
    limits.image_kdf_iterations = 100;
    limits.image_cache = 1 << 20;
    Job::new(limits, CancelToken::new(), Arc::new(SilentProgress))
}

/// Errors that a damaged image may not give, whatever is in it.
fn sound(e: &mip_core::Error, what: &str) {
    assert!(e.code().text().starts_with("E_"), "{what}: {e}");
    assert_ne!(e.code(), Code::Internal, "{what}: {e}");
    assert!(!e.to_string().chars().any(char::is_control), "{what}: {e:?}");
}

/// Lists an image and reads all of its files; the number of entries.
fn read_all(name: &str, bytes: &[u8], locked: bool) -> mip_core::Result<usize> {
    let mut options = LookOptions::new();
    options.sha256 = true;
    options.image_password = locked.then(|| Password::new(PASSWORD.to_owned()));
    let from = Input::source(name, Arc::new(bytes.to_vec()));
    let mut entries = 0;
    let mut count = |_| {
        entries += 1;
        Ok(())
    };
    files(&from, &[], &options, &job(), &mut count)?;
    Ok(entries)
}

/// One hostile image through everything; how the listing ended. Panics when a promise is broken.
fn attack(seed: &Seed, bytes: &[u8], what: &str) -> &'static str {
    let done = catch_unwind(AssertUnwindSafe(|| {
        let mut options = InspectOptions::new();
        options.image_password = seed.locked.then(|| Password::new(PASSWORD.to_owned()));
        options.verify_image = true;
        options.licence_text = true;
        let from = Input::source(seed.name, Arc::new(bytes.to_vec()));
        if let Err(e) = inspect(&from, &options, &job()) {
            sound(&e, what);
        }
        match read_all(seed.name, bytes, seed.locked) {
            Ok(_) => "fine",
            Err(e) => {
                sound(&e, what);
                e.code().text()
            }
        }
    }));
    done.unwrap_or_else(|_| panic!("{what}: panicked"))
}

/// Mutants of each of the 17 seeds.
const MUTANTS: usize = 1500;

#[test]
fn mutated_images_give_errors_or_listings() {
    let seeds = seeds();
    for seed in &seeds {
        // The seed itself is good.
        let entries = read_all(seed.name, &seed.bytes, seed.locked);
        assert!(entries.unwrap_or_else(|e| panic!("{}: {e}", seed.name)) > 10, "{}", seed.name);
    }
    let ends = Mutex::new(BTreeMap::<_, BTreeMap<_, usize>>::new());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|s| {
        for core in 0..cores {
            let (seeds, ends) = (&seeds, &ends);
            s.spawn(move || {
                for n in (core..MUTANTS * seeds.len()).step_by(cores) {
                    let (seed, n) = (&seeds[n % seeds.len()], n / seeds.len());
                    let what = format!("{}, mutation {n}", seed.name);
                    let end = attack(seed, &seed.mutant(n), &what);
                    let mut ends = ends.lock().unwrap();
                    *ends.entry(seed.name).or_default().entry(end).or_default() += 1;
                }
            });
        }
    });
    // Mutants that all end at the first check would show nothing.
    for (name, ends) in ends.into_inner().unwrap() {
        eprintln!("{name}: {ends:?}");
        assert!(ends.contains_key("fine") && ends.len() >= 4, "{name}: {ends:?}");
    }
}
