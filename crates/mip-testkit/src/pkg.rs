//! Builders of pkg data.
