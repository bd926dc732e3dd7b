//! `mip list`: what an archive says of itself.

use mip_base::{Result, escape};
use mip_core::Listing;

use crate::args::ListArgs;
use crate::commands::shown;
use crate::context::{Context, Reply, about};
use crate::output::json;

pub(crate) fn run(args: &ListArgs, context: &Context) -> Result<Reply> {
    let name = shown(&args.file, &args.stdin.stdin_name);
    let job = context.job(&name);
    let listing = context
        .input(&args.file, &args.stdin.stdin_name, &job)
        .and_then(|input| mip_core::list(&input, &job))
        .map_err(|e| about(&args.file, e))?;
    Ok(Reply::done(text(&name, &listing), json::value(&listing)?))
}

fn text(name: &str, l: &Listing) -> String {
    let profile = l.profile.as_deref().map_or_else(|| "unknown".to_owned(), escape);
    let mut out = format!(
        "{}: UNVERIFIED, nothing below was checked (mip verify checks)\n  profile  {profile}\n\n",
        escape(name)
    );
    out.push_str(&format!("  {:>14} {:>14}  {:<8}  {}\n", "BYTES", "STORED", "METHOD", "PATH"));
    for e in &l.entries {
        let method = match e.method {
            0 => "stored".to_owned(),
            8 => "deflate".to_owned(),
            other => other.to_string(),
        };
        // The path is escaped already.
        out.push_str(&format!(
            "  {:>14} {:>14}  {method:<8}  {}\n",
            e.bytes, e.stored_bytes, e.path
        ));
    }
    out
}
