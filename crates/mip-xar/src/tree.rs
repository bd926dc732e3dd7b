//! From the raw records to files: paths, kinds, links, heap ranges.

use std::collections::HashMap;

use mip_base::{Code, EntryKind, EntryPath, Error, Job, Result, escape, len64};
use mip_codec::Compression;

use crate::records::{Notes, RawData, RawFile};
use crate::{XarAttribute, XarData, XarFile, XarSignature};

/// Builds the files, parents before children, in document order.
pub(crate) fn files(raw: Vec<RawFile>, job: &Job, notes: &mut Notes) -> Result<Vec<XarFile>> {
    let limits = job.limits();
    let mut kept: u64 = 0;
    let mut out: Vec<XarFile> = Vec::new();
    // What `<type link="…">` says: `None` for no link, or the id.
    let mut links: Vec<Option<u64>> = Vec::new();
    for f in raw {
        job.check()?;
        let name = f.name.ok_or_else(|| {
            Error::new(Code::XarName, format!("the file with id {} has no name", f.id))
        })?;
        let parent = f.parent.and_then(|i| out.get(i));
        let path = path(parent, &name, job)?;
        let len = len64(path.as_str().len());
        kept =
            kept.saturating_add(len).saturating_add(f.link.as_ref().map_or(0, |l| len64(l.len())));
        if kept > limits.path_bytes_kept {
            let limit = limits.path_bytes_kept;
            return Err(Error::limit(Code::LimitEntries, "bytes of paths kept", limit, kept));
        }
        let within = |e: Error| e.within(path.as_str());
        if parent.is_some_and(|p| p.kind != EntryKind::Directory) {
            return Err(within(Error::new(
                Code::PathUnsafe,
                "stands under a thing that is no folder",
            )));
        }
        let (kind_text, link_attribute) =
            f.kind.ok_or_else(|| within(Error::new(Code::XarToc, "has no <type>")))?;
        let (kind, link_id) = kind(&kind_text, link_attribute.as_deref()).map_err(within)?;
        let link = if kind == EntryKind::Symlink {
            Some(target(f.link, limits.link_bytes).map_err(within)?)
        } else {
            None
        };
        let data = match (kind, f.data) {
            (EntryKind::File, Some(d)) => Some(data(d, notes).map_err(within)?),
            // A link's own data would be a second answer to what it holds.
            (_, Some(_)) => {
                return Err(within(Error::new(
                    Code::XarToc,
                    format!("is a {kind_text} with data"),
                )));
            }
            (_, None) => None,
        };
        let (mode, uid, gid, mtime) = (f.mode, f.uid, f.gid, f.mtime);
        out.push(XarFile { id: f.id, path, kind, mode, uid, gid, mtime, link, data });
        links.push(link_id);
    }
    resolve_links(&mut out, &links, job)?;
    Ok(out)
}

fn path(parent: Option<&XarFile>, name: &str, job: &Job) -> Result<EntryPath> {
    if matches!(name, "" | "." | "..") || name.contains(['/', '\0']) {
        return Err(Error::new(
            Code::PathUnsafe,
            format!("the name \"{}\" is not the name of one file", shorten(name)),
        ));
    }
    match parent {
        None => EntryPath::new(name, job.limits()),
        Some(p) => EntryPath::new(&format!("{}/{name}", p.path), job.limits()),
    }
}

/// The kind, and the id that a hard link names.
fn kind(text: &str, link: Option<&str>) -> Result<(EntryKind, Option<u64>)> {
    let kind = match text {
        // The original is a regular file that others link to.
        "hardlink" => match link {
            Some("original") => EntryKind::File,
            Some(id) => {
                let id = decimal_id(id)?;
                return Ok((EntryKind::Hardlink, Some(id)));
            }
            None => return Err(Error::new(Code::XarLink, "is a hard link to nothing")),
        },
        "file" => EntryKind::File,
        "directory" => EntryKind::Directory,
        "symlink" => EntryKind::Symlink,
        "character special" => EntryKind::CharDevice,
        "block special" => EntryKind::BlockDevice,
        "fifo" => EntryKind::Fifo,
        "socket" => EntryKind::Socket,
        other => {
            return Err(Error::new(
                Code::XarUnsupported,
                format!("has the type \"{}\", which is not known", shorten(other)),
            ));
        }
    };
    Ok((kind, None))
}

fn decimal_id(id: &str) -> Result<u64> {
    crate::text::decimal("type link", id)
        .map_err(|e| Error::new(Code::XarLink, e.message().to_owned()))
}

fn target(link: Option<String>, limit: u64) -> Result<String> {
    let link = link
        .filter(|l| !l.is_empty())
        .ok_or_else(|| Error::new(Code::XarLink, "is a symbolic link to nothing"))?;
    if link.contains('\0') {
        return Err(Error::new(Code::PathUnsafe, "is a symbolic link with a NUL in its target"));
    }
    let len = len64(link.len());
    if len > limit {
        return Err(Error::limit(Code::PathUnsafe, "bytes of a link's target", limit, len));
    }
    Ok(link)
}

fn data(raw: RawData, notes: &mut Notes) -> Result<XarData> {
    let (Some(offset), Some(length), Some(size)) = (raw.offset, raw.length, raw.size) else {
        return Err(Error::new(Code::XarToc, "its data has no offset, length or size"));
    };
    let encoding = raw.encoding.unwrap_or(Compression::None);
    if encoding == Compression::None && length != size {
        return Err(Error::new(
            Code::XarRange,
            format!("is stored as it is, but takes {length} bytes for {size}"),
        ));
    }
    if length == 0 && size != 0 {
        return Err(Error::new(Code::XarRange, format!("has no stored bytes for {size} bytes")));
    }
    match (&raw.archived, &raw.extracted) {
        // Nothing would tell damaged bytes from good ones.
        (None, None) if length > 0 => {
            return Err(Error::new(Code::XarChecksum, "has data without any checksum")
                .hint("nothing shows that the bytes are whole: build the package again with file checksums"));
        }
        (None, _) | (_, None) if length > 0 => notes.add("data with one checksum instead of two"),
        _ => {}
    }
    let (archived, extracted) = (raw.archived, raw.extracted);
    Ok(XarData { offset, length, size, encoding, archived, extracted })
}

/// A hard link takes the data of the file that it names, and its path as the link's target.
/// Only a file that is no link itself may be named: chains and circles cannot be.
fn resolve_links(files: &mut [XarFile], links: &[Option<u64>], job: &Job) -> Result<()> {
    let mut by_id: HashMap<u64, usize> = HashMap::with_capacity(files.len());
    for (i, f) in files.iter().enumerate() {
        if by_id.insert(f.id, i).is_some() {
            return Err(Error::new(Code::XarLink, format!("two files have the id {}", f.id))
                .within(f.path.as_str()));
        }
    }
    for (i, link) in links.iter().enumerate() {
        let Some(id) = link else { continue };
        job.check()?;
        let original = by_id
            .get(id)
            .and_then(|i| files.get(*i))
            .map(|f| (f.kind, f.path.as_str().to_owned(), f.data.clone()));
        let Some(f) = files.get_mut(i) else { continue };
        match original {
            Some((EntryKind::File, path, data)) => {
                f.link = Some(path);
                f.data = data;
            }
            Some(_) => {
                return Err(Error::new(
                    Code::XarLink,
                    format!("is a hard link to the id {id}, which is not a regular file"),
                )
                .within(f.path.as_str()));
            }
            None => {
                return Err(Error::new(
                    Code::XarLink,
                    format!("is a hard link to the id {id}, which no file has"),
                )
                .within(f.path.as_str()));
            }
        }
    }
    Ok(())
}

/// Indexes of `files` by path; two files of one path are an error.
pub(crate) fn by_path(files: &[XarFile]) -> Result<Vec<usize>> {
    let mut order: Vec<usize> = (0..files.len()).collect();
    let path = |i: &usize| files.get(*i).map(|f| f.path.as_str());
    order.sort_unstable_by(|a, b| path(a).cmp(&path(b)));
    for (a, b) in order.iter().zip(order.iter().skip(1)) {
        if path(a) == path(b) {
            return Err(
                Error::new(Code::XarName, "two files have this path").within(path(a).unwrap_or(""))
            );
        }
    }
    Ok(order)
}

/// One used range of the heap.
#[derive(Clone, Copy)]
struct Range<'a> {
    offset: u64,
    length: u64,
    /// What the range is, for messages.
    what: &'a str,
    /// The digest of the stored bytes where ranges may be shared.
    digest: Option<&'a [u8]>,
}

/// The end of the last used range, and the ranges before it that nothing uses (offset and
/// length, in their order), counted from the start of the heap.
pub(crate) type Used = (u64, Vec<(u64, u64)>);

/// Checks that every range lies in the heap and that no two overlap, in O(n log n).
/// Two files may share one whole range when the table gives the same digest for both.
pub(crate) fn ranges(
    heap: u64,
    checksum: (u64, u64),
    signatures: &[XarSignature],
    files: &[XarFile],
    attributes: &[RawData],
) -> Result<Used> {
    let mut all =
        vec![Range { offset: checksum.0, length: checksum.1, what: "TOC checksum", digest: None }];
    all.extend(signatures.iter().map(|s| Range {
        offset: s.offset,
        length: s.size,
        what: "signature",
        digest: None,
    }));
    let own = files.iter().filter(|f| f.kind == EntryKind::File);
    all.extend(own.filter_map(|f| {
        let d = f.data.as_ref()?;
        let digest = d.archived.as_ref().or(d.extracted.as_ref());
        Some(Range {
            offset: d.offset,
            length: d.length,
            what: f.path.as_str(),
            digest: digest.map(|c| c.digest.as_slice()),
        })
    }));
    // Old writers describe attributes in other ways: only one with both numbers has a range.
    all.extend(attributes.iter().filter_map(|d| {
        Some(Range {
            offset: d.offset?,
            length: d.length?,
            what: "extended attribute",
            digest: d.archived.as_ref().or(d.extracted.as_ref()).map(|c| c.digest.as_slice()),
        })
    }));
    let mut used = 0;
    for r in &all {
        let end = r.offset.checked_add(r.length).filter(|e| *e <= heap).ok_or_else(|| {
            Error::new(
                Code::XarRange,
                format!("{} bytes from {} leave the heap of {heap} bytes", r.length, r.offset),
            )
            .within(r.what)
        })?;
        used = used.max(end);
    }
    all.retain(|r| r.length > 0);
    all.sort_unstable_by_key(|r| (r.offset, r.length));
    for (a, b) in all.iter().zip(all.iter().skip(1)) {
        let apart = a.offset.saturating_add(a.length) <= b.offset;
        let shared = (a.offset, a.length) == (b.offset, b.length)
            && a.digest.is_some()
            && a.digest == b.digest;
        if !apart && !shared {
            return Err(Error::new(
                Code::XarOverlap,
                format!(
                    "its heap range ({} bytes from {}) overlaps that of \"{}\" ({} bytes from {})",
                    b.length,
                    b.offset,
                    escape(a.what),
                    a.length,
                    a.offset
                ),
            )
            .within(b.what));
        }
    }
    let mut end = 0;
    let mut gaps = Vec::new();
    for r in &all {
        if r.offset > end {
            gaps.push((end, r.offset.saturating_sub(end)));
        }
        end = end.max(r.offset.saturating_add(r.length));
    }
    // An empty range may stand behind the last one that holds something.
    if used > end {
        gaps.push((end, used.saturating_sub(end)));
    }
    Ok((used, gaps))
}

/// Extended attributes that have a range of the heap.
pub(crate) fn attributes(raw: Vec<RawData>) -> Vec<XarAttribute> {
    raw.into_iter()
        .filter_map(|d| {
            let (offset, length) = (d.offset?, d.length?);
            Some(XarAttribute { offset, length, archived: d.archived })
        })
        .collect()
}

fn shorten(text: &str) -> String {
    let cut: String = text.chars().take(100).collect();
    escape(&cut)
}
