use crate::{ANYWHERE, SECRET, VERBOSE, clients::get, port, support::ready};
use std::net::SocketAddr;
use tower_readiness::{
    probe::{Detail, Probes},
    server::AdminListener,
};

#[tokio::test]
async fn how_much_it_tells_depends_on_who_can_reach_it() {
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
async fn who_chooses_how_much_it_tells_has_the_say() {
    let (readiness, storage) = ready();
    storage.failing(SECRET);
    for address in [ANYWHERE, "0.0.0.0:0"] {
        for detail in [Detail::None, Detail::Names, Detail::Full] {
            let probes = Probes::new(&readiness).detail(detail);
            let server = AdminListener::new(probes).serve(address).await.unwrap();
            assert_eq!(told(port(&server)).await, detail, "by the probes");

            let listener = AdminListener::new(&readiness).detail(detail);
            let server = listener.serve(address).await.unwrap();
            assert_eq!(told(port(&server)).await, detail, "by the listener");
        }
    }
}

/// How much is told at this port, on this machine.
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
