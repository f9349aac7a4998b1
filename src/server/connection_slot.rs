use super::limits::Limits;
use crate::race::{First, race};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::{
    sync::Notify,
    time::{Duration, Instant, sleep_until},
};

/// The place that a connection takes, and what it does there.
pub(super) struct ConnectionSlot {
    doing: Mutex<Doing>,
    answered: Notify,
    wanted: Notify,
}

struct Doing {
    /// When it came, or when a request last came or was answered.
    since: Instant,
    has_asked: bool,
    /// Requests that are not answered yet.
    open: usize,
    /// It has ended but for what its peer still sends.
    lingers: bool,
}

/// How a connection leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    /// An answer may be on its way.
    Politely,
    AtOnce,
    /// Another connection takes its place.
    Evicted,
}

/// How long a new connection may take to send its request before other
/// connections are preferred to it: the time a kubelet gives a probe.
const NEW_FOR: Duration = Duration::from_secs(1);

/// What a connection is doing, in the order in which connections are evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Activity {
    /// Everything is answered, and the rest is read only to be dropped.
    Lingers,
    /// It has no request open.
    Quiet,
    /// It has a request open, which waits.
    Waits,
    /// It came less than a second ago and has not asked yet. Every probe that
    /// opens a connection of its own begins so; were it evicted before
    /// connections that have been served already, those that come back as soon
    /// as they are closed could keep every probe out.
    IsNew,
}

impl ConnectionSlot {
    pub(super) fn take() -> Arc<Self> {
        Arc::new(Self {
            doing: Mutex::new(Doing {
                since: Instant::now(),
                has_asked: false,
                open: 0,
                lingers: false,
            }),
            answered: Notify::new(),
            wanted: Notify::new(),
        })
    }

    /// A request has come; it is answered when this is dropped.
    pub(super) fn ask(self: &Arc<Self>) -> Open {
        let mut doing = self.doing();
        doing.since = Instant::now();
        doing.has_asked = true;
        doing.open += 1;
        Open(Arc::clone(self))
    }

    /// The slot with the smallest rank is the first to be given to another.
    pub(super) fn rank(&self) -> (Activity, Instant) {
        let doing = self.doing();
        let is_new = !doing.has_asked && doing.since.elapsed() < NEW_FOR;
        let activity = match *doing {
            Doing { lingers: true, .. } => Activity::Lingers,
            _ if is_new => Activity::IsNew,
            Doing { open: 0, .. } => Activity::Quiet,
            _ => Activity::Waits,
        };
        (activity, doing.since)
    }

    /// The connection has ended but for what its peer still sends.
    pub(super) fn linger(&self) {
        self.doing().lingers = true;
    }

    /// Tells the connection that another needs the place.
    pub(super) fn give_away(&self) {
        self.wanted.notify_one();
    }

    /// Completes when another needs the place.
    pub(super) async fn given_away(&self) -> Leave {
        self.wanted.notified().await;
        Leave::Evicted
    }

    /// Completes when nothing was asked for too long.
    pub(super) async fn overstayed(&self, limits: &Limits) -> Leave {
        loop {
            let Some((until, leave)) = self.may_stay(limits) else {
                self.answered.notified().await;
                continue;
            };
            let answered = self.answered.notified();
            if let First::Left(()) = race(answered, sleep_until(until)).await {
                continue;
            }
            // It may have asked at the last moment.
            if self.may_stay(limits) == Some((until, leave)) {
                return leave;
            }
        }
    }

    /// Until when, and how it leaves then. While it has yet to be answered, it
    /// may stay.
    fn may_stay(&self, limits: &Limits) -> Option<(Instant, Leave)> {
        let doing = self.doing();
        let (limit, leave) = if doing.has_asked {
            (limits.idle_timeout, Leave::Politely)
        } else {
            (limits.header_timeout, Leave::AtOnce)
        };
        (doing.open == 0).then_some((doing.since + limit, leave))
    }

    fn doing(&self) -> MutexGuard<'_, Doing> {
        self.doing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is not answered yet.
pub(super) struct Open(Arc<ConnectionSlot>);

impl Drop for Open {
    fn drop(&mut self) {
        let mut doing = self.0.doing();
        doing.since = Instant::now();
        doing.open -= 1;
        drop(doing);
        self.0.answered.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;
    use tokio_test::{assert_pending, assert_ready_eq, task};

    const LIMITS: Limits = Limits {
        header_timeout: Duration::from_secs(5),
        idle_timeout: Duration::from_secs(75),
        connections: 1,
        http2: false,
    };
    const A_MOMENT: Duration = Duration::from_millis(10);

    #[tokio::test(start_paused = true)]
    async fn who_does_not_ask_may_stay_for_the_header_timeout() {
        let slot = ConnectionSlot::take();
        let mut overstayed = task::spawn(slot.overstayed(&LIMITS));
        advance(LIMITS.header_timeout - A_MOMENT).await;
        assert_pending!(overstayed.poll());
        advance(2 * A_MOMENT).await;
        assert_ready_eq!(overstayed.poll(), Leave::AtOnce);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_asked_may_stay_for_the_idle_timeout_after_each_answer() {
        let slot = ConnectionSlot::take();
        let mut overstayed = task::spawn(slot.overstayed(&LIMITS));
        for _ in 0..3 {
            assert_pending!(overstayed.poll());
            let open = slot.ask();
            // However long the answer takes.
            advance(10 * LIMITS.idle_timeout).await;
            assert_pending!(overstayed.poll());
            drop(open);
            advance(LIMITS.idle_timeout - A_MOMENT).await;
            assert_pending!(overstayed.poll());
        }
        advance(2 * A_MOMENT).await;
        assert_ready_eq!(overstayed.poll(), Leave::Politely);
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_at_the_last_moment_may_stay() {
        let slot = ConnectionSlot::take();
        let mut overstayed = task::spawn(slot.overstayed(&LIMITS));
        assert_pending!(overstayed.poll());
        advance(LIMITS.header_timeout + A_MOMENT).await;
        let open = slot.ask();
        assert_pending!(overstayed.poll());
        drop(open);
        assert_pending!(overstayed.poll());
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_to_go_lingers_then_is_quiet_then_waits_and_the_last_is_new() {
        let (quiet, quiet_last) = (ConnectionSlot::take(), ConnectionSlot::take());
        let (waits, waits_last) = (ConnectionSlot::take(), ConnectionSlot::take());
        let silent = ConnectionSlot::take();
        let lingers = ConnectionSlot::take();
        let _open = waits.ask();
        advance(A_MOMENT).await;
        let _open_last = waits_last.ask();
        drop(quiet.ask());
        advance(A_MOMENT).await;
        drop(quiet_last.ask());
        drop(lingers.ask());
        lingers.linger();
        advance(NEW_FOR).await;
        let new = ConnectionSlot::take();
        advance(NEW_FOR - A_MOMENT).await;
        let newest = ConnectionSlot::take();

        let order = [
            &lingers,
            &silent,
            &quiet,
            &quiet_last,
            &waits,
            &waits_last,
            &new,
            &newest,
        ];
        let ranks = order.map(|slot| slot.rank());
        assert!(ranks.is_sorted(), "{ranks:?}");
        assert_eq!(new.rank().0, Activity::IsNew);
        advance(2 * A_MOMENT).await;
        assert_eq!(new.rank().0, Activity::Quiet, "it is no longer new");
        assert_eq!(newest.rank().0, Activity::IsNew);
        drop(newest.ask());
        assert_eq!(newest.rank().0, Activity::Quiet, "it has asked");
    }
}
