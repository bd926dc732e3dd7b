//! One gzip member (RFC 1952) made by several threads, the same bytes for any number of them.
//!
//! The data is cut into blocks of fixed size. Each is deflated on its own, up to a sync flush, so
//! that the results can stand one after the other in one deflate stream (as `pigz` does); the
//! checksum of the whole is combined from those of the blocks. Blocks go to the threads in turn
//! through short queues and are collected in the same turn: order and memory are both bounded.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

use flate2::{Compress, Compression, FlushCompress, Status};
use mip_base::{Code, Error, Result, len64};

/// Bytes that are deflated together. Part of what decides the output.
pub const BLOCK: usize = 1 << 20;

/// Most threads: more would wait for the reader of the tree, and each needs about 5 MiB.
const MOST_THREADS: usize = 8;

/// RFC 1952 2.3: deflate, no flags, no time, no extra flags, system unknown.
const HEADER: [u8; 10] = [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 0xFF];

/// A last, empty block with fixed codes.
const LAST_BLOCK: [u8; 2] = [3, 0];

/// A block on its way; `None` is the end.
type Item<T> = Result<Option<T>>;

struct Packed {
    bytes: Vec<u8>,
    crc: crc32fast::Hasher,
    len: usize,
}

/// Where the data is written.
pub(super) struct Sink {
    to: Vec<SyncSender<Item<Vec<u8>>>>,
    turn: usize,
    block: Vec<u8>,
    written: u64,
}

impl Sink {
    /// # Errors
    /// [`Code::Cancelled`] when the reader is gone.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = BLOCK.saturating_sub(self.block.len());
            let (now, later) = rest.split_at_checked(room).unwrap_or((rest, &[]));
            if self.block.capacity() == 0 {
                self.block.reserve_exact(BLOCK);
            }
            self.block.extend_from_slice(now);
            rest = later;
            if self.block.len() >= BLOCK {
                let block = std::mem::take(&mut self.block);
                self.send(Ok(Some(block)))?;
            }
        }
        self.written = self.written.saturating_add(len64(bytes.len()));
        Ok(())
    }

    /// Bytes written so far.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    fn finish(&mut self, result: Result<()>) {
        let last = std::mem::take(&mut self.block);
        // A reader that is gone needs neither the end nor the error.
        let _ = match result {
            Ok(()) if last.is_empty() => self.send(Ok(None)),
            Ok(()) => self.send(Ok(Some(last))).and_then(|()| self.send(Ok(None))),
            Err(e) => self.send(Err(e)),
        };
    }

    fn send(&mut self, item: Item<Vec<u8>>) -> Result<()> {
        let gone = || Error::new(Code::Cancelled, "the reader of the tar stopped");
        let to = self.to.get(self.turn).ok_or_else(gone)?;
        self.turn = next(self.turn, self.to.len());
        to.send(item).map_err(|_| gone())
    }
}

fn next(turn: usize, of: usize) -> usize {
    let n = turn.saturating_add(1);
    if n < of { n } else { 0 }
}

/// Starts the threads: `produce` writes the data, the others compress it.
pub(super) fn start(
    level: u32,
    threads: usize,
    produce: impl FnOnce(&mut Sink) -> Result<()> + Send + 'static,
) -> Result<Output> {
    let mut to = Vec::new();
    let mut output = Output {
        from: Vec::new(),
        turn: 0,
        pending: HEADER.to_vec(),
        at: 0,
        crc: crc32fast::Hasher::new(),
        len: 0,
        done: false,
        threads: Vec::new(),
    };
    for _ in 0..threads.clamp(1, MOST_THREADS) {
        let (send_raw, raw) = sync_channel(1);
        let (send_packed, packed) = sync_channel(1);
        to.push(send_raw);
        output.from.push(packed);
        output.spawn("mip-deflate", move || pack(level, &raw, &send_packed))?;
    }
    output.spawn("mip-tar", move || {
        let mut sink = Sink { to, turn: 0, block: Vec::new(), written: 0 };
        let result = produce(&mut sink);
        sink.finish(result);
    })?;
    Ok(output)
}

fn pack(level: u32, raw: &Receiver<Item<Vec<u8>>>, packed: &SyncSender<Item<Packed>>) {
    let mut deflate = Compress::new(Compression::new(level), false);
    for item in raw {
        let item = item.and_then(|b| b.map(|b| pack_block(&mut deflate, &b)).transpose());
        if packed.send(item).is_err() {
            return;
        }
    }
}

fn pack_block(deflate: &mut Compress, block: &[u8]) -> Result<Packed> {
    let mut crc = crc32fast::Hasher::new();
    crc.update(block);
    deflate.reset();
    // More than deflate can need, so that one call does it all and the size of the output
    // buffer has no say in the output.
    let most = block.len().saturating_add(block.len() / 8).saturating_add(4096);
    let mut bytes = Vec::with_capacity(most);
    let status = deflate.compress_vec(block, &mut bytes, FlushCompress::Sync);
    let all = usize::try_from(deflate.total_in()) == Ok(block.len()) && bytes.len() < most;
    match status {
        Ok(Status::Ok) if all => {
            bytes.shrink_to_fit();
            Ok(Packed { bytes, crc, len: block.len() })
        }
        _ => Err(Error::new(Code::Internal, "the compressor failed")),
    }
}

/// Reads the gzip member.
pub(super) struct Output {
    from: Vec<Receiver<Item<Packed>>>,
    turn: usize,
    pending: Vec<u8>,
    at: usize,
    crc: crc32fast::Hasher,
    len: u32,
    done: bool,
    threads: Vec<JoinHandle<()>>,
}

impl Output {
    fn spawn(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<()> {
        let thread = Builder::new()
            .name(name.to_owned())
            .spawn(run)
            .map_err(|e| Error::from_io(Code::Internal, "cannot start a thread", e))?;
        self.threads.push(thread);
        Ok(())
    }

    fn fill(&mut self) -> Result<()> {
        let broken = || Error::new(Code::Internal, "a thread that writes the tar stopped");
        let item = self.from.get(self.turn).ok_or_else(broken)?.recv().map_err(|_| broken())?;
        self.turn = next(self.turn, self.from.len());
        self.at = 0;
        match item? {
            Some(packed) => {
                self.pending = packed.bytes;
                self.crc.combine(&packed.crc);
                // RFC 1952: the size modulo 2^32.
                let len = u32::try_from(packed.len).map_err(|_| broken())?;
                self.len = self.len.wrapping_add(len);
            }
            None => {
                self.pending = LAST_BLOCK.to_vec();
                self.pending.extend_from_slice(&self.crc.clone().finalize().to_le_bytes());
                self.pending.extend_from_slice(&self.len.to_le_bytes());
                self.done = true;
            }
        }
        Ok(())
    }
}

impl Read for Output {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            let mut left = self.pending.get(self.at..).unwrap_or_default();
            if !left.is_empty() {
                let n = left.read(buf)?;
                self.at = self.at.saturating_add(n);
                return Ok(n);
            }
            if self.done {
                return Ok(0);
            }
            self.fill()?;
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // Without receivers the next send of every thread fails, and the thread ends.
        self.from.clear();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
