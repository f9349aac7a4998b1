//! The layer in an axum application, behind `axum::serve`: in the right place,
//! and in the wrong ones.

use crate::support::{listen, soon, starting, until, value, whole};
use axum::{
    Router,
    body::Body,
    extract::{Path, Request},
    middleware::{self, Next},
    response::Response,
    routing::{get, post},
};
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use std::{convert::Infallible, net::SocketAddr, time::Duration};
use tower::{Layer, Service, ServiceBuilder};
use tower_readiness::{
    Action, Readiness, ReadinessLayer, Reason, Subsystem,
    gate::{Hold, ReadinessBody, Refusal},
    probe::{Detail, Probes},
};

/// The one line of a refused request.
const REFUSED: &str = "not ready: starting\n";
/// The one line of a red readiness probe.
const RED: &str = "not ready\n";
/// The one line of a green readiness probe.
const GREEN: &str = "ready\n";
/// axum's own 404 has no body.
const NOTHING: &str = "";
/// The 404 of a probe has.
const NO_PROBE: &str = "not found\n";

/// A client of a server.
#[derive(Clone)]
struct Peer {
    address: SocketAddr,
    client: Client<HttpConnector, Empty<Bytes>>,
}

impl Peer {
    fn of(address: SocketAddr) -> Self {
        Self {
            address,
            client: Client::builder(TokioExecutor::new()).build_http(),
        }
    }

    async fn send(&self, method: Method, path: &str) -> Response<String> {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address))
            .body(Empty::new())
            .unwrap();
        soon(async { whole(self.client.request(request).await.unwrap()).await }).await
    }

    async fn get(&self, path: &str) -> Response<String> {
        self.send(Method::GET, path).await
    }

    /// Requests each path and compares the status and the body.
    async fn expect(&self, cases: &[(&str, u16, &str)]) {
        for &(path, status, body) in cases {
            let response = self.get(path).await;
            let found = (response.status().as_u16(), response.body().as_str());
            assert_eq!(found, (status, body), "{path}");
        }
    }
}

async fn serve(app: Router) -> Peer {
    let (listener, address) = listen().await;
    tokio::spawn(async move { axum::serve(listener, app).await });
    Peer::of(address)
}

async fn home() -> &'static str {
    "home"
}

fn routes() -> Router {
    Router::new()
        .route("/", get(home))
        .route(
            "/users/{id}",
            get(|Path(id): Path<String>| async move { format!("user {id}") }),
        )
        .route("/orders", post(|| async { "ordered" }))
}

// === the layer last, around all routes ===

#[tokio::test]
async fn a_refusal_says_why_and_when_to_come_back() {
    let (readiness, _storage) = starting();
    let app = serve(routes().layer(ReadinessLayer::new(&readiness))).await;

    let refused = app.get("/").await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.body(), REFUSED);
    for (name, expected) in [
        ("x-readiness", "starting"),
        ("cache-control", "no-store"),
        ("content-type", "text/plain; charset=utf-8"),
        ("connection", ""),
    ] {
        assert_eq!(value(refused.headers(), name), expected, "{name}");
    }
    let seconds: u32 = value(refused.headers(), "retry-after").parse().unwrap();
    assert!((1..=5).contains(&seconds), "{seconds}");
}

#[tokio::test]
async fn everything_is_refused_until_ready_and_nothing_after() {
    let (readiness, storage) = starting();
    let app = serve(routes().layer(ReadinessLayer::new(&readiness))).await;

    app.expect(&[
        ("/", 503, REFUSED),
        ("/users/7", 503, REFUSED),
        ("/nowhere", 503, REFUSED),
        ("/readyz", 503, RED),
        ("/startupz", 503, "not started\n"),
        ("/livez", 200, "live\n"),
        ("/healthz", 200, "live\n"),
        ("/statusz", 200, RED),
    ])
    .await;
    let refused = app.send(Method::POST, "/orders").await;
    assert_eq!(refused.body(), REFUSED);

    storage.ready();
    app.expect(&[
        ("/", 200, "home"),
        ("/users/7", 200, "user 7"),
        ("/nowhere", 404, NOTHING),
        ("/readyz", 200, GREEN),
        ("/startupz", 200, "started\n"),
        ("/livez", 200, "live\n"),
        ("/healthz", 200, "live\n"),
        ("/statusz", 200, GREEN),
    ])
    .await;
    let ordered = app.send(Method::POST, "/orders").await;
    assert_eq!(ordered.body(), "ordered");
    let not_allowed = app.get("/orders").await;
    assert_eq!(not_allowed.status(), StatusCode::METHOD_NOT_ALLOWED);

    storage.failing("disk full");
    app.expect(&[
        ("/", 503, "not ready: failing\n"),
        ("/readyz", 503, RED),
        ("/startupz", 200, "started\n"),
        ("/livez", 200, "live\n"),
    ])
    .await;
}

#[tokio::test]
async fn a_router_without_routes_answers_probes() {
    let (readiness, storage) = starting();
    let app = serve(Router::new().layer(ReadinessLayer::new(&readiness))).await;
    app.expect(&[("/readyz", 503, RED), ("/", 503, REFUSED)])
        .await;
    storage.ready();
    app.expect(&[("/readyz", 200, GREEN), ("/", 404, NOTHING)])
        .await;
}

#[tokio::test]
async fn probes_win_over_routes_that_match_the_same_path() {
    let (readiness, _storage) = starting();
    let app = Router::new()
        .route("/readyz", get(|| async { "the application's" }))
        .route("/{page}", get(|| async { "a page" }))
        .layer(ReadinessLayer::new(&readiness));
    let app = serve(app).await;
    app.expect(&[
        ("/readyz", 503, RED),
        ("/readyz/", 503, RED),
        ("/livez", 200, "live\n"),
        ("/livez/storage", 503, REFUSED),
    ])
    .await;

    // Even for a method that the route does not have: a 405 of the probe, not
    // one of axum.
    for path in ["/readyz", "/livez"] {
        let response = app.send(Method::DELETE, path).await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(value(response.headers(), "allow"), "GET, HEAD", "{path}");
    }
    let head = app.send(Method::HEAD, "/readyz").await;
    assert_eq!(head.status(), StatusCode::SERVICE_UNAVAILABLE);
}

/// axum sets `content-length` from the body of the response where the header is
/// missing, and the body of a HEAD response is empty.
#[tokio::test]
async fn a_head_announces_the_length_of_the_get_or_none() {
    let (readiness, _storage) = starting();
    let app = routes()
        .route("/{page}", get(home))
        .layer(ReadinessLayer::new(&readiness));
    let app = serve(app).await;
    for path in ["/", "/readyz", "/nowhere/at/all"] {
        let get = app.get(path).await;
        let head = app.send(Method::HEAD, path).await;
        let length = value(head.headers(), "content-length");
        // RFC 9110, section 8.6.
        let lengths = ["", value(get.headers(), "content-length")];
        assert!(lengths.contains(&length), "{path}: {length}");
    }
}

#[tokio::test]
async fn a_single_page_application_never_answers_a_probe() {
    for detail in [Detail::None, Detail::Full] {
        let (readiness, storage) = starting();
        let probes = Probes::builder(&readiness).detail(detail).build().unwrap();
        let app = routes()
            .fallback(|| async { "index.html" })
            .layer(ReadinessLayer::new(&readiness).with_probes(probes));
        let app = serve(app).await;

        assert_eq!(app.get("/readyz").await.status(), 503, "{detail:?}");
        assert_eq!(app.get("/some/page").await.body(), REFUSED, "{detail:?}");

        storage.ready();
        app.expect(&[
            ("/readyz", 200, GREEN),
            ("/readyz/unknown", 404, NO_PROBE),
            ("/readyz/unknown/", 404, NO_PROBE),
            ("/readyz/a/b", 404, NO_PROBE),
            ("/some/page", 200, "index.html"),
            ("/readyzz", 200, "index.html"),
            ("/livez/unknown", 200, "index.html"),
        ])
        .await;
        // A probe of a subsystem is found where the detail shows names.
        let expected = match detail {
            Detail::None => 404,
            _ => 200,
        };
        let storage = app.get("/readyz/storage").await;
        assert_eq!(storage.status(), expected, "{detail:?}");
    }
}

#[tokio::test]
async fn counts_are_shared_by_all_routes() {
    let (readiness, _storage) = starting();
    let layer = ReadinessLayer::new(&readiness);
    let counts = layer.counts();
    let app = serve(routes().layer(layer)).await;

    for (already, path) in ["/", "/users/7", "/orders", "/nowhere"].iter().enumerate() {
        assert_eq!(counts.refused(Reason::Starting), already as u64);
        app.get(path).await;
    }
    assert_eq!(counts.refused(Reason::Starting), 4);
    app.get("/readyz").await;
    assert_eq!(counts.refused(Reason::Starting), 4);
}

#[tokio::test]
async fn bounds_are_shared_by_all_routes() {
    let (readiness, storage) = starting();
    let hold = Hold::builder(Duration::from_secs(60)).max_waiting(1);
    let hold = hold.build().unwrap();
    let layer = ReadinessLayer::new(&readiness).when_starting(Action::Hold(hold));
    let counts = layer.counts();
    let app = serve(routes().layer(layer)).await;

    let held = tokio::spawn({
        let app = app.clone();
        async move { app.get("/").await }
    });
    until(|| counts.waiting(Reason::Starting) == 1).await;
    // Another route, and no route at all: the one place is taken.
    app.expect(&[("/users/7", 503, REFUSED), ("/nowhere", 503, REFUSED)])
        .await;

    storage.ready();
    assert_eq!(soon(held).await.unwrap().body(), "home");
    assert_eq!(counts.held(Reason::Starting), 1);
    assert_eq!(counts.refused(Reason::Starting), 2);
}

#[tokio::test]
async fn middleware_outside_sees_the_refusal() {
    async fn mark(request: Request, next: Next) -> Response {
        let mut response = next.run(request).await;
        let refusal = response.extensions().get::<Refusal>();
        let mark = refusal.map_or("none", |refusal| refusal.reason().as_str());
        let mark = HeaderValue::from_static(mark);
        response.headers_mut().insert("x-seen", mark);
        response
    }
    let (readiness, storage) = starting();
    let app = routes()
        .layer(ReadinessLayer::new(&readiness))
        .layer(middleware::from_fn(mark));
    let app = serve(app).await;

    let seen = async |path| value(app.get(path).await.headers(), "x-seen").to_owned();
    assert_eq!(seen("/").await, "starting");
    assert_eq!(seen("/nowhere").await, "starting");
    assert_eq!(seen("/readyz").await, "none");
    storage.ready();
    assert_eq!(seen("/").await, "none");
    storage.failing("disk full");
    assert_eq!(seen("/").await, "failing");
}

#[tokio::test]
async fn middleware_inside_sees_only_admitted_requests() {
    let (readiness, storage) = starting();
    let app = routes()
        .layer(middleware::map_response(
            |mut response: Response| async move {
                let mark = HeaderValue::from_static("yes");
                response.headers_mut().insert("x-inside", mark);
                response
            },
        ))
        .layer(ReadinessLayer::new(&readiness));
    let app = serve(app).await;

    let inside = async |path| value(app.get(path).await.headers(), "x-inside") == "yes";
    assert!(!inside("/").await);
    storage.ready();
    assert!(inside("/").await);
    assert!(!inside("/readyz").await);
}

// === a gate on a part ===

/// A process that is ready without its index, and a gate on searching.
fn searching() -> (Readiness, ReadinessLayer) {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .subsystem(Subsystem::new("index").optional())
        .scope("search", ["index"])
        .build()
        .unwrap();
    readiness.reporter("storage").unwrap().leave_ready();
    let gate = ReadinessLayer::gate(readiness.scope("search").unwrap());
    (readiness, gate)
}

#[tokio::test]
async fn a_gate_on_one_route_refuses_that_route_only() {
    let (readiness, gate) = searching();
    let counts = gate.counts();
    let app = routes()
        .route(
            "/search",
            get(|| async { "found" })
                .layer(gate)
                .delete(|| async { "forgotten" }),
        )
        .layer(ReadinessLayer::new(&readiness));
    let app = serve(app).await;
    app.expect(&[
        ("/search", 503, REFUSED),
        ("/", 200, "home"),
        ("/users/7", 200, "user 7"),
        ("/nowhere", 404, NOTHING),
        ("/readyz", 200, GREEN),
    ])
    .await;
    assert_eq!(counts.refused(Reason::Starting), 1);
    // A method that was added after the layer is not gated either.
    let forgotten = app.send(Method::DELETE, "/search").await;
    assert_eq!(forgotten.body(), "forgotten");

    let index = readiness.reporter("index").unwrap();
    index.ready();
    app.expect(&[("/search", 200, "found")]).await;
    index.failing("corrupt");
    app.expect(&[
        ("/search", 503, "not ready: failing\n"),
        ("/", 200, "home"),
        ("/readyz", 200, GREEN),
    ])
    .await;
}

#[tokio::test]
async fn a_gate_on_a_nested_router_refuses_that_router_only() {
    let (readiness, gate) = searching();
    let search = Router::new()
        .route("/words", get(|| async { "words" }))
        .route("/images", get(|| async { "images" }));
    let app = routes()
        .nest("/search", search.layer(gate))
        .layer(ReadinessLayer::new(&readiness));
    let app = serve(app).await;
    app.expect(&[
        ("/search/words", 503, REFUSED),
        ("/search/images", 503, REFUSED),
        ("/search/nowhere", 404, NOTHING),
        ("/", 200, "home"),
        ("/readyz", 200, GREEN),
    ])
    .await;
    readiness.reporter("index").unwrap().leave_ready();
    app.expect(&[("/search/words", 200, "words")]).await;
}

#[tokio::test]
async fn a_gate_answers_no_probes() {
    let (readiness, storage) = starting();
    let app = serve(routes().layer(ReadinessLayer::gate(&readiness))).await;
    app.expect(&[("/", 503, REFUSED), ("/readyz", 503, REFUSED)])
        .await;
    storage.ready();
    app.expect(&[("/", 200, "home"), ("/readyz", 404, NOTHING)])
        .await;
}

#[tokio::test]
async fn probes_alone_refuse_nothing() {
    let (readiness, _storage) = starting();
    let app = serve(routes().layer(ReadinessLayer::probes(&readiness))).await;
    app.expect(&[
        ("/", 200, "home"),
        ("/nowhere", 404, NOTHING),
        ("/readyz", 503, RED),
    ])
    .await;
}

#[tokio::test]
async fn probes_can_be_a_service_of_the_router() {
    let (readiness, _storage) = starting();
    let probes = Probes::builder(&readiness)
        .detail(Detail::Full)
        .build()
        .unwrap();
    // axum removes the prefix before it calls the nested service.
    let app = serve(routes().nest_service("/internal", probes)).await;
    app.expect(&[
        ("/internal/livez", 200, "live\n"),
        ("/internal/readyz?exclude=storage", 200, GREEN),
        ("/internal/nowhere", 404, NO_PROBE),
        ("/livez", 404, NOTHING),
        ("/", 200, "home"),
    ])
    .await;
}

// === nested routers ===

#[tokio::test]
async fn outside_of_a_nested_router_probes_stand_at_the_root() {
    let (readiness, storage) = starting();
    let app = Router::new()
        .nest("/api", routes())
        .layer(ReadinessLayer::new(&readiness));
    let app = serve(app).await;
    app.expect(&[
        ("/readyz", 503, RED),
        ("/api/readyz", 503, REFUSED),
        ("/api/users/7", 503, REFUSED),
    ])
    .await;
    storage.ready();
    app.expect(&[
        ("/readyz", 200, GREEN),
        ("/api/readyz", 404, NOTHING),
        ("/api/users/7", 200, "user 7"),
    ])
    .await;
}

/// axum applies a layer to each route, and nests routes one by one: a request that
/// matches no inner route does not reach the layer.
#[tokio::test]
async fn inside_of_a_nested_router_no_probe_is_reached() {
    let (readiness, storage) = starting();
    let app = Router::new()
        .route("/outside", get(|| async { "outside" }))
        .nest("/api", routes().layer(ReadinessLayer::new(&readiness)));
    let app = serve(app).await;
    app.expect(&[
        ("/readyz", 404, NOTHING),
        ("/api/readyz", 404, NOTHING),
        ("/api/users/7", 503, REFUSED),
        ("/api", 503, REFUSED),
        ("/api/nowhere", 404, NOTHING),
        ("/outside", 200, "outside"),
    ])
    .await;
    storage.ready();
    app.expect(&[("/api/users/7", 200, "user 7")]).await;
}

/// A request that an inner route matches reaches the layer, which sees the path
/// without the prefix.
#[tokio::test]
async fn inside_of_a_nested_router_that_matches_all_probes_stand_below_the_prefix() {
    let (readiness, _storage) = starting();
    let layer = ReadinessLayer::new(&readiness);
    let nested = |inner: Router| Router::new().nest("/api", inner);
    for (kind, app) in [
        (
            "a fallback",
            nested(routes().fallback(home).layer(layer.clone())),
        ),
        (
            "a parameter",
            nested(routes().route("/{page}", get(home)).layer(layer.clone())),
        ),
        (
            "a service",
            Router::new().nest_service("/api", layer.layer(routes())),
        ),
    ] {
        let app = serve(app).await;
        for (path, status, body) in [
            ("/api/readyz", 503, RED),
            ("/api/livez", 200, "live\n"),
            ("/api/users/7", 503, REFUSED),
            ("/readyz", 404, NOTHING),
        ] {
            let response = app.get(path).await;
            let found = (response.status().as_u16(), response.body().as_str());
            assert_eq!(found, (status, body), "{kind}: {path}");
        }
    }
}

// === the layer in the wrong place ===

/// Routes that are added to a router after the layer are outside of it.
#[tokio::test]
async fn routes_added_after_the_layer_are_not_gated() {
    let (readiness, _storage) = starting();
    let app = routes()
        .layer(ReadinessLayer::new(&readiness))
        .route("/late", get(|| async { "late" }));
    serve(app)
        .await
        .expect(&[
            ("/", 503, REFUSED),
            ("/late", 200, "late"),
            ("/readyz", 503, RED),
        ])
        .await;
}

/// The worst place: every probe of a process that is not ready is green.
#[tokio::test]
async fn a_fallback_added_after_the_layer_takes_the_probes() {
    let (readiness, _storage) = starting();
    let app = routes()
        .layer(ReadinessLayer::new(&readiness))
        .fallback(|| async { "index.html" });
    serve(app)
        .await
        .expect(&[
            ("/", 503, REFUSED),
            ("/nowhere", 200, "index.html"),
            ("/readyz", 200, "index.html"),
        ])
        .await;
}

/// Probe paths have no routes of their own.
#[tokio::test]
async fn a_route_layer_gates_routes_and_answers_no_probes() {
    let (readiness, _storage) = starting();
    let layer = ReadinessLayer::new(&readiness);
    let on_a_route = Router::new().route("/", get(home).layer(layer.clone()));
    for app in [routes().route_layer(layer), on_a_route] {
        serve(app)
            .await
            .expect(&[
                ("/", 503, REFUSED),
                ("/nowhere", 404, NOTHING),
                ("/readyz", 404, NOTHING),
                ("/livez", 404, NOTHING),
            ])
            .await;
    }
}

/// The routes of each router keep or lack their layer. Of two default fallbacks, that
/// of the router merged last stays.
#[tokio::test]
async fn a_merge_gates_the_routes_of_the_layered_router() {
    let (readiness, _storage) = starting();
    let layer = ReadinessLayer::new(&readiness);
    let plain = || Router::new().route("/plain", get(|| async { "plain" }));
    let layered = || routes().layer(layer.clone());

    serve(plain().merge(layered()))
        .await
        .expect(&[
            ("/", 503, REFUSED),
            ("/plain", 200, "plain"),
            ("/nowhere", 503, REFUSED),
            ("/readyz", 503, RED),
        ])
        .await;
    serve(layered().merge(plain()))
        .await
        .expect(&[
            ("/", 503, REFUSED),
            ("/plain", 200, "plain"),
            ("/nowhere", 404, NOTHING),
            ("/readyz", 404, NOTHING),
        ])
        .await;
    // Merged first and layered last, as it should be.
    serve(routes().merge(plain()).layer(layer.clone()))
        .await
        .expect(&[
            ("/", 503, REFUSED),
            ("/plain", 503, REFUSED),
            ("/readyz", 503, RED),
        ])
        .await;
}

/// A fallback that was set stays, whichever router it belongs to.
#[tokio::test]
async fn a_merge_keeps_the_fallback_that_was_set() {
    let (readiness, _storage) = starting();
    let layer = ReadinessLayer::new(&readiness);
    let plain = || Router::new().route("/plain", get(home));
    let layered = routes().fallback(home).layer(layer.clone());
    for app in [plain().merge(layered.clone()), layered.merge(plain())] {
        serve(app)
            .await
            .expect(&[("/readyz", 503, RED), ("/nowhere", 503, REFUSED)])
            .await;
    }
}

/// The router that tonic makes has a fallback: `UNIMPLEMENTED`, which is 200.
#[tokio::test]
async fn a_router_of_tonic_that_is_merged_after_the_layer_takes_the_probes() {
    let (readiness, _storage) = starting();
    let layer = ReadinessLayer::new(&readiness);
    let calls = || tonic::service::Routes::default().into_axum_router();

    let wrong = serve(routes().layer(layer.clone()).merge(calls())).await;
    assert_eq!(wrong.get("/readyz").await.status(), StatusCode::OK);
    assert_eq!(
        wrong.get("/").await.status(),
        StatusCode::SERVICE_UNAVAILABLE
    );

    let right = serve(routes().merge(calls()).layer(layer)).await;
    right
        .expect(&[("/readyz", 503, RED), ("/", 503, REFUSED)])
        .await;
}

// === around the whole router ===

/// Fails to compile if the layer changes the error of the service: axum serves only
/// services that cannot fail.
fn around(
    layer: &ReadinessLayer,
    router: Router,
) -> impl Service<Request, Response = Response<ReadinessBody<Body>>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ Sync
+ 'static {
    layer.layer(router)
}

#[tokio::test]
async fn around_the_whole_router_everything_is_gated() {
    let (readiness, storage) = starting();
    let layer = ReadinessLayer::new(&readiness);
    let router = || {
        routes()
            .route("/{page}", get(|| async { "a page" }))
            .fallback(|| async { "index.html" })
    };

    // Either as the only service of another router, or with the body that
    // `axum::serve` requires.
    let in_a_router = serve(Router::new().fallback_service(around(&layer, router()))).await;
    let by_itself = {
        let service = ServiceBuilder::new()
            .map_response(|response: Response<ReadinessBody<Body>>| response.map(Body::new))
            .service(around(&layer, router()));
        let (listener, address) = listen().await;
        let make = axum::ServiceExt::<Request>::into_make_service(service);
        tokio::spawn(async move { axum::serve(listener, make).await });
        Peer::of(address)
    };

    let apps = [in_a_router, by_itself];
    for app in &apps {
        app.expect(&[
            ("/", 503, REFUSED),
            ("/page", 503, REFUSED),
            ("/no/where", 503, REFUSED),
            ("/readyz", 503, RED),
            ("/readyz/x", 404, NO_PROBE),
        ])
        .await;
    }
    assert_eq!(layer.counts().refused(Reason::Starting), 6);
    storage.ready();
    for app in &apps {
        app.expect(&[
            ("/", 200, "home"),
            ("/page", 200, "a page"),
            ("/no/where", 200, "index.html"),
            ("/readyz", 200, GREEN),
        ])
        .await;
    }
}

// === drift ===

#[tokio::test]
async fn failures_while_ready_are_drift() {
    let (readiness, storage) = starting();
    let torn = async || {
        let frames = [Ok("half"), Err(std::io::Error::other("disk gone"))];
        Body::from_stream(tokio_stream::iter(frames))
    };
    let app = Router::new()
        .route("/", get(home))
        .route("/broken", get(async || StatusCode::INTERNAL_SERVER_ERROR))
        .route("/teapot", get(async || StatusCode::IM_A_TEAPOT))
        .route("/torn", get(torn))
        .layer(ReadinessLayer::new(&readiness).observe_outcomes());
    let peer = serve(app).await;
    let counts = || {
        let drift = readiness.drift().unwrap();
        (drift.admitted(), drift.failed())
    };
    peer.expect(&[("/", 503, REFUSED), ("/readyz", 503, RED)])
        .await;
    assert_eq!(counts(), (0, 0));

    storage.ready();
    for (method, path, expected) in [
        (Method::GET, "/", (1, 0)),
        (Method::HEAD, "/", (2, 0)),
        (Method::GET, "/unknown", (3, 0)),
        (Method::GET, "/teapot", (4, 0)),
        (Method::POST, "/", (5, 0)),
        (Method::GET, "/broken", (6, 1)),
        (Method::HEAD, "/broken", (7, 2)),
        (Method::GET, "/readyz", (7, 2)),
    ] {
        peer.send(method, path).await;
        until(|| counts() == expected).await;
    }

    let uri = format!("http://{}/torn", peer.address).parse().unwrap();
    // Buffers decide whether the head arrives.
    let whole = async { Some(peer.client.get(uri).await.ok()?.into_body().collect().await) };
    assert!(!matches!(soon(whole).await, Some(Ok(_))));
    until(|| counts() == (8, 3)).await;
}
