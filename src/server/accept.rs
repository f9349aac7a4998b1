#[cfg(unix)]
use super::commands::Commands;
use super::{
    bind::Listener,
    connection::{self, ServedProbes},
    connection_slot::{Activity, ConnectionSlot},
    handle::StopSignal,
    limits::Limits,
    spares::Spares,
    stream::Stream,
};
use crate::race::{First, race};
use std::{
    future::poll_fn,
    io::{self, ErrorKind},
    sync::{Arc, Weak},
    task::{Context, Poll, ready},
};
use tokio::{
    task::{JoinSet, yield_now},
    time::{Duration, sleep},
};

/// How long to wait when the system has nothing left for a connection. Less
/// than the second that a kubelet waits for an answer.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Accepts connections until told to stop, and then until the last has ended.
pub(super) async fn serve(
    listener: Listener,
    served: ServedProbes,
    #[cfg(unix)] commands: Option<Arc<Commands>>,
    limits: Limits,
    mut stop_signal: StopSignal,
) {
    let mut connections = Connections {
        served,
        #[cfg(unix)]
        commands,
        limits,
        stop_signal: stop_signal.clone(),
        slots: Vec::new(),
        tasks: JoinSet::new(),
        since_yield: 0,
        spares: Spares::default(),
        is_exhausted: false,
    };
    connections.spares.refill();
    loop {
        let next = connections.next(&listener);
        if let First::Left(()) = race(stop_signal.requested(), next).await {
            break;
        }
    }
    drop(listener);
    // Each has heard it too, and has little time left.
    while connections.tasks.join_next().await.is_some() {}
}

struct Connections {
    served: ServedProbes,
    #[cfg(unix)]
    commands: Option<Arc<Commands>>,
    limits: Limits,
    stop_signal: StopSignal,
    /// Of connections that have not been evicted.
    slots: Vec<Weak<ConnectionSlot>>,
    /// Each ends with its stream.
    tasks: JoinSet<Option<Stream>>,
    /// Connections accepted in this turn while there was no place left.
    since_yield: usize,
    spares: Spares,
    /// The system had nothing left for the last connection.
    is_exhausted: bool,
}

impl Connections {
    /// Takes one connection in, or sees one end.
    async fn next(&mut self, listener: &Listener) {
        let ended = poll_fn(|cx| poll_ended(&mut self.tasks, cx));
        let accepted = poll_fn(|cx| poll_accept(|cx| listener.poll_accept(cx), cx));
        match race(ended, accepted).await {
            First::Left(ended) => self.keep_spare(ended),
            First::Right(Ok(stream)) => {
                self.spares.refill();
                self.is_exhausted = false;
                self.add(stream).await;
            }
            First::Right(Err(error)) => self.accept_with_a_spare(listener, error).await,
        }
    }

    /// There are too many open files, or no memory, be there a connection to
    /// accept or not.
    async fn accept_with_a_spare(&mut self, listener: &Listener, error: io::Error) {
        let ended = poll_fn(|cx| poll_ended(&mut self.tasks, cx));
        match race(ended, listener.connection_waiting()).await {
            First::Left(ended) => return self.keep_spare(ended),
            First::Right(()) => {}
        }
        if !self.spares.release() {
            return self.wait_for_a_descriptor(&error).await;
        }
        // At once: another thread of the process may want the descriptor too.
        let accepted =
            poll_fn(|cx| Poll::Ready(poll_accept(|cx| listener.poll_accept(cx), cx))).await;
        self.spares.refill();
        match accepted {
            Poll::Ready(Ok(stream)) => self.add(stream).await,
            // It was not for the lack of a descriptor, and goes on: there is no
            // memory, or the system forbids it.
            Poll::Ready(Err(error)) if self.spares.is_full() => self.back_off(&error).await,
            Poll::Ready(Err(_)) | Poll::Pending => {}
        }
    }

    fn keep_spare(&mut self, ended: Option<Stream>) {
        if let Some(stream) = ended {
            self.spares.keep(stream);
        }
    }

    async fn add(&mut self, stream: Stream) {
        self.slots.retain(|slot| slot.strong_count() > 0);
        let is_full = self.slots.len() >= self.limits.connections;
        while self.slots.len() >= self.limits.connections && self.evict() {}
        let slot = ConnectionSlot::new();
        self.slots.push(Arc::downgrade(&slot));
        self.spawn(stream, slot);
        if is_full {
            self.let_connections_run().await;
        }
    }

    /// Lets newcomers be read from, and evicted connections end, before more
    /// are accepted than a quarter of the places: connections from the queue of
    /// the system could otherwise evict others whose request has arrived and was
    /// not read yet.
    async fn let_connections_run(&mut self) {
        self.since_yield += 1;
        if self.since_yield < self.limits.connections.div_ceil(4) {
            return;
        }
        self.since_yield = 0;
        yield_now().await;
        // On several threads the evicted ones may take longer, though none
        // waits for its peer.
        while self.tasks.len() > self.limits.connections.saturating_mul(2) {
            let ended = self.tasks.join_next().await;
            self.keep_spare(ended.and_then(Result::ok).flatten());
        }
    }

    /// Lets the connection go that can be spared first, without waiting for it.
    fn evict(&mut self) -> bool {
        let slots = self.slots.iter().enumerate();
        let slots = slots.filter_map(|(index, slot)| Some((index, slot.upgrade()?)));
        match slots.min_by_key(|(_, slot)| slot.rank()) {
            Some((index, slot)) => {
                slot.evict();
                self.slots.swap_remove(index);
                true
            }
            None => false,
        }
    }

    fn spawn(&mut self, stream: Stream, slot: Arc<ConnectionSlot>) {
        #[cfg(unix)]
        let commander = match &stream {
            Stream::Tcp(_) => None,
            Stream::Unix(stream) => {
                let peer = stream.peer_cred().ok().map(|peer| peer.uid());
                self.commands
                    .as_ref()
                    .map(|commands| commands.commander(peer))
            }
        };
        #[cfg(not(unix))]
        let commander = None;
        self.tasks.spawn(connection::serve(
            stream,
            slot,
            self.served.clone(),
            commander,
            self.limits,
            self.stop_signal.clone(),
        ));
    }

    /// There is no spare left. The connection stays in the queue of the system.
    async fn wait_for_a_descriptor(&mut self, error: &io::Error) {
        // The descriptor of one that has been served is given to it; one that
        // is new may be a probe too.
        let activity = |slot: Arc<ConnectionSlot>| slot.rank().0;
        let slots = self.slots.iter().filter_map(Weak::upgrade);
        if slots.map(activity).any(|activity| activity < Activity::New) {
            self.evict();
        }
        self.back_off(error).await;
    }

    /// Waits until a connection ends, or for a moment.
    async fn back_off(&mut self, error: &io::Error) {
        if !self.is_exhausted {
            self.is_exhausted = true;
            warn(error);
        }
        let ended = poll_fn(|cx| poll_ended(&mut self.tasks, cx));
        match race(ended, sleep(BACK_OFF)).await {
            First::Left(ended) => self.keep_spare(ended),
            First::Right(()) => self.spares.refill(),
        }
    }
}

/// The stream of the next connection that ends. While there is none it does
/// not complete.
fn poll_ended(tasks: &mut JoinSet<Option<Stream>>, cx: &mut Context<'_>) -> Poll<Option<Stream>> {
    match tasks.poll_join_next(cx) {
        Poll::Ready(Some(ended)) => Poll::Ready(ended.ok().flatten()),
        Poll::Ready(None) | Poll::Pending => Poll::Pending,
    }
}

/// The next connection, however many fail before it.
fn poll_accept<S>(
    mut accept: impl FnMut(&mut Context<'_>) -> Poll<io::Result<S>>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<S>> {
    loop {
        match ready!(accept(cx)) {
            // The peer's doing: the next one is not affected.
            Err(error) if affects_one_connection(&error) => {}
            accepted => return Poll::Ready(accepted),
        }
    }
}

fn affects_one_connection(error: &io::Error) -> bool {
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
    crate::logging::line(tracing::Level::WARN, || {
        let error = error.to_string();
        move |span| crate::logging::event!(warn, span, %error, "admin listener cannot accept")
    });
}

#[cfg(not(feature = "tracing"))]
fn warn(_: &io::Error) {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Error;
    use tokio_test::{assert_pending, assert_ready, task};

    #[test]
    fn a_peer_that_goes_away_holds_up_nobody() {
        let mut answers = vec![
            Err(Error::other("too many open files")),
            Ok(1),
            Err(ErrorKind::ConnectionReset.into()),
            Err(ErrorKind::ConnectionAborted.into()),
        ];
        let mut accepted = task::spawn(poll_fn(|cx| {
            let accept = |_: &mut Context<'_>| answers.pop().map_or(Poll::Pending, Poll::Ready);
            poll_accept(accept, cx)
        }));
        assert_eq!(assert_ready!(accepted.poll()).unwrap(), 1);
        assert!(assert_ready!(accepted.poll()).is_err());
        assert_pending!(accepted.poll());
    }

    #[cfg(target_os = "linux")]
    #[tokio::test(start_paused = true)]
    async fn a_listener_that_fails_though_there_are_descriptors_is_asked_now_and_then() {
        use crate::{
            address::Address,
            probe::Probes,
            registry::{Readiness, Subsystem},
            server::handle::AdminServer,
        };
        use tokio::time::Instant;

        let storage = Subsystem::new("storage");
        let readiness = Readiness::builder().subsystem(storage).build().unwrap();
        let address = "127.0.0.1:0".parse().unwrap();
        let (listener, _) = Listener::bind(address, 0o600).await.unwrap();
        listener.fail_every_accept();
        let (_server, parts) = AdminServer::new(Address::default());
        let mut connections = Connections {
            served: ServedProbes {
                probes: Probes::new(&readiness),
                for_foreign_hosts: None,
            },
            commands: None,
            limits: Limits {
                header_timeout: Duration::from_secs(5),
                idle_timeout: Duration::from_secs(75),
                connections: 1,
                http2: false,
            },
            stop_signal: parts.stop_signal.clone(),
            slots: Vec::new(),
            tasks: JoinSet::new(),
            since_yield: 0,
            spares: Spares::default(),
            is_exhausted: false,
        };
        connections.spares.refill();
        let begin = Instant::now();
        for _ in 0..5 {
            connections.next(&listener).await;
        }
        assert!(begin.elapsed() >= 5 * BACK_OFF);
        assert!(connections.spares.is_full());
    }
}
