//! The boot sector (BIOS parameter block): where the parts of a volume are.

use mip_base::bytes::{le_u16, le_u32};
use mip_base::{Code, Error, ReadAt, Result, read_full_at};

/// Bytes of a directory record.
pub(crate) const RECORD: u64 = 32;

pub(crate) fn damaged(what: impl Into<String>) -> Error {
    Error::new(Code::Fat, what)
}

/// Width of the entries of a file allocation table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// 12 bits: up to 4084 clusters.
    Fat12,
    /// 16 bits: up to 65524 clusters.
    Fat16,
    /// 28 bits in 32.
    Fat32,
}

impl Kind {
    /// The name as users know it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fat12 => "FAT12",
            Self::Fat16 => "FAT16",
            Self::Fat32 => "FAT32",
        }
    }

    /// Bits of a table entry.
    pub(crate) const fn bits(self) -> u64 {
        match self {
            Self::Fat12 => 12,
            Self::Fat16 => 16,
            Self::Fat32 => 32,
        }
    }
}

/// Where the root folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Root {
    /// A fixed range of bytes (FAT12 and FAT16).
    Range(u64, u64),
    /// A chain of clusters (FAT32).
    Chain(u32),
}

/// The layout of a volume; all positions are bytes, all ranges lie inside the volume.
#[derive(Debug, Clone)]
pub(crate) struct Boot {
    pub(crate) kind: Kind,
    /// Bytes of the volume.
    pub(crate) size: u64,
    pub(crate) cluster: u64,
    /// Clusters that have a table entry; the first one is number 2.
    pub(crate) clusters: u32,
    /// The table that is in use.
    pub(crate) fat: u64,
    pub(crate) fat_bytes: u64,
    pub(crate) root: Root,
    pub(crate) data: u64,
    /// The label in the boot sector, as stored.
    pub(crate) label: [u8; 11],
    /// Where the free count is (FAT32).
    pub(crate) fs_info: Option<u64>,
    pub(crate) notes: Vec<String>,
}

impl Boot {
    /// Reads the boot sector at the start of `source`.
    pub(crate) fn read<R: ReadAt + ?Sized>(source: &R) -> Result<Self> {
        let mut b = [0; 512];
        read_full_at(source, 0, &mut b, Code::Fat)?;
        let byte = |at: usize| u64::from(b.get(at).copied().unwrap_or(0));
        let word = |at: usize| u64::from(le_u16(&b, at).unwrap_or(0));
        let long = |at: usize| u64::from(le_u32(&b, at).unwrap_or(0));
        if !matches!(byte(0), 0xe9 | 0xeb) {
            return Err(damaged("the boot sector does not start with a jump").at(0));
        }
        let (sector, per_cluster) = (word(11), byte(13));
        if !matches!(sector, 512 | 1024 | 2048 | 4096) {
            return Err(damaged(format!("a sector has {sector} bytes, not 512 to 4096")).at(11));
        }
        if !per_cluster.is_power_of_two() {
            return Err(damaged(format!("a cluster has {per_cluster} sectors")).at(13));
        }
        let (reserved, fats, root_records) = (word(14), byte(16), word(17));
        if reserved == 0 || fats == 0 {
            return Err(damaged(format!(
                "there are {reserved} reserved sectors and {fats} allocation tables"
            ))
            .at(14));
        }
        // A table of 0 sectors in the old field is how FAT32 says that it is one; the number
        // of clusters alone would be wrong for small FAT32 volumes, which exist.
        let (fat32, fat_sectors) = match word(22) {
            0 => (true, long(36)),
            n => (false, n),
        };
        let total = match word(19) {
            0 => long(32),
            n => n,
        };
        let bytes = |sectors: u64| sectors.saturating_mul(sector);
        let size = bytes(total);
        if size > source.size() {
            let have = source.size();
            return Err(damaged(format!("the volume has {size} bytes, the source {have}")).at(19));
        }
        if fat_sectors == 0 {
            return Err(damaged("an allocation table has 0 sectors").at(22));
        }
        // Numbers of at most 32 bits, and a product of 8 and 32: nothing wraps.
        let root_at = reserved.saturating_add(fats.saturating_mul(fat_sectors));
        let root_bytes = root_records.saturating_mul(RECORD);
        let data_at = root_at.saturating_add(root_bytes.div_ceil(sector));
        let clusters = total.checked_sub(data_at).and_then(|n| n.checked_div(per_cluster));
        let clusters = clusters.filter(|n| *n > 0).ok_or_else(|| {
            damaged(format!("data starts at sector {data_at}, the volume has {total} sectors"))
        })?;
        let kind = match (fat32, clusters) {
            (true, _) => Kind::Fat32,
            (false, ..4085) => Kind::Fat12,
            _ => Kind::Fat16,
        };
        let mut notes = Vec::new();
        let fat_bytes = bytes(fat_sectors);
        let entries = fat_bytes.saturating_mul(8).checked_div(kind.bits()).unwrap_or(0);
        let most = match kind {
            Kind::Fat12 => 0xff5,
            Kind::Fat16 => 0xfff5,
            Kind::Fat32 => 0x0fff_fff5,
        };
        let named = entries.saturating_sub(2).min(most);
        if named < clusters {
            notes.push(format!(
                "the allocation table has entries for {named} of {clusters} clusters"
            ));
        }
        let clusters = u32::try_from(clusters.min(named)).unwrap_or(0);
        // FAT32 can switch off the mirroring of its tables and name one.
        let mut active = 0;
        if fat32 {
            if word(42) != 0 {
                return Err(Error::new(
                    Code::Unsupported,
                    format!("FAT32 of version {:#06x} is not known", word(42)),
                ));
            }
            let flags = word(40);
            if flags & 0x80 != 0 {
                active = flags & 0x0f;
            }
            if active >= fats {
                return Err(damaged(format!("table {active} of {fats} is in use")).at(40));
            }
        }
        let first_fat = reserved.saturating_add(active.saturating_mul(fat_sectors));
        let root = if fat32 {
            Root::Chain(le_u32(&b, 44).unwrap_or(0))
        } else {
            Root::Range(bytes(root_at), root_bytes)
        };
        let info = word(48);
        let boot = Self {
            kind,
            size,
            cluster: bytes(per_cluster),
            clusters,
            fat: bytes(first_fat),
            fat_bytes,
            root,
            data: bytes(data_at),
            label: b
                .get(if fat32 { 71 } else { 43 }..)
                .and_then(|l| l.first_chunk())
                .copied()
                .unwrap_or_default(),
            fs_info: (fat32 && info > 0 && info < reserved).then(|| bytes(info)),
            notes,
        };
        if let Root::Chain(first) = root
            && !boot.has(first)
        {
            return Err(damaged(format!(
                "the root folder starts at cluster {first}, the volume has {} clusters",
                boot.clusters
            ))
            .at(44));
        }
        Ok(boot)
    }

    /// Whether `cluster` is the number of a cluster of data.
    pub(crate) fn has(&self, cluster: u32) -> bool {
        cluster.checked_sub(2).is_some_and(|n| n < self.clusters)
    }

    /// Where `cluster` starts; the caller checked that it is one.
    pub(crate) fn position(&self, cluster: u32) -> u64 {
        let n = u64::from(cluster.saturating_sub(2));
        self.data.saturating_add(n.saturating_mul(self.cluster))
    }
}
