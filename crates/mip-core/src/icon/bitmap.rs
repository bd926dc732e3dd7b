//! Pixels, and the PNG that is made of them.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use mip_base::bytes::be_u32;

use super::MAX_PIXELS;

/// What every PNG file starts with.
pub(super) const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// A square image: R, G, B, A of each pixel, rows from the top. Alpha is not multiplied in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bitmap {
    pub(super) pixels: u32,
    pub(super) rgba: Vec<[u8; 4]>,
}

impl Bitmap {
    /// `None` when the number of pixels is not that of the edge.
    pub(super) fn new(pixels: u32, rgba: Vec<[u8; 4]>) -> Option<Self> {
        let count = usize::try_from(pixels.checked_mul(pixels)?).ok()?;
        (rgba.len() == count && (1..=MAX_PIXELS).contains(&pixels)).then_some(Self { pixels, rgba })
    }

    /// Takes the alpha out of colours that it is multiplied into, rounded to the nearest.
    pub(super) fn unmultiply(&mut self) {
        for [r, g, b, a] in &mut self.rgba {
            for c in [r, g, b] {
                *c = divided(*c, *a);
            }
        }
    }

    /// The PNG file: 8 bits, RGBA.
    pub(super) fn png(&self) -> Vec<u8> {
        let edge = self.pixels.to_be_bytes();
        let header = [&edge[..], &edge[..], &[8, 6, 0, 0, 0]].concat();
        let mut out = SIGNATURE.to_vec();
        chunk(&mut out, b"IHDR", &header);
        chunk(&mut out, b"IDAT", &self.packed());
        chunk(&mut out, b"IEND", &[]);
        out
    }

    /// The rows, each with the filter that leaves the smallest numbers, in a zlib stream.
    fn packed(&self) -> Vec<u8> {
        let row_len = usize::try_from(self.pixels).unwrap_or(1).max(1);
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::new(9));
        let mut above = vec![[0; 4]; row_len];
        for row in self.rgba.chunks(row_len) {
            let left = std::iter::once(&[0; 4]).chain(row);
            let none = row.to_vec();
            let sub = row.iter().zip(left).map(|(p, l)| minus(*p, *l)).collect::<Vec<_>>();
            let up = row.iter().zip(&above).map(|(p, u)| minus(*p, *u)).collect::<Vec<_>>();
            let all = [(0_u8, none), (1, sub), (2, up)];
            if let Some((filter, bytes)) = all.iter().min_by_key(|(_, bytes)| weight(bytes)) {
                // Writing to memory does not fail.
                let _ =
                    zlib.write_all(&[*filter]).and_then(|()| zlib.write_all(bytes.as_flattened()));
            }
            above.copy_from_slice(row);
        }
        zlib.finish().unwrap_or_default()
    }
}

fn minus(a: [u8; 4], b: [u8; 4]) -> [u8; 4] {
    let mut out = a;
    for (o, b) in out.iter_mut().zip(b) {
        *o = o.wrapping_sub(b);
    }
    out
}

/// Sum of the differences as signed numbers, the usual measure for how well a row will pack.
fn weight(row: &[[u8; 4]]) -> u64 {
    row.as_flattened().iter().map(|b| u64::from(b.cast_signed().unsigned_abs())).sum()
}

/// `c * 255 / a`, rounded.
fn divided(c: u8, a: u8) -> u8 {
    let (c, a) = (u32::from(c), u32::from(a));
    let whole = c.saturating_mul(255).saturating_add(a >> 1).checked_div(a).unwrap_or(0);
    u8::try_from(whole).unwrap_or(u8::MAX)
}

fn chunk(out: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    let body = [kind, data].concat();
    // What is packed here is a few MiB at most.
    out.extend(u32::try_from(data.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend(&body);
    out.extend(crc32fast::hash(&body).to_be_bytes());
}

/// Checks the chunks of a PNG (their lengths and CRCs, `IHDR` first, `IEND` last) and returns
/// its width. Images of an icon are square.
pub(super) fn png_pixels(png: &[u8]) -> Result<u32, String> {
    let bad = |why: &str| Err(format!("a PNG that {why}"));
    let mut rest = png.get(SIGNATURE.len()..).unwrap_or_default();
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
        rest = rest.get(end.saturating_add(4)..).unwrap_or_default();
    }
}
