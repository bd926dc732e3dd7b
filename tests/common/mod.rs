//! What the tests over the whole program share: running `mip` and other tools, comparing folders.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use mip_testkit::sha256;

/// The root of the checkout.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// `mip` with a quiet, fixed environment.
pub(crate) fn mip() -> Command {
    let mut c = Command::new(env!("CARGO_BIN_EXE_mip"));
    for name in ["MIP_SIGN_KEY", "MIP_SIGN_CERT", "MIP_SIGN_P12"] {
        c.env_remove(name);
    }
    c
}

/// Runs a command; it must not end by a signal or a panic.
pub(crate) fn run(c: &mut Command) -> Output {
    let out = c.output().unwrap_or_else(|e| panic!("{c:?}: {e}"));
    let status = out.status.code().unwrap_or_else(|| panic!("{c:?}: {}", out.status));
    let err = String::from_utf8_lossy(&out.stderr);
    assert!(status != 101 && status != 70 && !err.contains("panicked"), "{c:?}: {err}");
    out
}

/// Runs a command that must succeed; gives its stdout.
pub(crate) fn ok(c: &mut Command) -> String {
    let out = run(c);
    let err = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{c:?}: {}: {err}", out.status);
    String::from_utf8(out.stdout).unwrap()
}

/// Whether a program can be started; says on stderr when not.
pub(crate) fn has(tool: &str) -> bool {
    let there = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|d| d.join(tool).is_file()));
    if !there {
        eprintln!("SKIPPED {tool}: not installed");
    }
    there
}

/// A throw-away authority and signing identity, made by `mip` in `dir/identity`.
pub(crate) struct Identity(PathBuf);

impl Identity {
    pub(crate) fn create(dir: &Path) -> Self {
        let at = dir.join("identity");
        ok(mip().args(["identity", "create", "--out"]).arg(&at));
        Self(at)
    }

    pub(crate) fn anchor(&self) -> PathBuf {
        self.0.join("ca.pem")
    }

    /// The options that sign with it.
    pub(crate) fn options(&self) -> [std::ffi::OsString; 4] {
        let (key, cert) = (self.0.join("key.pem"), self.0.join("identity.pem"));
        ["--sign-key".into(), key.into(), "--sign-cert".into(), cert.into()]
    }
}

/// What a folder holds: path to kind and digest, or link target.
pub(crate) fn contents(folder: &Path) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(at) = open.pop() {
        for entry in std::fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
            let kind = std::fs::symlink_metadata(&path).unwrap().file_type();
            let what = if kind.is_symlink() {
                format!("link {}", std::fs::read_link(&path).unwrap().display())
            } else if kind.is_dir() {
                open.push(path);
                "folder".to_owned()
            } else {
                sha256(&std::fs::read(&path).unwrap())
            };
            out.insert(name, what);
        }
    }
    out
}

/// Our own fixtures that can be converted: the installer files, and the app in a folder.
pub(crate) fn own_installers() -> Vec<PathBuf> {
    let at = root().join("fixtures");
    [
        "pkg/component-with-app/Sample.pkg",
        "pkg/distribution/Sample.pkg",
        "pkg/scripts-only/Enroll.pkg",
        "pkg/bundle-style/Old.pkg.zip",
        "app/folder/Sample.app",
        "app/zip/Sample.app.zip",
        "app/tar-gz/Sample.app.tar.gz",
    ]
    .iter()
    .map(|p| at.join(p))
    .collect()
}

/// The files of some folders of the shared fixtures, sorted.
pub(crate) fn shared_files(dir: &Path, folders: &[&str]) -> Vec<PathBuf> {
    let mut out: Vec<PathBuf> = folders
        .iter()
        .flat_map(|f| std::fs::read_dir(dir.join(f)).unwrap())
        .map(|e| e.unwrap().path())
        .collect();
    out.sort();
    out
}

/// `file` relative to `dir`, for messages.
pub(crate) fn short<'a>(file: &'a Path, dir: &Path) -> &'a str {
    file.strip_prefix(dir).unwrap_or(file).to_str().unwrap()
}
