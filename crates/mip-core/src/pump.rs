//! A stream to where it goes, a MiB at a time: cancellable, with progress.

use std::io::{Read, Write};

use mip_base::{Code, Error, Event, Job, Phase, Result, hex, len64, read_some};
use sha2::{Digest as _, Sha256};

/// Writes all of `from` to `to`.
pub(crate) fn copy(from: &mut dyn Read, to: &mut dyn Write, phase: Phase, job: &Job) -> Result<()> {
    pump(from, phase, job, &mut |bytes| {
        to.write_all(bytes).map_err(|e| Error::from_io(Code::OutputIo, "cannot write", e))
    })
}

/// The SHA-256 of all of `from`, in hexadecimal.
pub(crate) fn sha256(from: &mut dyn Read, phase: Phase, job: &Job) -> Result<String> {
    let mut hash = Sha256::new();
    pump(from, phase, job, &mut |bytes| {
        hash.update(bytes);
        Ok(())
    })?;
    Ok(hex(&hash.finalize()))
}

/// The SHA-256 of `bytes`, in hexadecimal.
pub(crate) fn sha256_of(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn pump(
    from: &mut dyn Read,
    phase: Phase,
    job: &Job,
    take: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut buf = job.buffer("copy buffer", 1 << 20, 1 << 20)?;
    loop {
        job.check()?;
        let n =
            read_some(from, &mut buf).map_err(|e| Error::from_io(Code::InputIo, "reading", e))?;
        let Some(bytes) = buf.get(..n).filter(|b| !b.is_empty()) else { return Ok(()) };
        take(bytes)?;
        job.report(Event::Advanced { phase, bytes: len64(n) });
    }
}
