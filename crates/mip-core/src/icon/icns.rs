//! Icon files (`.icns`): a sequence of images of several sizes and kinds.
//!
//! `icns`, u32 length of the file; then elements of a type (4 bytes), u32 length with these 8
//! bytes, and data. What the data of an element is says its start; the type gives the size where
//! the data does not:
//!
//! * PNG and JPEG 2000 as they are;
//! * `ARGB`, then four packed planes: alpha first;
//! * three packed planes (`is32`, `il32`, `ih32`, `it32`), with the alpha in an element of its own.
//!
//! A plane is packed in runs: a byte below 128 is followed by that many and one bytes as they
//! are, any other by one byte that stands for `n − 125`. Facts from the public description of the
//! format by the libicns project, and from files that `iconutil` wrote. The 8-bit and
//! black-and-white icons of the time before Mac OS X are not decoded.

use mip_base::bytes::{be_u32, slice};

use super::bitmap::{Bitmap, SIGNATURE, png_pixels};
use super::jp2::{Jp2, is_jp2};
use super::{Icon, MAX_PIXELS};

/// Most elements of one file that are looked at.
const MAX_ELEMENTS: usize = 64;
/// Most images that are tried until one can be decoded.
const MAX_TRIES: usize = 8;

/// The pixels of an element whose data starts with `ARGB`.
const ARGB: &[(&[u8; 4], u32)] = &[
    (b"ic04", 16),
    (b"icsb", 18),
    (b"sb24", 24),
    (b"ic05", 32),
    (b"ic11", 32),
    (b"icsB", 36),
    (b"SB24", 48),
    (b"icp4", 16),
    (b"icp5", 32),
    (b"icp6", 48),
    (b"ic12", 64),
    (b"ic07", 128),
    (b"ic08", 256),
    (b"ic13", 256),
    (b"ic09", 512),
    (b"ic14", 512),
    (b"ic10", 1024),
];

/// Types of three planes, their masks, and their pixels.
const PLANES: &[(&[u8; 4], &[u8; 4], u32)] = &[
    (b"is32", b"s8mk", 16),
    (b"il32", b"l8mk", 32),
    (b"ih32", b"h8mk", 48),
    (b"it32", b"t8mk", 128),
];

/// One image of a file, by preference where the size is the same: what needs the least decoding.
enum Kind<'a> {
    Png(&'a [u8]),
    Argb(&'a [u8]),
    Jp2(Jp2<'a>),
    Planes(&'a [u8], Option<&'a [u8]>),
}

impl Kind<'_> {
    fn rank(&self) -> u8 {
        match self {
            Self::Png(_) => 0,
            Self::Argb(_) => 1,
            Self::Jp2(_) => 2,
            Self::Planes(..) => 3,
        }
    }
}

/// Pixels and content.
type Image<'a> = (u32, Kind<'a>);

/// The images of a file that are not too large, best first, and why another is none.
type Images<'a> = (Vec<Image<'a>>, Option<String>);

fn images(data: &[u8]) -> Result<Images<'_>, String> {
    let elements = elements(data)?;
    let (mut found, mut reason) = (Vec::new(), None);
    for (kind, data) in &elements {
        match image(kind, data, &elements) {
            Some(Ok((pixels, image))) if pixels <= MAX_PIXELS => found.push((pixels, image)),
            Some(Ok((pixels, _))) => reason = Some(format!("an image of {pixels} pixels")),
            Some(Err(why)) => reason = Some(why),
            None => {}
        }
    }
    found.sort_by_key(|(pixels, image)| (std::cmp::Reverse(*pixels), image.rank()));
    Ok((found, reason))
}

/// The best image of an icon file.
///
/// # Errors
/// Why there is none, in words.
pub(super) fn best(data: &[u8]) -> Result<Icon, String> {
    let (images, mut reason) = images(data)?;
    for (pixels, image) in images.into_iter().take(MAX_TRIES) {
        let decoded = match image {
            Kind::Png(png) => return Ok(Icon { png: png.to_vec(), pixels }),
            Kind::Argb(packed) => argb(packed, pixels),
            Kind::Jp2(image) => image.decode(),
            Kind::Planes(packed, mask) => masked(packed, mask, pixels),
        };
        match decoded {
            Ok(bitmap) => return Ok(Icon { png: bitmap.png(), pixels }),
            Err(why) => reason = reason.or(Some(why)),
        }
    }
    Err(reason.unwrap_or_else(|| "no image of a known type".to_owned()))
}

/// The pixels of the best image of an icon file by what its headers say; nothing is decoded.
pub(super) fn pixels(data: &[u8]) -> u32 {
    let images = images(data).map(|(images, _)| images).unwrap_or_default();
    images.first().map_or(0, |(pixels, _)| *pixels)
}

/// The type and the data of an element.
type Element<'d> = ([u8; 4], &'d [u8]);

fn elements(data: &[u8]) -> Result<Vec<Element<'_>>, String> {
    let cut = || "the icon file is damaged or cut".to_owned();
    if !data.starts_with(b"icns") {
        return Err("is not an icns file".to_owned());
    }
    let len = be_u32(data, 4).and_then(|n| usize::try_from(n).ok()).ok_or_else(cut)?;
    let mut rest = data.get(8..len).ok_or_else(cut)?;
    let mut found = Vec::new();
    while !rest.is_empty() && found.len() < MAX_ELEMENTS {
        let kind = *rest.first_chunk::<4>().ok_or_else(cut)?;
        let len = be_u32(rest, 4).and_then(|n| usize::try_from(n).ok()).ok_or_else(cut)?;
        found.push((kind, rest.get(8..len).ok_or_else(cut)?));
        rest = rest.get(len..).unwrap_or_default();
    }
    Ok(found)
}

/// What an element is; `None` for what is no image (names, versions, masks, the files for dark
/// mode that are icon files themselves).
fn image<'a>(
    kind: &[u8; 4],
    data: &'a [u8],
    all: &[Element<'a>],
) -> Option<Result<Image<'a>, String>> {
    if data.starts_with(SIGNATURE) {
        return Some(png_pixels(data).map(|pixels| (pixels, Kind::Png(data))));
    }
    if is_jp2(data) {
        return Some(Jp2::open(data).map(|image| (image.pixels, Kind::Jp2(image))));
    }
    if let Some(packed) = data.strip_prefix(b"ARGB") {
        let (_, pixels) = ARGB.iter().find(|(k, _)| *k == kind)?;
        return Some(Ok((*pixels, Kind::Argb(packed))));
    }
    let (_, mask, pixels) = PLANES.iter().find(|(k, ..)| *k == kind)?;
    let mask = all.iter().find(|(k, _)| k == *mask).map(|(_, data)| *data);
    // The planes of the largest start after four zero bytes.
    let packed = data.strip_prefix(&[0; 4]).filter(|_| kind == b"it32").unwrap_or(data);
    Some(Ok((*pixels, Kind::Planes(packed, mask))))
}

/// Four planes: A, R, G, B.
fn argb(packed: &[u8], pixels: u32) -> Result<Bitmap, String> {
    let mut rest = packed;
    let a = plane(&mut rest, pixels)?;
    colours(&mut rest, pixels, &a)
}

/// Three planes, and a mask that is not packed. Without one, all is opaque.
fn masked(packed: &[u8], mask: Option<&[u8]>, pixels: u32) -> Result<Bitmap, String> {
    let count = square(pixels);
    let opaque;
    let mask = match mask {
        Some(mask) => slice(mask, 0, count).ok_or("a bitmap whose mask is cut")?,
        None => {
            opaque = vec![u8::MAX; count];
            opaque.as_slice()
        }
    };
    colours(&mut { packed }, pixels, mask)
}

fn colours(rest: &mut &[u8], pixels: u32, alpha: &[u8]) -> Result<Bitmap, String> {
    let (r, g, b) = (plane(rest, pixels)?, plane(rest, pixels)?, plane(rest, pixels)?);
    let rgba = r.iter().zip(&g).zip(&b).zip(alpha).map(|(((r, g), b), a)| [*r, *g, *b, *a]);
    Bitmap::new(pixels, rgba.collect()).ok_or_else(|| "a bitmap of a wrong size".to_owned())
}

/// One packed plane from the start of `rest`. Runs end where the plane does.
fn plane(rest: &mut &[u8], pixels: u32) -> Result<Vec<u8>, String> {
    let count = square(pixels);
    let cut = || "a bitmap that is cut".to_owned();
    let mut out = Vec::with_capacity(count);
    while out.len() < count {
        let (head, tail) = rest.split_first().ok_or_else(cut)?;
        let used = match usize::from(*head) {
            n @ ..128 => {
                let n = n.saturating_add(1);
                out.extend_from_slice(tail.get(..n).ok_or_else(cut)?);
                n
            }
            n => {
                let to = out.len().saturating_add(n.saturating_sub(125));
                out.resize(to, *tail.first().ok_or_else(cut)?);
                1
            }
        };
        *rest = tail.get(used..).unwrap_or_default();
    }
    match out.len() == count {
        true => Ok(out),
        false => Err("a bitmap whose runs are longer than its planes".to_owned()),
    }
}

fn square(pixels: u32) -> usize {
    let edge = usize::try_from(pixels).unwrap_or(0);
    edge.saturating_mul(edge)
}
