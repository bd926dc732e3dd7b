//! Another signature for the same content.

use std::sync::Arc;

use mip_base::{Event, Job, Phase, Result, Source, WriteAt, len64};

use crate::hash::sha256;
use crate::profile::BLOCK;
use crate::reader::read_block;
use crate::verify::Contents;
use crate::writer::{Sign, require_empty, write_at, write_end};
use crate::{Archive, Written};

/// Copies the body and the index of the archive `source` to `out`, which must be empty, with
/// the signature that `sign` makes over the index (`None`: without one). The old signature is
/// not looked at.
///
/// Nobody signs what they have not seen: headers, directory, every block and the content of every
/// entry are checked against the index on the way, at the depth
/// [`VerifyDepth::Full`](crate::VerifyDepth::Full): the index may be a stranger's, and the new
/// signature vouches for all that it says.
///
/// # Errors
/// Those of [`Archive::open`], [`Archive::verify`], `sign` and of writing.
pub fn resign(
    source: Source,
    out: Arc<dyn WriteAt>,
    sign: Option<Sign<'_>>,
    job: &Job,
) -> Result<Written> {
    require_empty(&*out)?;
    let archive = Archive::open(source.clone(), job)?;
    let (archive, ()) = archive.verify_index_only(|_, _| Ok(()), job)?;
    let index = archive.index();
    job.report(Event::Started { phase: Phase::Pack, total: Some(index.body) });
    let mut block = Vec::new();
    let mut contents = Contents::new(index);
    for number in 0..index.body.div_ceil(BLOCK) {
        job.check()?;
        read_block(&source, index, number, &mut block)?;
        contents.update(&block)?;
        write_at(&*out, number.saturating_mul(BLOCK), &block)?;
        job.report(Event::Advanced { phase: Phase::Pack, bytes: len64(block.len()) });
    }
    job.report(Event::Finished { phase: Phase::Pack });
    let bytes = archive.index_bytes();
    let len = write_end(&*out, index, bytes, sign, job)?;
    Ok(Written { index: index.clone(), index_sha256: sha256(bytes), len })
}
