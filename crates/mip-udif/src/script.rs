//! Text in the encodings of classic Mac OS, by the region that a resource is for.

use encoding_rs::{BIG5, EUC_KR, Encoding, GBK, SHIFT_JIS, X_MAC_CYRILLIC};

/// A region of the Script Manager: its code (`Script.h`, `verUS` and so on), its language as a
/// BCP 47 tag, and its encoding.
struct Region(i16, &'static str, Script);

/// How text is encoded.
#[derive(Clone, Copy)]
pub(crate) enum Script {
    /// One byte a character; the upper half is listed.
    Single(&'static str),
    /// An encoding that the web knows too.
    Web(&'static Encoding),
    /// Not decoded here: all but ASCII is replaced.
    Other,
}

const R: Script = Script::Single(MAC_ROMAN);
const CE: Script = Script::Single(CENTRAL_EUROPE);
const CYR: Script = Script::Web(X_MAC_CYRILLIC);
const HR: Script = Script::Single(CROATIAN);

/// Regions and their scripts as `Script.h` and the Text Encoding Converter pair them.
#[rustfmt::skip]
const REGIONS: &[Region] = &[
    Region(0, "en-US", R), Region(1, "fr-FR", R), Region(2, "en-GB", R), Region(3, "de-DE", R),
    Region(4, "it-IT", R), Region(5, "nl-NL", R), Region(6, "nl-BE", R), Region(7, "sv-SE", R),
    Region(8, "es-ES", R), Region(9, "da-DK", R), Region(10, "pt-PT", R), Region(11, "fr-CA", R),
    Region(12, "nb-NO", R), Region(13, "he-IL", Script::Other),
    Region(14, "ja-JP", Script::Web(SHIFT_JIS)), Region(15, "en-AU", R),
    Region(16, "ar", Script::Other), Region(17, "fi-FI", R), Region(18, "fr-CH", R),
    Region(19, "de-CH", R), Region(20, "el-GR", Script::Single(GREEK)),
    Region(21, "is-IS", Script::Single(ICELANDIC)), Region(22, "mt-MT", R),
    Region(23, "el-CY", Script::Single(GREEK)), Region(24, "tr-TR", Script::Single(TURKISH)),
    Region(33, "hi-IN", Script::Other), Region(34, "ur-PK", Script::Other),
    Region(36, "it-CH", R), Region(39, "ro-RO", Script::Single(ROMANIAN)),
    Region(40, "grc", Script::Single(GREEK)), Region(41, "lt-LT", CE), Region(42, "pl-PL", CE),
    Region(43, "hu-HU", CE), Region(44, "et-EE", CE), Region(45, "lv-LV", CE),
    Region(46, "se", R), Region(47, "fo-FO", Script::Single(ICELANDIC)),
    Region(48, "fa-IR", Script::Other), Region(49, "ru-RU", CYR), Region(50, "ga-IE", R),
    Region(51, "ko-KR", Script::Web(EUC_KR)), Region(52, "zh-CN", Script::Web(GBK)),
    Region(53, "zh-TW", Script::Web(BIG5)), Region(54, "th-TH", Script::Other),
    Region(56, "cs-CZ", CE), Region(57, "sk-SK", CE), Region(60, "bn", Script::Other),
    Region(61, "be-BY", CYR), Region(62, "uk-UA", CYR),
    Region(64, "el-GR", Script::Single(GREEK)), Region(65, "sr-RS", CYR), Region(66, "sl-SI", HR),
    Region(67, "mk-MK", CYR), Region(68, "hr-HR", HR), Region(70, "de-DE", R),
    Region(71, "pt-BR", R), Region(72, "bg-BG", CYR), Region(73, "ca-ES", R),
    Region(82, "en-CA", R), Region(84, "hy-AM", Script::Other),
    Region(85, "ka-GE", Script::Other), Region(86, "es-419", R), Region(91, "fr", R),
    Region(92, "de-AT", R), Region(94, "gu-IN", Script::Other), Region(95, "pa", Script::Other),
    Region(96, "ur-IN", Script::Other), Region(97, "vi-VN", Script::Other),
    Region(98, "fr-BE", R), Region(99, "uz-UZ", CYR), Region(100, "en-SG", R),
    Region(101, "nn-NO", R), Region(102, "af-ZA", R), Region(103, "eo", R),
    Region(108, "en-IE", R),
];

// The upper halves, from 0x80 on (Unicode, Inc., `MAPPINGS/VENDORS/APPLE`).
const MAC_ROMAN: &str = "ÄÅÇÉÑÖÜáàâäãåçéèêëíìîïñóòôöõúùûü†°¢£§•¶ß®©™´¨≠ÆØ∞±≤≥¥µ∂∑∏π∫ªºΩæø\
    ¿¡¬√ƒ≈∆«»…\u{a0}ÀÃÕŒœ–—“”‘’÷◊ÿŸ⁄€‹›ﬁﬂ‡·‚„‰ÂÊÁËÈÍÎÏÌÓÔ\u{f8ff}ÒÚÛÙıˆ˜¯˘˙˚¸˝˛ˇ";

const CENTRAL_EUROPE: &str = "ÄĀāÉĄÖÜáąČäčĆćéŹźĎíďĒēĖóėôöõúĚěü†°Ę£§•¶ß®©™ę¨≠ģĮįĪ≤≥īĶ∂∑łĻļĽľĹĺŅ\
    ņŃ¬√ńŇ∆«»…\u{a0}ňŐÕőŌ–—“”‘’÷◊ōŔŕŘ‹›řŖŗŠ‚„šŚśÁŤťÍŽžŪÓÔūŮÚůŰűŲųÝýķŻŁżĢˇ";

const GREEK: &str = "Ä¹²É³ÖÜ΅àâä΄¨çéèêë£™îï•½‰ôö¦€ùûü†ΓΔΘΛΞΠß®©ΣΪ§≠°·Α±≤≥¥ΒΕΖΗΙΚΜΦΫΨΩ\
    άΝ¬ΟΡ≈Τ«»…\u{a0}ΥΧΆΈœ–―“”‘’÷ΉΊΌΎέήίόΏύαβψδεφγηιξκλμνοπώρστθωςχυζϊϋΐΰ\u{ad}";

const TURKISH: &str = "ÄÅÇÉÑÖÜáàâäãåçéèêëíìîïñóòôöõúùûü†°¢£§•¶ß®©™´¨≠ÆØ∞±≤≥¥µ∂∑∏π∫ªºΩæø\
    ¿¡¬√ƒ≈∆«»…\u{a0}ÀÃÕŒœ–—“”‘’÷◊ÿŸĞğİıŞş‡·‚„‰ÂÊÁËÈÍÎÏÌÓÔ\u{f8ff}ÒÚÛÙ\u{f8a0}ˆ˜¯˘˙˚¸˝˛ˇ";

const ICELANDIC: &str = "ÄÅÇÉÑÖÜáàâäãåçéèêëíìîïñóòôöõúùûüÝ°¢£§•¶ß®©™´¨≠ÆØ∞±≤≥¥µ∂∑∏π∫ªºΩæø\
    ¿¡¬√ƒ≈∆«»…\u{a0}ÀÃÕŒœ–—“”‘’÷◊ÿŸ⁄€ÐðÞþý·‚„‰ÂÊÁËÈÍÎÏÌÓÔ\u{f8ff}ÒÚÛÙıˆ˜¯˘˙˚¸˝˛ˇ";

const ROMANIAN: &str = "ÄÅÇÉÑÖÜáàâäãåçéèêëíìîïñóòôöõúùûü†°¢£§•¶ß®©™´¨≠ĂȘ∞±≤≥¥µ∂∑∏π∫ªºΩăș\
    ¿¡¬√ƒ≈∆«»…\u{a0}ÀÃÕŒœ–—“”‘’÷◊ÿŸ⁄€‹›Țț‡·‚„‰ÂÊÁËÈÍÎÏÌÓÔ\u{f8ff}ÒÚÛÙıˆ˜¯˘˙˚¸˝˛ˇ";

const CROATIAN: &str = "ÄÅÇÉÑÖÜáàâäãåçéèêëíìîïñóòôöõúùûü†°¢£§•¶ß®Š™´¨≠ŽØ∞±≤≥∆µ∂∑∏š∫ªºΩžø\
    ¿¡¬√ƒ≈Ć«Č…\u{a0}ÀÃÕŒœĐ—“”‘’÷◊\u{f8ff}©⁄€‹›Æ»–·‚„‰ÂćÁčÈÍÎÏÌÓÔđÒÚÛÙıˆ˜¯πË˚¸Êæˇ";

/// The encoding of a region; MacRoman where it is not known.
pub(crate) fn of_region(region: i16) -> Script {
    REGIONS.iter().find(|r| r.0 == region).map_or(R, |r| r.2)
}

/// The language of a region as a BCP 47 tag.
pub(crate) fn language(region: i16) -> Option<&'static str> {
    REGIONS.iter().find(|r| r.0 == region).map(|r| r.1)
}

/// Text in MacRoman.
pub(crate) fn mac_roman(bytes: &[u8]) -> String {
    R.decode(bytes)
}

impl Script {
    /// MacRoman.
    pub(crate) const ROMAN: Self = R;

    /// The text; bytes that are none become U+FFFD.
    pub(crate) fn decode(self, bytes: &[u8]) -> String {
        match self {
            Self::Single(upper) => single(bytes, upper),
            Self::Web(encoding) => encoding.decode_without_bom_handling(bytes).0.into_owned(),
            Self::Other => single(bytes, ""),
        }
    }

    /// Whether all text can be decoded.
    pub(crate) fn is_known(self) -> bool {
        !matches!(self, Self::Other)
    }
}

fn single(bytes: &[u8], upper: &str) -> String {
    let upper: Vec<char> = upper.chars().collect();
    let decode = |b: &u8| match b.checked_sub(0x80) {
        None => char::from(*b),
        Some(i) => upper.get(usize::from(i)).copied().unwrap_or(char::REPLACEMENT_CHARACTER),
    };
    bytes.iter().map(decode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_upper_half_has_128_characters() {
        for Region(code, _, script) in REGIONS {
            if let Script::Single(upper) = script {
                assert_eq!(upper.chars().count(), 128, "region {code}");
            }
        }
    }

    #[test]
    fn text_of_several_regions() {
        // Encoded with Python: 'Sichern…“Ä”'.encode('mac_roman') and so on.
        assert_eq!(mac_roman(b"Sichern\xc9\xd2\x80\xd3"), "Sichern…“Ä”");
        assert_eq!(of_region(14).decode(b"\x93\xaf\x88\xd3"), "同意");
        assert_eq!(of_region(51).decode(b"\xb5\xbf\xc0\xc7"), "동의");
        assert_eq!(of_region(52).decode(b"\xcd\xac\xd2\xe2"), "同意");
        assert_eq!(of_region(53).decode(b"\xa6P\xb7N"), "同意");
        assert_eq!(of_region(49).decode(b"\x8f\xf0\xe8\xed\xdf\xf2\xfc"), "Принять");
        assert_eq!(of_region(42).decode(b"\xfdga\x8d"), "żgać");
        assert_eq!(of_region(13).decode(b"A\xe0"), "A\u{fffd}");
        assert_eq!(language(14), Some("ja-JP"));
        assert_eq!(language(-1), None);
    }
}
