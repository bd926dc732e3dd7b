//! Whether code inside a bundle meets the requirement that the seal holds for it.
//!
//! A seal names code by its CDHash. Where code was signed anew after it was sealed, macOS asks the
//! requirement alone, and so does this. Of the language of requirements, this knows the terms that
//! `codesign` writes into seals by itself; with any other the answer is not known.

use crate::ClaimState;
use crate::claims::CodeSignature;
use mip_signing::apple::LeafKind;

/// Nesting of parentheses.
const MAX_DEPTH: u32 = 16;
/// Bytes of one requirement.
const MAX_TEXT: usize = 16 << 10;

/// Whether all slices meet the requirement; `None`: it cannot be told.
pub(super) fn is_met(text: &str, slices: &[CodeSignature]) -> Option<bool> {
    let tokens = tokens(text)?;
    let mut all = Some(true);
    for slice in slices {
        let mut parser = Parser { tokens: &tokens, at: 0, slice };
        let met = parser.either(0)?;
        if parser.at != tokens.len() {
            return None;
        }
        all = and(all, met);
    }
    if slices.is_empty() { None } else { all }
}

/// True, false or not known.
type Answer = Option<bool>;

fn and(a: Answer, b: Answer) -> Answer {
    match (a, b) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

fn or(a: Answer, b: Answer) -> Answer {
    and(a.map(|a| !a), b.map(|b| !b)).map(|c| !c)
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

/// Reads a requirement and asks it of one slice. `None` from a method: the text is not
/// understood.
struct Parser<'p> {
    tokens: &'p [Token],
    at: usize,
    slice: &'p CodeSignature,
}

impl Parser<'_> {
    fn next(&mut self) -> Option<&Token> {
        let token = self.tokens.get(self.at)?;
        self.at = self.at.saturating_add(1);
        Some(token)
    }

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
        match self.next()? {
            Token::Word(text) | Token::Text(text) => Some(text.clone()),
            Token::Sign(_) => None,
        }
    }

    fn either(&mut self, depth: u32) -> Option<Answer> {
        let mut answer = self.both(depth)?;
        while self.word("or") {
            answer = or(answer, self.both(depth)?);
        }
        Some(answer)
    }

    fn both(&mut self, depth: u32) -> Option<Answer> {
        let mut answer = self.one(depth)?;
        while self.word("and") {
            answer = and(answer, self.one(depth)?);
        }
        Some(answer)
    }

    fn one(&mut self, depth: u32) -> Option<Answer> {
        let deeper = depth.saturating_add(1);
        if deeper > MAX_DEPTH {
            return None;
        }
        if self.sign('!') {
            return Some(self.one(deeper)?.map(|yes| !yes));
        }
        if self.sign('(') {
            let inner = self.either(deeper)?;
            return self.sign(')').then_some(inner);
        }
        match self.value()?.as_str() {
            "identifier" => {
                self.sign('=');
                let wanted = self.value()?;
                Some(Some(self.slice.identifier.as_deref() == Some(wanted.as_str())))
            }
            "cdhash" => {
                let is_hex = self.word("H");
                let wanted = self.value()?;
                let same = |h: &str| h.eq_ignore_ascii_case(&wanted);
                let all = &self.slice.code_directories;
                is_hex.then(|| Some(all.iter().any(|d| same(&d.cdhash))))
            }
            "anchor" => {
                self.word("apple").then_some(())?;
                let leads = self.leads_to_apple();
                if self.word("generic") {
                    return Some(Some(leads));
                }
                Some(Some(leads && self.kind() == Some(LeafKind::Apple)))
            }
            "certificate" | "cert" => self.certificate(),
            _ => None,
        }
    }

    /// `certificate leaf[subject.OU] = TEAM`, `certificate 1[field.1.2…] exists`.
    fn certificate(&mut self) -> Option<Answer> {
        let which = self.value()?;
        self.sign('[').then_some(())?;
        let field = self.value()?;
        self.sign(']').then_some(())?;
        if field == "subject.OU" {
            self.sign('=').then_some(())?;
            let wanted = self.value()?;
            if !matches!(which.as_str(), "leaf" | "0") {
                return Some(None);
            }
            let team = self.slice.signature.as_ref()?.signer.as_ref()?.team_id.as_deref();
            return Some(Some(self.leads_to_apple() && team == Some(wanted.as_str())));
        }
        self.word("exists");
        // Apple's marker extensions: of a Developer ID leaf, of the authority that issues those,
        // and of what the App Store signs.
        let kind = match (which.as_str(), field.as_str()) {
            ("leaf" | "0", "field.1.2.840.113635.100.6.1.13")
            | ("1", "field.1.2.840.113635.100.6.2.6") => LeafKind::DeveloperIdApplication,
            ("leaf" | "0", "field.1.2.840.113635.100.6.1.9") => LeafKind::MacAppStore,
            _ => return Some(None),
        };
        Some(Some(self.leads_to_apple() && self.kind() == Some(kind)))
    }

    fn leads_to_apple(&self) -> bool {
        self.slice.signature.as_ref().is_some_and(|s| s.state == ClaimState::Valid)
    }

    fn kind(&self) -> Option<LeafKind> {
        Some(self.slice.signature.as_ref()?.signer.as_ref()?.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::CodeDirectoryHash;
    use mip_signing::apple::{SignatureClaim, SignerClaim};

    fn slice(team: &str) -> CodeSignature {
        let mut signer = SignerClaim::default();
        signer.kind = LeafKind::DeveloperIdApplication;
        signer.team_id = Some(team.to_owned());
        let mut claim = SignatureClaim::default();
        claim.state = ClaimState::Valid;
        claim.signer = Some(signer);
        CodeSignature {
            identifier: Some("com.example.Tool".to_owned()),
            code_directories: vec![CodeDirectoryHash {
                cdhash: "ab".repeat(20),
                ..CodeDirectoryHash::default()
            }],
            signature: Some(claim),
            ..CodeSignature::default()
        }
    }

    const DEVELOPER_ID: &str = "identifier \"com.example.Tool\" and anchor apple generic and certificate 1[field.1.2.840.113635.100.6.2.6] /* exists */ and certificate leaf[field.1.2.840.113635.100.6.1.13] /* exists */ and certificate leaf[subject.OU] = TEAM123456";

    #[test]
    fn what_codesign_writes_is_understood() {
        let ours = [slice("TEAM123456")];
        let h = "ab".repeat(20);
        for (text, want) in [
            (DEVELOPER_ID.to_owned(), Some(true)),
            (DEVELOPER_ID.replace("TEAM123456", "\"TEAM123456\""), Some(true)),
            (DEVELOPER_ID.replace("TEAM123456", "OTHER"), Some(false)),
            (DEVELOPER_ID.replace(".Tool", ".Other"), Some(false)),
            (DEVELOPER_ID.replace(".6.1.13", ".6.1.99"), None),
            (format!("cdhash H\"{h}\""), Some(true)),
            (format!("cdhash H\"00\" or cdhash H\"{h}\""), Some(true)),
            ("cdhash H\"00\"".to_owned(), Some(false)),
            ("identifier com.example.Tool".to_owned(), Some(true)),
            ("!identifier com.example.Tool".to_owned(), Some(false)),
            ("(anchor apple or anchor apple generic) and identifier x".to_owned(), Some(false)),
            ("anchor apple".to_owned(), Some(false)),
            ("anchor trusted".to_owned(), None),
            ("identifier x and entitlement[\"a\"] exists".to_owned(), None),
            ("certificate leaf = H\"00\"".to_owned(), None),
            (String::new(), None),
            ("identifier".to_owned(), None),
            ("identifier x )".to_owned(), None),
            ("(".repeat(100_000), None),
            ("! ".repeat(1000), None),
            ("\"open".to_owned(), None),
            ("/* open".to_owned(), None),
        ] {
            let answer = is_met(&text, &ours);
            assert_eq!(answer, want, "{:.200}", text);
        }
        assert_eq!(is_met("identifier x", &[]), None);
    }

    #[test]
    fn every_slice_must_meet_it() {
        let both = [slice("TEAM123456"), slice("OTHER")];
        assert_eq!(is_met(DEVELOPER_ID, &both), Some(false));
        // A claim that leads nowhere names a team in vain.
        let mut forged = slice("TEAM123456");
        if let Some(s) = &mut forged.signature {
            s.state = ClaimState::Untrusted;
        }
        assert_eq!(is_met(DEVELOPER_ID, &[forged]), Some(false));
    }
}
