//! Opening an archive: a type per state of what has been checked.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;

use mip_base::{Code, Error, Job, Limits, Result, Section, Source, len64, read_full_at};

use crate::hash::{Content, sha256};
use crate::index::ambiguous;
use crate::layout::{Layout, own_header_len};
use crate::profile::{BLOCK, INDEX, SIGNATURE, TAIL};
use crate::records::{CENTRAL_FIXED, last_record, parse_tail};
use crate::verify::{VerifyOptions, check_content, hash_body};
use crate::{Digest, Index, IndexEntry};

/// Nothing has been checked: index and signature were found, and that is all.
#[derive(Debug)]
pub struct Unverified(());

/// The caller's check accepted index and signature, and every header, the directory and the
/// tail are the ones that follow from them. The blocks are checked when they are read.
#[derive(Debug)]
pub struct IndexVerified(Arc<Index>);

/// As [`IndexVerified`], and every block of the body has its digest.
#[derive(Debug)]
pub struct Verified(Arc<Index>);

mod sealed {
    use std::sync::Arc;

    use crate::Index;

    pub trait Sealed {
        fn index(&self) -> &Arc<Index>;
    }
    impl Sealed for super::IndexVerified {
        fn index(&self) -> &Arc<Index> {
            &self.0
        }
    }
    impl Sealed for super::Verified {
        fn index(&self) -> &Arc<Index> {
            &self.0
        }
    }
}

/// A state in which the index has been checked.
pub trait Checked: sealed::Sealed {}
impl Checked for IndexVerified {}
impl Checked for Verified {}

/// An archive in the state `S`. Only a checked one hands out entries under a plain name.
pub struct Archive<S> {
    source: Source,
    index_bytes: Vec<u8>,
    signature: Option<Vec<u8>>,
    /// Where the local header of the index was found.
    body: u64,
    state: S,
}

impl<S: fmt::Debug> fmt::Debug for Archive<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Archive")
            .field("body", &self.body)
            .field("signed", &self.signature.is_some())
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl<S> Archive<S> {
    /// The bytes that are signed.
    #[must_use]
    pub fn index_bytes(&self) -> &[u8] {
        &self.index_bytes
    }

    /// The signature's bytes; `None` for an unsigned archive.
    #[must_use]
    pub fn signature(&self) -> Option<&[u8]> {
        self.signature.as_deref()
    }

    /// The package digest: SHA-256 of the index. It names the content and does not depend on
    /// the signature.
    #[must_use]
    pub fn package_digest(&self) -> Digest {
        sha256(&self.index_bytes)
    }
}

impl Archive<Unverified> {
    /// Finds index and signature from the end of `source`. Reads the constant tail, the last
    /// two records of the directory, and the bytes of index and signature; nothing else.
    ///
    /// # Errors
    /// [`Code::MipUnknown`] when this is not an archive of the profile; [`Code::MipAmbiguous`]
    /// when its parts do not fit together; [`Code::LimitMemory`] when index or signature are
    /// larger than [`Limits::index_bytes`] or [`Limits::cms_bytes`]; [`Code::InputIo`].
    pub fn open(source: Source, job: &Job) -> Result<Self> {
        job.check()?;
        let size = source.size();
        let unknown = |what: &str| Error::new(Code::MipUnknown, what);
        let Some(tail_at) = size.checked_sub(TAIL) else {
            return Err(unknown(&format!("{size} bytes are too few for a MIP archive")));
        };
        let bytes = read(&source, tail_at, TAIL, job)?;
        let Some(tail) = parse_tail(&bytes) else {
            return Err(unknown("the file does not end like a MIP archive").at(tail_at));
        };
        if tail.directory.checked_add(tail.directory_len) != Some(tail_at) {
            return Err(ambiguous("the central directory does not end at the tail").at(tail_at));
        }

        // The last records have one of two lengths each: with and without a ZIP64 offset.
        let both = CENTRAL_FIXED.saturating_add(INDEX.len().max(SIGNATURE.len()));
        let most = u64::try_from(both.saturating_add(12).saturating_mul(2)).unwrap_or(0);
        let end_len = tail.directory_len.min(most);
        let end = read(&source, tail_at.saturating_sub(end_len), end_len, job)?;
        let signature = last_record(&end, SIGNATURE);
        let before = end.len().saturating_sub(signature.map_or(0, |(_, _, len)| len));
        let Some((index_len, body, _)) = last_record(end.get(..before).unwrap_or(&[]), INDEX)
        else {
            return Err(unknown("the archive has no MIP index in its place").at(tail.directory));
        };

        let index_at = body.checked_add(own_header_len(INDEX));
        let index_end = index_at.and_then(|at| at.checked_add(index_len));
        let content_end = match signature {
            None => index_end,
            Some((len, at, _)) if index_end == Some(at) && len > 0 => {
                at.checked_add(own_header_len(SIGNATURE)).and_then(|at| at.checked_add(len))
            }
            Some(_) => None,
        };
        let (Some(index_at), true) = (index_at, content_end == Some(tail.directory)) else {
            let text = "index, signature and directory do not follow each other";
            return Err(ambiguous(text).at(tail.directory));
        };
        let limits = job.limits();
        let index_bytes = bounded(&source, "index", index_at, index_len, limits.index_bytes, job)?;
        let signature = match signature {
            None => None,
            Some((len, at, _)) => {
                let at = at.saturating_add(own_header_len(SIGNATURE));
                Some(bounded(&source, "signature", at, len, limits.cms_bytes, job)?)
            }
        };
        Ok(Self { source, index_bytes, signature, body, state: Unverified(()) })
    }

    /// Verifies the archive to its last byte, at the depth [`VerifyDepth::Blocks`](crate::VerifyDepth::Blocks).
    ///
    /// `check` is handed the index's bytes and the signature (`None` when there is none) before
    /// anything else of the archive is parsed; it decides whether they are acceptable. What it
    /// returns comes back beside the archive. `threads` is how many threads hash blocks.
    ///
    /// # Errors
    /// Those of `check`; [`Code::MipUnknown`], [`Code::MipAmbiguous`], [`Code::MipTampered`];
    /// [`Code::InputIo`]; [`Code::Cancelled`].
    pub fn verify<V>(
        self,
        check: impl FnOnce(&[u8], Option<&[u8]>) -> Result<V>,
        threads: usize,
        job: &Job,
    ) -> Result<(Archive<Verified>, V)> {
        self.verify_with(check, &VerifyOptions { threads, ..VerifyOptions::default() }, job)
    }

    /// As [`verify`](Self::verify), with a choice of depth.
    ///
    /// # Errors
    /// See [`verify`](Self::verify).
    pub fn verify_with<V>(
        self,
        check: impl FnOnce(&[u8], Option<&[u8]>) -> Result<V>,
        options: &VerifyOptions,
        job: &Job,
    ) -> Result<(Archive<Verified>, V)> {
        let (archive, verdict) = self.verify_index_only(check, job)?;
        hash_body(&archive.source, &archive.state.0, options, job)?;
        let state = Verified(archive.state.0);
        let Archive { source, index_bytes, signature, body, .. } = archive;
        Ok((Archive { source, index_bytes, signature, body, state }, verdict))
    }

    /// Verifies index, headers, directory and tail, and leaves the blocks to be checked when
    /// they are read: milliseconds, however large the payload is.
    ///
    /// # Errors
    /// See [`verify`](Self::verify).
    pub fn verify_index_only<V>(
        self,
        check: impl FnOnce(&[u8], Option<&[u8]>) -> Result<V>,
        job: &Job,
    ) -> Result<(Archive<IndexVerified>, V)> {
        let verdict = check(&self.index_bytes, self.signature.as_deref())?;
        let index = self.unverified_index(job.limits())?;
        if index.body != self.body {
            let text = format!("the index is for a body of {} bytes", index.body);
            return Err(ambiguous(text).at(self.body));
        }
        let layout = Layout::new(&index, &self.index_bytes, self.signature.as_deref())?;
        if layout.len != self.source.size() {
            let text = format!("the layout has {} bytes, the file another number", layout.len);
            return Err(ambiguous(text).at(self.source.size()));
        }
        for piece in layout.pieces() {
            job.check()?;
            compare(&self.source, piece.at, &piece.bytes, job).map_err(|e| e.within(&piece.of))?;
        }
        let Self { source, index_bytes, signature, body, .. } = self;
        Ok((
            Archive { source, index_bytes, signature, body, state: IndexVerified(Arc::new(index)) },
            verdict,
        ))
    }

    /// The index, read strictly, but without any check of signature, headers or content:
    /// whoever made the file decided what stands here.
    ///
    /// # Errors
    /// See [`Index::decode`].
    pub fn unverified_index(&self, limits: &Limits) -> Result<Index> {
        Index::decode(&self.index_bytes, limits).map_err(|e| e.within(INDEX))
    }

    /// The entries of [`unverified_index`](Self::unverified_index).
    ///
    /// # Errors
    /// See [`Index::decode`].
    pub fn unverified_entries(&self, limits: &Limits) -> Result<Vec<IndexEntry>> {
        Ok(self.unverified_index(limits)?.entries)
    }

    /// The bytes where `entry` should be, without any check.
    ///
    /// # Errors
    /// [`Code::MipAmbiguous`] when they are not inside the file.
    pub fn unverified_content(&self, entry: &IndexEntry) -> Result<Section> {
        section(&self.source, entry)
    }
}

impl<S: Checked> Archive<S> {
    /// The index.
    #[must_use]
    pub fn index(&self) -> &Index {
        self.state.index()
    }

    /// The entries, in the order of the archive. The container's own two are not among them.
    #[must_use]
    pub fn entries(&self) -> &[IndexEntry] {
        &self.index().entries
    }

    /// A reader of an entry that checks each block before it hands out bytes of it.
    ///
    /// # Errors
    /// [`Code::Internal`] when `entry` is not of this archive. While reading:
    /// [`Code::MipTampered`], [`Code::InputIo`], [`Code::Cancelled`].
    pub fn entry_reader(&self, entry: &IndexEntry, job: &Job) -> Result<EntryReader> {
        self.require(entry)?;
        Ok(EntryReader {
            source: self.source.clone(),
            index: self.state.index().clone(),
            job: job.clone(),
            at: entry.offset,
            end: entry.offset.saturating_add(entry.size),
            entry: entry.clone(),
            content: None,
            block: Vec::new(),
            block_number: None,
        })
    }

    /// A small entry whole, its blocks checked.
    ///
    /// # Errors
    /// [`Code::LimitMemory`] when it is larger than `limit`; see
    /// [`entry_reader`](Self::entry_reader).
    pub fn read_entry(&self, entry: &IndexEntry, limit: u64, job: &Job) -> Result<Vec<u8>> {
        let within = |e: Error| e.within(&entry.path);
        let mut out = job.buffer("bytes of the entry", entry.size, limit).map_err(within)?;
        let mut reader = self.entry_reader(entry, job)?;
        reader
            .read_exact(&mut out)
            .map_err(|e| within(Error::from_io(Code::InputIo, "reading the archive", e)))?;
        Ok(out)
    }

    fn require(&self, entry: &IndexEntry) -> Result<()> {
        if self.entries().contains(entry) {
            return Ok(());
        }
        Err(Error::new(Code::Internal, "the entry is of another archive").within(&entry.path))
    }
}

impl Archive<Verified> {
    /// The content of an entry, as verified. It is read from the file again: if the file can be
    /// changed by others meanwhile, use [`entry_reader`](Self::entry_reader), which checks
    /// what it hands out.
    ///
    /// # Errors
    /// [`Code::Internal`] when `entry` is not of this archive.
    pub fn open_entry(&self, entry: &IndexEntry) -> Result<Section> {
        self.require(entry)?;
        section(&self.source, entry)
    }
}

impl Archive<IndexVerified> {
    /// The content of an entry: [`entry_reader`](Self::entry_reader), the only way in this state.
    ///
    /// # Errors
    /// See [`entry_reader`](Self::entry_reader).
    pub fn open_entry(&self, entry: &IndexEntry, job: &Job) -> Result<EntryReader> {
        self.entry_reader(entry, job)
    }
}

/// Reads an entry block by block; every block is checked before bytes of it come out.
pub struct EntryReader {
    source: Source,
    index: Arc<Index>,
    job: Job,
    at: u64,
    end: u64,
    entry: IndexEntry,
    /// What was handed out, where that is to be compared at the end.
    content: Option<Content>,
    block: Vec<u8>,
    block_number: Option<u64>,
}

impl EntryReader {
    /// Also compares the whole entry, when its end is read, with the SHA-256 and CRC-32 that the
    /// index states of it. They are the signer's word: for an archive whose signer nobody
    /// vouches for. To be called before anything is read.
    #[must_use]
    pub fn check_content(mut self) -> Self {
        self.content = Some(Content::new());
        self
    }
}

impl fmt::Debug for EntryReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EntryReader").field("at", &self.at).field("end", &self.end).finish()
    }
}

impl Read for EntryReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        if self.at >= self.end {
            if let Some(content) = self.content.take() {
                check_content(content, &self.entry)?;
            }
            return Ok(0);
        }
        let number = self.at / BLOCK;
        if self.block_number != Some(number) {
            self.block_number = None;
            self.job.check()?;
            read_block(&self.source, &self.index, number, &mut self.block)?;
            self.block_number = Some(number);
        }
        let from = usize::try_from(self.at % BLOCK).unwrap_or(usize::MAX);
        let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let mut bytes = self.block.get(from..).unwrap_or(&[]);
        bytes = bytes.get(..left).unwrap_or(bytes);
        let n = bytes.read(buf)?;
        self.at = self.at.saturating_add(len64(n));
        if let Some(content) = &mut self.content {
            content.update(buf.get(..n).unwrap_or(&[]));
        }
        Ok(n)
    }
}

/// Reads block `number` of the body into `block` and checks its digest.
pub(crate) fn read_block(
    source: &Source,
    index: &Index,
    number: u64,
    block: &mut Vec<u8>,
) -> Result<()> {
    let at = number.saturating_mul(BLOCK);
    let len = index.body.saturating_sub(at).min(BLOCK);
    // At most 1 MiB, whatever the index says.
    block.resize(usize::try_from(len).unwrap_or(0), 0);
    read_full_at(source, at, block, Code::MipTampered)?;
    check_block(index, number, block)
}

/// Compares the digest of a block with the index.
pub(crate) fn check_block(index: &Index, number: u64, block: &[u8]) -> Result<()> {
    let expected = usize::try_from(number).ok().and_then(|n| index.blocks.get(n));
    if expected == Some(&sha256(block)) {
        return Ok(());
    }
    let at = number.saturating_mul(BLOCK);
    let to = at.saturating_add(len64(block.len()));
    let mut e = Error::new(
        Code::MipTampered,
        format!("block {number} (bytes {at} to {to}) is not what the index describes"),
    )
    .at(at);
    // The entry that most likely differs: the last one that starts before the block ends.
    if let Some(entry) = index.entries.iter().rfind(|e| e.header_offset < to) {
        e = e.within(&entry.path);
    }
    Err(e)
}

fn section(source: &Source, entry: &IndexEntry) -> Result<Section> {
    Section::new(source.clone(), entry.offset, entry.size)
        .ok_or_else(|| ambiguous("the entry is not inside the file").within(&entry.path))
}

fn read(source: &Source, at: u64, len: u64, job: &Job) -> Result<Vec<u8>> {
    let mut bytes = job.buffer("bytes of the archive's end", len, TAIL.saturating_mul(4))?;
    read_full_at(source, at, &mut bytes, Code::MipTampered)?;
    Ok(bytes)
}

fn bounded(
    source: &Source,
    what: &str,
    at: u64,
    len: u64,
    limit: u64,
    job: &Job,
) -> Result<Vec<u8>> {
    let mut bytes = job.buffer(&format!("bytes of the {what}"), len, limit)?;
    read_full_at(source, at, &mut bytes, Code::MipTampered)?;
    Ok(bytes)
}

/// Compares the bytes at `at` with `expected`; the error has the first offset that differs.
fn compare(source: &Source, at: u64, expected: &[u8], job: &Job) -> Result<()> {
    let mut bytes =
        job.buffer("bytes of a header", len64(expected.len()), len64(expected.len()))?;
    read_full_at(source, at, &mut bytes, Code::MipTampered)?;
    match bytes.iter().zip(expected).position(|(a, b)| a != b) {
        None => Ok(()),
        Some(n) => {
            let at = at.saturating_add(u64::try_from(n).unwrap_or(0));
            Err(ambiguous("a header is not the one that follows from the index").at(at))
        }
    }
}
