use crate::{ANYWHERE, clients::blocking_get, port, support::ready};
use std::{sync::mpsc, time::Duration};
use tokio::runtime;
use tower_readiness::server::ServeError;

/// Blocks the runtime until a probe was answered.
fn answers_while_blocked(runtime: &runtime::Runtime) {
    let (readiness, _storage) = ready();
    let server = readiness.serve_on_thread(ANYWHERE).unwrap();
    let address = port(&server);
    let (block, blocked) = mpsc::channel();
    let (answer, answered) = mpsc::channel();
    let client = std::thread::spawn(move || {
        blocked.recv().unwrap();
        answer.send(blocking_get(address, "/livez")).unwrap();
    });
    let answer = runtime.block_on(async move {
        let blocking = tokio::spawn(async move {
            block.send(()).unwrap();
            answered.recv_timeout(Duration::from_secs(30))
        });
        blocking.await.unwrap()
    });
    assert!(answer.unwrap().starts_with("HTTP/1.1 200 "));
    client.join().unwrap();
}

#[test]
fn its_thread_answers_while_a_runtime_of_one_thread_is_blocked() {
    let mut builder = runtime::Builder::new_current_thread();
    answers_while_blocked(&builder.enable_all().build().unwrap());
}

#[test]
fn its_thread_answers_while_the_only_worker_is_blocked() {
    let mut builder = runtime::Builder::new_multi_thread();
    let builder = builder.worker_threads(1).enable_all();
    answers_while_blocked(&builder.build().unwrap());
}

#[test]
fn its_thread_needs_no_runtime() {
    let (readiness, _storage) = ready();
    let server = readiness.serve_on_thread(ANYWHERE).unwrap();
    let answer = blocking_get(port(&server), "/readyz");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[test]
fn to_be_served_in_a_runtime_where_there_is_none_is_an_error() {
    let (readiness, _storage) = ready();
    let mut serve = tokio_test::task::spawn(readiness.serve(ANYWHERE));
    let outcome = tokio_test::assert_ready!(serve.poll());
    assert!(matches!(outcome, Err(ServeError::NoRuntime)), "{outcome:?}");
}
