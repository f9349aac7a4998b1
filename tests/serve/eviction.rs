//! Connections that end because the process has no file descriptor for another.

use super::*;
use http::Method;
use http_body_util::Full;
use hyper::body::Incoming;
use std::convert::Infallible;
use tower::service_fn;

const TEN_SECONDS: Duration = Duration::from_secs(10);

/// A server whose handler of `/slow` takes ten seconds, and a connection may be evicted.
fn slow() -> (Readiness, Reporter, Peers) {
    let (readiness, storage) = ready();
    let (peers, listener) = pipes();
    let slow = async || {
        sleep(TEN_SECONDS).await;
        "slow"
    };
    let app = Router::new()
        .route("/", get(async || "served"))
        .route("/slow", get(slow));
    let server = drain::serve(&readiness, listener, app.into_make_service());
    let _run = run(&readiness, server);
    (readiness, storage, peers)
}

#[tokio::test(start_paused = true)]
async fn an_evicted_peer_has_five_seconds_to_read_the_rest_of_its_answer() {
    let (readiness, _storage) = ready();
    let (peers, listener) = pipes();
    let app = Router::new().route("/", get(async || vec![b'x'; LARGE]));
    let server = drain::serve(&readiness, listener, app.into_make_service());
    let _run = run(&readiness, server);
    let mut clients: Vec<_> = (0..2).map(|_| peers.connect()).collect();
    for client in &mut clients {
        let request = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
        client.write_all(request).await.unwrap();
    }
    // The server evicts one of so few at a time, and not within a second of its answer.
    sleep(Duration::from_secs(2)).await;
    for _ in 0..2 {
        peers.lack_descriptors();
    }
    sleep(Duration::from_secs(4)).await;
    let received = async |client: &mut DuplexStream| {
        let mut bytes = Vec::new();
        let end = timeout(Duration::from_secs(600), client.read_to_end(&mut bytes)).await;
        end.expect("the connection ends").unwrap();
        bytes.iter().filter(|byte| **byte == b'x').count()
    };
    let [in_time, late] = &mut clients[..] else {
        unreachable!()
    };
    assert!(received(in_time).await >= LARGE);
    sleep(Duration::from_secs(2)).await;
    assert!(received(late).await < LARGE);
}

/// How much of an answer an evicted peer receives that reads so many bytes each second.
async fn received_at(rate: usize) -> usize {
    let (readiness, _storage) = ready();
    let (peers, listener) = pipes();
    let app = Router::new().route("/", get(async || vec![b'x'; LARGE]));
    let server = drain::serve(&readiness, listener, app.into_make_service());
    let _run = run(&readiness, server);
    let mut client = peers.connect();
    let request = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
    client.write_all(request).await.unwrap();
    sleep(Duration::from_secs(2)).await;
    peers.lack_descriptors();
    let (mut received, mut bytes) = (0, vec![0; rate]);
    loop {
        sleep(Duration::from_secs(1)).await;
        let read = client.read(&mut bytes).await.unwrap();
        if read == 0 {
            return received;
        }
        received += bytes[..read].iter().filter(|byte| **byte == b'x').count();
    }
}

#[tokio::test(start_paused = true)]
async fn an_evicted_peer_that_reads_slowly_receives_its_whole_answer() {
    assert_eq!(received_at(10 << 10).await, LARGE);
}

/// Otherwise a peer could keep its connection for as long as it wants.
#[tokio::test(start_paused = true)]
async fn an_evicted_peer_has_thirty_seconds_in_all() {
    let received = received_at(1 << 10).await;
    // The head of the answer is a part of this.
    let seconds = (received - PIPE).div_ceil(1 << 10);
    assert_eq!(seconds, 30);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_arrives_together_with_the_eviction_is_answered() {
    let (_readiness, _storage, peers) = slow();
    let mut client = Http1::over(peers.connect()).await;
    client.get("/").await;
    sleep(Duration::from_secs(2)).await;
    peers.lack_descriptors();
    assert_eq!(client.get("/slow").await, "slow");
    soon(client.connection).await.unwrap().unwrap();
}

/// Otherwise the kernel would answer bytes of the client with RST, which destroys the part of
/// the answer that the client has not read yet.
#[tokio::test(start_paused = true)]
async fn the_server_reads_on_after_the_answer_to_a_request_that_met_the_eviction() {
    for (path, answer, close) in [
        ("/slow", "slow", ""),
        ("/", "served", ""),
        ("/", "served", "connection: close\r\n"),
    ] {
        let (_readiness, _storage, peers) = slow();
        let send = async |stream: &mut DuplexStream, path, close| {
            let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{close}\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            sleep(Duration::from_millis(1)).await;
        };
        let [mut client, mut idle] = [(); 2].map(|()| peers.connect());
        send(&mut client, "/", "").await;
        send(&mut idle, "/", "").await;
        sleep(Duration::from_secs(2)).await;
        // The server evicts one of so few at a time, the longest idle first.
        for _ in 0..2 {
            peers.lack_descriptors();
        }
        send(&mut client, path, close).await;
        let mut answers = String::new();
        soon(client.read_to_string(&mut answers)).await.unwrap();
        assert_eq!(answers.matches("HTTP/1.1 200").count(), 2, "{answers}");
        assert!(answers.ends_with(answer), "{answers}");
        assert!(client.write_all(b"late").await.is_ok());
        soon(idle.read_to_string(&mut String::new())).await.unwrap();
        assert!(
            idle.write_all(b"late").await.is_err(),
            "its descriptor is free"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_lingers_gives_its_descriptor_away_after_a_second() {
    let (_readiness, _storage, peers) = slow();
    let mut client = peers.connect();
    let request = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    client.write_all(request).await.unwrap();
    soon(client.read_to_string(&mut String::new()))
        .await
        .unwrap();
    for is_open in [true, false] {
        peers.lack_descriptors();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(client.write_all(b"late").await.is_ok(), is_open);
    }
}

/// A connection whose bytes take 50 ms in either direction.
fn far(near: DuplexStream) -> DuplexStream {
    let (here, there) = duplex(PIPE);
    let (near_read, near_write) = tokio::io::split(near);
    let (there_read, there_write) = tokio::io::split(there);
    for (mut read, mut write) in [(near_read, there_write), (there_read, near_write)] {
        tokio::spawn(async move {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = read.read(&mut bytes).await {
                sleep(Duration::from_millis(50)).await;
                write.write_all(&bytes[..length]).await.unwrap();
            }
            write.shutdown().await
        });
    }
    here
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_crosses_the_goaway_of_the_eviction_is_answered() {
    let (_readiness, _storage, peers) = slow();
    let mut client = Http2::over(far(peers.connect())).await;
    client.get("/").await;
    sleep(Duration::from_secs(2)).await;
    peers.lack_descriptors();
    sleep(Duration::from_millis(20)).await;
    assert_eq!(client.get("/slow").await, "slow");
    soon(client.connection).await.unwrap().unwrap();
}

/// The server cannot end a stream that its handler has taken.
#[tokio::test(start_paused = true)]
async fn connections_that_were_upgraded_are_not_taken_for_idle() {
    let process = Process::start();
    let mut upgraded: Vec<_> = (0..8).map(|_| process.peers.connect()).collect();
    for stream in &mut upgraded {
        let upgrade =
            b"GET /upgrade HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: chat\r\n\r\n";
        stream.write_all(upgrade).await.unwrap();
    }
    sleep(Duration::from_secs(1)).await;
    let mut idle = Http1::over(process.peers.connect()).await;
    idle.get("/").await;
    sleep(Duration::from_secs(2)).await;
    process.peers.lack_descriptors();
    sleep(Duration::from_secs(1)).await;
    assert!(idle.connection.is_finished());
}

/// hyper drops the response of a tunnel at once.
#[tokio::test(start_paused = true)]
async fn a_connection_with_a_tunnel_is_not_evicted_and_one_whose_tunnel_was_refused_is() {
    let (readiness, _storage) = ready();
    let (peers, listener) = pipes();
    let echo = service_fn(async |request: Request<Incoming>| {
        assert_eq!(request.method(), Method::CONNECT);
        let is_refused = request.uri().port_u16() == Some(25);
        tokio::spawn(async move {
            let mut tunnel = TokioIo::new(hyper::upgrade::on(request).await.unwrap());
            let mut byte = [0];
            while tunnel.read_exact(&mut byte).await.is_ok() {
                tunnel.write_all(&byte).await.unwrap();
            }
        });
        let mut response = Response::new(Full::<Bytes>::default());
        if is_refused {
            *response.status_mut() = StatusCode::FORBIDDEN;
        }
        Ok::<_, Infallible>(response)
    });
    let make = service_fn(move |_: usize| std::future::ready(Ok::<_, Infallible>(echo)));
    let _server = tokio::spawn(drain::serve(&readiness, listener, make).into_future());
    let connect = async |port: u16| {
        let mut client = Http2::over(peers.connect()).await;
        let request = Request::connect(format!("db:{port}")).body(Empty::new());
        let response = client.sender.send_request(request.unwrap()).await.unwrap();
        (client, response)
    };
    let (client, response) = connect(5432).await;
    let mut tunnel = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    let (refused, _) = connect(25).await;
    // An evicted connection that goes on sending ends after half a minute.
    for _ in 0..40 {
        sleep(Duration::from_secs(1)).await;
        peers.lack_descriptors();
        tunnel.write_all(b"x").await.unwrap();
        assert_eq!(tunnel.read_u8().await.unwrap(), b'x');
    }
    assert!(!client.connection.is_finished());
    assert!(refused.connection.is_finished());
}
