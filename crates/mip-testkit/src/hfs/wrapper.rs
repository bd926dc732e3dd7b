//! The classic HFS volume around an HFS+ one (TN1150, "HFS Wrapper").

/// Bytes of an allocation block of the wrapper.
const BLOCK: usize = 4096;
/// 512-byte sectors before the first allocation block.
const FIRST: usize = 16;

/// The wrapped volume, and where the HFS+ volume starts in it.
pub(super) fn wrap(name: &str, volume: &[u8]) -> (Vec<u8>, u64) {
    // Blocks: extents tree, catalog tree, then the embedded volume.
    let inner = volume.len().div_ceil(BLOCK);
    let blocks = 2 + inner;
    let base = FIRST * 512 + 2 * BLOCK;
    let mut out = vec![0; FIRST * 512 + blocks * BLOCK + 1024];
    let be16 = |n: usize| u16::try_from(n).unwrap().to_be_bytes();
    let date = (crate::tree::TIME.wrapping_add(super::records::EPOCH)).to_be_bytes();

    // Inside Macintosh: Files, "Master Directory Block".
    let mut mdb = vec![0u8; 512];
    mdb[0..2].copy_from_slice(b"BD");
    mdb[2..6].copy_from_slice(&date);
    mdb[6..10].copy_from_slice(&date);
    mdb[10..12].copy_from_slice(&[0x81, 0]); // unmounted, locked by software
    mdb[14..16].copy_from_slice(&be16(3)); // bitmap: sector 3
    mdb[18..20].copy_from_slice(&be16(blocks));
    mdb[20..24].copy_from_slice(&(BLOCK as u32).to_be_bytes());
    mdb[24..28].copy_from_slice(&(BLOCK as u32).to_be_bytes());
    mdb[28..30].copy_from_slice(&be16(FIRST));
    mdb[30..34].copy_from_slice(&16u32.to_be_bytes());
    let name: Vec<u8> = name.bytes().filter(u8::is_ascii).take(27).collect();
    mdb[36] = name.len() as u8;
    mdb[37..37 + name.len()].copy_from_slice(&name);
    mdb[124..126].copy_from_slice(b"H+");
    mdb[126..128].copy_from_slice(&be16(2));
    mdb[128..130].copy_from_slice(&be16(inner));
    for (at, block) in [(130, 0), (146, 1)] {
        mdb[at..at + 4].copy_from_slice(&(BLOCK as u32).to_be_bytes());
        mdb[at + 4..at + 6].copy_from_slice(&be16(block));
        mdb[at + 6..at + 8].copy_from_slice(&be16(1));
    }
    out[1024..1536].copy_from_slice(&mdb);
    let end = out.len();
    out[end - 1024..end - 512].copy_from_slice(&mdb);
    for bit in 0..blocks {
        out[3 * 512 + bit / 8] |= 0x80 >> (bit % 8);
    }
    // Two trees with nothing but a header node; keys of classic HFS are at most 7 and 37 bytes.
    for (i, max_key) in [7u8, 37].into_iter().enumerate() {
        let node = &mut out[FIRST * 512 + i * BLOCK..][..512];
        node[8] = 1;
        node[10..12].copy_from_slice(&be16(3));
        node[32..34].copy_from_slice(&be16(512));
        node[35] = max_key;
        node[36..40].copy_from_slice(&8u32.to_be_bytes());
        node[40..44].copy_from_slice(&7u32.to_be_bytes());
        node[248] = 0x80;
        for (n, at) in [14, 120, 248, 504].into_iter().enumerate() {
            node[510 - 2 * n..512 - 2 * n].copy_from_slice(&be16(at));
        }
    }
    out[base..base + volume.len()].copy_from_slice(volume);
    (out, base as u64)
}
