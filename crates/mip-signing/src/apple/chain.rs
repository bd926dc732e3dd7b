//! From a signer's certificate to a root of Apple's.
//!
//! The policy differs from that for MIP archives in [`chain`](crate::chain): the certificates
//! come in any order with others among them, SHA-1 is accepted, and what has expired since is
//! not held against what was signed before (docs/decisions/0011-source-signatures.md).

use std::time::{Duration, UNIX_EPOCH};

use mip_base::Limits;

use super::digest::{Holds, holds, signature_digest};
use super::leaf::{self, Purpose};
use super::roots::Anchor;
use super::{CertificateClaim, SignerClaim, Validity};
use crate::certificate::{Certificate, CertificateInfo};
use crate::chain::{MAX_DEPTH, shown};
use crate::oid;

/// One check of a signature with everything in it.
#[derive(Debug)]
pub(super) struct Check<'a> {
    /// The present, Unix seconds.
    pub(super) at: u64,
    pub(super) limits: &'a Limits,
    pub(super) anchors: &'a [Anchor],
    /// How many more signatures of certificates may be checked.
    checks: u32,
}

impl<'a> Check<'a> {
    pub(super) const fn new(at: u64, limits: &'a Limits, anchors: &'a [Anchor]) -> Self {
        Self { at, limits, anchors, checks: 100 }
    }
}

/// The moment for which a chain must hold.
#[derive(Debug, Clone, Copy)]
pub(super) enum Moment {
    /// A trusted time, in Unix seconds.
    At(u64),
    /// Any at which all of the certificates were valid: what can be said without a trusted
    /// time. It stays the same as time goes by.
    Any,
}

/// A certificate for the outside.
pub(super) fn claim(info: &CertificateInfo) -> CertificateClaim {
    CertificateClaim {
        subject: info.subject.clone(),
        common_name: info.common_name.clone(),
        issuer: info.issuer.clone(),
        serial: info.serial_hex.clone(),
        not_before: rfc3339(info.not_before).unwrap_or_default(),
        not_after: rfc3339(info.not_after).unwrap_or_default(),
        sha256: info.sha256.clone(),
    }
}

/// RFC 3339 in UTC; `None` after the year 9999.
pub(super) fn rfc3339(unix: u64) -> Option<String> {
    const YEAR_10000: u64 = 253_402_300_800;
    let at = UNIX_EPOCH.checked_add(Duration::from_secs(unix)).filter(|_| unix < YEAR_10000)?;
    Some(humantime::format_rfc3339_seconds(at).to_string())
}

/// How `at` stands to the validity of a certificate.
pub(super) const fn validity(info: &CertificateInfo, at: u64) -> Validity {
    if at < info.not_before {
        Validity::NotYetValid
    } else if at > info.not_after {
        Validity::Expired
    } else {
        Validity::Valid
    }
}

/// Leads from `leaf` through `bag` to a pinned root, and says who that makes the signer.
/// `stamped`: the trusted time, where there is one.
pub(super) fn signer(
    leaf: &Certificate,
    bag: &[Certificate],
    purpose: Purpose,
    stamped: Option<u64>,
    check: &mut Check<'_>,
) -> SignerClaim {
    let moment = stamped.map_or(Moment::Any, Moment::At);
    let found = lead(leaf, bag, purpose, moment, check);
    let issuer = found.path.get(1).copied();
    let kind = match found.problem {
        None => leaf::kind(leaf, issuer),
        Some(_) => super::LeafKind::Other,
    };
    SignerClaim {
        chain: found.path.iter().map(|c| claim(&c.info)).collect(),
        root: found.root.map(str::to_owned),
        problem: found.problem,
        kind,
        name: leaf::name(leaf),
        team_id: leaf::team_id(leaf, kind),
        validity_now: Some(validity(&leaf.info, check.at)),
        validity_at_timestamp: stamped.map(|t| validity(&leaf.info, t)),
    }
}

/// Where the certificates lead.
pub(super) struct Found<'a> {
    /// Signer first, as far as the signatures hold.
    pub(super) path: Vec<&'a Certificate>,
    /// The name of the pinned root at its end.
    pub(super) root: Option<&'static str>,
    /// Why it does not count.
    pub(super) problem: Option<String>,
}

/// Looks for a path to a pinned root that holds for `moment`.
pub(super) fn lead<'a, 'c: 'a>(
    leaf: &'a Certificate,
    bag: &'a [Certificate],
    purpose: Purpose,
    moment: Moment,
    check: &mut Check<'c>,
) -> Found<'a> {
    let mut search = Search {
        bag,
        anchors: check.anchors,
        purpose,
        moment,
        checks: &mut check.checks,
        best: Vec::new(),
        root: None,
        why: None,
    };
    let mut path = vec![leaf];
    if let Some(root) = search.extend(&mut path) {
        return Found { path, root: Some(root), problem: None };
    }
    let problem = search.why.unwrap_or_else(|| "it leads nowhere".into());
    Found { path: search.best, root: search.root, problem: Some(problem) }
}

struct Search<'a, 'b> {
    bag: &'a [Certificate],
    anchors: &'a [Anchor],
    purpose: Purpose,
    moment: Moment,
    checks: &'b mut u32,
    /// The longest path so far, the root it ended in, and why it does not count.
    best: Vec<&'a Certificate>,
    root: Option<&'static str>,
    why: Option<String>,
}

impl<'a> Search<'a, '_> {
    /// Depth first; the depth is at most [`MAX_DEPTH`] and the work at most the budget.
    fn extend(&mut self, path: &mut Vec<&'a Certificate>) -> Option<&'static str> {
        let last = *path.last()?;
        let anchors = self.anchors;
        if let Some(root) = anchors.iter().find(|a| a.certificate.der == last.der) {
            return match policy(path, self.purpose, self.moment) {
                Ok(()) => Some(root.name),
                Err(why) => self.fail(path, Some(root.name), why),
            };
        }
        if last.self_issued() {
            let named = anchors.iter().any(|a| a.certificate.subject == last.subject);
            let which = if named {
                "has the name of a root of Apple's and is another"
            } else {
                "is not a root of Apple's"
            };
            return self.fail(path, None, format!("{} {which}", shown(last)));
        }
        if path.len() >= MAX_DEPTH {
            let why = format!("the chain has more than {MAX_DEPTH} certificates");
            return self.fail(path, None, why);
        }
        let mut why = format!("{} was issued by one that is not there", shown(last));
        let bag = self.bag;
        let roots = anchors.iter().map(|a| &a.certificate);
        for issuer in roots.chain(bag).filter(|c| c.subject == last.issuer) {
            if path.iter().any(|c| c.der == issuer.der) {
                continue;
            }
            let Some(left) = self.checks.checked_sub(1) else {
                return self.fail(path, None, "it takes too many checks".into());
            };
            *self.checks = left;
            match issued(last, issuer) {
                Holds::Yes => {
                    path.push(issuer);
                    if let Some(root) = self.extend(path) {
                        return Some(root);
                    }
                    path.pop();
                }
                Holds::No => {
                    why = format!("{} was not issued by {}", shown(last), shown(issuer));
                }
                Holds::Unsupported(what) => {
                    why = format!("{} depends on {what}, which is not supported", shown(last));
                }
            }
        }
        self.fail(path, None, why)
    }

    fn fail(
        &mut self,
        path: &[&'a Certificate],
        root: Option<&'static str>,
        why: String,
    ) -> Option<&'static str> {
        if path.len() > self.best.len() {
            self.best = path.to_vec();
            self.root = root;
            self.why = Some(why);
        }
        None
    }
}

fn issued(certificate: &Certificate, issuer: &Certificate) -> Holds {
    match signature_digest(&certificate.signature_algorithm, None) {
        Ok(digest) => {
            holds(&issuer.key, digest, &digest.of(&certificate.tbs), &certificate.signature)
        }
        Err(what) => Holds::Unsupported(what),
    }
}

/// The rules of RFC 5280 §6.1 that apply. `path`: the signer's certificate first, the root last.
fn policy(path: &[&Certificate], purpose: Purpose, moment: Moment) -> Result<(), String> {
    let mut below = 0u64;
    let (mut from, mut to) = (0, u64::MAX);
    for (i, c) in path.iter().enumerate() {
        if let Moment::At(time) = moment {
            let when = "at the time of the timestamp";
            match validity(&c.info, time) {
                Validity::Valid => {}
                Validity::Expired => return Err(format!("{} had expired {when}", shown(c))),
                Validity::NotYetValid => {
                    return Err(format!("{} was not valid yet {when}", shown(c)));
                }
            }
        }
        // Apple has issued authorities anew with the same key, so an issuer may be younger than
        // what it issued.
        (from, to) = (c.info.not_before.max(from), c.info.not_after.min(to));
        if from > to {
            return Err(format!("{} was never valid together with what it issued", shown(c)));
        }
        let e = &c.extensions;
        // Apple marks some of its own extensions as critical.
        if let Some(id) = e.unknown_critical.iter().find(|id| !id.starts_with(oid::APPLE)) {
            let id = oid::text(id);
            return Err(format!("{} has a critical extension that is not known ({id})", shown(c)));
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
            if e.is_ca() {
                return Err(format!("{} is a certificate authority, not a signer", shown(c)));
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
        if path_length.is_some_and(|max| below > max) {
            return Err(format!("the chain below {} is longer than it allows", shown(c)));
        }
        if !c.self_issued() {
            below = below.saturating_add(1);
        }
    }
    match (leaf::unfit(path, purpose), path.first()) {
        (Some(why), Some(leaf)) => Err(format!("{} {why}", shown(leaf))),
        _ => Ok(()),
    }
}
