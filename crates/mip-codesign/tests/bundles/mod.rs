//! Bundles in memory: from fixtures, and made for a test.
#![allow(unreachable_pub)]

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mip_base::{Code, Error, Job, Result, Source};
use mip_codesign::{
    BundleEntry, BundleFiles, BundleSignature, Check, Special, UseFile, check_bundle, check_program,
};
use mip_testkit::macho::{Program, Signature};
use sha1::Digest as _;

/// The moment of all checks: 2026-11-22.
pub const AT: u64 = 1_795_300_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    File(Vec<u8>),
    Link(String),
}

/// A bundle in memory.
#[derive(Debug, Clone, Default)]
pub struct Memory(pub BTreeMap<String, Node>);

impl BundleFiles for Memory {
    fn entries(&self) -> Result<Vec<(String, BundleEntry)>> {
        let entry = |n: &Node| match n {
            Node::File(d) => BundleEntry::File { size: d.len() as u64 },
            Node::Link(t) => BundleEntry::Link(t.clone()),
        };
        Ok(self.0.iter().map(|(p, n)| (p.clone(), entry(n))).collect())
    }

    fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>> {
        match self.0.get(path) {
            Some(Node::File(d)) if d.len() as u64 <= limit => Ok(d.clone()),
            _ => Err(Error::new(Code::LimitMemory, "too large, or no file")),
        }
    }

    fn open(&self, path: &str) -> Result<Source> {
        Ok(Arc::new(self.read(path, u64::MAX)?))
    }

    /// In odd pieces.
    fn stream(&self, path: &str, use_file: &mut UseFile<'_>) -> Result<()> {
        struct Odd<R>(R, usize);
        impl<R: Read> Read for Odd<R> {
            fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
                self.1 = self.1 * 3 % 8191 + 1;
                let n = self.1.min(buf.len());
                self.0.read(&mut buf[..n])
            }
        }
        use_file(&mut Odd(Cursor::new(self.read(path, u64::MAX)?), 0))
    }
}

impl Memory {
    pub fn file(&mut self, path: &str, data: impl Into<Vec<u8>>) -> &mut Self {
        self.0.insert(path.to_owned(), Node::File(data.into()));
        self
    }

    pub fn link(&mut self, path: &str, target: &str) -> &mut Self {
        self.0.insert(path.to_owned(), Node::Link(target.to_owned()));
        self
    }

    pub fn data(&self, path: &str) -> &[u8] {
        match &self.0[path] {
            Node::File(d) => d,
            other => panic!("{path} is {other:?}"),
        }
    }

    pub fn files(&self) -> Vec<String> {
        let file = |(p, n): (&String, &Node)| matches!(n, Node::File(_)).then(|| p.clone());
        self.0.iter().filter_map(file).collect()
    }

    /// One byte of a file changed.
    pub fn flipped(&self, path: &str, at: usize) -> Self {
        let mut out = self.clone();
        match out.0.get_mut(path) {
            Some(Node::File(d)) => d[at] ^= 1,
            other => panic!("{path} is {other:?}"),
        }
        out
    }

    /// Checks everything.
    pub fn check(&self) -> BundleSignature {
        self.check_within(u64::MAX)
    }

    pub fn check_within(&self, budget: u64) -> BundleSignature {
        let (job, budget) = (Job::default(), AtomicU64::new(budget));
        let check = Check { job: &job, at: AT, budget: &budget };
        check_bundle(self, &check).expect("a bad signature is no error")
    }
}

/// The bundle `root` in a zip file.
pub fn zipped(path: &Path, root: &str) -> Memory {
    let mut zip = zip::ZipArchive::new(std::fs::File::open(path).unwrap()).unwrap();
    let mut out = Memory::default();
    for i in 0..zip.len() {
        let mut entry = zip.by_index(i).unwrap();
        let name = entry.name().unwrap().into_owned();
        let Some(name) = name.strip_prefix(root).map(str::to_owned) else { continue };
        let name = name.trim_start_matches('/').to_owned();
        let mut data = Vec::new();
        entry.read_to_end(&mut data).unwrap();
        if entry.is_dir() || name.is_empty() {
            continue;
        }
        if entry.is_symlink() {
            out.link(&name, std::str::from_utf8(&data).unwrap());
        } else {
            out.file(&name, data);
        }
    }
    assert!(!out.0.is_empty(), "{root} is not in {}", path.display());
    out
}

/// The bundle `root` in a tar file.
pub fn tarred(path: &Path, root: &str) -> Memory {
    let mut tar = tar::Archive::new(std::fs::File::open(path).unwrap());
    let mut out = Memory::default();
    for entry in tar.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_str().unwrap().trim_start_matches("./").to_owned();
        let Some(name) = name.strip_prefix(root) else { continue };
        let name = name.trim_matches('/').to_owned();
        let noise = name.rsplit('/').next().unwrap().starts_with("._");
        match entry.header().entry_type() {
            _ if noise => {}
            tar::EntryType::Regular => {
                let mut data = Vec::new();
                entry.read_to_end(&mut data).unwrap();
                out.file(&name, data);
            }
            tar::EntryType::Symlink => {
                let target = entry.link_name().unwrap().unwrap().to_str().unwrap().to_owned();
                out.link(&name, &target);
            }
            _ => {}
        }
    }
    assert!(!out.0.is_empty(), "{root} is not in {}", path.display());
    out
}

/// The rules that `codesign` writes for a bundle with `Resources`.
pub const RULES2: &[(&str, &str)] = &[
    (r".*\.dSYM($|/)", "<dict><key>weight</key><real>11</real></dict>"),
    (
        r"^(.*/)?\.DS_Store$",
        "<dict><key>omit</key><true/><key>weight</key><real>2000</real></dict>",
    ),
    (
        "^(Frameworks|SharedFrameworks|PlugIns|Plug-ins|XPCServices|Helpers|MacOS|Library/(Automator|Spotlight|LoginItems))/",
        "<dict><key>nested</key><true/><key>weight</key><real>10</real></dict>",
    ),
    ("^.*", "<true/>"),
    (r"^Info\.plist$", "<dict><key>omit</key><true/><key>weight</key><real>20</real></dict>"),
    (r"^PkgInfo$", "<dict><key>omit</key><true/><key>weight</key><real>20</real></dict>"),
    ("^Resources/", "<dict><key>weight</key><real>20</real></dict>"),
    (
        r"^Resources/.*\.lproj/",
        "<dict><key>optional</key><true/><key>weight</key><real>1000</real></dict>",
    ),
    (
        r"^Resources/.*\.lproj/locversion.plist$",
        "<dict><key>omit</key><true/><key>weight</key><real>1100</real></dict>",
    ),
    (r"^Resources/Base\.lproj/", "<dict><key>weight</key><real>1010</real></dict>"),
    ("^[^/]+$", "<dict><key>nested</key><true/><key>weight</key><real>10</real></dict>"),
    (r"^embedded\.provisionprofile$", "<dict><key>weight</key><real>20</real></dict>"),
    (r"^version\.plist$", "<dict><key>weight</key><real>20</real></dict>"),
];

pub fn xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

/// A `CodeResources` from rules and entries (path, value in XML).
pub fn code_resources(rules: &[(&str, &str)], files: &[(String, String)]) -> Vec<u8> {
    let pairs = |all: &mut dyn Iterator<Item = (String, String)>| -> String {
        all.map(|(k, v)| format!("<key>{}</key>{v}", xml(&k))).collect()
    };
    let files = pairs(&mut files.iter().cloned());
    let rules = pairs(&mut rules.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><plist version=\"1.0\"><dict><key>files</key><dict/><key>files2</key><dict>{files}</dict><key>rules</key><dict/><key>rules2</key><dict>{rules}</dict></dict></plist>"
    )
    .into_bytes()
}

pub fn hash_entry(data: &[u8], optional: bool) -> String {
    let hash = STANDARD.encode(sha2::Sha256::digest(data));
    let optional = if optional { "<key>optional</key><true/>" } else { "" };
    format!("<dict><key>hash2</key><data>{hash}</data>{optional}</dict>")
}

/// What a seal says of nested code with this program.
pub fn code_entry(program: &[u8]) -> String {
    let (job, budget) = (Job::default(), AtomicU64::new(u64::MAX));
    let check = Check { job: &job, at: AT, budget: &budget };
    let source: Source = Arc::new(program.to_vec());
    let slices = check_program(&source, &Special::default(), &check).unwrap();
    let hex = &slices[0].code_directories[0].cdhash;
    let bytes: Vec<u8> = (0..hex.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap())
        .collect();
    let cdhash = STANDARD.encode(bytes);
    format!(
        "<dict><key>cdhash</key><data>{cdhash}</data><key>requirement</key><string>cdhash H\"{hex}\"</string></dict>"
    )
}

pub fn info_plist(program: &str) -> Vec<u8> {
    format!(
        "<plist version=\"1.0\"><dict><key>CFBundleIdentifier</key><string>org.example.{program}</string><key>CFBundleExecutable</key><string>{program}</string></dict></plist>"
    )
    .into_bytes()
}

/// An ad-hoc signed program that seals these two files.
pub fn program(info: &[u8], resources: &[u8]) -> Vec<u8> {
    let outside = vec![(1, info.to_vec()), (3, resources.to_vec())];
    let signature = Signature { outside, ..Signature::default() };
    Program::signed(signature).build()
}

/// An ad-hoc signed tool.
pub fn tool(identifier: &str) -> Vec<u8> {
    let signature = Signature { identifier: identifier.to_owned(), ..Signature::default() };
    Program::signed(signature).build()
}

/// Signs the bundle at `root`: what is below `base` and not exempt is sealed as the usual rules
/// have it; `code` are the paths below `base` of nested code with its main program.
pub fn sign(
    bundle: &mut Memory,
    base: &str,
    info: &str,
    main: &str,
    rules: &[(&str, &str)],
    code: &[(&str, &str)],
) {
    let prefix = if base.is_empty() { String::new() } else { format!("{base}/") };
    let mut files = Vec::new();
    for (path, inner) in code {
        files.push(((*path).to_owned(), code_entry(bundle.data(&format!("{prefix}{inner}")))));
    }
    for (path, node) in &bundle.0 {
        let Some(rel) = path.strip_prefix(&prefix) else { continue };
        let in_code = code.iter().any(|(c, _)| rel == *c || rel.starts_with(&format!("{c}/")));
        let exempt = ["Info.plist", "PkgInfo", main].contains(&rel)
            || rel.starts_with("_CodeSignature/")
            || rel == "CodeResources"
            || rel.ends_with(".DS_Store")
            || rel.ends_with(".lproj/locversion.plist");
        if in_code || exempt {
            continue;
        }
        let optional = rel.contains(".lproj/") && !rel.contains("Base.lproj/");
        files.push(match node {
            Node::File(d) => (rel.to_owned(), hash_entry(d, optional)),
            Node::Link(t) => (
                rel.to_owned(),
                format!("<dict><key>symlink</key><string>{}</string></dict>", xml(t)),
            ),
        });
    }
    let resources = code_resources(rules, &files);
    let program = program(bundle.data(&format!("{prefix}{info}")), &resources);
    bundle.file(&format!("{prefix}_CodeSignature/CodeResources"), resources);
    bundle.file(&format!("{prefix}{main}"), program);
}

/// An app with resources, localizations, a tool, a library, a helper app and a framework,
/// all signed ad-hoc.
pub fn app() -> Memory {
    let mut b = Memory::default();
    // A helper app.
    let helper = "Contents/Helpers/Helper.app/Contents";
    b.file(&format!("{helper}/Info.plist"), info_plist("Helper"));
    b.file(&format!("{helper}/Resources/a.txt"), "helper");
    sign(&mut b, helper, "Info.plist", "MacOS/Helper", RULES2, &[]);
    // A framework.
    let framework = "Contents/Frameworks/Kit.framework";
    let base = format!("{framework}/Versions/B");
    b.file(&format!("{base}/Resources/Info.plist"), info_plist("Kit"));
    b.file(&format!("{base}/Resources/data.bin"), vec![7; 3000]);
    b.file(&format!("{base}/Resources/de.lproj/t.strings"), "t");
    // `Resources/Info.plist` is bound by a slot and by the list of files.
    sign(&mut b, &base, "Resources/Info.plist", "Kit", RULES2, &[]);
    b.link(&format!("{framework}/Versions/Current"), "B");
    b.link(&format!("{framework}/Kit"), "Versions/Current/Kit");
    b.link(&format!("{framework}/Resources"), "Versions/Current/Resources");
    b.file("Contents/Info.plist", info_plist("Tool"));
    b.file("Contents/PkgInfo", "APPL????");
    b.file("Contents/version.plist", "<plist/>");
    b.file("Contents/MacOS/tool", tool("tool"));
    b.file("Contents/Frameworks/libx.dylib", tool("libx"));
    b.file("Contents/Resources/icon.icns", vec![1; 100_000]);
    b.file("Contents/Resources/de.lproj/a.strings", "a");
    b.file("Contents/Resources/de.lproj/locversion.plist", "not sealed");
    b.file("Contents/Resources/Base.lproj/Main.nib", "nib");
    b.file("Contents/Resources/.DS_Store", "finder");
    b.link("Contents/Resources/link", "icon.icns");
    b.link("Contents/Resources/up", "../Info.plist");
    let code = [
        ("MacOS/tool", "MacOS/tool"),
        ("Frameworks/libx.dylib", "Frameworks/libx.dylib"),
        ("Helpers/Helper.app", "Helpers/Helper.app/Contents/MacOS/Helper"),
        ("Frameworks/Kit.framework", "Frameworks/Kit.framework/Versions/B/Kit"),
    ];
    sign(&mut b, "Contents", "Info.plist", "MacOS/Tool", RULES2, &code);
    b
}
