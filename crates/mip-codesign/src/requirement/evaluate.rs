//! A requirement against what a signature says.

use mip_base::hex;
use mip_signing::apple::{ClaimState, LeafKind, SignerClaim};

use super::text::oid_text;
use super::{Expr, Match};
use crate::claims::CodeSignature;

/// What is known of a signature. What is not known makes no requirement fail.
pub(crate) struct Facts<'a> {
    signature: &'a CodeSignature,
    signer: Option<&'a SignerClaim>,
}

impl<'a> Facts<'a> {
    pub(crate) fn of(signature: &'a CodeSignature) -> Self {
        let claim = signature.signature.as_ref();
        // What an unreadable or wrong signature says of its signer is not known.
        let claim = claim.filter(|c| matches!(c.state, ClaimState::Valid | ClaimState::Untrusted));
        Self { signature, signer: claim.and_then(|c| c.signer.as_ref()) }
    }

    /// Whether the signature satisfies `expr`; `None` when that depends on what is not known.
    pub(crate) fn satisfy(&self, expr: &Expr) -> Option<bool> {
        match expr {
            Expr::Never => Some(false),
            Expr::Always => Some(true),
            Expr::Identifier(name) => {
                self.signature.identifier.as_ref().map(|have| have.as_bytes() == name)
            }
            Expr::And(a, b) => match (self.satisfy(a), self.satisfy(b)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
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
            Expr::AppleGenericAnchor => self.signer.map(|s| s.root.is_some()),
            Expr::AppleAnchor => {
                let signer = self.signer?;
                Some(signer.root.is_some() && signer.kind == LeafKind::Apple)
            }
            Expr::CertField(0, field, m) => {
                let signer = self.signer?;
                let value = match field.as_slice() {
                    b"subject.OU" => signer.team_id.as_deref()?,
                    b"subject.CN" => signer.chain.first()?.common_name.as_deref()?,
                    _ => return None,
                };
                compare(value, m)
            }
            Expr::CertGeneric(0, oid, Match::Exists) => {
                let kind = self.signer?.kind;
                match oid_text(oid).as_str() {
                    "1.2.840.113635.100.6.1.13" => Some(kind == LeafKind::DeveloperIdApplication),
                    "1.2.840.113635.100.6.1.9" => Some(kind == LeafKind::MacAppStore),
                    _ => None,
                }
            }
            // The intermediate of Developer ID: without it, the leaf would not count as one.
            Expr::CertGeneric(1, oid, Match::Exists)
                if oid_text(oid) == "1.2.840.113635.100.6.2.6" =>
            {
                let signer = self.signer?;
                let known = signer.kind == LeafKind::DeveloperIdApplication;
                (known && signer.root.is_some()).then_some(true)
            }
            _ => None,
        }
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
