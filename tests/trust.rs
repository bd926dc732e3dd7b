//! Signatures on the input, through the program: what is shown, and what is refused.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::string_slice,
    clippy::unwrap_used
)]

mod common;

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;

use common::{mip, run};
use mip_testkit::shared::fixtures;
use mip_xar::Xar;
use serde_json::Value;

const SIGNED: &str = "pkg-signed/installomator-Installomator-0.5-018b06.pkg";
const UNSIGNED: &str = "pkg-flat/arcade-test.pkg";
const TEAM: &str = "JME5BW3F3R";

fn look(file: &Path, args: &[&str]) -> (i32, String, String) {
    finish(&run(mip().arg("inspect").arg(file).args(args)))
}

fn finish(out: &Output) -> (i32, String, String) {
    let text = |b: &[u8]| String::from_utf8(b.to_vec()).unwrap();
    (out.status.code().unwrap(), text(&out.stdout), text(&out.stderr))
}

/// The signed package with its payload damaged, and without its ticket.
fn changed(dir: &Path, to: &Path) -> (PathBuf, PathBuf) {
    let bytes = std::fs::read(dir.join(SIGNED)).unwrap();
    let xar = Xar::open(Arc::new(bytes.clone()), &mip_base::Job::default()).unwrap();
    let file = xar.files().iter().find(|f| f.path.as_str().ends_with("Payload")).unwrap();
    let at = xar.heap_start() + file.data.as_ref().unwrap().offset + 30;
    let mut damaged = bytes.clone();
    damaged[at as usize] ^= 1;
    let (bad, plain) = (to.join("damaged.pkg"), to.join("no-ticket.pkg"));
    std::fs::write(&bad, damaged).unwrap();
    let (end, _) = xar.trailing().unwrap();
    std::fs::write(&plain, &bytes[..end as usize]).unwrap();
    (bad, plain)
}

#[test]
fn requirements_on_the_input_refuse_with_status_12() {
    let Some(dir) = fixtures("requirements_on_the_input_refuse_with_status_12") else { return };
    let scratch = tempfile::tempdir().unwrap();
    let (damaged, no_ticket) = changed(&dir, scratch.path());
    let (signed, unsigned) = (dir.join(SIGNED), dir.join(UNSIGNED));
    let bad_code = ["--deny", "W_SIGNATURE_INVALID"];
    let rows: &[(&Path, &[&str], Option<&str>)] = &[
        (&signed, &["--require-signed"], None),
        (&signed, &["--require-team-id", TEAM], None),
        (&signed, &["--require-notarized"], None),
        (&signed, &bad_code, None),
        (&signed, &["--require-signed", "--signatures", "never"], None),
        (&signed, &["--require-team-id", "G43BCU2T37"], Some("E_SOURCE_TEAM")),
        (&unsigned, &["--require-signed"], Some("E_SOURCE_UNSIGNED")),
        (&unsigned, &["--require-team-id", TEAM], Some("E_SOURCE_UNSIGNED")),
        (&unsigned, &["--require-notarized"], Some("E_SOURCE_UNSIGNED")),
        (&damaged, &["--require-signed"], Some("E_SOURCE_SIGNATURE")),
        (&damaged, &["--require-notarized"], Some("E_SOURCE_SIGNATURE")),
        (&damaged, &bad_code, Some("E_DENIED")),
        (&no_ticket, &["--require-signed"], None),
        (&no_ticket, &["--require-notarized"], Some("E_SOURCE_NOTARIZATION")),
    ];
    for (n, (file, args, code)) in rows.iter().enumerate() {
        let what = format!("{} {args:?}", file.display());
        let (status, out, err) = look(file, args);
        assert_eq!(status, if code.is_some() { 12 } else { 0 }, "{what}: {err}");
        // The report is there either way.
        assert!(
            out.contains("\n  package signature  ") && out.contains("\nIdentity\n"),
            "{what}: {out}"
        );
        if let Some(code) = code {
            assert!(err.contains(&format!("error[{code}]")), "{what}: {err}");
            assert!(err.contains("help: "), "{what}: {err}");
        }
        let (status, out, _) = look(file, &[args, &["--json"][..]].concat());
        let json: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(
            (status, json["error"]["code"].as_str()),
            (if code.is_some() { 12 } else { 0 }, *code),
            "{what}"
        );
        assert_eq!(json["schema_version"], 1, "{what}");

        // A conversion that is refused leaves nothing behind, in a folder, a file or a stream.
        let folder = scratch.path().join(n.to_string());
        std::fs::create_dir(&folder).unwrap();
        let to_file = folder.join("out.mip");
        for output in [folder.as_path(), to_file.as_path(), Path::new("-")] {
            let mut c = mip();
            c.args(["convert", "--unsigned", "--force", "--output"])
                .arg(output)
                .arg(file)
                .args(*args);
            if file.ends_with("damaged.pkg") || *file == unsigned {
                c.args(["--id", "a.b", "--name", "A", "--set-version", "1"]);
            }
            let (status, out, err) = finish_bytes(&run(&mut c));
            assert_eq!(status, if code.is_some() { 12 } else { 0 }, "{what}: {err}");
            if let Some(code) = code {
                assert!(err.contains(&format!("error[{code}]")), "{what}: {err}");
                assert_eq!(out, 0, "{what}");
            }
        }
        let left = std::fs::read_dir(&folder).unwrap().count();
        assert_eq!(left == 0, code.is_some(), "{what}: {left}");
        // Scripts alone are refused the same way.
        let scripts = scratch.path().join(format!("scripts{n}"));
        std::fs::create_dir(&scripts).unwrap();
        let mut c = mip();
        c.args(["scripts", "-q", "--output"]).arg(&scripts).arg(file).args(*args);
        c.args(["--id", "a.b", "--name", "A", "--set-version", "1"]);
        let (status, out, err) = finish_bytes(&run(&mut c));
        assert_eq!((status, out), (if code.is_some() { 12 } else { 0 }, 0), "{what}: {err}");
        let left = std::fs::read_dir(&scripts).unwrap().count();
        assert_eq!(left == 0, code.is_some(), "{what}: {left}");
    }
    let (status, _, err) = look(&signed, &["--deny", "W_MISSPELT"]);
    assert_eq!(status, 2, "{err}");
    assert!(err.contains("E_USAGE") && err.contains("W_MISSPELT"), "{err}");
}

fn finish_bytes(out: &Output) -> (i32, usize, String) {
    let err = String::from_utf8(out.stderr.clone()).unwrap();
    (out.status.code().unwrap(), out.stdout.len(), err)
}

#[test]
fn an_unread_input_meets_no_requirement() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("strange.pkg");
    std::fs::write(&file, b"nothing that is known").unwrap();
    let all =
        ["--allow-unreadable", "--id", "a.b", "--name", "A", "--set-version", "1", "--unsigned"];
    for (arg, code) in [
        (Some("--require-signed"), "E_SOURCE_UNSIGNED"),
        (Some("--require-notarized"), "E_SOURCE_NOTARIZATION"),
        (Some("--deny=W_UNREAD"), "E_DENIED"),
        (None, ""),
    ] {
        let mut c = mip();
        c.arg("convert").arg(&file).args(all).args(arg).arg("--output").arg(scratch.path());
        let (status, _, err) = finish(&run(&mut c));
        assert_eq!(status, if arg.is_some() { 12 } else { 0 }, "{arg:?}: {err}");
        assert!(err.contains(code), "{arg:?}: {err}");
    }
}

#[test]
fn an_app_shows_what_admins_paste_into_settings() {
    let Some(dir) = fixtures("an_app_shows_what_admins_paste_into_settings") else { return };
    let app = dir.join("app/mitmproxy-Redirector.app.tar");
    let (_, out, _) = look(&app, &[]);
    let (_, line) = out.split_once("  designated requirement:\n    ").unwrap();
    let line = line.lines().next().unwrap();
    assert!(line.starts_with("anchor apple generic and identifier "), "{line}");
    assert!(line.ends_with("certificate leaf[subject.OU] = S8XHQB96PW)"), "{line}");
    assert!(!out.contains("com.apple.developer.team-identifier"), "{out}");
    let (_, out, _) = look(&app, &["--explain"]);
    let entitlement = "com.apple.developer.team-identifier = \"S8XHQB96PW\"";
    assert!(out.contains(entitlement), "{out}");
}

#[test]
fn the_report_names_the_signer_and_what_was_compared() {
    let Some(dir) = fixtures("the_report_names_the_signer_and_what_was_compared") else { return };
    let (_, out, _) = look(&dir.join(SIGNED), &["--at", "2026-06-01T00:00:00Z"]);
    for part in [
        "\nSignature of the package\n  signature            valid\n",
        "signed by            Armin Briegel (JME5BW3F3R)",
        "Developer ID Installer",
        "Apple Root CA",
        "valid until 2023-12-13T09:18:37Z",
        "expired, valid when it signed",
        "the older RSA signature does not match",
        "sha1 a816a19b718c40d6fffe7d5682125de022a80eca",
        "compared, as signed",
        "notarization ticket  valid",
        "revoked",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
    let (_, then, _) = look(&dir.join(SIGNED), &["--at", "2022-01-01T00:00:00Z"]);
    assert!(!then.contains("expired"), "{then}");
    let (_, out, _) = look(&dir.join(SIGNED), &["--limit", "signature-scan=100"]);
    assert!(out.contains("not checked to its end") && out.contains("--signatures full"), "{out}");
    let (_, out, _) = look(&dir.join(UNSIGNED), &[]);
    assert!(out.contains("package signature  not signed\n"), "{out}");

    // The same archive on any day: nothing of "now" is in it.
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("a.mip");
    common::ok(mip().args(["convert", "--unsigned", "--output"]).arg(&file).arg(dir.join(SIGNED)));
    common::ok(
        mip()
            .arg("extract")
            .arg(&file)
            .args(["--unverified", "--output"])
            .arg(scratch.path().join("out")),
    );
    let plist = std::fs::read_to_string(scratch.path().join("out/Info.plist")).unwrap();
    let claims = &plist[plist.find("<key>MIPClaims</key>").unwrap()..];
    let claims = &claims[..claims.find("</array>").unwrap()];
    assert!(claims.contains("<string>package-signature</string>"), "{claims}");
    assert!(claims.contains("Developer ID Installer: Armin Briegel (JME5BW3F3R)"), "{claims}");
    assert!(claims.contains("<string>valid: CMS signature over the sha1 digest, "), "{claims}");
    assert!(claims.contains("<string>valid: names what it is stapled to</string>"), "{claims}");
    assert!(!claims.contains("expired"), "{claims}");
}
