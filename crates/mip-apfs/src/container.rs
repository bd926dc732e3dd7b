//! A container and the list of its volumes.

use std::fmt;
use std::sync::Arc;

use mip_base::bytes::{le_u16, le_u64, slice};
use mip_base::{Code, Error, Job, Result, Source};

use crate::checkpoint::{self, Superblock};
use crate::keybag;
use crate::names::Rules;
use crate::object::{Device, kind, text};
use crate::omap::Omap;
use crate::volume::Volume;

const CASE_INSENSITIVE: u64 = 1;
const NORMALIZATION_INSENSITIVE: u64 = 8;
const INCOMPLETE_RESTORE: u64 = 0x10;
const SEALED: u64 = 0x20;
/// The above, `DATALESS_SNAPS` and `ENC_ROLLED`.
const KNOWN_INCOMPATIBLE: u64 = 0x3f;
/// `APFS_FS_UNENCRYPTED`.
const UNENCRYPTED: u64 = 1;
/// `APFS_FS_ONEKEY`: one key for all files.
const ONE_KEY: u64 = 8;

/// What one volume of a container is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct VolumeInfo {
    /// Its place in [`Container::volumes`].
    pub index: usize,
    /// Its name.
    pub name: String,
    /// Its role ("Preboot", "Recovery", "System", "Data", …); `None` for a plain volume.
    pub role: Option<&'static str>,
    /// Its UUID.
    pub uuid: [u8; 16],
    /// Whether `A` and `a` are different names.
    pub case_sensitive: bool,
    /// Whether composed and decomposed letters are the same.
    pub normalization_insensitive: bool,
    /// Whether [`Container::unlock`] is needed.
    pub encrypted: bool,
    /// Whether it is a sealed system volume.
    pub sealed: bool,
    /// Snapshots that it has; none of them is read.
    pub snapshots: u64,
    /// Files, by the volume's own count.
    pub files: u64,
    /// Folders, by the volume's own count.
    pub directories: u64,
    /// Why it cannot be read by this crate, where that is known beforehand.
    pub unsupported: Option<String>,
}

/// What the reader needs of `apfs_superblock_t` beyond [`VolumeInfo`].
#[derive(Debug, Clone)]
pub(crate) struct VolumeSuper {
    pub(crate) info: VolumeInfo,
    pub(crate) omap: u64,
    pub(crate) root: u64,
    pub(crate) root_physical: bool,
    pub(crate) used_blocks: u64,
}

impl VolumeSuper {
    pub(crate) fn rules(&self) -> Rules {
        Rules {
            fold_case: !self.info.case_sensitive,
            normalize: self.info.normalization_insensitive,
        }
    }
}

pub(crate) struct Shared {
    pub(crate) device: Device,
    pub(crate) superblock: Superblock,
    pub(crate) notes: Vec<String>,
}

/// An open APFS container.
///
/// All methods take `&self` and can be called from several threads.
pub struct Container {
    shared: Arc<Shared>,
    supers: Vec<VolumeSuper>,
    volumes: Vec<VolumeInfo>,
}

impl fmt::Debug for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Container").field("volumes", &self.volumes).finish_non_exhaustive()
    }
}

impl Container {
    /// Opens the container that fills `source` (a partition, or a whole image without a
    /// partition map) at its newest good checkpoint and reads the superblocks of its volumes.
    ///
    /// # Errors
    /// [`Code::ApfsContainer`], [`Code::ApfsChecksum`], [`Code::ApfsObject`],
    /// [`Code::ApfsBtree`] when a structure on the way is damaged; [`Code::Truncated`];
    /// [`Code::Unsupported`] for Fusion drives and unknown features; [`Code::Limit`] for more
    /// than [`Limits::apfs_volumes`](mip_base::Limits::apfs_volumes) volumes;
    /// [`Code::InputIo`], [`Code::Cancelled`].
    pub fn open(source: Source, job: &Job) -> Result<Self> {
        let mut notes = Vec::new();
        let (device, superblock) = checkpoint::read(source, &mut notes, job)?;
        let omap = Arc::new(Omap::open(&device, superblock.omap, superblock.xid, job)?);
        let mut supers: Vec<VolumeSuper> = Vec::new();
        for oid in superblock.volumes.iter().filter(|oid| **oid != 0) {
            let volume = read_super(&device, &omap, *oid, supers.len(), job)
                .map_err(|e| e.within("volume superblock"))?;
            supers.push(volume);
        }
        let volumes = supers.iter().map(|s| s.info.clone()).collect();
        Ok(Self { shared: Arc::new(Shared { device, superblock, notes }), supers, volumes })
    }

    /// The volumes, in the order of the container's slots.
    #[must_use]
    pub fn volumes(&self) -> &[VolumeInfo] {
        &self.volumes
    }

    /// Bytes of a block.
    #[must_use]
    pub fn block_size(&self) -> u32 {
        self.shared.device.block_size
    }

    /// What was tolerated while opening: an older checkpoint, a cut container.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.shared.notes
    }

    fn supported(&self, index: usize) -> Result<&VolumeSuper> {
        let volume = self.supers.get(index).ok_or_else(|| {
            Error::new(
                Code::NoEntry,
                format!("the container has {} volumes, none is number {index}", self.supers.len()),
            )
        })?;
        match &volume.info.unsupported {
            Some(why) => Err(Error::new(Code::Unsupported, why.as_str())),
            None => Ok(volume),
        }
    }

    /// Opens a volume that is not encrypted.
    ///
    /// # Errors
    /// [`Code::PasswordMissing`] when it is encrypted; [`Code::Unsupported`] for sealed
    /// volumes and unknown features; [`Code::NoEntry`] for an index that is not in
    /// [`volumes`](Self::volumes); otherwise as [`open`](Self::open).
    pub fn volume(&self, index: usize, job: &Job) -> Result<Volume> {
        let volume = self.supported(index)?;
        if volume.info.encrypted {
            return Err(Error::new(
                Code::PasswordMissing,
                format!("the volume \"{}\" is encrypted", mip_base::escape(&volume.info.name)),
            ));
        }
        Volume::mount(self.shared.clone(), volume.clone(), None, job)
    }

    /// Opens an encrypted volume with its password, or with its personal recovery key as it
    /// was written down. A volume that is not encrypted opens with any.
    ///
    /// # Errors
    /// [`Code::Password`] when it is wrong; [`Code::ApfsKeybag`] when a keybag or wrapped key
    /// is damaged; [`Code::Limit`] for more than
    /// [`Limits::image_kdf_iterations`](mip_base::Limits::image_kdf_iterations) in all records
    /// of the volume; [`Code::Unsupported`] when the keys are in a machine or a certificate;
    /// otherwise as [`volume`](Self::volume).
    pub fn unlock(&self, index: usize, password: &[u8], job: &Job) -> Result<Volume> {
        let volume = self.supported(index)?;
        if !volume.info.encrypted {
            return self.volume(index, job);
        }
        let key = self.keybag(volume)?.unlock(password, job).map_err(|e| e.within("keybag"))?;
        Volume::mount(self.shared.clone(), volume.clone(), Some(Arc::new(key)), job)
    }

    /// The password hint of an encrypted volume, where one was left. It needs no password.
    ///
    /// # Errors
    /// [`Code::ApfsKeybag`] when a keybag is damaged; otherwise as [`volume`](Self::volume).
    pub fn password_hint(&self, index: usize, job: &Job) -> Result<Option<String>> {
        let volume = self.supported(index)?;
        if !volume.info.encrypted {
            return Ok(None);
        }
        self.keybag(volume)?.hint(job).map_err(|e| e.within("keybag"))
    }

    fn keybag<'a>(&'a self, volume: &'a VolumeSuper) -> Result<keybag::Place<'a>> {
        let top = &self.shared.superblock;
        if !top.software_keys {
            return Err(Error::new(
                Code::Unsupported,
                "the keys of the APFS volume are in the machine that made it",
            ));
        }
        Ok(keybag::Place {
            device: &self.shared.device,
            keybag: top.keybag,
            container: &top.uuid,
            volume: &volume.info.uuid,
        })
    }
}

fn role(value: u16) -> Option<&'static str> {
    Some(match value {
        0 => return None,
        0x01 => "System",
        0x02 => "User",
        0x04 => "Recovery",
        0x08 => "VM",
        0x10 => "Preboot",
        0x20 => "Installer",
        0x40 => "Data",
        0x80 => "Baseband",
        0xc0 => "Update",
        0x100 => "XART",
        0x140 => "Hardware",
        0x180 => "Backup",
        0x240 => "Enterprise",
        0x2c0 => "Prelogin",
        _ => "unknown",
    })
}

fn read_super(
    device: &Device,
    omap: &Arc<Omap>,
    oid: u64,
    index: usize,
    job: &Job,
) -> Result<VolumeSuper> {
    let found = omap.find(oid, job)?;
    let (header, b) = device.object(found.block, job)?;
    let here = |e: Error| e.at(device.shown(found.block));
    if header.kind != kind::FS || header.oid != oid || slice(&b, 32, 4) != Some(b"APSB") {
        return Err(here(Error::new(
            Code::ApfsObject,
            format!("object {} of type {} is not volume {oid}", header.oid, header.kind),
        )));
    }
    let short = || Error::new(Code::ApfsObject, "a volume superblock is too short");
    let u64_at = |at| le_u64(&b, at).ok_or_else(short);
    let incompatible = u64_at(0x38)?;
    let flags = u64_at(0x108)?;
    let encrypted = flags & UNENCRYPTED == 0;
    let integrity = u64_at(0x400)?;
    let unknown = incompatible & !KNOWN_INCOMPATIBLE;
    let why = if incompatible & SEALED != 0 || integrity != 0 {
        Some("sealed APFS volumes are not supported".to_owned())
    } else if unknown != 0 {
        Some(format!("the APFS volume has the unknown incompatible features {unknown:#x}"))
    } else if incompatible & INCOMPLETE_RESTORE != 0 {
        Some("the APFS volume was restored incompletely".to_owned())
    } else if u64_at(0xa0)? != 0 || u64_at(0x3c8)? != 0 {
        Some("an APFS volume that is to be reverted to a snapshot is not supported".to_owned())
    } else if encrypted && flags & ONE_KEY == 0 {
        Some("APFS volumes with a key per file are not supported".to_owned())
    } else if u64_at(0x3d0)? != 0 {
        Some("an APFS volume that is being encrypted or decrypted is not supported".to_owned())
    } else {
        None
    };
    let mut uuid = [0; 16];
    uuid.copy_from_slice(slice(&b, 0xf0, 16).ok_or_else(short)?);
    let info = VolumeInfo {
        index,
        name: text(slice(&b, 0x2c0, 256).ok_or_else(short)?),
        role: role(le_u16(&b, 0x3c4).ok_or_else(short)?),
        uuid,
        case_sensitive: incompatible & CASE_INSENSITIVE == 0,
        normalization_insensitive: incompatible & NORMALIZATION_INSENSITIVE != 0,
        encrypted,
        sealed: incompatible & SEALED != 0,
        snapshots: u64_at(0xd8)?,
        files: u64_at(0xb8)?,
        directories: u64_at(0xc0)?,
        unsupported: why,
    };
    Ok(VolumeSuper {
        info,
        omap: u64_at(0x80)?,
        root: u64_at(0x88)?,
        root_physical: mip_base::bytes::le_u32(&b, 0x74).ok_or_else(short)? & kind::PHYSICAL != 0,
        used_blocks: u64_at(0x58)?,
    })
}
