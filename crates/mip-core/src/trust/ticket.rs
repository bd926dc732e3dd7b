//! Notarization tickets that are stapled to things.
//!
//! Apple documents neither form; both were told from the bytes of stapled packages and apps
//! (see `docs/decisions/0011-source-signatures.md`). After the heap of a package stand
//! records that end with 16 bytes, little endian: `t8lr`, version 1 (u16), kind (u16), length of
//! what is before them (u32), zero (u32). Kind 1 has nothing before it and is the first; kind 2
//! is a ticket. An app has its ticket in `Contents/CodeResources`, a disk image in a slot of its
//! code signature.

use mip_base::bytes::{le_u16, le_u32, len64};
use mip_base::{Code, Job, ReadAt as _, Result, Section, read_full_at};
use mip_signing::apple::ClaimState;

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
