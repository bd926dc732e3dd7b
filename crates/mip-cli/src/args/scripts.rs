//! Scripts: those of `mip convert`, and the command that writes only them.

use std::path::PathBuf;

use clap::Args;

use super::{LookArgs, StdinArgs};

/// Where help lists the options below.
const SCRIPTS: &str = "Scripts";

/// Which scripts an archive has.
// The heading stands at each option: one for the struct would go on after it.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ScriptArgs {
    /// Leave out the detection and uninstall scripts, in the archive and beside it
    #[arg(long, help_heading = SCRIPTS)]
    pub(crate) no_scripts: bool,
    /// Carry this script, to be run before the installation; it must start with #!
    #[arg(long, value_name = "FILE", help_heading = SCRIPTS)]
    pub(crate) preinstall: Option<PathBuf>,
    /// Carry this script, to be run after the installation; it must start with #!
    #[arg(long, value_name = "FILE", help_heading = SCRIPTS)]
    pub(crate) postinstall: Option<PathBuf>,
}

/// Write the detection and uninstall scripts for an installer, without converting it
#[derive(Debug, Args)]
#[command(after_long_help = "\
Plain sh scripts, made for this very installer: read them before they are used. Both take
--root DIR; uninstall.sh --dry-run says what it would do, and does nothing.

Examples:
  mip scripts Tool.pkg
  mip scripts Tool.dmg -o scripts/ --hash
  mip scripts Suite.pkg --primary-app com.example.editor --force
  sh Tool-1.0.detection.sh; echo $?                     (on a Mac: 0 is installed)
  sudo sh Tool-1.0.uninstall.sh --dry-run               (on a Mac)")]
pub(crate) struct ScriptsArgs {
    /// A .pkg, .dmg or .app, or a zip or tar file of one; - is stdin
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Existing folder for the scripts; default: the current folder
    #[arg(long, short, value_name = "DIR", default_value = ".", hide_default_value = true)]
    pub(crate) output: PathBuf,
    /// Replace scripts that exist
    #[arg(long, short)]
    pub(crate) force: bool,
    /// Also write the SHA-256 of the installer into the scripts
    #[arg(long)]
    pub(crate) hash: bool,
    /// Identifier of the product instead of the one that was found
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<String>,
    /// Name of the product instead of the one that was found
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Version of the product instead of the one that was found
    #[arg(long, value_name = "VERSION")]
    pub(crate) set_version: Option<String>,
    #[command(flatten)]
    pub(crate) look: LookArgs,
    #[command(flatten)]
    pub(crate) stdin: StdinArgs,
}
