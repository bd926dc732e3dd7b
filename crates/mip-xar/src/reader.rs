//! The decoded bytes of a file, checked while they are read.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use mip_base::{Code, Cursor, Error, Job, Result, Section, len64, read_some, read_up_to};
use mip_codec::Compression;

use crate::checksum::{Checksum, Hasher};
use crate::{ChecksumStyle, XarData};

/// Counts and digests the stored bytes on their way to the decoder.
struct Tap {
    input: Cursor<Section>,
    state: Arc<Mutex<TapState>>,
}

struct TapState {
    hasher: Hasher,
    count: u64,
}

impl Read for Tap {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.input.read(buf)?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.hasher.update(buf.get(..n).unwrap_or(&[]));
        state.count = state.count.saturating_add(len64(n));
        Ok(n)
    }
}

/// Reads a file and checks its length and checksums with its last bytes: they are handed out
/// only when all is right.
pub(crate) struct Checked {
    input: Box<dyn Read + Send>,
    tap: Arc<Mutex<TapState>>,
    archived: Option<Checksum>,
    extracted: Option<(Hasher, Checksum)>,
    length: u64,
    size: u64,
    made: u64,
    job: Job,
    done: bool,
    failed: bool,
}

impl Checked {
    pub(crate) fn open(section: Section, data: &XarData, job: &Job) -> Result<Self> {
        // Data that is stored as it is, with one digest for both, is digested once.
        let same = data.encoding == Compression::None
            && data.archived.is_some()
            && data.archived == data.extracted;
        let extracted = data.extracted.clone().filter(|_| !same);
        let style = data.archived.as_ref().map_or(ChecksumStyle::None, |c| c.style);
        let tap = Arc::new(Mutex::new(TapState { hasher: Hasher::new(style), count: 0 }));
        let encoding = actual(data, &section)?;
        let input = Box::new(Tap { input: section.reader(), state: tap.clone() });
        let input: Box<dyn Read + Send> = match encoding {
            Compression::None => input,
            _ if data.length == 0 => input,
            codec => mip_codec::decoder(codec, input, job)?,
        };
        Ok(Self {
            input,
            tap,
            archived: data.archived.clone(),
            extracted: extracted.map(|c| (Hasher::new(c.style), c)),
            length: data.length,
            size: data.size,
            made: 0,
            job: job.clone(),
            done: false,
            failed: false,
        })
    }

    fn more(&mut self, buf: &mut [u8]) -> Result<usize> {
        self.job.check()?;
        if buf.is_empty() {
            return Ok(0);
        }
        let left = self.size.saturating_sub(self.made);
        if left == 0 {
            // Only a file of size 0 comes here before the end was checked.
            self.end()?;
            return Ok(0);
        }
        let n = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        let window = buf.get_mut(..n).unwrap_or_default();
        let got = read_once(&mut *self.input, window)?;
        if got == 0 {
            return Err(Error::new(
                Code::XarChecksum,
                format!("decodes to {} bytes instead of {}", self.made, self.size),
            ));
        }
        if let Some((hasher, _)) = &mut self.extracted {
            hasher.update(window.get(..got).unwrap_or(&[]));
        }
        self.made = self.made.saturating_add(len64(got));
        if self.made >= self.size {
            self.end()?;
        }
        Ok(got)
    }

    /// All of `size` is decoded: nothing more may follow, and the checksums must match.
    fn end(&mut self) -> Result<()> {
        let wrong = |what: String| Err(Error::new(Code::XarChecksum, what));
        if read_once(&mut *self.input, &mut [0])? != 0 {
            return wrong(format!("decodes to more than {} bytes", self.size));
        }
        self.done = true;
        let tap = self.tap.lock().unwrap_or_else(PoisonError::into_inner);
        if tap.count != self.length {
            return wrong(format!("its data ends after {} of {} bytes", tap.count, self.length));
        }
        if let Some(c) = &self.archived {
            let digest = tap.hasher.clone().finish();
            if digest != c.digest {
                return wrong(format!("the stored bytes do not match their {}", c.style.name()));
            }
        }
        if let Some((hasher, c)) = self.extracted.take()
            && hasher.finish() != c.digest
        {
            return wrong(format!("the decoded bytes do not match their {}", c.style.name()));
        }
        Ok(())
    }
}

impl Read for Checked {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.failed {
            return Err(Error::new(Code::XarChecksum, "reading it failed before").into());
        }
        if self.done {
            return Ok(0);
        }
        self.more(buf).map_err(|e| {
            self.failed = true;
            io::Error::from(e)
        })
    }
}

fn read_once(input: &mut dyn Read, buf: &mut [u8]) -> Result<usize> {
    read_some(input, buf).map_err(|e| Error::from_io(Code::InputIo, "reading", e))
}

/// The codec that the stored bytes show. "x-gzip" is a zlib stream in the xar tools and a
/// gzip file elsewhere; "x-lzma" is an .lzma or an .xz stream.
fn actual(data: &XarData, section: &Section) -> Result<Compression> {
    if !matches!(data.encoding, Compression::Zlib | Compression::Lzma) {
        return Ok(data.encoding);
    }
    let mut head = [0; 16];
    let have = read_up_to(&mut section.reader(), &mut head)
        .map_err(|e| Error::from_io(Code::InputIo, "reading", e))?;
    let head = head.get(..have).unwrap_or(&[]);
    Ok(match data.encoding {
        Compression::Zlib if head.starts_with(&[0x1f, 0x8b]) => Compression::Gzip,
        Compression::Lzma if head.starts_with(b"\xfd7zXZ\0") => Compression::Xz,
        declared => declared,
    })
}
