//! Other programs read our archives: they unpack the same bytes as `mip extract`, and openssl
//! accepts the signature.

#![cfg(unix)]
#![allow(clippy::indexing_slicing)]

mod common;

use std::path::Path;
use std::process::Command;

use common::{Identity, contents, has, mip, ok, own_installers, run, sha256, shared_files, short};

/// Tool, arguments before the archive's path; the working folder is the empty target.
const UNPACKERS: &[(&str, &[&str])] = &[
    ("unzip", &["-q"]),
    ("7zz", &["x", "-bd", "-y"]),
    ("bsdtar", &["-xf"]),
    ("python3", &["-m", "zipfile", "-e"]),
];

/// Converts, verifies and unpacks one installer with everything that is installed. `None` when
/// `mip` refuses the installer; then the refusal must be a proper one.
fn round_trip(installer: &Path, identity: &Identity, work: &Path) -> Option<()> {
    let name = installer.display();
    let archive = work.join("a.mip");
    let convert =
        run(mip().arg("convert").arg(installer).arg("-o").arg(&archive).args(identity.options()));
    if !convert.status.success() {
        let err = String::from_utf8_lossy(&convert.stderr);
        assert!(!archive.exists(), "{name}: refused, but there is output");
        assert!(err.contains("E_"), "{name}: no code in {err}");
        return None;
    }
    ok(mip().arg("verify").arg(&archive).arg("--anchor").arg(identity.anchor()));

    let own = work.join("mip");
    ok(mip()
        .arg("extract")
        .arg(&archive)
        .arg("-o")
        .arg(&own)
        .arg("--anchor")
        .arg(identity.anchor()));
    let extracted = contents(&own);

    // An installer file is carried as it is.
    if installer.is_file() {
        let original = sha256(&std::fs::read(installer).unwrap());
        let payloads: Vec<_> = extracted
            .iter()
            .filter(|(p, what)| p.starts_with("payload/") && *what != "folder")
            .collect();
        assert_eq!(payloads.len(), 1, "{name}: {payloads:?}");
        let carried =
            payloads[0].0.rsplit('/').next() == installer.file_name().and_then(|n| n.to_str());
        if carried {
            assert_eq!(*payloads[0].1, original, "{name}");
        } else {
            assert!(payloads[0].0.ends_with(".tar.gz"), "{name}: carried as {}", payloads[0].0);
        }
    }

    for (tool, arguments) in UNPACKERS {
        if !has(tool) {
            continue;
        }
        let to = work.join(format!("by-{tool}"));
        std::fs::create_dir(&to).unwrap();
        let mut c = Command::new(tool);
        c.args(*arguments).arg(&archive).current_dir(&to);
        if *tool == "python3" {
            c.arg(".");
        }
        ok(&mut c);
        let mut by_tool = contents(&to);
        let (index, signature) = (to.join("META-MIP/index.bin"), to.join("META-MIP/signature.p7s"));
        if *tool == "unzip" {
            openssl_accepts(&index, &signature, identity);
        }
        by_tool.retain(|p, _| !p.starts_with("META-MIP"));
        let mut ours = extracted.clone();
        ours.retain(|p, _| !p.starts_with("META-MIP"));
        assert_eq!(by_tool, ours, "{name}: {tool} and mip extract differ");
    }
    Some(())
}

/// `openssl cms -verify` over the index with our authority as the only anchor.
fn openssl_accepts(index: &Path, signature: &Path, identity: &Identity) {
    if !has("openssl") {
        return;
    }
    let verify = |content: &Path| {
        let mut c = Command::new("openssl");
        c.args([
            "cms",
            "-verify",
            "-binary",
            "-inform",
            "DER",
            "-purpose",
            "any",
            "-out",
            "/dev/null",
        ]);
        c.arg("-in").arg(signature).arg("-content").arg(content);
        c.arg("-CAfile").arg(identity.anchor());
        c.output().unwrap()
    };
    let out = verify(index);
    assert!(out.status.success(), "openssl: {}", String::from_utf8_lossy(&out.stderr));
    // The same check can fail: one byte of the index is another.
    let mut bytes = std::fs::read(index).unwrap();
    bytes[7] ^= 1;
    let changed = index.with_extension("changed");
    std::fs::write(&changed, bytes).unwrap();
    assert!(!verify(&changed).status.success(), "openssl accepts another index");
    std::fs::remove_file(changed).unwrap();
}

#[test]
fn our_own_installers() {
    let dir = tempfile::tempdir().unwrap();
    let identity = Identity::create(dir.path());
    for (i, installer) in own_installers().iter().enumerate() {
        let work = dir.path().join(i.to_string());
        std::fs::create_dir(&work).unwrap();
        round_trip(installer, &identity, &work)
            .unwrap_or_else(|| panic!("{} is refused", installer.display()));
    }
}

/// Every file of these shared folders converts, except the ones named.
fn shared(test: &str, folders: &[&str], refused: &[&str]) {
    let Some(fixtures) = mip_testkit::shared::fixtures(test) else { return };
    let dir = tempfile::tempdir().unwrap();
    let identity = Identity::create(dir.path());
    let mut not_converted = Vec::new();
    let files = shared_files(&fixtures, folders);
    for (i, installer) in files.iter().enumerate() {
        let work = dir.path().join(i.to_string());
        std::fs::create_dir(&work).unwrap();
        if round_trip(installer, &identity, &work).is_none() {
            not_converted.push(short(installer, &fixtures));
        }
        std::fs::remove_dir_all(&work).unwrap();
    }
    assert_eq!(not_converted, refused, "of {} files, these are refused", files.len());
}

#[test]
fn shared_flat_packages() {
    shared("shared_flat_packages", &["pkg-flat"], &[]);
}

#[test]
fn shared_signed_packages() {
    shared("shared_signed_packages", &["pkg-signed"], &[]);
}

#[test]
fn shared_old_packages() {
    shared("shared_old_packages", &["pkg-bundle"], &[]);
}

#[test]
fn shared_apps() {
    shared("shared_apps", &["app"], &[]);
}
