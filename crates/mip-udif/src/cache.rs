//! Decoded chunks that are kept, within a bound, and the rule that a chunk which is being
//! decoded is waited for instead of decoded again. No lock is held while decoding.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use mip_base::{Result, len64};

/// The decoded bytes of one chunk.
pub(crate) type Chunk = Arc<Vec<u8>>;

/// What a slot costs beside its bytes.
const SLOT: u64 = 256;

pub(crate) struct Cache {
    limit: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    slots: HashMap<usize, Slot>,
    /// Ready chunks by age; the first is dropped first.
    by_age: BTreeMap<i64, usize>,
    newest: i64,
    oldest: i64,
    /// Bytes of all slots, those being decoded among them.
    bytes: u64,
}

enum Slot {
    Decoding,
    Ready(Chunk, i64),
}

impl State {
    /// Drops the oldest chunks until `bytes` more fit; `false` when they do not fit even so.
    fn make_room(&mut self, bytes: u64, limit: u64) -> bool {
        while self.bytes.saturating_add(bytes) > limit {
            let Some((_, index)) = self.by_age.pop_first() else { return false };
            if let Some(Slot::Ready(chunk, _)) = self.slots.remove(&index) {
                self.bytes = self.bytes.saturating_sub(cost(&chunk));
            }
        }
        true
    }

    fn touch(&mut self, index: usize) -> Option<Chunk> {
        let Some(Slot::Ready(chunk, age)) = self.slots.get_mut(&index) else { return None };
        self.by_age.remove(age);
        self.newest = self.newest.saturating_add(1);
        *age = self.newest;
        self.by_age.insert(*age, index);
        Some(chunk.clone())
    }
}

fn cost(chunk: &Chunk) -> u64 {
    len64(chunk.len()).saturating_add(SLOT)
}

/// The duty to decode one chunk. Dropped without a result, it lets others try.
struct Claim<'c> {
    cache: &'c Cache,
    index: usize,
    bytes: u64,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut state = self.cache.lock();
        if matches!(state.slots.get(&self.index), Some(Slot::Decoding)) {
            state.slots.remove(&self.index);
            state.bytes = state.bytes.saturating_sub(self.bytes);
        }
        drop(state);
        self.cache.changed.notify_all();
    }
}

impl Claim<'_> {
    /// Keeps what was decoded.
    fn publish(self, chunk: &Chunk) {
        let mut state = self.cache.lock();
        state.newest = state.newest.saturating_add(1);
        let age = state.newest;
        state.slots.insert(self.index, Slot::Ready(chunk.clone(), age));
        state.by_age.insert(age, self.index);
    }
}

impl Cache {
    pub(crate) fn new(limit: u64) -> Self {
        Self { limit, state: Mutex::default(), changed: Condvar::new() }
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is consistent between any two statements that could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The chunk if it is kept or being decoded by another thread; never decodes.
    pub(crate) fn ready(&self, index: usize) -> Option<Chunk> {
        let mut state = self.lock();
        while matches!(state.slots.get(&index), Some(Slot::Decoding)) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.touch(index)
    }

    /// The chunk, decoded with `decode` when it is not kept.
    pub(crate) fn get(
        &self,
        index: usize,
        bytes: u64,
        decode: impl FnOnce() -> Result<Vec<u8>>,
    ) -> Result<Chunk> {
        let mut state = self.lock();
        while matches!(state.slots.get(&index), Some(Slot::Decoding)) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(chunk) = state.touch(index) {
            return Ok(chunk);
        }
        // One chunk is always kept, however large: small reads of it must not decode it each time.
        let claim = self.claim(state, index, bytes, true);
        let chunk = Arc::new(decode()?);
        if let Some(claim) = claim {
            claim.publish(&chunk);
        }
        Ok(chunk)
    }

    /// Decodes a chunk before it is asked for: only when nobody has it, and it fits.
    pub(crate) fn prepare(
        &self,
        index: usize,
        bytes: u64,
        decode: impl FnOnce() -> Result<Vec<u8>>,
    ) {
        let state = self.lock();
        if state.slots.contains_key(&index) {
            return;
        }
        // An error comes up again when the chunk is asked for.
        if let Some(claim) = self.claim(state, index, bytes, false)
            && let Ok(data) = decode()
        {
            claim.publish(&Arc::new(data));
        }
    }

    fn claim<'c>(
        &'c self,
        mut state: MutexGuard<'c, State>,
        index: usize,
        bytes: u64,
        always: bool,
    ) -> Option<Claim<'c>> {
        let bytes = bytes.saturating_add(SLOT);
        if !state.make_room(bytes, self.limit) && !always {
            return None;
        }
        state.bytes = state.bytes.saturating_add(bytes);
        state.slots.insert(index, Slot::Decoding);
        Some(Claim { cache: self, index, bytes })
    }

    /// Marks a chunk as the first to go: a sequential reader is past it.
    pub(crate) fn spent(&self, index: usize) {
        let mut state = self.lock();
        let state = &mut *state;
        if let Some(Slot::Ready(_, age)) = state.slots.get_mut(&index) {
            state.by_age.remove(age);
            state.oldest = state.oldest.saturating_sub(1);
            *age = state.oldest;
            state.by_age.insert(*age, index);
        }
    }
}
