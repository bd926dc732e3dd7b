//! A volume: looking up, listing and opening files.

use std::fmt;
use std::sync::Arc;

use mip_base::bytes::le_u32;
use mip_base::{Code, EntryKind, Error, Job, Result, Source, len64, read_full_at};
use mip_codec::decmpfs;

use crate::btree::Kind;
use crate::container::{Shared, VolumeSuper};
use crate::crypto::VolumeKey;
use crate::extents::{Data, at_object};
use crate::names::{self, Rules};
use crate::omap::Omap;
use crate::records::{self, Attribute, Entry, Inode, ROOT_DIR, bad, kind};
use crate::tree::{Names, Tree};
use crate::{Info, Node, Xattr};

const SYMLINK: &str = "com.apple.fs.symlink";
const FORK: &str = "com.apple.ResourceFork";
const FINDER: &str = "com.apple.FinderInfo";

/// What is shared between a volume and the files that were opened in it.
pub(crate) struct Fs {
    pub(crate) shared: Arc<Shared>,
    pub(crate) tree: Tree,
    pub(crate) key: Option<Arc<VolumeKey>>,
    pub(crate) rules: Rules,
}

/// An open volume.
///
/// All methods take `&self` and can be called from several threads. Clones are cheap.
#[derive(Clone)]
pub struct Volume {
    pub(crate) fs: Arc<Fs>,
    info: Arc<Info>,
    root: Node,
}

impl fmt::Debug for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Volume").field("info", &self.info).finish_non_exhaustive()
    }
}

/// What the attributes of an inode say about it, gathered while they pass by.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attributes {
    /// Bytes of a symbolic link's target.
    pub(crate) link: Option<u64>,
    /// Bytes of the resource fork.
    pub(crate) fork: u64,
    /// Type and size of compressed data.
    pub(crate) packed: Option<(u32, u64)>,
    /// The Finder says that the file is an alias.
    pub(crate) alias: bool,
}

impl Attributes {
    /// Takes an attribute into account.
    pub(crate) fn add(
        &mut self,
        fs: &Arc<Fs>,
        inode: &Inode,
        (name, value): (&str, &Attribute<'_>),
        job: &Job,
    ) -> Result<()> {
        match (name, value) {
            (SYMLINK, Attribute::Embedded(b)) => {
                self.link = Some(len64(b.strip_suffix(&[0]).unwrap_or(b).len()));
            }
            (SYMLINK, Attribute::Stream { size, .. }) => self.link = Some(size.saturating_sub(1)),
            (FORK, v) => self.fork = v.size(),
            (FINDER, Attribute::Embedded(b)) => self.alias = records::finder_alias(b),
            (decmpfs::XATTR, v) if inode.compressed() => {
                let head = read_attribute(fs, v, 16, job)?;
                let header = decmpfs::Header::parse(&head)?;
                self.packed = Some((header.kind, header.size));
            }
            _ => {}
        }
        Ok(())
    }
}

/// The first bytes of an attribute, at most `most`.
fn read_attribute(fs: &Arc<Fs>, value: &Attribute<'_>, most: u64, job: &Job) -> Result<Vec<u8>> {
    match value {
        Attribute::Embedded(b) => {
            let n = usize::try_from(most).unwrap_or(usize::MAX).min(b.len());
            Ok(b.get(..n).unwrap_or_default().to_vec())
        }
        Attribute::Stream { id, size } => {
            let data = Data::open(fs.clone(), *id, *size, job)?;
            let mut out = job.buffer("extended attribute", (*size).min(most), most)?;
            read_full_at(&data, 0, &mut out, Code::ApfsExtent)?;
            Ok(out)
        }
    }
}

/// Puts together what a node shows from its inode and attributes.
pub(crate) fn node(id: u64, inode: &Inode, attributes: &Attributes) -> Node {
    let packed = attributes.packed;
    let fork_is_data = packed.is_some_and(|(kind, _)| kind.checked_rem(2) == Some(0));
    Node {
        id,
        kind: inode.kind,
        mode: inode.mode,
        uid: inode.uid,
        gid: inode.gid,
        size: match inode.kind {
            EntryKind::File => packed.map_or(inode.size.unwrap_or(0), |(_, size)| size),
            EntryKind::Symlink => attributes.link.unwrap_or(0),
            _ => 0,
        },
        mtime: inode.modified.div_euclid(1_000_000_000),
        links: if inode.kind == EntryKind::Directory { 1 } else { inode.links },
        compressed: packed.map(|(kind, _)| kind),
        finder_alias: inode.kind == EntryKind::File && (inode.alias || attributes.alias),
        resource_fork: if fork_is_data { 0 } else { attributes.fork },
        stream: inode.stream_id,
        plain_size: inode.size.unwrap_or(0),
        dataless: inode.dataless(),
    }
}

impl Fs {
    /// Reads the inode `id` with its attributes.
    fn node(self: &Arc<Self>, id: u64, job: &Job) -> Result<Node> {
        let mut cursor = self.tree.seek(at_object(id, kind::INODE), job)?;
        let inode = match cursor.record()? {
            Some((key, value)) if records::split(key) == Some((id, kind::INODE)) => {
                Inode::parse(id, value)?
            }
            _ => return Err(bad(format!("inode {id} is missing"))),
        };
        let mut attributes = Attributes::default();
        cursor.advance(job)?;
        while let Some((key, value)) = cursor.record()? {
            if records::split(key) != Some((id, kind::XATTR)) {
                break;
            }
            let name = records::attribute_name(key)?;
            attributes.add(self, &inode, (name, &Attribute::parse(value)?), job)?;
            cursor.advance(job)?;
        }
        Ok(node(id, &inode, &attributes))
    }
}

impl Volume {
    pub(crate) fn mount(
        shared: Arc<Shared>,
        volume: VolumeSuper,
        key: Option<Arc<VolumeKey>>,
        job: &Job,
    ) -> Result<Self> {
        let device = &shared.device;
        let omap = Arc::new(Omap::open(device, volume.omap, shared.superblock.xid, job)?);
        let names = if volume.root_physical { Names::Physical } else { Names::Virtual(omap) };
        let rules = volume.rules();
        let tree_kind = Kind::Fs { hashed: rules.hashed() };
        let tree = Tree::open(device.clone(), tree_kind, names, volume.root, key.clone(), job)
            .map_err(|e| e.within("file system tree"))?;
        let block = u64::from(device.block_size);
        let mut notes = shared.notes.clone();
        if volume.info.snapshots > 0 {
            notes.push(format!(
                "the volume has {} snapshots, which are not read",
                volume.info.snapshots
            ));
        }
        let info = Info {
            name: volume.info.name.clone(),
            role: volume.info.role,
            case_sensitive: volume.info.case_sensitive,
            normalization_insensitive: volume.info.normalization_insensitive,
            encrypted: volume.info.encrypted,
            block_size: device.block_size,
            size: device.block_count.saturating_mul(block),
            used: volume.used_blocks.saturating_mul(block),
            notes,
        };
        let fs = Arc::new(Fs { shared, tree, key, rules });
        let root = fs.node(ROOT_DIR, job)?;
        if root.kind != EntryKind::Directory {
            return Err(bad("the root of a volume is not a folder"));
        }
        Ok(Self { fs, info: Arc::new(info), root })
    }

    /// What the volume is.
    #[must_use]
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// The root folder.
    #[must_use]
    pub fn root(&self) -> Node {
        self.root.clone()
    }

    /// The entry at `path`: components separated by `/`, without a leading one; the empty path
    /// is the root. Case and normalization count as on the volume. Symbolic links are not
    /// followed. Costs one descent of the tree per component.
    ///
    /// # Errors
    /// [`Code::ApfsRecord`] and the other codes of [`Container::open`](crate::Container::open)
    /// when a structure on the way is damaged.
    pub fn lookup(&self, path: &str, job: &Job) -> Result<Option<Node>> {
        let mut at = self.root();
        for name in path.split('/').filter(|c| !c.is_empty()) {
            if at.kind != EntryKind::Directory {
                return Ok(None);
            }
            let Some(entry) = self.entry(at.id, name, job)? else { return Ok(None) };
            at = self.node_of(&entry, job)?;
        }
        Ok(Some(at))
    }

    /// The entry `name` of folder `parent`.
    fn entry(&self, parent: u64, name: &str, job: &Job) -> Result<Option<Entry>> {
        let rules = self.fs.rules;
        let want = rules.key(name);
        if rules.hashed() {
            let least = names::hash(&want).wrapping_shl(10);
            let order = |k: &[u8]| {
                (records::split(k), le_u32(k, 8)).cmp(&(Some((parent, kind::DIR_REC)), Some(least)))
            };
            let mut cursor = self.fs.tree.seek(order, job)?;
            while let Some((key, value)) = cursor.record()? {
                let hash = le_u32(key, 8).map(|word| word.wrapping_shr(10));
                if records::split(key) != Some((parent, kind::DIR_REC))
                    || hash != Some(least.wrapping_shr(10))
                {
                    break;
                }
                if rules.same(records::entry_name(key, rules)?, &want) {
                    return Entry::parse(value).map(Some);
                }
                cursor.advance(job)?;
            }
            // The letters of one Unicode version can have another hash than those of the
            // next; ASCII never changes.
            if name.is_ascii() {
                return Ok(None);
            }
        }
        let mut found = None;
        self.entries(parent, job, &mut |stored, entry| {
            if found.is_none() && rules.same(stored, &want) {
                found = Some(entry);
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// All entries of a folder, in the order of the tree.
    fn entries(
        &self,
        parent: u64,
        job: &Job,
        each: &mut dyn FnMut(&str, Entry) -> Result<()>,
    ) -> Result<()> {
        let mut cursor = self.fs.tree.seek(at_object(parent, kind::DIR_REC), job)?;
        while let Some((key, value)) = cursor.record()? {
            if records::split(key) != Some((parent, kind::DIR_REC)) {
                break;
            }
            each(records::entry_name(key, self.fs.rules)?, Entry::parse(value)?)?;
            cursor.advance(job)?;
        }
        Ok(())
    }

    /// The node that a folder entry names.
    fn node_of(&self, entry: &Entry, job: &Job) -> Result<Node> {
        let node = self.fs.node(entry.id, job)?;
        if entry.file_type() != Some(node.kind) {
            return Err(bad(format!(
                "a folder entry and its inode {} differ in file type",
                entry.id
            )));
        }
        Ok(node)
    }

    /// The entries of a folder, sorted by name. Empty for what is not a folder.
    ///
    /// # Errors
    /// As [`lookup`](Self::lookup); [`Code::LimitEntries`].
    pub fn children(&self, folder: &Node, job: &Job) -> Result<Vec<(String, Node)>> {
        if folder.kind != EntryKind::Directory {
            return Ok(Vec::new());
        }
        let limit = job.limits().entries;
        let mut found = Vec::new();
        self.entries(folder.id, job, &mut |name, entry| {
            if len64(found.len()) >= limit {
                let value = limit.saturating_add(1);
                return Err(Error::limit(Code::LimitEntries, "entries of a folder", limit, value));
            }
            found.push((name.to_owned(), entry));
            Ok(())
        })?;
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found.into_iter().map(|(name, entry)| Ok((name, self.node_of(&entry, job)?))).collect()
    }

    /// The data of a file, decoded: extents, holes, decmpfs.
    ///
    /// # Errors
    /// [`Code::Unsupported`] for what is not a file, for a file whose data is in the cloud
    /// ("dataless"), and for kinds of compression that are not known; [`Code::ApfsExtent`];
    /// [`Code::Decmpfs`]; otherwise as [`lookup`](Self::lookup).
    pub fn open_file(&self, file: &Node, job: &Job) -> Result<Source> {
        if file.kind != EntryKind::File {
            return Err(Error::new(Code::Unsupported, "only files have data"));
        }
        if file.dataless {
            return Err(Error::new(
                Code::Unsupported,
                "the file is dataless: its content is in a cloud, not in the image",
            ));
        }
        if file.compressed.is_some_and(|kind| kind != 0) {
            let limit = job.limits().small_file;
            let packed = self
                .xattr(file, decmpfs::XATTR, limit, job)?
                .ok_or_else(|| bad("a compressed file has no decmpfs attribute"))?;
            let header = decmpfs::Header::parse(&packed)?;
            let fork = if header.in_resource_fork() { self.fork(file, job)? } else { None };
            return decmpfs::open(packed, fork, job);
        }
        Ok(Arc::new(Data::open(self.fs.clone(), file.stream, file.plain_size, job)?))
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// [`Code::ApfsRecord`] when it has none or one that is not UTF-8;
    /// [`Code::Limit`] over [`Limits::link_bytes`](mip_base::Limits::link_bytes).
    pub fn read_link(&self, link: &Node, job: &Job) -> Result<String> {
        let limit = job.limits().link_bytes;
        let mut raw = self
            .xattr(link, SYMLINK, limit.saturating_add(1), job)?
            .ok_or_else(|| bad("a symbolic link has no target"))?;
        if raw.last() == Some(&0) {
            raw.pop();
        }
        if len64(raw.len()) > limit {
            return Err(Error::limit(Code::Limit, "link-bytes", limit, len64(raw.len())));
        }
        String::from_utf8(raw).map_err(|_| bad("the target of a symbolic link is not UTF-8"))
    }

    /// The resource fork, where there is one. That of a compressed file whose data is packed
    /// into it is not shown, as on macOS.
    ///
    /// # Errors
    /// [`Code::ApfsExtent`] and as [`lookup`](Self::lookup).
    pub fn resource_fork(&self, file: &Node, job: &Job) -> Result<Option<Source>> {
        if file.resource_fork == 0 { Ok(None) } else { self.fork(file, job) }
    }

    fn fork(&self, file: &Node, job: &Job) -> Result<Option<Source>> {
        let mut fork: Option<Source> = None;
        self.attribute(file, FORK, job, &mut |value| {
            fork = Some(match value {
                Attribute::Embedded(b) => Arc::new(b.to_vec()),
                Attribute::Stream { id, size } => {
                    Arc::new(Data::open(self.fs.clone(), *id, *size, job)?)
                }
            });
            Ok(())
        })?;
        Ok(fork)
    }

    /// Names and sizes of the extended attributes that macOS would list, in the order of the
    /// volume: without the target of a symbolic link, and without the attributes that hold a
    /// compressed file's data. [`xattr`](Self::xattr) reads those too.
    ///
    /// # Errors
    /// As [`lookup`](Self::lookup); [`Code::LimitEntries`].
    pub fn xattrs(&self, file: &Node, job: &Job) -> Result<Vec<Xattr>> {
        let limit = job.limits().entries;
        let packed = file.compressed.is_some();
        let mut found = Vec::new();
        let mut cursor = self.fs.tree.seek(at_object(file.id, kind::XATTR), job)?;
        while let Some((key, value)) = cursor.record()? {
            if records::split(key) != Some((file.id, kind::XATTR)) {
                break;
            }
            let name = records::attribute_name(key)?;
            let hidden = name == SYMLINK
                || packed && (name == decmpfs::XATTR || name == FORK && file.resource_fork == 0);
            if !hidden {
                if len64(found.len()) >= limit {
                    let value = limit.saturating_add(1);
                    return Err(Error::limit(Code::LimitEntries, "attributes", limit, value));
                }
                let size = Attribute::parse(value)?.size();
                found.push(Xattr { name: name.to_owned(), size });
            }
            cursor.advance(job)?;
        }
        Ok(found)
    }

    /// The bytes of one extended attribute; `None` when there is none of that name.
    ///
    /// # Errors
    /// [`Code::LimitMemory`] when it has more than `limit` bytes; [`Code::ApfsExtent`]; as
    /// [`lookup`](Self::lookup).
    pub fn xattr(&self, file: &Node, name: &str, limit: u64, job: &Job) -> Result<Option<Vec<u8>>> {
        let mut out = None;
        self.attribute(file, name, job, &mut |value| {
            let size = value.size();
            if size > limit {
                return Err(Error::limit(Code::LimitMemory, "extended attribute", limit, size));
            }
            out = Some(read_attribute(&self.fs, value, limit, job)?);
            Ok(())
        })?;
        Ok(out)
    }

    /// Calls `each` with the attribute `name`, where there is one.
    fn attribute(
        &self,
        file: &Node,
        name: &str,
        job: &Job,
        each: &mut dyn FnMut(&Attribute<'_>) -> Result<()>,
    ) -> Result<()> {
        // A stored name ends in a NUL, which is not part of the text.
        let want = (Some((file.id, kind::XATTR)), name.as_bytes());
        let order = |k: &[u8]| {
            let stored = k.get(10..).unwrap_or_default();
            (records::split(k), stored.strip_suffix(&[0]).unwrap_or(stored)).cmp(&want)
        };
        let cursor = self.fs.tree.seek(order, job)?;
        match cursor.record()? {
            Some((key, value))
                if records::split(key) == want.0 && records::attribute_name(key)? == name =>
            {
                each(&Attribute::parse(value)?)
            }
            _ => Ok(()),
        }
    }
}
