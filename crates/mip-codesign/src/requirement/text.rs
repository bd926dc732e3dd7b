//! Requirements as text, as `csreq -t` prints them.

use std::fmt::Write as _;

use mip_base::hex;

use super::{Expr, Match};

/// Words of the language: a string that is one of them stands in quotes.
const KEYWORDS: [&str; 29] = [
    "absent",
    "always",
    "anchor",
    "and",
    "apple",
    "cdhash",
    "cert",
    "certificate",
    "designated",
    "entitlement",
    "exists",
    "false",
    "generic",
    "guest",
    "host",
    "identifier",
    "info",
    "leaf",
    "legacy",
    "library",
    "never",
    "notarized",
    "or",
    "platform",
    "plugin",
    "root",
    "timestamp",
    "true",
    "trusted",
];

/// How tightly what stands around an expression binds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Primary,
    And,
    Or,
}

pub(super) fn print(expr: &Expr) -> String {
    let mut out = String::new();
    write_expr(&mut out, expr, Level::Or);
    // csreq, too, cuts the space that an operation of the future begins with.
    out.strip_prefix(' ').map_or_else(|| out.clone(), str::to_owned)
}

fn write_expr(out: &mut String, expr: &Expr, level: Level) {
    match expr {
        Expr::Never => out.push_str("never"),
        Expr::Always => out.push_str("always"),
        Expr::Identifier(name) => {
            out.push_str("identifier ");
            data(out, name, false);
        }
        Expr::AppleAnchor => out.push_str("anchor apple"),
        Expr::AppleGenericAnchor => out.push_str("anchor apple generic"),
        Expr::AnchorHash(slot, digest) => {
            certificate(out, *slot);
            out.push_str(" = ");
            hash(out, digest);
        }
        Expr::InfoValue(key, value) => {
            key_of(out, "info", key);
            out.push_str(" = ");
            data(out, value, false);
        }
        Expr::And(a, b) => both(out, (a, b), " and ", Level::And, level),
        Expr::Or(a, b) => both(out, (a, b), " or ", Level::Or, level),
        Expr::Not(a) => {
            out.push_str("! ");
            write_expr(out, a, Level::Primary);
        }
        Expr::CdHash(digest) => {
            out.push_str("cdhash ");
            hash(out, digest);
        }
        Expr::Info(key, m) => {
            key_of(out, "info", key);
            comparison(out, m);
        }
        Expr::Entitlement(key, m) => {
            key_of(out, "entitlement", key);
            comparison(out, m);
        }
        Expr::CertField(slot, field, m) => {
            certificate(out, *slot);
            key_of(out, "", field);
            comparison(out, m);
        }
        Expr::CertGeneric(slot, oid, m) => by_oid(out, *slot, "field", oid, m),
        Expr::CertPolicy(slot, oid, m) => by_oid(out, *slot, "policy", oid, m),
        Expr::CertDate(slot, oid, m) => by_oid(out, *slot, "timestamp", oid, m),
        // csreq prints it without the space, which it cannot read back.
        Expr::TrustedCert(slot) => {
            certificate(out, *slot);
            out.push_str(" trusted");
        }
        Expr::TrustedCerts => out.push_str("anchor trusted"),
        Expr::NamedAnchor(name) => {
            out.push_str("anchor apple ");
            data(out, name, false);
        }
        Expr::NamedCode(name) => {
            out.push('(');
            data(out, name, false);
            out.push(')');
        }
        Expr::Platform(number) => add(out, format_args!("platform = {number}")),
        Expr::Notarized => out.push_str("notarized"),
        Expr::LegacyDevId => out.push_str("legacy"),
        Expr::Unknown(number, true) => add(out, format_args!(" false /* opcode {number} */")),
        Expr::Unknown(number, false) => add(out, format_args!(" /* opcode {number} */")),
    }
}

fn add(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = out.write_fmt(text);
}

fn both(out: &mut String, sides: (&Expr, &Expr), word: &str, mine: Level, around: Level) {
    let closed = around < mine;
    if closed {
        out.push('(');
    }
    write_expr(out, sides.0, mine);
    out.push_str(word);
    write_expr(out, sides.1, mine);
    if closed {
        out.push(')');
    }
}

fn certificate(out: &mut String, slot: i32) {
    match slot {
        0 => out.push_str("certificate leaf"),
        -1 => out.push_str("certificate root"),
        n => add(out, format_args!("certificate {n}")),
    }
}

fn key_of(out: &mut String, what: &str, key: &[u8]) {
    out.push_str(what);
    out.push('[');
    data(out, key, true);
    out.push(']');
}

fn by_oid(out: &mut String, slot: i32, what: &str, oid: &[u8], m: &Match) {
    certificate(out, slot);
    add(out, format_args!("[{what}.{}]", oid_text(oid)));
    comparison(out, m);
}

/// An object identifier (the content of its DER) in numbers with dots.
pub(super) fn oid_text(oid: &[u8]) -> String {
    let mut out = String::new();
    let mut number = 0_u64;
    for byte in oid {
        number = number.saturating_mul(128).saturating_add(u64::from(byte & 0x7F));
        if byte & 0x80 != 0 {
            continue;
        }
        if out.is_empty() {
            let first = (number / 40).min(2);
            let second = number.saturating_sub(first.saturating_mul(40));
            add(&mut out, format_args!("{first}.{second}"));
        } else {
            add(&mut out, format_args!(".{number}"));
        }
        number = 0;
    }
    out
}

fn comparison(out: &mut String, m: &Match) {
    let text = |out: &mut String, before: &str, value: &[u8]| {
        out.push_str(before);
        data(out, value, false);
    };
    let date = |out: &mut String, before: &str, seconds: i64| {
        add(out, format_args!("{before}<{}>", moment(seconds)));
    };
    match m {
        Match::Exists => out.push_str(" /* exists */"),
        Match::Absent => out.push_str(" absent "),
        Match::Equal(v) => text(out, " = ", v),
        Match::Contains(v) => text(out, " ~ ", v),
        Match::BeginsWith(v) => {
            text(out, " = ", v);
            out.push('*');
        }
        Match::EndsWith(v) => text(out, " = *", v),
        Match::Less(v) => text(out, " < ", v),
        Match::Greater(v) => text(out, " > ", v),
        Match::LessEqual(v) => text(out, " <= ", v),
        Match::GreaterEqual(v) => text(out, " >= ", v),
        Match::On(s) => date(out, " = ", *s),
        Match::Before(s) => date(out, " < ", *s),
        Match::After(s) => date(out, " > ", *s),
        Match::OnOrBefore(s) => date(out, " <= ", *s),
        Match::OnOrAfter(s) => date(out, " >= ", *s),
    }
}

/// Seconds since 2001 as Core Foundation describes a date: `2019-04-08 00:00:00 +0000`.
fn moment(seconds: i64) -> String {
    let days = seconds.div_euclid(86_400);
    let second = seconds.rem_euclid(86_400);
    // Civil date from days (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms"),
    // counted from 0000-03-01, which is 730,791 days before 2001-01-01.
    let days = i128::from(days).saturating_add(730_791);
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = of_era
        .saturating_sub(of_era / 1460)
        .saturating_add(of_era / 36_524)
        .saturating_sub(of_era / 146_096)
        / 365;
    let before = year_of_era
        .saturating_mul(365)
        .saturating_add(year_of_era / 4)
        .saturating_sub(year_of_era / 100);
    let of_year = of_era.saturating_sub(before);
    let shifted = of_year.saturating_mul(5).saturating_add(2) / 153;
    let first = shifted.saturating_mul(153).saturating_add(2) / 5;
    let day = of_year.saturating_sub(first).saturating_add(1);
    let month = if shifted < 10 { shifted.saturating_add(3) } else { shifted.saturating_sub(9) };
    let year =
        era.saturating_mul(400).saturating_add(year_of_era).saturating_add(i128::from(month <= 2));
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} +0000")
}

fn hash(out: &mut String, digest: &[u8]) {
    add(out, format_args!("H\"{}\"", hex(digest)));
}

/// A string: bare where the language allows it, in quotes where it can be printed, else as
/// hexadecimal. Unlike `csreq`, which prints nothing for it, an empty one is `""`.
fn data(out: &mut String, bytes: &[u8], dots: bool) {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let bare = bytes.iter().all(|b| b.is_ascii_alphanumeric() || (dots && *b == b'.'));
    let digit = bytes.first().is_some_and(u8::is_ascii_digit);
    let space = |b: &u8| matches!(b, b' ' | 0x09..=0x0D);
    if bare && !digit && !bytes.is_empty() && !KEYWORDS.contains(&text) {
        out.push_str(text);
    } else if bytes.iter().all(|b| b.is_ascii_graphic() || space(b)) {
        out.push('"');
        for c in text.chars() {
            if c == '"' || c == '\\' {
                out.push('\\');
            }
            out.push(c);
        }
        out.push('"');
    } else {
        add(out, format_args!("0x{}", hex(bytes)));
    }
}
