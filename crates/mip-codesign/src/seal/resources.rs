//! `_CodeSignature/CodeResources`: what was sealed.

use std::collections::BTreeMap;

use mip_base::{Code, Error, Job, Result, escape, hex};
use mip_plist::Value;

use super::rules::Rules;

/// What stands at a sealed path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sealed {
    /// A file, by its digests.
    File(Vec<(Digest, Vec<u8>)>),
    /// A symbolic link, by its target.
    Link(String),
    /// A program or a bundle with a signature of its own.
    Code {
        /// Its CDHash, lower-case hex, where it is given.
        cdhash: Option<String>,
        /// The requirement that it must meet.
        requirement: String,
    },
}

/// A digest that files are sealed with: the key `hash` and the number of a hash type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Digest {
    Sha1,
    Sha256,
    Sha384,
}

impl Digest {
    fn of_key(key: &str) -> Option<(Self, usize)> {
        match key {
            "hash" => Some((Self::Sha1, 20)),
            "hash2" => Some((Self::Sha256, 32)),
            "hash4" => Some((Self::Sha384, 48)),
            _ => None,
        }
    }
}

/// An entry of the seal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) what: Sealed,
    /// It need not be there.
    pub(super) optional: bool,
}

/// The seal of one bundle.
#[derive(Debug)]
pub(super) struct Resources {
    /// 2 (`files2`, `rules2`), or 1 where those are missing. A seal of version 1 says nothing of
    /// code inside, and of most files outside `Resources`.
    pub(super) version: u8,
    pub(super) files: BTreeMap<String, Entry>,
    pub(super) rules: Rules,
}

impl Resources {
    /// Reads a `CodeResources` property list.
    ///
    /// # Errors
    /// The codes of [`mip_plist::read`]; [`Code::CodeSignature`] for what is missing or of the
    /// wrong kind; [`Code::Unsupported`] for rules that cannot be used; limits.
    pub(super) fn read(bytes: &[u8], job: &Job) -> Result<Self> {
        let bad = |why: &str| Error::new(Code::CodeSignature, why.to_owned());
        let list = mip_plist::read(bytes, job)?;
        let (version, rules, files) = match list.get("files2") {
            Some(files) => (2, list.get("rules2"), Some(files)),
            None => (1, list.get("rules"), list.get("files")),
        };
        let rules =
            rules.and_then(Value::as_dict).ok_or_else(|| bad("there are no resource rules"))?;
        let rules = Rules::read(rules, job)?;
        let list =
            files.and_then(Value::as_dict).ok_or_else(|| bad("there is no list of files"))?;
        let mut files = BTreeMap::new();
        for (path, value) in list {
            job.check()?;
            let entry = entry(value).ok_or_else(|| {
                let why = format!("what is sealed at \"{}\" makes no sense", escape(path));
                Error::new(Code::CodeSignature, why)
            })?;
            files.insert(path.clone(), entry);
        }
        Ok(Self { version, files, rules })
    }
}

fn entry(value: &Value) -> Option<Entry> {
    if let Value::Data(hash) = value {
        let hash = (hash.len() == 20).then(|| hash.clone())?;
        return Some(Entry { what: Sealed::File(vec![(Digest::Sha1, hash)]), optional: false });
    }
    let keys = value.as_dict()?;
    let (mut digests, mut link, mut cdhash, mut requirement) = (Vec::new(), None, None, None);
    let mut optional = false;
    for (key, value) in keys {
        match (key.as_str(), value) {
            ("optional", Value::Boolean(yes)) => optional = *yes,
            ("symlink", Value::String(target)) => link = Some(target.clone()),
            ("requirement", Value::String(text)) => requirement = Some(text.clone()),
            ("cdhash", Value::Data(d)) => cdhash = Some(hex(d)),
            (key, Value::Data(d)) => {
                let Some((digest, len)) = Digest::of_key(key) else { continue };
                digests.push((digest, (d.len() == len).then(|| d.clone())?));
            }
            ("optional" | "symlink" | "requirement" | "cdhash" | "hash" | "hash2" | "hash4", _) => {
                return None;
            }
            _ => {}
        }
    }
    let what = match (requirement, link) {
        (Some(requirement), _) => Sealed::Code { cdhash, requirement },
        (None, Some(target)) => Sealed::Link(target),
        (None, None) if digests.is_empty() => return None,
        (None, None) => Sealed::File(digests),
    };
    Some(Entry { what, optional })
}
