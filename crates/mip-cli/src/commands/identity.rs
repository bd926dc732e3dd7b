//! `mip identity create`: a throw-away authority and signer.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use mip_base::{Code, Error, Result, escape};
use mip_core::signing::{IdentityOptions, KeyAlgorithm, TestIdentity, create_identity};
use serde_json::json;

use crate::args::{Algorithm, IdentityArgs};
use crate::context::{Context, Reply};
use crate::output::json::SCHEMA_VERSION;

/// Certificates of throw-away identities are named so that nobody takes them for real ones.
const NAME: &str = "mip throw-away signer (not for production)";

/// The file beside the keys that says what they are.
const NOTE: &str = "THROW-AWAY-NOT-FOR-PRODUCTION.txt";

const NOTE_TEXT: &str = "\
A throw-away signing identity made by `mip identity create`, for trying out and for tests.
Not for production: key.pem is not encrypted, and nobody vouches for the authority in ca.pem.

ca.pem        the authority: what a verifier trusts (--anchor ca.pem)
identity.pem  the signing certificate (--sign-cert identity.pem)
key.pem       its private key (--sign-key key.pem)
";

pub(crate) fn run(args: &IdentityArgs, context: &Context) -> Result<Reply> {
    if fs::symlink_metadata(&args.out).is_ok() {
        return Err(Error::new(Code::Exists, "the folder exists already")
            .within(args.out.to_string_lossy())
            .hint("choose another folder: an identity is never overwritten"));
    }
    let mut options = IdentityOptions::new(args.name.as_deref().unwrap_or(NAME));
    if let Some(days) = args.days {
        options.days = days;
    }
    options.algorithm = match args.algorithm {
        Algorithm::P256 => KeyAlgorithm::EcdsaP256,
        Algorithm::P384 => KeyAlgorithm::EcdsaP384,
        Algorithm::Rsa3072 => KeyAlgorithm::Rsa3072,
    };
    let identity = create_identity(&options)?;
    write(&args.out, &identity).map_err(|e| {
        Error::from_io(Code::OutputIo, "cannot write the identity", e)
            .within(args.out.to_string_lossy())
    })?;
    let path = |name: &str| args.out.join(name).to_string_lossy().into_owned();
    let (ca, certificate, key) = (path("ca.pem"), path("identity.pem"), path("key.pem"));
    let json = json!({
        "schema_version": SCHEMA_VERSION,
        "throw_away": true,
        "folder": args.out.to_string_lossy(),
        "ca": ca, "certificate": certificate, "key": key,
    });
    let (ca, certificate, key) = (escape(&ca), escape(&certificate), escape(&key));
    let text = format!(
        "\
Made a throw-away signing identity, valid for {} days. Not for production: the key is not
encrypted, and nobody vouches for its authority.
  {ca}
  {certificate}
  {key}

Use it:
  mip convert Tool.pkg --sign-key {key} --sign-cert {certificate}
  mip verify Tool-1.0.mip --anchor {ca}
",
        options.days
    );
    Ok(Reply::done(if context.quiet { String::new() } else { text }, json))
}

/// Builds the folder under another name beside its place, then renames it.
fn write(folder: &Path, identity: &TestIdentity) -> std::io::Result<()> {
    let parent = folder.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Only its owner can look into it, from its first moment on.
    let mut builder = tempfile::Builder::new();
    builder.prefix(".mip-partial-");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
    let partial = builder.tempdir_in(parent)?;
    let put = |name: &str, bytes: &[u8], secret: bool| {
        let mut options = File::options();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, if secret { 0o600 } else { 0o644 });
        let _ = secret;
        let mut file = options.open(partial.path().join(name))?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    put(NOTE, NOTE_TEXT.as_bytes(), false)?;
    put("ca.pem", identity.ca_certificate_pem.as_bytes(), false)?;
    put("identity.pem", identity.certificate_pem.as_bytes(), false)?;
    put("key.pem", identity.key_pem.as_bytes(), true)?;
    fs::rename(partial.path(), folder)?;
    // It has another name now: nothing is left to remove.
    let _ = partial.keep();
    Ok(())
}
