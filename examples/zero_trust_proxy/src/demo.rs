//! Breaks the parts by hand.

use crate::{
    audit::Audit, authenticate::Authenticate, authorize::Authorize, backend::Backend,
    storage::Storage, upstream::Upstream,
};
use axum::{
    extract::{Path, State},
    http::StatusCode,
};
use std::{sync::Arc, thread, time::Duration};
use tokio::{runtime::Handle, time::sleep};

pub(crate) struct Demo {
    pub(crate) authenticate: Arc<Authenticate>,
    pub(crate) authorize: Arc<Authorize>,
    pub(crate) storage: Arc<Storage>,
    pub(crate) audit: Arc<Audit>,
    pub(crate) upstream: Upstream,
    pub(crate) directory: Arc<Backend>,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// `POST /demo/{part}/{action}`
pub(crate) async fn act(
    State(demo): State<Arc<Demo>>,
    Path((part, action)): Path<(String, String)>,
) -> Result<String, (StatusCode, String)> {
    match demo.act(&part, &action).await {
        Ok(true) => Ok(format!("{part}: {action}\n")),
        Ok(false) => {
            let message = format!("there is no {part:?} to {action:?}\n");
            Err((StatusCode::NOT_FOUND, message))
        }
        Err(error) => Err((StatusCode::CONFLICT, format!("{error}\n"))),
    }
}

impl Demo {
    /// Executes the action. Returns `false` if the part has no such action.
    async fn act(&self, part: &str, action: &str) -> Result<bool, Failure> {
        match (part, action) {
            ("authenticate", "kill") => self.authenticate.kill().await,
            ("authenticate", "restart") => self.authenticate.restart().await?,
            ("authorize", "publish") => self.authorize.publish(),
            ("authorize", "hang") => self.authorize.hang(true),
            ("authorize", "resume") => self.authorize.hang(false),
            ("storage", "lose") => self.storage.lose()?,
            ("storage", "replace") => self.storage.replace()?,
            ("storage", "restore") => self.storage.restore()?,
            ("audit", "lose") => self.audit.lose()?,
            ("audit", "restore") => self.audit.restore()?,
            ("upstream", "stop") => self.upstream.stop().await,
            ("upstream", "start") => self.upstream.start_again().await?,
            ("upstream", "break") => self.upstream.break_down(true),
            ("upstream", "mend") => self.upstream.break_down(false),
            ("directory", "stop") => self.directory.stop().await,
            ("directory", "start") => self.directory.start_again().await?,
            ("runtime", "block") => block(),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// Blocks every thread of the runtime for good, once this has been answered.
fn block() {
    // More tasks than threads, because one thread may take several.
    for _ in 0..2 * Handle::current().metrics().num_workers() {
        tokio::spawn(async {
            sleep(Duration::from_millis(200)).await;
            loop {
                thread::park();
            }
        });
    }
}
