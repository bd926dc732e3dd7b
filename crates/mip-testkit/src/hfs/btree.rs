//! Writes a B-tree file: header node, map nodes, index levels, leaves (TN1150, "B-Trees").

/// What differs between the three trees.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) node_size: usize,
    pub(super) max_key: u16,
    /// `kBTBigKeysMask`, `kBTVariableIndexKeysMask`.
    pub(super) attributes: u32,
    /// `keyCompareType` of the catalog of HFSX; 0 elsewhere.
    pub(super) compare: u8,
    /// Empty nodes kept at the end.
    pub(super) spare: usize,
    /// The file is a whole number of these many bytes.
    pub(super) granule: usize,
}

/// One leaf record: its key with the length field, and its data.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) key: Vec<u8>,
    pub(super) data: Vec<u8>,
}

/// A record's place inside the B-tree file.
#[derive(Debug, Clone)]
pub struct RecordPlace {
    /// Offset of the key's length field.
    pub key: u64,
    /// Offset of the data behind the key (in an index node: of the child's node number).
    pub data: u64,
    /// Offset behind the data.
    pub end: u64,
}

/// One node's place.
#[derive(Debug, Clone)]
pub struct NodePlace {
    /// Its number in the tree.
    pub number: u32,
    /// Its height: 1 for leaves, more for index nodes.
    pub height: u8,
    /// Offset of its descriptor.
    pub offset: u64,
    /// Its records in order.
    pub records: Vec<RecordPlace>,
}

/// The finished file, with the places of its nodes relative to its start.
#[derive(Debug, Clone, Default)]
pub(super) struct Tree {
    pub(super) bytes: Vec<u8>,
    pub(super) nodes: Vec<NodePlace>,
    /// Node number and number within the node of each leaf record, in the order given.
    pub(super) leaves: Vec<(usize, usize)>,
}

/// Records of one node, before they are laid out.
type Group = Vec<Record>;

fn even(n: usize) -> usize {
    n.next_multiple_of(2)
}

fn room(r: &Record) -> usize {
    even(r.key.len()) + even(r.data.len()) + 2
}

fn split(records: Vec<Record>, node_size: usize) -> Vec<Group> {
    let mut out: Vec<Group> = Vec::new();
    let mut used = usize::MAX;
    for r in records {
        let n = room(&r);
        assert!(14 + n + 2 <= node_size, "a record of {n} bytes in nodes of {node_size}");
        if used.saturating_add(n) > node_size {
            out.push(Vec::new());
            used = 16; // descriptor, and the offset of free space
        }
        used += n;
        out.last_mut().unwrap().push(r);
    }
    out
}

/// Builds the tree from sorted records.
pub(super) fn build(records: Vec<Record>, shape: Shape) -> Tree {
    let size = shape.node_size;
    let leaf_records = records.len();
    let mut levels: Vec<Vec<Group>> = Vec::new();
    if !records.is_empty() {
        levels.push(split(records, size));
    }
    // Node numbers go up from the leaves, after the header node; index records need them.
    let mut first = vec![1usize];
    while levels.last().is_some_and(|l| l.len() > 1) {
        let below = levels.last().unwrap();
        let start = *first.last().unwrap();
        first.push(start + below.len());
        let above = below
            .iter()
            .enumerate()
            .map(|(i, group)| Record {
                key: group[0].key.clone(),
                data: u32::try_from(start + i).unwrap().to_be_bytes().to_vec(),
            })
            .collect();
        levels.push(split(above, size));
    }
    let used: usize = 1 + levels.iter().map(Vec::len).sum::<usize>();
    // Map nodes: the header node's map record holds node_size - 256 bytes, a map node's 20 less
    // than the node.
    let (in_header, in_map) = ((size - 256) * 8, (size - 20) * 8);
    let step = (shape.granule / size).max(1);
    let mut maps = 0;
    let total = loop {
        let total = (used + maps + shape.spare).next_multiple_of(step);
        if in_header + maps * in_map >= total {
            break total;
        }
        maps += 1;
    };
    let busy = used + maps;

    let mut out = Tree { bytes: vec![0; total * size], ..Tree::default() };
    let be32 = |n: usize| u32::try_from(n).unwrap().to_be_bytes();
    let be16 = |n: usize| u16::try_from(n).unwrap().to_be_bytes();

    // Header node.
    let head = &mut out.bytes[..size];
    head[0..4].copy_from_slice(&be32(if maps > 0 { used } else { 0 }));
    head[8] = 1;
    head[10..12].copy_from_slice(&be16(3));
    head[14..16].copy_from_slice(&be16(levels.len()));
    head[16..20].copy_from_slice(&be32(if levels.is_empty() { 0 } else { used - 1 }));
    head[20..24].copy_from_slice(&be32(leaf_records));
    let last_leaf = levels.first().map_or(0, Vec::len);
    head[24..28].copy_from_slice(&be32(usize::from(last_leaf > 0)));
    head[28..32].copy_from_slice(&be32(last_leaf));
    head[32..34].copy_from_slice(&be16(size));
    head[34..36].copy_from_slice(&shape.max_key.to_be_bytes());
    head[36..40].copy_from_slice(&be32(total));
    head[40..44].copy_from_slice(&be32(total - busy));
    head[46..50].copy_from_slice(&be32(size.max(shape.granule)));
    head[51] = shape.compare;
    head[52..56].copy_from_slice(&shape.attributes.to_be_bytes());
    for (i, at) in [14, 120, 248, size - 8].into_iter().enumerate() {
        head[size - 2 * (i + 1)..size - 2 * i].copy_from_slice(&be16(at));
    }
    // The map: busy nodes come first.
    for n in 0..busy {
        let (at, bit) = if n < in_header {
            (248, n)
        } else {
            let m = (n - in_header) / in_map;
            ((used + m) * size + 14, (n - in_header) % in_map)
        };
        out.bytes[at + bit / 8] |= 0x80 >> (bit % 8);
    }
    for m in 0..maps {
        let node = &mut out.bytes[(used + m) * size..][..size];
        node[0..4].copy_from_slice(&be32(if m + 1 < maps { used + m + 1 } else { 0 }));
        node[8] = 2;
        node[10..12].copy_from_slice(&be16(1));
        node[size - 2..].copy_from_slice(&be16(14));
        node[size - 4..size - 2].copy_from_slice(&be16(size - 6));
    }

    for (height, level) in levels.iter().enumerate() {
        for (i, group) in level.iter().enumerate() {
            let number = first[height] + i;
            let base = number * size;
            let node = &mut out.bytes[base..base + size];
            node[0..4].copy_from_slice(&be32(if i + 1 < level.len() { number + 1 } else { 0 }));
            node[4..8].copy_from_slice(&be32(if i > 0 { number - 1 } else { 0 }));
            node[8] = if height == 0 { 0xff } else { 0 };
            node[9] = u8::try_from(height + 1).unwrap();
            node[10..12].copy_from_slice(&be16(group.len()));
            let mut at = 14;
            let mut places = Vec::new();
            for (r, record) in group.iter().enumerate() {
                node[size - 2 * (r + 1)..size - 2 * r].copy_from_slice(&be16(at));
                let data = at + even(record.key.len());
                let end = data + record.data.len();
                node[at..at + record.key.len()].copy_from_slice(&record.key);
                node[data..end].copy_from_slice(&record.data);
                places.push(RecordPlace {
                    key: (base + at) as u64,
                    data: (base + data) as u64,
                    end: (base + end) as u64,
                });
                at = even(end);
                if height == 0 {
                    out.leaves.push((out.nodes.len(), r));
                }
            }
            let free = size - 2 * (group.len() + 1);
            node[free..free + 2].copy_from_slice(&be16(at));
            out.nodes.push(NodePlace {
                number: u32::try_from(number).unwrap(),
                height: u8::try_from(height + 1).unwrap(),
                offset: base as u64,
                records: places,
            });
        }
    }
    out
}
