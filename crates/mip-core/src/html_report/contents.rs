//! What the installer holds: image, installer, components, apps, receipts.

use super::escape::text;
use super::page::{Facts, LIST, Page, bytes, code, count, lines, number, small};
use super::{fact, source};
use crate::inspection::{
    AppInfo, ChecksumState, ComponentInfo, Fact, ImageInfo, Inspection, InstallerInfo, OsRange,
    PayloadState, RestartAction, VolumeInfo,
};

pub(super) fn write(page: &mut Page, i: &Inspection) {
    page.h2("contents", "Contents");
    if let Some(image) = &i.image {
        page.h3("Disk image");
        page.facts(&self::image(image));
    }
    let facts = installer(&i.installer, i);
    if !facts.is_empty() {
        page.h3("Installer");
        page.facts(&facts);
    }
    for app in i.apps.iter().take(LIST) {
        let note = match (app.primary, app.nested) {
            (true, _) => " (primary)",
            (false, true) => " (inside another bundle)",
            (false, false) => "",
        };
        page.h3(&format!("App {}{note}", app.path));
        page.facts(&self::app(app, i));
    }
    page.more(i.apps.len());
    for c in i.installer.components.iter().take(LIST) {
        page.h3(&format!("Component package {}", c.id.as_deref().unwrap_or(&c.place)));
        component(page, c);
    }
    page.more(i.installer.components.len());
    if !i.installer.receipts.is_empty() {
        page.h3("Receipts that it leaves");
        let rows: Vec<Vec<String>> = i
            .installer
            .receipts
            .iter()
            .take(LIST)
            .map(|r| vec![code(&r.id), text(&r.version), small(&source(&r.source, i))])
            .collect();
        page.table(&["Identifier", "Version", "Read from"], &rows, false);
        page.more(i.installer.receipts.len());
    }
}

fn image(image: &ImageInfo) -> Facts {
    let mut facts = Facts::new();
    facts.with("Format", &image.format, &image.compression.join(", "));
    facts.add("Encrypted", image.encryption.as_deref().unwrap_or("no"));
    let scheme = image.partition_scheme.as_deref().unwrap_or("no partition map");
    facts.with("Disk", &bytes(image.disk_bytes), scheme);
    for v in image.volumes.iter().take(LIST) {
        facts.with("Volume", v.name.as_deref().unwrap_or("(no name)"), &volume(v));
    }
    if let Some(l) = &image.licence {
        facts.with("Licence agreement", "macOS asks for consent", &l.languages.join(", "));
    }
    match image.checksums {
        ChecksumState::Ok => facts.add("Checksums", "all hold"),
        ChecksumState::None => facts.add("Checksums", "the image carries none"),
        ChecksumState::NotChecked => facts.add("Checksums", "not compared"),
    }
    if let Some(d) = &image.decided {
        facts.with("It is for", &format!("{}: {}", d.installs, d.path), &d.why);
    }
    if let Some(p) = &image.payload {
        facts.with("A conversion carries", &format!("the {}", p.carries), &p.why);
    }
    facts
}

fn volume(v: &VolumeInfo) -> String {
    let mut out = vec![v.file_system.clone()];
    if v.case_sensitive == Some(true) {
        out.push("case-sensitive".to_owned());
    }
    if v.encrypted {
        out.push("encrypted".to_owned());
    }
    out.extend(v.role.clone());
    out.extend(v.files.map(|n| count(n, "file")));
    out.extend(v.file_bytes.map(bytes));
    if !v.read {
        out.push("not read".to_owned());
    }
    out.join(", ")
}

fn installer(t: &InstallerInfo, i: &Inspection) -> Facts {
    let mut facts = Facts::new();
    let text_of = |s: &String| text(s);
    fact(&mut facts, "Title", t.title.as_ref(), i, text_of);
    fact(&mut facts, "Product", t.product_id.as_ref(), i, |s| code(s));
    fact(&mut facts, "Product version", t.product_version.as_ref(), i, text_of);
    for range in t.allowed_os.iter().take(LIST) {
        fact(&mut facts, "Allowed macOS", Some(range), i, |r| text(&os_range(r)));
    }
    fact(&mut facts, "Processors", t.host_architectures.as_ref(), i, |l| text(&l.join(", ")));
    fact(&mut facts, "At the end", t.restart.as_ref(), i, |r| {
        text(match r {
            RestartAction::Logout => "log out",
            RestartAction::Restart => "restart",
            RestartAction::Shutdown => "shut down",
        })
    });
    if t.licence {
        let files = t.licence_files.iter().map(|f| f.file.as_str());
        facts.html("Licence agreement", format!("must be accepted{}", lines(files)));
    }
    if !t.must_close.is_empty() {
        facts.html(
            "Must be closed",
            lines(t.must_close.iter().map(|f: &Fact<String>| f.value.as_str())),
        );
    }
    if !t.choices.is_empty() {
        let titles = t.choices.iter().map(|c| c.title.as_deref().unwrap_or(&c.id));
        facts.html("Choices", lines(titles));
    }
    if t.javascript {
        facts.add("JavaScript", "present, never run here: what it decides is not known");
    }
    fact(&mut facts, "Space", t.installed_kbytes.as_ref(), i, |n| format!("{} KB", number(*n)));
    fact(&mut facts, "Files", t.installed_files.as_ref(), i, |n| number(*n));
    fact(&mut facts, "Bytes of files", t.installed_bytes.as_ref(), i, |n| bytes(*n));
    facts
}

fn os_range(r: &OsRange) -> String {
    let part = |word: &str, v: &Option<String>| v.as_deref().map(|v| format!("{word} {v}"));
    let parts = [part("from", &r.min), part("to", &r.max), part("before", &r.before)];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn app(a: &AppInfo, i: &Inspection) -> Facts {
    let mut facts = Facts::new();
    let text_of = |s: &String| text(s);
    fact(&mut facts, "Identifier", a.bundle_id.as_ref(), i, |s| code(s));
    fact(&mut facts, "Name", a.name.as_ref(), i, text_of);
    fact(&mut facts, "Short version", a.short_version.as_ref(), i, text_of);
    fact(&mut facts, "Bundle version", a.bundle_version.as_ref(), i, text_of);
    if let Some(path) = &a.install_path {
        let note = if a.relocatable == Some(true) {
            "relocatable: it may land where a user moved an older copy"
        } else {
            ""
        };
        facts.html("Lands at", format!("{}{}", code(path), small(note)));
    }
    fact(&mut facts, "Lowest macOS", a.min_os.as_ref(), i, text_of);
    fact(&mut facts, "Highest macOS", a.max_os.as_ref(), i, text_of);
    fact(&mut facts, "Processors", a.architectures.as_ref(), i, |l| text(&l.join(", ")));
    fact(&mut facts, "Category", a.category.as_ref(), i, text_of);
    fact(&mut facts, "Copyright", a.copyright.as_ref(), i, text_of);
    facts
}

fn component(page: &mut Page, c: &ComponentInfo) {
    let mut facts = Facts::new();
    facts.maybe("Version", c.version.as_deref());
    facts.html("Place", code(&c.place));
    if let Some(at) = &c.install_location {
        facts.html("Unpacked to", code(at));
    }
    facts.maybe("Authorisation", c.auth.as_deref());
    if c.payload {
        let state = match c.payload_state {
            PayloadState::Read => "read as far as needed",
            PayloadState::NotRead => "not read",
            PayloadState::Unreadable => "cannot be read",
            PayloadState::None => "",
        };
        let format = c.payload_format.as_deref().map(|f| format!("{f}, ")).unwrap_or_default();
        facts.with("Payload", &bytes(c.payload_stored_bytes), &format!("{format}{state}"));
    } else {
        facts.add("Payload", "none");
    }
    if let Some(n) = c.files {
        facts.add("Files", &number(n));
    }
    if let Some(n) = c.install_kbytes {
        facts.add("Space", &format!("{} KB", number(n)));
    }
    if !c.bundles.is_empty() {
        facts.html("Bundles", lines(c.bundles.iter().map(|b| b.path.as_str())));
    }
    if !c.relocatable_bundles.is_empty() {
        let ids = c.relocatable_bundles.iter().map(String::as_str);
        facts.html("Relocatable", lines(ids));
    }
    facts.maybe("At the end", c.postinstall_action.as_deref());
    page.facts(&facts);
    if c.scripts.is_empty() {
        return;
    }
    let rows: Vec<Vec<String>> = c
        .scripts
        .iter()
        .take(LIST)
        .map(|s| {
            let findings = s.findings.iter().map(|f| format!("line {}: {}", f.line, f.text));
            let findings: String = findings.take(LIST).map(|f| small(&f)).collect();
            vec![
                code(&s.name),
                text(s.role.as_deref().unwrap_or("file")),
                format!("{}{findings}", text(s.interpreter.as_deref().unwrap_or("–"))),
                s.size.map_or_else(|| "not known".to_owned(), bytes),
            ]
        })
        .collect();
    page.table(&["Script", "Runs as", "Interpreter", "Size"], &rows, false);
    page.more(c.scripts.len());
    for s in c.scripts.iter().filter(|s| !s.head.is_empty()).take(LIST) {
        page.html(&format!("<p>First lines of {}:</p>\n<pre>", code(&s.name)));
        for line in s.head.iter().take(LIST) {
            page.html(&text(&line.replace('\t', "    ")));
            page.html("\n");
        }
        page.html("</pre>\n");
    }
}
