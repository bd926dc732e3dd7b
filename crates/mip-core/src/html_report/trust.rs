//! Who says to have signed it, and Apple's own channel.

use super::escape::text;
use super::page::{Facts, LIST, Page, Tone, badge, bytes, code, count, lines, small};
use crate::inspection::{
    AppInfo, BundleSignature, ClaimState, CodeSignature, FindingKind, Inspection, MdmPoint, Met,
    PackageTrust, SignatureClaim, SignerClaim, TicketInfo, Validity,
};

pub(super) fn write(page: &mut Page, i: &Inspection) {
    page.h2("trust", "Signatures");
    page.html("<p class=\"soft\">What the input says of itself, and what the check of that found. Nobody is trusted for it.</p>\n");
    let trust = &i.trust;
    if let Some(p) = &trust.package {
        page.h3("Package");
        package(page, p);
    }
    if let Some(s) = &trust.image {
        page.h3("Disk image");
        let mut facts = Facts::new();
        slice(&mut facts, s);
        page.facts(&facts);
    }
    for t in trust.tickets.iter().take(LIST) {
        page.h3("Notarization ticket");
        page.facts(&ticket(t));
    }
    for a in i.apps.iter().filter(|a| a.signature.is_some() || a.ticket.is_some()).take(LIST) {
        page.h3(&format!("App {}", a.path));
        app(page, a);
    }
    if trust.package.is_none()
        && trust.image.is_none()
        && i.apps.iter().all(|a| a.signature.is_none())
    {
        page.html("<p>No signature was looked at.</p>\n");
    }
    if !trust.not_known.is_empty() {
        page.h3("What the file cannot tell");
        page.html(&lines(trust.not_known.iter().map(String::as_str)));
    }
}

/// The state of a signature as a badge.
pub(super) fn state(state: ClaimState) -> String {
    let (tone, word) = match state {
        ClaimState::Valid => (Tone::Good, "valid"),
        ClaimState::Invalid => (Tone::Bad, "not valid"),
        ClaimState::Untrusted => (Tone::Bad, "not Apple's"),
        ClaimState::Unsigned => (Tone::Open, "not signed"),
        ClaimState::AdHoc => (Tone::Open, "ad hoc: nobody"),
        ClaimState::NotChecked => (Tone::Open, "not fully checked"),
        _ => (Tone::Open, "cannot be checked"),
    };
    badge(tone, word)
}

fn package(page: &mut Page, p: &PackageTrust) {
    let mut facts = Facts::new();
    let why = p.problem.as_deref().unwrap_or_default();
    facts.html("Signature", format!("{}{}", state(p.state), small(why)));
    if p.state == ClaimState::Unsigned {
        return page.facts(&facts);
    }
    match p.counts.as_deref() {
        Some("cms") => facts.add("What counts", "the CMS signature"),
        Some(_) => facts.add("What counts", "the RSA signature: there is no CMS signature"),
        None => {}
    }
    if let Some(s) = p.signer() {
        signer(&mut facts, s);
    }
    if let Some(claim) = &p.cms {
        timestamp(&mut facts, claim);
    }
    facts.html("Signed digest", format!("{} {}", text(&p.toc_algorithm), code(&p.toc_digest)));
    let c = &p.contents;
    let compared = format!("{}, {}", count(c.files, "file"), bytes(c.bytes));
    facts.html("Contents", format!("{} {}", state(c.state), text(&compared)));
    if !c.damaged.is_empty() {
        facts.html("Not as signed", lines(c.damaged.iter().map(String::as_str)));
    }
    if !c.without_checksum.is_empty() {
        facts.html("Not covered", lines(c.without_checksum.iter().map(String::as_str)));
    }
    let unknown: Vec<String> = p
        .uncovered
        .iter()
        .filter(|r| r.holds == "unknown")
        .map(|r| format!("{} at byte {} ({})", bytes(r.length), r.offset, r.place))
        .collect();
    if !unknown.is_empty() {
        facts.html("Bytes outside the signature", lines(unknown.iter().map(String::as_str)));
    }
    page.facts(&facts);
    if let Some(s) = p.signer() {
        chain(page, s);
    }
}

fn signer(facts: &mut Facts, s: &SignerClaim) {
    let name = s.name.as_deref().or_else(|| s.chain.first().map(|c| c.subject.as_str()));
    facts.with("Signed by", name.unwrap_or("nobody that is named"), s.kind.words());
    facts.maybe("Team ID", s.team_id.as_deref());
    match (&s.root, &s.problem) {
        (Some(root), None) => facts.add("Leads to", root),
        (_, why) => facts.add("Leads to", why.as_deref().unwrap_or("no root of Apple's")),
    }
    if let Some(leaf) = s.chain.first() {
        let note = match (s.validity_now, s.validity_at_timestamp) {
            (Some(Validity::Expired), Some(Validity::Valid)) => "expired; valid when it signed",
            (Some(Validity::Expired), _) => "expired",
            (Some(Validity::NotYetValid), _) => "not valid yet",
            _ => "",
        };
        let dates = format!("{} to {}", leaf.not_before, leaf.not_after);
        facts.with("Certificate valid", &dates, note);
    }
}

fn timestamp(facts: &mut Facts, claim: &SignatureClaim) {
    match &claim.timestamp {
        Some(t) => {
            let time = t.time.as_deref().unwrap_or("no time");
            let why = t.problem.as_deref().unwrap_or_default();
            facts.html("Timestamp", format!("{} {}{}", state(t.state), text(time), small(why)));
        }
        None => facts.add("Timestamp", "none"),
    }
}

fn chain(page: &mut Page, s: &SignerClaim) {
    if s.chain.is_empty() {
        return;
    }
    let rows: Vec<Vec<String>> = s
        .chain
        .iter()
        .take(LIST)
        .map(|c| {
            let name = c.common_name.as_deref().unwrap_or(&c.subject);
            vec![text(name), text(&c.not_after), code(&c.sha256)]
        })
        .collect();
    page.table(&["Certificate, signer first", "Valid until", "SHA-256"], &rows, false);
}

fn ticket(t: &TicketInfo) -> Facts {
    let mut facts = Facts::new();
    let names = match t.names_this {
        Some(true) => "it names this very thing",
        Some(false) => "it names something else",
        None => "what it names is not known",
    };
    let why = t.problem.as_deref().unwrap_or_default();
    facts.html("Ticket", format!("{} {}{}", state(t.state), text(names), small(why)));
    facts.html("Stapled to", code(&t.place));
    facts
}

fn app(page: &mut Page, a: &AppInfo) {
    let mut facts = Facts::new();
    if let Some(s) = &a.signature {
        bundle(&mut facts, s);
    }
    if let Some(t) = &a.ticket {
        let why = t.problem.as_deref().unwrap_or_default();
        facts.html("Notarization ticket", format!("{}{}", state(t.state), small(why)));
    }
    page.facts(&facts);
    let Some(s) = &a.signature else { return };
    if let Some(slice) = s.slices.first() {
        if let Some(requirement) = &slice.requirement {
            page.html(&format!(
                "<p>Designated requirement:</p>\n<pre>{}</pre>\n",
                text(requirement)
            ));
        }
        let granted = slice.entitlements.as_ref().and_then(|e| e.as_object());
        if let Some(granted) = granted.filter(|g| !g.is_empty()) {
            let rows: Vec<Vec<String>> = granted
                .iter()
                .take(LIST)
                .map(|(key, value)| vec![code(key), code(&value.to_string())])
                .collect();
            page.table(&["Entitlement", "Value"], &rows, false);
            page.more(granted.len());
        }
    }
    if !s.findings.is_empty() {
        let rows: Vec<Vec<String>> = s
            .findings
            .iter()
            .map(|f| {
                let word = match f.kind {
                    FindingKind::Altered => "altered",
                    FindingKind::Missing => "missing",
                    FindingKind::Added => "added",
                    FindingKind::Code => "code",
                    _ => "unreadable",
                };
                vec![badge(Tone::Bad, word), code(&f.path), text(&f.detail)]
            })
            .collect();
        page.table(&["Finding", "File", "More"], &rows, true);
    }
}

fn bundle(facts: &mut Facts, s: &BundleSignature) {
    let why = s.not_checked.iter().take(5).map(|w| small(w)).collect::<String>();
    facts.html("Code signature", format!("{}{why}", state(s.state)));
    if let Some(first) = s.slices.first() {
        if let Some(id) = &first.identifier {
            facts.html("Signing identifier", code(id));
        }
        facts.maybe("Team ID", first.team_id.as_deref());
        if let Some(claim) = &first.signature {
            if let Some(s) = &claim.signer {
                let name = s.name.as_deref().unwrap_or("nobody that is named");
                facts.with("Signed by", name, s.root.as_deref().unwrap_or_default());
            }
            timestamp(facts, claim);
        }
        facts.add("Hardened runtime", if first.hardened_runtime { "yes" } else { "no" });
        if !first.flags.is_empty() {
            facts.add("Flags", &first.flags.join(", "));
        }
    }
    for slice in s.slices.iter().take(LIST) {
        program(facts, slice);
    }
    if s.seal.sealed > 0 {
        let compared = format!("{} of {} compared", s.seal.checked, count(s.seal.sealed, "file"));
        facts.html("Sealed resources", format!("{} {}", state(s.seal.state), text(&compared)));
    }
    if !s.nested.is_empty() {
        let nested: Vec<String> =
            s.nested.iter().map(|n| format!("{}: {}", n.path, n.state.word())).collect();
        facts.html("Code inside", lines(nested.iter().map(String::as_str)));
    }
}

fn slice(facts: &mut Facts, s: &CodeSignature) {
    let why: String = s.problems.iter().take(5).map(|p| small(p)).collect();
    facts.html("Code signature", format!("{}{why}", state(s.state)));
    if let Some(claim) = &s.signature {
        if let Some(s) = &claim.signer {
            signer(facts, s);
        }
        timestamp(facts, claim);
    }
}

fn program(facts: &mut Facts, s: &CodeSignature) {
    let name = s.architecture.as_deref().unwrap_or("program");
    let why: String = s.problems.iter().take(5).map(|p| small(p)).collect();
    let hash = s.code_directories.first().map(|d| format!("CDHash {}", d.cdhash));
    let hash = small(&hash.unwrap_or_default());
    facts.html(&format!("Program, {name}"), format!("{}{why}{hash}", state(s.state)));
}

pub(super) fn met(met: Met) -> String {
    match met {
        Met::Yes => badge(Tone::Good, "met"),
        Met::No => badge(Tone::Bad, "not met"),
        Met::Unknown => badge(Tone::Open, "not known"),
    }
}

pub(super) fn mdm(page: &mut Page, i: &Inspection) {
    page.h2("mdm", "Apple’s own MDM channel");
    let verdict = &i.apple_mdm;
    let answer = match verdict.qualifies {
        Met::Yes => "As far as the file tells, Apple’s channel takes it.",
        Met::No => "Apple’s channel does not take it.",
        Met::Unknown => "It is not known whether Apple’s channel takes it.",
    };
    page.html(&format!("<p><strong>{}</strong></p>\n", text(answer)));
    points(page, &verdict.points);
    if verdict.managed_points.is_empty() {
        return;
    }
    page.h3("For a managed installation");
    let answer = match verdict.managed {
        Met::Yes => "It can be installed as managed.",
        Met::No => "It cannot be installed as managed.",
        Met::Unknown => "It is not known whether it can be installed as managed.",
    };
    page.html(&format!("<p>{}</p>\n", text(answer)));
    points(page, &verdict.managed_points);
}

fn points(page: &mut Page, points: &[MdmPoint]) {
    let rows: Vec<Vec<String>> = points
        .iter()
        .map(|p| {
            let remark = if p.counts { "" } else { "The answer does not depend on it." };
            vec![
                met(p.met),
                format!("{}{}", text(p.requirement), small(p.code)),
                format!("{}{}", text(&p.detail), small(remark)),
            ]
        })
        .collect();
    page.table(&["State", "Requirement", "Why"], &rows, true);
}
