use super::close::POLL_EVERY;
use crate::{
    registry::{Readiness, Registry},
    state::Phase,
    traffic::InFlightGuard,
};
use std::future::Future;
use tokio::time::sleep;

impl Readiness {
    /// Returns the number of requests and [tracked](Self::track) jobs in flight.
    /// If no layer [counts](crate::ReadinessLayer::count_in_flight) requests, it
    /// returns the number of jobs, and `None` instead of zero: zero would claim
    /// that no request is in flight either.
    ///
    /// A request is in flight from its admission until the body of its response
    /// has ended or was dropped; pieces of 64 KiB or more also have to be sent. An
    /// upgraded connection is in flight until its [`InFlightGuard`] is dropped.
    /// Probes, gRPC's health service, refused requests and held requests do not
    /// count.
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
    /// Each layer of the process as a whole counts the requests that it admits, also a
    /// [layer of probes](crate::ReadinessLayer::probes) alone, from the moment a
    /// [`Shutdown`](super::Shutdown) notices the drain. A request that passes two of them
    /// counts twice. Probes, gRPC's health service and exempt requests do not count.
    pub fn late_arrivals(&self) -> u64 {
        self.registry().traffic().arrivals.late()
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
