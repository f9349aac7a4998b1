use super::{
    json::Json,
    lines::Lines,
    screen::Screen,
    status::ProcessStatus,
    stream::{self, StreamUpdate},
    view::View,
};
use crate::{address::Address, client::causes::causes, registry::now};
use std::{
    env,
    io::{self, IsTerminal, Write, stdout},
    process::ExitCode,
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    thread,
    time::{Duration, Instant},
};

/// How often the screen is drawn when no event arrives, so that ages count.
const REDRAW: Duration = Duration::from_secs(1);

/// Follows the events of a process on the terminal, until the user stops it.
///
/// Needs the event stream of an admin listener (feature `events`).
#[derive(Clone, Debug)]
#[must_use = "it does nothing until it runs"]
pub struct WatchCommand {
    address: Address,
    json: bool,
}

impl WatchCommand {
    /// Follows the process whose admin listener is at `address`.
    pub fn new(address: impl Into<Address>) -> Self {
        Self {
            address: address.into(),
            json: false,
        }
    }

    /// Prints each event as a JSON object on one line, `{"event":"tick","data":{…}}`, and
    /// `{"event":"lost","error":"…"}` when the stream ends.
    pub fn json(mut self) -> Self {
        self.json = true;
        self
    }

    /// Follows the process and prints to standard output: a table that is drawn anew, or,
    /// where standard output is no terminal, one line for each change. Connects again
    /// whenever the stream ends.
    ///
    /// Colours are off if the variable `NO_COLOR` is set and not empty.
    ///
    /// Blocks until standard output is closed, which is a success, or until the address
    /// turns out to have no event stream, which it prints to standard error.
    pub fn run(&self) -> ExitCode {
        let (sender, updates) = sync_channel(16);
        let address = self.address.clone();
        let follow = move || stream::follow(&address, &sender);
        let thread = thread::Builder::new()
            .name("events".to_owned())
            .spawn(follow);
        let shown = thread.and_then(|_| {
            if self.json {
                show(&updates, &mut Json)
            } else if stdout().is_terminal() {
                let colours = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
                show(&updates, &mut Screen::new(&self.address, colours))
            } else {
                show(&updates, &mut Lines::default())
            }
        });
        match shown {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Err(error) => {
                let _ = writeln!(io::stderr(), "readiness: {}", causes(&error));
                ExitCode::FAILURE
            }
        }
    }
}

/// Shows updates until the stream cannot go on.
fn show(updates: &Receiver<StreamUpdate>, view: &mut impl View) -> io::Result<()> {
    let mut status = ProcessStatus::default();
    let mut drawn = Instant::now();
    loop {
        let wait = REDRAW.saturating_sub(drawn.elapsed());
        match updates.recv_timeout(wait) {
            Ok(update) => {
                view.announce(&update)?;
                match update {
                    StreamUpdate::Lost(error) if error.is_final() => {
                        return Err(io::Error::other(error));
                    }
                    update => status.apply(update, now()),
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        drawn = Instant::now();
        view.show(&status)?;
    }
}
