//! `mip files` and `mip cat`: what they show is what other programs unpack.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::print_stderr,
    reason = "tests"
)]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{contents, has, mip, ok, root, run};
use mip_testkit::sha256;
use serde_json::Value;

fn fixture(path: &str) -> PathBuf {
    root().join("fixtures").join(path)
}

/// Path to kind and digest, or link target, as `common::contents` writes it.
fn listed(file: &Path, paths: &[&str]) -> BTreeMap<String, String> {
    let text = ok(mip().args(["files", "--json", "--sha256"]).arg(file).args(paths));
    let json: Value = serde_json::from_str(&text).unwrap();
    let entries = json["entries"].as_array().unwrap();
    let what = |e: &Value| match e["kind"].as_str().unwrap() {
        "directory" => "folder".to_owned(),
        "symlink" => format!("link {}", e["link"].as_str().unwrap()),
        _ => e["sha256"].as_str().unwrap().to_owned(),
    };
    entries.iter().map(|e| (e["path"].as_str().unwrap().to_owned(), what(e))).collect()
}

/// What bsdtar unpacks of `archive`, below `prefix`.
fn unpacked(archive: &Path, prefix: &str) -> BTreeMap<String, String> {
    let dir = tempfile::tempdir().unwrap();
    ok(Command::new("bsdtar").arg("-xf").arg(archive).arg("-C").arg(dir.path()));
    contents(dir.path()).into_iter().map(|(p, what)| (format!("{prefix}{p}"), what)).collect()
}

fn cat(file: &Path, path: &str) -> Vec<u8> {
    let out = run(mip().arg("cat").arg(file).arg(path));
    assert!(out.status.success(), "{path}: {}", String::from_utf8_lossy(&out.stderr));
    out.stdout
}

/// The exit status and the code of a call that must fail.
fn refused(c: &mut Command) -> (i32, String) {
    let out = run(c);
    let err = String::from_utf8_lossy(&out.stderr).into_owned();
    let code = err.strip_prefix("error[").and_then(|e| e.split_once(']'));
    (out.status.code().unwrap(), code.unwrap_or_else(|| panic!("{err}")).0.to_owned())
}

/// Folders that no entry of an archive names are made when it is unpacked.
fn without_folders(of: BTreeMap<String, String>) -> BTreeMap<String, String> {
    of.into_iter().filter(|(_, what)| what != "folder").collect()
}

#[test]
fn lists_are_what_bsdtar_unpacks() {
    if !has("bsdtar") {
        return;
    }
    for file in [
        "pkg/component-with-app/Sample.pkg",
        "pkg/distribution/Sample.pkg",
        // Not scripts-only: bsdtar 3.6 does not read xar archives with SHA-256.
        "pkg/bundle-style/Old.pkg.zip",
        "app/zip/Sample.app.zip",
        "app/tar-gz/Sample.app.tar.gz",
        "mip/vector-signed.mip",
    ] {
        let file = fixture(file);
        let ours = without_folders(listed(&file, &[]));
        assert_eq!(ours, without_folders(unpacked(&file, "")), "{}", file.display());
    }
    let folder = fixture("app/folder/Sample.app");
    assert_eq!(listed(&folder, &[]), contents(&folder));
}

#[test]
fn a_payload_is_a_container_of_its_own() {
    if !has("bsdtar") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for (package, step) in [
        ("pkg/component-with-app/Sample.pkg", "Payload"),
        ("pkg/scripts-only/Enroll.pkg", "Scripts"),
    ] {
        let package = fixture(package);
        let payload = dir.path().join("payload");
        std::fs::write(&payload, cat(&package, step)).unwrap();
        let inside = format!("{step}//");
        let ours = listed(&package, &[&inside]);
        assert_eq!(ours, unpacked(&payload, &inside));
        // Each file by itself is what the list says.
        let mut files = 0;
        for (path, digest) in ours.iter().filter(|(_, w)| *w != "folder" && w.len() == 64) {
            assert_eq!(sha256(&cat(&package, path)), *digest, "{path}");
            files += 1;
        }
        assert!(files > 0);
    }
}

/// A container is kept from one path to the next: that must not show.
#[test]
fn several_paths_give_what_each_gives_alone() {
    let package = fixture("pkg/distribution/Sample.pkg");
    let all = listed(&package, &[]);
    let payload = all.keys().find(|p| p.ends_with("/Payload")).expect("a payload").clone();
    let inside = format!("{payload}//");
    let below = listed(&package, &[&inside]);
    let file = below.keys().next_back().expect("a file").as_str();
    let paths = ["Distribution", &payload, &inside, file, &inside, "Distribution", file];
    let text = ok(mip().args(["files", "--json"]).arg(&package).args(paths));
    let json: Value = serde_json::from_str(&text).unwrap();
    let alone = paths.iter().flat_map(|path| {
        let text = ok(mip().args(["files", "--json"]).arg(&package).arg(path));
        let json: Value = serde_json::from_str(&text).unwrap();
        json["entries"].as_array().unwrap().clone()
    });
    assert_eq!(json["entries"].as_array().unwrap(), &alone.collect::<Vec<_>>());
    let wrong = refused(mip().arg("files").arg(&package).args([&inside, "no//such"]));
    assert_eq!(wrong.1, "E_NO_ENTRY");
    // The limit on nesting counts from the input, not from where the last path led.
    let deep = format!("{inside}{}", "x//".repeat(6));
    assert!(
        ["E_NO_ENTRY", "E_LIMIT_NESTING"].contains(
            &refused(mip().arg("files").arg(&package).args([inside.as_str(), deep.as_str()]))
                .1
                .as_str()
        )
    );
}

#[test]
fn paths_go_through_any_number_of_containers() {
    let dir = tempfile::tempdir().unwrap();
    let package = fixture("pkg/component-with-app/Sample.pkg");
    // zip -> pkg -> payload, by way of Python's zipfile, deflated.
    if !has("python3") {
        return;
    }
    let zip = dir.path().join("Suite.zip");
    let script = "import sys,zipfile\nwith zipfile.ZipFile(sys.argv[1],'w',zipfile.ZIP_DEFLATED) as z:\n z.write(sys.argv[2],'in/Sample.pkg')";
    ok(Command::new("python3").args(["-c", script]).arg(&zip).arg(&package));
    let direct = listed(&package, &["Payload//"]);
    let nested = listed(&zip, &["in/Sample.pkg//Payload//"]);
    let stripped: BTreeMap<_, _> = nested
        .iter()
        .map(|(p, w)| (p.strip_prefix("in/Sample.pkg//").unwrap().to_owned(), w.clone()))
        .collect();
    assert_eq!(stripped, direct);
    // The file may carry the path, as `inspect` prints it; what is printed can be pasted.
    let inspected: Value =
        serde_json::from_str(&ok(mip().arg("inspect").arg(&zip).arg("--json"))).unwrap();
    let place = inspected["identity"]["version"]["source"]["place"].as_str().unwrap();
    assert!(place.starts_with("Suite.zip//in/Sample.pkg//"), "{place}");
    let pasted = run(mip().arg("cat").arg(place).current_dir(dir.path()));
    assert!(pasted.status.success(), "{}", String::from_utf8_lossy(&pasted.stderr));
    assert_eq!(pasted.stdout, cat(&zip, place.strip_prefix("Suite.zip//").unwrap()));
    // One container more than the limit allows.
    let deep = refused(
        mip().args(["--limit", "nesting=1", "files"]).arg(&zip).arg("in/Sample.pkg//Payload//"),
    );
    assert_eq!(deep, (5, "E_LIMIT_NESTING".to_owned()));
}

#[test]
fn folders_files_and_what_is_not_there() {
    let zip = fixture("app/zip/Sample.app.zip");
    let all = listed(&zip, &[]);
    let below: BTreeMap<_, _> = all
        .iter()
        .filter(|(p, _)| p.starts_with("Sample.app/Contents/MacOS/"))
        .map(|(p, w)| (p.clone(), w.clone()))
        .collect();
    assert_eq!(listed(&zip, &["Sample.app/Contents/MacOS"]), below);
    assert_eq!(listed(&zip, &["Sample.app/Contents/MacOS/"]), below);
    let plist = "Sample.app/Contents/Info.plist";
    assert_eq!(listed(&zip, &[plist]).keys().collect::<Vec<_>>(), [plist]);
    for (path, code) in [
        ("Sample.app/Contents/Nothing", "E_NO_ENTRY"),
        ("Sample.app/Contents/Nothing//", "E_NO_ENTRY"),
        ("Sample.app/Contents//", "E_USAGE"),
        ("Sample.app/Contents/Info.plist//", "E_UNSUPPORTED"),
    ] {
        assert_eq!(refused(mip().arg("files").arg(&zip).arg(path)).1, code, "{path}");
    }
    assert_eq!(refused(mip().arg("cat").arg(&zip).arg("Sample.app/Contents")).1, "E_USAGE");
    assert_eq!(refused(mip().arg("cat").arg(&zip)).1, "E_USAGE");
    let link = "Sample.app/Contents/Frameworks/SampleKit.framework/SampleKit";
    assert!(all[link].starts_with("link "));
    assert_eq!(refused(mip().arg("cat").arg(&zip).arg(link)).1, "E_USAGE");
}

#[test]
fn cat_as_json_holds_the_file() {
    let zip = fixture("app/zip/Sample.app.zip");
    let json = |path: &str| -> Value {
        serde_json::from_str(&ok(mip().args(["cat", "--json"]).arg(&zip).arg(path))).unwrap()
    };
    let plist = json("Sample.app/Contents/Info.plist");
    let text = String::from_utf8(cat(&zip, "Sample.app/Contents/Info.plist")).unwrap();
    assert_eq!(plist["text"].as_str().unwrap(), text);
    assert_eq!(plist["entry"]["bytes"].as_u64().unwrap(), text.len() as u64);
    let program = json("Sample.app/Contents/MacOS/Sample");
    assert!(program["text"].is_null());
    let python = "import sys,json,base64\nsys.stdout.buffer.write(base64.b64decode(json.load(sys.stdin)['base64']))";
    if has("python3") {
        use std::io::Write as _;
        use std::process::Stdio;
        let mut c = Command::new("python3");
        let mut child =
            c.args(["-c", python]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(program.to_string().as_bytes()).unwrap();
        let out = child.wait_with_output().unwrap();
        assert_eq!(out.stdout, cat(&zip, "Sample.app/Contents/MacOS/Sample"));
    }
}

#[test]
fn names_cannot_disturb_a_terminal() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("in")).unwrap();
    std::fs::write(dir.path().join("in/a\u{1b}[31mb\nc"), b"x").unwrap();
    let text = ok(mip().arg("files").arg(dir.path().join("in")));
    assert_eq!(text.lines().count(), 1);
    assert!(text.contains("\\u{1b}[31mb\\u{a}c"), "{text}");
}

#[test]
fn places_in_folders_that_a_mac_shows_as_files_can_be_pasted() {
    let bundle = fixture("dmg/sparse-bundle/Small.sparsebundle");
    let app = fixture("app/folder/Sample.app");
    for file in [&bundle, &app] {
        let text = ok(mip().args(["inspect", "--json"]).arg(file));
        let inspected: Value = serde_json::from_str(&text).unwrap();
        let place = inspected["identity"]["bundle_id"]["source"]["place"].as_str().unwrap();
        let (name, inside) = place.split_once("//").unwrap();
        assert_eq!(name, file.file_name().unwrap().to_str().unwrap());
        let here = file.parent().unwrap();
        let pasted = run(mip().arg("cat").arg(place).current_dir(here));
        assert!(pasted.status.success(), "{}", String::from_utf8_lossy(&pasted.stderr));
        assert_eq!(pasted.stdout, cat(file, inside), "{place}");
        let listed_there = ok(mip().arg("files").arg(place).current_dir(here));
        assert_eq!(listed_there, ok(mip().arg("files").arg(file).arg(inside)), "{place}");
    }
    // A folder by another name is only a folder, however many slashes stand behind it.
    let above = format!("{}//Sample.app", app.parent().unwrap().display());
    assert_eq!(listed(Path::new(&above), &[]), listed(&app, &[]));
    let missing = format!("{}//Nothing.dmg", app.parent().unwrap().display());
    assert_eq!(refused(mip().arg("files").arg(missing)), (6, "E_INPUT_IO".to_owned()));
}

#[test]
fn the_password_of_an_image_comes_from_where_the_options_say() {
    use std::os::unix::fs::PermissionsExt as _;
    let secret = fixture("dmg/encrypted/Secret.dmg");
    let plain = cat(&fixture("dmg/drag-and-drop/Sample.dmg"), "Sample.app/Contents/Info.plist");
    let cat = |extra: &[&str]| {
        let mut c = mip();
        c.arg("cat").arg(&secret).arg("Sample.app/Contents/Info.plist").args(extra);
        c.env("GOOD", "test").env("BAD", "wrong");
        c
    };
    assert_eq!(run(&mut cat(&["--image-password-env", "GOOD"])).stdout, plain);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    std::fs::write(&file, "test\n").unwrap();
    let named = file.to_str().unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let err = run(&mut cat(&["--image-password-file", named])).stderr;
    assert!(String::from_utf8_lossy(&err).contains("--allow-readable-image-password-file"));
    let all = ["--image-password-file", named, "--allow-readable-image-password-file"];
    assert_eq!(run(&mut cat(&all)).stdout, plain);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(run(&mut cat(&["--image-password-file", named])).stdout, plain);
    let wrong = refused(&mut cat(&["--image-password-env", "BAD"]));
    assert_eq!(wrong, (8, "E_PASSWORD".to_owned()));
    let missing = (8, "E_PASSWORD_MISSING".to_owned());
    assert_eq!(refused(&mut cat(&["--image-password-env", "NEITHER"])), missing);
    // Nobody to ask: at once, with the file named once and the ways to give it.
    let err = run(&mut cat(&[])).stderr;
    let err = String::from_utf8_lossy(&err);
    assert!(err.starts_with("error[E_PASSWORD_MISSING]: a password is needed"), "{err}");
    assert_eq!(err.matches("Secret.dmg").count(), 1, "{err}");
    assert!(err.contains("--image-password-file"), "{err}");
}

/// Runs `mip` on a terminal, typing each line of its second argument at a prompt.
const ON_A_TERMINAL: &str = r#"
import os, pty, sys, termios, time
typed, args = sys.argv[1].split("|"), sys.argv[2:]
pid, fd = pty.fork()
if pid == 0:
    os.execv(args[0], args)
out = b""
while True:
    try:
        data = os.read(fd, 65536)
    except OSError:
        break
    if not data:
        break
    out += data
    if data.rstrip().endswith(b":") and b"Password for" in data:
        # The prompt comes before the terminal stops to show what is typed.
        while termios.tcgetattr(fd)[3] & termios.ECHO:
            time.sleep(0.01)
        line = typed.pop(0)
        os.write(fd, b"\x04" if line == "^D" else line.encode() + b"\n")
sys.stdout.buffer.write(out)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;

#[test]
fn the_password_of_an_image_is_asked_for_on_a_terminal() {
    if !has("python3") {
        return;
    }
    let secret = fixture("dmg/encrypted/Secret.dmg");
    let typing = |typed: &str| {
        let mut c = Command::new("python3");
        c.args(["-c", ON_A_TERMINAL, typed, env!("CARGO_BIN_EXE_mip"), "files", "--quiet"]);
        let out = run(c.arg(&secret).arg("Sample.app/Contents/Info.plist"));
        (out.status.code().unwrap(), String::from_utf8_lossy(&out.stdout).into_owned())
    };
    let (status, text) = typing("wrong|test");
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("That is not the password."), "{text}");
    assert!(text.contains("Sample.app/Contents/Info.plist"), "{text}");
    assert!(!text.contains("wrong"), "the password is shown: {text}");
    let (status, text) = typing("a|b|c|test");
    assert_eq!(status, 8, "three attempts, not four: {text}");
    assert!(text.contains("E_PASSWORD]"), "{text}");
    let (status, text) = typing("^D");
    assert_eq!(status, 8, "{text}");
    assert!(
        text.contains("E_PASSWORD_MISSING]: a password is needed, and none was typed"),
        "{text}"
    );
    assert!(text.contains("--image-password-file"), "{text}");
}

#[test]
fn files_of_an_image_show_links_owners_and_the_volumes_own_spelling() {
    let image = fixture("dmg/drag-and-drop/Sample.dmg");
    let json = |paths: &[&str]| -> Vec<Value> {
        let text = ok(mip().args(["files", "--json"]).arg(&image).args(paths));
        let json: Value = serde_json::from_str(&text).unwrap();
        json["entries"].as_array().unwrap().clone()
    };
    let all = json(&[]);
    let at = |path: &str| all.iter().find(|e| e["path"] == path).unwrap();
    assert_eq!(at("Applications")["link"], "/Applications");
    let framework = "Sample.app/Contents/Frameworks/SampleKit.framework";
    assert_eq!(at(&format!("{framework}/SampleKit"))["link"], "Versions/Current/SampleKit");
    assert!(at("Sample.app")["uid"].is_u64() && at("Sample.app")["gid"].is_u64());
    assert!(ok(mip().arg("files").arg(&image)).contains(" Applications -> /Applications\n"));
    // One entry is the same by itself as in the list, however its path is typed.
    let link = at("Applications").clone();
    for typed in ["Applications", "/Applications", "./Applications", "APPLICATIONS"] {
        assert_eq!(json(&[typed]), std::slice::from_ref(&link), "{typed}");
    }
    let below: Vec<Value> = all
        .iter()
        .filter(|e| e["path"].as_str().unwrap().starts_with("Sample.app/Contents/MacOS/"))
        .cloned()
        .collect();
    assert!(!below.is_empty());
    for typed in ["Sample.app/Contents/MacOS", "/sample.APP/contents/macos/"] {
        assert_eq!(json(&[typed]), below, "{typed}");
    }
}

#[test]
fn a_damaged_file_that_a_zip_stores_as_it_is_is_no_success() {
    let dir = tempfile::tempdir().unwrap();
    let zip = dir.path().join("a.zip");
    let mut bytes = mip_testkit::tree::Tree::new().file("a.txt", 0o644, *b"unmistakable").zip();
    let at = bytes.windows(12).position(|w| w == b"unmistakable").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&zip, &bytes).unwrap();
    let mut cat = mip();
    assert_eq!(refused(cat.arg("cat").arg(&zip).arg("a.txt")).1, "E_ZIP");
}
