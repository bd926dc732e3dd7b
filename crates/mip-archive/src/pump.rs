//! One reader, two hashers: constant memory, both cores busy.

use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{Builder, ScopedJoinHandle};

use mip_base::{Code, Error, Result};

/// Bytes of one buffer.
pub(crate) const BUFFER: usize = 1 << 20;
/// Buffers in flight, at most.
const BUFFERS: usize = 8;

/// Calls `next` until it says that there is nothing more (`false`), and hands every buffer to
/// `first` and then to `second`, each on a thread of its own. Buffers go round: caller → first
/// → second → caller, so that a failing thread ends the others by closing its channels.
///
/// # Errors
/// The error of the stage that failed first in the direction of the data.
pub(crate) fn pump(
    mut next: impl FnMut(&mut Vec<u8>) -> Result<bool>,
    mut first: impl FnMut(&[u8]) -> Result<()> + Send,
    mut second: impl FnMut(&[u8]) -> Result<()> + Send,
) -> Result<()> {
    std::thread::scope(|scope| {
        let (to_first, first_in) = sync_channel::<Vec<u8>>(BUFFERS);
        let (to_second, second_in) = sync_channel::<Vec<u8>>(BUFFERS);
        let (back, free) = channel::<Vec<u8>>();
        let one = Builder::new()
            .spawn_scoped(scope, move || work(&first_in, &mut first, &Next::Stage(to_second)));
        let two = Builder::new()
            .spawn_scoped(scope, move || work(&second_in, &mut second, &Next::Caller(back)));
        let (one, two) = (one.map_err(no_thread)?, two.map_err(no_thread)?);
        let fed = feed(&mut next, &to_first, &free);
        drop(to_first);
        let (one, two) = (done(one), done(two));
        fed.and(one).and(two)
    })
}

enum Next {
    Stage(SyncSender<Vec<u8>>),
    Caller(Sender<Vec<u8>>),
}

fn feed(
    next: &mut impl FnMut(&mut Vec<u8>) -> Result<bool>,
    to: &SyncSender<Vec<u8>>,
    free: &Receiver<Vec<u8>>,
) -> Result<()> {
    let mut made = 0usize;
    loop {
        let mut buffer = match free.try_recv() {
            Ok(b) => b,
            Err(_) if made < BUFFERS => {
                made = made.saturating_add(1);
                Vec::with_capacity(BUFFER)
            }
            // Both ends are gone when a stage failed: its error is reported by the caller.
            Err(_) => match free.recv() {
                Ok(b) => b,
                Err(_) => return Ok(()),
            },
        };
        if !next(&mut buffer)? || to.send(buffer).is_err() {
            return Ok(());
        }
    }
}

fn work(
    from: &Receiver<Vec<u8>>,
    f: &mut impl FnMut(&[u8]) -> Result<()>,
    to: &Next,
) -> Result<()> {
    for buffer in from {
        f(&buffer)?;
        let gone = match to {
            Next::Stage(s) => s.send(buffer).is_err(),
            // The caller may have finished already; then nobody needs the buffer.
            Next::Caller(s) => {
                let _ = s.send(buffer);
                false
            }
        };
        // A next stage that is gone has failed, and says so itself.
        if gone {
            break;
        }
    }
    Ok(())
}

fn done(handle: ScopedJoinHandle<'_, Result<()>>) -> Result<()> {
    handle.join().unwrap_or_else(|_| Err(Error::new(Code::Internal, "a hashing thread failed")))
}

fn no_thread(e: std::io::Error) -> Error {
    Error::from_io(Code::LimitMemory, "cannot start a thread", e)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(n: u8, fail_first: Option<u8>, fail_second: Option<u8>) -> (Result<()>, Vec<u8>) {
        let mut i = 0;
        let mut seen = Vec::new();
        let stop = |at: Option<u8>, b: &[u8]| match at {
            Some(f) if b[0] == f => Err(Error::new(Code::MipTampered, "stop")),
            _ => Ok(()),
        };
        let r = pump(
            |b| {
                b.clear();
                b.push(i);
                i += 1;
                Ok(i <= n)
            },
            |b| stop(fail_first, b),
            |b| {
                seen.push(b[0]);
                stop(fail_second, b)
            },
        );
        (r, seen)
    }

    #[test]
    fn every_buffer_arrives_in_order() {
        let (r, seen) = run(100, None, None);
        r.unwrap();
        assert_eq!(seen, (0..100).collect::<Vec<_>>());
        run(0, None, None).0.unwrap();
    }

    #[test]
    fn a_failing_stage_ends_the_others() {
        for at in [0, 1, 7, 8, 9, 50, 199] {
            assert_eq!(run(200, Some(at), None).0.unwrap_err().code(), Code::MipTampered);
            assert_eq!(run(200, None, Some(at)).0.unwrap_err().code(), Code::MipTampered);
        }
    }
}
