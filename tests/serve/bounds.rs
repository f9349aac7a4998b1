//! The bounds of what peers may take, and what becomes of peers that take more.

use super::*;
use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

const DATA: u8 = 0;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
/// Settings of HTTP/2 (RFC 9113, section 6.5.2).
const MAX_CONCURRENT_STREAMS: u16 = 3;
const MAX_HEADER_LIST_SIZE: u16 = 6;
/// The error of GOAWAY for a peer that causes needless work (RFC 9113, section 7).
const ENHANCE_YOUR_CALM: u8 = 11;

#[tokio::test(start_paused = true)]
async fn a_handshake_that_hangs_is_cut_off_and_delays_no_other() {
    let (readiness, _storage) = ready();
    let (peers, listener) = pipes();
    let server = drain::serve(&readiness, listener, app(&readiness).into_make_service())
        .handshake_timeout(Duration::from_secs(3))
        .handshake(async |(mut stream, peer): (DuplexStream, usize)| {
            stream.read_u8().await?;
            Ok((stream, peer))
        })
        .with_graceful_shutdown(shutdown(&readiness));
    let run = run(&readiness, server);
    let begin = Instant::now();
    let mut hangs = peers.connect();
    let mut greets = peers.connect();
    greets.write_u8(0).await.unwrap();
    assert_eq!(Http1::over(greets).await.get("/").await, "served");
    assert_eq!(begin.elapsed(), Duration::ZERO);
    assert_eq!(hangs.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(begin.elapsed(), Duration::from_secs(3));
    // One that hangs when the server stops is dropped then.
    readiness.drain();
    sleep(DELAY - Duration::from_secs(1)).await;
    let mut hangs = peers.connect();
    run.await.unwrap().unwrap().unwrap();
    assert_eq!(begin.elapsed().as_secs(), 3 + DELAY.as_secs());
    assert_eq!(hangs.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_handshake_has_ten_seconds_unless_set() {
    let (readiness, _storage) = ready();
    let (peers, listener) = pipes();
    let server = drain::serve(&readiness, listener, app(&readiness).into_make_service())
        .handshake(async |_| std::future::pending::<io::Result<(DuplexStream, usize)>>().await)
        .with_graceful_shutdown(shutdown(&readiness));
    let _run = run(&readiness, server);
    let begin = Instant::now();
    let mut hangs = peers.connect();
    assert_eq!(hangs.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(begin.elapsed(), Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_panics_ends_its_own_connection_alone() {
    let (readiness, _storage) = ready();
    let (peers, listener) = pipes();
    let server = drain::serve(&readiness, listener, app(&readiness).into_make_service())
        // Not in the future that it returns.
        .handshake(|(stream, peer): (DuplexStream, usize)| {
            assert_ne!(peer, 1, "as it was asked to");
            std::future::ready(Ok((stream, peer)))
        });
    let _run = run(&readiness, server);
    let mut panics = peers.connect();
    assert_eq!(panics.read(&mut [0]).await.unwrap(), 0);
    let mut other = Http1::over(peers.connect()).await;
    assert_eq!(other.get("/").await, "served");
}

/// A `make_service` that takes `time`.
fn make_after(
    readiness: &Readiness,
    time: Duration,
) -> impl tower::Service<usize, Response = Router, Error = Infallible, Future: Send> + Clone + Send + use<>
{
    let app = app(readiness);
    tower::service_fn(move |_| {
        let app = app.clone();
        async move {
            sleep(time).await;
            Ok(app)
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_make_service_that_hangs_has_the_time_of_a_handshake() {
    let (readiness, _storage) = ready();
    let (peers, listener) = pipes();
    let make = make_after(&readiness, Duration::from_secs(3_600));
    let server = drain::serve(&readiness, listener, make).handshake(async |accepted| {
        sleep(Duration::from_secs(4)).await;
        Ok(accepted)
    });
    let server = tokio::spawn(server.into_future());
    let begin = Instant::now();
    let mut hangs = peers.connect();
    let end = timeout(Duration::from_secs(60), hangs.read(&mut [0])).await;
    assert_eq!(end.expect("the connection ends").unwrap(), 0);
    assert_eq!(begin.elapsed(), Duration::from_secs(10));
    // It also ends for lack of descriptors. When the server stops, it has the rest of its time.
    let mut hangs = peers.connect();
    sleep(Duration::from_secs(6)).await;
    peers.lack_descriptors();
    assert_eq!(soon(hangs.read(&mut [0])).await.unwrap(), 0);
    let _hangs = peers.connect();
    sleep(Duration::from_secs(6)).await;
    readiness.advance(Phase::Closing);
    soon(server).await.unwrap().unwrap();
}

/// The request may have arrived before the service is made.
#[tokio::test(start_paused = true)]
async fn a_request_is_answered_although_the_server_stops_while_make_service_runs() {
    let (readiness, _storage) = ready();
    let (peers, listener) = pipes();
    let make = make_after(&readiness, Duration::from_secs(1));
    let server = drain::serve(&readiness, listener, make);
    let server = tokio::spawn(server.into_future());
    let mut client = peers.connect();
    let request = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
    client.write_all(request).await.unwrap();
    sleep(Duration::from_millis(500)).await;
    readiness.advance(Phase::Closing);
    let mut answer = String::new();
    soon(client.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.ends_with("served"), "{answer}");
    drop(client);
    soon(server).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_request_is_closed_and_a_kept_one_is_not() {
    let process = Process::start();
    let begin = Instant::now();
    let mut kept = Http1::over(process.peers.connect()).await;
    kept.get("/").await;
    let mut half = process.peers.connect();
    half.write_all(b"GET / HTTP/1.1\r\nhost: loc")
        .await
        .unwrap();
    let mut silent = process.peers.connect();
    for stream in [&mut half, &mut silent] {
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
        assert_eq!(begin.elapsed(), Duration::from_secs(30));
    }
    sleep(Duration::from_secs(600)).await;
    assert_eq!(kept.get("/").await, "served");
}

#[tokio::test(start_paused = true)]
async fn further_connections_wait_until_one_ends() {
    let process = Process::with(2);
    let mut first = Http1::over(process.peers.connect()).await;
    let mut second = Http1::over(process.peers.connect()).await;
    first.get("/").await;
    second.get("/").await;
    let mut third = Http1::over(process.peers.connect()).await;
    let mut answer = Box::pin(third.get("/"));
    assert!(timeout(DELAY, &mut answer).await.is_err());
    assert_eq!(process.connections.open(), 2);
    drop(first);
    assert_eq!(timeout(DELAY, answer).await.unwrap(), "served");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_cannot_accept_tries_again_and_ends_in_time() {
    let process = Process::start();
    let begin = Instant::now();
    process.readiness.drain();
    for _ in 0..5 {
        process.peers.lack_descriptors();
    }
    let mut client = Http1::over(process.peers.connect()).await;
    assert_eq!(client.get("/").await, "served");
    assert_eq!(begin.elapsed(), Duration::from_millis(500));
    drop(client);
    for _ in 0..1_000 {
        process.peers.lack_descriptors();
    }
    process.ended().await.unwrap();
    assert_eq!(begin.elapsed().as_secs(), DELAY.as_secs());
}

#[test]
#[should_panic(expected = "timers are disabled")]
fn on_a_runtime_without_timers_it_panics_before_it_accepts() {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let (readiness, _storage) = ready();
    let (_no_peers, listener) = pipes();
    let server = drain::serve(&readiness, listener, app(&readiness).into_make_service());
    let serving = server.into_future();
    let _entered = runtime.as_ref().unwrap().enter();
    let _ = serving.now_or_never();
}

#[tokio::test(start_paused = true)]
async fn settings_that_are_not_valid_are_errors_that_name_them() {
    let (readiness, _storage) = ready();
    let serve = || {
        let (_, listener) = pipes();
        drain::serve(&readiness, listener, app(&readiness).into_make_service())
    };
    let day = Duration::from_secs(86_400);
    let error = soon(serve().max_connections(0).into_future())
        .await
        .unwrap_err();
    assert_eq!(
        error,
        SettingError::Zero {
            what: "maximum of connections"
        }
    );
    for timeout in [Duration::ZERO, day + Duration::from_secs(1)] {
        let error = soon(serve().header_timeout(timeout).into_future())
            .await
            .unwrap_err();
        assert!(error.to_string().contains("header timeout"), "{error}");
        let error = soon(serve().handshake_timeout(timeout).into_future())
            .await
            .unwrap_err();
        assert!(error.to_string().contains("handshake timeout"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn http_2_announces_its_bounds() {
    let process = Process::start();
    let mut stream = process.peers.connect();
    stream.write_all(&preface()).await.unwrap();
    let (kind, payload) = next_frame(&mut stream).await.unwrap();
    assert_eq!(kind, SETTINGS);
    let settings: BTreeMap<_, _> = payload
        .chunks(6)
        .map(|setting| {
            let (id, value) = setting.split_at(2);
            let id = u16::from_be_bytes(id.try_into().unwrap());
            (id, u32::from_be_bytes(value.try_into().unwrap()))
        })
        .collect();
    assert_eq!(settings.get(&MAX_CONCURRENT_STREAMS), Some(&200));
    assert_eq!(settings.get(&MAX_HEADER_LIST_SIZE), Some(&(16 << 10)));
}

#[tokio::test(start_paused = true)]
async fn an_http_2_peer_that_acknowledges_no_ping_is_ended() {
    let process = Process::start();
    let mut silent = process.peers.connect();
    let mut answers = process.peers.connect();
    let begin = Instant::now();
    for stream in [&mut silent, &mut answers] {
        stream.write_all(&preface()).await.unwrap();
        stream.write_all(&headers(1, "/")).await.unwrap();
    }
    let answers = tokio::spawn(async move {
        while next_frame(&mut answers).await.is_some() {}
        begin.elapsed()
    });
    let (mut read, _write) = tokio::io::split(silent);
    let mut bytes = Vec::new();
    let end = timeout(Duration::from_secs(600), read.read_to_end(&mut bytes)).await;
    end.expect("the connection ends").unwrap();
    assert_eq!(begin.elapsed(), Duration::from_secs(60 + 20));
    sleep(Duration::from_secs(3_600)).await;
    assert!(!answers.is_finished());
    assert_eq!(process.connections.open(), 1);
}

/// The error of the GOAWAY that a peer receives for these pieces, if it receives one within a
/// second. The server reads each piece before the next one.
async fn goaway_after(pieces: impl IntoIterator<Item = Vec<u8>>) -> Option<u8> {
    let process = Process::start();
    let mut stream = process.peers.connect();
    stream.write_all(&preface()).await.unwrap();
    for piece in pieces {
        stream.write_all(&piece).await.unwrap();
        sleep(Duration::from_millis(1)).await;
    }
    timeout(Duration::from_secs(1), async {
        loop {
            let (kind, payload) = next_frame(&mut stream).await?;
            if kind == GOAWAY {
                return Some(payload[7]);
            }
        }
    })
    .await
    .unwrap_or(None)
}

fn streams(count: usize) -> impl Iterator<Item = u32> {
    (1..).step_by(2).take(count)
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_resets_more_streams_than_the_server_has_seen_is_told_to_calm_down() {
    for (count, goaway) in [(20, None), (22, Some(ENHANCE_YOUR_CALM))] {
        let reset = |id| {
            let reset = frame(RST_STREAM, 0, id, &8_u32.to_be_bytes());
            [headers(id, "/"), reset].concat()
        };
        let at_once = streams(count).flat_map(reset).collect();
        assert_eq!(goaway_after([at_once]).await, goaway, "{count}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_whose_requests_break_the_protocol_too_often_is_told_to_calm_down() {
    for (count, goaway) in [(1_024, None), (1_026, Some(ENHANCE_YOUR_CALM))] {
        // `content-length: 1`, and two bytes.
        let head = b"\x82\x86\x04\x01/\x41\x09localhost\x0f\x0d\x011";
        let broken = |id| [frame(1, 4, id, head), frame(DATA, 1, id, b"12")].concat();
        assert_eq!(
            goaway_after(streams(count).map(broken)).await,
            goaway,
            "{count}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_whose_peer_does_not_read_takes_400_kib_of_its_body() {
    const PIECE: usize = 1 << 10;
    static TAKEN: AtomicUsize = AtomicUsize::new(0);
    let pieces = stream::repeat_with(|| {
        TAKEN.fetch_add(PIECE, Relaxed);
        Ok::<_, io::Error>(Bytes::from_static(&[b'x'; PIECE]))
    });
    let (readiness, _storage) = ready();
    let (peers, listener) = pipes();
    let app = Router::new().route("/", get(async || Body::from_stream(pieces)));
    let server = drain::serve(&readiness, listener, app.into_make_service());
    let _run = run(&readiness, server);
    let mut peer = peers.connect();
    peer.write_all(&preface()).await.unwrap();
    peer.write_all(&headers(1, "/")).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let unsent = TAKEN.load(Relaxed) - PIPE;
    assert!((384 << 10..=416 << 10).contains(&unsent), "{unsent}");
}
