//! A positioned reader for Apple disk images (UDIF, `.dmg`).
//!
//! A UDIF image is a data fork of chunks, tables that say which sectors of the disk each chunk
//! holds (in an XML property list or a classic resource fork), and a trailer of 512 bytes that
//! begins with `koly`. [`Udif::open`] reads trailer and tables, and nothing else. The value is
//! then the decoded disk, as a [`ReadAt`]: a partition map, a file system or a plain copy read
//! from it at any position, from any number of threads.
//!
//! * Every kind of chunk: zero, raw, "ignore", ADC, zlib, bzip2, LZFSE, LZMA, comments.
//! * Tables from the property list or, in images that have none, from the resource fork; data
//!   forks and tables that do not start at byte 0; images from 2001 to today.
//! * A chunk is decoded when it is read. Small reads cost the chunk that they touch, once: decoded
//!   chunks are kept up to [`Limits::image_cache`](mip_base::Limits::image_cache). A read that
//!   covers a whole chunk decodes it straight into the caller's buffer. From the fourth chunk in
//!   sequence on, a few threads decode those that come next.
//! * [`Udif::verify`] compares everything with the image's own checksums.
//! * [`Udif::licence`] is the agreement that macOS shows before it mounts the image.
//!
//! What is checked, and when:
//!
//! * at opening: that every range lies in the file, that chunks tile their table and tables do not
//!   overlap, counts against the bytes that hold them, sizes against limits, and that the same
//!   stored bytes are not used over and over to make a small file huge;
//! * while reading: that each chunk holds exactly the bytes that its table says. The bytes of a
//!   chunk that does not are never given out;
//! * checksums, only by [`Udif::verify`]: reading a part must not cost reading all.
//!
//! Segmented images (`.dmgpart`), NDIF images and unknown kinds of chunks are refused by name.
//! An encrypted image is no UDIF image until it is decrypted.
//!
//! ```
//! use std::sync::Arc;
//! use mip_base::{Job, ReadAt as _};
//! use mip_testkit::udif::{Image, Pack};
//! use mip_udif::Udif;
//!
//! # fn main() -> mip_base::Result<()> {
//! let file = Image::of(&[(Pack::Zlib, &[b'x'; 2048]), (Pack::Zero, &[0; 512])]).build();
//! let job = Job::default();
//! let disk = Udif::open(Arc::new(file), &job)?;
//! assert_eq!((disk.size(), disk.codecs()), (2560, vec!["zlib"]));
//!
//! let mut four = [0; 4];
//! disk.read_at(2046, &mut four).expect("it is a good image");
//! assert_eq!(&four, b"xx\0\0");
//! assert_eq!(disk.verify(2, &job)?.tables_checked, 1);
//! # Ok(())
//! # }
//! ```
#![cfg_attr(
    test,
    allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation, clippy::string_slice)
)]

mod ahead;
mod cache;
mod fork;
mod koly;
mod licence;
mod mish;
mod reader;
mod resources;
mod rtf;
mod runs;
mod script;
mod verify;

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};

use mip_base::{Code, Error, Job, ReadAt, Result, Source, len64};

pub use koly::{Checksum, TRAILER_LEN, Trailer};
pub use licence::{Agreement, Licence};
pub use mish::Table;
pub use resources::{Resource, Resources};
pub use verify::Verified;

use ahead::{Pool, Touch};
use mish::Bounds;
use reader::Disk;
use runs::{Kind, Run, Runs, SECTOR};

/// An open disk image; as a [`ReadAt`], the decoded disk. Clones share everything.
#[derive(Clone)]
pub struct Udif {
    inner: Arc<Inner>,
}

struct Inner {
    trailer: Trailer,
    tables: Vec<Table>,
    resources: Resources,
    licence: OnceLock<Option<Licence>>,
    notes: Vec<String>,
    size: u64,
    disk: Arc<Disk>,
    /// Dropped with the last clone; the threads hold the disk, never this.
    pool: Pool,
}

impl fmt::Debug for Udif {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Udif")
            .field("size", &self.inner.size)
            .field("tables", &self.inner.tables)
            .finish_non_exhaustive()
    }
}

impl Udif {
    /// Whether a file with this start (at least 512 bytes, where it has them) and these last 512
    /// bytes says that it is such an image.
    #[must_use]
    pub fn sniff(head: &[u8], tail: &[u8]) -> bool {
        let last = tail.len().saturating_sub(512);
        tail.get(last..).is_some_and(|t| t.starts_with(b"koly")) || head.starts_with(b"koly")
    }

    /// Opens an image: reads its trailer, its resources and its block tables, and checks them.
    /// No chunk is decoded.
    ///
    /// # Errors
    /// [`Code::DmgTrailer`], [`Code::DmgResources`], [`Code::DmgMish`], [`Code::DmgChunk`] (a
    /// chunk outside the data fork), [`Code::DmgChunkSize`] for what breaks the format;
    /// [`Code::Unsupported`] for segmented and NDIF images, and for unknown versions and kinds of
    /// chunks; [`Code::Limit`], [`Code::LimitMemory`], [`Code::LimitExpanded`]; what reading
    /// `source` and its property list report.
    pub fn open(source: Source, job: &Job) -> Result<Self> {
        let trailer = Trailer::find(&source)?;
        let mut resources = Resources::read(&source, &trailer, job)?;
        let tables = resources.take_tables();
        let mut notes = Vec::new();
        if trailer.prefix != 0 {
            notes.push(format!("{} bytes before the image", trailer.prefix));
        }
        let (tables, runs) = read_tables(&tables, &trailer, &resources, &mut notes, job)?;
        let size = disk_size(&tables, &runs, &trailer, &mut notes)?;
        let disk = Disk::new(source, Runs::new(runs), job);
        let inner = Inner {
            trailer,
            tables,
            resources,
            licence: OnceLock::new(),
            notes,
            size,
            disk: Arc::new(disk),
            pool: Pool::new(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The trailer.
    #[must_use]
    pub fn trailer(&self) -> &Trailer {
        &self.inner.trailer
    }

    /// The block tables, in the order of the disk.
    #[must_use]
    pub fn tables(&self) -> &[Table] {
        &self.inner.tables
    }

    /// The resources, without the block tables.
    #[must_use]
    pub fn resources(&self) -> &Resources {
        &self.inner.resources
    }

    /// The licence agreement that macOS shows before it mounts the image, where there is one.
    /// A malformed one never keeps an image from being read: see [`Licence::notes`].
    #[must_use]
    pub fn licence(&self) -> Option<&Licence> {
        self.inner.licence.get_or_init(|| licence::read(&self.inner.resources)).as_ref()
    }

    /// What is unusual about this image and was accepted.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.inner.notes
    }

    /// How the image is packed: the names of all codecs in use ("zlib", "bzip2", "LZFSE", "LZMA",
    /// "ADC", "raw"), in alphabetical order.
    #[must_use]
    pub fn codecs(&self) -> Vec<&'static str> {
        let mut names = std::collections::BTreeSet::new();
        for run in self.inner.disk.runs.all() {
            match run.kind {
                Kind::Packed(codec) => names.insert(reader::name(codec)),
                Kind::Raw => names.insert("raw"),
                Kind::Zero | Kind::Ignore => false,
            };
        }
        names.into_iter().collect()
    }

    /// Decodes everything once, on up to `threads` threads, and compares it with the image's own
    /// checksums: the CRC-32 of each table (over the decoded bytes, without "ignore" chunks), of
    /// the data fork, and of the tables' checksums. CRC-32 finds damage, not deceit.
    ///
    /// # Errors
    /// [`Code::DmgChecksum`] for what does not match; what reading the chunks reports.
    pub fn verify(&self, threads: usize, job: &Job) -> Result<Verified> {
        let inner = &self.inner;
        verify::verify(&inner.disk, &inner.trailer, &inner.tables, threads, job)
    }

    /// Notes that a packed run was read, and has the next ones decoded when it is one of a sequence.
    fn touched(&self, run: usize) {
        let threads = ahead::threads();
        if threads < 2 {
            return;
        }
        let disk = &self.inner.disk;
        let window = disk.cache.limit() / 2;
        match disk.streams.touch(run, &disk.runs, window, threads.saturating_mul(3)) {
            Touch::Same | Touch::Other => {}
            Touch::Sequential { passed, wanted } => {
                disk.cache.spent(passed);
                self.inner.pool.taken(run);
                self.inner.pool.want(&wanted, disk);
            }
        }
    }
}

impl ReadAt for Udif {
    fn size(&self) -> u64 {
        self.inner.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.inner.size.saturating_sub(offset);
        let n = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        let Some(buf) = buf.get_mut(..n) else { return Ok(0) };
        let mut done = 0_usize;
        while let Some(rest) = buf.get_mut(done..).filter(|r| !r.is_empty()) {
            let at = offset.saturating_add(len64(done));
            match self.inner.disk.piece(at, rest, |run| self.touched(run)) {
                Ok(len) => done = done.saturating_add(len),
                // What came before the error is good; the next read starts at the error.
                Err(_) if done > 0 => break,
                Err(e) => return Err(e.into()),
            }
        }
        Ok(done)
    }
}

/// The runs of all tables, sorted, and the tables.
fn read_tables(
    blocks: &[Resource],
    trailer: &Trailer,
    resources: &Resources,
    notes: &mut Vec<String>,
    job: &Job,
) -> Result<(Vec<Table>, Vec<Run>)> {
    let limits = job.limits();
    if len64(blocks.len()) > limits.image_tables {
        let found = len64(blocks.len());
        return Err(Error::limit(Code::Limit, "image-tables", limits.image_tables, found));
    }
    if blocks.is_empty() {
        return no_tables(trailer, resources, notes);
    }
    let (data_at, data_len) = trailer.data_fork;
    let bounds =
        Bounds { data_at, data_len, chunk: limits.image_chunk, chunks: limits.image_chunks };
    // In the order of the disk, so that the runs come out sorted.
    let mut order: Vec<(usize, &Resource)> = blocks.iter().enumerate().collect();
    order.sort_by_key(|(_, r)| mish::first_sector(&r.data));
    let (mut tables, mut runs, mut stored) = (Vec::<Table>::new(), Vec::new(), 0);
    for (position, block) in order {
        let mut table = mish::read(block, &bounds, &mut runs, &mut stored, job)?;
        table.position = position;
        if let Some(before) = tables.last().filter(|t| t.end() > table.first_sector) {
            let why = format!(
                "table {} starts at sector {}, inside table {}",
                table.id, table.first_sector, before.id
            );
            return Err(Error::new(Code::DmgMish, why));
        }
        tables.push(table);
    }
    Ok((tables, runs))
}

/// An image without block tables: a read/write image is its data fork as it is.
fn no_tables(
    trailer: &Trailer,
    resources: &Resources,
    notes: &mut Vec<String>,
) -> Result<(Vec<Table>, Vec<Run>)> {
    let (at, len) = trailer.data_fork;
    if resources.of(b"bcem").next().is_some() {
        return Err(Error::new(Code::Unsupported, "an NDIF disk image (Disk Copy 6)")
            .hint("convert it on a Mac: hdiutil convert old.img -format UDZO -o new.dmg"));
    }
    if len > 0 && trailer.sector_count.checked_mul(SECTOR) == Some(len) {
        notes.push("no block tables: the data fork is the disk".into());
        let run = Run::new(0, trailer.sector_count, Kind::Raw).at(at, 0);
        return Ok((Vec::new(), vec![run]));
    }
    let why = if trailer.plist.1 == 0 && trailer.resource_fork.1 == 0 {
        "neither a property list nor a resource fork: what describes its chunks was lost"
    } else {
        "no block table (blkx)"
    };
    Err(Error::new(Code::DmgResources, why).at(trailer.offset))
}

/// Length of the disk: what the trailer says, or what the tables cover if that is more.
fn disk_size(
    tables: &[Table],
    runs: &[Run],
    trailer: &Trailer,
    notes: &mut Vec<String>,
) -> Result<u64> {
    let covered = tables.last().map_or(0, Table::end).max(runs.last().map_or(0, Run::end));
    let sectors = covered.max(trailer.sector_count);
    if covered != trailer.sector_count {
        notes.push(format!(
            "the tables cover {covered} sectors, the trailer says {}",
            trailer.sector_count
        ));
    }
    let gap = tables.windows(2).any(|w| matches!(w, [a, b] if a.end() < b.first_sector))
        || tables.first().is_some_and(|t| t.first_sector > 0);
    if gap {
        notes.push("sectors that no table covers read as zeros".into());
    }
    // No file can be longer; positions stay far from overflow.
    let most = i64::MAX.cast_unsigned();
    match sectors.checked_mul(SECTOR).filter(|s| *s <= most) {
        Some(size) => Ok(size),
        None => {
            let size = sectors.saturating_mul(SECTOR);
            Err(Error::limit(Code::LimitExpanded, "bytes of a disk", most, size))
        }
    }
}
