//! The admin listener, as its clients see it: real sockets on loopback.

#[path = "../support/mod.rs"]
mod support;

mod addresses;
mod answers;
mod blocked;
mod clients;
mod crowd;
mod crowds;
mod detail;
mod end;
#[cfg(unix)]
mod exhausted;
mod linger;
mod page;
mod peers;
mod prober;
#[cfg(all(unix, feature = "tracing"))]
mod too_many_files;
#[cfg(unix)]
mod unix;

use std::{net::SocketAddr, time::Duration};
use tower_readiness::server::AdminServer;

const ANYWHERE: &str = "127.0.0.1:0";

/// A timeout that a test waits for.
const SHORT: Duration = Duration::from_millis(50);

const VERBOSE: &str = "/readyz?verbose";
const SECRET: &str = "postgres://admin:hunter2@db";

fn port(server: &AdminServer) -> SocketAddr {
    server.local_addr().socket_addr().unwrap()
}
