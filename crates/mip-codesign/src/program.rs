//! The check of a program: every slice of a Mach-O file.

use mip_base::{Code, Job, Result, Source, read_full_at};

use crate::ClaimState;
use crate::blob::{SLOT_INFO, SLOT_RESOURCES};
use crate::check::{Check, Special};
use crate::claims::CodeSignature;
use crate::macho::{MachO, Slice};
use crate::signature::{self, Subject, Verdict};

/// Most bytes beside the slices of a file that are looked at; they are for alignment alone.
const MAX_GAP: u64 = 1 << 20;

/// Checks the code signature of each slice: every page against the hashes of all code
/// directories, the special slots, and the CMS signature.
///
/// A bad signature is not an error: it is a [`CodeSignature`] that says so. When
/// [`Check::budget`] has not enough left for the bytes of a slice, its
/// [`pages`](CodeSignature::pages) are not checked, and its state is
/// [`ClaimState::NotChecked`] at best.
///
/// # Errors
/// [`Code::MachO`] when it is not a Mach-O file, or one whose headers contradict the file;
/// [`Code::InputIo`], [`Code::Cancelled`] and limits.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::AtomicU64;
/// use mip_base::{Job, Source};
/// use mip_codesign::{Check, ClaimState, Special, check_program};
///
/// # fn main() -> mip_base::Result<()> {
/// // A header for arm64 without load commands, so without a signature.
/// let words = [0xfeed_facf_u32, 0x0100_000c, 0, 2, 0, 0, 0, 0];
/// let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
/// let source: Source = Arc::new(bytes);
/// let (job, budget) = (Job::default(), AtomicU64::new(u64::MAX));
/// let check = Check { job: &job, at: 1_800_000_000, budget: &budget };
/// let slices = check_program(&source, &Special::default(), &check)?;
/// assert_eq!(slices[0].state, ClaimState::Unsigned);
/// # Ok(())
/// # }
/// ```
pub fn check_program(
    source: &Source,
    special: &Special<'_>,
    check: &Check<'_>,
) -> Result<Vec<CodeSignature>> {
    let program = MachO::open(source.clone(), check.job)?;
    let stray = stray_bytes(source, program.slices(), check.job)?;
    let mut signatures = Vec::new();
    for slice in program.slices() {
        check.job.check()?;
        let mut verdict = check_slice(source, slice, special, check)?;
        if verdict.out.state != ClaimState::Unsigned
            && let Some(at) = stray
        {
            let why = format!("bytes from {at} on are in no slice and in no signature");
            verdict.problem(ClaimState::Invalid, why);
        }
        signatures.push(verdict.out);
    }
    Ok(signatures)
}

fn check_slice(
    source: &Source,
    slice: &Slice,
    special: &Special<'_>,
    check: &Check<'_>,
) -> Result<Verdict> {
    let Some(place) = slice.signature else {
        return Ok(Verdict {
            out: CodeSignature {
                architecture: Some(slice.architecture.clone()),
                ..CodeSignature::default()
            },
        });
    };
    let embedded = match special.info_plist {
        None => embedded_info(source, slice, check.job)?,
        Some(_) => None,
    };
    let info = special.info_plist.or(embedded.as_deref());
    let outside = [(SLOT_INFO, info), (SLOT_RESOURCES, special.code_resources)];
    let subject = Subject {
        source,
        architecture: Some(slice.architecture.clone()),
        range: (slice.offset, slice.size),
        signature: place,
        exact: false,
        paged: embedded.is_some().then_some(SLOT_INFO),
        outside: outside.into_iter().filter_map(|(slot, bytes)| Some((slot, bytes?))).collect(),
    };
    let mut verdict = signature::check(&subject, check)?;
    let end = slice.offset.saturating_add(slice.size);
    let signed_end = place.0.saturating_add(place.1);
    if signed_end < end {
        let more = end.saturating_sub(signed_end);
        let why = format!("{more} bytes follow the signature, from byte {signed_end} on");
        verdict.problem(ClaimState::Invalid, why);
    }
    match slice.linkedit {
        Some((at, len)) if at.checked_add(len) == Some(end) => {}
        Some(_) => {
            let why = "the last segment, __LINKEDIT, does not end where the program ends";
            verdict.problem(ClaimState::Invalid, why);
        }
        None => verdict.problem(ClaimState::Invalid, "there is no segment __LINKEDIT"),
    }
    Ok(verdict)
}

/// The `Info.plist` in a section of the program; `None` when there is none, or when it is not
/// inside the slice.
fn embedded_info(source: &Source, slice: &Slice, job: &Job) -> Result<Option<Vec<u8>>> {
    let Some((at, len)) = slice.info_plist else { return Ok(None) };
    let end = slice.offset.saturating_add(slice.size);
    if at < slice.offset || at.checked_add(len).is_none_or(|e| e > end) {
        return Ok(None);
    }
    let mut bytes = job.buffer("embedded Info.plist", len, job.limits().plist_bytes)?;
    read_full_at(source, at, &mut bytes, Code::InputIo)?;
    Ok(Some(bytes))
}

/// Where the first byte is that is not zero and in no slice, after the header of a fat file.
fn stray_bytes(source: &Source, slices: &[Slice], job: &Job) -> Result<Option<u64>> {
    let mut ranges: Vec<_> =
        slices.iter().map(|s| (s.offset, s.offset.saturating_add(s.size))).collect();
    ranges.sort_unstable();
    let ends = ranges.iter().map(|(_, end)| *end);
    let starts = ranges.iter().map(|(start, _)| *start).skip(1);
    for (from, to) in ends.zip(starts.chain([source.size()])) {
        let len = to.saturating_sub(from);
        if len == 0 {
            continue;
        }
        if len > MAX_GAP {
            return Ok(Some(from));
        }
        let mut gap = job.buffer("bytes between slices", len, MAX_GAP)?;
        read_full_at(source, from, &mut gap, Code::InputIo)?;
        if let Some(n) = gap.iter().position(|b| *b != 0) {
            return Ok(Some(from.saturating_add(mip_base::len64(n))));
        }
    }
    Ok(None)
}
