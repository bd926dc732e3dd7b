//! Object maps: from virtual object identifiers to blocks ("Object Maps").

use std::cmp::Ordering;

use mip_base::bytes::{le_u32, le_u64};
use mip_base::{Code, Error, Job, Result};

use crate::btree::Kind;
use crate::object::{Device, kind};
use crate::tree::{Names, Tree};

const DELETED: u32 = 1;
const ENCRYPTED: u32 = 4;
const NO_HEADER: u32 = 8;
/// `OMAP_ENCRYPTING`, `OMAP_DECRYPTING` and `OMAP_KEYROLLING`.
const IN_TRANSITION: u32 = 2 | 4 | 8;

/// An object map, seen at one transaction.
pub(crate) struct Omap {
    tree: Tree,
    /// The newest transaction that is seen.
    xid: u64,
}

/// Where a virtual object is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    pub(crate) block: u64,
    pub(crate) encrypted: bool,
}

impl Omap {
    /// Opens the object map in block `oid`.
    pub(crate) fn open(device: &Device, oid: u64, xid: u64, job: &Job) -> Result<Self> {
        let (header, data) = device.object(oid, job)?;
        if header.kind != kind::OMAP || header.oid != oid {
            return Err(Error::new(
                Code::ApfsObject,
                format!("block {oid} holds no object map but type {}", header.kind),
            )
            .at(device.shown(oid)));
        }
        let short = || Error::new(Code::ApfsObject, "an object map is too short");
        let flags = le_u32(&data, 0x20).ok_or_else(short)?;
        if flags & IN_TRANSITION != 0 {
            return Err(Error::new(
                Code::Unsupported,
                "an APFS volume that is being encrypted or decrypted is not supported",
            ));
        }
        let root = le_u64(&data, 0x30).ok_or_else(short)?;
        let tree = Tree::open(device.clone(), Kind::Omap, Names::Physical, root, None, job)
            .map_err(|e| e.within("object map"))?;
        Ok(Self { tree, xid })
    }

    /// The newest version of `oid` that is not newer than the map's transaction.
    pub(crate) fn find(&self, oid: u64, job: &Job) -> Result<Found> {
        let want = (Some(oid), Some(self.xid));
        let order = |k: &[u8]| (le_u64(k, 0), le_u64(k, 8)).cmp(&want);
        let cursor = self.tree.floor(order, job)?;
        let missing =
            || Error::new(Code::ApfsObject, format!("object {oid} is not in the object map"));
        let (key, value) = cursor.record()?.ok_or_else(missing)?;
        if le_u64(key, 0).cmp(&Some(oid)) != Ordering::Equal {
            return Err(missing());
        }
        let short = || Error::new(Code::ApfsObject, "an object map entry is too short");
        let flags = le_u32(value, 0).ok_or_else(short)?;
        let size = le_u32(value, 4).ok_or_else(short)?;
        let block = le_u64(value, 8).ok_or_else(short)?;
        if flags & DELETED != 0 {
            return Err(missing());
        }
        if flags & NO_HEADER != 0 || size != self.tree.device.block_size {
            return Err(Error::new(
                Code::ApfsObject,
                format!(
                    "object {oid} has {size} bytes and the flags {flags:#x}: not one block with a header"
                ),
            ));
        }
        Ok(Found { block, encrypted: flags & ENCRYPTED != 0 })
    }
}
