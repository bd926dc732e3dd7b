//! Builders of cpio data.
