use super::{connection::Connection, deadline::Deadline, error::ExchangeError};
use crate::address::Address;
use std::{
    io::{self, BufRead, BufReader, ErrorKind, Read, Write},
    str,
};

/// The longest head of a response. A probe sends some hundred bytes.
const MAX_HEAD: usize = 16 << 10;

/// The longest body that is read. A probe sends at most about 20 KiB, except for
/// a list of all subsystems.
pub(super) const MAX_BODY: usize = 1 << 20;

/// The first bytes of an HTTP/1 response.
const BEGINNING: &[u8] = b"HTTP/1.";

#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) method: &'static str,
    pub(super) target: &'a str,
    pub(super) accept: &'static str,
    pub(super) body: &'a str,
    /// Whether the connection stays open after the response.
    pub(super) keep_open: bool,
}

#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) location: String,
    pub(super) body: String,
    /// Whether the body is longer than [`MAX_BODY`], and its end was not read.
    pub(super) is_cut: bool,
}

/// Sends a request on a new connection, and reads the response.
pub(super) fn exchange(
    address: &Address,
    request: &Request<'_>,
    deadline: Deadline,
) -> Result<Response, ExchangeError> {
    let (response, _connection) = exchange_on(address, request, deadline)?;
    Ok(response)
}

/// As [`exchange`], and also returns the connection.
pub(super) fn exchange_on(
    address: &Address,
    request: &Request<'_>,
    deadline: Deadline,
) -> Result<(Response, Connection), ExchangeError> {
    let address = || address.clone();
    let timeout = deadline.timeout();
    let connection = Connection::connect(&address(), deadline).map_err(|source| match source.kind() {
        ErrorKind::TimedOut => ExchangeError::Timeout {
            address: address(),
            timeout,
        },
        #[cfg(unix)]
        _ if matches!(address(), Address::Unix(path) if super::unix::is_not_a_socket(&path)) => {
            ExchangeError::NotASocket { address: address() }
        }
        _ => ExchangeError::Connect {
            address: address(),
            source,
        },
    })?;
    exchange_over(connection, &address(), request).map_err(|error| match error {
        ReadError::NotHttp => ExchangeError::NotHttp { address: address() },
        ReadError::Io(source) => match source.kind() {
            ErrorKind::TimedOut => ExchangeError::Timeout {
                address: address(),
                timeout,
            },
            ErrorKind::UnexpectedEof => ExchangeError::ClosedEarly { address: address() },
            _ => ExchangeError::Broken {
                address: address(),
                source,
            },
        },
    })
}

fn exchange_over(
    mut connection: Connection,
    address: &Address,
    request: &Request<'_>,
) -> Result<(Response, Connection), ReadError> {
    let head = match address {
        Address::Tcp(address) => request.head(&address.to_string()),
        Address::Port(port) => request.head(&format!("localhost:{port}")),
        // A path is not a valid host.
        #[cfg(unix)]
        Address::Unix(_) => request.head("localhost"),
    };
    connection.write_all((head + request.body).as_bytes())?;
    let response = read(BufReader::new(&mut connection))?;
    Ok((response, connection))
}

impl Request<'_> {
    fn head(&self, host: &str) -> String {
        let Self {
            method,
            target,
            accept,
            body,
            keep_open,
        } = self;
        let version = env!("CARGO_PKG_VERSION");
        let mut head = format!(
            "{method} {target} HTTP/1.1\r\nhost: {host}\r\naccept: {accept}\r\n\
             user-agent: tower-readiness/{version}\r\n"
        );
        if !keep_open {
            head += "connection: close\r\n";
        }
        if *method == "POST" {
            head += &format!("content-length: {}\r\n", body.len());
        }
        head + "\r\n"
    }
}

// === reading the response ===

#[derive(Debug)]
enum ReadError {
    Io(io::Error),
    NotHttp,
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// How a response marks the end of its body (RFC 9112, section 6.3).
enum Framing {
    Chunked,
    Length(u64),
    Close,
}

fn read(mut reader: impl BufRead) -> Result<Response, ReadError> {
    let mut left = MAX_HEAD;
    let (status, framing, location) = loop {
        let status = status(&mut reader, &mut left)?;
        let (framing, location) = headers(&mut reader, &mut left)?;
        match status {
            // These never have a body, even if the head announces one. (101 ends
            // HTTP on this connection, although the client requested no upgrade.)
            101 | 204 | 304 => break (status, Framing::Length(0), location),
            // The other interim responses precede the final response.
            ..200 => {}
            _ => break (status, framing, location),
        }
    };
    let (body, is_cut) = match framing {
        Framing::Chunked => chunks(&mut reader)?,
        Framing::Length(length) => counted(&mut reader, length)?,
        Framing::Close => {
            let mut body = Vec::new();
            reader.take(MAX_BODY as u64 + 1).read_to_end(&mut body)?;
            let is_cut = body.len() > MAX_BODY;
            body.truncate(MAX_BODY);
            (body, is_cut)
        }
    };
    Ok(Response {
        status,
        location,
        body: String::from_utf8_lossy(&body).into_owned(),
        is_cut,
    })
}

fn status(reader: &mut impl BufRead, left: &mut usize) -> Result<u16, ReadError> {
    // Checked byte by byte: a peer without HTTP may never end a line.
    for expected in BEGINNING {
        let mut byte = [0];
        reader.read_exact(&mut byte)?;
        if byte != [*expected] {
            return Err(ReadError::NotHttp);
        }
    }
    let line = line(reader, left)?;
    let code = line.split(' ').nth(1).filter(|code| code.len() == 3);
    code.and_then(|code| code.parse().ok())
        .filter(|status| *status >= 100)
        .ok_or(ReadError::NotHttp)
}

fn headers(reader: &mut impl BufRead, left: &mut usize) -> Result<(Framing, String), ReadError> {
    let mut framing = Framing::Close;
    let mut location = String::new();
    loop {
        let line = line(reader, left)?;
        if line.is_empty() {
            return Ok((framing, location));
        }
        let (name, value) = line.split_once(':').ok_or(ReadError::NotHttp)?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("transfer-encoding") {
            if !value.eq_ignore_ascii_case("chunked") {
                return Err(ReadError::NotHttp);
            }
            framing = Framing::Chunked;
        } else if name.eq_ignore_ascii_case("content-length") {
            let length = value.parse().map_err(|_| ReadError::NotHttp)?;
            // Chunked takes precedence over a length.
            if !matches!(framing, Framing::Chunked) {
                framing = Framing::Length(length);
            }
        } else if name.eq_ignore_ascii_case("location") {
            location = value.to_owned();
        }
    }
}

/// Reads a line of at most `left` bytes, and returns it without its line end.
fn line(reader: &mut impl BufRead, left: &mut usize) -> Result<String, ReadError> {
    let mut line = Vec::new();
    reader.take(*left as u64).read_until(b'\n', &mut line)?;
    *left -= line.len();
    if line.pop() != Some(b'\n') {
        return Err(match *left {
            0 => ReadError::NotHttp,
            _ => ReadError::Io(ErrorKind::UnexpectedEof.into()),
        });
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    String::from_utf8(line).map_err(|_| ReadError::NotHttp)
}

/// Reads a body of `length` bytes, and returns whether some were left unread.
fn counted(reader: &mut impl BufRead, length: u64) -> io::Result<(Vec<u8>, bool)> {
    let wanted = length.min(MAX_BODY as u64);
    let mut body = Vec::new();
    reader.take(wanted).read_to_end(&mut body)?;
    if (body.len() as u64) < wanted {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok((body, length > wanted))
}

/// Reads a chunked body, and returns whether some was left unread (RFC 9112,
/// section 7.1).
fn chunks(reader: &mut impl BufRead) -> Result<(Vec<u8>, bool), ReadError> {
    let mut body = Vec::new();
    loop {
        let mut left = MAX_HEAD;
        let line_of_size = line(reader, &mut left)?;
        let size = line_of_size.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16).map_err(|_| ReadError::NotHttp)?;
        if size == 0 {
            // Trailers may follow; the client ignores them.
            return Ok((body, false));
        }
        let room = (MAX_BODY - body.len()) as u64;
        let (chunk, _) = counted(reader, size.min(room))?;
        body.extend(chunk);
        if size > room {
            return Ok((body, true));
        }
        if !line(reader, &mut left)?.is_empty() {
            return Err(ReadError::NotHttp);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(text: &str) -> Response {
        read(text.as_bytes()).unwrap()
    }

    fn is_cut_off(text: &str) -> bool {
        let error = read(text.as_bytes()).unwrap_err();
        matches!(error, ReadError::Io(error) if error.kind() == ErrorKind::UnexpectedEof)
    }

    fn is_garbage(text: &[u8]) -> bool {
        matches!(read(text).unwrap_err(), ReadError::NotHttp)
    }

    #[test]
    fn framing_determines_the_end_of_a_body() {
        for (head, body) in [
            ("content-length: 6", "ready\nand more"),
            ("Content-Length:6", "ready\n"),
            (
                "TRANSFER-ENCODING: Chunked",
                "2\r\nre\r\n4;x=y\r\nady\n\r\n0\r\n\r\n",
            ),
            (
                "content-length: 1\r\ntransfer-encoding: chunked",
                "6\r\nready\n\r\n0\r\n\r\n",
            ),
            (
                "transfer-encoding: chunked\r\ncontent-length: 1",
                "6\r\nready\n\r\n0\r\n\r\n",
            ),
            ("x: y", "ready\n"),
        ] {
            let response = response(&format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}"));
            assert_eq!(
                (response.status, &*response.body),
                (200, "ready\n"),
                "{head}"
            );
            assert!(!response.is_cut);
        }
    }

    #[test]
    fn interim_responses_are_skipped() {
        let early = "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n";
        let response = response(&format!(
            "{early}{early}HTTP/1.0 503 \r\nlocation: /x\r\n\r\nno"
        ));
        assert_eq!((response.status, &*response.body), (503, "no"));
        assert_eq!(response.location, "/x");
    }

    /// A peer that keeps the connection open and sends no more bytes.
    struct Kept;

    impl Read for Kept {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(ErrorKind::TimedOut.into())
        }
    }

    #[test]
    fn a_response_that_has_no_body_ends_with_its_head() {
        for status in [
            "101 Switching Protocols",
            "204 No Content",
            "304 Not Modified",
        ] {
            for headers in [
                "",
                "content-length: 6\r\n",
                "transfer-encoding: chunked\r\n",
            ] {
                let head =
                    format!("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 {status}\r\n{headers}\r\n");
                let response = read(BufReader::new(head.as_bytes().chain(Kept))).unwrap();
                assert!(status.starts_with(&response.status.to_string()));
                assert_eq!(response.body, "", "{status} {headers}");
            }
        }
        let other = "HTTP/1.1 200 OK\r\n\r\n";
        let error = read(BufReader::new(other.as_bytes().chain(Kept))).unwrap_err();
        assert!(matches!(error, ReadError::Io(error) if error.kind() == ErrorKind::TimedOut));
    }

    #[test]
    fn a_truncated_response_is_an_error() {
        let whole = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\nready\n\r\n0\r\n";
        for end in 0..whole.len() {
            assert!(is_cut_off(&whole[..end]), "{end}");
        }
        let whole = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nready\n";
        for end in 0..whole.len() {
            assert!(is_cut_off(&whole[..end]), "{end}");
        }
    }

    #[test]
    fn responses_other_than_http_1_are_rejected() {
        for garbage in [
            &b"\x15\x03\x01\x00\x02\x02\x28"[..],
            b"SSH-2.0-OpenSSH_9.6\r\n",
            b"\0",
            b"HTTP/2 200 OK\r\n\r\n",
            b"HTTP/1.1\r\n\r\n",
            b"HTTP/1.1 2000 OK\r\n\r\n",
            b"HTTP/1.1 abc OK\r\n\r\n",
            b"HTTP/1.1 001 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nno header\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nx: \xff\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: six\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: -6\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        ] {
            assert!(is_garbage(garbage), "{}", garbage.escape_ascii());
        }
    }

    #[test]
    fn heads_and_bodies_have_a_limit() {
        let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(MAX_HEAD));
        assert!(is_garbage(endless.as_bytes()));
        let hints = "HTTP/1.1 100 Continue\r\n\r\n".repeat(MAX_HEAD / 8);
        assert!(is_garbage(hints.as_bytes()));

        let long = "x".repeat(MAX_BODY);
        for (head, body) in [
            ("x: y", format!("{long}yz")),
            ("content-length: 99999999999", format!("{long}yz")),
            (
                "transfer-encoding: chunked",
                format!("1\r\nx\r\nffffffffffffffff\r\n{long}"),
            ),
        ] {
            let response = response(&format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}"));
            assert!(response.is_cut, "{head}");
            assert_eq!(response.body.len(), MAX_BODY);
        }
        let response = response(&format!("HTTP/1.1 200 OK\r\n\r\n{long}"));
        assert!(!response.is_cut);
    }
}
