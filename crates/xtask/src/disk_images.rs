//! The project's own small disk images, for `cargo xtask fixtures`.

use mip_testkit::app::{App, Cpu, png};
use mip_testkit::crypt::Encryption;
use mip_testkit::hfs::Volume;
use mip_testkit::partition::{ApmEntry, apm_disk, gpt_disk};
use mip_testkit::pkg::{Component, Product};
use mip_testkit::tree::Tree;
use mip_testkit::udif::{Image, Pack, lpic};
use mip_testkit::{apfs, sparse};

use crate::tree_files::Generated;

/// The password of everything that is encrypted here.
const PASSWORD: &str = "test";
const SECTOR: usize = 512;
/// Bytes of the disk in one chunk, as hdiutil has it.
const CHUNK: usize = 512 * SECTOR;

/// Everything below fixtures/dmg. `sample` is the app, `suite` the package.
pub(crate) fn add(out: &mut Generated, sample: &App, suite: &Product) {
    let desktop = desktop(sample).build();
    let compressed = gpt_image(&desktop, Pack::Zlib).build();
    out.file("fixtures/dmg/drag-and-drop/Sample.dmg", compressed.clone());
    out.file("fixtures/dmg/one-package/Suite.dmg", package(suite));
    out.file("fixtures/dmg/two-apps/Both.dmg", two_apps());
    out.file("fixtures/dmg/licence/Licensed.dmg", licensed(sample));
    out.file("fixtures/dmg/encrypted/Secret.dmg", encrypted(&compressed));
    out.file("fixtures/dmg/apfs/Sample.dmg", on_apfs(sample));

    let small = small();
    out.file("fixtures/dmg/raw-volume/Small.img", small.clone());
    out.file("fixtures/dmg/sparse-image/Small.sparseimage", sparse::image(&small, 4096, true));
    out.tree("fixtures/dmg/sparse-bundle/Small.sparsebundle", &bundle(&small, 16_384));
}

/// What people drag apps from: the app, a link to the folder it goes to, a hidden background.
fn desktop(app: &App) -> Volume {
    let bundle = app.bundle_name();
    Volume::new("Sample 2.5.1")
        .tree("", &app.tree())
        .dates(&bundle, 1_700_000_000, 1_700_000_100)
        .link("Applications", "/Applications")
        .file(".background/background.png", png(2))
        .finder(".background/background.png", *b"PNGf", *b"ogle", 0x4000)
        .file(".DS_Store", "\0\0\0\x01Bud1")
        .xattr(&bundle, "com.apple.FinderInfo", vec![0; 32])
}

/// A UDIF file of a disk with a GPT, with one table for each part of the disk as hdiutil makes.
fn gpt_image(volume: &[u8], pack: Pack) -> Image {
    let disk = gpt_disk(volume);
    let sectors = disk.len() / SECTOR;
    let end = 40 + volume.len() / SECTOR;
    let mut image = Image::default();
    let parts = [
        ("Protective Master Boot Record (MBR : 0)", 0, 1),
        ("GPT Header (Primary GPT Header : 1)", 1, 2),
        ("GPT Partition Data (Primary GPT Table : 2)", 2, 34),
        (" (Apple_Free : 3)", 34, 40),
        ("disk image (Apple_HFS : 4)", 40, end),
        (" (Apple_Free : 5)", end, sectors - 33),
        ("GPT Partition Data (Backup GPT Table : 6)", sectors - 33, sectors - 1),
        ("GPT Header (Backup GPT Header : 7)", sectors - 1, sectors),
    ];
    for (name, from, to) in parts {
        image.table(name);
        chunks(&mut image, disk.get(from * SECTOR..to * SECTOR).unwrap_or_default(), pack);
    }
    image
}

/// Adds a part of the disk, runs of zeros left out.
fn chunks(image: &mut Image, bytes: &[u8], pack: Pack) {
    for chunk in bytes.chunks(CHUNK) {
        let zeros = chunk.iter().all(|b| *b == 0);
        image.push(if zeros { Pack::Ignore } else { pack }, chunk);
    }
}

/// A package and a text beside it; bzip2, an Apple partition map, fragments, as around 2009.
fn package(suite: &Product) -> Vec<u8> {
    let volume = Volume::new("Suite")
        .block_size(1024)
        .file("Install Suite.pkg", suite.flat())
        .fragment("Install Suite.pkg", 9)
        .file("Read Me.txt", "Open the package.\n")
        .build();
    let blocks = volume.len() / SECTOR;
    let number = |n: usize| u32::try_from(n).unwrap_or_default();
    let entries = [
        ApmEntry { name: "Apple", kind: "Apple_partition_map", first: 1, blocks: 63 },
        ApmEntry { name: "disk image", kind: "Apple_HFS", first: 64, blocks: number(blocks) },
        ApmEntry { name: "", kind: "Apple_Free", first: number(64 + blocks), blocks: 8 },
    ];
    let mut disk = apm_disk(SECTOR, 72 + blocks, 512, 3, &entries);
    disk.splice(64 * SECTOR..(64 + blocks) * SECTOR, volume);
    let mut image = Image::default();
    let (head, rest) = disk.split_at(64 * SECTOR);
    let (volume, free) = rest.split_at(blocks * SECTOR);
    for (name, bytes) in [
        ("Driver Descriptor Map (DDM : 0)", head.get(..SECTOR).unwrap_or_default()),
        ("Apple (Apple_partition_map : 1)", head.get(SECTOR..).unwrap_or_default()),
        ("disk image (Apple_HFS : 2)", volume),
        (" (Apple_Free : 3)", free),
    ] {
        image.table(name);
        chunks(&mut image, bytes, Pack::Bzip2);
    }
    image.build()
}

/// Two apps that have nothing to do with each other; LZMA.
fn two_apps() -> Vec<u8> {
    let app = |name: &str, id: &str, version: &str, build: &str| {
        App::new(name, id, version, build)
            .key("CFBundleDisplayName", Some(name))
            .key("LSMinimumSystemVersion", Some("12.0"))
            .key("LSApplicationCategoryType", Some("public.app-category.utilities"))
            .key("NSHumanReadableCopyright", Some("Copyright © 2025 The mip authors"))
            .icon()
            .tree()
    };
    let volume = Volume::new("Both")
        .tree("", &app("Left", "org.example.left", "1.1", "11"))
        .tree("", &app("Right", "org.example.right", "2.2", "22"))
        .link("Applications", "/Applications");
    gpt_image(&volume.build(), Pack::Lzma).build()
}

/// Asks for agreement when it is opened: English and German, MacRoman, one with styles.
fn licensed(app: &App) -> Vec<u8> {
    let mut image = gpt_image(&desktop(app).build(), Pack::Zlib);
    // Regions 0 (United States) and 3 (Germany); resources 5000 and 5001.
    image.resources = vec![
        (*b"LPic", 5000, lpic(0, &[(0, 0), (3, 1)])),
        (*b"TEXT", 5000, b"Do what you like with \xd2this sample\xd3.\r".to_vec()),
        (*b"TEXT", 5001, b"Machen Sie damit, was Sie m\x9agen.\r".to_vec()),
        (*b"styl", 5000, vec![0, 0]),
        (*b"STR#", 5000, string_list(&["English", "Agree", "Disagree", "Print", "Save..."])),
        (*b"STR#", 5001, string_list(&["German", "Akzeptieren", "Ablehnen", "Drucken"])),
    ];
    image.build()
}

/// `STR#`: count, then strings with a length byte.
fn string_list(strings: &[&str]) -> Vec<u8> {
    let mut out = u16::try_from(strings.len()).unwrap_or_default().to_be_bytes().to_vec();
    for s in strings {
        out.push(u8::try_from(s.len()).unwrap_or_default());
        out.extend(s.bytes());
    }
    out
}

/// The image of the drag-and-drop case, encrypted (version 2, AES-256).
fn encrypted(image: &[u8]) -> Vec<u8> {
    Encryption { block: 4096, ..Encryption::new(PASSWORD) }.v2(image)
}

/// The drag-and-drop case on APFS; the whole disk is the container.
fn on_apfs(app: &App) -> Vec<u8> {
    let mut volume = apfs::Volume::new("Sample APFS");
    for (path, node) in app.tree().nodes() {
        use mip_testkit::tree::Content;
        volume = match &node.content {
            Content::Dir => volume.folder(path),
            Content::File(bytes) => volume.file(path, bytes.clone()),
            Content::Link(target) => volume.symlink(path, target),
        };
        volume = volume.mode(u16::try_from(node.mode & 0o7777).unwrap_or_default());
    }
    let volume = volume.symlink("Applications", "/Applications");
    let (disk, _) = apfs::Container::new().volume(volume).build();
    let mut image = Image::default();
    image.table("disk image (Apple_APFS : 0)");
    for block in disk.chunks(4096) {
        // Blocks of zeros are many here; what is in between is small.
        let zeros = block.iter().all(|b| *b == 0);
        image.push(if zeros { Pack::Ignore } else { Pack::Zlib }, block);
    }
    image.build()
}

/// A small app with a script beside it, on a journaled volume that tells case apart.
fn small() -> Vec<u8> {
    let app = App::new("Small", "org.example.small", "0.3", "3")
        .key("CFBundleDisplayName", Some("Small"))
        .key("LSMinimumSystemVersion", Some("10.13"))
        .key("LSApplicationCategoryType", Some("public.app-category.games"))
        .key("NSHumanReadableCopyright", Some("Copyright © 2024 The mip authors"))
        .cpus(&[Cpu::Arm64])
        .icon();
    Volume::new("Small")
        .block_size(512)
        .node_size(1024, 1024)
        .extents_node_size(512)
        .case_sensitive(true)
        .journaled(4096)
        .free_blocks(8)
        .tree("", &app.tree())
        .decmpfs("Compressed.txt", 3, "The same line again.\n".repeat(9).as_bytes())
        .file("notes", "lower case\n")
        .file("Notes", "upper case\n")
        .hard_link("also notes", "notes")
        .build()
}

/// A sparse bundle; bands of zeros have no file.
fn bundle(disk: &[u8], band: usize) -> Tree {
    let info = sparse::info_plist(band as u64, disk.len() as u64);
    let mut out = Tree::new()
        .file("Info.plist", 0o644, info.clone())
        .file("Info.bckup", 0o644, info)
        .file("token", 0o644, "");
    for (i, data) in disk.chunks(band).enumerate() {
        if data.iter().any(|b| *b != 0) {
            out = out.file(&format!("bands/{i:x}"), 0o644, data);
        }
    }
    out
}

/// A package for the `one-package` case that is not the one of fixtures/pkg.
pub(crate) fn suite(app: &App) -> Product {
    let component = Component::new("org.example.suite.app", "2.5.1")
        .install_location("/Applications")
        .payload(app.tree())
        .bundle(&app.bundle_name(), "org.example.Sample", "2.5.1", "2051");
    Product::new("SUITE_TITLE")
        .product("org.example.suite", "2.5.1")
        .host_architectures("x86_64,arm64")
        .minimum_os("12.0")
        .resource("en.lproj/Localizable.strings", "\"SUITE_TITLE\" = \"Suite\";\n")
        .component("app.pkg", component)
}
