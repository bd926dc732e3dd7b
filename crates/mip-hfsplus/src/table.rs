//! Every entry of a volume in little memory, from one pass over the leaves of the catalog.
//!
//! An entry costs 72 bytes, its name and 8 bytes for each extent of its record.

use mip_base::bytes::{be_u16, be_u32};
use mip_base::{Code, EntryKind, Error, Job, Result, len64};

use crate::btree::BTree;
use crate::catalog::{CatalogKey, Link, ROOT, ROOT_PARENT, Record};
use crate::extents::{Extent, Fork};
use crate::links::Private;
use crate::names::shown;

/// Extents that are kept for all entries together.
const MAX_EXTENTS: u64 = 4_000_000;

/// One folder or file.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    data_size: u64,
    resource_size: u64,
    pub(crate) id: u32,
    name_at: u32,
    extents_at: u32,
    uid: u32,
    gid: u32,
    special: u32,
    modified: u32,
    data_blocks: u32,
    resource_blocks: u32,
    pub(crate) link: Link,
    name_len: u16,
    mode: u16,
    data_extents: u8,
    resource_extents: u8,
    pub(crate) kind: EntryKind,
    pub(crate) compressed: bool,
    alias: bool,
}

/// The entries of one folder: a range of [`Table::entries`].
#[derive(Debug, Clone, Copy)]
struct Group {
    parent: u32,
    /// The folder's own parent, as its thread record says.
    thread: Option<u32>,
    start: u32,
    end: u32,
}

/// All entries, by folder; those of one folder in the order of the bytes of their names.
#[derive(Debug, Default)]
pub(crate) struct Table {
    entries: Vec<Entry>,
    groups: Vec<Group>,
    names: String,
    extents: Vec<Extent>,
}

fn index(n: usize) -> Result<u32> {
    u32::try_from(n).map_err(|_| Error::limit(Code::LimitEntries, "entries", 1 << 32, len64(n)))
}

impl Table {
    /// Reads the leaves of the catalog.
    pub(crate) fn read(catalog: &BTree, job: &Job) -> Result<Self> {
        let mut t = Self::default();
        let limits = job.limits();
        let mut thread = None;
        let expected = usize::try_from(catalog.leaf_records().min(limits.entries) / 2);
        // A hint only: growing step by step would need twice the memory for a moment.
        let _ = t.entries.try_reserve(expected.unwrap_or(0));
        catalog.scan(job, &mut |key, data| {
            let key = CatalogKey::parse(key)?;
            if key.parent == ROOT_PARENT {
                return Ok(true);
            }
            let Some(record) = Record::parse(data)? else {
                // Of a folder thread the parent; the threads of files lead to nothing here.
                if be_u16(data, 0) == Some(3) {
                    thread = be_u32(data, 4).map(|p| (key.parent, p));
                }
                return Ok(true);
            };
            if len64(t.entries.len()) >= limits.entries {
                let n = limits.entries.saturating_add(1);
                return Err(Error::limit(Code::LimitEntries, "entries", limits.entries, n));
            }
            let here = index(t.entries.len())?;
            match t.groups.last_mut() {
                Some(g) if g.parent == key.parent => g.end = here.saturating_add(1),
                Some(g) if g.parent > key.parent => {
                    return Err(Error::new(
                        Code::HfsBtree,
                        format!("the catalog is not in order: {} after {}", key.parent, g.parent),
                    ));
                }
                _ => t.groups.push(Group {
                    parent: key.parent,
                    thread: thread.filter(|(id, _)| *id == key.parent).map(|(_, p)| p),
                    start: here,
                    end: here.saturating_add(1),
                }),
            }
            t.push(&shown(&key.name)?, record, limits.path_bytes_kept)?;
            Ok(true)
        })?;
        let names = &t.names;
        for g in &t.groups {
            if let Some(part) = t.entries.get_mut(range(*g)) {
                part.sort_unstable_by(|a, b| text(names, a).cmp(text(names, b)));
            }
        }
        Ok(t)
    }

    fn push(&mut self, name: &str, r: Record, kept: u64) -> Result<()> {
        let names = len64(self.names.len()).saturating_add(len64(name.len()));
        if names > kept {
            return Err(Error::limit(Code::LimitMemory, "path_bytes_kept", kept, names));
        }
        let (name_at, extents_at) = (index(self.names.len())?, index(self.extents.len())?);
        self.names.push_str(name);
        self.extents.extend_from_slice(&r.data.extents);
        self.extents.extend_from_slice(&r.resource.extents);
        let extents = len64(self.extents.len());
        if extents > MAX_EXTENTS {
            return Err(Error::limit(Code::LimitMemory, "extents", MAX_EXTENTS, extents));
        }
        let small = |n: usize| u8::try_from(n).unwrap_or(u8::MAX);
        self.entries.push(Entry {
            data_size: r.data.size,
            resource_size: r.resource.size,
            id: r.id,
            name_at,
            extents_at,
            uid: r.uid,
            gid: r.gid,
            special: r.special,
            modified: r.modified,
            data_blocks: r.data.blocks,
            resource_blocks: r.resource.blocks,
            link: r.link,
            // At most 255 units, so 765 bytes; a mode is 12 bits here.
            name_len: u16::try_from(name.len()).unwrap_or(u16::MAX),
            mode: u16::try_from(r.mode).unwrap_or(0),
            data_extents: small(r.data.extents.len()),
            resource_extents: small(r.resource.extents.len()),
            kind: r.kind,
            compressed: r.compressed,
            alias: r.alias,
        });
        Ok(())
    }

    /// The record of an entry again.
    pub(crate) fn record(&self, e: &Entry) -> Record {
        let at = usize::try_from(e.extents_at).unwrap_or(usize::MAX);
        let middle = at.saturating_add(usize::from(e.data_extents));
        let end = middle.saturating_add(usize::from(e.resource_extents));
        let part = |from: usize, to: usize| -> Box<[Extent]> {
            self.extents.get(from..to).unwrap_or_default().into()
        };
        Record {
            id: e.id,
            kind: e.kind,
            link: e.link,
            mode: u32::from(e.mode),
            uid: e.uid,
            gid: e.gid,
            special: e.special,
            modified: e.modified,
            compressed: e.compressed,
            alias: e.alias,
            data: Fork { size: e.data_size, blocks: e.data_blocks, extents: part(at, middle) },
            resource: Fork {
                size: e.resource_size,
                blocks: e.resource_blocks,
                extents: part(middle, end),
            },
        }
    }

    /// The name of an entry.
    pub(crate) fn name(&self, e: &Entry) -> &str {
        text(&self.names, e)
    }

    /// The entries of a folder, in the order of their names.
    pub(crate) fn children(&self, folder: u32) -> &[Entry] {
        let found = self.groups.binary_search_by_key(&folder, |g| g.parent).ok();
        let group = found.and_then(|i| self.groups.get(i));
        group.and_then(|g| self.entries.get(range(*g))).unwrap_or_default()
    }

    /// Whether any entry may be compressed.
    pub(crate) fn any_compressed(&self) -> bool {
        self.entries.iter().any(|e| e.compressed)
    }

    /// Checks what only the whole shows: no CNID is there twice, each folder is in one place below
    /// the root, no name is twice in a folder, no block belongs to two files.
    pub(crate) fn check(&self, job: &Job) -> Result<()> {
        let bad = |m: String| Err(Error::new(Code::HfsRecord, m));
        for g in &self.groups {
            let part = self.entries.get(range(*g)).unwrap_or_default();
            for pair in part.windows(2) {
                if let [a, b] = pair
                    && self.name(a) == self.name(b)
                {
                    let name = mip_base::escape(self.name(a));
                    return bad(format!("two entries of one folder have the name \"{name}\""));
                }
            }
        }
        let mut ids: Vec<u32> = self.entries.iter().map(|e| e.id).collect();
        ids.push(ROOT);
        ids.sort_unstable();
        if let Some([id, _]) = ids.windows(2).find(|w| w.first() == w.last()) {
            return bad(format!("two entries have the CNID {id}"));
        }
        let mut folders: Vec<u32> = self.entries.iter().filter_map(folder_id).collect();
        folders.push(ROOT);
        folders.sort_unstable();
        for g in &self.groups {
            if folders.binary_search(&g.parent).is_err() {
                return bad(format!("entries lie in folder {}, which does not exist", g.parent));
            }
        }
        let (mut todo, mut reached) = (vec![ROOT], 0_usize);
        while let Some(folder) = todo.pop() {
            job.check()?;
            let Ok(i) = self.groups.binary_search_by_key(&folder, |g| g.parent) else { continue };
            reached = reached.saturating_add(1);
            let Some(g) = self.groups.get(i) else { continue };
            for id in self.entries.get(range(*g)).unwrap_or_default().iter().filter_map(folder_id) {
                let below = self.groups.binary_search_by_key(&id, |g| g.parent).ok();
                let thread = below.and_then(|i| self.groups.get(i)).and_then(|g| g.thread);
                if thread.is_some_and(|p| p != folder) {
                    return bad(format!("the thread of folder {id} leads to another parent"));
                }
                todo.push(id);
            }
        }
        if reached != self.groups.len() {
            return bad("folders that contain themselves, out of reach of the root folder".into());
        }
        self.check_overlap()
    }

    fn check_overlap(&self) -> Result<()> {
        let mut all = self.extents.clone();
        all.sort_unstable_by_key(|e| e.start);
        let mut end = 0_u32;
        for e in all {
            if e.start < end {
                return Err(Error::new(
                    Code::HfsExtent,
                    format!("block {} belongs to two files", e.start),
                ));
            }
            end = e.start.saturating_add(e.count);
        }
        Ok(())
    }

    /// The numbers and entries of the targets of hard links.
    pub(crate) fn targets(&self, private: &Private) -> Targets<'_> {
        let list = |folder: Option<u32>, prefix: &str| {
            let mut out: Vec<(u32, &Entry)> = folder
                .map(|f| self.children(f))
                .unwrap_or_default()
                .iter()
                .filter_map(|e| Some((self.name(e).strip_prefix(prefix)?.parse().ok()?, e)))
                .collect();
            out.sort_unstable_by_key(|(n, _)| *n);
            out
        };
        Targets { files: list(private.files, "iNode"), folders: list(private.folders, "dir_") }
    }
}

/// What hard links lead to, by number.
pub(crate) struct Targets<'a> {
    files: Vec<(u32, &'a Entry)>,
    folders: Vec<(u32, &'a Entry)>,
}

impl<'a> Targets<'a> {
    pub(crate) fn get(&self, link: Link) -> Option<&'a Entry> {
        let (list, n) = match link {
            Link::None => return None,
            Link::File(n) => (&self.files, n),
            Link::Folder(n) => (&self.folders, n),
        };
        let i = list.binary_search_by_key(&n, |(n, _)| *n).ok()?;
        list.get(i).map(|(_, e)| *e)
    }
}

fn folder_id(e: &Entry) -> Option<u32> {
    (e.kind == EntryKind::Directory).then_some(e.id)
}

fn range(g: Group) -> std::ops::Range<usize> {
    let at = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
    at(g.start)..at(g.end)
}

fn text<'a>(names: &'a str, e: &Entry) -> &'a str {
    let at = usize::try_from(e.name_at).unwrap_or(usize::MAX);
    names.get(at..at.saturating_add(usize::from(e.name_len))).unwrap_or_default()
}
