use super::race::{First, race};
use crate::{
    report::{Core, Readiness},
    state::Phase,
    traffic::InFlight,
};
use std::{future::Future, sync::Arc};
use tokio::time::{Duration, Instant, sleep, sleep_until};

/// How often those who wait look at what is in flight. Were they to be woken
/// by the last request, every request would pay for it.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How long nothing may be in flight before the process is closed: what a
/// client sent before it heard that the connection closes is still served.
const QUIET: Duration = Duration::from_secs(1);

impl Readiness {
    /// How many requests are in flight, or `None` if nobody counts: neither a
    /// layer that was [told to](crate::ReadinessLayer::count_in_flight) nor
    /// [`track`](Self::track).
    ///
    /// A request is in flight from when it is admitted until the body of its
    /// response has ended or was dropped; an upgraded connection until its
    /// [`InFlight`] is dropped. Probes, gRPC's health service, refused requests
    /// and those still held are not.
    pub fn in_flight(&self) -> Option<usize> {
        self.core().traffic().flights.count()
    }

    /// Counts something that is not a request of a counting layer as in
    /// flight, until it is dropped: a job that goes on after the response, a
    /// batch, a connection of another protocol.
    pub fn track(&self) -> InFlight {
        let flights = &self.core().traffic().flights;
        flights.begin();
        flights.enter()
    }

    /// How many requests were admitted although the process has drained for
    /// four fifths of the [delay](super::ShutdownBuilder::delay), or longer.
    ///
    /// They should have gone elsewhere by then: either the delay is too short
    /// for a load balancer to notice, or one ignores readiness. Counted by
    /// layers of the process as a whole, not by those of named scopes.
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

    /// Completes once the server has stopped to accept and nothing is
    /// [in flight](Self::in_flight) any more, or the process is closed. If
    /// nobody counts, that is when it is closed.
    ///
    /// Looks every 10 milliseconds. Cancel safe.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime, or on one whose timers are not enabled.
    pub async fn drained(&self) {
        self.closing().await;
        race(self.reached(Phase::Closed), async {
            while self.in_flight() != Some(0) {
                sleep(LOOK_EVERY).await;
            }
        })
        .await;
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
    let mut busy_at = Instant::now();
    loop {
        let now = Instant::now();
        if traffic.flights.count() != Some(0) {
            busy_at = now;
        }
        // One may have come and gone between two looks.
        let busy_at = traffic.lame_duck.last_arrival().max(Some(busy_at));
        let quiet = busy_at.is_some_and(|busy_at| now >= busy_at + QUIET);
        if quiet || now >= cut_off {
            return;
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Completes when whoever still works is to be cut off, if ever.
pub(super) async fn cut_off(readiness: &Readiness) {
    readiness.closing().await;
    let lame_duck = &readiness.core().traffic().lame_duck;
    if lame_duck.cut_off().is_none() {
        // Somebody closed by hand. A `Shutdown` may yet follow.
        readiness.reached(Phase::Closed).await;
    }
    match lame_duck.cut_off() {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
