//! Code signatures of the apps inside the payloads of a package.
//!
//! A payload can only be read from its start. What is in its apps is copied to where it can be
//! read at positions, and then they are checked as any other app.

use std::sync::atomic::{AtomicU64, Ordering};

use mip_base::{CONTAINER_STEP, EntryPath, Job, Result};
use mip_codesign::Check;
use mip_xar::{Xar, XarFile};

use super::Checks;
use super::app::{app_with, is_tolerable, not_checked};
use super::spooled::{SpooledTree, Wanted};
use crate::inspection::AppInfo;
use crate::package::FlatPackage;
use crate::package::payload::Archive;

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
    if !checks.wanted() {
        return Ok(());
    }
    for (place, xar, file) in package.payloads() {
        let inside = |app: &&mut AppInfo| !app.nested && is_in(app, &place);
        let mut mine: Vec<&mut AppInfo> = apps.iter_mut().filter(inside).collect();
        if mine.is_empty() {
            continue;
        }
        match payload(xar, file, &mut mine, checks, job) {
            Ok(()) => {}
            Err(e) if is_tolerable(&e) => {
                let why = format!("the payload cannot be read ({}: {e})", e.code().text());
                for app in mine {
                    app.signature.get_or_insert_with(|| not_checked(why.clone()));
                }
            }
            Err(e) => return Err(e.within(place)),
        }
    }
    Ok(())
}

/// Whether an app is one of the payload at `place`: in it, or what the payload itself is.
fn is_in(app: &AppInfo, place: &str) -> bool {
    app.place.strip_prefix(place).is_some_and(|r| r.is_empty() || r.starts_with(CONTAINER_STEP))
}

fn payload(
    xar: &Xar,
    file: &XarFile,
    apps: &mut [&mut AppInfo],
    checks: &Checks,
    job: &Job,
) -> Result<()> {
    let stored = file.data.as_ref().map_or(0, |d| d.length);
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
    let mut archive = Archive::open(xar.open_file(file, job)?, job)?;
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
