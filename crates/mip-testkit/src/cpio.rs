//! cpio archives, member by member, with a hook for every field.
//!
//! Written from cpio(5). Values that a header cannot hold, or that contradict the data, are
//! what the hooks are for: [`Member::raw`] replaces the digits of one field.

/// The variants of the text header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `070707`: octal numbers, no padding.
    Odc,
    /// `070701`: hexadecimal numbers, padding to 4.
    Newc,
    /// `070702`: as newc, with the sum of the data.
    Crc,
}

/// The fields of a header, whichever the format orders them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// `c_magic`.
    Magic,
    /// `c_dev`; in newc the minor number.
    Dev,
    /// `c_ino`.
    Ino,
    /// `c_mode`.
    Mode,
    /// `c_uid`.
    Uid,
    /// `c_gid`.
    Gid,
    /// `c_nlink`.
    Nlink,
    /// `c_mtime`.
    Mtime,
    /// `c_namesize`.
    NameSize,
    /// `c_filesize`.
    FileSize,
    /// `c_check`; newc and crc only.
    Check,
}

/// One member.
#[derive(Debug, Clone)]
pub struct Member {
    /// The name without its NUL.
    pub name: Vec<u8>,
    /// Type and permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Link count.
    pub nlink: u32,
    /// Inode number.
    pub ino: u32,
    /// Device number.
    pub dev: u32,
    /// Seconds since 1970.
    pub mtime: u32,
    /// Data, or the target of a symbolic link.
    pub data: Vec<u8>,
    /// What is written behind the name: one NUL unless changed.
    pub name_end: Vec<u8>,
    /// The byte of the padding behind name and data.
    pub pad: u8,
    /// Fields whose digits are replaced; see [`Member::raw`].
    pub raw: Vec<(Field, Vec<u8>)>,
}

impl Member {
    fn new(name: &str, mode: u32, data: &[u8]) -> Self {
        Self {
            name: name.into(),
            mode,
            uid: 0,
            gid: 0,
            nlink: 1,
            ino: 1,
            dev: 0,
            mtime: 1_600_000_000,
            data: data.to_vec(),
            name_end: vec![0],
            pad: 0,
            raw: Vec::new(),
        }
    }

    /// A file with the permission bits `mode`.
    #[must_use]
    pub fn file(name: &str, mode: u32, data: &[u8]) -> Self {
        Self::new(name, 0o100_000 | mode, data)
    }

    /// A folder.
    #[must_use]
    pub fn dir(name: &str) -> Self {
        Self::new(name, 0o040_755, &[])
    }

    /// A symbolic link.
    #[must_use]
    pub fn link(name: &str, target: &str) -> Self {
        Self::new(name, 0o120_755, target.as_bytes())
    }

    /// The member that ends an archive.
    #[must_use]
    pub fn trailer() -> Self {
        Self { ino: 0, mtime: 0, ..Self::new("TRAILER!!!", 0, &[]) }
    }

    /// Sets link count and inode number.
    #[must_use]
    pub fn linked(self, nlink: u32, ino: u32) -> Self {
        Self { nlink, ino, ..self }
    }

    /// Writes `digits` instead of the number of `field`.
    #[must_use]
    pub fn raw(mut self, field: Field, digits: &[u8]) -> Self {
        self.raw.push((field, digits.to_vec()));
        self
    }

    fn number(&self, field: Field, value: u32, format: Format, width: usize) -> Vec<u8> {
        if let Some((_, digits)) = self.raw.iter().find(|(f, _)| *f == field) {
            return digits.clone();
        }
        match format {
            Format::Odc => format!("{value:0width$o}"),
            Format::Newc | Format::Crc => format!("{value:0width$x}"),
        }
        .into_bytes()
    }

    /// The bytes of this member.
    #[must_use]
    pub fn bytes(&self, format: Format) -> Vec<u8> {
        let name_size = u32::try_from(self.name.len() + self.name_end.len()).unwrap();
        let size = u32::try_from(self.data.len()).unwrap();
        let sum = self.data.iter().map(|b| u32::from(*b)).sum();
        let magic = self.raw.iter().find(|(f, _)| *f == Field::Magic).map_or(
            match format {
                Format::Odc => b"070707".to_vec(),
                Format::Newc => b"070701".to_vec(),
                Format::Crc => b"070702".to_vec(),
            },
            |(_, m)| m.clone(),
        );
        let zero = (None, 0);
        let fields: Vec<(Option<Field>, u32)> = match format {
            Format::Odc => vec![
                (Some(Field::Dev), self.dev),
                (Some(Field::Ino), self.ino),
                (Some(Field::Mode), self.mode),
                (Some(Field::Uid), self.uid),
                (Some(Field::Gid), self.gid),
                (Some(Field::Nlink), self.nlink),
                zero,
                (Some(Field::Mtime), self.mtime),
                (Some(Field::NameSize), name_size),
                (Some(Field::FileSize), size),
            ],
            Format::Newc | Format::Crc => vec![
                (Some(Field::Ino), self.ino),
                (Some(Field::Mode), self.mode),
                (Some(Field::Uid), self.uid),
                (Some(Field::Gid), self.gid),
                (Some(Field::Nlink), self.nlink),
                (Some(Field::Mtime), self.mtime),
                (Some(Field::FileSize), size),
                zero,
                (Some(Field::Dev), self.dev),
                zero,
                zero,
                (Some(Field::NameSize), name_size),
                (Some(Field::Check), if format == Format::Crc { sum } else { 0 }),
            ],
        };
        let mut out = magic;
        for (field, value) in fields {
            let width = match (format, field) {
                (Format::Odc, Some(Field::Mtime | Field::FileSize)) => 11,
                (Format::Odc, _) => 6,
                _ => 8,
            };
            out.extend(match field {
                Some(f) => self.number(f, value, format, width),
                None => vec![b'0'; width],
            });
        }
        let pad = |out: &mut Vec<u8>| {
            if format != Format::Odc {
                out.resize(out.len().next_multiple_of(4), self.pad);
            }
        };
        out.extend(&self.name);
        out.extend(&self.name_end);
        pad(&mut out);
        out.extend(&self.data);
        pad(&mut out);
        out
    }
}

/// The members one after the other, without a trailer.
#[must_use]
pub fn members(format: Format, members: &[Member]) -> Vec<u8> {
    members.iter().flat_map(|m| m.bytes(format)).collect()
}

/// A whole archive: the members, the trailer, zeros up to a block of 512.
#[must_use]
pub fn archive(format: Format, list: &[Member]) -> Vec<u8> {
    let mut out = members(format, list);
    out.extend(Member::trailer().bytes(format));
    out.resize(out.len().next_multiple_of(512), 0);
    out
}
