//! Bytes per second of convert, verify and inspect through the library, without disk: input and
//! output are in memory. `cargo bench --bench throughput [-- MIB [RUNS]]`
//!
//! Whole processes against other tools, with peak memory: `benches/run.py`.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "a bench is a test program"
)]
#![allow(missing_docs)]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mip_base::{Job, MemoryFile, ReadAt, Source};
use mip_core::{Convert, Input, InspectOptions, Output, VerifyPolicy, inspect, verify};
use mip_signing::{Anchors, FileSigner, IdentityOptions, create_identity};
use mip_testkit::app::App;
use mip_testkit::pkg::{Component, Packing, Product};

/// Bytes that no compressor shrinks (xorshift64*), the same in every run.
fn noise(n: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut out = Vec::with_capacity(n + 8);
    while out.len() < n {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        out.extend(state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    out.truncate(n);
    out
}

/// A file in memory that counts the bytes that are read.
#[derive(Debug)]
struct Counted {
    bytes: Vec<u8>,
    read: AtomicU64,
}

impl ReadAt for Counted {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let rest = self.bytes.get(offset as usize..).unwrap_or_default();
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        self.read.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// Median time of `runs` runs after one that does not count.
fn median(runs: usize, mut work: impl FnMut()) -> Duration {
    work();
    let mut times: Vec<Duration> = (0..runs)
        .map(|_| {
            let begin = Instant::now();
            work();
            begin.elapsed()
        })
        .collect();
    times.sort_unstable();
    *times.get(runs / 2).unwrap()
}

fn row(what: &str, bytes: u64, time: Duration, note: &str) {
    let rate = bytes as f64 / 1e6 / time.as_secs_f64();
    println!("| {what} | {:.3} ms | {rate:.0} MB/s | {note} |", time.as_secs_f64() * 1e3);
}

fn main() {
    let numbers: Vec<usize> = std::env::args().filter_map(|a| a.parse().ok()).collect();
    let mib = numbers.first().copied().unwrap_or(128);
    let runs = numbers.get(1).copied().unwrap_or(5).max(1);
    let job = Job::default();

    let app = App::new("Bench", "org.example.Bench", "1.2", "34")
        .icon()
        .file("Contents/Resources/data.bin", 0o644, noise(mib << 20))
        .tree();
    let component = Component::new("org.example.bench.pkg", "1.2")
        .install_location("/Applications")
        .payload(app)
        .bundle("Bench.app", "org.example.Bench", "1.2", "34")
        .packing(Packing::Plain);
    let product = Product::new("Bench").product("org.example.bench", "1.2");
    let package = product.component("bench.pkg", component).flat();
    let counted = Arc::new(Counted { bytes: package, read: AtomicU64::new(0) });
    let size = counted.size();
    let input = Input::source("Bench.pkg", counted.clone() as Source);

    let identity = create_identity(&IdentityOptions::new("bench")).unwrap();
    let signer = FileSigner::from_pem(
        identity.key_pem.as_bytes(),
        identity.certificate_pem.as_bytes(),
        None,
        job.limits(),
    );
    let convert = Convert::new().signer(Arc::new(signer.unwrap()));
    let anchors = Anchors::from_pem(identity.ca_certificate_pem.as_bytes()).unwrap();
    let policy = VerifyPolicy { anchors, ..VerifyPolicy::default() };

    println!("package of {size} bytes, median of {runs} runs\n");
    println!("| work | time | rate | |\n|---|---:|---:|---|");
    counted.read.store(0, Ordering::Relaxed);
    let time = median(runs, || {
        inspect(&input, &InspectOptions::new(), &job).unwrap();
    });
    let read = counted.read.load(Ordering::Relaxed) / (runs as u64 + 1);
    row("inspect", size, time, &format!("reads {read} bytes"));

    let mut archive = Arc::new(MemoryFile::new());
    let time = median(runs, || {
        archive = Arc::new(MemoryFile::new());
        convert.run(&input, &Output::sink(archive.clone()), &job).unwrap();
    });
    row("convert, signed", size, time, "with its own check of the result");

    let signed = Input::source("Bench.mip", archive.clone() as Source);
    let time = median(runs, || {
        verify(&signed, &policy, &job).unwrap();
    });
    row("verify", archive.size(), time, "");

    let folder = tempfile::tempdir().unwrap();
    let text = "let value = other.value(); // words\n".repeat(60);
    let bundle = (0..2000).fold(App::new("Many", "org.example.Many", "1", "2"), |app, i| {
        app.file(&format!("Contents/Resources/d{}/f{i}.txt", i % 50), 0o644, text.clone())
    });
    bundle.tree().write_dir(folder.path()).unwrap();
    let input = Input::path(folder.path().join("Many.app"));
    let time = median(runs, || {
        let sink = Arc::new(MemoryFile::new());
        convert.run(&input, &Output::sink(sink), &job).unwrap();
    });
    row("convert an .app of 2,000 text files", bundle.tree().total(), time, "packed as tar.gz");
}
