//! A sparse bundle: a folder of bands, on disk or inside an archive.

use std::sync::Arc;

use mip_base::{Code, EntryKind, EntryPath, Error, Job, Result, Source};
use mip_disk::sparse::{Bands, band_name};

use crate::tree::{Tree, positioned};

/// The file that says how a bundle is laid out.
const INFO: &str = "Info.plist";
/// The folder of the bands.
const BANDS: &str = "bands";
/// The header of an encrypted bundle; empty in others.
const TOKEN: &str = "token";

/// A path of a bundle as a path of its tree.
fn at(root: Option<&EntryPath>, below: &str) -> String {
    root.map_or_else(|| below.to_owned(), |r| format!("{r}/{below}"))
}

/// Whether the folder at `root` is a sparse bundle: it has `Info.plist`, and `bands` or `token`.
pub(crate) fn is_bundle(tree: &dyn Tree, root: Option<&EntryPath>, job: &Job) -> Result<bool> {
    let file = |name| tree.get(&at(root, name)).is_some_and(|e| e.kind == EntryKind::File);
    let bands = EntryPath::new(&at(root, BANDS), job.limits())?;
    // An app has an Info.plist at its top too, in the flat layout.
    Ok(file(INFO) && (tree.listing().is_folder(&bands) || (file(TOKEN) && file("Info.bckup"))))
}

struct TreeBands {
    tree: Arc<dyn Tree>,
    folder: String,
    job: Job,
}

impl Bands for TreeBands {
    fn band(&self, index: u64) -> Result<Option<Source>> {
        match self.tree.find(&format!("{}/{}", self.folder, band_name(index))) {
            None => Ok(None),
            Some(i) => Ok(Some(Arc::new(positioned(self.tree.as_ref(), i, &self.job)?))),
        }
    }
}

/// What a bundle gives.
pub(super) struct Bundle {
    pub(super) info: Vec<u8>,
    pub(super) token: Option<Source>,
    pub(super) bands: Arc<dyn Bands>,
}

pub(super) fn open(tree: Arc<dyn Tree>, root: Option<&EntryPath>, job: &Job) -> Result<Bundle> {
    let find = |name: &str| {
        tree.find(&at(root, name))
            .filter(|i| tree.entries().get(*i).is_some_and(|e| e.kind == EntryKind::File))
    };
    let Some(info) = find(INFO) else {
        return Err(Error::new(Code::Sparse, "the bundle has no Info.plist"));
    };
    let info = tree.read(info, job.limits().plist_bytes, job)?;
    let size = |i: &usize| tree.entries().get(*i).map_or(0, |e| e.size);
    let token = match find(TOKEN).filter(|i| size(i) > 0) {
        Some(i) => Some(Arc::new(positioned(tree.as_ref(), i, job)?) as Source),
        None => None,
    };
    let bands = TreeBands { tree, folder: at(root, BANDS), job: job.clone() };
    Ok(Bundle { info, token, bands: Arc::new(bands) })
}
