//! The check of one embedded signature: of a slice of a program, or of a disk image.

use mip_base::{Code, Error, Job, Result, Source, escape, len64};
use mip_signing::apple::SignatureClaim;

use crate::ClaimState;
use crate::blob::{self, Blob, slot_name};
use crate::check::Check;
use crate::claims::{CodeSignature, PageCheck};
use crate::directory::{ADHOC, CodeDirectory, LINKER_SIGNED, RUNTIME};
use crate::{cms, entitlements, pages, requirement};

/// Most problems of one signature that are listed.
const MAX_PROBLEMS: usize = 40;

/// What is signed.
pub(crate) struct Subject<'a> {
    pub(crate) source: &'a Source,
    /// The architecture of a slice.
    pub(crate) architecture: Option<String>,
    /// The bytes that the code directories count from and end in: absolute offset and bytes.
    pub(crate) range: (u64, u64),
    /// The place of the signature: absolute offset and bytes.
    pub(crate) signature: (u64, u64),
    /// What special slots outside the signature refer to: slot and bytes.
    pub(crate) outside: Vec<(u32, &'a [u8])>,
}

/// A signature that is being checked: the state only gets worse.
pub(crate) struct Verdict {
    pub(crate) out: CodeSignature,
}

impl Verdict {
    /// Notes a problem. `state` is what it makes of the signature.
    pub(crate) fn problem(&mut self, state: ClaimState, why: impl Into<String>) {
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
    let blobs = blob::blobs(&superblob, subject.signature.0)?;
    let directories = directories(&blobs, subject.signature.0, verdict)?;
    let Some(primary) = directories.first() else { return Ok(()) };
    let primary_bytes = primary.bytes;
    // The signature in the CMS is over the first one; macOS uses the one of the best hash.
    let mut best: Vec<CodeDirectory<'_>> = directories.clone();
    best.sort_by_key(|d| d.kind);
    describe(&best, verdict);
    compare_pages(subject, &best, check, verdict)?;
    compare_specials(subject, &blobs, &best, verdict);
    let wrapper = blobs.iter().find(|b| b.slot == blob::SLOT_CMS);
    let claim = wrapper.filter(|b| !b.body().is_empty()).map(|b| {
        if b.magic == blob::WRAPPER {
            cms::check(b.body(), primary_bytes, check)
        } else {
            let why = format!("the CMS signature is a blob {:#010x}", b.magic);
            SignatureClaim::default_with(ClaimState::Invalid, why)
        }
    });
    judge_signer(claim.as_ref(), &best, verdict);
    verdict.out.signature = claim;
    entitlements::read(&blobs, check.job, verdict)?;
    requirement::designated(&blobs, &best, verdict);
    Ok(())
}
