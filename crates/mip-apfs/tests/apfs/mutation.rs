//! Random changes with right checksums: whatever comes out, it comes soon and is no panic.

use std::time::Instant;

use mip_testkit::apfs::{Container, Decmpfs, Volume};

use crate::common::read_all;

const RUNS: u32 = 6000;

struct Random(u64);

impl Random {
    /// xorshift64
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

#[test]
fn mutated_metadata_ends_soon_and_without_a_panic() {
    let volume = Volume::new("v")
        .file("a/b/file", vec![7; 10_000])
        .hard_link("a/other name", "a/b/file")
        .file("z/two", "2")
        .symlink("z/link", "two")
        .xattr("z/two", "com.example", b"x")
        .xattr_stream("z/two", "com.example.stream", b"y")
        .decmpfs("packed", Decmpfs::ZlibFork, &[3; 70_000])
        .sparse("holes", 50_000, &[(8192, b"z")])
        .extent_blocks(1)
        .node_records(4);
    let (image, layout) = Container::new().volume(volume).build();
    let (top, v) = (layout.newest(), &layout.newest().volumes[0]);
    let mut objects = vec![0, top.superblock, top.map, top.omap, v.superblock, v.omap];
    for nodes in [&top.omap_nodes, &v.omap_nodes, &v.fs_nodes] {
        objects.extend(nodes.iter().map(|n| n.offset));
    }
    let mut random = Random(0x6d69_7061_7066_7321);
    let (mut good, mut refused) = (0, 0);
    for run in 0..RUNS {
        let mut copy = image.clone();
        for _ in 0..=random.below(3) {
            let object = objects[random.below(objects.len() as u64) as usize];
            // Most of what matters is at the start of an object, or in what it uses.
            let used: Vec<u64> = (8..4096).filter(|i| image[(object + i) as usize] != 0).collect();
            let at = match random.below(3) {
                0 => object + 8 + random.below(120),
                _ => object + used[random.below(used.len() as u64) as usize],
            };
            let width = 1 << random.below(4);
            let at = (at / width * width).max(object + 8);
            let value = match random.below(6) {
                0 => 0,
                1 => u64::MAX,
                2 => 1 << random.below(64),
                3 => random.below(300),
                4 => objects[random.below(objects.len() as u64) as usize] / 4096,
                _ => random.next(),
            };
            layout.patch(&mut copy, at, &value.to_le_bytes()[..width as usize]);
        }
        let start = Instant::now();
        match read_all(&copy) {
            Ok(_) => good += 1,
            Err(e) => {
                refused += 1;
                assert!(!e.message().contains('\n'), "run {run}: {e}");
            }
        }
        mip_testkit::not_hanging(start);
    }
    // Both happen often: the changes reach the reader, and not all of them matter.
    assert!(good > RUNS / 20 && refused > RUNS / 3, "{good} good, {refused} refused");
}
