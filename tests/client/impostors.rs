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

/// Starts a server that accepts this many connections, reads the head of the
/// request on each, and then calls `answer`.
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
            let request = lines.next().unwrap().unwrap();
            assert!(request.ends_with(" HTTP/1.0"), "{request}");
            while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
            answer(stream);
        }
    });
    (HealthCheck::new(address).timeout(LONG), thread)
}

/// Runs a check against a server that answers with `text` and closes the
/// connection.
fn answered(text: &[u8]) -> Result<bool, CheckError> {
    let text = text.to_owned();
    let (check, thread) = server(1, move |mut stream| stream.write_all(&text).unwrap());
    let outcome = check.live().run();
    thread.join().unwrap();
    outcome.map(|report| report.is_ok())
}

#[test]
fn a_server_without_an_answer_is_a_timeout() {
    // The kernel completes the connection, and the listener never accepts it.
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
fn a_slow_answer_does_not_extend_the_timeout() {
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
fn the_timeout_covers_both_requests_of_a_check() {
    let first = AtomicBool::new(true);
    // Nobody waits for its thread: a busy machine may take all of the time for the first request.
    let (check, _) = server(2, move |mut stream| {
        if first.swap(false, Ordering::Relaxed) {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\n\r\nstarted\n")
                .unwrap();
        } else {
            // Returns when the client closes the connection.
            let _ = BufReader::new(stream).fill_buf();
        }
    });
    let check = check.timeout(10 * SHORT);
    let error = exchange_error(check.run().map(|report| report.is_ok()));
    assert!(matches!(error, ExchangeError::Timeout { .. }), "{error:?}");
}

#[test]
fn garbage_is_an_error() {
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
fn garbage_is_an_error_before_its_line_ends() {
    // The server ends neither the line nor the connection.
    let (check, thread) = server(1, |mut stream| {
        stream.write_all(b"220-smtp").unwrap();
        let mut reader = BufReader::new(stream);
        assert_eq!(reader.fill_buf().unwrap_or_default(), b"");
    });
    let error = exchange_error(check.run().map(|report| report.is_ok()));
    assert!(matches!(error, ExchangeError::NotHttp { .. }), "{error:?}");
    thread.join().unwrap();
}

/// Returns the check in each of its formats.
fn in_every_format(check: &HealthCheck) -> [HealthCheck; 4] {
    [
        check.clone(),
        check.clone().verbose(),
        check.clone().exclude("unknown"),
        check.clone().json(),
    ]
}

#[test]
fn the_client_reads_a_bounded_part_of_an_endless_answer() {
    for head in [
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n",
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
fn a_long_answer_of_another_program_is_not_green() {
    let line = format!("live: {}\n", "x".repeat(10 << 20));
    let array = format!("[\n{}]\n", "{\"a\":1},\n".repeat(300_000));
    let log = "[info] live\n".repeat(300_000);
    let page = format!("[+]a ready (required)\n{}", "<br>\n".repeat(300_000));
    for body in [line, array, log, page] {
        let beginning: String = body.chars().take(40).collect();
        let (check, thread) = server(4, move |mut stream| {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            // The client closes the connection after it has read enough.
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
fn a_truncated_answer_is_an_error() {
    for half in [
        "",
        "HTT",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nlive\n",
    ] {
        let error = exchange_error(answered(half.as_bytes()));
        assert!(
            matches!(error, ExchangeError::ClosedEarly { .. }),
            "{half:?}: {error:?}"
        );
    }
}

#[test]
fn a_length_or_the_end_of_the_connection_ends_an_answer() {
    for whole in [
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nlive\nHTTP/1.1 500",
        "HTTP/1.0 200 OK\r\n\r\nlive\n",
    ] {
        assert!(answered(whole.as_bytes()).unwrap(), "{whole}");
    }
    assert!(!answered(b"HTTP/1.1 503 No\r\n\r\nnot live: engine dead\n").unwrap());
}

/// A server of HTTP/1.1 alone may ignore that the request is HTTP/1.0, and keep the
/// connection open for another request.
#[test]
fn an_answer_with_a_length_is_read_although_the_connection_stays_open() {
    for answer in [
        "HTTP/1.1 200 OK\r\nconnection: keep-alive\r\ncontent-length: 5\r\n\r\nlive\n",
        "HTTP/1.1 503 No\r\ncontent-length: 9\r\n\r\nnot live\n",
    ] {
        let (check, thread) = server(1, move |mut stream| {
            stream.write_all(answer.as_bytes()).unwrap();
            // Returns when the client closes the connection.
            let _ = BufReader::new(stream).fill_buf();
        });
        let report = check.live().run().unwrap();
        assert_eq!(report.is_ok(), answer.contains("200"));
        thread.join().unwrap();
    }
}

#[test]
fn an_answer_in_chunks_is_an_error_that_names_the_cause() {
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nlive\n\r\n0\r\n\r\n";
    let error = exchange_error(answered(chunked));
    assert!(matches!(error, ExchangeError::Encoded { .. }), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains("transfer coding") && text.contains("proxy"),
        "{text}"
    );
}

#[test]
fn the_status_of_an_answer_in_chunks_counts_where_the_body_does_not() {
    let answer = |status: &str| {
        let head = format!("HTTP/1.1 {status}\r\ntransfer-encoding: chunked\r\n\r\n");
        answered((head + "5\r\nlive\n\r\n0\r\n\r\n").as_bytes()).unwrap_err()
    };
    for status in ["200 OK", "400 Bad Request", "404 Not Found", "503 No"] {
        let error = exchange_error(Err(answer(status)));
        assert!(matches!(error, ExchangeError::Encoded { .. }), "{error:?}");
    }
    let error = answer("302 Found");
    assert!(matches!(error, CheckError::Redirect { .. }), "{error:?}");
    let error = answer("502 Bad Gateway");
    let is_of_no_probe = matches!(error, CheckError::NotAProbe { status: 502, .. });
    assert!(is_of_no_probe, "{error:?}");
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
            status: reported,
            ..
        } = &error
        else {
            panic!("{error:?}");
        };
        assert_eq!((location, *reported), (&target, status));
        assert!(error.to_string().contains("not followed"), "{error}");
    }
    elsewhere.set_nonblocking(true).unwrap();
    assert_eq!(
        elsewhere.accept().unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
}

#[test]
fn status_200_of_another_program_is_not_green() {
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
fn a_refused_connection_is_an_error_that_names_the_address() {
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
fn a_timeout_of_zero_expires_at_once() {
    let process = Process::ready();
    let (_server, check) = serve(&process);
    let check = check.timeout(Duration::ZERO);
    let error = exchange_error(check.run().map(|report| report.is_ok()));
    assert!(matches!(error, ExchangeError::Timeout { .. }), "{error:?}");
}
