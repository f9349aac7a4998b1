//! Attacks with HTTP/1, or with less than that.

use crate::{
    attack::{Attack, PAUSE},
    process::Process,
};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::{io::AsyncWriteExt, time::sleep};

const HEAD: &str = "GET /livez HTTP/1.1\r\nhost: localhost\r\n";

#[test]
fn probes_are_answered_while_peers_send_their_heads_byte_by_byte() {
    Attack {
        name: "slow heads",
        peers: 100,
        memory: 8 << 10,
        is_ended: false,
    }
    .on_both_ports(async |mut peer| {
        peer.write(HEAD.as_bytes()).await?;
        loop {
            peer.write(b"x").await?;
            sleep(PAUSE).await;
        }
    });
}

#[test]
fn probes_are_answered_while_peers_have_closed_their_half() {
    Attack {
        name: "half-closed peers",
        peers: 100,
        memory: 8 << 10,
        is_ended: true,
    }
    .on_both_ports(async |mut peer| {
        peer.write(format!("{HEAD}\r\n{HEAD}").as_bytes()).await?;
        peer.stream.shutdown().await?;
        // Reads nothing until long after.
        sleep(10 * PAUSE).await;
        peer.until_ended().await
    });
}

#[test]
fn probes_are_answered_while_10_000_connections_are_idle() {
    const IDLE: u64 = 10_000;
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    let most = limit.maximum.unwrap_or(u64::MAX).min(IDLE + 1_000);
    let process = Process::start(most);
    for (name, memory) in [("application", 8 * IDLE), ("admin", 8 << 10)] {
        let attack = Attack {
            name: "idle connections",
            peers: usize::try_from(most - 1_000).unwrap(),
            memory,
            is_ended: false,
        };
        attack.on(&process, name, process.port(name), async |mut peer| {
            peer.is_connected();
            // An admin listener ends most of them. They do not return.
            peer.until_ended().await?;
            std::future::pending().await
        });
    }
    process.end();
}

#[test]
fn probes_are_answered_while_peers_pipeline_probes_and_read_no_answer() {
    let block = format!("{HEAD}\r\n").repeat(200);
    Attack {
        name: "pipelined probes",
        peers: 4,
        memory: 16 << 10,
        is_ended: false,
    }
    .on_both_ports(move |mut peer| {
        let block = block.clone();
        async move { peer.flood(|| Some(block.clone().into()), false).await }
    });
}

#[test]
fn probes_are_answered_while_peers_pipeline_probes_and_read_all_answers() {
    let block = format!("{HEAD}\r\n").repeat(200);
    Attack {
        name: "pipelined probes, read",
        peers: 4,
        memory: 8 << 10,
        is_ended: false,
    }
    .on_both_ports(move |mut peer| {
        let block = block.clone();
        async move { peer.flood(|| Some(block.clone().into()), true).await }
    });
}

#[test]
fn probes_are_answered_while_peers_send_huge_heads() {
    Attack {
        name: "huge heads",
        peers: 4,
        memory: 32 << 10,
        is_ended: true,
    }
    .on_both_ports(async |mut peer| {
        peer.write(HEAD.as_bytes()).await?;
        let block = format!("x: {}\r\n", "y".repeat(16 << 10));
        peer.flood(|| Some(block.clone().into()), true).await
    });
}

#[test]
fn probes_are_answered_while_peers_read_none_of_a_big_answer() {
    Attack {
        name: "unread answers",
        peers: 64,
        memory: 8 << 10,
        is_ended: false,
    }
    .on_both_ports(async |mut peer| {
        let request = b"GET /big HTTP/1.1\r\nhost: localhost\r\n\r\n";
        peer.write(request).await?;
        std::future::pending().await
    });
}
