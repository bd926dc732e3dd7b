//! The decrypted image.

use std::io;
use std::sync::Arc;

use aes::{Aes128Dec, Aes256Dec};
use cbc::Decryptor;
use cbc::cipher::common::InnerIvInit as _;
use cbc::cipher::{Array, BlockCipherDecrypt, BlockModeDecrypt as _, KeyInit as _};
use hmac::{Hmac, Mac as _};
use mip_base::{Code, Error, Job, ReadAt, Recent, Result, Source, len64, read_full_at};
use sha1::Sha1;
use zeroize::Zeroizing;

use super::header::Header;
use super::unwrap::Unwrapped;

/// About as many bytes are decrypted for a small read, so that the next one finds them.
const PAGE: u64 = 16 << 10;
/// Pages that are kept.
const PAGES: usize = 8;
/// Bytes of one step of a large read.
const STEP: usize = 256 << 10;

enum Cipher {
    Aes128(Aes128Dec),
    Aes256(Aes256Dec),
}

type Page = Arc<Zeroizing<Vec<u8>>>;

pub(super) struct Decrypted {
    source: Source,
    cipher: Cipher,
    /// Keyed and ready for a block's number.
    vectors: Hmac<Sha1>,
    block: usize,
    /// A multiple of the block.
    page: u64,
    size: u64,
    at: u64,
    holes: bool,
    /// The pages read last.
    pages: Recent<u64, Page>,
    job: Job,
}

impl Decrypted {
    pub(super) fn new(
        source: Source,
        header: &Header,
        keys: &Unwrapped,
        holes: bool,
        job: &Job,
    ) -> Result<Self> {
        let internal = || Error::new(Code::Internal, "a key of the encrypted image does not fit");
        let cipher = match keys.aes.len() {
            16 => Aes128Dec::new_from_slice(&keys.aes).ok().map(Cipher::Aes128),
            _ => Aes256Dec::new_from_slice(&keys.aes).ok().map(Cipher::Aes256),
        };
        let block = u64::from(header.info.block_size);
        Ok(Self {
            source,
            cipher: cipher.ok_or_else(internal)?,
            vectors: Hmac::new_from_slice(&keys.hmac).map_err(|_| internal())?,
            block: usize::try_from(block).map_err(|_| internal())?,
            page: PAGE.next_multiple_of(block.max(1)),
            size: header.info.data_size,
            at: header.data_at,
            holes,
            pages: Recent::new(PAGES),
            job: job.clone(),
        })
    }

    /// Fills `out` with plain bytes from `offset` on, which is the start of a block. `out` ends
    /// at the end of a piece of 16 bytes.
    fn decrypt(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let at = self.at.saturating_add(offset);
        read_full_at(&self.source, at, out, Code::Truncated)?;
        let block = len64(self.block).max(1);
        // `check_block_count` has seen that the numbers fit.
        let first = u32::try_from(offset.checked_div(block).unwrap_or(0)).unwrap_or(u32::MAX);
        for (data, step) in out.chunks_mut(self.block.max(16)).zip(0_u32..) {
            if self.holes && data.iter().all(|b| *b == 0) {
                continue;
            }
            let mut vector = self.vectors.clone();
            vector.update(&first.wrapping_add(step).to_be_bytes());
            let vector = vector.finalize().into_bytes();
            let mut iv = Array::default();
            iv.copy_from_slice(vector.get(..16).unwrap_or(&[0; 16]));
            match &self.cipher {
                Cipher::Aes128(aes) => cbc(aes, &iv, data),
                Cipher::Aes256(aes) => cbc(aes, &iv, data),
            }
        }
        Ok(())
    }

    fn page(&self, number: u64) -> Result<Page> {
        if let Some(page) = self.pages.get(&number) {
            return Ok(page);
        }
        self.job.check()?;
        let start = number.saturating_mul(self.page);
        let plain = self.size.saturating_sub(start).min(self.page);
        let stored = plain.next_multiple_of(16);
        let mut data = Zeroizing::new(self.job.buffer("decrypted page", stored, 2 << 20)?);
        self.decrypt(start, &mut data)?;
        data.truncate(usize::try_from(plain).unwrap_or(0));
        let page = Arc::new(data);
        self.pages.put(number, page.clone());
        Ok(page)
    }
}

fn cbc<C: BlockCipherDecrypt<BlockSize = cbc::cipher::consts::U16>>(
    cipher: &C,
    iv: &Array<u8, cbc::cipher::consts::U16>,
    data: &mut [u8],
) {
    let (blocks, _) = Array::slice_as_chunks_mut(data);
    Decryptor::<&C>::inner_iv_init(cipher, iv).decrypt_blocks(blocks);
}

impl ReadAt for Decrypted {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let want = left.min(buf.len());
        let mut done = 0_usize;
        while let Some(rest) = buf.get_mut(done..want).filter(|r| !r.is_empty()) {
            let at = offset.saturating_add(len64(done));
            // What is at least a page goes straight into the caller's buffer.
            let whole = rest.len().min(STEP.max(self.block));
            let whole = whole.saturating_sub(whole.checked_rem(self.block).unwrap_or(0));
            let aligned = at.is_multiple_of(len64(self.block).max(1));
            if aligned && len64(whole) >= self.page {
                self.job.check()?;
                if let Some(out) = rest.get_mut(..whole) {
                    self.decrypt(at, out)?;
                }
                done = done.saturating_add(whole);
                continue;
            }
            let page = self.page(at.checked_div(self.page).unwrap_or(0))?;
            let inside = usize::try_from(at.checked_rem(self.page).unwrap_or(0)).unwrap_or(0);
            let have = page.get(inside..).unwrap_or_default();
            let n = have.len().min(rest.len());
            match (rest.get_mut(..n), have.get(..n)) {
                (Some(to), Some(from)) if n > 0 => to.copy_from_slice(from),
                _ => break,
            }
            done = done.saturating_add(n);
        }
        Ok(done)
    }
}
