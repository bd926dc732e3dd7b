//! A1 to A14: header, table of contents, XML, numbers, ranges.

use super::*;

#[test]
fn all_encodings_and_checksums_read_back() {
    let job = Job::default();
    let bytes: Vec<u8> = (0..70_000u32).flat_map(|i| (i / 7).to_le_bytes()).collect();
    for style in [Style::Md5, Style::Sha1, Style::Sha256, Style::Sha512] {
        for encoding in [
            Encoding::None,
            Encoding::Gzip,
            Encoding::RealGzip,
            Encoding::Bzip2,
            Encoding::Xz,
            Encoding::Lzma,
            Encoding::XzAsLzma,
        ] {
            let built = XarBuilder::new()
                .toc_checksum(style)
                .file_checksum(style)
                .file("d/f", bytes.clone(), encoding)
                .file("empty", "", encoding);
            let xar = open(built.build()).unwrap();
            let f = xar.find("d/f").unwrap();
            assert!(xar.read_file(f, 1 << 20, &job).unwrap() == bytes, "{encoding:?}");
            let empty = xar.find("empty").unwrap();
            assert_eq!(xar.read_file(empty, 0, &job).unwrap(), b"", "{encoding:?}");
            assert_eq!(xar.read_file(f, 279_999, &job).unwrap_err().code(), Code::LimitMemory);
            assert_eq!(xar.toc_checksum().style.name(), style.name());
            // Read to the byte and no further, in odd pieces: still checked.
            let mut r = xar.open_file(f, &job).unwrap();
            let mut got = vec![0; bytes.len()];
            for piece in got.chunks_mut(997) {
                r.read_exact(piece).unwrap();
            }
            assert!(got == bytes);
        }
    }
}

#[test]
fn header_variants() {
    for style in [Style::Md5, Style::Sha1, Style::Sha256, Style::Sha512] {
        let xar = open(sample().toc_checksum(style).named_checksum().build()).unwrap();
        assert_eq!(xar.toc_checksum().style.name(), style.name());
        assert_eq!(
            xar.heap_start() - 64,
            open(sample().toc_checksum(style).build()).unwrap().heap_start() - 28
        );
    }
    let none = open(sample().toc_checksum(Style::None).build()).unwrap();
    assert_eq!(none.toc_checksum().style, ChecksumStyle::None);
    // A longer header with nothing in it, and one with an unknown name.
    let padded = sample().toc_checksum(Style::Sha256).header(|h| {
        h.size = 32;
        h.more = vec![0; 4];
    });
    assert_eq!(open(padded.build()).unwrap().toc_checksum().style, ChecksumStyle::Sha256);
    for name in [&b"sha3\0\0\0\0"[..], b"sha256sh", b"md5\0x\0\0\0"] {
        let built = sample().header(move |h| {
            (h.size, h.checksum, h.more) = (36, 3, name.to_vec());
        });
        assert_eq!(code(built.build()), Code::XarUnsupported, "{name:?}");
    }
    assert_eq!(code(sample().header(|h| h.checksum = 5).build()), Code::XarUnsupported);
    // Header and TOC must name the same digest.
    assert_eq!(code(sample().header(|h| h.checksum = 0).build()), Code::XarChecksum);
    assert_eq!(code(sample().header(|h| h.checksum = 2).build()), Code::XarChecksum);
}

#[test]
fn a01_files_shorter_than_the_header() {
    for bytes in [&b""[..], b"x", b"xar", b"xar!\0\x1c\0\x01"] {
        assert_eq!(code(bytes.to_vec()), Code::XarTruncated);
    }
    assert_eq!(code(sample().build()[..27].to_vec()), Code::XarTruncated);
    assert_eq!(code(b"PK\x03\x04 is no xar".to_vec()), Code::XarHeader);
}

#[test]
fn a02_header_sizes_that_cannot_be() {
    for size in [0, 4, 27, 29, 68, 65535] {
        assert_eq!(code(sample().header(move |h| h.size = size).build()), Code::XarHeader);
    }
    for version in [0, 2, 65535] {
        assert_eq!(code(sample().header(move |h| h.version = version).build()), Code::XarHeader);
    }
}

#[test]
fn a03_toc_len_beyond_file() {
    for len in [0, 1 << 63, u64::MAX, 5000] {
        let built = sample().header(move |h| h.toc_stored = len);
        assert_eq!(code(built.build()), Code::XarTocRange, "{len}");
    }
}

#[test]
fn a04_a05_declared_inflated_size_is_wrong() {
    let len = |f: fn(u64) -> u64| {
        code(sample().header(move |h| h.toc_inflated = f(h.toc_inflated)).build())
    };
    assert_eq!(len(|_| u64::MAX), Code::LimitToc);
    assert_eq!(len(|_| 60 << 20), Code::XarTocSize);
    assert_eq!(len(|n| n + 1), Code::XarTocSize);
    assert_eq!(len(|n| n - 1), Code::XarTocSize);
    assert_eq!(len(|_| 0), Code::XarTocSize);
}

#[test]
fn a06_toc_bomb() {
    let toc = format!("<xar><toc>{}</toc></xar>", " ".repeat((64 << 20) + 1));
    assert_eq!(code(XarBuilder::new().raw(toc, vec![]).build()), Code::LimitToc);
}

#[test]
fn a07_zlib_oddities() {
    let stored = |f: fn(Vec<u8>) -> Vec<u8>| code(sample().edit_stored_toc(f).build());
    assert_eq!(stored(|v| [&v[..], b"x"].concat()), Code::XarTocZlib);
    assert_eq!(stored(|v| [&v[..], &v[..]].concat()), Code::XarTocZlib);
    assert_eq!(stored(|v| v[..v.len() - 1].to_vec()), Code::XarTocZlib);
    assert_eq!(stored(|v| v[..v.len() / 2].to_vec()), Code::XarTocZlib);
    // FDICT with a right header check, then the dictionary's id.
    assert_eq!(stored(|v| [&[0x78, 0xbb, 0, 0, 0, 1], &v[2..]].concat()), Code::XarTocZlib);
    assert_eq!(
        stored(|mut v| {
            *v.last_mut().unwrap() ^= 1;
            v
        }),
        Code::XarTocZlib
    );
    // A TOC that inflates well, but is not the one that the checksum covers.
    let swapped = sample().edit_heap(|mut h| {
        h[0] ^= 1;
        h
    });
    assert_eq!(code(swapped.build()), Code::XarChecksum);
}

#[test]
fn a08_a09_document_types_and_entities() {
    for dtd in [
        "<!DOCTYPE xar SYSTEM \"file:///etc/passwd\">",
        "<!DOCTYPE xar [<!ENTITY x SYSTEM \"http://127.0.0.1:9/\">]>",
        "<!DOCTYPE xar [<!ENTITY % p SYSTEM \"file:///dev/zero\"> %p;]>",
        "<!DOCTYPE lolz [<!ENTITY a \"lol\"><!ENTITY b \"&a;&a;&a;\">]>",
    ] {
        let toc = format!("<?xml version=\"1.0\"?>{dtd}<xar><toc/></xar>");
        assert_eq!(code(XarBuilder::new().raw(toc, vec![]).build()), Code::XmlDtd, "{dtd}");
    }
    assert_eq!(code(file("<other>&lol;</other>")), Code::XmlDtd);
    assert_eq!(code(file("<link type=\"&lol;\">x</link>")), Code::XmlDtd);
    assert_eq!(code(file("<other>&#0;</other>")), Code::Xml);
    // The predefined ones and character references are text.
    let xar = open(toc(
        "<file id=\"1\"><name>&lt;a&amp;b&gt; &#x41;<![CDATA[<]]></name><type>file</type></file>",
    ));
    assert_eq!(xar.unwrap().files()[0].path.as_str(), "<a&b> A<");
}

#[test]
fn a10_many_attributes() {
    let start = Instant::now();
    let attributes: String = (0..800_000).map(|i| format!(" a{i}=''")).collect();
    assert_eq!(code(toc(&format!("<x{attributes}/>"))), Code::LimitXml);
    let spaces: String = (0..100_000).map(|i| format!(" xmlns:a{i}='u'")).collect();
    assert_eq!(code(toc(&format!("<x{spaces}/>"))), Code::LimitXml);
    mip_testkit::not_hanging(start);
    assert_eq!(code(toc("<x a='1' a='2'/>")), Code::Xml);
}

#[test]
fn a11_deep_nesting() {
    let deep = "<file id=\"1\"><name>d</name><type>directory</type>".repeat(1_000_000);
    assert_eq!(code(toc(&deep)), Code::LimitDepth);
    let other = "<x>".repeat(1_000_000);
    assert_eq!(code(toc(&other)), Code::LimitDepth);
}

#[test]
fn a12_encodings_of_the_toc() {
    let raw = |toc: &[u8]| {
        // The builder takes text: the bytes go in by the hook on the compressed table.
        let stored = Encoding::Gzip.pack(toc);
        let len = toc.len() as u64;
        let built = XarBuilder::new()
            .edit_stored_toc(move |_| stored.clone())
            .header(move |h| h.toc_inflated = len);
        code(built.build())
    };
    assert_eq!(raw(b"<xar><toc>\xff</toc></xar>"), Code::XarToc);
    assert_eq!(raw("\u{feff}<xar><toc/></xar>".as_bytes()), Code::XarToc);
    assert_eq!(raw(b"<xar><toc>\0</toc></xar>"), Code::XarToc);
    let utf16: Vec<u8> = "<xar><toc/></xar>".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(raw(&utf16), Code::XarToc);
    assert_eq!(
        raw(b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><xar><toc/></xar>"),
        Code::XarToc
    );
    for (bad, code) in [
        (&b"<xar><toc>"[..], Code::Xml),
        (b"<xar><toc></xar></toc>", Code::Xml),
        (b"<xar><toc/></xar><xar/>", Code::Xml),
        (b"<xar><toc/></xar> text", Code::Xml),
        (b"<xar/>", Code::XarToc),
        (b"<rax><toc/></rax>", Code::XarToc),
        (b"<xar><toc/><toc/></xar>", Code::XarToc),
        (b"", Code::XarToc),
    ] {
        assert_eq!(raw(bad), code, "{:?}", String::from_utf8_lossy(bad));
    }
}

#[test]
fn a13_numbers() {
    for bad in ["-1", "0x10", "18446744073709551616", "1e3", "+1", " 1", "1 ", "\n", "", "1,0"] {
        for element in ["offset", "length", "size"] {
            let xml =
                data(0, 1).replacen(&format!("<{element}>"), &format!("<{element}>{bad}X"), 1);
            // Replace the old digits too.
            let (head, tail) = xml.split_once('X').unwrap();
            let tail = tail.trim_start_matches(|c: char| c.is_ascii_digit());
            assert_eq!(code(file(&format!("{head}{tail}"))), Code::XarNumber, "{element} {bad:?}");
        }
        assert_eq!(
            code(toc(&format!("<file id=\"{bad}\"><name>f</name><type>file</type></file>"))),
            Code::XarNumber
        );
    }
    assert_eq!(code(file("<mode>0888</mode>")), Code::XarNumber);
    assert_eq!(code(file("<mode>1777777</mode>")), Code::XarNumber);
    assert_eq!(code(file("<uid>4294967296</uid>")), Code::XarNumber);
    assert_eq!(
        code(file("<offset><b>1</b></offset><data><offset>1<b/></offset></data>")),
        Code::XarToc
    );
}

#[test]
fn a14_ranges_that_leave_the_heap() {
    assert!(open(file(&data(0, 10))).is_ok());
    for (offset, length) in [("10", "1"), ("0", "11"), ("18446744073709551615", "2"), ("11", "0")] {
        let xml = data(0, 1)
            .replace("<offset>0<", &format!("<offset>{offset}<"))
            .replace("<length>1<", &format!("<length>{length}<"))
            .replace("<size>1<", &format!("<size>{length}<"));
        assert_eq!(code(file(&xml)), Code::XarRange, "{offset} {length}");
    }
    let twice = data(0, 1).replace("<size>1<", "<size>2<");
    assert_eq!(code(file(&twice)), Code::XarRange, "stored as it is, two sizes");
    // A file cut anywhere in its heap.
    let whole = sample().build();
    for cut in 1..3000 {
        assert_eq!(code(whole[..whole.len() - cut].to_vec()), Code::XarRange);
    }
}
