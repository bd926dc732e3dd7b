//! Output that appears whole or not at all.
//!
//! A file is built in its own folder, without a name where the platform can (`O_TMPFILE`),
//! else under `.mip-partial-…`; it is synced, then given its name in one step that does not
//! replace anything unless that was asked for.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mip_base::{Code, Error, FileAt, Result, WriteAt, escape};

use crate::input::Input;

/// Prefix of the names under which unfinished output may be seen.
const PARTIAL: &str = ".mip-partial-";

/// Where a new archive goes.
#[derive(Clone)]
pub struct Output {
    pub(crate) target: Target,
    pub(crate) force: bool,
}

#[derive(Clone)]
pub(crate) enum Target {
    File(PathBuf),
    Folder(PathBuf),
    Sink(Arc<dyn WriteAt>),
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            Target::File(p) => write!(f, "Output::file({p:?})"),
            Target::Folder(p) => write!(f, "Output::folder({p:?})"),
            Target::Sink(_) => write!(f, "Output::sink(..)"),
        }
    }
}

impl Output {
    /// Exactly this file.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self { target: Target::File(path.into()), force: false }
    }

    /// A file in this folder (which must exist), named `<Name>-<Version>.mip` after what is inside.
    #[must_use]
    pub fn folder(path: impl Into<PathBuf>) -> Self {
        Self { target: Target::Folder(path.into()), force: false }
    }

    /// A place that the caller owns. It must be empty. The caller decides what becomes of the
    /// bytes; when the conversion fails they must be thrown away.
    #[must_use]
    pub fn sink(sink: Arc<dyn WriteAt>) -> Self {
        Self { target: Target::Sink(sink), force: false }
    }

    /// Replace a file that exists. Off by default.
    #[must_use]
    pub fn force(mut self, yes: bool) -> Self {
        self.force = yes;
        self
    }

    /// Whether [`write`](Self::write) can succeed: what is bound to fail fails before a large
    /// input is read.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn check(&self, input: &Input) -> Result<()> {
        apart(input.as_path(), self)?;
        if let Target::File(path) = &self.target {
            Pending::create(path, self.force)?;
        }
        Ok(())
    }

    /// Writes `data` as a small file about `input` (an icon, a report) to an [`Output::file`] or
    /// [`Output::sink`]. Gives a warning when the system may lose the file in a crash.
    ///
    /// # Errors
    /// [`Code::OutputPath`] (also for a path inside the folder that was read), [`Code::Exists`],
    /// [`Code::OutputIo`]; [`Code::Usage`] for an [`Output::folder`].
    pub fn write(&self, input: &Input, data: &[u8]) -> Result<Option<String>> {
        apart(input.as_path(), self)?;
        let io = |e| Error::from_io(Code::OutputIo, "cannot write the file", e);
        match &self.target {
            Target::File(path) => {
                let pending = Pending::create(path, self.force)?;
                pending.file().write_all_at(0, data).map_err(io)?;
                pending.publish()
            }
            Target::Sink(sink) => sink.write_all_at(0, data).map(|()| None).map_err(io),
            Target::Folder(_) => Err(Error::new(Code::Usage, "the output must name a file")),
        }
    }
}

/// Refuses an output that would replace the input or become a part of it.
///
/// # Errors
/// [`Code::OutputPath`].
pub(crate) fn apart(input: Option<&Path>, output: &Output) -> Result<()> {
    let (Some(input), Target::File(to) | Target::Folder(to)) = (input, &output.target) else {
        return Ok(());
    };
    let refuse = |why: &str| Err(Error::new(Code::OutputPath, why).within(to.to_string_lossy()));
    if let (Ok(a), Ok(b)) = (fs::metadata(input), fs::metadata(to))
        && a.is_file()
        && b.is_file()
        && same_file(input, &a, to, &b)
    {
        return refuse("the output is the input itself");
    }
    let folder = match (&output.target, to.parent()) {
        (Target::Folder(f), _) => f.as_path(),
        (_, Some(p)) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    match (input.canonicalize(), folder.canonicalize()) {
        (Ok(a), Ok(b)) if a.is_dir() && b.starts_with(&a) => {
            refuse("the output lies inside the folder that is read")
        }
        _ => Ok(()),
    }
}

#[cfg(unix)]
fn same_file(_: &Path, a: &fs::Metadata, _: &Path, b: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

#[cfg(not(unix))]
fn same_file(a: &Path, _: &fs::Metadata, b: &Path, _: &fs::Metadata) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// A file that is being built and has no name yet.
#[derive(Debug)]
pub(crate) struct Pending {
    file: Arc<FileAt>,
    folder: PathBuf,
    target: PathBuf,
    force: bool,
    /// Set where the platform cannot build a file without a name.
    partial: Option<PathBuf>,
}

impl Pending {
    /// Checks the target and creates the unnamed file, so that what is bound to fail fails
    /// before a large input is read.
    ///
    /// # Errors
    /// [`Code::Exists`], [`Code::OutputPath`] (a folder, link or device), [`Code::OutputIo`].
    pub(crate) fn create(target: &Path, force: bool) -> Result<Self> {
        let shown = escape(&target.to_string_lossy());
        let err = |code, what: &str| Error::new(code, what).within(&shown);
        if target.file_name().is_none() {
            return Err(err(Code::OutputPath, "the output path names no file"));
        }
        if let Ok(meta) = fs::symlink_metadata(target) {
            if !meta.is_file() {
                return Err(err(Code::OutputPath, "the output path is a folder, link or device"));
            }
            if !force {
                return Err(err(Code::Exists, "the output exists already"));
            }
        }
        let folder = match target.parent() {
            Some(p) if !p.as_os_str().is_empty() => p.to_path_buf(),
            _ => PathBuf::from("."),
        };
        let io = |e| Error::from_io(Code::OutputIo, "cannot create the output", e).within(&shown);
        let (file, partial) = create_unnamed(&folder).map_err(io)?;
        Ok(Self {
            file: Arc::new(FileAt::growing(file)),
            folder,
            target: target.to_path_buf(),
            force,
            partial,
        })
    }

    pub(crate) fn file(&self) -> Arc<FileAt> {
        self.file.clone()
    }

    /// Syncs the file and gives it its name. Returns a warning when only the folder could not
    /// be synced: the file is complete and in place then.
    ///
    /// # Errors
    /// [`Code::OutputIo`]; [`Code::Exists`] when another process was first.
    pub(crate) fn publish(mut self) -> Result<Option<String>> {
        let shown = escape(&self.target.to_string_lossy());
        let io = |e: io::Error| {
            if e.kind() == io::ErrorKind::AlreadyExists {
                Error::new(Code::Exists, "the output exists already").within(&shown)
            } else {
                Error::from_io(Code::OutputIo, "cannot finish the output", e).within(&shown)
            }
        };
        self.file.file().sync_all().map_err(io)?;
        match self.partial.take() {
            Some(partial) => publish_named(&partial, &self.target, self.force).inspect_err(|_| {
                let _ = fs::remove_file(&partial);
            }),
            None => publish_unnamed(self.file.file(), &self.folder, &self.target, self.force),
        }
        .map_err(io)?;
        Ok(sync_folder(&self.folder).err().map(|e| {
            format!("the file is complete, but its folder could not be synced to disk: {e}")
        }))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(p) = &self.partial {
            let _ = fs::remove_file(p);
        }
    }
}

/// A name that no other process guesses or uses.
fn partial_name() -> String {
    // RandomState is seeded by the operating system; the counter in it makes each one new.
    use std::hash::{BuildHasher, Hasher, RandomState};
    let (a, b) = (RandomState::new().build_hasher(), RandomState::new().build_hasher());
    format!("{PARTIAL}{:016x}{:016x}", a.finish(), b.finish())
}

#[cfg(target_os = "linux")]
fn create_unnamed(folder: &Path) -> io::Result<(File, Option<PathBuf>)> {
    use rustix::fs::{Mode, OFlags, open};
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    match open(folder, flags, Mode::from_raw_mode(0o666)) {
        Ok(fd) => Ok((File::from(fd), None)),
        // File systems without O_TMPFILE say so in several ways; real errors come again.
        Err(_) => create_named(folder),
    }
}

#[cfg(not(target_os = "linux"))]
fn create_unnamed(folder: &Path) -> io::Result<(File, Option<PathBuf>)> {
    create_named(folder)
}

fn create_named(folder: &Path) -> io::Result<(File, Option<PathBuf>)> {
    let path = folder.join(partial_name());
    let file = File::options().read(true).write(true).create_new(true).open(&path)?;
    Ok((file, Some(path)))
}

#[cfg(target_os = "linux")]
fn publish_unnamed(file: &File, folder: &Path, target: &Path, force: bool) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, linkat};
    use std::os::fd::AsRawFd;
    let link = |to: &Path| {
        let from = format!("/proc/self/fd/{}", file.as_raw_fd());
        linkat(CWD, from, CWD, to, AtFlags::SYMLINK_FOLLOW).map_err(io::Error::from)
    };
    if !force {
        return link(target);
    }
    // A link cannot replace: take a name of our own first, then rename over the target.
    let partial = folder.join(partial_name());
    link(&partial)?;
    fs::rename(&partial, target).inspect_err(|_| {
        let _ = fs::remove_file(&partial);
    })
}

#[cfg(not(target_os = "linux"))]
fn publish_unnamed(_: &File, _: &Path, _: &Path, _: bool) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

fn publish_named(partial: &Path, target: &Path, force: bool) -> io::Result<()> {
    if force {
        return fs::rename(partial, target);
    }
    // A hard link fails where the target exists: the only portable way not to replace.
    match fs::hard_link(partial, target) {
        Ok(()) => fs::remove_file(partial),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Err(e),
        // File systems without hard links (FAT, some network shares): look, then rename.
        Err(_) if target.symlink_metadata().is_err() => fs::rename(partial, target),
        Err(_) => Err(io::ErrorKind::AlreadyExists.into()),
    }
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

/// A folder that is being filled beside its final place, and renamed when it is complete. While
/// it is filled it stands in a folder that nobody else may enter: with a lax umask another user
/// could put a link in the way of a file.
#[derive(Debug)]
pub(crate) struct PendingFolder {
    /// The private folder around it; gone when this is dropped.
    private: PathBuf,
    folder: PathBuf,
    target: PathBuf,
}

impl PendingFolder {
    /// # Errors
    /// [`Code::Exists`] when `target` is a folder that is not empty; [`Code::OutputPath`] when it
    /// is no folder or has no name; [`Code::OutputIo`].
    pub(crate) fn create(target: &Path) -> Result<Self> {
        let shown = escape(&target.to_string_lossy());
        if target.file_name().is_none() {
            let why = "the output path names no folder";
            return Err(Error::new(Code::OutputPath, why).within(&shown));
        }
        if target.symlink_metadata().is_ok() {
            let folder = target.symlink_metadata().is_ok_and(|m| m.is_dir());
            if !folder {
                let why = "the output path is a file, link or device";
                return Err(Error::new(Code::OutputPath, why).within(&shown));
            }
            if !fs::read_dir(target).is_ok_and(|mut d| d.next().is_none()) {
                return Err(Error::new(Code::Exists, "the output folder exists and is not empty")
                    .within(&shown)
                    .hint("choose a folder that does not exist yet"));
            }
        }
        let parent = match target.parent() {
            Some(p) if !p.as_os_str().is_empty() => p.to_path_buf(),
            _ => PathBuf::from("."),
        };
        let private = parent.join(partial_name());
        let folder = private.join("folder");
        let io =
            |e| Error::from_io(Code::OutputIo, "cannot create the output folder", e).within(&shown);
        private_folder(&private).map_err(io)?;
        let this = Self { private, folder, target: target.to_path_buf() };
        fs::create_dir(&this.folder).map_err(io)?;
        Ok(this)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.folder
    }

    /// # Errors
    /// [`Code::OutputIo`].
    pub(crate) fn publish(self) -> Result<()> {
        // On Windows a rename does not replace even an empty folder.
        #[cfg(windows)]
        let _ = fs::remove_dir(&self.target);
        fs::rename(&self.folder, &self.target).map_err(|e| {
            Error::from_io(Code::OutputIo, "cannot finish the output folder", e)
                .within(escape(&self.target.to_string_lossy()))
        })
    }
}

impl Drop for PendingFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.private);
    }
}

#[cfg(unix)]
fn private_folder(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().mode(0o700).create(path)
}

#[cfg(not(unix))]
fn private_folder(path: &Path) -> io::Result<()> {
    fs::create_dir(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut v: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        v.sort();
        v
    }

    #[test]
    fn a_dropped_output_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let p = Pending::create(&dir.path().join("a.mip"), false).unwrap();
        p.file().write_all_at(0, b"half").unwrap();
        drop(p);
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn output_appears_whole_and_never_replaces_unasked() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("a.mip");
        let one = Pending::create(&target, false).unwrap();
        let two = Pending::create(&target, false).unwrap();
        one.file().write_all_at(0, b"one").unwrap();
        assert_eq!(one.publish().unwrap(), None);
        assert_eq!(two.publish().unwrap_err().code(), Code::Exists);
        assert_eq!(Pending::create(&target, false).unwrap_err().code(), Code::Exists);
        let three = Pending::create(&target, true).unwrap();
        three.file().write_all_at(0, b"three").unwrap();
        three.publish().unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"three");
        assert_eq!(names(dir.path()), ["a.mip"]);
    }

    #[test]
    fn file_systems_without_unnamed_files_get_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("a.mip");
        let make = |force| {
            let (file, partial) = create_named(dir.path()).unwrap();
            let folder = dir.path().to_path_buf();
            Pending {
                file: Arc::new(FileAt::growing(file)),
                folder,
                target: target.clone(),
                force,
                partial,
            }
        };
        drop(make(false));
        assert!(names(dir.path()).is_empty());
        make(false).publish().unwrap();
        assert_eq!(make(false).publish().unwrap_err().code(), Code::Exists);
        make(true).publish().unwrap();
        assert_eq!(names(dir.path()), ["a.mip"]);
    }

    #[test]
    fn folders_links_and_missing_parents_are_refused_before_work() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Pending::create(dir.path(), true).unwrap_err().code(), Code::OutputPath);
        let e = Pending::create(&dir.path().join("no/a.mip"), false).unwrap_err();
        assert_eq!(e.code(), Code::OutputIo);
        #[cfg(unix)]
        {
            let link = dir.path().join("link");
            std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
            assert_eq!(Pending::create(&link, true).unwrap_err().code(), Code::OutputPath);
        }
    }

    #[test]
    fn a_folder_is_whole_or_absent() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("out");
        let p = PendingFolder::create(&target).unwrap();
        fs::write(p.path().join("x"), b"1").unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let around = fs::metadata(p.path().parent().unwrap()).unwrap();
            assert_eq!(around.permissions().mode() & 0o777, 0o700);
        }
        drop(p);
        assert!(names(dir.path()).is_empty());
        let p = PendingFolder::create(&target).unwrap();
        fs::write(p.path().join("x"), b"1").unwrap();
        p.publish().unwrap();
        assert_eq!(names(&target), ["x"]);
        assert_eq!(PendingFolder::create(&target).unwrap_err().code(), Code::Exists);
    }
}
