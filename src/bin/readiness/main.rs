//! The command `readiness`: asks a process how it is, for health checks, and
//! tells it what to do.

mod arguments;

#[cfg(unix)]
use arguments::Command;
use arguments::{Arguments, Usage};
use std::{env, io::Write, process::ExitCode};
#[cfg(unix)]
use tower_readiness::client;

const HELP: &str = "\
Asks a process how it is, or tells it what to do.

Usage:
  readiness check [ADDR] [OPTIONS]   Has it started, and is it alive?
  readiness pause [REASON]           Turn readiness red; traffic is still served
  readiness resume                   End that
  readiness drain [--wait]           Begin to drain, as SIGTERM does

Options of check:
  --ready           Shall it get traffic? (For load balancers, not supervisors)
  --live            Is it worth keeping?
  --startup         Has it come up?
  --scope NAME      Is this scope or subsystem ready?
  --exclude NAME    As if this subsystem were not there; repeatable
  --verbose         A line for each subsystem too
  --json            JSON

Options of drain:
  --wait            Return when the process is closed or gone

Options of all:
  --addr ADDR       IP:PORT, or the path of a unix socket (/PATH or unix:PATH)
  --timeout SECONDS How long it may take in all; 3 unless told (drain --wait:
                    for ever)
  -h, --help        Show this
  -V, --version     Show the version

ADDR is READINESS_ADDR in the environment, or 127.0.0.1:28080, unless told.
Commands are taken over a unix socket that only its owner can open.

Exits with 0 for yes (or done), 1 for no, or if there is no answer (or not
done), 64 if it is not used as shown here.
";

/// EX_USAGE of sysexits.h. (Docker keeps 2 for itself.)
const USAGE: u8 = 64;

fn main() -> ExitCode {
    match Arguments::parse(env::args_os(), env::var_os("READINESS_ADDR")) {
        Ok(Arguments::Help) => say(HELP),
        Ok(Arguments::Version) => say(concat!("readiness ", env!("CARGO_PKG_VERSION"), "\n")),
        Ok(Arguments::HealthCheck(check)) => check.print(),
        #[cfg(unix)]
        Ok(Arguments::Tell(commands, command)) => match command {
            Command::Pause(reason) => client::print(commands.pause(&reason)),
            Command::Resume => client::print(commands.resume()),
            Command::Drain => client::print(commands.drain()),
            Command::DrainAndWait(at_most) => commands.print_drain_and_wait(at_most),
        },
        Err(Usage(text)) => {
            let text = format!("readiness: {text}\nTry `readiness --help`.\n");
            let _ = std::io::stderr().write_all(text.as_bytes());
            ExitCode::from(USAGE)
        }
    }
}

/// Says it to whoever has not closed the output.
fn say(text: &str) -> ExitCode {
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}
