//! `mip manifest`: the property list for Apple's own MDM channel.

use mip_base::{Result, escape};
use mip_core::inspection::{Met, Warning};
use mip_core::signing::Password;
use mip_core::{AppleManifest, AppleManifestOptions, Output, apple_manifest};

use crate::args::{ManifestArgs, check_streams, is_dash};
use crate::commands::{inspect, shown};
use crate::context::{Context, Reply, about};
use crate::output::json;
use crate::output::text::{Rows, bytes};
use crate::password::Source;

pub(crate) fn run(args: &ManifestArgs, context: &Context) -> Result<Reply> {
    check_streams(std::slice::from_ref(&args.file), args.output.as_ref(), context.json)?;
    let name = shown(&args.file, &args.stdin.stdin_name);
    let job = context.job(&name);
    let place = |e| about(&args.file, e);
    let output = args.output.as_deref().filter(|o| !is_dash(o));
    let input = context.input(&args.file, &args.stdin.stdin_name, &job).map_err(place)?;
    let new = output.map(|path| Output::file(path).force(args.force));
    new.iter().try_for_each(|new| new.check(&input))?;
    let mut options = options(args)?;
    let mut work = |password: Option<&Password>| {
        options.inspect.image_password = password.cloned();
        apple_manifest(&input, &options, &job)
    };
    let mut made = Source::image(&args.look.password).with(&args.file, &mut work).map_err(place)?;
    let plist = made.to_plist()?;
    let mut text = String::new();
    if let (Some(new), Some(path)) = (new, output) {
        let lost = new.write(&input, &plist)?;
        made.warnings.extend(lost.map(|w| Warning::new("W_DURABILITY", w)));
        made.output = Some(path.to_string_lossy().into_owned());
        text = summary(&name, &made);
    } else if !context.json {
        text = String::from_utf8_lossy(&plist).into_owned();
    }
    for w in made.warnings.iter().filter(|w| !w.is_usual()) {
        context.note(&format!("warning[{}]: {}\n  in: {}", w.code, w.message, escape(&name)));
    }
    if output.is_some() && context.quiet {
        text.clear();
    }
    Ok(Reply::done(text, json::value(&made)?))
}

fn options(args: &ManifestArgs) -> Result<AppleManifestOptions> {
    let mut options = AppleManifestOptions::new(&args.url);
    options.chunk_size = args.chunk_size;
    options.md5 = args.md5;
    options.strict = args.strict;
    options.id = args.id.clone();
    options.version = args.set_version.clone();
    options.title = args.title.clone();
    options.subtitle = args.subtitle.clone();
    options.inspect = inspect::options(&args.look);
    options.policy = inspect::policy(&args.look.policy)?;
    Ok(options)
}

fn summary(name: &str, m: &AppleManifest) -> String {
    let output = m.output.as_deref().unwrap_or("stdout");
    let mut rows = Rows::new();
    rows.add("identifier", escape(&m.bundle_identifier));
    rows.add("version", escape(&m.bundle_version));
    rows.add("title", escape(&m.title));
    rows.maybe("subtitle", m.subtitle.as_deref());
    rows.add("url", escape(&m.url));
    rows.add("size", bytes(m.size));
    rows.add("sha256", m.sha256.clone());
    rows.add("chunks", format!("{} of {}", m.sha256s.len(), bytes(m.chunk_size)));
    let verdict = match m.apple_mdm.qualifies {
        Met::Yes => "takes it, as far as the file tells",
        Met::No => "does not take it",
        Met::Unknown => "is not known to take it",
    };
    rows.add("Apple's channel", verdict);
    format!("{} -> {}\n{}", escape(name), escape(output), rows.text())
}
