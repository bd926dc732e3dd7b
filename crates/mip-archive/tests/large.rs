//! Past 4 GiB, without 4 GiB of memory or disk.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

mod common;

use std::collections::HashMap;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Instant;

use common::{check, path, product, sign};
use mip_archive::{Archive, EntryRole, VerifyDepth, VerifyOptions, Writer, list_unverified};
use mip_base::{Cursor, Job, ReadAt, Source, WriteAt};

const PAGE: usize = 1 << 16;

/// A file that keeps only pages with a byte other than zero, and counts what is read.
#[derive(Default)]
struct Sparse {
    pages: RwLock<HashMap<u64, Box<[u8]>>>,
    len: AtomicU64,
    read: AtomicU64,
}

impl ReadAt for Sparse {
    fn size(&self) -> u64 {
        self.len.load(Ordering::Relaxed)
    }
    fn read_at(&self, at: u64, buf: &mut [u8]) -> io::Result<usize> {
        let within = (at % PAGE as u64) as usize;
        let n = buf.len().min(PAGE - within).min(self.size().saturating_sub(at) as usize);
        match self.pages.read().unwrap().get(&(at / PAGE as u64)) {
            Some(page) => buf[..n].copy_from_slice(&page[within..within + n]),
            None => buf[..n].fill(0),
        }
        self.read.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

impl WriteAt for Sparse {
    fn write_all_at(&self, mut at: u64, mut buf: &[u8]) -> io::Result<()> {
        static ZEROS: [u8; PAGE] = [0; PAGE];
        while !buf.is_empty() {
            let within = (at % PAGE as u64) as usize;
            let (now, rest) = buf.split_at(buf.len().min(PAGE - within));
            let number = at / PAGE as u64;
            let known = self.pages.read().unwrap().contains_key(&number);
            if known || now != &ZEROS[..now.len()] {
                let mut pages = self.pages.write().unwrap();
                let page = pages.entry(number).or_insert_with(|| vec![0; PAGE].into());
                page[within..within + now.len()].copy_from_slice(now);
            }
            at += now.len() as u64;
            buf = rest;
            self.len.fetch_max(at, Ordering::Relaxed);
        }
        Ok(())
    }
}

#[test]
fn past_4_gib() {
    let job = Job::default();
    let file = Arc::new(Sparse::default());
    let size = (4 << 30) + 5;
    let mut w = Writer::new(file.clone(), product(), &job).unwrap();
    w.add(&path("Info.plist"), EntryRole::Metadata, 0o644, b"<plist/>\n").unwrap();
    let stored = w.payload(&path("payload/Big.dmg"), 0o644, &mut io::repeat(0).take(size)).unwrap();
    assert_eq!(stored.size, size);
    let written = w.finish(Some(&mut sign)).unwrap();
    assert_eq!(written.len, file.size());
    // Nothing else runs in this process: its peak is the writer's.
    match std::fs::read_to_string("/proc/self/status") {
        Err(_) => eprintln!("SKIPPED the memory check of past_4_gib: no /proc/self/status"),
        Ok(status) => {
            let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
            let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
            assert!(kib < 48 << 10, "peak memory {kib} KiB");
        }
    }
    assert!(file.pages.read().unwrap().len() < 20);

    let open = || Archive::open(file.clone() as Source, &job).unwrap();

    // Partial: a small entry costs its own block and the headers.
    file.read.store(0, Ordering::Relaxed);
    let (archive, ()) = open().verify_index_only(check, &job).unwrap();
    let plist = archive.index().find("Info.plist").unwrap();
    assert_eq!(archive.read_entry(plist, 100, &job).unwrap(), b"<plist/>\n");
    let read = file.read.load(Ordering::Relaxed);
    assert!(read < (1 << 20) + archive.index_bytes().len() as u64 + 20_000, "{read} bytes read");

    // Everything, at both depths.
    for depth in [VerifyDepth::Blocks, VerifyDepth::Full] {
        let options = VerifyOptions::default().threads(2).depth(depth);
        let start = Instant::now();
        open().verify_with(check, &options, &job).unwrap();
        eprintln!("{:?}: {:?}", options.depth, start.elapsed());
    }

    // Other readers, which must use the ZIP64 values.
    let listed = list_unverified(file.clone(), &job).unwrap();
    assert_eq!((listed[1].size, listed[3].header_offset > 4 << 30), (size, true));
    let mut zip = zip::ZipArchive::new(Cursor::new(file.clone())).unwrap();
    let payload = zip.by_name("payload/Big.dmg").unwrap();
    assert_eq!((payload.size(), payload.crc32()), (size, stored.crc32));
    drop(payload);
    let mut index = Vec::new();
    zip.by_name("META-MIP/index.bin").unwrap().read_to_end(&mut index).unwrap();
    assert!(index == archive.index_bytes());

    // Tools, on a sparse file on disk.
    let dir = tempfile::tempdir().unwrap();
    let disk = dir.path().join("big.mip");
    let mut out = std::fs::File::create(&disk).unwrap();
    out.set_len(file.size()).unwrap();
    for (number, page) in &*file.pages.read().unwrap() {
        let at = number * PAGE as u64;
        let n = page.len().min((file.size() - at) as usize);
        out.seek(SeekFrom::Start(at)).unwrap();
        out.write_all(&page[..n]).unwrap();
    }
    drop(out);
    let disk = disk.to_str().unwrap();
    let python = "import sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); \
                  assert z.infolist()[1].file_size == 2**32 + 5; \
                  sys.stdout.buffer.write(z.read('META-MIP/index.bin'))";
    for (tool, args) in [
        ("unzip", ["-p", disk, "META-MIP/index.bin"].as_slice()),
        ("7zz", &["x", "-so", disk, "META-MIP/index.bin"]),
        ("bsdtar", &["-xOf", disk, "META-MIP/index.bin"]),
        ("python3", &["-c", python, disk]),
    ] {
        match Command::new(tool).args(args).output() {
            Err(e) => eprintln!("SKIPPED {tool} in past_4_gib: {e}"),
            Ok(out) => {
                assert!(out.status.success(), "{tool}: {}", String::from_utf8_lossy(&out.stderr));
                assert!(out.stdout == index, "{tool}");
            }
        }
    }
}
