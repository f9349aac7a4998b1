//! Each answer of the layer.

use crate::{
    sent::{
        MILLISECOND, Res, Sent, application, body, is_refusal, options, others_run, pass, post,
        refusing,
    },
    support::{ready, starting, value},
};
use http::{Method, Request, Response, header};
use std::{
    convert::Infallible,
    task::{Context, Poll},
    time::Duration,
};
use tokio_test::{assert_pending, assert_ready, assert_ready_ok, task};
use tower::{Layer, Service, ServiceExt, service_fn, util::BoxCloneService};
use tower_readiness::{
    Action, ReadinessLayer, Reason,
    gate::UnreadBody,
    probe::{Detail, Probes},
};

/// A service that never has room.
#[derive(Clone)]
struct NoRoom;

impl Service<Request<Sent>> for NoRoom {
    type Response = Res;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Res, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Pending
    }

    fn call(&mut self, _: Request<Sent>) -> Self::Future {
        unreachable!("it is never ready")
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waited_for_room_is_refused_in_the_same_way() {
    let (readiness, _storage) = ready();
    let hold = Action::hold(Duration::from_secs(1)).unwrap();
    let mut service = ReadinessLayer::new(&readiness)
        .when_saturated(hold)
        .layer(NoRoom);
    let (mut sender, first) = body();
    let mut call = task::spawn(service.call(post(first)));
    assert_pending!(call.poll());
    pass(Duration::from_secs(1)).await;
    assert_pending!(call.poll());
    sender.end();
    let response = assert_ready_ok!(call.poll());
    assert!(is_refusal(&response));
    assert!(options(&response).is_empty());

    let (sender, body) = body();
    let mut call = task::spawn(service.call(post(body)));
    assert_pending!(call.poll());
    pass(Duration::from_secs(1)).await;
    assert_pending!(call.poll());
    assert_pending!(call.poll());
    pass(300 * MILLISECOND).await;
    assert_eq!(options(&assert_ready_ok!(call.poll())), ["close"]);
    others_run().await;
    assert!(!sender.is_dropped());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_held_is_refused_in_the_same_way() {
    let (readiness, _storage) = starting();
    let layer = ReadinessLayer::new(&readiness)
        .when_starting(Action::hold(Duration::from_secs(1)).unwrap());
    let mut service = layer.layer(service_fn(application));
    let (sender, body) = body();
    let mut call = task::spawn(service.call(post(body)));
    assert_pending!(call.poll());
    pass(Duration::from_secs(1)).await;
    assert_pending!(call.poll());
    assert_eq!(layer.counts().waiting(Reason::Starting), 0);
    assert_pending!(call.poll());
    pass(300 * MILLISECOND).await;
    let response = assert_ready_ok!(call.poll());
    assert!(is_refusal(&response));
    assert_eq!(options(&response), ["close"]);
    others_run().await;
    assert!(!sender.is_dropped());
}

/// The responses of a service without their bodies.
fn headless<S, R>(service: S) -> BoxCloneService<Request<Sent>, Response<()>, Infallible>
where
    S: Service<Request<Sent>, Response = Response<R>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
{
    BoxCloneService::new(service.map_response(|response: Response<R>| response.map(drop)))
}

#[tokio::test(start_paused = true)]
async fn probes_answer_in_the_same_way() {
    let (readiness, _storage) = starting();
    let probes = Probes::builder(&readiness)
        .detail(Detail::Names)
        .build()
        .unwrap();
    let layer = ReadinessLayer::new(&readiness).with_probes(&probes);
    let by_layer = headless(layer.layer(service_fn(application)));
    let alone = headless(probes);
    let second = Duration::from_secs(1);
    for (name, service) in [("by a layer", by_layer), ("alone", alone)] {
        for (method, path, status, wait) in [
            (Method::POST, "/readyz", 405, Duration::ZERO),
            (Method::GET, "/livez", 200, Duration::ZERO),
            (Method::HEAD, "/readyz", 503, Duration::ZERO),
            (Method::GET, "/readyz?wait=1", 503, second),
        ] {
            let what = format!("{method} {path} {name}");
            let request = |body| {
                let request = Request::builder().method(&method).uri(path);
                request.body(body).unwrap()
            };
            let (mut sender, ends) = body();
            let mut call = task::spawn(service.clone().oneshot(request(ends)));
            assert_pending!(call.poll(), "{what}");
            pass(wait).await;
            sender.send(10);
            assert_pending!(call.poll(), "{what}");
            sender.end();
            let response = assert_ready!(call.poll(), "{what}").unwrap();
            assert_eq!(response.status(), status, "{what}");
            assert!(options(&response).is_empty(), "{what}");

            let (sender, silent) = body();
            let mut call = task::spawn(service.clone().oneshot(request(silent)));
            assert_pending!(call.poll(), "{what}");
            pass(wait).await;
            assert_pending!(call.poll(), "{what}");
            assert_pending!(call.poll(), "{what}");
            pass(300 * MILLISECOND).await;
            let response = assert_ready!(call.poll(), "{what}").unwrap();
            assert_eq!(response.status(), status, "{what}");
            assert_eq!(options(&response), ["close"], "{what}");
            assert!(!sender.is_dropped(), "{what}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn grpc_over_http1_is_refused_in_the_same_way() {
    let mut service = refusing(UnreadBody::default()).layer(service_fn(application));
    let (_sender, body) = body();
    let mut request = post(body);
    let grpc = header::HeaderValue::from_static("application/grpc-web+proto");
    request.headers_mut().insert(header::CONTENT_TYPE, grpc);
    let response = service.call(request).await.unwrap();
    assert_eq!(value(response.headers(), "grpc-status"), "14");
    assert_eq!(options(&response), ["close"]);
}
