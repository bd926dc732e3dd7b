//! Whether a value from a file, or from the caller, may enter an archive and a file name.

use mip_base::{Code, Error, Result, escape};

/// Longest identifier, version or name in bytes.
const MAX_BYTES: usize = 255;

/// Checks a bundle or package identifier.
///
/// # Errors
/// [`Code::MetaInvalid`] when it is empty, longer than 255 bytes, starts with `-` or `.`, or
/// holds a control or hidden character, a path separator, `..` or a character that a shell
/// acts on. Blanks and round brackets are allowed: real packages have them.
pub fn check_id(id: &str) -> Result<()> {
    check("identifier", id, true)
}

/// Checks a version; the rules are those of [`check_id`].
///
/// # Errors
/// [`Code::MetaInvalid`].
pub fn check_version(version: &str) -> Result<()> {
    check("version", version, true)
}

/// Checks a name to show. It may hold any visible character.
///
/// # Errors
/// [`Code::MetaInvalid`] when it is empty, longer than 255 bytes, or holds a control or
/// hidden character.
pub fn check_name(name: &str) -> Result<()> {
    check("name", name, false)
}

fn check(what: &str, value: &str, strict: bool) -> Result<()> {
    let shown: String = value.chars().take(64).collect();
    let bad = |why: &str| {
        Err(Error::new(Code::MetaInvalid, format!("the {what} \"{}\" {why}", escape(&shown))))
    };
    if value.trim().is_empty() {
        return bad("is empty");
    }
    if value.len() > MAX_BYTES {
        return bad("is longer than 255 bytes");
    }
    // XML 1.0 has no way to write these two, and the manifest is XML.
    if value.contains(['\u{FFFE}', '\u{FFFF}']) {
        return bad("holds a character that is none");
    }
    // What `escape` changes, apart from the backslash, is what cannot be seen.
    if value.chars().any(|c| c != '\\' && escape(c.encode_utf8(&mut [0; 4])).len() != c.len_utf8())
    {
        return bad("holds a control or hidden character");
    }
    if value.trim() != value {
        return bad("starts or ends with a blank");
    }
    if !strict {
        return Ok(());
    }
    if value.starts_with(['-', '.']) || value.contains("..") {
        return bad("starts with \"-\" or \".\", or holds \"..\"");
    }
    if value.contains(['/', '\\', ':']) {
        return bad("holds a path separator");
    }
    if value.contains([
        '`', '$', ';', '|', '&', '<', '>', '"', '\'', '*', '?', '!', '#', '~', '{', '}', '[', ']',
        '%',
    ]) {
        return bad("holds a character that a shell acts on");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f09_values_that_could_do_harm_are_refused() {
        let long = "x".repeat(10 << 10);
        for bad in [
            "",
            " ",
            "-rf",
            "../x",
            "a/b",
            "a\\b",
            "a:b",
            "com.x\n",
            "com.\u{202e}x",
            "a\0b",
            "a\u{7f}",
            &long,
            "$(reboot)",
            "a;b",
            "a|b",
            "a`b`",
            "a&b",
            "a\"b",
            "a'b",
            "..",
            ".hidden",
            "1..0",
            " a",
            "a ",
        ] {
            assert_eq!(check_id(bad).unwrap_err().code(), Code::MetaInvalid, "{bad:?}");
            assert_eq!(check_version(bad).unwrap_err().code(), Code::MetaInvalid, "{bad:?}");
        }
        for bad in ["", "a\nb", "\u{200b}", &long, "a\x1b[31m"] {
            assert_eq!(check_name(bad).unwrap_err().code(), Code::MetaInvalid, "{bad:?}");
        }
    }

    #[test]
    fn f09_values_of_real_installers_pass() {
        for id in [
            "com.example.app",
            "(null).fix.root.pkg",
            "com.nhgri.pkg.Keychain Minder 1.5",
            "org.app_1-x",
            "com.größe",
        ] {
            check_id(id).unwrap();
        }
        for v in ["1", "4.2 Enhanced", "1.0.0-beta+5", "2.0 (123)", "11.0", "1,2"] {
            check_version(v).unwrap();
        }
        check_name("Tool & Friends: Größe / \"大\"").unwrap();
        assert!(check_id(&"x".repeat(255)).is_ok() && check_id(&"x".repeat(256)).is_err());
    }
}
