//! Every file of a bundle against its seal.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use mip_base::{Result, escape};
use unicode_normalization::{UnicodeNormalization, is_nfc};

use super::compare::Compared;
use super::files::{BundleEntry, join};
use super::layout::Layout;
use super::resources::{Entry, Resources, Sealed};
use super::{Found, Run};
use crate::ClaimState;
use crate::claims::{CodeSignature, FindingKind, SealCheck};
use crate::requirement;

/// The check of one seal.
pub(super) struct Seal<'s> {
    layout: &'s Layout,
    resources: &'s Resources,
    /// Sealed paths that were not met yet.
    left: BTreeSet<&'s str>,
    /// Sealed paths by their composed form, where that is another.
    composed: BTreeMap<String, &'s str>,
    out: SealCheck,
    /// Files that the budget did not allow for, and the first of them.
    skipped: u64,
    skipped_bytes: u64,
    first_skipped: Option<String>,
    /// The worst of the code inside.
    inside: ClaimState,
    broken: bool,
    /// The check ended before all files were looked at.
    ended: bool,
}

/// What to do with a folder.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Folder {
    Enter,
    /// Not part of the seal, or code that is one thing.
    PassOver,
}

impl<'s> Seal<'s> {
    pub(super) fn new(layout: &'s Layout, resources: &'s Resources) -> Self {
        let left: BTreeSet<&str> = resources.files.keys().map(String::as_str).collect();
        let other = |p: &&&str| !is_nfc(p);
        let composed = left.iter().filter(other).map(|p| (p.nfc().collect(), *p)).collect();
        Self {
            layout,
            resources,
            left,
            composed,
            out: SealCheck::default(),
            skipped: 0,
            skipped_bytes: 0,
            first_skipped: None,
            inside: ClaimState::Valid,
            broken: false,
            ended: false,
        }
    }

    /// What became of the seal, and the worst of the code inside.
    pub(super) fn check(
        mut self,
        run: &mut Run<'_>,
        depth: u32,
    ) -> Result<(SealCheck, ClaimState)> {
        self.out.version = self.resources.version;
        self.out.weak_rules.clone_from(&self.resources.rules.weak);
        let files =
            self.resources.files.values().filter(|e| !matches!(e.what, Sealed::Code { .. }));
        self.out.sealed = mip_base::len64(files.count());
        let mut folders: HashMap<&str, Folder> = HashMap::new();
        let all = run.files;
        for (path, entry) in all.below(&self.layout.base) {
            run.check.job.check()?;
            run.looks = run.looks.saturating_sub(1);
            if run.looks == 0 {
                self.ended = true;
                break;
            }
            let above = path.match_indices('/').filter_map(|(i, _)| path.get(..i));
            let own = (*entry == BundleEntry::Folder).then_some(path);
            let mut over = false;
            for folder in above.chain(own) {
                let known = folders.get(folder).copied();
                let what = match known {
                    Some(what) => what,
                    None => {
                        let what = self.folder(run, folder, depth)?;
                        folders.insert(folder, what);
                        what
                    }
                };
                if what == Folder::PassOver {
                    over = true;
                    break;
                }
            }
            if over || own.is_some() || self.excluded(path) {
                continue;
            }
            let rule = self.resources.rules.find(path);
            if rule.is_some_and(|r| !r.omit) {
                self.visit(run, path, entry, depth)?;
            }
        }
        if self.ended {
            run.report.say_once(
                "bundles in bundles seal the same files too many times: not all were looked at"
                    .to_owned(),
            );
        } else {
            self.missing(run);
        }
        self.out.state = match () {
            () if self.broken => ClaimState::Invalid,
            () if self.skipped > 0 || self.ended => ClaimState::NotChecked,
            () => ClaimState::Valid,
        };
        if let Some(first) = &self.first_skipped {
            let text = format!(
                "{} sealed files ({} bytes) were not compared, the first is {first}",
                self.skipped, self.skipped_bytes
            );
            run.report.say(text);
        }
        Ok((self.out, self.inside))
    }

    /// What the kind of bundle leaves out, whatever the rules say: the seal itself, a ticket that
    /// is stapled, the receipt of the App Store, the main program.
    fn excluded(&self, path: &str) -> bool {
        matches!(path, "_CodeSignature" | "CodeResources" | "_MASReceipt")
            || self.layout.program_in_base() == Some(path)
    }

    /// A folder with a dot in its name, where rules say that code is, is code.
    fn folder(&mut self, run: &mut Run<'_>, path: &str, depth: u32) -> Result<Folder> {
        if self.excluded(path) {
            return Ok(Folder::PassOver);
        }
        let name = path.rsplit('/').next().unwrap_or(path);
        let nested = self.resources.rules.find(path).is_some_and(|r| r.nested);
        if nested && name.contains('.') {
            self.visit(run, path, &BundleEntry::Folder, depth)?;
            return Ok(Folder::PassOver);
        }
        Ok(Folder::Enter)
    }

    /// What is sealed at `path`. Names on HFS+ are decomposed; an archive or another volume may
    /// have them composed.
    fn sealed(&self, path: &str) -> Option<(&'s str, &'s Entry)> {
        let find = |p: &str| self.resources.files.get_key_value(p);
        let found = find(path)
            .or_else(|| if is_nfc(path) { None } else { find(&path.nfc().collect::<String>()) })
            .or_else(|| {
                let form: String = path.nfc().collect();
                self.composed.get(&form).and_then(|p| find(p))
            });
        found.map(|(p, e)| (p.as_str(), e))
    }

    /// A file, link or nested bundle that the seal is about.
    fn visit(
        &mut self,
        run: &mut Run<'_>,
        path: &str,
        entry: &BundleEntry,
        depth: u32,
    ) -> Result<()> {
        let full = join(&self.layout.base, path);
        let Some((key, sealed)) = self.sealed(path) else {
            // The first version of seals passes links over.
            if self.resources.version > 1 || !matches!(entry, BundleEntry::Link(_)) {
                self.wrong(run, FindingKind::Added, &full, "is not sealed");
            }
            return Ok(());
        };
        self.left.remove(key);
        match (&sealed.what, entry) {
            (Sealed::File(digests), BundleEntry::File { size }) => {
                match run.compare(&full, *size, digests)? {
                    Compared::Same(bytes) => {
                        self.out.checked = self.out.checked.saturating_add(1);
                        self.out.bytes = self.out.bytes.saturating_add(bytes);
                    }
                    Compared::Other => {
                        self.out.checked = self.out.checked.saturating_add(1);
                        self.wrong(run, FindingKind::Altered, &full, "is not what was sealed");
                    }
                    Compared::NotRead => {
                        self.skipped = self.skipped.saturating_add(1);
                        self.skipped_bytes = self.skipped_bytes.saturating_add(*size);
                        self.first_skipped.get_or_insert_with(|| escape(&full));
                    }
                }
            }
            (Sealed::Link(target), BundleEntry::Link(now)) if target == now => {
                self.out.checked = self.out.checked.saturating_add(1);
            }
            (Sealed::Link(target), BundleEntry::Link(now)) => {
                let detail =
                    format!("is a link to {} and was one to {}", escape(now), escape(target));
                self.wrong(run, FindingKind::Altered, &full, &detail);
            }
            (
                Sealed::Code { cdhash, requirement },
                BundleEntry::File { .. } | BundleEntry::Folder,
            ) => {
                let found = match entry {
                    BundleEntry::Folder => {
                        run.bundle(&full, depth.saturating_add(1), Some(requirement))?
                    }
                    _ if run.allowed(&full, depth.saturating_add(1)) => {
                        run.program(&full, false, &crate::check::Special::default())?
                    }
                    _ => Found { state: ClaimState::NotChecked, ..Found::default() },
                };
                self.code(run, &full, &found, cdhash.as_deref(), requirement);
            }
            (was, now) => {
                let was = match was {
                    Sealed::File(_) => "a file",
                    Sealed::Link(_) => "a link",
                    Sealed::Code { .. } => "code",
                };
                let now = match now {
                    BundleEntry::File { .. } => "a file",
                    BundleEntry::Link(_) => "a link",
                    BundleEntry::Folder => "a folder",
                };
                let detail = format!("is {now} and was {was} when it was sealed");
                self.wrong(run, FindingKind::Altered, &full, &detail);
            }
        }
        Ok(())
    }

    /// Code inside: it must be what was sealed, or meet the requirement that was.
    fn code(
        &mut self,
        run: &mut Run<'_>,
        path: &str,
        found: &Found,
        cdhash: Option<&str>,
        requirement: &str,
    ) {
        let pins = requirement::pins(requirement);
        let pins: Vec<&str> = cdhash.into_iter().chain(pins.iter().map(String::as_str)).collect();
        // A seal names the CDHash of one slice; the others must meet the requirement.
        let is_pinned = |s: &&CodeSignature| {
            let mut all = s.code_directories.iter();
            all.any(|d| pins.iter().any(|p| d.cdhash.eq_ignore_ascii_case(p)))
        };
        let others: Vec<CodeSignature> =
            found.slices.iter().filter(|s| !is_pinned(s)).cloned().collect();
        let same = others.is_empty() && !found.slices.is_empty();
        let weak = !found.seal.weak_rules.is_empty();
        let state = match found.state {
            ClaimState::Unsigned => {
                self.wrong(run, FindingKind::Code, path, "is not signed");
                ClaimState::Invalid
            }
            // The signature around it vouches for the very code, whoever signed that.
            ClaimState::AdHoc | ClaimState::Untrusted if same && !weak => ClaimState::Valid,
            state if same || state <= ClaimState::NotChecked && found.slices.is_empty() => state,
            // What does not hold by itself is not what was sealed either.
            state => match requirement::is_met(requirement, &others)
                .or((state == ClaimState::Invalid).then_some(false))
            {
                Some(true) => state,
                Some(false) => {
                    self.wrong(run, FindingKind::Code, path, "is not the code that was sealed");
                    ClaimState::Invalid
                }
                None => {
                    let why = "is not the very code that was sealed, and it is not known whether it meets";
                    run.report.say(format!("{}: {why} {}", escape(path), escape(requirement)));
                    state.min(ClaimState::NotChecked)
                }
            },
        };
        self.inside = self.inside.min(state);
        let own = if state == ClaimState::Invalid { state } else { found.state };
        run.list(path, found, own);
    }

    /// What was sealed and was not met.
    fn missing(&mut self, run: &mut Run<'_>) {
        for key in std::mem::take(&mut self.left) {
            if self.resources.files.get(key).is_some_and(|e| e.optional) {
                continue;
            }
            let full = join(&self.layout.base, key);
            let detail = match run.files.get(&full) {
                None if !run.files.is_folder(&full) => "was sealed and is not there",
                _ => "was sealed, but is not what the rules take for a sealed file",
            };
            self.wrong(run, FindingKind::Missing, &full, detail);
        }
    }

    fn wrong(&mut self, run: &mut Run<'_>, kind: FindingKind, path: &str, detail: &str) {
        self.broken = true;
        run.report.find(kind, path, detail.to_owned());
    }
}
