//! The code signature of a disk image.

use mip_base::{Job, Result, Section};
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
    let slot = claims.ticket.and_then(|(at, len)| Section::new(source.clone(), at, len));
    let tickets = match slot {
        Some(slot) => vec![ticket::read(&slot, place, &hashes, &check)?],
        None => Vec::new(),
    };
    Ok((Some(claims), tickets))
}
