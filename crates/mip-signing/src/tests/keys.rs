//! Keys and key files that must not be used (cases J5 to J9 and J11).

use std::time::Instant;

use mip_base::{Code, Kind, Limits, Result};
use p12_keystore::{
    Certificate as P12Certificate, KeyStore, KeyStoreEntry, PrivateKey as P12Key, PrivateKeyChain,
};

use super::*;
use crate::{
    FileSigner, IdentityOptions, Password, Signer, TestIdentity, check_signer, create_identity,
    pem, sign_detached,
};

const CANARY: &str = "canary-7d1f";

fn identity(algorithm: KeyAlgorithm) -> TestIdentity {
    let mut options = IdentityOptions::new("Ünit, test");
    options.algorithm = algorithm;
    options.now = NOW;
    options.pkcs12_password = Some(Password::new(CANARY.into()));
    create_identity(&options).unwrap()
}

fn from_pem(key: &str, chain: &str, password: Option<&str>) -> Result<FileSigner> {
    let password = password.map(|p| Password::new(p.into()));
    FileSigner::from_pem(key.as_bytes(), chain.as_bytes(), password.as_ref(), &Limits::default())
}

fn from_p12(der: &[u8], password: Option<&str>) -> Result<FileSigner> {
    let password = password.map(|p| Password::new(p.into()));
    FileSigner::from_pkcs12(der, password.as_ref(), &Limits::default())
}

#[test]
fn identities_sign_from_pem_and_pkcs12() {
    for algorithm in [
        KeyAlgorithm::EcdsaP256,
        KeyAlgorithm::EcdsaP384,
        KeyAlgorithm::Rsa2048,
        KeyAlgorithm::Rsa3072,
    ] {
        let made = identity(algorithm);
        let anchors = Anchors::from_pem(made.ca_certificate_pem.as_bytes()).unwrap();
        let pem = from_pem(&made.key_pem, &made.certificate_pem, None).unwrap();
        let p12 = from_p12(made.pkcs12.as_ref().unwrap(), Some(CANARY)).unwrap();
        assert_eq!(p12.certificates().len(), 2, "the authority comes along");
        let mut blobs = Vec::new();
        for signer in [&pem, &p12] {
            assert_eq!(check_signer(signer, NOW, false).unwrap(), Vec::<String>::new());
            let cms = sign_detached(signer, CONTENT).unwrap();
            let verdict =
                crate::verify_detached(&cms, CONTENT, &anchors, NOW, &Limits::default()).unwrap();
            assert!(verdict.trust.is_trusted(), "{:?}", verdict.trust);
            assert_eq!(verdict.signature_algorithm, signer.algorithm().name());
            assert_eq!(verdict.chain.len(), 1, "the root stays out");
            assert_eq!(verdict.signer.common_name.as_deref(), Some("Ünit, test"));
            assert_eq!(verdict.signer.subject, "CN=Ünit\\, test");
            assert!(verdict.signer.issuer.contains("not for production"));
            blobs.push(cms);
        }
        if matches!(algorithm, KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072) {
            assert_eq!(blobs[0], blobs[1], "RSA signatures are reproducible");
        }
    }
}

#[test]
fn chains_are_put_in_order() {
    let ca = root("ca");
    let middle = entity("middle", Some(&ca), &around_now(), &ca_extensions(None));
    let signer = leaf(&middle);
    let stranger = root("stranger");
    let all = [&stranger, &ca, &middle, &signer];
    let chain: String =
        all.iter().map(|e| pem::encode("CERTIFICATE", &e.der).to_string()).collect();
    let (key, der) = generate(KeyAlgorithm::EcdsaP256).unwrap();
    let public = spki(&key.public()).unwrap();
    let cert =
        issue(&middle.key, &middle.name, &signer.name, &around_now(), &public, &leaf_extensions())
            .unwrap();
    let chain = chain + &pem::encode("CERTIFICATE", &cert);
    let made = from_pem(&pem::encode("PRIVATE KEY", &der), &chain, None).unwrap();
    assert_eq!(made.certificates(), [cert.clone(), middle.der.clone(), ca.der.clone()]);
    let cms = sign_detached(&made, CONTENT).unwrap();
    let verdict =
        crate::verify_detached(&cms, CONTENT, &ca.anchor(), NOW, &Limits::default()).unwrap();
    assert!(verdict.trust.is_trusted());
    assert_eq!(verdict.chain.len(), 2);
}

#[test]
fn j05_passwords() {
    let made = identity(KeyAlgorithm::EcdsaP256);
    let p12 = made.pkcs12.as_ref().unwrap();
    let wrong = from_p12(p12, Some("wrong")).unwrap_err();
    assert_eq!((wrong.code(), wrong.message()), (Code::Password, "the password is wrong"));
    assert_eq!(from_p12(p12, Some("")).unwrap_err().code(), Code::Password);
    assert_eq!(from_p12(p12, None).unwrap_err().code(), Code::PasswordMissing);
    for e in [from_p12(p12, Some("wrong")), from_p12(p12, None)] {
        assert_eq!(e.unwrap_err().kind(), Kind::Password);
    }
}

/// `EncryptedPrivateKeyInfo` with PBES2 that asks for `iterations`.
fn encrypted(iterations: u64, data: &[u8]) -> Vec<u8> {
    sequence(&[&scheme(iterations), &tlv(asn1::OCTET_STRING, data)])
}

fn scheme(iterations: u64) -> Vec<u8> {
    scheme_with(iterations, oid::HMAC_SHA256, oid::AES_256_CBC)
}

fn scheme_with(iterations: u64, prf: &[u8], cipher: &[u8]) -> Vec<u8> {
    let id = |oid: &[u8], parameters: &[u8]| sequence(&[&tlv(asn1::OID, oid), parameters]);
    let prf = id(prf, &[5, 0]);
    let kdf = sequence(&[
        &tlv(asn1::OCTET_STRING, &[1; 8]),
        &asn1::integer(&iterations.to_be_bytes()),
        &prf,
    ]);
    let cipher = id(cipher, &tlv(asn1::OCTET_STRING, &[0; 16]));
    id(oid::PBES2, &sequence(&[&id(oid::PBKDF2, &kdf), &cipher]))
}

/// A PKCS#12 file around one bag of a shrouded key.
fn pfx(mac_iterations: Option<u64>, key: &[u8]) -> Vec<u8> {
    let bag = sequence(&[&tlv(asn1::OID, oid::PKCS12_SHROUDED_KEY), &tlv(context(0), key)]);
    let data = |content: &[u8]| {
        sequence(&[&tlv(asn1::OID, oid::DATA), &tlv(context(0), &tlv(asn1::OCTET_STRING, content))])
    };
    let safe = data(&sequence(&[&data(&sequence(&[&bag]))]));
    let digest =
        sequence(&[&sequence(&[&tlv(asn1::OID, oid::SHA256)]), &tlv(asn1::OCTET_STRING, &[0; 32])]);
    let mac = mac_iterations.map_or(Vec::new(), |n| {
        sequence(&[&digest, &tlv(asn1::OCTET_STRING, &[0; 8]), &asn1::integer(&n.to_be_bytes())])
    });
    sequence(&[&asn1::integer(&[3]), &safe, &mac])
}

#[test]
fn j06_iteration_bombs_are_refused_before_they_run() {
    let start = Instant::now();
    let bomb = encrypted(0x7fff_ffff, &[0; 64]);
    let text = pem::encode("ENCRYPTED PRIVATE KEY", &bomb);
    let certificate = identity(KeyAlgorithm::EcdsaP256).certificate_pem;
    assert_eq!(from_pem(&text, &certificate, Some("x")).unwrap_err().code(), Code::Limit);
    for iterations in [0x7fff_ffff, u64::MAX, 1 << 40] {
        assert_eq!(
            from_p12(&pfx(Some(iterations), &encrypted(1, &[0; 64])), Some("x"))
                .unwrap_err()
                .code(),
            Code::Limit
        );
        assert_eq!(
            from_p12(&pfx(Some(1), &encrypted(iterations, &[0; 64])), Some("x"))
                .unwrap_err()
                .code(),
            Code::Limit
        );
    }
    // Many small ones add up.
    let bag =
        |key: &[u8]| sequence(&[&tlv(asn1::OID, oid::PKCS12_SHROUDED_KEY), &tlv(context(0), key)]);
    let bags: Vec<u8> = (0..20).flat_map(|_| bag(&encrypted(100_000, &[0; 16]))).collect();
    let data = |content: &[u8]| {
        sequence(&[&tlv(asn1::OID, oid::DATA), &tlv(context(0), &tlv(asn1::OCTET_STRING, content))])
    };
    let safe = data(&sequence(&[&data(&tlv(asn1::SEQUENCE, &bags))]));
    let file = pfx(Some(1), &encrypted(1, &[]));
    let mac = {
        let mut r = asn1::whole(&file, asn1::SEQUENCE).unwrap();
        r.any().unwrap();
        r.any().unwrap();
        r.any().unwrap().raw.to_vec()
    };
    let file = sequence(&[&asn1::integer(&[3]), &safe, &mac]);
    assert_eq!(from_p12(&file, Some("x")).unwrap_err().code(), Code::Limit);
    // Zero rounds are no rounds.
    assert_eq!(
        from_p12(&pfx(Some(0), &encrypted(1, &[0; 64])), Some("x")).unwrap_err().code(),
        Code::Key
    );
    mip_testkit::not_hanging(start);
}

#[test]
fn j06_algorithms_that_are_not_supported_are_named() {
    // DES-EDE3-CBC, 1.2.840.113549.3.7; pbeWithMD5AndDES-CBC, 1.2.840.113549.1.5.3
    let des = [&oid::RSA[..6], &[3, 7]].concat();
    let pbes1 =
        sequence(&[&tlv(asn1::OID, &[&oid::RSA[..6], &[1, 5, 3]].concat()), &sequence(&[])]);
    let cases = [
        (scheme_with(1, oid::HMAC_SHA1, oid::AES_256_CBC), "1.2.840.113549.2.7"),
        (scheme_with(1, oid::HMAC_SHA256, &des), "1.2.840.113549.3.7"),
        (pbes1, "1.2.840.113549.1.5.3"),
    ];
    for (scheme, words) in cases {
        let key = sequence(&[&scheme, &tlv(asn1::OCTET_STRING, &[0; 16])]);
        let e = from_p12(&pfx(Some(1), &key), Some("x")).unwrap_err();
        assert!(e.code() == Code::Key && e.message().contains(words), "{e}");
        assert!(e.next_step().unwrap().contains("openssl pkcs12"));
    }
}

#[test]
fn j06_files_that_are_too_large() {
    let big = vec![0x30; (1 << 20) + 1];
    assert_eq!(from_p12(&big, None).unwrap_err().code(), Code::Limit);
    let big = String::from_utf8(vec![b'A'; (1 << 20) + 1]).unwrap();
    assert_eq!(from_pem(&big, "", None).unwrap_err().code(), Code::Limit);
    assert_eq!(from_pem("", &big, None).unwrap_err().code(), Code::Limit);
}

#[test]
fn j06_no_mac_two_keys_and_garbage() {
    let e = from_p12(&pfx(None, &encrypted(1, &[0; 64])), Some("x")).unwrap_err();
    assert_eq!(e.code(), Code::Key);
    assert!(e.message().contains("MAC"), "{e}");

    let ca = root("ca");
    let mut store = KeyStore::new();
    for name in ["one", "two"] {
        let (key, der) = generate(KeyAlgorithm::EcdsaP256).unwrap();
        let public = spki(&key.public()).unwrap();
        let cert = issue(
            &ca.key,
            &ca.name,
            &common_name(name),
            &around_now(),
            &public,
            &leaf_extensions(),
        )
        .unwrap();
        let chain = PrivateKeyChain::new(
            name,
            P12Key::from_der(&der).unwrap(),
            [P12Certificate::from_der(&cert).unwrap()],
        );
        store.add_entry(name, KeyStoreEntry::PrivateKeyChain(chain));
    }
    let two = store.writer("x").write().unwrap();
    let e = from_p12(&two, Some("x")).unwrap_err();
    assert!(e.code() == Code::Key && e.message().contains("2 private keys"), "{e}");

    let good = identity(KeyAlgorithm::EcdsaP256).pkcs12.unwrap();
    for cut in 0..good.len() {
        assert!(from_p12(&good[..cut], Some(CANARY)).is_err());
    }
    let mut longer = good.clone();
    longer.push(0);
    assert_eq!(from_p12(&longer, Some(CANARY)).unwrap_err().code(), Code::Key);
    // Any change is noticed: mostly by the MAC.
    for bit in (0..good.len() * 8).step_by(61) {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(from_p12(&bad, Some(CANARY)).is_err(), "bit {bit}");
    }
}

#[test]
fn j06_the_certificate_of_another_key() {
    let (a, b) = (identity(KeyAlgorithm::EcdsaP256), identity(KeyAlgorithm::Rsa2048));
    for (key, certificate) in [(&a, &b), (&b, &a), (&a, &identity(KeyAlgorithm::EcdsaP256))] {
        let e = from_pem(&key.key_pem, &certificate.certificate_pem, None).unwrap_err();
        assert_eq!(e.code(), Code::KeyMismatch);
    }
}

fn rsa(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let mut parts = vec![asn1::integer(&[]), asn1::integer(modulus), asn1::integer(exponent)];
    parts.extend(std::iter::repeat_n(asn1::integer(&[3]), 6));
    sequence(&parts.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

#[test]
fn j07_weak_and_strange_keys() {
    let certificate = identity(KeyAlgorithm::EcdsaP256).certificate_pem;
    let load = |label: &str, der: &[u8]| {
        from_pem(&pem::encode(label, der), &certificate, None).unwrap_err()
    };
    let odd = |bits: usize| {
        let mut n = vec![0x80; bits / 8];
        n[bits / 8 - 1] = 1;
        n
    };
    let mut even = odd(2048);
    even[255] = 2;
    for (n, e) in [
        (odd(1024), vec![1, 0, 1]),
        (odd(2040), vec![3]),
        (odd(2048), vec![1]),
        (odd(2048), vec![4]),
        (even, vec![3]),
    ] {
        assert_eq!(load("RSA PRIVATE KEY", &rsa(&n, &e)).code(), Code::KeyWeak);
    }
    assert_eq!(load("RSA PRIVATE KEY", &rsa(&odd(16384), &[3])).code(), Code::Key);
    assert_eq!(load("RSA PRIVATE KEY", &rsa(&odd(2048), &[3])).code(), Code::Key);
    // Ed25519, 1.3.101.112
    let ed = sequence(&[
        &asn1::integer(&[]),
        &sequence(&[&tlv(asn1::OID, &[0x2b, 101, 112])]),
        &tlv(asn1::OCTET_STRING, &[4, 32]),
    ]);
    let e = load("PRIVATE KEY", &ed);
    assert!(e.code() == Code::Key && e.message().contains("1.3.101.112"), "{e}");
    for label in [
        "PRIVATE KEY",
        "EC PRIVATE KEY",
        "RSA PRIVATE KEY",
        "DSA PRIVATE KEY",
        "OPENSSH PRIVATE KEY",
    ] {
        for der in [&[][..], &[0x30, 0], &[0x30, 0x80, 0, 0], &[0xff; 100]] {
            assert_eq!(load(label, der).code(), Code::Key, "{label}");
        }
    }
}

#[test]
fn key_files_with_nothing_two_or_old_things_in_them() {
    let made = identity(KeyAlgorithm::EcdsaP256);
    let certificate = &made.certificate_pem;
    let e = from_pem(certificate, certificate, None).unwrap_err();
    assert!(e.code() == Code::Key && e.message().contains("no private key"), "{e}");
    let twice = format!("{0}{0}", *made.key_pem);
    assert!(from_pem(&twice, certificate, None).unwrap_err().message().contains("2 private keys"));
    let both = format!("{}{certificate}", *made.key_pem);
    assert!(from_pem(&both, &both, None).is_ok(), "one file for both");
    let e = from_pem(&made.key_pem, &made.key_pem, None).unwrap_err();
    assert_eq!(e.code(), Code::Certificate);
    let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    let e = from_pem(old, certificate, Some("x")).unwrap_err();
    assert!(e.code() == Code::Key && e.next_step().unwrap().contains("openssl pkcs8"), "{e}");
    let text = pem::encode("ENCRYPTED PRIVATE KEY", &encrypted(2048, &[0; 64]));
    assert_eq!(from_pem(&text, certificate, None).unwrap_err().code(), Code::PasswordMissing);
    assert_eq!(from_pem(&text, certificate, Some("x")).unwrap_err().code(), Code::Password);
}

#[test]
fn j08_validity_when_signing() {
    let made = identity(KeyAlgorithm::EcdsaP256);
    let signer = from_pem(&made.key_pem, &made.certificate_pem, None).unwrap();
    assert!(check_signer(&signer, NOW, false).unwrap().is_empty());
    for (at, words) in [(0, "not valid yet"), (NOW + 366 * 86_400, "expired")] {
        let e = check_signer(&signer, at, false).unwrap_err();
        assert!(e.code() == Code::Certificate && e.message().contains(words), "{e}");
        assert!(check_signer(&signer, at, true).unwrap()[0].contains(words));
    }
}

#[test]
fn j09_nothing_secret_is_shown() {
    let made = identity(KeyAlgorithm::EcdsaP256);
    let password = Password::new(CANARY.into());
    let signer = from_pem(&made.key_pem, &made.certificate_pem, None).unwrap();
    let mut options = IdentityOptions::new("x");
    options.pkcs12_password = Some(password.clone());
    let wrong = from_p12(&made.pkcs12.clone().unwrap(), Some("canary-wrong")).unwrap_err();
    let shown =
        format!("{password:?} {signer:?} {signer:#?} {options:?} {made:?} {wrong} {wrong:?}");
    assert!(!shown.contains("canary"), "{shown}");
    for line in made.key_pem.lines().filter(|l| !l.starts_with('-')) {
        assert!(!shown.contains(line));
    }
}

/// A key device that fails in one way.
struct Device<F> {
    certificates: Vec<Vec<u8>>,
    algorithm: SignatureAlgorithm,
    sign: F,
}

impl<F: Fn(&[u8]) -> Result<Vec<u8>> + Send + Sync> Signer for Device<F> {
    fn certificates(&self) -> &[Vec<u8>] {
        &self.certificates
    }
    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        (self.sign)(message)
    }
}

#[test]
fn j11_a_faulty_key_device_publishes_nothing() {
    let ca = root("ca");
    let signer = leaf(&ca);
    let der = signer.der;
    let algorithm = SignatureAlgorithm::EcdsaP256Sha256;
    let device = |sign: fn(&[u8]) -> Vec<u8>| {
        let device = Device {
            certificates: vec![der.clone()],
            algorithm,
            sign: move |m: &[u8]| Ok(sign(m)),
        };
        sign_detached(&device, CONTENT).unwrap_err().code()
    };
    assert_eq!(device(|_| vec![]), Code::Key);
    assert_eq!(device(|_| vec![0; 72]), Code::Key);
    // A well-formed signature by nobody.
    assert_eq!(device(|_| sequence(&[&asn1::integer(&[1]), &asn1::integer(&[1])])), Code::Key);
    // A right signature over another message.
    let other = signer.key;
    let swapped = Device {
        certificates: vec![der.clone()],
        algorithm,
        sign: move |_: &[u8]| other.sign(b"other"),
    };
    assert_eq!(sign_detached(&swapped, CONTENT).unwrap_err().code(), Code::Key);
    let wrong = Device {
        certificates: vec![der],
        algorithm: SignatureAlgorithm::RsaPkcs1Sha256,
        sign: |_: &[u8]| Ok(vec![]),
    };
    assert_eq!(sign_detached(&wrong, CONTENT).unwrap_err().code(), Code::KeyMismatch);
    let none = Device { certificates: vec![], algorithm, sign: |_: &[u8]| Ok(vec![]) };
    assert_eq!(sign_detached(&none, CONTENT).unwrap_err().code(), Code::Certificate);
}

#[test]
fn passwords_beyond_ascii() {
    let mut options = IdentityOptions::new("🔑 name");
    options.pkcs12_password = Some(Password::new("pässwörd€".into()));
    let made = create_identity(&options).unwrap();
    assert!(from_p12(made.pkcs12.as_ref().unwrap(), Some("pässwörd€")).is_ok());
    let e = from_p12(made.pkcs12.as_ref().unwrap(), Some("🔑")).unwrap_err();
    assert_eq!(e.code(), Code::Password);
    options.pkcs12_password = Some(Password::new("🔑".into()));
    assert_eq!(create_identity(&options).unwrap_err().code(), Code::Usage);
}

#[test]
fn identity_options_are_checked() {
    for name in ["", "a\nb", &"x".repeat(65)] {
        assert_eq!(create_identity(&IdentityOptions::new(name)).unwrap_err().code(), Code::Usage);
    }
    for days in [0, 3651] {
        let mut options = IdentityOptions::new("x");
        options.days = days;
        assert_eq!(create_identity(&options).unwrap_err().code(), Code::Usage);
    }
}
