//! The layers of an image, taken off from the outside in.

use std::sync::Arc;

use mip_base::{Code, EntryPath, Error, Job, ReadAt as _, Result, Source, escape, read_full_at};
use mip_disk::encrypted::{self, Encrypted};
use mip_disk::partition::{self, Map};
use mip_disk::sparse;
use mip_disk::volume::{Kind, identify};
use mip_signing::Password;
use mip_udif::Udif;

use super::volume::FileSystem;
use super::{DiskImage, ImageFormat, ImageVolume, Inner, State, bundle};
use crate::tree::Tree;

/// Bytes at the start and the end of an image by which its layers are told.
const HEAD: u64 = 4096;
const TAIL: u64 = 512;

/// What an image gives when its outer layers are off.
struct Disk {
    format: ImageFormat,
    encryption: Option<u32>,
    udif: Option<Udif>,
    /// The image as it is stored, without encryption around it.
    bytes: Source,
    data: Source,
}

pub(super) fn open(source: Source, passwords: &[Password], job: &Job) -> Result<DiskImage> {
    let (source, encryption) = decrypted(source, passwords, job)?;
    let (head, tail) = ends(&source)?;
    let bytes = source.clone();
    let disk = if Udif::sniff(&head, &tail) {
        let udif = Udif::open(source, job)?;
        let data: Source = Arc::new(udif.clone());
        Disk { format: ImageFormat::Udif, encryption, udif: Some(udif), bytes, data }
    } else if sparse::sniff(&head) {
        let data = sparse::open_image(source, job)?;
        Disk { format: ImageFormat::Sparse, encryption, udif: None, bytes, data }
    } else {
        Disk { format: ImageFormat::Raw, encryption, udif: None, bytes, data: source }
    };
    volumes(disk, passwords, job)
}

pub(super) fn open_bundle(
    tree: Arc<dyn Tree>,
    root: Option<&EntryPath>,
    passwords: &[Password],
    job: &Job,
) -> Result<DiskImage> {
    let bundle = bundle::open(tree, root, job)?;
    let mut data = sparse::open_bundle(&bundle.info, bundle.bands, job)?;
    let mut encryption = None;
    if let Some(token) = bundle.token {
        let image = Encrypted::open_bundle(&token, data, job)?;
        encryption = Some(image.info().key_bits);
        image.check(job)?;
        data = with_passwords(passwords, "the disk image", |p| image.unlock(p, job))?;
    }
    let format = ImageFormat::SparseBundle;
    let disk = Disk { format, encryption, udif: None, bytes: data.clone(), data };
    volumes(disk, passwords, job)
}

fn ends(source: &Source) -> Result<(Vec<u8>, Vec<u8>)> {
    let size = source.size();
    let mut head = vec![0; usize::try_from(size.min(HEAD)).unwrap_or(0)];
    read_full_at(source, 0, &mut head, Code::Truncated)?;
    let mut tail = vec![0; usize::try_from(size.min(TAIL)).unwrap_or(0)];
    read_full_at(source, size.saturating_sub(TAIL), &mut tail, Code::Truncated)?;
    Ok((head, tail))
}

/// Takes off encryption: usually none or one layer, but nothing forbids more.
fn decrypted(
    mut source: Source,
    passwords: &[Password],
    job: &Job,
) -> Result<(Source, Option<u32>)> {
    let mut encryption = None;
    let limit = job.limits().nesting;
    for depth in 1.. {
        let (head, tail) = ends(&source)?;
        if !encrypted::sniff(&head, &tail) {
            break;
        }
        if depth > limit {
            return Err(Error::limit(Code::LimitNesting, "encryption in encryption", limit, depth));
        }
        let image = Encrypted::open(source, job)?;
        encryption = Some(image.info().key_bits);
        // No password helps against what this finds.
        image.check(job)?;
        source = with_passwords(passwords, "the disk image", |p| image.unlock(p, job))?;
    }
    Ok((source, encryption))
}

/// Tries one password after the other.
fn with_passwords<T>(
    passwords: &[Password],
    what: &str,
    mut unlock: impl FnMut(&[u8]) -> Result<T>,
) -> Result<T> {
    if passwords.is_empty() {
        return Err(password_missing(what));
    }
    for password in passwords {
        match unlock(password.expose().as_bytes()) {
            Err(e) if e.code() == Code::Password => {}
            done => return done,
        }
    }
    let why = match passwords {
        [_] => format!("the password does not open {what}"),
        _ => format!("none of the {} passwords opens {what}", passwords.len()),
    };
    Err(Error::new(Code::Password, why)
        .hint("check the password: it is used as it is, with all blanks"))
}

/// What to do about a missing password, for the command line.
const FLAGS: &str =
    "give it with --image-password-file, --image-password-env or --image-password-fd";

fn password_missing(what: &str) -> Error {
    Error::new(Code::PasswordMissing, format!("{what} is encrypted, and no password was given"))
        .hint(FLAGS)
}

fn volumes(disk: Disk, passwords: &[Password], job: &Job) -> Result<DiskImage> {
    let map = partition::read(&disk.data, job)?;
    let mut found = Vec::new();
    for partition in &map.partitions {
        job.check()?;
        let data: Source = Arc::new(partition.section(&disk.data)?);
        look(&data, is_boot(&partition.kind), passwords, &mut found, job)?;
    }
    // Something that is only there to boot a Mac does not make an image one of two volumes.
    if !found.iter().any(ImageVolume::is_read) {
        match found.iter_mut().find(|v| matches!(v.state, State::Open(_))) {
            Some(v) => v.auxiliary = false,
            None => return Err(unreadable(found, &map)),
        }
    }
    folders(&mut found, job);
    let mut notes = notes(&found, &map);
    notes.extend(disk.udif.iter().flat_map(|u| u.notes()).map(|n| escape(n)));
    Ok(DiskImage {
        inner: Arc::new(Inner {
            format: disk.format,
            encryption: disk.encryption,
            udif: disk.udif,
            bytes: disk.bytes,
            disk_bytes: disk.data.size(),
            map,
            volumes: found,
            notes,
        }),
    })
}

const READ: &str =
    "mip reads HFS+, HFSX, APFS and FAT volumes; copy the app or package out on a Mac";

/// Why none of the volumes can be read.
fn unreadable(found: Vec<ImageVolume>, map: &Map) -> Error {
    if found.iter().any(|v| matches!(v.state, State::Locked)) {
        return password_missing("the volume");
    }
    // Damage, or a reader's own word, says more than the name of the file system.
    let known: Vec<&str> = found.iter().map(ImageVolume::file_system).collect();
    let list = known.join(", ");
    let own = |s: &State| match s {
        State::Refused(e) => e.code() != Code::Unsupported || known.len() == 1,
        _ => false,
    };
    if let Some(State::Refused(e)) = found.into_iter().map(|v| v.state).find(own) {
        return if e.next_step().is_some() { e } else { e.hint(READ) };
    }
    let kinds: Vec<String> =
        map.partitions.iter().map(|p| escape(&p.kind)).filter(|k| !k.is_empty()).collect();
    let what = match (list.is_empty(), kinds.is_empty()) {
        (false, _) => format!("holds no volume that is read, but {list}"),
        (true, false) => format!("holds no volume that is known; partitions: {}", kinds.join(", ")),
        (true, true) => "holds no file system that is known".to_owned(),
    };
    Error::new(Code::Unsupported, what).hint(READ)
}

/// Finds the volumes in one partition, or on a disk without partitions. `boot`: it is there to
/// boot from.
fn look(
    data: &Source,
    boot: bool,
    passwords: &[Password],
    found: &mut Vec<ImageVolume>,
    job: &Job,
) -> Result<()> {
    let kind = identify(data)?;
    if matches!(kind, Kind::Empty | Kind::Unknown) {
        return Ok(());
    }
    if kind == Kind::Apfs {
        return apfs(data, boot, passwords, found, job);
    }
    let mut volume = ImageVolume::new(kind, data.size(), boot);
    volume.state = match FileSystem::open(kind, data.clone(), job) {
        Ok(fs) => {
            let facts = fs.facts();
            volume.name = Some(facts.name).filter(|n| !n.is_empty());
            volume.case_sensitive = Some(facts.case_sensitive);
            volume.size = facts.size;
            volume.notes = facts.notes;
            State::Open(fs)
        }
        Err(e) if is_fatal(&e) => return Err(e),
        Err(e) => State::Refused(e),
    };
    found.push(volume);
    Ok(())
}

fn apfs(
    data: &Source,
    boot: bool,
    passwords: &[Password],
    found: &mut Vec<ImageVolume>,
    job: &Job,
) -> Result<()> {
    let container = match mip_apfs::Container::open(data.clone(), job) {
        Ok(c) => c,
        Err(e) if is_fatal(&e) => return Err(e),
        Err(e) => {
            let mut volume = ImageVolume::new(Kind::Apfs, data.size(), boot);
            volume.state = State::Refused(e);
            found.push(volume);
            return Ok(());
        }
    };
    for info in container.volumes() {
        job.check()?;
        let mut volume = ImageVolume::new(Kind::Apfs, data.size(), boot);
        volume.name = Some(info.name.clone()).filter(|n| !n.is_empty());
        volume.case_sensitive = Some(info.case_sensitive);
        volume.encrypted = info.encrypted;
        volume.role = info.role.map(str::to_owned);
        volume.auxiliary |= matches!(info.role, Some("Preboot" | "Recovery" | "VM" | "Update"));
        let opened = if info.encrypted {
            let name = escape(&info.name);
            let what = format!("the volume \"{name}\"");
            with_passwords(passwords, &what, |p| container.unlock(info.index, p, job))
        } else {
            container.volume(info.index, job)
        };
        volume.state = match opened {
            Ok(v) => {
                let fs = FileSystem::Apfs(v);
                volume.notes = fs.facts().notes;
                State::Open(fs)
            }
            Err(e) if e.code() == Code::PasswordMissing => State::Locked,
            Err(e) if is_fatal(&e) || e.code() == Code::Password => return Err(e),
            Err(e) => State::Refused(e),
        };
        found.push(volume);
    }
    Ok(())
}

/// Errors that end everything, whatever else there is.
fn is_fatal(e: &Error) -> bool {
    use mip_base::Kind as K;
    matches!(e.kind(), K::Cancelled | K::Limit | K::InputIo | K::InputChanged | K::Internal)
}

/// Partitions that are there to boot a machine from.
fn is_boot(kind: &str) -> bool {
    ["C12A7328-F81F-11D2-BA4B-00A0C93EC93B", "Apple_Boot", "Apple_Recovery", "EFI"]
        .iter()
        .any(|k| kind.get(..k.len()).is_some_and(|start| start.eq_ignore_ascii_case(k)))
}

impl ImageVolume {
    fn new(kind: Kind, size: u64, auxiliary: bool) -> Self {
        Self {
            name: None,
            kind,
            case_sensitive: None,
            encrypted: false,
            role: None,
            size,
            auxiliary,
            state: State::Refused(Error::new(Code::Internal, "not looked at")),
            folder: None,
            notes: Vec::new(),
        }
    }
}

/// Gives each volume a folder where there are several: its name, made one usable name.
fn folders(found: &mut [ImageVolume], job: &Job) {
    if found.iter().filter(|v| v.is_read()).count() < 2 {
        return;
    }
    let mut taken: Vec<String> = Vec::new();
    for (n, volume) in found.iter_mut().filter(|v| v.is_read()).enumerate() {
        let number = n.saturating_add(1);
        let plain: String = volume.name.clone().unwrap_or_default().replace(['/', '\0'], ":");
        let limits = job.limits();
        let usable = EntryPath::new(&plain, limits).is_ok() && !plain.starts_with('.');
        let mut name = if usable { plain } else { format!("Volume {number}") };
        // Names that differ in case only would be one folder to many a reader.
        if taken.contains(&name.to_lowercase()) {
            name = format!("{name} {number}");
        }
        while taken.contains(&name.to_lowercase()) {
            name.push('_');
        }
        taken.push(name.to_lowercase());
        volume.folder = EntryPath::new(&name, limits).ok();
    }
}

fn notes(found: &[ImageVolume], map: &Map) -> Vec<String> {
    let mut out: Vec<String> = map.notes.iter().map(|n| escape(n)).collect();
    for v in found {
        let name = v.name.as_deref().map(|n| format!(" \"{}\"", escape(n))).unwrap_or_default();
        out.extend(v.notes.iter().map(|n| format!("volume{name}: {}", escape(n))));
        match &v.state {
            State::Open(_) if v.auxiliary => {
                out.push(format!(
                    "the {} volume{name} is there to boot from and was passed over",
                    v.file_system()
                ));
            }
            State::Open(_) => {}
            State::Locked => out.push(format!("the volume{name} is encrypted and was passed over")),
            State::Refused(e) => {
                let why = format!("({}: {})", e.code().text(), e.message());
                out.push(format!("the {} volume{name} was passed over {why}", v.file_system()));
            }
        }
    }
    out
}
