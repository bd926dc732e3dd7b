//! The superblob of an embedded signature: an index of slots, each with a blob.
//!
//! Layout: `cs_blobs.h` of xnu, `sigblob.h` and `superblob.h` of Security. All big-endian.

use mip_base::bytes::{be_u32, slice};
use mip_base::{Code, Error, Job, Result, Source, len64, read_full_at};

/// Most bytes of one signature: code directories hold about 1/100 of the bytes they cover.
pub(crate) const MAX_SIGNATURE: u64 = 64 << 20;
/// Most blobs in one signature; `codesign` writes about ten.
const MAX_BLOBS: u32 = 4096;

/// Most bytes of padding behind a superblob; `codesign` leaves about 10,000.
const MAX_PADDING: u64 = 1 << 20;

const EMBEDDED: u32 = 0xFADE_0CC0;
const DETACHED: u32 = 0xFADE_0CC1;

/// Magic numbers of blobs.
pub(crate) const REQUIREMENT: u32 = 0xFADE_0C00;
pub(crate) const REQUIREMENTS: u32 = 0xFADE_0C01;
pub(crate) const CODE_DIRECTORY: u32 = 0xFADE_0C02;
pub(crate) const ENTITLEMENTS: u32 = 0xFADE_7171;
pub(crate) const DER_ENTITLEMENTS: u32 = 0xFADE_7172;
pub(crate) const WRAPPER: u32 = 0xFADE_0B01;

/// Slots. Those below [`ALTERNATES`] and over 0 are special slots too: code directories hold
/// their hashes.
pub(crate) const SLOT_CODE_DIRECTORY: u32 = 0;
pub(crate) const SLOT_INFO: u32 = 1;
pub(crate) const SLOT_REQUIREMENTS: u32 = 2;
pub(crate) const SLOT_RESOURCES: u32 = 3;
pub(crate) const SLOT_ENTITLEMENTS: u32 = 5;
pub(crate) const SLOT_REP_SPECIFIC: u32 = 6;
pub(crate) const SLOT_DER_ENTITLEMENTS: u32 = 7;
pub(crate) const ALTERNATES: u32 = 0x1000;
pub(crate) const ALTERNATES_END: u32 = 0x1005;
pub(crate) const SLOT_CMS: u32 = 0x1_0000;
/// A stapled ticket (`cdTicketSlot`).
pub(crate) const SLOT_TICKET: u32 = 0x1_0002;

/// What a special slot is called in messages.
pub(crate) fn slot_name(slot: u32) -> String {
    let known = match slot {
        SLOT_CODE_DIRECTORY => "the code directory",
        SLOT_INFO => "the Info.plist",
        SLOT_REQUIREMENTS => "the requirements",
        SLOT_RESOURCES => "the CodeResources",
        4 => "the application-specific data",
        SLOT_ENTITLEMENTS => "the entitlements",
        SLOT_REP_SPECIFIC => "the disk image's trailer",
        SLOT_DER_ENTITLEMENTS => "the DER entitlements",
        8 => "the launch constraint on itself",
        9 => "the launch constraint on its parent",
        10 => "the launch constraint on who is responsible",
        11 => "the library constraint",
        ALTERNATES..=ALTERNATES_END => "an alternate code directory",
        SLOT_CMS => "the CMS signature",
        0x1_0001 => "the identification",
        SLOT_TICKET => "the notarization ticket",
        _ => return format!("slot {slot:#x}"),
    };
    known.to_owned()
}

/// A range of a file in words, for messages.
fn damaged(why: String, at: u64) -> Error {
    Error::new(Code::CodeSignature, why).at(at)
}

/// One blob of a superblob, with its header of 8 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Blob<'a> {
    pub(crate) slot: u32,
    pub(crate) magic: u32,
    pub(crate) bytes: &'a [u8],
    /// Absolute.
    pub(crate) offset: u64,
}

impl<'a> Blob<'a> {
    /// What follows the header.
    pub(crate) fn body(&self) -> &'a [u8] {
        self.bytes.get(8..).unwrap_or_default()
    }
}

/// The bytes of a signature, read whole. `room` is the place that the file gives to it: absolute
/// offset and bytes; the superblob may be shorter.
///
/// # Errors
/// [`Code::CodeSignature`], [`Code::Unsupported`] for a detached one; [`Code::LimitMemory`],
/// [`Code::InputIo`].
pub(crate) fn read(source: &Source, room: (u64, u64), job: &Job) -> Result<Vec<u8>> {
    let (at, room) = room;
    if at.checked_add(room).is_none_or(|end| end > source.size()) || room < 12 {
        let why = format!("the {room} bytes at byte {at} for the signature are not in the file");
        return Err(damaged(why, at));
    }
    let mut head = [0_u8; 8];
    read_full_at(source, at, &mut head, Code::CodeSignature)?;
    match be_u32(&head, 0) {
        Some(EMBEDDED) => {}
        Some(DETACHED) => {
            return Err(Error::new(Code::Unsupported, "a detached code signature").at(at));
        }
        magic => {
            let why = format!("{:#010x} is not the start of a code signature", magic.unwrap_or(0));
            return Err(damaged(why, at));
        }
    }
    let len = u64::from(be_u32(&head, 4).unwrap_or(0));
    if !(12..=room).contains(&len) {
        let why = format!("a signature of {len} bytes in a place of {room} bytes");
        return Err(damaged(why, at));
    }
    let mut bytes = job.buffer("code signature", len, MAX_SIGNATURE)?;
    read_full_at(source, at, &mut bytes, Code::CodeSignature)?;
    Ok(bytes)
}

/// Where the first byte is that is not zero behind the superblob in its `room`: `codesign` asks
/// for more room than it needs, and fills the rest with zeros. More than 1 MiB is not looked at,
/// and is too much.
///
/// # Errors
/// [`Code::InputIo`], [`Code::Cancelled`].
pub(crate) fn stuffing(
    source: &Source,
    room: (u64, u64),
    superblob: &[u8],
    job: &Job,
) -> Result<Option<u64>> {
    let end = room.0.saturating_add(room.1);
    let mut at = room.0.saturating_add(len64(superblob.len()));
    if end.saturating_sub(at) > MAX_PADDING {
        return Ok(Some(at));
    }
    let mut piece = [0_u8; 4096];
    while at < end {
        job.check()?;
        let n = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX).min(piece.len());
        let now = piece.get_mut(..n).unwrap_or_default();
        read_full_at(source, at, now, Code::InputIo)?;
        if let Some(n) = now.iter().position(|b| *b != 0) {
            return Ok(Some(at.saturating_add(len64(n))));
        }
        at = at.saturating_add(len64(n));
    }
    Ok(None)
}

/// The blobs of a superblob that starts at `start` of the file, in the order of slots.
///
/// # Errors
/// [`Code::CodeSignature`] for an index or blobs that leave it, overlap, or share a slot.
pub(crate) fn blobs(superblob: &[u8], start: u64) -> Result<Vec<Blob<'_>>> {
    let wrong = |why: String| damaged(why, start);
    let count = be_u32(superblob, 8).ok_or_else(|| wrong("the signature is cut".to_owned()))?;
    let index_end = 12_u64.saturating_add(u64::from(count).saturating_mul(8));
    if index_end > len64(superblob.len()) || count > MAX_BLOBS {
        let why = format!("an index of {count} blobs in a signature of {} bytes", superblob.len());
        return Err(wrong(why));
    }
    let index = superblob.get(12..).unwrap_or_default().chunks_exact(8);
    let mut blobs = Vec::new();
    for entry in index.take(usize::try_from(count).unwrap_or(0)) {
        let (slot, at) = (be_u32(entry, 0).unwrap_or(0), be_u32(entry, 4).unwrap_or(0));
        let what = || slot_name(slot);
        let from = usize::try_from(at).unwrap_or(usize::MAX);
        let place = start.saturating_add(u64::from(at));
        let magic = be_u32(superblob, from);
        let len = be_u32(superblob, from.saturating_add(4));
        let (Some(magic), Some(len), true) = (magic, len, u64::from(at) >= index_end) else {
            return Err(damaged(format!("{} is not inside the signature", what()), place));
        };
        let bytes = slice(superblob, from, usize::try_from(len).unwrap_or(usize::MAX))
            .filter(|b| b.len() >= 8)
            .ok_or_else(|| {
                damaged(format!("{}: {len} bytes are not inside the signature", what()), place)
            })?;
        blobs.push(Blob { slot, magic, bytes, offset: place });
    }
    blobs.sort_by_key(|b| b.offset);
    for pair in blobs.windows(2) {
        if let [a, b] = pair
            && a.offset.saturating_add(len64(a.bytes.len())) > b.offset
        {
            let why = format!("{} and {} overlap", slot_name(a.slot), slot_name(b.slot));
            return Err(damaged(why, b.offset));
        }
    }
    blobs.sort_by_key(|b| b.slot);
    for pair in blobs.windows(2) {
        if let [a, b] = pair
            && a.slot == b.slot
        {
            return Err(damaged(format!("{} is there twice", slot_name(a.slot)), b.offset));
        }
    }
    Ok(blobs)
}
