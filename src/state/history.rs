use super::transition::Transition;
use crate::sync::OnceLock;
use std::{array, sync::Arc};

/// How many transitions share an allocation.
const CHUNK: usize = if cfg!(all(test, tower_readiness_loom)) {
    2
} else {
    32
};

/// Written once each, in their order, by the writer that appends to the newest
/// history.
type Chunk = [OnceLock<Transition>; CHUNK];

/// The newest transitions up to one snapshot.
///
/// Histories of consecutive snapshots share their chunks: an append writes one entry
/// in place, which the older histories do not read, because each knows its length. So
/// a report copies no entry, and a reader needs no lock.
#[derive(Clone, Debug)]
pub(crate) struct History {
    capacity: usize,
    /// The oldest chunk first. All but the last are full.
    chunks: Arc<[Arc<Chunk>]>,
    /// The number of entries in the last chunk.
    in_last: usize,
}

impl History {
    /// An empty history, which keeps the last `capacity` transitions.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            chunks: Arc::new([]),
            in_last: CHUNK,
        }
    }

    /// Whether transitions are kept.
    pub(crate) fn is_on(&self) -> bool {
        self.capacity > 0
    }

    /// Appends a transition. The caller publishes this history, or drops it with every
    /// other one that it appends to: no two histories may grow from the same one.
    pub(super) fn push(&mut self, transition: Transition) {
        if !self.is_on() {
            return;
        }
        if self.in_last == CHUNK {
            // Enough full chunks for the capacity when the new one has a single entry.
            let kept = (self.capacity - 1).div_ceil(CHUNK);
            let first = self.chunks.len().saturating_sub(kept);
            let new = Arc::new(array::from_fn(|_| OnceLock::new()));
            let chunks = self.chunks[first..].iter().cloned().chain([new]);
            self.chunks = chunks.collect();
            self.in_last = 0;
        }
        if let Some(last) = self.chunks.last() {
            // Not set before, because every history grows at most once.
            let _ = last[self.in_last].set(transition);
            self.in_last += 1;
        }
    }

    /// The transitions that are kept, the oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Transition> {
        let all = self.len_in_chunks();
        let entries = self.chunks.iter().flat_map(|chunk| chunk.iter());
        let entries = entries.take(all);
        entries
            .skip(all.saturating_sub(self.capacity))
            .filter_map(OnceLock::get)
    }

    /// Whether all transitions after `version` are kept.
    #[cfg(feature = "events")]
    pub(crate) fn is_whole_since(&self, version: u64) -> bool {
        let nothing_dropped = self.is_on() && self.len_in_chunks() < self.capacity;
        let oldest = self.iter().next();
        nothing_dropped || oldest.is_some_and(|oldest| oldest.version <= version)
    }

    /// The number of entries in the chunks, which may exceed the capacity.
    fn len_in_chunks(&self) -> usize {
        (self.chunks.len() * CHUNK + self.in_last).saturating_sub(CHUNK)
    }
}

#[cfg(all(test, feature = "events"))]
mod tests {
    use super::*;
    use crate::state::{Moment, TransitionKind};
    use std::time::{Duration, Instant, SystemTime};

    #[test]
    fn a_history_that_lacks_a_transition_is_never_called_whole() {
        for capacity in 0..100 {
            let mut history = History::new(capacity);
            for version in 1..=200 {
                history.push(Transition {
                    version,
                    kind: TransitionKind::Pause { paused: true },
                    reason: None,
                    at: Moment {
                        wall: SystemTime::UNIX_EPOCH,
                        monotonic: Instant::now(),
                    },
                    lasted: Duration::ZERO,
                    refused: 0,
                });
                let dropped = version.saturating_sub(capacity as u64);
                for seen in [0, dropped.saturating_sub(1), dropped, version - 1] {
                    let is_whole = history.is_whole_since(seen);
                    assert!(
                        !is_whole || seen >= dropped,
                        "{seen} of {version}, {capacity}"
                    );
                }
                let is_whole = history.is_whole_since(version - 1);
                let short = version < capacity as u64;
                assert!(is_whole || !short, "{version}, {capacity}");
                assert_eq!(history.is_whole_since(version), capacity > 0);
                if history.is_on() && history.in_last == 1 {
                    let without_first = history.len_in_chunks().saturating_sub(CHUNK);
                    assert!(without_first < capacity, "a chunk too many: {capacity}");
                }
            }
        }
    }
}
