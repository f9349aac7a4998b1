//! Loom models of connections that retire. Run with
//! `RUSTFLAGS="--cfg tower_readiness_loom" cargo test --release --lib --features connections loom`.

use super::{
    Connections, Retiring,
    tracked::{OpenRequest, Tracked},
};
use crate::{
    registry::{Readiness, Reporter, Subsystem, Times},
    state::{Phase, State},
    sync::{RUNTIME, explore, pass, paused_runtime},
};
use futures_util::FutureExt as _;
use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use loom::{future::block_on, thread};
use std::{
    convert::Infallible,
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const DELAY: Duration = Duration::from_secs(1_000);

/// A process that drains for [`DELAY`] if it is told to.
struct Process {
    readiness: Readiness,
    a: Reporter,
    connections: Connections,
}

impl Process {
    fn new() -> Self {
        let readiness = Readiness::builder()
            .subsystem(Subsystem::new("a"))
            .build()
            .unwrap();
        readiness.registry().drain_clock().plan(Times {
            delay: DELAY,
            longest_delay: DELAY,
            cap: DELAY,
            idle_grace: DELAY,
        });
        Self {
            a: readiness.reporter("a").unwrap(),
            connections: readiness.connections(),
            readiness,
        }
    }

    fn track(&self) -> Arc<Tracked> {
        Tracked::new(&self.connections.schedule)
    }

    /// The share of the delay at which a connection retires.
    fn share(&self, tracked: &Tracked) -> f64 {
        let (since, delay) = self.readiness.registry().drain_clock().begun().unwrap();
        let after = tracked.moment.get().unwrap().retired - since;
        after.as_secs_f64() / delay.as_secs_f64()
    }
}

/// Polls a future that stays pending, on a thread of its own.
fn poll_once(future: impl Future<Output = ()> + Send + 'static) -> thread::JoinHandle<()> {
    thread::spawn(|| {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(pin!(future).poll(&mut cx).is_pending());
    })
}

#[test]
fn each_connection_has_a_slice_of_the_window_and_its_handlers_have_its_moment() {
    explore(2, || {
        let process = Process::new();
        let [one, two] = [process.track(), process.track()];
        process.readiness.drain();
        let _runtime = RUNTIME.enter();
        let threads = [
            poll_once(Arc::clone(&one).until_moment()),
            poll_once(Retiring::new(Arc::clone(&one)).requested()),
            poll_once(Arc::clone(&two).until_moment()),
        ];
        threads.into_iter().for_each(|it| it.join().unwrap());
        // From 0.3 to 0.6, and from there to 0.9.
        let is_first = [one, two].map(|tracked| process.share(&tracked) < 0.6);
        assert_ne!(is_first[0], is_first[1]);
        drop(process.a);
    });
}

#[test]
fn a_connection_that_notices_the_drain_knows_its_delay_and_retires_at_the_end_of_it() {
    explore(3, || {
        let process = Process::new();
        let tracked = process.track();
        let _runtime = RUNTIME.enter();
        let connection = {
            let tracked = Arc::clone(&tracked);
            thread::spawn(move || {
                // A lost wake-up makes this hang, which loom reports.
                block_on(tracked.until_moment());
            })
        };
        process.readiness.drain();
        process.readiness.advance(Phase::Closing);
        connection.join().unwrap();
        assert!(process.share(&tracked) > 0.29);
        drop(process.a);
    });
}

#[test]
fn a_connection_is_idle_since_the_end_of_its_last_request() {
    explore(3, || {
        let process = Process::new();
        let tracked = process.track();
        let accepted = tracked.idle_since();
        let requests: [OpenRequest; 2] = [(); 2].map(|()| tracked.begin_request(true));
        let streams = requests.map(|request| thread::spawn(move || drop(request)));
        let reader = {
            let tracked = Arc::clone(&tracked);
            thread::spawn(move || assert_ne!(tracked.idle_since(), accepted))
        };
        streams.into_iter().for_each(|it| it.join().unwrap());
        reader.join().unwrap();
        assert!(tracked.idle_since().is_some());
        drop(process.a);
    });
}

#[test]
fn a_connection_answers_the_request_that_it_has_read_and_then_retires() {
    for is_answered_first in [true, false] {
        explore(2, move || answer_and_retire(is_answered_first));
    }
}

fn answer_and_retire(is_answered_first: bool) {
    let process = Process::new();
    let tracked = process.connections.track();
    let (mut client, stream) = tokio::io::duplex(1_024);
    let request = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    client.write_all(request).now_or_never().unwrap().unwrap();
    let _runtime = RUNTIME.enter();
    let connection = {
        let readiness = process.readiness.clone();
        thread::spawn(move || {
            let service = service_fn(|_: Request<Incoming>| async {
                let is_ready = readiness
                    .registry()
                    .wait_for(|data| (data.subsystem("a")?.state() == State::Ready).then_some(()));
                is_ready.await.unwrap();
                Ok::<_, Infallible>(Response::new(String::from("done")))
            });
            let service = tracked.service(service);
            let http = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            // A connection that never ends makes this hang, which loom reports.
            block_on(tracked.drive(http)).unwrap();
        })
    };
    let retire = || process.readiness.advance(Phase::Closing);
    if is_answered_first {
        process.a.ready();
        retire();
    } else {
        retire();
        process.a.ready();
    }
    connection.join().unwrap();
    let mut answer = String::new();
    let read = client.read_to_string(&mut answer).now_or_never();
    read.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"));
    drop(process.a);
}

#[test]
fn an_answer_at_the_moment_of_its_connection_says_that_it_closes() {
    for by_age in [false, true] {
        explore(2, move || answer_at_the_moment(by_age));
    }
}

/// One handler in the task of the connection and one in a task of its own, as of an upgraded
/// connection, end at the moment of the connection.
fn answer_at_the_moment(by_age: bool) {
    let runtime = paused_runtime();
    let _runtime = runtime.enter();
    let mut process = Process::new();
    if by_age {
        let builder = Connections::builder(&process.readiness).max_age(DELAY);
        process.connections = builder.build().unwrap();
    } else {
        process.readiness.drain();
    }
    let tracked = process.connections.track();
    let (mut client, stream) = tokio::io::duplex(1_024);
    let request = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    client.write_all(request).now_or_never().unwrap().unwrap();
    let (send, handlers) = std::sync::mpsc::channel();
    let connection = thread::spawn(move || {
        let service = service_fn(move |request: Request<Incoming>| {
            let retiring: Retiring = request.extensions().get().cloned().unwrap();
            let requested = retiring.requested();
            let handler = thread::spawn(move || block_on(requested));
            send.send(handler).unwrap();
            async move {
                retiring.requested().await;
                Ok::<_, Infallible>(Response::new(String::from("done")))
            }
        });
        let service = tracked.service(service);
        let http = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        block_on(tracked.drive(http)).unwrap();
    });
    pass(2 * DELAY);
    // A connection or a handler that is not told makes this hang, which loom reports.
    connection.join().unwrap();
    handlers.recv().unwrap().join().unwrap();
    let mut answer = String::new();
    let read = client.read_to_string(&mut answer).now_or_never();
    read.unwrap().unwrap();
    assert!(answer.ends_with("done"));
    assert!(answer.contains("connection: close"), "{answer}");
    drop(process.a);
}

#[test]
fn an_idle_connection_whose_moment_has_come_ends_with_the_drain() {
    explore(3, || {
        let runtime = paused_runtime();
        let _runtime = runtime.enter();
        let process = Process::new();
        process.readiness.drain();
        let tracked = process.connections.track();
        let (client, stream) = tokio::io::duplex(1_024);
        let connection = thread::spawn(move || {
            let service = service_fn(|_: Request<Incoming>| async {
                Ok::<_, Infallible>(Response::new(String::new()))
            });
            let service = tracked.service(service);
            let http = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            block_on(tracked.drive(http)).unwrap();
        });
        let timers = thread::spawn(|| pass(DELAY));
        process.readiness.advance(Phase::Closing);
        // A connection that is not told makes this hang, which loom reports.
        connection.join().unwrap();
        timers.join().unwrap();
        drop((client, process.a));
    });
}
