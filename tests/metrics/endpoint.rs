//! `/metrics` of an admin listener.

use crate::support::{soon, starting};
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tower_readiness::{
    Readiness, Subsystem,
    probe::{Detail, Probe, Probes},
    server::{AdminListener, AdminServer, ServeError},
};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

struct Response {
    status: u16,
    head: String,
    body: String,
}

impl Response {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

async fn exchange(
    mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin,
    request: &str,
) -> Response {
    let request = format!("{request}connection: close\r\n\r\n");
    soon(stream.write_all(request.as_bytes())).await.unwrap();
    let mut text = String::new();
    soon(stream.read_to_string(&mut text)).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    Response {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

async fn ask(server: &AdminServer, request: &str) -> Response {
    let port = server.local_addr().socket_addr().unwrap().port();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    exchange(TcpStream::connect(address).await.unwrap(), request).await
}

const GET: &str = "GET /metrics HTTP/1.1\r\nhost: localhost\r\n";

#[tokio::test]
async fn a_client_gets_the_form_that_it_accepts() {
    let (readiness, _storage) = starting();
    let server = readiness.serve("127.0.0.1:0").await.unwrap();
    // As Prometheus 2 and 3 send it.
    let two = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;\
               version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    let three = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                 text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
    for (accept, content_type) in [
        ("", TEXT),
        ("accept: */*\r\n", TEXT),
        ("accept: text/plain\r\n", TEXT),
        ("accept: text/plain;version=0.0.4;q=0.5,*/*;q=0.1\r\n", TEXT),
        ("accept: application/openmetrics-text;q=0\r\n", TEXT),
        ("accept: application/openmetrics-text\r\n", OPEN_METRICS),
        (&format!("accept: {two}\r\n"), OPEN_METRICS),
        (&format!("accept: {three}\r\n"), OPEN_METRICS),
    ] {
        let response = ask(&server, &format!("{GET}{accept}")).await;
        assert_eq!(response.status, 200);
        assert_eq!(
            response.header("content-type"),
            Some(content_type),
            "{accept}"
        );
        assert_eq!(response.header("cache-control"), Some("no-store"));
        let ends = response.body.ends_with("# EOF\n");
        assert_eq!(ends, content_type == OPEN_METRICS, "{accept}");
    }
}

#[tokio::test]
async fn both_forms_have_the_same_samples() {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        // All characters that a name may have.
        .subsystem(Subsystem::new("up.a-b_c[::1]:80"))
        .build()
        .unwrap();
    let _layer = tower_readiness::ReadinessLayer::new(&readiness).count_in_flight();
    let server = readiness.serve("127.0.0.1:0").await.unwrap();
    let text = ask(&server, GET).await.body;
    let accept = format!("{GET}accept: application/openmetrics-text\r\n");
    let open_metrics = ask(&server, &accept).await.body;
    let samples = |body: &str| {
        let lines = body.lines().filter(|line| !line.starts_with('#'));
        // Times go on between the two scrapes, and the forms order histograms apart.
        let lines = lines.filter(|line| !line.contains("startup_duration"));
        let mut lines: Vec<_> = lines.map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(samples(&text), samples(&open_metrics));
    for line in [
        "# TYPE readiness_requests_total counter",
        "# TYPE readiness_verdict gauge",
        "# TYPE readiness_hold_duration_seconds histogram",
        "# TYPE readiness_build_info gauge",
        "readiness_verdict{scope=\"readiness\",probe=\"liveness\"} 1",
        "readiness_subsystem_state{subsystem=\"up.a-b_c[::1]:80\",state=\"starting\"} 1",
        "readiness_requests_in_flight 0",
        "readiness_hold_duration_seconds_bucket{le=\"+Inf\"} 0",
        "readiness_hold_duration_seconds_sum 0.0",
        "readiness_hold_duration_seconds_count 0",
    ] {
        assert!(text.lines().any(|it| it == line), "{line} in {text}");
    }
    for line in [
        "# TYPE readiness_requests counter",
        "# TYPE readiness_build info",
        "# UNIT readiness_hold_duration_seconds seconds",
        "readiness_requests_total{scope=\"readiness\",outcome=\"refused\",reason=\"starting\"} 0",
    ] {
        assert!(
            open_metrics.lines().any(|it| it == line),
            "{line} in {open_metrics}"
        );
    }
    for family in readiness
        .families()
        .iter()
        .filter(|it| !it.samples().is_empty())
    {
        let help = format!("# HELP {} {}", family.name(), family.help());
        assert!(text.lines().any(|line| line == help), "{help}");
    }
}

/// Whether a listener at this address serves metrics.
async fn serves(listener: AdminListener, address: &str, host: &str) -> bool {
    let server = listener.serve(address).await.unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\nhost: {host}\r\n");
    let response = ask(&server, &request).await;
    assert_eq!(
        response.body.contains("readiness_verdict"),
        response.status == 200
    );
    assert!(matches!(response.status, 200 | 404), "{}", response.head);
    response.status == 200
}

#[tokio::test]
async fn metrics_are_for_this_machine_unless_they_are_enabled_elsewhere() {
    let (readiness, _storage) = starting();
    let listener = || AdminListener::new(&readiness);
    let (here, everywhere) = ("127.0.0.1:0", "0.0.0.0:0");
    assert!(serves(listener(), here, "localhost").await);
    assert!(serves(listener().metrics(), here, "localhost").await);
    assert!(!serves(listener(), everywhere, "app.example").await);
    assert!(serves(listener().metrics(), everywhere, "app.example").await);
    // As any other details on loopback, they are hidden from other hosts.
    assert!(!serves(listener(), here, "evil.example").await);
    assert!(!serves(listener().metrics(), here, "evil.example").await);
    // They name subsystems.
    assert!(!serves(listener().detail(Detail::None), here, "localhost").await);
    assert!(serves(listener().detail(Detail::Names), here, "localhost").await);
    for address in [here, everywhere] {
        let hidden = listener().detail(Detail::None).metrics();
        let error = hidden.serve(address).await.unwrap_err();
        assert!(matches!(
            error,
            ServeError::NamesHidden { setting: "metrics" }
        ));
    }
}

#[cfg(unix)]
#[tokio::test]
async fn metrics_are_served_on_a_unix_socket() {
    let (readiness, _storage) = starting();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let _server = readiness.serve(path.to_str().unwrap()).await.unwrap();
    let stream = tokio::net::UnixStream::connect(&path).await.unwrap();
    let response = exchange(stream, GET).await;
    assert_eq!(response.status, 200);
    assert!(response.body.contains("readiness_verdict"));
}

#[tokio::test]
async fn other_methods_are_refused_and_head_has_no_body() {
    let (readiness, _storage) = starting();
    let server = readiness.serve("127.0.0.1:0").await.unwrap();
    let response = ask(&server, "POST /metrics HTTP/1.1\r\nhost: localhost\r\n").await;
    assert_eq!(
        (response.status, response.header("allow")),
        (405, Some("GET, HEAD"))
    );
    let response = ask(&server, "HEAD /metrics HTTP/1.1\r\nhost: localhost\r\n").await;
    assert_eq!((response.status, &*response.body), (200, ""));
    assert!(
        response
            .header("content-length")
            .unwrap()
            .parse::<usize>()
            .unwrap()
            > 1_000
    );
    let response = ask(&server, "GET /metrics/?x=1 HTTP/1.1\r\nhost: localhost\r\n").await;
    assert_eq!(response.status, 200);
    let response = ask(&server, "GET /metrics/x HTTP/1.1\r\nhost: localhost\r\n").await;
    assert_eq!(response.status, 404);
}

#[tokio::test]
async fn a_probe_at_the_path_of_the_metrics_is_answered() {
    let (readiness, _storage) = starting();
    let probes = Probes::builder(&readiness).path(Probe::Liveness, "/metrics");
    let server = AdminListener::new(probes.build().unwrap());
    let server = server.serve("127.0.0.1:0").await.unwrap();
    assert_eq!(ask(&server, GET).await.body, "live\n");
}

#[tokio::test]
async fn the_port_of_the_application_has_no_metrics() {
    use tower::ServiceExt;
    let (readiness, _storage) = starting();
    let probes = Probes::builder(&readiness)
        .detail(Detail::Full)
        .build()
        .unwrap();
    let request = http::Request::get("/metrics").body(String::new()).unwrap();
    let response = probes.oneshot(request).await.unwrap();
    assert_eq!(response.status(), 404);
}

#[tokio::test]
async fn evicted_connections_count() {
    let (readiness, _storage) = starting();
    let listener = AdminListener::new(&readiness).max_connections(1);
    let server = listener.serve("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().socket_addr().unwrap();
    let _first = TcpStream::connect(address).await.unwrap();
    let response = ask(&server, GET).await;
    assert_eq!(response.status, 200);
    let evictions = crate::value(&readiness, "readiness_admin_evictions_total", "");
    assert_eq!(evictions, 1.0);
}
