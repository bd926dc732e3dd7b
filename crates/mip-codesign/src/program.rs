//! The check of a program: every slice of a Mach-O file.

use mip_base::{Result, Source};

use crate::ClaimState;
use crate::check::{Check, Special};
use crate::claims::CodeSignature;
use crate::macho::MachO;

/// Checks the code signature of each slice.
///
/// A bad signature is not an error: it is a [`CodeSignature`] that says so.
///
/// # Errors
/// [`Code::MachO`](mip_base::Code::MachO) when it is not a Mach-O file; what reading gives;
/// [`Code::Cancelled`](mip_base::Code::Cancelled) and limits.
pub fn check_program(
    source: &Source,
    _special: &Special<'_>,
    check: &Check<'_>,
) -> Result<Vec<CodeSignature>> {
    let program = MachO::open(source.clone(), check.job)?;
    Ok(program
        .slices()
        .iter()
        .map(|slice| CodeSignature {
            architecture: Some(slice.architecture.clone()),
            state: match slice.signature {
                None => ClaimState::Unsigned,
                Some(_) => ClaimState::NotChecked,
            },
            ..CodeSignature::default()
        })
        .collect())
}
