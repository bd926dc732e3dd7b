//! `mip convert`: installers in, signed archives out.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mip_base::{Code, Error, Result, escape};
use mip_core::signing::{Password, Signer};
use mip_core::{Convert, Output, PayloadChoice, Report, ScriptChoice};
use serde_json::{Value, json};

use crate::args::{Carry, ConvertArgs, check_streams, is_dash, usage};
use crate::commands::{ToStdout, inspect, scripts, shown, signer_line};
use crate::context::{Context, Reply, about, read_small};
use crate::keys;
use crate::output::json::{SCHEMA_VERSION, value};
use crate::output::text::{Rows, bytes};
use crate::password::Source;

pub(crate) fn run(args: &ConvertArgs, context: &Context) -> Result<Reply> {
    check_streams(&args.files, args.output.as_ref(), context.json)?;
    one_input_only(args)?;
    let target = Target::choose(args.output.as_deref(), args.files.len())?;
    let signer = keys::signer(&args.keys, ("--unsigned", args.unsigned), context)?;
    let convert = builder(args, signer, context)?;

    let mut results: Vec<Value> = Vec::new();
    let mut written: Vec<PathBuf> = Vec::new();
    let mut first: Option<(u8, Value)> = None;
    let mut failed = 0_usize;
    for file in &args.files {
        if context.stopped() {
            break;
        }
        let name = shown(file, &args.stdin.stdin_name);
        match one(args, &convert, file, &target, &mut written, context) {
            Ok(report) => {
                announce(&name, &report, &target, context)?;
                results.push(json!({ "input": name, "report": value(&report)? }));
            }
            Err(e) => {
                failed = failed.saturating_add(1);
                let error = context.failure(&e);
                first.get_or_insert_with(|| (context.exit(&e), error.clone()));
                results.push(json!({ "input": name, "error": error }));
            }
        }
    }
    let done = results.len().saturating_sub(failed);
    let skipped = args.files.len().saturating_sub(results.len());
    if args.files.len() > 1 {
        let rest = if skipped > 0 { format!(", {skipped} not tried") } else { String::new() };
        context.note(&format!("{done} converted, {failed} failed{rest}"));
    }
    // A signal between two inputs has no error of its own.
    if skipped > 0 && first.is_none() {
        return Err(Error::new(Code::Cancelled, "cancelled"));
    }
    let (exit, error) = first.unzip();
    let json = json!({
        "schema_version": SCHEMA_VERSION, "results": results,
        "converted": done, "failed": failed, "not_tried": skipped, "error": error,
    });
    Ok(Reply { text: String::new(), json, exit: exit.unwrap_or(0) })
}

fn one_input_only(args: &ConvertArgs) -> Result<()> {
    if args.files.len() < 2 {
        return Ok(());
    }
    let given = [
        ("--id", args.id.is_some()),
        ("--name", args.name.is_some()),
        ("--set-version", args.set_version.is_some()),
        ("--min-os", args.min_os.is_some()),
        ("--icon", args.icon.is_some()),
        ("--preinstall", args.scripts.preinstall.is_some()),
        ("--postinstall", args.scripts.postinstall.is_some()),
        ("--primary-app", args.look.primary_app.is_some()),
        ("--select", args.look.select.is_some()),
    ];
    match given.iter().find(|(_, yes)| *yes) {
        Some((flag, _)) => Err(usage(
            format!("{flag} is about one input, and there are {}", args.files.len()),
            "convert that input in a call of its own",
        )),
        None => Ok(()),
    }
}

/// Where archives go.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    Folder(PathBuf),
    File(PathBuf),
    Stdout,
}

impl Target {
    fn choose(output: Option<&Path>, inputs: usize) -> Result<Self> {
        let Some(path) = output else { return Ok(Self::Folder(PathBuf::from("."))) };
        let several = |what: &str| {
            let hint = "give --output an existing folder";
            Err(usage(format!("{inputs} archives cannot go to one {what}"), hint))
        };
        if is_dash(path) {
            return if inputs > 1 { several("stdout") } else { Ok(Self::Stdout) };
        }
        if path.is_dir() {
            return Ok(Self::Folder(path.to_path_buf()));
        }
        if path.to_string_lossy().ends_with(['/', std::path::MAIN_SEPARATOR]) {
            return Err(Error::new(Code::OutputPath, "the output folder does not exist")
                .within(path.to_string_lossy())
                .hint("make it first, or leave out the last / to name a file"));
        }
        if inputs > 1 { several("file") } else { Ok(Self::File(path.to_path_buf())) }
    }
}

fn builder(
    args: &ConvertArgs,
    signer: Option<Arc<dyn Signer>>,
    context: &Context,
) -> Result<Convert> {
    let mut c = Convert::new()
        .payload(match args.payload {
            Carry::Auto => PayloadChoice::Auto,
            Carry::Original => PayloadChoice::Original,
            Carry::App => PayloadChoice::App,
            Carry::Pkg => PayloadChoice::Package,
        })
        .allow_unreadable(args.allow_unreadable)
        .source_policy(inspect::policy(&args.look.policy)?);
    if let Some(v) = &args.id {
        c = c.id(v);
    }
    if let Some(v) = &args.name {
        c = c.name(v);
    }
    if let Some(v) = &args.set_version {
        c = c.version(v);
    }
    if let Some(v) = &args.min_os {
        c = c.min_os(v);
    }
    if let Some(path) = &args.icon {
        c = c.icon_png(read_small(path, context.limits().small_file)?.to_vec());
    }
    if args.scripts.no_scripts {
        c = c.scripts(ScriptChoice::None);
    }
    if let Some(path) = &args.scripts.preinstall {
        c = c.preinstall(read_small(path, context.limits().small_file)?.to_vec());
    }
    if let Some(path) = &args.scripts.postinstall {
        c = c.postinstall(read_small(path, context.limits().small_file)?.to_vec());
    }
    if let Some(n) = args.threads {
        c = c.threads(n);
    }
    if let Some(n) = args.compression_level {
        c = c.compression_level(n);
    }
    Ok(match signer {
        Some(s) => c.signer(s),
        None => c.unsigned(),
    })
}

fn one(
    args: &ConvertArgs,
    convert: &Convert,
    file: &Path,
    target: &Target,
    written: &mut Vec<PathBuf>,
    context: &Context,
) -> Result<Report> {
    let job = context.job(&shown(file, &args.stdin.stdin_name));
    let place = |e| about(file, e);
    let (output, stdout) = match target {
        Target::Folder(p) => (Output::folder(p), None),
        Target::File(p) => (Output::file(p), None),
        Target::Stdout => {
            let out = ToStdout::new()?;
            (out.output(), Some(out))
        }
    };
    let input = context.input(file, &args.stdin.stdin_name, &job).map_err(place)?;
    let output = output.force(args.force);
    let mut work = |password: Option<&Password>| {
        let mut options = inspect::options(&args.look);
        options.image_password = password.cloned();
        convert.clone().inspect_options(options).run(&input, &output, &job)
    };
    let report = Source::image(&args.look.password).with(file, &mut work).map_err(place)?;
    if let Some(out) = stdout {
        out.send()?;
    }
    if let Some(path) = report.output.as_ref().map(PathBuf::from) {
        // Without --force the second of two same names is refused before it is written.
        if written.contains(&path) {
            let hint = "two inputs have the same name and version: convert them into two folders";
            return Err(Error::new(
                Code::Exists,
                "this replaced the archive of another input of this call",
            )
            .within(path.to_string_lossy())
            .hint(hint));
        }
        written.push(path);
    }
    Ok(report)
}

/// Tells a person what was made: on stdout, or on stderr when stdout carries the archive.
fn announce(name: &str, report: &Report, target: &Target, context: &Context) -> Result<()> {
    for w in report.warnings.iter().filter(|w| !w.is_usual()) {
        context.note(&format!("warning[{}]: {}\n  in: {}", w.code, w.message, escape(name)));
    }
    if context.json || context.quiet {
        return Ok(());
    }
    let text = text(name, report);
    if *target == Target::Stdout {
        context.note(&text);
        return Ok(());
    }
    context.print(&text)
}

fn text(name: &str, r: &Report) -> String {
    let output = r.output.as_deref().unwrap_or("stdout");
    let mut rows = Rows::new();
    rows.add("product", format!("{} {}", escape(&r.product.id), escape(&r.product.version)));
    rows.add("name", escape(&r.product.name));
    rows.maybe("lowest macOS", r.product.min_os.as_deref());
    if let Some(found) = &r.inspection {
        inspect::trust::summary(&mut rows, found);
    }
    let carried = if r.payload.carried == "original" {
        "the original bytes".to_owned()
    } else {
        format!("packed as {}", r.payload.carried)
    };
    rows.with("payload", escape(&r.payload.path), &carried);
    if let Some(why) = &r.payload.reason {
        rows.with("carried", format!("the {}", r.payload.form), why);
    }
    rows.add("payload size", bytes(r.payload.bytes));
    rows.add("payload sha256", r.payload.sha256.clone());
    if !r.payload.read {
        rows.add("not read", "nothing inside the installer was read");
    }
    for script in &r.scripts {
        scripts::row(&mut rows, script);
    }
    match &r.signed_by {
        Some(s) => rows.add("archive signed by", signer_line(s)),
        None => rows.add("archive signed by", "nobody"),
    }
    rows.add("package digest", r.package_digest.clone());
    format!("{} -> {}, {}\n{}", escape(name), escape(output), bytes(r.bytes), rows.text())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Cli;
    use clap::Parser as _;

    fn parse(args: &[&str]) -> Box<ConvertArgs> {
        let all = ["mip", "convert"].iter().chain(args);
        match Cli::try_parse_from(all).unwrap().command {
            crate::args::Command::Convert(a) => a,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn values_of_one_input_are_refused_for_several() {
        for flag in [
            "--id",
            "--name",
            "--set-version",
            "--min-os",
            "--icon",
            "--preinstall",
            "--postinstall",
            "--primary-app",
            "--select",
        ] {
            let e = one_input_only(&parse(&["a.pkg", "b.pkg", flag, "1"])).unwrap_err();
            assert_eq!(e.code(), Code::Usage);
            assert!(e.message().contains(flag));
            one_input_only(&parse(&["a.pkg", flag, "1"])).unwrap();
        }
    }

    #[test]
    fn the_output_is_a_folder_a_file_or_stdout() {
        let dir = tempfile::tempdir().unwrap();
        let here = Target::Folder(PathBuf::from("."));
        assert_eq!(Target::choose(None, 3).unwrap(), here);
        assert_eq!(Target::choose(Some(dir.path()), 3).unwrap(), Target::Folder(dir.path().into()));
        let file = dir.path().join("a.mip");
        assert_eq!(Target::choose(Some(&file), 1).unwrap(), Target::File(file.clone()));
        assert_eq!(Target::choose(Some(&file), 2).unwrap_err().code(), Code::Usage);
        assert_eq!(Target::choose(Some(Path::new("-")), 1).unwrap(), Target::Stdout);
        assert_eq!(Target::choose(Some(Path::new("-")), 2).unwrap_err().code(), Code::Usage);
        let missing = dir.path().join("no/");
        assert_eq!(Target::choose(Some(&missing), 1).unwrap_err().code(), Code::OutputPath);
    }
}
