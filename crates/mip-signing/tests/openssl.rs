//! Against the `openssl` command: our signatures verify there, its keys load here, its
//! certificates read the same. Skipped, and saying so, where the command is missing.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::print_stderr
)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use mip_base::{Code, Limits};
use mip_signing::{
    Anchors, FileSigner, IdentityOptions, KeyAlgorithm, Password, Signer, create_identity,
    parse_certificate_info, sign_detached, verify_detached,
};

const CONTENT: &[u8] = b"an index\r\nwith line ends\n and \0 in it";
const MIP_INDEX: &str = "2.25.325635056561047735607541986947491753784";

struct Folder(tempfile::TempDir);

impl Folder {
    /// `None` when openssl is not installed.
    fn new() -> Option<Self> {
        if Command::new("openssl").arg("version").output().is_err() {
            eprintln!("skipped: the openssl command is not installed");
            return None;
        }
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("content", CONTENT);
        Some(folder)
    }
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        std::fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }
    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }
    /// Runs openssl in the folder; the words of `line` are split at spaces.
    fn try_openssl(&self, line: &str) -> (bool, String) {
        let out = Command::new("openssl")
            .args(line.split(' '))
            .current_dir(self.0.path())
            .output()
            .unwrap();
        let text = [out.stdout, out.stderr].concat();
        (out.status.success(), String::from_utf8_lossy(&text).into_owned())
    }
    fn openssl(&self, line: &str) -> String {
        let (ok, text) = self.try_openssl(line);
        assert!(ok, "openssl {line}: {text}");
        text
    }
    /// A CA (`ca.pem`), and a code signing certificate `leaf.pem` for the key in `key.pem`.
    fn certify(&self) {
        self.openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes -keyout ca.key -out ca.pem -days 30 -subj /CN=ca");
        self.write("ext", "basicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=codeSigning\n");
        self.openssl("req -new -key key.pem -out req.pem -subj /C=DE/O=A+OU=B/CN=signer");
        self.openssl("x509 -req -in req.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 20 -extfile ext -out leaf.pem");
    }
    fn signs_and_verifies(&self, signer: &FileSigner) {
        let cms = sign_detached(signer, CONTENT).unwrap();
        let anchors = Anchors::from_pem(&self.read("ca.pem")).unwrap();
        let verdict = verify_detached(&cms, CONTENT, &anchors, now(), &Limits::default()).unwrap();
        assert!(verdict.trust.is_trusted(), "{:?}", verdict.trust);
        self.write("sig", &cms);
        self.openssl("cms -verify -binary -inform DER -in sig -content content -CAfile ca.pem -purpose any -out out");
        assert_eq!(self.read("out"), CONTENT);
    }
    fn load(&self, key: &str, password: Option<&str>) -> mip_base::Result<FileSigner> {
        let password = password.map(|p| Password::new(p.into()));
        FileSigner::from_pem(
            &self.read(key),
            &self.read("leaf.pem"),
            password.as_ref(),
            &Limits::default(),
        )
    }
    fn load_p12(&self, file: &str, password: Option<&str>) -> mip_base::Result<FileSigner> {
        let password = password.map(|p| Password::new(p.into()));
        FileSigner::from_pkcs12(&self.read(file), password.as_ref(), &Limits::default())
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn openssl_accepts_our_signatures_and_certificates() {
    let Some(f) = Folder::new() else { return };
    for algorithm in [
        KeyAlgorithm::EcdsaP256,
        KeyAlgorithm::EcdsaP384,
        KeyAlgorithm::Rsa2048,
        KeyAlgorithm::Rsa3072,
    ] {
        let mut options = IdentityOptions::new("openssl test");
        options.algorithm = algorithm;
        options.pkcs12_password = Some(Password::new("pass".into()));
        let made = create_identity(&options).unwrap();
        f.write("ca.pem", &made.ca_certificate_pem);
        f.write("leaf.pem", &made.certificate_pem);
        f.write("key.pem", made.key_pem.as_bytes());
        f.write("made.p12", made.pkcs12.as_ref().unwrap());
        f.signs_and_verifies(&f.load("key.pem", None).unwrap());
        f.openssl("verify -x509_strict -CAfile ca.pem leaf.pem");
        f.openssl("pkey -in key.pem -check -noout");
        let all = f.openssl("pkcs12 -in made.p12 -passin pass:pass -nodes");
        assert_eq!(all.matches("BEGIN CERTIFICATE").count(), 2);
        assert!(all.contains("BEGIN PRIVATE KEY"));
        // Other content: both must refuse.
        f.write("other", b"other");
        let (ok, _) = f.try_openssl("cms -verify -binary -inform DER -in sig -content other -CAfile ca.pem -purpose any -out out");
        assert!(!ok);
        let text = f.openssl("cms -cmsout -print -inform DER -in sig");
        assert!(!text.contains("signingTime"), "{text}");
        assert!(text.contains("issuerAndSerialNumber"));
    }
}

#[test]
fn keys_in_every_form_load_and_sign() {
    let Some(f) = Folder::new() else { return };
    let kinds = [
        "rsa -pkeyopt rsa_keygen_bits:2048",
        "rsa -pkeyopt rsa_keygen_bits:3072",
        "rsa -pkeyopt rsa_keygen_bits:4096",
        "ec -pkeyopt ec_paramgen_curve:P-256",
        "ec -pkeyopt ec_paramgen_curve:P-384",
    ];
    for kind in kinds {
        f.openssl(&format!("genpkey -algorithm {kind} -out key.pem"));
        f.certify();
        f.signs_and_verifies(&f.load("key.pem", None).unwrap());
        // PKCS#1 or SEC1.
        f.openssl("pkey -in key.pem -traditional -out old.pem");
        let old = String::from_utf8(f.read("old.pem")).unwrap();
        assert!(old.contains("BEGIN RSA PRIVATE KEY") || old.contains("BEGIN EC PRIVATE KEY"));
        f.signs_and_verifies(&f.load("old.pem", None).unwrap());
        for (cipher, prf) in [
            ("aes-256-cbc", "hmacWithSHA256"),
            ("aes-128-cbc", "hmacWithSHA1"),
            ("aes-192-cbc", "hmacWithSHA512"),
        ] {
            f.openssl(&format!("pkcs8 -topk8 -in key.pem -v2 {cipher} -v2prf {prf} -passout pass:secret -out enc.pem"));
            f.signs_and_verifies(&f.load("enc.pem", Some("secret")).unwrap());
            assert_eq!(f.load("enc.pem", Some("Secret")).unwrap_err().code(), Code::Password);
            assert_eq!(f.load("enc.pem", None).unwrap_err().code(), Code::PasswordMissing);
        }
        f.openssl("pkcs12 -export -inkey key.pem -in leaf.pem -certfile ca.pem -passout pass:secret -out new.p12");
        f.signs_and_verifies(&f.load_p12("new.p12", Some("secret")).unwrap());
        assert_eq!(f.load_p12("new.p12", Some("x")).unwrap_err().code(), Code::Password);
        f.openssl(
            "pkcs12 -export -inkey key.pem -in leaf.pem -passout pass:pässwörd€ -out utf8.p12",
        );
        f.signs_and_verifies(&f.load_p12("utf8.p12", Some("pässwörd€")).unwrap());
        let (legacy, _) = f.try_openssl("pkcs12 -export -legacy -inkey key.pem -in leaf.pem -certfile ca.pem -passout pass:secret -out old.p12");
        if legacy {
            f.signs_and_verifies(&f.load_p12("old.p12", Some("secret")).unwrap());
            assert_eq!(f.load_p12("old.p12", Some("x")).unwrap_err().code(), Code::Password);
        } else {
            eprintln!("skipped: this openssl cannot write legacy PKCS#12");
        }
    }
}

#[test]
fn key_files_that_are_refused_say_how_to_convert() {
    let Some(f) = Folder::new() else { return };
    f.openssl("genpkey -algorithm ec -pkeyopt ec_paramgen_curve:P-256 -out key.pem");
    f.certify();
    f.openssl("pkcs8 -topk8 -in key.pem -scrypt -passout pass:x -out scrypt.pem");
    f.openssl("pkcs8 -topk8 -in key.pem -v2 des3 -passout pass:x -out des3.pem");
    f.openssl("ec -in key.pem -aes128 -passout pass:x -out headers.pem");
    for name in ["scrypt.pem", "des3.pem", "headers.pem"] {
        let e = f.load(name, Some("x")).unwrap_err();
        assert_eq!(e.code(), Code::Key, "{name}: {e}");
        assert!(e.next_step().unwrap().contains("openssl pkcs8 -topk8"), "{name}");
    }
    f.openssl("pkcs12 -export -nomac -inkey key.pem -in leaf.pem -passout pass:x -out nomac.p12");
    let e = f.load_p12("nomac.p12", Some("x")).unwrap_err();
    assert!(e.code() == Code::Key && e.message().contains("MAC"), "{e}");
    f.openssl("pkcs12 -export -nokeys -in leaf.pem -passout pass:x -out nokeys.p12");
    let e = f.load_p12("nokeys.p12", Some("x")).unwrap_err();
    assert!(e.code() == Code::Key && e.message().contains("no private key"), "{e}");
    f.openssl(
        "pkcs12 -export -iter 2000000 -inkey key.pem -in leaf.pem -passout pass:x -out slow.p12",
    );
    assert_eq!(f.load_p12("slow.p12", Some("x")).unwrap_err().code(), Code::Limit);
    for weak in
        ["rsa -pkeyopt rsa_keygen_bits:1024", "ec -pkeyopt ec_paramgen_curve:secp256k1", "ed25519"]
    {
        f.openssl(&format!("genpkey -algorithm {weak} -out weak.pem"));
        let expected = if weak.starts_with("rsa") { Code::KeyWeak } else { Code::Key };
        assert_eq!(f.load("weak.pem", None).unwrap_err().code(), expected, "{weak}");
    }
    f.openssl("genpkey -algorithm ec -pkeyopt ec_paramgen_curve:P-256 -out other.pem");
    assert_eq!(f.load("other.pem", None).unwrap_err().code(), Code::KeyMismatch);
}

#[test]
fn what_openssl_signs_in_its_own_way_is_refused() {
    let Some(f) = Folder::new() else { return };
    f.openssl("genpkey -algorithm ec -pkeyopt ec_paramgen_curve:P-256 -out key.pem");
    f.certify();
    let anchors = Anchors::from_pem(&f.read("ca.pem")).unwrap();
    let cases = [
        ("", "version"),
        (&format!(" -econtent_type {MIP_INDEX}"), "signed attribute that is not known"),
        (&format!(" -econtent_type {MIP_INDEX} -nosmimecap"), "signed attribute that is not known"),
        (&format!(" -econtent_type {MIP_INDEX} -noattr"), "no signed attributes"),
        (&format!(" -econtent_type {MIP_INDEX} -nocerts"), "no certificates"),
        (&format!(" -econtent_type {MIP_INDEX} -nodetach"), "content of its own"),
    ];
    for (options, words) in cases {
        f.openssl(&format!("cms -sign -binary -in content -signer leaf.pem -inkey key.pem -md sha256 -outform DER -out theirs{options}"));
        let e = verify_detached(&f.read("theirs"), CONTENT, &anchors, now(), &Limits::default())
            .unwrap_err();
        assert_eq!(e.code(), Code::MipSignature, "{options}: {e}");
        assert!(e.message().contains(words), "{options}: {e}");
    }
    f.openssl(&format!("cms -sign -binary -in content -signer leaf.pem -inkey key.pem -md sha1 -econtent_type {MIP_INDEX} -nosmimecap -outform DER -out theirs"));
    let e = verify_detached(&f.read("theirs"), CONTENT, &anchors, now(), &Limits::default())
        .unwrap_err();
    assert_eq!(e.code(), Code::WeakAlg, "{e}");
}

#[test]
fn a_chain_with_an_intermediate_authority() {
    let Some(f) = Folder::new() else { return };
    f.openssl(
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 30 -subj /CN=root",
    );
    f.openssl("req -new -newkey rsa:2048 -nodes -keyout mid.key -out mid.req -subj /CN=middle");
    f.write(
        "ca.ext",
        "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign\n",
    );
    f.openssl("x509 -req -in mid.req -CA ca.pem -CAkey ca.key -CAcreateserial -days 20 -sha384 -extfile ca.ext -out mid.pem");
    f.openssl("req -new -newkey rsa:2048 -nodes -keyout key.pem -out leaf.req -subj /CN=signer");
    f.write("ext", "extendedKeyUsage=critical,codeSigning\n");
    f.openssl("x509 -req -in leaf.req -CA mid.pem -CAkey mid.key -CAcreateserial -days 20 -sha512 -extfile ext -out leaf.pem");
    let chain = [f.read("ca.pem"), f.read("mid.pem"), f.read("leaf.pem")].concat();
    let signer =
        FileSigner::from_pem(&f.read("key.pem"), &chain, None, &Limits::default()).unwrap();
    assert_eq!(signer.certificates().len(), 3);
    f.signs_and_verifies(&signer);
    assert_eq!(sign_detached(&signer, CONTENT).unwrap(), sign_detached(&signer, CONTENT).unwrap());
}

#[test]
fn certificates_read_as_openssl_reads_them() {
    let Some(f) = Folder::new() else { return };
    f.openssl("genpkey -algorithm ec -pkeyopt ec_paramgen_curve:P-256 -out key.pem");
    f.certify();
    f.openssl("x509 -in leaf.pem -outform DER -out leaf.der");
    let ours = parse_certificate_info(&f.read("leaf.der")).unwrap();
    let line = |option: &str| {
        let text = f.openssl(&format!("x509 -in leaf.pem -noout -nameopt RFC2253 {option}"));
        text.trim().split_once('=').unwrap().1.to_owned()
    };
    assert_eq!(ours.serial_hex, line("-serial").to_lowercase());
    assert_eq!(ours.sha256, line("-fingerprint -sha256").replace(':', "").to_lowercase());
    assert_eq!(ours.issuer, line("-issuer"));
    // Parts of one multi-valued name may come in any order.
    let theirs = line("-subject");
    assert_eq!(
        ours.subject.replace("OU=B+O=A", "O=A+OU=B"),
        theirs.replace("OU=B+O=A", "O=A+OU=B")
    );
    assert_eq!(ours.common_name.as_deref(), Some("signer"));
    let unix = |option: &str| {
        let date = line(option);
        let out = Command::new("date").args(["-u", "-d", &date, "+%s"]).output().unwrap();
        String::from_utf8(out.stdout).unwrap().trim().parse::<u64>().ok()
    };
    if let (Some(start), Some(end)) = (unix("-startdate"), unix("-enddate")) {
        assert_eq!((ours.not_before, ours.not_after), (start, end));
    }
    assert!(Path::new(&f.path("leaf.der")).exists());
}
