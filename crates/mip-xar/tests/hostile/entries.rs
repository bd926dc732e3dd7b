//! A15 to A24: overlaps, checksums, signatures, names, links, types.

use super::*;

fn two(a: &str, b: &str) -> Vec<u8> {
    toc(&format!(
        "<file id=\"1\"><name>a</name><type>file</type>{a}</file>\
         <file id=\"2\"><name>b</name><type>file</type>{b}</file>"
    ))
}

#[test]
fn a15_overlapping_ranges() {
    assert!(open(two(&data(0, 5), &data(5, 5))).is_ok());
    assert!(open(two(&data(2, 5), &data(2, 5))).is_ok(), "one range, one checksum");
    for (a, b) in [((0, 5), (4, 5)), ((4, 5), (0, 5)), ((0, 10), (3, 2)), ((0, 5), (0, 6))] {
        assert_eq!(code(two(&data(a.0, a.1), &data(b.0, b.1))), Code::XarOverlap, "{a:?} {b:?}");
    }
    let other = data(2, 5).replace(&hex(&Style::Sha1.digest(b"23456")), &"0".repeat(40));
    assert_eq!(code(two(&data(2, 5), &other)), Code::XarOverlap, "one range, two checksums");
    // An extended attribute, a signature and the TOC's checksum take part.
    let ea = format!(
        "{}<ea id=\"0\"><name>n</name>{}</ea>",
        data(0, 5),
        "<offset>4</offset><length>2</length>"
    );
    assert_eq!(code(file(&ea)), Code::XarOverlap);
    let signature = "<signature style=\"RSA\"><offset>1</offset><size>3</size></signature>";
    assert_eq!(
        code(toc(&format!(
            "{signature}<file id=\"1\"><name>f</name><type>file</type>{}</file>",
            data(0, 5)
        ))),
        Code::XarOverlap
    );
    assert_eq!(code(toc(&signature.repeat(2))), Code::XarOverlap);
    let onto_checksum = sample()
        .signature(false, "RSA", vec![1; 256], &[b"cert"])
        .edit_toc(|t| t.replacen("<offset>20</offset>", "<offset>10</offset>", 1));
    assert_eq!(code(onto_checksum.build()), Code::XarOverlap);
}

#[test]
fn a15_many_ranges_take_no_square() {
    let mut xml = String::new();
    for i in 0..90_000 {
        let d = data(0, 10);
        xml.push_str(&format!("<file id=\"{i}\"><name>f{i}</name><type>file</type>{d}</file>"));
    }
    let start = Instant::now();
    assert_eq!(open(toc(&xml)).unwrap().files().len(), 90_000);
    mip_testkit::not_hanging(start);
}

/// The error of reading the file `f` whole.
fn reading(bytes: Vec<u8>) -> Code {
    let xar = open(bytes).unwrap();
    xar.read_file(xar.find("f").unwrap(), 1 << 20, &Job::default()).unwrap_err().code()
}

#[test]
fn a16_checksums_of_files() {
    for which in ["archived", "extracted"] {
        let edit = move |t: String| {
            let key = format!("<{which}-checksum style=\"sha1\">");
            let at = t.find(&key).unwrap() + key.len();
            let digit = if t.as_bytes()[at] == b'0' { "1" } else { "0" };
            format!("{}{digit}{}", &t[..at], &t[at + 1..])
        };
        for encoding in [Encoding::None, Encoding::Gzip, Encoding::Xz] {
            let built = XarBuilder::new().file("f", "hello", encoding).edit_toc(edit);
            assert_eq!(reading(built.build()), Code::XarChecksum, "{which} {encoding:?}");
        }
    }
    let without = data(0, 5);
    let cut = without.find("<archived").unwrap();
    assert_eq!(code(file(&format!("{}</data>", &without[..cut]))), Code::XarChecksum);
    let one = &without[without.find("<extracted").unwrap()..];
    let xar = open(file(&format!("{}{one}", &without[..cut]))).unwrap();
    assert_eq!(xar.notes().len(), 1, "one of two: noted");
    for style in ["none", "sha3", "", "adler32"] {
        let bad = data(0, 5).replacen("style=\"sha1\"", &format!("style=\"{style}\""), 1);
        assert_eq!(code(file(&bad)), Code::XarChecksum, "{style}");
    }
    // Any case of the style is known.
    let upper = data(0, 5).replace("sha1", "SHA1");
    assert!(open(file(&upper)).is_ok());
}

#[test]
fn a16_damaged_and_short_data_is_never_a_success() {
    let size = |f: fn(usize) -> usize| {
        let n = f(5);
        XarBuilder::new()
            .file("f", "hello", Encoding::Gzip)
            .edit_toc(move |t| t.replace("<size>5</size>", &format!("<size>{n}</size>")))
    };
    assert_eq!(reading(size(|n| n + 1).build()), Code::XarChecksum);
    assert_eq!(reading(size(|n| n - 1).build()), Code::XarChecksum);
    assert_eq!(reading(size(|_| 0).build()), Code::XarChecksum);
    // A zlib stream that is cut, with a length and a checksum that fit the cut.
    let packed = Encoding::Gzip.pack(&vec![b'x'; 100_000]);
    for cut in 1..packed.len() {
        let part = packed[..packed.len() - cut].to_vec();
        let digest = hex(&Style::Sha1.digest(&part));
        let xml = format!(
            "<xar><toc><file id=\"1\"><name>f</name><type>file</type><data><offset>0</offset>\
             <length>{}</length><size>100000</size><encoding style=\"application/x-gzip\"/>\
             <archived-checksum style=\"sha1\">{digest}</archived-checksum></data></file></toc></xar>",
            part.len()
        );
        let built = XarBuilder::new().toc_checksum(Style::None).raw(xml, part);
        let xar = open(built.build()).unwrap();
        let e = xar.read_file(&xar.files()[0], 1 << 20, &Job::default()).unwrap_err();
        assert_eq!(e.kind(), mip_base::Kind::Malformed, "{e:?}");
    }
    // An unknown encoding is refused when it is seen.
    assert_eq!(
        code(file("<data><encoding style=\"application/x-brotli\"/></data>")),
        Code::XarUnsupported
    );
}

#[test]
fn a16_a_reader_that_failed_goes_on_failing() {
    let built = XarBuilder::new().file("f", vec![1; 100], Encoding::None).edit_heap(|mut h| {
        *h.last_mut().unwrap() ^= 1;
        h
    });
    let xar = open(built.build()).unwrap();
    let mut r = xar.open_file(xar.find("f").unwrap(), &Job::default()).unwrap();
    let mut buf = [0; 100];
    assert_eq!(r.read(&mut buf[..99]).unwrap(), 99);
    // The read of exactly the last byte fails: nothing has to read on to learn it.
    for _ in 0..2 {
        let e = r.read(&mut buf[..1]).unwrap_err();
        assert_eq!(Error::from_io(Code::InputIo, "", e).code(), Code::XarChecksum);
    }
}

#[test]
fn a17_the_tocs_checksum_element() {
    let edit = |from: &'static str, to: &'static str| {
        code(sample().edit_toc(move |t| t.replacen(from, to, 1)).build())
    };
    for size in ["19", "21", "0", "32", "4294967316", "18446744073709551615"] {
        let to: &'static str = format!("<size>{size}</size>").leak();
        assert_eq!(edit("<size>20</size>", to), Code::XarChecksum, "{size}");
    }
    assert_eq!(edit("<offset>0</offset>", "<offset>1</offset>"), Code::XarChecksum);
    assert_eq!(edit("<checksum style=\"sha1\">", "<checksum style=\"sha256\">"), Code::XarChecksum);
    assert_eq!(edit("<checksum style=\"sha1\">", "<checksum style=\"crc\">"), Code::XarChecksum);
    assert_eq!(edit("<checksum style=\"sha1\">", "<checksum>"), Code::XarChecksum);
    assert_eq!(
        edit("<checksum style=\"sha1\">", "<checksum style=\"none\"/><checksum style=\"sha1\">"),
        Code::XarToc
    );
}

#[test]
fn a18_signatures_are_found_and_gaps_reported() {
    let bytes = sample()
        .signature(false, "RSA", vec![1; 256], &[b"leaf", b"root"])
        .signature(true, "CMS", vec![2; 400], &[b"leaf"])
        .trailing(b"ticket".to_vec())
        .build();
    let len = bytes.len() as u64;
    let xar = open(bytes).unwrap();
    let [rsa, cms] = xar.signatures() else { panic!() };
    assert_eq!(
        (rsa.style, rsa.extended, rsa.offset, rsa.size),
        (SignatureStyle::Rsa, false, 20, 256)
    );
    assert_eq!(
        (cms.style, cms.extended, cms.offset, cms.size),
        (SignatureStyle::Cms, true, 276, 400)
    );
    assert_eq!(rsa.certificates, [b"leaf", b"root"]);
    let mut got = Vec::new();
    xar.heap_range(cms.offset, cms.size).unwrap().reader().read_to_end(&mut got).unwrap();
    assert_eq!(got, vec![2; 400]);
    assert_eq!(xar.trailing(), Some((len - 6, 6)));
    assert_eq!(xar.heap_start() + xar.heap_used(), len - 6);

    // A file that is taken out of the table leaves its bytes behind.
    let hole = |b: XarBuilder| {
        b.file("Hole", vec![5; 30], Encoding::None).edit_toc(|toc| {
            let name = toc.find("<name>Hole</name>").unwrap();
            let from = toc[..name].rfind("<file ").unwrap();
            let to = name + toc[name..].find("</file>\n").unwrap() + 8;
            format!("{}{}", &toc[..from], &toc[to..])
        })
    };
    assert!(open(sample().build()).unwrap().gaps().is_empty());
    let bytes = hole(sample().file("Z", b"last".to_vec(), Encoding::None)).build();
    let xar = open(bytes.clone()).unwrap();
    let [(at, 30)] = xar.gaps()[..] else { panic!("{:?}", xar.gaps()) };
    assert_eq!(bytes[at as usize..][..30], [5; 30]);
    assert_eq!(xar.trailing(), None);
    // Without a file behind it, it is the tail.
    let xar = open(hole(XarBuilder::new()).build()).unwrap();
    assert_eq!((xar.gaps(), xar.trailing().map(|t| t.1)), (vec![], Some(30)));

    let style = |s: &str| code(sample().signature(false, s, vec![1; 8], &[]).build());
    assert_eq!(style("PGP"), Code::XarUnsupported);
    let certificate = |text: &str| {
        code(toc(&format!(
            "<signature style=\"RSA\"><offset>0</offset><size>1</size><KeyInfo><X509Data>\
             <X509Certificate>{text}</X509Certificate></X509Data></KeyInfo></signature>"
        )))
    };
    assert_eq!(certificate("!!"), Code::XarToc);
    assert_eq!(certificate(""), Code::XarToc);
    let one = base64(&[7; 40_000]);
    let many = format!("{one}</X509Certificate><X509Certificate>").repeat(30) + &one;
    assert_eq!(certificate(&many), Code::LimitXml);
    let many = "QQ==</X509Certificate><X509Certificate>".repeat(32) + "QQ==";
    assert_eq!(certificate(&many), Code::LimitXml);
    assert_eq!(code(toc("<signature style=\"RSA\"><size>1</size></signature>")), Code::XarToc);
}

#[test]
fn a21_repeated_names() {
    let xar = open(sample().repeat_names().build()).unwrap();
    assert_eq!(xar.find("a.pkg/Payload").unwrap().kind, EntryKind::File);
    assert_eq!(xar.notes(), ["<name> is repeated with the same text (4 times)"]);
    let name = |xml: &str| code(file(xml));
    assert_eq!(name("<name>g</name>"), Code::XarName);
    assert_eq!(code(toc("<file id=\"1\"><type>file</type></file>")), Code::XarName);
    assert_eq!(code(two("", "<name>a</name>")), Code::XarName);
    assert_eq!(
        code(toc(&"<file id=\"1\"><name>x</name><type>file</type></file>".repeat(2))),
        Code::XarLink
    );
    let twice = toc("<file id=\"1\"><name>x</name><type>file</type></file>\
         <file id=\"2\"><name>x</name><type>file</type></file>");
    assert_eq!(code(twice), Code::XarName);
}

#[test]
fn a22_hard_links() {
    let xar = open(XarBuilder::new().file("f", "text", Encoding::Gzip).hardlink("a", "f").build())
        .unwrap();
    let link = xar.find("a").unwrap();
    assert_eq!((link.kind, link.link.as_deref()), (EntryKind::Hardlink, Some("f")));
    assert_eq!(xar.find("f").unwrap().kind, EntryKind::File);
    assert_eq!(xar.read_file(link, 10, &Job::default()).unwrap(), b"text");
    let link = |id: u32, name: &str, to: &str| {
        format!("<file id=\"{id}\"><name>{name}</name><type link=\"{to}\">hardlink</type></file>")
    };
    for bad in [
        link(1, "a", "1"),
        link(1, "a", "2") + &link(2, "b", "1"),
        link(1, "a", "9"),
        link(1, "a", ""),
        link(1, "a", "-1"),
        link(1, "o", "original") + &link(2, "a", "1") + &link(3, "b", "2"),
        "<file id=\"1\"><name>a</name><type>hardlink</type></file>".into(),
        "<file id=\"1\"><name>d</name><type>directory</type></file>".to_owned()
            + &link(2, "a", "1"),
        "<file id=\"1\"><name>a</name><type link=\"original\">hardlink</type>\
         <type link=\"original\">hardlink</type></file>"
            .into(),
    ] {
        assert_eq!(code(toc(&bad)), Code::XarLink, "{bad}");
    }
    let with_data = link(1, "o", "original")
        + &format!(
            "<file id=\"2\"><name>a</name><type link=\"1\">hardlink</type>{}</file>",
            data(0, 1)
        );
    assert_eq!(code(toc(&with_data)), Code::XarToc);
}

#[test]
fn a23_names_that_are_not_names() {
    for bad in ["../x", "/x", "a/../../x", "", ".", "..", "a/b", "x/"] {
        let xml = format!("<file id=\"1\"><name>{bad}</name><type>file</type></file>");
        assert_eq!(code(toc(&xml)), Code::PathUnsafe, "{bad:?}");
        let coded = format!(
            "<file id=\"1\"><name enctype=\"base64\">{}</name><type>file</type></file>",
            base64(bad.as_bytes())
        );
        assert_eq!(code(toc(&coded)), Code::PathUnsafe, "{bad:?}");
    }
    let name = |raw: &str, enctype: &str| {
        open(toc(&format!(
            "<file id=\"1\"><name enctype=\"{enctype}\">{raw}</name><type>file</type></file>"
        )))
    };
    assert_eq!(name(&base64(b"a\0b"), "base64").unwrap_err().code(), Code::PathUnsafe);
    assert_eq!(name(&base64(b"a\xff"), "base64").unwrap_err().code(), Code::PathUnsafe);
    assert_eq!(name("a", "base64").unwrap_err().code(), Code::XarName);
    assert_eq!(name("a", "rot13").unwrap_err().code(), Code::XarUnsupported);
    let good = name(&base64("Größe".as_bytes()), "base64").unwrap();
    assert_eq!(good.files()[0].path.as_str(), "Größe");
}

#[test]
fn a24_types() {
    let kind =
        |text: &str| open(toc(&format!("<file id=\"1\"><name>f</name><type>{text}</type></file>")));
    for (text, want) in [
        ("character special", EntryKind::CharDevice),
        ("block special", EntryKind::BlockDevice),
        ("fifo", EntryKind::Fifo),
        ("socket", EntryKind::Socket),
    ] {
        let xar = kind(text).unwrap();
        assert_eq!(xar.files()[0].kind, want);
        assert!(xar.open_file(&xar.files()[0], &Job::default()).is_err());
    }
    for text in ["weird", "", "FILE"] {
        assert_eq!(kind(text).unwrap_err().code(), Code::XarUnsupported, "{text}");
    }
    assert_eq!(code(toc("<file id=\"1\"><name>f</name></file>")), Code::XarToc);
    let child = "<file id=\"2\"><name>c</name><type>file</type></file>";
    for parent in [
        "<type>symlink</type><link type=\"directory\">/etc</link>",
        "<type>file</type>",
        "<type>fifo</type>",
    ] {
        let xml = format!("<file id=\"1\"><name>p</name>{parent}{child}</file>");
        assert_eq!(code(toc(&xml)), Code::PathUnsafe, "{parent}");
    }
    for link in ["<type>symlink</type>", "<type>symlink</type><link type=\"file\"></link>"] {
        assert_eq!(
            code(toc(&format!("<file id=\"1\"><name>p</name>{link}</file>"))),
            Code::XarLink
        );
    }
    assert_eq!(
        code(toc(&format!(
            "<file id=\"1\"><name>p</name><type>directory</type>{}</file>",
            data(0, 1)
        ))),
        Code::XarToc
    );
}

#[test]
fn unknown_elements_and_several_attributes_are_passed_over() {
    let xar = open(file(&format!(
        "{}<ea id=\"0\"><name>a</name><offset>5</offset><length>1</length></ea>\
         <ea id=\"1\"><name>b</name></ea><acl><access>user::rw-</access></acl><flags><UserNoDump/></flags>\
         <contents><type>script</type><name>no</name></contents>",
        data(0, 5)
    )));
    let xar = xar.unwrap();
    assert_eq!(xar.files().len(), 1);
    assert_eq!(xar.heap_used(), 6);
}

#[test]
fn limits_and_cancelling() {
    let with = |f: fn(&mut Limits)| {
        let mut limits = Limits::default();
        f(&mut limits);
        let job = Job::new(limits, CancelToken::new(), Arc::new(SilentProgress));
        Xar::open(Arc::new(sample().build()), &job).map(|_| ()).map_err(|e| e.code())
    };
    assert_eq!(with(|l| l.toc_files = 4), Ok(()));
    assert_eq!(with(|l| l.toc_files = 3), Err(Code::LimitEntries));
    assert_eq!(with(|l| l.toc_compressed = 10), Err(Code::LimitToc));
    assert_eq!(with(|l| l.toc_bytes = 10), Err(Code::LimitToc));
    assert_eq!(with(|l| l.path_bytes_kept = 10), Err(Code::LimitEntries));
    assert_eq!(with(|l| l.xml_text = 5), Err(Code::LimitXml));
    let cancel = CancelToken::new();
    cancel.cancel();
    let job = Job::new(Limits::default(), cancel, Arc::new(SilentProgress));
    let e = Xar::open(Arc::new(sample().build()), &job).unwrap_err();
    assert_eq!(e.code(), Code::Cancelled);
}
