//! Attacks that use up the file descriptors of the process.

use crate::{attack::Attack, process::Process};
use tokio::io::AsyncReadExt;

/// More than the process has descriptors for. With 300 peers, the kernel drops attempts to
/// connect, and up to 19 of 60 probes are lost before the process can see them.
const ATTACK: Attack = Attack {
    name: "descriptors used up",
    peers: 150,
    memory: 16 << 10,
    is_ended: true,
};

const DESCRIPTORS: u64 = 128;

#[test]
fn probes_are_answered_while_silent_connections_use_up_the_descriptors() {
    let process = Process::start(DESCRIPTORS);
    for name in ["application", "admin"] {
        ATTACK.on(&process, name, process.port(name), async |mut peer| {
            peer.is_connected();
            peer.until_ended().await
        });
    }
    process.end();
}

#[test]
fn probes_are_answered_while_kept_connections_use_up_the_descriptors() {
    let process = Process::start(DESCRIPTORS);
    for name in ["application", "admin"] {
        ATTACK.on(&process, name, process.port(name), async |mut peer| {
            peer.write(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n")
                .await?;
            peer.stream.read_exact(&mut [0; 17]).await?;
            peer.until_ended().await
        });
    }
    process.end();
}
