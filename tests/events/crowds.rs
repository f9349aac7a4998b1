//! Many clients, and clients that do not read.

use crate::{
    ANYWHERE,
    client::{EVENTS, Events, Local, address, ask, get, of, open, value},
    prober,
    support::{ready, soon, starting, whole},
};
use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use hyper::client::conn::http2::handshake;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{
    io::{Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    time::Duration,
};
use tokio::time::Instant;
use tower_readiness::{
    Builder, Readiness, Subsystem,
    server::{AdminListener, AdminServer},
};

#[tokio::test]
async fn streams_and_waiting_requests_take_half_of_the_connections() {
    let (readiness, storage) = starting();
    let listener = AdminListener::new(&readiness).max_connections(8);
    let server = listener.serve(ANYWHERE).await.unwrap();
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(open(&server).await);
    }
    let waits = tokio::spawn({
        let stream = tokio::net::TcpStream::connect(address(&server))
            .await
            .unwrap();
        crate::client::send(stream, get("/readyz?wait=60"))
    });
    // The wait has begun once there is no room for a stream.
    let refused = soon(async {
        loop {
            let response = ask(&server, get(EVENTS)).await;
            if response.status() == 503 {
                break response;
            }
        }
    });
    let refused = refused.await;
    assert_eq!(value(refused.headers(), "retry-after"), "5");
    assert_eq!(
        ask(&server, get("/readyz?wait=60")).await.status(),
        503,
        "at once"
    );
    for _ in 0..8 {
        assert_eq!(ask(&server, get("/livez")).await.status(), 200);
    }
    // HEAD needs no room.
    let head = http::Request::head(EVENTS).header("host", "localhost");
    assert_eq!(ask(&server, head).await.status(), 200);

    storage.ready();
    assert_eq!(waits.await.unwrap().status(), 200);
    for stream in &mut streams {
        assert_eq!(stream.next().await.unwrap().kind, "state");
        assert_eq!(stream.next_update().await.kind, "change");
    }
    drop(streams.pop());
    until_admitted(&server).await;
}

/// Opens a stream. A closed one makes room as soon as the listener notices.
async fn until_admitted(server: &AdminServer) -> Events {
    let admitted = async {
        loop {
            let response = ask(server, get(EVENTS)).await;
            if response.status() == 200 {
                return of(response);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    soon(admitted).await
}

#[tokio::test]
async fn without_waits_streams_still_have_room_and_on_one_connection_there_is_none() {
    let (readiness, _storage) = ready();
    let listener = AdminListener::new(&readiness).without_wait();
    let server = listener.serve(ANYWHERE).await.unwrap();
    open(&server).await;
    let listener = AdminListener::new(&readiness).max_connections(1);
    let server = listener.serve(ANYWHERE).await.unwrap();
    assert_eq!(ask(&server, get(EVENTS)).await.status(), 503);
}

/// A process whose state takes more bytes than the kernel buffers.
fn large() -> (Readiness, Vec<tower_readiness::Reporter>) {
    let names = (0..3_000).map(|index| format!("subsystem-{index}"));
    let names: Vec<_> = names.collect();
    let subsystems = names.iter().map(Subsystem::new);
    let builder = subsystems.fold(Readiness::builder(), Builder::subsystem);
    let readiness = builder.build().unwrap();
    let reporters = names.iter().map(|name| readiness.reporter(name).unwrap());
    let reporters: Vec<_> = reporters.collect();
    for reporter in &reporters {
        reporter.failing("x".repeat(1_000));
    }
    (readiness, reporters)
}

/// The real clock decides when the kernel takes bytes, and the paused one when the
/// client has taken none for too long.
#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_disconnected_and_others_go_on() {
    let (readiness, reporters) = large();
    let listener = AdminListener::new(&readiness).max_connections(4);
    let server = Local::serve(listener).await;
    let mut reads = open(&server).await;
    assert_eq!(reads.next().await.unwrap().kind, "state");
    let mut idle = UnixStream::connect(server.path()).unwrap();
    let head = format!("GET {EVENTS} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    idle.write_all(head.as_bytes()).unwrap();
    let begin = Instant::now();
    // The other takes the second and last permit until it is disconnected.
    let full = || async { ask(&server, get(EVENTS)).await.status() == 503 };
    let is_full = async {
        while !full().await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    soon(is_full).await;
    while full().await {
        assert!(
            begin.elapsed() < Duration::from_secs(20),
            "it still has its permit"
        );
        assert_eq!(reads.next().await.unwrap().kind, "tick");
    }
    assert!(begin.elapsed() >= Duration::from_secs(10));
    reporters[7].ready();
    assert_eq!(reads.next_update().await.subsystems(), ["subsystem-7"]);
    // What the kernel had taken is less than the state.
    let mut taken = Vec::new();
    let _ = idle.read_to_end(&mut taken);
    assert!(!taken.ends_with(b"\n\n\r\n"), "the end did not fit");
}

/// Connects clients that read no answer, until their answers take all bytes that such
/// answers may take.
async fn fill(server: &Local) -> Vec<UnixStream> {
    let (mut crowd, mut refused) = (Vec::new(), 0);
    // The first answer that is cut short may free cached ones.
    while refused < 2 {
        let path = "/statusz?exclude=subsystem-0";
        let request = get(path).header("accept", "application/json");
        let answer = whole(ask(server, request).await).await;
        if answer.body().len() < 100_000 {
            refused += 1;
            continue;
        }
        refused = 0;
        let mut stream = UnixStream::connect(server.path()).unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        crowd.push(stream);
        assert!(crowd.len() < 60, "their answers are too short");
    }
    crowd
}

#[tokio::test(start_paused = true)]
async fn clients_that_do_not_read_their_answers_hold_up_no_stream_that_is_read() {
    let (readiness, reporters) = large();
    let server = Local::serve(AdminListener::new(&readiness)).await;
    let mut reads = open(&server).await;
    assert_eq!(reads.next().await.unwrap().kind, "state");
    let crowd = fill(&server).await;
    // The change names all subsystems that are red.
    for (index, reporter) in reporters.iter().enumerate().take(10) {
        reporter.ready();
        let name = format!("subsystem-{index}");
        assert_eq!(reads.next_update().await.subsystems(), [name]);
        assert_eq!(reads.next().await.unwrap().kind, "tick");
    }

    // A large change waits, and so do the ticks.
    for reporter in &reporters {
        reporter.failing("y".repeat(1_000));
    }
    let late = tokio::time::timeout(Duration::from_secs(25), reads.next());
    assert!(late.await.is_err());
    drop(crowd);
    let change = reads.next().await.unwrap();
    assert_eq!(change.kind, "change");
    assert_eq!(change.subsystems().len(), reporters.len());
    assert_eq!(reads.next().await.unwrap().kind, "tick");
}

#[tokio::test(start_paused = true)]
async fn other_requests_on_its_connection_do_not_prolong_a_stream_that_is_not_read() {
    let (readiness, _reporters) = large();
    let listener = AdminListener::new(&readiness).with_http2();
    let server = Local::serve(listener).await;
    let stream = tokio::net::UnixStream::connect(server.path()).await;
    let stream = TokioIo::new(stream.unwrap());
    let (mut sender, connection) = handshake(TokioExecutor::new(), stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut send = |path: &str| {
        let request = Request::get(format!("http://localhost{path}"));
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        sender.send_request(request)
    };
    let begin = Instant::now();
    let _unread = send(EVENTS).await.unwrap();
    while let Ok(response) = send("/livez").await {
        assert_eq!(response.status(), 200);
        drop(response);
        assert!(begin.elapsed() < Duration::from_secs(20), "it goes on");
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    assert!(begin.elapsed() >= Duration::from_secs(10));
    let _ = soon(connection).await.unwrap();
}

#[test]
fn a_thousand_clients_that_never_read_keep_no_probe_waiting() {
    let (readiness, reporters) = large();
    let server = readiness.serve_on_thread(ANYWHERE).unwrap();
    let head = format!("GET {EVENTS} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let connect = || {
        let mut stream = TcpStream::connect(address(&server)).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        stream
    };
    let _crowd: Vec<_> = (0..1_000).map(|_| connect()).collect();
    for (index, reporter) in reporters.iter().enumerate() {
        match index % 2 {
            0 => reporter.ready(),
            _ => reporter.degraded("slow"),
        }
    }
    prober::probe(address(&server), std::process::id());
}

#[tokio::test]
async fn a_stream_of_a_client_that_has_gone_ends() {
    let (readiness, storage) = ready();
    let listener = AdminListener::new(&readiness).max_connections(2);
    let server = listener.serve(ANYWHERE).await.unwrap();
    for _ in 0..20 {
        let mut events = until_admitted(&server).await;
        events.next().await.unwrap();
        drop(events);
        storage.failing("gone");
        storage.ready();
    }
    until_admitted(&server).await;
    let status = ask(&server, get("/statusz")).await;
    assert_eq!(whole(status).await.status(), 200);
}
