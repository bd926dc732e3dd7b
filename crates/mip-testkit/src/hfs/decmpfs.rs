//! Compressed files: what goes behind the `com.apple.decmpfs` header and into the resource fork.

use std::io::Write as _;

/// Bytes of a file in one block.
const BLOCK: usize = 65_536;

fn zlib(data: &[u8]) -> Vec<u8> {
    let mut z = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    z.write_all(data).unwrap();
    let packed = z.finish().unwrap();
    if packed.len() <= data.len() { packed } else { [&[0xff][..], data].concat() }
}

/// (what follows the header in the attribute, the resource fork).
pub(super) fn encode(kind: u32, data: &[u8]) -> (Vec<u8>, Vec<u8>) {
    match kind {
        1 => (data.to_vec(), Vec::new()),
        3 => (zlib(data), Vec::new()),
        4 => (Vec::new(), zlib_fork(data)),
        9 => ([&[0xcc][..], data].concat(), Vec::new()),
        10 => {
            let blocks: Vec<_> = data.chunks(BLOCK).map(|b| [&[0xcc][..], b].concat()).collect();
            (Vec::new(), offset_table(&blocks))
        }
        _ => panic!("decmpfs type {kind} is not encoded here"),
    }
}

/// Type 4: a resource file whose one resource (`cmpf`) starts with a little-endian table: count,
/// then offset (from the table) and size of each block.
fn zlib_fork(data: &[u8]) -> Vec<u8> {
    let blocks: Vec<_> = data.chunks(BLOCK).map(zlib).collect();
    let n = u32::try_from(blocks.len()).unwrap();
    let mut table = n.to_le_bytes().to_vec();
    let mut at = 4 + 8 * n;
    for b in &blocks {
        let len = u32::try_from(b.len()).unwrap();
        table.extend(at.to_le_bytes());
        table.extend(len.to_le_bytes());
        at += len;
    }
    table.extend(blocks.concat());
    let mut body = u32::try_from(table.len()).unwrap().to_be_bytes().to_vec();
    body.extend(table);
    resource_file(*b"cmpf", 1, &body)
}

/// Types 8, 10, 12: little-endian offsets of all blocks and of the end, then the blocks.
fn offset_table(blocks: &[Vec<u8>]) -> Vec<u8> {
    let mut at = u32::try_from(4 * (blocks.len() + 1)).unwrap();
    let mut out = at.to_le_bytes().to_vec();
    for b in blocks {
        at += u32::try_from(b.len()).unwrap();
        out.extend(at.to_le_bytes());
    }
    out.extend(blocks.concat());
    out
}

/// A resource file: header, `body` (length and data of one resource), map with one reference.
pub(super) fn resource_file(kind: [u8; 4], id: i16, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len()).unwrap();
    let head = [256, 256 + len, len, 50];
    let mut out: Vec<u8> = head.iter().flat_map(|n: &u32| n.to_be_bytes()).collect();
    out.resize(256, 0);
    out.extend(body);
    // Map: room for a copy of the header (16), next map (4), file (2), attributes (2).
    out.extend([0; 24]);
    // Offsets of the type list and of the name list from the map; number of types less one.
    for n in [28u16, 50, 0] {
        out.extend(n.to_be_bytes());
    }
    out.extend(kind);
    // Number of resources less one; offset of the reference list from the type list.
    for n in [0u16, 10] {
        out.extend(n.to_be_bytes());
    }
    out.extend(id.to_be_bytes());
    out.extend([0xff, 0xff]); // no name
    out.extend([0; 8]); // attributes, offset of the data (0), handle
    out
}
