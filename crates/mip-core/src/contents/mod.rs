//! Looking into things: what `mip files` lists and `mip cat` hands out.
//!
//! A path inside an input is written as everywhere else: components are separated by `/`, and
//! [`CONTAINER_STEP`] (`//`) goes from a file into what it holds, as often as needed:
//! `Tool.pkg//tool.pkg/Payload//usr/local/bin/tool`. Such a path, without the name of the input
//! itself, is what the functions here take and give.

mod container;
mod image;
mod stream;

use std::io::{Read, Write};

use mip_base::{CONTAINER_STEP, Code, EntryKind, Error, Job, Phase, Result, escape};
use mip_signing::Password;
use schemars::JsonSchema;
use serde::Serialize;

use crate::input::{Input, Opened};
use crate::inspect::in_input;
use crate::pump;
use crate::report::REPORT_VERSION;
use container::Container;

/// How something is looked into.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct LookOptions {
    /// Also computes the SHA-256 of every file that is listed, which reads all of them.
    pub sha256: bool,
    /// Password of an encrypted disk image or volume on the way.
    pub image_password: Option<Password>,
}

impl LookOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn passwords(&self) -> &[Password] {
        self.image_password.as_slice()
    }
}

/// One file, folder or link of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct ContentEntry {
    /// Path inside the input, with `//` between containers. Not escaped.
    pub path: String,
    /// `file`, `directory`, `symlink`, `hardlink`, `char-device`, `block-device`, `fifo`, `socket`.
    pub kind: String,
    /// Permission bits with setuid, setgid and sticky, where the container has them.
    pub mode: Option<u32>,
    /// Owner, where the container has one.
    pub uid: Option<u32>,
    /// Group, where the container has one.
    pub gid: Option<u32>,
    /// Bytes of a file when it is read (decompressed).
    pub bytes: u64,
    /// Modification time, seconds since 1970, where the container has one.
    pub mtime: Option<i64>,
    /// Target of a symbolic or hard link, as it is written.
    pub link: Option<String>,
    /// SHA-256 of a file's bytes in lower-case hex, where it was asked for.
    pub sha256: Option<String>,
}

/// What [`files`] found, beside the entries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Contents {
    /// Version of this form.
    pub schema_version: u32,
    /// The entries, where they were collected.
    pub entries: Vec<ContentEntry>,
    /// What was left out or tolerated.
    pub notes: Vec<String>,
}

impl Contents {
    fn new() -> Self {
        Self { schema_version: REPORT_VERSION, ..Self::default() }
    }
}

/// What is called for each entry, in the order of the container.
pub type OnEntry<'v> = dyn FnMut(ContentEntry) -> Result<()> + 'v;

/// Lists what is at `paths` inside `input` (everything in its outermost container, when there are none):
/// for a folder all that lies below it, for a file the file itself, and for a path that ends in
/// `//` what that file holds. `visit` gets the entries; nothing of them is kept.
///
/// Nothing is judged: a signature is not checked, and what an installer could not be converted
/// for is listed all the same.
///
/// # Errors
/// [`Code::NoEntry`]; [`Code::Unsupported`] for a file that is no container; the codes of the
/// formats on the way; [`Code::LimitNesting`] and other limits; what `visit` returns.
pub fn files(
    input: &Input,
    paths: &[String],
    options: &LookOptions,
    job: &Job,
    visit: &mut OnEntry<'_>,
) -> Result<Contents> {
    let place = |e: Error| in_input(e, input);
    let opened = input.open(job)?;
    let all = [String::new()];
    let mut out = Contents::new();
    let mut last = None;
    for path in if paths.is_empty() { &all } else { paths } {
        list(&opened, &tidy(path), &mut last, options, job, visit, &mut out.notes)
            .map_err(place)?;
    }
    opened.unchanged().map_err(place)?;
    Ok(out)
}

/// The container that a path led to. Kept for the next path: to open it may mean to list
/// a million entries, to unpack it, or to derive a key from a password.
struct Kept {
    /// The path up to it: empty, or ending in `//`.
    prefix: String,
    /// 1 for the outermost.
    depth: u64,
    container: Container,
}

fn list(
    opened: &Opened,
    path: &str,
    kept: &mut Option<Kept>,
    options: &LookOptions,
    job: &Job,
    visit: &mut OnEntry<'_>,
    notes: &mut Vec<String>,
) -> Result<()> {
    let before = kept.as_ref().map(|k| k.prefix.clone());
    let (Kept { prefix, depth, container }, last) =
        walk_to(opened, path, kept.take(), options, job)?;
    let within = |e: Error| e.within(prefix.trim_end_matches(CONTAINER_STEP));
    let mut found = last.is_empty();
    container
        .list(last, options.sha256, job, &mut |mut e: ContentEntry| {
            found = true;
            e.path = format!("{prefix}{}", e.path);
            visit(e)
        })
        .map_err(within)?;
    if before.as_ref() != Some(&prefix) {
        notes.extend(container.notes());
    }
    // A folder with nothing in it is there too.
    if !found && container.find(last, job).map_err(within)?.is_none() {
        return Err(within(no_entry(last)));
    }
    *kept = Some(Kept { prefix, depth, container });
    Ok(())
}

/// Writes the bytes of the file at `path` inside `input` to `to`.
///
/// What has a checksum is checked, at the end: after an error, bytes that were written are to be
/// thrown away. Signatures are not looked at.
///
/// # Errors
/// As [`files`]; [`Code::Usage`] for what is not a file; [`Code::OutputIo`].
pub fn cat(
    input: &Input,
    path: &str,
    to: &mut dyn Write,
    options: &LookOptions,
    job: &Job,
) -> Result<ContentEntry> {
    let place = |e: Error| in_input(e, input);
    let opened = input.open(job)?;
    let path = tidy(path);
    let (Kept { prefix, container, .. }, last) =
        walk_to(&opened, &path, None, options, job).map_err(place)?;
    let within = |e: Error| place(e.within(prefix.trim_end_matches(CONTAINER_STEP)));
    let mut entry = container
        .with_file(last, job, &mut |data| pump::copy(data, to, Phase::Extract, job))
        .map_err(within)?;
    opened.unchanged().map_err(place)?;
    entry.path = format!("{prefix}{}", entry.path);
    Ok(entry)
}

/// A path as people type it, with a `/` or `./` in front, as the path that it means.
fn tidy(path: &str) -> String {
    let step = |s: &str| s.trim_start_matches("./").trim_matches('/').to_owned();
    path.split(CONTAINER_STEP).map(step).collect::<Vec<_>>().join(CONTAINER_STEP)
}

/// Opens the container that the last step of `path` is in, from `kept` where that lies on the
/// way. Returns it with the last step.
fn walk_to<'p>(
    opened: &Opened,
    path: &'p str,
    kept: Option<Kept>,
    options: &LookOptions,
    job: &Job,
) -> Result<(Kept, &'p str)> {
    let Kept { prefix, mut depth, mut container } = match kept {
        Some(kept) if path.starts_with(&kept.prefix) => kept,
        _ => Kept {
            prefix: String::new(),
            depth: 1,
            container: match opened {
                Opened::Folder(folder) => Container::folder(folder, options, job)?,
                Opened::File { source, .. } => Container::input(source, options, job)?,
            },
        },
    };
    let mut done = prefix.len();
    let mut rest = path.get(done..).unwrap_or_default();
    while let Some((step, behind)) = rest.split_once(CONTAINER_STEP) {
        job.check()?;
        let before = path.get(..done).unwrap_or_default().trim_end_matches(CONTAINER_STEP);
        depth = depth.saturating_add(1);
        // The payload of a package is one too.
        let (limit, inside) = (job.limits().nesting, depth.saturating_sub(1));
        if inside > limit {
            let e = Error::limit(Code::LimitNesting, "containers in a container", limit, inside);
            return Err(e
                .within(before)
                .hint("raise --limit nesting, or take the outer container apart"));
        }
        container = container.enter(step, options, job).map_err(|e| e.within(before))?;
        done = done.saturating_add(step.len()).saturating_add(CONTAINER_STEP.len());
        rest = behind;
    }
    let prefix = path.get(..done).unwrap_or_default().to_owned();
    Ok((Kept { prefix, depth, container }, rest.trim_end_matches('/')))
}

pub(crate) fn no_entry(path: &str) -> Error {
    Error::new(Code::NoEntry, format!("there is no \"{}\" in it", escape(path)))
}

fn not_a_file(path: &str, kind: EntryKind, link: Option<&str>) -> Error {
    let what = match (kind, link) {
        (EntryKind::Directory, _) => "a folder, not a file".to_owned(),
        (EntryKind::Symlink, Some(to)) => {
            format!("a symbolic link to \"{}\": name what it leads to", escape(to))
        }
        _ => "not a file".to_owned(),
    };
    Error::new(Code::Usage, format!("is {what}")).within(path)
}

fn kind_word(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::File => "file",
        EntryKind::Directory => "directory",
        EntryKind::Symlink => "symlink",
        EntryKind::Hardlink => "hardlink",
        EntryKind::CharDevice => "char-device",
        EntryKind::BlockDevice => "block-device",
        EntryKind::Fifo => "fifo",
        EntryKind::Socket => "socket",
        _ => "other",
    }
}

fn sha256(from: &mut dyn Read, job: &Job) -> Result<String> {
    pump::sha256(from, Phase::Extract, job)
}
