//! Builders of component packages and of distribution (product) packages.

use crate::app::xml;
use crate::bom::bom;
use crate::tree::{Tree, gzip};
use crate::xar::{Encoding, Style, XarBuilder};

/// A bundle that a package says it installs.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// Path below the install location, without `./`.
    pub path: String,
    /// `CFBundleIdentifier`.
    pub id: String,
    /// `CFBundleShortVersionString`.
    pub short_version: String,
    /// `CFBundleVersion`.
    pub version: String,
}

/// How `Payload` and `Scripts` are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// gzip: what pkgbuild writes by default.
    Gzip,
    /// bzip2.
    Bzip2,
    /// A single .xz stream.
    Xz,
    /// Not at all.
    Plain,
}

impl Packing {
    fn pack(self, data: &[u8]) -> Vec<u8> {
        match self {
            Packing::Gzip => gzip(data),
            Packing::Bzip2 => Encoding::Bzip2.pack(data),
            Packing::Xz => Encoding::Xz.pack(data),
            Packing::Plain => data.to_vec(),
        }
    }
}

/// A component package: PackageInfo, and Bom, Payload and Scripts where there is something in them.
#[derive(Debug, Clone)]
pub struct Component {
    identifier: String,
    version: String,
    install_location: String,
    payload: Option<Tree>,
    scripts: Tree,
    bundles: Vec<Bundle>,
    attributes: Vec<(String, String)>,
    relocatable: bool,
    packing: Packing,
    toc: Style,
}

impl Component {
    /// A package without payload and scripts.
    #[must_use]
    pub fn new(identifier: &str, version: &str) -> Self {
        Self {
            identifier: identifier.to_owned(),
            version: version.to_owned(),
            install_location: "/".to_owned(),
            payload: None,
            scripts: Tree::new(),
            bundles: Vec::new(),
            attributes: Vec::new(),
            relocatable: false,
            packing: Packing::Gzip,
            toc: Style::Sha1,
        }
    }

    /// Where the payload goes, `/Applications` for example.
    #[must_use]
    pub fn install_location(mut self, path: &str) -> Self {
        path.clone_into(&mut self.install_location);
        self
    }

    /// What is installed.
    #[must_use]
    pub fn payload(mut self, tree: Tree) -> Self {
        self.payload = Some(tree);
        self
    }

    /// Adds a script (mode 0755); `preinstall` and `postinstall` are named in PackageInfo.
    #[must_use]
    pub fn script(mut self, name: &str, text: &str) -> Self {
        self.scripts = self.scripts.file(name, 0o755, text);
        self
    }

    /// Names a bundle in PackageInfo.
    #[must_use]
    pub fn bundle(mut self, path: &str, id: &str, short_version: &str, version: &str) -> Self {
        self.bundles.push(Bundle {
            path: path.to_owned(),
            id: id.to_owned(),
            short_version: short_version.to_owned(),
            version: version.to_owned(),
        });
        self
    }

    /// Makes the bundles relocatable.
    #[must_use]
    pub fn relocatable(mut self) -> Self {
        self.relocatable = true;
        self
    }

    /// Adds an attribute to `<pkg-info>`, for example `postinstall-action="restart"`.
    #[must_use]
    pub fn attribute(mut self, name: &str, value: &str) -> Self {
        self.attributes.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Chooses how Payload and Scripts are compressed.
    #[must_use]
    pub fn packing(mut self, packing: Packing) -> Self {
        self.packing = packing;
        self
    }

    /// Chooses the checksums of the xar archive that [`flat`](Self::flat) makes.
    #[must_use]
    pub fn checksums(mut self, style: Style) -> Self {
        self.toc = style;
        self
    }

    /// `installKBytes`: the sum of the payload's files, rounded up.
    #[must_use]
    pub fn kilobytes(&self) -> u64 {
        self.payload.as_ref().map_or(0, |t| t.total().div_ceil(1024))
    }

    /// The text of PackageInfo.
    #[must_use]
    pub fn package_info(&self) -> String {
        let mut out = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<pkg-info overwrite-permissions=\"true\" \
             relocatable=\"false\" identifier=\"{}\" version=\"{}\" format-version=\"2\" \
             install-location=\"{}\" auth=\"root\"",
            xml(&self.identifier),
            xml(&self.version),
            xml(&self.install_location)
        );
        for (name, value) in &self.attributes {
            out += &format!(" {name}=\"{}\"", xml(value));
        }
        out += ">\n";
        if let Some(tree) = &self.payload {
            let files = tree.nodes().count() + 1;
            out += &format!(
                "    <payload numberOfFiles=\"{files}\" installKBytes=\"{}\"/>\n",
                self.kilobytes()
            );
        }
        for b in &self.bundles {
            out += &format!(
                "    <bundle path=\"./{}\" id=\"{}\" CFBundleShortVersionString=\"{}\" \
                 CFBundleVersion=\"{}\"/>\n",
                xml(&b.path),
                xml(&b.id),
                xml(&b.short_version),
                xml(&b.version)
            );
        }
        let ids: String =
            self.bundles.iter().map(|b| format!("<bundle id=\"{}\"/>", xml(&b.id))).collect();
        out += &format!("    <bundle-version>{ids}</bundle-version>\n");
        if self.relocatable {
            out += &format!("    <relocate>{ids}</relocate>\n");
        }
        let hooks: String = ["preinstall", "postinstall"]
            .iter()
            .filter(|name| self.scripts.bytes(name).is_some())
            .map(|name| format!("<{name} file=\"./{name}\"/>"))
            .collect();
        if !hooks.is_empty() {
            out += &format!("    <scripts>{hooks}</scripts>\n");
        }
        out + "</pkg-info>\n"
    }

    /// Adds the files of the package below `folder` (at the top when it is empty).
    #[must_use]
    pub fn add_to(&self, mut xar: XarBuilder, folder: &str) -> XarBuilder {
        let at = |name: &str| {
            if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
        };
        xar = xar.file(&at("PackageInfo"), self.package_info(), Encoding::Gzip);
        if let Some(tree) = &self.payload {
            xar = xar.file(&at("Bom"), bom(tree, 0, 80), Encoding::Gzip).file(
                &at("Payload"),
                self.packing.pack(&tree.cpio(0, 80)),
                Encoding::None,
            );
        }
        if self.scripts.nodes().next().is_some() {
            let scripts = self.packing.pack(&self.scripts.cpio(0, 0));
            xar = xar.file(&at("Scripts"), scripts, Encoding::None);
        }
        xar
    }

    /// The flat component package.
    #[must_use]
    pub fn flat(&self) -> Vec<u8> {
        let xar = XarBuilder::new().toc_checksum(self.toc).file_checksum(self.toc);
        self.add_to(xar, "").build()
    }
}

/// A distribution package of several components.
#[derive(Debug, Clone)]
pub struct Product {
    title: String,
    id: Option<String>,
    version: Option<String>,
    components: Vec<(String, Component)>,
    resources: Vec<(String, Vec<u8>)>,
    elements: String,
    options: String,
}

impl Product {
    /// A product with this title.
    #[must_use]
    pub fn new(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            id: None,
            version: None,
            components: Vec::new(),
            resources: Vec::new(),
            elements: String::new(),
            options: "customize=\"never\" require-scripts=\"false\"".to_owned(),
        }
    }

    /// Adds the `<product>` element.
    #[must_use]
    pub fn product(mut self, id: &str, version: &str) -> Self {
        self.id = Some(id.to_owned());
        self.version = Some(version.to_owned());
        self
    }

    /// Adds a component in the folder `name` (`app.pkg` for example).
    #[must_use]
    pub fn component(mut self, name: &str, component: Component) -> Self {
        self.components.push((name.to_owned(), component));
        self
    }

    /// Adds the lowest allowed macOS version.
    #[must_use]
    pub fn minimum_os(self, version: &str) -> Self {
        self.element(&format!(
            "<volume-check><allowed-os-versions><os-version min=\"{}\"/></allowed-os-versions></volume-check>",
            xml(version)
        ))
    }

    /// Sets `hostArchitectures`.
    #[must_use]
    pub fn host_architectures(mut self, list: &str) -> Self {
        self.options += &format!(" hostArchitectures=\"{}\"", xml(list));
        self
    }

    /// Adds any element to the Distribution, as XML.
    #[must_use]
    pub fn element(mut self, xml: &str) -> Self {
        self.elements += &format!("    {xml}\n");
        self
    }

    /// Adds a file below `Resources`, for example `en.lproj/Localizable.strings`.
    #[must_use]
    pub fn resource(mut self, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.resources.push((format!("Resources/{path}"), bytes.into()));
        self
    }

    /// The text of Distribution.
    #[must_use]
    pub fn distribution(&self) -> String {
        let mut out = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<installer-gui-script minSpecVersion=\"2\">\n    \
             <title>{}</title>\n",
            xml(&self.title)
        );
        if let (Some(id), Some(version)) = (&self.id, &self.version) {
            out += &format!("    <product id=\"{}\" version=\"{}\"/>\n", xml(id), xml(version));
        }
        out += &format!("    <options {}/>\n{}", self.options, self.elements);
        let (mut lines, mut choices, mut refs) = (String::new(), String::new(), String::new());
        for (name, c) in &self.components {
            let id = xml(&c.identifier);
            lines += &format!("<line choice=\"{id}\"/>");
            choices += &format!(
                "    <choice id=\"{id}\" visible=\"false\"><pkg-ref id=\"{id}\"/></choice>\n"
            );
            let bundles: String = c
                .bundles
                .iter()
                .map(|b| {
                    format!(
                        "<bundle CFBundleShortVersionString=\"{}\" CFBundleVersion=\"{}\" \
                         id=\"{}\" path=\"{}\"/>",
                        xml(&b.short_version),
                        xml(&b.version),
                        xml(&b.id),
                        xml(&b.path)
                    )
                })
                .collect();
            refs += &format!(
                "    <pkg-ref id=\"{id}\"><bundle-version>{bundles}</bundle-version></pkg-ref>\n    \
                 <pkg-ref id=\"{id}\" version=\"{}\" onConclusion=\"none\" installKBytes=\"{}\">#{}</pkg-ref>\n",
                xml(&c.version),
                c.kilobytes(),
                xml(name)
            );
        }
        out += &format!(
            "    <choices-outline><line choice=\"default\">{lines}</line></choices-outline>\n    \
             <choice id=\"default\"/>\n{choices}{refs}"
        );
        out + "</installer-gui-script>\n"
    }

    /// The flat distribution package.
    #[must_use]
    pub fn flat(&self) -> Vec<u8> {
        let mut xar = XarBuilder::new().file("Distribution", self.distribution(), Encoding::Gzip);
        for (path, bytes) in &self.resources {
            xar = xar.file(path, bytes.clone(), Encoding::Gzip);
        }
        for (name, component) in &self.components {
            xar = component.add_to(xar.directory(name), name);
        }
        xar.build()
    }
}

/// An old bundle-style package: a folder with `Contents/Info.plist`, `Archive.pax.gz`, `Archive.bom`.
#[must_use]
pub fn bundle_style(name: &str, info: &[(&str, &str)], payload: &Tree) -> Tree {
    let at = format!("{name}/Contents");
    Tree::new()
        .file(&format!("{at}/Info.plist"), 0o644, crate::app::plist(info))
        .file(&format!("{at}/PkgInfo"), 0o644, *b"pmkrpkg1")
        .file(&format!("{at}/Archive.pax.gz"), 0o644, gzip(&payload.cpio(0, 80)))
        .file(&format!("{at}/Archive.bom"), 0o644, bom(payload, 0, 80))
}
