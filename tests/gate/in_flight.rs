//! Which requests count as in flight, from when to when.

use crate::support::{health_call, ready, starting};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header::UPGRADE};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, StreamBody};
use std::{
    collections::VecDeque,
    convert::Infallible,
    future::{Ready, ready as now},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::Duration,
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_test::{assert_pending, assert_ready, task};
use tower::{Layer, Service, ServiceExt, limit::ConcurrencyLimitLayer, service_fn};
use tower_readiness::{
    Action, Readiness, ReadinessLayer,
    drain::InFlightGuard,
    probe::{Detail, Probes},
};

type Part = Result<Frame<Bytes>, &'static str>;
type Frames = StreamBody<ReceiverStream<Part>>;

/// Answers at once, with a body that lasts until its sender is dropped.
#[derive(Clone, Default)]
struct Streams {
    senders: Arc<Mutex<Vec<mpsc::Sender<Part>>>>,
    tokens: Arc<Mutex<Vec<InFlightGuard>>>,
}

impl Service<Request<String>> for Streams {
    type Response = Response<Frames>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<String>) -> Self::Future {
        let (sender, receiver) = mpsc::channel(8);
        self.senders.lock().unwrap().push(sender);
        let token = request.extensions().get::<InFlightGuard>().cloned();
        self.tokens.lock().unwrap().extend(token);
        now(Ok(Response::new(StreamBody::new(ReceiverStream::new(
            receiver,
        )))))
    }
}

fn counting(readiness: &Readiness) -> ReadinessLayer {
    ReadinessLayer::new(readiness).count_in_flight()
}

fn get(path: &str) -> Request<String> {
    Request::get(path).body(String::new()).unwrap()
}

#[test]
fn requests_are_counted_only_by_a_layer_that_is_set_to() {
    let (readiness, _storage) = ready();
    let _layer = ReadinessLayer::new(&readiness);
    assert_eq!(readiness.in_flight(), None);
    let _layer = counting(&readiness);
    assert_eq!(readiness.in_flight(), Some(0));
}

#[tokio::test]
async fn a_job_is_in_flight_although_no_layer_counts_requests() {
    let (readiness, _storage) = ready();
    let probes = Probes::builder(&readiness)
        .detail(Detail::Names)
        .build()
        .unwrap();
    let mut service = ReadinessLayer::new(&readiness)
        .with_probes(probes)
        .layer(Streams::default());
    let job = readiness.track();
    assert_eq!(readiness.in_flight(), Some(1));
    readiness.drain();
    let mut ask = async || {
        let response = service.call(get("/readyz")).await.unwrap();
        crate::support::whole(response).await.into_body()
    };
    assert_eq!(ask().await, "not ready: draining, 1 in flight\n");
    drop(job);
    // No layer counts requests, so the number in flight is unknown.
    assert_eq!(readiness.in_flight(), None);
    assert_eq!(ask().await, "not ready: draining\n");
}

#[tokio::test]
async fn a_request_is_in_flight_until_its_body_has_ended() {
    let (readiness, _storage) = ready();
    let streams = Streams::default();
    let mut service = counting(&readiness).layer(streams.clone());

    let call = service.call(get("/"));
    assert_eq!(readiness.in_flight(), Some(1), "called");
    let mut body = call.await.unwrap().into_body();
    assert_eq!(readiness.in_flight(), Some(1), "answered");

    let sender = streams.senders.lock().unwrap().pop().unwrap();
    sender.send(Ok(Frame::data("one".into()))).await.unwrap();
    assert!(body.frame().await.unwrap().is_ok());
    assert_eq!(readiness.in_flight(), Some(1), "streaming");

    drop(sender);
    assert!(body.frame().await.is_none());
    // The body has ended but is not dropped; a server may keep it for a while.
    assert_eq!(readiness.in_flight(), Some(0), "ended");
    drop(body);
    assert_eq!(readiness.in_flight(), Some(0));
}

/// A body that knows its end.
struct Pieces(VecDeque<Bytes>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }
}

/// A server drops a body once it has the last piece, which a slow client may take long to
/// receive.
#[tokio::test]
async fn a_large_last_piece_is_in_flight_until_its_bytes_are_dropped() {
    const LARGE: usize = 64 << 10;
    for (lengths, after_the_body) in [([1, LARGE], 1), ([LARGE, LARGE - 1], 0)] {
        let (readiness, _storage) = ready();
        let pieces = lengths.map(|length| Bytes::from(vec![7; length]));
        let service = counting(&readiness).layer(service_fn(|_| {
            now(Ok::<_, Infallible>(Response::new(Pieces(
                pieces.clone().into(),
            ))))
        }));
        let mut body = service.oneshot(get("/")).await.unwrap().into_body();
        let mut next = async || body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(next().await, pieces[0]);
        assert_eq!(readiness.in_flight(), Some(1));
        let last = next().await;
        assert_eq!(last, pieces[1]);
        drop(body);
        assert_eq!(readiness.in_flight(), Some(after_the_body), "{lengths:?}");
        drop(last);
        assert_eq!(readiness.in_flight(), Some(0));
    }
}

/// hyper polls most streams on until they return `None`, while it has not sent the last piece.
#[tokio::test]
async fn a_large_piece_of_a_stream_is_in_flight_until_its_bytes_are_dropped() {
    const LARGE: usize = 64 << 10;
    let large = || Frame::data(Bytes::from_static(&[7; LARGE]));
    let small = || Frame::data(Bytes::from_static(b"small"));
    let trailers = || Frame::trailers(HeaderMap::new());
    let pieces: [&dyn Fn() -> Vec<Frame<Bytes>>; 4] = [
        &|| vec![large()],
        &|| vec![large(), small()],
        &|| vec![large(), trailers()],
        &|| vec![large(), large(), large()],
    ];
    for (pieces, is_read_to_its_end) in pieces.iter().flat_map(|it| [(it, true), (it, false)]) {
        let (readiness, _storage) = ready();
        let streams = Streams::default();
        let layer = counting(&readiness).observe_outcomes();
        let response = layer.layer(streams.clone()).oneshot(get("/"));
        let mut body = response.await.unwrap().into_body();
        let sender = streams.senders.lock().unwrap().pop().unwrap();
        let mut unsent = VecDeque::new();
        for frame in pieces() {
            sender.send(Ok(frame)).await.unwrap();
            unsent.push_back(body.frame().await.unwrap().unwrap());
            assert_eq!(readiness.in_flight(), Some(1), "one request");
        }
        assert_eq!(unsent[0].data_ref().unwrap(), &[7; LARGE][..]);
        if is_read_to_its_end {
            drop(sender);
            assert!(body.frame().await.is_none());
        }
        drop(body);
        let answered = || readiness.drift().unwrap().admitted();
        assert_eq!(answered(), 1, "at the end of the body");
        let is_large = |frame: &Frame<Bytes>| frame.data_ref().is_some_and(|it| it.len() == LARGE);
        while unsent.pop_front().is_some() {
            let in_flight = usize::from(unsent.iter().any(is_large));
            assert_eq!(readiness.in_flight(), Some(in_flight), "{}", unsent.len());
        }
        assert_eq!(answered(), 1);
    }
}

#[tokio::test]
async fn a_stream_that_fails_after_a_large_piece_has_failed_once() {
    let (readiness, _storage) = ready();
    let streams = Streams::default();
    let layer = counting(&readiness).observe_outcomes();
    let response = layer.layer(streams.clone()).oneshot(get("/"));
    let mut body = response.await.unwrap().into_body();
    let sender = streams.senders.lock().unwrap().pop().unwrap();
    let large = Frame::data(vec![7; 64 << 10].into());
    sender.send(Ok(large)).await.unwrap();
    let unsent = body.frame().await.unwrap().unwrap();
    sender.send(Err("disk gone")).await.unwrap();
    assert!(body.frame().await.unwrap().is_err());
    drop((body, unsent));
    assert_eq!(readiness.in_flight(), Some(0));
    let drift = readiness.drift().unwrap();
    assert_eq!((drift.admitted(), drift.failed()), (1, 1));
}

#[tokio::test]
async fn a_body_that_fails_has_ended() {
    let (readiness, _storage) = ready();
    let streams = Streams::default();
    let response = counting(&readiness)
        .layer(streams.clone())
        .oneshot(get("/"));
    let mut body = response.await.unwrap().into_body();
    let sender = streams.senders.lock().unwrap().pop().unwrap();
    sender.send(Err("disk gone")).await.unwrap();
    assert!(body.frame().await.unwrap().is_err());
    assert_eq!(readiness.in_flight(), Some(0));
}

#[tokio::test]
async fn a_request_is_not_in_flight_once_its_client_has_hung_up() {
    let (readiness, _storage) = ready();
    let mut service = counting(&readiness).layer(Streams::default());
    let before_the_answer = service.call(get("/"));
    let after_it = service.call(get("/")).await.unwrap();
    assert_eq!(readiness.in_flight(), Some(2));
    drop(before_the_answer);
    assert_eq!(readiness.in_flight(), Some(1));
    drop(after_it);
    assert_eq!(readiness.in_flight(), Some(0));
}

#[tokio::test]
async fn an_error_ends_a_request() {
    let (readiness, _storage) = ready();
    let failing = service_fn(async |_: Request<String>| Err::<Response<Frames>, _>("no"));
    let response = counting(&readiness).layer(failing).oneshot(get("/"));
    assert!(response.await.is_err());
    assert_eq!(readiness.in_flight(), Some(0));
}

#[tokio::test]
async fn probes_refusals_and_grpc_health_are_not_in_flight() {
    let (readiness, storage) = ready();
    let mut service = counting(&readiness).layer(Streams::default());
    let probe = service.call(get("/readyz")).await.unwrap();
    assert_eq!(probe.status(), StatusCode::OK);
    let watch = service.call(health_call("Watch"));
    assert_eq!(readiness.in_flight(), Some(0));

    storage.failing("gone");
    let refused = service.call(get("/")).await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    let other_watch = service.call(health_call("Watch"));
    assert_eq!(readiness.in_flight(), Some(0));
    drop((probe, watch, refused, other_watch));
}

#[tokio::test(start_paused = true)]
async fn a_held_request_is_in_flight_once_it_is_admitted() {
    let (readiness, storage) = starting();
    let layer = counting(&readiness).when_starting(Action::hold(Duration::from_secs(5)).unwrap());
    let mut service = layer.layer(Streams::default());
    let mut call = task::spawn(service.call(get("/")));
    assert_pending!(call.poll());
    assert_eq!(readiness.in_flight(), Some(0));
    storage.ready();
    let response = assert_ready!(call.poll()).unwrap();
    assert_eq!(readiness.in_flight(), Some(1));
    drop(response);
    assert_eq!(readiness.in_flight(), Some(0));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_for_room_is_in_flight_until_it_is_refused() {
    let (readiness, _storage) = ready();
    let hold = Action::hold(Duration::from_secs(2)).unwrap();
    let layer = counting(&readiness).when_saturated(hold);
    // The permit is held until the response, which never comes.
    let slow = service_fn(|_: Request<String>| {
        std::future::pending::<Result<Response<Frames>, Infallible>>()
    });
    let mut service = layer.layer(ConcurrencyLimitLayer::new(1).layer(slow));
    let first = service.call(get("/"));
    let mut second = task::spawn(service.call(get("/")));
    assert_pending!(second.poll());
    assert_eq!(readiness.in_flight(), Some(2));
    tokio::time::advance(Duration::from_millis(2_001)).await;
    let refused = assert_ready!(second.poll()).unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(readiness.in_flight(), Some(1));
    drop(first);
    assert_eq!(readiness.in_flight(), Some(0));
}

#[tokio::test]
async fn an_upgrade_carries_a_token_that_keeps_its_connection_in_flight() {
    let (readiness, _storage) = ready();
    let streams = Streams::default();
    let mut service = counting(&readiness).layer(streams.clone());

    drop(service.call(get("/")).await);
    assert!(streams.tokens.lock().unwrap().is_empty(), "no upgrade");

    let websocket = Request::get("/").header(UPGRADE, "websocket");
    let tunnel = Request::builder().method(Method::CONNECT).uri("db:5432");
    for request in [websocket, tunnel] {
        let response = service
            .call(request.body(String::new()).unwrap())
            .await
            .unwrap();
        let token = streams.tokens.lock().unwrap().pop().expect("a token");
        drop(response);
        assert_eq!(readiness.in_flight(), Some(1));
        drop(token);
        assert_eq!(readiness.in_flight(), Some(0));
    }
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_that_was_held_carries_a_token_too() {
    let (readiness, storage) = starting();
    let layer = counting(&readiness).when_starting(Action::hold(Duration::from_secs(5)).unwrap());
    let streams = Streams::default();
    let mut service = layer.layer(streams.clone());
    let request = Request::get("/").header(UPGRADE, "websocket");
    let mut call = task::spawn(service.call(request.body(String::new()).unwrap()));
    assert_pending!(call.poll());
    storage.ready();
    drop(assert_ready!(call.poll()));
    assert_eq!(readiness.in_flight(), Some(1));
    streams.tokens.lock().unwrap().clear();
    assert_eq!(readiness.in_flight(), Some(0));
}

#[tokio::test]
async fn layers_that_do_not_count_hand_out_no_tokens() {
    let (readiness, _storage) = ready();
    let streams = Streams::default();
    let request = Request::get("/").header(UPGRADE, "websocket");
    let service = ReadinessLayer::new(&readiness).layer(streams.clone());
    drop(service.oneshot(request.body(String::new()).unwrap()).await);
    assert!(streams.tokens.lock().unwrap().is_empty());
}

#[tokio::test]
async fn probes_show_the_number_in_flight_while_draining() {
    let (readiness, _storage) = ready();
    let probes = Probes::builder(&readiness)
        .detail(Detail::Names)
        .build()
        .unwrap();
    let mut service = counting(&readiness)
        .with_probes(probes)
        .layer(Streams::default());
    let calls = [service.call(get("/")), service.call(get("/"))];
    let mut ask = async |path: &str| {
        let response = service.call(get(path)).await.unwrap();
        crate::support::whole(response).await.into_body()
    };
    assert_eq!(ask("/readyz").await, "ready\n");
    readiness.drain();
    assert_eq!(ask("/readyz").await, "not ready: draining, 2 in flight\n");
    assert_eq!(ask("/livez").await, "live\n");
    drop(calls);
    assert_eq!(ask("/readyz").await, "not ready: draining, 0 in flight\n");
}

#[tokio::test]
async fn status_tells_operators_about_the_traffic() {
    let (readiness, storage) = ready();
    let probes = Probes::builder(&readiness)
        .detail(Detail::Names)
        .build()
        .unwrap();
    let mut service = counting(&readiness)
        .with_probes(probes)
        .layer(Streams::default());
    let _stream = service.call(get("/")).await;
    storage.failing("gone");
    for _ in 0..3 {
        drop(service.call(get("/")).await);
    }
    let status = Request::get("/statusz").header("accept", "application/json");
    let answer = service
        .call(status.body(String::new()).unwrap())
        .await
        .unwrap();
    let json: serde_json::Value =
        serde_json::from_str(crate::support::whole(answer).await.body()).unwrap();
    assert_eq!(
        json["traffic"],
        serde_json::json!({"in_flight": 1, "late_arrivals": 0, "refused": {"failing": 3}, "dry_run_refused": {}})
    );
}

/// A request leaves the count on whichever thread drops it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_may_end_on_other_threads_than_they_began() {
    let (readiness, _storage) = ready();
    let service = counting(&readiness).layer(Streams::default());
    let mut ends = Vec::new();
    for _ in 0..200 {
        let service = service.clone();
        let (end, ended) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let response = service.oneshot(get("/")).await.unwrap();
            let _ = ended.await;
            drop(response);
        });
        ends.push((end, task));
    }
    crate::support::until(|| readiness.in_flight() == Some(200)).await;
    for (end, task) in ends {
        drop(end);
        task.await.unwrap();
    }
    assert_eq!(readiness.in_flight(), Some(0));
}
