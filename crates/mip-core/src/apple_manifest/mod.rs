//! The manifest for Apple's own MDM channel: where a Mac finds a package, and what its bytes are.
//!
//! `InstallEnterpriseApplication` (apple/device-management,
//! `mdm/commands/application.install.enterprise.yaml`) takes it inside the command (`Manifest`)
//! or at an address (`ManifestURL`). The keys are those of `other/manifesturl.yaml` there. Both
//! forms of the digests are written: `sha256-size` with `sha256s` is what every macOS since
//! 10.13.6 knows; `sha256`, over the whole file, came with a later edition of the schema, which
//! says that a device that knows it does not look at the chunks.

mod digests;
mod url;

use mip_base::{Code, Error, Event, Job, Phase, ReadAt as _, Result, Section, escape};
use plist::{Dictionary, Value};
use schemars::JsonSchema;
use serde::Serialize;

use self::digests::digests;
use crate::input::{Input, Opened};
use crate::inspect::{InspectOptions, SignatureScan, examine, in_input};
use crate::inspection::{AppleMdm, ClaimState, Inspection, MdmPoint, Met, Warning};
use crate::manifest::printable;
use crate::metadata::{check_id, check_name, check_version};
use crate::policy::SourcePolicy;
use crate::report::REPORT_VERSION;

/// The customary size of a chunk: 10 MiB.
pub const APPLE_CHUNK: u64 = 10 << 20;

/// Most chunks of one manifest: it is fetched and read whole.
const MOST_CHUNKS: u64 = 100_000;

/// What a manifest should say, where that differs from what the package says.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AppleManifestOptions {
    /// Where Macs will find the package. It must start with `https://`.
    pub url: String,
    /// Bytes of one chunk; the last one is what is left.
    pub chunk_size: u64,
    /// Also gives the MD5 of each chunk, for macOS before 10.13.6. A device that finds SHA-256
    /// does not look at them.
    pub md5: bool,
    /// Identifier instead of the one that the rules choose.
    pub id: Option<String>,
    /// Version instead of the one that the rules choose.
    pub version: Option<String>,
    /// Title instead of the name that the rules choose.
    pub title: Option<String>,
    /// Name of the developer instead of that of a valid signature.
    pub subtitle: Option<String>,
    /// Refuses what Apple's channel is not known to take. Then everything that is signed is
    /// compared, unless [`InspectOptions::signatures`] says never.
    pub strict: bool,
    /// How the input is read.
    pub inspect: InspectOptions,
    /// What the input must be.
    pub policy: SourcePolicy,
}

impl AppleManifestOptions {
    /// The defaults, for a package that will be at `url`.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            chunk_size: APPLE_CHUNK,
            md5: false,
            id: None,
            version: None,
            title: None,
            subtitle: None,
            strict: false,
            inspect: InspectOptions::default(),
            policy: SourcePolicy::default(),
        }
    }
}

/// A manifest, before it is written as a property list ([`to_plist`](Self::to_plist)).
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct AppleManifest {
    /// [`REPORT_VERSION`].
    pub schema_version: u32,
    /// Where the property list was written; `None`: nowhere, or to stdout.
    pub output: Option<String>,
    /// Where Macs will find the package (`url`).
    pub url: String,
    /// Bytes of the package.
    pub size: u64,
    /// SHA-256 of all of it, lower-case hex (`sha256`).
    pub sha256: String,
    /// Bytes of one chunk (`sha256-size`, `md5-size`).
    pub chunk_size: u64,
    /// SHA-256 of each chunk, lower-case hex (`sha256s`).
    pub sha256s: Vec<String>,
    /// MD5 of each chunk, lower-case hex (`md5s`), where it was asked for.
    pub md5s: Option<Vec<String>>,
    /// `bundle-identifier`.
    pub bundle_identifier: String,
    /// `bundle-version`.
    pub bundle_version: String,
    /// `title`.
    pub title: String,
    /// `subtitle`: the developer's name.
    pub subtitle: Option<String>,
    /// Whether Apple's channel takes the package.
    pub apple_mdm: AppleMdm,
    /// What an admin should know.
    pub warnings: Vec<Warning>,
}

impl AppleManifest {
    /// The property list, as XML. The same manifest gives the same bytes.
    ///
    /// # Errors
    /// [`Code::Internal`].
    pub fn to_plist(&self) -> Result<Vec<u8>> {
        let text = |s: &str| Value::String(printable(s));
        let texts = |all: &[String]| Value::Array(all.iter().map(|s| text(s)).collect());
        let mut asset = Dictionary::new();
        let mut put = |key: &str, value: Value| asset.insert(key.to_owned(), value);
        put("kind", text("software-package"));
        put("url", text(&self.url));
        put("sha256", text(&self.sha256));
        put("sha256-size", Value::Integer(self.chunk_size.into()));
        put("sha256s", texts(&self.sha256s));
        if let Some(md5s) = &self.md5s {
            put("md5-size", Value::Integer(self.chunk_size.into()));
            put("md5s", texts(md5s));
        }
        let mut metadata = Dictionary::new();
        let mut put = |key: &str, value: &str| metadata.insert(key.to_owned(), text(value));
        put("bundle-identifier", &self.bundle_identifier);
        put("bundle-version", &self.bundle_version);
        put("kind", "software");
        put("title", &self.title);
        if let Some(subtitle) = &self.subtitle {
            put("subtitle", subtitle);
        }
        let mut item = Dictionary::new();
        item.insert("assets".to_owned(), Value::Array(vec![Value::Dictionary(asset)]));
        item.insert("metadata".to_owned(), Value::Dictionary(metadata));
        let mut all = Dictionary::new();
        all.insert("items".to_owned(), Value::Array(vec![Value::Dictionary(item)]));
        let mut out = Vec::new();
        Value::Dictionary(all)
            .to_writer_xml(&mut out)
            .map_err(|e| Error::new(Code::Internal, format!("writing a manifest: {e}")))?;
        out.push(b'\n');
        Ok(out)
    }
}

/// Makes the manifest of a package. The package is inspected, then read once, whatever its size.
///
/// # Errors
/// [`Code::Usage`] for an address that a Mac cannot use and for a chunk size that makes no sense;
/// everything that [`inspect`](crate::inspect) can report; [`Code::MissingValue`],
/// [`Code::Ambiguous`] and [`Code::MetaInvalid`] when the rules leave something open;
/// [`Code::AppleMdm`] with [`AppleManifestOptions::strict`]; what [`SourcePolicy::check`] refuses; [`Code::InputChanged`];
/// [`Code::Cancelled`].
pub fn apple_manifest(
    input: &Input,
    options: &AppleManifestOptions,
    job: &Job,
) -> Result<AppleManifest> {
    url::check(&options.url)?;
    if options.chunk_size == 0 {
        return Err(Error::new(Code::Usage, "a chunk cannot have 0 bytes"));
    }
    let place = |e: Error| in_input(e, input);
    let opened = input.open(job)?;
    let Opened::File { source, .. } = &opened else {
        return Err(place(Error::new(Code::Unsupported, "a folder is not one file").hint(
            "Apple's channel takes a flat package: build one with pkgbuild and productbuild",
        )));
    };
    let size = source.size();
    let chunks = size.div_ceil(options.chunk_size);
    if chunks > MOST_CHUNKS {
        let text = format!("{chunks} chunks are more than {MOST_CHUNKS}");
        return Err(Error::new(Code::Usage, text).hint("give a larger --chunk-size"));
    }
    options.policy.known()?;
    let mut how = options.policy.applied_to(options.inspect.clone());
    if options.strict && how.signatures == SignatureScan::Auto {
        how.signatures = SignatureScan::Full;
    }
    let mut examined = examine(input, &opened, &how, job).map_err(place)?;
    let told = options.id.is_some() && options.version.is_some() && options.title.is_some();
    if let Some(e) = examined.ambiguity.take().filter(|_| !told) {
        return Err(place(e));
    }
    let found = examined.inspection;
    if options.strict && found.apple_mdm.qualifies != Met::Yes {
        return Err(place(refusal(&found.apple_mdm)));
    }
    options.policy.check(&found, &found.warnings).map_err(place)?;
    let named = Named::new(&found, options).map_err(place)?;

    job.report(Event::Started { phase: Phase::Inspect, total: Some(size) });
    // No further than it was long: a file that grows must not be read for ever.
    let mut stream = Section::whole(source.clone()).reader();
    let digests = digests(&mut stream, options.chunk_size, options.md5, job).map_err(place)?;
    job.report(Event::Finished { phase: Phase::Inspect });
    if digests.size != size {
        let text = format!("{} bytes were read where there were {size} before", digests.size);
        return Err(place(Error::new(Code::InputChanged, text)));
    }
    opened.unchanged().map_err(place)?;

    let mut warnings = found.warnings;
    warnings.extend(found.apple_mdm.points.iter().filter(|p| p.met == Met::No).map(|p| {
        Warning::new("W_APPLE_MDM", format!("Apple's channel will not take it: {}", p.detail))
    }));
    Ok(AppleManifest {
        schema_version: REPORT_VERSION,
        output: None,
        url: options.url.clone(),
        size,
        sha256: digests.sha256,
        chunk_size: options.chunk_size,
        sha256s: digests.sha256s,
        md5s: digests.md5s,
        bundle_identifier: named.id,
        bundle_version: named.version,
        title: named.title,
        subtitle: named.subtitle,
        apple_mdm: found.apple_mdm,
        warnings,
    })
}

/// Why a strict manifest is not made.
fn refusal(verdict: &AppleMdm) -> Error {
    let no = |p: &&MdmPoint| p.met == Met::No;
    let open = |p: &&MdmPoint| p.met != Met::Yes;
    let points = &verdict.points;
    let why = points.iter().find(no).or_else(|| points.iter().find(open));
    let why = why.map_or("it was not looked at", |p| p.detail.as_str());
    let word = if verdict.qualifies == Met::No { "does not" } else { "is not known to" };
    Error::new(Code::AppleMdm, format!("Apple's MDM channel {word} take this: {why}"))
}

/// What a person, and the server's inventory, know the package by.
struct Named {
    id: String,
    version: String,
    title: String,
    subtitle: Option<String>,
}

impl Named {
    fn new(found: &Inspection, options: &AppleManifestOptions) -> Result<Self> {
        let pick = |given: &Option<String>, fact: Option<&String>, flag: &str, what: &str| {
            given.as_ref().or(fact).cloned().ok_or_else(|| {
                Error::new(Code::MissingValue, format!("the installer gives no {what}"))
                    .hint(format!("give it with {flag}"))
            })
        };
        let of = &found.identity;
        let value =
            |f: &'_ Option<crate::inspection::Fact<String>>| f.as_ref().map(|f| f.value.clone());
        let (id, version, name) = (value(&of.bundle_id), value(&of.version), value(&of.name));
        let named = Self {
            id: pick(&options.id, id.as_ref(), "--id", "identifier")?,
            version: pick(&options.version, version.as_ref(), "--set-version", "version")?,
            title: pick(&options.title, name.as_ref(), "--title", "name")?,
            subtitle: options.subtitle.clone().or_else(|| developer(found)),
        };
        check_id(&named.id)?;
        check_version(&named.version)?;
        check_name(&named.title)?;
        if let Some(subtitle) = &named.subtitle {
            check_name(subtitle)?;
        }
        // "Must be a string with length greater than one character", an earlier edition of the
        // schema says of both.
        for (what, value) in [("identifier", &named.id), ("title", &named.title)] {
            if value.chars().count() < 2 {
                let text = format!("the {what} \"{}\" has one character only", escape(value));
                return Err(Error::new(Code::MetaInvalid, text).hint(format!(
                    "Apple asks for two or more: give --{}",
                    if what == "title" { "title" } else { "id" }
                )));
            }
        }
        Ok(named)
    }
}

/// The name in a valid signature, where it can be shown.
fn developer(found: &Inspection) -> Option<String> {
    let package = found.trust.package.as_ref().filter(|p| p.state == ClaimState::Valid)?;
    let name = package.signer()?.name.clone()?;
    check_name(&name).is_ok().then_some(name)
}

#[cfg(test)]
mod tests;
