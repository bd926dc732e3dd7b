//! Scripts that a caller gives: preinstall and postinstall.

use mip_base::{Code, Error, Result, escape, len64};

use super::{Script, ScriptRole};
use crate::inspection::Warning;

/// Largest script that is carried.
const LIMIT: u64 = 1 << 20;

/// Interpreters that every Mac has. Python is not among them: macOS 12.3 took it out.
const ON_EVERY_MAC: [&str; 10] = [
    "/bin/sh",
    "/bin/bash",
    "/bin/zsh",
    "/bin/dash",
    "/bin/ksh",
    "/bin/csh",
    "/bin/tcsh",
    "/usr/bin/osascript",
    "/usr/bin/perl",
    "/usr/bin/ruby",
];

/// Checks a script that was given for `role`.
///
/// # Errors
/// [`Code::Usage`] for what no Mac runs as a script: programs, text without `#!`, lines that end
/// as on Windows, more than 1 MiB.
pub(crate) fn check(role: ScriptRole, bytes: &[u8], warnings: &mut Vec<Warning>) -> Result<Script> {
    let what = role.word();
    let bad = |why: &str, hint: &'static str| {
        Err(Error::new(Code::Usage, format!("the {what} script {why}")).hint(hint))
    };
    if len64(bytes.len()) > LIMIT {
        return bad("has more than 1 MiB", "give the script, not what it installs");
    }
    let Some(text) = std::str::from_utf8(bytes).ok().filter(|t| !t.contains('\0')) else {
        return bad("is a program or not UTF-8 text", "give a script: programs may not be run");
    };
    let Some(line) = text.strip_prefix("#!") else {
        return bad("does not start with #!", "start it with the line #!/bin/sh, say");
    };
    let line = line.split('\n').next().unwrap_or(line);
    if line.ends_with('\r') {
        return bad("has the line ends of Windows", "save it with Unix line ends (LF)");
    }
    let mut words = line.split_ascii_whitespace();
    let interpreter = words.next().unwrap_or_default();
    if !interpreter.starts_with('/') {
        return bad("names no interpreter by its path", "start it with the line #!/bin/sh, say");
    }
    if !ON_EVERY_MAC.contains(&interpreter) {
        let also = match words.next() {
            Some(word) if interpreter == "/usr/bin/env" => format!(" {}", escape(word)),
            _ => String::new(),
        };
        let text = format!(
            "the {what} script is run by {}{also}, which not every Mac has",
            escape(interpreter)
        );
        warnings.push(Warning::new("W_GIVEN_SCRIPT", text));
    }
    Ok(Script { role, generated: false, bytes: bytes.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_mac_runs_is_refused() {
        let mut warnings = Vec::new();
        let mut check = |bytes: &[u8]| check(ScriptRole::Preinstall, bytes, &mut warnings);
        for (bytes, word) in [
            (b"echo hello\n".as_slice(), "#!"),
            (b"", "#!"),
            (b"\xcf\xfa\xed\xfe\x07\0\0\x01", "program"),
            (b"#!/bin/sh\n\0", "program"),
            (b"#!/bin/sh\n\xff", "program"),
            (b"#!/bin/sh\r\necho\r\n", "Windows"),
            (b"#!sh\n", "interpreter"),
            (b"#!\n", "interpreter"),
        ] {
            let e = check(bytes).unwrap_err();
            assert_eq!(e.code(), Code::Usage);
            assert!(e.message().contains(word), "{e}");
        }
        let mut large = b"#!/bin/sh\n".to_vec();
        large.resize(1 << 20, b'#');
        assert!(check(&large).is_ok());
        large.push(b'\n');
        assert!(check(&large).is_err());
        assert!(check(b"#! /bin/bash -e\ntrue\n").is_ok());
        assert!(warnings.is_empty());
    }

    #[test]
    fn an_interpreter_that_not_every_mac_has_is_said() {
        let mut warnings = Vec::new();
        let script = b"#!/usr/bin/env python3\n";
        check(ScriptRole::Postinstall, script, &mut warnings).unwrap();
        assert!(warnings[0].message.contains("/usr/bin/env python3"), "{warnings:?}");
        check(ScriptRole::Postinstall, b"#!/bin/zsh\n", &mut warnings).unwrap();
        assert_eq!(warnings.len(), 1);
    }
}
