//! What the test files share.
#![allow(dead_code, clippy::unwrap_used, clippy::panic, missing_docs)]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use mip_base::{Job, Result, Source};
use mip_codesign::{Check, CodeSignature, Special, check_image, check_program};

/// A moment in November 2026.
pub(crate) const NOW: u64 = 1_795_000_000;

pub(crate) fn source(bytes: &[u8]) -> Source {
    Arc::new(bytes.to_vec())
}

pub(crate) fn program_with(bytes: &[u8], special: &Special<'_>) -> Result<Vec<CodeSignature>> {
    let (job, budget) = (Job::default(), AtomicU64::new(u64::MAX));
    check_program(&source(bytes), special, &Check { job: &job, at: NOW, budget: &budget })
}

pub(crate) fn program(bytes: &[u8]) -> Vec<CodeSignature> {
    program_with(bytes, &Special::default()).unwrap()
}

pub(crate) fn one(bytes: &[u8]) -> CodeSignature {
    let mut slices = program(bytes);
    assert_eq!(slices.len(), 1);
    slices.remove(0)
}

pub(crate) fn image(bytes: &[u8], range: (u64, u64)) -> CodeSignature {
    let (job, budget) = (Job::default(), AtomicU64::new(u64::MAX));
    check_image(&source(bytes), range, &Check { job: &job, at: NOW, budget: &budget }).unwrap()
}

/// The file `inner` of an archive of the fixtures, by bsdtar; of a package: of its payload, which
/// 7-Zip unpacks.
pub(crate) fn unpack(fixtures: &Path, archive: &str, inner: &str) -> Vec<u8> {
    let file = fixtures.join(archive);
    let mut from = "-".as_ref();
    let mut input = Vec::new();
    if archive.ends_with(".pkg") {
        let args = ["e".as_ref(), "-so".as_ref(), file.as_os_str(), "Payload~".as_ref()];
        input = run("7zz", &args, Vec::new());
    } else {
        from = file.as_os_str();
    }
    run("bsdtar", &["-xOf".as_ref(), from, inner.as_ref()], input)
}

fn run(program: &str, args: &[&std::ffi::OsStr], input: Vec<u8>) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|e| panic!("{program}: {e}"));
    let mut pipe = child.stdin.take().unwrap();
    let feeder = std::thread::spawn(move || drop(pipe.write_all(&input)));
    let out = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    assert!(out.status.success(), "{program} {args:?}");
    out.stdout
}
