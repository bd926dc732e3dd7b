//! A volume and its entries.

use std::fmt;
use std::sync::Arc;

use mip_base::{Code, EntryKind, Error, Job, Result, Source, escape, len64, read_full_at};
use mip_codec::decmpfs;

use crate::attributes::{Attributes, Value};
use crate::btree::{BTree, Compare};
use crate::catalog::{CatalogKey, Link, ROOT, ROOT_PARENT, Record, unix_time};
use crate::extents::{Extent, Fork, ForkKind, ForkSource, Geometry, Overflow, fork_name};
use crate::header::locate;
use crate::links::Private;
use crate::names::{self, NameOrder};

/// What a volume says of itself.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Info {
    /// Name of the volume: the name of its root folder.
    pub name: String,
    /// Whether names that differ in case only are different names (HFSX with binary comparison).
    pub case_sensitive: bool,
    /// Whether this is HFSX (signature `HX`).
    pub hfsx: bool,
    /// Bytes of an allocation block.
    pub block_size: u32,
    /// Bytes of the volume: all allocation blocks.
    pub size: u64,
    /// Bytes of free allocation blocks, as the header counts them.
    pub free: u64,
    /// Files, as the header counts them (hard links and their targets each count).
    pub files: u32,
    /// Folders, as the header counts them, without the root folder.
    pub folders: u32,
    /// Seconds since 1970 of the volume's creation (in the local time of its maker).
    pub created: i64,
    /// Seconds since 1970 of the volume's last change.
    pub modified: i64,
    /// Whether the volume keeps a journal.
    pub journaled: bool,
    /// Where the volume starts in the source when an HFS wrapper stands around it, bytes.
    pub wrapped_at: Option<u64>,
    /// Oddities that were tolerated, in words.
    pub notes: Vec<String>,
}

/// An entry of a volume: a folder, a file or another thing, hard links resolved.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Node {
    /// Catalog node id (CNID); of the target for a hard link: equal ids are the same file.
    pub id: u64,
    /// What it is; never [`EntryKind::Hardlink`].
    pub kind: EntryKind,
    /// Permission bits with setuid, setgid and sticky (`0o7777`). 0644 or 0755 where the volume
    /// has none.
    pub mode: u32,
    /// Owner; 99 ("unknown") where the volume has none.
    pub uid: u32,
    /// Group; 99 ("unknown") where the volume has none.
    pub gid: u32,
    /// Bytes that [`Volume::open_file`] gives, decoded; of a symbolic link the bytes of its target; 0
    /// for a folder.
    pub size: u64,
    /// Seconds since 1970 of the last change of the contents.
    pub mtime: i64,
    /// Hard links to it; 1 for a folder.
    pub links: u32,
    /// The decmpfs type, when the data is compressed that way.
    pub compressed: Option<u32>,
    /// Whether it is an alias of the Finder (`kIsAlias`), a kind of link that only the Finder follows.
    pub finder_alias: bool,
    /// Bytes of the resource fork; 0 when decmpfs keeps the data there.
    pub resource_fork: u64,
    /// Device number of a device.
    pub device: u32,
    pub(crate) data: Fork,
    pub(crate) resource: Fork,
}

impl Node {
    /// A node of a record whose hard link is resolved.
    pub(crate) fn new(r: Record, linked: bool, compression: Option<(u32, u64)>) -> Self {
        let device = matches!(r.kind, EntryKind::CharDevice | EntryKind::BlockDevice);
        let size = match (compression, r.kind) {
            (Some((_, size)), _) => size,
            (None, EntryKind::File | EntryKind::Symlink) => r.data.size,
            _ => 0,
        };
        Self {
            id: u64::from(r.id),
            kind: r.kind,
            mode: r.mode,
            uid: r.uid,
            gid: r.gid,
            size,
            mtime: unix_time(r.modified),
            links: if linked { r.special.max(1) } else { 1 },
            compressed: compression.map(|(kind, _)| kind),
            finder_alias: r.alias,
            resource_fork: if compression.is_some() { 0 } else { r.resource.size },
            device: if device { r.special } else { 0 },
            data: r.data,
            resource: r.resource,
        }
    }

    pub(crate) fn cnid(&self) -> u32 {
        u32::try_from(self.id).unwrap_or(0)
    }
}

/// What [`Volume::walk`] comes by.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Found {
    /// The path from the root of the volume, `/` between names, no `/` in front.
    pub path: String,
    /// The entry.
    pub node: Node,
}

/// An extended attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Xattr {
    /// Its name.
    pub name: String,
    /// Bytes of its value.
    pub size: u64,
}

pub(crate) struct Inner {
    pub(crate) source: Source,
    pub(crate) geometry: Geometry,
    pub(crate) overflow: Overflow,
    pub(crate) catalog: BTree,
    pub(crate) attributes: Attributes,
    pub(crate) order: NameOrder,
    pub(crate) private: Private,
    info: Info,
    root: Node,
}

/// An HFS+ or HFSX volume that is open for reading. Clones share it; all reads are positioned
/// and may come from any number of threads.
#[derive(Clone)]
pub struct Volume(pub(crate) Arc<Inner>);

impl fmt::Debug for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Volume").field("info", &self.0.info).finish_non_exhaustive()
    }
}

impl Volume {
    /// Opens the volume that starts at byte 0 of `source`, or that an HFS wrapper there embeds.
    ///
    /// # Errors
    /// [`Code::HfsHeader`], [`Code::HfsBtree`], [`Code::HfsExtent`] or [`Code::HfsRecord`] for a
    /// damaged volume; [`Code::Unsupported`] for classic HFS; [`Code::InputIo`].
    pub fn open(source: Source, job: &Job) -> Result<Self> {
        let found = locate(source)?;
        let h = &found.header;
        let mut geometry =
            Geometry { block_size: h.block_size, total_blocks: h.total_blocks, own: Vec::new() };
        let own = |g: &Geometry, what: &str, fork: &Fork, extents: &[Extent]| {
            ForkSource::new(found.volume.clone(), g, what, fork.size, extents, true)
        };
        let mut overflow = Overflow { tree: None };
        geometry.claim(&h.extents.extents);
        if h.extents.size > 0 {
            let name = "the extents overflow file";
            let fork = own(&geometry, name, &h.extents, &h.extents.extents)?;
            overflow.tree = Some(BTree::open(fork, name)?);
        }
        let name = "the catalog file";
        let extents = overflow.extents(4, ForkKind::Data, &h.catalog, job)?;
        geometry.claim(&extents);
        let catalog = BTree::open(own(&geometry, name, &h.catalog, &extents)?, name)?;
        let mut attributes = Attributes { tree: None };
        if h.attributes_file.size > 0 {
            let name = "the attributes file";
            let extents = overflow.extents(8, ForkKind::Data, &h.attributes_file, job)?;
            geometry.claim(&extents);
            let fork = own(&geometry, name, &h.attributes_file, &extents)?;
            attributes.tree = Some(BTree::open(fork, name)?);
        }
        geometry.claim(&h.allocation.extents);
        geometry.seal()?;

        let binary = h.hfsx && catalog.key_compare == 0xBC;
        if h.hfsx && !binary && catalog.key_compare != 0xCF {
            return Err(Error::new(
                Code::HfsHeader,
                format!("the catalog compares keys in way 0x{:02x}", catalog.key_compare),
            ));
        }
        let order = if binary { NameOrder::Binary } else { NameOrder::Folded };
        let (name, root) = root_folder(&catalog, job)?;
        let private = Private::find(&catalog, order, h.journaled(), job)?;
        let info = Info {
            name,
            case_sensitive: binary,
            hfsx: h.hfsx,
            block_size: h.block_size,
            size: h.size(),
            free: u64::from(h.block_size).saturating_mul(u64::from(h.free_blocks)),
            files: h.files,
            folders: h.folders,
            created: unix_time(h.created),
            modified: unix_time(h.modified),
            journaled: h.journaled(),
            wrapped_at: found.wrapped_at,
            notes: found.notes,
        };
        let root = Node::new(root, false, None);
        Ok(Self(Arc::new(Inner {
            source: found.volume,
            geometry,
            overflow,
            catalog,
            attributes,
            order,
            private,
            info,
            root,
        })))
    }

    /// What the volume says of itself.
    #[must_use]
    pub fn info(&self) -> &Info {
        &self.0.info
    }

    /// The root folder.
    #[must_use]
    pub fn root(&self) -> Node {
        self.0.root.clone()
    }

    /// The entry at `path` (names with `/` between them, from the root of the volume; empty for
    /// the root folder). Names are compared as the volume compares them. Symbolic links are not
    /// followed, hard links are resolved. One way down the catalog per name.
    ///
    /// # Errors
    /// Codes of a damaged volume, [`Code::HfsLink`], [`Code::Cancelled`].
    pub fn lookup(&self, path: &str, job: &Job) -> Result<Option<Node>> {
        let mut at = self.root();
        for name in path.split('/').filter(|n| !n.is_empty()) {
            if at.kind != EntryKind::Directory {
                return Ok(None);
            }
            match self.0.entry(at.cnid(), name, job)? {
                Some(node) => at = node,
                None => return Ok(None),
            }
        }
        Ok(Some(at))
    }

    /// The entries of folder `node` in the order of the bytes of their names.
    ///
    /// # Errors
    /// Codes of a damaged volume, [`Code::HfsLink`], [`Code::LimitEntries`], [`Code::Cancelled`].
    pub fn children(&self, node: &Node, job: &Job) -> Result<Vec<(String, Node)>> {
        let v = &self.0;
        let mut found: Vec<(String, Record)> = Vec::new();
        if node.kind != EntryKind::Directory {
            return Ok(Vec::new());
        }
        let (parent, limit) = (node.cnid(), job.limits().entries);
        let order: &Compare<'_> = &|k| CatalogKey::compare(k, v.order, parent, &[]);
        v.catalog.range(job, order, &mut |key, data| {
            let key = CatalogKey::parse(key)?;
            if key.parent != parent {
                return Ok(false);
            }
            let Some(record) = Record::parse(data)? else { return Ok(true) };
            if !v.private.hides(record.kind, record.id) {
                if len64(found.len()) >= limit {
                    let n = limit.saturating_add(1);
                    return Err(Error::limit(Code::LimitEntries, "entries", limit, n));
                }
                found.push((names::shown(&key.name)?, record));
            }
            Ok(true)
        })?;
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found
            .into_iter()
            .map(|(name, record)| {
                job.check()?;
                let node = v.resolve(record, job).map_err(|e| e.within(&name))?;
                Ok((name, node))
            })
            .collect()
    }

    /// The data of a file (decoded when it is compressed), or the target of a symbolic link as
    /// bytes.
    ///
    /// # Errors
    /// [`Code::HfsExtent`] when the extents cannot be; codes of decmpfs; [`Code::Unsupported`]
    /// for what has no data.
    pub fn open_file(&self, node: &Node, job: &Job) -> Result<Source> {
        if !matches!(node.kind, EntryKind::File | EntryKind::Symlink) {
            return Err(Error::new(
                Code::Unsupported,
                "only files and symbolic links have data on an HFS+ volume",
            ));
        }
        if node.compressed.is_none() {
            return self.fork(node, ForkKind::Data, job);
        }
        let limit = job.limits().small_file;
        let xattr = self.xattr(node, decmpfs::XATTR, limit, job)?.ok_or_else(|| {
            Error::new(Code::HfsRecord, format!("file {} lost its compressed data", node.id))
        })?;
        let resource = if node.resource.size > 0 {
            Some(self.fork(node, ForkKind::Resource, job)?)
        } else {
            None
        };
        decmpfs::open(xattr, resource, job)
    }

    fn fork(&self, node: &Node, kind: ForkKind, job: &Job) -> Result<Source> {
        let v = &self.0;
        let fork = if kind == ForkKind::Data { &node.data } else { &node.resource };
        let extents = v.overflow.extents(node.cnid(), kind, fork, job)?;
        let what = fork_name(node.cnid(), kind);
        let source =
            ForkSource::new(v.source.clone(), &v.geometry, &what, fork.size, &extents, false)?;
        Ok(Arc::new(source))
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// [`Code::HfsRecord`] when `node` is no symbolic link, or its target is empty, not UTF-8, or
    /// over [`Limits::link_bytes`](mip_base::Limits::link_bytes); codes of a damaged volume.
    pub fn read_link(&self, node: &Node, job: &Job) -> Result<String> {
        let bad = |m: String| Error::new(Code::HfsRecord, m);
        if node.kind != EntryKind::Symlink {
            return Err(bad(format!("file {} is no symbolic link", node.id)));
        }
        let limit = job.limits().link_bytes;
        if node.size == 0 || node.size > limit {
            return Err(bad(format!(
                "a symbolic link's target of {} bytes is not from 1 to {limit}",
                node.size
            )));
        }
        let source = self.open_file(node, job)?;
        let mut b = job.buffer("link target", node.size, limit)?;
        read_full_at(&source, 0, &mut b, Code::Truncated)?;
        String::from_utf8(b).map_err(|e| {
            let shown = mip_base::escape_bytes(e.as_bytes());
            bad(format!("the target of a symbolic link is not UTF-8: \"{shown}\""))
        })
    }

    /// The resource fork of a file; `None` when it is empty, or holds the data of a compressed
    /// file (macOS hides it then).
    ///
    /// # Errors
    /// [`Code::HfsExtent`] when the extents cannot be.
    pub fn resource_fork(&self, node: &Node, job: &Job) -> Result<Option<Source>> {
        if node.resource_fork == 0 {
            return Ok(None);
        }
        self.fork(node, ForkKind::Resource, job).map(Some)
    }

    /// The extended attributes of the attributes file, by name; that of decmpfs is left out
    /// where it holds the data (macOS hides it then). The resource fork and Finder information,
    /// which macOS shows as attributes too, are not in the list.
    ///
    /// # Errors
    /// Codes of a damaged volume; [`Code::LimitEntries`].
    pub fn xattrs(&self, node: &Node, job: &Job) -> Result<Vec<Xattr>> {
        let all = self.0.attributes.list(node.cnid(), job)?;
        Ok(all
            .into_iter()
            .filter(|(name, _)| node.compressed.is_none() || name != decmpfs::XATTR)
            .map(|(name, size)| Xattr { name, size })
            .collect())
    }

    /// The value of an extended attribute, at most `limit` bytes.
    ///
    /// # Errors
    /// Codes of a damaged volume; [`Code::LimitMemory`] when it is over `limit`.
    pub fn xattr(&self, node: &Node, name: &str, limit: u64, job: &Job) -> Result<Option<Vec<u8>>> {
        self.0.xattr(node.cnid(), name, limit, job)
    }
}

impl Inner {
    fn xattr(&self, id: u32, name: &str, limit: u64, job: &Job) -> Result<Option<Vec<u8>>> {
        let units: Vec<u16> = name.encode_utf16().collect();
        let Some(value) = self.attributes.get(id, &units, job)? else { return Ok(None) };
        let at = (&self.source, &self.geometry);
        self.attributes.read(at, (id, &units), value, limit, job).map(Some)
    }

    /// The record of `name` in folder `parent`.
    pub(crate) fn record(&self, parent: u32, name: &[u16], job: &Job) -> Result<Option<Record>> {
        record(&self.catalog, self.order, parent, name, job)
    }

    /// The entry `name` (as POSIX spells it) of folder `parent`, link resolved.
    fn entry(&self, parent: u32, name: &str, job: &Job) -> Result<Option<Node>> {
        let stored = names::stored(name);
        let mut found = self.record(parent, &stored, job)?;
        if found.is_none() {
            let spelled = names::as_spelled(name);
            if spelled != stored {
                found = self.record(parent, &spelled, job)?;
            }
        }
        match found {
            Some(r) if !self.private.hides(r.kind, r.id) => {
                self.resolve(r, job).map(Some).map_err(|e| e.within(escape(name)))
            }
            _ => Ok(None),
        }
    }

    /// A node of a record: hard link followed, decmpfs header read.
    fn resolve(&self, record: Record, job: &Job) -> Result<Node> {
        let linked = record.link != Link::None;
        let record = self.private.target(self, record, job)?;
        let compression = if record.compressed && record.kind == EntryKind::File {
            self.compression(record.id, job)?
        } else {
            None
        };
        Ok(Node::new(record, linked, compression))
    }

    /// Type and size of the decmpfs header of file `id`; type 0 for a header that is damaged.
    pub(crate) fn compression(&self, id: u32, job: &Job) -> Result<Option<(u32, u64)>> {
        let name: Vec<u16> = decmpfs::XATTR.encode_utf16().collect();
        let limit = job.limits().small_file;
        Ok(match self.attributes.get(id, &name, job)? {
            None => None,
            Some(Value::Inline(b)) => Some(decmpfs_header(&b)),
            Some(value) => {
                let at = (&self.source, &self.geometry);
                let b = self.attributes.read(at, (id, &name), value, limit, job)?;
                Some(decmpfs_header(&b))
            }
        })
    }
}

/// Type and size of a decmpfs attribute. A damaged one is type 0: opening the file then says
/// what is wrong, listing it goes on.
pub(crate) fn decmpfs_header(xattr: &[u8]) -> (u32, u64) {
    decmpfs::Header::parse(xattr).map_or((0, 0), |h| (h.kind, h.size))
}

/// The record at a key of the catalog.
pub(crate) fn record(
    catalog: &BTree,
    by: NameOrder,
    parent: u32,
    name: &[u16],
    job: &Job,
) -> Result<Option<Record>> {
    let order: &Compare<'_> = &|k| CatalogKey::compare(k, by, parent, name);
    Ok(catalog.find(job, order, |_, data| Record::parse(data))?.flatten())
}

/// Name and record of the root folder: the one entry below CNID 1.
fn root_folder(catalog: &BTree, job: &Job) -> Result<(String, Record)> {
    let bad = || Error::new(Code::HfsRecord, "the catalog has no root folder");
    let mut found = None;
    let order: &Compare<'_> = &|k| CatalogKey::compare(k, NameOrder::Binary, ROOT_PARENT, &[]);
    catalog.range(job, order, &mut |key, data| {
        let key = CatalogKey::parse(key)?;
        if key.parent == ROOT_PARENT
            && let Some(r) = Record::parse(data)?
        {
            found = Some((names::shown(&key.name)?, r));
        }
        Ok(false)
    })?;
    found.filter(|(_, r)| r.id == ROOT && r.kind == EntryKind::Directory).ok_or_else(bad)
}
