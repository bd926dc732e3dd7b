//! CMS signatures of packages, disk images and programs.

use mip_base::Limits;

use super::chain::{self, Check, rfc3339};
use super::digest::{Digest, signature_name};
use super::leaf::Purpose;
use super::roots::pinned;
use super::signed_data::{Problem, SignedData, SignerInfo, invalid, judged, unsupported, within};
use super::{ClaimState, Content, SignatureClaim, ber, timestamp};
use crate::asn1::{self, Reader};
use crate::certificate::Certificate;
use crate::{oid, pem};

/// Hash agility (Apple's Security framework, `SecCmsSignerInfoGetAppleCodesigningHashAgility`,
/// `…V2`): a property list with shortened digests, and a SET of algorithm and digest.
const AGILITY: &[u8] = &[9, 1];
const AGILITY_2: &[u8] = &[9, 2];
/// Digests in one of them.
const MAX_AGILITY: usize = 64;

/// Checks a CMS signature over `content`, which it does not carry (or carries as well).
///
/// `blob` is BER or DER; zero bytes may follow. `at` is the present, in Unix seconds: it is
/// reported how the signer's certificate stands to it, and nothing else depends on it.
///
/// A bad signature is a claim with a problem, never an error. Limits: `cms_bytes` and
/// `certificates` (more: [`ClaimState::Unsupported`]), 8 signers, 100 checks of certificates.
#[must_use]
pub fn check_cms(blob: &[u8], content: Content<'_>, at: u64, limits: &Limits) -> SignatureClaim {
    check(blob, content, &mut Check::new(at, limits, pinned()))
}

pub(super) fn check(blob: &[u8], content: Content<'_>, check: &mut Check<'_>) -> SignatureClaim {
    let mut claim = SignatureClaim::default();
    let result = der(blob, check.limits).and_then(|der| {
        let data = SignedData::read(&der, check.limits)?;
        fill(&mut claim, &data, content, check)
    });
    let untrusted = claim.signer.as_ref().map(|s| s.problem.clone());
    let result = result.and_then(|()| untrusted.ok_or_else(|| invalid("there is no signer")));
    (claim.state, claim.problem) = judged(result);
    claim
}

/// The blob in DER.
fn der(blob: &[u8], limits: &Limits) -> Result<Vec<u8>, Problem> {
    within(blob.len(), limits)?;
    let (der, used) = ber::to_der(blob).map_err(|e| {
        let why = format!("the signature cannot be read: {}", e.what);
        if e.unsupported { unsupported(why) } else { invalid(why) }
    })?;
    if blob.get(used..).unwrap_or_default().iter().any(|b| *b != 0) {
        return Err(invalid(format!("there are bytes after the signature (byte {used})")));
    }
    Ok(der)
}

fn fill(
    claim: &mut SignatureClaim,
    data: &SignedData<'_>,
    content: Content<'_>,
    check: &mut Check<'_>,
) -> Result<(), Problem> {
    let bag = data.bag();
    let mut results = Vec::new();
    for (i, info) in data.signers.iter().enumerate() {
        let mut other = SignatureClaim::default();
        let claim = if i == 0 { &mut *claim } else { &mut other };
        results.push(one_signer(claim, data, info, &bag, content, check));
    }
    let mut results = results.into_iter();
    let first = results.next().unwrap_or_else(|| Err(invalid("there is no signer")));
    // All must hold: which one a reader takes must not matter.
    let others = results.try_fold((), |(), other| other).map_err(|why| why.of("another signer"));
    first.and(others)
}

fn one_signer(
    claim: &mut SignatureClaim,
    data: &SignedData<'_>,
    info: &SignerInfo<'_>,
    bag: &[Certificate],
    content: Content<'_>,
    check: &mut Check<'_>,
) -> Result<(), Problem> {
    let digest = info.digest();
    claim.digest_algorithm = digest.as_ref().ok().map(|d| d.name().to_owned());
    let certificate = info
        .certificate(bag)
        .ok_or_else(|| invalid("the signer's certificate is not in the signature"))?;
    claim.signature_algorithm = digest.ok().and_then(|d| signature_name(&certificate.key, d));
    let checked = carried(data, info, content)
        .and_then(|()| info.check(certificate, data.content_type, content));
    // A time over a signature that does not hold says nothing.
    let mut stamped = None;
    if checked.is_ok() {
        for (id, mut values) in info.signed_attributes()? {
            match below_apple(id) {
                Some(AGILITY) => agility(&mut values, &mut claim.agility),
                Some(AGILITY_2) => agility_2(&mut values, &mut claim.agility),
                _ if id == oid::SIGNING_TIME => {
                    let time = values.any().and_then(|e| timestamp::time(e.tag, e.value));
                    claim.signing_time = time.and_then(rfc3339);
                }
                _ => {}
            }
        }
        claim.timestamp = timestamp::find(info, check);
        let trusted = claim.timestamp.as_ref().filter(|t| t.state == ClaimState::Valid);
        stamped = trusted.and_then(|t| t.unix);
    }
    claim.signer = Some(chain::signer(certificate, bag, Purpose::Software, stamped, check));
    checked
}

fn below_apple(id: &[u8]) -> Option<&[u8]> {
    id.strip_prefix(oid::APPLE)
}

/// Content that the signature carries must be the content it is checked against.
fn carried(
    data: &SignedData<'_>,
    info: &SignerInfo<'_>,
    content: Content<'_>,
) -> Result<(), Problem> {
    let Some(carried) = data.content else { return Ok(()) };
    let same = match content {
        Content::Bytes(bytes) => bytes == carried,
        Content::Digests(digests) => {
            let digest = info.digest()?;
            digests(digest.name()).is_some_and(|d| d == digest.of(carried))
        }
    };
    if same { Ok(()) } else { Err(invalid("the signature carries other content")) }
}

/// A property list with the key `cdhashes`: an array of digests, shortened to 20 bytes. Written
/// by Apple's tools, always in this form; in another form nothing is taken from it.
fn agility(values: &mut Reader<'_>, out: &mut Vec<(String, String)>) {
    let text = values.value(asn1::OCTET_STRING).and_then(|b| std::str::from_utf8(b).ok());
    let array = text
        .and_then(|t| t.split_once("<key>cdhashes</key>"))
        .and_then(|(_, rest)| rest.trim_start().strip_prefix("<array>"))
        .and_then(|rest| rest.split_once("</array>"));
    let Some((array, _)) = array else { return };
    for item in array.split("<data>").skip(1).take(MAX_AGILITY) {
        let Some((text, _)) = item.split_once("</data>") else { return };
        if let Some(bytes) = pem::base64(text.as_bytes()) {
            out.push(("cdhash".into(), mip_base::hex(&bytes)));
        }
    }
}

/// Values: SEQUENCE of a digest algorithm and a digest in full.
fn agility_2(values: &mut Reader<'_>, out: &mut Vec<(String, String)>) {
    for _ in 0..MAX_AGILITY {
        let Some(mut pair) = values.inside(asn1::SEQUENCE) else { return };
        if let (Some(id), Some(value)) = (pair.value(asn1::OID), pair.value(asn1::OCTET_STRING))
            && let Some(digest) = Digest::from_oid(id)
        {
            out.push((digest.name().into(), mip_base::hex(value)));
        }
    }
}
