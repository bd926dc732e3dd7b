//! From the tables and payloads of a flat package to findings.

use std::collections::HashSet;

use mip_base::{CONTAINER_STEP, Job, Result, escape};

use super::distribution::{Distribution, PkgRef};
use super::flat::FlatPackage;
use super::look::{Look, PackageFindings};
use super::payload::PayloadScan;
use crate::inspection::{ChoiceInfo, Fact, InstallerInfo, InstallerKind, LicenceFile, PackageRef};
use crate::metadata::rules;

impl FlatPackage {
    /// What kind of package it is.
    #[must_use]
    pub fn kind(&self) -> InstallerKind {
        self.kind
    }

    /// The archive itself.
    #[must_use]
    pub fn xar(&self) -> &mip_xar::Xar {
        &self.xar
    }

    /// Reads file lists, scripts and, as `scan` says, payloads.
    ///
    /// A part that cannot be read is a warning, not an error: the tables still say what the
    /// package is.
    ///
    /// # Errors
    /// [`mip_base::Code::Cancelled`], and errors of reading the input itself.
    pub fn examine(&self, scan: PayloadScan, job: &Job) -> Result<PackageFindings> {
        let file = self.place.as_str();
        let mut look = Look::new(scan, job);
        look.out.kind = self.kind;
        look.out.warnings.clone_from(&self.warnings);
        look.out.notes.clone_from(&self.notes);
        let place = format!("{file}{CONTAINER_STEP}Distribution");
        if let Some(d) = &self.distribution {
            look.out.installer = self.product(d, file, &place);
        }
        let index = self.distribution.as_ref().map(Distribution::index);
        for c in &self.components {
            job.check()?;
            let reference =
                index.as_ref().and_then(|i| i.find(&c.name, c.info.identifier.as_deref()));
            look.component(c, file, reference, &place)?;
        }
        look.closing(self, file, &place);
        Ok(look.out)
    }

    /// A text of the Distribution; where it is a key of its tables, what they say.
    fn localized(&self, text: &str) -> Option<(&str, &str)> {
        let hit = |(l, t): &'_ &(String, std::collections::BTreeMap<String, String>)| {
            t.get(text).filter(|v| !v.trim().is_empty()).map(|_| l).is_some()
        };
        let (language, table) = self.texts.iter().find(hit)?;
        table.get(text).map(|v| (language.as_str(), v.trim()))
    }

    fn product(&self, d: &Distribution, file: &str, place: &str) -> InstallerInfo {
        let stated = |v: &Option<String>, key: &str| {
            v.as_ref().map(|v| Fact::new(v.clone(), place, Some(key), rules::STATED))
        };
        let title = d.title.as_ref().map(|raw| match self.localized(raw) {
            Some((language, text)) => {
                let at = format!("{file}{CONTAINER_STEP}Resources/{}.lproj", escape(language));
                Fact::new(text.to_owned(), at, Some(raw.as_str()), rules::LOCALIZED_TITLE)
            }
            None => Fact::new(raw.clone(), place, Some("title"), rules::TITLE),
        });
        let host = (!d.host_architectures.is_empty()).then(|| {
            let mut archs = d.host_architectures.clone();
            archs.sort();
            archs.dedup();
            Fact::new(archs, place, Some("options@hostArchitectures"), rules::STATED)
        });
        InstallerInfo {
            product_place: Some(place.to_owned()),
            title,
            product_id: stated(&d.product_id, "product@id"),
            product_version: stated(&d.product_version, "product@version"),
            packages: d.pkg_refs.iter().map(package_ref).collect(),
            allowed_os: d
                .allowed_os
                .iter()
                .map(|r| Fact::new(r.clone(), place, Some("os-version"), rules::STATED))
                .collect(),
            host_architectures: host,
            domains: d.domains.clone().map(|v| Fact::new(v, place, Some("domains"), rules::STATED)),
            licence: d.licence,
            licence_files: self.licence_files(d),
            choices: d
                .choices
                .iter()
                .map(|c| ChoiceInfo {
                    id: c.id.clone(),
                    title: c
                        .title
                        .as_ref()
                        .map(|t| self.localized(t).map_or(t.as_str(), |(_, v)| v).to_owned()),
                    packages: c.pkg_refs.clone(),
                })
                .collect(),
            javascript: d.javascript,
            ..InstallerInfo::default()
        }
    }

    /// The licence files that the Distribution names, in every language that has one.
    fn licence_files(&self, d: &Distribution) -> Vec<LicenceFile> {
        let mut out = Vec::new();
        let names: HashSet<&str> = d.licences.iter().map(|l| l.file.as_str()).collect();
        for file in self.xar.files() {
            let Some(rest) = file.path.as_str().strip_prefix("Resources/") else { continue };
            let (language, name) = match rest.split_once(".lproj/") {
                Some((l, name)) => (Some(l.to_owned()), name),
                None => (None, rest),
            };
            if names.contains(name) {
                out.push(LicenceFile { file: name.to_owned(), language });
            }
        }
        if out.is_empty() { d.licences.clone() } else { out }
    }
}

fn package_ref(r: &PkgRef) -> PackageRef {
    PackageRef {
        id: r.id.clone(),
        version: r.version.clone(),
        file: r.file.clone(),
        install_kbytes: r.install_kbytes,
        auth: r.auth.clone(),
        on_conclusion: r.on_conclusion.clone(),
    }
}
