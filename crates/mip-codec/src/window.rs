//! An output slice that is filled from the front, with copies from what is in it already.

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

    /// Adds bytes; those without room are left out.
    pub(crate) fn literals(&mut self, b: &[u8]) {
        let n = self.room(b.len());
        let end = self.at.saturating_add(n);
        if let (Some(to), Some(from)) = (self.out.get_mut(self.at..end), b.get(..n)) {
            to.copy_from_slice(from);
        }
        self.at = end;
    }

    /// Adds `len` bytes from `distance` back, which may overlap what is added; those without
    /// room are left out. `false`, with nothing added, when there are no such bytes.
    pub(crate) fn copy(&mut self, distance: usize, len: usize) -> bool {
        let Some(from) = self.at.checked_sub(distance).filter(|_| distance > 0) else {
            return false;
        };
        let mut left = self.room(len);
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
