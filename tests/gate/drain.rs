//! The end of the process, step by step on a clock that is moved by hand.

use crate::support::{health_call, ready, starting};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use std::{
    convert::Infallible,
    future::{pending, ready as now},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};
use tokio::{
    sync::oneshot,
    time::{Duration, Instant, advance, sleep},
};
use tokio_test::{assert_pending, assert_ready, task};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_readiness::{
    Action, Condition, Phase, Readiness, ReadinessLayer, Reason, Reporter, State, Subsystem,
    drain::{ShutdownError, ShutdownTimeout},
    probe::Probes,
};

const MS: Duration = Duration::from_millis(1);
const DELAYS: [Duration; 2] = [Duration::from_secs(5), Duration::from_millis(1_700)];

fn phase(readiness: &Readiness) -> Phase {
    readiness.verdict().phase()
}

/// The status with which a gate on the process answers a plain HTTP/1 request.
async fn status(layer: &ReadinessLayer) -> StatusCode {
    let service = layer.layer(service_fn(async |_: Request<String>| {
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    }));
    service
        .oneshot(Request::new(String::new()))
        .await
        .unwrap()
        .status()
}

/// Lets spawned tasks have their turn without moving the clock.
async fn settle() {
    for _ in 0..16 {
        tokio::task::yield_now().await;
    }
}

// === the delay ===

#[tokio::test(start_paused = true)]
async fn a_shutdown_completes_exactly_when_the_delay_is_over() {
    for delay in DELAYS {
        let (readiness, _storage) = ready();
        let mut shutdown = task::spawn(readiness.shutdown().delay(delay).build().unwrap());
        assert_pending!(shutdown.poll());
        advance(Duration::from_secs(3_600)).await;
        assert_pending!(shutdown.poll());
        assert_eq!(phase(&readiness), Phase::Started);

        readiness.drain();
        assert!(shutdown.is_woken());
        assert_pending!(shutdown.poll());
        advance(delay - MS).await;
        assert_pending!(shutdown.poll());
        assert_eq!(phase(&readiness), Phase::Draining);
        advance(2 * MS).await;
        assert!(shutdown.is_woken());
        assert_ready!(shutdown.poll());
        assert_eq!(phase(&readiness), Phase::Closing);
        // Servers may ask again.
        assert_ready!(shutdown.poll());
    }
}

#[tokio::test(start_paused = true)]
async fn any_future_can_begin_the_drain() {
    for delay in DELAYS {
        let (readiness, _storage) = ready();
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = readiness.shutdown().delay(delay).on(async {
            let _ = stopped.await;
        });
        let mut shutdown = task::spawn(shutdown.build().unwrap());
        assert_pending!(shutdown.poll());
        assert_eq!(phase(&readiness), Phase::Started);
        stop.send(()).unwrap();
        assert_pending!(shutdown.poll());
        assert_eq!(phase(&readiness), Phase::Draining);
        advance(delay - MS).await;
        assert_pending!(shutdown.poll());
        advance(2 * MS).await;
        assert_ready!(shutdown.poll());
    }
}

#[tokio::test(start_paused = true)]
async fn a_delay_of_zero_closes_at_once() {
    let (readiness, _storage) = ready();
    let shutdown = readiness.shutdown().delay(Duration::ZERO);
    let mut shutdown = task::spawn(shutdown.on(now(())).build().unwrap());
    assert_ready!(shutdown.poll());
    assert_eq!(phase(&readiness), Phase::Closing);
}

#[tokio::test(start_paused = true)]
async fn the_delay_counts_from_the_beginning_of_the_drain() {
    let (readiness, _storage) = ready();
    readiness.drain();
    advance(Duration::from_secs(3)).await;
    // A second call does not begin anew.
    readiness.drain();
    let mut shutdown = task::spawn(readiness.shutdown().build().unwrap());
    assert_pending!(shutdown.poll());
    advance(Duration::from_secs(2) - MS).await;
    assert_pending!(shutdown.poll());
    advance(2 * MS).await;
    assert_ready!(shutdown.poll());
}

#[tokio::test(start_paused = true)]
async fn closing_by_hand_ends_the_delay() {
    let (readiness, _storage) = ready();
    let mut shutdown = task::spawn(readiness.shutdown().build().unwrap());
    readiness.drain();
    assert_pending!(shutdown.poll());
    readiness.advance(Phase::Closing);
    assert_ready!(shutdown.poll());
}

#[tokio::test(start_paused = true)]
async fn dropping_a_shutdown_leaves_the_process_serving() {
    let (readiness, _storage) = ready();
    drop(readiness.shutdown().on(now(())).build().unwrap());
    settle().await;
    assert_eq!(phase(&readiness), Phase::Started);
}

#[tokio::test(start_paused = true)]
async fn further_servers_learn_that_it_is_time_to_close() {
    let (readiness, _storage) = ready();
    let mut closing = task::spawn(readiness.closing());
    readiness.drain();
    assert_pending!(closing.poll());
    readiness.advance(Phase::Closing);
    assert!(closing.is_woken());
    assert_ready!(closing.poll());
}

// === the extension ===

#[tokio::test(start_paused = true)]
async fn the_delay_is_extended_while_requests_arrive_and_no_longer() {
    let (readiness, _storage) = ready();
    let layer = ReadinessLayer::new(&readiness);
    let shutdown = readiness.shutdown().delay(Duration::from_secs(5));
    let shutdown = shutdown.extend_up_to(Duration::from_secs(60));
    let mut shutdown = task::spawn(shutdown.build().unwrap());
    readiness.drain();
    assert_pending!(shutdown.poll());
    // The last request at 4.6 s, so a fifth of the delay without requests ends at 5.6 s.
    advance(Duration::from_millis(4_600)).await;
    assert_eq!(status(&layer).await, 200);
    assert_pending!(shutdown.poll());
    advance(Duration::from_millis(400) + MS).await;
    assert_pending!(shutdown.poll());
    // One more request, at 5.501 s.
    advance(Duration::from_millis(500)).await;
    assert_eq!(status(&layer).await, 200);
    advance(Duration::from_millis(999)).await;
    assert_pending!(shutdown.poll());
    advance(2 * MS).await;
    assert_ready!(shutdown.poll());
    assert_eq!(readiness.late_arrivals(), 2);
}

#[tokio::test(start_paused = true)]
async fn requests_behind_a_layer_of_probes_alone_extend_the_delay() {
    let (readiness, _storage) = ready();
    let layer = ReadinessLayer::probes(&readiness);
    let shutdown = readiness.shutdown().delay(Duration::from_secs(5));
    let shutdown = shutdown.extend_up_to(Duration::from_secs(60));
    let mut shutdown = task::spawn(shutdown.build().unwrap());
    readiness.drain();
    assert_pending!(shutdown.poll());
    advance(Duration::from_millis(4_600)).await;
    assert_eq!(status(&layer).await, 200);
    advance(Duration::from_millis(400) + MS).await;
    assert_pending!(shutdown.poll());
    assert_eq!(readiness.late_arrivals(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_extension_ends_although_requests_keep_arriving() {
    let (readiness, _storage) = ready();
    let layer = ReadinessLayer::new(&readiness);
    let shutdown = readiness.shutdown().delay(Duration::from_secs(5));
    let shutdown = shutdown.extend_up_to(Duration::from_millis(7_500));
    let mut shutdown = task::spawn(shutdown.build().unwrap());
    readiness.drain();
    assert_pending!(shutdown.poll());
    for _ in 0..74 {
        advance(100 * MS).await;
        assert_eq!(status(&layer).await, 200);
        assert_pending!(shutdown.poll());
    }
    advance(100 * MS + MS).await;
    assert_ready!(shutdown.poll());
}

#[tokio::test(start_paused = true)]
async fn probes_neither_extend_the_delay_nor_count_as_late() {
    let (readiness, _storage) = ready();
    let layer = ReadinessLayer::new(&readiness);
    let mut service = layer.layer(service_fn(async |_: Request<String>| {
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    }));
    let shutdown = readiness.shutdown().delay(Duration::from_secs(5));
    let shutdown = shutdown.extend_up_to(Duration::from_secs(60));
    let mut shutdown = task::spawn(shutdown.build().unwrap());
    readiness.drain();
    assert_pending!(shutdown.poll());
    for _ in 0..49 {
        advance(100 * MS).await;
        let probe = Request::get("/readyz").body(String::new()).unwrap();
        assert_eq!(service.call(probe).await.unwrap().status(), 503);
    }
    advance(101 * MS).await;
    assert_ready!(shutdown.poll());
    assert_eq!(readiness.late_arrivals(), 0);
}

#[tokio::test(start_paused = true)]
async fn health_checks_and_exempt_requests_are_no_arrivals() {
    let (readiness, _storage) = ready();
    let layer = ReadinessLayer::new(&readiness).exempt(|head| head.uri().path() == "/metrics");
    let mut service = layer.layer(service_fn(async |_: Request<String>| {
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    }));
    let mut shutdown = task::spawn(readiness.shutdown().on(now(())).build().unwrap());
    assert_pending!(shutdown.poll());
    advance(Duration::from_secs(5) - MS).await;
    let metrics = Request::get("/metrics").body(String::new()).unwrap();
    for request in [health_call("Check"), metrics] {
        assert_eq!(service.call(request).await.unwrap().status(), 200);
    }
    assert_eq!(readiness.late_arrivals(), 0);
    assert_eq!(
        service
            .call(Request::new(String::new()))
            .await
            .unwrap()
            .status(),
        200
    );
    assert_eq!(readiness.late_arrivals(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_is_one_arrival_though_it_passes_the_gate_of_a_scope_too() {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .scope("search", ["storage"])
        .build()
        .unwrap();
    readiness.reporter("storage").unwrap().leave_ready();
    let search = ReadinessLayer::gate(readiness.scope("search").unwrap());
    let inner = search.layer(service_fn(async |_: Request<String>| {
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    }));
    let mut shutdown = task::spawn(readiness.shutdown().on(now(())).build().unwrap());
    assert_pending!(shutdown.poll());
    advance(Duration::from_secs(5) - MS).await;
    let service = ReadinessLayer::new(&readiness).layer(inner);
    let response = service.oneshot(Request::new(String::new())).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(readiness.late_arrivals(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_a_request_from_before_the_drain_tells_envoy_whatever_the_layer_counts() {
    type Count = fn(ReadinessLayer) -> ReadinessLayer;
    let counts: [Count; 3] = [
        |layer| layer,
        ReadinessLayer::count_in_flight,
        ReadinessLayer::observe_outcomes,
    ];
    for count in counts {
        let (readiness, _storage) = ready();
        let layer = count(ReadinessLayer::new(&readiness).envoy_headers());
        let service = layer.layer(service_fn(async |_: Request<String>| {
            sleep(MS).await;
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }));
        let mut response = task::spawn(service.oneshot(Request::default()));
        assert_pending!(response.poll());
        readiness.drain();
        let response = response.await.unwrap();
        assert_eq!(
            response.headers()["x-envoy-immediate-health-check-fail"],
            "true"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_held_request_is_an_arrival_when_it_is_admitted() {
    let (readiness, storage) = ready();
    let hold = Action::hold(Duration::from_secs(10)).unwrap();
    let layer = ReadinessLayer::new(&readiness).when_failing(hold);
    let mut shutdown = task::spawn(readiness.shutdown().on(now(())).build().unwrap());
    assert_pending!(shutdown.poll());
    storage.failing("reconnecting");
    let mut held = task::spawn(status(&layer));
    assert_pending!(held.poll());
    advance(Duration::from_millis(4_500)).await;
    assert_eq!(readiness.late_arrivals(), 0);
    storage.ready();
    assert_eq!(held.await, 200);
    assert_eq!(readiness.late_arrivals(), 1);
}

#[tokio::test(start_paused = true)]
async fn late_arrivals_are_those_of_the_last_fifth_and_after() {
    for delay in DELAYS {
        let (readiness, _storage) = ready();
        let layer = ReadinessLayer::new(&readiness);
        let mut shutdown = task::spawn(readiness.shutdown().delay(delay).build().unwrap());
        assert_eq!(status(&layer).await, 200);
        readiness.drain();
        assert_pending!(shutdown.poll());
        assert_eq!(status(&layer).await, 200);
        advance(delay / 5 * 4 - MS).await;
        assert_eq!(status(&layer).await, 200);
        assert_eq!(readiness.late_arrivals(), 0);
        advance(2 * MS).await;
        assert_eq!(status(&layer).await, 200);
        assert_eq!(readiness.late_arrivals(), 1);
        advance(delay).await;
        assert_ready!(shutdown.poll());
        assert_eq!(status(&layer).await, 200);
        assert_eq!(readiness.late_arrivals(), 2);
    }
}

// === closing and closed ===

#[tokio::test(start_paused = true)]
async fn requests_are_admitted_while_closing_and_refused_when_closed() {
    let (readiness, _storage) = ready();
    let layer = ReadinessLayer::new(&readiness);
    let shutdown = readiness.shutdown().closing_cap(Duration::from_secs(9));
    let mut shutdown = task::spawn(shutdown.on(now(())).build().unwrap());
    assert_pending!(shutdown.poll());
    advance(Duration::from_secs(5) + MS).await;
    assert_ready!(shutdown.poll());
    settle().await;

    assert_eq!(status(&layer).await, 200);
    advance(Duration::from_secs(9) - MS).await;
    settle().await;
    assert_eq!(status(&layer).await, 200);
    assert_eq!(phase(&readiness), Phase::Closing);
    advance(2 * MS).await;
    settle().await;
    assert_eq!(phase(&readiness), Phase::Closed);
    assert_eq!(status(&layer).await, 503);
    assert_eq!(readiness.refused(Reason::Closed), 1);
}

#[tokio::test(start_paused = true)]
async fn the_process_closes_at_the_cap_although_it_is_busy() {
    let (readiness, _storage) = ready();
    let layer = ReadinessLayer::new(&readiness).count_in_flight();
    let shutdown = readiness.shutdown().delay(Duration::ZERO);
    let shutdown = shutdown.closing_cap(Duration::from_secs(2)).on(now(()));
    let mut shutdown = task::spawn(shutdown.build().unwrap());
    let _endless = readiness.track();
    assert_ready!(shutdown.poll());
    for expected in [Phase::Closing, Phase::Closed] {
        for _ in 0..110 {
            advance(10 * MS).await;
            settle().await;
        }
        assert_eq!(phase(&readiness), expected);
    }
    assert_eq!(status(&layer).await, 503);
}

#[tokio::test(start_paused = true)]
async fn the_process_closes_when_nothing_was_in_flight_for_a_second() {
    let (readiness, _storage) = ready();
    let layer = ReadinessLayer::new(&readiness).count_in_flight();
    let shutdown = readiness.shutdown().delay(Duration::ZERO);
    let mut shutdown = task::spawn(shutdown.on(now(())).build().unwrap());
    let job = readiness.track();
    assert_ready!(shutdown.poll());
    for _ in 0..300 {
        advance(10 * MS).await;
        settle().await;
    }
    assert_eq!(phase(&readiness), Phase::Closing);
    drop(job);
    for _ in 0..50 {
        advance(10 * MS).await;
        settle().await;
    }
    // Shorter than the interval of the polls, but counted.
    assert_eq!(status(&layer).await, 200);
    for _ in 0..98 {
        advance(10 * MS).await;
        settle().await;
    }
    assert_eq!(phase(&readiness), Phase::Closing);
    for _ in 0..4 {
        advance(10 * MS).await;
        settle().await;
    }
    assert_eq!(phase(&readiness), Phase::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_held_request_keeps_the_process_from_closing() {
    let (readiness, storage) = ready();
    let layer = ReadinessLayer::new(&readiness)
        .count_in_flight()
        .when_failing(Action::hold(Duration::from_secs(10)).unwrap());
    let shutdown = readiness.shutdown().delay(Duration::ZERO);
    let mut shutdown = task::spawn(shutdown.on(now(())).build().unwrap());
    assert_ready!(shutdown.poll());
    storage.failing("reconnecting");
    let mut held = task::spawn(status(&layer));
    assert_pending!(held.poll());
    for _ in 0..300 {
        advance(10 * MS).await;
        settle().await;
    }
    assert_eq!(phase(&readiness), Phase::Closing);
    storage.ready();
    assert_eq!(held.await, 200);
}

#[tokio::test(start_paused = true)]
async fn the_task_that_closes_does_not_keep_the_registry_alive() {
    let (readiness, storage) = ready();
    let mut subscription = readiness.subscribe();
    let shutdown = readiness.shutdown().delay(Duration::ZERO);
    let mut shutdown = task::spawn(shutdown.on(now(())).build().unwrap());
    assert_ready!(shutdown.poll());
    settle().await;
    drop((readiness, storage, shutdown));
    let before = Instant::now();
    while subscription.changed().await.is_ok() {}
    assert_eq!(Instant::now(), before);
}

// === what drain must not change ===

#[tokio::test(start_paused = true)]
async fn a_drain_during_startup_never_opens_the_gate_nor_passes_startup() {
    let (readiness, storage) = starting();
    let layer = ReadinessLayer::new(&readiness);
    let mut shutdown = task::spawn(readiness.shutdown().on(now(())).build().unwrap());
    assert_pending!(shutdown.poll());
    storage.ready();
    for expected in [Phase::Draining, Phase::Closing, Phase::Closed] {
        readiness.advance(expected);
        assert_eq!(status(&layer).await, 503, "{expected}");
        assert!(!readiness.verdict().has_started(), "{expected}");
        let probe = Request::get("/startupz").body(String::new()).unwrap();
        let response = Probes::new(&readiness).oneshot(probe).await.unwrap();
        assert_eq!(response.status(), 503, "{expected}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_reporter_during_the_drain_changes_nothing_for_traffic_or_liveness() {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .subsystem(Subsystem::new("engine").vital())
        .build()
        .unwrap();
    let layer = ReadinessLayer::new(&readiness);
    let reporters = ["storage", "engine"].map(|name| readiness.reporter(name).unwrap());
    reporters.iter().for_each(Reporter::ready);
    readiness.drain();
    drop(reporters);
    assert_eq!(status(&layer).await, 200);
    assert!(readiness.verdict().is_live());
    readiness.advance(Phase::Closing);
    assert_eq!(status(&layer).await, 200);
}

#[tokio::test]
async fn a_report_of_ready_during_the_drain_is_kept_and_changes_no_verdict() {
    let (readiness, storage) = ready();
    storage.failing("gone");
    readiness.drain();
    storage.ready();
    let snapshot = readiness.snapshot();
    assert_eq!(snapshot.subsystem("storage").unwrap().state(), State::Ready);
    assert_eq!(snapshot.verdict().condition(), Condition::Ready);
    assert!(!snapshot.verdict().is_ready());
    assert_eq!(phase(&readiness), Phase::Draining);
}

#[test]
fn draining_from_many_threads_is_one_drain() {
    let (readiness, _storage) = ready();
    let before = readiness.snapshot().version();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| readiness.drain());
        }
    });
    assert_eq!(readiness.snapshot().version(), before + 1);
    assert_eq!(phase(&readiness), Phase::Draining);
}

#[tokio::test(start_paused = true)]
async fn a_handler_can_begin_the_drain_and_still_answer() {
    let (readiness, _storage) = ready();
    let drain = readiness.clone();
    let service = ReadinessLayer::new(&readiness).layer(service_fn(move |_: Request<String>| {
        drain.drain();
        now(Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())))
    }));
    let mut shutdown = task::spawn(readiness.shutdown().build().unwrap());
    assert_pending!(shutdown.poll());
    let response = service.oneshot(Request::new(String::new())).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(shutdown.is_woken());
}

// === waiting for requests in flight ===

#[tokio::test(start_paused = true)]
async fn drained_waits_for_closing_and_for_requests_in_flight() {
    let (readiness, _storage) = ready();
    let _layer = ReadinessLayer::new(&readiness).count_in_flight();
    let job = readiness.track();
    let mut drained = task::spawn(readiness.drained());
    assert_pending!(drained.poll());
    readiness.drain();
    assert_pending!(drained.poll());
    readiness.advance(Phase::Closing);
    assert_pending!(drained.poll());
    advance(Duration::from_secs(60)).await;
    assert_pending!(drained.poll());
    drop(job);
    for _ in 0..3 {
        advance(11 * MS).await;
        settle().await;
        if drained.is_woken() && drained.poll().is_ready() {
            return;
        }
    }
    panic!("it looks every 10 ms");
}

#[tokio::test(start_paused = true)]
async fn nothing_in_flight_before_closing_is_not_drained() {
    let (readiness, _storage) = ready();
    let _layer = ReadinessLayer::new(&readiness).count_in_flight();
    let mut drained = task::spawn(readiness.drained());
    assert_pending!(drained.poll());
    readiness.drain();
    advance(Duration::from_secs(1)).await;
    assert_pending!(drained.poll(), "requests still arrive");
    readiness.advance(Phase::Closing);
    assert_ready!(drained.poll());
}

#[tokio::test(start_paused = true)]
async fn without_a_layer_that_counts_drained_waits_until_the_process_is_closed() {
    let (readiness, _storage) = ready();
    assert_eq!(readiness.in_flight(), None);
    let mut drained = task::spawn(readiness.drained());
    readiness.advance(Phase::Closing);
    assert_pending!(drained.poll());
    advance(Duration::from_secs(60)).await;
    assert_pending!(drained.poll());
    readiness.advance(Phase::Closed);
    assert_ready!(drained.poll());
}

// === running a server ===

/// Sets a flag when it is dropped.
struct Server(Arc<AtomicBool>);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_end_is_given_up_at_the_cap() {
    let (readiness, _storage) = ready();
    let _layer = ReadinessLayer::new(&readiness).count_in_flight();
    let _endless = [readiness.track(), readiness.track()];
    let shutdown = readiness.shutdown().closing_cap(Duration::from_secs(20));
    let shutdown = shutdown.on(now(())).build().unwrap();
    let dropped = Arc::new(AtomicBool::new(false));
    let server = Server(Arc::clone(&dropped));
    let mut run = task::spawn(readiness.run(async move {
        let _server = server;
        shutdown.await;
        pending::<()>().await;
    }));
    assert_pending!(run.poll());
    advance(Duration::from_secs(5) + MS).await;
    assert_pending!(run.poll());
    advance(Duration::from_secs(20) - MS).await;
    assert_pending!(run.poll());
    assert!(!dropped.load(Ordering::Relaxed));
    advance(2 * MS).await;
    let cut_off = assert_ready!(run.poll()).unwrap_err();
    assert!(dropped.load(Ordering::Relaxed));
    assert_eq!(cut_off.in_flight, Some(2));
    assert!(!cut_off.server_ended);
    assert_eq!(
        cut_off.to_string(),
        "the server did not end in time: 2 in flight were cut off"
    );
    drop(run);
    assert_eq!(phase(&readiness), Phase::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_in_time_closes_the_process_and_keeps_its_output() {
    let (readiness, _storage) = ready();
    let shutdown = readiness.shutdown().on(now(())).build().unwrap();
    let output = readiness.run(async move {
        shutdown.await;
        sleep(Duration::from_secs(3)).await;
        Some("served")
    });
    assert_eq!(output.await, Ok(Some("served")));
    assert_eq!(phase(&readiness), Phase::Closed);
}

#[tokio::test(start_paused = true)]
async fn tracked_jobs_that_outlive_the_server_are_waited_for_until_the_cap() {
    let cap = Duration::from_secs(20);
    for lasting in [Duration::from_secs(19), Duration::from_secs(21)] {
        let (readiness, _storage) = ready();
        let shutdown = readiness.shutdown().delay(Duration::ZERO).closing_cap(cap);
        let shutdown = shutdown.on(now(())).build().unwrap();
        let websocket = readiness.track();
        let mut run = task::spawn(readiness.run(async move {
            shutdown.await;
            Some("ended")
        }));
        assert_pending!(run.poll());
        let begun = Instant::now();
        tokio::spawn(async move {
            sleep(lasting).await;
            drop(websocket);
        });
        let output = run.await;
        if lasting < cap {
            assert_eq!(output, Ok(Some("ended")));
            assert!(begun.elapsed() >= lasting);
        } else {
            let cut_off = output.unwrap_err();
            assert!(cut_off.server_ended);
            assert_eq!(cut_off.in_flight, Some(1));
            assert_eq!(
                cut_off.to_string(),
                "upgraded connections or tracked jobs did not end in time: 1 in flight were cut off"
            );
            assert!(begun.elapsed() < lasting);
        }
        assert_eq!(phase(&readiness), Phase::Closed);
    }
}

#[tokio::test(start_paused = true)]
async fn the_cap_counts_although_the_process_was_closed_by_hand() {
    let (readiness, _storage) = ready();
    let _shutdown = readiness
        .shutdown()
        .closing_cap(Duration::from_secs(9))
        .build()
        .unwrap();
    let mut run = task::spawn(readiness.run(pending::<()>()));
    assert_pending!(run.poll());
    readiness.advance(Phase::Closed);
    assert_pending!(run.poll());
    advance(Duration::from_secs(9) - MS).await;
    assert_pending!(run.poll());
    advance(2 * MS).await;
    assert!(assert_ready!(run.poll()).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_by_itself_leaves_the_process_as_it_is() {
    let (readiness, _storage) = ready();
    let output: Result<_, ShutdownTimeout> =
        readiness.run(async { Err::<(), _>("port lost") }).await;
    assert_eq!(output, Ok(Err("port lost")));
    assert_eq!(phase(&readiness), Phase::Started);
}

// === connections that do nothing ===

/// Runs a server that never ends, with one job in flight for 3 s. Returns the output of
/// `run` and the time of its end, counted from the beginning of `Closing`.
async fn runs_idle(
    grace: Duration,
    cap: Duration,
    counts: bool,
) -> (Result<(), ShutdownTimeout>, Duration) {
    let (readiness, _storage) = ready();
    if counts {
        let _layer = ReadinessLayer::new(&readiness).count_in_flight();
    }
    let shutdown = readiness.shutdown().delay(Duration::ZERO).closing_cap(cap);
    let shutdown = shutdown.idle_grace(grace).on(now(())).build().unwrap();
    let job = readiness.track();
    let begun = Instant::now();
    tokio::spawn(async move {
        sleep(Duration::from_secs(3)).await;
        drop(job);
    });
    let output = readiness.run(async move {
        shutdown.await;
        pending::<()>().await;
    });
    let output = output.await;
    assert_eq!(phase(&readiness), Phase::Closed);
    (output, begun.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_server_with_nothing_in_flight_is_let_go_of_after_the_grace() {
    let cap = Duration::from_secs(20);
    for grace in [
        Duration::ZERO,
        Duration::from_secs(2),
        Duration::from_secs(9),
    ] {
        let (output, after) = runs_idle(grace, cap, true).await;
        assert_eq!(output, Ok(()));
        // The job, and the quiet second after it; polled every 10 ms.
        let due = Duration::from_secs(3 + 1) + grace;
        assert!(after >= due && after < due + 50 * MS, "{after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_with_nothing_in_flight_at_the_cap_cuts_nothing_off() {
    // Before the quiet second is over, and before the grace is.
    for cap in [Duration::from_millis(3_500), Duration::from_secs(6)] {
        let (output, after) = runs_idle(Duration::from_secs(3_600), cap, true).await;
        assert_eq!(output, Ok(()));
        assert!(after >= cap && after < cap + 50 * MS, "{after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn held_requests_are_refused_at_the_cap_and_not_cut_off() {
    let (readiness, storage) = ready();
    let layer = ReadinessLayer::new(&readiness)
        .count_in_flight()
        .when_failing(Action::hold(Duration::from_secs(60)).unwrap());
    let cap = Duration::from_secs(20);
    let shutdown = readiness.shutdown().delay(Duration::ZERO).closing_cap(cap);
    let shutdown = shutdown.on(now(())).build().unwrap();
    storage.failing("gone");
    let held = tokio::spawn(async move { status(&layer).await });
    settle().await;
    let output = readiness.run(async move {
        shutdown.await;
        pending::<()>().await;
    });
    assert_eq!(output.await, Ok(()));
    assert!(held.is_finished());
    assert_eq!(held.await.unwrap(), 503);
}

#[tokio::test(start_paused = true)]
async fn where_no_layer_counts_a_server_is_given_up_at_the_cap() {
    let cap = Duration::from_secs(20);
    let (output, after) = runs_idle(Duration::ZERO, cap, false).await;
    let cut_off = output.unwrap_err();
    assert_eq!((cut_off.in_flight, cut_off.server_ended), (None, false));
    assert_eq!(
        cut_off.to_string(),
        "the server did not end in time: its connections were cut off, and no layer counts \
         requests"
    );
    assert!(after >= cap, "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_within_the_grace_keeps_its_output() {
    let (readiness, _storage) = ready();
    let _layer = ReadinessLayer::new(&readiness).count_in_flight();
    let shutdown = readiness.shutdown().delay(Duration::ZERO).on(now(()));
    let shutdown = shutdown
        .idle_grace(Duration::from_secs(16))
        .build()
        .unwrap();
    // No request is in flight, but a slow client still reads its response.
    let output = readiness.run(async move {
        shutdown.await;
        sleep(Duration::from_secs(15)).await;
        Some("read to the end")
    });
    assert_eq!(output.await, Ok(Some("read to the end")));
}

#[tokio::test(start_paused = true)]
async fn requests_that_begin_during_the_grace_are_waited_for() {
    let (readiness, _storage) = ready();
    let _layer = ReadinessLayer::new(&readiness).count_in_flight();
    let shutdown = readiness.shutdown().delay(Duration::ZERO).on(now(()));
    let shutdown = shutdown.build().unwrap();
    let mut run = task::spawn(readiness.run(async move {
        shutdown.await;
        pending::<()>().await;
    }));
    assert_pending!(run.poll());
    let step = async |run: &mut task::Spawn<_>, time: Duration| {
        for _ in 0..time.as_millis() / 10 {
            advance(10 * MS).await;
            settle().await;
            assert_pending!(task::Spawn::poll(run));
        }
    };
    step(&mut run, Duration::from_millis(2_500)).await;
    assert_eq!(phase(&readiness), Phase::Closed);
    let job = readiness.track();
    step(&mut run, Duration::from_secs(5)).await;
    drop(job);
    step(&mut run, Duration::from_millis(1_900)).await;
    assert_eq!(run.await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn each_usual_output_of_a_server_has_a_value_for_a_dropped_server() {
    let (readiness, _storage) = ready();
    let _layer = ReadinessLayer::new(&readiness).count_in_flight();
    readiness.advance(Phase::Closed);
    let io: Result<std::io::Result<()>, _> = readiness.run(pending()).await;
    assert!(matches!(io, Ok(Ok(()))));
    let own: Result<Option<u64>, _> = readiness.run(pending()).await;
    assert_eq!(own, Ok(None));
    type Spawned = Result<Result<Option<u64>, String>, tokio::task::JoinError>;
    let spawned: Result<Spawned, _> = readiness.run(pending()).await;
    assert!(matches!(spawned, Ok(Ok(Ok(None)))));
    let two: Result<((), Result<(), String>), _> = readiness.run(pending()).await;
    assert_eq!(two, Ok(((), Ok(()))));
}

// === without a shutdown ===

#[tokio::test(start_paused = true)]
async fn without_a_shutdown_requests_in_flight_are_waited_for_without_a_cap() {
    for counts in [false, true] {
        let (readiness, _storage) = ready();
        if counts {
            let _layer = ReadinessLayer::new(&readiness).count_in_flight();
        }
        let _job = readiness.track();
        let mut run = task::spawn(readiness.run(sleep(Duration::from_secs(7_200))));
        readiness.advance(Phase::Closed);
        assert_pending!(run.poll());
        for _ in 0..72 {
            advance(Duration::from_secs(200)).await;
            assert_pending!(run.poll());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_shutdown_a_process_that_closes_is_closed_once_nothing_is_in_flight() {
    let (readiness, _storage) = ready();
    let _layer = ReadinessLayer::new(&readiness).count_in_flight();
    readiness.advance(Phase::Closing);
    assert_eq!(readiness.run(pending::<()>()).await, Ok(()));
    assert_eq!(phase(&readiness), Phase::Closed);
}

// === several shutdowns ===

#[tokio::test(start_paused = true)]
async fn a_shutdown_that_was_dropped_leaves_no_cap_and_no_delay_behind() {
    let (readiness, _storage) = ready();
    let layer = ReadinessLayer::new(&readiness);
    let seconds = Duration::from_secs;
    let long = readiness
        .shutdown()
        .delay(seconds(100))
        .closing_cap(seconds(100));
    drop(long.build().unwrap());
    let short = readiness
        .shutdown()
        .delay(seconds(5))
        .closing_cap(seconds(2));
    let shutdown = short.on(now(())).build().unwrap();
    let begun = Instant::now();
    let mut run = task::spawn(readiness.run(async move {
        shutdown.await;
        pending::<()>().await;
    }));
    assert_pending!(run.poll());
    advance(seconds(4) + MS).await;
    assert_eq!(status(&layer).await, 200);
    assert_eq!(readiness.late_arrivals(), 1, "by the delay of 5 s");
    assert!(run.await.is_err());
    let after = begun.elapsed();
    assert!(after >= seconds(7) && after < seconds(8), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_while_draining_leaves_its_cap_for_tracked_jobs() {
    let (readiness, _storage) = ready();
    let shutdown = readiness.shutdown().closing_cap(Duration::from_secs(2));
    let shutdown = shutdown.on(now(())).build().unwrap();
    let _job = readiness.track();
    let server = async {
        let _ = tokio::time::timeout(Duration::from_secs(1), shutdown).await;
    };
    let cut_off = readiness.run(server).await.unwrap_err();
    assert_eq!((cut_off.in_flight, cut_off.server_ended), (Some(1), true));
}

// === bad input ===

#[test]
fn a_shutdown_needs_a_runtime() {
    let (readiness, _storage) = ready();
    let error = readiness.shutdown().build().unwrap_err();
    assert!(matches!(error, ShutdownError::NoRuntime));
}

#[tokio::test]
async fn absurd_durations_are_refused() {
    let (readiness, _storage) = ready();
    let long = Duration::from_secs(86_401);
    for builder in [
        readiness.shutdown().delay(long),
        readiness.shutdown().extend_up_to(long),
        readiness.shutdown().closing_cap(Duration::MAX),
    ] {
        let error = builder.build().unwrap_err();
        assert!(matches!(error, ShutdownError::Setting(_)), "{error}");
        assert!(error.to_string().contains("86400s"), "{error}");
    }
    let short = readiness.shutdown().extend_up_to(Duration::from_secs(4));
    let error = short.build().unwrap_err();
    assert!(matches!(error, ShutdownError::ShortExtension { .. }));
    assert_eq!(
        error.to_string(),
        "a `delay` of 5s cannot be extended up to 4s; give `extend_up_to` the delay or more"
    );

    let longest = Duration::from_secs(86_400);
    let builder = readiness.shutdown().delay(longest).extend_up_to(longest);
    assert!(builder.closing_cap(Duration::ZERO).build().is_ok());
}
