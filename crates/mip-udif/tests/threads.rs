//! When threads are started, and that they end. Alone in its process, so that it can count them.
#![cfg(target_os = "linux")]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    missing_docs
)]

use std::sync::Arc;

use mip_base::{Job, ReadAt as _};
use mip_testkit::udif::{Image, Pack};
use mip_udif::Udif;

/// Threads of this process that read ahead.
fn threads() -> usize {
    let all = std::fs::read_dir("/proc/self/task").unwrap();
    let names = all.filter_map(|t| std::fs::read_to_string(t.ok()?.path().join("comm")).ok());
    names.filter(|n| n.trim() == "udif-ahead").count()
}

#[test]
fn threads_start_with_a_sequence_and_end_with_the_image() {
    let data: Vec<u8> = (0..64 << 10).map(|i: u32| (i >> 6) as u8).collect();
    let mut image = Image::default();
    image.table("t");
    for _ in 0..40 {
        image.push(Pack::Zlib, &data);
    }
    let udif = Udif::open(Arc::new(image.build()), &Job::default()).unwrap();
    let chunk = data.len() as u64;
    let mut buf = [0; 4096];
    // Here and there; within one chunk; two in a row.
    for at in [0, 30, 3, 20, 10, 11, 5] {
        for i in 0..4 {
            udif.read_at(at * chunk + i * 4096, &mut buf).unwrap();
        }
    }
    udif.verify(2, &Job::default()).unwrap();
    assert_eq!(threads(), 0, "small reads start no threads");
    for at in 12..20 {
        udif.read_at(at * chunk, &mut buf).unwrap();
    }
    let cores = std::thread::available_parallelism().unwrap().get();
    let expect = if cores == 1 { 0 } else { cores.min(4) };
    // A thread has its name a moment after it was started.
    for _ in 0..200 {
        if threads() == expect {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(threads(), expect);
    let clone = udif.clone();
    drop(udif);
    assert_eq!(threads(), expect, "a clone still reads");
    drop(clone);
    // The kernel takes a joined thread off its list a moment later.
    for _ in 0..200 {
        if threads() == 0 {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(threads(), 0);
}
