//! `check_wired` finds each wrong place of the layer, and accepts the right ones.

use axum::{
    Router,
    body::Body,
    extract::Request,
    middleware::{from_fn, map_response},
    response::{IntoResponse, Response},
    routing::any,
};
use http::{HeaderValue, StatusCode};
use http_body_util::Full;
use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};
use tonic::{body::Body as GrpcBody, server::NamedService, service::Routes};
use tower::{Service, ServiceExt, service_fn};
use tower_http::cors::{Any, CorsLayer};
use tower_readiness::{
    Action, Readiness, ReadinessLayer, Reporter, State, Subsystem,
    probe::{Probe, Probes},
    testing::{Fault, FaultKind, WiringCheck, WiringError, assert_wired, check_wired},
};

fn process() -> (Readiness, Reporter) {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("cache").optional())
        .subsystem(Subsystem::new("storage"))
        .scope("cached", ["cache"])
        .build()
        .unwrap();
    let storage = readiness.reporter("storage").unwrap();
    storage.ready();
    readiness.reporter("cache").unwrap().leave_ready();
    (readiness, storage)
}

fn routes() -> Router {
    Router::new().route("/", any(async || "hello"))
}

async fn authenticate(_: Request) -> StatusCode {
    StatusCode::UNAUTHORIZED
}

fn cors() -> CorsLayer {
    CorsLayer::new().allow_origin(Any)
}

/// The kinds of the faults, in order.
async fn faults(readiness: &Readiness, app: Router) -> Vec<FaultKind> {
    match check_wired(readiness, app).await {
        Ok(()) => Vec::new(),
        Err(WiringError::Faults { faults }) => faults.iter().map(Fault::kind).collect(),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn right_wiring_has_no_faults() {
    let (readiness, _storage) = process();
    let layer = || ReadinessLayer::new(&readiness).count_in_flight();
    assert_wired(&readiness, routes().layer(layer())).await;
    let authenticated = routes().layer(from_fn(async |it: Request, _| authenticate(it).await));
    assert_wired(&readiness, authenticated.layer(layer())).await;
    assert_wired(&readiness, routes().layer(layer()).layer(cors())).await;
    // The gate of a scope inside of the gate of the process, and probes outside of a gate.
    let scope = readiness.scope("cached").unwrap();
    let scoped = routes().layer(ReadinessLayer::gate(&scope)).layer(layer());
    assert_wired(&readiness, scoped).await;
    let apart = routes().layer(ReadinessLayer::gate(&readiness));
    assert_wired(&readiness, apart.layer(ReadinessLayer::probes(&readiness))).await;
    // A responder may change the status of refusals.
    let responder = layer().respond_with(|_, _, mut response| {
        *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        response
    });
    assert_wired(&readiness, routes().layer(responder)).await;

    let snapshot = readiness.snapshot();
    let storage = snapshot.subsystem("storage").unwrap();
    assert_eq!((storage.state(), snapshot.paused()), (State::Ready, None));
}

#[tokio::test]
async fn routes_and_a_fallback_after_the_layer_are_faults() {
    let (readiness, _storage) = process();
    let layer = || ReadinessLayer::new(&readiness);
    let late = Router::new()
        .layer(layer())
        .route("/", any(async || "hello"));
    assert_eq!(faults(&readiness, late).await, [FaultKind::RoutesOutside]);
    let fallback = routes().layer(layer()).fallback(async || "index.html");
    let expected = [FaultKind::ProbesSwallowed, FaultKind::RoutesOutside];
    assert_eq!(faults(&readiness, fallback).await, expected);

    let late = routes()
        .layer(layer())
        .route("/late", any(async || "hello"));
    assert_eq!(faults(&readiness, late.clone()).await, []);
    let named = WiringCheck::new().path("/late").run(&readiness, late).await;
    let message = named.unwrap_err().to_string();
    for part in [
        "\n- the gate does not see some routes: add the layer after each route",
        "(GET /late while failing: 200, HEAD /late while failing: 200, POST /late",
        "gRPC /late while failing: 200)",
    ] {
        assert!(message.contains(part), "{message}");
    }
}

#[tokio::test]
async fn an_application_without_a_gate_is_a_fault() {
    let (readiness, _storage) = process();
    let bare = faults(&readiness, routes()).await;
    assert_eq!(bare, [FaultKind::ProbesMissing, FaultKind::NotGated]);
    let probes = routes().layer(ReadinessLayer::probes(&readiness));
    assert_eq!(faults(&readiness, probes).await, [FaultKind::NotGated]);
    let dry = routes().layer(ReadinessLayer::new(&readiness).dry_run());
    assert_eq!(faults(&readiness, dry).await, [FaultKind::NotGated]);
}

#[tokio::test]
async fn authentication_outside_is_a_fault() {
    let (readiness, _storage) = process();
    let app = routes()
        .layer(ReadinessLayer::new(&readiness))
        .layer(from_fn(async |it: Request, _| authenticate(it).await));
    let found = faults(&readiness, app).await;
    assert_eq!(found, [FaultKind::BehindAuthentication]);
}

#[tokio::test]
async fn a_layer_that_makes_500_of_503_is_a_fault() {
    let (readiness, _storage) = process();
    let app = routes()
        .layer(ReadinessLayer::new(&readiness))
        .layer(map_response(async |mut response: Response| {
            if response.status() == StatusCode::SERVICE_UNAVAILABLE {
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            }
            response
        }));
    let found = faults(&readiness, app).await;
    assert_eq!(found, [FaultKind::AnswersReplaced]);
    // A page for all errors, which hides why.
    let app = routes()
        .layer(ReadinessLayer::new(&readiness))
        .layer(map_response(async |response: Response| {
            if response.status().is_server_error() {
                (response.status(), "sorry").into_response()
            } else {
                response
            }
        }));
    let found = faults(&readiness, app).await;
    assert_eq!(found, [FaultKind::AnswersReplaced]);
    // An error of a service outside.
    let gated = routes().layer(ReadinessLayer::new(&readiness));
    let app = gated
        .map_request(|it: http::Request<Full<_>>| it.map(Body::new))
        .map_result(|result| match result {
            Ok(response) if response.status().is_server_error() => {
                Err(tower::BoxError::from("upstream failed"))
            }
            Ok(response) => Ok(response),
            Err(never) => match never {},
        });
    let error = check_wired(&readiness, app).await.unwrap_err().to_string();
    assert!(
        error.contains("GET / while failing: upstream failed"),
        "{error}"
    );
}

#[tokio::test]
async fn cors_inside_is_a_fault_where_the_origin_is_allowed() {
    let (readiness, _storage) = process();
    let inside = |cors| routes().layer(cors).layer(ReadinessLayer::new(&readiness));
    let found = faults(&readiness, inside(cors())).await;
    assert_eq!(found, [FaultKind::CorsInside]);

    let origin = HeaderValue::from_static("https://app.example");
    let one = inside(CorsLayer::new().allow_origin([origin.clone()]));
    assert_eq!(faults(&readiness, one.clone()).await, []);
    let check = WiringCheck::new().origin(origin);
    let error = check.run(&readiness, one).await.unwrap_err().to_string();
    assert!(
        error.contains("cross-origin GET / while failing: 503"),
        "{error}"
    );
}

#[tokio::test]
async fn a_gate_under_a_gate_is_a_fault() {
    let (readiness, _storage) = process();
    let app = routes()
        .layer(ReadinessLayer::gate(&readiness))
        .layer(ReadinessLayer::new(&readiness));
    assert_eq!(faults(&readiness, app).await, [FaultKind::GateUnderGate]);
}

#[tokio::test]
async fn probes_are_checked_where_they_are() {
    let (readiness, _storage) = process();
    let moved = Probes::builder(&readiness).path(Probe::Readiness, "/ready");
    let moved = moved.build().unwrap();
    let layer = ReadinessLayer::gate(&readiness).with_probes(moved.clone());
    let app = routes().layer(layer);
    let found = faults(&readiness, app.clone()).await;
    assert_eq!(found, [FaultKind::ProbesMissing]);
    let check = WiringCheck::new().probes(&moved);
    assert_eq!(check.run(&readiness, app).await, Ok(()));

    let gated = routes().layer(ReadinessLayer::gate(&readiness));
    let found = faults(&readiness, gated.clone()).await;
    assert_eq!(found, [FaultKind::ProbesMissing]);
    let check = WiringCheck::new().without_probes();
    assert_eq!(check.run(&readiness, gated).await, Ok(()));
}

/// A gRPC service without methods.
#[derive(Clone)]
struct Shop;

impl NamedService for Shop {
    const NAME: &'static str = "shop.v1.Shop";
}

impl Service<http::Request<GrpcBody>> for Shop {
    type Response = http::Response<GrpcBody>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Request<GrpcBody>) -> Self::Future {
        ready(Ok(tonic::Status::unimplemented("no method").into_http()))
    }
}

#[tokio::test]
async fn the_fallback_of_tonic_swallows_probes_of_a_router_that_it_is_merged_into() {
    let (readiness, _storage) = process();
    let layer = || ReadinessLayer::new(&readiness);
    let grpc = || Routes::new(Shop).into_axum_router();
    assert_wired(&readiness, grpc().layer(layer())).await;
    assert_wired(&readiness, routes().merge(grpc()).layer(layer())).await;

    let merged = routes().layer(layer()).merge(grpc());
    let error = check_wired(&readiness, merged)
        .await
        .unwrap_err()
        .to_string();
    for part in [
        "- a route or a fallback answers the probes: add the layer last",
        "GET /readyz while failing: 200",
        "- the gate does not see some routes",
    ] {
        assert!(error.contains(part), "{error}");
    }
    let path = "/shop.v1.Shop/Buy";
    let before = WiringCheck::new().path(path);
    let before = before.run(&readiness, grpc().layer(layer())).await;
    assert_eq!(before, Ok(()));
}

#[tokio::test]
async fn all_faults_are_in_one_error() {
    let (readiness, _storage) = process();
    let app = routes()
        .layer(cors())
        .layer(ReadinessLayer::gate(&readiness))
        .layer(ReadinessLayer::gate(&readiness))
        .fallback(async || "index.html");
    let expected = [
        FaultKind::GateUnderGate,
        FaultKind::ProbesSwallowed,
        FaultKind::CorsInside,
        FaultKind::RoutesOutside,
    ];
    assert_eq!(faults(&readiness, app).await, expected);
}

#[tokio::test]
async fn the_check_needs_a_process_that_can_fail_and_valid_paths() {
    let (readiness, storage) = process();
    let app = || routes().layer(ReadinessLayer::new(&readiness));
    storage.failing("gone");
    let error = check_wired(&readiness, app()).await.unwrap_err();
    assert!(matches!(error, WiringError::NotReady { .. }), "{error}");
    assert!(
        error.to_string().contains("storage failing (gone)"),
        "{error}"
    );
    storage.ready();
    for path in ["late", "/a b"] {
        let check = WiringCheck::new().path(path).run(&readiness, app());
        let expected = WiringError::Path {
            path: path.to_owned(),
        };
        assert_eq!(check.await, Err(expected));
    }
    let empty = Readiness::builder().allow_empty().build().unwrap();
    let app = routes().layer(ReadinessLayer::new(&empty));
    let error = check_wired(&empty, app).await;
    assert_eq!(error, Err(WiringError::NothingRequired));
}

#[tokio::test]
async fn a_pending_subsystem_is_not_the_one_that_fails() {
    let readiness = Readiness::builder().allow_empty().build().unwrap();
    let pending = readiness.add(Subsystem::new("index")).unwrap();
    let app = || routes().layer(ReadinessLayer::new(&readiness));
    let error = check_wired(&readiness, app()).await;
    assert_eq!(error, Err(WiringError::NothingRequired));
    let storage = readiness.add(Subsystem::new("storage")).unwrap();
    storage.ready();
    assert_eq!(faults(&readiness, app()).await, []);
    drop((pending, storage));
}

#[tokio::test]
#[should_panic(expected = "no request is refused while failing")]
async fn the_assertion_panics_with_the_error() {
    let (readiness, _storage) = process();
    assert_wired(&readiness, routes()).await;
}

#[tokio::test(start_paused = true)]
async fn a_gate_that_holds_refuses_in_the_end() {
    let (readiness, _storage) = process();
    let hold = Action::hold(std::time::Duration::from_secs(60)).unwrap();
    let layer = ReadinessLayer::new(&readiness).when_failing(hold);
    let app = service_fn(async |_: http::Request<Full<bytes::Bytes>>| {
        Ok::<_, Infallible>(http::Response::new(Full::<bytes::Bytes>::default()))
    });
    assert_wired(&readiness, tower::Layer::layer(&layer, app)).await;
}
