//! The stack: what each layer does for requests that
//! are refused, admitted, or ask for a probe.

#[path = "../src/app.rs"]
mod app;
mod support;

use axum::{Router, body::Body};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use support::{become_ready, starting};
use tower::ServiceExt;
use tower_readiness::{Readiness, Reason};

fn ready() -> (Readiness, Router) {
    let (readiness, app) = starting();
    become_ready(&readiness);
    (readiness, app)
}

fn value<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

async fn send(app: &Router, method: Method, path: &str) -> Response<Body> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("origin", "https://app.example")
        .header("accept-encoding", "gzip")
        .body(Body::empty())
        .unwrap();
    app.clone().oneshot(request).await.unwrap()
}

async fn get(app: &Router, path: &str) -> Response<Body> {
    send(app, Method::GET, path).await
}

fn drift(readiness: &Readiness) -> (u64, u64) {
    let drift = readiness.drift().unwrap();
    (drift.admitted(), drift.failed())
}

#[tokio::test]
async fn a_refusal_has_an_id_and_is_readable_for_scripts() {
    let (readiness, app) = starting();
    let refused = get(&app, "/long").await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    let headers = refused.headers();
    assert_eq!(value(headers, "access-control-allow-origin"), "*");
    let exposed = value(headers, "access-control-expose-headers");
    for header in ["retry-after", "x-readiness", "x-request-id"] {
        assert!(headers.contains_key(header), "{header}");
        assert!(exposed.split(',').any(|it| it == header), "{exposed}");
    }
    assert!(!headers.contains_key("content-encoding"));
    assert_eq!(readiness.refused(Reason::Starting), 1);

    // The browser may send the request at all.
    let preflight = send(&app, Method::OPTIONS, "/").await;
    assert_eq!(preflight.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_response_is_compressed_and_a_probe_is_not() {
    let (readiness, app) = ready();
    let long = get(&app, "/long").await;
    assert_eq!(long.status(), StatusCode::OK);
    assert_eq!(value(long.headers(), "content-encoding"), "gzip");
    assert!(long.headers().contains_key("x-request-id"));
    assert_eq!(readiness.in_flight(), Some(1), "until its body has ended");
    long.into_body().collect().await.unwrap();
    assert_eq!(readiness.in_flight(), Some(0));

    let probe = get(&app, "/readyz").await;
    assert_eq!(probe.status(), StatusCode::OK);
    assert!(!probe.headers().contains_key("content-encoding"));
    assert!(probe.headers().contains_key("x-request-id"));
    assert_eq!(drift(&readiness), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn panics_and_late_handlers_are_answered_and_count_as_drift() {
    let (readiness, app) = ready();
    for (path, status) in [
        ("/panic", StatusCode::INTERNAL_SERVER_ERROR),
        ("/slow", StatusCode::GATEWAY_TIMEOUT),
    ] {
        let response = get(&app, path).await;
        assert_eq!(response.status(), status, "{path}");
        assert!(response.headers().contains_key("x-request-id"), "{path}");
        let origin = value(response.headers(), "access-control-allow-origin");
        assert_eq!(origin, "*", "{path}");
    }
    assert_eq!(drift(&readiness), (2, 2));
    assert_eq!(readiness.in_flight(), Some(0));
}

#[tokio::test]
async fn queries_that_fail_close_only_the_routes_that_need_the_database() {
    let (readiness, app) = ready();
    for _ in 0..2 {
        let answer = get(&app, "/divide/5").await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(!answer.headers().contains_key("x-readiness"));
    }
    let refused = get(&app, "/divide/5").await;
    assert_eq!(value(refused.headers(), "x-readiness"), "failing");
    let snapshot = readiness.snapshot();
    let reason = snapshot.subsystem("database").unwrap().reason();
    assert!(reason.unwrap().contains("efused"), "{reason:?}");

    for path in ["/", "/readyz", "/startupz"] {
        assert_eq!(get(&app, path).await.status(), StatusCode::OK, "{path}");
    }
}
