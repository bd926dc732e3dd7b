//! What a file is, from its first 4 KiB and its last 512 bytes.

use mip_base::{Code, Error, Job, ReadAt as _, Result, Source, read_full_at};
use mip_codec::Compression;

/// A format that can be told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// A xar archive: a flat package.
    Xar,
    /// A zip archive.
    Zip,
    /// A tar archive, possibly compressed.
    Tar(TarCompression),
    /// A MIP archive of the profile that this library writes.
    Mip,
    /// An Apple disk image with a `koly` trailer (UDIF).
    Udif,
    /// An encrypted Apple disk image (`encrcdsa`, or the older trailer `cdsaencr`).
    EncryptedImage,
    /// A sparse disk image (`sprs`).
    SparseImage,
    /// The bytes of a disk or of a volume, as they are.
    RawImage,
    /// An Apple Archive.
    AppleArchive,
    /// A compressed file that is not a tar archive.
    Compressed(TarCompression),
    /// A cpio archive.
    Cpio,
    /// Anything else that has a name.
    Other(&'static str),
}

/// How a tar archive is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TarCompression {
    /// Not at all.
    None,
    /// gzip
    Gzip,
    /// bzip2
    Bzip2,
    /// xz
    Xz,
}

impl TarCompression {
    pub(crate) fn codec(self) -> Compression {
        match self {
            Self::None => Compression::None,
            Self::Gzip => Compression::Gzip,
            Self::Bzip2 => Compression::Bzip2,
            Self::Xz => Compression::Xz,
        }
    }
}

/// One row of the table of formats: the source of `docs/formats.md` and of `mip formats`.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct FormatInfo {
    /// The name users know it by.
    pub name: &'static str,
    /// How it is recognised.
    pub recognised_by: &'static str,
    /// Whether it can be inspected and converted.
    pub supported: bool,
    /// What is read of it, or what to do instead.
    pub notes: &'static str,
}

/// Every format that is recognised by name.
pub const FORMATS: &[FormatInfo] = &[
    FormatInfo {
        name: "flat package (.pkg)",
        recognised_by: "`xar!` at byte 0",
        supported: true,
        notes: "component and distribution packages; heap encodings none, gzip, bzip2, xz, lzma; payloads cpio (odc, newc) in gzip, bzip2, xz, pbzx or plain, and Apple Archive",
    },
    FormatInfo {
        name: "application bundle (.app)",
        recognised_by: "a folder with Contents/Info.plist or Info.plist",
        supported: true,
        notes: "as a folder, or inside a zip or tar file; carried as a deterministic tar.gz",
    },
    FormatInfo {
        name: "bundle-style package (.pkg, .mpkg folder)",
        recognised_by: "a folder with Contents/Archive.pax.gz, Archive.bom or Packages",
        supported: true,
        notes: "as a folder, or inside a zip or tar file; carried as a deterministic tar.gz",
    },
    FormatInfo {
        name: "zip",
        recognised_by: "`PK\\3\\4` at byte 0",
        supported: true,
        notes: "that holds one of the above; stored and deflated members",
    },
    FormatInfo {
        name: "tar, tar.gz, tar.bz2, tar.xz",
        recognised_by: "`ustar` at byte 257, or a valid header checksum",
        supported: true,
        notes: "that holds one of the above",
    },
    FormatInfo {
        name: "MIP archive (.mip)",
        recognised_by: "a zip whose first entry is Info.plist and that holds META-MIP/index.bin",
        supported: false,
        notes: "already converted: use `mip verify`, `mip list`, `mip extract`, `mip sign`",
    },
    FormatInfo {
        name: "disk image (.dmg)",
        recognised_by: "`koly` 512 bytes before the end, or at byte 0",
        supported: true,
        notes: "UDIF with chunks in zlib, bzip2, LZFSE, LZMA, ADC or as they are; volumes in HFS+, HFSX, APFS and FAT; carried as it is, or the app or package in it",
    },
    FormatInfo {
        name: "encrypted disk image (.dmg, .sparseimage)",
        recognised_by: "`encrcdsa` at byte 0, or `cdsaencr` 8 bytes before the end",
        supported: true,
        notes: "AES-128 and AES-256, with the password; what is in it is carried",
    },
    FormatInfo {
        name: "sparse disk image (.sparseimage)",
        recognised_by: "`sprs` at byte 0",
        supported: true,
        notes: "as a .dmg",
    },
    FormatInfo {
        name: "sparse bundle (.sparsebundle)",
        recognised_by: "a folder with Info.plist and bands",
        supported: true,
        notes: "as a folder, or inside a zip or tar file; the app or package in it is carried",
    },
    FormatInfo {
        name: "raw disk image (.dmg, .img, .cdr)",
        recognised_by: "a GPT, Apple or MBR partition map, or the signature of a volume",
        supported: true,
        notes: "also compressed as a file (.dmg.gz, .img.bz2, .img.xz)",
    },
    FormatInfo {
        name: "other file systems on disk images",
        recognised_by: "their signatures",
        supported: false,
        notes: "exFAT, NTFS, ISO 9660, UDF, HFS (Mac OS Standard), CoreStorage: refused by name when nothing else can be read; segmented and NDIF images too",
    },
    FormatInfo {
        name: "Apple Archive (.aar)",
        recognised_by: "`AA01`, `YAA1` or `pbz?` at byte 0",
        supported: false,
        notes: "as an input of its own; inside a package it is read as a payload",
    },
    FormatInfo {
        name: "iOS app (.ipa)",
        recognised_by: "a zip with Payload/*.app for iOS",
        supported: false,
        notes: "not a macOS installer",
    },
];

/// Tells what `source` is. Reads at most the first 4 KiB (of the decoded stream, where it is
/// compressed) and the last 512 bytes.
pub(crate) fn probe(source: &Source, job: &Job) -> Result<Format> {
    let size = source.size();
    if size == 0 {
        return Err(Error::new(Code::Empty, "the file is empty"));
    }
    let mut head = vec![0; usize::try_from(size.min(4096)).unwrap_or(4096)];
    read_full_at(&**source, 0, &mut head, Code::Truncated)?;
    let mut tail = vec![0; usize::try_from(size.min(512)).unwrap_or(512)];
    read_full_at(&**source, size.saturating_sub(512), &mut tail, Code::Truncated)?;

    if mip_disk::encrypted::sniff(&head, &tail) {
        return Ok(Format::EncryptedImage);
    }
    if head.starts_with(b"xar!") {
        return Ok(Format::Xar);
    }
    // The trailer decides before what the first chunk happens to look like.
    if mip_udif::Udif::sniff(&head, &tail) {
        return Ok(Format::Udif);
    }
    if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
        let name = b"Info.plist";
        let first_is_ours =
            head.get(30..40) == Some(name.as_slice()) && head.get(26..28) == Some(&[10, 0]);
        let ours = first_is_ours && mip_archive::Archive::open(source.clone(), job).is_ok();
        return Ok(if ours { Format::Mip } else { Format::Zip });
    }
    if is_tar(&head) {
        return Ok(Format::Tar(TarCompression::None));
    }
    if mip_codec::aa::sniff(&head) {
        return Ok(Format::AppleArchive);
    }
    let packed = match mip_codec::sniff(&head) {
        Some(Compression::Gzip) => Some(TarCompression::Gzip),
        Some(Compression::Bzip2) => Some(TarCompression::Bzip2),
        Some(Compression::Xz) => Some(TarCompression::Xz),
        Some(Compression::Pbzx) => return Ok(Format::AppleArchive),
        _ => None,
    };
    if let Some(how) = packed {
        return Ok(if packed_tar(source, how, job) {
            Format::Tar(how)
        } else {
            Format::Compressed(how)
        });
    }
    if mip_disk::sparse::sniff(&head) {
        return Ok(Format::SparseImage);
    }
    Ok(match other(&head) {
        // What has a name of its own is not looked at as a disk.
        Format::Other("" | TEXT) if is_disk(&head, source, job)? => Format::RawImage,
        named => named,
    })
}

/// Whether the decoded stream starts like a tar archive. Damage is for the reader to report.
fn packed_tar(source: &Source, how: TarCompression, job: &Job) -> bool {
    let input = Box::new(mip_base::Cursor::new(source.clone()));
    let Ok(mut decoded) = mip_codec::decoder(how.codec(), input, job) else { return false };
    let mut block = [0; 512];
    std::io::Read::read_exact(&mut decoded, &mut block).is_ok() && is_tar(&block)
}

/// POSIX.1-1988 `ustar` magic, or a version 7 header whose checksum is right.
fn is_tar(head: &[u8]) -> bool {
    let Some(block) = head.get(..512) else { return false };
    if block.get(257..262) == Some(b"ustar".as_slice()) {
        return true;
    }
    let Some(field) = block.get(148..156) else { return false };
    let digits: Vec<u8> = field.iter().copied().filter(u8::is_ascii_digit).collect();
    let Some(want) = std::str::from_utf8(&digits).ok().and_then(|d| u32::from_str_radix(d, 8).ok())
    else {
        return false;
    };
    let sum = block.iter().enumerate().fold(0u32, |sum, (i, b)| {
        sum.saturating_add(if (148..156).contains(&i) { 32 } else { u32::from(*b) })
    });
    block.first() != Some(&0) && sum == want
}

const TEXT: &str = "a text file";

/// Whether the bytes are a disk with a partition map, or a volume. Damage in either is for the
/// reader to report.
fn is_disk(head: &[u8], source: &Source, job: &Job) -> Result<bool> {
    use mip_disk::volume::Kind;
    let gpt = [512, 4096].iter().any(|at| source_has(source, *at, b"EFI PART"));
    if gpt || (head.starts_with(b"ER") && head.get(512..514) == Some(b"PM".as_slice())) {
        return Ok(true);
    }
    if !matches!(mip_disk::volume::identify(source)?, Kind::Empty | Kind::Unknown) {
        return Ok(true);
    }
    let mbr = head.get(510..512) == Some([0x55, 0xAA].as_slice());
    Ok(mbr && mip_disk::partition::read(source, job).is_ok_and(|map| !map.partitions.is_empty()))
}

fn source_has(source: &Source, at: u64, magic: &[u8]) -> bool {
    let mut bytes = vec![0; magic.len()];
    read_full_at(&**source, at, &mut bytes, Code::Truncated).is_ok() && bytes == magic
}

fn other(head: &[u8]) -> Format {
    let text = head.trim_ascii_start();
    let lower = text.get(..text.len().min(64)).unwrap_or(text).to_ascii_lowercase();
    let magics: &[(&[u8], &str)] = &[
        (b"<!doctype html", "an HTML page: the download probably gave an error page"),
        (b"<html", "an HTML page: the download probably gave an error page"),
        (b"<?xml", "an XML file"),
        (b"bplist00", "a property list"),
        (b"070707", "a cpio archive"),
        (b"070701", "a cpio archive"),
        (b"bomstore", "a Bom file"),
        (b"\x7felf", "a Linux program"),
        (b"mz", "a Windows program"),
        (b"\xcf\xfa\xed\xfe", "a bare Mach-O program"),
        (b"\xce\xfa\xed\xfe", "a bare Mach-O program"),
        (b"\xca\xfe\xba\xbe", "a bare Mach-O program or a Java class"),
        (b"icns", "an icon"),
        (b"\x89png", "a picture"),
        (b"7z\xbc\xaf", "a 7-Zip archive"),
        (b"rar!", "a RAR archive"),
        (b"\x28\xb5\x2f\xfd", "a file compressed by Zstandard (.zst): decompress it first"),
        (b"\x04\x22m\x18", "a file compressed by LZ4 (.lz4): decompress it first"),
        (b"lzip", "a file compressed by lzip (.lz): decompress it first"),
        (b"\x1f\x9d", "a file compressed by compress (.Z): decompress it first"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a Windows installer (.msi) or old Office document"),
        (b"!<arch>", "a Debian package or an ar archive"),
        (b"\xed\xab\xee\xdb", "an RPM package"),
        (b"%pdf", "a PDF document"),
        (b"#!", "a script"),
    ];
    for (magic, what) in magics {
        if lower.starts_with(magic) {
            return if *what == "a cpio archive" { Format::Cpio } else { Format::Other(what) };
        }
    }
    if head.iter().all(|b| matches!(b, 9 | 10 | 13 | 32..=126 | 128..)) {
        return Format::Other(TEXT);
    }
    Format::Other("")
}

impl Format {
    /// The refusal for a format that cannot be inspected, with what to do instead.
    pub(crate) fn refusal(self) -> Option<Error> {
        let (code, message, hint) = match self {
            Format::Xar
            | Format::Zip
            | Format::Tar(_)
            | Format::Udif
            | Format::EncryptedImage
            | Format::SparseImage
            | Format::RawImage
            | Format::Compressed(_) => return None,
            Format::Mip => (
                Code::Unsupported,
                "this is a MIP archive already".to_owned(),
                "use `mip verify`, `mip list`, `mip extract` or `mip sign` on it",
            ),
            Format::AppleArchive => (
                Code::Unsupported,
                "an Apple Archive (.aar) is not an installer of its own".to_owned(),
                "unpack it (on a Mac: aa extract) and convert the app or package inside",
            ),
            Format::Cpio => (
                Code::Unsupported,
                "a cpio archive is a package's payload, not an installer of its own".to_owned(),
                "convert the package that it comes from",
            ),
            Format::Other("") => {
                (Code::UnknownFormat, "the format of this file is not known".to_owned(), "")
            }
            Format::Other(what) => {
                (Code::UnknownFormat, format!("this is not an installer but {what}"), "")
            }
        };
        let e = Error::new(code, message);
        Some(if hint.is_empty() { e } else { e.hint(hint) })
    }
}

/// The refusal of a compressed file that holds nothing that is read.
pub(crate) fn compressed_unknown() -> Error {
    Error::new(Code::Unsupported, "a compressed file that holds no tar archive and no disk image")
        .hint("decompress it first, and convert what is inside")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(bytes: &[u8]) -> Source {
        std::sync::Arc::new(bytes.to_vec())
    }

    fn of(bytes: &[u8]) -> Format {
        probe(&source(bytes), &Job::default()).unwrap()
    }

    #[test]
    fn magics() {
        assert_eq!(of(b"xar!...."), Format::Xar);
        assert_eq!(of(b"PK\x03\x04...."), Format::Zip);
        assert_eq!(of(b"encrcdsa...."), Format::EncryptedImage);
        assert_eq!(of(b"AA01....................."), Format::AppleArchive);
        let mut dmg = vec![0x1f, 0x8b];
        dmg.resize(2048, 1);
        dmg.extend_from_slice(b"koly");
        dmg.resize(2048 + 512, 0);
        assert_eq!(of(&dmg), Format::Udif);
        assert_eq!(probe(&source(b""), &Job::default()).unwrap_err().code(), Code::Empty);
    }

    #[test]
    fn wrong_files_are_named() {
        for (bytes, says) in [
            (&b"<!DOCTYPE HTML><html>"[..], "HTML"),
            (b"hello world\n", "text file"),
            (b"MZ\x90\0", "Windows"),
            (b"\x28\xb5\x2f\xfd\x04\0", "Zstandard"),
            (b"\x04\x22\x4d\x18\x64\x40", "LZ4"),
            (b"\0\x01\x02\x03\xff\xfe", "not known"),
        ] {
            let e = of(bytes).refusal().unwrap();
            assert!(e.message().contains(says), "{e}");
            assert!(e.next_step().is_some());
        }
    }
}
