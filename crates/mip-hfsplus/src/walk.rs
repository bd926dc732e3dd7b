//! The whole volume, parents before children.

use std::collections::HashSet;

use mip_base::{Code, EntryKind, Error, Job, Result, len64};
use mip_codec::decmpfs;

use crate::attributes::AttrKey;
use crate::catalog::{Link, ROOT, Record};
use crate::links::check;
use crate::table::{Entry, Table};
use crate::volume::{Found, Inner, Node, Volume};

/// A folder whose entries are being handed out.
struct Open<'a> {
    id: u32,
    entries: std::slice::Iter<'a, Entry>,
    /// Bytes of its path, with the slash after it.
    path: usize,
    /// It lies in a folder that was handed out before, by another link to it.
    again: bool,
}

/// Entries that are handed out again because a folder has several links. Only backups have those,
/// and links inside linked folders multiply: a few kilobytes can stand for any number of paths.
const MAX_AGAIN: u64 = 100_000;

impl Volume {
    /// Every entry of the volume but the root folder: parents before children, the entries of a
    /// folder in the order of the bytes of their names. What belongs to the file system itself
    /// (private folders, journal) is left out; hard links are shown as what they lead to.
    ///
    /// Reads the leaves of the catalog once, and those of the attributes file once where files
    /// are compressed; keeps about 100 bytes for each entry.
    ///
    /// # Errors
    /// [`Code::HfsBtree`], [`Code::HfsRecord`], [`Code::HfsExtent`] (a block belongs to two files)
    /// or [`Code::HfsLink`] for a damaged volume; [`Code::LimitEntries`] (also when more than
    /// 100,000 entries come again, by several links to a folder), [`Code::LimitDepth`],
    /// [`Code::LimitMemory`] (`path_bytes_kept`, `path_bytes`); what `visit` reports;
    /// [`Code::Cancelled`].
    pub fn walk(&self, job: &Job, visit: &mut dyn FnMut(Found) -> Result<()>) -> Result<()> {
        let v = &self.0;
        let table = Table::read(&v.catalog, job)?;
        table.check(job)?;
        let sizes = if table.any_compressed() { v.compressed_sizes(job)? } else { Vec::new() };
        let targets = table.targets(&v.private);
        let limits = job.limits();
        let (mut path, mut count) = (String::new(), 0_u64);
        let (mut linked_folders, mut again) = (HashSet::new(), 0_u64);
        let mut open =
            vec![Open { id: ROOT, entries: table.children(ROOT).iter(), path: 0, again: false }];
        while let Some(folder) = open.last_mut() {
            path.truncate(folder.path);
            let at_root = folder.id == ROOT;
            let Some(entry) = folder.entries.next() else {
                open.pop();
                continue;
            };
            if at_root && v.private.hides(entry.kind, entry.id) {
                continue;
            }
            job.check()?;
            count = count.saturating_add(1);
            if count > limits.entries {
                return Err(Error::limit(Code::LimitEntries, "entries", limits.entries, count));
            }
            let seen = folder.again;
            again = again.saturating_add(u64::from(seen));
            if again > MAX_AGAIN {
                let what = "entries in folders with several links";
                return Err(Error::limit(Code::LimitEntries, what, MAX_AGAIN, again)
                    .hint("this limit is fixed: copy what you need out on a Mac"));
            }
            path.push_str(table.name(entry));
            if len64(path.len()) > limits.path_bytes {
                let (limit, n) = (limits.path_bytes, len64(path.len()));
                return Err(Error::limit(Code::LimitMemory, "path_bytes", limit, n));
            }
            let linked = entry.link != Link::None;
            let record = if linked {
                let found = targets.get(entry.link).map(|e| table.record(e));
                check(entry.link, found).map_err(|e| e.within(&path))?
            } else {
                table.record(entry)
            };
            let (kind, id) = (record.kind, record.id);
            if kind == EntryKind::Directory && open.iter().any(|o| o.id == id) {
                let m = "a hard link to a folder that contains it";
                return Err(Error::new(Code::HfsLink, m).within(&path));
            }
            let compression = compression(&sizes, &record);
            visit(Found { path: path.clone(), node: Node::new(record, linked, compression) })?;
            if kind == EntryKind::Directory {
                if len64(open.len()) >= limits.path_depth && !table.children(id).is_empty() {
                    let (limit, n) = (limits.path_depth, len64(open.len()).saturating_add(1));
                    return Err(Error::limit(Code::LimitDepth, "path_depth", limit, n));
                }
                path.push('/');
                let again = seen || (linked && !linked_folders.insert(id));
                let entries = table.children(id).iter();
                open.push(Open { id, entries, path: path.len(), again });
            }
        }
        Ok(())
    }
}

/// CNID, type and decoded size of each file with a decmpfs attribute, by CNID.
type Sizes = Vec<(u32, u32, u64)>;

fn compression(sizes: &Sizes, r: &Record) -> Option<(u32, u64)> {
    if !r.compressed || r.kind != EntryKind::File {
        return None;
    }
    let i = sizes.binary_search_by_key(&r.id, |(id, _, _)| *id).ok()?;
    sizes.get(i).map(|(_, kind, size)| (*kind, *size))
}

impl Inner {
    fn compressed_sizes(&self, job: &Job) -> Result<Sizes> {
        let mut out: Sizes = Vec::new();
        let Some(tree) = &self.attributes.tree else { return Ok(out) };
        let wanted: Vec<u16> = decmpfs::XATTR.encode_utf16().collect();
        let limit = job.limits().entries;
        let mut elsewhere = Vec::new();
        tree.scan(job, &mut |key, data| {
            let key = AttrKey::parse(key)?;
            if key.name != wanted || key.start != 0 {
                return Ok(true);
            }
            if len64(out.len()) >= limit {
                let n = limit.saturating_add(1);
                return Err(Error::limit(Code::LimitEntries, "compressed files", limit, n));
            }
            match crate::attributes::inline(data) {
                Some(b) => {
                    let (kind, size) = crate::volume::decmpfs_header(b);
                    out.push((key.file, kind, size));
                }
                None => elsewhere.push(key.file),
            }
            Ok(true)
        })?;
        for file in elsewhere {
            if let Some((kind, size)) = self.compression(file, job)? {
                out.push((file, kind, size));
            }
        }
        out.sort_unstable();
        Ok(out)
    }
}
