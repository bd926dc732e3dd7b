//! Code signatures of the apps in a tree, and the tickets that are stapled to them.

use std::collections::BTreeMap;

use mip_base::{Code, EntryKind, EntryPath, Error, Job, Kind, Result, Source, escape};
use mip_codesign::{
    BundleEntry, BundleFiles, BundleSignature, Check, ClaimState, UseFile, check_bundle,
};

use super::ticket::app_ticket;
use super::{Checks, first_few};
use crate::inspection::{AppInfo, TicketInfo, Warning};
use crate::tree::{Tree, positioned};

/// The first bytes of a ticket. Old apps have a link to the seal at its place.
const TICKET: &[u8] = b"s8ch";

/// Fills in the signature of the app whose bundle is at `root` (`None`: the tree itself), and its
/// ticket.
///
/// # Errors
/// [`Code::Cancelled`] and an input that cannot be read; a limit that is reached is said in the
/// claims.
pub(crate) fn app(
    tree: &dyn Tree,
    root: Option<&EntryPath>,
    app: &mut AppInfo,
    checks: &Checks,
    job: &Job,
) -> Result<()> {
    if checks.wanted() { app_with(tree, root, app, &checks.check(job)) } else { Ok(()) }
}

/// As [`app`], with a budget of its own.
pub(super) fn app_with(
    tree: &dyn Tree,
    root: Option<&EntryPath>,
    app: &mut AppInfo,
    check: &Check<'_>,
) -> Result<()> {
    let bundle = TreeBundle { tree, root, job: check.job };
    let signature = match check_bundle(&bundle, check) {
        Ok(found) => found,
        Err(e) if is_tolerable(&e) => {
            not_checked(format!("the check ended early ({}: {e})", e.code().text()))
        }
        Err(e) => return Err(e),
    };
    app.ticket = ticket(&bundle, &signature, &app.place, check)?;
    app.signature = Some(signature);
    Ok(())
}

/// Errors that only say that a signature could not be checked.
pub(super) fn is_tolerable(e: &Error) -> bool {
    use Kind::{Limit, Malformed, Policy, Unsupported};
    matches!(e.kind(), Limit | Malformed | Policy | Unsupported)
}

/// A signature that was not looked at.
pub(super) fn not_checked(why: String) -> BundleSignature {
    let mut none = BundleSignature::default();
    none.state = ClaimState::NotChecked;
    none.not_checked.push(why);
    none
}

fn ticket(
    bundle: &TreeBundle<'_>,
    signature: &BundleSignature,
    place: &str,
    check: &Check<'_>,
) -> Result<Option<TicketInfo>> {
    let Some((index, size)) = bundle.file("Contents/CodeResources") else { return Ok(None) };
    let limits = check.job.limits();
    if size > limits.cms_bytes {
        return Ok(None);
    }
    let bytes = match bundle.tree.read(index, limits.cms_bytes, check.job) {
        Ok(bytes) => bytes,
        Err(e) if is_tolerable(&e) => return Ok(None),
        Err(e) => return Err(e),
    };
    if !bytes.starts_with(TICKET) {
        return Ok(None);
    }
    let mut slices: Vec<Vec<&str>> = Vec::new();
    for slice in &signature.slices {
        slices.push(slice.code_directories.iter().map(|d| d.cdhash.as_str()).collect());
    }
    Ok(Some(app_ticket(&bytes, place, &slices, check)))
}

/// What the signatures of main apps give to say: one warning for all apps of which the same is to be
/// said. None of it depends on the time of the check.
pub(super) fn warnings(apps: &[AppInfo]) -> Vec<Warning> {
    let mut all: BTreeMap<(&'static str, String), Vec<String>> = BTreeMap::new();
    for app in apps.iter().filter(|a| !a.nested) {
        let Some(signature) = &app.signature else { continue };
        let mut say = |code, text| all.entry((code, text)).or_default().push(app.place.clone());
        match signature.state {
            ClaimState::Unsigned => {
                say("W_APP_UNSIGNED", "the app is not signed, or not as a whole".to_owned());
            }
            ClaimState::AdHoc => {
                let text = "the app is signed without a certificate (ad-hoc)".to_owned();
                say("W_APP_ADHOC", text);
            }
            ClaimState::Invalid => {
                let text = format!("the signature of the app does not hold: {}", why(signature));
                say("W_APP_SIGNATURE_INVALID", text);
            }
            ClaimState::Untrusted => {
                let why = why(signature);
                let text = format!("the app is signed, but not by Apple's rules: {why}");
                say("W_APP_SIGNATURE_UNTRUSTED", text);
            }
            _ => {}
        }
        if !signature.seal.weak_rules.is_empty() {
            let rules = signature.seal.weak_rules.join(", ");
            let text = format!("the seal of the app leaves out files by rules of its own: {rules}");
            say("W_APP_SEAL_WEAK", text);
        }
        if let Some(ticket) = app.ticket.as_ref().filter(|t| t.state == ClaimState::Invalid) {
            let why = ticket.problem.as_deref().unwrap_or("no reason is known");
            say("W_TICKET_INVALID", format!("the notarization ticket does not count: {why}"));
        }
    }
    let warning = |((code, text), places): ((_, String), Vec<String>)| {
        Warning::new(code, format!("{}: {text}", first_few(&places, ", ")))
    };
    all.into_iter().map(warning).collect()
}

fn why(signature: &BundleSignature) -> String {
    let findings = signature.findings.iter().map(|f| format!("{}: {}", f.path, f.detail));
    let programs = signature.slices.iter().flat_map(|s| s.problems.iter().cloned());
    let all: Vec<String> =
        findings.chain(programs).chain(signature.not_checked.iter().cloned()).collect();
    if all.is_empty() { "no reason is known".to_owned() } else { first_few(&all, "; ") }
}

/// The files of a bundle in a tree.
struct TreeBundle<'t> {
    tree: &'t dyn Tree,
    root: Option<&'t EntryPath>,
    job: &'t Job,
}

impl TreeBundle<'_> {
    /// The file at `path`, or the one that a hard link there leads to, and its bytes.
    fn file(&self, path: &str) -> Option<(usize, u64)> {
        let full = self.root.map_or_else(|| path.to_owned(), |r| format!("{r}/{path}"));
        self.resolve(self.tree.find(&full)?)
    }

    fn resolve(&self, index: usize) -> Option<(usize, u64)> {
        let entry = self.tree.entries().get(index)?;
        match entry.kind {
            EntryKind::File => Some((index, entry.size)),
            EntryKind::Hardlink => {
                let index = self.tree.find(entry.link.as_deref()?)?;
                let target = self.tree.entries().get(index)?;
                (target.kind == EntryKind::File).then_some((index, target.size))
            }
            _ => None,
        }
    }

    fn need(&self, path: &str) -> Result<usize> {
        self.file(path)
            .map(|(index, _)| index)
            .ok_or_else(|| Error::new(Code::Unsupported, "is not a file").within(escape(path)))
    }
}

impl BundleFiles for TreeBundle<'_> {
    fn entries(&self) -> Result<Vec<(String, BundleEntry)>> {
        let mut out = Vec::new();
        for (index, entry) in self.tree.listing().below(self.root) {
            self.job.check()?;
            let path = match self.root {
                None => entry.path.as_str().to_owned(),
                Some(root) => match entry.path.below(root) {
                    Some(path) => path.as_str().to_owned(),
                    None => continue,
                },
            };
            let what = match entry.kind {
                EntryKind::Directory => BundleEntry::Folder,
                EntryKind::Symlink => {
                    BundleEntry::Link(self.tree.link(index, self.job)?.unwrap_or_default())
                }
                _ => match self.resolve(index) {
                    Some((_, size)) => BundleEntry::File { size },
                    None => continue,
                },
            };
            out.push((path, what));
        }
        Ok(out)
    }

    fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>> {
        self.tree.read(self.need(path)?, limit, self.job)
    }

    fn open(&self, path: &str) -> Result<Source> {
        let section = positioned(self.tree, self.need(path)?, self.job)?;
        Ok(std::sync::Arc::new(section))
    }

    fn stream(&self, path: &str, use_file: &mut UseFile<'_>) -> Result<()> {
        self.tree.stream(self.need(path)?, self.job, use_file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_same_of_many_apps_is_said_once() {
        let app = |place: &str, state| {
            let mut signature = BundleSignature::default();
            signature.state = state;
            AppInfo { place: place.into(), signature: Some(signature), ..AppInfo::default() }
        };
        let mut apps: Vec<AppInfo> = ["A", "B", "C", "D", "E"]
            .iter()
            .map(|p| app(&format!("x.zip//{p}.app"), ClaimState::Unsigned))
            .collect();
        apps.push(app("x.zip//F.app", ClaimState::AdHoc));
        let mut weak = app("x.zip//G.app", ClaimState::Valid);
        weak.signature.as_mut().unwrap().seal.weak_rules.push("^Resources/".into());
        apps.push(weak);
        let found: Vec<_> = warnings(&apps).into_iter().map(|w| (w.code, w.message)).collect();
        let expected = [
            ("W_APP_ADHOC", "x.zip//F.app: the app is signed without a certificate (ad-hoc)"),
            (
                "W_APP_SEAL_WEAK",
                "x.zip//G.app: the seal of the app leaves out files by rules of its own: ^Resources/",
            ),
            (
                "W_APP_UNSIGNED",
                "x.zip//A.app, x.zip//B.app, x.zip//C.app, and 2 more: the app is not signed, or not as a whole",
            ),
        ];
        assert_eq!(found, expected.map(|(c, m)| (c, m.to_owned())));
    }
}
