//! What Apple issued a certificate for, and to whom.
//!
//! The marker extensions and purposes are those that Apple names in its certification practice
//! statements (WWDR §4.11, Developer ID §4.10, <https://www.apple.com/certificateauthority/>)
//! and in the header `SecPolicyPriv.h` of its published Security framework
//! (`SecPolicyCreateAppleExternalDeveloper`, `…SoftwareSigning`, `…SWUpdateSigning`,
//! `…DeveloperIDPlusTicket`).

use super::LeafKind;
use crate::certificate::{Certificate, name_part};
use crate::oid;

/// 1.2.840.113635.100.6.1.n below [`oid::APPLE`]: what a signer's certificate is for.
const LEAF_MARKS: [(&[u8], LeafKind); 9] = [
    (&[6, 1, 14], LeafKind::DeveloperIdInstaller),
    (&[6, 1, 13], LeafKind::DeveloperIdApplication),
    // 3rd Party Mac Developer Installer
    (&[6, 1, 8], LeafKind::MacInstallerDistribution),
    // Mac App Store: programs, packages
    (&[6, 1, 9], LeafKind::MacAppStore),
    (&[6, 1, 10], LeafKind::MacAppStore),
    // 3rd Party Mac Developer Application; Apple Distribution has it too
    (&[6, 1, 7], LeafKind::AppDistribution),
    // Mac Developer; Apple Development has it too
    (&[6, 1, 12], LeafKind::Development),
    // Software Signing: Apple's own programs
    (&[6, 22], LeafKind::Apple),
    // Apple's own programs, before that
    (&[6, 1, 1], LeafKind::Apple),
];
/// Developer ID Certification Authority.
const DEVELOPER_ID_AUTHORITY: &[u8] = &[6, 2, 6];
/// Developer ID tickets: signer and authority.
const TICKET: &[u8] = &[6, 1, 30];
const TICKET_AUTHORITY: &[u8] = &[6, 2, 17];
/// Purposes of certificates that sign software, below [`oid::APPLE`]: 3rd Party Mac Developer
/// Installer, Mac App Store installer, Developer ID Installer.
const INSTALLER_PURPOSES: [&[u8]; 3] = [&[4, 9], &[4, 10], &[4, 13]];
/// Apple's software updates, and purposes below it.
const SOFTWARE_UPDATE: &[u8] = &[4, 1];

/// What a chain must be good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A package, a disk image or a program.
    Software,
    /// RFC 3161.
    Timestamp,
    /// A notarization ticket.
    Ticket,
}

fn has(certificate: &Certificate, mark: &[u8]) -> bool {
    certificate.extensions.apple.iter().any(|id| below_apple(id) == Some(mark))
}

fn below_apple(id: &[u8]) -> Option<&[u8]> {
    id.strip_prefix(oid::APPLE)
}

/// What Apple issued `leaf` for. Only to be believed where its chain leads to a root of Apple's.
pub(super) fn kind(leaf: &Certificate, issuer: Option<&Certificate>) -> LeafKind {
    if let Some((_, kind)) = LEAF_MARKS.into_iter().find(|(mark, _)| has(leaf, mark)) {
        return kind;
    }
    // Apple's own packages: the Gatekeeper rule "Apple Installer" goes by this name.
    let issuer = issuer.and_then(|i| i.info.common_name.as_deref());
    match issuer {
        Some("Apple Software Update Certification Authority") => LeafKind::Apple,
        _ => LeafKind::Other,
    }
}

/// Why the chain does not serve `purpose`. `path`: the signer's certificate first, the root last.
pub(super) fn unfit(path: &[&Certificate], purpose: Purpose) -> Option<&'static str> {
    let leaf = path.first()?;
    let issuer = path.get(1).copied();
    let purposes = leaf.extensions.purposes.as_deref();
    match purpose {
        Purpose::Software => {
            let kind = kind(leaf, issuer);
            // Apple issues certificates for other things to anyone (push messages, passes).
            let fits = match purposes {
                Some(list) => list.iter().any(|p| for_software(p)),
                None => kind != LeafKind::Other,
            };
            if !fits {
                return Some("is not for signing software");
            }
            let developer_id =
                matches!(kind, LeafKind::DeveloperIdInstaller | LeafKind::DeveloperIdApplication);
            (developer_id && !issuer.is_some_and(|i| has(i, DEVELOPER_ID_AUTHORITY)))
                .then_some("was not issued by a Developer ID authority")
        }
        // RFC 3161 §2.3: this purpose and no other.
        Purpose::Timestamp => match purposes {
            Some([only]) if only == oid::TIME_STAMPING => None,
            _ => Some("is not for timestamps"),
        },
        Purpose::Ticket => {
            let fits = has(leaf, TICKET)
                && issuer.is_some_and(|i| has(i, TICKET_AUTHORITY))
                && path.len() == 3;
            (!fits).then_some("is not for notarization tickets")
        }
    }
}

fn for_software(purpose: &[u8]) -> bool {
    purpose == oid::CODE_SIGNING
        || below_apple(purpose)
            .is_some_and(|p| INSTALLER_PURPOSES.contains(&p) || p.starts_with(SOFTWARE_UPDATE))
}

/// What Apple puts before the name of a developer.
const PREFIXES: [&str; 13] = [
    "Developer ID Installer: ",
    "Developer ID Application: ",
    "3rd Party Mac Developer Installer: ",
    "3rd Party Mac Developer Application: ",
    "Mac Installer Distribution: ",
    "Mac App Distribution: ",
    "Mac Developer: ",
    "Mac Development: ",
    "Apple Development: ",
    "Apple Distribution: ",
    "iPhone Developer: ",
    "iPhone Distribution: ",
    "Developer ID: ",
];

/// The signer's name: the common name without what Apple puts around it.
pub(super) fn name(leaf: &Certificate) -> Option<String> {
    let whole = leaf.info.common_name.as_deref()?;
    let Some(inner) = PREFIXES.iter().find_map(|p| whole.strip_prefix(p)) else {
        return Some(whole.to_owned());
    };
    let short = inner.strip_suffix(')').and_then(|rest| rest.rsplit_once(" ("));
    Some(match short {
        Some((name, team)) if is_team_id(team) => name.to_owned(),
        _ => inner.to_owned(),
    })
}

/// The Team ID in a developer's certificate.
pub(super) fn team_id(leaf: &Certificate, kind: LeafKind) -> Option<String> {
    if matches!(kind, LeafKind::Apple | LeafKind::MacAppStore | LeafKind::Other) {
        return None;
    }
    name_part(&leaf.subject, oid::ORGANIZATIONAL_UNIT).filter(|t| is_team_id(t))
}

fn is_team_id(text: &str) -> bool {
    text.len() == 10 && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}
