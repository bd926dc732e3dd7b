//! What code signatures say, and what checks of them found: plain data.

use mip_signing::apple::{ClaimState, SignatureClaim};
use schemars::JsonSchema;
use serde::Serialize;

/// The code signature of one slice of a program, or of a disk image.
#[derive(Debug, Clone, PartialEq, Default, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct CodeSignature {
    /// The architecture of the slice (`arm64`, `x86_64`); `None` for a disk image.
    pub architecture: Option<String>,
    /// The worst of all that was checked here.
    pub state: ClaimState,
    /// What is wrong, in words. Escaped.
    pub problems: Vec<String>,
    /// The identifier that the signature gives. As it is: escape it before showing.
    pub identifier: Option<String>,
    /// The Team ID in the code directory (the certificate's is in `signature`). As it is.
    pub team_id: Option<String>,
    /// Names of the code directory's flags (`adhoc`, `runtime`, `library-validation`, …) in the
    /// words of `codesign -d`.
    pub flags: Vec<String>,
    /// Whether the hardened runtime is on.
    pub hardened_runtime: bool,
    /// The SDK version of the hardened runtime.
    pub runtime_version: Option<String>,
    /// The code directories, best hash first. The first one's is what macOS calls the CDHash.
    pub code_directories: Vec<CodeDirectoryHash>,
    /// The bytes of the program against the hashes of the best code directory.
    pub pages: PageCheck,
    /// The designated requirement in the language of `csreq`, where the signature brings one.
    /// Its strings are ASCII, white space in them as it is.
    pub requirement: Option<String>,
    /// Entitlements, as JSON; data as Base64, dates as text.
    pub entitlements: Option<serde_json::Value>,
    /// The CMS signature over the code directory; `None` for an ad-hoc signature.
    pub signature: Option<SignatureClaim>,
    /// Where a notarization ticket is stapled into the signature: offset in the file, and bytes.
    #[serde(skip)]
    pub ticket: Option<(u64, u64)>,
    /// The special slots of the code directories, against what they stand for.
    #[serde(skip)]
    pub slots: SlotCheck,
}

/// Special slots of a code directory: digests of what lies beside the code (1: `Info.plist`, 2:
/// requirements, 3: `CodeResources`, 5: entitlements, …).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SlotCheck {
    /// Slots of the best code directory that hold a digest.
    pub sealed: Vec<u32>,
    /// Slots whose file or blob is missing or another, by any of the code directories.
    pub altered: Vec<u32>,
    /// Whether anything beside slots 1 and 3 is wrong with the signature or the program.
    pub more: bool,
}

/// One code directory.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct CodeDirectoryHash {
    /// `sha1`, `sha256`, `sha384`.
    pub algorithm: String,
    /// The code directory's own digest, cut to 20 bytes, lower-case hex.
    pub cdhash: String,
    /// The code directory's own digest, whole, lower-case hex.
    #[serde(skip)]
    pub digest: String,
}

/// Pages of a program against the hashes of its code directory.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct PageCheck {
    /// [`ClaimState::Valid`], [`ClaimState::Invalid`] or [`ClaimState::NotChecked`].
    pub state: ClaimState,
    /// Bytes that the hashes cover.
    pub bytes: u64,
    /// Pages that differ.
    pub altered: u64,
    /// File offset of the first page that differs.
    pub first_altered: Option<u64>,
}

/// What is wrong with a file of a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FindingKind {
    /// It is not what was sealed.
    Altered,
    /// It was sealed and is not there.
    Missing,
    /// It is there and was not sealed.
    Added,
    /// The code signature of this program or nested bundle does not hold.
    Code,
    /// It could not be read.
    Unreadable,
}

/// A file of a bundle that is not what the signature says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Finding {
    /// What is wrong.
    pub kind: FindingKind,
    /// The path below the bundle's folder. Escaped.
    pub path: String,
    /// More, in words. Escaped.
    pub detail: String,
}

/// The files of a bundle against its `_CodeSignature/CodeResources`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct SealCheck {
    /// What the check found; [`ClaimState::Unsigned`] without a `CodeResources`.
    pub state: ClaimState,
    /// Files that are sealed.
    pub sealed: u64,
    /// Files of which all bytes were compared.
    pub checked: u64,
    /// Bytes of those.
    pub bytes: u64,
    /// The version of the seal: 2; 1 for old ones, which leave out most of what is outside
    /// `Resources`; 0 where there is none.
    pub version: u8,
    /// Rules that leave out more than Apple's do, or that there is none for all files (as in
    /// version 1): Gatekeeper refuses such a seal, and the bundle is
    /// [`ClaimState::Untrusted`] at best. Escaped.
    pub weak_rules: Vec<String>,
}

/// Code inside a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct NestedCode {
    /// The path below the outer bundle's folder. Escaped.
    pub path: String,
    /// The worst that was found of it.
    pub state: ClaimState,
    /// Its identifier.
    pub identifier: Option<String>,
    /// Its Team ID.
    pub team_id: Option<String>,
}

/// The code signature of a bundle.
#[derive(Debug, Clone, PartialEq, Default, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct BundleSignature {
    /// The worst of all that was checked: the program, the seal, the code inside.
    pub state: ClaimState,
    /// What was not looked at, in words: why [`state`](Self::state) is not more. Escaped.
    pub not_checked: Vec<String>,
    /// The main program's signature, one per slice.
    pub slices: Vec<CodeSignature>,
    /// The files.
    pub seal: SealCheck,
    /// Code inside, in the order of paths; the first 1,000.
    pub nested: Vec<NestedCode>,
    /// What does not match; the first 100.
    pub findings: Vec<Finding>,
    /// Findings that are not in the list.
    pub more_findings: u64,
}
