//! The blocking client, against real servers and against servers that break HTTP
//! or are not probes.

#[path = "../support/folder.rs"]
mod folder;
#[path = "../support/rows.rs"]
mod rows;

mod answers;
mod impostors;
mod servers;
#[cfg(unix)]
mod unix;

use rows::Process;
use std::time::Duration;
use tower_readiness::{
    client::{CheckError, ExchangeError, HealthCheck},
    server::AdminServer,
};

const ANYWHERE: &str = "127.0.0.1:0";

/// A timeout that expires within a test.
const SHORT: Duration = Duration::from_millis(50);

/// A timeout that expires only in a test that would otherwise hang.
const LONG: Duration = Duration::from_secs(30);

fn serve(process: &Process) -> (AdminServer, HealthCheck) {
    let server = process.readiness.serve_on_thread(ANYWHERE).unwrap();
    let check = HealthCheck::new(server.local_addr().clone()).timeout(LONG);
    (server, check)
}

fn exchange_error(outcome: Result<bool, CheckError>) -> ExchangeError {
    match outcome {
        Err(CheckError::Exchange(error)) => error,
        other => panic!("{other:?}"),
    }
}
