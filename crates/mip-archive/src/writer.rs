//! Building an archive in one pass.

use std::fmt;
use std::io::Read;
use std::sync::Arc;

use mip_base::{Code, EntryPath, Error, Event, Job, Phase, Result, WriteAt, len64};

use crate::blocks::BlockHasher;
use crate::hash::{Content, sha256};
use crate::index::check_product;
use crate::layout::Layout;
use crate::profile::{INFO_PLIST, MAX_ENTRIES, MODES, SMALL_ENTRY_LIMIT, role_of};
use crate::pump::{BUFFER, pump};
use crate::{Digest, EntryRole, Index, IndexEntry, Product, records};

/// What was stored as the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stored {
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the bytes.
    pub sha256: Digest,
    /// CRC-32 of the bytes.
    pub crc32: u32,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Written {
    /// The index.
    pub index: Index,
    /// The package digest: SHA-256 of the index's bytes.
    pub index_sha256: Digest,
    /// Length of the archive in bytes.
    pub len: u64,
}

/// A signature over the bytes of an index.
pub type Sign<'a> = &'a mut dyn FnMut(&[u8]) -> Result<Vec<u8>>;

/// Builds an archive: [`add`](Self::add) the small entries in any order, then
/// [`payload`](Self::payload) once, then [`finish`](Self::finish).
///
/// The order of the archive is the profile's, whatever the order of the calls. The output must
/// be empty. After an error the output is not an archive and must be thrown away.
pub struct Writer {
    out: Arc<dyn WriteAt>,
    job: Job,
    product: Product,
    small: Vec<(IndexEntry, Vec<u8>)>,
    expected: Option<u64>,
    /// Where the next byte goes, once the body is being written.
    at: u64,
    blocks: BlockHasher,
    entries: Vec<IndexEntry>,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Collecting,
    Broken,
    Complete,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("product", &self.product)
            .field("at", &self.at)
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}

impl Writer {
    /// A writer to `out`.
    ///
    /// # Errors
    /// [`Code::MetaInvalid`] when product id or version cannot be used; [`Code::OutputPath`]
    /// when `out` is not empty.
    pub fn new(out: Arc<dyn WriteAt>, product: Product, job: &Job) -> Result<Self> {
        check_product(&product, Code::MetaInvalid)?;
        require_empty(&*out)?;
        Ok(Self {
            out,
            job: job.clone(),
            product,
            small: Vec::new(),
            expected: None,
            at: 0,
            blocks: BlockHasher::new(),
            entries: Vec::new(),
            stage: Stage::Collecting,
        })
    }

    /// Says how many bytes the payload will have, for progress only.
    pub fn expect_payload(&mut self, bytes: u64) {
        self.expected = Some(bytes);
    }

    /// Adds a small entry: `Info.plist`, `icon.png` or a script. `mode` is 0o644 or 0o755.
    ///
    /// # Errors
    /// [`Code::Internal`] when name, role, mode or order break the profile (a defect of the
    /// caller); [`Code::Limit`] when `data` has 64 MiB or more, or for too many entries.
    pub fn add(&mut self, path: &EntryPath, kind: EntryRole, mode: u32, data: &[u8]) -> Result<()> {
        self.require(Stage::Collecting, "entries come before the payload")?;
        if kind == EntryRole::Payload {
            return Err(misuse("the payload is not a small entry"));
        }
        check_entry(path, kind, mode)?;
        if self.small.iter().any(|(e, _)| e.path.as_str().eq_ignore_ascii_case(path.as_str())) {
            return Err(misuse("the entry is there already").within(path));
        }
        let mut content = Content::new();
        content.update(data);
        let (size, sha256, crc32) = content.finish();
        if size >= SMALL_ENTRY_LIMIT {
            return Err(Error::limit(Code::Limit, "bytes of the entry", SMALL_ENTRY_LIMIT, size)
                .within(path));
        }
        // One place is the payload's.
        if self.small.len().saturating_add(2) > MAX_ENTRIES {
            return Err(misuse("too many entries").within(path));
        }
        let entry = IndexEntry {
            path: path.clone(),
            role: kind,
            mode,
            size,
            crc32,
            header_offset: 0,
            offset: 0,
            sha256,
        };
        self.small.push((entry, data.to_vec()));
        Ok(())
    }

    /// Writes the entries so far and then the payload, which is read to its end.
    ///
    /// Memory is constant: at most eight buffers of 1 MiB and two blocks. The bytes of the
    /// archive do not depend on the sizes of the reads.
    ///
    /// # Errors
    /// Those of `input` ([`Code::InputIo`], or what it carries); [`Code::OutputIo`];
    /// [`Code::Cancelled`]; [`Code::Internal`] when name or mode break the profile or there is
    /// no `Info.plist`.
    pub fn payload(
        &mut self,
        path: &EntryPath,
        mode: u32,
        input: &mut (dyn Read + Send),
    ) -> Result<Stored> {
        self.require(Stage::Collecting, "there is a payload already")?;
        check_entry(path, EntryRole::Payload, mode)?;
        if !self.small.iter().any(|(e, _)| e.path.as_str() == INFO_PLIST) {
            return Err(misuse("Info.plist comes before the payload"));
        }
        self.stage = Stage::Broken;
        self.write_small()?;

        let mut entry = IndexEntry {
            path: path.clone(),
            role: EntryRole::Payload,
            mode,
            size: 0,
            crc32: 0,
            header_offset: self.at,
            offset: 0,
            sha256: [0; 32],
        };
        let header = header_of(&entry)?;
        self.blocks.hold(len64(header.len()));
        self.write(&header)?;
        entry.offset = self.at;

        self.job.report(Event::Started { phase: Phase::Pack, total: self.expected });
        (entry.size, entry.sha256, entry.crc32) = self.copy(input)?;
        self.job.report(Event::Finished { phase: Phase::Pack });

        let header = header_of(&entry)?;
        write_at(&*self.out, entry.header_offset, &header)?;
        self.blocks.release(&header);
        let stored = Stored { size: entry.size, sha256: entry.sha256, crc32: entry.crc32 };
        self.entries.push(entry);
        self.stage = Stage::Complete;
        Ok(stored)
    }

    /// Writes index, signature (`None`: an unsigned archive) and directory.
    ///
    /// # Errors
    /// Those of `sign`; [`Code::OutputIo`]; [`Code::Limit`] when index or signature are larger
    /// than a reader would accept; [`Code::Internal`] when there was no payload.
    pub fn finish(self, sign: Option<Sign<'_>>) -> Result<Written> {
        self.require(Stage::Complete, "there is no complete payload")?;
        let index = Index {
            product: self.product,
            body: self.at,
            entries: self.entries,
            blocks: self.blocks.finish(),
        };
        index.check().map_err(|e| misuse(e.to_string()))?;
        let bytes = index.encode()?;
        write_end(&*self.out, &index, &bytes, sign, &self.job).map(|len| Written {
            index_sha256: sha256(&bytes),
            index,
            len,
        })
    }

    fn require(&self, stage: Stage, what: &str) -> Result<()> {
        if self.stage == stage { Ok(()) } else { Err(misuse(what)) }
    }

    fn write_small(&mut self) -> Result<()> {
        let mut small = std::mem::take(&mut self.small);
        small.sort_by(|(a, _), (b, _)| (a.role, &a.path).cmp(&(b.role, &b.path)));
        for (mut entry, data) in small {
            entry.header_offset = self.at;
            self.write(&header_of(&entry)?)?;
            entry.offset = self.at;
            for piece in data.chunks(BUFFER) {
                self.job.check()?;
                self.write(piece)?;
            }
            self.entries.push(entry);
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        write_at(&*self.out, self.at, bytes)?;
        self.blocks.update(bytes);
        self.at = advance(self.at, bytes)?;
        Ok(())
    }

    /// Copies `input` to the output; its size, SHA-256 and CRC-32.
    fn copy(&mut self, input: &mut (dyn Read + Send)) -> Result<(u64, Digest, u32)> {
        let mut content = Content::new();
        let (job, out, at, blocks) = (&self.job, &*self.out, &mut self.at, &mut self.blocks);
        pump(
            |buffer| {
                fill(input, buffer, job)?;
                write_at(out, *at, buffer)?;
                *at = advance(*at, buffer)?;
                job.report(Event::Advanced { phase: Phase::Pack, bytes: len64(buffer.len()) });
                Ok(!buffer.is_empty())
            },
            |buffer| {
                content.update(buffer);
                Ok(())
            },
            |buffer| {
                blocks.update(buffer);
                Ok(())
            },
        )?;
        Ok(content.finish())
    }
}

/// Writes what follows the body; the length of the archive.
pub(crate) fn write_end(
    out: &dyn WriteAt,
    index: &Index,
    index_bytes: &[u8],
    sign: Option<Sign<'_>>,
    job: &Job,
) -> Result<u64> {
    let limits = job.limits();
    within("bytes of the index", index_bytes, limits.index_bytes)?;
    job.check()?;
    let signature = sign.map(|sign| sign(index_bytes)).transpose()?;
    if let Some(s) = &signature {
        within("bytes of the signature", s, limits.cms_bytes)?;
        if s.is_empty() {
            return Err(misuse("the signature is empty"));
        }
    }
    let layout = Layout::new(index, index_bytes, signature.as_deref())?;
    let put = |at: u64, header: &[u8], content: &[u8]| {
        write_at(out, at, header)?;
        write_at(out, advance(at, header)?, content)
    };
    put(layout.index.at, &layout.index.bytes, index_bytes)?;
    if let (Some(piece), Some(s)) = (&layout.signature, &signature) {
        put(piece.at, &piece.bytes, s)?;
    }
    write_at(out, layout.end.at, &layout.end.bytes)?;
    Ok(layout.len)
}

pub(crate) fn require_empty(out: &dyn WriteAt) -> Result<()> {
    match out.size() {
        0 => Ok(()),
        n => Err(Error::new(Code::OutputPath, format!("the output has {n} bytes already"))),
    }
}

pub(crate) fn write_at(out: &dyn WriteAt, at: u64, bytes: &[u8]) -> Result<()> {
    out.write_all_at(at, bytes)
        .map_err(|e| Error::from_io(Code::OutputIo, "writing the archive", e).at(at))
}

pub(crate) fn advance(at: u64, bytes: &[u8]) -> Result<u64> {
    at.checked_add(len64(bytes.len()))
        .ok_or_else(|| Error::new(Code::Limit, "the archive ends past all numbers").at(at))
}

fn within(what: &str, bytes: &[u8], limit: u64) -> Result<()> {
    match len64(bytes.len()) {
        n if n > limit => Err(Error::limit(Code::Limit, what, limit, n)),
        _ => Ok(()),
    }
}

fn check_entry(path: &EntryPath, role: EntryRole, mode: u32) -> Result<()> {
    if role_of(path.as_str()).map_err(|e| misuse(e.to_string()))? != role {
        return Err(misuse("the entry has the role of another name").within(path));
    }
    if !MODES.contains(&mode) {
        return Err(misuse(format!("mode {mode:o} is neither 644 nor 755")).within(path));
    }
    Ok(())
}

fn header_of(entry: &IndexEntry) -> Result<Vec<u8>> {
    records::local_header(&entry.fields())
        .ok_or_else(|| Error::new(Code::Limit, "the archive ends past all numbers"))
}

/// Fills `buffer` up to 1 MiB; less only at the end of `input`.
fn fill(input: &mut (dyn Read + Send), buffer: &mut Vec<u8>, job: &Job) -> Result<()> {
    buffer.resize(BUFFER, 0);
    let mut filled = 0usize;
    while let Some(room) = buffer.get_mut(filled..).filter(|r| !r.is_empty()) {
        job.check()?;
        match input.read(room) {
            Ok(0) => break,
            Ok(n) if n > room.len() => {
                return Err(Error::new(Code::InputIo, "the input claims more than was asked for"));
            }
            Ok(n) => filled = filled.saturating_add(n),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Error::from_io(Code::InputIo, "reading the payload", e)),
        }
    }
    buffer.truncate(filled);
    Ok(())
}

/// The caller broke a rule of the profile: not a matter of the input.
fn misuse(what: impl Into<String>) -> Error {
    Error::new(Code::Internal, what)
}
