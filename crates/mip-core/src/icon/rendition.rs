//! One image of an asset catalog.
//!
//! `ISTC`, u32 version, u32 flags, u32 width, u32 height, u32 scale · 100, pixel format (4 bytes),
//! u32 colour space, u32 time, u16 layout, u16, name (128 bytes), u32 length of the tagged values,
//! two u32, u32 length of the data. Tagged values: u32 tag, u32 length, data; tag 1007 is the
//! bytes of a row. The data of a bitmap: `MLEC`, u32 flags (1: in chunks, 2: opaque), u32 how it
//! is packed, u32 length, or number of chunks; a chunk: `KCBC`, u32, u32, u32 rows, u32 length.
//! A file as it is: `DWAR`, u32, u32 length. All numbers are little-endian.

use mip_base::bytes::{le_u16, le_u32, slice};
use mip_base::{Job, escape_bytes, len64};
use mip_codec::block::{Codec, decode};

use super::bitmap::{Bitmap, SIGNATURE, png_pixels};
use super::{Icon, MAX_PIXELS};

/// Bytes before the tagged values.
const HEAD: usize = 184;
/// The tag of the bytes of a row.
const ROW: u32 = 1007;
/// Tagged values that are looked at.
const MAX_TAGS: usize = 64;
/// Most bytes that a row may be padded by.
const MAX_PADDING: usize = 1024;
/// Bit of the flags of a bitmap: in chunks.
const CHUNKS: u32 = 1;
/// Bit of the flags of a bitmap: alpha is to be passed over.
const OPAQUE: u32 = 2;
/// What a palette starts with, after it was unpacked: this, u32 version, u16 colours.
const PALETTE: u32 = 0xcafe_f00d;
/// Most colours of a palette.
const MAX_COLOURS: usize = 4096;

/// How a bitmap is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packing {
    Plain,
    Block(Codec),
    Palette,
    /// By its name: not read.
    Other(&'static str),
}

impl Packing {
    fn of(number: u32) -> Self {
        match number {
            0 => Self::Plain,
            1 => Self::Other("RLE"),
            2 => Self::Block(Codec::Zlib),
            3 => Self::Block(Codec::Lzvn),
            4 => Self::Block(Codec::Lzfse),
            5 => Self::Other("JPEG with LZFSE"),
            7 => Self::Other("ASTC"),
            8 => Self::Palette,
            9 => Self::Other("HEVC"),
            10 => Self::Other("deepmap"),
            11 => Self::Other("deepmap2"),
            12 => Self::Other("DXTC"),
            _ => Self::Other("an unknown packing"),
        }
    }
}

/// What the pixels are before they are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// B, G, R, A; alpha is multiplied in.
    Colour,
    /// Grey, A; alpha is multiplied in.
    Grey,
}

impl Format {
    const fn bytes(self) -> usize {
        match self {
            Self::Colour => 4,
            Self::Grey => 2,
        }
    }
}

/// An image of an asset catalog that could be an icon.
#[derive(Debug)]
pub(super) struct Rendition<'a> {
    pub(super) pixels: u32,
    content: Content<'a>,
}

#[derive(Debug)]
enum Content<'a> {
    Png(&'a [u8]),
    Bitmap { format: Format, packing: Packing, flags: u32, count: u32, row: usize, data: &'a [u8] },
}

impl<'a> Rendition<'a> {
    /// `None` for what is no image of its own: sets of sizes, and parts of other images.
    pub(super) fn open(csi: &'a [u8]) -> Option<Result<Self, String>> {
        let tag = csi.strip_prefix(b"ISTC").filter(|_| csi.len() >= HEAD)?;
        let (w, h) = (le_u32(tag, 8)?, le_u32(tag, 12)?);
        let tags = usize::try_from(le_u32(csi, 168)?).ok()?;
        let len = usize::try_from(le_u32(csi, 180)?).ok()?;
        if w != h || w == 0 || len == 0 {
            return None;
        }
        let bad = |why: &str| Some(Err(format!("an image of the asset catalog {why}")));
        if w > MAX_PIXELS {
            return bad(&format!("of {w} pixels"));
        }
        let payload = HEAD.checked_add(tags).and_then(|at| slice(csi, at, len));
        let (Some(tags), Some(data)) = (slice(csi, HEAD, tags), payload) else {
            return bad("that is cut");
        };
        let format = slice(csi, 24, 4)?;
        if data.starts_with(b"DWAR") {
            let file = data.get(12..).unwrap_or_default();
            let file = le_u32(data, 8)
                .and_then(|n| usize::try_from(n).ok())
                .and_then(|len| file.get(..len))
                .unwrap_or(file);
            if !file.starts_with(SIGNATURE) {
                return bad(&format!("in the format \"{}\" (not decoded)", reversed(format)));
            }
            let pixels = png_pixels(file).map_err(|why| format!("{why} in the asset catalog"));
            return Some(pixels.map(|pixels| Self { pixels, content: Content::Png(file) }));
        }
        let (true, Some(flags), Some(packing), Some(count)) =
            (data.starts_with(b"MLEC"), le_u32(data, 4), le_u32(data, 8), le_u32(data, 12))
        else {
            return None;
        };
        let format = match format {
            b"BGRA" => Format::Colour,
            b" 8AG" => Format::Grey,
            other => {
                return bad(&format!("with pixels of \"{}\" (not decoded)", reversed(other)));
            }
        };
        let tight = usize::try_from(w).ok()?.checked_mul(format.bytes())?;
        let row = row_bytes(tags).unwrap_or(tight);
        if row < tight || row > tight.saturating_add(MAX_PADDING) {
            return bad(&format!("with rows of {row} bytes"));
        }
        let packing = Packing::of(packing);
        let data = data.get(16..).unwrap_or_default();
        let content = Content::Bitmap { format, packing, flags, count, row, data };
        Some(Ok(Self { pixels: w, content }))
    }

    /// Whether it takes work to find out that this cannot be read.
    pub(super) fn is_known(&self) -> bool {
        !matches!(self.content, Content::Bitmap { packing: Packing::Other(_), .. })
    }

    /// The image as PNG.
    pub(super) fn icon(&self, job: &Job) -> Result<Icon, String> {
        let pixels = self.pixels;
        let (format, packing, flags, count, row, data) = match &self.content {
            Content::Png(png) if pixels <= MAX_PIXELS => {
                return Ok(Icon { png: png.to_vec(), pixels });
            }
            Content::Png(_) => return Err(format!("an image of {pixels} pixels")),
            Content::Bitmap { format, packing, flags, count, row, data } => {
                (*format, *packing, *flags, *count, *row, *data)
            }
        };
        let codec = match packing {
            Packing::Plain => None,
            Packing::Block(codec) => Some(codec),
            Packing::Palette if format == Format::Grey => {
                return Err("a grey image with a palette".to_owned());
            }
            Packing::Palette => None,
            Packing::Other(name) => {
                return Err(format!(
                    "an image of {pixels} pixels in the asset catalog that is packed with {name} (not decoded)"
                ));
            }
        };
        let edge = usize::try_from(pixels).unwrap_or(0);
        let opaque = flags & OPAQUE != 0;
        let mut rgba: Vec<[u8; 4]> = Vec::new();
        for (rows, data) in chunks(data, flags, count, edge)? {
            let rows = rows.min(edge.saturating_sub(rgba.len().checked_div(edge).unwrap_or(0)));
            if packing == Packing::Palette {
                let room = palette_room(edge, rows);
                rgba.extend(palette(&unpack(codec, data, room, job)?, edge, rows)?);
                continue;
            }
            let whole = row.saturating_mul(rows);
            let bytes = unpack(codec, data, whole, job)?;
            if bytes.len() < whole {
                return Err("an image of the asset catalog that is cut".to_owned());
            }
            let tight = edge.saturating_mul(format.bytes());
            for line in bytes.chunks(row).filter_map(|r| r.get(..tight)) {
                match format {
                    Format::Colour => rgba.extend(
                        line.as_chunks::<4>().0.iter().map(|[b, g, r, a]| [*r, *g, *b, *a]),
                    ),
                    Format::Grey => {
                        rgba.extend(line.as_chunks::<2>().0.iter().map(|[g, a]| [*g, *g, *g, *a]))
                    }
                }
            }
        }
        if opaque {
            rgba.iter_mut().for_each(|[.., a]| *a = u8::MAX);
        }
        let mut bitmap = Bitmap::new(pixels, rgba)
            .ok_or_else(|| "an image of the asset catalog with too few rows".to_owned())?;
        bitmap.unmultiply();
        Ok(Icon { png: bitmap.png(), pixels })
    }
}

/// The bytes of a row, from the tagged values.
fn row_bytes(mut tags: &[u8]) -> Option<usize> {
    for _ in 0..MAX_TAGS {
        let len = usize::try_from(le_u32(tags, 4)?).ok()?;
        if le_u32(tags, 0)? == ROW {
            return usize::try_from(le_u32(tags, 8)?).ok();
        }
        tags = tags.get(8..)?.get(len..)?;
    }
    None
}

/// The packed pieces with the rows that each has.
fn chunks(data: &[u8], flags: u32, count: u32, edge: usize) -> Result<Vec<(usize, &[u8])>, String> {
    let cut = || "an image of the asset catalog that is cut".to_owned();
    let number = |n: u32| usize::try_from(n).map_err(|_| cut());
    if flags & CHUNKS == 0 {
        return Ok(vec![(edge, data.get(..number(count)?).ok_or_else(cut)?)]);
    }
    let mut out = Vec::new();
    let mut rest = data;
    let mut rows = 0_usize;
    // Each has a row or more, so a forged count ends with the image.
    for _ in 0..count {
        let chunk = rest.strip_prefix(b"KCBC").ok_or_else(cut)?;
        let (Some(here), Some(len)) = (le_u32(chunk, 8), le_u32(chunk, 12)) else {
            return Err(cut());
        };
        let (here, len) = (number(here)?, number(len)?);
        rows = rows.saturating_add(here);
        if here == 0 || rows > edge {
            return Err("an image of the asset catalog with a wrong number of rows".to_owned());
        }
        out.push((here, slice(chunk, 16, len).ok_or_else(cut)?));
        rest = chunk.get(16..).and_then(|c| c.get(len..)).unwrap_or_default();
    }
    Ok(out)
}

/// Up to `room` bytes of what is packed in `data`.
fn unpack(codec: Option<Codec>, data: &[u8], room: usize, job: &Job) -> Result<Vec<u8>, String> {
    // What is packed with LZVN or a palette may have the blocks of LZFSE around it.
    let codec = if codec != Some(Codec::Zlib) && data.starts_with(b"bvx") {
        Some(Codec::Lzfse)
    } else {
        codec
    };
    let Some(codec) = codec else { return Ok(data.get(..room).unwrap_or(data).to_vec()) };
    let mut out = vec![0; room];
    let done = decode(codec, data, &mut out, job)
        .and_then(|done| job.expanded(len64(done.produced)).map(|()| done))
        .map_err(|e| format!("an image of the asset catalog that is damaged: {e}"))?;
    out.truncate(done.produced);
    Ok(out)
}

/// Bytes of a row of indices: whole words of 16 bits.
fn index_row(edge: usize, bits: usize) -> usize {
    edge.saturating_mul(bits).div_ceil(16).saturating_mul(2)
}

/// The most that a palette and indices of two bytes take.
fn palette_room(edge: usize, rows: usize) -> usize {
    let colours = MAX_COLOURS.saturating_mul(4).saturating_add(10);
    index_row(edge, 16).saturating_mul(rows).saturating_add(colours)
}

/// Colours (A, R, G, B, alpha multiplied in), then indices of 1, 2, 4, 8 or 16 bits; the first of
/// each little-endian word is in its highest bits.
fn palette(data: &[u8], edge: usize, rows: usize) -> Result<Vec<[u8; 4]>, String> {
    let bad = || "an image of the asset catalog with a damaged palette".to_owned();
    let count = le_u16(data, 8).map_or(0, usize::from);
    if le_u32(data, 0) != Some(PALETTE)
        || le_u32(data, 4).is_none_or(|version| version > 1)
        || !(1..=MAX_COLOURS).contains(&count)
    {
        return Err(bad());
    }
    let colours = slice(data, 10, count.saturating_mul(4)).ok_or_else(bad)?.as_chunks::<4>().0;
    let indices = data.get(10_usize.saturating_add(count.saturating_mul(4))..).unwrap_or_default();
    let bits = [1_usize, 2, 4, 8, 16];
    let bits = bits.into_iter().find(|b| count <= 1 << b).ok_or_else(bad)?;
    let row = index_row(edge, bits);
    if indices.len() < row.saturating_mul(rows) {
        return Err(bad());
    }
    let per_word = 16_usize.checked_div(bits).unwrap_or(1);
    let mask = u16::MAX.wrapping_shr(u32::try_from(16_usize.saturating_sub(bits)).unwrap_or(0));
    let mut out = Vec::with_capacity(edge.saturating_mul(rows));
    for line in indices.chunks(row).take(rows) {
        for x in 0..edge {
            let (at, nth) = (x.checked_div(per_word), x.checked_rem(per_word));
            let word = at.and_then(|at| le_u16(line, at.saturating_mul(2))).ok_or_else(bad)?;
            let shift =
                bits.saturating_mul(per_word.saturating_sub(1).saturating_sub(nth.unwrap_or(0)));
            let index = word.wrapping_shr(u32::try_from(shift).unwrap_or(0)) & mask;
            let [a, r, g, b] = colours.get(usize::from(index)).ok_or_else(bad)?;
            out.push([*r, *g, *b, *a]);
        }
    }
    Ok(out)
}

/// The name of a pixel format as people write it: in the file, its bytes are in reverse.
fn reversed(format: &[u8]) -> String {
    escape_bytes(&format.iter().rev().copied().collect::<Vec<_>>())
}
