use crate::{
    ANYWHERE, SECRET,
    clients::Raw,
    port,
    support::{ready, soon},
};
use tower_readiness::{
    Group, Readiness, Subsystem,
    probe::{Detail, Probe, Probes},
    server::{AdminListener, AdminServer, ServeError},
};

/// What Chromium sends.
const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

struct Response {
    head: String,
    body: String,
}

impl Response {
    /// The kind of the answer: `html`, `plain`, `json`, or the status of an error.
    fn kind(&self) -> &str {
        let status = self.head.split(' ').nth(1).unwrap();
        let kind = self.header("content-type").split(['/', ';']).nth(1);
        if status == "200" {
            kind.unwrap()
        } else {
            status
        }
    }

    fn header(&self, name: &str) -> &str {
        let prefix = format!("{name}: ");
        let mut lines = self.head.lines();
        lines
            .find_map(|line| line.strip_prefix(&prefix))
            .unwrap_or_default()
    }
}

async fn ask(server: &AdminServer, request: &str, accept: &str, host: &str) -> Response {
    let address = ([127, 0, 0, 1], port(server).port()).into();
    let mut client = Raw::open(address).await;
    client
        .write(&format!(
            "{request} HTTP/1.1\r\nhost: {host}\r\naccept: {accept}\r\nconnection: close\r\n\r\n"
        ))
        .await;
    let text = String::from_utf8(soon(client.rest()).await).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    Response {
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

async fn get(server: &AdminServer, path: &str, accept: &str) -> Response {
    ask(server, &format!("GET {path}"), accept, "localhost").await
}

#[tokio::test]
async fn a_browser_gets_the_page_and_other_clients_what_they_got_before() {
    let (readiness, storage) = ready();
    storage.failing("<b>disk</b> full");
    let server = readiness.serve(ANYWHERE).await.unwrap();
    for path in ["/", "/statusz", "/statusz/", "/statusz?verbose", "/?x"] {
        for (accept, kind) in [
            (BROWSER, "html"),
            ("text/html", "html"),
            ("*/*", "plain"),
            ("text/plain", "plain"),
            ("application/json", "json"),
        ] {
            assert_eq!(
                get(&server, path, accept).await.kind(),
                kind,
                "{path} {accept}"
            );
        }
    }
    let page = get(&server, "/", BROWSER).await;
    assert!(page.body.starts_with("<!doctype html>\n"));
    assert!(
        page.body
            .contains("storage failing (&lt;b&gt;disk&lt;/b&gt; full)")
    );
    assert_eq!(page.header("cache-control"), "no-store");
    assert_eq!(page.header("x-content-type-options"), "nosniff");
    assert_eq!(page.header("referrer-policy"), "no-referrer");
    let policy = page.header("content-security-policy");
    assert!(
        policy.starts_with("default-src 'none'; script-src 'sha256-"),
        "{policy}"
    );
    assert!(policy.ends_with("frame-ancestors 'none'"), "{policy}");

    // The verdict of a probe has no page.
    for path in ["/livez", "/readyz/storage"] {
        let answer = get(&server, path, "text/html").await;
        assert!(!answer.body.contains("<html"), "{path}");
    }
    let head = ask(&server, "HEAD /", BROWSER, "localhost").await;
    assert_eq!((head.kind(), &*head.body), ("html", ""));
    let post = ask(&server, "POST /", BROWSER, "localhost").await;
    assert_eq!(post.kind(), "405");
}

#[tokio::test]
async fn the_page_shows_no_more_than_the_detail_allows() {
    let (readiness, storage) = ready();
    storage.failing(SECRET);
    for (detail, kind) in [
        (Detail::None, "404"),
        (Detail::Names, "html"),
        (Detail::Full, "html"),
    ] {
        let listener = AdminListener::new(&readiness).detail(detail);
        let server = listener.serve(ANYWHERE).await.unwrap();
        let page = get(&server, "/", BROWSER).await;
        assert_eq!(page.kind(), kind);
        assert_eq!(page.body.contains("storage"), detail >= Detail::Names);
        assert_eq!(page.body.contains(SECRET), detail >= Detail::Full);
    }
}

#[tokio::test]
async fn a_request_for_another_host_gets_no_page() {
    let (readiness, _storage) = ready();
    let server = readiness.serve(ANYWHERE).await.unwrap();
    let status = ask(&server, "GET /statusz", BROWSER, "evil.example").await;
    assert_eq!((status.kind(), &*status.body), ("plain", "ready\n"));
    let root = ask(&server, "GET /", BROWSER, "evil.example").await;
    assert_eq!(root.kind(), "404");
}

#[tokio::test]
async fn other_machines_get_the_page_only_where_it_is_turned_on() {
    let (readiness, _storage) = ready();
    let everywhere = "0.0.0.0:0";
    let server = readiness.serve(everywhere).await.unwrap();
    assert_eq!(get(&server, "/statusz", BROWSER).await.kind(), "plain");
    assert_eq!(get(&server, "/", BROWSER).await.kind(), "404");
    let listener = AdminListener::new(&readiness).page();
    let server = listener.serve(everywhere).await.unwrap();
    assert_eq!(get(&server, "/statusz", BROWSER).await.kind(), "html");
    assert_eq!(get(&server, "/", BROWSER).await.kind(), "html");

    let head = ask(&server, "HEAD /statusz/events", "*/*", "localhost").await;
    assert_eq!(head.kind(), "event-stream", "the page follows the events");
    let hidden = AdminListener::new(&readiness).page().detail(Detail::None);
    let error = hidden.serve(everywhere).await.unwrap_err();
    assert!(
        matches!(error, ServeError::NamesHidden { setting: "page" }),
        "{error}"
    );
}

/// A listener whose probes are at other paths.
async fn moved(readiness: &Readiness, status: Option<&str>, health: &str) -> AdminServer {
    let mut probes = Probes::builder(readiness).path(Probe::Health, health);
    probes = match status {
        Some(path) => probes.path(Probe::Status, path),
        None => probes.without(Probe::Status),
    };
    let listener = AdminListener::new(probes.build().unwrap());
    listener.serve(ANYWHERE).await.unwrap()
}

#[tokio::test]
async fn the_page_moves_with_the_status_and_leaves_the_root_to_a_probe() {
    let (readiness, _storage) = ready();
    let server = moved(&readiness, Some("/inner"), "/healthz").await;
    assert_eq!(get(&server, "/inner", BROWSER).await.kind(), "html");
    assert_eq!(get(&server, "/", BROWSER).await.kind(), "html");
    let server = moved(&readiness, None, "/healthz").await;
    assert_eq!(get(&server, "/", BROWSER).await.kind(), "404");
    let server = moved(&readiness, Some("/statusz"), "/").await;
    assert_eq!(get(&server, "/", BROWSER).await.body, "live\n");
}

#[tokio::test]
async fn the_links_of_a_page_at_the_root_lead_to_the_members_of_a_group() {
    let builder = Readiness::builder().subsystem(Subsystem::new("storage"));
    let readiness = builder.group(Group::new("upstream")).build().unwrap();
    let upstream = readiness.group("upstream").unwrap();
    let member = upstream.add("10.0.0.1:80").unwrap();
    member.ready();
    // The counts of a group that the page shows follow its members after a while.
    for status in ["/statusz", "/inner/status", "/"] {
        let server = moved(&readiness, Some(status), "/healthz").await;
        let page = soon(async {
            loop {
                let page = get(&server, status, BROWSER).await.body;
                if page.contains("1 ready</a>") {
                    break page;
                }
            }
        });
        let page = page.await;
        let link = page.split("<a href=\"").nth(1).unwrap();
        let link = link.split('"').next().unwrap();
        let members = get(&server, link, "*/*").await;
        assert_eq!(members.kind(), "plain", "{status}: {link}");
        assert!(members.body.starts_with("[+]10.0.0.1:80 ready"), "{link}");
        let other = get(&server, &link.replace("upstream", "other"), "*/*").await;
        assert_eq!(other.kind(), "404", "{status}");
    }
}

#[tokio::test]
async fn a_layer_on_the_port_of_the_application_has_no_page() {
    use http_body_util::BodyExt;
    use tower::ServiceExt;
    let (readiness, _storage) = ready();
    let probes = Probes::builder(&readiness).detail(Detail::Full);
    let probes = probes.build().unwrap();
    for (path, status) in [("/", 404), ("/statusz", 200)] {
        let request = http::Request::get(path).header("accept", BROWSER);
        let request = request.body(String::new()).unwrap();
        let response = probes.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), status, "{path}");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(!body.starts_with(b"<"), "{path}");
    }
}
