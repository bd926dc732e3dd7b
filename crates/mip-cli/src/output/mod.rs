//! How this program speaks: text or JSON on stdout, errors and progress on stderr.

pub(crate) mod json;
pub(crate) mod progress;
pub(crate) mod text;

use std::io::{self, ErrorKind, Write as _};

use mip_base::{Code, Error, Result};

use crate::signals::interruptible;

/// Writes text for a reader to stdout. That the reader has gone away is no error: `head` has
/// seen what it wanted, and the work is done.
///
/// # Errors
/// [`Code::OutputIo`] for everything else, such as a full disk.
pub(crate) fn print(bytes: &[u8]) -> Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    let mut out = io::stdout().lock();
    match interruptible(|| out.write_all(bytes).and_then(|()| out.flush())) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(stdout_failed(e)),
        _ => Ok(()),
    }
}

/// Copies a finished file to stdout. A reader that goes away before the end is an error here:
/// what it has is not the file.
///
/// # Errors
/// [`Code::OutputIo`], [`Code::InputIo`].
pub(crate) fn copy_to_stdout(mut from: impl io::Read) -> Result<()> {
    let mut out = io::stdout().lock();
    let mut buf = vec![0; 1 << 16];
    loop {
        let n = match from.read(&mut buf) {
            Ok(0) => break,
            Ok(n) => n,
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(e) => return Err(Error::from_io(Code::InputIo, "cannot read a temporary file", e)),
        };
        interruptible(|| out.write_all(buf.get(..n).unwrap_or_default())).map_err(stdout_failed)?;
    }
    interruptible(|| out.flush()).map_err(stdout_failed)
}

/// Stdout for the bytes of a file. A reader that goes away ends the work: nobody wants the rest.
#[derive(Debug)]
pub(crate) struct Stdout;

impl io::Write for Stdout {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_all(buf).map(|()| buf.len())
    }

    fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        // Not through the line buffer of stdout: what is written is not lines.
        interruptible(|| out.write_all(buf).and_then(|()| out.flush()))
            .map_err(|e| stdout_failed(e).into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn stdout_failed(e: io::Error) -> Error {
    Error::from_io(Code::OutputIo, "cannot write to stdout", e)
}

/// Writes one message to stderr. Nobody can be told when that fails.
pub(crate) fn to_stderr(text: &str) {
    let mut line = text.trim_end_matches('\n').to_owned();
    line.push('\n');
    let _ = io::stderr().lock().write_all(line.as_bytes());
}

/// Reports the error that ends the program, and gives its exit status.
pub(crate) fn report(e: &Error, json: bool, quiet: bool) -> u8 {
    let exit = e.kind().exit();
    report_as(e, exit, json, quiet);
    exit
}

/// As [`report`], with an exit status of its own.
pub(crate) fn report_as(e: &Error, exit: u8, json: bool, quiet: bool) {
    if !(json && quiet) {
        to_stderr(&text::error(e));
    }
    if json {
        // The exit status tells the same when stdout cannot take it.
        let _ = json::line(&json::error(e, exit)).and_then(|l| print(l.as_bytes()));
    }
}
