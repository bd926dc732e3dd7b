//! What the scripts have to know of an installer.

use std::collections::HashSet;

use super::quote::comment;
use crate::app::has_extension;
use crate::inspection::{AppInfo, Inspection};
use crate::metadata::rules;
use crate::report::ProductReport;

/// Folders whose content does not stay: what is put there is moved by a script of the package.
const TEMPORARY: [&str; 5] =
    ["/tmp/", "/private/tmp/", "/var/tmp/", "/private/var/tmp/", "/private/var/folders/"];

/// Longest path that is looked for: the system's own limit (`PATH_MAX`).
const LONGEST_PATH: usize = 1024;

/// What is checked and removed.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) product: ProductReport,
    /// Name of the input.
    pub(super) installer: String,
    pub(super) sha256: Option<String>,
    /// The primary app first.
    pub(super) apps: Vec<App>,
    pub(super) receipts: Vec<Receipt>,
    /// What an admin should know of the scripts, one sentence each, without its full stop.
    pub(super) notes: Vec<String>,
}

/// An app that the installer brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct App {
    /// Folder name of the bundle.
    pub(super) name: String,
    pub(super) id: String,
    /// Where it is put.
    pub(super) path: String,
    /// The key of its `Info.plist` that the version is of, and the version; `None`: any will do.
    pub(super) version: Option<(&'static str, String)>,
    /// The Installer may put it elsewhere.
    pub(super) moves: bool,
}

impl App {
    /// Whether it is a part of another bundle, which is not taken apart.
    pub(super) fn inside_another(&self) -> bool {
        self.path.to_ascii_lowercase().contains(".app/")
    }

    /// Whether the identifier can stand in a query of Spotlight and in AppleScript.
    pub(super) fn plain_id(&self) -> bool {
        self.id.chars().all(|c| c.is_ascii_alphanumeric() || ".-_ ".contains(c))
    }
}

/// A receipt that the installer leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Receipt {
    pub(super) id: String,
    pub(super) version: String,
    /// Its files can be listed line by line.
    pub(super) listed: bool,
}

impl Facts {
    pub(super) fn of(found: &Inspection, product: &ProductReport) -> Self {
        let mut out = Self {
            product: product.clone(),
            installer: found.input.name.clone(),
            sha256: found.input.sha256.clone(),
            apps: Vec::new(),
            receipts: Vec::new(),
            notes: Vec::new(),
        };
        out.take_apps(found);
        out.take_receipts(found);
        if let Some((_, version)) = out.apps.first().and_then(|a| a.version.as_ref())
            && *version != product.version
        {
            out.notes.push(format!(
                "the version {} was given for the archive; the app itself says {}, and that is what is compared",
                comment(&product.version),
                comment(version)
            ));
        }
        out
    }

    fn take_apps(&mut self, found: &Inspection) {
        let primary = found.apps.iter().filter(|a| a.primary);
        let others = found.apps.iter().filter(|a| !a.primary && !a.nested);
        let has_primary = found.apps.iter().any(|a| a.primary);
        let mut paths = HashSet::new();
        for app in primary.chain(others) {
            let shown = comment(app.install_path.as_deref().unwrap_or(&app.path));
            let Some(id) = app.bundle_id.as_ref().map(|f| f.value.as_str()).filter(|v| usable(v))
            else {
                self.notes.push(format!("the app {shown} is not checked: it has no identifier"));
                continue;
            };
            let Some((path, name)) = lands(app) else {
                self.notes.push(format!("the app {shown} is not checked: its path is unusual"));
                continue;
            };
            // One app in several copies, for several systems, say: one of them will do.
            if let Some(first) = self.apps.iter_mut().find(|a| a.id == id) {
                first.moves |= first.path != path;
                continue;
            }
            let temporary = TEMPORARY.iter().any(|t| path.starts_with(t));
            if temporary && !app.primary {
                self.notes
                    .push(format!("the app {shown} is not checked: it is put where nothing stays"));
                continue;
            }
            let path = if temporary {
                self.notes.push(format!(
                    "the package puts the app into {shown}, where nothing stays; it is looked for in /Applications and by its identifier"
                ));
                format!("/Applications/{name}")
            } else {
                path
            };
            if !paths.insert(path.clone()) {
                let text = "is not checked: another app is put at the same place";
                self.notes.push(format!("the app {shown} {text}"));
                continue;
            }
            self.apps.push(App {
                name,
                id: id.to_owned(),
                path,
                version: if app.primary || !has_primary { version(found, app) } else { None },
                moves: app.relocatable == Some(true),
            });
        }
    }

    fn take_receipts(&mut self, found: &Inspection) {
        for r in &found.installer.receipts {
            if !usable(&r.id) || r.id.starts_with('-') {
                let shown = comment(&r.id);
                self.notes
                    .push(format!("the receipt \"{shown}\" is not used: its name is unusual"));
            } else if !self.receipts.iter().any(|have| have.id == r.id) {
                let version = if usable(&r.version) { r.version.clone() } else { String::new() };
                let mut same =
                    found.installer.components.iter().filter(|c| c.id.as_ref() == Some(&r.id));
                let listed = !same.any(|c| c.line_breaks);
                if !listed {
                    let shown = comment(&r.id);
                    self.notes.push(format!(
                        "the files of {shown} are not removed one by one, and its receipt stays: names among them have line breaks"
                    ));
                }
                self.receipts.push(Receipt { id: r.id.clone(), version, listed });
            }
        }
        let optional = found.installer.javascript || found.installer.choices.len() > 1;
        if self.apps.is_empty() && self.receipts.len() > 1 && optional {
            self.notes.push(
                "the package may leave components out; take those that are not always installed out of each_receipt"
                    .to_owned(),
            );
        }
    }
}

/// Whether a value can be looked for: there is one, and no shell variable ends within it.
fn usable(value: &str) -> bool {
    !value.trim().is_empty() && value.len() <= LONGEST_PATH && !value.contains('\0')
}

/// Where an app is put, and its folder name. What is no package is put into `/Applications`.
fn lands(app: &AppInfo) -> Option<(String, String)> {
    let path = match &app.install_path {
        Some(path) => path.clone(),
        None => format!("/Applications/{}", app.path.rsplit('/').next()?),
    };
    let below = path.strip_prefix('/')?;
    let plain = below.split('/').all(|part| !matches!(part, "" | "." | ".."));
    let name = below.rsplit('/').next()?;
    // The bundle's folder is removed whole: it must be one that only holds an app.
    let fits = plain && usable(&path) && has_extension(name, &["app"]) && below.contains('/');
    fits.then(|| (path.clone(), name.to_owned()))
}

/// The version that an app must have at least, as its identity was decided.
fn version(found: &Inspection, app: &AppInfo) -> Option<(&'static str, String)> {
    let short = || app.short_version.as_ref().map(|f| ("CFBundleShortVersionString", f));
    let build = || app.bundle_version.as_ref().map(|f| ("CFBundleVersion", f));
    let rule = found.identity.version.as_ref().filter(|_| app.primary).map(|f| f.source.rule);
    let (key, fact) = match rule {
        Some(rules::BUNDLE_VERSION) => build(),
        Some(rules::SHORT_VERSION) => short(),
        _ => short()
            .filter(|(_, f)| crate::metadata::is_usable(&f.value))
            .or_else(|| build().filter(|(_, f)| crate::metadata::is_usable(&f.value)))
            .or_else(short),
    }?;
    let value = fact.value.trim();
    usable(value).then(|| (key, value.to_owned()))
}
