//! The check of a disk image.

use mip_base::{Result, Source};

use crate::ClaimState;
use crate::check::Check;
use crate::claims::CodeSignature;

/// Checks the code signature of a disk image (UDIF). `signature` is the range of the signature
/// in the file, offset and bytes, as the `koly` trailer says.
///
/// # Errors
/// What reading gives; [`Code::Cancelled`](mip_base::Code::Cancelled) and limits.
pub fn check_image(
    _source: &Source,
    _signature: (u64, u64),
    _check: &Check<'_>,
) -> Result<CodeSignature> {
    Ok(CodeSignature { state: ClaimState::NotChecked, ..CodeSignature::default() })
}
