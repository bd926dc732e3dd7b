//! File data as HFS+ and APFS store it compressed: the `com.apple.decmpfs` attribute and, for
//! larger files, the resource fork.
//!
//! Layout after the public headers of xnu (`sys/decmpfs.h`) and the documents of libfshfs. LZVN is
//! written by a greedy matcher, LZFSE as one LZVN or uncompressed block.

use std::collections::HashMap;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;

/// Bytes of file data in one compressed block of a resource fork.
const BLOCK: usize = 65_536;

/// How a file is stored. The number is the type in the header of the attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decmpfs {
    /// Type 1: the bytes as they are, in the attribute.
    Plain = 1,
    /// Type 3: zlib, in the attribute.
    ZlibInline = 3,
    /// Type 4: zlib, in the resource fork.
    ZlibFork = 4,
    /// Type 7: LZVN, in the attribute.
    LzvnInline = 7,
    /// Type 8: LZVN, in the resource fork.
    LzvnFork = 8,
    /// Type 9: the bytes behind one marker byte, in the attribute.
    MarkedInline = 9,
    /// Type 10: the bytes in blocks, in the resource fork.
    MarkedFork = 10,
    /// Type 11: LZFSE, in the attribute.
    LzfseInline = 11,
    /// Type 12: LZFSE, in the resource fork.
    LzfseFork = 12,
}

impl Decmpfs {
    /// The attribute, and the resource fork where the type has one.
    #[must_use]
    pub fn encode(self, data: &[u8]) -> (Vec<u8>, Option<Vec<u8>>) {
        let mut xattr = b"fpmc".to_vec();
        xattr.extend((self as u32).to_le_bytes());
        xattr.extend((data.len() as u64).to_le_bytes());
        let fork = match self {
            Self::Plain => {
                xattr.extend(data);
                None
            }
            Self::ZlibInline => {
                xattr.extend(zlib(data));
                None
            }
            Self::LzvnInline => {
                xattr.extend(lzvn(data));
                None
            }
            Self::MarkedInline => {
                xattr.push(0xCC);
                xattr.extend(data);
                None
            }
            Self::LzfseInline => {
                xattr.extend(lzfse(data));
                None
            }
            Self::ZlibFork => Some(zlib_fork(data)),
            Self::LzvnFork => Some(offsets_fork(data, lzvn)),
            Self::MarkedFork => Some(offsets_fork(data, |b| [&[0xCC], b].concat())),
            Self::LzfseFork => Some(offsets_fork(data, lzfse)),
        };
        (xattr, fork)
    }
}

fn zlib(data: &[u8]) -> Vec<u8> {
    let mut z = ZlibEncoder::new(Vec::new(), Compression::default());
    z.write_all(data).expect("memory");
    z.finish().expect("memory")
}

/// An LZVN stream: literals, and matches of the same four bytes seen last.
fn lzvn(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut seen: HashMap<[u8; 4], usize> = HashMap::new();
    let (mut at, mut literals) = (0, 0);
    while at + 4 <= data.len() {
        let word = [data[at], data[at + 1], data[at + 2], data[at + 3]];
        let before = seen.insert(word, at);
        let Some(distance) = before.and_then(|b| u16::try_from(at - b).ok()) else {
            at += 1;
            continue;
        };
        lzvn_literals(&data[literals..at], &mut out);
        let from = at - usize::from(distance);
        let mut length = data[at..].iter().zip(&data[from..]).take_while(|(a, b)| a == b).count();
        at += length;
        literals = at;
        // "Large distance" takes 3 to 10 bytes of the match, "previous distance" the rest.
        let first = length.min(10);
        out.push(byte(first - 3) << 3 | 7);
        out.extend(distance.to_le_bytes());
        length -= first;
        while length > 15 {
            let more = length.min(271);
            out.extend([0xF0, byte(more - 16)]);
            length -= more;
        }
        if length > 0 {
            out.push(0xF0 | byte(length));
        }
    }
    lzvn_literals(&data[literals..], &mut out);
    out.extend([6, 0, 0, 0, 0, 0, 0, 0]);
    out
}

fn lzvn_literals(data: &[u8], out: &mut Vec<u8>) {
    for run in data.chunks(271) {
        if run.len() < 16 {
            out.push(0xE0 | byte(run.len()));
        } else {
            out.extend([0xE0, byte(run.len() - 16)]);
        }
        out.extend(run);
    }
}

fn byte(n: usize) -> u8 {
    u8::try_from(n).expect("at most 255")
}

/// An LZFSE stream of one block: LZVN, or uncompressed where that is shorter.
fn lzfse(data: &[u8]) -> Vec<u8> {
    let small = lzvn(data);
    let mut out = Vec::new();
    if small.len() < data.len() {
        out.extend(b"bvxn");
        out.extend(u32_of(data.len()).to_le_bytes());
        out.extend(u32_of(small.len()).to_le_bytes());
        out.extend(small);
    } else {
        out.extend(b"bvx-");
        out.extend(u32_of(data.len()).to_le_bytes());
        out.extend(data);
    }
    out.extend(b"bvx$");
    out
}

/// Type 4: a resource fork with one resource: count, offsets and sizes, zlib blocks. A block that
/// does not get smaller is stored behind a byte 0xFF.
fn zlib_fork(data: &[u8]) -> Vec<u8> {
    let blocks: Vec<Vec<u8>> = data
        .chunks(BLOCK)
        .map(|b| {
            let z = zlib(b);
            if z.len() > b.len() { [&[0xFF], b].concat() } else { z }
        })
        .collect();
    let mut resource = u32_of(blocks.len()).to_le_bytes().to_vec();
    let mut at = 4 + 8 * blocks.len();
    for b in &blocks {
        resource.extend(u32_of(at).to_le_bytes());
        resource.extend(u32_of(b.len()).to_le_bytes());
        at += b.len();
    }
    resource.extend(blocks.concat());

    let mut fork = vec![0; 0x100];
    let data_length = 4 + resource.len();
    let header = [0x100, 0x100 + data_length, data_length, 50];
    for (i, field) in header.into_iter().enumerate() {
        fork[4 * i..4 * i + 4].copy_from_slice(&u32_of(field).to_be_bytes());
    }
    fork.extend(u32_of(resource.len()).to_be_bytes());
    fork.extend(resource);
    // The resource map: one type 'cmpf' with one resource, number 1, at offset 0.
    let mut map = [0u8; 50];
    map[24..28].copy_from_slice(&[0, 28, 0, 50]);
    map[30..34].copy_from_slice(b"cmpf");
    map[36..38].copy_from_slice(&10u16.to_be_bytes());
    map[38..40].copy_from_slice(&1u16.to_be_bytes());
    map[40..42].copy_from_slice(&u16::MAX.to_be_bytes());
    fork.extend(map);
    fork
}

/// Types 8, 10 and 12: offsets of all blocks and of the end, then the blocks.
fn offsets_fork(data: &[u8], encode: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let blocks: Vec<Vec<u8>> = data.chunks(BLOCK).map(encode).collect();
    let mut at = 4 * (blocks.len() + 1);
    let mut fork = u32_of(at).to_le_bytes().to_vec();
    for b in &blocks {
        at += b.len();
        fork.extend(u32_of(at).to_le_bytes());
    }
    fork.extend(blocks.concat());
    fork
}

fn u32_of(n: usize) -> u32 {
    u32::try_from(n).expect("a small fork")
}
