//! The whole volume in one pass over the leaves of its tree.

use std::collections::HashSet;

use mip_base::{Code, EntryKind, Error, Job, Result, len64};

use crate::records::{self, Attribute, Entry, Inode, ROOT_DIR, bad, kind};
use crate::volume::{Attributes, Volume, node};
use crate::{Found, Node};

/// A folder entry; its name lies in [`Pass::names`].
struct Child {
    parent: u64,
    id: u64,
    name: (usize, usize),
    kind: EntryKind,
    sibling: Option<u64>,
}

/// A hard link record (`j_sibling_key_t`).
struct Link {
    id: u64,
    sibling: u64,
    parent: u64,
    name: (usize, usize),
}

/// What the pass collects.
#[derive(Default)]
struct Pass {
    /// In the order of their number.
    nodes: Vec<Node>,
    children: Vec<Child>,
    /// In the order of inode and sibling number.
    links: Vec<Link>,
    /// Sibling number and inode, in order.
    siblings: Vec<(u64, u64)>,
    names: String,
}

impl Pass {
    fn name(&self, (at, len): (usize, usize)) -> &str {
        at.checked_add(len).and_then(|end| self.names.get(at..end)).unwrap_or_default()
    }

    fn keep(&mut self, name: &str, job: &Job) -> Result<(usize, usize)> {
        let limit = job.limits().path_bytes_kept;
        let total = len64(self.names.len()).saturating_add(len64(name.len()));
        if total > limit {
            return Err(Error::limit(Code::LimitMemory, "bytes of all names", limit, total));
        }
        let at = self.names.len();
        self.names.push_str(name);
        Ok((at, name.len()))
    }

    fn node(&self, id: u64) -> Option<&Node> {
        self.nodes.get(self.nodes.binary_search_by_key(&id, |n| n.id).ok()?)
    }
}

fn too_many(job: &Job) -> Error {
    let limit = job.limits().entries;
    Error::limit(Code::LimitEntries, "entries", limit, limit.saturating_add(1))
}

impl Volume {
    /// Visits every entry below the root: a folder before what is in it, the entries of a
    /// folder in the byte order of their names. A file with several hard links is visited
    /// once for each, with the same [`Node::id`].
    ///
    /// Reads the tree once, from the first leaf to the last; memory grows with the number of
    /// entries. What cannot be reached from the root (files that were deleted while open) is
    /// not visited.
    ///
    /// # Errors
    /// [`Code::ApfsRecord`] when a record is damaged, an entry names no inode or one of
    /// another type, a folder has two parents, or hard links contradict each other;
    /// [`Code::LimitEntries`], [`Code::Limit`] and [`Code::LimitMemory`] for too many entries,
    /// too deep or long paths, too many bytes of names; what `each` returns;
    /// otherwise as [`lookup`](Self::lookup).
    pub fn walk(&self, job: &Job, each: &mut dyn FnMut(Found) -> Result<()>) -> Result<()> {
        let mut pass = self.collect(job)?;
        check_links(&pass)?;
        let mut children = std::mem::take(&mut pass.children);
        let place = |c: &Child| (c.parent, pass.name(c.name));
        children.sort_unstable_by(|a, b| place(a).cmp(&place(b)));
        let twice = children.windows(2).find_map(|pair| match pair {
            [a, b] if place(a) == place(b) => Some(a),
            _ => None,
        });
        if let Some(child) = twice {
            return Err(bad(format!(
                "a folder has the name \"{}\" twice",
                mip_base::escape(pass.name(child.name))
            )));
        }
        visit(&pass, &children, job, each)
    }

    /// The pass over the leaves.
    fn collect(&self, job: &Job) -> Result<Pass> {
        let rules = self.fs.rules;
        let limit = job.limits().entries;
        let mut pass = Pass::default();
        let mut current: Option<(u64, Inode, Attributes)> = None;
        let mut cursor = self.fs.tree.first(job)?;
        while let Some((key, value)) = cursor.record()? {
            let (id, record) = records::split(key).ok_or_else(|| bad("a record has no key"))?;
            if record != kind::XATTR
                && let Some((id, inode, attributes)) = current.take()
            {
                pass.nodes.push(node(id, &inode, &attributes));
            }
            match record {
                kind::INODE => {
                    if len64(pass.nodes.len()) > limit {
                        return Err(too_many(job));
                    }
                    current = Some((id, Inode::parse(id, value)?, Attributes::default()));
                }
                kind::XATTR => {
                    if let Some((of, inode, attributes)) = &mut current
                        && *of == id
                    {
                        let name = records::attribute_name(key)?;
                        let value = Attribute::parse(value)?;
                        attributes.add(&self.fs, inode, (name, &value), job)?;
                    }
                }
                kind::DIR_REC => {
                    if len64(pass.children.len()) >= limit {
                        return Err(too_many(job));
                    }
                    let entry = Entry::parse(value)?;
                    let name = pass.keep(records::entry_name(key, rules)?, job)?;
                    pass.children.push(Child {
                        parent: id,
                        id: entry.id,
                        name,
                        kind: entry
                            .file_type()
                            .ok_or_else(|| bad("a folder entry has no file type"))?,
                        sibling: entry.sibling,
                    });
                }
                kind::SIBLING_LINK => {
                    if len64(pass.links.len()) >= limit {
                        return Err(too_many(job));
                    }
                    let (parent, name) = records::sibling(value)?;
                    let name = pass.keep(name, job)?;
                    let sibling = records::number(key)?;
                    pass.links.push(Link { id, sibling, parent, name });
                }
                kind::SIBLING_MAP => {
                    if len64(pass.siblings.len()) >= limit {
                        return Err(too_many(job));
                    }
                    pass.siblings.push((id, records::number_value(value)?));
                }
                _ => {}
            }
            cursor.advance(job)?;
        }
        if let Some((id, inode, attributes)) = current {
            pass.nodes.push(node(id, &inode, &attributes));
        }
        Ok(pass)
    }
}

/// Folder entries with a sibling number, the records of the links and the map from sibling
/// numbers to inodes must say the same.
fn check_links(pass: &Pass) -> Result<()> {
    for child in &pass.children {
        let Some(sibling) = child.sibling else { continue };
        let mapped = pass
            .siblings
            .binary_search_by_key(&sibling, |(s, _)| *s)
            .ok()
            .and_then(|i| pass.siblings.get(i));
        let link = pass
            .links
            .binary_search_by_key(&(child.id, sibling), |l| (l.id, l.sibling))
            .ok()
            .and_then(|i| pass.links.get(i));
        let agree = mapped.is_some_and(|(_, id)| *id == child.id)
            && link.is_some_and(|l| {
                l.parent == child.parent && pass.name(l.name) == pass.name(child.name)
            });
        if !agree {
            return Err(bad(format!(
                "the records of the hard links of inode {} contradict each other",
                child.id
            )));
        }
    }
    let mut files: Vec<u64> =
        pass.children.iter().filter(|c| c.kind != EntryKind::Directory).map(|c| c.id).collect();
    files.sort_unstable();
    for same in files.chunk_by(|a, b| a == b) {
        let Some(node) = same.first().and_then(|id| pass.node(*id)) else { continue };
        if len64(same.len()) > u64::from(node.links).max(1) {
            return Err(bad(format!(
                "inode {} has {} names and {} hard links",
                node.id,
                same.len(),
                node.links
            )));
        }
    }
    Ok(())
}

/// A folder on the way: the indices of its entries that are left, and its path's length.
struct Level {
    next: usize,
    end: usize,
    path: usize,
}

fn folder(children: &[Child], id: u64, path: usize) -> Level {
    let next = children.partition_point(|c| c.parent < id);
    let end = children.partition_point(|c| c.parent <= id);
    Level { next, end, path }
}

/// Down from the root, with an own stack.
fn visit(
    pass: &Pass,
    children: &[Child],
    job: &Job,
    each: &mut dyn FnMut(Found) -> Result<()>,
) -> Result<()> {
    let limits = job.limits();
    let mut path = String::new();
    let mut folders = HashSet::from([ROOT_DIR]);
    let mut stack = vec![folder(children, ROOT_DIR, 0)];
    while let Some(level) = stack.last_mut() {
        path.truncate(level.path);
        if level.next >= level.end {
            stack.pop();
            continue;
        }
        let child = children.get(level.next);
        level.next = level.next.saturating_add(1);
        let Some(child) = child else { continue };
        job.check()?;
        let name = pass.name(child.name);
        if !path.is_empty() {
            path.push('/');
        }
        path.push_str(name);
        for (what, limit, value) in [
            ("path-bytes", limits.path_bytes, len64(path.len())),
            ("component-bytes", limits.component_bytes, len64(name.len())),
            ("path-depth", limits.path_depth, len64(stack.len())),
        ] {
            if value > limit {
                return Err(Error::limit(Code::Limit, what, limit, value));
            }
        }
        let shown = || mip_base::escape(&path);
        let node = pass.node(child.id).ok_or_else(|| {
            bad(format!("\"{}\" names inode {}, which is missing", shown(), child.id))
        })?;
        if node.kind != child.kind {
            return Err(bad(format!("\"{}\" and its inode differ in file type", shown())));
        }
        if node.kind == EntryKind::Directory && !folders.insert(node.id) {
            return Err(bad(format!("the folder \"{}\" has a second parent", shown())));
        }
        each(Found { path: path.clone(), node: node.clone() })?;
        if node.kind == EntryKind::Directory {
            stack.push(folder(children, node.id, path.len()));
        }
    }
    Ok(())
}
