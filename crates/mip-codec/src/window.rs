//! An output slice that is filled from the front, with copies from what is in it already.

/// Bytes copied at once where there is room for more than is wanted.
const WIDE: usize = 16;

/// The decoded bytes so far are the window of a byte-oriented LZ decoder.
pub(crate) struct Window<'a> {
    out: &'a mut [u8],
    at: usize,
    overflowed: bool,
}

impl<'a> Window<'a> {
    pub(crate) fn new(out: &'a mut [u8]) -> Self {
        Self { out, at: 0, overflowed: false }
    }

    /// Bytes so far.
    pub(crate) fn len(&self) -> usize {
        self.at
    }

    pub(crate) fn full(&self) -> bool {
        self.at >= self.out.len()
    }

    /// Whether bytes were left out because there was no room for them.
    pub(crate) fn overflowed(&self) -> bool {
        self.overflowed
    }

    fn room(&mut self, len: usize) -> usize {
        let room = self.out.len().saturating_sub(self.at);
        self.overflowed |= len > room;
        len.min(room)
    }

    /// Copies `WIDE` bytes to `to`; `false` when either range leaves its slice.
    fn wide(&mut self, from: Option<&[u8; WIDE]>, to: usize) -> bool {
        let out = self.out.get_mut(to..).and_then(<[u8]>::first_chunk_mut::<WIDE>);
        let (Some(from), Some(out)) = (from, out) else { return false };
        *out = *from;
        true
    }

    /// Adds the first `n` bytes of `b`; those without room are left out. `false`, with nothing
    /// added, when `b` has not so many.
    pub(crate) fn literals(&mut self, b: &[u8], n: usize) -> bool {
        // Bytes behind the end are written again, or zeroed by the caller of the decoder.
        if n <= WIDE && self.wide(b.first_chunk(), self.at) {
            self.at = self.at.saturating_add(n);
            return true;
        }
        let Some(b) = b.get(..n) else { return false };
        let n = self.room(n);
        let end = self.at.saturating_add(n);
        if let (Some(to), Some(from)) = (self.out.get_mut(self.at..end), b.get(..n)) {
            to.copy_from_slice(from);
        }
        self.at = end;
        true
    }

    /// Adds `len` bytes from `distance` back, which may overlap what is added; those without
    /// room are left out. `false`, with nothing added, when there are no such bytes.
    pub(crate) fn copy(&mut self, distance: usize, len: usize) -> bool {
        let Some(mut from) = self.at.checked_sub(distance).filter(|_| distance > 0) else {
            return false;
        };
        let mut left = self.room(len);
        // Whole pieces while they do not need bytes of themselves; as above for what is behind.
        while left > 0 && (distance >= WIDE || left <= distance) {
            let piece = self.out.get(from..).and_then(<[u8]>::first_chunk::<WIDE>).copied();
            if !self.wide(piece.as_ref(), self.at) {
                break;
            }
            let n = left.min(WIDE).min(distance);
            self.at = self.at.saturating_add(n);
            from = from.saturating_add(n);
            left = left.saturating_sub(n);
        }
        if distance == 1 {
            let end = self.at.saturating_add(left);
            let byte = self.out.get(from).copied().unwrap_or(0);
            if let Some(to) = self.out.get_mut(self.at..end) {
                to.fill(byte);
            }
            self.at = end;
            return true;
        }
        // The part between `from` and the end repeats: each round can copy all of it.
        while left > 0 {
            let n = left.min(self.at.saturating_sub(from));
            self.out.copy_within(from..from.saturating_add(n), self.at);
            self.at = self.at.saturating_add(n);
            left = left.saturating_sub(n);
        }
        true
    }
}
