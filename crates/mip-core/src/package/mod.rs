//! Installer packages: flat packages and old bundle-style ones.

pub mod bundle;
pub mod distribution;
mod examine;
mod flat;
pub mod package_info;
mod payload;
pub mod strings;
mod xml;

pub use examine::PackageFindings;
pub use flat::FlatPackage;
pub use payload::PayloadScan;
