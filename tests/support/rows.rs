//! The rows of the truth table, and further cases that are easily mistaken.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary includes this module and uses a part of it"
)]

use std::net::SocketAddr;
use tokio::net::TcpSocket;
use tower_readiness::{PauseGuard, Phase, Readiness, Reporter, Subsystem};

/// A process with a subsystem of every role.
pub struct Process {
    pub readiness: Readiness,
    pub storage: Reporter,
    pub engine: Reporter,
    pub database: Reporter,
    pub cache: Reporter,
    pub backup: Reporter,
    pub pause: Option<PauseGuard>,
}

impl Process {
    pub fn starting() -> Self {
        let readiness = Readiness::builder()
            .subsystem(Subsystem::new("storage"))
            .subsystem(Subsystem::new("engine").vital())
            .subsystem(Subsystem::new("database").shared())
            .subsystem(Subsystem::new("cache").optional())
            .subsystem(Subsystem::new("backup").informative())
            .scope("search", ["cache"])
            .build()
            .unwrap();
        let claim = |name| readiness.reporter(name).unwrap();
        Self {
            storage: claim("storage"),
            engine: claim("engine"),
            database: claim("database"),
            cache: claim("cache"),
            backup: claim("backup"),
            pause: None,
            readiness,
        }
    }

    pub fn ready() -> Self {
        let process = Self::starting();
        process.storage.ready();
        process.engine.ready();
        process.database.ready();
        process.cache.ready();
        process
    }
}

/// The expected answer to each check: whether it is green.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    pub default: bool,
    pub ready: bool,
    pub live: bool,
    pub startup: bool,
    pub search: bool,
}

/// Returns each row with its name.
pub fn rows() -> Vec<(&'static str, Process, Row)> {
    let row = |bits: [u8; 5]| {
        let [default, ready, live, startup, search] = bits.map(|bit| bit == 1);
        Row {
            default,
            ready,
            live,
            startup,
            search,
        }
    };
    let made = |change: &dyn Fn(&mut Process)| {
        let mut process = Process::ready();
        change(&mut process);
        process
    };
    let at = |phase| made(&|process| process.readiness.advance(phase));
    let early = |change: &dyn Fn(&Process)| {
        let process = Process::starting();
        change(&process);
        process
    };
    vec![
        ("starting", Process::starting(), row([0, 0, 1, 0, 0])),
        ("ready", Process::ready(), row([1, 1, 1, 1, 1])),
        (
            "degraded",
            made(&|process| process.storage.degraded("slow")),
            row([1, 1, 1, 1, 1]),
        ),
        (
            "optional failing",
            made(&|process| process.cache.failing("x")),
            row([1, 1, 1, 1, 0]),
        ),
        (
            "informative dead",
            made(&|process| process.backup.dead("x")),
            row([1, 1, 1, 1, 1]),
        ),
        (
            "failing after start",
            made(&|process| process.storage.failing("x")),
            row([1, 0, 1, 1, 1]),
        ),
        (
            "paused",
            made(&|process| process.pause = Some(process.readiness.pause("x"))),
            row([1, 0, 1, 1, 0]),
        ),
        ("draining", at(Phase::Draining), row([1, 0, 1, 1, 0])),
        ("closing", at(Phase::Closing), row([1, 0, 1, 1, 0])),
        ("closed", at(Phase::Closed), row([1, 0, 1, 1, 0])),
        (
            "a vital subsystem dead",
            made(&|process| process.engine.dead("x")),
            row([0, 0, 0, 1, 0]),
        ),
        (
            "a vital subsystem dead before start",
            early(&|process| process.engine.dead("x")),
            row([0, 0, 0, 0, 0]),
        ),
        (
            "draining before start",
            early(&|process| process.readiness.drain()),
            row([0, 0, 1, 0, 0]),
        ),
        (
            "a shared subsystem never ready",
            early(&|process| {
                process.storage.ready();
                process.engine.ready();
            }),
            row([1, 0, 1, 1, 0]),
        ),
    ]
}

/// A port without a listener. The socket reserves it: after the socket is dropped,
/// the kernel may give the port to another process.
pub fn silent_port() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}
