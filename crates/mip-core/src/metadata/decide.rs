//! From what was found to what the installer is.

use std::cmp::Ordering;

use mip_base::{CONTAINER_STEP, Error, Result, escape};

use super::primary::{Choice, ambiguous, choose, last_step};
use super::{compare_versions, is_usable, rules};
use crate::checks;
use crate::inspection::{
    AppInfo, Candidate, Fact, Identity, Inspection, InstallerInfo, Provenance, Receipt, Warning,
};

/// Fills [`Inspection::identity`], the receipts and sums of [`Inspection::installer`], and
/// marks the primary app. `given` is the caller's choice of the primary app: a bundle
/// identifier or a path.
///
/// Several apps that nothing tells apart are no error here: the identity then holds what does
/// not depend on the app, and the error that a conversion stops with is returned as a value.
///
/// # Errors
/// [`mip_base::Code::Usage`] when no app is what `given` names.
pub fn decide(found: &mut Inspection, given: Option<&str>) -> Result<Option<Error>> {
    let choice = choose(found, given)?;
    receipts_and_sums(&mut found.installer);
    for a in &mut found.apps {
        a.primary = false;
    }
    let mut trouble = None;
    let mut rule = rules::APP;
    match choice {
        Choice::One(i, by) => {
            rule = by;
            if let Some(a) = found.apps.get_mut(i) {
                a.primary = true;
            }
        }
        Choice::None => {}
        Choice::Several(all) => {
            let e = ambiguous(&found.apps, &all);
            found.warnings.push(Warning::new("W_AMBIGUOUS", e.message()));
            trouble = Some(e);
        }
    }
    let app = found.apps.iter().find(|a| a.primary);
    let identity = identity(found, app, rule, trouble.is_some());
    let more = checks::warnings(found, &identity, trouble.is_some());
    found.identity = identity;
    found.warnings.extend(more);
    Ok(trouble)
}

fn identity(found: &Inspection, app: Option<&AppInfo>, rule: &'static str, open: bool) -> Identity {
    let installer = &found.installer;
    let of_app = |f: fn(&AppInfo) -> &Option<Fact<String>>| {
        app.and_then(|a| f(a).as_ref()).map(|f| by(f, rules::APP))
    };
    let archs = first([
        app.and_then(|a| a.architectures.as_ref()).map(|f| by(f, rules::APP)),
        installer.host_architectures.clone(),
    ]);
    Identity {
        bundle_id: if open { None } else { bundle_id(installer, app, rule) },
        name: name(found, app),
        version: version(installer, app, open),
        short_version: of_app(|a| &a.short_version),
        bundle_version: of_app(|a| &a.bundle_version),
        min_os: min_os(installer, app),
        max_os: max_os(installer, app),
        architectures: archs,
        category: of_app(|a| &a.category),
        copyright: of_app(|a| &a.copyright),
        icon: app.and_then(|a| a.icon.as_ref()).map(|f| by(f, rules::APP)),
        localized_names: app.filter(|a| !a.localized_names.is_empty()).map(|a| {
            Fact::new(
                a.localized_names.clone(),
                a.place.clone(),
                Some("InfoPlist.strings"),
                rules::APP,
            )
        }),
    }
}

/// The same value, picked by another rule.
fn by<T: Clone>(fact: &Fact<T>, rule: &'static str) -> Fact<T> {
    let mut f = fact.clone();
    f.source.rule = rule;
    f
}

/// The first fact wins; the others are kept as its competitors.
fn first<T: PartialEq>(candidates: impl IntoIterator<Item = Option<Fact<T>>>) -> Option<Fact<T>> {
    let mut all = candidates.into_iter().flatten();
    let mut winner = all.next()?;
    for f in all {
        let same = |c: &Candidate<T>| {
            c.value == f.value && c.source.place == f.source.place && c.source.key == f.source.key
        };
        if f.source.place == winner.source.place && f.source.key == winner.source.key
            || winner.others.iter().any(same)
        {
            continue;
        }
        winner.others.push(Candidate { value: f.value, source: f.source });
    }
    Some(winner)
}

fn bundle_id(p: &InstallerInfo, app: Option<&AppInfo>, rule: &'static str) -> Option<Fact<String>> {
    let must_close = match p.must_close.as_slice() {
        // An Apple app that must be closed (a browser, say) is not what is installed.
        [only] if !only.value.starts_with("com.apple.") => Some(by(only, rules::MUST_CLOSE)),
        _ => None,
    };
    let choice = p.choices.iter().find_map(|c| Some((c, c.packages.first()?)));
    let place = || p.product_place.clone().unwrap_or_default();
    first([
        app.and_then(|a| a.bundle_id.as_ref()).map(|f| by(f, rule)),
        must_close,
        p.product_id.as_ref().map(|f| by(f, rules::PRODUCT)),
        choice.map(|(_, id)| {
            Fact::new(id.clone(), place(), Some("choice/pkg-ref@id"), rules::FIRST_CHOICE)
        }),
        p.packages
            .first()
            .map(|r| Fact::new(r.id.clone(), place(), Some("pkg-ref@id"), rules::FIRST_PKG_REF)),
        first_component(p).and_then(|c| {
            let f = c.id_fact.as_ref()?;
            Some(by(f, rules::FIRST_COMPONENT))
        }),
    ])
}

/// The first component with a payload, else the first.
fn first_component(p: &InstallerInfo) -> Option<&crate::inspection::ComponentInfo> {
    p.components.iter().find(|c| c.payload).or_else(|| p.components.first())
}

/// Whether a name is one that tools leave where nobody gave one: a localization key, a build
/// variable, `MacFULL`.
#[must_use]
pub fn is_placeholder(name: &str) -> bool {
    let name = name.trim();
    let key = name.contains('_')
        && name.chars().all(|c| c == '_' || c.is_ascii_uppercase() || c.is_ascii_digit());
    key || name.is_empty()
        || name.contains("${")
        || name.contains("$(")
        || matches!(name, "MacFULL" | "TITLE" | "Untitled" | "untitled" | "default")
}

fn usable_name(f: &Fact<String>) -> bool {
    !is_placeholder(&f.value)
}

fn name(found: &Inspection, app: Option<&AppInfo>) -> Option<Fact<String>> {
    let p = &found.installer;
    let mut titles: Vec<&str> = Vec::new();
    for c in p.choices.iter().filter(|c| !c.packages.is_empty()) {
        let title = c.title.as_deref().map(str::trim).filter(|t| !is_placeholder(t));
        if let Some(t) = title.filter(|t| !titles.contains(t)) {
            titles.push(t);
        }
        if titles.len() > 1 {
            break;
        }
    }
    // Several titles name parts, not the whole.
    let choice = match titles.as_slice() {
        [one] => {
            let place = p.product_place.clone().unwrap_or_default();
            Some(Fact::new((*one).to_owned(), place, Some("choice@title"), rules::CHOICE_TITLE))
        }
        _ => None,
    };
    let component = match p.components.as_slice() {
        [only] if p.product_place.is_some() => {
            let name = stem(last_step(&only.place));
            Some(Fact::new(name.to_owned(), only.place.clone(), None, rules::COMPONENT_NAME))
        }
        _ => None,
    };
    let file = found.input.path_in_container.as_deref().and_then(|p| p.rsplit('/').next());
    let file = stem(file.unwrap_or(&found.input.name));
    let file = (!file.is_empty())
        .then(|| Fact::new(file.to_owned(), escape(&found.input.name), None, rules::FILE_NAME));
    first([
        p.title.clone().filter(usable_name),
        choice,
        app.and_then(|a| a.name.as_ref()).map(|f| by(f, rules::APP)),
        component.filter(usable_name),
        file,
    ])
}

/// A file name without what marks it as an installer.
fn stem(name: &str) -> &str {
    let mut name = name;
    for ending in [
        ".gz", ".bz2", ".xz", ".tar", ".tgz", ".tbz", ".txz", ".zip", ".dmg", ".pkg", ".mpkg",
        ".app",
    ] {
        let cut = name.len().saturating_sub(ending.len());
        if let (Some(head), Some(tail)) = (name.get(..cut), name.get(cut..))
            && tail.eq_ignore_ascii_case(ending)
            && !head.is_empty()
        {
            name = head;
        }
    }
    name
}

fn version(p: &InstallerInfo, app: Option<&AppInfo>, open: bool) -> Option<Fact<String>> {
    let short = app.and_then(|a| a.short_version.as_ref());
    let build = app.and_then(|a| a.bundle_version.as_ref()).filter(|f| is_usable(&f.value));
    let reference = p.packages.iter().find_map(|r| {
        let place = p.product_place.clone().unwrap_or_default();
        Some(Fact::new(r.version.clone()?, place, Some("pkg-ref@version"), rules::FIRST_PKG_REF))
    });
    let component = first_component(p).and_then(|c| c.version_fact.as_ref());
    first([
        short.filter(|f| is_usable(&f.value)).map(|f| by(f, rules::SHORT_VERSION)),
        p.product_version.as_ref().map(|f| by(f, rules::PRODUCT)),
        build.map(|f| by(f, rules::BUNDLE_VERSION)),
        // The version of one component says nothing of an app that is not known.
        reference.filter(|_| !open),
        component.filter(|_| !open).map(|f| by(f, rules::FIRST_COMPONENT)),
        short.map(|f| by(f, rules::UNUSABLE_VERSION)),
    ])
}

fn min_os(p: &InstallerInfo, app: Option<&AppInfo>) -> Option<Fact<String>> {
    // The allowed ranges are alternatives: the lowest start is the bound, and a range
    // without a start is no bound at all.
    let starts = bounds(p, |r| r.min.as_ref(), "os-version@min", Ordering::Less);
    let mut all: Vec<_> = app.and_then(|a| a.min_os.clone()).into_iter().chain(starts).collect();
    all.sort_by(|a, b| compare_versions(&b.value, &a.value));
    let several = all.len() > 1;
    let won = first(all.into_iter().map(Some));
    won.map(|f| if several { by(&f, rules::HIGHEST) } else { f })
}

fn max_os(p: &InstallerInfo, app: Option<&AppInfo>) -> Option<Fact<String>> {
    let ends = bounds(p, |r| r.max.as_ref(), "os-version@max", Ordering::Greater);
    let mut all: Vec<_> = app.and_then(|a| a.max_os.clone()).into_iter().chain(ends).collect();
    all.sort_by(|a, b| compare_versions(&a.value, &b.value));
    let several = all.len() > 1;
    let won = first(all.into_iter().map(Some));
    won.map(|f| if several { by(&f, rules::LOWEST) } else { f })
}

/// The widest bound of the allowed ranges; `None` when one of them has none.
fn bounds(
    p: &InstallerInfo,
    get: fn(&crate::inspection::OsRange) -> Option<&String>,
    key: &str,
    wider: Ordering,
) -> Option<Fact<String>> {
    let mut best: Option<Fact<String>> = None;
    for range in &p.allowed_os {
        let value = get(&range.value)?;
        if best.as_ref().is_none_or(|b| compare_versions(value, &b.value) == wider) {
            let rule = if p.allowed_os.len() > 1 { rules::ALTERNATIVES } else { rules::STATED };
            best = Some(Fact::new(value.clone(), range.source.place.clone(), Some(key), rule));
        }
    }
    best
}

fn receipts_and_sums(p: &mut InstallerInfo) {
    // A package without a payload leaves no receipt.
    p.receipts = p
        .components
        .iter()
        .filter(|c| c.payload)
        .filter_map(|c| {
            let id = c.id_fact.as_ref()?;
            let version = c.version.clone().unwrap_or_else(|| "0".to_owned());
            Some(Receipt { id: id.value.clone(), version, source: id.source.clone() })
        })
        .collect();
    let sum = |get: fn(&crate::inspection::ComponentInfo) -> Option<u64>| {
        let known: Vec<u64> = p.components.iter().filter_map(get).collect();
        (!known.is_empty()).then(|| known.iter().fold(0u64, |a, b| a.saturating_add(*b)))
    };
    let source = |key: &str| Provenance {
        // A sum comes from what is around the components.
        place: p.components.first().map_or_else(String::new, |c| {
            match c.place.rsplit_once(CONTAINER_STEP) {
                Some((around, _)) if p.components.len() > 1 => around.to_owned(),
                _ => c.place.clone(),
            }
        }),
        key: Some(key.to_owned()),
        rule: if p.components.len() > 1 { rules::SUM } else { rules::STATED },
    };
    let fact = |value: u64, key: &str| Fact { value, source: source(key), others: Vec::new() };
    let (kbytes, files, bytes) =
        (sum(|c| c.install_kbytes), sum(|c| c.files), sum(|c| c.listed_bytes));
    let (kbytes, files, bytes) = (
        kbytes.map(|v| fact(v, "installKBytes")),
        files.map(|v| fact(v, "numberOfFiles")),
        bytes.map(|v| fact(v, "Bom")),
    );
    p.installed_kbytes = kbytes.or_else(|| p.installed_kbytes.take());
    p.installed_files = files.or_else(|| p.installed_files.take());
    p.installed_bytes = bytes.or_else(|| p.installed_bytes.take());
}
