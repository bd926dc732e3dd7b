//! The check of one embedded signature: of a slice of a program, or of a disk image.

use std::collections::{BTreeMap, BTreeSet};

use mip_base::{Code, Error, Result, Source, escape, len64};
use mip_signing::apple::{Content, LeafKind, SignatureClaim, check_cms};

use crate::ClaimState;
use crate::blob::{self, Blob, slot_name};
use crate::check::Check;
use crate::claims::{CodeSignature, PageCheck};
use crate::directory::{ADHOC, CodeDirectory, LINKER_SIGNED, RUNTIME};
use crate::hash::HashKind;
use crate::{entitlements, pages, requirement};

/// Most problems of one signature that are listed.
const MAX_PROBLEMS: usize = 40;
/// Most special slots that are looked at; a dozen are known.
const MAX_SPECIALS: usize = 256;

/// What is signed.
pub(crate) struct Subject<'a> {
    pub(crate) source: &'a Source,
    /// The architecture of a slice.
    pub(crate) architecture: Option<String>,
    /// The bytes that the code directories count from and end in: absolute offset and bytes.
    pub(crate) range: (u64, u64),
    /// The place of the signature: absolute offset and bytes.
    pub(crate) signature: (u64, u64),
    /// The signature fills its place, without padding.
    pub(crate) exact: bool,
    /// What special slots outside the signature refer to: slot and bytes.
    pub(crate) outside: Vec<(u32, &'a [u8])>,
    /// The one of them that is among the pages, so that it is covered without a slot.
    pub(crate) paged: Option<u32>,
}

/// A signature that is being checked: the state only gets worse.
pub(crate) struct Verdict {
    pub(crate) out: CodeSignature,
}

impl Verdict {
    /// Notes a problem. `state` is what it makes of the signature.
    pub(crate) fn problem(&mut self, state: ClaimState, why: impl Into<String>) {
        self.out.slots.more = true;
        self.worsen(state, why);
    }

    /// Notes a problem with a special slot.
    fn slot_problem(&mut self, slot: u32, why: String) {
        if !matches!(slot, blob::SLOT_INFO | blob::SLOT_RESOURCES) {
            self.out.slots.more = true;
        }
        self.worsen(ClaimState::Invalid, why);
    }

    fn worsen(&mut self, state: ClaimState, why: impl Into<String>) {
        self.out.state = self.out.state.min(state);
        self.note(why);
    }

    /// Notes a problem that does not make the signature worse.
    pub(crate) fn note(&mut self, why: impl Into<String>) {
        if self.out.problems.len() < MAX_PROBLEMS {
            self.out.problems.push(why.into());
        }
    }

    /// Notes what a reader found.
    fn error(&mut self, e: Error) -> Result<()> {
        let state = match e.code() {
            Code::CodeSignature => ClaimState::Invalid,
            Code::Unsupported | Code::LimitMemory => ClaimState::Unsupported,
            _ => return Err(e),
        };
        self.problem(state, e.to_string());
        Ok(())
    }
}

/// Checks one signature.
///
/// # Errors
/// [`Code::InputIo`], [`Code::Cancelled`] and limits; never for a bad signature.
pub(crate) fn check(subject: &Subject<'_>, check: &Check<'_>) -> Result<Verdict> {
    let mut verdict = Verdict {
        out: CodeSignature {
            architecture: subject.architecture.clone(),
            // What is left when nothing below makes it worse.
            state: ClaimState::Valid,
            pages: PageCheck { state: ClaimState::NotChecked, ..PageCheck::default() },
            ..CodeSignature::default()
        },
    };
    if let Err(e) = examine(subject, check, &mut verdict) {
        verdict.error(e)?;
    }
    Ok(verdict)
}

fn examine(subject: &Subject<'_>, check: &Check<'_>, verdict: &mut Verdict) -> Result<()> {
    let superblob = blob::read(subject.source, subject.signature, check.job)?;
    if subject.exact && len64(superblob.len()) != subject.signature.1 {
        let why = format!(
            "a signature of {} bytes in a place of {}",
            superblob.len(),
            subject.signature.1
        );
        verdict.problem(ClaimState::Invalid, why);
    }
    if let Some(at) = blob::stuffing(subject.source, subject.signature, &superblob, check.job)? {
        let why = format!("bytes from {at} on, behind the signature in its place, are not covered");
        verdict.problem(ClaimState::Invalid, why);
    }
    let blobs = blob::blobs(&superblob, subject.signature.0)?;
    let ticket = blobs.iter().find(|b| b.slot == blob::SLOT_TICKET);
    verdict.out.ticket = ticket.map(|b| (b.offset.saturating_add(8), len64(b.body().len())));
    let directories = directories(&blobs, subject.signature.0, verdict)?;
    let primary = directories.first().ok_or_else(|| no_directory(subject.signature.0))?;
    let primary_bytes = primary.bytes;
    // The signature in the CMS is over the first one; macOS uses the one of the best hash.
    let mut best: Vec<CodeDirectory<'_>> = directories.clone();
    best.sort_by_key(|d| d.kind);
    describe(&best, verdict);
    compare_pages(subject, &best, check, verdict)?;
    compare_specials(subject, &blobs, &best, verdict);
    let claim = signer(&blobs, primary_bytes, check);
    judge_signer(claim.as_ref(), &best, verdict);
    verdict.out.signature = claim;
    entitlements::read(&blobs, check.job, verdict)?;
    requirement::designated(&blobs, verdict);
    Ok(())
}

fn no_directory(start: u64) -> Error {
    Error::new(Code::CodeSignature, "the signature has no code directory").at(start)
}

/// The code directories, the first one first.
fn directories<'a>(
    blobs: &[Blob<'a>],
    start: u64,
    verdict: &mut Verdict,
) -> Result<Vec<CodeDirectory<'a>>> {
    let find = |slot| blobs.iter().find(move |b| b.slot == slot);
    let primary = find(blob::SLOT_CODE_DIRECTORY).ok_or_else(|| no_directory(start))?;
    let mut all = vec![CodeDirectory::read(primary)?];
    for other in (blob::ALTERNATES..=blob::ALTERNATES_END).filter_map(find) {
        match CodeDirectory::read(other) {
            Ok(directory) => all.push(directory),
            // A hash of the future is no reason to doubt the others.
            Err(e) if e.code() == Code::Unsupported => verdict.note(e.to_string()),
            Err(e) => return Err(e),
        }
    }
    let mut kinds: Vec<_> = all.iter().map(|d| d.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    if kinds.len() != all.len() {
        verdict.problem(ClaimState::Invalid, "two code directories use the same hash");
    }
    let same =
        |d: &CodeDirectory<'_>| (d.identifier.clone(), d.team_id.clone(), d.flags, d.code_limit);
    if let [first, rest @ ..] = all.as_slice()
        && rest.iter().any(|d| same(d) != same(first))
    {
        let why = "the code directories do not say the same";
        verdict.problem(ClaimState::Invalid, why);
    }
    Ok(all)
}

fn describe(best: &[CodeDirectory<'_>], verdict: &mut Verdict) {
    let Some(first) = best.first() else { return };
    let out = &mut verdict.out;
    out.identifier = Some(first.identifier.clone());
    out.team_id.clone_from(&first.team_id);
    out.flags = first.flag_names();
    out.hardened_runtime = first.flags & RUNTIME != 0;
    out.runtime_version.clone_from(&first.runtime);
    out.code_directories = best.iter().map(CodeDirectory::hash).collect();
    out.pages.bytes = first.code_limit;
}

/// Compares the bytes, and where the covered bytes end with where the signature starts.
fn compare_pages(
    subject: &Subject<'_>,
    best: &[CodeDirectory<'_>],
    check: &Check<'_>,
    verdict: &mut Verdict,
) -> Result<()> {
    let (base, size) = subject.range;
    let before = subject.signature.0.saturating_sub(base).min(size);
    let Some(first) = best.first() else { return Ok(()) };
    if first.code_limit != before {
        let why = format!(
            "the hashes cover {} bytes; there are {before} bytes before the signature",
            first.code_limit
        );
        verdict.problem(ClaimState::Invalid, why);
    }
    let limit = best.iter().map(|d| d.code_limit).max().unwrap_or(0);
    if limit > size {
        verdict.out.pages.state = ClaimState::Invalid;
        return Ok(());
    }
    if !check.spend(limit) {
        verdict.out.state = verdict.out.state.min(ClaimState::NotChecked);
        return Ok(());
    }
    let found = pages::compare(subject.source, base, best, check.job)?;
    let pages = &mut verdict.out.pages;
    pages.state = ClaimState::Valid;
    if let Some(best_found) = found.first() {
        pages.altered = best_found.pages;
        pages.first_altered = best_found.first;
    }
    for (directory, altered) in best.iter().zip(&found) {
        if let Some(at) = altered.first {
            verdict.out.pages.state = ClaimState::Invalid;
            let why = format!(
                "{} of {} pages are not what was signed ({}), the first at byte {at}",
                altered.pages,
                directory.pages,
                directory.kind.name()
            );
            verdict.problem(ClaimState::Invalid, why);
        }
    }
    Ok(())
}

/// Compares what the special slots refer to.
fn compare_specials(
    subject: &Subject<'_>,
    blobs: &[Blob<'_>],
    best: &[CodeDirectory<'_>],
    verdict: &mut Verdict,
) {
    let inside = blobs.iter().filter(|b| (1..blob::ALTERNATES).contains(&b.slot));
    let inside = inside.map(|b| (b.slot, b.bytes));
    let there: BTreeMap<u32, &[u8]> = inside.chain(subject.outside.iter().copied()).collect();
    for (n, directory) in best.iter().enumerate() {
        let named = (1..=directory.specials).filter(|n| directory.special(*n).is_some());
        let slots: BTreeSet<u32> = named.take(MAX_SPECIALS).chain(there.keys().copied()).collect();
        for slot in slots {
            let what = slot_name(slot);
            if n == 0 && directory.special(slot).is_some() {
                verdict.out.slots.sealed.push(slot);
            }
            let mut altered = |why: String| {
                if !verdict.out.slots.altered.contains(&slot) {
                    verdict.out.slots.altered.push(slot);
                }
                verdict.slot_problem(slot, why);
            };
            match (directory.special(slot), there.get(&slot)) {
                (Some(hash), Some(bytes)) if directory.kind.matches(bytes, hash) => {}
                (Some(_), Some(_)) => {
                    altered(format!("{what}: not what was signed ({})", directory.kind.name()));
                }
                (Some(_), None) => {
                    altered(format!("{what}: signed, and not there"));
                }
                (None, Some(_)) if subject.paged == Some(slot) => {}
                // A linker signs the program alone.
                (None, Some(_)) if directory.flags & LINKER_SIGNED != 0 => {
                    verdict.note(format!("{what}: not covered by the linker's signature"));
                }
                (None, Some(_)) => {
                    let why = format!("{what}: there, and not covered by the signature");
                    verdict.slot_problem(slot, why);
                }
                (None, None) => {}
            }
        }
    }
}

/// The CMS signature over the first code directory, where there is one.
fn signer(blobs: &[Blob<'_>], primary: &[u8], check: &Check<'_>) -> Option<SignatureClaim> {
    let wrapper = blobs.iter().find(|b| b.slot == blob::SLOT_CMS)?;
    // codesign -s - leaves an empty one.
    if wrapper.body().is_empty() {
        return None;
    }
    if wrapper.magic != blob::WRAPPER {
        let mut claim = SignatureClaim::default();
        claim.state = ClaimState::Invalid;
        claim.problem = Some(format!("the CMS signature is a blob {:#010x}", wrapper.magic));
        return Some(claim);
    }
    Some(check_cms(wrapper.body(), Content::Bytes(primary), check.at, check.job.limits()))
}

fn judge_signer(claim: Option<&SignatureClaim>, best: &[CodeDirectory<'_>], verdict: &mut Verdict) {
    let Some(first) = best.first() else { return };
    if first.flags & ADHOC != 0 {
        verdict.out.state = verdict.out.state.min(ClaimState::AdHoc);
        if claim.is_some() {
            verdict.note("has a CMS signature that does not count, for it says that it is ad-hoc");
        }
        return;
    }
    let Some(claim) = claim else {
        let why = "has no CMS signature, and does not say that it is ad-hoc";
        return verdict.problem(ClaimState::Invalid, why);
    };
    verdict.out.state = verdict.out.state.min(claim.state);
    verdict.out.slots.more |= claim.state == ClaimState::Invalid;
    if let Some(why) = &claim.problem {
        verdict.note(format!("the CMS signature: {why}"));
    }
    let kind = claim.signer.as_ref().map(|s| s.kind);
    if let Some(LeafKind::DeveloperIdInstaller | LeafKind::MacInstallerDistribution) = kind {
        let why = "the signer's certificate is for packages, not for programs";
        verdict.problem(ClaimState::Untrusted, why);
    }
    // macOS refuses a signature whose timestamp does not hold, or leads to no root of Apple's.
    if let Some(t) = &claim.timestamp
        && matches!(t.state, ClaimState::Invalid | ClaimState::Untrusted)
    {
        let why = t.problem.as_deref().unwrap_or("does not hold");
        verdict.problem(t.state, format!("the timestamp: {why}"));
    }
    if let Some(why) = unvouched(claim, best) {
        verdict.problem(ClaimState::Invalid, why);
    }
    let team = claim.signer.as_ref().and_then(|s| s.team_id.as_deref());
    if let (Some(said), Some(team)) = (&first.team_id, team)
        && said != team
    {
        let (said, team) = (escape(said), escape(team));
        let why = format!("the code directory gives the Team ID {said}, the certificate {team}");
        verdict.problem(ClaimState::Invalid, why);
    }
}

/// The CMS signature is over the first code directory; by attributes it vouches for the digests
/// of all. What it says in either form must fit, and none may have been taken away.
fn unvouched(claim: &SignatureClaim, directories: &[CodeDirectory<'_>]) -> Option<String> {
    let hashes: Vec<_> = directories.iter().map(|d| (d.kind, d.hash())).collect();
    let short: Vec<_> = claim.agility.iter().filter(|(name, _)| name == "cdhash").collect();
    let full: Vec<_> = claim.agility.iter().filter(|(name, _)| name != "cdhash").collect();
    for (what, said) in [("short", &short), ("full", &full)] {
        if said.is_empty() {
            continue;
        }
        for (kind, hash) in &hashes {
            let (name, digest) = match what {
                "short" => ("cdhash", &hash.cdhash),
                _ => (hash.algorithm.as_str(), &hash.digest),
            };
            // A cut SHA-256 has no place in the full form.
            if what == "full" && *kind == HashKind::Sha256Cut {
                continue;
            }
            if !said.iter().any(|(n, d)| n == name && d == digest) {
                let name = kind.name();
                return Some(format!("the signer does not vouch for the {name} code directory"));
            }
        }
        if said.len() > hashes.len() {
            let (said, have) = (said.len(), hashes.len());
            return Some(format!("the signer vouches for {said} code directories, not {have}"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use mip_testkit::macho::{Hash, Signature};

    #[test]
    fn the_signer_vouches_for_all_code_directories_or_for_none() {
        let covered = [7; 5000];
        let form = Signature::default();
        let bytes = [Hash::Sha256, Hash::Sha1].map(|h| form.directory(h, &covered));
        let directories = bytes.each_ref().map(|bytes| {
            let blob = Blob { slot: 0, magic: blob::CODE_DIRECTORY, bytes, offset: 0 };
            CodeDirectory::read(&blob).unwrap()
        });
        let short = |n: usize| ("cdhash".to_owned(), directories[n].hash().cdhash);
        let full = |n: usize| {
            let hash = directories[n].hash();
            (hash.algorithm, hash.digest)
        };
        let judge = |agility: Vec<(String, String)>| {
            let mut claim = SignatureClaim::default();
            claim.agility = agility;
            unvouched(&claim, &directories)
        };
        assert_eq!(judge(vec![]), None);
        assert_eq!(judge(vec![short(1), short(0)]), None);
        assert_eq!(judge(vec![short(1), short(0), full(0), full(1)]), None);
        let sha1 = Some("the signer does not vouch for the sha1 code directory".to_owned());
        let sha256 = Some("the signer does not vouch for the sha256 code directory".to_owned());
        assert_eq!(judge(vec![short(0)]), sha1);
        assert_eq!(judge(vec![short(1)]), sha256);
        assert_eq!(judge(vec![short(0), short(1), full(0)]), sha1);
        let other = ("sha256".to_owned(), full(1).1);
        assert_eq!(judge(vec![other, full(1)]), sha256);
        let more = ("sha384".to_owned(), "00".repeat(48));
        assert_eq!(
            judge(vec![full(0), full(1), more]),
            Some("the signer vouches for 3 code directories, not 2".to_owned())
        );
    }
}
