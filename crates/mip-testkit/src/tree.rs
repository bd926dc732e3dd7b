//! A small file tree in memory, and its writers: folder, zip, tar, cpio.
//!
//! The writers are deterministic: entries in byte order of their paths, one fixed time, owner 0:0.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};

/// The modification time of everything: 2025-01-01T00:00:00Z.
pub const TIME: u32 = 1_735_689_600;

/// What one node holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A folder.
    Dir,
    /// A regular file with these bytes.
    File(Vec<u8>),
    /// A symbolic link to this target.
    Link(String),
}

/// One file, folder or link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Permission bits, without the file type.
    pub mode: u32,
    /// What it holds.
    pub content: Content,
}

/// Files, folders and links by their path (`/` between components, nothing at the ends).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    nodes: BTreeMap<String, Node>,
}

impl Tree {
    /// An empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a folder (mode 0755) and the folders above it.
    #[must_use]
    pub fn dir(self, path: &str) -> Self {
        self.put(path, 0o755, Content::Dir)
    }

    /// Adds a file and the folders above it.
    #[must_use]
    pub fn file(self, path: &str, mode: u32, bytes: impl Into<Vec<u8>>) -> Self {
        self.put(path, mode, Content::File(bytes.into()))
    }

    /// Adds a symbolic link (mode 0755, as macOS has it) and the folders above it.
    #[must_use]
    pub fn link(self, path: &str, target: &str) -> Self {
        self.put(path, 0o755, Content::Link(target.to_owned()))
    }

    /// Adds every node of `other` below the folder `at` (at the top when `at` is empty).
    #[must_use]
    pub fn tree(mut self, at: &str, other: &Tree) -> Self {
        for (path, node) in &other.nodes {
            let path = if at.is_empty() { path.clone() } else { format!("{at}/{path}") };
            self = self.put(&path, node.mode, node.content.clone());
        }
        self
    }

    fn put(mut self, path: &str, mode: u32, content: Content) -> Self {
        for (at, _) in path.match_indices('/') {
            let above = path.get(..at).unwrap_or_default().to_owned();
            self.nodes.entry(above).or_insert(Node { mode: 0o755, content: Content::Dir });
        }
        self.nodes.insert(path.to_owned(), Node { mode, content });
        self
    }

    /// Every node with its path, parents before children.
    pub fn nodes(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.nodes.iter().map(|(p, n)| (p.as_str(), n))
    }

    /// The bytes of the file at `path`.
    #[must_use]
    pub fn bytes(&self, path: &str) -> Option<&[u8]> {
        match &self.nodes.get(path)?.content {
            Content::File(b) => Some(b),
            Content::Dir | Content::Link(_) => None,
        }
    }

    /// Sum of all file sizes.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.nodes
            .values()
            .map(|n| if let Content::File(b) = &n.content { b.len() as u64 } else { 0 })
            .sum()
    }

    /// Writes the tree below `root`, which must exist.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write_dir(&self, root: &Path) -> std::io::Result<()> {
        for (path, node) in &self.nodes {
            let to = root.join(path);
            match &node.content {
                Content::Dir => std::fs::create_dir_all(&to)?,
                Content::File(bytes) => std::fs::write(&to, bytes)?,
                #[cfg(unix)]
                Content::Link(target) => std::os::unix::fs::symlink(target, &to)?,
                #[cfg(not(unix))]
                Content::Link(_) => return Err(std::io::ErrorKind::Unsupported.into()),
            }
            #[cfg(unix)]
            if !matches!(node.content, Content::Link(_)) {
                use std::os::unix::fs::PermissionsExt as _;
                std::fs::set_permissions(&to, std::fs::Permissions::from_mode(node.mode))?;
            }
        }
        Ok(())
    }

    /// A zip file as macOS tools write it: made on Unix, modes and links kept, files deflated.
    ///
    /// # Panics
    /// When the tree does not fit a zip file without ZIP64.
    #[must_use]
    pub fn zip(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut directory = Vec::new();
        for (path, node) in &self.nodes {
            let (name, file_type, data) = match &node.content {
                Content::Dir => (format!("{path}/"), 0o040_000, &[][..]),
                Content::File(b) => (path.clone(), 0o100_000, b.as_slice()),
                Content::Link(t) => (path.clone(), 0o120_000, t.as_bytes()),
            };
            let deflated = deflate(data);
            let (method, stored): (u16, &[u8]) =
                if deflated.len() < data.len() { (8, &deflated) } else { (0, data) };
            let offset = u32_of(out.len());

            // The part that local header and directory entry have in common.
            let mut common = Vec::new();
            common.extend(20u16.to_le_bytes()); // version needed
            common.extend(if name.is_ascii() { 0u16 } else { 1 << 11 }.to_le_bytes()); // UTF-8 names
            common.extend(method.to_le_bytes());
            common.extend([0, 0, 0x21, 0x5a]); // 2025-01-01 00:00:00 as MS-DOS time and date
            common.extend(crc32fast::hash(data).to_le_bytes());
            common.extend(u32_of(stored.len()).to_le_bytes());
            common.extend(u32_of(data.len()).to_le_bytes());
            common.extend(u16_of(name.len()).to_le_bytes());
            common.extend([0, 0]); // no extra field

            out.extend(b"PK\x03\x04");
            out.extend(&common);
            out.extend(name.as_bytes());
            out.extend(stored);

            directory.extend(b"PK\x01\x02");
            directory.extend([30, 3]); // made by 3.0 on Unix
            directory.extend(&common);
            directory.extend([0; 6]); // no comment, disk 0, no internal attributes
            directory.extend(((file_type | node.mode) << 16).to_le_bytes());
            directory.extend(offset.to_le_bytes());
            directory.extend(name.as_bytes());
        }
        let (start, len, count) = (out.len(), directory.len(), u16_of(self.nodes.len()));
        out.extend(directory);
        out.extend(b"PK\x05\x06\0\0\0\0");
        out.extend(count.to_le_bytes());
        out.extend(count.to_le_bytes());
        out.extend(u32_of(len).to_le_bytes());
        out.extend(u32_of(start).to_le_bytes());
        out.extend([0, 0]); // no comment
        out
    }

    /// A tar file in the ustar form.
    ///
    /// # Panics
    /// When a path or a link target does not fit a ustar header.
    #[must_use]
    pub fn tar(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (path, node) in &self.nodes {
            let (flag, data, link) = match &node.content {
                Content::Dir => (b'5', &[][..], ""),
                Content::File(b) => (b'0', b.as_slice(), ""),
                Content::Link(t) => (b'2', &[][..], t.as_str()),
            };
            let path = if flag == b'5' { format!("{path}/") } else { path.clone() };
            out.extend(ustar_header(&path, node.mode, flag, data.len() as u64, link));
            out.extend(data);
            out.resize(out.len().next_multiple_of(512), 0);
        }
        out.resize(out.len() + 1024, 0);
        out
    }

    /// A cpio archive in the odc form, as package payloads are: names start with `./`, the
    /// root comes first, owner `uid`:`gid`.
    ///
    /// # Panics
    /// When there are more than 2^18 nodes.
    #[must_use]
    pub fn cpio(&self, uid: u32, gid: u32) -> Vec<u8> {
        let mut out = Vec::new();
        let mut inode = 0;
        let mut put = |name: &str, mode: u32, data: &[u8]| {
            inode += 1;
            assert!(inode < 1 << 18, "too many nodes");
            let links = if mode & 0o170_000 == 0o040_000 { 2 } else { 1 };
            out.extend(b"070707");
            for field in [1, inode, mode, uid, gid, links, 0] {
                out.extend(format!("{field:06o}").as_bytes());
            }
            out.extend(format!("{TIME:011o}{:06o}{:011o}", name.len() + 1, data.len()).as_bytes());
            out.extend(name.as_bytes());
            out.push(0);
            out.extend(data);
        };
        put(".", 0o040_755, &[]);
        for (path, node) in &self.nodes {
            let name = format!("./{path}");
            match &node.content {
                Content::Dir => put(&name, 0o040_000 | node.mode, &[]),
                Content::File(b) => put(&name, 0o100_000 | node.mode, b),
                Content::Link(t) => put(&name, 0o120_000 | node.mode, t.as_bytes()),
            }
        }
        put("TRAILER!!!", 0, &[]);
        out
    }

    /// [`tar`](Self::tar) inside gzip.
    #[must_use]
    pub fn tar_gz(&self) -> Vec<u8> {
        gzip(&self.tar())
    }
}

/// One gzip member, without a name or a time.
///
/// # Panics
/// Never: it writes to memory.
#[must_use]
pub fn gzip(data: &[u8]) -> Vec<u8> {
    let mut e = GzEncoder::new(Vec::new(), Compression::default());
    e.write_all(data).expect("writing to memory");
    e.finish().expect("writing to memory")
}

fn deflate(data: &[u8]) -> Vec<u8> {
    let mut e = DeflateEncoder::new(Vec::new(), Compression::default());
    e.write_all(data).expect("writing to memory");
    e.finish().expect("writing to memory")
}

/// A ustar header block (POSIX.1-1988): 100-byte name, 155-byte prefix, octal numbers.
fn ustar_header(path: &str, mode: u32, flag: u8, size: u64, link: &str) -> [u8; 512] {
    let (prefix, name) = if path.len() <= 100 {
        ("", path)
    } else {
        path.match_indices('/')
            .map(|(at, _)| (&path[..at], &path[at + 1..]))
            .find(|(prefix, name)| prefix.len() <= 155 && name.len() <= 100)
            .unwrap_or_else(|| panic!("{path}: too long for ustar"))
    };
    let mut h = [0u8; 512];
    let mut put = |at: usize, bytes: &[u8]| h[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(100, format!("{mode:07o}").as_bytes());
    put(108, b"0000000");
    put(116, b"0000000");
    put(124, format!("{size:011o}").as_bytes());
    put(136, format!("{TIME:011o}").as_bytes());
    put(148, b"        ");
    put(156, &[flag]);
    assert!(link.len() <= 100, "{link}: too long for ustar");
    put(157, link.as_bytes());
    put(257, b"ustar\x0000");
    put(265, b"root");
    put(297, b"wheel");
    put(345, prefix.as_bytes());
    let sum: u32 = h.iter().map(|b| u32::from(*b)).sum();
    h[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    h
}

fn u32_of(n: usize) -> u32 {
    u32::try_from(n).expect("small enough for a zip without ZIP64")
}

fn u16_of(n: usize) -> u16 {
    u16::try_from(n).expect("small enough for a zip without ZIP64")
}
