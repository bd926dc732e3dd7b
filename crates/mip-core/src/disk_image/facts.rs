//! What an inspection says of an image.

use mip_base::{Job, Result, Source, escape};

use super::{DiskImage, ImageTree, ImageVolume};
use crate::inspection::{
    ChecksumState, ImageInfo, LicenceInfo, LicenceText, PartitionInfo, VolumeInfo,
};

impl DiskImage {
    /// What is known of the image; the files of its volumes are counted where `tree` is given.
    /// `texts` asks for the texts of a licence agreement too.
    #[must_use]
    pub fn facts(&self, place: &str, tree: Option<&ImageTree>, texts: bool) -> ImageInfo {
        let inner = &self.inner;
        let udif = inner.udif.as_ref();
        let counts = tree.map(ImageTree::counts).unwrap_or_default();
        ImageInfo {
            place: place.to_owned(),
            format: inner.format.name().to_owned(),
            compression: udif
                .map_or_else(Vec::new, |u| u.codecs().into_iter().map(str::to_owned).collect()),
            encryption: inner.encryption.map(|bits| format!("AES-{bits}")),
            disk_bytes: inner.disk_bytes,
            partition_scheme: self.scheme().map(str::to_owned),
            partitions: inner
                .map
                .partitions
                .iter()
                .filter(|_| self.scheme().is_some())
                .map(|p| PartitionInfo {
                    name: escape(&p.name),
                    kind: escape(&p.kind),
                    start: p.start,
                    size: p.size,
                })
                .collect(),
            volumes: inner
                .volumes
                .iter()
                .enumerate()
                .map(|(i, v)| v.facts(counts.get(i).copied()))
                .collect(),
            licence: udif.and_then(|u| u.licence()).map(|l| LicenceInfo {
                languages: l
                    .agreements
                    .iter()
                    .filter_map(|a| a.language.as_deref().map(escape))
                    .collect(),
                texts: l
                    .agreements
                    .iter()
                    .filter(|_| texts)
                    .map(|a| LicenceText { language: a.language.clone(), text: a.text.clone() })
                    .collect(),
            }),
            code_signature: udif.is_some_and(|u| u.trailer().code_signature.is_some()),
            checksums: ChecksumState::NotChecked,
            decided: None,
            payload: None,
        }
    }

    /// The code signature that the image carries: the bytes that it is in, and its range there.
    pub(crate) fn code_signature(&self) -> Option<(&Source, (u64, u64))> {
        let range = self.udif()?.trailer().code_signature?;
        Some((&self.inner.bytes, range))
    }

    /// Whether macOS shows a licence agreement before it mounts the image.
    #[must_use]
    pub fn has_licence(&self) -> bool {
        self.udif().is_some_and(|u| u.licence().is_some())
    }

    /// Whether macOS asks for a password before it mounts the image, or a volume of it.
    #[must_use]
    pub fn asks_for_password(&self) -> bool {
        self.is_encrypted() || self.volumes().iter().any(|v| v.encrypted)
    }

    /// Compares the checksums that the image carries with its bytes, which reads all of them.
    ///
    /// # Errors
    /// [`mip_base::Code::DmgChecksum`]; the codes of the image for damage.
    pub fn verify(&self, threads: usize, job: &Job) -> Result<ChecksumState> {
        let Some(udif) = self.udif() else { return Ok(ChecksumState::None) };
        let found = udif.verify(threads, job)?;
        let any = found.tables_checked > 0 || found.data_fork.is_some();
        Ok(if any { ChecksumState::Ok } else { ChecksumState::None })
    }
}

impl ImageVolume {
    fn facts(&self, count: Option<(u64, u64)>) -> VolumeInfo {
        let count = count.filter(|_| self.is_read());
        VolumeInfo {
            name: self.name.as_deref().map(escape),
            file_system: self.file_system().to_owned(),
            read: self.is_read(),
            folder: self.folder.as_ref().map(|f| escape(f.as_str())),
            case_sensitive: self.case_sensitive,
            size: self.size,
            files: count.map(|c| c.0),
            file_bytes: count.map(|c| c.1),
            encrypted: self.encrypted,
            role: self.role.clone(),
        }
    }
}
