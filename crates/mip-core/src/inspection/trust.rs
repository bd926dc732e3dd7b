//! Who says to have signed the installer, and what of that was checked. These are claims about
//! the input; trust in a MIP archive is another matter ([`Verification`](crate::Verification)).

pub use mip_codesign::{
    BundleSignature, CodeDirectoryHash, CodeSignature, Finding, FindingKind, NestedCode, PageCheck,
    SealCheck,
};
pub use mip_signing::apple::{
    CertificateClaim, ClaimState, LeafKind, RsaClaim, SignatureClaim, SignerClaim, TimestampClaim,
    Validity,
};
use schemars::JsonSchema;
use serde::Serialize;

/// What is known of signatures. Those of apps stand with the apps.
#[derive(Debug, Clone, PartialEq, Default, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct TrustInfo {
    /// The signature of the package, where the input is a flat one.
    pub package: Option<PackageTrust>,
    /// The code signature of the disk image around it, where the image carries one.
    pub image: Option<CodeSignature>,
    /// Notarization tickets that are stapled to the package or the disk image.
    pub tickets: Vec<TicketInfo>,
    /// What cannot be known without a network or a Mac, in words.
    pub not_known: Vec<String>,
}

/// The signature of a flat package.
#[derive(Debug, Clone, PartialEq, Default, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct PackageTrust {
    /// The container path of the package. Escaped.
    pub place: String,
    /// What the signature that counts is worth, contents included.
    pub state: ClaimState,
    /// Why, where it is not valid. Escaped.
    pub problem: Option<String>,
    /// Digest of the table of contents, which is what is signed: `sha1`, `sha256`, …
    pub toc_algorithm: String,
    /// That digest, lower-case hex. It matches the table: a package whose table does not match
    /// is refused.
    pub toc_digest: String,
    /// `cms` or `rsa`: which signature counts. CMS goes before RSA where both are there.
    pub counts: Option<String>,
    /// The CMS signature (`<x-signature>`).
    pub cms: Option<SignatureClaim>,
    /// The bare RSA signature (`<signature>`).
    pub rsa: Option<RsaClaim>,
    /// The time that the package gives for its signature, RFC 3339 in UTC; not covered by it.
    pub creation_time: Option<String>,
    /// The files of the package against their checksums in the signed table.
    pub contents: ContentsCheck,
    /// Bytes that neither the table nor the signature covers.
    pub uncovered: Vec<UncoveredBytes>,
}

impl PackageTrust {
    /// Who signed, by the signature that counts.
    #[must_use]
    pub fn signer(&self) -> Option<&SignerClaim> {
        match self.counts.as_deref() {
            Some("cms") => self.cms.as_ref()?.signer.as_ref(),
            Some("rsa") => self.rsa.as_ref()?.signer.as_ref(),
            _ => None,
        }
    }
}

/// Files of a package against the checksums in its table of contents.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct ContentsCheck {
    /// Valid, invalid, or not checked.
    pub state: ClaimState,
    /// Files that were compared.
    pub files: u64,
    /// Their bytes as stored.
    pub bytes: u64,
    /// Files that differ; the first 100. Escaped.
    pub damaged: Vec<String>,
    /// Files that the table gives no checksum for: the signature does not cover them. Escaped.
    pub without_checksum: Vec<String>,
}

/// A range of a package's bytes that is not covered by its signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct UncoveredBytes {
    /// `gap` between files, or `tail` after the last one.
    pub place: &'static str,
    /// First byte in the file.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    /// `zeros`, `notarization-ticket` or `unknown`.
    pub holds: &'static str,
}

impl UncoveredBytes {
    /// A range.
    #[must_use]
    pub fn new(place: &'static str, offset: u64, length: u64, holds: &'static str) -> Self {
        Self { place, offset, length, holds }
    }
}

/// A notarization ticket that is stapled to something.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct TicketInfo {
    /// The container path of what it is stapled to. Escaped.
    pub place: String,
    /// Valid: it names this very thing and Apple signed it. Invalid: it names another, or its
    /// signature does not hold. Unsupported: its signature could not be checked.
    pub state: ClaimState,
    /// Why, where it is not valid. Escaped.
    pub problem: Option<String>,
    /// Whether it names the digest of what it is stapled to; `None`: not known.
    pub names_this: Option<bool>,
    /// Bytes.
    pub bytes: u64,
    /// Digests that it names: lower-case hex.
    pub digests: Vec<String>,
}

/// Whether Apple's own MDM channel (`InstallEnterpriseApplication`, `manifesturl`) takes the
/// input, as far as that can be known from the file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct AppleMdm {
    /// The answer: the worst of the points that count.
    pub qualifies: Met,
    /// Point by point. What follows from another point is left out: where nothing is signed,
    /// there is no chain of certificates.
    pub points: Vec<MdmPoint>,
    /// The answer for a *managed* installation, which asks for more.
    pub managed: Met,
    /// Those further points; none where the answer is "no" already.
    pub managed_points: Vec<MdmPoint>,
}

/// Whether a requirement is met.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Met {
    /// It is not.
    No,
    /// It cannot be known from the file alone, or was not looked at.
    #[default]
    Unknown,
    /// It is.
    Yes,
}

/// One requirement of Apple's channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct MdmPoint {
    /// A stable word.
    pub code: &'static str,
    /// What is required.
    pub requirement: &'static str,
    /// Whether it is met.
    pub met: Met,
    /// Why, and what to do where it is not met. Escaped.
    pub detail: String,
    /// Whether the answer depends on it. What no file can tell (revocation) and what Apple does
    /// not ask of this channel (notarization) does not count.
    pub counts: bool,
}

impl MdmPoint {
    /// A point.
    #[must_use]
    pub fn new(
        code: &'static str,
        requirement: &'static str,
        met: Met,
        detail: impl Into<String>,
    ) -> Self {
        Self { code, requirement, met, detail: detail.into(), counts: true }
    }

    /// The same point, for information only.
    #[must_use]
    pub fn does_not_count(mut self) -> Self {
        self.counts = false;
        self
    }
}
