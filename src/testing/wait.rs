use super::WaitForError;
use crate::{
    registry::Readiness,
    state::{Aspect, Explanation, ScopeId, Snapshot, State, text::OneLine},
};
use std::time::Duration;
use tokio::time::timeout;

impl Readiness {
    /// Waits until a snapshot satisfies `is_expected`, and returns that snapshot. Begins with
    /// the present one. Snapshots that follow each other fast may be skipped.
    ///
    /// `within` is by the clock of the runtime. Cancel safe.
    ///
    /// # Errors
    ///
    /// When the time is over; the error explains the last snapshot.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with a clock.
    pub async fn wait_for(
        &self,
        within: Duration,
        is_expected: impl FnMut(&Snapshot) -> bool,
    ) -> Result<Snapshot, WaitForError> {
        let found = self.expected(within, is_expected).await;
        found.map_err(|last| WaitForError::Condition {
            within,
            explanation: explain(&last),
        })
    }

    /// Waits until the subsystem `name` is in `state`, and returns the snapshot. Begins with
    /// the present one. States that follow each other fast may be skipped.
    ///
    /// `within` is by the clock of the runtime. Cancel safe.
    ///
    /// # Errors
    ///
    /// When there is no such subsystem at the beginning, or when the time is over; the error
    /// explains the last snapshot.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with a clock.
    pub async fn wait_state(
        &self,
        name: &str,
        state: State,
        within: Duration,
    ) -> Result<Snapshot, WaitForError> {
        self.subsystem_handle(name)?;
        let is_in_state = |snapshot: &Snapshot| {
            let view = snapshot.subsystem(name);
            view.is_some_and(|view| view.state() == state)
        };
        let found = self.expected(within, is_in_state).await;
        found.map_err(|last| WaitForError::State {
            name: name.to_owned(),
            state,
            within,
            explanation: format!("{}; {}", explain_subsystem(&last, name), explain(&last)),
        })
    }

    /// The first snapshot that is expected, or the last one.
    async fn expected(
        &self,
        within: Duration,
        mut is_expected: impl FnMut(&Snapshot) -> bool,
    ) -> Result<Snapshot, Snapshot> {
        let mut subscription = self.subscribe();
        let found = timeout(within, async {
            loop {
                // Overdue changes count as published.
                self.registry().publish_overdue();
                match subscription.changed().await {
                    Ok(snapshot) if is_expected(&snapshot) => return snapshot,
                    Ok(_) => {}
                    // The registry closes with its last handle, and `self` is one.
                    Err(_) => std::future::pending().await,
                }
            }
        });
        found.await.map_err(|_| self.snapshot())
    }
}

/// The subsystem `name`, as in the list of a probe.
fn explain_subsystem(snapshot: &Snapshot, name: &str) -> String {
    let Some(view) = snapshot.subsystem(name) else {
        return "retired".to_owned();
    };
    let with_reason = |state: State, reason: Option<&str>| match reason {
        Some(reason) => format!("{state} ({})", OneLine(reason)),
        None => state.to_string(),
    };
    let mut text = with_reason(view.state(), view.reason());
    if let Some(damped) = view.damped() {
        let report = with_reason(damped.state(), damped.reason());
        text = text + ", with a report that does not count yet: " + &report;
    }
    text
}

pub(super) fn explain(snapshot: &Snapshot) -> String {
    let (phase, condition) = (snapshot.phase(), snapshot.verdict().condition());
    let mut text = format!("the process is {phase} and {condition}");
    match snapshot.paused() {
        Some("") => text += ", paused",
        Some(reason) => text = format!("{text}, paused ({})", OneLine(reason)),
        None => {}
    }
    let causes = Explanation::of_scope(&snapshot.0, ScopeId::Process, Aspect::Readiness);
    if !causes.is_empty() {
        text = text + ": " + &causes.with_states(true).to_string();
    }
    text
}
