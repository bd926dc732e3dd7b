//! B20: licence agreements, whole and broken.

use mip_base::Code;
use mip_testkit::udif::{Image, lpic};

use crate::{code, open, read_all, sample};

fn agreement(resources: Vec<([u8; 4], i16, Vec<u8>)>) -> Option<mip_udif::Licence> {
    let image = Image { resources, ..sample() };
    let udif = open(&image).unwrap();
    assert_eq!(read_all(&udif).unwrap(), image.disk, "an agreement never breaks reading");
    udif.licence().cloned()
}

#[test]
fn b20_agreements_in_several_languages() {
    let licence = agreement(vec![
        (*b"LPic", 5000, lpic(3, &[(0, 0), (3, 1), (14, 2), (99, 1), (49, 7)])),
        (*b"TEXT", 5000, b"Agree\rto \xD2this\xD3\r\nnow".to_vec()),
        (*b"STR#", 5001, b"\0\x01\x07Deutsch".to_vec()),
        (*b"RTF ", 5001, br"{\rtf1\ansi{\fonttbl\f0 Arial;}Stimmen Sie zu\'3f\par}".to_vec()),
        (*b"TEXT", 5002, b"\x93\xaf\x88\xd3".to_vec()),
    ])
    .unwrap();
    let a = &licence.agreements;
    assert_eq!(a.len(), 3);
    assert_eq!(
        (a[0].language.as_deref(), a[0].text.as_str()),
        (Some("en-US"), "Agree\nto “this”\nnow")
    );
    assert_eq!(
        (a[1].name.as_deref(), a[1].rtf, a[1].text.as_str()),
        (Some("Deutsch"), true, "Stimmen Sie zu?\n")
    );
    assert_eq!((a[2].language.as_deref(), a[2].text.as_str()), (Some("ja-JP"), "同意"));
    assert_eq!(licence.default_agreement().unwrap().id, 5001);
    assert_eq!(licence.notes, ["agreement 5007 has no text"]);
    assert!(agreement(vec![]).is_none());
}

#[test]
fn b20_agreements_that_are_malformed() {
    let text = (*b"TEXT", 5000, b"x".to_vec());
    // LPic of every length; counts beyond it.
    for n in 0..10 {
        let cut = lpic(0, &[(0, 0)])[..n].to_vec();
        let licence = agreement(vec![(*b"LPic", 5000, cut), text.clone()]).unwrap();
        assert!(!licence.notes.is_empty() && licence.agreements.is_empty(), "{n}");
    }
    let mut many = lpic(0, &[(0, 0)]);
    many[2..4].fill(0xFF);
    let licence = agreement(vec![(*b"LPic", 5000, many), text.clone()]).unwrap();
    assert_eq!((licence.agreements.len(), licence.notes.len()), (1, 2));
    // No LPic; numbers that lead out of range; strings and RTF that are cut.
    let licence = agreement(vec![text.clone()]).unwrap();
    assert_eq!((licence.agreements[0].text.as_str(), licence.notes.len()), ("x", 1));
    let licence = agreement(vec![
        (*b"LPic", 5000, lpic(7, &[(i16::MIN, i16::MIN), (i16::MAX, i16::MAX), (0, 0), (1, 1)])),
        (*b"STR#", 5000, b"\xFF\xFF\xFFabc".to_vec()),
        (*b"RTF ", 5001, b"{\\rtf1 {{{{".to_vec()),
        text,
    ])
    .unwrap();
    assert_eq!((licence.agreements.len(), licence.notes.len()), (2, 2));
    assert_eq!(licence.default_agreement().unwrap().id, 5000);
    // A megabyte of nothing but open groups.
    let rtf = [&b"{\\rtf1"[..], &vec![b'{'; 1 << 20]].concat();
    let licence =
        agreement(vec![(*b"LPic", 5000, lpic(0, &[(0, 0)])), (*b"RTF ", 5000, rtf)]).unwrap();
    assert_eq!(licence.notes[0], "the RTF of agreement 5000 is damaged");
    // More than the limit: the image is not read at all.
    let image = Image { resources: vec![(*b"TEXT", 5000, vec![b'x'; 17 << 20])], ..sample() };
    assert_eq!(code(&image), Code::LimitMemory);
}
