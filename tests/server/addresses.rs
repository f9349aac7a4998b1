use crate::{
    ANYWHERE, VERBOSE,
    clients::{get, status},
    port,
    support::ready,
};
use std::{
    io::ErrorKind,
    net::{Ipv6Addr, SocketAddr},
    time::Duration,
};
use tokio::net::TcpListener;
use tower_readiness::{
    Readiness,
    server::{Address, AddressError, AdminListener, ServeError},
};

/// The errors of both ways to serve at `address`.
pub(crate) async fn errors<A>(readiness: &Readiness, address: A) -> [ServeError; 2]
where
    A: TryInto<Address, Error: Into<ServeError>> + Clone,
{
    [
        readiness.serve(address.clone()).await.unwrap_err(),
        readiness.serve_on_thread(address).unwrap_err(),
    ]
}

#[tokio::test]
async fn an_address_that_cannot_be_bound_is_an_error_with_address_and_cause() {
    let (readiness, _storage) = ready();
    let taken = TcpListener::bind(ANYWHERE).await.unwrap();
    let taken = taken.local_addr().map(|address| (taken, address)).unwrap();
    // Set aside for documentation (RFC 5737).
    let elsewhere = SocketAddr::from(([192, 0, 2, 1], 0));
    for (wanted, kind) in [
        (taken.1, ErrorKind::AddrInUse),
        (elsewhere, ErrorKind::AddrNotAvailable),
    ] {
        for error in errors(&readiness, wanted).await {
            assert!(error.to_string().contains(&wanted.to_string()), "{error}");
            let ServeError::Bind { address, source } = error else {
                panic!("{error}");
            };
            assert_eq!(address, Address::from(wanted));
            assert_eq!(source.kind(), kind);
        }
    }
}

#[tokio::test]
async fn a_text_that_is_no_address_is_an_error() {
    let (readiness, _storage) = ready();
    for text in ["", "localhost:28080", "65536", "unix:"] {
        for error in errors(&readiness, text).await {
            assert!(
                matches!(&error, ServeError::Address(AddressError::Malformed { address }) if address == text),
                "{error:?}"
            );
        }
        for error in errors(&readiness, text.to_owned()).await {
            assert!(matches!(error, ServeError::Address(_)), "{error:?}");
        }
    }
}

#[tokio::test]
async fn absurd_limits_are_errors() {
    let (readiness, _storage) = ready();
    let listener = || AdminListener::new(&readiness);
    let too_long = Duration::from_secs(24 * 60 * 60 + 1);
    for (listener, expected) in [
        (listener().header_timeout(Duration::ZERO), "header timeout"),
        (listener().header_timeout(Duration::MAX), "header timeout"),
        (listener().idle_timeout(Duration::ZERO), "idle timeout"),
        (listener().idle_timeout(too_long), "idle timeout"),
        (
            listener().max_connections(0),
            "the maximum of connections is 0",
        ),
    ] {
        let error = listener.clone().serve(ANYWHERE).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        let error = listener.serve_on_thread(ANYWHERE).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    let most = listener()
        .header_timeout(Duration::from_secs(24 * 60 * 60))
        .max_connections(usize::MAX);
    let server = most.serve(ANYWHERE).await.unwrap();
    assert_eq!(status(port(&server), "/livez").await, 200);
}

#[tokio::test]
async fn a_port_alone_is_answered_over_both_versions_of_ip() {
    let (readiness, _storage) = ready();
    let v6 = TcpListener::bind("[::1]:0").await.is_ok();
    for server in [
        readiness.serve(":0").await.unwrap(),
        readiness.serve("0").await.unwrap(),
        readiness.serve_on_thread(Address::Port(0)).unwrap(),
        // The notation of the deploy files.
        readiness.serve("[::]:0").await.unwrap(),
    ] {
        let port = port(&server).port();
        assert_ne!(port, 0);
        let v4_answer = get(([127, 0, 0, 1], port).into(), VERBOSE).await;
        assert!(v4_answer.1.contains("storage"), "{v4_answer:?}");
        // Other machines can connect, so the answer has names, but no ages.
        assert!(!v4_answer.1.contains(" for "), "{v4_answer:?}");
        if v6 {
            let v6_answer = get((Ipv6Addr::LOCALHOST, port).into(), VERBOSE).await;
            assert_eq!(v6_answer, v4_answer);
        }
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_not_taken_over_ipv4_alone() {
    let (readiness, _storage) = ready();
    let first = readiness.serve(":0").await.unwrap();
    for error in errors(&readiness, Address::Port(port(&first).port())).await {
        assert!(
            matches!(&error, ServeError::Bind { source, .. } if source.kind() == ErrorKind::AddrInUse),
            "{error:?}"
        );
    }
}

#[cfg(target_os = "linux")]
#[test]
fn as_many_may_queue_as_on_a_unix_socket() {
    let most = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
    let queue: usize = most.trim().parse::<usize>().unwrap().min(1_000);
    let (readiness, _storage) = ready();
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build().unwrap();
    let server = runtime.block_on(readiness.serve(ANYWHERE)).unwrap();
    // From here on the listener accepts no connection.
    let connect = |_| {
        let timeout = Duration::from_secs(30);
        std::net::TcpStream::connect_timeout(&port(&server), timeout).unwrap()
    };
    let queued: Vec<_> = (0..queue.min(400)).map(connect).collect();
    assert!(!queued.is_empty());
}
