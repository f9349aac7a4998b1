//! Who gets events: by address, host, detail and method.

use crate::{
    ANYWHERE,
    client::{EVENTS, Events, address, ask, get, of, open, send, value},
    support::{ready, whole},
};
use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use hyper::client::conn::http2::handshake;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tower_readiness::{
    Group, Phase, Readiness, Subsystem,
    probe::{Detail, Probe, Probes},
    server::{AdminListener, ServeError},
};

#[tokio::test]
async fn elsewhere_events_are_served_on_request_and_without_reasons() {
    let (readiness, storage) = ready();
    storage.failing("secret");
    let everywhere = "0.0.0.0:0";
    let server = readiness.serve(everywhere).await.unwrap();
    assert_eq!(ask(&server, get(EVENTS)).await.status(), 404);

    let listener = AdminListener::new(&readiness).events();
    let server = listener.serve(everywhere).await.unwrap();
    let state = open(&server).await.next().await.unwrap();
    let text = state.data.to_string();
    assert!(
        !text.contains("secret") && !text.contains("_ms\":"),
        "{text}"
    );
    assert_eq!(state.history().last().unwrap(), "process ready failing");

    let listener = AdminListener::new(&readiness).detail(Detail::None);
    let silent = listener.clone().serve(ANYWHERE).await.unwrap();
    assert_eq!(ask(&silent, get(EVENTS)).await.status(), 404);
    let error = listener.events().serve(ANYWHERE).await.unwrap_err();
    assert!(
        matches!(error, ServeError::NamesHidden { setting: "events" }),
        "{error}"
    );
}

#[tokio::test]
async fn a_request_for_another_host_gets_no_events() {
    let (readiness, _storage) = ready();
    let server = readiness.serve(ANYWHERE).await.unwrap();
    for (host, status) in [
        ("evil.example", 404),
        ("127.0.0.1", 200),
        ("LOCALHOST:1", 200),
    ] {
        let request = Request::get(EVENTS).header("host", host);
        assert_eq!(ask(&server, request).await.status(), status, "{host}");
    }
}

#[tokio::test]
async fn a_stream_over_http2_leaves_room_for_probes_on_its_connection() {
    let (readiness, storage) = ready();
    let listener = AdminListener::new(&readiness).with_http2();
    let server = listener.serve(ANYWHERE).await.unwrap();
    let stream = TcpStream::connect(address(&server)).await.unwrap();
    let (mut sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let request = |path: &str| {
        let request = Request::get(format!("http://localhost{path}"));
        request.body(Empty::<Bytes>::new()).unwrap()
    };
    let mut events = of(sender.send_request(request(EVENTS)).await.unwrap());
    assert_eq!(events.next().await.unwrap().kind, "state");
    storage.failing("gone");
    let probe = sender.send_request(request("/readyz")).await.unwrap();
    assert_eq!(probe.status(), 503);
    assert_eq!(events.next_update().await.subsystems(), ["storage"]);
    readiness.advance(Phase::Closed);
    assert_eq!(events.next_update().await.data["phase"], "closed");
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn a_unix_socket_has_events() {
    let (readiness, _storage) = ready();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let _server = readiness.serve(&*path).await.unwrap();
    let stream = tokio::net::UnixStream::connect(path).await.unwrap();
    let mut events: Events = of(send(stream, get(EVENTS)).await);
    assert_eq!(events.next().await.unwrap().kind, "state");
}

#[tokio::test]
async fn methods_and_paths_are_as_on_the_other_routes() {
    let (readiness, _storage) = ready();
    let server = readiness.serve(ANYWHERE).await.unwrap();
    let head = ask(&server, Request::head(EVENTS).header("host", "localhost")).await;
    assert_eq!(head.status(), 200);
    assert_eq!(value(head.headers(), "content-type"), "text/event-stream");
    assert_eq!(whole(head).await.body(), "");
    let post = ask(&server, Request::post(EVENTS).header("host", "localhost")).await;
    assert_eq!(post.status(), 405);
    assert_eq!(value(post.headers(), "allow"), "GET, HEAD");
    for (path, status) in [
        ("/statusz/events/", 200),
        ("/statusz/events?x", 200),
        ("/statusz/event", 404),
        ("/statusz//events", 404),
        ("/events", 404),
        ("/readyz/events", 404),
    ] {
        assert_eq!(ask(&server, get(path)).await.status(), status, "{path}");
    }

    // The path follows the status probe.
    let moved = Probes::builder(&readiness).path(Probe::Status, "/internal/status");
    let moved = AdminListener::new(moved.build().unwrap());
    let moved = moved.serve(ANYWHERE).await.unwrap();
    assert_eq!(
        ask(&moved, get("/internal/status/events")).await.status(),
        200
    );
    assert_eq!(ask(&moved, get(EVENTS)).await.status(), 404);
    let without = Probes::builder(&readiness).without(Probe::Status);
    let without = AdminListener::new(without.build().unwrap());
    let without = without.serve(ANYWHERE).await.unwrap();
    assert_eq!(ask(&without, get(EVENTS)).await.status(), 404);
}

#[tokio::test]
async fn the_name_of_a_group_hides_no_other_path() {
    let builder = Readiness::builder().subsystem(Subsystem::new("storage"));
    let builder = builder.group(Group::new("events"));
    let readiness = builder.group(Group::new("metrics")).build().unwrap();
    let server = readiness.serve(ANYWHERE).await.unwrap();
    let mut events = open(&server).await;
    assert_eq!(events.next_update().await.kind, "state");

    // With the status probe at `/`, the pages of groups are beside all other paths.
    let probes = Probes::builder(&readiness).path(Probe::Status, "/");
    let listener = AdminListener::new(probes.build().unwrap());
    let server = listener.serve(ANYWHERE).await.unwrap();
    let mut events = of(ask(&server, get("/events")).await);
    assert_eq!(events.next_update().await.kind, "state");
    let metrics = whole(ask(&server, get("/metrics")).await).await;
    let is_page = metrics.body().starts_with("metrics ");
    assert_eq!(is_page, cfg!(not(feature = "metrics")), "{metrics:?}");
    // Unless a probe has that path.
    let probes = Probes::builder(&readiness).path(Probe::Liveness, EVENTS);
    let listener = AdminListener::new(probes.build().unwrap());
    let server = listener.serve(ANYWHERE).await.unwrap();
    let live = whole(ask(&server, get(EVENTS)).await).await;
    assert_eq!(live.body(), "live\n");
}
