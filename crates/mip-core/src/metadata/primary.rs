//! Which app an installer is about.

use std::collections::HashSet;

use mip_base::{CONTAINER_STEP, Code, Error, Result, escape};

use super::rules;
use crate::inspection::{AppInfo, Inspection};

/// What the rules say.
#[derive(Debug)]
pub(super) enum Choice {
    /// The app at this index, by this rule.
    One(usize, &'static str),
    /// There is no app.
    None,
    /// Several apps, and nothing tells them apart.
    Several(Vec<usize>),
}

/// How likely an app is what the installer is about; lower is likelier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum AppRank {
    /// Lands in `/Applications` itself.
    Applications,
    /// Stands at the root of its payload or archive.
    Root,
    /// Lands in a folder of `/Applications`.
    BelowApplications,
    /// Lands elsewhere.
    Elsewhere,
    /// Lies inside another bundle: no candidate.
    Nested,
}

impl AppRank {
    /// The rank of an app, by where it lands and stands.
    #[must_use]
    pub fn of(app: &AppInfo) -> Self {
        if app.nested {
            return Self::Nested;
        }
        let below = app.install_path.as_deref().and_then(|p| p.strip_prefix("/Applications/"));
        match below {
            Some(rest) if !rest.contains('/') => Self::Applications,
            _ if !app.path.contains('/') => Self::Root,
            Some(_) => Self::BelowApplications,
            None => Self::Elsewhere,
        }
    }

    /// What it means, in words.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Applications => "lands in /Applications itself",
            Self::Root => "stands at the root of its payload, archive or folder",
            Self::BelowApplications => "lands in a folder of /Applications",
            Self::Elsewhere => "lands elsewhere",
            Self::Nested => "is inside another bundle",
        }
    }
}

/// Chooses the primary app. `given` is a bundle identifier or a path.
///
/// # Errors
/// [`Code::Usage`] when no app is what `given` names.
pub(super) fn choose(found: &Inspection, given: Option<&str>) -> Result<Choice> {
    let apps = &found.apps;
    if let Some(given) = given {
        return by_name(apps, given).map(|i| Choice::One(i, rules::GIVEN));
    }
    let main: Vec<usize> =
        apps.iter().enumerate().filter(|(_, a)| !a.nested).map(|(i, _)| i).collect();
    let get = |i: &usize| apps.get(*i);
    let Some(best) = main.iter().filter_map(get).map(AppRank::of).min() else {
        return Ok(Choice::None);
    };
    let best_ones: Vec<usize> =
        main.iter().copied().filter(|i| get(i).map(AppRank::of) == Some(best)).collect();
    if let [only] = best_ones.as_slice() {
        let rule = match best {
            _ if main.len() == 1 => rules::ONLY_APP,
            AppRank::Applications => rules::APPLICATIONS,
            AppRank::Root => rules::PAYLOAD_ROOT,
            AppRank::BelowApplications => rules::BELOW_APPLICATIONS,
            AppRank::Elsewhere | AppRank::Nested => rules::ONLY_APP,
        };
        return Ok(Choice::One(*only, rule));
    }
    // Several: the package's own identifiers may point at one.
    let id = |i: &usize| get(i).and_then(|a| a.bundle_id.as_ref()).map(|f| f.value.as_str());
    for named in package_ids(found) {
        let hits: Vec<usize> = best_ones
            .iter()
            .copied()
            .filter(|i| id(i).is_some_and(|id| named.contains(id)))
            .collect();
        if let [only] = hits.as_slice() {
            return Ok(Choice::One(*only, rules::SAME_ID));
        }
    }
    // Copies of one app (for two systems, say) do not differ in what a server compares.
    if let [first, rest @ ..] = best_ones.as_slice()
        && let Some(one) = get(first)
        && one.bundle_id.is_some()
        && rest.iter().filter_map(get).all(|a| same_identity(a, one))
    {
        return Ok(Choice::One(*first, rules::SAME_APP));
    }
    Ok(Choice::Several(best_ones))
}

fn same_identity(a: &AppInfo, b: &AppInfo) -> bool {
    let key = |a: &AppInfo| {
        let value =
            |f: &Option<crate::inspection::Fact<String>>| f.as_ref().map(|f| f.value.clone());
        (value(&a.bundle_id), value(&a.short_version), value(&a.bundle_version))
    };
    key(a) == key(b)
}

/// Groups of identifiers that the package names, likeliest group first.
fn package_ids(found: &Inspection) -> [HashSet<&str>; 3] {
    let p = &found.installer;
    [
        p.must_close.iter().map(|f| f.value.as_str()).collect(),
        p.product_id.iter().map(|f| f.value.as_str()).collect(),
        p.components.iter().filter_map(|c| c.id.as_deref()).collect(),
    ]
}

fn by_name(apps: &[AppInfo], given: &str) -> Result<usize> {
    let named = |a: &AppInfo| {
        a.bundle_id.as_ref().is_some_and(|f| f.value == given)
            || a.path == given
            || a.install_path.as_deref() == Some(given)
    };
    // An app of its own goes before a helper of the same identifier.
    let own = apps.iter().position(|a| !a.nested && named(a));
    own.or_else(|| apps.iter().position(named)).ok_or_else(|| {
        let have = list(apps.iter().filter(|a| !a.nested));
        let have =
            if have.is_empty() { "it has no app".to_owned() } else { format!("it has {have}") };
        let what = format!("the installer has no app \"{}\"; {have}", escape(given));
        Error::new(Code::Usage, what)
            .hint("give the bundle identifier of one of them with --primary-app")
    })
}

/// The error for several apps that nothing tells apart.
pub(super) fn ambiguous(apps: &[AppInfo], several: &[usize]) -> Error {
    let names = list(several.iter().filter_map(|i| apps.get(*i)));
    Error::new(Code::Ambiguous, format!("which of these apps is meant? {names}"))
        .hint("choose one with --primary-app <bundle id>")
}

/// At most this many apps are named in a message.
const SHOWN: usize = 20;

fn list<'a>(apps: impl Iterator<Item = &'a AppInfo>) -> String {
    let all: Vec<&AppInfo> = apps.collect();
    let mut out: Vec<String> = Vec::new();
    for a in all.iter().take(SHOWN) {
        let path = escape(a.install_path.as_deref().unwrap_or(&a.path));
        out.push(match &a.bundle_id {
            Some(f) => format!("{} ({path})", escape(&f.value)),
            None => format!("{path} (no bundle id)"),
        });
    }
    if let Some(more) = all.len().checked_sub(SHOWN).filter(|n| *n > 0) {
        out.push(format!("{more} more"));
    }
    out.join(", ")
}

/// The last step of a container path.
pub(super) fn last_step(place: &str) -> &str {
    place.rsplit(CONTAINER_STEP).next().unwrap_or(place)
}
