//! What conversion, verification and unpacking report: plain data, published as JSON schema.

use std::time::{Duration, UNIX_EPOCH};

use mip_base::{Code, Error};
use mip_signing::CertificateInfo;
use schemars::JsonSchema;
use serde::Serialize;

use crate::inspection::{Inspection, Warning, schema};
use crate::scripts::ScriptReport;

/// The version of the JSON form of the reports. Raised when a key is removed or changes its
/// meaning; new keys do not raise it.
pub const REPORT_VERSION: u32 = 1;

/// What a conversion did.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Report {
    /// [`REPORT_VERSION`].
    pub schema_version: u32,
    /// The archive's path; `None` when it went to a sink of the caller.
    pub output: Option<String>,
    /// Bytes of the archive.
    pub bytes: u64,
    /// SHA-256 of the archive's index, in hex: the one value to publish, pin and compare.
    /// It does not change when the archive is signed again.
    pub package_digest: String,
    /// What the archive says that it installs.
    pub product: ProductReport,
    /// The installer inside.
    pub payload: PayloadReport,
    /// The scripts in the archive, by their paths there.
    pub scripts: Vec<ScriptReport>,
    /// Who signed; `None` for an archive that was left unsigned on request.
    pub signed_by: Option<SignerReport>,
    /// What was found in the installer; `None` when its inside was not read.
    pub inspection: Option<Inspection>,
    /// What an admin should know.
    pub warnings: Vec<Warning>,
}

/// Identity of the product in an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct ProductReport {
    /// Bundle identifier.
    pub id: String,
    /// Name to show.
    pub name: String,
    /// Version.
    pub version: String,
    /// Lowest macOS version, where it is known.
    pub min_os: Option<String>,
}

impl ProductReport {
    /// A product for which no lowest macOS version is known.
    #[must_use]
    pub fn new(id: &str, name: &str, version: &str) -> Self {
        Self { id: id.to_owned(), name: name.to_owned(), version: version.to_owned(), min_os: None }
    }
}

/// The installer inside an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct PayloadReport {
    /// Path inside the archive.
    pub path: String,
    /// What kind of installer it is, as in an inspection.
    pub kind: String,
    /// `original`: the input's own bytes. `tar.gz`: a folder, packed.
    pub carried: String,
    /// `image`: the disk image around the installer. `app` or `package`: that itself. `file`:
    /// a file whose inside was not read.
    pub form: String,
    /// Why that was carried, where something else could have been.
    pub reason: Option<String>,
    /// Bytes inside the archive.
    pub bytes: u64,
    /// SHA-256 in hex of those bytes; for `original` that of the installer file itself.
    pub sha256: String,
    /// Whether its inside was read. `false` only when that was allowed.
    pub read: bool,
}

/// Who signed an archive, or a certificate on the way to its authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct SignerReport {
    /// Common name.
    pub common_name: Option<String>,
    /// Whole subject (RFC 4514).
    pub subject: String,
    /// Whole issuer (RFC 4514).
    pub issuer: String,
    /// SHA-256 of the certificate in hex.
    pub sha256: String,
    /// First moment of validity (RFC 3339).
    pub not_before: String,
    /// Last moment of validity (RFC 3339).
    pub not_after: String,
}

impl SignerReport {
    pub(crate) fn of(c: &CertificateInfo) -> Self {
        Self {
            common_name: c.common_name.clone(),
            subject: c.subject.clone(),
            issuer: c.issuer.clone(),
            sha256: c.sha256.clone(),
            not_before: time(c.not_before),
            not_after: time(c.not_after),
        }
    }
}

/// How far an archive can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Level {
    /// Every byte is what the index says; nobody signed the index.
    Intact,
    /// Signed by somebody, and unchanged since. Nothing says that the signer may be trusted.
    Signed,
    /// Signed by a certificate that leads to an anchor that the caller gave.
    Trusted,
    /// Trusted, and everything that the caller expected of it holds.
    Expected,
}

impl Level {
    /// The word for this level in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Intact => "intact",
            Self::Signed => "signed",
            Self::Trusted => "trusted",
            Self::Expected => "expected",
        }
    }
}

/// Why a verification falls short of what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Problem {
    /// Stable code, `E_…`.
    pub code: String,
    /// Exit status that goes with it.
    pub exit: u8,
    /// What is missing.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
    #[serde(skip)]
    raw: Option<Code>,
}

impl Problem {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        let e = Error::new(code, message);
        Self {
            code: code.text().to_owned(),
            exit: code.kind().exit(),
            message: e.message().to_owned(),
            hint: e.next_step().map(str::to_owned),
            raw: Some(code),
        }
    }

    pub(crate) fn error(&self) -> Error {
        Error::new(self.raw.unwrap_or(Code::SignerUntrusted), self.message.clone())
    }
}

/// One entry of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct EntryReport {
    /// Path inside the archive.
    pub path: String,
    /// What the entry is for.
    pub role: String,
    /// Permission bits.
    pub mode: u32,
    /// Bytes.
    pub bytes: u64,
    /// SHA-256 of the bytes in hex.
    pub sha256: String,
}

/// What a verification found. An archive whose bytes are not the ones that were indexed and
/// signed never gets this far: that is an error.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Verification {
    /// [`REPORT_VERSION`].
    pub schema_version: u32,
    /// How far the archive can be trusted.
    pub level: Level,
    /// Product identifier in the signed index.
    pub product_id: String,
    /// Product version in the signed index.
    pub product_version: String,
    /// SHA-256 of the index in hex.
    pub package_digest: String,
    /// Bytes of the archive.
    pub bytes: u64,
    /// Entries, in file order.
    pub entries: Vec<EntryReport>,
    /// Who signed.
    pub signer: Option<SignerReport>,
    /// The certificates above the signer, as far as the archive carries them.
    pub chain: Vec<SignerReport>,
    /// What is missing for trust; `None` when nothing is.
    pub problem: Option<Problem>,
}

impl Verification {
    /// `None` only when the archive is trusted and meets every expectation; otherwise an error
    /// whose kind is the exit status.
    #[must_use]
    pub fn error(&self) -> Option<Error> {
        self.problem.as_ref().map(Problem::error)
    }
}

/// What can be seen of an archive without trusting it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Listing {
    /// [`REPORT_VERSION`].
    pub schema_version: u32,
    /// The profile that the archive claims; `None` for a zip of another kind.
    pub profile: Option<String>,
    /// Entries as the central directory gives them.
    pub entries: Vec<ListedEntry>,
    /// Always `false`: a listing checks nothing.
    pub verified: bool,
}

/// One entry of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct ListedEntry {
    /// Path as written, escaped.
    pub path: String,
    /// Bytes when unpacked.
    pub bytes: u64,
    /// Bytes as stored.
    pub stored_bytes: u64,
    /// zip compression method.
    pub method: u16,
}

/// What was unpacked.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Extraction {
    /// [`REPORT_VERSION`].
    pub schema_version: u32,
    /// The folder.
    pub output: String,
    /// What was written.
    pub entries: Vec<EntryReport>,
    /// The level that was reached before anything was written; `None` when no check was asked for.
    pub level: Option<Level>,
}

/// What signing did.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct SignReport {
    /// [`REPORT_VERSION`].
    pub schema_version: u32,
    /// The new archive's path; `None` when it went to a sink of the caller.
    pub output: Option<String>,
    /// Bytes of the new archive.
    pub bytes: u64,
    /// SHA-256 of the index in hex: unchanged.
    pub package_digest: String,
    /// Who signed now; `None` when the signature was removed.
    pub signed_by: Option<SignerReport>,
    /// What an admin should know.
    pub warnings: Vec<Warning>,
}

/// The JSON schemas of everything that the command line prints, by file name.
#[must_use]
pub fn schemas() -> Vec<(&'static str, serde_json::Value)> {
    vec![
        ("inspection", crate::inspection::inspection_schema()),
        ("report", schema::<Report>()),
        ("scripts", schema::<crate::scripts::Scripts>()),
        ("verification", schema::<Verification>()),
        ("listing", schema::<Listing>()),
        ("extraction", schema::<Extraction>()),
        ("sign", schema::<SignReport>()),
        ("contents", schema::<crate::contents::Contents>()),
        ("apple-manifest", schema::<crate::AppleManifest>()),
    ]
}

/// Seconds since 1970 as RFC 3339, UTC.
pub(crate) fn time(seconds: u64) -> String {
    // The last second of the year 9999; certificates use it for "no end".
    let seconds = seconds.min(253_402_300_799);
    let at = UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).unwrap_or(UNIX_EPOCH);
    humantime::format_rfc3339_seconds(at).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339() {
        // date -u -d @1700000000 +%FT%TZ
        assert_eq!(time(1_700_000_000), "2023-11-14T22:13:20Z");
        assert_eq!(time(u64::MAX), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn every_schema_is_an_object_with_a_version() {
        for (name, schema) in schemas() {
            let version = schema.pointer("/properties/schema_version");
            assert!(version.is_some(), "{name}");
        }
    }

    /// `others` is left out where it is empty: the schema must not ask for it.
    #[test]
    fn a_schema_asks_for_the_keys_that_are_written() {
        let fact = crate::inspection::Fact::new("x".to_owned(), "p", None, "stated");
        let written = serde_json::to_value(&fact).unwrap();
        let asked = schema::<crate::inspection::Fact<String>>();
        let required = asked.get("required").and_then(|r| r.as_array()).unwrap();
        for key in required {
            assert!(written.get(key.as_str().unwrap()).is_some(), "{key}");
        }
        assert_eq!(required.len(), 2, "{required:?}");
    }
}
