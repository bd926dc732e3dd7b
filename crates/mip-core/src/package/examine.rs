//! From the tables and payloads of a flat package to findings.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::sync::Arc;

use mip_base::{CONTAINER_STEP, EntryKind, Error, Job, Result, escape};
use mip_bom::{Bom, BomPath};

use super::distribution::{Distribution, PkgRef};
use super::flat::{Component, FlatPackage};
use super::payload::{
    Archive, MAX_APPS, PayloadApp, PayloadScan, Wanted, app_root, is_fatal, is_nested, scan,
    scripts,
};
use crate::app::has_extension;
use crate::inspection::{
    AppInfo, BundleInfo, Candidate, ChoiceInfo, ComponentInfo, Fact, IconInfo, InstallerInfo,
    InstallerKind, LicenceFile, PackageRef, PayloadState, RestartAction, ScriptInfo, Warning,
};
use crate::metadata::{app_info, rules};

/// What a package holds, before the rules decide what it is.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct PackageFindings {
    /// What kind of package it is.
    pub kind: InstallerKind,
    /// What it does.
    pub installer: InstallerInfo,
    /// Its apps.
    pub apps: Vec<AppInfo>,
    /// Icon files (`.icns`) of apps, by index into `apps`.
    pub icons: Vec<(usize, Vec<u8>)>,
    /// Warnings.
    pub warnings: Vec<Warning>,
    /// Quirks that were tolerated.
    pub notes: Vec<String>,
}

/// How much all payloads of one package may be, in units of the limit for one, when
/// [`PayloadScan::Auto`] decides.
pub(super) const ALL_PAYLOADS: u64 = 4;

impl FlatPackage {
    /// What kind of package it is.
    #[must_use]
    pub fn kind(&self) -> InstallerKind {
        self.kind
    }

    /// The archive itself.
    #[must_use]
    pub fn xar(&self) -> &mip_xar::Xar {
        &self.xar
    }

    /// Reads file lists, scripts and, as `scan` says, payloads.
    ///
    /// A part that cannot be read is a warning, not an error: the tables still say what the
    /// package is.
    ///
    /// # Errors
    /// [`mip_base::Code::Cancelled`], and errors of reading the input itself.
    pub fn examine(&self, scan: PayloadScan, job: &Job) -> Result<PackageFindings> {
        let mut out = PackageFindings {
            kind: self.kind,
            warnings: self.warnings.clone(),
            notes: self.notes.clone(),
            ..PackageFindings::default()
        };
        let place = format!("{}{CONTAINER_STEP}Distribution", self.place);
        if let Some(d) = &self.distribution {
            out.installer = self.product(d, &place);
        }
        let index = self.distribution.as_ref().map(Distribution::index);
        let budget = job.limits().payload_scan.saturating_mul(ALL_PAYLOADS);
        let mut look = Look { out, scan, budget, job };
        for c in &self.components {
            job.check()?;
            let reference =
                index.as_ref().and_then(|i| i.find(&c.name, c.info.identifier.as_deref()));
            look.component(c, reference, &place)?;
        }
        look.closing(self, &place);
        Ok(look.out)
    }

    /// A text of the Distribution; where it is a key of its tables, what they say.
    fn localized(&self, text: &str) -> Option<(&str, &str)> {
        let hit = |(l, t): &'_ &(String, std::collections::BTreeMap<String, String>)| {
            t.get(text).filter(|v| !v.trim().is_empty()).map(|_| l).is_some()
        };
        let (language, table) = self.texts.iter().find(hit)?;
        table.get(text).map(|v| (language.as_str(), v.trim()))
    }

    fn product(&self, d: &Distribution, place: &str) -> InstallerInfo {
        let stated = |v: &Option<String>, key: &str| {
            v.as_ref().map(|v| Fact::new(v.clone(), place, Some(key), rules::STATED))
        };
        let title = d.title.as_ref().map(|raw| match self.localized(raw) {
            Some((language, text)) => {
                let at =
                    format!("{}{CONTAINER_STEP}Resources/{}.lproj", self.place, escape(language));
                Fact::new(text.to_owned(), at, Some(raw.as_str()), rules::LOCALIZED_TITLE)
            }
            None => Fact::new(raw.clone(), place, Some("title"), rules::TITLE),
        });
        let host = (!d.host_architectures.is_empty()).then(|| {
            let mut archs = d.host_architectures.clone();
            archs.sort();
            archs.dedup();
            Fact::new(archs, place, Some("options@hostArchitectures"), rules::STATED)
        });
        InstallerInfo {
            product_place: Some(place.to_owned()),
            title,
            product_id: stated(&d.product_id, "product@id"),
            product_version: stated(&d.product_version, "product@version"),
            packages: d.pkg_refs.iter().map(package_ref).collect(),
            allowed_os: d
                .allowed_os
                .iter()
                .map(|r| Fact::new(r.clone(), place, Some("os-version"), rules::STATED))
                .collect(),
            host_architectures: host,
            domains: d.domains.clone().map(|v| Fact::new(v, place, Some("domains"), rules::STATED)),
            licence: d.licence,
            licence_files: self.licence_files(d),
            choices: d
                .choices
                .iter()
                .map(|c| ChoiceInfo {
                    id: c.id.clone(),
                    title: c
                        .title
                        .as_ref()
                        .map(|t| self.localized(t).map_or(t.as_str(), |(_, v)| v).to_owned()),
                    packages: c.pkg_refs.clone(),
                })
                .collect(),
            javascript: d.javascript,
            ..InstallerInfo::default()
        }
    }

    /// The licence files that the Distribution names, in every language that has one.
    fn licence_files(&self, d: &Distribution) -> Vec<LicenceFile> {
        let mut out = Vec::new();
        let names: HashSet<&str> = d.licences.iter().map(|l| l.file.as_str()).collect();
        for file in self.xar.files() {
            let Some(rest) = file.path.as_str().strip_prefix("Resources/") else { continue };
            let (language, name) = match rest.split_once(".lproj/") {
                Some((l, name)) => (Some(l.to_owned()), name),
                None => (None, rest),
            };
            if names.contains(name) {
                out.push(LicenceFile { file: name.to_owned(), language });
            }
        }
        if out.is_empty() { d.licences.clone() } else { out }
    }
}

fn package_ref(r: &PkgRef) -> PackageRef {
    PackageRef {
        id: r.id.clone(),
        version: r.version.clone(),
        file: r.file.clone(),
        install_kbytes: r.install_kbytes,
        auth: r.auth.clone(),
        on_conclusion: r.on_conclusion.clone(),
    }
}

pub(super) struct Look<'a> {
    pub(super) out: PackageFindings,
    pub(super) scan: PayloadScan,
    /// Stored bytes of payloads that may still be read when the scan is automatic.
    pub(super) budget: u64,
    pub(super) job: &'a Job,
}

impl Look<'_> {
    fn component(
        &mut self,
        c: &Component,
        reference: Option<&PkgRef>,
        product: &str,
    ) -> Result<()> {
        let job = self.job;
        let at = c.place_of("PackageInfo");
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
            place: c.place.clone(),
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
        out.scripts = self.scripts(c)?;
        let list = self.bom(c)?;
        let around = Around {
            location: info.install_location.as_deref(),
            relocate: &info.relocate,
            bundles: &info.bundles,
            more: reference.map_or(&[], |r| r.bundles.as_slice()),
            listed_at: &at,
            more_at: product,
            payload_at: &c.place_of(payload.unwrap_or("Payload")),
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
        out.listed_bytes = list.as_deref().map(listed_bytes);
        self.apps(&around, found);
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

    fn bom(&mut self, c: &Component) -> Result<Option<Vec<BomPath>>> {
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
                    &c.place_of("Bom"),
                    "the file list cannot be read",
                    e,
                )?;
                Ok(None)
            }
        }
    }

    fn scripts(&mut self, c: &Component) -> Result<Vec<ScriptInfo>> {
        let clean = |file: &str| file.trim_start_matches("./").to_owned();
        let roles: HashMap<String, String> =
            c.info.scripts.iter().map(|(role, file)| (clean(file), role.clone())).collect();
        let mut found = Vec::new();
        if let Some(file) = c.find("Scripts") {
            let at = c.place_of("Scripts");
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
        for (role, file) in &c.info.scripts {
            let name = clean(file);
            if !found.iter().any(|s| s.name == name) {
                found.push(ScriptInfo { name, role: Some(role.clone()), ..ScriptInfo::default() });
            }
        }
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
        if let Some(n) = in_plists.filter(|n| *n > MAX_APPS) {
            let text = format!("{at}: {n} apps; only {MAX_APPS} are looked at");
            self.warn("W_MANY_APPS", text);
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
    pub(super) fn apps(&mut self, c: &Around<'_>, found: Vec<PayloadApp>) {
        let in_app = c.in_app();
        let at = c.payload_at;
        let mut listed: HashMap<&str, (&BundleInfo, &str)> = HashMap::new();
        let all = c.bundles.iter().map(|b| (b, c.listed_at));
        let more = c.more.iter().map(|b| (b, c.more_at));
        // PackageInfo goes before the Distribution.
        for (b, place) in all.chain(more) {
            let path = clean_path(&b.path);
            if has_extension(path, &["app"]) && listed.len() < MAX_APPS {
                listed.entry(path).or_insert((b, place));
            }
        }
        for one in found {
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
            if let Some((path, data)) = one.icon {
                let bytes = u64::try_from(data.len()).unwrap_or(u64::MAX);
                let place = format!("{at}{CONTAINER_STEP}{}", escape(&path));
                let icon = IconInfo { path, format: "icns".to_owned(), pixels: None, bytes };
                app.icon = Some(Fact::new(icon, place, Some("CFBundleIconFile"), rules::STATED));
                self.out.icons.push((self.out.apps.len(), data));
            }
            self.out.apps.push(app);
        }
        let mut rest: Vec<_> = listed.into_iter().collect();
        rest.sort_by_key(|(path, _)| *path);
        for (path, (b, place)) in rest {
            let mut app = AppInfo {
                path: path.to_owned(),
                nested: is_nested(path, in_app),
                ..AppInfo::default()
            };
            app.place = format!("{at}{CONTAINER_STEP}{}", escape(path));
            self.merge(&mut app, b, place);
            let stem = c.app_name(path);
            if !stem.is_empty() {
                app.name =
                    Some(Fact::new(stem.to_owned(), place, Some("bundle@path"), rules::LISTED));
            }
            c.finish(&mut app, path);
            self.out.apps.push(app);
        }
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
    fn closing(&mut self, package: &FlatPackage, product: &str) {
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
            let at = c.place_of("PackageInfo");
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

/// Bytes of all files of a list.
pub(super) fn listed_bytes(list: &[BomPath]) -> u64 {
    let files = list.iter().filter(|p| p.kind == EntryKind::File);
    files.fold(0u64, |sum, p| sum.saturating_add(p.size))
}

pub(super) fn wanted(list: Option<&[BomPath]>, in_app: bool) -> Wanted<'_> {
    let Some(list) = list else { return Wanted { in_app, ..Wanted::default() } };
    let files = || list.iter().filter(|p| p.kind == EntryKind::File).map(|p| p.path.as_str());
    let plists = files().filter(|p| app_root(p, in_app).is_some()).collect();
    // Programs and icons of apps are all that is asked for beside the property lists.
    let part = |p: &&str| p.contains(".app/") || p.contains(".APP/") || in_app;
    Wanted { plists: Some(plists), files: files().filter(part).collect(), in_app }
}
