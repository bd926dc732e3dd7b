//! Verifying, listing, unpacking and re-signing MIP archives.

use std::cmp::Ordering;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use mip_archive::profile::keys;
use mip_archive::{
    Archive, Checked, EntryReader, EntryRole, IndexEntry, IndexVerified, Product, VerifyDepth,
    VerifyOptions, profile,
};
use mip_base::{Code, Error, Event, Job, Phase, Result, Source, escape, hex};
use mip_signing::{Anchors, Signer, Trust, Verdict, check_signer, verify_detached};

use crate::input::{Input, Opened};
use crate::inspection::Warning;
use crate::metadata::compare_versions;
use crate::output::{Output, Pending, PendingFolder, Target, apart};
use crate::pump::copy;
use crate::report::{
    EntryReport, Extraction, Level, ListedEntry, Listing, Problem, REPORT_VERSION, SignReport,
    SignerReport, Verification,
};

/// What a verification asks for.
///
/// Trust is explicit: without [`anchors`](Self::anchors) the best level is [`Level::Signed`],
/// and the system's own certificate store is never looked at.
#[derive(Debug, Clone, Default)]
pub struct VerifyPolicy {
    /// Certificates that are trusted: authorities, or the signer itself.
    pub anchors: Anchors,
    /// The moment at which certificates must be valid, in seconds since 1970; `None` is now.
    pub at: Option<u64>,
    /// The product identifier that it must have.
    pub expect_id: Option<String>,
    /// The version that it must have.
    pub expect_version: Option<String>,
    /// The lowest version that it may have (dotted numbers): against old archives served anew.
    pub min_version: Option<String>,
    /// SHA-256 of the signer's certificate in hex (colons and case do not matter).
    pub expect_signer_sha256: Option<String>,
    /// Threads for hashing; `None` is one per core.
    pub threads: Option<usize>,
}

impl VerifyPolicy {
    fn expects_something(&self) -> bool {
        self.expect_id.is_some()
            || self.expect_version.is_some()
            || self.min_version.is_some()
            || self.expect_signer_sha256.is_some()
    }

    fn threads(&self) -> usize {
        threads(self.threads)
    }

    /// A lowest version that is empty or no number at all would be met by every archive.
    fn usable(&self) -> Result<()> {
        let Some(min) = &self.min_version else { return Ok(()) };
        let text = min.trim();
        let number = text.strip_prefix(['v', 'V']).unwrap_or(text);
        if number.starts_with(|c: char| c.is_ascii_digit()) {
            return Ok(());
        }
        let text = format!("the lowest version \"{}\" is not a version", escape(min));
        Err(Error::new(Code::Usage, text).hint("give numbers with dots, such as 1.2.3"))
    }

    fn check(&self, cms: Option<&[u8]>, index: &[u8], job: &Job) -> Result<Option<Verdict>> {
        self.usable()?;
        let at = self.at.unwrap_or_else(now);
        cms.map(|cms| verify_detached(cms, index, &self.anchors, at, job.limits())).transpose()
    }
}

pub(crate) fn threads(asked: Option<usize>) -> usize {
    asked
        .or_else(|| std::thread::available_parallelism().ok().map(usize::from))
        .unwrap_or(1)
        .clamp(1, 64)
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

fn open(input: &Input, job: &Job) -> Result<(Opened, Source)> {
    let opened = input.open(job)?;
    let Opened::File { source, .. } = &opened else {
        return Err(Error::new(Code::MipUnknown, "this is a folder, not a MIP archive")
            .within(input.shown())
            .hint("give the path of a .mip file"));
    };
    let source = source.clone();
    Ok((opened, source))
}

/// Checks every byte of an archive, then its signature against the policy.
///
/// # Errors
/// Kind `Tampered` when the archive is not what its index describes or the signature does not
/// hold; reading errors and limits. A sound archive that falls short of the policy is not an
/// error here: see [`Verification::error`].
pub fn verify(input: &Input, policy: &VerifyPolicy, job: &Job) -> Result<Verification> {
    let place = |e: Error| e.within(input.shown());
    let (opened, source) = open(input, job)?;
    let found = verified(source, policy, job).map_err(place)?;
    opened.unchanged().map_err(place)?;
    Ok(found)
}

fn verified(source: Source, policy: &VerifyPolicy, job: &Job) -> Result<Verification> {
    let bytes = source.size();
    let archive = Archive::open(source, job)?;
    let verdict = policy.check(archive.signature(), archive.index_bytes(), job)?;
    // Where nobody who is trusted signed, nobody vouches for the digests of the entries either.
    let trusted = verdict.as_ref().is_some_and(|v| v.trust.is_trusted());
    let depth = if trusted { VerifyDepth::Blocks } else { VerifyDepth::Full };
    let mut how = VerifyOptions::default().depth(depth);
    how.threads = policy.threads();
    let (archive, verdict) = archive.verify_with(|_, _| Ok(verdict), &how, job)?;
    let index = archive.index();
    manifest_agrees(&archive, job)?;
    let (level, problem) = judge(policy, &index.product, verdict.as_ref());
    Ok(Verification {
        schema_version: REPORT_VERSION,
        level,
        product_id: index.product.id.clone(),
        product_version: index.product.version.clone(),
        package_digest: hex(&archive.package_digest()),
        bytes,
        entries: archive.entries().iter().map(entry_report).collect(),
        signer: verdict.as_ref().map(|v| SignerReport::of(&v.signer)),
        chain: verdict.iter().flat_map(|v| v.chain.iter().skip(1)).map(SignerReport::of).collect(),
        problem,
    })
}

/// The manifest that people and servers read must name the product that was signed for.
fn manifest_agrees<S: Checked>(archive: &Archive<S>, job: &Job) -> Result<()> {
    let within = |e: Error| e.within(profile::INFO_PLIST);
    let bad = |what: String| within(Error::new(Code::MipAmbiguous, what));
    let index = archive.index();
    let Some(entry) = index.find(profile::INFO_PLIST) else {
        return Err(bad("the archive has no manifest".to_owned()));
    };
    let bytes = archive.read_entry(entry, job.limits().plist_bytes, job)?;
    let info = crate::plist::read(&bytes, job).map_err(within)?;
    let payload = index.payload().map_or("", |e| e.path.file_name());
    for (key, want) in [
        (keys::BUNDLE_IDENTIFIER, index.product.id.as_str()),
        (keys::SHORT_VERSION, index.product.version.as_str()),
        (keys::PAYLOAD_NAME, payload),
    ] {
        let have = info.get(key).and_then(crate::plist::Value::as_str).unwrap_or("");
        if have != want {
            let (have, want) = (escape(have), escape(want));
            return Err(bad(format!("{key} is \"{have}\", the index says \"{want}\"")));
        }
    }
    Ok(())
}

fn judge(
    policy: &VerifyPolicy,
    product: &Product,
    verdict: Option<&Verdict>,
) -> (Level, Option<Problem>) {
    let (id, version) = (product.id.as_str(), product.version.as_str());
    let Some(verdict) = verdict else {
        let p = Problem::new(Code::MipUnsigned, "the archive is intact, but nobody signed it");
        return (Level::Intact, Some(p));
    };
    if let Trust::UnknownSigner { code, reason } = &verdict.trust {
        let m = format!("the archive is intact and signed, but {reason}");
        return (Level::Signed, Some(Problem::new(*code, m)));
    }
    let unmet = |m: String| (Level::Trusted, Some(Problem::new(Code::Unexpected, m)));
    if let Some(want) = policy.expect_id.as_ref().filter(|w| *w != id) {
        return unmet(format!("expected product {}, found {}", escape(want), escape(id)));
    }
    if let Some(want) = policy.expect_version.as_ref().filter(|w| *w != version) {
        return unmet(format!("expected version {}, found {}", escape(want), escape(version)));
    }
    if let Some(min) = &policy.min_version
        && compare_versions(version, min) == Ordering::Less
    {
        return unmet(format!("version {} is older than {}", escape(version), escape(min)));
    }
    if let Some(want) = &policy.expect_signer_sha256 {
        let want: String = want.chars().filter(|c| *c != ':').collect::<String>().to_lowercase();
        let have = &verdict.signer.sha256;
        if want != *have {
            return unmet(format!("expected signer {}, found {have}", escape(&want)));
        }
    }
    (if policy.expects_something() { Level::Expected } else { Level::Trusted }, None)
}

fn entry_report(e: &IndexEntry) -> EntryReport {
    EntryReport {
        path: e.path.as_str().to_owned(),
        role: role_word(e.role).to_owned(),
        mode: e.mode,
        bytes: e.size,
        sha256: hex(&e.sha256),
    }
}

fn role_word(role: EntryRole) -> &'static str {
    match role {
        EntryRole::Metadata => "metadata",
        EntryRole::Icon => "icon",
        EntryRole::Script => "script",
        EntryRole::Payload => "payload",
        _ => "other",
    }
}

/// Lists any MIP or zip archive by its central directory. Checks nothing.
///
/// # Errors
/// Kind `Tampered` when no directory can be found; reading errors and limits.
pub fn list(input: &Input, job: &Job) -> Result<Listing> {
    let (_, source) = open(input, job)?;
    let ours = Archive::open(source.clone(), job).and_then(|a| a.unverified_index(job.limits()));
    let profile = ours.is_ok().then(|| format!("MIP profile {}", profile::FORMAT_VERSION));
    let entries = mip_archive::list_unverified(source, job).map_err(|e| e.within(input.shown()))?;
    let entries = entries
        .into_iter()
        .map(|e| ListedEntry {
            path: e.name,
            bytes: e.size,
            stored_bytes: e.stored_size,
            method: e.method,
        })
        .collect();
    Ok(Listing { schema_version: REPORT_VERSION, profile, entries, verified: false })
}

/// On what condition entries are handed out.
#[derive(Debug, Clone)]
pub enum Access {
    /// Only when the archive meets this policy.
    Verified(VerifyPolicy),
    /// Whoever made it and whatever it holds: the digests of blocks and of entries that are
    /// handed out are checked, the signature is not.
    Unverified,
}

/// Unpacks an archive into a folder that does not exist yet (or is empty). The folder appears
/// whole or not at all. `only` names entries; empty means all.
///
/// # Errors
/// As [`verify`]; the policy's own error when the archive falls short of it; [`Code::Exists`];
/// [`Code::OutputIo`]; [`Code::Usage`] for an entry that is not there.
pub fn extract(
    input: &Input,
    to: &Path,
    only: &[String],
    access: &Access,
    job: &Job,
) -> Result<Extraction> {
    let place = |e: Error| e.within(input.shown());
    let (opened, source) = open(input, job)?;
    let folder = PendingFolder::create(to)?;
    let (archive, level) = checked(source, access, job).map_err(place)?;
    let chosen = choose(archive.entries(), only).map_err(place)?;
    job.report(Event::Started {
        phase: Phase::Extract,
        total: Some(chosen.iter().fold(0, |n, e| n.saturating_add(e.size))),
    });
    for entry in &chosen {
        let mut data = content(&archive, entry, access, job).map_err(place)?;
        write_entry(folder.path(), entry, &mut data, job).map_err(place)?;
    }
    job.report(Event::Finished { phase: Phase::Extract });
    opened.unchanged().map_err(place)?;
    folder.publish()?;
    Ok(Extraction {
        schema_version: REPORT_VERSION,
        output: to.to_string_lossy().into_owned(),
        entries: chosen.into_iter().map(entry_report).collect(),
        level,
    })
}

/// An archive whose signature meets the policy and whose structure is checked. Its blocks are
/// checked when they are read: what is handed out is what was hashed.
fn checked(
    source: Source,
    access: &Access,
    job: &Job,
) -> Result<(Archive<IndexVerified>, Option<Level>)> {
    let archive = Archive::open(source, job)?;
    let Access::Verified(policy) = access else {
        return Ok((archive.verify_index_only(|_, _| Ok(()), job)?.0, None));
    };
    let check = |index: &[u8], cms: Option<&[u8]>| policy.check(cms, index, job);
    let (archive, verdict) = archive.verify_index_only(check, job)?;
    match judge(policy, &archive.index().product, verdict.as_ref()) {
        // What `verify` refuses is not unpacked either.
        (level, None) => manifest_agrees(&archive, job).map(|()| (archive, Some(level))),
        (_, Some(problem)) => Err(problem
            .error()
            .hint("name the authority that you trust with --anchor, or say --unverified")),
    }
}

/// Every block is checked before bytes of it come out. Where no trusted signer vouches for the
/// digest of the entry, that is compared too, at its end.
fn content(
    archive: &Archive<IndexVerified>,
    entry: &IndexEntry,
    access: &Access,
    job: &Job,
) -> Result<EntryReader> {
    let reader = archive.entry_reader(entry, job)?;
    Ok(match access {
        Access::Verified(_) => reader,
        Access::Unverified => reader.check_content(),
    })
}

fn choose<'a>(entries: &'a [IndexEntry], only: &[String]) -> Result<Vec<&'a IndexEntry>> {
    if only.is_empty() {
        return Ok(entries.iter().collect());
    }
    only.iter()
        .map(|name| entries.iter().find(|e| e.path.as_str() == name).ok_or_else(|| no_entry(name)))
        .collect()
}

fn no_entry(name: &str) -> Error {
    Error::new(Code::Usage, format!("no entry \"{}\"", escape(name)))
        .hint("`mip list` shows the entries")
}

fn write_entry(folder: &Path, entry: &IndexEntry, data: &mut dyn Read, job: &Job) -> Result<()> {
    let path = folder.join(entry.path.as_str());
    let io = |e| {
        Error::from_io(Code::OutputIo, "cannot write", e).within(escape(&path.to_string_lossy()))
    };
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(io)?;
    }
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(entry.mode & 0o777);
    }
    let mut file = options.open(&path).map_err(io)?;
    copy(data, &mut file, Phase::Extract, job)?;
    file.sync_all().map_err(io)
}

/// Hands out one entry. Under [`Access::Verified`] the signature, the whole structure and the
/// manifest are checked before the first byte is written, and each block of the entry (1 MiB)
/// before bytes of it are; the rest of the archive is not read. After an error the bytes that
/// were written are a part of the entry at most: throw them away.
///
/// # Errors
/// As [`extract`].
pub fn extract_entry(
    input: &Input,
    entry: &str,
    to: &mut dyn Write,
    access: &Access,
    job: &Job,
) -> Result<EntryReport> {
    let place = |e: Error| e.within(input.shown());
    let (opened, source) = open(input, job)?;
    let (archive, _) = checked(source, access, job).map_err(place)?;
    let found = archive.index().find(entry).ok_or_else(|| place(no_entry(entry)))?;
    let mut data = content(&archive, found, access, job).map_err(place)?;
    job.report(Event::Started { phase: Phase::Extract, total: Some(found.size) });
    copy(&mut data, to, Phase::Extract, job).map_err(place)?;
    job.report(Event::Finished { phase: Phase::Extract });
    opened.unchanged().map_err(place)?;
    Ok(entry_report(found))
}

/// What becomes of an archive's signature.
#[derive(Clone)]
pub enum SignHow {
    /// Sign, replacing a signature that is there.
    Sign(Arc<dyn Signer>),
    /// Remove the signature.
    Remove,
}

impl std::fmt::Debug for SignHow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Sign(_) => "Sign(..)",
            Self::Remove => "Remove",
        })
    }
}

/// Replaces, adds or removes the signature of an archive. Payload and index stay as they are,
/// byte for byte; every byte is checked against the index before it is signed anew.
///
/// # Errors
/// Kind `Tampered` when the archive is not what its index describes; kinds `Key`, `OutputIo`.
pub fn sign(input: &Input, output: &Output, how: &SignHow, job: &Job) -> Result<SignReport> {
    let place = |e: Error| e.within(input.shown());
    let (opened, source) = open(input, job)?;
    let (Target::File(_) | Target::Sink(_)) = &output.target else {
        return Err(Error::new(Code::Usage, "signing needs the path of the new archive"));
    };
    let signer = match how {
        SignHow::Sign(s) => Some(s.as_ref()),
        SignHow::Remove => None,
    };
    apart(input.as_path(), output)?;
    let mut warnings = match signer {
        Some(s) => signer_warnings(s)?,
        None => Vec::new(),
    };
    let pending = match &output.target {
        Target::File(path) => Some(Pending::create(path, output.force)?),
        _ => None,
    };
    let out: Arc<dyn mip_base::WriteAt> = match (&pending, &output.target) {
        (Some(p), _) => p.file(),
        (None, Target::Sink(sink)) => sink.clone(),
        (None, _) => return Err(Error::new(Code::Usage, "no output")),
    };
    // What `verify` would refuse for its manifest is not signed.
    let readable = Archive::open(source.clone(), job)
        .and_then(|a| a.verify_index_only(|_, _| Ok(()), job))
        .and_then(|(a, ())| manifest_agrees(&a, job));
    readable.map_err(place)?;
    let written = match signer {
        Some(s) => {
            let mut make = |index: &[u8]| mip_signing::sign_detached(s, index);
            mip_archive::resign(source, out.clone(), Some(&mut make), job)
        }
        None => mip_archive::resign(source, out.clone(), None, job),
    };
    let written = written.map_err(place)?;
    opened.unchanged().map_err(place)?;
    let signed_by = self_check(out, signer, VerifyDepth::Blocks, job)?;
    let output_path = match (&output.target, pending) {
        (Target::File(path), Some(p)) => {
            warnings.extend(p.publish()?.map(|w| Warning::new("W_DURABILITY", w)));
            Some(path.to_string_lossy().into_owned())
        }
        _ => None,
    };
    Ok(SignReport {
        schema_version: REPORT_VERSION,
        output: output_path,
        bytes: written.len,
        package_digest: hex(&written.index_sha256),
        signed_by,
        warnings,
    })
}

/// What a verifier may hold against this signer, before anything is signed.
///
/// # Errors
/// [`Code::Certificate`] when a certificate is not valid now.
pub(crate) fn signer_warnings(signer: &dyn Signer) -> Result<Vec<Warning>> {
    let notes = check_signer(signer, now(), false)?;
    Ok(notes.into_iter().map(|n| Warning::new("W_SIGNER", n)).collect())
}

/// Runs the verifier over an archive that was just written, with the signer's own certificates
/// as the only anchors: catches a fault of disk, memory or key before anyone else does.
pub(crate) fn self_check(
    out: Arc<dyn mip_base::WriteAt>,
    signer: Option<&dyn Signer>,
    depth: VerifyDepth,
    job: &Job,
) -> Result<Option<SignerReport>> {
    let source: Source = Arc::new(Written(out));
    let fault = |what: &str| {
        Error::new(Code::OutputIo, format!("the archive did not verify after writing: {what}"))
            .hint("nothing was kept; check the disk and memory of this machine, then try again")
    };
    let at = now();
    let check = |index: &[u8], cms: Option<&[u8]>| match (signer, cms) {
        (None, None) => Ok(None),
        (Some(signer), Some(cms)) => {
            let mut anchors = Anchors::none();
            for certificate in signer.certificates() {
                anchors.extend(Anchors::from_pem(certificate)?);
            }
            verify_detached(cms, index, &anchors, at, job.limits()).map(Some)
        }
        _ => Err(fault("the signature is missing")),
    };
    let archive = Archive::open(source, job).map_err(|e| fault(&e.to_string()))?;
    let (_, verdict) =
        archive
            .verify_with(check, &VerifyOptions::default().depth(depth), job)
            .and_then(|(a, verdict)| manifest_agrees(&a, job).map(|()| (a, verdict)))
            .map_err(|e| {
                if e.kind() == mip_base::Kind::Cancelled { e } else { fault(&e.to_string()) }
            })?;
    match verdict {
        Some(v) if !v.trust.is_trusted() => Err(fault("the signer's certificate does not verify")),
        v => Ok(v.map(|v| SignerReport::of(&v.signer))),
    }
}

/// The finished archive, read back.
struct Written(Arc<dyn mip_base::WriteAt>);

impl mip_base::ReadAt for Written {
    fn size(&self) -> u64 {
        self.0.size()
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<usize> {
        self.0.read_at(offset, buf)
    }
}
