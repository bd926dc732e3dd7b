//! HFS+ and HFSX volumes, written from Apple's Technical Note TN1150 ("HFS Plus Volume Format").
//!
//! [`Volume`] describes what is on the volume, [`Volume::build`] makes its bytes,
//! [`Volume::write_to`] streams a big one. [`Layout`] tells where the structures are, for tests
//! that patch bytes. The same description gives the same bytes every time.
//!
//! ```
//! use mip_testkit::hfs::Volume;
//! let volume = Volume::new("Disk").file("docs/read me.txt", "hello").link("docs/again", "read me.txt");
//! let (mut bytes, layout) = volume.build_with_layout();
//! assert_eq!(&bytes[1024..1026], b"H+");
//! let record = layout.record("docs/read me.txt");
//! bytes[record.data as usize + 88] = 0xff; // the data fork's size is absurd now
//! ```

mod btree;
mod decmpfs;
mod layout;
mod names;
mod plan;
mod records;
mod wrapper;
mod write;

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

pub use btree::{NodePlace, RecordPlace};
pub use layout::{Layout, TreeLayout};
pub use names::{compare, fold, stored};

use crate::tree::{self, Tree};

/// `UF_COMPRESSED`: the data is in the `com.apple.decmpfs` attribute or the resource fork.
pub const UF_COMPRESSED: u8 = 0x20;

/// Opens the bytes of a fork that is not held in memory.
type Open = Arc<dyn Fn() -> io::Result<Box<dyn Read>> + Send + Sync>;

/// The bytes of a fork.
#[derive(Clone)]
enum Content {
    Bytes(Arc<[u8]>),
    Stream { len: u64, open: Open },
}

impl Content {
    fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self::Bytes(bytes.into().into())
    }

    fn len(&self) -> u64 {
        match self {
            Self::Bytes(b) => b.len() as u64,
            Self::Stream { len, .. } => *len,
        }
    }
}

/// What an entry is.
#[derive(Clone, PartialEq)]
enum Kind {
    Folder,
    File,
    Symlink,
    /// Device, FIFO or socket, with `rawDevice`; the type is in the mode.
    Special(u32),
    /// Another name of the file or folder at this path.
    HardLink(String),
}

/// One extended attribute.
#[derive(Clone)]
struct Xattr {
    name: String,
    content: Content,
    /// In extents of its own instead of inside the record.
    fork: bool,
    pieces: u32,
}

/// One file, folder or link.
#[derive(Clone)]
struct Entry {
    path: String,
    kind: Kind,
    /// Type and permission bits.
    mode: u16,
    owner: (u32, u32),
    /// `ownerFlags`, as chflags(2) has them.
    flags: u8,
    /// Creation and content modification, in Unix seconds.
    dates: (u32, u32),
    /// `userInfo` and `finderInfo`.
    finder: [u8; 32],
    data: Content,
    resource: Content,
    /// Pieces of the data fork and of the resource fork.
    pieces: (u32, u32),
    /// Blocks of the data fork beyond what its size needs.
    extra: u32,
    xattrs: Vec<Xattr>,
    stored_name: Option<Vec<u16>>,
}

/// A volume to be written. Paths have `/` between components and nothing at the ends; folders
/// above an entry are made. Settings of one entry (`mode`, `xattr`, …) take the path of an entry
/// that was added before; the path "" is the root folder.
///
/// # Panics
/// All methods panic on what cannot be written (an unknown path, a fragmented stream, a record
/// that does not fit a node).
#[derive(Clone)]
pub struct Volume {
    name: String,
    block_size: u32,
    node_size: [usize; 3],
    case_sensitive: bool,
    journal: Option<u32>,
    wrapped: bool,
    free_blocks: u32,
    tree_pieces: [u32; 2],
    spare_nodes: usize,
    entries: Vec<Entry>,
    by_path: HashMap<String, usize>,
}

impl std::fmt::Debug for Volume {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Volume({:?}, {} entries)", self.name, self.entries.len())
    }
}

impl Volume {
    /// An empty volume: HFS+ (not case-sensitive), blocks and nodes of 4096 bytes, no journal.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let root = Entry::new("", Kind::Folder, 0o040_755);
        Self {
            name: name.to_owned(),
            block_size: 4096,
            node_size: [4096, 4096, 8192],
            case_sensitive: false,
            journal: None,
            wrapped: false,
            free_blocks: 4,
            tree_pieces: [1, 1],
            spare_nodes: 0,
            entries: vec![root],
            by_path: HashMap::from([(String::new(), 0)]),
        }
    }

    /// Allocation blocks of `bytes` (a power of two from 512).
    #[must_use]
    pub fn block_size(mut self, bytes: u32) -> Self {
        assert!(bytes.is_power_of_two() && bytes >= 512, "block size {bytes}");
        self.block_size = bytes;
        self
    }

    /// Node sizes of the catalog and of the attributes tree (powers of two, 512 to 32768).
    /// Small nodes make deep trees.
    #[must_use]
    pub fn node_size(mut self, catalog: usize, attributes: usize) -> Self {
        for n in [catalog, attributes] {
            assert!(n.is_power_of_two() && (512..=32_768).contains(&n), "node size {n}");
        }
        (self.node_size[1], self.node_size[2]) = (catalog, attributes);
        self
    }

    /// Node size of the extents overflow tree.
    #[must_use]
    pub fn extents_node_size(mut self, bytes: usize) -> Self {
        self.node_size[0] = bytes;
        self
    }

    /// Empty nodes at the end of each tree.
    #[must_use]
    pub fn spare_nodes(mut self, n: usize) -> Self {
        self.spare_nodes = n;
        self
    }

    /// HFSX with names that differ by case, when `yes`.
    #[must_use]
    pub fn case_sensitive(mut self, yes: bool) -> Self {
        self.case_sensitive = yes;
        self
    }

    /// An empty journal of `bytes` (rounded up to blocks).
    #[must_use]
    pub fn journaled(mut self, bytes: u32) -> Self {
        self.journal = Some(bytes);
        self
    }

    /// Embedded in a classic HFS volume, as Mac OS 8 and 9 made it.
    #[must_use]
    pub fn wrapped(mut self) -> Self {
        self.wrapped = true;
        self
    }

    /// Free blocks at the end (4 without this).
    #[must_use]
    pub fn free_blocks(mut self, n: u32) -> Self {
        self.free_blocks = n;
        self
    }

    /// The catalog and the attributes file lie in this many extents each (as far as their size
    /// allows); with more than eight, some of them are in the extents overflow tree.
    #[must_use]
    pub fn fragment_trees(mut self, catalog: u32, attributes: u32) -> Self {
        self.tree_pieces = [catalog, attributes];
        self
    }

    // ---- entries

    /// A folder (mode 0755).
    #[must_use]
    pub fn folder(self, path: &str) -> Self {
        self.put(Entry::new(path, Kind::Folder, 0o040_755))
    }

    /// A file (mode 0644).
    #[must_use]
    pub fn file(self, path: &str, data: impl Into<Vec<u8>>) -> Self {
        let mut e = Entry::new(path, Kind::File, 0o100_644);
        e.data = Content::new(data);
        self.put(e)
    }

    /// A file of `len` bytes that `open` gives while the volume is written.
    #[must_use]
    pub fn stream(
        self,
        path: &str,
        len: u64,
        open: impl Fn() -> io::Result<Box<dyn Read>> + Send + Sync + 'static,
    ) -> Self {
        let mut e = Entry::new(path, Kind::File, 0o100_644);
        e.data = Content::Stream { len, open: Arc::new(open) };
        self.put(e)
    }

    /// A symbolic link (mode 0755).
    #[must_use]
    pub fn link(self, path: &str, target: &str) -> Self {
        let mut e = Entry::new(path, Kind::Symlink, 0o120_755);
        e.data = Content::new(target);
        e.finder[..8].copy_from_slice(b"slnkrhap");
        self.put(e)
    }

    /// Another name of the file or folder `to`, which was added before and is not a hard link
    /// itself. The target moves to the volume's private folder.
    #[must_use]
    pub fn hard_link(self, path: &str, to: &str) -> Self {
        let target = &self.entries[self.at(to)];
        assert!(!matches!(target.kind, Kind::HardLink(_)) && !to.is_empty(), "{to}: a hard link");
        self.put(Entry::new(path, Kind::HardLink(to.to_owned()), 0o100_444))
    }

    /// A device, FIFO or socket; `mode` includes the type.
    #[must_use]
    pub fn special(self, path: &str, mode: u16, device: u32) -> Self {
        self.put(Entry::new(path, Kind::Special(device), mode))
    }

    /// A Finder alias: a file with an `alis` resource and the alias flag.
    #[must_use]
    pub fn alias(self, path: &str) -> Self {
        let resource = resource_fork(*b"alis", 0, &[0; 150]);
        self.file(path, "").resource_fork(path, resource).finder(path, *b"alis", *b"MACS", 0x8000)
    }

    /// A compressed file (decmpfs). Types 1, 3, 4, 9 and 10 are encoded here (stored, zlib).
    #[must_use]
    pub fn decmpfs(self, path: &str, kind: u32, data: &[u8]) -> Self {
        let (xattr, resource) = decmpfs::encode(kind, data);
        self.decmpfs_encoded(path, kind, data.len() as u64, &xattr, resource)
    }

    /// A compressed file from parts: `payload` follows the header in the attribute, `resource` is
    /// the whole resource fork.
    #[must_use]
    pub fn decmpfs_encoded(
        self,
        path: &str,
        kind: u32,
        size: u64,
        payload: &[u8],
        resource: impl Into<Vec<u8>>,
    ) -> Self {
        let mut value = b"fpmc".to_vec();
        value.extend(kind.to_le_bytes());
        value.extend(size.to_le_bytes());
        value.extend(payload);
        self.file(path, "")
            .resource_fork(path, resource)
            .xattr(path, "com.apple.decmpfs", value)
            .flags(path, UF_COMPRESSED)
    }

    /// Everything in `tree`, below the folder `at` (the root when empty).
    #[must_use]
    pub fn tree(mut self, at: &str, tree: &Tree) -> Self {
        for (path, node) in tree.nodes() {
            let path = if at.is_empty() { path.to_owned() } else { format!("{at}/{path}") };
            self = match &node.content {
                tree::Content::Dir => self.folder(&path),
                tree::Content::File(bytes) => self.file(&path, bytes.clone()),
                tree::Content::Link(target) => self.link(&path, target),
            };
            self = self.mode(&path, u16::try_from(node.mode & 0o7777).unwrap());
        }
        self
    }

    /// Everything below the host's folder `from`, in name order, streamed when the volume is
    /// written. Permission bits are kept; owners and times are not.
    ///
    /// # Errors
    /// What the file system says.
    #[cfg(unix)]
    pub fn host_folder(mut self, at: &str, from: &Path) -> io::Result<Self> {
        use std::os::unix::fs::PermissionsExt as _;
        self = self.folder(at);
        let mut found = std::fs::read_dir(from)?.collect::<io::Result<Vec<_>>>()?;
        found.sort_by_key(std::fs::DirEntry::file_name);
        for e in found {
            let name = e.file_name().into_string().map_err(|_| io::ErrorKind::InvalidData)?;
            let (path, host, meta) = (format!("{at}/{name}"), e.path(), e.metadata()?);
            if meta.is_dir() {
                self = self.host_folder(&path, &host)?;
            } else if meta.is_symlink() {
                let target = std::fs::read_link(&host)?;
                self = self.link(&path, &target.to_string_lossy());
            } else {
                self = self
                    .stream(&path, meta.len(), move || Ok(Box::new(std::fs::File::open(&host)?)));
                self = self.mode(&path, (meta.permissions().mode() & 0o7777) as u16);
            }
        }
        Ok(self)
    }

    // ---- settings of one entry

    /// Permission bits.
    #[must_use]
    pub fn mode(mut self, path: &str, bits: u16) -> Self {
        let e = self.get(path);
        e.mode = (e.mode & 0o170_000) | bits;
        self
    }

    /// User and group.
    #[must_use]
    pub fn owner(mut self, path: &str, uid: u32, gid: u32) -> Self {
        self.get(path).owner = (uid, gid);
        self
    }

    /// Creation and content modification, in Unix seconds (2025-01-01 without this).
    #[must_use]
    pub fn dates(mut self, path: &str, created: u32, modified: u32) -> Self {
        self.get(path).dates = (created, modified);
        self
    }

    /// `ownerFlags`, as chflags(2) has them; added to what is set.
    #[must_use]
    pub fn flags(mut self, path: &str, flags: u8) -> Self {
        self.get(path).flags |= flags;
        self
    }

    /// Finder type, creator and flags.
    #[must_use]
    pub fn finder(mut self, path: &str, kind: [u8; 4], creator: [u8; 4], flags: u16) -> Self {
        let info = &mut self.get(path).finder;
        info[..4].copy_from_slice(&kind);
        info[4..8].copy_from_slice(&creator);
        info[8..10].copy_from_slice(&flags.to_be_bytes());
        self
    }

    /// The resource fork (see [`resource_fork`] for one with a resource map).
    #[must_use]
    pub fn resource_fork(mut self, path: &str, data: impl Into<Vec<u8>>) -> Self {
        self.get(path).resource = Content::new(data);
        self
    }

    /// An extended attribute: inside the record when it fits half a node, else in extents.
    #[must_use]
    pub fn xattr(mut self, path: &str, name: &str, data: impl Into<Vec<u8>>) -> Self {
        let data: Vec<u8> = data.into();
        let fork = data.len() + 300 > self.node_size[2] / 2;
        let x = Xattr { name: name.to_owned(), content: Content::new(data), fork, pieces: 1 };
        self.get(path).xattrs.push(x);
        self
    }

    /// An extended attribute in `pieces` extents of its own, whatever its size.
    #[must_use]
    pub fn xattr_fork(
        mut self,
        path: &str,
        name: &str,
        data: impl Into<Vec<u8>>,
        pieces: u32,
    ) -> Self {
        let content = Content::new(data);
        self.get(path).xattrs.push(Xattr { name: name.to_owned(), content, fork: true, pieces });
        self
    }

    /// The data fork lies in `pieces` extents, in reverse order on the disk, with a free block
    /// between; from the ninth on they are in the extents overflow tree.
    #[must_use]
    pub fn fragment(mut self, path: &str, pieces: u32) -> Self {
        self.get(path).pieces.0 = pieces;
        self
    }

    /// The same for the resource fork.
    #[must_use]
    pub fn fragment_resource(mut self, path: &str, pieces: u32) -> Self {
        self.get(path).pieces.1 = pieces;
        self
    }

    /// Blocks of the data fork beyond what its size needs.
    #[must_use]
    pub fn extra_blocks(mut self, path: &str, blocks: u32) -> Self {
        self.get(path).extra = blocks;
        self
    }

    /// The name on disk, whatever the path says (UTF-16 units, need not be valid).
    #[must_use]
    pub fn stored_name(mut self, path: &str, units: &[u16]) -> Self {
        self.get(path).stored_name = Some(units.to_vec());
        self
    }

    // ---- results

    /// The bytes of the volume.
    #[must_use]
    pub fn build(&self) -> Vec<u8> {
        self.build_with_layout().0
    }

    /// The bytes of the volume, and where things are in them.
    #[must_use]
    pub fn build_with_layout(&self) -> (Vec<u8>, Layout) {
        let mut plan = plan::Plan::new(self);
        let mut bytes = Vec::new();
        plan.write(&mut bytes).unwrap();
        if !self.wrapped {
            return (bytes, plan.layout);
        }
        let (bytes, base) = wrapper::wrap(&self.name, &bytes);
        plan.layout.shift(base);
        (bytes, plan.layout)
    }

    /// Size in bytes of what [`Self::write_to`] writes.
    #[must_use]
    pub fn size(&self) -> u64 {
        plan::Plan::new(self).layout.size()
    }

    /// Writes the volume in one pass, without holding streamed files in memory.
    ///
    /// # Errors
    /// What `out` or a stream says; a stream of another length than announced.
    pub fn write_to(&self, out: &mut dyn io::Write) -> io::Result<Layout> {
        assert!(!self.wrapped, "a wrapped volume is made in memory");
        let plan = plan::Plan::new(self);
        plan.write(out)?;
        Ok(plan.layout)
    }

    fn at(&self, path: &str) -> usize {
        *self.by_path.get(path).unwrap_or_else(|| panic!("no entry {path:?} on the volume"))
    }

    fn get(&mut self, path: &str) -> &mut Entry {
        let at = self.at(path);
        &mut self.entries[at]
    }

    fn put(mut self, entry: Entry) -> Self {
        let path = entry.path.clone();
        assert!(!path.starts_with('/') && !path.ends_with('/'), "{path}: slash at an end");
        if let Some((above, _)) = path.rsplit_once('/')
            && !self.by_path.contains_key(above)
        {
            self = self.folder(above);
        }
        if let Some(&at) = self.by_path.get(&path) {
            self.entries[at] = entry;
        } else {
            self.by_path.insert(path, self.entries.len());
            self.entries.push(entry);
        }
        self
    }
}

impl Entry {
    fn new(path: &str, kind: Kind, mode: u16) -> Self {
        Self {
            path: path.to_owned(),
            kind,
            mode,
            owner: (501, 20),
            flags: 0,
            dates: (tree::TIME, tree::TIME),
            finder: [0; 32],
            data: Content::new(""),
            resource: Content::new(""),
            pieces: (1, 1),
            extra: 0,
            xattrs: Vec::new(),
            stored_name: None,
        }
    }
}

/// A resource fork with one resource (Inside Macintosh, "Resource Manager": header of 256 bytes,
/// data, map).
#[must_use]
pub fn resource_fork(kind: [u8; 4], id: i16, data: &[u8]) -> Vec<u8> {
    let mut body = u32::try_from(data.len()).unwrap().to_be_bytes().to_vec();
    body.extend(data);
    decmpfs::resource_file(kind, id, &body)
}
