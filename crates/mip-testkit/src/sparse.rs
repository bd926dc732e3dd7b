//! Sparse images and the `Info.plist` of sparse bundles.

/// Offsets of fields in the header of a sparse image, for tests that lie.
pub mod field {
    /// Version.
    pub const VERSION: usize = 4;
    /// Sectors of a band.
    pub const BAND: usize = 8;
    /// Sectors of the disk, 32 bits.
    pub const SECTORS: usize = 16;
    /// Offset of the next node, 64 bits.
    pub const NEXT: usize = 20;
    /// Sectors of the disk, 64 bits.
    pub const SECTORS_64: usize = 28;
    /// Number of the first stored band.
    pub const LIST: usize = 64;
}

/// A sparse image of `disk` in bands of `band` bytes. Bands of zeros are not stored; the others
/// are stored last first when `reversed`. A band that the disk ends in is filled up.
#[must_use]
pub fn image(disk: &[u8], band: usize, reversed: bool) -> Vec<u8> {
    let mut bands: Vec<(usize, &[u8])> = disk.chunks(band).enumerate().collect();
    bands.retain(|(_, data)| data.iter().any(|b| *b != 0));
    if reversed {
        bands.reverse();
    }
    let sectors = (disk.len() / 512) as u64;
    let mut out = vec![0; 4096];
    out[..4].copy_from_slice(b"sprs");
    out[4..8].copy_from_slice(&3_u32.to_be_bytes());
    out[8..12].copy_from_slice(&((band / 512) as u32).to_be_bytes());
    out[12..16].copy_from_slice(&1_u32.to_be_bytes());
    out[16..20].copy_from_slice(&(sectors as u32).to_be_bytes());
    out[28..36].copy_from_slice(&sectors.to_be_bytes());
    // The header has room for 1008 bands, each further node for 1010.
    let (mut node, mut list, mut room, mut index) = (0, 64, 1008, 1_u32);
    for (number, data) in bands {
        if room == 0 {
            let next = out.len();
            let link = if node == 0 { 20 } else { node + 12 };
            out[link..link + 8].copy_from_slice(&(next as u64).to_be_bytes());
            out.extend([0; 4096]);
            out[next..next + 4].copy_from_slice(b"sprs");
            out[next + 4..next + 8].copy_from_slice(&index.to_be_bytes());
            (node, list, room, index) = (next, next + 56, 1010, index + 1);
        }
        out[list..list + 4].copy_from_slice(&(number as u32 + 1).to_be_bytes());
        list += 4;
        room -= 1;
        out.extend(data);
        out.extend(std::iter::repeat_n(0, band - data.len()));
    }
    out
}

/// The `Info.plist` of a sparse bundle.
#[must_use]
pub fn info_plist(band: u64, size: u64) -> Vec<u8> {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \
         \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n\
         <plist version=\"1.0\"><dict>\
         <key>CFBundleInfoDictionaryVersion</key><string>6.0</string>\
         <key>band-size</key><integer>{band}</integer>\
         <key>bundle-backingstore-version</key><integer>1</integer>\
         <key>diskimage-bundle-type</key><string>com.apple.diskimage.sparsebundle</string>\
         <key>size</key><integer>{size}</integer></dict></plist>\n"
    )
    .into_bytes()
}
