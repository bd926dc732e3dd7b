//! The project's own small installers. Every field has another value, so that a mix-up shows.
//!
//! What is in them is written down by hand in the `expected.json` beside each.

use mip_testkit::app::{App, Cpu, macho};
use mip_testkit::pkg::{Component, Packing, Product, bundle_style};
use mip_testkit::tree::Tree;
use mip_testkit::xar::Style;

use crate::disk_images;
use crate::tree_files::Generated;

/// Everything below fixtures/ that is generated.
pub(crate) fn generate() -> Generated {
    let mut out = Generated::default();
    out.file("fixtures/pkg/component-with-app/Sample.pkg", component().flat());
    out.file("fixtures/pkg/distribution/Sample.pkg", distribution().flat());
    out.file("fixtures/pkg/scripts-only/Enroll.pkg", scripts_only().flat());
    out.file("fixtures/pkg/bundle-style/Old.pkg.zip", old_package().zip());
    out.tree("fixtures/app/folder", &sample().tree());
    out.file("fixtures/app/zip/Sample.app.zip", sample().tree().zip());
    out.file("fixtures/app/tar-gz/Sample.app.tar.gz", sample().tree().tar_gz());
    disk_images::add(&mut out, &sample(), &disk_images::suite(&sample()));
    out
}

/// The app in most of them: universal, with an icon, a framework with links, a localized name.
fn sample() -> App {
    App::new("Sample", "org.example.Sample", "2.5.1", "2051")
        .key("CFBundleDisplayName", Some("Sample App"))
        .key("LSMinimumSystemVersion", Some("11.3"))
        .key("LSApplicationCategoryType", Some("public.app-category.utilities"))
        .key("NSHumanReadableCopyright", Some("Copyright © 2025 The mip authors"))
        .icon()
        .framework("SampleKit")
        .file(
            "Contents/Resources/de.lproj/InfoPlist.strings",
            0o644,
            "\"CFBundleDisplayName\" = \"Beispiel\";\n",
        )
}

/// A component package with an app, both scripts, and a restart.
fn component() -> Component {
    Component::new("org.example.sample.component", "7.1")
        .install_location("/Applications")
        .payload(sample().tree())
        .bundle("Sample.app", "org.example.Sample", "2.5.1", "2051")
        .script("preinstall", "#!/bin/bash\necho before\n")
        .script("postinstall", "#!/bin/zsh\necho after\n")
        .attribute("postinstall-action", "restart")
        .relocatable()
}

/// A distribution package of an app and a tool with a launch daemon.
fn distribution() -> Product {
    let daemon = [("Label", "org.example.sampled"), ("Program", "/usr/local/bin/sampled")];
    let tool = Component::new("org.example.sample.tool", "3.4")
        .install_location("/")
        .payload(
            Tree::new()
                .file("usr/local/bin/sampled", 0o755, macho(Cpu::Arm64))
                .link("usr/local/bin/sample", "sampled")
                .file(
                    "Library/LaunchDaemons/org.example.sampled.plist",
                    0o644,
                    mip_testkit::app::plist(&daemon),
                ),
        )
        .script(
            "postinstall",
            "#!/bin/sh\nlaunchctl load /Library/LaunchDaemons/org.example.sampled.plist\n",
        );
    let app = Component::new("org.example.sample.app", "2.5.1")
        .install_location("/Applications")
        .payload(sample().tree())
        .bundle("Sample.app", "org.example.Sample", "2.5.1", "2051");
    Product::new("SAMPLE_TITLE")
        .product("org.example.sample.product", "2.5.0")
        .host_architectures("x86_64,arm64")
        .minimum_os("12.0")
        .element("<license file=\"license.txt\"/>")
        .element("<domains enable_localSystem=\"true\"/>")
        .resource("en.lproj/Localizable.strings", "\"SAMPLE_TITLE\" = \"Sample Suite\";\n")
        .resource("en.lproj/license.txt", "Do what you like with this sample.\n")
        .component("app.pkg", app)
        .component("tool.pkg", tool)
}

/// A package without a payload: it leaves no receipt.
fn scripts_only() -> Component {
    Component::new("org.example.enroll", "1.9")
        .script("postinstall", "#!/bin/bash\n./helper.sh\n")
        .script("helper.sh", "#!/bin/bash\nexit 0\n")
        .packing(Packing::Bzip2)
        .checksums(Style::Sha256)
}

/// A package folder as tools before macOS 10.5 made it, in a zip file.
fn old_package() -> Tree {
    let info = [
        ("CFBundleGetInfoString", "Old Tool 0.9"),
        ("CFBundleIdentifier", "org.example.oldtool"),
        ("CFBundleName", "Old Tool"),
        ("CFBundleShortVersionString", "0.9.1"),
        ("IFPkgFlagDefaultLocation", "/Library/OldTool"),
        ("IFPkgFlagInstalledSize", "12"),
    ];
    let payload = Tree::new().file("bin/oldtool", 0o755, macho(Cpu::I386)).dir("share");
    bundle_style("Old.pkg", &info, &payload)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_committed_fixtures_are_what_the_builders_make() {
        super::generate().check("fixtures").unwrap();
    }
}
