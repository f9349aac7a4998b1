//! The plan of one arm: its clients, its drains and their times.

use super::clients::Protocol;
use crate::arms::{Arm, Protection};
use std::{fmt, time::Duration};

/// From SIGTERM until a replica stops to accept.
pub(super) const DELAY: Duration = Duration::from_secs(5);
/// That of [`Plan::short`].
pub(super) const SHORT_DELAY: Duration = Duration::from_millis(500);
/// That of [`Plan::aged`]: a tenth more or less.
pub(super) const MAX_AGE: Duration = Duration::from_secs(8);
/// How long a replica without a window waits for streams that nothing ends.
pub(super) const CAP_OF_CONTROL: Duration = Duration::from_secs(1);

const REQUESTS: &[Protocol] = &[Protocol::Http1, Protocol::Http2];
const STREAMS: &[Protocol] = &[Protocol::Events, Protocol::WebSocket, Protocol::Grpc];

#[derive(Clone, Copy)]
pub(super) struct Plan {
    pub(super) arm: Arm,
    pub(super) protocols: &'static [Protocol],
    pub(super) drains: usize,
    pub(super) delay: Duration,
    pub(super) closing_cap: Option<Duration>,
    pub(super) max_age: Option<Duration>,
    /// Whether this is the control of an arm with a maximum age.
    pub(super) is_control_of_age: bool,
}

impl Plan {
    pub(super) const fn requests(arm: Arm, drains: usize) -> Self {
        Self {
            arm,
            protocols: REQUESTS,
            drains,
            delay: DELAY,
            closing_cap: None,
            max_age: None,
            is_control_of_age: false,
        }
    }

    /// A delay that is shorter than the second after which an idle connection is closed.
    pub(super) const fn short(drains: usize) -> Self {
        Self {
            delay: SHORT_DELAY,
            ..Self::requests(Arm::SERVED, drains)
        }
    }

    /// Streams that do not end by themselves. In the arm without a window, the handlers get
    /// no signal.
    pub(super) fn streams(arm: Arm, drains: usize) -> Self {
        Self {
            protocols: STREAMS,
            closing_cap: (arm == Arm::SERVED_TO_THE_END).then_some(CAP_OF_CONTROL),
            ..Self::requests(arm, drains)
        }
    }

    /// A rollout of all replicas, and what becomes of it later: with a maximum age of the
    /// connections, or without.
    pub(super) fn rollout(max_age: Option<Duration>) -> Self {
        Self {
            max_age,
            is_control_of_age: max_age.is_none(),
            ..Self::requests(Arm::SERVED, super::REPLICAS)
        }
    }

    /// Whether requests fail and connections leave together.
    pub(super) fn is_control(&self) -> bool {
        self.arm.without == Some(Protection::Window)
    }

    /// Whether the connections of a replica have the time to leave one after the other.
    pub(super) fn spreads(&self) -> bool {
        !self.is_control() && self.delay == DELAY && self.max_age.is_none()
    }

    /// Whether HTTP/1 answers have the time to announce the end of their connection: the
    /// clients pause for less than the delay, and no connection ends for its age.
    pub(super) fn tells_in_time(&self) -> bool {
        self.delay == DELAY && !self.waits_for_age()
    }

    /// Whether a replica cuts off open streams, and so ends with an error.
    pub(super) fn cuts_off(&self) -> bool {
        self.closing_cap.is_some()
    }

    /// Whether the connections are counted once more, a maximum age after the rollout.
    pub(super) fn waits_for_age(&self) -> bool {
        self.max_age.is_some() || self.is_control_of_age
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.arm)?;
        if self.delay != DELAY {
            write!(f, ", a delay of {:?}", self.delay)?;
        }
        match self.max_age {
            Some(age) => write!(f, ", a maximum age of {age:?}"),
            None if self.is_control_of_age => f.write_str(", no maximum age"),
            None => Ok(()),
        }
    }
}
