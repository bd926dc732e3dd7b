use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;

use mip_testkit::pkg::{Component, Product};
use mip_testkit::tree::Tree;

use super::*;

const URL: &str = "https://example.com/a/Tool%20Kit.pkg";

/// A package, with `more` bytes behind it.
fn package(more: usize) -> Vec<u8> {
    let tool =
        Component::new("com.example.tool", "2.5").payload(Tree::new().file("x", 0o644, b"hello"));
    let mut bytes = Product::new("Tool & Kit").component("tool.pkg", tool).flat();
    bytes.extend((0..more).map(|i| (i * 31 % 251) as u8));
    bytes
}

fn make(bytes: &[u8], options: &AppleManifestOptions) -> Result<AppleManifest> {
    apple_manifest(&Input::source("Tool.pkg", Arc::new(bytes.to_vec())), options, &Job::default())
}

/// What Python's plistlib reads, with the digests that its hashlib computes: an account of the
/// manifest that shares nothing with the code above.
fn python(plist: &[u8], package: &[u8], chunk: u64) -> Option<serde_json::Value> {
    const SCRIPT: &str = "
import sys, json, struct, plistlib, hashlib
raw = sys.stdin.buffer.read()
n, chunk = struct.unpack('>QQ', raw[:16])
manifest, data = plistlib.loads(raw[16:16+n]), raw[16+n:]
pieces = [data[i:i+chunk] for i in range(0, len(data), chunk)]
print(json.dumps({
  'manifest': manifest,
  'sha256': hashlib.sha256(data).hexdigest(),
  'sha256s': [hashlib.sha256(p).hexdigest() for p in pieces],
  'md5s': [hashlib.md5(p).hexdigest() for p in pieces],
}))";
    let mut child = Command::new("python3")
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let mut input = child.stdin.take()?;
    input.write_all(&(plist.len() as u64).to_be_bytes()).unwrap();
    input.write_all(&chunk.to_be_bytes()).unwrap();
    input.write_all(plist).unwrap();
    input.write_all(package).unwrap();
    drop(input);
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success());
    serde_json::from_slice(&out.stdout).ok()
}

#[test]
fn python_reads_and_computes_the_same() {
    let base = package(0).len();
    let unit = 4096;
    for (size, chunk) in [
        (base, APPLE_CHUNK),
        (base + (unit - base % unit), unit as u64),
        (base + (unit - base % unit) + 1, unit as u64),
        (base + 3_000_000, 1_048_576),
        (base + 3_000_000, 1_000_003),
    ] {
        let bytes = package(size - base);
        assert_eq!(bytes.len(), size);
        let mut options = AppleManifestOptions::new(URL);
        options.chunk_size = chunk;
        options.md5 = true;
        options.subtitle = Some("Example <Inc.> & \"Söhne\"".to_owned());
        let made = make(&bytes, &options).unwrap();
        let Some(told) = python(&made.to_plist().unwrap(), &bytes, chunk) else {
            eprintln!("skipped: no python3");
            return;
        };
        let items = told["manifest"]["items"].as_array().unwrap();
        assert_eq!(items.len(), 1);
        let assets = items[0]["assets"].as_array().unwrap();
        assert_eq!(assets.len(), 1);
        let want = serde_json::json!({
            "kind": "software-package", "url": URL,
            "sha256": told["sha256"], "sha256-size": chunk, "sha256s": told["sha256s"],
            "md5-size": chunk, "md5s": told["md5s"],
        });
        assert_eq!(assets[0], want);
        let want = serde_json::json!({
            "bundle-identifier": "com.example.tool", "bundle-version": "2.5", "kind": "software",
            "title": "Tool & Kit", "subtitle": "Example <Inc.> & \"Söhne\"",
        });
        assert_eq!(items[0]["metadata"], want);
        assert_eq!(made.size, size as u64);
        assert_eq!(made.sha256s.len(), size.div_ceil(chunk as usize));
    }
}

#[test]
fn md5_is_only_there_when_asked_for() {
    let made = make(&package(0), &AppleManifestOptions::new(URL)).unwrap();
    assert_eq!(made.md5s, None);
    let text = String::from_utf8(made.to_plist().unwrap()).unwrap();
    assert!(!text.contains("md5") && text.contains("<key>sha256s</key>"), "{text}");
    assert_eq!(text, String::from_utf8(made.to_plist().unwrap()).unwrap());
}

#[test]
fn given_values_go_before_those_of_the_package() {
    let mut options = AppleManifestOptions::new(URL);
    options.id = Some("org.other".to_owned());
    options.version = Some("9".to_owned());
    options.title = Some("Other".to_owned());
    let made = make(&package(0), &options).unwrap();
    let got = (made.bundle_identifier, made.bundle_version, made.title, made.subtitle);
    assert_eq!(got, ("org.other".to_owned(), "9".to_owned(), "Other".to_owned(), None));
    for set in [
        |o: &mut AppleManifestOptions| o.title = Some("T".to_owned()),
        |o: &mut AppleManifestOptions| o.title = Some("a\u{202e}b".to_owned()),
        |o: &mut AppleManifestOptions| o.id = Some("x".to_owned()),
        |o: &mut AppleManifestOptions| o.id = Some("$(id)".to_owned()),
    ] {
        let mut options = AppleManifestOptions::new(URL);
        set(&mut options);
        assert_eq!(make(&package(0), &options).unwrap_err().code(), Code::MetaInvalid);
    }
}

#[test]
fn what_cannot_work_is_refused_before_anything_is_read() {
    let with = |f: &dyn Fn(&mut AppleManifestOptions)| {
        let mut options = AppleManifestOptions::new(URL);
        f(&mut options);
        make(&package(200_000), &options).unwrap_err().code()
    };
    assert_eq!(with(&|o| o.chunk_size = 0), Code::Usage);
    assert_eq!(with(&|o| o.chunk_size = 1), Code::Usage);
    assert_eq!(with(&|o| o.url = "http://example.com/x.pkg".to_owned()), Code::Usage);
    assert_eq!(make(b"", &AppleManifestOptions::new(URL)).unwrap_err().code(), Code::Empty);
    assert_eq!(
        make(b"x", &AppleManifestOptions::new(URL)).unwrap_err().code(),
        Code::UnknownFormat
    );
    let dir = tempfile::tempdir().unwrap();
    let folder = Input::path(dir.path());
    let e = apple_manifest(&folder, &AppleManifestOptions::new(URL), &Job::default()).unwrap_err();
    assert_eq!(e.code(), Code::Unsupported);
}

#[test]
fn strict_refuses_what_is_not_known_to_be_taken() {
    let mut options = AppleManifestOptions::new(URL);
    let warned = make(&package(0), &options).unwrap().warnings;
    assert!(warned.iter().any(|w| w.code == "W_APPLE_MDM"), "{warned:?}");
    options.strict = true;
    let e = make(&package(0), &options).unwrap_err();
    assert_eq!(e.code(), Code::AppleMdm);
    assert!(e.path().is_some_and(|p| p.contains("Tool.pkg")), "{e}");
}

#[test]
fn a_file_that_changes_on_the_way_gives_no_manifest() {
    use std::fs::OpenOptions;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("Tool.pkg");
    for grows in [true, false] {
        std::fs::write(&path, package(5 << 20)).unwrap();
        struct Touch(std::path::PathBuf, bool);
        impl mip_base::Progress for Touch {
            fn report(&self, event: Event) {
                if matches!(event, Event::Advanced { .. }) {
                    let mut f = OpenOptions::new().append(true).open(&self.0).unwrap();
                    if self.1 {
                        f.write_all(b"more").unwrap();
                    } else {
                        f.set_len(1 << 20).unwrap();
                    }
                }
            }
        }
        let progress = Arc::new(Touch(path.clone(), grows));
        let job = Job::new(Default::default(), Default::default(), progress);
        let options = AppleManifestOptions::new(URL);
        let e = apple_manifest(&Input::path(&path), &options, &job).unwrap_err();
        assert_eq!(e.code(), Code::InputChanged, "{e}");
    }
}
