//! The whole volume, parents before children.

use mip_base::{EntryKind, Job, Result};

use crate::volume::{Found, Volume};

impl Volume {
    /// Every entry but the root folder: parents before children, siblings in the order of the
    /// bytes of their names.
    ///
    /// # Errors
    /// Codes of a damaged volume; what `visit` reports.
    pub fn walk(&self, job: &Job, visit: &mut dyn FnMut(Found) -> Result<()>) -> Result<()> {
        let mut todo = vec![(String::new(), self.children(&self.root(), job)?.into_iter())];
        while let Some((at, children)) = todo.last_mut() {
            let Some((name, node)) = children.next() else {
                todo.pop();
                continue;
            };
            let path = format!("{at}{name}");
            let below = (node.kind == EntryKind::Directory)
                .then(|| {
                    Ok::<_, mip_base::Error>((
                        format!("{path}/"),
                        self.children(&node, job)?.into_iter(),
                    ))
                })
                .transpose()?;
            visit(Found { path, node })?;
            todo.extend(below);
        }
        Ok(())
    }
}
