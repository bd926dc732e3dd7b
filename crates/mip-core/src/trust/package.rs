//! The signature of a flat package, and what it covers.
//!
//! The signature is over the digest of the stored table of contents; the table has a checksum
//! of every file. What is neither in the table nor named by it is covered by nothing: gaps
//! between the files, and what follows the last one (where a notarization ticket stands).

use std::collections::BTreeSet;

use mip_base::{
    Code, EntryKind, Event, Job, Limits, Phase, Result, Section, escape, hex, len64, read_full_at,
};
use mip_codesign::Check;
use mip_signing::apple::{
    self, ClaimState, Content, LeafKind, RsaClaim, SignatureClaim, SignerClaim,
};
use mip_xar::{Checksum, ChecksumStyle, SignatureStyle, Xar, XarFile, XarSignature};
use sha2::Digest as _;

use super::{Checks, ticket};
use crate::inspection::{ContentsCheck, PackageTrust, TicketInfo, UncoveredBytes};

/// Damaged files, and files without a checksum, that are listed.
const LISTED: usize = 100;

/// Ranges outside the signature that are listed.
const RANGES: usize = 100;

/// `<signature-creation-time>` counts from 2001-01-01 00:00 UTC.
const EPOCH_2001: u64 = 978_307_200;

/// What is claimed of a package, and its stapled tickets. `place` is escaped.
pub(crate) fn package(
    xar: &Xar,
    place: &str,
    checks: &Checks,
    job: &Job,
) -> Result<(PackageTrust, Vec<TicketInfo>)> {
    let toc = xar.toc_checksum();
    let mut out = PackageTrust {
        place: place.to_owned(),
        toc_algorithm: toc.style.name().to_owned(),
        toc_digest: hex(&toc.computed),
        ..PackageTrust::default()
    };
    out.contents.state = ClaimState::NotChecked;
    if xar.signatures().is_empty() {
        return Ok((out, Vec::new()));
    }
    if !checks.wanted() {
        out.state = ClaimState::NotChecked;
        out.problem = Some("it was not looked at".to_owned());
        return Ok((out, Vec::new()));
    }
    let check = checks.check(job);
    out.creation_time = xar.signature_creation_time().and_then(creation_time);
    let signature = signatures(xar, &mut out, &check)?;
    out.contents = contents(xar, &check)?;
    let (uncovered, tickets) = uncovered(xar, place, &out.toc_digest, &check)?;
    out.uncovered = uncovered;
    (out.state, out.problem) = verdict(signature, &out.contents);
    Ok((out, tickets))
}

/// The signature's state and problem, with what the contents say.
fn verdict(
    (state, problem): (ClaimState, Option<String>),
    contents: &ContentsCheck,
) -> (ClaimState, Option<String>) {
    let why = match contents.state {
        ClaimState::Valid => return (state, problem),
        ClaimState::Invalid => {
            format!("files do not match the signed table: {}", contents.damaged.join(", "))
        }
        _ if contents.without_checksum.is_empty() => {
            "the files were not compared with the signed table".to_owned()
        }
        _ => format!(
            "the signed table has no checksum for: {}",
            contents.without_checksum.join(", ")
        ),
    };
    let worst = state.min(contents.state);
    // The worse of the two gives the reason.
    if state < contents.state { (worst, problem.or(Some(why))) } else { (worst, Some(why)) }
}

/// Both kinds of signatures, into `out`; gives the state of the one that counts.
fn signatures(
    xar: &Xar,
    out: &mut PackageTrust,
    check: &Check<'_>,
) -> Result<(ClaimState, Option<String>)> {
    let (digest, style) = (&xar.toc_checksum().computed, xar.toc_checksum().style.name());
    let of = |style| xar.signatures().iter().filter(move |s| s.style == style);
    // A digest that anybody can make a second table for stands for no table.
    if matches!(xar.toc_checksum().style, ChecksumStyle::None | ChecksumStyle::Md5) {
        let why = format!(
            "what is signed would be a digest of the kind \"{style}\", which does not count"
        );
        return Ok((ClaimState::Unsupported, Some(why)));
    }
    let mut several = None;
    let mut count = |n: usize, what: &str| {
        if n > 1 {
            several =
                Some(format!("there are {n} {what} signatures, and nothing says which counts"));
        }
    };
    if let Some(s) = of(SignatureStyle::Rsa).next() {
        out.rsa = Some(rsa(xar, s, style, digest, check)?);
    }
    if let Some(s) = of(SignatureStyle::Cms).next() {
        out.counts = Some("cms".to_owned());
        count(of(SignatureStyle::Cms).count(), "CMS");
        let (claim, mut problem) = cms(xar, s, digest, check)?;
        let mut state = claim.state;
        if let Some(why) = several {
            (state, problem) = (ClaimState::Invalid, Some(why));
        } else if problem.is_some() {
            state = ClaimState::Invalid;
        } else if let Some(why) =
            claim.signer.as_ref().filter(|_| state == ClaimState::Valid).and_then(not_for_packages)
        {
            (state, problem) = (ClaimState::Untrusted, Some(why));
        } else {
            problem.clone_from(&claim.problem);
        }
        out.cms = Some(claim);
        return Ok((state, problem));
    }
    out.counts = Some("rsa".to_owned());
    count(of(SignatureStyle::Rsa).count(), "RSA");
    let (state, problem) =
        out.rsa.as_ref().map_or((ClaimState::Unsupported, None), |r| (r.state, r.problem.clone()));
    let signer = out.rsa.as_ref().and_then(|r| r.signer.as_ref());
    let unfit = signer.filter(|_| state == ClaimState::Valid).and_then(not_for_packages);
    Ok(match (several, unfit) {
        (Some(why), _) => (ClaimState::Invalid, Some(why)),
        (_, Some(why)) => (ClaimState::Untrusted, Some(why)),
        _ => (state, problem),
    })
}

/// Why a signer that leads to Apple is none for packages: the Installer goes by what the
/// certificate was issued for. Anyone with an Apple account gets one for programs of his own.
fn not_for_packages(signer: &SignerClaim) -> Option<String> {
    match signer.kind {
        LeafKind::DeveloperIdInstaller
        | LeafKind::MacInstallerDistribution
        | LeafKind::MacAppStore
        | LeafKind::Apple => None,
        _ => Some("the signer's certificate is for programs, not for packages".to_owned()),
    }
}

/// The bytes of a signature.
fn blob(xar: &Xar, s: &XarSignature, job: &Job) -> Result<Option<Vec<u8>>> {
    let section = xar.heap_range(s.offset, s.size)?;
    if s.size > job.limits().cms_bytes {
        return Ok(None);
    }
    let mut bytes = job.buffer("signature", s.size, job.limits().cms_bytes)?;
    read_full_at(&section, 0, &mut bytes, Code::XarTruncated)?;
    Ok(Some(bytes))
}

fn too_large(s: &XarSignature, limits: &Limits) -> String {
    format!("it is {} bytes long; the limit is {}", s.size, limits.cms_bytes)
}

/// The CMS signature over the digest, and what is wrong with the list beside it: macOS shows
/// the certificates of the table, so they must be those of the signer.
fn cms(
    xar: &Xar,
    s: &XarSignature,
    digest: &[u8],
    check: &Check<'_>,
) -> Result<(SignatureClaim, Option<String>)> {
    let Some(bytes) = blob(xar, s, check.job)? else {
        let mut claim = SignatureClaim::default();
        claim.state = ClaimState::Unsupported;
        claim.problem = Some(too_large(s, check.job.limits()));
        return Ok((claim, None));
    };
    let claim = apple::check_cms(&bytes, Content::Bytes(digest), check.at, check.job.limits());
    let signer = claim.signer.as_ref().and_then(|s| s.chain.first());
    let listed = s.certificates.first().map(|c| hex(&sha2::Sha256::digest(c)));
    let problem = match (listed, signer) {
        (None, _) => Some("the table lists no certificate for the CMS signature".to_owned()),
        (Some(listed), Some(signer)) if listed != signer.sha256 => Some(
            "the first certificate that the table lists is not the one of the CMS signature's signer"
                .to_owned(),
        ),
        _ => None,
    };
    Ok((claim, problem))
}

fn rsa(
    xar: &Xar,
    s: &XarSignature,
    style: &str,
    digest: &[u8],
    check: &Check<'_>,
) -> Result<RsaClaim> {
    let Some(bytes) = blob(xar, s, check.job)? else {
        let mut claim = RsaClaim::default();
        claim.state = ClaimState::Unsupported;
        claim.problem = Some(too_large(s, check.job.limits()));
        return Ok(claim);
    };
    Ok(apple::check_rsa(style, digest, &bytes, &s.certificates, check.at, check.job.limits()))
}

/// One thing in the heap that the table names.
struct Item<'a> {
    name: String,
    offset: u64,
    length: u64,
    how: How<'a>,
}

enum How<'a> {
    /// A digest of the stored bytes.
    Stored(&'a Checksum),
    /// Only one of the decoded bytes.
    Decoded(&'a XarFile),
    None,
}

/// Compares what the heap holds with the table's checksums.
fn contents(xar: &Xar, check: &Check<'_>) -> Result<ContentsCheck> {
    let job = check.job;
    let items = items(xar);
    let mut out = ContentsCheck { state: ClaimState::Valid, ..ContentsCheck::default() };
    for i in items.iter().filter(|i| matches!(i.how, How::None)) {
        if out.without_checksum.len() < LISTED {
            out.without_checksum.push(i.name.clone());
        }
        out.state = ClaimState::NotChecked;
    }
    // Files may share a range; it is read once.
    let mut seen = BTreeSet::new();
    let once = |i: &&Item<'_>| match i.how {
        How::Stored(_) => seen.insert((i.offset, i.length)),
        How::Decoded(_) => true,
        How::None => false,
    };
    let work: Vec<&Item<'_>> = items.iter().filter(once).collect();
    let total = work.iter().fold(0u64, |sum, i| sum.saturating_add(i.length));
    if !check.spend(total) {
        out.state = ClaimState::NotChecked;
        return Ok(out);
    }
    job.report(Event::Started { phase: Phase::Inspect, total: Some(total) });
    for i in work {
        let whole = match i.how {
            How::Stored(c) => xar.matches(i.offset, i.length, c, job)?,
            How::Decoded(file) => decodes(xar, file, job)?,
            How::None => continue,
        };
        job.report(Event::Advanced { phase: Phase::Inspect, bytes: i.length });
        out.files = out.files.saturating_add(1);
        out.bytes = out.bytes.saturating_add(i.length);
        if !whole {
            out.state = ClaimState::Invalid;
            out.damaged.push(i.name.clone());
            // It is bad enough, and bytes that do not decode cost time.
            if out.damaged.len() >= LISTED {
                break;
            }
        }
    }
    job.report(Event::Finished { phase: Phase::Inspect });
    Ok(out)
}

fn items(xar: &Xar) -> Vec<Item<'_>> {
    let own = xar.files().iter().filter(|f| f.kind == EntryKind::File);
    let files = own.filter_map(|f| {
        let d = f.data.as_ref().filter(|d| d.length > 0)?;
        let how = match (&d.archived, &d.extracted) {
            (Some(c), _) => How::Stored(c),
            (None, Some(_)) => How::Decoded(f),
            (None, None) => How::None,
        };
        Some(Item { name: escape(f.path.as_str()), offset: d.offset, length: d.length, how })
    });
    let attributes = xar.attributes().iter().filter(|a| a.length > 0).map(|a| Item {
        name: format!("the extended attribute at {} of the heap", a.offset),
        offset: a.offset,
        length: a.length,
        how: a.archived.as_ref().map_or(How::None, How::Stored),
    });
    files.chain(attributes).collect()
}

/// Whether a file decodes to what the table says.
fn decodes(xar: &Xar, file: &XarFile, job: &Job) -> Result<bool> {
    let read = |mut input: Box<dyn std::io::Read + Send>| {
        let mut buf = job.buffer("read buffer", 64 << 10, 64 << 10)?;
        loop {
            let got = mip_base::read_some(input.as_mut(), &mut buf)
                .map_err(|e| mip_base::Error::from_io(Code::InputIo, "reading", e))?;
            if got == 0 {
                return Ok(());
            }
        }
    };
    match xar.open_file(file, job).and_then(read) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == mip_base::Kind::Malformed => Ok(false),
        Err(e) => Err(e),
    }
}

/// What the signature does not cover, and the tickets among it.
fn uncovered(
    xar: &Xar,
    place: &str,
    digest: &str,
    check: &Check<'_>,
) -> Result<(Vec<UncoveredBytes>, Vec<TicketInfo>)> {
    let mut out = Vec::new();
    let mut tickets = Vec::new();
    for (offset, length) in xar.gaps().into_iter().take(RANGES) {
        let holds =
            if zeros(&file_range(xar, offset, length)?, check)? { "zeros" } else { "unknown" };
        out.push(UncoveredBytes::new("gap", offset, length, holds));
    }
    if let Some((offset, length)) = xar.trailing() {
        let tail = file_range(xar, offset, length)?;
        let found = ticket::trailer(&tail, check.job)?;
        if found.before > 0 {
            let rest = tail.slice(0, found.before);
            let holds = match rest {
                Some(rest) if zeros(&rest, check)? => "zeros",
                _ => "unknown",
            };
            out.push(UncoveredBytes::new("tail", offset, found.before, holds));
        }
        let rest = length.saturating_sub(found.before);
        if rest > 0 {
            let at = offset.saturating_add(found.before);
            out.push(UncoveredBytes::new("tail", at, rest, "notarization-ticket"));
        }
        for t in &found.tickets {
            tickets.push(ticket::read(t, place, &[digest], check)?);
        }
    }
    Ok((out, tickets))
}

/// A range of the file, by its offset in it.
fn file_range(xar: &Xar, offset: u64, length: u64) -> Result<Section> {
    xar.heap_range(offset.saturating_sub(xar.heap_start()), length)
}

/// Whether there is nothing but zeros, as far as may be read.
fn zeros(section: &Section, check: &Check<'_>) -> Result<bool> {
    use mip_base::ReadAt as _;
    let job = check.job;
    let size = section.size();
    if !check.spend(size) {
        return Ok(false);
    }
    let mut buf = job.buffer("read buffer", size.min(1 << 20), 1 << 20)?;
    let mut at = 0;
    while at < size {
        job.check()?;
        let n = usize::try_from(size.saturating_sub(at)).unwrap_or(usize::MAX).min(buf.len());
        let window = buf.get_mut(..n).unwrap_or_default();
        read_full_at(section, at, window, Code::XarTruncated)?;
        if window.iter().any(|b| *b != 0) {
            return Ok(false);
        }
        at = at.saturating_add(len64(n));
    }
    Ok(true)
}

/// Seconds since 2001 as RFC 3339. Written by nobody whom the signature covers: a text that is
/// no time is none.
fn creation_time(text: &str) -> Option<String> {
    let whole = text.trim().split('.').next()?;
    let seconds = whole.parse::<u64>().ok()?.checked_add(EPOCH_2001)?;
    // The year 9999 is the last that RFC 3339 can write.
    (seconds < 253_402_300_800).then(|| crate::report::time(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Developer ID Application certificate leads to Apple too.
    #[test]
    fn a_certificate_for_programs_is_none_for_packages() {
        let of = |kind| {
            let mut signer = SignerClaim::default();
            signer.kind = kind;
            not_for_packages(&signer).is_none()
        };
        for kind in [LeafKind::DeveloperIdInstaller, LeafKind::MacAppStore, LeafKind::Apple] {
            assert!(of(kind), "{kind:?}");
        }
        for kind in [LeafKind::DeveloperIdApplication, LeafKind::Development, LeafKind::Other] {
            assert!(!of(kind), "{kind:?}");
        }
    }
}
