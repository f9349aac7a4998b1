use crate::{LONG, SHORT, exchange_error, folder::Folder, rows::Process};
use std::{
    fs,
    io::{BufRead, BufReader, ErrorKind, Write},
    os::unix::net::UnixListener,
    path::Path,
    thread,
    time::Duration,
};
use tower_readiness::client::{CommandError, Commands, ExchangeError, HealthCheck};

fn error_at(path: impl AsRef<Path>, timeout: Duration) -> ExchangeError {
    let check = HealthCheck::new(path.as_ref()).timeout(timeout);
    exchange_error(check.run().map(|report| report.is_ok()))
}

#[test]
fn a_unix_socket_answers_as_a_port_does() {
    let folder = Folder::new();
    let process = Process::ready();
    let _server = process.readiness.serve_on_thread(folder.socket()).unwrap();
    for timeout in [LONG, Duration::MAX] {
        let check = HealthCheck::new(folder.socket()).timeout(timeout);
        assert_eq!(check.run().unwrap().line(), "started, live");
    }
}

#[test]
fn errors_distinguish_why_a_path_cannot_be_connected_to() {
    let folder = Folder::new();
    let kind = |error: ExchangeError| match error {
        ExchangeError::Connect { source, .. } => source.kind(),
        other => panic!("{other:?}"),
    };
    assert_eq!(kind(error_at(folder.socket(), LONG)), ErrorKind::NotFound);
    let stale = folder.0.join("stale");
    drop(UnixListener::bind(&stale).unwrap());
    assert_eq!(kind(error_at(&stale, LONG)), ErrorKind::ConnectionRefused);
    let long = folder.0.join("x".repeat(200));
    assert_eq!(kind(error_at(long, LONG)), ErrorKind::InvalidInput);

    let file = folder.0.join("file");
    fs::write(&file, "").unwrap();
    for path in [&file, &folder.0] {
        let error = error_at(path, LONG);
        assert!(
            matches!(error, ExchangeError::NotASocket { .. }),
            "{error:?}"
        );
    }
}

#[test]
fn a_full_queue_of_the_listener_is_a_timeout() {
    let folder = Folder::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let _inside = runtime.enter();
    let socket = tokio::net::UnixSocket::new_stream().unwrap();
    socket.bind(folder.socket()).unwrap();
    let _listener = socket.listen(0).unwrap();
    // A connection stays in the queue after its client has closed it.
    for _ in 0..3 {
        let error = error_at(folder.socket(), SHORT);
        assert!(matches!(error, ExchangeError::Timeout { .. }), "{error:?}");
    }
}

#[test]
fn a_wait_for_the_end_of_a_drain_judges_an_answer_in_chunks_by_its_status() {
    let folder = Folder::new();
    let listener = UnixListener::bind(folder.socket()).unwrap();
    let server = thread::spawn(move || {
        let plain = "HTTP/1.1 200 OK\r\n\r\ndraining\n".to_owned();
        let encoded = |status| format!("HTTP/1.1 {status} x\r\ntransfer-encoding: chunked\r\n\r\n");
        for answer in [
            plain,
            encoded(503),
            encoded(409),
            encoded(200),
            encoded(404),
        ] {
            let (mut stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let commands = Commands::new(folder.socket()).timeout(LONG);
    assert_eq!(commands.drain_and_wait(Some(LONG)).unwrap(), "gone");
    let error = commands.resume().unwrap_err();
    let is_encoded = matches!(error, CommandError::Exchange(ExchangeError::Encoded { .. }));
    assert!(is_encoded, "{error:?}");
    let error = commands.resume().unwrap_err();
    let is_not_taken = matches!(error, CommandError::NotTaken { status: 404, .. });
    assert!(is_not_taken, "{error:?}");
    server.join().unwrap();
}
