//! Real servers answer HTTP/1.0 requests with a body that has an end.

use crate::{ANYWHERE, LONG, rows::Process};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
};
use tokio::sync::oneshot;
use tower_readiness::{ReadinessLayer, client::HealthCheck};

/// Serves an axum application on a thread until the sender is dropped.
fn serve_axum(process: &Process) -> (SocketAddr, oneshot::Sender<()>) {
    let app = axum::Router::new().layer(ReadinessLayer::new(&process.readiness));
    let (stop, stopped) = oneshot::channel::<()>();
    let listener = std::net::TcpListener::bind(ANYWHERE).unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            tokio::select! {
                served = axum::serve(listener, app) => served.unwrap(),
                _ = stopped => {}
            }
        });
    });
    (address, stop)
}

/// Sends an HTTP/1.0 request, and reads until the server closes the connection.
fn raw(address: SocketAddr, target: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let request = format!("GET {target} HTTP/1.0\r\nhost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn http_1_0_requests_get_a_length_and_the_end_of_the_connection() {
    let process = Process::ready();
    let admin = process.readiness.serve_on_thread(ANYWHERE).unwrap();
    let (application, _stop) = serve_axum(&process);
    for address in [admin.local_addr().socket_addr().unwrap(), application] {
        for target in ["/readyz", "/readyz?verbose", "/readyz?wait=60", "/nowhere"] {
            let answer = raw(address, target);
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("HTTP/1.0 "), "{target}: {head}");
            let length = format!("\r\ncontent-length: {}", body.len());
            assert!(head.contains(&length), "{target}: {head}");
            assert!(!head.contains("transfer-encoding"), "{target}: {head}");
        }
    }
}

#[test]
fn a_request_that_waits_is_answered_over_http_1_0() {
    let process = Process::starting();
    let admin = process.readiness.serve_on_thread(ANYWHERE).unwrap();
    let address = admin.local_addr().socket_addr().unwrap();
    let answer = thread::scope(|scope| {
        let waiting = scope.spawn(|| raw(address, "/startupz?wait=60"));
        // The request waits whether it arrives before or after this report.
        process.storage.ready();
        process.engine.ready();
        waiting.join().unwrap()
    });
    assert!(answer.starts_with("HTTP/1.0 200 "), "{answer}");
    assert!(answer.ends_with("\r\n\r\nstarted\n"), "{answer}");
}

#[test]
fn the_client_checks_an_application_behind_axum() {
    let process = Process::ready();
    let (application, _stop) = serve_axum(&process);
    let check = HealthCheck::new(application).timeout(LONG);
    assert_eq!(check.run().unwrap().line(), "started, live");
    process.storage.failing("x");
    let report = check.ready().run().unwrap();
    assert_eq!((report.is_ok(), report.line()), (false, "not ready"));
}
