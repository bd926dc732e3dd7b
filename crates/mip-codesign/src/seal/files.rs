//! The files of a bundle, as the check needs them.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Bound;

use mip_base::{Code, Error, Job, Result, Source, len64};

/// What stands at a path of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BundleEntry {
    /// A file of this many bytes.
    File {
        /// Bytes.
        size: u64,
    },
    /// A symbolic link, with its target as it is written.
    Link(String),
    /// A folder.
    Folder,
}

/// What is called with the data of one file.
pub type UseFile<'u> = dyn FnMut(&mut dyn Read) -> Result<()> + 'u;

/// The files of one bundle. Paths have `/` between their parts and are below the bundle's folder.
pub trait BundleFiles {
    /// Everything below the bundle's folder. Folders need not be listed where something is in
    /// them.
    ///
    /// # Errors
    /// What reading gives.
    fn entries(&self) -> Result<Vec<(String, BundleEntry)>>;

    /// All bytes of the file at `path`.
    ///
    /// # Errors
    /// More than `limit` bytes; what reading gives.
    fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>>;

    /// The file at `path`, to be read at positions.
    ///
    /// # Errors
    /// What reading gives.
    fn open(&self, path: &str) -> Result<Source>;

    /// Hands the data of the file at `path` over, from its start.
    ///
    /// # Errors
    /// What reading gives, and what `use_file` returns.
    fn stream(&self, path: &str, use_file: &mut UseFile<'_>) -> Result<()>;
}

/// The entries of a bundle by path.
pub(super) struct Files<'f> {
    pub(super) from: &'f dyn BundleFiles,
    all: BTreeMap<String, BundleEntry>,
    /// Bytes of property lists that may still be read; `None`: it was not enough.
    lists: Cell<Option<u64>>,
}

/// Bytes of property lists that are read of one outermost bundle. All bundles inside may have
/// the same large one, by hard links.
const MAX_LISTS: u64 = 128 << 20;

/// Links that are followed one after the other.
const MAX_LINKS: usize = 8;

impl<'f> Files<'f> {
    pub(super) fn new(from: &'f dyn BundleFiles, job: &Job) -> Result<Self> {
        let mut all = BTreeMap::new();
        for (path, entry) in from.entries()? {
            job.check()?;
            all.insert(path, entry);
        }
        Ok(Self { from, all, lists: Cell::new(Some(MAX_LISTS)) })
    }

    /// The property list at `path`.
    pub(super) fn list(&self, path: &str, limit: u64) -> Result<Vec<u8>> {
        let size = match self.get(path) {
            Some(BundleEntry::File { size }) => *size,
            _ => 0,
        };
        self.lists.set(self.lists.get().and_then(|left| left.checked_sub(size)));
        if self.no_more_lists() {
            let what = "bytes of the property lists of a bundle";
            return Err(Error::limit(Code::LimitMemory, what, MAX_LISTS, MAX_LISTS));
        }
        self.from.read(path, limit)
    }

    /// Whether a property list was not read, because all of them are too large.
    pub(super) fn no_more_lists(&self) -> bool {
        self.lists.get().is_none()
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        len64(self.all.len())
    }

    pub(super) fn get(&self, path: &str) -> Option<&BundleEntry> {
        self.all.get(path)
    }

    pub(super) fn is_file(&self, path: &str) -> bool {
        matches!(self.get(path), Some(BundleEntry::File { .. }))
    }

    pub(super) fn is_folder(&self, path: &str) -> bool {
        match self.get(path) {
            Some(entry) => *entry == BundleEntry::Folder,
            None => self.below(path).next().is_some(),
        }
    }

    /// What is below a folder (`""`: everything), by its path below that folder.
    pub(super) fn below<'s>(
        &'s self,
        folder: &str,
    ) -> impl Iterator<Item = (&'s str, &'s BundleEntry)> + use<'s, 'f> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let from = (Bound::Included(prefix.as_str()), Bound::Unbounded);
        let range = self.all.range::<str, _>(from);
        range.map_while(move |(path, entry)| Some((path.strip_prefix(prefix.as_str())?, entry)))
    }

    /// The names directly in a folder, each once.
    pub(super) fn names(&self, folder: &str) -> Vec<&str> {
        let mut names: Vec<&str> =
            self.below(folder).filter_map(|(path, _)| path.split('/').next()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The file that `path` is, or that it leads to by links.
    pub(super) fn file(&self, path: &str) -> Option<String> {
        let mut path = path.to_owned();
        for _ in 0..MAX_LINKS {
            match self.get(&path)? {
                BundleEntry::File { .. } => return Some(path),
                BundleEntry::Link(target) => path = target_of(&path, target)?,
                BundleEntry::Folder => return None,
            }
        }
        None
    }
}

/// A path below a folder.
pub(super) fn join(folder: &str, path: &str) -> String {
    match (folder.is_empty(), path.is_empty()) {
        (true, _) => path.to_owned(),
        (_, true) => folder.to_owned(),
        _ => format!("{folder}/{path}"),
    }
}

/// Where a link leads, by its text alone; `None`: out of the bundle.
pub(super) fn target_of(link: &str, target: &str) -> Option<String> {
    if target.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = link.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            _ => parts.push(part),
        }
    }
    Some(parts.join("/"))
}
