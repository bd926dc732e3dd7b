//! The classic resource fork: a header, the data of the resources, and a map of types, ids and
//! names (Inside Macintosh: More Macintosh Toolbox, "Resource File Format"). Big-endian.

use mip_base::bytes::{be_u16, be_u32, slice};
use mip_base::{Code, Error, Job, Result};

use crate::resources::Resource;

const HEADER: usize = 16;
/// Fixed fields of the map: a copy of the header, handles, attributes and two offsets.
const MAP_HEADER: usize = 28;
const TYPE: usize = 8;
const REFERENCE: usize = 12;

fn bad(why: &str) -> Error {
    Error::new(Code::DmgResources, format!("the resource fork is damaged: {why}"))
}

/// All resources of `fork`. What is kept is never more than the fork: a fork whose resources
/// together are longer than its data is refused.
pub(crate) fn read(fork: &[u8], job: &Job) -> Result<Vec<Resource>> {
    let word = |at| be_u32(fork, at).and_then(|n| usize::try_from(n).ok());
    let header = || Some((word(0)?, word(4)?, word(8)?, word(12)?));
    let (data_at, map_at, data_len, map_len) = header().ok_or_else(|| bad("it is cut"))?;
    let data = slice(fork, data_at, data_len).ok_or_else(|| bad("its data leave it"))?;
    let map = slice(fork, map_at, map_len).ok_or_else(|| bad("its map leaves it"))?;
    if data_at < HEADER || map_len < MAP_HEADER {
        return Err(bad("its header is not one"));
    }
    let half = |at: usize| be_u16(map, at).map(usize::from);
    let (types_at, names_at) = half(24).zip(half(26)).ok_or_else(|| bad("its map is too short"))?;
    // Counts are stored less one, so that 0xFFFF is none.
    let types = half(types_at).ok_or_else(|| bad("its list of types leaves the map"))?;
    let types = if types == 0xFFFF { 0 } else { types.saturating_add(1) };

    let mut out = Vec::new();
    let mut kept = 0_usize;
    for i in 0..types {
        job.check()?;
        let entry = types_at.saturating_add(2).saturating_add(i.saturating_mul(TYPE));
        let entry = slice(map, entry, TYPE).ok_or_else(|| bad("its list of types is cut"))?;
        let kind = *entry.first_chunk().ok_or_else(|| bad("its list of types is cut"))?;
        let count = be_u16(entry, 4).map_or(0, usize::from).saturating_add(1);
        let list = be_u16(entry, 6).map_or(0, usize::from).saturating_add(types_at);
        for j in 0..count {
            if out.len() > map_len / REFERENCE {
                return Err(bad("more references than its map has room for"));
            }
            let at = list.saturating_add(j.saturating_mul(REFERENCE));
            let r = slice(map, at, REFERENCE).ok_or_else(|| bad("a list of references is cut"))?;
            let id = be_u16(r, 0).map_or(0, u16::cast_signed);
            let name = be_u16(r, 2).map_or(0, usize::from);
            // One byte of attributes, three bytes of offset into the data.
            let offset = be_u32(r, 4).unwrap_or(0) & 0x00FF_FFFF;
            let body = body(data, offset).ok_or_else(|| bad("a resource leaves the data"))?;
            kept = kept.saturating_add(body.len());
            if kept > data_len {
                return Err(bad("its resources overlap"));
            }
            out.push(Resource {
                kind,
                id: i64::from(id),
                name: (name != 0xFFFF).then(|| pascal(map, names_at.saturating_add(name))),
                data: body.to_vec(),
            });
        }
    }
    Ok(out)
}

/// The resource at `offset` of the data: its length, then its bytes.
fn body(data: &[u8], offset: u32) -> Option<&[u8]> {
    let at = usize::try_from(offset).ok()?;
    let len = usize::try_from(be_u32(data, at)?).ok()?;
    slice(data, at.checked_add(4)?, len)
}

/// A length byte and that many bytes of MacRoman. A name that leaves the map is of no use and no harm.
fn pascal(map: &[u8], at: usize) -> String {
    let len = map.get(at).copied().map_or(0, usize::from);
    let bytes = slice(map, at.saturating_add(1), len).unwrap_or_default();
    crate::script::mac_roman(bytes)
}
