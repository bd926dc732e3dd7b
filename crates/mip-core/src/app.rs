//! App bundles: where they are in a tree, and what their `Info.plist` says.

mod macho;
pub(crate) mod names;

use std::collections::BTreeSet;

use mip_base::{Code, EntryKind, EntryPath, Error, Job, Result, escape, len64};

pub(crate) use self::macho::{HEAD as PROGRAM_HEAD, RUNS_HEAD, architectures, is_program, runs};
use crate::plist::{self, Value};
use crate::tree::Tree;

/// Apps of one payload or tree that are looked at.
pub(crate) const MAX_APPS: usize = 1000;
/// App bundles that a tree may hold. They are listed before any is looked at.
const MAX_FOUND: u64 = 20_000;
/// What to do about a bound that no option changes.
pub(crate) const FIXED: &str = "this bound is fixed: convert the parts one by one";
/// Bytes of text that one `Info.plist` may give.
const MAX_TEXT: u64 = 16 << 10;

/// Where a bundle keeps its `Info.plist`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// `Contents/Info.plist`: apps for macOS.
    Contents,
    /// `Info.plist` at the top: apps for iOS, and flat ones for macOS.
    Flat,
}

/// An app bundle in a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppBundle {
    /// The bundle's folder; `None` when the tree itself is the bundle.
    pub root: Option<EntryPath>,
    /// Its name with `.app`. For a tree that is the bundle, from the name of the tree.
    pub name: String,
    /// Whether it lies inside another bundle. An app that is not nested is a main app.
    pub nested: bool,
    /// Its `Info.plist`, where there is one.
    pub info_plist: Option<(Layout, EntryPath)>,
}

impl AppBundle {
    /// The path of the bundle in its tree; its name for a tree that is the bundle.
    #[must_use]
    pub fn path(&self) -> &str {
        self.root.as_ref().map_or(&self.name, EntryPath::as_str)
    }

    /// A path inside the bundle as a path of the tree.
    fn inside(&self, path: &str, job: &Job) -> Result<EntryPath> {
        let below = EntryPath::new(path, job.limits())?;
        Ok(self.root.as_ref().map_or_else(|| below.clone(), |r| r.join(&below)))
    }
}

/// The keys of an `Info.plist` that describe an app, as they are written, without the white
/// space around them; `None` where a key is missing or empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppFacts {
    /// `CFBundleIdentifier`.
    pub bundle_id: Option<String>,
    /// `CFBundleName`.
    pub name: Option<String>,
    /// `CFBundleDisplayName`.
    pub display_name: Option<String>,
    /// `CFBundleShortVersionString`.
    pub short_version: Option<String>,
    /// `CFBundleVersion`.
    pub version: Option<String>,
    /// `CFBundleExecutable`.
    pub executable: Option<String>,
    /// `CFBundlePackageType`.
    pub package_type: Option<String>,
    /// `LSMinimumSystemVersion`.
    pub min_os: Option<String>,
    /// `MinimumSystemVersion`, an old spelling that Munki reads too.
    pub min_os_old: Option<String>,
    /// `LSMaximumSystemVersion`.
    pub max_os: Option<String>,
    /// `LSMinimumSystemVersionByArchitecture`: architecture and version, in the order of the file.
    pub min_os_by_arch: Vec<(String, String)>,
    /// `LSArchitecturePriority`, in the order of the file.
    pub architecture_priority: Vec<String>,
    /// `LSApplicationCategoryType`.
    pub category: Option<String>,
    /// `NSHumanReadableCopyright`.
    pub copyright: Option<String>,
    /// `CFBundleIconFile`.
    pub icon_file: Option<String>,
    /// `CFBundleIconName`: an image in `Assets.car`.
    pub icon_name: Option<String>,
    /// `LSUIElement` or `LSBackgroundOnly`: no icon in the Dock.
    pub ui_element: bool,
    /// The platform, where the bundle is not for macOS (`iphoneos`, …).
    pub other_platform: Option<String>,
    /// Architectures of the main executable, from its Mach-O header; empty where it is missing or
    /// not Mach-O.
    pub architectures: Vec<String>,
    /// The main executable in the tree, where it exists.
    pub executable_path: Option<EntryPath>,
    /// Whether the main executable may be executed, by its mode in the source.
    pub executable_bit: Option<bool>,
}

/// Finds all app bundles, sorted by path. `container` is the file name of what the tree was read
/// from (`Tool.app`, `Tool.zip`): it names a bundle that is the tree itself.
///
/// # Errors
/// [`Code::LimitEntries`] for more than 20,000 bundles; [`Code::Cancelled`].
pub fn find_apps(tree: &dyn Tree, container: &str, job: &Job) -> Result<Vec<AppBundle>> {
    let listing = tree.listing();
    let mut found = Vec::new();
    let root = root_bundle(tree, container, job)?;
    let root_is_bundle = root.is_some();
    found.extend(root);
    // Folders that no entry names are found through what is in them.
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for (_, entry) in listing.sorted() {
        job.check()?;
        let path = entry.path.as_str();
        let folder = entry.kind == EntryKind::Directory;
        let ends = path.bytes().enumerate().filter(|(_, b)| *b == b'/').map(|(i, _)| i);
        for end in ends.chain(folder.then_some(path.len())) {
            if let Some(p) = path.get(..end).filter(|p| has_extension(p, &["app"])) {
                seen.insert(p);
            }
        }
        let count = len64(seen.len());
        if count > MAX_FOUND {
            return Err(
                Error::limit(Code::LimitEntries, "app bundles", MAX_FOUND, count).hint(FIXED)
            );
        }
    }
    for path in seen {
        let root = EntryPath::new(path, job.limits())?;
        let above = root.parent();
        let nested = root_is_bundle
            || above.iter().flat_map(|p| p.components()).any(|c| has_extension(c, BUNDLES));
        let mut app = AppBundle {
            name: root.file_name().to_owned(),
            root: Some(root),
            nested,
            info_plist: None,
        };
        app.info_plist = info_plist(tree, &app, job)?;
        found.push(app);
    }
    Ok(found)
}

/// Extensions of folders that are bundles: an app in one of them is a part of it.
pub(crate) const BUNDLES: &[&str] = &[
    "app",
    "appex",
    "bundle",
    "component",
    "framework",
    "kext",
    "mdimporter",
    "plugin",
    "prefPane",
    "qlgenerator",
    "saver",
    "systemextension",
    "service",
    "xpc",
];

/// Whether the last component of `name` ends in one of these, and is more than that.
pub(crate) fn has_extension(name: &str, extensions: &[&str]) -> bool {
    let name = name.rsplit('/').next().unwrap_or(name);
    name.rsplit_once('.').is_some_and(|(stem, extension)| {
        !stem.is_empty() && extensions.iter().any(|e| extension.eq_ignore_ascii_case(e))
    })
}

/// The bundle that the tree itself is: a folder given as `X.app`, or an archive of what is in one.
fn root_bundle(tree: &dyn Tree, container: &str, job: &Job) -> Result<Option<AppBundle>> {
    let mut app =
        AppBundle { root: None, name: root_name(container, job), nested: false, info_plist: None };
    app.info_plist = info_plist(tree, &app, job)?;
    let is_app = has_extension(container, &["app"]);
    let macos = tree.listing().is_folder(&EntryPath::new("Contents/MacOS", job.limits())?);
    Ok(match app.info_plist {
        Some((Layout::Contents, _)) if is_app || macos => Some(app),
        _ if is_app => Some(app),
        _ => None,
    })
}

/// `Tool.app.zip` and `Tool.zip` hold `Tool.app`.
fn root_name(container: &str, job: &Job) -> String {
    let mut stem = container;
    for archive in [".zip", ".tar", ".tgz", ".tbz", ".tbz2", ".txz", ".gz", ".bz2", ".xz", ".tar"] {
        let cut = stem.len().saturating_sub(archive.len());
        if let Some((s, e)) = stem.split_at_checked(cut)
            && e.eq_ignore_ascii_case(archive)
        {
            stem = s;
        }
    }
    let name = if has_extension(stem, &["app"]) { stem.to_owned() } else { format!("{stem}.app") };
    let one_step = !stem.is_empty() && !name.contains('/');
    match EntryPath::new(&name, job.limits()) {
        Ok(_) if one_step => name,
        _ => "Application.app".to_owned(),
    }
}

fn info_plist(tree: &dyn Tree, app: &AppBundle, job: &Job) -> Result<Option<(Layout, EntryPath)>> {
    for (layout, path) in [(Layout::Contents, "Contents/Info.plist"), (Layout::Flat, "Info.plist")]
    {
        let path = app.inside(path, job)?;
        if tree.get(path.as_str()).is_some_and(|e| e.kind == EntryKind::File) {
            return Ok(Some((layout, path)));
        }
    }
    Ok(None)
}

/// Reads what a bundle says about itself.
///
/// # Errors
/// [`Code::Plist`] and the other codes of [`plist::read`], also for a missing `Info.plist` and
/// for a key of the wrong type; [`Code::MetaInvalid`] when `CFBundleExecutable` is not a name;
/// errors of reading the tree.
pub fn read_facts(tree: &dyn Tree, app: &AppBundle, job: &Job) -> Result<AppFacts> {
    let Some((layout, path)) = &app.info_plist else { return Err(no_info_plist(tree, app, job)) };
    let index = tree.find(path.as_str()).ok_or_else(|| no_info_plist(tree, app, job))?;
    let limit = job.limits().plist_bytes;
    if let Some(e) = tree.entries().get(index)
        && e.size > limit
    {
        return Err(Error::limit(Code::Limit, "plist-bytes", limit, e.size).within(path.as_str()));
    }
    let within = |e: Error| e.within(path.as_str());
    let info = plist::read(&tree.read(index, limit, job)?, job).map_err(within)?;
    let mut facts = facts(&info).map_err(within)?;
    executable(tree, app, *layout, &mut facts, job).map_err(within)?;
    Ok(facts)
}

fn no_info_plist(tree: &dyn Tree, app: &AppBundle, job: &Job) -> Error {
    let has = |path: &str| app.inside(path, job).is_ok_and(|p| tree.get(p.as_str()).is_some());
    if has("WrappedBundle") || has("Wrapper") {
        return not_macos("iOS", app);
    }
    Error::new(Code::Plist, "no Info.plist: looked for Contents/Info.plist and Info.plist")
        .within(app.path())
        .hint("check that the app bundle is complete")
}

fn not_macos(platform: &str, app: &AppBundle) -> Error {
    Error::new(Code::Unsupported, format!("is an app for {}, not for macOS", escape(platform)))
        .within(app.path())
        .hint("only apps for macOS can be converted")
}

impl AppFacts {
    /// Refuses apps for iOS and its relatives.
    ///
    /// # Errors
    /// [`Code::Unsupported`].
    pub fn require_macos(&self, app: &AppBundle) -> Result<()> {
        match &self.other_platform {
            Some(platform) => Err(not_macos(platform, app)),
            None => Ok(()),
        }
    }
}

/// What an `Info.plist` says; nothing of the executable.
pub(crate) fn facts(info: &Value) -> Result<AppFacts> {
    if info.as_dict().is_none() {
        return Err(Error::new(Code::Plist, format!("is {}, not a dictionary", info.kind())));
    }
    let text = |key| text(info, key);
    // What only describes the app must not refuse it: a value of another type is as good as none.
    let optional = |key| text(key).ok().flatten();
    let is_true = |key| info.get(key).is_some_and(Value::is_true);
    let min_os = text("LSMinimumSystemVersion")?;
    bounded(AppFacts {
        bundle_id: text("CFBundleIdentifier")?,
        name: text("CFBundleName")?,
        display_name: text("CFBundleDisplayName")?,
        short_version: text("CFBundleShortVersionString")?,
        version: text("CFBundleVersion")?,
        executable: text("CFBundleExecutable")?,
        package_type: optional("CFBundlePackageType"),
        min_os_old: optional("MinimumSystemVersion"),
        max_os: optional("LSMaximumSystemVersion"),
        architecture_priority: texts(info, "LSArchitecturePriority"),
        min_os_by_arch: min_os_by_arch(info)?,
        category: optional("LSApplicationCategoryType"),
        copyright: optional("NSHumanReadableCopyright"),
        icon_file: optional("CFBundleIconFile"),
        icon_name: optional("CFBundleIconName"),
        ui_element: is_true("LSUIElement") || is_true("LSBackgroundOnly"),
        other_platform: other_platform(info, min_os.is_some())?,
        min_os,
        ..AppFacts::default()
    })
}

/// Refuses texts that no app has: they are kept for every app.
fn bounded(facts: AppFacts) -> Result<AppFacts> {
    let f = &facts;
    let texts = [
        &f.bundle_id,
        &f.name,
        &f.display_name,
        &f.short_version,
        &f.version,
        &f.executable,
        &f.package_type,
        &f.min_os,
        &f.max_os,
        &f.min_os_old,
        &f.category,
        &f.copyright,
        &f.icon_file,
        &f.icon_name,
        &f.other_platform,
    ];
    let by_arch = f.min_os_by_arch.iter().flat_map(|(a, v)| [a, v]);
    let all = texts.into_iter().flatten().chain(by_arch).chain(&f.architecture_priority);
    let sum = all.fold(0u64, |sum, t| sum.saturating_add(len64(t.len())));
    if sum > MAX_TEXT {
        return Err(Error::limit(Code::Limit, "text of an Info.plist", MAX_TEXT, sum));
    }
    Ok(facts)
}

/// The text of `key`, trimmed; a version may be written as a number.
fn text(info: &Value, key: &str) -> Result<Option<String>> {
    let Some(value) = info.get(key) else { return Ok(None) };
    let text = value.scalar_text().ok_or_else(|| {
        Error::new(Code::Plist, format!("{key} is {}, not a string", value.kind()))
    })?;
    let text = text.trim();
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

/// The texts of an array; what else stands in it says nothing of the app.
fn texts(info: &Value, key: &str) -> Vec<String> {
    let all = info.get(key).and_then(Value::as_array).into_iter().flatten();
    all.filter_map(Value::as_str).map(|s| s.trim().to_owned()).filter(|s| !s.is_empty()).collect()
}

fn min_os_by_arch(info: &Value) -> Result<Vec<(String, String)>> {
    const KEY: &str = "LSMinimumSystemVersionByArchitecture";
    let Some(value) = info.get(KEY) else { return Ok(Vec::new()) };
    let wrong = |v: &Value| Error::new(Code::Plist, format!("{KEY} holds {}", v.kind()));
    let entries = value.as_dict().ok_or_else(|| wrong(value))?;
    entries
        .iter()
        .map(|(arch, v)| {
            Ok((arch.clone(), v.scalar_text().ok_or_else(|| wrong(v))?.trim().to_owned()))
        })
        .collect()
}

/// The platform that the bundle was built for, if that is not macOS.
fn other_platform(info: &Value, has_macos_minimum: bool) -> Result<Option<String>> {
    if let Some(platform) = text(info, "DTPlatformName")? {
        return Ok((platform != "macosx").then_some(platform));
    }
    let supported: Vec<&str> = info
        .get("CFBundleSupportedPlatforms")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if supported.iter().any(|p| p.eq_ignore_ascii_case("MacOSX")) {
        return Ok(None);
    }
    if let Some(first) = supported.first() {
        return Ok(Some((*first).to_owned()));
    }
    let ios = info.get("LSRequiresIPhoneOS").is_some_and(Value::is_true)
        || (!has_macos_minimum
            && (info.get("UIDeviceFamily").is_some() || info.get("MinimumOSVersion").is_some()));
    Ok(ios.then(|| "iOS".to_owned()))
}

/// Finds the main executable and reads the head of it.
fn executable(
    tree: &dyn Tree,
    app: &AppBundle,
    layout: Layout,
    facts: &mut AppFacts,
    job: &Job,
) -> Result<()> {
    let Some(name) = &facts.executable else { return Ok(()) };
    let not_a_name = || {
        Error::new(
            Code::MetaInvalid,
            format!("CFBundleExecutable \"{}\" is not a file name", escape(name)),
        )
    };
    if name.contains('/') || EntryPath::new(name, job.limits()).is_err() {
        return Err(not_a_name());
    }
    let folder = if layout == Layout::Contents { "Contents/MacOS/" } else { "" };
    let path = app.inside(&format!("{folder}{name}"), job).map_err(|_| not_a_name())?;
    let Some(mut index) = tree.find(path.as_str()) else { return Ok(()) };
    let entry = |i: usize| tree.entries().get(i);
    if let Some(target) = entry(index).filter(|e| e.kind == EntryKind::Hardlink)
        && let Some(i) = target.link.as_deref().and_then(|l| tree.find(l))
    {
        index = i;
    }
    let Some(file) = entry(index).filter(|e| e.kind == EntryKind::File) else { return Ok(()) };
    facts.executable_bit = Some(file.mode & 0o111 != 0);
    facts.executable_path = Some(path);
    facts.architectures = macho::architectures(&tree.head(index, macho::HEAD, job)?);
    Ok(())
}

#[cfg(test)]
mod tests;
