//! What open connections cost: the memory of one, and an event for many.

use crate::{
    operation::{Operation, paused_runtime},
    reports::{alternating, registry},
};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{
    convert::Infallible,
    future::{Future, ready},
    hint::black_box,
    pin::Pin,
    task::{Context, Waker},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    net::TcpStream,
    time::advance,
};
use tower_readiness::server::AdminListener;

const REQUEST: &[u8] = b"GET /statusz/events HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// The last part of an event that is no tick, as HTTP/1.1 sends it.
const END: &[u8] = b"\r\n1\r\n\n\r\n";

/// A change in a process with 16 subsystems, of which so many clients read the event.
pub(crate) fn event_to_streams(clients: usize) -> Operation {
    let runtime = paused_runtime();
    let (readiness, mut reporters) = registry(16, true);
    let mut report = alternating(reporters.swap_remove(8));
    let listener = AdminListener::new(&readiness).max_connections(2 * clients);
    let mut streams = runtime.block_on(async {
        let server = listener.serve("127.0.0.1:0").await.expect("a free port");
        let address = server.local_addr().socket_addr().expect("a TCP address");
        let mut streams = Vec::new();
        for _ in 0..clients {
            let mut stream = TcpStream::connect(address).await.expect("a listener");
            stream.write_all(REQUEST).await.expect("a peer that reads");
            let mut stream = [(stream, Vec::new())];
            read_events(&mut stream).await;
            streams.extend(stream);
        }
        streams
    });
    Box::new(move || {
        black_box(&reporters);
        report();
        runtime.block_on(async {
            // The shortest time between two events has passed.
            advance(Duration::from_secs(1)).await;
            read_events(&mut streams).await;
        });
    })
}

/// Reads one event of each stream.
async fn read_events(streams: &mut [(TcpStream, Vec<u8>)]) {
    for (stream, read) in streams {
        read.clear();
        while !read.windows(END.len()).any(|part| part == END) {
            let bytes = stream.read_buf(read).await.expect("a stream");
            assert_ne!(bytes, 0, "the stream goes on");
        }
    }
}

/// The bytes by which tracking a connection of HTTP/1 that waits for a request enlarges it.
pub(crate) fn bytes_of_a_tracked() -> i64 {
    bytes_of_a_connection(true) - bytes_of_a_connection(false)
}

fn bytes_of_a_connection(is_tracked: bool) -> i64 {
    const COUNT: i64 = 1_000;
    let (readiness, reporters) = registry(1, true);
    let connections = readiness.connections();
    let runtime = paused_runtime();
    let _context = runtime.enter();
    let open = || -> (Pin<Box<dyn Future<Output = ()>>>, DuplexStream) {
        let (client, server) = tokio::io::duplex(64);
        let (http, io) = (http1::Builder::new(), TokioIo::new(server));
        let service = service_fn(answer);
        let mut connection: Pin<Box<dyn Future<Output = ()>>> = if is_tracked {
            let tracked = connections.track();
            let service = tracked.service(service);
            Box::pin(tracked.drive(http.serve_connection(io, service)).map(drop))
        } else {
            Box::pin(http.serve_connection(io, service).map(drop))
        };
        let mut cx = Context::from_waker(Waker::noop());
        assert!(connection.as_mut().poll(&mut cx).is_pending());
        (connection, client)
    };
    // The first one starts what all share.
    let mut all = vec![open()];
    let taken = allocation_counter::measure(|| all.extend((0..COUNT).map(|_| open())));
    drop(black_box((all, reporters)));
    taken.bytes_current / COUNT
}

fn answer(_: Request<Incoming>) -> impl Future<Output = Result<Response<Full<Bytes>>, Infallible>> {
    ready(Ok(Response::new(Full::from("ok"))))
}
