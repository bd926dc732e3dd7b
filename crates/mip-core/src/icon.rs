//! The icon of an app as PNG, out of an `.icns` file.
//!
//! An icon never decides whether a conversion succeeds: what cannot be read gives a reason.

use icns::{IconElement, IconFamily, IconType, OSType};
use mip_base::bytes::{be_u32, slice};

/// Largest width and height in pixels.
pub const MAX_PIXELS: u32 = 1024;

/// Most images of one file that are looked at.
const MAX_IMAGES: usize = 64;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// A PNG image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Icon {
    /// The PNG file.
    pub png: Vec<u8>,
    /// Width and height in pixels.
    pub pixels: u32,
}

/// The largest image of an `.icns` file that is no larger than [`MAX_PIXELS`]. A PNG in it is
/// taken as it is; the classic bitmaps are decoded and written as PNG. JPEG 2000 is not decoded.
///
/// # Errors
/// Why there is none, in words.
pub fn from_icns(data: &[u8]) -> Result<Icon, String> {
    let images = images(data)?;
    let mut best: Option<Icon> = None;
    let mut reason = "no image of a known type".to_owned();
    for (_, image) in images.iter().filter(|(_, d)| d.starts_with(PNG)) {
        match png_pixels(image) {
            Ok(pixels) if pixels > MAX_PIXELS => reason = format!("an image of {pixels} pixels"),
            Ok(pixels) if best.as_ref().is_none_or(|b| b.pixels < pixels) => {
                best = Some(Icon { png: image.to_vec(), pixels });
            }
            Ok(_) => {}
            Err(why) => reason = why,
        }
    }
    match best {
        Some(icon) => Ok(icon),
        None => bitmap(&images).map_err(|why| why.unwrap_or(reason)),
    }
}

/// The type and the data of an image.
type Element<'d> = ([u8; 4], &'d [u8]);

/// The images of the file: a sequence of type, length (with these 8 bytes) and data.
fn images(data: &[u8]) -> Result<Vec<Element<'_>>, String> {
    let cut = || "the icon file is damaged or cut".to_owned();
    if !data.starts_with(b"icns") {
        return Err("is not an icns file".to_owned());
    }
    let len = be_u32(data, 4).and_then(|n| usize::try_from(n).ok()).ok_or_else(cut)?;
    let mut rest = data.get(8..len).ok_or_else(cut)?;
    let mut found = Vec::new();
    while !rest.is_empty() && found.len() < MAX_IMAGES {
        let kind = *rest.first_chunk::<4>().ok_or_else(cut)?;
        let len = be_u32(rest, 4).and_then(|n| usize::try_from(n).ok()).ok_or_else(cut)?;
        found.push((kind, rest.get(8..len).ok_or_else(cut)?));
        rest = rest.get(len..).unwrap_or_default();
    }
    Ok(found)
}

/// Checks the chunks of a PNG (their lengths and CRCs, `IHDR` first, `IEND` last) and returns
/// its width. Images of an icon are square.
fn png_pixels(png: &[u8]) -> Result<u32, String> {
    let bad = |why: &str| Err(format!("a PNG that {why}"));
    let mut rest = png.get(PNG.len()..).unwrap_or_default();
    let mut pixels = None;
    loop {
        let Some(len) = be_u32(rest, 0).and_then(|n| usize::try_from(n).ok()) else {
            return bad("is cut");
        };
        let end = len.saturating_add(8);
        let (Some(body), Some(crc)) = (rest.get(4..end), be_u32(rest, end)) else {
            return bad("is cut");
        };
        if crc32fast::hash(body) != crc {
            return bad("has a wrong checksum");
        }
        let kind = body.get(..4).unwrap_or_default();
        match pixels {
            None if kind == b"IHDR" && len == 13 => match (be_u32(body, 4), be_u32(body, 8)) {
                (Some(w), Some(h)) if w == h && w > 0 => pixels = Some(w),
                _ => return bad("is not square"),
            },
            // Apple's own variant starts with `CgBI`, and no other program reads it.
            None => return bad("does not start with IHDR"),
            Some(pixels) if kind == b"IEND" => return Ok(pixels),
            Some(_) => {}
        }
        rest = slice(rest, end, rest.len().saturating_sub(end))
            .and_then(|r| r.get(4..))
            .unwrap_or_default();
    }
}

/// Bitmaps with a mask of their own, largest first, and their largest stored length: RLE never
/// needs more than a byte more per 128 of 4 planes, and 4 bytes at the start.
const BITMAPS: &[IconType] =
    &[IconType::RGB24_128x128, IconType::RGB24_48x48, IconType::RGB24_32x32, IconType::RGB24_16x16];

/// The largest classic bitmap. `Err(None)` when there is none.
fn bitmap(images: &[Element<'_>]) -> Result<Icon, Option<String>> {
    let mut why = None;
    for kind in BITMAPS {
        let element = |kind: IconType| {
            let OSType(name) = kind.ostype();
            let most = kind.pixel_width().saturating_mul(kind.pixel_height()).saturating_mul(5);
            let most = usize::try_from(most).unwrap_or(0);
            let (_, data) = images.iter().find(|(k, d)| *k == name && d.len() <= most)?;
            Some(IconElement::new(kind.ostype(), data.to_vec()))
        };
        let Some(image) = element(*kind) else { continue };
        let mut family = IconFamily::new();
        family.elements.push(image);
        family.elements.extend(kind.mask_type().and_then(element));
        let mut png = Vec::new();
        match family.get_icon_with_type(*kind).and_then(|i| i.write_png(&mut png)) {
            Ok(()) => return Ok(Icon { png, pixels: kind.pixel_width() }),
            Err(e) => why = Some(format!("a bitmap that cannot be read: {e}")),
        }
    }
    Err(why)
}

#[cfg(test)]
mod tests;
