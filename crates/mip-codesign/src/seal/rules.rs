//! Resource rules: which files of a bundle the seal is about.
//!
//! Semantics from Apple's open `libsecurity_codesigning` (`resources.cpp`): every rule whose
//! pattern matches a path takes part, the heaviest decides, and what is excluded by the kind of
//! bundle is excluded whatever the weights are. Patterns are POSIX extended regular expressions.

use mip_base::{Code, Error, Job, Result, escape, len64};
use mip_plist::Value;
use regex::bytes::{RegexSet, RegexSetBuilder};

/// Rules of one bundle. Apple's own sets have 13.
const MAX_RULES: usize = 200;
/// Bytes of one pattern.
const MAX_PATTERN: usize = 1024;
/// Bytes of all compiled rules of one bundle. Apple's own sets need a tenth of this.
const MAX_COMPILED: usize = 256 << 10;
/// Memory for the automata that are built while matching.
const MAX_AUTOMATON: usize = 2 << 20;

/// What Apple's own rules leave out. Rules that leave out more are called weak: Gatekeeper
/// refuses them.
const USUAL_OMISSIONS: &[&str] = &[
    r"^(.*/)?\.DS_Store$",
    r"^Info\.plist$",
    r"^PkgInfo$",
    r"^Resources/.*\.lproj/locversion.plist$",
    r"^.*\.lproj/locversion.plist$",
];

/// The rule of Apple's sets that every path meets.
const COVERS_ALL: &str = "^.*";

/// What a rule says of the paths that it matches.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Rule {
    weight: f64,
    /// Not part of the seal.
    pub(super) omit: bool,
    /// Code, which has a signature of its own.
    pub(super) nested: bool,
}

/// The rules of one bundle.
#[derive(Debug)]
pub(super) struct Rules {
    set: RegexSet,
    rules: Vec<Rule>,
    /// Patterns that leave out more than Apple's rules do, and that the one for all files is not
    /// there. Escaped.
    pub(super) weak: Vec<String>,
}

impl Rules {
    /// The rules in a dictionary of patterns.
    pub(super) fn read(dict: &[(String, Value)], job: &Job) -> Result<Self> {
        let count = dict.len();
        if count > MAX_RULES {
            let (limit, count) = (len64(MAX_RULES), len64(count));
            return Err(Error::limit(Code::LimitEntries, "resource rules", limit, count));
        }
        let mut patterns = Vec::new();
        let mut rules = Vec::new();
        let mut weak = Vec::new();
        let mut covers = false;
        for (pattern, value) in dict {
            job.check()?;
            let rule = rule(pattern, value)?;
            patterns.push(translate(pattern)?);
            covers |= pattern == COVERS_ALL && !rule.omit;
            if rule.omit && !USUAL_OMISSIONS.contains(&pattern.as_str()) {
                weak.push(escape(pattern));
            }
            rules.push(rule);
        }
        let set = RegexSetBuilder::new(&patterns)
            .unicode(false)
            .dot_matches_new_line(true)
            .size_limit(MAX_COMPILED)
            .dfa_size_limit(MAX_AUTOMATON)
            .build()
            .map_err(|e| {
                let why = format!("the resource rules cannot be used: {}", escape(&e.to_string()));
                Error::new(Code::Unsupported, why)
            })?;
        if !covers {
            weak.push(format!("there is no rule {COVERS_ALL} for all files"));
        }
        Ok(Self { set, rules, weak })
    }

    /// The rule that counts for `path`; `None` where no rule matches, so that the seal is not
    /// about it.
    pub(super) fn find(&self, path: &str) -> Option<Rule> {
        let mut best: Option<Rule> = None;
        for rule in self.set.matches(path.as_bytes()).iter().filter_map(|i| self.rules.get(i)) {
            if best.is_none_or(|b| rule.weight > b.weight) {
                best = Some(*rule);
            }
        }
        best
    }
}

fn rule(pattern: &str, value: &Value) -> Result<Rule> {
    let bad = |what: String| {
        let why = format!("the resource rule \"{}\" {what}", escape(pattern));
        Error::new(Code::CodeSignature, why)
    };
    let mut rule = Rule { weight: 1.0, ..Rule::default() };
    match value {
        Value::Boolean(included) => rule.omit = !included,
        Value::Dict(keys) => {
            for (key, value) in keys {
                match (key.as_str(), value) {
                    ("weight", Value::Integer(n)) => {
                        let n = u32::try_from(*n)
                            .map_err(|_| bad("has a weight out of range".to_owned()))?;
                        rule.weight = f64::from(n);
                    }
                    ("weight", Value::Real(w)) if *w >= 0.0 => rule.weight = w.trunc(),
                    ("weight", _) => return Err(bad("has a weight that is no number".to_owned())),
                    ("omit", Value::Boolean(yes)) => rule.omit = *yes,
                    ("nested", Value::Boolean(yes)) => rule.nested = *yes,
                    _ => {}
                }
            }
        }
        other => return Err(bad(format!("is {}", other.kind()))),
    }
    Ok(rule)
}

/// A POSIX extended regular expression in the syntax of the `regex` crate. What POSIX leaves
/// undefined is refused: nobody knows what a Mac makes of it.
fn translate(pattern: &str) -> Result<String> {
    let bad = |what: &str| {
        let why = format!("the resource rule \"{}\" {what}", escape(pattern));
        Error::new(Code::Unsupported, why)
    };
    if pattern.len() > MAX_PATTERN {
        let (limit, value) = (len64(MAX_PATTERN), len64(pattern.len()));
        return Err(Error::limit(Code::Limit, "bytes of a resource rule", limit, value));
    }
    let mut out = String::with_capacity(pattern.len().saturating_add(8));
    let mut chars = pattern.chars().peekable();
    let mut repeated = false;
    while let Some(c) = chars.next() {
        let repeats = matches!(c, '*' | '+' | '?' | '{');
        if repeats && repeated {
            return Err(bad("repeats a repetition"));
        }
        repeated = repeats && c != '{';
        match c {
            '\\' => match chars.next() {
                Some(c) if c.is_ascii_punctuation() => out.extend(['\\', c]),
                _ => return Err(bad("has a backslash before what is not punctuation")),
            },
            '(' if chars.peek() == Some(&'?') => {
                return Err(bad("has a group with a question mark"));
            }
            '[' => bracket(&mut chars, &mut out)
                .ok_or_else(|| bad("has a bracket expression that is not supported"))?,
            _ => out.push(c),
        }
    }
    Ok(out)
}

/// A bracket expression after its `[`. Inside one, a backslash is nothing special to POSIX.
fn bracket(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, out: &mut String) -> Option<()> {
    out.push('[');
    if chars.next_if_eq(&'^').is_some() {
        out.push('^');
    }
    let mut first = true;
    loop {
        let c = chars.next()?;
        match c {
            ']' if !first => {
                out.push(']');
                return Some(());
            }
            '[' => match chars.peek() {
                Some(':') => {
                    out.push('[');
                    loop {
                        let c = chars.next()?;
                        out.push(c);
                        if c == ']' {
                            break;
                        }
                    }
                }
                // Collating symbols and equivalence classes.
                Some('.' | '=') => return None,
                _ => out.push_str("\\["),
            },
            '-' if chars.peek() == Some(&'-') => return None,
            '\\' | ']' | '&' | '~' | '^' => out.extend(['\\', c]),
            // A byte set cannot hold what is several bytes.
            _ if !c.is_ascii() => return None,
            _ => out.push(c),
        }
        first = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn dict(rules: &[(&str, Value)]) -> Vec<(String, Value)> {
        rules.iter().map(|(p, v)| ((*p).to_owned(), v.clone())).collect()
    }

    fn weight(w: f64, flag: Option<&str>) -> Value {
        let mut d = vec![("weight".to_owned(), Value::Real(w))];
        d.extend(flag.map(|f| (f.to_owned(), Value::Boolean(true))));
        Value::Dict(d)
    }

    /// The rules that `codesign` writes for an app (as in the fixture `sparkle-DevSignedApp`).
    fn usual() -> Rules {
        let code = r"^(Frameworks|SharedFrameworks|PlugIns|Plug-ins|XPCServices|Helpers|MacOS|Library/(Automator|Spotlight|LoginItems))/";
        let list = dict(&[
            (r".*\.dSYM($|/)", weight(11.0, None)),
            (r"^(.*/)?\.DS_Store$", weight(2000.0, Some("omit"))),
            (code, weight(10.0, Some("nested"))),
            ("^.*", Value::Boolean(true)),
            (r"^Info\.plist$", weight(20.0, Some("omit"))),
            (r"^PkgInfo$", weight(20.0, Some("omit"))),
            ("^Resources/", weight(20.0, None)),
            (r"^Resources/.*\.lproj/", weight(1000.0, Some("optional"))),
            (r"^Resources/.*\.lproj/locversion.plist$", weight(1100.0, Some("omit"))),
            (r"^Resources/Base\.lproj/", weight(1010.0, None)),
            ("^[^/]+$", weight(10.0, Some("nested"))),
            (r"^embedded\.provisionprofile$", weight(20.0, None)),
            (r"^version\.plist$", weight(20.0, None)),
        ]);
        Rules::read(&list, &Job::default()).unwrap()
    }

    #[test]
    fn the_heaviest_rule_decides() {
        let rules = usual();
        assert!(rules.weak.is_empty());
        let of = |p: &str| {
            let r = rules.find(p).unwrap();
            (r.omit, r.nested)
        };
        let (omitted, code, file) = ((true, false), (false, true), (false, false));
        for (path, want) in [
            ("Info.plist", omitted),
            ("PkgInfo", omitted),
            ("version.plist", file),
            ("embedded.provisionprofile", file),
            ("Other", code),
            ("MacOS/tool", code),
            ("Frameworks/A.framework", code),
            ("Library/LoginItems/H.app", code),
            ("Library/SystemExtensions/a.systemextension", file),
            ("MacOS/tool.dSYM/Contents/x", file),
            ("Resources/a", file),
            ("Resources/.DS_Store", omitted),
            (".DS_Store", omitted),
            ("Resources/x.DS_Store", file),
            ("Resources/de.lproj/a.strings", file),
            ("Resources/de.lproj/locversion.plist", omitted),
            ("a\nb/c", file),
        ] {
            assert_eq!(of(path), want, "{path}");
        }
    }

    #[test]
    fn without_a_rule_a_path_is_not_part_of_the_seal() {
        let rules = Rules::read(&dict(&[("^Resources/", Value::Boolean(true))]), &Job::default());
        let rules = rules.unwrap();
        assert!(rules.find("Resources/a").is_some());
        assert!(rules.find("MacOS/a").is_none());
        // Files can be added without notice.
        assert_eq!(rules.weak, ["there is no rule ^.* for all files"]);
        let left_out =
            Rules::read(&dict(&[("^.*", weight(9999.0, Some("omit")))]), &Job::default());
        assert_eq!(left_out.unwrap().weak.len(), 2);
    }

    #[test]
    fn rules_that_leave_out_more_than_apples_are_weak() {
        let list = dict(&[("^.*", Value::Boolean(true)), ("^Data/", weight(2.0, Some("omit")))]);
        let rules = Rules::read(&list, &Job::default()).unwrap();
        assert_eq!(rules.weak, ["^Data/"]);
        assert!(rules.find("Data/x").unwrap().omit);
    }

    #[test]
    fn posix_is_not_the_syntax_of_the_regex_crate() {
        for (pattern, path, hit) in [
            // A backslash in brackets is itself.
            (r"^[\d]$", "d", true),
            (r"^[\d]$", "5", false),
            (r"^[]x]$", "]", true),
            (r"^[^]x]$", "]", false),
            ("^[a&&b]$", "&", true),
            ("^[[:digit:]]$", "5", true),
            ("^[[a]$", "[", true),
            (r"^a\/b$", "a/b", true),
            ("^a$", "a\n", false),
            ("^a.b$", "a\nb", true),
            ("^(a|())b$", "b", true),
            ("^a{2,3}$", "aa", true),
            ("^é$", "é", true),
            ("^é$", "É", false),
        ] {
            let rules = Rules::read(&dict(&[(pattern, Value::Boolean(true))]), &Job::default());
            assert_eq!(rules.unwrap().find(path).is_some(), hit, "{pattern} {path:?}");
        }
        for pattern in [r"\d", "(?i)a", "a**", "a+?", "[[=a=]]", "[+--]", "[é]", "a(", "[a", "a\\"]
        {
            let rules = Rules::read(&dict(&[(pattern, Value::Boolean(true))]), &Job::default());
            assert_eq!(rules.unwrap_err().code(), Code::Unsupported, "{pattern}");
        }
    }

    #[test]
    fn bombs_are_refused_or_fast() {
        let bombs = [
            "((a{200}){200}){200}",
            "(a|b|ab)*(.*.*.*.*.*.*c){30}$",
            "^(.*a.*){60}b$",
            "((((a*)*)*)*)*b",
        ];
        let start = Instant::now();
        for bomb in bombs {
            let many = vec![(bomb.to_owned(), Value::Boolean(true))];
            let Ok(rules) = Rules::read(&many, &Job::default()) else { continue };
            let path = "a".repeat(1024);
            for _ in 0..1000 {
                assert!(rules.find(&path).is_none_or(|r| !r.nested));
            }
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
        let many = (0..=MAX_RULES).map(|i| (format!("a{i}"), Value::Boolean(true)));
        let e = Rules::read(&many.collect::<Vec<_>>(), &Job::default()).unwrap_err();
        assert_eq!(e.code(), Code::LimitEntries);
        let long = vec![("a".repeat(MAX_PATTERN + 1), Value::Boolean(true))];
        assert_eq!(Rules::read(&long, &Job::default()).unwrap_err().code(), Code::Limit);
    }

    #[test]
    fn values_of_the_wrong_kind_are_named() {
        for value in [
            Value::String("yes".to_owned()),
            Value::Dict(vec![("weight".to_owned(), Value::String("1".to_owned()))]),
            Value::Dict(vec![("weight".to_owned(), Value::Integer(-1))]),
            Value::Dict(vec![("weight".to_owned(), Value::Real(-1.0))]),
        ] {
            let e = Rules::read(&[("^.*".to_owned(), value)], &Job::default()).unwrap_err();
            assert_eq!(e.code(), Code::CodeSignature);
        }
    }
}
