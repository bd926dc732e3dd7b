use std::sync::Arc;

use mip_base::{Limits, SilentProgress};

use super::*;

fn parse(data: &[u8]) -> Result<Value> {
    read(data, &Job::default())
}

fn code(data: &[u8]) -> Code {
    parse(data).unwrap_err().code()
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
    digits
        .chunks(2)
        .map(|c| u8::from_str_radix(&c.iter().collect::<String>(), 16).unwrap())
        .collect()
}

// Both made by Python 3.11's plistlib from the dictionary that `values` spells out.
const BINARY: &str = "\
    62706c6973743030df100f0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c202351735175\
    51695362696751775172517451665164547768656e536f6c64546c6561705161516e546c6f6e67547465787468\
    0067007200f600df00650020d83dde0013fffffffffffffffb140000000000000000800000000000000111012c\
    233ff800000000000009084f1014000102030405060708090a0b0c0d0e0f101112133341c859b76780000033c2\
    2d63c37f00000033c17936b010000000a31d1e1f10015178a0d12122516bd05f10147878787878787878787878\
    78787878787878787808292b2d2f333537393b3d42464b4d4f54596a738487909192a9b2bbc4c8cacccdd0d2d3\
    00000000000001010000000000000024000000000000000000000000000000ea\
";
const XML: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
	<key>s</key>
	<string>text</string>
	<key>u</key>
	<string>größe 😀</string>
	<key>i</key>
	<integer>-5</integer>
	<key>big</key>
	<integer>9223372036854775809</integer>
	<key>w</key>
	<integer>300</integer>
	<key>r</key>
	<real>1.5</real>
	<key>t</key>
	<true/>
	<key>f</key>
	<false/>
	<key>d</key>
	<data>
	AAECAwQFBgcICQoLDA0ODxAREhM=
	</data>
	<key>when</key>
	<date>2026-11-22T18:41:19Z</date>
	<key>old</key>
	<date>0001-01-01T00:00:00Z</date>
	<key>leap</key>
	<date>2000-02-29T23:59:59Z</date>
	<key>a</key>
	<array>
		<integer>1</integer>
		<string>x</string>
		<array/>
	</array>
	<key>n</key>
	<dict>
		<key>k</key>
		<dict/>
	</dict>
	<key>long</key>
	<string>xxxxxxxxxxxxxxxxxxxx</string>
</dict>
</plist>"#;

fn values() -> Value {
    let s = |t: &str| Value::String(t.to_owned());
    let d = |t: &str| Value::Date(t.to_owned());
    let dict = |v: Vec<(&str, Value)>| {
        Value::Dict(v.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
    };
    dict(vec![
        ("s", s("text")),
        ("u", s("größe \u{1F600}")),
        ("i", Value::Integer(-5)),
        ("big", Value::Integer((1 << 63) + 1)),
        ("w", Value::Integer(300)),
        ("r", Value::Real(1.5)),
        ("t", Value::Boolean(true)),
        ("f", Value::Boolean(false)),
        ("d", Value::Data((0..20).collect())),
        ("when", d("2026-11-22T18:41:19Z")),
        ("old", d("0001-01-01T00:00:00Z")),
        ("leap", d("2000-02-29T23:59:59Z")),
        ("a", Value::Array(vec![Value::Integer(1), s("x"), Value::Array(vec![])])),
        ("n", dict(vec![("k", dict(vec![]))])),
        ("long", s(&"x".repeat(20))),
    ])
}

#[test]
fn reads_what_python_wrote() {
    assert_eq!(parse(&hex(BINARY)).unwrap(), values());
    assert_eq!(parse(XML.as_bytes()).unwrap(), values());
    let bom = [b"\xEF\xBB\xBF", XML.as_bytes()].concat();
    assert_eq!(parse(&bom).unwrap(), values());
}

#[test]
fn no_cut_and_no_flipped_bit_panics() {
    for whole in [hex(BINARY), XML.as_bytes().to_vec()] {
        for len in 0..whole.len() {
            // What ends before the end is never a whole value.
            assert!(parse(&whole[..len]).is_err() || whole.get(..6) != Some(b"bplist"), "{len}");
        }
        for bit in 0..whole.len() * 8 {
            let mut bad = whole.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            if let Err(e) = parse(&bad) {
                assert_ne!(e.code(), Code::Internal);
            }
        }
    }
}

/// A binary plist of objects, whose references have one byte.
fn binary(objects: &[&[u8]]) -> Vec<u8> {
    let mut out = b"bplist00".to_vec();
    let mut table = Vec::new();
    for o in objects {
        table.extend_from_slice(&(out.len() as u16).to_be_bytes());
        out.extend_from_slice(o);
    }
    let at = out.len() as u64;
    out.extend_from_slice(&table);
    out.extend_from_slice(&[0, 0, 0, 0, 0, 0, 2, 1]);
    for n in [objects.len() as u64, 0, at] {
        out.extend_from_slice(&n.to_be_bytes());
    }
    out
}

#[test]
fn f01_counts_beyond_the_file() {
    // An array of 2^31 elements in a file of some 50 bytes.
    assert_eq!(code(&binary(&[b"\xAF\x12\x80\x00\x00\x00"])), Code::Plist);
    assert_eq!(code(&binary(&[b"\xDF\x13\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"])), Code::Plist);
    assert_eq!(code(&binary(&[b"\x4F\x12\x7F\xFF\xFF\xFF"])), Code::Plist);
    assert_eq!(code(&binary(&[b"\x6F\x13\x80\x00\x00\x00\x00\x00\x00\x00"])), Code::Plist);
}

#[test]
fn f02_values_that_contain_themselves() {
    assert_eq!(code(&binary(&[b"\xA1\x00"])), Code::Plist);
    assert_eq!(code(&binary(&[b"\xA1\x01", b"\xA1\x00"])), Code::Plist);
    assert_eq!(code(&binary(&[b"\xD1\x01\x00", b"\x51k"])), Code::Plist);
}

#[test]
fn f03_sharing_that_doubles() {
    let objects: Vec<Vec<u8>> =
        (0..60).map(|i| vec![0xA2, i + 1, i + 1]).chain([vec![0x09]]).collect();
    let objects: Vec<&[u8]> = objects.iter().map(Vec::as_slice).collect();
    assert_eq!(code(&binary(&objects)), Code::Limit);
    // A string that is shared a few thousand times counts each time.
    let text = [&[0x5F, 0x11, 0x40, 0x00][..], &[b'x'; 0x4000]].concat();
    let many = [&[0xAF, 0x11, 0x20, 0x00][..], &[1; 0x2000]].concat();
    let mut limits = Limits::default();
    limits.plist_bytes = 1 << 20;
    let job = Job::new(limits, Default::default(), Arc::new(SilentProgress));
    let e = read(&binary(&[&many, &text]), &job).unwrap_err();
    assert_eq!(e.code(), Code::Limit);
}

#[test]
fn f04_trailers_that_lie() {
    let good = binary(&[b"\x09"]);
    assert_eq!(parse(&good).unwrap(), Value::Boolean(true));
    let trailer = good.len() - 32;
    for (at, with) in
        [(6, 0), (6, 9), (7, 0), (7, 9), (15, 2), (15, 0), (23, 1), (31, 200), (31, 7), (24, 0x80)]
    {
        let mut bad = good.clone();
        bad[trailer + at] = with;
        assert_eq!(code(&bad), Code::Plist, "{at} {with}");
    }
    // An object that starts in the header or in the table.
    for offset in [0, 9] {
        let mut bad = good.clone();
        bad[trailer - 1] = offset;
        assert_eq!(code(&bad), Code::Plist, "{offset}");
    }
    assert_eq!(code(b"bplist00"), Code::Plist);
    assert_eq!(
        code(b"bplist16\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
        Code::Plist
    );
}

#[test]
fn f05_nesting() {
    let deep = |n: usize| format!("<plist>{}{}</plist>", "<array>".repeat(n), "</array>".repeat(n));
    assert!(parse(deep(128).as_bytes()).is_ok());
    assert_eq!(code(deep(200).as_bytes()), Code::LimitDepth);
    assert_eq!(code(deep(1_000_000).as_bytes()), Code::LimitDepth);
    assert_eq!(code("<array>".repeat(1_000_000).as_bytes()), Code::Plist);
    let objects: Vec<Vec<u8>> = (0..200).map(|i| vec![0xA1, i + 1]).chain([vec![0x09]]).collect();
    let objects: Vec<&[u8]> = objects.iter().map(Vec::as_slice).collect();
    assert_eq!(code(&binary(&objects)), Code::LimitDepth);
}

#[test]
fn f06_numbers_and_dates_at_their_edges() {
    let xml = |v: &str| parse(format!("<plist>{v}</plist>").as_bytes());
    assert_eq!(xml("<integer>-0x10</integer>").unwrap(), Value::Integer(-16));
    assert_eq!(xml("<integer> +7 </integer>").unwrap(), Value::Integer(7));
    let digits = "9".repeat(1_000_000);
    for bad in [
        &format!("<integer>{digits}</integer>"),
        "<integer>1e3</integer>",
        "<integer></integer>",
        "<integer>--1</integer>",
        "<integer>+-1</integer>",
        "<real>nan</real>",
        "<real>inf</real>",
        "<real>1e999</real>",
        "<date>2026-11-22</date>",
        "<date>yesterday at some time</date>",
        "<data>A</data>",
        "<data>AA=A</data>",
        "<data>!!!!</data>",
        "<true>x</true>",
    ] {
        assert_eq!(xml(bad).unwrap_err().code(), Code::Plist, "{}", &bad[..bad.len().min(40)]);
    }
    let nan = f64::NAN.to_be_bytes();
    assert_eq!(code(&binary(&[&[&[0x33][..], &nan].concat()])), Code::Plist);
    assert_eq!(code(&binary(&[&[&[0x33][..], &1e300_f64.to_be_bytes()].concat()])), Code::Plist);
    assert_eq!(code(&binary(&[&[&[0x23][..], &nan].concat()])), Code::Plist);
    let i128 = [&[0x14][..], &[0xFF; 16]].concat();
    assert_eq!(parse(&binary(&[&i128])).unwrap(), Value::Integer(-1));
}

#[test]
fn f07_a_key_twice() {
    let dict = |b: &str| parse(format!("<plist><dict>{b}</dict></plist>").as_bytes());
    let e = dict("<key>a</key><string>1</string><key>a</key><string>2</string>").unwrap_err();
    assert_eq!(e.code(), Code::PlistDupKey);
    let same =
        dict("<key>a</key><string>1</string><key>b</key><true/><key>a</key><string>1</string>")
            .unwrap();
    assert_eq!(same.as_dict().unwrap().len(), 2);
    assert_eq!(
        code(&binary(&[b"\xD2\x01\x01\x02\x03", b"\x51k", b"\x08", b"\x09"])),
        Code::PlistDupKey
    );
    assert!(parse(&binary(&[b"\xD2\x01\x01\x02\x02", b"\x51k", b"\x08"])).is_ok());
}

#[test]
fn f08_size() {
    let mut big = b"<plist><string>".to_vec();
    big.resize((16 << 20) + 1, b'x');
    assert_eq!(code(&big), Code::Limit);
    assert_eq!(code(&binary(&[b"\xD1\x01\x01", b"\x10\x05"])), Code::Plist);
}

#[test]
fn document_types_and_entities() {
    let with = |dtd: &str, v: &str| {
        format!("<?xml version=\"1.0\"?>{dtd}<plist><string>{v}</string></plist>")
    };
    for fine in [
        "",
        "<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">",
        "<!DOCTYPE plist PUBLIC \"-//Apple Computer//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">",
        "<!DOCTYPE plist SYSTEM \"file://localhost/System/Library/DTDs/PropertyList.dtd\">",
        "<!DOCTYPE\n plist\n PUBLIC   '-//Apple//DTD PLIST 1.0//EN'\t'http://www.apple.com/DTDs/PropertyList-1.0.dtd' >",
        "<!DOCTYPE plist PUBLIC \"-//GNUstep//DTD plist 0.9//EN\" \"http://www.gnustep.org/plist-0_9.xml\">",
        "<!DOCTYPE plist SYSTEM \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">",
    ] {
        assert_eq!(
            parse(with(fine, "a &amp; &#66;&#x43;&#13;\r\n<![CDATA[<d>]]>").as_bytes()).unwrap(),
            Value::String("a & BC\r\n<d>".into())
        );
    }
    for bad in [
        "<!DOCTYPE plist SYSTEM \"file:///etc/passwd\">",
        "<!DOCTYPE plist [<!ENTITY a \"b\">]>",
        "<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"x\" [<!ENTITY % a SYSTEM \"http://x/\">]>",
        "<!DOCTYPE plistx>",
        "<!DOCTYPE html>",
    ] {
        assert_eq!(code(with(bad, "x").as_bytes()), Code::XmlDtd, "{bad}");
    }
    assert_eq!(code(with("", "&lol;").as_bytes()), Code::XmlDtd);
    assert_eq!(code(with("", "&#0;").as_bytes()), Code::Plist);
}

#[test]
fn forms_that_are_not_read_are_named() {
    for old in ["{ a = b; }", "( a, b )", "// !$*UTF8*$!\n{}", "\"a\" = \"b\";", "<0fbd777f>", " {"]
    {
        assert_eq!(code(old.as_bytes()), Code::Unsupported, "{old}");
    }
    assert_eq!(
        code(b"<?xml version=\"1.0\" encoding=\"Shift_JIS\"?><plist><true/></plist>"),
        Code::Unsupported
    );
    for bad in [
        &b""[..],
        b"  ",
        b"hello",
        b"<html/>",
        b"<plist/>",
        b"<plist>",
        b"<plist><true/><true/></plist>",
        b"<plist><true/></plist><plist/>",
        b"<plist><string>a</plist>",
        b"<plist>text</plist>",
        b"<plist><string>\xff</string></plist>",
        b"<plist><string>a\0</string></plist>",
        b"<plist><weird/></plist>",
        b"<plist><key>a</key></plist>",
        b"<plist><dict><string>a</string></dict></plist>",
        b"<plist><dict><key>a</key></dict></plist>",
        b"<plist><dict><key>a</key><key>b</key></dict></plist>",
        b"<plist><string><b/></string></plist>",
    ] {
        assert_eq!(code(bad), Code::Plist, "{}", String::from_utf8_lossy(bad));
    }
}

#[test]
fn utf16_and_latin1_are_read() {
    let xml = |mark: &str, name: &str| {
        format!(
            "{mark}<?xml version=\"1.0\" encoding='{name}'?><plist><string>\u{a9} \u{1d11e}</string></plist>"
        )
    };
    let want = Value::String("\u{a9} \u{1d11e}".into());
    for mark in ["\u{feff}", ""] {
        let text = xml(mark, "UTF-16");
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(parse(&little).unwrap(), want);
        assert_eq!(parse(&big).unwrap(), want);
        assert_eq!(code(&little[..little.len() - 1]), Code::Plist);
    }
    let half = [&b"\xff\xfe<\0"[..], b"\x34\xd8", b">\0"].concat();
    assert_eq!(code(&half), Code::Plist);
    let latin =
        b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>\n<plist><string>\xa9</string></plist>";
    assert_eq!(parse(latin).unwrap(), Value::String("\u{a9}".into()));
}
