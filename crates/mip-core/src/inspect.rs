//! From an input to what is in it: probe, look into containers, choose the installer, read it.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use mip_archive::profile;
use mip_base::{
    CONTAINER_STEP, Code, EntryKind, EntryPath, Error, Event, Job, Phase, ReadAt, Result, Section,
    Source, escape, hex, len64, read_some,
};

use crate::app::{self, AppBundle, AppFacts, Layout, MAX_APPS};
use crate::icon;
use crate::input::{Input, Opened, spool};
use crate::inspection::{
    ContainerFormat, Fact, IconInfo, InputFormat, InputInfo, Inspection, InstallerKind, Warning,
};
use crate::metadata::{app_info, decide, rules};
use crate::package::bundle::{self, BundlePackage};
use crate::package::{FlatPackage, PackageFindings, PayloadScan};
use crate::probe::{Format, TarCompression, probe};
use crate::tree::{self, Container, Tree, TreeEntry};

/// How an input is read.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct InspectOptions {
    /// Which app the installer is about: its bundle identifier or its path.
    pub primary_app: Option<String>,
    /// Path of the installer inside a zip, tar or folder that holds several.
    pub select: Option<String>,
    /// Whether the payload of a package is read.
    pub payload_scan: PayloadScan,
    /// Also computes the SHA-256 of the input file, which reads all of it.
    pub hash: bool,
}

impl InspectOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

/// Reads what an installer says about itself. Only what is needed is read: of a 4 GiB package
/// a few MB.
///
/// # Errors
/// [`Code::UnknownFormat`], [`Code::Unsupported`] for what is no installer that can be read;
/// the codes of the formats for damaged input; limits; [`Code::InputChanged`].
///
/// Several apps that nothing tells apart are not an error here but a warning, `W_AMBIGUOUS`.
pub fn inspect(input: &Input, options: &InspectOptions, job: &Job) -> Result<Inspection> {
    let place = |e: Error| in_input(e, input);
    let opened = input.open(job)?;
    let mut found = examine(input, &opened, options, job).map_err(place)?.inspection;
    if options.hash
        && let Opened::File { source, .. } = &opened
    {
        found.input.sha256 = Some(sha256(source, job).map_err(place)?);
    }
    opened.unchanged().map_err(place)?;
    Ok(found)
}

/// Says in which input the error is, by the path that was given.
pub(crate) fn in_input(e: Error, input: &Input) -> Error {
    within_once(e, &escape(input.name()), &input.shown())
}

/// Adds `step` to where the error is, unless that starts at `place` (escaped) already: what
/// reads a package names the whole container path.
fn within_once(e: Error, place: &str, step: &str) -> Error {
    let from = e.path();
    let rest = from.as_deref().and_then(|p| p.strip_prefix(place));
    match rest {
        Some(r) if r.is_empty() || r.starts_with('/') => e,
        _ => e.within(step),
    }
}

fn sha256(source: &Source, job: &Job) -> Result<String> {
    use sha2::Digest as _;
    let mut hash = sha2::Sha256::new();
    let mut buf = job.buffer("read buffer", 1 << 20, 1 << 20)?;
    let mut from = mip_base::Cursor::new(source.clone());
    job.report(Event::Started { phase: Phase::Inspect, total: Some(source.size()) });
    loop {
        job.check()?;
        let n = read_some(&mut from, &mut buf)
            .map_err(|e| Error::from_io(Code::InputIo, "reading", e))?;
        let Some(bytes) = buf.get(..n).filter(|b| !b.is_empty()) else { break };
        hash.update(bytes);
        job.report(Event::Advanced { phase: Phase::Inspect, bytes: bytes.size() });
    }
    job.report(Event::Finished { phase: Phase::Inspect });
    Ok(hex(&hash.finalize()))
}

/// What a conversion carries.
#[derive(Clone)]
pub(crate) enum Subject {
    /// A file, as it is.
    File { data: Section, name: String },
    /// A folder of a tree, packed. `bundle` is the folder's name.
    Tree { tree: Arc<dyn Tree>, root: Option<EntryPath>, bundle: String },
}

impl Subject {
    fn plain_name(&self) -> String {
        match self {
            Subject::File { name, .. } => name.clone(),
            Subject::Tree { bundle, .. } => format!("{bundle}.tar.gz"),
        }
    }

    /// File name of the payload in the archive.
    pub(crate) fn payload_name(&self) -> String {
        profile::payload_name(&self.plain_name())
    }

    /// The name before it was made usable, where that changed it.
    pub(crate) fn original_name(&self) -> Option<String> {
        let plain = self.plain_name();
        (plain != self.payload_name()).then_some(plain)
    }
}

/// An input that was looked into.
pub(crate) struct Examined {
    pub inspection: Inspection,
    /// `None` when several installers could be meant.
    pub subject: Option<Subject>,
    pub icon_png: Option<Vec<u8>>,
    /// Why a conversion must stop: something is left open.
    pub ambiguity: Option<Error>,
}

pub(crate) fn examine(
    input: &Input,
    opened: &Opened,
    options: &InspectOptions,
    job: &Job,
) -> Result<Examined> {
    let mut info = InputInfo { name: escape(input.name()), ..InputInfo::default() };
    match opened {
        Opened::Folder(path) => {
            let tree: Arc<dyn Tree> = Arc::from(open_folder(path, job)?);
            info.size = tree.entries().iter().fold(0, |n, e| n.saturating_add(e.size));
            examine_tree(input.name(), tree, info, options, job)
        }
        Opened::File { source, .. } => {
            info.size = source.size();
            let format = probe(source, job)?;
            if let Some(refusal) = format.refusal() {
                return Err(refusal);
            }
            let (container, how) = match format {
                Format::Zip => (ContainerFormat::Zip, Container::Zip),
                Format::Tar(how) => (tar_format(how), Container::Tar(how.codec())),
                _ => {
                    let data = Section::whole(source.clone());
                    return examine_flat(input.name(), input.name(), data, info, options, job);
                }
            };
            info.container = Some(container);
            let tree: Arc<dyn Tree> = Arc::from(tree::open_archive(source.clone(), how, job)?);
            examine_tree(input.name(), tree, info, options, job)
        }
    }
}

fn open_folder(path: &Path, job: &Job) -> Result<Box<dyn Tree>> {
    if path.join("token").exists() && path.join("Info.bckup").exists()
        || path.join("bands").is_dir()
    {
        return Err(Error::new(
            Code::Unsupported,
            "sparse disk images are not read by this version",
        )
        .hint("convert the app or package inside the image"));
    }
    tree::open_directory(path, job)
}

fn tar_format(how: TarCompression) -> ContainerFormat {
    match how {
        TarCompression::None => ContainerFormat::Tar,
        TarCompression::Gzip => ContainerFormat::TarGz,
        TarCompression::Bzip2 => ContainerFormat::TarBz2,
        TarCompression::Xz => ContainerFormat::TarXz,
    }
}

/// A flat package. `place` is its container path, `name` its own file name.
fn examine_flat(
    place: &str,
    name: &str,
    data: Section,
    mut info: InputInfo,
    options: &InspectOptions,
    job: &Job,
) -> Result<Examined> {
    info.format = InputFormat::Xar;
    let package = FlatPackage::open(Arc::new(data.clone()), place, job)?;
    let findings = package.examine(options.payload_scan, job)?;
    let subject = Subject::File { data, name: name.to_owned() };
    conclude(info, findings, subject, options)
}

/// From what an installer holds to what it is.
fn conclude(
    mut info: InputInfo,
    findings: PackageFindings,
    subject: Subject,
    options: &InspectOptions,
) -> Result<Examined> {
    info.kind = findings.kind;
    let mut inspection = Inspection::new(info);
    inspection.installer = findings.installer;
    inspection.apps = findings.apps;
    inspection.warnings = findings.warnings;
    inspection.notes = findings.notes;
    let ambiguity = decide(&mut inspection, options.primary_app.as_deref())?;
    let icon_png = primary_icon(&findings.icons, &mut inspection);
    Ok(Examined { inspection, subject: Some(subject), icon_png, ambiguity })
}

/// The primary app's icon as PNG; one that cannot be used is a warning.
fn primary_icon(icons: &[(usize, Vec<u8>)], inspection: &mut Inspection) -> Option<Vec<u8>> {
    let primary = inspection.apps.iter().position(|a| a.primary)?;
    let (_, icns) = icons.iter().find(|(i, _)| *i == primary)?;
    match icon::from_icns(icns) {
        Ok(found) => {
            let of_app = inspection.apps.get_mut(primary).and_then(|a| a.icon.as_mut());
            for fact in of_app.into_iter().chain(inspection.identity.icon.as_mut()) {
                fact.value.pixels = Some(found.pixels);
            }
            Some(found.png)
        }
        Err(why) => {
            let text = format!("the icon of the primary app cannot be used: {}", escape(&why));
            inspection.warnings.push(Warning::new("W_ICON", text));
            None
        }
    }
}

/// One installer inside a tree.
enum Candidate {
    FlatPackage(usize, EntryPath),
    BundlePackage(BundlePackage),
    App(AppBundle),
}

impl Candidate {
    fn path(&self) -> &str {
        match self {
            Candidate::FlatPackage(_, path) => path.as_str(),
            Candidate::BundlePackage(p) => p.root.as_ref().map_or(&p.name, EntryPath::as_str),
            Candidate::App(bundle) => bundle.path(),
        }
    }

    fn what(&self) -> &'static str {
        match self {
            Candidate::FlatPackage(..) => "package",
            Candidate::BundlePackage(_) => "bundle-style package",
            Candidate::App(_) => "app",
        }
    }
}

/// Installers that a tree may hold.
const MAX_INSTALLERS: u64 = 20_000;

/// The installers of a tree, and all its app bundles.
fn candidates(tree: &dyn Tree, name: &str, job: &Job) -> Result<(Vec<Candidate>, Vec<AppBundle>)> {
    let bundles = bundle::find_packages(tree, name, job)?;
    let apps = app::find_apps(tree, name, job)?;
    let in_package = Folders::of(bundles.iter().map(|p| &p.root));
    let in_app = Folders::of(apps.iter().map(|a| &a.root));
    let mut found = Vec::new();
    for (index, entry) in tree.listing().sorted() {
        let extension =
            entry.path.file_name().rsplit_once('.').map(|(_, e)| e.to_ascii_lowercase());
        if entry.kind == EntryKind::File
            && matches!(extension.as_deref(), Some("pkg" | "mpkg"))
            && !in_package.hold(&entry.path)
            && !in_app.hold(&entry.path)
        {
            found.push(Candidate::FlatPackage(index, entry.path.clone()));
            let count = len64(found.len());
            if count > MAX_INSTALLERS {
                return Err(Error::limit(
                    Code::LimitEntries,
                    "packages in one input",
                    MAX_INSTALLERS,
                    count,
                )
                .hint(app::FIXED));
            }
        }
    }
    // What is part of an app or of a package is not an installer of its own.
    let whole = |root: &Option<EntryPath>| root.as_ref().is_none_or(|r| !in_package.hold(r));
    let own: Vec<_> = apps.iter().filter(|a| !a.nested && whole(&a.root)).cloned().collect();
    found.extend(bundles.into_iter().map(Candidate::BundlePackage));
    found.extend(own.into_iter().map(Candidate::App));
    Ok((found, apps))
}

/// Folders that are asked for every entry of a tree whether it lies in one of them.
struct Folders {
    paths: HashSet<String>,
    /// One of them is the tree itself.
    all: bool,
}

impl Folders {
    fn of<'a>(roots: impl Iterator<Item = &'a Option<EntryPath>>) -> Self {
        let mut out = Self { paths: HashSet::new(), all: false };
        for root in roots {
            match root {
                Some(r) => _ = out.paths.insert(r.as_str().to_owned()),
                None => out.all = true,
            }
        }
        out
    }

    /// Whether `path` lies below one of them.
    fn hold(&self, path: &EntryPath) -> bool {
        let path = path.as_str();
        let mut above = path.match_indices('/').filter_map(|(i, _)| path.get(..i));
        self.all || above.any(|p| self.paths.contains(p))
    }
}

fn examine_tree(
    place: &str,
    tree: Arc<dyn Tree>,
    mut info: InputInfo,
    options: &InspectOptions,
    job: &Job,
) -> Result<Examined> {
    let (mut all, apps) = candidates(tree.as_ref(), place, job)?;
    if let Some(wanted) = &options.select {
        let wanted = wanted.trim_matches('/');
        let listed = list(&all);
        all.retain(|c| c.path() == wanted);
        if all.is_empty() {
            let have = if listed.is_empty() { "there is none".to_owned() } else { listed };
            return Err(Error::new(Code::Usage, format!("no installer \"{}\"", escape(wanted)))
                .hint(format!("choose one with --select: {have}")));
        }
    }
    if all.len() > 1 {
        return examine_several(place, &tree, &all, &apps, info, options, job);
    }
    let Some(one) = all.pop() else { return Err(nothing(tree.as_ref())) };
    let step = one.path().to_owned();
    let here = match &one {
        // A folder or archive that is the installer itself.
        Candidate::BundlePackage(BundlePackage { root: None, .. })
        | Candidate::App(AppBundle { root: None, .. }) => escape(place),
        _ => {
            info.path_in_container = Some(escape(&step));
            format!("{}{CONTAINER_STEP}{}", escape(place), escape(&step))
        }
    };
    let dropped = tree.listing().dropped().total();
    let within = |e: Error| within_once(e, &escape(place), &step);
    let mut examined = match one {
        Candidate::FlatPackage(index, path) => {
            let data = positioned(tree.as_ref(), index, job).map_err(within)?;
            let inner: Source = Arc::new(data.clone());
            if probe(&inner, job).map_err(within)? != Format::Xar {
                return Err(within(Error::new(Code::XarHeader, "is not a flat package")));
            }
            examine_flat(&here, path.file_name(), data, info, options, job).map_err(within)?
        }
        Candidate::BundlePackage(package) => {
            info.format = InputFormat::Folder;
            let scan = options.payload_scan;
            let findings =
                bundle::examine(tree.as_ref(), &package, &here, scan, job).map_err(within)?;
            let BundlePackage { root, name } = package;
            conclude(info, findings, Subject::Tree { tree, root, bundle: name }, options)?
        }
        Candidate::App(app) => {
            info.format = InputFormat::Folder;
            let findings = examine_app(tree.as_ref(), &app, &apps, place, true, job)?;
            let AppBundle { root, name, .. } = app;
            conclude(info, findings, Subject::Tree { tree, root, bundle: name }, options)?
        }
    };
    if dropped > 0 {
        examined.inspection.notes.push(format!(
            "{dropped} entries that macOS archivers add (AppleDouble, .DS_Store, extended attributes) were left out"
        ));
    }
    Ok(examined)
}

fn list(all: &[Candidate]) -> String {
    let names: Vec<String> =
        all.iter().take(20).map(|c| format!("{} ({})", escape(c.path()), c.what())).collect();
    let more = all.len().saturating_sub(names.len());
    if more > 0 { format!("{}, and {more} more", names.join(", ")) } else { names.join(", ") }
}

/// Several installers: everything is shown, nothing is chosen.
fn examine_several(
    place: &str,
    tree: &Arc<dyn Tree>,
    all: &[Candidate],
    apps: &[AppBundle],
    info: InputInfo,
    options: &InspectOptions,
    job: &Job,
) -> Result<Examined> {
    // An app that is named by its identifier is a choice too.
    if let (Some(wanted), None) = (&options.primary_app, &options.select) {
        let named = |c: &&Candidate| match c {
            Candidate::App(bundle) => app::read_facts(tree.as_ref(), bundle, job)
                .is_ok_and(|f| f.bundle_id.as_ref() == Some(wanted)),
            _ => false,
        };
        // Two apps of one identifier are still two.
        if let [one] = all.iter().filter(named).collect::<Vec<_>>().as_slice() {
            let select = Some(one.path().to_owned());
            let options = InspectOptions { select, ..options.clone() };
            return examine_tree(place, tree.clone(), info, &options, job);
        }
    }
    let mut inspection = Inspection::new(info);
    for candidate in all {
        if inspection.apps.len() >= MAX_APPS {
            inspection.warnings.push(many_apps());
            break;
        }
        if let Candidate::App(bundle) = candidate {
            let found = examine_app(tree.as_ref(), bundle, apps, place, false, job)?;
            inspection.apps.extend(found.apps);
            inspection.warnings.extend(found.warnings);
        }
    }
    let message = format!("holds {} installers: {}", all.len(), list(all));
    inspection.warnings.push(Warning::new("W_AMBIGUOUS", message.clone()));
    let ambiguity = Error::new(Code::Ambiguous, message).hint("choose one with --select PATH");
    Ok(Examined { inspection, subject: None, icon_png: None, ambiguity: Some(ambiguity) })
}

/// An app bundle and the apps inside it. `strict` says that this is what will be carried: it
/// must be readable and for macOS then.
fn examine_app(
    tree: &dyn Tree,
    main: &AppBundle,
    apps: &[AppBundle],
    place: &str,
    strict: bool,
    job: &Job,
) -> Result<PackageFindings> {
    let mut out = PackageFindings { kind: InstallerKind::App, ..PackageFindings::default() };
    let at = |path: &str| format!("{}{CONTAINER_STEP}{}", escape(place), escape(path));
    let place_of =
        |a: &AppBundle| a.root.as_ref().map_or_else(|| escape(place), |r| at(r.as_str()));
    let inside = |a: &AppBundle| match (&a.root, &main.root) {
        (Some(_), None) => true,
        (Some(path), Some(root)) => path.below(root).is_some(),
        _ => false,
    };
    for (n, bundle) in std::iter::once(main).chain(apps.iter().filter(|a| inside(a))).enumerate() {
        job.check()?;
        if n >= MAX_APPS {
            out.warnings.push(many_apps());
            break;
        }
        let is_main = bundle.root == main.root;
        let facts = app::read_facts(tree, bundle, job).and_then(|f| {
            if is_main && in_ipa(bundle) { f.require_macos(bundle).map(|()| f) } else { Ok(f) }
        });
        let facts = match facts {
            Ok(facts) => facts,
            Err(e) if is_main && strict || e.kind() == mip_base::Kind::Cancelled => return Err(e),
            Err(e) => {
                let text =
                    format!("{}: cannot be used ({}: {e})", escape(bundle.path()), e.code().text());
                out.warnings.push(Warning::new("W_APP_UNREADABLE", text));
                continue;
            }
        };
        if is_main && let Some(platform) = &facts.other_platform {
            let text = format!(
                "{}: was built for {}, not for macOS; it runs on Apple silicon at best",
                escape(bundle.path()),
                escape(platform)
            );
            out.warnings.push(Warning::new("W_OTHER_PLATFORM", text));
        }
        let plist = bundle.info_plist.as_ref().map(|(_, p)| at(p.as_str())).unwrap_or_default();
        let stem = bundle.name.strip_suffix(".app").unwrap_or(&bundle.name);
        let mut app = app_info(&facts, &plist, stem);
        app.path = bundle.path().to_owned();
        app.place = place_of(bundle);
        app.nested = !is_main;
        if is_main && let Some((path, icns)) = read_icon(tree, bundle, &facts, job)? {
            let bytes = icns.size();
            let info =
                IconInfo { path: path.clone(), format: "icns".to_owned(), pixels: None, bytes };
            app.icon = Some(Fact::new(info, at(&path), Some("CFBundleIconFile"), rules::STATED));
            out.icons.push((out.apps.len(), icns));
        }
        out.apps.push(app);
    }
    let files =
        tree.listing().below(main.root.as_ref()).filter(|(_, e)| e.kind != EntryKind::Directory);
    let (count, bytes) = files
        .fold((0u64, 0u64), |(n, sum), (_, e)| (n.saturating_add(1), sum.saturating_add(e.size)));
    let here = place_of(main);
    out.installer.installed_files = Some(Fact::new(count, here.clone(), None, rules::SUM));
    out.installer.installed_bytes = Some(Fact::new(bytes, here, None, rules::SUM));
    Ok(out)
}

fn many_apps() -> Warning {
    let text = format!("more than {MAX_APPS} apps; the others are not looked at");
    Warning::new("W_MANY_APPS", text)
}

/// Whether a bundle stands where an `.ipa` has it: `Payload/X.app`. Such a file is for the
/// devices that it was built for, whatever else it says.
fn in_ipa(bundle: &AppBundle) -> bool {
    let Some(root) = &bundle.root else { return false };
    root.parent().is_some_and(|p| p.as_str() == "Payload")
}

/// The icon file that an app names, where it is there and not too large.
fn read_icon(
    tree: &dyn Tree,
    bundle: &AppBundle,
    facts: &AppFacts,
    job: &Job,
) -> Result<Option<(String, Vec<u8>)>> {
    let Some(name) = &facts.icon_file else { return Ok(None) };
    let folder = match &bundle.info_plist {
        Some((Layout::Contents, _)) => "Contents/Resources/",
        _ => "",
    };
    let file = if name.contains('.') { name.clone() } else { format!("{name}.icns") };
    let below = format!("{folder}{file}");
    let path = bundle.root.as_ref().map_or_else(|| below.clone(), |r| format!("{r}/{below}"));
    let limit = job.limits().small_file;
    let Some(index) = tree.find(&path) else { return Ok(None) };
    let fits = |e: &TreeEntry| e.kind == EntryKind::File && e.size <= limit;
    if !path.to_ascii_lowercase().ends_with(".icns") || !tree.entries().get(index).is_some_and(fits)
    {
        return Ok(None);
    }
    Ok(Some((path, tree.read(index, limit, job)?)))
}

fn nothing(tree: &dyn Tree) -> Error {
    let image = tree.entries().iter().find(|e| {
        let name = e.path.as_str().to_ascii_lowercase();
        name.ends_with(".dmg") || name.contains(".sparsebundle/") || name.ends_with(".sparseimage")
    });
    match image {
        Some(e) => Error::new(Code::Unsupported, "disk images are not read by this version")
            .within(e.path.as_str())
            .hint("take the app or package out of the image and convert that"),
        None if tree.entries().iter().any(|e| e.path.as_str().contains(".app\\")) => Error::new(
            Code::NothingToInstall,
            "its names are separated by backslashes, so it holds no folders",
        )
        .hint("some old Windows programs make such files: make it again with another program"),
        None => Error::new(Code::NothingToInstall, "there is no app and no package in it"),
    }
}

/// The bytes of a file in a tree, where they can be read at positions.
fn positioned(tree: &dyn Tree, index: usize, job: &Job) -> Result<Section> {
    if let Some(section) = tree.section(index)? {
        return Ok(section);
    }
    let Some(entry) = tree.entries().get(index) else {
        return Err(Error::new(Code::Internal, "no such entry"));
    };
    let (wanted, size) = (entry.path.clone(), entry.size);
    let mut copy = None;
    let parent = entry.path.parent();
    tree.walk(parent.as_ref(), job, &mut |e, data| {
        if e.path == wanted
            && let Some(data) = data
        {
            copy = Some(spool(data, Some(size), job.limits().expanded_bytes, job)?);
        }
        Ok(())
    })?;
    let copy = copy.ok_or_else(|| Error::new(Code::Truncated, "the entry has no data"))?;
    Ok(Section::whole(copy))
}
