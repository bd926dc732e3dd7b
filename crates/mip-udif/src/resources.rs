//! The resources of an image, from the XML property list or the classic resource fork.

use std::fmt;

use mip_base::{Code, Error, Job, Result, Source, escape, escape_bytes, read_full_at};
use mip_plist::Value;

use crate::fork;
use crate::koly::Trailer;

/// One resource: a type of four characters, a number, and bytes.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resource {
    /// The type, for example `b"LPic"`.
    pub kind: [u8; 4],
    /// The number; unique per type in a well-made image.
    pub id: i64,
    /// The name.
    pub name: Option<String>,
    /// The bytes.
    pub data: Vec<u8>,
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = escape_bytes(&self.kind);
        write!(f, "{kind} {} {:?} ({} bytes)", self.id, self.name, self.data.len())
    }
}

/// The resources of an image, without its block tables.
#[derive(Debug, Clone, Default)]
pub struct Resources {
    all: Vec<Resource>,
}

impl Resources {
    /// All of them, in the order of the file.
    #[must_use]
    pub fn all(&self) -> &[Resource] {
        &self.all
    }

    /// The resource of a type and number.
    #[must_use]
    pub fn get(&self, kind: &[u8; 4], id: i64) -> Option<&Resource> {
        self.all.iter().find(|r| r.kind == *kind && r.id == id)
    }

    /// The resources of a type.
    pub fn of(&self, kind: &[u8; 4]) -> impl Iterator<Item = &Resource> {
        self.all.iter().filter(move |r| r.kind == *kind)
    }

    /// Reads the property list, or the resource fork of an image that has no list. Where both
    /// are present they say the same, and the list is what hdiutil reads.
    pub(crate) fn read(source: &Source, trailer: &Trailer, job: &Job) -> Result<Self> {
        let limit = job.limits().image_resources;
        let bytes = |what: &str, (at, len): (u64, u64)| {
            let mut b = job.buffer(what, len, limit).map_err(|e| e.at(at))?;
            read_full_at(source, at, &mut b, Code::DmgResources)?;
            Ok::<_, Error>(b)
        };
        if trailer.plist.1 != 0 {
            let at = trailer.plist.0;
            let list = bytes("property list of a disk image", trailer.plist)?;
            let within = |e: Error| e.within("property list");
            let value = mip_plist::read_limited(&list, limit, job).map_err(within)?;
            return from_plist(value).map_err(|e| e.at(at));
        }
        if trailer.resource_fork.1 != 0 {
            let at = trailer.resource_fork.0;
            let data = bytes("resource fork of a disk image", trailer.resource_fork)?;
            return Ok(Self { all: fork::read(&data, job).map_err(|e| e.at(at))? });
        }
        Ok(Self::default())
    }

    /// Takes the block tables out: they are kept in another form.
    pub(crate) fn take_tables(&mut self) -> Vec<Resource> {
        let (tables, rest) =
            std::mem::take(&mut self.all).into_iter().partition(|r| r.kind == *b"blkx");
        self.all = rest;
        tables
    }
}

/// `resource-fork` is a dictionary from type to an array of dictionaries with `ID`, `Name` and
/// `Data`.
fn from_plist(value: Value) -> Result<Resources> {
    let bad = |why: String| Error::new(Code::DmgResources, why);
    let Value::Dict(top) = value else {
        return Err(bad("the property list is not a dictionary".into()));
    };
    let Some((_, fork)) = top.into_iter().find(|(k, _)| k == "resource-fork") else {
        return Err(bad("the property list has no resource-fork".into()));
    };
    let Value::Dict(kinds) = fork else {
        return Err(bad(format!("resource-fork is {}, not a dictionary", fork.kind())));
    };
    let mut all = Vec::new();
    for (kind, list) in kinds {
        let shown = escape(&kind);
        let is_table = kind == "blkx";
        let Ok(kind) = <[u8; 4]>::try_from(kind.as_bytes()) else { continue };
        let Value::Array(items) = list else {
            if is_table {
                return Err(bad(format!("{shown} is {}, not an array", list.kind())));
            }
            continue;
        };
        for item in items {
            match resource(kind, item) {
                Some(r) => all.push(r),
                // What is not a block table never keeps an image from being read.
                None if is_table => {
                    return Err(bad(format!("a resource {shown} without ID or Data")));
                }
                None => {}
            }
        }
    }
    Ok(Resources { all })
}

fn resource(kind: [u8; 4], item: Value) -> Option<Resource> {
    let id = item.get("ID")?.scalar_text()?.trim().parse().ok()?;
    let text = |key| item.get(key).and_then(Value::as_str).filter(|n| !n.is_empty());
    let name = text("Name").or_else(|| text("CFName")).map(str::to_owned);
    let Value::Dict(entries) = item else { return None };
    let data = entries.into_iter().find(|(k, _)| k == "Data")?;
    let Value::Data(data) = data.1 else { return None };
    Some(Resource { kind, id, name, data })
}
