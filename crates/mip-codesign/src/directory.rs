//! Code directories: what a signature covers, hash by hash (`cs_blobs.h`: `CS_CodeDirectory`).

use mip_base::bytes::{be_u32, be_u64, slice};
use mip_base::{Code, Error, Result, escape_bytes, hex, len64};

use crate::blob::{Blob, CODE_DIRECTORY, slot_name};
use crate::claims::CodeDirectoryHash;
use crate::hash::HashKind;
use crate::macho::version;

/// Flags that `codesign -d` names (`CSCommon.h`, `cs_blobs.h`).
const FLAGS: [(u32, &str); 10] = [
    (0x1, "host"),
    (ADHOC, "adhoc"),
    (0x100, "hard"),
    (0x200, "kill"),
    (0x400, "expires"),
    (0x800, "restrict"),
    (0x1000, "enforcement"),
    (0x2000, "library-validation"),
    (RUNTIME, "runtime"),
    (LINKER_SIGNED, "linker-signed"),
];
pub(crate) const ADHOC: u32 = 0x2;
pub(crate) const RUNTIME: u32 = 0x1_0000;
pub(crate) const LINKER_SIGNED: u32 = 0x2_0000;

/// Bytes of an identifier or a Team ID: it is kept, and shown, for every slice.
const MAX_NAME: usize = 4096;

/// A code directory of which all parts lie inside it.
#[derive(Debug, Clone)]
pub(crate) struct CodeDirectory<'a> {
    /// The blob: what is signed.
    pub(crate) bytes: &'a [u8],
    pub(crate) flags: u32,
    pub(crate) kind: HashKind,
    /// As text, whatever the bytes are. Not escaped.
    pub(crate) identifier: String,
    pub(crate) team_id: Option<String>,
    /// The SDK version of the hardened runtime.
    pub(crate) runtime: Option<String>,
    /// Bytes that are covered, from the start of the slice.
    pub(crate) code_limit: u64,
    /// Bytes of a page; `None`: all are one page.
    pub(crate) page_size: Option<u64>,
    /// Special slots that there is room for.
    pub(crate) specials: u32,
    /// Pages.
    pub(crate) pages: u32,
    hash_offset: usize,
}

impl<'a> CodeDirectory<'a> {
    /// Reads the code directory in `blob`.
    ///
    /// # Errors
    /// [`Code::CodeSignature`] for numbers that contradict each other; [`Code::Unsupported`].
    pub(crate) fn read(blob: &Blob<'a>) -> Result<Self> {
        let b = blob.bytes;
        let fail = |code, why: String| Error::new(code, why).at(blob.offset);
        let damaged = |why: &str| fail(Code::CodeSignature, format!("the code directory {why}"));
        let unsupported = |why: String| fail(Code::Unsupported, why);
        if blob.magic != CODE_DIRECTORY {
            let (what, magic) = (slot_name(blob.slot), blob.magic);
            return Err(fail(Code::CodeSignature, format!("{what} is a blob {magic:#010x}")));
        }
        let cut = || damaged("is cut");
        let field = |at| be_u32(b, at).ok_or_else(cut);
        let format = field(8)?;
        if !(0x2_0001..=0x2_F000).contains(&format) {
            return Err(unsupported(format!("a code directory of version {format:#x}")));
        }
        let (hash_offset, ident, specials, pages) =
            (field(16)?, field(20)?, field(24)?, field(28)?);
        let short_limit = u64::from(field(32)?);
        let [hash_size, hash_type, _platform, page_log] =
            b.get(36..).and_then(|b| b.first_chunk::<4>()).copied().ok_or_else(cut)?;
        let kind = HashKind::of(hash_type)
            .ok_or_else(|| unsupported(format!("hash type {hash_type} of a code directory")))?;
        if usize::from(hash_size) != kind.stored() {
            return Err(damaged(&format!("says {} hashes are {hash_size} bytes", kind.name())));
        }
        if format >= 0x2_0100 && field(44)? != 0 {
            return Err(unsupported("a code directory with a scatter list".to_owned()));
        }
        let text = |at: u32| {
            usize::try_from(at)
                .ok()
                .filter(|at| *at >= 44)
                .and_then(|at| b.get(at..))
                .and_then(|rest| rest.iter().position(|c| *c == 0).and_then(|n| rest.get(..n)))
        };
        let identifier = text(ident).ok_or_else(|| damaged("has its identifier outside of it"))?;
        let team = if format >= 0x2_0200 { field(48)? } else { 0 };
        let team_id = match team {
            0 => None,
            at => Some(text(at).ok_or_else(|| damaged("has its Team ID outside of it"))?),
        };
        let long_limit = if format >= 0x2_0300 { be_u64(b, 56).ok_or_else(cut)? } else { 0 };
        let runtime = if format >= 0x2_0500 { field(88)? } else { 0 };
        let page_size = match page_log {
            0 => None,
            log => Some(
                1_u64
                    .checked_shl(log.into())
                    .ok_or_else(|| damaged("has a page size over 2^63"))?,
            ),
        };
        let code_limit = if long_limit == 0 { short_limit } else { long_limit };
        let expected = match page_size {
            None => u64::from(code_limit != 0),
            Some(size) => code_limit.div_ceil(size),
        };
        if expected != u64::from(pages) {
            let why = format!("has {pages} hashes where {code_limit} bytes need {expected}");
            return Err(damaged(&why));
        }
        let width = u64::from(hash_size);
        let before = u64::from(specials).saturating_mul(width);
        let after = u64::from(pages).saturating_mul(width);
        let hashes = u64::from(hash_offset);
        if hashes.checked_sub(before).is_none_or(|from| from < 44)
            || hashes.saturating_add(after) > len64(b.len())
        {
            let why = format!("has no room for {specials} and {pages} hashes around byte {hashes}");
            return Err(damaged(&why));
        }
        if let Some(long) =
            [Some(identifier), team_id].into_iter().flatten().find(|t| t.len() > MAX_NAME)
        {
            let why = format!("has a name of {} bytes, more than {MAX_NAME}", long.len());
            return Err(damaged(&why));
        }
        let shown = |t: &[u8]| String::from_utf8(t.to_vec()).unwrap_or_else(|_| escape_bytes(t));
        Ok(Self {
            bytes: b,
            flags: field(12)?,
            kind,
            identifier: shown(identifier),
            team_id: team_id.map(shown),
            runtime: (runtime != 0).then(|| version(runtime)),
            code_limit,
            page_size,
            specials,
            pages,
            hash_offset: usize::try_from(hash_offset).map_err(|_| cut())?,
        })
    }

    /// The hash of page `n`.
    pub(crate) fn page(&self, n: u64) -> Option<&'a [u8]> {
        let n = usize::try_from(n).ok()?;
        let width = self.kind.stored();
        slice(self.bytes, self.hash_offset.checked_add(n.checked_mul(width)?)?, width)
    }

    /// The hash of special slot `n`, from 1; `None` when it has none.
    pub(crate) fn special(&self, n: u32) -> Option<&'a [u8]> {
        if n == 0 || n > self.specials {
            return None;
        }
        let width = self.kind.stored();
        let back = usize::try_from(n).ok()?.checked_mul(width)?;
        slice(self.bytes, self.hash_offset.checked_sub(back)?, width)
            .filter(|hash| hash.iter().any(|b| *b != 0))
    }

    pub(crate) fn flag_names(&self) -> Vec<String> {
        FLAGS
            .iter()
            .filter(|(bit, _)| self.flags & bit != 0)
            .map(|(_, n)| (*n).to_owned())
            .collect()
    }

    /// Its own digest: what macOS calls the CDHash is the first 20 bytes.
    pub(crate) fn hash(&self) -> CodeDirectoryHash {
        let digest = self.kind.digest(self.bytes);
        CodeDirectoryHash {
            algorithm: self.kind.name().to_owned(),
            cdhash: hex(digest.get(..20).unwrap_or_default()),
            digest: hex(&digest),
        }
    }
}
