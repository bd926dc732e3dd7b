//! A builder of bills of materials (Bom files), as far as packages need them.
//!
//! Written from the published descriptions of the format (`BOMStore`: a table of blocks, named
//! variables, and trees whose leaves pair a path record with its parent and name). All numbers
//! are big-endian.

use std::collections::BTreeMap;

use crate::tree::{Content, TIME, Tree};

/// The Bom of `tree` with every node owned by `uid`:`gid`.
///
/// # Panics
/// When the tree has more nodes than one leaf of 4096 bytes holds (510).
#[must_use]
pub fn bom(tree: &Tree, uid: u32, gid: u32) -> Vec<u8> {
    let mut store = Store { blocks: vec![Vec::new()] };
    let mut rows = vec![(String::new(), 0o040_755, Content::Dir)];
    rows.extend(tree.nodes().map(|(p, n)| (p.to_owned(), n.mode, n.content.clone())));
    assert!(rows.len() <= 510, "more nodes than one leaf holds");

    // Path ids count from 1; the root's name is "." and its parent 0.
    let ids: BTreeMap<&str, u32> = rows.iter().map(|(p, ..)| p.as_str()).zip(1..).collect();
    let mut leaf = Vec::new();
    let mut keys = Vec::new();
    for (path, mode, content) in &rows {
        let (above, name) = match path.rsplit_once('/') {
            Some((above, name)) => (ids[above], name),
            None if path.is_empty() => (0, "."),
            None => (1, path.as_str()),
        };
        let info = store.add(path_info(*mode, content, uid, gid));
        let id = store.add(words(&[ids[path.as_str()], info]));
        let mut key = words(&[above]);
        key.extend(name.as_bytes());
        key.push(0);
        keys.push((above, name.to_owned(), id, store.add(key)));
    }
    keys.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    for (_, _, id, key) in keys {
        leaf.extend(words(&[id, key]));
    }

    let count = u32::try_from(rows.len()).expect("few nodes");
    let variables = [
        // mkbom counts one more path than there are.
        ("BomInfo", store.add(words(&[1, count + 1, 0]))),
        ("Paths", store.tree(&leaf, count, 4096)),
        ("HLIndex", store.tree(&[], 0, 4096)),
        ("VIndex", {
            let inner = store.tree(&[], 0, 128);
            let mut index = words(&[1, inner, 0]);
            index.push(0);
            store.add(index)
        }),
        ("Size64", store.tree(&[], 0, 4096)),
    ];
    store.write(&variables)
}

/// The record of one node: type, architecture, mode, owner, time, size, checksum, link target.
fn path_info(mode: u32, content: &Content, uid: u32, gid: u32) -> Vec<u8> {
    let (kind, file_type, size, sum, link) = match content {
        Content::File(b) => (1, 0o100_000, b.len(), cksum(b), String::new()),
        Content::Dir => (2, 0o040_000, 0, 0, String::new()),
        Content::Link(t) => (3, 0o120_000, t.len(), cksum(t.as_bytes()), t.clone()),
    };
    let mut out = vec![kind, 1];
    out.extend(0x000f_u16.to_be_bytes()); // all of the record is there, no Mach-O details
    out.extend(u16::try_from(file_type | mode).expect("a mode has 16 bits").to_be_bytes());
    out.extend(words(&[uid, gid, TIME, u32::try_from(size).expect("small")]));
    out.push(1);
    out.extend(words(&[sum]));
    let link_len = if kind == 3 { link.len() + 1 } else { 0 };
    out.extend(words(&[u32::try_from(link_len).expect("small")]));
    if kind == 3 {
        out.extend(link.as_bytes());
        out.push(0);
    }
    out
}

/// The checksum of POSIX `cksum`: CRC-32 with polynomial 0x04c11db7, not reflected, over the
/// bytes and then the length, least significant byte first.
#[must_use]
pub fn cksum(bytes: &[u8]) -> u32 {
    let length = bytes.len().to_le_bytes();
    let used = length.len() - length.iter().rev().take_while(|b| **b == 0).count();
    let mut crc = 0u32;
    for byte in bytes.iter().chain(&length[..used]) {
        crc ^= u32::from(*byte) << 24;
        for _ in 0..8 {
            crc = if crc >> 31 == 1 { (crc << 1) ^ 0x04c1_1db7 } else { crc << 1 };
        }
    }
    !crc
}

fn words(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|n| n.to_be_bytes()).collect()
}

/// Blocks by number; number 0 is empty.
struct Store {
    blocks: Vec<Vec<u8>>,
}

impl Store {
    fn add(&mut self, bytes: Vec<u8>) -> u32 {
        self.blocks.push(bytes);
        u32::try_from(self.blocks.len() - 1).expect("few blocks")
    }

    /// A tree of one leaf, which fills a whole block.
    fn tree(&mut self, pairs: &[u8], count: u32, block: u32) -> u32 {
        let mut leaf = vec![0, 1]; // a leaf
        leaf.extend(u16::try_from(count).expect("one leaf").to_be_bytes());
        leaf.extend(words(&[0, 0])); // no neighbours
        leaf.extend(pairs);
        leaf.resize(usize::try_from(block).expect("small"), 0);
        let leaf = self.add(leaf);
        let mut tree = b"tree".to_vec();
        tree.extend(words(&[1, leaf, block, count]));
        tree.push(0);
        self.add(tree)
    }

    /// Header of 512 bytes, the blocks, the variables, the table of blocks.
    fn write(&self, variables: &[(&str, u32)]) -> Vec<u8> {
        let number = |n: usize| u32::try_from(n).expect("small");
        let mut out = vec![0; 512];
        let mut table = words(&[number(self.blocks.len())]);
        for block in &self.blocks {
            let at = if block.is_empty() { 0 } else { number(out.len()) };
            table.extend(words(&[at, number(block.len())]));
            out.extend(block);
        }
        table.extend(words(&[0])); // no free blocks
        let variables_at = number(out.len());
        out.extend(words(&[number(variables.len())]));
        for (name, block) in variables {
            out.extend(words(&[*block]));
            out.push(u8::try_from(name.len()).expect("short"));
            out.extend(name.as_bytes());
        }
        let variables_len = number(out.len()) - variables_at;
        let table_at = number(out.len());
        out.extend(&table);
        let used = number(self.blocks.len() - 1);
        let mut header = b"BOMStore".to_vec();
        header.extend(words(&[
            1,
            used,
            table_at,
            number(table.len()),
            variables_at,
            variables_len,
        ]));
        out[..header.len()].copy_from_slice(&header);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_is_the_one_of_cksum() {
        // printf 123456789 | cksum; printf '' | cksum
        assert_eq!(cksum(b"123456789"), 930_766_865);
        assert_eq!(cksum(b""), 4_294_967_295);
    }
}
