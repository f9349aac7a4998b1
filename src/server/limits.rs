use crate::registry::{SettingError, bounded, not_zero};
use tokio::time::Duration;

/// The limits of one listener on its connections.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) header_timeout: Duration,
    pub(super) idle_timeout: Duration,
    pub(super) connections: usize,
    /// Whether HTTP/2 is enabled.
    pub(super) http2: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(75),
            connections: 64,
            http2: false,
        }
    }
}

impl Limits {
    pub(super) fn check(&self) -> Result<(), SettingError> {
        bounded("header timeout", self.header_timeout)?;
        bounded("idle timeout", self.idle_timeout)?;
        not_zero("maximum of connections", self.connections)?;
        Ok(())
    }
}
