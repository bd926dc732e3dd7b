//! Big inputs for `benches/run.py`: a product archive, an app and a disk image, streamed to disk,
//! the same bytes on every machine.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use flate2::write::ZlibEncoder;
use mip_testkit::app;
use mip_testkit::tree::gzip;
use sha1::{Digest as _, Sha1};

use crate::{Result, bench_image};

/// Bytes that a compressor cannot shrink, from a seed (xorshift64*).
pub(crate) struct Noise(u64);

impl Noise {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number in `0..n`; near enough to even for sizes.
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    pub(crate) fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            let bytes = self.next().to_le_bytes();
            chunk.copy_from_slice(bytes.get(..chunk.len()).unwrap_or_default());
        }
    }

    /// Writes `n` bytes: noise, or words when `text`.
    fn write(&mut self, n: u64, text: bool, out: &mut impl Write) -> io::Result<()> {
        const WORDS: [&str; 16] = [
            "window ", "menu ", "button\n", "the ", "file ", "error: ", "return ", "self.", "if (",
            ") {\n", "}\n", "string ", "value = ", "0x1f, ", "const ", "<div>\n",
        ];
        let mut buffer = vec![0u8; 1 << 16];
        let mut left = n;
        while left > 0 {
            let want = usize::try_from(left.min(1 << 16)).map_err(io::Error::other)?;
            if text {
                buffer.clear();
                while buffer.len() < want {
                    let word = WORDS
                        .get(usize::try_from(self.below(16)).map_err(io::Error::other)?)
                        .unwrap_or(&"");
                    buffer.extend_from_slice(word.as_bytes());
                }
            } else {
                self.fill(&mut buffer);
            }
            out.write_all(buffer.get(..want).unwrap_or_default())?;
            left -= want as u64;
        }
        Ok(())
    }
}

/// `bench-inputs DIR [options]`.
pub(crate) fn run(dir: &str, options: &[&str]) -> Result<()> {
    let (mut pkg, mut app_bytes, mut app_files) = (4 << 30, 2 << 30, 20_000);
    let mut image_noise = Some(2760 << 20);
    let mut rest = options.iter();
    while let Some(option) = rest.next() {
        let value = rest.next().ok_or_else(|| format!("{option} needs a value"))?;
        match *option {
            "--pkg-size" => pkg = size(value)?,
            "--app-size" => app_bytes = size(value)?,
            "--app-files" => app_files = size(value)?,
            "--image-noise" => {
                image_noise = if *value == "none" { None } else { Some(size(value)?) };
            }
            _ => return Err(format!("unknown option {option}").into()),
        }
    }
    let dir = Path::new(dir);
    std::fs::create_dir_all(dir)?;
    if pkg > 0 {
        write_pkg(&dir.join("big.pkg"), pkg)?;
    }
    if app_files > 0 {
        write_app(&dir.join("Big.app"), app_files, app_bytes)?;
    }
    if let Some(noise) = image_noise {
        bench_image::write(&dir.join("big.dmg"), &dir.join("Big.app"), noise)?;
    }
    Ok(())
}

fn size(text: &str) -> Result<u64> {
    let (digits, shift) = match text.split_at_checked(text.len().saturating_sub(1)) {
        Some((digits, "K")) => (digits, 10),
        Some((digits, "M")) => (digits, 20),
        Some((digits, "G")) => (digits, 30),
        _ => (text, 0),
    };
    let n: u64 = digits.parse().map_err(|_| format!("{text}: not a size"))?;
    n.checked_mul(1 << shift).ok_or_else(|| format!("{text}: too large").into())
}

// ---- the package

const DISTRIBUTION: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<installer-gui-script minSpecVersion="2">
    <title>Big</title>
    <product id="org.example.big.product" version="12.3.4"/>
    <options customize="never" require-scripts="false" hostArchitectures="x86_64,arm64"/>
    <volume-check><allowed-os-versions><os-version min="11.0"/></allowed-os-versions></volume-check>
    <choices-outline><line choice="main"/></choices-outline>
    <choice id="main" visible="false"><pkg-ref id="org.example.big.pkg"/></choice>
    <pkg-ref id="org.example.big.pkg" version="12.3.4" installKBytes="@KB@">#big.pkg
        <bundle-version><bundle CFBundleShortVersionString="12.3.4" CFBundleVersion="12345" id="org.example.Big" path="Applications/Big.app"/></bundle-version>
    </pkg-ref>
</installer-gui-script>
"#;

const PACKAGE_INFO: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<pkg-info format-version="2" identifier="org.example.big.pkg" version="12.3.4" install-location="/Applications" auth="root" relocatable="false">
    <payload numberOfFiles="6" installKBytes="@KB@"/>
    <bundle path="./Big.app" id="org.example.Big" CFBundleShortVersionString="12.3.4" CFBundleVersion="12345"/>
    <bundle-version><bundle id="org.example.Big"/></bundle-version>
    <scripts><postinstall file="./postinstall"/></scripts>
</pkg-info>
"#;

/// The Info.plist of the app in both inputs.
fn info_plist() -> String {
    app::App::new("Big", "org.example.Big", "12.3.4", "12345")
        .key("LSMinimumSystemVersion", Some("11.0"))
        .info_plist()
}

/// Writes a product archive whose payload holds one file of `noise` bytes.
///
/// The table of contents stands before the payload and holds its digest, so the payload is
/// generated twice: once to be hashed, once to be written.
fn write_pkg(path: &Path, noise: u64) -> Result<()> {
    let mut hashed = Hashed { len: 0, sha1: Sha1::new() };
    write_payload(&mut hashed, noise)?;

    let kilobytes = (noise >> 10).to_string();
    let mut scripts = Vec::new();
    let script = b"#!/bin/sh\nexit 0\n";
    cpio_header(&mut scripts, 1, "./postinstall", 0o100_755, script.len() as u64)?;
    scripts.extend(script);
    cpio_header(&mut scripts, 0, "TRAILER!!!", 0, 0)?;

    // The heap starts with the digest of the table of contents (20 bytes).
    let mut toc = Toc { xml: String::new(), heap: Vec::new(), next: 20, id: 0 };
    toc.deflated("Distribution", DISTRIBUTION.replace("@KB@", &kilobytes).as_bytes())?;
    toc.xml += "<file id=\"100\"><type>directory</type><mode>0755</mode><name>big.pkg</name>";
    toc.deflated("PackageInfo", PACKAGE_INFO.replace("@KB@", &kilobytes).as_bytes())?;
    toc.stored("Scripts", &gzip(&scripts))?;
    let digest = hex(&hashed.sha1.finalize());
    toc.entry("Payload", hashed.len, hashed.len, "octet-stream", &digest, &digest)?;
    toc.xml += "</file>";

    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<xar><toc><checksum style=\"sha1\">\
         <offset>0</offset><size>20</size></checksum>\
         <creation-time>2025-01-01T00:00:00</creation-time>{}</toc></xar>\n",
        toc.xml
    );
    let packed = zlib(xml.as_bytes())?;
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    out.write_all(b"xar!")?;
    out.write_all(&28u16.to_be_bytes())?;
    out.write_all(&1u16.to_be_bytes())?;
    out.write_all(&(packed.len() as u64).to_be_bytes())?;
    out.write_all(&(xml.len() as u64).to_be_bytes())?;
    out.write_all(&1u32.to_be_bytes())?; // SHA-1, as productbuild has it
    out.write_all(&packed)?;
    out.write_all(&Sha1::digest(&packed))?;
    out.write_all(&toc.heap)?;
    write_payload(&mut out, noise)?;
    out.flush()?;
    println!("{}: {} bytes", path.display(), std::fs::metadata(path)?.len());
    Ok(())
}

/// A cpio archive (odc) in gzip with stored blocks: valid, and nothing to gain for a compressor.
fn write_payload(out: &mut impl Write, noise: u64) -> Result<()> {
    let mut z = StoredGzip::new(out)?;
    let info = info_plist();
    for (inode, (name, mode)) in
        [(".", 0o040_755), ("./Big.app", 0o040_755), ("./Big.app/Contents", 0o040_755)]
            .into_iter()
            .enumerate()
    {
        cpio_header(&mut z, inode + 1, name, mode, 0)?;
    }
    cpio_header(&mut z, 4, "./Big.app/Contents/Info.plist", 0o100_644, info.len() as u64)?;
    z.write_all(info.as_bytes())?;
    cpio_header(&mut z, 5, "./Big.app/Contents/MacOS", 0o040_755, 0)?;
    cpio_header(&mut z, 6, "./Big.app/Contents/MacOS/Big", 0o100_755, noise)?;
    let start = app::macho(app::Cpu::Arm64);
    let start = start.get(..start.len().min(usize::try_from(noise)?)).unwrap_or_default();
    z.write_all(start)?;
    Noise::new(7).write(noise - start.len() as u64, false, &mut z)?;
    cpio_header(&mut z, 0, "TRAILER!!!", 0, 0)?;
    z.finish()
}

/// A cpio header in the odc form (POSIX.1-1988 `cpio`), with the name.
fn cpio_header(out: &mut impl Write, inode: usize, name: &str, mode: u32, size: u64) -> Result<()> {
    let (name_size, time) = (name.len() + 1, 1_735_689_600);
    write!(
        out,
        "070707{:06o}{inode:06o}{mode:06o}{:06o}{:06o}{:06o}{:06o}{time:011o}{name_size:06o}{size:011o}",
        1, 0, 0, 1, 0,
    )?;
    out.write_all(name.as_bytes())?;
    Ok(out.write_all(&[0])?)
}

/// gzip of stored deflate blocks (RFC 1951, 3.2.4), 65,535 bytes each.
struct StoredGzip<'a, W: Write> {
    out: &'a mut W,
    block: Vec<u8>,
    crc: crc32fast::Hasher,
    len: u64,
}

impl<'a, W: Write> StoredGzip<'a, W> {
    const BLOCK: usize = 65_535;

    fn new(out: &'a mut W) -> io::Result<Self> {
        out.write_all(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3])?;
        Ok(Self { out, block: Vec::new(), crc: crc32fast::Hasher::new(), len: 0 })
    }

    fn put(&mut self, last: bool) -> io::Result<()> {
        let n = u16::try_from(self.block.len()).map_err(io::Error::other)?;
        self.out.write_all(&[u8::from(last)])?;
        self.out.write_all(&n.to_le_bytes())?;
        self.out.write_all(&(!n).to_le_bytes())?;
        self.out.write_all(&self.block)?;
        self.crc.update(&self.block);
        self.len += self.block.len() as u64;
        self.block.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        self.put(true)?;
        self.out.write_all(&self.crc.clone().finalize().to_le_bytes())?;
        let len = u32::try_from(self.len & 0xffff_ffff)?; // modulo 2^32, as RFC 1952 has it
        Ok(self.out.write_all(&len.to_le_bytes())?)
    }
}

impl<W: Write> Write for StoredGzip<'_, W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let n = data.len().min(Self::BLOCK - self.block.len());
        self.block.extend_from_slice(data.get(..n).unwrap_or_default());
        if self.block.len() == Self::BLOCK {
            self.put(false)?;
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Counts and hashes what is written.
struct Hashed {
    len: u64,
    sha1: Sha1,
}

impl Write for Hashed {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.sha1.update(data);
        self.len += data.len() as u64;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A xar table of contents that grows with its heap.
struct Toc {
    xml: String,
    heap: Vec<u8>,
    next: u64,
    id: u32,
}

impl Toc {
    fn deflated(&mut self, name: &str, data: &[u8]) -> Result<()> {
        let packed = zlib(data)?;
        let (archived, extracted) = (hex(&Sha1::digest(&packed)), hex(&Sha1::digest(data)));
        self.heap.extend(&packed);
        self.entry(name, packed.len() as u64, data.len() as u64, "x-gzip", &archived, &extracted)
    }

    fn stored(&mut self, name: &str, data: &[u8]) -> Result<()> {
        let (digest, len) = (hex(&Sha1::digest(data)), data.len() as u64);
        self.heap.extend(data);
        self.entry(name, len, len, "octet-stream", &digest, &digest)
    }

    fn entry(
        &mut self,
        name: &str,
        length: u64,
        size: u64,
        style: &str,
        archived: &str,
        extracted: &str,
    ) -> Result<()> {
        self.id += 1;
        write!(
            self.xml,
            "<file id=\"{}\"><data><length>{length}</length><offset>{}</offset><size>{size}</size>\
             <encoding style=\"application/{style}\"/>\
             <extracted-checksum style=\"sha1\">{extracted}</extracted-checksum>\
             <archived-checksum style=\"sha1\">{archived}</archived-checksum></data>\
             <type>file</type><mode>0644</mode><uid>0</uid><gid>0</gid><name>{name}</name></file>",
            self.id, self.next
        )?;
        self.next += length;
        Ok(())
    }
}

fn zlib(data: &[u8]) -> Result<Vec<u8>> {
    let mut z = ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    z.write_all(data)?;
    Ok(z.finish()?)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |s, b| s + &format!("{b:02x}"))
}

// ---- the app

/// Writes an app of `files` files and about `total` bytes: nearly half of the files are text, a
/// third is noise (as PNG files are), the rest mixes both; what is left of `total` goes into
/// the executables of the app and of its frameworks.
fn write_app(app: &Path, files: u64, total: u64) -> Result<()> {
    const FRAMEWORKS: [&str; 12] = [
        "Core", "Render", "Network", "Media", "Script", "Engine", "Physics", "Audio", "Updater",
        "Crash", "Fonts", "Docs",
    ];
    let contents = app.join("Contents");
    let mut folders = Vec::new();
    for name in ["assets", "images", "scripts", "html", "data", "nib"] {
        folders.push(contents.join("Resources").join(name));
    }
    for language in "en de fr es it ja ko pt_BR ru zh_CN nl sv pl tr cs ar".split(' ') {
        folders.push(contents.join("Resources").join(format!("{language}.lproj")));
    }
    for i in 0..160 {
        folders.push(contents.join(format!("Resources/app/node_modules/mod{i:03}/lib")));
    }
    let mut executables = vec![contents.join("MacOS/Big")];
    for name in FRAMEWORKS {
        let framework = contents.join(format!("Frameworks/{name}.framework"));
        folders.push(framework.join("Versions/A/Resources"));
        folders.push(framework.join("Versions/A/Headers"));
        executables.push(framework.join("Versions/A").join(name));
    }
    std::fs::create_dir_all(contents.join("MacOS"))?;
    for folder in &folders {
        std::fs::create_dir_all(folder)?;
    }
    #[cfg(unix)]
    for name in FRAMEWORKS {
        use std::os::unix::fs::symlink;
        let framework = contents.join(format!("Frameworks/{name}.framework"));
        symlink("A", framework.join("Versions/Current"))?;
        symlink(format!("Versions/Current/{name}"), framework.join(name))?;
        symlink("Versions/Current/Resources", framework.join("Resources"))?;
    }
    std::fs::write(contents.join("Info.plist"), info_plist())?;
    std::fs::write(contents.join("PkgInfo"), "APPL????")?;

    let small = files.saturating_sub(2 + executables.len() as u64);
    let average = (total / 2) / small.max(1);
    let mut noise = Noise::new(20_260_101);
    let mut used = 0;
    for i in 0..small {
        let folder = folders.get(usize::try_from(noise.below(folders.len() as u64))?);
        let folder = folder.ok_or("no folders")?;
        // Mostly small, some large: an even spread of the exponent, scaled to the average.
        let n =
            ((average / 4).max(1) << noise.below(5)).min(8 << 20) * (50 + noise.below(100)) / 155;
        let (suffix, text) = match noise.below(100) {
            0..45 => ("strings", n),
            45..75 => ("png", 0),
            _ => ("nib", n / 2),
        };
        let mut out = BufWriter::new(File::create(folder.join(format!("f{i:05}.{suffix}")))?);
        noise.write(text, true, &mut out)?;
        noise.write(n - text, false, &mut out)?;
        out.flush()?;
        used += n;
    }
    let each = total.saturating_sub(used) / executables.len() as u64;
    for path in &executables {
        let mut out = BufWriter::new(File::create(path)?);
        let start = app::macho(app::Cpu::Arm64);
        out.write_all(&start)?;
        noise.write(each * 2 / 3, true, &mut out)?;
        noise.write(each / 3, false, &mut out)?;
        out.flush()?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?;
        }
        used += each;
    }
    println!("{}: {files} files, about {} MiB", app.display(), used >> 20);
    Ok(())
}
