//! A tar file as a tree, plain or compressed.
//!
//! The first pass lists the names and keeps the small files that inspection asks for, so that a
//! compressed tar is decoded twice for a conversion and once for an inspection.

#[path = "tar_reader.rs"]
mod reader;

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use mip_base::{
    Code, EntryKind, EntryPath, Error, Job, Result, Section, Source, escape, escape_bytes, len64,
};
use mip_codec::Compression;

use self::reader::{Member, TarReader};
use super::listing::{Builder, Listing};
use super::{Tree, TreeEntry, UseData, Visit, read_all, read_head};
use crate::input::unpacked;

/// A tar file.
#[derive(Debug)]
pub struct TarTree {
    file: Section,
    compression: Compression,
    listing: Listing,
    /// Where each entry's data starts in the decoded tar.
    offsets: Vec<u64>,
    kept: BTreeMap<usize, Kept>,
    /// Bytes of the decoded tar.
    decoded: u64,
    /// Bytes decoded for files that were asked for one by one.
    again: AtomicU64,
    /// The decoded tar, once that was too much.
    copy: OnceLock<Section>,
}

/// What the first pass kept of a file.
#[derive(Debug)]
enum Kept {
    Whole(Vec<u8>),
    Head(Vec<u8>),
}

/// Most bytes that the first pass keeps of all files together.
const KEEP: u64 = 16 << 20;
/// A compressed tar is decoded anew for a file that was not kept, until that comes to this many
/// bytes and twice the tar; then one copy is made. Else a tar of many small packages would take
/// the square of its size.
const AGAIN: u64 = 64 << 20;
/// Bytes kept of a program: the header that names its architectures.
const HEAD: usize = 4096;

type Input = TarReader<Box<dyn Read + Send>>;

impl TarTree {
    /// Reads the whole file once.
    ///
    /// # Errors
    /// [`Code::Tar`] for a damaged or cut file, and the codes of the decoders;
    /// [`Code::Unsupported`] for sparse files and members of unknown type;
    /// [`Code::SpecialFile`], [`Code::PathUnsafe`], [`Code::PathCollision`]; limits.
    pub fn open(source: Source, compression: Compression, job: &Job) -> Result<Self> {
        let file = Section::whole(source);
        let mut input = start(&file, compression, job)?;
        let mut builder = Builder::new(Code::Tar, job);
        let mut offsets = Vec::new();
        let mut kept = BTreeMap::new();
        let mut links = Vec::new();
        let mut room = KEEP;
        while let Some(member) = input.next_member()? {
            let offset = member.data;
            let Some(entry) = entry(member, job)? else { continue };
            let (path, kind) = (entry.path.clone(), entry.kind);
            let Some(index) = builder.add(entry)? else { continue };
            offsets.push(offset);
            if kind == EntryKind::Hardlink {
                links.push(index);
            }
            if let Some(e) = builder.get(index)
                && let Some(k) =
                    keep(&mut input, e, &mut room, job).map_err(|e| e.within(path.as_str()))?
            {
                kept.insert(index, k);
            }
        }
        let attributes = &mut builder.dropped_mut().attributes;
        *attributes = attributes.saturating_add(input.attributes());
        let listing = builder.finish()?;
        for index in links {
            check_hard_link(&listing, index)?;
        }
        let (again, copy) = (AtomicU64::new(0), OnceLock::new());
        Ok(Self { file, compression, listing, offsets, kept, decoded: input.at(), again, copy })
    }

    /// Decodes up to entry `index` and hands its data over.
    fn with_data<T>(
        &self,
        index: usize,
        job: &Job,
        use_data: impl FnOnce(&mut (dyn Read + Send), &TreeEntry) -> Result<T>,
    ) -> Result<T> {
        let no_entry = || Error::new(Code::Internal, "no such entry");
        let entry = self.listing.entries().get(index).ok_or_else(no_entry)?;
        if entry.kind != EntryKind::File {
            return Err(Error::new(Code::Internal, "is not a file").within(entry.path.as_str()));
        }
        if let Some(section) = self.section(index)? {
            return use_data(&mut section.reader(), entry);
        }
        let offset = self.offsets.get(index).copied().ok_or_else(no_entry)?;
        if let Some(copy) = self.copy(offset.saturating_add(entry.size), job)? {
            let section = copy.slice(offset, entry.size).ok_or_else(changed)?;
            return use_data(&mut section.reader(), entry);
        }
        let mut input = start(&self.file, self.compression, job)?;
        while let Some(member) = input.next_member()? {
            if member.data == offset {
                return use_data(&mut input, entry);
            }
        }
        Err(changed())
    }
}

impl TarTree {
    /// The decoded tar as a copy, where decoding up to `end` once more would be too much.
    fn copy(&self, end: u64, job: &Job) -> Result<Option<&Section>> {
        let used = self.again.fetch_add(end, Ordering::Relaxed).saturating_add(end);
        if self.copy.get().is_none() && used > self.decoded.saturating_mul(2).saturating_add(AGAIN)
        {
            let copy = unpacked(&self.file, self.compression, Some(self.decoded), job)?;
            // Another thread may have been first: both copies are the same.
            let _ = self.copy.set(Section::whole(copy));
        }
        Ok(self.copy.get())
    }
}

fn changed() -> Error {
    Error::new(Code::InputChanged, "the tar changed while it was being read")
}

fn start(file: &Section, compression: Compression, job: &Job) -> Result<Input> {
    let raw = std::io::BufReader::with_capacity(1 << 18, file.reader());
    let input = mip_codec::decoder(compression, Box::new(raw), job)?;
    Ok(TarReader::new(input, job))
}

/// The entry of a member; `None` for the root itself.
fn entry(member: Member, job: &Job) -> Result<Option<TreeEntry>> {
    let limits = job.limits();
    let at = member.header;
    let Some(path) = EntryPath::parse(&member.name, limits).map_err(|e| e.at(at))? else {
        return Ok(None);
    };
    let within = |e: Error| e.at(at).within(path.as_str());
    let link = match member.kind {
        EntryKind::File | EntryKind::Directory => None,
        EntryKind::Hardlink => {
            let target = EntryPath::parse(&member.link, limits).map_err(within)?;
            Some(
                target
                    .map(|t| t.as_str().to_owned())
                    .ok_or_else(|| within(Error::new(Code::Tar, "is a hard link to nothing")))?,
            )
        }
        EntryKind::Symlink => Some(String::from_utf8(member.link).map_err(|e| {
            let shown = escape_bytes(e.as_bytes());
            within(Error::new(
                Code::PathUnsafe,
                format!("the link's target \"{shown}\" is not UTF-8"),
            ))
        })?),
        _ => {
            return Err(within(Error::new(Code::SpecialFile, "is a device, pipe or socket")));
        }
    };
    let Member { kind, size, mtime, .. } = member;
    let mode = u32::try_from(member.mode & 0o7777).unwrap_or(0);
    Ok(Some(TreeEntry { path, kind, mode, size, link, mtime }))
}

/// A hard link leads to a file that stands before it.
fn check_hard_link(listing: &Listing, index: usize) -> Result<()> {
    let Some(e) = listing.entries().get(index) else { return Ok(()) };
    let target = e.link.as_deref().unwrap_or("");
    let found = listing.find(target).filter(|&t| t < index);
    let is_file = |t: usize| listing.entries().get(t).is_some_and(|t| t.kind == EntryKind::File);
    if found.is_some_and(is_file) {
        return Ok(());
    }
    let why = format!("is a hard link to \"{}\", which is no file before it", escape(target));
    Err(Error::new(Code::Tar, why).within(e.path.as_str()))
}

/// Keeps what inspection asks for: property lists, icons, seals, and the head of programs.
fn keep(input: &mut Input, e: &TreeEntry, room: &mut u64, job: &Job) -> Result<Option<Kept>> {
    if e.kind != EntryKind::File {
        return Ok(None);
    }
    let limits = job.limits();
    let name = e.path.file_name();
    let whole = match name.rsplit_once('.').map(|(_, ext)| ext) {
        Some("plist" | "strings" | "loctable") => e.size <= limits.plist_bytes,
        Some("icns" | "car") => e.size <= limits.small_file,
        _ => name == "CodeResources" && e.size <= limits.plist_bytes,
    };
    if whole && e.size <= *room {
        *room = room.saturating_sub(e.size);
        let mut data = job.buffer(name, e.size, KEEP)?;
        input.read_exact(&mut data).map_err(|e| Error::from_io(Code::Tar, "cannot read", e))?;
        return Ok(Some(Kept::Whole(data)));
    }
    let program = e.mode & 0o111 != 0 || e.path.as_str().contains("/MacOS/");
    if program && len64(HEAD) <= *room {
        let head = read_head(input, HEAD, Code::Tar)?;
        if crate::app::is_program(&head) {
            *room = room.saturating_sub(len64(HEAD));
            return Ok(Some(Kept::Head(head)));
        }
    }
    Ok(None)
}

impl Tree for TarTree {
    fn listing(&self) -> &Listing {
        &self.listing
    }

    fn walk(&self, below: Option<&EntryPath>, job: &Job, visit: &mut Visit<'_>) -> Result<()> {
        let mut input = start(&self.file, self.compression, job)?;
        let mut expected = self.listing.entries().iter().zip(&self.offsets).peekable();
        while let Some(member) = input.next_member()? {
            job.check()?;
            // The first pass listed this member, or dropped it.
            let Some((entry, _)) = expected.next_if(|(_, o)| **o == member.data) else { continue };
            if entry.size != member.size && entry.kind == EntryKind::File {
                return Err(changed());
            }
            if !super::listing::is_below(&entry.path, below) {
                continue;
            }
            if entry.kind == EntryKind::File {
                visit(entry, Some(&mut input))?;
            } else {
                visit(entry, None)?;
            }
        }
        if expected.next().is_some() { Err(changed()) } else { Ok(()) }
    }

    fn section(&self, index: usize) -> Result<Option<Section>> {
        let (Some(entry), Some(offset)) =
            (self.listing.entries().get(index), self.offsets.get(index))
        else {
            return Ok(None);
        };
        if self.compression != Compression::None || entry.kind != EntryKind::File {
            return Ok(None);
        }
        match self.file.slice(*offset, entry.size) {
            Some(s) => Ok(Some(s)),
            None => Err(changed()),
        }
    }

    fn stream(&self, index: usize, job: &Job, use_data: &mut UseData<'_>) -> Result<()> {
        match self.kept.get(&index) {
            Some(Kept::Whole(data)) => use_data(&mut data.as_slice()),
            _ => self.with_data(index, job, |input, _| use_data(input)),
        }
    }

    fn read(&self, index: usize, limit: u64, job: &Job) -> Result<Vec<u8>> {
        if let Some(Kept::Whole(data)) = self.kept.get(&index) {
            let len = len64(data.len());
            if len > limit {
                return Err(Error::limit(Code::LimitMemory, "file", limit, len));
            }
            return Ok(data.clone());
        }
        self.with_data(index, job, |input, entry| read_all(input, entry, limit, Code::Tar, job))
    }

    fn head(&self, index: usize, len: usize, job: &Job) -> Result<Vec<u8>> {
        match self.kept.get(&index) {
            Some(Kept::Whole(data)) => Ok(data.get(..len).unwrap_or(data).to_vec()),
            // A head that is shorter than asked for is enough when it is all of the file.
            Some(Kept::Head(head)) if head.len() >= len || head.len() < HEAD => {
                Ok(head.get(..len).unwrap_or(head).to_vec())
            }
            _ => self.with_data(index, job, |input, _| read_head(input, len, Code::Tar)),
        }
    }
}
