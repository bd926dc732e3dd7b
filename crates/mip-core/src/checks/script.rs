//! What an admin looks for in an installer's scripts: interpreters and commands that a Mac does
//! not have, downloads, questions to a user who may not be there.
//!
//! The text is read as a person skims it, never run. What is found is a reason to look, not a
//! verdict: a script may check first whether a command is there.

use mip_base::escape;

use crate::inspection::ScriptFinding;

/// Bytes of a script that are looked at.
pub(crate) const TEXT: u64 = 64 << 10;
/// Findings of one script that are kept.
const MOST: usize = 40;
/// Lines of a script that are kept, and characters of each.
const HEAD_LINES: usize = 20;
const HEAD_CHARS: usize = 200;

/// Commands that a Mac does not have (any more), in any folder of the system.
///
/// Python 2: macOS 12.3 release notes. PHP: macOS 12. telnet and ftp: macOS 10.13. Startup items:
/// macOS 10.10. NetInfo: Mac OS X 10.5.
const GONE: &[(&[&str], &str)] = &[
    (
        &["python", "pythonw", "python2", "python2.7", "python2.6", "python2.5", "python2.3"],
        "Python 2 is gone since macOS 12.3",
    ),
    (&["php"], "PHP is gone since macOS 12"),
    (&["telnet", "ftp"], "gone since macOS 10.13"),
    (&["SystemStarter"], "startup items are gone since macOS 10.10"),
    (&["nicl", "niutil", "nidump", "niload"], "NetInfo is gone since Mac OS X 10.5"),
    (
        &[
            "wget",
            "apt-get",
            "yum",
            "dnf",
            "dpkg",
            "rpm",
            "systemctl",
            "useradd",
            "usermod",
            "groupadd",
            "brew",
            "port",
        ],
        "not part of macOS",
    ),
    (
        &[
            "python3",
            "pip3",
            "git",
            "make",
            "gcc",
            "g++",
            "cc",
            "clang",
            "swift",
            "xcodebuild",
            "SetFile",
            "GetFileInfo",
            "Rez",
            "DeRez",
        ],
        "there only with Xcode or the Command Line Tools",
    ),
    (&["java", "javac"], "there only where a Java is installed"),
];

/// Interpreters that are still there, but that Apple has said will go (macOS 10.15 release notes).
const GOING: &[&str] = &["perl", "ruby", "tclsh", "wish"];

/// Interpreters of shell scripts.
const SHELLS: &[&str] = &["sh", "bash", "zsh", "ksh", "dash", "csh", "tcsh"];

/// Folders of commands that belong to macOS.
const SYSTEM: &[&str] = &["/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/", "/usr/libexec/"];

/// The first lines of a script, each cut; as they are, not escaped.
pub(crate) fn head(text: &[u8]) -> Vec<String> {
    let line = |l: &str| l.chars().take(HEAD_CHARS).collect();
    lines(text).take(HEAD_LINES).map(|l| line(&l)).collect()
}

fn lines(text: &[u8]) -> impl Iterator<Item = String> + '_ {
    text.split(|b| *b == b'\n').map(|l| {
        let l = l.strip_suffix(b"\r").unwrap_or(l);
        String::from_utf8_lossy(l).into_owned()
    })
}

/// Whether it is text as far as its start shows.
pub(crate) fn is_text(data: &[u8]) -> bool {
    !data.iter().take(1024).any(|b| *b == 0)
}

/// What is to be said about a script that starts with `text`. `runs` says that the Installer
/// runs it itself.
pub(crate) fn look(text: &[u8], interpreter: Option<&str>, runs: bool) -> Vec<ScriptFinding> {
    let mut out = Findings::default();
    if !is_text(text) {
        return out.0;
    }
    let shell = match interpreter {
        Some(line) => self::interpreter(line, &mut out),
        None if runs => {
            out.add("W_SCRIPT_NO_INTERPRETER", 1, "no interpreter line (#!)".to_owned());
            true
        }
        // A helper file without such a line need not be a script.
        None => false,
    };
    if shell {
        self::shell(text, &mut out);
    }
    out.0
}

#[derive(Default)]
struct Findings(Vec<ScriptFinding>);

impl Findings {
    fn add(&mut self, code: &'static str, line: u32, text: String) {
        let same = |f: &ScriptFinding| f.code == code && f.line == line && f.text == text;
        if self.0.len() < MOST && !self.0.iter().any(same) {
            self.0.push(ScriptFinding { code, line, text });
        }
    }
}

/// What follows `#!`; whether it is a shell.
fn interpreter(line: &str, out: &mut Findings) -> bool {
    const CODE: &str = "W_SCRIPT_INTERPRETER";
    let mut words = line.split_whitespace();
    let first = words.next().unwrap_or_default();
    let by_env = first.rsplit('/').next() == Some("env");
    let path = if by_env {
        words.find(|w| !w.starts_with('-') && !w.contains('=')).unwrap_or_default()
    } else {
        first
    };
    let name = path.rsplit('/').next().unwrap_or(path);
    let in_system = by_env || SYSTEM.iter().any(|s| path.strip_prefix(s) == Some(name));
    if !in_system {
        out.add(CODE, 1, format!("{} is not part of macOS", escape(path)));
    } else if let Some(why) = gone(name) {
        out.add(CODE, 1, format!("{} ({why})", escape(line)));
    } else if GOING.contains(&name) {
        let why = "Apple has said that it will go; it was still there in macOS 26";
        out.add(CODE, 1, format!("{} ({why})", escape(line)));
    }
    SHELLS.contains(&name)
}

fn gone(name: &str) -> Option<&'static str> {
    GONE.iter().find(|(names, _)| names.contains(&name)).map(|(_, why)| *why)
}

/// A command of a shell script and its arguments, without quotes.
#[derive(Default)]
struct Command {
    words: Vec<String>,
    /// Files that output is written to.
    writes: Vec<String>,
}

fn shell(text: &[u8], out: &mut Findings) {
    let mut until: Option<String> = None;
    for (n, line) in lines(text).enumerate() {
        let n = u32::try_from(n).unwrap_or(u32::MAX).saturating_add(1);
        if let Some(end) = &until {
            if line.trim() == end {
                until = None;
            }
            continue;
        }
        if n == 1 && line.starts_with("#!") {
            continue;
        }
        until = here_document(&line);
        for command in commands(&line) {
            judge(&command, n, out);
        }
    }
}

/// The word that ends the text which a `<<WORD` of this line begins.
fn here_document(line: &str) -> Option<String> {
    let (before, rest) = line.split_once("<<")?;
    if rest.starts_with('<') || before.trim_start().starts_with('#') {
        return None;
    }
    let rest = rest.trim_start_matches('-').trim_start().trim_start_matches(['\'', '"', '\\']);
    let word: String =
        rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    (!word.is_empty()).then_some(word)
}

/// The simple commands of one line, words without their quotes.
fn commands(line: &str) -> Vec<Command> {
    let mut all = vec![Command::default()];
    let mut word = String::new();
    let (mut quote, mut to_file, mut any) = (None, false, false);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some('\''), '\'') | (Some('"'), '"') => quote = None,
            (Some('\''), _) => word.push(c),
            (None, '\'' | '"') => (quote, any) = (Some(c), true),
            (_, '\\') => word.extend(chars.next()),
            (Some(_), '$') if chars.peek() == Some(&'(') => {
                end_word(&mut all, &mut word, &mut any, &mut to_file);
                chars.next();
                // What is quoted inside is rarely more than an argument.
                (quote, to_file) = (None, false);
                all.push(Command::default());
            }
            (Some(_), '`') | (None, ';' | '|' | '&' | '(' | ')' | '`') => {
                end_word(&mut all, &mut word, &mut any, &mut to_file);
                quote = None;
                all.push(Command::default());
            }
            (Some(_), _) => word.push(c),
            (None, '#') if word.is_empty() && !any => break,
            (None, '>') => {
                // `2>` is no word of its own.
                if word.chars().all(|c| c.is_ascii_digit()) {
                    word.clear();
                }
                end_word(&mut all, &mut word, &mut any, &mut to_file);
                while chars.peek().is_some_and(|c| matches!(c, '>' | '|')) {
                    chars.next();
                }
                // `>&2` goes to no file.
                match chars.peek() {
                    Some('&') => _ = (chars.next(), chars.next()),
                    _ => to_file = true,
                }
            }
            (None, c) if c.is_whitespace() => {
                end_word(&mut all, &mut word, &mut any, &mut to_file);
            }
            (None, _) => word.push(c),
        }
    }
    end_word(&mut all, &mut word, &mut any, &mut to_file);
    all.retain(|c| !c.words.is_empty() || !c.writes.is_empty());
    all
}

fn end_word(all: &mut [Command], word: &mut String, any: &mut bool, to_file: &mut bool) {
    if let Some(last) = all.last_mut()
        && (!word.is_empty() || *any)
    {
        let list = if *to_file { &mut last.writes } else { &mut last.words };
        list.push(std::mem::take(word));
        *to_file = false;
    }
    *any = false;
}

/// Words before a command that do not change which it is.
const BEFORE: &[&str] = &[
    "if", "then", "else", "elif", "do", "while", "until", "!", "{", "}", "time", "exec", "command",
    "nohup", "builtin", "eval",
];

fn judge(command: &Command, line: u32, out: &mut Findings) {
    let mut words = command.words.iter().map(String::as_str).peekable();
    let is_assignment = |w: &str| {
        w.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        })
    };
    while let Some(word) = words.peek().copied() {
        if let Some((_, value)) = word.split_once('=').filter(|_| is_assignment(word)) {
            missing(value, true, line, out);
        } else if matches!(word, "sudo" | "env") {
            words.next();
            while let Some(option) = words.peek().filter(|w| w.starts_with('-')) {
                let with_value = *option == "-u" || *option == "-g";
                words.next();
                if with_value {
                    words.next();
                }
            }
            continue;
        } else if !BEFORE.contains(&word) {
            break;
        }
        words.next();
    }
    let called = words.next().unwrap_or_default();
    let arguments: Vec<&str> = words.collect();
    let name = if called.starts_with('/') {
        match SYSTEM.iter().find_map(|s| called.strip_prefix(s)) {
            Some(name) => name,
            None => called.rsplit('/').next().unwrap_or(called),
        }
    } else {
        called
    };
    missing(called, false, line, out);
    // Asking whether something is there is no use of it.
    if !matches!(name, "[" | "[[" | "test" | "which" | "type" | "hash" | "echo" | "-v") {
        for a in &arguments {
            missing(a, true, line, out);
        }
    }
    let shown = || {
        let all: Vec<&str> = std::iter::once(called).chain(arguments.iter().copied()).collect();
        let text: String = all.join(" ").chars().take(60).collect();
        escape(&text)
    };
    let has = |word: &str| arguments.contains(&word);
    match name {
        "curl" | "nscurl" => out.add("W_SCRIPT_DOWNLOADS", line, shown()),
        "softwareupdate" if !has("-l") && !has("--list") => {
            out.add("W_SCRIPT_DOWNLOADS", line, shown());
        }
        "installer" if has("-pkg") || has("-package") => {
            out.add("W_SCRIPT_INSTALLS", line, shown());
        }
        "osascript" | "open" | "jamfHelper" | "CocoaDialog" => {
            out.add("W_SCRIPT_USER", line, shown());
        }
        "spctl" if has("--master-disable") || has("--global-disable") => {
            let text = format!("{} (does nothing since macOS 15)", shown());
            out.add("W_SCRIPT_COMMAND", line, text);
        }
        _ => {}
    }
    let home = |w: &&str| {
        let w = w.trim_start_matches(['{', '(']);
        w.starts_with("~/") || w.contains("$HOME") || w.contains("${HOME}")
    };
    let all = command.words.iter().chain(&command.writes).map(String::as_str);
    if let Some(word) = all.clone().find(home) {
        let text: String = word.chars().take(60).collect();
        out.add("W_SCRIPT_USER", line, escape(&text));
    }
    let changed: Vec<&str> = match name {
        "rm" | "mkdir" | "chmod" | "chown" | "chflags" | "touch" | "mv" | "rmdir" => {
            arguments.clone()
        }
        "cp" | "ditto" | "ln" | "install" | "tee" => {
            arguments.last().copied().into_iter().collect()
        }
        _ => Vec::new(),
    };
    let written = command.writes.iter().map(String::as_str);
    if let Some(path) = changed.into_iter().chain(written).find(|p| is_sealed(p)) {
        let text: String = path.chars().take(100).collect();
        out.add("W_SCRIPT_SYSTEM", line, escape(&text));
    }
}

/// Whether a path is on the volume of the system, which is read-only since macOS 10.15.
fn is_sealed(path: &str) -> bool {
    let sealed = ["/System/", "/bin/", "/sbin/", "/usr/"];
    let open = ["/System/Volumes/Data/", "/usr/local/"];
    sealed.iter().any(|s| path.starts_with(s))
        && !open.iter().any(|s| path.starts_with(s))
        && path != "/usr/local"
}

/// Says so if `word` is a command that a Mac does not have; `argument`: only with its path.
fn missing(word: &str, argument: bool, line: u32, out: &mut Findings) {
    let in_system = SYSTEM.iter().find_map(|s| word.strip_prefix(s));
    let name = match in_system {
        Some(name) => name,
        None if argument || word.contains('/') => return,
        None => word,
    };
    if let Some(why) = gone(name) {
        out.add("W_SCRIPT_COMMAND", line, format!("{} ({why})", escape(word)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(&'static str, u32, String)> {
        let first = text.lines().next().and_then(|l| l.strip_prefix("#!"));
        look(text.as_bytes(), first.map(str::trim), true)
            .into_iter()
            .map(|f| (f.code, f.line, f.text))
            .collect()
    }

    fn codes(line: &str) -> Vec<&'static str> {
        found(&format!("#!/bin/sh\n{line}\n")).into_iter().map(|f| f.0).collect()
    }

    #[test]
    fn interpreters_that_a_mac_does_not_have_are_said() {
        for bad in [
            "/usr/bin/python",
            "/usr/bin/env python",
            "/usr/bin/python2.7 -u",
            "/usr/bin/php",
            "/usr/local/bin/bash",
            "/opt/homebrew/bin/python3",
            "/usr/bin/python3",
            "/usr/bin/perl -w",
            "/usr/bin/ruby",
            "/usr/bin/env -S node",
        ] {
            let f = found(&format!("#!{bad}\nx=1\n"));
            // What `env` finds is not known by its name alone.
            let want = usize::from(!bad.ends_with("node"));
            assert_eq!(f.iter().filter(|f| f.0 == "W_SCRIPT_INTERPRETER").count(), want, "{bad}");
        }
        for good in [
            "/bin/sh",
            "/bin/bash -e",
            "/bin/zsh --no-rcs",
            "/usr/bin/osascript",
            "/usr/bin/env bash",
        ] {
            assert!(found(&format!("#!{good}\n:\n")).is_empty(), "{good}");
        }
    }

    #[test]
    fn a_script_without_interpreter_line_is_said_once_and_still_read() {
        let f = found("echo hello\ncurl -O https://example.com/x\n");
        assert_eq!(
            f.iter().map(|f| (f.0, f.1)).collect::<Vec<_>>(),
            [("W_SCRIPT_NO_INTERPRETER", 1), ("W_SCRIPT_DOWNLOADS", 2)]
        );
        assert!(look(b"curl x", None, false).is_empty(), "a helper file need not be a script");
        assert!(look(b"\xcf\xfa\xed\xfe\0\0\0", None, true).is_empty(), "a program is no text");
    }

    #[test]
    fn commands_are_found_where_they_are_called() {
        for (line, want) in [
            ("/usr/bin/python -c 'print(1)'", "W_SCRIPT_COMMAND"),
            ("X=$(python -c 'print 1')", "W_SCRIPT_COMMAND"),
            ("X=\"$(/usr/bin/python foo.py)\"", "W_SCRIPT_COMMAND"),
            ("X=`php x`", "W_SCRIPT_COMMAND"),
            ("PYTHON=/usr/bin/python", "W_SCRIPT_COMMAND"),
            ("if ! python x; then", "W_SCRIPT_COMMAND"),
            ("sudo -u nobody wget http://x", "W_SCRIPT_COMMAND"),
            ("echo x | python", "W_SCRIPT_COMMAND"),
            ("true && git clone x", "W_SCRIPT_COMMAND"),
            ("LANG=C python x", "W_SCRIPT_COMMAND"),
            ("spctl --master-disable", "W_SCRIPT_COMMAND"),
            ("/usr/bin/curl -sO \"$URL\"", "W_SCRIPT_DOWNLOADS"),
            ("/usr/sbin/installer -pkg \"$1\" -target /", "W_SCRIPT_INSTALLS"),
            ("osascript -e 'display dialog \"x\"'", "W_SCRIPT_USER"),
            ("open -a Safari", "W_SCRIPT_USER"),
            ("defaults write ~/Library/Preferences/x y z", "W_SCRIPT_USER"),
            ("rm -f \"$HOME/x\"", "W_SCRIPT_USER"),
            ("rm -rf /System/Library/Extensions/x.kext", "W_SCRIPT_SYSTEM"),
            ("cp x /usr/bin/x", "W_SCRIPT_SYSTEM"),
            ("echo x > /System/Library/y", "W_SCRIPT_SYSTEM"),
            ("echo x 2>/dev/null >>/usr/lib/y", "W_SCRIPT_SYSTEM"),
        ] {
            assert_eq!(codes(line), [want], "{line}");
        }
    }

    #[test]
    fn what_only_looks_like_a_call_is_passed_over() {
        for line in [
            "# python is gone",
            "echo python php curl",
            "echo \"use python\" # curl",
            "if [ -x /usr/bin/python ]; then",
            "which python",
            "command -v python",
            "rm -rf /usr/local/bin/tool",
            "cp /System/Library/x /tmp/x",
            "cp x /Library/y",
            "ls /System/Library >/dev/null 2>&1",
            "echo x >&2",
            "mypython x",
            "./python x",
            "\"$3/usr/bin/true\"",
            "grep '~' x",
            "softwareupdate -l",
            "installer -dominfo",
            "case \"$x\" in a|b) echo y;; esac",
            "echo 'it'\\''s; python'",
        ] {
            assert!(codes(line).is_empty(), "{line}: {:?}", codes(line));
        }
        let text = "cat <<'EOF' > /tmp/x\npython x\ncurl y\nEOF\ncurl z\n";
        assert_eq!(
            found(&format!("#!/bin/sh\n{text}")).iter().map(|f| f.1).collect::<Vec<_>>(),
            [6]
        );
    }

    #[test]
    fn hostile_text_is_bounded() {
        let many = format!("#!/bin/sh\n{}", "curl x\n".repeat(5000));
        assert_eq!(found(&many).len(), MOST);
        let long = format!("#!/bin/sh\ncurl {}", "\u{1b}[2J".repeat(10_000));
        assert!(found(&long).iter().all(|f| f.2.len() < 500 && !f.2.contains('\u{1b}')));
        for line in ["'", "\"", "`", "$(", "\\", "<<", "> ", "<<''", "((((", "\"$(\"$(\""] {
            codes(line);
        }
        let lines = head(format!("{}\nb\r\nc\n", "a".repeat(500)).as_bytes());
        assert_eq!(lines[0].len(), 200);
        assert_eq!(lines[1..3], ["b", "c"]);
        assert_eq!(head(&b"x\n".repeat(100)).len(), 20);
    }
}
