//! The `Paths` tree: names with parent ids, and what is recorded of each.

use std::collections::{HashMap, HashSet};

use mip_base::bytes::{be_u16, be_u32, be_u64, slice};
use mip_base::{Code, EntryKind, EntryPath, Error, Job, Result, escape_bytes, len64};

use crate::BomPath;
use crate::store::{Store, bad};

/// One leaf entry, before its path is known.
struct Entry<'a> {
    id: u32,
    parent: u32,
    name: &'a [u8],
    info: u32,
}

/// Reads all paths below the root, sorted.
pub(crate) fn read(store: &Store, job: &Job) -> Result<Vec<BomPath>> {
    let tree = store.variable(b"Paths")?.ok_or_else(|| bad("the Bom has no \"Paths\""))?;
    let sizes = sizes(store, job)?;
    let mut entries = Vec::new();
    for (first, second) in store.tree(tree, job)? {
        // First block: u32 id, u32 block of the record. Second: u32 parent id, name with NUL.
        let (head, named) = (store.block(first)?, store.block(second)?);
        let cut = || bad("an entry of the Bom is cut");
        let (id, info) = (be_u32(head, 0).ok_or_else(cut)?, be_u32(head, 4).ok_or_else(cut)?);
        let parent = be_u32(named, 0).ok_or_else(cut)?;
        let name = until_nul(named.get(4..).unwrap_or(&[]), job.limits().component_bytes)
            .ok_or_else(|| bad(format!("the name of entry {id} has no end or is too long")))?;
        if id == 0 {
            return Err(bad("an entry has the id 0, which means \"no parent\""));
        }
        entries.push(Entry { id, parent, name, info });
    }
    let mut out = Vec::with_capacity(entries.len());
    for (path, info) in resolve(&entries, job)? {
        let record = record(store.block(info)?, sizes.get(&info).copied(), &path, job)
            .map_err(|e| e.within(path.as_str()))?;
        out.push(record);
    }
    // By components, so that a folder is followed by what is in it.
    out.sort_unstable_by(|a, b| a.path.components().cmp(b.path.components()));
    for (a, b) in out.iter().zip(out.iter().skip(1)) {
        if a.path == b.path {
            return Err(bad("two entries have this path").within(a.path.as_str()));
        }
    }
    Ok(out)
}

/// Builds paths from the root down. What is not reached has a parent that is missing, or is
/// part of a circle.
fn resolve(entries: &[Entry<'_>], job: &Job) -> Result<Vec<(EntryPath, u32)>> {
    let limits = job.limits();
    let mut children: HashMap<u32, Vec<usize>> = HashMap::new();
    let mut ids: HashSet<u32> = HashSet::with_capacity(entries.len());
    for (i, e) in entries.iter().enumerate() {
        if !ids.insert(e.id) {
            return Err(bad(format!("two entries have the id {}", e.id)));
        }
        children.entry(e.parent).or_default().push(i);
    }
    let mut out = Vec::with_capacity(entries.len());
    let mut reached: usize = 0;
    let mut kept: u64 = 0;
    let mut work: Vec<(u32, Option<EntryPath>)> = vec![(0, None)];
    while let Some((id, folder)) = work.pop() {
        job.check()?;
        // Taken out of the map: no id is visited twice.
        for e in children.remove(&id).unwrap_or_default().into_iter().filter_map(|i| entries.get(i))
        {
            reached = reached.saturating_add(1);
            if e.parent == 0 && e.name == b"." {
                work.push((e.id, None));
                continue;
            }
            let path = path(folder.as_ref(), e.name, job)?;
            let len = len64(path.as_str().len());
            kept = kept.saturating_add(len);
            if kept > limits.path_bytes_kept {
                let limit = limits.path_bytes_kept;
                return Err(Error::limit(Code::LimitEntries, "bytes of paths kept", limit, kept));
            }
            if children.contains_key(&e.id) {
                work.push((e.id, Some(path.clone())));
            }
            out.push((path, e.info));
        }
    }
    if reached != entries.len() {
        return Err(bad(format!(
            "{} of {} entries have a parent that is missing, or are in a circle",
            entries.len().saturating_sub(reached),
            entries.len()
        )));
    }
    Ok(out)
}

fn path(folder: Option<&EntryPath>, name: &[u8], job: &Job) -> Result<EntryPath> {
    let one = !name.is_empty() && name != b"." && name != b".." && !name.contains(&b'/');
    let text = std::str::from_utf8(name).ok().filter(|_| one).ok_or_else(|| {
        let shown = escape_bytes(name.get(..100).unwrap_or(name));
        Error::new(Code::PathUnsafe, format!("the name \"{shown}\" is not the name of one file"))
    })?;
    match folder {
        None => EntryPath::new(text, job.limits()),
        Some(f) => EntryPath::new(&format!("{f}/{text}"), job.limits()),
    }
}

/// The record of a path: u8 type, u8, u16 flags; unless the Bom was made of paths only, then
/// u16 mode, u32 uid, u32 gid, u32 mtime, u32 size, u8. Files and links go on with a u32
/// checksum, links with u32 length and the target with its NUL; devices with their number.
fn record(r: &[u8], size64: Option<u64>, path: &EntryPath, job: &Job) -> Result<BomPath> {
    let cut = || bad(format!("its record of {} bytes is cut", r.len()));
    let kind = *r.first().ok_or_else(cut)?;
    let mode = if r.len() == 4 { 0 } else { u32::from(be_u16(r, 4).ok_or_else(cut)?) };
    let kind = entry_kind(kind, mode)?;
    // The low bits of the flags say which fields are meant: 15 in Apple's complete records, 3
    // in those of bomutils (as complete), 1 where all after the mode is zero because it was
    // not recorded. A writer that sets 1 and fills the fields means what it fills in.
    let flags = be_u16(r, 2).ok_or_else(cut)?;
    let filled = slice(r, 6, 16).is_some_and(|fields| fields.iter().any(|b| *b != 0));
    let complete = r.len() > 4 && (flags & 0xe != 0 || filled);
    let mut out = BomPath {
        path: path.clone(),
        kind,
        mode: mode & 0o7777,
        complete,
        uid: 0,
        gid: 0,
        mtime: 0,
        size: 0,
        link: None,
        checksum: 0,
    };
    if !complete {
        return Ok(out);
    }
    let field = |at| be_u32(r, at).ok_or_else(cut);
    (out.uid, out.gid, out.mtime) = (field(6)?, field(10)?, field(14)?);
    let size = u64::from(field(18)?);
    out.size = match size64 {
        Some(large) if large & 0xffff_ffff == size => large,
        Some(large) => {
            return Err(bad(format!(
                "its size is {size} in the record, and {large} in the table of large sizes"
            )));
        }
        None => size,
    };
    if matches!(kind, EntryKind::File | EntryKind::Symlink) {
        out.checksum = field(23)?;
    }
    if kind == EntryKind::Symlink {
        out.link = target(r, job)?;
    }
    Ok(out)
}

fn target(r: &[u8], job: &Job) -> Result<Option<String>> {
    let cut = || bad("its link target is cut");
    let len = be_u32(r, 27).ok_or_else(cut)?;
    let limit = job.limits().link_bytes;
    if u64::from(len) > limit.saturating_add(1) {
        return Err(Error::limit(Code::Bom, "bytes of a link's target", limit, len.into()));
    }
    if len == 0 {
        return Ok(None);
    }
    let text = slice(r, 31, usize::try_from(len).unwrap_or(usize::MAX)).ok_or_else(cut)?;
    match text.split_last() {
        Some((0, text)) if !text.contains(&0) => match std::str::from_utf8(text) {
            Ok(text) => Ok(Some(text.to_owned())),
            Err(_) => Err(bad("its link target is not UTF-8")),
        },
        _ => Err(bad("its link target does not end with its only NUL")),
    }
}

/// The kind by the record's type; a mode, where there is one, must agree.
fn entry_kind(kind: u8, mode: u32) -> Result<EntryKind> {
    let by_mode = EntryKind::from_mode(mode);
    let fits = |k: EntryKind| (mode == 0 || by_mode == Some(k)).then_some(k);
    let found = match kind {
        1 => fits(EntryKind::File),
        2 => fits(EntryKind::Directory),
        3 => fits(EntryKind::Symlink),
        4 => by_mode
            .filter(|k| !matches!(k, EntryKind::File | EntryKind::Directory | EntryKind::Symlink)),
        _ => None,
    };
    found.ok_or_else(|| bad(format!("its record has the type {kind} and the mode {mode:o}")))
}

/// Sizes that do not fit 32 bits, by the block of their record: the tree `Size64` pairs a
/// block with the u64 size and a block with the u32 index of the record.
fn sizes(store: &Store, job: &Job) -> Result<HashMap<u32, u64>> {
    let mut out = HashMap::new();
    let Some(tree) = store.variable(b"Size64")? else { return Ok(out) };
    for (size, record) in store.tree(tree, job)? {
        let (size, record) = (store.block(size)?, store.block(record)?);
        let (8, 4) = (size.len(), record.len()) else {
            return Err(bad("an entry of \"Size64\" is not a size and a block"));
        };
        let (Some(size), Some(record)) = (be_u64(size, 0), be_u32(record, 0)) else {
            return Err(bad("an entry of \"Size64\" is cut"));
        };
        if out.insert(record, size).is_some_and(|s| s != size) {
            return Err(bad(format!("\"Size64\" gives two sizes for block {record}")));
        }
    }
    Ok(out)
}

/// The bytes before the first NUL, at most `limit`: entries may share one long block, so an
/// unbounded search would take its length times their number.
fn until_nul(bytes: &[u8], limit: u64) -> Option<&[u8]> {
    let most = usize::try_from(limit).unwrap_or(usize::MAX).saturating_add(1);
    let head = bytes.get(..most).unwrap_or(bytes);
    head.split(|b| *b == 0).next().filter(|name| name.len() < head.len())
}
