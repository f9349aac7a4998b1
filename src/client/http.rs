use super::{deadline::Deadline, error::ExchangeError, wire::Wire};
use crate::address::Address;
use std::{
    io::{self, BufRead, BufReader, ErrorKind, Read, Write},
    str,
};

/// How long the head of an answer may be. Those of probes have some hundred
/// bytes.
const MAX_HEAD: usize = 16 << 10;

/// How much is read of a body. One of a probe has at most about 20 KiB, unless
/// it lists all subsystems.
pub(super) const MAX_BODY: usize = 1 << 20;

/// How an answer of HTTP/1 begins.
const BEGINNING: &[u8] = b"HTTP/1.";

#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) method: &'static str,
    pub(super) target: &'a str,
    pub(super) accept: &'static str,
    pub(super) body: &'a str,
    /// Whether the connection is to stay open after the answer.
    pub(super) keeps: bool,
}

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) location: String,
    pub(super) body: String,
    /// Whether the body is longer than what was read of it.
    pub(super) is_cut: bool,
}

/// Asks, on a connection of its own.
pub(super) fn exchange(
    address: &Address,
    request: &Request<'_>,
    deadline: Deadline,
) -> Result<Answer, ExchangeError> {
    let (answer, _wire) = exchange_on(address, request, deadline)?;
    Ok(answer)
}

/// The same, and gives the connection too.
pub(super) fn exchange_on(
    address: &Address,
    request: &Request<'_>,
    deadline: Deadline,
) -> Result<(Answer, Wire), ExchangeError> {
    let address = || address.clone();
    let timeout = deadline.timeout();
    let wire = Wire::connect(&address(), deadline).map_err(|source| match source.kind() {
        ErrorKind::TimedOut => ExchangeError::Timeout {
            address: address(),
            timeout,
        },
        #[cfg(unix)]
        _ if matches!(address(), Address::Unix(path) if super::unix::is_something_else(&path)) => {
            ExchangeError::NotASocket { address: address() }
        }
        _ => ExchangeError::Connect {
            address: address(),
            source,
        },
    })?;
    converse(wire, &address(), request).map_err(|fault| match fault {
        Fault::NotHttp => ExchangeError::NotHttp { address: address() },
        Fault::Io(source) => match source.kind() {
            ErrorKind::TimedOut => ExchangeError::Timeout {
                address: address(),
                timeout,
            },
            ErrorKind::UnexpectedEof => ExchangeError::ShutdownTimeout { address: address() },
            _ => ExchangeError::Broken {
                address: address(),
                source,
            },
        },
    })
}

fn converse(
    mut wire: Wire,
    address: &Address,
    request: &Request<'_>,
) -> Result<(Answer, Wire), Fault> {
    let head = match address {
        Address::Tcp(address) => request.head(&address.to_string()),
        Address::Port(port) => request.head(&format!("localhost:{port}")),
        // The socket is the host, and has no name that fits there.
        #[cfg(unix)]
        Address::Unix(_) => request.head("localhost"),
    };
    wire.write_all((head + request.body).as_bytes())?;
    let answer = read(BufReader::new(&mut wire))?;
    Ok((answer, wire))
}

impl Request<'_> {
    fn head(&self, host: &str) -> String {
        let Self {
            method,
            target,
            accept,
            body,
            keeps,
        } = self;
        let version = env!("CARGO_PKG_VERSION");
        let mut head = format!(
            "{method} {target} HTTP/1.1\r\nhost: {host}\r\naccept: {accept}\r\n\
             user-agent: tower-readiness/{version}\r\n"
        );
        if !keeps {
            head += "connection: close\r\n";
        }
        if *method == "POST" {
            head += &format!("content-length: {}\r\n", body.len());
        }
        head + "\r\n"
    }
}

// === reading ===

#[derive(Debug)]
enum Fault {
    Io(io::Error),
    NotHttp,
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// How the end of a body is told (RFC 9112, section 6.3).
enum Framing {
    Chunked,
    Length(u64),
    Close,
}

fn read(mut reader: impl BufRead) -> Result<Answer, Fault> {
    let mut left = MAX_HEAD;
    let (status, framing, location) = loop {
        let status = status(&mut reader, &mut left)?;
        let (framing, location) = headers(&mut reader, &mut left)?;
        match status {
            // These never have a body, whatever the head says. (The first ends
            // HTTP on this connection, and was not asked for.)
            101 | 204 | 304 => break (status, Framing::Length(0), location),
            // The others below 200 announce the one that counts.
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
    Ok(Answer {
        status,
        location,
        body: String::from_utf8_lossy(&body).into_owned(),
        is_cut,
    })
}

fn status(reader: &mut impl BufRead, left: &mut usize) -> Result<u16, Fault> {
    // Before the end of the line, which garbage may not have.
    for expected in BEGINNING {
        let mut byte = [0];
        reader.read_exact(&mut byte)?;
        if byte != [*expected] {
            return Err(Fault::NotHttp);
        }
    }
    let line = line(reader, left)?;
    let code = line.split(' ').nth(1).filter(|code| code.len() == 3);
    code.and_then(|code| code.parse().ok())
        .filter(|status| *status >= 100)
        .ok_or(Fault::NotHttp)
}

fn headers(reader: &mut impl BufRead, left: &mut usize) -> Result<(Framing, String), Fault> {
    let mut framing = Framing::Close;
    let mut location = String::new();
    loop {
        let line = line(reader, left)?;
        if line.is_empty() {
            return Ok((framing, location));
        }
        let (name, value) = line.split_once(':').ok_or(Fault::NotHttp)?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("transfer-encoding") {
            if !value.eq_ignore_ascii_case("chunked") {
                return Err(Fault::NotHttp);
            }
            framing = Framing::Chunked;
        } else if name.eq_ignore_ascii_case("content-length") {
            let length = value.parse().map_err(|_| Fault::NotHttp)?;
            // Of both, chunks count.
            if !matches!(framing, Framing::Chunked) {
                framing = Framing::Length(length);
            }
        } else if name.eq_ignore_ascii_case("location") {
            location = value.to_owned();
        }
    }
}

/// A line without its end, of at most what is `left`.
fn line(reader: &mut impl BufRead, left: &mut usize) -> Result<String, Fault> {
    let mut line = Vec::new();
    reader.take(*left as u64).read_until(b'\n', &mut line)?;
    *left -= line.len();
    if line.pop() != Some(b'\n') {
        return Err(match *left {
            0 => Fault::NotHttp,
            _ => Fault::Io(ErrorKind::UnexpectedEof.into()),
        });
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    String::from_utf8(line).map_err(|_| Fault::NotHttp)
}

/// A body of so many bytes, and whether some were left unread.
fn counted(reader: &mut impl BufRead, length: u64) -> io::Result<(Vec<u8>, bool)> {
    let wanted = length.min(MAX_BODY as u64);
    let mut body = Vec::new();
    reader.take(wanted).read_to_end(&mut body)?;
    if (body.len() as u64) < wanted {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok((body, length > wanted))
}

/// A body in chunks, and whether some was left unread (RFC 9112, section 7.1).
fn chunks(reader: &mut impl BufRead) -> Result<(Vec<u8>, bool), Fault> {
    let mut body = Vec::new();
    loop {
        let mut left = MAX_HEAD;
        let line_of_size = line(reader, &mut left)?;
        let size = line_of_size.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16).map_err(|_| Fault::NotHttp)?;
        if size == 0 {
            // What may follow is about the body, and not asked for.
            return Ok((body, false));
        }
        let room = (MAX_BODY - body.len()) as u64;
        let (chunk, _) = counted(reader, size.min(room))?;
        body.extend(chunk);
        if size > room {
            return Ok((body, true));
        }
        if !line(reader, &mut left)?.is_empty() {
            return Err(Fault::NotHttp);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> Answer {
        read(text.as_bytes()).unwrap()
    }

    fn is_cut_off(text: &str) -> bool {
        let fault = read(text.as_bytes()).unwrap_err();
        matches!(fault, Fault::Io(error) if error.kind() == ErrorKind::UnexpectedEof)
    }

    fn is_garbage(text: &[u8]) -> bool {
        matches!(read(text).unwrap_err(), Fault::NotHttp)
    }

    #[test]
    fn a_body_ends_where_its_framing_says() {
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
            let answer = answer(&format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}"));
            assert_eq!((answer.status, &*answer.body), (200, "ready\n"), "{head}");
            assert!(!answer.is_cut);
        }
    }

    #[test]
    fn what_is_announced_is_passed_over() {
        let early = "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n";
        let answer = answer(&format!(
            "{early}{early}HTTP/1.0 503 \r\nlocation: /x\r\n\r\nno"
        ));
        assert_eq!((answer.status, &*answer.body), (503, "no"));
        assert_eq!(answer.location, "/x");
    }

    /// A peer that keeps the connection and sends no more.
    struct Kept;

    impl Read for Kept {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(ErrorKind::TimedOut.into())
        }
    }

    #[test]
    fn an_answer_that_has_no_body_ends_with_its_head() {
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
                let answer = read(BufReader::new(head.as_bytes().chain(Kept))).unwrap();
                assert!(status.starts_with(&answer.status.to_string()));
                assert_eq!(answer.body, "", "{status} {headers}");
            }
        }
        let other = "HTTP/1.1 200 OK\r\n\r\n";
        let fault = read(BufReader::new(other.as_bytes().chain(Kept))).unwrap_err();
        assert!(matches!(fault, Fault::Io(error) if error.kind() == ErrorKind::TimedOut));
    }

    #[test]
    fn an_answer_that_stops_half_way_is_none() {
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
    fn what_is_not_http_is_told_by_its_first_bytes() {
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
            let answer = answer(&format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}"));
            assert!(answer.is_cut, "{head}");
            assert_eq!(answer.body.len(), MAX_BODY);
        }
        let answer = answer(&format!("HTTP/1.1 200 OK\r\n\r\n{long}"));
        assert!(!answer.is_cut);
    }
}
