//! Signing keys and trust anchors, from options to what the library wants.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mip_base::{Error, Limits, Result};
use mip_core::VerifyPolicy;
use mip_core::signing::{Anchors, FileSigner, Password, Signer};

use crate::args::{KeyArgs, PolicyArgs, usage};
use crate::context::{Context, about, read_small};
use crate::password::Source;

/// Largest PEM file that is read.
const PEM_LIMIT: u64 = 1 << 20;

/// Where the key is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum KeyFiles {
    Pem { key: PathBuf, chain: PathBuf },
    Pkcs12(PathBuf),
}

/// The signer that options or environment name. `without` is the option of the command that
/// stands for "no signature", and whether it was given.
///
/// # Errors
/// [`Code::Usage`] when nothing says how to sign; kinds `Password`, `Key` and `InputIo`.
pub(crate) fn signer(
    args: &KeyArgs,
    without: (&str, bool),
    context: &Context,
) -> Result<Option<Arc<dyn Signer>>> {
    if without.1 {
        return Ok(None);
    }
    let files = find(args, without.0, &|name| std::env::var_os(name).filter(|v| !v.is_empty()))?;
    no_core_dumps();
    let signer = with_password(&files, args, context.limits())?;
    Ok(Some(Arc::new(signer)))
}

/// Options win over the environment as a whole, so that the two are never mixed.
fn find(args: &KeyArgs, without: &str, env: &dyn Fn(&str) -> Option<OsString>) -> Result<KeyFiles> {
    let choose = |key: Option<PathBuf>, chain: Option<PathBuf>, p12: Option<PathBuf>| match (
        key, chain, p12,
    ) {
        (Some(key), Some(chain), None) => Some(Ok(KeyFiles::Pem { key, chain })),
        (None, None, Some(p12)) => Some(Ok(KeyFiles::Pkcs12(p12))),
        (None, None, None) => None,
        _ => Some(Err(usage(
            "a key needs its certificate, and excludes a PKCS#12 file",
            "give --sign-key with --sign-cert (MIP_SIGN_KEY, MIP_SIGN_CERT), or --sign-p12 (MIP_SIGN_P12) alone",
        ))),
    };
    let options = choose(args.sign_key.clone(), args.sign_cert.clone(), args.sign_p12.clone());
    let path = |name: &str| env(name).map(PathBuf::from);
    options
        .or_else(|| choose(path("MIP_SIGN_KEY"), path("MIP_SIGN_CERT"), path("MIP_SIGN_P12")))
        .unwrap_or_else(|| {
            Err(usage(
                "nothing says how to sign",
                &format!(
                    "give --sign-key and --sign-cert, or --sign-p12, or {without}; \
                     `mip identity create --out demo-identity` makes a throw-away identity to try with"
                ),
            ))
        })
}

/// Loads the key; asks for the password only when the key needs one and no source was named.
fn with_password(files: &KeyFiles, args: &KeyArgs, limits: &Limits) -> Result<FileSigner> {
    let (path, load) = loader(files, limits)?;
    let place = |e: Error| about(path, e);
    Source::key(args).with(path, &mut |password| load(password)).map_err(place)
}

type Load<'a> = Box<dyn Fn(Option<&Password>) -> Result<FileSigner> + 'a>;

fn loader<'a>(files: &'a KeyFiles, limits: &'a Limits) -> Result<(&'a Path, Load<'a>)> {
    match files {
        KeyFiles::Pem { key, chain } => {
            let key_pem = read_small(key, PEM_LIMIT)?;
            let chain_pem = read_small(chain, PEM_LIMIT)?;
            Ok((key, Box::new(move |p| FileSigner::from_pem(&key_pem, &chain_pem, p, limits))))
        }
        KeyFiles::Pkcs12(path) => {
            let der = read_small(path, limits.pkcs12_bytes)?;
            Ok((path, Box::new(move |p| FileSigner::from_pkcs12(&der, p, limits))))
        }
    }
}

/// A crash must not write the key to disk.
fn no_core_dumps() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, setrlimit};
        // Refused only where limits cannot be lowered, and then nothing is lost.
        let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    }
}

/// The policy that the options ask for.
///
/// # Errors
/// [`Code::InputIo`] and kind `Key` for an anchor that cannot be used.
pub(crate) fn policy(args: &PolicyArgs) -> Result<VerifyPolicy> {
    let mut policy = VerifyPolicy::default();
    for path in &args.anchor {
        let text = read_small(path, PEM_LIMIT)?;
        policy.anchors.extend(Anchors::from_pem(&text).map_err(|e| about(path, e))?);
    }
    policy.at = args.at;
    policy.expect_id = args.expect_id.clone();
    policy.expect_version = args.expect_version.clone();
    policy.min_version = args.min_version.clone();
    policy.expect_signer_sha256 = args.expect_signer.clone();
    policy.threads = args.threads;
    Ok(policy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mip_base::Code;

    fn env(pairs: &'static [(&str, &str)]) -> impl Fn(&str) -> Option<OsString> {
        move |name| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v))
    }

    #[test]
    fn options_win_over_the_environment_as_a_whole() {
        let both = env(&[("MIP_SIGN_KEY", "e.pem"), ("MIP_SIGN_CERT", "c.pem")]);
        let found = find(&KeyArgs::default(), "--unsigned", &both).unwrap();
        assert_eq!(found, KeyFiles::Pem { key: "e.pem".into(), chain: "c.pem".into() });
        let args = KeyArgs { sign_p12: Some("a.p12".into()), ..KeyArgs::default() };
        assert_eq!(find(&args, "--unsigned", &both).unwrap(), KeyFiles::Pkcs12("a.p12".into()));
    }

    #[test]
    fn saying_nothing_about_signing_is_a_usage_error_that_teaches() {
        let e = find(&KeyArgs::default(), "--unsigned", &env(&[])).unwrap_err();
        assert_eq!(e.code(), Code::Usage);
        for word in ["--sign-key", "--sign-p12", "--unsigned", "identity create"] {
            assert!(e.next_step().unwrap().contains(word), "{word}");
        }
        let half = env(&[("MIP_SIGN_KEY", "e.pem")]);
        assert_eq!(find(&KeyArgs::default(), "--unsigned", &half).unwrap_err().code(), Code::Usage);
        let mixed = env(&[("MIP_SIGN_KEY", "e"), ("MIP_SIGN_CERT", "c"), ("MIP_SIGN_P12", "p")]);
        assert_eq!(
            find(&KeyArgs::default(), "--unsigned", &mixed).unwrap_err().code(),
            Code::Usage
        );
    }

    #[test]
    fn an_anchor_that_cannot_be_read_is_named() {
        let args = PolicyArgs { anchor: vec!["/no/such/ca.pem".into()], ..PolicyArgs::default() };
        let e = policy(&args).unwrap_err();
        assert_eq!(e.code(), Code::InputIo);
        assert_eq!(e.path().as_deref(), Some("/no/such/ca.pem"));
    }
}
