//! Generated files: written, or compared with what is in the checkout.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use mip_testkit::tree::{Content, Node, Tree};

use crate::Result;

/// Files and links by their path below the root of the checkout.
#[derive(Default)]
pub(crate) struct Generated(BTreeMap<String, Node>);

impl Generated {
    /// Adds a file.
    pub(crate) fn file(&mut self, path: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.0.insert(path.into(), Node { mode: 0o644, content: Content::File(bytes.into()) });
    }

    /// Adds a tree below `at`. Of the modes, the executable bit is kept, as git does.
    pub(crate) fn tree(&mut self, at: &str, tree: &Tree) {
        for (path, node) in tree.nodes() {
            if !matches!(node.content, Content::Dir) {
                self.0.insert(format!("{at}/{path}"), node.clone());
            }
        }
    }

    /// Writes everything that differs from what is there.
    pub(crate) fn write(&self) -> Result<()> {
        for (path, node) in &self.0 {
            if same(path, node) {
                continue;
            }
            let to = root().join(path);
            if let Some(folder) = to.parent() {
                fs::create_dir_all(folder)?;
            }
            match &node.content {
                Content::File(bytes) => {
                    fs::write(&to, bytes)?;
                    set_executable(&to, node.mode & 0o100 != 0)?;
                }
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

fn same(path: &str, node: &Node) -> bool {
    let at = root().join(path);
    match &node.content {
        Content::File(bytes) => {
            !at.is_symlink()
                && fs::read(&at).is_ok_and(|there| there == *bytes)
                && executable(&at).is_none_or(|x| x == (node.mode & 0o100 != 0))
        }
        Content::Link(target) => fs::read_link(&at).is_ok_and(|there| there == Path::new(target)),
        Content::Dir => at.is_dir(),
    }
}

/// Whether the owner may execute the file; `None` where files have no such bit.
#[cfg(unix)]
fn executable(at: &Path) -> Option<bool> {
    use std::os::unix::fs::PermissionsExt as _;
    Some(fs::metadata(at).ok()?.permissions().mode() & 0o100 != 0)
}

#[cfg(not(unix))]
fn executable(_: &Path) -> Option<bool> {
    None
}

#[cfg(unix)]
fn set_executable(at: &Path, yes: bool) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = if yes { 0o755 } else { 0o644 };
    Ok(fs::set_permissions(at, fs::Permissions::from_mode(mode))?)
}

#[cfg(not(unix))]
fn set_executable(_: &Path, _: bool) -> Result<()> {
    Ok(())
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
