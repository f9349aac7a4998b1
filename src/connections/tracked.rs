use super::retirement_window::{RetirementMoment, Window};
use crate::{
    registry::Readiness,
    sync::{AtomicBool, AtomicU64, AtomicUsize, OnceLock, Ordering, sleep_until},
};
use std::{future::pending, sync::Arc};
use tokio::time::{Duration, Instant};

/// The least time that an HTTP/1 connection has no open request before it is closed.
const IDLE: Duration = Duration::from_secs(1);

/// How long after its accept a connection may send its first request although the phase is
/// `Closing`. A request that arrived before the accept is read only after the runtime has asked
/// the kernel, and a client that connected a moment ago is about to send one. No timer fires in
/// the loom models unless they call `pass`.
const FIRST_REQUEST: Duration = if cfg!(tower_readiness_loom) {
    Duration::ZERO
} else {
    Duration::from_millis(100)
};

/// What the connections of one [`Connections`](super::Connections) share.
pub(super) struct RetirementSchedule {
    pub(super) readiness: Readiness,
    pub(super) window: Window,
    pub(super) max_age: Option<Duration>,
    /// The connections whose [`Tracked`] exists.
    pub(super) open: AtomicUsize,
    /// How many connections were open when the first of them asked for its moment.
    slices: OnceLock<usize>,
    taken: AtomicUsize,
}

impl RetirementSchedule {
    pub(super) fn new(
        readiness: &Readiness,
        window: Window,
        max_age: Option<Duration>,
    ) -> Arc<Self> {
        Arc::new(Self {
            readiness: readiness.clone(),
            window,
            max_age,
            open: AtomicUsize::new(0),
            slices: OnceLock::new(),
            taken: AtomicUsize::new(0),
        })
    }

    /// The place in the window of the next connection from before the drain: a slice of
    /// its own, and a random place in that slice.
    fn next_position(&self) -> f64 {
        let slices = *self
            .slices
            .get_or_init(|| self.open.load(Ordering::Relaxed).max(1));
        // A connection that was accepted while the first took its slice may be one too
        // many; it shares the first slice.
        let slice = self.taken.fetch_add(1, Ordering::Relaxed) % slices;
        #[allow(clippy::cast_precision_loss)] // There are fewer than 2^52 connections.
        let position = (slice as f64 + fastrand::f64()) / slices as f64;
        position
    }
}

/// One connection: its moment, and the requests that are open on it.
///
/// Exists until the connection has ended and no handler has its signal any more, so
/// that an upgraded connection keeps its slice of the window.
pub(super) struct Tracked {
    pub(super) schedule: Arc<RetirementSchedule>,
    accepted: Instant,
    /// The end of the connection's age, which may come before a drain.
    expires: Option<Instant>,
    pub(super) moment: OnceLock<RetirementMoment<Instant>>,
    retires: AtomicBool,
    is_http2: AtomicBool,
    open_requests: AtomicUsize,
    /// When the last request ended, in nanoseconds after `accepted`. Zero before that.
    idle_since: AtomicU64,
    /// The longest pause between two requests of an HTTP/1 connection, in nanoseconds.
    longest_pause: AtomicU64,
}

impl Tracked {
    pub(super) fn new(schedule: &Arc<RetirementSchedule>) -> Arc<Self> {
        schedule.open.fetch_add(1, Ordering::Relaxed);
        let accepted = Instant::now();
        // A tenth more or less, so that connections made together do not end together.
        let expires = schedule
            .max_age
            .map(|age| accepted + age.mul_f64(0.9 + 0.2 * fastrand::f64()));
        Arc::new(Self {
            schedule: Arc::clone(schedule),
            accepted,
            expires,
            moment: OnceLock::new(),
            retires: AtomicBool::new(false),
            is_http2: AtomicBool::new(false),
            open_requests: AtomicUsize::new(0),
            idle_since: AtomicU64::new(0),
            longest_pause: AtomicU64::new(0),
        })
    }

    /// Completes at the moment of the connection.
    pub(super) async fn until_moment(self: Arc<Self>) {
        let expires = self.expires;
        let expired = async move {
            match expires {
                Some(expires) => sleep_until(expires).await,
                None => pending().await,
            }
        };
        tokio::select! { biased;
            () = self.until_moment_of_drain() => {}
            () = expired => {}
        }
    }

    /// Completes when the streams of the connection have to end: at its moment, and
    /// without a window when the process drains, as without a known connection.
    pub(super) async fn until_streams_end(self: Arc<Self>) {
        let schedule = &self.schedule;
        let draining = schedule
            .window
            .is_zero()
            .then(|| schedule.readiness.draining());
        let draining = async move {
            match draining {
                Some(draining) => draining.await,
                None => pending().await,
            }
        };
        tokio::select! { biased;
            () = draining => {}
            () = self.until_moment() => {}
        }
    }

    async fn until_moment_of_drain(self: Arc<Self>) {
        let (draining, closing) = {
            let readiness = &self.schedule.readiness;
            (readiness.draining(), readiness.closing())
        };
        if self.schedule.window.is_zero() {
            return closing.await;
        }
        draining.await;
        let moment = self.moment_of_drain();
        tokio::select! { biased;
            () = closing => {}
            () = sleep_until(moment.retired) => {}
        }
    }

    /// Completes when the connection has to end after its open requests: at the phase
    /// `Closing`, or, if it has had no request, [`FIRST_REQUEST`] after its accept, whichever
    /// is later.
    pub(super) async fn until_closing(self: Arc<Self>) {
        self.schedule.readiness.closing().await;
        let due = self.accepted + FIRST_REQUEST;
        if self.idle_since() == Some(self.accepted) && due > Instant::now() {
            sleep_until(due).await;
        }
    }

    /// When the connection retires. To be called once the process drains.
    fn moment_of_drain(&self) -> RetirementMoment<Instant> {
        *self.moment.get_or_init(|| {
            let now = Instant::now();
            let clock = self.schedule.readiness.registry().drain_clock();
            let (since, delay) = clock.begun().unwrap_or((now, Duration::ZERO));
            if delay.is_zero() {
                return RetirementMoment {
                    earliest: now,
                    retired: now,
                };
            }
            let after = self.accepted.saturating_duration_since(since);
            let accepted = after.as_secs_f64() / delay.as_secs_f64();
            let position = if after.is_zero() {
                self.schedule.next_position()
            } else {
                fastrand::f64()
            };
            let moment = self.schedule.window.moment(accepted, position);
            RetirementMoment {
                earliest: since + delay.mul_f64(moment.earliest),
                retired: since + delay.mul_f64(moment.retired),
            }
        })
    }

    /// Records that the moment of the connection has come.
    pub(super) fn retire(&self) {
        self.retires.store(true, Ordering::Relaxed);
    }

    /// Whether HTTP/1 answers say `connection: close`.
    pub(super) fn announces_close(&self) -> bool {
        let has_come = |moment: Instant| moment <= Instant::now();
        // Another timer may complete an answer before that of the connection fires.
        self.retires()
            || self.expires.is_some_and(has_come)
            || self.moment.get().is_some_and(|moment| {
                has_come(moment.announced()) || has_come(moment.earliest) && self.is_last_chance()
            })
    }

    /// Whether the drain delay is over when the client sends its next request, if it pauses
    /// for as long as it has at most.
    fn is_last_chance(&self) -> bool {
        let clock = self.schedule.readiness.registry().drain_clock();
        clock
            .begun()
            .is_some_and(|(since, delay)| since.elapsed() + self.longest_pause() >= delay)
    }

    /// The longest pause between two requests of an HTTP/1 connection so far.
    fn longest_pause(&self) -> Duration {
        Duration::from_nanos(self.longest_pause.load(Ordering::Relaxed))
    }

    pub(super) fn retires(&self) -> bool {
        self.retires.load(Ordering::Relaxed)
    }

    /// Whether a request has arrived over HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        self.is_http2.load(Ordering::Relaxed)
    }

    /// Since when the connection has no open request, or `None` while it has one.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        (self.open_requests.load(Ordering::Acquire) == 0)
            .then(|| self.accepted + Duration::from_nanos(self.idle_since.load(Ordering::Relaxed)))
    }

    /// How long an HTTP/1 connection has to be without an open request before it is
    /// closed, so that its client sends the next request before that, and is told by the
    /// answer: twice the longest pause that the client has made.
    ///
    /// A client that has paused for longer than the delay will probably send nothing
    /// until then. Its connection is closed like one that is not used, so that such
    /// connections do not all stay until the last instant.
    pub(super) fn patience(&self) -> Duration {
        let clock = self.schedule.readiness.registry().drain_clock();
        let limit = match (clock.begun(), self.schedule.max_age) {
            (Some((_, delay)), _) => delay,
            (None, Some(age)) => age / 10,
            (None, None) => Duration::ZERO,
        };
        let pause = self.longest_pause();
        if pause <= limit {
            IDLE.max(2 * pause)
        } else {
            IDLE
        }
    }

    pub(super) fn begin_request(self: &Arc<Self>, is_http2: bool) -> OpenRequest {
        if is_http2 {
            self.is_http2.store(true, Ordering::Relaxed);
        } else {
            let idle_since = self.idle_since.load(Ordering::Relaxed);
            if idle_since > 0 {
                let pause = self.nanoseconds().saturating_sub(idle_since);
                self.longest_pause.fetch_max(pause, Ordering::Relaxed);
            }
        }
        self.open_requests.fetch_add(1, Ordering::Relaxed);
        OpenRequest(Arc::clone(self))
    }

    /// Counts a request as open until the connection ends: a tunnel over HTTP/2, whose end
    /// hyper tells only its handler.
    pub(super) fn keep_open(&self) {
        self.open_requests.fetch_add(1, Ordering::Relaxed);
    }

    /// The time since the connection was accepted.
    fn nanoseconds(&self) -> u64 {
        u64::try_from(self.accepted.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.schedule.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request that is open until its response body has ended or was dropped.
pub(super) struct OpenRequest(pub(super) Arc<Tracked>);

impl Drop for OpenRequest {
    fn drop(&mut self) {
        // Zero means that no request has ended yet.
        let since = self.0.nanoseconds().max(1);
        self.0.idle_since.store(since, Ordering::Relaxed);
        self.0.open_requests.fetch_sub(1, Ordering::Release);
    }
}
