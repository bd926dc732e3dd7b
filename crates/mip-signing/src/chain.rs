//! From the signer's certificate to a trust anchor: explicit anchors, a closed policy.

use std::fmt;

use mip_base::{Code, Error, Result};

use crate::algorithm::Check;
use crate::certificate::Certificate;
use crate::{oid, pem};

/// Certificates in a path, signer and anchor included.
pub(crate) const MAX_DEPTH: usize = 6;
/// Signature checks for one verification (RUSTSEC-2023-0053: paths that never end).
const MAX_CHECKS: u32 = 100;

/// The certificates that the caller trusts. Nothing is trusted that was not named here: the
/// store of the operating system is never looked at.
#[derive(Clone, Default)]
pub struct Anchors(Vec<Certificate>);

impl Anchors {
    /// No anchors: at most "intact, signer unknown" can be said.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// All certificates of a PEM file (or one DER certificate). A certificate authority
    /// vouches for what it issued; any other certificate is a pin and vouches for itself.
    ///
    /// # Errors
    /// [`Code::Certificate`] when there is no certificate, or one that cannot be read.
    pub fn from_pem(pem: &[u8]) -> Result<Self> {
        let mut found = pem::certificates(pem, Code::Certificate)?;
        if found.is_empty() && pem.first() == Some(&crate::asn1::SEQUENCE) {
            found.push(pem.to_vec());
        }
        if found.is_empty() {
            return Err(Error::new(
                Code::Certificate,
                "there is no certificate in the trust anchor file",
            )
            .hint("give a PEM file with a CERTIFICATE block"));
        }
        let read = |der: &Vec<u8>| {
            Certificate::parse(der).map_err(|why| {
                Error::new(Code::Certificate, format!("a trust anchor cannot be read: {why}"))
            })
        };
        found.iter().map(read).collect::<Result<_>>().map(Self)
    }

    /// Adds the anchors of another set.
    pub fn extend(&mut self, other: Anchors) {
        self.0.extend(other.0);
    }

    /// No anchor was named.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What the anchors say of themselves.
    pub fn iter(&self) -> impl Iterator<Item = &crate::CertificateInfo> {
        self.0.iter().map(|c| &c.info)
    }

    fn has(&self, certificate: &Certificate) -> bool {
        self.0.iter().any(|a| a.der == certificate.der)
    }
}

impl fmt::Debug for Anchors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|a| &a.info.subject)).finish()
    }
}

/// How far a valid signature can be believed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trust {
    /// The signer leads to an anchor that the caller named, by the whole policy.
    Trusted,
    /// The archive is what the signer signed, but nothing vouches for the signer.
    UnknownSigner {
        /// [`Code::NoAnchor`] or [`Code::SignerUntrusted`].
        code: Code,
        /// Why, in plain words; names in it are escaped.
        reason: String,
    },
}

impl Trust {
    /// [`Trust::Trusted`].
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        matches!(self, Self::Trusted)
    }
}

fn bad(why: impl Into<String>) -> Error {
    Error::new(Code::MipSignature, why).within("signature")
}

/// The subject, for messages.
pub(crate) fn shown(c: &Certificate) -> String {
    let text = mip_base::escape(&c.info.subject);
    format!("\"{text}\"")
}

/// Puts the certificates of a bag in order, signer first. Every one must be part of the one
/// path, and every link but the last must hold: no byte of the bag is left uncovered.
pub(crate) fn order(
    bag: Vec<Certificate>,
    issuer: &[u8],
    serial: &[u8],
) -> Result<Vec<Certificate>> {
    let mut rest = bag;
    let first = rest.iter().position(|c| c.issuer == issuer && c.serial == serial);
    let first = first.ok_or_else(|| bad("the signer's certificate is not in the signature"))?;
    let mut path = vec![rest.swap_remove(first)];
    while let Some(last) = path.last() {
        if rest.is_empty() {
            break;
        }
        if last.self_issued() {
            return Err(bad("there is a certificate that is not part of the signer's chain"));
        }
        let mut next = rest.iter().enumerate().filter(|(_, c)| c.subject == last.issuer);
        let (Some((i, issuer)), None) = (next.next(), next.next()) else {
            return Err(bad("the certificates do not form one chain"));
        };
        match issuer.key.check(&last.signature_algorithm, &last.tbs, &last.signature) {
            Check::Holds => {}
            Check::Fails => {
                return Err(bad(format!(
                    "the certificate {} was not issued by {}",
                    shown(last),
                    shown(issuer)
                )));
            }
            Check::Weak(what) => return Err(weak(&what)),
            Check::Unsupported(what) => {
                return Err(bad(format!("a certificate uses {what}, which is not supported")));
            }
        }
        if issuer.self_issued() {
            return Err(bad("there is a root certificate, which only an anchor can be"));
        }
        path.push(rest.swap_remove(i));
    }
    Ok(path)
}

pub(crate) fn weak(what: &str) -> Error {
    Error::new(Code::WeakAlg, format!("the signature depends on {what}")).within("signature")
}

/// Judges an ordered path at time `at` (Unix seconds).
pub(crate) fn judge(path: &[Certificate], anchors: &Anchors, at: u64) -> Trust {
    if anchors.is_empty() {
        let reason = "no trust anchor was given, so nothing vouches for the signer".into();
        return Trust::UnknownSigner { code: Code::NoAnchor, reason };
    }
    match lead_to_anchor(path, anchors, at) {
        Ok(()) => Trust::Trusted,
        Err(reason) => Trust::UnknownSigner { code: Code::SignerUntrusted, reason },
    }
}

fn lead_to_anchor(
    path: &[Certificate],
    anchors: &Anchors,
    at: u64,
) -> std::result::Result<(), String> {
    let (Some(leaf), Some(last)) = (path.first(), path.last()) else {
        return Err("there is no certificate".into());
    };
    let pinned = anchors.has(leaf);
    if anchors.has(last) {
        return policy(&path.iter().collect::<Vec<_>>(), pinned, at);
    }
    let mut reason = if pinned {
        format!(
            "the signer is a trust anchor, but no anchor covers {}, which the archive carries too",
            shown(last)
        )
    } else {
        format!("no trust anchor issued {}", shown(last))
    };
    let mut checks = 0u32;
    for anchor in anchors.0.iter().filter(|a| a.subject == last.issuer) {
        checks = checks.saturating_add(1);
        if checks > MAX_CHECKS {
            return Err(format!(
                "more than {MAX_CHECKS} trust anchors have the name of the issuer"
            ));
        }
        match anchor.key.check(&last.signature_algorithm, &last.tbs, &last.signature) {
            Check::Holds => {}
            Check::Fails => continue,
            Check::Weak(what) | Check::Unsupported(what) => {
                reason = format!("{} depends on {what}", shown(last));
                continue;
            }
        }
        let whole: Vec<_> = path.iter().chain([anchor]).collect();
        match policy(&whole, pinned, at) {
            Ok(()) => return Ok(()),
            Err(why) => reason = why,
        }
    }
    Err(reason)
}

/// The rules of RFC 5280 §6.1 that apply, and the purpose. `pinned`: the signer itself is an anchor.
fn policy(path: &[&Certificate], pinned: bool, at: u64) -> std::result::Result<(), String> {
    if path.len() > MAX_DEPTH {
        return Err(format!("the chain has {} certificates, more than {MAX_DEPTH}", path.len()));
    }
    let mut below = 0u64;
    for (i, c) in path.iter().enumerate() {
        if at < c.info.not_before {
            return Err(format!("{} is not valid yet", shown(c)));
        }
        if at > c.info.not_after {
            return Err(format!("{} has expired", shown(c)));
        }
        let e = &c.extensions;
        if let Some(what) = e.unknown_critical.last() {
            return Err(format!(
                "{} has a critical extension that is not known ({})",
                shown(c),
                oid::text(what)
            ));
        }
        if e.name_constraints {
            return Err(format!("{} has name constraints, which are not supported", shown(c)));
        }
        if let Some(what) = c.key.weakness() {
            return Err(format!("{} has {what}", shown(c)));
        }
        if i == 0 {
            if !e.may_sign() {
                return Err(format!("the key usage of {} does not allow signatures", shown(c)));
            }
            if !pinned && e.is_ca() {
                return Err(format!("{} is a certificate authority, not a signer", shown(c)));
            }
            if !pinned && e.for_code() != Some(true) {
                return Err(format!("{} is not for code signing", shown(c)));
            }
            continue;
        }
        let Some((true, path_length)) = e.basic else {
            return Err(format!("{} is not a certificate authority", shown(c)));
        };
        if !e.may_issue() {
            return Err(format!(
                "the key usage of {} does not allow issuing certificates",
                shown(c)
            ));
        }
        if e.for_code() == Some(false) {
            return Err(format!("{} may not issue code signing certificates", shown(c)));
        }
        if path_length.is_some_and(|max| below > max) {
            return Err(format!("the chain below {} is longer than it allows", shown(c)));
        }
        if !c.self_issued() {
            below = below.saturating_add(1);
        }
    }
    Ok(())
}
