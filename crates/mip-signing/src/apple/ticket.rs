//! Stapled notarization tickets.
//!
//! Apple does not document the format. What follows was observed in ten tickets of 2020 to
//! 2026 (nine behind signed packages, one in an app), and holds for all of them; numbers are
//! little-endian:
//!
//! | at | bytes | |
//! |---|---|---|
//! | 0 | 4 | `s8ch` |
//! | 4 | 4 | version, 1 |
//! | 8 | 4 | size of the certificates, c |
//! | 12 | 4 | size of the list, l |
//! | 16 | c | DER `SEQUENCE` of the certificates, signer first, without the root |
//! | 16 + c | l | the list |
//! | 16 + c + l | 72 | ECDSA signature in DER, zero bytes up to 72 |
//!
//! The list: `g8tk`, version 2 (2 bytes), size of a digest 20 (2 bytes), count (4 bytes), 0
//! (4 bytes), time in Unix seconds (8 bytes), then for each digest its kind (1 byte: 1 SHA-1,
//! 2 SHA-256, the numbers of code directories) and its first 20 bytes. The first is the digest
//! of the package's table of contents; the others are those of code directories.
//!
//! The signature is over everything before it (the header and the certificates too) with
//! SHA-256. That it verifies with `openssl dgst` in all ten is what the coverage was found by.
//! The chain is `Software Ticket Signing` ← `Apple System Integration CA 4` ← Apple Root CA - G3;
//! the marks that it must have and that expiry does not matter are in Apple's
//! `SecPolicyCreateAppleDeveloperIDPlusTicket`.
//!
//! Behind a package there are 16 more bytes after the ticket, `t8lr`, which are not part of it.

use mip_base::Limits;
use mip_base::bytes::{le_u16, le_u32, le_u64};

use super::chain::{self, Check};
use super::digest::{Digest, Holds, holds};
use super::leaf::Purpose;
use super::roots::pinned;
use super::signed_data::{Problem, countable, invalid, judged, unsupported, within};
use super::{ClaimState, SignerClaim};
use crate::asn1::{self, Reader};
use crate::certificate::Certificate;

const HEADER: usize = 16;
const LIST_HEADER: usize = 24;
/// Bytes of each digest in a ticket.
const SHORT: usize = 20;

/// A stapled notarization ticket.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Ticket {
    /// [`ClaimState::Valid`]: Apple signed the list of digests. Whether what it is stapled to
    /// is among them is another question: [`Ticket::names`].
    pub state: ClaimState,
    /// Why, where it is not valid. Escaped.
    pub problem: Option<String>,
    /// What is notarized: the first 20 bytes of each digest (of a package's table of contents,
    /// of a code directory).
    pub digests: Vec<Vec<u8>>,
    /// When Apple made the ticket, Unix seconds.
    pub time: Option<u64>,
    /// Who signed.
    pub signer: Option<SignerClaim>,
}

impl Ticket {
    /// Whether the ticket names what has the digest `digest` (SHA-1, or SHA-256 and its
    /// relatives, which tickets shorten to 20 bytes).
    #[must_use]
    pub fn names(&self, digest: &[u8]) -> bool {
        digest.get(..SHORT).is_some_and(|short| self.digests.iter().any(|d| d == short))
    }
}

/// Reads a ticket and checks its signature. `blob` begins with `s8ch` and has nothing behind
/// the ticket but zero bytes. `at` is the present, in Unix seconds.
///
/// A bad ticket is a claim with a problem, never an error. Limits: `cms_bytes`, `certificates`
/// (more: [`ClaimState::Unsupported`]).
#[must_use]
pub fn read_ticket(blob: &[u8], at: u64, limits: &Limits) -> Ticket {
    check(blob, &mut Check::new(at, limits, pinned()))
}

pub(super) fn check(blob: &[u8], check: &mut Check<'_>) -> Ticket {
    let mut ticket = Ticket::default();
    let result = fill(&mut ticket, blob, check);
    (ticket.state, ticket.problem) = judged(result);
    ticket
}

fn fill(
    ticket: &mut Ticket,
    blob: &[u8],
    check: &mut Check<'_>,
) -> Result<Option<String>, Problem> {
    within(blob.len(), check.limits)?;
    let cut = || invalid("the ticket ends too early");
    if !blob.starts_with(b"s8ch") {
        return Err(unsupported("this is not a ticket"));
    }
    let version = le_u32(blob, 4).ok_or_else(cut)?;
    if version != 1 {
        return Err(unsupported(format!("a ticket of version {version}")));
    }
    let size = |at| le_u32(blob, at).and_then(|n| usize::try_from(n).ok()).ok_or_else(cut);
    let (certificates, list) = (size(8)?, size(12)?);
    let rest = blob.get(HEADER..).ok_or_else(cut)?;
    let (certificates, rest) = rest.split_at_checked(certificates).ok_or_else(cut)?;
    let (list, tail) = rest.split_at_checked(list).ok_or_else(cut)?;
    read_list(ticket, list)?;

    let signed_size = blob.len().saturating_sub(tail.len());
    let signed = blob.get(..signed_size).unwrap_or_default();
    let mut tail = Reader::new(tail);
    let signature = tail.element(asn1::SEQUENCE).ok_or_else(|| invalid("there is no signature"))?;
    let padding = blob.get(signed_size.saturating_add(signature.raw.len())..);
    if padding.unwrap_or_default().iter().any(|b| *b != 0) {
        return Err(invalid("there are bytes after the ticket"));
    }
    let bag = read_certificates(certificates, check.limits)?;
    let (leaf, bag) = bag.split_first().ok_or_else(|| invalid("there is no certificate"))?;
    let signer = chain::signer(leaf, bag, Purpose::Ticket, None, check);
    let untrusted = signer.problem.clone();
    ticket.signer = Some(signer);
    let digest = Digest::Sha256;
    match holds(&leaf.key, digest, &digest.of(signed), signature.raw) {
        Holds::Yes => Ok(untrusted),
        Holds::No => Err(invalid("the ticket is not what was signed")),
        Holds::Unsupported(what) => Err(unsupported(format!("it uses {what}"))),
    }
}

fn read_list(ticket: &mut Ticket, list: &[u8]) -> Result<(), Problem> {
    let cut = || invalid("the list of the ticket ends too early");
    if !list.starts_with(b"g8tk") {
        return Err(unsupported("the list of the ticket is of another kind"));
    }
    let version = le_u16(list, 4).ok_or_else(cut)?;
    let size = le_u16(list, 6).ok_or_else(cut)?;
    if (version, usize::from(size)) != (2, SHORT) {
        return Err(unsupported(format!(
            "the list of the ticket has version {version} and digests of {size} bytes"
        )));
    }
    let count = le_u32(list, 8).ok_or_else(cut)?;
    let time = le_u64(list, 16).ok_or_else(cut)?;
    let entries = list.get(LIST_HEADER..).ok_or_else(cut)?.chunks_exact(SHORT.saturating_add(1));
    if u32::try_from(entries.len()) != Ok(count) || !entries.remainder().is_empty() {
        return Err(invalid(format!("the list of the ticket does not hold {count} digests")));
    }
    ticket.time = Some(time);
    ticket.digests = entries.filter_map(|e| e.get(1..)).map(<[u8]>::to_vec).collect();
    Ok(())
}

fn read_certificates(der: &[u8], limits: &Limits) -> Result<Vec<Certificate>, Problem> {
    let bad = || invalid("the certificates of the ticket break their format");
    let mut r = asn1::whole(der, asn1::SEQUENCE).ok_or_else(bad)?;
    let mut out = Vec::new();
    let mut count = 0u64;
    while !r.is_empty() {
        count = count.saturating_add(1);
        countable(count, limits)?;
        let raw = r.element(asn1::SEQUENCE).ok_or_else(bad)?.raw;
        out.push(Certificate::parse(raw).map_err(|why| {
            invalid(format!("a certificate of the ticket cannot be read: {why}"))
        })?);
    }
    Ok(out)
}
