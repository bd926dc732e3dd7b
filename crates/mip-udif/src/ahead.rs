//! Reading ahead: when chunks are read one after the other, a few threads decode those that
//! come next. Threads start when that first happens, and are joined when the image is dropped.

use std::collections::VecDeque;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;

use crate::reader::Disk;
use crate::runs::{Kind, Runs};

/// Chunks in sequence after which more are read ahead.
const STREAK: u32 = 3;
/// Sequential readers that are told apart.
const STREAMS: usize = 8;
/// Runs that are looked at for the next packed one.
const LOOK: usize = 64;
const MOST_THREADS: usize = 4;

/// Threads that this machine has for decoding; 1 is the caller's own. Asked once: the answer
/// costs several system calls.
pub(crate) fn threads() -> usize {
    static THREADS: OnceLock<usize> = OnceLock::new();
    *THREADS.get_or_init(|| {
        std::thread::available_parallelism().map_or(1, NonZero::get).min(MOST_THREADS)
    })
}

/// Recognises sequential readers by the packed runs that they touch.
pub(crate) struct Streams {
    /// The run of the last touch, so that small reads of one chunk cost one comparison.
    last: AtomicUsize,
    streams: Mutex<[Stream; STREAMS]>,
}

#[derive(Clone, Copy)]
struct Stream {
    current: usize,
    next: usize,
    streak: u32,
    /// Runs before this one were asked for.
    ahead: usize,
    used: u64,
}

/// What a touch of a run means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Touch {
    /// Nothing new.
    Same,
    /// Another chunk, out of sequence.
    Other,
    /// The next chunk of a sequential reader, which is past `passed`; `wanted` come next.
    Sequential { passed: usize, wanted: Vec<usize> },
}

impl Streams {
    pub(crate) fn new() -> Self {
        let none = Stream { current: usize::MAX, next: usize::MAX, streak: 0, ahead: 0, used: 0 };
        Self { last: AtomicUsize::new(usize::MAX), streams: Mutex::new([none; STREAMS]) }
    }

    /// Says that `run` was read. `window` is in bytes, `count` in chunks.
    pub(crate) fn touch(&self, run: usize, runs: &Runs, window: u64, count: usize) -> Touch {
        if self.last.swap(run, Ordering::Relaxed) == run {
            return Touch::Same;
        }
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let clock = streams.iter().map(|s| s.used).max().unwrap_or(0).saturating_add(1);
        if let Some(s) = streams.iter_mut().find(|s| s.current == run) {
            s.used = clock;
            return Touch::Same;
        }
        let next = packed_after(run, runs).next().unwrap_or(usize::MAX);
        if let Some(s) = streams.iter_mut().find(|s| s.next == run) {
            let passed = s.current;
            let streak = s.streak.saturating_add(1);
            let mut ahead = s.ahead.max(run.saturating_add(1));
            let mut wanted = Vec::new();
            if streak >= STREAK {
                let mut bytes = 0_u64;
                for i in packed_after(run, runs).take(count) {
                    bytes = bytes.saturating_add(runs.get(i).map_or(0, crate::runs::Run::len));
                    if bytes > window {
                        break;
                    }
                    if i >= ahead {
                        wanted.push(i);
                        ahead = i.saturating_add(1);
                    }
                }
            }
            *s = Stream { current: run, next, streak, ahead, used: clock };
            return if streak >= STREAK {
                Touch::Sequential { passed, wanted }
            } else {
                Touch::Other
            };
        }
        if let Some(s) = streams.iter_mut().min_by_key(|s| s.used) {
            *s = Stream { current: run, next, streak: 0, ahead: 0, used: clock };
        }
        Touch::Other
    }
}

/// The packed runs that follow `run`, as far as it is worth looking.
fn packed_after(run: usize, runs: &Runs) -> impl Iterator<Item = usize> {
    let from = run.saturating_add(1);
    let rest = runs.all().get(from..).unwrap_or_default();
    let packed = move |(i, _): (usize, &crate::runs::Run)| from.saturating_add(i);
    rest.iter()
        .take(LOOK)
        .enumerate()
        .filter(|(_, r)| matches!(r.kind, Kind::Packed(_)))
        .map(packed)
}

/// The threads and what they are to do.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    work: Mutex<Work>,
    more: Condvar,
}

#[derive(Default)]
struct Work {
    queue: VecDeque<usize>,
    stop: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    pub(crate) fn new() -> Self {
        Self { shared: Arc::default(), threads: Mutex::default() }
    }

    /// Has `wanted` decoded, starting the threads at the first call.
    pub(crate) fn want(&self, wanted: &[usize], disk: &Arc<Disk>) {
        if wanted.is_empty() {
            return;
        }
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        if threads.is_empty() {
            for _ in 0..crate::ahead::threads() {
                let (shared, disk) = (self.shared.clone(), disk.clone());
                let name = std::thread::Builder::new().name("udif-ahead".into());
                // Without threads, reading still works.
                let Ok(t) = name.spawn(move || run(&shared, &disk)) else { break };
                threads.push(t);
            }
        }
        if threads.is_empty() {
            return;
        }
        drop(threads);
        let mut work = self.shared.lock();
        work.queue.extend(wanted);
        // What is still there of readers that went elsewhere.
        let stale = work.queue.len().saturating_sub(LOOK);
        work.queue.drain(..stale);
        drop(work);
        self.shared.more.notify_all();
    }

    /// The caller decodes `run` itself.
    pub(crate) fn taken(&self, run: usize) {
        let mut work = self.shared.lock();
        if work.queue.front() == Some(&run) {
            work.queue.pop_front();
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut work = self.shared.lock();
        work.stop = true;
        work.queue.clear();
        drop(work);
        self.shared.more.notify_all();
        let threads = self.threads.get_mut().unwrap_or_else(PoisonError::into_inner);
        for t in threads.drain(..) {
            // A thread that panicked has nothing to say that its reader does not find out.
            let _ = t.join();
        }
    }
}

fn run(shared: &Shared, disk: &Disk) {
    loop {
        let mut work = shared.lock();
        let index = loop {
            if work.stop {
                return;
            }
            match work.queue.pop_front() {
                Some(index) => break index,
                None => work = shared.more.wait(work).unwrap_or_else(PoisonError::into_inner),
            }
        };
        drop(work);
        if let Some(run) = disk.runs.get(index)
            && let Kind::Packed(codec) = run.kind
        {
            disk.cache.prepare(index, run.len(), || disk.chunk(index, run, codec));
        }
    }
}
