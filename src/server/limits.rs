use super::error::ServeError;
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

impl Limits {
    const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

    pub(super) fn check(&self) -> Result<(), ServeError> {
        for (what, duration) in [
            ("header timeout", self.header_timeout),
            ("idle timeout", self.idle_timeout),
        ] {
            if duration.is_zero() || duration > Self::LONGEST {
                return Err(ServeError::Timeout { what, duration });
            }
        }
        if self.connections == 0 {
            return Err(ServeError::NoConnections);
        }
        Ok(())
    }
}
