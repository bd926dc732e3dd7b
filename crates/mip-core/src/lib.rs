//! Inspect macOS installers, convert them into signed MIP archives, verify and unpack those.
#![cfg_attr(
    test,
    allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation, clippy::string_slice)
)]

pub mod app;
mod convert;
pub mod icon;
mod input;
mod inspect;
pub mod inspection;
mod manifest;
pub mod metadata;
mod output;
pub mod package;
pub mod plist;
mod probe;
pub mod report;
pub mod tarball;
pub mod tree;
mod verify;

pub use convert::Convert;
pub use input::Input;
pub use inspect::{InspectOptions, inspect};
pub use inspection::{Inspection, inspection_schema};
pub use mip_base::{
    CODES, CONTAINER_STEP, CancelToken, Code, CodeInfo, EntryPath, Error, Event, FileAt, Job, Kind,
    Limits, MemoryFile, Phase, Progress, ReadAt, Result, SilentProgress, Source, WriteAt, escape,
};
pub use output::Output;
pub use package::PayloadScan;
pub use probe::{FORMATS, Format, FormatInfo, TarCompression};
pub use report::{
    EntryReport, Extraction, Level, Listing, PayloadReport, Problem, ProductReport, Report,
    SignReport, SignerReport, Verification,
};
pub use verify::{Access, SignHow, VerifyPolicy, extract, extract_entry, list, sign, verify};

/// Keys, certificates and throw-away identities.
pub mod signing {
    pub use mip_signing::{
        Anchors, CertificateInfo, FileSigner, IdentityOptions, KeyAlgorithm, Password,
        SignatureAlgorithm, Signer, TestIdentity, Trust, check_signer, create_identity,
    };
}
