//! Hard links: files to `iNode<n>`, folders to `dir_<n>` in the private folders of the root
//! (TN1150, "Hard Links").

use mip_base::{Code, EntryKind, Error, Job, Result};

use crate::btree::BTree;
use crate::catalog::{Link, ROOT, Record};
use crate::names::NameOrder;
use crate::volume::{Inner, record};

/// Folder of the targets of links to files.
pub(crate) const FILES: &str = "\0\0\0\0HFS+ Private Data";
/// Folder of the targets of links to folders.
pub(crate) const FOLDERS: &str = ".HFS+ Private Directory Data\r";
/// Files of the journal, in the root folder.
const JOURNAL: [&str; 2] = [".journal", ".journal_info_block"];

/// CNIDs of what belongs to the file system itself.
#[derive(Debug, Default)]
pub(crate) struct Private {
    pub(crate) files: Option<u32>,
    pub(crate) folders: Option<u32>,
    journal: Vec<u32>,
}

impl Private {
    pub(crate) fn find(
        catalog: &BTree,
        order: NameOrder,
        journaled: bool,
        job: &Job,
    ) -> Result<Self> {
        let id = |name: &str, kind: EntryKind| {
            let name: Vec<u16> = name.encode_utf16().collect();
            let r = record(catalog, order, ROOT, &name, job)?;
            Ok::<_, Error>(r.filter(|r| r.kind == kind).map(|r| r.id))
        };
        let mut out = Self {
            files: id(FILES, EntryKind::Directory)?,
            folders: id(FOLDERS, EntryKind::Directory)?,
            journal: Vec::new(),
        };
        if journaled {
            for name in JOURNAL {
                out.journal.extend(id(name, EntryKind::File)?);
            }
        }
        Ok(out)
    }

    /// Whether `r` is one of the file system's own entries, which macOS does not list.
    pub(crate) fn hides(&self, r: &Record) -> bool {
        match r.kind {
            EntryKind::Directory => Some(r.id) == self.files || Some(r.id) == self.folders,
            _ => self.journal.contains(&r.id),
        }
    }

    /// Follows a hard link; a record that is none comes back as it is.
    pub(crate) fn target(&self, volume: &Inner, r: Record, job: &Job) -> Result<Record> {
        let (folder, name) = match r.link {
            Link::None => return Ok(r),
            Link::File(n) => (self.files, format!("iNode{n}")),
            Link::Folder(n) => (self.folders, format!("dir_{n}")),
        };
        let units: Vec<u16> = name.encode_utf16().collect();
        let found = match folder {
            Some(folder) => volume.record(folder, &units, job)?,
            None => None,
        };
        check(r.link, &name, found)
    }
}

/// The target of a link, when it is what the link needs.
pub(crate) fn check(link: Link, name: &str, found: Option<Record>) -> Result<Record> {
    let bad = |why: &str| Err(Error::new(Code::HfsLink, format!("a hard link to {name}, {why}")));
    match found {
        None => bad("which does not exist"),
        Some(t) if t.link != Link::None => bad("which is a hard link itself"),
        Some(t) if matches!(link, Link::Folder(_)) != (t.kind == EntryKind::Directory) => {
            bad("which is of the wrong kind")
        }
        Some(t) => Ok(t),
    }
}
