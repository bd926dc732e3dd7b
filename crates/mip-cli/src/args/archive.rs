//! Archives that are there: what they must be, and what is done with them.

use std::path::PathBuf;

use clap::Args;

use super::{KeyArgs, StdinArgs, parse_time};

/// What an archive must be.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "What to trust")]
pub(crate) struct PolicyArgs {
    /// Certificate authority to trust, PEM (repeatable). The system's own store is never used
    #[arg(long, value_name = "PEM")]
    pub(crate) anchor: Vec<PathBuf>,
    /// Check certificates as of this time (RFC 3339, or seconds since 1970); default: now
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) at: Option<u64>,
    /// Refuse another product identifier
    #[arg(long, value_name = "ID")]
    pub(crate) expect_id: Option<String>,
    /// Refuse another version
    #[arg(long, value_name = "VERSION")]
    pub(crate) expect_version: Option<String>,
    /// Refuse a lower version
    #[arg(long, value_name = "VERSION")]
    pub(crate) min_version: Option<String>,
    /// Refuse another signer: SHA-256 of the signing certificate, hex
    #[arg(long, value_name = "SHA256", value_parser = parse_sha256)]
    pub(crate) expect_signer: Option<String>,
    /// Threads for hashing; default: one per core
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<usize>,
}

/// Check archives: every byte, the signature, the signer
#[derive(Debug, Args)]
#[command(after_long_help = "\
Levels: intact (nobody signed), signed (no anchor vouches for the signer), trusted, expected.
Exit status 0 only for trusted and expected; 20 tampered, 21 unsigned, 22 not trusted. With several
files it is that of the first failure.

Examples:
  mip verify Tool-1.0.mip --anchor ca.pem
  mip verify Tool-1.0.mip --anchor ca.pem --expect-id com.example.tool --min-version 1.0
  mip verify *.mip --anchor ca.pem --json | jq -r '.results[] | .input + \" \" + .verification.level'
  openssl x509 -in signer.pem -noout -fingerprint -sha256     (the value for --expect-signer)")]
pub(crate) struct VerifyArgs {
    /// A .mip archive; - is stdin
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) stdin: StdinArgs,
    #[command(flatten)]
    pub(crate) policy: PolicyArgs,
}

/// List the entries of any MIP archive, without checking anything
#[derive(Debug, Args)]
#[command(after_long_help = "\
A listing is what the archive says of itself. Nothing of it is checked: use `mip verify`.

Examples:
  mip list Tool-1.0.mip
  mip list other-vendor.mip --json | jq -r '.entries[].path'")]
pub(crate) struct ListArgs {
    /// A .mip archive; - is stdin
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) stdin: StdinArgs,
}

/// Unpack an archive, or some of its entries, after checking it
#[derive(Debug, Args)]
#[command(after_long_help = "\
The folder must not exist yet; it appears whole or not at all.

Examples:
  mip extract Tool-1.0.mip -o Tool --anchor ca.pem
  mip extract Tool-1.0.mip payload/Tool.pkg -o - --anchor ca.pem >Tool.pkg
  mip extract Tool-1.0.mip -o Tool --unverified               (whoever made it)")]
pub(crate) struct ExtractArgs {
    /// A .mip archive; - is stdin
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Paths of entries; default: all
    #[arg(value_name = "ENTRY")]
    pub(crate) entries: Vec<String>,
    /// New folder; - writes exactly one ENTRY to stdout
    #[arg(long, short, value_name = "DIR")]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) stdin: StdinArgs,
    /// Do not ask who signed: the bytes may come from anyone
    #[arg(long, conflicts_with_all = [
        "anchor", "at", "expect_id", "expect_version", "min_version", "expect_signer",
    ])]
    pub(crate) unverified: bool,
    #[command(flatten)]
    pub(crate) policy: PolicyArgs,
}

/// Sign an existing archive anew, or remove its signature
#[derive(Debug, Args)]
#[command(after_long_help = "\
The payload and the package digest stay as they are, byte for byte.

Examples:
  mip sign Tool-1.0.mip -o signed/Tool-1.0.mip --sign-p12 signer.p12 --key-password-env P12_PASSWORD
  mip sign Tool-1.0.mip -o Tool-unsigned.mip --remove-signature")]
pub(crate) struct SignArgs {
    /// A .mip archive; - is stdin
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Output file; - is stdout
    #[arg(long, short, value_name = "OUT")]
    pub(crate) output: PathBuf,
    /// Replace an output file that exists
    #[arg(long, short)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) stdin: StdinArgs,
    /// Write an archive without a signature
    #[arg(long, conflicts_with_all = ["sign_key", "sign_cert", "sign_p12"], help_heading = "Signing")]
    pub(crate) remove_signature: bool,
    #[command(flatten)]
    pub(crate) keys: KeyArgs,
}

fn parse_sha256(text: &str) -> std::result::Result<String, String> {
    let hex: String = text.chars().filter(|c| *c != ':').collect();
    if hex.len() != 64 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err("a SHA-256 has 64 hexadecimal digits".to_owned());
    }
    Ok(hex.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signer_digests_may_have_colons() {
        let colons = ["AB"; 32].join(":");
        assert_eq!(parse_sha256(&colons), Ok("ab".repeat(32)));
        assert!(parse_sha256("ab").is_err());
        assert!(parse_sha256(&"zz".repeat(32)).is_err());
    }
}
