//! The subsystems of the demo service.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time::sleep;

type Listener = Box<dyn Fn(bool) + Send + Sync>;

/// A part of the service that is up or down.
pub(crate) struct Subsystem {
    pub(crate) name: &'static str,
    up: AtomicBool,
    listener: OnceLock<Listener>,
}

impl Subsystem {
    const fn new(name: &'static str) -> Self {
        Self {
            name,
            up: AtomicBool::new(false),
            listener: OnceLock::new(),
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.up.load(Ordering::Acquire)
    }

    /// Calls `listener` with the state, now and at each change: before the subsystem goes
    /// down, and after it has come up.
    pub(crate) fn tell(&self, listener: impl Fn(bool) + Send + Sync + 'static) {
        if self.is_up() {
            listener(true);
        }
        // Each subsystem has one listener.
        let _ = self.listener.set(Box::new(listener));
    }

    pub(crate) fn set(&self, up: bool) {
        let tell = |up| {
            if let Some(listener) = self.listener.get() {
                listener(up);
            }
        };
        if !up {
            tell(false);
        }
        self.up.store(up, Ordering::Release);
        if up {
            tell(true);
        }
    }
}

pub(crate) struct Subsystems {
    pub(crate) authenticate: Subsystem,
    pub(crate) authorize: Subsystem,
    pub(crate) storage: Subsystem,
    /// Shared by all replicas.
    pub(crate) database: Subsystem,
}

impl Subsystems {
    /// One after the other, so that all are up after three seconds.
    const STEP: Duration = Duration::from_millis(750);

    pub(crate) const fn new() -> Self {
        Self {
            authenticate: Subsystem::new("authenticate"),
            authorize: Subsystem::new("authorize"),
            storage: Subsystem::new("storage"),
            database: Subsystem::new("database"),
        }
    }

    pub(crate) async fn come_up(&self) {
        for subsystem in self.all() {
            sleep(Self::STEP).await;
            subsystem.set(true);
        }
    }

    /// The subsystems that this process needs in order to serve.
    pub(crate) fn local(&self) -> [&Subsystem; 3] {
        [&self.authenticate, &self.authorize, &self.storage]
    }

    pub(crate) fn all(&self) -> [&Subsystem; 4] {
        let [authenticate, authorize, storage] = self.local();
        [authenticate, authorize, storage, &self.database]
    }
}
