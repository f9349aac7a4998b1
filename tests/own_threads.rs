//! The crate's own threads and the subscriber of the process: events on these threads do
//! not reach the subscriber, and events on other threads do.

use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Wake, Waker},
    thread,
    time::Duration,
};
use tower_readiness::{Readiness, Subsystem, server::AdminListener};
use tracing::{
    Dispatch, Event, Subscriber, dispatcher,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer, Registry,
    layer::{Context as LayerContext, SubscriberExt},
};

struct Line {
    thread: String,
    target: String,
    message: String,
}

/// Records every event.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<Line>>>);

impl Lines {
    fn any(&self, is: impl FnMut(&Line) -> bool) -> bool {
        self.0.lock().unwrap().iter().any(is)
    }
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: LayerContext<'_, S>) {
        struct Message(String);
        impl Visit for Message {
            fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                if field.name() == "message" {
                    self.0 = format!("{value:?}");
                }
            }
        }
        let mut message = Message(String::new());
        event.record(&mut message);
        self.0.lock().unwrap().push(Line {
            thread: this_thread(),
            target: event.metadata().target().to_owned(),
            message: message.0,
        });
    }
}

fn this_thread() -> String {
    thread::current().name().unwrap_or_default().to_owned()
}

/// Code of the application that threads of the crate run as well.
fn trace() {
    tracing::info!("traced by the application");
}

/// A waker that traces an event on the thread that wakes it: the timer thread.
struct Traces(Mutex<bool>);

impl Wake for Traces {
    fn wake(self: Arc<Self>) {
        if this_thread() == "readiness-timer" {
            trace();
            *self.0.lock().unwrap() = true;
        }
    }
}

#[track_caller]
fn becomes(what: impl Fn() -> bool) {
    let found = (0..30_000).any(|_| {
        thread::sleep(Duration::from_millis(1));
        what()
    });
    assert!(found, "nothing happened");
}

/// Opens HTTP/2 on a connection, and waits for the answer of the listener.
fn greet(address: SocketAddr) {
    let mut connection = TcpStream::connect(address).unwrap();
    // The preface and an empty SETTINGS frame (RFC 9113, section 3.4).
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
    connection.write_all(preface).unwrap();
    connection.read_exact(&mut [0; 9]).unwrap();
}

async fn ask(address: SocketAddr) -> http::StatusCode {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("http://localhost/livez").body(Empty::<Bytes>::new());
    let response = sender.send_request(request.unwrap()).await.unwrap();
    response.status()
}

/// tracing asks the subscriber of the thread that reaches an event first, and caches
/// its interest for all threads. One test, because this happens once in a process.
#[test]
fn their_events_are_dropped_and_hide_no_event_of_other_threads() {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("policy").ttl(Duration::from_millis(50)))
        .build()
        .unwrap();
    // This thread starts before the subscriber is set.
    let admin = AdminListener::new(&readiness).with_http2();
    let admin = admin.serve_on_thread("127.0.0.1:0").unwrap();
    let lines = Lines::default();
    tracing::subscriber::set_global_default(Registry::default().with(lines.clone())).unwrap();
    // The timer thread is the first to reach an event.
    let policy = dispatcher::with_default(&Dispatch::none(), || {
        let policy = readiness.reporter("policy").unwrap();
        policy.ready();
        policy
    });
    let woken = Arc::new(Traces(Mutex::new(false)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut subscription = readiness.subscribe();
    let mut follow = pin!(async { while subscription.changed().await.is_ok() {} });
    assert!(
        follow
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );
    becomes(|| lines.any(|line| line.message == "subsystem failing"));
    becomes(|| *woken.0.lock().unwrap());
    let traced = |line: &Line| line.message == "traced by the application";
    assert!(!lines.any(traced), "on a thread of the crate");
    trace();
    assert!(lines.any(traced));

    let address = admin.local_addr().socket_addr().unwrap();
    greet(address);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    assert_eq!(runtime.block_on(ask(address)), 200);
    let here = this_thread();
    assert!(lines.any(|line| line.thread == here && line.target.starts_with("h2::codec")));
    assert!(!lines.any(|line| line.thread == "readiness" || line.thread == "readiness-timer"));
    drop(policy);
}
