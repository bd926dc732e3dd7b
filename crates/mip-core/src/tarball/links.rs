//! Which links may be carried: those that cannot lead out of the bundle.

use mip_base::{Code, EntryKind, EntryPath, Error, Result, escape};

use crate::tree::{Tree, TreeEntry};

/// A symbolic link at `path` below the bundle. Its text must stay inside, and may not go up
/// again (`..`) behind a step that is itself a link: where that leads, the text does not say.
/// Every other step down from inside the bundle stays inside, because every link does.
pub(super) fn check(
    tree: &dyn Tree,
    root: Option<&EntryPath>,
    path: &EntryPath,
    target: &str,
) -> Result<()> {
    let outside = || {
        let why = format!("is a link to \"{}\", which leads out of the bundle", escape(target));
        Err(Error::new(Code::PathUnsafe, why)
            .hint("make the link relative and keep it inside the bundle"))
    };
    if !path.link_stays_inside(target) {
        return outside();
    }
    // Up to the last `..` no step may be a link.
    let mut steps: Vec<&str> = target.split('/').filter(|s| !matches!(*s, "" | ".")).collect();
    let last_up = steps.iter().rposition(|s| *s == "..").map_or(0, |i| i.saturating_add(1));
    steps.truncate(last_up);
    let mut at: Vec<&str> = root.into_iter().flat_map(|r| r.components()).collect();
    at.extend(path.components());
    at.pop();
    for step in steps {
        if step == ".." {
            at.pop();
            continue;
        }
        at.push(step);
        let is_link = |e: &TreeEntry| e.kind == EntryKind::Symlink;
        if tree.get(&at.join("/")).is_some_and(is_link) {
            return outside();
        }
    }
    Ok(())
}

/// The target of a hard link below the bundle. The tree has checked that it is a file that was
/// written before the link.
pub(super) fn hard(root: Option<&EntryPath>, entry: &TreeEntry) -> Result<EntryPath> {
    let target = entry.link.as_deref().unwrap_or("");
    let inside = match root {
        Some(root) => target.strip_prefix(root.as_str()).and_then(|t| t.strip_prefix('/')),
        None => Some(target),
    };
    // The tree holds a valid path already, so no limit can be in the way.
    let limits = mip_base::Limits::default();
    match inside.map(|t| EntryPath::new(t, &limits)) {
        Some(Ok(path)) => Ok(path),
        _ => Err(Error::new(
            Code::PathUnsafe,
            format!("is a hard link to \"{}\", which is outside the bundle", escape(target)),
        )),
    }
}
