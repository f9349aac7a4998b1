//! What other servers give: the table of the guide to graceful shutdown.

use crate::{
    DELAY, Http1, Http2, Peers, Pipes, Process, app, pipes, request, shutdown,
    support::{ready, soon},
};
use http::header::CONNECTION;
use std::{future::IntoFuture, io};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    task::JoinHandle,
    time::{Duration, Instant, sleep, timeout},
};
use tower_readiness::Readiness;

impl axum::serve::Listener for Pipes {
    type Io = DuplexStream;
    type Addr = usize;

    async fn accept(&mut self) -> (DuplexStream, usize) {
        std::future::poll_fn(|cx| tower_readiness::drain::Listener::poll_accept(self, cx))
            .await
            .unwrap()
    }

    fn local_addr(&self) -> io::Result<usize> {
        Ok(0)
    }
}

/// What clients of one server see of its drain. Times are shares of the delay.
#[derive(Debug)]
struct Drain {
    /// Whether an HTTP/1 answer at the begin of the drain says `connection: close`.
    announces: bool,
    /// When idle connections of both versions end.
    idle: Vec<f64>,
    /// When streams end, over HTTP/1 and HTTP/2, whose handlers wait for `Retiring`.
    streams: [f64; 2],
    /// When connections end that were accepted a tenth of the delay after its begin, by
    /// turns over HTTP/1 and HTTP/2.
    newcomers: Vec<f64>,
}

/// Drains a process.
async fn drain(readiness: &Readiness, peers: &Peers) -> Drain {
    let mut idle = Vec::new();
    for _ in 0..10 {
        idle.extend(connect(peers).await);
    }
    let mut streams = Vec::new();
    let mut client = Http1::over(peers.connect()).await;
    streams.push(tokio::spawn(async move {
        (client.get("/until_retired").await, Instant::now())
    }));
    let mut client = Http2::over(peers.connect()).await;
    streams.push(tokio::spawn(async move {
        (client.get("/until_retired").await, Instant::now())
    }));
    let mut busy = Http1::over(peers.connect()).await;
    busy.get("/").await;

    sleep(DELAY).await;
    let begin = Instant::now();
    let share = |at: Instant| (at - begin).as_secs_f64() / DELAY.as_secs_f64();
    readiness.drain();
    let response = busy.sender.send_request(request("/")).await.unwrap();
    let announced = response.headers().get(CONNECTION);
    let announces = announced.is_some_and(|value| value == "close");
    sleep(DELAY / 10).await;
    let mut newcomers = Vec::new();
    for _ in 0..10 {
        newcomers.extend(connect(peers).await);
    }
    let mut ended = Vec::new();
    for stream in streams {
        let (answer, at) = stream.await.unwrap();
        assert_eq!(answer, "goodbye");
        ended.push(share(at));
    }
    Drain {
        announces,
        idle: ends(idle).await.into_iter().map(share).collect(),
        streams: ended.try_into().unwrap(),
        newcomers: ends(newcomers).await.into_iter().map(share).collect(),
    }
}

/// Connections of both versions that have had a request. Each returns its end.
async fn connect(peers: &Peers) -> [JoinHandle<Instant>; 2] {
    let mut client = Http1::over(peers.connect()).await;
    client.get("/").await;
    let Http1 { sender, connection } = client;
    let http1 = tokio::spawn(async move {
        let _sender = sender;
        connection.await.unwrap().unwrap();
        Instant::now()
    });
    let mut client = Http2::over(peers.connect()).await;
    client.get("/").await;
    let Http2 { sender, connection } = client;
    let http2 = tokio::spawn(async move {
        let _sender = sender;
        connection.await.unwrap().unwrap();
        Instant::now()
    });
    [http1, http2]
}

async fn ends(connections: Vec<JoinHandle<Instant>>) -> Vec<Instant> {
    let mut ends = Vec::new();
    for connection in connections {
        ends.push(connection.await.unwrap());
    }
    ends
}

/// How a server treats a connection, without a drain.
#[derive(Debug, PartialEq)]
struct Bounds {
    /// Whether a connection without a request is closed within an hour.
    without_request: bool,
    /// Whether the server still reads when it has sent the last answer.
    reads_on: bool,
}

async fn bounds(peers: &Peers) -> Bounds {
    let mut silent = peers.connect();
    let hour = Duration::from_secs(3_600);
    let closed = timeout(hour, silent.read(&mut [0])).await;

    let mut last = peers.connect();
    let close = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    last.write_all(close).await.unwrap();
    let mut answer = String::new();
    soon(last.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.ends_with("served"), "{answer}");
    Bounds {
        without_request: closed.is_ok(),
        reads_on: last.write_all(b"late").await.is_ok(),
    }
}

/// The rows of the table that are alike for axum and tonic.
fn assert_all_at_once(drain: &Drain) {
    assert!(drain.announces);
    let at_the_end = |share: &f64| (1.0..1.01).contains(share);
    assert!(drain.idle.iter().all(at_the_end), "{drain:?}");
    // HTTP/1 connections with their first answer.
    let mut http1 = drain.newcomers.iter().step_by(2);
    assert!(http1.all(|share| (0.1..0.11).contains(share)), "{drain:?}");
    let mut http2 = drain.newcomers.iter().skip(1).step_by(2);
    assert!(http2.all(at_the_end), "{drain:?}");
    let at_the_begin = |share: &f64| (0.0..0.01).contains(share);
    assert!(drain.streams.iter().all(at_the_begin), "{drain:?}");
}

const UNBOUNDED: Bounds = Bounds {
    without_request: false,
    reads_on: false,
};

#[tokio::test(start_paused = true)]
async fn axum_announces_the_end_at_the_beginning_and_ends_all_connections_at_once() {
    let (readiness, _storage) = ready();
    let (peers, listener) = pipes();
    let server =
        axum::serve(listener, app(&readiness)).with_graceful_shutdown(shutdown(&readiness));
    let server = tokio::spawn(server.into_future());
    assert_eq!(bounds(&peers).await, UNBOUNDED);
    assert_all_at_once(&drain(&readiness, &peers).await);
    server.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn tonic_announces_the_end_at_the_beginning_and_ends_all_connections_at_once() {
    let (readiness, _storage) = ready();
    let (peers, Pipes(incoming, _)) = pipes();
    let incoming = tokio_stream::wrappers::UnboundedReceiverStream::new(incoming);
    let server = tonic::transport::Server::builder()
        .accept_http1(true)
        .add_routes(tonic::service::Routes::from(app(&readiness)))
        .serve_with_incoming_shutdown(incoming, shutdown(&readiness));
    let server = tokio::spawn(server);
    assert_eq!(bounds(&peers).await, UNBOUNDED);
    assert_all_at_once(&drain(&readiness, &peers).await);
    server.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_same_connections_leave_one_after_the_other_here() {
    let process = Process::start();
    let bounded = Bounds {
        without_request: true,
        reads_on: true,
    };
    assert_eq!(bounds(&process.peers).await, bounded);
    let drain = drain(&process.readiness, &process.peers).await;
    assert!(!drain.announces);
    assert!(drain.idle.iter().all(|share| *share < 0.91), "{drain:?}");
    let in_window = |share: &f64| (0.3..0.91).contains(share);
    assert!(drain.streams.iter().all(in_window), "{drain:?}");
    // A fifth of the delay after their accept, or more.
    assert!(drain.newcomers.iter().all(in_window), "{drain:?}");
    process.ended().await.unwrap();
}
