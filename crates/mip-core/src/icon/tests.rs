use mip_testkit::app::{icns, png};
use mip_testkit::shared::fixtures;

use super::*;

#[test]
fn the_largest_png_is_taken_as_it_is() {
    let (small, large, huge) = (png(32), png(256), png(2048));
    let file = icns(&[(b"ic11", &small), (b"ic08", &large), (b"ic10", &huge)]);
    let icon = from_icns(&file).unwrap();
    assert_eq!((icon.pixels, &icon.png), (256, &large));
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
    assert!(from_icns(&icns(&[(b"is32", &rgb)])).unwrap_err().contains("s8mk"));
    assert!(from_icns(&icns(&[(b"is32", &[0; 9]), (b"s8mk", &mask)])).is_err());
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
    assert!(
        from_icns(&icns(&[(b"ic08", b"\0\0\0\x0cjP  \r\n\x87\n")]))
            .unwrap_err()
            .contains("no image")
    );
    // An element that claims nothing, or more than there is.
    for len in [0_u32, 7, 9, u32::MAX] {
        let mut file = b"icns\0\0\0\x10ic08".to_vec();
        file.extend_from_slice(&len.to_be_bytes());
        assert!(from_icns(&file).is_err(), "{len}");
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
