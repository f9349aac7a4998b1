//! Answers of processes with thousands of subsystems: rendered rarely, shared, and
//! bounded in the memory that unread answers hold.

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use std::time::Duration;
use tokio::time::advance;
use tower::ServiceExt;
use tower_readiness::{
    Readiness, Reporter, Subsystem,
    probe::{Detail, Probes},
};

/// A process whose answers have two megabytes.
fn large() -> (Readiness, Reporter) {
    let name = |n: usize| format!("subsystem-{n}");
    let readiness = (0..2_000)
        .map(|n| Subsystem::new(name(n)))
        .fold(Readiness::builder(), tower_readiness::Builder::subsystem)
        .build()
        .unwrap();
    for n in 1..2_000 {
        let reporter = readiness.reporter(&name(n)).unwrap();
        reporter.attribute("key", "x".repeat(1_000)).unwrap();
        reporter.leave_ready();
    }
    let first = readiness.reporter(&name(0)).unwrap();
    first.ready();
    (readiness, first)
}

async fn ask(probes: &Probes, target: &str, accept: &str) -> (StatusCode, Bytes) {
    let request = Request::get(target).header(header::ACCEPT, accept);
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    let response = probes.clone().oneshot(request).await.unwrap();
    let status = response.status();
    (
        status,
        response.into_body().collect().await.unwrap().to_bytes(),
    )
}

async fn text(probes: &Probes, target: &str) -> Bytes {
    ask(probes, target, "text/plain").await.1
}

fn begins(bytes: &Bytes, expected: &str) -> bool {
    bytes.starts_with(expected.as_bytes())
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_large_answer_is_rendered_once_for_each_version_and_second() {
    let (readiness, first) = large();
    let probes = Probes::builder(&readiness)
        .detail(Detail::Full)
        .build()
        .unwrap();
    for (target, accept) in [
        ("/statusz", "text/plain"),
        ("/readyz?verbose", "text/plain"),
        ("/readyz", "application/json"),
        ("/statusz", "application/json"),
    ] {
        let (status, rendered) = ask(&probes, target, accept).await;
        assert_eq!(status, 200);
        let (_, again) = ask(&probes.clone(), target, accept).await;
        assert_eq!(rendered.as_ptr(), again.as_ptr(), "{target} {accept}");
        advance(SECOND).await;
        let (_, later) = ask(&probes, target, accept).await;
        assert_ne!(rendered.as_ptr(), later.as_ptr(), "{target} {accept}");
    }

    let before = text(&probes, "/statusz").await;
    assert!(begins(&before, "[+]subsystem-0 ready (required) for 4s\n"));
    first.failing("gone");
    let after = text(&probes, "/statusz").await;
    assert!(begins(
        &after,
        "[-]subsystem-0 failing (required) for 0ms: gone\n"
    ));
    advance(SECOND).await;
    let later = text(&probes, "/statusz").await;
    assert!(begins(
        &later,
        "[-]subsystem-0 failing (required) for 1s: gone\n"
    ));
}

#[tokio::test(start_paused = true)]
async fn each_query_has_its_own_answer() {
    let (readiness, _first) = large();
    let probes = Probes::builder(&readiness)
        .detail(Detail::Full)
        .build()
        .unwrap();
    assert!(text(&probes, "/statusz").await.ends_with(b"\nready\n"));
    assert!(text(&probes, "/livez?verbose").await.ends_with(b"\nlive\n"));
    assert_eq!(text(&probes, "/livez").await, "live\n");
    let one = text(&probes, "/readyz/subsystem-1?verbose").await;
    assert!(begins(&one, "[+]subsystem-1 "));
    let without = text(&probes, "/statusz?exclude=subsystem-0").await;
    assert!(begins(
        &without,
        "[+]subsystem-0 ready (required, excluded)"
    ));
    let with = text(&probes, "/statusz").await;
    assert!(begins(&with, "[+]subsystem-0 ready (required) for"));
}

#[tokio::test(start_paused = true)]
async fn unread_large_answers_hold_a_bounded_amount_of_memory() {
    let (readiness, first) = large();
    let probes = Probes::builder(&readiness)
        .detail(Detail::Full)
        .build()
        .unwrap();
    let mut unread = Vec::new();
    let mut bytes = 0;
    let at_most = 40 << 20;
    loop {
        let answer = text(&probes, "/statusz").await;
        if answer == "ready\n" {
            break;
        }
        bytes += answer.len();
        assert!(bytes < at_most, "{bytes}");
        unread.push(answer);
        advance(SECOND).await;
    }
    assert!(bytes > 20 << 20, "{bytes}");
    // The answer still has the current verdict.
    let (status, json) = ask(&probes, "/readyz", "application/json").await;
    assert_eq!(status, 200);
    assert_eq!(
        json,
        "{\"probe\":\"readiness\",\"ok\":true,\"status\":\"ready\"}\n"
    );
    first.failing("gone");
    let (status, answer) = ask(&probes, "/readyz?verbose", "text/plain").await;
    assert_eq!(
        (status, &*answer),
        (StatusCode::SERVICE_UNAVAILABLE, &b"not ready\n"[..])
    );
    assert_eq!(
        text(&probes, "/readyz").await,
        "not ready: subsystem-0 failing (gone)\n"
    );

    unread.clear();
    let answer = text(&probes, "/statusz").await;
    assert!(begins(&answer, "[-]subsystem-0 failing"), "they were read");
}
