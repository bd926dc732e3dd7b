//! `mip formats` and `mip exit-codes`: tables that the library owns.

use mip_base::{CODES, Kind};
use mip_core::FORMATS;
use mip_core::inspection::WARNINGS;
use serde_json::json;

use crate::context::Reply;
use crate::output::json::SCHEMA_VERSION;

/// The formats that are recognised.
pub(crate) fn formats() -> Reply {
    let mut text = String::new();
    for f in FORMATS {
        let state = if f.supported { "converted" } else { "not converted" };
        text.push_str(&format!(
            "{} ({state})\n  recognised by  {}\n  notes          {}\n",
            f.name, f.recognised_by, f.notes
        ));
    }
    let rows: Vec<_> = FORMATS
        .iter()
        .map(|f| {
            json!({
                "name": f.name, "recognised_by": f.recognised_by,
                "supported": f.supported, "notes": f.notes,
            })
        })
        .collect();
    Reply::done(text, json!({ "schema_version": SCHEMA_VERSION, "formats": rows }))
}

/// Exit statuses that have no kind of error: status, word, meaning.
const OTHERS: &[(u8, &str, &str)] = &[
    (0, "ok", "done; verify: trusted, or expected"),
    (129, "hangup", "stopped by SIGHUP"),
    (143, "terminated", "stopped by SIGTERM"),
];

/// Every exit status with the codes behind it, and the warnings.
pub(crate) fn exit_codes() -> Reply {
    let mut rows: Vec<(u8, &str, &str, Option<Kind>)> =
        OTHERS.iter().map(|(exit, word, meaning)| (*exit, *word, *meaning, None)).collect();
    rows.extend(Kind::ALL.iter().map(|k| (k.exit(), k.word(), k.meaning(), Some(*k))));
    rows.sort_by_key(|r| r.0);

    let mut text = String::new();
    let mut list = Vec::new();
    for (exit, word, meaning, kind) in rows {
        text.push_str(&format!("{exit:>3}  {word:<13}  {meaning}\n"));
        let mut codes = Vec::new();
        for c in CODES.iter().filter(|c| Some(c.code.kind()) == kind) {
            let (code, what, hint) = (c.code.text(), c.meaning.trim(), c.code.hint());
            text.push_str(&format!("       {code:<22} {what}\n"));
            codes.push(json!({ "code": code, "meaning": what, "hint": hint }));
        }
        list.push(json!({ "exit": exit, "kind": word, "meaning": meaning, "codes": codes }));
    }
    text.push_str("\nWith several inputs the status is that of the first failure.\n");
    text.push_str("\nWarnings; --deny CODE makes one of them an error (E_DENIED):\n\n");
    let mut warnings = Vec::new();
    for w in WARNINGS {
        text.push_str(&format!("     {:<24} {}\n", w.code, w.meaning));
        let row = json!({ "code": w.code, "meaning": w.meaning, "advice": w.advice });
        warnings.push(row);
    }
    let json = json!({
        "schema_version": SCHEMA_VERSION, "exit_codes": list, "warnings": warnings,
    });
    Reply::done(text, json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_in_the_table_once() {
        let reply = exit_codes();
        for c in CODES {
            let line = format!("       {:<22} ", c.code.text());
            assert_eq!(reply.text.matches(&line).count(), 1, "{}", c.code.text());
        }
        for w in WARNINGS {
            assert_eq!(
                reply.text.matches(&format!("     {:<24} ", w.code)).count(),
                1,
                "{}",
                w.code
            );
        }
        assert_eq!(reply.json["warnings"].as_array().unwrap().len(), WARNINGS.len());
        let json = reply.json["exit_codes"].as_array().unwrap();
        let exits: Vec<u64> = json.iter().map(|r| r["exit"].as_u64().unwrap()).collect();
        assert!(exits.windows(2).all(|w| w[0] < w[1]), "{exits:?}");
    }
}
