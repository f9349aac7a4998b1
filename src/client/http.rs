//! One request and its response, as HTTP/1.0: the server ends the body with the
//! connection, or says its length, and may not split it in chunks.

use super::{connection::ClientConnection, deadline::Deadline, error::ExchangeError};
use crate::address::Address;
use std::{
    io::{self, BufRead, BufReader, ErrorKind, Read, Take, Write},
    net::SocketAddr,
};

/// The longest head of a response. A probe sends some hundred bytes.
const MAX_HEAD: u64 = 16 << 10;

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
    /// The id of the last event of a stream that the request resumes.
    pub(super) last_event_id: Option<&'a str>,
}

/// The head of a response, as far as the client needs it.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: u16,
    location: String,
    #[cfg_attr(not(feature = "cli"), allow(dead_code))]
    content_type: String,
    /// `None` if the body ends with the connection.
    length: Option<u64>,
    /// Whether the body has a transfer coding, which HTTP/1.0 does not have.
    pub(super) is_encoded: bool,
}

#[cfg(feature = "cli")]
impl Head {
    /// Whether the body is of this media type, with any parameters.
    pub(super) fn is_of_type(&self, media_type: &str) -> bool {
        let own = self.content_type.split(';').next().unwrap_or_default();
        own.trim().eq_ignore_ascii_case(media_type)
    }
}

#[derive(Clone, Debug)]
pub(super) struct HttpResponse {
    pub(super) status: u16,
    pub(super) location: String,
    pub(super) body: String,
    /// Whether the body is longer than [`MAX_BODY`], and its end was not read.
    pub(super) is_cut: bool,
    /// Whether the body has a transfer coding, and so was not read. A caller asks for it
    /// where the status makes it need the body: an answer of a proxy may have any status.
    pub(super) is_encoded: bool,
}

/// Sends a request on a new connection, and reads the response. Returns the
/// connection too, because some callers keep it open.
pub(super) fn exchange(
    address: &Address,
    request: &Request<'_>,
    deadline: Deadline,
) -> Result<(HttpResponse, ClientConnection), ExchangeError> {
    let mut connection = send(address, request, deadline)?;
    let response = read(BufReader::new(&mut connection))
        .map_err(|error| error.into_exchange(address, deadline))?;
    Ok((response, connection))
}

/// Sends a request on a new connection, and reads the head of the response. The body is
/// what the returned reader reads.
#[cfg(feature = "cli")]
pub(super) fn open(
    address: &Address,
    request: &Request<'_>,
    deadline: Deadline,
) -> Result<(Head, BufReader<ClientConnection>), ExchangeError> {
    let mut reader = BufReader::new(send(address, request, deadline)?);
    let head = read_head(&mut reader).map_err(|error| error.into_exchange(address, deadline))?;
    Ok((head, reader))
}

fn send(
    address: &Address,
    request: &Request<'_>,
    deadline: Deadline,
) -> Result<ClientConnection, ExchangeError> {
    let timeout = deadline.timeout();
    let mut connection = ClientConnection::connect(address, deadline).map_err(|source| {
        let address = address.clone();
        match (source.kind(), &address) {
            (ErrorKind::TimedOut, _) => ExchangeError::Timeout { address, timeout },
            #[cfg(unix)]
            (_, Address::Unix(path)) if super::unix::is_not_a_socket(path) => {
                ExchangeError::NotASocket { address }
            }
            _ => ExchangeError::Connect { address, source },
        }
    })?;
    let text = request.to_text(address);
    let written = connection.write_all(text.as_bytes());
    written.map_err(|error| ReadError::Io(error).into_exchange(address, deadline))?;
    Ok(connection)
}

impl Request<'_> {
    fn to_text(&self, address: &Address) -> String {
        let host = match address {
            // Without its zone, which this machine alone knows (RFC 6874, section 3).
            Address::Tcp(SocketAddr::V6(address)) => {
                format!("[{}]:{}", address.ip(), address.port())
            }
            Address::Tcp(address) => address.to_string(),
            Address::Port(port) => format!("localhost:{port}"),
            // A path is not a valid host.
            #[cfg(unix)]
            Address::Unix(_) => "localhost".to_owned(),
        };
        let Self {
            method,
            target,
            accept,
            body,
            last_event_id,
        } = self;
        let resume = last_event_id.map(|id| format!("last-event-id: {id}\r\n"));
        let resume = resume.unwrap_or_default();
        let version = env!("CARGO_PKG_VERSION");
        let length = match *method {
            "POST" => format!("content-length: {}\r\n", body.len()),
            _ => String::new(),
        };
        format!(
            "{method} {target} HTTP/1.0\r\nhost: {host}\r\naccept: {accept}\r\n\
             user-agent: tower-readiness/{version}\r\n{resume}{length}\r\n{body}"
        )
    }
}

// === reading the response ===

#[derive(Debug)]
pub(super) enum ReadError {
    Io(io::Error),
    NotHttp,
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl ReadError {
    pub(super) fn into_exchange(self, address: &Address, deadline: Deadline) -> ExchangeError {
        let (address, timeout) = (address.clone(), deadline.timeout());
        match self {
            Self::NotHttp => ExchangeError::NotHttp { address },
            Self::Io(source) => match source.kind() {
                ErrorKind::TimedOut => ExchangeError::Timeout { address, timeout },
                ErrorKind::UnexpectedEof => ExchangeError::ClosedEarly { address },
                _ => ExchangeError::Broken { address, source },
            },
        }
    }
}

pub(super) fn read(mut reader: impl BufRead) -> Result<HttpResponse, ReadError> {
    let Head {
        status,
        location,
        length,
        is_encoded,
        ..
    } = read_head(&mut reader)?;
    let length = if is_encoded { Some(0) } else { length };
    let wanted = length.unwrap_or(u64::MAX).min(MAX_BODY as u64 + 1);
    let mut body = Vec::new();
    reader.take(wanted).read_to_end(&mut body)?;
    if length.is_some() && (body.len() as u64) < wanted {
        return Err(ReadError::Io(ErrorKind::UnexpectedEof.into()));
    }
    let is_cut = body.len() > MAX_BODY;
    body.truncate(MAX_BODY);
    Ok(HttpResponse {
        status,
        location,
        body: String::from_utf8_lossy(&body).into_owned(),
        is_cut,
        is_encoded,
    })
}

fn read_head(reader: &mut impl BufRead) -> Result<Head, ReadError> {
    let mut head = reader.by_ref().take(MAX_HEAD);
    let status = read_status(&mut head)?;
    let mut location = String::new();
    let mut content_type = String::new();
    // Without a length, the body ends with the connection.
    let mut length: Option<u64> = None;
    let mut is_encoded = false;
    loop {
        let line = read_line(&mut head)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or(ReadError::NotHttp)?;
        let value = value.trim();
        match &*name.to_ascii_lowercase() {
            "content-length" => length = Some(value.parse().map_err(|_| ReadError::NotHttp)?),
            "transfer-encoding" => is_encoded = true,
            "location" => value.clone_into(&mut location),
            "content-type" => value.clone_into(&mut content_type),
            _ => {}
        }
    }
    if matches!(status, ..200 | 204 | 304) {
        // These never have a body, even if the head announces one.
        length = Some(0);
        is_encoded = false;
    }
    Ok(Head {
        status,
        location,
        content_type,
        length,
        is_encoded,
    })
}

fn read_status(head: &mut Take<impl BufRead>) -> Result<u16, ReadError> {
    // Checked byte by byte: a peer without HTTP may never end a line.
    for expected in BEGINNING {
        let mut byte = [0];
        head.read_exact(&mut byte)?;
        if byte != [*expected] {
            return Err(ReadError::NotHttp);
        }
    }
    let line = read_line(head)?;
    let code = line.split(' ').nth(1).filter(|code| code.len() == 3);
    code.and_then(|code| code.parse().ok())
        .filter(|status| *status >= 100)
        .ok_or(ReadError::NotHttp)
}

/// Reads a line of the head, and returns it without its line end.
fn read_line(head: &mut Take<impl BufRead>) -> Result<String, ReadError> {
    let mut line = Vec::new();
    head.read_until(b'\n', &mut line)?;
    if line.pop() != Some(b'\n') {
        return Err(match head.limit() {
            0 => ReadError::NotHttp,
            _ => ReadError::Io(ErrorKind::UnexpectedEof.into()),
        });
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    String::from_utf8(line).map_err(|_| ReadError::NotHttp)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(text: &str) -> HttpResponse {
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
    fn the_host_is_the_address_without_a_zone() {
        for (address, host) in [
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("[::1]:1", "[::1]:1"),
            ("[fe80::1%2]:1", "[fe80::1]:1"),
            (":1", "localhost:1"),
        ] {
            let request = Request {
                method: "GET",
                target: "/",
                accept: "*/*",
                body: "",
                last_event_id: None,
            };
            let text = request.to_text(&address.parse().unwrap());
            assert!(text.contains(&format!("\r\nhost: {host}\r\n")), "{text}");
        }
    }

    #[test]
    fn a_length_or_the_connection_ends_a_body() {
        for (head, body) in [
            ("content-length: 6", "ready\nand more"),
            ("Content-Length:6", "ready\n"),
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
    fn the_status_and_the_location_are_read() {
        let response = response("HTTP/1.0 503 \r\nlocation: /x\r\n\r\nno");
        assert_eq!((response.status, &*response.body), (503, "no"));
        assert_eq!(response.location, "/x");
    }

    #[test]
    fn a_body_with_a_transfer_coding_is_not_read() {
        for headers in [
            "transfer-encoding: chunked",
            "TRANSFER-ENCODING: gzip",
            "content-length: 6\r\ntransfer-encoding: chunked",
        ] {
            let text = format!("HTTP/1.1 503 Busy\r\n{headers}\r\n\r\n6\r\nready\n\r\n0\r\n\r\n");
            let response = response(&text);
            assert!(response.is_encoded, "{headers}");
            assert_eq!((response.status, &*response.body), (503, ""), "{headers}");
        }
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
            "103 Early Hints",
            "204 No Content",
            "304 Not Modified",
        ] {
            for headers in [
                "",
                "content-length: 6\r\n",
                "transfer-encoding: chunked\r\n",
            ] {
                let head = format!("HTTP/1.1 {status}\r\n{headers}\r\n");
                let response = read(BufReader::new(head.as_bytes().chain(Kept))).unwrap();
                assert!(status.starts_with(&response.status.to_string()));
                assert_eq!(response.body, "", "{status} {headers}");
                assert!(!response.is_encoded, "{status} {headers}");
            }
        }
        let other = "HTTP/1.1 200 OK\r\n\r\n";
        let error = read(BufReader::new(other.as_bytes().chain(Kept))).unwrap_err();
        assert!(matches!(error, ReadError::Io(error) if error.kind() == ErrorKind::TimedOut));
    }

    #[test]
    fn a_truncated_response_is_an_error() {
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
        ] {
            assert!(is_garbage(garbage), "{}", garbage.escape_ascii());
        }
    }

    #[test]
    fn heads_and_bodies_have_a_limit() {
        let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(16 << 10));
        assert!(is_garbage(endless.as_bytes()));
        let many = format!("HTTP/1.1 200 OK\r\n{}", "x: y\r\n".repeat(4 << 10));
        assert!(is_garbage(many.as_bytes()));

        let long = "x".repeat(MAX_BODY);
        for (head, body) in [
            ("x: y", format!("{long}yz")),
            ("content-length: 99999999999", format!("{long}yz")),
        ] {
            let response = response(&format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}"));
            assert!(response.is_cut, "{head}");
            assert_eq!(response.body.len(), MAX_BODY);
        }
        let response = response(&format!("HTTP/1.1 200 OK\r\n\r\n{long}"));
        assert!(!response.is_cut);
    }
}
