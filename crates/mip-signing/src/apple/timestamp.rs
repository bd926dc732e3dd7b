//! Timestamps (RFC 3161): an authority signs a digest of the signature value, and the time.

use super::chain::{self, Check, Moment, rfc3339};
use super::digest::Digest;
use super::leaf::Purpose;
use super::signed_data::{Problem, SignedData, SignerInfo, invalid, judged, unsupported};
use super::{ClaimState, Content, TimestampClaim};
use crate::algorithm::without_parameters;
use crate::asn1;
use crate::oid;

/// Timestamps of one signature that are looked at. Apple's tools make one.
const MAX_TOKENS: usize = 4;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The timestamp among the unsigned attributes: the first that is valid, else the first.
pub(super) fn find(info: &SignerInfo<'_>, check: &mut Check<'_>) -> Option<TimestampClaim> {
    let attributes = info.unsigned_attributes().ok()?;
    let values = attributes.into_iter().filter(|(id, _)| *id == oid::TIMESTAMP_TOKEN);
    let mut tokens = Vec::new();
    for (_, mut values) in values {
        while let Some(token) = values.element(asn1::SEQUENCE) {
            tokens.push(token.raw);
            if tokens.len() >= MAX_TOKENS {
                break;
            }
        }
    }
    let mut best: Option<TimestampClaim> = None;
    for token in tokens.into_iter().take(MAX_TOKENS) {
        let claim = one(token, info.signature, check);
        if claim.state == ClaimState::Valid {
            return Some(claim);
        }
        best = best.or(Some(claim));
    }
    best
}

/// Checks one token (DER) over `signature`.
fn one(token: &[u8], signature: &[u8], check: &mut Check<'_>) -> TimestampClaim {
    let mut claim = TimestampClaim::default();
    let result = fill(&mut claim, token, signature, check);
    (claim.state, claim.problem) = judged(result);
    claim
}

/// `Ok` when it is over `signature`; with why its authority does not count.
fn fill(
    claim: &mut TimestampClaim,
    token: &[u8],
    signature: &[u8],
    check: &mut Check<'_>,
) -> Result<Option<String>, Problem> {
    let data = SignedData::read(token, check.limits)?;
    let content = data.content.filter(|_| data.content_type == oid::TST_INFO);
    let content = content.ok_or_else(|| invalid("the timestamp has no time in it"))?;
    let info = TstInfo::read(content)
        .ok_or_else(|| invalid("the time in the timestamp breaks its format"))?;
    claim.unix = Some(info.time);
    claim.time = rfc3339(info.time);
    let digest = Digest::from_oid(info.digest).ok_or_else(|| {
        unsupported(format!("the timestamp uses the digest {}", oid::text(info.digest)))
    })?;
    if digest.of(signature) != info.imprint {
        return Err(invalid("the timestamp is not over this signature"));
    }
    // RFC 3161 §2.4.2: exactly one.
    let [signer] = data.signers.as_slice() else {
        return Err(invalid("the timestamp has more than one signer"));
    };
    let bag = data.bag();
    let certificate = signer
        .certificate(&bag)
        .ok_or_else(|| invalid("the certificate of the timestamp's authority is not there"))?;
    signer
        .check(certificate, data.content_type, Content::Bytes(content))
        .map_err(|why| why.of("the timestamp"))?;
    let found = chain::lead(certificate, &bag, Purpose::Timestamp, Moment::At(info.time), check);
    claim.chain = found.path.iter().map(|c| chain::claim(&c.info)).collect();
    Ok(found.problem)
}

/// What is needed of a `TSTInfo` (RFC 3161 §2.4.2).
struct TstInfo<'a> {
    digest: &'a [u8],
    imprint: &'a [u8],
    time: u64,
}

impl<'a> TstInfo<'a> {
    fn read(content: &'a [u8]) -> Option<Self> {
        let mut r = asn1::whole(content, asn1::SEQUENCE)?;
        if r.small()? != 1 {
            return None;
        }
        r.value(asn1::OID)?;
        let mut imprint = r.inside(asn1::SEQUENCE)?;
        let digest = without_parameters(imprint.element(asn1::SEQUENCE)?.raw)?;
        let hashed = imprint.value(asn1::OCTET_STRING)?;
        imprint.end()?;
        r.value(asn1::INTEGER)?;
        let moment = r.element(GENERALIZED_TIME)?;
        Some(Self { digest, imprint: hashed, time: time(moment.tag, moment.value)? })
    }
}

/// A UTCTime or GeneralizedTime in UTC, as Unix seconds. Fractions are cut off.
pub(super) fn time(tag: u8, value: &[u8]) -> Option<u64> {
    let digits = value.strip_suffix(b"Z")?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = digits.split_at_checked(2)?;
            // RFC 5280 §4.1.2.5.1
            let year = number(year)?;
            (year.checked_add(if year < 50 { 2000 } else { 1900 })?, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = digits.split_at_checked(4)?;
            (number(year)?, rest)
        }
        _ => return None,
    };
    let (clock, fraction) = rest.split_at_checked(10)?;
    match fraction {
        [] => {}
        [b'.', part @ ..] if tag == GENERALIZED_TIME && !part.is_empty() => {
            if !part.iter().all(u8::is_ascii_digit) {
                return None;
            }
        }
        _ => return None,
    }
    let mut parts = clock.chunks_exact(2).map(number);
    let mut next = || parts.next().flatten();
    let (month, day, hour, minute, second) = (next()?, next()?, next()?, next()?, next()?);
    let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z");
    let at = humantime::parse_rfc3339(&text).ok()?;
    at.duration_since(std::time::UNIX_EPOCH).ok().map(|d| d.as_secs())
}

fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0u32, |n, d| {
        let digit = d.is_ascii_digit().then(|| u32::from(d & 0x0f))?;
        n.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values from `date -u -d … +%s`.
    #[test]
    fn times() {
        let cases: [(u8, &str, Option<u64>); 13] = [
            (UTC_TIME, "210413075416Z", Some(1_618_300_456)),
            (UTC_TIME, "700101000000Z", Some(0)),
            (UTC_TIME, "490101000000Z", Some(2_493_072_000)),
            (GENERALIZED_TIME, "20210413075416Z", Some(1_618_300_456)),
            (GENERALIZED_TIME, "20210413075416.25Z", Some(1_618_300_456)),
            (GENERALIZED_TIME, "20210413075416.Z", None),
            (GENERALIZED_TIME, "20210413075416", None),
            (GENERALIZED_TIME, "20211313075416Z", None),
            (GENERALIZED_TIME, "20210230075416Z", None),
            (GENERALIZED_TIME, "19690101000000Z", None),
            (GENERALIZED_TIME, "2021041307541Z", None),
            (GENERALIZED_TIME, "2021+413075416Z", None),
            (UTC_TIME, "2104130754Z", None),
        ];
        for (tag, text, unix) in cases {
            assert_eq!(time(tag, text.as_bytes()), unix, "{text}");
        }
    }
}
