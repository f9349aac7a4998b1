#[cfg(feature = "signal")]
use super::signals::Signals;
use super::{
    ears::Ears,
    error::ShutdownError,
    plan::{Announced, IDLE_GRACE, Plan, Trigger},
    shutdown::{Shutdown, quiet},
};
use crate::{registry::Readiness, traffic::Times};
use std::{fmt, future::Future};
use tokio::{runtime::Handle, time::Duration};

impl Readiness {
    /// Prepares the end of the process: what begins it, and how long each part
    /// of it takes. See the [module documentation](crate::drain).
    ///
    /// ```
    /// # use tower_readiness::{Readiness, Subsystem};
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let readiness = Readiness::builder().subsystem(Subsystem::new("storage")).build()?;
    /// # let parent_is_gone = async {};
    /// let shutdown = readiness
    ///     .shutdown()
    ///     .on(parent_is_gone)
    ///     .delay(Duration::from_secs(7))
    ///     .extend_up_to(Duration::from_secs(15))
    ///     .closing_cap(Duration::from_secs(10))
    ///     .build()?;
    /// # readiness.advance(tower_readiness::Phase::Closing);
    /// # shutdown.await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn shutdown(&self) -> ShutdownBuilder {
        ShutdownBuilder {
            readiness: self.clone(),
            delay: ShutdownBuilder::DELAY,
            up_to: None,
            cap: ShutdownBuilder::CAP,
            idle_grace: IDLE_GRACE,
            trigger: None,
            #[cfg(feature = "signal")]
            signals: None,
        }
    }

    /// Drains on SIGTERM or SIGINT (on Windows: ctrl-c), and
    /// completes `delay` after that: a server's shutdown signal.
    ///
    /// The same as `shutdown().on_signals(Signals::default()).delay(delay).build()`;
    /// see [`ShutdownBuilder::delay`] for what to choose, and the
    /// [module documentation](crate::drain) for what happens when.
    ///
    /// # Errors
    ///
    /// Those of [`ShutdownBuilder::build`].
    ///
    /// # Panics
    ///
    /// Where [`ShutdownBuilder::build`] does.
    #[cfg(feature = "signal")]
    #[cfg_attr(docsrs, doc(cfg(feature = "signal")))]
    pub fn drain_on_signal(&self, delay: Duration) -> Result<Shutdown, ShutdownError> {
        let shutdown = self.shutdown().on_signals(Signals::default());
        shutdown.delay(delay).build()
    }
}

/// Prepares a [`Shutdown`]; see [`Readiness::shutdown`].
#[must_use = "it does nothing until it is built and polled"]
pub struct ShutdownBuilder {
    readiness: Readiness,
    delay: Duration,
    up_to: Option<Duration>,
    cap: Duration,
    idle_grace: Duration,
    trigger: Option<Trigger>,
    #[cfg(feature = "signal")]
    signals: Option<Signals>,
}

impl ShutdownBuilder {
    const DELAY: Duration = Duration::from_secs(5);
    const CAP: Duration = Duration::from_secs(20);
    const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

    /// How long traffic is served as before, from the moment the process began
    /// to drain, while load balancers find out. By default 5 seconds.
    ///
    /// Choose what the slowest of those who must notice takes, in the worst
    /// case: a load balancer that probes takes up to *interval × failures*, and
    /// its timeout on top if the process is too busy to answer a probe. HAProxy's
    /// defaults (2 s and 3) come to between 4 and 6 seconds, so that 7 are on the
    /// safe side. Kubernetes removes an endpoint by itself while it sends SIGTERM,
    /// which reaches all proxies in a second or two in a healthy cluster.
    ///
    /// Delay and [cap](Self::closing_cap) together have to fit into the time
    /// there is until SIGKILL: 10 s in Docker (`docker stop -t`), 30 s in
    /// Kubernetes (`terminationGracePeriodSeconds`, of which a preStop hook
    /// takes its part), 90 s under systemd (`TimeoutStopSec`).
    ///
    /// Zero is right where nothing has to notice: a preStop hook has slept
    /// already. Where the listening socket outlives the process (systemd's socket
    /// activation), leave it alone from the drain on, and give those that were
    /// accepted before half a second to send their request.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Extends the delay while requests keep arriving, to at most `longest` in
    /// all: it ends when none has arrived for a fifth of the
    /// [delay](Self::delay); a delay of zero has no such fifth and is not
    /// extended. By default none is.
    ///
    /// Requests count that a layer of the process as a whole admitted; those
    /// for probes and gRPC's health service and those that are
    /// [exempt](crate::ReadinessLayer::exempt) do not. Clients that keep an
    /// HTTP/2 connection of their own arrive until it is closed, so with them it
    /// is always extended to the most.
    pub fn extend_up_to(mut self, longest: Duration) -> Self {
        self.up_to = Some(longest);
        self
    }

    /// How long the server has to finish what is in flight once it has stopped
    /// to accept. By default 20 seconds.
    ///
    /// What still arrives on open connections after that is refused, and
    /// [`Readiness::run`] gives up on the server. It is the cap for futures;
    /// threads are [another matter](crate::guide::graceful_shutdown#threads-that-block).
    pub fn closing_cap(mut self, cap: Duration) -> Self {
        self.cap = cap;
        self
    }

    /// How long [`Readiness::run`] waits for a server that has nothing in
    /// flight, once the process is [closed](crate::Phase::Closed). By default 2
    /// seconds, and never longer than the [cap](Self::closing_cap).
    ///
    /// A server ends when its last connection does. A client that has sent half
    /// a request, one that vanished without a word, and one that never asked
    /// anything can keep a connection open for ever; none of them is owed an
    /// answer. A slow client that still reads the end of its answer is, and
    /// looks the same from here: hyper takes up to 400 KiB of a body before the
    /// client does. (A last piece of 64 KiB and more is [in
    /// flight](Readiness::in_flight) until it is sent, unless a layer outside has
    /// copied it.) Where clients are slow and no proxy stands in between, choose a
    /// longer time; as long as the cap, every connection gets all the time there
    /// is.
    ///
    /// It needs a layer that [counts](crate::ReadinessLayer::count_in_flight).
    pub fn idle_grace(mut self, grace: Duration) -> Self {
        self.idle_grace = grace;
        self
    }

    /// Begins to drain when one of these signals arrives. Those that follow
    /// are ignored, for a preStop hook and the kubelet may well send one each;
    /// but see [`Signals::interrupt`].
    #[cfg(feature = "signal")]
    #[cfg_attr(docsrs, doc(cfg(feature = "signal")))]
    pub fn on_signals(mut self, signals: Signals) -> Self {
        self.signals = Some(signals);
        self
    }

    /// Begins to drain when `trigger` completes. Given twice, the later one
    /// counts.
    ///
    /// [`Readiness::drain`], called from anywhere, needs no trigger.
    pub fn on(mut self, trigger: impl Future<Output = ()> + Send + 'static) -> Self {
        self.trigger = Some(Box::pin(trigger));
        self
    }

    /// Installs the handlers of the signals. From now on those are caught.
    ///
    /// # Errors
    ///
    /// Outside of a tokio runtime; when a duration is longer than a day, or
    /// the extension shorter than the delay; when a handler cannot be
    /// installed.
    ///
    /// # Panics
    ///
    /// With signals, on a tokio runtime whose I/O is not enabled. (That cannot
    /// be asked.) The future, on one whose timers are not.
    pub fn build(self) -> Result<Shutdown, ShutdownError> {
        let runtime = Handle::try_current().map_err(|_| ShutdownError::NoRuntime)?;
        let up_to = self.up_to.unwrap_or(self.delay);
        for (what, duration) in [
            ("delay", self.delay),
            ("extended delay", up_to),
            ("closing cap", self.cap),
            ("idle grace", self.idle_grace),
        ] {
            if duration > Self::LONGEST {
                return Err(ShutdownError::TooLong { what, duration });
            }
        }
        if up_to < self.delay {
            return Err(ShutdownError::ShortExtension {
                delay: self.delay,
                up_to,
            });
        }
        #[cfg(feature = "signal")]
        let ears = Ears::listening(self.signals.as_ref())?;
        #[cfg(not(feature = "signal"))]
        let ears = Ears::default();
        let times = Times {
            late_after: self.delay - quiet(self.delay),
            longest_delay: up_to,
            cap: self.cap,
            idle_grace: self.idle_grace,
        };
        let plan = Plan {
            delay: self.delay,
            up_to,
            trigger: self.trigger,
            ears,
            _announced: Announced::new(self.readiness.registry(), times),
        };
        Ok(Shutdown::new(self.readiness, plan, runtime))
    }
}

impl fmt::Debug for ShutdownBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShutdownBuilder")
            .field("delay", &self.delay)
            .field("extend_up_to", &self.up_to)
            .field("closing_cap", &self.cap)
            .field("idle_grace", &self.idle_grace)
            .finish_non_exhaustive()
    }
}
