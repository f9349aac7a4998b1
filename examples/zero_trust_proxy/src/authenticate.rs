//! Which user sends a request: by signing keys, which arrive late.

use axum::http::{HeaderMap, header::AUTHORIZATION};
use std::{future::pending, sync::Arc, time::Duration};
use tokio::{
    sync::{Mutex, watch},
    task::JoinHandle,
    time::sleep,
};
use tower_readiness::{ClaimError, Readiness, Reporter};

/// How long the keys take to arrive.
pub(crate) const KEYS_TAKE: Duration = Duration::from_secs(4);

pub(crate) struct Authenticate {
    readiness: Readiness,
    keys: Keys,
    task: Mutex<JoinHandle<()>>,
}

/// Stands in for keys: the known tokens.
type Keys = Arc<watch::Sender<&'static [&'static str]>>;

impl Authenticate {
    pub(crate) fn start(readiness: &Readiness) -> Result<Self, ClaimError> {
        let keys = Keys::default();
        let reporter = readiness.reporter("authenticate")?;
        let task = tokio::spawn(load(Arc::clone(&keys), reporter));
        Ok(Self {
            readiness: readiness.clone(),
            keys,
            task: Mutex::new(task),
        })
    }

    /// The bearer of the token, if it is a good one.
    pub(crate) fn user(&self, headers: &HeaderMap) -> Option<&'static str> {
        let token = headers.get(AUTHORIZATION)?.to_str().ok()?;
        let token = token.strip_prefix("Bearer ")?;
        self.keys
            .borrow()
            .iter()
            .find(|&&key| key == token)
            .copied()
    }

    /// Ends the task, as a panic would.
    pub(crate) async fn kill(&self) {
        let mut task = self.task.lock().await;
        task.abort();
        // After its end the reporter is dropped. The task may have ended before.
        if !task.is_finished() {
            let _ = (&mut *task).await;
        }
    }

    /// Starts another one. It claims the reporter anew, once it is free.
    pub(crate) async fn restart(&self) -> Result<(), ClaimError> {
        let mut task = self.task.lock().await;
        let reporter = self.readiness.reporter("authenticate")?;
        *task = tokio::spawn(load(Arc::clone(&self.keys), reporter));
        Ok(())
    }
}

async fn load(keys: Keys, reporter: Reporter) {
    reporter.starting("waiting for the signing keys");
    sleep(KEYS_TAKE).await;
    keys.send_replace(&["alice", "bob"]);
    reporter.ready();
    // It would renew them here. Whatever ends the task drops the reporter.
    pending::<()>().await;
}
