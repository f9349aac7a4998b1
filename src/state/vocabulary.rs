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

    // The same, with a table that has one entry for each variant. Its fields
    // are the variants, so no lookup can be out of bounds, and a new variant
    // has its entry in every table.
    (
        $(#[$meta:meta])*
        pub enum $name:ident with table $table:ident {
            $($(#[$variant_meta:meta])* $variant:ident = $word:literal,)+
        }
    ) => {
        vocabulary! {
            $(#[$meta])*
            pub enum $name {
                $($(#[$variant_meta])* $variant = $word,)+
            }
        }

        impl $name {
            /// Every value, in the order of declaration.
            pub(crate) const ALL: [Self; [$($word),+].len()] = [$(Self::$variant),+];
        }

        #[doc = concat!("One value for each [`", stringify!($name), "`].")]
        #[derive(Clone, Debug, Default)]
        #[allow(non_snake_case, reason = "the fields are named like the variants")]
        pub(crate) struct $table<T> {
            $($variant: T,)+
        }

        impl<T> $table<T> {
            /// Makes the value of each key.
            pub(crate) fn from_fn(mut make: impl FnMut($name) -> T) -> Self {
                Self {
                    $($variant: make($name::$variant),)+
                }
            }

            /// The keys and their values, in the order of declaration.
            pub(crate) fn iter(&self) -> impl Iterator<Item = ($name, &T)> {
                $name::ALL.into_iter().map(|key| (key, &self[key]))
            }
        }

        impl<T> std::ops::Index<$name> for $table<T> {
            type Output = T;

            fn index(&self, key: $name) -> &T {
                match key {
                    $($name::$variant => &self.$variant,)+
                }
            }
        }

        impl<T> std::ops::IndexMut<$name> for $table<T> {
            fn index_mut(&mut self, key: $name) -> &mut T {
                match key {
                    $($name::$variant => &mut self.$variant,)+
                }
            }
        }
    };
}
pub(crate) use vocabulary;

vocabulary! {
    /// What a subsystem last said of itself.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum State {
        /// Not there yet, or coming back. Counts as failing once the subsystem
        /// has been ready.
        Starting = "starting",
        /// Fully able to do its part.
        Ready = "ready",
        /// Able to do its part, but worse than it should.
        Degraded = "degraded",
        /// Not able to do its part; may recover.
        Failing = "failing",
        /// Silent for longer than it promised. Counts as failing, and as dead
        /// where the subsystem is vital.
        Stale = "stale",
        /// Not able to do its part, and not expected to recover by itself. A
        /// later report still wins.
        Dead = "dead",
    }
}

impl State {
    /// Whether a subsystem in this state does its part.
    pub const fn is_up(self) -> bool {
        matches!(self, Self::Ready | Self::Degraded)
    }
}

vocabulary! {
    /// What the process makes of a subsystem that is not up.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub enum Role {
        /// The process cannot serve without it.
        #[default]
        Required = "required",
        /// A dependency that every replica shares. The process is not ready
        /// until it has been ready once; from then on its failure only
        /// degrades, so that an outage of it cannot pull the whole fleet.
        Shared = "shared",
        /// Shows, and degrades, but never makes the process unready.
        Optional = "optional",
    }
}

vocabulary! {
    /// Where the process is in its life. Phases only ever advance.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Phase {
        /// Some declared required subsystem has not come up yet.
        Starting = "starting",
        /// Every declared required subsystem was up at the same moment once.
        Started = "started",
        /// The lame-duck time: probes are red, traffic is still served.
        Draining = "draining",
        /// The server has been told to stop accepting; what still arrives on
        /// connections already open is served.
        Closing = "closing",
        /// Whatever still arrives is refused.
        Closed = "closed",
    }
}

vocabulary! {
    /// What the subsystems of a scope add up to.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum Condition {
        /// A member that has to come up first has not yet.
        Starting = "starting",
        /// Every member is ready.
        Ready = "ready",
        /// Able to serve, but a member is degraded, or one that does not
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
    /// Who speaks for a subsystem.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum Claim {
        /// Nobody has claimed it yet.
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
    /// Why a gate hesitates to let a request through.
    ///
    /// Several can hold at once; a gate asks for the action of each, in the
    /// order given here.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Reason with table PerReason {
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
        /// Somebody [paused](crate::Readiness::pause) the process.
        Paused = "paused",
        /// The inner service has no room for another request (its
        /// `poll_ready` is pending). Not a matter of readiness: no snapshot
        /// says it, only a gate finds it.
        Saturated = "saturated",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_an_entry_of_its_own_for_every_reason() {
        let mut table = PerReason::from_fn(Reason::as_str);
        assert!(table.iter().all(|(reason, word)| reason.as_str() == *word));
        assert!(table.iter().map(|(reason, _)| reason).eq(Reason::ALL));
        for reason in Reason::ALL {
            table[reason] = "";
            let emptied = table.iter().filter(|(_, word)| word.is_empty());
            assert!(emptied.map(|(reason, _)| reason).eq([reason]));
            table[reason] = reason.as_str();
        }
    }
}
