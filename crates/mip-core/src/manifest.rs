//! The archive's `Info.plist`: what a catalogue needs, written the same way every time.

use mip_archive::profile::{self, keys};
use mip_base::{Code, Error, Result, escape};
use plist::{Dictionary, Value};

use crate::inspection::{AppInfo, Inspection, InstallerKind, RestartAction, Warning};
use crate::report::ProductReport;
use crate::trust;

/// What goes into the manifest.
pub(crate) struct Facts<'a> {
    pub product: &'a ProductReport,
    pub inspection: Option<&'a Inspection>,
    pub payload_name: String,
    pub original_name: Option<String>,
    pub icon: bool,
    /// The payload is the disk image that the installer is in.
    pub image: bool,
    pub warnings: &'a [Warning],
}

/// A text without the characters that XML 1.0 has no way to write, escaped as in messages: an
/// archive whose manifest cannot be read would not verify.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' | '\n' => out.push(c),
            '\u{FFFE}' | '\u{FFFF}' => out.extend(c.escape_unicode()),
            _ if c.is_control() => out.push_str(&escape(c.encode_utf8(&mut [0; 4]))),
            _ => out.push(c),
        }
    }
    out
}

/// The property list, as XML. Keys stand in a fixed order.
pub(crate) fn manifest(facts: &Facts<'_>) -> Result<Vec<u8>> {
    let mut d = Dictionary::new();
    let found = facts.inspection;
    let identity = found.map(|f| &f.identity);
    let text = |s: &str| Value::String(printable(s));
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(v) = value {
            d.insert(key.to_owned(), v);
        }
    };
    let product = facts.product;
    let bundle_version = identity
        .and_then(|i| i.bundle_version.as_ref())
        .filter(|_| found.is_some_and(|f| uses_app_version(f, product)))
        .map_or(product.version.clone(), |f| f.value.clone());

    put(keys::BUNDLE_IDENTIFIER, Some(text(&product.id)));
    put(keys::BUNDLE_NAME, Some(text(&product.name)));
    put(keys::SHORT_VERSION, Some(text(&product.version)));
    put(keys::BUNDLE_VERSION, Some(text(&bundle_version)));
    put(keys::MINIMUM_SYSTEM_VERSION, product.min_os.as_deref().map(text));
    let fact = |f: Option<&crate::inspection::Fact<String>>| f.map(|f| text(&f.value));
    put(keys::CATEGORY, fact(identity.and_then(|i| i.category.as_ref())));
    put(keys::COPYRIGHT, fact(identity.and_then(|i| i.copyright.as_ref())));
    put(keys::ICON_FILE, facts.icon.then(|| text(profile::ICON)));

    put(keys::FORMAT_VERSION, Some(Value::Integer(profile::FORMAT_VERSION.into())));
    put(keys::GENERATOR, Some(text(concat!("mip ", env!("CARGO_PKG_VERSION")))));
    let kind = found.map_or(InstallerKind::Unknown, |f| f.input.kind);
    if facts.image {
        put(keys::PAYLOAD_KIND, Some(text(profile::DISK_IMAGE)));
        put(keys::PAYLOAD_HOLDS, Some(text(kind.word())));
        let decided = found.and_then(|f| f.image.as_ref()).and_then(|i| i.decided.as_ref());
        put(keys::PAYLOAD_INSTALLER, decided.map(|d| text(&d.path)));
    } else {
        put(keys::PAYLOAD_KIND, Some(text(kind.word())));
    }
    put(keys::PAYLOAD_NAME, Some(text(&facts.payload_name)));
    put(keys::PAYLOAD_ORIGINAL_NAME, facts.original_name.as_deref().map(text));
    put(keys::PAYLOAD_READ, Some(Value::Boolean(found.is_some())));
    put(keys::MAXIMUM_SYSTEM_VERSION, fact(identity.and_then(|i| i.max_os.as_ref())));
    let strings = |v: &[String]| Value::Array(v.iter().map(|s| text(s)).collect());
    put(
        keys::ARCHITECTURES,
        identity.and_then(|i| i.architectures.as_ref()).map(|f| strings(&f.value)),
    );
    if let Some(found) = found {
        let installer = &found.installer;
        put(
            keys::INSTALLED_KBYTES,
            installer.installed_kbytes.as_ref().map(|f| Value::Integer(f.value.into())),
        );
        let restart = installer.restart.as_ref().map_or("none", |f| match f.value {
            RestartAction::Logout => "logout",
            RestartAction::Restart => "restart",
            RestartAction::Shutdown => "shutdown",
        });
        put(keys::RESTART, Some(text(restart)));
        // Of an image that is not carried nobody sees the agreement.
        let of_image = facts.image && found.image.as_ref().is_some_and(|i| i.licence.is_some());
        put(keys::LICENSE_AGREEMENT, Some(Value::Boolean(installer.licence || of_image)));
        put(keys::APPS, list(found.apps.iter().filter(|a| !a.nested).map(app)));
        put(
            keys::RECEIPTS,
            list(installer.receipts.iter().map(|r| {
                let mut d = Dictionary::new();
                d.insert(keys::RECEIPT_IDENTIFIER.to_owned(), text(&r.id));
                d.insert(keys::RECEIPT_VERSION.to_owned(), text(&r.version));
                let at = installer.components.iter().find(|c| c.id.as_ref() == Some(&r.id));
                if let Some(at) = at.and_then(|c| c.install_location.as_deref()) {
                    d.insert(keys::RECEIPT_LOCATION.to_owned(), text(at));
                }
                Value::Dictionary(d)
            })),
        );
        put(
            keys::INSTALLER_SCRIPTS,
            list(installer.components.iter().flat_map(|c| {
                c.scripts.iter().filter(|s| s.role.is_some()).map(move |s| {
                    let mut d = Dictionary::new();
                    d.insert(keys::SCRIPT_NAME.to_owned(), text(&s.name));
                    if let Some(id) = &c.id {
                        d.insert(keys::SCRIPT_PACKAGE.to_owned(), text(id));
                    }
                    if let Some(i) = &s.interpreter {
                        d.insert(keys::SCRIPT_INTERPRETER.to_owned(), text(i));
                    }
                    if let Some(n) = s.size {
                        d.insert(keys::SCRIPT_SIZE.to_owned(), Value::Integer(n.into()));
                    }
                    Value::Dictionary(d)
                })
            })),
        );
        put(keys::CLAIMS, list(trust::claims(found).into_iter().map(claim)));
        put(keys::PROVENANCE, Some(provenance(found, product)));
    }
    let lasting = facts.warnings.iter().filter(|w| !w.depends_on_time());
    let warned = lasting.map(|w| text(&format!("{}: {}", w.code, w.message)));
    put(keys::WARNINGS, list(warned));

    let mut out = Vec::new();
    Value::Dictionary(d)
        .to_writer_xml(&mut out)
        .map_err(|e| Error::new(Code::Internal, format!("writing Info.plist: {e}")))?;
    Ok(out)
}

/// Whether the version is the one that the app gives, so that the app's build version belongs
/// to it; a version that the caller set stands alone.
fn uses_app_version(found: &Inspection, product: &ProductReport) -> bool {
    found.identity.version.as_ref().is_some_and(|f| f.value == product.version)
}

fn list(items: impl Iterator<Item = Value>) -> Option<Value> {
    let items: Vec<Value> = items.collect();
    (!items.is_empty()).then_some(Value::Array(items))
}

fn app(a: &AppInfo) -> Value {
    let mut d = Dictionary::new();
    let mut put = |key: &str, value: Option<&String>| {
        if let Some(v) = value {
            d.insert(key.to_owned(), Value::String(printable(v)));
        }
    };
    put(keys::APP_IDENTIFIER, a.bundle_id.as_ref().map(|f| &f.value));
    put(keys::APP_NAME, a.name.as_ref().map(|f| &f.value));
    put(keys::APP_SHORT_VERSION, a.short_version.as_ref().map(|f| &f.value));
    put(keys::APP_VERSION, a.bundle_version.as_ref().map(|f| &f.value));
    put(keys::APP_PATH, Some(a.install_path.as_ref().unwrap_or(&a.path)));
    put(keys::APP_MINIMUM_SYSTEM_VERSION, a.min_os.as_ref().map(|f| &f.value));
    if let Some(f) = &a.architectures {
        let names = f.value.iter().map(|s| Value::String(printable(s))).collect();
        d.insert(keys::APP_ARCHITECTURES.to_owned(), Value::Array(names));
    }
    d.insert(keys::APP_PRIMARY.to_owned(), Value::Boolean(a.primary));
    Value::Dictionary(d)
}

fn claim(c: trust::Claim) -> Value {
    let mut d = Dictionary::new();
    let mut put = |key: &str, text: &str| {
        d.insert(key.to_owned(), Value::String(printable(text)));
    };
    put(keys::CLAIM_KIND, c.kind);
    if let Some(subject) = &c.subject {
        put(keys::CLAIM_SUBJECT, subject);
    }
    put(keys::CLAIM_CHECK, &c.check);
    Value::Dictionary(d)
}

fn provenance(found: &Inspection, product: &ProductReport) -> Value {
    let mut d = Dictionary::new();
    let i = &found.identity;
    let rows = [
        (keys::BUNDLE_IDENTIFIER, i.bundle_id.as_ref(), Some(&product.id)),
        (keys::BUNDLE_NAME, i.name.as_ref(), Some(&product.name)),
        (keys::SHORT_VERSION, i.version.as_ref(), Some(&product.version)),
        (keys::MINIMUM_SYSTEM_VERSION, i.min_os.as_ref(), product.min_os.as_ref()),
        (keys::MAXIMUM_SYSTEM_VERSION, i.max_os.as_ref(), None),
    ];
    for (key, fact, used) in rows {
        let text = match (fact, used) {
            (Some(f), Some(used)) if f.value != *used => "given".to_owned(),
            (None, Some(_)) => "given".to_owned(),
            (Some(f), _) => match &f.source.key {
                Some(k) => format!("{} {k} [{}]", f.source.place, f.source.rule),
                None => format!("{} [{}]", f.source.place, f.source.rule),
            },
            (None, None) => continue,
        };
        d.insert(key.to_owned(), Value::String(printable(&text)));
    }
    Value::Dictionary(d)
}
