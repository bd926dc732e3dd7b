//! What `inspect` finds out: plain data for people, programs and the converter.
//!
//! Every value that rules choose is a [`Fact`]: the value, the place it was read from, and
//! the name of the rule that picked it. The serialized form is JSON of schema version
//! [`SCHEMA_VERSION`]; [`inspection_schema`] gives the matching JSON schema.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

mod image;
mod trust;
mod warning;

pub use image::{
    ChecksumState, ImageInfo, ImagePayload, ImagePurpose, LicenceInfo, LicenceText, PartitionInfo,
    VolumeInfo,
};
pub use trust::*;
pub use warning::{WARNINGS, Warning, WarningInfo};

/// The version of the JSON form. Raised when a key is removed or changes its meaning;
/// new keys do not raise it.
pub const SCHEMA_VERSION: u32 = 1;

/// The JSON schema of [`Inspection`] (draft 2020-12).
#[must_use]
pub fn inspection_schema() -> serde_json::Value {
    schema::<Inspection>()
}

/// The schema of what is written: a key that may be left out is not required.
pub(crate) fn schema<T: JsonSchema>() -> serde_json::Value {
    let settings = schemars::generate::SchemaSettings::draft2020_12().for_serialize();
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

/// Everything that is known of one installer.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Inspection {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The file that was looked at.
    pub input: InputInfo,
    /// The disk image around the installer, where there is one.
    pub image: Option<ImageInfo>,
    /// What the installer is: the values that a server shows and compares.
    pub identity: Identity,
    /// What it does when it is installed.
    pub installer: InstallerInfo,
    /// Every app in it. At most one is primary.
    pub apps: Vec<AppInfo>,
    /// Who signed it, as far as that can be told.
    pub trust: TrustInfo,
    /// Whether Apple's own MDM channel takes it.
    pub apple_mdm: AppleMdm,
    /// What an admin should know before trusting the values above.
    pub warnings: Vec<Warning>,
    /// Quirks that were tolerated.
    pub notes: Vec<String>,
}

impl Inspection {
    /// An inspection of `input` that knows nothing yet.
    #[must_use]
    pub fn new(input: InputInfo) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            input,
            image: None,
            identity: Identity::default(),
            installer: InstallerInfo::default(),
            apps: Vec::new(),
            trust: TrustInfo::default(),
            apple_mdm: AppleMdm::default(),
            warnings: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// The primary app, where the rules or the caller chose one.
    #[must_use]
    pub fn primary_app(&self) -> Option<&AppInfo> {
        self.apps.iter().find(|a| a.primary)
    }
}

/// The file that was inspected.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct InputInfo {
    /// File name without folders.
    pub name: String,
    /// Bytes of the file; for a folder the sum of its files.
    pub size: u64,
    /// SHA-256 of the file in lower-case hex, where it was computed.
    pub sha256: Option<String>,
    /// How the installer itself is stored.
    pub format: InputFormat,
    /// What kind of installer it is.
    pub kind: InstallerKind,
    /// The outermost archive or disk image around the installer, where there is one.
    pub container: Option<ContainerFormat>,
    /// Path of the installer inside that, with `//` where another container begins.
    pub path_in_container: Option<String>,
}

/// How an installer is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum InputFormat {
    /// A flat package: a xar file.
    Xar,
    /// A folder of files (an app, a bundle-style package), on disk or in an archive.
    Folder,
    /// A disk image that holds nothing to install.
    DiskImage,
    /// Not known.
    #[default]
    Unknown,
}

/// What an installer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum InstallerKind {
    /// A flat package with a Distribution file (a product archive).
    DistributionPackage,
    /// A flat package of one component.
    ComponentPackage,
    /// An old bundle-style `.pkg` folder.
    BundlePackage,
    /// An old bundle-style `.mpkg` folder: several packages.
    BundleMetapackage,
    /// An app bundle.
    App,
    /// Not known: nothing could be read.
    #[default]
    Unknown,
}

impl InstallerKind {
    /// The word for this kind in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::DistributionPackage => "distribution-package",
            Self::ComponentPackage => "component-package",
            Self::BundlePackage => "bundle-package",
            Self::BundleMetapackage => "bundle-metapackage",
            Self::App => "app",
            Self::Unknown => "unknown",
        }
    }
}

/// An archive or disk image around an installer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ContainerFormat {
    /// zip.
    Zip,
    /// tar, not compressed.
    Tar,
    /// tar with gzip.
    TarGz,
    /// tar with bzip2.
    TarBz2,
    /// tar with xz or lzma.
    TarXz,
    /// A disk image.
    DiskImage,
    /// A disk image that was compressed once more, as a file (`.dmg.gz`).
    CompressedDiskImage,
}

/// A value, where it came from, and what lost against it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Fact<T> {
    /// The value.
    pub value: T,
    /// Where it was read and which rule picked it.
    pub source: Provenance,
    /// Candidates that the rule passed over, best first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Candidate<T>>,
}

impl<T> Fact<T> {
    /// A value with one source and no competitors.
    #[must_use]
    pub fn new(value: T, place: impl Into<String>, key: Option<&str>, rule: &'static str) -> Self {
        let source = Provenance { place: place.into(), key: key.map(str::to_owned), rule };
        Self { value, source, others: Vec::new() }
    }
}

/// A candidate that a rule passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Candidate<T> {
    /// The value.
    pub value: T,
    /// Where it was read and which rule would have picked it.
    pub source: Provenance,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Provenance {
    /// The file it was read from, with `//` between a container and what is inside it:
    /// `App.zip//Tool.pkg//PackageInfo`. Escaped.
    pub place: String,
    /// The key or attribute: `CFBundleIdentifier`, `pkg-info@identifier`.
    pub key: Option<String>,
    /// The rule, a stable word of [`crate::metadata::rules`].
    pub rule: &'static str,
}

/// What the installer is.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Identity {
    /// Bundle identifier of the primary app; for installers without an app the package's.
    pub bundle_id: Option<Fact<String>>,
    /// Name to show.
    pub name: Option<Fact<String>>,
    /// The one version to publish.
    pub version: Option<Fact<String>>,
    /// `CFBundleShortVersionString` of the primary app.
    pub short_version: Option<Fact<String>>,
    /// `CFBundleVersion` of the primary app.
    pub bundle_version: Option<Fact<String>>,
    /// Lowest macOS version that it runs on.
    pub min_os: Option<Fact<String>>,
    /// Highest macOS version that it runs on, where one is given.
    pub max_os: Option<Fact<String>>,
    /// Processor architectures (`arm64`, `x86_64`, …), sorted.
    pub architectures: Option<Fact<Vec<String>>>,
    /// App category (`LSApplicationCategoryType`).
    pub category: Option<Fact<String>>,
    /// Copyright line.
    pub copyright: Option<Fact<String>>,
    /// The icon.
    pub icon: Option<Fact<IconInfo>>,
    /// Names by language, where the app is localized.
    pub localized_names: Option<Fact<BTreeMap<String, String>>>,
}

/// An icon that was found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct IconInfo {
    /// Path of the icon file inside the app or package.
    pub path: String,
    /// `icns`, `asset-catalog` or `png`.
    pub format: String,
    /// Edge of the best image in pixels, where it is known.
    pub pixels: Option<u32>,
    /// Bytes of the icon file.
    pub bytes: u64,
}

/// What the installer does.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct InstallerInfo {
    /// Title that the Installer shows, with localization keys resolved.
    pub title: Option<Fact<String>>,
    /// Product identifier (Distribution `product@id`).
    pub product_id: Option<Fact<String>>,
    /// Product version (Distribution `product@version`).
    pub product_version: Option<Fact<String>>,
    /// Where the Distribution is, in packages that have one.
    pub product_place: Option<String>,
    /// Package references of the Distribution; those without a file inside are not part of
    /// the installer.
    pub packages: Vec<PackageRef>,
    /// Component packages, in file order.
    pub components: Vec<ComponentInfo>,
    /// Receipts that the installation leaves.
    pub receipts: Vec<Receipt>,
    /// What the Installer does or asks for at the end. `None`: nothing is asked for.
    pub restart: Option<Fact<RestartAction>>,
    /// Allowed macOS versions; empty when the package does not restrict them.
    pub allowed_os: Vec<Fact<OsRange>>,
    /// Architectures of the Mac that the package may be installed on.
    pub host_architectures: Option<Fact<Vec<String>>>,
    /// Where the package may be installed.
    pub domains: Option<Fact<Domains>>,
    /// Whether the user must accept a licence.
    pub licence: bool,
    /// The licence files, with the language where it is known.
    pub licence_files: Vec<LicenceFile>,
    /// Bundle identifiers of apps that must be closed first.
    pub must_close: Vec<Fact<String>>,
    /// Choices that the Installer offers.
    pub choices: Vec<ChoiceInfo>,
    /// Whether the package decides with JavaScript. It is never run, so what it decides is not known.
    pub javascript: bool,
    /// KB on disk after installation (sum of the components).
    pub installed_kbytes: Option<Fact<u64>>,
    /// Files after installation (sum of the components).
    pub installed_files: Option<Fact<u64>>,
    /// Bytes after installation, counted from the file list, where one was read.
    pub installed_bytes: Option<Fact<u64>>,
}

/// A package that a Distribution refers to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct PackageRef {
    /// Package identifier.
    pub id: String,
    /// Package version.
    pub version: Option<String>,
    /// `#Name.pkg` for a package inside; else a URL, which is not followed.
    pub file: Option<String>,
    /// KB on disk after installation.
    pub install_kbytes: Option<u64>,
    /// `root` or `none`.
    pub auth: Option<String>,
    /// `onConclusion` as written.
    pub on_conclusion: Option<String>,
}

/// One component package.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct ComponentInfo {
    /// Where it is: the container path of its folder or file.
    pub place: String,
    /// Package identifier.
    pub id: Option<String>,
    /// Package version.
    pub version: Option<String>,
    /// The identifier with its source.
    #[serde(skip)]
    pub id_fact: Option<Fact<String>>,
    /// The version with its source.
    #[serde(skip)]
    pub version_fact: Option<Fact<String>>,
    /// Where the payload is unpacked to.
    pub install_location: Option<String>,
    /// KB on disk after installation, as the package says.
    pub install_kbytes: Option<u64>,
    /// Files and folders, as the package says.
    pub files: Option<u64>,
    /// Bytes of all files in the file list (Bom), where it was read.
    pub listed_bytes: Option<u64>,
    /// Whether a path in that list has a line break, which no list of lines can show.
    #[serde(skip)]
    pub line_breaks: bool,
    /// `root` or `none`.
    pub auth: Option<String>,
    /// Whether there is a payload.
    pub payload: bool,
    /// What was read of the payload.
    pub payload_state: PayloadState,
    /// Bytes of the payload as stored.
    pub payload_stored_bytes: u64,
    /// Compression of the payload (`gzip`, `pbzx`, `aa`, …), where it was looked at.
    pub payload_format: Option<String>,
    /// Scripts.
    pub scripts: Vec<ScriptInfo>,
    /// Bundles that the package lists.
    pub bundles: Vec<BundleInfo>,
    /// Identifiers of bundles that may land elsewhere when the user moved them.
    pub relocatable_bundles: Vec<String>,
    /// `postinstall-action` as written.
    pub postinstall_action: Option<String>,
    /// Bundle identifiers of apps that must be closed first.
    pub must_close: Vec<String>,
}

/// What was read of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum PayloadState {
    /// There is no payload.
    #[default]
    None,
    /// Nothing was read: not needed, not asked for, or over the limit.
    NotRead,
    /// It was read as far as needed.
    Read,
    /// It could not be read.
    Unreadable,
}

/// A script of a package.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct ScriptInfo {
    /// File name inside the scripts archive.
    pub name: String,
    /// What runs it: `preinstall`, `postinstall`, `preflight`, …; `None` for a helper file.
    pub role: Option<String>,
    /// The interpreter of its first line (`/bin/sh`), where it has one.
    pub interpreter: Option<String>,
    /// Bytes; `None` when the package names the script and its archive was not readable.
    pub size: Option<u64>,
    /// Its first lines, where they were asked for. As they are: escape them before showing.
    pub head: Vec<String>,
    /// What an admin should look at in it; each is also part of a warning.
    pub findings: Vec<ScriptFinding>,
}

/// Something in a script that an admin should look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct ScriptFinding {
    /// The code of the warning, `W_SCRIPT_…`.
    pub code: &'static str,
    /// The line, from 1.
    pub line: u32,
    /// What stands there, in a few words. Escaped.
    pub text: String,
}

/// A bundle that a package lists.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct BundleInfo {
    /// Path inside the payload, as written.
    pub path: String,
    /// Bundle identifier.
    pub id: Option<String>,
    /// `CFBundleShortVersionString`.
    pub short_version: Option<String>,
    /// `CFBundleVersion`.
    pub bundle_version: Option<String>,
}

/// A receipt that an installation leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Receipt {
    /// Package identifier.
    pub id: String,
    /// Package version.
    pub version: String,
    /// Where the two were read.
    pub source: Provenance,
}

impl Receipt {
    /// A receipt of `version` of the package `id`, as `source` says.
    #[must_use]
    pub fn new(id: &str, version: &str, source: Provenance) -> Self {
        Self { id: id.to_owned(), version: version.to_owned(), source }
    }
}

/// What is asked for at the end of an installation; the order is that of severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RestartAction {
    /// Log out.
    Logout,
    /// Restart.
    Restart,
    /// Shut down.
    Shutdown,
}

/// A range of macOS versions.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct OsRange {
    /// Lowest version.
    pub min: Option<String>,
    /// Highest version.
    pub max: Option<String>,
    /// First version that is too new.
    pub before: Option<String>,
}

/// Where a package may be installed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Domains {
    /// On any volume.
    pub anywhere: Option<bool>,
    /// In the user's home.
    pub current_user_home: Option<bool>,
    /// On the system volume.
    pub local_system: Option<bool>,
}

/// A licence text.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct LicenceFile {
    /// File name as the package gives it.
    pub file: String,
    /// Language of the folder it is in (`en`), where it is localized.
    pub language: Option<String>,
}

/// A choice of a Distribution.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct ChoiceInfo {
    /// Choice identifier.
    pub id: String,
    /// Title, with localization keys resolved.
    pub title: Option<String>,
    /// Identifiers of the packages that it installs.
    pub packages: Vec<String>,
}

/// One app.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct AppInfo {
    /// The container path of the app.
    pub place: String,
    /// Its path inside the payload, archive or folder.
    pub path: String,
    /// Where it lands on the Mac (`/Applications/Tool.app`), where that is known.
    pub install_path: Option<String>,
    /// Whether this is the app that the installer is about.
    pub primary: bool,
    /// Whether it is inside another bundle (a helper, not an app of its own).
    pub nested: bool,
    /// `CFBundleIdentifier`.
    pub bundle_id: Option<Fact<String>>,
    /// Name to show.
    pub name: Option<Fact<String>>,
    /// `CFBundleShortVersionString`.
    pub short_version: Option<Fact<String>>,
    /// `CFBundleVersion`.
    pub bundle_version: Option<Fact<String>>,
    /// Lowest macOS version.
    pub min_os: Option<Fact<String>>,
    /// Highest macOS version.
    pub max_os: Option<Fact<String>>,
    /// Processor architectures, sorted.
    pub architectures: Option<Fact<Vec<String>>>,
    /// App category.
    pub category: Option<Fact<String>>,
    /// Copyright line.
    pub copyright: Option<Fact<String>>,
    /// `CFBundleExecutable`.
    pub executable: Option<String>,
    /// `CFBundlePackageType`.
    pub package_type: Option<String>,
    /// `CFBundleIconFile`.
    pub icon_file: Option<String>,
    /// The icon, where one was read.
    pub icon: Option<Fact<IconInfo>>,
    /// Names by language.
    pub localized_names: BTreeMap<String, String>,
    /// Whether the Installer may put it elsewhere when the user moved it.
    pub relocatable: Option<bool>,
    /// Its code signature, where it was looked at.
    pub signature: Option<BundleSignature>,
    /// The notarization ticket that is stapled to it.
    pub ticket: Option<TicketInfo>,
}
