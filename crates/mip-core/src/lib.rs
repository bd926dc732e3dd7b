//! Inspect macOS installers, convert them into signed MIP archives, verify and unpack those.
//!
//! This is the library under the `mip` command, for servers and pipelines that want it inside
//! their own process. Five verbs, each one call: [`inspect`], [`Convert::run`], [`verify`],
//! [`extract`] (and [`extract_entry`]), [`sign`]; [`list`] reads a directory without judging it.
//! Of an inspection, [`html_report`] makes a page, [`detection_script`] and [`uninstall_script`]
//! make scripts; [`apple_manifest`] makes what Apple's own MDM channel asks for.
//! Every call takes an [`Input`] and a [`Job`], and gives a plain struct that serialises to the
//! JSON that the command line prints ([`schemas`]).
//!
//! The root of the crate, [`inspection`] and [`signing`] are what an embedder needs. The other
//! modules are the parts that these are made of; they may change without notice.
//!
//! # Inspect
//!
//! ```
//! use mip_core::{Input, InspectOptions, Job, inspect};
//!
//! let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures");
//! let input = Input::path(format!("{fixtures}/pkg/distribution/Sample.pkg"));
//! let found = inspect(&input, &InspectOptions::new(), &Job::default())?;
//! let version = found.identity.version.expect("this package has one");
//! // Every value says where it was read and which rule chose it.
//! println!("{} from {} by rule {}", version.value, version.source.place, version.source.rule);
//! # assert!(!version.value.is_empty() && !version.source.rule.is_empty());
//! # Ok::<(), mip_core::Error>(())
//! ```
//!
//! # Convert
//!
//! Bytes in memory, a key, the limits for strangers' uploads, progress, and a token that any
//! other thread may cancel. The output here is memory too; [`Output::file`] and
//! [`Output::folder`] write a file that appears whole or not at all.
//!
//! ```
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicU64, Ordering};
//! use mip_core::signing::{FileSigner, IdentityOptions, create_identity};
//! use mip_core::{
//!     CancelToken, Code, Convert, Event, Input, Job, Limits, MemoryFile, Output, Progress,
//! };
//!
//! #[derive(Default)]
//! struct Done(AtomicU64);
//!
//! impl Progress for Done {
//!     fn report(&self, event: Event) {
//!         if let Event::Advanced { bytes, .. } = event {
//!             self.0.fetch_add(bytes, Ordering::Relaxed);
//!         }
//!     }
//! }
//!
//! # let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures");
//! # let upload: Vec<u8> = std::fs::read(format!("{fixtures}/app/zip/Sample.app.zip")).unwrap();
//! // `upload` is a Vec<u8>; any other ReadAt (a file, an object store) works the same way.
//! let input = Input::source("Sample.app.zip", Arc::new(upload));
//!
//! // A throw-away key. A real one is a Signer of yours, or FileSigner over PEM or PKCS#12.
//! let identity = create_identity(&IdentityOptions::new("docs"))?;
//! let signer = FileSigner::from_pem(
//!     identity.key_pem.as_bytes(),
//!     identity.certificate_pem.as_bytes(),
//!     None,
//!     &Limits::default(),
//! )?;
//! let convert = Convert::new().signer(Arc::new(signer)).threads(2);
//!
//! let (cancel, progress) = (CancelToken::new(), Arc::new(Done::default()));
//! let job = Job::new(Limits::strict(), cancel.clone(), progress.clone());
//! let out = Arc::new(MemoryFile::new());
//! let report = convert.run(&input, &Output::sink(out.clone()), &job)?;
//! assert_eq!(report.bytes, out.to_vec().len() as u64);
//! assert!(progress.0.load(Ordering::Relaxed) > 0);
//!
//! // Cancelled from another thread, a call ends with E_CANCELLED; nothing is published.
//! std::thread::spawn(move || cancel.cancel()).join().unwrap();
//! let e = convert.run(&input, &Output::sink(Arc::new(MemoryFile::new())), &job).unwrap_err();
//! assert_eq!(e.code(), Code::Cancelled);
//! # Ok::<(), mip_core::Error>(())
//! ```
//!
//! # Verify
//!
//! Trust is explicit: without anchors, the best answer is "intact and signed, signer unknown".
//!
//! ```
//! use mip_core::signing::Anchors;
//! use mip_core::{Input, Job, Kind, Level, VerifyPolicy, verify};
//!
//! # use std::sync::Arc;
//! # use mip_core::{Convert, Limits, MemoryFile, Output};
//! # use mip_core::signing::{FileSigner, IdentityOptions, create_identity};
//! # let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures");
//! # let made = create_identity(&IdentityOptions::new("docs"))?;
//! # let (key, chain) = (made.key_pem.as_bytes(), made.certificate_pem.as_bytes());
//! # let signer = Arc::new(FileSigner::from_pem(key, chain, None, &Limits::default())?);
//! # let out = Arc::new(MemoryFile::new());
//! # let input = Input::path(format!("{fixtures}/pkg/distribution/Sample.pkg"));
//! # Convert::new().signer(signer).run(&input, &Output::sink(out.clone()), &Job::default())?;
//! # let archive = Input::source("Sample.mip", Arc::new(out.to_vec()));
//! # let ca_pem = made.ca_certificate_pem.as_bytes();
//! let mut policy = VerifyPolicy::default();
//! let found = verify(&archive, &policy, &Job::default())?;
//! assert_eq!(found.level, Level::Signed);
//! // Falling short of the policy is a result; as an error it has a kind of its own.
//! assert_eq!(found.error().map(|e| e.kind()), Some(Kind::Untrusted));
//!
//! policy.anchors = Anchors::from_pem(ca_pem)?;
//! let found = verify(&archive, &policy, &Job::default())?;
//! assert_eq!((found.level, found.problem.is_none()), (Level::Trusted, true));
//! # Ok::<(), mip_core::Error>(())
//! ```
//!
//! # Extract
//!
//! ```
//! use mip_core::{Access, Input, Job, extract, extract_entry};
//!
//! let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures");
//! let input = Input::path(format!("{fixtures}/mip/vector-unsigned.mip"));
//! // Access::Verified(policy) hands out nothing that falls short of the policy.
//! let (access, job) = (Access::Unverified, Job::default());
//!
//! let mut manifest = Vec::new();
//! let entry = extract_entry(&input, "Info.plist", &mut manifest, &access, &job)?;
//! assert_eq!(entry.bytes, manifest.len() as u64);
//!
//! # let scratch = tempfile::tempdir().unwrap();
//! # let folder = scratch.path().join("out");
//! let done = extract(&input, &folder, &[], &access, &job)?; // the folder must not exist yet
//! assert!(done.entries.iter().any(|e| e.path == "Info.plist"));
//! # Ok::<(), mip_core::Error>(())
//! ```
//!
//! # Errors
//!
//! There is one type, [`Error`]. Match on [`Error::kind`] to decide what to do (a [`Kind`] is
//! also the exit status of the command), and log [`Error::code`], which is stable ([`CODES`]
//! lists all). [`Error::path`] is the container path (`Tools.zip//Tool.pkg//PackageInfo`),
//! [`Error::message`] is for people; names out of an input are already [`escape`]d in it.
//!
//! ```
//! use std::sync::Arc;
//! use mip_core::{Code, Input, InspectOptions, Job, Kind, inspect};
//!
//! let input = Input::source("notes.txt", Arc::new(b"no installer".to_vec()));
//! let e = inspect(&input, &InspectOptions::new(), &Job::default()).unwrap_err();
//! let answer = match e.kind() {
//!     Kind::Malformed | Kind::Policy => 422,
//!     Kind::Unsupported => 415,
//!     Kind::Limit => 413,
//!     Kind::Cancelled => 499,
//!     _ => 500, // kinds may be added: both enums are non-exhaustive
//! };
//! assert_eq!((answer, e.code()), (415, Code::UnknownFormat));
//! ```
//!
//! # What it does not do
//!
//! * It prints nothing, and logs nothing.
//! * It keeps no state in the process: no globals of its own, no signal handlers, no change of
//!   the current folder. Calls do not see each other, and every setting is an argument.
//! * It reads no environment variables. (The platform's folder for temporary files, `TMPDIR` on
//!   Unix, is used for [`Input::stream`], for compressed members that must be read twice, and for
//!   apps in payloads whose signatures are checked; those files have no name, or are removed.)
//! * It opens no network connection and starts no process. Nothing out of an input is executed.
//! * It never ends the process, and does not panic on any input; a panic is a defect. A panic in
//!   *your* [`ReadAt`], [`Progress`] or [`Signer`](signing::Signer) goes
//!   through the call, or ends it with `E_INTERNAL` when it was on a thread of ours; no output
//!   is published.
//! * The clock is read only for the validity of certificates; [`VerifyPolicy::at`] and
//!   [`InspectOptions::at`] replace it.
//!
//! # Threads and memory
//!
//! Everything here is `Send + Sync`. A [`Convert`] can be shared by any number of threads. A call
//! blocks its thread and uses a few more until it returns: two that hash, and up to
//! [`Convert::threads`] or [`VerifyPolicy::threads`](field@VerifyPolicy::threads) that compress
//! or check. In an async server, call it where blocking is allowed. The bytes of an archive do not depend on the threads.
//!
//! Payloads are streamed: memory does not grow with the size of an installer, but with the
//! number of its entries, and stays below what the [`Limits`] say: tables of contents, path names
//! and small files. Use [`Limits::strict`] for uploads, one [`Job`] per upload: the budget for
//! decoded bytes belongs to the job. Cancelling is looked at about once per MiB and per entry.
#![cfg_attr(
    test,
    allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation, clippy::string_slice)
)]

pub mod app;
mod apple_manifest;
mod apple_mdm;
mod checks;
mod contents;
mod convert;
pub mod disk_image;
mod html_report;
pub mod icon;
mod input;
mod inspect;
pub mod inspection;
mod manifest;
pub mod metadata;
mod output;
pub mod package;
mod payload;
mod policy;
pub use mip_plist as plist;
mod probe;
mod pump;
mod report;
mod scripts;
pub mod tarball;
pub mod tree;
mod trust;
mod verify;

pub use apple_manifest::{APPLE_CHUNK, AppleManifest, AppleManifestOptions, apple_manifest};
pub use contents::{ContentEntry, Contents, LookOptions, OnEntry, cat, files};
pub use convert::Convert;
pub use html_report::html_report;
pub use input::Input;
pub use inspect::{InspectOptions, Inspected, SignatureScan, inspect, inspect_full};
pub use inspection::Inspection;
pub use mip_base::{
    CODES, CONTAINER_STEP, CancelToken, Code, CodeInfo, Cursor, EntryPath, Error, Event, FileAt,
    Job, Kind, Limits, MemoryFile, Phase, Progress, ReadAt, Result, SilentProgress, Source,
    WriteAt, escape,
};
pub use output::Output;
pub use package::PayloadScan;
pub use payload::PayloadChoice;
pub use policy::SourcePolicy;
pub use probe::{FORMATS, Format, FormatInfo, TarCompression};
pub use report::{
    EntryReport, Extraction, Level, ListedEntry, Listing, PayloadReport, Problem, ProductReport,
    REPORT_VERSION, Report, SignReport, SignerReport, Verification, schemas,
};
pub use scripts::{
    ScriptChoice, ScriptReport, ScriptRole, Scripts, detection_script, uninstall_script,
};
pub use verify::{Access, SignHow, VerifyPolicy, extract, extract_entry, list, sign, verify};

/// Keys, certificates and throw-away identities.
pub mod signing {
    pub use mip_signing::{
        Anchors, CertificateInfo, FileSigner, IdentityOptions, KeyAlgorithm, Password,
        SignatureAlgorithm, Signer, TestIdentity, Trust, check_signer, create_identity,
    };
}
