//! Code requirements: the compiled form, from and as text, and against what a signature says.
//!
//! Opcodes: `requirement.h` of Security; the words: `man csreq` and Apple's "Code Signing
//! Requirement Language".

mod evaluate;
mod read;
mod text;

use mip_base::bytes::{be_u32, slice};
use mip_base::{Code, Error, Result, len64};

use crate::blob::{self, Blob};
use crate::signature::Verdict;

use evaluate::Facts;

pub(crate) use evaluate::{is_met, pins};

/// Nesting of a requirement. A list of `or`s nests once per member.
const MAX_DEPTH: u32 = 400;
/// Most bytes of a compiled requirement.
const MAX_BYTES: usize = 128 << 10;
/// Most requirements of a set; five kinds are known.
const MAX_SET: u32 = 64;
/// `kSecDesignatedRequirementType`.
const DESIGNATED: u32 = 3;

/// A requirement. The depth is bounded by [`MAX_DEPTH`]; what is read of text is less deep.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Expr {
    Never,
    Always,
    Identifier(Vec<u8>),
    AppleAnchor,
    AppleGenericAnchor,
    /// A certificate by its SHA-1.
    AnchorHash(i32, Vec<u8>),
    /// The old form of a comparison with a key of the `Info.plist`.
    InfoValue(Vec<u8>, Vec<u8>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Not(Box<Expr>),
    CdHash(Vec<u8>),
    Info(Vec<u8>, Match),
    Entitlement(Vec<u8>, Match),
    /// A part of a certificate's subject.
    CertField(i32, Vec<u8>, Match),
    /// An extension of a certificate.
    CertGeneric(i32, Vec<u8>, Match),
    CertPolicy(i32, Vec<u8>, Match),
    /// An extension of a certificate that is a date.
    CertDate(i32, Vec<u8>, Match),
    TrustedCert(i32),
    TrustedCerts,
    NamedAnchor(Vec<u8>),
    NamedCode(Vec<u8>),
    Platform(i32),
    Notarized,
    LegacyDevId,
    /// An operation of the future: number, and whether readers that do not know it take it for
    /// false in place of skipping it.
    Unknown(u32, bool),
}

/// What a value is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Match {
    Exists,
    Absent,
    Equal(Vec<u8>),
    Contains(Vec<u8>),
    BeginsWith(Vec<u8>),
    EndsWith(Vec<u8>),
    Less(Vec<u8>),
    Greater(Vec<u8>),
    LessEqual(Vec<u8>),
    GreaterEqual(Vec<u8>),
    /// A date in seconds since 2001.
    On(i64),
    Before(i64),
    After(i64),
    OnOrBefore(i64),
    OnOrAfter(i64),
}

/// A compiled requirement (magic 0xfade0c00) in the language of `csreq`, as `codesign -d -r-`
/// prints it. Bytes of strings that are not plain text come out as hexadecimal.
///
/// # Errors
/// [`Code::CodeSignature`] when it is not a requirement or it is cut; [`Code::Unsupported`] for
/// another form than expressions, operations that are not known, more than 128 KiB or 400 levels.
///
/// ```
/// # fn main() -> mip_base::Result<()> {
/// // 0xfade0c00, 16 bytes, expression form, opAppleGenericAnchor.
/// let compiled = [0xfa, 0xde, 0x0c, 0, 0, 0, 0, 16, 0, 0, 0, 1, 0, 0, 0, 15];
/// assert_eq!(mip_codesign::requirement_text(&compiled)?, "anchor apple generic");
/// # Ok(())
/// # }
/// ```
pub fn requirement_text(blob: &[u8]) -> Result<String> {
    Ok(text::print(&parse(blob)?))
}

/// Reads a compiled requirement.
fn parse(blob: &[u8]) -> Result<Expr> {
    let wrong = |why: &str| Err(Error::new(Code::CodeSignature, format!("a requirement {why}")));
    if be_u32(blob, 0) != Some(blob::REQUIREMENT) {
        return wrong("without its magic number");
    }
    let len = be_u32(blob, 4).and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
    let Some(blob) = blob.get(..len).filter(|b| b.len() >= 12) else {
        return wrong("that is cut");
    };
    let unsupported = |why: String| Err(Error::new(Code::Unsupported, why));
    if blob.len() > MAX_BYTES {
        return unsupported(format!("a requirement of {} bytes", blob.len()));
    }
    match be_u32(blob, 8) {
        Some(1) => Reader { bytes: blob, at: 12 }.expr(0),
        form => unsupported(format!("a requirement of form {}", form.unwrap_or(0))),
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn cut(&self) -> Error {
        Error::new(Code::CodeSignature, "a requirement is cut").at(len64(self.at))
    }

    fn u32(&mut self) -> Result<u32> {
        let n = be_u32(self.bytes, self.at).ok_or_else(|| self.cut())?;
        self.at = self.at.saturating_add(4);
        Ok(n)
    }

    fn i32(&mut self) -> Result<i32> {
        Ok(i32::from_be_bytes(self.u32()?.to_be_bytes()))
    }

    fn i64(&mut self) -> Result<i64> {
        let (high, low) = (u64::from(self.u32()?), u64::from(self.u32()?));
        Ok(i64::from_be_bytes((high.wrapping_shl(32) | low).to_be_bytes()))
    }

    /// A length and as many bytes, filled up to a multiple of four.
    fn data(&mut self) -> Result<Vec<u8>> {
        let len = usize::try_from(self.u32()?).unwrap_or(usize::MAX);
        let data = slice(self.bytes, self.at, len).ok_or_else(|| self.cut())?.to_vec();
        self.at = self.at.saturating_add(len.next_multiple_of(4));
        Ok(data)
    }

    fn pair(&mut self, depth: u32) -> Result<(Box<Expr>, Box<Expr>)> {
        Ok((Box::new(self.expr(depth)?), Box::new(self.expr(depth)?)))
    }

    fn expr(&mut self, depth: u32) -> Result<Expr> {
        if depth > MAX_DEPTH {
            let why = format!("a requirement of more than {MAX_DEPTH} levels");
            return Err(Error::new(Code::Unsupported, why));
        }
        let depth = depth.saturating_add(1);
        let op = self.u32()?;
        Ok(match op & 0x00FF_FFFF {
            0 => Expr::Never,
            1 => Expr::Always,
            2 => Expr::Identifier(self.data()?),
            3 => Expr::AppleAnchor,
            4 => Expr::AnchorHash(self.i32()?, self.data()?),
            5 => Expr::InfoValue(self.data()?, self.data()?),
            6 => self.pair(depth).map(|(a, b)| Expr::And(a, b))?,
            7 => self.pair(depth).map(|(a, b)| Expr::Or(a, b))?,
            8 => Expr::CdHash(self.data()?),
            9 => Expr::Not(Box::new(self.expr(depth)?)),
            10 => Expr::Info(self.data()?, self.comparison()?),
            11 => Expr::CertField(self.i32()?, self.data()?, self.comparison()?),
            12 => Expr::TrustedCert(self.i32()?),
            13 => Expr::TrustedCerts,
            14 => Expr::CertGeneric(self.i32()?, self.data()?, self.comparison()?),
            15 => Expr::AppleGenericAnchor,
            16 => Expr::Entitlement(self.data()?, self.comparison()?),
            17 => Expr::CertPolicy(self.i32()?, self.data()?, self.comparison()?),
            18 => Expr::NamedAnchor(self.data()?),
            19 => Expr::NamedCode(self.data()?),
            20 => Expr::Platform(self.i32()?),
            21 => Expr::Notarized,
            22 => Expr::CertDate(self.i32()?, self.data()?, self.comparison()?),
            23 => Expr::LegacyDevId,
            number if op & 0xC000_0000 != 0 => {
                self.data()?;
                Expr::Unknown(number, op & 0x8000_0000 != 0)
            }
            _ => {
                let why = format!("operation {op:#x} of a requirement");
                return Err(Error::new(Code::Unsupported, why));
            }
        })
    }

    fn comparison(&mut self) -> Result<Match> {
        Ok(match self.u32()? {
            0 => Match::Exists,
            1 => Match::Equal(self.data()?),
            2 => Match::Contains(self.data()?),
            3 => Match::BeginsWith(self.data()?),
            4 => Match::EndsWith(self.data()?),
            5 => Match::Less(self.data()?),
            6 => Match::Greater(self.data()?),
            7 => Match::LessEqual(self.data()?),
            8 => Match::GreaterEqual(self.data()?),
            9 => Match::On(self.i64()?),
            10 => Match::Before(self.i64()?),
            11 => Match::After(self.i64()?),
            12 => Match::OnOrBefore(self.i64()?),
            13 => Match::OnOrAfter(self.i64()?),
            14 => Match::Absent,
            other => {
                let why = format!("comparison {other} of a requirement");
                return Err(Error::new(Code::Unsupported, why));
            }
        })
    }
}

/// The designated requirement of a set (magic 0xfade0c01), where it has one.
fn designated_of(set: &[u8]) -> Result<Option<&[u8]>> {
    let wrong = |why: &str| Error::new(Code::CodeSignature, format!("a requirement set {why}"));
    let count = be_u32(set, 8).ok_or_else(|| wrong("is cut"))?;
    if count > MAX_SET {
        return Err(wrong(&format!("of {count} requirements")));
    }
    let index = set.get(12..).unwrap_or_default().chunks_exact(8);
    for entry in index.take(usize::try_from(count).unwrap_or(0)) {
        if be_u32(entry, 0) == Some(DESIGNATED) {
            let at = be_u32(entry, 4).and_then(|n| usize::try_from(n).ok());
            let blob = at.and_then(|at| set.get(at..));
            return blob.map(Some).ok_or_else(|| wrong("refers to bytes outside of it"));
        }
    }
    Ok(None)
}

/// Finds the designated requirement, and whether the signature satisfies it.
pub(crate) fn designated(blobs: &[Blob<'_>], verdict: &mut Verdict) {
    let set = blobs.iter().find(|b| b.slot == blob::SLOT_REQUIREMENTS);
    let found = set.filter(|b| b.magic == blob::REQUIREMENTS).map(|b| designated_of(b.bytes));
    let parsed = match found {
        Some(Ok(Some(blob))) => parse(blob),
        Some(Err(e)) => Err(e),
        Some(Ok(None)) | None => return,
    };
    match parsed {
        Ok(expr) => {
            verdict.out.requirement = Some(text::print(&expr));
            if Facts::of(&verdict.out).satisfy(&expr) == Some(false) {
                verdict.note("does not satisfy its own designated requirement");
            }
        }
        Err(e) => verdict.note(e.to_string()),
    }
}
