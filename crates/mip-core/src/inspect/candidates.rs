//! What in a tree could be the installer.

use std::collections::HashSet;

use mip_base::{Code, EntryKind, EntryPath, Error, Job, Result, escape, len64};

use crate::app::{self, AppBundle, has_extension};
use crate::disk_image::is_bundle;
use crate::package::bundle::{self, BundlePackage};
use crate::tree::Tree;

/// One installer inside a tree.
#[derive(Clone)]
pub(super) enum Candidate {
    FlatPackage(usize, EntryPath),
    BundlePackage(BundlePackage),
    App(AppBundle),
    /// A file that holds a disk image.
    Image(usize, EntryPath),
    /// A folder that is one.
    SparseBundle(EntryPath),
}

impl Candidate {
    pub(super) fn path(&self) -> &str {
        match self {
            Candidate::FlatPackage(_, path)
            | Candidate::Image(_, path)
            | Candidate::SparseBundle(path) => path.as_str(),
            Candidate::BundlePackage(p) => p.root.as_ref().map_or(&p.name, EntryPath::as_str),
            Candidate::App(bundle) => bundle.path(),
        }
    }

    pub(super) fn what(&self) -> &'static str {
        match self {
            Candidate::FlatPackage(..) => "package",
            Candidate::BundlePackage(_) => "bundle-style package",
            Candidate::App(_) => "app",
            Candidate::Image(..) | Candidate::SparseBundle(_) => "disk image",
        }
    }

    /// The folder that it stands in; `None` at the top, or when it is the tree itself.
    pub(super) fn parent(&self) -> Option<EntryPath> {
        match self {
            Candidate::FlatPackage(_, path)
            | Candidate::Image(_, path)
            | Candidate::SparseBundle(path) => path.parent(),
            Candidate::BundlePackage(p) => p.root.as_ref().and_then(EntryPath::parent),
            Candidate::App(bundle) => bundle.root.as_ref().and_then(EntryPath::parent),
        }
    }

    pub(super) fn is_package(&self) -> bool {
        matches!(self, Candidate::FlatPackage(..) | Candidate::BundlePackage(_))
    }

    pub(super) fn is_app(&self) -> bool {
        matches!(self, Candidate::App(_))
    }

    pub(super) fn is_image(&self) -> bool {
        matches!(self, Candidate::Image(..) | Candidate::SparseBundle(_))
    }
}

/// Installers that a tree may hold.
const MAX_INSTALLERS: usize = 20_000;

/// Names of files that hold a disk image.
const IMAGES: &[&str] = &["dmg", "sparseimage", "cdr", "img", "iso", "toast"];

/// The installers of a tree, and all its app bundles.
pub(super) fn candidates(
    tree: &dyn Tree,
    name: &str,
    job: &Job,
) -> Result<(Vec<Candidate>, Vec<AppBundle>)> {
    let bundles = bundle::find_packages(tree, name, job)?;
    let apps = app::find_apps(tree, name, job)?;
    let images = sparse_bundles(tree, job)?;
    let in_package = Folders::of(bundles.iter().map(|p| p.root.as_ref()));
    let in_app = Folders::of(apps.iter().map(|a| a.root.as_ref()));
    let in_image = Folders::of(images.iter().map(Some));
    let whole = |p: &EntryPath| !in_package.hold(p) && !in_app.hold(p) && !in_image.hold(p);
    let mut found = Vec::new();
    for (index, entry) in tree.listing().sorted() {
        let name = entry.path.file_name();
        let (package, image) = (
            has_extension(name, &["pkg", "mpkg"]),
            has_extension(name, IMAGES) || is_packed_image(name),
        );
        if entry.kind != EntryKind::File || !(package || image) || !whole(&entry.path) {
            continue;
        }
        let path = entry.path.clone();
        found.push(match package {
            true => Candidate::FlatPackage(index, path),
            false => Candidate::Image(index, path),
        });
        if found.len() > MAX_INSTALLERS {
            let (limit, count) = (len64(MAX_INSTALLERS), len64(found.len()));
            return Err(Error::limit(Code::LimitEntries, "packages in one input", limit, count)
                .hint(app::FIXED));
        }
    }
    found.extend(
        images
            .iter()
            .filter(|p| !in_package.hold(p) && !in_app.hold(p))
            .cloned()
            .map(Candidate::SparseBundle),
    );
    // What is part of an app or of a package is not an installer of its own.
    let whole = |root: &Option<EntryPath>| {
        root.as_ref().is_none_or(|r| !in_package.hold(r) && !in_image.hold(r))
    };
    let own: Vec<_> = apps.iter().filter(|a| !a.nested && whole(&a.root)).cloned().collect();
    found.extend(bundles.into_iter().map(Candidate::BundlePackage));
    found.extend(own.into_iter().map(Candidate::App));
    Ok((found, apps))
}

/// `Tool.dmg.gz`, `Disk.img.bz2`.
pub(super) fn is_packed_image(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(stem, end)| {
        ["gz", "bz2", "xz"].iter().any(|e| end.eq_ignore_ascii_case(e))
            && has_extension(stem, IMAGES)
    })
}

/// The outermost folders that are sparse bundles.
fn sparse_bundles(tree: &dyn Tree, job: &Job) -> Result<Vec<EntryPath>> {
    let mut found: Vec<EntryPath> = Vec::new();
    for (_, entry) in tree.listing().sorted() {
        job.check()?;
        // Folders are found by the Info.plist in them: an archive need not name them.
        if entry.kind != EntryKind::File || entry.path.file_name() != "Info.plist" {
            continue;
        }
        if let Some(root) =
            entry.path.parent().filter(|p| has_extension(p.as_str(), &["sparsebundle"]))
            && found.last().is_none_or(|f| root.below(f).is_none())
            && is_bundle(tree, Some(&root), job)?
        {
            found.push(root);
        }
    }
    Ok(found)
}

/// Folders that are asked for every entry of a tree whether it lies in one of them.
struct Folders {
    paths: HashSet<String>,
    /// One of them is the tree itself.
    all: bool,
}

impl Folders {
    fn of<'a>(roots: impl Iterator<Item = Option<&'a EntryPath>>) -> Self {
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

/// The candidates, for a message.
pub(super) fn list(all: &[Candidate]) -> String {
    let names: Vec<String> =
        all.iter().take(20).map(|c| format!("{} ({})", escape(c.path()), c.what())).collect();
    let more = all.len().saturating_sub(names.len());
    if more > 0 { format!("{}, and {more} more", names.join(", ")) } else { names.join(", ") }
}
