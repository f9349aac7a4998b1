use crate::state::State;
use std::time::{Duration, Instant};

/// The shortest time between two publications of a group whose state stays the same:
/// 20 in a second. Longer than any model takes, since a model may not depend on the time.
pub(super) const INTERVAL: Duration = if cfg!(all(test, tower_readiness_loom)) {
    Duration::from_secs(3_600)
} else {
    Duration::from_millis(50)
};

/// Decides when the changes of a group are published.
pub(super) struct Pace {
    published: State,
    /// The time of the last publication.
    last: Option<Instant>,
    has_changes: bool,
    /// When the changes are published, if they have to wait.
    due: Option<Instant>,
}

/// When the changes of a group have to be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Publish {
    /// At once, since the state of the group is another.
    Turn,
    /// At once, since the last publication was long enough ago.
    Now,
    At(Instant),
    /// A publication is planned already.
    Planned,
}

impl Pace {
    pub(super) fn new(published: State) -> Self {
        Self {
            published,
            last: None,
            has_changes: false,
            due: None,
        }
    }

    /// Counts a change, after which the group is in `state`.
    pub(super) fn change(&mut self, state: State, at: Instant) -> Publish {
        self.has_changes = true;
        if state != self.published {
            return Publish::Turn;
        }
        match (self.due, self.last.map(|last| last + INTERVAL)) {
            (Some(due), _) if due > at => Publish::Planned,
            (None, Some(next)) if next > at => {
                self.due = Some(next);
                Publish::At(next)
            }
            _ => Publish::Now,
        }
    }

    /// Whether there are changes to publish. They count as published then.
    pub(super) fn take(&mut self, state: State, at: Instant) -> bool {
        let has_changes = std::mem::take(&mut self.has_changes);
        if has_changes {
            self.due = None;
            self.published = state;
            self.last = Some(at);
        }
        has_changes
    }

    /// When the changes that wait have to be published.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_counts_wait_and_a_turn_does_not() {
        let base = Instant::now();
        let mut pace = Pace::new(State::Ready);
        assert_eq!(pace.change(State::Ready, base), Publish::Now);
        assert!(pace.take(State::Ready, base));
        assert!(!pace.take(State::Ready, base), "there is no change");

        let soon = base + Duration::from_millis(1);
        assert_eq!(
            pace.change(State::Ready, soon),
            Publish::At(base + INTERVAL)
        );
        assert_eq!(pace.change(State::Ready, soon), Publish::Planned);
        assert_eq!(pace.due(), Some(base + INTERVAL));
        assert_eq!(pace.change(State::Failing, soon), Publish::Turn);
        assert!(pace.take(State::Failing, soon));
        assert_eq!(pace.due(), None);

        assert_eq!(
            pace.change(State::Failing, soon),
            Publish::At(soon + INTERVAL)
        );
        let mut rested = Pace::new(State::Ready);
        assert!(!rested.take(State::Ready, base));
        rested.change(State::Ready, base);
        assert!(rested.take(State::Ready, base));
        let later = base + INTERVAL;
        assert_eq!(rested.change(State::Ready, later), Publish::Now);
        // Should neither the timer nor a reader come, the next report publishes.
        let late = soon + INTERVAL;
        assert_eq!(pace.change(State::Failing, late), Publish::Now);
    }
}
