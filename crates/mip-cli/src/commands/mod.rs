//! One module per command: options to library calls to a reply.

pub(crate) mod cat;
pub(crate) mod completions;
pub(crate) mod convert;
pub(crate) mod extract;
pub(crate) mod files;
pub(crate) mod formats;
pub(crate) mod identity;
pub(crate) mod inspect;
pub(crate) mod list;
pub(crate) mod man;
pub(crate) mod manifest;
pub(crate) mod scripts;
pub(crate) mod sign;
pub(crate) mod verify;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mip_base::{CONTAINER_STEP, Code, Error, FileAt, ReadAt as _, Result, Section, escape};
use mip_core::Output;
use mip_core::SignerReport;

use crate::args::usage;
use crate::output::copy_to_stdout;

/// The name of an input in what is printed. Not escaped.
fn shown(path: &Path, stdin_name: &str) -> String {
    if crate::args::is_dash(path) {
        stdin_name.to_owned()
    } else {
        path.to_string_lossy().into_owned()
    }
}

/// Splits `Tool.zip//Tool.pkg//Distribution` into the file and the path inside it: at the first
/// step out of a file, else at the last one out of a folder that is one thing to macOS. (To the
/// system, `//` in a path is the same as `/`, and people leave one behind a folder.)
fn steps(file: &Path) -> (PathBuf, Option<String>) {
    let whole = || (file.to_owned(), None);
    let Some(text) = file.to_str() else { return whole() };
    if crate::args::is_dash(file) {
        return whole();
    }
    let split = |(at, step): (usize, &str)| {
        let before = PathBuf::from(text.get(..at)?);
        Some((before, Some(text.get(at.checked_add(step.len())?..)?.to_owned())))
    };
    let mut files = text.match_indices(CONTAINER_STEP).filter_map(split);
    let mut bundles = text.rmatch_indices(CONTAINER_STEP).filter_map(split);
    files
        .find(|(before, _)| before.is_file())
        .or_else(|| bundles.find(|(before, _)| is_bundle(before)))
        .unwrap_or_else(whole)
}

/// The file, and the paths inside it: those that are given, or the one that the file's name carries.
fn inside(file: &Path, given: &[String]) -> Result<(PathBuf, Vec<String>)> {
    match (steps(file), given) {
        ((file, None), given) => Ok((file, given.to_vec())),
        ((file, Some(path)), []) => Ok((file, vec![path])),
        _ => Err(usage(
            "FILE has a path inside already",
            "give the path either behind FILE// or as PATH",
        )),
    }
}

/// Whether `path` is a folder that a Mac shows as one file, by its name.
fn is_bundle(path: &Path) -> bool {
    let known = ["app", "pkg", "mpkg", "sparsebundle"];
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    known.iter().any(|k| extension.eq_ignore_ascii_case(k)) && path.is_dir()
}

/// One line about a signer.
fn signer_line(s: &SignerReport) -> String {
    let name = s.common_name.as_deref().unwrap_or(&s.subject);
    format!("{}, valid until {}", escape(name), s.not_after)
}

/// An archive on its way to stdout: built in an unnamed temporary file first, because its
/// headers are patched and because a broken one must not be seen.
struct ToStdout(Arc<FileAt>);

impl ToStdout {
    fn new() -> Result<Self> {
        if std::io::IsTerminal::is_terminal(&std::io::stdout()) {
            let hint = "redirect it into a file, or give --output a path";
            return Err(usage("stdout is a terminal, and an archive is not text", hint));
        }
        let file = tempfile::tempfile()
            .map_err(|e| Error::from_io(Code::OutputIo, "cannot create a temporary file", e))?;
        Ok(Self(Arc::new(FileAt::growing(file))))
    }

    fn output(&self) -> Output {
        Output::sink(self.0.clone())
    }

    fn send(self) -> Result<()> {
        let size = self.0.size();
        copy_to_stdout(
            Section::new(self.0, 0, size).map(|s| s.reader()).ok_or_else(|| {
                Error::new(Code::Internal, "the temporary file has changed its size")
            })?,
        )
    }
}
