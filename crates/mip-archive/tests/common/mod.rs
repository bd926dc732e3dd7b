//! What the tests of this crate share.
#![allow(dead_code)]

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mip_archive::{
    Archive, EntryRole, Product, Unverified, Verified, VerifyOptions, Writer, Written,
};
use mip_base::{Code, EntryPath, Error, Job, MemoryFile, Result, Source};
use sha2::{Digest, Sha256};

/// Entries of the test vectors (docs/mip-format.md, section 9), the payload last.
pub fn vector_entries() -> Vec<(&'static str, u32, Vec<u8>)> {
    vec![
        ("Info.plist", 0o644, include_bytes!("../../../../tests/vectors/Info.plist").to_vec()),
        ("icon.png", 0o644, b"\x89PNG\r\n\x1a\n".to_vec()),
        ("scripts/detection.sh", 0o755, b"#!/bin/sh\nexit 0\n".to_vec()),
        ("scripts/uninstall.sh", 0o755, b"#!/bin/sh\nexit 1\n".to_vec()),
        ("payload/Größe 大.pkg", 0o644, (0..1000).map(|i| (i % 251) as u8).collect()),
    ]
}

pub fn path(p: &str) -> EntryPath {
    EntryPath::new(p, Job::default().limits()).unwrap()
}

pub fn product() -> Product {
    Product { id: "com.example.vector".into(), version: "1.0".into() }
}

/// A stand-in for CMS: only who knows the rule can make it, and any change shows.
pub fn fake_signature(index: &[u8]) -> Vec<u8> {
    Sha256::new().chain_update(b"test signature").chain_update(index).finalize().to_vec()
}

pub fn sign(index: &[u8]) -> Result<Vec<u8>> {
    Ok(fake_signature(index))
}

/// Accepts what [`sign`] made, and nothing else.
pub fn check(index: &[u8], signature: Option<&[u8]>) -> Result<()> {
    match signature {
        Some(s) if s == fake_signature(index) => Ok(()),
        Some(_) => Err(Error::new(Code::MipSignature, "the test signature does not hold")),
        None => Err(Error::new(Code::MipUnsigned, "no test signature")),
    }
}

/// Writes an archive of `entries`, the last of which is the payload.
pub fn write(entries: &[(&str, u32, Vec<u8>)], signed: bool) -> (Vec<u8>, Written) {
    let job = Job::default();
    let out = Arc::new(MemoryFile::new());
    let mut w = Writer::new(out.clone(), product(), &job).unwrap();
    let (payload, small) = entries.split_last().unwrap();
    for (name, mode, data) in small {
        let role = match *name {
            "Info.plist" => EntryRole::Metadata,
            "icon.png" => EntryRole::Icon,
            _ => EntryRole::Script,
        };
        w.add(&path(name), role, *mode, data).unwrap();
    }
    w.payload(&path(payload.0), payload.1, &mut payload.2.as_slice()).unwrap();
    let mut signer = sign;
    let written = w.finish(if signed { Some(&mut signer) } else { None }).unwrap();
    (out.to_vec(), written)
}

/// A small signed archive.
pub fn small() -> Vec<u8> {
    write(&vector_entries(), true).0
}

pub fn open(bytes: Vec<u8>) -> Result<Archive<Unverified>> {
    Archive::open(Arc::new(bytes) as Source, &Job::default())
}

/// Opens and verifies with [`check`] on one thread.
pub fn verify(bytes: Vec<u8>) -> Result<Archive<Verified>> {
    open(bytes)?.verify(check, 1, &Job::default()).map(|(a, ())| a)
}

/// As [`verify`], computing everything again.
pub fn verify_full(bytes: Vec<u8>) -> Result<Archive<Verified>> {
    let options = VerifyOptions::default().depth(mip_archive::VerifyDepth::Full);
    open(bytes)?.verify_with(check, &options, &Job::default()).map(|(a, ())| a)
}

/// Hands out `1`, `2`, … bytes per read, at most `step`.
pub struct Dribble<R> {
    pub inner: R,
    pub step: usize,
}

impl<R: Read> Read for Dribble<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = buf.len().min(self.step);
        self.inner.read(&mut buf[..n])
    }
}

pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/mip")
}
