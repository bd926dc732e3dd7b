//! From an input to what is in it: probe, look into containers, choose the installer, read it.

mod app;
mod candidates;
mod image;
mod tree;

use std::path::Path;
use std::sync::Arc;

use mip_archive::profile;
use mip_base::{
    Code, Cursor, EntryPath, Error, Event, Job, Phase, ReadAt, Result, Section, Source, escape,
};
use mip_signing::Password;

pub(crate) use self::image::{Carrier, Carries};
use crate::app::has_extension;
use crate::apple_mdm;
use crate::disk_image::{DiskImage, is_bundle};
use crate::icon;
use crate::input::{Input, Opened};
use crate::inspection::{ContainerFormat, InputFormat, InputInfo, Inspection};
use crate::metadata::decide;
use crate::package::{FlatPackage, PackageFindings, PayloadScan};
use crate::probe::{Format, TarCompression, probe};
use crate::pump;
use crate::tree::{self as trees, Container, Tree};
use crate::trust::{self, Checks};

/// How an input is read.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct InspectOptions {
    /// Which app the installer is about: its bundle identifier or its path.
    pub primary_app: Option<String>,
    /// Path of the installer inside a zip, tar, disk image or folder that holds several. `//`
    /// goes from an image into what it holds: `Inner.dmg//Tool.pkg`.
    pub select: Option<String>,
    /// Whether the payload of a package is read.
    pub payload_scan: PayloadScan,
    /// Also computes the SHA-256 of the input file, which reads all of it.
    pub hash: bool,
    /// Password of an encrypted disk image or volume.
    pub image_password: Option<Password>,
    /// Also gives the text of a disk image's licence agreement.
    pub licence_text: bool,
    /// Also compares the checksums that a disk image carries, which reads all of it.
    pub verify_image: bool,
    /// How far signatures on the input are checked.
    pub signatures: SignatureScan,
    /// The time for which certificates are judged, Unix seconds; `None`: now.
    pub at: Option<u64>,
    /// Also gives the first lines of scripts.
    pub script_lines: bool,
}

/// How far the signatures on an input are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SignatureScan {
    /// What is signed is compared byte for byte up to
    /// [`Limits::signature_scan`](mip_base::Limits::signature_scan) bytes; beyond that, signatures
    /// and certificates are checked, and what was not compared is said.
    #[default]
    Auto,
    /// They are not looked at.
    Never,
    /// Everything is compared, whatever its size.
    Full,
}

impl InspectOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

/// What stays the same, or grows, on the way into containers.
#[derive(Clone, Copy)]
struct Context<'a> {
    options: &'a InspectOptions,
    checks: &'a Checks,
    job: &'a Job,
    /// Containers that are open.
    depth: u64,
}

impl Context<'_> {
    /// One container further in.
    fn inside(self) -> Result<Self> {
        let depth = self.depth.saturating_add(1);
        let limit = self.job.limits().nesting;
        if depth > limit {
            return Err(Error::limit(Code::LimitNesting, "containers in containers", limit, depth));
        }
        Ok(Self { depth, ..self })
    }
}

/// Where something is: its container path, escaped, and its own name as it is.
#[derive(Clone, Copy)]
struct Place<'a> {
    shown: &'a str,
    name: &'a str,
}

/// Reads what an installer says about itself. Only what is needed is read: of a 4 GiB package
/// a few MB.
///
/// # Errors
/// [`Code::UnknownFormat`], [`Code::Unsupported`] for what is no installer that can be read;
/// the codes of the formats for damaged input; limits; [`Code::InputChanged`].
///
/// Several apps that nothing tells apart are not an error here but a warning, `W_AMBIGUOUS`.
pub fn inspect(input: &Input, options: &InspectOptions, job: &Job) -> Result<Inspection> {
    inspect_full(input, options, job).map(|found| found.inspection)
}

/// An [`Inspection`] with what does not fit into JSON.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Inspected {
    /// What is known of the installer.
    pub inspection: Inspection,
    /// The icon of the primary app as a PNG file, where there is one that can be read. At most
    /// [`icon::MAX_PIXELS`] wide and high.
    pub icon_png: Option<Vec<u8>>,
}

/// As [`inspect`], with the icon itself.
///
/// # Errors
/// As [`inspect`].
pub fn inspect_full(input: &Input, options: &InspectOptions, job: &Job) -> Result<Inspected> {
    let place = |e: Error| in_input(e, input);
    let opened = input.open(job)?;
    let Examined { mut inspection, icon_png, .. } =
        examine(input, &opened, options, job).map_err(place)?;
    if options.hash
        && let Opened::File { source, .. } = &opened
    {
        inspection.input.sha256 = Some(sha256(source, job).map_err(place)?);
    }
    opened.unchanged().map_err(place)?;
    Ok(Inspected { inspection, icon_png })
}

/// Says in which input the error is, by the path that was given.
pub(crate) fn in_input(e: Error, input: &Input) -> Error {
    within_once(e, &escape(input.name()), &input.shown())
}

/// Adds `step` to where the error is, unless that starts at `place` (escaped) already: what
/// reads a package names the whole container path.
fn within_once(e: Error, place: &str, step: &str) -> Error {
    let from = e.path();
    let rest = from.as_deref().and_then(|p| p.strip_prefix(place));
    match rest {
        Some(r) if r.is_empty() || r.starts_with('/') => e,
        _ => e.within(step),
    }
}

pub(crate) fn sha256(source: &Source, job: &Job) -> Result<String> {
    job.report(Event::Started { phase: Phase::Inspect, total: Some(source.size()) });
    let sum = pump::sha256(&mut Cursor::new(source.clone()), Phase::Inspect, job)?;
    job.report(Event::Finished { phase: Phase::Inspect });
    Ok(sum)
}

/// What a conversion carries.
#[derive(Clone)]
pub(crate) enum Subject {
    /// A file, as it is.
    File { data: Section, name: String },
    /// A folder of a tree, packed. `bundle` is the folder's name.
    Tree { tree: Arc<dyn Tree>, root: Option<EntryPath>, bundle: String },
}

impl Subject {
    fn plain_name(&self) -> String {
        match self {
            Subject::File { name, .. } => name.clone(),
            Subject::Tree { bundle, .. } => format!("{bundle}.tar.gz"),
        }
    }

    /// File name of the payload in the archive.
    pub(crate) fn payload_name(&self) -> String {
        profile::payload_name(&self.plain_name())
    }

    /// The name before it was made usable, where that changed it.
    pub(crate) fn original_name(&self) -> Option<String> {
        let plain = self.plain_name();
        (plain != self.payload_name()).then_some(plain)
    }
}

/// An input that was looked into.
pub(crate) struct Examined {
    pub inspection: Inspection,
    /// `None` when several installers could be meant.
    pub subject: Option<Subject>,
    pub icon_png: Option<Vec<u8>>,
    /// Why a conversion must stop: something is left open.
    pub ambiguity: Option<Error>,
    /// The disk image that the subject is in.
    pub carrier: Option<Carrier>,
}

pub(crate) fn examine(
    input: &Input,
    opened: &Opened,
    options: &InspectOptions,
    job: &Job,
) -> Result<Examined> {
    let shown = escape(input.name());
    let place = Place { shown: &shown, name: input.name() };
    let mut info = InputInfo { name: shown.clone(), ..InputInfo::default() };
    let checks = Checks::new(options, job.limits());
    let context = Context { options, checks: &checks, job, depth: 0 };
    let mut examined = match opened {
        Opened::Folder(path) => examine_folder(path, place, info, context),
        Opened::File { source, .. } => {
            info.size = source.size();
            examine_file(place, Section::whole(source.clone()), info, context)
        }
    }?;
    trust::conclude(&mut examined.inspection, &checks);
    examined.inspection.apple_mdm = apple_mdm::judge(&examined.inspection);
    Ok(examined)
}

fn examine_folder(
    path: &Path,
    place: Place<'_>,
    mut info: InputInfo,
    context: Context<'_>,
) -> Result<Examined> {
    let job = context.job;
    let tree: Arc<dyn Tree> = Arc::from(trees::open_directory(path, job)?);
    info.size = tree.entries().iter().fold(0, |n, e| n.saturating_add(e.size));
    if is_bundle(tree.as_ref(), None, job)? {
        info.container = Some(ContainerFormat::DiskImage);
        return image::examine_bundle(place, &tree, None, info, context.inside()?);
    }
    tree::examine(place, tree, info, context)
}

/// A file, whatever it is.
fn examine_file(
    place: Place<'_>,
    data: Section,
    mut info: InputInfo,
    context: Context<'_>,
) -> Result<Examined> {
    let job = context.job;
    let source: Source = Arc::new(data.clone());
    let format = probe(&source, job)?;
    if let Some(refusal) = format.refusal() {
        let cut = refusal.code() == Code::UnknownFormat && has_extension(place.name, &["dmg"]);
        return Err(if cut {
            refusal.hint(
                "a .dmg ends with a trailer that this file does not have: it may be cut, download it again",
            )
        } else {
            refusal
        });
    }
    let (container, how) = match format {
        Format::Zip => (ContainerFormat::Zip, Container::Zip),
        Format::Tar(how) => (tar_format(how), Container::Tar(how.codec())),
        Format::Udif | Format::EncryptedImage | Format::SparseImage | Format::RawImage => {
            info.container.get_or_insert(ContainerFormat::DiskImage);
            let context = context.inside()?;
            let image = DiskImage::open(source, context.passwords(), job)?;
            return image::examine(
                place,
                &image,
                Carrier::of_file(&image, data, place),
                info,
                context,
            );
        }
        Format::Compressed(how) => {
            info.container.get_or_insert(ContainerFormat::CompressedDiskImage);
            return image::examine_packed(place, data, how, info, context.inside()?);
        }
        _ => return examine_flat(place, data, info, context.inside()?),
    };
    info.container.get_or_insert(container);
    let tree: Arc<dyn Tree> = Arc::from(trees::open_archive(source, how, job)?);
    tree::examine(place, tree, info, context.inside()?)
}

impl<'a> Context<'a> {
    fn passwords(self) -> &'a [Password] {
        self.options.image_password.as_slice()
    }
}

fn tar_format(how: TarCompression) -> ContainerFormat {
    match how {
        TarCompression::None => ContainerFormat::Tar,
        TarCompression::Gzip => ContainerFormat::TarGz,
        TarCompression::Bzip2 => ContainerFormat::TarBz2,
        TarCompression::Xz => ContainerFormat::TarXz,
    }
}

/// A flat package.
fn examine_flat(
    place: Place<'_>,
    data: Section,
    mut info: InputInfo,
    context: Context<'_>,
) -> Result<Examined> {
    info.format = InputFormat::Xar;
    let package =
        FlatPackage::open_inside(Arc::new(data.clone()), place.shown, context.depth, context.job)?;
    let mut findings = package.examine(context.options.payload_scan, context.job)?;
    trust::payload_apps(&package, &mut findings.apps, context.checks, context.job)?;
    let (claims, tickets) =
        trust::package(package.xar(), place.shown, context.checks, context.job)?;
    let subject = Subject::File { data, name: place.name.to_owned() };
    let mut examined = conclude(info, findings, subject, context)?;
    examined.inspection.trust.package = Some(claims);
    examined.inspection.trust.tickets.extend(tickets);
    Ok(examined)
}

/// From what an installer holds to what it is.
fn conclude(
    mut info: InputInfo,
    findings: PackageFindings,
    subject: Subject,
    Context { options, job, .. }: Context<'_>,
) -> Result<Examined> {
    info.kind = findings.kind;
    let mut inspection = Inspection::new(info);
    inspection.installer = findings.installer;
    inspection.apps = findings.apps;
    inspection.warnings = findings.warnings;
    inspection.notes = findings.notes;
    if !options.script_lines {
        for script in inspection.installer.components.iter_mut().flat_map(|c| &mut c.scripts) {
            script.head = Vec::new();
        }
    }
    let ambiguity = decide(&mut inspection, options.primary_app.as_deref())?;
    let icon_png = icon::choose(findings.icons, &mut inspection, job);
    Ok(Examined { inspection, subject: Some(subject), icon_png, ambiguity, carrier: None })
}
