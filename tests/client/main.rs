//! The blocking client, against real admin listeners and against servers that
//! do what none should.

#[path = "../support/folder.rs"]
mod folder;
#[path = "../support/rows.rs"]
mod rows;

mod answers;
mod impostors;
#[cfg(unix)]
mod unix;

use rows::Process;
use std::time::Duration;
use tower_readiness::{
    client::{CheckError, ExchangeError, HealthCheck},
    server::AdminServer,
};

const ANYWHERE: &str = "127.0.0.1:0";

/// A timeout that a test waits for.
const SHORT: Duration = Duration::from_millis(50);

/// One that no test waits for, and that ends one that would hang.
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
