//! Whether a user may make a request: by a policy that is synchronised.

use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::sleep};
use tower_readiness::{AttributeError, Reporter};

pub(crate) const SYNC_EVERY: Duration = Duration::from_millis(500);

pub(crate) struct Authorize {
    /// Stands in for the service that publishes policies.
    published: watch::Sender<Policy>,
    /// The policy of the last sync.
    policy: watch::Sender<Option<Policy>>,
    hangs: watch::Sender<bool>,
}

/// The users that may request paths under `/admin`.
#[derive(Clone)]
struct Policy {
    version: u64,
    admins: &'static [&'static str],
}

impl Authorize {
    pub(crate) fn start(reporter: Reporter) -> Arc<Self> {
        let this = Arc::new(Self {
            published: watch::Sender::new(Policy {
                version: 1,
                admins: &["alice"],
            }),
            policy: watch::Sender::default(),
            hangs: watch::Sender::default(),
        });
        tokio::spawn(Arc::clone(&this).sync(reporter));
        this
    }

    pub(crate) fn allows(&self, user: &str, path: &str) -> bool {
        match &*self.policy.borrow() {
            Some(policy) => !path.starts_with("/admin") || policy.admins.contains(&user),
            None => false,
        }
    }

    /// Publishes the next version, in which all users are admins.
    pub(crate) fn publish(&self) {
        self.published.send_modify(|policy| {
            policy.version += 1;
            policy.admins = &["alice", "bob"];
        });
    }

    /// Lets the next sync hang, or go on.
    pub(crate) fn hang(&self, hangs: bool) {
        self.hangs.send_replace(hangs);
    }

    async fn sync(self: Arc<Self>, reporter: Reporter) -> Result<(), AttributeError> {
        let mut hangs = self.hangs.subscribe();
        let mut version = None;
        loop {
            sleep(SYNC_EVERY).await;
            // As on a connection that is neither answered nor closed.
            drop(hangs.wait_for(|hangs| !hangs).await);
            let newest = self.published.borrow().clone();
            if version == Some(newest.version) {
                // The sync found no new version.
                reporter.heartbeat();
            } else {
                version = Some(newest.version);
                reporter.attribute("version", newest.version.to_string())?;
                self.policy.send_replace(Some(newest));
                reporter.ready();
            }
        }
    }
}
