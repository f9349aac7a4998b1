use super::{plan::Plan, wait};
use crate::{
    race::{First, race},
    registry::Readiness,
    state::Phase,
};
use std::{
    fmt,
    future::{Future, pending},
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{
    runtime::Handle,
    time::{Duration, Instant, sleep, sleep_until},
};

/// In which a signal handler that has begun surely ends.
const A_MOMENT: Duration = Duration::from_millis(100);

/// Drains the process when it is told to stop, and completes when the server
/// shall stop to accept; made by
/// [`drain_on_signal`](Readiness::drain_on_signal) and
/// [`shutdown`](Readiness::shutdown).
///
/// Give it to the server as its shutdown signal; see the
/// [module documentation](super). It has to be polled to do anything, and it is
/// not `Clone`, for one of them is in charge: further servers of the process
/// take [`Readiness::closing`].
///
/// Dropping it before it has completed ends its care for the process: its delay
/// and its cap no longer count, one that drains then drains for ever, and
/// SIGTERM is ignored, for tokio does not give a signal back. (If the process
/// drains already and there is no other shutdown, its cap still counts: the
/// server that was given it may have ended, and left a job behind.) Completed,
/// it may be polled again.
///
/// Of several in one process, the shortest delay counts, and the cap and the
/// grace of the one that was built first.
#[must_use = "futures do nothing unless polled"]
pub struct Shutdown {
    running: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Shutdown {
    pub(super) fn new(readiness: Readiness, plan: Plan, runtime: Handle) -> Self {
        Self {
            running: Some(Box::pin(shut_down(readiness, plan, runtime))),
        }
    }
}

impl Future for Shutdown {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(running) = &mut self.running {
            std::task::ready!(running.as_mut().poll(cx));
            self.running = None;
        }
        Poll::Ready(())
    }
}

impl fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shutdown")
            .field("completed", &self.running.is_none())
            .finish_non_exhaustive()
    }
}

async fn shut_down(readiness: Readiness, mut plan: Plan, runtime: Handle) {
    let trigger = plan.trigger.take().unwrap_or_else(|| Box::pin(pending()));
    let told = race(trigger, plan.ears.signal());
    // Told first: whoever else has heard the same ctrl-c and begun to drain,
    // it is not to be taken for a second one.
    race(told, readiness.draining()).await;
    readiness.advance_at_once(Phase::Draining);
    race(readiness.closing(), delay(&readiness, &mut plan)).await;

    readiness.advance_at_once(Phase::Closing);
    warn_of_late_arrivals(&readiness, quiet(plan.delay));
    // Neither keeps the registry alive.
    drop(runtime.spawn(wait::close(readiness.registry().clone())));
    drop(runtime.spawn(async move {
        // The SIGINT that ended the delay may not have run all of its handlers.
        sleep(A_MOMENT).await;
        // From here on the next one kills.
        drop(plan);
    }));
}

/// How much of a delay has to pass without a request: its last fifth.
pub(super) fn quiet(delay: Duration) -> Duration {
    delay / 5
}

/// Completes when the load balancers have had the time to notice.
async fn delay(readiness: &Readiness, plan: &mut Plan) {
    let drain_clock = &readiness.registry().traffic().drain_clock;
    let quiet = quiet(plan.delay);
    // Whoever began to drain said when.
    let since = drain_clock.since().unwrap_or_else(Instant::now);
    let longest = since + plan.up_to;
    let mut end = since + plan.delay;
    loop {
        match race(sleep_until(end), plan.ears.interrupt()).await {
            First::Right(()) => return,
            First::Left(()) => {}
        }
        let quiet_from = drain_clock.last_arrival().map(|last| last + quiet);
        match quiet_from {
            Some(later) if later > end && end < longest => end = later.min(longest),
            _ => return,
        }
    }
}

#[cfg(feature = "tracing")]
fn warn_of_late_arrivals(readiness: &Readiness, recently: Duration) {
    let last = readiness.registry().traffic().drain_clock.last_arrival();
    if last.is_some_and(|last| last.elapsed() < recently) {
        let late = readiness.late_arrivals();
        crate::logging::line(tracing::Level::WARN, || {
            move |span| {
                crate::logging::event!(
                    warn,
                    span,
                    late,
                    "requests kept arriving until the end of the drain delay: it is too short for \
                     a load balancer to notice, or one ignores readiness, or clients keep HTTP/2 \
                     connections of their own",
                );
            }
        });
    }
}

#[cfg(not(feature = "tracing"))]
fn warn_of_late_arrivals(_: &Readiness, _: Duration) {}
