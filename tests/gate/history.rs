//! The history of transitions, beside a model that compares snapshots, and under
//! writers on several threads.

use futures_util::FutureExt;
use http::{Request, Response};
use proptest::{collection::vec, prelude::*, sample::select, test_runner::TestRunner};
use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};
use tokio::{runtime, time::advance};
use tower::{Layer, ServiceExt, service_fn};
use tower_readiness::{
    BuildError, PauseGuard, Phase, Readiness, ReadinessLayer, Reporter, State, Subsystem,
    Transition,
};

#[derive(Clone, Copy, Debug)]
enum Step {
    Report(usize, State, &'static str),
    Add,
    Retire,
    Pause,
    Resume,
    Advance(Phase),
    Pass(u64),
    /// A request to the process, or to the scope.
    Request(bool),
}

const NAMES: [&str; 3] = ["storage", "index", "late"];

fn step() -> impl Strategy<Value = Step> {
    let states = &[
        State::Starting,
        State::Ready,
        State::Degraded,
        State::Failing,
    ];
    prop_oneof![
        12 => (0..3_usize, select(&states[..]), select(&["", "disk\nfull"][..]))
            .prop_map(|(index, state, reason)| Step::Report(index, state, reason)),
        2 => Just(Step::Add),
        1 => Just(Step::Retire),
        1 => Just(Step::Pause),
        1 => Just(Step::Resume),
        1 => select(&[Phase::Draining, Phase::Closing, Phase::Closed][..]).prop_map(Step::Advance),
        4 => (1..10_000_u64).prop_map(Step::Pass),
        6 => any::<bool>().prop_map(Step::Request),
    ]
}

/// The values that have a history, as words by subject.
fn values(readiness: &Readiness) -> BTreeMap<(&'static str, String), String> {
    let snapshot = readiness.snapshot();
    let word = |it: &dyn std::fmt::Display| it.to_string();
    let paused = ["not paused", "paused"][usize::from(snapshot.paused().is_some())];
    let mut values = BTreeMap::from([
        (("phase", String::new()), word(&snapshot.phase())),
        (("pause", String::new()), paused.to_owned()),
        (
            ("process", String::new()),
            word(&snapshot.verdict().condition()),
        ),
    ]);
    values.extend(
        snapshot
            .subsystems()
            .map(|view| (("subsystem", view.name().to_owned()), word(&view.state()))),
    );
    values.extend(snapshot.scopes().map(|name| {
        let condition = snapshot.scope(name).unwrap().condition();
        (("scope", name.to_owned()), word(&condition))
    }));
    values
}

/// A transition: its version, subject, values, reason, the requests refused and the
/// time that the former value lasted.
type Row = (u64, String, String, String, Option<String>, u64, Duration);

fn row(transition: &Transition) -> Row {
    let kind = transition.kind();
    let (from, to) = kind.words();
    (
        transition.version(),
        format!("{} {}", kind.as_str(), kind.name().unwrap_or_default()),
        from.unwrap_or_default().to_owned(),
        to.unwrap_or_default().to_owned(),
        transition.reason().map(str::to_owned),
        transition.refused(),
        transition.lasted(),
    )
}

struct Process {
    readiness: Readiness,
    reporters: [Option<Reporter>; 3],
    pauses: Vec<PauseGuard>,
    layers: [ReadinessLayer; 2],
}

impl Process {
    fn new(capacity: usize) -> Self {
        let readiness = Readiness::builder()
            .subsystem(Subsystem::new(NAMES[0]))
            .subsystem(Subsystem::new(NAMES[1]).optional())
            .scope("search", [NAMES[1]])
            .scope("whole", [NAMES[0], NAMES[1]])
            .history(capacity)
            .build()
            .unwrap();
        Self {
            reporters: NAMES.map(|name| readiness.reporter(name).ok()),
            pauses: Vec::new(),
            layers: [
                ReadinessLayer::new(&readiness),
                ReadinessLayer::gate(readiness.scope("search").unwrap()),
            ],
            readiness,
        }
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Report(index, state, reason) => {
                let Some(reporter) = &self.reporters[index] else {
                    return;
                };
                match state {
                    State::Starting => reporter.starting(reason),
                    State::Ready => reporter.ready(),
                    State::Degraded => reporter.degraded(reason),
                    _ => reporter.failing(reason),
                }
            }
            Step::Add => {
                if let Ok(reporter) = self.readiness.add(Subsystem::new(NAMES[2])) {
                    self.reporters[2] = Some(reporter);
                }
            }
            Step::Retire => self.reporters[2]
                .take()
                .into_iter()
                .for_each(Reporter::retire),
            Step::Pause => self.pauses.push(self.readiness.pause("standby")),
            Step::Resume => drop(self.pauses.pop()),
            Step::Advance(phase) => self.readiness.advance(phase),
            Step::Pass(millis) => advance(Duration::from_millis(millis)).await,
            Step::Request(_) => {}
        }
    }

    /// Returns whether a gate refuses a request.
    fn refuses(&self, is_scoped: bool) -> bool {
        let inner = service_fn(|_: Request<String>| async {
            Ok::<_, Infallible>(Response::new(String::new()))
        });
        let service = self.layers[usize::from(is_scoped)].layer(inner);
        let response = service.oneshot(Request::new(String::new())).now_or_never();
        response.unwrap().unwrap().status() == 503
    }
}

/// Takes the steps, and compares the history with the model after some of them.
async fn compare(capacity: usize, steps: &[(Step, bool)]) {
    let mut process = Process::new(capacity);
    let readiness = process.readiness.clone();
    let now = || tokio::time::Instant::now().into_std();
    let mut refused = [0_u64; 2];
    let mut values_before = values(&readiness);
    let begin = |refused| (now(), refused);
    let mut begun: BTreeMap<_, (Instant, u64)> = values_before
        .keys()
        .map(|key| (key.clone(), begin(0)))
        .collect();
    let mut model = Vec::<Row>::new();
    for (step, reads) in steps {
        if let Step::Request(is_scoped) = *step {
            refused[usize::from(is_scoped)] += u64::from(process.refuses(is_scoped));
        }
        process.take(*step).await;
        let values_after = values(&readiness);
        let snapshot = readiness.snapshot();
        // In the order in which one version has them.
        for kind in ["subsystem", "phase", "pause", "process", "scope"] {
            let keys = values_before.keys().chain(values_after.keys());
            let keys: std::collections::BTreeSet<_> = keys.filter(|it| it.0 == kind).collect();
            for key in keys {
                let [from, to] = [&values_before, &values_after].map(|it| it.get(key));
                if from == to {
                    continue;
                }
                let count = match (kind, key.1.as_str()) {
                    ("scope", "search") => refused[1],
                    // No gate is on it.
                    ("scope", _) => 0,
                    _ => refused[0] + refused[1],
                };
                let reason = match (kind, to) {
                    ("subsystem", Some(_)) => snapshot
                        .subsystem(&key.1)
                        .unwrap()
                        .reason()
                        .map(str::to_owned),
                    ("pause", _) => snapshot.paused().map(str::to_owned),
                    _ => None,
                };
                let former = begun.insert(key.clone(), (now(), count));
                let former = former.filter(|_| from.is_some());
                model.push((
                    snapshot.version(),
                    format!("{} {}", key.0, key.1),
                    from.cloned().unwrap_or_default(),
                    to.cloned().unwrap_or_default(),
                    reason,
                    former.map_or(0, |(_, before)| count - before),
                    former.map_or(Duration::ZERO, |(at, _)| now() - at),
                ));
            }
        }
        values_before = values_after;
        if *reads {
            let kept = &model[model.len().saturating_sub(capacity)..];
            let history = readiness.history();
            assert_eq!(history.iter().map(row).collect::<Vec<_>>(), kept);
        }
    }
}

#[test]
fn the_history_has_the_transitions_of_the_model() {
    let runtime = runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let config = ProptestConfig {
        cases: 300,
        source_file: Some(file!()),
        ..ProptestConfig::default()
    };
    let capacity = select(&[0_usize, 1, 2, 31, 32, 33, 65, 256][..]);
    let steps = vec((step(), prop::bool::weighted(0.2)), 1..300);
    let outcome = TestRunner::new(config).run(&(capacity, steps), |(capacity, mut steps)| {
        if let Some((_, reads)) = steps.last_mut() {
            *reads = true;
        }
        runtime.block_on(compare(capacity, &steps));
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

/// Readers find no gap, no entry twice and none out of order, however many versions
/// lie between two of their reads.
#[test]
fn readers_see_whole_histories_while_threads_report() {
    let names = ["a", "b", "c"];
    let builder = names.map(Subsystem::new).into_iter();
    let builder = builder.fold(Readiness::builder(), tower_readiness::Builder::subsystem);
    let readiness = builder.build().unwrap();
    let ends = AtomicBool::new(false);
    thread::scope(|scope| {
        // A claim is a version without a transition, so all come before the first report.
        let reporters = names.map(|name| readiness.reporter(name).unwrap());
        let writers = reporters.map(|reporter| {
            scope.spawn(move || {
                for _ in 0..5_000 {
                    reporter.ready();
                    reporter.failing("gone");
                }
                reporter
            })
        });
        scope.spawn(|| {
            let mut seen = 0;
            while !ends.load(Ordering::Relaxed) {
                let version = readiness.snapshot().version();
                let history = readiness.history();
                assert!(history.len() <= 256);
                assert!(history.iter().map(Transition::version).is_sorted());
                if let Some(newest) = history.last().map(Transition::version) {
                    assert!(newest >= seen, "{newest} after {seen}");
                    assert!(version <= 8 || newest >= version - 1);
                    seen = newest;
                }
                let mut last = BTreeMap::new();
                for transition in &history {
                    let subject = (transition.kind().as_str(), transition.kind().name());
                    let (from, to) = transition.kind().words();
                    if let Some(before) = last.insert(subject, to) {
                        assert_eq!(before, from, "{subject:?}");
                    }
                }
            }
        });
        let reporters = writers.map(|writer| writer.join().unwrap());
        ends.store(true, Ordering::Relaxed);
        drop(reporters);
    });
    assert_eq!(readiness.history().len(), 256);
}

#[test]
fn a_repeated_report_and_another_reason_are_no_transitions() {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .build()
        .unwrap();
    let storage = readiness.reporter("storage").unwrap();
    storage.failing("first");
    storage.failing("first");
    storage.failing("second");
    let history = readiness.history();
    assert_eq!(history.len(), 1, "{history:?}");
    assert_eq!(history[0].reason(), Some("first"));
}

#[test]
fn a_history_without_bounds_is_an_error() {
    let subsystem = || Readiness::builder().subsystem(Subsystem::new("storage"));
    for transitions in [(1 << 16) + 1, usize::MAX] {
        let error = subsystem().history(transitions).build().unwrap_err();
        assert!(matches!(error, BuildError::LongHistory { .. }), "{error}");
    }
    assert!(subsystem().history(1 << 16).build().is_ok());
}
