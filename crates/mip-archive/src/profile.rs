//! The seam: everything that makes an archive one of this profile. Names of entries and their
//! order, the index's magic and purpose, sizes, and the keys of `Info.plist`.
//!
//! The vendor publishes nothing about its own `.mip` files; this profile is open and our own.

use mip_base::{Code, Error, Result, escape, is_hidden};
use unicode_normalization::{UnicodeNormalization, is_nfc};

use crate::EntryRole;

/// Version of the index format and of the layout.
pub const FORMAT_VERSION: u32 = 1;
/// The first bytes of the index.
pub const INDEX_MAGIC: [u8; 8] = *b"MIPINDEX";
/// What a signature over the index means: separates it from every other use of the same key.
pub const PURPOSE: &str = "mip: index of a product archive, profile 1";
/// Log2 of the block size.
pub const BLOCK_LOG2: u8 = 20;
/// Bytes of a block: block `i` is the bytes `[i * BLOCK, (i + 1) * BLOCK)` of the body.
pub const BLOCK: u64 = 1 << BLOCK_LOG2;
/// The payload's data starts at a multiple of this, so that file systems can share its blocks.
pub const PAYLOAD_ALIGNMENT: u16 = 4096;
/// Entries other than the payload are smaller than this (64 MiB).
pub const SMALL_ENTRY_LIMIT: u64 = 64 << 20;
/// Most entries of the body.
pub const MAX_ENTRIES: usize = 256;
/// Most UTF-8 bytes of the product id and of its version.
pub const MAX_PRODUCT_TEXT: usize = 255;
/// Most UTF-8 bytes of the payload's file name.
pub const MAX_PAYLOAD_NAME: usize = 200;
/// Most bytes of a script's file name.
pub const MAX_SCRIPT_NAME: usize = 64;
/// Bytes of ZIP64 end record, its locator and the end record: the end of every archive.
pub const TAIL: u64 = 98;

/// The metadata property list, the first entry.
pub const INFO_PLIST: &str = "Info.plist";
/// The icon, where the installer has one.
pub const ICON: &str = "icon.png";
/// Folder of the scripts, with its slash.
pub const SCRIPTS: &str = "scripts/";
/// Folder of the payload, with its slash.
pub const PAYLOAD: &str = "payload/";
/// The signed index, after the body.
pub const INDEX: &str = "META-MIP/index.bin";
/// The detached CMS signature over the index, where there is one.
pub const SIGNATURE: &str = "META-MIP/signature.p7s";

/// Permission bits that an entry may have.
pub const MODES: [u32; 2] = [0o644, 0o755];

/// The script that says whether the product is installed (exit status 0: it is).
pub const DETECTION_SCRIPT: &str = "scripts/detection.sh";
/// The script that removes the product.
pub const UNINSTALL_SCRIPT: &str = "scripts/uninstall.sh";
/// The script to run before the installation.
pub const PREINSTALL_SCRIPT: &str = "scripts/preinstall";
/// The script to run after the installation.
pub const POSTINSTALL_SCRIPT: &str = "scripts/postinstall";

/// The payload kind of a disk image.
pub const DISK_IMAGE: &str = "disk-image";

/// Keys of `Info.plist`. Apple's own keys keep Apple's meaning; ours start with `MIP`.
///
/// The types in the comments are property list types. The container does not read the plist;
/// `docs/mip-format.md` says which keys are required.
pub mod keys {
    /// string, required: identifier of the product (the primary app's, else the package's).
    pub const BUNDLE_IDENTIFIER: &str = "CFBundleIdentifier";
    /// string, required: short name.
    pub const BUNDLE_NAME: &str = "CFBundleName";
    /// string: name as shown to people.
    pub const BUNDLE_DISPLAY_NAME: &str = "CFBundleDisplayName";
    /// string, required: version as shown to people.
    pub const SHORT_VERSION: &str = "CFBundleShortVersionString";
    /// string, required: build version.
    pub const BUNDLE_VERSION: &str = "CFBundleVersion";
    /// string: lowest macOS version.
    pub const MINIMUM_SYSTEM_VERSION: &str = "LSMinimumSystemVersion";
    /// string: App Store category (a uniform type identifier).
    pub const CATEGORY: &str = "LSApplicationCategoryType";
    /// string: copyright line.
    pub const COPYRIGHT: &str = "NSHumanReadableCopyright";
    /// string: `icon.png` where that entry is present.
    pub const ICON_FILE: &str = "CFBundleIconFile";

    /// integer, required: [`FORMAT_VERSION`](super::FORMAT_VERSION).
    pub const FORMAT_VERSION: &str = "MIPFormatVersion";
    /// string, required: name and version of the program that wrote the archive.
    pub const GENERATOR: &str = "MIPGenerator";
    /// string, required: what the payload is (`distribution-package`, `component-package`,
    /// `bundle-package`, `bundle-metapackage`, `app`, `disk-image`, `unknown`).
    pub const PAYLOAD_KIND: &str = "MIPPayloadKind";
    /// string, of a disk image: what is to be installed from it, in the words of
    /// [`PAYLOAD_KIND`].
    pub const PAYLOAD_HOLDS: &str = "MIPPayloadHolds";
    /// string, of a disk image: path of the app or package in it.
    pub const PAYLOAD_INSTALLER: &str = "MIPPayloadInstaller";
    /// string, required: file name of the payload below `payload/`.
    pub const PAYLOAD_NAME: &str = "MIPPayloadName";
    /// string: file name of the payload as it was given, where it differs.
    pub const PAYLOAD_ORIGINAL_NAME: &str = "MIPPayloadOriginalName";
    /// boolean, required: whether the inside of the payload was read; false when it was carried
    /// unread at the caller's word.
    pub const PAYLOAD_READ: &str = "MIPPayloadRead";
    /// string: highest macOS version.
    pub const MAXIMUM_SYSTEM_VERSION: &str = "MIPMaximumSystemVersion";
    /// array of strings: processor architectures of the primary app or of the package's host
    /// requirement (`arm64`, `x86_64`).
    pub const ARCHITECTURES: &str = "MIPArchitectures";
    /// integer: installed size in KiB.
    pub const INSTALLED_KBYTES: &str = "MIPInstalledKBytes";
    /// string: what the installation asks for at its end (`none`, `logout`, `restart`,
    /// `shutdown`).
    pub const RESTART: &str = "MIPRestart";
    /// boolean: the installer has a licence agreement.
    pub const LICENSE_AGREEMENT: &str = "MIPLicenseAgreement";
    /// array of dictionaries: the apps that are installed (keys `APP_*`).
    pub const APPS: &str = "MIPApps";
    /// array of dictionaries: the receipts that the installer leaves (keys `RECEIPT_*`).
    pub const RECEIPTS: &str = "MIPReceipts";
    /// array of dictionaries: the package's own scripts (keys `SCRIPT_*`).
    pub const INSTALLER_SCRIPTS: &str = "MIPInstallerScripts";
    /// array of dictionaries: claims about trust that were found and how they were checked
    /// (keys `CLAIM_*`). Never a statement about the trust in the archive.
    pub const CLAIMS: &str = "MIPClaims";
    /// dictionary: key of this plist to the place that its value came from.
    pub const PROVENANCE: &str = "MIPProvenance";
    /// array of strings: what an administrator should know.
    pub const WARNINGS: &str = "MIPWarnings";

    /// string, required in an app: bundle identifier.
    pub const APP_IDENTIFIER: &str = "Identifier";
    /// string: name of the app.
    pub const APP_NAME: &str = "Name";
    /// string: `CFBundleShortVersionString` of the app.
    pub const APP_SHORT_VERSION: &str = "ShortVersion";
    /// string: `CFBundleVersion` of the app.
    pub const APP_VERSION: &str = "Version";
    /// string: path where it is installed.
    pub const APP_PATH: &str = "Path";
    /// string: lowest macOS version of the app.
    pub const APP_MINIMUM_SYSTEM_VERSION: &str = "MinimumSystemVersion";
    /// array of strings: architectures of the app.
    pub const APP_ARCHITECTURES: &str = "Architectures";
    /// boolean, required in an app: this is the primary app.
    pub const APP_PRIMARY: &str = "Primary";
    /// string, required in a receipt: package identifier.
    pub const RECEIPT_IDENTIFIER: &str = "PackageIdentifier";
    /// string, required in a receipt: package version.
    pub const RECEIPT_VERSION: &str = "Version";
    /// string: install location of the component package.
    pub const RECEIPT_LOCATION: &str = "InstallLocation";
    /// string, required in a script: name in the package.
    pub const SCRIPT_NAME: &str = "Name";
    /// string: identifier of the component package that the script belongs to.
    pub const SCRIPT_PACKAGE: &str = "PackageIdentifier";
    /// string: interpreter of the script.
    pub const SCRIPT_INTERPRETER: &str = "Interpreter";
    /// integer: size of the script in bytes.
    pub const SCRIPT_SIZE: &str = "Size";
    /// string, required in a claim: what is claimed (`package-signature`, …).
    pub const CLAIM_KIND: &str = "Kind";
    /// string: who claims it.
    pub const CLAIM_SUBJECT: &str = "Subject";
    /// string, required in a claim: the check that was made and its result.
    pub const CLAIM_CHECK: &str = "Check";
}

/// The role that the profile gives to an entry of the body named `name`.
///
/// # Errors
/// [`Code::MipUnknown`] when the profile has no such name.
pub fn role_of(name: &str) -> Result<EntryRole> {
    let bad = |why: &str| {
        let text = format!("the entry name \"{}\" {why}", escape(name));
        Err(Error::new(Code::MipUnknown, text))
    };
    match name {
        INFO_PLIST => return Ok(EntryRole::Metadata),
        ICON => return Ok(EntryRole::Icon),
        _ => {}
    }
    if let Some(file) = name.strip_prefix(SCRIPTS) {
        return if is_script_name(file) {
            Ok(EntryRole::Script)
        } else {
            bad("is not a script name of this profile")
        };
    }
    if let Some(file) = name.strip_prefix(PAYLOAD) {
        return match payload_name_fault(file) {
            None => Ok(EntryRole::Payload),
            Some(why) => bad(why),
        };
    }
    bad("has no place in this profile")
}

/// ASCII letters, digits, `.`, `_`, `-`; the first a letter or digit; at most
/// [`MAX_SCRIPT_NAME`] bytes; not ending in a dot; no device name of Windows.
fn is_script_name(file: &str) -> bool {
    file.len() <= MAX_SCRIPT_NAME
        && file.starts_with(|c: char| c.is_ascii_alphanumeric())
        && file.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        && !file.ends_with('.')
        && !is_device_name(file)
}

/// Why `file` cannot be the payload's file name; `None` when it can.
fn payload_name_fault(file: &str) -> Option<&'static str> {
    if file.is_empty() || file.len() > MAX_PAYLOAD_NAME {
        Some("has a payload name that is empty or too long")
    } else if file.chars().any(is_forbidden) {
        Some("has a character that a payload name must not have")
    } else if file.starts_with(' ') || file.ends_with([' ', '.']) || file == "." {
        Some("has a payload name that starts with a space or ends in a space or dot")
    } else if is_device_name(file) {
        Some("has a payload name that is a device on Windows")
    } else if !is_nfc(file) {
        Some("is not in Unicode normalization form C")
    } else {
        None
    }
}

/// Separators and wildcards of some system, and characters that are not seen.
/// `docs/mip-format.md` lists them: a change of [`is_hidden`] is a change of the profile.
fn is_forbidden(c: char) -> bool {
    "/\\:*?\"<>|".contains(c) || is_hidden(c)
}

/// `CON`, `NUL`, `COM1`…: files that Windows cannot make, whatever follows the first dot.
fn is_device_name(file: &str) -> bool {
    let stem = file.split('.').next().unwrap_or(file).trim_end().to_ascii_uppercase();
    matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$")
        || stem.strip_prefix("COM").or_else(|| stem.strip_prefix("LPT")).is_some_and(|n| {
            n.chars().count() == 1
                && n.chars().all(|c| matches!(c, '0'..='9' | '\u{B9}' | '\u{B2}' | '\u{B3}'))
        })
}

/// A payload file name for a file that was called `original`: the same name wherever the
/// profile allows it. Normalized to form C; what is not allowed becomes `_`; a name that is
/// too long is cut in the middle, so that its extension stays.
#[must_use]
pub fn payload_name(original: &str) -> String {
    let mut name: String = original.nfc().map(|c| if is_forbidden(c) { '_' } else { c }).collect();
    let trimmed = name.trim_start_matches(' ').trim_end_matches([' ', '.']);
    name = if trimmed.is_empty() { "payload".to_owned() } else { trimmed.to_owned() };
    if is_device_name(&name) {
        name.insert(0, '_');
    }
    if name.len() > MAX_PAYLOAD_NAME {
        let keep_end: String = {
            let mut taken = 0usize;
            let mut end: Vec<char> = Vec::new();
            for c in name.chars().rev() {
                taken = taken.saturating_add(c.len_utf8());
                if taken > MAX_PAYLOAD_NAME / 4 {
                    break;
                }
                end.push(c);
            }
            end.iter().rev().collect()
        };
        let room = MAX_PAYLOAD_NAME.saturating_sub(keep_end.len()).saturating_sub(1);
        let mut start = String::new();
        for c in name.chars() {
            if start.len().saturating_add(c.len_utf8()) > room {
                break;
            }
            start.push(c);
        }
        // The `_` keeps the two halves from composing into another character.
        name = format!("{start}_{keep_end}");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_role_that_the_profile_gives() {
        assert_eq!(role_of("Info.plist").unwrap(), EntryRole::Metadata);
        assert_eq!(role_of("icon.png").unwrap(), EntryRole::Icon);
        assert_eq!(role_of("scripts/detection.sh").unwrap(), EntryRole::Script);
        assert_eq!(role_of("payload/Größe 1.2 (大).pkg").unwrap(), EntryRole::Payload);
    }

    #[test]
    fn h09_names_outside_the_profile_are_refused() {
        for bad in [
            "",
            "info.plist",
            "Info.plist/",
            "./Info.plist",
            "/Info.plist",
            "icon.PNG",
            "scripts/",
            "scripts/../x",
            "scripts/a/b",
            "scripts/.hidden",
            "scripts/a b",
            "scripts/é",
            "scripts/con",
            "scripts/x.",
            "payload/",
            "payload",
            "payload/a/b",
            "payload/..",
            "payload/.",
            "payload/a\\b",
            "payload/C:x",
            "payload/a\0b",
            "payload/a\u{202e}b",
            "payload/x ",
            "payload/ x",
            "payload/x.",
            "payload/NUL.pkg",
            "payload/com1",
            "payload/e\u{301}.pkg",
            "META-MIP/index.bin",
            "META-MIP/other",
            "Payload/x",
        ] {
            assert_eq!(role_of(bad).unwrap_err().code(), Code::MipUnknown, "{bad:?}");
        }
        assert!(role_of(&format!("payload/{}", "x".repeat(MAX_PAYLOAD_NAME))).is_ok());
        assert!(role_of(&format!("payload/{}", "x".repeat(MAX_PAYLOAD_NAME + 1))).is_err());
    }

    #[test]
    fn any_file_name_becomes_a_payload_name() {
        assert_eq!(payload_name("Tool-1.2.pkg"), "Tool-1.2.pkg");
        assert_eq!(payload_name("e\u{301}.pkg"), "é.pkg");
        assert_eq!(payload_name("a/b\\c:d?.pkg"), "a_b_c_d_.pkg");
        assert_eq!(payload_name(" . "), "payload");
        let cut = payload_name(&format!("{}.pkg", "大".repeat(300)));
        assert!(cut.ends_with(".pkg") && cut.len() <= MAX_PAYLOAD_NAME);
        for odd in ["", ".", "..", " ", "nul", "com1.pkg", "\u{202e}", "...", "x. .", "\u{301}"] {
            let name = format!("{PAYLOAD}{}", payload_name(odd));
            assert!(role_of(&name).is_ok(), "{odd:?} -> {name:?}");
        }
    }
}
