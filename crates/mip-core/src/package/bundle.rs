//! Old bundle-style packages: folders with `Contents/Info.plist`, `Archive.bom` and
//! `Archive.pax.gz` (`.pkg`), or with several of those in it (`.mpkg`).
//!
//! The keys are those of PackageMaker before Mac OS X 10.5 (`IFPkgFlag…`).

use std::io::Read;
use std::sync::Arc;

use mip_base::{CONTAINER_STEP, EntryKind, EntryPath, Error, Job, Result, Source, escape, len64};
use mip_bom::Bom;

use super::distribution::Distribution;
use super::flat::{FlatPackage, MAX_COMPONENTS};
use super::look::{
    Around, Look, PackageFindings, app_folders, note_list, restart_action, severest, wanted,
};
use super::payload::{PayloadScan, is_fatal, script_info};
use crate::app::has_extension;
use crate::inspection::{
    ComponentInfo, Fact, InstallerKind, LicenceFile, RestartAction, ScriptInfo,
};
use crate::metadata::rules;
use crate::plist::{self, Value};
use crate::tree::Tree;

/// Scripts that the Installer looks for, by name, in `Contents/Resources`.
const SCRIPTS: &[&str] = &[
    "InstallationCheck",
    "VolumeCheck",
    "postflight",
    "postinstall",
    "postupgrade",
    "preflight",
    "preinstall",
    "preupgrade",
];

/// Bytes of a script that are looked at.
const SCRIPT_TEXT: usize = 64 << 10;

/// What marks a folder as a package, below it.
const MARKS: &[&str] = &[
    "Contents/Archive.pax.gz",
    "Contents/Archive.pax",
    "Contents/Archive.bom",
    "Contents/Packages",
];

/// A bundle-style package in a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundlePackage {
    /// Its folder; `None` when the tree itself is the package.
    pub root: Option<EntryPath>,
    /// The name of the folder, with its ending.
    pub name: String,
}

/// Finds the bundle-style packages of a tree that are not inside another one or inside an app,
/// sorted by path. `container` is the name of what the tree was read from; it names a package
/// that is the tree itself.
///
/// # Errors
/// [`mip_base::Code::Cancelled`].
pub fn find_packages(tree: &dyn Tree, container: &str, job: &Job) -> Result<Vec<BundlePackage>> {
    let at = |root: &str, path: &str| {
        if root.is_empty() { path.to_owned() } else { format!("{root}/{path}") }
    };
    let listing = tree.listing();
    let is_package = |root: &str| -> Result<bool> {
        for mark in MARKS {
            let path = EntryPath::new(&at(root, mark), job.limits())?;
            if tree.get(path.as_str()).is_some() || listing.is_folder(&path) {
                return Ok(true);
            }
        }
        Ok(false)
    };
    if is_package("")? {
        return Ok(vec![BundlePackage { root: None, name: container.to_owned() }]);
    }
    let mut out = Vec::new();
    let mut last = String::new();
    for (_, entry) in listing.sorted() {
        job.check()?;
        let path = entry.path.as_str();
        // The outermost folder on the way that could be a package, an app or a bundle.
        let Some(end) =
            ends(path).find(|e| path.get(..*e).is_some_and(|p| has_extension(p, OUTER)))
        else {
            continue;
        };
        let root = path.get(..end).unwrap_or_default();
        if root == last {
            continue;
        }
        root.clone_into(&mut last);
        if has_extension(root, &["pkg", "mpkg"]) && is_package(root)? {
            let root = EntryPath::new(root, job.limits())?;
            let name = root.file_name().to_owned();
            out.push(BundlePackage { root: Some(root), name });
        }
    }
    Ok(out)
}

/// Folders that are looked at as one thing.
const OUTER: &[&str] = &["pkg", "mpkg", "app", "framework", "bundle", "plugin"];

/// Where the components of a path end.
fn ends(path: &str) -> impl Iterator<Item = usize> {
    path.bytes()
        .enumerate()
        .filter(|(_, b)| *b == b'/')
        .map(|(i, _)| i)
        .chain(std::iter::once(path.len()))
}

/// Reads a bundle-style package. `place` is its container path, escaped.
///
/// A part that cannot be read is a warning, not an error.
///
/// # Errors
/// The codes of [`plist::read`] for a damaged `Info.plist`; [`mip_base::Code::LimitNesting`];
/// [`mip_base::Code::Cancelled`]; errors of reading the tree.
pub fn examine(
    tree: &dyn Tree,
    package: &BundlePackage,
    place: &str,
    scan: PayloadScan,
    job: &Job,
) -> Result<PackageFindings> {
    let mut look = Look::new(scan, job);
    let root = package.root.as_ref().map(EntryPath::as_str).unwrap_or_default().to_owned();
    let folder = Folder { tree, root, place: place.to_owned(), job };
    let info = folder.info()?;
    let children = folder.children();
    folder.resources(&info, &mut look)?;
    if children.is_empty() && !has_extension(&package.name, &["mpkg"]) {
        look.out.kind = InstallerKind::BundlePackage;
        look.out.installer.restart = folder.restart(&info);
        folder.component(&info, &mut look)?;
        return Ok(look.out);
    }
    look.out.kind = InstallerKind::BundleMetapackage;
    let at = folder.place_of("Contents/Info.plist");
    let p = &mut look.out.installer;
    p.product_id = folder.fact(&info, "CFBundleIdentifier", &at);
    p.product_version = folder.version(&info, &at);
    p.product_place = Some(at);
    let mut actions = Vec::new();
    folder.collect(children, 1, &mut look, &mut actions)?;
    actions.extend(folder.restart(&info));
    look.out.installer.restart = severest(actions);
    Ok(look.out)
}

/// One package folder.
struct Folder<'a> {
    tree: &'a dyn Tree,
    root: String,
    place: String,
    job: &'a Job,
}

enum Child {
    Folder(String),
    File(usize, String),
}

impl Folder<'_> {
    fn path(&self, name: &str) -> String {
        if self.root.is_empty() { name.to_owned() } else { format!("{}/{name}", self.root) }
    }

    fn place_of(&self, name: &str) -> String {
        format!("{}/{}", self.place, escape(name))
    }

    fn file(&self, name: &str) -> Option<usize> {
        let index = self.tree.find(&self.path(name))?;
        self.tree.entries().get(index).filter(|e| e.kind == EntryKind::File).map(|_| index)
    }

    /// `Contents/Info.plist`; an empty dictionary when there is none.
    fn info(&self) -> Result<Value> {
        match self.file("Contents/Info.plist") {
            Some(index) => self.plist(index),
            None => Ok(Value::Dict(Vec::new())),
        }
    }

    fn plist(&self, index: usize) -> Result<Value> {
        let bytes = self.tree.read(index, self.job.limits().plist_bytes, self.job)?;
        let path = self.tree.entries().get(index).map(|e| e.path.as_str()).unwrap_or_default();
        plist::read(&bytes, self.job).map_err(|e| e.within(path))
    }

    fn fact(&self, info: &Value, key: &str, at: &str) -> Option<Fact<String>> {
        let text = info.get(key)?.scalar_text()?;
        let text = text.trim();
        (!text.is_empty()).then(|| Fact::new(text.to_owned(), at, Some(key), rules::STATED))
    }

    fn version(&self, info: &Value, at: &str) -> Option<Fact<String>> {
        let number = |key: &str| match info.get(key) {
            Some(Value::Integer(i)) => Some(*i),
            _ => None,
        };
        let majors = || {
            let text =
                format!("{}.{}", number("IFMajorVersion")?, number("IFMinorVersion").unwrap_or(0));
            Some(Fact::new(text, at, Some("IFMajorVersion"), rules::STATED))
        };
        self.fact(info, "CFBundleShortVersionString", at)
            .or_else(|| self.fact(info, "CFBundleVersion", at))
            .or_else(majors)
    }

    fn restart(&self, info: &Value) -> Option<Fact<RestartAction>> {
        let at = self.place_of("Contents/Info.plist");
        let word = info.get("IFPkgFlagRestartAction")?.as_str()?;
        Some(Fact::new(restart_action(word)?, at, Some("IFPkgFlagRestartAction"), rules::STATED))
    }

    /// The names directly in `folder`, with the index of files.
    fn list(&self, folder: &str) -> Vec<(String, Option<usize>)> {
        let path = self.path(folder);
        let Ok(below) = EntryPath::new(&path, self.job.limits()) else { return Vec::new() };
        let mut out: Vec<(String, Option<usize>)> = Vec::new();
        for (index, entry) in self.tree.listing().below(Some(&below)) {
            let Some(rest) =
                entry.path.as_str().strip_prefix(path.as_str()).and_then(|r| r.strip_prefix('/'))
            else {
                continue;
            };
            let (name, deeper) = rest.split_once('/').map_or((rest, false), |(n, _)| (n, true));
            if out.last().is_some_and(|(last, _)| last == name) {
                continue;
            }
            let is_file = !deeper && entry.kind == EntryKind::File;
            out.push((name.to_owned(), is_file.then_some(index)));
        }
        out
    }

    /// Packages in `Contents/Packages`, and beside `Contents`, where older tools put them.
    fn children(&self) -> Vec<Child> {
        let mut out = Vec::new();
        for folder in ["Contents/Packages", "Contents/Resources"] {
            for (name, file) in self.list(folder) {
                if has_extension(&name, &["pkg", "mpkg"]) {
                    let path = format!("{folder}/{name}");
                    out.push(match file {
                        Some(index) => Child::File(index, path),
                        None => Child::Folder(path),
                    });
                }
            }
        }
        out
    }

    fn collect(
        &self,
        children: Vec<Child>,
        depth: u64,
        look: &mut Look<'_>,
        actions: &mut Vec<Fact<RestartAction>>,
    ) -> Result<()> {
        let limit = self.job.limits().nesting;
        if depth > limit {
            return Err(Error::limit(
                mip_base::Code::LimitNesting,
                "packages in packages",
                limit,
                depth,
            ));
        }
        for child in children {
            self.job.check()?;
            let have = len64(look.out.installer.components.len());
            if have >= MAX_COMPONENTS {
                let what = "component packages";
                let one_more = have.saturating_add(1);
                return Err(Error::limit(
                    mip_base::Code::LimitEntries,
                    what,
                    MAX_COMPONENTS,
                    one_more,
                )
                .hint(crate::app::FIXED));
            }
            match child {
                Child::Folder(path) => {
                    let inner = Folder {
                        tree: self.tree,
                        root: self.path(&path),
                        place: format!("{}{CONTAINER_STEP}{}", self.place, escape(&path)),
                        job: self.job,
                    };
                    let info = inner.info()?;
                    actions.extend(inner.restart(&info));
                    let more = inner.children();
                    if more.is_empty() {
                        inner.component(&info, look)?;
                    } else {
                        inner.collect(more, depth.saturating_add(1), look, actions)?;
                    }
                }
                Child::File(index, path) => self.flat(index, &path, look, actions)?,
            }
        }
        Ok(())
    }

    /// A flat package among the parts.
    fn flat(
        &self,
        index: usize,
        path: &str,
        look: &mut Look<'_>,
        actions: &mut Vec<Fact<RestartAction>>,
    ) -> Result<()> {
        let place = format!("{}{CONTAINER_STEP}{}", self.place, escape(path));
        let open = || -> Result<PackageFindings> {
            let source: Source = match self.tree.section(index)? {
                Some(section) => Arc::new(section),
                None => Arc::new(self.tree.read(index, self.job.limits().small_file, self.job)?),
            };
            FlatPackage::open(source, &place, self.job)?.examine(look.scan, self.job)
        };
        match open() {
            Ok(mut found) => {
                let out = &mut look.out;
                let offset = out.apps.len();
                for mut file in found.icons.drain(..) {
                    file.app = file.app.saturating_add(offset);
                    out.icons.push(file);
                }
                out.apps.append(&mut found.apps);
                out.warnings.append(&mut found.warnings);
                out.notes.append(&mut found.notes);
                actions.extend(found.installer.restart);
                out.installer.components.append(&mut found.installer.components);
                out.installer.must_close.append(&mut found.installer.must_close);
                out.installer.javascript |= found.installer.javascript;
                Ok(())
            }
            Err(e) => {
                look.tolerate("W_COMPONENT_NOT_READ", &place, "the package cannot be read", e)
            }
        }
    }

    fn component(&self, info: &Value, look: &mut Look<'_>) -> Result<()> {
        let at = self.place_of("Contents/Info.plist");
        let id_fact = self.fact(info, "CFBundleIdentifier", &at);
        let version_fact = self.version(info, &at);
        let text = |key: &str| self.fact(info, key, &at).map(|f| f.value);
        let location = text("IFPkgRelocatedPath").or_else(|| text("IFPkgFlagDefaultLocation"));
        let kbytes = match info.get("IFPkgFlagInstalledSize") {
            Some(Value::Integer(i)) => u64::try_from(*i).ok(),
            _ => None,
        };
        let payload = ["Archive.pax.gz", "Archive.pax", "Archive.pax.bz2", "Archive.cpio.gz"]
            .into_iter()
            .map(|n| format!("Contents/{n}"))
            .find_map(|n| Some((self.file(&n)?, n)));
        let mut out = ComponentInfo {
            place: self.place.clone(),
            id: id_fact.as_ref().map(|f| f.value.clone()),
            version: version_fact.as_ref().map(|f| f.value.clone()),
            id_fact,
            version_fact,
            install_location: location.clone(),
            install_kbytes: kbytes,
            auth: text("IFPkgFlagAuthorizationAction"),
            payload: payload.is_some(),
            scripts: self.scripts(look)?,
            postinstall_action: text("IFPkgFlagRestartAction"),
            ..ComponentInfo::default()
        };
        let list = match self.file("Contents/Archive.bom") {
            Some(index) => self.bom(index, look)?,
            None => None,
        };
        note_list(&mut out, list.as_deref());
        out.files = list.as_ref().map(|l| len64(l.len()));
        if let Some((index, name)) = payload {
            let payload_at = self.place_of(&name);
            let around = Around {
                location: location.as_deref(),
                relocate: &[],
                bundles: &[],
                listed_at: &at,
                more: &[],
                more_at: &at,
                payload_at: &payload_at,
                folders: list.as_deref().map(app_folders),
            };
            let stored = self.tree.entries().get(index).map_or(0, |e| e.size);
            let open = || -> Result<Box<dyn Read + Send>> {
                match self.tree.section(index)? {
                    Some(section) => Ok(Box::new(section.reader())),
                    None => {
                        let bytes =
                            self.tree.read(index, self.job.limits().small_file, self.job)?;
                        Ok(Box::new(std::io::Cursor::new(bytes)))
                    }
                }
            };
            let wanted = wanted(list.as_deref(), around.in_app());
            let found = look.payload(&payload_at, stored, open, wanted, &mut out)?;
            let relocatable = info.get("IFPkgFlagRelocatable").is_some_and(Value::is_true);
            let first = look.out.apps.len();
            look.apps(&around, found, out.payload_state);
            for app in look.out.apps.iter_mut().skip(first) {
                app.relocatable = Some(relocatable);
            }
        }
        look.out.installer.components.push(out);
        Ok(())
    }

    fn bom(&self, index: usize, look: &mut Look<'_>) -> Result<Option<Vec<mip_bom::BomPath>>> {
        let read = self
            .tree
            .read(index, self.job.limits().small_file, self.job)
            .and_then(|bytes| Bom::open(Arc::new(bytes), self.job)?.paths(self.job));
        match read {
            Ok(list) => Ok(Some(list)),
            Err(e) => {
                let at = self.place_of("Contents/Archive.bom");
                look.tolerate("W_BOM_UNREADABLE", &at, "the file list cannot be read", e)?;
                Ok(None)
            }
        }
    }

    fn scripts(&self, look: &mut Look<'_>) -> Result<Vec<ScriptInfo>> {
        let mut out = Vec::new();
        for (name, file) in self.list("Contents/Resources") {
            let Some(index) = file.filter(|_| SCRIPTS.contains(&name.as_str())) else { continue };
            let head = match self.tree.head(index, SCRIPT_TEXT, self.job) {
                Ok(head) => head,
                Err(e) => {
                    let at = self.place_of(&format!("Contents/Resources/{name}"));
                    look.tolerate("W_SCRIPTS_UNREADABLE", &at, "the script cannot be read", e)?;
                    Vec::new()
                }
            };
            let size = self.tree.entries().get(index).map(|e| e.size);
            out.push(script_info(name.clone(), Some(name), &head, size));
        }
        Ok(out)
    }

    /// Title, licence and Distribution of the package that is inspected.
    fn resources(&self, info: &Value, look: &mut Look<'_>) -> Result<()> {
        let mut titles: Vec<(u8, String, usize, String)> = Vec::new();
        for (name, file) in self.list("Contents/Resources") {
            match (file, name.strip_suffix(".lproj")) {
                (Some(index), _) => self.resource(&name, index, None, look, &mut titles),
                (None, Some(language)) => {
                    for (inner, file) in self.list(&format!("Contents/Resources/{name}")) {
                        if let Some(index) = file {
                            self.resource(&inner, index, Some(language), look, &mut titles);
                        }
                    }
                }
                (None, None) => {}
            }
        }
        titles.sort();
        for (_, _, index, path) in titles {
            match self.plist(index) {
                Ok(v) => {
                    let at = self.place_of(&path);
                    if let Some(mut title) = self.fact(&v, "IFPkgDescriptionTitle", &at) {
                        title.source.rule = rules::TITLE;
                        look.out.installer.title = Some(title);
                        break;
                    }
                }
                Err(e) if is_fatal(&e) => return Err(e),
                Err(e) => look.out.notes.push(format!("{e} ({})", e.code().text())),
            }
        }
        let p = &mut look.out.installer;
        if p.title.is_none() {
            p.title = self.fact(info, "CFBundleName", &self.place_of("Contents/Info.plist"));
        }
        for (name, file) in self.list("Contents") {
            let Some(index) = file.filter(|_| has_extension(&name, &["dist"])) else { continue };
            let bytes = self.tree.read(index, self.job.limits().plist_bytes, self.job)?;
            match Distribution::parse(&bytes, self.job) {
                Ok(d) => self.distribution(d, &name, look),
                Err(e) => {
                    let at = self.place_of(&format!("Contents/{name}"));
                    look.tolerate(
                        "W_DISTRIBUTION_UNREADABLE",
                        &at,
                        "the Distribution cannot be read",
                        e,
                    )?;
                }
            }
        }
        Ok(())
    }

    fn resource(
        &self,
        name: &str,
        index: usize,
        language: Option<&str>,
        look: &mut Look<'_>,
        titles: &mut Vec<(u8, String, usize, String)>,
    ) {
        let rank = match language {
            Some("en" | "English") => 0,
            None => 1,
            Some(_) => 2,
        };
        let folder = language.map_or_else(String::new, |l| format!("{l}.lproj/"));
        if name == "Description.plist" {
            let path = format!("Contents/Resources/{folder}{name}");
            titles.push((rank, language.unwrap_or_default().to_owned(), index, path));
        }
        if name.rsplit_once('.').is_some_and(|(stem, _)| stem.eq_ignore_ascii_case("license")) {
            let language = language.map(str::to_owned);
            look.out.installer.licence = true;
            look.out.installer.licence_files.push(LicenceFile { file: name.to_owned(), language });
        }
    }

    fn distribution(&self, d: Distribution, name: &str, look: &mut Look<'_>) {
        let at = self.place_of(&format!("Contents/{name}"));
        let p = &mut look.out.installer;
        let ranges = d.allowed_os.into_iter();
        p.allowed_os
            .extend(ranges.map(|r| Fact::new(r, at.clone(), Some("os-version"), rules::STATED)));
        p.javascript |= d.javascript;
        p.licence |= d.licence;
        if p.title.is_none() {
            p.title = d.title.map(|t| Fact::new(t, at.clone(), Some("title"), rules::TITLE));
        }
    }
}
