//! What a signature says, and what a check of it found.

use schemars::JsonSchema;
use serde::Serialize;

/// What a check of a signature found. The order is that of goodness: the least is the worst.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ClaimState {
    /// The bytes are not what was signed, or the signature does not match its certificate.
    Invalid,
    /// It uses something that is not supported here, so nothing can be said.
    Unsupported,
    /// There is none.
    #[default]
    Unsigned,
    /// There is one, and it was not looked at, or not to its end.
    NotChecked,
    /// It names nobody: made without a certificate.
    AdHoc,
    /// It matches, but its certificates do not lead to a root of Apple's by the rules.
    Untrusted,
    /// It matches, and its certificates lead to a root of Apple's.
    Valid,
}

impl ClaimState {
    /// The word in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Unsupported => "unsupported",
            Self::Unsigned => "unsigned",
            Self::NotChecked => "not-checked",
            Self::AdHoc => "ad-hoc",
            Self::Untrusted => "untrusted",
            Self::Valid => "valid",
        }
    }
}

/// What Apple issued a certificate for, by its marker extensions (Apple's certification
/// practice statements) and, where it has none, its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LeafKind {
    /// Developer ID Installer: packages outside the App Store (1.2.840.113635.100.6.1.14).
    DeveloperIdInstaller,
    /// Developer ID Application: programs and disk images outside the App Store (…6.1.13).
    DeveloperIdApplication,
    /// 3rd Party Mac Developer Installer / Mac Installer Distribution: packages for the App Store.
    MacInstallerDistribution,
    /// Mac App Distribution, Apple Distribution: programs for the App Store, before Apple signs.
    AppDistribution,
    /// Signed by the Mac App Store.
    MacAppStore,
    /// Apple Development, Mac Developer: programs for the developer's own machines.
    Development,
    /// Apple's own software.
    Apple,
    /// None of these.
    #[default]
    Other,
}

impl LeafKind {
    /// The kind in words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::DeveloperIdInstaller => "Developer ID Installer",
            Self::DeveloperIdApplication => "Developer ID Application",
            Self::MacInstallerDistribution => "Mac Installer Distribution",
            Self::AppDistribution => "app distribution",
            Self::MacAppStore => "Mac App Store",
            Self::Development => "development",
            Self::Apple => "Apple's own software",
            Self::Other => "no kind of Apple's that is known",
        }
    }
}

/// How a moment stands to a certificate's validity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Validity {
    /// Inside it.
    Valid,
    /// After it.
    Expired,
    /// Before it.
    NotYetValid,
}

/// A certificate as it describes itself. Texts are as they are: escape them before showing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct CertificateClaim {
    /// The subject as text (RFC 4514, most specific part first).
    pub subject: String,
    /// The last common name of the subject.
    pub common_name: Option<String>,
    /// The issuer as text (RFC 4514).
    pub issuer: String,
    /// Serial number, lower-case hex.
    pub serial: String,
    /// Start of validity, RFC 3339 in UTC.
    pub not_before: String,
    /// End of validity, RFC 3339 in UTC.
    pub not_after: String,
    /// SHA-256 fingerprint of the certificate, lower-case hex.
    pub sha256: String,
}

/// Who signed, as the certificates say.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct SignerClaim {
    /// The certificates, signer first, as far as they lead; the pinned root is added where the
    /// signature leaves it out.
    pub chain: Vec<CertificateClaim>,
    /// The pinned root that the chain ends in, by name; `None`: it ends in none.
    pub root: Option<String>,
    /// Why the chain does not count, where it does not. Escaped.
    pub problem: Option<String>,
    /// What Apple issued the signer's certificate for.
    pub kind: LeafKind,
    /// The signer's name: the common name without what Apple puts around it.
    pub name: Option<String>,
    /// The Team ID (the subject's organizational unit), where the certificate is a developer's.
    pub team_id: Option<String>,
    /// The signer's certificate at the time of the inspection.
    pub validity_now: Option<Validity>,
    /// The signer's certificate at the trusted timestamp, where there is one.
    pub validity_at_timestamp: Option<Validity>,
}

/// A timestamp by an authority (RFC 3161).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct TimestampClaim {
    /// [`ClaimState::Valid`] when it is over this signature, and its authority leads to a root of Apple's.
    pub state: ClaimState,
    /// Why not, where it is not valid. Escaped.
    pub problem: Option<String>,
    /// The time, RFC 3339 in UTC.
    pub time: Option<String>,
    /// The same in Unix seconds.
    #[serde(skip)]
    pub unix: Option<u64>,
    /// The authority's certificates, its own first.
    pub chain: Vec<CertificateClaim>,
}

/// A CMS signature.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct SignatureClaim {
    /// What the check found.
    pub state: ClaimState,
    /// Why, where it is not valid. Escaped.
    pub problem: Option<String>,
    /// Digest over the content (`sha1`, `sha256`, …).
    pub digest_algorithm: Option<String>,
    /// Signature algorithm (`rsa-pkcs1-sha256`, …).
    pub signature_algorithm: Option<String>,
    /// Who signed.
    pub signer: Option<SignerClaim>,
    /// The time that the signer says, RFC 3339 in UTC: nobody vouches for it.
    pub signing_time: Option<String>,
    /// The timestamp by an authority.
    pub timestamp: Option<TimestampClaim>,
    /// Digests of code directories that the signer vouches for beside the content (Apple's
    /// hash agility attributes): algorithm and lower-case hex.
    #[serde(skip)]
    pub agility: Vec<(String, String)>,
}

/// A bare RSA signature over a digest, with certificates beside it (xar `<signature>`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct RsaClaim {
    /// What the check found.
    pub state: ClaimState,
    /// Why, where it is not valid. Escaped.
    pub problem: Option<String>,
    /// Who signed.
    pub signer: Option<SignerClaim>,
}
