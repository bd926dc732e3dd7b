//! The code signature of a disk image.

use mip_base::bytes::be_u32;
use mip_base::{Code, Job, Result, Section, Source, read_full_at};
use mip_codesign::{CodeSignature, check_image};

use super::{Checks, ticket};
use crate::disk_image::DiskImage;
use crate::inspection::TicketInfo;

/// What is claimed of an image, and the tickets that are stapled to it. `place` is escaped.
pub(crate) fn image(
    image: &DiskImage,
    place: &str,
    checks: &Checks,
    job: &Job,
) -> Result<(Option<CodeSignature>, Vec<TicketInfo>)> {
    let Some((source, range)) = image.code_signature().filter(|_| checks.wanted()) else {
        return Ok((None, Vec::new()));
    };
    let check = checks.check(job);
    let claims = check_image(source, range, &check)?;
    let hashes: Vec<&str> = claims.code_directories.iter().map(|c| c.cdhash.as_str()).collect();
    let tickets = match ticket_slot(source, range)? {
        Some(slot) => vec![ticket::read(&slot, place, &hashes, &check)?],
        None => Vec::new(),
    };
    Ok((Some(claims), tickets))
}

/// An embedded signature: `CSMAGIC_EMBEDDED_SIGNATURE` of the kernel's `cs_blobs.h`.
const SUPERBLOB: u32 = 0xfade_0cc0;

/// The slot of a stapled ticket (`cdTicketSlot` of Apple's libsecurity_codesigning).
const TICKET_SLOT: u32 = 0x1_0002;

/// Slots that a signature may have; real ones have fewer than 16.
const MOST_SLOTS: u32 = 64;

/// The ticket in the signature at `range`: what is in its slot after the magic and length.
fn ticket_slot(source: &Source, (start, length): (u64, u64)) -> Result<Option<Section>> {
    let Some(blob) = Section::new(source.clone(), start, length) else { return Ok(None) };
    let at = |offset: u64, buf: &mut [u8]| read_full_at(&blob, offset, buf, Code::Truncated);
    let mut head = [0; 12];
    if length < 12 {
        return Ok(None);
    }
    at(0, &mut head)?;
    let slots = be_u32(&head, 8).unwrap_or(0);
    if be_u32(&head, 0) != Some(SUPERBLOB) || slots > MOST_SLOTS {
        return Ok(None);
    }
    for n in 0..u64::from(slots) {
        let entry = n.saturating_mul(8).saturating_add(12);
        let mut row = [0; 8];
        if entry.saturating_add(8) > length {
            return Ok(None);
        }
        at(entry, &mut row)?;
        if be_u32(&row, 0) != Some(TICKET_SLOT) {
            continue;
        }
        let from = u64::from(be_u32(&row, 4).unwrap_or(0));
        let mut blob_head = [0; 8];
        if from.saturating_add(8) > length {
            return Ok(None);
        }
        at(from, &mut blob_head)?;
        let size = u64::from(be_u32(&blob_head, 4).unwrap_or(0));
        let inner = size.checked_sub(8);
        return Ok(inner.and_then(|len| blob.slice(from.saturating_add(8), len)));
    }
    Ok(None)
}
