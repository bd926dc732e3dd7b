//! The rules that decide what an installer is: which app it is about, its identifier, name,
//! version and lowest macOS version. The reasons are in `docs/decisions/0005-metadata-rules.md`.

mod apps;
mod check;
mod decide;
mod primary;
pub mod rules;
mod version;

pub use apps::app_info;
pub use check::{check_id, check_name, check_version};
pub use decide::{decide, is_placeholder};
pub use primary::AppRank;
pub use version::{compare_versions, is_suspicious, is_usable};
