//! The command line as types: what clap parses, and nothing else.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use mip_base::{Code, Error, Limits, Result};

use crate::limits::{self, Change};

mod archive;
mod contents;
mod look;
mod manifest;
mod scripts;

pub(crate) use archive::{ExtractArgs, ListArgs, PolicyArgs, SignArgs, VerifyArgs};
pub(crate) use contents::{CatArgs, FilesArgs, ImagePasswordArgs};
pub(crate) use look::{LookArgs, PolicyOfSource, Scan, SignatureChoice};
pub(crate) use manifest::ManifestArgs;
pub(crate) use scripts::{ScriptArgs, ScriptsArgs};

const TOUR: &str = "\
A first tour (a throw-away identity, one archive, one check):
  mip identity create --out demo-identity
  mip convert Tool.pkg --sign-key demo-identity/key.pem --sign-cert demo-identity/identity.pem
  mip verify Tool-1.0.mip --anchor demo-identity/ca.pem

`mip COMMAND --help` has examples for each command, `mip --help` the table of limits,
`mip exit-codes` every exit status and error code.";

/// Convert macOS installers into signed MIP archives, on any platform.
#[derive(Debug, Parser)]
#[command(
    name = "mip",
    version,
    propagate_version = true,
    disable_help_subcommand = true,
    after_help = TOUR,
    after_long_help = format!("{TOUR}\n\n{}", limits::help())
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "General options")]
pub(crate) struct Global {
    /// Print one JSON object on stdout, also for errors
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// No progress, warnings or summary; with --json no error text on stderr either
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// When to show progress on stderr; auto: on a terminal, not in CI
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) progress: When,
    /// Resource limits to start from; strict suits uploads by strangers
    #[arg(long, global = true, value_name = "PROFILE", default_value = "default")]
    pub(crate) limits: LimitProfile,
    /// Change one resource limit (repeatable); suffixes K, M, G, T are powers of 1024
    #[arg(long, global = true, value_name = "NAME=BYTES", value_parser = limits::parse)]
    pub(crate) limit: Vec<Change>,
}

impl Global {
    /// The limits that the options ask for.
    pub(crate) fn limits(&self) -> Limits {
        let mut limits = self.limits.limits();
        for change in &self.limit {
            change.apply(&mut limits);
        }
        limits
    }
}

/// auto, always or never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum When {
    #[default]
    Auto,
    Always,
    Never,
}

/// A named set of limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum LimitProfile {
    #[default]
    Default,
    Strict,
}

impl LimitProfile {
    fn limits(self) -> Limits {
        match self {
            Self::Default => Limits::default(),
            Self::Strict => Limits::strict(),
        }
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Inspect(InspectArgs),
    Files(FilesArgs),
    Cat(CatArgs),
    Convert(Box<ConvertArgs>),
    Scripts(ScriptsArgs),
    Verify(VerifyArgs),
    List(ListArgs),
    Extract(ExtractArgs),
    Sign(SignArgs),
    Manifest(Box<ManifestArgs>),
    #[command(subcommand)]
    Identity(IdentityCommand),
    /// List the file formats that are recognised
    #[command(after_long_help = "\
Example:
  mip formats --json | jq -r '.formats[] | select(.supported) | .name'")]
    Formats,
    /// List every exit status and error code
    #[command(after_long_help = "\
Example:
  mip exit-codes --json | jq -r '.exit_codes[] | select(.exit == 12) | .codes[].code'")]
    ExitCodes,
    Completions(CompletionsArgs),
    Man(ManArgs),
}

/// Where the input comes from.
#[derive(Debug, Clone, Args)]
pub(crate) struct StdinArgs {
    /// File name for the input when it is - (stdin)
    #[arg(long, value_name = "NAME", default_value = "stdin")]
    pub(crate) stdin_name: String,
}

/// What of a disk image is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Carry {
    /// the image where it mounts without a question, else what is in it
    #[default]
    Auto,
    /// the input as it is, also where a person will be asked
    Original,
    /// the app, packed
    App,
    /// the package
    Pkg,
}

/// Show what an installer is and does, and where each value was read
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("written").args(["icon", "html"]).multiple(true))]
#[command(after_long_help = "\
Examples:
  mip inspect Tool.pkg
  mip inspect Tool.app.zip --json | jq -r .identity.version.value
  curl -s https://example.com/Tool.pkg | mip inspect - --stdin-name Tool.pkg
  mip inspect Tool.dmg --licence --verify-image
  mip inspect Tool.pkg --icon tool.png
  mip inspect Tool.pkg --explain --scripts
  mip inspect Tool.pkg --hash --html report.html
  mip inspect Suite.pkg --primary-app com.example.editor
  mip inspect Tool.pkg --require-team-id ABCDE12345 --require-notarized --deny W_RELOCATABLE
  mip inspect Tool.pkg --json | jq -r '.apps[0].signature.slices[0].requirement'")]
pub(crate) struct InspectArgs {
    /// A .pkg, .dmg or .app, or a zip or tar file of one; - is stdin
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) look: LookArgs,
    /// Also compute the SHA-256 of the whole file
    #[arg(long)]
    pub(crate) hash: bool,
    /// Also print the text of a disk image's licence agreement
    #[arg(long)]
    pub(crate) licence: bool,
    /// Show for every value the rule that picked it, where it was read, and what lost against it
    #[arg(long)]
    pub(crate) explain: bool,
    /// Also show the first lines of the package's scripts
    #[arg(long)]
    pub(crate) scripts: bool,
    /// Write the icon to this file, as PNG
    #[arg(long, value_name = "OUT.png")]
    pub(crate) icon: Option<PathBuf>,
    /// Write a report to this file, as one HTML page that needs nothing else; - is stdout
    #[arg(long, value_name = "OUT.html")]
    pub(crate) html: Option<PathBuf>,
    /// Replace a file that exists
    #[arg(long, requires = "written")]
    pub(crate) force: bool,
    /// Judge certificates as of this time (RFC 3339, or seconds since 1970); default: now
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) at: Option<u64>,
    #[command(flatten)]
    pub(crate) stdin: StdinArgs,
}

/// How the output is signed.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Signing")]
pub(crate) struct KeyArgs {
    /// Private key, PEM (PKCS#8, PKCS#1 or SEC1) [env: MIP_SIGN_KEY]
    #[arg(long, value_name = "KEY.pem", requires = "sign_cert", conflicts_with = "sign_p12")]
    pub(crate) sign_key: Option<PathBuf>,
    /// Signing certificate and its chain, PEM, leaf first [env: MIP_SIGN_CERT]
    #[arg(long, value_name = "CHAIN.pem", requires = "sign_key", conflicts_with = "sign_p12")]
    pub(crate) sign_cert: Option<PathBuf>,
    /// Key and certificates in one PKCS#12 file [env: MIP_SIGN_P12]
    #[arg(long, value_name = "FILE.p12")]
    pub(crate) sign_p12: Option<PathBuf>,
    /// Read the key's password from this environment variable
    #[arg(long, value_name = "NAME", group = "key_password")]
    pub(crate) key_password_env: Option<String>,
    /// Read the key's password from this file (at most 4 KiB, one trailing newline is ignored)
    #[arg(long, value_name = "PATH", group = "key_password")]
    pub(crate) key_password_file: Option<PathBuf>,
    /// Read the key's password from this open file descriptor
    #[arg(long, value_name = "N", group = "key_password")]
    pub(crate) key_password_fd: Option<u32>,
    /// Accept a password file that other users can read
    #[arg(long, requires = "key_password_file")]
    pub(crate) allow_readable_password_file: bool,
}

/// Convert installers into MIP archives
#[derive(Debug, Args)]
#[command(after_long_help = "\
Each archive appears whole or not at all. A failure of one input does not stop the others;
the exit status is that of the first failure.

Examples:
  mip convert Tool.pkg --sign-key key.pem --sign-cert chain.pem
  mip convert *.pkg -o out/ --sign-p12 signer.p12 --key-password-file p12.password
  mip convert Tool.app -o Tool.mip --icon icon.png --unsigned
  mip convert Suite.zip --select 'Suite/Tool.pkg' --primary-app com.example.tool --unsigned
  mip convert Tool.dmg --payload app --sign-p12 signer.p12
  mip convert Secret.dmg --image-password-file secret.password --unsigned
  mip convert Odd.dmg --allow-unreadable --id com.example.tool --name Tool \\
      --set-version 2.1 --unsigned
  mip convert - --stdin-name Tool.pkg -o - --unsigned <Tool.pkg >Tool.mip
  mip convert Tool.pkg --sign-p12 signer.p12 --require-team-id ABCDE12345 --deny W_RELOCATABLE

detection.sh and uninstall.sh for this very installer go into the archive, and beside an output
file: Tool-1.0.mip has Tool-1.0.detection.sh and Tool-1.0.uninstall.sh. `mip scripts` writes only
them.

Of a disk image, auto carries the image where macOS mounts it without asking anyone; else the
app or the package in it. `carried` in what is printed says which, and why.

Passwords, of the key and of an image, are never taken from the command line. One stays in the
environment of this process and its children when --key-password-env or --image-password-env
is used: a file or a descriptor keeps it more private. Without a source it is asked for on a
terminal. One image password is tried on every input.")]
pub(crate) struct ConvertArgs {
    /// A .pkg, .dmg or .app, or a zip or tar file of one; - is stdin
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Output file or existing folder, - is stdout; default: the current folder
    #[arg(long, short, value_name = "PATH")]
    pub(crate) output: Option<PathBuf>,
    /// Replace an output file that exists
    #[arg(long, short)]
    pub(crate) force: bool,
    /// Identifier to record instead of the one that was found
    #[arg(long, value_name = "ID", help_heading = "Values (one input only)")]
    pub(crate) id: Option<String>,
    /// Name to record instead of the one that was found
    #[arg(long, value_name = "NAME", help_heading = "Values (one input only)")]
    pub(crate) name: Option<String>,
    /// Version to record instead of the one that was found
    #[arg(long, value_name = "VERSION", help_heading = "Values (one input only)")]
    pub(crate) set_version: Option<String>,
    /// Lowest macOS version to record instead of the one that was found
    #[arg(long, value_name = "VERSION", help_heading = "Values (one input only)", value_parser = parse_os)]
    pub(crate) min_os: Option<String>,
    /// Icon to use instead of the one that was found
    #[arg(long, value_name = "FILE.png", help_heading = "Values (one input only)")]
    pub(crate) icon: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) look: LookArgs,
    /// What of a disk image goes into the archive
    #[arg(long, value_name = "WHAT", default_value = "auto")]
    pub(crate) payload: Carry,
    /// Carry an installer whose inside cannot be read; needs --id, --name and --set-version
    #[arg(long)]
    pub(crate) allow_unreadable: bool,
    #[command(flatten)]
    pub(crate) scripts: ScriptArgs,
    /// Threads; default: one per core. Changes nothing in the output
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<usize>,
    /// gzip level for an app that is packed, 1 to 9; default: 4
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=9))]
    pub(crate) compression_level: Option<u32>,
    #[command(flatten)]
    pub(crate) stdin: StdinArgs,
    /// Write an archive without a signature
    #[arg(long, conflicts_with_all = ["sign_key", "sign_cert", "sign_p12"], help_heading = "Signing")]
    pub(crate) unsigned: bool,
    #[command(flatten)]
    pub(crate) keys: KeyArgs,
}

/// A macOS version: numbers with dots.
fn parse_os(text: &str) -> std::result::Result<String, String> {
    let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if text.len() <= 32 && text.split('.').all(number) {
        return Ok(text.to_owned());
    }
    Err("write it as 12 or 12.3".to_owned())
}

fn parse_time(text: &str) -> std::result::Result<u64, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(seconds);
    }
    humantime::parse_rfc3339(text)
        .ok()
        .and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok())
        .map(|d| d.as_secs())
        .ok_or_else(|| "write it as 2026-01-31T12:00:00Z, or as seconds since 1970".to_owned())
}

/// Make signing identities for trying out
#[derive(Debug, Subcommand)]
#[command(after_long_help = "\
Example:
  mip identity create --out demo-identity")]
pub(crate) enum IdentityCommand {
    Create(IdentityArgs),
}

/// Make a throw-away certificate authority and signing identity
#[derive(Debug, Args)]
#[command(after_long_help = "\
Not for production: the key is not encrypted, and nobody vouches for the authority.
Writes ca.pem (what verifiers trust), identity.pem (the signing certificate), key.pem,
and a note for whoever finds the folder.

Examples:
  mip identity create --out demo-identity
  mip convert Tool.pkg --sign-key demo-identity/key.pem --sign-cert demo-identity/identity.pem
  mip verify Tool-1.0.mip --anchor demo-identity/ca.pem")]
pub(crate) struct IdentityArgs {
    /// New folder for the files
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Name in the certificates; default: one that says that it is not for production
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Days of validity, 1 to 3650; default: 365
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub(crate) days: Option<u32>,
    /// Key algorithm
    #[arg(long, value_name = "ALG", default_value = "p256")]
    pub(crate) algorithm: Algorithm,
}

/// Algorithms of throw-away keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Algorithm {
    P256,
    P384,
    Rsa3072,
}

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  mip completions bash >~/.local/share/bash-completion/completions/mip
  mip completions zsh >~/.zfunc/_mip
  mip completions fish >~/.config/fish/completions/mip.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}

/// Print the manual page, or write the pages of all commands into a folder
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  mip man | man -l -
  mip man --out ~/.local/share/man/man1")]
pub(crate) struct ManArgs {
    /// Existing folder for one page per command; pages that are there are replaced
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

/// A usage error with a next step.
pub(crate) fn usage(message: impl Into<String>, hint: &str) -> Error {
    Error::new(Code::Usage, message).hint(hint)
}

/// Refuses a second use of stdin, and of stdout beside `--json`.
pub(crate) fn check_streams(files: &[PathBuf], output: Option<&PathBuf>, json: bool) -> Result<()> {
    if files.iter().filter(|f| is_dash(f)).count() > 1 {
        return Err(usage("stdin (-) can be read only once", "name each other input by its path"));
    }
    if json && output.is_some_and(|o| is_dash(o)) {
        let hint = "leave one of them out, or write to a file";
        return Err(usage("--json and the output - both need stdout", hint));
    }
    Ok(())
}

/// Whether a path stands for stdin or stdout.
pub(crate) fn is_dash(path: &std::path::Path) -> bool {
    path.as_os_str() == "-"
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn parse(args: &[&str]) -> std::result::Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("mip").chain(args.iter().copied()))
    }

    #[test]
    fn clap_accepts_its_own_definition() {
        Cli::command().debug_assert();
    }

    #[test]
    fn limits_start_from_the_profile_and_change_one_by_one() {
        let cli = parse(&[
            "--limits",
            "strict",
            "--limit",
            "toc-bytes=64M",
            "formats",
            "--limit",
            "ratio=7",
            "--limit",
            "input-bytes=0",
        ])
        .unwrap();
        let limits = cli.global.limits();
        assert_eq!(limits.ratio, 7);
        assert_eq!(limits.input_bytes, 0);
        assert_eq!(limits.entries, Limits::strict().entries);
        for bad in [
            "toc-bytes",
            "nothing=1",
            "ratio=",
            "ratio=-1",
            "ratio=x",
            "ratio=1ß",
            "ratio=99999999T",
        ] {
            assert!(parse(&["--limit", bad, "formats"]).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_password_can_never_be_an_argument() {
        assert!(parse(&["convert", "a.pkg", "--key-password", "x"]).is_err());
        let two = ["convert", "a", "--key-password-env", "X", "--key-password-fd", "3"];
        assert!(parse(&two).is_err());
    }

    #[test]
    fn unsigned_and_a_key_exclude_each_other() {
        assert!(parse(&["convert", "a", "--unsigned", "--sign-p12", "k"]).is_err());
        assert!(parse(&["convert", "a", "--sign-key", "k"]).is_err());
        assert!(parse(&["sign", "a", "-o", "b", "--remove-signature", "--sign-p12", "k"]).is_err());
    }

    #[test]
    fn times_are_rfc_3339_or_seconds() {
        // date -u -d 2023-11-14T22:13:20Z +%s
        assert_eq!(parse_time("2023-11-14T22:13:20Z"), Ok(1_700_000_000));
        assert_eq!(parse_time("0"), Ok(0));
        for bad in ["", "yesterday", "2023-11-14", "1969-01-01T00:00:00Z", "-5"] {
            assert!(parse_time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn one_stream_is_used_once() {
        let dash = PathBuf::from("-");
        assert!(check_streams(&[dash.clone(), dash.clone()], None, false).is_err());
        assert!(check_streams(std::slice::from_ref(&dash), Some(&dash), true).is_err());
        assert!(check_streams(std::slice::from_ref(&dash), Some(&dash), false).is_ok());
    }

    #[test]
    fn a_macos_version_is_numbers_with_dots() {
        for good in ["12", "12.3", "10.15.7"] {
            assert_eq!(parse_os(good).unwrap(), good);
        }
        for bad in ["", "abc", "12.", ".1", "12 3", "-1", "1..2"] {
            assert!(parse_os(bad).is_err(), "{bad:?}");
        }
    }
}
