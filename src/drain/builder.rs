#[cfg(feature = "signal")]
use super::signals::Signals;
use super::{
    close::IDLE_GRACE,
    error::ShutdownError,
    shutdown::{Plan, Shutdown, Trigger},
    signals::SignalListener,
};
use crate::registry::{DEFAULT_DELAY, Readiness, Times, bounded_from};
use std::{
    future::{Future, pending},
    sync::Arc,
};
use tokio::{runtime::Handle, time::Duration};

impl Readiness {
    /// Returns a builder for the graceful shutdown: its triggers, and the
    /// duration of each phase. See the [module documentation](crate::drain).
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
            times: Times {
                delay: DEFAULT_DELAY,
                longest_delay: DEFAULT_DELAY,
                cap: ShutdownBuilder::CAP,
                idle_grace: IDLE_GRACE,
            },
            up_to: None,
            trigger: Box::pin(pending()),
            #[cfg(feature = "signal")]
            signals: None,
        }
    }

    /// Returns a server's shutdown signal: it drains the process on SIGTERM or
    /// SIGINT (on Windows: ctrl-c), and completes `delay` after that.
    ///
    /// The same as `shutdown().on_signals(Signals::default()).delay(delay).build()`;
    /// see [`ShutdownBuilder::delay`] for how to choose the delay, and the
    /// [module documentation](crate::drain) for the phases.
    ///
    /// # Errors
    ///
    /// Those of [`ShutdownBuilder::build`].
    ///
    /// # Panics
    ///
    /// Where [`ShutdownBuilder::build`] does.
    #[cfg(feature = "signal")]
    pub fn drain_on_signal(&self, delay: Duration) -> Result<Shutdown, ShutdownError> {
        let shutdown = self.shutdown().on_signals(Signals::default());
        shutdown.delay(delay).build()
    }
}

/// Builds a [`Shutdown`]; see [`Readiness::shutdown`].
#[must_use = "it does nothing until it is built and polled"]
pub struct ShutdownBuilder {
    readiness: Readiness,
    times: Times,
    up_to: Option<Duration>,
    trigger: Trigger,
    #[cfg(feature = "signal")]
    signals: Option<Signals>,
}

impl ShutdownBuilder {
    const CAP: Duration = Duration::from_secs(20);

    /// Sets how long the process serves traffic as before, from the beginning of
    /// the drain, while load balancers notice it. By default 5 seconds.
    ///
    /// Choose the time that the slowest load balancer needs in the worst case: a
    /// load balancer that probes takes up to *interval × failures*, and its
    /// timeout on top if the process is too busy to answer a probe. HAProxy's
    /// defaults (2 s and 3) come to between 4 and 6 seconds, so 7 are on the safe
    /// side. Kubernetes removes an endpoint by itself while it sends SIGTERM, and
    /// all proxies know of that after a second or two in a healthy cluster.
    ///
    /// Delay and [cap](Self::closing_cap) together must fit into the time before
    /// SIGKILL: 10 s in Docker (`docker stop -t`), 30 s in Kubernetes
    /// (`terminationGracePeriodSeconds`, which includes the preStop hook), 90 s
    /// under systemd (`TimeoutStopSec`).
    ///
    /// Zero is right where no load balancer has to notice: a preStop hook has
    /// slept already. Where the listening socket outlives the process (systemd's
    /// socket activation), stop accepting when the drain begins, and give the
    /// connections accepted before it half a second to send their request.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.times.delay = delay;
        self
    }

    /// Extends the delay while requests keep arriving, to at most `longest` in
    /// all: it ends when no request has arrived for a fifth of the
    /// [delay](Self::delay). By default no delay is extended, and a delay of zero
    /// never is.
    ///
    /// Requests count if a layer of the process as a whole admitted them. Probes,
    /// gRPC's health service and [exempt](crate::ReadinessLayer::exempt) requests
    /// do not count. A client with an HTTP/2 connection of its own sends requests
    /// until the connection is closed, so such clients extend the delay to
    /// `longest` each time.
    pub fn extend_up_to(mut self, longest: Duration) -> Self {
        self.up_to = Some(longest);
        self
    }

    /// Sets how long the server may take to finish the work in flight, once it
    /// has stopped accepting. By default 20 seconds.
    ///
    /// After that, the layer refuses requests that still arrive on open
    /// connections, and [`Readiness::run`] drops the server. The cap is for
    /// futures; for threads see
    /// [the guide](crate::guide::graceful_shutdown#threads-that-block).
    pub fn closing_cap(mut self, cap: Duration) -> Self {
        self.times.cap = cap;
        self
    }

    /// Sets how long [`Readiness::run`] waits for a server that has nothing in
    /// flight, once the process is [closed](crate::Phase::Closed). By default 2
    /// seconds, and never longer than the [cap](Self::closing_cap).
    ///
    /// A server ends when its last connection does. A client that has sent half
    /// a request, that has vanished, or that never sent anything can keep a
    /// connection open for ever, and waits for no response. A slow client that
    /// still reads the end of its response looks the same to the server: hyper
    /// takes up to 400 KiB of a body before the client does. (Pieces of 64 KiB or more
    /// are [in flight](Readiness::in_flight) until they are sent, unless an outer layer
    /// has copied them.) Where clients are slow and connect without a proxy, choose a
    /// longer grace; a grace as long as the cap gives every connection all of the cap.
    ///
    /// The grace needs a layer that
    /// [counts](crate::ReadinessLayer::count_in_flight).
    pub fn idle_grace(mut self, grace: Duration) -> Self {
        self.times.idle_grace = grace;
        self
    }

    /// Begins to drain when one of these signals arrives. Later signals are
    /// ignored, because a preStop hook and the kubelet may each send one; for the
    /// exception see [`Signals::interrupt`].
    #[cfg(feature = "signal")]
    pub fn on_signals(mut self, signals: Signals) -> Self {
        self.signals = Some(signals);
        self
    }

    /// Begins to drain when `trigger` completes. A second call replaces the
    /// trigger.
    ///
    /// [`Readiness::drain`] begins the drain from anywhere, with no trigger.
    pub fn on(mut self, trigger: impl Future<Output = ()> + Send + 'static) -> Self {
        self.trigger = Box::pin(trigger);
        self
    }

    /// Builds the [`Shutdown`], logs how long the drain may take, and installs the signal handlers: the signals no
    /// longer have their default effect.
    ///
    /// # Errors
    ///
    /// Outside of a tokio runtime; when a duration is longer than a day, or
    /// the extension shorter than the delay; when a handler cannot be
    /// installed.
    ///
    /// # Panics
    ///
    /// With signals, on a tokio runtime whose I/O is disabled, because tokio
    /// cannot report this. The future panics on a runtime whose timers are
    /// disabled.
    pub fn build(self) -> Result<Shutdown, ShutdownError> {
        let runtime = Handle::try_current().map_err(|_| ShutdownError::NoRuntime)?;
        let mut times = self.times;
        times.longest_delay = self.up_to.unwrap_or(times.delay);
        for (what, duration) in [
            ("delay", times.delay),
            ("extended delay", times.longest_delay),
            ("closing cap", times.cap),
            ("idle grace", times.idle_grace),
        ] {
            bounded_from(Duration::ZERO, what, duration)?;
        }
        if times.longest_delay < times.delay {
            return Err(ShutdownError::ShortExtension {
                delay: times.delay,
                up_to: times.longest_delay,
            });
        }
        let listener = SignalListener::default();
        #[cfg(feature = "signal")]
        let listener = match &self.signals {
            Some(signals) => SignalListener::install(signals)?,
            None => listener,
        };
        // For comparison with the times that the supervisor allows.
        crate::log::line!(
            info, "drain_plan",
            { delay: times.longest_delay.as_secs_f64(), cap: times.cap.as_secs_f64() },
            delay, cap, "{times}"
        );
        let registry = Arc::clone(self.readiness.registry());
        let plan = Plan {
            times: registry.drain_clock().plan(times),
            registry,
            listener,
        };
        Ok(Shutdown::new(self.readiness, self.trigger, plan, runtime))
    }
}

crate::debug::fields!(ShutdownBuilder, |this| {
    delay: this.times.delay,
    extend_up_to: this.up_to,
    closing_cap: this.times.cap,
    idle_grace: this.times.idle_grace,
});
