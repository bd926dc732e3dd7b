//! Text from a file as a word of a shell script, so that no shell ever acts on it.

use mip_base::escape;

/// A line that gives the variable `name` exactly the bytes of `value`; `None` for a value with a
/// NUL character, which no variable can hold.
///
/// Between single quotes a shell acts on nothing, so a value stands there as it is, with each
/// quote as `'\''`. A character that would not be seen, or that would start a line, is written
/// by `printf` from octal numbers instead: whoever reads the script sees what it does.
pub(crate) fn assign(name: &str, value: &str) -> Option<String> {
    if value.contains('\0') {
        return None;
    }
    if value.chars().any(mip_base::is_hidden) {
        // Command substitution takes newlines off the end: the full stop keeps them.
        return Some(format!("{name}=$(printf '{}.')\n    {name}=${{{name}%.}}", octal(value)));
    }
    Some(format!("{name}={}", quoted(value)))
}

/// `value` between single quotes.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', "'\\''"))
}

/// `value` as a format of `printf`: ASCII letters and digits as they are, the rest in octal.
fn octal(value: &str) -> String {
    value.bytes().fold(String::new(), |mut out, b| {
        match b {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'/' | b' ' | b'_' => {
                out.push(char::from(b));
            }
            _ => out.push_str(&format!("\\{b:03o}")),
        }
        out
    })
}

/// Text for a comment of one line.
pub(crate) fn comment(text: &str) -> String {
    escape(text)
}
