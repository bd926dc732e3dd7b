//! Generated files: written, or compared with what is in the checkout.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use mip_testkit::tree::{Content, Node, Tree};

use crate::Result;

/// Files and links by their path below the root of the checkout.
#[derive(Default)]
pub(crate) struct Generated(BTreeMap<String, Content>);

impl Generated {
    /// Adds a file.
    pub(crate) fn file(&mut self, path: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.0.insert(path.into(), Content::File(bytes.into()));
    }

    /// Adds a tree below `at`. Modes are not kept: git knows only the executable bit,
    /// which the trees here need nowhere.
    pub(crate) fn tree(&mut self, at: &str, tree: &Tree) {
        for (path, Node { content, .. }) in tree.nodes() {
            if !matches!(content, Content::Dir) {
                self.0.insert(format!("{at}/{path}"), content.clone());
            }
        }
    }

    /// Writes everything that differs from what is there.
    pub(crate) fn write(&self) -> Result<()> {
        for (path, content) in &self.0 {
            if same(path, content) {
                continue;
            }
            let to = root().join(path);
            if let Some(folder) = to.parent() {
                fs::create_dir_all(folder)?;
            }
            match content {
                Content::File(bytes) => fs::write(&to, bytes)?,
                Content::Link(target) => link(target, &to)?,
                Content::Dir => {}
            }
            println!("wrote {path}");
        }
        Ok(())
    }

    /// Fails when a file in the checkout is not the generated one.
    pub(crate) fn check(&self, command: &str) -> Result<()> {
        let stale: Vec<&str> =
            self.0.iter().filter(|(p, c)| !same(p, c)).map(|(p, _)| p.as_str()).collect();
        if stale.is_empty() {
            println!("{} generated files are up to date", self.0.len());
            return Ok(());
        }
        Err(format!("stale: {} (run `cargo xtask {command}`)", stale.join(", ")).into())
    }
}

/// The root of the checkout.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn same(path: &str, content: &Content) -> bool {
    let at = root().join(path);
    match content {
        Content::File(bytes) => {
            !at.is_symlink() && fs::read(&at).is_ok_and(|there| there == *bytes)
        }
        Content::Link(target) => fs::read_link(&at).is_ok_and(|there| there == Path::new(target)),
        Content::Dir => at.is_dir(),
    }
}

#[cfg(unix)]
fn link(target: &str, at: &Path) -> Result<()> {
    if at.is_symlink() {
        fs::remove_file(at)?;
    }
    Ok(std::os::unix::fs::symlink(target, at)?)
}

#[cfg(not(unix))]
fn link(_: &str, at: &Path) -> Result<()> {
    Err(format!("{}: symbolic links are made on Unix only", at.display()).into())
}
