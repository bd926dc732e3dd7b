//! Volumes that lie: boot sectors, chains, folders, names. Each must end at once, in an error
//! of its own or a bounded result, never in a panic.
#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::cast_possible_truncation
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use mip_base::{CancelToken, Code, Error, Job, Limits, ReadAt as _, Result, SilentProgress};
use mip_fat::Volume;
use mip_testkit::fat::{Fat, Image, Item, long, record, short};

fn job(change: impl FnOnce(&mut Limits)) -> Job {
    let mut limits = Limits::default();
    change(&mut limits);
    Job::new(limits, CancelToken::new(), Arc::new(SilentProgress))
}

/// Opens, walks, and reads every file.
fn drain_with(bytes: Vec<u8>, job: &Job) -> Result<u64> {
    let started = Instant::now();
    let done = Volume::open(Arc::new(bytes), job).and_then(|v| {
        let (mut n, mut buf) = (0, vec![0; 1 << 16]);
        v.walk(job, &mut |f| {
            n += 1;
            if f.node.kind == mip_base::EntryKind::File {
                let file = v.open_file(&f.node, job)?;
                let mut at = 0;
                while at < file.size() {
                    let got = file.read_at(at, &mut buf);
                    at += got.map_err(|e| Error::from_io(Code::Internal, "bare", e))? as u64;
                }
            }
            Ok(())
        })?;
        Ok(n)
    });
    mip_testkit::not_hanging(started);
    done
}

fn drain(image: Image) -> Result<u64> {
    drain_with(image.bytes, &Job::default())
}

fn refused(image: Image, why: &str) {
    let e = drain(image).map(|n| panic_free(n, why)).unwrap_err();
    assert_eq!(e.code(), Code::Fat, "{why}: {e:?}");
}

fn panic_free(n: u64, why: &str) -> String {
    format!("{why}: {n} entries were read")
}

/// A volume of each width with a file of 5 clusters, "A", and a folder with a file.
fn images() -> Vec<Image> {
    [(12, 100), (16, 5000), (32, 100)]
        .into_iter()
        .map(|(bits, clusters)| {
            Fat::new(bits, clusters).build(vec![
                Item::file("A", &[7; 2500]),
                Item::folder("D", vec![Item::file("B", b"inner")]),
                Item::file("C", &[9; 600]),
            ])
        })
        .collect()
}

const A: &[u8; 11] = b"A          ";
const D: &[u8; 11] = b"D          ";
const C: &[u8; 11] = b"C          ";

/// The first cluster in the record of a short name.
fn first(image: &Image, name: &[u8; 11]) -> u32 {
    let at = image.record(name);
    u32::from(u16::from_le_bytes([image.bytes[at + 26], image.bytes[at + 27]]))
}

fn point(image: &mut Image, name: &[u8; 11], cluster: u32) {
    let at = image.record(name);
    image.bytes[at + 26..at + 28].copy_from_slice(&(cluster as u16).to_le_bytes());
    image.bytes[at + 20..at + 22].copy_from_slice(&((cluster >> 16) as u16).to_le_bytes());
}

#[test]
fn fat_whole_volumes_are_fine() {
    for image in images() {
        assert_eq!(drain(image).unwrap(), 4);
    }
}

#[test]
fn fat_boot_sector_fields() {
    for image in images() {
        let fat32 = image.bits == 32;
        let set = |at: usize, v: &[u8]| {
            let mut bad = image.clone();
            bad.bytes[at..at + v.len()].copy_from_slice(v);
            bad
        };
        refused(set(0, &[0]), "jump");
        for n in [0_u16, 1, 256, 511, 513, 8192, 0xffff] {
            refused(set(11, &n.to_le_bytes()), "bytes of a sector");
        }
        for n in [0_u8, 3, 7, 255] {
            refused(set(13, &[n]), "sectors of a cluster");
        }
        refused(set(14, &[0, 0]), "reserved sectors");
        refused(set(14, &[0xff, 0xff]), "data behind the end");
        refused(set(16, &[0]), "no tables");
        if fat32 {
            refused(set(36, &[0; 4]), "a table of no sectors");
            refused(set(36, &[0xff; 4]), "tables of 2^32 sectors");
            refused(set(32, &[0xff; 4]), "2^32 sectors");
            refused(set(40, &[0x83, 0]), "table 3 of 2 is in use");
            for root in [0_u32, 1, 102, 103, u32::MAX] {
                refused(set(44, &root.to_le_bytes()), "root folder out of range");
            }
            let e = drain(set(42, &[1, 0])).unwrap_err();
            assert_eq!(e.code(), Code::Unsupported);
        } else {
            refused(set(22, &[0xff, 0xff]), "tables of 65535 sectors");
            refused(set(17, &[0xff, 0xff]), "root folder over the end");
            refused(set(19, &[0xff, 0xff]), "65535 sectors");
            refused(set(19, &[1, 0]), "one sector");
        }
        for len in [0, 1, 511, 512, image.fat + 1, image.bytes.len() - 1] {
            let mut cut = image.clone();
            cut.bytes.truncate(len);
            refused(cut, "cut");
        }
    }
    // A table too small for the clusters: those without an entry cannot be used.
    let mut image = Fat::new(16, 5000).build(vec![Item::file("A", b"x")]);
    image.bytes[22] = 1;
    let volume = Volume::open(Arc::new(image.bytes), &Job::default()).unwrap();
    assert!(volume.info().notes[0].contains("254 of"), "{:?}", volume.info().notes);
}

#[test]
fn fat_chain_loops() {
    for image in images() {
        let a = first(&image, A);
        // To itself, to the start, to the middle; in the file, and in the folder.
        for (from, to) in [(a, a), (a + 3, a), (a + 2, a + 1), (a + 1, a + 1)] {
            let mut bad = image.clone();
            bad.set(from, to);
            refused(bad, "loop in a file");
        }
        let d = first(&image, D);
        let mut bad = image.clone();
        bad.set(d, d);
        refused(bad, "loop in a folder");
        if image.bits == 32 {
            let mut bad = image.clone();
            bad.set(2, 2);
            refused(bad, "loop in the root folder");
        }
        // Without a walk, too.
        let mut bad = image.clone();
        bad.set(d, d);
        let job = Job::default();
        let volume = Volume::open(Arc::new(bad.bytes), &job).unwrap();
        let started = Instant::now();
        assert_eq!(volume.lookup("D/B", &job).unwrap_err().code(), Code::Fat);
        mip_testkit::not_hanging(started);
    }
    // A loop through every cluster, with a size that needs more steps than there are.
    let mut image = Fat::new(32, 60_000).build(vec![Item::file("A", b"x")]);
    let a = first(&image, A);
    for n in a..60_001 {
        image.set(n, n + 1);
    }
    image.set(60_001, a);
    let at = image.record(A);
    image.bytes[at + 28..at + 32].fill(0xff);
    refused(image.clone(), "loop through all clusters");
    let job = Job::default();
    let volume = Volume::open(Arc::new(image.bytes), &job).unwrap();
    let node = volume.lookup("A", &job).unwrap().unwrap();
    assert_eq!(volume.open_file(&node, &job).map(|_| ()).unwrap_err().code(), Code::Fat);
}

#[test]
fn fat_chain_ends_and_numbers() {
    for image in images() {
        let a = first(&image, A);
        let clusters = ((image.bytes.len() - image.data) / image.cluster) as u32;
        let bad_mark = [0xff7, 0xfff7, 0x0fff_fff7][match image.bits {
            12 => 0,
            16 => 1,
            _ => 2,
        }];
        // Free, reserved, behind the last cluster, bad.
        for to in [0, 1, clusters + 2, clusters + 3, bad_mark] {
            let mut bad = image.clone();
            bad.set(a + 1, to);
            refused(bad, "a chain leaves the volume");
            let mut bad = image.clone();
            point(&mut bad, A, to.min(0xffff));
            refused(bad, "a file starts outside the volume");
            let mut bad = image.clone();
            point(&mut bad, D, to.min(0xffff));
            refused(bad, "a folder starts outside the volume");
        }
        let mut bad = image.clone();
        bad.set(a + 1, 0x0fff_ffff);
        refused(bad, "a chain ends before the size");
        let mut bad = image.clone();
        let at = bad.record(A);
        bad.bytes[at + 28..at + 32].fill(0xff);
        refused(bad, "a size of 4 GiB");
    }
}

#[test]
fn fat_cross_links() {
    for image in images() {
        let (a, c, d) = (first(&image, A), first(&image, C), first(&image, D));
        for (name, to) in [(C, a), (C, a + 2), (A, c - 3), (C, d), (D, a)] {
            let mut bad = image.clone();
            point(&mut bad, name, to);
            refused(bad, "two records share clusters");
        }
        let mut bad = image.clone();
        bad.set(a + 1, c);
        refused(bad, "a chain runs into another file");
    }
    // 2000 records over one file of 1 MiB would give 2 GiB.
    let mut image = Fat::new(32, 9000).build(vec![Item::file("A", &vec![0; 1 << 20])]);
    let a = first(&image, A);
    let records: Vec<u8> =
        (0..2000).flat_map(|n| record(&short(&format!("F{n}"), n), 0x20, a, 1 << 20)).collect();
    let folder = 5000;
    for (i, piece) in records.chunks(512).enumerate() {
        let at = image.position(folder + i as u32);
        image.bytes[at..at + piece.len()].copy_from_slice(piece);
        image.set(folder + i as u32, folder + i as u32 + 1);
    }
    image.set(folder + 124, 0x0fff_ffff);
    image.bytes[44..48].copy_from_slice(&folder.to_le_bytes());
    refused(image, "many names of one file");
}

/// Counts the reads of a source.
struct Counted(Vec<u8>, AtomicU64);

impl mip_base::ReadAt for Counted {
    fn size(&self) -> u64 {
        self.0.size()
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<usize> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.read_at(offset, buf)
    }
}

/// A page of the table costs far more than a step where the image is encrypted or packed.
#[test]
fn fat_a_chain_from_page_to_page_reads_each_page_once() {
    let (first, count, pages) = (3_u32, 32_768_u32, 33);
    let mut image = Fat::new(32, count + 8).build(vec![]);
    let step = |n: u32| first + n % 32 * 1024 + n / 32;
    for n in 1..count {
        image.set(step(n - 1), step(n));
    }
    image.set(step(count - 1), 0x0fff_ffff);
    let own = record(A, 0x20, first, count * 512);
    image.bytes[image.root..image.root + 32].copy_from_slice(&own);
    let source = Arc::new(Counted(image.bytes, AtomicU64::new(0)));
    let job = Job::default();
    let volume = Volume::open(source.clone(), &job).unwrap();
    let reads = |what: &str, of: &mut dyn FnMut()| {
        let before = source.1.load(Ordering::Relaxed);
        of();
        let reads = source.1.load(Ordering::Relaxed) - before;
        // The folder and its own entries of the table come on top.
        assert!(reads <= pages + 8, "{what}: {reads} reads");
    };
    let mut file = None;
    reads("walk", &mut || {
        let mut keep = |f: mip_fat::Found| {
            file = Some(f.node);
            Ok(())
        };
        volume.walk(&job, &mut keep).unwrap();
    });
    let file = file.unwrap();
    reads("open", &mut || drop(volume.open_file(&file, &job).unwrap()));
}

#[test]
fn fat_a_walk_refuses_a_chain_shorter_than_its_file() {
    for mut image in images() {
        let at = image.record(A) + 28;
        image.bytes[at..at + 4].copy_from_slice(&2561_u32.to_le_bytes());
        let volume = Volume::open(Arc::new(image.bytes), &Job::default()).unwrap();
        let e = volume.walk(&Job::default(), &mut |_| Ok(())).unwrap_err();
        assert_eq!(e.code(), Code::Fat);
        assert_eq!(e.path().as_deref(), Some("A"));
        assert!(e.message().contains("5 clusters, the size needs 6"), "{e}");
    }
}

#[test]
fn fat_a_walk_comes_back_from_where_it_was() {
    let deep = |n: &str| Item::folder(n, vec![Item::folder("x", vec![Item::file("y", b"1")])]);
    let image = Fat::new(16, 5000).build(vec![
        Item::file("m", b""),
        deep("bb"),
        Item::folder("n", vec![deep("o"), Item::file("p", b""), deep("q"), Item::file("a", b"")]),
        deep("a"),
        Item::folder("z", vec![]),
    ]);
    let volume = Volume::open(Arc::new(image.bytes), &Job::default()).unwrap();
    let mut paths = Vec::new();
    let mut keep = |f: mip_fat::Found| {
        paths.push(f.path);
        Ok(())
    };
    volume.walk(&Job::default(), &mut keep).unwrap();
    let want = "a a/x a/x/y bb bb/x bb/x/y m n n/a n/o n/o/x n/o/x/y n/p n/q n/q/x n/q/x/y z";
    assert_eq!(paths.join(" "), want);
}

#[test]
fn fat_folder_cycles() {
    for image in images() {
        // A folder in itself; a folder whose content is the root folder.
        let d = first(&image, D);
        let mut bad = image.clone();
        let inner = bad.position(d) + 64;
        let own = record(b"SELF       ", 0x10, d, 0);
        bad.bytes[inner..inner + 32].copy_from_slice(&own);
        refused(bad.clone(), "a folder in itself");
        // A path through it is bounded by its own length, and by the limit.
        let job = Job::default();
        let volume = Volume::open(Arc::new(bad.bytes), &job).unwrap();
        assert!(volume.lookup("D/SELF/SELF/SELF", &job).unwrap().is_some());
        let deep = format!("D{}", "/SELF".repeat(1_000_000));
        assert_eq!(volume.lookup(&deep, &job).unwrap_err().code(), Code::LimitDepth);
        if image.bits == 32 {
            let mut bad = image.clone();
            point(&mut bad, D, 2);
            refused(bad, "the root folder in itself");
        }
        let mut bad = image.clone();
        point(&mut bad, D, 0);
        refused(bad, "a folder at cluster 0");
    }
}

#[test]
fn fat_limits() {
    let mut items = vec![Item::file("F", b"x")];
    for _ in 0..70 {
        items = vec![Item::folder("D", items)];
    }
    let deep = Fat::new(12, 200).build(items).bytes;
    assert_eq!(drain_with(deep.clone(), &Job::default()).unwrap_err().code(), Code::LimitDepth);
    assert_eq!(drain_with(deep, &job(|l| l.path_depth = 80)).unwrap(), 71);
    let many = (0..60).map(|n| Item::file(&format!("F{n}"), b"x")).collect();
    let many = Fat::new(12, 200).build(many).bytes;
    let e = drain_with(many.clone(), &job(|l| l.entries = 59)).unwrap_err();
    assert_eq!(e.code(), Code::LimitEntries);
    assert_eq!(drain_with(many, &job(|l| l.entries = 60)).unwrap(), 60);
    // A folder of more than 2 MiB.
    let mut image = Fat::new(32, 5000).build(vec![]);
    for n in 2..5000 {
        image.set(n, n + 1);
    }
    image.set(5000, 0x0fff_ffff);
    refused(image, "a folder of 2.5 MiB");
    let token = CancelToken::new();
    let job = Job::new(Limits::default(), token.clone(), Arc::new(SilentProgress));
    token.cancel();
    let image = Fat::new(12, 100).build(vec![]).bytes;
    assert_eq!(drain_with(image, &job).unwrap_err().code(), Code::Cancelled);
}

#[test]
fn fat_names() {
    let with = |records: &[u8]| {
        let mut image = Fat::new(12, 100).build(vec![]);
        image.bytes[image.root..image.root + records.len()].copy_from_slice(records);
        image
    };
    let named = |long_name: &str| {
        let short = b"SHORT      ";
        with(&[long(long_name, short), record(short, 0x20, 0, 0)].concat())
    };
    assert_eq!(drain(named("good name")).unwrap(), 1);
    for bad in ["a/b", "../x", ".", "..", "a\0b/c", "tab\tin name", "esc\u{1b}[2J"] {
        // A NUL ends a name.
        if bad.contains('\0') {
            assert_eq!(drain(named(bad)).unwrap(), 1);
        } else {
            refused(named(bad), bad);
        }
    }
    // Half a surrogate pair.
    let mut image = named("xy");
    image.bytes[image.root + 1..image.root + 3].copy_from_slice(&[0x00, 0xd8]);
    refused(image, "half a surrogate");
    // Short names: a slash, a control character, nothing.
    for short in [b"A/B        ", b"A\x01B        ", b"           ", b".. /       "] {
        refused(with(&record(short, 0x20, 0, 0)), "short name");
    }
    // Parts in the wrong order, of 63 announced parts, of another name, twice: the short name.
    let parts = long(&"n".repeat(30), b"SHORT      ");
    let last = record(b"SHORT      ", 0x20, 0, 0);
    let (p3, p2, p1) = (&parts[..32], &parts[32..64], &parts[64..]);
    let mut huge = p3.to_vec();
    huge[0] = 0x40 | 0x3f;
    for bad in [
        [p2, p1].concat(),
        [p3, p1, p2].concat(),
        [p3, p2].concat(),
        [p3, p3, p1].concat(),
        huge,
        long("other", b"OTHER      "),
    ] {
        let image = with(&[bad, last.clone()].concat());
        let job = Job::default();
        let volume = Volume::open(Arc::new(image.bytes), &job).unwrap();
        let names: Vec<_> =
            volume.children(&volume.root(), &job).unwrap().into_iter().map(|c| c.0).collect();
        assert_eq!(names, ["SHORT"]);
    }
}

#[test]
fn fat_damage_anywhere_never_panics() {
    let mut state = 7_u64;
    let mut next = move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    for image in images() {
        // Boot sector, tables, folders: where structure is.
        let end = image.data + 10 * image.cluster;
        for _ in 0..3000 {
            let mut bad = image.clone();
            for _ in 0..1 + next() % 3 {
                let region = [512, image.fat + 64, end][next() % 3];
                let at = next() % region;
                bad.bytes[at] = [0, 0xff, 1, 0x80, next() as u8][next() % 5];
            }
            if let Err(e) = drain(bad) {
                let fine = [Code::Fat, Code::Unsupported, Code::LimitDepth, Code::Limit];
                assert!(fine.contains(&e.code()), "{e:?}");
            }
        }
    }
}
