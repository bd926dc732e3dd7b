//! Packages that a throw-away identity signed, in ways that no tool does.

use std::sync::LazyLock;

use mip_base::{Code, Limits};
use mip_core::SourcePolicy;
use mip_core::inspection::{ClaimState, Inspection};
use mip_core::signing::{FileSigner, IdentityOptions, KeyAlgorithm, Signer, create_identity};
use mip_testkit::xar::{Encoding, Style, XarBuilder};

use super::{codes, flipped, look, package, spread, xar};

struct Own {
    signer: FileSigner,
    leaf: Vec<u8>,
    ca: Vec<u8>,
}

/// RSA, because a bare signature can be nothing else. Made once: it takes a while.
static OWN: LazyLock<Own> = LazyLock::new(|| {
    let mut options = IdentityOptions::new("Developer ID Installer: Somebody (TEAM123456)");
    options.algorithm = KeyAlgorithm::Rsa2048;
    let made = create_identity(&options).unwrap();
    let chain = format!("{}{}", made.certificate_pem, made.ca_certificate_pem);
    let key = made.key_pem.as_bytes();
    let signer = FileSigner::from_pem(key, chain.as_bytes(), None, &Limits::default()).unwrap();
    let [leaf, ca] = signer.certificates() else { panic!() };
    let (leaf, ca) = (leaf.clone(), ca.clone());
    Own { signer, leaf, ca }
});

/// One signature element.
#[derive(Clone, Copy)]
struct Part {
    extended: bool,
    style: &'static str,
    /// Over something else.
    bad: bool,
    certificates: Listed,
}

#[derive(Clone, Copy)]
enum Listed {
    Chain,
    Nothing,
    CaFirst,
}

const RSA: Part = Part { extended: false, style: "RSA", bad: false, certificates: Listed::Chain };
const CMS: Part = Part { extended: true, style: "CMS", bad: false, certificates: Listed::Chain };

fn bad(part: Part) -> Part {
    Part { bad: true, ..part }
}

fn listing(part: Part, certificates: Listed) -> Part {
    Part { certificates, ..part }
}

const ROOM: usize = 8192;

/// A package with these signatures: built once to know its table, and again with what is made
/// over that.
fn signed(style: Style, parts: &[Part], edit: impl Fn(XarBuilder) -> XarBuilder) -> Vec<u8> {
    let info = "<pkg-info identifier=\"a.b\" version=\"1\" install-location=\"/\"/>";
    let build = |bytes: &[Vec<u8>]| {
        let mut b = XarBuilder::new()
            .toc_checksum(style)
            .file("PackageInfo", info, Encoding::Gzip)
            .file("Readme", vec![7; 500], Encoding::None);
        for (part, bytes) in parts.iter().zip(bytes) {
            let list: &[&[u8]] = match part.certificates {
                Listed::Chain => &[&OWN.leaf, &OWN.ca],
                Listed::Nothing => &[],
                Listed::CaFirst => &[&OWN.ca, &OWN.leaf],
            };
            b = b.signature(part.extended, part.style, bytes.clone(), list);
        }
        edit(b).build()
    };
    let size = |p: &Part| if p.style == "RSA" { 256 } else { ROOM };
    let first = build(&parts.iter().map(|p| vec![0; size(p)]).collect::<Vec<_>>());
    let header = usize::from(u16::from_be_bytes(first[4..6].try_into().unwrap()));
    let table = u64::from_be_bytes(first[8..16].try_into().unwrap()) as usize;
    let table = &first[header..header + table];
    let digest = style.digest(table);
    let made: Vec<Vec<u8>> = parts
        .iter()
        .map(|p| {
            let over: &[u8] = match (p.style, p.bad) {
                (_, true) => b"something else",
                ("RSA", _) => table,
                _ => &digest,
            };
            let mut bytes = match p.style {
                "RSA" => OWN.signer.sign(over).unwrap(),
                _ => mip_signing::sign_detached(&OWN.signer, over).unwrap(),
            };
            assert!(bytes.len() <= size(p));
            bytes.resize(size(p), 0);
            bytes
        })
        .collect();
    build(&made)
}

fn plain(parts: &[Part]) -> Inspection {
    look(signed(Style::Sha256, parts, |b| b)).unwrap()
}

#[test]
fn a_root_of_ones_own_is_not_apples() {
    for parts in [&[RSA][..], &[CMS], &[RSA, CMS]] {
        let found = plain(parts);
        let p = package(&found);
        assert_eq!(p.state, ClaimState::Untrusted, "{:?}", p.problem);
        let counts = if parts.len() == 1 && parts[0].style == "RSA" { "rsa" } else { "cms" };
        assert_eq!((p.counts.as_deref(), p.toc_algorithm.as_str()), (Some(counts), "sha256"));
        assert_eq!(p.contents.state, ClaimState::Valid);
        let signer = p.signer().unwrap();
        assert_eq!(signer.root, None);
        // A name that looks like Apple's is a name.
        assert_eq!(signer.team_id, None);
        assert!(codes(&found).contains(&"W_SIGNATURE_UNTRUSTED"));
        let mut policy = SourcePolicy::default();
        policy.signed = true;
        let e = policy.check(&found, &found.warnings).unwrap_err();
        assert_eq!(e.code(), Code::SourceSignature);
    }
}

#[test]
fn a19_the_cms_signature_counts_whatever_the_other_says() {
    let state = |i: &Inspection| package(i).state;
    // The good one counts, and the bad one is a note.
    let found = plain(&[bad(RSA), CMS]);
    assert_eq!(state(&found), ClaimState::Untrusted);
    assert_eq!(package(&found).rsa.as_ref().unwrap().state, ClaimState::Invalid);
    assert!(found.notes.iter().any(|n| n.contains("RSA signature does not match")));
    // A good old one saves nothing.
    for parts in [&[RSA, bad(CMS)][..], &[bad(CMS)], &[bad(RSA)], &[bad(RSA), bad(CMS)]] {
        let found = plain(parts);
        assert_eq!(state(&found), ClaimState::Invalid);
        assert!(codes(&found).contains(&"W_SIGNATURE_INVALID"));
    }
    // Which element it is in says nothing.
    let swapped = [Part { extended: true, ..bad(RSA) }, Part { extended: false, ..CMS }];
    assert_eq!(state(&plain(&swapped)), ClaimState::Untrusted);
}

#[test]
fn a19_two_signatures_of_one_kind_have_no_one_reading() {
    for parts in [
        &[CMS, CMS][..],
        &[CMS, bad(CMS)],
        &[bad(CMS), CMS],
        &[RSA, RSA],
        &[RSA, bad(RSA)],
        &[RSA, CMS, CMS],
    ] {
        let found = plain(parts);
        let p = package(&found);
        assert_eq!(p.state, ClaimState::Invalid);
        assert!(
            p.problem.as_ref().unwrap().contains("nothing says which counts"),
            "{:?}",
            p.problem
        );
    }
    // Of two that do not count neither does harm.
    assert_eq!(package(&plain(&[RSA, bad(RSA), CMS])).state, ClaimState::Untrusted);
}

#[test]
fn a19_certificates_must_be_listed_signer_first() {
    for list in [Listed::Nothing, Listed::CaFirst] {
        for part in [RSA, CMS] {
            let found = plain(&[listing(part, list)]);
            let p = package(&found);
            assert_eq!(p.state, ClaimState::Invalid, "{} {:?}", part.style, p.problem);
            assert!(p.problem.as_ref().unwrap().contains("certificate") || part.style == "RSA");
        }
    }
}

/// Takes the file "Gap" out of the table and leaves its bytes.
fn with_gap(b: XarBuilder, bytes: Vec<u8>) -> XarBuilder {
    b.file("Gap", bytes, Encoding::None).edit_toc(|toc| {
        let name = toc.find("<name>Gap</name>").unwrap();
        let from = toc[..name].rfind("<file ").unwrap();
        let to = name + toc[name..].find("</file>\n").unwrap() + 8;
        format!("{}{}", &toc[..from], &toc[to..])
    })
}

#[test]
fn a18_bytes_in_a_gap_are_shown_and_are_not_part_of_what_is_signed() {
    for (fill, holds) in [(0, "zeros"), (b'x', "unknown")] {
        let bytes = signed(Style::Sha1, &[CMS], |b| with_gap(b, vec![fill; 300]));
        let found = look(bytes.clone()).unwrap();
        let p = package(&found);
        assert_eq!(p.state, ClaimState::Untrusted, "{:?}", p.problem);
        let [gap] = p.uncovered.as_slice() else { panic!("{:?}", p.uncovered) };
        assert_eq!((gap.place, gap.length, gap.holds), ("gap", 300, holds));
        assert!(bytes[gap.offset as usize..][..300].iter().all(|b| *b == fill));
        assert_eq!(codes(&found).contains(&"W_UNSIGNED_BYTES"), holds == "unknown");
        for at in spread(gap.offset, gap.length, 20) {
            let found = look(flipped(&bytes, at)).unwrap();
            let p = package(&found);
            assert_eq!((p.state, p.contents.state), (ClaimState::Untrusted, ClaimState::Valid));
            assert_eq!(p.uncovered[0].holds, "unknown", "at {at}");
            assert!(codes(&found).contains(&"W_UNSIGNED_BYTES"), "at {at}");
        }
        // Beside the gap everything is as it was signed, or is found.
        for at in [gap.offset - 1, gap.offset + gap.length] {
            assert_ne!(
                look(flipped(&bytes, at)).map(|i| package(&i).state).ok(),
                Some(ClaimState::Untrusted)
            );
        }
    }
    // Nothing is signed, so nothing is beside it.
    let mut b = XarBuilder::new().file(
        "PackageInfo",
        "<pkg-info identifier=\"a\" version=\"1\"/>",
        Encoding::Gzip,
    );
    b = with_gap(b, vec![1; 9]).trailing(b"tail".to_vec());
    let found = look(b.build()).unwrap();
    assert_eq!(package(&found).state, ClaimState::Unsigned);
    assert!(!codes(&found).contains(&"W_UNSIGNED_BYTES"));
}

#[test]
fn a20_weak_digests_are_named_and_weaker_ones_do_not_count() {
    let found = look(signed(Style::Sha1, &[CMS], |b| b)).unwrap();
    let p = package(&found);
    assert_eq!((p.toc_algorithm.as_str(), p.state), ("sha1", ClaimState::Untrusted));
    assert!(found.notes.iter().any(|n| n.contains("sha1")), "{:?}", found.notes);
    let found = look(signed(Style::Sha256, &[CMS], |b| b)).unwrap();
    assert!(!found.notes.iter().any(|n| n.contains("sha256")), "{:?}", found.notes);
    for style in [Style::Md5, Style::None] {
        let found = look(signed(style, &[CMS], |b| b)).unwrap();
        let p = package(&found);
        assert_eq!(p.state, ClaimState::Unsupported, "{:?}", p.problem);
        assert!(p.problem.as_ref().unwrap().contains("digest"), "{:?}", p.problem);
    }
    // What is signed may be a strong digest of a table with weak ones: that is the maker's own.
    let found = look(signed(Style::Sha256, &[CMS], |b| b.file_checksum(Style::Md5))).unwrap();
    assert_eq!(package(&found).contents.state, ClaimState::Valid);
}

#[test]
fn a16_files_are_compared_by_the_checksum_that_there_is() {
    let without = |element: &'static str| {
        signed(Style::Sha256, &[CMS], move |b| {
            b.edit_toc(move |toc| {
                let mut out = String::new();
                for line in toc.lines().filter(|l| !l.contains(element)) {
                    out.push_str(line);
                    out.push('\n');
                }
                out
            })
        })
    };
    for element in ["archived-checksum", "extracted-checksum"] {
        let bytes = without(element);
        let found = look(bytes.clone()).unwrap();
        let p = package(&found);
        assert_eq!((p.contents.state, p.contents.files), (ClaimState::Valid, 2), "{:?}", p.problem);
        let archive = xar(&bytes);
        let d = archive.find("Readme").unwrap().data.clone().unwrap();
        let found = look(flipped(&bytes, archive.heap_start() + d.offset + 3)).unwrap();
        assert_eq!(package(&found).contents.damaged, ["Readme"], "{element}");
        assert_eq!(package(&found).state, ClaimState::Invalid);
    }
    // Without any, the package is refused, signed or not.
    let e = look(without("-checksum style")).unwrap_err();
    assert_eq!(e.code(), Code::XarChecksum);
}

#[test]
fn an_extended_attribute_is_compared_too() {
    let sum = mip_testkit::xar::hex(&Style::Sha1.digest(&[9; 40]));
    let attribute = |checksum: String| {
        signed(Style::Sha256, &[CMS], move |b| {
            let checksum = checksum.clone();
            b.file("Zattr", vec![9; 40], Encoding::None).edit_toc(move |toc| {
                // The data of the file "Zattr" becomes that of an attribute of it.
                let name = toc.find("<name>Zattr</name>").unwrap();
                let from = toc[..name].rfind("<data>").unwrap();
                let to = from + toc[from..].find("</data>").unwrap() + 7;
                let data = &toc[from..to];
                let at = data.split("<offset>").nth(1).unwrap().split('<').next().unwrap();
                format!(
                    "{}<ea id=\"0\"><name>a</name><length>40</length><offset>{at}</offset>\
                     <size>40</size><encoding style=\"application/octet-stream\"/>{checksum}</ea>{}",
                    &toc[..from],
                    &toc[to..]
                )
            })
        })
    };
    let bytes = attribute(format!("<archived-checksum style=\"sha1\">{sum}</archived-checksum>"));
    let found = look(bytes.clone()).unwrap();
    let p = package(&found);
    assert_eq!((p.contents.state, p.contents.files), (ClaimState::Valid, 3), "{:?}", p.problem);
    let [a] = xar(&bytes).attributes().to_vec().try_into().unwrap_or_else(|_| panic!());
    let found = look(flipped(&bytes, xar(&bytes).heap_start() + a.offset)).unwrap();
    assert_eq!(package(&found).state, ClaimState::Invalid);
    assert!(package(&found).contents.damaged[0].contains("extended attribute"));

    let found = look(attribute(String::new())).unwrap();
    let p = package(&found);
    assert_eq!((p.state, p.contents.state), (ClaimState::NotChecked, ClaimState::NotChecked));
    assert_eq!(p.contents.without_checksum.len(), 1);
    assert!(p.problem.as_ref().unwrap().contains("no checksum for"), "{:?}", p.problem);
}

#[test]
fn a_time_that_the_package_gives_is_shown_as_its_own() {
    let with = |text: &'static str| {
        let bytes = signed(Style::Sha256, &[CMS], move |b| {
            b.edit_toc(move |toc| {
                let time = format!("<signature-creation-time>{text}</signature-creation-time>");
                toc.replace("<toc>", &format!("<toc>{time}"))
            })
        });
        package(&look(bytes).unwrap()).creation_time.clone()
    };
    // date -u -d '2001-01-01 + 664530850 seconds'
    assert_eq!(with("664530850.7").as_deref(), Some("2022-01-22T07:54:10Z"));
    for odd in ["", "-1", "soon", "99999999999999999999", "253402300800"] {
        assert_eq!(with(odd), None, "{odd}");
    }
}
