//! Claims about the input: who says to have signed it, and whether the bytes are what was
//! signed. Nothing here is trust in a MIP archive.

mod app;
mod claims;
mod image;
mod package;
mod payload;
mod spooled;
mod ticket;

use std::sync::atomic::AtomicU64;

use mip_base::{Job, Limits, escape};
use mip_codesign::Check;
use mip_signing::apple::{ClaimState, Validity};

pub(crate) use self::app::app;
pub(crate) use self::claims::{Claim, claims};
pub(crate) use self::image::image;
pub(crate) use self::package::package;
pub(crate) use self::payload::payload_apps;
use crate::inspect::{InspectOptions, SignatureScan};
use crate::inspection::{Inspection, Warning};

/// How the signatures of one input are checked.
pub(crate) struct Checks {
    scan: SignatureScan,
    at: u64,
    /// Bytes that may still be read to compare them; `u64::MAX`: all.
    budget: AtomicU64,
}

impl Checks {
    pub(crate) fn new(options: &InspectOptions, limits: &Limits) -> Self {
        let budget = match options.signatures {
            SignatureScan::Full => u64::MAX,
            SignatureScan::Auto => limits.signature_scan,
            SignatureScan::Never => 0,
        };
        let at = options.at.unwrap_or_else(crate::verify::now);
        Self { scan: options.signatures, at, budget: AtomicU64::new(budget) }
    }

    /// Whether signatures are looked at.
    pub(crate) fn wanted(&self) -> bool {
        self.scan != SignatureScan::Never
    }

    /// Whether everything is to be compared, whatever its size.
    fn full(&self) -> bool {
        self.scan == SignatureScan::Full
    }

    /// What a check is handed: the time, and what may still be read.
    pub(crate) fn check<'a>(&'a self, job: &'a Job) -> Check<'a> {
        Check { job, at: self.at, budget: &self.budget }
    }
}

/// What is to be said when everything was looked at: warnings, and what no look at the file
/// can tell. The time of the check matters to some; see [`Warning::depends_on_time`].
pub(crate) fn conclude(found: &mut Inspection, checks: &Checks) {
    if !checks.wanted() {
        found.trust.not_known.push("signatures: they were not looked at".to_owned());
        return;
    }
    let mut warnings = Vec::new();
    let mut notes = Vec::new();
    if let Some(p) = &found.trust.package {
        let why = p.problem.as_deref().unwrap_or("no reason is known");
        match p.state {
            ClaimState::Invalid | ClaimState::Unsupported => {
                let text =
                    format!("{}: the signature of the package does not hold: {why}", p.place);
                warnings.push(Warning::new("W_SIGNATURE_INVALID", text));
            }
            ClaimState::Untrusted => {
                let text =
                    format!("{}: the package is signed, but not by Apple's rules: {why}", p.place);
                warnings.push(Warning::new("W_SIGNATURE_UNTRUSTED", text));
            }
            _ => {}
        }
        if p.state != ClaimState::Unsigned {
            for range in p.uncovered.iter().filter(|r| r.holds == "unknown") {
                let text = format!(
                    "{}: {} bytes at offset {} ({}) are covered by no signature, and it is not known what they are",
                    p.place, range.length, range.offset, range.place
                );
                warnings.push(Warning::new("W_UNSIGNED_BYTES", text));
            }
            if p.toc_algorithm == "sha1" || p.toc_algorithm == "md5" {
                notes.push(format!(
                    "{}: what is signed is a {} digest, as in most packages: it does not withstand an attacker who made both packages",
                    p.place, p.toc_algorithm
                ));
            }
            let rsa = p.rsa.as_ref().filter(|_| p.counts.as_deref() == Some("cms"));
            if rsa.is_some_and(|r| r.state == ClaimState::Invalid) {
                notes.push(format!(
                    "{}: the older RSA signature does not match; the CMS signature counts",
                    p.place
                ));
            }
        }
        if let Some(signer) = p.signer()
            && signer.validity_now == Some(Validity::Expired)
            && signer.validity_at_timestamp != Some(Validity::Valid)
            && p.state > ClaimState::Unsigned
        {
            let end = signer.chain.first().map_or("", |c| c.not_after.as_str());
            let text = format!(
                "{}: the signer's certificate expired ({end}), and no trusted timestamp says that it signed before",
                p.place
            );
            warnings.push(Warning::new("W_SIGNER_EXPIRED", text));
        }
    }
    if let Some(image) = &found.trust.image {
        let why = image.problems.join("; ");
        if matches!(image.state, ClaimState::Invalid | ClaimState::Unsupported) {
            let text = format!("the signature of the disk image does not hold: {why}");
            warnings.push(Warning::new("W_SIGNATURE_INVALID", text));
        }
    }
    for a in &found.apps {
        let Some(s) = a.signature.as_ref().filter(|s| s.state == ClaimState::Invalid) else {
            continue;
        };
        let files = s.findings.iter().map(|f| format!("{}: {}", escape(&f.path), f.detail));
        let programs = s.slices.iter().flat_map(|s| s.problems.iter().cloned());
        let why: Vec<String> = programs.chain(files).take(3).collect();
        let text = format!("{}: the code signature does not hold: {}", a.place, why.join("; "));
        warnings.push(Warning::new("W_SIGNATURE_INVALID", text));
    }
    let of_apps = found.apps.iter().filter_map(|a| a.ticket.as_ref());
    for t in found.trust.tickets.iter().chain(of_apps) {
        if t.state == ClaimState::Invalid {
            let why = t.problem.as_deref().unwrap_or("no reason is known");
            let text = format!("{}: the notarization ticket does not count: {why}", t.place);
            warnings.push(Warning::new("W_TICKET_INVALID", text));
        }
    }
    warnings.extend(app::warnings(&found.apps));
    found.warnings.extend(warnings);
    found.notes.extend(notes);
    not_known(found);
}

fn not_known(found: &mut Inspection) {
    let trust = &found.trust;
    let app = |of: fn(&crate::inspection::AppInfo) -> bool| found.apps.iter().any(of);
    let signed = trust.package.as_ref().is_some_and(|p| p.state != ClaimState::Unsigned)
        || trust.image.as_ref().is_some_and(|i| i.state != ClaimState::Unsigned)
        || app(|a| a.signature.as_ref().is_some_and(|s| s.state != ClaimState::Unsigned));
    if !signed {
        return;
    }
    let ticket = trust.tickets.iter().any(|t| t.state == ClaimState::Valid)
        || app(|a| a.ticket.as_ref().is_some_and(|t| t.state == ClaimState::Valid));
    let mut out = vec![
        "whether Apple revoked a certificate, or the notarization, since: that takes a network",
    ];
    if !ticket {
        out.push(
            "whether Apple notarized it: no ticket is stapled to it, and asking Apple takes a network",
        );
    }
    found.trust.not_known.extend(out.into_iter().map(str::to_owned));
}
