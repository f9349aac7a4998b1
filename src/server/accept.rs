#[cfg(unix)]
use super::commands::Commands;
use super::{
    bind::{Duplex, Listener, Stream},
    connection::{self, Commander},
    handle::ToStop,
    limits::Limits,
    seat::Seat,
};
use crate::{
    probe::Probes,
    race::{First, race},
};
use std::{
    io::{self, ErrorKind},
    sync::{Arc, Weak},
};
use tokio::{
    task::JoinSet,
    time::{Duration, sleep},
};

/// How long to wait when the system has nothing left for a connection. Less
/// than the second that a kubelet waits for an answer.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Accepts connections until told to stop, and then until the last has ended.
pub(super) async fn serve(
    listener: Listener,
    probes: Probes,
    #[cfg(unix)] commands: Option<Arc<Commands>>,
    limits: Limits,
    mut to_stop: ToStop,
) {
    let mut connections = Connections {
        probes,
        #[cfg(unix)]
        commands,
        limits,
        to_stop: to_stop.clone(),
        seats: Vec::new(),
        tasks: JoinSet::new(),
    };
    loop {
        let next = async {
            let stream = next(|| listener.accept()).await;
            connections.add(stream).await;
        };
        if let First::Left(()) = race(to_stop.told(), next).await {
            break;
        }
    }
    drop(listener);
    // Each has heard it too, and has little time left.
    while connections.tasks.join_next().await.is_some() {}
}

struct Connections {
    probes: Probes,
    #[cfg(unix)]
    commands: Option<Arc<Commands>>,
    limits: Limits,
    to_stop: ToStop,
    seats: Vec<Weak<Seat>>,
    tasks: JoinSet<()>,
}

impl Connections {
    async fn add(&mut self, stream: Stream) {
        while self.tasks.try_join_next().is_some() {}
        while self.tasks.len() >= self.limits.connections {
            let seats = self.seats.iter().filter_map(Weak::upgrade);
            if let Some(seat) = seats.min_by_key(|seat| seat.rank()) {
                seat.give_away();
            }
            self.tasks.join_next().await;
        }
        self.seats.retain(|seat| seat.strong_count() > 0);
        let seat = Seat::take();
        self.seats.push(Arc::downgrade(&seat));
        match stream {
            Stream::Tcp(stream) => self.spawn(stream, seat, None),
            #[cfg(unix)]
            Stream::Unix(stream) => {
                let peer = stream.peer_cred().ok().map(|peer| peer.uid());
                let commander = self.commands.as_ref().map(|commands| commands.of(peer));
                self.spawn(stream, seat, commander);
            }
        }
    }

    fn spawn<S: Duplex>(&mut self, stream: S, seat: Arc<Seat>, commander: Option<Commander>) {
        self.tasks.spawn(connection::serve(
            stream,
            seat,
            self.probes.clone(),
            commander,
            self.limits,
            self.to_stop.clone(),
        ));
    }
}

/// The next connection, however many fail before it.
async fn next<S, F>(accept: impl Fn() -> F) -> S
where
    F: Future<Output = io::Result<S>>,
{
    let mut warned = false;
    loop {
        match accept().await {
            Ok(stream) => return stream,
            // The peer's doing: the next one is not affected.
            Err(error) if is_of_one_connection(&error) => {}
            // There are too many open files, or no memory. The connection stays
            // in the queue of the system, and is there again at once.
            Err(error) => {
                if !warned {
                    warn(&error);
                    warned = true;
                }
                sleep(BACK_OFF).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::Interrupted
    )
}

#[cfg(feature = "tracing")]
fn warn(error: &io::Error) {
    crate::logging::contained(|| tracing::warn!(%error, "admin listener cannot accept"));
}

#[cfg(not(feature = "tracing"))]
fn warn(_: &io::Error) {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{cell::Cell, io::Error};
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn a_system_that_has_nothing_left_is_asked_again_after_a_while() {
        let begin = Instant::now();
        let tries = Cell::new(0);
        let accept = || async {
            tries.set(tries.get() + 1);
            match tries.get() {
                ..=3 => Err(Error::other("too many open files")),
                tries => Ok(tries),
            }
        };
        assert_eq!(next(accept).await, 4);
        assert_eq!(begin.elapsed(), 3 * BACK_OFF);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_goes_away_holds_up_nobody() {
        let begin = Instant::now();
        let tries = Cell::new(0);
        let accept = || async {
            tries.set(tries.get() + 1);
            match tries.get() {
                1 => Err(ErrorKind::ConnectionAborted.into()),
                2 => Err(ErrorKind::ConnectionReset.into()),
                tries => Ok(tries),
            }
        };
        assert_eq!(next(accept).await, 3);
        assert_eq!(begin.elapsed(), Duration::ZERO);
    }
}
