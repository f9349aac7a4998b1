use crate::{ANYWHERE, clients::status, port, support::ready};
use std::{io::ErrorKind, net::SocketAddr, time::Duration};
use tokio::net::TcpListener;
use tower_readiness::{
    Readiness,
    server::{Address, AddressError, AdminListener, ServeError},
};

/// Why it is not served at `address`, in either way.
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
async fn where_it_cannot_listen_is_an_error_that_says_where_and_why() {
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
    for text in ["", "localhost:28080", "28080", "unix:"] {
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
        (listener().max_connections(0), "at least one connection"),
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
