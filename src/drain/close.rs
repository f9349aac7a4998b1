use super::error::ShutdownTimeout;
use crate::{
    registry::{Readiness, Registry},
    state::Phase,
};
use std::{
    future::{Future, pending},
    sync::Arc,
};
use tokio::time::{Duration, Instant, sleep, sleep_until, timeout};

/// The interval at which waiting futures read the in-flight counters. A wake-up
/// by the last request would cost every request an atomic step.
pub(super) const POLL_EVERY: Duration = Duration::from_millis(10);

/// How long nothing has to be in flight before the process is closed. Requests
/// that a client sent before it saw the connection close are served in this
/// time.
const QUIET: Duration = Duration::from_secs(1);

/// The default time in which a server with nothing in flight has to end.
pub(super) const IDLE_GRACE: Duration = Duration::from_secs(2);

/// How long clients that wait for the end have to read the answer and to
/// disconnect: some hundred times longer than a command takes to print a line
/// and to exit, because the machine may be busy.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// Begins [`Closing`](Phase::Closing) at once, and returns a future that begins
/// [`Closed`](Phase::Closed): when `finished` completes, when nothing has been in
/// flight for [`QUIET`], or at the cap.
///
/// The crate begins these two phases here only. The future also completes when the
/// application has begun `Closed`, or when the registry is closed.
pub(super) fn close(
    registry: Arc<Registry>,
    finished: impl Future<Output = ()>,
) -> impl Future<Output = ()> {
    registry.advance(Phase::Closing);
    async move {
        tokio::select! { biased;
            _ = registry.wait_for_phase(Phase::Closed) => return,
            () = finished => {}
            () = quiet_for(&registry, QUIET) => {}
            () = cut_off(&registry) => {}
        }
        registry.advance(Phase::Closed);
    }
}

/// Completes when a server that still runs has to be dropped, and closes the
/// process before. The error is that of the cap.
pub(super) async fn give_up(readiness: &Readiness) -> Result<(), ShutdownTimeout> {
    readiness.closing().await;
    let registry = readiness.registry();
    close(Arc::clone(registry), pending()).await;
    let grace = registry.drain_clock().idle_grace();
    tokio::select! { biased;
        () = quiet_for(registry, grace.unwrap_or(IDLE_GRACE)) => return Ok(()),
        () = cut_off(registry) => {}
    }
    let traffic = registry.traffic();
    // Read before the server is dropped, which drops its requests too.
    if !traffic.flights.is_counting() || !traffic.flights.is_empty() {
        return Err(timed_out(registry, false));
    }
    if !traffic.waiting.is_empty() {
        // Let the held requests be refused before the server is dropped.
        sleep(POLL_EVERY).await;
    }
    Ok(())
}

/// Closes the process after its server has ended: when the upgraded connections and
/// jobs that outlive the server have finished, or at the cap with an error.
pub(super) async fn finish(registry: &Arc<Registry>) -> Result<(), ShutdownTimeout> {
    close(Arc::clone(registry), all_finished(registry)).await;
    tokio::select! { biased;
        () = all_finished(registry) => Ok(()),
        () = cut_off(registry) => Err(timed_out(registry, true)),
    }
}

fn timed_out(registry: &Registry, server_ended: bool) -> ShutdownTimeout {
    ShutdownTimeout {
        in_flight: registry.traffic().flights.count(),
        server_ended,
    }
}

async fn all_finished(registry: &Registry) {
    while !registry.traffic().flights.is_empty() {
        sleep(POLL_EVERY).await;
    }
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
            let arrived = traffic.arrivals.last().unwrap_or(since);
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
    match registry.drain_clock().cut_off() {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}

/// Completes when the clients that wait for the end of the process have
/// disconnected, or after [`LAST_ANSWERS`].
pub(super) async fn end_watchers(registry: &Registry) {
    let watchers = &registry.traffic().end_watchers;
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
