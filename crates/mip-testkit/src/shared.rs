//! Where the shared fixtures are, when they are there.

use std::path::PathBuf;

/// The folder of shared fixtures (`MIP_SHARED_FIXTURES`, else `../shared/fixtures` beside the
/// workspace); `None` when it is absent, after saying on stderr that `test` skips.
#[must_use]
pub fn fixtures(test: &str) -> Option<PathBuf> {
    let dir = std::env::var_os("MIP_SHARED_FIXTURES").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/fixtures")),
        PathBuf::from,
    );
    if dir.join("INDEX.tsv").is_file() {
        return Some(dir);
    }
    eprintln!("SKIPPED {test}: no shared fixtures at {}", dir.display());
    None
}

/// What independent tools read in the shared fixture `path` (`pkg-flat/arcade-test.pkg`).
///
/// # Panics
/// When the expectation is missing or not JSON: the fixtures are then not what the tests know.
#[must_use]
pub fn expected(dir: &std::path::Path, path: &str) -> serde_json::Value {
    let file = dir.join("expected").join(format!("{path}.json"));
    let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}
