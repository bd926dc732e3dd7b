//! The files of one volume, as a test describes them.

use std::collections::BTreeMap;

use super::decmpfs::Decmpfs;
use super::name::Names;
use crate::tree::{self, Tree};

/// 2025-01-01T00:00:00Z in nanoseconds.
const TIME: u64 = 1_735_689_600_000_000_000;

/// The largest attribute that is stored in its record (`XATTR_MAX_EMBEDDED_SIZE`).
const EMBEDDED: usize = 3804;

/// What an extended attribute holds, and where.
#[derive(Debug, Clone)]
pub(super) struct Xattr {
    pub(super) name: String,
    pub(super) value: Vec<u8>,
    pub(super) stream: bool,
    /// `XATTR_FILE_SYSTEM_OWNED`.
    pub(super) owned: bool,
}

/// File data.
#[derive(Debug, Clone)]
pub(super) enum Data {
    /// None: a folder, a link, a compressed or an empty file.
    None,
    /// Parts at offsets that are multiples of the block size; between them are holes.
    Parts { size: u64, parts: Vec<(u64, Vec<u8>)> },
    /// The extents of another path, each counted twice.
    Clone(String),
    /// The very stream of another path (`private_id` is that file's).
    SharedStream(String),
}

/// One file, folder or link.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) time: u64,
    pub(super) bsd_flags: u32,
    /// What a compressed file holds.
    pub(super) plain: Option<Vec<u8>>,
    pub(super) rdev: Option<u32>,
    pub(super) data: Data,
    pub(super) xattrs: Vec<Xattr>,
    /// A further name of this path.
    pub(super) hard_link_to: Option<String>,
}

/// What a reader must find at one path of a [`Volume`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// The path.
    pub path: String,
    /// Type and permission bits; of a hard link those of its file.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time, Unix seconds.
    pub seconds: u64,
    /// Target of a symbolic link.
    pub link: Option<String>,
    /// The bytes of a file, decompressed and with holes as zeros.
    pub bytes: Vec<u8>,
}

/// One volume of a [`super::Container`]. Paths have `/` between components and nothing at the
/// ends; the folders above a path are made where they are missing.
#[derive(Debug, Clone)]
pub struct Volume {
    pub(super) name: String,
    pub(super) names: Names,
    pub(super) role: u16,
    pub(super) items: BTreeMap<String, Item>,
    pub(super) extent_blocks: u64,
    pub(super) node_records: usize,
    pub(super) encrypted: bool,
    pub(super) sealed: bool,
    last: String,
}

impl Volume {
    /// An empty volume: case-insensitive, without role.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            names: Names::CaseInsensitive,
            role: 0,
            items: BTreeMap::new(),
            extent_blocks: u64::MAX,
            node_records: usize::MAX,
            encrypted: false,
            sealed: false,
            last: String::new(),
        }
    }

    /// How names compare.
    #[must_use]
    pub fn names(mut self, names: Names) -> Self {
        self.names = names;
        self
    }

    /// `apfs_role`, for example 1 for a system volume.
    #[must_use]
    pub fn role(mut self, role: u16) -> Self {
        self.role = role;
        self
    }

    /// Files are cut into extents of at most so many blocks, placed in reverse order.
    #[must_use]
    pub fn extent_blocks(mut self, blocks: u64) -> Self {
        self.extent_blocks = blocks.max(1);
        self
    }

    /// Nodes of the volume's trees hold at most so many records: a deep tree of few files.
    #[must_use]
    pub fn node_records(mut self, records: usize) -> Self {
        self.node_records = records.max(1);
        self
    }

    /// Marks the volume as encrypted. Nothing is encrypted and there is no key bag.
    #[must_use]
    pub fn encrypted_marker(mut self) -> Self {
        self.encrypted = true;
        self
    }

    /// Marks the volume as sealed. The trees are those of a volume that is not.
    #[must_use]
    pub fn sealed_marker(mut self) -> Self {
        self.sealed = true;
        self
    }

    fn put(mut self, path: &str, item: Item) -> Self {
        assert!(!path.is_empty() && !path.starts_with('/') && !path.ends_with('/'), "{path}");
        for (end, _) in path.match_indices('/') {
            let above = path[..end].to_owned();
            self.items.entry(above).or_insert_with(|| Item::new(0o40_755, Data::None));
        }
        self.items.insert(path.to_owned(), item);
        self.last = path.to_owned();
        self
    }

    /// A folder, mode 0755.
    #[must_use]
    pub fn folder(self, path: &str) -> Self {
        self.put(path, Item::new(0o40_755, Data::None))
    }

    /// A file, mode 0644.
    #[must_use]
    pub fn file(self, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        let data = match bytes.len() {
            0 => Data::None,
            n => Data::Parts { size: n as u64, parts: vec![(0, bytes)] },
        };
        self.put(path, Item::new(0o100_644, data))
    }

    /// A file of `size` bytes with data only at these offsets (multiples of the block size).
    #[must_use]
    pub fn sparse(self, path: &str, size: u64, parts: &[(u64, &[u8])]) -> Self {
        let parts = parts.iter().map(|(at, b)| (*at, b.to_vec())).collect();
        self.put(path, Item::new(0o100_644, Data::Parts { size, parts }))
    }

    /// A symbolic link, mode 0755.
    #[must_use]
    pub fn symlink(self, path: &str, target: &str) -> Self {
        let mut item = Item::new(0o120_755, Data::None);
        item.xattrs.push(Xattr {
            name: "com.apple.fs.symlink".to_owned(),
            value: [target.as_bytes(), &[0]].concat(),
            stream: false,
            owned: true,
        });
        self.put(path, item)
    }

    /// A further name of the file at `existing`.
    #[must_use]
    pub fn hard_link(self, path: &str, existing: &str) -> Self {
        assert!(self.items.contains_key(existing), "{existing}");
        let mut item = Item::new(0o100_644, Data::None);
        item.hard_link_to = Some(existing.to_owned());
        self.put(path, item)
    }

    /// A copy of `existing` that shares its blocks: own extent records, each block counted twice.
    #[must_use]
    pub fn clone_of(self, path: &str, existing: &str) -> Self {
        assert!(self.items.contains_key(existing), "{existing}");
        self.put(path, Item::new(0o100_644, Data::Clone(existing.to_owned())))
    }

    /// A copy of `existing` that shares its data stream: `private_id` is that of the other file.
    #[must_use]
    pub fn shared_stream(self, path: &str, existing: &str) -> Self {
        assert!(self.items.contains_key(existing), "{existing}");
        self.put(path, Item::new(0o100_644, Data::SharedStream(existing.to_owned())))
    }

    /// Everything in `tree`, below the folder `at` (the root when empty).
    #[must_use]
    pub fn tree(mut self, at: &str, tree: &Tree) -> Self {
        for (path, node) in tree.nodes() {
            let path = if at.is_empty() { path.to_owned() } else { format!("{at}/{path}") };
            self = match &node.content {
                tree::Content::Dir => self.folder(&path),
                tree::Content::File(bytes) => self.file(&path, bytes.clone()),
                tree::Content::Link(target) => self.symlink(&path, target),
            };
            self = self.mode(u16::try_from(node.mode & 0o7777).expect("12 bits"));
        }
        self
    }

    /// A named pipe (0o010644), device (0o020644, 0o060644) or socket (0o140644).
    #[must_use]
    pub fn special(self, path: &str, mode: u16) -> Self {
        let mut item = Item::new(mode, Data::None);
        item.rdev = matches!(mode & 0o170_000, 0o20_000 | 0o60_000).then_some(0x0100_0003);
        self.put(path, item)
    }

    /// A compressed file.
    #[must_use]
    pub fn decmpfs(self, path: &str, how: Decmpfs, bytes: &[u8]) -> Self {
        let (xattr, fork) = how.encode(bytes);
        let mut item = Item::new(0o100_644, Data::None);
        // UF_COMPRESSED
        item.bsd_flags = 0x20;
        item.plain = Some(bytes.to_vec());
        let stream = xattr.len() > EMBEDDED;
        let name = "com.apple.decmpfs".to_owned();
        item.xattrs.push(Xattr { name, value: xattr, stream, owned: false });
        if let Some(value) = fork {
            let name = "com.apple.ResourceFork".to_owned();
            item.xattrs.push(Xattr { name, value, stream: true, owned: false });
        }
        self.put(path, item)
    }

    /// What a reader must find, in byte order of the paths.
    #[must_use]
    pub fn contents(&self) -> Vec<Content> {
        let content = |(path, item): (&String, &Item)| {
            let item = item.hard_link_to.as_ref().map_or(item, |to| &self.items[to]);
            let link = item
                .xattrs
                .iter()
                .find(|x| x.name == "com.apple.fs.symlink")
                .map(|x| String::from_utf8_lossy(&x.value[..x.value.len() - 1]).into_owned());
            let (mode, uid, gid) = (item.mode, item.uid, item.gid);
            let seconds = item.time / 1_000_000_000;
            Content { path: path.clone(), mode, uid, gid, seconds, link, bytes: self.bytes(item) }
        };
        self.items.iter().map(content).collect()
    }

    fn bytes(&self, item: &Item) -> Vec<u8> {
        match &item.data {
            Data::None => item.plain.clone().unwrap_or_default(),
            Data::Parts { size, parts } => {
                let mut bytes = vec![0; super::object::usize_of(*size)];
                for (at, part) in parts {
                    let at = super::object::usize_of(*at);
                    bytes[at..at + part.len()].copy_from_slice(part);
                }
                bytes
            }
            Data::Clone(of) | Data::SharedStream(of) => self.bytes(&self.items[of]),
        }
    }

    fn item(&mut self, path: &str) -> &mut Item {
        self.items.get_mut(path).unwrap_or_else(|| panic!("{path} is not in the volume"))
    }

    /// An extended attribute of `path`; a large one is a stream.
    #[must_use]
    pub fn xattr(mut self, path: &str, name: &str, value: &[u8]) -> Self {
        let stream = value.len() > EMBEDDED;
        let xattr = Xattr { name: name.to_owned(), value: value.to_vec(), stream, owned: false };
        self.item(path).xattrs.push(xattr);
        self
    }

    /// An extended attribute of `path` that is a stream, whatever its size.
    #[must_use]
    pub fn xattr_stream(mut self, path: &str, name: &str, value: &[u8]) -> Self {
        let xattr =
            Xattr { name: name.to_owned(), value: value.to_vec(), stream: true, owned: false };
        self.item(path).xattrs.push(xattr);
        self
    }

    /// Permission bits (0o7777) of the path that was added last.
    #[must_use]
    pub fn mode(mut self, mode: u16) -> Self {
        let last = self.last.clone();
        let item = self.item(&last);
        item.mode = item.mode & 0o170_000 | mode & 0o7777;
        self
    }

    /// Owner of the path that was added last.
    #[must_use]
    pub fn owner(mut self, uid: u32, gid: u32) -> Self {
        let last = self.last.clone();
        let item = self.item(&last);
        (item.uid, item.gid) = (uid, gid);
        self
    }

    /// Unix seconds of all times of the path that was added last.
    #[must_use]
    pub fn time(mut self, seconds: u64) -> Self {
        let last = self.last.clone();
        self.item(&last).time = seconds * 1_000_000_000;
        self
    }

    /// `bsd_flags` of the path that was added last, added to those it has.
    #[must_use]
    pub fn bsd_flags(mut self, flags: u32) -> Self {
        let last = self.last.clone();
        self.item(&last).bsd_flags |= flags;
        self
    }
}

impl Item {
    fn new(mode: u16, data: Data) -> Self {
        Self {
            mode,
            uid: 0,
            gid: 0,
            time: TIME,
            bsd_flags: 0,
            plain: None,
            rdev: None,
            data,
            xattrs: Vec::new(),
            hard_link_to: None,
        }
    }

    /// The root folder of a volume and its private folder.
    pub(super) fn top() -> Self {
        Self::new(0o40_755, Data::None)
    }

    pub(super) fn is_folder(&self) -> bool {
        self.mode & 0o170_000 == 0o40_000
    }

    /// `DT_*`: the type bits of the mode as a number.
    pub(super) fn dirent_type(&self) -> u16 {
        self.mode >> 12
    }
}
