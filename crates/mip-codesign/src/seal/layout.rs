//! Where a bundle keeps its parts.

use mip_base::Job;
use mip_plist::Value;

use super::files::{BundleEntry, Files, join};

/// The parts of one bundle, as paths below the outermost one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) kind: Kind,
    /// The folder that sealed paths are below: `Contents`, `Versions/A`, or the bundle itself.
    pub(super) base: String,
    /// `Info.plist`.
    pub(super) info: Option<String>,
    /// The main program.
    pub(super) program: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Everything is in `Contents`: apps, plug-ins, XPC services for macOS.
    Contents,
    /// Everything is in a folder of `Versions`: frameworks for macOS.
    Versioned,
    /// Everything is in the bundle's folder: bundles for iOS, one version of a framework.
    Flat,
}

impl Layout {
    /// The layout of the bundle at `root` (`""`: the outermost).
    pub(super) fn of(files: &Files<'_>, root: &str, job: &Job) -> Self {
        let contents = join(root, "Contents");
        let (kind, base) = if files.is_folder(&contents) {
            (Kind::Contents, contents)
        } else if let Some(version) = current_version(files, root) {
            (Kind::Versioned, version)
        } else {
            (Kind::Flat, root.to_owned())
        };
        let infos = match kind {
            Kind::Contents => ["Info.plist"].as_slice(),
            Kind::Versioned => &["Resources/Info.plist", "Info.plist"],
            Kind::Flat => &["Info.plist", "Resources/Info.plist"],
        };
        let info = infos.iter().find_map(|path| files.file(&join(&base, path)));
        let programs = if kind == Kind::Contents { join(&base, "MacOS") } else { base.clone() };
        let stated = info.as_ref().and_then(|path| executable(files, path, job));
        let name = stated.or_else(|| bundle_name(root));
        let program = name.and_then(|name| files.file(&join(&programs, &name)));
        Self { kind, base, info, program }
    }

    /// The main program as a path below [`base`](Self::base).
    pub(super) fn program_in_base(&self) -> Option<&str> {
        let below = self.program.as_ref()?.strip_prefix(self.base.as_str())?;
        Some(below.strip_prefix('/').unwrap_or(below))
    }
}

/// The folder that `Versions/Current` stands for.
fn current_version(files: &Files<'_>, root: &str) -> Option<String> {
    let versions = join(root, "Versions");
    let current = join(&versions, "Current");
    let folder = match files.get(&current) {
        Some(BundleEntry::Link(target)) => {
            let name = target.strip_prefix("./").unwrap_or(target).trim_end_matches('/');
            if name.contains('/') || matches!(name, "" | "." | "..") {
                return None;
            }
            join(&versions, name)
        }
        // An archive that keeps no links has copies.
        _ => current,
    };
    files.is_folder(&folder).then_some(folder)
}

/// `CFBundleExecutable`.
fn executable(files: &Files<'_>, info: &str, job: &Job) -> Option<String> {
    let bytes = files.list(info, job.limits().plist_bytes).ok()?;
    let list = mip_plist::read(&bytes, job).ok()?;
    let name = list.get("CFBundleExecutable").and_then(Value::as_str)?;
    let one_name = !name.is_empty() && !name.contains('/') && !matches!(name, "." | "..");
    one_name.then(|| name.to_owned())
}

/// The name of a bundle without its extension: what its program is called where nothing says.
fn bundle_name(root: &str) -> Option<String> {
    let mut parts: Vec<&str> = root.split('/').collect();
    // One version of a framework.
    if let [.., framework, "Versions", _] = parts.as_slice() {
        parts = vec![framework];
    }
    let name = parts.pop()?;
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    (!stem.is_empty()).then(|| stem.to_owned())
}
