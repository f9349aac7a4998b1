//! The line at the end of a drain.

use crate::lines::{Lines, alone};
use http::{Request, Response};
use std::{
    collections::BTreeMap,
    convert::Infallible,
    fmt::Debug,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::{advance, sleep};
use tokio_test::{assert_pending, assert_ready, task};
use tower::{Layer as _, ServiceExt, service_fn};
use tower_readiness::{Phase, Readiness, ReadinessLayer};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer, Registry,
    filter::LevelFilter,
    layer::{Context, SubscriberExt},
};

/// Sends a request that is answered after so long.
async fn request(readiness: &Readiness, takes: Duration) {
    let layer = ReadinessLayer::new(readiness).count_in_flight();
    let service = layer.layer(service_fn(move |_: Request<String>| async move {
        sleep(takes).await;
        Ok::<_, Infallible>(Response::new(String::new()))
    }));
    service.oneshot(Request::default()).await.unwrap();
}

/// The line of the end.
fn end(lines: &Lines) -> String {
    let lines = lines.take(2);
    let of_end = lines.into_iter().find(|line| line.contains(" drained in "));
    of_end.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_drain_without_loss_is_information() {
    let (readiness, _storage) = crate::support::ready();
    let before = tokio::spawn({
        let readiness = readiness.clone();
        async move { request(&readiness, Duration::from_secs(2)).await }
    });
    tokio::task::yield_now().await;
    assert_eq!(readiness.in_flight(), Some(1));
    readiness.drain();
    request(&readiness, Duration::ZERO).await;
    request(&readiness, Duration::ZERO).await;
    before.await.unwrap();
    advance(Duration::from_millis(4_200)).await;
    let (lines, _logs) = Lines::of_this_thread(LevelFilter::INFO);
    readiness.advance(Phase::Closed);
    assert_eq!(
        end(&lines),
        "INFO drained in 6.2 s: 3 served, 0 late, 0 cut off"
    );
}

#[tokio::test(start_paused = true)]
async fn late_requests_and_cut_off_requests_are_a_warning() {
    // The process closes two seconds after the second request.
    for (second_at, takes, line) in [
        (4, 60, "WARN drained in 6.0 s: 1 served, 1 late, 1 cut off"),
        (4, 1, "WARN drained in 6.0 s: 2 served, 1 late, 0 cut off"),
        (1, 60, "WARN drained in 3.0 s: 1 served, 0 late, 1 cut off"),
    ] {
        let (readiness, _storage) = crate::support::ready();
        let shutdown = readiness.shutdown().delay(Duration::from_secs(5));
        let _shutdown = shutdown.build().unwrap();
        readiness.drain();
        request(&readiness, Duration::ZERO).await;
        sleep(Duration::from_secs(second_at)).await;
        let second = tokio::spawn({
            let readiness = readiness.clone();
            async move { request(&readiness, Duration::from_secs(takes)).await }
        });
        sleep(Duration::from_secs(2)).await;
        let (lines, _logs) = Lines::of_this_thread(LevelFilter::INFO);
        readiness.advance(Phase::Closed);
        assert_eq!(end(&lines), line);
        second.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_at_the_end_of_the_drain_delay_is_a_warning() {
    let delay = Duration::from_secs(5);
    for (after, is_late) in [(3_900, false), (4_100, true)] {
        let (readiness, _storage) = crate::support::ready();
        let (lines, _logs) = Lines::of_this_thread(LevelFilter::INFO);
        let shutdown = readiness.shutdown().delay(delay);
        let shutdown = tokio::spawn(shutdown.build().unwrap());
        readiness.drain();
        sleep(Duration::from_millis(after)).await;
        request(&readiness, Duration::ZERO).await;
        shutdown.await.unwrap();
        readiness.advance(Phase::Closed);
        let lines = lines.until(" drained in ").await;
        let warning = "WARN requests kept arriving until the end of the drain delay";
        let warned = lines.iter().any(|line| line.starts_with(warning));
        assert_eq!(warned, is_late, "{lines:?}");
    }
}

/// Whether a drain that ends with this has warned of its delay.
async fn warns_of_its_delay(readiness: &Readiness, lines: &Lines) -> bool {
    readiness.advance(Phase::Closed);
    let lines = lines.until(" drained in ").await;
    lines.iter().any(|line| line.contains("too short"))
}

#[tokio::test(start_paused = true)]
async fn a_delay_that_closing_ends_was_not_too_short() {
    let (readiness, _storage) = crate::support::ready();
    let (lines, _logs) = Lines::of_this_thread(LevelFilter::INFO);
    let shutdown = tokio::spawn(readiness.shutdown().build().unwrap());
    readiness.drain();
    sleep(Duration::from_secs(1)).await;
    request(&readiness, Duration::ZERO).await;
    readiness.advance(Phase::Closing);
    shutdown.await.unwrap();
    assert!(!warns_of_its_delay(&readiness, &lines).await);
}

// Not on the paused clock, which would run on to the end of the delay before the signal.
#[cfg(all(unix, feature = "signal"))]
#[tokio::test]
async fn a_delay_that_a_second_ctrl_c_ends_was_not_too_short() {
    use signal_hook::{consts::SIGINT, low_level::raise};
    use tower_readiness::drain::Signals;

    let (readiness, _storage) = crate::support::ready();
    let (lines, _logs) = Lines::of_this_thread(LevelFilter::INFO);
    let shutdown = readiness.shutdown().delay(Duration::from_secs(3_600));
    let shutdown = shutdown.on_signals(Signals::none().interrupt());
    let mut shutdown = task::spawn(shutdown.build().unwrap());
    assert_pending!(shutdown.poll());
    raise(SIGINT).unwrap();
    crate::support::until(|| shutdown.is_woken()).await;
    assert_pending!(shutdown.poll());
    request(&readiness, Duration::ZERO).await;
    raise(SIGINT).unwrap();
    crate::support::until(|| shutdown.is_woken()).await;
    assert_ready!(shutdown.poll());
    assert!(!warns_of_its_delay(&readiness, &lines).await);
}

#[tokio::test(start_paused = true)]
async fn what_no_layer_counts_is_unknown() {
    let (readiness, _storage) = crate::support::ready();
    readiness.drain();
    let (lines, _logs) = Lines::of_this_thread(LevelFilter::INFO);
    readiness.advance(Phase::Closed);
    assert_eq!(
        end(&lines),
        "INFO drained in 0.0 s: 0 served, 0 late, an unknown number cut off"
    );
}

type Values = BTreeMap<&'static str, String>;

/// The name, the target and the fields of each event.
#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<(String, Values)>>>);

impl<S: Subscriber> Layer<S> for Events {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        struct Fields(Values);
        impl Visit for Fields {
            fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
                self.0.insert(field.name(), format!("{value:?}"));
            }
        }
        let mut fields = Fields(Values::new());
        event.record(&mut fields);
        let metadata = event.metadata();
        let name = format!("{} {}", metadata.target(), metadata.name());
        self.0.lock().unwrap().push((name, fields.0));
    }
}

#[tokio::test(start_paused = true)]
async fn the_names_and_numbers_are_fields() {
    let _alone = alone();
    let events = Events::default();
    let _default = tracing::subscriber::set_default(Registry::default().with(events.clone()));
    let (readiness, _storage) = crate::support::ready();
    let job = readiness.track();
    let _shutdown = readiness.shutdown().build().unwrap();
    readiness.drain();
    advance(Duration::from_millis(1_500)).await;
    readiness.advance(Phase::Closed);
    drop(job);
    let find = |name: &str| {
        let events = events.0.lock().unwrap();
        let found: Vec<_> = events.iter().filter(|(it, _)| it == name).collect();
        found.first().map(|(_, fields)| fields.clone())
    };
    crate::support::until(|| find("tower_readiness drained").is_some()).await;
    let drained = find("tower_readiness drained").unwrap();
    let numbers = ["seconds", "served", "late", "cut_off"].map(|name| &*drained[name]);
    assert_eq!(numbers, ["1.5", "0", "0", "1"]);
    let plan = find("tower_readiness drain_plan").unwrap();
    assert_eq!(
        plan["message"],
        "serves 5 s after the signal to drain, finishes for up to 20 s: allow more than 25 s \
         (terminationGracePeriodSeconds, TimeoutStopSec)"
    );
}
