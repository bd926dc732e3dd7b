//! The icon of an app as PNG: out of an icon file (`.icns`) or an asset catalog (`Assets.car`).
//!
//! An icon never decides whether a conversion succeeds: what cannot be read gives a reason.

mod bitmap;
mod catalog;
mod choose;
mod icns;
mod jp2;
mod rendition;

use mip_base::Job;

pub use choose::IconFile;
pub(crate) use choose::{CATALOG, choose, icon_files, is_catalog};

/// Largest width and height in pixels.
pub const MAX_PIXELS: u32 = 1024;

/// Width and height that are enough wherever an icon is shown: an icon file that has them is
/// taken before an asset catalog.
pub const ENOUGH_PIXELS: u32 = 256;

/// A PNG image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Icon {
    /// The PNG file.
    pub png: Vec<u8>,
    /// Width and height in pixels.
    pub pixels: u32,
}

/// The largest image of an `.icns` file that is no larger than [`MAX_PIXELS`]. A PNG in it is
/// taken as it is, and before others of its size; JPEG 2000, ARGB and classic bitmaps are
/// decoded and written as PNG.
///
/// # Errors
/// Why there is none, in words.
pub fn from_icns(data: &[u8]) -> Result<Icon, String> {
    icns::best(data)
}

/// The pixels of the image that [`from_icns`] would try first, by what the headers say; 0 for none.
#[must_use]
pub fn icns_pixels(data: &[u8]) -> u32 {
    icns::pixels(data)
}

/// A PNG file itself, where it is square and no larger than [`MAX_PIXELS`].
///
/// # Errors
/// Why it cannot be used, in words.
pub fn from_png(data: Vec<u8>) -> Result<Icon, String> {
    match bitmap::png_pixels(&data)? {
        pixels if pixels > MAX_PIXELS => Err(format!("an image of {pixels} pixels")),
        _ if !data.starts_with(bitmap::SIGNATURE) => Err("is not a PNG".to_owned()),
        pixels => Ok(Icon { png: data, pixels }),
    }
}

/// The largest image that an asset catalog has of a name, no larger than [`MAX_PIXELS`]; without a name, of `AppIcon`.
/// Bitmaps that are stored plain, with zlib, LZVN, LZFSE or a palette are decoded.
///
/// # Errors
/// Why there is none, in words: also for images that are packed in ways that are not decoded.
pub fn from_catalog(data: Vec<u8>, name: Option<&str>, job: &Job) -> Result<Icon, String> {
    catalog::best(data, name, job)
}

#[cfg(test)]
mod tests;
