//! What tests of applications use: simulated states, waits, and the paused clock.

mod clock;
#[cfg(all(unix, feature = "systemd"))]
#[path = "../support/folder.rs"]
mod folder;
mod simulate;
mod surfaces;
mod wait;

use std::time::Duration;
use tower_readiness::{Readiness, Reporter, State, Subsystem};

const SECOND: Duration = Duration::from_secs(1);

/// A process whose `storage` (vital), `search` (optional) and scope `pages` are ready.
fn ready() -> (Readiness, Reporter) {
    let builder = Readiness::builder()
        .subsystem(Subsystem::new("storage").vital())
        .subsystem(Subsystem::new("search").optional())
        .scope("pages", ["storage", "search"]);
    let readiness = builder.build().unwrap();
    readiness.reporter("search").unwrap().leave_ready();
    let storage = readiness.reporter("storage").unwrap();
    storage.ready();
    (readiness, storage)
}

/// The state and the reason of `storage`, and whether it is simulated.
fn state(readiness: &Readiness) -> (State, String, bool) {
    let snapshot = readiness.snapshot();
    let view = snapshot.subsystem("storage").unwrap();
    let reason = view.reason().unwrap_or_default().to_owned();
    (view.state(), reason, view.is_simulated())
}
