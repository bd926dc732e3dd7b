//! From an `Info.plist` to the facts of an app.

use super::{compare_versions, is_usable, rules};
use crate::app::AppFacts;
use crate::inspection::{AppInfo, Fact};

/// The facts of an app from its `Info.plist`. `plist` is the container path of that file,
/// `file_name` the name of the bundle without `.app`. Paths are left to the caller.
#[must_use]
pub fn app_info(facts: &AppFacts, plist: &str, file_name: &str) -> AppInfo {
    let stated = |v: &Option<String>, key: &str| {
        v.as_ref().map(|v| Fact::new(v.clone(), plist, Some(key), rules::STATED))
    };
    let mut archs = facts.architectures.clone();
    archs.sort();
    let archs = (!archs.is_empty()).then(|| {
        let place = plist.strip_suffix("Info.plist").unwrap_or(plist);
        let program = mip_base::escape(facts.executable.as_deref().unwrap_or_default());
        let folder = if place.ends_with("Contents/") { "MacOS/" } else { "" };
        Fact::new(archs, format!("{place}{folder}{program}"), Some("Mach-O"), rules::STATED)
    });
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
        architectures: archs,
        category: stated(&facts.category, "LSApplicationCategoryType"),
        copyright: stated(&facts.copyright, "NSHumanReadableCopyright"),
        executable: facts.executable.clone(),
        package_type: facts.package_type.clone(),
        icon_file: facts.icon_file.clone(),
        ..AppInfo::default()
    }
}

/// The highest of the app's own lower bounds.
fn min_os(facts: &AppFacts, plist: &str) -> Option<Fact<String>> {
    // A build variable that nobody filled in (`${MACOSX_DEPLOYMENT_TARGET}`) says nothing.
    let whole = facts.min_os.iter().map(|v| (v, "LSMinimumSystemVersion"));
    let each =
        facts.min_os_by_arch.iter().map(|(_, v)| (v, "LSMinimumSystemVersionByArchitecture"));
    let all: Vec<_> = whole.chain(each).filter(|(v, _)| is_usable(v)).collect();
    let rule = if all.len() > 1 { rules::HIGHEST } else { rules::STATED };
    let (value, key) = all.into_iter().reduce(|a, b| match compare_versions(b.0, a.0) {
        std::cmp::Ordering::Greater => b,
        _ => a,
    })?;
    Some(Fact::new(value.clone(), plist, Some(key), rule))
}
