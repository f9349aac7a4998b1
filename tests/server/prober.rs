use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// A kubelet's default.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The pause between connecting and sending the request, as of a prober whose thread
/// waits for a processor in between.
const GAP: Duration = Duration::from_millis(50);

const PROBES: usize = 60;

/// Probes liveness 60 times as a kubelet does: on a connection of its own each
/// time, and giving up after a second. One may be lost.
pub(crate) fn probe(address: SocketAddr) {
    let mut lost = Vec::new();
    for _ in 0..PROBES {
        if let Err(error) = once(address) {
            lost.push(error.to_string());
        }
    }
    assert!(lost.len() <= 1, "{} lost: {lost:?}", lost.len());
}

fn once(address: SocketAddr) -> io::Result<()> {
    let deadline = Instant::now() + TIMEOUT;
    let left = || {
        let left = deadline.saturating_duration_since(Instant::now());
        match left {
            Duration::ZERO => Err(io::Error::from(io::ErrorKind::TimedOut)),
            left => Ok(left),
        }
    };
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    std::thread::sleep(GAP);
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nlive\n") {
        stream.set_read_timeout(Some(left()?))?;
        let mut buffer = [0; 1024];
        match stream.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            length => answer.extend_from_slice(&buffer[..length]),
        }
    }
    match answer.starts_with(b"HTTP/1.1 200 ") {
        true => Ok(()),
        false => Err(io::Error::other("it is not live")),
    }
}
