//! The real program, as a person or a script runs it: exit statuses, messages, what is left behind.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used
)]

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mip_testkit::sha256;
use serde_json::Value;
use tempfile::TempDir;

const COMMANDS: &[&[&str]] = &[
    &["inspect"],
    &["convert"],
    &["verify"],
    &["list"],
    &["extract"],
    &["sign"],
    &["manifest"],
    &["identity", "create"],
    &["formats"],
    &["exit-codes"],
    &["completions"],
    &["man"],
];

struct Run {
    code: Option<i32>,
    out: Vec<u8>,
    err: String,
}

impl Run {
    fn text(&self) -> String {
        String::from_utf8(self.out.clone()).unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.out).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    #[track_caller]
    fn exits(self, code: i32) -> Self {
        let out = String::from_utf8_lossy(&self.out);
        assert_eq!(self.code, Some(code), "stdout: {out}\nstderr: {}", self.err);
        self
    }
}

/// A command without what the developer's environment might say about signing.
fn command() -> Command {
    let mut c = Command::new(env!("CARGO_BIN_EXE_mip"));
    for name in ["MIP_SIGN_KEY", "MIP_SIGN_CERT", "MIP_SIGN_P12"] {
        c.env_remove(name);
    }
    c.stdin(Stdio::null());
    c
}

fn finish(c: &mut Command) -> Run {
    let o = c.output().unwrap();
    Run { code: o.status.code(), out: o.stdout, err: String::from_utf8(o.stderr).unwrap() }
}

fn mip<S: AsRef<OsStr>>(args: &[S]) -> Run {
    finish(command().args(args))
}

/// An empty folder to work in, with what the tests need to name.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn put(&self, name: &str, bytes: &[u8]) -> String {
        fs::write(self.0.path().join(name), bytes).unwrap();
        self.path(name)
    }

    fn folder(&self, name: &str) -> String {
        fs::create_dir(self.0.path().join(name)).unwrap();
        self.path(name)
    }

    /// Everything below `name`, sorted, hidden files too.
    fn names(&self, name: &str) -> Vec<String> {
        let mut v: Vec<String> = fs::read_dir(self.0.path().join(name))
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        v.sort();
        v
    }

    /// A throw-away identity: key, certificate, authority.
    fn identity(&self) -> [String; 3] {
        mip(&["identity", "create", "--out", &self.path("id")]).exits(0);
        ["id/key.pem", "id/identity.pem", "id/ca.pem"].map(|n| self.path(n))
    }

    /// A signed archive of the sample package, and its authority.
    fn signed(&self) -> (String, String) {
        let [key, certificate, ca] = self.identity();
        let out = self.path("signed.mip");
        mip(&["convert", &sample(), "-o", &out, "--sign-key", &key, "--sign-cert", &certificate])
            .exits(0);
        (out, ca)
    }
}

fn sample() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("fixtures/pkg/distribution/Sample.pkg").to_str().unwrap().to_owned()
}

// ---- help, version, tables

#[test]
fn help_of_every_command_names_its_flags_and_shows_examples() {
    for words in COMMANDS {
        let mut args = words.to_vec();
        args.push("--help");
        let help = mip(&args).exits(0).text();
        let mut command = mip_cli::command();
        command.build();
        let mut command = &command;
        for w in *words {
            command = command.find_subcommand(w).unwrap();
        }
        for flag in command.get_arguments().filter_map(|a| a.get_long()) {
            assert!(help.contains(&format!("--{flag}")), "{words:?} --{flag}");
        }
        let table = matches!(words[0], "formats" | "exit-codes");
        assert!(table || help.contains("Examples:"), "{words:?}");
        let mut args = words.to_vec();
        args.push("-h");
        let short = mip(&args).exits(0).text();
        assert!(!short.contains("Examples:"), "{words:?}");
    }
    // What is not about encrypted images does not stand under that heading.
    let help = mip(&["convert", "--help"]).exits(0).text();
    let (_, encrypted) = help.split_once("Encrypted disk images:").unwrap();
    let (encrypted, _) = encrypted.split_once("\n\nSigning:").unwrap();
    assert!(
        encrypted.contains("--image-password-fd") && !encrypted.contains("--payload"),
        "{help}"
    );
    let help = mip(&["--help"]).exits(0).text();
    for limit in ["toc-bytes", "expanded-bytes", "payload-scan"] {
        assert!(help.contains(limit), "{limit}");
    }
}

#[test]
fn the_tables_are_text_and_json() {
    assert!(mip(&["--version"]).exits(0).text().starts_with("mip 0."));
    let formats = mip(&["formats"]).exits(0).text();
    assert!(formats.contains("flat package") && formats.contains("disk image"), "{formats}");
    let v = mip(&["formats", "--json"]).exits(0).json();
    assert!(v["formats"].as_array().unwrap().iter().any(|f| f["supported"] == true));
    let v = mip(&["exit-codes", "--json"]).exits(0).json();
    let tampered = v["exit_codes"].as_array().unwrap().iter().find(|r| r["kind"] == "tampered");
    assert_eq!(tampered.unwrap()["exit"], 20);
}

#[test]
fn completions_and_manual_pages_come_from_the_options() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = mip(&["completions", shell]).exits(0).text();
        assert!(script.contains("sign-key"), "{shell}");
    }
    let place = Place::new();
    mip(&["man", "--out", &place.folder("man1")]).exits(0);
    assert!(place.names("man1").contains(&"mip-identity-create.1".to_owned()));
    assert!(mip(&["man"]).exits(0).text().starts_with(".ie"));
    mip(&["man", "--out", &place.path("missing")]).exits(7);
}

// ---- usage errors

#[test]
fn wrong_options_are_exit_2_as_text_and_as_json() {
    let wrong: &[&[&str]] = &[
        &[],
        &["nonsense"],
        &["inspect"],
        &["convert", "a.pkg"],
        &["convert", "a.pkg", "--unsigned", "--sign-p12", "x"],
        &["convert", "a.pkg", "b.pkg", "--unsigned", "--id", "x"],
        &["convert", "a.pkg", "b.pkg", "--unsigned", "-o", "-"],
        &["convert", "a.pkg", "b.pkg", "--unsigned", "-o", "one.mip"],
        &["convert", "-", "-", "--unsigned"],
        &["extract", "a.mip", "-o", "out"],
        &["extract", "a.mip", "-o", "-", "--unverified"],
        &["sign", "a.mip", "-o", "b.mip"],
        &["inspect", "a.pkg", "--limit", "nonsense=1"],
        &["verify", "a.mip", "--at", "yesterday"],
        &["verify", "a.mip", "--expect-signer", "abc"],
    ];
    for args in wrong {
        let run = mip(args).exits(2);
        if !args.is_empty() {
            assert!(run.err.starts_with("error[E_USAGE]: "), "{args:?}: {}", run.err);
            assert!(run.out.is_empty(), "{args:?}");
            let mut args = args.to_vec();
            args.push("--json");
            let run = mip(&args).exits(2);
            assert_eq!(run.json()["error"]["code"], "E_USAGE", "{args:?}");
            assert_eq!(run.json()["error"]["exit"], 2, "{args:?}");
        }
    }
}

#[test]
fn json_and_quiet_print_nothing_but_json() {
    let run = mip(&["inspect", "/no/such/file", "--json", "--quiet"]).exits(6);
    assert_eq!(run.err, "");
    let e = &run.json()["error"];
    assert_eq!((&e["code"], &e["kind"]), (&"E_INPUT_IO".into(), &"input-io".into()));
    assert!(e["path"].as_str().unwrap().contains("/no/such/file"), "{e}");
    for key in ["message", "offset", "limit", "value", "hint"] {
        assert!(e.get(key).is_some(), "{key}");
    }
}

// ---- inputs that are not installers

#[test]
fn wrong_files_are_refused_with_a_reason_and_leave_nothing() {
    let place = Place::new();
    let whole = fs::read(sample()).unwrap();
    let text = "just some words, and more of them\n".repeat(100);
    let cases = [
        (place.put("text.pkg", text.as_bytes()), 4, "E_UNKNOWN_FORMAT"),
        (place.put("empty.pkg", b""), 3, "E_EMPTY"),
        (place.folder("folder.app"), 3, ""),
        (place.put("half.pkg", &whole[..whole.len() / 2]), 3, ""),
        (place.put("head.pkg", &whole[..20]), 3, ""),
        (place.path("absent.pkg"), 6, "E_INPUT_IO"),
    ];
    let out = place.folder("out");
    for (path, exit, code) in &cases {
        let run = mip(&["convert", path, "-o", &out, "--unsigned"]);
        // A folder that is no bundle is either malformed or of an unknown kind.
        let fits = run.code == Some(*exit) || path.ends_with("folder.app") && run.code == Some(4);
        assert!(fits, "{path}: {:?} {}", run.code, run.err);
        assert!(run.err.starts_with(&format!("error[{code}")), "{path}: {}", run.err);
        assert!(run.err.contains("\n  in: "), "{path}: {}", run.err);
        assert_eq!(place.names("out"), [""; 0], "{path}");
        let inspected = mip(&["inspect", path, "--json"]);
        assert_eq!(inspected.code, run.code, "{path}");
        assert!(inspected.json()["error"]["code"].as_str().unwrap().starts_with(code), "{path}");
    }
}

#[test]
fn a_name_cannot_write_to_the_terminal() {
    let place = Place::new();
    let path = place.put("a\u{1b}[31m\nerror[E_FAKE]: b.pkg", b"nothing");
    let run = mip(&["inspect", &path]).exits(4);
    assert!(!run.err.contains('\u{1b}'), "{:?}", run.err);
    assert!(!run.err.contains("\nerror[E_FAKE]"), "{:?}", run.err);
}

#[test]
fn limits_reach_the_library() {
    let run = mip(&["inspect", &sample(), "--limit", "input-bytes=100", "--json"]).exits(5);
    assert_eq!(run.json()["error"]["limit"], 100);
    mip(&["inspect", &sample(), "--limits", "strict"]).exits(0);
}

// ---- inspect

#[test]
fn inspect_shows_values_with_their_source() {
    let text = mip(&["inspect", &sample()]).exits(0).text();
    for part in ["Identity\n", "identifier", "version", "(CFBundleIdentifier)", "Receipts\n"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(text.lines().all(|l| l.chars().count() <= 100), "{text}");
    let text = mip(&["inspect", &sample(), "--explain"]).exits(0).text();
    for part in ["Primary app\n", "\nversion: ", "  won   ", "rule  short-version: "] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let v = mip(&["inspect", &sample(), "--json", "--hash"]).exits(0).json();
    assert_eq!(v["input"]["sha256"], sha256(&fs::read(sample()).unwrap()));
    assert!(v["identity"]["bundle_id"]["source"]["place"].is_string(), "{v}");
}

#[test]
fn inspect_writes_the_icon_whole_or_not_at_all() {
    let place = Place::new();
    let out = place.path("icon.png");
    mip(&["inspect", &sample(), "--icon", &out]).exits(0);
    let png = fs::read(&out).unwrap();
    assert!(png.starts_with(b"\x89PNG\r\n\x1a\n") && png.ends_with(b"IEND\xaeB`\x82"));
    let run = mip(&["inspect", &sample(), "--icon", &out]).exits(7);
    assert!(run.err.contains("E_EXISTS"), "{}", run.err);
    mip(&["inspect", &sample(), "--icon", &out, "--force"]).exits(0);
    // A package without an app has none.
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let scripts = root.join("fixtures/pkg/scripts-only/Enroll.pkg").to_str().unwrap().to_owned();
    let none = place.path("none.png");
    let run = mip(&["inspect", &scripts, "--icon", &none]).exits(2);
    assert!(run.err.contains("E_NO_ENTRY") && !Path::new(&none).exists(), "{}", run.err);
}

#[test]
fn stdin_is_an_input() {
    let mut c = command();
    c.args(["inspect", "-", "--stdin-name", "Piped.pkg", "--json"]);
    let run = finish(c.stdin(fs::File::open(sample()).unwrap())).exits(0);
    assert_eq!(run.json()["input"]["name"], "Piped.pkg");
}

// ---- convert, verify, list, extract, sign

#[test]
fn a_signed_archive_goes_all_the_way_round() {
    let place = Place::new();
    let (archive, ca) = place.signed();
    let run = mip(&["verify", &archive, "--anchor", &ca]).exits(0);
    assert!(run.text().contains(": trusted\n"), "{}", run.text());
    assert!(run.text().contains("package digest"), "{}", run.text());

    // Trust is explicit.
    let run = mip(&["verify", &archive]).exits(22);
    assert!(run.text().contains(": signed, but not trusted\n"), "{}", run.text());
    assert!(run.err.contains("--anchor"), "{}", run.err);
    let v = mip(&["verify", &archive, "--json"]).exits(22).json();
    assert_eq!(v["results"][0]["verification"]["level"], "signed");
    assert_eq!(v["error"]["exit"], 22);

    // What was expected is checked.
    let ask = |extra: &[&str]| {
        let mut args = vec!["verify", &archive, "--anchor", &ca];
        args.extend(extra);
        mip(&args)
    };
    ask(&["--expect-version", "0.0.0-none"]).exits(22);
    ask(&["--min-version", "999"]).exits(22);
    ask(&["--at", "1990-01-01T00:00:00Z"]).exits(22);
    let v = ask(&["--json"]).exits(0).json();
    let signer = v["results"][0]["verification"]["signer"]["sha256"].as_str().unwrap().to_owned();
    ask(&["--expect-signer", &signer.to_uppercase(), "--threads", "1"]).exits(0);
    ask(&["--expect-signer", &"00".repeat(32)]).exits(22);

    let listing = mip(&["list", &archive]).exits(0).text();
    assert!(listing.contains("UNVERIFIED") && listing.contains("payload/Sample.pkg"), "{listing}");

    // The payload is the original, whole, in a folder and on stdout.
    let to = place.path("unpacked");
    mip(&["extract", &archive, "-o", &to, "--anchor", &ca]).exits(0);
    let original = fs::read(sample()).unwrap();
    assert!(fs::read(place.path("unpacked/payload/Sample.pkg")).unwrap() == original);
    mip(&["extract", &archive, "-o", &to, "--anchor", &ca]).exits(7);
    let entry = ["extract", &archive, "payload/Sample.pkg", "-o", "-"];
    let with = |extra: &[&str]| mip(&[&entry[..], extra].concat());
    assert!(with(&["--anchor", &ca]).exits(0).out == original);
    assert!(with(&["--unverified"]).exits(0).out == original);
    mip(&["extract", &archive, "no/such", "-o", "-", "--unverified"]).exits(2);
}

#[test]
fn a_signature_is_removed_and_added_without_touching_the_rest() {
    let place = Place::new();
    let (archive, ca) = place.signed();
    let bare = place.path("bare.mip");
    mip(&["sign", &archive, "-o", &bare, "--remove-signature"]).exits(0);
    mip(&["verify", &bare, "--anchor", &ca]).exits(21);
    let [key, certificate] = ["id/key.pem", "id/identity.pem"].map(|n| place.path(n));
    // From the environment this time, and to stdout.
    let mut c = command();
    c.args(["sign", &bare, "-o", "-"]);
    c.env("MIP_SIGN_KEY", &key).env("MIP_SIGN_CERT", &certificate);
    let run = finish(&mut c).exits(0);
    let again = place.put("again.mip", &run.out);
    let v = mip(&["verify", &again, &archive, "--anchor", &ca, "--json"]).exits(0).json();
    let digest = |n: usize| v["results"][n]["verification"]["package_digest"].clone();
    assert_eq!(digest(0), digest(1));
    // Nothing is replaced unasked.
    mip(&["sign", &archive, "-o", &bare, "--remove-signature"]).exits(7);
    mip(&["sign", &archive, "-o", &bare, "--remove-signature", "--force"]).exits(0);
}

#[test]
fn a_changed_archive_is_tampered() {
    let place = Place::new();
    let (archive, ca) = place.signed();
    let mut bytes = fs::read(&archive).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let bad = place.put("bad.mip", &bytes);
    let v = mip(&["verify", &archive, &bad, "--anchor", &ca, "--json"]).exits(20).json();
    assert_eq!(v["results"][0]["verification"]["level"], "trusted");
    assert_eq!(v["results"][1]["error"]["kind"], "tampered");
    mip(&["extract", &bad, "-o", &place.path("x"), "--unverified"]).exits(20);
    assert!(!Path::new(&place.path("x")).exists());
}

#[cfg(unix)]
#[test]
fn a_signal_between_two_archives_is_not_success() {
    let place = Place::new();
    let (archive, ca) = place.signed();
    let mut c = command();
    c.args(["verify", "--anchor", &ca]).args(vec![&archive; 600]);
    let mut child = c.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // The answers are more than a pipe holds, so it soon waits for a reader, after an archive
    // that was good and before the last one.
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert!(child.try_wait().unwrap().is_none(), "it should wait for a reader");
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
    std::thread::sleep(std::time::Duration::from_millis(200));
    let run = child.wait_with_output().unwrap();
    let verified = run.stdout.windows(9).filter(|w| w == b": trusted").count();
    assert!((1..600).contains(&verified), "{verified}");
    assert_eq!(run.status.code(), Some(130), "{verified} of 600 were verified");
}

#[test]
fn anchors_may_be_pem_and_der_files_side_by_side() {
    let place = Place::new();
    let (archive, ca) = place.signed();
    let text = fs::read_to_string(&ca).unwrap();
    let base64: String = text.lines().filter(|l| !l.starts_with('-')).collect();
    let der = place.put("ca.der", &from_base64(&base64));
    let elsewhere = Place::new();
    let [_, _, other] = elsewhere.identity();
    mip(&["verify", &archive, "--anchor", &der]).exits(0);
    mip(&["verify", &archive, "--anchor", &other]).exits(22);
    mip(&["verify", &archive, "--anchor", &other, "--anchor", &der]).exits(0);
}

#[test]
fn a_lowest_version_that_is_empty_is_not_met() {
    let place = Place::new();
    let (archive, ca) = place.signed();
    mip(&["verify", &archive, "--anchor", &ca, "--min-version", ""]).exits(2);
    mip(&["verify", &archive, "--anchor", &ca, "--min-version", "0.1"]).exits(0);
}

#[test]
fn one_bad_input_does_not_stop_the_others() {
    let place = Place::new();
    let out = place.folder("out");
    let bad = place.put("bad.pkg", b"not a package at all");
    let app = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/app/folder/Sample.app");
    let app = app.to_str().unwrap();
    let run = mip(&["convert", &bad, app, "-o", &out, "--unsigned"]).exits(4);
    assert!(run.err.contains("1 converted, 1 failed"), "{}", run.err);
    assert_eq!(place.names("out").len(), 3, "an archive and its scripts");
    let v = mip(&["convert", &bad, app, "-o", &out, "--unsigned", "--force", "--json"]).exits(4);
    let v = v.json();
    assert_eq!(v["error"]["code"], "E_UNKNOWN_FORMAT");
    assert_eq!((&v["converted"], &v["failed"]), (&1.into(), &1.into()));
    assert!(v["results"][1]["report"]["package_digest"].is_string());
}

#[test]
fn an_output_that_exists_is_kept_without_force() {
    let place = Place::new();
    let out = place.put("out.mip", b"precious");
    let args = ["convert", &sample(), "-o", &out, "--unsigned"];
    let run = mip(&args).exits(7);
    assert!(run.err.contains("E_EXISTS") && run.err.contains("--force"), "{}", run.err);
    assert_eq!(fs::read(&out).unwrap(), b"precious");
    assert_eq!(place.names(""), ["out.mip"]);
    mip(&[&args[..], &["--force"]].concat()).exits(0);
    assert!(fs::read(&out).unwrap().starts_with(b"PK"));
}

#[test]
fn two_inputs_of_one_name_are_not_lost_quietly() {
    let place = Place::new();
    let out = place.folder("out");
    let args = ["convert", &sample(), &sample(), "-o", &out, "--unsigned"];
    mip(&args).exits(7);
    mip(&[&args[..], &["--force"]].concat()).exits(7);
    assert_eq!(place.names("out").len(), 3, "an archive and its scripts");
}

#[test]
fn an_archive_on_stdout_is_the_same_archive() {
    let place = Place::new();
    let out = place.path("file.mip");
    mip(&["convert", &sample(), "-o", &out, "--unsigned"]).exits(0);
    let mut c = command();
    c.args(["convert", "-", "--stdin-name", "Sample.pkg", "-o", "-", "--unsigned"]);
    let run = finish(c.stdin(fs::File::open(sample()).unwrap())).exits(0);
    assert!(run.out == fs::read(&out).unwrap());
    assert!(run.err.contains("package digest"), "{}", run.err);
}

#[test]
fn an_identity_is_never_overwritten_and_its_key_is_private() {
    let place = Place::new();
    let [key, ..] = place.identity();
    let before = fs::read(&key).unwrap();
    let run = mip(&["identity", "create", "--out", &place.path("id")]).exits(7);
    assert!(run.err.contains("E_EXISTS"), "{}", run.err);
    assert_eq!(fs::read(&key).unwrap(), before);
    assert_eq!(place.names(""), ["id"]);
    assert!(place.names("id").iter().any(|n| n.contains("NOT-FOR-PRODUCTION")));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(place.path("id")).unwrap().permissions().mode() & 0o777, 0o700);
    }
    mip(&["identity", "create", "--out", &place.path("no/such/id")]).exits(7);
    for algorithm in ["p384", "rsa3072"] {
        let to = place.path(algorithm);
        mip(&["identity", "create", "--out", &to, "--algorithm", algorithm, "--days", "2"])
            .exits(0);
    }
}

// ---- passwords

/// A PKCS#12 file with the password `secret`, made by openssl.
fn pkcs12(place: &Place) -> Option<String> {
    let [key, certificate, _] = place.identity();
    let p12 = place.path("signer.p12");
    let args = ["pkcs12", "-export", "-inkey", &key, "-in", &certificate, "-out", &p12];
    let made = Command::new("openssl").args(args).args(["-passout", "pass:secret"]).output();
    if !made.is_ok_and(|o| o.status.success()) {
        eprintln!("SKIPPED: no openssl on this machine");
        return None;
    }
    Some(p12)
}

#[test]
fn passwords_come_from_variable_file_or_descriptor() {
    let place = Place::new();
    let Some(p12) = pkcs12(&place) else { return };
    let out = place.path("out.mip");
    let convert = |extra: &[&str]| {
        let mut c = command();
        c.args(["convert", &sample(), "-o", &out, "--force", "--sign-p12", &p12]).args(extra);
        c.env("P12_GOOD", "secret").env("P12_BAD", "wrong");
        finish(&mut c)
    };
    convert(&["--key-password-env", "P12_GOOD"]).exits(0);
    fs::remove_file(&out).unwrap();

    assert!(convert(&["--key-password-env", "P12_BAD"]).exits(8).err.contains("E_PASSWORD]"));
    assert!(
        convert(&["--key-password-env", "P12_NONE"]).exits(8).err.contains("E_PASSWORD_MISSING")
    );
    // Nobody to ask: at once, with the ways to give it.
    let run = convert(&[]).exits(8);
    assert!(run.err.contains("E_PASSWORD_MISSING"), "{}", run.err);
    assert!(run.err.contains("--key-password-file"), "{}", run.err);
    assert!(!Path::new(&out).exists());

    let file = place.put("password", b"secret\n");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let run = convert(&["--key-password-file", &file]).exits(8);
        assert!(run.err.contains("chmod 600"), "{}", run.err);
        convert(&["--key-password-file", &file, "--allow-readable-password-file"]).exits(0);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        // A descriptor that the shell opened, file and pipe.
        for source in [format!("3<'{file}'"), "3<&0".to_owned()] {
            let line = format!("exec \"$@\" {source}");
            let mut c = Command::new("sh");
            c.args([
                "-c",
                &line,
                "sh",
                env!("CARGO_BIN_EXE_mip"),
                "convert",
                &sample(),
                "-o",
                &out,
            ]);
            c.args(["--force", "--sign-p12", &p12, "--key-password-fd", "3"]);
            let mut child = c
                .stdin(Stdio::piped())
                .stderr(Stdio::piped())
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            // The shell that reads the file needs no stdin; that the pipe is closed then is fine.
            let _ = child.stdin.take().unwrap().write_all(b"secret\n");
            let done = child.wait_with_output().unwrap();
            assert!(done.status.success(), "{source}: {}", String::from_utf8_lossy(&done.stderr));
        }
    }
    convert(&["--key-password-file", &file]).exits(0);
}

// ---- pipes, full disks, signals

#[cfg(unix)]
#[test]
fn a_reader_that_goes_away_is_no_error_for_text_and_one_for_an_archive() {
    let closed = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        writer
    };
    let mut c = command();
    let o = c.arg("exit-codes").stdout(closed()).stderr(Stdio::piped()).spawn().unwrap();
    let o = o.wait_with_output().unwrap();
    assert_eq!((o.status.code(), o.stderr.as_slice()), (Some(0), &b""[..]));

    let mut c = command();
    c.args(["convert", &sample(), "-o", "-", "--unsigned", "--quiet"]);
    let o = c.stdout(closed()).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
    assert_eq!(o.status.code(), Some(7), "{}", String::from_utf8_lossy(&o.stderr));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_exit_7() {
    for args in [vec!["formats".to_owned()], vec!["inspect".to_owned(), sample(), "--json".into()]]
    {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let mut c = command();
        let o = c.args(&args).stdout(full).stderr(Stdio::piped()).spawn().unwrap();
        let o = o.wait_with_output().unwrap();
        let err = String::from_utf8(o.stderr).unwrap();
        assert_eq!(o.status.code(), Some(7), "{args:?}: {err}");
        assert!(err.contains("E_OUTPUT_IO"), "{err}");
    }
}

#[cfg(unix)]
#[test]
fn a_file_size_limit_is_exit_7_and_leaves_nothing() {
    let place = Place::new();
    let out = place.folder("out");
    let mut c = Command::new("sh");
    // In blocks of 512 bytes: less than any archive.
    c.args(["-c", "ulimit -f 2; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_mip")]);
    c.args(["convert", &sample(), "-o", &out, "--unsigned"]);
    let run = finish(&mut c).exits(7);
    assert!(run.err.contains("E_OUTPUT_IO"), "{}", run.err);
    assert_eq!(place.names("out"), [""; 0]);
}

/// A disk image as far as its trailer says, with a hole for its content.
#[cfg(unix)]
fn sparse_image(place: &Place, bytes: u64) -> String {
    let path = PathBuf::from(place.path("huge.dmg"));
    let mut f = fs::File::create(&path).unwrap();
    f.seek(SeekFrom::Start(bytes - 512)).unwrap();
    f.write_all(b"koly\0\0\0\x04\0\0\x02\0").unwrap();
    f.set_len(bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

#[cfg(unix)]
#[test]
fn a_signal_leaves_nothing_behind() {
    let place = Place::new();
    let image = sparse_image(&place, 6 << 30);
    let out = place.folder("out");
    for (signal, exit) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let mut c = command();
        c.args(["convert", &image, "-o", &out, "--unsigned", "--allow-unreadable"]);
        c.args(["--id", "com.example.huge", "--name", "Huge", "--set-version", "1"]);
        c.args(["--progress", "always"]);
        let mut child = c.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut err = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.starts_with("packing") {
            line.clear();
            assert_ne!(err.read_line(&mut line).unwrap(), 0, "it ended before it packed");
        }
        let option = format!("-{signal}");
        let sent = Command::new("kill").args([&option, &child.id().to_string()]).status();
        assert!(sent.unwrap().success());
        let mut rest = String::new();
        err.read_to_string(&mut rest).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(exit), "{signal}: {rest}");
        assert!(rest.contains("E_CANCELLED"), "{signal}: {rest}");
        assert_eq!(place.names("out"), [""; 0], "{signal}");
    }
}

#[cfg(unix)]
#[test]
fn a_signal_ends_a_wait_for_stdin() {
    let mut c = command();
    c.args(["inspect", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = c.spawn().unwrap();
    // More than a pipe holds: when this returns, the program is reading.
    child.stdin.as_mut().unwrap().write_all(&vec![0; 1 << 20]).unwrap();
    let sent = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
    // The pipe stays open: only the signal can end it.
    let stdin = child.stdin.take();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    drop(stdin);
}

fn from_base64(text: &str) -> Vec<u8> {
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut out, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for c in text.bytes().filter(|c| *c != b'=') {
        bits = (bits << 6) | u32::try_from(digits.iter().position(|d| *d == c).unwrap()).unwrap();
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count).to_be_bytes()[3]);
        }
    }
    out
}
