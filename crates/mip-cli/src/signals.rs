//! Ctrl-C and its relatives: the first asks the job to stop, the second stops at once.
//!
//! Unfinished output has no name on Linux and is removed elsewhere when the job ends, so a
//! job that was asked to stop leaves nothing behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use mip_base::{CancelToken, Result};

/// Set while this program waits for something that only a signal can end: a read from a
/// pipe, a prompt. A signal ends the program at once then; there is nothing to clean up.
static WAITING: AtomicBool = AtomicBool::new(false);

/// Runs `work`, which may wait for ever in the operating system.
pub(crate) fn interruptible<T>(work: impl FnOnce() -> T) -> T {
    WAITING.store(true, Ordering::SeqCst);
    let out = work();
    WAITING.store(false, Ordering::SeqCst);
    out
}

/// The signals of this process.
#[derive(Debug, Clone)]
pub(crate) struct Signals {
    /// Cancelled by the first signal.
    pub(crate) cancel: CancelToken,
    /// Exit status of the first signal, 0 before it.
    exit: Arc<AtomicU8>,
}

impl Signals {
    /// Exit status after the signal that arrived, 128 + its number.
    pub(crate) fn exit(&self) -> Option<u8> {
        Some(self.exit.load(Ordering::SeqCst)).filter(|e| *e != 0)
    }

    /// Listens for SIGINT, SIGTERM and SIGHUP, and turns SIGXFSZ (a file size limit) into an
    /// error of the write that ran into it.
    #[cfg(unix)]
    pub(crate) fn install() -> Result<Self> {
        use mip_base::{Code, Error};
        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
        let failed = |e| Error::from_io(Code::Internal, "cannot listen for signals", e);
        let signals = Self { cancel: CancelToken::new(), exit: Arc::default() };
        signal_hook::flag::register(SIGXFSZ, Arc::default()).map_err(failed)?;
        let mut arriving =
            signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(failed)?;
        let mine = signals.clone();
        let listen = move || {
            for signal in &mut arriving {
                let exit = u8::try_from(signal).unwrap_or(2).saturating_add(128);
                let first =
                    mine.exit.compare_exchange(0, exit, Ordering::SeqCst, Ordering::SeqCst).is_ok();
                mine.cancel.cancel();
                if !first || WAITING.load(Ordering::SeqCst) {
                    terminal::restore();
                    signal_hook::low_level::exit(i32::from(exit));
                }
            }
        };
        std::thread::Builder::new().name("signals".to_owned()).spawn(listen).map_err(failed)?;
        Ok(signals)
    }

    /// Listens for Ctrl-C and the closing of the console.
    #[cfg(not(unix))]
    pub(crate) fn install() -> Result<Self> {
        use mip_base::{Code, Error};
        let signals = Self { cancel: CancelToken::new(), exit: Arc::default() };
        let mine = signals.clone();
        ctrlc::set_handler(move || {
            let first = mine.exit.swap(130, Ordering::SeqCst) == 0;
            mine.cancel.cancel();
            if !first || WAITING.load(Ordering::SeqCst) {
                // The only way to end a process whose main thread waits.
                #[allow(clippy::exit)]
                std::process::exit(130);
            }
        })
        .map_err(|e| Error::new(Code::Internal, format!("cannot listen for signals: {e}")))?;
        Ok(signals)
    }
}

/// Keeps a prompt without echo from leaving the terminal without echo.
#[cfg(unix)]
pub(crate) mod terminal {
    use std::fs::File;
    use std::sync::{Mutex, PoisonError};

    use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

    static SAVED: Mutex<Option<(File, Termios)>> = Mutex::new(None);

    /// Remembers how the terminal is set, for [`restore`].
    pub(crate) fn remember() {
        let state = File::open("/dev/tty").ok().and_then(|f| tcgetattr(&f).ok().map(|t| (f, t)));
        *SAVED.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// Sets the terminal to what was remembered, once.
    pub(crate) fn restore() {
        if let Some((tty, state)) = SAVED.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Nothing can be done about a terminal that is gone.
            let _ = tcsetattr(&tty, OptionalActions::Now, &state);
        }
    }
}

#[cfg(not(unix))]
pub(crate) mod terminal {
    /// The console resets itself when the program ends.
    pub(crate) fn remember() {}
    /// As [`remember`].
    pub(crate) fn restore() {}
}
