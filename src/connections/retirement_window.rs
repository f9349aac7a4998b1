use tokio::time::Instant;

/// The part of the drain delay in which connections retire, as shares of the delay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Window {
    pub(super) from: f64,
    pub(super) to: f64,
}

impl Window {
    pub(super) fn is_valid(self) -> bool {
        let within = |share: f64| (0.0..=1.0).contains(&share);
        within(self.from) && within(self.to) && self.from <= self.to
    }

    /// Whether connections stay until the phase `Closing`.
    pub(super) fn is_zero(self) -> bool {
        self.from >= self.to
    }

    /// When a connection retires, as shares of the delay.
    ///
    /// `accepted` is the share of the delay at which the connection was accepted, zero
    /// or less if that was before the drain. `position`, from 0 to 1, is the place of
    /// the connection among those that share the window.
    pub(super) fn moment(self, accepted: f64, position: f64) -> RetirementMoment<f64> {
        let Self { from, to } = self;
        if accepted > to {
            return RetirementMoment {
                earliest: accepted,
                retired: accepted,
            };
        }
        let earliest = if accepted > 0.0 {
            from.max(accepted + NEWCOMER)
        } else {
            from
        };
        RetirementMoment {
            earliest,
            retired: earliest + position * (to - earliest).max(0.0),
        }
    }
}

/// When a connection retires.
#[derive(Clone, Copy, Debug)]
pub(super) struct RetirementMoment<T> {
    /// From here on HTTP/1 answers say `connection: close` to a client whose next request
    /// may come after the delay.
    pub(super) earliest: T,
    /// HTTP/2 gets GOAWAY, streams are asked to end, an idle connection is closed.
    pub(super) retired: T,
}

impl RetirementMoment<Instant> {
    /// From here on all HTTP/1 answers say `connection: close`.
    pub(super) fn announced(&self) -> Instant {
        self.earliest + (self.retired - self.earliest).mul_f64(ANNOUNCED)
    }
}

/// HTTP/1 answers announce the end in this first part of the window, so that the rest is
/// left for clients that pause. A client that is not told before the delay is over may
/// send a request into the close. A much smaller part would make more than a quarter of
/// busy connections leave in a tenth of the delay.
const ANNOUNCED: f64 = 0.75;

/// How long a connection that is accepted during the drain stays at least, as a share
/// of the delay. Otherwise a client that is sent here until the balancer notices would
/// reconnect for each request.
const NEWCOMER: f64 = 0.2;

/// Load balancers notice the drain first, and the rest of the delay is for the last
/// answers.
impl Default for Window {
    fn default() -> Self {
        Self { from: 0.3, to: 0.9 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Duration;

    #[test]
    fn a_connection_from_before_the_drain_retires_in_the_window() {
        let window = Window::default();
        for (position, expected) in [(0.0, 0.3), (0.5, 0.6), (1.0, 0.9)] {
            for accepted in [-3.0, 0.0] {
                let moment = window.moment(accepted, position);
                assert!((moment.retired - expected).abs() < 1e-9);
                assert!((moment.earliest - 0.3).abs() < 1e-9);
            }
        }
        let from_the_begin_on = Window { from: 0.0, to: 0.5 };
        assert!(from_the_begin_on.moment(0.0, 0.0).retired < 1e-9);
    }

    #[test]
    fn http_1_answers_announce_the_end_in_the_first_three_quarters_of_the_window() {
        for (position, expected) in [(0.0, 0.3), (0.5, 0.525), (1.0, 0.75)] {
            let moment = Window::default().moment(-3.0, position);
            let begin = Instant::now();
            let at = |share| begin + Duration::from_secs_f64(share);
            let moment = RetirementMoment {
                earliest: at(moment.earliest),
                retired: at(moment.retired),
            };
            let announced = (moment.announced() - begin).as_secs_f64();
            assert!((announced - expected).abs() < 1e-6);
        }
    }

    #[test]
    fn a_connection_accepted_in_the_drain_stays_a_fifth_of_the_delay() {
        let window = Window::default();
        for accepted in (1..=90).map(|percent| f64::from(percent) / 100.0) {
            for position in [0.0, 0.3, 0.999] {
                let moment = window.moment(accepted, position);
                assert!(
                    moment.earliest >= accepted + NEWCOMER - 1e-9,
                    "{accepted} {position}"
                );
                assert!(moment.earliest >= 0.3);
                assert!(moment.retired >= moment.earliest);
                assert!(moment.retired <= 0.9f64.max(accepted + NEWCOMER));
            }
        }
    }

    #[test]
    fn a_connection_accepted_after_the_window_retires_at_once() {
        let moment = Window::default().moment(0.95, 0.7);
        assert!((moment.earliest - 0.95).abs() < 1e-9);
        assert!((moment.retired - 0.95).abs() < 1e-9);
    }
}
