//! A requirement against what a signature says.

use mip_base::hex;
use mip_signing::apple::{ClaimState, LeafKind, SignerClaim};

use super::read::read;
use super::text::oid_text;
use super::{Expr, Match};
use crate::claims::CodeSignature;

/// The CDHashes, lower-case hex, of a requirement that is nothing but a choice of them, as
/// `codesign` writes for code without a certificate (one for each slice); else none.
pub(crate) fn pins(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut left: Vec<Expr> = read(text).into_iter().collect();
    while let Some(expr) = left.pop() {
        match expr {
            Expr::Or(a, b) => left.extend([*a, *b]),
            Expr::CdHash(hash) => out.push(mip_base::hex(&hash)),
            _ => return Vec::new(),
        }
    }
    out
}

/// Whether all slices meet the requirement `text`; `None`: it cannot be told.
pub(crate) fn is_met(text: &str, slices: &[CodeSignature]) -> Option<bool> {
    let expr = read(text)?;
    let met = slices.iter().map(|s| Facts::of(s).satisfy(&expr));
    met.reduce(and).flatten()
}

/// What is known of a signature. What is not known makes no requirement fail.
pub(super) struct Facts<'a> {
    signature: &'a CodeSignature,
    signer: Signer<'a>,
}

#[derive(Clone, Copy)]
enum Signer<'a> {
    NotKnown,
    /// It is ad-hoc: there are no certificates.
    Nobody,
    Is(&'a SignerClaim),
}

fn and(a: Option<bool>, b: Option<bool>) -> Option<bool> {
    match (a, b) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

impl<'a> Facts<'a> {
    pub(super) fn of(signature: &'a CodeSignature) -> Self {
        let ad_hoc = signature.flags.iter().any(|f| f == "adhoc");
        let claim = signature.signature.as_ref();
        // What an unreadable or wrong signature says of its signer is not known.
        let claim = claim.filter(|c| matches!(c.state, ClaimState::Valid | ClaimState::Untrusted));
        let signer = match claim.and_then(|c| c.signer.as_ref()) {
            _ if ad_hoc => Signer::Nobody,
            Some(signer) => Signer::Is(signer),
            None => Signer::NotKnown,
        };
        Self { signature, signer }
    }

    fn of_signer(&self, holds: impl FnOnce(&SignerClaim) -> Option<bool>) -> Option<bool> {
        match self.signer {
            Signer::NotKnown => None,
            Signer::Nobody => Some(false),
            Signer::Is(signer) => holds(signer),
        }
    }

    /// Whether the signature satisfies `expr`; `None` when that depends on what is not known.
    pub(super) fn satisfy(&self, expr: &Expr) -> Option<bool> {
        match expr {
            Expr::Never => Some(false),
            Expr::Always => Some(true),
            Expr::Identifier(name) => {
                self.signature.identifier.as_ref().map(|have| have.as_bytes() == name)
            }
            Expr::And(a, b) => and(self.satisfy(a), self.satisfy(b)),
            Expr::Or(a, b) => match (self.satisfy(a), self.satisfy(b)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
            Expr::Not(a) => self.satisfy(a).map(|holds| !holds),
            Expr::CdHash(digest) => {
                let digest = hex(digest);
                Some(self.signature.code_directories.iter().any(|d| d.cdhash == digest))
            }
            Expr::AppleGenericAnchor => self.of_signer(|s| Some(s.root.is_some())),
            Expr::AppleAnchor => {
                self.of_signer(|s| Some(s.root.is_some() && s.kind == LeafKind::Apple))
            }
            Expr::CertField(slot, field, m) => self.of_signer(|s| subject(s, *slot, field, m)),
            Expr::CertGeneric(slot, oid, m) => self.of_signer(|s| marker(s, *slot, oid, m)),
            _ => None,
        }
    }
}

/// A part of the subject of a certificate.
fn subject(signer: &SignerClaim, slot: i32, field: &[u8], m: &Match) -> Option<bool> {
    let value = match (slot, field) {
        (0, b"subject.OU") => signer.team_id.as_deref()?,
        (0, b"subject.CN") => signer.chain.first()?.common_name.as_deref()?,
        _ => return None,
    };
    compare(value, m)
}

/// One of Apple's marker extensions in a certificate.
fn marker(signer: &SignerClaim, slot: i32, oid: &[u8], m: &Match) -> Option<bool> {
    let developer_id = signer.kind == LeafKind::DeveloperIdApplication;
    match (slot, oid_text(oid).as_str(), m) {
        (0, "1.2.840.113635.100.6.1.13", Match::Exists) => Some(developer_id),
        (0, "1.2.840.113635.100.6.1.9", Match::Exists) => {
            Some(signer.kind == LeafKind::MacAppStore)
        }
        // The intermediate of Developer ID: without it, the leaf would not count as one.
        (1, "1.2.840.113635.100.6.2.6", Match::Exists) => {
            (developer_id && signer.root.is_some()).then_some(true)
        }
        _ => None,
    }
}

fn compare(value: &str, m: &Match) -> Option<bool> {
    let value = value.as_bytes();
    match m {
        Match::Exists => Some(true),
        Match::Absent => Some(false),
        Match::Equal(v) => Some(value == v),
        Match::BeginsWith(v) => Some(value.starts_with(v)),
        Match::EndsWith(v) => Some(value.ends_with(v)),
        Match::Contains(v) => Some(v.is_empty() || value.windows(v.len()).any(|w| w == v)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::CodeDirectoryHash;
    use mip_signing::apple::{CertificateClaim, SignatureClaim};

    fn signature(root: bool) -> CodeSignature {
        let mut certificate = CertificateClaim::default();
        certificate.common_name = Some("Developer ID Application: Example (ABCDE12345)".into());
        let mut signer = SignerClaim::default();
        signer.chain = vec![certificate];
        signer.root = root.then(|| "Apple Root CA".into());
        signer.kind = LeafKind::DeveloperIdApplication;
        signer.team_id = Some("ABCDE12345".into());
        let mut claim = SignatureClaim::default();
        claim.state = if root { ClaimState::Valid } else { ClaimState::Untrusted };
        claim.signer = Some(signer);
        let hash = CodeDirectoryHash { cdhash: "01".repeat(20), ..CodeDirectoryHash::default() };
        CodeSignature {
            identifier: Some("org.example".into()),
            code_directories: vec![hash],
            signature: Some(claim),
            ..CodeSignature::default()
        }
    }

    fn ou(team: &str) -> Expr {
        Expr::CertField(0, b"subject.OU".to_vec(), Match::Equal(team.into()))
    }

    fn and(a: Expr, b: Expr) -> Expr {
        Expr::And(Box::new(a), Box::new(b))
    }

    #[test]
    fn what_is_known_decides_and_the_rest_does_not() {
        let valid = signature(true);
        let untrusted = signature(false);
        let leaf = b"\x2a\x86\x48\x86\xf7\x63\x64\x06\x01\x0d".to_vec();
        let store = b"\x2a\x86\x48\x86\xf7\x63\x64\x06\x01\x09".to_vec();
        let between = b"\x2a\x86\x48\x86\xf7\x63\x64\x06\x02\x06".to_vec();
        let unknown = || Expr::Info(b"CFBundleVersion".to_vec(), Match::Exists);
        let no = || Expr::Identifier(b"org.other".to_vec());
        for (expr, expected, without_root) in [
            (Expr::Identifier(b"org.example".to_vec()), Some(true), Some(true)),
            (no(), Some(false), Some(false)),
            (Expr::CdHash(vec![1; 20]), Some(true), Some(true)),
            (Expr::CdHash(vec![2; 20]), Some(false), Some(false)),
            (Expr::AppleGenericAnchor, Some(true), Some(false)),
            (Expr::AppleAnchor, Some(false), Some(false)),
            (ou("ABCDE12345"), Some(true), Some(true)),
            (ou("OTHER12345"), Some(false), Some(false)),
            (Expr::CertGeneric(0, leaf, Match::Exists), Some(true), Some(true)),
            (Expr::CertGeneric(0, store, Match::Exists), Some(false), Some(false)),
            (Expr::CertGeneric(1, between, Match::Exists), Some(true), None),
            (unknown(), None, None),
            (and(unknown(), no()), Some(false), Some(false)),
            (and(unknown(), ou("ABCDE12345")), None, None),
            (Expr::Or(Box::new(unknown()), Box::new(Expr::Always)), Some(true), Some(true)),
            (Expr::Or(Box::new(unknown()), Box::new(no())), None, None),
            (Expr::Not(Box::new(no())), Some(true), Some(true)),
            (Expr::Not(Box::new(unknown())), None, None),
            (Expr::Never, Some(false), Some(false)),
        ] {
            assert_eq!(Facts::of(&valid).satisfy(&expr), expected, "{expr:?}");
            assert_eq!(Facts::of(&untrusted).satisfy(&expr), without_root, "{expr:?}");
        }
        // A signature that does not hold says nothing of its signer.
        let mut invalid = signature(true);
        invalid.signature.as_mut().unwrap().state = ClaimState::Invalid;
        assert_eq!(Facts::of(&invalid).satisfy(&Expr::AppleGenericAnchor), None);
        assert_eq!(Facts::of(&invalid).satisfy(&ou("OTHER12345")), None);
    }

    const DEVELOPER_ID: &str = "identifier org.example and anchor apple generic and certificate 1[field.1.2.840.113635.100.6.2.6] /* exists */ and certificate leaf[field.1.2.840.113635.100.6.1.13] /* exists */ and certificate leaf[subject.OU] = ABCDE12345";

    #[test]
    fn requirements_of_seals() {
        let ours = [signature(true)];
        let h = "01".repeat(20);
        for (text, want) in [
            (DEVELOPER_ID.to_owned(), Some(true)),
            (DEVELOPER_ID.replace("ABCDE12345", "OTHER"), Some(false)),
            (DEVELOPER_ID.replace("org.example", "org.other"), Some(false)),
            (DEVELOPER_ID.replace(".6.1.13", ".6.1.99"), None),
            (format!("cdhash H\"00\" or cdhash H\"{h}\""), Some(true)),
            ("cdhash H\"00\"".to_owned(), Some(false)),
            ("!identifier org.example".to_owned(), Some(false)),
            ("(anchor apple or anchor apple generic) and identifier x".to_owned(), Some(false)),
            ("anchor trusted".to_owned(), None),
        ] {
            assert_eq!(is_met(&text, &ours), want, "{text}");
        }
        assert_eq!(is_met("identifier x", &[]), None);
    }

    #[test]
    fn every_slice_must_meet_it() {
        let mut other = signature(true);
        let signer = other.signature.as_mut().unwrap().signer.as_mut().unwrap();
        signer.team_id = Some("OTHER".into());
        assert_eq!(is_met(DEVELOPER_ID, &[signature(true), other]), Some(false));
        // A claim that leads nowhere names a team in vain, and so does who has no certificate.
        assert_eq!(is_met(DEVELOPER_ID, &[signature(false)]), Some(false));
        let mut nobody = signature(true);
        (nobody.flags, nobody.signature) = (vec!["adhoc".into()], None);
        assert_eq!(is_met(DEVELOPER_ID, &[nobody]), Some(false));
    }

    #[test]
    fn parts_of_a_subject_are_compared() {
        let v = |m: Match| compare("Example", &m);
        assert_eq!(v(Match::Exists), Some(true));
        assert_eq!(v(Match::Absent), Some(false));
        assert_eq!(v(Match::BeginsWith(b"Exa".to_vec())), Some(true));
        assert_eq!(v(Match::EndsWith(b"Exa".to_vec())), Some(false));
        assert_eq!(v(Match::Contains(b"amp".to_vec())), Some(true));
        assert_eq!(v(Match::Contains(Vec::new())), Some(true));
        assert_eq!(v(Match::Contains(b"longer than it".to_vec())), Some(false));
        assert_eq!(v(Match::Less(b"F".to_vec())), None);
    }
}
