use super::plan::IDLE_GRACE;
use crate::{
    registry::{Readiness, Registry},
    state::Phase,
    traffic::InFlightGuard,
};
use std::{
    future::{Future, pending},
    sync::Arc,
};
use tokio::time::{Duration, Instant, sleep, sleep_until, timeout};

/// The interval at which waiting futures read the in-flight counters. A wake-up
/// by the last request would cost every request an atomic step.
const POLL_EVERY: Duration = Duration::from_millis(10);

/// How long nothing has to be in flight before the process is closed. Requests
/// that a client sent before it saw the connection close are served in this
/// time.
const QUIET: Duration = Duration::from_secs(1);

/// How long clients that wait for the end have to read the answer and to
/// disconnect: some hundred times longer than a command takes to print a line
/// and to exit, because the machine may be busy.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

impl Readiness {
    /// Returns the number of requests and [tracked](Self::track) jobs in flight.
    /// If no layer [counts](crate::ReadinessLayer::count_in_flight) requests, it
    /// returns the number of jobs, and `None` instead of zero: zero would claim
    /// that no request is in flight either.
    ///
    /// A request is in flight from its admission until the body of its response
    /// has ended or was dropped; a last piece of 64 KiB or more also has to be
    /// sent. An upgraded connection is in flight until its [`InFlightGuard`] is
    /// dropped. Probes, gRPC's health service, refused requests and held requests
    /// do not count.
    ///
    /// A request that begins or ends during the call may or may not be counted.
    pub fn in_flight(&self) -> Option<usize> {
        self.registry().traffic().flights.count()
    }

    /// Counts a job as in flight until the guard is dropped: work that goes on
    /// after the response, a batch, a connection of another protocol.
    ///
    /// [`in_flight`](Self::in_flight), probes and systemd's status show the job,
    /// and [`run`](Self::run) waits for it, whether or not a layer counts
    /// requests. To hand a job over, track the new one before the old guard is
    /// dropped: the count then never falls to zero in between.
    pub fn track(&self) -> InFlightGuard {
        self.registry().traffic().flights.enter_recorded()
    }

    /// Returns the number of requests admitted although the process has drained
    /// for four fifths of the [delay](super::ShutdownBuilder::delay), or longer.
    ///
    /// Load balancers should send requests elsewhere by then: either the delay is
    /// too short for a load balancer to notice, or it ignores readiness. (Or the
    /// requests come from clients with an HTTP/2 connection of their own, which
    /// use it until it is closed.)
    ///
    /// Each layer of the process as a whole counts the requests that it admits,
    /// from the moment a [`Shutdown`](super::Shutdown) notices the drain. Probes,
    /// gRPC's health service and exempt requests do not count.
    pub fn late_arrivals(&self) -> u64 {
        self.registry().traffic().drain_clock.late_arrivals()
    }

    /// Completes when the servers have to stop accepting: the shutdown signal for
    /// further servers, where another has the [`Shutdown`](super::Shutdown).
    ///
    /// Cancel safe. The future keeps the registry alive.
    pub fn closing(&self) -> impl Future<Output = ()> + Send + Sync + 'static + use<> {
        self.reached(Phase::Closing)
    }

    /// Completes when nothing is [in flight](Self::in_flight) in a process that
    /// is closing, or when the process is closed. If no layer counts requests, it
    /// completes when the process is closed.
    ///
    /// Await it after the server has ended: a running server may have read a
    /// request that is not yet counted, or may still send a response that is no
    /// longer counted. [`run`](Self::run) waits by itself.
    ///
    /// Reads the counters every 10 milliseconds. Cancel safe.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime, or on one whose timers are not enabled.
    pub async fn drained(&self) {
        self.closing().await;
        tokio::select! { biased;
            () = self.reached(Phase::Closed) => {}
            () = nothing_in_flight(self.registry()) => {}
        }
    }
}

/// Completes when requests are counted and nothing is in flight.
async fn nothing_in_flight(registry: &Registry) {
    let flights = &registry.traffic().flights;
    while !(flights.is_counting() && flights.is_empty()) {
        sleep(POLL_EVERY).await;
    }
}

/// Completes when the upgraded connections and jobs that outlive a server have
/// finished.
pub(super) async fn all_finished(readiness: &Readiness) {
    while !readiness.registry().traffic().flights.is_empty() {
        sleep(POLL_EVERY).await;
    }
}

/// Closes the process when nothing has been in flight for [`QUIET`], or at the
/// cap.
pub(super) async fn close(registry: Arc<Registry>) {
    tokio::select! { biased;
        // If the registry or the process is closed already, there is nothing to do.
        _ = registry.wait_for(|data| (data.phase == Phase::Closed).then_some(())) => return,
        () = quiet_for(&registry, QUIET) => {}
        () = cut_off(&registry) => {}
    }
    registry.update(|_, draft| draft.advance(Phase::Closed));
}

/// Completes when requests are counted and nothing has been in flight for
/// `time`, measured from the call.
async fn quiet_for(registry: &Registry, time: Duration) {
    let traffic = registry.traffic();
    let mut idle_since = None;
    loop {
        let now = Instant::now();
        if traffic.flights.is_counting() && traffic.is_idle() {
            let since = *idle_since.get_or_insert(now);
            // A request may have begun and ended between two reads.
            let arrived = traffic.drain_clock.last_arrival().unwrap_or(since);
            if now >= since.max(arrived) + time {
                return;
            }
        } else {
            idle_since = None;
        }
        sleep(POLL_EVERY).await;
    }
}

/// Completes at the cap of a process that is closing, or pends for ever if it
/// has no cap.
async fn cut_off(registry: &Registry) {
    match registry.traffic().drain_clock.cut_off() {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}

/// Completes when the clients that wait for the end of the process have
/// disconnected, or after [`LAST_ANSWERS`].
pub(super) async fn end_watchers(readiness: &Readiness) {
    let watchers = &readiness.registry().traffic().end_watchers;
    if watchers.is_empty() {
        return;
    }
    let gone = async {
        while !watchers.is_empty() {
            sleep(POLL_EVERY).await;
        }
    };
    let _ = timeout(LAST_ANSWERS, gone).await;
}

/// The reason to drop a server that still runs.
pub(super) enum GiveUp {
    /// Nothing is in flight, and the grace for closing connections is over.
    Idle,
    /// The cap is over; the number in flight, if requests or jobs are counted.
    Cap(Option<usize>),
}

/// Completes when a server that still runs has to be dropped. Closes the process
/// when nothing has been in flight for [`QUIET`].
pub(super) async fn give_up(readiness: &Readiness) -> GiveUp {
    readiness.closing().await;
    let registry = readiness.registry();
    let traffic = registry.traffic();
    let idle = async {
        close(Arc::clone(registry)).await;
        let grace = traffic.drain_clock.idle_grace();
        quiet_for(registry, grace.unwrap_or(IDLE_GRACE)).await;
    };
    tokio::select! { biased;
        () = idle => return GiveUp::Idle,
        () = cut_off(registry) => {}
    }
    // Read before the server is dropped, which drops its requests too.
    if !traffic.flights.is_counting() || !traffic.flights.is_empty() {
        return GiveUp::Cap(traffic.flights.count());
    }
    if !traffic.waiting.is_empty() {
        // Let the held requests be refused before the server is dropped.
        registry.update(|_, draft| draft.advance(Phase::Closed));
        sleep(POLL_EVERY).await;
    }
    GiveUp::Idle
}
