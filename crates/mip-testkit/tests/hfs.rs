//! What independent readers (7-Zip, libfshfs) find on the volumes of `mip_testkit::hfs`.
//!
//! Each is left out, with a note, where it is not installed.
#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use mip_testkit::hfs::Volume;

/// Text that compresses, different for each seed.
fn text(seed: u32, len: usize) -> Vec<u8> {
    (0..).flat_map(|i: u32| format!("{seed}:{i} line of words\n").into_bytes()).take(len).collect()
}

/// Path to (file or link, bytes or target).
type Files = BTreeMap<String, (char, Vec<u8>)>;

/// One of everything, and what a reader must find.
fn rich() -> (Volume, Files) {
    let mut files = Files::new();
    let mut put = |path: &str, bytes: Vec<u8>| {
        files.insert(path.to_owned(), ('f', bytes.clone()));
        bytes
    };
    let mut v = Volume::new("Rich")
        .file("Read Me.txt", put("Read Me.txt", b"hello\n".to_vec()))
        .file("docs/Ünï/naïve.txt", put("docs/Ünï/naïve.txt", text(1, 5000)))
        .file("docs/empty", put("docs/empty", Vec::new()))
        .link("Applications", "/Applications")
        .link("docs/up", "../Read Me.txt")
        .file("tool", put("tool", text(2, 70_000)))
        .mode("tool", 0o4755)
        .owner("tool", 0, 80)
        .dates("tool", 1_000_000_000, 1_100_000_000)
        .file("in pieces", put("in pieces", text(3, 40 * 4096 + 17)))
        .fragment("in pieces", 30)
        .file("forked", put("forked", b"data".to_vec()))
        .resource_fork("forked", text(4, 90_000))
        .fragment_resource("forked", 12)
        .xattr("forked", "org.example.small", "value")
        .xattr("forked", "org.example.big", text(5, 30_000))
        .file("linked", put("linked", text(7, 300)))
        .hard_link("docs/linked too", "linked")
        .hard_link("third", "linked")
        .decmpfs("small zlib", 3, &put("small zlib", text(8, 900)))
        .decmpfs("big zlib", 4, &put("big zlib", text(9, 200_000)));
    for i in 0..300 {
        let path = format!("many/File number {i:03}");
        v = v.file(&path, put(&path, text(i, 10)));
    }
    put("docs/linked too", text(7, 300));
    put("third", text(7, 300));
    files.insert("Applications".to_owned(), ('l', b"/Applications".to_vec()));
    files.insert("docs/up".to_owned(), ('l', b"../Read Me.txt".to_vec()));
    (v, files)
}

/// Variants of the volume, which must all read the same.
fn variants() -> Vec<(&'static str, Volume)> {
    let v = || rich().0;
    vec![
        ("plain", v()),
        ("journaled", v().journaled(512 << 10)),
        ("case-sensitive", v().case_sensitive(true)),
        ("small blocks", v().block_size(512)),
        ("deep trees", v().block_size(1024).node_size(1024, 1024).spare_nodes(5)),
        ("trees in pieces", v().block_size(512).node_size(4096, 4096).fragment_trees(17, 11)),
        (
            "map nodes",
            v().block_size(512).node_size(512, 512).extents_node_size(512).spare_nodes(5000),
        ),
        ("wrapped", v().wrapped()),
    ]
}

/// What the program says, or `None` when it is not installed.
fn run(program: &str, words: &[&str]) -> Option<String> {
    let out = match Command::new(program).args(words).output() {
        Ok(out) => out,
        Err(e) => {
            eprintln!("SKIPPED: {program}: {e}");
            return None;
        }
    };
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    if !out.status.success() {
        let error = String::from_utf8_lossy(&out.stderr);
        if error.contains("No module named") {
            eprintln!("SKIPPED: {error}");
            return None;
        }
        panic!("{program} {words:?}: {said}{error}");
    }
    Some(said)
}

/// Files and links below `dir`, names as the volume stores them put together again.
fn files_below(dir: &Path) -> Files {
    use unicode_normalization::UnicodeNormalization as _;
    let mut out = Files::new();
    let mut todo = vec![dir.to_path_buf()];
    while let Some(at) = todo.pop() {
        for e in std::fs::read_dir(at).unwrap() {
            let path = e.unwrap().path();
            let name = path.strip_prefix(dir).unwrap().to_str().unwrap().nfc().collect();
            let meta = path.symlink_metadata().unwrap();
            if meta.is_dir() {
                todo.push(path);
            } else if meta.is_symlink() {
                let to = std::fs::read_link(&path).unwrap().to_str().unwrap().to_owned();
                // 7-Zip makes absolute targets ones below the folder it writes to.
                let root = dir.parent().unwrap().to_str().unwrap();
                let to = to.strip_prefix(root).unwrap_or(&to);
                out.insert(name, ('l', to.as_bytes().to_vec()));
            } else {
                out.insert(name, ('f', std::fs::read(&path).unwrap()));
            }
        }
    }
    out
}

#[test]
fn seven_zip_reads_every_variant() {
    let (_, mut expected) = rich();
    // 7-Zip does not follow hard links: it shows the empty file that a link is.
    for path in ["linked", "docs/linked too", "third"] {
        expected.insert(path.to_owned(), ('f', Vec::new()));
    }
    // Its way to show forks.
    for (name, bytes) in [
        ("forked:rsrc", text(4, 90_000)),
        ("forked:org.example.big", text(5, 30_000)),
        ("forked:org.example.small", b"value".to_vec()),
    ] {
        expected.insert(name.to_owned(), ('f', bytes));
    }
    for (name, volume) in variants() {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("v.hfs");
        let (bytes, layout) = volume.build_with_layout();
        std::fs::write(&image, bytes).unwrap();
        let out = format!("-o{}", dir.path().join("out").display());
        // Links as they are, also those that point out of the folder.
        let words = ["x", "-y", "-bd", "-snl", "-snld20", &out, image.to_str().unwrap()];
        if run("7zz", &words).is_none() {
            return;
        }
        let mut found = files_below(&dir.path().join("out/Rich"));
        found.retain(|path, _| !path.starts_with(".journal"));
        let inode = format!("[HFS+ Private Data]/iNode{}", layout.id("linked"));
        assert_eq!(found.remove(&inode), Some(('f', text(7, 300))), "{name}");
        let paths = |f: &Files| f.keys().cloned().collect::<Vec<_>>();
        assert_eq!(paths(&found), paths(&expected), "{name}");
        for (path, content) in &expected {
            assert!(found[path] == *content, "{name}: {path}");
        }
    }
}

/// Reads a volume with libfshfs: a line for each entry.
const LIBFSHFS: &str = r#"
import hashlib, sys, pyfshfs
volume = pyfshfs.volume()
volume.open(sys.argv[1])
def sha(data): return hashlib.sha256(data or b"").hexdigest()[:16]
def walk(folder, above):
    for i in range(folder.number_of_sub_file_entries):
        e = folder.get_sub_file_entry(i)
        path = above + e.name
        kind = e.file_mode >> 12
        data = e.read_buffer(e.size) if kind == 8 and e.size else b""
        xattrs = {}
        for n in range(e.number_of_extended_attributes):
            x = e.get_extended_attribute(n)
            if x.name != "com.apple.decmpfs":
                xattrs[x.name] = sha(x.read(x.size) if x.size else b"")
        fork = e.get_resource_fork()
        time = int((e.get_modification_time() - __import__("datetime").datetime(1970, 1, 1)).total_seconds())
        print("|".join(str(v) for v in [path, oct(e.file_mode), e.identifier, e.owner_identifier, e.group_identifier, time,
            e.symbolic_link_target, sha(data), sha(fork.read(fork.size)) if fork else None, sorted(xattrs.items())]))
        walk(e, path + "/")
walk(volume.get_root_directory(), "")
"#;

#[test]
fn libfshfs_reads_the_same() {
    use sha2::Digest as _;
    use unicode_normalization::UnicodeNormalization as _;
    let sha = |bytes: &[u8]| {
        let all = sha2::Sha256::digest(bytes);
        all[..8].iter().fold(String::new(), |s, b| s + &format!("{b:02x}"))
    };
    for (name, volume) in variants() {
        if name == "wrapped" {
            continue; // libfshfs wants the volume itself
        }
        // What 7-Zip does not read: more blocks than the size needs.
        let volume = volume
            .file("more room", "x")
            .extra_blocks("more room", 3)
            .alias("an alias")
            .file("docs/a:b", "slash on disk");
        let (bytes, layout) = volume.build_with_layout();
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("v.hfs");
        std::fs::write(&image, bytes).unwrap();
        let Some(said) = run("python3", &["-c", LIBFSHFS, image.to_str().unwrap()]) else { return };
        let said: String = said.nfc().collect();
        let lines: BTreeMap<&str, Vec<&str>> = said
            .lines()
            .map(|l| (l.split('|').next().unwrap(), l.split('|').skip(1).collect()))
            .collect();
        let (_, expected) = rich();
        for (path, (kind, bytes)) in &expected {
            let Some(line) = lines.get(path.as_str()) else {
                panic!("{name}: {path} is not in {:?}", lines.keys())
            };
            assert_eq!(line[1], layout.id(path).to_string(), "{name}: {path}");
            match kind {
                'l' => assert_eq!(line[5].as_bytes(), bytes, "{name}: {path}"),
                _ => assert_eq!(line[6], sha(bytes), "{name}: {path}"),
            }
        }
        assert_eq!(lines["docs/a:b"][6], sha(b"slash on disk"), "{name}");
        assert_eq!(lines["more room"][6], sha(b"x"), "{name}");
        let forked = &lines["forked"];
        assert_eq!(forked[7], sha(&text(4, 90_000)), "{name}");
        let xattrs = format!(
            "[('org.example.big', '{}'), ('org.example.small', '{}')]",
            sha(&text(5, 30_000)),
            sha(b"value")
        );
        assert_eq!(forked[8], xattrs, "{name}");
        assert_eq!(lines["tool"][0], "0o104755", "{name}");
        assert_eq!(lines["tool"][2..5], ["0", "80", "1100000000"], "{name}");
    }
}

#[test]
fn the_layout_points_at_the_records() {
    let volume = rich()
        .0
        .folder("shared")
        .file("shared/inside", "x")
        .hard_link("docs/shared again", "shared")
        .xattr_fork("tool", "org.example.pieces", text(6, 100_000), 20)
        .fragment_trees(12, 1)
        .wrapped();
    let (bytes, layout) = volume.build_with_layout();
    let at = |offset: u64, n: usize| &bytes[usize::try_from(offset).unwrap()..][..n];
    let u32_at = |offset: u64| u32::from_be_bytes(at(offset, 4).try_into().unwrap());

    assert_ne!(layout.base, 0);
    assert_eq!(at(layout.volume_header(), 2), b"H+");
    assert_eq!(at(layout.volume_header(), 512), at(layout.alternate_header(), 512));
    assert_eq!(at(layout.catalog.header() + 8, 1), [1]);
    for node in &layout.catalog.nodes {
        assert_eq!(at(node.offset + 9, 1), [node.height]);
    }
    let root = layout.catalog.nodes.last().unwrap();
    assert_eq!(u32_at(layout.catalog.header() + 16), root.number);

    let tool = layout.record("tool");
    assert_eq!(at(tool.data, 2), [0, 2]);
    assert_eq!(u32_at(tool.data + 8), layout.id("tool"));
    assert_eq!(at(tool.data + 88, 8), 70_000u64.to_be_bytes());
    assert_eq!(tool.end - tool.data, 248);
    let place = layout.fork("tool", false)[0];
    assert_eq!(at(place.0, 40), &text(2, 40)[..]);
    assert_eq!(at(layout.thread("docs").data, 2), [0, 3]);
    assert_eq!(at(layout.thread("tool").data, 2), [0, 4]);

    // The link knows its target, the target how many links it has.
    assert_eq!(u32_at(layout.record("third").data + 44), layout.id("linked"));
    assert_eq!(at(layout.record("third").data + 48, 8), b"hlnkhfs+");
    assert_eq!(u32_at(layout.inode_record("linked").data + 44), 3);
    assert_eq!(at(layout.record("docs/shared again").data + 48, 8), b"fdrpMACS");
    assert_eq!(at(layout.inode_record("shared").data, 2), [0, 1]);

    assert_eq!(at(layout.attribute("tool", "org.example.pieces").data, 4), [0, 0, 0, 0x20]);
    assert_eq!(at(layout.attribute("forked", "org.example.small").data + 16, 5), b"value");
    // 30 pieces: 8 in the catalog, the rest in records of eight.
    assert_eq!(layout.fork("in pieces", false).len(), 30);
    for n in 0..3 {
        assert_eq!(u32_at(layout.overflow("in pieces", false, n).key + 4), layout.id("in pieces"));
    }
    assert_eq!(at(layout.overflow("forked", true, 0).key + 2, 1), [0xff]);
    assert_eq!(u32_at(layout.overflow_of_id(4, 0).key + 4), 4);
}

#[test]
fn a_streamed_volume_is_the_same_as_one_in_memory() {
    let data = text(1, 300_000);
    let held = Volume::new("S").file("a", data.clone()).file("b", "b").build();
    let length = data.len() as u64;
    let given = data.clone();
    let streamed = Volume::new("S")
        .stream("a", length, move || Ok(Box::new(std::io::Cursor::new(given.clone()))))
        .file("b", "b");
    assert!(held == streamed.build());
    assert_eq!(streamed.size(), held.len() as u64);

    for wrong in [length - 1, length + 1] {
        let given = data.clone();
        let short = Volume::new("S")
            .stream("a", wrong, move || Ok(Box::new(std::io::Cursor::new(given.clone()))));
        assert!(short.write_to(&mut std::io::sink()).is_err());
    }
}
