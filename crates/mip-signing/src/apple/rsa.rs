//! The bare RSA signature of a package (xar `<signature style="RSA">`).

use mip_base::{Limits, len64};

use super::RsaClaim;
use super::chain::{self, Check};
use super::digest::{Digest, Holds, holds};
use super::leaf::Purpose;
use super::roots::pinned;
use super::signed_data::{Problem, countable, invalid, judged, unsupported};
use crate::algorithm::PublicKey;
use crate::certificate::Certificate;

/// Checks an RSA signature (PKCS#1 v1.5) over a digest that was already computed.
///
/// `style` names the digest (`sha1`, `sha256`, …), `digest` is its bytes, `certificates` are
/// DER, the signer's first. `at` is the present, in Unix seconds; only
/// [`SignerClaim::validity_now`](super::SignerClaim::validity_now) depends on it. There is no
/// timestamp in such a signature.
///
/// Limits: `certificates` (more: [`Unsupported`](super::ClaimState::Unsupported)), 100 checks of
/// certificates.
#[must_use]
pub fn check_rsa(
    style: &str,
    digest: &[u8],
    signature: &[u8],
    certificates: &[Vec<u8>],
    at: u64,
    limits: &Limits,
) -> RsaClaim {
    let mut claim = RsaClaim::default();
    let mut check = Check::new(at, limits, pinned());
    let result = fill(&mut claim, (style, digest), signature, certificates, &mut check);
    (claim.state, claim.problem) = judged(result);
    claim
}

fn fill(
    claim: &mut RsaClaim,
    (style, digest): (&str, &[u8]),
    signature: &[u8],
    certificates: &[Vec<u8>],
    check: &mut Check<'_>,
) -> Result<Option<String>, Problem> {
    countable(len64(certificates.len()), check.limits)?;
    let (first, rest) =
        certificates.split_first().ok_or_else(|| invalid("there is no certificate"))?;
    let leaf = Certificate::parse(first)
        .map_err(|why| invalid(format!("the signer's certificate cannot be read: {why}")))?;
    let bag: Vec<_> = rest.iter().filter_map(|der| Certificate::parse(der).ok()).collect();
    let signer = chain::signer(&leaf, &bag, Purpose::Software, None, check);
    let untrusted = signer.problem.clone();
    claim.signer = Some(signer);
    let kind = Digest::from_name(style).ok_or_else(|| {
        unsupported(format!("the digest \"{}\" is not supported", mip_base::escape(style)))
    })?;
    if digest.len() != kind.size() {
        return Err(invalid(format!(
            "the digest has {} bytes, {} has {}",
            digest.len(),
            kind.name(),
            kind.size()
        )));
    }
    if !matches!(leaf.key, PublicKey::Rsa { .. }) {
        return Err(invalid(format!(
            "the signer has {}, not an RSA key",
            mip_base::escape(&leaf.key.describe())
        )));
    }
    match holds(&leaf.key, kind, digest, signature) {
        Holds::Yes => Ok(untrusted),
        Holds::No => Err(invalid("the signature does not match the digest and the certificate")),
        Holds::Unsupported(what) => {
            Err(unsupported(format!("it uses {what}, which is not supported")))
        }
    }
}
