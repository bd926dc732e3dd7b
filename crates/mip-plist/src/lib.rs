//! Property lists, XML and binary, read under limits.
//!
//! Own readers, because a plist is an easy place for a bomb: values shared in a binary plist can
//! multiply without end, and nesting can exhaust the stack when read or when dropped. Here every
//! visit of a value, every level and every byte produced is counted.
//!
//! ```
//! use mip_base::Job;
//!
//! # fn main() -> mip_base::Result<()> {
//! let text = b"<plist><dict><key>CFBundleName</key><string>Tool</string></dict></plist>";
//! let list = mip_plist::read(text, &Job::default())?;
//! assert_eq!(list.get("CFBundleName").and_then(|v| v.as_str()), Some("Tool"));
//! # Ok(())
//! # }
//! ```

#![cfg_attr(
    test,
    allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation, clippy::string_slice)
)]

mod binary;
mod encoding;
mod xml;

use std::collections::HashMap;

use mip_base::{Code, Error, Job, Result, escape, len64};

/// A value of a property list.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Text.
    String(String),
    /// A whole number.
    Integer(i128),
    /// A finite number.
    Real(f64),
    /// True or false.
    Boolean(bool),
    /// Bytes.
    Data(Vec<u8>),
    /// A moment, as `2026-11-22T18:41:19Z`.
    Date(String),
    /// Values in order.
    Array(Vec<Value>),
    /// Keys and values in the order of the file; keys are unique.
    Dict(Vec<(String, Value)>),
}

impl Value {
    /// The value of `key`, where this is a dictionary that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_dict()?.iter().find(|(k, _)| k == key).map(|(_, v)| v)
    }

    /// The entries of a dictionary.
    #[must_use]
    pub fn as_dict(&self) -> Option<&[(String, Value)]> {
        match self {
            Value::Dict(d) => Some(d),
            _ => None,
        }
    }

    /// The values of an array.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Value::Array(a) => Some(a),
            _ => None,
        }
    }

    /// The text of a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(s) => Some(s),
            _ => None,
        }
    }

    /// Whether this says yes, as AppKit reads it: `true`, a number that is not 0, "1", "YES", "true".
    #[must_use]
    pub fn is_true(&self) -> bool {
        match self {
            Value::Boolean(b) => *b,
            Value::Integer(i) => *i != 0,
            Value::Real(r) => *r != 0.0,
            Value::String(s) => {
                ["1", "yes", "true"].iter().any(|yes| s.trim().eq_ignore_ascii_case(yes))
            }
            _ => false,
        }
    }

    /// The text of a string or number: versions are at times written as numbers.
    #[must_use]
    pub fn scalar_text(&self) -> Option<String> {
        match self {
            Value::String(s) => Some(s.clone()),
            Value::Integer(i) => Some(i.to_string()),
            Value::Real(r) => Some(r.to_string()),
            _ => None,
        }
    }

    /// What kind of value this is, in words.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Value::String(_) => "a string",
            Value::Integer(_) => "an integer",
            Value::Real(_) => "a real",
            Value::Boolean(_) => "a boolean",
            Value::Data(_) => "data",
            Value::Date(_) => "a date",
            Value::Array(_) => "an array",
            Value::Dict(_) => "a dictionary",
        }
    }
}

/// Reads a property list: binary (`bplist00`), or XML in UTF-8.
///
/// # Errors
/// [`Code::Plist`] for what breaks the format; [`Code::PlistDupKey`] for a key that is given
/// twice with different values; [`Code::XmlDtd`] for a document type that is not Apple's, and for
/// entities; [`Code::Unsupported`] for old-style (text) property lists and for encodings other than
/// UTF-8, UTF-16 and ISO-8859-1;
/// [`Code::Limit`], [`Code::LimitDepth`] for [`Limits::plist_bytes`](mip_base::Limits::plist_bytes),
/// [`plist_visits`](mip_base::Limits::plist_visits), [`plist_depth`](mip_base::Limits::plist_depth).
pub fn read(data: &[u8], job: &Job) -> Result<Value> {
    read_limited(data, job.limits().plist_bytes, job)
}

/// Reads a property list of at most `limit` bytes, in place of
/// [`Limits::plist_bytes`](mip_base::Limits::plist_bytes): for lists that carry large data.
///
/// # Errors
/// As for [`read`].
pub fn read_limited(data: &[u8], limit: u64, job: &Job) -> Result<Value> {
    let len = len64(data.len());
    if len > limit {
        return Err(Error::limit(Code::Limit, "plist-bytes", limit, len));
    }
    let mut budget = Budget { visits: 0, bytes: 0, limit, job };
    if data.starts_with(b"bplist") {
        return binary::read(data, &mut budget);
    }
    let not_read = |what: &str| {
        Err(Error::new(Code::Unsupported, format!("a property list {what}"))
            .hint("convert it with `plutil -convert xml1`"))
    };
    let decoded = encoding::to_utf8(data)?;
    let text = decoded.as_deref().unwrap_or(data);
    let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
    match text.trim_ascii_start() {
        [] => Err(Error::new(Code::Plist, "the property list is empty")),
        [b'<', b'/' | b'!' | b'?' | b'a'..=b'z' | b'A'..=b'Z', ..] => xml::read(text, &mut budget),
        [b'{' | b'(' | b'"' | b'<', ..] | [b'/', b'/' | b'*', ..] => {
            not_read("in the old text style (NeXT)")
        }
        _ => Err(Error::new(Code::Plist, "is not a property list")),
    }
}

/// What reading one property list may still cost.
struct Budget<'j> {
    visits: u64,
    bytes: u64,
    /// Most bytes of the list as stored.
    limit: u64,
    job: &'j Job,
}

impl Budget<'_> {
    /// One value is visited at `depth` (the top is 0).
    fn visit(&mut self, depth: usize) -> Result<()> {
        let limits = self.job.limits();
        self.visits = self.visits.saturating_add(1);
        if self.visits > limits.plist_visits {
            return Err(Error::limit(
                Code::Limit,
                "plist-visits",
                limits.plist_visits,
                self.visits,
            ));
        }
        let depth = len64(depth);
        if depth > limits.plist_depth {
            return Err(Error::limit(Code::LimitDepth, "plist-depth", limits.plist_depth, depth));
        }
        if self.visits & 0xFFF == 0 {
            self.job.check()?;
        }
        Ok(())
    }

    /// `bytes` of text or data are kept. Values shared in a binary plist count each time.
    fn keep(&mut self, bytes: usize) -> Result<()> {
        let limit = self.limit.saturating_mul(2);
        self.bytes = self.bytes.saturating_add(len64(bytes));
        if self.bytes > limit {
            return Err(Error::limit(
                Code::Limit,
                "bytes of all values of a property list",
                limit,
                self.bytes,
            ));
        }
        Ok(())
    }
}

/// A dictionary whose keys are unique: one that is repeated with the same value is kept once.
fn unique(entries: Vec<(String, Value)>) -> Result<Value> {
    let mut repeated = Vec::new();
    {
        let mut first: HashMap<&str, &Value> = HashMap::with_capacity(entries.len());
        for (i, (key, value)) in entries.iter().enumerate() {
            match first.get(key.as_str()) {
                None => {
                    first.insert(key, value);
                }
                Some(v) if *v == value => repeated.push(i),
                Some(_) => {
                    let why =
                        format!("the key \"{}\" is given twice with different values", escape(key));
                    return Err(Error::new(Code::PlistDupKey, why));
                }
            }
        }
    }
    let mut repeated = repeated.into_iter().peekable();
    let kept = entries.into_iter().enumerate();
    Ok(Value::Dict(
        kept.filter(|(i, _)| repeated.next_if_eq(i).is_none()).map(|(_, e)| e).collect(),
    ))
}

#[cfg(test)]
mod tests;
