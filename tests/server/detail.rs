use crate::{
    ANYWHERE, SECRET, VERBOSE,
    clients::{Raw, get, http2, send},
    port,
    support::ready,
};
use http::Request;
use std::net::SocketAddr;
use tower_readiness::{
    probe::{Detail, Probes},
    server::AdminListener,
};

#[tokio::test]
async fn the_detail_depends_on_the_clients_that_can_connect() {
    let (readiness, storage) = ready();
    storage.failing(SECRET);
    for (address, detail) in [
        (ANYWHERE, Detail::Full),
        ("[::ffff:127.0.0.1]:0", Detail::Full),
        ("0.0.0.0:0", Detail::Names),
    ] {
        let server = readiness.serve(address).await.unwrap();
        assert_eq!(told(port(&server)).await, detail, "{address}");
        let server = readiness.serve_on_thread(address).unwrap();
        assert_eq!(told(port(&server)).await, detail, "{address}");
    }
}

#[tokio::test]
async fn a_chosen_detail_overrides_the_default() {
    let (readiness, storage) = ready();
    storage.failing(SECRET);
    for address in [ANYWHERE, "0.0.0.0:0"] {
        for detail in [Detail::None, Detail::Names, Detail::Full] {
            let probes = Probes::builder(&readiness).detail(detail).build().unwrap();
            let server = AdminListener::new(probes).serve(address).await.unwrap();
            assert_eq!(told(port(&server)).await, detail, "by the probes");

            let listener = AdminListener::new(&readiness).detail(detail);
            let server = listener.serve(address).await.unwrap();
            assert_eq!(told(port(&server)).await, detail, "by the listener");
        }
    }
}

/// The level of detail of the answers at this port, on this machine.
pub(crate) async fn told(address: SocketAddr) -> Detail {
    let (status, text) = get(([127, 0, 0, 1], address.port()).into(), VERBOSE).await;
    assert_eq!(status, 503);
    detail_of(&text)
}

pub(crate) fn detail_of(text: &str) -> Detail {
    match (text.contains("storage"), text.contains(SECRET)) {
        (true, true) => Detail::Full,
        (true, false) => Detail::Names,
        _ => {
            assert_eq!(text, "not ready\n");
            Detail::None
        }
    }
}

#[tokio::test]
async fn on_loopback_a_request_for_another_host_is_told_no_details() {
    let (readiness, storage) = ready();
    storage.failing(SECRET);
    let listener = || AdminListener::new(&readiness).with_http2();
    for server in [
        listener().serve(ANYWHERE).await.unwrap(),
        listener()
            .detail(Detail::Full)
            .serve(ANYWHERE)
            .await
            .unwrap(),
        listener().serve("[::ffff:127.0.0.1]:0").await.unwrap(),
    ] {
        let port = port(&server).port();
        let ask = async |head: String| {
            let mut peer = Raw::open(([127, 0, 0, 1], port).into()).await;
            peer.write(&head).await;
            detail_of(&peer.response().await.1)
        };
        for host in ["localhost", "127.0.0.1", "LOCALHOST", "[::1]"] {
            for host in [host.to_owned(), format!("{host}:{port}")] {
                let head = format!("GET {VERBOSE} HTTP/1.1\r\nhost: {host}\r\n\r\n");
                assert_eq!(ask(head).await, Detail::Full, "{host}");
            }
        }
        // Browsers always send a host; HAProxy's plain check does not.
        let head = format!("GET {VERBOSE} HTTP/1.0\r\nconnection: keep-alive\r\n\r\n");
        assert_eq!(ask(head).await, Detail::Full);
        for host in ["evil.example", "evil.example:80", "localhost.evil.example"] {
            let head = format!("GET {VERBOSE} HTTP/1.1\r\nhost: {host}\r\n\r\n");
            assert_eq!(ask(head).await, Detail::None, "{host}");
            let head = format!("GET http://{host}{VERBOSE} HTTP/1.1\r\nhost: localhost\r\n\r\n");
            assert_eq!(ask(head).await, Detail::None, "{host} in the target");
        }
        let (mut sender, _connection) = http2(([127, 0, 0, 1], port).into()).await;
        for (host, detail) in [("localhost", Detail::Full), ("evil.example", Detail::None)] {
            let request = Request::get(format!("http://{host}{VERBOSE}"));
            let response = send(&mut sender, request).await;
            assert_eq!(detail_of(response.body()), detail, "{host}");
        }
    }
    // At another address every client may send requests anyway.
    let server = readiness.serve("0.0.0.0:0").await.unwrap();
    let mut peer = Raw::open(([127, 0, 0, 1], port(&server).port()).into()).await;
    let head = format!("GET {VERBOSE} HTTP/1.1\r\nhost: app.example\r\n\r\n");
    peer.write(&head).await;
    assert_eq!(detail_of(&peer.response().await.1), Detail::Names);
}
