//! The part of `mip inspect` that is about signatures. Problems and places are escaped by the
//! library; names of signers are not.

use mip_base::escape;
use mip_core::inspection::{
    AppInfo, BundleSignature, ClaimState, CodeSignature, FindingKind, Inspection, LeafKind,
    PackageTrust, SignatureClaim, SignerClaim, TicketInfo, TimestampClaim, Validity,
};

use super::section;
use crate::output::text::{Rows, bytes};

/// Every signature that was looked at, as sections of their own.
pub(super) fn sections(out: &mut String, i: &Inspection) {
    let trust = &i.trust;
    let mut rows = Rows::new();
    if let Some(p) = &trust.package {
        package(&mut rows, p);
    }
    let of_package = |t: &&TicketInfo| trust.package.as_ref().is_some_and(|p| p.place == t.place);
    for t in trust.tickets.iter().filter(of_package) {
        ticket(&mut rows, t);
    }
    section(out, "Signature", &rows);
    let mut rows = Rows::new();
    if let Some(s) = &trust.image {
        code(&mut rows, s);
    }
    for t in trust.tickets.iter().filter(|t| !of_package(t)) {
        ticket(&mut rows, t);
    }
    section(out, "Signature of the disk image", &rows);
    for a in &i.apps {
        let mut rows = Rows::new();
        app(&mut rows, a);
        section(out, &format!("Signature of {}", escape(&a.path)), &rows);
    }
    let mut rows = Rows::new();
    for text in &trust.not_known {
        rows.add("cannot be known", text.clone());
    }
    section(out, "Not known", &rows);
}

fn package(rows: &mut Rows, p: &PackageTrust) {
    rows.add("package", state(p.state, p.problem.as_deref()));
    if p.state == ClaimState::Unsigned {
        return;
    }
    if let Some(s) = p.signer() {
        signer(rows, s);
    }
    if let Some(t) = p.cms.as_ref().filter(|_| p.counts.as_deref() == Some("cms")) {
        timestamp(rows, t);
    }
    if let Some(t) = &p.creation_time {
        rows.with("signed at", t.clone(), "as the package says; not signed itself");
    }
    let rsa = match &p.rsa {
        Some(r) if p.counts.as_deref() == Some("cms") && r.state == ClaimState::Invalid => {
            "the older RSA signature does not match"
        }
        Some(r) if p.counts.as_deref() == Some("cms") && r.state >= ClaimState::Untrusted => {
            "the older RSA signature matches too"
        }
        _ => "",
    };
    match p.counts.as_deref() {
        Some("cms") => rows.with("what counts", "the CMS signature", rsa),
        Some(_) => rows.add("what counts", "the RSA signature: there is no CMS signature"),
        None => {}
    }
    rows.add("signed digest", format!("{} {}", p.toc_algorithm, p.toc_digest));
    let c = &p.contents;
    let what = format!("{} files, {}", c.files, bytes(c.bytes));
    match c.state {
        ClaimState::Valid => rows.with("contents", what, "compared, as signed"),
        ClaimState::Invalid => {
            for name in &c.damaged {
                rows.with("not as signed", name.clone(), "file of the package");
            }
        }
        _ if c.without_checksum.is_empty() => {
            rows.with("contents", "not compared", "--signatures full does");
        }
        _ => {}
    }
    for name in &c.without_checksum {
        rows.with("not signed", name.clone(), "the table has no checksum for it");
    }
    for range in p.uncovered.iter().filter(|r| r.holds == "unknown") {
        let what = format!("{} at offset {}", bytes(range.length), range.offset);
        rows.with("not signed", what, &format!("{}, not known what", range.place));
    }
}

/// The code signature of a disk image or of one slice of a program.
fn code(rows: &mut Rows, s: &CodeSignature) {
    let label = s.architecture.as_deref().map_or_else(|| "image".to_owned(), escape);
    let why = (!s.problems.is_empty()).then(|| s.problems.join("; "));
    rows.add(&label, state(s.state, why.as_deref()));
    rows.maybe("identifier", s.identifier.as_deref());
    if let Some(claim) = &s.signature {
        if let Some(s) = &claim.signer {
            signer(rows, s);
        }
        timestamp(rows, claim);
    }
}

fn app(rows: &mut Rows, a: &AppInfo) {
    let Some(s) = &a.signature else { return };
    rows.add("app", state(s.state, why(s).as_deref()));
    if let Some(first) = s.slices.first() {
        rows.maybe("identifier", first.identifier.as_deref());
        rows.maybe("team", first.team_id.as_deref());
        if let Some(claim) = &first.signature {
            if let Some(s) = &claim.signer {
                signer(rows, s);
            }
            timestamp(rows, claim);
        }
        let flags: Vec<String> = first.flags.iter().map(|f| escape(f)).collect();
        if !flags.is_empty() {
            rows.add("flags", flags.join(", "));
        }
        let runtime = if first.hardened_runtime { "yes" } else { "no" };
        rows.add("hardened runtime", runtime);
    }
    for slice in &s.slices {
        let name = slice.architecture.as_deref().map_or_else(|| "program".to_owned(), escape);
        let problems = (!slice.problems.is_empty()).then(|| slice.problems.join("; "));
        rows.add(&name, state(slice.state, problems.as_deref()));
    }
    if s.seal.sealed > 0 {
        let compared = format!("{} of {} files compared", s.seal.checked, s.seal.sealed);
        rows.with("sealed", compared, s.seal.state.word());
    }
    for f in &s.findings {
        let what = match f.kind {
            FindingKind::Altered => "altered",
            FindingKind::Missing => "missing",
            FindingKind::Added => "added",
            FindingKind::Code => "signature of code",
            _ => "not readable",
        };
        rows.with(what, escape(&f.path), &f.detail);
    }
    if s.more_findings > 0 {
        rows.add("more findings", s.more_findings.to_string());
    }
    if let Some(t) = &a.ticket {
        ticket(rows, t);
    }
}

fn why(s: &BundleSignature) -> Option<String> {
    (!s.not_checked.is_empty()).then(|| s.not_checked.join("; "))
}

/// A state in words, with the reason.
fn state(state: ClaimState, why: Option<&str>) -> String {
    let word = match state {
        ClaimState::Valid => "valid",
        ClaimState::Untrusted => "matches, but does not lead to Apple by the rules",
        ClaimState::AdHoc => "ad hoc: signed by nobody",
        ClaimState::NotChecked => "not checked to its end",
        ClaimState::Unsigned => "not signed",
        ClaimState::Unsupported => "cannot be checked here",
        _ => "NOT VALID",
    };
    why.map_or_else(|| word.to_owned(), |w| format!("{word}: {w}"))
}

fn signer(rows: &mut Rows, s: &SignerClaim) {
    let kind = match s.kind {
        LeafKind::DeveloperIdInstaller => "Developer ID Installer",
        LeafKind::DeveloperIdApplication => "Developer ID Application",
        LeafKind::MacInstallerDistribution => "Mac Installer Distribution",
        LeafKind::AppDistribution => "app distribution",
        LeafKind::MacAppStore => "Mac App Store",
        LeafKind::Development => "development",
        LeafKind::Apple => "Apple's own software",
        _ => "no kind that is known",
    };
    let name = s
        .name
        .as_deref()
        .or_else(|| s.chain.first().map(|c| c.subject.as_str()))
        .unwrap_or("nobody that is named");
    let team = s.team_id.as_deref().map(|t| format!(" ({})", escape(t))).unwrap_or_default();
    rows.with("signed by", format!("{}{team}", escape(name)), kind);
    match &s.root {
        Some(root) => rows.add("leads to", escape(root)),
        None => rows.add("leads to", s.problem.as_deref().unwrap_or("no root of Apple's")),
    }
    if let Some(leaf) = s.chain.first() {
        let now = match s.validity_now {
            Some(Validity::Expired) => "expired",
            Some(Validity::NotYetValid) => "not valid yet",
            _ => "",
        };
        let then = match s.validity_at_timestamp {
            Some(Validity::Valid) if !now.is_empty() => ", valid when it signed",
            _ => "",
        };
        let until = format!("valid until {}", escape(&leaf.not_after));
        rows.with("certificate", until, format!("{now}{then}").trim_start_matches(", "));
    }
}

fn timestamp(rows: &mut Rows, claim: &SignatureClaim) {
    match &claim.timestamp {
        Some(TimestampClaim { state: ClaimState::Valid, time: Some(time), .. }) => {
            rows.with("timestamp", escape(time), "trusted");
        }
        Some(t) => rows.add("timestamp", state(t.state, t.problem.as_deref())),
        None => rows.add("timestamp", "none"),
    }
}

fn ticket(rows: &mut Rows, t: &TicketInfo) {
    let names = match t.names_this {
        Some(true) => "names this very thing",
        Some(false) => "names something else",
        None => "not known what it names",
    };
    rows.with("notarization ticket", state(t.state, t.problem.as_deref()), names);
}
