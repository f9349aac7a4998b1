use super::{delays::Delays, error::WatchError};
use crate::{
    registry::{
        Readiness, Start, Subsystem, SubsystemHandle, TaskId, Witness, bounded, bounded_from,
        start_timer_thread,
    },
    state::State,
};
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    io,
    sync::Arc,
    time::Duration,
};
use tokio::{
    runtime::Handle,
    time::{Instant, MissedTickBehavior, interval_at, sleep},
};

const NAME: &str = "runtime";

/// The time that the delays cover.
const WINDOW: Duration = Duration::from_secs(10);

/// The interval of the heartbeats, unless a shorter `stalled_after` needs more
/// of them.
const BEAT_EVERY: Duration = Duration::from_millis(100);

/// How many heartbeats fit in `stalled_after`, at least.
const BEATS: u32 = 8;

/// The shortest `stalled_after`. Without a stall, a heartbeat may be late by
/// the millisecond that tokio's timers do not resolve, and by the turns of some
/// other tasks.
const SHORTEST_STALL: Duration = Duration::from_millis(100);

/// When a runtime counts as slow, and when as stalled; for
/// [`Readiness::watch_runtime`].
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeWatch {
    degraded_above: Duration,
    stalled_after: Duration,
}

impl Default for RuntimeWatch {
    fn default() -> Self {
        Self {
            degraded_above: Duration::from_millis(100),
            stalled_after: Duration::from_secs(10),
        }
    }
}

impl RuntimeWatch {
    /// Sets the delay above which the runtime is degraded: while 1 in 100 tasks
    /// waits longer to be polled. 1 millisecond to a day, by default 100
    /// milliseconds. The runtime is ready again at half of it.
    ///
    /// The delays cover the last 10 seconds, so a single pause is enough if it
    /// is a few tenths of a second longer than this.
    pub fn degraded_above(mut self, degraded_above: Duration) -> Self {
        self.degraded_above = degraded_above;
        self
    }

    /// Sets the time without a polled task after which the runtime is stalled: 100
    /// milliseconds to a day, by default 10 seconds. Liveness is red then, half a
    /// second and a quarter of this later at the latest.
    ///
    /// Choose more than the longest pause that the process should survive.
    pub fn stalled_after(mut self, stalled_after: Duration) -> Self {
        self.stalled_after = stalled_after;
        self
    }

    fn beat_every(&self) -> Duration {
        BEAT_EVERY.min(self.stalled_after / BEATS)
    }
}

impl Readiness {
    /// Watches the tokio runtime of the caller: adds a
    /// [vital](Subsystem::vital) subsystem `runtime`.
    ///
    /// A task asks for a turn ten times a second and measures how late each
    /// turn is (`delay_p50` and `delay_p99` of the last 10 seconds, as
    /// attributes). While it gets no turn, the turns that are due count as
    /// well: the delays are those of tasks that become ready at any moment.
    ///
    /// A thread of the crate notices when the task gets no turn: then `runtime`
    /// is [stale](State::Stale), unless the counters of the runtime (the busy
    /// time and the parks of its workers, which a worker updates at the latest
    /// every [event interval](tokio::runtime::Builder::event_interval)) and of
    /// this registry (requests in flight) show that other tasks get their
    /// turns. Then `runtime` is degraded: a restart would not help an
    /// overloaded process, and would move its load to the other replicas. While
    /// the process drains, a stall changes no state.
    ///
    /// A runtime that is blocked for good handles no signal, so the process
    /// does not drain on SIGTERM, nor end at ctrl-c where that was [taken
    /// over](Self::drain_on_signal). The supervisor that finds liveness red
    /// ends it by SIGKILL.
    ///
    /// # Errors
    ///
    /// Outside of a tokio runtime, if a duration is out of its bounds, if the
    /// runtime is watched already, or if no thread can be started.
    ///
    /// # Panics
    ///
    /// On a tokio runtime whose timers are not enabled. (Tokio has no call to
    /// ask for that.)
    pub fn watch_runtime(&self, watch: RuntimeWatch) -> Result<(), WatchError> {
        let runtime = Handle::try_current().map_err(|_| WatchError::NoRuntime)?;
        // Panics here rather than in the task, which would be found stalled.
        drop(sleep(Duration::ZERO));
        bounded("degraded delay of a runtime", watch.degraded_above)?;
        bounded_from(SHORTEST_STALL, "stall of a runtime", watch.stalled_after)?;
        if !start_timer_thread() {
            let error = io::Error::other("the system could not start a thread");
            return Err(WatchError::Thread(error));
        }
        let subsystem = Subsystem::new(NAME).vital().ttl(watch.stalled_after);
        let added = self.add_named(&subsystem);
        let handle = added.map_err(|source| WatchError::AlreadyRunning { what: NAME, source })?;

        // The caller was polled just now.
        handle.report(State::Ready, "");
        handle.set_witness(witness(&handle));
        let start: Start = Arc::new(move || Some(Box::pin(beat(handle.clone(), watch.clone()))));
        let tasks = self.registry().background();
        tasks.add_on(runtime, TaskId::Watch(NAME), start);
        tasks.start();
        Ok(())
    }
}

/// Returns a value that changes when a task of this runtime was polled, or
/// a request of the registry has begun or ended.
fn witness(handle: &SubsystemHandle) -> Witness {
    let metrics = Handle::current().metrics();
    let in_flight = handle.in_flight();
    Arc::new(move || {
        let mut hash = DefaultHasher::new();
        for worker in 0..metrics.num_workers() {
            metrics.worker_total_busy_duration(worker).hash(&mut hash);
            metrics.worker_park_unpark_count(worker).hash(&mut hash);
        }
        in_flight().hash(&mut hash);
        hash.finish()
    })
}

/// Sends heartbeats, and reports how late they are.
async fn beat(handle: SubsystemHandle, watch: RuntimeWatch) {
    handle.set_witness(witness(&handle));
    let every = watch.beat_every();
    let per_window = WINDOW.as_nanos() / every.as_nanos();
    let per_window = usize::try_from(per_window).unwrap_or(usize::MAX);
    let mut delays = Delays::new(per_window, every);
    let mut degraded = false;
    let mut shown_at = Instant::now();
    // `Delays` counts the missed ticks, so they are skipped.
    let mut beats = interval_at(shown_at + every, every);
    beats.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        let planned = beats.tick().await;
        let now = Instant::now();
        delays.push(now - planned);
        handle.beat();
        // People read the delays, and each change publishes a snapshot.
        if now - shown_at < Duration::from_secs(1) {
            continue;
        }
        shown_at = now;
        let slow = delays.percentile(99);
        degraded = if degraded {
            slow > watch.degraded_above / 2
        } else {
            delays.is_full() && slow > watch.degraded_above
        };
        // First, so that a reader of the degraded state sees the delays too.
        let half = delays.percentile(50);
        handle.registry_meters().record_runtime_delays(half, slow);
        show(&handle, half, slow);
        if degraded {
            let limit = watch.degraded_above;
            let reason = format!("1 in 100 tasks waits for its turn for longer than {limit:?}");
            handle.report(State::Degraded, &reason);
        } else {
            handle.report(State::Ready, "");
        }
    }
}

/// Shows delays as attributes, in one change.
fn show(handle: &SubsystemHandle, half: Duration, slow: Duration) {
    let shown = [("delay_p50", half), ("delay_p99", slow)]
        .map(|(key, delay)| (key, format!("{}ms", delay.as_millis())));
    handle.change(|view| {
        let next = shown.iter().fold(None, |next, (key, delay)| {
            // No other code sets attributes here, so there is room.
            let newest = next.as_ref().unwrap_or(view).with_attribute(key, delay);
            newest.unwrap_or_default().or(next)
        });
        ((), next)
    });
}
