//! Folders by path, where the platform has no handles to open from (Windows). A reparse point
//! is looked at, never followed, but one that replaces a folder between two calls is not caught
//! before the file's stamp is compared.

use std::fs::{File, FileType, Metadata};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use mip_base::{EntryKind, EntryPath};

use super::Found;
use crate::app::{RUNS_HEAD, runs};

/// What must not change: size, modification and creation time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    size: u64,
    modified: Option<SystemTime>,
    created: Option<SystemTime>,
}

/// The root folder.
pub(super) struct Root {
    path: PathBuf,
}

impl Root {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let path = path.canonicalize()?;
        std::fs::read_dir(&path)?;
        Ok(Self { path })
    }

    pub(super) fn same_device(&self, _: &Stamp) -> bool {
        true
    }

    /// The names in a folder; stops one past `most`.
    pub(super) fn list(&self, folder: Option<&EntryPath>, most: u64) -> io::Result<Vec<Vec<u8>>> {
        let mut names = Vec::new();
        let mut left = most;
        for entry in std::fs::read_dir(self.join(folder)?)? {
            // Not UTF-8 stays not UTF-8 in this encoding, and is refused as such.
            names.push(entry?.file_name().into_encoded_bytes());
            match left.checked_sub(1) {
                Some(l) => left = l,
                None => break,
            }
        }
        Ok(names)
    }

    pub(super) fn stat(&self, path: &EntryPath) -> io::Result<Found> {
        let at = self.join(Some(path))?;
        let mut found = found(&std::fs::symlink_metadata(&at)?);
        if found.kind == Some(EntryKind::File) {
            // No permission bits here: what starts like a program was executable.
            let mut head = Vec::new();
            File::open(&at)?.take(mip_base::bytes::len64(RUNS_HEAD)).read_to_end(&mut head)?;
            if runs(&head) {
                found.mode = 0o755;
            }
        }
        Ok(found)
    }

    pub(super) fn read_link(&self, path: &EntryPath) -> io::Result<Vec<u8>> {
        let target = std::fs::read_link(self.join(Some(path))?)?;
        let mut bytes = target.into_os_string().into_encoded_bytes();
        for b in &mut bytes {
            if *b == b'\\' {
                *b = b'/';
            }
        }
        Ok(bytes)
    }

    pub(super) fn open_file(&self, path: &EntryPath) -> io::Result<File> {
        let path = self.join(Some(path))?;
        if !std::fs::symlink_metadata(&path)?.is_file() {
            return Err(io::ErrorKind::NotFound.into());
        }
        File::open(path)
    }

    fn join(&self, path: Option<&EntryPath>) -> io::Result<PathBuf> {
        let mut at = self.path.clone();
        for step in path.iter().flat_map(|p| p.components()) {
            // `C:` or `a\b` as one step would leave the folder.
            if step.contains(['\\', ':']) {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            at.push(step);
        }
        Ok(at)
    }
}

pub(super) fn stat(file: &File) -> io::Result<Found> {
    Ok(found(&file.metadata()?))
}

/// Whether an error of opening means that the entry is no longer what was listed.
pub(super) fn is_gone(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn kind(t: FileType) -> Option<EntryKind> {
    if t.is_symlink() {
        Some(EntryKind::Symlink)
    } else if t.is_dir() {
        Some(EntryKind::Directory)
    } else if t.is_file() {
        Some(EntryKind::File)
    } else {
        None
    }
}

fn found(m: &Metadata) -> Found {
    let modified = m.modified().ok();
    let mtime = modified.and_then(|t| t.duration_since(UNIX_EPOCH).ok()).map_or(0, |d| d.as_secs());
    let mode = if m.is_dir() { 0o755 } else { 0o644 };
    let stamp = Stamp { size: m.len(), modified, created: m.created().ok() };
    Found { kind: kind(m.file_type()), mode, size: m.len(), mtime, stamp }
}
