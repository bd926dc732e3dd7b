//! `mip manifest`.

use std::path::PathBuf;

use clap::Args;

use super::{LookArgs, StdinArgs};

/// Write the manifest with which Apple's own MDM channel installs a package
#[derive(Debug, Args)]
#[command(after_long_help = "\
The manifest is what InstallEnterpriseApplication takes, in the command or behind a ManifestURL.
A package that Apple's channel will not take still gets one, with a warning for each reason; with
--strict it is refused. `mip inspect` shows the whole verdict.

Examples:
  mip manifest Tool.pkg --url https://packages.example.com/Tool.pkg -o Tool.plist
  mip manifest Tool.pkg --url https://packages.example.com/Tool.pkg --strict --md5 >Tool.plist
  mip manifest Tool.pkg --url https://packages.example.com/Tool.pkg --json | jq -r .sha256")]
pub(crate) struct ManifestArgs {
    /// A .pkg; - is stdin
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Where Macs will find the package: an address that starts with https://
    #[arg(long, value_name = "URL")]
    pub(crate) url: String,
    /// Output file; - is stdout, which is the default
    #[arg(long, short, value_name = "OUT")]
    pub(crate) output: Option<PathBuf>,
    /// Replace an output file that exists
    #[arg(long, short)]
    pub(crate) force: bool,
    /// Bytes of one chunk; suffixes K, M, G are powers of 1024
    #[arg(long, value_name = "BYTES", default_value = "10M", value_parser = crate::limits::bytes)]
    pub(crate) chunk_size: u64,
    /// Also give the MD5 of each chunk, for macOS before 10.13.6
    #[arg(long)]
    pub(crate) md5: bool,
    /// Refuse a package that Apple's channel is not known to take
    #[arg(long)]
    pub(crate) strict: bool,
    /// Identifier to write instead of the one that was found
    #[arg(long, value_name = "ID", help_heading = "Values")]
    pub(crate) id: Option<String>,
    /// Version to write instead of the one that was found
    #[arg(long, value_name = "VERSION", help_heading = "Values")]
    pub(crate) set_version: Option<String>,
    /// Title to write instead of the name that was found
    #[arg(long, value_name = "TITLE", help_heading = "Values")]
    pub(crate) title: Option<String>,
    /// Developer's name to write instead of that of a valid signature
    #[arg(long, value_name = "NAME", help_heading = "Values")]
    pub(crate) subtitle: Option<String>,
    #[command(flatten)]
    pub(crate) look: LookArgs,
    #[command(flatten)]
    pub(crate) stdin: StdinArgs,
}
