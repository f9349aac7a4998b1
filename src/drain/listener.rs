#[cfg(feature = "signal")]
use super::{
    error::ShutdownError,
    signals::{SignalHandlers, SignalKind, Signals},
};
use std::future::pending;
#[cfg(feature = "signal")]
use std::future::poll_fn;

/// Waits for the signals of a [`Shutdown`](super::Shutdown). With no signals
/// configured, or without the feature `signal`, its futures never complete.
#[derive(Default)]
pub(super) struct SignalListener {
    #[cfg(feature = "signal")]
    handlers: Option<SignalHandlers>,
}

#[cfg(feature = "signal")]
impl SignalListener {
    pub(super) fn install(signals: Option<&Signals>) -> Result<Self, ShutdownError> {
        let handlers = signals.map(SignalHandlers::install).transpose()?;
        Ok(Self { handlers })
    }

    async fn next(&mut self) -> SignalKind {
        match &mut self.handlers {
            Some(handlers) => poll_fn(|cx| handlers.poll(cx)).await,
            None => pending().await,
        }
    }

    /// Completes at any signal.
    pub(super) async fn signal(&mut self) {
        self.next().await;
    }

    /// Completes at SIGINT, and ignores all others.
    pub(super) async fn interrupt(&mut self) {
        while self.next().await != SignalKind::Interrupt {}
    }
}

#[cfg(not(feature = "signal"))]
impl SignalListener {
    pub(super) async fn signal(&mut self) {
        pending::<()>().await;
    }

    pub(super) async fn interrupt(&mut self) {
        pending::<()>().await;
    }
}
