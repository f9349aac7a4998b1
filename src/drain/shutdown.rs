use super::{close::close, signals::SignalListener};
use crate::{
    registry::{Readiness, Registry, Times},
    state::Phase,
    traffic::quiet,
};
use std::{
    future::{Future, pending},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::{
    runtime::Handle,
    time::{Duration, Instant, sleep, sleep_until},
};

/// Time enough for signal handlers that have begun to return.
const HANDLERS_RETURN: Duration = Duration::from_millis(100);

pub(super) type Trigger = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The settings of one [`Shutdown`], in force until it is dropped.
pub(super) struct Plan {
    pub(super) times: Arc<Times>,
    pub(super) registry: Arc<Registry>,
    pub(super) listener: SignalListener,
}

impl Drop for Plan {
    fn drop(&mut self) {
        self.registry.drain_clock().withdraw(&self.times);
    }
}

/// A future that drains the process at a signal or trigger, and completes when
/// the server has to stop accepting; built by
/// [`drain_on_signal`](Readiness::drain_on_signal) and
/// [`shutdown`](Readiness::shutdown).
///
/// Pass it to the server as its shutdown signal; see the
/// [module documentation](super). It does nothing until it is polled, and it is
/// not `Clone`, because one future controls the shutdown: pass
/// [`Readiness::closing`] to further servers of the process. After completion it
/// may be polled again.
///
/// If it is dropped before it has completed, its delay and its cap no longer
/// count: a process that drains goes on draining for ever, and SIGTERM is
/// ignored, because tokio does not restore a signal's default. (If the process
/// drains already and has no other `Shutdown`, the cap still counts: the server
/// may have ended, and left a tracked job.)
///
/// Among several in one process, the shortest delay counts, and the cap and the
/// grace of the first built.
#[must_use = "futures do nothing unless polled"]
pub struct Shutdown {
    running: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Shutdown {
    pub(super) fn new(readiness: Readiness, trigger: Trigger, plan: Plan, runtime: Handle) -> Self {
        let running = Box::pin(shut_down(readiness, trigger, plan, runtime));
        Self {
            running: Some(running),
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

crate::debug::fields!(Shutdown, |this| {
    completed: this.running.is_none(),
});

async fn shut_down(readiness: Readiness, trigger: Trigger, mut plan: Plan, runtime: Handle) {
    tokio::select! { biased;
        () = trigger => {}
        // Polled before `draining`, to consume the signal: if another `Shutdown` has
        // begun to drain on the same ctrl-c, `delay` must not take it for a second
        // ctrl-c.
        _ = plan.listener.next() => {}
        () = readiness.draining() => {}
    }
    plan.registry.advance(Phase::Draining);
    let has_run_out = tokio::select! { biased;
        () = readiness.closing() => false,
        has_run_out = delay(&mut plan) => has_run_out,
    };

    // Neither task keeps the registry alive.
    drop(runtime.spawn(close(Arc::clone(&plan.registry), pending())));
    if has_run_out {
        warn_of_late_arrivals(&plan);
    }
    drop(runtime.spawn(async move {
        // The SIGINT that ended the delay may not have run all of its handlers.
        sleep(HANDLERS_RETURN).await;
        // From here on the next SIGINT kills the process.
        drop(plan);
    }));
}

/// Returns `true` when the drain delay and its extension are over, or `false` at a second
/// ctrl-c.
async fn delay(plan: &mut Plan) -> bool {
    let arrivals = &plan.registry.traffic().arrivals;
    let quiet = quiet(plan.times.delay);
    // The drain may have begun before this future was polled.
    let since = arrivals.since().unwrap_or_else(Instant::now);
    let longest = since + plan.times.longest_delay;
    let mut end = since + plan.times.delay;
    loop {
        tokio::select! { biased;
            () = sleep_until(end) => {}
            () = plan.listener.interrupt() => return false,
        }
        match arrivals.last().map(|last| last + quiet) {
            Some(later) if later > end && end < longest => end = later.min(longest),
            _ => return true,
        }
    }
}

fn warn_of_late_arrivals(plan: &Plan) {
    let arrivals = &plan.registry.traffic().arrivals;
    let is_recent = |last: Instant| last.elapsed() < quiet(plan.times.delay);
    if arrivals.last().is_some_and(is_recent) {
        crate::log::line!(
            warn, "late_arrivals", { late: arrivals.late() }, late,
            "requests kept arriving until the end of the drain delay: it is too short for \
             a load balancer to notice, or one ignores readiness, or clients keep HTTP/2 \
             connections of their own"
        );
    }
}
