#![allow(clippy::field_reassign_with_default, reason = "one line per value reads better here")]

use super::*;
use crate::inspection::{
    BundleSignature, CertificateClaim, ComponentInfo, ContainerFormat, InputFormat, InputInfo,
    SignatureClaim, TicketInfo, TimestampClaim, Warning,
};

/// A signed distribution package with an app in /Applications.
fn good() -> Inspection {
    let mut input = InputInfo::default();
    input.name = "Tool.pkg".to_owned();
    input.format = InputFormat::Xar;
    input.kind = InstallerKind::DistributionPackage;
    let mut i = Inspection::new(input);
    let mut component = ComponentInfo::default();
    component.payload = true;
    i.installer.components = vec![component];
    i.apps = vec![app("/Applications/Tool.app")];
    let mut signer = SignerClaim::default();
    signer.root = Some("Apple Root CA".to_owned());
    signer.kind = LeafKind::DeveloperIdInstaller;
    signer.name = Some("Example (ABC)".to_owned());
    signer.validity_now = Some(Validity::Expired);
    signer.validity_at_timestamp = Some(Validity::Valid);
    let mut leaf = CertificateClaim::default();
    leaf.not_after = "2027-02-01T00:00:00Z".to_owned();
    signer.chain = vec![leaf];
    let mut cms = SignatureClaim::default();
    cms.state = ClaimState::Valid;
    cms.signer = Some(signer);
    let mut stamp = TimestampClaim::default();
    stamp.time = Some("2024-05-06T07:08:09Z".to_owned());
    cms.timestamp = Some(stamp);
    let mut trust = PackageTrust::default();
    trust.state = ClaimState::Valid;
    trust.counts = Some("cms".to_owned());
    trust.cms = Some(cms);
    trust.contents.state = ClaimState::Valid;
    trust.contents.files = 4;
    i.trust.package = Some(trust);
    i
}

fn app(path: &str) -> AppInfo {
    let mut signature = BundleSignature::default();
    signature.state = ClaimState::Valid;
    let mut app = AppInfo::default();
    app.path = path.rsplit('/').next().unwrap().to_owned();
    app.install_path = Some(path.to_owned());
    app.signature = Some(signature);
    app
}

fn trust(i: &mut Inspection) -> &mut PackageTrust {
    i.trust.package.as_mut().unwrap()
}

fn signer(i: &mut Inspection) -> &mut SignerClaim {
    trust(i).cms.as_mut().unwrap().signer.as_mut().unwrap()
}

/// The answer after `change`, and the points that are not met or not known and count.
fn after(change: impl Fn(&mut Inspection)) -> (Met, Vec<(&'static str, Met)>) {
    let mut i = good();
    change(&mut i);
    let verdict = judge(&i);
    let open = verdict.points.iter().filter(|p| p.counts && p.met != Met::Yes);
    (verdict.qualifies, open.map(|p| (p.code, p.met)).collect())
}

fn met(points: &[MdmPoint], code: &str) -> Met {
    points.iter().find(|p| p.code == code).unwrap_or_else(|| panic!("{code}")).met
}

#[test]
fn a_good_package_qualifies_though_revocation_cannot_be_known() {
    let verdict = judge(&good());
    assert_eq!((verdict.qualifies, verdict.managed), (Met::Yes, Met::Yes));
    let codes: Vec<&str> = verdict.points.iter().map(|p| p.code).collect();
    let all = [
        "flat-package",
        "distribution",
        "has-payload",
        "signed",
        "signature-intact",
        "chain-apple",
        "leaf-kind",
        "not-expired",
        "notarized",
        "revocation",
    ];
    assert_eq!(codes, all);
    for code in ["notarized", "revocation"] {
        assert_eq!(met(&verdict.points, code), Met::Unknown);
        assert!(!verdict.points.iter().any(|p| p.code == code && p.counts));
    }
}

#[test]
fn each_point_decides_alone() {
    use Met::{No, Unknown};
    type Case = (&'static str, Met, fn(&mut Inspection));
    let cases: &[Case] = &[
        ("distribution", No, |i| i.input.kind = InstallerKind::ComponentPackage),
        ("flat-package", No, |i| i.input.container = Some(ContainerFormat::Zip)),
        ("has-payload", No, |i| i.installer.components[0].payload = false),
        ("has-payload", No, |i| i.installer.components.clear()),
        ("has-payload", Unknown, |i| {
            i.installer.components.clear();
            i.warnings.push(Warning::new("W_COMPONENT_NOT_READ", "x"));
        }),
        ("signed", No, |i| i.trust.package = Some(PackageTrust::default())),
        ("signed", Unknown, |i| i.trust.package = None),
        ("signed", Unknown, |i| {
            *trust(i) = PackageTrust::default();
            trust(i).state = ClaimState::NotChecked;
        }),
        ("signature-intact", No, |i| trust(i).state = ClaimState::Invalid),
        ("signature-intact", Unknown, |i| {
            trust(i).state = ClaimState::NotChecked;
            trust(i).contents.state = ClaimState::NotChecked;
        }),
        ("signature-intact", Unknown, |i| trust(i).state = ClaimState::Unsupported),
        ("chain-apple", No, |i| signer(i).root = None),
        ("chain-apple", No, |i| signer(i).problem = Some("it leads nowhere".to_owned())),
        ("leaf-kind", No, |i| signer(i).kind = LeafKind::DeveloperIdApplication),
        ("leaf-kind", No, |i| signer(i).kind = LeafKind::MacInstallerDistribution),
        ("leaf-kind", No, |i| signer(i).kind = LeafKind::Other),
        ("not-expired", No, |i| signer(i).validity_at_timestamp = None),
        ("not-expired", No, |i| signer(i).validity_at_timestamp = Some(Validity::Expired)),
        ("not-expired", Unknown, |i| {
            signer(i).validity_at_timestamp = None;
            signer(i).validity_now = None;
        }),
    ];
    for (code, want, change) in cases {
        assert_eq!(after(change), (*want, vec![(*code, *want)]), "{code}");
    }
}

#[test]
fn what_is_still_good_stays_good() {
    let same: &[fn(&mut Inspection)] = &[
        |i| signer(i).kind = LeafKind::Apple,
        |i| {
            signer(i).validity_at_timestamp = None;
            signer(i).validity_now = Some(Validity::Valid);
        },
    ];
    for change in same {
        assert_eq!(after(change), (Met::Yes, Vec::new()));
    }
}

#[test]
fn no_goes_before_not_known() {
    let (met, open) = after(|i| {
        i.input.kind = InstallerKind::ComponentPackage;
        trust(i).contents.state = ClaimState::NotChecked;
        trust(i).state = ClaimState::NotChecked;
    });
    assert_eq!(met, Met::No);
    assert_eq!(open, [("distribution", Met::No), ("signature-intact", Met::Unknown)]);
}

#[test]
fn only_packages_are_taken_and_the_advice_names_the_other_channel() {
    for kind in [
        InstallerKind::App,
        InstallerKind::BundlePackage,
        InstallerKind::BundleMetapackage,
        InstallerKind::Unknown,
    ] {
        let mut i = good();
        i.input.kind = kind;
        let verdict = judge(&i);
        assert_eq!((verdict.qualifies, verdict.managed), (Met::No, Met::No));
        assert_eq!(verdict.points.len(), 1);
        assert!(verdict.managed_points.is_empty());
        if kind != InstallerKind::Unknown {
            assert!(verdict.points[0].detail.contains("Mobile@Work"), "{kind:?}");
        }
    }
}

#[test]
fn a_ticket_counts_as_notarization_only_where_it_names_this_package() {
    for (state, names, want) in [
        (ClaimState::Valid, Some(true), Met::Yes),
        (ClaimState::Valid, None, Met::Unknown),
        (ClaimState::Invalid, Some(false), Met::Unknown),
    ] {
        let mut i = good();
        let mut ticket = TicketInfo::default();
        ticket.state = state;
        ticket.names_this = names;
        i.trust.tickets = vec![ticket];
        assert_eq!(met(&judge(&i).points, "notarized"), want);
    }
}

#[test]
fn managed_asks_for_apps_in_applications() {
    type Case = (Met, Met, fn(&mut Inspection));
    let cases: &[Case] = &[
        (Met::Yes, Met::Yes, |_| {}),
        (Met::No, Met::Yes, |i| i.apps = vec![app("/Library/Tool.app")]),
        (Met::No, Met::Yes, |i| i.apps = vec![app("/Applications.app")]),
        (Met::No, Met::No, |i| i.apps.clear()),
        (Met::Yes, Met::No, |i| i.apps.push(app("/Applications/Sub/Other.app"))),
        (Met::No, Met::No, |i| i.apps.push(app("/opt/Other.app"))),
        (Met::Unknown, Met::Yes, |i| i.apps[0].install_path = None),
        (Met::Unknown, Met::Yes, |i| i.warnings.push(Warning::new("W_PAYLOAD_NOT_READ", "x"))),
        (Met::Yes, Met::Unknown, |i| i.apps[0].signature = None),
        (Met::Yes, Met::No, |i| {
            i.apps[0].signature.as_mut().unwrap().state = ClaimState::Unsigned;
        }),
        (Met::Yes, Met::Yes, |i| {
            let mut helper = app("/Applications/Tool.app/Contents/Helper.app");
            helper.nested = true;
            i.apps.push(helper);
        }),
    ];
    for (n, (managed, one, change)) in cases.iter().enumerate() {
        let mut i = good();
        change(&mut i);
        let verdict = judge(&i);
        assert_eq!(verdict.managed, *managed, "{n}");
        assert_eq!(met(&verdict.managed_points, "apps-in-applications"), *managed, "{n}");
        assert_eq!(met(&verdict.managed_points, "one-signed-app"), *one, "{n}");
    }
}

#[test]
fn names_from_the_file_cannot_move_the_cursor() {
    let mut i = good();
    signer(&mut i).name = Some("a\u{1b}[2J\u{202e}".to_owned());
    i.apps = vec![app("/Library/\u{1b}[2J.app")];
    let shown = format!("{:?}", judge(&i));
    assert!(!shown.contains(['\u{1b}', '\u{202e}']) && !shown.contains("u{1b}[2J\u{202e}"));
    for p in judge(&i).points.iter().chain(&judge(&i).managed_points) {
        assert!(!p.detail.chars().any(mip_base::is_hidden), "{}", p.detail);
    }
}
