//! A container that is open: how it lists, finds and hands out.

use std::path::Path;
use std::sync::Arc;

use mip_base::{Code, EntryKind, EntryPath, Error, Job, Result, Section, Source};
use mip_codec::Compression;
use mip_xar::{Xar, XarFile};

use super::stream::{Stream, Then};
use super::{ContentEntry, LookOptions, image, kind_word, no_entry, not_a_file, sha256};
use crate::disk_image::{DiskImage, is_bundle};
use crate::input::{spool, unpacked};
use crate::probe::{Format, probe};
use crate::tree::{self, Container as Archive, Tree, TreeEntry, UseData, positioned};

/// Something that holds files.
pub(super) enum Container {
    /// A folder, a zip (a MIP archive is one), a tar.
    Tree(Arc<dyn Tree>),
    /// A flat package, or any other xar archive.
    Xar(Box<Xar>),
    /// A payload.
    Stream(Stream),
    /// A disk image.
    Image(DiskImage),
}

impl Container {
    pub(super) fn folder(path: &Path, options: &LookOptions, job: &Job) -> Result<Self> {
        let tree: Arc<dyn Tree> = Arc::from(tree::open_directory(path, job)?);
        if is_bundle(tree.as_ref(), None, job)? {
            return Ok(Self::Image(DiskImage::open_bundle(tree, None, options.passwords(), job)?));
        }
        Ok(Self::Tree(tree))
    }

    /// Opens what a file holds.
    fn open(data: Section, options: &LookOptions, job: &Job) -> Result<Self> {
        let source: Source = Arc::new(data.clone());
        let archive =
            |how| Ok(Self::Tree(Arc::from(tree::open_archive(source.clone(), how, job)?)));
        let disk = |source| Ok(Self::Image(DiskImage::open(source, options.passwords(), job)?));
        match probe(&source, job)? {
            Format::Xar => Ok(Self::Xar(Box::new(Xar::open(source, job)?))),
            Format::Zip | Format::Mip => archive(Archive::Zip),
            Format::Tar(how) => archive(Archive::Tar(how.codec())),
            Format::Cpio | Format::AppleArchive => Ok(Self::Stream(Stream::open(data, job)?)),
            Format::Udif | Format::EncryptedImage | Format::SparseImage | Format::RawImage => {
                disk(source)
            }
            Format::Compressed(how) => match Stream::open(data.clone(), job) {
                // What is packed is something else.
                Err(e) if e.code() == Code::Cpio => disk(unpacked(&data, how.codec(), None, job)?),
                stream => Ok(Self::Stream(stream?)),
            },
            Format::Other(what) if !what.is_empty() => Err(not_a_container(what)),
            _ => Err(not_a_container("of a format that is not known")),
        }
    }

    /// Opens an input that is a file.
    pub(super) fn input(source: &Source, options: &LookOptions, job: &Job) -> Result<Self> {
        Self::open(Section::whole(source.clone()), options, job)
    }

    /// Opens what the file at `path` holds; of folders only a sparse bundle holds something else.
    pub(super) fn enter(&self, path: &str, options: &LookOptions, job: &Job) -> Result<Self> {
        let within = |e: Error| e.within(path);
        if let Self::Tree(tree) = self
            && let Ok(root) = EntryPath::new(path, job.limits())
            && tree.listing().is_folder(&root)
            && is_bundle(tree.as_ref(), Some(&root), job)?
        {
            let (tree, passwords) = (tree.clone(), options.passwords());
            let image = DiskImage::open_bundle(tree, Some(&root), passwords, job);
            return image.map(Self::Image).map_err(within);
        }
        Self::open(self.positioned(path, job)?, options, job).map_err(|e| match e.next_step() {
            None => within(e.hint("to print the file itself, end the path without //")),
            Some(_) => within(e),
        })
    }

    /// Calls `visit` for what lies below the folder `below`, or for the file that it names.
    pub(super) fn list(
        &self,
        below: &str,
        hash: bool,
        job: &Job,
        visit: &mut dyn FnMut(ContentEntry) -> Result<()>,
    ) -> Result<()> {
        match self {
            Self::Tree(tree) => list_tree(tree.as_ref(), below, hash, job, visit),
            Self::Xar(xar) => {
                for file in xar.files() {
                    job.check()?;
                    if !is_in(file.path.as_str(), below, file.kind) {
                        continue;
                    }
                    let mut entry = of_xar(file);
                    if hash && file.data.is_some() {
                        entry.sha256 = Some(sha256(&mut xar.open_file(file, job)?, job)?);
                    }
                    visit(entry)?;
                }
                Ok(())
            }
            Self::Stream(stream) => stream.walk(job, &mut |e, data| {
                let path = e.path.as_ref().map_or("", |p| p.as_str());
                if !path.is_empty() && is_in(path, below, e.kind) {
                    let mut entry = ContentEntry::from(&e);
                    if hash && e.kind == EntryKind::File {
                        entry.sha256 = Some(sha256(data, job)?);
                    }
                    visit(entry)?;
                }
                Ok(Then::GoOn)
            }),
            Self::Image(image) => image::list(image, below, hash, job, visit),
        }
    }

    /// What is at `path`; folders that no entry names count. The root is always there.
    pub(super) fn find(&self, path: &str, job: &Job) -> Result<Option<EntryKind>> {
        if path.is_empty() {
            return Ok(Some(EntryKind::Directory));
        }
        match self {
            Self::Tree(tree) => Ok(tree.get(path).map(|e| e.kind)),
            Self::Xar(xar) => Ok(xar.find(path).map(|f| f.kind)),
            Self::Stream(stream) => {
                let mut found = None;
                stream.walk(job, &mut |e, _| {
                    if e.path.as_ref().is_some_and(|p| p.as_str() == path) {
                        found = Some(e.kind);
                        return Ok(Then::Stop);
                    }
                    Ok(Then::GoOn)
                })?;
                Ok(found)
            }
            Self::Image(image) => Ok(image.find(path, job)?.map(|n| n.kind())),
        }
    }

    /// Hands the bytes of the file at `path` over.
    pub(super) fn with_file(
        &self,
        path: &str,
        job: &Job,
        use_data: &mut UseData<'_>,
    ) -> Result<ContentEntry> {
        match self {
            Self::Tree(tree) => tree_file(tree.as_ref(), path, job, use_data),
            Self::Xar(xar) => {
                let file = xar_file(xar, path)?;
                use_data(&mut xar.open_file(file, job)?).map_err(|e| e.within(path))?;
                Ok(of_xar(file))
            }
            Self::Stream(stream) => {
                let mut found = None;
                stream.walk(job, &mut |e, data| {
                    if e.path.as_ref().is_none_or(|p| p.as_str() != path) {
                        return Ok(Then::GoOn);
                    }
                    if e.kind != EntryKind::File {
                        return Err(not_a_file(path, e.kind, e.link.as_deref()));
                    }
                    use_data(data).map_err(|e| e.within(path))?;
                    found = Some(ContentEntry::from(&e));
                    Ok(Then::Stop)
                })?;
                found.ok_or_else(|| no_entry(path))
            }
            Self::Image(image) => image::with_file(image, path, job, use_data),
        }
    }

    /// The bytes of the file at `path`, where they can be read at positions.
    pub(super) fn positioned(&self, path: &str, job: &Job) -> Result<Section> {
        match self {
            Self::Tree(tree) => {
                let (index, _) = tree_entry(tree.as_ref(), path)?;
                positioned(tree.as_ref(), index, job).map_err(|e| e.within(path))
            }
            Self::Xar(xar) => {
                let file = xar_file(xar, path)?;
                if file.data.as_ref().is_some_and(|d| d.encoding == Compression::None) {
                    return xar.stored(file);
                }
                self.spooled(path, job)
            }
            Self::Stream(_) => self.spooled(path, job),
            Self::Image(image) => Ok(Section::whole(image::open(image, path, job)?.1)),
        }
    }

    /// A copy of a file that can only be read from its start.
    fn spooled(&self, path: &str, job: &Job) -> Result<Section> {
        let mut copy = None;
        self.with_file(path, job, &mut |data| {
            copy = Some(spool(data, None, job.limits().expanded_bytes, job)?);
            Ok(())
        })?;
        copy.map(Section::whole).ok_or_else(|| no_entry(path))
    }

    /// What was left out of the lists.
    pub(super) fn notes(&self) -> Vec<String> {
        let dropped = match self {
            Self::Tree(tree) => tree.listing().dropped().total(),
            Self::Image(image) => return image.notes().to_vec(),
            _ => 0,
        };
        if dropped == 0 {
            return Vec::new();
        }
        vec![format!(
            "{dropped} entries that macOS archivers add (AppleDouble, .DS_Store) are not shown"
        )]
    }
}

fn not_a_container(what: &str) -> Error {
    Error::new(Code::Unsupported, format!("this is {what}: there is nothing in it to look into"))
}

/// Whether an entry at `path` is shown for `below`: what lies below it, and itself when it is no folder.
pub(super) fn is_in(path: &str, below: &str, kind: EntryKind) -> bool {
    match path.strip_prefix(below) {
        Some("") => kind != EntryKind::Directory,
        Some(rest) => below.is_empty() || rest.starts_with('/'),
        None => false,
    }
}

fn of_tree(e: &TreeEntry) -> ContentEntry {
    ContentEntry {
        path: e.path.as_str().to_owned(),
        kind: kind_word(e.kind).to_owned(),
        mode: Some(e.mode),
        uid: None,
        gid: None,
        bytes: e.size,
        mtime: i64::try_from(e.mtime).ok(),
        link: e.link.clone(),
        sha256: None,
    }
}

fn of_xar(f: &XarFile) -> ContentEntry {
    let seconds = f.mtime.as_deref().and_then(|t| humantime::parse_rfc3339(t).ok());
    let mtime = seconds.and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok());
    ContentEntry {
        path: f.path.as_str().to_owned(),
        kind: kind_word(f.kind).to_owned(),
        mode: f.mode,
        uid: f.uid,
        gid: f.gid,
        bytes: f.data.as_ref().map_or(0, |d| d.size),
        mtime: mtime.and_then(|t| i64::try_from(t.as_secs()).ok()),
        link: f.link.clone(),
        sha256: None,
    }
}

fn xar_file<'x>(xar: &'x Xar, path: &str) -> Result<&'x XarFile> {
    let file = xar.find(path).ok_or_else(|| no_entry(path))?;
    match file.kind {
        EntryKind::File | EntryKind::Hardlink => Ok(file),
        kind => Err(not_a_file(path, kind, file.link.as_deref())),
    }
}

/// The file at `path`, over a hard link if it is one.
fn tree_entry<'t>(tree: &'t dyn Tree, path: &str) -> Result<(usize, &'t TreeEntry)> {
    let get = |path: &str| {
        let index = tree.find(path)?;
        Some((index, tree.entries().get(index)?))
    };
    let found = match get(path) {
        Some((_, e)) if e.kind == EntryKind::Hardlink => e.link.as_deref().and_then(get),
        other => other,
    };
    match found {
        Some((index, e)) if e.kind == EntryKind::File => Ok((index, e)),
        Some((_, e)) => Err(not_a_file(path, e.kind, e.link.as_deref())),
        // A folder that no entry names.
        None if EntryPath::new(path, &mip_base::Limits::default())
            .is_ok_and(|p| tree.listing().is_folder(&p)) =>
        {
            Err(not_a_file(path, EntryKind::Directory, None))
        }
        None => Err(no_entry(path)),
    }
}

/// Refuses at once what would end at the limit after much reading.
pub(super) fn within_budget(what: &str, bytes: u64, job: &Job) -> Result<()> {
    let limit = job.limits().expanded_bytes;
    if bytes > limit {
        return Err(Error::limit(Code::LimitExpanded, what, limit, bytes));
    }
    Ok(())
}

fn list_tree(
    tree: &dyn Tree,
    below: &str,
    hash: bool,
    job: &Job,
    visit: &mut dyn FnMut(ContentEntry) -> Result<()>,
) -> Result<()> {
    if !hash {
        for (_, e) in tree.listing().sorted() {
            job.check()?;
            if is_in(e.path.as_str(), below, e.kind) {
                visit(of_tree(e))?;
            }
        }
        return Ok(());
    }
    // Holes cost a small image nothing; to read them until the limit is reached would take minutes.
    let wanted = tree.listing().entries().iter().filter(|e| is_in(e.path.as_str(), below, e.kind));
    let bytes = wanted.fold(0, |n: u64, e| n.saturating_add(e.size));
    within_budget("bytes of all files", bytes, job)?;
    tree.walk(None, job, &mut |e, data| {
        if is_in(e.path.as_str(), below, e.kind) {
            let mut entry = of_tree(e);
            if let Some(data) = data {
                entry.sha256 = Some(sha256(data, job)?);
            }
            visit(entry)?;
        }
        Ok(())
    })
}

fn tree_file(
    tree: &dyn Tree,
    path: &str,
    job: &Job,
    use_data: &mut UseData<'_>,
) -> Result<ContentEntry> {
    let (index, entry) = tree_entry(tree, path)?;
    tree.stream(index, job, use_data).map_err(|e| e.within(path))?;
    Ok(of_tree(entry))
}
