//! The command `readiness`: checks the health of a process, follows it on the
//! terminal, and sends it commands to pause, resume and drain.

mod arguments;

#[cfg(unix)]
use arguments::Operation;
use arguments::{Arguments, Usage};
use std::{env, io::Write, process::ExitCode};
#[cfg(unix)]
use tower_readiness::client;

const HELP: &str = "\
Checks the health of a process, follows it, or sends it a command.

Usage:
  readiness check [ADDR] [OPTIONS]   Has the process started, and is it alive?
  readiness watch [ADDR] [--json]    Show what is red and why, as it changes
  readiness pause [REASON]           Turn readiness red; traffic is still served
  readiness resume                   End the pause
  readiness drain [--wait]           Begin to drain, as SIGTERM does

Options of check:
  --ready           Is it ready for traffic? (For load balancers, not
                    supervisors)
  --live            Is it alive?
  --startup         Has it started?
  --scope NAME      Is this scope or subsystem ready?
  --exclude NAME    Ignore this subsystem; repeatable
  --verbose         Print a line for each subsystem too
  --json            Print JSON

Options of watch:
  --json            Print each event as JSON

Options of drain:
  --wait            Return when the process is closed or gone

Options of all:
  --addr ADDR       IP:PORT, or the path of a unix socket (/PATH or unix:PATH)
  -h, --help        Show this
  -V, --version     Show the version

Options of all but watch:
  --timeout SECONDS Limit for the whole command; default 3 (drain --wait: no
                    limit)

ADDR defaults to READINESS_ADDR in the environment, else to 127.0.0.1:28080.
pause, resume and drain need a unix socket, which only its owner can open.

Exits with 0 for yes (or done), 1 for no or no answer (or not done), and 64
for wrong usage.
watch needs a process with the feature events, and runs until it is stopped.
It ends with 1 at an address that has no event stream.
";

/// EX_USAGE of sysexits.h. (Docker reserves exit code 2.)
const USAGE: u8 = 64;

fn main() -> ExitCode {
    match Arguments::parse(env::args_os(), env::var_os("READINESS_ADDR")) {
        Ok(Arguments::Help) => print(HELP),
        Ok(Arguments::Version) => print(concat!("readiness ", env!("CARGO_PKG_VERSION"), "\n")),
        Ok(Arguments::HealthCheck(check)) => check.print(),
        Ok(Arguments::Watch(watch)) => watch.run(),
        #[cfg(unix)]
        Ok(Arguments::Send(commands, command)) => match command {
            Operation::Pause(reason) => client::print(commands.pause(&reason)),
            Operation::Resume => client::print(commands.resume()),
            Operation::Drain => client::print(commands.drain()),
            Operation::DrainAndWait(at_most) => commands.print_drain_and_wait(at_most),
        },
        Err(Usage(text)) => {
            let text = format!("readiness: {text}\nTry `readiness --help`.\n");
            let _ = std::io::stderr().write_all(text.as_bytes());
            ExitCode::from(USAGE)
        }
    }
}

/// Prints to standard output, and ignores an error: the reader may have closed
/// it.
fn print(text: &str) -> ExitCode {
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}
