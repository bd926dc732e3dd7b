//! The trailer of a UDIF image: 512 bytes, big-endian, that begin with `koly`.
//!
//! Layout: `UDIFResourceFile` of the public description at newosxbook.com/DMG.html, checked
//! against images that hdiutil wrote.

use mip_base::bytes::{be_u32, be_u64};
use mip_base::{Code, Error, ReadAt as _, Result, Source, read_full_at};

/// Length of the trailer.
pub const TRAILER_LEN: u64 = 512;

/// A checksum as UDIF stores it: kind, length in bits, and room for 128 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checksum {
    /// 0 is none, 2 is CRC-32. Others are known to nobody's documentation.
    pub kind: u32,
    /// Length of the value in bits.
    pub bits: u32,
    /// Room for the value; it starts at byte 0.
    pub data: [u8; 128],
}

impl Checksum {
    pub(crate) const NONE: Self = Self { kind: 0, bits: 0, data: [0; 128] };

    /// 136 bytes at `at`.
    pub(crate) fn read(b: &[u8], at: usize) -> Option<Self> {
        Some(Self {
            kind: be_u32(b, at)?,
            bits: be_u32(b, at.checked_add(4)?)?,
            data: *b.get(at.checked_add(8)?..)?.first_chunk()?,
        })
    }

    /// The CRC-32, where this is one.
    #[must_use]
    pub fn crc32(&self) -> Option<u32> {
        (self.kind == 2 && self.bits == 32).then(|| be_u32(&self.data, 0))?
    }

    /// The bytes of the value, as the master checksum takes them.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        let len = usize::try_from(self.bits / 8).unwrap_or(usize::MAX);
        self.data.get(..len).unwrap_or(&self.data)
    }

    /// Whether there is no checksum at all.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.kind == 0 || self.bits == 0
    }
}

/// What the `koly` trailer says. Ranges are (offset, length) in bytes of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trailer {
    /// Where the trailer was found: the last 512 bytes, or 0 for a header at the start.
    pub offset: u64,
    /// Bytes before the image that its own ranges do not count; they are added to the ranges here.
    pub prefix: u64,
    /// Format version: 4.
    pub version: u32,
    /// Bit 0: the image is flattened (everything is in the data fork of the file);
    /// bit 2: "internet-enabled".
    pub flags: u32,
    /// Where the data of this segment starts in the data of all segments.
    pub running_data_offset: u64,
    /// The data fork: the bytes that chunks refer to.
    pub data_fork: (u64, u64),
    /// The classic resource fork; length 0 when there is none.
    pub resource_fork: (u64, u64),
    /// Number of this segment, from 1; 0 in images of hdiutil's newer writer.
    pub segment_number: u32,
    /// Segments of the image; 0 or 1 for an image in one file.
    pub segment_count: u32,
    /// Identifier that all segments share.
    pub segment_id: [u8; 16],
    /// Checksum of the bytes of the data fork.
    pub data_checksum: Checksum,
    /// The XML property list; length 0 when there is none.
    pub plist: (u64, u64),
    /// The code signature, where there is one. Old images have garbage in its place: a range that
    /// leaves the file is none.
    pub code_signature: Option<(u64, u64)>,
    /// Checksum of the checksums of all tables.
    pub master_checksum: Checksum,
    /// 1: a whole device; 2: one partition.
    pub image_variant: u32,
    /// Length of the decoded disk in sectors of 512 bytes.
    pub sector_count: u64,
}

impl Trailer {
    /// Finds and reads the trailer: the last 512 bytes of the file or, when they are none, the
    /// first 512, where early tools put it.
    ///
    /// # Errors
    /// [`Code::DmgTrailer`], [`Code::Unsupported`] for another version or a segmented image.
    pub(crate) fn find(source: &Source) -> Result<Self> {
        let size = source.size();
        let mut block = [0_u8; 512];
        let last = size.checked_sub(TRAILER_LEN).ok_or_else(|| {
            Error::new(Code::DmgTrailer, format!("{size} bytes are too short for a disk image"))
        })?;
        for at in [last, 0] {
            read_full_at(source, at, &mut block, Code::DmgTrailer)?;
            if block.starts_with(b"koly") {
                let mut trailer = Self::parse(&block, at).unwrap_or_else(|| {
                    Err(Error::new(Code::DmgTrailer, "the trailer is cut").at(at))
                })?;
                trailer.check(size)?;
                trailer.skip_prefix(source)?;
                return Ok(trailer);
            }
        }
        Err(Error::new(Code::DmgTrailer, "no koly trailer at the end of the file").at(last))
    }

    /// `None` never happens for 512 bytes.
    fn parse(b: &[u8], offset: u64) -> Option<Result<Self>> {
        let range = |at: usize| Some((be_u64(b, at)?, be_u64(b, at.checked_add(8)?)?));
        let (version, header) = (be_u32(b, 4)?, be_u32(b, 8)?);
        let error = |code, why: String| Some(Err(Error::new(code, why).at(offset)));
        if version != 4 {
            return error(Code::Unsupported, format!("a disk image of version {version}, not 4"));
        }
        if u64::from(header) != TRAILER_LEN {
            let why = format!("the trailer says that it is {header} bytes long, not 512");
            return error(Code::DmgTrailer, why);
        }
        let signature = range(296)?;
        Some(Ok(Self {
            offset,
            prefix: 0,
            version,
            flags: be_u32(b, 12)?,
            running_data_offset: be_u64(b, 16)?,
            data_fork: range(24)?,
            resource_fork: range(40)?,
            segment_number: be_u32(b, 56)?,
            segment_count: be_u32(b, 60)?,
            segment_id: *b.get(64..)?.first_chunk()?,
            data_checksum: Checksum::read(b, 80)?,
            plist: range(216)?,
            code_signature: (signature.1 != 0).then_some(signature),
            master_checksum: Checksum::read(b, 352)?,
            image_variant: be_u32(b, 488)?,
            sector_count: be_u64(b, 492)?,
        }))
    }

    /// Where bytes were put before a finished image (a MacBinary header, for one), its ranges count
    /// from the image's own start. That is so when the property list is not where the trailer says,
    /// but is there when the ranges end at the trailer.
    fn skip_prefix(&mut self, source: &Source) -> Result<()> {
        let end = |(at, len): (u64, u64)| if len == 0 { 0 } else { at.saturating_add(len) };
        let signature = self.code_signature.map_or(0, end);
        let ranges = [self.data_fork, self.plist, self.resource_fork].map(end);
        let top = ranges.into_iter().fold(signature, u64::max);
        let shift = self.offset.saturating_sub(top);
        if self.offset == 0 || shift == 0 || self.plist.1 < 5 {
            return Ok(());
        }
        let is_list = |at: u64| {
            let mut head = [0_u8; 5];
            read_full_at(source, at, &mut head, Code::DmgTrailer)?;
            Ok::<_, Error>(matches!(&head, b"<?xml" | b"<plis" | b"<!DOC" | b"bplis"))
        };
        if !is_list(self.plist.0)? && is_list(self.plist.0.saturating_add(shift))? {
            self.prefix = shift;
            let signature = self.code_signature.iter_mut();
            for range in [&mut self.data_fork, &mut self.plist, &mut self.resource_fork]
                .into_iter()
                .chain(signature)
            {
                range.0 = range.0.saturating_add(shift);
            }
        }
        Ok(())
    }

    fn check(&mut self, size: u64) -> Result<()> {
        if self.segment_count > 1 || self.segment_number > 1 {
            let (n, of) = (self.segment_number, self.segment_count);
            return Err(Error::new(
                Code::Unsupported,
                format!("part {n} of a disk image in {of} segments (.dmgpart)"),
            )
            .at(self.offset)
            .hint(
                "join the segments on a Mac: hdiutil convert first.dmg -format UDZO -o whole.dmg",
            ));
        }
        // With the trailer at the end, nothing lies past it.
        let end = if self.offset == 0 { size } else { self.offset };
        let inside = |(at, len): (u64, u64)| at.checked_add(len).is_some_and(|e| e <= end);
        for (what, range) in [
            ("data fork", self.data_fork),
            ("property list", self.plist),
            ("resource fork", self.resource_fork),
        ] {
            if range.1 != 0 && !inside(range) {
                return Err(Error::new(
                    Code::DmgTrailer,
                    format!(
                        "the {what} ({} bytes at byte {}) does not lie in the {end} bytes before the trailer",
                        range.1, range.0
                    ),
                )
                .at(self.offset));
            }
        }
        self.code_signature = self.code_signature.filter(|s| inside(*s));
        Ok(())
    }
}
