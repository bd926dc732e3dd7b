//! What every command is handed: options of all commands, signals, how to print.

use std::path::Path;
use std::sync::Arc;

use mip_base::{Code, Error, Job, Kind, Limits, Result, escape, len64};
use mip_core::Input;
use serde_json::Value;

use crate::args::{Global, is_dash, usage};
use crate::output;
use crate::output::progress::{self, Bar};
use crate::signals::{self, Signals};

/// What a command has to say when it is done.
#[derive(Debug)]
pub(crate) struct Reply {
    /// For people. Empty when it was printed already.
    pub(crate) text: String,
    /// For programs.
    pub(crate) json: Value,
    /// Exit status.
    pub(crate) exit: u8,
}

impl Reply {
    /// The answer of a command that did what it was asked to.
    pub(crate) fn done(text: String, json: Value) -> Self {
        Self { text, json, exit: 0 }
    }
}

pub(crate) struct Context {
    pub(crate) json: bool,
    pub(crate) quiet: bool,
    limits: Limits,
    progress: progress::Style,
    signals: Signals,
}

impl Context {
    pub(crate) fn new(global: Global, signals: Signals) -> Self {
        let limits = global.limits();
        let progress = progress::Style::choose(global.progress, global.quiet);
        Self { json: global.json, quiet: global.quiet, limits, progress, signals }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// A job of its own budget, under the name that its progress is shown with.
    pub(crate) fn job(&self, name: &str) -> Job {
        let progress = Arc::new(Bar::new(self.progress, escape(name)));
        Job::new(self.limits.clone(), self.signals.cancel.clone(), progress)
    }

    /// Whether the user asked to stop.
    pub(crate) fn stopped(&self) -> bool {
        self.signals.cancel.is_cancelled()
    }

    /// The input that `path` names, where `-` is stdin.
    pub(crate) fn input(&self, path: &Path, stdin_name: &str, job: &Job) -> Result<Input> {
        if !is_dash(path) {
            return Ok(Input::path(path));
        }
        let stdin = std::io::stdin();
        if std::io::IsTerminal::is_terminal(&stdin) {
            let hint = "redirect a file into it, or name the file";
            return Err(usage("stdin (-) is a terminal", hint));
        }
        signals::interruptible(|| Input::stream(stdin_name, &mut stdin.lock(), job))
    }

    /// The exit status of an error; a cancelled job has the status of its signal.
    pub(crate) fn exit(&self, e: &Error) -> u8 {
        match e.kind() {
            Kind::Cancelled => self.signals.exit().unwrap_or(e.kind().exit()),
            kind => kind.exit(),
        }
    }

    /// Prints to stdout. A reader that went away is no error: it has seen what it wanted.
    pub(crate) fn print(&self, text: &str) -> Result<()> {
        output::print(text.as_bytes())
    }

    /// Says something about the work on stderr, unless that is not wanted.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            output::to_stderr(text);
        }
    }

    /// Reports an error of one input among several, and gives its JSON form.
    pub(crate) fn failure(&self, e: &Error) -> Value {
        let exit = self.exit(e);
        if !(self.json && self.quiet) {
            output::to_stderr(&output::text::error(e));
        }
        output::json::error_object(e, exit)
    }
}

/// An error about `path`, unless it says itself what it is about.
pub(crate) fn about(path: &Path, e: Error) -> Error {
    if e.path().is_some() { e } else { e.within(path.to_string_lossy()) }
}

/// Reads a small file (a key, a certificate, an icon) whole.
///
/// # Errors
/// [`Code::InputIo`]; [`Code::Limit`] when it is larger than `limit`.
pub(crate) fn read_small(path: &Path, limit: u64) -> Result<zeroize::Zeroizing<Vec<u8>>> {
    let shown = path.to_string_lossy();
    let io = |e| Error::from_io(Code::InputIo, "cannot read", e).within(&shown);
    let mut file = std::fs::File::open(path).map_err(io)?;
    if file.metadata().map_err(io)?.is_dir() {
        return Err(Error::new(Code::InputIo, "this is a folder, not a file").within(&shown));
    }
    let bytes = read_bounded(&mut file, limit).map_err(io)?;
    bytes.ok_or_else(|| {
        Error::new(Code::Limit, format!("more than {limit} bytes, which no such file has"))
            .within(&shown)
            .hint("check that this is the file that you meant")
    })
}

/// Reads to the end; `None` when there are more than `limit` bytes. What is read may be
/// secret: no copy of it is left behind by a buffer that grew.
pub(crate) fn read_bounded(
    from: &mut dyn std::io::Read,
    limit: u64,
) -> std::io::Result<Option<zeroize::Zeroizing<Vec<u8>>>> {
    let mut out = zeroize::Zeroizing::new(Vec::new());
    let mut chunk = zeroize::Zeroizing::new([0_u8; 4096]);
    loop {
        let n = match from.read(chunk.as_mut_slice()) {
            Ok(0) => return Ok(Some(out)),
            Ok(n) => n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        let new = chunk.get(..n).unwrap_or_default();
        let len = out.len().saturating_add(n);
        if len64(len) > limit {
            return Ok(None);
        }
        if len > out.capacity() {
            let mut larger =
                zeroize::Zeroizing::new(Vec::with_capacity(len.saturating_mul(2).max(8192)));
            larger.extend_from_slice(&out);
            out = larger;
        }
        out.extend_from_slice(new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_files_have_a_limit() {
        let data = vec![7_u8; 20_000];
        let read = |limit| read_bounded(&mut data.as_slice(), limit).unwrap();
        assert_eq!(*read(20_000).unwrap(), data);
        assert!(read(19_999).is_none());
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read_small(dir.path(), 10).unwrap_err().code(), Code::InputIo);
        assert_eq!(read_small(&dir.path().join("x"), 10).unwrap_err().code(), Code::InputIo);
        std::fs::write(dir.path().join("x"), b"12345678901").unwrap();
        assert_eq!(read_small(&dir.path().join("x"), 10).unwrap_err().code(), Code::Limit);
    }

    #[test]
    fn an_error_keeps_its_own_place() {
        let e = about(Path::new("a.pkg"), Error::new(Code::Cpio, "x"));
        assert_eq!(e.path().as_deref(), Some("a.pkg"));
        let e = about(Path::new("dir/a.pkg"), Error::new(Code::Cpio, "x").within("a.pkg"));
        assert_eq!(e.path().as_deref(), Some("a.pkg"));
    }
}
