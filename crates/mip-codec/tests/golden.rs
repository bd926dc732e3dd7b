//! Streams made by other tools, read whole, in pieces, cut and damaged.
#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod common;

use common::{VECTORS, code, decode, plain, read_in, vector};
use mip_base::{Code, Job};
use mip_codec::{Compression, sniff};

#[test]
fn every_vector_decodes_to_the_same_text() {
    for (name, kind) in VECTORS {
        let got = decode(*kind, &vector(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(got, plain(), "{name}");
    }
}

#[test]
fn the_first_bytes_name_the_packing() {
    for (name, kind) in VECTORS {
        assert_eq!(sniff(&vector(name)[..16]), Some(*kind), "{name}");
    }
    for (plain, why) in [
        (&b"070707000001000002"[..], "cpio"),
        (b"AA01\x18\0TYP1FPATP", "Apple Archive"),
        (b"xar!\0\x1c\0\x01\0\0\0\0\0\0", "xar"),
        (b"BZh9 is not bzip2", "text"),
        (b"", "nothing"),
    ] {
        assert_eq!(sniff(plain), None, "{why}");
    }
}

#[test]
fn pieces_of_any_size_give_the_same_bytes() {
    for (name, kind) in VECTORS {
        let v = vector(name);
        for (input, output) in [(1, 1), (1, 4096), (7, 3), (4096, 1), (13, 1021)] {
            let got = read_in(*kind, &v, input, output, &Job::default());
            assert_eq!(got.unwrap(), plain(), "{name} {input} {output}");
        }
    }
}

#[test]
fn a_stream_cut_anywhere_is_an_error() {
    for (name, kind) in VECTORS {
        let v = vector(name);
        for n in 0..v.len() {
            let cut = decode(*kind, &v[..n]);
            // Between members, streams, padding words and full chunks, a shorter file is a
            // whole one by the format's own rules.
            let whole = cut.as_ref().is_ok_and(|out| {
                plain().starts_with(out) && {
                    let rest = &v[n..];
                    match *name {
                        "gzip-members" => rest.starts_with(b"\x1f\x8b"),
                        "bzip2-streams" => rest.starts_with(b"BZh"),
                        "xz-streams" => rest.starts_with(b"\xfd7z") || rest.starts_with(&[0; 4]),
                        "pbzx" | "pbzx-raw" | "pbzx-full" => rest.starts_with(&[0; 6]),
                        _ => false,
                    }
                }
            });
            assert!(cut.is_err() || whole, "{name} cut to {n} bytes of {}", v.len());
        }
    }
}

#[test]
fn bytes_behind_the_end_are_an_error() {
    for (name, kind) in VECTORS {
        for more in [&b"x"[..], b"\x1f", b"more of it", b"\xfd7zXZ\0"] {
            let mut v = vector(name);
            v.extend(more);
            assert!(decode(*kind, &v).is_err(), "{name} + {more:?}");
        }
        let mut v = vector(name);
        v.extend([0; 4096]);
        // As tar writes it; and the stream padding of xz.
        let tolerated = matches!(kind, Compression::Gzip | Compression::Xz);
        assert_eq!(decode(*kind, &v).is_ok(), tolerated, "{name} + zeros");
        v.push(b'x');
        assert!(decode(*kind, &v).is_err(), "{name} + zeros and more");
    }
    let mut v = vector("xz-crc64");
    v.extend([0; 5]);
    assert_eq!(code(decode(Compression::Xz, &v)), Code::Xz, "padding not in fours");
}

#[test]
fn a_flipped_bit_never_gives_other_data() {
    for (name, kind) in VECTORS {
        // Without a check nothing can notice.
        let checked = !matches!(*name, "xz-none" | "lzma" | "pbzx-raw");
        let v = vector(name);
        for i in 0..v.len() {
            for bit in [0, 3, 7] {
                let mut v = v.clone();
                v[i] ^= 1 << bit;
                if let Ok(out) = decode(*kind, &v) {
                    assert!(!checked || plain() == out, "{name} byte {i} bit {bit}");
                }
            }
        }
    }
}
