//! What an archive's manifest says of the input's signatures: the same on any day, so nothing
//! about "now".

use mip_signing::apple::{ClaimState, LeafKind, SignerClaim};

use crate::inspection::{Inspection, TicketInfo};

/// One row of `MIPClaims`. Not escaped, but for problems.
pub(crate) struct Claim {
    /// `package-signature`, `image-signature`, `app-signature`, `notarization-ticket`.
    pub(crate) kind: &'static str,
    /// Who claims it.
    pub(crate) subject: Option<String>,
    /// The check and its result.
    pub(crate) check: String,
}

/// The claims of an input. What is not signed claims nothing.
pub(crate) fn claims(found: &Inspection) -> Vec<Claim> {
    let trust = &found.trust;
    let mut out = Vec::new();
    if let Some(p) = trust.package.as_ref().filter(|p| p.state != ClaimState::Unsigned) {
        let signature = p.counts.as_deref().unwrap_or("no").to_uppercase();
        let mut parts = vec![format!("{signature} signature over the {} digest", p.toc_algorithm)];
        match p.contents.state {
            ClaimState::Valid => parts.push(format!("{} files compared", p.contents.files)),
            ClaimState::Invalid => parts.push("files differ".to_owned()),
            _ => parts.push("files not compared".to_owned()),
        }
        let timestamp = p.cms.as_ref().and_then(|c| c.timestamp.as_ref());
        let trusted = timestamp.filter(|t| t.state == ClaimState::Valid);
        parts.extend(trusted.and_then(|t| t.time.as_ref()).map(|t| format!("timestamp {t}")));
        out.push(Claim {
            kind: "package-signature",
            subject: p.signer().and_then(who),
            check: check(p.state, &parts),
        });
    }
    let image = trust.image.as_ref().filter(|s| s.state != ClaimState::Unsigned);
    if let Some(s) = image {
        let signer = s.signature.as_ref().and_then(|c| c.signer.as_ref());
        out.push(Claim {
            kind: "image-signature",
            subject: signer.and_then(who),
            check: check(s.state, &[]),
        });
    }
    for a in found.apps.iter().filter(|a| !a.nested) {
        let Some(s) = a.signature.as_ref().filter(|s| s.state != ClaimState::Unsigned) else {
            continue;
        };
        let first = s.slices.first();
        let signer = first.and_then(|s| s.signature.as_ref()?.signer.as_ref());
        let parts: Vec<String> = first
            .and_then(|s| s.identifier.clone())
            .map(|i| format!("identifier {i}"))
            .into_iter()
            .collect();
        out.push(Claim {
            kind: "app-signature",
            subject: signer.and_then(who),
            check: check(s.state, &parts),
        });
    }
    let of_apps = found.apps.iter().filter(|a| !a.nested).filter_map(|a| a.ticket.as_ref());
    out.extend(trust.tickets.iter().chain(of_apps).map(|t| Claim {
        kind: "notarization-ticket",
        subject: None,
        check: check(t.state, &[names(t).to_owned()]),
    }));
    out
}

fn names(t: &TicketInfo) -> &'static str {
    match t.names_this {
        Some(true) => "names what it is stapled to",
        Some(false) => "names something else",
        None => "what it names is not known",
    }
}

fn check(state: ClaimState, parts: &[String]) -> String {
    if parts.is_empty() {
        state.word().to_owned()
    } else {
        format!("{}: {}", state.word(), parts.join(", "))
    }
}

/// `Developer ID Installer: NAME (TEAM)`.
fn who(s: &SignerClaim) -> Option<String> {
    let kind = match s.kind {
        LeafKind::DeveloperIdInstaller => "Developer ID Installer",
        LeafKind::DeveloperIdApplication => "Developer ID Application",
        LeafKind::MacInstallerDistribution => "Mac Installer Distribution",
        LeafKind::AppDistribution => "Apple Distribution",
        LeafKind::MacAppStore => "Mac App Store",
        LeafKind::Development => "Apple Development",
        LeafKind::Apple => "Apple",
        _ => "other",
    };
    let name = s.name.as_deref()?;
    let team = s.team_id.as_deref().map(|t| format!(" ({t})")).unwrap_or_default();
    Some(format!("{kind}: {name}{team}"))
}
