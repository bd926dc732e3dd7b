//! A builder of Apple disk images (UDIF), valid and broken.
//!
//! Written from newosxbook.com/DMG.html (trailer, tables, chunks) and Inside Macintosh (resource
//! fork), checked with `7zz t` and libmodi. Every number can be set wrong on purpose: chunks and
//! tables are plain data until [`Image::build`], and the trailer can be patched.

use std::io::Write as _;

use crate::chunks::xz;

/// How [`Image::push`] stores a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pack {
    /// Type 0; the data must be zeros.
    Zero,
    /// Type 2; the data must be zeros.
    Ignore,
    /// Type 1.
    Raw,
    /// Type 0x80000004, as literals.
    Adc,
    /// Type 0x80000005.
    Zlib,
    /// Type 0x80000006.
    Bzip2,
    /// Type 0x80000007, as one uncompressed block.
    Lzfse,
    /// Type 0x80000008.
    Lzma,
}

impl Pack {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Zero,
        Self::Ignore,
        Self::Raw,
        Self::Adc,
        Self::Zlib,
        Self::Bzip2,
        Self::Lzfse,
        Self::Lzma,
    ];

    fn number(self) -> u32 {
        match self {
            Self::Zero => 0,
            Self::Ignore => 2,
            Self::Raw => 1,
            Self::Adc => 0x8000_0004,
            Self::Zlib => 0x8000_0005,
            Self::Bzip2 => 0x8000_0006,
            Self::Lzfse => 0x8000_0007,
            Self::Lzma => 0x8000_0008,
        }
    }

    /// The stored form of `data`.
    ///
    /// # Panics
    /// When an encoder fails, which it does not in memory.
    #[must_use]
    pub fn pack(self, data: &[u8]) -> Vec<u8> {
        match self {
            Self::Zero | Self::Ignore => Vec::new(),
            Self::Raw => data.to_vec(),
            Self::Adc => data
                .chunks(128)
                .flat_map(|c| {
                    let head = 0x80 | u8::try_from(c.len() - 1).expect("at most 128");
                    std::iter::once(head).chain(c.iter().copied())
                })
                .collect(),
            Self::Zlib => {
                let level = flate2::Compression::fast();
                let mut w = flate2::write::ZlibEncoder::new(Vec::new(), level);
                w.write_all(data).expect("memory");
                w.finish().expect("memory")
            }
            Self::Bzip2 => {
                let mut w = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
                w.write_all(data).expect("memory");
                w.finish().expect("memory")
            }
            Self::Lzfse => {
                let len = u32::try_from(data.len()).expect("small");
                [b"bvx-", &len.to_le_bytes()[..], data, b"bvx$"].concat()
            }
            Self::Lzma => xz(data),
        }
    }
}

/// One chunk as the table stores it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// Type number.
    pub kind: u32,
    /// First sector, counted from the table's first.
    pub start: u64,
    /// Sectors.
    pub sectors: u64,
    /// Where its bytes start in the data fork.
    pub offset: u64,
    /// How many there are.
    pub length: u64,
}

/// A block table.
#[derive(Debug, Clone)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// The number of its resource.
    pub id: i32,
    /// First sector on the disk.
    pub first_sector: u64,
    /// Sectors.
    pub sectors: u64,
    /// Is added to the offsets of its chunks.
    pub data_offset: u64,
    /// Checksum kind, bits and value.
    pub checksum: (u32, u32, u32),
    /// The chunks, with the terminator.
    pub chunks: Vec<Chunk>,
    /// The number of chunks that is written, if not the true one.
    pub count: Option<u32>,
    crc: crc32fast::Hasher,
}

/// The terminator of a table.
pub const TERMINATOR: u32 = 0xFFFF_FFFF;
/// A comment.
pub const COMMENT: u32 = 0x7FFF_FFFE;

/// Where the tables and other resources are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resources {
    /// XML property list, as hdiutil writes today.
    Plist,
    /// Classic resource fork.
    Fork,
    /// Both, as hdiutil wrote around 2006.
    Both,
    /// Neither.
    None,
}

/// A disk image.
#[derive(Debug, Clone)]
pub struct Image {
    /// Bytes before the data fork.
    pub before: Vec<u8>,
    /// The data fork.
    pub data: Vec<u8>,
    /// The decoded disk.
    pub disk: Vec<u8>,
    /// Block tables.
    pub tables: Vec<Table>,
    /// Other resources: type, number, bytes.
    pub resources: Vec<([u8; 4], i16, Vec<u8>)>,
    /// Where they go.
    pub form: Resources,
    /// The XML in place of the one that is made.
    pub plist: Option<Vec<u8>>,
    /// Sectors as the trailer says, if not the true number.
    pub sector_count: Option<u64>,
    /// Bytes of the trailer that are overwritten: offset and bytes.
    pub patches: Vec<(usize, Vec<u8>)>,
    /// The trailer goes to the start of the file in place of its end.
    pub trailer_first: bool,
}

impl Default for Image {
    fn default() -> Self {
        Self {
            before: Vec::new(),
            data: Vec::new(),
            disk: Vec::new(),
            tables: Vec::new(),
            resources: Vec::new(),
            form: Resources::Plist,
            plist: None,
            sector_count: None,
            patches: Vec::new(),
            trailer_first: false,
        }
    }
}

impl Image {
    /// An image of one table with these chunks.
    #[must_use]
    pub fn of(chunks: &[(Pack, &[u8])]) -> Self {
        let mut image = Self::default();
        image.table("whole disk (Apple_HFS : 0)");
        for (pack, data) in chunks {
            image.push(*pack, data);
        }
        image
    }

    /// Starts a table at the end of the disk.
    ///
    /// # Panics
    /// When there are too many tables.
    pub fn table(&mut self, name: &str) -> &mut Self {
        self.tables.push(Table {
            name: name.to_owned(),
            id: i32::try_from(self.tables.len()).expect("few") - 1,
            first_sector: self.disk.len() as u64 / 512,
            sectors: 0,
            data_offset: 0,
            checksum: (2, 32, 0),
            chunks: vec![Chunk { kind: TERMINATOR, start: 0, sectors: 0, offset: 0, length: 0 }],
            count: None,
            crc: crc32fast::Hasher::new(),
        });
        self
    }

    /// Adds a chunk to the last table.
    ///
    /// # Panics
    /// When there is no table, or `data` is not whole sectors, or not zeros where it must be.
    pub fn push(&mut self, pack: Pack, data: &[u8]) -> &mut Self {
        assert_eq!(data.len() % 512, 0, "whole sectors");
        if matches!(pack, Pack::Zero | Pack::Ignore) {
            assert!(data.iter().all(|b| *b == 0), "zeros");
        }
        let stored = pack.pack(data);
        let table = self.tables.last_mut().expect("a table");
        let sectors = data.len() as u64 / 512;
        let (offset, length) = (self.data.len() as u64 - table.data_offset, stored.len() as u64);
        let chunk = Chunk { kind: pack.number(), start: table.sectors, sectors, offset, length };
        table.chunks.insert(table.chunks.len() - 1, chunk);
        table.sectors += sectors;
        let end = table.sectors;
        let last = table.chunks.last_mut().expect("the terminator");
        (last.start, last.offset) = (end, offset + length);
        if pack != Pack::Ignore {
            table.crc.update(data);
        }
        table.checksum.2 = table.crc.clone().finalize();
        self.data.extend(stored);
        self.disk.extend(data);
        self
    }

    /// The file.
    ///
    /// # Panics
    /// When sizes do not fit the format's fields.
    #[must_use]
    pub fn build(&self) -> Vec<u8> {
        let mut out = if self.trailer_first { vec![0; 512] } else { Vec::new() };
        out.extend(&self.before);
        let data_at = out.len() as u64;
        out.extend(&self.data);
        let mut all: Vec<Row> = Vec::new();
        let mut sums = Vec::new();
        for t in &self.tables {
            sums.extend(&checksum(0, 0, t.checksum.2)[8..][..t.checksum.1 as usize / 8]);
            all.push((*b"blkx", i16::try_from(t.id).expect("few"), t.name.clone(), mish(t)));
        }
        let others = self.resources.iter().map(|(k, i, d)| (*k, *i, String::new(), d.clone()));
        all.extend(others);
        let (mut list, mut fork) = ((0, 0), (0, 0));
        if let Some(xml) = &self.plist {
            list = (out.len() as u64, xml.len() as u64);
            out.extend(xml);
        } else if matches!(self.form, Resources::Plist | Resources::Both) {
            let xml = plist(&all);
            list = (out.len() as u64, xml.len() as u64);
            out.extend(xml.as_bytes());
        }
        if matches!(self.form, Resources::Fork | Resources::Both) {
            let bytes = resource_fork(&all);
            fork = (out.len() as u64, bytes.len() as u64);
            out.extend(bytes);
        }
        let sectors = self.sector_count.unwrap_or(self.disk.len() as u64 / 512);
        let mut koly = b"koly".to_vec();
        for word in [4_u32, 512, 1] {
            koly.extend(word.to_be_bytes());
        }
        for wide in [0, data_at, self.data.len() as u64, fork.0, fork.1] {
            koly.extend(wide.to_be_bytes());
        }
        koly.extend([0, 0, 0, 1, 0, 0, 0, 1]);
        koly.extend([0x5A; 16]);
        koly.extend(checksum(2, 32, crc32fast::hash(&self.data)));
        koly.extend(list.0.to_be_bytes());
        koly.extend(list.1.to_be_bytes());
        koly.resize(352, 0);
        koly.extend(checksum(2, 32, crc32fast::hash(&sums)));
        koly.extend([0, 0, 0, 1]);
        koly.extend(sectors.to_be_bytes());
        koly.resize(512, 0);
        for (at, bytes) in &self.patches {
            koly[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        if self.trailer_first {
            out[..512].copy_from_slice(&koly);
        } else {
            out.extend(koly);
        }
        out
    }
}

/// Type, number, name, bytes.
type Row = ([u8; 4], i16, String, Vec<u8>);

fn checksum(kind: u32, bits: u32, value: u32) -> Vec<u8> {
    let mut out = [kind, bits, value].map(u32::to_be_bytes).concat();
    out.resize(136, 0);
    out
}

/// The bytes of a table.
#[must_use]
pub fn mish(t: &Table) -> Vec<u8> {
    let mut out = b"mish\0\0\0\x01".to_vec();
    for wide in [t.first_sector, t.sectors, t.data_offset] {
        out.extend(wide.to_be_bytes());
    }
    out.extend(2056_u32.to_be_bytes());
    out.extend(t.id.to_be_bytes());
    out.resize(64, 0);
    out.extend(checksum(t.checksum.0, t.checksum.1, t.checksum.2));
    let count = t.count.unwrap_or(u32::try_from(t.chunks.len()).expect("few"));
    out.extend(count.to_be_bytes());
    for c in &t.chunks {
        out.extend(c.kind.to_be_bytes());
        out.extend([0; 4]);
        for wide in [c.start, c.sectors, c.offset, c.length] {
            out.extend(wide.to_be_bytes());
        }
    }
    out
}

/// The property list, resources grouped by type.
fn plist(all: &[Row]) -> String {
    let mut out = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<plist version=\"1.0\"><dict>\n<key>resource-fork</key><dict>\n",
    );
    for kind in kinds(all) {
        let name = String::from_utf8_lossy(&kind).into_owned();
        out += &format!("<key>{name}</key><array>\n");
        for (_, id, name, data) in all.iter().filter(|r| r.0 == kind) {
            out += &format!(
                "<dict><key>Attributes</key><string>0x0050</string><key>Data</key><data>{}</data>\
                 <key>ID</key><string>{id}</string><key>Name</key><string>{name}</string></dict>\n",
                base64(data)
            );
        }
        out += "</array>\n";
    }
    out + "</dict></dict></plist>\n"
}

fn kinds(all: &[Row]) -> Vec<[u8; 4]> {
    let mut kinds: Vec<[u8; 4]> = Vec::new();
    for (kind, ..) in all {
        if !kinds.contains(kind) {
            kinds.push(*kind);
        }
    }
    kinds
}

fn base64(data: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for c in data.chunks(3) {
        let n = c.iter().fold(0_u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - c.len()));
        for i in 0..4 {
            let digit = DIGITS[(n >> (18 - 6 * i)) as usize & 63];
            out.push(if i > c.len() { '=' } else { char::from(digit) });
        }
    }
    out
}

/// The classic form: header, data, map of types, references and names.
///
/// # Panics
/// When the offsets do not fit.
#[must_use]
pub fn resource_fork(all: &[Row]) -> Vec<u8> {
    let mut data = Vec::new();
    let mut names = Vec::new();
    let kinds = kinds(all);
    let mut types = u16::try_from(kinds.len()).expect("few").wrapping_sub(1).to_be_bytes().to_vec();
    let mut references = Vec::new();
    for kind in &kinds {
        let of: Vec<&Row> = all.iter().filter(|r| r.0 == *kind).collect();
        types.extend(kind);
        types.extend((u16::try_from(of.len()).expect("few") - 1).to_be_bytes());
        let at = 2 + 8 * kinds.len() + references.len();
        types.extend(u16::try_from(at).expect("few").to_be_bytes());
        for (_, id, name, bytes) in of {
            references.extend(id.to_be_bytes());
            if name.is_empty() {
                references.extend([0xFF, 0xFF]);
            } else {
                references.extend(u16::try_from(names.len()).expect("few").to_be_bytes());
                names.push(u8::try_from(name.len()).expect("short"));
                names.extend(name.as_bytes());
            }
            references.extend(u32::try_from(data.len()).expect("small").to_be_bytes());
            references.extend([0; 4]);
            data.extend(u32::try_from(bytes.len()).expect("small").to_be_bytes());
            data.extend(bytes);
        }
    }
    let names_at = u16::try_from(28 + types.len() + references.len()).expect("few");
    let map_len = u32::from(names_at) + u32::try_from(names.len()).expect("few");
    let data_len = u32::try_from(data.len()).expect("small");
    let header = [256, 256 + data_len, data_len, map_len].map(u32::to_be_bytes).concat();
    let mut out = header.clone();
    out.resize(256, 0);
    out.extend(data);
    out.extend(&header);
    out.extend([0; 8]);
    out.extend(28_u16.to_be_bytes());
    out.extend(names_at.to_be_bytes());
    out.extend(types);
    out.extend(references);
    out.extend(names);
    out
}

/// `LPic`: the default region, then region, number from 5000, and whether two bytes make a character.
#[must_use]
pub fn lpic(default: i16, entries: &[(i16, i16)]) -> Vec<u8> {
    let mut out = default.to_be_bytes().to_vec();
    out.extend(u16::try_from(entries.len()).unwrap_or(u16::MAX).to_be_bytes());
    for (region, number) in entries {
        out.extend(region.to_be_bytes());
        out.extend(number.to_be_bytes());
        out.extend([0, 0]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 7-Zip is the judge of what is made here; without it there is nothing to compare with.
    #[test]
    fn seven_zip_reads_what_is_made() {
        let dir = tempfile::tempdir().unwrap();
        for form in [Resources::Plist, Resources::Fork, Resources::Both] {
            let mut image = Image::default();
            // 7-Zip 26 refuses an LZFSE block that is not compressed; Apple's liblzfse writes the
            // same bytes and reads them.
            let packs = Pack::ALL.into_iter().filter(|p| *p != Pack::Lzfse);
            for (i, pack) in packs.enumerate() {
                let zero = matches!(pack, Pack::Zero | Pack::Ignore);
                let data: Vec<u8> =
                    (0..2048_usize).map(|n| if zero { 0 } else { (n * i % 251) as u8 }).collect();
                image.table(&format!("part {i}")).push(pack, &data);
            }
            image.form = form;
            let file = dir.path().join("made.dmg");
            std::fs::write(&file, image.build()).unwrap();
            let run = std::process::Command::new("7zz").arg("t").arg("-tdmg").arg(&file).output();
            let Ok(run) = run else {
                eprintln!("SKIPPED seven_zip_reads_what_is_made: no 7zz");
                return;
            };
            let said = String::from_utf8_lossy(&[run.stdout, run.stderr].concat()).into_owned();
            assert!(run.status.success(), "{form:?}: {said}");
        }
    }
}
