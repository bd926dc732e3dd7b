//! `mip verify`: every byte, the signature, the signer.

use mip_base::{Code, Result, escape};
use mip_core::Verification;
use serde_json::{Value, json};

use crate::args::{VerifyArgs, check_streams};
use crate::commands::{shown, signer_line};
use crate::context::{Context, Reply, about};
use crate::keys;
use crate::output::json::{SCHEMA_VERSION, value};
use crate::output::text::{Rows, bytes};

pub(crate) fn run(args: &VerifyArgs, context: &Context) -> Result<Reply> {
    check_streams(&args.files, None, context.json)?;
    let policy = keys::policy(&args.policy)?;
    let mut results: Vec<Value> = Vec::new();
    let mut first: Option<(u8, Value)> = None;
    for file in &args.files {
        let name = shown(file, &args.stdin.stdin_name);
        let job = context.job(&name);
        let verified = context
            .input(file, &args.stdin.stdin_name, &job)
            .and_then(|input| mip_core::verify(&input, &policy, &job));
        let (mut result, error) = match verified {
            Ok(v) => {
                if !context.json && !context.quiet {
                    context.print(&text(&name, &v))?;
                }
                (json!({ "input": name, "verification": value(&v)? }), v.error())
            }
            Err(e) => (json!({ "input": name }), Some(e)),
        };
        if let Some(e) = error.map(|e| about(file, e)) {
            let error = context.failure(&e);
            first.get_or_insert_with(|| (context.exit(&e), error.clone()));
            if let Some(o) = result.as_object_mut() {
                o.insert("error".to_owned(), error);
            }
        }
        results.push(result);
        // Until an error is reported, the next file reports that it was not looked at.
        if context.stopped() && first.is_some() {
            break;
        }
    }
    let (exit, error) = first.unzip();
    let json = json!({ "schema_version": SCHEMA_VERSION, "results": results, "error": error });
    Ok(Reply { text: String::new(), json, exit: exit.unwrap_or(0) })
}

/// What the level alone does not say: a refusal must not look like a success on stdout.
fn but(v: &Verification) -> &'static str {
    match v.error().map(|e| e.code()) {
        None => "",
        Some(Code::MipUnsigned) => ", but not signed",
        Some(Code::NoAnchor | Code::SignerUntrusted) => ", but not trusted",
        Some(_) => ", but not what was expected",
    }
}

fn text(name: &str, v: &Verification) -> String {
    let mut rows = Rows::new();
    rows.add("product", format!("{} {}", escape(&v.product_id), escape(&v.product_version)));
    match &v.signer {
        Some(s) => {
            rows.add("signer", signer_line(s));
            rows.add("signer sha256", s.sha256.clone());
            rows.add("issued by", escape(&s.issuer));
        }
        None => rows.add("signer", "nobody"),
    }
    rows.add("package digest", v.package_digest.clone());
    rows.add("size", bytes(v.bytes));
    format!("{}: {}{}\n{}", escape(name), v.level.word(), but(v), rows.text())
}
