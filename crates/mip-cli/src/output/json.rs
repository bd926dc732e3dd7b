//! JSON for programs: one object on one stdout, errors included.

use mip_base::{Code, Error, Result};
use serde::Serialize;
use serde_json::{Value, json};

/// The version of the objects that the command line adds around those of the library.
pub(crate) const SCHEMA_VERSION: u32 = 1;

/// A library value as JSON.
///
/// # Errors
/// [`Code::Internal`]: the library's types can all be written as JSON.
pub(crate) fn value(of: &impl Serialize) -> Result<Value> {
    serde_json::to_value(of).map_err(|e| Error::new(Code::Internal, format!("writing JSON: {e}")))
}

/// The text of an object, indented, with a line end.
///
/// # Errors
/// [`Code::Internal`], as [`value`].
pub(crate) fn line(value: &Value) -> Result<String> {
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|e| Error::new(Code::Internal, format!("writing JSON: {e}")))?;
    text.push('\n');
    Ok(text)
}

/// The error alone: what stands under `error`. Every key is always there.
pub(crate) fn error_object(e: &Error, exit: u8) -> Value {
    let (limit, value) = e.limit_and_value().unzip();
    json!({
        "code": e.code().text(),
        "exit": exit,
        "kind": e.kind().word(),
        "message": e.message(),
        "path": e.path(),
        "offset": e.offset(),
        "limit": limit,
        "value": value,
        "hint": e.next_step(),
    })
}

/// The whole output of a command that failed.
pub(crate) fn error(e: &Error, exit: u8) -> Value {
    json!({ "schema_version": SCHEMA_VERSION, "error": error_object(e, exit) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_every_key() {
        let e = Error::new(Code::XarRange, "range leaves the heap").at(7).within("a.pkg");
        let v = error(&e, 3);
        let o = v["error"].as_object().unwrap();
        let mut keys: Vec<&str> = o.keys().map(String::as_str).collect();
        keys.sort_unstable();
        let all = ["code", "exit", "hint", "kind", "limit", "message", "offset", "path", "value"];
        assert_eq!(keys, all);
        assert_eq!(o["code"], "E_XAR_RANGE");
        assert_eq!(o["exit"], 3);
        assert_eq!(o["kind"], "malformed");
        assert_eq!(o["offset"], 7);
        assert_eq!(o["path"], "a.pkg");
        assert_eq!(o["limit"], Value::Null);
    }

    #[test]
    fn limits_are_numbers() {
        let v = error(&Error::limit(Code::LimitToc, "toc-bytes", 5, u64::MAX), 5);
        assert_eq!(v["error"]["limit"], 5);
        assert_eq!(v["error"]["value"], u64::MAX);
    }
}
