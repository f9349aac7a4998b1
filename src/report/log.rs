use crate::state::Sealed;

#[cfg(not(feature = "tracing"))]
pub(crate) fn published(_: Sealed) {}

/// Logs what is new.
#[cfg(feature = "tracing")]
pub(crate) fn published(sealed: Sealed) {
    crate::logging::contained(|| news(&sealed));
}

/// Most detailed first: the subsystem, the phase, the process.
#[cfg(feature = "tracing")]
fn news(
    Sealed {
        before,
        after,
        touched,
    }: &Sealed,
) {
    let version = after.version;
    if let Some(slot) = *touched {
        let old = before.views.get(slot).map(|view| &**view);
        let new = after.views.get(slot).map(|view| &**view);
        subsystem(version, old, new);
    }

    if before.phase != after.phase {
        tracing::info!(version, from = %before.phase, to = %after.phase, "process phase");
    }
    match (&before.pause, &after.pause) {
        (old, Some(reason)) if old.as_ref() != Some(reason) => {
            let reason = &**reason;
            tracing::info!(version, reason, "process paused");
        }
        (Some(_), None) => tracing::info!(version, "process resumed"),
        _ => {}
    }
    match (before.reloads.under_way, after.reloads.under_way) {
        (0, 1..) => tracing::info!(version, "process reloads"),
        (1.., 0) => tracing::info!(version, "process has reloaded"),
        _ => {}
    }
    let (was, is) = (before.process.verdict, after.process.verdict);
    if was.is_ready() != is.is_ready() || was.condition() != is.condition() {
        tracing::info!(version, ready = is.is_ready(), condition = %is.condition(), "process readiness");
    }
    if was.is_live() && !is.is_live() {
        tracing::error!(version, "process liveness lost");
    } else if !was.is_live() && is.is_live() {
        tracing::info!(version, "process liveness regained");
    }
}

#[cfg(feature = "tracing")]
fn subsystem(
    version: u64,
    old: Option<&crate::state::SubsystemView>,
    new: Option<&crate::state::SubsystemView>,
) {
    use crate::state::State;

    let (old, new) = match (old, new) {
        (Some(old), Some(new)) => (old, new),
        (None, Some(new)) => {
            tracing::debug!(version, subsystem = new.name(), "subsystem added");
            return;
        }
        (Some(old), None) => {
            tracing::info!(version, subsystem = old.name(), "subsystem retired");
            return;
        }
        (None, None) => return,
    };
    let subsystem = new.name();
    match (old.damped(), new.damped()) {
        (old, Some(damped)) if old != Some(damped) => {
            let (state, reason) = (damped.state(), damped.reason());
            let progress = damped.progress();
            tracing::debug!(version, subsystem, %state, reason, ?progress, "report damped");
        }
        _ => {}
    }
    if (old.state(), old.reason()) == (new.state(), new.reason()) {
        return;
    }

    let (from, to) = (old.state(), new.state());
    let reason = new.reason();
    if from == to && to != State::Starting {
        // What an operator has to know was said when the state changed.
        tracing::debug!(version, subsystem, state = %to, reason, "subsystem reason changed");
        return;
    }
    match to {
        State::Starting => {
            tracing::debug!(version, subsystem, %from, %to, reason, "subsystem starting");
        }
        State::Ready => tracing::info!(version, subsystem, %from, %to, "subsystem ready"),
        State::Degraded => {
            tracing::warn!(version, subsystem, %from, %to, reason, "subsystem degraded");
        }
        State::Failing | State::Stale => {
            tracing::warn!(version, subsystem, %from, %to, reason, "subsystem failing");
        }
        State::Dead => tracing::error!(version, subsystem, %from, %to, reason, "subsystem dead"),
    }
}
