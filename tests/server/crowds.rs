//! Many clients that reconnect soon after they are closed, and a prober among them.
//! The clients have their own runtime; the listener runs on its thread, as shipped.

use crate::{
    ANYWHERE,
    clients::{blocking_get, head},
    port, prober,
    support::{ready, starting},
};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime,
    time::sleep,
};
use tower_readiness::{
    Readiness, Subsystem,
    server::{AdminListener, AdminServer},
};

/// How long a closed client waits before it reconnects. Clients that reconnect at
/// once would take the processor from the listener on a busy machine.
const PAUSE: Duration = Duration::from_millis(100);

/// Runs this many clients, each of which reconnects when its connection has ended,
/// and probes the listener meanwhile.
fn probe_among<F>(
    size: usize,
    server: &AdminServer,
    client: impl Fn(TcpStream, Arc<AtomicUsize>) -> F + Clone + Send + 'static,
) where
    F: Future<Output = std::io::Result<()>> + Send,
{
    let address: SocketAddr = port(server);
    let mut builder = runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build().unwrap();
    let served = Arc::new(AtomicUsize::new(0));
    for _ in 0..size {
        let (client, served) = (client.clone(), Arc::clone(&served));
        runtime.spawn(async move {
            loop {
                if let Ok(stream) = TcpStream::connect(address).await {
                    let _ = client(stream, Arc::clone(&served)).await;
                }
                sleep(PAUSE).await;
            }
        });
    }
    // Every client was served at least once.
    while served.load(Ordering::Relaxed) < size {
        std::thread::sleep(Duration::from_millis(1));
    }
    prober::probe(address, std::process::id());
}

#[test]
fn http2_peers_that_acknowledge_nothing_cannot_keep_a_probe_out() {
    let (readiness, _storage) = ready();
    let listener = AdminListener::new(&readiness).with_http2();
    let server = listener.serve_on_thread(ANYWHERE).unwrap();
    let mut opening = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // SETTINGS with none, then GET http://localhost/livez as stream 1 (RFC
    // 9113, section 6; RFC 7541, appendix A).
    opening.extend(b"\0\0\0\x04\0\0\0\0\0");
    opening.extend(b"\0\0\x15\x01\x05\0\0\0\x01");
    opening.extend(b"\x82\x86\x04\x06/livez\x01\x09localhost");
    probe_among(200, &server, move |mut stream, served| {
        let opening = opening.clone();
        async move {
            stream.write_all(&opening).await?;
            let mut answer = [0; 256];
            while stream.read(&mut answer).await? > 0 {
                served.fetch_add(1, Ordering::Relaxed);
            }
            sleep(10 * PAUSE).await;
            Ok(())
        }
    });
}

#[test]
fn waiting_clients_cannot_keep_a_probe_out() {
    let (readiness, _storage) = starting();
    let server = readiness.serve_on_thread(ANYWHERE).unwrap();
    probe_among(64, &server, async |mut stream: TcpStream, served| {
        let both = head("/livez") + &head("/readyz?wait=60");
        stream.write_all(both.as_bytes()).await?;
        let mut answer = [0; 1024];
        while stream.read(&mut answer).await? > 0 {
            served.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    });
}

#[test]
fn busy_clients_on_connections_that_they_keep_cannot_keep_a_probe_out() {
    let (readiness, _storage) = ready();
    let server = readiness.serve_on_thread(ANYWHERE).unwrap();
    probe_among(70, &server, async |mut stream: TcpStream, served| {
        let mut answer = [0; 1024];
        loop {
            stream.write_all(head("/livez").as_bytes()).await?;
            if stream.read(&mut answer).await? == 0 {
                return Ok(());
            }
            served.fetch_add(1, Ordering::Relaxed);
        }
    });
}

#[test]
fn clients_that_send_requests_and_read_no_answers_cannot_keep_a_probe_out() {
    let readiness = with_subsystems(500);
    let server = readiness.serve_on_thread(ANYWHERE).unwrap();
    probe_among(100, &server, async |mut stream: TcpStream, served| {
        let requests = head("/statusz").repeat(100);
        stream.write_all(requests.as_bytes()).await?;
        served.fetch_add(1, Ordering::Relaxed);
        loop {
            stream.write_all(requests.as_bytes()).await?;
        }
    });
}

#[test]
fn clients_that_go_on_sending_after_their_answer_cannot_keep_a_probe_out() {
    let (readiness, _storage) = ready();
    let server = readiness.serve_on_thread(ANYWHERE).unwrap();
    probe_among(200, &server, async |mut stream: TcpStream, served| {
        let head = "POST /readyz HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9999999999\r\n\r\n";
        stream.write_all(head.as_bytes()).await?;
        stream.read_exact(&mut [0; 12]).await?;
        served.fetch_add(1, Ordering::Relaxed);
        // Silent for a moment only, and slow enough to leave the processor to the
        // listener.
        loop {
            stream.write_all(&[b'x'; 1 << 10]).await?;
            sleep(PAUSE).await;
        }
    });
}

#[test]
fn a_client_that_asks_for_thousands_of_subsystems_again_and_again_keeps_no_probe_waiting() {
    let readiness = with_subsystems(5_000);
    let server = readiness.serve_on_thread(ANYWHERE).unwrap();
    let answer = blocking_get(port(&server), "/statusz");
    assert!(answer.contains("[+]subsystem-4999 ready"), "{answer}");
    probe_among(4, &server, |stream, served| {
        ask_again_and_again("/statusz", stream, served)
    });
}

/// Two limits keep the thread from rendering without a pause: the kernel buffers a
/// bounded part of unread answers, and the listener accepts connections after each
/// step.
#[test]
fn a_client_whose_large_answers_cannot_be_shared_keeps_no_probe_waiting() {
    let readiness = with_subsystems(300);
    let server = readiness.serve_on_thread(ANYWHERE).unwrap();
    probe_among(1, &server, |stream, served| {
        ask_again_and_again("/statusz?exclude=subsystem-0", stream, served)
    });
}

/// Keeps requests open, and reads the answers.
async fn ask_again_and_again(
    target: &str,
    stream: TcpStream,
    served: Arc<AtomicUsize>,
) -> std::io::Result<()> {
    let (mut reader, mut writer) = stream.into_split();
    let text = head(target);
    let json = text.replace("\r\n\r\n", "\r\naccept: application/json\r\n\r\n");
    let requests = (text + &json).repeat(16);
    let ask = async {
        while writer.write_all(requests.as_bytes()).await.is_ok() {}
        Ok(())
    };
    let read = async {
        let mut answers = vec![0; 1 << 20];
        while reader.read(&mut answers).await? > 0 {
            served.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    };
    tokio::try_join!(ask, read).map(|_: ((), ())| ())
}

fn with_subsystems(count: usize) -> Readiness {
    let name = |n: usize| format!("subsystem-{n}");
    let readiness = (0..count)
        .map(|n| Subsystem::new(name(n)))
        .fold(Readiness::builder(), tower_readiness::Builder::subsystem)
        .build()
        .unwrap();
    for n in 0..count {
        readiness.reporter(&name(n)).unwrap().leave_ready();
    }
    readiness
}
