//! Reads of every shape, with the cache too small, too large and just right, and from many threads.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs
)]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mip_base::{CancelToken, Code, Job, Limits, ReadAt, SilentProgress, read_full_at};
use mip_testkit::udif::{Image, Pack};
use mip_udif::Udif;

/// Counts the bytes that are read.
struct Counted(Vec<u8>, AtomicU64);

impl ReadAt for Counted {
    fn size(&self) -> u64 {
        self.0.size()
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.0.read_at(offset, buf)?;
        self.1.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

fn job(cache: u64) -> Job {
    let mut limits = Limits::default();
    limits.image_cache = cache;
    Job::new(limits, CancelToken::new(), Arc::new(SilentProgress))
}

/// 60 chunks of 1 to 16 sectors in every codec, in three tables.
fn image() -> Image {
    let mut image = Image::default();
    let mut seed = 1_u32;
    for i in 0..60_usize {
        if i % 20 == 0 {
            image.table(&format!("table {i}"));
        }
        let pack = Pack::ALL[i % Pack::ALL.len()];
        let sectors = i % 16 + 1;
        let zero = matches!(pack, Pack::Zero | Pack::Ignore);
        let data: Vec<u8> = (0..sectors * 512)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                if zero { 0 } else { (seed >> 29) as u8 }
            })
            .collect();
        image.push(pack, &data);
    }
    image
}

#[test]
fn reads_of_every_size_give_the_same_bytes() {
    let image = image();
    let bytes = image.build();
    // No cache, one that holds a chunk or two, and one for all.
    for cache in [0, 9000, 16 << 20] {
        for size in [1, 2, 511, 512, 513, 1000, 4444, 8181, 100_000, 10_000_000] {
            if size == 1 && cache < 16 << 20 {
                continue;
            }
            let udif = Udif::open(Arc::new(bytes.clone()), &job(cache)).unwrap();
            let mut out: Vec<u8> = Vec::new();
            let mut buf = vec![0xEE; size];
            loop {
                let n = udif.read_at(out.len() as u64, &mut buf).unwrap();
                if n == 0 {
                    break;
                }
                assert_eq!(
                    n,
                    size.min(image.disk.len() - out.len()),
                    "reads are as long as can be"
                );
                out.extend(&buf[..n]);
            }
            assert!(out == image.disk, "cache {cache}, size {size}");
        }
    }
}

#[test]
fn random_reads_from_many_threads() {
    let image = image();
    let bytes = image.build();
    for cache in [0, 9000, 16 << 20] {
        let udif = Udif::open(Arc::new(bytes.clone()), &job(cache)).unwrap();
        std::thread::scope(|s| {
            for t in 0..6_u64 {
                let (udif, disk) = (udif.clone(), &image.disk);
                s.spawn(move || {
                    let mut seed = t + 1;
                    let mut buf = vec![0; 20_000];
                    for _ in 0..400 {
                        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        let at = (seed >> 33) as usize % disk.len();
                        let n = (seed >> 20) as usize % buf.len() + 1;
                        let n = udif.read_at(at as u64, &mut buf[..n]).unwrap();
                        assert!(buf[..n] == disk[at..at + n]);
                    }
                });
            }
        });
    }
}

#[test]
fn sequential_readers_in_lockstep() {
    // Several sequential readers at once, each with read-ahead, over more chunks than are kept.
    let chunk: Vec<u8> = (0..64 << 10).map(|i: u32| ((i * 31) >> 3) as u8).collect();
    let mut image = Image::default();
    image.table("t");
    for i in 0..200_u8 {
        let data: Vec<u8> = chunk.iter().map(|b| b ^ i).collect();
        image.push(Pack::Zlib, &data);
    }
    let udif = Udif::open(Arc::new(image.build()), &job(1 << 20)).unwrap();
    std::thread::scope(|s| {
        for size in [4096, 65_536, 100_000, 1 << 20] {
            let (udif, disk) = (&udif, &image.disk);
            s.spawn(move || {
                let mut buf = vec![0; size];
                let mut at = 0;
                while at < disk.len() {
                    let n = udif.read_at(at as u64, &mut buf).unwrap();
                    assert!(n > 0 && buf[..n] == disk[at..at + n], "{size} at {at}");
                    at += n;
                }
            });
        }
    });
}

#[test]
fn a_small_read_costs_the_chunk_that_it_touches() {
    let image = image();
    let counted = Arc::new(Counted(image.build(), AtomicU64::new(0)));
    let udif = Udif::open(counted.clone(), &job(16 << 20)).unwrap();
    let opened = counted.1.swap(0, Ordering::Relaxed);
    let list = udif.trailer().plist.1;
    assert_eq!(opened, 512 + list, "opening reads the trailer and the list");
    let chunk = image.tables[1].chunks[3];
    let mut buf = [0; 10];
    let at = (image.tables[1].first_sector + chunk.start) * 512;
    for i in 0..3 {
        udif.read_at(at + i, &mut buf).unwrap();
    }
    // Read once, then kept.
    assert_eq!(counted.1.load(Ordering::Relaxed), chunk.length);
}

#[test]
fn a_chunk_that_several_threads_want_is_decoded_once() {
    let data: Vec<u8> = (0..8 << 20).map(|i: u32| (i >> 9) as u8).collect();
    let image = Image::of(&[(Pack::Zlib, &data)]);
    let counted = Arc::new(Counted(image.build(), AtomicU64::new(0)));
    let udif = Udif::open(counted.clone(), &job(16 << 20)).unwrap();
    counted.1.store(0, Ordering::Relaxed);
    std::thread::scope(|s| {
        for i in 0..8_usize {
            let (udif, disk) = (&udif, &image.disk);
            s.spawn(move || {
                let mut buf = [0; 100];
                udif.read_at((i * 1_000_000) as u64, &mut buf).unwrap();
                assert_eq!(buf, disk[i * 1_000_000..][..100]);
            });
        }
    });
    assert_eq!(counted.1.load(Ordering::Relaxed), image.tables[0].chunks[0].length);
    // Larger than the whole cache, and kept all the same.
    let udif = Udif::open(counted.clone(), &job(0)).unwrap();
    counted.1.store(0, Ordering::Relaxed);
    for i in 0..100 {
        udif.read_at(i, &mut [0; 1]).unwrap();
    }
    assert_eq!(counted.1.load(Ordering::Relaxed), image.tables[0].chunks[0].length);
}

#[test]
fn errors_come_after_the_good_bytes() {
    let mut image = image();
    let chunk = image.tables[0].chunks[4];
    assert_eq!(chunk.kind, 0x8000_0005);
    image.data[chunk.offset as usize] ^= 0xFF;
    let udif = Udif::open(Arc::new(image.build()), &job(16 << 20)).unwrap();
    let good = chunk.start as usize * 512;
    let mut buf = vec![0; image.disk.len()];
    assert_eq!(udif.read_at(0, &mut buf).unwrap(), good);
    assert!(buf[..good] == image.disk[..good]);
    let e = read_full_at(&udif, 0, &mut buf, Code::InputIo).unwrap_err();
    assert_eq!(e.code(), Code::DmgChunk);
    // Every time, not once.
    for _ in 0..3 {
        assert!(udif.read_at(good as u64, &mut buf[..10]).is_err());
    }
    let after = (chunk.start + chunk.sectors) as usize * 512;
    read_full_at(&udif, after as u64, &mut buf[after..], Code::InputIo).unwrap();
    assert!(buf[after..] == image.disk[after..]);
}

#[test]
fn all_decoded_bytes_are_charged() {
    let image = image();
    let mut limits = Limits::default();
    limits.expanded_bytes = image.disk.len() as u64 / 2;
    let job = Job::new(limits, CancelToken::new(), Arc::new(SilentProgress));
    let udif = Udif::open(Arc::new(image.build()), &job).unwrap();
    let mut buf = vec![0; image.disk.len()];
    let e = read_full_at(&udif, 0, &mut buf, Code::InputIo).unwrap_err();
    assert_eq!(e.code(), Code::LimitExpanded);
}
