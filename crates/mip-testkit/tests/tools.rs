//! What other tools read in the files that the builders make.

use std::path::Path;
use std::process::Command;

use mip_testkit::app::{App, Cpu};
use mip_testkit::tree::{Content, Tree};

/// The bundle that the tests write: every kind of node, names beyond ASCII, a long path.
fn tree() -> Tree {
    App::new("Sample", "org.example.Sample", "1.2.3", "45")
        .icon()
        .framework("Core")
        .file("Contents/Resources/en.lproj/InfoPlist.strings", 0o644, *b"\"a\" = \"b\";\n")
        .file("Contents/Resources/Größe – 大.txt", 0o600, *b"names beyond ASCII")
        .file(&format!("Contents/Resources/{}/{}", "d".repeat(90), "f".repeat(60)), 0o640, *b"x")
        .file("Contents/Resources/big.txt", 0o644, "compressible ".repeat(5000))
        .tree()
}

/// Runs a tool in `dir`; `None` when the tool is not installed.
fn run(dir: &Path, tool: &str, args: &[&str]) -> Option<String> {
    match Command::new(tool).args(args).current_dir(dir).output() {
        Ok(out) => {
            assert!(out.status.success(), "{tool}: {}", String::from_utf8_lossy(&out.stderr));
            Some(String::from_utf8(out.stdout).unwrap())
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("SKIPPED {tool}: not installed");
            None
        }
        Err(e) => panic!("{tool}: {e}"),
    }
}

/// Compares the folder `root` with the tree: kinds, bytes, targets, modes.
#[cfg(unix)]
fn assert_same(root: &Path, tree: &Tree, tool: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    for (path, node) in tree.nodes() {
        let at = root.join(path);
        let meta = std::fs::symlink_metadata(&at).unwrap_or_else(|e| panic!("{tool}: {path}: {e}"));
        match &node.content {
            Content::Dir => assert!(meta.is_dir(), "{tool}: {path}"),
            Content::File(bytes) => {
                assert_eq!(&std::fs::read(&at).unwrap(), bytes, "{tool}: {path}")
            }
            Content::Link(to) => {
                assert_eq!(std::fs::read_link(&at).unwrap(), Path::new(to), "{tool}: {path}");
                continue;
            }
        }
        assert_eq!(meta.permissions().mode() & 0o7777, node.mode, "{tool}: {path}");
    }
}

#[test]
#[cfg(unix)]
fn other_tools_unpack_what_was_put_in() {
    let tree = tree();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.zip"), tree.zip()).unwrap();
    std::fs::write(dir.path().join("a.tar"), tree.tar()).unwrap();
    std::fs::write(dir.path().join("a.tar.gz"), tree.tar_gz()).unwrap();
    let cases: [(&str, &str, &[&str]); 5] = [
        ("bsdtar-zip", "bsdtar", &["-xpf", "../a.zip"]),
        ("bsdtar-tar", "bsdtar", &["-xpf", "../a.tar"]),
        ("tar-gz", "tar", &["-xpzf", "../a.tar.gz"]),
        ("unzip", "unzip", &["-q", "../a.zip"]),
        ("7zz", "7zz", &["x", "-y", "-snld", "../a.zip"]),
    ];
    for (name, tool, args) in cases {
        let to = dir.path().join(name);
        std::fs::create_dir(&to).unwrap();
        if run(&to, tool, args).is_some() {
            assert_same(&to, &tree, name);
        }
    }
    let to = dir.path().join("folder");
    std::fs::create_dir(&to).unwrap();
    tree.write_dir(&to).unwrap();
    assert_same(&to, &tree, "write_dir");
}

#[test]
fn python_reads_the_property_list_and_the_pictures_are_what_they_say() {
    let dir = tempfile::tempdir().unwrap();
    let app = App::new("A & B", "org.example.ab", "1.0", "7").key("Empty", Some(""));
    std::fs::write(dir.path().join("Info.plist"), app.info_plist()).unwrap();
    std::fs::write(dir.path().join("icon.png"), mip_testkit::app::png(128)).unwrap();
    let script = r#"
import plistlib, struct, zlib
p = plistlib.load(open("Info.plist", "rb"))
assert p["CFBundleName"] == "A & B" and p["Empty"] == "" and p["CFBundleVersion"] == "7", p
b = open("icon.png", "rb").read()
at, rows = 8, b""
while at < len(b):
    n, kind = struct.unpack(">I4s", b[at:at + 8])
    data = b[at + 8:at + 8 + n]
    assert struct.unpack(">I", b[at + 8 + n:at + 12 + n])[0] == zlib.crc32(kind + data), kind
    if kind == b"IHDR": assert struct.unpack(">IIBB", data[:10]) == (128, 128, 8, 6)
    if kind == b"IDAT": rows += data
    at += 12 + n
assert kind == b"IEND" and len(zlib.decompress(rows)) == 128 * (1 + 128 * 4)
print("ok")
"#;
    if let Some(out) = run(dir.path(), "python3", &["-c", script]) {
        assert_eq!(out.trim(), "ok");
    }
}

#[test]
fn file_knows_the_executables() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("thin"), mip_testkit::app::macho(Cpu::I386)).unwrap();
    std::fs::write(dir.path().join("fat"), mip_testkit::app::fat(&[Cpu::X86_64, Cpu::Arm64]))
        .unwrap();
    if let Some(out) = run(dir.path(), "file", &["-b", "thin", "fat"]) {
        let lines: Vec<&str> = out.lines().collect();
        assert!(lines[0].contains("Mach-O i386 executable"), "{out}");
        assert!(out.contains("2 architectures"), "{out}");
        assert!(out.contains("x86_64") && out.contains("arm64"), "{out}");
    }
}
