//! Installer packages: flat packages and old bundle-style ones.

pub mod distribution;
pub mod package_info;
pub mod strings;
mod xml;
