//! `mip completions`: a completion script from the same definition as the options.

use mip_base::{Code, Error, Result};
use serde_json::json;

use crate::args::CompletionsArgs;
use crate::context::Reply;
use crate::output::json::SCHEMA_VERSION;

pub(crate) fn run(args: &CompletionsArgs) -> Result<Reply> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::command(), "mip", &mut script);
    let script = String::from_utf8(script)
        .map_err(|_| Error::new(Code::Internal, "the completion script is not UTF-8"))?;
    let json = json!({
        "schema_version": SCHEMA_VERSION, "shell": args.shell.to_string(), "script": script,
    });
    Ok(Reply::done(script, json))
}
