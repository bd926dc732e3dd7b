//! The file systems that are read, behind one set of calls.

use mip_base::{Code, EntryKind, Error, Job, Result, Source};
use mip_disk::volume::Kind;

/// The file system of one volume, open.
#[derive(Clone)]
pub(super) enum FileSystem {
    Hfs(mip_hfsplus::Volume),
    Apfs(mip_apfs::Volume),
    Fat(mip_fat::Volume),
}

/// A file, folder or link of a volume.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Hfs(mip_hfsplus::Node),
    Apfs(mip_apfs::Node),
    Fat(mip_fat::Node),
}

/// Does the same with a node of any file system.
macro_rules! of {
    ($node:expr, $n:ident => $do:expr) => {
        match $node {
            Node::Hfs($n) => $do,
            Node::Apfs($n) => $do,
            Node::Fat($n) => $do,
        }
    };
}

fn foreign() -> Error {
    Error::new(Code::Internal, "a node of another volume")
}

impl Node {
    pub(super) fn kind(&self) -> EntryKind {
        of!(self, n => n.kind)
    }

    /// The number that all names of one file share.
    pub(super) fn id(&self) -> u64 {
        of!(self, n => n.id)
    }

    /// User and group, where the file system has them.
    pub(super) fn owner(&self) -> Option<(u32, u32)> {
        match self {
            Node::Hfs(n) => Some((n.uid, n.gid)),
            Node::Apfs(n) => Some((n.uid, n.gid)),
            Node::Fat(_) => None,
        }
    }

    pub(super) fn mode(&self) -> u32 {
        of!(self, n => n.mode)
    }

    pub(super) fn size(&self) -> u64 {
        of!(self, n => n.size)
    }

    pub(super) fn mtime(&self) -> i64 {
        of!(self, n => n.mtime)
    }

    /// Bytes of the resource fork.
    pub(super) fn resource_fork(&self) -> u64 {
        match self {
            Node::Hfs(n) => n.resource_fork,
            Node::Apfs(n) => n.resource_fork,
            Node::Fat(_) => 0,
        }
    }

    pub(super) fn finder_alias(&self) -> bool {
        match self {
            Node::Hfs(n) => n.finder_alias,
            Node::Apfs(n) => n.finder_alias,
            Node::Fat(_) => false,
        }
    }
}

/// What is known of an open volume.
pub(super) struct Facts {
    pub(super) name: String,
    pub(super) case_sensitive: bool,
    pub(super) size: u64,
    pub(super) notes: Vec<String>,
}

impl FileSystem {
    pub(super) fn open(kind: Kind, source: Source, job: &Job) -> Result<Self> {
        Ok(match kind {
            Kind::HfsPlus | Kind::Hfsx | Kind::HfsWrapped => {
                Self::Hfs(mip_hfsplus::Volume::open(source, job)?)
            }
            Kind::Fat => Self::Fat(mip_fat::Volume::open(source, job)?),
            other => {
                let why = format!("{} volumes are not read", other.name());
                return Err(Error::new(Code::Unsupported, why));
            }
        })
    }

    pub(super) fn facts(&self) -> Facts {
        macro_rules! facts {
            ($v:expr) => {{
                let i = $v.info();
                Facts {
                    name: i.name.clone(),
                    case_sensitive: i.case_sensitive,
                    size: i.size,
                    notes: i.notes.clone(),
                }
            }};
        }
        match self {
            Self::Hfs(v) => facts!(v),
            Self::Apfs(v) => facts!(v),
            Self::Fat(v) => facts!(v),
        }
    }

    pub(super) fn root(&self) -> Node {
        match self {
            Self::Hfs(v) => Node::Hfs(v.root()),
            Self::Apfs(v) => Node::Apfs(v.root()),
            Self::Fat(v) => Node::Fat(v.root()),
        }
    }

    pub(super) fn lookup(&self, path: &str, job: &Job) -> Result<Option<Node>> {
        Ok(match self {
            Self::Hfs(v) => v.lookup(path, job)?.map(Node::Hfs),
            Self::Apfs(v) => v.lookup(path, job)?.map(Node::Apfs),
            Self::Fat(v) => v.lookup(path, job)?.map(Node::Fat),
        })
    }

    pub(super) fn children(&self, node: &Node, job: &Job) -> Result<Vec<(String, Node)>> {
        macro_rules! children {
            ($v:expr, $n:expr, $wrap:path) => {
                Ok($v.children($n, job)?.into_iter().map(|(name, n)| (name, $wrap(n))).collect())
            };
        }
        match (self, node) {
            (Self::Hfs(v), Node::Hfs(n)) => children!(v, n, Node::Hfs),
            (Self::Apfs(v), Node::Apfs(n)) => children!(v, n, Node::Apfs),
            (Self::Fat(v), Node::Fat(n)) => children!(v, n, Node::Fat),
            _ => Err(foreign()),
        }
    }

    /// Everything below the root, parents before children.
    pub(super) fn walk(
        &self,
        job: &Job,
        visit: &mut dyn FnMut(String, Node) -> Result<()>,
    ) -> Result<()> {
        match self {
            Self::Hfs(v) => v.walk(job, &mut |f| visit(f.path, Node::Hfs(f.node))),
            Self::Apfs(v) => v.walk(job, &mut |f| visit(f.path, Node::Apfs(f.node))),
            Self::Fat(v) => v.walk(job, &mut |f| visit(f.path, Node::Fat(f.node))),
        }
    }

    pub(super) fn open_file(&self, node: &Node, job: &Job) -> Result<Source> {
        match (self, node) {
            (Self::Hfs(v), Node::Hfs(n)) => v.open_file(n, job),
            (Self::Apfs(v), Node::Apfs(n)) => v.open_file(n, job),
            (Self::Fat(v), Node::Fat(n)) => v.open_file(n, job),
            _ => Err(foreign()),
        }
    }

    pub(super) fn read_link(&self, node: &Node, job: &Job) -> Result<String> {
        match (self, node) {
            (Self::Hfs(v), Node::Hfs(n)) => v.read_link(n, job),
            (Self::Apfs(v), Node::Apfs(n)) => v.read_link(n, job),
            // FAT has no links.
            _ => Err(foreign()),
        }
    }

    pub(super) fn open_resource_fork(&self, node: &Node, job: &Job) -> Result<Option<Source>> {
        match (self, node) {
            (Self::Hfs(v), Node::Hfs(n)) => v.resource_fork(n, job),
            (Self::Apfs(v), Node::Apfs(n)) => v.resource_fork(n, job),
            (Self::Fat(_), Node::Fat(_)) => Ok(None),
            _ => Err(foreign()),
        }
    }

    /// Whether a code signature is kept in an extended attribute of the file.
    pub(super) fn has_signature_attribute(&self, node: &Node, job: &Job) -> Result<bool> {
        // What codesign writes for code that is no Mach-O file (a script, say).
        let signs = |name: &str| name.starts_with("com.apple.cs.");
        match (self, node) {
            (Self::Hfs(v), Node::Hfs(n)) => Ok(v.xattrs(n, job)?.iter().any(|x| signs(&x.name))),
            (Self::Apfs(v), Node::Apfs(n)) => Ok(v.xattrs(n, job)?.iter().any(|x| signs(&x.name))),
            (Self::Fat(_), Node::Fat(_)) => Ok(false),
            _ => Err(foreign()),
        }
    }
}
