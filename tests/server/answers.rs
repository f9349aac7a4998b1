use crate::{
    ANYWHERE,
    clients::{Raw, head, http2, request, send, status},
    port,
    support::{ready, soon, starting, value},
};
use http::StatusCode;
use tower_readiness::{
    Phase,
    probe::{Probe, Probes},
    server::AdminListener,
};

#[tokio::test]
async fn both_versions_of_http_are_answered_on_one_port_where_http2_is_asked_for() {
    let (readiness, _storage) = ready();
    let listener = AdminListener::new(&readiness).with_http2();
    let server = listener.serve(ANYWHERE).await.unwrap();
    let address = port(&server);
    assert_ne!(address.port(), 0);

    let mut http1 = Raw::open(address).await;
    let (mut http2, _connection) = http2(address).await;
    for (path, status, body) in [
        ("/livez", 200, "live\n"),
        ("/readyz", 200, "ready\n"),
        ("/startupz", 200, "started\n"),
        ("/readyz/storage", 200, "ready: storage ready\n"),
        ("/nothing", 404, "not found\n"),
    ] {
        let (own, text) = http1.get(path).await;
        let response = send(&mut http2, request(path)).await;
        assert_eq!(own, status, "{path}");
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(text, *response.body(), "{path}");
        if path != "/readyz/storage" {
            assert_eq!(text, body);
        }
    }
}

#[tokio::test]
async fn http2_is_not_spoken_by_default() {
    let (readiness, _storage) = ready();
    let server = readiness.serve(ANYWHERE).await.unwrap();
    let (_sender, connection) = http2(port(&server)).await;
    assert!(soon(connection).await.unwrap().is_err());
    assert_eq!(status(port(&server), "/livez").await, 200);
}

#[tokio::test]
async fn probes_of_ones_own_are_served() {
    let (readiness, _storage) = ready();
    readiness.drain();
    let probes = Probes::builder(&readiness)
        .path(Probe::Readiness, "/ready")
        .envoy_headers()
        .build()
        .unwrap();
    let listener = AdminListener::new(probes).with_http2();
    let server = listener.serve(ANYWHERE).await.unwrap();
    assert_eq!(status(port(&server), "/readyz").await, 404);
    let (mut sender, _connection) = http2(port(&server)).await;
    let response = send(&mut sender, request("/ready")).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let flag = value(response.headers(), "x-envoy-immediate-health-check-fail");
    assert_eq!(flag, "true");
}

#[tokio::test]
async fn it_answers_in_every_phase() {
    let (readiness, storage) = starting();
    let server = readiness.serve(ANYWHERE).await.unwrap();
    let on_thread = readiness.serve_on_thread(ANYWHERE).unwrap();
    let expect = async |started: u16, ready: u16| {
        for address in [port(&server), port(&on_thread)] {
            assert_eq!(status(address, "/livez").await, 200);
            assert_eq!(status(address, "/startupz").await, started);
            assert_eq!(status(address, "/readyz").await, ready);
        }
    };
    expect(503, 503).await;
    storage.ready();
    expect(200, 200).await;
    for phase in [Phase::Draining, Phase::Closing, Phase::Closed] {
        readiness.advance(phase);
        expect(200, 503).await;
    }
}

#[tokio::test]
async fn a_wait_is_answered_when_it_is_over() {
    let (readiness, storage) = starting();
    let server = readiness.serve_on_thread(ANYWHERE).unwrap();
    let mut waiting = Raw::open(port(&server)).await;
    waiting.write(&head("/readyz?wait=60")).await;
    storage.ready();
    assert_eq!(waiting.response().await.0, 200);
}

#[tokio::test]
async fn it_keeps_the_registry_alive() {
    let (readiness, storage) = ready();
    let server = readiness.serve(ANYWHERE).await.unwrap();
    drop((readiness, storage));
    assert_eq!(status(port(&server), "/livez").await, 200);
    assert_eq!(status(port(&server), "/readyz").await, 503);
}
