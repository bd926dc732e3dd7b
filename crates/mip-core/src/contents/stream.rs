//! Payloads and script archives: cpio or Apple Archive, packed in any way. They can only be read
//! from the start.

use std::io::Read;

use mip_base::{Job, Result, Section};

use super::{ContentEntry, kind_word};
use crate::package::payload::{Archive, ArchiveEntry};

/// A stream of entries.
#[derive(Debug)]
pub(super) struct Stream {
    data: Section,
}

/// What to do after an entry.
pub(super) enum Then {
    GoOn,
    Stop,
}

impl Stream {
    /// Reads up to the first entry, to see that it is one.
    pub(super) fn open(data: Section, job: &Job) -> Result<Self> {
        let stream = Self { data };
        stream.start(job)?.next_entry()?;
        Ok(stream)
    }

    fn start(&self, job: &Job) -> Result<Archive> {
        let raw = std::io::BufReader::with_capacity(1 << 18, self.data.reader());
        Archive::open(Box::new(raw), job)
    }

    /// Calls `visit` for the entries, with their data.
    pub(super) fn walk(
        &self,
        job: &Job,
        visit: &mut dyn FnMut(ArchiveEntry, &mut (dyn Read + Send)) -> Result<Then>,
    ) -> Result<()> {
        let mut archive = self.start(job)?;
        while let Some(entry) = archive.next_entry()? {
            job.check()?;
            match visit(entry, &mut archive)? {
                Then::GoOn => {}
                Then::Stop => break,
            }
        }
        Ok(())
    }
}

impl From<&ArchiveEntry> for ContentEntry {
    fn from(e: &ArchiveEntry) -> Self {
        Self {
            path: e.path.as_ref().map_or_else(String::new, |p| p.as_str().to_owned()),
            kind: kind_word(e.kind).to_owned(),
            mode: Some(e.mode),
            uid: Some(e.uid),
            gid: Some(e.gid),
            bytes: e.size,
            mtime: e.mtime.and_then(|t| i64::try_from(t).ok()),
            link: e.link.clone(),
            sha256: None,
        }
    }
}
