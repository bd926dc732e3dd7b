//! An app bundle in a tree, with the apps inside it.

use std::collections::BTreeMap;

use mip_base::{CONTAINER_STEP, EntryKind, Job, Result, escape};

use super::Place;
use crate::app::names::{MAX_LANGUAGES, NameFile};
use crate::app::{self, AppBundle, AppFacts, Layout, MAX_APPS};
use crate::icon::{self, IconFile};
use crate::inspection::{Fact, InstallerKind, Warning};
use crate::metadata::{app_info, rules};
use crate::package::PackageFindings;
use crate::package::payload::is_fatal;
use crate::tree::Tree;
use crate::trust::{self, Checks};

/// An app bundle and the apps inside it. `strict` says that this is what will be carried: it
/// must be readable and for macOS then.
pub(super) fn examine_app(
    tree: &dyn Tree,
    main: &AppBundle,
    apps: &[AppBundle],
    place: Place<'_>,
    strict: bool,
    checks: &Checks,
    job: &Job,
) -> Result<PackageFindings> {
    let mut out = PackageFindings { kind: InstallerKind::App, ..PackageFindings::default() };
    let at = |path: &str| format!("{}{CONTAINER_STEP}{}", place.shown, escape(path));
    let place_of =
        |a: &AppBundle| a.root.as_ref().map_or_else(|| place.shown.to_owned(), |r| at(r.as_str()));
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
        if is_main {
            let found = IconFiles { tree, bundle, facts: &facts, place: place.shown };
            out.icons.extend(found.read(out.apps.len(), &mut out.notes, job)?);
            app.icon = out.icons.iter().find_map(IconFile::stated);
            app.localized_names = localized_names(tree, bundle, &mut out.notes, job)?;
        }
        if is_main {
            trust::app(tree, bundle.root.as_ref(), &mut app, checks, job)?;
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

pub(super) fn many_apps() -> Warning {
    let text = format!("more than {MAX_APPS} apps; the others are not looked at");
    Warning::new("W_MANY_APPS", text)
}

/// Whether a bundle stands where an `.ipa` has it: `Payload/X.app`. Such a file is for the
/// devices that it was built for, whatever else it says.
fn in_ipa(bundle: &AppBundle) -> bool {
    let Some(root) = &bundle.root else { return false };
    root.parent().is_some_and(|p| p.as_str() == "Payload")
}

/// Where the icon of an app may be in a tree.
struct IconFiles<'a> {
    tree: &'a dyn Tree,
    bundle: &'a AppBundle,
    facts: &'a AppFacts,
    place: &'a str,
}

impl IconFiles<'_> {
    /// The icon file that the app names, and its asset catalog unless the first is enough.
    fn read(&self, app: usize, notes: &mut Vec<String>, job: &Job) -> Result<Vec<IconFile>> {
        let mut out: Vec<IconFile> = Vec::new();
        let mut names = icon::icon_files(self.facts);
        names.push(icon::CATALOG.to_owned());
        for name in names {
            if out.iter().any(IconFile::is_enough) {
                break;
            }
            let path = format!("{}{name}", resources(self.bundle));
            let Some(index) = self.tree.find(&path) else { continue };
            let Some(entry) = self.tree.entries().get(index) else { continue };
            let limit = job.limits().small_file;
            if entry.kind == EntryKind::File && entry.size <= limit {
                let data = self.tree.read(index, limit, job)?;
                out.push(IconFile::new(app, self.place, &path, data, self.facts));
            } else if entry.kind == EntryKind::File {
                let (path, size) = (escape(&path), entry.size);
                notes.push(format!(
                    "{path}: not searched for an icon: it has {size} bytes, the limit is {limit}"
                ));
            }
        }
        Ok(out)
    }
}

/// The folder of an app's resources, with a `/` at its end.
fn resources(bundle: &AppBundle) -> String {
    let folder = match &bundle.info_plist {
        Some((Layout::Contents, _)) => "Contents/Resources/",
        _ => "",
    };
    bundle.root.as_ref().map_or_else(|| folder.to_owned(), |root| format!("{root}/{folder}"))
}

/// The names of an app by language. What cannot be read is a note.
fn localized_names(
    tree: &dyn Tree,
    bundle: &AppBundle,
    notes: &mut Vec<String>,
    job: &Job,
) -> Result<BTreeMap<String, String>> {
    let folder = resources(bundle);
    let mut names = BTreeMap::new();
    let mut left = MAX_LANGUAGES;
    for (index, entry) in tree.listing().below(bundle.root.as_ref()) {
        let path = entry.path.as_str();
        let file = path.strip_prefix(&folder).and_then(NameFile::of);
        let Some(file) = file.filter(|_| entry.kind == EntryKind::File && left > 0) else {
            continue;
        };
        job.check()?;
        left = left.saturating_sub(1);
        let read = tree
            .read(index, NameFile::limit(job), job)
            .and_then(|data| file.read(&data, &mut names, job));
        match read {
            Err(e) if is_fatal(&e) => return Err(e),
            Err(e) => notes.push(format!("{}: the names are not used: {e}", escape(path))),
            Ok(()) => {}
        }
    }
    Ok(names)
}
