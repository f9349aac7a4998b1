use super::{outcome::Outcome, schedule::Schedule};
use crate::{
    meters::Stopwatch,
    panics::contained,
    registry::{CheckControl, SubsystemHandle, now, shortened},
    state::{SubsystemView, TooMany},
};
use std::{
    any::Any,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::Poll,
    time::Duration,
};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

pub(super) type Ask = Arc<dyn Fn() -> Run + Send + Sync>;
type Run = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// The least time between the starts of two runs. An application may ask for a run at each
/// failed request.
const APART: Duration = Duration::from_millis(100);

/// Runs the check until the subsystem retires.
pub(super) async fn run(
    handle: SubsystemHandle,
    control: Arc<CheckControl>,
    schedule: Schedule,
    ask: Ask,
) {
    let mut failures = 0_u32;
    let mut is_asked = true;
    let mut is_in_step = true;
    loop {
        // The registry does not close while it has a handle.
        let permit = handle.check_permit().await;
        let begun = Instant::now();
        let read = |view: &SubsystemView| (view.pushes(), view.active_ttl().is_some());
        let Some((pushes, has_ttl)) = handle.read(read) else {
            return;
        };
        if !has_ttl {
            // The subsystem has no ttl before its first result. With this heartbeat, the
            // timer finds a run that its runtime leaves in the middle.
            handle.beat();
        }
        let (number, asked) = control.begin_run();
        is_asked |= asked;
        let was_up = control.was_up.swap(false, Ordering::Relaxed);
        // A failure may have come after the outcome of the application, as that of a run that
        // had begun before.
        let is_up = |view: &SubsystemView| view.state().is_up() && view.damped().is_none();
        if is_asked || !was_up || handle.read(is_up) != Some(true) {
            let stopwatch = Stopwatch::start();
            let outcome = outcome(&ask, schedule).await;
            handle.meters().checks.record(&stopwatch);
            failures = if outcome.state.is_up() {
                0
            } else {
                failures.saturating_add(1)
            };
            report(&handle, &control, &outcome, |view| {
                view.pushes() == pushes && control.is_last_run(number)
            });
        } else {
            failures = 0;
            // The ttl of the application's outcome may be over before the next run ends.
            handle.beat();
        }
        drop(permit);
        let has_been_up = handle.read(SubsystemView::has_been_up).unwrap_or(true);
        let wait = if !has_been_up {
            // From the end of the run, which may have waited for a busy dependency.
            begun.elapsed() + schedule.until_first_up(failures)
        } else if std::mem::take(&mut is_in_step) {
            schedule.until_second(failures)
        } else {
            schedule.until_next(failures)
        };
        let asked = timeout_at(begun + wait, control.asked()).await;
        is_asked = asked.is_ok();
        if is_asked {
            sleep_until(begun + APART.min(wait)).await;
        }
    }
}

async fn outcome(ask: &Ask, schedule: Schedule) -> Outcome {
    let mut run = match catch_unwind(AssertUnwindSafe(|| ask())) {
        Ok(run) => run,
        Err(panic) => return panicked(panic),
    };
    let caught = poll_fn(|cx| {
        // Unwind safe: the future is dropped below.
        match catch_unwind(AssertUnwindSafe(|| run.as_mut().poll(cx))) {
            Ok(poll) => poll,
            Err(panic) => Poll::Ready(panicked(panic)),
        }
    });
    let outcome = match timeout(schedule.timeout, caught).await {
        Ok(outcome) => outcome,
        Err(_) => Outcome::failing(format!("no answer within {:?}", schedule.timeout)),
    };
    match catch_unwind(AssertUnwindSafe(|| drop(run))) {
        Ok(()) => outcome,
        Err(panic) => panicked(panic),
    }
}

pub(super) fn panicked(panic: Box<dyn Any + Send>) -> Outcome {
    let message = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(message), _) => *message,
        (_, Some(message)) => message.as_str(),
        _ => "(no message)",
    };
    let outcome = Outcome::failing(format!("check panicked: {message}"));
    // Its destructor may panic too.
    contained(|| drop(panic));
    outcome
}

/// The least time between two results that differ only in their words. An error
/// that carries a port or a request id is new each time.
const WORDS_EVERY: Duration = Duration::from_secs(1);

/// Reports an outcome, unless by then it is outdated.
pub(super) fn report(
    handle: &SubsystemHandle,
    control: &CheckControl,
    outcome: &Outcome,
    is_current: impl Fn(&SubsystemView) -> bool,
) {
    let (state, reason) = (outcome.state, shortened(&outcome.reason));
    let attributes = &outcome.attributes;
    let published_lately = || {
        let last = *control.last_published.lock();
        last.is_some_and(|at| at.elapsed() < WORDS_EVERY)
    };
    let repeats = handle.repeats(|view| {
        // The view has it already, or no room for it.
        let shown = |(key, value): &(String, String)| {
            matches!(view.with_attribute(key, value), Ok(None) | Err(TooMany))
        };
        (view.is_repeat_of_check(state, reason) && attributes.iter().all(shown))
            || (view.repeats_state_of_check(state) && published_lately())
    });
    if repeats {
        return;
    }
    let changed = handle.change(|view| {
        if !is_current(view) {
            return (false, None);
        }
        let checked = view.check(state, reason, control.thresholds, now());
        let with_attributes = attributes.iter().fold(checked, |view, (key, value)| {
            match view.with_attribute(key, value) {
                Ok(Some(view)) => view,
                // The view has it already, or no room for it.
                Ok(None) | Err(TooMany) => view,
            }
        });
        (true, Some(with_attributes))
    });
    if changed == Some(true) {
        *control.last_published.lock() = Some(Instant::now());
    }
}
