//! Digests of a stream in one pass: each on a thread of its own, in constant memory.

use std::io::Read;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, Scope, ScopedJoinHandle};

use md5::Md5;
use mip_base::{Code, Error, Event, Job, Phase, Result, hex, len64, read_up_to};
use sha2::{Digest, Sha256};

/// Bytes of one buffer.
const BUFFER: u64 = 1 << 20;
/// Buffers in flight.
const BUFFERS: usize = 8;

/// What a manifest says about the bytes of a file. Digests are lower-case hex.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Digests {
    pub(super) size: u64,
    pub(super) sha256: String,
    pub(super) sha256s: Vec<String>,
    pub(super) md5s: Option<Vec<String>>,
}

/// Reads all of `from`. `chunk` is not 0.
///
/// # Errors
/// [`Code::InputIo`], [`Code::Cancelled`], [`Code::LimitMemory`] when there is no thread to be had.
pub(super) fn digests(
    from: &mut dyn Read,
    chunk: u64,
    with_md5: bool,
    job: &Job,
) -> Result<Digests> {
    let mut whole = Sha256::new();
    let mut sha = Chunks::<Sha256>::new(chunk);
    let mut md5 = with_md5.then(|| Chunks::<Md5>::new(chunk));
    let mut stages: Vec<Stage<'_>> =
        vec![Box::new(|b| whole.update(b)), Box::new(|b| sha.update(b))];
    if let Some(md5) = &mut md5 {
        stages.push(Box::new(|b| md5.update(b)));
    }
    let size = pump(from, stages, job)?;
    Ok(Digests {
        size,
        sha256: hex(&whole.finalize()),
        sha256s: sha.finish(),
        md5s: md5.map(Chunks::finish),
    })
}

/// A digest of every `chunk` bytes, the last one of what is left.
struct Chunks<D> {
    running: D,
    chunk: u64,
    left: u64,
    done: Vec<String>,
}

impl<D: Digest + sha2::digest::FixedOutputReset> Chunks<D> {
    fn new(chunk: u64) -> Self {
        Self { running: D::new(), chunk, left: chunk, done: Vec::new() }
    }

    fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let fits = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
            let (now, rest) = bytes.split_at(fits);
            Digest::update(&mut self.running, now);
            self.left = self.left.saturating_sub(len64(fits));
            if self.left == 0 {
                self.close();
            }
            bytes = rest;
        }
    }

    fn close(&mut self) {
        self.done.push(hex(&Digest::finalize_reset(&mut self.running)));
        self.left = self.chunk;
    }

    fn finish(mut self) -> Vec<String> {
        if self.left != self.chunk {
            self.close();
        }
        self.done
    }
}

type Stage<'a> = Box<dyn FnMut(&[u8]) + Send + 'a>;

/// Hands every buffer of `from` to each stage in turn, each on a thread of its own. Buffers go
/// round: reader, stages, reader. A stage that is gone closes its channels, which ends the rest.
fn pump(from: &mut dyn Read, stages: Vec<Stage<'_>>, job: &Job) -> Result<u64> {
    std::thread::scope(|scope| {
        let (first, mut link) = channel::<Vec<u8>>();
        let mut running = Vec::new();
        for stage in stages {
            let (to, next) = channel();
            running.push(start(scope, link, stage, to)?);
            link = next;
        }
        let read = feed(from, first, &link, job);
        for stage in running {
            stage.join().map_err(|_| Error::new(Code::Internal, "a hashing thread failed"))?;
        }
        read
    })
}

fn start<'s>(
    scope: &'s Scope<'s, '_>,
    from: Receiver<Vec<u8>>,
    mut stage: Stage<'s>,
    to: Sender<Vec<u8>>,
) -> Result<ScopedJoinHandle<'s, ()>> {
    let work = move || {
        for buffer in from {
            stage(&buffer);
            // The reader may have finished already; then nobody needs the buffer.
            let _ = to.send(buffer);
        }
    };
    Builder::new()
        .name("mip-digest".to_owned())
        .spawn_scoped(scope, work)
        .map_err(|e| Error::from_io(Code::LimitMemory, "cannot start a thread", e))
}

fn feed(
    from: &mut dyn Read,
    to: Sender<Vec<u8>>,
    free: &Receiver<Vec<u8>>,
    job: &Job,
) -> Result<u64> {
    let mut made = 0_usize;
    let mut total = 0_u64;
    loop {
        job.check()?;
        let mut buffer = if made < BUFFERS {
            made = made.saturating_add(1);
            job.buffer("digest buffer", BUFFER, BUFFER)?
        } else {
            match free.recv() {
                Ok(b) => b,
                // A stage is gone: joining it says why.
                Err(_) => return Ok(total),
            }
        };
        // It may have been cut for the end of the stream, which is then found again.
        let n = read_up_to(from, &mut buffer)
            .map_err(|e| Error::from_io(Code::InputIo, "reading", e))?;
        if n == 0 {
            return Ok(total);
        }
        buffer.truncate(n);
        total = total.saturating_add(len64(n));
        if to.send(buffer).is_err() {
            return Ok(total);
        }
        job.report(Event::Advanced { phase: Phase::Inspect, bytes: len64(n) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{self, Cursor};
    use std::sync::Arc;

    fn bytes(n: usize) -> Vec<u8> {
        (0..n).map(|i| (i * 7 % 253) as u8).collect()
    }

    fn of(data: &[u8], chunk: u64) -> Digests {
        digests(&mut Cursor::new(data), chunk, true, &Job::default()).unwrap()
    }

    /// `printf abc | sha256sum`, `printf a | sha256sum`, `printf bc | md5sum`, …
    #[test]
    fn known_answers() {
        let found = of(b"abc", 1);
        assert_eq!(
            found.sha256,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            found.sha256s[0],
            "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
        );
        assert_eq!(found.md5s.unwrap()[0], "0cc175b9c0f1b6a831c399e269772661");
        assert_eq!(found.size, 3);
    }

    #[test]
    fn chunks_end_where_they_should() {
        let unit = 1_000_000_u64;
        for (size, chunks) in
            [(1, 1), (999_999, 1), (1_000_000, 1), (1_000_001, 2), (3_000_000, 3), (3_200_001, 4)]
        {
            let data = bytes(size);
            let found = of(&data, unit);
            assert_eq!(found.sha256s.len(), chunks, "{size}");
            for (got, piece) in found.sha256s.iter().zip(data.chunks(unit as usize)) {
                assert_eq!(*got, mip_testkit::sha256(piece), "{size}");
            }
            assert_eq!(found.md5s.unwrap().len(), chunks);
            assert_eq!(found.sha256, mip_testkit::sha256(&data));
        }
    }

    #[test]
    fn a_chunk_larger_than_the_file_is_the_whole() {
        let found = of(&bytes(2_500_000), u64::MAX);
        assert_eq!(found.sha256s, std::slice::from_ref(&found.sha256));
        assert!(of(b"", 10).sha256s.is_empty());
    }

    struct OneByte<R>(R);
    impl<R: Read> Read for OneByte<R> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let one = buf.len().min(1);
            self.0.read(&mut buf[..one])
        }
    }

    #[test]
    fn how_the_stream_is_cut_does_not_matter() {
        let data = bytes(300_007);
        let mut slow = OneByte(Cursor::new(&data));
        let found = digests(&mut slow, 1000, true, &Job::default()).unwrap();
        assert_eq!(found, of(&data, 1000));
    }

    #[test]
    fn a_failing_reader_ends_every_thread() {
        struct Fails(u32);
        impl Read for Fails {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                self.0 -= 1;
                if self.0 == 0 { Err(io::Error::other("gone")) } else { Ok(buf.len()) }
            }
        }
        for after in [1, 2, 30] {
            let e = digests(&mut Fails(after), 10 << 20, true, &Job::default()).unwrap_err();
            assert_eq!(e.code(), Code::InputIo);
        }
    }

    #[test]
    fn it_can_be_cancelled_on_the_way() {
        struct Stops(mip_base::CancelToken);
        impl mip_base::Progress for Stops {
            fn report(&self, _: Event) {
                self.0.cancel();
            }
        }
        let token = mip_base::CancelToken::new();
        let job = Job::new(Default::default(), token.clone(), Arc::new(Stops(token)));
        let e = digests(&mut io::repeat(1), 10 << 20, false, &job).unwrap_err();
        assert_eq!(e.code(), Code::Cancelled);
    }
}
