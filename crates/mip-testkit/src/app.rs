//! Builders of app bundles: Info.plist, a small Mach-O file, an icon, resources.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;

use crate::tree::Tree;

/// A processor that a Mach-O file is for (`<mach/machine.h>`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cpu {
    /// `CPU_TYPE_X86_64`, `CPU_SUBTYPE_X86_64_ALL`.
    X86_64,
    /// `CPU_TYPE_ARM64`, `CPU_SUBTYPE_ARM64_ALL`.
    Arm64,
    /// `CPU_TYPE_I386`, `CPU_SUBTYPE_I386_ALL`: a 32-bit header.
    I386,
}

impl Cpu {
    fn numbers(self) -> (u32, u32) {
        match self {
            Cpu::X86_64 => (0x0100_0007, 3),
            Cpu::Arm64 => (0x0100_000c, 0),
            Cpu::I386 => (7, 3),
        }
    }
}

/// A Mach-O executable for one processor: header and one `LC_BUILD_VERSION` for macOS 11.0.
#[must_use]
pub fn macho(cpu: Cpu) -> Vec<u8> {
    let (cpu_type, cpu_subtype) = cpu.numbers();
    let wide = cpu != Cpu::I386;
    let mut words = vec![
        if wide { 0xfeed_facf } else { 0xfeed_face },
        cpu_type,
        cpu_subtype,
        2,  // MH_EXECUTE
        1,  // load commands
        24, // their bytes
        0x0020_0085,
    ];
    if wide {
        words.push(0); // reserved
    }
    // LC_BUILD_VERSION: platform macOS, minimum 11.0, SDK 14.2, no tools.
    words.extend([0x32, 24, 1, 0x000b_0000, 0x000e_0200, 0]);
    words.iter().flat_map(|w: &u32| w.to_le_bytes()).collect()
}

/// A universal ("fat") file with one Mach-O file per processor, each at a multiple of 4096.
///
/// # Panics
/// Never: the files are small.
#[must_use]
pub fn fat(cpus: &[Cpu]) -> Vec<u8> {
    let files: Vec<Vec<u8>> = cpus.iter().map(|c| macho(*c)).collect();
    let number = |n: usize| u32::try_from(n).expect("small");
    let mut out = Vec::new();
    out.extend(0xcafe_babe_u32.to_be_bytes());
    out.extend(number(cpus.len()).to_be_bytes());
    for (i, (cpu, file)) in cpus.iter().zip(&files).enumerate() {
        let (cpu_type, cpu_subtype) = cpu.numbers();
        for w in [cpu_type, cpu_subtype, number((i + 1) * 4096), number(file.len()), 12] {
            out.extend(w.to_be_bytes());
        }
    }
    for (i, file) in files.iter().enumerate() {
        out.resize((i + 1) * 4096, 0);
        out.extend(file);
    }
    out
}

/// A square RGBA PNG of `side` pixels: a blue field with a white diagonal band.
///
/// # Panics
/// Never: it writes to memory.
#[must_use]
pub fn png(side: u32) -> Vec<u8> {
    let mut rows = Vec::new();
    for y in 0..side {
        rows.push(0); // filter: none
        for x in 0..side {
            let white = x.abs_diff(y) < side / 8;
            rows.extend(if white { [255, 255, 255, 255] } else { [30, 100, 220, 255] });
        }
    }
    let mut z = ZlibEncoder::new(Vec::new(), Compression::default());
    z.write_all(&rows).expect("writing to memory");
    let mut header = Vec::new();
    header.extend(side.to_be_bytes());
    header.extend(side.to_be_bytes());
    header.extend([8, 6, 0, 0, 0]); // 8 bits, RGBA, deflate, adaptive filters, not interlaced
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, data) in
        [(b"IHDR", header), (b"IDAT", z.finish().expect("writing to memory")), (b"IEND", vec![])]
    {
        out.extend(u32::try_from(data.len()).expect("small").to_be_bytes());
        let from = out.len();
        out.extend(kind);
        out.extend(data);
        let crc = crc32fast::hash(&out[from..]);
        out.extend(crc.to_be_bytes());
    }
    out
}

/// An icon file: `icns`, its whole length, then one element per `(type, bytes)`.
///
/// # Panics
/// When an element does not fit 32 bits.
#[must_use]
pub fn icns(elements: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let number = |n: usize| u32::try_from(n).expect("small").to_be_bytes();
    let total: usize = 8 + elements.iter().map(|(_, b)| b.len() + 8).sum::<usize>();
    let mut out = b"icns".to_vec();
    out.extend(number(total));
    for (kind, bytes) in elements {
        out.extend(*kind);
        out.extend(number(bytes.len() + 8));
        out.extend(*bytes);
    }
    out
}

/// A property list in XML with these top-level keys.
#[must_use]
pub fn plist(keys: &[(&str, &str)]) -> String {
    let mut out = String::from(concat!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n",
        "<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" ",
        "\"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n",
        "<plist version=\"1.0\">\n<dict>\n"
    ));
    for (key, value) in keys {
        out += &format!("\t<key>{}</key>\n\t<string>{}</string>\n", xml(key), xml(value));
    }
    out + "</dict>\n</plist>\n"
}

/// `text` with the characters that XML reserves replaced.
#[must_use]
pub fn xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A builder of one app bundle in the macOS layout (`Contents/…`).
#[derive(Debug, Clone)]
pub struct App {
    name: String,
    keys: Vec<(String, String)>,
    cpus: Vec<Cpu>,
    icon: bool,
    extra: Tree,
    flat: bool,
}

impl App {
    /// An app `<name>.app` with identifier, short version and bundle version.
    #[must_use]
    pub fn new(name: &str, identifier: &str, short_version: &str, bundle_version: &str) -> Self {
        let keys = [
            ("CFBundleDevelopmentRegion", "en"),
            ("CFBundleExecutable", name),
            ("CFBundleIdentifier", identifier),
            ("CFBundleInfoDictionaryVersion", "6.0"),
            ("CFBundleName", name),
            ("CFBundlePackageType", "APPL"),
            ("CFBundleShortVersionString", short_version),
            ("CFBundleVersion", bundle_version),
        ];
        Self {
            name: name.to_owned(),
            keys: keys.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            cpus: vec![Cpu::X86_64, Cpu::Arm64],
            icon: false,
            extra: Tree::new(),
            flat: false,
        }
    }

    /// Sets a key of Info.plist, or removes it when `value` is `None`.
    #[must_use]
    pub fn key(mut self, key: &str, value: Option<&str>) -> Self {
        self.keys.retain(|(k, _)| k != key);
        if let Some(value) = value {
            self.keys.push((key.to_owned(), value.to_owned()));
        }
        self
    }

    /// Chooses the processors of the executable: one gives a thin file, several a fat one.
    #[must_use]
    pub fn cpus(mut self, cpus: &[Cpu]) -> Self {
        cpus.clone_into(&mut self.cpus);
        self
    }

    /// Adds `AppIcon.icns` with one PNG of 128 pixels, and the key that names it.
    #[must_use]
    pub fn icon(mut self) -> Self {
        self.icon = true;
        self.key("CFBundleIconFile", Some("AppIcon"))
    }

    /// Puts everything at the top of the bundle, as iOS apps have it.
    #[must_use]
    pub fn flat(mut self) -> Self {
        self.flat = true;
        self
    }

    /// Adds a file, its path relative to the bundle.
    #[must_use]
    pub fn file(mut self, path: &str, mode: u32, bytes: impl Into<Vec<u8>>) -> Self {
        self.extra = self.extra.file(path, mode, bytes);
        self
    }

    /// Adds a framework with the usual links (`Versions/Current`, and the top-level ones).
    #[must_use]
    pub fn framework(mut self, name: &str) -> Self {
        let at = format!("Contents/Frameworks/{name}.framework");
        let keys = [
            ("CFBundleExecutable", name),
            ("CFBundleIdentifier", &format!("org.example.framework.{name}")),
            ("CFBundlePackageType", "FMWK"),
        ];
        self.extra = self
            .extra
            .file(&format!("{at}/Versions/A/{name}"), 0o755, macho(Cpu::Arm64))
            .file(&format!("{at}/Versions/A/Resources/Info.plist"), 0o644, plist(&keys))
            .link(&format!("{at}/Versions/Current"), "A")
            .link(&format!("{at}/{name}"), &format!("Versions/Current/{name}"))
            .link(&format!("{at}/Resources"), "Versions/Current/Resources");
        self
    }

    /// The text of Info.plist, keys in byte order.
    #[must_use]
    pub fn info_plist(&self) -> String {
        let mut keys: Vec<(&str, &str)> =
            self.keys.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        keys.sort_unstable();
        plist(&keys)
    }

    /// The name of the bundle, `<name>.app`.
    #[must_use]
    pub fn bundle_name(&self) -> String {
        format!("{}.app", self.name)
    }

    /// The bundle as a tree whose top is `<name>.app`.
    #[must_use]
    pub fn tree(&self) -> Tree {
        let executable = match self.cpus.as_slice() {
            [one] => macho(*one),
            many => fat(many),
        };
        let (contents, macos, resources) = if self.flat {
            ("", String::new(), String::new())
        } else {
            ("Contents/", "Contents/MacOS/".to_owned(), "Contents/Resources/".to_owned())
        };
        let mut tree = Tree::new()
            .file(&format!("{contents}Info.plist"), 0o644, self.info_plist())
            .file(&format!("{contents}PkgInfo"), 0o644, *b"APPL????")
            .file(&format!("{macos}{}", self.name), 0o755, executable);
        if self.icon {
            let image = png(128);
            tree = tree.file(
                &format!("{resources}AppIcon.icns"),
                0o644,
                icns(&[(b"ic07", image.as_slice())]),
            );
        }
        Tree::new().tree(&self.bundle_name(), &tree.tree("", &self.extra))
    }
}
