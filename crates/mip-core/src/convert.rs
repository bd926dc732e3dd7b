//! From an installer to a signed MIP archive.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use mip_archive::{EntryRole, Product, VerifyDepth, Writer, profile};
use mip_base::{Code, EntryPath, Error, Job, Kind, ReadAt, Result, Section, WriteAt, hex};
use mip_signing::Signer;

use crate::input::{Input, Opened};
use crate::inspect::{Examined, InspectOptions, Subject, examine, in_input, sha256};
use crate::inspection::{Inspection, InstallerKind, Warning};
use crate::manifest::{Facts, manifest};
use crate::metadata::{check_id, check_name, check_version};
use crate::output::{Output, Pending, Target, apart};
use crate::payload::{self, Payload, PayloadChoice};
use crate::policy::SourcePolicy;
use crate::report::{PayloadReport, ProductReport, REPORT_VERSION, Report};
use crate::scripts::{self, Beside, Script, ScriptChoice, ScriptReport, ScriptRole, Scripts};
use crate::tarball::{TarballOptions, app_tarball};
use crate::verify::{self_check, signer_warnings};

/// Largest icon that is taken into an archive.
const ICON_LIMIT: u64 = 4 << 20;

/// A conversion: set what should differ from the defaults, then [`run`](Convert::run) it on
/// as many inputs as needed, from as many threads as needed.
///
/// ```
/// use std::sync::Arc;
/// use mip_core::{Convert, Input, Job, MemoryFile, Output};
///
/// let job = Job::default();
/// let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/pkg/distribution/Sample.pkg");
/// let out = Arc::new(MemoryFile::new());
/// let report = Convert::new().unsigned().run(&Input::path(fixture), &Output::sink(out.clone()), &job)?;
/// assert_eq!(report.bytes, out.to_vec().len() as u64);
/// # Ok::<(), mip_core::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Convert {
    inspect: InspectOptions,
    id: Option<String>,
    name: Option<String>,
    version: Option<String>,
    min_os: Option<String>,
    icon: Option<Vec<u8>>,
    allow_unreadable: bool,
    payload: PayloadChoice,
    scripts: ScriptChoice,
    preinstall: Option<Vec<u8>>,
    postinstall: Option<Vec<u8>>,
    policy: SourcePolicy,
    signing: Signing,
    threads: Option<usize>,
    level: Option<u32>,
}

#[derive(Clone, Default)]
enum Signing {
    #[default]
    NotSaid,
    Unsigned,
    With(Arc<dyn Signer>),
}

impl std::fmt::Debug for Convert {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Convert")
            .field("id", &self.id)
            .field("version", &self.version)
            .field("signed", &matches!(self.signing, Signing::With(_)))
            .finish_non_exhaustive()
    }
}

impl Convert {
    /// A conversion with the defaults. Who signs must still be said: [`signer`](Self::signer)
    /// or [`unsigned`](Self::unsigned).
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How the input is read.
    #[must_use]
    pub fn inspect_options(mut self, options: InspectOptions) -> Self {
        self.inspect = options;
        self
    }

    /// Uses this identifier instead of the one that the rules choose.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Uses this name instead of the one that the rules choose.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Uses this version instead of the one that the rules choose.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// Uses this as the lowest macOS version.
    #[must_use]
    pub fn min_os(mut self, version: impl Into<String>) -> Self {
        self.min_os = Some(version.into());
        self
    }

    /// Uses this PNG (at most 4 MiB) as the icon.
    #[must_use]
    pub fn icon_png(mut self, png: Vec<u8>) -> Self {
        self.icon = Some(png);
        self
    }

    /// Carries a file whose inside cannot be read, as it is. Identifier, name and version must
    /// be given then, and the archive records that nothing was read.
    #[must_use]
    pub fn allow_unreadable(mut self, yes: bool) -> Self {
        self.allow_unreadable = yes;
        self
    }

    /// What is carried of a disk image: the image, or what is in it.
    #[must_use]
    pub fn payload(mut self, choice: PayloadChoice) -> Self {
        self.payload = choice;
        self
    }

    /// Whether detection and uninstall scripts are made. They go into the archive and, when that
    /// is a file, beside it: `Tool.mip` has `Tool.detection.sh` and `Tool.uninstall.sh`.
    #[must_use]
    pub fn scripts(mut self, choice: ScriptChoice) -> Self {
        self.scripts = choice;
        self
    }

    /// Carries this script, to be run before the installation. It must start with `#!` and have
    /// at most 1 MiB of text.
    #[must_use]
    pub fn preinstall(mut self, script: Vec<u8>) -> Self {
        self.preinstall = Some(script);
        self
    }

    /// Carries this script, to be run after the installation; else as
    /// [`preinstall`](Self::preinstall).
    #[must_use]
    pub fn postinstall(mut self, script: Vec<u8>) -> Self {
        self.postinstall = Some(script);
        self
    }

    /// What the input must be. It is checked before anything is written; a requirement on its
    /// signature has all of it compared, whatever the options say.
    #[must_use]
    pub fn source_policy(mut self, policy: SourcePolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Signs with this key.
    #[must_use]
    pub fn signer(mut self, signer: Arc<dyn Signer>) -> Self {
        self.signing = Signing::With(signer);
        self
    }

    /// Leaves the archive unsigned.
    #[must_use]
    pub fn unsigned(mut self) -> Self {
        self.signing = Signing::Unsigned;
        self
    }

    /// Threads for compressing and checking; by default one per core. The bytes of the archive
    /// do not depend on it.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Deflate level 1 to 9 for folders that are packed; 4 by default.
    #[must_use]
    pub fn compression_level(mut self, level: u32) -> Self {
        self.level = Some(level.clamp(1, 9));
        self
    }

    /// Converts one input. The output appears whole and verified, or not at all.
    ///
    /// # Errors
    /// Everything that inspecting can report; [`Code::Ambiguous`] and [`Code::MissingValue`]
    /// when the rules leave something open; [`Code::MetaInvalid`]; what
    /// [`SourcePolicy::check`] refuses; kinds `Key` and `OutputIo`;
    /// [`Code::InputChanged`]; [`Code::Cancelled`].
    pub fn run(&self, input: &Input, output: &Output, job: &Job) -> Result<Report> {
        // What concerns the input names it; what concerns the output names that.
        let place = |e: Error| match e.kind() {
            Kind::OutputIo | Kind::Cancelled => e,
            _ => in_input(e, input),
        };
        let signer = match &self.signing {
            Signing::With(s) => Some(s.clone()),
            Signing::Unsigned => None,
            Signing::NotSaid => {
                return Err(Error::new(Code::Usage, "nothing says who signs the archive")
                    .hint("give a key with --sign-key and --sign-cert or --sign-p12, or ask for --unsigned"));
            }
        };
        // What is bound to fail fails before a large input is read.
        let of_signer = match &signer {
            Some(s) => signer_warnings(s.as_ref())?,
            None => Vec::new(),
        };
        let mut of_scripts = Vec::new();
        let mut scripts = self.given(&mut of_scripts)?;
        apart(input.as_path(), output)?;
        let early = match &output.target {
            Target::File(path) => Some(self.files(input, path, output.force)?),
            _ => None,
        };
        let opened = input.open(job)?;
        let (mut examined, unread) = self.examine(input, &opened, job).map_err(place)?;
        let mut warnings: Vec<Warning> =
            examined.iter().flat_map(|e| e.inspection.warnings.clone()).collect();
        if let Some(e) = &unread {
            let why = format!("the inside was not read ({}: {e})", e.code().text());
            warnings.push(Warning::new("W_UNREAD", why));
            if e.code() == Code::PasswordMissing {
                let text = "macOS asks a person for a password before it mounts this image";
                warnings.push(Warning::new("W_ASKS_USER", text));
            }
        }
        let carried = self.carried(input, &opened, examined.as_mut(), job).map_err(place)?;
        warnings.extend(carried.warnings.iter().cloned());
        let product = self
            .product(examined.as_ref().map(|e| &e.inspection), unread.as_ref())
            .map_err(place)?;

        let (files, path) = match (&output.target, early) {
            (Target::File(path), Some(files)) => (Some(files), Some(path.clone())),
            (Target::Folder(folder), _) => {
                let path = folder.join(archive_name(&product));
                apart(input.as_path(), &Output::file(&path))?;
                (Some(self.files(input, &path, output.force)?), Some(path))
            }
            _ => (None, None),
        };
        let out: Arc<dyn WriteAt> = match (&files, &output.target) {
            (Some((archive, _)), _) => archive.file(),
            (None, Target::Sink(sink)) => sink.clone(),
            (None, _) => return Err(Error::new(Code::Usage, "no output")),
        };

        let icon = self.icon(examined.as_ref(), &mut warnings)?;
        if self.scripts == ScriptChoice::Generate {
            let found = examined.as_ref().map(|e| &e.inspection);
            scripts.extend(scripts::generate(found, &product, &mut warnings));
            scripts.sort_by_key(|s| s.role.archive_path());
        }
        warnings.extend(of_scripts);
        let all: Vec<Warning> = warnings.iter().chain(&of_signer).cloned().collect();
        match &examined {
            Some(e) => self.policy.check(&e.inspection, &all),
            None => self.policy.check_unread(&all),
        }
        .map_err(place)?;
        let facts = Facts {
            product: &product,
            inspection: examined.as_ref().map(|e| &e.inspection),
            payload_name: carried.subject.payload_name(),
            original_name: carried.subject.original_name(),
            image: carried.form == "image",
            icon: icon.is_some(),
            warnings: &warnings,
        };
        let (payload, written) = self
            .write(out.clone(), &product, &facts, icon, &scripts, &carried, signer.as_deref(), job)
            .map_err(place)?;
        // One truth from first look to last byte.
        opened.unchanged().map_err(place)?;
        // The manifest is the same whoever signs; the report has everything.
        warnings.extend(of_signer);
        let signed_by = self_check(out, signer.as_deref(), VerifyDepth::Full, job)?;
        let mut reports: Vec<ScriptReport> = scripts.iter().map(|s| s.report(true, None)).collect();
        if let Some((archive, beside)) = files {
            publish(archive, beside, &scripts, &mut reports, &mut warnings)?;
        }
        Ok(Report {
            schema_version: REPORT_VERSION,
            output: path.map(|p| p.to_string_lossy().into_owned()),
            bytes: written.len,
            package_digest: hex(&written.index_sha256),
            product,
            payload,
            scripts: reports,
            signed_by,
            inspection: examined.map(|e| e.inspection),
            warnings,
        })
    }

    /// Writes only the detection and uninstall scripts for `input` into `folder`, which must
    /// exist, under the names that a conversion gives them beside an archive: `<Name>-<Version>`
    /// and `.detection.sh` or `.uninstall.sh`. With `force`, files of these names are replaced.
    ///
    /// # Errors
    /// As [`run`](Self::run); what concerns signing does not come up.
    pub fn write_scripts(
        &self,
        input: &Input,
        folder: &Path,
        force: bool,
        job: &Job,
    ) -> Result<Scripts> {
        let place = |e: Error| in_input(e, input);
        let opened = input.open(job)?;
        let (examined, unread) = self.examine(input, &opened, job).map_err(place)?;
        let mut found = examined.map(|e| e.inspection);
        if self.inspect.hash
            && let (Some(found), Opened::File { source, .. }) = (&mut found, &opened)
        {
            found.input.sha256 = Some(sha256(source, job).map_err(place)?);
        }
        opened.unchanged().map_err(place)?;
        let product = self.product(found.as_ref(), unread.as_ref()).map_err(place)?;
        let mut warnings = found.iter().flat_map(|f| f.warnings.clone()).collect();
        let scripts = scripts::generate(found.as_ref(), &product, &mut warnings);
        match &found {
            Some(found) => self.policy.check(found, &warnings),
            None => self.policy.check_unread(&warnings),
        }
        .map_err(place)?;
        let path = folder.join(archive_name(&product));
        let done = Beside::create(input.as_path(), &path, force)?.publish(&scripts)?;
        let durable = done.warnings.iter().map(|w| Warning::new("W_DURABILITY", w));
        warnings.extend(durable);
        Ok(Scripts {
            schema_version: REPORT_VERSION,
            product,
            scripts: scripts.iter().map(|s| s.report(false, done.path(s.role))).collect(),
            warnings,
        })
    }

    /// The files of an output at `path`: the archive, and the scripts beside it.
    fn files(&self, input: &Input, path: &Path, force: bool) -> Result<Files> {
        let archive = Pending::create(path, force)?;
        let beside = match self.scripts {
            ScriptChoice::Generate => Some(Beside::create(input.as_path(), path, force)?),
            ScriptChoice::None => None,
        };
        Ok((archive, beside))
    }

    /// The scripts that were given.
    fn given(&self, warnings: &mut Vec<Warning>) -> Result<Vec<Script>> {
        let given = [
            (ScriptRole::Preinstall, &self.preinstall),
            (ScriptRole::Postinstall, &self.postinstall),
        ];
        let there = given.into_iter().filter_map(|(role, script)| Some((role, script.as_ref()?)));
        there.map(|(role, script)| scripts::check_given(role, script, warnings)).collect()
    }

    /// Reads the input; with leave to, an input that cannot be read is carried all the same.
    fn examine(
        &self,
        input: &Input,
        opened: &Opened,
        job: &Job,
    ) -> Result<(Option<Examined>, Option<Error>)> {
        let options = self.policy.applied_to(self.inspect.clone());
        let refused = match examine(input, opened, &options, job) {
            Ok(mut found) => {
                // A package with several apps is carried whole: then identifier and version,
                // when given, are all that the choice was for.
                let settled =
                    found.subject.is_some() && self.id.is_some() && self.version.is_some();
                let empty = found.subject.is_none() && matches!(opened, Opened::File { .. });
                return match found.ambiguity.take() {
                    // An image with nothing in it that is known.
                    Some(e)
                        if self.allow_unreadable && empty && e.code() == Code::NothingToInstall =>
                    {
                        Ok((None, Some(e)))
                    }
                    Some(e) if !settled => Err(e),
                    _ => Ok((Some(found), None)),
                };
            }
            Err(e) => e,
        };
        // Only "I cannot read this" may be waved through, never "this is not what it was" or
        // "there is nothing here".
        // An encrypted image that is not opened is one of the first.
        let closed = matches!(refused.kind(), Kind::Malformed | Kind::Unsupported | Kind::Limit)
            || refused.code() == Code::PasswordMissing;
        let may = closed
            && !matches!(refused.code(), Code::Empty)
            && matches!(opened, Opened::File { .. });
        if self.allow_unreadable && may {
            return Ok((None, Some(refused)));
        }
        Err(refused)
    }

    /// What goes into the archive.
    fn carried(
        &self,
        input: &Input,
        opened: &Opened,
        examined: Option<&mut Examined>,
        job: &Job,
    ) -> Result<Payload> {
        let subject = examined.as_ref().and_then(|e| e.subject.clone());
        match (subject, examined, opened) {
            (Some(subject), Some(examined), _) => {
                payload::choose(self.payload, examined, subject, job)
            }
            (_, _, Opened::File { source, .. }) => {
                let data = Section::whole(source.clone());
                payload::unread(self.payload, Subject::File { data, name: input.name().to_owned() })
            }
            (_, _, Opened::Folder(_)) => {
                Err(Error::new(Code::Unsupported, "a folder that is no app or package"))
            }
        }
    }

    fn product(&self, found: Option<&Inspection>, unread: Option<&Error>) -> Result<ProductReport> {
        let pick = |given: &Option<String>, fact: Option<String>, flag: &str, what: &str| {
            given.clone().or(fact).ok_or_else(|| {
                let why = match unread {
                    Some(e) => format!(
                        "the {what} is not known, because the inside was not read: {}",
                        e.message()
                    ),
                    None => format!("the installer gives no {what}"),
                };
                Error::new(Code::MissingValue, why).hint(format!("give it with {flag}"))
            })
        };
        let identity = found.map(|f| &f.identity);
        let id = identity.and_then(|i| i.bundle_id.as_ref()).map(|f| f.value.clone());
        let name = identity.and_then(|i| i.name.as_ref()).map(|f| f.value.clone());
        let version = identity.and_then(|i| i.version.as_ref()).map(|f| f.value.clone());
        let min_os = identity.and_then(|i| i.min_os.as_ref()).map(|f| f.value.clone());
        let product = ProductReport {
            id: pick(&self.id, id, "--id", "identifier")?,
            name: pick(&self.name, name, "--name", "name")?,
            version: pick(&self.version, version, "--set-version", "version")?,
            min_os: self.min_os.clone().or(min_os),
        };
        check_id(&product.id)?;
        check_name(&product.name)?;
        check_version(&product.version)?;
        if let Some(v) = &product.min_os {
            check_version(v)?;
        }
        Ok(product)
    }

    fn icon(
        &self,
        found: Option<&Examined>,
        warnings: &mut Vec<Warning>,
    ) -> Result<Option<Vec<u8>>> {
        if let Some(png) = &self.icon {
            if !png.starts_with(b"\x89PNG\r\n\x1a\n") || png.size() > ICON_LIMIT {
                return Err(Error::new(Code::Usage, "the icon is not a PNG of at most 4 MiB")
                    .hint("give a PNG file, square, 512 pixels or so"));
            }
            return Ok(Some(png.clone()));
        }
        let icon = found.and_then(|f| f.icon_png.clone());
        Ok(icon.filter(|png| {
            let fits = png.size() <= ICON_LIMIT;
            if !fits {
                let text = "the icon is larger than 4 MiB and was left out";
                warnings.push(Warning::new("W_ICON", text));
            }
            fits
        }))
    }

    #[allow(clippy::too_many_arguments)] // one call, and every argument is another thing
    fn write(
        &self,
        out: Arc<dyn WriteAt>,
        product: &ProductReport,
        facts: &Facts<'_>,
        icon: Option<Vec<u8>>,
        scripts: &[Script],
        carried: &Payload,
        signer: Option<&dyn Signer>,
        job: &Job,
    ) -> Result<(PayloadReport, mip_archive::Written)> {
        let entry = |p: &str| EntryPath::new(p, job.limits());
        let ids = Product { id: product.id.clone(), version: product.version.clone() };
        let mut writer = Writer::new(out, ids, job)?;
        let info = manifest(facts)?;
        writer.add(&entry(profile::INFO_PLIST)?, EntryRole::Metadata, 0o644, &info)?;
        if let Some(png) = icon {
            writer.add(&entry(profile::ICON)?, EntryRole::Icon, 0o644, &png)?;
        }
        for script in scripts {
            let path = entry(script.role.archive_path())?;
            writer.add(&path, EntryRole::Script, 0o755, &script.bytes)?;
        }
        let path = entry(&format!("{}{}", profile::PAYLOAD, facts.payload_name))?;
        let subject = &carried.subject;
        let (mut input, total): (Box<dyn Read + Send>, Option<u64>) = match subject {
            Subject::File { data, .. } => (Box::new(data.reader()), Some(data.size())),
            Subject::Tree { tree, root, bundle, .. } => {
                let mut options = TarballOptions::default();
                options.level = self.level.unwrap_or(options.level);
                options.threads = crate::verify::threads(self.threads);
                let tarball = app_tarball(tree.clone(), root.clone(), bundle, &options, job)?;
                (Box::new(tarball), None)
            }
        };
        if let Some(bytes) = total {
            writer.expect_payload(bytes);
        }
        let stored = writer.payload(&path, 0o644, input.as_mut())?;
        if let Some(want) = total.filter(|t| *t != stored.size) {
            return Err(Error::new(
                Code::InputChanged,
                format!("{} bytes were read where there were {want} before", stored.size),
            ));
        }
        let written = match signer {
            Some(signer) => {
                let mut sign = |index: &[u8]| mip_signing::sign_detached(signer, index);
                writer.finish(Some(&mut sign))?
            }
            None => writer.finish(None)?,
        };
        let payload = PayloadReport {
            path: path.as_str().to_owned(),
            kind: facts
                .inspection
                .map_or(InstallerKind::Unknown, |i| i.input.kind)
                .word()
                .to_owned(),
            carried: match subject {
                Subject::File { .. } => "original".to_owned(),
                Subject::Tree { .. } => "tar.gz".to_owned(),
            },
            form: carried.form.to_owned(),
            reason: carried.reason.clone(),
            bytes: stored.size,
            sha256: hex(&stored.sha256),
            read: facts.inspection.is_some(),
        };
        Ok((payload, written))
    }
}

/// The archive, and the scripts beside it.
type Files = (Pending, Option<Beside>);

/// Gives all files of an output their names, the archive last: where it is, everything is.
fn publish(
    archive: Pending,
    beside: Option<Beside>,
    scripts: &[Script],
    reports: &mut [ScriptReport],
    warnings: &mut Vec<Warning>,
) -> Result<()> {
    let beside = beside.map(|b| b.publish(scripts)).transpose()?;
    let durable = archive.publish().inspect_err(|_| {
        if let Some(b) = &beside {
            b.undo();
        }
    })?;
    let of_scripts = beside.iter().flat_map(|b| b.warnings.iter().cloned());
    warnings.extend(of_scripts.chain(durable).map(|w| Warning::new("W_DURABILITY", w)));
    for report in reports {
        report.beside = beside.as_ref().and_then(|b| b.path(report.role));
    }
    Ok(())
}

/// `<Name>-<Version>.mip`, usable as a file name on every platform.
fn archive_name(product: &ProductReport) -> String {
    profile::payload_name(&format!("{}-{}.mip", product.name, product.version))
}
