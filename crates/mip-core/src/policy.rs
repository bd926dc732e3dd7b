//! What an input must be: claims turned into refusals.
//!
//! What counts is the signature of what is installed: the package, or the app that the
//! installer is about. That of a disk image around it is not enough, because an unsigned package
//! stays unsigned on a signed image; but one that is there and does not hold is a refusal too.

use mip_base::{Code, Error, Result, escape};
use mip_signing::apple::{ClaimState, LeafKind};

use crate::inspect::{InspectOptions, SignatureScan};
use crate::inspection::{
    AppInfo, CodeSignature, InputFormat, Inspection, InstallerKind, TicketInfo, WARNINGS, Warning,
};

/// What an input must be to be accepted. By default everything is.
///
/// A requirement on the signature needs every signed byte compared:
/// [`applied_to`](Self::applied_to) asks for that.
///
/// ```
/// use mip_core::{Code, Input, InspectOptions, Job, SourcePolicy, inspect};
///
/// let mut policy = SourcePolicy::default();
/// policy.team_id = Some("G43BCU2T37".to_owned());
/// let package = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/pkg/distribution/Sample.pkg");
/// let options = policy.applied_to(InspectOptions::new());
/// let found = inspect(&Input::path(package), &options, &Job::default())?;
/// let e = policy.check(&found, &found.warnings).unwrap_err();
/// assert_eq!(e.code(), Code::SourceUnsigned);
/// # Ok::<(), mip_core::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourcePolicy {
    /// It must be signed, all that is signed must be as it was, and the signature must lead to a
    /// root of Apple's.
    pub signed: bool,
    /// The Team ID that must have signed it; as [`signed`](Self::signed).
    pub team_id: Option<String>,
    /// A notarization ticket that Apple signed must be stapled to it, or to the disk image that
    /// it is in, and name what it is stapled to, which must be as it was signed. Notarization
    /// that is not stapled cannot be seen.
    pub notarized: bool,
    /// Codes of warnings that it must not have.
    pub deny: Vec<String>,
}

impl SourcePolicy {
    /// Whether nothing is required.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The options under which an input must be inspected for [`check`](Self::check): a
    /// requirement on its signature needs all of it compared.
    #[must_use]
    pub fn applied_to(&self, mut options: InspectOptions) -> InspectOptions {
        if self.signed || self.team_id.is_some() || self.notarized {
            options.signatures = SignatureScan::Full;
        }
        options
    }

    /// Checks that the codes to deny are codes of warnings.
    ///
    /// # Errors
    /// [`Code::Usage`].
    pub fn known(&self) -> Result<()> {
        match self.deny.iter().find(|c| !WARNINGS.iter().any(|w| w.code == c.as_str())) {
            Some(code) => Err(Error::new(
                Code::Usage,
                format!("there is no warning with the code \"{}\"", escape(code)),
            )
            .hint("`mip exit-codes` lists them all")),
            None => Ok(()),
        }
    }

    /// Checks an inspection, and the warnings of a conversion where there is one.
    ///
    /// # Errors
    /// [`Code::SourceUnsigned`], [`Code::SourceSignature`], [`Code::SourceTeam`],
    /// [`Code::SourceNotarization`], [`Code::Denied`]; [`Code::Usage`] for a code to deny that no
    /// warning has.
    pub fn check(&self, found: &Inspection, warnings: &[Warning]) -> Result<()> {
        self.known()?;
        // A ticket names a signature: without one that holds it says nothing of the bytes.
        if self.signed || self.team_id.is_some() || self.notarized {
            signed(found, self.team_id.as_deref())?;
        }
        if self.notarized {
            notarized(found)?;
        }
        self.denied(warnings)
    }

    /// Checks warnings alone: all that there is of an input that was not read.
    ///
    /// # Errors
    /// As [`check`](Self::check); a requirement on a signature fails.
    pub fn check_unread(&self, warnings: &[Warning]) -> Result<()> {
        self.known()?;
        if self.signed || self.team_id.is_some() {
            let why = "the input was not read, so nothing is known of its signature";
            return Err(Error::new(Code::SourceUnsigned, why));
        }
        if self.notarized {
            let why = "the input was not read, so nothing is known of its notarization";
            return Err(Error::new(Code::SourceNotarization, why));
        }
        self.denied(warnings)
    }

    fn denied(&self, warnings: &[Warning]) -> Result<()> {
        let hit = |w: &&Warning| self.deny.iter().any(|c| c == w.code);
        match warnings.iter().find(hit) {
            Some(w) => {
                Err(Error::new(Code::Denied, format!("{}: {}", w.code, w.message)).hint(w.advice))
            }
            None => Ok(()),
        }
    }
}

/// What the signature of the thing to install is worth.
struct Signed<'a> {
    what: String,
    state: ClaimState,
    why: String,
    /// Who signed each part, as Team IDs; `None` for a part that names no team.
    teams: Vec<Option<&'a str>>,
}

fn subject(found: &Inspection) -> Option<Signed<'_>> {
    if let Some(p) = &found.trust.package {
        return Some(Signed {
            what: format!("the package {}", p.place),
            state: p.state,
            why: p.problem.clone().unwrap_or_default(),
            teams: vec![p.signer().and_then(|s| s.team_id.as_deref())],
        });
    }
    if found.input.kind == InstallerKind::App {
        return found.primary_app().map(app);
    }
    None
}

fn app(a: &AppInfo) -> Signed<'_> {
    let signature = a.signature.as_ref();
    let slices = signature.map_or(&[][..], |s| s.slices.as_slice());
    let of_slice = |s: &'_ CodeSignature| s.problems.clone();
    let why = signature.map_or_else(Vec::new, |s| {
        let findings = s.findings.iter().map(|f| format!("{}: {}", escape(&f.path), f.detail));
        let problems = s.slices.iter().flat_map(of_slice);
        problems.chain(findings).chain(s.not_checked.iter().cloned()).take(5).collect()
    });
    Signed {
        what: format!("the app {}", a.place),
        // Not looked at is not signed, as far as is known.
        state: signature.map_or(ClaimState::NotChecked, |s| s.state),
        why: why.join("; "),
        teams: slices.iter().map(team).collect(),
    }
}

/// The team of the certificate; a program that Apple signed for a developer (App Store) has the
/// developer's in its code directory only. Of anybody else's program that proves nothing: whoever
/// signs writes there what he likes.
fn team(s: &CodeSignature) -> Option<&str> {
    let signer = s.signature.as_ref()?.signer.as_ref()?;
    let by_apple = matches!(signer.kind, LeafKind::Apple | LeafKind::MacAppStore);
    signer.team_id.as_deref().or(s.team_id.as_deref().filter(|_| by_apple))
}

fn signed(found: &Inspection, team_id: Option<&str>) -> Result<()> {
    let bad = |code, text: String| Err(Error::new(code, text));
    let Some(subject) = subject(found) else {
        let what = match found.input.format {
            InputFormat::Folder => "a package that is a folder carries no signature",
            _ => "there is no one thing to install whose signature could count",
        };
        return bad(Code::SourceUnsigned, what.to_owned());
    };
    let Signed { what, why, .. } = &subject;
    let because = if why.is_empty() { String::new() } else { format!(": {why}") };
    match subject.state {
        ClaimState::Valid => {}
        ClaimState::Unsigned => {
            return bad(Code::SourceUnsigned, format!("{what} is not signed"));
        }
        ClaimState::AdHoc => {
            return bad(Code::SourceUnsigned, format!("{what} is signed by nobody (ad hoc)"));
        }
        ClaimState::NotChecked => {
            let text = format!("the signature of {what} was not checked to its end{because}");
            return bad(Code::SourceSignature, text);
        }
        ClaimState::Untrusted => {
            let text = format!("the signature of {what} does not lead to Apple's roots{because}");
            return bad(Code::SourceSignature, text);
        }
        _ => {
            let text = format!("the signature of {what} does not hold{because}");
            return bad(Code::SourceSignature, text);
        }
    }
    if let Some(image) = found.trust.image.as_ref().filter(|i| i.state == ClaimState::Invalid) {
        let text =
            format!("the signature of the disk image does not hold: {}", image.problems.join("; "));
        return bad(Code::SourceSignature, text);
    }
    let Some(want) = team_id else { return Ok(()) };
    let other = subject.teams.iter().find(|t| **t != Some(want));
    match (other, subject.teams.is_empty()) {
        (None, false) => Ok(()),
        (Some(Some(team)), _) => bad(
            Code::SourceTeam,
            format!("{what} is signed by the team {}, not by {}", escape(team), escape(want)),
        ),
        _ => bad(
            Code::SourceTeam,
            format!("the signature of {what} names no team, and {} was asked for", escape(want)),
        ),
    }
}

fn notarized(found: &Inspection) -> Result<()> {
    let primary = found.primary_app().filter(|_| found.input.kind == InstallerKind::App);
    let tickets = || found.trust.tickets.iter().chain(primary.and_then(|a| a.ticket.as_ref()));
    // What bears the ticket must be as it was signed. The subject is; of an image that is known
    // only where all of it was compared.
    let of_image = |t: &TicketInfo| found.image.as_ref().is_some_and(|i| i.place == t.place);
    let whole = found.trust.image.as_ref().is_some_and(|i| i.state == ClaimState::Valid);
    let counts = |t: &TicketInfo| {
        t.state == ClaimState::Valid && t.names_this == Some(true) && (whole || !of_image(t))
    };
    if tickets().any(counts) {
        return Ok(());
    }
    let text = match tickets().next() {
        None => "no notarization ticket is stapled to it".to_owned(),
        Some(t) => format!(
            "the notarization ticket stapled to {} does not count: {}",
            t.place,
            t.problem.as_deref().unwrap_or("it is not known whether it was made for this")
        ),
    };
    Err(Error::new(Code::SourceNotarization, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mip_signing::apple::{SignatureClaim, SignerClaim};

    /// Apple issues certificates without a team of ours to anyone; the code directory is what
    /// the signer wrote.
    #[test]
    fn a_team_in_the_code_directory_counts_for_what_apple_signed_alone() {
        for (kind, want) in [
            (LeafKind::MacAppStore, Some("TEAM123456")),
            (LeafKind::Apple, Some("TEAM123456")),
            (LeafKind::Other, None),
            (LeafKind::DeveloperIdApplication, None),
        ] {
            let mut signer = SignerClaim::default();
            signer.kind = kind;
            let mut claim = SignatureClaim::default();
            (claim.state, claim.signer) = (ClaimState::Valid, Some(signer));
            let mut slice = CodeSignature::default();
            (slice.team_id, slice.signature) = (Some("TEAM123456".to_owned()), Some(claim));
            assert_eq!(team(&slice), want, "{kind:?}");
        }
    }
}
