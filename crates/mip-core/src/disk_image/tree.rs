//! The volumes of an image as one [`Tree`].

use std::borrow::Cow;
use std::io::{self, Read};

use mip_base::{
    Code, EntryKind, EntryPath, Error, Job, ReadAt, Result, Section, Source, len64, read_full_at,
};

use super::volume::Node;
use super::{DiskImage, ImageNode};
use crate::tree::{Builder, Listing, Tree, TreeEntry, Visit};

/// Everything on the volumes of a disk image that are read.
///
/// Differs from other trees in three ways. The targets of symbolic links are read when
/// [`walk`](Tree::walk) or [`link`](Tree::link) asks for them, not before. Names that macOS takes
/// for one, and names over the limits, are errors only where they are carried. A file with
/// several hard links is a file at each of its names.
pub struct ImageTree {
    image: DiskImage,
    listing: Listing,
    /// For each entry of the listing where it is.
    kept: Vec<Kept>,
    job: Job,
}

/// Where an entry is.
struct Kept {
    volume: u32,
    has_fork: bool,
    /// Its record, which saves looking it up; see [`NODES`].
    node: Option<Box<Node>>,
}

/// Records that are kept. One has up to 300 bytes, and an image may hold a million files; those
/// beyond are looked up by their paths.
const NODES: usize = 100_000;

impl std::fmt::Debug for ImageTree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImageTree").field("listing", &self.listing).finish_non_exhaustive()
    }
}

impl ImageTree {
    pub(super) fn new(image: DiskImage, all: bool, job: &Job) -> Result<Self> {
        let mut builder = Builder::new(Code::PathUnsafe, job).lenient(all);
        let mut kept: Vec<Kept> = Vec::new();
        for (index, volume) in image.volumes().iter().enumerate() {
            let Some(fs) = volume.reader() else { continue };
            let at = u32::try_from(index).unwrap_or(u32::MAX);
            let mut add = |path: String, node: Option<Node>| -> Result<()> {
                let path = match &volume.folder {
                    Some(folder) if path.is_empty() => folder.to_string(),
                    Some(folder) => format!("{folder}/{path}"),
                    None => path,
                };
                match EntryPath::new(&path, job.limits()) {
                    Ok(p) => {
                        let kind = node.as_ref().map_or(EntryKind::Directory, Node::kind);
                        let entry = TreeEntry {
                            path: p,
                            kind,
                            mode: node.as_ref().map_or(0o755, Node::mode),
                            size: match (&node, kind) {
                                (Some(n), EntryKind::File) => n.size(),
                                _ => 0,
                            },
                            link: None,
                            mtime: node
                                .as_ref()
                                .map_or(0, |n| u64::try_from(n.mtime()).unwrap_or(0)),
                        };
                        if builder.add(entry)?.is_some() {
                            let has_fork = node.as_ref().is_some_and(|n| n.resource_fork() > 0);
                            let node = node.filter(|_| kept.len() < NODES).map(Box::new);
                            kept.push(Kept { volume: at, has_fork, node });
                        }
                        Ok(())
                    }
                    Err(e) => builder.unusable(path, e),
                }
            };
            if volume.folder.is_some() {
                add(String::new(), None)?;
            }
            fs.walk(job, &mut |path, node| add(path, Some(node)))?;
        }
        let listing = builder.finish()?;
        Ok(Self { image, listing, kept, job: job.clone() })
    }

    /// The image.
    #[must_use]
    pub fn image(&self) -> &DiskImage {
        &self.image
    }

    /// The roots of the volumes: `None` where the only volume is the tree itself.
    #[must_use]
    pub fn roots(&self) -> Vec<Option<&EntryPath>> {
        self.image.volumes().iter().filter(|v| v.is_read()).map(|v| v.folder()).collect()
    }

    /// Files below `root` that have a resource fork, and programs that keep their code signature
    /// in an extended attribute: neither is carried.
    pub(crate) fn left_out(&self, root: Option<&EntryPath>, job: &Job) -> Result<(u64, u64)> {
        let (mut forks, mut signatures) = (0_u64, 0_u64);
        for (index, entry) in self.listing.below(root) {
            job.check()?;
            if entry.kind != EntryKind::File {
                continue;
            }
            let has_fork = self.kept.get(index).is_some_and(|k| k.has_fork);
            forks = forks.saturating_add(u64::from(has_fork));
            if entry.mode & 0o111 != 0 {
                let (volume, node) = self.node(index, job)?;
                let signed = self.image.reader(volume)?.has_signature_attribute(&node, job)?;
                signatures = signatures.saturating_add(u64::from(signed));
            }
        }
        Ok((forks, signatures))
    }

    /// Files, and their bytes, of each volume.
    pub(super) fn counts(&self) -> Vec<(u64, u64)> {
        let mut out = vec![(0_u64, 0_u64); self.image.volumes().len()];
        for (entry, kept) in self.listing.entries().iter().zip(&self.kept) {
            let count = usize::try_from(kept.volume).ok().and_then(|v| out.get_mut(v));
            if let Some((files, bytes)) = count.filter(|_| entry.kind == EntryKind::File) {
                *files = files.saturating_add(1);
                *bytes = bytes.saturating_add(entry.size);
            }
        }
        out
    }

    /// Whether entry `index` is a link or a Finder alias to the Applications folder.
    pub(crate) fn leads_to_applications(&self, index: usize, job: &Job) -> Result<bool> {
        let Some(entry) = self.listing.entries().get(index) else { return Ok(false) };
        if entry.kind == EntryKind::Symlink {
            let target = self.link(index, job)?.unwrap_or_default();
            return Ok(target.trim_end_matches('/') == "/Applications");
        }
        let (volume, node) = self.node(index, job)?;
        if !node.finder_alias() {
            return Ok(false);
        }
        if entry.path.file_name() == "Applications" {
            return Ok(true);
        }
        let fs = self.image.reader(volume)?;
        let fork = fs.open_resource_fork(&node, job)?;
        super::alias::to_applications(&fs.open_file(&node, job)?, fork.as_ref(), job)
    }

    fn node(&self, index: usize, job: &Job) -> Result<(usize, Cow<'_, Node>)> {
        let gone = || Error::new(Code::Internal, "no such entry");
        let kept = self.kept.get(index).ok_or_else(gone)?;
        let volume = usize::try_from(kept.volume).unwrap_or(usize::MAX);
        if let Some(node) = &kept.node {
            return Ok((volume, Cow::Borrowed(node.as_ref())));
        }
        let path = self.listing.entries().get(index).map_or("", |e| e.path.as_str());
        match self.image.find(path, job)? {
            Some(ImageNode { at: Some((volume, node)) }) => Ok((volume, Cow::Owned(node))),
            _ => Err(gone()),
        }
    }

    /// The file system's own record of an entry.
    pub(crate) fn image_node(&self, index: usize, job: &Job) -> Result<ImageNode> {
        let (volume, node) = self.node(index, job)?;
        Ok(ImageNode { at: Some((volume, node.into_owned())) })
    }

    fn open(&self, index: usize, job: &Job) -> Result<(&TreeEntry, Source)> {
        let (volume, node) = self.node(index, job)?;
        let Some(entry) = self.listing.entries().get(index) else {
            return Err(Error::new(Code::Internal, "no such entry"));
        };
        let within = |e: Error| e.within(entry.path.as_str());
        if entry.kind != EntryKind::File {
            return Err(within(Error::new(Code::Internal, "is not a file")));
        }
        let data = self.image.reader(volume)?.open_file(&node, job).map_err(within)?;
        if data.size() != entry.size {
            let why = format!("{} bytes where the listing says {}", data.size(), entry.size);
            return Err(within(Error::new(Code::Truncated, why)));
        }
        Ok((entry, data))
    }
}

impl Tree for ImageTree {
    fn listing(&self) -> &Listing {
        &self.listing
    }

    fn walk(&self, below: Option<&EntryPath>, job: &Job, visit: &mut Visit<'_>) -> Result<()> {
        for (index, entry) in self.listing.below(below) {
            job.check()?;
            match entry.kind {
                EntryKind::File => {
                    let (_, data) = self.open(index, job)?;
                    let mut reader = Whole { data: &data, at: 0, path: entry.path.as_str() };
                    visit(entry, Some(&mut reader))?;
                }
                EntryKind::Symlink => {
                    let link = self.link(index, job)?;
                    visit(&TreeEntry { link, ..entry.clone() }, None)?;
                }
                _ => visit(entry, None)?,
            }
        }
        Ok(())
    }

    fn link(&self, index: usize, job: &Job) -> Result<Option<String>> {
        let Some(entry) = self.listing.entries().get(index) else { return Ok(None) };
        if entry.kind != EntryKind::Symlink {
            return Ok(None);
        }
        let (volume, node) = self.node(index, job)?;
        let within = |e: Error| e.within(entry.path.as_str());
        if node.size() > job.limits().link_bytes {
            let why = "the link's target is longer than the limit";
            return Err(within(Error::new(Code::PathUnsafe, why)));
        }
        self.image.reader(volume)?.read_link(&node, job).map(Some).map_err(within)
    }

    fn section(&self, index: usize) -> Result<Option<Section>> {
        match self.listing.entries().get(index) {
            Some(e) if e.kind == EntryKind::File => {
                Ok(Some(Section::whole(self.open(index, &self.job)?.1)))
            }
            _ => Ok(None),
        }
    }

    fn read(&self, index: usize, limit: u64, job: &Job) -> Result<Vec<u8>> {
        let (entry, data) = self.open(index, job)?;
        let within = |e: Error| e.within(entry.path.as_str());
        let mut out = job.buffer(entry.path.file_name(), entry.size, limit).map_err(within)?;
        read_full_at(&data, 0, &mut out, Code::Truncated).map_err(within)?;
        Ok(out)
    }

    fn head(&self, index: usize, len: usize, job: &Job) -> Result<Vec<u8>> {
        let (entry, data) = self.open(index, job)?;
        let mut head =
            vec![0; len.min(crate::tree::MAX_HEAD).min(usize::try_from(entry.size).unwrap_or(len))];
        read_full_at(&data, 0, &mut head, Code::Truncated)
            .map_err(|e| e.within(entry.path.as_str()))?;
        Ok(head)
    }
}

/// Reads a file from start to end: exactly its bytes.
struct Whole<'w> {
    data: &'w Source,
    at: u64,
    path: &'w str,
}

impl Read for Whole<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.data.read_at(self.at, buf)?.min(buf.len());
        if n == 0 && !buf.is_empty() && self.at < self.data.size() {
            let e = Error::new(Code::Truncated, "the data ends early").within(self.path);
            return Err(e.into());
        }
        self.at = self.at.saturating_add(len64(n));
        Ok(n)
    }
}
