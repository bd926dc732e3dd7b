//! Paths of entries inside containers.

use std::fmt;

use crate::{Code, Error, Limits, Result, escape, escape_bytes};

/// What stands between a container and a path inside it, everywhere: in messages, in
/// provenance and on the command line (`image.dmg//Tool.pkg//Payload//usr/bin/tool`).
/// An [`EntryPath`] has no empty component, so the separator cannot occur inside one.
pub const CONTAINER_STEP: &str = "//";

/// A relative path of normal components: UTF-8, separated by `/`, never empty, no `.`, `..`,
/// NUL or empty component. Joining it to a folder cannot leave that folder (symbolic links
/// on the way are the joiner's concern).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryPath(Box<str>);

impl EntryPath {
    /// Parses a path as archives spell it: a leading `./` and trailing slashes are dropped.
    /// Returns `Ok(None)` for the root itself (`.`, `./`, empty).
    ///
    /// # Errors
    /// [`Code::PathUnsafe`] for an absolute path, `..`, an inner `.` or empty component, NUL,
    /// bytes that are not UTF-8, or a path over the limits of bytes, component bytes or depth.
    pub fn parse(raw: &[u8], limits: &Limits) -> Result<Option<Self>> {
        let bad = |why: &str| {
            Err(Error::new(Code::PathUnsafe, format!("the name \"{}\" {why}", shorten(raw))))
        };
        let Ok(text) = std::str::from_utf8(raw) else { return bad("is not UTF-8") };
        let mut rest = text;
        while let Some(r) = rest.strip_prefix("./") {
            rest = r;
        }
        let rest = rest.trim_end_matches('/');
        if rest.is_empty() || rest == "." {
            return if text.starts_with('/') { bad("is absolute") } else { Ok(None) };
        }
        if rest.starts_with('/') {
            return bad("is absolute");
        }
        if crate::len64(rest.len()) > limits.path_bytes {
            return bad("is longer than the limit");
        }
        let mut depth: u64 = 0;
        for c in rest.split('/') {
            depth = depth.saturating_add(1);
            match c {
                "" => return bad("has an empty component"),
                "." | ".." => return bad("has a component that is not a name"),
                _ if c.contains('\0') => return bad("holds a NUL"),
                _ if crate::len64(c.len()) > limits.component_bytes => {
                    return bad("has a component over the limit");
                }
                _ => {}
            }
        }
        if depth > limits.path_depth {
            return bad("is deeper than the limit");
        }
        Ok(Some(Self(rest.into())))
    }

    /// As [`parse`](Self::parse), but the root itself is an error too.
    ///
    /// # Errors
    /// See [`parse`](Self::parse).
    pub fn new(text: &str, limits: &Limits) -> Result<Self> {
        Self::parse(text.as_bytes(), limits)?.ok_or_else(|| {
            Error::new(Code::PathUnsafe, format!("the name \"{}\" names nothing", escape(text)))
        })
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The components, outermost first.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// The last component.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The path without its last component; `None` at the top.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('/').map(|(p, _)| Self(p.into()))
    }

    /// This path below `prefix`, if it is; `None` for `prefix` itself.
    #[must_use]
    pub fn below(&self, prefix: &EntryPath) -> Option<Self> {
        self.0
            .strip_prefix(prefix.as_str())
            .and_then(|r| r.strip_prefix('/'))
            .map(|r| Self(r.into()))
    }

    /// `self/other`, without checking the limits again.
    #[must_use]
    pub fn join(&self, other: &EntryPath) -> Self {
        Self(format!("{}/{}", self.0, other.0).into())
    }

    /// Whether a symbolic link at this path with `target` stays inside the tree that this
    /// path belongs to, judged by the text alone.
    #[must_use]
    pub fn link_stays_inside(&self, target: &str) -> bool {
        if target.is_empty() || target.starts_with('/') || target.contains('\0') {
            return false;
        }
        let mut depth = self.components().count().saturating_sub(1);
        for c in target.split('/') {
            match c {
                "" | "." => {}
                ".." => match depth.checked_sub(1) {
                    Some(d) => depth = d,
                    None => return false,
                },
                _ => depth = depth.saturating_add(1),
            }
        }
        true
    }
}

impl fmt::Display for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for EntryPath {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

fn shorten(raw: &[u8]) -> String {
    let cut = raw.get(..200).unwrap_or(raw);
    let mut s = escape_bytes(cut);
    if cut.len() < raw.len() {
        s.push('…');
    }
    s
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p(s: &str) -> Result<Option<EntryPath>> {
        EntryPath::parse(s.as_bytes(), &Limits::default())
    }

    #[test]
    fn accepts_what_archives_write() {
        assert_eq!(p("./a/b/").unwrap().unwrap().as_str(), "a/b");
        assert_eq!(p(".").unwrap(), None);
        assert_eq!(p("./").unwrap(), None);
        assert_eq!(p("a..b/...").unwrap().unwrap().as_str(), "a..b/...");
    }

    #[test]
    fn refuses_what_leaves_the_folder() {
        for bad in ["/", "/x", "../x", "a/../../x", "a/./b", "a//b", "a\0b", "..", ".//x"] {
            assert_eq!(p(bad).unwrap_err().code(), Code::PathUnsafe, "{bad:?}");
        }
        let e = EntryPath::parse(b"a\xff", &Limits::default()).unwrap_err();
        assert_eq!(e.code(), Code::PathUnsafe);
    }

    #[test]
    fn limits_hold_at_their_edge() {
        assert!(p(&("d/".repeat(63) + "x")).is_ok());
        assert!(p(&("d/".repeat(64) + "x")).is_err());
        assert!(p(&"x".repeat(255)).is_ok());
        assert!(p(&"x".repeat(256)).is_err());
        let long = format!("{}/{}", vec!["y".repeat(255); 4].join("/"), "z");
        assert_eq!(long.len(), 1025);
        assert!(p(&long).is_err());
        assert!(p(&long[..1023]).is_ok());
    }

    #[test]
    fn links_are_judged_from_where_they_stand() {
        let at = p("A.app/Contents/x").unwrap().unwrap();
        assert!(at.link_stays_inside("../../A.app/y"));
        assert!(!at.link_stays_inside("../../../etc/passwd"));
        assert!(!at.link_stays_inside("/etc/passwd"));
        assert!(!at.link_stays_inside(""));
    }
}
