//! The licence agreement that macOS shows before it mounts an image ("SLA").
//!
//! `LPic` 5000 names the default region and, for each region, the number (from 5000) of the
//! resources `TEXT` or `RTF ` (the agreement) and `STR#` (language and buttons). Format: the
//! `TMPL` resource for `LPic` of Apple's "Software Licenses for UDIF" kit.

use mip_base::bytes::be_u16;

use crate::resources::Resources;
use crate::rtf;
use crate::script::{self, Script};

/// The numbers in `LPic` count from here.
const BASE: i64 = 5000;
const ENTRY: usize = 6;
/// Agreements that are kept; macOS knows about a hundred regions.
const MOST: usize = 128;

/// The licence agreement of an image, in all its languages. All text is a stranger's: escape it
/// before printing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Licence {
    /// One per language, in the order of `LPic`.
    pub agreements: Vec<Agreement>,
    /// The Script Manager region that `LPic` says is the default.
    pub default_region: Option<i16>,
    /// What is wrong with the resources. The agreement is still there: macOS may well ask.
    pub notes: Vec<String>,
}

/// An agreement in one language.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Agreement {
    /// The number of its resources.
    pub id: i64,
    /// The Script Manager region.
    pub region: Option<i16>,
    /// The language of the region as a BCP 47 tag, such as `en-US`.
    pub language: Option<String>,
    /// The language as the image calls it (the first string of `STR#`).
    pub name: Option<String>,
    /// The text, with line feeds.
    pub text: String,
    /// Whether the image has it as RTF, of which `text` is the bare text.
    pub rtf: bool,
}

impl Licence {
    /// The agreement of the default region, else the first.
    #[must_use]
    pub fn default_agreement(&self) -> Option<&Agreement> {
        let is_default = |a: &&Agreement| a.region.is_some() && a.region == self.default_region;
        self.agreements.iter().find(is_default).or_else(|| self.agreements.first())
    }
}

/// The agreement in `resources`, where there is one. Never fails: what is wrong is noted.
pub(crate) fn read(resources: &Resources) -> Option<Licence> {
    let lpic = resources.get(b"LPic", BASE).or_else(|| resources.of(b"LPic").next());
    let texts = || resources.of(b"TEXT").chain(resources.of(b"RTF ")).filter(|r| r.id >= BASE);
    let mut out = Licence::default();
    let Some(lpic) = lpic else {
        let mut ids: Vec<i64> = texts().map(|r| r.id).take(MOST).collect();
        ids.sort_unstable();
        ids.dedup();
        for id in &ids {
            agreement(resources, *id, None, &mut out);
        }
        out.notes.push("an agreement without LPic, which would say in what language it is".into());
        return (!ids.is_empty()).then_some(out);
    };
    let b = lpic.data.as_slice();
    out.default_region = be_u16(b, 0).map(u16::cast_signed);
    let count = be_u16(b, 2).map_or(0, usize::from);
    let entries = b.get(4..).unwrap_or_default().chunks_exact(ENTRY);
    if entries.len() < count || b.len() < 4 {
        let room = entries.len();
        out.notes.push(format!("LPic is cut: {count} languages, but room for {room}"));
    }
    if count > MOST {
        out.notes.push(format!("{count} languages, of which {MOST} are looked at"));
    }
    for entry in entries.take(count.min(MOST)) {
        let half = |at| be_u16(entry, at).map_or(0, u16::cast_signed);
        let id = BASE.saturating_add(i64::from(half(2)));
        // Two regions may share an agreement; it is kept once.
        if out.agreements.iter().all(|a| a.id != id) {
            agreement(resources, id, Some(half(0)), &mut out);
        }
    }
    if out.agreements.is_empty() {
        out.notes.push("LPic leads to no agreement".into());
    }
    Some(out)
}

fn agreement(resources: &Resources, id: i64, region: Option<i16>, out: &mut Licence) {
    let script = region.map_or(Script::ROMAN, script::of_region);
    let plain = resources.get(b"TEXT", id);
    let rich = resources.get(b"RTF ", id);
    let text = match (plain, rich) {
        // Both say the same; plain text loses nothing on the way.
        (Some(plain), _) => {
            if !script.is_known() && !plain.data.is_ascii() {
                out.notes.push(format!("the encoding of agreement {id} is not decoded"));
            }
            script.decode(&plain.data)
        }
        (None, Some(rich)) => match rtf::text(&rich.data) {
            Some(text) => text,
            None => {
                out.notes.push(format!("the RTF of agreement {id} is damaged"));
                return;
            }
        },
        (None, None) => {
            out.notes.push(format!("agreement {id} has no text"));
            return;
        }
    };
    let name = resources.get(b"STR#", id).and_then(|r| {
        be_u16(&r.data, 0).filter(|count| *count > 0)?;
        let len = usize::from(*r.data.get(2)?);
        let bytes = r.data.get(3..)?.get(..len)?;
        (len > 0).then(|| script.decode(bytes))
    });
    out.agreements.push(Agreement {
        id,
        region,
        language: region.and_then(script::language).map(str::to_owned),
        name,
        text: text.replace("\r\n", "\n").replace('\r', "\n"),
        rtf: plain.is_none(),
    });
}
