//! The signals that begin a drain.

use super::error::ShutdownError;
use std::task::{Context, Poll};

/// POSIX fixes these two numbers (kill, XSI).
const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;

/// Which signals begin to drain the process.
///
/// By default SIGTERM, which service managers and container runtimes send, and
/// SIGINT, which ctrl-c sends. On Windows only ctrl-c counts, and the choice is
/// ignored.
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
    /// An empty set, to add signals to.
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// Adds SIGTERM.
    pub fn terminate(self) -> Self {
        self.number(SIGTERM)
    }

    /// Adds SIGINT. A SIGINT that arrives while the process drains ends the
    /// delay. A tenth of a second after a [`Shutdown`](super::Shutdown) with
    /// SIGINT has completed, or when the last such `Shutdown` was dropped, SIGINT
    /// kills the process as by default, even if other code in this process
    /// listens for it.
    pub fn interrupt(self) -> Self {
        self.number(SIGINT)
    }

    /// Adds the signal of this number, see `signal(7)`. If a handler cannot be
    /// installed, SIGTERM and SIGINT keep their previous effect.
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

/// The installed signal handlers; a signal that arrives before the first poll
/// is not lost. While a value with SIGINT is alive, ctrl-c does not kill the
/// process.
pub(super) struct SignalHandlers(imp::Handlers);

/// The kind of a received signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignalKind {
    Interrupt,
    #[cfg_attr(windows, expect(dead_code, reason = "Windows has ctrl-c alone"))]
    Other,
}

impl SignalHandlers {
    pub(super) fn install(signals: &Signals) -> Result<Self, ShutdownError> {
        imp::Handlers::install(&signals.0).map(Self)
    }

    /// Polls for the next signal. Signals that arrive between two polls count as
    /// one.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<SignalKind> {
        self.0.poll(cx)
    }
}

#[cfg(unix)]
mod imp {
    use super::{SIGINT, SIGTERM, ShutdownError, SignalKind};
    use signal_hook::flag::register_conditional_default;
    use std::{
        io,
        sync::{
            Arc, Mutex, MutexGuard, PoisonError,
            atomic::{AtomicBool, Ordering},
        },
        task::{Context, Poll},
    };
    use tokio::signal::unix::{self, Signal};

    pub(super) struct Handlers {
        signals: Vec<(i32, Signal)>,
        _interrupt: Option<InterruptGuard>,
    }

    impl Handlers {
        /// Installs SIGTERM and SIGINT last, so that they keep their previous
        /// effect if another signal fails: tokio never restores a default.
        pub(super) fn install(numbers: &[i32]) -> Result<Self, ShutdownError> {
            let mut numbers = numbers.to_vec();
            numbers.sort_by_key(|number| [SIGTERM, SIGINT].contains(number));
            let mut interrupt = None;
            let install = |number| {
                // Handlers run in the order of installation. The emulation of
                // the default goes before tokio's: a task that tokio's handler
                // wakes may turn the emulation on, and this same signal must not
                // kill.
                if number == SIGINT {
                    let guard = InterruptGuard::acquire();
                    interrupt = Some(guard.map_err(|source| failed(number, source))?);
                }
                match unix::signal(unix::SignalKind::from_raw(number)) {
                    Ok(signal) => Ok((number, signal)),
                    Err(source) => Err(failed(number, source)),
                }
            };
            Ok(Self {
                signals: numbers.into_iter().map(install).collect::<Result<_, _>>()?,
                _interrupt: interrupt,
            })
        }

        pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<SignalKind> {
            for (number, signal) in &mut self.signals {
                if let Poll::Ready(Some(())) = signal.poll_recv(cx) {
                    return Poll::Ready(match *number {
                        SIGINT => SignalKind::Interrupt,
                        _ => SignalKind::Other,
                    });
                }
            }
            Poll::Pending
        }
    }

    fn failed(signal: i32, source: io::Error) -> ShutdownError {
        ShutdownError::Signal { signal, source }
    }

    /// Guard: while one is alive, SIGINT does not kill the process.
    ///
    /// tokio never restores the default of a signal that it has listened for. So
    /// a second handler emulates the default while no guard is alive.
    struct InterruptGuard;

    struct Interrupt {
        guards: usize,
        /// Whether the second handler kills the process; `None` until that
        /// handler is installed.
        kills: Option<Arc<AtomicBool>>,
    }

    static INTERRUPT: Mutex<Interrupt> = Mutex::new(Interrupt {
        guards: 0,
        kills: None,
    });

    fn interrupt() -> MutexGuard<'static, Interrupt> {
        INTERRUPT.lock().unwrap_or_else(PoisonError::into_inner)
    }

    impl InterruptGuard {
        fn acquire() -> io::Result<Self> {
            let mut interrupt = interrupt();
            if let Some(kills) = &interrupt.kills {
                kills.store(false, Ordering::Release);
            } else {
                let kills = Arc::default();
                register_conditional_default(SIGINT, Arc::clone(&kills))?;
                interrupt.kills = Some(kills);
            }
            interrupt.guards += 1;
            Ok(Self)
        }
    }

    impl Drop for InterruptGuard {
        fn drop(&mut self) {
            let mut interrupt = interrupt();
            interrupt.guards -= 1;
            if let (0, Some(kills)) = (interrupt.guards, &interrupt.kills) {
                kills.store(true, Ordering::Release);
            }
        }
    }
}

#[cfg(windows)]
mod imp {
    use super::{SIGINT, ShutdownError, SignalKind};
    use std::task::{Context, Poll};
    use tokio::signal::windows::{CtrlC, ctrl_c};

    pub(super) struct Handlers(CtrlC);

    impl Handlers {
        pub(super) fn install(_: &[i32]) -> Result<Self, ShutdownError> {
            ctrl_c().map(Self).map_err(|source| ShutdownError::Signal {
                signal: SIGINT,
                source,
            })
        }

        pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<SignalKind> {
            match self.0.poll_recv(cx) {
                Poll::Ready(Some(())) => Poll::Ready(SignalKind::Interrupt),
                _ => Poll::Pending,
            }
        }
    }
}
