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

    /// Whether this is one of the file system's own entries, which macOS does not list.
    pub(crate) fn hides(&self, kind: EntryKind, id: u32) -> bool {
        match kind {
            EntryKind::Directory => Some(id) == self.files || Some(id) == self.folders,
            _ => self.journal.contains(&id),
        }
    }

    /// Follows a hard link; a record that is none comes back as it is.
    pub(crate) fn target(&self, volume: &Inner, r: Record, job: &Job) -> Result<Record> {
        let folder = match r.link {
            Link::None => return Ok(r),
            Link::File(_) => self.files,
            Link::Folder(_) => self.folders,
        };
        let found = match folder {
            Some(folder) => {
                let name: Vec<u16> = target_name(r.link).encode_utf16().collect();
                volume.record(folder, &name, job)?
            }
            None => None,
        };
        check(r.link, found)
    }
}

fn target_name(link: Link) -> String {
    match link {
        Link::None => String::new(),
        Link::File(n) => format!("iNode{n}"),
        Link::Folder(n) => format!("dir_{n}"),
    }
}

/// The target of a link, when it is what the link needs.
pub(crate) fn check(link: Link, found: Option<Record>) -> Result<Record> {
    let bad = |why: &str| {
        let name = target_name(link);
        Err(Error::new(Code::HfsLink, format!("a hard link to {name}, {why}")))
    };
    match found {
        None => bad("which does not exist"),
        Some(t) if t.link != Link::None => bad("which is a hard link itself"),
        Some(t) if matches!(link, Link::Folder(_)) != (t.kind == EntryKind::Directory) => {
            bad("which is of the wrong kind")
        }
        Some(t) => Ok(t),
    }
}
