//! The cases A1 to A24 of the list of hostile inputs, without A18 to A20 (signatures).

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    missing_docs
)]

use std::io::Read as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mip_base::{CancelToken, Code, EntryKind, Error, Job, Limits, ReadAt, SilentProgress};
use mip_testkit::xar::{Encoding, Style, XarBuilder, base64, hex};
use mip_xar::{ChecksumStyle, SignatureStyle, Xar};

fn open(bytes: Vec<u8>) -> Result<Xar, Error> {
    Xar::open(Arc::new(bytes), &Job::default())
}

fn code(bytes: Vec<u8>) -> Code {
    open(bytes).unwrap_err().code()
}

/// A TOC with these elements, no checksum, over ten heap bytes.
fn toc(inner: &str) -> Vec<u8> {
    XarBuilder::new()
        .toc_checksum(Style::None)
        .raw(
            format!("<?xml version=\"1.0\"?><xar><toc>{inner}</toc></xar>"),
            b"0123456789".to_vec(),
        )
        .build()
}

fn file(inner: &str) -> Vec<u8> {
    toc(&format!("<file id=\"1\"><name>f</name><type>file</type>{inner}</file>"))
}

/// A `<data>` over heap bytes with right checksums.
fn data(offset: usize, len: usize) -> String {
    let digest = hex(&Style::Sha1.digest(&b"0123456789"[offset..offset + len]));
    format!(
        "<data><offset>{offset}</offset><length>{len}</length><size>{len}</size>\
         <archived-checksum style=\"sha1\">{digest}</archived-checksum>\
         <extracted-checksum style=\"sha1\">{digest}</extracted-checksum></data>"
    )
}

fn sample() -> XarBuilder {
    XarBuilder::new()
        .file("PackageInfo", "<pkg-info/>", Encoding::Gzip)
        .file("a.pkg/Payload", vec![7; 3000], Encoding::None)
        .symlink("a.pkg/link", "Payload")
}

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
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
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
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
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
    let same = two("", "").len();
    assert!(same > 0);
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

/// Hands out one byte at a time and counts what is read, of a file that is said to be `size`.
struct Counting {
    bytes: Vec<u8>,
    size: u64,
    most: usize,
    read: std::sync::atomic::AtomicU64,
}

impl ReadAt for Counting {
    fn size(&self) -> u64 {
        self.size
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<usize> {
        let n = buf.len().min(self.most);
        let got = self.bytes.read_at(offset, &mut buf[..n])?;
        self.read.fetch_add(got as u64, std::sync::atomic::Ordering::Relaxed);
        Ok(got)
    }
}

#[test]
fn reads_of_one_byte_give_the_same() {
    let bytes = sample().build();
    let size = bytes.len() as u64;
    let source = Arc::new(Counting { bytes, size, most: 1, read: 0.into() });
    let xar = Xar::open(source, &Job::default()).unwrap();
    let read = |p: &str| xar.read_file(xar.find(p).unwrap(), 1 << 20, &Job::default()).unwrap();
    assert_eq!(read("PackageInfo"), b"<pkg-info/>");
    assert_eq!(read("a.pkg/Payload"), vec![7; 3000]);
}

#[test]
fn opening_four_gibibytes_reads_the_header_and_the_toc() {
    let built = XarBuilder::new().toc_checksum(Style::None).raw(
        "<xar><toc><file id=\"1\"><name>Payload</name><type>file</type><data><offset>0</offset>\
         <length>4294967296</length><size>4294967296</size><archived-checksum style=\"md5\">\
         00000000000000000000000000000000</archived-checksum></data></file></toc></xar>",
        vec![],
    );
    let bytes = built.build();
    let head = bytes.len() as u64;
    let size = head + (4 << 30);
    let source = Arc::new(Counting { bytes, size, most: usize::MAX, read: 0.into() });
    let xar = Xar::open(source.clone(), &Job::default()).unwrap();
    assert_eq!(xar.heap_used(), 4 << 30);
    assert!(source.read.load(std::sync::atomic::Ordering::Relaxed) <= head + 64);
}

/// Everything that a reader can be asked, for comparison.
fn everything(bytes: Vec<u8>) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let job = Job::default();
    let xar = Xar::open(Arc::new(bytes), &job)?;
    let mut out = Vec::new();
    for f in xar.files() {
        let bytes = match f.kind {
            EntryKind::File => xar.read_file(f, 1 << 20, &job)?,
            _ => f.link.clone().unwrap_or_default().into_bytes(),
        };
        out.push((f.path.as_str().to_owned(), bytes));
    }
    Ok(out)
}

#[test]
fn every_changed_byte_and_every_cut_is_an_error_or_harmless() {
    let small = XarBuilder::new()
        .file("a", "hello hello", Encoding::Gzip)
        .file("d/b", "plain", Encoding::None)
        .symlink("l", "a")
        .build();
    let want = everything(small.clone()).unwrap();
    let (mut same, mut refused) = (0, 0);
    for i in 0..small.len() {
        for value in [0, 0xff, small[i].wrapping_add(1), small[i].wrapping_sub(1)] {
            let mut bad = small.clone();
            bad[i] = value;
            if bad == small {
                continue;
            }
            match everything(bad) {
                Ok(got) => {
                    assert_eq!(got, want, "byte {i} = {value}");
                    same += 1;
                }
                Err(_) => refused += 1,
            }
        }
    }
    // Header, TOC, TOC checksum and data are all covered: no change may pass.
    assert_eq!(same, 0, "{refused} refused");
    for len in 0..small.len() {
        assert!(everything(small[..len].to_vec()).is_err(), "cut to {len}");
    }
}
