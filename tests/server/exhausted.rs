use crate::{ANYWHERE, port, prober, support::ready};
use rustix::process::{Resource, getrlimit, setrlimit};
use std::{
    io::{BufRead, BufReader, ErrorKind, Lines, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

const CHILD: &str = "TOWER_READINESS_TEST_CHILD";
const TEST: &str = "exhausted::an_application_out_of_descriptors_still_answers_its_probes";

/// Runs a test in a process of its own, until its input ends. Returns the lines that it prints.
fn child(test: &str) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

#[test]
fn an_application_out_of_descriptors_still_answers_its_probes() {
    // In a child process, because no thread of it can open a file.
    if std::env::var_os(CHILD).is_some() {
        return serve_until_told();
    }
    let (mut child, mut lines) = child(TEST);
    let mut address = |name: &str| -> SocketAddr {
        let line = lines.find_map(|line| line.unwrap().split_once(name).map(|it| it.1.to_owned()));
        line.unwrap().parse().unwrap()
    };
    let (application, admin) = (address("application at "), address("admin at "));
    let crowd: Vec<_> = (0..200)
        .map(|_| TcpStream::connect(application).unwrap())
        .collect();
    address("exhausted at ");
    prober::probe(admin, child.id());

    let ask = |path: &str| {
        let mut peer = TcpStream::connect(admin).unwrap();
        peer.set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        write!(peer, "GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        peer
    };
    let keep = |_| {
        let mut kept = ask("/livez");
        kept.read_exact(&mut [0; 17]).unwrap();
        kept
    };
    // Three probes wait at the same time, and a fourth ends none of them.
    let waiting = [(); 3].map(|()| ask("/readyz?wait=60&until=red"));
    drop(keep(0));
    for mut peer in waiting {
        peer.set_nonblocking(true).unwrap();
        let read = peer.read(&mut [0]).map_err(|error| error.kind());
        assert_eq!(read, Err(ErrorKind::WouldBlock));
    }

    // Connections that have taken all reserved descriptors must not keep the
    // listener from others either.
    let kept: Vec<_> = (0..8).map(keep).collect();
    prober::probe(admin, child.id());
    drop((crowd, kept));
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

/// An application that accepts every connection that it can, and keeps it.
fn serve_until_told() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = Some(128);
    setrlimit(Resource::Nofile, limit).unwrap();
    let (readiness, _storage) = ready();
    let server = readiness.serve_on_thread(ANYWHERE).unwrap();
    let listener = TcpListener::bind(ANYWHERE).unwrap();
    let local = listener.local_addr().unwrap();
    println!("\napplication at {local}\nadmin at {}", port(&server));
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        let mut told = false;
        loop {
            match listener.accept() {
                Ok((stream, _)) => kept.push(stream),
                Err(_) => {
                    if !told {
                        println!("\nexhausted at {local}");
                        let _ = std::io::stdout().flush();
                        told = true;
                    }
                    // The pause of `drain::serve` (axum's is a second). Without one, the
                    // application could take the descriptor that the listener releases.
                    std::thread::sleep(Duration::from_millis(100));
                }
            }
        }
    });
    let _ = std::io::stdin().read(&mut [0]);
}

#[test]
fn the_spare_descriptors_are_open_when_serve_returns() {
    const TEST: &str = "exhausted::the_spare_descriptors_are_open_when_serve_returns";
    if std::env::var_os(CHILD).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        return runtime.unwrap().block_on(async {
            let (readiness, _storage) = ready();
            let server = readiness.serve(ANYWHERE).await.unwrap();
            // The task of the listener has not been polled yet.
            let mut limit = getrlimit(Resource::Nofile);
            limit.current = Some(64);
            setrlimit(Resource::Nofile, limit).unwrap();
            let taken: Vec<_> = std::iter::from_fn(|| UdpSocket::bind(ANYWHERE).ok()).collect();
            assert!(!taken.is_empty());
            println!("\nadmin at {}", port(&server));
            let told = tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0]));
            let _ = told.await;
        });
    }
    let (mut child, mut lines) = child(TEST);
    let address = lines.find_map(|line| Some(line.unwrap().strip_prefix("admin at ")?.to_owned()));
    let address: SocketAddr = address.unwrap().parse().unwrap();
    let mut peer = TcpStream::connect(address).unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    write!(peer, "GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut status = [0; 17];
    peer.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 200 OK\r\n");
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}
