use super::{
    connection::ClientConnection,
    deadline::Deadline,
    error::{CommandError, ExchangeError},
    http::{HttpResponse, Request, exchange},
    print::print,
    report::clean,
};
use crate::{address::Address, wire::paths};
use std::{
    io::ErrorKind,
    mem,
    path::{Path, PathBuf},
    process::ExitCode,
    thread::sleep,
    time::Duration,
};

/// The pause before a retry. The listener closes a waiting connection when other
/// clients need its slot.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// The status of a listener that is about to end, or whose socket file was
/// moved.
const ENDING: u16 = 503;

/// The status for a client that waits for a drain when the process does not
/// drain.
const NOT_DRAINING: u16 = 409;

/// Sends commands to a process, over the unix socket of its admin listener
/// (feature `server`). The listener accepts commands from its owner alone, and
/// never over TCP.
///
/// ```no_run
/// use tower_readiness::client::Commands;
///
/// # fn main() -> Result<(), tower_readiness::client::CommandError> {
/// let commands = Commands::new("/run/app/admin.sock");
/// commands.pause("maintenance")?;
/// // …
/// commands.resume()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Commands {
    address: Address,
    timeout: Duration,
}

impl Commands {
    /// The default [timeout](Self::timeout) of a command.
    pub const TIMEOUT: Duration = Duration::from_secs(3);

    /// Sends to the process whose admin listener has its socket at this path.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self {
            address: PathBuf::from(path.as_ref()).into(),
            timeout: Self::TIMEOUT,
        }
    }

    /// Sets the time for a command, from connecting to the end of the answer. By
    /// default 3 seconds.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Turns readiness red until [`resume`](Self::resume), or until the
    /// listener ends; traffic is still served. A second call replaces the reason;
    /// the process keeps its first 1 KiB. Returns the answer of the process.
    ///
    /// # Errors
    ///
    /// When the process refuses the command, or gives no answer.
    pub fn pause(&self, reason: &str) -> Result<String, CommandError> {
        self.send_command(paths::PAUSE, reason)
    }

    /// Ends the pause that the [command](Self::pause) began. A pause that the
    /// program began itself goes on, and the answer says so.
    ///
    /// # Errors
    ///
    /// When the process refuses the command, or gives no answer.
    pub fn resume(&self) -> Result<String, CommandError> {
        self.send_command(paths::RESUME, "")
    }

    /// Begins to drain, as SIGTERM does; does nothing if the process drains
    /// already. A later SIGTERM changes nothing.
    ///
    /// # Errors
    ///
    /// When the process refuses the command, or gives no answer.
    pub fn drain(&self) -> Result<String, CommandError> {
        self.send_command(paths::DRAIN, "")
    }

    /// Begins to drain, and blocks until the process is closed or its listener
    /// is gone: `at_most` this long in all, or without a limit. (A process that
    /// runs no [`Shutdown`](crate::drain::Shutdown) goes on draining.) A new
    /// process that listens at the same path is not drained.
    ///
    /// # Errors
    ///
    /// When the process refuses the command, gives no answer, or is not closed in
    /// time.
    pub fn drain_and_wait(&self, at_most: Option<Duration>) -> Result<String, CommandError> {
        self.wait_for_end(at_most, &mut Vec::new())
    }

    /// [Drains and waits](Self::drain_and_wait), and [prints](print()) the
    /// outcome: for a command that exits right after it, as a preStop hook does.
    ///
    /// It leaves its connections open, and the kernel closes them when the command
    /// exits. The process waits up to a second for that before it exits: if it is
    /// the first process of a container, its exit kills the command, and the
    /// preStop hook would count as failed.
    pub fn print_drain_and_wait(&self, at_most: Option<Duration>) -> ExitCode {
        let mut open_connections = Vec::new();
        let code = print(self.wait_for_end(at_most, &mut open_connections));
        mem::forget(open_connections);
        code
    }

    /// Moves its connections into `open_connections`: while one of them is open,
    /// the process delays its exit by up to a second.
    fn wait_for_end(
        &self,
        at_most: Option<Duration>,
        open_connections: &mut Vec<ClientConnection>,
    ) -> Result<String, CommandError> {
        let gone = || Ok("gone".to_owned());
        let deadline = Deadline::after(at_most.unwrap_or(Duration::MAX));
        let begin = Deadline::after(self.timeout.min(deadline.timeout()));
        let (response, connection) = self.send("POST", paths::DRAIN, "", begin)?;
        self.interpret(&response)?;
        open_connections.push(connection);
        loop {
            // GET, which begins no drain: a successor may listen there by now.
            let (response, connection) = match self.send("GET", paths::DRAIN, "", deadline) {
                Ok(answered) => answered,
                Err(error) if is_gone(&error) => return gone(),
                Err(ExchangeError::ClosedEarly { .. } | ExchangeError::Broken { .. }) => {
                    sleep(RETRY_AFTER);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            match response.status {
                // A successor answers: a drain is never undone.
                NOT_DRAINING => return gone(),
                ENDING => sleep(RETRY_AFTER),
                _ => {
                    open_connections.push(connection);
                    return self.interpret(&response);
                }
            }
        }
    }

    fn send_command(&self, target: &str, body: &str) -> Result<String, CommandError> {
        let deadline = Deadline::after(self.timeout);
        let (response, _connection) = self.send("POST", target, body, deadline)?;
        self.interpret(&response)
    }

    fn send(
        &self,
        method: &'static str,
        target: &str,
        body: &str,
        deadline: Deadline,
    ) -> Result<(HttpResponse, ClientConnection), ExchangeError> {
        let request = Request {
            method,
            target,
            accept: "text/plain",
            body,
            last_event_id: None,
        };
        exchange(&self.address, &request, deadline)
    }

    fn interpret(&self, response: &HttpResponse) -> Result<String, CommandError> {
        let text = clean(response.body.trim_end());
        let address = self.address.clone();
        match response.status {
            200 | 400 | 403 | 408 | 413 | ENDING if response.is_encoded => {
                Err(ExchangeError::Encoded { address }.into())
            }
            200 => Ok(text),
            400 | 403 | 408 | 413 | ENDING => Err(CommandError::Refused {
                address,
                answer: text,
            }),
            status => Err(CommandError::NotTaken { address, status }),
        }
    }
}

/// Returns whether the error means that no process listens at the path.
fn is_gone(error: &ExchangeError) -> bool {
    match error {
        ExchangeError::Connect { source, .. } => matches!(
            source.kind(),
            ErrorKind::NotFound | ErrorKind::ConnectionRefused
        ),
        _ => false,
    }
}
