//! The signals that begin a drain.

#[cfg(feature = "signal")]
use super::error::ShutdownError;
use std::future::pending;

/// POSIX fixes these two numbers (kill, XSI).
#[cfg(feature = "signal")]
const SIGINT: i32 = 2;
#[cfg(feature = "signal")]
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
#[cfg(feature = "signal")]
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Signals(Vec<i32>);

#[cfg(feature = "signal")]
impl Signals {
    /// Returns an empty set, to add signals to.
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

#[cfg(feature = "signal")]
impl Default for Signals {
    fn default() -> Self {
        Self::none().terminate().interrupt()
    }
}

/// The kind of a received signal.
#[cfg_attr(
    not(feature = "signal"),
    expect(dead_code, reason = "none is received")
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignalKind {
    Interrupt,
    #[cfg_attr(windows, expect(dead_code, reason = "Windows has ctrl-c alone"))]
    Other,
}

/// Receives the signals of a [`Shutdown`](super::Shutdown), from its creation on.
/// While a listener with SIGINT is alive, ctrl-c does not kill the process.
#[derive(Default)]
pub(super) struct SignalListener {
    #[cfg(feature = "signal")]
    handlers: Option<imp::Handlers>,
}

impl SignalListener {
    /// Installs the handlers.
    #[cfg(feature = "signal")]
    pub(super) fn install(signals: &Signals) -> Result<Self, ShutdownError> {
        let handlers = Some(imp::Handlers::install(&signals.0)?);
        Ok(Self { handlers })
    }

    /// Completes at the next signal; never without signals, or without the feature
    /// `signal`. Signals that arrive between two calls count as one. Cancel safe.
    pub(super) async fn next(&mut self) -> SignalKind {
        #[cfg(feature = "signal")]
        if let Some(handlers) = &mut self.handlers {
            return handlers.next().await;
        }
        pending().await
    }

    /// Completes at SIGINT, and ignores all others.
    pub(super) async fn interrupt(&mut self) {
        while self.next().await != SignalKind::Interrupt {}
    }
}

#[cfg(all(unix, feature = "signal"))]
mod imp {
    use super::{SIGINT, SIGTERM, ShutdownError, SignalKind};
    use crate::mutex::Mutex;
    use signal_hook::flag::register_conditional_default;
    use std::{
        future::poll_fn,
        io,
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
        task::Poll,
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
            let mut install = |signal| {
                // Handlers run in the order of installation. The emulation of
                // the default goes before tokio's: a task that tokio's handler
                // wakes may turn the emulation on, and this same signal must not
                // kill.
                if signal == SIGINT {
                    interrupt = Some(InterruptGuard::acquire()?);
                }
                unix::signal(unix::SignalKind::from_raw(signal))
            };
            let signals = numbers.into_iter().map(|signal| match install(signal) {
                Ok(handler) => Ok((signal, handler)),
                Err(source) => Err(ShutdownError::Signal { signal, source }),
            });
            Ok(Self {
                signals: signals.collect::<Result<_, _>>()?,
                _interrupt: interrupt,
            })
        }

        pub(super) async fn next(&mut self) -> SignalKind {
            poll_fn(|cx| {
                for (number, signal) in &mut self.signals {
                    if let Poll::Ready(Some(())) = signal.poll_recv(cx) {
                        return Poll::Ready(match *number {
                            SIGINT => SignalKind::Interrupt,
                            _ => SignalKind::Other,
                        });
                    }
                }
                Poll::Pending
            })
            .await
        }
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

    impl InterruptGuard {
        fn acquire() -> io::Result<Self> {
            let mut interrupt = INTERRUPT.lock();
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
            let mut interrupt = INTERRUPT.lock();
            interrupt.guards -= 1;
            if let (0, Some(kills)) = (interrupt.guards, &interrupt.kills) {
                kills.store(true, Ordering::Release);
            }
        }
    }
}

#[cfg(all(windows, feature = "signal"))]
mod imp {
    use super::{SIGINT, ShutdownError, SignalKind};
    use std::future::pending;
    use tokio::signal::windows::{CtrlC, ctrl_c};

    pub(super) struct Handlers(CtrlC);

    impl Handlers {
        pub(super) fn install(_: &[i32]) -> Result<Self, ShutdownError> {
            ctrl_c().map(Self).map_err(|source| ShutdownError::Signal {
                signal: SIGINT,
                source,
            })
        }

        pub(super) async fn next(&mut self) -> SignalKind {
            match self.0.recv().await {
                Some(()) => SignalKind::Interrupt,
                None => pending().await,
            }
        }
    }
}
