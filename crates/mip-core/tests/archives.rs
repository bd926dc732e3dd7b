//! Archives that are sound to the last block and yet lie: what verifying, unpacking and signing
//! make of them. Built with the container's own writer, which does not read what it packs.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

use std::sync::Arc;

use mip_archive::{Archive, EntryRole, Index, Product, Writer};
use mip_base::{Code, EntryPath, Job, Limits, MemoryFile};
use mip_core::{
    Access, Input, Level, Output, SignHow, VerifyPolicy, extract, extract_entry, sign, verify,
};
use mip_signing::{Anchors, FileSigner, IdentityOptions, Signer, create_identity, sign_detached};

const PAYLOAD: &str = "payload/Tool.pkg";

fn identity() -> (Arc<dyn Signer>, Anchors) {
    let id = create_identity(&IdentityOptions::new("test")).unwrap();
    let (key, chain) = (id.key_pem.as_bytes(), id.certificate_pem.as_bytes());
    let signer = FileSigner::from_pem(key, chain, None, &Limits::default()).unwrap();
    (Arc::new(signer), Anchors::from_pem(id.ca_certificate_pem.as_bytes()).unwrap())
}

/// An archive of `com.example.tool` 1.0 whose manifest says that it is `manifest_id`.
fn archive(manifest_id: &str) -> Vec<u8> {
    let job = Job::default();
    let path = |p: &str| EntryPath::new(p, job.limits()).unwrap();
    let out = Arc::new(MemoryFile::new());
    let product = Product { id: "com.example.tool".into(), version: "1.0".into() };
    let mut w = Writer::new(out.clone(), product, &job).unwrap();
    let info = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><plist version=\"1.0\"><dict>\
         <key>CFBundleIdentifier</key><string>{manifest_id}</string>\
         <key>CFBundleShortVersionString</key><string>1.0</string>\
         <key>MIPPayloadName</key><string>Tool.pkg</string></dict></plist>"
    );
    w.add(&path("Info.plist"), EntryRole::Metadata, 0o644, info.as_bytes()).unwrap();
    w.payload(&path(PAYLOAD), 0o644, &mut &[5u8; 3000][..]).unwrap();
    w.finish(None).unwrap();
    out.to_vec()
}

/// The same archive, unsigned, with another SHA-256 of the payload in its index.
fn with_a_wrong_digest() -> Vec<u8> {
    let mut bytes = archive("com.example.tool");
    let job = Job::default();
    let old = Archive::open(Arc::new(bytes.clone()), &job).unwrap().index_bytes().to_vec();
    let mut index = Index::decode(&old, job.limits()).unwrap();
    index.entries.last_mut().unwrap().sha256 = [7; 32];
    let new = index.encode().unwrap();
    let at = index.body as usize + 48;
    bytes[at..at + old.len()].copy_from_slice(&new);
    let crc = crc32fast::hash(&new).to_le_bytes();
    bytes[at - 34..at - 30].copy_from_slice(&crc);
    let record = bytes.windows(18).rposition(|w| w == b"META-MIP/index.bin").unwrap() - 46;
    bytes[record + 16..record + 20].copy_from_slice(&crc);
    bytes
}

/// Signs the index as it is, with the container's tail made anew: what a signer does who does
/// not look.
fn signed_blindly(bytes: Vec<u8>, signer: &Arc<dyn Signer>) -> Vec<u8> {
    let job = Job::default();
    let index = Archive::open(Arc::new(bytes.clone()), &job).unwrap().index_bytes().to_vec();
    let cms = sign_detached(signer.as_ref(), &index).unwrap();
    let body = Index::decode(&index, job.limits()).unwrap().body as usize;
    let content = body + 48 + index.len();
    let le16 = |n: usize| (n as u16).to_le_bytes();
    let le32 = |n: usize| (n as u32).to_le_bytes();
    let name = b"META-MIP/signature.p7s";
    let fields = [
        &[45, 0, 0, 8, 0, 0, 0, 0, 0x21, 0][..],
        &crc32fast::hash(&cms).to_le_bytes(),
        &le32(cms.len()),
        &le32(cms.len()),
        &le16(name.len()),
        &[0, 0],
    ]
    .concat();
    let mut out = bytes[..content].to_vec();
    out.extend([b"PK\x03\x04", fields.as_slice(), name, &cms].concat());
    let directory = out.len();
    out.extend(&bytes[content..bytes.len() - 98]);
    let mode = (0o100_644_u32 << 16).to_le_bytes();
    let record = [b"PK\x01\x02", &[45, 3][..], &fields, &[0; 6], &mode, &le32(content), name];
    out.extend(record.concat());
    let len = out.len() - directory;
    let count = 4usize;
    let le64 = |n: usize| (n as u64).to_le_bytes();
    out.extend([b"PK\x06\x06", &le64(44)[..], &[45, 3, 45, 0], &[0; 8]].concat());
    out.extend([le64(count), le64(count), le64(len), le64(directory)].concat());
    out.extend([b"PK\x06\x07", &[0; 4][..], &le64(directory + len), &le32(1)].concat());
    out.extend([b"PK\x05\x06", &[0; 4][..], &le16(count), &le16(count)].concat());
    out.extend([&le32(len)[..], &le32(directory), &[0, 0]].concat());
    out
}

fn input(bytes: &[u8]) -> Input {
    Input::source("x.mip", Arc::new(bytes.to_vec()))
}

fn policy(anchors: &Anchors) -> VerifyPolicy {
    VerifyPolicy { anchors: anchors.clone(), ..VerifyPolicy::default() }
}

fn code<T>(r: mip_base::Result<T>) -> Code {
    r.err().unwrap().code()
}

#[test]
fn a_digest_that_nobody_trusted_vouches_for_is_computed_again() {
    let job = Job::default();
    let (signer, anchors) = identity();
    let lie = with_a_wrong_digest();
    let signed = signed_blindly(lie.clone(), &signer);
    // Unsigned; signed by anyone; signed by somebody whom these anchors do not know.
    let stranger = identity().1;
    assert_eq!(code(verify(&input(&lie), &VerifyPolicy::default(), &job)), Code::MipTampered);
    assert_eq!(code(verify(&input(&signed), &VerifyPolicy::default(), &job)), Code::MipTampered);
    assert_eq!(code(verify(&input(&signed), &policy(&stranger), &job)), Code::MipTampered);
    // The word of a trusted signer is taken: the archive is otherwise sound.
    let v = verify(&input(&signed), &policy(&anchors), &job).unwrap();
    assert_eq!((v.level, v.error().is_none()), (Level::Trusted, true));

    let mut to = Vec::new();
    let one = extract_entry(&input(&lie), PAYLOAD, &mut to, &Access::Unverified, &job);
    assert_eq!(code(one), Code::MipTampered);
    let dir = tempfile::tempdir().unwrap();
    let all = extract(&input(&lie), &dir.path().join("x"), &[], &Access::Unverified, &job);
    assert_eq!(code(all), Code::MipTampered);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_wrong_digest_is_not_signed() {
    let job = Job::default();
    let (signer, _) = identity();
    let lie = with_a_wrong_digest();
    for how in [SignHow::Sign(signer), SignHow::Remove] {
        let out = Output::sink(Arc::new(MemoryFile::new()));
        assert_eq!(code(sign(&input(&lie), &out, &how, &job)), Code::MipTampered);
    }
}

#[test]
fn what_verify_refuses_for_its_manifest_is_not_unpacked() {
    let job = Job::default();
    let (signer, anchors) = identity();
    let other = signed_blindly(archive("com.example.other"), &signer);
    let good = signed_blindly(archive("com.example.tool"), &signer);
    let mut p = policy(&anchors);
    p.expect_id = Some("com.example.tool".into());
    let access = Access::Verified(p.clone());
    let get = |bytes: &[u8]| extract_entry(&input(bytes), PAYLOAD, &mut Vec::new(), &access, &job);

    assert_eq!(verify(&input(&good), &p, &job).unwrap().level, Level::Expected);
    get(&good).unwrap();
    assert_eq!(code(verify(&input(&other), &p, &job)), Code::MipAmbiguous);
    assert_eq!(code(get(&other)), Code::MipAmbiguous);
    let dir = tempfile::tempdir().unwrap();
    let all = extract(&input(&other), &dir.path().join("x"), &[], &access, &job);
    assert_eq!(code(all), Code::MipAmbiguous);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn i18_a_lowest_version_that_says_nothing_is_refused() {
    let job = Job::default();
    let (signer, anchors) = identity();
    let good = signed_blindly(archive("com.example.tool"), &signer);
    let mut p = policy(&anchors);
    for min in ["", " ", "v", "latest", "vv1", "-1", "."] {
        p.min_version = Some(min.into());
        assert_eq!(code(verify(&input(&good), &p, &job)), Code::Usage, "{min:?}");
        let access = Access::Verified(p.clone());
        let e = extract_entry(&input(&good), PAYLOAD, &mut Vec::new(), &access, &job);
        assert_eq!(code(e), Code::Usage, "{min:?}");
    }
    for (min, met) in [("0.9", true), ("v1.0", true), ("1.0.1", false), ("2", false)] {
        p.min_version = Some(min.into());
        let v = verify(&input(&good), &p, &job).unwrap();
        assert_eq!(v.error().is_none(), met, "{min}");
    }
}
