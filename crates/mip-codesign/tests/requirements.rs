//! Compiled requirements against the texts that Apple publishes and `csreq` prints.
#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::unwrap_used)]

use mip_base::Code;
use mip_codesign::requirement_text;
use mip_testkit::macho::{argument, requirement};

/// Words of a compiled requirement.
#[derive(Default, Clone)]
struct Words(Vec<u8>);

impl Words {
    fn op(mut self, n: u32) -> Self {
        self.0.extend(n.to_be_bytes());
        self
    }
    fn data(mut self, b: &[u8]) -> Self {
        self.0.extend(argument(b));
        self
    }
    fn date(mut self, n: i64) -> Self {
        self.0.extend(n.to_be_bytes());
        self
    }
    fn text(&self) -> String {
        requirement_text(&requirement(&self.0)).unwrap()
    }
}

fn op(n: u32) -> Words {
    Words::default().op(n)
}

/// DER content of 1.2.840.113635.100.6.1.13 and 1.2.840.113635.100.6.2.6, by Python:
/// `cryptography.x509.ObjectIdentifier`.
const LEAF: &[u8] = b"\x2a\x86\x48\x86\xf7\x63\x64\x06\x01\x0d";
const INTERMEDIATE: &[u8] = b"\x2a\x86\x48\x86\xf7\x63\x64\x06\x02\x06";
const TIMESTAMP: &[u8] = b"\x2a\x86\x48\x86\xf7\x63\x64\x06\x01\x21";

#[test]
fn each_operation() {
    let hash = [0xab; 20];
    let h = "abababababababababababababababababababab";
    for (words, text) in [
        (op(0), "never".to_owned()),
        (op(1), "always".to_owned()),
        (op(2).data(b"com.apple.mail"), "identifier \"com.apple.mail\"".to_owned()),
        (op(2).data(b"tool"), "identifier tool".to_owned()),
        (op(3), "anchor apple".to_owned()),
        (op(4).op(0).data(&hash), format!("certificate leaf = H\"{h}\"")),
        (op(4).op(u32::MAX).data(&hash), format!("certificate root = H\"{h}\"")),
        (op(4).op(2).data(&hash), format!("certificate 2 = H\"{h}\"")),
        (op(5).data(b"CFBundleVersion").data(b"1.2"), "info[CFBundleVersion] = \"1.2\"".to_owned()),
        (op(8).data(&hash), format!("cdhash H\"{h}\"")),
        (op(9).op(3), "! anchor apple".to_owned()),
        (op(12).op(0), "certificate leaf trusted".to_owned()),
        (op(13), "anchor trusted".to_owned()),
        (op(15), "anchor apple generic".to_owned()),
        (op(16).data(b"com.apple.x").op(0), "entitlement[com.apple.x] /* exists */".to_owned()),
        (
            op(17).op(1).data(LEAF).op(0),
            "certificate 1[policy.1.2.840.113635.100.6.1.13] /* exists */".to_owned(),
        ),
        (op(18).data(b"TestRoot"), "anchor apple TestRoot".to_owned()),
        (op(19).data(b"hello"), "(hello)".to_owned()),
        (op(20).op(1), "platform = 1".to_owned()),
        (op(21), "notarized".to_owned()),
        (op(23), "legacy".to_owned()),
        (op(0x8000_0063).data(b"xx"), "false /* opcode 99 */".to_owned()),
        (op(0x4000_0063).data(b"xx"), "/* opcode 99 */".to_owned()),
    ] {
        assert_eq!(words.text(), text);
    }
}

#[test]
fn each_comparison() {
    let info = || op(10).data(b"CFBundleVersion");
    for (n, text) in [
        (1, " = abc"),
        (2, " ~ abc"),
        (3, " = abc*"),
        (4, " = *abc"),
        (5, " < abc"),
        (6, " > abc"),
        (7, " <= abc"),
        (8, " >= abc"),
    ] {
        assert_eq!(info().op(n).data(b"abc").text(), format!("info[CFBundleVersion]{text}"));
    }
    assert_eq!(info().op(0).text(), "info[CFBundleVersion] /* exists */");
    assert_eq!(info().op(14).text(), "info[CFBundleVersion] absent ");
    // 2019-04-08T00:00:00Z, in seconds since 2001 (Python's datetime).
    for (n, sign) in [(9, "="), (10, "<"), (11, ">"), (12, "<="), (13, ">=")] {
        assert_eq!(
            op(22).op(0).data(TIMESTAMP).op(n).date(576_374_400).text(),
            format!(
                "certificate leaf[timestamp.1.2.840.113635.100.6.1.33] {sign} \
                 <2019-04-08 00:00:00 +0000>"
            )
        );
    }
    for (seconds, day) in [
        (0, "2001-01-01 00:00:00"),
        (-1, "2000-12-31 23:59:59"),
        (-26_524_800, "2000-02-29 00:00:00"),
        (99_792_000 - 1, "2004-02-29 23:59:59"),
        (i64::MAX, "292277026596-12-04 15:30:07"),
    ] {
        let text = op(22).op(0).data(TIMESTAMP).op(9).date(seconds).text();
        if seconds == i64::MAX {
            assert!(text.contains("+0000"));
        } else {
            assert!(text.ends_with(&format!("<{day} +0000>")), "{text}");
        }
    }
}

/// Apple, TN3127 "Inside Code Signing: Requirements": the designated requirement of a
/// Developer ID program.
#[test]
fn the_requirement_of_developer_id() {
    let words = op(6)
        .op(6)
        .op(6)
        .op(6)
        .op(2)
        .data(b"com.example.apple-samplecode.SetEnergySaver")
        .op(15)
        .op(14)
        .op(1)
        .data(INTERMEDIATE)
        .op(0)
        .op(14)
        .op(0)
        .data(LEAF)
        .op(0)
        .op(11)
        .op(0)
        .data(b"subject.OU")
        .op(1)
        .data(b"SKMME9E2Y8");
    assert_eq!(
        words.text(),
        "identifier \"com.example.apple-samplecode.SetEnergySaver\" and anchor apple generic and \
         certificate 1[field.1.2.840.113635.100.6.2.6] /* exists */ and certificate leaf\
         [field.1.2.840.113635.100.6.1.13] /* exists */ and certificate leaf[subject.OU] = \
         SKMME9E2Y8"
    );
}

#[test]
fn parentheses_stand_where_they_change_the_meaning() {
    let (a, b, c) = (op(3), op(15), op(21));
    let join = |n: u32, x: &Words, y: &Words| {
        let mut w = op(n);
        w.0.extend(&x.0);
        w.0.extend(&y.0);
        w
    };
    let (and, or) = (join(6, &a, &b), join(7, &a, &b));
    let (s_and, s_or) =
        ("anchor apple and anchor apple generic", "anchor apple or anchor apple generic");
    assert_eq!(join(7, &and, &c).text(), format!("{s_and} or notarized"));
    assert_eq!(join(7, &c, &and).text(), format!("notarized or {s_and}"));
    assert_eq!(join(6, &or, &c).text(), format!("({s_or}) and notarized"));
    assert_eq!(join(6, &c, &or).text(), format!("notarized and ({s_or})"));
    assert_eq!(join(6, &and, &c).text(), format!("{s_and} and notarized"));
    let mut not = op(9);
    not.0.extend(&or.0);
    assert_eq!(not.text(), format!("! ({s_or})"));
}

#[test]
fn strings_are_bare_quoted_or_hexadecimal() {
    for (bytes, text) in [
        (&b"ABC123"[..], "ABC123"),
        // A Team ID that starts with a digit.
        (b"43AQ936H96", "\"43AQ936H96\""),
        (b"a.b", "\"a.b\""),
        (b"a b", "\"a b\""),
        (b"a\"b\\c", "\"a\\\"b\\\\c\""),
        (b"", "\"\""),
        // A word of the language.
        (b"anchor", "\"anchor\""),
        (b"legacy", "\"legacy\""),
        (b"a\x01", "0x6101"),
        ("é".as_bytes(), "0xc3a9"),
    ] {
        assert_eq!(op(2).data(bytes).text(), format!("identifier {text}"));
    }
    // Keys may have dots.
    assert_eq!(op(10).data(b"a.b").op(0).text(), "info[a.b] /* exists */");
    assert_eq!(op(10).data(b".9").op(0).text(), "info[.9] /* exists */");
}

#[test]
fn what_is_not_a_requirement_is_refused() {
    let good = requirement(&op(2).data(b"org.example").0);
    for cut in 0..good.len() {
        assert_eq!(requirement_text(&good[..cut]).unwrap_err().code(), Code::CodeSignature);
        let mut shorter = good[..cut].to_vec();
        if cut >= 8 {
            shorter[4..8].copy_from_slice(&u32::try_from(cut).unwrap().to_be_bytes());
            let end = requirement_text(&shorter).map_err(|e| e.code());
            // The last byte is padding: without it the text is whole.
            if cut + 1 < good.len() {
                assert!(matches!(end, Err(Code::CodeSignature | Code::Unsupported)), "{cut}");
            }
        }
    }
    let code = |b: &[u8]| requirement_text(b).unwrap_err().code();
    assert_eq!(code(b"\xfa\xde\x0c\x01\0\0\0\x10\0\0\0\x01\0\0\0\x0f"), Code::CodeSignature);
    assert_eq!(code(&requirement(&op(99).0)), Code::Unsupported);
    assert_eq!(code(&requirement(&op(10).data(b"a").op(99).0)), Code::Unsupported);
    let mut form = requirement(&op(1).0);
    form[11] = 2;
    assert_eq!(code(&form), Code::Unsupported);
}

#[test]
fn depth_and_length_are_bounded() {
    // 300 cdhashes, as Apple's own lists have, are a tree of as many levels.
    let mut list = Words::default();
    for _ in 0..300 {
        list = list.op(7);
    }
    for i in 0..=300_u32 {
        list = list.op(8).data(&[i.to_be_bytes(); 5].concat());
    }
    assert_eq!(list.text().matches(" or ").count(), 300);
    for op in [6, 7, 9] {
        let deep = Words((0..30_000).flat_map(|_| u32::to_be_bytes(op)).collect());
        let e = requirement_text(&requirement(&deep.0)).unwrap_err();
        assert_eq!(e.code(), Code::Unsupported, "{e}");
    }
    let long = requirement(&op(2).data(&vec![b'a'; 200_000]).0);
    assert_eq!(requirement_text(&long).unwrap_err().code(), Code::Unsupported);
}
