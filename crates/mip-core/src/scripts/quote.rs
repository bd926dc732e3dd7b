//! Text from a file as a word of a shell script, so that no shell ever acts on it.

use mip_base::escape;

/// A line that gives the variable `name` exactly the bytes of `value`; `None` for a value with a
/// NUL character, which no variable can hold.
///
/// Between single quotes a shell acts on nothing, so a value stands there as it is, with each
/// quote as `'\''`. A value with a character that would not be seen, that would start a line, or
/// that looks as if a shell acted on it (`$` and the backtick) is written by `printf` from octal
/// numbers instead: whoever reads the script sees what it does.
pub(crate) fn assign(name: &str, value: &str) -> Option<String> {
    if value.contains('\0') {
        return None;
    }
    if value.chars().any(|c| mip_base::is_hidden(c) || c == '$' || c == '`') {
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

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Shells that are here, of those that a Mac may have as `sh`, and some more.
    fn shells() -> Vec<Vec<&'static str>> {
        let all: [&[&str]; 6] = [
            &["sh"],
            &["dash"],
            &["bash", "--posix"],
            &["zsh", "--emulate", "sh"],
            &["busybox", "sh"],
            &["mksh"],
        ];
        let starts = |s: &&&[&str]| Command::new(s[0]).arg("-c").arg(":").output().is_ok();
        all.iter().filter(starts).map(|s| s.to_vec()).collect()
    }

    /// What every shell reads back.
    #[track_caller]
    fn round_trip(values: &[String]) {
        let mut script = String::from("LC_ALL=C\nf() {\n");
        for value in values {
            script.push_str(&format!(
                "    {}\n    printf '%s.\\0' \"$v\"\n",
                assign("v", value).unwrap()
            ));
        }
        script.push_str("}\nf\n");
        let want: Vec<u8> = values.iter().flat_map(|v| format!("{v}.\0").into_bytes()).collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &script).unwrap();
        for shell in shells() {
            let out = Command::new(shell[0]).args(&shell[1..]).arg(file.path()).output().unwrap();
            assert!(out.stderr.is_empty(), "{shell:?}: {}", String::from_utf8_lossy(&out.stderr));
            assert!(out.stdout == want, "{shell:?}: {:?}", String::from_utf8_lossy(&out.stdout));
        }
    }

    #[test]
    fn hostile_values_come_back_as_they_are() {
        let values = [
            "",
            " ",
            "'",
            "''",
            "\\",
            "\\'",
            "$(reboot)",
            "`reboot`",
            "$HOME",
            "\n",
            "a\n",
            "\n\n'\n",
            "\r\n",
            "-n",
            "-e \\n",
            "%s%d%",
            "\\n\\0",
            "\u{1b}[31m",
            "\u{202e}gpj",
            "\u{7f}",
            "\u{85}",
            "\u{2028}",
            "é",
            "大\n大",
            "*",
            "?[a-z]",
            "~root",
            "!!",
            "#x",
            "a;b|c&d<e>f(g){h}",
            "\"",
            "'\"'\"'",
            "END\n",
            "1\n2",
            "\u{1}0",
            "$'\\n'",
        ];
        round_trip(&values.map(str::to_owned));
    }

    #[test]
    fn any_value_comes_back_as_it_is() {
        let alphabet: Vec<char> =
            "'\\\"$`\n\r\t!%*?~#;&|<>(){}[]=-0189 azAZ.\u{1}\u{1b}\u{7f}\u{e9}\u{202e}\u{1f600}"
                .chars()
                .collect();
        let mut seed: u64 = 0x2545_f491_4f6c_dd1d;
        let mut next = |below: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            usize::try_from(seed % below as u64).unwrap()
        };
        let values: Vec<String> = (0..3000)
            .map(|_| (0..next(12)).map(|_| alphabet[next(alphabet.len())]).collect())
            .collect();
        round_trip(&values);
    }

    #[test]
    fn what_is_written_can_be_read_and_starts_no_line() {
        assert_eq!(assign("v", "it's").unwrap(), "v='it'\\''s'");
        assert_eq!(assign("v", "a$\n").unwrap(), "v=$(printf 'a\\044\\012.')\n    v=${v%.}");
        assert_eq!(assign("v", "a\0b"), None);
        for odd in ["\u{202e}", "\u{1b}", "$(x)", "`x`"] {
            let text = assign("v", odd).unwrap();
            let value = text.strip_suffix("\n    v=${v%.}").unwrap();
            assert!(!value.contains(odd), "{text}");
        }
        assert_eq!(comment("a\nb"), "a\\u{a}b");
    }
}
