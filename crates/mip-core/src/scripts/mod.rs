//! The scripts that a server asks for: is the product installed, and how is it removed.
//!
//! They are made for one installer, as plain POSIX sh, from what an inspection found. What
//! changes from installer to installer stands at their top as values; the rest are the files of
//! `scripts/sh`. `docs/scripts.md` says what they do and what they cannot know.

mod beside;
mod facts;
mod given;
mod quote;
mod write;

use mip_archive::profile;
use schemars::JsonSchema;
use serde::Serialize;

pub(crate) use self::beside::Beside;
use self::facts::Facts;
pub(crate) use self::given::check as check_given;
use crate::inspection::{Inspection, Warning};
use crate::report::ProductReport;

/// Whether scripts are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ScriptChoice {
    /// They are made, put into the archive, and written beside an archive that is a file.
    #[default]
    Generate,
    /// None are made.
    None,
}

/// What a script is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ScriptRole {
    /// Exit status 0: the product is installed, in this version or a newer one.
    Detection,
    /// To run after the installation.
    Postinstall,
    /// To run before the installation.
    Preinstall,
    /// Removes the product.
    Uninstall,
}

impl ScriptRole {
    /// Its path in an archive.
    #[must_use]
    pub const fn archive_path(self) -> &'static str {
        match self {
            Self::Detection => profile::DETECTION_SCRIPT,
            Self::Postinstall => profile::POSTINSTALL_SCRIPT,
            Self::Preinstall => profile::PREINSTALL_SCRIPT,
            Self::Uninstall => profile::UNINSTALL_SCRIPT,
        }
    }

    /// Its file name: the last part of that path.
    #[must_use]
    pub fn file_name(self) -> &'static str {
        self.archive_path().strip_prefix(profile::SCRIPTS).unwrap_or_else(|| self.archive_path())
    }

    /// The word for this role in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Detection => "detection",
            Self::Postinstall => "postinstall",
            Self::Preinstall => "preinstall",
            Self::Uninstall => "uninstall",
        }
    }
}

/// A script of an archive, or beside one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct ScriptReport {
    /// What it is for.
    pub role: ScriptRole,
    /// Whether it was made for this installer; `false`: it was given.
    pub generated: bool,
    /// Its path in the archive; `None` where there is no archive.
    pub path: Option<String>,
    /// The same bytes as a file beside the archive.
    pub beside: Option<String>,
    /// Bytes.
    pub bytes: u64,
    /// SHA-256 of the bytes in hex.
    pub sha256: String,
}

/// A script that goes into an archive.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(crate) role: ScriptRole,
    pub(crate) generated: bool,
    pub(crate) bytes: Vec<u8>,
}

impl Script {
    pub(crate) fn report(&self, path: bool, beside: Option<String>) -> ScriptReport {
        ScriptReport {
            role: self.role,
            generated: self.generated,
            path: path.then(|| self.role.archive_path().to_owned()),
            beside,
            bytes: mip_base::len64(self.bytes.len()),
            sha256: crate::pump::sha256_of(&self.bytes),
        }
    }
}

/// The detection script for an installer. The same inspection gives the same bytes.
///
/// Its exit status is 0 when the product is there in this version or a newer one, 1 when it is
/// not, and 2 when that cannot be told, as for a package that installs no files.
#[must_use]
pub fn detection_script(found: &Inspection, product: &ProductReport) -> String {
    write::detection(&Facts::of(found, product))
}

/// The uninstall script for an installer. The same inspection gives the same bytes.
///
/// Its exit status is 0 when nothing of the product is left, 1 when something had to stay, and 2
/// when nothing was done.
#[must_use]
pub fn uninstall_script(found: &Inspection, product: &ProductReport) -> String {
    write::uninstall(&Facts::of(found, product))
}

/// Both scripts, and what there is to say of them. Without an inspection there are none.
pub(crate) fn generate(
    found: Option<&Inspection>,
    product: &ProductReport,
    warnings: &mut Vec<Warning>,
) -> Vec<Script> {
    let Some(found) = found else {
        let text = "no detection and uninstall scripts: the inside of the input was not read";
        warnings.push(Warning::new("W_NO_DETECTION", text));
        return Vec::new();
    };
    let facts = Facts::of(found, product);
    if facts.apps.is_empty() && facts.receipts.is_empty() {
        let text =
            "the detection script cannot tell: the installer has no app and leaves no receipt";
        warnings.push(Warning::new("W_NO_DETECTION", text));
    }
    let script = |role, text: String| Script { role, generated: true, bytes: text.into_bytes() };
    vec![
        script(ScriptRole::Detection, write::detection(&facts)),
        script(ScriptRole::Uninstall, write::uninstall(&facts)),
    ]
}

/// The scripts for an input, without an archive.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Scripts {
    /// [`REPORT_VERSION`](crate::REPORT_VERSION).
    pub schema_version: u32,
    /// What they are for.
    pub product: ProductReport,
    /// What was made.
    pub scripts: Vec<ScriptReport>,
    /// What an admin should know.
    pub warnings: Vec<Warning>,
}
