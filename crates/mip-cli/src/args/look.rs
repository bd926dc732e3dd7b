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
    /// compare every byte that is signed
    Full,
}

/// What the input must be.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "What the input must be")]
pub(crate) struct PolicyOfSource {
    /// Refuse an installer that is not signed by a certificate that Apple issued
    #[arg(long)]
    pub(crate) require_signed: bool,
    /// Refuse an installer that another team signed
    #[arg(long, value_name = "TEAMID")]
    pub(crate) require_team_id: Option<String>,
    /// Refuse an installer without a stapled notarization ticket
    #[arg(long)]
    pub(crate) require_notarized: bool,
    /// Refuse an installer with this warning (repeatable); `mip exit-codes` lists all
    #[arg(long, value_name = "W_CODE")]
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
