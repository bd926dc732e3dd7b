//! What is known of a disk image.

use schemars::JsonSchema;
use serde::Serialize;

/// The disk image that holds the installer: of images inside images the innermost one.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct ImageInfo {
    /// The container path of the image. Escaped.
    pub place: String,
    /// `UDIF`, `sparse image`, `sparse bundle`, or `raw` for the plain bytes of a disk or volume.
    pub format: String,
    /// The compressions of its chunks: `zlib`, `bzip2`, `LZFSE`, `LZMA`, `ADC`, `raw`.
    pub compression: Vec<String>,
    /// How the image is encrypted: `AES-128`, `AES-256`. `None`: it is not. Volumes can be
    /// encrypted beside that.
    pub encryption: Option<String>,
    /// Bytes of the disk inside.
    pub disk_bytes: u64,
    /// `GPT`, `APM`, `MBR`; `None` where one volume fills the disk.
    pub partition_scheme: Option<String>,
    /// The partitions, in the order of the map.
    pub partitions: Vec<PartitionInfo>,
    /// The volumes, also those that cannot be read.
    pub volumes: Vec<VolumeInfo>,
    /// The licence agreement that macOS shows before it mounts the image.
    pub licence: Option<LicenceInfo>,
    /// Whether the image carries a code signature. It is not checked.
    pub code_signature: bool,
    /// What became of the checksums that the image carries.
    pub checksums: ChecksumState,
    /// What the image is for, where something in it can be installed.
    pub decided: Option<ImagePurpose>,
    /// What a conversion carries unless it is told otherwise.
    pub payload: Option<ImagePayload>,
}

/// An entry of a partition map.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct PartitionInfo {
    /// Its name, often empty. Escaped.
    pub name: String,
    /// Its type, as the map names it. Escaped.
    pub kind: String,
    /// First byte on the disk.
    pub start: u64,
    /// Bytes.
    pub size: u64,
}

/// A volume on a disk image.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct VolumeInfo {
    /// Its name, where it can be read. Escaped.
    pub name: Option<String>,
    /// `HFS+`, `HFSX`, `APFS`, `FAT`; also the name of one that is not supported.
    pub file_system: String,
    /// Whether the volume was read.
    pub read: bool,
    /// Its folder in container paths, on images with several volumes that are read. Escaped.
    pub folder: Option<String>,
    /// Whether `a` and `A` are two names on it.
    pub case_sensitive: Option<bool>,
    /// Bytes of the volume.
    pub size: u64,
    /// Files, where they were counted. Links are not files.
    pub files: Option<u64>,
    /// Bytes of those files when they are copied out.
    pub file_bytes: Option<u64>,
    /// Whether the volume itself is encrypted.
    pub encrypted: bool,
    /// What the volume is for, where it says so (APFS: `system`, `data`, `recovery`, …).
    pub role: Option<String>,
}

/// A licence agreement of a disk image.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct LicenceInfo {
    /// Languages of the agreement, as far as the image names them.
    pub languages: Vec<String>,
    /// The texts, on request ([`InspectOptions::licence_text`](crate::InspectOptions)).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub texts: Vec<LicenceText>,
}

/// One language of a licence agreement.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct LicenceText {
    /// The language, where the image names it.
    pub language: Option<String>,
    /// The text as it is: line ends and all other characters of the image.
    pub text: String,
}

/// The checksums of a disk image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ChecksumState {
    /// Not looked at; [`InspectOptions::verify_image`](crate::InspectOptions) asks for it.
    #[default]
    NotChecked,
    /// All hold. (A checksum that does not hold is an error.)
    Ok,
    /// The image carries none.
    None,
}

/// What an image is for, and how that was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct ImagePurpose {
    /// `drag-and-drop-app`, `app`, `package` or `disk-image`.
    pub installs: &'static str,
    /// Its path in the image. Escaped.
    pub path: String,
    /// Why, in one sentence. Escaped.
    pub why: String,
}

/// What a conversion carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct ImagePayload {
    /// `image`, `app` or `package`.
    pub carries: &'static str,
    /// Why, in one sentence. Escaped.
    pub why: String,
}
