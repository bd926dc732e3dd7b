//! `mip scripts`: the detection and uninstall scripts for an installer, without an archive.

use mip_base::{Code, Error, Result, escape};
use mip_core::signing::Password;
use mip_core::{Convert, ScriptReport, Scripts};

use crate::args::{ScriptsArgs, is_dash, usage};
use crate::commands::{inspect, shown};
use crate::context::{Context, Reply, about};
use crate::output::json;
use crate::output::text::{Rows, bytes};
use crate::password::Source;

pub(crate) fn run(args: &ScriptsArgs, context: &Context) -> Result<Reply> {
    if is_dash(&args.output) {
        let hint = "give --output a folder";
        return Err(usage("two scripts cannot go to stdout", hint));
    }
    if !args.output.is_dir() {
        return Err(Error::new(Code::OutputPath, "the output folder does not exist")
            .within(args.output.to_string_lossy())
            .hint("make it first"));
    }
    let name = shown(&args.file, &args.stdin.stdin_name);
    let job = context.job(&name);
    let place = |e| about(&args.file, e);
    let input = context.input(&args.file, &args.stdin.stdin_name, &job).map_err(place)?;
    let mut options = inspect::options(&args.look);
    options.hash = args.hash;
    let mut convert = Convert::new().source_policy(inspect::policy(&args.look.policy)?);
    if let Some(v) = &args.id {
        convert = convert.id(v);
    }
    if let Some(v) = &args.name {
        convert = convert.name(v);
    }
    if let Some(v) = &args.set_version {
        convert = convert.version(v);
    }
    let mut work = |password: Option<&Password>| {
        options.image_password = password.cloned();
        let convert = convert.clone().inspect_options(options.clone());
        convert.write_scripts(&input, &args.output, args.force, &job)
    };
    let made = Source::image(&args.look.password).with(&args.file, &mut work).map_err(place)?;
    for w in made.warnings.iter().filter(|w| !w.is_usual()) {
        context.note(&format!("warning[{}]: {}\n  in: {}", w.code, w.message, escape(&name)));
    }
    let text = if context.quiet { String::new() } else { text(&made) };
    Ok(Reply::done(text, json::value(&made)?))
}

fn text(made: &Scripts) -> String {
    let p = &made.product;
    let mut rows = Rows::new();
    for script in &made.scripts {
        row(&mut rows, script);
    }
    format!("{} {} ({})\n{}", escape(&p.name), escape(&p.version), escape(&p.id), rows.text())
}

/// One row about a script.
pub(super) fn row(rows: &mut Rows, script: &ScriptReport) {
    let label = format!("{} script", script.role.word());
    let places = [script.path.as_deref(), script.beside.as_deref()];
    let places: Vec<String> = places.into_iter().flatten().map(escape).collect();
    rows.with(&label, places.join(", "), &bytes(script.bytes));
}
