//! The command `readiness`, as a supervisor and an operator run it.

#[path = "../support/folder.rs"]
mod folder;
#[path = "../support/rows.rs"]
mod rows;

mod check;
#[cfg(unix)]
mod commands;
#[cfg(unix)]
mod drain;
#[cfg(unix)]
mod owner;
mod usage;
mod watch;

use rows::Process;
use std::process::{Command, Output, Stdio};
use tower_readiness::server::AdminServer;

const ANYWHERE: &str = "127.0.0.1:0";

fn readiness(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_readiness"));
    command.args(arguments).env_remove("READINESS_ADDR");
    command.stdin(Stdio::null());
    command
}

/// Returns the exit code, standard output and standard error.
fn outcome(command: &mut Command) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    (
        status.code().expect("an exit code"),
        String::from_utf8(stdout).unwrap(),
        String::from_utf8(stderr).unwrap(),
    )
}

fn run(arguments: &[&str]) -> (i32, String) {
    let (code, out, err) = outcome(&mut readiness(arguments));
    assert_eq!(err, "");
    (code, out)
}

fn serve(process: &Process) -> (AdminServer, String) {
    let server = process.readiness.serve_on_thread(ANYWHERE).unwrap();
    let address = server.local_addr().to_string();
    (server, address)
}
