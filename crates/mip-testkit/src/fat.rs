//! FAT volumes, written from Microsoft's description of the format.

/// A file or folder to write.
#[derive(Debug, Clone)]
pub enum Item {
    /// Name and data.
    File(String, Vec<u8>),
    /// Name and what is in it.
    Folder(String, Vec<Item>),
}

impl Item {
    /// A file.
    #[must_use]
    pub fn file(name: &str, data: &[u8]) -> Self {
        Self::File(name.to_owned(), data.to_vec())
    }

    /// A folder.
    #[must_use]
    pub fn folder(name: &str, items: Vec<Item>) -> Self {
        Self::Folder(name.to_owned(), items)
    }
}

/// What to write: the width of the table, the clusters, and what has usual values.
#[derive(Debug, Clone)]
pub struct Fat {
    /// 12, 16 or 32.
    pub bits: u32,
    /// Clusters of data.
    pub clusters: u32,
    /// Bytes of a sector.
    pub sector: u32,
    /// Sectors of a cluster.
    pub per_cluster: u32,
    /// Label in the root folder; none when empty.
    pub label: String,
    /// Leave a gap after each cluster, so that nothing is in one piece.
    pub scattered: bool,
}

/// A written volume, and where things are in it, for tests that break them.
#[derive(Debug, Clone)]
pub struct Image {
    /// The volume.
    pub bytes: Vec<u8>,
    /// Width of the table.
    pub bits: u32,
    /// Where the first table is.
    pub fat: usize,
    /// Bytes of a table.
    pub fat_bytes: usize,
    /// Where the root folder is.
    pub root: usize,
    /// Where cluster 2 is.
    pub data: usize,
    /// Bytes of a cluster.
    pub cluster: usize,
    next: u32,
    stride: u32,
}

impl Fat {
    /// A volume of `clusters` clusters of 512 bytes.
    #[must_use]
    pub fn new(bits: u32, clusters: u32) -> Self {
        Self { bits, clusters, sector: 512, per_cluster: 1, label: String::new(), scattered: false }
    }

    /// Writes the volume.
    ///
    /// # Panics
    /// When the items do not fit.
    #[must_use]
    pub fn build(&self, items: Vec<Item>) -> Image {
        let (sector, fat32) = (self.sector as usize, self.bits == 32);
        let reserved = if fat32 { 32 } else { 1 };
        let fat_bytes = (self.clusters as usize + 2) * self.bits as usize / 8 + 2;
        let fat_sectors = fat_bytes.div_ceil(sector);
        let root_records = if fat32 { 0 } else { 64 };
        let root = (reserved + 2 * fat_sectors) * sector;
        let data = (root + root_records * 32).next_multiple_of(sector);
        let cluster = sector * self.per_cluster as usize;
        let size = data + cluster * self.clusters as usize;
        let total = (size / sector) as u32;

        let mut b = vec![0; size];
        b[..11].copy_from_slice(b"\xeb\x58\x90TESTKIT ");
        b[11..13].copy_from_slice(&(self.sector as u16).to_le_bytes());
        b[13] = self.per_cluster as u8;
        b[14..16].copy_from_slice(&(reserved as u16).to_le_bytes());
        b[16] = 2;
        b[17..19].copy_from_slice(&(root_records as u16).to_le_bytes());
        if total < 65536 && !fat32 {
            b[19..21].copy_from_slice(&(total as u16).to_le_bytes());
        } else {
            b[32..36].copy_from_slice(&total.to_le_bytes());
        }
        b[21] = 0xf8;
        let extended = if fat32 {
            b[36..40].copy_from_slice(&(fat_sectors as u32).to_le_bytes());
            b[44..48].copy_from_slice(&2_u32.to_le_bytes());
            b[48] = 1;
            b[sector..sector + 4].copy_from_slice(b"RRaA");
            b[sector + 484..sector + 488].copy_from_slice(b"rrAa");
            b[sector + 488..sector + 492].copy_from_slice(&7_u32.to_le_bytes());
            64
        } else {
            b[22..24].copy_from_slice(&(fat_sectors as u16).to_le_bytes());
            36
        };
        b[extended + 2] = 0x29;
        b[extended + 7..extended + 18].copy_from_slice(b"NO NAME    ");
        b[510..512].copy_from_slice(&[0x55, 0xaa]);

        let mut image = Image {
            bytes: b,
            bits: self.bits,
            fat: reserved * sector,
            fat_bytes: fat_sectors * sector,
            root,
            data,
            cluster,
            next: 2,
            stride: if self.scattered { 2 } else { 1 },
        };
        image.set(0, 0x0fff_fff8);
        image.set(1, 0x0fff_ffff);
        let mut records = Vec::new();
        if !self.label.is_empty() {
            records.extend(record(&padded(&self.label), 0x08, 0, 0));
        }
        if fat32 {
            let first = image.allocate(folder_size(&items, records.len()));
            assert_eq!(first, 2);
            records.extend(image.records(items));
            image.write(first, &records);
        } else {
            records.extend(image.records(items));
            assert!(records.len() <= root_records * 32);
            image.bytes[root..root + records.len()].copy_from_slice(&records);
        }
        image
    }
}

impl Image {
    /// Where `cluster` is.
    #[must_use]
    pub fn position(&self, cluster: u32) -> usize {
        self.data + (cluster as usize - 2) * self.cluster
    }

    /// Sets a table entry, in both tables.
    pub fn set(&mut self, cluster: u32, value: u32) {
        for fat in [self.fat, self.fat + self.fat_bytes] {
            let n = cluster as usize;
            match self.bits {
                12 => {
                    let at = fat + n + n / 2;
                    let old = u16::from_le_bytes([self.bytes[at], self.bytes[at + 1]]);
                    let v = (value & 0xfff) as u16;
                    let new =
                        if n.is_multiple_of(2) { old & 0xf000 | v } else { old & 0xf | v << 4 };
                    self.bytes[at..at + 2].copy_from_slice(&new.to_le_bytes());
                }
                16 => {
                    let at = fat + 2 * n;
                    self.bytes[at..at + 2].copy_from_slice(&(value as u16).to_le_bytes());
                }
                _ => {
                    let at = fat + 4 * n;
                    self.bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
                }
            }
        }
    }

    /// Where the record of a short name (11 bytes) is, anywhere on the volume.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn record(&self, short: &[u8; 11]) -> usize {
        let at = (self.root..self.bytes.len()).step_by(32);
        at.into_iter().find(|at| self.bytes[*at..].starts_with(short)).expect("no such record")
    }

    /// A chain for `len` bytes.
    fn allocate(&mut self, len: usize) -> u32 {
        let n = len.div_ceil(self.cluster).max(1) as u32;
        let first = self.next;
        for i in 0..n {
            let at = first + i * self.stride;
            self.set(at, if i + 1 == n { 0x0fff_ffff } else { at + self.stride });
        }
        self.next = first + n * self.stride;
        first
    }

    fn write(&mut self, first: u32, data: &[u8]) {
        for (i, piece) in data.chunks(self.cluster).enumerate() {
            let at = self.position(first + i as u32 * self.stride);
            self.bytes[at..at + piece.len()].copy_from_slice(piece);
        }
    }

    /// Writes the items and gives the records of their folder.
    fn records(&mut self, items: Vec<Item>) -> Vec<u8> {
        let mut out = Vec::new();
        for (n, item) in items.into_iter().enumerate() {
            let (name, attributes, cluster, size) = match item {
                Item::File(name, data) => {
                    let first = if data.is_empty() { 0 } else { self.allocate(data.len()) };
                    self.write(first.max(2), &data);
                    (name, 0x20, first, data.len() as u32)
                }
                Item::Folder(name, items) => {
                    let first = self.allocate(folder_size(&items, 64));
                    let mut inner = record(b".          ", 0x10, first, 0);
                    inner.extend(record(b"..         ", 0x10, 0, 0));
                    inner.extend(self.records(items));
                    self.write(first, &inner);
                    (name, 0x10, first, 0)
                }
            };
            let short = short(&name, n);
            if is_long(&name) {
                out.extend(long(&name, &short));
            }
            out.extend(record(&short, attributes, cluster, size));
        }
        out
    }
}

fn is_long(name: &str) -> bool {
    let plain = |p: &str, n: usize| {
        p.len() <= n && p.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
    };
    let (base, ext) = name.rsplit_once('.').unwrap_or((name, ""));
    !(plain(base, 8) && plain(ext, 3) && !base.is_empty())
}

fn long_records(name: &str) -> usize {
    name.encode_utf16().count().div_ceil(13)
}

fn folder_size(items: &[Item], more: usize) -> usize {
    let each = |i: &Item| {
        let (Item::File(name, _) | Item::Folder(name, _)) = i;
        32 + if is_long(name) { 32 * long_records(name) } else { 0 }
    };
    items.iter().map(each).sum::<usize>() + more
}

fn padded(name: &str) -> [u8; 11] {
    let mut out = [b' '; 11];
    out[..name.len()].copy_from_slice(name.as_bytes());
    out
}

/// The short name: the name itself when it can be one, else `LONG` and a number.
#[must_use]
pub fn short(name: &str, n: usize) -> [u8; 11] {
    if is_long(name) {
        return padded(&format!("LONG~{n}"));
    }
    let (base, ext) = name.rsplit_once('.').unwrap_or((name, ""));
    let mut out = padded(base);
    out[8..8 + ext.len()].copy_from_slice(ext.as_bytes());
    out
}

/// One record of a short name; written on 2024-02-29 at 12:34:56.
#[must_use]
pub fn record(short: &[u8; 11], attributes: u8, cluster: u32, size: u32) -> Vec<u8> {
    let mut out = short.to_vec();
    out.push(attributes);
    out.resize(20, 0);
    out.extend(((cluster >> 16) as u16).to_le_bytes());
    out.extend((12_u16 << 11 | 34 << 5 | 28).to_le_bytes());
    out.extend((44_u16 << 9 | 2 << 5 | 29).to_le_bytes());
    out.extend((cluster as u16).to_le_bytes());
    out.extend(size.to_le_bytes());
    out
}

/// The records of a long name, for a short one.
#[must_use]
pub fn long(name: &str, short: &[u8; 11]) -> Vec<u8> {
    let sum = short.iter().fold(0_u8, |s, b| s.rotate_right(1).wrapping_add(*b));
    let mut units: Vec<u16> = name.encode_utf16().collect();
    if !units.len().is_multiple_of(13) {
        units.push(0);
        units.resize(units.len().div_ceil(13) * 13, 0xffff);
    }
    let n = units.len() / 13;
    let mut out = Vec::new();
    for (i, part) in units.chunks(13).enumerate().rev() {
        let bytes: Vec<u8> = part.iter().flat_map(|u| u.to_le_bytes()).collect();
        out.push((i + 1) as u8 | if i + 1 == n { 0x40 } else { 0 });
        out.extend(&bytes[..10]);
        out.extend([0x0f, 0, sum]);
        out.extend(&bytes[10..22]);
        out.extend([0, 0]);
        out.extend(&bytes[22..]);
    }
    out
}
