//! A `tracing` subscriber that blocks or panics changes no report.

mod support;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
};
use support::{ready, starting};
use tokio::{
    task::yield_now,
    time::{Duration, advance},
};
use tower_readiness::{Claim, Readiness, Reporter, State, Subsystem};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    subscriber::DefaultGuard,
};
use tracing_subscriber::{
    Layer, Registry,
    layer::{Context, SubscriberExt},
};

/// Calls a closure for each event.
struct On<F>(F);

impl<S: Subscriber, F: Fn() + 'static> Layer<S> for On<F>
where
    Self: Send + Sync,
{
    fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
        self.0();
    }
}

fn on_events(event: impl Fn() + Send + Sync + 'static) -> DefaultGuard {
    tracing::subscriber::set_default(Registry::default().with(On(event)))
}

/// Panics, as `eprintln!` does when standard error is closed.
fn panics() -> DefaultGuard {
    on_events(|| panic!("cannot write"))
}

const TTL: Duration = Duration::from_secs(8);

fn all_with_a_ttl() -> (Readiness, Vec<Reporter>) {
    let names: Vec<_> = (0..8).map(|number| format!("part-{number}")).collect();
    let parts = names.iter().map(|name| Subsystem::new(name).ttl(TTL));
    let builder = parts.fold(Readiness::builder(), |builder, part| {
        builder.subsystem(part)
    });
    let readiness = builder.build().unwrap();
    let claim = |name: &String| readiness.reporter(name).unwrap();
    let reporters: Vec<_> = names.iter().map(claim).collect();
    reporters.iter().for_each(Reporter::ready);
    (readiness, reporters)
}

fn stale(readiness: &Readiness) -> usize {
    let snapshot = readiness.snapshot();
    let stale = |state| state == State::Stale;
    snapshot
        .subsystems()
        .filter(|view| stale(view.state()))
        .count()
}

async fn pass(time: Duration) {
    for _ in 0..32 {
        yield_now().await;
        advance(time / 32).await;
    }
    yield_now().await;
}

#[tokio::test(start_paused = true)]
async fn subsystems_silent_together_are_all_published_although_the_log_is_stuck() {
    let (readiness, _reporters) = all_with_a_ttl();
    let (tell, told) = mpsc::channel();
    let (allow, allowed) = mpsc::channel::<()>();
    let allowed = Mutex::new(allowed);
    let _logs = on_events(move || {
        tell.send(()).unwrap();
        // Until the test ends.
        let _ = allowed.lock().unwrap().recv();
    });
    pass(TTL * 2).await;
    assert_eq!(stale(&readiness), 8);
    let wait = std::time::Duration::from_secs(30);
    told.recv_timeout(wait).unwrap();
    assert!(
        told.try_recv().is_err(),
        "the first line is still being written"
    );
    drop(allow);
    for _ in 0..7 {
        told.recv_timeout(wait).unwrap();
    }
}

#[test]
fn a_subscriber_that_panics_loses_one_line() {
    let (_readiness, storage) = starting();
    let (tell, told) = mpsc::channel();
    let lines = AtomicUsize::new(0);
    let _logs = on_events(move || {
        let line = lines.fetch_add(1, Ordering::Relaxed);
        tell.send(line).unwrap();
        assert!(line > 0, "cannot write");
    });
    // The line of the report, and those of the phase and the process.
    storage.ready();
    let next = || told.recv_timeout(std::time::Duration::from_secs(30));
    assert_eq!([next(), next(), next()], [Ok(0), Ok(1), Ok(2)]);
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_panics_neither_hides_a_silence_nor_ends_the_timer() {
    let (readiness, reporters) = all_with_a_ttl();
    let _logs = panics();
    pass(TTL * 2).await;
    assert_eq!(stale(&readiness), 8);
    reporters.iter().for_each(Reporter::ready);
    assert_eq!(stale(&readiness), 0);
    pass(TTL * 2).await;
    assert_eq!(stale(&readiness), 8);
}

#[test]
fn a_subscriber_that_panics_loses_no_handle() {
    let (readiness, _storage) = ready();
    let _logs = panics();
    let added = readiness.add(Subsystem::new("tenant")).unwrap();
    added.ready();
    drop(added);
    let claimed = readiness.reporter("tenant").unwrap();
    claimed.retire();
    drop(readiness.pause("for a while"));
    assert_eq!(readiness.snapshot().paused(), None);
    drop(readiness.reloading());
    readiness.drain();
}

#[test]
fn a_reporter_that_goes_with_a_panic_can_say_so() {
    let (readiness, storage) = starting();
    let _logs = panics();
    let unwound = catch_unwind(AssertUnwindSafe(move || {
        storage.ready();
        panic!("the task {storage:?}");
    }));
    assert!(unwound.is_err());
    let snapshot = readiness.snapshot();
    let storage = snapshot.subsystem("storage").unwrap();
    assert_eq!(storage.state(), State::Failing);
    assert_eq!(storage.claim(), Claim::Dropped);
}

/// Keeps the level and the text of each event of a subsystem.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<(Level, String)>>>);

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        struct Message(String);
        impl Visit for Message {
            fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                if field.name() == "message" {
                    self.0 = format!("{value:?}");
                }
            }
        }
        let mut message = Message(String::new());
        event.record(&mut message);
        if message.0.starts_with("subsystem") {
            let line = (*event.metadata().level(), message.0);
            self.0.lock().unwrap().push(line);
        }
    }
}

#[tokio::test]
async fn a_reason_that_changes_alone_is_no_second_warning() {
    let lines = Lines::default();
    let _guard = tracing::subscriber::set_default(Registry::default().with(lines.clone()));
    let (readiness, storage) = starting();
    storage.ready();
    for port in 0..5 {
        storage.failing(format!("port {port} refused"));
    }
    storage.ready();
    let seen = || lines.0.lock().unwrap().clone();
    let back = (Level::INFO, "subsystem ready".to_owned());
    support::until(|| seen().iter().filter(|line| **line == back).count() == 2).await;
    let warnings = seen()
        .into_iter()
        .filter(|(level, _)| *level == Level::WARN);
    assert_eq!(warnings.count(), 1);
    let changed = (Level::DEBUG, "subsystem reason changed".to_owned());
    assert_eq!(seen().iter().filter(|line| **line == changed).count(), 4);
    drop(readiness);
}
