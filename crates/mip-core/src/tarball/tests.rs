use std::process::{Command, Stdio};

use mip_base::{CancelToken, Limits, SilentProgress};
use mip_testkit::tree::Tree as Make;
use sha2::{Digest, Sha256};

use super::*;
use crate::tree::{Container, open_archive, open_directory};

fn path(p: &str) -> EntryPath {
    EntryPath::new(p, &Limits::default()).unwrap()
}

fn zip(make: &Make) -> Arc<dyn Tree> {
    open_archive(Arc::new(make.zip()), Container::Zip, &Job::default()).unwrap().into()
}

fn tar(bytes: Vec<u8>) -> Arc<dyn Tree> {
    let kind = Container::Tar(mip_codec::Compression::None);
    open_archive(Arc::new(bytes), kind, &Job::default()).unwrap().into()
}

fn options(threads: usize) -> TarballOptions {
    TarballOptions { threads, ..TarballOptions::default() }
}

fn pack(
    tree: Arc<dyn Tree>,
    root: Option<&str>,
    threads: usize,
) -> Result<(Vec<u8>, TarballReport)> {
    let mut t = app_tarball(tree, root.map(path), "A.app", &options(threads), &Job::default())?;
    let mut out = Vec::new();
    t.read_to_end(&mut out).map_err(|e| Error::from_io(Code::InputIo, "read", e))?;
    Ok((out, t.report().unwrap()))
}

/// Bytes that do not compress to nothing, the same each time.
fn noise(len: usize) -> Vec<u8> {
    let mut x = 0x2545_F491_4F6C_DD1D_u64;
    (0..len)
        .map(|_| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            (x % 29) as u8
        })
        .collect()
}

fn sample() -> Make {
    Make::new()
        .file("A.app/Contents/MacOS/A", 0o4755, noise(2_500_000))
        .file("A.app/Contents/Info.plist", 0o666, "plist")
        .link("A.app/Contents/Current", "MacOS")
        .link("A.app/Contents/Frameworks/F", "../Current/A")
        .file("A.app/Contents/Resources/größe.txt", 0o600, "x")
        .file(&format!("A.app/Contents/{}/{}", "d".repeat(100), "f".repeat(60)), 0o644, "split")
        .file(&format!("A.app/Contents/{}/{}", "d".repeat(100), "f".repeat(160)), 0o644, "pax")
        .file("A.app/Contents/empty", 0o644, "")
}

/// Name, type, mode, target and data of each member, by the `tar` crate.
fn members(gz: &[u8]) -> Vec<(String, u8, u32, String, Vec<u8>)> {
    let mut ar = ::tar::Archive::new(flate2::read::GzDecoder::new(gz));
    ar.entries()
        .unwrap()
        .map(|e| {
            let mut e = e.unwrap();
            let name = String::from_utf8(e.path_bytes().into_owned()).unwrap();
            let link = e.link_name_bytes().map(|l| String::from_utf8(l.into_owned()).unwrap());
            let h = e.header();
            assert_eq!(
                (h.uid().unwrap(), h.gid().unwrap(), h.mtime().unwrap()),
                (0, 0, DEFAULT_MTIME)
            );
            assert_eq!((h.username_bytes(), h.groupname_bytes()), (Some(&b""[..]), Some(&b""[..])));
            let (kind, mode) = (h.entry_type().as_byte(), h.mode().unwrap());
            let mut data = Vec::new();
            e.read_to_end(&mut data).unwrap();
            (name, kind, mode, link.unwrap_or_default(), data)
        })
        .collect()
}

#[test]
fn the_same_bytes_whatever_the_threads_and_the_order_of_the_folder() {
    let dirs: Vec<_> = (0..2).map(|_| tempfile::tempdir().unwrap()).collect();
    sample().write_dir(dirs[0].path()).unwrap();
    // The same files, made in another order.
    let nodes: Vec<_> = sample().nodes().map(|(p, _)| p.to_owned()).collect();
    for p in nodes.iter().rev() {
        let one = dirs[1].path().join(p);
        std::fs::create_dir_all(one.parent().unwrap()).unwrap();
    }
    sample().write_dir(dirs[1].path()).unwrap();
    let job = Job::default();
    let tree = |i: usize| -> Arc<dyn Tree> {
        open_directory(&dirs[i].path().join("A.app"), &job).unwrap().into()
    };
    let (want, report) = pack(tree(0), None, 1).unwrap();
    for (i, threads) in [(0, 2), (0, 3), (0, 8), (0, 99), (1, 1), (1, 2)] {
        assert!(
            pack(tree(i), None, threads).unwrap() == (want.clone(), report.clone()),
            "{i} {threads}"
        );
    }
    // By bytes: read size has no say.
    let mut t = app_tarball(tree(0), None, "A.app", &options(2), &job).unwrap();
    let mut slow = Vec::new();
    let mut one = [0];
    while t.read(&mut one).unwrap() == 1 {
        slow.push(one[0]);
    }
    assert!(slow == want);
    // From the folder above, the same.
    let above: Arc<dyn Tree> = open_directory(dirs[0].path(), &job).unwrap().into();
    assert!(pack(above, Some("A.app"), 2).unwrap().0 == want);
}

/// The bytes are part of what is promised: a change of them is a change of every archive that is
/// made from a folder, and must be meant.
#[test]
fn golden_digest() {
    let (gz, _) = pack(zip(&sample()), Some("A.app"), 2).unwrap();
    let hex: String = Sha256::digest(&gz).iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(hex, GOLDEN);
}

const GOLDEN: &str = "b34e02557d684d488deeff813ab0771c094c78dc29f45b58beee30c3cee663e1";

#[test]
fn members_are_normal_and_complete() {
    let (gz, report) = pack(zip(&sample()), Some("A.app"), 2).unwrap();
    assert_eq!(gz[..10], [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 0xFF]);
    let all = members(&gz);
    assert_eq!(all[0].0, "A.app/");
    let find = |n: &str| {
        all.iter().find(|m| m.0 == format!("A.app/Contents/{n}")).unwrap_or_else(|| panic!("{n}"))
    };
    assert_eq!((find("MacOS/A").2, find("MacOS/A").4.len()), (0o755, 2_500_000));
    assert!(find("MacOS/A").4 == noise(2_500_000));
    assert_eq!(find("Info.plist").2, 0o644);
    assert_eq!((find("Current").1, find("Current").3.as_str()), (b'2', "MacOS"));
    assert_eq!(find("Resources/größe.txt").4, b"x");
    assert_eq!(find(&format!("{}/{}", "d".repeat(100), "f".repeat(60))).4, b"split");
    assert_eq!(find(&format!("{}/{}", "d".repeat(100), "f".repeat(160))).4, b"pax");
    // Every folder once, before what is in it.
    let mut seen = HashSet::new();
    for m in &all {
        let name = m.0.trim_end_matches('/');
        if let Some((parent, _)) = name.rsplit_once('/') {
            assert!(seen.contains(parent), "{name}");
        }
        assert!(seen.insert(name.to_owned()), "{name} twice");
    }
    assert_eq!(report.files, 6);
    assert_eq!(report.symlinks, 2);
    assert_eq!(report.special_modes, 2);
    assert_eq!(report.bytes, 2_500_000 + 5 + 1 + 5 + 3);
    assert_eq!(report.folders as usize, all.iter().filter(|m| m.1 == b'5').count());
}

/// Runs a tool with the archive on its input; `None` when it is not installed.
fn tool(name: &str, args: &[&str], input: &[u8]) -> Option<String> {
    let mut child = Command::new(name)
        .args(args)
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feed = std::thread::spawn(move || std::io::Write::write_all(&mut stdin, &input));
    let out = child.wait_with_output().unwrap();
    feed.join().unwrap().unwrap();
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success() && stderr.is_empty(), "{name}: {stderr}");
    Some(String::from_utf8(out.stdout).unwrap())
}

#[test]
fn other_tools_read_the_same_names() {
    let (gz, _) = pack(zip(&sample()), Some("A.app"), 2).unwrap();
    let mut want: Vec<_> = members(&gz).into_iter().map(|m| m.0).collect();
    want.sort();
    const PYTHON: &str = "import sys,tarfile\nfor m in tarfile.open(fileobj=sys.stdin.buffer,mode='r|gz'): print(m.name + ('/' if m.isdir() else ''))";
    for (name, args) in [
        ("bsdtar", &["-tzf", "-"][..]),
        ("tar", &["-tzf", "-", "--quoting-style=literal"]),
        ("python3", &["-c", PYTHON]),
    ] {
        let Some(out) = tool(name, args, &gz) else {
            eprintln!("SKIPPED other_tools_read_the_same_names: no {name}");
            continue;
        };
        let mut got: Vec<_> = out.lines().map(str::to_owned).collect();
        got.sort();
        assert_eq!(got, want, "{name}");
    }
}

#[test]
fn hard_links_of_a_tar_stay_hard_links() {
    let mut b = ::tar::Builder::new(Vec::new());
    let mut h = ::tar::Header::new_gnu();
    h.set_mode(0o755);
    h.set_size(3);
    b.append_data(&mut h, "x/A.app/Contents/a", &b"abc"[..]).unwrap();
    b.append_data(&mut h, "x/out", &b"abc"[..]).unwrap();
    h.set_size(0);
    h.set_entry_type(::tar::EntryType::Link);
    b.append_link(&mut h, "x/A.app/Contents/b", "x/A.app/Contents/a").unwrap();
    let inside = b.get_ref().clone();
    let (gz, _) = pack(tar([inside, vec![0; 1024]].concat()), Some("x/A.app"), 1).unwrap();
    let all = members(&gz);
    let names: Vec<_> = all.iter().map(|m| (m.0.as_str(), m.1)).collect();
    assert_eq!(
        names,
        [
            ("A.app/", b'5'),
            ("A.app/Contents/", b'5'),
            ("A.app/Contents/a", b'0'),
            ("A.app/Contents/b", b'1')
        ]
    );
    assert_eq!(all[3].3, "A.app/Contents/a");
    b.append_link(&mut h, "x/A.app/Contents/c", "x/out").unwrap();
    let e = pack(tar(b.into_inner().unwrap()), Some("x/A.app"), 1).unwrap_err();
    assert_eq!((e.code(), e.path().as_deref()), (Code::PathUnsafe, Some("x/A.app/Contents/c")));
}

#[test]
fn g01_links_that_lead_out_are_refused() {
    for (at, target) in [
        ("A.app/x", "/etc/passwd"),
        ("A.app/x", "../../.."),
        ("A.app/x", ".."),
        ("A.app/Contents/x", "../../A.app/y"),
        ("A.app/x", "a/../../y"),
        // The text stays inside, but `deep` leads up.
        ("A.app/x", "Contents/deep/deep/../../../y"),
        ("A.app/x", "Contents/MacOS/up/../../y"),
    ] {
        let m = Make::new()
            .file("A.app/Contents/MacOS/A", 0o755, "")
            .link("A.app/Contents/MacOS/up", "../..")
            .link("A.app/Contents/deep", ".")
            .link(at, target);
        let e = pack(zip(&m), Some("A.app"), 1).unwrap_err();
        assert_eq!((e.code(), e.path().as_deref()), (Code::PathUnsafe, Some(at)), "{target}");
    }
    let fine = Make::new()
        .file("A.app/Contents/MacOS/A", 0o755, "")
        .link("A.app/self", "self")
        .link("A.app/nowhere", "no/where")
        .link("A.app/Contents/up", "../Contents/MacOS/../MacOS/./A");
    assert_eq!(pack(zip(&fine), Some("A.app"), 1).unwrap().1.symlinks, 3);
}

#[test]
fn an_error_of_the_tree_comes_out_of_the_reader() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a"), noise(3 << 20)).unwrap();
    std::fs::write(dir.path().join("b"), "x").unwrap();
    let tree: Arc<dyn Tree> = open_directory(dir.path(), &Job::default()).unwrap().into();
    std::fs::remove_file(dir.path().join("b")).unwrap();
    let e = pack(tree, None, 2).unwrap_err();
    assert_eq!((e.code(), e.path().as_deref()), (Code::InputChanged, Some("b")));
}

#[test]
fn dropping_the_reader_stops_the_threads() {
    let tree = zip(&Make::new().file("A.app/a", 0o644, noise(24 << 20)));
    let weak = Arc::downgrade(&tree);
    let mut t =
        app_tarball(tree, Some(path("A.app")), "A.app", &options(2), &Job::default()).unwrap();
    t.read_exact(&mut [0; 100]).unwrap();
    assert!(t.report().is_none());
    drop(t);
    // The producer held the tree: it is gone, so the producer is.
    assert!(weak.upgrade().is_none());
}

#[test]
fn a_cancelled_job_stops() {
    let token = CancelToken::new();
    let job = Job::new(Limits::default(), token.clone(), Arc::new(SilentProgress));
    let make = Make::new().file("A.app/a", 0o644, noise(20 << 20));
    let tree: Arc<dyn Tree> =
        open_archive(Arc::new(make.zip()), Container::Zip, &job).unwrap().into();
    let mut t = app_tarball(tree, Some(path("A.app")), "A.app", &options(1), &job).unwrap();
    t.read_exact(&mut [0; 100]).unwrap();
    token.cancel();
    let e = std::io::copy(&mut t, &mut std::io::sink()).unwrap_err();
    assert_eq!(Error::from_io(Code::InputIo, "read", e).code(), Code::Cancelled);
}

#[test]
fn options_out_of_range_are_refused() {
    let tree = zip(&Make::new().file("A.app/a", 0o644, ""));
    let job = Job::default();
    for bad in [
        TarballOptions { level: 0, ..options(1) },
        TarballOptions { level: 10, ..options(1) },
        TarballOptions { mtime: 1 << 33, ..options(1) },
    ] {
        assert_eq!(
            app_tarball(tree.clone(), None, "A.app", &bad, &job).unwrap_err().code(),
            Code::Usage
        );
    }
    for bad in ["a/b", "..", ""] {
        assert_eq!(
            app_tarball(tree.clone(), None, bad, &options(1), &job).unwrap_err().code(),
            Code::PathUnsafe
        );
    }
}

#[test]
fn sizes_over_8_gib_are_in_a_pax_record() {
    let size = 9_u64 << 30;
    let header = Header { name: "big", link: "", kind: b'0', mode: 0o644, size, mtime: 0 }
        .to_bytes()
        .unwrap();
    let mut ar = ::tar::Archive::new(std::io::Read::chain(&header[..], std::io::repeat(0)));
    let e = ar.entries().unwrap().next().unwrap().unwrap();
    assert_eq!(e.size(), size);
}
