use crate::{
    ANYWHERE, LONG, SHORT, exchange_error,
    rows::{Process, silent_port},
    serve,
};
use std::{
    io::{BufRead, BufReader, ErrorKind, Write},
    net::{TcpListener, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    thread::{self, JoinHandle},
    time::Duration,
};
use tower_readiness::client::{Address, CheckError, ExchangeError, HealthCheck};

/// A server that reads the head of a request on each of so many connections,
/// and then does as it likes.
fn server(
    connections: usize,
    answer: impl Fn(TcpStream) + Send + 'static,
) -> (HealthCheck, JoinHandle<()>) {
    let listener = TcpListener::bind(ANYWHERE).unwrap();
    let address = listener.local_addr().unwrap();
    let thread = thread::spawn(move || {
        for _ in 0..connections {
            let (stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
            answer(stream);
        }
    });
    (HealthCheck::new(address).timeout(LONG), thread)
}

/// What comes of an answer.
fn answered(text: &[u8]) -> Result<bool, CheckError> {
    let text = text.to_owned();
    let (check, thread) = server(1, move |mut stream| stream.write_all(&text).unwrap());
    let outcome = check.live().run();
    thread.join().unwrap();
    outcome.map(|report| report.is_ok())
}
#[test]
fn a_server_that_never_answers_is_given_up_on() {
    // The system accepts for a listener that does not.
    let listener = TcpListener::bind(ANYWHERE).unwrap();
    let check = HealthCheck::new(listener.local_addr().unwrap()).timeout(SHORT);
    let error = exchange_error(check.run().map(|report| report.is_ok()));
    assert!(
        matches!(error, ExchangeError::Timeout { timeout: SHORT, .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains("within 50ms"), "{error}");
}

#[test]
fn a_server_that_drips_is_given_up_on() {
    for beginning in [
        "",
        "HTTP/1.1 200 OK\r\nx: ",
        "HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n",
    ] {
        let (check, thread) = server(1, move |mut stream| {
            stream.write_all(beginning.as_bytes()).unwrap();
            let endless = "HTTP/1.1 200 OK\r\nx: "
                .bytes()
                .chain(std::iter::repeat(b'y'));
            for byte in endless {
                if stream.write_all(&[byte]).is_err() {
                    return;
                }
                thread::sleep(Duration::from_millis(1));
            }
        });
        let check = check.timeout(3 * SHORT);
        let error = exchange_error(check.run().map(|report| report.is_ok()));
        assert!(matches!(error, ExchangeError::Timeout { .. }), "{error:?}");
        thread.join().unwrap();
    }
}

#[test]
fn a_server_that_answers_only_the_first_of_two_questions_is_given_up_on() {
    let first = AtomicBool::new(true);
    let (check, thread) = server(2, move |mut stream| {
        if first.swap(false, Ordering::Relaxed) {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\n\r\nstarted\n")
                .unwrap();
        } else {
            // Until the client goes.
            let _ = BufReader::new(stream).fill_buf();
        }
    });
    let check = check.timeout(10 * SHORT);
    let error = exchange_error(check.run().map(|report| report.is_ok()));
    assert!(matches!(error, ExchangeError::Timeout { .. }), "{error:?}");
    thread.join().unwrap();
}

#[test]
fn garbage_is_told_from_an_answer() {
    for garbage in [
        &b"\x15\x03\x01\x00\x02\x02\x28"[..],
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\0\0\0\0",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n",
    ] {
        let error = exchange_error(answered(garbage));
        assert!(matches!(error, ExchangeError::NotHttp { .. }), "{error:?}");
    }
}

#[test]
fn garbage_is_not_waited_for() {
    // It neither ends a line nor the connection.
    let (check, thread) = server(1, |mut stream| {
        stream.write_all(b"220-smtp").unwrap();
        let mut reader = BufReader::new(stream);
        assert_eq!(reader.fill_buf().unwrap_or_default(), b"");
    });
    let error = exchange_error(check.run().map(|report| report.is_ok()));
    assert!(matches!(error, ExchangeError::NotHttp { .. }), "{error:?}");
    thread.join().unwrap();
}

/// Each asks for another kind of answer.
fn in_every_format(check: &HealthCheck) -> [HealthCheck; 4] {
    [
        check.clone(),
        check.clone().verbose(),
        check.clone().exclude("nobody").unwrap(),
        check.clone().json(),
    ]
}

#[test]
fn of_an_endless_answer_no_more_than_a_bound_is_read() {
    for head in [
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffff\r\n",
        "HTTP/1.1 200 OK\r\nx: ",
    ] {
        let (check, thread) = server(4, move |mut stream| {
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(b"live\n").unwrap();
            let block = [b'x'; 1 << 16];
            while stream.write_all(&block).is_ok() {}
        });
        for check in in_every_format(&check.live()) {
            let error = exchange_error(check.run().map(|report| report.is_ok()));
            assert!(
                matches!(
                    error,
                    ExchangeError::TooLong { .. } | ExchangeError::NotHttp { .. }
                ),
                "{head}: {error:?}"
            );
        }
        thread.join().unwrap();
    }
}

#[test]
fn a_long_answer_of_something_else_is_not_green() {
    let line = format!("live: {}\n", "x".repeat(10 << 20));
    let array = format!("[\n{}]\n", "{\"a\":1},\n".repeat(300_000));
    let log = "[info] live\n".repeat(300_000);
    let page = format!("[+]a ready (required)\n{}", "<br>\n".repeat(300_000));
    for body in [line, array, log, page] {
        let beginning: String = body.chars().take(40).collect();
        let (check, thread) = server(4, move |mut stream| {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            // Whoever has read enough hangs up.
            let _ = stream.write_all((head + &body).as_bytes());
        });
        for check in in_every_format(&check.live()) {
            let error = exchange_error(check.run().map(|report| report.is_ok()));
            assert!(
                matches!(error, ExchangeError::TooLong { .. }),
                "{beginning}: {error:?}"
            );
        }
        thread.join().unwrap();
    }
}

#[test]
fn an_answer_that_stops_half_way_is_none() {
    for half in [
        "",
        "HTT",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nlive\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nlive\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nlive",
    ] {
        let error = exchange_error(answered(half.as_bytes()));
        assert!(
            matches!(error, ExchangeError::ClosedEarly { .. }),
            "{half:?}: {error:?}"
        );
    }
}

#[test]
fn every_framing_of_an_answer_is_read() {
    for whole in [
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nlive\nHTTP/1.1 500",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nli\r\n3;a=b\r\nve\n\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\n\r\nlive\n",
    ] {
        assert!(answered(whole.as_bytes()).unwrap(), "{whole}");
    }
    assert!(!answered(b"HTTP/1.1 503 No\r\n\r\nnot live: engine dead\n").unwrap());
}

#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = TcpListener::bind(ANYWHERE).unwrap();
    let target = format!("http://{}/livez", elsewhere.local_addr().unwrap());
    for status in [301, 302, 303, 307, 308] {
        let head = format!("HTTP/1.1 {status} Moved\r\nlocation: {target}\r\n\r\n");
        let error = answered(head.as_bytes()).unwrap_err();
        let CheckError::Redirect {
            location,
            status: told,
            ..
        } = &error
        else {
            panic!("{error:?}");
        };
        assert_eq!((location, *told), (&target, status));
        assert!(error.to_string().contains("not followed"), "{error}");
    }
    elsewhere.set_nonblocking(true).unwrap();
    assert_eq!(
        elsewhere.accept().unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
}

#[test]
fn green_of_something_else_is_not_green() {
    for body in [
        "",
        "OK",
        "ready\n",
        "<!doctype html>",
        "not live\n",
        "live and kicking",
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n\r\n{body}");
        let outcome = answered(answer.as_bytes());
        let error = outcome.unwrap_err();
        assert!(
            matches!(error, CheckError::NotAProbe { status: 200, .. }),
            "{body}: {error:?}"
        );
    }
}

#[test]
fn where_nothing_listens_is_an_error_that_says_where() {
    let (_socket, free) = silent_port();
    let error = exchange_error(HealthCheck::new(free).run().map(|report| report.is_ok()));
    let ExchangeError::Connect { address, source } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(*address, Address::Tcp(free));
    assert_eq!(source.kind(), ErrorKind::ConnectionRefused);
    assert!(error.to_string().contains(&free.to_string()));
}

#[test]
fn without_any_time_nothing_is_asked() {
    let process = Process::ready();
    let (_server, check) = serve(&process);
    let check = check.timeout(Duration::ZERO);
    let error = exchange_error(check.run().map(|report| report.is_ok()));
    assert!(matches!(error, ExchangeError::Timeout { .. }), "{error:?}");
}
