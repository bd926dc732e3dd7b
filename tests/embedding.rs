//! The library inside somebody else's process: cancelling, progress, many calls at once, sources
//! that misbehave, and limits.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mip_core::signing::{Anchors, FileSigner, IdentityOptions, Password, create_identity};
use mip_core::{
    CancelToken, Code, Convert, Event, Input, InspectOptions, Job, Kind, Level, Limits, MemoryFile,
    Output, Phase, Progress, ReadAt, SilentProgress, VerifyPolicy, WriteAt, inspect, verify,
};
use mip_testkit::app::App;

fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(path)
}

fn package() -> Vec<u8> {
    std::fs::read(fixture("pkg/component-with-app/Sample.pkg")).unwrap()
}

fn limited(limits: Limits) -> Job {
    Job::new(limits, CancelToken::new(), Arc::new(SilentProgress))
}

/// Zeros that are nowhere.
struct Zeros(u64);

impl ReadAt for Zeros {
    fn size(&self) -> u64 {
        self.0
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.0.saturating_sub(offset).min(buf.len() as u64) as usize;
        buf[..n].fill(0);
        Ok(n)
    }
}

/// An output that keeps nothing but its length.
struct Nowhere(AtomicU64);

impl ReadAt for Nowhere {
    fn size(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
    fn read_at(&self, _: u64, _: &mut [u8]) -> io::Result<usize> {
        Ok(0)
    }
}

impl WriteAt for Nowhere {
    fn write_all_at(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        self.0.fetch_max(offset + buf.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}

/// Cancels, from a thread of its own, some time after the work has begun; keeps the moment.
struct CancelSoon {
    token: CancelToken,
    begun: AtomicU64,
    at: Arc<Mutex<Option<Instant>>>,
}

impl Progress for CancelSoon {
    fn report(&self, event: Event) {
        if matches!(event, Event::Advanced { .. })
            && self.begun.fetch_add(1, Ordering::Relaxed) == 8
        {
            let (token, at) = (self.token.clone(), self.at.clone());
            std::thread::spawn(move || {
                *at.lock().unwrap() = Some(Instant::now());
                token.cancel();
            });
        }
    }
}

/// How long `run` went on after it was cancelled.
fn after_cancel(run: impl FnOnce(&Job) -> mip_core::Result<()>) -> Duration {
    let (token, at) = (CancelToken::new(), Arc::new(Mutex::new(None)));
    let progress = CancelSoon { token: token.clone(), begun: AtomicU64::new(0), at: at.clone() };
    let e = run(&Job::new(Limits::default(), token, Arc::new(progress))).unwrap_err();
    let end = Instant::now();
    assert_eq!((e.code(), e.kind().exit()), (Code::Cancelled, 130));
    end - at.lock().unwrap().unwrap()
}

#[test]
fn cancelling_a_large_conversion_takes_at_most_100_ms() {
    // The best of ten: other tests share the machine's cores.
    let best = (0..10).map(|_| {
        after_cancel(|job| {
            let input = Input::source("large.bin", Arc::new(Zeros(1 << 40)));
            let convert = Convert::new().unsigned().allow_unreadable(true);
            let convert = convert.id("com.example.large").name("Large").version("1");
            let out = Output::sink(Arc::new(Nowhere(AtomicU64::new(0))));
            convert.run(&input, &out, job).map(|_| ())
        })
    });
    let best = best.min().unwrap();
    assert!(best <= Duration::from_millis(100), "{best:?}");
}

/// Keeps every event.
#[derive(Default)]
struct Kept(Mutex<Vec<Event>>);

impl Progress for Kept {
    fn report(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

/// Every phase begins, advances to its total and ends, once, before the next one.
fn phases(run: impl FnOnce(&Job)) -> Vec<(Phase, u64)> {
    let kept = Arc::new(Kept::default());
    run(&Job::new(Limits::default(), CancelToken::new(), kept.clone()));
    let mut open: Option<(Phase, Option<u64>, u64)> = None;
    let mut done: Vec<(Phase, u64)> = Vec::new();
    for event in kept.0.lock().unwrap().iter() {
        match *event {
            Event::Started { phase, total } => {
                assert!(open.is_none(), "{event:?} inside {open:?}");
                assert!(done.iter().all(|d| d.0 != phase), "{phase:?} twice");
                open = Some((phase, total, 0));
            }
            Event::Advanced { phase, bytes } => {
                let (of, total, sum) = open.as_mut().unwrap_or_else(|| panic!("{event:?} alone"));
                assert_eq!(*of, phase);
                *sum += bytes;
                assert!(total.is_none_or(|t| *sum <= t), "{sum} of {total:?}");
            }
            Event::Finished { phase } => {
                let (of, total, sum) = open.take().unwrap_or_else(|| panic!("{event:?} alone"));
                assert_eq!(of, phase);
                assert!(total.is_none_or(|t| sum == t), "{phase:?}: {sum} of {total:?}");
                done.push((phase, sum));
            }
            _ => panic!("{event:?}"),
        }
    }
    assert!(open.is_none(), "{open:?} never ended");
    done
}

#[test]
fn progress_is_monotone_and_complete() {
    let bytes = package();
    let size = bytes.len() as u64;
    let input = Input::source("Sample.pkg", Arc::new(bytes));
    let out = Arc::new(MemoryFile::new());
    let seen = phases(|job| {
        Convert::new().unsigned().run(&input, &Output::sink(out.clone()), job).unwrap();
    });
    assert_eq!(seen.iter().map(|s| s.0).collect::<Vec<_>>(), [Phase::Pack, Phase::Verify]);
    assert_eq!(seen[0].1, size, "a package is carried byte for byte");

    let archive = Input::source("Sample.mip", Arc::new(out.to_vec()));
    let seen = phases(|job| {
        verify(&archive, &VerifyPolicy::default(), job).unwrap();
    });
    assert_eq!(seen.iter().map(|s| s.0).collect::<Vec<_>>(), [Phase::Verify]);

    let seen = phases(|job| {
        let mut to = Vec::new();
        let access = mip_core::Access::Unverified;
        mip_core::extract_entry(&archive, "Info.plist", &mut to, &access, job).unwrap();
    });
    assert_eq!(seen.iter().map(|s| s.0).collect::<Vec<_>>(), [Phase::Extract]);

    let mut options = InspectOptions::new();
    options.hash = true;
    let seen = phases(|job| {
        inspect(&input, &options, job).unwrap();
    });
    assert_eq!(seen, [(Phase::Inspect, size)]);
}

#[test]
fn fifty_conversions_at_once_give_equal_bytes() {
    let convert = Convert::new().unsigned();
    for name in ["pkg/component-with-app/Sample.pkg", "app/zip/Sample.app.zip"] {
        let input = Input::path(fixture(name));
        let all: Vec<Vec<u8>> = std::thread::scope(|scope| {
            let one = |i: usize| {
                let (convert, input) = (convert.clone().threads(1 + i % 3), &input);
                scope.spawn(move || {
                    let out = Arc::new(MemoryFile::new());
                    convert.run(input, &Output::sink(out.clone()), &Job::default()).unwrap();
                    out.to_vec()
                })
            };
            let threads: Vec<_> = (0..50).map(one).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert!(all.iter().all(|a| *a == all[0]), "{name}");
    }
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Says that it read more than was asked for. What it claims is cut to what was asked.
    Lies,
    /// Reports an error.
    Fails,
    /// Gives 0 bytes in the middle.
    Ends,
    /// Gives other bytes from then on.
    Changes,
    Panics,
}

/// A good file that goes wrong at its `from`th read.
struct Faulty {
    bytes: Vec<u8>,
    fault: Fault,
    from: u64,
    reads: AtomicU64,
}

impl ReadAt for Faulty {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.bytes.as_slice().read_at(offset, buf)?;
        if self.reads.fetch_add(1, Ordering::Relaxed) < self.from {
            return Ok(n);
        }
        match self.fault {
            Fault::Lies => Ok(usize::MAX),
            Fault::Fails => Err(io::Error::other("the store is gone")),
            Fault::Ends => Ok(0),
            Fault::Changes => {
                buf[..n].iter_mut().for_each(|b| *b ^= 0x55);
                Ok(n)
            }
            Fault::Panics => panic!("a defect of the caller"),
        }
    }
}

/// Whatever a source does, the call returns an error (or the caller's own panic), and no file
/// appears. Where it does no harm, the archive is a good one.
#[test]
fn sources_that_misbehave_leave_nothing_behind() {
    let good = package();
    for fault in [Fault::Lies, Fault::Fails, Fault::Ends, Fault::Changes, Fault::Panics] {
        let mut failed = 0;
        for from in 0..40 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("out.mip");
            let source = Faulty { bytes: good.clone(), fault, from, reads: AtomicU64::new(0) };
            let input = Input::source("Sample.pkg", Arc::new(source));
            let run = || {
                let convert = Convert::new().unsigned().threads(2);
                convert.run(&input, &Output::file(&path), &Job::default())
            };
            let what = format!("{fault:?} from read {from}");
            match catch_unwind(AssertUnwindSafe(run)) {
                Ok(Ok(_)) => {
                    let archive = Input::path(&path);
                    verify(&archive, &VerifyPolicy::default(), &Job::default()).unwrap();
                    continue;
                }
                Ok(Err(e)) => {
                    let internal = e.kind() == Kind::Internal;
                    assert!(!internal || matches!(fault, Fault::Panics), "{what}: {e}");
                    if matches!(fault, Fault::Fails) {
                        assert_eq!(e.kind(), Kind::InputIo, "{what}: {e}");
                    }
                }
                Err(_) => assert!(matches!(fault, Fault::Panics), "{what}"),
            }
            failed += 1;
            let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
            assert!(left.is_empty(), "{what}: {left:?}");
        }
        // The claim of a liar changes nothing: the bytes were there.
        assert_eq!(failed > 0, !matches!(fault, Fault::Lies), "{fault:?}: {failed} failed");
    }
}

#[test]
fn strict_limits_end_a_bomb_that_the_default_profile_would_read() {
    // 80 MiB of zeros: deflate makes about a thousandth of it.
    let app = App::new("Bomb", "com.example.bomb", "1.0", "1").file(
        "Contents/Resources/zeros",
        0o644,
        vec![0; 80 << 20],
    );
    let input = Input::source("Bomb.tar.gz", Arc::new(app.tree().tar_gz()));
    let e = inspect(&input, &InspectOptions::new(), &limited(Limits::strict())).unwrap_err();
    assert_eq!((e.code(), e.kind()), (Code::LimitExpanded, Kind::Limit));

    let input = Input::source("huge.pkg", Arc::new(Zeros(9 << 30)));
    let e = inspect(&input, &InspectOptions::new(), &limited(Limits::strict())).unwrap_err();
    assert_eq!(e.limit_and_value(), Some((8 << 30, 9 << 30)));
}

type Set = fn(&mut Limits);

/// Every limit that reading an installer meets ends it when it is as low as can be.
#[test]
fn every_limit_of_reading_trips() {
    let flat: &[(&str, Set)] = &[
        ("input_bytes", |l| l.input_bytes = 1),
        ("toc_compressed", |l| l.toc_compressed = 1),
        ("toc_bytes", |l| l.toc_bytes = 1),
        ("toc_files", |l| l.toc_files = 1),
        ("path_bytes_kept", |l| l.path_bytes_kept = 1),
        ("xml_depth", |l| l.xml_depth = 1),
        ("xml_attributes", |l| l.xml_attributes = 0),
        ("xml_text", |l| l.xml_text = 1),
        ("path_bytes", |l| l.path_bytes = 1),
        ("component_bytes", |l| l.component_bytes = 1),
        ("expanded_bytes", |l| l.expanded_bytes = 1),
        ("small_file", |l| l.small_file = 1),
    ];
    let zip: &[(&str, Set)] = &[
        ("entries", |l| l.entries = 1),
        ("path_depth", |l| l.path_depth = 1),
        ("link_bytes", |l| l.link_bytes = 1),
        ("plist_bytes", |l| l.plist_bytes = 1),
        ("plist_depth", |l| l.plist_depth = 0),
        ("plist_visits", |l| l.plist_visits = 1),
    ];
    let link = App::new("Sample", "com.example.sample", "1.0", "1").framework("Part");
    let zipped = link.tree().zip();
    for (name, bytes, cases) in [("Sample.pkg", package(), flat), ("Sample.zip", zipped, zip)] {
        let input = Input::source(name, Arc::new(bytes));
        inspect(&input, &InspectOptions::new(), &Job::default()).unwrap();
        for (limit, set) in cases {
            let mut limits = Limits::default();
            set(&mut limits);
            match inspect(&input, &InspectOptions::new(), &limited(limits)) {
                Err(e) => {
                    assert!(matches!(e.kind(), Kind::Limit | Kind::Policy), "{name} {limit}: {e}")
                }
                Ok(_) => panic!("{name}: {limit} does not end it"),
            }
        }
    }
}

#[test]
fn every_limit_of_keys_and_archives_trips() {
    let password = Password::new("secret".to_owned());
    let mut options = IdentityOptions::new("limits");
    options.pkcs12_password = Some(password.clone());
    let made = create_identity(&options).unwrap();
    let p12 = made.pkcs12.as_deref().unwrap();
    let read = |limits: &Limits| FileSigner::from_pkcs12(p12, Some(&password), limits);
    let signer = Arc::new(read(&Limits::default()).unwrap());
    let keys: &[(&str, Set)] = &[
        ("pkcs12_bytes", |l| l.pkcs12_bytes = 1),
        ("kdf_iterations", |l| l.kdf_iterations = 1),
        ("certificates", |l| l.certificates = 0),
    ];
    for (limit, set) in keys {
        let mut limits = Limits::default();
        set(&mut limits);
        assert_eq!(read(&limits).err().map(|e| e.kind()), Some(Kind::Limit), "{limit}");
    }

    let out = Arc::new(MemoryFile::new());
    let input = Input::source("Sample.pkg", Arc::new(package()));
    let convert = Convert::new().signer(signer);
    convert.run(&input, &Output::sink(out.clone()), &Job::default()).unwrap();
    let archive = Input::source("Sample.mip", Arc::new(out.to_vec()));
    let archives: &[(&str, Set)] = &[
        ("input_bytes", |l| l.input_bytes = 1),
        ("index_bytes", |l| l.index_bytes = 1),
        ("cms_bytes", |l| l.cms_bytes = 1),
        ("certificates", |l| l.certificates = 0),
        ("plist_bytes", |l| l.plist_bytes = 1),
    ];
    for (limit, set) in archives {
        let mut limits = Limits::default();
        set(&mut limits);
        let e = verify(&archive, &VerifyPolicy::default(), &limited(limits)).err();
        assert_eq!(e.map(|e| e.kind()), Some(Kind::Limit), "{limit}");
    }
}

#[test]
fn what_is_missing_or_not_expected_has_a_code_of_its_own() {
    let text = mip_testkit::tree::Tree::new().file("readme.txt", 0o644, "no app");
    let input = Input::source("text.zip", Arc::new(text.zip()));
    let e = inspect(&input, &InspectOptions::new(), &Job::default()).unwrap_err();
    assert_eq!(e.code(), Code::NothingToInstall);

    let input = Input::source("unknown.bin", Arc::new(Zeros(5000)));
    let out = || Output::sink(Arc::new(MemoryFile::new()));
    let convert = Convert::new().unsigned().allow_unreadable(true).id("com.example.x");
    let e = convert.run(&input, &out(), &Job::default()).unwrap_err();
    assert_eq!(e.code(), Code::MissingValue);

    let made = create_identity(&IdentityOptions::new("other")).unwrap();
    let (key, chain) = (made.key_pem.as_bytes(), made.certificate_pem.as_bytes());
    let signer = FileSigner::from_pem(key, chain, None, &Limits::default()).unwrap();
    let out = Arc::new(MemoryFile::new());
    let input = Input::source("Sample.pkg", Arc::new(package()));
    let convert = Convert::new().signer(Arc::new(signer));
    convert.run(&input, &Output::sink(out.clone()), &Job::default()).unwrap();
    let policy = VerifyPolicy {
        anchors: Anchors::from_pem(made.ca_certificate_pem.as_bytes()).unwrap(),
        expect_id: Some("com.example.another".to_owned()),
        ..VerifyPolicy::default()
    };
    let archive = Input::source("Sample.mip", Arc::new(out.to_vec()));
    let found = verify(&archive, &policy, &Job::default()).unwrap();
    assert_eq!(found.level, Level::Trusted);
    assert_eq!(found.error().map(|e| e.code()), Some(Code::Unexpected));
}
