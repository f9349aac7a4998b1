use super::builder::Limits;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

/// The place that a connection takes, and what it does there.
pub(super) struct Seat {
    doing: Mutex<Doing>,
    wanted: Notify,
}

struct Doing {
    /// When it last began to wait for a request: since it is there, or since
    /// a request came or was answered.
    since: Instant,
    has_asked: bool,
    /// Requests that are not answered yet.
    open: usize,
}

/// How a connection leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    /// An answer may be on its way.
    Politely,
    AtOnce,
}

impl Seat {
    pub(super) fn take() -> Arc<Self> {
        Arc::new(Self {
            doing: Mutex::new(Doing {
                since: Instant::now(),
                has_asked: false,
                open: 0,
            }),
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

    /// The seat with the smallest rank is the first to be given to another.
    pub(super) fn rank(&self) -> impl Ord + use<> {
        let doing = self.doing();
        (doing.open > 0, doing.since)
    }

    /// Tells the connection that another needs the place.
    pub(super) fn give_away(&self) {
        self.wanted.notify_one();
    }

    /// Completes when another needs the place.
    pub(super) async fn given_away(&self) -> Leave {
        self.wanted.notified().await;
        let doing = self.doing();
        // One that waits would wait on.
        if doing.has_asked && doing.open == 0 {
            Leave::Politely
        } else {
            Leave::AtOnce
        }
    }

    /// Completes when nothing was asked for too long.
    pub(super) async fn overstayed(&self, limits: &Limits) -> Leave {
        loop {
            let until = {
                let doing = self.doing();
                let now = Instant::now();
                let (limit, leave) = if doing.has_asked {
                    (limits.idle_timeout, Leave::Politely)
                } else {
                    (limits.header_timeout, Leave::AtOnce)
                };
                let since = if doing.open > 0 { now } else { doing.since };
                if now >= since + limit {
                    return leave;
                }
                since + limit
            };
            sleep_until(until).await;
        }
    }

    fn doing(&self) -> MutexGuard<'_, Doing> {
        self.doing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is not answered yet.
pub(super) struct Open(Arc<Seat>);

impl Drop for Open {
    fn drop(&mut self) {
        let mut doing = self.0.doing();
        doing.since = Instant::now();
        doing.open -= 1;
    }
}
