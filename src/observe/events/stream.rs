use super::id::EventId;
use crate::{
    probe::{Probes, Update},
    state::{Data, Phase},
    traffic::EndWatchers,
    wire::EventKind,
};
use bytes::Bytes;
use http_body::{Body, Frame};
use std::{
    collections::VecDeque,
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Duration, Instant, sleep, sleep_until},
};

/// The shortest time between two events that are not ticks.
const GAP: Duration = Duration::from_millis(200);

/// The bytes of an event for which the gap grows by another [`GAP`], so that many
/// clients of a process with thousands of subsystems leave time for probes.
const BYTES_PER_GAP: usize = 64 << 10;

/// The time between two ticks.
const TICK: Duration = Duration::from_secs(2);

/// The body of the response: renders an event when the connection can take it.
pub(crate) struct EventStream {
    /// The rest of an event. Empty also for an event that the process withholds.
    parts: VecDeque<Bytes>,
    /// `None` once the stream has ended.
    next: Option<NextEvent>,
    on_part: Box<dyn Fn() + Send>,
    _permit: OwnedSemaphorePermit,
    /// The process waits a moment at its end, so that the client gets the last event.
    _watcher: EndWatchers,
}

type NextEvent = Pin<Box<dyn Future<Output = Option<(Cursor, VecDeque<Bytes>)>> + Send>>;

/// What one client has got, and when it gets more.
struct Cursor {
    probes: Probes,
    instance: u64,
    /// The version of the last event.
    seen: Option<u64>,
    /// The earliest time of the next event that is not a tick.
    not_before: Instant,
    next_tick: Instant,
}

impl EventStream {
    /// The stream for a client that has got the version `seen`. It calls `on_part` with
    /// each part of the body that the connection takes.
    pub(super) fn new(
        probes: Probes,
        instance: u64,
        seen: Option<u64>,
        permit: OwnedSemaphorePermit,
        on_part: impl Fn() + Send + 'static,
    ) -> Self {
        let now = Instant::now();
        let watcher = probes.readiness().registry().traffic().end_watchers.clone();
        let cursor = Cursor {
            probes,
            instance,
            seen,
            not_before: now,
            next_tick: if seen.is_some() { now } else { now + TICK },
        };
        Self {
            parts: VecDeque::new(),
            next: Some(Box::pin(cursor.next())),
            on_part: Box::new(on_part),
            _permit: permit,
            _watcher: watcher,
        }
    }
}

impl Body for EventStream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        loop {
            if let Some(part) = this.parts.pop_front() {
                (this.on_part)();
                return Poll::Ready(Some(Ok(Frame::data(part))));
            }
            let Some(next) = &mut this.next else {
                return Poll::Ready(None);
            };
            this.next = match ready!(next.as_mut().poll(cx)) {
                Some((cursor, parts)) => {
                    // The client cannot take an event that the process withholds.
                    if parts.is_empty() {
                        (this.on_part)();
                    }
                    this.parts = parts;
                    Some(Box::pin(cursor.next()))
                }
                None => None,
            };
        }
    }
}

crate::debug::fields!(EventStream);

impl Cursor {
    /// Waits for the next event, and returns its parts. `None` at the end of the stream.
    async fn next(mut self) -> Option<(Self, VecDeque<Bytes>)> {
        let parts = tokio::select! { biased;
            has_changed = self.has_changed() => {
                if !has_changed {
                    return None;
                }
                if let Some(update) = self.probes.update_since(self.seen) {
                    self.event(update)
                } else {
                    // Other clients have to read first. A tick meanwhile would make the
                    // client show the old state as the present one.
                    sleep(GAP).await;
                    VecDeque::new()
                }
            }
            () = sleep_until(self.next_tick) => {
                self.next_tick = Instant::now() + TICK;
                let (kind, data) = (EventKind::Tick, self.probes.tick());
                let event = format!("event: {kind}\ndata: {data}\n");
                VecDeque::from([event.into()])
            }
        };
        Some((self, parts))
    }

    /// Waits for a version that the client does not have. Returns `false` if there will
    /// be none.
    async fn has_changed(&self) -> bool {
        let registry = self.probes.readiness().registry();
        tokio::select! {
            () = sleep_until(self.not_before) => {}
            // The last event is not delayed: the process may end.
            _ = registry.wait_for_phase(Phase::Closed) => {}
        }
        let is_new = |data: &Data| Some(data.version) != self.seen;
        let found = registry.wait_for(|data| match is_new(data) {
            false if data.phase < Phase::Closed => None,
            is_new => Some(is_new),
        });
        found.await.unwrap_or(false)
    }

    fn event(&mut self, update: Update) -> VecDeque<Bytes> {
        let Update {
            kind,
            version,
            data,
        } = update;
        let gaps = 1 + data.len() / BYTES_PER_GAP;
        self.not_before = Instant::now() + GAP * u32::try_from(gaps).unwrap_or(u32::MAX);
        self.seen = Some(version);
        let id = EventId {
            instance: self.instance,
            version,
        };
        let head = format!("event: {kind}\nid: {id}\ndata: ");
        VecDeque::from([head.into(), data, Bytes::from_static(b"\n")])
    }
}
