use super::{head::RequestHead, hold::Hold, shed::Shed};
use crate::registry::SettingError;
use std::time::Duration;

/// The action of a gate on a request while there is a [reason] to hesitate.
///
/// [reason]: crate::Reason
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Action {
    /// Admits the request.
    Admit,
    /// Refuses the request.
    Refuse,
    /// Lets the request wait for the reason to pass.
    Hold(Hold),
    /// Refuses a part of the requests, and admits the rest.
    Shed(Shed),
}

impl Action {
    /// Holds requests for at most `max_wait`, with the bounds of
    /// [`Hold::new`].
    ///
    /// # Errors
    ///
    /// When `max_wait` is shorter than 1 millisecond or longer than ten minutes.
    pub fn hold(max_wait: Duration) -> Result<Self, SettingError> {
        Hold::new(max_wait).map(Self::Hold)
    }

    /// Refuses this fraction of the requests, picked at random.
    ///
    /// # Errors
    ///
    /// When `fraction` is not within 0 and 1.
    pub fn shed(fraction: f64) -> Result<Self, SettingError> {
        Shed::fraction(fraction).map(Self::Shed)
    }

    /// Refuses every request for which `essential` returns `false`.
    pub fn shed_unless(
        essential: impl Fn(RequestHead<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self::Shed(Shed::unless(essential))
    }
}
