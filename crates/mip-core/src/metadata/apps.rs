//! From an `Info.plist` to the facts of an app.

use super::{compare_versions, is_usable, rules};
use crate::app::AppFacts;
use crate::inspection::{AppInfo, Candidate, Fact};

/// The facts of an app from its `Info.plist`. `plist` is the container path of that file,
/// `file_name` the name of the bundle without `.app`. Paths are left to the caller.
#[must_use]
pub fn app_info(facts: &AppFacts, plist: &str, file_name: &str) -> AppInfo {
    let stated = |v: &Option<String>, key: &str| {
        v.as_ref().map(|v| Fact::new(v.clone(), plist, Some(key), rules::STATED))
    };
    let by_file_name = || {
        (!file_name.is_empty())
            .then(|| Fact::new(file_name.to_owned(), plist, None, rules::FILE_NAME))
    };
    AppInfo {
        bundle_id: stated(&facts.bundle_id, "CFBundleIdentifier"),
        name: stated(&facts.display_name, "CFBundleDisplayName")
            .or_else(|| stated(&facts.name, "CFBundleName"))
            .or_else(by_file_name),
        short_version: stated(&facts.short_version, "CFBundleShortVersionString"),
        bundle_version: stated(&facts.version, "CFBundleVersion"),
        min_os: min_os(facts, plist),
        max_os: stated(&facts.max_os, "LSMaximumSystemVersion"),
        architectures: architectures(facts, plist),
        category: stated(&facts.category, "LSApplicationCategoryType"),
        copyright: stated(&facts.copyright, "NSHumanReadableCopyright"),
        executable: facts.executable.clone(),
        package_type: facts.package_type.clone(),
        icon_file: facts.icon_file.clone(),
        ..AppInfo::default()
    }
}

/// What the program has; else what the `Info.plist` says that it has.
fn architectures(facts: &AppFacts, plist: &str) -> Option<Fact<Vec<String>>> {
    let sorted = |list: &[String]| {
        let mut all = list.to_vec();
        all.sort();
        all.dedup();
        all
    };
    let said = (!facts.architecture_priority.is_empty()).then(|| {
        let key = Some("LSArchitecturePriority");
        let value = sorted(&facts.architecture_priority);
        Fact::new(value, plist, key, rules::PLIST_ARCHITECTURES)
    });
    if facts.architectures.is_empty() {
        return said;
    }
    let place = plist.strip_suffix("Info.plist").unwrap_or(plist);
    let program = mip_base::escape(facts.executable.as_deref().unwrap_or_default());
    let folder = if place.ends_with("Contents/") { "MacOS/" } else { "" };
    let place = format!("{place}{folder}{program}");
    let mut fact = Fact::new(sorted(&facts.architectures), place, Some("Mach-O"), rules::STATED);
    fact.others.extend(said.map(|f| Candidate { value: f.value, source: f.source }));
    Some(fact)
}

/// The highest of the app's own lower bounds; the others stand behind it, highest first.
fn min_os(facts: &AppFacts, plist: &str) -> Option<Fact<String>> {
    const BY_ARCHITECTURE: &str = "LSMinimumSystemVersionByArchitecture";
    let whole = facts.min_os.iter().map(|v| (v, "LSMinimumSystemVersion".to_owned()));
    let old = facts.min_os_old.iter().map(|v| (v, "MinimumSystemVersion".to_owned()));
    let each = facts.min_os_by_arch.iter().map(|(a, v)| (v, format!("{BY_ARCHITECTURE}/{a}")));
    // A build variable that nobody filled in (`${MACOSX_DEPLOYMENT_TARGET}`) says nothing.
    let mut all: Vec<_> = whole.chain(old).chain(each).filter(|(v, _)| is_usable(v)).collect();
    all.sort_by(|a, b| compare_versions(b.0, a.0));
    let rule = if all.len() > 1 { rules::HIGHEST } else { rules::STATED };
    let mut facts = all.into_iter().map(|(v, key)| Fact::new(v.clone(), plist, Some(&key), rule));
    let mut winner = facts.next()?;
    winner.others = facts.map(|f| Candidate { value: f.value, source: f.source }).collect();
    Some(winner)
}
