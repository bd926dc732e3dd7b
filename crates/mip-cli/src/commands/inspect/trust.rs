//! The part of `mip inspect` that is about signatures. Problems and places are escaped by the
//! library; names of signers are not, and neither are identifiers and requirements.

use mip_base::escape;
use mip_core::inspection::{
    AppInfo, BundleSignature, ClaimState, CodeSignature, FindingKind, Inspection, PackageTrust,
    SignatureClaim, SignerClaim, TicketInfo, TimestampClaim, Validity,
};

use super::section;
use crate::output::text::{Rows, bytes, wrapped};

/// The signatures of the package and of the disk image, as sections of their own. Those of apps
/// stand with the apps.
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
    section(out, "Signature of the package", &rows);
    let mut rows = Rows::new();
    if let Some(s) = &trust.image {
        image(&mut rows, s);
    }
    for t in trust.tickets.iter().filter(|t| !of_package(t)) {
        ticket(&mut rows, t);
    }
    section(out, "Signature of the disk image", &rows);
}

/// What no look at the file can tell.
pub(super) fn not_known(out: &mut String, i: &Inspection) {
    let mut text = String::new();
    for line in &i.trust.not_known {
        text.push_str(&wrapped(&format!("  {line}"), "    "));
    }
    if !text.is_empty() {
        out.push_str(&format!("\nCannot be known from the file\n{text}"));
    }
}

/// One line for each thing that is signed, or should be: the package, the image, the primary app.
pub(crate) fn summary(rows: &mut Rows, i: &Inspection) {
    let trust = &i.trust;
    let good = |t: &TicketInfo| t.state == ClaimState::Valid && t.names_this == Some(true);
    let line = |state: ClaimState, signer: Option<&SignerClaim>, notarized: bool| {
        let mut parts = vec![self::state(state, None)];
        parts.extend(signer.map(|s| format!("{}, {}", name(s), s.kind.words())));
        let expired = |s: &SignerClaim| {
            s.validity_now == Some(Validity::Expired)
                && s.validity_at_timestamp != Some(Validity::Valid)
        };
        parts.extend(signer.filter(|s| expired(s)).map(|_| "its certificate expired".to_owned()));
        parts.extend(notarized.then(|| "notarized (ticket stapled)".to_owned()));
        parts.join("; ")
    };
    if let Some(p) = &trust.package {
        let notarized = trust.tickets.iter().any(|t| t.place == p.place && good(t));
        rows.add("package signature", line(p.state, p.signer(), notarized));
    }
    let of_image = |t: &&TicketInfo| trust.package.as_ref().is_none_or(|p| p.place != t.place);
    if let Some(s) = &trust.image {
        let notarized = trust.tickets.iter().filter(of_image).any(good);
        let signer = s.signature.as_ref().and_then(|c| c.signer.as_ref());
        rows.add("image signature", line(s.state, signer, notarized));
    }
    let app = i.apps.iter().find(|a| a.primary);
    if let Some((app, s)) = app.and_then(|a| Some((a, a.signature.as_ref()?))) {
        let first = s.slices.first().and_then(|s| s.signature.as_ref());
        let signer = first.and_then(|c| c.signer.as_ref());
        let notarized = app.ticket.as_ref().is_some_and(good);
        rows.add("app signature", line(s.state, signer, notarized));
    }
}

fn package(rows: &mut Rows, p: &PackageTrust) {
    if p.state == ClaimState::Unsigned && p.problem.is_none() {
        return; // The summary says so.
    }
    rows.add("signature", state(p.state, p.problem.as_deref()));
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

/// The code signature of a disk image.
fn image(rows: &mut Rows, s: &CodeSignature) {
    let why = (!s.problems.is_empty()).then(|| s.problems.join("; "));
    rows.add("signature", state(s.state, why.as_deref()));
    rows.maybe("identifier", s.identifier.as_deref());
    if let Some(claim) = &s.signature {
        if let Some(s) = &claim.signer {
            signer(rows, s);
        }
        timestamp(rows, claim);
    }
}

/// The code signature of an app, below its other rows. `all`: entitlements too.
pub(super) fn app(rows: &mut Rows, a: &AppInfo, all: bool) {
    let Some(s) = &a.signature else { return };
    rows.add("signature", state(s.state, why(s).as_deref()));
    if let Some(first) = s.slices.first().filter(|first| first.state != ClaimState::Unsigned) {
        program(rows, first, a);
    }
    for slice in s.slices.iter().filter(|x| x.state != s.state || !x.problems.is_empty()) {
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
    requirements(rows, s);
    entitlements(rows, s, all);
}

/// What the signature of the program says; the first slice stands for the others.
fn program(rows: &mut Rows, first: &CodeSignature, a: &AppInfo) {
    let bundle_id = a.bundle_id.as_ref().map(|f| f.value.as_str());
    rows.maybe("signed as", first.identifier.as_deref().filter(|i| Some(*i) != bundle_id));
    let claim = first.signature.as_ref();
    let by = claim.and_then(|c| c.signer.as_ref());
    let team = by.and_then(|s| s.team_id.as_deref());
    rows.maybe("team", first.team_id.as_deref().filter(|t| Some(*t) != team));
    if let Some(s) = by {
        signer(rows, s);
    }
    if let Some(c) = claim {
        timestamp(rows, c);
    }
    rows.add("hardened runtime", if first.hardened_runtime { "yes" } else { "no" });
    let flags: Vec<_> = first.flags.iter().filter(|f| *f != "runtime").map(|f| escape(f)).collect();
    if !flags.is_empty() {
        rows.add("flags", flags.join(", "));
    }
}

/// The designated requirement, once where the slices agree: it is pasted into settings of the
/// server.
fn requirements(rows: &mut Rows, s: &BundleSignature) {
    let mut shown: Vec<&str> = Vec::new();
    for slice in &s.slices {
        let Some(text) = slice.requirement.as_deref().filter(|t| !shown.contains(t)) else {
            continue;
        };
        let of = slice.architecture.as_deref().filter(|_| !shown.is_empty());
        let of = of.map(|a| format!(" of {}", escape(a))).unwrap_or_default();
        rows.copied(&format!("designated requirement{of}"), escape(text));
        shown.push(text);
    }
}

/// The entitlements of the first slice that has some.
fn entitlements(rows: &mut Rows, s: &BundleSignature, all: bool) {
    let of = s.slices.iter().find_map(|slice| slice.entitlements.as_ref()?.as_object());
    let Some(of) = of.filter(|o| !o.is_empty()) else { return };
    if !all {
        rows.with("entitlements", of.len().to_string(), "--explain lists them");
        return;
    }
    for (key, value) in of {
        rows.add("entitlement", escape(&format!("{key} = {value}")));
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

/// `NAME (TEAM)`. Escaped.
fn name(s: &SignerClaim) -> String {
    let name = s
        .name
        .as_deref()
        .or_else(|| s.chain.first().map(|c| c.subject.as_str()))
        .unwrap_or("nobody that is named");
    let team = s.team_id.as_deref().map(|t| format!(" ({})", escape(t))).unwrap_or_default();
    format!("{}{team}", escape(name))
}

fn signer(rows: &mut Rows, s: &SignerClaim) {
    rows.with("signed by", name(s), s.kind.words());
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
