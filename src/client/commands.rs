use super::{
    deadline::Deadline,
    error::{CommandError, ExchangeError},
    http::{Answer, Request, exchange_on},
    print::print,
    report::clean,
    wire::Wire,
};
use crate::address::Address;
use std::{
    io::ErrorKind,
    mem,
    path::{Path, PathBuf},
    process::ExitCode,
    thread::sleep,
    time::Duration,
};

/// How long to wait before asking again when the listener let go of a
/// connection, which it does when others need the place.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// What a listener answers that is about to end, or whose file was moved.
const ENDING: u16 = 503;

/// What is answered to who waits for a drain where there is none.
const NOT_DRAINING: u16 = 409;

/// Tells a process what to do, over the unix socket of its admin listener
/// (feature `server`), which takes commands of its owner alone; never over TCP.
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
    /// How long a command may take unless [told](Self::timeout).
    pub const TIMEOUT: Duration = Duration::from_secs(3);

    /// Tells the process that listens at this path.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self {
            address: PathBuf::from(path.as_ref()).into(),
            timeout: Self::TIMEOUT,
        }
    }

    /// How long a command may take, from connecting to the end of the answer.
    /// By default 3 seconds.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Turns readiness red until [`resume`](Self::resume), or until the
    /// listener ends; traffic is still served. Told again, the newer reason
    /// counts, of which 1 KiB is kept. Gives what the process answers.
    ///
    /// # Errors
    ///
    /// When it is not obeyed.
    pub fn pause(&self, reason: &str) -> Result<String, CommandError> {
        self.tell("/commands/pause", reason, Deadline::after(self.timeout))
    }

    /// Ends the pause that was [commanded](Self::pause). One that the program
    /// made itself goes on, and the answer says so.
    ///
    /// # Errors
    ///
    /// When it is not obeyed.
    pub fn resume(&self) -> Result<String, CommandError> {
        self.tell("/commands/resume", "", Deadline::after(self.timeout))
    }

    /// Begins to drain, as SIGTERM does; does nothing if the process drains
    /// already. A SIGTERM that follows joins it.
    ///
    /// # Errors
    ///
    /// When it is not obeyed.
    pub fn drain(&self) -> Result<String, CommandError> {
        self.tell("/commands/drain", "", Deadline::after(self.timeout))
    }

    /// Begins to drain, and blocks until the process is closed, or its
    /// listener is gone: `at_most` this long in all, or for ever. (A process
    /// that nothing leads on from draining never closes.) Whoever listens there
    /// next is not drained.
    ///
    /// # Errors
    ///
    /// When it is not obeyed, and when the time is over before.
    pub fn drain_and_wait(&self, at_most: Option<Duration>) -> Result<String, CommandError> {
        self.wait_for_end(at_most, &mut Vec::new())
    }

    /// [Begins to drain and waits](Self::drain_and_wait), and [prints](print()) what
    /// came of it: for a command that exits then, as a preStop hook does.
    ///
    /// It leaves its connections open, for the system to close them when the command
    /// exits. The process waits a second for that before it ends itself: as the
    /// first process of a container it takes the command with it, which would then
    /// count as failed.
    pub fn print_drain_and_wait(&self, at_most: Option<Duration>) -> ExitCode {
        let mut kept = Vec::new();
        let code = print(self.wait_for_end(at_most, &mut kept));
        mem::forget(kept);
        code
    }

    /// Puts its connections into `kept`: while one of them is open, the process
    /// waits a moment before it ends.
    fn wait_for_end(
        &self,
        at_most: Option<Duration>,
        kept: &mut Vec<Wire>,
    ) -> Result<String, CommandError> {
        let gone = || Ok("gone".to_owned());
        let deadline = Deadline::after(at_most.unwrap_or(Duration::MAX));
        let begin = Deadline::after(self.timeout.min(deadline.timeout()));
        let (answer, wire) = self.send("POST", "/commands/drain", "", true, begin)?;
        self.judge(&answer)?;
        kept.push(wire);
        loop {
            // By what commands nothing: a successor may listen there by now.
            let (answer, wire) = match self.send("GET", "/commands/drain", "", true, deadline) {
                Ok(answered) => answered,
                Err(error) if is_gone(&error) => return gone(),
                Err(ExchangeError::ShutdownTimeout { .. } | ExchangeError::Broken { .. }) => {
                    sleep(AGAIN_AFTER);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            match answer.status {
                // A successor, for a drain that has begun is not taken back.
                NOT_DRAINING => return gone(),
                ENDING => sleep(AGAIN_AFTER),
                _ => {
                    kept.push(wire);
                    return self.judge(&answer);
                }
            }
        }
    }

    fn tell(&self, target: &str, body: &str, deadline: Deadline) -> Result<String, CommandError> {
        let (answer, _wire) = self.send("POST", target, body, false, deadline)?;
        self.judge(&answer)
    }

    fn send(
        &self,
        method: &'static str,
        target: &str,
        body: &str,
        keeps: bool,
        deadline: Deadline,
    ) -> Result<(Answer, Wire), ExchangeError> {
        let request = Request {
            method,
            target,
            accept: "text/plain",
            body,
            keeps,
        };
        exchange_on(&self.address, &request, deadline)
    }

    fn judge(&self, answer: &Answer) -> Result<String, CommandError> {
        let text = clean(answer.body.trim_end());
        let address = self.address.clone();
        match answer.status {
            200 => Ok(text),
            400 | 403 | 408 | 413 | ENDING => Err(CommandError::Refused {
                address,
                answer: text,
            }),
            status => Err(CommandError::NotTaken { address, status }),
        }
    }
}

/// Whether nothing listens there (any more).
fn is_gone(error: &ExchangeError) -> bool {
    match error {
        ExchangeError::Connect { source, .. } => matches!(
            source.kind(),
            ErrorKind::NotFound | ErrorKind::ConnectionRefused
        ),
        _ => false,
    }
}
