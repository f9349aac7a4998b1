use super::{
    deadline::Deadline,
    error::{CommandError, ExchangeError},
    http::{Answer, Request, exchange},
    report::clean,
};
use crate::address::Address;
use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
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
        let deadline = Deadline::after(at_most.unwrap_or(Duration::MAX));
        let begin = Deadline::after(self.timeout.min(deadline.timeout()));
        self.tell("/commands/drain", "", begin)?;
        loop {
            // By what commands nothing: a successor may listen there by now.
            match self.send("GET", "/commands/drain", "", deadline) {
                Err(error) if is_gone(&error) => return Ok("gone".to_owned()),
                // A successor, for a drain that has begun is not taken back.
                Ok(Answer {
                    status: NOT_DRAINING,
                    ..
                }) => return Ok("gone".to_owned()),
                Err(ExchangeError::CutOff { .. } | ExchangeError::Broken { .. })
                | Ok(Answer { status: ENDING, .. }) => sleep(AGAIN_AFTER),
                Err(error) => return Err(error.into()),
                Ok(answer) => return self.judge(&answer),
            }
        }
    }

    fn tell(&self, target: &str, body: &str, deadline: Deadline) -> Result<String, CommandError> {
        self.judge(&self.send("POST", target, body, deadline)?)
    }

    fn send(
        &self,
        method: &'static str,
        target: &str,
        body: &str,
        deadline: Deadline,
    ) -> Result<Answer, ExchangeError> {
        let request = Request {
            method,
            target,
            accept: "text/plain",
            body,
        };
        exchange(&self.address, &request, deadline)
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
