use crate::registry::{SettingError, not_zero, waited};
use std::time::Duration;

/// Lets a bounded number of requests wait a bounded time for a reason to pass.
///
/// A request is refused if all wait slots are taken, or when its time is up. When
/// the reason has passed, the hold releases a few waiting requests at a time, and
/// the next when one of them has its response, so that a service which has just
/// recovered does not get all of them at once. (New requests are admitted beside
/// them.) A request whose time is up before its turn to be released is admitted
/// as well.
///
/// A hold refuses at once where the reason cannot pass: phases never go back, and
/// a subsystem that had not started when the process began to drain never will.
/// It then refuses the requests that wait already, too. The gate decides again
/// whenever the verdict changes, and refuses a waiting request if another reason
/// demands it. That also holds for a request that waits for its turn or for room
/// in the inner service. A reason in spite of which the gate admits the request, such as
/// one that [sheds](super::Action::shed) others, is not considered again as long as it
/// holds.
///
/// Time is tokio's. Outside of a tokio runtime, and on one whose timers are not
/// enabled, a hold refuses at once. The hold for saturation waits there as well,
/// bounded only by the number of wait slots. tokio reports disabled timers by a panic,
/// which the layer catches; a program that aborts on panics needs the timers.
#[must_use]
#[derive(Clone, Debug)]
pub struct Hold {
    pub(super) max_wait: Duration,
    pub(super) max_waiting: usize,
    pub(super) release: usize,
}

impl Hold {
    /// Returns a hold of at most `max_wait`, for at most 1,024 waiting requests, which
    /// releases 16 at a time.
    ///
    /// # Errors
    ///
    /// When `max_wait` is shorter than 1 millisecond, which would refuse every request
    /// ([`Action::Refuse`](super::Action::Refuse) does), or longer than ten minutes.
    pub fn new(max_wait: Duration) -> Result<Self, SettingError> {
        Self::builder(max_wait).build()
    }

    /// Configures a hold of at most `max_wait`, with the other bounds of [`new`](Self::new).
    pub const fn builder(max_wait: Duration) -> HoldBuilder {
        HoldBuilder(Self {
            max_wait,
            max_waiting: 1_024,
            release: 16,
        })
    }

    /// The default hold while the inner service is saturated.
    pub(super) const fn while_saturated() -> Self {
        Self::builder(Duration::from_secs(5)).0
    }
}

/// Configures a [`Hold`].
///
/// ```
/// # use std::time::Duration;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use tower_readiness::gate::{Action, Hold};
///
/// let hold = Hold::builder(Duration::from_secs(2)).max_waiting(100).release(4);
/// let action = Action::Hold(hold.build()?);
/// # Ok(())
/// # }
/// ```
#[must_use = "a builder does nothing until it builds"]
#[derive(Clone, Debug)]
pub struct HoldBuilder(Hold);

impl HoldBuilder {
    /// Sets how many requests wait at the same time.
    pub fn max_waiting(mut self, max_waiting: usize) -> Self {
        self.0.max_waiting = max_waiting;
        self
    }

    /// Sets how many waiting requests are released at a time.
    pub fn release(mut self, release: usize) -> Self {
        self.0.release = release;
        self
    }

    /// Builds the hold.
    ///
    /// # Errors
    ///
    /// When the time is not valid (see [`Hold::new`]), or a number is zero: no request
    /// would wait, or be served after it has waited.
    pub fn build(self) -> Result<Hold, SettingError> {
        waited("time of a hold", self.0.max_wait)?;
        not_zero("maximum of waiting requests of a hold", self.0.max_waiting)?;
        not_zero(
            "number of requests that a hold releases at a time",
            self.0.release,
        )?;
        Ok(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_holds_are_errors() {
        for wait in [Duration::ZERO, Duration::from_secs(601)] {
            let error = Hold::new(wait).unwrap_err();
            let given = matches!(error, SettingError::OutOfBounds { given, .. } if given == wait);
            assert!(given, "{error}");
        }
        assert!(Hold::new(Duration::from_secs(600)).is_ok());

        let hold = Hold::builder(Duration::from_secs(1));
        for zero in [hold.clone().max_waiting(0), hold.release(0)] {
            let error = zero.build().unwrap_err();
            assert!(matches!(error, SettingError::Zero { .. }), "{error}");
        }
    }
}
