use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

pub(crate) const PROBES: usize = 60;

/// The pause between two probes.
const INTERVAL: Duration = Duration::from_millis(15);

/// How long a probe waits. A kubelet would wait a second; more, so that the test counts
/// answers and not the speed of the machine.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Asks 60 times for liveness, on a new connection each time, whether the one before was
/// answered or not. Returns the failures.
pub(crate) fn probe(address: SocketAddr) -> Vec<String> {
    let probes = (0..PROBES).map(|number| {
        thread::sleep(INTERVAL);
        thread::spawn(move || once(address).map_err(|error| format!("{number}: {error}")))
    });
    let probes: Vec<_> = probes.collect();
    let answers = probes.into_iter().map(|probe| probe.join().unwrap());
    answers.filter_map(Result::err).collect()
}

pub(crate) fn once(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let is_live = answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nlive\n");
    is_live.then_some(()).ok_or(io::Error::other(answer))
}
