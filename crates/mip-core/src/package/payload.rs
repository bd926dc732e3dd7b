//! Payloads and script archives as streams: read as far as needed, never unpacked to disk.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, Read};

use mip_base::{Code, EntryKind, EntryPath, Error, Job, Result, escape, len64};
use mip_codec::{Compression, aa, decoder, sniff};
use mip_cpio::CpioReader;

use crate::app::names::{MAX_LANGUAGES, NameFile};
use crate::app::{self, AppFacts, BUNDLES, MAX_APPS, PROGRAM_HEAD, has_extension};
use crate::checks::script;
use crate::icon;
use crate::inspection::ScriptInfo;
use crate::plist;

/// When a payload is read for what the package's own tables leave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum PayloadScan {
    /// When it is stored in no more than [`Limits::payload_scan`](mip_base::Limits::payload_scan) bytes.
    #[default]
    Auto,
    /// Never: only PackageInfo, Distribution and Bom are read.
    Never,
    /// Whatever its size.
    Always,
}

impl PayloadScan {
    /// Whether an archive of `stored` bytes may be read.
    pub(super) fn allows(self, stored: u64, job: &Job) -> bool {
        match self {
            Self::Auto => stored <= job.limits().payload_scan,
            Self::Never => false,
            Self::Always => true,
        }
    }
}

/// Largest icon file or asset catalog that is taken out of a payload.
const MAX_ICON: u64 = 16 << 20;
/// Apps whose icon is taken out of one payload.
const MAX_ICONS: usize = 4;
/// Files of names of one app that are said not to be readable.
const MAX_NOTES: usize = 3;
/// Programs of which the head is kept because their `Info.plist` was not seen yet.
const MAX_EARLY: usize = 64;
/// Script files that are listed.
pub(super) const MAX_SCRIPTS: usize = 1000;

/// Bytes that tell the format of an archive apart.
const HEAD: usize = 16;

/// A cpio archive or Apple Archive, whatever it is compressed with.
pub(crate) struct Archive {
    inner: Inner,
    /// How it is packed, in the words of the inspection.
    pub(super) format: &'static str,
}

/// One entry of an archive.
pub(crate) struct ArchiveEntry {
    /// `None` for the root folder itself.
    pub(crate) path: Option<EntryPath>,
    pub(crate) kind: EntryKind,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) size: u64,
    pub(crate) link: Option<String>,
    pub(crate) mtime: Option<u64>,
    /// What the hard links to one file share. One of them has the data, or each has.
    pub(crate) shared: Option<(u64, u64)>,
}

enum Inner {
    Cpio(CpioReader<Box<dyn Read + Send>>),
    Apple(aa::Reader),
}

/// A file of an archive; other kinds of entries are passed over.
struct File {
    path: EntryPath,
    size: u64,
}

impl Archive {
    /// Looks at the first bytes of `input` and prepares to read.
    pub(crate) fn open(input: Box<dyn Read + Send>, job: &Job) -> Result<Self> {
        let (head, input) = peek(input)?;
        // pbzx is the packing of cpio payloads and of Apple Archives; what comes out tells.
        let packing = sniff(&head);
        if packing.is_none() && aa::sniff(&head) {
            return Ok(Self { inner: Inner::Apple(aa::Reader::new(input, job)?), format: "aa" });
        }
        let format = packing.map_or("cpio", Compression::name);
        let decoded = decoder(packing.unwrap_or(Compression::None), input, job)?;
        let (head, decoded) = peek(decoded)?;
        if aa::sniff(&head) {
            return Ok(Self { inner: Inner::Apple(aa::Reader::new(decoded, job)?), format: "aa" });
        }
        Ok(Self { inner: Inner::Cpio(CpioReader::new(decoded, job)), format })
    }

    /// Goes to the next entry, over what is left of the current one.
    pub(crate) fn next_entry(&mut self) -> Result<Option<ArchiveEntry>> {
        Ok(match &mut self.inner {
            Inner::Cpio(r) => r.next_entry()?.map(|e| ArchiveEntry {
                path: e.path,
                kind: e.kind,
                mode: e.mode,
                uid: e.uid,
                gid: e.gid,
                size: e.size,
                link: e.link,
                mtime: Some(e.mtime),
                shared: (e.nlink > 1).then_some((e.dev, e.ino)),
            }),
            Inner::Apple(r) => r.next_entry()?.map(|e| ArchiveEntry {
                path: e.path,
                kind: e.kind,
                mode: e.mode,
                uid: e.uid,
                gid: e.gid,
                size: e.size,
                link: e.link,
                mtime: e.mtime,
                shared: e.cluster.map(|c| (u64::MAX, c)),
            }),
        })
    }

    fn next_file(&mut self) -> Result<Option<File>> {
        while let Some(e) = self.next_entry()? {
            if let (Some(path), EntryKind::File) = (e.path, e.kind) {
                return Ok(Some(File { path, size: e.size }));
            }
        }
        Ok(None)
    }

    /// Up to `limit` bytes of the current file.
    fn data(&mut self, limit: u64) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        self.take(limit)
            .read_to_end(&mut out)
            .map_err(|e| Error::from_io(Code::InputIo, "reading", e))?;
        Ok(out)
    }
}

impl Read for Archive {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match &mut self.inner {
            Inner::Cpio(r) => r.read(buf),
            Inner::Apple(r) => r.read(buf),
        }
    }
}

/// The first bytes of a stream, and the stream from its start.
fn peek(mut input: Box<dyn Read + Send>) -> Result<(Vec<u8>, Box<dyn Read + Send>)> {
    let mut head = Vec::with_capacity(HEAD);
    (&mut input)
        .take(len64(HEAD))
        .read_to_end(&mut head)
        .map_err(|e| Error::from_io(Code::InputIo, "reading", e))?;
    Ok((head.clone(), Box::new(io::Cursor::new(head).chain(input))))
}

/// An app that a payload holds.
#[derive(Debug, Default)]
pub(super) struct PayloadApp {
    /// Path of the bundle in the payload; empty when the payload is what is inside a bundle.
    pub(super) root: String,
    /// Path of its `Info.plist`.
    pub(super) plist: String,
    pub(super) facts: AppFacts,
    /// Paths and bytes of its icon file and its asset catalog, in this order.
    pub(super) icons: Vec<(String, Vec<u8>)>,
    /// Its names by language.
    pub(super) names: BTreeMap<String, String>,
    /// Files of names that could not be read, and why.
    pub(super) notes: Vec<String>,
    /// Why its `Info.plist` could not be used.
    pub(super) trouble: Option<Error>,
}

/// The path of the bundle that an `Info.plist` at `path` belongs to, if it is one of an app.
/// `in_app` says that the root of the payload is itself an app bundle.
pub(super) fn app_root(path: &str, in_app: bool) -> Option<&str> {
    if in_app && matches!(path, "Contents/Info.plist" | "Info.plist") {
        return Some("");
    }
    let folder = path.strip_suffix("/Info.plist")?;
    let root = folder.strip_suffix("/Contents").unwrap_or(folder);
    has_extension(root, &["app"]).then_some(root)
}

/// Whether a bundle lies inside another one.
pub(super) fn is_nested(root: &str, in_app: bool) -> bool {
    let above = root.rsplit_once('/').map_or("", |(above, _)| above);
    (in_app && !root.is_empty()) || above.split('/').any(|c| has_extension(c, BUNDLES))
}

/// What to look for in a payload.
#[derive(Debug, Default)]
pub(super) struct Wanted<'a> {
    /// The `Info.plist` files that the Bom lists; `None` when there is no list.
    pub(super) plists: Option<HashSet<&'a str>>,
    /// The other files inside apps that the Bom lists; asked only when `plists` is given.
    pub(super) files: HashSet<&'a str>,
    /// The payload is what is inside an app bundle.
    pub(super) in_app: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Program,
    Icon,
    Names,
}

/// Reads a payload until all that is wanted was seen.
///
/// What was found before an error is kept.
pub(super) fn scan(
    archive: &mut Archive,
    wanted: Wanted<'_>,
    job: &Job,
) -> (Vec<PayloadApp>, Result<()>) {
    let mut scan = Scan {
        wanted,
        apps: Vec::new(),
        pending: HashMap::new(),
        early: HashMap::new(),
        icons: 0,
        resources: Vec::new(),
        named: Vec::new(),
    };
    let end = scan.run(archive, job);
    (scan.apps, end)
}

struct Scan<'a> {
    wanted: Wanted<'a>,
    apps: Vec<PayloadApp>,
    pending: HashMap<String, (usize, Part)>,
    early: HashMap<String, Vec<u8>>,
    icons: usize,
    /// Folders of resources, and the apps that they belong to.
    resources: Vec<String>,
    named: Vec<usize>,
}

impl Scan<'_> {
    fn run(&mut self, archive: &mut Archive, job: &Job) -> Result<()> {
        let program_head = len64(PROGRAM_HEAD);
        while !self.done() {
            let Some(file) = archive.next_file()? else { return Ok(()) };
            let path = file.path.as_str();
            if self.wants_plist(path) {
                if self.apps.len() < MAX_APPS {
                    self.plist(archive, path, file.size, job)?;
                }
            } else if let Some((app, part)) = self.pending.remove(path) {
                match part {
                    Part::Program => {
                        let head = archive.data(program_head)?;
                        if let Some(a) = self.apps.get_mut(app) {
                            a.facts.architectures = app::architectures(&head);
                        }
                    }
                    Part::Icon => self.icon(archive, app, &file, job)?,
                    Part::Names => self.names(archive, app, &file, job)?,
                }
            } else if let Some(app) = self.app_of_names(path) {
                self.names(archive, app, &file, job)?;
            } else if self.early.len() < MAX_EARLY && is_program_path(path) {
                let head = archive.data(program_head)?;
                self.early.insert(path.to_owned(), head);
            }
        }
        Ok(())
    }

    /// Keeps a file that the icon of an app may be in. When it is large enough, the app's other
    /// files are not waited for.
    fn icon(&mut self, archive: &mut Archive, app: usize, file: &File, job: &Job) -> Result<()> {
        if file.size > MAX_ICON.min(job.limits().small_file) {
            return Ok(());
        }
        let data = archive.data(MAX_ICON)?;
        let enough = icon::icns_pixels(&data) >= icon::ENOUGH_PIXELS;
        let Some(a) = self.apps.get_mut(app) else { return Ok(()) };
        // The icon file goes before the catalog, whichever comes first.
        let at = if icon::is_catalog(file.path.as_str()) { a.icons.len() } else { 0 };
        a.icons.insert(at, (file.path.as_str().to_owned(), data));
        if enough {
            self.pending.retain(|_, (a, part)| *a != app || *part != Part::Icon);
        }
        Ok(())
    }

    /// The app that a file of names belongs to, when there is no list of files.
    fn app_of_names(&self, path: &str) -> Option<usize> {
        if self.wanted.plists.is_some() {
            return None;
        }
        let below = |r: &str| path.strip_prefix(r).and_then(NameFile::of).is_some();
        self.resources.iter().position(|r| below(r)).and_then(|n| self.named.get(n)).copied()
    }

    fn names(&mut self, archive: &mut Archive, app: usize, file: &File, job: &Job) -> Result<()> {
        let path = file.path.as_str();
        let names = self.resources.iter().find_map(|r| path.strip_prefix(r).and_then(NameFile::of));
        let (Some(names), Some(app)) = (names, self.apps.get_mut(app)) else { return Ok(()) };
        // One byte more than is allowed tells that there are more.
        let data = archive.data(NameFile::limit(job).saturating_add(1))?;
        match names.read(&data, &mut app.names, job) {
            Err(e) if is_fatal(&e) => return Err(e),
            Err(e) if app.notes.len() < MAX_NOTES => {
                app.notes.push(format!("{}: the names are not used: {e}", escape(path)));
            }
            _ => {}
        }
        Ok(())
    }

    fn done(&self) -> bool {
        self.pending.is_empty() && self.wanted.plists.as_ref().is_some_and(HashSet::is_empty)
    }

    fn wants_plist(&mut self, path: &str) -> bool {
        match &mut self.wanted.plists {
            Some(list) => list.remove(path),
            None => app_root(path, self.wanted.in_app).is_some(),
        }
    }

    fn plist(&mut self, archive: &mut Archive, path: &str, size: u64, job: &Job) -> Result<()> {
        let root = app_root(path, self.wanted.in_app).unwrap_or_default();
        // A bundle with both layouts: the one in Contents counts, as for macOS.
        let known = self.apps.iter().position(|a| a.root == root);
        if known.is_some() && !path.ends_with("Contents/Info.plist") {
            return Ok(());
        }
        let mut found =
            PayloadApp { root: root.to_owned(), plist: path.to_owned(), ..PayloadApp::default() };
        let limit = job.limits().plist_bytes;
        if size > limit {
            found.trouble = Some(Error::limit(Code::Limit, "plist-bytes", limit, size));
        } else {
            let data = archive.data(limit)?;
            match plist::read(&data, job).and_then(|v| app::facts(&v)) {
                Ok(facts) => found.facts = facts,
                Err(e) if is_fatal(&e) => return Err(e),
                Err(e) => found.trouble = Some(e),
            }
        }
        let app = known.unwrap_or(self.apps.len());
        let folder = path.strip_suffix("Info.plist").unwrap_or_default().to_owned();
        let contents = folder.ends_with("Contents/");
        if let Some(name) = found.facts.executable.as_ref().filter(|n| !n.contains('/')) {
            let program =
                if contents { format!("{folder}MacOS/{name}") } else { format!("{folder}{name}") };
            match self.early.get(&program) {
                Some(head) => found.facts.architectures = app::architectures(head),
                None => self.expect(program, app, Part::Program),
            }
        }
        let nested = is_nested(root, self.wanted.in_app);
        if !nested && self.icons < MAX_ICONS {
            self.icons = self.icons.saturating_add(1);
            let resources = if contents { format!("{folder}Resources/") } else { folder };
            let mut names = icon::icon_files(&found.facts);
            names.retain(|n| !n.contains('/'));
            names.push(icon::CATALOG.to_owned());
            for name in names {
                self.expect(format!("{resources}{name}"), app, Part::Icon);
            }
            let is_names = |p: &&&str| p.strip_prefix(&resources).and_then(NameFile::of).is_some();
            let of_names = self.wanted.files.iter().filter(is_names).take(MAX_LANGUAGES);
            self.pending.extend(of_names.map(|p| ((*p).to_owned(), (app, Part::Names))));
            self.resources.push(resources);
            self.named.push(app);
        }
        match self.apps.get_mut(app) {
            Some(old) => *old = found,
            None => self.apps.push(found),
        }
        Ok(())
    }

    fn expect(&mut self, path: String, app: usize, part: Part) {
        if self.wanted.plists.is_none() || self.wanted.files.contains(path.as_str()) {
            self.pending.insert(path, (app, part));
        }
    }
}

/// Whether a main app's program could be at `path`.
fn is_program_path(path: &str) -> bool {
    let Some((folder, _)) = path.rsplit_once('/') else { return false };
    let root = folder.strip_suffix("/Contents/MacOS").unwrap_or(folder);
    has_extension(root, &["app"])
}

/// Errors that end an inspection; all others only say that one part could not be read.
pub(crate) fn is_fatal(e: &Error) -> bool {
    use mip_base::Kind;
    matches!(e.kind(), Kind::Cancelled | Kind::InputIo | Kind::InputChanged | Kind::Internal)
}

/// What a script archive holds. `roles` maps file names to what runs them.
///
/// What was found before an error is kept.
pub(super) fn scripts(
    archive: &mut Archive,
    roles: &HashMap<String, String>,
    job: &Job,
) -> (Vec<ScriptInfo>, Result<()>) {
    let mut out = Vec::new();
    let end = list_scripts(archive, roles, &mut out, job);
    (out, end)
}

fn list_scripts(
    archive: &mut Archive,
    roles: &HashMap<String, String>,
    out: &mut Vec<ScriptInfo>,
    job: &Job,
) -> Result<()> {
    while let Some(file) = archive.next_file()? {
        job.check()?;
        let name = file.path.as_str();
        let role = roles.get(name);
        // AppleDouble files: extended attributes of the file beside them.
        if file.path.file_name().starts_with("._") {
            continue;
        }
        // Scripts that run are listed in any case, helper files up to a number.
        if role.is_none() && out.len() >= MAX_SCRIPTS {
            continue;
        }
        let text = archive.data(script::TEXT)?;
        out.push(script_info(name.to_owned(), role.cloned(), &text, Some(file.size)));
    }
    Ok(())
}

/// What is kept of a script that starts with `text`.
pub(super) fn script_info(
    name: String,
    role: Option<String>,
    text: &[u8],
    size: Option<u64>,
) -> ScriptInfo {
    let interpreter = interpreter(text);
    let is_script = script::is_text(text) && (role.is_some() || interpreter.is_some());
    ScriptInfo {
        head: if is_script { script::head(text) } else { Vec::new() },
        findings: script::look(text, interpreter.as_deref(), role.is_some()),
        name,
        role,
        interpreter,
        size,
    }
}

/// What follows `#!` on the first line.
pub(super) fn interpreter(head: &[u8]) -> Option<String> {
    let line = head.strip_prefix(b"#!")?.split(|b| matches!(b, b'\n' | b'\r')).next()?;
    let text = std::str::from_utf8(line).ok()?.trim();
    (!text.is_empty()).then(|| escape(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_plists_of_apps_are_known_by_their_path() {
        assert_eq!(app_root("A.app/Contents/Info.plist", false), Some("A.app"));
        assert_eq!(app_root("x/A.APP/Info.plist", false), Some("x/A.APP"));
        assert_eq!(app_root("A.app/Contents/Resources/Info.plist", false), None);
        assert_eq!(app_root("A.framework/Info.plist", false), None);
        assert_eq!(app_root(".app/Info.plist", false), None);
        assert_eq!(app_root("Contents/Info.plist", false), None);
        assert_eq!(app_root("Contents/Info.plist", true), Some(""));
        assert!(is_nested("A.app/Contents/Resources/B.app", false));
        assert!(is_nested("Library/X.plugin/B.app", false));
        assert!(!is_nested("Applications/Utilities/B.app", false));
        assert!(is_nested("Contents/Helpers/B.app", true));
        assert!(!is_nested("", true));
    }

    #[test]
    fn interpreters_are_the_first_line() {
        assert_eq!(interpreter(b"#!/bin/sh -e\nx").as_deref(), Some("/bin/sh -e"));
        assert_eq!(
            interpreter(b"#! /usr/bin/env python3\r\n").as_deref(),
            Some("/usr/bin/env python3")
        );
        assert_eq!(interpreter(b"\xcf\xfa\xed\xfe"), None);
        assert_eq!(interpreter(b"#!\n"), None);
        assert_eq!(interpreter(b"#!\xff\n"), None);
    }
}
