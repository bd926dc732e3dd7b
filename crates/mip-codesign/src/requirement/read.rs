//! Requirements from text, as seals hold them.
//!
//! Of the language this reads the terms that `codesign` writes into seals by itself. A text with
//! any other is not understood.

use mip_base::unhex;

use super::{Expr, Match};

/// Nesting of parentheses.
const MAX_DEPTH: u32 = 16;
/// Terms of one requirement, which nest once per term in [`Expr`].
const MAX_TERMS: usize = 256;
/// Bytes of one requirement.
const MAX_TEXT: usize = 16 << 10;

/// The requirement that `text` is; `None`: it is not understood.
pub(super) fn read(text: &str) -> Option<Expr> {
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens: &tokens, at: 0, terms: 0 };
    let expr = parser.either(0)?;
    (parser.at == tokens.len()).then_some(expr)
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    /// A quoted word.
    Text(String),
    Sign(char),
}

/// Words, quoted words and signs; comments are left out.
fn tokens(text: &str) -> Option<Vec<Token>> {
    if text.len() > MAX_TEXT {
        return None;
    }
    let mut out = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => {}
            '/' if chars.next_if_eq(&'*').is_some() => loop {
                if chars.next()? == '*' && chars.next_if_eq(&'/').is_some() {
                    break;
                }
            },
            '"' => {
                let mut word = String::new();
                loop {
                    match chars.next()? {
                        '"' => break,
                        '\\' => word.push(chars.next()?),
                        c => word.push(c),
                    }
                }
                out.push(Token::Text(word));
            }
            '(' | ')' | '[' | ']' | '=' | '!' => out.push(Token::Sign(c)),
            c if is_word(c) => {
                let mut word = String::from(c);
                while let Some(c) = chars.next_if(|c| is_word(*c)) {
                    word.push(c);
                }
                out.push(Token::Word(word));
            }
            _ => return None,
        }
    }
    Some(out)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | '-' | '_')
}

/// `None` from a method: the text is not understood.
struct Parser<'p> {
    tokens: &'p [Token],
    at: usize,
    terms: usize,
}

impl Parser<'_> {
    fn take(&mut self, wanted: &Token) -> bool {
        let hit = self.tokens.get(self.at) == Some(wanted);
        self.at = self.at.saturating_add(usize::from(hit));
        hit
    }

    fn word(&mut self, word: &str) -> bool {
        self.take(&Token::Word(word.to_owned()))
    }

    fn sign(&mut self, sign: char) -> bool {
        self.take(&Token::Sign(sign))
    }

    fn value(&mut self) -> Option<String> {
        let token = self.tokens.get(self.at)?;
        self.at = self.at.saturating_add(1);
        match token {
            Token::Word(text) | Token::Text(text) => Some(text.clone()),
            Token::Sign(_) => None,
        }
    }

    fn either(&mut self, depth: u32) -> Option<Expr> {
        let mut expr = self.both(depth)?;
        while self.word("or") {
            expr = Expr::Or(Box::new(expr), Box::new(self.both(depth)?));
        }
        Some(expr)
    }

    fn both(&mut self, depth: u32) -> Option<Expr> {
        let mut expr = self.one(depth)?;
        while self.word("and") {
            expr = Expr::And(Box::new(expr), Box::new(self.one(depth)?));
        }
        Some(expr)
    }

    fn one(&mut self, depth: u32) -> Option<Expr> {
        let deeper = depth.saturating_add(1);
        self.terms = self.terms.saturating_add(1);
        if deeper > MAX_DEPTH || self.terms > MAX_TERMS {
            return None;
        }
        if self.sign('!') {
            return Some(Expr::Not(Box::new(self.one(deeper)?)));
        }
        if self.sign('(') {
            let inner = self.either(deeper)?;
            return self.sign(')').then_some(inner);
        }
        match self.value()?.as_str() {
            "identifier" => {
                self.sign('=');
                Some(Expr::Identifier(self.value()?.into_bytes()))
            }
            "cdhash" => {
                self.word("H").then_some(())?;
                Some(Expr::CdHash(unhex(&self.value()?)?))
            }
            "anchor" => {
                self.word("apple").then_some(())?;
                let generic = self.word("generic");
                Some(if generic { Expr::AppleGenericAnchor } else { Expr::AppleAnchor })
            }
            "certificate" | "cert" => self.certificate(),
            _ => None,
        }
    }

    /// `certificate leaf[subject.OU] = TEAM`, `certificate 1[field.1.2…] exists`.
    fn certificate(&mut self) -> Option<Expr> {
        let slot = match self.value()?.as_str() {
            "leaf" => 0,
            "root" => -1,
            number => number.parse().ok()?,
        };
        self.sign('[').then_some(())?;
        let key = self.value()?;
        self.sign(']').then_some(())?;
        if let Some(id) = key.strip_prefix("field.") {
            self.word("exists");
            return Some(Expr::CertGeneric(slot, oid(id)?, Match::Exists));
        }
        self.sign('=').then_some(())?;
        let value = Match::Equal(self.value()?.into_bytes());
        Some(Expr::CertField(slot, key.into_bytes(), value))
    }
}

/// An object identifier in numbers with dots as the content of its DER (X.690 §8.19).
fn oid(text: &str) -> Option<Vec<u8>> {
    let mut numbers = text.split('.').map(|n| n.parse::<u64>().ok());
    let (first, second) = (numbers.next()??, numbers.next()??);
    let head = first.checked_mul(40)?.checked_add(second)?;
    if first > 2 || first < 2 && second >= 40 {
        return None;
    }
    let mut out = Vec::new();
    for number in std::iter::once(Some(head)).chain(numbers) {
        let (start, mut left, mut more) = (out.len(), number?, 0);
        loop {
            out.push(u8::try_from(left & 0x7F).ok()? | more);
            left = left.wrapping_shr(7);
            more = 0x80;
            if left == 0 {
                break;
            }
        }
        out.get_mut(start..)?.reverse();
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::super::text::{oid_text, print};
    use super::*;

    #[test]
    fn what_codesign_writes_is_read_and_printed_the_same() {
        let hash = "ab".repeat(20);
        for text in [
            "identifier \"com.example.Tool\" and anchor apple generic and certificate 1[field.1.2.840.113635.100.6.2.6] /* exists */ and certificate leaf[field.1.2.840.113635.100.6.1.13] /* exists */ and certificate leaf[subject.OU] = TEAM123456".to_owned(),
            "identifier Tool and (anchor apple or certificate root[subject.CN] = \"An Authority\")".to_owned(),
            format!("cdhash H\"{hash}\" or cdhash H\"00\""),
            "! identifier a and anchor apple".to_owned(),
        ] {
            assert_eq!(read(&text).map(|e| print(&e)).as_ref(), Some(&text));
        }
        for (text, same) in [
            ("identifier = com.example.Tool", "identifier \"com.example.Tool\""),
            ("cert 0[field.1.2.3] exists", "certificate leaf[field.1.2.3] /* exists */"),
            ("certificate leaf[subject.OU] = \"TEAM\"", "certificate leaf[subject.OU] = TEAM"),
        ] {
            assert_eq!(read(text).map(|e| print(&e)).as_deref(), Some(same));
        }
    }

    #[test]
    fn what_is_not_known_is_not_understood() {
        for text in [
            "anchor trusted".to_owned(),
            "identifier x and entitlement[\"a\"] exists".to_owned(),
            "certificate leaf = H\"00\"".to_owned(),
            "certificate leaf[field.3.1] exists".to_owned(),
            "certificate leaf[field.1.40] exists".to_owned(),
            "certificate leaf[field.1] exists".to_owned(),
            "cdhash H\"0\"".to_owned(),
            "cdhash H\"0x\"".to_owned(),
            String::new(),
            "identifier".to_owned(),
            "identifier x )".to_owned(),
            "(".repeat(100_000),
            "! ".repeat(1000),
            "identifier x or ".repeat(1000) + "identifier x",
            "\"open".to_owned(),
            "/* open".to_owned(),
        ] {
            assert_eq!(read(&text), None, "{text:.200}");
        }
    }

    #[test]
    fn object_identifiers() {
        // X.690 §8.19.5, and openssl asn1parse -genstr OID:…
        assert_eq!(oid("2.999.3"), Some(vec![0x88, 0x37, 0x03]));
        let apple = b"\x2a\x86\x48\x86\xf7\x63\x64\x06\x01\x0d";
        assert_eq!(oid("1.2.840.113635.100.6.1.13").as_deref(), Some(&apple[..]));
        assert_eq!(oid_text(apple), "1.2.840.113635.100.6.1.13");
    }
}
