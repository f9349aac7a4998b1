use crate::{
    ANYWHERE,
    clients::{Raw, head, http2, http2_on, request, send, status},
    port,
    support::{ready, soon, starting, value},
};
use http::{Request, StatusCode};
use tokio::net::UnixStream;
use tower_readiness::{
    Group, Phase, Readiness, Subsystem,
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

/// hyper leaves out the body of an answer to `HEAD` on HTTP/1 alone. On HTTP/2, DATA would
/// be an error of the protocol.
#[tokio::test]
async fn no_answer_to_head_over_http2_has_a_body() {
    let builder = Readiness::builder().subsystem(Subsystem::new("storage"));
    let builder = builder.group(Group::new("upstream"));
    let readiness = builder.build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let listener = AdminListener::new(&readiness).with_http2();
    let server = listener.clone().serve(ANYWHERE).await.unwrap();
    let _on_socket = listener.with_commands().serve(&*path).await.unwrap();
    let (mut tcp, _connection) = http2(port(&server)).await;
    let (mut unix, _connection) = http2_on(UnixStream::connect(&path).await.unwrap()).await;
    for (path, status) in [
        ("/livez", 200),
        ("/readyz", 503),
        ("/readyz?verbose", 503),
        ("/readyz/storage", 503),
        ("/readyz?wait=x", 400),
        ("/readyz?wait=1", 503),
        ("/statusz", 200),
        ("/statusz/upstream", 200),
        ("/statusz/upstream?limit=0", 400),
        ("/statusz/events", 200),
        (
            "/metrics",
            if cfg!(feature = "metrics") { 200 } else { 404 },
        ),
        ("/", 200),
        ("/nothing", 404),
    ] {
        for accept in ["*/*", "application/json", "text/html"] {
            let request = Request::head(format!("http://localhost{path}")).header("accept", accept);
            let response = send(&mut tcp, request).await;
            assert_eq!(response.status(), status, "{path} {accept}");
            assert_eq!(response.body(), "", "{path} {accept}");
        }
    }
    for command in ["pause", "resume", "drain"] {
        let request = Request::head(format!("http://localhost/commands/{command}"));
        let response = send(&mut unix, request).await;
        assert_eq!(response.status(), 405, "{command}");
        assert_eq!(response.body(), "", "{command}");
    }
    let foreign = Request::head("http://evil.example/metrics");
    assert_eq!(send(&mut tcp, foreign).await.body(), "");
}
