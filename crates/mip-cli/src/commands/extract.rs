//! `mip extract`: unpack, after checking who signed unless told otherwise.

use std::io::{Seek as _, SeekFrom};

use mip_base::{Code, Error, Job, Result, escape};
use mip_core::Extraction;
use mip_core::{Access, Input};

use crate::args::{ExtractArgs, check_streams, is_dash, usage};
use crate::commands::shown;
use crate::context::{Context, Reply, about};
use crate::keys;
use crate::output::text::{Rows, bytes};
use crate::output::{copy_to_stdout, json};

pub(crate) fn run(args: &ExtractArgs, context: &Context) -> Result<Reply> {
    check_streams(std::slice::from_ref(&args.file), Some(&args.output), context.json)?;
    let access = access(args)?;
    let to_stdout = is_dash(&args.output);
    if to_stdout && args.entries.len() != 1 {
        let hint = "name one entry; `mip list` shows them";
        return Err(usage("--output - takes exactly one entry", hint));
    }
    let job = context.job(&shown(&args.file, &args.stdin.stdin_name));
    let place = |e| about(&args.file, e);
    let input = context.input(&args.file, &args.stdin.stdin_name, &job).map_err(place)?;
    if let (true, Some(entry)) = (to_stdout, args.entries.first()) {
        entry_to_stdout(&input, entry, &access, &job).map_err(place)?;
        return Ok(Reply::done(String::new(), serde_json::Value::Null));
    }
    let done =
        mip_core::extract(&input, &args.output, &args.entries, &access, &job).map_err(place)?;
    let text = if context.quiet { String::new() } else { text(&done) };
    Ok(Reply::done(text, json::value(&done)?))
}

/// Who may have signed: nothing is handed out before that is said.
fn access(args: &ExtractArgs) -> Result<Access> {
    if args.unverified {
        return Ok(Access::Unverified);
    }
    if args.policy.anchor.is_empty() {
        return Err(usage(
            "nothing says whom to trust",
            "give --anchor ca.pem, or --unverified to unpack it whoever made it",
        ));
    }
    Ok(Access::Verified(keys::policy(&args.policy)?))
}

/// By way of an unnamed file: stdout gets the whole checked entry, or nothing.
fn entry_to_stdout(input: &Input, entry: &str, access: &Access, job: &Job) -> Result<()> {
    let io = |e| Error::from_io(Code::OutputIo, "cannot use a temporary file", e);
    let mut spool = tempfile::tempfile().map_err(io)?;
    mip_core::extract_entry(input, entry, &mut spool, access, job)?;
    spool.seek(SeekFrom::Start(0)).map_err(io)?;
    copy_to_stdout(spool)
}

fn text(e: &Extraction) -> String {
    let level = e.level.map_or("UNVERIFIED", |l| l.word());
    let mut rows = Rows::new();
    for entry in &e.entries {
        rows.add(&escape(&entry.path), bytes(entry.bytes));
    }
    format!("{} ({level})\n{}", escape(&e.output), rows.text())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser as _;

    #[test]
    fn nothing_is_handed_out_before_trust_is_spoken_of() {
        let parse = |args: &[&str]| match Cli::try_parse_from(args).unwrap().command {
            Command::Extract(a) => a,
            other => panic!("{other:?}"),
        };
        let silent = parse(&["mip", "extract", "a.mip", "-o", "x"]);
        let e = access(&silent).unwrap_err();
        assert_eq!(e.code(), Code::Usage);
        assert!(e.next_step().unwrap().contains("--unverified"));
        let open = parse(&["mip", "extract", "a.mip", "-o", "x", "--unverified"]);
        assert!(matches!(access(&open), Ok(Access::Unverified)));
        let both = ["mip", "extract", "a", "-o", "x", "--unverified", "--anchor", "ca.pem"];
        assert!(Cli::try_parse_from(both).is_err());
    }
}
