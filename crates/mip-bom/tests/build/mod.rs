//! A builder of Bom files, independent of the reader.

/// One path: its id, its parent's id, its name, and its record.
#[derive(Clone)]
pub(crate) struct Item {
    pub(crate) id: u32,
    pub(crate) parent: u32,
    pub(crate) name: Vec<u8>,
    pub(crate) record: Vec<u8>,
}

impl Item {
    pub(crate) fn new(id: u32, parent: u32, name: &str, record: Vec<u8>) -> Self {
        Self { id, parent, name: name.into(), record }
    }

    pub(crate) fn root() -> Self {
        Self::new(1, 0, ".", record(2, 0o040_755, 96))
    }

    pub(crate) fn file(id: u32, parent: u32, name: &str, size: u32) -> Self {
        let mut r = record(1, 0o100_644, size);
        r.extend(0x1234_5678u32.to_be_bytes());
        r.extend([0; 8]);
        Self::new(id, parent, name, r)
    }

    pub(crate) fn folder(id: u32, parent: u32, name: &str) -> Self {
        Self::new(id, parent, name, record(2, 0o040_755, 96))
    }

    pub(crate) fn link(id: u32, parent: u32, name: &str, target: &[u8]) -> Self {
        let mut r = record(3, 0o120_755, target.len() as u32);
        r.extend(7u32.to_be_bytes());
        r.extend((target.len() as u32).to_be_bytes());
        r.extend(target);
        r.extend([0; 8]);
        Self::new(id, parent, name, r)
    }
}

pub(crate) fn record(kind: u8, mode: u16, size: u32) -> Vec<u8> {
    let mut r = vec![kind, 1, 0, 15];
    r.extend(mode.to_be_bytes());
    for n in [501u32, 20, 1_700_000_000, size] {
        r.extend(n.to_be_bytes());
    }
    r.push(1);
    if kind == 2 {
        r.extend([0; 8]);
    }
    r
}

/// Blocks first, then variables, then the block table.
pub(crate) struct BomBuilder {
    /// Bytes of each block; block 0 is null.
    pub(crate) blocks: Vec<Vec<u8>>,
    pub(crate) variables: Vec<(Vec<u8>, u32)>,
}

impl BomBuilder {
    pub(crate) fn new() -> Self {
        Self { blocks: vec![Vec::new()], variables: Vec::new() }
    }

    pub(crate) fn block(&mut self, bytes: Vec<u8>) -> u32 {
        self.blocks.push(bytes);
        (self.blocks.len() - 1) as u32
    }

    /// A `Paths` tree with `per_leaf` entries in each leaf, behind an inner node when there
    /// is more than one leaf.
    pub(crate) fn paths(items: &[Item], per_leaf: usize) -> Self {
        let mut b = Self::new();
        let mut pairs = Vec::new();
        for i in items {
            let record = b.block(i.record.clone());
            let head = b.block([i.id.to_be_bytes(), record.to_be_bytes()].concat());
            let name = b.block([&i.parent.to_be_bytes()[..], &i.name, &[0]].concat());
            pairs.push((head, name));
        }
        b.tree(b"Paths", &pairs, per_leaf);
        b
    }

    pub(crate) fn tree(&mut self, name: &[u8], pairs: &[(u32, u32)], per_leaf: usize) {
        let leaves: Vec<&[(u32, u32)]> =
            if pairs.is_empty() { vec![&[]] } else { pairs.chunks(per_leaf).collect() };
        let first = self.blocks.len() as u32;
        let n = leaves.len() as u32;
        for (i, leaf) in leaves.iter().enumerate() {
            let i = i as u32;
            let next = if i + 1 < n { first + i + 1 } else { 0 };
            let previous = if i > 0 { first + i - 1 } else { 0 };
            self.block(node(1, next, previous, leaf));
        }
        let root = if n > 1 {
            let below: Vec<(u32, u32)> =
                (0..n).map(|i| (first + i, leaves[i as usize].last().unwrap().1)).collect();
            self.block(node(0, 0, 0, &below))
        } else {
            first
        };
        let mut head = b"tree".to_vec();
        for n in [1, root, 4096, pairs.len() as u32] {
            head.extend(n.to_be_bytes());
        }
        head.push(0);
        let index = self.block(head);
        self.variables.push((name.into(), index));
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        let mut data: Vec<u8> = Vec::new();
        let mut table = (self.blocks.len() as u32).to_be_bytes().to_vec();
        for b in &self.blocks {
            let offset = if b.is_empty() { 0 } else { 512 + data.len() as u32 };
            table.extend(offset.to_be_bytes());
            table.extend((b.len() as u32).to_be_bytes());
            data.extend(b);
        }
        let mut variables = (self.variables.len() as u32).to_be_bytes().to_vec();
        for (name, index) in &self.variables {
            variables.extend(index.to_be_bytes());
            variables.push(name.len() as u8);
            variables.extend(name);
        }
        let at = 512 + data.len() as u32;
        let mut out = b"BOMStore".to_vec();
        for n in [
            1,
            self.blocks.len() as u32 - 1,
            at + variables.len() as u32,
            table.len() as u32,
            at,
            variables.len() as u32,
        ] {
            out.extend(n.to_be_bytes());
        }
        out.resize(512, 0);
        out.extend(data);
        out.extend(variables);
        out.extend(table);
        out
    }
}

pub(crate) fn node(leaf: u16, next: u32, previous: u32, pairs: &[(u32, u32)]) -> Vec<u8> {
    let mut out = leaf.to_be_bytes().to_vec();
    out.extend((pairs.len() as u16).to_be_bytes());
    out.extend(next.to_be_bytes());
    out.extend(previous.to_be_bytes());
    for (a, b) in pairs {
        out.extend(a.to_be_bytes());
        out.extend(b.to_be_bytes());
    }
    out
}
