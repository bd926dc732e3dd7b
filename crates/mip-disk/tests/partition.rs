//! Partition maps and kinds of volumes: golden values of 7-Zip, other tools' disks, hostile maps.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    missing_docs
)]

mod common;

use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use common::{Lcg, gunzip, job, source};
use mip_base::{Code, Error, Job, ReadAt, Result, Source};
use mip_disk::partition::{Map, Scheme, read};
use mip_disk::volume::{Kind, identify};
use mip_testkit::partition::{ApmEntry, Gpt, GptEntry, apm_disk, gpt_disk, guid, put_mbr};
use mip_testkit::shared::fixtures;

fn map(disk: Vec<u8>) -> Result<Map> {
    read(&source(disk), &Job::default())
}

fn refused(disk: Vec<u8>) -> Error {
    map(disk).err().unwrap()
}

/// Index, kind, start and size of each partition.
fn rows(map: &Map) -> Vec<(u32, &str, u64, u64)> {
    map.partitions.iter().map(|p| (p.index, p.kind.as_str(), p.start, p.size)).collect()
}

fn entry(kind: [u8; 16], first: u64, last: u64) -> GptEntry {
    GptEntry { kind, first, last, name: "disk image".into() }
}

fn two() -> Gpt {
    let mut gpt = Gpt::new(200, vec![entry(guid::HFS, 40, 99), entry(guid::APFS, 100, 139)]);
    gpt.entries[1].name = "b\u{fc}ro \u{1f34e}".into();
    gpt
}

/// Rewrites the checksum of the GPT header at byte `at` after a change.
fn seal(disk: &mut [u8], at: usize) {
    disk[at + 16..at + 20].fill(0);
    let crc = crc32fast::hash(&disk[at..at + 92]);
    disk[at + 16..at + 20].copy_from_slice(&crc.to_le_bytes());
}

#[test]
fn fixtures_are_what_7_zip_lists() {
    let Some(dir) = fixtures("partition") else { return };
    let apm = map(gunzip(&dir.join("hfs-raw/goapfs-hfs-apm.img.gz"))).unwrap();
    assert_eq!(apm.scheme, Scheme::Apm);
    let want = [(1, "Apple_partition_map", 512, 32256), (2, "Apple_HFS", 32768, 12_550_144)];
    assert_eq!(rows(&apm), want);
    assert_eq!(apm.partitions[1].name, "disk image");
    let disk = source(gunzip(&dir.join("hfs-raw/homebrew-test.dmg.gz")));
    let gpt = read(&disk, &Job::default()).unwrap();
    assert_eq!(gpt.scheme, Scheme::Gpt);
    assert_eq!(rows(&gpt), [(1, "Apple_APFS", 20480, 2_056_192)]);
    assert_eq!(gpt.partitions[0].name, "disk image");
    assert!(gpt.notes.is_empty() && apm.notes.is_empty());
    let volume: Source = Arc::new(gpt.partitions[0].section(&disk).unwrap());
    assert_eq!(identify(&volume).unwrap(), Kind::Apfs);
    for (name, kind) in [
        ("hfs-raw/tika-test-documents.dmg", Kind::HfsPlus),
        ("apfs-raw/dfvfs-apfs.raw", Kind::Apfs),
    ] {
        let disk = source(std::fs::read(dir.join(name)).unwrap());
        let map = read(&disk, &Job::default()).unwrap();
        assert_eq!((map.scheme, rows(&map)), (Scheme::None, vec![(1, "", 0, disk.size())]));
        assert_eq!(identify(&disk).unwrap(), kind);
    }
}

#[test]
fn a_gpt_is_read_with_sectors_of_every_size() {
    for sector in [512, 2048, 4096] {
        let map = map(Gpt { sector, ..two() }.build()).unwrap();
        let s = sector as u64;
        assert_eq!(map.scheme, Scheme::Gpt);
        let want = [(1, "Apple_HFS", 40 * s, 60 * s), (2, "Apple_APFS", 100 * s, 40 * s)];
        assert_eq!(rows(&map), want);
        assert_eq!(map.partitions[1].name, "b\u{fc}ro \u{1f34e}");
        assert!(map.notes.is_empty());
    }
    let other = Gpt::new(200, vec![entry(*b"0123456789abcdef", 40, 50)]);
    // Python: str(uuid.UUID(bytes_le=b"0123456789abcdef")).upper()
    let want = "33323130-3534-3736-3839-616263646566";
    assert_eq!(map(other.build()).unwrap().partitions[0].kind, want);
}

#[test]
fn b17_a_gpt_with_a_bad_first_copy_is_read_from_its_second() {
    for at in [0x208, 0x210, 0x218, 0x250, 2 * 512 + 33] {
        let mut disk = two().build();
        disk[at] ^= 0x40;
        let map = map(disk).unwrap();
        assert_eq!(map.scheme, Scheme::Gpt, "{at:#x}");
        assert_eq!(map.partitions.len(), 2, "{at:#x}");
        assert!(map.notes[0].contains("backup"), "{at:#x}: {:?}", map.notes);
    }
    // No trace of the first copy, and the protective MBR says that there is one.
    let mut disk = two().build();
    disk[512..1024].fill(0);
    assert_eq!(map(disk.clone()).unwrap().partitions.len(), 2);
    // Both are bad.
    let last = disk.len() - 512;
    disk[last + 0x48] ^= 1;
    let e = refused(disk);
    assert_eq!(e.code(), Code::PartitionMap);
    let mut disk = two().build();
    disk[0x210] ^= 1;
    disk[last + 0x10] ^= 1;
    assert!(refused(disk).message().contains("both copies"));
}

#[test]
fn b17_a_gpt_that_claims_too_many_or_odd_entries_is_refused() {
    let start = Instant::now();
    for count in [129, 1 << 31, u32::MAX] {
        let e = refused(Gpt { count, ..two() }.build());
        assert_eq!(e.code(), Code::LimitEntries);
        assert_eq!(e.limit_and_value(), Some((128, u64::from(count))));
    }
    for entry_size in [0, 1, 64, 127, 129, 132, 8192, u32::MAX] {
        let e = refused(Gpt { entry_size, ..two() }.build());
        assert_eq!(e.code(), Code::PartitionMap, "{entry_size}");
    }
    // Entries that start past the end of the disk.
    for at in [200_u64, u64::MAX / 512, u64::MAX] {
        let mut disk = two().build();
        for header in [512, disk.len() - 512] {
            disk[header + 72..header + 80].copy_from_slice(&at.to_le_bytes());
            seal(&mut disk, header);
        }
        assert_eq!(refused(disk).code(), Code::PartitionMap);
    }
    mip_testkit::not_hanging(start);
}

#[test]
fn b17_partitions_that_cannot_be_are_refused() {
    for (first, last, what) in [
        (40, 39, "from sector 40 to sector 39"),
        (0, u64::MAX, "from sector 0"),
        (u64::MAX / 512, u64::MAX / 512, "from sector"),
        (40, 200, "but the disk has"),
    ] {
        let e = refused(Gpt::new(200, vec![entry(guid::HFS, first, last)]).build());
        assert_eq!(e.code(), Code::PartitionMap);
        assert!(e.message().contains(what), "{e}");
    }
    let overlap = Gpt::new(200, vec![entry(guid::HFS, 40, 99), entry(guid::APFS, 99, 139)]);
    assert!(refused(overlap.build()).message().contains("partitions 1 and 2 overlap"));
}

#[test]
fn b17_a_protective_mbr_alone_is_refused() {
    let mut disk = vec![0; 100 * 512];
    put_mbr(&mut disk, 0, &[(0xEE, 1, 99)]);
    let e = refused(disk);
    assert_eq!(e.code(), Code::PartitionMap);
    assert!(e.message().contains("announces a GPT"), "{e}");
}

const APM: &[ApmEntry] = &[
    ApmEntry { name: "Apple", kind: "Apple_partition_map", first: 1, blocks: 3 },
    ApmEntry { name: "disk image", kind: "Apple_HFS", first: 8, blocks: 40 },
    ApmEntry { name: "", kind: "Apple_Free", first: 48, blocks: 16 },
];

#[test]
fn an_apm_is_read_with_blocks_of_its_own_size_or_of_512() {
    for (block, driver) in [(512, 512), (512, 2048), (2048, 2048), (4096, 4096), (512, 0)] {
        let map = map(apm_disk(block, 64, driver, 3, APM)).unwrap();
        let b = block as u64;
        let want = [
            (1, "Apple_partition_map", b, 3 * b),
            (2, "Apple_HFS", 8 * b, 40 * b),
            (3, "Apple_Free", 48 * b, 16 * b),
        ];
        assert_eq!((map.scheme, rows(&map)), (Scheme::Apm, want.to_vec()), "{block} {driver}");
    }
}

#[test]
fn b17_an_apm_that_lies_ends_at_once() {
    let start = Instant::now();
    for count in [129, 1 << 31, u32::MAX] {
        assert_eq!(refused(apm_disk(512, 64, 512, count, APM)).code(), Code::LimitEntries);
    }
    for count in [0, 4, 128] {
        assert_eq!(refused(apm_disk(512, 64, 512, count, APM)).code(), Code::PartitionMap);
    }
    let outside = [ApmEntry { first: u32::MAX, blocks: u32::MAX, ..APM[1].clone() }];
    assert_eq!(refused(apm_disk(512, 64, 512, 1, &outside)).code(), Code::PartitionMap);
    let long = [ApmEntry { blocks: u32::MAX, ..APM[1].clone() }, APM[1].clone()];
    let map = map(apm_disk(512, 64, 512, 2, &long)).unwrap();
    assert_eq!(map.partitions[0].size, 56 * 512);
    assert!(map.notes[0].contains("past the end") && map.notes[1].contains("overlap"));
    mip_testkit::not_hanging(start);
}

#[test]
fn an_mbr_is_read_and_named() {
    let mut disk = vec![0; 200 * 512];
    put_mbr(&mut disk, 0, &[(0xAF, 8, 40), (0x0C, 48, 50), (0x83, 98, 2), (0x05, 100, 100)]);
    put_mbr(&mut disk, 100, &[(0x06, 2, 10), (0x05, 20, 20)]);
    put_mbr(&mut disk, 120, &[(0x07, 4, 16)]);
    let map = map(disk).unwrap();
    let want = [
        (1, "Apple_HFS", 8 * 512, 40 * 512),
        (2, "DOS_FAT_32", 48 * 512, 50 * 512),
        (3, "MBR type 0x83", 98 * 512, 2 * 512),
        (5, "DOS_FAT_16", 102 * 512, 10 * 512),
        (6, "Windows_NTFS", 124 * 512, 16 * 512),
    ];
    assert_eq!((map.scheme, rows(&map)), (Scheme::Mbr, want.to_vec()));
}

#[test]
fn b17_extended_partitions_that_loop_or_leave_the_disk_end() {
    let extended = |next: u32| {
        let mut disk = vec![0; 200 * 512];
        put_mbr(&mut disk, 0, &[(0x05, 100, 100)]);
        put_mbr(&mut disk, 100, &[(0x06, 2, 1), (0x05, 10, 20)]);
        put_mbr(&mut disk, 110, &[(0x06, 2, 1), (0x05, next, 20)]);
        disk
    };
    for next in [0, 10, 9, 99, 100, u32::MAX] {
        assert_eq!(refused(extended(next)).code(), Code::PartitionMap, "{next}");
    }
    // A chain through every sector is cut off by the limit on entries.
    let mut disk = vec![0; 4000 * 512];
    put_mbr(&mut disk, 0, &[(0x0F, 1, 3999)]);
    for at in 1..3998 {
        put_mbr(&mut disk, at, &[(0x06, 1, 1), (0x05, at as u32, 1)]);
    }
    assert_eq!(refused(disk).code(), Code::LimitEntries);
    // So is one whose tables have no partitions.
    let mut disk = vec![0; 4000 * 512];
    put_mbr(&mut disk, 0, &[(0x0F, 1, 3999)]);
    for at in 1..3998 {
        put_mbr(&mut disk, at, &[(0x05, at as u32, 1)]);
    }
    assert_eq!(refused(disk).code(), Code::LimitEntries);
    let mut disk = vec![0; 100 * 512];
    put_mbr(&mut disk, 0, &[(0xAF, 100, 1)]);
    assert_eq!(refused(disk).code(), Code::PartitionMap);
}

#[test]
fn b17_no_two_partitions_have_one_number() {
    let mut disk = vec![0; 200 * 512];
    put_mbr(&mut disk, 0, &[(0x05, 100, 20), (0x0F, 150, 20)]);
    put_mbr(&mut disk, 100, &[(0x06, 2, 1), (0x05, 10, 5)]);
    put_mbr(&mut disk, 110, &[(0x06, 2, 1)]);
    put_mbr(&mut disk, 150, &[(0xAF, 2, 1)]);
    let numbers: Vec<u32> = map(disk).unwrap().partitions.iter().map(|p| p.index).collect();
    assert_eq!(numbers, [5, 6, 7]);
}

#[test]
fn a_bare_volume_or_nothing_at_all_has_no_map() {
    for disk in [vec![], vec![0x55], vec![0; 511], vec![0; 4096]] {
        let len = disk.len() as u64;
        let map = map(disk).unwrap();
        assert_eq!((map.scheme, rows(&map)), (Scheme::None, vec![(1, "", 0, len)]));
    }
    // Boot code with the signature and bytes that are no table.
    let mut boot = vec![0x90; 4096];
    boot[510..512].copy_from_slice(&[0x55, 0xAA]);
    assert_eq!(map(boot).unwrap().scheme, Scheme::None);
}

#[test]
fn precedence_is_gpt_then_apm_then_mbr() {
    let mut disk = apm_disk(512, 64, 512, 3, APM);
    put_mbr(&mut disk, 0, &[(0xAF, 8, 40)]);
    assert_eq!(map(disk).unwrap().scheme, Scheme::Apm);
    // A hybrid disc whose APM lies behind the GPT's header: blocks of 2048.
    assert_eq!(map(gpt_disk(b"x")).unwrap().partitions[0].size, 512);
    let gpt = two().build();
    let mut both = gpt.clone();
    both[..4].copy_from_slice(b"ER\x08\x00");
    assert_eq!(map(both).unwrap().scheme, Scheme::Gpt);
    // The same, with a GPT that is damaged twice and an APM that is not.
    let mut both = gpt;
    both[..4].copy_from_slice(b"ER\x10\x00");
    both[8 * 512..10 * 512].copy_from_slice(&apm_disk(4096, 3, 4096, 1, &APM[1..2])[4096..5120]);
    both[0x250] ^= 1;
    let last = both.len() - 512;
    both[last + 16] ^= 1;
    let map = map(both).unwrap();
    assert_eq!(map.scheme, Scheme::Apm);
    assert!(map.notes.iter().any(|n| n.contains("the GPT is not used")), "{:?}", map.notes);
}

#[test]
fn volumes_are_named_by_their_magic() {
    let with = |parts: &[(usize, &[u8])]| {
        let mut volume = vec![0; 70_000];
        for (at, bytes) in parts {
            volume[*at..*at + bytes.len()].copy_from_slice(bytes);
        }
        identify(&source(volume)).unwrap()
    };
    assert_eq!(with(&[(1024, b"H+\0\x04")]), Kind::HfsPlus);
    assert_eq!(with(&[(1024, b"HX\0\x05")]), Kind::Hfsx);
    assert_eq!(with(&[(1024, b"H+\0\x09")]), Kind::Unknown);
    assert_eq!(with(&[(1024, b"BD"), (1148, b"H+")]), Kind::HfsWrapped);
    assert_eq!(with(&[(1024, b"BD")]), Kind::Hfs);
    assert_eq!(with(&[(32, b"NXSB")]), Kind::Apfs);
    assert_eq!(with(&[(3, b"NTFS    ")]), Kind::Ntfs);
    assert_eq!(with(&[(3, b"EXFAT   ")]), Kind::ExFat);
    assert_eq!(with(&[(8, b"\x01\0"), (88, b"CS")]), Kind::CoreStorage);
    assert_eq!(with(&[(32_769, b"CD001")]), Kind::Iso9660);
    assert_eq!(with(&[(32_769, b"BEA01"), (34_817, b"NSR02")]), Kind::Udf);
    assert_eq!(with(&[(32_769, b"CD001"), (34_817, b"NSR02")]), Kind::Iso9660);
    assert_eq!(with(&[(1024, b"H+\0\x04"), (32_769, b"CD001")]), Kind::HfsPlus);
    assert_eq!(with(&[]), Kind::Empty);
    assert_eq!(with(&[(5000, b"x")]), Kind::Empty);
    assert_eq!(with(&[(40_000, b"x")]), Kind::Unknown);
    for len in [0, 1, 35, 1025, 4095] {
        assert_eq!(identify(&source(vec![0; len])).unwrap(), Kind::Empty);
    }
    assert_eq!(identify(&source(b"hello".as_slice())).unwrap(), Kind::Unknown);
}

/// A source that gives one byte at a time.
struct Trickle(Vec<u8>);

impl ReadAt for Trickle {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<usize> {
        let n = buf.len().min(1);
        self.0.read_at(offset, &mut buf[..n])
    }
}

#[test]
fn one_byte_reads_give_the_same_map() {
    for disk in [two().build(), apm_disk(2048, 64, 2048, 3, APM)] {
        let slow: Source = Arc::new(Trickle(disk.clone()));
        assert_eq!(read(&slow, &Job::default()).unwrap(), map(disk).unwrap());
    }
}

#[test]
fn disks_of_other_tools_are_what_they_were_made_as() {
    let dir = std::env::temp_dir().join(format!("mip-disk-{}", std::process::id()));
    std::fs::create_dir_all(dir.join("tree")).unwrap();
    std::fs::write(dir.join("tree/file"), "hello").unwrap();
    let tool = |command: &str, size: usize, want: (Scheme, Kind)| {
        let file = dir.join("disk");
        std::fs::write(&file, vec![0; size]).unwrap();
        let words: Vec<&str> = command.split(' ').collect();
        let done = Command::new(words[0]).args(&words[1..]).current_dir(&dir).output();
        match done {
            Ok(out) if out.status.success() => {}
            other => return eprintln!("SKIPPED {command}: {:?}", other.map(|o| o.status)),
        }
        let disk = source(std::fs::read(&file).unwrap());
        let map = read(&disk, &Job::default()).unwrap();
        let last: Source = Arc::new(map.partitions.last().unwrap().section(&disk).unwrap());
        assert_eq!((map.scheme, identify(&last).unwrap()), want, "{command}: {map:?}");
    };
    tool("mkfs.vfat -F12 disk", 1_474_560, (Scheme::None, Kind::Fat));
    tool("mkfs.vfat -F16 disk", 20 << 20, (Scheme::None, Kind::Fat));
    tool("mkfs.vfat -F32 disk", 40 << 20, (Scheme::None, Kind::Fat));
    tool("mkfs.vfat --mbr=y disk", 8 << 20, (Scheme::None, Kind::Fat));
    tool("mformat -i disk -t 16 -h 64 -s 16 ::", 8 << 20, (Scheme::None, Kind::Fat));
    tool("hformat -l x disk", 2 << 20, (Scheme::None, Kind::Hfs));
    tool("genisoimage -quiet -o disk tree", 0, (Scheme::None, Kind::Iso9660));
    tool("genisoimage -quiet -udf -o disk tree", 0, (Scheme::None, Kind::Iso9660));
    tool("genisoimage -quiet -hfs -o disk tree", 0, (Scheme::None, Kind::Hfs));
    tool("genisoimage -quiet -hfs -part -o disk tree", 0, (Scheme::Apm, Kind::Hfs));
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn mutated_maps_never_panic() {
    let mut random = Lcg(17);
    let mut mbr = vec![0; 200 * 512];
    put_mbr(&mut mbr, 0, &[(0xAF, 8, 40), (0x05, 100, 100)]);
    put_mbr(&mut mbr, 100, &[(0x06, 2, 10), (0x05, 20, 20)]);
    let disks = [two().build(), apm_disk(512, 200, 512, 3, APM), mbr];
    for round in 0..6000 {
        let mut disk = disks[round % 3].clone();
        for _ in 0..=random.below(4) {
            let at = [random.below(2048), random.below(disk.len())][random.below(2)];
            disk[at] = [0, 1, 0x7F, 0x80, 0xFF, disk[at] ^ 1][random.below(6)];
        }
        if round % 2 == 0 && disk[512..].starts_with(b"EFI PART") {
            seal(&mut disk, 512);
        }
        disk.truncate(disk.len() - [0, random.below(disk.len())][random.below(2)]);
        let disk = source(disk);
        if let Ok(map) = read(&disk, &job(|_| ())) {
            for p in &map.partitions {
                assert!(p.size > 0 || map.scheme == Scheme::None);
                identify(&(Arc::new(p.section(&disk).unwrap()) as Source)).unwrap();
            }
        }
    }
}
