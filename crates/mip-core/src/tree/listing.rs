//! The table of a tree: what is in it, found by path, with the rules that hold for every source.

use std::cmp::Ordering;

use mip_base::{Code, EntryKind, EntryPath, Error, Job, Result, escape, len64};

use super::{TreeEntry, collisions};

/// What was left out of a tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dropped {
    /// AppleDouble files (`._name`): extended attributes and resource forks of a file.
    pub apple_double: u64,
    /// `.DS_Store` files: how Finder shows a folder.
    pub ds_store: u64,
    /// Entries below `__MACOSX`: AppleDouble files as zips made on macOS keep them.
    pub macosx: u64,
    /// Extended attributes in tar headers.
    pub attributes: u64,
}

impl Dropped {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        [self.apple_double, self.ds_store, self.macosx, self.attributes]
            .into_iter()
            .fold(0, u64::saturating_add)
    }
}

/// The table of a tree. Paths are unique; what lies above an entry is a folder; no two paths are
/// one on a volume that ignores case.
#[derive(Debug)]
pub struct Listing {
    entries: Vec<TreeEntry>,
    sorted: Vec<usize>,
    dropped: Dropped,
    /// For trees that hold more than what is carried: names that could not become entries, and
    /// why. `None`: there are none, and no two names are one.
    doubtful: Option<Vec<Unusable>>,
}

/// An entry that is in the source and not in the listing.
#[derive(Debug)]
struct Unusable {
    path: String,
    why: Error,
}

impl Listing {
    /// The entries in the order of the source. An archive may list a folder more than once.
    #[must_use]
    pub fn entries(&self) -> &[TreeEntry] {
        &self.entries
    }

    /// The entries in the order of their paths, component by component, each component by its
    /// bytes: a folder comes before what is in it, and all of that comes before its next sibling.
    pub fn sorted(&self) -> impl DoubleEndedIterator<Item = (usize, &TreeEntry)> {
        self.sorted.iter().filter_map(|&i| Some((i, self.entries.get(i)?)))
    }

    /// Whether what is below `below` (all, if `None`) can be carried to a default macOS volume.
    /// Most sources are refused as a whole when they break this; the volume of a disk image
    /// may do so where nothing is taken from.
    ///
    /// # Errors
    /// [`Code::PathCollision`] for two names that are one on a volume that ignores case;
    /// [`Code::PathUnsafe`] for a name over the limits; [`Code::LimitEntries`];
    /// [`Code::LimitExpanded`].
    pub fn check_carried(&self, below: Option<&EntryPath>, job: &Job) -> Result<()> {
        let Some(unusable) = &self.doubtful else { return Ok(()) };
        let inside = |u: &&Unusable| below.is_none_or(|b| starts_with_folder(&u.path, b.as_str()));
        if let Some(u) = unusable.iter().find(inside) {
            return Err(Error::new(u.why.code(), u.why.message()));
        }
        let bytes = self.below(below).fold(0, |n: u64, (_, e)| n.saturating_add(e.size));
        let limit = job.limits().expanded_bytes;
        if bytes > limit {
            return Err(Error::limit(Code::LimitExpanded, "bytes of all files", limit, bytes));
        }
        collisions::check(self.below(below), &self.entries, job)
    }

    /// Entries of the source that are not listed, because their names cannot be used.
    #[must_use]
    pub fn unusable(&self) -> usize {
        self.doubtful.as_ref().map_or(0, Vec::len)
    }

    /// What was left out.
    #[must_use]
    pub fn dropped(&self) -> &Dropped {
        &self.dropped
    }

    /// The index of the entry at `path`.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<usize> {
        let at = self.lower_bound(path);
        self.sorted.get(at).copied().filter(|&i| self.path(i) == path)
    }

    /// The entries below `below` (all, if `None`), sorted; never `below` itself.
    pub fn below<'a>(
        &'a self,
        below: Option<&'a EntryPath>,
    ) -> impl Iterator<Item = (usize, &'a TreeEntry)> {
        let from = below.map_or(0, |b| self.lower_bound(b.as_str()));
        self.sorted
            .get(from..)
            .unwrap_or_default()
            .iter()
            .filter_map(|&i| Some((i, self.entries.get(i)?)))
            .skip_while(move |(_, e)| below == Some(&e.path))
            .take_while(move |(_, e)| is_below(&e.path, below))
    }

    /// Fills in the targets of links that are stored as data.
    pub(super) fn set_links(&mut self, targets: Vec<(usize, String)>) {
        for (index, target) in targets {
            if let Some(e) = self.entries.get_mut(index) {
                e.size = 0;
                e.link = Some(target);
            }
        }
    }

    /// Marks files as programs, where the source has no modes.
    pub(super) fn set_executable(&mut self, indexes: &[usize]) {
        for index in indexes {
            if let Some(e) = self.entries.get_mut(*index) {
                e.mode = 0o755;
            }
        }
    }

    /// Whether there is a folder at `path`, listed or only implied by what is in it.
    #[must_use]
    pub fn is_folder(&self, path: &EntryPath) -> bool {
        match self.find(path.as_str()).and_then(|i| self.entries.get(i)) {
            Some(e) => e.kind == EntryKind::Directory,
            None => self.below(Some(path)).next().is_some(),
        }
    }

    fn path(&self, index: usize) -> &str {
        self.entries.get(index).map_or("", |e| e.path.as_str())
    }

    fn lower_bound(&self, path: &str) -> usize {
        self.sorted.partition_point(|&i| order(self.path(i), path) == Ordering::Less)
    }
}

/// Whether `path` lies below `below`.
pub(super) fn is_below(path: &EntryPath, below: Option<&EntryPath>) -> bool {
    below.is_none_or(|b| starts_with_folder(path.as_str(), b.as_str()))
}

fn starts_with_folder(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|r| r.starts_with('/'))
}

/// By components, each by its bytes. (`/` counts as less than any byte of a name.)
fn order(a: &str, b: &str) -> Ordering {
    let key = |b: u8| if b == b'/' { 0 } else { b };
    a.bytes().map(key).cmp(b.bytes().map(key))
}

/// Collects entries under the limits, then checks them against each other.
pub(crate) struct Builder {
    entries: Vec<TreeEntry>,
    dropped: Dropped,
    path_bytes: u64,
    bytes: u64,
    code: Code,
    job: Job,
    doubtful: Option<Vec<Unusable>>,
    keep_noise: bool,
}

impl Builder {
    /// `code` is what two entries of one name are.
    pub(crate) fn new(code: Code, job: &Job) -> Self {
        Self {
            entries: Vec::new(),
            dropped: Dropped::default(),
            path_bytes: 0,
            bytes: 0,
            code,
            job: job.clone(),
            doubtful: None,
            keep_noise: false,
        }
    }

    /// For a tree that holds more than what is carried: names that are one to macOS, or that
    /// cannot be used, are no errors before [`Listing::check_carried`]. With `noise`, what
    /// Finder leaves beside files is listed too.
    pub(crate) fn lenient(mut self, noise: bool) -> Self {
        self.doubtful = Some(Vec::new());
        self.keep_noise = noise;
        self
    }

    /// Notes an entry whose name cannot be used.
    pub(crate) fn unusable(&mut self, path: String, why: Error) -> Result<()> {
        let Some(all) = &mut self.doubtful else { return Err(why) };
        let limits = self.job.limits();
        self.path_bytes = self.path_bytes.saturating_add(len64(path.len())).saturating_add(256);
        if self.path_bytes > limits.path_bytes_kept {
            let (limit, value) = (limits.path_bytes_kept, self.path_bytes);
            return Err(Error::limit(Code::LimitMemory, "bytes of all paths", limit, value));
        }
        all.push(Unusable { path, why });
        Ok(())
    }

    /// Adds an entry and returns its index; `None` when it is one of those that are dropped.
    pub(crate) fn add(&mut self, entry: TreeEntry) -> Result<Option<usize>> {
        self.job.check()?;
        if !self.keep_noise && self.drop_noise(&entry) {
            return Ok(None);
        }
        let limits = self.job.limits();
        let index = self.entries.len();
        let count = len64(index).saturating_add(1);
        if count > limits.entries {
            return Err(Error::limit(Code::LimitEntries, "entries", limits.entries, count));
        }
        // A link that is stored as data (zip) has its length as its size until it is read.
        let link = entry.link.as_ref().map_or(0, |l| len64(l.len()));
        let link = if entry.kind == EntryKind::Symlink { link.max(entry.size) } else { link };
        if link > limits.link_bytes {
            return Err(Error::new(Code::PathUnsafe, "the link's target is longer than the limit")
                .within(entry.path.as_str()));
        }
        let text = len64(entry.path.as_str().len()).saturating_add(link);
        self.path_bytes = self.path_bytes.saturating_add(text);
        if self.path_bytes > limits.path_bytes_kept {
            let (limit, value) = (limits.path_bytes_kept, self.path_bytes);
            return Err(Error::limit(Code::LimitMemory, "bytes of all paths", limit, value));
        }
        self.bytes = self.bytes.saturating_add(entry.size);
        // What is listed only is not copied out: `check_carried` counts what is.
        if self.bytes > limits.expanded_bytes && self.doubtful.is_none() {
            let (limit, value) = (limits.expanded_bytes, self.bytes);
            return Err(Error::limit(Code::LimitExpanded, "bytes of all files", limit, value)
                .within(entry.path.as_str()));
        }
        self.entries.push(entry);
        Ok(Some(index))
    }

    /// The entry that was added as `index`.
    pub(crate) fn get(&self, index: usize) -> Option<&TreeEntry> {
        self.entries.get(index)
    }

    /// Gives a file the size of the file that it is a hard link to.
    pub(crate) fn set_size(&mut self, index: usize, size: u64) {
        if let Some(e) = self.entries.get_mut(index) {
            e.size = size;
        }
    }

    pub(crate) fn dropped_mut(&mut self) -> &mut Dropped {
        &mut self.dropped
    }

    fn drop_noise(&mut self, entry: &TreeEntry) -> bool {
        let Some(count) = noise(&mut self.dropped, entry) else { return false };
        *count = count.saturating_add(1);
        true
    }

    /// Sorts and checks.
    ///
    /// # Errors
    /// The builder's code for two files of one name; [`Code::PathUnsafe`] for an entry below a
    /// file or a link; [`Code::PathCollision`]; [`Code::LimitEntries`].
    pub(crate) fn finish(self) -> Result<Listing> {
        let mut sorted: Vec<usize> = (0..self.entries.len()).collect();
        {
            let path = |i: usize| self.entries.get(i).map_or("", |e| e.path.as_str());
            // In place; entries of one name stay in the order of the source.
            sorted.sort_unstable_by(|&a, &b| order(path(a), path(b)).then(a.cmp(&b)));
        }
        self.check_neighbours(&mut sorted)?;
        if self.doubtful.is_none() {
            let all = sorted.iter().filter_map(|&i| Some((i, self.entries.get(i)?)));
            collisions::check(all, &self.entries, &self.job)?;
        }
        let Self { entries, dropped, doubtful, .. } = self;
        Ok(Listing { entries, sorted, dropped, doubtful })
    }

    /// Finds entries of one name, and entries below what is not a folder. Folders that are
    /// listed again, which archivers do when they append, are taken out of `sorted`.
    fn check_neighbours(&self, sorted: &mut Vec<usize>) -> Result<()> {
        let mut first = Vec::with_capacity(sorted.len());
        let mut before: Option<&TreeEntry> = None;
        let mut leaf: Option<&TreeEntry> = None;
        for &i in sorted.iter() {
            let Some(e) = self.entries.get(i) else { continue };
            if let Some(b) = before
                && b.path == e.path
            {
                if b.kind == EntryKind::Directory && e.kind == EntryKind::Directory {
                    continue;
                }
                return Err(
                    Error::new(self.code, "two entries have this name").within(e.path.as_str())
                );
            }
            if let Some(l) = leaf
                && starts_with_folder(e.path.as_str(), l.path.as_str())
            {
                let why =
                    format!("lies below \"{}\", which is not a folder", escape(l.path.as_str()));
                return Err(Error::new(Code::PathUnsafe, why).within(e.path.as_str()));
            }
            if e.kind != EntryKind::Directory {
                leaf = Some(e);
            }
            first.push(i);
            before = Some(e);
        }
        *sorted = first;
        Ok(())
    }
}

/// The counter of what `entry` is, where it is nothing that an installer carries.
fn noise<'d>(dropped: &'d mut Dropped, entry: &TreeEntry) -> Option<&'d mut u64> {
    let path = &entry.path;
    let name = path.file_name();
    if path.components().next() == Some("__MACOSX") {
        Some(&mut dropped.macosx)
    } else if entry.kind == EntryKind::Directory {
        None
    } else if name == ".DS_Store" {
        Some(&mut dropped.ds_store)
    } else if name.starts_with("._") {
        Some(&mut dropped.apple_double)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mip_base::Limits;

    fn entry(path: &str, kind: EntryKind) -> TreeEntry {
        let path = EntryPath::new(path, &Limits::default()).unwrap();
        TreeEntry { path, kind, mode: 0o644, size: 0, link: None, mtime: 0 }
    }

    fn listing(paths: &[&str]) -> Result<Listing> {
        let mut b = Builder::new(Code::Zip, &Job::default());
        for p in paths {
            let kind = if p.ends_with('/') { EntryKind::Directory } else { EntryKind::File };
            b.add(entry(p, kind)).unwrap();
        }
        b.finish()
    }

    #[test]
    fn sorted_keeps_a_folder_together() {
        let l = listing(&["a-b", "a/x", "a/", "a.c", "a/b/"]).unwrap();
        let paths: Vec<_> = l.sorted().map(|(_, e)| e.path.as_str()).collect();
        assert_eq!(paths, ["a", "a/b", "a/x", "a-b", "a.c"]);
        assert_eq!(l.find("a/x"), Some(1));
        assert_eq!(l.find("a/y"), None);
        let a = EntryPath::new("a", &Limits::default()).unwrap();
        let below: Vec<_> = l.below(Some(&a)).map(|(_, e)| e.path.as_str()).collect();
        assert_eq!(below, ["a/b", "a/x"]);
    }

    #[test]
    fn folders_that_no_entry_names_are_folders() {
        let l = listing(&["a/b/c"]).unwrap();
        let p = |s| EntryPath::new(s, &Limits::default()).unwrap();
        assert!(l.is_folder(&p("a")) && l.is_folder(&p("a/b")));
        assert!(!l.is_folder(&p("a/b/c")) && !l.is_folder(&p("b")));
    }

    #[test]
    fn g10_names_that_collide() {
        for pair in [
            ["A", "a"],
            ["e\u{301}", "\u{e9}"],
            ["stra\u{df}e", "STRASSE"],
            ["\u{fb01}x", "fix"],
            ["\u{130}", "i\u{307}"],
            ["a\u{200c}b", "ab"],
            ["d/A/x", "d/a/y"],
            ["A/x", "a"],
        ] {
            let e = listing(&pair).unwrap_err();
            assert_eq!(e.code(), Code::PathCollision, "{pair:?}");
        }
        listing(&["a", "b", "d/a", "D2/a", "\u{e9}", "e"]).unwrap();
    }

    #[test]
    fn e08_files_twice_and_files_above_files() {
        assert_eq!(listing(&["a", "a"]).unwrap_err().code(), Code::Zip);
        assert_eq!(listing(&["a", "a/"]).unwrap_err().code(), Code::Zip);
        assert_eq!(listing(&["a/b", "a"]).unwrap_err().code(), Code::PathUnsafe);
        assert_eq!(listing(&["a", "a-", "a/b/c"]).unwrap_err().code(), Code::PathUnsafe);
        let l = listing(&["a/", "a/b", "a/", "c"]).unwrap();
        assert_eq!(l.sorted().map(|(i, _)| i).collect::<Vec<_>>(), [0, 1, 3]);
        assert_eq!(l.find("c"), Some(3));
    }

    #[test]
    fn g16_what_macos_leaves_beside_files_is_dropped_and_counted() {
        let l = listing(&[
            "a/._b",
            "a/b",
            "a/.DS_Store",
            "__MACOSX/a/",
            "__MACOSX/a/._b",
            "._d/",
            "._d/x",
        ])
        .unwrap();
        let paths: Vec<_> = l.entries().iter().map(|e| e.path.as_str()).collect();
        assert_eq!(paths, ["a/b", "._d", "._d/x"]);
        let d = l.dropped();
        assert_eq!((d.apple_double, d.ds_store, d.macosx, d.total()), (1, 1, 2, 4));
    }

    #[test]
    fn g15_limits_of_count_and_path_bytes() {
        let mut limits = Limits::default();
        limits.entries = 3;
        let job = Job::new(
            limits.clone(),
            Default::default(),
            std::sync::Arc::new(mip_base::SilentProgress),
        );
        let mut b = Builder::new(Code::Zip, &job);
        for i in 0..3 {
            b.add(entry(&format!("f{i}"), EntryKind::File)).unwrap();
        }
        assert_eq!(b.add(entry("g", EntryKind::File)).unwrap_err().code(), Code::LimitEntries);
        // Folders that only paths imply count too.
        let mut b = Builder::new(Code::Zip, &job);
        b.add(entry("a/b/c/d", EntryKind::File)).unwrap();
        assert_eq!(b.finish().unwrap_err().code(), Code::LimitEntries);
        limits.path_bytes_kept = 5;
        let job =
            Job::new(limits, Default::default(), std::sync::Arc::new(mip_base::SilentProgress));
        let mut b = Builder::new(Code::Zip, &job);
        assert_eq!(b.add(entry("abcdef", EntryKind::File)).unwrap_err().code(), Code::LimitMemory);
    }
}
