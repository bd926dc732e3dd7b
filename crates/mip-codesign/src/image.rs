//! The check of a disk image.
//!
//! What a signature of a UDIF covers: everything before it, as one page or several, and, by the
//! special slot 6, the `koly` trailer with the length of the signature set to zero
//! (`diskimagerep.cpp` of Security). The signature fills the room before the trailer.

use mip_base::{Code, Result, Source, read_full_at};

use crate::ClaimState;
use crate::blob::SLOT_REP_SPECIFIC;
use crate::check::Check;
use crate::claims::CodeSignature;
use crate::signature::{self, Subject};

/// Bytes of the `koly` trailer.
const TRAILER: u64 = 512;
/// Where the length of the signature stands in it, 8 bytes.
const LENGTH_FIELD: std::ops::Range<usize> = 304..312;

/// Checks the code signature of a disk image (UDIF). `signature` is the range of the signature
/// in the file, offset and bytes, as the `koly` trailer at the end of the file says.
///
/// A bad signature is not an error: it is a [`CodeSignature`] that says so. When
/// [`Check::budget`] has not enough left for the image's bytes, its
/// [`pages`](CodeSignature::pages) are not checked.
///
/// # Errors
/// [`Code::InputIo`], [`Code::Cancelled`] and limits; [`Code::DmgTrailer`] for a file that is too
/// short to have a trailer.
///
/// ```no_run
/// use std::path::Path;
/// use std::sync::Arc;
/// use std::sync::atomic::AtomicU64;
/// use mip_base::{FileAt, Job, Source};
/// use mip_codesign::{Check, check_image};
///
/// # fn main() -> mip_base::Result<()> {
/// let source: Source = Arc::new(FileAt::open(Path::new("Example.dmg"))?);
/// let (job, budget) = (Job::default(), AtomicU64::new(u64::MAX));
/// let check = Check { job: &job, at: 1_800_000_000, budget: &budget };
/// let found = check_image(&source, (1_048_576, 9_000), &check)?;
/// assert_eq!(found.identifier.as_deref(), Some("Example-1.0"));
/// # Ok(())
/// # }
/// ```
pub fn check_image(
    source: &Source,
    signature: (u64, u64),
    check: &Check<'_>,
) -> Result<CodeSignature> {
    let end = source.size().saturating_sub(TRAILER);
    let mut trailer = [0_u8; 512];
    read_full_at(source, end, &mut trailer, Code::DmgTrailer)?;
    if let Some(length) = trailer.get_mut(LENGTH_FIELD) {
        length.fill(0);
    }
    let subject = Subject {
        source,
        architecture: None,
        range: (0, signature.0),
        signature,
        exact: true,
        paged: None,
        outside: vec![(SLOT_REP_SPECIFIC, &trailer)],
    };
    let mut verdict = signature::check(&subject, check)?;
    let room = end.checked_sub(signature.0);
    if room != Some(signature.1) {
        let why = format!(
            "the {} bytes of the signature at byte {} do not end at the trailer at byte {end}",
            signature.1, signature.0
        );
        verdict.problem(ClaimState::Invalid, why);
    }
    Ok(verdict.out)
}
