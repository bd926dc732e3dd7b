//! The big disk image for `benches/run.py`: an app and a folder of noise on HFS+, in UDIF with a
//! GPT and zlib chunks. Written in one pass; memory is a few MiB.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use flate2::write::ZlibEncoder;
use mip_testkit::hfs::Volume;
use mip_testkit::partition::guid;
use mip_testkit::udif::{Chunk, Image, TERMINATOR};

use crate::Result;
use crate::bench_inputs::Noise;

const SECTOR: u64 = 512;
/// Bytes of the disk in a chunk, as hdiutil has it.
const CHUNK: usize = 512 * 512;
/// Chunks that are compressed at the same time, by all processors.
const BATCH: usize = 32;
/// Bytes of one file of noise.
const FILE: u64 = 48 << 20;

/// Writes `path`: the app in the folder `app`, a link to /Applications, and `noise` bytes that
/// cannot be compressed in a folder beside the app.
pub(crate) fn write(path: &Path, app: &Path, noise: u64) -> Result<()> {
    let volume = volume(app, noise)?;
    let size = volume.size();
    let (first, last) = (40, 39 + size / SECTOR);
    let sectors = last + 42;
    let (head, tail) = gpt(sectors, first, last);

    let mut out = Udif::new(path)?;
    let at = |from: u64| head.get(usize::try_from(from * SECTOR).unwrap_or(0)..);
    let part =
        |from, to: u64| at(from).and_then(|b| b.get(..usize::try_from((to - from) * SECTOR).ok()?));
    for (name, from, to) in [
        ("Protective Master Boot Record (MBR : 0)", 0, 1),
        ("GPT Header (Primary GPT Header : 1)", 1, 2),
        ("GPT Partition Data (Primary GPT Table : 2)", 2, 34),
        (" (Apple_Free : 3)", 34, 40),
    ] {
        out.table(name, part(from, to).unwrap_or_default())?;
    }
    out.start("disk image (Apple_HFS : 4)");
    volume.write_to(&mut out)?;
    out.end()?;
    out.table(" (Apple_Free : 5)", &[0; 8 * 512])?;
    let (table, header) = tail.split_at(32 * 512);
    out.table("GPT Partition Data (Backup GPT Table : 6)", table)?;
    out.table("GPT Header (Backup GPT Header : 7)", header)?;
    out.finish(sectors)?;
    println!("{}: {} bytes", path.display(), std::fs::metadata(path)?.len());
    Ok(())
}

#[cfg(unix)]
fn volume(app: &Path, noise: u64) -> Result<Volume> {
    let mut volume = Volume::new("Big")
        .host_folder("Big.app", app)?
        .link("Applications", "/Applications")
        .folder("Extras");
    let mut left = noise;
    let mut n = 0;
    while left > 0 {
        let len = left.min(FILE);
        volume = volume.stream(&format!("Extras/extra{n:03}.bin"), len, move || {
            Ok(Box::new(NoiseReader { noise: Noise::new(1000 + n), left: len }))
        });
        (left, n) = (left - len, n + 1);
    }
    Ok(volume)
}

#[cfg(not(unix))]
fn volume(_: &Path, _: u64) -> Result<Volume> {
    Err("the disk image is made on Unix only: files have permissions there".into())
}

struct NoiseReader {
    noise: Noise,
    left: u64,
}

impl Read for NoiseReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        // Whole words, so that the bytes do not depend on how they are asked for.
        let n = usize::try_from(self.left).unwrap_or(usize::MAX).min(out.len());
        let n = if n >= 8 { n / 8 * 8 } else { n };
        self.noise.fill(out.get_mut(..n).unwrap_or_default());
        self.left -= n as u64;
        Ok(n)
    }
}

/// The first 40 and the last 33 sectors of a disk with one partition (UEFI specification, 5.3).
fn gpt(sectors: u64, first: u64, last: u64) -> (Vec<u8>, Vec<u8>) {
    let mut entries = guid::HFS.to_vec();
    entries.extend([0x42; 16]);
    entries.extend(first.to_le_bytes());
    entries.extend(last.to_le_bytes());
    entries.extend([0; 8]);
    entries.extend("disk image".encode_utf16().flat_map(u16::to_le_bytes));
    entries.resize(128 * 128, 0);
    let header = |own: u64, other: u64, table: u64| {
        let build = |crc: u32| {
            let mut h = b"EFI PART\0\0\x01\0\x5c\0\0\0".to_vec();
            h.extend(crc.to_le_bytes());
            h.extend([0; 4]);
            for n in [own, other, 34, sectors - 34] {
                h.extend(n.to_le_bytes());
            }
            h.extend([0x24; 16]);
            h.extend(table.to_le_bytes());
            for n in [128, 128, crc32fast::hash(&entries)] {
                h.extend(u32::to_le_bytes(n));
            }
            h
        };
        let mut h = build(crc32fast::hash(&build(0)));
        h.resize(512, 0);
        h
    };
    let mut head = vec![0; 446];
    let rest = u32::try_from(sectors - 1).unwrap_or(u32::MAX);
    head.extend([0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff, 1, 0, 0, 0]);
    head.extend(rest.to_le_bytes());
    head.resize(510, 0);
    head.extend([0x55, 0xaa]);
    head.extend(header(1, sectors - 1, 2));
    head.extend(&entries);
    head.resize(40 * 512, 0);
    let mut tail = entries.clone();
    tail.extend(header(sectors - 1, 1, sectors - 33));
    (head, tail)
}

/// Writes a UDIF file chunk by chunk; what is written to it goes to the last table.
struct Udif {
    file: BufWriter<File>,
    image: Image,
    /// Bytes that are not in chunks yet.
    waiting: Vec<u8>,
    /// Bytes of the data fork, and their checksum.
    len: u64,
    crc: crc32fast::Hasher,
    /// Checksum of the table's disk blocks.
    table_crc: crc32fast::Hasher,
}

impl Udif {
    fn new(path: &Path) -> Result<Self> {
        Ok(Self {
            file: BufWriter::with_capacity(1 << 20, File::create(path)?),
            image: Image::default(),
            waiting: Vec::new(),
            len: 0,
            crc: crc32fast::Hasher::new(),
            table_crc: crc32fast::Hasher::new(),
        })
    }

    fn start(&mut self, name: &str) {
        let next = self.image.tables.last().map_or(0, |t| t.first_sector + t.sectors);
        self.image.table(name);
        self.table_crc = crc32fast::Hasher::new();
        if let Some(table) = self.image.tables.last_mut() {
            table.first_sector = next;
            table.chunks.clear();
        }
    }

    fn table(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.start(name);
        self.write_all(bytes)?;
        self.end()
    }

    /// Writes what waits, and the terminator of the table.
    fn end(&mut self) -> Result<()> {
        self.put()?;
        let (crc, len) = (self.table_crc.clone().finalize(), self.len);
        let table = self.image.tables.last_mut().ok_or("no table")?;
        table.checksum = (2, 32, crc);
        let start = table.sectors;
        table.chunks.push(Chunk { kind: TERMINATOR, start, sectors: 0, offset: len, length: 0 });
        Ok(())
    }

    /// Compresses and writes what waits.
    fn put(&mut self) -> io::Result<()> {
        let chunks: Vec<&[u8]> = self.waiting.chunks(CHUNK).collect();
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        let mut packed: Vec<(u32, Vec<u8>)> = Vec::new();
        std::thread::scope(|scope| -> io::Result<()> {
            let share = chunks.len().div_ceil(threads).max(1);
            let running: Vec<_> = chunks
                .chunks(share)
                .map(|some| {
                    scope
                        .spawn(move || some.iter().map(|c| pack(c)).collect::<io::Result<Vec<_>>>())
                })
                .collect();
            for thread in running {
                packed.extend(thread.join().map_err(|_| io::Error::other("a thread failed"))??);
            }
            Ok(())
        })?;
        let table = self.image.tables.last_mut().ok_or_else(|| io::Error::other("no table"))?;
        for (plain, (kind, stored)) in chunks.iter().zip(&packed) {
            let (length, sectors) = (stored.len() as u64, plain.len() as u64 / SECTOR);
            let start = table.sectors;
            table.chunks.push(Chunk { kind: *kind, start, sectors, offset: self.len, length });
            table.sectors += sectors;
            self.file.write_all(stored)?;
            self.crc.update(stored);
            self.len += length;
            if *kind != 2 {
                self.table_crc.update(plain);
            }
        }
        self.waiting.clear();
        Ok(())
    }

    fn finish(mut self, sectors: u64) -> Result<()> {
        // Property list and trailer are those of an image without data; what depends on the data
        // is put right in the trailer.
        self.image.sector_count = Some(sectors);
        let (len, crc) = (self.len.to_be_bytes(), self.crc.finalize().to_be_bytes());
        self.image.patches = vec![(32, len.to_vec()), (88, crc.to_vec()), (216, len.to_vec())];
        self.file.write_all(&self.image.build())?;
        Ok(self.file.flush()?)
    }
}

impl Write for Udif {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let n = data.len().min(BATCH * CHUNK - self.waiting.len());
        self.waiting.extend_from_slice(data.get(..n).unwrap_or_default());
        if self.waiting.len() == BATCH * CHUNK {
            self.put()?;
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Type and stored form of a chunk: left out when zero, as it is when zlib gains nothing.
fn pack(chunk: &[u8]) -> io::Result<(u32, Vec<u8>)> {
    if chunk.iter().all(|b| *b == 0) {
        return Ok((2, Vec::new()));
    }
    // Most of the disk is noise; pieces from the start, the middle and the end show it quickly.
    let pieces = [0, chunk.len() / 2, chunk.len().saturating_sub(2048)];
    let sample: Vec<u8> =
        pieces.iter().flat_map(|at| chunk.iter().skip(*at).take(2048)).copied().collect();
    if zlib(&sample, flate2::Compression::fast())?.len() < sample.len() {
        let packed = zlib(chunk, flate2::Compression::default())?;
        if packed.len() < chunk.len() {
            return Ok((0x8000_0005, packed));
        }
    }
    Ok((1, chunk.to_vec()))
}

fn zlib(data: &[u8], level: flate2::Compression) -> io::Result<Vec<u8>> {
    let mut z = ZlibEncoder::new(Vec::new(), level);
    z.write_all(data)?;
    z.finish()
}
