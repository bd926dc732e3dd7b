use mip_testkit::app::{icns, png};
use mip_testkit::shared::fixtures;

use super::bitmap::{Bitmap, png_pixels};
use super::*;

/// 16 pixels: red and blue by column, green by row, the diagonal half transparent. Written by
/// OpenJPEG 2.5.4 without loss.
const JP2: &str = "\
    0000000c6a5020200d0a870a00000014667479706a703220000000006a7032200000004f6a70326800000016\
    6968647200000010000000100004070700000000000f636f6c72010000000000100000002263646566000400\
    00000000010001000000020002000000030003000100000000017e6a703263ff4fff51003200000000001000\
    0000100000000000000000000000100000001000000000000000000004070101070101070101070101ff5200\
    0c00000001000204040001ff5c000a4040484850484850ff640025000143726561746564206279204f70656e\
    4a5045472076657273696f6e20322e352e34ff90000a0000000000fd0001ff93df8048116234f955fdb1f295\
    df8050128163ac1e295007f64dcfb434141047533a81ea58142efe049adf80901016d6c2de53016cff5a4049\
    de849a335a9fc3ea0500221a085d7fa1f50280037fdd523fc3ea0500216e065d7fc3ea0d87d4191f80782453\
    226282d5fdb2fe6ddb347f243234cf9717fe9eda0cef541222e72443058347987ee8f6e9647cc1f3840036a1\
    99cfa0f9c2803da634607fc1f3840035f597cfc3ea1387d4291f80e061de99645d8783f567d9e11b05098633\
    b87d9761b8faca5fb334eb00c221ed2190b3f331eff37f1222779e90b36991802aae7a947ecc6a1255015834\
    8bf55e9a2b5ba7ffd9\
";

fn jp2() -> Vec<u8> {
    let digit = |c: u8| char::from(c).to_digit(16).unwrap();
    let pairs = JP2.as_bytes().chunks_exact(2);
    pairs.map(|p| u8::try_from(digit(p[0]) * 16 + digit(p[1])).unwrap()).collect()
}

/// The image without the boxes around it.
fn codestream(jp2: &[u8]) -> &[u8] {
    &jp2[jp2.windows(4).position(|w| w == b"\xff\x4f\xff\x51").unwrap()..]
}

/// What is in [`JP2`].
fn jp2_pixels() -> Bitmap {
    let at = |i: u8| {
        let (x, y) = (i % 16, i / 16);
        [x * 16, y * 16, 255 - x * 16, if x == y { 128 } else { 255 }]
    };
    Bitmap::new(16, (0..=255).map(at).collect()).unwrap()
}

/// `ARGB` of 16 pixels: each plane of one value.
fn argb() -> Vec<u8> {
    let plane = |v: u8| [0xFF, v, 0xFB, v];
    [b"ARGB", &plane(255)[..], &plane(10), &plane(20), &plane(30)].concat()
}

#[test]
fn the_largest_png_is_taken_as_it_is() {
    let (small, large, huge) = (png(32), png(256), png(2048));
    let file = icns(&[(b"ic11", &small), (b"ic08", &large), (b"ic10", &huge)]);
    let icon = from_icns(&file).unwrap();
    assert_eq!((icon.pixels, &icon.png), (256, &large));
    assert_eq!(icns_pixels(&file), 256);
    assert_eq!(from_icns(&icns(&[(b"ic10", &huge)])).unwrap_err(), "an image of 2048 pixels");
}

#[test]
fn classic_bitmaps_become_png() {
    // 16 x 16, all of one colour: runs of 130 and 126 for each of three planes.
    let plane = |v: u8| [0xFF, v, 0xFB, v].to_vec();
    let rgb = [plane(10), plane(20), plane(30)].concat();
    let mask = [200; 256];
    let icon = from_icns(&icns(&[(b"is32", &rgb), (b"s8mk", &mask)])).unwrap();
    assert_eq!((icon.pixels, png_pixels(&icon.png)), (16, Ok(16)));
    let want = Bitmap::new(16, vec![[10, 20, 30, 200]; 256]).unwrap();
    assert_eq!(icon.png, want.png());
    let opaque = Bitmap::new(16, vec![[10, 20, 30, 255]; 256]).unwrap();
    assert_eq!(from_icns(&icns(&[(b"is32", &rgb)])).unwrap().png, opaque.png());
    assert_eq!(from_icns(&icns(&[(b"ic04", &argb())])).unwrap().png, opaque.png());
    for (bad, mask) in [(&rgb[..11], 256), (&rgb[..], 255), (&[0; 9], 256), (&[0xFF; 12], 256)] {
        let file = icns(&[(b"is32", bad), (b"s8mk", &vec![9; mask])]);
        assert!(from_icns(&file).unwrap_err().starts_with("a bitmap"), "{bad:?}");
    }
}

#[test]
fn jpeg_2000_becomes_png() {
    let icon = from_icns(&icns(&[(b"icp4", &jp2())])).unwrap();
    assert_eq!((icon.pixels, &icon.png), (16, &jp2_pixels().png()));
    assert_eq!(from_icns(&icns(&[(b"icp4", codestream(&jp2()))])).unwrap(), icon);
    // The same size as PNG goes first; the file for dark mode is not looked into.
    let (own, dark) = (png(16), icns(&[(b"ic08", &png(256))]));
    let file = icns(&[(b"icp4", &jp2()), (b"ic04", &own), (b"\xfd\xd9\x2f\xa8", &dark)]);
    assert_eq!(from_icns(&file).unwrap().png, own);
}

#[test]
fn jpeg_2000_that_would_cost_too_much_is_refused_by_its_header() {
    let good = jp2();
    let siz = good.windows(2).position(|w| w == b"\xff\x51").unwrap();
    let cod = good.windows(2).position(|w| w == b"\xff\x52").unwrap();
    let with = |at: usize, bytes: &[u8]| {
        let mut bad = good.clone();
        bad[at..at + bytes.len()].copy_from_slice(bytes);
        from_icns(&icns(&[(b"icp4", &bad)])).unwrap_err()
    };
    let edge = |n: u32| [n.to_be_bytes(), n.to_be_bytes()].concat();
    assert!(with(siz + 6, &edge(1025)).contains("of 1025 pixels"));
    assert!(with(siz + 6, &edge(u32::MAX)).contains("of 4294967295 pixels"));
    assert!(with(siz + 6, &17_u32.to_be_bytes()).contains("not square"));
    assert!(with(siz + 22, &edge(1)).contains("grid of tiles"));
    assert!(with(siz + 38, &[0x40, 0]).contains("planes"));
    assert!(with(siz + 40, &[37]).contains("planes"));
    assert!(with(cod + 6, &[0xff, 0xff]).contains("65535 layers"));
    assert!(with(cod + 9, &[33]).contains("33 levels"));
    assert!(with(cod + 10, &[200]).contains("code blocks"));
}

#[test]
fn damaged_files_give_a_reason() {
    let good = icns(&[(b"ic08", &png(256))]);
    for len in 0..good.len() {
        assert!(from_icns(&good[..len]).is_err(), "{len}");
    }
    for bit in 0..(good.len() * 8).min(4000) {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let _ = from_icns(&bad);
    }
    let mut cgbi = png(64);
    cgbi[12..16].copy_from_slice(b"CgBI");
    assert!(from_icns(&icns(&[(b"ic12", &cgbi)])).is_err());
    let cut = from_icns(&icns(&[(b"ic08", b"\0\0\0\x0cjP  \r\n\x87\n")])).unwrap_err();
    assert!(cut.contains("without a codestream"), "{cut}");
    // An element that claims nothing, or more than there is.
    for len in [0_u32, 7, 9, u32::MAX] {
        let mut file = b"icns\0\0\0\x10ic08".to_vec();
        file.extend_from_slice(&len.to_be_bytes());
        assert!(from_icns(&file).is_err(), "{len}");
    }
}

/// A catalog of one icon of 16 pixels, packed by LZFSE, with rows of 80 bytes, in two chunks.
fn catalog(packing: u32) -> Vec<u8> {
    let le = |words: &[u32]| words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<_>>();
    let be = |words: &[u32]| words.iter().flat_map(|w| w.to_be_bytes()).collect::<Vec<_>>();
    let halves = |words: &[u16]| words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<_>>();
    let half = [[30, 20, 10, 255].repeat(16), vec![9; 16]].concat().repeat(8);
    let stored = [b"bvx-", &le(&[640])[..], &half, b"bvx$"].concat();
    let len = u32::try_from(stored.len()).unwrap();
    let chunk = [b"KCBC", &le(&[0, 0, 8, len])[..], &stored].concat();
    let data = [b"MLEC", &le(&[1, packing, 2])[..], &chunk, &chunk].concat();
    let len = u32::try_from(data.len()).unwrap();
    let tags = le(&[1007, 4, 80]);
    let csi = [
        b"ISTC",
        &le(&[1, 0, 16, 16, 100])[..],
        b"BGRA",
        &le(&[1, 0, 12]),
        &[0; 128],
        &le(&[12, 1, 0, len]),
        &tags,
        &data,
    ];
    let node = |value: u32, key: u32| [be(&[0x0001_0001, 0, 0]), be(&[value, key])].concat();
    let tree = |root: u32| [b"tree".to_vec(), be(&[1, root, 4096, 1]), vec![0]].concat();
    let blocks = [
        Vec::new(),
        [b"RATC", &[0; 432][..]].concat(),
        [b"tmfk".to_vec(), le(&[0, 3, 1, 2, 17])].concat(),
        tree(4),
        node(5, 6),
        halves(&[0, 0, 3, 1, 85, 2, 220, 17, 7]),
        b"AppIcon".to_vec(),
        tree(8),
        node(9, 10),
        csi.concat(),
        halves(&[85, 220, 7]),
    ];
    let mut body = vec![0; 32];
    let mut table = be(&[u32::try_from(blocks.len()).unwrap()]);
    for b in &blocks {
        table.extend(be(&[body.len(), b.len()].map(|n| u32::try_from(n).unwrap())));
        body.extend(b);
    }
    let mut names = be(&[4]);
    for (name, block) in [("CARHEADER", 1), ("KEYFORMAT", 2), ("FACETKEYS", 3), ("RENDITIONS", 7)] {
        names.extend(be(&[block]));
        names.push(u8::try_from(name.len()).unwrap());
        names.extend(name.as_bytes());
    }
    let at = [body.len(), table.len(), body.len() + table.len(), names.len()];
    let at = be(&at.map(|n| u32::try_from(n).unwrap()));
    let head = [b"BOMStore".to_vec(), be(&[1, 11]), at].concat();
    body[..32].copy_from_slice(&head);
    [body, table, names].concat()
}

#[test]
fn the_icon_of_an_asset_catalog_becomes_png() {
    let job = Job::default();
    let icon = from_catalog(catalog(4), Some("AppIcon"), &job).unwrap();
    let want = Bitmap::new(16, vec![[10, 20, 30, 255]; 256]).unwrap();
    assert_eq!((icon.pixels, &icon.png), (16, &want.png()));
    assert_eq!(from_catalog(catalog(4), None, &job).unwrap(), icon);
    let e = from_catalog(catalog(4), Some("Other"), &job).unwrap_err();
    assert!(e.contains("without the name \"Other\" (it has AppIcon)"), "{e}");
    for (packing, name) in [(11, "deepmap2"), (9, "HEVC"), (1, "RLE"), (99, "unknown")] {
        let e = from_catalog(catalog(packing), None, &job).unwrap_err();
        assert!(e.contains(name) && e.contains("of 16 pixels"), "{e}");
    }
    assert!(from_catalog(b"BOMStore".to_vec(), None, &job).is_err());
}

/// A file of each kind.
fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let plane = |v: u8| [0xFF, v, 0xFB, v].to_vec();
    let rgb = [plane(10), plane(20), plane(30)].concat();
    let raw = codestream(&jp2()).to_vec();
    vec![
        ("png", icns(&[(b"ic04", &png(16))])),
        ("jp2", icns(&[(b"icp4", &jp2())])),
        ("codestream", icns(&[(b"icp4", &raw)])),
        ("argb", icns(&[(b"ic04", &argb())])),
        ("planes", icns(&[(b"is32", &rgb), (b"s8mk", &[7; 256])])),
        ("catalog", catalog(4)),
        ("palette", catalog(8)),
        ("lzvn", catalog(3)),
    ]
}

/// Neither a panic nor a hang, and nothing larger than what an icon may be.
#[test]
fn mutations_of_every_kind_end_well() {
    let rounds =
        std::env::var("MIP_ICON_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(10_000_u32);
    for (name, good) in samples() {
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = |below: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            usize::try_from(seed % u64::try_from(below).unwrap()).unwrap()
        };
        let mut fine = 0_u32;
        for _ in 0..rounds {
            let mut bad = good.clone();
            for _ in 0..=next(4) {
                let at = next(bad.len());
                match next(6) {
                    0 => bad[at] = 0,
                    1 => bad[at] = 0xff,
                    2 => bad[at] = bad[at].wrapping_add(1),
                    3 => bad[at] ^= 1 << next(8),
                    4 => bad.truncate(at.max(8)),
                    _ => bad[at] = u8::try_from(next(256)).unwrap(),
                }
            }
            if bad.starts_with(b"icns") && bad.len() > 8 {
                // Else most of them would end at the length of the file.
                let len = u32::try_from(bad.len()).unwrap();
                bad[4..8].copy_from_slice(&len.to_be_bytes());
            }
            let icon = match good.starts_with(b"icns") {
                true => from_icns(&bad),
                false => from_catalog(bad, None, &Job::default()),
            };
            if let Ok(icon) = icon {
                assert!(icon.pixels <= MAX_PIXELS && icon.png.len() < 5 << 20);
                fine += 1;
            }
        }
        assert!(fine < rounds, "{name}: mutations change nothing");
    }
}

#[test]
fn icons_of_real_apps() {
    use crate::tree::{Container, open_archive};
    use mip_base::{FileAt, Job, Limits};
    let Some(dir) = fixtures("icons_of_real_apps") else { return };
    let job = Job::default();
    let mut found = 0;
    for name in [
        "MuJoCo_mjpython.app.zip",
        "terminal-notifier.app.zip",
        "mitmproxy-Redirector.app.tar",
        "sudo-prompt-applet.zip",
    ] {
        let source = std::sync::Arc::new(FileAt::open(&dir.join("app").join(name)).unwrap());
        let container = if name.ends_with("tar") {
            Container::Tar(mip_codec::Compression::None)
        } else {
            Container::Zip
        };
        let tree = open_archive(source, container, &job).unwrap();
        for (i, e) in
            tree.entries().iter().enumerate().filter(|(_, e)| e.path.as_str().ends_with(".icns"))
        {
            let data = tree.read(i, Limits::default().small_file, &job).unwrap();
            let icon = from_icns(&data).unwrap_or_else(|why| panic!("{name} {}: {why}", e.path));
            assert!(icon.pixels >= 128, "{name}: {}", icon.pixels);
            assert_eq!(png_pixels(&icon.png), Ok(icon.pixels));
            found += 1;
        }
    }
    assert_eq!(found, 4);
}
