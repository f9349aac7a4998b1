//! The signals that tell a process to stop.

use super::error::ShutdownError;
use std::task::{Context, Poll};

/// POSIX has settled these two numbers (kill, XSI).
const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;

/// Which signals begin to drain the process.
///
/// By default those that ask a process to end: SIGTERM, which service managers
/// and container runtimes send, and SIGINT, which ctrl-c sends. On Windows
/// it is ctrl-c, whatever was chosen.
///
/// ```
/// use tower_readiness::drain::Signals;
///
/// let like_nginx = Signals::none().number(3); // SIGQUIT
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Signals(Vec<i32>);

impl Signals {
    /// No signal at all, to add to.
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// And SIGTERM.
    pub fn terminate(self) -> Self {
        self.number(SIGTERM)
    }

    /// And SIGINT. One that arrives while the process drains already ends the
    /// delay. A tenth of a second after a [`Shutdown`](super::Shutdown) that
    /// listens for it has completed, or when the last one was dropped, SIGINT
    /// kills the process as it does where nobody ever listened, even if others
    /// in this process do.
    pub fn interrupt(self) -> Self {
        self.number(SIGINT)
    }

    /// And the signal of this number, see `signal(7)`. If one cannot be listened
    /// for, SIGTERM and SIGINT do what they did before.
    pub fn number(mut self, number: i32) -> Self {
        if !self.0.contains(&number) {
            self.0.push(number);
        }
        self
    }
}

impl Default for Signals {
    fn default() -> Self {
        Self::none().terminate().interrupt()
    }
}

/// Hears signals from its making on. While one is alive that hears SIGINT,
/// ctrl-c does not kill the process.
pub(super) struct Listener(imp::Signals);

/// What was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Interrupt,
    #[cfg_attr(windows, expect(dead_code, reason = "there is ctrl-c alone"))]
    Other,
}

impl Listener {
    pub(super) fn install(signals: &Signals) -> Result<Self, ShutdownError> {
        imp::Signals::install(&signals.0).map(Self)
    }

    /// The next signal. Those that arrived while nobody asked count as one.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Heard> {
        self.0.poll(cx)
    }
}

#[cfg(unix)]
mod imp {
    use super::{Heard, SIGINT, SIGTERM, ShutdownError};
    use signal_hook::flag::register_conditional_default;
    use std::{
        io,
        sync::{
            Arc, Mutex, MutexGuard, PoisonError,
            atomic::{AtomicBool, Ordering},
        },
        task::{Context, Poll},
    };
    use tokio::signal::unix::{Signal, SignalKind, signal};

    pub(super) struct Signals {
        signals: Vec<(i32, Signal)>,
        _interrupt: Option<Interrupt>,
    }

    impl Signals {
        /// tokio never gives a signal back, so those come first that may fail:
        /// then these two still do what they did before.
        pub(super) fn install(numbers: &[i32]) -> Result<Self, ShutdownError> {
            let mut numbers = numbers.to_vec();
            numbers.sort_by_key(|number| [SIGTERM, SIGINT].contains(number));
            let mut interrupt = None;
            let install = |number| {
                // Handlers run in the order of their making. The stand-in for the
                // default one goes first: whatever tokio's wakes may let SIGINT
                // kill, and not by this very signal.
                if number == SIGINT {
                    let taken_over = Interrupt::take_over();
                    interrupt = Some(taken_over.map_err(|source| failed(number, source))?);
                }
                match signal(SignalKind::from_raw(number)) {
                    Ok(signal) => Ok((number, signal)),
                    Err(source) => Err(failed(number, source)),
                }
            };
            Ok(Self {
                signals: numbers.into_iter().map(install).collect::<Result<_, _>>()?,
                _interrupt: interrupt,
            })
        }

        pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Heard> {
            for (number, signal) in &mut self.signals {
                if let Poll::Ready(Some(())) = signal.poll_recv(cx) {
                    return Poll::Ready(match *number {
                        SIGINT => Heard::Interrupt,
                        _ => Heard::Other,
                    });
                }
            }
            Poll::Pending
        }
    }

    fn failed(signal: i32, source: io::Error) -> ShutdownError {
        ShutdownError::Signal { signal, source }
    }

    /// Keeps SIGINT from what it does where nobody listens.
    ///
    /// tokio never gives back a signal that it has once listened for, so a
    /// second handler stands in for the default one while there is none of
    /// these.
    struct Interrupt;

    struct TakenOver {
        times: usize,
        /// What the second handler goes by, once it is installed.
        kills: Option<Arc<AtomicBool>>,
    }

    static TAKEN_OVER: Mutex<TakenOver> = Mutex::new(TakenOver {
        times: 0,
        kills: None,
    });

    fn taken_over() -> MutexGuard<'static, TakenOver> {
        TAKEN_OVER.lock().unwrap_or_else(PoisonError::into_inner)
    }

    impl Interrupt {
        fn take_over() -> io::Result<Self> {
            let mut taken_over = taken_over();
            if let Some(kills) = &taken_over.kills {
                kills.store(false, Ordering::Release);
            } else {
                let kills = Arc::default();
                register_conditional_default(SIGINT, Arc::clone(&kills))?;
                taken_over.kills = Some(kills);
            }
            taken_over.times += 1;
            Ok(Self)
        }
    }

    impl Drop for Interrupt {
        fn drop(&mut self) {
            let mut taken_over = taken_over();
            taken_over.times -= 1;
            if let (0, Some(kills)) = (taken_over.times, &taken_over.kills) {
                kills.store(true, Ordering::Release);
            }
        }
    }
}

#[cfg(windows)]
mod imp {
    use super::{Heard, SIGINT, ShutdownError};
    use std::task::{Context, Poll};
    use tokio::signal::windows::{CtrlC, ctrl_c};

    pub(super) struct Signals(CtrlC);

    impl Signals {
        pub(super) fn install(_: &[i32]) -> Result<Self, ShutdownError> {
            ctrl_c().map(Self).map_err(|source| ShutdownError::Signal {
                signal: SIGINT,
                source,
            })
        }

        pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Heard> {
            match self.0.poll_recv(cx) {
                Poll::Ready(Some(())) => Poll::Ready(Heard::Interrupt),
                _ => Poll::Pending,
            }
        }
    }
}
