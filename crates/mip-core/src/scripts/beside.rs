//! Scripts as files beside an archive.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use mip_base::{Code, Error, Result, WriteAt as _};

use super::{Script, ScriptRole};
use crate::output::{Output, Pending, apart};

/// Files that are being made.
#[derive(Debug)]
pub(crate) struct Beside {
    files: Vec<(ScriptRole, PathBuf, Pending)>,
    force: bool,
}

impl Beside {
    /// The files for an archive at `archive`, whether or not that is written: `Tool.mip` has
    /// `Tool.detection.sh` and `Tool.uninstall.sh` beside it.
    ///
    /// # Errors
    /// As [`Pending::create`]; [`mip_base::Code::OutputPath`] when one would replace the input.
    pub(crate) fn create(input: Option<&Path>, archive: &Path, force: bool) -> Result<Self> {
        let stem = if archive.extension().is_some_and(|e| e.eq_ignore_ascii_case("mip")) {
            archive.file_stem()
        } else {
            archive.file_name()
        };
        let mut files = Vec::new();
        for role in [ScriptRole::Detection, ScriptRole::Uninstall] {
            let mut name = stem.unwrap_or_default().to_owned();
            name.push(".");
            name.push(role.file_name());
            let path = archive.with_file_name(name);
            apart(input, &Output::file(&path))?;
            let pending = Pending::create(&path, force)?;
            files.push((role, path, pending));
        }
        Ok(Self { files, force })
    }

    /// Writes the scripts that there are, and gives the files their names. Of a role without a
    /// script there is no file.
    ///
    /// # Errors
    /// Kind `OutputIo`, [`mip_base::Code::Exists`]. No file is left then.
    pub(crate) fn publish(self, scripts: &[Script]) -> Result<Published> {
        let mut done = Published { paths: Vec::new(), warnings: Vec::new(), replaced: self.force };
        for (role, path, pending) in self.files {
            let Some(script) = scripts.iter().find(|s| s.role == role) else { continue };
            let step = pending
                .file()
                .write_all_at(0, &script.bytes)
                .map_err(|e| {
                    Error::from_io(Code::OutputIo, "cannot write", e).within(path.to_string_lossy())
                })
                .and_then(|()| {
                    executable(pending.file().file());
                    pending.publish()
                });
            match step {
                Ok(warning) => done.warnings.extend(warning),
                Err(e) => {
                    done.undo();
                    return Err(e);
                }
            }
            done.paths.push((role, path));
        }
        Ok(done)
    }
}

/// Files that are in place.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) paths: Vec<(ScriptRole, PathBuf)>,
    /// What could not be confirmed to be on disk.
    pub(crate) warnings: Vec<String>,
    replaced: bool,
}

impl Published {
    /// Takes the files away again. What was replaced does not come back: then they stay.
    pub(crate) fn undo(&self) {
        if !self.replaced {
            for (_, path) in &self.paths {
                let _ = fs::remove_file(path);
            }
        }
    }

    /// The file of a role.
    pub(crate) fn path(&self, role: ScriptRole) -> Option<String> {
        let found = self.paths.iter().find(|(r, _)| *r == role);
        found.map(|(_, p)| p.to_string_lossy().into_owned())
    }
}

/// Lets whoever may read the file run it. One that cannot be run can still be uploaded.
#[cfg(unix)]
fn executable(file: &File) {
    use std::os::unix::fs::PermissionsExt as _;
    if let Ok(meta) = file.metadata() {
        let mode = meta.permissions().mode();
        let _ = file.set_permissions(fs::Permissions::from_mode(mode | (mode & 0o444) >> 2));
    }
}

#[cfg(not(unix))]
fn executable(_: &File) {}
