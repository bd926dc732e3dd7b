//! The part of `mip inspect` that is about the disk image around an installer.

use mip_base::escape;
use mip_core::inspection::{ChecksumState, ImageInfo, LicenceInfo, VolumeInfo};

use crate::output::text::{Rows, bytes};

/// What the image is, holds, and is for. Places, names and reasons are escaped by the library.
pub(super) fn rows(image: &ImageInfo) -> Rows {
    let mut rows = Rows::new();
    let compression = image.compression.join(", ");
    rows.add("format", [image.format.as_str(), &compression].join(" ").trim_end());
    rows.add("encrypted", image.encryption.as_deref().unwrap_or("no"));
    let scheme = image.partition_scheme.as_deref().unwrap_or("no partition map");
    rows.with("disk", bytes(image.disk_bytes), scheme);
    for v in &image.volumes {
        rows.with("volume", v.name.as_deref().unwrap_or("(no name)"), &volume(v));
    }
    match &image.licence {
        Some(l) if l.languages.is_empty() => rows.add("agreement", "macOS asks for consent"),
        Some(l) => rows.with("agreement", "macOS asks for consent", &l.languages.join(", ")),
        None => {}
    }
    if image.code_signature {
        rows.add("signature", "present, not checked");
    }
    match image.checksums {
        ChecksumState::Ok => rows.add("checksums", "all hold"),
        ChecksumState::None => rows.add("checksums", "the image carries none"),
        _ => {}
    }
    if let Some(d) = &image.decided {
        rows.with(d.installs, d.path.clone(), &d.why);
    }
    if let Some(p) = &image.payload {
        rows.with("carried", format!("the {}", p.carries), &p.why);
    }
    rows
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
    if let Some(files) = v.files {
        out.push(format!("{files} file{}", if files == 1 { "" } else { "s" }));
    }
    if let Some(n) = v.file_bytes {
        out.push(bytes(n));
    }
    if !v.read {
        out.push("not read".to_owned());
    }
    out.join(", ")
}

/// The texts of the agreement, where they were asked for. Lines are kept; what else could move
/// a cursor is escaped.
pub(super) fn agreement(licence: &LicenceInfo) -> String {
    let mut out = String::new();
    for text in &licence.texts {
        let language = text.language.as_deref().map(|l| format!(" ({})", escape(l)));
        out.push_str(&format!("\nLicence agreement{}\n", language.unwrap_or_default()));
        let lines = text.text.replace("\r\n", "\n").replace('\r', "\n");
        for line in lines.lines() {
            out.push_str(format!("  {}", escape(&line.replace('\t', " "))).trim_end());
            out.push('\n');
        }
    }
    out
}
