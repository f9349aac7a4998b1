use super::{outcome::Outcome, schedule::Schedule};
use crate::{
    registry::{SubsystemHandle, now, shortened},
    state::{SubsystemView, TooMany},
};
use std::{
    any::Any,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};
use tokio::time::{Instant, sleep_until, timeout};

pub(super) type Ask = Arc<dyn Fn() -> Answer + Send + Sync>;
type Answer = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// Asks until the subsystem retires.
pub(super) async fn run(voice: SubsystemHandle, schedule: Schedule, ask: Ask) {
    let mut failures = 0_u32;
    let mut is_first = true;
    let mut told = Told::default();
    loop {
        let begun = Instant::now();
        let Some(pushes) = voice.read(SubsystemView::pushes) else {
            return;
        };
        let outcome = outcome(&ask, schedule).await;
        failures = if outcome.state.is_up() {
            0
        } else {
            failures.saturating_add(1)
        };
        told.report(&voice, schedule, &outcome, pushes);
        let wait = if std::mem::take(&mut is_first) {
            schedule.until_second(failures)
        } else {
            schedule.until_next(failures)
        };
        sleep_until(begun + wait).await;
    }
}

async fn outcome(ask: &Ask, schedule: Schedule) -> Outcome {
    let mut answer = match catch_unwind(AssertUnwindSafe(|| ask())) {
        Ok(answer) => answer,
        Err(panic) => return panicked(&*panic),
    };
    let caught = poll_fn(|cx| {
        // Whatever it has broken is its own, and dropped below.
        match catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(cx))) {
            Ok(poll) => poll,
            Err(panic) => Poll::Ready(panicked(&*panic)),
        }
    });
    let outcome = match timeout(schedule.timeout, caught).await {
        Ok(outcome) => outcome,
        Err(_) => Outcome::failing(format!("no answer within {:?}", schedule.timeout)),
    };
    match catch_unwind(AssertUnwindSafe(|| drop(answer))) {
        Ok(()) => outcome,
        Err(panic) => panicked(&*panic),
    }
}

pub(super) fn panicked(panic: &(dyn Any + Send)) -> Outcome {
    let message = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(message), _) => *message,
        (_, Some(message)) => message.as_str(),
        _ => "(no message)",
    };
    Outcome::failing(format!("check panicked: {message}"))
}

/// How soon a result of which only the words are new is published after another
/// one. An error that carries a port or a request id is new each time.
const WORDS_EVERY: Duration = Duration::from_secs(1);

/// When this check has published a result last.
#[derive(Default)]
struct Told(Option<Instant>);

impl Told {
    /// Reports what was found, unless a reporter has spoken since the run began
    /// (and `pushes` were counted).
    fn report(
        &mut self,
        voice: &SubsystemHandle,
        schedule: Schedule,
        outcome: &Outcome,
        pushes: u64,
    ) {
        let (state, reason) = (outcome.state, shortened(&outcome.reason));
        let attributes = &outcome.attributes;
        let lately = self.0.is_some_and(|told| told.elapsed() < WORDS_EVERY);
        let repeats = voice.repeats(|view| {
            // It has it, or no room for it.
            let shown = |(key, value): &(String, String)| {
                matches!(view.with_attribute(key, value), Ok(None) | Err(TooMany))
            };
            (lately && view.repeats_state_of_check(state))
                || (view.is_repeat_of_check(state, reason) && attributes.iter().all(shown))
        });
        if repeats {
            return;
        }
        let changed = voice.change(|view| {
            if view.pushes() != pushes {
                return (false, None);
            }
            let checked = view.check(state, reason, schedule.thresholds, now());
            let with_attributes = attributes.iter().fold(checked, |view, (key, value)| {
                match view.with_attribute(key, value) {
                    Ok(Some(view)) => view,
                    // It has it, or no room for it.
                    Ok(None) | Err(TooMany) => view,
                }
            });
            (true, Some(with_attributes))
        });
        if changed == Some(true) {
            self.0 = Some(Instant::now());
        }
    }
}
