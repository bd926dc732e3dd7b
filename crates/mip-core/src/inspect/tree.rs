//! An installer inside a folder, a zip, a tar or the volumes of a disk image.

use std::sync::Arc;

use mip_base::{CONTAINER_STEP, Code, EntryPath, Error, Result, Source, escape};

use super::app::{examine_app, many_apps};
use super::candidates::{Candidate, candidates, list};
use super::{
    Context, Examined, InspectOptions, Place, Subject, conclude, examine_file, examine_flat, image,
    within_once,
};
use crate::app::{self, AppBundle, MAX_APPS, has_extension};
use crate::inspection::{ContainerFormat, InputFormat, InputInfo, Inspection, Warning};
use crate::package::bundle::{self, BundlePackage};
use crate::probe::{Format, probe};
use crate::tree::{Tree, positioned};
use crate::trust;

pub(super) fn examine(
    place: Place<'_>,
    tree: Arc<dyn Tree>,
    info: InputInfo,
    context: Context<'_>,
) -> Result<Examined> {
    let (all, apps) = candidates(tree.as_ref(), place.name, context.job)?;
    let (options, mut group) = match select(all, context.options)? {
        Selected::One(one, options) => (options, vec![one]),
        Selected::Open(all) => (context.options.clone(), without_foreign_images(all)),
    };
    let context = Context { options: &options, ..context };
    by_identifier(tree.as_ref(), &mut group, context);
    let mut examined = match group.pop() {
        None => return Err(nothing(tree.as_ref())),
        Some(one) if group.is_empty() => {
            examine_one(place, tree.clone(), one, &apps, info, context)?
        }
        Some(last) => {
            group.push(last);
            return several(place, tree.as_ref(), &group, &apps, info, context);
        }
    };
    let dropped = tree.listing().dropped().total();
    if dropped > 0 {
        examined.inspection.notes.push(format!(
            "{dropped} entries that macOS archivers add (AppleDouble, .DS_Store, extended attributes) were left out"
        ));
    }
    Ok(examined)
}

/// What the caller chose.
pub(super) enum Selected {
    /// One candidate, and what is left to choose inside it.
    One(Candidate, InspectOptions),
    /// Nothing was chosen here.
    Open(Vec<Candidate>),
}

/// Follows the caller's choice one step.
pub(super) fn select(mut all: Vec<Candidate>, options: &InspectOptions) -> Result<Selected> {
    let Some(wanted) = &options.select else { return Ok(Selected::Open(all)) };
    let (step, rest) = match wanted.split_once(CONTAINER_STEP) {
        Some((step, rest)) => (step, Some(rest.to_owned()).filter(|r| !r.is_empty())),
        None => (wanted.as_str(), None),
    };
    let step = step.trim_matches('/');
    let inner = |select| InspectOptions { select, ..options.clone() };
    if let Some(at) = all.iter().position(|c| c.path() == step) {
        return Ok(Selected::One(all.swap_remove(at), inner(rest)));
    }
    // An archive of nothing but an image: the choice is one inside that.
    if let [one] = all.as_slice()
        && one.is_image()
        && let Some(one) = all.pop()
    {
        return Ok(Selected::One(one, options.clone()));
    }
    let have = if all.is_empty() { "there is none".to_owned() } else { list(&all) };
    Err(Error::new(Code::Usage, format!("no installer \"{}\"", escape(wanted)))
        .hint(format!("choose one with --select: {have}")))
}

/// Images that need not be a Mac's count only where there is nothing else.
fn without_foreign_images(mut all: Vec<Candidate>) -> Vec<Candidate> {
    let foreign = |c: &Candidate| matches!(c, Candidate::Image(_, p) if has_extension(p.as_str(), &["cdr", "img", "iso", "toast"]));
    if !all.iter().all(foreign) {
        all.retain(|c| !foreign(c));
    }
    all
}

/// An app that is named by its identifier is a choice too. Two apps of one identifier are still
/// two.
pub(super) fn by_identifier(tree: &dyn Tree, group: &mut Vec<Candidate>, context: Context<'_>) {
    let options = context.options;
    let (Some(wanted), None, 2..) = (&options.primary_app, &options.select, group.len()) else {
        return;
    };
    let named = |c: &Candidate| match c {
        Candidate::App(bundle) => app::read_facts(tree, bundle, context.job)
            .is_ok_and(|f| f.bundle_id.as_ref() == Some(wanted)),
        _ => false,
    };
    let hits: Vec<usize> =
        group.iter().enumerate().filter(|(_, c)| named(c)).map(|(i, _)| i).collect();
    if let [only] = hits.as_slice() {
        let one = group.swap_remove(*only);
        *group = vec![one];
    }
}

/// The one installer of a tree.
pub(super) fn examine_one(
    place: Place<'_>,
    tree: Arc<dyn Tree>,
    one: Candidate,
    apps: &[AppBundle],
    mut info: InputInfo,
    context: Context<'_>,
) -> Result<Examined> {
    let job = context.job;
    let step = one.path().to_owned();
    let here = match &one {
        // A folder or archive that is the installer itself.
        Candidate::BundlePackage(BundlePackage { root: None, .. })
        | Candidate::App(AppBundle { root: None, .. }) => place.shown.to_owned(),
        _ => {
            let shown = escape(&step);
            info.path_in_container = Some(match info.path_in_container {
                Some(outer) => format!("{outer}{CONTAINER_STEP}{shown}"),
                None => shown.clone(),
            });
            format!("{}{CONTAINER_STEP}{shown}", place.shown)
        }
    };
    let within = |e: Error| within_once(e, place.shown, &step);
    let inner = |path: &EntryPath| path.file_name().to_owned();
    match one {
        Candidate::FlatPackage(index, path) => {
            let data = positioned(tree.as_ref(), index, job).map_err(within)?;
            let source: Source = Arc::new(data.clone());
            if probe(&source, job).map_err(within)? != Format::Xar {
                return Err(within(Error::new(Code::XarHeader, "is not a flat package")));
            }
            let place = Place { shown: &here, name: &inner(&path) };
            let context = context.inside().map_err(within)?;
            examine_flat(place, data, info, context).map_err(within)
        }
        Candidate::Image(index, path) => {
            let data = positioned(tree.as_ref(), index, job).map_err(within)?;
            let place = Place { shown: &here, name: &inner(&path) };
            examine_file(place, data, info, context).map_err(within)
        }
        Candidate::SparseBundle(path) => {
            // Bands are read in any order, and a compressed tar only from its start.
            let packed = [ContainerFormat::TarGz, ContainerFormat::TarBz2, ContainerFormat::TarXz];
            if info.container.is_some_and(|c| packed.contains(&c)) {
                let why = "a sparse bundle in a compressed tar file is not read";
                return Err(within(
                    Error::new(Code::Unsupported, why).hint("unpack the tar file first"),
                ));
            }
            let place = Place { shown: &here, name: &inner(&path) };
            let context = context.inside().map_err(within)?;
            image::examine_bundle(place, &tree, Some(&path), info, context).map_err(within)
        }
        Candidate::BundlePackage(package) => {
            info.format = InputFormat::Folder;
            let scan = context.options.payload_scan;
            let mut findings =
                bundle::examine(tree.as_ref(), &package, &here, scan, job).map_err(within)?;
            let apps = &mut findings.apps;
            trust::tree_payload_apps(tree.as_ref(), place.shown, apps, context.checks, job)?;
            let BundlePackage { root, name } = package;
            conclude(info, findings, Subject::Tree { tree, root, bundle: name }, context)
        }
        Candidate::App(app) => {
            info.format = InputFormat::Folder;
            let findings =
                examine_app(tree.as_ref(), &app, apps, place, true, context.checks, job)?;
            let AppBundle { root, name, .. } = app;
            conclude(info, findings, Subject::Tree { tree, root, bundle: name }, context)
        }
    }
}

/// Several installers: everything is shown, nothing is chosen.
pub(super) fn several(
    place: Place<'_>,
    tree: &dyn Tree,
    all: &[Candidate],
    apps: &[AppBundle],
    info: InputInfo,
    context: Context<'_>,
) -> Result<Examined> {
    let mut inspection = Inspection::new(info);
    for candidate in all {
        if inspection.apps.len() >= MAX_APPS {
            inspection.warnings.push(many_apps());
            break;
        }
        if let Candidate::App(bundle) = candidate {
            let found = examine_app(tree, bundle, apps, place, false, context.checks, context.job)?;
            inspection.apps.extend(found.apps);
            inspection.warnings.extend(found.warnings);
        }
    }
    let message = format!("holds {} installers: {}", all.len(), list(all));
    inspection.warnings.push(Warning::new("W_AMBIGUOUS", message.clone()));
    let ambiguity = Error::new(Code::Ambiguous, message).hint("choose one with --select PATH");
    Ok(Examined {
        inspection,
        subject: None,
        icon_png: None,
        ambiguity: Some(ambiguity),
        carrier: None,
    })
}

fn nothing(tree: &dyn Tree) -> Error {
    if tree.entries().iter().any(|e| e.path.as_str().contains(".app\\")) {
        return Error::new(
            Code::NothingToInstall,
            "its names are separated by backslashes, so it holds no folders",
        )
        .hint("some old Windows programs make such files: make it again with another program");
    }
    Error::new(Code::NothingToInstall, "there is no app, no package and no disk image in it")
}
