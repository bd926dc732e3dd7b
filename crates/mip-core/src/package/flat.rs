//! Flat packages: which files of the xar archive are the package's own tables.

use std::collections::BTreeMap;
use std::sync::Arc;

use mip_base::{
    CONTAINER_STEP, Code, EntryKind, Error, Job, ReadAt as _, Result, Section, Source, escape,
    len64,
};
use mip_codec::Compression;
use mip_xar::{Xar, XarFile};

use super::distribution::Distribution;
use super::package_info::PackageInfo;
use super::payload::is_fatal;
use super::strings;
use crate::app::{FIXED, has_extension};
use crate::inspection::{InstallerKind, Warning};

/// An open flat package: its tables are read, its payloads are not.
pub struct FlatPackage {
    /// The container path of the file, escaped.
    pub(super) place: String,
    pub(super) kind: InstallerKind,
    pub(super) xar: Arc<Xar>,
    pub(super) distribution: Option<Distribution>,
    /// Localized texts by language, best language first.
    pub(super) texts: Vec<(String, BTreeMap<String, String>)>,
    pub(super) components: Vec<Component>,
    pub(super) warnings: Vec<Warning>,
    pub(super) notes: Vec<String>,
    kept: Kept,
}

/// What is kept in memory of all parts together. A part may be small, and named a thousand times.
#[derive(Debug, Default)]
struct Kept {
    /// Bundles in all PackageInfo files.
    bundles: u64,
    /// Bytes of all PackageInfo files.
    tables: u64,
    /// Bytes of all tables of texts.
    texts: u64,
    /// Bytes of packages that had to be unpacked.
    packages: u64,
    /// Files in the contents of packages inside.
    files: u64,
}

/// Adds to a count that is limited.
fn add(what: &str, count: &mut u64, more: u64, limit: u64) -> Result<()> {
    *count = count.saturating_add(more);
    if *count > limit {
        return Err(Error::limit(Code::LimitEntries, what, limit, *count).hint(FIXED));
    }
    Ok(())
}

impl std::fmt::Debug for FlatPackage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FlatPackage")
            .field("kind", &self.kind)
            .field("components", &self.components.len())
            .finish_non_exhaustive()
    }
}

/// A component package: a folder of the archive, a xar file in it, or all of it.
pub(super) struct Component {
    /// The container path of the package from the file on: nothing, or `//Name.pkg`.
    pub(super) place: String,
    /// The name by which a Distribution refers to it; empty for the package itself.
    pub(super) name: String,
    pub(super) info: PackageInfo,
    pub(super) xar: Arc<Xar>,
    /// What its file names start with: `Name.pkg/`, or nothing.
    pub(super) prefix: String,
}

impl Component {
    pub(super) fn find(&self, name: &str) -> Option<&XarFile> {
        let file = self.xar.find(&format!("{}{name}", self.prefix))?;
        matches!(file.kind, EntryKind::File | EntryKind::Hardlink).then_some(file)
    }

    /// The container path of one of its files, when `file` is that of the whole package.
    pub(super) fn place_of(&self, file: &str, name: &str) -> String {
        // A folder of the archive is no container of its own.
        let step = if self.prefix.is_empty() { CONTAINER_STEP } else { "/" };
        format!("{file}{}{step}{name}", self.place)
    }
}

impl FlatPackage {
    /// The payloads: the container path of each, escaped, and where it is.
    pub(crate) fn payloads(&self) -> impl Iterator<Item = (String, &Xar, &XarFile)> {
        self.components.iter().filter_map(|c| {
            let names = ["Payload", "LargePayload"];
            let (name, file) = names.into_iter().find_map(|n| Some((n, c.find(n)?)))?;
            Some((c.place_of(&self.place, name), c.xar.as_ref(), file))
        })
    }

    /// Opens a package and reads its tables: Distribution with its texts, and PackageInfo of
    /// every component. `place` is the container path of the file, escaped, as it
    /// stands in provenance.
    ///
    /// # Errors
    /// [`Code::NotAPackage`] for a xar archive without Distribution and PackageInfo; the codes
    /// of [`Xar::open`], [`Distribution::parse`] and [`PackageInfo::parse`];
    /// [`Code::LimitNesting`].
    pub fn open(source: Source, place: &str, job: &Job) -> Result<Self> {
        Self::open_inside(source, place, 1, job)
    }

    /// As [`open`](Self::open), of a package that is the `depth`th container from outside.
    pub(crate) fn open_inside(source: Source, place: &str, depth: u64, job: &Job) -> Result<Self> {
        let xar = Arc::new(Xar::open(source, job)?);
        let mut out = Self {
            place: place.to_owned(),
            kind: InstallerKind::ComponentPackage,
            distribution: None,
            texts: Vec::new(),
            components: Vec::new(),
            warnings: Vec::new(),
            notes: xar.notes().to_vec(),
            kept: Kept::default(),
            xar: xar.clone(),
        };
        let is_file = |f: &&XarFile| matches!(f.kind, EntryKind::File | EntryKind::Hardlink);
        let script = xar.find("Distribution").filter(is_file);
        let root = xar.find("PackageInfo").filter(is_file);
        if let Some(file) = script {
            out.kind = InstallerKind::DistributionPackage;
            let bytes = xar.read_file(file, job.limits().small_file, job)?;
            let parsed = Distribution::parse(&bytes, job).map_err(|e| e.within("Distribution"))?;
            out.distribution = Some(parsed);
            out.texts = out.read_texts(job)?;
            out.inner(&xar, "", depth, job)?;
        } else if root.is_none() {
            return Err(Error::new(
                Code::NotAPackage,
                "is a xar archive without a Distribution or PackageInfo file",
            ));
        }
        if let Some(file) = root {
            out.component(&xar, file, String::new(), String::new(), String::new(), job)?;
        }
        Ok(out)
    }

    /// Finds the component packages inside `xar`, in file order.
    fn inner(&mut self, xar: &Arc<Xar>, place: &str, depth: u64, job: &Job) -> Result<()> {
        for file in xar.files() {
            job.check()?;
            let path = file.path.as_str();
            if !matches!(file.kind, EntryKind::File | EntryKind::Hardlink) {
                continue;
            }
            if let Some(folder) = path.strip_suffix("/PackageInfo") {
                let at = format!("{place}{CONTAINER_STEP}{}", escape(folder));
                self.component(xar, file, at, folder.to_owned(), format!("{folder}/"), job)?;
            } else if has_extension(path, &["pkg"]) {
                self.nested(xar, file, place, depth, job)?;
            }
        }
        Ok(())
    }

    /// Reads a PackageInfo and keeps the component that it describes.
    fn component(
        &mut self,
        xar: &Arc<Xar>,
        file: &XarFile,
        place: String,
        name: String,
        prefix: String,
        job: &Job,
    ) -> Result<()> {
        let limits = job.limits();
        let mut have = len64(self.components.len());
        add("component packages", &mut have, 1, MAX_COMPONENTS)?;
        let size = file.data.as_ref().map_or(0, |d| d.size);
        add("bytes of PackageInfo files", &mut self.kept.tables, size, limits.small_file)?;
        let bytes = xar.read_file(file, limits.plist_bytes, job)?;
        let info = PackageInfo::parse(&bytes, job).map_err(|e| e.within(file.path.as_str()))?;
        let bundles = len64(info.bundles.len());
        add("bundles of a package", &mut self.kept.bundles, bundles, MAX_BUNDLES)?;
        self.components.push(Component { place, name, info, xar: xar.clone(), prefix });
        Ok(())
    }

    /// A package that is stored as a file of its own.
    fn nested(
        &mut self,
        xar: &Arc<Xar>,
        file: &XarFile,
        place: &str,
        depth: u64,
        job: &Job,
    ) -> Result<()> {
        let path = file.path.as_str();
        let at = format!("{place}{CONTAINER_STEP}{}", escape(path));
        let Some(data) = &file.data else { return Ok(()) };
        let limits = job.limits();
        let depth = depth.saturating_add(1);
        if depth > limits.nesting {
            return Err(Error::limit(
                Code::LimitNesting,
                "packages in packages",
                limits.nesting,
                depth,
            )
            .within(path));
        }
        let source: Source = if data.encoding == Compression::None {
            Arc::new(xar.stored(file)?)
        } else if data.size <= limits.small_file.saturating_sub(self.kept.packages) {
            self.kept.packages = self.kept.packages.saturating_add(data.size);
            Arc::new(xar.read_file(file, limits.small_file, job)?)
        } else {
            let text = format!(
                "{}{at}: the package is compressed and too large ({} bytes); it was not read",
                self.place, data.size
            );
            self.warnings.push(Warning::new("W_COMPONENT_NOT_READ", text));
            return Ok(());
        };
        let mut magic = [0; 4];
        if Section::whole(source.clone()).read_at(0, &mut magic).ok() != Some(4)
            || &magic != b"xar!"
        {
            self.notes.push(format!("{}{at} is not a flat package", self.place));
            return Ok(());
        }
        let inner = Arc::new(Xar::open(source, job).map_err(|e| e.within(path))?);
        let files = len64(inner.files().len());
        add("files of packages inside", &mut self.kept.files, files, limits.toc_files)?;
        self.notes.extend(inner.notes().iter().map(|n| format!("{}{at}: {n}", self.place)));
        match inner.find("PackageInfo").filter(|f| f.kind == EntryKind::File) {
            Some(f) => self
                .component(&inner, f, at, path.to_owned(), String::new(), job)
                .map_err(|e| e.within(path)),
            None => self.inner(&inner, &at, depth, job).map_err(|e| e.within(path)),
        }
    }

    /// The tables of localized texts, English first, then by language.
    fn read_texts(&mut self, job: &Job) -> Result<Vec<(String, BTreeMap<String, String>)>> {
        let mut out: Vec<(String, BTreeMap<String, String>)> = Vec::new();
        for file in self.xar.files() {
            let path = file.path.as_str();
            let Some((folder, name)) = path.rsplit_once('/') else { continue };
            let tables = ["Localizable.strings", "Distribution.strings", "distribution.strings"];
            let Some(language) =
                folder.strip_prefix("Resources/").and_then(|l| l.strip_suffix(".lproj")).filter(
                    |l| !l.contains('/') && tables.contains(&name) && file.kind == EntryKind::File,
                )
            else {
                continue;
            };
            let left = job.limits().plist_bytes.saturating_sub(self.kept.texts);
            let read = self.xar.read_file(file, left, job);
            self.kept.texts =
                self.kept.texts.saturating_add(file.data.as_ref().map_or(0, |d| d.size));
            match read.and_then(|bytes| strings::parse(&bytes, job)) {
                Ok(table) => {
                    if let Some((_, all)) = out.iter_mut().find(|(l, _)| l == language) {
                        for (k, v) in table {
                            all.entry(k).or_insert(v);
                        }
                    } else if out.len() < MAX_LANGUAGES {
                        out.push((language.to_owned(), table));
                    }
                }
                Err(e) if is_fatal(&e) => return Err(e),
                Err(e) => self.notes.push(format!(
                    "{}: {} ({})",
                    escape(path),
                    e.message(),
                    e.code().text()
                )),
            }
        }
        out.sort_by(|(a, _), (b, _)| (language_rank(a), a).cmp(&(language_rank(b), b)));
        Ok(out)
    }
}

/// Component packages of one package.
pub(super) const MAX_COMPONENTS: u64 = 2000;

/// Bundles that the component packages of one package may list.
const MAX_BUNDLES: u64 = 50_000;

/// Languages of a package that are read.
const MAX_LANGUAGES: usize = 200;

fn language_rank(language: &str) -> u8 {
    match language {
        "en" | "English" => 0,
        "en-US" | "en_US" => 1,
        "en-GB" | "en_GB" => 2,
        "Base" => 3,
        _ => 4,
    }
}
