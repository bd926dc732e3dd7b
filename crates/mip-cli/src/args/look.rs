//! How an installer is looked at, and what it must be.

use clap::{Args, ValueEnum};

use super::ImagePasswordArgs;

/// How an installer is looked at.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct LookArgs {
    /// Bundle identifier or path of the app that the installer is about, when it holds several
    #[arg(long, value_name = "ID")]
    pub(crate) primary_app: Option<String>,
    /// Path of the installer inside a disk image, zip or tar file that holds several
    #[arg(long, value_name = "PATH")]
    pub(crate) select: Option<String>,
    /// When to read package payloads; auto: for what the package's own tables leave out
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub(crate) payload_scan: Scan,
    /// Compare the checksums that a disk image carries, which reads all of it
    #[arg(long)]
    pub(crate) verify_image: bool,
    /// How far to check signatures on the input; auto: up to --limit signature-scan bytes
    #[arg(long, value_name = "HOW", default_value = "auto")]
    pub(crate) signatures: SignatureChoice,
    #[command(flatten)]
    pub(crate) policy: PolicyOfSource,
    #[command(flatten)]
    pub(crate) password: ImagePasswordArgs,
}

/// How far signatures on the input are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum SignatureChoice {
    #[default]
    Auto,
    Never,
    /// compare every byte that is signed; apps in packages are unpacked to a temporary file
    Full,
}

/// Where help lists the options below.
const MUST_BE: &str = "What the input must be";

/// What the input must be.
// The heading stands at each option: one for the struct would go on after it.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct PolicyOfSource {
    /// Refuse an installer that is not signed by a certificate that Apple issued. One that has
    /// expired since is W_SIGNER_EXPIRED, for --deny
    #[arg(long, help_heading = MUST_BE)]
    pub(crate) require_signed: bool,
    /// Refuse an installer that another team signed; a Team ID is 10 characters, as in "(ABCDE12345)"
    #[arg(long, value_name = "TEAMID", value_parser = team_id, help_heading = MUST_BE)]
    pub(crate) require_team_id: Option<String>,
    /// Refuse an installer without a stapled notarization ticket
    #[arg(long, help_heading = MUST_BE)]
    pub(crate) require_notarized: bool,
    /// Refuse an installer with this warning (repeatable); `mip exit-codes` lists all
    #[arg(long, value_name = "W_CODE", help_heading = MUST_BE)]
    pub(crate) deny: Vec<String>,
}

/// When to read payloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Scan {
    #[default]
    Auto,
    Never,
    Always,
}

/// A Team ID: what is none would refuse every installer.
fn team_id(text: &str) -> Result<String, String> {
    let fits = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit();
    if text.len() == 10 && text.bytes().all(fits) {
        return Ok(text.to_owned());
    }
    Err("a Team ID is 10 capital letters and digits, as in ABCDE12345".to_owned())
}
