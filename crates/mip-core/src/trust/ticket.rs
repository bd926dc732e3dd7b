//! Notarization tickets that are stapled to things.
//!
//! Apple documents neither form; both were told from the bytes of stapled packages and apps
//! (see `docs/decisions/0011-source-signatures.md`). After the heap of a package stand
//! records that end with 16 bytes, little endian: `t8lr`, version 1 (u16), kind (u16), length of
//! what is before them (u32), zero (u32). Kind 1 has nothing before it and is the first; kind 2
//! is a ticket. An app has its ticket in `Contents/CodeResources`, a disk image in a slot of its
//! code signature.

use mip_base::bytes::{le_u16, le_u32};
use mip_base::{Code, Error, Job, ReadAt as _, Result, Section, hex, len64, read_full_at, unhex};
use mip_codesign::Check;
use mip_signing::apple::{self, ClaimState};

use crate::inspection::TicketInfo;

const RECORD: u64 = 16;
const FIRST: u16 = 1;
const TICKET: u16 = 2;

/// Records behind a package; real ones have two.
const MOST_RECORDS: usize = 16;

/// What stands behind the heap of a package.
pub(super) struct Trailer {
    /// Bytes before the records.
    pub(super) before: u64,
    pub(super) tickets: Vec<Section>,
}

/// Reads the records at the end of `tail`, from the last one back to the first. Anything that
/// is not exactly that form is no record.
pub(super) fn trailer(tail: &Section, job: &Job) -> Result<Trailer> {
    let none = Trailer { before: tail.size(), tickets: Vec::new() };
    let mut end = tail.size();
    let mut tickets = Vec::new();
    for _ in 0..MOST_RECORDS {
        job.check()?;
        let Some(at) = end.checked_sub(RECORD) else { return Ok(none) };
        let mut record = [0; 16];
        read_full_at(tail, at, &mut record, Code::XarTruncated)?;
        let (version, kind) = (le_u16(&record, 4), le_u16(&record, 6));
        let (length, zero) = (le_u32(&record, 8).map(u64::from), le_u32(&record, 12));
        if !record.starts_with(b"t8lr") || version != Some(1) || zero != Some(0) {
            return Ok(none);
        }
        match (kind, length) {
            (Some(FIRST), Some(0)) => return Ok(Trailer { before: at, tickets }),
            (Some(TICKET), Some(length)) => {
                let ticket = at.checked_sub(length).and_then(|from| tail.slice(from, length));
                let Some(ticket) = ticket else { return Ok(none) };
                tickets.push(ticket);
                end = at.saturating_sub(length);
            }
            _ => return Ok(none),
        }
    }
    Ok(none)
}

/// Digests that are listed.
const LISTED: usize = 1000;

/// What a ticket stapled to `place` (escaped) says. `this`: the digests, lower-case hex, by one of
/// which it would name what it is stapled to; none: they are not known.
pub(super) fn read(
    ticket: &Section,
    place: &str,
    this: &[&str],
    check: &Check<'_>,
) -> Result<TicketInfo> {
    let (size, limits) = (ticket.size(), check.job.limits());
    if size > limits.cms_bytes {
        let e = Error::limit(Code::LimitMemory, "bytes of a ticket", limits.cms_bytes, size);
        return Ok(TicketInfo {
            place: place.to_owned(),
            state: ClaimState::Unsupported,
            problem: Some(e.message().to_owned()),
            bytes: size,
            ..TicketInfo::default()
        });
    }
    let mut bytes = check.job.buffer("ticket", size, limits.cms_bytes)?;
    read_full_at(ticket, 0, &mut bytes, Code::Truncated)?;
    let this = if this.is_empty() { Vec::new() } else { vec![this.to_vec()] };
    Ok(of_bytes(&bytes, place, &this, check))
}

/// The ticket of an app: the bytes of its `Contents/CodeResources`. `place`: the app's, escaped;
/// `slices`: the CDHashes of each slice of its main program, lower-case hex. It must name all
/// slices: the others could be anybody's.
pub(super) fn app_ticket(
    bytes: &[u8],
    place: &str,
    slices: &[Vec<&str>],
    check: &Check<'_>,
) -> TicketInfo {
    of_bytes(bytes, place, slices, check)
}

/// `parts`: of each part of what it is stapled to the digests, of which it must name one.
fn of_bytes(bytes: &[u8], place: &str, parts: &[Vec<&str>], check: &Check<'_>) -> TicketInfo {
    let ticket = apple::read_ticket(bytes, check.at, check.job.limits());
    let mut out = TicketInfo {
        place: place.to_owned(),
        state: ticket.state,
        problem: ticket.problem.clone(),
        bytes: len64(bytes.len()),
        ..TicketInfo::default()
    };
    out.names_this = names(&ticket, parts);
    if out.names_this == Some(false) && out.state > ClaimState::Invalid {
        out.state = ClaimState::Invalid;
        out.problem = Some("it was made for something else".to_owned());
    }
    out.digests = ticket.digests.iter().take(LISTED).map(|d| hex(d)).collect();
    out
}

/// Whether each of `parts` has a digest, lower-case hex, that the ticket names. `None`: a ticket
/// that cannot be read names nothing, and what has no digests is not known.
fn names(ticket: &apple::Ticket, parts: &[Vec<&str>]) -> Option<bool> {
    if ticket.digests.is_empty() || parts.is_empty() {
        return None;
    }
    let named = |digest: &&str| unhex(digest).is_some_and(|d| ticket.names(&d));
    Some(parts.iter().all(|part| part.iter().any(&named)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A slice that somebody added to a notarized program is not notarized.
    #[test]
    fn a_ticket_names_every_slice_or_it_does_not_count() {
        let mut ticket = apple::Ticket::default();
        assert_eq!(names(&ticket, &[vec!["aa"]]), None);
        ticket.digests = vec![vec![0xAA; 20], vec![0xBB; 20]];
        let (a, b, other) = ("aa".repeat(20), "bb".repeat(32), "cc".repeat(20));
        let (a, b, other) = (a.as_str(), b.as_str(), other.as_str());
        assert_eq!(names(&ticket, &[vec![a], vec![b]]), Some(true));
        assert_eq!(names(&ticket, &[vec![other, b]]), Some(true));
        assert_eq!(names(&ticket, &[vec![a], vec![other]]), Some(false));
        assert_eq!(names(&ticket, &[vec![a], vec![]]), Some(false));
        assert_eq!(names(&ticket, &[]), None);
    }
}
