//! The project's own small installers.

use crate::tree_files::Generated;

/// Everything below fixtures/ that is generated.
pub(crate) fn generate() -> Generated {
    Generated::default()
}
