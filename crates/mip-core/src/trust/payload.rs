//! Code signatures of the apps inside the payloads of a package.
//!
//! A payload can only be read from its start. What is in its apps is copied to where it can be
//! read at positions, and then they are checked as any other app.

use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};

use mip_base::{CONTAINER_STEP, EntryPath, Job, Result, escape};
use mip_codesign::Check;

use super::Checks;
use super::app::{app_with, is_tolerable, not_checked};
use super::spooled::{SpooledTree, Wanted};
use crate::inspection::AppInfo;
use crate::package::FlatPackage;
use crate::package::payload::Archive;
use crate::tree::{Tree, positioned};

/// Fills in the signatures of the main apps that the payloads of a package hold.
///
/// Payloads are read once more for that: up to
/// [`Limits::payload_scan`](mip_base::Limits::payload_scan) bytes as stored, unless everything is
/// to be compared.
///
/// # Errors
/// [`Code::Cancelled`](mip_base::Code::Cancelled), an input that cannot be read, a temporary file
/// that cannot be written.
pub(crate) fn payload_apps(
    package: &FlatPackage,
    apps: &mut [AppInfo],
    checks: &Checks,
    job: &Job,
) -> Result<()> {
    for (place, xar, file) in package.payloads() {
        let stored = file.data.as_ref().map_or(0, |d| d.length);
        let open = || xar.open_file(file, job);
        one(&Payload { place, stored, open: &open }, apps, checks, job)?;
    }
    Ok(())
}

/// As [`payload_apps`], for bundle-style packages in a tree. `shown` is the container path of the
/// tree, escaped.
///
/// # Errors
/// As [`payload_apps`].
pub(crate) fn tree_payload_apps(
    tree: &dyn Tree,
    shown: &str,
    apps: &mut [AppInfo],
    checks: &Checks,
    job: &Job,
) -> Result<()> {
    if apps.iter().all(|a| a.nested) {
        return Ok(());
    }
    for (index, entry) in tree.listing().sorted() {
        job.check()?;
        if !entry.path.file_name().starts_with("Archive.") {
            continue;
        }
        let open = || -> Result<Box<dyn Read + Send>> {
            Ok(Box::new(positioned(tree, index, job)?.reader()))
        };
        // The package may be the tree itself, or be in it.
        let path = escape(entry.path.as_str());
        for place in [format!("{shown}{CONTAINER_STEP}{path}"), format!("{shown}/{path}")] {
            one(&Payload { place, stored: entry.size, open: &open }, apps, checks, job)?;
        }
    }
    Ok(())
}

/// A payload: its container path, its bytes as stored, and how to read it.
struct Payload<'p> {
    place: String,
    stored: u64,
    open: &'p dyn Fn() -> Result<Box<dyn Read + Send>>,
}

/// The main apps of one payload.
fn one(from: &Payload<'_>, apps: &mut [AppInfo], checks: &Checks, job: &Job) -> Result<()> {
    if !checks.wanted() {
        return Ok(());
    }
    let inside = |app: &&mut AppInfo| !app.nested && is_in(app, &from.place);
    let mut mine: Vec<&mut AppInfo> = apps.iter_mut().filter(inside).collect();
    if mine.is_empty() {
        return Ok(());
    }
    match payload(from, &mut mine, checks, job) {
        Ok(()) => Ok(()),
        Err(e) if is_tolerable(&e) => {
            let why = format!("the payload cannot be read ({}: {e})", e.code().text());
            for app in mine {
                app.signature.get_or_insert_with(|| not_checked(why.clone()));
            }
            Ok(())
        }
        Err(e) => Err(e.within(from.place.as_str())),
    }
}

/// Whether an app is one of the payload at `place`: in it, or what the payload itself is.
fn is_in(app: &AppInfo, place: &str) -> bool {
    app.place.strip_prefix(place).is_some_and(|r| r.is_empty() || r.starts_with(CONTAINER_STEP))
}

fn payload(
    from: &Payload<'_>,
    apps: &mut [&mut AppInfo],
    checks: &Checks,
    job: &Job,
) -> Result<()> {
    let stored = from.stored;
    if !checks.full() && stored > job.limits().payload_scan {
        let why = format!("the payload ({stored} bytes) was not read for its apps' signatures");
        for app in apps {
            app.signature = Some(not_checked(why.clone()));
        }
        return Ok(());
    }
    let mut roots = Vec::new();
    for app in apps.iter() {
        roots.push(match app.path.as_str() {
            "." => None,
            path => Some(EntryPath::new(path, job.limits())?),
        });
    }
    let folders: Vec<EntryPath> = roots.iter().flatten().cloned().collect();
    let whole = folders.len() < roots.len();
    let wanted = Wanted {
        folders: if whole { &[] } else { &folders },
        most: checks.budget.load(Ordering::Relaxed),
    };
    let mut archive = Archive::open((from.open)()?, job)?;
    let (tree, all) = SpooledTree::copy(&mut archive, &wanted, job)?;
    drop(archive);
    // Where not everything was kept, programs and certificates are looked at, and no bytes
    // compared.
    let none = AtomicU64::new(0);
    let budget = if all { &checks.budget } else { &none };
    let check = Check { job, at: checks.at, budget };
    for (app, root) in apps.iter_mut().zip(&roots) {
        app_with(&tree, root.as_ref(), app, &check)?;
    }
    Ok(())
}
