//! Volumes of the generator, of `mkfs.fat` with mtools, and of a real image.
#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::cast_possible_truncation
)]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use mip_base::{Code, EntryKind, Job, ReadAt as _, Source, read_full_at};
use mip_fat::{Kind, Volume};
use mip_testkit::fat::{Fat, Image, Item};
use mip_testkit::shared::{expected, fixtures};

fn data(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * i / 11 + i / 500) as u8).collect()
}

fn items() -> Vec<Item> {
    let many = (0..40_u8).map(|n| Item::file(&format!("file number {n:02}.txt"), &[n; 9]));
    vec![
        Item::file("README.TXT", b"short"),
        Item::file("EMPTY", b""),
        Item::file("a long name of a file.data", &data(5000)),
        Item::folder(
            "Some.app",
            vec![
                Item::folder("Contents", vec![Item::file("Info.plist", &data(513))]),
                Item::folder("EMPTYDIR", vec![]),
            ],
        ),
        Item::folder("many", many.collect()),
        Item::file("Ünïcode 😀.txt", b"u"),
        Item::file(&"x".repeat(255), b"255"),
        // 13 and 26 units: no end mark in the last record.
        Item::file("exactly13.txt", b"13"),
        Item::file("exactly twenty-six uni.txt", b"26"),
    ]
}

fn open(image: Image) -> Volume {
    Volume::open(Arc::new(image.bytes), &Job::default()).unwrap()
}

fn whole(source: &Source) -> Vec<u8> {
    let mut out = vec![0; source.size() as usize];
    read_full_at(source, 0, &mut out, Code::Internal).unwrap();
    out
}

/// Paths, kinds and data as a walk finds them.
fn walked(volume: &Volume) -> Vec<(String, EntryKind, Vec<u8>)> {
    let job = Job::default();
    let mut out = Vec::new();
    let walk = volume.walk(&job, &mut |f| {
        let data = match f.node.kind {
            EntryKind::File => whole(&volume.open_file(&f.node, &job)?),
            _ => Vec::new(),
        };
        assert_eq!(f.node.size, data.len() as u64, "{}", f.path);
        let found = volume.lookup(&f.path, &job)?.map(|n| n.id);
        assert_eq!(found, Some(f.node.id), "{}", f.path);
        out.push((f.path, f.node.kind, data));
        Ok(())
    });
    walk.unwrap();
    out
}

/// The same from what was written, siblings in the order of their names.
fn flat(items: &[Item], prefix: &str, out: &mut Vec<(String, EntryKind, Vec<u8>)>) {
    let mut items: Vec<_> = items.iter().collect();
    let name = |i: &Item| match i {
        Item::File(n, _) | Item::Folder(n, _) => n.clone(),
    };
    items.sort_by_key(|i| name(i));
    for i in items {
        let path = format!("{prefix}{}", name(i));
        match i {
            Item::File(_, data) => out.push((path, EntryKind::File, data.clone())),
            Item::Folder(_, inner) => {
                out.push((path.clone(), EntryKind::Directory, Vec::new()));
                flat(inner, &format!("{path}/"), out);
            }
        }
    }
}

#[test]
fn every_width_reads_back_what_was_written() {
    let mut want = Vec::new();
    flat(&items(), "", &mut want);
    for (bits, clusters, kind) in [
        (12, 300, Kind::Fat12),
        (16, 5000, Kind::Fat16),
        (32, 300, Kind::Fat32),
        (32, 70_000, Kind::Fat32),
    ] {
        for (sector, per_cluster, scattered) in [(512, 1, false), (512, 4, true), (4096, 2, true)] {
            let fat = Fat {
                sector,
                per_cluster,
                scattered,
                label: "MY DISK".into(),
                ..Fat::new(bits, clusters)
            };
            let volume = open(fat.build(items()));
            let info = volume.info();
            assert_eq!((info.kind, info.name.as_str()), (kind, "MY DISK"));
            assert_eq!(info.block_size, u64::from(sector * per_cluster));
            assert_eq!(info.free, (bits == 32).then_some(7 * info.block_size));
            assert_eq!(info.notes, Vec::<String>::new());
            assert!(walked(&volume) == want, "FAT{bits} {sector} {per_cluster}");
        }
    }
}

#[test]
fn reads_of_any_size_give_the_same_bytes() {
    let job = Job::default();
    for scattered in [false, true] {
        let fat = Fat { scattered, ..Fat::new(12, 200) };
        let text = data(5000);
        let volume = open(fat.build(vec![Item::file("A", b"x"), Item::file("B", &text)]));
        let node = volume.lookup("b", &job).unwrap().unwrap();
        let file = volume.open_file(&node, &job).unwrap();
        for step in [1, 7, 511, 512, 513, 5000, 9999] {
            let mut out: Vec<u8> = Vec::new();
            let mut buf = vec![0; step];
            loop {
                let n = file.read_at(out.len() as u64, &mut buf).unwrap();
                if n == 0 {
                    break;
                }
                out.extend(&buf[..n]);
            }
            assert!(out == text, "{step}");
        }
        assert_eq!(file.read_at(u64::MAX, &mut [0; 9]).unwrap(), 0);
        assert_eq!(file.read_at(5000, &mut [0; 9]).unwrap(), 0);
    }
}

#[test]
fn names_times_and_modes() {
    let job = Job::default();
    let mut image = Fat::new(16, 5000).build(items());
    let at = image.record(b"README  TXT");
    image.bytes[at + 11] |= 1;
    image.bytes[at + 12] = 0x18;
    let volume = open(image.clone());
    let node = volume.lookup("readme.txt", &job).unwrap().unwrap();
    // 2024-02-29 12:34:56, by Python's calendar.timegm.
    assert_eq!((node.mtime, node.mode, node.links), (1_709_210_096, 0o555, 1));
    let names: Vec<_> =
        volume.children(&volume.root(), &job).unwrap().into_iter().map(|c| c.0).collect();
    assert!(names.contains(&"readme.txt".to_owned()) && names.contains(&"EMPTY".to_owned()));
    assert_eq!(volume.info().name, "");
    for (path, there) in [
        ("", true),
        ("some.APP/contents/INFO.plist", true),
        ("ÜNÏCODE 😀.TXT", true),
        ("LONG~2", false),
        ("EMPTY/x", false),
        ("/EMPTY", false),
        ("nothing", false),
    ] {
        assert_eq!(volume.lookup(path, &job).unwrap().is_some(), there, "{path}");
    }
    // A deleted file is not there; a long name without its parts gives the short one.
    let at = image.record(b"README  TXT");
    image.bytes[at] = 0xe5;
    let at = image.record(b"LONG~2     ");
    image.bytes[at - 32 + 13] ^= 1;
    let volume = open(image);
    assert!(volume.lookup("readme.txt", &job).unwrap().is_none());
    assert!(volume.lookup("a long name of a file.data", &job).unwrap().is_none());
    let node = volume.lookup("LONG~2", &job).unwrap().unwrap();
    assert!(whole(&volume.open_file(&node, &job).unwrap()) == data(5000));
}

/// A volume of `mkfs.fat` and mtools in `dir`; `None` where they are not installed.
fn made(dir: &Path, bits: u32, sectors: u32, args: &[&str]) -> Option<Vec<u8>> {
    let image = dir.join(format!("fat{bits}.img"));
    std::fs::write(&image, vec![0; sectors as usize * 512]).unwrap();
    let run = |program: &str, args: &[&str]| {
        let mut c = Command::new(program);
        c.args(args).env("MTOOLS_SKIP_CHECK", "1").env("LC_ALL", "C.UTF-8");
        c.output().ok().map(|o| assert!(o.status.success(), "{program}: {o:?}"))
    };
    let path = image.to_str().unwrap();
    let bits = bits.to_string();
    run("mkfs.fat", &[&["-F", &bits, "-n", "MADE"], args, &[path]].concat())?;
    for (name, len) in [("Some Long Name.bin", 100_000), ("short.txt", 3), ("MiXed.Case", 700)] {
        let file = dir.join(name);
        std::fs::write(&file, data(len)).unwrap();
        run("mcopy", &["-i", path, file.to_str().unwrap(), "::"])?;
    }
    run("mmd", &["-i", path, "::Some.app", "::Some.app/Contents", "::lower"])?;
    let plist = dir.join("Info.plist");
    std::fs::write(&plist, data(4000)).unwrap();
    run("mcopy", &["-i", path, plist.to_str().unwrap(), "::Some.app/Contents"])?;
    run("mdel", &["-i", path, "::short.txt"])?;
    Some(std::fs::read(&image).unwrap())
}

#[test]
fn volumes_of_other_writers() {
    let dir = std::env::temp_dir().join(format!("mip-fat-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    for (bits, sectors, args) in [
        (12, 2880, &[][..]),
        (16, 65536, &[]),
        (16, 65536, &["-s", "4", "-f", "1"]),
        (32, 140_000, &["-s", "1"]),
        (12, 20_000, &["-S", "4096"]),
    ] {
        let Some(bytes) = made(&dir, bits, sectors, args) else {
            eprintln!("SKIPPED volumes_of_other_writers: no mkfs.fat or mtools");
            break;
        };
        let volume = Volume::open(Arc::new(bytes), &Job::default()).unwrap();
        assert_eq!(volume.info().name, "MADE");
        assert_eq!(volume.info().notes, Vec::<String>::new());
        let want = [
            ("MiXed.Case", EntryKind::File, data(700)),
            ("Some Long Name.bin", EntryKind::File, data(100_000)),
            ("Some.app", EntryKind::Directory, vec![]),
            ("Some.app/Contents", EntryKind::Directory, vec![]),
            ("Some.app/Contents/Info.plist", EntryKind::File, data(4000)),
            ("lower", EntryKind::Directory, vec![]),
        ];
        let got = walked(&volume);
        assert_eq!(got.len(), want.len(), "{:?}", got.iter().map(|g| &g.0).collect::<Vec<_>>());
        for (got, want) in got.iter().zip(want) {
            assert_eq!((got.0.as_str(), got.1), (want.0, want.1), "FAT{bits}");
            assert!(got.2 == want.2, "FAT{bits} {}", want.0);
        }
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn other_readers_read_the_generator() {
    let mut want = Vec::new();
    flat(&items(), "", &mut want);
    let dir = std::env::temp_dir().join(format!("mip-fat-out-{}", std::process::id()));
    for (bits, clusters) in [(12, 300), (16, 5000), (32, 70_000)] {
        std::fs::create_dir_all(&dir).unwrap();
        let image = dir.join("image");
        std::fs::write(&image, Fat::new(bits, clusters).build(items()).bytes).unwrap();
        let out = dir.join("out");
        std::fs::create_dir_all(&out).unwrap();
        let mut c = Command::new("mcopy");
        c.env("MTOOLS_SKIP_CHECK", "1").env("LC_ALL", "C.UTF-8");
        let Ok(done) = c.args(["-s", "-n", "-i"]).args([&image]).arg("::/").arg(&out).output()
        else {
            eprintln!("SKIPPED other_readers_read_the_generator: no mtools");
            break;
        };
        assert!(done.status.success(), "FAT{bits} {done:?}");
        // Where mtools unpacks the root folder to depends on its version.
        let top = if out.join("README.TXT").exists() { out } else { out.join("image") };
        for (path, kind, data) in &want {
            // mtools has its own idea of which characters fit the locale.
            if !path.is_ascii() {
                continue;
            }
            match kind {
                EntryKind::File => assert!(std::fs::read(top.join(path)).unwrap() == *data),
                _ => assert!(top.join(path).is_dir(), "{path}"),
            }
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }
}

#[test]
fn a_real_image_reads_as_other_tools_read_it() {
    let Some(dir) = fixtures("a_real_image_reads_as_other_tools_read_it") else { return };
    let name = "dmg-udif/appledmg-example-fat32.dmg";
    // 7-Zip gives the partition's volume; the image format is another crate's.
    let out = std::env::temp_dir().join(format!("mip-fat-real-{}", std::process::id()));
    let unpacked = Command::new("7zz")
        .args(["x", "-y", "-tDmg", &format!("-o{}", out.display())])
        .arg(dir.join(name))
        .output();
    if unpacked.is_err() {
        eprintln!("SKIPPED a_real_image_reads_as_other_tools_read_it: no 7zz");
        return;
    }
    let mut found = None;
    for file in std::fs::read_dir(&out).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        if let Ok(volume) = Volume::open(Arc::new(bytes), &Job::default()) {
            found = Some(volume);
        }
    }
    std::fs::remove_dir_all(&out).unwrap();
    let got = walked(&found.expect("no volume in what 7-Zip unpacked"));
    let expected = expected(&dir, name);
    let members = expected["members"].as_array().unwrap();
    for m in members {
        let (path, kind) = (m[0].as_str().unwrap(), m[1].as_str().unwrap());
        let entry = got.iter().find(|g| g.0 == path).unwrap_or_else(|| panic!("{path} is missing"));
        match kind {
            "dir" => assert_eq!(entry.1, EntryKind::Directory),
            _ => assert_eq!(mip_testkit::sha256(&entry.2), m[3].as_str().unwrap(), "{path}"),
        }
    }
    let more: Vec<_> = got.iter().map(|g| &g.0).collect();
    assert_eq!(more.len(), members.len(), "{more:?}");
}
