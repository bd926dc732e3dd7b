//! A builder of Mach-O programs and disk images with embedded code signatures, valid and broken.
//!
//! Written from `mach-o/loader.h` and `cs_blobs.h`, checked with `llvm-objdump --macho` and with
//! the Python reader beside the tests of `mip-codesign`. It signs ad-hoc: a CMS signature is
//! bytes that a test brings.

use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha384};

/// A hash of a code directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// Type 1.
    Sha1,
    /// Type 2.
    Sha256,
    /// Type 3: SHA-256 cut to 20 bytes.
    Sha256Cut,
    /// Type 4.
    Sha384,
}

impl Hash {
    fn number(self) -> u8 {
        match self {
            Hash::Sha1 => 1,
            Hash::Sha256 => 2,
            Hash::Sha256Cut => 3,
            Hash::Sha384 => 4,
        }
    }

    fn width(self) -> usize {
        match self {
            Hash::Sha1 | Hash::Sha256Cut => 20,
            Hash::Sha256 => 32,
            Hash::Sha384 => 48,
        }
    }

    /// The stored hash of `bytes`.
    #[must_use]
    pub fn of(self, bytes: &[u8]) -> Vec<u8> {
        let mut digest = match self {
            Hash::Sha1 => Sha1::digest(bytes).to_vec(),
            Hash::Sha256 | Hash::Sha256Cut => Sha256::digest(bytes).to_vec(),
            Hash::Sha384 => Sha384::digest(bytes).to_vec(),
        };
        digest.truncate(self.width());
        digest
    }
}

/// What a signature says. The default is what `codesign -s -` writes for a small tool.
#[derive(Debug, Clone)]
pub struct Signature {
    /// The identifier.
    pub identifier: String,
    /// The Team ID.
    pub team_id: Option<String>,
    /// Flags; 2 is ad-hoc.
    pub flags: u32,
    /// Version of the code directories: 0x20001, 0x20100, … 0x20600.
    pub version: u32,
    /// One code directory each, the first in slot 0, the others as alternates.
    pub hashes: Vec<Hash>,
    /// Page size as a power of two; 0: one page.
    pub page_log: u8,
    /// SDK of the hardened runtime, packed; from version 0x20500 on.
    pub runtime: u32,
    /// Special slots whose bytes are outside the signature: slot and bytes.
    pub outside: Vec<(u32, Vec<u8>)>,
    /// Blobs of special slots: slot, magic, content.
    pub inside: Vec<(u32, u32, Vec<u8>)>,
    /// Blobs that no hash covers: slot, magic, content.
    pub others: Vec<(u32, u32, Vec<u8>)>,
    /// Zero bytes after the superblob, inside the room that the program gives it.
    pub padding: usize,
}

impl Default for Signature {
    fn default() -> Self {
        Self {
            identifier: "org.example.tool".to_owned(),
            team_id: None,
            flags: 2,
            version: 0x2_0400,
            hashes: vec![Hash::Sha256],
            page_log: 12,
            runtime: 0,
            outside: Vec::new(),
            inside: Vec::new(),
            others: Vec::new(),
            padding: 0,
        }
    }
}

fn n32(n: usize) -> u32 {
    u32::try_from(n).expect("small")
}

/// A blob: magic, length, content.
#[must_use]
pub fn blob(magic: u32, content: &[u8]) -> Vec<u8> {
    [&magic.to_be_bytes()[..], &n32(content.len() + 8).to_be_bytes(), content].concat()
}

/// A superblob of these slots, in this order.
#[must_use]
pub fn superblob(magic: u32, blobs: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let mut content = n32(blobs.len()).to_be_bytes().to_vec();
    let mut at = 12 + 8 * blobs.len();
    for (slot, bytes) in blobs {
        content.extend(slot.to_be_bytes());
        content.extend(n32(at).to_be_bytes());
        at += bytes.len();
    }
    content.extend(blobs.iter().flat_map(|(_, b)| b));
    blob(magic, &content)
}

/// A requirement in expression form: `words` are the operations and their arguments.
#[must_use]
pub fn requirement(words: &[u8]) -> Vec<u8> {
    blob(0xfade_0c00, &[&1_u32.to_be_bytes()[..], words].concat())
}

/// The content of the requirements blob (slot 2) with one designated requirement.
#[must_use]
pub fn designated(requirement: &[u8]) -> Vec<u8> {
    superblob(0xfade_0c01, &[(3, requirement.to_vec())])[8..].to_vec()
}

/// An argument of a requirement: length, bytes, zeros up to a multiple of four.
#[must_use]
pub fn argument(bytes: &[u8]) -> Vec<u8> {
    let mut out = n32(bytes.len()).to_be_bytes().to_vec();
    out.extend(bytes);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

impl Signature {
    /// The code directory of one hash over `covered`.
    #[must_use]
    pub fn directory(&self, hash: Hash, covered: &[u8]) -> Vec<u8> {
        let header = match self.version >> 8 {
            0x200 => 44,
            0x201 => 48,
            0x202 => 52,
            0x203 => 64,
            0x204 => 88,
            0x205 => 96,
            _ => 108,
        };
        let inside = self.inside.iter().map(|(s, m, c)| (*s, blob(*m, c)));
        let specials: Vec<_> = self.outside.iter().cloned().chain(inside).collect();
        let room = specials.iter().map(|(s, _)| *s).max().unwrap_or(0);
        let mut text = self.identifier.clone().into_bytes();
        text.push(0);
        let team_at = header + text.len();
        if let Some(team) = &self.team_id {
            text.extend(team.as_bytes());
            text.push(0);
        }
        let mut slots = vec![vec![0; hash.width()]; room as usize];
        for (slot, bytes) in &specials {
            slots[(room - slot) as usize] = hash.of(bytes);
        }
        let page = if self.page_log == 0 { covered.len().max(1) } else { 1 << self.page_log };
        let pages: Vec<_> = covered.chunks(page).map(|p| hash.of(p)).collect();
        let hash_at = header + text.len() + slots.len() * hash.width();
        let mut b: Vec<u8> = Vec::new();
        for word in [
            self.version,
            self.flags,
            n32(hash_at),
            n32(header),
            room,
            n32(pages.len()),
            n32(covered.len()),
        ] {
            b.extend(word.to_be_bytes());
        }
        b.extend([n32(hash.width()) as u8, hash.number(), 0, self.page_log, 0, 0, 0, 0]);
        b.resize(header - 8, 0);
        if self.version >= 0x2_0200 && self.team_id.is_some() {
            b[40..44].copy_from_slice(&n32(team_at).to_be_bytes());
        }
        if self.version >= 0x2_0500 {
            b[80..84].copy_from_slice(&self.runtime.to_be_bytes());
        }
        b.extend(text);
        b.extend(slots.concat());
        b.extend(pages.concat());
        blob(0xfade_0c02, &b)
    }

    /// The superblob over `covered`, without padding.
    #[must_use]
    pub fn superblob(&self, covered: &[u8]) -> Vec<u8> {
        let mut blobs = Vec::new();
        for (i, hash) in self.hashes.iter().enumerate() {
            let slot = if i == 0 { 0 } else { 0xfff + n32(i) };
            blobs.push((slot, self.directory(*hash, covered)));
        }
        for (slot, magic, content) in self.inside.iter().chain(&self.others) {
            blobs.push((*slot, blob(*magic, content)));
        }
        blobs.sort_by_key(|(slot, _)| *slot);
        superblob(0xfade_0cc0, &blobs)
    }
}

/// A program for one processor.
#[derive(Debug, Clone)]
pub struct Program {
    /// `CPU_TYPE_…` and `CPU_SUBTYPE_…`.
    pub cpu: (u32, u32),
    /// A 64-bit header.
    pub wide: bool,
    /// Big-endian numbers.
    pub big_endian: bool,
    /// The bytes of the code.
    pub code: Vec<u8>,
    /// The section `__TEXT,__info_plist`.
    pub info_plist: Option<Vec<u8>>,
    /// The signature.
    pub signature: Option<Signature>,
    /// Bytes after the signature, in no segment.
    pub tail: Vec<u8>,
}

impl Default for Program {
    fn default() -> Self {
        Self {
            cpu: (0x0100_000c, 0),
            wide: true,
            big_endian: false,
            code: (0..10_000_u32).map(|i| (i * 7 / 3) as u8).collect(),
            info_plist: None,
            signature: Some(Signature::default()),
            tail: Vec::new(),
        }
    }
}

struct Words {
    out: Vec<u8>,
    wide: bool,
    big: bool,
}

impl Words {
    fn u32(&mut self, n: u32) {
        self.out.extend(if self.big { n.to_be_bytes() } else { n.to_le_bytes() });
    }

    fn word(&mut self, n: usize) {
        let n = n as u64;
        match (self.wide, self.big) {
            (false, _) => self.u32(u32::try_from(n).expect("small")),
            (true, true) => self.out.extend(n.to_be_bytes()),
            (true, false) => self.out.extend(n.to_le_bytes()),
        }
    }

    fn name(&mut self, name: &str) {
        let mut b = name.as_bytes().to_vec();
        b.resize(16, 0);
        self.out.extend(b);
    }

    /// A segment, and its sections: name, offset and bytes.
    fn segment(&mut self, name: &str, at: usize, len: usize, sections: &[(&str, usize, usize)]) {
        let (head, each) = if self.wide { (72, 80) } else { (56, 68) };
        self.u32(if self.wide { 0x19 } else { 1 });
        self.u32(n32(head + each * sections.len()));
        self.name(name);
        for n in [0x1000 + at, len, at, len] {
            self.word(n);
        }
        for n in [7, 5, n32(sections.len()), 0] {
            self.u32(n);
        }
        for (section, from, bytes) in sections {
            self.name(section);
            self.name(name);
            self.word(0x1000 + from);
            self.word(*bytes);
            for n in [n32(*from), 0, 0, 0, 0, 0, 0] {
                self.u32(n);
            }
            if self.wide {
                self.u32(0);
            }
        }
    }
}

impl Program {
    /// An ad-hoc signed program for `cpu` with this signature.
    #[must_use]
    pub fn signed(signature: Signature) -> Self {
        Self { signature: Some(signature), ..Self::default() }
    }

    /// Where the code starts.
    pub const CODE: usize = 0x400;

    /// The bytes of the file.
    #[must_use]
    pub fn build(&self) -> Vec<u8> {
        let info = self.info_plist.clone().unwrap_or_default();
        let info_at = Self::CODE + self.code.len();
        let text_end = info_at + info.len();
        let link = text_end.next_multiple_of(0x1000);
        let signature_at = link + 64;
        // The length of a superblob does not depend on the bytes that it covers.
        let room = self
            .signature
            .as_ref()
            .map_or(0, |s| s.superblob(&vec![0; signature_at]).len() + s.padding);
        let mut sections = vec![("__text", Self::CODE, self.code.len())];
        if self.info_plist.is_some() {
            sections.push(("__info_plist", info_at, info.len()));
        }
        let mut w = Words { out: Vec::new(), wide: self.wide, big: self.big_endian };
        w.segment("__TEXT", 0, link, &sections);
        w.segment("__LINKEDIT", link, signature_at + room - link, &[]);
        // LC_BUILD_VERSION: macOS, minimum 11.3.1, SDK 14.2, no tools.
        for n in [0x32, 24, 1, 0x000b_0301, 0x000e_0200, 0] {
            w.u32(n);
        }
        if self.signature.is_some() {
            for n in [0x1d, 16, n32(signature_at), n32(room)] {
                w.u32(n);
            }
        }
        let commands = w.out;
        let mut w = Words { out: Vec::new(), wide: self.wide, big: self.big_endian };
        w.u32(if self.wide { 0xfeed_facf } else { 0xfeed_face });
        let count = 3 + u32::from(self.signature.is_some());
        for n in [self.cpu.0, self.cpu.1, 2, count, n32(commands.len()), 0x0020_0085] {
            w.u32(n);
        }
        if self.wide {
            w.u32(0);
        }
        let mut out = w.out;
        out.extend(commands);
        assert!(out.len() <= Self::CODE, "room for load commands");
        out.resize(Self::CODE, 0);
        out.extend(&self.code);
        out.extend(info);
        out.resize(link, 0);
        out.extend([0x5a; 64]);
        if let Some(signature) = &self.signature {
            let superblob = signature.superblob(&out);
            out.extend(superblob);
            out.resize(signature_at + room, 0);
        }
        out.extend(&self.tail);
        out
    }
}

/// A fat file of these slices, each at a multiple of 16 KiB. `wide`: 64-bit ranges.
#[must_use]
pub fn fat(slices: &[((u32, u32), Vec<u8>)], wide: bool) -> Vec<u8> {
    let mut out = if wide { 0xcafe_babf_u32 } else { 0xcafe_babe }.to_be_bytes().to_vec();
    out.extend(n32(slices.len()).to_be_bytes());
    let mut at = 0x4000_usize;
    for ((cpu, subtype), bytes) in slices {
        out.extend(cpu.to_be_bytes());
        out.extend(subtype.to_be_bytes());
        if wide {
            out.extend((at as u64).to_be_bytes());
            out.extend((bytes.len() as u64).to_be_bytes());
        } else {
            out.extend(n32(at).to_be_bytes());
            out.extend(n32(bytes.len()).to_be_bytes());
        }
        out.extend(14_u32.to_be_bytes());
        if wide {
            out.extend(0_u32.to_be_bytes());
        }
        at = (at + bytes.len()).next_multiple_of(0x4000);
    }
    for (_, bytes) in slices {
        out.resize(out.len().next_multiple_of(0x4000), 0);
        out.extend(bytes);
    }
    out
}

/// Signs a disk image: the superblob goes before the `koly` trailer, slot 6 covers the trailer
/// with the place of the signature and its length as zero.
#[must_use]
pub fn sign_image(image: &[u8], signature: &Signature) -> Vec<u8> {
    let (data, trailer) = image.split_at(image.len() - 512);
    let mut trailer = trailer.to_vec();
    trailer[296..304].copy_from_slice(&(data.len() as u64).to_be_bytes());
    trailer[304..312].fill(0);
    let mut signature = signature.clone();
    signature.outside.push((6, trailer.clone()));
    let superblob = signature.superblob(data);
    trailer[304..312].copy_from_slice(&(superblob.len() as u64).to_be_bytes());
    [data, &superblob, &trailer].concat()
}
