//! Builders of xar data.
