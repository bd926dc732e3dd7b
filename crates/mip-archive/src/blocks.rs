//! SHA-256 of every block of the body, in one pass, though one header is patched at the end.

use crate::Digest;
use crate::hash::Sha256;
use crate::profile::BLOCK;
use mip_base::len64;

/// Hashes the body block by block.
///
/// The payload's local header carries sizes and a CRC that are known only after its data.
/// [`hold`](Self::hold) keeps the bytes from that header to the end of its last block (at most
/// two blocks) until [`release`](Self::release) hands in the final header.
pub(crate) struct BlockHasher {
    /// Bytes so far.
    at: u64,
    /// The block that `at` lies in, unless that is held.
    open: Sha256,
    digests: Vec<Digest>,
    held: Option<Held>,
}

struct Held {
    /// The open block as it was when the hold began.
    open: Sha256,
    start: u64,
    /// End of the last held block.
    until: u64,
    first: usize,
    bytes: Vec<u8>,
}

impl BlockHasher {
    pub(crate) fn new() -> Self {
        Self { at: 0, open: Sha256::new(), digests: Vec::new(), held: None }
    }

    /// Keeps the next bytes up to the end of the block in which the next `len` bytes end.
    pub(crate) fn hold(&mut self, len: u64) {
        let end = self.at.saturating_add(len);
        self.held = Some(Held {
            open: self.open.clone(),
            start: self.at,
            until: end.div_ceil(BLOCK).saturating_mul(BLOCK),
            first: self.digests.len(),
            bytes: Vec::new(),
        });
    }

    /// Takes the next bytes of the body.
    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let end = match &self.held {
                Some(h) if self.at < h.until => h.until,
                _ => end_of_block(self.at),
            };
            let (now, later) = split(bytes, end.saturating_sub(self.at));
            bytes = later;
            self.at = self.at.saturating_add(len64(now.len()));
            match &mut self.held {
                Some(h) if self.at <= h.until => {
                    h.bytes.extend_from_slice(now);
                    if self.at == h.until {
                        // Places for the held blocks, filled by `release`.
                        let blocks = h.until.saturating_sub(h.start).div_ceil(BLOCK);
                        let len = h.first.saturating_add(usize::try_from(blocks).unwrap_or(0));
                        self.digests.resize(len, [0; 32]);
                        self.open = Sha256::new();
                    }
                }
                _ => {
                    self.open.update(now);
                    if self.at.is_multiple_of(BLOCK) {
                        let open = std::mem::replace(&mut self.open, Sha256::new());
                        self.digests.push(open.finish());
                    }
                }
            }
        }
    }

    /// Replaces the first held bytes by `header` and hashes what was held.
    pub(crate) fn release(&mut self, header: &[u8]) {
        let Some(mut h) = self.held.take() else { return };
        for (to, from) in h.bytes.iter_mut().zip(header) {
            *to = *from;
        }
        let over = self.at >= h.until;
        let (mut at, mut open, mut slot) = (h.start, h.open, h.first);
        let mut bytes = h.bytes.as_slice();
        while !bytes.is_empty() {
            let (now, later) = split(bytes, end_of_block(at).saturating_sub(at));
            bytes = later;
            open.update(now);
            at = at.saturating_add(len64(now.len()));
            if at.is_multiple_of(BLOCK) {
                let digest = std::mem::replace(&mut open, Sha256::new()).finish();
                match self.digests.get_mut(slot) {
                    Some(place) => *place = digest,
                    None => self.digests.push(digest),
                }
                slot = slot.saturating_add(1);
            }
        }
        if !over {
            self.open = open;
        }
    }

    /// The digests of all blocks, the last one possibly short.
    pub(crate) fn finish(mut self) -> Vec<Digest> {
        if !self.at.is_multiple_of(BLOCK) {
            self.digests.push(self.open.finish());
        }
        self.digests
    }
}

fn end_of_block(at: u64) -> u64 {
    // `at / BLOCK * BLOCK + BLOCK` of a position in a file: cannot overflow.
    (at | BLOCK.saturating_sub(1)).saturating_add(1)
}

fn split(bytes: &[u8], at: u64) -> (&[u8], &[u8]) {
    let at = usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
    bytes.split_at(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::sha256;

    /// The digests as the format defines them, from the whole body at once.
    fn plain(body: &[u8]) -> Vec<Digest> {
        body.chunks(1 << 20).map(sha256).collect()
    }

    #[test]
    fn a_patched_header_anywhere_gives_the_digests_of_the_patched_body() {
        let mib = 1usize << 20;
        for before in [0, 5, mib - 4000, mib - 100, mib - 10, mib, mib + 7, 2 * mib - 1] {
            for after in [0, 1, mib / 2, mib - 5, 2 * mib - before % mib, 3 * mib + 11] {
                let header = 4500;
                let mut body: Vec<u8> =
                    (0..before + header + after).map(|i| ((i * 31) >> 3) as u8).collect();
                let mut b = BlockHasher::new();
                b.update(&body[..before]);
                b.hold(header as u64);
                for piece in body[before..].chunks(777_777) {
                    b.update(piece);
                }
                assert!(b.held.as_ref().unwrap().bytes.len() <= 2 * mib);
                let patched = vec![0xAB; header];
                b.release(&patched);
                b.update(b"tail");
                body[before..before + header].copy_from_slice(&patched);
                body.extend_from_slice(b"tail");
                assert!(b.finish() == plain(&body), "{before} {after}");
            }
        }
    }
}
