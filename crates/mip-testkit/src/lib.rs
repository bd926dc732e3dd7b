//! Builders of small installers, valid and broken, for the tests of the other crates.
//!
//! Written from the formats' descriptions and independent of the readers under test: this
//! crate depends on none of them, so a wrong idea cannot be both written and read back.

pub mod apfs;
pub mod app;
pub mod bom;
pub mod chunks;
pub mod cpio;
pub mod crypt;
pub mod fat;
pub mod heap;
pub mod hfs;
pub mod macho;
pub mod partition;
pub mod pkg;
pub mod shared;
pub mod sparse;
pub mod tree;
pub mod udif;
pub mod xar;

/// The SHA-256 of `bytes` in lower-case hexadecimal, as tools print it.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// Bytes and SHA-256 of all that `input` gives, read in pieces of an odd size.
///
/// # Panics
/// When reading fails.
pub fn digest(mut input: impl std::io::Read) -> (u64, String) {
    use sha2::Digest as _;
    let (mut hash, mut bytes, mut piece) = (sha2::Sha256::new(), 0, vec![0; 77_777]);
    loop {
        let n = input.read(&mut piece).expect("readable");
        if n == 0 {
            return (bytes, hash.finalize().iter().map(|b| format!("{b:02x}")).collect());
        }
        bytes += n as u64;
        hash.update(&piece[..n]);
    }
}

/// A guard against hanging, far above what a test needs on a busy machine; not a measurement.
///
/// # Panics
/// When more than a minute went by since `start`.
pub fn not_hanging(start: std::time::Instant) {
    let took = start.elapsed();
    assert!(took < std::time::Duration::from_secs(60), "took {took:?}");
}
