//! Text in the encodings of classic Mac OS.

/// MacRoman from 0x80 on (Unicode, Inc., `VENDORS/APPLE/ROMAN.TXT`).
const MAC_ROMAN: &str = "ÄÅÇÉÑÖÜáàâäãåçéèêëíìîïñóòôöõúùûü†°¢£§•¶ß®©™´¨≠ÆØ∞±≤≥¥µ∂∑∏π∫ªºΩæø¿¡¬√ƒ≈∆«»…\u{a0}ÀÃÕŒœ–—“”‘’÷◊ÿŸ⁄€‹›ﬁﬂ‡·‚„‰ÂÊÁËÈÍÎÏÌÓÔ\u{f8ff}ÒÚÛÙıˆ˜¯˘˙˚¸˝˛ˇ";

/// Text in MacRoman.
pub(crate) fn mac_roman(bytes: &[u8]) -> String {
    single(bytes, MAC_ROMAN)
}

/// Text in an encoding of one byte, whose upper half is `upper`.
fn single(bytes: &[u8], upper: &str) -> String {
    let upper: Vec<char> = upper.chars().collect();
    let decode = |b: &u8| match b.checked_sub(0x80) {
        None => char::from(*b),
        Some(i) => upper.get(usize::from(i)).copied().unwrap_or(char::REPLACEMENT_CHARACTER),
    };
    bytes.iter().map(decode).collect()
}
