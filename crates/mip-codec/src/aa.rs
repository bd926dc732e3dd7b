//! Apple Archive (`.aar`, `.yaa`): a streaming reader, packed or not.
//!
//! Packed archives are read with LZFSE (`pbze`), zlib (`pbzz`), xz (`pbzx`) or no packing
//! (`pbz-`). LZ4 (`pbz4`), LZBITMAP (`pbzb`) and encrypted archives (`AEA1`) are refused by
//! name.
//!
//! An Apple Archive has no end mark: one that is cut exactly between two entries cannot be
//! told from a whole one, unless its packing shows it.
//!
//! ```
//! use std::io::Read;
//! use mip_base::{EntryKind, Job};
//!
//! // One file "a" with the data "hi".
//! let archive = b"AA01\x18\x00TYP1FPATP\x01\x00aDATA\x02\x00hi";
//! assert!(mip_codec::aa::sniff(archive));
//! let mut r = mip_codec::aa::Reader::new(Box::new(&archive[..]), &Job::default())?;
//! let e = r.next_entry()?.unwrap();
//! assert_eq!((e.path.unwrap().as_str(), e.kind, e.size), ("a", EntryKind::File, 2));
//! let mut text = String::new();
//! r.read_to_string(&mut text)?;
//! assert_eq!(text, "hi");
//! assert!(r.next_entry()?.is_none());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::io::{self, Cursor, Read};

use mip_base::{
    Code, EntryKind, EntryPath, Error, Job, Result, escape_bytes, len64, read_some, read_up_to,
};
use sha2::{Digest, Sha256};

use crate::aa_header::{Blob, Header, PREFIX, blob_bytes, damaged, narrow, size};
use crate::chunks::{Chunks, Letter};
use crate::pump::{Pump, head_mut};

/// Whether `head` (6 bytes are enough) starts an Apple Archive.
///
/// False for `pbzx`, which is mostly the payload of a package: decode such a stream first
/// and ask again. [`Reader::new`] takes both.
#[must_use]
pub fn sniff(head: &[u8]) -> bool {
    [b"AA01", b"YAA1", b"AEA1", b"pbze", b"pbzz", b"pbz4", b"pbzb", b"pbz-"]
        .iter()
        .any(|m| head.starts_with(*m))
}

/// An entry of an Apple Archive.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// Where it lies; `None` for the root folder itself.
    pub path: Option<EntryPath>,
    /// What it is. [`EntryKind::Hardlink`] is a file without data of its own whose
    /// [`cluster`](Self::cluster) names the file that has it.
    pub kind: EntryKind,
    /// Permission bits, with set-user-id, set-group-id and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes of data.
    pub size: u64,
    /// Target of a symbolic link.
    pub link: Option<String>,
    /// Seconds since 1970; `None` when absent or before 1970.
    pub mtime: Option<u64>,
    /// Number shared by the hard links to one file.
    pub cluster: Option<u64>,
}

/// Reads an Apple Archive entry by entry. `Read` gives the data of the current entry.
pub struct Reader {
    input: Box<dyn Read + Send>,
    job: Job,
    at: u64,
    /// Blobs of the current entry that were not reached, last one first.
    blobs: Vec<Blob>,
    /// Bytes left of the blob that is being read; data only.
    left: u64,
    digest: Option<(Sha256, Vec<u8>)>,
    entries: u64,
    failed: Option<(Code, String)>,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("at", &self.at).field("entries", &self.entries).finish()
    }
}

/// Fills `buf`; returns how much was there.
fn fill(input: &mut (dyn Read + Send), buf: &mut [u8]) -> Result<usize> {
    read_up_to(input, buf).map_err(|e| Error::from_io(Code::InputIo, "reading", e))
}

impl Reader {
    /// Looks at the start of `input` and prepares to read its entries.
    ///
    /// # Errors
    /// [`Code::AppleArchive`] when it is no Apple Archive; [`Code::Unsupported`] for a
    /// packing or encryption that is not read; [`Code::Empty`]; what reading reports.
    pub fn new(mut input: Box<dyn Read + Send>, job: &Job) -> Result<Self> {
        let mut start = [0; 4];
        let n = fill(&mut *input, &mut start)?;
        if n == 0 {
            return Err(Error::new(Code::Empty, "the Apple Archive is empty"));
        }
        let magic = start.get(..n).unwrap_or_default().to_vec();
        let whole: Box<dyn Read + Send> = Box::new(Cursor::new(magic).chain(input));
        let unpack = |whole, letter| -> Box<dyn Read + Send> {
            Box::new(Pump::new(whole, Chunks::archive(letter, job), job))
        };
        let refuse =
            |what: &str| Err(Error::new(Code::Unsupported, format!("{what} is not supported")));
        let input = match &start {
            b"AA01" | b"YAA1" => whole,
            b"pbze" => unpack(whole, Letter::Lzfse),
            b"pbzz" => unpack(whole, Letter::Zlib),
            b"pbzx" => unpack(whole, Letter::Xz),
            b"pbz-" => unpack(whole, Letter::Raw),
            b"pbz4" => return refuse("an Apple Archive packed with LZ4 (pbz4)"),
            b"pbzb" => return refuse("an Apple Archive packed with LZBITMAP (pbzb)"),
            b"AEA1" => return refuse("an encrypted Apple Archive (AEA1)"),
            _ => {
                let got = escape_bytes(&start);
                return Err(damaged(format!("\"{got}\" does not start an Apple Archive")).at(0));
            }
        };
        Ok(Self {
            input,
            job: job.clone(),
            at: 0,
            blobs: Vec::new(),
            left: 0,
            digest: None,
            entries: 0,
            failed: None,
        })
    }

    /// Goes to the next entry, over what is left of the current one. `None` at the end.
    ///
    /// # Errors
    /// [`Code::AppleArchive`] for a header that breaks the format, a cut archive or data
    /// that does not match its SHA-256; [`Code::Unsupported`] for an entry type that is not
    /// known; [`Code::PathUnsafe`]; [`Code::LimitEntries`]; what unpacking reports.
    /// After an error, every call gives it again.
    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        if let Some((code, message)) = &self.failed {
            return Err(Error::new(*code, message.clone()).at(self.at));
        }
        self.advance().map_err(|e| self.fail(e))
    }

    fn fail(&mut self, e: Error) -> Error {
        self.failed = Some((e.code(), e.message().to_owned()));
        e.at(self.at)
    }

    fn advance(&mut self) -> Result<Option<Entry>> {
        loop {
            self.skip_rest()?;
            self.job.check()?;
            let Some(h) = self.header()? else { return Ok(None) };
            self.entries = self.entries.saturating_add(1);
            let limit = self.job.limits().entries;
            if self.entries > limit {
                return Err(Error::limit(Code::LimitEntries, "entries", limit, self.entries));
            }
            blob_bytes(&h.blobs)?;
            let kind = h.entry_kind()?;
            let entry = kind.map(|k| self.entry(&h, k)).transpose()?;
            self.blobs = h.blobs.iter().rev().copied().collect();
            self.digest =
                h.sha256.filter(|_| kind == Some(EntryKind::File)).map(|d| (Sha256::new(), d));
            if let Some(e) = entry {
                self.seek_data()?;
                return Ok(Some(e));
            }
        }
    }

    fn entry(&self, h: &Header, kind: EntryKind) -> Result<Entry> {
        h.check(kind)?;
        let limits = self.job.limits();
        let raw = h.path.as_deref().ok_or_else(|| damaged("an entry has no path"))?;
        let link = match &h.link {
            None => None,
            Some(l) => Some(link_text(l, limits.link_bytes)?),
        };
        Ok(Entry {
            path: EntryPath::parse(raw, limits)?,
            kind,
            mode: narrow("MOD", h.mode)? & 0o7777,
            uid: narrow("UID", h.uid)?,
            gid: narrow("GID", h.gid)?,
            size: h.data(),
            link,
            mtime: h.mtime.filter(|t| i64::try_from(*t).is_ok()),
            cluster: h.cluster,
        })
    }

    fn header(&mut self) -> Result<Option<Header>> {
        let mut prefix = [0; PREFIX];
        let n = fill(&mut *self.input, &mut prefix)?;
        if n == 0 {
            return Ok(None);
        }
        if n < PREFIX {
            return Err(damaged("the archive ends inside an entry header"));
        }
        // At most 64 KiB, as the size has 16 bits.
        let mut body = vec![0; size(&prefix)?.saturating_sub(PREFIX)];
        if fill(&mut *self.input, &mut body)? < body.len() {
            return Err(damaged("the archive ends inside an entry header"));
        }
        let h = Header::parse(&body)?;
        self.at = self.at.saturating_add(len64(PREFIX)).saturating_add(len64(body.len()));
        Ok(Some(h))
    }

    /// Skips blobs until the data is next, or none is left.
    fn seek_data(&mut self) -> Result<()> {
        while let Some(b) = self.blobs.pop() {
            self.left = b.size;
            if b.data {
                return Ok(());
            }
            self.drain(false)?;
        }
        self.left = 0;
        Ok(())
    }

    fn skip_rest(&mut self) -> Result<()> {
        // Reading the rest of the data, instead of dropping it, keeps its digest checked.
        self.drain(true)?;
        self.digest = None;
        while let Some(b) = self.blobs.pop() {
            self.left = b.size;
            self.drain(false)?;
        }
        Ok(())
    }

    fn drain(&mut self, data: bool) -> Result<()> {
        let mut buf = vec![0; if self.left == 0 { 0 } else { 32 << 10 }];
        while self.left > 0 {
            self.pull(&mut buf, data)?;
        }
        if data { self.close() } else { Ok(()) }
    }

    /// Reads from the current blob.
    fn pull(&mut self, buf: &mut [u8], data: bool) -> Result<usize> {
        let buf = head_mut(buf, self.left);
        let n = read_some(&mut self.input, buf)
            .map_err(|e| Error::from_io(Code::InputIo, "reading", e))?;
        if n == 0 {
            let left = self.left;
            return Err(damaged(format!(
                "the archive ends {left} bytes before the end of an entry"
            )));
        }
        if let (true, Some((sha, _))) = (data, &mut self.digest) {
            sha.update(buf.get(..n).unwrap_or_default());
        }
        self.left = self.left.saturating_sub(len64(n));
        self.at = self.at.saturating_add(len64(n));
        self.job.check()?;
        Ok(n)
    }

    /// Compares the digest when the data is complete.
    fn close(&mut self) -> Result<()> {
        if self.left == 0
            && let Some((sha, stored)) = self.digest.take()
            && sha.finalize().as_slice() != stored
        {
            return Err(damaged("the data of an entry does not match its SHA-256"));
        }
        Ok(())
    }
}

impl Read for Reader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if let Some((code, message)) = &self.failed {
            return Err(Error::new(*code, message.clone()).at(self.at).into());
        }
        if buf.is_empty() {
            return Ok(0);
        }
        let r = if self.left == 0 { self.close().map(|()| 0) } else { self.pull(buf, true) };
        r.map_err(|e| self.fail(e).into())
    }
}

fn link_text(raw: &[u8], limit: u64) -> Result<String> {
    let bad = |why: &str| Err(Error::new(Code::PathUnsafe, format!("a link target {why}")));
    if raw.is_empty() {
        return bad("is empty");
    }
    if len64(raw.len()) > limit {
        return bad("is longer than the limit");
    }
    match std::str::from_utf8(raw) {
        Ok(t) if !t.contains('\0') => Ok(t.to_owned()),
        Ok(_) => bad("holds a NUL"),
        Err(_) => bad("is not UTF-8"),
    }
}
