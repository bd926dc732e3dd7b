//! The records of a file-system tree (`j_*` of the reference).

use super::btree::Record;
use super::name::{Names, length_and_hash};
use super::volume::Item;

/// `APFS_TYPE_*`: the type in the top four bits of a key.
pub(super) mod ty {
    pub(crate) const EXTENT: u8 = 2;
    pub(crate) const INODE: u8 = 3;
    pub(crate) const XATTR: u8 = 4;
    pub(crate) const SIBLING_LINK: u8 = 5;
    pub(crate) const DSTREAM_ID: u8 = 6;
    pub(crate) const FILE_EXTENT: u8 = 8;
    pub(crate) const DIR_REC: u8 = 9;
    pub(crate) const SIBLING_MAP: u8 = 12;
}

/// Where a record stands in the tree: object id, type, number (hash, offset), name.
pub(super) type Place = (u64, u8, u64, Vec<u8>);

/// The key header and what follows it.
fn key(oid: u64, kind: u8, rest: &[u8]) -> Vec<u8> {
    let mut k = (oid | u64::from(kind) << 60).to_le_bytes().to_vec();
    k.extend(rest);
    k
}

fn name_and_length(name: &str) -> Vec<u8> {
    let length = u16::try_from(name.len() + 1).expect("a name");
    [&length.to_le_bytes(), name.as_bytes(), &[0]].concat()
}

/// Extended fields: type, flags, bytes.
fn xfields(fields: &[(u8, u8, Vec<u8>)]) -> Vec<u8> {
    if fields.is_empty() {
        return Vec::new();
    }
    let padded = |n: usize| n.next_multiple_of(8);
    let used: usize = fields.iter().map(|f| padded(f.2.len())).sum();
    let mut out = Vec::new();
    for n in [fields.len(), used] {
        out.extend(u16::try_from(n).expect("small fields").to_le_bytes());
    }
    for (kind, flags, bytes) in fields {
        out.extend([*kind, *flags]);
        out.extend(u16::try_from(bytes.len()).expect("a small field").to_le_bytes());
    }
    for (_, _, bytes) in fields {
        out.extend(bytes);
        out.resize(out.len() + padded(bytes.len()) - bytes.len(), 0);
    }
    out
}

/// `j_dstream_t`.
#[derive(Clone, Copy)]
pub(super) struct Stream {
    pub(super) size: u64,
    pub(super) allocated: u64,
}

impl Stream {
    fn bytes(self) -> Vec<u8> {
        [self.size, self.allocated, 0, self.allocated, 0]
            .iter()
            .flat_map(|n| n.to_le_bytes())
            .collect()
    }
}

/// What an inode record says beyond the item.
pub(super) struct Inode<'a> {
    pub(super) id: u64,
    pub(super) parent: u64,
    pub(super) private: u64,
    pub(super) flags: u64,
    /// Children of a folder, or names of a file.
    pub(super) links: u32,
    pub(super) name: &'a str,
    pub(super) stream: Option<Stream>,
    pub(super) sparse: Option<u64>,
}

/// Records with their places, in any order.
#[derive(Default)]
pub(super) struct Records(Vec<(Place, Record)>);

impl Records {
    fn add(&mut self, oid: u64, kind: u8, sub: (u64, &str), rest: &[u8], value: Vec<u8>) {
        let place = (oid, kind, sub.0, sub.1.as_bytes().to_vec());
        self.0.push((place, Record { key: key(oid, kind, rest), value }));
    }

    /// In the order of the tree.
    pub(super) fn sorted(mut self) -> Vec<(Place, Record)> {
        self.0.sort_by(|a, b| a.0.cmp(&b.0));
        self.0
    }

    pub(super) fn inode(&mut self, item: &Item, inode: &Inode<'_>) {
        let mut v = Vec::new();
        for n in [inode.parent, inode.private, item.time, item.time, item.time, item.time] {
            v.extend(n.to_le_bytes());
        }
        v.extend(inode.flags.to_le_bytes());
        for n in [inode.links, 0, 1, item.bsd_flags, item.uid, item.gid] {
            v.extend(n.to_le_bytes());
        }
        v.extend(item.mode.to_le_bytes());
        v.extend([0, 0]);
        v.extend(item.plain.as_ref().map_or(0, |p| p.len() as u64).to_le_bytes());
        // INO_EXT_TYPE_NAME, _DSTREAM, _SPARSE_BYTES, _RDEV.
        let mut fields = vec![(4, 2, [inode.name.as_bytes(), &[0]].concat())];
        if let Some(stream) = inode.stream {
            fields.push((8, 0x20, stream.bytes()));
        }
        if let Some(sparse) = inode.sparse {
            fields.push((13, 0x28, sparse.to_le_bytes().to_vec()));
        }
        if let Some(rdev) = item.rdev {
            fields.push((14, 0x20, rdev.to_le_bytes().to_vec()));
        }
        v.extend(xfields(&fields));
        self.add(inode.id, ty::INODE, (0, ""), &[], v);
    }

    pub(super) fn dirent(
        &mut self,
        names: Names,
        parent: u64,
        name: &str,
        item: &Item,
        id: u64,
        sibling: Option<u64>,
    ) {
        let (rest, number) = if names == Names::Exact {
            (name_and_length(name), 0)
        } else {
            let hash = length_and_hash(name, names);
            ([&hash.to_le_bytes(), name.as_bytes(), &[0]].concat(), u64::from(hash))
        };
        let mut v = Vec::new();
        v.extend(id.to_le_bytes());
        v.extend(item.time.to_le_bytes());
        v.extend(item.dirent_type().to_le_bytes());
        if let Some(sibling) = sibling {
            // DREC_EXT_TYPE_SIBLING_ID
            v.extend(xfields(&[(1, 0, sibling.to_le_bytes().to_vec())]));
        }
        self.add(parent, ty::DIR_REC, (number, name), &rest, v);
    }

    pub(super) fn sibling(&mut self, inode: u64, sibling: u64, parent: u64, name: &str) {
        let value = [parent.to_le_bytes().to_vec(), name_and_length(name)].concat();
        self.add(inode, ty::SIBLING_LINK, (sibling, ""), &sibling.to_le_bytes(), value);
        self.add(sibling, ty::SIBLING_MAP, (0, ""), &[], inode.to_le_bytes().to_vec());
    }

    pub(super) fn xattr_embedded(&mut self, inode: u64, name: &str, owned: bool, value: &[u8]) {
        let flags = if owned { 2 | 4 } else { 2 };
        self.xattr(inode, name, flags, value);
    }

    pub(super) fn xattr_stream(&mut self, inode: u64, name: &str, id: u64, stream: Stream) {
        self.xattr(inode, name, 1, &[id.to_le_bytes().to_vec(), stream.bytes()].concat());
    }

    fn xattr(&mut self, inode: u64, name: &str, flags: u16, data: &[u8]) {
        let mut v = flags.to_le_bytes().to_vec();
        v.extend(u16::try_from(data.len()).expect("an embedded attribute").to_le_bytes());
        v.extend(data);
        self.add(inode, ty::XATTR, (0, name), &name_and_length(name), v);
    }

    pub(super) fn dstream_id(&mut self, id: u64, references: u32) {
        self.add(id, ty::DSTREAM_ID, (0, ""), &[], references.to_le_bytes().to_vec());
    }

    /// `block` 0 is a hole.
    pub(super) fn file_extent(&mut self, id: u64, logical: u64, length: u64, block: u64) {
        let value = [length, block, 0].iter().flat_map(|n| n.to_le_bytes()).collect();
        self.add(id, ty::FILE_EXTENT, (logical, ""), &logical.to_le_bytes(), value);
    }

    /// `j_phys_ext_val_t` of the extent-reference tree.
    pub(super) fn physical_extent(&mut self, block: u64, count: u64, owner: u64, references: u32) {
        // APFS_KIND_NEW
        let mut v = (count | 1 << 60).to_le_bytes().to_vec();
        v.extend(owner.to_le_bytes());
        v.extend(references.to_le_bytes());
        self.add(block, ty::EXTENT, (0, ""), &[], v);
    }
}
