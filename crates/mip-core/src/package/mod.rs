//! Installer packages: flat packages and old bundle-style ones.

pub mod bundle;
pub mod distribution;
mod examine;
mod flat;
mod look;
pub mod package_info;
pub(crate) mod payload;
pub mod strings;
mod xml;

pub use flat::FlatPackage;
pub use look::PackageFindings;
pub use payload::PayloadScan;
