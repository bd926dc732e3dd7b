//! Disk images: from the bytes of an image to the files on its volumes.
//!
//! [`DiskImage::open`] takes the layers off one by one: encryption, then UDIF, a sparse image or
//! nothing, then the partition map, then the volumes. Nothing is unpacked ahead: each layer
//! decodes what the one above reads. [`DiskImage::find`] and [`DiskImage::open_file`] touch what
//! one file needs; [`DiskImage::tree`] lists everything.
//!
//! ```
//! use std::io::Read as _;
//! use mip_core::disk_image::DiskImage;
//! use mip_core::Job;
//!
//! # fn main() -> mip_core::Result<()> {
//! # let bytes = mip_testkit::hfs::Volume::new("Tool").file("Tool.app/Contents/Info.plist", "<plist/>").build();
//! let job = Job::default();
//! let image = DiskImage::open(std::sync::Arc::new(bytes), &[], &job)?; // or a FileAt
//! for volume in image.volumes() {
//!     println!("{} {:?}", volume.file_system(), volume.name());
//! }
//! let found = image.find("Tool.app/Contents/Info.plist", &job)?.expect("is there");
//! let mut text = String::new();
//! mip_core::Cursor::new(image.open_file(&found, &job)?).read_to_string(&mut text).unwrap();
//! assert_eq!(text, "<plist/>");
//! # Ok(())
//! # }
//! ```

mod alias;
mod bundle;
mod facts;
mod layers;
mod tree;
mod volume;

use std::sync::Arc;

use mip_base::{Code, EntryKind, EntryPath, Error, Job, Result, Source};
use mip_disk::partition::{Map, Scheme};
use mip_disk::volume::Kind;
use mip_signing::Password;
use mip_udif::Udif;

pub(crate) use self::bundle::is_bundle;
pub use self::tree::ImageTree;
use self::volume::{FileSystem, Node};
use crate::tree::Tree;

/// How a disk image is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ImageFormat {
    /// `.dmg` with a `koly` trailer.
    Udif,
    /// `.sparseimage`.
    Sparse,
    /// A `.sparsebundle` folder.
    SparseBundle,
    /// The bytes of the disk or volume as they are (`.img`, `.cdr`, some `.dmg`).
    Raw,
}

impl ImageFormat {
    /// The usual name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udif => "UDIF",
            Self::Sparse => "sparse image",
            Self::SparseBundle => "sparse bundle",
            Self::Raw => "raw",
        }
    }
}

/// An open disk image. Clones share everything.
#[derive(Clone)]
pub struct DiskImage {
    inner: Arc<Inner>,
}

struct Inner {
    format: ImageFormat,
    /// Key bits of the encryption around the image.
    encryption: Option<u32>,
    udif: Option<Udif>,
    /// The bytes of the image without encryption around them; those of a bundle of bands are
    /// the disk's.
    bytes: Source,
    disk_bytes: u64,
    map: Map,
    volumes: Vec<ImageVolume>,
    notes: Vec<String>,
}

impl std::fmt::Debug for DiskImage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DiskImage")
            .field("format", &self.inner.format)
            .field("volumes", &self.inner.volumes)
            .finish_non_exhaustive()
    }
}

/// A volume of a disk image.
pub struct ImageVolume {
    name: Option<String>,
    kind: Kind,
    case_sensitive: Option<bool>,
    encrypted: bool,
    role: Option<String>,
    size: u64,
    /// Not what the image was made for: an EFI system partition, a recovery volume.
    auxiliary: bool,
    state: State,
    /// Its folder, where several volumes are read.
    folder: Option<EntryPath>,
    notes: Vec<String>,
}

/// Whether a volume can be read.
enum State {
    Open(FileSystem),
    /// It is encrypted, and no password was given.
    Locked,
    Refused(Error),
}

impl std::fmt::Debug for ImageVolume {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImageVolume")
            .field("name", &self.name)
            .field("file_system", &self.kind.name())
            .finish_non_exhaustive()
    }
}

impl ImageVolume {
    /// The volume's name, where it is known.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The name of the file system.
    #[must_use]
    pub fn file_system(&self) -> &'static str {
        self.kind.name()
    }

    /// The folder that stands for this volume in paths, where the image has several volumes
    /// that are read.
    #[must_use]
    pub fn folder(&self) -> Option<&EntryPath> {
        self.folder.as_ref()
    }

    /// Whether it is part of the tree.
    #[must_use]
    pub fn is_read(&self) -> bool {
        matches!(self.state, State::Open(_)) && !self.auxiliary
    }

    fn reader(&self) -> Option<&FileSystem> {
        match &self.state {
            State::Open(fs) if !self.auxiliary => Some(fs),
            _ => None,
        }
    }
}

/// A file, folder or link that [`DiskImage::find`] found.
#[derive(Debug, Clone)]
pub struct ImageNode {
    /// The volume, by its place in [`DiskImage::volumes`]; `None` for the root above several.
    at: Option<(usize, Node)>,
}

impl ImageNode {
    /// What it is. Hard links are the files that they lead to.
    #[must_use]
    pub fn kind(&self) -> EntryKind {
        self.at.as_ref().map_or(EntryKind::Directory, |(_, n)| n.kind())
    }

    /// Bytes that [`DiskImage::open_file`] gives; of a link the bytes of its target.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.at.as_ref().map_or(0, |(_, n)| n.size())
    }

    /// Permission bits (`0o7777`).
    #[must_use]
    pub fn mode(&self) -> u32 {
        self.at.as_ref().map_or(0o755, |(_, n)| n.mode())
    }

    /// User and group, where the file system has them.
    #[must_use]
    pub fn owner(&self) -> Option<(u32, u32)> {
        self.at.as_ref().and_then(|(_, n)| n.owner())
    }

    /// Whether both are one file, perhaps by two names.
    #[must_use]
    pub fn is_same(&self, other: &ImageNode) -> bool {
        match (&self.at, &other.at) {
            (Some((a, x)), Some((b, y))) => a == b && x.id() == y.id(),
            (a, b) => a.is_none() && b.is_none(),
        }
    }

    /// Modification time, seconds since 1970.
    #[must_use]
    pub fn mtime(&self) -> i64 {
        self.at.as_ref().map_or(0, |(_, n)| n.mtime())
    }

    /// Whether Finder made it as an alias of something else.
    #[must_use]
    pub fn is_finder_alias(&self) -> bool {
        self.at.as_ref().is_some_and(|(_, n)| n.finder_alias())
    }
}

impl DiskImage {
    /// Opens the bytes of an image: UDIF, a sparse image, or a disk or volume as it is, each
    /// encrypted or not. A password is asked for only where something is encrypted; of several,
    /// each is tried.
    ///
    /// # Errors
    /// [`Code::PasswordMissing`], [`Code::Password`]; [`Code::Unsupported`] when no volume can be
    /// read, by the names of what is there; the codes of the formats for damaged images;
    /// [`Code::LimitNesting`] for encryption inside encryption; limits; [`Code::Cancelled`].
    pub fn open(source: Source, passwords: &[Password], job: &Job) -> Result<Self> {
        layers::open(source, passwords, job)
    }

    /// Opens a `.sparsebundle`: the folder `root` of `tree`.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`Code::Sparse`].
    pub fn open_bundle(
        tree: Arc<dyn Tree>,
        root: Option<&EntryPath>,
        passwords: &[Password],
        job: &Job,
    ) -> Result<Self> {
        layers::open_bundle(tree, root, passwords, job)
    }

    /// How the image is stored.
    #[must_use]
    pub fn format(&self) -> ImageFormat {
        self.inner.format
    }

    /// Whether the image as a whole is encrypted.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.inner.encryption.is_some()
    }

    /// Its volumes, also those that are not read.
    #[must_use]
    pub fn volumes(&self) -> &[ImageVolume] {
        &self.inner.volumes
    }

    /// The UDIF reader, where the image is one.
    #[must_use]
    pub fn udif(&self) -> Option<&Udif> {
        self.inner.udif.as_ref()
    }

    /// Quirks that were tolerated, and volumes that were passed over.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.inner.notes
    }

    /// The partition map's name; `None` where there is none.
    fn scheme(&self) -> Option<&'static str> {
        match self.inner.map.scheme {
            Scheme::Gpt => Some("GPT"),
            Scheme::Apm => Some("APM"),
            Scheme::Mbr => Some("MBR"),
            _ => None,
        }
    }

    /// Finds one file by its path, without listing the volume. Paths are those of
    /// [`tree`](Self::tree); names compare as the volume compares them. `None` when there is no
    /// such file. No symbolic link on the way is followed.
    ///
    /// # Errors
    /// The codes of the file system for a damaged volume; limits; [`Code::Cancelled`].
    pub fn find(&self, path: &str, job: &Job) -> Result<Option<ImageNode>> {
        let path = path.trim_matches('/');
        for (index, volume) in self.volumes().iter().enumerate() {
            let Some(fs) = volume.reader() else { continue };
            let below = match &volume.folder {
                None => path,
                Some(_) if path.is_empty() => return Ok(Some(ImageNode { at: None })),
                Some(folder) => match path.strip_prefix(folder.as_str()) {
                    Some("") => "",
                    Some(rest) if rest.starts_with('/') => rest.trim_start_matches('/'),
                    _ => continue,
                },
            };
            let node = match below {
                "" => Some(fs.root()),
                _ => fs.lookup(below, job)?,
            };
            return Ok(node.map(|n| ImageNode { at: Some((index, n)) }));
        }
        Ok(None)
    }

    /// What is in a folder, by name.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub fn children(&self, folder: &ImageNode, job: &Job) -> Result<Vec<(String, ImageNode)>> {
        let Some((index, node)) = &folder.at else {
            let volumes = self.volumes().iter().enumerate();
            return Ok(volumes
                .filter_map(|(i, v)| {
                    let (fs, name) = (v.reader()?, v.folder.as_ref()?);
                    Some((name.to_string(), ImageNode { at: Some((i, fs.root())) }))
                })
                .collect());
        };
        let all = self.reader(*index)?.children(node, job)?;
        Ok(all.into_iter().map(|(name, n)| (name, ImageNode { at: Some((*index, n)) })).collect())
    }

    /// The data of a file, to be read at any position: decoded when it is read.
    ///
    /// # Errors
    /// [`Code::Unsupported`] for what is no file and for kinds of compression that are not
    /// read; as [`find`](Self::find).
    pub fn open_file(&self, file: &ImageNode, job: &Job) -> Result<Source> {
        match &file.at {
            Some((index, node)) if node.kind() == EntryKind::File => {
                self.reader(*index)?.open_file(node, job)
            }
            _ => Err(Error::new(Code::Unsupported, "is not a file")),
        }
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// As [`open_file`](Self::open_file).
    pub fn read_link(&self, link: &ImageNode, job: &Job) -> Result<String> {
        match &link.at {
            Some((index, node)) if node.kind() == EntryKind::Symlink => {
                self.reader(*index)?.read_link(node, job)
            }
            _ => Err(Error::new(Code::Unsupported, "is not a symbolic link")),
        }
    }

    fn reader(&self, index: usize) -> Result<&FileSystem> {
        self.volumes()
            .get(index)
            .and_then(ImageVolume::reader)
            .ok_or_else(|| Error::new(Code::Internal, "a node of another image"))
    }

    /// Lists all volumes that are read. With one such volume its root is the root of the tree;
    /// with several each is a folder. `all` also lists what Finder leaves beside files
    /// (`.DS_Store`, `._name`), which is never carried.
    ///
    /// # Errors
    /// As [`find`](Self::find); [`Code::LimitEntries`]. Names that are one on a volume that
    /// ignores case are no error here: see [`Listing::check_carried`](crate::tree::Listing).
    pub fn tree(&self, all: bool, job: &Job) -> Result<ImageTree> {
        ImageTree::new(self.clone(), all, job)
    }
}
