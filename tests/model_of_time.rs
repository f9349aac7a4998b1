//! Random histories of one subsystem with a TTL and a hold-down, on tokio's paused
//! clock: at every moment, the published state is the one that the documentation
//! promises.

use futures_util::FutureExt;
use proptest::{collection::vec, prelude::*, sample::select};
use tokio::time::{Duration, Instant, advance};
use tower_readiness::{Readiness, Reporter, State, Subsystem};

const TTL: Duration = Duration::from_secs(4);
const HOLD_DOWN: Duration = Duration::from_secs(1);
/// How late the timer may notice a heartbeat.
const TIMER_DELAY: Duration = Duration::from_secs(1);
/// The step in which the clock advances.
const TICK: Duration = Duration::from_millis(100);

const STATES: [State; 5] = [
    State::Starting,
    State::Ready,
    State::Degraded,
    State::Failing,
    State::Dead,
];

#[derive(Clone, Debug)]
enum Step {
    Report(State),
    Beat,
    Pass(u32),
    Drain,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => select(&STATES[..]).prop_map(Step::Report),
        8 => Just(Step::Report(State::Ready)),
        8 => Just(Step::Beat),
        16 => (1..60_u32).prop_map(Step::Pass),
        1 => Just(Step::Drain),
    ]
}

/// The behaviour that the documentation promises.
struct Model {
    reported: Option<State>,
    /// The last report or heartbeat.
    sign: Instant,
    /// The first report of a down state since the subsystem was up.
    down_since: Option<Instant>,
    draining: bool,
    /// The state that was published before the last step.
    was: State,
}

impl Model {
    fn check(&mut self, is: State) {
        let now = Instant::now();
        let silent_for = now - self.sign;
        let Some(reported) = self.reported else {
            assert_eq!(is, State::Starting, "no report yet");
            return;
        };
        if is == State::Stale {
            // The timer notices a heartbeat at its next run.
            let not_seen_yet = self.was == State::Stale && silent_for <= TIMER_DELAY;
            assert!(silent_for >= TTL || not_seen_yet, "{silent_for:?}");
            assert!(!self.draining || self.was == State::Stale, "it drains");
        } else {
            let too_long = silent_for > TTL + TIMER_DELAY + TICK;
            assert!(!too_long || self.draining, "{silent_for:?}");
            let held_down = |since| now - since <= HOLD_DOWN + TICK;
            let damped = is.is_up() && !reported.is_up() && reported != State::Dead;
            assert!(
                is == reported || damped && self.down_since.is_some_and(held_down),
                "{is} although {reported} was reported"
            );
        }
        self.was = is;
    }
}

fn report(reporter: &Reporter, state: State) {
    match state {
        State::Starting => reporter.starting("again"),
        State::Ready => reporter.ready(),
        State::Degraded => reporter.degraded("slow"),
        State::Failing => reporter.failing("gone"),
        _ => reporter.dead("gone for good"),
    }
}

/// Returns the published state, without publishing overdue changes first.
fn published(readiness: &Readiness) -> State {
    let mut subscription = readiness.subscribe();
    let snapshot = subscription.changed().now_or_never().unwrap().unwrap();
    snapshot.subsystem("link").unwrap().state()
}

async fn run(steps: Vec<Step>) {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("link").ttl(TTL).hold_down(HOLD_DOWN))
        .build()
        .unwrap();
    let link = readiness.reporter("link").unwrap();
    let mut model = Model {
        reported: None,
        sign: Instant::now(),
        down_since: None,
        draining: false,
        was: State::Starting,
    };
    for step in steps {
        match step {
            Step::Report(state) => {
                let before = published(&readiness);
                report(&link, state);
                model.reported = Some(state);
                model.sign = Instant::now();
                let is = published(&readiness);
                if state.is_up() || state == State::Dead || !before.is_up() {
                    assert_eq!(is, state, "at once");
                }
                if state.is_up() || state == State::Dead {
                    model.down_since = None;
                } else if before.is_up() {
                    model.down_since.get_or_insert(Instant::now());
                }
                model.was = is;
            }
            Step::Beat => {
                link.heartbeat();
                model.sign = Instant::now();
            }
            Step::Pass(ticks) => {
                for _ in 0..ticks {
                    advance(TICK).await;
                    for _ in 0..4 {
                        tokio::task::yield_now().await;
                    }
                    model.check(published(&readiness));
                }
            }
            Step::Drain => {
                readiness.drain();
                model.draining = true;
            }
        }
        model.check(published(&readiness));
    }
}

proptest! {
    // Each history takes about as long as eight of the other tests.
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases / 8,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_published_state_follows_the_documentation(steps in vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(run(steps));
    }
}
