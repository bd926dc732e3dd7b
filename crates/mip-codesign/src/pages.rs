//! The bytes of a program or an image against the hashes of its code directories.

use mip_base::{Code, Job, Result, Source, len64, read_full_at};

use crate::directory::CodeDirectory;
use crate::hash::Hasher;

/// Bytes that are read at once.
const PIECE: u64 = 1 << 20;

/// What one code directory's hashes found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Altered {
    /// Pages that differ.
    pub(crate) pages: u64,
    /// Where the first of them starts in the file.
    pub(crate) first: Option<u64>,
}

/// One code directory's way through the bytes.
struct Pager<'a> {
    directory: &'a CodeDirectory<'a>,
    hasher: Option<Hasher>,
    page: u64,
    /// Bytes of the page that is being hashed.
    in_page: u64,
    /// Bytes that are still covered.
    left: u64,
    base: u64,
    altered: Altered,
}

impl<'a> Pager<'a> {
    fn new(directory: &'a CodeDirectory<'a>, base: u64) -> Self {
        Self {
            directory,
            hasher: None,
            page: 0,
            in_page: 0,
            left: directory.code_limit,
            base,
            altered: Altered::default(),
        }
    }

    fn feed(&mut self, mut bytes: &[u8]) {
        let size = self.directory.page_size.unwrap_or(u64::MAX);
        while !bytes.is_empty() && self.left > 0 {
            let room = size.saturating_sub(self.in_page).min(self.left);
            let n = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
            let (now, rest) = bytes.split_at(n);
            self.hasher.get_or_insert_with(|| self.directory.kind.hasher()).update(now);
            self.in_page = self.in_page.saturating_add(len64(n));
            self.left = self.left.saturating_sub(len64(n));
            bytes = rest;
            if self.in_page == size || self.left == 0 {
                self.finish_page(size);
            }
        }
    }

    fn finish_page(&mut self, size: u64) {
        let Some(hasher) = self.hasher.take() else { return };
        let digest = hasher.finish();
        if digest.get(..self.directory.kind.stored()) != self.directory.page(self.page) {
            self.altered.pages = self.altered.pages.saturating_add(1);
            let start = self.base.saturating_add(self.page.saturating_mul(size));
            self.altered.first.get_or_insert(start);
        }
        self.page = self.page.saturating_add(1);
        self.in_page = 0;
    }
}

/// Hashes the bytes from `base` on once for all `directories`: what each of them found, in their
/// order. What they cover must lie in the file.
///
/// # Errors
/// [`Code::InputIo`], [`Code::Cancelled`].
pub(crate) fn compare(
    source: &Source,
    base: u64,
    directories: &[CodeDirectory<'_>],
    job: &Job,
) -> Result<Vec<Altered>> {
    let limit = directories.iter().map(|d| d.code_limit).max().unwrap_or(0);
    let mut pagers: Vec<_> = directories.iter().map(|d| Pager::new(d, base)).collect();
    let mut piece = job.buffer("a piece of a program", limit.min(PIECE), PIECE)?;
    let mut done = 0_u64;
    while done < limit {
        job.check()?;
        let n = usize::try_from(limit.saturating_sub(done)).unwrap_or(usize::MAX).min(piece.len());
        let Some(now) = piece.get_mut(..n) else { break };
        read_full_at(source, base.saturating_add(done), now, Code::InputIo)?;
        for pager in &mut pagers {
            pager.feed(now);
        }
        done = done.saturating_add(len64(n));
    }
    Ok(pagers.into_iter().map(|p| p.altered).collect())
}
