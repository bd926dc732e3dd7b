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

use mip_base::{Job, Limits};
use mip_codesign::Check;
use mip_signing::apple::{ClaimState, Validity};

pub(crate) use self::app::app;
pub(crate) use self::claims::{Claim, claims};
pub(crate) use self::image::image;
pub(crate) use self::package::package;
pub(crate) use self::payload::{payload_apps, tree_payload_apps};
use crate::inspect::{InspectOptions, SignatureScan};
use crate::inspection::{Inspection, PackageTrust, Warning};

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
    if let Some(p) = &found.trust.package {
        found.warnings.extend(package_warnings(p));
        found.notes.extend(package_notes(p));
    }
    if let Some(image) = &found.trust.image {
        let why = image.problems.join("; ");
        found.warnings.extend(of_state(image.state, "the disk image", &why));
    }
    for t in &found.trust.tickets {
        if matches!(t.state, ClaimState::Invalid | ClaimState::Untrusted) {
            let why = t.problem.as_deref().unwrap_or("no reason is known");
            let text = format!("{}: the notarization ticket does not count: {why}", t.place);
            found.warnings.push(Warning::new("W_TICKET_INVALID", text));
        }
    }
    found.warnings.extend(app::warnings(&found.apps));
    not_known(found);
}

/// The warning about a signature that does not count.
fn of_state(state: ClaimState, what: &str, why: &str) -> Option<Warning> {
    let (code, how) = match state {
        ClaimState::Invalid => ("W_SIGNATURE_INVALID", "does not hold"),
        ClaimState::Unsupported => ("W_SIGNATURE_INVALID", "cannot be checked"),
        ClaimState::Untrusted => ("W_SIGNATURE_UNTRUSTED", "is not by Apple's rules"),
        _ => return None,
    };
    Some(Warning::new(code, format!("{what}: the signature {how}: {why}")))
}

/// Things that one warning names.
const NAMED: usize = 3;

/// The first few, and how many more there are.
fn first_few(all: &[String], between: &str) -> String {
    let few = all.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(between);
    match all.len().saturating_sub(NAMED) {
        0 => few,
        more => format!("{few}{between}and {more} more"),
    }
}

fn package_warnings(p: &PackageTrust) -> Vec<Warning> {
    let why = p.problem.as_deref().unwrap_or("no reason is known");
    let mut out: Vec<Warning> = of_state(p.state, &p.place, why).into_iter().collect();
    if p.state == ClaimState::Unsigned {
        return out;
    }
    let unknown: Vec<String> = p
        .uncovered
        .iter()
        .filter(|r| r.holds == "unknown")
        .map(|r| format!("{} bytes at offset {} ({})", r.length, r.offset, r.place))
        .collect();
    if !unknown.is_empty() {
        let text = format!(
            "{}: no signature covers, and it is not known what they are: {}",
            p.place,
            first_few(&unknown, ", ")
        );
        out.push(Warning::new("W_UNSIGNED_BYTES", text));
    }
    if let Some(signer) = p.signer()
        && signer.validity_now == Some(Validity::Expired)
        && signer.validity_at_timestamp != Some(Validity::Valid)
    {
        let end = signer.chain.first().map_or("", |c| c.not_after.as_str());
        let text = format!(
            "{}: the signer's certificate expired ({end}), and no trusted timestamp says that it signed before",
            p.place
        );
        out.push(Warning::new("W_SIGNER_EXPIRED", text));
    }
    out
}

fn package_notes(p: &PackageTrust) -> Vec<String> {
    let mut out = Vec::new();
    if p.counts.is_some() && p.toc_algorithm == "sha1" {
        out.push(format!(
            "{}: the signature is over a sha1 digest, as that of most packages is",
            p.place
        ));
    }
    let beside = p.rsa.as_ref().filter(|_| p.counts.as_deref() == Some("cms"));
    if beside.is_some_and(|r| r.state == ClaimState::Invalid) {
        out.push(format!(
            "{}: the older RSA signature does not match; the CMS signature counts",
            p.place
        ));
    }
    out
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
