use crate::{
    race::{First, race},
    report::{Core, Readiness},
    state::Phase,
    traffic::InFlight,
};
use std::{
    future::{Future, pending},
    sync::Arc,
};
use tokio::time::{Duration, Instant, sleep, sleep_until};

/// How often those who wait look at what is in flight. Were they to be woken
/// by the last request, every request would pay for it.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How long nothing may be in flight before the process is closed: what a
/// client sent before it heard that the connection closes is still served.
const QUIET: Duration = Duration::from_secs(1);

impl Readiness {
    /// How many requests are in flight, or `None` if no layer was
    /// [told to count](crate::ReadinessLayer::count_in_flight).
    ///
    /// A request is in flight from when it is admitted until the body of its
    /// response has ended or was dropped; an upgraded connection until its
    /// [`InFlight`] is dropped. Probes, gRPC's health service, refused requests
    /// and those still held are not.
    pub fn in_flight(&self) -> Option<usize> {
        self.core().traffic().flights.count()
    }

    /// Counts something that is not a request as in flight, until it is
    /// dropped: a job that goes on after the response, a batch, a connection of
    /// another protocol.
    ///
    /// [`in_flight`](Self::in_flight) shows it together with the requests of a
    /// layer that counts; [`run`](Self::run) waits for it in any case.
    pub fn track(&self) -> InFlight {
        self.core().traffic().flights.enter()
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
        self.core().traffic().lame_duck.late_arrivals()
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
    /// process that closes, or the process is closed. If no layer counts, that
    /// is when it is closed.
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
        let none = || self.in_flight() == Some(0);
        race(self.reached(Phase::Closed), look_until(none)).await;
    }
}

/// Completes when `none` was true at two looks in a row. One is not enough, for
/// what is counted may have moved on from what has not been looked at yet to
/// what has.
async fn look_until(none: impl Fn() -> bool) {
    loop {
        if none() {
            sleep(LOOK_EVERY).await;
            if none() {
                return;
            }
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Completes when nothing is in flight that a server has left behind: upgraded
/// connections and jobs.
pub(super) async fn left_behind(readiness: &Readiness) {
    let flights = &readiness.core().traffic().flights;
    if flights.entered() > 0 {
        look_until(|| flights.entered() == 0).await;
    }
}

/// Closes the process when nothing has been in flight for a while, or when it
/// is to be cut off.
pub(super) async fn close(core: Arc<Core>) {
    let closed = core.wait_for(|data| (data.phase == Phase::Closed).then_some(()));
    // Ended or closed already, there is nothing to do.
    if let First::Right(()) = race(closed, quiet_or_cut_off(&core)).await {
        core.update(|_, draft| draft.advance(Phase::Closed));
    }
}

async fn quiet_or_cut_off(core: &Core) {
    let traffic = core.traffic();
    let cut_off = traffic.lame_duck.cut_off().unwrap_or_else(Instant::now);
    if traffic.flights.count().is_none() {
        return sleep_until(cut_off).await;
    }
    let mut seen = Instant::now();
    loop {
        let now = Instant::now();
        if traffic.flights.entered() + traffic.waiting.entered() > 0 {
            seen = now;
        }
        // One may have come and gone between two looks.
        let arrived = traffic.lame_duck.last_arrival().unwrap_or(seen);
        let quiet = now >= seen.max(arrived) + QUIET;
        if quiet || now >= cut_off {
            return;
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Completes when whoever still works is to be cut off, if ever.
pub(super) async fn cut_off(readiness: &Readiness) {
    readiness.closing().await;
    match readiness.core().traffic().lame_duck.cut_off() {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}
