//! A disk image: what it is for, and what of it is to be carried.

use std::sync::Arc;

use mip_base::{
    Code, EntryKind, EntryPath, Error, Job, Result, Section, Source, escape, read_up_to,
};

use super::candidates::{Candidate, candidates, is_packed_image};
use super::tree::{Selected, by_identifier, examine_one, select, several};
use super::{Context, Examined, Place, Subject, examine_file};
use crate::app::has_extension;
use crate::disk_image::{DiskImage, ImageFormat, ImageTree};
use crate::input::unpacked;
use crate::inspection::{ImagePayload, ImagePurpose, InputFormat, InputInfo, Inspection, Warning};
use crate::probe::{Format, TarCompression, compressed_unknown, probe};
use crate::tree::Tree;
use crate::trust;

/// What of an image could be carried.
#[derive(Clone)]
pub(crate) struct Carrier {
    /// The image as it is: its bytes and file name; else why there are none to carry.
    pub(crate) original: Result<(Section, String), &'static str>,
    /// What macOS asks a person for before it mounts the image.
    pub(crate) asks: Option<&'static str>,
    /// Several installers are in it, and one was chosen.
    pub(crate) chosen: bool,
    /// The files of the image, and the app among them, where an app is what is to be installed.
    pub(crate) app: Option<(Arc<ImageTree>, Option<EntryPath>)>,
}

/// What is carried of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carries {
    Image,
    Inside,
}

impl Carrier {
    /// An image that is one file.
    pub(super) fn of_file(image: &DiskImage, data: Section, place: Place<'_>) -> Self {
        // hdiutil tells a raw image by the name of the file.
        let raw = image.format() == ImageFormat::Raw
            && !has_extension(place.name, &["dmg", "img", "cdr", "iso", "toast"]);
        let original = if raw {
            Err("macOS does not mount a file of this name as a disk image")
        } else {
            Ok((data, place.name.to_owned()))
        };
        Self::new(image, original)
    }

    fn new(image: &DiskImage, original: Result<(Section, String), &'static str>) -> Self {
        let asks = match (image.has_licence(), image.asks_for_password()) {
            (true, true) => Some("a password and the consent to a licence agreement"),
            (true, false) => Some("the consent to a licence agreement"),
            (false, true) => Some("a password"),
            (false, false) => None,
        };
        Self { original, asks, chosen: false, app: None }
    }

    /// What is carried unless the caller says otherwise, and why.
    pub(crate) fn choose(&self) -> (Carries, String) {
        match (&self.original, self.asks) {
            (Err(why), _) => (Carries::Inside, (*why).to_owned()),
            (_, Some(asks)) => (
                Carries::Inside,
                format!("macOS would ask a person for {asks} before it mounts the image"),
            ),
            _ if self.chosen => (
                Carries::Inside,
                "the image holds several installers, and one was chosen".to_owned(),
            ),
            _ => (Carries::Image, "macOS mounts it without asking anyone".to_owned()),
        }
    }
}

/// A sparse bundle: the folder `root` of `tree`.
pub(super) fn examine_bundle(
    place: Place<'_>,
    tree: &Arc<dyn Tree>,
    root: Option<&EntryPath>,
    info: InputInfo,
    context: Context<'_>,
) -> Result<Examined> {
    let image = DiskImage::open_bundle(tree.clone(), root, context.passwords(), context.job)?;
    let carrier =
        Carrier::new(&image, Err("the image is a folder, and an archive carries one file"));
    examine(place, &image, carrier, info, context)
}

/// A compressed file that is no tar: it may hold a disk image.
pub(super) fn examine_packed(
    place: Place<'_>,
    data: Section,
    how: TarCompression,
    info: InputInfo,
    context: Context<'_>,
) -> Result<Examined> {
    let job = context.job;
    if !is_packed_image(place.name) && !starts_like_one(&data, how, job) {
        return Err(compressed_unknown());
    }
    let image = unpacked(&data, how.codec(), None, job)?;
    let name = place.name.rsplit_once('.').map_or(place.name, |(stem, _)| stem);
    let inner = Place { name, ..place };
    let data = Section::whole(image.clone());
    let mut examined = match probe(&image, job)? {
        Format::Udif | Format::EncryptedImage | Format::SparseImage | Format::RawImage => {
            let image = DiskImage::open(image, context.passwords(), job)?;
            let carrier = Carrier::new(
                &image,
                Err("macOS does not mount an image that is compressed as a file"),
            );
            examine(inner, &image, carrier, info, context)?
        }
        // A package that somebody compressed, say.
        Format::Xar => examine_file(inner, data, info, context)?,
        _ => return Err(compressed_unknown()),
    };
    examined
        .inspection
        .notes
        .push("the input is a compressed file; what it holds was read".to_owned());
    Ok(examined)
}

/// Whether what a compressed file holds starts like something that is read. (A UDIF image is told
/// by its end, so for that the name must do.)
fn starts_like_one(data: &Section, how: TarCompression, job: &Job) -> bool {
    let mut head = vec![0; 64 << 10];
    let input = Box::new(data.reader());
    let have = mip_codec::decoder(how.codec(), input, job)
        .and_then(|mut d| {
            read_up_to(d.as_mut(), &mut head).map_err(|e| Error::from_io(Code::Gzip, "reading", e))
        })
        .unwrap_or(0);
    head.truncate(have);
    let head: Source = Arc::new(head);
    probe(&head, job).is_ok_and(|f| {
        matches!(f, Format::Xar | Format::EncryptedImage | Format::SparseImage | Format::RawImage)
    })
}

/// The volumes of an image.
pub(super) fn examine(
    place: Place<'_>,
    image: &DiskImage,
    mut carrier: Carrier,
    info: InputInfo,
    context: Context<'_>,
) -> Result<Examined> {
    let (options, job) = (context.options, context.job);
    let tree = Arc::new(image.tree(false, job)?);
    let mut facts = image.facts(place.shown, Some(&tree), options.licence_text);
    if options.verify_image {
        let threads = crate::verify::threads(None);
        facts.checksums = image.verify(threads, job)?;
    }
    let found = inside(place, &tree, info, context)?;
    let mut examined = found.examined;
    if let Some((installs, path, why)) = found.purpose {
        facts.decided = Some(ImagePurpose { installs, path: escape(&path), why });
        carrier.chosen = found.chosen;
        if let Some(Subject::Tree { root, .. }) = &examined.subject
            && (installs == APP || installs == DRAG_AND_DROP)
        {
            carrier.app = Some((tree.clone(), root.clone()));
        }
        if examined.subject.is_some() && examined.carrier.is_none() {
            let (carries, why) = carrier.choose();
            let carries = match (carries, installs) {
                (Carries::Image, _) => "image",
                (_, PACKAGE) => "package",
                _ => "app",
            };
            facts.payload = Some(ImagePayload { carries, why });
            examined.carrier = Some(carrier);
        }
    }
    let inspection = &mut examined.inspection;
    // Of images in images the innermost is the one that could be carried.
    if inspection.image.is_none() {
        inspection.image = Some(facts);
        let (claims, tickets) = trust::image(image, place.shown, context.checks, job)?;
        inspection.trust.image = claims;
        inspection.trust.tickets.extend(tickets);
    }
    inspection.notes.extend(image.notes().iter().map(|n| format!("{}: {n}", place.shown)));
    let unusable = tree.listing().unusable();
    if unusable > 0 {
        let text = format!(
            "{}: {unusable} entries have names over the limits and were left out",
            place.shown
        );
        inspection.notes.push(text);
    }
    Ok(examined)
}

const DRAG_AND_DROP: &str = "drag-and-drop-app";
const APP: &str = "app";
const PACKAGE: &str = "package";
const DISK_IMAGE: &str = "disk-image";

/// What an image turned out to be.
struct Found {
    examined: Examined,
    /// Word, path and reason; `None` when nothing can be installed, or several things can.
    purpose: Option<(&'static str, String, String)>,
    /// There were several, and the caller chose.
    chosen: bool,
}

fn inside(
    place: Place<'_>,
    tree: &Arc<ImageTree>,
    mut info: InputInfo,
    context: Context<'_>,
) -> Result<Found> {
    let job = context.job;
    let (all, apps) = candidates(tree.as_ref(), place.name, job)?;
    let (mut group, mut why, mut passed) = decide(tree, all.clone(), job)?;
    let mut options = context.options.clone();
    // The choice of what would be taken anyway is none.
    let mut chosen = false;
    if let Selected::One(one, inner) = select(all, context.options)? {
        chosen = !matches!(group.as_slice(), [only] if only.path() == one.path());
        (options, group) = (inner, vec![one]);
    }
    let context = Context { options: &options, ..context };
    let before = group.len();
    by_identifier(tree.as_ref(), &mut group, context);
    chosen |= group.len() < before;
    if chosen {
        why = Why::Selected;
        passed.clear();
    }
    let dynamic: Arc<dyn Tree> = tree.clone();
    let nothing = |examined| Found { examined, purpose: None, chosen: false };
    match group.pop() {
        None => {
            info.format = InputFormat::DiskImage;
            let mut inspection = Inspection::new(info);
            let message = "there is no app and no package on the disk image";
            inspection.warnings.push(Warning::new("W_NOTHING_TO_INSTALL", message));
            let ambiguity = Some(Error::new(Code::NothingToInstall, message));
            Ok(nothing(Examined {
                inspection,
                subject: None,
                icon_png: None,
                ambiguity,
                carrier: None,
            }))
        }
        Some(one) if group.is_empty() => {
            let installs = match (&one, &why) {
                (Candidate::App(_), Why::Link(_)) => DRAG_AND_DROP,
                (Candidate::App(_), _) => APP,
                (Candidate::Image(..) | Candidate::SparseBundle(_), _) => DISK_IMAGE,
                _ => PACKAGE,
            };
            let purpose = Some((installs, one.path().to_owned(), why.text()));
            let mut examined = examine_one(place, dynamic, one, &apps, info, context)?;
            if !passed.is_empty() {
                let list: Vec<String> = passed.iter().take(8).map(|p| escape(p)).collect();
                examined.inspection.notes.push(format!(
                    "also at the root of the volume, and passed over: {} (--select chooses)",
                    list.join(", ")
                ));
            }
            Ok(Found { examined, purpose, chosen })
        }
        Some(last) => {
            group.push(last);
            several(place, tree.as_ref(), &group, &apps, info, context).map(nothing)
        }
    }
}

/// How it was seen what an image is for.
enum Why {
    Selected,
    /// A link to the Applications folder, by its path.
    Link(String),
    Root(&'static str),
    Anywhere,
}

impl Why {
    fn text(&self) -> String {
        match self {
            Why::Selected => "it was chosen".to_owned(),
            Why::Link(path) => {
                format!("it stands beside a link to the Applications folder (\"{}\")", escape(path))
            }
            Why::Root(what) => format!("it is the only {what} at the root of the volume"),
            Why::Anywhere => {
                "there is no installer at the root of the volume, and it is the only one on it"
                    .to_owned()
            }
        }
    }
}

/// What is to be installed: with a link to the Applications folder at the root the apps there;
/// else the packages at the root; else the apps there; else the images there; else what lies
/// deeper. What Finder does not show is no candidate. Also gives the paths of what stands at the
/// root beside that.
fn decide(
    tree: &ImageTree,
    mut all: Vec<Candidate>,
    job: &Job,
) -> Result<(Vec<Candidate>, Why, Vec<String>)> {
    let roots = tree.roots();
    let hidden = |c: &Candidate| {
        let below = |path: &str| path.split('/').any(|p| p.starts_with('.') || p == "__MACOSX");
        below(c.path())
    };
    all.retain(|c| !hidden(c));
    let at_root = |c: &Candidate| {
        let parent = c.parent();
        roots.contains(&parent.as_ref())
    };
    let mut take = |what: fn(&Candidate) -> bool| -> Vec<Candidate> {
        let (group, rest) =
            std::mem::take(&mut all).into_iter().partition(|c| what(c) && at_root(c));
        all = rest;
        group
    };
    let paths = |of: &[Candidate]| of.iter().map(|c| c.path().to_owned()).collect::<Vec<_>>();
    let apps = take(Candidate::is_app);
    if !apps.is_empty()
        && let Some(link) = applications(tree, job)?
    {
        let passed = paths(&take(Candidate::is_package));
        return Ok((apps, Why::Link(link), passed));
    }
    let packages = take(Candidate::is_package);
    if !packages.is_empty() {
        return Ok((packages, Why::Root("package"), paths(&apps)));
    }
    let images = take(Candidate::is_image);
    if !apps.is_empty() {
        return Ok((apps, Why::Root("app"), paths(&images)));
    }
    if !images.is_empty() {
        return Ok((images, Why::Root("disk image"), Vec::new()));
    }
    Ok((all, Why::Anywhere, Vec::new()))
}

/// The path of a link or Finder alias to `/Applications` at the root of a volume.
fn applications(tree: &ImageTree, job: &Job) -> Result<Option<String>> {
    let roots = tree.roots();
    for (index, entry) in tree.listing().sorted() {
        let parent = entry.path.parent();
        if matches!(entry.kind, EntryKind::Symlink | EntryKind::File)
            && roots.contains(&parent.as_ref())
            && leads_there(tree, index, job)?
        {
            return Ok(Some(entry.path.to_string()));
        }
    }
    Ok(None)
}

/// A link that cannot be read leads elsewhere.
fn leads_there(tree: &ImageTree, index: usize, job: &Job) -> Result<bool> {
    match tree.leads_to_applications(index, job) {
        Err(e) if matches!(e.kind(), mip_base::Kind::Cancelled | mip_base::Kind::Limit) => Err(e),
        Err(_) => Ok(false),
        done => done,
    }
}
