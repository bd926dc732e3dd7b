//! JPEG 2000 images: what macOS 10.5 to 10.7 wrote into icon files.
//!
//! The boxes and the headers of the codestream are read here, and only a codestream that is
//! plain and small goes to the decoder: what a decoder spends depends on tiles, precincts and
//! layers at least as much as on pixels. Source: ISO/IEC 15444-1, annexes A and I.

use hayro_jpeg2000::{DecodeSettings, DecoderContext, Image};
use mip_base::bytes::{be_u16, be_u32, slice};

use super::MAX_PIXELS;
use super::bitmap::Bitmap;

/// The signature box of a JP2 file.
const BOXES: &[u8] = b"\0\0\0\x0cjP  \r\n\x87\n";
/// Start of codestream, and the marker that must follow.
const CODESTREAM: &[u8] = b"\xff\x4f\xff\x51";

const SIZ: u16 = 0xff51;
const COD: u16 = 0xff52;
const TLM: u16 = 0xff55;
const PLT: u16 = 0xff58;
const QCD: u16 = 0xff5c;
const QCC: u16 = 0xff5d;
const CRG: u16 = 0xff63;
const COM: u16 = 0xff64;
const SOT: u16 = 0xff90;
const SOD: u16 = 0xff93;
const EOC: u16 = 0xffd9;

/// Smallest edge of a tile; one tile is what encoders of icons write.
const MIN_TILE: u32 = 128;
/// Most quality layers: what the decoder takes.
const MAX_LAYERS: u16 = 32;
/// Most halvings: one more than an image of the largest size has.
const MAX_LEVELS: u8 = 11;
/// Most precincts of all resolutions.
const MAX_PRECINCTS: u32 = 2048;
/// Markers in one header.
const MAX_MARKERS: u32 = 64;
/// Parts that the tiles may come in.
const MAX_PARTS: u32 = 1024;
/// Boxes that are looked at, each of what is in a box too.
const MAX_BOXES: u32 = 64;

/// Whether `data` is of one of the two forms: a file of boxes, or a codestream.
pub(super) fn is_jp2(data: &[u8]) -> bool {
    data.starts_with(BOXES) || data.starts_with(CODESTREAM)
}

/// An image that can be given to the decoder.
pub(super) struct Jp2<'a> {
    codestream: &'a [u8],
    pub(super) pixels: u32,
    components: usize,
    premultiplied: bool,
}

impl<'a> Jp2<'a> {
    /// Reads boxes and headers.
    pub(super) fn open(data: &'a [u8]) -> Result<Self, String> {
        let (codestream, premultiplied) =
            if data.starts_with(BOXES) { boxes(data)? } else { (data, false) };
        let bad = |why: &str| format!("a JPEG 2000 image {why}");
        if !codestream.starts_with(CODESTREAM) {
            return Err(bad("without a codestream"));
        }
        let (pixels, components) = headers(codestream).map_err(|why| bad(&why))?;
        Ok(Self { codestream, pixels, components, premultiplied })
    }

    pub(super) fn decode(&self) -> Result<Bitmap, String> {
        let bad = |why: &dyn std::fmt::Display| format!("a JPEG 2000 image that is damaged: {why}");
        // Strict: a cut image is no image, not a grey one.
        let settings = DecodeSettings { strict: true, ..DecodeSettings::default() };
        let image = Image::new(self.codestream, &settings).map_err(|e| bad(&e))?;
        let mut context = DecoderContext::default();
        let decoded = image.decode(&mut context).map_err(|e| bad(&e))?;
        let planes = decoded.components();
        let count = usize::try_from(self.pixels.saturating_mul(self.pixels)).unwrap_or(0);
        if planes.len() != self.components || planes.iter().any(|p| p.samples().len() != count) {
            return Err(bad(&"its planes are not of one size"));
        }
        let plane = |n: usize| {
            let p = planes.get(n)?;
            let most = f32::from(u16::MAX >> 16_u8.saturating_sub(p.bit_depth()).min(15));
            Some(p.samples().iter().map(move |s| byte(*s / most)))
        };
        let colours = if self.components < 3 { [0, 0, 0] } else { [0, 1, 2] };
        let alpha = self.components.is_multiple_of(2).then(|| self.components.saturating_sub(1));
        let none = || bad(&"a plane is missing");
        let mut rgba = vec![[0, 0, 0, u8::MAX]; count];
        for (to, from) in colours.into_iter().enumerate() {
            let samples = plane(from).ok_or_else(none)?;
            for (pixel, c) in rgba.iter_mut().zip(samples) {
                if let Some(p) = pixel.get_mut(to) {
                    *p = c;
                }
            }
        }
        if let Some(from) = alpha {
            for ([.., a], c) in rgba.iter_mut().zip(plane(from).ok_or_else(none)?) {
                *a = c;
            }
        }
        let mut out = Bitmap::new(self.pixels, rgba).ok_or_else(none)?;
        if self.premultiplied {
            out.unmultiply();
        }
        Ok(out)
    }
}

/// A share of one as 0 to 255. What is no number is 0.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the value is between 0 and 255"
)]
fn byte(share: f32) -> u8 {
    (share * 255.0).round().clamp(0.0, 255.0) as u8
}

/// The codestream in a file of boxes, and whether its alpha is multiplied into the colours.
fn boxes(data: &[u8]) -> Result<(&[u8], bool), String> {
    let (mut codestream, mut premultiplied) = (None, false);
    for (kind, content) in Boxes::of(data) {
        match kind {
            b"jp2h" => {
                for (kind, content) in Boxes::of(content) {
                    match kind {
                        b"pclr" => return Err("a JPEG 2000 image with a palette".to_owned()),
                        b"colr" => colour_space(content)?,
                        b"cdef" => premultiplied |= is_premultiplied(content),
                        _ => {}
                    }
                }
            }
            b"jp2c" => codestream = codestream.or(Some(content)),
            _ => {}
        }
    }
    let codestream = codestream.ok_or("a JPEG 2000 image without a codestream")?;
    Ok((codestream, premultiplied))
}

/// `colr`: u8 method, u8, u8, then for method 1 a u32. Profiles are not applied: those in icons
/// are of displays, close to sRGB.
fn colour_space(content: &[u8]) -> Result<(), String> {
    const SRGB: u32 = 16;
    const GREY: u32 = 17;
    match (content.first(), be_u32(content, 3)) {
        (Some(1), Some(space)) if space != SRGB && space != GREY => {
            Err(format!("a JPEG 2000 image in the colour space {space}"))
        }
        _ => Ok(()),
    }
}

/// `cdef`: u16 count, then that many u16 channel, type and association. Type 2 is alpha that is
/// multiplied in.
fn is_premultiplied(content: &[u8]) -> bool {
    let entries = content.get(2..).unwrap_or_default().as_chunks::<6>().0;
    entries.iter().any(|e| be_u16(e, 2) == Some(2))
}

/// The boxes one after the other: u32 length with these 8 bytes (0: to the end, 1: u64 follows)
/// and a kind. Ends at the first that is cut.
struct Boxes<'a> {
    rest: &'a [u8],
    left: u32,
}

impl<'a> Boxes<'a> {
    fn of(rest: &'a [u8]) -> Self {
        Self { rest, left: MAX_BOXES }
    }
}

impl<'a> Iterator for Boxes<'a> {
    type Item = (&'a [u8; 4], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let whole = self.rest;
        let kind = whole.get(4..)?.first_chunk::<4>()?;
        let (head, len) = match be_u32(whole, 0)? {
            0 => (8, whole.len()),
            1 => (16, usize::try_from(mip_base::bytes::be_u64(whole, 8)?).ok()?),
            n => (8, usize::try_from(n).ok()?),
        };
        let content = whole.get(head..len)?;
        self.rest = whole.get(len..).unwrap_or_default();
        Some((kind, content))
    }
}

/// Checks the headers of the codestream and of its tiles; gives edge and number of planes.
fn headers(stream: &[u8]) -> Result<(u32, usize), String> {
    let cut = || "is cut".to_owned();
    let mut at = 2_usize;
    let mut found = None;
    let mut coded = false;
    for _ in 0..MAX_MARKERS {
        let marker = be_u16(stream, at).ok_or_else(cut)?;
        if marker == SOT {
            let found = found.filter(|_| coded).ok_or("without its size or its coding style")?;
            parts(stream, at)?;
            return Ok(found);
        }
        let len = usize::from(be_u16(stream, at.saturating_add(2)).ok_or_else(cut)?);
        let body = slice(stream, at.saturating_add(4), len.checked_sub(2).ok_or_else(cut)?);
        let body = body.ok_or_else(cut)?;
        match marker {
            SIZ if found.is_none() => found = Some(size(body)?),
            COD if !coded => {
                let (edge, _) = found.ok_or("whose header is out of order")?;
                coding(body, edge)?;
                coded = true;
            }
            // Quantisation of all or of one plane, comments, lengths of tile-parts, offsets.
            QCD | QCC | COM | TLM | CRG => {}
            m => return Err(format!("with the marker {m:#06x} in its header")),
        }
        at = at.saturating_add(2).saturating_add(len);
    }
    Err("with too many markers".to_owned())
}

/// `SIZ`: u16, then u32 width and height, offsets, tile's width and height, offsets; u16 planes;
/// for each u8 depth − 1 (with a sign bit) and two u8 of subsampling.
fn size(body: &[u8]) -> Result<(u32, usize), String> {
    let field = |at| be_u32(body, at).ok_or_else(|| "is cut".to_owned());
    let (w, h) = (field(2)?, field(6)?);
    if w != h || w == 0 {
        return Err("that is not square".to_owned());
    }
    if w > MAX_PIXELS {
        return Err(format!("of {w} pixels"));
    }
    let offsets = [field(10)?, field(14)?, field(26)?, field(30)?];
    let least = w.min(MIN_TILE);
    if offsets != [0; 4] || field(18)? < least || field(22)? < least {
        return Err("with an unusual grid of tiles".to_owned());
    }
    let planes = body.get(36..).unwrap_or_default().as_chunks::<3>().0;
    let plain = |p: &&[u8; 3]| p.first().is_some_and(|depth| *depth < 16) && p.ends_with(&[1, 1]);
    let count = planes.iter().take_while(plain).count();
    if be_u16(body, 34).map(usize::from) != Some(count) || !(1..=4).contains(&count) {
        return Err("with unusual planes".to_owned());
    }
    Ok((w, count))
}

/// `COD`: u8 style, u8 order, u16 layers, u8 transform of colours, u8 levels, u8 and u8 size of
/// code blocks, u8, u8 wavelet; with style bit 0 a u8 per resolution: size of precincts.
fn coding(body: &[u8], edge: u32) -> Result<(), String> {
    let byte = |at: usize| body.get(at).copied().ok_or_else(|| "is cut".to_owned());
    let layers = be_u16(body, 2).ok_or("is cut")?;
    let levels = byte(5)?;
    if !(1..=MAX_LAYERS).contains(&layers) || levels > MAX_LEVELS {
        return Err(format!("with {layers} layers and {levels} levels"));
    }
    // Code blocks of 4 to 64 pixels, and not more than 4096 in one.
    if byte(6)? > 4 || byte(7)? > 4 {
        return Err("with unusual code blocks".to_owned());
    }
    // From the smallest resolution to the whole image; the width is in the low four bits.
    let precincts = if byte(0)? & 1 == 1 { body.get(10..).unwrap_or_default() } else { &[] };
    let mut count = 0_u32;
    for (size, halvings) in precincts.iter().zip((0..=levels).rev()) {
        let edge = edge.div_ceil(1_u32.wrapping_shl(halvings.into()));
        let across = |power: u8| edge.div_ceil(1_u32.wrapping_shl(power.into()));
        count = count.saturating_add(across(size & 15).saturating_mul(across(size >> 4)));
    }
    if count > MAX_PRECINCTS {
        return Err(format!("with {count} precincts"));
    }
    Ok(())
}

/// Where the data of a tile-part starts whose header goes on at `at`. Coding styles, orders and
/// regions of one tile are nothing that icons have.
fn tile(stream: &[u8], mut at: usize) -> Result<usize, String> {
    let cut = || "is cut".to_owned();
    for _ in 0..MAX_MARKERS {
        let marker = be_u16(stream, at).ok_or_else(cut)?;
        at = at.saturating_add(2);
        match marker {
            SOD => return Ok(at),
            // Quantisation, comments, lengths of packets.
            QCD | QCC | COM | PLT => {}
            m => return Err(format!("with the marker {m:#06x} in the header of a tile")),
        }
        at = at.saturating_add(be_u16(stream, at).ok_or_else(cut)?.into());
    }
    Err("with too many markers".to_owned())
}

/// The tile-parts from `at` to the end: none may change what was checked. `SOT`: u16 length,
/// u16 tile, u32 bytes of the part with its marker (0: to the end), u8, u8.
fn parts(stream: &[u8], mut at: usize) -> Result<(), String> {
    let cut = || "is cut".to_owned();
    for _ in 0..MAX_PARTS {
        match be_u16(stream, at) {
            None | Some(EOC) => return Ok(()),
            Some(SOT) => {}
            Some(m) => return Err(format!("with the marker {m:#06x} between its tiles")),
        }
        let len = be_u32(stream, at.saturating_add(6)).ok_or_else(cut)?;
        let end = match usize::try_from(len).map_err(|_| cut())? {
            0 => stream.len(),
            len => at.saturating_add(len),
        };
        let data = tile(stream, at.saturating_add(12))?;
        if end < data {
            return Err(cut());
        }
        at = end;
    }
    Err("in too many parts".to_owned())
}
