//! What of an input goes into the archive.

use mip_base::{Code, Error, Job, Result};

use crate::inspect::{Carrier, Carries, Examined, Subject};
use crate::inspection::{ImagePayload, InstallerKind, Warning};

/// What a conversion carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum PayloadChoice {
    /// The input's own bytes where the client can use them without asking anyone: packages, and
    /// disk images that mount silently. Of other disk images the app or package that is in them.
    #[default]
    Auto,
    /// The disk image or package as it is, also where a person will be asked.
    Original,
    /// The app, packed. Not possible where a package is what is to be installed.
    App,
    /// The package. Not possible where an app is what is to be installed.
    Package,
}

/// What was chosen.
pub(crate) struct Payload {
    pub(crate) subject: Subject,
    /// `image`, `app`, `package` or `file`.
    pub(crate) form: &'static str,
    /// Why, where there was a choice.
    pub(crate) reason: Option<String>,
    pub(crate) warnings: Vec<Warning>,
}

/// A file whose inside was not read.
pub(crate) fn unread(choice: PayloadChoice, subject: Subject) -> Result<Payload> {
    match choice {
        PayloadChoice::Auto | PayloadChoice::Original => {
            Ok(Payload { subject, form: "file", reason: None, warnings: Vec::new() })
        }
        _ => Err(Error::new(
            Code::Usage,
            "the inside of the input was not read, so nothing can be taken out of it",
        )),
    }
}

/// Chooses, and writes down in the inspection what was chosen.
pub(crate) fn choose(
    choice: PayloadChoice,
    examined: &mut Examined,
    subject: Subject,
    job: &Job,
) -> Result<Payload> {
    let kind = examined.inspection.input.kind;
    let inside = if kind == InstallerKind::App { "app" } else { "package" };
    let (form, reason) = match (choice, &examined.carrier) {
        (PayloadChoice::Auto, Some(carrier)) => {
            let (carries, why) = carrier.choose();
            let form = if carries == Carries::Image { "image" } else { inside };
            (form, Some(why))
        }
        (PayloadChoice::Auto, None) => (inside, None),
        (PayloadChoice::Original, Some(Carrier { original: Ok(_), .. })) => ("image", asked()),
        (PayloadChoice::Original, Some(Carrier { original: Err(why), .. })) => {
            let why = format!("the disk image cannot be carried as it is: {why}");
            return Err(Error::new(Code::Usage, why)
                .hint(format!("leave --payload out, or use --payload {}", flag(inside))));
        }
        (PayloadChoice::Original, None) => match subject {
            Subject::File { .. } => (inside, asked()),
            Subject::Tree { .. } => {
                let why = format!(
                    "the {inside} is a folder, which has no bytes of its own: it is packed"
                );
                return Err(Error::new(Code::Usage, why).hint("leave --payload out"));
            }
        },
        (PayloadChoice::App, _) if inside != "app" => return Err(impossible("app", "package")),
        (PayloadChoice::Package, _) if inside != "package" => {
            return Err(impossible("package", "app"));
        }
        (PayloadChoice::App | PayloadChoice::Package, _) => (inside, asked()),
    };
    let mut warnings = Vec::new();
    let mut subject = subject;
    if let Some(carrier) = &examined.carrier {
        if form == "image" {
            if let Ok((data, name)) = &carrier.original {
                subject = Subject::File { data: data.clone(), name: name.clone() };
            }
            if let Some(asks) = carrier.asks {
                let text = format!("macOS asks a person for {asks} before it mounts this image");
                warnings.push(Warning::new("W_ASKS_USER", text));
            }
            if carrier.chosen {
                let text = "the image holds several installers; which one is used is for the client to decide";
                warnings.push(Warning::new("W_SEVERAL_INSTALLERS", text));
            }
        } else if let Some((tree, root)) = &carrier.app {
            let (forks, signatures) = tree.left_out(root.as_ref(), job)?;
            if forks > 0 {
                let text = format!("{forks} files have a resource fork, which is left out");
                warnings.push(Warning::new("W_RESOURCE_FORK", text));
            }
            if signatures > 0 {
                let text = format!(
                    "{signatures} programs keep their code signature in an extended attribute, which is left out"
                );
                warnings.push(Warning::new("W_SIGNATURE_ATTRIBUTE", text));
            }
        }
        if let (Some(image), Some(why)) = (&mut examined.inspection.image, &reason) {
            image.payload = Some(ImagePayload { carries: form, why: why.clone() });
        }
    }
    Ok(Payload { subject, form, reason, warnings })
}

fn asked() -> Option<String> {
    Some("it was asked for".to_owned())
}

fn impossible(wanted: &str, there: &str) -> Error {
    Error::new(
        Code::Usage,
        format!("what is to be installed is a {there}: there is no {wanted} to carry")
            .replace("a app", "an app"),
    )
    .hint(format!("leave --payload out, or use --payload {}", flag(there)))
}

/// The word of the command line for `app` or `package`.
fn flag(what: &str) -> &str {
    if what == "package" { "pkg" } else { what }
}
