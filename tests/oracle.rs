//! Other programs read our archives: they unpack the same bytes as `mip extract`, and openssl
//! accepts the signature.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::print_stderr,
    reason = "tests"
)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use common::{Identity, contents, has, mip, ok, own_installers, run, shared_files, short};
use mip_testkit::sha256;

/// Tool, arguments before the archive's path; the working folder is the empty target.
const UNPACKERS: &[(&str, &[&str])] = &[
    ("unzip", &["-q"]),
    ("7zz", &["x", "-bd", "-y"]),
    ("bsdtar", &["-xf"]),
    ("python3", &["-m", "zipfile", "-e"]),
];

/// Converts, verifies and unpacks one installer with everything that is installed. `Err` is the
/// code when `mip` refuses the installer.
fn round_trip(installer: &Path, identity: &Identity, work: &Path) -> Result<(), String> {
    let name = installer.display();
    let archive = work.join("a.mip");
    let mut convert = mip();
    convert.arg("convert").arg(installer).arg("-o").arg(&archive).args(identity.options());
    let convert = run(&mut convert);
    if !convert.status.success() {
        assert!(!archive.exists(), "{name}: refused, but there is output");
        let err = String::from_utf8_lossy(&convert.stderr);
        let code = err.strip_prefix("error[").and_then(|e| e.split_once(']'));
        return Err(code.unwrap_or_else(|| panic!("{name}: no code in {err}")).0.to_owned());
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

    let payloads: Vec<&String> = extracted
        .iter()
        .filter(|(p, what)| p.starts_with("payload/") && *what != "folder")
        .map(|(p, _)| p)
        .collect();
    assert_eq!(payloads.len(), 1, "{name}: {payloads:?}");
    payload_is_the_installer(installer, payloads[0], &extracted[payloads[0]], &own, work);

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
    Ok(())
}

/// A package is carried as it is, also out of a zip file; a folder as a tar.gz that holds the
/// same as bsdtar finds in the installer.
fn payload_is_the_installer(
    installer: &Path,
    payload: &str,
    digest: &str,
    extracted: &Path,
    work: &Path,
) {
    let name = installer.display();
    let file = payload.strip_prefix("payload/").unwrap();
    if installer.is_file() {
        let bytes = std::fs::read(installer).unwrap();
        if bytes.starts_with(b"xar!") {
            assert_eq!(digest, sha256(&bytes), "{name}");
            return;
        }
    }
    if !has("bsdtar") {
        return;
    }
    let unpack = |from: &Path, to: &str| {
        let to = work.join(to);
        std::fs::create_dir(&to).unwrap();
        ok(Command::new("bsdtar").arg("-xf").arg(from).current_dir(&to));
        contents(&to)
    };
    let original = if installer.is_dir() {
        let top = installer.file_name().unwrap().to_str().unwrap();
        let inside = contents(installer).into_iter().map(|(p, what)| (format!("{top}/{p}"), what));
        inside.chain([(top.to_owned(), "folder".to_owned())]).collect()
    } else {
        unpack(installer, "original")
    };
    // A zip file that holds the inside of a bundle: the bundle is named after the file.
    let original: BTreeMap<String, String> = if original.contains_key("Contents")
        && let Some(bundle) = file.strip_suffix(".tar.gz")
    {
        let inside = original.into_iter().map(|(p, what)| (format!("{bundle}/{p}"), what));
        inside.chain([(bundle.to_owned(), "folder".to_owned())]).collect()
    } else {
        original
    };
    let Some(bundle) = file.strip_suffix(".tar.gz") else {
        let same = original.iter().any(|(p, d)| p.rsplit('/').next() == Some(file) && d == digest);
        assert!(same, "{name}: {file} is not a member of it");
        return;
    };
    // In the installer the bundle may lie deeper.
    let start = original.keys().find_map(|p| {
        let top = p.strip_suffix(bundle)?;
        (top.is_empty() || top.ends_with('/')).then(|| top.to_owned())
    });
    let start = start.unwrap_or_else(|| panic!("{name}: {bundle} is not in it"));
    let original: BTreeMap<String, String> = original
        .iter()
        .filter_map(|(p, what)| Some((p.strip_prefix(&start)?.to_owned(), what.clone())))
        .filter(|(p, _)| p == bundle || p.starts_with(&format!("{bundle}/")))
        .collect();
    let mut carried = unpack(&extracted.join(payload), "tarball");
    carried.insert(bundle.to_owned(), "folder".to_owned());
    assert_eq!(carried, original, "{name}: {bundle}");
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
            .unwrap_or_else(|e| panic!("{} is refused: {e}", installer.display()));
    }
}

/// Every file of these shared folders converts, except the ones named, which are refused with
/// the code beside them.
fn shared(test: &str, folders: &[&str], refused: &[(&str, &str)]) {
    let Some(fixtures) = mip_testkit::shared::fixtures(test) else { return };
    let dir = tempfile::tempdir().unwrap();
    let identity = Identity::create(dir.path());
    let mut not_converted = Vec::new();
    let files = shared_files(&fixtures, folders);
    for (i, installer) in files.iter().enumerate() {
        let work = dir.path().join(i.to_string());
        std::fs::create_dir(&work).unwrap();
        let name = short(installer, &fixtures);
        if let Err(code) = round_trip(installer, &identity, &work) {
            not_converted.push((name, code));
        }
        std::fs::remove_dir_all(&work).unwrap();
    }
    let not_converted: Vec<_> = not_converted.iter().map(|(n, c)| (*n, c.as_str())).collect();
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
    let refused = [
        // The package in it has no bytes.
        ("app/homebrew-MyFancyPkg.zip", "E_EMPTY"),
        // Two apps side by side; --select chooses.
        ("app/homebrew-caffeine-suite.zip", "E_AMBIGUOUS"),
        // An iOS app.
        ("app/tika-testIPA.ipa", "E_UNSUPPORTED"),
    ];
    shared("shared_apps", &["app"], &refused);
}

/// What is not for us: damaged archives, bare archives, disk images that are locked or hold no
/// installer. Each is refused with a code.
#[test]
fn shared_files_that_are_no_installers_of_ours() {
    let folders =
        ["malformed", "xar", "cpio", "dmg-encrypted", "hfs-raw", "apfs-raw", "nested", "other"];
    let Some(fixtures) =
        mip_testkit::shared::fixtures("shared_files_that_are_no_installers_of_ours")
    else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    for file in shared_files(&fixtures, &folders) {
        let out = dir.path().join("a.mip");
        let mut c = mip();
        c.arg("convert").arg(&file).args(["--unsigned", "-o"]).arg(&out);
        let done = run(&mut c);
        let err = String::from_utf8_lossy(&done.stderr);
        let name = short(&file, &fixtures);
        assert!(!done.status.success(), "{name} was converted");
        assert!(err.starts_with("error[E_"), "{name}: {err}");
        assert!(!out.exists(), "{name}: refused, but there is output");
    }
}
