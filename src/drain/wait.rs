use super::plan::IDLE_GRACE;
use crate::{
    race::{First, race},
    registry::{Readiness, Registry},
    state::Phase,
    traffic::InFlightGuard,
};
use std::{
    future::{Future, pending},
    sync::Arc,
};
use tokio::time::{Duration, Instant, sleep, sleep_until, timeout};

/// How often those who wait look at what is in flight. Were they to be woken
/// by the last request, every request would pay for it.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How long nothing may be in flight before the process is closed: what a
/// client sent before it heard that the connection closes is still served.
const QUIET: Duration = Duration::from_secs(1);

/// How long clients that wait for the end have to read of it and to go. Some
/// hundred times what a command takes to print a line and to exit, for it may be
/// on a busy machine.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

impl Readiness {
    /// How many requests and [tracked](Self::track) jobs are in flight. If no
    /// layer was [told to count](crate::ReadinessLayer::count_in_flight), how
    /// many jobs are, and `None` if none is: zero would say that no request was
    /// in flight either.
    ///
    /// A request is in flight from when it is admitted until the body of its
    /// response has ended or was dropped, and the last piece of it was sent if it
    /// has 64 KiB or more; an upgraded connection until its
    /// [`InFlightGuard`] is dropped. Probes, gRPC's health service, refused requests
    /// and those still held are not.
    ///
    /// What begins and ends during the call may or may not be in the number.
    pub fn in_flight(&self) -> Option<usize> {
        self.registry().traffic().flights.count()
    }

    /// Counts something that is not a request as in flight, until it is
    /// dropped: a job that goes on after the response, a batch, a connection of
    /// another protocol.
    ///
    /// [`in_flight`](Self::in_flight), probes and systemd's status show it, and
    /// [`run`](Self::run) waits for it, whether or not a layer counts requests.
    /// A job may be handed over without being missed: track the new one before
    /// the old one is dropped.
    pub fn track(&self) -> InFlightGuard {
        self.registry().traffic().flights.enter_recorded()
    }

    /// How many requests were admitted although the process has drained for
    /// four fifths of the [delay](super::ShutdownBuilder::delay), or longer.
    ///
    /// They should have gone elsewhere by then: either the delay is too short
    /// for a load balancer to notice, or one ignores readiness. (Or they are
    /// those of clients that keep an HTTP/2 connection of their own: nothing
    /// asks them to leave it until it is closed.)
    ///
    /// Counted by layers of the process as a whole, once for each of them, from
    /// when a [`Shutdown`](super::Shutdown) knows of the drain. Probes, gRPC's
    /// health service and what is exempt do not count.
    pub fn late_arrivals(&self) -> u64 {
        self.registry().traffic().drain_clock.late_arrivals()
    }

    /// Completes once the server shall stop to accept: for further servers of
    /// the process, beside the one that was given the
    /// [`Shutdown`](super::Shutdown).
    ///
    /// Cancel safe. The future keeps the registry alive.
    pub fn closing(&self) -> impl Future<Output = ()> + Send + Sync + 'static + use<> {
        self.reached(Phase::Closing)
    }

    /// Completes once nothing is [in flight](Self::in_flight) any more in a
    /// process that closes, or the process is closed. If no layer counts
    /// requests, that is when it is closed.
    ///
    /// Wait for it after the server has ended: while one still runs, a request
    /// may be on its way that is not yet in flight, and an answer that no
    /// longer is on its way out. [`run`](Self::run) does so by itself.
    ///
    /// Looks every 10 milliseconds. Cancel safe.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime, or on one whose timers are not enabled.
    pub async fn drained(&self) {
        self.closing().await;
        race(
            self.reached(Phase::Closed),
            nothing_in_flight(self.registry()),
        )
        .await;
    }
}

/// Completes when nothing is in flight; never, if requests are not counted.
async fn nothing_in_flight(registry: &Registry) {
    let flights = &registry.traffic().flights;
    while !(flights.is_counting() && flights.is_empty()) {
        sleep(LOOK_EVERY).await;
    }
}

/// Completes when nothing is in flight that a server has left behind: upgraded
/// connections and jobs.
pub(super) async fn left_behind(readiness: &Readiness) {
    while !readiness.registry().traffic().flights.is_empty() {
        sleep(LOOK_EVERY).await;
    }
}

/// Closes the process when nothing has been in flight for a while, or when what
/// is in flight is to be cut off.
pub(super) async fn close(registry: Arc<Registry>) {
    let closed = registry.wait_for(|data| (data.phase == Phase::Closed).then_some(()));
    // Ended or closed already, there is nothing to do.
    let quiet = quiet_for(&registry, QUIET);
    if let First::Right(_) = race(closed, race(quiet, cut_off(&registry))).await {
        registry.update(|_, draft| draft.advance(Phase::Closed));
    }
}

/// Completes when nothing has been in flight for `time`, from now on; never, if
/// requests are not counted.
async fn quiet_for(registry: &Registry, time: Duration) {
    let traffic = registry.traffic();
    let mut idle_since = None;
    loop {
        let now = Instant::now();
        if traffic.flights.is_counting() && traffic.is_idle() {
            let since = *idle_since.get_or_insert(now);
            // One may have come and gone between two looks.
            let arrived = traffic.drain_clock.last_arrival().unwrap_or(since);
            if now >= since.max(arrived) + time {
                return;
            }
        } else {
            idle_since = None;
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Completes when what is in flight in a process that closes is to be cut off,
/// if ever.
async fn cut_off(registry: &Registry) {
    match registry.traffic().drain_clock.cut_off() {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}

/// Completes when the clients that wait for the end of the process have read of
/// it and are gone, or had the time for that.
pub(super) async fn end_watchers(readiness: &Readiness) {
    let watchers = &readiness.registry().traffic().end_watchers;
    if watchers.is_empty() {
        return;
    }
    let gone = async {
        while !watchers.is_empty() {
            sleep(LOOK_EVERY).await;
        }
    };
    let _ = timeout(LAST_ANSWERS, gone).await;
}

/// Why a server is not waited for any longer.
pub(super) enum Over {
    /// Nothing is in flight, and it had the time to close its connections.
    Idle,
    /// The cap is over; so much is in flight, if that is known.
    ShutdownTimeout(Option<usize>),
}

/// Completes when a server that still runs is not to be waited for any longer.
/// Closes the process when nothing has been in flight for a while.
pub(super) async fn over(readiness: &Readiness) -> Over {
    readiness.closing().await;
    let registry = readiness.registry();
    let traffic = registry.traffic();
    let idle = async {
        close(Arc::clone(registry)).await;
        let grace = traffic.drain_clock.idle_grace();
        quiet_for(registry, grace.unwrap_or(IDLE_GRACE)).await;
    };
    match race(idle, cut_off(registry)).await {
        First::Left(()) => Over::Idle,
        // Looked at before the server is dropped, and its requests with it.
        First::Right(()) if traffic.flights.is_counting() && traffic.flights.is_empty() => {
            if !traffic.waiting.is_empty() {
                // A closed process refuses what it held, and that takes a moment.
                registry.update(|_, draft| draft.advance(Phase::Closed));
                sleep(LOOK_EVERY).await;
            }
            Over::Idle
        }
        First::Right(()) => Over::ShutdownTimeout(traffic.flights.count()),
    }
}
