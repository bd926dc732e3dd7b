use std::io::{self, Write};
use std::sync::Arc;

use mip_base::{EntryKind, FileAt, Limits, SilentProgress};
use mip_testkit::shared::{expected, fixtures};
use mip_testkit::tree::Tree as Make;

use super::*;

fn job(change: impl FnOnce(&mut Limits)) -> Job {
    let mut limits = Limits::default();
    change(&mut limits);
    Job::new(limits, Default::default(), Arc::new(SilentProgress))
}

/// A source that gives one byte at a time.
struct OneByte(Vec<u8>);

impl mip_base::ReadAt for OneByte {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let n = buf.len().min(1);
        self.0.read_at(offset, &mut buf[..n])
    }
}

type Walked = Vec<(String, EntryKind, u32, Option<Vec<u8>>)>;

fn walk(tree: &dyn Tree, below: Option<&str>, job: &Job) -> Result<Walked> {
    let mut out = Vec::new();
    let below = below.map(|b| EntryPath::new(b, &Limits::default()).unwrap());
    tree.walk(below.as_ref(), job, &mut |e, data| {
        let data = match data {
            None => e.link.clone().map(String::into_bytes),
            Some(r) => {
                let mut v = Vec::new();
                r.read_to_end(&mut v).map_err(|e| Error::from_io(Code::InputIo, "read", e))?;
                Some(v)
            }
        };
        out.push((e.path.as_str().to_owned(), e.kind, e.mode, data));
        Ok(())
    })?;
    Ok(out)
}

fn sample() -> Make {
    Make::new()
        .dir("A.app")
        .file("A.app/Contents/MacOS/A", 0o755, vec![7; 100_000])
        .file("A.app/Contents/Info.plist", 0o644, "plist")
        .link("A.app/Contents/link", "MacOS/A")
        .file("A.app/Contents/empty", 0o600, "")
        .file("A.app/Contents/größe", 0o644, "x")
        .file("b.txt", 0o644, "b")
}

fn zip(bytes: Vec<u8>) -> Result<Box<dyn Tree>> {
    open_archive(Arc::new(bytes), Container::Zip, &Job::default())
}

fn tar(bytes: Vec<u8>) -> Result<Box<dyn Tree>> {
    open_archive(Arc::new(bytes), Container::Tar(Compression::None), &Job::default())
}

fn sorted(mut w: Walked) -> Walked {
    w.sort();
    w.retain(|e| e.1 != EntryKind::Directory);
    // The mode of a link means nothing, and each format has its own.
    w.iter_mut().filter(|e| e.1 == EntryKind::Symlink).for_each(|e| e.2 = 0);
    w
}

#[test]
fn all_sources_give_the_same_tree() {
    let job = Job::default();
    let dir = tempfile::tempdir().unwrap();
    sample().write_dir(dir.path()).unwrap();
    let folder = open_directory(dir.path(), &job).unwrap();
    let want = sorted(walk(&*folder, None, &job).unwrap());
    assert_eq!(want.len(), 6);
    let trees: Vec<(&str, Box<dyn Tree>)> = vec![
        ("zip", zip(sample().zip()).unwrap()),
        ("tar", tar(sample().tar()).unwrap()),
        (
            "tar.gz",
            open_archive(Arc::new(sample().tar_gz()), Container::Tar(Compression::Gzip), &job)
                .unwrap(),
        ),
        (
            "zip, by byte",
            open_archive(Arc::new(OneByte(sample().zip())), Container::Zip, &job).unwrap(),
        ),
        (
            "tar, by byte",
            open_archive(
                Arc::new(OneByte(sample().tar())),
                Container::Tar(Compression::None),
                &job,
            )
            .unwrap(),
        ),
    ];
    for (name, tree) in &trees {
        assert!(sorted(walk(&**tree, None, &job).unwrap()) == want, "{name}");
        let below = walk(&**tree, Some("A.app/Contents/MacOS"), &job).unwrap();
        assert_eq!(below.len(), 1, "{name}");
        for path in ["A.app/Contents/MacOS/A", "A.app/Contents/Info.plist", "A.app/Contents/empty"]
        {
            let i = tree.find(path).unwrap();
            let whole = &want.iter().find(|w| w.0 == path).unwrap().3;
            assert_eq!(Some(tree.read(i, 1 << 20, &job).unwrap()), *whole, "{name} {path}");
            let head = tree.head(i, 4, &job).unwrap();
            assert!(
                whole.as_ref().unwrap().starts_with(&head)
                    && head.len() == whole.as_ref().unwrap().len().min(4)
            );
        }
        let big = tree.find("A.app/Contents/MacOS/A").unwrap();
        assert_eq!(tree.read(big, 99_999, &job).unwrap_err().code(), Code::LimitMemory, "{name}");
        assert_eq!(tree.get("A.app/Contents/link").unwrap().link.as_deref(), Some("MacOS/A"));
        assert_eq!(tree.get("A.app/Contents/link").unwrap().size, 0);
    }
}

#[test]
fn sections_are_the_stored_bytes() {
    let job = Job::default();
    let dir = tempfile::tempdir().unwrap();
    sample().write_dir(dir.path()).unwrap();
    for tree in [open_directory(dir.path(), &job).unwrap(), tar(sample().tar()).unwrap()] {
        let s = tree.section(tree.find("b.txt").unwrap()).unwrap().unwrap();
        let mut b = Vec::new();
        s.reader().read_to_end(&mut b).unwrap();
        assert_eq!(b, b"b");
        assert!(tree.section(tree.find("A.app/Contents/link").unwrap()).unwrap().is_none());
    }
    // Written by the zip crate, stored.
    let mut w = ::zip::ZipWriter::new(io::Cursor::new(Vec::new()));
    w.start_file(
        "p.pkg",
        ::zip::write::SimpleFileOptions::default()
            .compression_method(::zip::CompressionMethod::Stored),
    )
    .unwrap();
    w.write_all(b"xar!").unwrap();
    let tree = zip(w.finish().unwrap().into_inner()).unwrap();
    let s = tree.section(0).unwrap().unwrap();
    let mut b = Vec::new();
    s.reader().read_to_end(&mut b).unwrap();
    assert_eq!(b, b"xar!");
}

#[test]
fn fixtures_have_the_members_that_7zip_lists() {
    let Some(dir) = fixtures("fixtures_have_the_members_that_7zip_lists") else { return };
    let job = Job::default();
    let mut files = 0;
    for folder in ["app", "pkg-bundle", "pkg-flat", "pkg-signed"] {
        for e in std::fs::read_dir(dir.join(folder)).unwrap() {
            let path = format!("{folder}/{}", e.unwrap().file_name().to_str().unwrap());
            let container = match path.as_str() {
                p if p.ends_with(".zip") || p.ends_with(".ipa") => Container::Zip,
                p if p.ends_with(".tar") => Container::Tar(Compression::None),
                _ => continue,
            };
            let source: Source = Arc::new(FileAt::open(&dir.join(&path)).unwrap());
            let tree =
                open_archive(source, container, &job).unwrap_or_else(|e| panic!("{path}: {e}"));
            let walked = walk(&*tree, None, &job).unwrap_or_else(|e| panic!("{path}: {e}"));
            let expected = expected(&dir, &path);
            let mut seen = 0;
            for m in expected["members"].as_array().unwrap() {
                let name = m[0].as_str().unwrap();
                let leaf = name.rsplit('/').next().unwrap();
                if m[1] != "file"
                    || name.starts_with("__MACOSX")
                    || leaf.starts_with("._")
                    || leaf == ".DS_Store"
                {
                    continue;
                }
                let ours =
                    walked.iter().find(|w| w.0 == name).unwrap_or_else(|| panic!("{path}: {name}"));
                if ours.1 == EntryKind::Symlink && expected["rc"] != 0 {
                    // 7-Zip left an empty file in the place of a link that it did not like.
                    continue;
                }
                use sha2::Digest;
                let digest = sha2::Sha256::digest(ours.3.as_ref().unwrap());
                let hex: String = digest.iter().map(|b| format!("{b:02x}")).collect();
                assert_eq!(hex, m[3].as_str().unwrap(), "{path}: {name}");
                seen += 1;
            }
            // With an error of its own, 7-Zip's list is short.
            let ours = walked.iter().filter(|w| w.1 == EntryKind::File).count();
            assert!(ours == seen || (ours > seen && expected["rc"] != 0), "{path}: {ours} {seen}");
            files += seen;
        }
    }
    assert!(files > 100, "{files}");
}

#[test]
fn a_damaged_zip_is_named_as_one() {
    let Some(dir) = fixtures("a_damaged_zip_is_named_as_one") else { return };
    let path = dir.join("malformed/sparkle-SparkleTestCodeSignApp_bad_header.zip");
    let source: Source = Arc::new(FileAt::open(&path).unwrap());
    let job = Job::default();
    let e = match open_archive(source, Container::Zip, &job) {
        Err(e) => e,
        Ok(tree) => walk(&*tree, None, &job).unwrap_err(),
    };
    assert_eq!(e.code(), Code::Zip, "{e}");
}

#[test]
fn every_cut_of_an_archive_is_an_error() {
    for (container, whole) in
        [(Container::Zip, sample().zip()), (Container::Tar(Compression::Gzip), sample().tar_gz())]
    {
        for len in 0..whole.len() {
            let job = Job::default();
            let cut = whole[..len].to_vec();
            let e = open_archive(Arc::new(cut), container, &job);
            assert!(e.is_err(), "{container:?} cut at {len}");
        }
    }
    // A tar may lack the padding after the first block of its end mark, no more.
    let whole = Make::new().file("a", 0o644, "abc").tar();
    let members = 1024;
    for len in 0..members + 512 {
        assert_eq!(tar(whole[..len].to_vec()).unwrap_err().code(), Code::Tar, "{len}");
    }
    assert!(tar(whole[..members + 512].to_vec()).is_ok());
}

#[test]
fn every_changed_bit_of_a_zip_is_noticed_or_harmless() {
    let whole = Make::new().file("a/b", 0o755, "some text, some text").link("a/l", "b").zip();
    let job = Job::default();
    let want = sorted(walk(&*zip(whole.clone()).unwrap(), None, &job).unwrap());
    let text = |w: &Walked| w.iter().map(|e| e.3.clone()).collect::<Vec<_>>();
    let mut harmless = 0;
    for bit in 0..whole.len() * 8 {
        let mut bad = whole.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        if let Ok(walked) = zip(bad).and_then(|t| walk(&*t, None, &job)) {
            // Data is covered by the CRC; names, modes and times are not covered by anything.
            assert_eq!(text(&sorted(walked)).len(), want.len());
            harmless += 1;
        }
    }
    assert!(harmless < whole.len() * 4, "{harmless} of {}", whole.len() * 8);
}

/// `len` bytes of `with` at the place of the first `what`.
fn patch(bytes: &[u8], what: &[u8], skip: usize, with: &[u8]) -> Vec<u8> {
    let at = bytes.windows(what.len()).position(|w| w == what).unwrap() + skip;
    let mut out = bytes.to_vec();
    out[at..at + with.len()].copy_from_slice(with);
    out
}

#[test]
fn hostile_zips() {
    let z = Make::new().file("a", 0o644, "aaaa").file("b", 0o644, "bbbb").zip();
    let (end, central, local) = (b"PK\x05\x06", b"PK\x01\x02", b"PK\x03\x04");
    let code = |b: Vec<u8>| {
        let job = Job::default();
        zip(b).and_then(|t| walk(&*t, None, &job)).unwrap_err().code()
    };
    // A count that the directory cannot hold, and one that it does not.
    assert_eq!(code(patch(&z, end, 10, &[0xFF, 0xFF])), Code::Zip);
    assert_eq!(code(patch(&z, end, 10, &[1, 0])), Code::Zip);
    // Encrypted; a method that is not read; split over disks.
    assert_eq!(code(patch(&z, central, 8, &[1, 0])), Code::Unsupported);
    assert_eq!(code(patch(&z, central, 10, &[12, 0])), Code::Unsupported);
    assert_eq!(code(patch(&z, end, 4, &[1, 0])), Code::Unsupported);
    // Another name in the local header: two readers would see two trees.
    assert_eq!(code(patch(&z, local, 30, b"x")), Code::Zip);
    // Both entries at one place.
    let second = z.windows(4).rposition(|w| w == central).unwrap();
    let mut one = z.clone();
    one[second + 42..second + 46].copy_from_slice(&[0; 4]);
    assert_eq!(code(one), Code::Zip);
    // Two entries of one name, two that differ in case.
    let mut same = z.clone();
    for (i, w) in z.windows(3).enumerate() {
        if w == b"bbb" {
            continue;
        }
        if w[0] == b'b' && (z[i - 1] == 0) {
            same[i] = b'a';
        }
    }
    assert_eq!(code(same), Code::Zip);
    let z = Make::new().file("x", 0o644, "").file("y", 0o644, "").zip();
    let up: Vec<u8> = z.iter().map(|b| if *b == b'y' { b'X' } else { *b }).collect();
    assert_eq!(code(up), Code::PathCollision);
    // Names that leave the folder.
    for bad in ["../x", "/abs", "a/../b"] {
        let mut w = ::zip::ZipWriter::new(io::Cursor::new(Vec::new()));
        w.start_file("n".repeat(bad.len()), ::zip::write::SimpleFileOptions::default()).unwrap();
        let z = w.finish().unwrap().into_inner();
        let run = "n".repeat(bad.len()).into_bytes();
        let mut out = z.clone();
        for (i, w) in z.windows(run.len()).enumerate() {
            if w == run {
                out[i..i + run.len()].copy_from_slice(bad.as_bytes());
            }
        }
        assert_eq!(code(out), Code::PathUnsafe, "{bad}");
    }
}

#[test]
fn zip_bombs_meet_the_budget() {
    let z = Make::new().file("z", 0o644, vec![0; 1 << 20]).zip();
    let job = job(|l| l.expanded_bytes = 1 << 19);
    let e = open_archive(Arc::new(z), Container::Zip, &job).err().unwrap();
    assert_eq!(e.code(), Code::LimitExpanded);
}

#[test]
fn zip64_of_another_writer_is_read() {
    let mut w = ::zip::ZipWriter::new(io::Cursor::new(Vec::new()));
    let o = ::zip::write::SimpleFileOptions::default().large_file(true);
    w.start_file("big", o).unwrap();
    w.write_all(b"not that big").unwrap();
    let tree = zip(w.finish().unwrap().into_inner()).unwrap();
    assert_eq!(tree.read(0, 100, &Job::default()).unwrap(), b"not that big");
}

/// Members by the `tar` crate.
fn tar_of(add: impl FnOnce(&mut ::tar::Builder<Vec<u8>>)) -> Vec<u8> {
    let mut b = ::tar::Builder::new(Vec::new());
    add(&mut b);
    b.into_inner().unwrap()
}

fn header(kind: ::tar::EntryType, size: u64) -> ::tar::Header {
    let mut h = ::tar::Header::new_gnu();
    h.set_entry_type(kind);
    h.set_size(size);
    h.set_mode(0o644);
    h.set_mtime(5);
    h
}

#[test]
fn tar_long_names_and_hard_links() {
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(120));
    let target = "t".repeat(150);
    let t = tar_of(|b| {
        b.append_data(&mut header(::tar::EntryType::Regular, 3), &long, &b"abc"[..]).unwrap();
        b.append_link(&mut header(::tar::EntryType::Symlink, 0), "s", &target).unwrap();
        b.append_link(&mut header(::tar::EntryType::Link, 0), "h", &long).unwrap();
        b.append_pax_extensions([
            ("path", "gr\u{f6}\u{df}e".as_bytes()),
            ("mtime", b"77.5"),
            ("SCHILY.xattr.com.apple.quarantine", b"q=1\n2"),
        ])
        .unwrap();
        let mut h = header(::tar::EntryType::Regular, 1);
        h.set_cksum();
        b.append(&h, &b"x"[..]).unwrap();
    });
    let tree = tar(t).unwrap();
    assert_eq!(tree.read(tree.find(&long).unwrap(), 10, &Job::default()).unwrap(), b"abc");
    assert_eq!(tree.get("s").unwrap().link.as_deref(), Some(target.as_str()));
    let h = tree.get("h").unwrap();
    assert_eq!((h.kind, h.link.as_deref()), (EntryKind::Hardlink, Some(long.as_str())));
    assert_eq!(tree.get("gr\u{f6}\u{df}e").unwrap().mtime, 77);
    assert_eq!(tree.listing().dropped().attributes, 1);
}

#[test]
fn hostile_tars() {
    use ::tar::EntryType as T;
    let one = |kind, name: &'static str| {
        tar_of(|b| {
            let mut h = header(kind, 0);
            h.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            h.set_cksum();
            b.append(&h, io::empty()).unwrap();
        })
    };
    let code = |b: Vec<u8>| tar(b).unwrap_err().code();
    for special in [T::Char, T::Block, T::Fifo] {
        assert_eq!(code(one(special, "x")), Code::SpecialFile);
    }
    assert_eq!(code(one(T::GNUSparse, "x")), Code::Unsupported);
    assert_eq!(code(one(T::new(b'M'), "x")), Code::Unsupported);
    for bad in ["../x", "/x", "a/../b"] {
        assert_eq!(code(one(T::Regular, bad)), Code::PathUnsafe, "{bad}");
    }
    // A hard link to what is not there, and to what comes later.
    assert_eq!(code(one(T::Link, "x")), Code::Tar);
    let late = tar_of(|b| {
        b.append_link(&mut header(T::Link, 0), "a", "b").unwrap();
        b.append_data(&mut header(T::Regular, 0), "b", io::empty()).unwrap();
    });
    assert_eq!(code(late), Code::Tar);
    // Data after the end mark; a wrong checksum; a name in a global header.
    let mut after = one(T::Regular, "x");
    after.extend_from_slice(&one(T::Regular, "y"));
    assert_eq!(code(after), Code::Tar);
    let mut wrong = one(T::Regular, "x");
    wrong[0] = b'z';
    assert_eq!(code(wrong), Code::Tar);
    let sparse = tar_of(|b| {
        b.append_pax_extensions([("GNU.sparse.major", &b"1"[..])]).unwrap();
        let mut h = header(T::Regular, 0);
        h.set_cksum();
        b.append(&h, io::empty()).unwrap();
    });
    assert_eq!(code(sparse), Code::Unsupported);
    // A size that overflows, and one beyond the file.
    let mut h = header(T::Regular, 0);
    h.as_mut_bytes()[124..136].copy_from_slice(&[0xFF; 12]);
    h.set_cksum();
    assert_eq!(code([h.as_bytes().to_vec(), vec![0; 1024]].concat()), Code::Tar);
    let mut h = header(T::Regular, 1 << 40);
    h.as_mut_bytes()[0] = b'x';
    h.set_cksum();
    assert!(matches!(
        code([h.as_bytes().to_vec(), vec![0; 1024]].concat()),
        Code::Tar | Code::LimitExpanded
    ));
}

#[test]
fn a_long_name_of_any_size_costs_no_memory() {
    let mut h = ::tar::Header::new_gnu();
    h.set_entry_type(::tar::EntryType::GNULongName);
    h.set_size(1 << 40);
    h.set_cksum();
    let t = [h.as_bytes().to_vec(), vec![b'n'; 4096]].concat();
    assert_eq!(tar(t).unwrap_err().code(), Code::PathUnsafe);
    let mut h = ::tar::Header::new_ustar();
    h.set_entry_type(::tar::EntryType::XHeader);
    h.set_size(1 << 40);
    h.set_cksum();
    let t = [h.as_bytes().to_vec(), b"1000000000 path=".to_vec(), vec![b'n'; 4096]].concat();
    assert_eq!(tar(t).unwrap_err().code(), Code::PathUnsafe);
}

#[cfg(unix)]
mod folders {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    fn code(dir: &Path) -> Code {
        open_directory(dir, &Job::default()).err().unwrap().code()
    }

    #[test]
    fn g01_links_are_listed_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        for (name, to) in
            [("a", "/etc/passwd"), ("b", "../../.."), ("c", "c"), ("d", "nowhere"), ("e", ".")]
        {
            symlink(to, dir.path().join(name)).unwrap();
        }
        let tree = open_directory(dir.path(), &Job::default()).unwrap();
        assert_eq!(tree.entries().len(), 5);
        assert!(tree.entries().iter().all(|e| e.kind == EntryKind::Symlink && e.size == 0));
        assert_eq!(tree.get("b").unwrap().link.as_deref(), Some("../../.."));
    }

    #[test]
    fn g03_special_files_do_not_block() {
        let dir = tempfile::tempdir().unwrap();
        let made =
            std::process::Command::new("mkfifo").arg(dir.path().join("pipe")).status().unwrap();
        assert!(made.success());
        assert_eq!(code(dir.path()), Code::SpecialFile);
        let dir = tempfile::tempdir().unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("s")).unwrap();
        assert_eq!(code(dir.path()), Code::SpecialFile);
    }

    #[test]
    fn g05_unreadable_is_an_input_error() {
        if rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED g05_unreadable_is_an_input_error: root reads everything");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let sub = dir.path().join("d");
        std::fs::create_dir(&sub).unwrap();
        std::fs::set_permissions(&sub, std::fs::Permissions::from_mode(0o000)).unwrap();
        assert_eq!(code(dir.path()), Code::InputIo);
    }

    #[test]
    fn g06_changes_while_reading_are_noticed() {
        let job = Job::default();
        type Change = fn(&Path);
        let changes: [(&str, Change); 6] = [
            ("grown", |p| std::fs::write(p, "longer than before").unwrap()),
            ("shrunk", |p| std::fs::write(p, "").unwrap()),
            ("same size", |p| std::fs::write(p, "12345").unwrap()),
            ("replaced", |p| {
                std::fs::remove_file(p).unwrap();
                std::fs::write(p, "54321").unwrap();
            }),
            ("a link now", |p| {
                std::fs::remove_file(p).unwrap();
                symlink("/etc/passwd", p).unwrap();
            }),
            ("gone", |p| std::fs::remove_file(p).unwrap()),
        ];
        for (name, change) in changes {
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("f");
            std::fs::write(&file, "12345").unwrap();
            let tree = open_directory(dir.path(), &job).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(15));
            change(&file);
            assert_eq!(walk(&*tree, None, &job).unwrap_err().code(), Code::InputChanged, "{name}");
            assert_eq!(tree.read(0, 100, &job).unwrap_err().code(), Code::InputChanged, "{name}");
            assert_eq!(tree.section(0).unwrap_err().code(), Code::InputChanged, "{name}");
        }
        // While a section is open.
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("f"), "12345").unwrap();
        let tree = open_directory(dir.path(), &job).unwrap();
        let s = tree.section(0).unwrap().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(15));
        std::fs::write(dir.path().join("f"), "54321").unwrap();
        let e = mip_base::read_full_at(&s, 0, &mut [0; 5], Code::Truncated).unwrap_err();
        assert_eq!(e.code(), Code::InputChanged);
    }

    #[test]
    fn g06_a_folder_swapped_for_a_link_is_not_entered() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("d")).unwrap();
        std::fs::write(dir.path().join("d/f"), "x").unwrap();
        let tree = open_directory(dir.path(), &Job::default()).unwrap();
        std::fs::rename(dir.path().join("d"), dir.path().join("e")).unwrap();
        symlink("e", dir.path().join("d")).unwrap();
        assert_eq!(walk(&*tree, None, &Job::default()).unwrap_err().code(), Code::InputChanged);
    }

    #[test]
    fn g08_a_sparse_giant_is_over_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let f = std::fs::File::create(dir.path().join("f")).unwrap();
        if f.set_len(8 << 40).is_err() {
            eprintln!("SKIPPED g08: the file system has no files of 8 TiB");
            return;
        }
        assert_eq!(code(dir.path()), Code::LimitExpanded);
    }

    #[test]
    fn g09_hard_links_are_files() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), "x").unwrap();
        std::fs::hard_link(dir.path().join("a"), dir.path().join("b")).unwrap();
        let tree = open_directory(dir.path(), &Job::default()).unwrap();
        assert!(tree.entries().iter().all(|e| e.kind == EntryKind::File && e.size == 1));
    }

    #[test]
    fn g13_names_that_are_not_utf8() {
        use std::os::unix::ffi::OsStrExt;
        let dir = tempfile::tempdir().unwrap();
        let name = std::ffi::OsStr::from_bytes(b"a\xff");
        if std::fs::write(dir.path().join(name), "x").is_err() {
            eprintln!("SKIPPED g13: the file system refuses such names");
            return;
        }
        assert_eq!(code(dir.path()), Code::PathUnsafe);
    }

    #[test]
    fn g14_depth_64_and_65() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join(["d"; 64].join("/"))).unwrap();
        assert_eq!(open_directory(dir.path(), &Job::default()).unwrap().entries().len(), 64);
        std::fs::create_dir(dir.path().join(["d"; 65].join("/"))).unwrap();
        assert_eq!(code(dir.path()), Code::PathUnsafe);
    }

    #[test]
    fn g15_too_many_entries() {
        let dir = tempfile::tempdir().unwrap();
        for i in 0..11 {
            std::fs::write(dir.path().join(format!("f{i}")), "").unwrap();
        }
        let e = open_directory(dir.path(), &job(|l| l.entries = 10)).err().unwrap();
        assert_eq!(e.code(), Code::LimitEntries);
    }

    #[test]
    fn g17_another_file_system_is_not_entered() {
        // /dev/shm or /proc below / are other devices; listing / itself would be too much.
        let Ok(meta) = std::fs::metadata("/dev/shm") else { return };
        use std::os::unix::fs::MetadataExt;
        if std::fs::metadata("/dev").unwrap().dev() == meta.dev() {
            return;
        }
        assert_eq!(code(Path::new("/dev")), Code::SpecialFile);
    }

    #[test]
    fn g18_the_root_may_be_a_link_or_end_with_a_slash() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("A.app")).unwrap();
        std::fs::write(dir.path().join("A.app/f"), "x").unwrap();
        symlink("A.app", dir.path().join("L.app")).unwrap();
        for root in ["A.app", "A.app/", "L.app", "L.app/"] {
            let tree = open_directory(&dir.path().join(root), &Job::default()).unwrap();
            assert_eq!(tree.entries().len(), 1, "{root}");
        }
        assert_eq!(code(&dir.path().join("A.app/f")), Code::InputIo);
        assert_eq!(code(Path::new("/dev/zero")), Code::InputIo);
    }

    #[test]
    fn g04_modes_are_kept_for_the_writer_to_judge() {
        let dir = tempfile::tempdir().unwrap();
        let f = dir.path().join("f");
        std::fs::write(&f, "x").unwrap();
        std::fs::set_permissions(&f, std::fs::Permissions::from_mode(0o4777)).unwrap();
        let tree = open_directory(dir.path(), &Job::default()).unwrap();
        assert_eq!(tree.get("f").unwrap().mode, 0o4777);
    }
}

#[test]
fn programs_in_zips_without_modes_may_be_executed() {
    let mut program = vec![0; 64];
    program[..8].copy_from_slice(&[0xCF, 0xFA, 0xED, 0xFE, 0x0C, 0, 0, 1]);
    let bytes = Make::new()
        .file("T.app/Contents/MacOS/t", 0o644, program)
        .file("T.app/Contents/Resources/run", 0o644, "#!/bin/sh\n")
        .file("T.app/Contents/Info.plist", 0o644, "<plist/>")
        .zip();
    // Made by Windows: the high byte of "version made by" is 0 (APPNOTE 4.4.2).
    let mut windows = bytes.clone();
    let records: Vec<usize> =
        (0..bytes.len()).filter(|&i| bytes[i..].starts_with(b"PK\x01\x02")).collect();
    for at in records {
        windows[at + 5] = 0;
    }
    let tree = zip(windows).unwrap();
    let mode = |p: &str| tree.get(p).unwrap().mode;
    assert_eq!(mode("T.app/Contents/MacOS/t"), 0o755);
    assert_eq!(mode("T.app/Contents/Resources/run"), 0o755);
    assert_eq!(mode("T.app/Contents/Info.plist"), 0o644);
    // Modes that are there are believed.
    let tree = zip(bytes).unwrap();
    assert_eq!(tree.get("T.app/Contents/MacOS/t").unwrap().mode & 0o111, 0);
}

#[test]
fn zeros_after_a_zip_are_filling_and_nothing_else_is() {
    let bytes = Make::new().file("a", 0o644, "data").zip();
    let with = |tail: &[u8]| zip([&bytes[..], tail].concat());
    assert_eq!(with(&[0; 10_240]).unwrap().entries().len(), 1);
    assert_eq!(with(b"\0\0x").unwrap_err().code(), Code::Zip);
}

#[test]
fn b16_bands_in_an_archive_are_unpacked_one_by_one() {
    // As a sparse bundle asks for its bands. Passing all others for each of them would decode
    // two thousand times 3 MB.
    let mut files = sample();
    for i in 0..2000 {
        files = files.file(&format!("b.sparsebundle/bands/{i:x}"), 0o644, vec![7; 1024]);
    }
    let job = job(|l| l.expanded_bytes = 256 << 20);
    for (container, bytes) in
        [(Container::Zip, files.zip()), (Container::Tar(Compression::Gzip), files.tar_gz())]
    {
        let tree = open_archive(Arc::new(bytes), container, &job).unwrap();
        for i in 0..2000 {
            let index = tree.find(&format!("b.sparsebundle/bands/{i:x}")).unwrap();
            let band = positioned(tree.as_ref(), index, &job).unwrap();
            assert_eq!(mip_base::ReadAt::size(&band), 1024);
        }
        let folder = tree.entries().iter().position(|e| e.kind != EntryKind::File).unwrap();
        let e = positioned(tree.as_ref(), folder, &job).unwrap_err();
        assert_eq!(e.code(), Code::Unsupported);
    }
}
