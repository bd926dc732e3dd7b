//! Which of an app's files its icon is taken from.

use mip_base::{CONTAINER_STEP, Job, escape, len64};

use super::{ENOUGH_PIXELS, Icon, from_catalog, from_icns, from_png, icns_pixels};
use crate::app::{AppFacts, has_extension};
use crate::inspection::{Fact, IconInfo, Inspection, Warning};
use crate::metadata::rules;

/// The name of an app's asset catalog.
pub(crate) const CATALOG: &str = "Assets.car";

/// A file of an app that its icon may be in.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct IconFile {
    /// The app, by its index.
    pub app: usize,
    /// What it is, and where.
    pub fact: Fact<IconInfo>,
    /// Name of the image in an asset catalog (`CFBundleIconName`).
    pub name: Option<String>,
    /// The file.
    pub data: Vec<u8>,
}

impl IconFile {
    /// A file at `path` of a container at `place` (escaped), as `facts` name it.
    pub(crate) fn new(
        app: usize,
        place: &str,
        path: &str,
        data: Vec<u8>,
        facts: &AppFacts,
    ) -> Self {
        let (format, key, pixels) = if is_catalog(path) {
            ("asset-catalog", facts.icon_name.as_ref().map(|_| "CFBundleIconName"), 0)
        } else if has_extension(path, &["png"]) {
            ("png", Some("CFBundleIconFile"), 0)
        } else {
            ("icns", Some("CFBundleIconFile"), icns_pixels(&data))
        };
        let info = IconInfo {
            path: path.to_owned(),
            format: format.to_owned(),
            pixels: Some(pixels).filter(|p| *p > 0),
            bytes: len64(data.len()),
        };
        let place = format!("{place}{CONTAINER_STEP}{}", escape(path));
        let name = facts.icon_name.clone();
        Self { app, fact: Fact::new(info, place, key, rules::STATED), name, data }
    }

    /// Whether no other file needs to be looked at.
    pub(crate) fn is_enough(&self) -> bool {
        self.fact.value.pixels.is_some_and(|p| p >= ENOUGH_PIXELS)
    }

    /// What it is and where, when the app names it. An asset catalog that is merely there may
    /// hold no icon.
    pub(crate) fn stated(&self) -> Option<Fact<IconInfo>> {
        self.fact.source.key.is_some().then(|| self.fact.clone())
    }

    fn decode(self, job: &Job) -> (Fact<IconInfo>, Result<Icon, String>) {
        let icon = match self.fact.value.format.as_str() {
            "asset-catalog" => from_catalog(self.data, self.name.as_deref(), job),
            "png" => from_png(self.data),
            _ => from_icns(&self.data),
        };
        (self.fact, icon)
    }
}

/// Whether a path is the one of an asset catalog.
pub(crate) fn is_catalog(path: &str) -> bool {
    path.rsplit('/').next() == Some(CATALOG)
}

/// The paths below the folder of resources where the file may be that an app names as its icon.
pub(crate) fn icon_files(facts: &AppFacts) -> Vec<String> {
    match &facts.icon_file {
        Some(name) if has_extension(name, &["icns", "png"]) => vec![name.clone()],
        Some(name) => vec![format!("{name}.icns"), format!("{name}.png")],
        None => Vec::new(),
    }
}

/// The icon of the primary app: the icon file where it has [`ENOUGH_PIXELS`], else the largest of
/// all. Says in the inspection which one it is; none that can be used is a warning.
pub(crate) fn choose(
    files: Vec<IconFile>,
    inspection: &mut Inspection,
    job: &Job,
) -> Option<Vec<u8>> {
    let primary = inspection.apps.iter().position(|a| a.primary)?;
    let mut best: Option<(Fact<IconInfo>, Icon)> = None;
    let mut reason = None;
    for file in files.into_iter().filter(|f| f.app == primary) {
        match file.decode(job) {
            (mut fact, Ok(icon)) => {
                fact.value.pixels = Some(icon.pixels);
                if best.as_ref().is_none_or(|(_, b)| b.pixels < icon.pixels) {
                    best = Some((fact, icon));
                }
            }
            (fact, Err(why)) if fact.source.key.is_some() => {
                let name = fact.value.path.rsplit('/').next().unwrap_or_default();
                reason = reason.or_else(|| Some(format!("{}: {}", escape(name), escape(&why))));
            }
            // Nobody said that there is an icon in it.
            (_, Err(_)) => {}
        }
        if best.as_ref().is_some_and(|(_, icon)| icon.pixels >= ENOUGH_PIXELS) {
            break;
        }
    }
    let Some((fact, icon)) = best else {
        let text = format!("the icon of the primary app cannot be used: {}", reason?);
        inspection.warnings.push(Warning::new("W_ICON", text));
        return None;
    };
    if let Some(why) = reason {
        inspection.notes.push(format!(
            "the icon that was found has {} pixels; another file was not usable: {why}",
            icon.pixels
        ));
    }
    let place = fact.source.place.clone();
    let of_app = Fact::new(fact.value.clone(), place, fact.source.key.as_deref(), rules::APP);
    inspection.identity.icon = Some(of_app);
    if let Some(app) = inspection.apps.get_mut(primary) {
        app.icon = Some(fact);
    }
    Some(icon.png)
}
