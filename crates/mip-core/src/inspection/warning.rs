//! Warnings: what an admin should know, with a stable code and what to do about it.

use schemars::JsonSchema;
use serde::Serialize;

/// Something an admin should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Warning {
    /// A stable code, `W_…`, of [`WARNINGS`].
    pub code: &'static str,
    /// What it is about, in one line. Escaped.
    pub message: String,
    /// What to do about it.
    pub advice: &'static str,
}

impl Warning {
    /// A warning. Names from a file must be escaped by the caller.
    #[must_use]
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        let advice = WARNINGS.iter().find(|w| w.code == code).map_or("", |w| w.advice);
        Self { code, message: message.into(), advice }
    }

    /// Whether almost every package has it: worth to know, and no reason to look up. The command
    /// line shows it after the others, and not among the warnings on stderr.
    #[must_use]
    pub fn is_usual(&self) -> bool {
        USUAL.contains(&self.code)
    }

    /// Whether another day's inspection of the same bytes may say otherwise. Such a warning is
    /// for reports: an archive's manifest does not have it.
    #[must_use]
    pub fn depends_on_time(&self) -> bool {
        DEPENDS_ON_TIME.contains(&self.code)
    }
}

/// Warnings that almost every package has.
const USUAL: &[&str] = &["W_RECEIPT_BLOCKS", "W_RUNS_SCRIPTS"];

/// Warnings that depend on the time of the inspection.
const DEPENDS_ON_TIME: &[&str] = &["W_SIGNER_EXPIRED"];

/// One row of the table of warnings.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct WarningInfo {
    /// The code.
    pub code: &'static str,
    /// When it is given.
    pub meaning: &'static str,
    /// What to do about it.
    pub advice: &'static str,
}

macro_rules! warnings {
    ($($code:literal, $meaning:literal, $advice:literal;)*) => {
        /// Every warning with its meaning, by code: the source of `docs/warnings.md`.
        pub const WARNINGS: &[WarningInfo] =
            &[$(WarningInfo { code: $code, meaning: $meaning, advice: $advice }),*];
    };
}

// Sorted by code.
warnings! {
    "W_32_BIT_ONLY", "The app is 32-bit only; macOS 10.15 and later cannot run it.", "ask the vendor for a version of today";
    "W_AMBIGUOUS", "Several apps could be meant, and nothing tells them apart.", "choose one: an app with --primary-app, an installer with --select";
    "W_APPLE_MDM", "Apple's own MDM channel does not take the input.", "build a signed distribution package for that channel, or convert the input for the other one";
    "W_APP_ADHOC", "The app is signed without a certificate: nobody answers for it.", "get a build that its vendor signed with a Developer ID; Gatekeeper blocks this one where it was downloaded";
    "W_APP_SEAL_WEAK", "The seal of the app leaves out files by rules of its own.", "get a build that is signed with the usual rules: Gatekeeper refuses this one";
    "W_APP_SIGNATURE_INVALID", "The app is not what was signed.", "do not install it: get the app again from its vendor";
    "W_APP_SIGNATURE_UNTRUSTED", "The app is signed by someone whom Apple does not vouch for.", "get a build that its vendor signed with a Developer ID";
    "W_APP_UNREADABLE", "The Info.plist of an app cannot be used.", "check the app; what is known of it comes from the package's lists";
    "W_APP_UNSIGNED", "The app is not signed, or its files are not.", "get a signed build: on Apple silicon no program runs without a signature";
    "W_ARCHITECTURES_DIFFER", "What the app or the package says of its processors is not what the program has.", "try it on each kind of Mac that you have";
    "W_ASKS_USER", "macOS asks a person before it mounts the disk image.", "carry what is inside instead: leave --payload out";
    "W_BOM_UNREADABLE", "A file list (Bom) cannot be read.", "ask the vendor for an intact package";
    "W_BUNDLE_DIFFERS", "The package lists another identifier or version than the app gives.", "the app's own values count; check that the package was built from this app";
    "W_COMPONENT_NOT_READ", "A component package inside was not read.", "raise the limit that the message names if you trust the input";
    "W_DISTRIBUTION_UNREADABLE", "The Distribution of an old package cannot be read.", "ask the vendor for an intact package";
    "W_DURABILITY", "The output is complete, but the system did not confirm that it is on disk.", "check the disk";
    "W_GIVEN_SCRIPT", "A script that was given needs an interpreter that not every Mac has.", "write it for /bin/sh or /bin/zsh, or make sure that the interpreter is installed";
    "W_ICON", "The icon cannot be used and was left out.", "give one with --icon";
    "W_INTEL_ONLY", "The app is for Intel processors only. Apple silicon needs Rosetta for it, which macOS 28 has only for some games.", "ask the vendor for a universal version; until then, install Rosetta first";
    "W_JAVASCRIPT", "The package decides with JavaScript, which is not run here.", "try the package on a test Mac";
    "W_LICENCE", "The package has a licence agreement, which an unattended installation does not show.", "make sure that you may accept it for your users";
    "W_MANY_APPS", "There are more apps than are looked at.", "choose the one that matters with --primary-app";
    "W_NOTHING_TO_INSTALL", "Nothing to install was found.", "check that this is the installer that you meant";
    "W_NO_DETECTION", "Nothing is known by which the product could be found on a Mac.", "write a detection script of your own";
    "W_NO_IDENTIFIER", "There is no identifier, or one that was never filled in.", "give one with --id, and use a detection script that looks for something else";
    "W_NO_PAYLOAD", "No component has a payload: the package only runs scripts.", "use a detection script that checks what the scripts do: no receipt is left";
    "W_NO_VERSION", "There is no version.", "give one with --set-version";
    "W_OS_CONTRADICTION", "The bounds on macOS leave no version.", "ask the vendor; try it on a Mac with the newest macOS that is allowed";
    "W_OTHER_PLATFORM", "The app was built for another platform than macOS.", "ask the vendor for the macOS version";
    "W_OUTSIDE_APPLICATIONS", "The app lands outside /Applications.", "use the generated detection script: inventories may not see the app";
    "W_PAYLOAD_NOT_READ", "A payload was not read because of its size.", "read it with --payload-scan always";
    "W_PAYLOAD_UNREADABLE", "A payload cannot be read.", "ask the vendor for an intact package";
    "W_PLACEHOLDER_NAME", "The name is that of a file, because the package gives none or a placeholder.", "give the real one with --name";
    "W_POWERPC", "The app is for PowerPC only; Mac OS X 10.7 and later cannot run it.", "ask the vendor for a version of today";
    "W_RECEIPT_BLOCKS", "The package leaves receipts, which stay when a user deletes the app. A client that looks at them does not install it again.", "use the generated detection script, which looks for the app; the uninstall script forgets the receipts";
    "W_RELOCATABLE", "The Installer may put the app where the user moved an older copy.", "use the generated detection script, which looks for the app by its identifier";
    "W_RESOURCE_FORK", "Files have resource forks, which are left out.", "carry the disk image as it is: --payload original";
    "W_ROSETTA_TO_INSTALL", "The Distribution does not name arm64 in options@hostArchitectures: on Apple silicon, the Installer wants Rosetta even for a package that is universal.", "install Rosetta first, or ask the vendor to add hostArchitectures";
    "W_RUNS_SCRIPTS", "The package runs scripts. What they change is in no list, and no receipt tells whether they did.", "read them with `mip inspect --scripts`; use a detection script that checks what they do";
    "W_SCRIPTS_NOT_READ", "The scripts were not read because of their size.", "read them with --payload-scan always";
    "W_SCRIPTS_UNREADABLE", "The scripts cannot be read.", "ask the vendor for an intact package";
    "W_SCRIPT_COMMAND", "A script calls a command that a Mac does not have, not any more, or not without more software.", "read the line: without a check before it, the script fails there";
    "W_SCRIPT_DOWNLOADS", "A script downloads something.", "check that the Mac can reach it; what is downloaded is not part of the archive and was not checked";
    "W_SCRIPT_INSTALLS", "A script installs another package.", "install that package on its own: the system allows one installation at a time";
    "W_SCRIPT_INTERPRETER", "The interpreter of a script is not part of macOS, not any more, or not for ever.", "ask the vendor for a script in sh or zsh, or install the interpreter first";
    "W_SCRIPT_NO_INTERPRETER", "A script that the Installer runs has no interpreter line (#!).", "ask the vendor to add one: what runs it is left to the system";
    "W_SCRIPT_SYSTEM", "A script writes to the system volume, which is read-only since macOS 10.15.", "read the line: on a Mac of today it fails";
    "W_SCRIPT_USER", "A script uses a user's home or desktop (HOME, osascript, open).", "check what it does when nobody is logged in: it runs as root, and HOME is root's";
    "W_SEVERAL_INSTALLERS", "The disk image that is carried holds several installers.", "choose with --select and carry that: --payload app or --payload pkg";
    "W_SEVERAL_VERSIONS", "The components have different versions, and nothing gives one for the whole.", "give the version with --set-version";
    "W_SIGNATURE_ATTRIBUTE", "Programs keep their code signature in an extended attribute, which is left out.", "carry the disk image as it is: --payload original";
    "W_SIGNATURE_INVALID", "The installer is signed, and the bytes are not what was signed, or the signature cannot be right.", "do not install it: get the installer again from its vendor";
    "W_SIGNATURE_UNTRUSTED", "The installer is signed, and the signer's certificate does not lead to Apple's roots by the rules.", "ask the vendor for one that is signed with a Developer ID";
    "W_SIGNER", "The signing certificate will not be accepted for long, or by everyone.", "renew it";
    "W_SIGNER_EXPIRED", "The certificate that signed the installer has expired, and no trusted timestamp says that it signed before.", "ask the vendor for one that is signed anew: the Installer refuses this one";
    "W_SUSPICIOUS_VERSION", "The version looks like a placeholder.", "give the real one with --set-version";
    "W_TICKET_INVALID", "The notarization ticket that is stapled to the installer does not count.", "get the installer again from its vendor";
    "W_UNREAD", "The inside of the input was not read.", "check the values that you gave: nothing was compared with them";
    "W_UNSIGNED_BYTES", "The signed package holds bytes that no signature covers, and it is not known what they are.", "get the installer again from its vendor: the package may have been changed";
    "W_UNUSUAL_IDENTIFIER", "The identifier has characters that Apple does not allow in one.", "check that the server takes it; give another with --id";
    "W_UNUSUAL_VERSION", "The version does not start with a digit.", "give another with --set-version if the server cannot compare it";
}
