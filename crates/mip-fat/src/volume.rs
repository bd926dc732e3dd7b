//! A volume: folders, files, the walk.

use std::sync::Arc;

use mip_base::bytes::le_u32;
use mip_base::{Code, EntryKind, Error, Job, Result, Source, read_full_at};

use crate::boot::{Boot, Kind, RECORD, Root, damaged};
use crate::record::{Directory, Record, label, parse};
use crate::table::{Chain, Claims, File, Table, runs};

/// Most bytes of a folder: 65536 records, as the format says.
const FOLDER: u64 = 65_536 * RECORD;

/// What is known of a volume as a whole.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Info {
    /// The label: of the root folder, else of the boot sector; empty when there is none.
    pub name: String,
    /// FAT12, FAT16 or FAT32.
    pub kind: Kind,
    /// Always `false`: names are compared without case.
    pub case_sensitive: bool,
    /// Bytes of a cluster.
    pub block_size: u64,
    /// Bytes of the volume.
    pub size: u64,
    /// Free bytes, where the volume keeps a count (FAT32) that can be.
    pub free: Option<u64>,
    /// Oddities that do not stop reading.
    pub notes: Vec<String>,
}

/// A file or folder.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Node {
    /// Where the directory record is on the volume, in bytes; 0 for the root. There are no hard
    /// links: equal ids are the same file.
    pub id: u64,
    /// File or directory.
    pub kind: EntryKind,
    /// Permission bits: FAT has none, so 0o755 for all, 0o555 with the read-only attribute.
    pub mode: u32,
    /// Always 0: FAT has no owners.
    pub uid: u32,
    /// Always 0.
    pub gid: u32,
    /// Bytes of a file; 0 for a folder.
    pub size: u64,
    /// Time of the last write in Unix seconds, the stored local time taken as UTC; 0 when
    /// there is none.
    pub mtime: i64,
    /// Always 1.
    pub links: u32,
    /// The attribute byte as stored: 1 read-only, 2 hidden, 4 system, 0x20 archive.
    pub attributes: u8,
    cluster: u32,
}

impl Node {
    fn new(r: &Record, id: u64) -> Self {
        Self {
            id,
            kind: r.kind,
            mode: r.mode,
            uid: 0,
            gid: 0,
            size: u64::from(r.size),
            mtime: r.mtime,
            links: 1,
            attributes: r.attributes,
            cluster: r.cluster,
        }
    }

    fn is_root(&self) -> bool {
        self.id == 0
    }
}

/// What a [`Volume::walk`] comes to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Found {
    /// The path on the volume: names with `/` between them, none in front.
    pub path: String,
    /// The file or folder.
    pub node: Node,
}

/// A FAT12, FAT16 or FAT32 volume. Clones share it.
#[derive(Clone)]
pub struct Volume {
    boot: Arc<Boot>,
    source: Source,
    info: Arc<Info>,
}

impl std::fmt::Debug for Volume {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Volume").field("info", &self.info).finish_non_exhaustive()
    }
}

/// The bytes of a folder, and where they are on the volume.
struct Folder {
    bytes: Vec<u8>,
    /// First byte in the folder and position on the volume of each piece.
    pieces: Vec<(u64, u64)>,
    /// Bytes of a piece.
    piece: u64,
}

impl Folder {
    /// Where byte `at` is on the volume.
    fn position(&self, at: usize) -> u64 {
        let at = mip_base::len64(at);
        let n = at.checked_div(self.piece).unwrap_or(0);
        let piece = usize::try_from(n).ok().and_then(|n| self.pieces.get(n));
        piece.map_or(0, |(start, from)| from.saturating_add(at.saturating_sub(*start)))
    }
}

impl Volume {
    /// Opens the volume that fills `source` from its first byte on; bytes behind its end are
    /// left alone.
    ///
    /// # Errors
    /// [`Code::Fat`] when the boot sector or the root folder cannot be; [`Code::Unsupported`] for
    /// a FAT32 version that is not known; [`Code::InputIo`]; [`Code::Cancelled`].
    pub fn open(source: Source, job: &Job) -> Result<Self> {
        job.check()?;
        let boot = Boot::read(&source)?;
        let mut notes = boot.notes.clone();
        let dirty = match (boot.kind, Table::new(&boot, &source).entry(1)?) {
            (Kind::Fat12, _) => false,
            (Kind::Fat16, e) => e & 0x8000 == 0,
            (Kind::Fat32, e) => e & 0x0800_0000 == 0,
        };
        if dirty {
            notes.push("the volume was not unmounted cleanly".to_owned());
        }
        let mut volume = Self {
            info: Arc::new(Info {
                name: String::new(),
                kind: boot.kind,
                case_sensitive: false,
                block_size: boot.cluster,
                size: boot.size,
                free: None,
                notes,
            }),
            boot: Arc::new(boot),
            source,
        };
        let (directory, _) = volume.directory(&volume.root(), job)?;
        let name = directory.label.unwrap_or_else(|| label(&volume.boot.label));
        let free = volume.free()?;
        if let Some(info) = Arc::get_mut(&mut volume.info) {
            (info.name, info.free) = (name, free);
        }
        Ok(volume)
    }

    /// The count of free clusters that FAT32 keeps, in bytes.
    fn free(&self) -> Result<Option<u64>> {
        let Some(at) = self.boot.fs_info else { return Ok(None) };
        let mut b = [0; 512];
        read_full_at(&self.source, at, &mut b, Code::Fat)?;
        let signed = b.starts_with(b"RRaA") && b.get(484..488) == Some(b"rrAa");
        let count = le_u32(&b, 488).filter(|n| signed && *n <= self.boot.clusters);
        Ok(count.map(|n| u64::from(n).saturating_mul(self.boot.cluster)))
    }

    /// What is known of the volume.
    #[must_use]
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// The root folder.
    #[must_use]
    pub fn root(&self) -> Node {
        Node {
            id: 0,
            kind: EntryKind::Directory,
            mode: 0o755,
            uid: 0,
            gid: 0,
            size: 0,
            mtime: 0,
            links: 1,
            attributes: 0,
            cluster: match self.boot.root {
                Root::Chain(first) => first,
                Root::Range(..) => 0,
            },
        }
    }

    /// Reads a folder whole: at most 2 MiB.
    fn folder(&self, node: &Node, job: &Job) -> Result<Folder> {
        if node.kind != EntryKind::Directory {
            return Err(damaged("a file is read as a folder"));
        }
        if let (true, Root::Range(start, len)) = (node.is_root(), self.boot.root) {
            let mut bytes = job.buffer("folder", len, FOLDER)?;
            read_full_at(&self.source, start, &mut bytes, Code::Fat)?;
            return Ok(Folder { bytes, pieces: vec![(0, start)], piece: len.max(1) });
        }
        let cluster = self.boot.cluster;
        let (mut bytes, mut pieces, mut len) = (Vec::new(), Vec::new(), 0_u64);
        let mut table = Table::new(&self.boot, &self.source);
        let mut chain = Chain::new(&mut table, node.cluster, job)?;
        while let Some(c) = chain.step()? {
            let start = len;
            len = len.saturating_add(cluster);
            if len > FOLDER {
                return Err(damaged(format!("a folder has more than {FOLDER} bytes")));
            }
            let mut piece = job.buffer("folder", cluster, FOLDER)?;
            let at = self.boot.position(c);
            read_full_at(&self.source, at, &mut piece, Code::Fat)?;
            bytes.append(&mut piece);
            pieces.push((start, at));
        }
        Ok(Folder { bytes, pieces, piece: cluster })
    }

    fn directory(&self, node: &Node, job: &Job) -> Result<(Directory, Folder)> {
        let mut folder = self.folder(node, job)?;
        let directory = parse(&folder.bytes, self.boot.kind == Kind::Fat32).map_err(|e| {
            let at = folder.pieces.first().map_or(0, |p| p.1);
            e.at(at)
        })?;
        folder.bytes = Vec::new();
        Ok((directory, folder))
    }

    /// What is in the folder `node`, in the order of its records.
    ///
    /// # Errors
    /// [`Code::Fat`] when `node` is no folder, its chain of clusters is broken or a loop, or a
    /// name cannot be one (it is empty, has a slash, a control character or half a surrogate);
    /// [`Code::InputIo`]; [`Code::Cancelled`].
    pub fn children(&self, node: &Node, job: &Job) -> Result<Vec<(String, Node)>> {
        job.check()?;
        let (directory, folder) = self.directory(node, job)?;
        let nodes = directory.records.into_iter().map(|r| {
            let node = Node::new(&r, folder.position(r.at));
            (r.name, node)
        });
        Ok(nodes.collect())
    }

    /// The file or folder at `path`: names with `/` between them, none in front; the empty path
    /// is the root. Case does not matter, as on FAT; short aliases are not looked at.
    ///
    /// # Errors
    /// As [`children`](Self::children); [`Code::LimitDepth`].
    pub fn lookup(&self, path: &str, job: &Job) -> Result<Option<Node>> {
        let mut node = self.root();
        let mut depth = 0;
        for name in path.split('/').filter(|_| !path.is_empty()) {
            if node.kind != EntryKind::Directory {
                return Ok(None);
            }
            depth = deeper(depth, job)?;
            let mut found = None;
            for (have, child) in self.children(&node, job)? {
                if have == name {
                    found = Some(child);
                    break;
                }
                if found.is_none() && same(&have, name) {
                    found = Some(child);
                }
            }
            let Some(child) = found else { return Ok(None) };
            node = child;
        }
        Ok(Some(node))
    }

    /// Visits all files and folders but the root: parents before what is in them, siblings in
    /// the byte order of their names.
    ///
    /// Checks on the way that no cluster belongs to two of them, which also ends every circle
    /// of folders and bounds the bytes of all files together by the size of the volume.
    ///
    /// # Errors
    /// As [`children`](Self::children), and [`Code::Fat`] for a cluster that is used twice or a
    /// chain shorter than a file's size; [`Code::LimitEntries`]; [`Code::LimitDepth`]; what
    /// `visit` returns.
    pub fn walk(&self, job: &Job, visit: &mut dyn FnMut(Found) -> Result<()>) -> Result<()> {
        let mut walk = Walk {
            volume: self,
            table: Table::new(&self.boot, &self.source),
            claims: Claims::new(&self.boot, job)?,
            waiting: Vec::new(),
            entries: 0,
            job,
        };
        walk.enter(&self.root(), 0)?;
        // The folder that is being read, and where each of its parents ends.
        let (mut folder, mut ends) = (String::new(), Vec::new());
        while let Some((name, depth, node)) = walk.waiting.pop() {
            job.check()?;
            ends.truncate(depth);
            folder.truncate(ends.last().copied().unwrap_or(0));
            let path = if depth == 0 { name } else { format!("{folder}/{name}") };
            let (limit, len) = (job.limits().path_bytes, mip_base::len64(path.len()));
            if len > limit {
                return Err(Error::limit(Code::Limit, "path-bytes", limit, len));
            }
            let inside = match node.kind {
                EntryKind::Directory => Some(node.clone()),
                _ => walk.claim_file(&node).map(|()| None).map_err(|e| e.within(&path))?,
            };
            if inside.is_some() {
                folder.clone_from(&path);
                ends.push(path.len());
            }
            visit(Found { path, node })?;
            if let Some(node) = inside {
                deeper(mip_base::len64(depth), job)?;
                walk.enter(&node, depth.saturating_add(1)).map_err(|e| e.within(&folder))?;
            }
        }
        Ok(())
    }

    fn clusters_of(&self, size: u64) -> u32 {
        u32::try_from(size.div_ceil(self.boot.cluster.max(1))).unwrap_or(u32::MAX)
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// [`Code::Fat`] when `node` is no file, or its chain of clusters is broken, a loop or
    /// shorter than its size; [`Code::Limit`] when it is in more than 1048576 pieces;
    /// [`Code::InputIo`]; [`Code::Cancelled`].
    pub fn open_file(&self, node: &Node, job: &Job) -> Result<Source> {
        job.check()?;
        if node.kind != EntryKind::File {
            return Err(damaged("a folder is read as a file"));
        }
        if node.size == 0 {
            return Ok(Arc::new(Vec::new()));
        }
        let count = self.clusters_of(node.size);
        if count > self.boot.clusters {
            return Err(damaged(format!(
                "a file has {} bytes, the volume {}",
                node.size, self.boot.size
            )));
        }
        let mut table = Table::new(&self.boot, &self.source);
        let runs = runs(&mut table, node.cluster, count, job)?;
        let file =
            File { boot: self.boot.clone(), source: self.source.clone(), runs, size: node.size };
        Ok(Arc::new(file))
    }
}

/// A walk on its way.
struct Walk<'v> {
    volume: &'v Volume,
    table: Table<'v>,
    claims: Claims,
    /// What was not visited yet, the next one last: its name, its depth and itself. Names, not
    /// paths: all that is in a folder and in its parents waits at the same time.
    waiting: Vec<(String, usize, Node)>,
    entries: u64,
    job: &'v Job,
}

impl Walk<'_> {
    /// Puts what is in a folder on the stack, last name first.
    fn enter(&mut self, folder: &Node, depth: usize) -> Result<()> {
        if !(folder.is_root() && matches!(self.volume.boot.root, Root::Range(..))) {
            self.claims.take_chain(&mut self.table, folder.cluster, None, self.job)?;
        }
        let mut children = self.volume.children(folder, self.job)?;
        self.entries = self.entries.saturating_add(mip_base::len64(children.len()));
        let limit = self.job.limits().entries;
        if self.entries > limit {
            return Err(Error::limit(Code::LimitEntries, "entries", limit, self.entries));
        }
        children.sort_by(|a, b| b.0.cmp(&a.0));
        self.waiting.extend(children.into_iter().map(|(name, node)| (name, depth, node)));
        Ok(())
    }

    fn claim_file(&mut self, file: &Node) -> Result<()> {
        if file.size == 0 {
            return Ok(());
        }
        let count = Some(self.volume.clusters_of(file.size));
        self.claims.take_chain(&mut self.table, file.cluster, count, self.job)
    }
}

/// One level further down.
fn deeper(depth: u64, job: &Job) -> Result<u64> {
    let (limit, depth) = (job.limits().path_depth, depth.saturating_add(1));
    if depth > limit {
        return Err(Error::limit(Code::LimitDepth, "path-depth", limit, depth));
    }
    Ok(depth)
}

/// Whether two names are the same without case, by the one-to-one mappings of Unicode.
fn same(a: &str, b: &str) -> bool {
    let fold = |c: char| {
        let mut up = c.to_uppercase();
        match (up.next(), up.next()) {
            (Some(u), None) => u,
            _ => c,
        }
    };
    a.chars().map(fold).eq(b.chars().map(fold))
}
