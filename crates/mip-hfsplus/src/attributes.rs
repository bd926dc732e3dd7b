//! The attributes file: extended attributes (TN1150, "Attributes File").

use std::cmp::Ordering;

use mip_base::bytes::{be_u16, be_u32, slice};
use mip_base::{Code, Error, Job, Result, Source, len64, read_full_at};

use crate::btree::{BTree, Compare};
use crate::extents::{Extent, Fork, ForkSource, Geometry, blocks, extend, parse_extents};

const INLINE: u32 = 0x10;
const FORK_DATA: u32 = 0x20;
const EXTENTS: u32 = 0x30;

/// The parts of `HFSPlusAttrKey`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AttrKey {
    pub(crate) file: u32,
    pub(crate) start: u32,
    /// UTF-16 units.
    pub(crate) name: Vec<u16>,
}

impl AttrKey {
    pub(crate) fn parse(key: &[u8]) -> Result<Self> {
        let cut = || Error::new(Code::HfsRecord, "a key of the attributes file is cut");
        let file = be_u32(key, 2).ok_or_else(cut)?;
        let start = be_u32(key, 6).ok_or_else(cut)?;
        let units = usize::from(be_u16(key, 10).ok_or_else(cut)?);
        let text = slice(key, 12, units.saturating_mul(2)).ok_or_else(cut)?;
        Ok(Self { file, start, name: crate::names::units(text) })
    }

    /// The order of the tree: file, name (by unit), first block.
    fn order(&self, file: u32, name: &[u16], start: u32) -> Ordering {
        self.file
            .cmp(&file)
            .then_with(|| self.name.as_slice().cmp(name))
            .then_with(|| self.start.cmp(&start))
    }

    fn text(&self) -> Result<String> {
        String::from_utf16(&self.name).map_err(|_| {
            Error::new(
                Code::HfsRecord,
                format!("file {}: the name of an attribute is not Unicode", self.file),
            )
        })
    }
}

/// Where the value of an attribute is.
pub(crate) enum Value {
    Inline(Vec<u8>),
    Fork(Fork),
}

impl Value {
    pub(crate) fn size(&self) -> u64 {
        match self {
            Value::Inline(b) => len64(b.len()),
            Value::Fork(f) => f.size,
        }
    }

    /// Reads a record; `None` for the further extents of another one.
    fn parse(data: &[u8]) -> Result<Option<Self>> {
        let bad = |m: String| Error::new(Code::HfsRecord, m);
        let cut = || bad("an attribute record is cut".into());
        match be_u32(data, 0).ok_or_else(cut)? {
            INLINE => {
                let b = inline(data)
                    .ok_or_else(|| bad("an inline attribute leaves its record".into()))?;
                Ok(Some(Self::Inline(b.to_vec())))
            }
            FORK_DATA => Ok(Some(Self::Fork(Fork::parse(data, 8).ok_or_else(cut)?))),
            EXTENTS => Ok(None),
            other => Err(bad(format!("attribute record type 0x{other:x} is not known"))),
        }
    }
}

/// The value in an inline record (`HFSPlusAttrInlineData`); `None` for any other record.
pub(crate) fn inline(data: &[u8]) -> Option<&[u8]> {
    if be_u32(data, 0)? != INLINE {
        return None;
    }
    slice(data, 16, usize::try_from(be_u32(data, 12)?).ok()?)
}

/// The attributes file of a volume; `None` inside when it has none.
pub(crate) struct Attributes {
    pub(crate) tree: Option<BTree>,
}

impl Attributes {
    /// Name and size of each attribute of file `id`.
    pub(crate) fn list(&self, id: u32, job: &Job) -> Result<Vec<(String, u64)>> {
        let mut out = Vec::new();
        let Some(tree) = &self.tree else { return Ok(out) };
        let order: &Compare<'_> = &|k| Ok(AttrKey::parse(k)?.order(id, &[], 0));
        tree.range(job, order, &mut |key, data| {
            let key = AttrKey::parse(key)?;
            if key.file != id {
                return Ok(false);
            }
            if let Some(v) = Value::parse(data)? {
                let limit = job.limits().entries;
                if len64(out.len()) >= limit {
                    let n = limit.saturating_add(1);
                    return Err(Error::limit(Code::LimitEntries, "entries", limit, n));
                }
                out.push((key.text()?, v.size()));
            }
            Ok(true)
        })?;
        Ok(out)
    }

    /// The value of attribute `name` of file `id`.
    pub(crate) fn get(&self, id: u32, name: &[u16], job: &Job) -> Result<Option<Value>> {
        let Some(tree) = &self.tree else { return Ok(None) };
        let order: &Compare<'_> = &|k| Ok(AttrKey::parse(k)?.order(id, name, 0));
        Ok(tree.find(job, order, |_, data| Value::parse(data))?.flatten())
    }

    /// All extents of an attribute that has a fork: those of its record, then those of its
    /// extents records.
    fn extents(&self, id: u32, name: &[u16], fork: &Fork, job: &Job) -> Result<Vec<Extent>> {
        let mut out = fork.extents.to_vec();
        let (mut have, want) = (blocks(&out), u64::from(fork.blocks));
        let missing = |have: u64| {
            Error::new(
                Code::HfsExtent,
                format!("an attribute of file {id}: {want} blocks, but only {have} are described"),
            )
        };
        if have >= want {
            return Ok(out);
        }
        let Some(tree) = &self.tree else { return Err(missing(have)) };
        let first = u32::try_from(have).map_err(|_| missing(have))?;
        let order: &Compare<'_> = &|k| Ok(AttrKey::parse(k)?.order(id, name, first));
        tree.range(job, order, &mut |key, data| {
            let key = AttrKey::parse(key)?;
            if key.file != id || key.name != name || have >= want {
                return Ok(false);
            }
            let more = (be_u32(data, 0) == Some(EXTENTS)).then(|| parse_extents(data, 8)).flatten();
            let more = more.filter(|m| !m.is_empty() && u64::from(key.start) == have);
            let more = more.ok_or_else(|| missing(have))?;
            have = have.saturating_add(blocks(&more));
            extend(&mut out, &more)?;
            Ok(true)
        })?;
        if have < want { Err(missing(have)) } else { Ok(out) }
    }

    /// The bytes of a value, at most `limit` of them.
    pub(crate) fn read(
        &self,
        (volume, geometry): (&Source, &Geometry),
        (id, name): (u32, &[u16]),
        value: Value,
        limit: u64,
        job: &Job,
    ) -> Result<Vec<u8>> {
        let size = value.size();
        match value {
            Value::Inline(b) if size <= limit => Ok(b),
            Value::Inline(_) => {
                Err(Error::limit(Code::LimitMemory, "extended attribute", limit, size))
            }
            Value::Fork(fork) => {
                let extents = self.extents(id, name, &fork, job)?;
                let what = format!("an attribute of file {id}");
                let src = ForkSource::new(volume.clone(), geometry, &what, size, &extents, false)?;
                let mut out = job.buffer("extended attribute", size, limit)?;
                read_full_at(&src, 0, &mut out, Code::Truncated)?;
                Ok(out)
            }
        }
    }
}
