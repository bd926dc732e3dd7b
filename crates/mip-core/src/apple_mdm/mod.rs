//! Whether Apple's own MDM channel takes an input: point by point, from what an inspection found.
//!
//! The requirements are those of apple/device-management (`application.install.enterprise`) and of
//! what servers ask for that use it; `docs/apple-mdm.md` names them. What no look at the file can
//! tell is a point too, but does not keep the answer open for ever: see
//! `docs/decisions/0014-apple-mdm.md`.

use mip_base::escape;

use crate::inspection::{
    AppInfo, AppleMdm, ClaimState, Inspection, InstallerKind, LeafKind, MdmPoint, Met,
    PackageTrust, SignerClaim, Validity,
};

/// The verdict. A point that follows from another one is left out: what is not signed has no chain.
pub(crate) fn judge(found: &Inspection) -> AppleMdm {
    let points = points(found);
    let qualifies = worst(&points);
    let managed_points = if qualifies == Met::No { Vec::new() } else { managed(found) };
    let managed = qualifies.min(worst(&managed_points));
    AppleMdm { qualifies, points, managed, managed_points }
}

/// The worst of the points that count.
fn worst(points: &[MdmPoint]) -> Met {
    let counting = points.iter().filter(|p| p.counts).map(|p| p.met);
    counting.min().unwrap_or(Met::No)
}

fn points(found: &Inspection) -> Vec<MdmPoint> {
    let flat = flat(found);
    let package = matches!(
        found.input.kind,
        InstallerKind::DistributionPackage | InstallerKind::ComponentPackage
    );
    if !package {
        return vec![flat];
    }
    let mut out = vec![flat, distribution(found), payload(found)];
    match &found.trust.package {
        Some(trust) => signature(trust, found, &mut out),
        None => out.push(signed(Met::Unknown, "the signature was not looked at")),
    }
    out
}

fn flat(found: &Inspection) -> MdmPoint {
    let point = |met, detail: String| {
        MdmPoint::new("flat-package", "the file is a flat package (xar)", met, detail)
    };
    let other = "`mip convert` makes an archive of it for the Mobile@Work channel";
    match (found.input.kind, &found.input.container) {
        (InstallerKind::DistributionPackage | InstallerKind::ComponentPackage, None) => {
            point(Met::Yes, "it is one".to_owned())
        }
        (InstallerKind::DistributionPackage | InstallerKind::ComponentPackage, Some(_)) => {
            let inside = found.input.path_in_container.as_deref().unwrap_or("the package");
            point(
                Met::No,
                format!(
                    "Apple's channel takes the package itself, not what it is packed in: take out {inside} (`mip cat`)"
                ),
            )
        }
        (InstallerKind::App, _) => point(
            Met::No,
            format!(
                "Apple's channel takes packages only, and this is an app: put it into a package (productbuild --component, on a Mac), or leave it as it is: {other}"
            ),
        ),
        (InstallerKind::BundlePackage | InstallerKind::BundleMetapackage, _) => point(
            Met::No,
            format!(
                "this is an old bundle-style package, a folder: ask the vendor for a flat one, or leave it as it is: {other}"
            ),
        ),
        (InstallerKind::Unknown, _) => {
            point(Met::No, "no package was found that could be installed".to_owned())
        }
    }
}

fn distribution(found: &Inspection) -> MdmPoint {
    let point = |met, detail: &str| {
        MdmPoint::new("distribution", "a Distribution at its top level", met, detail)
    };
    if found.input.kind == InstallerKind::DistributionPackage {
        return point(Met::Yes, "it has one");
    }
    point(
        Met::No,
        "it is a component package, without a Distribution: make a distribution package of it with `productbuild --package` and sign that (on a Mac)",
    )
}

fn payload(found: &Inspection) -> MdmPoint {
    let point = |met, detail: &str| {
        MdmPoint::new("has-payload", "at least one component has a payload", met, detail)
    };
    if found.installer.components.iter().any(|c| c.payload) {
        return point(Met::Yes, "it installs files");
    }
    if found.warnings.iter().any(|w| w.code == "W_COMPONENT_NOT_READ") {
        return point(Met::Unknown, "not every component was read: see the warnings");
    }
    point(
        Met::No,
        "no component has a payload, the package only runs scripts: add a file to it, or run the scripts by the server's own means",
    )
}

fn signed(met: Met, detail: &str) -> MdmPoint {
    MdmPoint::new("signed", "the package is signed", met, detail)
}

fn signature(trust: &PackageTrust, found: &Inspection, out: &mut Vec<MdmPoint>) {
    if trust.state == ClaimState::Unsigned {
        let how = "the package is not signed: sign it with `productsign` and a Developer ID Installer certificate (on a Mac)";
        return out.push(signed(Met::No, how));
    }
    let Some(signer) = trust.signer() else {
        let why = trust.problem.as_deref().unwrap_or("the signature was not looked at");
        let met = match trust.state {
            ClaimState::Invalid => Met::No,
            _ => Met::Unknown,
        };
        return out.push(signed(met, &format!("the package carries a signature: {why}")));
    };
    out.push(signed(Met::Yes, "it is signed"));
    out.push(intact(trust));
    let chain = chain(signer);
    let leads = chain.met == Met::Yes;
    out.push(chain);
    if leads {
        out.push(leaf(signer));
    }
    out.push(not_expired(signer, trust));
    out.push(notarized(found));
    out.push(
        MdmPoint::new(
            "revocation",
            "Apple did not revoke the signer's certificate",
            Met::Unknown,
            "that takes a network: the Mac asks Apple when it installs",
        )
        .does_not_count(),
    );
}

fn intact(trust: &PackageTrust) -> MdmPoint {
    let (met, detail) = match (trust.state, trust.contents.state) {
        (ClaimState::Invalid, _) => {
            let why = trust.problem.as_deref().unwrap_or("the signature does not match");
            (Met::No, format!("{why}: get the package again from its vendor"))
        }
        (ClaimState::Valid | ClaimState::Untrusted, ClaimState::Valid) => {
            (Met::Yes, format!("{} files match the signed table", trust.contents.files))
        }
        (ClaimState::Unsupported, _) => (
            Met::Unknown,
            trust.problem.clone().unwrap_or_else(|| "it cannot be checked".to_owned()),
        ),
        _ => {
            let why = trust.problem.as_deref().unwrap_or("not every file was compared");
            (Met::Unknown, format!("{why}: --signatures full compares all of it"))
        }
    };
    MdmPoint::new("signature-intact", "the bytes are what was signed", met, detail)
}

fn chain(signer: &SignerClaim) -> MdmPoint {
    let (met, detail) = match (&signer.root, &signer.problem) {
        (Some(root), None) => (Met::Yes, format!("they lead to {}", escape(root))),
        (_, Some(why)) => (Met::No, format!("{why}: sign it with a certificate that Apple issued")),
        (None, None) => (
            Met::No,
            "the certificates lead to no root of Apple's: sign it with a certificate that Apple issued"
                .to_owned(),
        ),
    };
    MdmPoint::new("chain-apple", "the certificates lead to a root of Apple's", met, detail)
}

fn leaf(signer: &SignerClaim) -> MdmPoint {
    let name = signer.name.as_deref().map(escape).unwrap_or_default();
    let wrong = |what: &str| {
        (Met::No, format!("{what} ({name}): sign it with a Developer ID Installer certificate"))
    };
    let (met, detail) = match signer.kind {
        LeafKind::DeveloperIdInstaller => (Met::Yes, format!("Developer ID Installer: {name}")),
        LeafKind::Apple => (Met::Yes, format!("Apple's own: {name}")),
        LeafKind::MacInstallerDistribution => {
            wrong("the certificate is one for packages of the App Store")
        }
        LeafKind::DeveloperIdApplication | LeafKind::AppDistribution | LeafKind::MacAppStore => {
            wrong("the certificate is one for programs, not for packages")
        }
        LeafKind::Development => wrong("the certificate is a developer's, for their own machines"),
        _ => wrong("the certificate is none for packages"),
    };
    let requirement = "the certificate is a Developer ID Installer, or Apple's own";
    MdmPoint::new("leaf-kind", requirement, met, detail)
}

fn not_expired(signer: &SignerClaim, trust: &PackageTrust) -> MdmPoint {
    let end = signer.chain.first().map_or("", |c| c.not_after.as_str());
    let stamp = trust.cms.as_ref().and_then(|c| c.timestamp.as_ref());
    let stamp = stamp.and_then(|t| t.time.as_deref()).unwrap_or_default();
    let (met, detail) = match (signer.validity_at_timestamp, signer.validity_now) {
        (Some(Validity::Valid), _) => {
            (Met::Yes, format!("the certificate was valid at the trusted timestamp, {stamp}"))
        }
        (Some(_), _) => (
            Met::No,
            format!(
                "the certificate was not valid at the trusted timestamp, {stamp}: get a newer package"
            ),
        ),
        (None, Some(Validity::Valid)) => (
            Met::Yes,
            format!(
                "the certificate is valid until {end}; there is no trusted timestamp that would count after that"
            ),
        ),
        (None, Some(Validity::Expired)) => (
            Met::No,
            format!(
                "the certificate expired on {end}, and no trusted timestamp says that it signed before: ask the vendor for a newer package"
            ),
        ),
        (None, Some(Validity::NotYetValid)) => {
            (Met::No, "the certificate is not valid yet: check the clock".to_owned())
        }
        (None, None) => (Met::Unknown, "it was not looked at".to_owned()),
    };
    MdmPoint::new("not-expired", "the certificate had not expired", met, detail)
}

/// Not required: what an MDM installs is not quarantined, so Gatekeeper does not ask.
fn notarized(found: &Inspection) -> MdmPoint {
    let tickets = &found.trust.tickets;
    let good = tickets.iter().any(|t| t.state == ClaimState::Valid && t.names_this == Some(true));
    let (met, detail) = match tickets.first() {
        _ if good => (Met::Yes, "a ticket is stapled to it".to_owned()),
        None => (
            Met::Unknown,
            "no ticket is stapled to it, and asking Apple takes a network".to_owned(),
        ),
        Some(t) => {
            let why = t.problem.as_deref().unwrap_or("whether it was made for this is not known");
            (Met::Unknown, format!("the stapled ticket does not count: {why}"))
        }
    };
    MdmPoint::new("notarized", "Apple notarized it", met, detail).does_not_count()
}

/// What a *managed* installation (`InstallAsManaged`) asks for beyond that.
fn managed(found: &Inspection) -> Vec<MdmPoint> {
    let apps: Vec<&AppInfo> = found.apps.iter().filter(|a| !a.nested).collect();
    vec![in_applications(&apps, found), one_app(&apps)]
}

/// "The system only considers apps installed in /Applications as managed."
fn in_applications(apps: &[&AppInfo], found: &Inspection) -> MdmPoint {
    let place = |a: &AppInfo| escape(a.install_path.as_deref().unwrap_or(&a.path));
    let inside =
        |a: &&AppInfo| a.install_path.as_deref().is_some_and(|p| p.starts_with("/Applications/"));
    let outside: Vec<String> = apps
        .iter()
        .filter(|a| a.install_path.is_some() && !inside(a))
        .take(5)
        .map(|a| place(a))
        .collect();
    let unread =
        ["W_PAYLOAD_NOT_READ", "W_PAYLOAD_UNREADABLE", "W_COMPONENT_NOT_READ", "W_MANY_APPS"];
    let unread = found.warnings.iter().any(|w| unread.contains(&w.code));
    let (met, detail) = if !outside.is_empty() {
        (
            Met::No,
            format!(
                "an app lands outside /Applications: {}: install it as not managed",
                outside.join(", ")
            ),
        )
    } else if unread || apps.iter().any(|a| a.install_path.is_none()) {
        (Met::Unknown, "where everything lands is not known: see the warnings".to_owned())
    } else if apps.is_empty() {
        (Met::No, "there is no app in it, so there is nothing to manage".to_owned())
    } else if apps.iter().any(|a| a.relocatable == Some(true)) {
        (
            Met::Yes,
            "they do, unless a user moved an older copy: the package is relocatable".to_owned(),
        )
    } else {
        (Met::Yes, "they do".to_owned())
    };
    MdmPoint::new("apps-in-applications", "its apps land in /Applications", met, detail)
}

/// "In macOS 11 through 13, the system requires that the pkg only contains a single signed app."
fn one_app(apps: &[&AppInfo]) -> MdmPoint {
    let (met, detail) = match apps {
        [] => (Met::No, "there is no app in it".to_owned()),
        [one] => match one.signature.as_ref().map(|s| s.state) {
            Some(ClaimState::Valid) => (Met::Yes, "there is one, and it is signed".to_owned()),
            None | Some(ClaimState::NotChecked | ClaimState::Unsupported) => {
                (Met::Unknown, "there is one; its signature was not checked to its end".to_owned())
            }
            Some(state) => {
                (Met::No, format!("there is one, and its signature is {}", state.word()))
            }
        },
        many => (Met::No, format!("there are {} apps", many.len())),
    };
    let requirement = "on macOS 11 to 13: nothing in it but one signed app";
    MdmPoint::new("one-signed-app", requirement, met, detail).does_not_count()
}

#[cfg(test)]
mod tests;
