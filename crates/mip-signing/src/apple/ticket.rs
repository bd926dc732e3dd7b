//! Notarization tickets.

use mip_base::Limits;

use super::{ClaimState, SignerClaim};

/// A stapled notarization ticket.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Ticket {
    /// [`ClaimState::Valid`]: Apple signed the list of digests.
    pub state: ClaimState,
    /// Why, where it is not valid. Escaped.
    pub problem: Option<String>,
    /// What is notarized: the first 20 bytes of each digest (of a package's TOC, of a code directory).
    pub digests: Vec<Vec<u8>>,
    /// When Apple made the ticket, Unix seconds.
    pub time: Option<u64>,
    /// Who signed.
    pub signer: Option<SignerClaim>,
}

/// Reads a ticket (`s8ch…`) and checks its signature.
#[must_use]
pub fn read_ticket(_blob: &[u8], _at: u64, _limits: &Limits) -> Ticket {
    Ticket { state: ClaimState::Unsupported, ..Ticket::default() }
}
