//! Looking into components: file lists, scripts, payloads, and the apps in them.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::sync::Arc;

use mip_base::{CONTAINER_STEP, EntryKind, Error, Job, Result, escape};
use mip_bom::{Bom, BomPath};

use super::distribution::PkgRef;
use super::flat::{Component, FlatPackage};
use super::payload::{
    Archive, PayloadApp, PayloadScan, Wanted, app_root, is_fatal, is_nested, scan, scripts,
};
use crate::app::{MAX_APPS, has_extension};
use crate::icon::IconFile;
use crate::inspection::{
    AppInfo, BundleInfo, Candidate, ComponentInfo, Fact, InstallerInfo, InstallerKind,
    PayloadState, RestartAction, ScriptInfo, Warning,
};
use crate::metadata::{app_info, rules};

/// What an installer holds, before the rules decide what it is.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct PackageFindings {
    /// What kind of installer it is.
    pub kind: InstallerKind,
    /// What it does.
    pub installer: InstallerInfo,
    /// Its apps.
    pub apps: Vec<AppInfo>,
    /// Files that the icons of `apps` may be in.
    pub icons: Vec<IconFile>,
    /// Warnings.
    pub warnings: Vec<Warning>,
    /// Quirks that were tolerated.
    pub notes: Vec<String>,
}

/// How much all payloads of one package may be, in units of the limit for one, when
/// [`PayloadScan::Auto`] decides.
const ALL_PAYLOADS: u64 = 4;

/// Bytes of icons that are kept of one package.
const ALL_ICONS: usize = 32 << 20;

pub(super) struct Look<'a> {
    pub(super) out: PackageFindings,
    pub(super) scan: PayloadScan,
    /// Stored bytes of payloads that may still be read when the scan is automatic.
    budget: u64,
    pub(super) job: &'a Job,
}

impl<'a> Look<'a> {
    pub(super) fn new(scan: PayloadScan, job: &'a Job) -> Self {
        let budget = job.limits().payload_scan.saturating_mul(ALL_PAYLOADS);
        Self { out: PackageFindings::default(), scan, budget, job }
    }

    pub(super) fn component(
        &mut self,
        c: &Component,
        base: &str,
        reference: Option<&PkgRef>,
        product: &str,
    ) -> Result<()> {
        let job = self.job;
        let at = c.place_of(base, "PackageInfo");
        let info = &c.info;
        let stated = |v: &Option<String>, key: &str| {
            v.as_ref().map(|v| Fact::new(v.clone(), at.clone(), Some(key), rules::STATED))
        };
        let from_ref = |v: Option<&String>, key: &str| {
            v.map(|v| Fact::new(v.clone(), product, Some(key), rules::STATED))
        };
        let id_fact = stated(&info.identifier, "pkg-info@identifier")
            .or_else(|| from_ref(reference.map(|r| &r.id), "pkg-ref@id"));
        let version_fact = stated(&info.version, "pkg-info@version")
            .or_else(|| from_ref(reference.and_then(|r| r.version.as_ref()), "pkg-ref@version"));
        let payload = ["Payload", "LargePayload"].into_iter().find(|n| c.find(n).is_some());
        let mut out = ComponentInfo {
            place: format!("{base}{}", c.place),
            id: id_fact.as_ref().map(|f| f.value.clone()),
            version: version_fact.as_ref().map(|f| f.value.clone()),
            id_fact,
            version_fact,
            install_location: info.install_location.clone(),
            install_kbytes: info
                .install_kbytes
                .or_else(|| reference.and_then(|r| r.install_kbytes)),
            files: info.files,
            auth: info.auth.clone(),
            payload: payload.is_some(),
            bundles: info.bundles.clone(),
            relocatable_bundles: info.relocate.clone(),
            postinstall_action: info.postinstall_action.clone(),
            must_close: info.must_close.clone(),
            ..ComponentInfo::default()
        };
        out.scripts = self.scripts(c, base)?;
        let list = self.bom(c, base)?;
        let around = Around {
            folders: list
                .as_deref()
                .map(app_folders)
                .or_else(|| payload.is_none().then(HashSet::new)),
            location: info.install_location.as_deref(),
            relocate: &info.relocate,
            bundles: &info.bundles,
            more: reference.map_or(&[], |r| r.bundles.as_slice()),
            listed_at: &at,
            more_at: product,
            payload_at: &c.place_of(base, payload.unwrap_or("Payload")),
        };
        let found = match payload.and_then(|name| c.find(name)) {
            Some(file) => {
                let stored = file.data.as_ref().map_or(0, |d| d.length);
                let open = || c.xar.open_file(file, job);
                let wanted = wanted(list.as_deref(), around.in_app());
                self.payload(around.payload_at, stored, open, wanted, &mut out)?
            }
            None => Vec::new(),
        };
        note_list(&mut out, list.as_deref());
        self.apps(&around, found, out.payload_state);
        self.out.installer.components.push(out);
        Ok(())
    }

    fn warn(&mut self, code: &'static str, text: String) {
        self.out.warnings.push(Warning::new(code, text));
    }

    /// The error as a warning, unless the whole input is in question.
    pub(super) fn tolerate(
        &mut self,
        code: &'static str,
        place: &str,
        what: &str,
        e: Error,
    ) -> Result<()> {
        if is_fatal(&e) {
            return Err(e.within(place));
        }
        let text = format!("{place}: {what} ({}: {e})", e.code().text());
        self.out.warnings.push(Warning::new(code, text));
        Ok(())
    }

    fn bom(&mut self, c: &Component, base: &str) -> Result<Option<Vec<BomPath>>> {
        let Some(file) = c.find("Bom") else { return Ok(None) };
        let read = c
            .xar
            .read_file(file, self.job.limits().small_file, self.job)
            .and_then(|bytes| Bom::open(Arc::new(bytes), self.job)?.paths(self.job));
        match read {
            Ok(list) => Ok(Some(list)),
            Err(e) => {
                self.tolerate(
                    "W_BOM_UNREADABLE",
                    &c.place_of(base, "Bom"),
                    "the file list cannot be read",
                    e,
                )?;
                Ok(None)
            }
        }
    }

    fn scripts(&mut self, c: &Component, base: &str) -> Result<Vec<ScriptInfo>> {
        let clean = |file: &str| file.trim_start_matches("./").to_owned();
        let roles: HashMap<String, String> =
            c.info.scripts.iter().map(|(role, file)| (clean(file), role.clone())).collect();
        let mut found = Vec::new();
        if let Some(file) = c.find("Scripts") {
            let at = c.place_of(base, "Scripts");
            let stored = file.data.as_ref().map_or(0, |d| d.length);
            if self.scan.allows(stored, self.job) {
                let archive =
                    c.xar.open_file(file, self.job).and_then(|r| Archive::open(r, self.job));
                let (list, end) = match archive {
                    Ok(mut archive) => scripts(&mut archive, &roles, self.job),
                    Err(e) => (Vec::new(), Err(e)),
                };
                found = list;
                if let Err(e) = end {
                    self.tolerate("W_SCRIPTS_UNREADABLE", &at, "the scripts cannot be read", e)?;
                }
            } else {
                let text = format!(
                    "{at}: the scripts ({stored} bytes) were not read; --payload-scan always reads them"
                );
                self.out.warnings.push(Warning::new("W_SCRIPTS_NOT_READ", text));
            }
        }
        // Scripts that the package names, whether or not they were seen.
        let seen: HashSet<String> = found.iter().map(|s| s.name.clone()).collect();
        let unseen = c.info.scripts.iter().map(|(role, file)| (role, clean(file)));
        let unseen = unseen.filter(|(_, name)| !seen.contains(name));
        found.extend(unseen.map(|(role, name)| ScriptInfo {
            name,
            role: Some(role.clone()),
            ..ScriptInfo::default()
        }));
        Ok(found)
    }

    /// Reads a payload as far as its apps need it. `open` gives its stored bytes.
    pub(super) fn payload(
        &mut self,
        at: &str,
        stored: u64,
        open: impl FnOnce() -> Result<Box<dyn Read + Send>>,
        wanted: Wanted<'_>,
        out: &mut ComponentInfo,
    ) -> Result<Vec<PayloadApp>> {
        out.payload_stored_bytes = stored;
        out.payload_state = PayloadState::NotRead;
        let in_plists = wanted.plists.as_ref().map(HashSet::len);
        if in_plists == Some(0) {
            return Ok(Vec::new());
        }
        let allowed = self.scan.allows(stored, self.job)
            && (self.scan == PayloadScan::Always || stored <= self.budget);
        if !allowed {
            let text = format!(
                "{at}: the payload ({stored} bytes) was not read; what is known of its apps comes from the package's own lists; --payload-scan always reads it"
            );
            self.warn("W_PAYLOAD_NOT_READ", text);
            return Ok(Vec::new());
        }
        self.budget = self.budget.saturating_sub(stored);
        let (found, end) = match open().and_then(|r| Archive::open(r, self.job)) {
            Ok(mut archive) => {
                out.payload_format = Some(archive.format.to_owned());
                scan(&mut archive, wanted, self.job)
            }
            Err(e) => (Vec::new(), Err(e)),
        };
        out.payload_state = PayloadState::Read;
        if let Err(e) = end {
            out.payload_state = PayloadState::Unreadable;
            let what = "the payload cannot be read; what is known of its apps comes from the package's own lists";
            self.tolerate("W_PAYLOAD_UNREADABLE", at, what, e)?;
        }
        Ok(found)
    }

    /// Apps of the payload, and those that only the package's lists know.
    pub(super) fn apps(&mut self, c: &Around<'_>, found: Vec<PayloadApp>, state: PayloadState) {
        let in_app = c.in_app();
        let at = c.payload_at;
        let mut listed: HashMap<&str, (&BundleInfo, &str)> = HashMap::new();
        let all = c.bundles.iter().map(|b| (b, c.listed_at));
        let more = c.more.iter().map(|b| (b, c.more_at));
        // PackageInfo goes before the Distribution.
        for (b, place) in all.chain(more) {
            let path = clean_path(&b.path);
            if has_extension(path, &["app"]) {
                listed.entry(path).or_insert((b, place));
            }
        }
        let first = self.out.apps.len();
        for one in found {
            if self.full(at) {
                return;
            }
            let plist = format!("{at}{CONTAINER_STEP}{}", escape(&one.plist));
            if let Some(e) = &one.trouble {
                let text = format!("{plist}: cannot be used ({}: {e})", e.code().text());
                self.out.warnings.push(Warning::new("W_APP_UNREADABLE", text));
            }
            let mut app = app_info(&one.facts, &plist, c.app_name(&one.root));
            app.path = if one.root.is_empty() { ".".to_owned() } else { one.root.clone() };
            app.place = if one.root.is_empty() {
                at.to_owned()
            } else {
                format!("{at}{CONTAINER_STEP}{}", escape(&one.root))
            };
            app.nested = is_nested(&one.root, in_app);
            if let Some((b, place)) = listed.remove(one.root.as_str()) {
                self.merge(&mut app, b, place);
            }
            c.finish(&mut app, &one.root);
            app.localized_names = one.names;
            self.out.notes.extend(one.notes);
            for (path, data) in one.icons {
                let file = IconFile::new(self.out.apps.len(), at, &path, data, &one.facts);
                app.icon = app.icon.or_else(|| file.stated());
                let kept =
                    self.out.icons.iter().fold(0usize, |n, f| n.saturating_add(f.data.len()));
                if kept.saturating_add(file.data.len()) <= ALL_ICONS {
                    self.out.icons.push(file);
                }
            }
            self.out.apps.push(app);
        }
        let mut rest: Vec<_> = listed.into_iter().collect();
        // A payload that was not read to its end: its file list still tells which apps it holds.
        let known: HashSet<String> =
            self.out.apps.iter().skip(first).map(|a| a.path.clone()).collect();
        let bare = BundleInfo::default();
        if state != PayloadState::Read {
            let named: HashSet<&str> = rest.iter().map(|(path, _)| *path).collect();
            let unnamed = c.folders.iter().flatten().copied();
            let unnamed: Vec<&str> =
                unnamed.filter(|p| !named.contains(p) && !known.contains(*p)).collect();
            rest.extend(unnamed.into_iter().map(|path| (path, (&bare, c.payload_at))));
        }
        rest.sort_by_key(|(path, _)| *path);
        for (path, (b, place)) in rest {
            if self.full(at) {
                return;
            }
            // Without a file list, a payload that was read to its end tells the same.
            let there = match &c.folders {
                Some(list) => list.contains(path),
                None => state != PayloadState::Read,
            };
            if !there {
                let note =
                    format!("{place} lists {}, which the payload does not hold", escape(path));
                self.out.notes.push(note);
                continue;
            }
            let mut app = AppInfo {
                path: path.to_owned(),
                nested: is_nested(path, in_app),
                ..AppInfo::default()
            };
            app.place = format!("{at}{CONTAINER_STEP}{}", escape(path));
            self.merge(&mut app, b, place);
            let stem = c.app_name(path);
            if !stem.is_empty() {
                let key = if std::ptr::eq(b, &bare) { "Bom" } else { "bundle@path" };
                app.name = Some(Fact::new(stem.to_owned(), place, Some(key), rules::LISTED));
            }
            c.finish(&mut app, path);
            self.out.apps.push(app);
        }
    }

    /// Whether the package has as many apps as are looked at; says so once.
    fn full(&mut self, at: &str) -> bool {
        let full = self.out.apps.len() >= MAX_APPS;
        if full && !self.out.warnings.iter().any(|w| w.code == "W_MANY_APPS") {
            let text = format!("{at}: more than {MAX_APPS} apps; the others are not looked at");
            self.warn("W_MANY_APPS", text);
        }
        full
    }

    /// Adds what a package lists for a bundle; the bundle's own `Info.plist` goes first.
    fn merge(&mut self, app: &mut AppInfo, b: &BundleInfo, place: &str) {
        let mut differs = false;
        for (fact, value, key) in [
            (&mut app.bundle_id, &b.id, "bundle@id"),
            (&mut app.short_version, &b.short_version, "bundle@CFBundleShortVersionString"),
            (&mut app.bundle_version, &b.bundle_version, "bundle@CFBundleVersion"),
        ] {
            let Some(value) = value.clone() else { continue };
            let listed = Fact::new(value, place, Some(key), rules::LISTED);
            match fact {
                None => *fact = Some(listed),
                Some(own) => {
                    differs |= own.value != listed.value;
                    own.others.push(Candidate { value: listed.value, source: listed.source });
                }
            }
        }
        if differs {
            let text = format!(
                "{}: identifier or version in its Info.plist is not what {place} lists; the Info.plist counts",
                app.place
            );
            self.out.warnings.push(Warning::new("W_BUNDLE_DIFFERS", text));
        }
    }

    /// What concerns all components together.
    pub(super) fn closing(&mut self, package: &FlatPackage, base: &str, product: &str) {
        let p = &mut self.out.installer;
        let mut close: Vec<Fact<String>> = Vec::new();
        let mut seen: HashSet<String> = HashSet::new();
        let mut add = |id: &str, place: &str| {
            if seen.insert(id.to_owned()) {
                close.push(Fact::new(
                    id.to_owned(),
                    place,
                    Some("must-close/app@id"),
                    rules::STATED,
                ));
            }
        };
        let mut actions: Vec<Fact<RestartAction>> = Vec::new();
        if let Some(d) = &package.distribution {
            for id in d.must_close.iter().chain(d.pkg_refs.iter().flat_map(|r| &r.must_close)) {
                add(id, product);
            }
            for r in &d.pkg_refs {
                let action = r.on_conclusion.as_deref().and_then(restart_action);
                actions.extend(
                    action.map(|a| {
                        Fact::new(a, product, Some("pkg-ref@onConclusion"), rules::STATED)
                    }),
                );
            }
        }
        for c in &package.components {
            let at = c.place_of(base, "PackageInfo");
            for id in &c.info.must_close {
                add(id, &at);
            }
            let action = c.info.postinstall_action.as_deref().and_then(restart_action);
            actions.extend(
                action
                    .map(|a| Fact::new(a, at, Some("pkg-info@postinstall-action"), rules::STATED)),
            );
        }
        p.must_close = close;
        p.restart = severest(actions);
        // Where no component says how large it is, the references may.
        let known: Vec<u64> = p.packages.iter().filter_map(|r| r.install_kbytes).collect();
        if !known.is_empty() && p.components.iter().all(|c| c.install_kbytes.is_none()) {
            let sum = known.iter().fold(0u64, |a, b| a.saturating_add(*b));
            p.installed_kbytes =
                Some(Fact::new(sum, product, Some("pkg-ref@installKBytes"), rules::SUM));
        }
    }
}

/// The severest action; the rule says so only where there were several.
pub(super) fn severest(actions: Vec<Fact<RestartAction>>) -> Option<Fact<RestartAction>> {
    let several = actions.len() > 1;
    let mut worst = actions.into_iter().reduce(|a, b| if b.value > a.value { b } else { a })?;
    if several {
        worst.source.rule = rules::SEVEREST;
    }
    Some(worst)
}

/// The words of `postinstall-action`, `onConclusion` and `IFPkgFlagRestartAction`.
pub(super) fn restart_action(word: &str) -> Option<RestartAction> {
    // RequireRestart, RequiredRestart, RecommendRestart, RecommendedRestart, restart, …
    let word = word.to_ascii_lowercase();
    let asks = ["", "require", "required", "recommend", "recommended"];
    let is = |what: &str| word.strip_suffix(what).is_some_and(|start| asks.contains(&start));
    match () {
        () if is("restart") => Some(RestartAction::Restart),
        () if is("logout") => Some(RestartAction::Logout),
        () if is("shutdown") => Some(RestartAction::Shutdown),
        () => None,
    }
}

/// What surrounds the payload of a component.
pub(super) struct Around<'a> {
    /// Where it is unpacked to.
    pub(super) location: Option<&'a str>,
    /// Identifiers of relocatable bundles.
    pub(super) relocate: &'a [String],
    /// Bundles that the package lists, and the file that lists them.
    pub(super) bundles: &'a [BundleInfo],
    pub(super) listed_at: &'a str,
    /// Bundles that the Distribution lists.
    pub(super) more: &'a [BundleInfo],
    pub(super) more_at: &'a str,
    pub(super) payload_at: &'a str,
    /// App bundles in the file list, where there is one.
    pub(super) folders: Option<HashSet<&'a str>>,
}

impl Around<'_> {
    fn location(&self) -> &str {
        self.location.unwrap_or_default().trim_end_matches('/')
    }

    /// Whether the payload is what is inside an app bundle (`install-location="/Applications/X.app"`).
    pub(super) fn in_app(&self) -> bool {
        has_extension(self.location(), &["app"])
    }

    /// The name of the app at `root`, without `.app`.
    fn app_name<'b>(&'b self, root: &'b str) -> &'b str {
        let root = if root.is_empty() { self.location() } else { root };
        let name = root.rsplit('/').next().unwrap_or(root);
        name.rsplit_once('.').map_or(name, |(stem, _)| stem)
    }

    fn finish(&self, app: &mut AppInfo, root: &str) {
        app.install_path = self.location.map(|_| {
            let place = format!("/{}/{root}", self.location().trim_start_matches('/'));
            place.replace("//", "/").trim_end_matches('/').to_owned()
        });
        let id = app.bundle_id.as_ref().map(|f| f.value.as_str());
        app.relocatable = Some(id.is_some_and(|id| self.relocate.iter().any(|r| r == id)));
    }
}

/// A path of a bundle as payloads spell it.
fn clean_path(path: &str) -> &str {
    path.trim_start_matches("./").trim_start_matches('/').trim_end_matches('/')
}

/// The app bundles of a list.
pub(super) fn app_folders(list: &[BomPath]) -> HashSet<&str> {
    list.iter().map(|p| p.path.as_str()).filter(|p| has_extension(p, &["app"])).collect()
}

/// What is kept of a component's list of files, where it was read.
pub(super) fn note_list(out: &mut ComponentInfo, list: Option<&[BomPath]>) {
    let Some(list) = list else { return };
    let files = list.iter().filter(|p| p.kind == EntryKind::File);
    out.listed_bytes = Some(files.fold(0u64, |sum, p| sum.saturating_add(p.size)));
    out.line_breaks = list.iter().any(|p| p.path.as_str().contains('\n'));
}

pub(super) fn wanted(list: Option<&[BomPath]>, in_app: bool) -> Wanted<'_> {
    let Some(list) = list else { return Wanted { in_app, ..Wanted::default() } };
    let files = || list.iter().filter(|p| p.kind == EntryKind::File).map(|p| p.path.as_str());
    let plists = files().filter(|p| app_root(p, in_app).is_some()).collect();
    // Programs and icons of apps are all that is asked for beside the property lists.
    let part = |p: &&str| p.contains(".app/") || p.contains(".APP/") || in_app;
    Wanted { plists: Some(plists), files: files().filter(part).collect(), in_app }
}
