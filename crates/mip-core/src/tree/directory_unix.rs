//! Folders by handle: each step from the root is an `openat` that does not follow links.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use mip_base::{EntryKind, EntryPath};
use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags};
use rustix::io::Errno;

use super::Found;

const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);
// NONBLOCK: what was a file when it was listed may be a pipe now.
const FILE: OFlags =
    OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK);

/// What must not change: device, inode, size, modification and change time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    dev: u64,
    ino: u64,
    size: i64,
    mtime: (i64, i64),
    ctime: (i64, i64),
}

/// The root folder.
pub(super) struct Root {
    fd: OwnedFd,
    dev: u64,
}

impl Root {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = FOLDER.difference(OFlags::NOFOLLOW);
        let fd = rustix::fs::openat(CWD, path, flags, Mode::empty())?;
        let dev = found(&rustix::fs::fstat(&fd)?).stamp.dev;
        Ok(Self { fd, dev })
    }

    pub(super) fn same_device(&self, stamp: &Stamp) -> bool {
        stamp.dev == self.dev
    }

    /// The names in a folder, without `.` and `..`; stops one past `most`.
    pub(super) fn list(&self, folder: Option<&EntryPath>, most: u64) -> io::Result<Vec<Vec<u8>>> {
        let fd = self.folder(folder)?;
        let mut names = Vec::new();
        let mut left = most;
        for entry in Dir::read_from(&fd)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            names.push(name.to_vec());
            match left.checked_sub(1) {
                Some(l) => left = l,
                None => break,
            }
        }
        Ok(names)
    }

    pub(super) fn stat(&self, path: &EntryPath) -> io::Result<Found> {
        let fd = self.folder(path.parent().as_ref())?;
        Ok(found(&rustix::fs::statat(&fd, path.file_name(), AtFlags::SYMLINK_NOFOLLOW)?))
    }

    pub(super) fn read_link(&self, path: &EntryPath) -> io::Result<Vec<u8>> {
        let fd = self.folder(path.parent().as_ref())?;
        Ok(rustix::fs::readlinkat(&fd, path.file_name(), Vec::new())?.into_bytes())
    }

    pub(super) fn open_file(&self, path: &EntryPath) -> io::Result<File> {
        let fd = self.folder(path.parent().as_ref())?;
        Ok(File::from(rustix::fs::openat(&fd, path.file_name(), FILE, Mode::empty())?))
    }

    fn folder(&self, path: Option<&EntryPath>) -> io::Result<OwnedFd> {
        let mut fd = self.fd.try_clone()?;
        for step in path.iter().flat_map(|p| p.components()) {
            fd = rustix::fs::openat(&fd, step, FOLDER, Mode::empty())?;
        }
        Ok(fd)
    }
}

pub(super) fn stat(file: &impl AsFd) -> io::Result<Found> {
    Ok(found(&rustix::fs::fstat(file)?))
}

/// Whether an error of opening means that the entry is no longer what was listed.
pub(super) fn is_gone(e: &io::Error) -> bool {
    Errno::from_io_error(e)
        .is_some_and(|e| [Errno::NOENT, Errno::LOOP, Errno::NOTDIR, Errno::NXIO].contains(&e))
}

// The widths of these fields differ between platforms.
#[allow(clippy::useless_conversion, clippy::unnecessary_fallible_conversions)]
fn found(s: &rustix::fs::Stat) -> Found {
    let mode = u32::from(s.st_mode);
    let stamp = Stamp {
        dev: u64::try_from(s.st_dev).unwrap_or(0),
        ino: u64::from(s.st_ino),
        size: i64::from(s.st_size),
        mtime: (i64::from(s.st_mtime), i64::try_from(s.st_mtime_nsec).unwrap_or(0)),
        ctime: (i64::from(s.st_ctime), i64::try_from(s.st_ctime_nsec).unwrap_or(0)),
    };
    Found {
        kind: EntryKind::from_mode(mode),
        mode: mode & 0o7777,
        size: u64::try_from(s.st_size).unwrap_or(0),
        mtime: u64::try_from(s.st_mtime).unwrap_or(0),
        stamp,
    }
}
