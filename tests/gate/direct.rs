//! The gate without Tower: the same decisions, counts and responses as the layer's.

use futures_util::FutureExt;
use http::{Method, Request, StatusCode, Version, header::CONNECTION};
use http_body_util::{BodyExt, Empty};
use std::{
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};
use tokio::time::timeout;
use tower::{Layer, ServiceExt, service_fn};
use tower_readiness::{
    Action, Phase, Readiness, ReadinessLayer, Reason, Reporter, Subsystem,
    gate::{DirectGate, Hold},
};

type Body = Empty<&'static [u8]>;

fn ready() -> (Readiness, Reporter) {
    let builder = Readiness::builder().subsystem(Subsystem::new("storage"));
    let readiness = builder.build().unwrap();
    let storage = readiness.reporter("storage").unwrap();
    storage.ready();
    (readiness, storage)
}

fn head(path: &str) -> Request<Body> {
    Request::get(path).body(Body::new()).unwrap()
}

fn refused(gate: &DirectGate) -> Option<Reason> {
    gate.decide(&head("/"))
        .err()
        .map(|refusal| refusal.reason())
}

#[test]
fn it_decides_and_counts_as_the_layer_does() {
    let (readiness, storage) = ready();
    let layer = ReadinessLayer::gate(&readiness).when_paused(Action::Refuse);
    let gate = layer.direct();
    let through_the_layer = || {
        let app = service_fn(async |_: Request<Body>| {
            Ok::<_, Infallible>(http::Response::new(Body::new()))
        });
        let response = layer.layer(app).oneshot(head("/")).now_or_never();
        response.unwrap().unwrap().status() == StatusCode::SERVICE_UNAVAILABLE
    };
    let mut refusals = 0;
    let mut check = |reason: Option<Reason>| {
        assert_eq!(refused(&gate), reason);
        assert_eq!(through_the_layer(), reason.is_some());
        if let Some(reason) = reason {
            refusals += 2;
            let [of_layer, of_process] =
                [layer.counts().refused(reason), readiness.refused(reason)];
            assert_eq!(of_layer, of_process);
        }
        let all: u64 = Reason::ALL.iter().map(|it| readiness.refused(*it)).sum();
        assert_eq!(all, refusals);
    };
    check(None);
    storage.failing("disk");
    check(Some(Reason::Failing));
    storage.ready();
    let paused = readiness.pause("upgrade");
    check(Some(Reason::Paused));
    drop(paused);
    readiness.drain();
    check(None);
    readiness.advance(Phase::Closed);
    check(Some(Reason::Closed));
}

#[test]
fn a_refusal_has_the_response_of_the_layer() {
    let (readiness, storage) = ready();
    storage.failing("disk");
    let gate = ReadinessLayer::gate(&readiness)
        .respond_with(|_, _, mut response| {
            response
                .headers_mut()
                .insert("x-own", http::HeaderValue::from_static("1"));
            response
        })
        .direct();
    let request = head("/");
    let refusal = gate.decide(&request).unwrap_err();
    assert_eq!(refusal.version(), readiness.snapshot().version());
    let response = gate.response(refusal, &request);
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let headers = response.headers();
    assert_eq!(
        (&headers["x-readiness"], &headers["x-own"]),
        (&"failing".parse().unwrap(), &"1".parse().unwrap())
    );
    let body = response
        .into_body()
        .collect()
        .now_or_never()
        .unwrap()
        .unwrap();
    assert_eq!(&body.to_bytes()[..], b"not ready: failing\n");

    // The parts of a request are enough.
    let grpc = Request::post("/pkg.Service/Call").header("content-type", "application/grpc");
    let (parts, ()) = grpc.version(Version::HTTP_2).body(()).unwrap().into_parts();
    let refusal = gate.decide(&parts).unwrap_err();
    assert_eq!(
        gate.response(refusal, &parts).headers()["grpc-status"],
        "14"
    );
}

#[test]
fn a_response_says_close_while_the_process_drains() {
    let (readiness, storage) = ready();
    let gate = ReadinessLayer::gate(&readiness).direct();
    assert!(!gate.decide(&head("/")).unwrap().closes_connection());
    readiness.drain();
    assert!(gate.decide(&head("/")).unwrap().closes_connection());
    assert!(
        !gate.try_admit().unwrap().closes_connection(),
        "it has no connection"
    );
    let mut connect = head("db:5432");
    *connect.method_mut() = Method::CONNECT;
    assert!(
        !gate.decide(&connect).unwrap().closes_connection(),
        "it may begin a tunnel"
    );
    storage.failing("disk");
    let refusal = gate.decide(&head("/")).unwrap_err();
    assert_eq!(
        gate.response(refusal, &head("/")).headers()[CONNECTION],
        "close"
    );
}

#[test]
fn admitted_work_is_in_flight_until_it_ends() {
    let (readiness, _storage) = ready();
    let gate = ReadinessLayer::gate(&readiness).count_in_flight().direct();
    let first = gate.try_admit().unwrap();
    let second = gate.decide(&head("/")).unwrap();
    assert_eq!(readiness.in_flight(), Some(2));
    first.succeeded();
    assert_eq!(readiness.in_flight(), Some(1));
    drop(second);
    assert_eq!(readiness.in_flight(), Some(0));
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_admitted_work() {
    let (readiness, _storage) = ready();
    let gate = ReadinessLayer::gate(&readiness).count_in_flight().direct();
    let work = gate.try_admit().unwrap();
    readiness.advance(Phase::Closing);
    let second = Duration::from_secs(1);
    assert!(timeout(60 * second, readiness.drained()).await.is_err());
    work.failed();
    assert!(timeout(2 * second, readiness.drained()).await.is_ok());
}

#[test]
fn a_hold_refuses_at_once_and_a_predicate_sees_no_path() {
    let (readiness, storage) = ready();
    storage.failing("disk");
    let gate = ReadinessLayer::gate(&readiness)
        .when_failing(Action::hold(Duration::from_secs(5)).unwrap())
        .direct();
    assert_eq!(gate.try_admit().unwrap_err().reason(), Reason::Failing);

    let shed = Action::shed_unless(|head| head.uri().path() == "/essential");
    let gate = ReadinessLayer::gate(&readiness).when_failing(shed).direct();
    assert!(gate.decide(&head("/essential")).is_ok());
    assert!(gate.decide(&head("/other")).is_err());
    assert!(gate.try_admit().is_err());
}

/// Lets every task run that can.
async fn settle() {
    for _ in 0..16 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn held_work_waits_for_the_gate_and_releases_the_next_when_it_ends() {
    let (readiness, storage) = ready();
    storage.failing("disk");
    let hold = Hold::builder(Duration::from_secs(5))
        .max_waiting(2)
        .release(1);
    let layer = ReadinessLayer::gate(&readiness)
        .when_failing(Action::Hold(hold.build().unwrap()))
        .count_in_flight();
    let spawn = || {
        let gate = layer.direct();
        tokio::spawn(async move { gate.admit().await })
    };
    let (first, second) = (spawn(), spawn());
    settle().await;
    let third = layer.direct().decide_or_hold(&head("/")).await;
    assert_eq!(
        third.unwrap_err().reason(),
        Reason::Failing,
        "all places are taken"
    );
    assert_eq!(readiness.refused(Reason::Failing), 1);
    assert_eq!(layer.counts().held(Reason::Failing), 2);

    storage.ready();
    settle().await;
    assert!(first.is_finished() && !second.is_finished());
    assert_eq!(readiness.in_flight(), Some(1));
    drop(first.await.unwrap().unwrap());
    settle().await;
    assert!(second.is_finished());
    second.await.unwrap().unwrap().succeeded();
    assert_eq!(readiness.in_flight(), Some(0));
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_ends_in_a_refusal_or_is_dropped_gives_its_place_back() {
    let (readiness, storage) = ready();
    storage.failing("disk");
    let hold = Hold::builder(Duration::from_secs(5)).max_waiting(1).build();
    let layer = ReadinessLayer::gate(&readiness).when_failing(Action::Hold(hold.unwrap()));
    let gate = layer.direct();
    assert!(timeout(Duration::from_secs(1), gate.admit()).await.is_err());
    let refusal = gate.admit().await.unwrap_err();
    assert_eq!(refusal.reason(), Reason::Failing);
    assert_eq!(layer.counts().held(Reason::Failing), 2);
    assert_eq!(readiness.refused(Reason::Failing), 1);

    // Closed is final, so the wait ends at once.
    let waits = tokio::spawn({
        let gate = gate.clone();
        async move { gate.admit().await }
    });
    settle().await;
    readiness.advance(Phase::Closed);
    let refusal = waits.await.unwrap().unwrap_err();
    assert_eq!(refusal.reason(), Reason::Closed);
    assert!(gate.admit().await.is_err());
}

#[tokio::test]
async fn without_a_hold_a_wait_decides_at_once_and_once() {
    let (readiness, storage) = ready();
    let gate = ReadinessLayer::gate(&readiness).dry_run().direct();
    gate.admit().now_or_never().unwrap().unwrap().succeeded();
    storage.failing("disk");
    gate.admit().now_or_never().unwrap().unwrap().succeeded();
    assert_eq!(readiness.dry_run_refused(Reason::Failing), 1);
    let gate = ReadinessLayer::gate(&readiness).direct();
    assert!(gate.admit().now_or_never().unwrap().is_err());
    assert_eq!(readiness.refused(Reason::Failing), 1);
}

#[test]
fn a_dry_run_admits_and_counts() {
    let (readiness, storage) = ready();
    storage.failing("disk");
    let gate = ReadinessLayer::gate(&readiness).dry_run().direct();
    assert!(gate.try_admit().is_ok());
    assert_eq!(readiness.dry_run_refused(Reason::Failing), 1);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_admitted_work_is_its_outcome() {
    let (readiness, _storage) = ready();
    let gate = ReadinessLayer::gate(&readiness).observe_outcomes().direct();
    let admit = || gate.try_admit().unwrap();
    let counts = || {
        let drift = readiness.drift().unwrap();
        (drift.admitted(), drift.failed())
    };
    drop(admit());
    assert_eq!(counts(), (0, 0), "its outcome is unknown");
    admit().succeeded();
    assert_eq!(counts(), (1, 0));
    admit().failed();
    assert_eq!(counts(), (2, 1));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _work = admit();
        panic!("as part of the test");
    }));
    assert!(panicked.is_err());
    assert_eq!(counts(), (3, 2));
}
