//! `mip sign`: another signature on the same archive.

use mip_base::{Result, escape};
use mip_core::SignReport;
use mip_core::{Output, SignHow};

use crate::args::{SignArgs, check_streams, is_dash};
use crate::commands::{ToStdout, shown, signer_line};
use crate::context::{Context, Reply, about};
use crate::keys;
use crate::output::json;
use crate::output::text::{Rows, bytes};

pub(crate) fn run(args: &SignArgs, context: &Context) -> Result<Reply> {
    check_streams(std::slice::from_ref(&args.file), Some(&args.output), context.json)?;
    let signer = keys::signer(&args.keys, ("--remove-signature", args.remove_signature), context)?;
    let how = signer.map_or(SignHow::Remove, SignHow::Sign);
    let stdout = if is_dash(&args.output) { Some(ToStdout::new()?) } else { None };
    let output = stdout.as_ref().map_or_else(|| Output::file(&args.output), ToStdout::output);
    let name = shown(&args.file, &args.stdin.stdin_name);
    let job = context.job(&name);
    let report = context
        .input(&args.file, &args.stdin.stdin_name, &job)
        .and_then(|input| mip_core::sign(&input, &output.force(args.force), &how, &job))
        .map_err(|e| about(&args.file, e))?;
    let mut text = text(&name, &report);
    if let Some(out) = stdout {
        out.send()?;
        context.note(&text);
        text.clear();
    }
    if context.quiet {
        text.clear();
    }
    Ok(Reply::done(text, json::value(&report)?))
}

fn text(name: &str, r: &SignReport) -> String {
    let mut rows = Rows::new();
    match &r.signed_by {
        Some(s) => rows.add("signed by", signer_line(s)),
        None => rows.add("signed by", "nobody: the signature was removed"),
    }
    rows.add("package digest", format!("{} (unchanged)", r.package_digest));
    let output = r.output.as_deref().unwrap_or("stdout");
    format!("{} -> {}, {}\n{}", escape(name), escape(output), bytes(r.bytes), rows.text())
}
