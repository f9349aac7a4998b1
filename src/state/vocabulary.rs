use std::{
    array,
    ops::{Index, IndexMut},
};

/// Declares an enum whose variants each have one word, used alike in probe
/// bodies, headers and logs.
macro_rules! vocabulary {
    (
        $(#[$meta:meta])*
        pub enum $name:ident {
            $($(#[$variant_meta:meta])* $variant:ident = $word:literal,)+
        }
    ) => {
        $(#[$meta])*
        #[non_exhaustive]
        pub enum $name {
            $($(#[$variant_meta])* $variant,)+
        }

        impl $name {
            /// Every value, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word for this value in probe bodies, headers and logs.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}
pub(crate) use vocabulary;

vocabulary! {
    /// The state of a subsystem, as last reported.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum State {
        /// Not up yet, or coming back. Counts as failing once the subsystem has
        /// been ready.
        Starting = "starting",
        /// Fully able to do its part.
        Ready = "ready",
        /// Able to do its part, but worse than it should.
        Degraded = "degraded",
        /// Not able to do its part; may recover.
        Failing = "failing",
        /// No report or heartbeat came within the [ttl](crate::Subsystem::ttl).
        /// Counts as failing, and as dead if the subsystem is vital.
        Stale = "stale",
        /// Not able to do its part, and not expected to recover by itself. A
        /// later report still replaces this state.
        Dead = "dead",
    }
}

impl State {
    /// Whether a subsystem in this state does its part.
    pub const fn is_up(self) -> bool {
        matches!(self, Self::Ready | Self::Degraded)
    }

    /// The place in the order from good to bad.
    #[cfg(any(feature = "cli", feature = "page", feature = "test-util"))]
    pub(crate) const fn severity(self) -> u8 {
        match self {
            Self::Ready => 0,
            Self::Degraded => 1,
            Self::Starting => 2,
            Self::Failing => 3,
            Self::Stale => 4,
            Self::Dead => 5,
        }
    }
}

vocabulary! {
    /// How a subsystem that is not up affects the process.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub enum Role {
        /// The process is ready only while the subsystem is up.
        #[default]
        Required = "required",
        /// A dependency that every replica shares. The process is not ready
        /// until it has been ready once; from then on its failure only
        /// degrades, so that its outage cannot take all replicas out of
        /// service.
        Shared = "shared",
        /// Degrades the process while it is down, but never makes it unready.
        Optional = "optional",
        /// Shows its state and never counts: the process is as ready without it. Only a
        /// [scope](crate::Builder::scope) that names it counts it.
        Informative = "informative",
    }
}

vocabulary! {
    /// The phase of the process. Phases only advance.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Phase {
        /// Some declared required subsystem has not come up yet.
        Starting = "starting",
        /// Every declared required subsystem was up at the same moment once.
        Started = "started",
        /// Readiness probes are red, so that clients stop sending; requests are
        /// still served.
        Draining = "draining",
        /// The server stops accepting connections; requests on open connections
        /// are still served.
        Closing = "closing",
        /// Requests are refused.
        Closed = "closed",
    }
}

vocabulary! {
    /// The state of a scope as a whole, which follows from its subsystems.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum Condition {
        /// A member that the start waits for has not come up.
        Starting = "starting",
        /// Every member is ready.
        Ready = "ready",
        /// Able to serve, but a member is degraded, or a member that does not
        /// count against readiness is down.
        Degraded = "degraded",
        /// A member that counts is failing, stale or dead.
        Failing = "failing",
    }
}

impl Condition {
    /// Whether the subsystems let the scope serve.
    pub(crate) const fn is_able(self) -> bool {
        matches!(self, Self::Ready | Self::Degraded)
    }
}

vocabulary! {
    /// Which reporter or check owns a subsystem's reports.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum Claim {
        /// No [`Reporter`](crate::Reporter) has claimed it yet.
        Unclaimed = "unclaimed",
        /// A check reports for it. A [`Reporter`](crate::Reporter) may still
        /// claim it, to report beside the check.
        Checked = "checked",
        /// A [`Reporter`](crate::Reporter) holds it.
        Held = "held",
        /// Its reporter was dropped; it can be claimed again.
        Dropped = "dropped",
        /// Its reporter [left it ready](crate::Reporter::leave_ready) for good.
        LeftReady = "left_ready",
    }
}

vocabulary! {
    /// Why a gate may hold or refuse a request.
    ///
    /// Several reasons can hold at once; a gate looks up the action of each, in
    /// the order given here.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Reason {
        /// The phase is [`Phase::Closed`].
        Closed = "closed",
        /// The condition is [`Condition::Starting`].
        Starting = "starting",
        /// The condition is [`Condition::Failing`].
        Failing = "failing",
        /// The phase is [`Phase::Closing`].
        Closing = "closing",
        /// The phase is [`Phase::Draining`].
        Draining = "draining",
        /// The process is [paused](crate::Readiness::pause).
        Paused = "paused",
        /// The inner service has no room for another request (its `poll_ready`
        /// is pending). Snapshots never contain this reason: only a gate finds
        /// it.
        Saturated = "saturated",
    }
}

/// One value for each [`Reason`].
#[derive(Clone, Debug, Default)]
pub(crate) struct PerReason<T>([T; Reason::ALL.len()]);

impl<T> PerReason<T> {
    /// Makes the value of each reason.
    pub(crate) fn from_fn(mut make: impl FnMut(Reason) -> T) -> Self {
        Self(array::from_fn(|index| make(Reason::ALL[index])))
    }

    /// The reasons and their values, in the order of declaration.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Reason, &T)> {
        Reason::ALL.iter().copied().zip(&self.0)
    }
}

// Reasons are numbered from zero in the order of `ALL`, so no index is out of
// bounds.
impl<T> Index<Reason> for PerReason<T> {
    type Output = T;

    fn index(&self, reason: Reason) -> &T {
        &self.0[reason as usize]
    }
}

impl<T> IndexMut<Reason> for PerReason<T> {
    fn index_mut(&mut self, reason: Reason) -> &mut T {
        &mut self.0[reason as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_an_entry_of_its_own_for_every_reason() {
        let mut table = PerReason::from_fn(Reason::as_str);
        assert!(table.iter().all(|(reason, word)| reason.as_str() == *word));
        assert!(
            table
                .iter()
                .map(|(reason, _)| reason)
                .eq(Reason::ALL.iter().copied())
        );
        for &reason in Reason::ALL {
            table[reason] = "";
            let emptied = table.iter().filter(|(_, word)| word.is_empty());
            assert!(emptied.map(|(reason, _)| reason).eq([reason]));
            table[reason] = reason.as_str();
        }
    }
}
