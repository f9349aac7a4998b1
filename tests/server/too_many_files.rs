use crate::{
    ANYWHERE,
    clients::{Raw, head},
    port,
    support::ready,
};
use rustix::process::{Resource, getrlimit, setrlimit};
use std::{io::Write, sync::mpsc, time::Duration};
use tokio::runtime;

const CHILD: &str = "TOWER_READINESS_TEST_CHILD";

/// Sends each logged line to a channel.
struct Lines(mpsc::Sender<String>);

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let _ = self.0.send(String::from_utf8_lossy(line).into_owned());
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_connection_made_while_too_many_files_were_open_is_answered() {
    // In a child process, because no thread of it can open a file.
    if std::env::var_os(CHILD).is_some() {
        let mut builder = runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build().unwrap();
        return runtime.block_on(while_there_are_too_many_open_files());
    }
    let test = "too_many_files::a_connection_made_while_too_many_files_were_open_is_answered";
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}

async fn while_there_are_too_many_open_files() {
    let (logged, log) = mpsc::channel();
    tracing_subscriber::fmt()
        .with_writer(move || Lines(logged.clone()))
        .init();
    let (readiness, _storage) = ready();
    let server = readiness.serve_on_thread(ANYWHERE).unwrap();
    let socket = tokio::net::TcpSocket::new_v4().unwrap();

    let plenty = getrlimit(Resource::Nofile);
    let mut none = plenty;
    none.current = Some(0);
    setrlimit(Resource::Nofile, none).unwrap();
    let mut peer = Raw::on(socket.connect(port(&server)).await.unwrap());
    peer.write(&head("/livez")).await;
    let wait = Duration::from_secs(30);
    while !log.recv_timeout(wait).unwrap().contains("cannot accept") {}
    setrlimit(Resource::Nofile, plenty).unwrap();
    assert_eq!(peer.response().await.0, 200);
}
