//! Finds a file's stored bytes in a real xar archive, for tests of what lies inside packages.
//!
//! Trusts its input: it is for the fixtures, and panics on anything else.

use std::io::Read as _;

/// The stored bytes of the file at `path` of the xar archive `xar`, and the style of their
/// encoding; `None` when there is no such file.
///
/// # Panics
/// When `xar` is not a whole xar archive.
#[must_use]
pub fn stored<'a>(xar: &'a [u8], path: &str) -> Option<(&'a [u8], String)> {
    assert_eq!(&xar[..4], b"xar!");
    let header = usize::from(u16::from_be_bytes(xar[4..6].try_into().unwrap()));
    let packed = usize::try_from(u64::from_be_bytes(xar[8..16].try_into().unwrap())).unwrap();
    let heap = &xar[header + packed..];
    let mut toc = String::new();
    let z = flate2::read::ZlibDecoder::new(&xar[header..header + packed]);
    z.take(64 << 20).read_to_string(&mut toc).unwrap();

    // Open elements; per open <file>, its name, and offset, length and style of its data.
    let mut stack: Vec<&str> = Vec::new();
    let mut files: Vec<(String, [usize; 2], String)> = Vec::new();
    for piece in toc.split('<').skip(1) {
        let (tag, text) = piece.split_once('>').unwrap();
        if let Some(closed) = tag.strip_prefix('/') {
            assert_eq!(stack.pop(), Some(closed));
            if closed == "file" {
                let here: Vec<&str> = files.iter().map(|f| f.0.as_str()).collect();
                let found = here.join("/") == path;
                let (_, [offset, length], style) = files.pop().unwrap();
                if found {
                    return Some((&heap[offset..offset + length], style));
                }
            }
            continue;
        }
        if tag.starts_with(['?', '!']) {
            continue;
        }
        let name = tag.split([' ', '/']).next().unwrap();
        if name == "file" {
            files.push(Default::default());
        }
        let parent = |n: usize| stack.iter().rev().nth(n).copied();
        if let Some(f) = files.last_mut() {
            match (name, parent(0), parent(1)) {
                ("name", Some("file"), _) => f.0 = text.to_owned(),
                ("offset", Some("data"), Some("file")) => f.1[0] = text.parse().unwrap(),
                ("length", Some("data"), Some("file")) => f.1[1] = text.parse().unwrap(),
                ("encoding", Some("data"), Some("file")) => {
                    f.2 = tag.split('"').nth(1).unwrap().to_owned();
                }
                _ => {}
            }
        }
        if !tag.ends_with('/') {
            stack.push(name);
        }
    }
    None
}
