use super::*;
use crate::{
    address::Address,
    probe::Detail,
    registry::{Readiness, Subsystem},
    server::{connection_slot::Activity, handle::AdminServer},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    task::yield_now,
    time::{Instant, advance},
};

fn connection() -> (Stream, UnixStream) {
    let (stream, peer) = UnixStream::pair().unwrap();
    (Stream::Unix(stream), peer)
}

/// The probes of a process that is not ready.
fn red() -> ServedProbes {
    let storage = Subsystem::new("storage");
    served(&Readiness::builder().subsystem(storage).build().unwrap())
}

fn served(readiness: &Readiness) -> ServedProbes {
    ServedProbes {
        probes: Probes::builder(readiness)
            .detail(Detail::Names)
            .build()
            .unwrap(),
        for_foreign_hosts: None,
        #[cfg(feature = "events")]
        events: None,
        #[cfg(feature = "metrics")]
        metrics: None,
        #[cfg(feature = "commands")]
        commands: None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_stops_lingering_when_it_is_evicted_or_the_listener_stops() {
    let (mut stream, _peer) = connection();
    let (server, mut stop_signal) = AdminServer::new(Address::default());
    let slot = ConnectionSlot::new();
    slot.evict();
    let begin = Instant::now();
    linger(&mut stream, &slot, &mut stop_signal).await;
    assert_eq!(begin.elapsed(), Duration::ZERO);

    advance(Duration::from_secs(1)).await;
    server.stop();
    let begin = Instant::now();
    linger(&mut stream, &slot, &mut stop_signal).await;
    assert_eq!(begin.elapsed(), CLOSE_GRACE);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_closes_gracefully_is_evicted_at_once() {
    let (stream, mut peer) = connection();
    let request = b"GET /readyz?wait=60 HTTP/1.1\r\nhost: localhost\r\n\r\n";
    peer.write_all(request).await.unwrap();
    let (server, stop_signal) = AdminServer::new(Address::default());
    let slot = ConnectionSlot::new();
    let serving = serve(
        stream,
        Arc::clone(&slot),
        red(),
        Limits::default(),
        stop_signal,
    );
    let serving = tokio::spawn(serving);
    while slot.rank().0 != Activity::Waiting {
        yield_now().await;
    }
    server.stop();
    for _ in 0..16 {
        yield_now().await;
    }
    assert!(!serving.is_finished(), "the answer still has time");
    let begin = Instant::now();
    slot.evict();
    assert!(serving.await.unwrap().is_some());
    assert_eq!(begin.elapsed(), Duration::ZERO);
}

/// Whether the peer of an evicted connection gets its whole answer, which names 4,000 subsystems.
async fn gets_whole_answer(ends: bool) -> bool {
    let names = (0..4_000).map(|n| format!("{n:x>120}"));
    let subsystems = names.map(Subsystem::new);
    let readiness = subsystems.fold(Readiness::builder(), crate::Builder::subsystem);
    let served = served(&readiness.build().unwrap());
    let (stream, mut peer) = connection();
    let (_server, stop_signal) = AdminServer::new(Address::default());
    let slot = ConnectionSlot::new();
    let serving = serve(
        stream,
        Arc::clone(&slot),
        served,
        Limits::default(),
        stop_signal,
    );
    tokio::spawn(async { drop(serving.await) });
    peer.write_all(b"GET /statusz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    // The test never waits, so the clock stands still.
    while peer.try_read_buf(&mut answer).is_err() {
        yield_now().await;
    }
    slot.evict();
    if ends {
        slot.end();
    }
    while peer.try_read_buf(&mut answer).unwrap_or(1) > 0 {
        yield_now().await;
    }
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    head.contains(&format!("content-length: {}\r\n", body.len()))
}

#[tokio::test(start_paused = true)]
async fn an_evicted_peer_may_read_its_answer_until_the_connection_has_to_end() {
    assert!(gets_whole_answer(false).await);
    assert!(!gets_whole_answer(true).await);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_ends_with_an_answer_in_its_eviction_reads_on() {
    let (stream, mut peer) = connection();
    let (_server, stop_signal) = AdminServer::new(Address::default());
    let slot = ConnectionSlot::new();
    let serving = serve(
        stream,
        Arc::clone(&slot),
        red(),
        Limits::default(),
        stop_signal,
    );
    let request = b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    peer.write_all(request).await.unwrap();
    // The runtime notices only after some turns that the stream can be read.
    for _ in 0..200 {
        yield_now().await;
    }
    slot.evict();
    let serving = tokio::spawn(async { drop(serving.await) });
    let mut answer = Vec::with_capacity(1 << 10);
    // The test never waits, so the clock stands still.
    while peer.try_read_buf(&mut answer).is_err() {
        yield_now().await;
    }
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    for _ in 0..16 {
        yield_now().await;
    }
    assert!(!serving.is_finished(), "the peer may still send");
    slot.end();
    serving.await.unwrap();
}

// === HTTP/2 (RFC 9113) ===

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ENHANCE_YOUR_CALM: u8 = 11;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

/// A request for `path`, in HPACK (RFC 7541): GET, http, and two literals.
fn head(flags: u8, stream: u32, path: &str, more: &[u8]) -> Vec<u8> {
    let length = u8::try_from(path.len()).unwrap();
    let block = [
        &b"\x82\x86\x04"[..],
        &[length],
        path.as_bytes(),
        b"\x41\x09localhost",
        more,
    ]
    .concat();
    frame(HEADERS, flags | END_HEADERS, stream, &block)
}

/// The frames that a peer gets until the listener ends the connection, or acknowledges a PING.
/// The listener reads each piece of what the peer sends before the next one.
async fn answers_to(pieces: impl IntoIterator<Item = Vec<u8>>) -> Vec<(u8, Vec<u8>)> {
    let (stream, mut peer) = connection();
    let (_server, stop_signal) = AdminServer::new(Address::default());
    let limits = Limits {
        http2: true,
        ..Limits::default()
    };
    tokio::spawn(serve(
        stream,
        ConnectionSlot::new(),
        red(),
        limits,
        stop_signal,
    ));
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let settings = frame(SETTINGS, 0, 0, &[]);
    peer.write_all(&[&preface[..], &settings].concat())
        .await
        .unwrap();
    for piece in pieces {
        peer.write_all(&piece).await.unwrap();
        for _ in 0..16 {
            yield_now().await;
        }
    }
    let mut answers = Vec::new();
    let mut head = [0; 9];
    while peer.read_exact(&mut head).await.is_ok() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        peer.read_exact(&mut payload).await.unwrap();
        answers.push((head[3], payload));
        if (head[3], head[4]) == (PING, 1) {
            break;
        }
    }
    answers
}

/// Whether the peer is told that it causes too much work.
fn is_told_to_calm_down(answers: &[(u8, Vec<u8>)]) -> bool {
    let mut goaways = answers.iter().filter(|(kind, _)| *kind == GOAWAY);
    goaways.any(|(_, payload)| payload[7] == ENHANCE_YOUR_CALM)
}

fn streams(count: usize) -> impl Iterator<Item = u32> {
    (1..).step_by(2).take(count)
}

#[tokio::test(start_paused = true)]
async fn an_http2_peer_may_reset_20_requests_that_the_listener_has_not_seen() {
    for (count, too_many) in [(20, false), (22, true)] {
        let reset = |stream| {
            let reset = frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
            [head(END_STREAM, stream, "/livez", &[]), reset].concat()
        };
        let at_once = streams(count).flat_map(reset).collect();
        let answers = answers_to([at_once, frame(PING, 0, 0, &[0; 8])]).await;
        assert_eq!(is_told_to_calm_down(&answers), too_many, "{count}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_http2_peer_may_send_100_requests_that_break_the_protocol() {
    for (count, too_many) in [(100, false), (102, true)] {
        // `content-length: 1`, and two bytes.
        let broken = |stream| {
            let head = head(0, stream, "/livez", b"\x0f\x0d\x011");
            [head, frame(DATA, END_STREAM, stream, b"12")].concat()
        };
        let pieces = streams(count).map(broken);
        let answers = answers_to(pieces.chain([frame(PING, 0, 0, &[0; 8])])).await;
        assert_eq!(is_told_to_calm_down(&answers), too_many, "{count}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_http2_peer_that_waits_and_acknowledges_no_ping_is_ended() {
    let begin = Instant::now();
    let waiting = head(END_STREAM, 1, "/readyz?wait=60", &[]);
    let answers = answers_to([waiting]).await;
    assert!(answers.iter().any(|(kind, _)| *kind == PING));
    assert_eq!(begin.elapsed(), Duration::from_secs(20 + 20));
}
