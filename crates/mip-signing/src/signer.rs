//! Who signs: the trait, and keys from files.

use std::fmt;

use mip_base::{Code, Error, Limits, Result, len64};

use crate::algorithm::{Check, SignatureAlgorithm};
use crate::certificate::{Certificate, CertificateInfo};
use crate::key::PrivateKey;
use crate::password::Password;
use crate::{pem, pkcs12};

/// Something that holds a signing key: a file, a token, a remote service.
///
/// The key never has to leave it: it is handed the bytes to sign, a few hundred at most.
pub trait Signer: Send + Sync {
    /// DER certificates, the one for the key first, each issued by the next.
    fn certificates(&self) -> &[Vec<u8>];
    /// The algorithm of the key.
    fn algorithm(&self) -> SignatureAlgorithm;
    /// Signs `message` (hashing it with the algorithm's digest): PKCS#1 v1.5 for RSA, a DER
    /// `ECDSA-Sig-Value` for ECDSA.
    ///
    /// # Errors
    /// [`Code::Key`] when signing fails, or what the device reports.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>>;
}

/// A signing key and its certificates from PEM or PKCS#12 files.
pub struct FileSigner {
    key: PrivateKey,
    certificates: Vec<Vec<u8>>,
    leaf: CertificateInfo,
}

impl fmt::Debug for FileSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileSigner")
            .field("algorithm", &self.key.algorithm())
            .field("subject", &self.leaf.subject)
            .field("certificates", &self.certificates.len())
            .finish_non_exhaustive()
    }
}

impl FileSigner {
    /// A private key (PKCS#8 plain or PBES2-encrypted, PKCS#1, SEC1) and its certificates in
    /// any order. The certificate for the key is found by its public key, the others by name
    /// and signature; certificates that are not part of its chain are left out.
    ///
    /// # Errors
    /// [`Code::Key`], [`Code::KeyWeak`], [`Code::KeyMismatch`], [`Code::Certificate`];
    /// [`Code::PasswordMissing`] and [`Code::Password`]; [`Code::Limit`] when a file is larger
    /// than `pkcs12_bytes` or asks for more than `kdf_iterations`.
    pub fn from_pem(
        key_pem: &[u8],
        chain_pem: &[u8],
        password: Option<&Password>,
        limits: &Limits,
    ) -> Result<Self> {
        for file in [key_pem, chain_pem] {
            let size = len64(file.len());
            if size > limits.pkcs12_bytes {
                return Err(Error::limit(Code::Limit, "pkcs12-bytes", limits.pkcs12_bytes, size));
            }
        }
        let certificates = pem::certificates(chain_pem, Code::Certificate)?;
        if certificates.is_empty() {
            return Err(Error::new(Code::Certificate, "there is no certificate in the chain file"));
        }
        Self::new(PrivateKey::from_pem(key_pem, password, limits)?, &certificates, limits)
    }

    /// A PKCS#12 file with one key. Modern files (PBES2) and the older form that macOS
    /// exports (3DES, RC2-40) are read; the integrity check (MAC) must be there and hold.
    ///
    /// # Errors
    /// As [`from_pem`](Self::from_pem).
    pub fn from_pkcs12(der: &[u8], password: Option<&Password>, limits: &Limits) -> Result<Self> {
        let content = pkcs12::read(der, password, limits)?;
        Self::new(PrivateKey::from_pkcs8(&content.key)?, &content.certificates, limits)
    }

    /// What the signing certificate says.
    #[must_use]
    pub fn certificate(&self) -> &CertificateInfo {
        &self.leaf
    }

    fn new(key: PrivateKey, certificates: &[Vec<u8>], limits: &Limits) -> Result<Self> {
        let count = len64(certificates.len());
        if count > limits.certificates {
            return Err(Error::limit(Code::Limit, "certificates", limits.certificates, count));
        }
        let read = |der: &Vec<u8>| {
            Certificate::parse(der).map_err(|why| {
                Error::new(Code::Certificate, format!("a certificate cannot be read: {why}"))
            })
        };
        let mut rest = certificates.iter().map(read).collect::<Result<Vec<_>>>()?;
        let leaf = rest.iter().position(|c| key.fits(&c.key)).ok_or_else(|| {
            Error::new(
                Code::KeyMismatch,
                format!("no certificate belongs to the key ({})", key.public().describe()),
            )
        })?;
        let leaf = rest.remove(leaf);
        let info = leaf.info.clone();
        let mut chain = vec![leaf];
        while let Some(last) = chain.last().filter(|c| !c.self_issued()) {
            let issued = |c: &Certificate| {
                c.subject == last.issuer
                    && c.key.check(&last.signature_algorithm, &last.tbs, &last.signature)
                        == Check::Holds
            };
            let Some(next) = rest.iter().position(issued) else { break };
            chain.push(rest.remove(next));
        }
        Ok(Self { key, certificates: chain.into_iter().map(|c| c.der).collect(), leaf: info })
    }
}

impl Signer for FileSigner {
    fn certificates(&self) -> &[Vec<u8>] {
        &self.certificates
    }
    fn algorithm(&self) -> SignatureAlgorithm {
        self.key.algorithm()
    }
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        self.key.sign(message)
    }
}

/// Looks at the certificates that a signer is about to sign with, at time `at` (Unix seconds).
///
/// Returns what a verifier may object to later (a purpose other than code signing, a
/// certificate authority as signer), for the caller to show.
///
/// # Errors
/// [`Code::Certificate`] when a certificate is not valid at `at`, unless `allow_expired`, or
/// when its key usage forbids signatures.
pub fn check_signer(signer: &dyn Signer, at: u64, allow_expired: bool) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    for (i, der) in signer.certificates().iter().enumerate() {
        let c = Certificate::parse(der).map_err(|why| {
            Error::new(
                Code::Certificate,
                format!("a certificate of the signer cannot be read: {why}"),
            )
        })?;
        let name = mip_base::escape(&c.info.subject).to_string();
        let invalid = if at < c.info.not_before {
            Some("is not valid yet")
        } else if at > c.info.not_after {
            Some("has expired")
        } else {
            None
        };
        match invalid {
            Some(why) if allow_expired => notes.push(format!("the certificate \"{name}\" {why}")),
            Some(why) => {
                return Err(Error::new(
                    Code::Certificate,
                    format!("the certificate \"{name}\" {why}"),
                )
                .hint("renew it, or sign with another one"));
            }
            None => {}
        }
        if i == 0 {
            if !c.extensions.may_sign() {
                let why = format!(
                    "the key usage of the certificate \"{name}\" does not allow signatures"
                );
                return Err(Error::new(Code::Certificate, why));
            }
            if c.extensions.for_code() != Some(true) {
                notes.push(format!(
                    "the certificate \"{name}\" is not for code signing: verifiers must name it as a trust anchor itself"
                ));
            } else if c.extensions.is_ca() {
                notes.push(format!(
                    "the certificate \"{name}\" is a certificate authority: verifiers must name it as a trust anchor itself"
                ));
            }
        }
    }
    Ok(notes)
}
