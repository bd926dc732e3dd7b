//! Disk images: one file without listing the volume, or everything.

use mip_base::{Cursor, EntryKind, Error, Job, Result, Source};

use super::container::{is_in, within_budget};
use super::{ContentEntry, kind_word, no_entry, not_a_file, sha256};
use crate::disk_image::{DiskImage, ImageNode};
use crate::tree::{Tree as _, UseData};

/// As [`Container::list`](super::container::Container::list).
pub(super) fn list(
    image: &DiskImage,
    below: &str,
    hash: bool,
    job: &Job,
    visit: &mut dyn FnMut(ContentEntry) -> Result<()>,
) -> Result<()> {
    let Some((below, node)) = spelled(image, below, job)? else { return Ok(()) };
    if node.kind() != EntryKind::Directory {
        return visit(entry(&below, &node, image, hash, job)?);
    }
    let tree = image.tree(true, job)?;
    let wanted = |path: &str, kind| is_in(path, &below, kind);
    if hash {
        // Holes cost a small image nothing; to read them until the limit is reached would take minutes.
        let files = tree.entries().iter().filter(|e| wanted(e.path.as_str(), e.kind));
        within_budget("bytes of all files", files.fold(0, |n, e| n.saturating_add(e.size)), job)?;
    }
    for (index, e) in tree.listing().sorted() {
        job.check()?;
        if !wanted(e.path.as_str(), e.kind) {
            continue;
        }
        let node = tree.image_node(index, job)?;
        visit(entry(e.path.as_str(), &node, image, hash, job)?)?;
    }
    Ok(())
}

/// As [`Container::with_file`](super::container::Container::with_file).
pub(super) fn with_file(
    image: &DiskImage,
    path: &str,
    job: &Job,
    use_data: &mut UseData<'_>,
) -> Result<ContentEntry> {
    let (node, data) = open(image, path, job)?;
    within_budget("bytes of the file", node.size(), job).map_err(|e| e.within(path))?;
    use_data(&mut Cursor::new(data)).map_err(|e| e.within(path))?;
    entry(path, &node, image, false, job)
}

/// The file at `path`, and its bytes.
pub(super) fn open(image: &DiskImage, path: &str, job: &Job) -> Result<(ImageNode, Source)> {
    let node = image.find(path, job)?.ok_or_else(|| no_entry(path))?;
    match node.kind() {
        EntryKind::File => {
            let data = image.open_file(&node, job).map_err(|e| e.within(path))?;
            Ok((node, data))
        }
        EntryKind::Symlink => {
            Err(not_a_file(path, EntryKind::Symlink, Some(&image.read_link(&node, job)?)))
        }
        kind => Err(not_a_file(path, kind, None)),
    }
}

/// What is at `path`, with the path as the volume spells it: it may ignore case.
fn spelled(image: &DiskImage, path: &str, job: &Job) -> Result<Option<(String, ImageNode)>> {
    let Some(mut at) = image.find("", job)? else { return Ok(None) };
    let (mut asked, mut real) = (String::new(), String::new());
    for name in path.split('/').filter(|name| !name.is_empty()) {
        if at.kind() != EntryKind::Directory {
            return Ok(None);
        }
        asked = if asked.is_empty() { name.to_owned() } else { format!("{asked}/{name}") };
        let Some(next) = image.find(&asked, job)? else { return Ok(None) };
        let all = image.children(&at, job)?;
        let exact = all.iter().find(|(n, _)| n == name);
        let found = exact.or_else(|| all.iter().find(|(_, child)| child.is_same(&next)));
        let name = found.map_or(name, |(n, _)| n);
        real = if real.is_empty() { name.to_owned() } else { format!("{real}/{name}") };
        at = next;
    }
    Ok(Some((real, at)))
}

fn entry(
    path: &str,
    node: &ImageNode,
    image: &DiskImage,
    hash: bool,
    job: &Job,
) -> Result<ContentEntry> {
    let within = |e: Error| e.within(path);
    let kind = node.kind();
    let link = match kind {
        EntryKind::Symlink => Some(image.read_link(node, job).map_err(within)?),
        _ => None,
    };
    let sha256 = if hash && kind == EntryKind::File {
        within_budget("bytes of the file", node.size(), job).map_err(within)?;
        let mut data = Cursor::new(image.open_file(node, job).map_err(within)?);
        Some(sha256(&mut data, job).map_err(within)?)
    } else {
        None
    };
    let (uid, gid) = node.owner().unzip();
    Ok(ContentEntry {
        path: path.to_owned(),
        kind: kind_word(kind).to_owned(),
        mode: Some(node.mode()),
        uid,
        gid,
        bytes: if kind == EntryKind::File { node.size() } else { 0 },
        mtime: Some(node.mtime()),
        link,
        sha256,
    })
}
