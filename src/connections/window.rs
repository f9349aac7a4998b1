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

    /// The moment of a connection, as a share of the delay.
    ///
    /// `accepted` is the share of the delay at which the connection was accepted, zero
    /// or less if that was before the drain. `position`, from 0 to 1, is the place of
    /// the connection among those that share the window.
    pub(super) fn moment(self, accepted: f64, position: f64) -> f64 {
        let Self { from, to } = self;
        if accepted > to {
            return accepted;
        }
        let earliest = if accepted > 0.0 {
            from.max(accepted + NEWCOMER)
        } else {
            from
        };
        earliest + position * (to - earliest).max(0.0)
    }
}

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

    #[test]
    fn a_connection_from_before_the_drain_retires_in_the_window() {
        let window = Window::default();
        for (position, expected) in [(0.0, 0.3), (0.5, 0.6), (1.0, 0.9)] {
            assert!((window.moment(-3.0, position) - expected).abs() < 1e-9);
            assert!((window.moment(0.0, position) - expected).abs() < 1e-9);
        }
    }

    #[test]
    fn a_connection_accepted_in_the_drain_stays_a_fifth_of_the_delay() {
        let window = Window::default();
        for accepted in (1..90).map(|percent| f64::from(percent) / 100.0) {
            for position in [0.0, 0.3, 0.999] {
                let moment = window.moment(accepted, position);
                assert!(
                    moment >= accepted + NEWCOMER - 1e-9,
                    "{accepted} {position}"
                );
                assert!(moment >= 0.3 && moment <= 0.9f64.max(accepted + NEWCOMER));
            }
        }
    }

    #[test]
    fn a_connection_accepted_after_the_window_retires_at_once() {
        assert!((Window::default().moment(0.95, 0.7) - 0.95).abs() < 1e-9);
    }
}
