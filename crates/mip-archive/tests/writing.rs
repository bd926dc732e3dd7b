//! Writing: the same bytes whatever the reads, and errors that leave no archive.
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

use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use common::{Dribble, check, open, path, product, sign, small, vector_entries, verify, write};
use mip_archive::{EntryRole, Product, Writer, profile, resign};
use mip_base::{
    CancelToken, Code, Event, Job, Limits, MemoryFile, Phase, Progress, ReadAt, SilentProgress,
    Source, WriteAt,
};

fn writer(job: &Job) -> (Arc<MemoryFile>, Writer) {
    let out = Arc::new(MemoryFile::new());
    let mut w = Writer::new(out.clone(), product(), job).unwrap();
    w.add(&path("Info.plist"), EntryRole::Metadata, 0o644, b"<plist/>\n").unwrap();
    (out, w)
}

fn with_reads(data: &[u8], step: usize) -> Vec<u8> {
    let (out, mut w) = writer(&Job::default());
    let mut input = Dribble { inner: data, step };
    w.payload(&path("payload/x.pkg"), 0o644, &mut input).unwrap();
    w.finish(Some(&mut sign)).unwrap();
    out.to_vec()
}

#[test]
fn k05_read_sizes_do_not_show() {
    let data: Vec<u8> =
        (0..(2 << 20) + 12_345).map(|i: u32| (i.wrapping_mul(i) >> 7) as u8).collect();
    let golden = with_reads(&data, usize::MAX);
    for step in [3, 4096, 65_537, 1 << 20] {
        assert!(with_reads(&data, step) == golden, "{step}");
    }
    let short = &data[..70_000];
    assert!(with_reads(short, 1) == with_reads(short, usize::MAX));
}

#[test]
fn the_order_of_the_calls_does_not_show() {
    let golden = small();
    let out = Arc::new(MemoryFile::new());
    let mut w = Writer::new(out.clone(), product(), &Job::default()).unwrap();
    let entries = vector_entries();
    for n in [3, 1, 0, 2] {
        let role = profile::role_of(entries[n].0).unwrap();
        w.add(&path(entries[n].0), role, entries[n].1, &entries[n].2).unwrap();
    }
    let stored = w.payload(&path(entries[4].0), 0o644, &mut entries[4].2.as_slice()).unwrap();
    assert_eq!(stored.size, 1000);
    let written = w.finish(Some(&mut sign)).unwrap();
    assert!(out.to_vec() == golden);
    let archive = verify(golden).unwrap();
    assert_eq!(archive.package_digest(), written.index_sha256);
    assert_eq!(archive.index(), &written.index);
    assert_eq!(archive.index().payload().unwrap().sha256, stored.sha256);
}

#[test]
fn the_payload_header_may_lie_across_a_block_edge() {
    for size in [(1 << 20) - 200, (1 << 20) - 4200, (1 << 20) - 1, 1 << 20, (2 << 20) - 100] {
        let mut entries = vector_entries();
        entries[1].2 = vec![9; size];
        for payload in [0, 5, (1 << 20) + 3] {
            entries[4].2 = vec![3; payload];
            common::verify_full(write(&entries, true).0).unwrap();
        }
    }
}

#[test]
fn misuse_is_an_error_and_not_an_archive() {
    let job = Job::default();
    let (_, mut w) = writer(&job);
    for (name, role, mode) in [
        ("Info.plist", EntryRole::Metadata, 0o644),
        ("info.plist", EntryRole::Metadata, 0o644),
        ("icon.png", EntryRole::Script, 0o644),
        ("icon.png", EntryRole::Icon, 0o600),
        ("icon.png", EntryRole::Icon, 0o100_644),
        ("payload/x", EntryRole::Payload, 0o644),
        ("META-MIP/index.bin", EntryRole::Script, 0o644),
    ] {
        let e = w.add(&path(name), role, mode, b"").unwrap_err();
        assert_eq!(e.code(), Code::Internal, "{name}");
    }
    assert_eq!(w.finish(None).unwrap_err().code(), Code::Internal);

    let out: Arc<dyn WriteAt> = Arc::new(MemoryFile::new());
    let mut w = Writer::new(out.clone(), product(), &job).unwrap();
    let e = w.payload(&path("payload/x"), 0o644, &mut &b""[..]).unwrap_err();
    assert_eq!(e.code(), Code::Internal, "no Info.plist");
    out.write_all_at(0, b"x").unwrap();
    assert_eq!(Writer::new(out, product(), &job).unwrap_err().code(), Code::OutputPath);
    for id in [String::new(), "x".repeat(256), "a\nb".into()] {
        let product = Product { id, version: "1".into() };
        let e = Writer::new(Arc::new(MemoryFile::new()), product, &job).unwrap_err();
        assert_eq!(e.code(), Code::MetaInvalid);
    }
}

#[test]
fn errors_of_input_output_and_signer_come_through() {
    struct Broken(u64);
    impl Read for Broken {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return Err(mip_base::Error::new(Code::Xz, "inside").into());
            }
            self.0 -= 1;
            Ok(buf.len())
        }
    }
    struct Liar;
    impl Read for Liar {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            Ok(buf.len() + 1)
        }
    }
    struct Full(MemoryFile);
    impl ReadAt for Full {
        fn size(&self) -> u64 {
            self.0.size()
        }
        fn read_at(&self, at: u64, buf: &mut [u8]) -> io::Result<usize> {
            self.0.read_at(at, buf)
        }
    }
    impl WriteAt for Full {
        fn write_all_at(&self, at: u64, buf: &[u8]) -> io::Result<()> {
            if at > 3 << 20 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.0.write_all_at(at, buf)
        }
    }
    let job = Job::default();
    for n in [0, 1, 20] {
        let (_, mut w) = writer(&job);
        let e = w.payload(&path("payload/x"), 0o644, &mut Broken(n)).unwrap_err();
        assert_eq!(e.code(), Code::Xz, "{n}");
        assert_eq!(w.finish(None).unwrap_err().code(), Code::Internal, "after a failed payload");
    }
    let (_, mut w) = writer(&job);
    let e = w.payload(&path("payload/x"), 0o644, &mut Liar).unwrap_err();
    assert_eq!(e.code(), Code::InputIo, "l03");

    let out = Arc::new(Full(MemoryFile::new()));
    let mut w = Writer::new(out, product(), &job).unwrap();
    w.add(&path("Info.plist"), EntryRole::Metadata, 0o644, b"").unwrap();
    let mut zeros = io::repeat(0).take(50 << 20);
    let e = w.payload(&path("payload/x"), 0o644, &mut zeros).unwrap_err();
    assert_eq!(e.code(), Code::OutputIo);

    let (_, mut w) = writer(&job);
    w.payload(&path("payload/x"), 0o644, &mut &b"x"[..]).unwrap();
    let mut refuse = |_: &[u8]| Err(mip_base::Error::new(Code::Key, "no"));
    assert_eq!(w.finish(Some(&mut refuse)).unwrap_err().code(), Code::Key);
    let (_, mut w) = writer(&job);
    w.payload(&path("payload/x"), 0o644, &mut &b"x"[..]).unwrap();
    let mut empty = |_: &[u8]| Ok(Vec::new());
    assert_eq!(w.finish(Some(&mut empty)).unwrap_err().code(), Code::Internal);
}

#[test]
fn l03_a_reader_that_panics_ends_every_thread() {
    struct Panics;
    impl Read for Panics {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            panic!("the caller's reader")
        }
    }
    let (_, mut w) = writer(&Job::default());
    let mut input = (&[1u8; 3 << 20][..]).chain(Panics);
    let run = std::panic::AssertUnwindSafe(|| {
        let _ = w.payload(&path("payload/x"), 0o644, &mut input);
    });
    assert!(std::panic::catch_unwind(run).is_err());
    assert_eq!(w.finish(None).unwrap_err().code(), Code::Internal);
}

#[test]
fn what_a_reader_would_refuse_as_too_large_is_not_written() {
    for name in ["index", "signature"] {
        let mut limits = Limits::default();
        match name {
            "index" => limits.index_bytes = 100,
            _ => limits.cms_bytes = 31,
        }
        let job = Job::new(limits, CancelToken::new(), Arc::new(SilentProgress));
        let (_, mut w) = writer(&job);
        w.payload(&path("payload/x"), 0o644, &mut &b"x"[..]).unwrap();
        let e = w.finish(Some(&mut sign)).unwrap_err();
        assert_eq!(e.code(), Code::Limit);
        assert!(e.message().contains(name), "{e:?}");
    }
    let (_, mut w) = writer(&Job::default());
    let e = w.add(&path("icon.png"), EntryRole::Icon, 0o644, &vec![0; 64 << 20]).unwrap_err();
    assert_eq!(e.code(), Code::Limit);
    for n in 0..254 {
        w.add(&path(&format!("scripts/s{n}")), EntryRole::Script, 0o755, b"").unwrap();
    }
    let e = w.add(&path("scripts/one-more"), EntryRole::Script, 0o755, b"").unwrap_err();
    assert_eq!(e.code(), Code::Internal);
    w.payload(&path("payload/x"), 0o644, &mut &b"x"[..]).unwrap();
    assert_eq!(w.finish(None).unwrap().index.entries.len(), 256);
}

#[test]
fn an_output_with_bytes_in_it_is_refused() {
    let out = Arc::new(MemoryFile::new());
    out.write_all_at(0, b"x").unwrap();
    let e = resign(Arc::new(small()), out, None, &Job::default()).unwrap_err();
    assert_eq!(e.code(), Code::OutputPath);
}

#[test]
fn an_entry_of_another_archive_is_not_handed_out() {
    let (a, b) = (verify(small()).unwrap(), verify(with_reads(b"other", 9)).unwrap());
    let foreign = &b.entries()[1];
    assert_eq!(a.open_entry(foreign).unwrap_err().code(), Code::Internal);
    assert_eq!(a.entry_reader(foreign, &Job::default()).unwrap_err().code(), Code::Internal);
}

#[test]
fn l02_cancelling_stops_writing_and_verifying() {
    struct CancelAfter(CancelToken, Mutex<u32>);
    impl Progress for CancelAfter {
        fn report(&self, event: Event) {
            let mut left = self.1.lock().unwrap();
            if matches!(event, Event::Advanced { .. }) {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    self.0.cancel();
                }
            }
        }
    }
    let cancelling = || {
        let token = CancelToken::new();
        Job::new(Limits::default(), token.clone(), Arc::new(CancelAfter(token, Mutex::new(3))))
    };
    let (_, mut w) = writer(&cancelling());
    let e = w.payload(&path("payload/x"), 0o644, &mut io::repeat(1)).unwrap_err();
    assert_eq!(e.code(), Code::Cancelled);

    let archive = with_reads(&vec![5; 20 << 20], usize::MAX);
    for threads in [1, 2, 9] {
        let opened = open(archive.clone()).unwrap();
        let e = opened.verify(check, threads, &cancelling()).unwrap_err();
        assert_eq!(e.code(), Code::Cancelled);
    }
}

#[test]
fn progress_adds_up() {
    #[derive(Default)]
    struct Count(AtomicU64, AtomicU64, Mutex<Vec<Event>>);
    impl Progress for Count {
        fn report(&self, event: Event) {
            match event {
                Event::Advanced { phase: Phase::Pack, bytes } => {
                    self.0.fetch_add(bytes, Ordering::Relaxed);
                }
                Event::Advanced { phase: Phase::Verify, bytes } => {
                    self.1.fetch_add(bytes, Ordering::Relaxed);
                }
                other => self.2.lock().unwrap().push(other),
            }
        }
    }
    let count = Arc::new(Count::default());
    let job = Job::new(Limits::default(), CancelToken::new(), count.clone());
    let (out, mut w) = writer(&job);
    let size = (5 << 20) + 17;
    w.expect_payload(size);
    w.payload(&path("payload/x"), 0o644, &mut io::repeat(1).take(size)).unwrap();
    let written = w.finish(Some(&mut sign)).unwrap();
    open(out.to_vec()).unwrap().verify(check, 2, &job).unwrap();
    assert_eq!(count.0.load(Ordering::Relaxed), size);
    assert_eq!(count.1.load(Ordering::Relaxed), written.index.body);
    let total = |phase, total| Event::Started { phase, total: Some(total) };
    let events = count.2.lock().unwrap();
    assert_eq!(events[0], total(Phase::Pack, size));
    assert_eq!(events[1], Event::Finished { phase: Phase::Pack });
    assert_eq!(events[2], total(Phase::Verify, written.index.body));
    assert_eq!(events[3], Event::Finished { phase: Phase::Verify });
}

#[test]
fn resign_adds_replaces_and_removes() {
    let job = Job::default();
    let (unsigned, written) = write(&vector_entries(), false);
    let signed = small();
    let again = |bytes: &[u8], signer: Option<mip_archive::Sign<'_>>| {
        let out = Arc::new(MemoryFile::new());
        let w = resign(Arc::new(bytes.to_vec()) as Source, out.clone(), signer, &job).unwrap();
        assert_eq!((w.index_sha256, &w.index), (written.index_sha256, &written.index));
        assert_eq!(w.len, out.size());
        out.to_vec()
    };
    assert!(again(&unsigned, Some(&mut sign)) == signed);
    assert!(again(&signed, None) == unsigned);
    let mut long = |_: &[u8]| Ok(vec![7; 5000]);
    let other = again(&signed, Some(&mut long));
    let body = written.index.body as usize;
    assert!(other[..body] == signed[..body] && other.len() > signed.len());
    assert!(again(&other, Some(&mut sign)) == signed);
}

#[test]
fn every_thread_count_finds_the_changed_block() {
    let mut archive = with_reads(&vec![5; 12 << 20], usize::MAX);
    archive[(7 << 20) + 99] ^= 4;
    for threads in [0, 1, 2, 7, 1000] {
        let opened = open(archive.clone()).unwrap();
        let e = opened.verify(check, threads, &Job::default()).unwrap_err();
        assert_eq!((e.code(), e.offset()), (Code::MipTampered, Some(7 << 20)), "{threads}");
        assert_eq!(e.path().as_deref(), Some("payload/x.pkg"));
    }
    // Partial: the small entry is fine, the payload is refused where it was changed.
    let job = Job::new(Limits::default(), CancelToken::new(), Arc::new(SilentProgress));
    let (archive, ()) = open(archive).unwrap().verify_index_only(check, &job).unwrap();
    let entries = archive.entries();
    assert_eq!(archive.read_entry(&entries[0], 100, &job).unwrap(), b"<plist/>\n");
    let mut read = Vec::new();
    let e = archive.open_entry(&entries[1], &job).unwrap().read_to_end(&mut read).unwrap_err();
    assert_eq!(mip_base::Error::from_io(Code::InputIo, "", e).code(), Code::MipTampered);
    assert_eq!(read.len() as u64, (7 << 20) - entries[1].offset);
    let e = archive.read_entry(&entries[0], 8, &job).unwrap_err();
    assert_eq!(e.code(), Code::LimitMemory);
}
