//! One file against its sealed digests.

use mip_base::{Code, Error, Result, len64, read_some};
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha384};

use super::Run;
use super::report::is_fatal;
use super::resources::Digest;
use crate::claims::FindingKind;

/// Bytes that are read at once.
const CHUNK: u64 = 256 << 10;

/// What became of one file.
pub(super) enum Compared {
    /// All digests match these many bytes.
    Same(u64),
    /// One does not.
    Other,
    /// It was not read: the budget, or an error that was noted.
    NotRead,
}

impl Run<'_> {
    /// Compares a file with all its digests, where the budget allows.
    pub(super) fn compare(
        &mut self,
        path: &str,
        size: u64,
        digests: &[(Digest, Vec<u8>)],
    ) -> Result<Compared> {
        if !self.check.spend(size) {
            return Ok(Compared::NotRead);
        }
        match self.digests(path, digests) {
            Ok(compared) => Ok(compared),
            Err(e) if is_fatal(&e) => Err(e),
            Err(e) => {
                self.report.find(FindingKind::Unreadable, path, e.to_string());
                Ok(Compared::NotRead)
            }
        }
    }

    fn digests(&self, path: &str, digests: &[(Digest, Vec<u8>)]) -> Result<Compared> {
        let wants = |d| digests.iter().any(|(digest, _)| *digest == d);
        let mut sha1 = wants(Digest::Sha1).then(Sha1::new);
        let mut sha256 = wants(Digest::Sha256).then(Sha256::new);
        let mut sha384 = wants(Digest::Sha384).then(Sha384::new);
        let mut total: u64 = 0;
        let job = self.check.job;
        let mut buf = job.buffer("read buffer", CHUNK, CHUNK)?;
        self.files.from.stream(path, &mut |data| {
            loop {
                job.check()?;
                let n = read_some(data, &mut buf)
                    .map_err(|e| Error::from_io(Code::InputIo, "reading", e))?;
                let Some(bytes) = buf.get(..n).filter(|b| !b.is_empty()) else { return Ok(()) };
                total = total.saturating_add(len64(n));
                if let Some(d) = &mut sha1 {
                    d.update(bytes);
                }
                if let Some(d) = &mut sha256 {
                    d.update(bytes);
                }
                if let Some(d) = &mut sha384 {
                    d.update(bytes);
                }
            }
        })?;
        let sha1 = sha1.map(|d| d.finalize().to_vec());
        let sha256 = sha256.map(|d| d.finalize().to_vec());
        let sha384 = sha384.map(|d| d.finalize().to_vec());
        let same = digests.iter().all(|(digest, want)| {
            let have = match digest {
                Digest::Sha1 => &sha1,
                Digest::Sha256 => &sha256,
                Digest::Sha384 => &sha384,
            };
            have.as_ref() == Some(want)
        });
        Ok(if same { Compared::Same(total) } else { Compared::Other })
    }
}
